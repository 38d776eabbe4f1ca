//! Connected accounts: settings, campaigns and the sealed token, in one partition each.
//!
//! A paused campaign is an attribute beside the campaign, not part of what a file says. So
//! applying a file again, or connecting, leaves it paused, and a version that does not know
//! pauses continues with the campaign instead of failing to read the account. A webhook may
//! match for it for the minute that it remembers the account. Such a comment waits like those
//! before it.
//!
//! Every item but tombstones names the revision of the account at which it was written. So a
//! removal deletes what it has read, and nothing of an account that was connected since.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, TransactWriteItem, Update};
use spillway_core::albums::Albums;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId, Revision};
use spillway_core::campaign::{Campaign, Campaigns, NextPost, Running, StoredCampaign};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::rules::Rules;
use spillway_service::account::{Account, SealedToken};
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::keys;
use spillway_service::port::{
    AccountChanges, Accounts, AppBudgets, Budgets, CampaignChanges, Read, Saved, StoreError,
};
use spillway_service::tombstones::Tombstones;
use spillway_service::versioned::{AppBudgetOf, BudgetOf, Races, measure_and_replace};

use super::item::{Item, Reader, at, b, json, n};
use super::pacing::{DynamoAppBudgets, DynamoBudgets, revision};
use super::table::{Ask, Cancelled, Table, cancelled, key};
use crate::failure::{incomplete, unavailable};
use crate::secrets::process_number;

/// Accounts in the `state` table.
pub struct DynamoAccounts {
    /// The `state` table.
    pub table: Table,
}

const LOAD: &str = "load the account";
const CONNECT: &str = "connect the account";
const SET: &str = "change the account's limits";
const CAMPAIGN: &str = "change a campaign";
const REMOVE: &str = "remove an item of the account";

#[async_trait]
impl Accounts for DynamoAccounts {
    async fn read(&self, id: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        let query = self.table.partition(keys::account(id));
        let items = query.consistent_read(how == Read::Consistent).ask(LOAD).await?;
        let mut settings = None;
        let mut campaigns: Vec<StoredCampaign> = Vec::new();
        let (mut tombstone_key, mut tombstones) = (Vec::new(), HashSet::new());
        let mut people = HashMap::new();
        for item in &items {
            let reader = Reader { item, what: LOAD };
            match reader.text("sk")? {
                keys::SETTINGS_SK => settings = Some(settings_of(&reader)?),
                sk if sk.starts_with(keys::CAMPAIGN_SK_PREFIX) => {
                    campaigns.push(campaign_of(&reader)?);
                }
                keys::FORGOTTEN_SK => reader.bytes("key")?.clone_into(&mut tombstone_key),
                sk if let Some(tombstone) = sk.strip_prefix(keys::TOMBSTONE_SK_PREFIX) => {
                    match tombstone.strip_prefix(keys::PERSON_TOMBSTONE) {
                        Some(person) => drop(people.insert(person.to_owned(), reader.at("at")?)),
                        None => drop(tombstones.insert(tombstone.to_owned())),
                    }
                }
                other => return Err(reader.corrupt(format!("unknown item `{other}`"))),
            }
        }
        let account = settings.map(|Settings { rules, conversations, albums, token, revision }| {
            let campaigns = Campaigns::stored(campaigns, &rules.terms().time_zone);
            Account {
                id: id.clone(),
                revision,
                rules: rules.for_campaigns(&campaigns),
                campaigns,
                token,
                conversations,
                albums,
                forgotten: Tombstones::new(tombstone_key, tombstones).with_people(people),
            }
        });
        Ok(account)
    }

    async fn revision(&self, id: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.stored_revision(id, Read::Eventual).await
    }
}

#[async_trait]
impl AccountChanges for DynamoAccounts {
    /// An account whose limits exceed its share of the app's is counted among those that lease.
    async fn connect(
        &self,
        id: &AccountId,
        rules: &Rules,
        token: &SealedToken,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError> {
        let mut settings = settings_key(id);
        settings.extend([
            ("rules".into(), json(rules)),
            ("token".into(), b(token.sealed.as_slice())),
            ("token_key".into(), n(token.key)),
        ]);
        self.join_leasing(id, rules).await?;
        let revision = self.put_account(id, settings, campaigns).await?;
        self.announce_revision(id, revision).await?;
        self.count_leasing(id, rules, revision).await
    }

    async fn set_rules(&self, id: &AccountId, rules: &Rules) -> Result<bool, StoreError> {
        self.join_leasing(id, rules).await?;
        let change = |settings: UpdateBuilder| {
            settings
                .update_expression("SET revision = :next, #rules = :rules")
                .expression_attribute_names("#rules", "rules")
                .expression_attribute_values(":rules", json(rules))
        };
        let Revised::To(revision) = self.revise(id, change, |_| Ok(Vec::new())).await? else {
            return Ok(false);
        };
        self.count_leasing(id, rules, revision).await.map(|()| true)
    }

    async fn change_campaigns(
        &self,
        id: &AccountId,
        changes: &CampaignChanges<'_>,
    ) -> Result<bool, StoreError> {
        for changes in writes_of(changes).chunks(CHANGES_MAX) {
            let writes = |next: Revision| {
                changes.iter().map(|change| self.campaign_write(id, change, next)).collect()
            };
            match self.revise(id, |settings| settings, writes).await? {
                Revised::To(_) => {}
                Revised::NotConnected => return Ok(false),
                Revised::NoCampaign => {
                    let detail = "a campaign was removed meanwhile".to_owned();
                    return Err(StoreError::unavailable(CAMPAIGN, detail));
                }
            }
        }
        Ok(true)
    }

    async fn set_running(
        &self,
        id: &AccountId,
        campaign: &CampaignId,
        running: Running,
    ) -> Result<bool, StoreError> {
        let change = Change::Run(campaign, running);
        let write = |next: Revision| Ok(vec![self.campaign_write(id, &change, next)?]);
        let revised = self.revise(id, |settings| settings, write).await?;
        Ok(matches!(revised, Revised::To(_)))
    }

    async fn set_next_post(
        &self,
        id: &AccountId,
        campaign: &CampaignId,
        post: &NextPost,
    ) -> Result<bool, StoreError> {
        let change = Change::Post(campaign, post);
        let write = |next: Revision| Ok(vec![self.campaign_write(id, &change, next)?]);
        let revised = self.revise(id, |settings| settings, write).await?;
        Ok(matches!(revised, Revised::To(_)))
    }

    async fn set_conversations(
        &self,
        id: &AccountId,
        settings: &ConversationSettings,
    ) -> Result<bool, StoreError> {
        let change = |update: UpdateBuilder| {
            if *settings == ConversationSettings::default() {
                return update
                    .update_expression(format!("SET revision = :next REMOVE {CONVERSATIONS}"));
            }
            update
                .update_expression(format!("SET revision = :next, {CONVERSATIONS} = :settings"))
                .expression_attribute_values(":settings", json(settings))
        };
        let revised = self.revise(id, change, |_| Ok(Vec::new())).await?;
        Ok(matches!(revised, Revised::To(_)))
    }

    async fn set_albums(&self, id: &AccountId, albums: &Albums) -> Result<bool, StoreError> {
        let change = |settings: UpdateBuilder| {
            settings
                .update_expression("SET revision = :next, albums = :albums")
                .expression_attribute_values(":albums", json(albums))
        };
        let revised = self.revise(id, change, |_| Ok(Vec::new())).await?;
        Ok(matches!(revised, Revised::To(_)))
    }

    async fn announce(&self, id: &AccountId) -> Result<(), StoreError> {
        match self.stored_revision(id, Read::Consistent).await? {
            Some(revision) => self.announce_revision(id, revision).await,
            None => Ok(()),
        }
    }
}

/// Campaigns that change at once at most: a transaction has a hundred items, and one is the
/// account's settings.
const CHANGES_MAX: usize = 99;

/// A change of one campaign.
enum Change<'a> {
    /// It is added or replaced, and gets this place, or keeps its own. One that is paused stays
    /// paused.
    Put(&'a Campaign, Option<usize>),
    /// It gets this place, if it is there.
    Place(&'a CampaignId, usize),
    /// It is removed.
    Remove(&'a CampaignId),
    /// It is paused or resumed, if it is there.
    Run(&'a CampaignId, Running),
    /// It is for this post, if it is there.
    Post(&'a CampaignId, &'a NextPost),
}

/// Each campaign is written once: a transaction takes no item twice.
fn writes_of<'a>(changes: &CampaignChanges<'a>) -> Vec<Change<'a>> {
    let CampaignChanges { put, removed, order } = *changes;
    let place = |campaign: &CampaignId| order.iter().position(|id| id == campaign);
    let is_put = |id: &CampaignId| put.iter().any(|campaign| campaign.id == *id);
    let moved = order.iter().enumerate().filter(|(_, id)| !is_put(id) && !removed.contains(id));
    let put = put.iter().map(|campaign| Change::Put(campaign, place(&campaign.id)));
    let moved = moved.map(|(place, id)| Change::Place(id, place));
    put.chain(removed.iter().map(Change::Remove)).chain(moved).collect()
}

/// What became of a change of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revised {
    /// It has this revision.
    To(Revision),
    /// It is not connected.
    NotConnected,
    /// There is no such campaign.
    NoCampaign,
}

impl DynamoAccounts {
    /// Raises the revision of a connected account with what `change` does to its settings, writes
    /// campaigns at this revision, and makes it known.
    ///
    /// One transaction writes all of it. Nobody finds a campaign changed at the revision before,
    /// which a process that remembers the account would take for what it knows.
    async fn revise(
        &self,
        id: &AccountId,
        change: impl Fn(UpdateBuilder) -> UpdateBuilder,
        campaigns: impl Fn(Revision) -> Result<Vec<TransactWriteItem>, StoreError>,
    ) -> Result<Revised, StoreError> {
        let mut races = Races::new(SET);
        loop {
            races.enter()?;
            let Some(stored) = self.stored_revision(id, Read::Consistent).await? else {
                return Ok(Revised::NotConnected);
            };
            let next = stored.next();
            let settings = Update::builder()
                .table_name(&self.table.name)
                .set_key(Some(settings_key(id)))
                .update_expression("SET revision = :next")
                .condition_expression(
                    "attribute_exists(pk) AND (attribute_not_exists(revision) OR revision < :next)",
                )
                .expression_attribute_values(":next", n(next.0));
            let settings = change(settings).build().map_err(|error| incomplete(SET, error))?;
            let settings = TransactWriteItem::builder().update(settings).build();
            let answer = self
                .table
                .client
                .transact_write_items()
                .set_transact_items(Some([vec![settings], campaigns(next)?].concat()))
                .send()
                .await;
            let Err(error) = answer else {
                self.announce_revision(id, next).await?;
                return Ok(Revised::To(next));
            };
            let reasons = cancelled(&error).ok_or_else(|| unavailable(SET, error))?;
            // Where the settings refuse it, somebody else has changed or removed the account in
            // between.
            let [settings, campaigns @ ..] = &reasons[..] else { continue };
            let is_refused = |reason: &Cancelled| *reason == Cancelled::Condition;
            if !is_refused(settings) && campaigns.iter().any(is_refused) {
                return Ok(Revised::NoCampaign);
            }
        }
    }

    /// The write that changes a campaign of an account at its revision `next`.
    fn campaign_write(
        &self,
        id: &AccountId,
        change: &Change<'_>,
        next: Revision,
    ) -> Result<TransactWriteItem, StoreError> {
        let update = |campaign: &CampaignId| {
            Update::builder().table_name(&self.table.name).set_key(Some(campaign_key(id, campaign)))
        };
        let update = match change {
            Change::Put(campaign, place) => {
                let update = update(&campaign.id);
                let update = update.update_expression(put_expression(campaign, *place));
                update.set_expression_attribute_values(Some(put_values(campaign, *place, next)))
            }
            Change::Place(campaign, place) => update(campaign)
                .condition_expression("attribute_exists(pk)")
                .update_expression(format!("SET {PLACE} = :place"))
                .expression_attribute_values(":place", n(place)),
            Change::Remove(campaign) => {
                let delete = Delete::builder()
                    .table_name(&self.table.name)
                    .set_key(Some(campaign_key(id, campaign)))
                    .build()
                    .map_err(|error| incomplete(REMOVE, error))?;
                return Ok(TransactWriteItem::builder().delete(delete).build());
            }
            Change::Post(campaign, post) => {
                let set = match post {
                    NextPost::AwaitedSince(_) => format!("if_not_exists({NEXT_POST}, :post)"),
                    NextPost::Is(_) => ":post".to_owned(),
                };
                update(campaign)
                    .condition_expression("attribute_exists(pk)")
                    .update_expression(format!("SET {NEXT_POST} = {set}"))
                    .expression_attribute_values(":post", json(post))
            }
            Change::Run(campaign, Running::Active) => update(campaign)
                .condition_expression("attribute_exists(pk)")
                .update_expression(format!("REMOVE {PAUSED_AT}")),
            Change::Run(campaign, Running::PausedSince(since)) => update(campaign)
                .condition_expression("attribute_exists(pk)")
                .update_expression(format!("SET {PAUSED_AT} = :at"))
                .expression_attribute_values(":at", at(*since)),
        };
        let update = update.build().map_err(|error| incomplete(CAMPAIGN, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Writes campaigns of the account as it is at `revision`.
    async fn put_campaigns(
        &self,
        id: &AccountId,
        campaigns: &[Campaign],
        revision: Revision,
    ) -> Result<(), StoreError> {
        for (place, campaign) in campaigns.iter().enumerate() {
            let values = put_values(campaign, Some(place), revision);
            self.table
                .update(campaign_key(id, &campaign.id))
                .update_expression(put_expression(campaign, Some(place)))
                .set_expression_attribute_values(Some(values))
                .ask(CAMPAIGN)
                .await?;
        }
        Ok(())
    }

    /// Writes campaigns and settings under the revision after every one that there was, which it
    /// returns. The settings make the account: with them come all of its campaigns, or comments
    /// and waiting sends that look for one would be dropped.
    async fn put_account(
        &self,
        id: &AccountId,
        settings: Item,
        campaigns: &[Campaign],
    ) -> Result<Revision, StoreError> {
        let mut races = Races::new(CONNECT);
        loop {
            races.enter()?;
            let next = self.next_revision(id).await?;
            self.put_campaigns(id, campaigns, next).await?;
            let mut item = settings.clone();
            item.extend(self.kept_settings(id).await?);
            item.insert("revision".into(), n(next.0));
            let put = self
                .table
                .put(item)
                .condition_expression("attribute_not_exists(revision) OR revision < :next")
                .expression_attribute_values(":next", n(next.0));
            // Where it is refused, somebody else has changed it in between. Where this revision was
            // announced before, a removal may be deleting what was written at it.
            if put.ask(CONNECT).await?.is_done() && self.announced_revision(id).await? < next {
                return Ok(next);
            }
        }
    }

    /// What a connection does not replace of the account's settings. Whoever changes it raises the
    /// revision.
    async fn kept_settings(&self, id: &AccountId) -> Result<Item, StoreError> {
        let get = self.table.get(settings_key(id)).projection_expression(CONVERSATIONS);
        let stored = get.consistent_read(true).ask(CONNECT).await?;
        Ok(stored.unwrap_or_default())
    }

    /// Deletes an item of the account that was written at `revision` or before. Returns `false` if
    /// it was written later: then it is another connection's.
    pub(super) async fn delete_up_to(
        &self,
        item: Item,
        revision: Revision,
    ) -> Result<bool, StoreError> {
        let delete = self
            .table
            .delete(item)
            .condition_expression("attribute_not_exists(revision) OR revision <= :seen")
            .expression_attribute_values(":seen", n(revision.0));
        Ok(delete.ask(REMOVE).await?.is_done())
    }

    /// The revision after every one that there was.
    pub(super) async fn next_revision(&self, id: &AccountId) -> Result<Revision, StoreError> {
        // An account that is connected again has no settings, and still has its budget.
        let announced = self.announced_revision(id).await?;
        let stored = self.stored_revision(id, Read::Consistent).await?;
        Ok(stored.unwrap_or_default().max(announced).next())
    }

    /// The latest revision that those who decide know of.
    pub(super) async fn announced_revision(&self, id: &AccountId) -> Result<Revision, StoreError> {
        let budgets = DynamoBudgets { table: self.table.clone() };
        Ok(budgets.load(id).await?.revision)
    }

    /// The revision of a connected account.
    pub(super) async fn stored_revision(
        &self,
        id: &AccountId,
        how: Read,
    ) -> Result<Option<Revision>, StoreError> {
        let get = self
            .table
            .get(settings_key(id))
            .projection_expression("pk, revision")
            .consistent_read(how == Read::Consistent);
        match get.ask(CONNECT).await? {
            Some(item) => revision(&Reader { item: &item, what: CONNECT }).map(Some),
            None => Ok(None),
        }
    }

    /// Makes a change of the account known to all that decide on its budget: from here on none
    /// decides by what it remembers of an earlier revision. Should this fail, they notice within
    /// [`REMEMBERED`](spillway_service::account_cache::REMEMBERED).
    pub(super) async fn announce_revision(
        &self,
        id: &AccountId,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let budgets = DynamoBudgets { table: self.table.clone() };
        let process = process()?;
        let mut sequence = 0..;
        let announce = |budget: &Budget| {
            let id = GrantId::new(process, sequence.next().unwrap_or_default());
            ((), budget.with_revision(revision, id))
        };
        let (budget, stored) = (budgets.load(id).await?, BudgetOf(&budgets, id));
        measure_and_replace(&stored, budget, usize::MAX, announce).await.map(|_| ())
    }

    /// Charges what the account has called to the app's quotas that it has not leased from before.
    /// This comes before its rules are written: a process that leases by them finds it.
    async fn join_leasing(&self, id: &AccountId, rules: &Rules) -> Result<(), StoreError> {
        let get = self.table.get(leasing_key(id)).consistent_read(true);
        let listed = get.ask(CONNECT).await?.unwrap_or_default();
        let known = Reader { item: &listed, what: CONNECT }.members("quotas")?.to_vec();
        let new = || rules.leased().filter(|quota| known.iter().all(|id| id != quota.id.as_str()));
        if new().next().is_none() {
            return Ok(());
        }
        let account = DynamoBudgets { table: self.table.clone() }.load(id).await?;
        let budgets = DynamoAppBudgets { table: self.table.clone() };
        let process = process()?;
        let mut sequence = 0..;
        let join = |budget: &AppBudget| {
            let id = GrantId::new(process, sequence.next().unwrap_or_default());
            ((), budget.joined(new(), &account, rules, id))
        };
        let budget = budgets.load().await?;
        measure_and_replace(&AppBudgetOf(&budgets), budget, usize::MAX, join).await.map(|_| ())
    }

    /// Lists the account as it is at `revision` among those that lease from the app's quotas, or
    /// not, and writes how many there are into the app's budget.
    async fn count_leasing(
        &self,
        id: &AccountId,
        rules: &Rules,
        revision: Revision,
    ) -> Result<(), StoreError> {
        if rules.leased().next().is_none() {
            return self.stop_leasing(id, revision).await;
        }
        let quotas = rules.leased().map(|quota| quota.id.to_string());
        let mut listed = leasing_key(id);
        listed.extend([
            ("tier".into(), n(u8::from(rules.terms().tier))),
            ("quotas".into(), AttributeValue::Ss(quotas.collect())),
            ("revision".into(), n(revision.0)),
        ]);
        self.table.put(listed).ask(CONNECT).await?;
        self.recount_leasing().await
    }

    /// Takes the account off those that lease from the app's quotas, unless it was listed at a
    /// later revision.
    pub(super) async fn stop_leasing(
        &self,
        id: &AccountId,
        revision: Revision,
    ) -> Result<(), StoreError> {
        self.delete_up_to(leasing_key(id), revision).await?;
        self.recount_leasing().await
    }

    async fn recount_leasing(&self) -> Result<(), StoreError> {
        let budgets = DynamoAppBudgets { table: self.table.clone() };
        let mut budget = budgets.load().await?;
        let process = process()?;
        let mut races = Races::new(CONNECT);
        for sequence in 0.. {
            races.enter()?;
            // After the listing, so that of two that connect at once the later one counts both.
            let leasing = self.leasing().await?;
            let known = budget.tiers.unwrap_or_default();
            if known == leasing && (budget.tiers.is_some() || budget.leasing == 0) {
                return Ok(());
            }
            let id = GrantId::new(process, sequence);
            match budgets.save(&budget.with_leasing(leasing, id)).await? {
                Saved::Done => return Ok(()),
                Saved::Conflict(current) => budget = current,
            }
        }
        Ok(())
    }

    /// Those that lease, by tier. One that was listed before tiers were counts as of the first.
    async fn leasing(&self) -> Result<[u32; 3], StoreError> {
        let query = self.table.partition(keys::LEASING).consistent_read(true);
        let mut tiers = [0u32; 3];
        for item in query.ask(CONNECT).await? {
            let tier: Option<u8> = Reader { item: &item, what: CONNECT }.optional_number("tier")?;
            let nth = usize::from(tier.unwrap_or(1).clamp(1, 3) - 1);
            tiers[nth] = tiers[nth].saturating_add(1);
        }
        Ok(tiers)
    }
}

/// Where an account's settings lie.
pub(super) fn settings_key(account: &AccountId) -> Item {
    key(keys::account(account), keys::SETTINGS_SK)
}

fn campaign_key(account: &AccountId, campaign: &CampaignId) -> Item {
    key(keys::account(account), keys::campaign_sk(campaign))
}

fn leasing_key(account: &AccountId) -> Item {
    key(keys::LEASING, account.as_str())
}

fn campaign_of(reader: &Reader<'_>) -> Result<StoredCampaign, StoreError> {
    let running = if reader.item.contains_key(PAUSED_AT) {
        Running::PausedSince(reader.at(PAUSED_AT)?)
    } else {
        Running::Active
    };
    let campaign: Campaign = reader.json("campaign")?;
    // The fault itself may quote a text of the campaign.
    campaign.check().map_err(|_| reader.corrupt("attribute `campaign` breaks a rule"))?;
    let (place, next_post) = (reader.optional_number(PLACE)?, reader.optional_json(NEXT_POST)?);
    Ok(StoredCampaign { campaign, running, place, next_post })
}

/// Beside a campaign, not in it: a version that does not know it goes on with the campaign.
const PAUSED_AT: &str = "paused_at";

/// In the settings: what the account sets for its conversations, where it sets anything. The version
/// before leaves it alone, and forgets it where it connects the account again.
const CONVERSATIONS: &str = "conversations";

/// In the settings: the albums of the pictures of its albums. The version before leaves it alone.
const ALBUMS: &str = "albums";

/// Beside a campaign too: its place in the file that it was last applied from.
const PLACE: &str = "file_place";

/// Beside it as well: the post that it is for, where it is for the next one.
const NEXT_POST: &str = "next_post";

/// The update that writes a campaign, and its place if one is given. Other attributes of the item
/// stay, but for a next post that the campaign is not for any more.
fn put_expression(campaign: &Campaign, place: Option<usize>) -> String {
    let place = place.map_or_else(String::new, |_| format!(", {PLACE} = :place"));
    let set = format!("SET campaign = :campaign, revision = :revision{place}");
    if campaign.is_for_next_post() { set } else { format!("{set} REMOVE {NEXT_POST}") }
}

fn put_values(campaign: &Campaign, place: Option<usize>, revision: Revision) -> Item {
    let values = [(":campaign".into(), json(campaign)), (":revision".into(), n(revision.0))];
    values.into_iter().chain(place.map(|place| (":place".into(), n(place)))).collect()
}

fn process() -> Result<u64, StoreError> {
    process_number().map_err(|error| StoreError::unavailable(CONNECT, error.to_string()))
}

struct Settings {
    rules: Rules,
    conversations: ConversationSettings,
    albums: Albums,
    token: SealedToken,
    revision: Revision,
}

fn settings_of(reader: &Reader<'_>) -> Result<Settings, StoreError> {
    let token =
        SealedToken { key: reader.number("token_key")?, sealed: reader.bytes("token")?.to_owned() };
    let albums = reader.optional_json(ALBUMS)?.unwrap_or_default();
    let conversations = reader.optional_json(CONVERSATIONS)?.unwrap_or_default();
    let (rules, revision) = (reader.json("rules")?, revision(reader)?);
    Ok(Settings { rules, conversations, albums, token, revision })
}
