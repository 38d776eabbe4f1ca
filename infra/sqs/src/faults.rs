//! Failures on demand, so that tests can see what callers make of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::wire::Operation;

/// How a call over HTTP fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 before anything happens.
    Unavailable,
    /// 500 before anything happens.
    Internal,
    /// The call takes effect, and the connection closes without a byte of answer.
    LostAnswer,
}

/// The faults that are still to happen, first injected first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Mutex<VecDeque<Planned>>,
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    /// `None` strikes whatever is called.
    operation: Option<Operation>,
    calls_left: u32,
}

impl Faults {
    /// Lets the next calls fail, all or those of one operation.
    pub(crate) fn plan(&self, fault: Fault, operation: Option<Operation>, calls: u32) {
        if calls > 0 {
            self.lock().push_back(Planned { fault, operation, calls_left: calls });
        }
    }

    /// Forgets what is still to happen.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The fault of this call, if it has one; it is used up.
    pub(crate) fn take(&self, operation: Operation) -> Option<Fault> {
        let mut planned = self.lock();
        let strikes = |planned: &Planned| planned.operation.is_none_or(|only| only == operation);
        let index = planned.iter().position(strikes)?;
        let struck = planned.get_mut(index)?;
        struck.calls_left -= 1;
        let (fault, left) = (struck.fault, struck.calls_left);
        if left == 0 {
            planned.remove(index);
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_in_order_and_as_often_as_planned() {
        let faults = Faults::default();
        faults.plan(Fault::LostAnswer, Some(Operation::SendMessage), 1);
        faults.plan(Fault::Unavailable, None, 2);
        faults.plan(Fault::Internal, None, 0);
        assert_eq!(faults.take(Operation::ReceiveMessage), Some(Fault::Unavailable));
        assert_eq!(faults.take(Operation::SendMessage), Some(Fault::LostAnswer));
        assert_eq!(faults.take(Operation::SendMessage), Some(Fault::Unavailable));
        assert_eq!(faults.take(Operation::SendMessage), None);
        faults.plan(Fault::Internal, None, 5);
        faults.clear();
        assert_eq!(faults.take(Operation::SendMessage), None);
    }
}
