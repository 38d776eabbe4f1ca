//! What a warm process remembers between invocations, each thing for a time of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spillway_core::time::Timestamp;

use crate::clock::Clock;

/// About the bytes that a memory takes at most: a process has 256 MB, serves many accounts and
/// lives for hours. Beyond them outdated entries are dropped, and where that is not enough, all.
const BYTES_MAX: usize = 16 << 20;

/// What an entry takes beside its value: key, instant, and the map's own.
const ENTRY_BYTES: usize = 128;

/// An entry's age is the greater of what the two clocks tell: the wall clock may be set back, and
/// nothing promises that the monotonic one goes on while Lambda has frozen the process.
pub(crate) struct TtlCache<K, V> {
    entries: Mutex<Entries<K, V>>,
    clock: Arc<dyn Clock>,
}

struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    made_at: Instant,
    life: Duration,
    bytes: usize,
}

impl<V> Entry<V> {
    fn is_alive(&self, now: Instant) -> bool {
        let by_wall = now.wall.since(self.made_at.wall);
        let by_monotonic = now.monotonic.saturating_sub(self.made_at.monotonic);
        by_wall.max(by_monotonic) < self.life
    }
}

/// An instant by both clocks of a process.
#[derive(Clone, Copy)]
struct Instant {
    wall: Timestamp,
    monotonic: Duration,
}

impl Instant {
    fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }
}

impl<K: Eq + Hash, V: Clone> TtlCache<K, V> {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        let entries = Mutex::new(Entries { by_key: HashMap::new(), bytes: 0 });
        Self { entries, clock: clock.clone() }
    }

    /// The value, if it is still remembered.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let now = Instant::now(&*self.clock);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.by_key.get(key).filter(|entry| entry.is_alive(now));
        entry.map(|entry| entry.value.clone())
    }

    /// Remembers `value`, which takes about `bytes` of heap beside its own size, for `life`.
    pub(crate) fn put(&self, key: K, value: V, bytes: usize, life: Duration) {
        let made_at = Instant::now(&*self.clock);
        let bytes = bytes + size_of::<K>() + size_of::<V>() + ENTRY_BYTES;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.forget(&key);
        if entries.bytes + bytes > BYTES_MAX {
            entries.make_room(bytes, made_at);
        }
        entries.bytes += bytes;
        entries.by_key.insert(key, Entry { value, made_at, life, bytes });
    }

    /// The value, if it is still remembered, and forgets it.
    pub(crate) fn take(&self, key: &K) -> Option<V> {
        let value = self.get(key);
        self.forget(key);
        value
    }

    pub(crate) fn forget(&self, key: &K) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).forget(key);
    }
}

impl<K: Eq + Hash, V> Entries<K, V> {
    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    fn make_room(&mut self, bytes: usize, now: Instant) {
        self.by_key.retain(|_, entry| entry.is_alive(now));
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

    /// Clocks that are set by hand.
    struct Clocks(Mutex<Instant>);

    impl Clocks {
        fn set(&self, wall: u64, monotonic: u64) {
            *self.0.lock().unwrap() = Instant {
                wall: Timestamp::from_secs(1_790_000_000 + wall),
                monotonic: Duration::from_secs(monotonic),
            };
        }
    }

    impl Clock for Clocks {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().wall
        }

        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().monotonic
        }
    }

    fn memory<V: Clone>() -> (TtlCache<u32, V>, Arc<Clocks>) {
        let epoch = Instant { wall: Timestamp::EPOCH, monotonic: Duration::ZERO };
        let clocks = Arc::new(Clocks(Mutex::new(epoch)));
        let own: Arc<dyn Clock> = clocks.clone();
        (TtlCache::new(&own), clocks)
    }

    #[test]
    fn what_is_remembered_is_as_old_as_either_clock_says() {
        let (memory, clocks) = memory();
        clocks.set(1000, 1000);
        memory.put(0, 'a', 0, Duration::from_secs(60));
        for ((wall, monotonic), is_alive) in [
            ((1059, 1059), true),
            ((1060, 1060), false),
            // Set back, and frozen.
            ((500, 1060), false),
            ((1060, 1001), false),
            ((500, 1059), true),
        ] {
            clocks.set(wall, monotonic);
            assert_eq!(memory.get(&0).is_some(), is_alive, "{wall} {monotonic}");
        }
    }

    #[test]
    fn a_memory_takes_no_more_than_its_bytes() {
        let (memory, _) = memory();
        let bytes = || memory.entries.lock().unwrap().bytes;
        for key in 0..2000u32 {
            memory.put(key, (), 20_000, Duration::MAX);
            assert!(bytes() <= BYTES_MAX);
            assert_eq!(memory.get(&key), Some(()));
        }
        memory.put(1, (), BYTES_MAX / 3, Duration::ZERO);
        memory.put(1, (), 10, Duration::MAX);
        assert!(bytes() <= BYTES_MAX);
        for key in 0..2000u32 {
            memory.forget(&key);
        }
        assert_eq!(bytes(), 0);
    }

    #[test]
    fn what_is_outdated_goes_first() {
        let (memory, _) = memory();
        memory.put(0, 'a', 10, Duration::MAX);
        memory.put(1, 'b', BYTES_MAX - 1000, Duration::ZERO);
        memory.put(2, 'c', BYTES_MAX / 4, Duration::MAX);
        assert_eq!([0, 1, 2].map(|key| memory.get(&key)), [Some('a'), None, Some('c')]);
    }
}
