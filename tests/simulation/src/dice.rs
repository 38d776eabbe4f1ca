//! Chance from a seed: everything that is drawn in a run is drawn here, in the order in which it
//! happens.

use std::ops::RangeInclusive;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// A seeded source of numbers.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The same seed gives the same numbers, on every machine.
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0.random()
    }

    /// A number in `range`.
    pub(crate) fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// A place in a list of `len`, which is not empty.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// True with this probability. Draws nothing where there is nothing to decide.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.random::<f64>() < probability
    }

    /// One of `choices` in proportion to its weight; some weight is above zero.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(T, u32)]) -> T {
        let total: u32 = choices.iter().map(|&(_, weight)| weight).sum();
        let mut drawn = self.0.random_range(0..total);
        for &(choice, weight) in choices {
            if drawn < weight {
                return choice;
            }
            drawn -= weight;
        }
        choices[0].0
    }
}
