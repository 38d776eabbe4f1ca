//! Ids for writes that must be found again when their answer was lost.

use std::sync::atomic::{AtomicU64, Ordering};

use spillway_core::budget::GrantId;

/// Makes grant ids that no other process makes.
#[derive(Debug)]
pub struct GrantIds {
    process: u64,
    next: AtomicU64,
}

impl GrantIds {
    /// `process` is drawn at random once per process.
    pub fn new(process: u64) -> Self {
        Self { process, next: AtomicU64::new(1) }
    }

    /// Returns the next id.
    pub fn next(&self) -> GrantId {
        GrantId::new(self.process, self.next_number())
    }

    /// A number that differs from every other of all processes but for an accident in 2^64.
    pub(crate) fn next_nonce(&self) -> u64 {
        self.process.rotate_left(17) ^ self.next_number()
    }

    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}
