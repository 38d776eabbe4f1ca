//! A process's host: its clocks, its connection to the world, and its death.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_service::clock::{Clock, ClockCheck};
use spillway_service::port::StoreError;

use crate::scenario::Outage;
use crate::watch::{Caller, ClockState};
use crate::world::{Shared, Sleep, World};

/// What a process runs on. The ports are implemented for it.
pub(crate) struct Host {
    /// The world.
    pub(crate) shared: Arc<Shared>,
    /// The process's clock.
    pub(crate) clock: Arc<HostClock>,
    /// What the process thinks of it.
    pub(crate) check: Arc<ClockCheck>,
    life: Mutex<Life>,
}

/// A clock that is off by a constant.
pub(crate) struct HostClock {
    shared: Arc<Shared>,
    skew: AtomicI64,
    /// Whether an answer has come since it is off by that much.
    is_told: AtomicBool,
}

/// The invocation under way.
#[derive(Default)]
struct Life {
    invocation: u64,
    /// Requests that it may still make before it dies; `None` when it lives.
    requests_left: Option<u64>,
    is_dead: bool,
}

/// Attempts that the SDK makes of one request.
const ATTEMPTS: u32 = 3;
/// How long it waits for one, in milliseconds.
const ATTEMPT_TIMEOUT: u64 = 2000;
/// How long it waits for all, in milliseconds.
const OPERATION_TIMEOUT: u64 = 5000;

/// What happens to one attempt of a request.
struct Journey {
    there: u64,
    back: u64,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Throttled,
    RequestLost,
    AnswerLost,
}

impl HostClock {
    /// A clock that is off by `skew` milliseconds.
    pub(crate) fn new(shared: Arc<Shared>, skew: i64) -> Self {
        Self { shared, skew: AtomicI64::new(skew), is_told: AtomicBool::new(false) }
    }

    /// The clock jumps: it is off by `skew` milliseconds from now on.
    pub(crate) fn jump(&self, skew: i64) {
        self.skew.store(skew, Ordering::Relaxed);
        self.is_told.store(false, Ordering::Relaxed);
    }

    /// What there is to say of it.
    pub(crate) fn state(&self) -> ClockState {
        let bound = i64::try_from(CLOCK_BOUND.as_millis()).unwrap_or(i64::MAX);
        if self.skew.load(Ordering::Relaxed).abs() <= bound {
            ClockState::Right
        } else if self.is_told.load(Ordering::Relaxed) {
            ClockState::Told
        } else {
            ClockState::Wrong
        }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let skew = self.skew.load(Ordering::Relaxed);
        Timestamp::from_millis(self.shared.now().saturating_add_signed(skew))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.shared.now())
    }
}

impl Host {
    /// A host for a process whose clock is off by `skew` milliseconds.
    pub(crate) fn new(shared: &Arc<Shared>, skew: i64) -> Arc<Self> {
        Arc::new(Self {
            shared: shared.clone(),
            clock: Arc::new(HostClock::new(shared.clone(), skew)),
            check: Arc::default(),
            life: Mutex::default(),
        })
    }

    /// An invocation begins, which dies at its request number `dies_at`, if at all.
    pub(crate) fn begin(&self, invocation: u64, dies_at: Option<u64>) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        *life = Life { invocation, requests_left: dies_at, is_dead: false };
    }

    /// Whether the invocation has died.
    pub(crate) fn is_dead(&self) -> bool {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).is_dead
    }

    /// Who makes requests here.
    pub(crate) fn caller(&self) -> Caller {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let Life { invocation, .. } = *life;
        Caller { invocation, clock: self.clock.state() }
    }

    /// The invocation dies at its next request.
    pub(crate) fn doom(&self) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.requests_left = Some(0);
    }

    /// Another request is made. The one at which the invocation dies never ends, and whether it
    /// had an effect is left to chance.
    pub(crate) async fn breathe(&self) {
        {
            let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut life.requests_left {
                Some(0) => life.is_dead = true,
                Some(left) => *left -= 1,
                None => {}
            }
            if !life.is_dead {
                return;
            }
        }
        std::future::pending().await
    }

    /// Waits in virtual time.
    pub(crate) fn sleep(&self, span: u64) -> Sleep {
        self.shared.sleep(span)
    }

    /// A request to DynamoDB with this effect. Its answers tell the date.
    pub(crate) async fn store<R: Send>(
        &self,
        what: &'static str,
        effect: impl FnMut(&mut World) -> R + Send,
    ) -> Result<R, StoreError> {
        self.request(what, Outage::Store, effect).await
    }

    /// A request to SQS with this effect.
    pub(crate) async fn queue<R: Send>(
        &self,
        what: &'static str,
        effect: impl FnMut(&mut World) -> R + Send,
    ) -> Result<R, StoreError> {
        self.request(what, Outage::Queues, effect).await
    }

    /// A request, tried as the SDK tries it.
    async fn request<R: Send>(
        &self,
        what: &'static str,
        to: Outage,
        effect: impl FnMut(&mut World) -> R + Send,
    ) -> Result<R, StoreError> {
        let failed = |detail: &str| StoreError::unavailable(what, detail);
        let began = self.shared.now();
        let mut on_its_way = OnItsWay::new(&self.shared, effect);
        let mut error = failed("not tried");
        for attempt in 0..ATTEMPTS {
            let Journey { there, back, fate } = self.shared.world().journey(to);
            let before = self.clock.now();
            on_its_way.leaves();
            self.breathe().await;
            self.sleep(there).await;
            let result = match fate {
                Fate::Answered | Fate::AnswerLost => Some(on_its_way.arrives()),
                Fate::Throttled | Fate::RequestLost => {
                    on_its_way.is_lost();
                    None
                }
            };
            let date = Timestamp::from_secs(self.shared.now() / 1000);
            if matches!(fate, Fate::RequestLost | Fate::AnswerLost) {
                self.sleep(ATTEMPT_TIMEOUT - there).await;
                error = failed("no answer");
            } else {
                self.sleep(back).await;
                if to == Outage::Store {
                    self.check.compare(before, date, &*self.clock);
                    self.clock.is_told.store(true, Ordering::Relaxed);
                }
                match result {
                    Some(result) => return Ok(result),
                    None => error = failed("throttled"),
                }
            }
            if self.shared.now() - began + ATTEMPT_TIMEOUT > OPERATION_TIMEOUT {
                break;
            }
            let backoff = self.shared.world().dice.between(0..=50 << attempt);
            self.sleep(backoff).await;
        }
        self.shared.world().event(format_args!("{what}: no answer to {:?}", self.caller()));
        Err(error)
    }
}

impl World {
    fn journey(&mut self, to: Outage) -> Journey {
        let rates = self.scenario.rates;
        let fate = if self.is_out(to) {
            Fate::RequestLost
        } else if self.strikes(rates.throttled) {
            self.record.count("request throttled");
            Fate::Throttled
        } else if self.strikes(rates.request_lost) {
            self.record.count("request lost");
            Fate::RequestLost
        } else if self.strikes(rates.answer_lost) {
            self.record.count("answer lost");
            Fate::AnswerLost
        } else {
            Fate::Answered
        };
        let most = if self.strikes(rates.slow) { ATTEMPT_TIMEOUT - 1 } else { 16 };
        let both = self.dice.between(2..=most);
        let there = self.dice.between(1..=both - 1);
        Journey { there, back: both - there, fate }
    }
}

/// The effect of a request. When its sender dies while it is on its way, chance decides whether it
/// arrives.
pub(crate) struct OnItsWay<'a, R, F: FnMut(&mut World) -> R> {
    shared: &'a Arc<Shared>,
    effect: F,
    is_under_way: bool,
}

impl<'a, R, F: FnMut(&mut World) -> R> OnItsWay<'a, R, F> {
    /// A request that has not left yet.
    pub(crate) fn new(shared: &'a Arc<Shared>, effect: F) -> Self {
        Self { shared, effect, is_under_way: false }
    }

    /// It leaves.
    pub(crate) fn leaves(&mut self) {
        self.is_under_way = true;
    }

    /// It takes effect.
    pub(crate) fn arrives(&mut self) -> R {
        self.is_under_way = false;
        (self.effect)(&mut self.shared.world())
    }

    /// It never will.
    pub(crate) fn is_lost(&mut self) {
        self.is_under_way = false;
    }
}

impl<R, F: FnMut(&mut World) -> R> Drop for OnItsWay<'_, R, F> {
    fn drop(&mut self) {
        if self.is_under_way {
            let mut world = self.shared.world();
            if world.dice.chance(0.5) {
                (self.effect)(&mut world);
            }
        }
    }
}
