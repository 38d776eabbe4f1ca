//! What CloudWatch would know of the functions from Lambda itself, for tests of the template's alarms.

use std::sync::{Mutex, MutexGuard, PoisonError};

use spillway_core::time::Timestamp;

use crate::fault_injector::Function;

/// A metric of the namespace `AWS/Lambda`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LambdaMetric {
    /// Invocations, also those that failed.
    Invocations,
    /// Invocations that failed: killed, out of time, or ended with an error.
    Errors,
    /// Answers of the function URL with 5xx.
    Url5xxCount,
    /// Invocations refused as a recursive loop.
    RecursiveInvocationsDropped,
}

/// One more of a function's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// When.
    pub at: Timestamp,
    /// The function.
    pub function: Function,
    /// The metric.
    pub metric: LambdaMetric,
}

/// Everything that was observed so far.
#[derive(Debug, Default)]
pub struct LambdaMetrics(Mutex<Vec<Observed>>);

impl LambdaMetrics {
    /// Everything that was observed so far, in order.
    pub fn observed(&self) -> Vec<Observed> {
        self.lock().clone()
    }

    pub(crate) fn add(&self, at: Timestamp, function: Function, metric: LambdaMetric) {
        self.lock().push(Observed { at, function, metric });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Observed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
