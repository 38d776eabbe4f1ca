//! What operators do by hand, in virtual time: stops, pauses, cancelled sends and retries, against
//! functions that are warm and at work.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use spillway_core::campaign::Campaign;
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::quota::GRANT_LIFE;
use spillway_core::send::{NoRetry, Outcome, PendingSend, REPLY_WINDOW, Step};
use spillway_core::time::Timestamp;
use spillway_graph::{Fault, FaultKind};
use spillway_service::admin::sends::{Cancelled, RetryError, SendAdmin};
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::send_task::SendTask;

use crate::harness::{CREATOR, Said, World, all_said, body, careful, quotas, said};

const HOUR: Duration = Duration::from_secs(3600);

fn operator(world: &World) -> Arc<SendAdmin> {
    world.outside.admin().sends
}

async fn pause(world: &World, account: &AccountId, campaign: &CampaignId) -> bool {
    world.outside.admin().accounts.pause(account, campaign).await.unwrap().changed
}

async fn resume(world: &World, account: &AccountId, campaign: &CampaignId) -> bool {
    world.outside.admin().accounts.resume_campaign(account, campaign).await.unwrap().changed
}

#[tokio::test]
async fn after_a_stop_by_hand_no_process_calls_until_it_ends() {
    let mut world = World::start(careful()).await;
    let comments = all_said(0..200);
    world.say(&comments).await;
    world.pass_secs(300).await;
    let before = world.calls().len();
    assert!((10..20).contains(&before), "warm and at work: {before} calls");
    let id = AccountId::new(CREATOR);
    // The process that is warm knows nothing of this but what the budget's version tells it.
    let until = world.now() + HOUR;
    world.outside.limiter().stop(&id, until, Some("a test")).await.unwrap();
    let stopped = world.now();
    world.say(&all_said(200..220)).await;
    world.pass(HOUR - Duration::from_secs(60)).await;
    let late = world
        .calls()
        .into_iter()
        .filter(|call| Timestamp::from_millis(call.at_ms) > stopped + GRANT_LIFE);
    assert_eq!(late.count(), 0);
    assert!(world.calls().len() <= before + 1);
    // It ends by itself, without a probe; then one without an end, ended by hand.
    world.pass(HOUR).await;
    let went_on = world.calls().len();
    assert!(went_on > before + 100, "{went_on} after {before}");
    world.outside.limiter().stop(&id, Timestamp::NEVER, None).await.unwrap();
    world.pass(12 * HOUR).await;
    assert!(world.calls().len() <= went_on + 1);
    world.outside.limiter().resume(&id).await.unwrap();
    world.outside.backlogs.wake(&id, world.now()).await.unwrap();
    world.pass(Duration::from_secs(1200)).await;
    assert!(world.calls().len() >= 218, "{}", world.calls().len());
    world.settle().await;
    let report = world.over(220).await;
    assert_eq!(report.sent, 220);
}

#[tokio::test]
async fn what_waits_for_a_paused_campaign_waits_until_its_deadline_and_no_longer() {
    let mut world = World::start(careful()).await;
    let (id, guide) = (AccountId::new(CREATOR), CampaignId::new("guide"));
    // Told of late: their deadline is three hours ahead.
    let comments = all_said(0..40);
    world.observe(&comments);
    let written_at = world.now() + 3 * HOUR - REPLY_WINDOW;
    assert_eq!(world.post(&body(written_at.as_secs(), &comments)).await, 200);
    world.pass_secs(120).await;
    assert!(pause(&world, &id, &guide).await);
    let before = world.calls().len();
    world.pass_secs(61).await;
    assert!(world.calls().len() <= before + 1, "a call may have been granted before");
    // In a minute every process has heard of it: nothing new is matched.
    let later = said(50);
    world.say(std::slice::from_ref(&later)).await;
    assert!(world.told(&later).await.is_none());
    world.pass(HOUR).await;
    assert!(world.calls().len() <= before + 1);
    let waiting = world.waiting(CREATOR).await.len();
    assert!(waiting >= 30, "{waiting}");

    assert!(resume(&world, &id, &guide).await);
    world.pass_secs(300).await;
    let resumed = world.calls().len();
    assert!(resumed > before + 5, "{resumed} after {before}: goes on at once");
    assert!(pause(&world, &id, &guide).await);
    world.settle().await;
    let report = world.report().await;
    assert_eq!((report.sent + report.expired, report.duplicates), (40, 0));
    assert!(report.expired > 0 && world.waiting(CREATOR).await.is_empty(), "{report:?}");
}

/// A webhook remembers its account for a minute: what it matches meanwhile is not sent, and not
/// lost.
#[tokio::test]
async fn a_comment_in_the_minute_after_a_pause_waits_like_those_before_it() {
    let mut world = World::start(careful()).await;
    let (id, guide) = (AccountId::new(CREATOR), CampaignId::new("guide"));
    let (before, meanwhile) = (all_said(0..3), said(3));
    world.say(&before).await;
    world.pass_secs(200).await;
    let reminder = [said(4)];
    world.say(&reminder).await;
    let calls = world.calls().len();
    assert!(pause(&world, &id, &guide).await);
    world.say(std::slice::from_ref(&meanwhile)).await;
    assert!(world.told(&meanwhile).await.is_some(), "the webhook has not heard of it");
    world.pass(HOUR).await;
    assert_eq!(world.calls().len(), calls, "the sender has");
    assert_eq!(world.waiting(CREATOR).await.len(), 2);

    assert!(resume(&world, &id, &guide).await);
    world.pass(HOUR).await;
    let all: Vec<Said> = before.into_iter().chain(reminder).chain([meanwhile]).collect();
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn of_a_sender_and_whoever_cancels_one_is_first() {
    let mut world = World::start(careful()).await;
    let comments = all_said(0..6);
    world.say(&comments).await;
    let operator = operator(&world);
    let id = AccountId::new(CREATOR);
    let waiting = operator.waiting(&id, |_| true, 100).await.unwrap();
    assert_eq!(waiting.len(), 6);
    // Cancelled with a message on the queue: the message is void.
    let (outbox_key, send) = &waiting[5];
    assert_eq!(operator.cancel(outbox_key, send).await.unwrap(), Cancelled::Done);
    world.clock.step(Duration::from_millis(1));
    assert_eq!(operator.cancel(outbox_key, send).await.unwrap(), Cancelled::MovedOn);
    // Claimed: left alone, whatever was seen of it.
    let (outbox_key, send) = &waiting[4];
    let lease_until = world.now() + Duration::from_secs(60);
    let task = SendTask::new(send, outbox_key.clone());
    let claim = Step::Claim { lease_until };
    let claimed = world.outside.sends.step(&task, claim, world.now().into()).await.unwrap();
    assert_eq!(operator.cancel(outbox_key, send).await.unwrap(), Cancelled::MovedOn);
    let answer = operator.cancel(outbox_key, &claimed.unwrap()).await.unwrap();
    assert_eq!(answer, Cancelled::Claimed(lease_until));
    // Whoever claimed it has made no call, as the conversation shows.
    world.stack.graph.open_window(CREATOR, comments[4].author.as_str());
    world.settle().await;
    let report = world.over(6).await;
    assert_eq!((report.sent, report.cancelled), (5, 1));
    let told = world.told(&comments[5]).await.unwrap();
    assert_eq!((told.state.as_str(), told.reason()), ("cancelled", "operator"));
}

#[tokio::test]
async fn what_is_cancelled_is_listed_no_more() {
    let mut world = World::start(careful()).await;
    let comments = all_said(0..60);
    world.say(&comments).await;
    let (operator, id) = (operator(&world), AccountId::new(CREATOR));
    let is_even = |send: &PendingSend| send.id.key.as_str().ends_with(['0', '2', '4', '6', '8']);
    let cancelled = operator.cancel_waiting(&id, is_even, |_| ()).await.unwrap();
    assert_eq!((cancelled.done, cancelled.left), (30, 0));
    let lines = world.batches(CREATOR).await.into_iter().flat_map(|batch| batch.lines);
    assert_eq!(lines.filter(|line| line.key.as_str().ends_with('4')).count(), 0);
    assert_eq!(world.waiting(CREATOR).await.len(), 30);
    let cancelled = operator.cancel_waiting(&id, |_| true, |_| ()).await.unwrap();
    assert_eq!((cancelled.done, cancelled.left), (30, 0));
    assert_eq!(world.batches(CREATOR).await, []);
    world.settle().await;
    let report = world.over(60).await;
    assert_eq!((report.cancelled, report.graph_calls), (60, 0));
}

/// Whoever ends a send a second time, late, changes nothing.
#[tokio::test]
async fn the_first_end_of_a_send_stays() {
    let mut world = World::start(careful()).await;
    world.say(&[said(0)]).await;
    let [(outbox_key, send)] = world.waiting(CREATOR).await.try_into().unwrap();
    let task = SendTask::new(&send, outbox_key);
    assert_eq!(operator(&world).cancel(&task.outbox_key, &send).await.unwrap(), Cancelled::Done);
    let first = world.told(&said(0)).await.unwrap();
    let sends = &world.outside.sends;
    sends.finish(&task, &Outcome::Expired, (world.now() + HOUR).into()).await.unwrap();
    assert!(!sends.finish_unclaimed(&task, &Outcome::Expired, world.now()).await.unwrap());
    assert_eq!(world.told(&said(0)).await.unwrap(), first);
    world.settle().await;
    world.over(1).await;
}

#[tokio::test]
async fn a_failed_send_is_retried_once_and_only_where_no_second_dm_can_come() {
    let mut world = World::start(quotas("200/1h", "1000/24h")).await;
    world.stack.graph.order_fault(Fault::new(FaultKind::RecipientUnavailable));
    let failed = said(0);
    world.say(std::slice::from_ref(&failed)).await;
    world.pass_secs(60).await;
    assert_eq!(world.state_of(&failed).await, "failed");
    let operator = operator(&world);
    let id = failed.send();
    let (one, other) = futures::join!(operator.retry(&id), operator.retry(&id));
    let moved_on = |result: &Result<_, RetryError>| {
        matches!(result, Err(RetryError::MovedOn | RetryError::Never(NoRetry::Waiting)))
    };
    assert!(one.is_ok() && moved_on(&other) || other.is_ok() && moved_on(&one));
    assert!(matches!(operator.retry(&id).await, Err(RetryError::Never(NoRetry::Waiting))));
    world.settle().await;
    let report = world.over(1).await;
    assert_eq!((report.sent, report.graph_calls), (1, 2));
    assert!(matches!(operator.retry(&id).await, Err(RetryError::Never(NoRetry::Sent))));
    let unknown = said(9).send();
    assert!(matches!(operator.retry(&unknown).await, Err(RetryError::Unknown)));
}

/// The batch is there, and the entry was never opened again: somebody else may be about to.
#[tokio::test]
async fn a_retry_that_died_halfway_leaves_nothing_and_can_be_made_again() {
    let mut world = World::start(careful()).await;
    let comments = all_said(0..2);
    world.stack.graph.order_fault(Fault::new(FaultKind::RecipientUnavailable));
    world.say(&comments).await;
    let [mut batch] = world.batches(CREATOR).await.try_into().unwrap();
    world.settle().await;
    let failed = &comments[usize::from(world.state_of(&comments[0]).await != "failed")];
    assert_eq!(world.state_of(failed).await, "failed");

    batch.lines.retain(|line| line.key == failed.send().key);
    batch.lines[0].slot = None;
    let outbox_key = OutboxKey::from_stored(format!("{}f", batch.key_of(&batch.lines[0]).as_str()));
    let batch = OutboxBatch { outbox_key, written_at: world.now(), ..batch };
    let id = AccountId::new(CREATOR);
    world.outside.backlogs.wake(&id, world.now()).await.unwrap();
    world.outside.sends.put_batches(&[batch]).await.unwrap();
    world.pass_secs(1800).await;
    assert_eq!(world.batches(CREATOR).await.len(), 1);
    operator(&world).retry(&failed.send()).await.unwrap();
    world.settle().await;
    let report = world.over(2).await;
    assert_eq!((report.sent, report.graph_calls), (2, 3));
}

/// The entry says that nobody knows; in truth the DM went out.
#[tokio::test]
async fn a_retry_of_what_had_arrived_ends_as_sent_with_one_dm() {
    let mut world = World::start(careful()).await;
    let arrived = said(0);
    world.say(std::slice::from_ref(&arrived)).await;
    world.pass_secs(60).await;
    let id = arrived.send();
    let update = world.stack.dynamo.update_item().table_name(&world.stack.config.sends_table);
    update
        .key("id", AttributeValue::S(id.to_string()))
        .update_expression("SET #s = :failed, outcome = :outcome")
        .expression_attribute_names("#s", "state")
        .expression_attribute_values(":failed", AttributeValue::S("failed".into()))
        .expression_attribute_values(
            ":outcome",
            AttributeValue::S(r#"{"state":"failed","reason":"no_answer"}"#.into()),
        )
        .send()
        .await
        .unwrap();
    operator(&world).retry(&id).await.unwrap();
    world.settle().await;
    // The call is made, and Meta refuses it.
    let report = world.over_but_for_duplicates(1).await;
    assert_eq!((report.sent, report.graph_calls), (1, 2));
    assert_eq!(world.dms().len(), 1);
}

/// Items of both tables in which this text is found.
async fn items_with(world: &World, text: &str) -> usize {
    let mut found = 0;
    for table in [&world.stack.config.sends_table, &world.stack.config.state_table] {
        let items = world.stack.dynamo.scan().table_name(table).send().await.unwrap();
        found += items.items().iter().filter(|item| format!("{item:?}").contains(text)).count();
    }
    found
}

/// As DynamoDB does, within two days.
async fn delete_what_is_over(world: &World) {
    let table = &world.stack.config.sends_table;
    let items = world.stack.dynamo.scan().table_name(table).send().await.unwrap();
    for item in items.items() {
        let expires_at: u64 = item["expires_at"].as_n().unwrap().parse().unwrap();
        if expires_at < world.now().as_secs() {
            let delete = world.stack.dynamo.delete_item().table_name(table);
            delete.key("id", item["id"].clone()).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_person_who_is_forgotten_is_named_nowhere_and_not_written_to_again() {
    let mut world = World::start(careful()).await;
    let (had, waits, other) = (said(0), said(1), said(2));
    world.say(std::slice::from_ref(&had)).await;
    world.pass_secs(60).await;
    assert_eq!(world.state_of(&had).await, "sent");
    let id = AccountId::new(CREATOR);
    let until = world.now() + HOUR;
    world.outside.limiter().stop(&id, until, None).await.unwrap();
    world.say(&[waits.clone(), other.clone()]).await;
    let operator = operator(&world);
    let author = |said: &Said| RecipientId::new(said.author.as_str());
    for (said, cancelled, entries) in [(&had, 0, 1), (&waits, 1, 0), (&had, 0, 0)] {
        let forgotten = operator.forget(&id, &author(said), |_| ()).await.unwrap();
        assert_eq!((forgotten.waiting.done, forgotten.entries), (cancelled, entries));
    }
    // Told of once more, they are known, and have no second DM.
    world.say(&[had.clone(), waits.clone()]).await;
    world.pass(2 * HOUR).await;
    world.settle().await;
    assert_eq!(world.state_of(&other).await, "sent");
    assert_eq!(world.state_of(&had).await, "sent");
    assert_eq!(world.state_of(&waits).await, "cancelled");
    assert_eq!(world.dms().len(), 2);

    // DynamoDB deletes what is over; what is left names neither person nor comment, and is enough,
    // also where the account was removed and is connected again.
    delete_what_is_over(&world).await;
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    assert!(world.outside.removal.remove(&id, Some(account.revision)).await.unwrap());
    for said in [&had, &waits] {
        assert_eq!(items_with(&world, &said.id).await, 0);
        assert_eq!(items_with(&world, &said.author).await, 0);
    }
    let campaigns: Vec<Campaign> = account.campaigns.iter().cloned().collect();
    let changes = &world.outside.changes;
    changes.connect(&id, &account.rules, &account.token, &campaigns).await.unwrap();
    let again = said(3);
    world.say(&[had, waits, again.clone()]).await;
    world.pass(2 * HOUR).await;
    world.settle().await;
    assert_eq!(world.state_of(&again).await, "sent");
    assert_eq!(world.dms().len(), 3);
}
