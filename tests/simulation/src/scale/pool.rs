//! The warm processes of a function.

use crate::dice::Dice;

/// Processes, as many as work had to be done at the same time.
pub(super) struct Pool<P> {
    most: usize,
    /// How long an invocation takes, in milliseconds.
    lasts: u64,
    /// Each with the instant from which it is free.
    processes: Vec<(P, u64)>,
}

impl<P> Pool<P> {
    /// No process yet, and never more than `most`.
    pub(super) fn new(most: usize, lasts: u64) -> Self {
        Self { most, lasts, processes: Vec::new() }
    }

    /// A free process, from now on at work; `None` when all are. Which one is drawn: what processes
    /// remember then helps least.
    pub(super) fn invoke(
        &mut self,
        now: u64,
        dice: &mut Dice,
        start: impl FnOnce(u64) -> P,
    ) -> Option<&P> {
        let free: Vec<usize> =
            (0..self.processes.len()).filter(|&nth| self.processes[nth].1 <= now).collect();
        let nth = match free.len() {
            0 if self.processes.len() == self.most => return None,
            0 => {
                self.processes.push((start(dice.any()), now));
                self.processes.len() - 1
            }
            _ => free[dice.index(free.len())],
        };
        let (process, free_at) = &mut self.processes[nth];
        *free_at = now + self.lasts;
        Some(process)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_started_only_when_all_are_at_work() {
        let (mut pool, mut dice) = (Pool::new(2, 100), Dice::new(1));
        for (now, started) in [(0, 1), (50, 2), (100, 2), (150, 2)] {
            assert!(pool.invoke(now, &mut dice, |_| ()).is_some());
            assert_eq!(pool.len(), started);
        }
        assert!(pool.invoke(150, &mut dice, |_| ()).is_none());
    }
}
