//! The queue against a model that is too simple to be wrong: one vector, scanned from end to end.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use super::*;

const GIVE_UP_AFTER: u32 = 3;
const TIMING: Timing = Timing {
    delay: Duration::from_millis(750),
    visibility_timeout: Duration::from_millis(2_000),
    retention: Duration::from_millis(20_000),
};

#[derive(Clone, Debug)]
enum Step {
    Send { group: Option<u8>, delay_ms: Option<u64> },
    Receive { max: usize, visibility_ms: Option<u64> },
    Delete { handle: usize },
    Change { handle: usize, timeout_ms: u64 },
    Pass { ms: u64 },
}

/// Spans in milliseconds, few enough that instants coincide, some longer than the retention.
fn spans() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..12, 1 => 12_u64..100].prop_map(|ticks| ticks * 250)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let group = prop_oneof![Just(None), (0_u8..3).prop_map(Some)];
    let send = (group, prop::option::of(spans()))
        .prop_map(|(group, delay_ms)| Step::Send { group, delay_ms });
    let receive = (1_usize..=10, prop::option::of(spans()))
        .prop_map(|(max, visibility_ms)| Step::Receive { max, visibility_ms });
    let delete = any::<usize>().prop_map(|handle| Step::Delete { handle });
    let change = (any::<usize>(), spans())
        .prop_map(|(handle, timeout_ms)| Step::Change { handle, timeout_ms });
    let pass = spans().prop_map(|ms| Step::Pass { ms });
    let step = prop_oneof![5 => send, 3 => receive, 2 => delete, 1 => change, 3 => pass];
    prop::collection::vec(step, 0..120)
}

/// A message in the model. Messages never leave the vector; they end.
#[derive(Clone, Debug)]
struct Model {
    group: Option<u8>,
    sent_at: Timestamp,
    visible_at: Timestamp,
    receives: u32,
    end: Option<End>,
    /// Whether its delay or timeout was seen to end; else it is on its way.
    arrived: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Deleted,
    Expired,
    Dead,
}

/// The model of the queue: messages by index, and whose turn it is.
#[derive(Default)]
struct Models {
    all: Vec<Model>,
    turns: Vec<Option<u8>>,
}

impl Models {
    fn settle(&mut self, now: Timestamp) {
        for model in self.all.iter_mut().filter(|model| model.end.is_none()) {
            if model.sent_at + TIMING.retention <= now {
                model.end = Some(End::Expired);
            }
        }
        let all = &self.all;
        self.turns.retain(|group| {
            all.iter().any(|model| model.end.is_none() && model.arrived && model.group == *group)
        });
        let mut arriving: Vec<usize> = (0..self.all.len())
            .filter(|&index| {
                let model = &self.all[index];
                model.end.is_none() && !model.arrived && model.visible_at <= now
            })
            .collect();
        arriving.sort_by_key(|&index| (self.all[index].visible_at, index));
        for index in arriving {
            self.arrive(index);
        }
    }

    fn arrive(&mut self, index: usize) {
        self.all[index].arrived = true;
        if !self.turns.contains(&self.all[index].group) {
            self.turns.push(self.all[index].group);
        }
    }

    /// The visible messages of a group in order.
    fn ready(&self, group: Option<u8>) -> Vec<usize> {
        let mut ready: Vec<usize> = (0..self.all.len())
            .filter(|&index| {
                let model = &self.all[index];
                model.end.is_none() && model.arrived && model.group == group
            })
            .collect();
        ready.sort_by_key(|&index| (self.all[index].visible_at, index));
        ready
    }

    /// The indices handed out and those given up.
    fn receive(
        &mut self,
        now: Timestamp,
        max: usize,
        hidden: Duration,
    ) -> (Vec<usize>, Vec<usize>) {
        self.settle(now);
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        while received.len() < max && !self.turns.is_empty() {
            let group = self.turns.remove(0);
            let ready = self.ready(group);
            let index = ready[0];
            if ready.len() > 1 {
                self.turns.push(group);
            }
            let model = &mut self.all[index];
            if model.receives == GIVE_UP_AFTER {
                model.end = Some(End::Dead);
                dead.push(index);
            } else {
                model.receives += 1;
                model.visible_at = now + hidden;
                model.arrived = false;
                received.push(index);
            }
        }
        (received, dead)
    }

    fn counts(&self) -> Counts {
        let count = |wanted: &dyn Fn(&Model) -> bool| {
            self.all.iter().filter(|model| model.end.is_none() && wanted(model)).count()
        };
        Counts {
            visible: count(&|model| model.arrived),
            in_flight: count(&|model| !model.arrived && model.receives > 0),
            delayed: count(&|model| !model.arrived && model.receives == 0),
        }
    }

    fn next_visible(&self, now: Timestamp) -> Option<Timestamp> {
        let live = self.all.iter().filter(|model| model.end.is_none());
        live.filter(|model| model.arrived || model.visible_at < model.sent_at + TIMING.retention)
            .map(|model| model.visible_at.max(now))
            .min()
    }
}

/// Queue and model side by side.
struct Pair {
    now: Timestamp,
    queue: Queue,
    models: Models,
    ids: Vec<String>,
    /// Every handle ever given: the handle, whose it is, and which receive.
    handles: Vec<(String, usize, u32)>,
}

impl Pair {
    fn new() -> Self {
        let now = Timestamp::from_secs(1);
        let (ids, handles) = (Vec::new(), Vec::new());
        Self { now, queue: Queue::new(TIMING, 9), models: Models::default(), ids, handles }
    }

    fn send(&mut self, group: Option<u8>, delay_ms: Option<u64>) {
        self.models.settle(self.now);
        let delay = delay_ms.map(Duration::from_millis);
        let new = NewMessage {
            group: group.map(|group| group.to_string()),
            delay,
            ..NewMessage::new(self.ids.len().to_string())
        };
        self.ids.push(self.queue.send(self.now, new));
        self.models.all.push(Model {
            group,
            sent_at: self.now,
            visible_at: self.now + delay.unwrap_or(TIMING.delay),
            receives: 0,
            end: None,
            arrived: false,
        });
        self.models.settle(self.now);
    }

    fn receive(&mut self, max: usize, visibility_ms: Option<u64>) -> Result<(), TestCaseError> {
        let visibility_timeout = visibility_ms.map(Duration::from_millis);
        let give_up_after = NonZeroU32::new(GIVE_UP_AFTER);
        let ask = Receive { max, visibility_timeout, give_up_after };
        let batch = self.queue.receive(self.now, ask).unwrap();
        let hidden = visibility_timeout.unwrap_or(TIMING.visibility_timeout);
        let (received, dead) = self.models.receive(self.now, max, hidden);

        let id = |index: &usize| self.ids[*index].as_str();
        let expected: Vec<_> =
            received.iter().map(|index| (id(index), self.models.all[*index].receives)).collect();
        let actual: Vec<_> =
            batch.received.iter().map(|r| (r.message.id.as_str(), r.message.receives)).collect();
        prop_assert_eq!(actual, expected);
        let expected: Vec<_> = dead.iter().map(|index| (id(index), GIVE_UP_AFTER)).collect();
        let actual: Vec<_> =
            batch.dead.iter().map(|message| (message.id.as_str(), message.receives)).collect();
        prop_assert_eq!(actual, expected);

        for (received, index) in batch.received.into_iter().zip(received) {
            self.handles.push((received.receipt_handle, index, received.message.receives));
        }
        Ok(())
    }

    fn delete(&mut self, handle: usize) -> Result<(), TestCaseError> {
        if self.handles.is_empty() {
            return Ok(());
        }
        let (handle, index, receives) = &self.handles[handle % self.handles.len()];
        prop_assert_eq!(self.queue.delete(self.now, handle), Ok(()));
        self.models.settle(self.now);
        let model = &mut self.models.all[*index];
        if model.end.is_none() && model.receives == *receives {
            model.end = Some(End::Deleted);
        }
        Ok(())
    }

    fn change(&mut self, handle: usize, timeout_ms: u64) -> Result<(), TestCaseError> {
        if self.handles.is_empty() {
            return Ok(());
        }
        let (handle, index, receives) = &self.handles[handle % self.handles.len()];
        let timeout = Duration::from_millis(timeout_ms);
        let actual = self.queue.change_visibility(self.now, handle, timeout);
        self.models.settle(self.now);
        let model = &mut self.models.all[*index];
        if model.end.is_none() && model.receives == *receives && !model.arrived {
            model.visible_at = self.now + timeout;
            prop_assert_eq!(actual, Ok(()));
        } else {
            prop_assert_eq!(actual, Err(QueueError::NotInFlight));
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Send { group, delay_ms } => self.send(group, delay_ms),
            Step::Receive { max, visibility_ms } => self.receive(max, visibility_ms)?,
            Step::Delete { handle } => self.delete(handle)?,
            Step::Change { handle, timeout_ms } => self.change(handle, timeout_ms)?,
            Step::Pass { ms } => self.now = self.now + Duration::from_millis(ms),
        }
        self.models.settle(self.now);
        prop_assert_eq!(self.queue.counts(self.now), self.models.counts());
        prop_assert_eq!(self.queue.next_visible(self.now), self.models.next_visible(self.now));
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_queue_does_what_the_model_does(steps in steps()) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step)?;
        }
        // Each message is where the model says: none lost, none come back from its end.
        let live = pair.models.all.iter().filter(|model| model.end.is_none()).count();
        prop_assert_eq!(pair.queue.counts(pair.now).total(), live);
        let sent = pair.queue.sequences;
        prop_assert_eq!(sent as usize, pair.models.all.len());
    }

    #[test]
    fn next_visible_is_the_first_instant_at_which_a_receive_gives(steps in steps()) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step)?;
        }
        let ask = Receive { max: 1, visibility_timeout: None, give_up_after: None };
        let gives = |at: Timestamp| !pair.queue.clone().receive(at, ask).unwrap().received.is_empty();
        match pair.queue.clone().next_visible(pair.now) {
            Some(at) if at > pair.now => {
                assert!(!gives(at - Duration::from_millis(1)));
                assert!(gives(at));
            }
            Some(at) => assert!(gives(at)),
            None => {
                for ticks in 0..=TIMING.retention.as_millis() as u64 / 250 {
                    assert!(!gives(pair.now + Duration::from_millis(250 * ticks)));
                }
            }
        }
    }
}
