//! An exact sliding window: what was counted in `(t - length, t]`, for the latest `t` and for any
//! earlier one.

use std::collections::HashMap;

/// Everything ever counted, by instant. Counts distinct keys: a window over calls gives each call a
/// key of its own.
pub(crate) struct SlidingWindow {
    length_ms: u64,
    /// In order of time; what has the same instant is in order of arrival.
    entries: Vec<Entry>,
    /// The first entry that is still inside the window which ends at the last entry.
    start: usize,
    /// How often each key occurs from `start` on.
    inside: HashMap<u64, u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    key: u64,
}

impl SlidingWindow {
    pub(crate) fn new(length_ms: u64) -> Self {
        Self { length_ms, entries: Vec::new(), start: 0, inside: HashMap::new() }
    }

    /// Counts `key` at `at` and gives the number of distinct keys in the fullest window that holds
    /// this entry.
    pub(crate) fn add(&mut self, at: u64, key: u64) -> usize {
        let place = self.entries.partition_point(|entry| entry.at <= at);
        self.entries.insert(place, Entry { at, key });
        if place + 1 == self.entries.len() {
            *self.inside.entry(key).or_default() += 1;
            self.slide_to(at);
            self.inside.len()
        } else {
            // The clock stepped back: this entry lies before others that were counted earlier.
            self.count_late(at, key);
            self.fullest_around(place)
        }
    }

    /// Distinct keys in the window that ends at `now`, or at the last entry where that is later.
    pub(crate) fn inside_at(&self, now: u64) -> usize {
        match self.entries.last() {
            Some(last) if last.at >= now => self.inside.len(),
            _ => self.last_seen(now).len(),
        }
    }

    /// From when on a new key fits below `limit`; `None` when it never does.
    pub(crate) fn fits_at(&self, now: u64, limit: usize) -> Option<u64> {
        let mut seen: Vec<u64> = self.last_seen(now).into_values().collect();
        if limit == 0 {
            return None;
        }
        if seen.len() < limit {
            return Some(now);
        }
        seen.sort_unstable();
        Some(seen[seen.len() - limit].saturating_add(self.length_ms))
    }

    fn last_seen(&self, now: u64) -> HashMap<u64, u64> {
        self.entries[self.start..]
            .iter()
            .filter(|entry| !self.has_left(entry.at, now))
            .map(|entry| (entry.key, entry.at))
            .collect()
    }

    fn slide_to(&mut self, now: u64) {
        while self.start < self.entries.len() && self.has_left(self.entries[self.start].at, now) {
            forget(&mut self.inside, self.entries[self.start].key);
            self.start += 1;
        }
    }

    fn count_late(&mut self, at: u64, key: u64) {
        let newest = self.entries[self.entries.len() - 1].at;
        if self.has_left(at, newest) {
            self.start += 1;
        } else {
            *self.inside.entry(key).or_default() += 1;
        }
    }

    fn fullest_around(&self, place: usize) -> usize {
        let at = self.entries[place].at;
        let mut left = self.entries.partition_point(|entry| self.has_left(entry.at, at));
        let mut held = HashMap::new();
        let mut fullest = 0;
        for (right, entry) in self.entries.iter().enumerate().skip(left) {
            let end = entry.at;
            if self.has_left(at, end) {
                break;
            }
            *held.entry(entry.key).or_default() += 1;
            while self.has_left(self.entries[left].at, end) {
                forget(&mut held, self.entries[left].key);
                left += 1;
            }
            if right >= place {
                fullest = fullest.max(held.len());
            }
        }
        fullest
    }

    /// Whether an entry at `at` is no longer in the window that ends at `now`.
    fn has_left(&self, at: u64, now: u64) -> bool {
        at.saturating_add(self.length_ms) <= now
    }
}

fn forget(held: &mut HashMap<u64, u32>, key: u64) {
    if let Some(times) = held.get_mut(&key) {
        *times -= 1;
        if *times == 0 {
            held.remove(&key);
        }
    }
}
