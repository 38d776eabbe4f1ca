//! What one process knows of holds, and what it lets go.

use futures::FutureExt;
use spillway_core::id::{EventId, SendId};
use spillway_core::send::{Address, Earlier, Stage, Waiting};

use super::*;
use crate::ticket::Place;
use crate::upkeep::fakes::{START, World, id, token};

/// A minute.
const MINUTE: Duration = Duration::from_secs(60);

fn account() -> Account {
    Account {
        id: id(),
        revision: Default::default(),
        rules: spillway_core::rules::Rules::careful(),
        campaigns: Default::default(),
        token: token(1),
        forgotten: Default::default(),
    }
}

fn process(world: &Arc<World>) -> Limiter {
    world.limiter(Arc::default(), Arc::default()).1
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// A ticket for an answer to this person.
fn ticket(person: &str, campaign: &str) -> Ticket {
    let send = Waiting {
        id: SendId { account: id(), event: EventId::new(format!("of-{person}")) },
        lane: Lane::Inbound,
        campaign: campaign.into(),
        to: Address::Comment { id: person.into(), author: Some(person.into()) },
        order: spillway_core::campaign::Overflow::OldestFirst,
        media: None,
        username: None,
        keyword: None,
        matched_at: START,
        deadline: START + 1000 * MINUTE,
        stage: Stage::Parked,
        epoch: 0,
        attempt: 0,
        failures: 0,
        earlier: Earlier::NotSent,
        made_at: None,
    };
    Ticket::new(&send, Place::new(&send, 1))
}

fn reserve(limiter: &Limiter, world: &World, tickets: &[&Ticket]) -> Reserved {
    now(limiter.reserve(&account(), tickets, world.now() + MINUTE)).unwrap()
}

fn reserve_call(limiter: &Limiter, world: &World) -> Reservation {
    let lease_until = world.now() + MINUTE;
    now(limiter.reserve_call(&account(), Action::Read, lease_until)).unwrap().unwrap()
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
    let learn: [(Learn, Bound); 4] = [
        (
            |limiter, _, _| _ = now(limiter.hold_app(HoldCause::Throttled, None)),
            Bound::AppHold(HoldCause::Throttled),
        ),
        (
            |limiter, account, _| _ = now(limiter.hold(account, HoldCause::Blocked, None)),
            Bound::Hold(HoldCause::Blocked),
        ),
        (
            |limiter, account, _| _ = now(limiter.stop(&account.id, Timestamp::NEVER, None)),
            Bound::Hold(HoldCause::Operator),
        ),
        (
            // Another process holds the account, and the next decision of this one shows it.
            |limiter, account, world| {
                now(process(world).hold(account, HoldCause::TokenDead, None));
                let denied = reserve(limiter, world, &[&ticket("5", "guide")]);
                assert!(denied.reservation.is_none());
            },
            Bound::Hold(HoldCause::TokenDead),
        ),
    ];
    for (learn, bound) in learn {
        let world = World::new();
        let limiter = process(&world);
        let call = reserve_call(&limiter, &world);
        assert_eq!(limiter.known_hold(id, &call, None), None);
        learn(&limiter, &account, &world);
        let known = limiter.known_hold(id, &call, None).unwrap();
        assert_eq!(known.bound, bound);
        assert!(known.retry_at > world.now());
    }
}

#[test]
fn a_probe_goes_through_the_hold_that_it_is_for_and_waits_for_a_later_one() {
    let (world, account) = (World::new(), account());
    let limiter = process(&world);
    let until = now(limiter.hold(&account, HoldCause::Throttled, None)).unwrap();
    world.pass(until.since(START) + Duration::from_secs(1));
    let probe = reserve_call(&limiter, &world);
    assert_eq!(probe.grant.role, Role::Probe);
    let denied = reserve(&limiter, &world, &[&ticket("5", "guide")]);
    assert!(denied.reservation.is_none(), "one call goes first");
    assert_eq!(limiter.known_hold(&account.id, &probe, None), None);
    now(limiter.hold(&account, HoldCause::Blocked, None));
    let known = limiter.known_hold(&account.id, &probe, None).unwrap();
    assert_eq!(known.bound, Bound::Hold(HoldCause::Blocked));

    let world = World::new();
    let limiter = process(&world);
    let until = now(limiter.hold_app(HoldCause::Throttled, None)).unwrap();
    world.pass(until.since(START) + Duration::from_secs(1));
    let probe = reserve_call(&limiter, &world);
    assert_eq!(probe.app_role, Role::Probe);
    assert_eq!(limiter.known_hold(&account.id, &probe, None), None);
    now(limiter.hold_app(HoldCause::Throttled, None));
    assert!(limiter.known_hold(&account.id, &probe, None).is_some());
}

#[test]
fn a_send_waits_once_its_process_knows_of_its_persons_hold() {
    let (world, account) = (World::new(), account());
    let limiter = process(&world);
    let (one, other) = (ticket("1", "guide"), ticket("2", "guide"));
    let reserved = reserve(&limiter, &world, &[&one, &other]);
    let reservation = reserved.reservation.unwrap();
    now(limiter.hold_recipient(&account, &"1".into())).unwrap();
    let known = |ticket| limiter.known_hold(&account.id, &reservation, Some(ticket));
    assert_eq!(known(&one).map(|denial| denial.bound), Some(Bound::RecipientHold));
    assert_eq!(known(&other), None);
}

#[test]
fn somebody_on_hold_does_not_keep_the_accounts_hold_from_being_probed() {
    let (world, account) = (World::new(), account());
    let limiter = process(&world);
    now(limiter.hold_recipient(&account, &"1".into())).unwrap();
    let until = now(limiter.hold(&account, HoldCause::Throttled, None)).unwrap();
    world.pass(until.since(START) + Duration::from_secs(1));
    let limiter = process(&world);
    let (held, other) = (ticket("1", "guide"), ticket("2", "guide"));
    let reserved = reserve(&limiter, &world, &[&held]);
    assert!(granted(&reserved).is_empty(), "and takes no probe");
    assert_eq!(reserved.denied[0].1.bound, Bound::RecipientHold);
    let reserved = reserve(&limiter, &world, &[&held, &other]);
    assert_eq!(granted(&reserved), [1]);
    assert_eq!(reserved.reservation.unwrap().grant.role, Role::Probe);
    let [(0, denial)] = &reserved.denied[..] else { panic!("{:?}", reserved.denied) };
    assert_eq!(denial.bound, Bound::RecipientHold);
}
