//! One limit with its exact window.

use std::collections::HashMap;

use spillway_core::id::RecipientId;
use spillway_core::time::Timestamp;

use crate::action::{Counted, Unit};
use crate::log::{Arrival, Over, Scope};
use crate::rules::Limit;
use crate::window::SlidingWindow;

/// A limit that a call goes over, with what a refusal needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which limit and by how much.
    pub over: Over,
    /// What that limit counts.
    pub counts: Counted,
    /// Whose limit it is.
    pub scope: Scope,
    /// From when on one more would fit; `None` where the limit is zero.
    pub fits_at: Option<Timestamp>,
}

pub(crate) struct Row {
    pub(crate) limit: Limit,
    window: SlidingWindow,
    /// Numbers for the people counted, where people are counted.
    people: HashMap<RecipientId, u64>,
    /// The window that was fullest for its limit.
    fullest: Option<Over>,
}

impl Row {
    pub(crate) fn new(limit: Limit) -> Self {
        let length_ms = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX);
        Self { limit, window: SlidingWindow::new(length_ms), people: HashMap::new(), fullest: None }
    }

    /// Counts the call where it counts here, and says whether that goes over the limit.
    pub(crate) fn count(
        &mut self,
        call: usize,
        arrival: &Arrival,
        scope: &Scope,
    ) -> Option<Breach> {
        let key = self.key(call, arrival)?;
        let at = arrival.at.as_millis();
        let count = self.window.add(at, key) as u64;
        let (earliest, latest) = arrival.granted();
        let allowed = self.limit.limit.laxest(earliest, latest);
        let over = Over { limit: self.limit.name.clone(), count, allowed };
        if self.fullest.as_ref().is_none_or(|fullest| over.is_fuller_than(fullest)) {
            self.fullest = Some(over.clone());
        }
        if count <= u64::from(allowed) {
            return None;
        }
        let fits_at = self.window.fits_at(at, allowed as usize);
        Some(Breach {
            over,
            counts: self.limit.counts,
            scope: scope.clone(),
            fits_at: fits_at.map(Timestamp::from_millis),
        })
    }

    /// What the call is counted as; `None` where it is not counted.
    fn key(&mut self, call: usize, arrival: &Arrival) -> Option<u64> {
        if !self.limit.counts.actions.contains(arrival.action) {
            return None;
        }
        match self.limit.counts.unit {
            Unit::Calls => Some(call as u64),
            Unit::Recipients => {
                let person = arrival.recipient.as_ref()?;
                let next = self.people.len() as u64;
                Some(*self.people.entry(person.clone()).or_insert(next))
            }
        }
    }

    /// The window that was fullest for the limit in force, full or not.
    pub(crate) fn fullest(&self) -> Option<&Over> {
        self.fullest.as_ref()
    }

    /// Percent of the limit in force at `now` that is used.
    pub(crate) fn percent(&self, now: Timestamp) -> u32 {
        let used = self.window.inside_at(now.as_millis()) as u64;
        let percent = (used * 100).checked_div(u64::from(self.limit.limit.at(now))).unwrap_or(100);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}
