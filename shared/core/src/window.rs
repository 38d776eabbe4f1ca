//! A rolling window with bounded state: units counted in buckets, each in full until its last
//! instant has left the window. It never grants more than an exact log of calls would.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{Timestamp, millis};

/// The units taken from one quota, by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// A bucket's width in milliseconds, at least 1.
    width: u64,
    /// The number of the first bucket in `counts`; bucket b covers [b·width, (b+1)·width).
    first: u64,
    counts: VecDeque<u32>,
    /// The sum of `counts`, so that what still counts is found from the few that do not.
    total: u64,
}

impl Window {
    /// An empty window.
    pub fn new(bucket: Duration) -> Self {
        Self { width: millis(bucket).max(1), first: 0, counts: VecDeque::new(), total: 0 }
    }

    /// Whether its buckets are of this width.
    pub fn has_buckets(&self, bucket: Duration) -> bool {
        self.width == millis(bucket).max(1)
    }

    /// The least time for which a quota with buckets of this width counts a unit.
    pub fn least_span(&self) -> Duration {
        Duration::from_millis((self.width - 1).saturating_mul(100))
    }

    /// The end of the last bucket; zero where there is none.
    pub fn ends_at(&self) -> Timestamp {
        match self.counts.len() as u64 {
            0 => Timestamp::EPOCH,
            len => Timestamp::from_millis((self.first + len).saturating_mul(self.width)),
        }
    }

    /// How far back it has every unit that it was given, each kept for `span`.
    pub fn kept_since(&self, span: Duration) -> Timestamp {
        self.ends_at() - span
    }

    /// The width of its buckets, in milliseconds.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// All units that it has.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds the units of `other` that still count within `span`. Each is added at the end of its
    /// old bucket, but not after `latest`, the last instant at which a unit was counted. So a unit
    /// may count for longer than before, never for less.
    pub fn take_over(&mut self, other: &Self, latest: Timestamp, span: Duration) {
        // Now is in its last bucket at the earliest.
        let needed = other.kept_since(span) - Duration::from_millis(other.width);
        for (bucket, &units) in (other.first..).zip(&other.counts) {
            let end = Timestamp::from_millis((bucket + 1).saturating_mul(other.width) - 1);
            if units > 0 && end >= needed {
                self.put(end.min(latest), units);
            }
        }
    }

    /// The instant when units counted in bucket number `bucket` stop to count.
    fn freed_at(&self, bucket: u64, span: Duration) -> Timestamp {
        Timestamp::from_millis((bucket + 1).saturating_mul(self.width)) + span
    }

    /// Units that still count at `at`, oldest first, with the instant each bucket is freed.
    fn live(&self, at: Timestamp, span: Duration) -> impl Iterator<Item = (Timestamp, u32)> {
        (self.first..)
            .zip(self.counts.iter().copied())
            .map(move |(bucket, units)| (self.freed_at(bucket, span), units))
            .filter(move |&(freed, _)| freed > at)
    }

    /// Units that count at `at`, where each counts for `span`.
    pub fn used(&self, at: Timestamp, span: Duration) -> u64 {
        let past =
            (self.first..).zip(&self.counts).take_while(|(b, _)| self.freed_at(*b, span) <= at);
        self.total - past.map(|(_, &units)| u64::from(units)).sum::<u64>()
    }

    /// Whether a unit that was counted at `counted_at` still counts at `at`.
    pub fn counts(&self, counted_at: Timestamp, at: Timestamp, span: Duration) -> bool {
        let bucket = counted_at.as_millis() / self.width;
        let index = bucket.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let units = index.and_then(|index| self.counts.get(index));
        units.is_some_and(|&units| units > 0) && self.freed_at(bucket, span) > at
    }

    /// The first instant, not before `at`, at which at most `units` count.
    pub fn earliest_with(&self, at: Timestamp, span: Duration, units: u32) -> Timestamp {
        let mut used = self.used(at, span);
        let mut earliest = at;
        for (freed, count) in self.live(at, span) {
            if used <= u64::from(units) {
                break;
            }
            used -= u64::from(count);
            earliest = freed;
        }
        earliest
    }

    /// Forgets what no longer counts at `now`, and counts `units` at `at`, which is `now` or the
    /// end of a lease given now.
    pub fn add(&mut self, now: Timestamp, at: Timestamp, units: u32, span: Duration) {
        while let Some(&front) = self.counts.front() {
            if self.freed_at(self.first, span) > now {
                break;
            }
            self.total -= u64::from(front);
            self.counts.pop_front();
            self.first += 1;
        }
        self.put(at, units);
    }

    /// Counts `units` at `at`, which may be before all others.
    fn put(&mut self, at: Timestamp, units: u32) {
        let bucket = at.as_millis() / self.width;
        if self.counts.is_empty() {
            self.first = bucket;
        }
        while bucket < self.first {
            self.counts.push_front(0);
            self.first -= 1;
        }
        let index = usize::try_from(bucket - self.first).unwrap_or(usize::MAX);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        let count = &mut self.counts[index];
        self.total -= u64::from(*count);
        *count = count.saturating_add(units);
        self.total += u64::from(*count);
    }

    /// Gives back `units` that were counted at `at` and never used. Units whose bucket is
    /// forgotten are gone already.
    pub fn refund(&mut self, at: Timestamp, units: u32) {
        let bucket = at.as_millis() / self.width;
        if let Some(index) = bucket.checked_sub(self.first).and_then(|i| usize::try_from(i).ok())
            && let Some(count) = self.counts.get_mut(index)
        {
            self.total -= u64::from(units.min(*count));
            *count = count.saturating_sub(units);
        }
    }

    /// Moves one unit that was counted at `from` to `to`: it counts from then on.
    pub fn move_unit(&mut self, from: Timestamp, to: Timestamp, span: Duration) {
        self.refund(from, 1);
        self.add(to, to, 1, span);
    }

    /// Appends the window to `out`: width, first bucket, number of buckets, counts; variable-length
    /// integers, runs of empty buckets as 0 and their length.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.width);
        put_varint(out, self.first);
        put_varint(out, self.counts.len() as u64);
        let mut counts = self.counts.iter().peekable();
        while let Some(&count) = counts.next() {
            put_varint(out, u64::from(count));
            if count == 0 {
                let mut run = 1;
                while counts.next_if(|&&next| next == 0).is_some() {
                    run += 1;
                }
                put_varint(out, run);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote; `None` when `from` is not that.
    pub(crate) fn decode(from: &mut &[u8]) -> Option<Self> {
        /// More buckets than any quota has: what claims more is not ours.
        const BUCKETS_MAX: usize = 4096;
        let width = get_varint(from).filter(|&width| width > 0)?;
        let first = get_varint(from)?;
        let len = usize::try_from(get_varint(from)?).ok().filter(|&len| len <= BUCKETS_MAX)?;
        let mut counts = VecDeque::with_capacity(len);
        while counts.len() < len {
            match u32::try_from(get_varint(from)?).ok()? {
                0 => {
                    let run = usize::try_from(get_varint(from)?).ok()?;
                    if run == 0 || run > len - counts.len() {
                        return None;
                    }
                    counts.resize(counts.len() + run, 0);
                }
                count => counts.push_back(count),
            }
        }
        let total = counts.iter().map(|&count| u64::from(count)).sum();
        Some(Self { width, first, counts, total })
    }
}

/// LEB128, as DWARF and protobuf write unsigned integers.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn get_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_millis(1000);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_bucket_counts_until_its_last_instant_has_left_the_window() {
        let mut window = Window::new(Duration::from_millis(10));
        window.add(at(5000), at(5000), 1, SPAN);
        assert_eq!(window.used(at(6009), SPAN), 1);
        assert_eq!(window.used(at(6010), SPAN), 0);
        assert_eq!(window.earliest_with(at(5000), SPAN, 0), at(6010));
        assert_eq!(window.earliest_with(at(5000), SPAN, 1), at(5000));
    }

    #[test]
    fn whether_a_unit_counts_is_known_by_its_bucket() {
        let mut window = Window::new(Duration::from_millis(10));
        window.add(at(5000), at(5000), 1, SPAN);
        window.add(at(5020), at(5020), 1, SPAN);
        let counts = |counted_at, now| window.counts(at(counted_at), at(now), SPAN);
        assert!(counts(5009, 5020) && counts(5000, 6009));
        assert!(!counts(5000, 6010), "it has left the window");
        assert!(!counts(5010, 5020), "there was none");
        assert!(!counts(4999, 5020) && !counts(5030, 5020), "there is no such bucket");
    }

    #[test]
    fn a_bucket_that_leaves_just_now_makes_no_room_a_second_time() {
        let mut window = Window::new(Duration::from_millis(10));
        window.add(at(5000), at(5000), 1, SPAN);
        window.add(at(5500), at(5500), 1, SPAN);
        assert_eq!(window.used(at(6010), SPAN), 1);
        assert_eq!(window.earliest_with(at(6010), SPAN, 0), at(6510));
    }

    #[test]
    fn what_has_left_the_window_is_forgotten() {
        let mut window = Window::new(Duration::from_millis(10));
        window.add(at(5000), at(5000), 1, SPAN);
        window.add(at(6010), at(6010), 2, SPAN);
        let mut new = Window::new(Duration::from_millis(10));
        new.add(at(6010), at(6010), 2, SPAN);
        assert_eq!(window, new);
    }

    #[test]
    fn a_refund_frees_what_was_counted() {
        let mut window = Window::new(Duration::from_millis(10));
        window.add(at(5000), at(5000), 3, SPAN);
        window.refund(at(5009), 2);
        assert_eq!(window.used(at(5010), SPAN), 1);
        window.refund(at(9000), 2);
        assert_eq!(window.used(at(5010), SPAN), 1);
    }

    #[test]
    fn in_other_buckets_a_unit_counts_until_its_old_and_its_new_one_have_left() {
        for (from, to) in [(10, 100), (100, 10), (100, 100)] {
            let mut window = Window::new(Duration::from_millis(from));
            window.add(at(5000), at(5000), 1, SPAN);
            let mut moved = Window::new(Duration::from_millis(to));
            moved.take_over(&window, Timestamp::NEVER, SPAN);
            assert_eq!(moved.earliest_with(at(5000), SPAN, 0), at(6100), "{from} to {to}");
        }
    }

    #[test]
    fn what_no_window_is_written_as_is_refused() {
        let decode = |numbers: &[u64]| {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|&number| put_varint(&mut bytes, number));
            Window::decode(&mut bytes.as_slice())
        };
        assert!(decode(&[10, 5, 3, 7, 0, 2]).is_some());
        assert_eq!(decode(&[0, 5, 1, 7]), None, "no width");
        assert_eq!(decode(&[10, 5, 3, 7, 0, 3]), None, "a run behind the end");
        assert_eq!(decode(&[10, 5, 3, 7, 0, 0]), None, "a run of none");
        assert_eq!(decode(&[10, 5, 3, 7]), None, "fewer counts than said");
        assert_eq!(decode(&[10, 5, 1, 1 << 32]), None, "a count beyond all");
        assert!(decode(&[10, 5, 4096, 0, 4096]).is_some());
        assert_eq!(decode(&[10, 5, 4097, 0, 4097]), None, "more buckets than any quota has");
    }

    #[test]
    fn numbers_are_read_back_up_to_the_largest_and_none_beyond() {
        let read = |bytes: &[u8]| get_varint(&mut &bytes[..]);
        for number in [0, 1, 127, 128, 1 << 63, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(read(&bytes), Some(number));
        }
        let mut beyond = [0xff; 10];
        beyond[9] = 0x02;
        assert_eq!(read(&beyond), None);
        assert_eq!(read(&[0xff; 10]), None);
        assert_eq!(read(&[0x80]), None);
    }

    proptest! {
        /// The exact model is the log of all units. Whatever the window grants, no exact window of
        /// the log holds more than the limit; and a denial is right until just before the promised
        /// instant, a grant at it.
        #[test]
        fn never_above_the_limit_and_denied_exactly_until_the_promised_instant(
            limit in 1u32..20,
            bucket in 1u64..60,
            steps in prop::collection::vec((0u64..300, 1u32..4), 1..200),
        ) {
            let bucket = Duration::from_millis(bucket);
            let mut window = Window::new(bucket);
            let mut log: Vec<u64> = Vec::new();
            let mut now = 10_000u64;
            for (wait, units) in steps {
                now += wait;
                let Some(room) = limit.checked_sub(units) else { continue };
                let fit = window.earliest_with(at(now), SPAN, room);
                if fit > at(now) {
                    let before = fit - Duration::from_millis(1);
                    prop_assert!(window.used(before, SPAN) + u64::from(units) > u64::from(limit));
                }
                prop_assert!(window.used(fit, SPAN) + u64::from(units) <= u64::from(limit));
                // Too cautious by at most one bucket, against the exact log.
                let exact_used = |t: u64| log.iter().filter(|&&u| u + 1000 > t).count() as u64;
                let late = fit.as_millis().saturating_sub(bucket.as_millis() as u64);
                if late > now {
                    prop_assert!(exact_used(late - 1) + u64::from(units) > u64::from(limit));
                }
                if fit == at(now) {
                    window.add(fit, fit, units, SPAN);
                    log.extend(std::iter::repeat_n(now, units as usize));
                }
            }
            for &start in &log {
                let inside = log.iter().filter(|&&t| t >= start && t < start + 1000).count();
                prop_assert!(inside as u32 <= limit);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(
            bucket in 1u64..100_000,
            steps in prop::collection::vec((0u64..3_000_000, 1u32..100_000), 0..150),
        ) {
            let mut window = Window::new(Duration::from_millis(bucket));
            let mut now = 1_790_000_000_000;
            for (wait, units) in steps {
                now += wait.min(bucket * 20);
                window.add(at(now), at(now), units, Duration::from_millis(bucket * 100));
            }
            let mut bytes = Vec::new();
            window.encode(&mut bytes);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(Window::decode(&mut rest), Some(window));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn decoding_garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Window::decode(&mut bytes.as_slice());
        }

        #[test]
        fn a_window_that_takes_over_another_never_forgets_early(
            from in 1u64..500,
            to in 1u64..500,
            steps in prop::collection::vec((0u64..300, 1u32..4), 1..40),
            later in 0u64..2000,
        ) {
            let mut window = Window::new(Duration::from_millis(from));
            let mut now = 10_000u64;
            for (wait, units) in steps {
                now += wait;
                window.add(at(now), at(now), units, SPAN);
            }
            let mut moved = Window::new(Duration::from_millis(to));
            moved.take_over(&window, Timestamp::NEVER, SPAN);
            prop_assert!(moved.used(at(now + later), SPAN) >= window.used(at(now + later), SPAN));
        }
    }
}
