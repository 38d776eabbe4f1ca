//! What a warm process remembers between invocations, each thing until an instant of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use spillway_core::time::Timestamp;

/// Entries beyond which the outdated ones are dropped: a process serves many accounts and lives for
/// hours.
const ENTRIES_MAX: usize = 10_000;

pub(crate) struct Memory<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The value, if it is still remembered at `now`.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    /// Remembers `value` until `until`.
    pub(crate) fn put(&self, key: K, value: V, until: Timestamp, now: Timestamp) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, (_, until)| now < *until);
            if entries.len() >= ENTRIES_MAX {
                entries.clear();
            }
        }
        entries.insert(key, (value, until));
    }

    pub(crate) fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
