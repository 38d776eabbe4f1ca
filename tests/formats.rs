//! What lies in tables and queues since the first version is read, and written in the same form:
//! the items of `formats.json`. A change that fails here breaks what is stored; ARCHITECTURE.md
//! ("Formats") says how one is made instead. Items are added to the file, none is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use spillway_cloud::dynamo::{DynamoAccounts, DynamoSends};
use spillway_cloud::sqs::ReleaseMessage;
use spillway_core::albums::Albums;
use spillway_core::budget::Revision;
use spillway_core::campaign::{NextPost, Running, Trigger};
use spillway_core::content::Disclosure;
use spillway_core::conversation::{Origin, Step, StepKey, StoredState};
use spillway_core::history::{Past, StepNote};
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, CampaignId, OnceKey, RecipientId, SendId};
use spillway_core::journal::Event;
use spillway_core::keyword::Comment;
use spillway_core::misses::{Day, MissDay, SampleText};
use spillway_core::once::Nth;
use spillway_core::pace::Broadcast;
use spillway_core::profile::Profile;
use spillway_core::quota::Limit;
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{
    Address, CampaignStep, CancelReason, Class, Content, Earlier, Outcome, PendingSend, Stage, Turn,
};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::TokenLife;
use spillway_service::admin::sends::{Ledger, State, Stored};
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    AccountChanges, Aliases, CampaignChanges, Deletion, Entry, LastSeen, MaintenanceRecords,
    MaintenanceSchedule, NewSend, Person, Read, Recorded, SampleSealer, Saved, StoredConversation,
    TurnedOver, Turnover, UpkeepRequest, UpkeepRequests,
};
use spillway_service::send_task::{Purpose, SendTask};

use crate::harness::{CREATOR, OTHER, START, World, careful};

/// Attributes by name, as DynamoDB's JSON has them, with bytes in hex.
type Item = BTreeMap<String, Value>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let text = |kind: &str| value[kind].as_str().map(str::to_owned);
    if let Some(text) = text("S") {
        return AttributeValue::S(text);
    }
    if let Some(number) = text("N") {
        return AttributeValue::N(number);
    }
    if let Some(members) = value["SS"].as_array() {
        return AttributeValue::Ss(members.iter().map(|m| m.as_str().unwrap().into()).collect());
    }
    if let Some(map) = value["M"].as_object() {
        let pair = |(name, value): (&String, &Value)| (name.clone(), attribute(value));
        return AttributeValue::M(map.iter().map(pair).collect());
    }
    if let Some(is) = value["BOOL"].as_bool() {
        return AttributeValue::Bool(is);
    }
    let hex = text("B").unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    AttributeValue::B(Blob::new((0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()))
}

fn shown(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(is) => json!({ "BOOL": is }),
        AttributeValue::Ss(members) => json!({ "SS": members }),
        AttributeValue::B(bytes) => json!({ "B": hex(bytes.as_ref()) }),
        AttributeValue::M(map) => {
            let pair = |(name, value): (&String, &AttributeValue)| (name.clone(), shown(value));
            json!({ "M": map.iter().map(pair).collect::<Item>() })
        }
        other => panic!("{other:?} is in no item"),
    }
}

/// The items kept: of the tables `sends` and `state`, and later forms of items whose key another
/// one has.
fn kept() -> [Vec<Item>; 3] {
    serde_json::from_str(include_str!("formats.json")).unwrap()
}

fn text(item: &Item, name: &str) -> String {
    item.get(name).and_then(|value| value["S"].as_str()).unwrap_or_default().to_owned()
}

impl World {
    fn table_of(&self, item: &Item) -> &str {
        let config = &self.stack.config;
        if item.contains_key("pk") { &config.state_table } else { &config.sends_table }
    }

    async fn lay(&self, item: &Item) {
        let mut put = self.stack.dynamo.put_item().table_name(self.table_of(item));
        for (name, value) in item {
            put = put.item(name, attribute(value));
        }
        put.send().await.unwrap();
    }

    async fn remove(&self, item: &Item) {
        let mut delete = self.stack.dynamo.delete_item().table_name(self.table_of(item));
        for key in ["id", "pk", "sk"] {
            if let Some(value) = item.get(key) {
                delete = delete.key(key, attribute(value));
            }
        }
        delete.send().await.unwrap();
    }

    fn ledger(&self) -> DynamoSends {
        DynamoSends {
            sends: self.stack.sends_table(),
            state: self.stack.state_table(),
            meter: Arc::default(),
        }
    }

    /// Records a stored send once more, and takes the steps that it has taken; gives a task for
    /// where it has come to.
    async fn replay(&self, stored: &Stored, send: &PendingSend) -> SendTask {
        let (epoch, attempt, failures) = (0, 0, 0);
        let fresh = if stored.steps.is_empty() {
            send.clone()
        } else {
            PendingSend {
                epoch,
                attempt,
                failures,
                earlier: Earlier::NotSent,
                repeats: 0,
                made_at: None,
                stand_in: None,
                is_cleared: false,
                ..send.clone()
            }
        };
        let sends = &self.outside.sends;
        let outbox_key = stored.outbox_key.clone();
        let new = NewSend { outbox_key, send: fresh.clone(), answered: None };
        let recorded = sends.record(&[new]).await;
        assert!(matches!(recorded[..], [Ok(Recorded::New)]), "{recorded:?}");
        let mut task = SendTask::new(&fresh, stored.outbox_key.clone());
        for past in &stored.steps {
            let Past::Step(step) = past.what else { panic!("{past:?}") };
            let after = sends.step(&task, step, past.at.into()).await.unwrap().unwrap();
            task = task.renewed(&after);
        }
        task
    }

    /// The item that lies where `item` does.
    async fn lies(&self, item: &Item) -> Item {
        let mut get = self.stack.dynamo.get_item().table_name(self.table_of(item));
        for key in ["id", "pk", "sk"] {
            if let Some(value) = item.get(key) {
                get = get.key(key, attribute(value));
            }
        }
        let lies = get.send().await.unwrap().item.unwrap_or_default();
        lies.iter().map(|(name, value)| (name.clone(), shown(value))).collect()
    }
}

/// Whose entry it is.
fn send_id(item: &Item) -> SendId {
    let id = text(item, "id");
    let (account, event) = id.split_once('/').unwrap();
    SendId { account: account.into(), key: event.into() }
}

/// A send that has ended, as it may have been recorded: of what its end takes away nothing is
/// known.
fn recorded(ended: &Stored) -> PendingSend {
    let (_, order, deadline) = ended.outbox_key.parts().unwrap();
    PendingSend {
        id: ended.id.clone(),
        class: ended.class,
        content: ended.content.clone(),
        to: Address::Comment { id: ended.id.key.as_str().into(), author: None },
        order,
        media: None,
        username: None,
        keyword: None,
        turn: None,
        matched_at: ended.matched_at,
        not_before: None,
        deadline,
        stage: Stage::Parked,
        epoch: 0,
        attempt: 0,
        failures: 0,
        earlier: Earlier::NotSent,
        repeats: 0,
        made_at: None,
        stand_in: None,
        is_cleared: false,
    }
}

/// The same with the next version, as its reader writes it.
fn next(item: &Item) -> Item {
    let mut next = item.clone();
    let version: u64 = item["version"]["N"].as_str().unwrap().parse().unwrap();
    next.insert("version".into(), json!({ "N": (version + 1).to_string() }));
    next
}

async fn laid() -> (World, Vec<Item>, Vec<Item>) {
    let world = World::start(careful()).await;
    let [sends, state, _] = kept();
    for item in sends.iter().chain(&state) {
        world.lay(item).await;
    }
    (world, sends, state)
}

fn find<'a>(items: &'a [Item], pk: &str, sk: &str) -> &'a Item {
    items.iter().find(|item| text(item, "pk") == pk && text(item, "sk") == sk).unwrap()
}

#[tokio::test]
async fn stored_budgets_and_cursors_keep_their_form() {
    let (world, _, state) = laid().await;
    let id = AccountId::new(CREATOR);
    let pace = format!("pace#{CREATOR}");

    let mut budget = world.outside.budgets.load(&id).await.unwrap();
    assert!(budget.windows.encode().len() > 20, "windows in use");
    budget.version += 1;
    world.outside.budgets.save(&id, &budget).await.unwrap();
    let item = find(&state, &pace, "budget");
    assert_eq!(world.lies(item).await, next(item));

    // One that tells what its rows count.
    let told = AccountId::new("17841400000000003");
    let mut budget = world.outside.budgets.load(&told).await.unwrap();
    assert!(budget.windows.encode_counts().is_some());
    budget.version += 1;
    world.outside.budgets.save(&told, &budget).await.unwrap();
    let item = find(&state, &format!("pace#{told}"), "budget");
    assert_eq!(world.lies(item).await, next(item));

    let mut cursor = world.outside.cursors.load(&id).await.unwrap();
    cursor.version += 1;
    world.outside.cursors.save(&id, &cursor).await.unwrap();
    let item = find(&state, &pace, "cursor");
    assert_eq!(world.lies(item).await, next(item));
    // Since broadcasts are known, one of which comments came.
    let (first, last) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
    cursor.broadcast = Some(Broadcast { first, last });
    cursor.version += 1;
    world.outside.cursors.save(&id, &cursor).await.unwrap();
    let mut with_broadcast = next(&next(item));
    with_broadcast.insert("broadcast".into(), json!({ "S": r#"{"first":1,"last":2}"# }));
    assert_eq!(world.lies(item).await, with_broadcast);
    assert_eq!(world.outside.cursors.load(&id).await.unwrap(), cursor);

    let mut watch = world.outside.watches.load(&id, Read::Consistent).await.unwrap();
    assert_eq!(watch.minutes.len(), 2);
    watch.version += 1;
    world.outside.watches.save(&id, &watch).await.unwrap();
    let item = find(&state, &pace, "echoes");
    assert_eq!(world.lies(item).await, next(item));

    let mut app = world.outside.app.load().await.unwrap();
    app.version += 1;
    world.outside.app.save(&app).await.unwrap();
    let item = find(&state, "app", "budget");
    assert_eq!(world.lies(item).await, next(item));
}

#[tokio::test]
async fn stored_holds_refusals_and_broadcasts_keep_their_form() {
    let (world, _, state) = laid().await;
    // What upkeep probes, and what a send does.
    for (account, cause) in
        [("17841400000000004", HoldCause::Refusing), ("17841400000000005", HoldCause::Failing)]
    {
        let id = AccountId::new(account);
        let mut budget = world.outside.budgets.load(&id).await.unwrap();
        let hold = budget.holds.current.as_ref().unwrap();
        assert_eq!((hold.cause, hold.upkeep_until.is_some()), (cause, true));
        let of_send = hold.probe.as_ref().unwrap().send.is_some();
        assert_eq!(of_send, cause == HoldCause::Failing);
        let of_campaign = budget.holds.refusals.campaign_held_until(&"menu".into(), START);
        assert!(of_campaign.is_some() && !budget.answers.is_empty());
        budget.version += 1;
        world.outside.budgets.save(&id, &budget).await.unwrap();
        let item = find(&state, &format!("pace#{account}"), "budget");
        assert_eq!(world.lies(item).await, next(item));
    }
    let id = AccountId::new("17841400000000004");
    let mut cursor = world.outside.cursors.load(&id).await.unwrap();
    assert!(cursor.broadcast.is_some());
    cursor.version += 1;
    world.outside.cursors.save(&id, &cursor).await.unwrap();
    let item = find(&state, &format!("pace#{id}"), "cursor");
    assert_eq!(world.lies(item).await, next(item));

    let [_, _, later] = kept();
    let item = find(&later, "app", "budget");
    world.lay(item).await;
    let mut app = world.outside.app.load().await.unwrap();
    assert_eq!((app.tiers, app.returned_at.is_some()), (Some([1, 2, 0]), true));
    assert_eq!(app.holds.current.as_ref().unwrap().cause, HoldCause::NearLimit);
    assert!(app.windows.encode_counts().is_some());
    app.version += 1;
    world.outside.app.save(&app).await.unwrap();
    assert_eq!(world.lies(item).await, next(item));
}

#[tokio::test]
async fn stored_accounts_keep_their_form() {
    let (world, _, state) = laid().await;
    let id = AccountId::new(CREATOR);
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    let campaign = account.campaigns.get(&CampaignId::new("guide")).unwrap().clone();
    let pk = format!("account#{CREATOR}");
    let items = [find(&state, &pk, "settings"), find(&state, &pk, "campaign#guide")];
    for item in items {
        world.remove(item).await;
    }
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    accounts.connect(&id, &account.rules, &account.token, &[campaign]).await.unwrap();
    // Since removals decide on what they have read, a campaign names the revision of its account.
    let [settings, _] = items;
    let [_, _, later] = kept();
    let mut campaign = find(&later, &pk, "campaign#guide").clone();
    // Since campaigns are asked in the order of their file, one has a place.
    campaign.insert("file_place".into(), json!({ "N": "0" }));
    assert_eq!(world.lies(&campaign).await, campaign);
    // Since there are revisions, settings that are written again have one.
    let mut settings = settings.clone();
    settings.insert("revision".into(), json!({ "N": "1" }));
    assert_eq!(world.lies(&settings).await, settings);
    let mut budget = find(&state, &format!("pace#{CREATOR}"), "budget").clone();
    let version: u64 = budget["version"]["N"].as_str().unwrap().parse().unwrap();
    budget.insert("version".into(), json!({ "N": (version + 1).to_string() }));
    budget.insert("revision".into(), json!({ "N": "1" }));
    budget.insert("grant".into(), world.lies(&budget).await["grant"].clone());
    assert_eq!(world.lies(&budget).await, budget);
    let again = world.outside.accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(again.revision, Revision(1));
    // So does an account that leases from the app's quotas.
    let mut profile = Profile::careful();
    profile.quotas[0].limit = Limit::Fixed(const { NonZeroU32::new(400).unwrap() });
    let leasing = Rules::new(profile, Terms::default()).unwrap();
    assert!(accounts.set_rules(&id, &leasing).await.unwrap());
    let item = find(&later, "app#leasing", CREATOR);
    assert_eq!(world.lies(item).await, *item);
    // Since albums match by their pictures, settings tell them.
    let mut albums = Albums::default();
    albums.put(&"30".into(), ["31".into(), "32".into()]);
    assert!(accounts.set_albums(&id, &albums).await.unwrap());
    // Since campaigns are for the next post, one tells it; another file takes it away.
    let post = NextPost::Is("1799".into());
    assert!(accounts.set_next_post(&id, &"guide".into(), &post).await.unwrap());
    let lies = world.lies(&campaign).await;
    assert_eq!(lies["next_post"], json!({ "S": r#"{"is":"1799"}"# }));
    let lies = world.lies(&settings).await;
    assert_eq!(lies["albums"], json!({ "S": r#"{"31":"30","32":"30"}"# }));
    // Since there are conversations, settings tell what the account sets for them, if anything.
    let hour = Duration::from_secs(3600);
    let set = ConversationSettings::new(vec!["basta".into()], vec!["go on".into()], hour);
    assert!(accounts.set_conversations(&id, &set).await.unwrap());
    let lies = world.lies(&settings).await;
    let form = r#"{"stop_words":["basta"],"start_words":["go on"],"takeover":"1h"}"#;
    assert_eq!(lies["conversations"], json!({ "S": form }));
    // Since there are disclosures, they tell of one.
    let disclosure = Disclosure::parse("I am a bot.").ok();
    let set = ConversationSettings::default().with_disclosure(disclosure);
    assert!(accounts.set_conversations(&id, &set).await.unwrap());
    let lies = world.lies(&settings).await;
    assert_eq!(lies["conversations"], json!({ "S": r#"{"disclosure":"I am a bot."}"# }));
    assert!(accounts.set_conversations(&id, &Default::default()).await.unwrap());
    assert!(!world.lies(&settings).await.contains_key("conversations"));
}

#[tokio::test]
async fn stored_sends_and_marks_keep_their_form() {
    let (world, sends, state) = laid().await;
    let id = AccountId::new(CREATOR);
    let ledger = world.ledger();
    let mut stages = BTreeSet::new();
    for item in &sends {
        let stored = ledger.find(&send_id(item)).await.unwrap().unwrap();
        // Since sends say what call they make, those whose lane does not tell name it.
        let is_answer = item.contains_key("action");
        let opening = Content::opening(text(item, "campaign").as_str());
        if item.contains_key("step") {
            let step = CampaignStep::PublicReply;
            assert_eq!(stored.class, Class::PUBLIC_REPLY);
            assert_eq!(stored.content, Content { step, ..opening });
        } else {
            assert_eq!(stored.class, if is_answer { Class::ANSWER } else { Class::PRIVATE_REPLY });
            assert_eq!(stored.content, opening);
        }
        world.remove(item).await;
        match &stored.state {
            State::Waiting(send) => {
                assert_eq!(send.not_before.is_some(), is_answer);
                stages.insert(text(item, "stage"));
                world.replay(&stored, send).await;
            }
            State::Ended { outcome, at } => {
                let task = world.replay(&stored, &recorded(&stored)).await;
                let error = stored.last_refusal.as_ref().map(|refusal| &refusal.error);
                let note = StepNote { at: *at, error };
                world.outside.sends.finish(&task, outcome, note).await.unwrap();
            }
        }
        // Who has written a step or an end is drawn anew; items of before have none.
        let is_changed = !stored.steps.is_empty() || matches!(stored.state, State::Ended { .. });
        let mut lies = world.lies(item).await;
        assert_eq!(lies.remove("written_by").is_some(), is_changed);
        let mut kept = item.clone();
        kept.remove("written_by");
        assert_eq!(lies, kept);
    }
    assert_eq!(stages.len(), 3, "{stages:?}");

    let batches = world.batches(CREATOR).await;
    let items: Vec<&Item> =
        state.iter().filter(|item| text(item, "pk").starts_with("waiting#")).collect();
    let lines = || batches.iter().flat_map(|batch| &batch.lines);
    assert!(lines().any(|line| line.slot.is_none()) && lines().any(|line| line.slot.is_some()));
    let later = batches.iter().find(|batch| batch.class == Class::ANSWER).unwrap();
    assert_eq!(later.lines[0].not_before, Some(START + Duration::from_secs(3600)));
    assert_eq!(world.waiting(CREATOR).await.len(), lines().count());
    assert_eq!(batches.len(), items.len());
    for (item, batch) in items.into_iter().zip(&batches) {
        world.remove(item).await;
        world.outside.sends.put_batches(std::slice::from_ref(batch)).await.unwrap();
        assert_eq!(world.lies(item).await, *item);
        let rewritten = OutboxBatch { version: batch.version + 1, ..batch.clone() };
        assert!(world.outside.sends.rewrite(&rewritten).await.unwrap());
        let mut lies = world.lies(item).await;
        assert!(lies.remove("written_by").is_some());
        assert_eq!(lies, next(item));
    }
    let marked = world.outside.backlogs.marked().await.unwrap();
    assert!(marked.iter().any(|(account, _)| *account == id), "{marked:?}");
}

/// What operators do by hand: a stop, a paused campaign, a cancelled send.
#[tokio::test]
async fn what_is_stored_by_hand_keeps_its_form() {
    let (world, sends, state) = laid().await;
    let [_, _, later] = kept();
    let id = AccountId::new(OTHER);
    let mut budget = world.outside.budgets.load(&id).await.unwrap();
    assert_eq!(budget.holds.stopped_until(START), Some(Timestamp::NEVER));
    budget.version += 1;
    world.outside.budgets.save(&id, &budget).await.unwrap();
    let item = find(&state, &format!("pace#{OTHER}"), "budget");
    assert_eq!(world.lies(item).await, next(item));

    let campaign = CampaignId::new("everything");
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(account.campaigns.running(&campaign), Running::PausedSince(START));
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    let item = find(&state, &format!("account#{OTHER}"), "campaign#everything");
    assert!(accounts.set_running(&id, &campaign, Running::Active).await.unwrap());
    assert!(!world.lies(item).await.contains_key("paused_at"));
    assert!(accounts.set_running(&id, &campaign, Running::PausedSince(START)).await.unwrap());
    assert_eq!(world.lies(item).await, *item);

    let item = sends.iter().find(|item| text(item, "id").starts_with(OTHER)).unwrap();
    let stored = world.ledger().find(&send_id(item)).await.unwrap().unwrap();
    let outcome = Outcome::Cancelled { reason: CancelReason::Operator };
    assert_eq!(stored.state, State::Ended { outcome, at: START });

    // Its person was forgotten.
    assert!(account.forgotten.holds(&stored.id.key));
    let pk = format!("account#{OTHER}");
    let is_left =
        |item: &&Item| text(item, "pk") == pk && text(item, "sk").starts_with("forgotten");
    let left: Vec<&Item> = state.iter().filter(is_left).collect();
    let [key, tombstone] = left[..] else { panic!("{left:?}") };
    world.remove(tombstone).await;
    assert!(world.ledger().write_tombstone(&stored, START).await.unwrap());
    assert_eq!(world.lies(tombstone).await, *tombstone);
    assert_eq!(world.lies(key).await, *key);
    let forgotten = later.iter().find(|one| text(one, "id") == text(item, "id")).unwrap();
    assert_eq!(world.lies(forgotten).await, *forgotten);
    assert!(world.ledger().find(&stored.id).await.unwrap().unwrap().is_forgotten);
}

#[tokio::test]
async fn stored_journals_keep_their_form() {
    let (world, _, state) = laid().await;
    let id = AccountId::new(CREATOR);
    let mut lines = world.outside.journal.list(&id, Timestamp::EPOCH, 10).await.unwrap();
    // That the stack has connected it.
    lines.retain(|line| line.what != Event::Connected { token_ends: None });
    let pk = format!("journal#{CREATOR}");
    let items: Vec<&Item> = state.iter().filter(|item| text(item, "pk") == pk).collect();
    assert_eq!(lines.len(), items.len());
    for item in &items {
        world.remove(item).await;
    }
    for line in &lines {
        world.outside.journal.append(line).await.unwrap();
    }
    for item in items {
        assert_eq!(world.lies(item).await, *item);
    }
}

/// An account that came with upkeep.
const KEPT: &str = "17841400000000003";

#[tokio::test]
async fn stored_misses_keep_their_form() {
    let (world, _, state) = laid().await;
    let (id, pk) = (AccountId::new(CREATOR), format!("misses#{CREATOR}"));
    let misses = &world.outside.misses;
    let day = Day::of(START);
    let stored = misses.load(&id, day, Read::Consistent).await.unwrap();
    assert_eq!((stored.tally.total(), stored.tally.slots().len()), (45, 2));
    assert_eq!(misses.days(&id, day).await.unwrap(), [(day, stored.clone())]);
    let item = find(&state, &pk, &format!("day#{day}"));
    world.remove(item).await;
    // The first write is on the condition that there is none.
    let first = MissDay { version: 1, ..stored.clone() };
    assert_eq!(misses.save(&id, day, &first).await.unwrap(), Saved::Done);
    let mut lies = world.lies(item).await;
    lies.insert("version".into(), item["version"].clone());
    assert_eq!(lies, *item);

    let samples = misses.samples(&id, START, START).await.unwrap();
    let [sample] = &samples[..] else { panic!("{samples:?}") };
    assert_eq!((sample.text.key, sample.person.is_some()), (1, true));
    let item = find(&state, &pk, &format!("sample#{day}#00"));
    world.remove(item).await;
    misses.put_sample(&id, day, 0, sample).await.unwrap();
    assert_eq!(world.lies(item).await, *item);

    // The newest key seals.
    let text = SampleText::of(&Comment::new("so nice"));
    let sealed = world.outside.sample_keys.seal(&id, &[&text]).await.unwrap().unwrap();
    assert_eq!(sealed[0].key, 7);
}

#[tokio::test]
async fn stored_leads_keep_their_form() {
    let world = World::start(careful()).await;
    let [_, _, later] = kept();
    let (id, pk) = (AccountId::new(CREATOR), format!("leads#{CREATOR}"));
    let item = later.iter().find(|item| text(item, "pk") == pk).unwrap();
    world.lay(item).await;
    let leads = &world.outside.leads;
    let page = leads.list(&id, START, START, None).await.unwrap();
    let [lead] = &page.leads[..] else { panic!("{page:?}") };
    assert_eq!((lead.campaign.as_str(), lead.email.key), ("talk", 1));
    assert_eq!(lead.kept_until.since(lead.at), Duration::from_secs(400 * 24 * 3600));
    world.remove(item).await;
    leads.store(&id, lead).await.unwrap();
    assert_eq!(world.lies(item).await, *item);
}

#[tokio::test]
async fn stored_tokens_keep_their_form() {
    let (world, _, state) = laid().await;
    let (id, tokens) = (AccountId::new(KEPT), &world.outside.tokens);
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    let kept = tokens.load(&id).await.unwrap().unwrap();
    let next = kept.next.unwrap();
    let item = find(&state, &format!("account#{KEPT}"), "settings");
    world.remove(item).await;
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    accounts.connect(&id, &account.rules, &kept.token, &[]).await.unwrap();
    tokens.note_life(&id, &kept.token, kept.life).await.unwrap();
    assert!(tokens.keep_next(&id, &kept.token, &next).await.unwrap());
    assert_eq!(world.lies(item).await, *item);
    // Those of before have a token, and nothing is known of its life.
    let before = tokens.load(&AccountId::new(CREATOR)).await.unwrap().unwrap();
    assert_eq!((before.life, before.next), (TokenLife::default(), None));
    assert!(tokens.swap(&id, &next).await.unwrap());
    let swapped = tokens.load(&id).await.unwrap().unwrap();
    assert_eq!((swapped.token, swapped.life, swapped.next), (next.token, next.life, None));
}

#[tokio::test]
async fn stored_upkeep_and_wishes_keep_their_form() {
    let (world, _, state) = laid().await;
    let (id, maintenance, deletions) =
        (AccountId::new(KEPT), &world.outside.maintenance, &world.outside.deletions);
    let found =
        |prefix: &str| state.iter().find(|item| text(item, "pk").starts_with(prefix)).unwrap();
    let (kept, alias, deletion) = (found("upkeep#"), found("alias#"), found("deletion#"));

    let due = maintenance.due(Timestamp::NEVER).await.unwrap();
    let due = due.iter().find(|(account, _)| *account == id).unwrap().1;
    let until = due + Duration::from_secs(60);
    let record = maintenance.visit(&id, due, until).await.unwrap().unwrap();
    assert_eq!(maintenance.visit(&id, due, until).await.unwrap(), None, "one run has it");
    assert_eq!(maintenance.named("9178").await.unwrap(), Some(id.clone()));
    let Deletion { asked_at, done_at, .. } = deletions.status("c0de").await.unwrap().unwrap();
    let (set_aside, unmatched) = (found("deletion#5"), found("unmatched#"));
    let [request] = &deletions.unmatched("9179").await.unwrap()[..] else { panic!("one is kept") };
    let kept_until = deletions.status(&request.code).await.unwrap().unwrap().kept_until;
    assert_eq!(kept_until, Some(request.kept_until));
    for item in [set_aside, unmatched] {
        world.remove(item).await;
    }
    deletions.set_aside("9179", request).await.unwrap();
    for item in [set_aside, unmatched] {
        assert_eq!(world.lies(item).await, *item);
    }
    for item in [kept, alias, deletion] {
        world.remove(item).await;
    }

    maintenance.record_seen(&id, record.last_seen.unwrap()).await.unwrap();
    let (backfill, removed) = (record.backfill_asked_at.unwrap(), record.deauthorized_at.unwrap());
    maintenance.ask(&id, &UpkeepRequest::Backfill, backfill).await.unwrap();
    maintenance.ask(&id, &UpkeepRequest::Deauthorize, removed).await.unwrap();
    maintenance
        .ask(&id, &UpkeepRequest::Delete { code: record.delete.first().unwrap().clone() }, due)
        .await
        .unwrap();
    maintenance.note(&id, &record.upkeep).await.unwrap();
    maintenance.alias(&id, "9178").await.unwrap();
    deletions.asked("c0de", None, asked_at.unwrap()).await.unwrap();
    deletions.deleted("c0de", done_at.unwrap()).await.unwrap();
    for item in [kept, alias, deletion] {
        assert_eq!(world.lies(item).await, *item);
    }

    // One that was found to be void.
    let void = found("deletion#701d");
    let Deletion { asked_at, issued_at, void_at, .. } =
        deletions.status("701d").await.unwrap().unwrap();
    assert!(issued_at.is_some());
    world.remove(void).await;
    deletions.asked("701d", issued_at, asked_at.unwrap()).await.unwrap();
    deletions.voided("701d", void_at.unwrap()).await.unwrap();
    assert_eq!(world.lies(void).await, *void);

    // What is owed to an account that was unsubscribed, and media that are not read to the end.
    let owed = state.iter().rfind(|item| text(item, "pk").starts_with("upkeep#")).unwrap();
    let account = AccountId::new(CREATOR);
    let record = maintenance.record(&account).await.unwrap().unwrap();
    assert!(record.upkeep.unread_since.is_some() && !record.upkeep.unfinished.is_empty());
    maintenance.note(&account, &record.upkeep).await.unwrap();
    assert_eq!(world.lies(owed).await, *owed);

    // Before, only what upkeep knows told by which id the app names the account, and one deletion
    // was known.
    let mut before = kept.clone();
    before.remove("aliases").unwrap();
    before.remove("delete_codes").unwrap();
    world.lay(&before).await;
    let before = maintenance.record(&id).await.unwrap().unwrap();
    assert!(before.delete.iter().eq(["c0de"]), "{before:?}");
    let due = before.due;
    assert!(maintenance.strike_off(&id, due).await.unwrap());
    for item in [kept, alias] {
        assert_eq!(world.lies(item).await, Item::new());
    }
}

#[test]
fn messages_in_flight_are_read() {
    let send = r#"{"v":"1","send":{"account":"178","event":"179"},"place":"1#00001790000000#179#ab","epoch":3,"lane":"inbound","campaign":"guide","deadline":1790000000000,"recipient":"52"}"#;
    assert_eq!(SendTask::decode(send).unwrap().encode(), send);
    let answer = send.replace(r#""lane":"inbound","#, r#""lane":"inbound","action":"message","#);
    assert_eq!(SendTask::decode(&answer).unwrap().class, Class::ANSWER);
    assert_eq!(SendTask::decode(&answer).unwrap().encode(), answer);
    let step = send.replace(r#""campaign":"guide","#, r#""campaign":"guide","step":"gate","#);
    assert_eq!(SendTask::decode(&step).unwrap().content.step, CampaignStep::Gate);
    assert_eq!(SendTask::decode(&step).unwrap().encode(), step);
    // The epoch of a look is one at which an earlier version finds no claimed send.
    let look = send.replace(r#""epoch":3,"#, r#""epoch":0,"look":3,"#);
    assert_eq!(SendTask::decode(&look).unwrap().purpose, Purpose::Look);
    assert_eq!(SendTask::decode(&look).unwrap().encode(), look);
    let release = r#"{"v":"1","account":"178"}"#;
    let read: ReleaseMessage = serde_json::from_str(release).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), release);
}

/// A person's item: the send that answers them first, beside what they were answered.
#[tokio::test]
async fn stored_people_keep_their_form() {
    let world = World::start(careful()).await;
    let [_, _, later] = kept();
    let item = later.iter().find(|item| text(item, "id").contains("/p.")).unwrap();
    world.lay(item).await;
    let (id, person) = (send_id(item), RecipientId::new("5260000000000070"));
    let sends = &world.outside.sends;
    let known = sends
        .look_up(&id.account, &[], std::slice::from_ref(&person), Read::Consistent)
        .await
        .unwrap();
    let Person { answered, first } = &known.people[&person];
    let Entry::Waiting(outbox_key, send) = first.clone() else { panic!("{first:?}") };
    assert_eq!(answered.named_at(&"17890000000000070".into()), Some(START));
    assert_eq!((&send.id, send.to.recipient()), (&id, Some(&person)));

    world.remove(item).await;
    let answered = Some(answered.clone());
    let new = NewSend { outbox_key, send: *send, answered };
    let recorded = sends.record(&[new]).await;
    assert!(matches!(recorded[..], [Ok(Recorded::New)]), "{recorded:?}");
    assert_eq!(world.lies(item).await, *item);
    let stored = world.ledger().find(&id).await.unwrap().unwrap();
    assert_eq!(stored.comment, Some("17890000000000070".into()));
}

/// A campaign with everything that may follow an opening.
#[tokio::test]
async fn what_follows_an_opening_keeps_its_form() {
    let world = World::start(careful()).await;
    let [_, _, later] = kept();
    let (id, pk) = (AccountId::new(CREATOR), format!("account#{CREATOR}"));
    let campaign = find(&later, &pk, "campaign#talk");
    world.lay(campaign).await;
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    let talk = account.campaigns.get(&"talk".into()).unwrap().clone();
    talk.check().unwrap();
    let then = talk.then.as_ref().unwrap();
    assert!(then.follow.is_some() && then.email.is_some());
    assert_eq!((then.answer.len(), then.deliver.len(), then.follow_up.len()), (1, 3, 1));
    world.remove(campaign).await;
    let put = CampaignChanges { put: &[talk], ..CampaignChanges::default() };
    assert!(world.outside.changes.change_campaigns(&id, &put).await.unwrap());
    let text_of = |item: &Item| text(item, "campaign");
    assert_eq!(text_of(&world.lies(campaign).await), text_of(campaign));
}

/// A campaign on conversations, and the answer to a story reply in its person's item.
#[tokio::test]
async fn answers_to_what_people_write_keep_their_form() {
    let world = World::start(careful()).await;
    let [_, _, later] = kept();
    let (id, pk) = (AccountId::new(CREATOR), format!("account#{CREATOR}"));
    let campaign = find(&later, &pk, "campaign#dm");
    world.lay(campaign).await;
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    let dm = account.campaigns.get(&"dm".into()).unwrap().clone();
    assert_eq!(dm.on, [Trigger::Message, Trigger::StoryReply]);
    world.remove(campaign).await;
    let put = CampaignChanges { put: &[dm], ..CampaignChanges::default() };
    assert!(world.outside.changes.change_campaigns(&id, &put).await.unwrap());
    let text_of = |item: &Item| text(item, "campaign");
    assert_eq!(text_of(&world.lies(campaign).await), text_of(campaign));

    let entries = ["5270000000000001", "5270000000000002"].map(|person| {
        let id = format!("{CREATOR}/p.{person}");
        (later.iter().find(|item| text(item, "id") == id).unwrap(), RecipientId::new(person))
    });
    // The first was written before entries named the trigger.
    assert!(!entries[0].0.contains_key("trigger"));
    for (entry, person) in entries {
        let mut written = entry.clone();
        written.insert("trigger".into(), json!({ "S": "story_reply" }));
        keeps_its_form(&world, &id, entry, &written, &person).await;
    }
}

async fn keeps_its_form(
    world: &World,
    id: &AccountId,
    entry: &Item,
    written: &Item,
    person: &RecipientId,
) {
    world.lay(entry).await;
    let people = std::slice::from_ref(person);
    let lookup = world.outside.sends.look_up(id, &[], people, Read::Consistent).await.unwrap();
    let known = &lookup.people[person];
    let Entry::Waiting(outbox_key, send) = known.first.clone() else { panic!("{known:?}") };
    assert_eq!((send.class, send.trigger()), (Class::ANSWER, Trigger::StoryReply));
    assert_eq!(send.to, Address::Person(person.clone()));
    let event = OnceKey::event(&["message", "m1"]);
    assert_eq!(known.answered.answering(&event), Some(Nth::First));
    world.remove(entry).await;
    let answered = Some(known.answered.clone());
    let new = [NewSend { outbox_key, send: *send, answered }];
    let recorded = world.outside.sends.record(&new).await;
    assert!(recorded.iter().all(Result::is_ok));
    assert_eq!(world.lies(entry).await, *written);
}

/// What is kept of a conversation, and its sends: one whose message a read of the profile chooses, and a
/// follow-up.
#[tokio::test]
async fn conversations_and_their_sends_keep_their_form() {
    let world = World::start(careful()).await;
    let [_, _, later] = kept();
    let (id, person) = (AccountId::new(CREATOR), RecipientId::new("5260000000000041"));
    let talk = find(&later, &format!("talk#{CREATOR}"), person.as_str());
    let is_step = |item: &&Item| text(item, "id").starts_with(&format!("{CREATOR}/s."));
    let entries: Vec<&Item> = later.iter().filter(is_step).collect();
    world.lay(talk).await;
    for entry in &entries {
        world.lay(entry).await;
    }
    let conversations = &world.outside.conversations;
    let StoredConversation { state, version } =
        conversations.load(&id, &person, Read::Consistent).await.unwrap();
    assert_eq!((version, state.follow_ups().len()), (1, 1));
    // Since there are disclosures, a conversation tells of the latest one.
    let mut disclosed = talk.clone();
    let form = text(talk, "state").replacen(
        "\"dropped\"",
        "\"disclosed\":{\"by\":7,\"at\":8},\"dropped\"",
        1,
    );
    disclosed.insert("state".into(), json!({ "S": form }));
    world.remove(talk).await;
    world.lay(&disclosed).await;
    let kept = conversations.load(&id, &person, Read::Consistent).await.unwrap();
    let stored = serde_json::to_string(&StoredState::from(&kept.state)).unwrap();
    assert_eq!(stored, form);
    world.remove(&disclosed).await;

    let ids: Vec<SendId> = entries.iter().map(|entry| send_id(entry)).collect();
    let found = world.outside.sends.entries(&ids, Read::Consistent).await.unwrap();
    let mut new = Vec::new();
    for entry in found {
        let Entry::Waiting(outbox_key, send) = entry else { panic!("{entry:?}") };
        new.push(NewSend { outbox_key, send: *send, answered: None });
    }
    let [gate, follow_up] = &new[..] else { panic!("{new:?}") };
    assert_eq!(gate.send.content.step, CampaignStep::Gate);
    assert_eq!(follow_up.send.content.step, CampaignStep::Then(Step::FollowUp(0)));
    assert!(follow_up.send.not_before.is_some());
    assert!(new.iter().all(|new| new.send.turn.is_some()));

    for item in entries.iter().chain([&talk]) {
        world.remove(item).await;
    }
    let turnover = Turnover {
        account: &id,
        person: &person,
        version: 0,
        next: &state,
        new: &new,
        cause: None,
    };
    assert_eq!(conversations.turn_over(turnover).await.unwrap(), TurnedOver::Done);
    for item in entries.into_iter().chain([talk]) {
        assert_eq!(world.lies(item).await, *item);
    }
    // Since there are outbound runs, an opening may name its conversation.
    let (origin, begun_at) = (Origin::from_u64(7), world.now());
    let key = StepKey { origin, step: Step::Opening, attempt: 0 }.once_key(&person);
    let send = PendingSend {
        turn: Some(Turn { origin, nth: 0, begun_at }),
        ..PendingSend::new(
            SendId { account: id, key },
            Class::OUTBOUND,
            Content::opening("talk"),
            Address::Person(person),
            begun_at,
            begun_at + Duration::from_secs(3600),
        )
    };
    let outbox_key = OutboxKey::new(&send, 1);
    let item = json!({ "id": { "S": send.id.to_string() } });
    let new = [NewSend { outbox_key: outbox_key.clone(), send: send.clone(), answered: None }];
    assert!(world.outside.sends.record(&new).await.iter().all(Result::is_ok));
    let lies = world.lies(&serde_json::from_value(item).unwrap()).await;
    let body = r#"{"lane":"outbound","to":{"person":"5260000000000041"},"order":"oldest_first","turn":{"origin":7,"nth":0,"begun_at":1788800400000},"deadline":1788804000000}"#;
    assert_eq!(text(&lies, "body"), body);
    let ids = [send.id.clone()];
    let found = world.outside.sends.entries(&ids, Read::Consistent).await.unwrap();
    assert_eq!(found, [Entry::Waiting(outbox_key, Box::new(send))]);
}
