//! A value that is stored, and how it stood before: an eventual read may still find it so.

/// A value with its past.
#[derive(Clone, Debug)]
pub struct Past<T> {
    /// Its state.
    pub stands: T,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// How it stood, and since when, as far as a read may still find it so.
    before: Vec<(u64, T)>,
}

impl<T> Past<T> {
    /// A value that is new at `now`.
    pub fn new(value: T, now: u64) -> Self {
        Self { stands: value, since: now, before: Vec::new() }
    }

    /// The value becomes another one. How it stood up to `lag_max` milliseconds ago can be read.
    pub fn turn(&mut self, next: T, now: u64, lag_max: u64) {
        let stood = std::mem::replace(&mut self.stands, next);
        self.before.push((std::mem::replace(&mut self.since, now), stood));
        if lag_max == 0 {
            self.before.clear();
            return;
        }
        // What was followed by another state before the oldest instant that is read is found no
        // more.
        let oldest = now.saturating_sub(lag_max);
        let found = self.before.iter().rposition(|(since, _)| *since <= oldest);
        self.before.drain(..found.unwrap_or(0));
    }

    /// How it stood at `instant`; `None` before it was new.
    pub fn at(&self, instant: u64) -> Option<&T> {
        if self.since <= instant {
            return Some(&self.stands);
        }
        let stood = self.before.iter().rev().find(|(since, _)| *since <= instant);
        stood.map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::Past;

    #[test]
    fn a_read_finds_how_it_stood_as_far_back_as_it_may_lag() {
        let mut past = Past::new('a', 10);
        past.turn('b', 20, 5);
        past.turn('c', 22, 5);
        let at = |past: &Past<char>, instant| past.at(instant).copied();
        assert_eq!(
            [9, 10, 19, 20, 22].map(|instant| at(&past, instant)),
            [None, Some('a'), Some('a'), Some('b'), Some('c')]
        );
        past.turn('d', 40, 5);
        assert_eq!([21, 39, 40].map(|instant| at(&past, instant)), [None, Some('c'), Some('d')]);
        past.turn('e', 41, 0);
        assert_eq!([40, 41].map(|instant| at(&past, instant)), [None, Some('e')]);
    }
}
