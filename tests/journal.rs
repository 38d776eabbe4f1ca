//! What is written into an account's journal, over the wire.

use std::time::Duration;

use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::meta_error::LastRefusal;
use spillway_core::status::{Next, State};
use spillway_core::time::Timestamp;
use spillway_graph::{Fault, FaultKind};

use crate::harness::{CREATOR, START, World, all_said, careful};

impl World {
    /// The account's journal, the oldest line first.
    pub(crate) async fn journal(&self, account: &str) -> Vec<JournalEntry> {
        let journal = &self.outside.journal;
        let mut lines =
            journal.list(&AccountId::new(account), Timestamp::EPOCH, 1000).await.unwrap();
        lines.reverse();
        // That the stack has connected it.
        lines.retain(|line| line.what != Event::Connected { token_ends: None });
        lines
    }
}

#[tokio::test]
async fn a_hold_is_written_down_once_with_its_cause_and_its_end() {
    let mut world = World::start(careful()).await;
    let throttled = FaultKind::Throttled { code: 613, regain_minutes: Some(7) };
    world.stack.graph.order_fault(Fault::new(throttled));
    world.plan(START + Duration::from_secs(1), &all_said(1..=20));
    world.settle().await;
    world.over(20).await;
    let lines = world.journal(CREATOR).await;
    assert_eq!(lines.len(), 3, "{lines:?}");
    let set = lines.iter().find_map(|line| match &line.what {
        Event::HoldSet { cause: HoldCause::Throttled, until, error, .. } => {
            Some((line.at, *until, error.clone().unwrap()))
        }
        _ => None,
    });
    let (set_at, until, error) = set.unwrap();
    assert_eq!((error.status, error.code), (400, Some(613)));
    assert!(error.trace_id.is_some(), "{error}");
    let overviews = world.outside.admin().overviews;
    let seen = overviews.of(&CREATOR.into(), world.now()).await.unwrap().unwrap();
    assert_eq!(seen.last_refusal, Some(LastRefusal { at: set_at, error: error.clone() }));
    // The send that met the limit keeps its answer too, though it went through later.
    let admin = world.outside.admin().sends;
    let mut kept = Vec::new();
    for said in all_said(1..=20) {
        kept.extend(admin.find(&said.send()).await.unwrap().unwrap().last_refusal);
    }
    assert!(kept.iter().any(|refusal| refusal.error == error), "{kept:?}");
    assert!(until.since(set_at) >= Duration::from_secs(420), "{lines:?}");
    let is_met = |line: &JournalEntry| matches!(line.what, Event::LimitMet { percent: 1..=99 });
    assert!(lines.iter().any(is_met), "{lines:?}");
    assert_eq!(lines[2].what, Event::HoldEnded);
    assert!(lines[2].at >= until, "{lines:?}");
}

#[tokio::test]
async fn a_hold_of_a_campaign_is_written_down_and_seen_and_planned_with() {
    let mut world = World::start(careful()).await;
    world.stack.graph.order_fault(Fault::new(FaultKind::LinkRefused));
    assert_eq!(world.say(&all_said(1..=4)).await, 200);
    world.pass(Duration::from_secs(600)).await;
    let lines = world.journal(CREATOR).await;
    let [JournalEntry { what: Event::CampaignHeld { campaign, until, error }, .. }] = &lines[..]
    else {
        panic!("{lines:?}")
    };
    assert_eq!(campaign.as_str(), "guide");
    assert_eq!(error.as_ref().unwrap().code, Some(508));
    assert!(until.since(START) >= Duration::from_secs(3600));
    let overviews = world.outside.admin().overviews;
    let seen = overviews.of(&CREATOR.into(), world.now()).await.unwrap().unwrap();
    let [held] = &seen.conditions[..] else { panic!("{:?}", seen.conditions) };
    assert_eq!((held.state, held.next), (State::CampaignHeld, Next::Resumes(*until)));
    // The plan waits for the hold's end, and so does the release function's forecast.
    assert_eq!(seen.backlog.total(), 4);
    assert!(seen.next_at.unwrap() >= *until, "{seen:?}");
    let cursor = world.outside.cursors.load(&CREATOR.into()).await.unwrap();
    let outlook = cursor.outlook.unwrap();
    assert!(outlook.waiting >= 3 && outlook.last >= *until, "{outlook:?}");
    world.settle().await;
    world.over(4).await;
    world.each_got_one_dm(&all_said(1..=4)).await;
}

#[tokio::test]
async fn server_errors_of_meta_are_counted_and_told_once_an_hour() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=20);
    for said in all.iter().step_by(2) {
        let failing = Fault::new(FaultKind::ServerError).for_comment(said.id.as_str());
        world.stack.graph.order_fault(failing);
    }
    assert_eq!(world.say(&all).await, 200);
    world.pass(Duration::from_secs(40 * 60)).await;
    let told: Vec<(u32, u32)> = (world.journal(CREATOR).await.iter())
        .filter_map(|line| match line.what {
            Event::ServerErrors { calls, server_errors } => Some((calls, server_errors)),
            _ => None,
        })
        .collect();
    let [(calls, 5)] = told[..] else { panic!("{told:?}") };
    assert!((5..15).contains(&calls), "{calls}");
    let overviews = world.outside.admin().overviews;
    let seen = overviews.of(&CREATOR.into(), world.now()).await.unwrap().unwrap();
    // Reads of conversations are calls too. The call after the last decision may not be written down
    // yet.
    assert!(seen.calls.calls >= 19, "{:?}", seen.calls);
    assert_eq!(seen.calls.server_errors, 10);
    assert!(seen.calls_since <= START && seen.calls.is_alarming());
}

#[tokio::test]
async fn the_newest_lines_come_first_and_no_more_than_asked_for() {
    let world = World::start(careful()).await;
    let account = AccountId::new(CREATOR);
    let journal = &world.outside.journal;
    for secs in 0..5 {
        let at = START + Duration::from_secs(secs);
        let what = Event::TokenRefreshed { token_ends: at };
        let line = JournalEntry { at, account: account.clone(), what };
        // As the SDK repeats a request of which it got no answer.
        journal.append(&line).await.unwrap();
        journal.append(&line).await.unwrap();
    }
    let seconds = |lines: Vec<JournalEntry>| {
        lines.iter().map(|line| line.at.since(START).as_secs()).collect::<Vec<_>>()
    };
    let since = START + Duration::from_secs(1);
    assert_eq!(seconds(journal.list(&account, since, 3).await.unwrap()), [4, 3, 2]);
    assert_eq!(seconds(journal.list(&account, since, 10).await.unwrap()), [4, 3, 2, 1]);
    assert!(journal.list(&AccountId::new("178"), START, 10).await.unwrap().is_empty());
}
