//! The app's budget, as one process uses it: whether the whole app is on hold, read again every two
//! seconds at most, and slices of the app's quotas that it has leased and spends by itself.
//!
//! The sends of a batch belong to many accounts, and each needs to know whether the app is on
//! hold. The first one reads it, and the others wait for its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::app::{AppBudget, SLICE_LIFE, Slice};
use spillway_core::budget::{Denial, DenialReason, GrantId, Role};
use spillway_core::hold::{Gate, HoldCause, Probe};
use spillway_core::id::{AccountId, SendId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::quota::{Quota, QuotaId};
use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;
use tracing::{error, warn};

use crate::clock::Clock;
use crate::grant::GrantIds;
use crate::limiter::AnswerDetails;
use crate::metrics::{Meter, Metric, name_of};
use crate::port::{AppBudgets, Journal, Saved, StoreError};
use crate::versioned::{Measured, Versioned, measure_and_replace};

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
    /// Where its holds are written down for people to read.
    journal: Option<Arc<dyn Journal>>,
}

/// The name under which the journal tells of the whole app. No account has it: their ids are
/// numbers.
pub fn app_journal() -> AccountId {
    AccountId::new("app")
}

/// A slice in this process's hands.
#[derive(Clone, Copy, Default)]
struct Held {
    leased: u32,
    left: u32,
    /// On the monotonic clock.
    until: Duration,
    /// Which slice it is.
    lease: GrantId,
}

/// A unit of a slice can be given back to that slice alone: the next one is counted by itself.
pub(crate) type Taken = Vec<(QuotaId, GrantId, u32)>;

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
    /// Calls may go; the pace has been returning since then, where a hold has ended.
    Open(Option<Timestamp>),
    /// The app's hold is over and nobody finds out yet.
    Probe,
    /// The call is made for the send that finds out.
    Beside,
    Closed(Denial),
}

/// Saves the app's budget, and believes what is stored then.
#[async_trait]
impl Versioned<AppBudget> for App {
    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        let asked = self.clock.monotonic();
        let saved = self.budgets.save(next).await?;
        match &saved {
            Saved::Done => self.remember(next.clone(), asked),
            Saved::Conflict(current) => self.remember(current.clone(), asked),
        }
        Ok(saved)
    }
}

impl App {
    /// An app about which nothing is known yet.
    pub fn new(
        budgets: Arc<dyn AppBudgets>,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
    ) -> Self {
        let (seen, reading, slices) = Default::default();
        Self { budgets, ids, clock, meter, seen, reading, slices, journal: None }
    }

    /// Writes the beginnings and ends of its holds into `journal` too.
    pub(crate) fn set_journal(&mut self, journal: Arc<dyn Journal>) {
        self.journal = Some(journal);
    }

    /// Whether calls may go; `beside` is the send that the call is made for.
    pub(crate) async fn gate(&self, beside: Option<&SendId>) -> Result<AppGate, StoreError> {
        let budget = self.budget().await?;
        let now = self.clock.now().max(budget.decided_at);
        let is_probe = |send| budget.holds.is_probe(send, now);
        Ok(match budget.holds.gate(now) {
            Gate::Open => AppGate::Open(budget.returned_at),
            Gate::Closed(..) if beside.is_some_and(is_probe) => AppGate::Beside,
            Gate::Closed(cause, retry_at) => closed(cause, retry_at),
            Gate::Probe => AppGate::Probe,
        })
    }

    /// The denial of a call that was granted before this process learned of a hold; `role` is what
    /// the call was to be.
    pub(crate) fn known_hold(&self, role: Role) -> Option<Denial> {
        let hold = self.known()?.holds.current?;
        // A hold that was met since the probe was named has none.
        let is_its_probe = role != Role::Normal && hold.probe.is_some();
        let retry_at = hold.until.max(self.clock.now() + CONTENDED_WAIT);
        (!is_its_probe).then_some(Denial { reason: DenialReason::AppHold(hold.cause), retry_at })
    }

    /// The denial of a call that cannot find out whether the hold is over, and waits for one that
    /// can.
    pub(crate) fn waits_for_probe(&self) -> Denial {
        let cause = self.known().and_then(|budget| Some(budget.holds.current?.cause));
        let reason = DenialReason::AppHold(cause.unwrap_or(HoldCause::Throttled));
        Denial { reason, retry_at: self.clock.now() + CONTENDED_WAIT }
    }

    /// Makes `probe` the one call that finds out whether the app's hold is over; not where another
    /// one is, or none is wanted any more.
    pub(crate) async fn start_probe(&self, probe: &Probe) -> Result<bool, StoreError> {
        let start = |budget: &AppBudget| {
            let is_wanted =
                budget.holds.gate(self.clock.now().max(budget.decided_at)) == Gate::Probe;
            ((), is_wanted.then(|| budget.probe(probe.clone(), self.ids.next())))
        };
        let started = measure_and_replace(self, self.budget().await?, LEASE_TRIES, start).await?;
        Ok(started.is_some_and(|started| started.after.is_some()))
    }

    /// Gives up a probe that was not made, so that another call may be it. One that is not given up
    /// ends with its lease.
    pub(crate) async fn give_up_probe(&self, probe: &Probe) {
        let change = |budget: &AppBudget, id| budget.without_probe(probe, id);
        if let Err(error) = self.change(change).await {
            warn!(%error, "the probe of the app is not given up");
        }
    }

    /// Takes up to `units` of every quota of the app that the account has to lease from. Returns
    /// how many it took and from which slices, and the denial for the rest.
    pub(crate) async fn take(
        &self,
        rules: &Rules,
        units: u32,
    ) -> Result<(u32, Taken, Option<Denial>), StoreError> {
        let mut most = units;
        let mut taken = Taken::new();
        let mut denial = None;
        for quota in rules.leased() {
            let got = match self.take_of(quota, rules, most, &mut taken).await {
                Ok(got) => got,
                Err(error) => {
                    self.give_back(&taken, 0);
                    return Err(error);
                }
            };
            if let (units, Some(full)) = got {
                most = units;
                denial = Some(full);
            }
        }
        // What was taken of the quotas before is more than can be used.
        self.give_back(&taken, most);
        Ok((most, self.keep(taken, most), denial))
    }

    /// The units of each quota that are kept, where `kept` are used.
    fn keep(&self, taken: Taken, kept: u32) -> Taken {
        let mut left: HashMap<QuotaId, u32> = HashMap::new();
        let keep = |(quota, lease, units): (QuotaId, GrantId, u32)| {
            let left = left.entry(quota.clone()).or_insert(kept);
            let units = units.min(*left);
            *left -= units;
            (units > 0).then_some((quota, lease, units))
        };
        taken.into_iter().filter_map(keep).collect()
    }

    /// Gives back what was `taken` beyond the `used` units of each quota, as far as its slice is
    /// still the one that it was taken from.
    pub(crate) fn give_back(&self, taken: &Taken, used: u32) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left: HashMap<&QuotaId, u32> = HashMap::new();
        for (quota, lease, units) in taken {
            let left = left.entry(quota).or_insert(used);
            let kept = (*units).min(*left);
            *left -= kept;
            if let Some(held) = slices.get_mut(quota).filter(|held| held.lease == *lease) {
                held.left = (held.left + units - kept).min(held.leased);
            }
        }
    }

    async fn take_of(
        &self,
        quota: &Quota,
        rules: &Rules,
        units: u32,
        of: &mut Taken,
    ) -> Result<(u32, Option<Denial>), StoreError> {
        let mut taken = self.take_local(quota, units, of);
        while taken < units {
            let wanted = self.next_size(quota).max(units - taken);
            match self.lease(quota, rules, wanted).await? {
                None => taken += self.take_local(quota, units - taken, of),
                Some(retry_at) => {
                    let reason = DenialReason::Quota(quota.id.clone());
                    return Ok((taken, Some(Denial { reason, retry_at })));
                }
            }
        }
        Ok((taken, None))
    }

    fn take_local(&self, quota: &Quota, units: u32, of: &mut Taken) -> u32 {
        let now = self.clock.monotonic();
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = slices.get_mut(&quota.id).filter(|held| now < held.until) else {
            return 0;
        };
        let taken = units.min(held.left);
        held.left -= taken;
        of.push((quota.id.clone(), held.lease, taken));
        taken
    }

    fn next_size(&self, quota: &Quota) -> u32 {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        slices.get(&quota.id).map_or(1, |held| held.next_size(self.clock.monotonic()))
    }

    /// Leases a slice. Returns `None`, or the instant at which there may be one.
    async fn lease(
        &self,
        quota: &Quota,
        rules: &Rules,
        units: u32,
    ) -> Result<Option<Timestamp>, StoreError> {
        let id = self.ids.next();
        let lease = |budget: &AppBudget| {
            // Both clocks are read before the write: the lease's life includes it.
            let (now, asked) = (self.clock.now(), self.clock.monotonic());
            match budget.lease(quota, rules, units, now, now + SLICE_LIFE, id) {
                Slice::Full(retry_at) => (Err(retry_at), None),
                Slice::Leased(leased, next) => {
                    let until = asked + SLICE_LIFE;
                    (Ok(Held { leased, left: leased, until, lease: id }), Some(*next))
                }
            }
        };
        let leased = measure_and_replace(self, self.budget().await?, LEASE_TRIES, lease).await?;
        match leased.map(|leased| leased.result) {
            Some(Ok(slice)) => {
                self.hold_slice(quota, slice);
                Ok(None)
            }
            Some(Err(retry_at)) => Ok(Some(retry_at)),
            None => {
                self.forget();
                Ok(Some(self.clock.now() + CONTENDED_WAIT))
            }
        }
    }

    fn hold_slice(&self, quota: &Quota, slice: Held) {
        self.slices.lock().unwrap_or_else(PoisonError::into_inner).insert(quota.id.clone(), slice);
    }

    /// Puts the whole app on hold and says until when. This process stops at once.
    pub(crate) async fn hold(
        &self,
        cause: HoldCause,
        AnswerDetails { regain, error }: AnswerDetails,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        match self.change(|budget, id| Some(budget.hold(cause, now, regain, id))).await {
            Ok((before, budget)) => {
                let until = budget.holds.current.map_or(now, |hold| hold.until);
                if before.holds.is_open(now.max(before.decided_at)) {
                    self.meter.count_by(Metric::Held, format!("App{}", name_of(&cause)));
                    self.note(Event::HoldSet { cause, until, error, reason: None }).await;
                }
                warn!(%cause, hold_s = until.since(now).as_secs(), "the whole app is on hold");
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
        let now = self.clock.now();
        let lift = |budget: &AppBudget, id| budget.holds.is_probed().then(|| budget.lift(now, id));
        match self.change(lift).await {
            Ok((before, after)) => {
                warn!("hold of the app ended: the probe went through");
                if before.holds.current.is_some() && after.holds.current.is_none() {
                    self.note(Event::HoldEnded).await;
                }
            }
            Err(error) => error!(%error, "could not end the hold of the app"),
        }
    }

    /// Has the next call find out whether the app's hold is over, and gives the budget before and
    /// after.
    pub(crate) async fn resume(&self) -> Result<(AppBudget, AppBudget), StoreError> {
        let now = self.clock.now();
        self.change(|budget, id| budget.resume(now, id)).await
    }

    /// Writes into the app's journal. Nothing is decided on it, so a failure is only logged.
    async fn note(&self, what: Event) {
        let Some(journal) = &self.journal else { return };
        let entry = JournalEntry { at: self.clock.now(), account: app_journal(), what };
        if let Err(error) = journal.append(&entry).await {
            warn!(%error, "a hold of the app is not written into the journal");
        }
    }

    /// Changes the stored budget; gives it as it was and as it is.
    async fn change(
        &self,
        change: impl Fn(&AppBudget, GrantId) -> Option<AppBudget> + Send + Sync,
    ) -> Result<(AppBudget, AppBudget), StoreError> {
        let (budget, id) = (self.budgets.load().await?, self.ids.next());
        let change = |budget: &AppBudget| ((), change(budget, id));
        let changed = measure_and_replace(self, budget, HOLD_TRIES, change).await?;
        let Some(Measured { before, after, .. }) = changed else {
            let detail = format!("lost {HOLD_TRIES} races");
            return Err(StoreError::unavailable("change the app's budget", detail));
        };
        let after = after.unwrap_or_else(|| before.clone());
        Ok((before, after))
    }

    /// The budget as it is stored, or was two seconds ago.
    pub(crate) async fn budget(&self) -> Result<AppBudget, StoreError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let reading = self.reading.try_lock();
        if reading.is_none() {
            // One reads for all. Where that has failed, each reads by itself: one after the
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

    /// The budget as this process believes it to be.
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
    AppGate::Closed(Denial { reason: DenialReason::AppHold(cause), retry_at })
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
            let gate = || app.gate(None).now_or_never().unwrap().unwrap();
            assert!(matches!(gate(), AppGate::Open(None)));
            let (units, _, denial) = app.take(&leasing(), 1).now_or_never().unwrap().unwrap();
            assert_eq!((units, denial), (1, None), "leased, and the hold comes right after it");
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
        app.hold(HoldCause::Throttled, AnswerDetails::default()).now_or_never().unwrap().unwrap();
        app.remember(AppBudget::default(), clock.monotonic());
        let gate = app.gate(None).now_or_never().unwrap().unwrap();
        assert!(matches!(gate, AppGate::Closed(_)));
    }

    #[test]
    fn a_unit_goes_back_to_the_slice_that_it_was_taken_from_alone() {
        let store = Arc::new(Counting { reads: AtomicU64::default(), answers: true });
        let clock = Arc::new(Seconds::default());
        let ids = Arc::new(GrantIds::new(1));
        let app = App::new(store, ids, clock.clone(), Arc::default());
        let rules = leasing();
        let quota = rules.leased().next().unwrap().clone();
        let left = || app.slices.lock().unwrap()[&quota.id].left;
        app.remember(AppBudget::default(), clock.monotonic());
        let take = || app.take(&rules, 3).now_or_never().unwrap().unwrap();
        let (_, first, _) = take();
        app.give_back(&first, 1);
        assert_eq!(left(), 2);
        let (_, _, _) = take();
        clock.0.fetch_add(SLICE_LIFE.as_secs(), Ordering::Relaxed);
        app.remember(AppBudget::default(), clock.monotonic());
        take();
        let before = left();
        app.give_back(&first, 0);
        assert_eq!(left(), before, "its slice is over");
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
            if self.answers {
                Ok(AppBudget::default())
            } else {
                Err(StoreError::unavailable("load", ""))
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
            let mut all = join_all((0..5).map(|_| app.gate(None)));
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
