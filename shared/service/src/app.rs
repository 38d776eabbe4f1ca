//! The app's budget, as one process uses it: whether the whole app is on hold, read again every two
//! seconds at most, and slices of the app's quotas that it has leased and spends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spillway_core::app::{AppBudget, SLICE_LIFE, Slice};
use spillway_core::budget::{Bound, Denial, GrantId};
use spillway_core::hold::{Gate, HoldCause};
use spillway_core::id::SendId;
use spillway_core::quota::{Quota, QuotaId};
use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;
use tracing::{error, warn};

use crate::clock::Clock;
use crate::grant::GrantIds;
use crate::port::{AppBudgets, Saved, StoreError};

/// How long a process believes what it has read of the app's budget: a hold of the app stops all of
/// them within this time.
pub const APP_REMEMBERED: Duration = Duration::from_secs(2);

/// Races for the app's item that a lease may lose.
const LEASE_TRIES: usize = 6;

/// Races that a hold or its end may lose.
const HOLD_TRIES: usize = 50;

/// The wait after losing every race.
const CONTENDED_WAIT: Duration = Duration::from_secs(1);

/// The largest slice, in units: what a process that dies takes with it.
const SLICE_MAX: u32 = 256;

/// The app's budget.
pub struct App {
    budgets: Arc<dyn AppBudgets>,
    ids: Arc<GrantIds>,
    clock: Arc<dyn Clock>,
    /// The budget last read, and until when it is believed, on the monotonic clock.
    seen: Mutex<Option<(AppBudget, Duration)>>,
    slices: Mutex<HashMap<QuotaId, Held>>,
}

/// A slice in this process's hands.
#[derive(Clone, Copy, Default)]
struct Held {
    leased: u32,
    left: u32,
    /// On the monotonic clock.
    until: Duration,
}

impl Held {
    /// How much to lease next: twice as much when all was spent early, else what was spent.
    fn next_size(self, now: Duration) -> u32 {
        let spent = self.leased - self.left;
        let size = if self.left == 0 && now < self.until { spent.saturating_mul(2) } else { spent };
        size.clamp(1, SLICE_MAX)
    }
}

/// Whether the app lets a call through.
pub(crate) enum AppGate {
    Open,
    /// The app's hold is over, and this process's send finds out.
    Probe,
    Closed(Denial),
}

impl App {
    /// An app of which nothing is known yet.
    pub fn new(budgets: Arc<dyn AppBudgets>, ids: Arc<GrantIds>, clock: Arc<dyn Clock>) -> Self {
        Self { budgets, ids, clock, seen: Mutex::default(), slices: Mutex::default() }
    }

    /// Whether `first` may go. After a hold of the app it becomes its probe, if no other is.
    pub(crate) async fn gate(
        &self,
        first: Option<&SendId>,
        lease_until: Timestamp,
    ) -> Result<AppGate, StoreError> {
        let now = self.clock.now();
        let mut budget = self.budget().await?;
        loop {
            match (budget.holds.gate(now.max(budget.decided_at)), first) {
                (Gate::Open, _) => return Ok(AppGate::Open),
                (Gate::Closed(cause, retry_at), _) => return Ok(closed(cause, retry_at)),
                (Gate::Probe, None) => {
                    return Ok(closed(HoldCause::Throttled, now + CONTENDED_WAIT));
                }
                (Gate::Probe, Some(send)) => {
                    let next = budget.probe(send, lease_until, self.ids.next());
                    match self.budgets.save(&next).await? {
                        Saved::Done => {
                            self.remember(next);
                            return Ok(AppGate::Probe);
                        }
                        Saved::Conflict(current) => {
                            self.remember(current.clone());
                            budget = current;
                        }
                    }
                }
            }
        }
    }

    /// Takes up to `units` of every quota of the app that the account has to lease from. Gives how
    /// many, and the denial for the others.
    pub(crate) async fn take(
        &self,
        rules: &Rules,
        units: u32,
    ) -> Result<(u32, Option<Denial>), StoreError> {
        let mut taken = units;
        let mut denial = None;
        for quota in rules.leased() {
            let (got, full) = self.take_of(quota, rules, taken).await?;
            if got < taken {
                // What was taken of the quotas before is more than can be used.
                self.give_back_until(rules, quota, taken - got);
                taken = got;
                denial = full;
            }
        }
        Ok((taken, denial))
    }

    /// Gives back units that were taken and not used.
    pub(crate) fn give_back(&self, rules: &Rules, units: u32) {
        for quota in rules.leased() {
            self.return_to(quota, units);
        }
    }

    fn give_back_until(&self, rules: &Rules, end: &Quota, units: u32) {
        for quota in rules.leased().take_while(|quota| quota.id != end.id) {
            self.return_to(quota, units);
        }
    }

    fn return_to(&self, quota: &Quota, units: u32) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = slices.get_mut(&quota.id) {
            held.left = (held.left + units).min(held.leased);
        }
    }

    async fn take_of(
        &self,
        quota: &Quota,
        rules: &Rules,
        units: u32,
    ) -> Result<(u32, Option<Denial>), StoreError> {
        let mut taken = self.take_local(quota, units);
        while taken < units {
            let wanted = self.next_size(quota).max(units - taken);
            match self.lease(quota, rules, wanted).await? {
                Ok(()) => taken += self.take_local(quota, units - taken),
                Err(retry_at) => {
                    let bound = Bound::Quota(quota.id.clone());
                    return Ok((taken, Some(Denial { bound, retry_at })));
                }
            }
        }
        Ok((taken, None))
    }

    fn take_local(&self, quota: &Quota, units: u32) -> u32 {
        let now = self.clock.monotonic();
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = slices.get_mut(&quota.id).filter(|held| now < held.until) else {
            return 0;
        };
        let taken = units.min(held.left);
        held.left -= taken;
        taken
    }

    fn next_size(&self, quota: &Quota) -> u32 {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        slices.get(&quota.id).map_or(1, |held| held.next_size(self.clock.monotonic()))
    }

    /// Leases a slice; the instant at which there may be one where there is none now.
    async fn lease(
        &self,
        quota: &Quota,
        rules: &Rules,
        units: u32,
    ) -> Result<Result<(), Timestamp>, StoreError> {
        let mut budget = self.budget().await?;
        let id = self.ids.next();
        for _ in 0..LEASE_TRIES {
            // Both clocks are read before the write: the lease's life includes it.
            let (now, until) = (self.clock.now(), self.clock.monotonic() + SLICE_LIFE);
            match budget.lease(quota, rules, units, now, now + SLICE_LIFE, id) {
                Slice::Full(retry_at) => {
                    self.remember(budget);
                    return Ok(Err(retry_at));
                }
                Slice::Leased(leased, next) => match self.budgets.save(&next).await? {
                    Saved::Done => {
                        self.remember(*next);
                        self.hold_slice(quota, Held { leased, left: leased, until });
                        return Ok(Ok(()));
                    }
                    Saved::Conflict(current) => budget = current,
                },
            }
        }
        self.forget();
        Ok(Err(self.clock.now() + CONTENDED_WAIT))
    }

    fn hold_slice(&self, quota: &Quota, slice: Held) {
        self.slices.lock().unwrap_or_else(PoisonError::into_inner).insert(quota.id.clone(), slice);
    }

    /// Puts the whole app on hold and says until when. This process stops at once.
    pub(crate) async fn hold(
        &self,
        cause: HoldCause,
        regain: Option<Duration>,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        match self.change(|budget, id| Some(budget.hold(cause, now, regain, id))).await {
            Ok(budget) => {
                let until = budget.holds.current.map_or(now, |hold| hold.until);
                warn!(?cause, hold_s = until.since(now).as_secs(), "the whole app is on hold");
                Some(until)
            }
            Err(error) => {
                error!(%error, "could not record the hold of the app");
                None
            }
        }
    }

    /// Ends the app's hold: its probe went through.
    pub(crate) async fn lift(&self) {
        let lift = |budget: &AppBudget, id| budget.holds.is_probed().then(|| budget.lift(id));
        match self.change(lift).await {
            Ok(_) => warn!("hold of the app ended: the probe went through"),
            Err(error) => error!(%error, "could not end the hold of the app"),
        }
    }

    async fn change(
        &self,
        change: impl Fn(&AppBudget, GrantId) -> Option<AppBudget> + Send + Sync,
    ) -> Result<AppBudget, StoreError> {
        let mut budget = self.budgets.load().await?;
        let id = self.ids.next();
        for _ in 0..HOLD_TRIES {
            let Some(next) = change(&budget, id) else { return Ok(budget) };
            match self.budgets.save(&next).await? {
                Saved::Done => {
                    self.remember(next.clone());
                    return Ok(next);
                }
                Saved::Conflict(current) => budget = current,
            }
        }
        let detail = format!("lost {HOLD_TRIES} races");
        Err(StoreError::Unavailable { what: "change the app's budget", detail })
    }

    async fn budget(&self) -> Result<AppBudget, StoreError> {
        let now = self.clock.monotonic();
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((budget, until)) if now < until => Ok(budget),
            _ => {
                let budget = self.budgets.load().await?;
                // From before it was read: what is written meanwhile may be missing.
                let until = now + APP_REMEMBERED;
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((budget.clone(), until));
                Ok(budget)
            }
        }
    }

    fn remember(&self, budget: AppBudget) {
        let until = self.clock.monotonic() + APP_REMEMBERED;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((budget, until));
    }

    fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn closed(cause: HoldCause, retry_at: Timestamp) -> AppGate {
    AppGate::Closed(Denial { bound: Bound::AppHold(cause), retry_at })
}
