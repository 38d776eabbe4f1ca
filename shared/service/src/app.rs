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
use crate::metrics::{Meter, Metric, name_of};
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
    meter: Arc<Meter>,
    /// The budget last read, and until when it is believed, on the monotonic clock.
    seen: Mutex<Option<(AppBudget, Duration)>>,
    /// Held by who reads it: the others of a batch wait for the same answer.
    reading: futures::lock::Mutex<()>,
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
    pub fn new(
        budgets: Arc<dyn AppBudgets>,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
    ) -> Self {
        let (seen, reading, slices) = Default::default();
        Self { budgets, ids, clock, meter, seen, reading, slices }
    }

    /// Whether `first` may go. After a hold of the app it becomes its probe, if no other is.
    pub(crate) async fn gate(
        &self,
        first: Option<&SendId>,
        lease_until: Timestamp,
    ) -> Result<AppGate, StoreError> {
        let mut budget = self.budget().await?;
        loop {
            let (now, asked) = (self.clock.now(), self.clock.monotonic());
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
                            self.remember(next, asked);
                            return Ok(AppGate::Probe);
                        }
                        Saved::Conflict(current) => {
                            self.remember(current.clone(), asked);
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
            let (now, asked) = (self.clock.now(), self.clock.monotonic());
            match budget.lease(quota, rules, units, now, now + SLICE_LIFE, id) {
                Slice::Full(retry_at) => return Ok(Err(retry_at)),
                Slice::Leased(leased, next) => match self.budgets.save(&next).await? {
                    Saved::Done => {
                        self.remember(*next, asked);
                        let until = asked + SLICE_LIFE;
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
            Ok((before, budget)) => {
                if before.holds.is_open(now.max(before.decided_at)) {
                    self.meter.count_by(Metric::Held, format!("App{}", name_of(&cause)));
                }
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

    /// Changes the stored budget; gives it as it was and as it is.
    async fn change(
        &self,
        change: impl Fn(&AppBudget, GrantId) -> Option<AppBudget> + Send + Sync,
    ) -> Result<(AppBudget, AppBudget), StoreError> {
        let mut budget = self.budgets.load().await?;
        let id = self.ids.next();
        for _ in 0..HOLD_TRIES {
            let Some(next) = change(&budget, id) else { return Ok((budget.clone(), budget)) };
            let asked = self.clock.monotonic();
            match self.budgets.save(&next).await? {
                Saved::Done => {
                    self.remember(next.clone(), asked);
                    return Ok((budget, next));
                }
                Saved::Conflict(current) => budget = current,
            }
        }
        let detail = format!("lost {HOLD_TRIES} races");
        Err(StoreError::Unavailable { what: "change the app's budget", detail })
    }

    async fn budget(&self) -> Result<AppBudget, StoreError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let reading = self.reading.try_lock();
        if reading.is_none() {
            // Whoever reads tells all. Where that has failed each reads by itself: one after the
            // other they would run out of time.
            drop(self.reading.lock().await);
            if let Some(known) = self.known() {
                return Ok(known);
            }
        }
        let asked = self.clock.monotonic();
        let budget = self.budgets.load().await?;
        self.remember(budget.clone(), asked);
        Ok(budget)
    }

    /// The budget as it is believed to stand.
    fn known(&self) -> Option<AppBudget> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, until) = seen.as_ref()?;
        (self.clock.monotonic() < *until).then(|| budget.clone())
    }

    /// Believes a budget that was read or written by a request of the instant `asked`: the answer
    /// may have taken its time, and miss what was written meanwhile.
    fn remember(&self, budget: AppBudget, asked: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two requests at the same time the later answer may be the older one.
        if seen
            .as_ref()
            .is_none_or(|(known, until)| known.version <= budget.version || *until <= asked)
        {
            *seen = Some((budget, asked + APP_REMEMBERED));
        }
    }

    fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn closed(cause: HoldCause, retry_at: Timestamp) -> AppGate {
    AppGate::Closed(Denial { bound: Bound::AppHold(cause), retry_at })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};

    use async_trait::async_trait;
    use futures::FutureExt;
    use futures::future::join_all;
    use spillway_core::profile::Profile;
    use spillway_core::quota::{Action, Limit, Scope, Unit};
    use spillway_core::rules::Terms;

    use super::*;

    /// Seconds, on both clocks.
    #[derive(Default)]
    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_790_000_000) + self.monotonic()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    /// A store whose answers take seconds, in which another process puts the app on hold.
    struct Slow {
        stored: Mutex<AppBudget>,
        clock: Arc<Seconds>,
        answers_after: u64,
    }

    #[async_trait]
    impl AppBudgets for Slow {
        async fn load(&self) -> Result<AppBudget, StoreError> {
            Ok(self.stored.lock().unwrap().clone())
        }

        async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
            let id = GrantId::new(2, next.version);
            let now = self.clock.now();
            let held = next.hold(HoldCause::Throttled, now, Some(Duration::from_secs(600)), id);
            *self.stored.lock().unwrap() = held;
            self.clock.0.fetch_add(self.answers_after, Ordering::Relaxed);
            Ok(Saved::Done)
        }
    }

    /// Rules under which an account leases from the app's quota.
    fn leasing() -> Rules {
        let limit = Limit::Fixed(NonZeroU32::new(100).unwrap());
        let window = Duration::from_secs(3600);
        let mut quota = Quota::new("app", &Action::ALL, Unit::Calls, window, limit);
        quota.scope = Scope::App;
        let mut profile = Profile::meta();
        profile.quotas.push(quota);
        Rules::new(profile, Terms::default()).unwrap()
    }

    #[test]
    fn a_hold_stops_every_process_after_two_seconds_however_slow_the_store_answers() {
        for answers_after in 0..=4 {
            let clock = Arc::new(Seconds::default());
            let stored = Mutex::default();
            let store = Arc::new(Slow { stored, clock: clock.clone(), answers_after });
            let app = App::new(store, Arc::new(GrantIds::new(1)), clock.clone(), Arc::default());
            let lease_until = clock.now() + Duration::from_secs(30);
            let gate = || app.gate(None, lease_until).now_or_never().unwrap().unwrap();
            assert!(matches!(gate(), AppGate::Open));
            let taken = app.take(&leasing(), 1).now_or_never().unwrap().unwrap();
            assert_eq!(taken, (1, None), "leased, and the hold comes right after it");
            let known = APP_REMEMBERED.as_secs().saturating_sub(answers_after);
            clock.0.fetch_add(known, Ordering::Relaxed);
            assert!(matches!(gate(), AppGate::Closed(_)), "answers after {answers_after} s");
        }
    }

    #[test]
    fn an_older_answer_that_comes_later_does_not_hide_a_hold() {
        let clock = Arc::new(Seconds::default());
        let stored = Mutex::default();
        let store = Arc::new(Slow { stored, clock: clock.clone(), answers_after: 0 });
        let app = App::new(store, Arc::new(GrantIds::new(1)), clock.clone(), Arc::default());
        app.hold(HoldCause::Throttled, None).now_or_never().unwrap().unwrap();
        app.remember(AppBudget::default(), clock.monotonic());
        let gate = app.gate(None, clock.now()).now_or_never().unwrap().unwrap();
        assert!(matches!(gate, AppGate::Closed(_)));
    }

    /// A store that counts how often it is read, and answers in a moment, or not at all.
    struct Counting {
        reads: AtomicU64,
        answers: bool,
    }

    #[async_trait]
    impl AppBudgets for Counting {
        async fn load(&self) -> Result<AppBudget, StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            futures::pending!();
            match self.answers {
                true => Ok(AppBudget::default()),
                false => Err(StoreError::Unavailable { what: "load", detail: String::new() }),
            }
        }

        async fn save(&self, _: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
            Ok(Saved::Done)
        }
    }

    #[test]
    fn of_many_that_ask_at_once_one_reads_and_if_that_fails_each_reads_at_the_same_time() {
        for (answers, reads) in [(true, 1), (false, 5)] {
            let store = Arc::new(Counting { reads: AtomicU64::default(), answers });
            let clock = Arc::new(Seconds::default());
            let ids = Arc::new(GrantIds::new(1));
            let app = App::new(store.clone(), ids, clock.clone(), Arc::default());
            let mut all = join_all((0..5).map(|_| app.gate(None, clock.now())));
            let mut context = Context::from_waker(Waker::noop());
            let mut polls = 0;
            let gates = loop {
                polls += 1;
                match all.poll_unpin(&mut context) {
                    Poll::Ready(gates) => break gates,
                    Poll::Pending => assert!(polls < 4, "one after the other"),
                }
            };
            assert!(gates.iter().all(|gate| gate.is_ok() == answers));
            assert_eq!(store.reads.load(Ordering::Relaxed), reads, "answers: {answers}");
        }
    }
}
