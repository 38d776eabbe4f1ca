//! What a warm process remembers between invocations, each thing until an instant of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use spillway_core::time::Timestamp;

/// About the bytes that a memory takes at most: a process has 256 MB, serves many accounts and lives
/// for hours. Beyond them outdated entries are dropped, and where that is not enough, all.
const BYTES_MAX: usize = 16 << 20;

/// What an entry takes beside its value: key, instant, and the map's own.
const ENTRY_BYTES: usize = 128;

pub(crate) struct Memory<K, V>(Mutex<Entries<K, V>>);

struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    until: Timestamp,
    bytes: usize,
}

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Entries { by_key: HashMap::new(), bytes: 0 }))
    }

    /// The value, if it is still remembered at `now`.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.by_key.get(key).filter(|entry| now < entry.until);
        entry.map(|entry| entry.value.clone())
    }

    /// Remembers `value`, which takes about `bytes` of heap beside its own size, until `until`.
    pub(crate) fn put(&self, key: K, value: V, bytes: usize, until: Timestamp, now: Timestamp) {
        let bytes = bytes + size_of::<K>() + size_of::<V>() + ENTRY_BYTES;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.forget(&key);
        if entries.bytes + bytes > BYTES_MAX {
            entries.make_room(bytes, now);
        }
        entries.bytes += bytes;
        entries.by_key.insert(key, Entry { value, until, bytes });
    }

    pub(crate) fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forget(key);
    }
}

impl<K: Eq + Hash, V> Entries<K, V> {
    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    fn make_room(&mut self, bytes: usize, now: Timestamp) {
        self.by_key.retain(|_, entry| now < entry.until);
        self.bytes = self.by_key.values().map(|entry| entry.bytes).sum();
        // Else the next one would look through all of them again.
        if self.bytes + bytes > BYTES_MAX / 2 {
            self.by_key.clear();
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    #[test]
    fn a_memory_takes_no_more_than_its_bytes() {
        let memory = Memory::new();
        let bytes = || memory.0.lock().unwrap().bytes;
        for key in 0..2000u32 {
            memory.put(key, (), 20_000, Timestamp::NEVER, NOW);
            assert!(bytes() <= BYTES_MAX);
            assert_eq!(memory.get(&key, NOW), Some(()));
        }
        memory.put(1, (), BYTES_MAX / 3, NOW, NOW);
        memory.put(1, (), 10, Timestamp::NEVER, NOW);
        assert!(bytes() <= BYTES_MAX);
        for key in 0..2000u32 {
            memory.forget(&key);
        }
        assert_eq!(bytes(), 0);
    }

    #[test]
    fn what_is_outdated_goes_first() {
        let memory = Memory::new();
        memory.put(0, 'a', 10, Timestamp::NEVER, NOW);
        memory.put(1, 'b', BYTES_MAX - 1000, NOW, NOW);
        memory.put(2, 'c', BYTES_MAX / 4, Timestamp::NEVER, NOW);
        assert_eq!([0, 1, 2].map(|key| memory.get(&key, NOW)), [Some('a'), None, Some('c')]);
    }
}
