//! All queues by name, under one clock: what the local stack calls in process, and what the HTTP
//! server calls for everyone else.

mod moves;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use tokio::sync::Notify;

pub(crate) use self::moves::MoveTask;
use super::attributes::{Attributes, queue_arn};
use super::error::SqsError;
use super::faults::{Fault, Faults};
use super::ids::{Ids, mix};
use super::message::{Message, NewMessage};
use super::queue::{Counts, Queue, QueueError, Receive, Received};
use super::wire::Operation;

/// How long the name of a deleted queue stays taken, and a purge keeps off the next.
const COOL_OFF: Duration = Duration::from_secs(60);
const NAME_MAX: usize = 80;

/// What a receive does that finds nothing and was asked to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongPoll {
    /// It waits in real time, and the clock must run in real time too.
    Real,
    /// It answers at once. For clocks that only move when someone steps them: there, real time
    /// passes without bringing any message nearer.
    Never,
}

/// An SQS in process. Clones are handles to the same queues.
#[derive(Clone)]
pub struct Sqs {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    long_poll: LongPoll,
    state: Mutex<State>,
    arrivals: Notify,
    faults: Faults,
}

struct State {
    seed: u64,
    queues: BTreeMap<String, Hosted>,
    queues_made: u64,
    /// Names that are not free yet, and since when their queue is gone.
    deleted: BTreeMap<String, Timestamp>,
    tasks: Vec<MoveTask>,
    requests: Ids,
}

/// A queue and what SQS knows about it beyond its messages.
struct Hosted {
    queue: Queue,
    attributes: Attributes,
    created_at: Timestamp,
    modified_at: Timestamp,
    purged_at: Option<Timestamp>,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqs").field("queues", &self.queue_names()).finish_non_exhaustive()
    }
}

impl Sqs {
    /// No queues yet. The same seed and the same calls give the same ids.
    pub fn new(clock: Arc<dyn Clock>, seed: u64, long_poll: LongPoll) -> Self {
        let state = State {
            seed: mix(seed),
            queues: BTreeMap::new(),
            queues_made: 0,
            deleted: BTreeMap::new(),
            tasks: Vec::new(),
            requests: Ids::new(mix(seed ^ 1)),
        };
        let (arrivals, faults) = (Notify::new(), Faults::default());
        let state = Mutex::new(state);
        Self { shared: Arc::new(Shared { clock, long_poll, state, arrivals, faults }) }
    }

    /// Makes a queue. One that exists stays as it is, if none of these attributes would change it.
    pub fn create(
        &self,
        name: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), SqsError> {
        check_name(name)?;
        let now = self.now();
        let mut state = self.lock();
        if let Some(hosted) = state.queues.get(name) {
            let same = hosted.attributes.with(attributes)? == hosted.attributes;
            return same.then_some(()).ok_or_else(|| SqsError::QueueNameExists(name.to_owned()));
        }
        state.deleted.retain(|_, at| now.since(*at) < COOL_OFF);
        if state.deleted.contains_key(name) {
            return Err(SqsError::QueueDeletedRecently(name.to_owned()));
        }
        let attributes = Attributes::default().with(attributes)?;
        state.check_redrive(name, &attributes)?;
        state.queues_made += 1;
        let queue = Queue::new(attributes.timing, state.seed ^ mix(state.queues_made));
        let hosted =
            Hosted { queue, attributes, created_at: now, modified_at: now, purged_at: None };
        state.queues.insert(name.to_owned(), hosted);
        Ok(())
    }

    /// Deletes a queue and its messages.
    pub(crate) fn delete_queue(&self, name: &str) -> Result<(), SqsError> {
        let now = self.now();
        let mut state = self.lock();
        state.queues.remove(name).ok_or_else(|| SqsError::QueueDoesNotExist(name.to_owned()))?;
        state.deleted.insert(name.to_owned(), now);
        drop(state);
        self.shared.arrivals.notify_waiters();
        Ok(())
    }

    /// The names of all queues in order.
    pub(crate) fn queue_names(&self) -> Vec<String> {
        self.lock().queues.keys().cloned().collect()
    }

    /// All attributes of a queue, the counts among them.
    pub(crate) fn attributes(&self, name: &str) -> Result<BTreeMap<String, String>, SqsError> {
        let now = self.now();
        let mut state = self.lock();
        let hosted = state.hosted(name)?;
        let counts = hosted.queue.counts(now);
        let mut map = hosted.attributes.to_map();
        map.extend(
            [
                ("QueueArn", queue_arn(name)),
                ("CreatedTimestamp", hosted.created_at.as_secs().to_string()),
                ("LastModifiedTimestamp", hosted.modified_at.as_secs().to_string()),
                ("ApproximateNumberOfMessages", counts.visible.to_string()),
                ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
                ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        Ok(map)
    }

    /// Changes attributes; those not named stay.
    pub(crate) fn set_attributes(
        &self,
        name: &str,
        changes: &BTreeMap<String, String>,
    ) -> Result<(), SqsError> {
        let now = self.now();
        let mut state = self.lock();
        let changed = state.hosted(name)?.attributes.with(changes)?;
        state.check_redrive(name, &changed)?;
        let hosted = state.hosted(name)?;
        hosted.queue.set_timing(changed.timing);
        hosted.attributes = changed;
        hosted.modified_at = now;
        drop(state);
        // A longer retention can let a message live until it is visible.
        self.shared.arrivals.notify_waiters();
        Ok(())
    }

    /// The queues whose dead-letter queue this is, in order.
    pub(crate) fn dead_letter_sources(&self, name: &str) -> Result<Vec<String>, SqsError> {
        let mut state = self.lock();
        state.hosted(name)?;
        Ok(state.sources_of(name))
    }

    /// Sends a message and answers its id.
    pub fn send(&self, name: &str, message: NewMessage) -> Result<String, SqsError> {
        let now = self.now();
        let mut state = self.lock();
        let hosted = state.hosted(name)?;
        message.check()?;
        let bytes_max = hosted.attributes.message_bytes_max;
        if message.size() > bytes_max {
            return Err(SqsError::invalid(format!(
                "The message is {} bytes long; the queue takes {bytes_max}.",
                message.size()
            )));
        }
        let id = hosted.queue.send(now, message);
        drop(state);
        self.shared.arrivals.notify_waiters();
        Ok(id)
    }

    /// Receives at once what is there. Messages received too often go to the dead-letter queue.
    pub fn receive(
        &self,
        name: &str,
        max: usize,
        visibility_timeout: Option<Duration>,
    ) -> Result<Vec<Received>, SqsError> {
        let now = self.now();
        let mut state = self.lock();
        // Without a queue to take them, messages are rather handed out for ever than lost.
        let redrive = state.hosted(name)?.attributes.redrive.clone();
        let redrive = redrive.filter(|to| state.queues.contains_key(&to.dead_letter_queue));
        let give_up_after = redrive.as_ref().map(|redrive| redrive.max_receives);
        let hosted = state.hosted(name)?;
        let batch = hosted
            .queue
            .receive(now, Receive { max, visibility_timeout, give_up_after })
            .map_err(|error| from_queue(error, ""))?;
        let died = !batch.dead.is_empty();
        if let Some(redrive) = redrive {
            let dead_letters = state.hosted(&redrive.dead_letter_queue)?;
            for message in batch.dead {
                let dead_letter_source = Some(name.to_owned());
                dead_letters.queue.adopt(now, Message { dead_letter_source, ..message });
            }
        }
        drop(state);
        if died {
            self.shared.arrivals.notify_waiters();
        }
        Ok(batch.received)
    }

    /// Receives, and under [`LongPoll::Real`] waits up to `wait` for a first message. Dropping the
    /// future while it waits loses no message.
    pub(crate) async fn receive_within(
        &self,
        name: &str,
        max: usize,
        visibility_timeout: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<Received>, SqsError> {
        let give_up_at = self.shared.clock.monotonic() + wait;
        loop {
            // Registered before looking, so that no send between the two goes unnoticed.
            let mut arrival = std::pin::pin!(self.shared.arrivals.notified());
            arrival.as_mut().enable();
            let received = self.receive(name, max, visibility_timeout)?;
            let left = give_up_at.saturating_sub(self.shared.clock.monotonic());
            if !received.is_empty() || left.is_zero() || self.shared.long_poll == LongPoll::Never {
                return Ok(received);
            }
            let due = self.next_visible(name).map(|at| at.since(self.now()));
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep(due.map_or(left, |due| due.min(left))) => {}
            }
        }
    }

    /// How long a receive on this queue waits that does not say.
    pub(crate) fn default_wait(&self, name: &str) -> Result<Duration, SqsError> {
        Ok(self.lock().hosted(name)?.attributes.receive_wait)
    }

    /// Deletes a message by the handle of its latest receive; earlier ones delete nothing.
    pub(crate) fn delete(&self, name: &str, receipt_handle: &str) -> Result<(), SqsError> {
        let now = self.now();
        let mut state = self.lock();
        let deleted = state.hosted(name)?.queue.delete(now, receipt_handle);
        deleted.map_err(|error| from_queue(error, receipt_handle))
    }

    /// Lets the visibility timeout of a message in flight end this long after now.
    pub(crate) fn change_visibility(
        &self,
        name: &str,
        receipt_handle: &str,
        timeout: Duration,
    ) -> Result<(), SqsError> {
        let now = self.now();
        let mut state = self.lock();
        let changed = state.hosted(name)?.queue.change_visibility(now, receipt_handle, timeout);
        changed.map_err(|error| from_queue(error, receipt_handle))?;
        drop(state);
        self.shared.arrivals.notify_waiters();
        Ok(())
    }

    /// Deletes all messages of a queue, at most once a minute.
    pub fn purge(&self, name: &str) -> Result<(), SqsError> {
        let now = self.now();
        let mut state = self.lock();
        let hosted = state.hosted(name)?;
        if hosted.purged_at.is_some_and(|at| now.since(at) < COOL_OFF) {
            return Err(SqsError::PurgeQueueInProgress(name.to_owned()));
        }
        hosted.queue.purge();
        hosted.purged_at = Some(now);
        Ok(())
    }

    /// The instant at which a receive would first give a message if nothing else happened; the
    /// present instant if it would now, `None` if never or if there is no such queue.
    pub fn next_visible(&self, name: &str) -> Option<Timestamp> {
        let now = self.now();
        self.lock().queues.get_mut(name)?.queue.next_visible(now)
    }

    /// How many messages a queue holds; `None` if there is no such queue.
    pub fn counts(&self, name: &str) -> Option<Counts> {
        let now = self.now();
        self.lock().queues.get_mut(name).map(|hosted| hosted.queue.counts(now))
    }

    /// Wakes its waiters whenever a call may have brought the next visible instant of some queue
    /// nearer. Time alone does not wake them: see [`Sqs::next_visible`]. Register before looking.
    pub fn arrivals(&self) -> &Notify {
        &self.shared.arrivals
    }

    /// Lets the next calls over HTTP fail, whatever they are.
    pub fn fail_next(&self, fault: Fault, calls: u32) {
        self.shared.faults.plan(fault, None, calls);
    }

    /// Lets the next calls of one operation over HTTP fail.
    pub fn fail_next_of(&self, operation: Operation, fault: Fault, calls: u32) {
        self.shared.faults.plan(fault, Some(operation), calls);
    }

    /// Takes back the failures that are still to happen.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    pub(crate) fn take_fault(&self, operation: Operation) -> Option<Fault> {
        self.shared.faults.take(operation)
    }

    /// An id for the answer to one request.
    pub(crate) fn request_id(&self) -> String {
        self.lock().requests.next_uuid()
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A panic elsewhere leaves whole queues behind: each call changes them by one method.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hosted(&mut self, name: &str) -> Result<&mut Hosted, SqsError> {
        self.queues.get_mut(name).ok_or_else(|| SqsError::QueueDoesNotExist(name.to_owned()))
    }

    fn sources_of(&self, dead_letter_queue: &str) -> Vec<String> {
        let points_here = |hosted: &Hosted| {
            let redrive = hosted.attributes.redrive.as_ref();
            redrive.is_some_and(|redrive| redrive.dead_letter_queue == dead_letter_queue)
        };
        let sources = self.queues.iter().filter(|(_, hosted)| points_here(hosted));
        sources.map(|(name, _)| name.clone()).collect()
    }

    /// The dead-letter queue exists, is another one, and lets this queue in.
    fn check_redrive(&self, name: &str, attributes: &Attributes) -> Result<(), SqsError> {
        let Some(redrive) = &attributes.redrive else { return Ok(()) };
        let to = redrive.dead_letter_queue.as_str();
        let refuse = |why: &str| {
            Err(SqsError::invalid(format!("The dead-letter queue {to:?} of {name:?} {why}.")))
        };
        match self.queues.get(to) {
            _ if to == name => refuse("is that queue itself"),
            None => refuse("does not exist"),
            Some(hosted) if !hosted.attributes.redrive_allow.allows(name) => {
                refuse("does not allow it by its RedriveAllowPolicy")
            }
            Some(_) => Ok(()),
        }
    }
}

/// The text of a redrive policy: after `max_receives` receives, messages go to that queue.
pub fn redrive_policy(dead_letter_queue: &str, max_receives: NonZeroU32) -> String {
    serde_json::json!({
        "deadLetterTargetArn": queue_arn(dead_letter_queue),
        "maxReceiveCount": max_receives,
    })
    .to_string()
}

fn check_name(name: &str) -> Result<(), SqsError> {
    if name.ends_with(".fifo") {
        return Err(SqsError::UnsupportedOperation(format!(
            "{name:?} would be a FIFO queue, and this SQS has only standard queues."
        )));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(SqsError::invalid(format!(
        "The queue name {name:?} is not 1 to {NAME_MAX} letters, digits, hyphens and underscores."
    )))
}

fn from_queue(error: QueueError, receipt_handle: &str) -> SqsError {
    match error {
        QueueError::InvalidHandle => SqsError::ReceiptHandleIsInvalid(receipt_handle.to_owned()),
        QueueError::NotInFlight => SqsError::MessageNotInflight,
        QueueError::TooManyInFlight => SqsError::OverLimit,
    }
}
