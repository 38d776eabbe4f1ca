//! What one process knows of holds, and what it lets go.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use spillway_core::budget::{DenialReason, GrantId, Revision, Role};
use spillway_core::hold::HoldCause;
use spillway_core::id::{OnceKey, SendId};
use spillway_core::profile::Profile;
use spillway_core::quota::{Action, Limit, Quota, Unit};
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{Address, Class, Content, Earlier, PendingSend, Stage};
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::clock::Clock;
use spillway_service::limiter::{AnswerDetails, Limiter, Reservation, Reserved};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::send_task::SendTask;

use crate::world::{START, World, id, token};

/// A minute.
const MINUTE: Duration = Duration::from_secs(60);

fn account() -> Account {
    Account {
        id: id(),
        revision: Default::default(),
        rules: Rules::careful(),
        campaigns: Default::default(),
        token: token(1),
        forgotten: Default::default(),
        conversations: Default::default(),
        albums: Default::default(),
    }
}

fn process(world: &Arc<World>) -> Limiter {
    world.limiter(Arc::default(), Arc::default()).1
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// A task for an answer to this person.
fn task(person: &str, campaign: &str) -> SendTask {
    let send = PendingSend {
        id: SendId { account: id(), key: OnceKey::new(format!("of-{person}")) },
        class: Class::PRIVATE_REPLY,
        content: Content::opening(campaign),
        to: Address::Comment { id: person.into(), author: Some(person.into()) },
        order: spillway_core::campaign::Overflow::OldestFirst,
        media: None,
        username: None,
        keyword: None,
        turn: None,
        matched_at: START,
        not_before: None,
        deadline: START + 1000 * MINUTE,
        stage: Stage::Parked,
        epoch: 0,
        attempt: 0,
        failures: 0,
        earlier: Earlier::NotSent,
        repeats: 0,
        made_at: None,
        stand_in: None,
        is_cleared: false,
    };
    SendTask::new(&send, OutboxKey::new(&send, 1))
}

fn reserve(limiter: &Limiter, world: &World, tasks: &[&SendTask]) -> Reserved {
    now(limiter.reserve(&account(), tasks, world.now() + MINUTE, &|_, _, _| 0)).unwrap()
}

fn reserve_call(limiter: &Limiter, world: &World) -> Reservation {
    let lease_until = world.now() + MINUTE;
    now(limiter.reserve_call(&account(), Action::Read, None, lease_until)).unwrap()
}

fn granted(reserved: &Reserved) -> Vec<usize> {
    let granted = reserved.reservation.iter().flat_map(|of| &of.granted);
    granted.map(|&(index, _)| index).collect()
}

#[test]
fn what_was_granted_waits_once_its_process_knows_of_a_hold() {
    let account = account();
    let id = &account.id;
    type Learn = fn(&Limiter, &Account, &Arc<World>);
    let learn: [(Learn, DenialReason); 4] = [
        (
            |limiter, _, _| {
                _ = now(limiter.hold_app(HoldCause::Throttled, AnswerDetails::default()))
            },
            DenialReason::AppHold(HoldCause::Throttled),
        ),
        (
            |limiter, account, _| {
                _ = now(limiter.hold(account, HoldCause::Blocked, AnswerDetails::default()))
            },
            DenialReason::Hold(HoldCause::Blocked),
        ),
        (
            |limiter, account, _| _ = now(limiter.stop(&account.id, Timestamp::NEVER, None)),
            DenialReason::Hold(HoldCause::Operator),
        ),
        (
            // Another process holds the account, and the next decision of this one shows it.
            |limiter, account, world| {
                now(process(world).hold(account, HoldCause::TokenDead, AnswerDetails::default()));
                let denied = reserve(limiter, world, &[&task("5", "guide")]);
                assert!(denied.reservation.is_none());
            },
            DenialReason::Hold(HoldCause::TokenDead),
        ),
    ];
    for (learn, bound) in learn {
        let world = World::new();
        let limiter = process(&world);
        let call = reserve_call(&limiter, &world);
        assert_eq!(limiter.known_hold(id, &call, None), None);
        learn(&limiter, &account, &world);
        let known = limiter.known_hold(id, &call, None).unwrap();
        assert_eq!(known.reason, bound);
        assert!(known.retry_at > world.now());
    }
}

#[test]
fn a_probe_goes_through_the_hold_that_it_is_for_and_waits_for_a_later_one() {
    let (world, account) = (World::new(), account());
    let limiter = process(&world);
    let until =
        now(limiter.hold(&account, HoldCause::Throttled, AnswerDetails::default())).unwrap();
    world.pass(until.since(START) + Duration::from_secs(1));
    let probe = reserve_call(&limiter, &world);
    assert_eq!(probe.grant.role, Role::Probe);
    let denied = reserve(&limiter, &world, &[&task("5", "guide")]);
    assert!(denied.reservation.is_none(), "one call goes first");
    assert_eq!(limiter.known_hold(&account.id, &probe, None), None);
    now(limiter.hold(&account, HoldCause::Blocked, AnswerDetails::default()));
    let known = limiter.known_hold(&account.id, &probe, None).unwrap();
    assert_eq!(known.reason, DenialReason::Hold(HoldCause::Blocked));

    let world = World::new();
    let limiter = process(&world);
    let until = now(limiter.hold_app(HoldCause::Throttled, AnswerDetails::default())).unwrap();
    world.pass(until.since(START) + Duration::from_secs(1));
    let probe = reserve_call(&limiter, &world);
    assert_eq!(probe.app_role, Role::Probe);
    assert_eq!(limiter.known_hold(&account.id, &probe, None), None);
    now(limiter.hold_app(HoldCause::Throttled, AnswerDetails::default()));
    assert!(limiter.known_hold(&account.id, &probe, None).is_some());
}

#[test]
fn a_read_goes_with_the_probe_that_it_is_for() {
    type Hold = fn(&Limiter, &Account) -> Option<Timestamp>;
    let holds: [Hold; 2] = [
        |limiter, account| {
            now(limiter.hold(account, HoldCause::Throttled, AnswerDetails::default()))
        },
        |limiter, _| now(limiter.hold_app(HoldCause::Throttled, AnswerDetails::default())),
    ];
    for hold in holds {
        let (world, account) = (World::new(), account());
        let limiter = process(&world);
        let until = hold(&limiter, &account).unwrap();
        world.pass(until.since(START) + Duration::from_secs(1));
        let (gate, other) = (task("5", "guide"), task("6", "guide"));
        let reserved = reserve(&limiter, &world, &[&gate]);
        assert!(reserved.reservation.is_some(), "it is the probe");
        let lease_until = world.now() + MINUTE;
        let read =
            |beside| now(limiter.reserve_call(&account, Action::Read, beside, lease_until)).ok();
        assert!(read(None).is_none());
        assert!(read(Some(&other.send)).is_none());
        let read = read(Some(&gate.send)).unwrap();
        assert!([read.grant.role, read.app_role].contains(&Role::Beside));
        assert_eq!(limiter.known_hold(&account.id, &read, None), None);
        let probe = reserved.reservation.unwrap();
        assert_eq!(limiter.known_hold(&account.id, &probe, Some(&gate)), None);
    }
}

#[test]
fn a_send_waits_once_its_process_knows_of_its_persons_hold() {
    let (world, account) = (World::new(), account());
    let limiter = process(&world);
    let (one, other) = (task("1", "guide"), task("2", "guide"));
    let reserved = reserve(&limiter, &world, &[&one, &other]);
    let reservation = reserved.reservation.unwrap();
    now(limiter.hold_recipient(&account, &"1".into())).unwrap();
    let known = |task| limiter.known_hold(&account.id, &reservation, Some(task));
    assert_eq!(known(&one).map(|denial| denial.reason), Some(DenialReason::RecipientHold));
    assert_eq!(known(&other), None);
}

#[test]
fn somebody_on_hold_does_not_keep_the_accounts_hold_from_being_probed() {
    let (world, account) = (World::new(), account());
    let limiter = process(&world);
    now(limiter.hold_recipient(&account, &"1".into())).unwrap();
    let until =
        now(limiter.hold(&account, HoldCause::Throttled, AnswerDetails::default())).unwrap();
    world.pass(until.since(START) + Duration::from_secs(1));
    let limiter = process(&world);
    let (held, other) = (task("1", "guide"), task("2", "guide"));
    let reserved = reserve(&limiter, &world, &[&held]);
    assert!(granted(&reserved).is_empty(), "and takes no probe");
    assert_eq!(reserved.denied[0].1.reason, DenialReason::RecipientHold);
    let reserved = reserve(&limiter, &world, &[&held, &other]);
    assert_eq!(granted(&reserved), [1]);
    assert_eq!(reserved.reservation.unwrap().grant.role, Role::Probe);
    let [(0, denial)] = &reserved.denied[..] else { panic!("{:?}", reserved.denied) };
    assert_eq!(denial.reason, DenialReason::RecipientHold);
}

/// Both lie in the lane of what somebody is waiting for.
#[test]
fn an_answer_in_a_conversation_is_charged_to_messages_and_not_to_private_replies() {
    let quota = |id: &str, actions: &[Action]| {
        Quota::new(id, actions, Unit::Calls, 60 * MINUTE, Limit::Fixed(NonZeroU32::MIN))
    };
    let quotas = vec![
        quota("replies", &[Action::PrivateReply, Action::LiveReply]),
        quota("messages", &[Action::Message]),
    ];
    let profile = Profile { quotas, spread: None, warm_up: None, ..Profile::careful() };
    let rules = Rules::new(profile, Terms::default()).unwrap();
    let (world, account) = (World::new(), Account { rules, ..account() });
    let limiter = process(&world);
    let reply = task("1", "guide");
    let answer = SendTask { class: Class::ANSWER, ..task("2", "guide") };
    let is_granted = |task: &SendTask| {
        let (tasks, lease_until) = ([task], world.now() + MINUTE);
        let reserved = now(limiter.reserve(&account, &tasks, lease_until, &|_, _, _| 0));
        !granted(&reserved.unwrap()).is_empty()
    };
    assert_eq!([&reply, &reply, &answer, &answer].map(is_granted), [true, false, true, false]);
}

/// Somebody changes the account, and announces it in the budget.
fn announce(world: &World, revision: Revision) {
    let mut state = world.state();
    let budget = state.budget().with_revision(revision, GrantId::new(7, revision.0)).unwrap();
    state.set_budget(budget);
}

#[test]
fn every_change_that_is_met_in_a_decision_is_read() {
    let world = World::new();
    let limiter = process(&world);
    // Changed right before the first write, and removed right before the second.
    fn remove(world: &World) {
        world.state().revision = None;
        announce(world, Revision(2));
    }
    fn change(world: &World) {
        world.state().revision = Some(Revision(1));
        announce(world, Revision(1));
        world.state().meanwhile = Some(("save the budget", remove));
    }
    world.state().meanwhile = Some(("save the budget", change));
    let task = task("1", "guide");
    let reserved = now(limiter.reserve(&account(), &[&task], world.now() + MINUTE, &|_, _, _| 0));
    let reserved = reserved.unwrap();
    assert!(granted(&reserved).is_empty(), "it is not connected any more");
}
