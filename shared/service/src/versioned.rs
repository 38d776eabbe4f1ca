//! Compare-and-swap: a stored value is replaced on the condition that nobody else has written it.

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::Budget;
use spillway_core::id::AccountId;
use spillway_core::pace::Cursor;
use spillway_core::unknown::EchoWatch;

use crate::port::{AppBudgets, Budgets, Cursors, EchoWatches, Saved, StoreError};

/// Where one value with a version is stored.
#[async_trait]
pub trait Versioned<T>: Send + Sync {
    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, next: &T) -> Result<Saved<T>, StoreError>;
}

/// The budget of one account.
pub struct BudgetOf<'a>(pub &'a dyn Budgets, pub &'a AccountId);

#[async_trait]
impl Versioned<Budget> for BudgetOf<'_> {
    async fn save(&self, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        self.0.save(self.1, next).await
    }
}

/// The app's budget.
pub struct AppBudgetOf<'a>(pub &'a dyn AppBudgets);

#[async_trait]
impl Versioned<AppBudget> for AppBudgetOf<'_> {
    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        self.0.save(next).await
    }
}

/// The cursor of one account.
pub struct CursorOf<'a>(pub &'a dyn Cursors, pub &'a AccountId);

#[async_trait]
impl Versioned<Cursor> for CursorOf<'_> {
    async fn save(&self, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        self.0.save(self.1, next).await
    }
}

/// The watch for echoes of one account.
pub struct EchoWatchOf<'a>(pub &'a dyn EchoWatches, pub &'a AccountId);

#[async_trait]
impl Versioned<EchoWatch> for EchoWatchOf<'_> {
    async fn save(&self, next: &EchoWatch) -> Result<Saved<EchoWatch>, StoreError> {
        self.0.save(self.1, next).await
    }
}

/// A value that was measured, and replaced if the measurement asked for it.
#[derive(Clone, Debug)]
pub struct Measured<T, R> {
    /// The value that `result` is about.
    pub before: T,
    /// What was written in its place, if anything.
    pub after: Option<T>,
    /// What the measurement came to.
    pub result: R,
}

/// Measures a value and writes what is to take its place. `measure` returns its result and the next
/// value; with `None` nothing is written. If somebody else has written in between, it measures
/// again what is stored now. Returns `None` after losing `tries` races.
///
/// # Errors
/// Fails if the store does not answer.
pub async fn measure_and_replace<T, R>(
    stored: &dyn Versioned<T>,
    mut value: T,
    tries: usize,
    mut measure: impl FnMut(&T) -> (R, Option<T>),
) -> Result<Option<Measured<T, R>>, StoreError> {
    for _ in 0..tries {
        let (result, after) = measure(&value);
        let Some(next) = after else {
            return Ok(Some(Measured { before: value, after: None, result }));
        };
        match stored.save(&next).await? {
            Saved::Done => return Ok(Some(Measured { before: value, after: Some(next), result })),
            Saved::Conflict(current) => value = current,
        }
    }
    Ok(None)
}

/// Bounds a loop that reads, and then writes on the condition that nobody else has written in
/// between.
pub struct Races {
    what: &'static str,
    left: u32,
}

impl Races {
    /// Allows 32 attempts at `what`.
    pub fn new(what: &'static str) -> Self {
        Self { what, left: 32 }
    }

    /// Begins an attempt.
    ///
    /// # Errors
    /// After the last one. A caller may try again later.
    pub fn enter(&mut self) -> Result<(), StoreError> {
        let others = || StoreError::unavailable(self.what, "others wrote in between each time");
        self.left = self.left.checked_sub(1).ok_or_else(others)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt;

    use super::*;

    /// A number that others still write so many times, ten more each time.
    struct Shared(AtomicU32, AtomicU32);

    #[async_trait]
    impl Versioned<u32> for Shared {
        async fn save(&self, next: &u32) -> Result<Saved<u32>, StoreError> {
            let Self(stored, others) = self;
            let left = others.load(Ordering::Relaxed);
            if left > 0 {
                others.store(left - 1, Ordering::Relaxed);
                return Ok(Saved::Conflict(stored.fetch_add(10, Ordering::Relaxed) + 10));
            }
            stored.store(*next, Ordering::Relaxed);
            Ok(Saved::Done)
        }
    }

    fn add_one(others: u32, tries: usize) -> Option<Measured<u32, u32>> {
        let shared = Shared(5.into(), others.into());
        let measure = |value: &u32| (value * 2, (*value < 30).then_some(value + 1));
        measure_and_replace(&shared, 5, tries, measure).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn the_result_is_that_of_the_value_that_was_replaced() {
        let measured = |others| add_one(others, 9).map(|m| (m.before, m.after, m.result));
        assert_eq!(measured(0), Some((5, Some(6), 10)));
        assert_eq!(measured(2), Some((25, Some(26), 50)));
        assert_eq!(measured(3), Some((35, None, 70)), "nothing is to be written");
    }

    #[test]
    fn it_gives_up_after_so_many_races() {
        assert!(add_one(2, 2).is_none());
        assert!(add_one(1, 2).is_some());
    }

    #[test]
    fn a_loop_of_lost_races_ends() {
        let mut races = Races::new("test");
        assert_eq!(std::iter::repeat_with(|| races.enter()).take_while(Result::is_ok).count(), 32);
        assert!(races.enter().unwrap_err().is_retryable());
    }
}
