//! Budgets, cursors and the app's budget: written on the condition of their version.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, BudgetRequest, Decision, DenialReason, GrantId, Revision};
use spillway_core::campaign::Campaigns;
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::pace::Cursor;
use spillway_core::profile::{Profile, SlowDown};
use spillway_core::quota::{Action, Limit, Quota, Unit};
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{Class, Lane};
use spillway_core::time::Timestamp;
use spillway_service::account::{Account, SealedToken};
use spillway_service::account_cache::AccountCache;
use spillway_service::app::App;
use spillway_service::clock::ClockCheck;
use spillway_service::grant::GrantIds;
use spillway_service::limiter::{Charged, Limiter};
use spillway_service::metrics::Meter;
use spillway_service::port::{Moved, Saved, StoreError};

use crate::{SECOND, Subject, grant, now};

fn account() -> AccountId {
    AccountId::new("17841400000000077")
}

/// So many calls of every kind an hour.
fn rules(calls: u32) -> Rules {
    let limit = Limit::Fixed(NonZeroU32::new(calls).unwrap());
    let hour = Duration::from_secs(3600);
    let profile = Profile {
        name: "conformance".into(),
        quotas: vec![Quota::new("calls", &Action::ALL, Unit::Calls, hour, limit)],
        spread: None,
        warm_up: None,
        slow_down: SlowDown::default(),
    };
    Rules::new(profile, Terms::default()).unwrap()
}

/// What is common to the three.
trait Versioned: Clone + Debug + Default + PartialEq {
    fn load(subject: &dyn Subject) -> BoxFuture<'_, Result<Self, StoreError>>;
    fn save<'a>(
        subject: &'a dyn Subject,
        next: &'a Self,
    ) -> BoxFuture<'a, Result<Saved<Self>, StoreError>>;
    /// The next version, by the write of this id.
    fn next(&self, subject: &dyn Subject, id: GrantId) -> Self;
    fn version(&self) -> u64;
}

impl Versioned for Budget {
    fn load(subject: &dyn Subject) -> BoxFuture<'_, Result<Self, StoreError>> {
        Box::pin(async move { subject.ports().budgets.load(&account()).await })
    }

    fn save<'a>(
        subject: &'a dyn Subject,
        next: &'a Self,
    ) -> BoxFuture<'a, Result<Saved<Self>, StoreError>> {
        Box::pin(async move { subject.ports().budgets.save(&account(), next).await })
    }

    fn next(&self, subject: &dyn Subject, id: GrantId) -> Self {
        self.lift(now(subject), id)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for Cursor {
    fn load(subject: &dyn Subject) -> BoxFuture<'_, Result<Self, StoreError>> {
        Box::pin(async move { subject.ports().cursors.load(&account()).await })
    }

    fn save<'a>(
        subject: &'a dyn Subject,
        next: &'a Self,
    ) -> BoxFuture<'a, Result<Saved<Self>, StoreError>> {
        Box::pin(async move { subject.ports().cursors.save(&account(), next).await })
    }

    fn next(&self, subject: &dyn Subject, id: GrantId) -> Self {
        self.take(&rules(200), Class::PRIVATE_REPLY, now(subject), &[Timestamp::NEVER], id)
            .cursor
            .unwrap()
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for AppBudget {
    fn load(subject: &dyn Subject) -> BoxFuture<'_, Result<Self, StoreError>> {
        Box::pin(async move { subject.ports().app.load().await })
    }

    fn save<'a>(
        subject: &'a dyn Subject,
        next: &'a Self,
    ) -> BoxFuture<'a, Result<Saved<Self>, StoreError>> {
        Box::pin(async move { subject.ports().app.save(next).await })
    }

    fn next(&self, _: &dyn Subject, id: GrantId) -> Self {
        self.with_leasing([self.leasing + 1, 0, 0], id)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

async fn is_written_on_its_version_alone<T: Versioned>(subject: &dyn Subject) {
    let save = async |next: &T| T::save(subject, next).await.unwrap();
    let none = T::load(subject).await.unwrap();
    assert_eq!(none, T::default(), "never written");
    let first = none.next(subject, grant(1));
    assert_eq!(save(&first).await, Saved::Done);
    assert_eq!(T::load(subject).await.unwrap(), first);
    assert_eq!(save(&first).await, Saved::Done, "its own write, tried again");
    let rival = none.next(subject, grant(2));
    assert_eq!(save(&rival).await, Saved::Conflict(first.clone()), "another first one");
    let second = first.next(subject, grant(3));
    let third = second.next(subject, grant(4));
    assert_eq!(save(&third).await, Saved::Conflict(first.clone()), "one is left out");
    assert_eq!(save(&second).await, Saved::Done);
    assert_eq!(save(&first).await, Saved::Conflict(second.clone()), "an older one");
    assert_eq!(save(&third).await, Saved::Done);
    let stale = first.next(subject, grant(5));
    assert_eq!(save(&stale).await, Saved::Conflict(third.clone()));
    assert_eq!(T::load(subject).await.unwrap(), third);
}

/// The budget of an account.
pub async fn a_budget_is_written_on_its_version_alone(subject: &dyn Subject) {
    is_written_on_its_version_alone::<Budget>(subject).await;
}

/// The cursor of an account.
pub async fn a_cursor_is_written_on_its_version_alone(subject: &dyn Subject) {
    is_written_on_its_version_alone::<Cursor>(subject).await;
}

/// The app's budget.
pub async fn the_apps_budget_is_written_on_its_version_alone(subject: &dyn Subject) {
    is_written_on_its_version_alone::<AppBudget>(subject).await;
}

/// With units taken, a hold, its probe and a person's hold in it.
pub async fn a_budget_is_read_as_it_was_written(subject: &dyn Subject) {
    let (rules, at) = (rules(40), now(subject));
    let send = SendId { account: account(), key: "e".into() };
    let want = BudgetRequest {
        action: Action::PrivateReply,
        lane: Some(Lane::Inbound),
        units: NonZeroU32::new(3).unwrap(),
        least: NonZeroU32::MIN,
        first: Some(&send),
        beside: None,
        reads: false,
        lease_until: at + Duration::from_secs(30),
        counted_at: None,
        usage: None,
    };
    let decided = Budget::default().decide(&rules, &want, at, grant(1));
    let Decision::Granted(_, budget, None) = decided else { panic!("{decided:?}") };
    let mut written = vec![*budget];
    let last = |written: &[Budget]| written.last().unwrap().clone();
    written.push(last(&written).hold(&rules, HoldCause::Blocked, at, None, grant(2)));
    written.push(last(&written).hold_recipient(&RecipientId::new("526"), at, grant(3)));
    written.push(last(&written).lift(at + SECOND, grant(4)));
    written.push(last(&written).with_revision(Revision(3), grant(5)).unwrap());
    for next in &written {
        let saved = subject.ports().budgets.save(&account(), next).await.unwrap();
        assert_eq!(saved, Saved::Done);
        assert_eq!(subject.ports().budgets.load(&account()).await.unwrap(), *next);
    }
}

async fn one_is_done<T: Versioned>(subject: &dyn Subject) {
    let mut stands = T::default();
    for round in 0..4 {
        let rivals: Vec<T> =
            (0..30).map(|nth| stands.next(subject, grant(100 + round * 100 + nth))).collect();
        let saves = join_all(rivals.iter().map(|next| T::save(subject, next))).await;
        let now_stands = T::load(subject).await.unwrap();
        assert_eq!(now_stands.version(), stands.version() + 1);
        for (next, saved) in rivals.iter().zip(saves) {
            match saved.unwrap() {
                Saved::Done => assert_eq!(*next, now_stands),
                Saved::Conflict(current) => assert_eq!(current, now_stands),
            }
        }
        stands = now_stands;
    }
}

/// Thirty at once, and the others are told what stands now.
pub async fn of_writes_that_race_one_is_done(subject: &dyn Subject) {
    one_is_done::<Budget>(subject).await;
    one_is_done::<Cursor>(subject).await;
    one_is_done::<AppBudget>(subject).await;
}

/// Both are written or neither.
pub async fn a_persons_unit_is_moved_with_the_budget_or_not_at_all(subject: &dyn Subject) {
    let budgets = &subject.ports().budgets;
    let (account, person) = (account(), RecipientId::from("526"));
    let start = now(subject);
    let at = |n: u32| start + n * SECOND;
    let (first, second, third) = (at(0), at(60), at(120));
    let one = Budget::default().next(subject, grant(1));
    let nowhere = Moved { person: &person, from: first, to: second };
    let refused = budgets.save_moved(&account, &one, &nowhere).await.unwrap();
    assert_eq!(refused, Saved::Conflict(Budget::default()), "there is no unit");
    assert_eq!(budgets.counted_at(&account, &person).await.unwrap(), None);

    budgets.note_counted(&account, &person, second).await.unwrap();
    let wrong = Moved { from: first, to: third, ..nowhere };
    let refused = budgets.save_moved(&account, &one, &wrong).await.unwrap();
    assert_eq!(refused, Saved::Conflict(Budget::default()), "the unit lies elsewhere");
    assert_eq!(budgets.load(&account).await.unwrap(), Budget::default());
    let right = Moved { from: second, ..wrong };
    assert_eq!(budgets.save_moved(&account, &one, &right).await.unwrap(), Saved::Done);
    assert_eq!(budgets.counted_at(&account, &person).await.unwrap(), Some(third));
    assert_eq!(budgets.load(&account).await.unwrap(), one);
    let again = budgets.save_moved(&account, &one, &right).await.unwrap();
    assert_eq!(again, Saved::Done, "its own write, tried again");

    let late = Moved { from: third, to: at(180), ..right };
    let rival = Budget::default().next(subject, grant(2));
    let refused = budgets.save_moved(&account, &rival, &late).await.unwrap();
    assert_eq!(refused, Saved::Conflict(one.clone()));
    assert_eq!(budgets.counted_at(&account, &person).await.unwrap(), Some(third));
    let two = one.next(subject, grant(3));
    assert_eq!(budgets.save_moved(&account, &two, &late).await.unwrap(), Saved::Done);
    assert_eq!(budgets.counted_at(&account, &person).await.unwrap(), Some(at(180)));
}

/// Twenty at once, beside as many that write the budget alone.
pub async fn of_moves_that_race_one_is_done(subject: &dyn Subject) {
    let budgets = &subject.ports().budgets;
    let (account, person) = (account(), RecipientId::from("526"));
    let from = now(subject);
    budgets.note_counted(&account, &person, from).await.unwrap();
    let rivals: Vec<(Budget, Moved<'_>)> = (0..20)
        .map(|nth| {
            let to = from + (1 + nth) * SECOND;
            let next = Budget::default().next(subject, grant(u64::from(nth)));
            (next, Moved { person: &person, from, to })
        })
        .collect();
    let plain: Vec<Budget> =
        (20..40).map(|nth| Budget::default().next(subject, grant(nth))).collect();
    let moves = rivals.iter().map(|(next, moved)| budgets.save_moved(&account, next, moved));
    let saves = plain.iter().map(|next| budgets.save(&account, next));
    let (moves, saves) = futures::join!(join_all(moves), join_all(saves));
    let stands = budgets.load(&account).await.unwrap();
    assert_eq!(stands.version, 1);
    let lies = budgets.counted_at(&account, &person).await.unwrap();
    let moved: Vec<_> = rivals
        .iter()
        .zip(moves)
        .filter(|(_, saved)| *saved.as_ref().unwrap() == Saved::Done)
        .map(|((next, moved), _)| (next.clone(), moved.to))
        .collect();
    let saved: Vec<_> = plain
        .iter()
        .zip(saves)
        .filter(|(_, saved)| *saved.as_ref().unwrap() == Saved::Done)
        .map(|(next, _)| next.clone())
        .collect();
    match (&moved[..], &saved[..]) {
        ([(next, to)], []) => assert_eq!((next, Some(*to)), (&stands, lies)),
        ([], [next]) => assert_eq!((next, Some(from)), (&stands, lies)),
        _ => panic!("{} moves and {} writes are done", moved.len(), saved.len()),
    }
}

/// Noted in whatever order.
pub async fn the_later_unit_of_a_person_is_kept(subject: &dyn Subject) {
    let budgets = &subject.ports().budgets;
    let (account, person) = (account(), RecipientId::from("526"));
    assert_eq!(budgets.counted_at(&account, &person).await.unwrap(), None);
    let start = now(subject);
    let at = |n: u32| start + n * SECOND;
    for (noted, lies) in [(at(60), at(60)), (at(0), at(60)), (at(60), at(60)), (at(61), at(61))] {
        budgets.note_counted(&account, &person, noted).await.unwrap();
        assert_eq!(budgets.counted_at(&account, &person).await.unwrap(), Some(lies));
    }
    let other = RecipientId::from("527");
    assert_eq!(budgets.counted_at(&account, &other).await.unwrap(), None);
}

/// Processes that know nothing of each other, each asking until the quota is full.
pub async fn fifty_deciders_are_granted_exactly_what_there_is(subject: &dyn Subject) {
    let ports = subject.ports();
    let account = Account {
        id: account(),
        revision: Revision::default(),
        rules: rules(40),
        campaigns: Campaigns::new([]),
        token: SealedToken { key: 1, sealed: Vec::new() },
        forgotten: Default::default(),
        conversations: Default::default(),
        albums: Default::default(),
    };
    let deciding = (0..50).map(|process| {
        let ids = Arc::new(GrantIds::new(process));
        // What a process has remembered of a lost race is not what is tried here.
        let limiter = move || {
            let meter = Arc::<Meter>::default();
            let app = App::new(ports.app.clone(), ids.clone(), ports.clock.clone(), meter.clone());
            let check = Arc::<ClockCheck>::default();
            let (clock, budgets) = (ports.clock.clone(), ports.budgets.clone());
            let account_cache = Arc::new(AccountCache::new(ports.accounts.clone(), &clock));
            Limiter::new(account_cache, budgets, app, ids.clone(), clock, check, meter)
        };
        let account = &account;
        async move {
            let mut granted = 0;
            loop {
                match limiter().charge(account, Action::Read, NonZeroU32::MIN).await.unwrap() {
                    Charged::Granted(grant) => granted += grant.units,
                    Charged::Denied(denial) if denial.reason == DenialReason::Contention => {}
                    Charged::Denied(denial) => return (granted, denial),
                }
            }
        }
    });
    let mut granted = 0;
    for (units, denial) in join_all(deciding).await {
        granted += units;
        assert!(matches!(denial.reason, DenialReason::Quota(_)), "{denial:?}");
    }
    assert_eq!(granted, 40);
    let budget = ports.budgets.load(&account.id).await.unwrap();
    assert_eq!(budget.version, 40, "a write for each grant, and none for a denial");
}
