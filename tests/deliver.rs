//! The sender: each answer of Meta's leads to its own end, nothing is called without a grant, and
//! no message is acted on twice.

use std::time::Duration;

use secrecy::SecretString;
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_core::id::AccountId;
use spillway_core::send::FAILURES_MAX;
use spillway_graph::{CallRecord, Fault, FaultKind};
use spillway_local::lambda::Source;
use spillway_local::setup::load_accounts;
use spillway_local::stack::queues;
use spillway_service::deliver::{Deliver, Job};
use spillway_service::port::AccountChanges;
use spillway_service::send_task::SendTask;
use spillway_sqs::{NewMessage, Operation};

use crate::harness::{CREATOR, START, World, all_said, body, careful, quotas, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn secs_between(one: &CallRecord, other: &CallRecord) -> f64 {
    (other.at_ms - one.at_ms) as f64 / 1000.0
}

#[tokio::test]
async fn a_message_that_nobody_can_read_goes_to_the_dead_letters() {
    let mut world = World::start(careful()).await;
    let unreadable = ["hello", "{}", r#"{"v":"2"}"#, r#"{"v":"1","send":{}}"#];
    for body in unreadable {
        world.stack.sqs.send(queues::SEND, NewMessage::new(body)).unwrap();
    }
    assert_eq!(world.say(&[said(1)]).await, 200);
    // One of them cannot be moved at first, and comes again.
    world.stack.sqs.fail_next_of(Operation::SendMessage, spillway_sqs::Fault::Unavailable, 1);
    world.settle().await;
    assert_eq!(world.queue(queues::DEAD_LETTERS).total(), unreadable.len());
    world.over(1).await;
    world.each_got_one_dm(&[said(1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_brought_often_is_one_call() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    let [message] = world.peek().try_into().unwrap();
    for _ in 0..24 {
        world.stack.sqs.send(queues::SEND, NewMessage::new(&message)).unwrap();
    }
    let poll = || world.stack.poll(Source::Sends);
    let polled = tokio::join!(poll(), poll(), poll());
    assert!(polled.0.is_ok() && polled.1.is_ok() && polled.2.is_ok());
    assert_eq!(world.calls().len(), 1);
    world.stack.sqs.send(queues::SEND, NewMessage::new(&message)).unwrap();
    world.settle().await;
    assert_eq!(world.calls().len(), 1);
    world.over(1).await;
}

#[tokio::test]
async fn a_message_from_before_the_last_step_is_void() {
    let mut world = World::start(careful()).await;
    world.stack.graph.order_fault(Fault::new(FaultKind::Transient));
    assert_eq!(world.say(&[said(1)]).await, 200);
    let [old] = world.peek().try_into().unwrap();
    world.pass_secs(1).await;
    assert_eq!(world.calls().len(), 1);
    // The send waits for its second attempt; the message of the first comes once more.
    world.stack.sqs.send(queues::SEND, NewMessage::new(old)).unwrap();
    world.pass_secs(20).await;
    assert_eq!(world.calls().len(), 1, "acted on an old message");
    world.settle().await;
    assert_eq!(world.calls().len(), 2);
    world.over(1).await;
}

/// What breaks, and what must come of it: the state, the reason, the calls it takes.
#[tokio::test]
async fn every_way_a_call_can_end_leads_to_its_outcome() {
    let ambiguous = |effect| FaultKind::Ambiguous { effect };
    for (kind, state, reason, calls) in [
        (FaultKind::RecipientUnavailable, "failed", "recipient", 1),
        // The conversation shows that these have arrived, and nothing that the others have not.
        (FaultKind::NoAnswer, "sent", "", 1),
        (FaultKind::ServerErrorAfterEffect, "sent", "", 1),
        (ambiguous(true), "sent", "", 1),
        (FaultKind::NoAnswerBeforeEffect, "failed", "unknown", 1),
        (FaultKind::ServerError, "failed", "unknown", 1),
        (ambiguous(false), "failed", "unknown", 1),
        (FaultKind::Transient, "sent", "", 2),
        (FaultKind::Usage { percent: Some(60), app_percent: None }, "sent", "", 1),
    ] {
        let mut world = World::start(careful()).await;
        let all = all_said(1..=3);
        let struck = &all[1];
        let fault = Fault::new(kind.clone()).for_comment(struck.id.as_str());
        world.stack.graph.order_fault(fault);
        assert_eq!(world.say(&all).await, 200);
        world.settle().await;
        world.over(3).await;
        let told = world.told(struck).await.unwrap();
        assert_eq!((told.state.as_str(), told.reason()), (state, reason), "{kind:?}");
        let of_struck: Vec<CallRecord> = world
            .calls()
            .into_iter()
            .filter(|call| call.comment_id.as_ref().is_some_and(|id| id.as_str() == struck.id))
            .collect();
        assert_eq!(of_struck.len(), calls, "{kind:?}");
        if let [first, second] = &of_struck[..] {
            assert!(secs_between(first, second) >= 30.0, "{kind:?} without a pause");
        }
        // One trouble with one person holds nobody else up.
        for said in [&all[0], &all[2]] {
            assert_eq!(world.state_of(said).await, "sent", "{kind:?}");
        }
    }
}

#[tokio::test]
async fn what_meta_refuses_for_good_fails_at_once() {
    let mut world = World::start(careful()).await;
    let (too_old, deleted, live) = (said(1), said(2), said(3).live());
    world.stack.graph.observe_comment(too_old.made_at(START - WEEK - HOUR));
    world.observe(&[deleted.clone(), live.clone()]);
    world.stack.graph.delete_comment(&deleted.id.as_str().into());
    world.stack.graph.end_broadcast("17900000000000001");
    let all = [too_old.clone(), deleted.clone(), live.clone()];
    assert_eq!(world.post(&body(world.now().as_secs(), &all)).await, 200);
    world.settle().await;
    let report = world.over(3).await;
    assert_eq!((report.failed, report.graph_calls), (3, 3));
    assert_eq!(world.told(&too_old).await.unwrap().reason(), "reply_refused");
    assert_eq!(world.told(&deleted).await.unwrap().reason(), "comment_gone");
    assert_eq!(world.told(&live).await.unwrap().reason(), "reply_refused");
}

#[tokio::test]
async fn a_send_that_is_refused_for_now_is_given_up_at_last() {
    let mut world = World::start(careful()).await;
    world.stack.graph.order_fault(Fault::new(FaultKind::Transient).times(1000));
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.settle().await;
    let report = world.over(1).await;
    assert_eq!(world.told(&said(1)).await.unwrap().reason(), "no_answer");
    assert_eq!(report.graph_calls, u64::from(FAILURES_MAX));
    let calls = world.calls();
    assert!(calls.windows(2).all(|pair| secs_between(&pair[0], &pair[1]) >= 30.0));
}

#[tokio::test]
async fn after_a_limit_answer_nothing_is_called_until_its_time_and_then_one_goes_first() {
    for code in [4, 17, 32, 613, 80002, 80006] {
        let mut world = World::start(careful()).await;
        let all = all_said(1..=10);
        let throttled = FaultKind::Throttled { code, regain_minutes: Some(5) };
        world.stack.graph.order_fault(Fault::new(throttled));
        assert_eq!(world.say(&all).await, 200);
        world.pass_secs(100).await;
        // A process that remembers nothing, and comments during the hold.
        world.stack.replace_process().unwrap();
        let later = all_said(11..=13);
        assert_eq!(world.say(&later).await, 200);
        world.settle().await;

        let calls = world.calls();
        assert_ne!(calls[0].status, 200, "code {code}");
        let waited = secs_between(&calls[0], &calls[1]);
        assert!((300.0..400.0).contains(&waited), "code {code}: {waited} s");
        assert!(calls[2].at_ms > calls[1].at_ms, "code {code}: two at once after the hold");
        assert_eq!(calls.len(), 14, "code {code}");
        assert_eq!(world.stack.graph.report().calls_in_hold, 0, "code {code}");
        world.over(13).await;
        world.each_got_one_dm(&[all, later].concat()).await;
    }
}

/// Somebody is left alone for an hour, while a hold of five minutes ends.
#[tokio::test]
async fn somebody_on_hold_does_not_keep_the_accounts_hold_from_being_probed() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=8);
    let refused = Fault::new(FaultKind::Permission).for_comment(all[0].id.as_str());
    world.stack.graph.order_fault(refused);
    let throttled = FaultKind::Throttled { code: 613, regain_minutes: Some(5) };
    let throttled = Fault::new(throttled).for_comment(all[2].id.as_str());
    world.stack.graph.order_fault(throttled);
    assert_eq!(world.say(&all).await, 200);
    world.pass(22 * MINUTE).await;
    for said in &all[1..] {
        assert_eq!(world.state_of(said).await, "sent", "{}", said.id);
    }
    assert_eq!(world.state_of(&all[0]).await, "waiting");
    world.settle().await;
    world.over(8).await;
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn a_probe_that_meets_the_limit_again_holds_for_longer() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=4);
    let throttled = FaultKind::Throttled { code: 613, regain_minutes: None };
    world.stack.graph.order_fault(Fault::new(throttled).times(4));
    assert_eq!(world.say(&all).await, 200);
    world.settle().await;
    world.over(4).await;
    world.each_got_one_dm(&all).await;
    let calls = world.calls();
    assert_eq!(calls.len(), 4 + 4, "one call a hold");
    for (strike, pair) in calls.windows(2).take(4).enumerate() {
        let least = (60 << strike) as f64;
        let waited = secs_between(&pair[0], &pair[1]);
        assert!(waited >= least, "hold {strike} lasted {waited} s of {least} s");
    }
}

#[tokio::test]
async fn a_restricted_account_waits_and_fails_nobody() {
    for (kind, least, most) in [
        (FaultKind::Blocked, 6 * HOUR, 8 * HOUR),
        (FaultKind::TokenDead { subcode: 463 }, HOUR, 2 * HOUR),
        (FaultKind::Permission, HOUR, 2 * HOUR),
        (FaultKind::AccountUnseen, HOUR, 2 * HOUR),
    ] {
        let mut world = World::start(careful()).await;
        let all = all_said(1..=5);
        // Of a permission alone one person's answer does not tell whose it is.
        let met = if kind == FaultKind::Permission { 2 } else { 1 };
        world.stack.graph.order_fault(Fault::new(kind.clone()).times(met));
        assert_eq!(world.say(&all).await, 200);
        world.pass(least - MINUTE).await;
        let met = met as usize;
        assert_eq!(world.calls().len(), met, "{kind:?}");
        for said in &all {
            assert_eq!(world.state_of(said).await, "waiting", "{kind:?}");
        }
        world.settle().await;
        let calls = world.calls();
        let waited = secs_between(&calls[met - 1], &calls[met]);
        assert!((least.as_secs_f64()..most.as_secs_f64()).contains(&waited), "{kind:?}: {waited}");
        assert_eq!(calls.len(), 5 + met, "{kind:?}");
        world.over(5).await;
        world.each_got_one_dm(&all).await;
    }
}

#[tokio::test]
async fn an_account_connected_again_resumes_by_itself() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=40);
    let id = AccountId::new(CREATOR);
    world.stack.graph.disconnect_account(&id);
    assert_eq!(world.say(&all).await, 200);
    world.pass(10 * HOUR).await;
    let probes = world.calls().len();
    assert!((2..=6).contains(&probes), "{probes} calls with a dead token in 10 h");
    assert_eq!(world.report().await.waiting, 40);

    let token = SecretString::from("IGAfresh");
    world.stack.graph.add_account(id.clone(), "IGAfresh");
    let account = load_accounts(None, &careful()).unwrap().remove(0);
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    let token = world.outside.keys.seal(&id, &token).await.unwrap();
    accounts.connect(&id, &account.rules, &token, &account.campaigns).await.unwrap();
    world.settle().await;
    world.over(40).await;
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn a_full_quota_costs_no_call_and_no_write_until_it_has_room() {
    let mut world = World::start(quotas("200/1h", "3/24h")).await;
    let id = AccountId::new(CREATOR);
    let all = all_said(1..=10);
    assert_eq!(world.say(&all).await, 200);
    world.pass_secs(600).await;
    assert_eq!(world.calls().len(), 3);
    let version = world.outside.budgets.load(&id).await.unwrap().version;
    let writes = world.stack.faults.counts().write_units;
    world.pass(20 * HOUR).await;
    assert_eq!(world.calls().len(), 3, "called over the day's limit");
    assert_eq!(world.outside.budgets.load(&id).await.unwrap().version, version);
    // Nothing but a look an hour for what must expire.
    let writes = world.stack.faults.counts().write_units - writes;
    assert!(writes < 20.0 * 6.0, "{writes} write units in 20 h of waiting");
    assert_eq!(world.waiting(CREATOR).await.len(), 7);
    world.settle().await;
    world.over(10).await;
    world.each_got_one_dm(&all).await;
    // Three a day: the fourth day has the last one.
    let days = world.now().since(START).as_secs() / (24 * 3600);
    assert_eq!(days, 3);
}

/// Jobs for everything that waits.
async fn jobs(world: &World) -> Vec<Job> {
    let waiting = world.waiting(CREATOR).await.into_iter();
    waiting
        .map(|(outbox_key, send)| Job {
            message_id: send.id.key.to_string(),
            task: SendTask::new(&send, outbox_key),
        })
        .collect()
}

/// Processes that know nothing of each other, with more to send than the quota has room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_for_a_quota_never_cross_it() {
    for _ in 0..5 {
        let mut world = World::start(quotas("7/1h", "1000/24h")).await;
        let all = all_said(1..=20);
        assert_eq!(world.say(&all).await, 200);
        let jobs = jobs(&world).await;
        let processes: Vec<Deliver> = (0..4).map(|_| world.outside.deliver()).collect();
        let deadline = world.now() + Duration::from_secs(30);
        let deliver = |at: usize| {
            let share = jobs.iter().skip(at).step_by(4).cloned().collect();
            processes[at].deliver(share, deadline)
        };
        tokio::join!(deliver(0), deliver(1), deliver(2), deliver(3));
        let calls = world.calls().len();
        assert!((1..=7).contains(&calls), "{calls} calls of 7");
        world.settle().await;
        world.over(20).await;
        world.each_got_one_dm(&all).await;
    }
}

/// Every message in the hands of two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_for_a_send_make_one_call() {
    for _ in 0..5 {
        let mut world = World::start(careful()).await;
        let all = all_said(1..=10);
        assert_eq!(world.say(&all).await, 200);
        let jobs = jobs(&world).await;
        let reversed = jobs.iter().rev().cloned().collect();
        let (one, other) = (world.outside.deliver(), world.outside.deliver());
        let deadline = world.now() + Duration::from_secs(30);
        tokio::join!(one.deliver(jobs.clone(), deadline), other.deliver(reversed, deadline));
        assert_eq!(world.calls().len(), 10);
        world.settle().await;
        world.over(10).await;
        world.each_got_one_dm(&all).await;
    }
}

#[tokio::test]
async fn sends_of_a_removed_account_are_cancelled() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=60);
    assert_eq!(world.say(&all).await, 200);
    world.pass_secs(30).await;
    let sent = world.calls().len() as u64;
    world.disconnect(CREATOR).await;
    // A process may go on for a minute with what it has read.
    world.pass_secs(90).await;
    let at_most = world.calls().len() as u64;
    world.settle().await;
    let report = world.over(60).await;
    assert_eq!(report.sent, at_most);
    assert_eq!(report.cancelled, 60 - at_most);
    assert!((sent..sent + 6).contains(&at_most), "{sent} then {at_most}");
    let last = world.told(&all[59]).await.unwrap();
    assert_eq!((last.state.as_str(), last.reason()), ("cancelled", "account_removed"));
    assert_eq!(world.say(&[said(61)]).await, 200);
    world.settle().await;
    world.over(60).await;
}

#[tokio::test]
async fn sends_of_a_removed_campaign_are_cancelled() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=5);
    assert_eq!(world.say(&all).await, 200);
    world.delete_item(&format!("account#{CREATOR}"), "campaign#guide").await;
    world.stack.replace_process().unwrap();
    world.settle().await;
    let report = world.over(5).await;
    assert_eq!((report.cancelled, report.graph_calls), (5, 0));
    assert_eq!(world.told(&all[0]).await.unwrap().reason(), "campaign_removed");
}

#[tokio::test]
async fn nothing_is_called_after_its_deadline() {
    let mut world = World::start(careful()).await;
    let now = world.now();
    let all = all_said(1..=4);
    world.observe(&all);
    // Notified a week ago; and so long ago that the deadline comes before the third slot.
    assert_eq!(world.post(&body((now - WEEK).as_secs(), &all[..1])).await, 200);
    let soon = now + Duration::from_secs(30) + HOUR - WEEK;
    assert_eq!(world.post(&body(soon.as_secs(), &all[1..])).await, 200);
    world.settle().await;
    let report = world.over(4).await;
    assert_eq!(world.state_of(&all[0]).await, "expired");
    assert!(report.expired >= 2 && report.sent >= 1, "{report:?}");
    assert_eq!(report.graph_calls, report.sent);
    let last = world.dms().last().unwrap().1;
    assert!(last < now + Duration::from_secs(30));
}

#[tokio::test]
async fn live_comments_expire_when_the_broadcast_must_be_over() {
    let mut world = World::start(careful()).await;
    let all: Vec<_> = (1..=6).map(|n| said(n).live()).collect();
    let throttled = FaultKind::Throttled { code: 613, regain_minutes: Some(30) };
    world.stack.graph.order_fault(Fault::new(throttled));
    assert_eq!(world.say(&all[..1]).await, 200);
    world.pass_secs(2).await;
    assert_eq!(world.say(&all[1..]).await, 200);
    world.pass_secs(660).await;
    for said in &all {
        assert_eq!(world.state_of(said).await, "expired");
    }
    world.settle().await;
    let report = world.over(6).await;
    assert_eq!((report.expired, report.graph_calls), (6, 1));
}
