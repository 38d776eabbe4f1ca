//! What all simulated processes share: virtual time, chance, the store, the queues, and Meta.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::send_task::SendTask;

use crate::by_hand::ByHand;
use crate::dice::Dice;
use crate::meta::Meta;
use crate::process::Process;
use crate::queue::{Queue, Receipt, Settings};
use crate::record::{Listener, Record};
use crate::scenario::{Outage, Scenario};
use crate::settings::Changes;
use crate::stored;
use crate::watch::Watch;
use spillway_memory::tables::Tables;

/// The world, and the time in it.
pub(crate) struct Shared {
    now: AtomicU64,
    world: Mutex<World>,
}

/// Everything that is shared. It is locked for an instant at a time, never across an await.
pub(crate) struct World {
    /// The instant, in milliseconds since 1970.
    pub(crate) now: u64,
    /// What is yet to be drawn.
    pub(crate) dice: Dice,
    /// What was drawn before it began.
    pub(crate) scenario: Arc<Scenario>,
    /// What DynamoDB holds.
    pub(crate) tables: Tables,
    /// The queue of sends.
    pub(crate) sends: Queue<SendTask>,
    /// The queue of accounts to release.
    pub(crate) releases: Queue<AccountId>,
    /// Meta.
    pub(crate) meta: Meta,
    /// What is done by hand.
    pub(crate) by_hand: ByHand,
    /// The limits and campaigns that were changed by hand.
    pub(crate) settings: Changes,
    /// What looks at every step.
    pub(crate) watch: Watch,
    /// What is written down.
    pub(crate) record: Record,
    timers: BTreeMap<Alarm, Waker>,
    alarms: u64,
    invocations: u64,
}

/// When a timer fires; those of the same instant in an order that is drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alarm {
    at: u64,
    order: u64,
    nth: u64,
}

/// Messages in a batch at most, as template.yaml has it.
const BATCH: u64 = 10;

/// The send queue as template.yaml sets it up.
const SENDS: Settings =
    Settings { visibility: 180_000, retention: 1_209_600_000, receives_max: 10 };
/// The release queue as template.yaml sets it up: it has no dead-letter queue.
const RELEASES: Settings =
    Settings { visibility: 360_000, retention: 900_000, receives_max: u32::MAX };

impl Shared {
    /// The world of `scenario` before anything happens in it.
    pub(crate) fn new(scenario: &Arc<Scenario>, listener: Option<Listener>) -> Arc<Self> {
        let start = scenario.start;
        let world = World {
            now: start,
            dice: Dice::new(scenario.seed ^ 0x0005_1111_0000_2222),
            scenario: scenario.clone(),
            tables: stored::tables(scenario),
            sends: Queue::new(SENDS),
            releases: Queue::new(RELEASES),
            meta: Meta::new(scenario),
            by_hand: ByHand::default(),
            settings: Changes::default(),
            watch: Watch::default(),
            record: Record::new(start, listener),
            timers: BTreeMap::new(),
            alarms: 0,
            invocations: 0,
        };
        Arc::new(Self { now: AtomicU64::new(start), world: Mutex::new(world) })
    }

    /// The instant, in milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The world. Whoever holds it must not await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass until `at`.
    pub(crate) fn pass_to(&self, at: u64) {
        let mut world = self.world();
        world.now = world.now.max(at);
        self.now.store(world.now, Ordering::Relaxed);
    }

    /// Fires the next timer that is due; whether there was one.
    pub(crate) fn ring(&self) -> bool {
        let waker = {
            let mut world = self.world();
            match world.timers.first_key_value() {
                Some((alarm, _)) if alarm.at <= world.now => {
                    world.timers.pop_first().map(|(_, waker)| waker)
                }
                _ => None,
            }
        };
        waker.map(Waker::wake).is_some()
    }

    /// Ends after `span` milliseconds.
    pub(crate) fn sleep(self: &Arc<Self>, span: u64) -> Sleep {
        Sleep { shared: self.clone(), at: self.now() + span, alarm: None }
    }
}

impl World {
    /// The instant.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// The number of a new invocation.
    pub(crate) fn next_invocation(&mut self) -> u64 {
        self.invocations += 1;
        self.invocations
    }

    /// Invocations so far.
    pub(crate) fn invocations(&self) -> u64 {
        self.invocations
    }

    /// How many messages a poll of the send queue asks for; `None` when none is visible.
    pub(crate) fn poll(&mut self) -> Option<usize> {
        self.sends.next_visible().filter(|&at| at <= self.now)?;
        Some(self.dice.between(1..=BATCH) as usize)
    }

    /// A received message may be received again while it is worked on.
    pub(crate) fn may_repeat(&mut self, receipt: Receipt) {
        if self.strikes(self.scenario.rates.message_repeated) {
            self.record.count("message repeated");
            let longest = self.dice.pick(&[50, 2000, 60_000]);
            let at = self.now + self.dice.between(0..=longest);
            self.sends.repeat(receipt, at, &mut self.dice);
        }
    }

    /// One of the idle processes.
    pub(crate) fn pick_idle(&mut self, idle: &mut Vec<Process>) -> Option<Process> {
        if idle.is_empty() {
            return None;
        }
        let nth = self.dice.index(idle.len());
        Some(idle.swap_remove(nth))
    }

    /// When the next timer fires.
    pub(crate) fn next_alarm(&self) -> Option<u64> {
        self.timers.keys().next().map(|alarm| alarm.at)
    }

    /// Whether faults still strike.
    pub(crate) fn is_rough(&self) -> bool {
        self.now < self.scenario.calm_at
    }

    /// Whether a fault of this probability strikes now.
    pub(crate) fn strikes(&mut self, rate: f64) -> bool {
        self.is_rough() && self.dice.chance(rate)
    }

    /// Whether such an outage lasts.
    pub(crate) fn is_out(&self, outage: Outage) -> bool {
        let mut spans = self.scenario.outages.iter().filter(|(kind, _)| *kind == outage);
        spans.any(|(_, span)| span.contains(&self.now))
    }

    /// Writes down an event.
    pub(crate) fn event(&mut self, what: fmt::Arguments<'_>) {
        self.record.event(self.now, what);
    }

    /// Something broke that must always hold.
    pub(crate) fn broken(&mut self, what: String) {
        self.record.fail(self.now, what);
    }
}

/// Waits in virtual time. Even a wait of nothing lets others go first.
pub(crate) struct Sleep {
    shared: Arc<Shared>,
    at: u64,
    alarm: Option<Alarm>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared.clone();
        let mut world = shared.world();
        match self.alarm {
            Some(alarm) => match world.timers.get_mut(&alarm) {
                Some(waker) => waker.clone_from(context.waker()),
                None => return Poll::Ready(()),
            },
            None => {
                world.alarms += 1;
                let order = world.dice.any();
                let alarm = Alarm { at: self.at, order, nth: world.alarms };
                world.timers.insert(alarm, context.waker().clone());
                self.alarm = Some(alarm);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm {
            self.shared.world().timers.remove(&alarm);
        }
    }
}
