//! One queue as a pure state machine: every method takes the time, nothing waits and nothing is
//! read from outside, so the same calls give the same queue.

mod lanes;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use spillway_core::time::Timestamp;

use self::lanes::Lanes;
use super::ids::{Ids, mix};
use super::message::{Message, NewMessage};

/// How many messages of one queue can be in flight.
pub(crate) const IN_FLIGHT_MAX: usize = 120_000;

/// What a queue's messages get unless a call says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// From the send until a message is first receivable.
    pub delay: Duration,
    /// From a receive until the message is receivable again.
    pub visibility_timeout: Duration,
    /// From the send until the message vanishes.
    pub retention: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            visibility_timeout: Duration::from_secs(30),
            retention: Duration::from_secs(4 * 24 * 3600),
        }
    }
}

/// How many messages a queue holds, by what can be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// A receive would hand them out.
    pub visible: usize,
    /// Handed out, and their visibility timeout runs.
    pub in_flight: usize,
    /// Sent, and their delay runs.
    pub delayed: usize,
}

impl Counts {
    /// All of them.
    pub fn total(self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// What one receive asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receive {
    /// At most this many messages.
    pub max: usize,
    /// In place of the queue's visibility timeout.
    pub visibility_timeout: Option<Duration>,
    /// After this many receives a message is given up instead of handed out. `None` where there is
    /// no queue that would take it.
    pub give_up_after: Option<NonZeroU32>,
}

/// What one receive gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Handed out.
    pub received: Vec<Received>,
    /// Given up: they have left this queue and belong in its dead-letter queue.
    pub dead: Vec<Message>,
}

/// A message in the hands of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message, this receive counted.
    pub message: Message,
    /// Names this receive; a later receive of the same message makes it void.
    pub receipt_handle: String,
}

/// Why a queue refuses a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueError {
    /// The handle was not made by this queue.
    #[error("the receipt handle was not made by this queue")]
    InvalidHandle,
    /// The message is visible again, received anew, or gone.
    #[error("the message is not in flight")]
    NotInFlight,
    /// [`IN_FLIGHT_MAX`] is reached.
    #[error("too many messages are in flight")]
    TooManyInFlight,
}

/// A standard queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    timing: Timing,
    ids: Ids,
    /// Tells this queue's receipt handles from others'.
    tag: u64,
    sequences: u64,
    entries: BTreeMap<u64, Entry>,
    /// Visible entries.
    lanes: Lanes,
    /// Delayed entries and those in flight, by when that ends.
    waiting: BTreeSet<(Timestamp, u64)>,
    /// All entries, by when they vanish.
    expiry: BTreeSet<(Timestamp, u64)>,
    /// How many of `waiting` were never handed out.
    delayed: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    message: Message,
    state: State,
    visible_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Delayed,
    InFlight,
    Visible,
}

impl Queue {
    /// An empty queue. Queues of different seeds make different ids and handles.
    pub(crate) fn new(timing: Timing, seed: u64) -> Self {
        Self {
            timing,
            ids: Ids::new(seed),
            tag: mix(mix(seed)),
            sequences: 0,
            entries: BTreeMap::new(),
            lanes: Lanes::default(),
            waiting: BTreeSet::new(),
            expiry: BTreeSet::new(),
            delayed: 0,
        }
    }

    /// Changes the defaults. A new retention holds for the messages that are there as well.
    pub(crate) fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
        self.expiry.clear();
        for (sequence, entry) in &mut self.entries {
            entry.expires_at = entry.message.sent_at + timing.retention;
            self.expiry.insert((entry.expires_at, *sequence));
        }
    }

    /// Takes a message in and answers its id.
    pub(crate) fn send(&mut self, now: Timestamp, new: NewMessage) -> String {
        self.settle(now);
        let id = self.ids.next_uuid();
        let delay = new.delay.unwrap_or(self.timing.delay);
        self.insert(now, delay, Message::sent(id.clone(), new, now));
        id
    }

    /// Takes in a message that another queue gave up: receivable at once, and otherwise as it was.
    pub(crate) fn adopt(&mut self, now: Timestamp, message: Message) {
        self.settle(now);
        self.insert(now, Duration::ZERO, message);
    }

    /// Takes in a message that is moved here from a dead-letter queue: a new message, with an id,
    /// a time of sending and a receive count of its own, and receivable at once.
    pub(crate) fn renew(&mut self, now: Timestamp, message: Message) {
        self.settle(now);
        let message = Message {
            id: self.ids.next_uuid(),
            sent_at: now,
            first_received_at: None,
            receives: 0,
            dead_letter_source: None,
            ..message
        };
        self.insert(now, Duration::ZERO, message);
    }

    /// Hands messages out: the groups take turns, and within a group the first to become visible
    /// goes first.
    pub(crate) fn receive(&mut self, now: Timestamp, ask: Receive) -> Result<Batch, QueueError> {
        self.settle(now);
        let room = IN_FLIGHT_MAX.saturating_sub(self.counted().in_flight);
        if room == 0 {
            return Err(QueueError::TooManyInFlight);
        }
        let hidden = ask.visibility_timeout.unwrap_or(self.timing.visibility_timeout);
        let mut batch = Batch::default();
        while batch.received.len() < ask.max.min(room) {
            let Some(sequence) = self.lanes.pop() else { break };
            let Some(entry) = self.entries.get_mut(&sequence) else { continue };
            if ask.give_up_after.is_some_and(|limit| entry.message.receives >= limit.get()) {
                batch.dead.extend(self.forget(sequence));
                continue;
            }
            entry.message.receives += 1;
            entry.message.first_received_at.get_or_insert(now);
            entry.state = State::InFlight;
            entry.visible_at = now + hidden;
            self.waiting.insert((entry.visible_at, sequence));
            let message = entry.message.clone();
            let receipt_handle = self.handle(sequence, message.receives);
            batch.received.push(Received { message, receipt_handle });
        }
        Ok(batch)
    }

    /// Deletes a message for good, in flight or visible again. The handle of an earlier receive
    /// deletes nothing, and like one of a deleted message it is no error.
    pub(crate) fn delete(
        &mut self,
        now: Timestamp,
        receipt_handle: &str,
    ) -> Result<(), QueueError> {
        self.settle(now);
        let (sequence, receives) = self.read_handle(receipt_handle)?;
        if self.entries.get(&sequence).is_some_and(|entry| entry.message.receives == receives) {
            self.forget(sequence);
        }
        Ok(())
    }

    /// Lets the visibility timeout of a message in flight end this long after now.
    pub(crate) fn change_visibility(
        &mut self,
        now: Timestamp,
        receipt_handle: &str,
        timeout: Duration,
    ) -> Result<(), QueueError> {
        self.settle(now);
        let (sequence, receives) = self.read_handle(receipt_handle)?;
        let entry = self
            .entries
            .get_mut(&sequence)
            .filter(|entry| entry.state == State::InFlight && entry.message.receives == receives)
            .ok_or(QueueError::NotInFlight)?;
        self.waiting.remove(&(entry.visible_at, sequence));
        entry.visible_at = now + timeout;
        self.waiting.insert((entry.visible_at, sequence));
        Ok(())
    }

    /// Deletes all messages.
    pub(crate) fn purge(&mut self) {
        self.entries.clear();
        self.lanes = Lanes::default();
        self.waiting.clear();
        self.expiry.clear();
        self.delayed = 0;
    }

    /// Takes the visible messages out that `wanted` points at, in the order of their sending.
    pub(crate) fn take_visible(
        &mut self,
        now: Timestamp,
        wanted: impl Fn(&Message) -> bool,
    ) -> Vec<Message> {
        self.settle(now);
        let sequences: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state == State::Visible && wanted(&entry.message))
            .map(|(sequence, _)| *sequence)
            .collect();
        sequences.into_iter().filter_map(|sequence| self.forget(sequence)).collect()
    }

    /// How many messages there are. Exact, where SQS says approximate.
    pub(crate) fn counts(&mut self, now: Timestamp) -> Counts {
        self.settle(now);
        self.counted()
    }

    /// The instant at which a receive would first give a message if nothing else happened: `now`
    /// if it would give one already, `None` if it never would.
    pub(crate) fn next_visible(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.settle(now);
        if self.lanes.len() > 0 {
            return Some(now);
        }
        // A message that vanishes first is never receivable.
        let lasts = |at: Timestamp, sequence: u64| {
            self.entries.get(&sequence).is_some_and(|entry| at < entry.expires_at)
        };
        self.waiting.iter().find(|&&(at, sequence)| lasts(at, sequence)).map(|&(at, _)| at)
    }

    fn counted(&self) -> Counts {
        Counts {
            visible: self.lanes.len(),
            in_flight: self.waiting.len() - self.delayed,
            delayed: self.delayed,
        }
    }

    /// Brings the queue to `now`: messages past their retention vanish, messages whose delay or
    /// timeout ended become visible in the order in which that happened.
    fn settle(&mut self, now: Timestamp) {
        while let Some(&(expires_at, sequence)) = self.expiry.first()
            && expires_at <= now
        {
            self.forget(sequence);
        }
        while let Some(&(visible_at, sequence)) = self.waiting.first()
            && visible_at <= now
        {
            self.waiting.pop_first();
            let Some(entry) = self.entries.get_mut(&sequence) else { continue };
            self.delayed -= usize::from(entry.state == State::Delayed);
            entry.state = State::Visible;
            self.lanes.push(&entry.message.group, (visible_at, sequence));
        }
    }

    fn insert(&mut self, now: Timestamp, delay: Duration, message: Message) {
        self.sequences += 1;
        let sequence = self.sequences;
        let visible_at = now + delay;
        let expires_at = message.sent_at + self.timing.retention;
        let state = if delay.is_zero() {
            self.lanes.push(&message.group, (visible_at, sequence));
            State::Visible
        } else {
            self.waiting.insert((visible_at, sequence));
            self.delayed += 1;
            State::Delayed
        };
        self.expiry.insert((expires_at, sequence));
        self.entries.insert(sequence, Entry { message, state, visible_at, expires_at });
    }

    /// Takes an entry out of every index.
    fn forget(&mut self, sequence: u64) -> Option<Message> {
        let entry = self.entries.remove(&sequence)?;
        self.expiry.remove(&(entry.expires_at, sequence));
        let place = (entry.visible_at, sequence);
        match entry.state {
            State::Visible => self.lanes.remove(&entry.message.group, place),
            State::InFlight => {
                self.waiting.remove(&place);
            }
            State::Delayed => {
                self.waiting.remove(&place);
                self.delayed -= 1;
            }
        }
        Some(entry.message)
    }

    /// A handle says which receive of which message it is, and a check proves whose it is.
    fn handle(&self, sequence: u64, receives: u32) -> String {
        format!("{sequence:016x}{receives:08x}{:016x}", self.check(sequence, receives))
    }

    fn read_handle(&self, handle: &str) -> Result<(u64, u32), QueueError> {
        let number = |from: usize, to: usize| {
            let digits = handle.get(from..to).ok_or(QueueError::InvalidHandle)?;
            u64::from_str_radix(digits, 16).map_err(|_| QueueError::InvalidHandle)
        };
        let sequence = number(0, 16)?;
        let receives = number(16, 24)?.try_into().map_err(|_| QueueError::InvalidHandle)?;
        let same = handle == self.handle(sequence, receives);
        same.then_some((sequence, receives)).ok_or(QueueError::InvalidHandle)
    }

    fn check(&self, sequence: u64, receives: u32) -> u64 {
        mix(self.tag ^ mix(sequence ^ mix(u64::from(receives))))
    }
}
