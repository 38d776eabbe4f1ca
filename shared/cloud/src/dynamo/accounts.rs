//! Connected accounts: settings, campaigns and the sealed token, in one partition each.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::Select;
use spillway_core::budget::{GrantId, Revision};
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::id::AccountId;
use spillway_core::rules::Rules;
use spillway_service::account::{Account, SealedToken};
use spillway_service::port::{Accounts, AppBudgets, Budgets, Saved, StoreError};

use super::item::{Item, Reader, b, json, n, s};
use super::pacing::{DynamoAppBudgets, DynamoBudgets, revision};
use super::unavailable;
use crate::schema::{LEASING_PK, account_pk, campaign_sk};
use crate::secrets::process_number;

/// Accounts in the `state` table.
pub struct DynamoAccounts {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
}

const LOAD: &str = "load the account";
const CONNECT: &str = "connect the account";

#[async_trait]
impl Accounts for DynamoAccounts {
    async fn load(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(account_pk(id)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut settings = None;
        let mut campaigns: Vec<Campaign> = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| unavailable(LOAD, error))?;
            let reader = Reader { item: &item, what: LOAD };
            match reader.text("sk")? {
                "settings" => settings = Some(settings_of(&reader)?),
                sk if sk.starts_with("campaign#") => campaigns.push(reader.json("campaign")?),
                other => return Err(reader.corrupt(format!("unknown item `{other}`"))),
            }
        }
        let account = settings.map(|Settings { rules, token, revision }| Account {
            id: id.clone(),
            revision,
            rules,
            campaigns: Campaigns::new(campaigns),
            token,
        });
        Ok(account)
    }
}

impl DynamoAccounts {
    /// Connects an account with its token, sealed by [`TokenKeys`](crate::token::TokenKeys), or
    /// replaces what is known of it; its campaigns are added or replaced. An account whose limits
    /// exceed its share of the app's is counted among those that lease.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn connect(
        &self,
        id: &AccountId,
        rules: &Rules,
        token: &SealedToken,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError> {
        let campaigns = campaigns.iter().map(|campaign| {
            Item::from([
                ("pk".into(), s(account_pk(id))),
                ("sk".into(), s(campaign_sk(&campaign.id))),
                ("campaign".into(), json(campaign)),
            ])
        });
        let settings = Item::from([
            ("pk".into(), s(account_pk(id))),
            ("sk".into(), s("settings")),
            ("rules".into(), json(rules)),
            ("token".into(), b(token.sealed.as_slice())),
            ("token_key".into(), n(token.key)),
        ]);
        // The settings make the account: with them come all of its campaigns, or comments and
        // waiting sends that look for one would be dropped.
        for item in campaigns {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
            put.send().await.map_err(|error| unavailable(CONNECT, error))?;
        }
        let revision = self.put_settings(id, settings).await?;
        self.announce(id, revision).await?;
        self.count_leasing(id, rules).await
    }

    /// Writes settings under the revision after every one that there was, and gives it.
    async fn put_settings(&self, id: &AccountId, settings: Item) -> Result<Revision, StoreError> {
        loop {
            let next = self.next_revision(id).await?;
            let mut item = settings.clone();
            item.insert("revision".into(), n(next.0));
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(item))
                .condition_expression("attribute_not_exists(revision) OR revision < :next")
                .expression_attribute_values(":next", n(next.0));
            let Err(error) = put.send().await else { return Ok(next) };
            match error.as_service_error() {
                // Somebody else has changed it in between.
                Some(PutItemError::ConditionalCheckFailedException(_)) => {}
                _ => return Err(unavailable(CONNECT, error)),
            }
        }
    }

    /// The revision after every one that there was.
    pub(super) async fn next_revision(&self, id: &AccountId) -> Result<Revision, StoreError> {
        let budgets = DynamoBudgets { client: self.client.clone(), table: self.table.clone() };
        // An account that is connected again has no settings, and still has its budget.
        let decided = budgets.load(id).await?.revision;
        Ok(self.stored_revision(id).await?.max(decided).next())
    }

    async fn stored_revision(&self, id: &AccountId) -> Result<Revision, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", s(account_pk(id)))
            .key("sk", s("settings"))
            .projection_expression("revision")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable(CONNECT, error))?;
        match answer.item {
            Some(item) => revision(&Reader { item: &item, what: CONNECT }),
            None => Ok(Revision::default()),
        }
    }

    /// Makes a change of the account known to all that decide on its budget: from here on none
    /// decides by what it remembers of an earlier revision. Should this fail, they notice within
    /// [`REMEMBERED`](spillway_service::directory::REMEMBERED).
    pub(super) async fn announce(
        &self,
        id: &AccountId,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let budgets = DynamoBudgets { client: self.client.clone(), table: self.table.clone() };
        let process = process()?;
        let mut budget = budgets.load(id).await?;
        for sequence in 0.. {
            let Some(next) = budget.with_revision(revision, GrantId::new(process, sequence)) else {
                break;
            };
            match budgets.save(id, &next).await? {
                Saved::Done => break,
                Saved::Conflict(current) => budget = current,
            }
        }
        Ok(())
    }

    /// Lists the account among those that lease from the app's quotas, or not, and writes how many
    /// there are into the app's budget.
    async fn count_leasing(&self, id: &AccountId, rules: &Rules) -> Result<(), StoreError> {
        if rules.leased().next().is_none() {
            return self.stop_leasing(id).await;
        }
        let listed = Item::from([("pk".into(), s(LEASING_PK)), ("sk".into(), s(id.as_str()))]);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(listed));
        put.send().await.map_err(|error| unavailable(CONNECT, error))?;
        self.recount_leasing().await
    }

    /// Takes the account off those that lease from the app's quotas.
    pub(super) async fn stop_leasing(&self, id: &AccountId) -> Result<(), StoreError> {
        let listed = Item::from([("pk".into(), s(LEASING_PK)), ("sk".into(), s(id.as_str()))]);
        let delete = self.client.delete_item().table_name(&self.table).set_key(Some(listed));
        delete.send().await.map_err(|error| unavailable(CONNECT, error))?;
        self.recount_leasing().await
    }

    async fn recount_leasing(&self) -> Result<(), StoreError> {
        let budgets = DynamoAppBudgets { client: self.client.clone(), table: self.table.clone() };
        let mut budget = budgets.load().await?;
        let process = process()?;
        for sequence in 0.. {
            // After the listing, so that of two that connect at once the later one counts both.
            let leasing = self.leasing().await?;
            if budget.leasing == leasing {
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

    async fn leasing(&self) -> Result<u32, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(LEASING_PK))
            .select(Select::Count)
            .consistent_read(true)
            .into_paginator()
            .send();
        let mut count: u32 = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable(CONNECT, error))?;
            count = count.saturating_add(page.count.try_into().unwrap_or(0));
        }
        Ok(count)
    }
}

fn process() -> Result<u64, StoreError> {
    process_number()
        .map_err(|error| StoreError::Unavailable { what: CONNECT, detail: error.to_string() })
}

struct Settings {
    rules: Rules,
    token: SealedToken,
    revision: Revision,
}

fn settings_of(reader: &Reader<'_>) -> Result<Settings, StoreError> {
    let token =
        SealedToken { key: reader.number("token_key")?, sealed: reader.bytes("token")?.to_owned() };
    Ok(Settings { rules: reader.json("rules")?, token, revision: revision(reader)? })
}
