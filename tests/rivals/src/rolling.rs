//! An exact rolling window over instants that ascend.

use std::collections::VecDeque;
use std::time::Duration;

use spillway_core::time::Timestamp;

pub(crate) struct Rolling {
    limit: usize,
    length: Duration,
    inside: VecDeque<Timestamp>,
}

impl Rolling {
    pub(crate) fn new(limit: u32, length: Duration) -> Self {
        Self { limit: limit as usize, length, inside: VecDeque::new() }
    }

    /// From when on, not before `now`, one more fits.
    pub(crate) fn fits_at(&self, now: Timestamp) -> Timestamp {
        match self.inside.len().checked_sub(self.limit) {
            Some(full) => now.max(self.inside[full] + self.length),
            None => now,
        }
    }

    pub(crate) fn add(&mut self, at: Timestamp) {
        self.inside.push_back(at);
        if self.inside.len() > self.limit {
            self.inside.pop_front();
        }
    }
}
