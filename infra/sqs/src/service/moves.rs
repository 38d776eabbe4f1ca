//! Moving messages out of a dead-letter queue. A move happens at once: no task is ever running.

use std::collections::BTreeSet;

use spillway_core::time::Timestamp;

use super::{Sqs, State};
use crate::error::SqsError;

/// How many tasks of one source queue are remembered.
const TASKS_MAX: usize = 10;

/// A finished move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MoveTask {
    /// Names the task.
    pub handle: String,
    /// The dead-letter queue that was emptied.
    pub source: String,
    /// Where its messages went; `None`: each to the queue that had given it up.
    pub destination: Option<String>,
    /// The pace that was asked for. It has no effect.
    pub messages_per_second: Option<i64>,
    /// When it was done.
    pub started_at: Timestamp,
    /// How many messages were there to move.
    pub to_move: usize,
    /// How many were moved.
    pub moved: usize,
}

impl MoveTask {
    /// Whether messages had to stay, because the queue that had given them up is unknown or gone.
    pub(crate) fn failed(&self) -> bool {
        self.moved < self.to_move
    }
}

impl Sqs {
    /// Moves the visible messages of a dead-letter queue and answers the handle of the task.
    pub(crate) fn start_move(
        &self,
        source: &str,
        destination: Option<&str>,
        messages_per_second: Option<i64>,
    ) -> Result<String, SqsError> {
        let now = self.now();
        let mut state = self.lock();
        state.check_move(source, destination)?;
        let (to_move, moved) = state.move_visible(now, source, destination)?;
        let handle = state.requests.next_uuid();
        state.remember(MoveTask {
            handle: handle.clone(),
            source: source.to_owned(),
            destination: destination.map(str::to_owned),
            messages_per_second,
            started_at: now,
            to_move,
            moved,
        });
        drop(state);
        self.arrivals().notify_waiters();
        Ok(handle)
    }

    /// The latest tasks of a dead-letter queue, latest first.
    pub(crate) fn move_tasks(&self, source: &str) -> Result<Vec<MoveTask>, SqsError> {
        let state = self.lock();
        state.check_exists(source)?;
        Ok(state.tasks.iter().rev().filter(|task| task.source == source).cloned().collect())
    }

    /// Refuses: a task is over before anyone could cancel it.
    pub(crate) fn cancel_move(&self, handle: &str) -> Result<(), SqsError> {
        let state = self.lock();
        if state.tasks.iter().any(|task| task.handle == handle) {
            return Err(SqsError::UnsupportedOperation(format!(
                "The message move task {handle:?} is over."
            )));
        }
        Err(SqsError::ResourceNotFound(format!("There is no message move task {handle:?}.")))
    }
}

impl State {
    fn check_exists(&self, name: &str) -> Result<(), SqsError> {
        let missing = || SqsError::ResourceNotFound(format!("There is no queue named {name:?}."));
        self.queues.contains_key(name).then_some(()).ok_or_else(missing)
    }

    fn check_move(&self, source: &str, destination: Option<&str>) -> Result<(), SqsError> {
        self.check_exists(source)?;
        if self.sources_of(source).is_empty() {
            return Err(SqsError::invalid(format!("{source:?} is no queue's dead-letter queue.")));
        }
        let Some(destination) = destination else { return Ok(()) };
        if destination == source {
            return Err(SqsError::invalid("A move goes from one queue to another."));
        }
        self.check_exists(destination)
    }

    /// How many messages there were, and how many of them had somewhere to go and went.
    fn move_visible(
        &mut self,
        now: Timestamp,
        source: &str,
        destination: Option<&str>,
    ) -> Result<(usize, usize), SqsError> {
        let names: BTreeSet<String> = self.queues.keys().cloned().collect();
        let queue = &mut self.hosted(source)?.queue;
        let to_move = queue.counts(now).visible;
        let taken = queue.take_visible(now, |message| {
            let back = message.dead_letter_source.as_ref();
            destination.is_some() || back.is_some_and(|name| names.contains(name))
        });
        let moved = taken.len();
        for message in taken {
            let to = destination.or(message.dead_letter_source.as_deref()).unwrap_or(source);
            let to = to.to_owned();
            self.hosted(&to)?.queue.renew(now, message);
        }
        Ok((to_move, moved))
    }

    fn remember(&mut self, task: MoveTask) {
        let same_source = |old: &MoveTask| old.source == task.source;
        if self.tasks.iter().filter(|old| same_source(old)).count() == TASKS_MAX
            && let Some(oldest) = self.tasks.iter().position(same_source)
        {
            self.tasks.remove(oldest);
        }
        self.tasks.push(task);
    }
}
