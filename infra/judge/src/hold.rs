//! The holds that the judge was told of, and the answers that told callers to wait.

use std::collections::HashMap;

use spillway_core::time::Timestamp;

use crate::log::{Arrival, Broken, HoldRecord, Scope};

/// Every hold there ever was: a call may come after its hold has ended.
#[derive(Default)]
pub(crate) struct Holds {
    log: Vec<HoldRecord>,
    of: HashMap<Scope, Vec<usize>>,
}

impl Holds {
    pub(crate) fn begin(&mut self, scope: Scope, acknowledged_at: Timestamp, until: Timestamp) {
        self.of.entry(scope.clone()).or_default().push(self.log.len());
        self.log.push(HoldRecord {
            scope,
            acknowledged_ms: acknowledged_at.as_millis(),
            end_ms: until.as_millis(),
        });
    }

    /// Ends what is in force in `scope` at `at`.
    pub(crate) fn end(&mut self, scope: &Scope, at: Timestamp) {
        for &hold in self.of.get(scope).into_iter().flatten() {
            let hold = &mut self.log[hold];
            if hold.acknowledged_ms <= at.as_millis() {
                hold.end_ms = hold.end_ms.min(at.as_millis());
            }
        }
    }

    pub(crate) fn log(&self) -> &[HoldRecord] {
        &self.log
    }

    /// The scopes whose holds the call breaks, each once.
    pub(crate) fn broken_by(&self, arrival: &Arrival) -> impl Iterator<Item = Broken> {
        let (earliest, latest) = arrival.granted();
        let held = move |hold: &HoldRecord| {
            hold.acknowledged_ms < earliest.as_millis() && latest.as_millis() < hold.end_ms
        };
        scopes(arrival)
            .into_iter()
            .filter(move |scope| {
                self.of.get(scope).into_iter().flatten().any(|&hold| held(&self.log[hold]))
            })
            .map(Broken::Hold)
    }
}

/// Whose holds stop the call.
fn scopes(arrival: &Arrival) -> Vec<Scope> {
    let account = &arrival.account;
    let mut scopes = vec![Scope::App, Scope::Account(account.clone())];
    let person = arrival.recipient.clone();
    scopes.extend(person.map(|person| Scope::Recipient(account.clone(), person)));
    scopes
}

/// Answers that named a time to wait for.
#[derive(Default)]
pub(crate) struct Throttles {
    of: HashMap<Scope, Throttle>,
}

#[derive(Clone, Copy)]
struct Throttle {
    answered: Timestamp,
    until: Timestamp,
}

impl Throttles {
    pub(crate) fn answered(&mut self, scope: Scope, answered: Timestamp, until: Timestamp) {
        let throttle = self.of.entry(scope).or_insert(Throttle { answered, until });
        if answered >= throttle.until {
            *throttle = Throttle { answered, until };
        }
        throttle.until = throttle.until.max(until);
    }

    /// Whether the call came after such an answer and before the time it named.
    pub(crate) fn covers(&self, arrival: &Arrival) -> bool {
        scopes(arrival)
            .iter()
            .filter_map(|scope| self.of.get(scope))
            .any(|throttle| throttle.answered < arrival.at && arrival.at < throttle.until)
    }
}
