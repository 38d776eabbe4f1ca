//! What is due when; of what is due at one instant, the first come is first.

use std::collections::BTreeMap;

use spillway_core::time::Timestamp;

pub(crate) struct Timers<T> {
    due: BTreeMap<(Timestamp, u64), T>,
    set: u64,
}

impl<T> Timers<T> {
    /// One for each of `jobs`, all at their instants.
    pub(crate) fn of(jobs: impl IntoIterator<Item = (Timestamp, T)>) -> Self {
        let mut timers = Self { due: BTreeMap::new(), set: 0 };
        for (at, job) in jobs {
            timers.set(at, job);
        }
        timers
    }

    pub(crate) fn set(&mut self, at: Timestamp, job: T) {
        self.due.insert((at, self.set), job);
        self.set += 1;
    }

    pub(crate) fn next(&mut self) -> Option<(Timestamp, T)> {
        self.due.pop_first().map(|((at, _), job)| (at, job))
    }
}
