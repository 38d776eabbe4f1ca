//! Budgets over the wire: what a decision costs, and what other tools that share an account's token
//! are told.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_cloud::wiring::Wiring;
use spillway_core::budget::{Budget, DenialReason, Revision, Role};
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::quota::{Action, Limit, Quota, QuotaId, Scope, Unit};
use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::limiter::{Charged, Limiter};
use spillway_service::port::{AccountChanges, Budgets, Moved, Read, Saved, StoreError};

use crate::harness::{CREATOR, World, quotas};

/// The ports of another process.
fn process(world: &World, number: u64) -> Wiring {
    let stack = &world.stack;
    let clock = world.clock.clone();
    let keys = stack.keys.clone();
    Wiring::new(&stack.config, keys, &stack.dynamo, &stack.poller, clock, number).unwrap()
}

async fn creator(world: &World) -> Account {
    world.outside.accounts.load(&CREATOR.into()).await.unwrap().unwrap()
}

async fn charge(limiter: &Limiter, account: &Account, units: u32) -> Charged {
    let units = NonZeroU32::new(units).unwrap();
    limiter.charge(account, Action::Read, units).await.unwrap()
}

/// Budgets that count how often they are read and written.
struct Counting {
    inner: Arc<dyn Budgets>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Counting {
    fn over(wiring: &mut Wiring) -> Arc<Self> {
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        let counting = Arc::new(Self { inner: wiring.budgets.clone(), reads, writes });
        wiring.budgets = counting.clone();
        counting
    }

    /// Reads and writes since this was last asked.
    fn since(&self) -> (u64, u64) {
        (self.reads.swap(0, Ordering::Relaxed), self.writes.swap(0, Ordering::Relaxed))
    }
}

#[async_trait]
impl Budgets for Counting {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(account, how).await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.save(account, next).await
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.save_moved(account, next, moved).await
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.inner.counted_at(account, person).await
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner.note_counted(account, person, at).await
    }
}

#[tokio::test]
async fn a_decision_is_one_write_and_no_read_and_a_denial_is_neither() {
    let world = World::start(quotas("10/1h", "1000/24h")).await;
    let account = creator(&world).await;
    let mut wiring = process(&world, 1);
    let counting = Counting::over(&mut wiring);
    let limiter = wiring.limiter();
    assert!(matches!(charge(&limiter, &account, 1).await, Charged::Granted(_)));
    assert_eq!(counting.since(), (1, 1), "a new process reads once");
    for _ in 0..3 {
        assert!(matches!(charge(&limiter, &account, 1).await, Charged::Granted(_)));
        assert_eq!(counting.since(), (0, 1));
    }

    // Somebody else decides in between: a failed write brings what stands now. From then on it
    // reads first, until nobody else has written.
    let other = process(&world, 2).limiter();
    for (others, requests) in [(1, (0, 2)), (1, (1, 1)), (0, (1, 1)), (0, (0, 1))] {
        for _ in 0..others {
            assert!(matches!(charge(&other, &account, 1).await, Charged::Granted(_)));
        }
        assert!(matches!(charge(&limiter, &account, 1).await, Charged::Granted(_)));
        assert_eq!(counting.since(), requests, "{others} by another");
    }

    let Charged::Denied(denial) = charge(&limiter, &account, 1).await else { panic!("granted") };
    assert!(matches!(&denial.reason, DenialReason::Quota(id) if id.as_str() == "calls"));
    for _ in 0..5 {
        assert_eq!(charge(&limiter, &account, 1).await, Charged::Denied(denial.clone()));
    }
    assert_eq!(counting.since(), (0, 0));
    // An hour later there is room, to the millisecond.
    let wait = denial.retry_at.since(world.now());
    world.clock.step_to(denial.retry_at - Duration::from_millis(1));
    assert!(matches!(charge(&other, &account, 1).await, Charged::Denied(_)), "{wait:?}");
    world.clock.step_to(denial.retry_at);
    assert!(matches!(charge(&other, &account, 1).await, Charged::Granted(_)));
}

#[tokio::test]
async fn a_changed_account_is_decided_by_at_the_next_decision() {
    let world = World::start(quotas("10/1h", "1000/24h")).await;
    let account = creator(&world).await;
    let limiter = process(&world, 1).limiter();
    assert!(matches!(charge(&limiter, &account, 4).await, Charged::Granted(_)));

    // Five an hour from now on, of which one is left; the process remembers ten.
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    let mut profile = account.rules.profile().clone();
    for quota in profile.quotas.iter_mut().filter(|quota| quota.id.as_str() == "calls") {
        quota.limit = Limit::Fixed(NonZeroU32::new(5).unwrap());
    }
    let lower = Rules::new(profile, account.rules.terms().clone()).unwrap();
    accounts.connect(&account.id, &lower, &account.token, &[]).await.unwrap();
    assert!(matches!(charge(&limiter, &account, 2).await, Charged::Denied(_)));
    assert!(matches!(charge(&limiter, &account, 1).await, Charged::Granted(_)));
    world.clock.step(Duration::from_secs(31));
    assert!(matches!(charge(&limiter, &account, 1).await, Charged::Denied(_)));

    // Ten again: known at once to whoever reads the budget.
    accounts.connect(&account.id, &account.rules, &account.token, &[]).await.unwrap();
    let other = process(&world, 2).limiter();
    assert!(matches!(charge(&other, &account, 5).await, Charged::Granted(_)));
    assert_eq!(creator(&world).await.revision, Revision(account.revision.0 + 2));
}

#[tokio::test]
async fn other_tools_are_granted_all_or_nothing_and_nothing_during_a_hold() {
    let world = World::start(quotas("10/1h", "1000/24h")).await;
    let account = creator(&world).await;
    let limiter = process(&world, 1).limiter();
    let Charged::Granted(grant) = charge(&limiter, &account, 4).await else { panic!("denied") };
    assert_eq!(grant.units, 4);
    assert!(matches!(charge(&limiter, &account, 7).await, Charged::Denied(_)));
    let budgets = &world.outside.budgets;
    let budget = budgets.load(&account.id).await.unwrap();
    let id = world.outside.ids.next();
    let held = budget.hold(&account.rules, HoldCause::Blocked, world.now(), None, id);
    assert_eq!(budgets.save(&account.id, &held).await.unwrap(), Saved::Done);
    let other = process(&world, 2).limiter();
    let Charged::Denied(denial) = charge(&other, &account, 1).await else { panic!("granted") };
    assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Blocked));
    assert_eq!(denial.retry_at, held.holds.current.unwrap().until);
}

#[tokio::test]
async fn what_an_account_called_before_it_leases_counts_in_the_apps_quota() {
    let world = World::start(quotas("10/1h", "1000/24h")).await;
    let account = creator(&world).await;
    assert!(matches!(
        charge(&process(&world, 1).limiter(), &account, 4).await,
        Charged::Granted(_)
    ));
    let mut profile = account.rules.profile().clone();
    let limit = Limit::Fixed(NonZeroU32::new(5).unwrap());
    let mut app = Quota::new("app", &Action::ALL, Unit::Calls, Duration::from_secs(3600), limit);
    app.scope = Scope::App;
    profile.quotas.push(app);
    let rules = Rules::new(profile, account.rules.terms().clone()).unwrap();
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    // The second time nothing is new.
    for _ in 0..2 {
        assert!(accounts.set_rules(&account.id, &rules).await.unwrap());
    }
    let account = creator(&world).await;
    let limiter = process(&world, 2).limiter();
    // Until the last call's bucket is over, nothing tells that it has all of them.
    world.clock.step(Duration::from_secs(60));
    let Charged::Denied(denial) = charge(&limiter, &account, 2).await else { panic!("granted") };
    assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("app")));
    assert!(matches!(charge(&limiter, &account, 1).await, Charged::Granted(_)));
}

#[tokio::test]
async fn several_units_after_a_hold_wait_and_leave_the_probe_to_others() {
    let world = World::start(quotas("10/1h", "1000/24h")).await;
    let account = creator(&world).await;
    let budgets = &world.outside.budgets;
    let id = world.outside.ids.next();
    let budget = budgets.load(&account.id).await.unwrap();
    let held = budget.hold(&account.rules, HoldCause::Throttled, world.now(), None, id);
    assert_eq!(budgets.save(&account.id, &held).await.unwrap(), Saved::Done);
    world.clock.step_to(held.holds.current.unwrap().until);
    let mut wiring = process(&world, 1);
    let counting = Counting::over(&mut wiring);
    let limiter = wiring.limiter();
    let Charged::Denied(denial) = charge(&limiter, &account, 3).await else { panic!("granted") };
    assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Throttled));
    assert!(denial.retry_at > world.now());
    assert_eq!(counting.since().1, 0, "nothing is written");
    let Charged::Granted(grant) = charge(&limiter, &account, 1).await else { panic!("denied") };
    assert_eq!(grant.role, Role::Probe);
}
