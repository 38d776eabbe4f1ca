//! The waits before a store is asked again for what it has left undone of a batch.

use std::time::Duration;

/// The first wait is at most this, and each after it at most twice as long.
const FIRST: Duration = Duration::from_millis(50);

/// No wait is longer.
const LONGEST: Duration = Duration::from_millis(800);

/// All waits of a batch together are no longer: an invocation has more to do, and a store that is
/// full for so long is left to a later request.
const TOGETHER: Duration = Duration::from_secs(3);

/// The waits of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    rounds: u32,
    waited: Duration,
}

impl Backoff {
    /// Returns the next wait. `draw` decides half of it, so that those that were refused together
    /// do not come back together. Returns `None` once all waits have taken their time.
    pub fn next(&mut self, draw: u64) -> Option<Duration> {
        let most = LONGEST.min(FIRST * (1 << self.rounds.min(10)));
        let wait = most / 2 + (most / 2).mul_f64((draw % 1000) as f64 / 1000.0);
        if self.waited + wait > TOGETHER {
            return None;
        }
        self.rounds += 1;
        self.waited += wait;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(draw: impl Fn(u64) -> u64) -> Vec<Duration> {
        let mut backoff = Backoff::default();
        (0..).map_while(|round| backoff.next(draw(round))).collect()
    }

    #[test]
    fn waits_grow_differ_and_end() {
        for draw in [0, 500, 999] {
            let waits = waits(|_| draw);
            assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
            assert!(waits.iter().all(|&wait| FIRST / 2 <= wait && wait <= LONGEST), "{waits:?}");
            let together: Duration = waits.iter().sum();
            assert!(Duration::from_secs(2) < together && together <= TOGETHER, "{together:?}");
        }
        assert_ne!(waits(|round| round), waits(|round| round + 7));
    }
}
