//! One limit with its exact window.

use std::collections::HashMap;

use spillway_core::id::RecipientId;
use spillway_core::time::Timestamp;

use crate::action::Unit;
use crate::judge::Breach;
use crate::log::{Arrival, Over, Scope};
use crate::rules::Limit;
use crate::window::SlidingWindow;

pub(crate) struct Row {
    pub(crate) limit: Limit,
    window: SlidingWindow,
    /// Numbers for the people counted, where people are counted.
    people: HashMap<RecipientId, u64>,
}

impl Row {
    pub(crate) fn new(limit: Limit) -> Self {
        let length_ms = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX);
        Self { limit, window: SlidingWindow::new(length_ms), people: HashMap::new() }
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
        if count <= u64::from(allowed) {
            return None;
        }
        let fits_at = self.window.fits_at(at, allowed as usize);
        Some(Breach {
            over: Over { limit: self.limit.name.clone(), count, allowed },
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

    /// Percent of the limit in force at `now` that is used.
    pub(crate) fn percent(&self, now: Timestamp) -> u32 {
        let used = self.window.inside_at(now.as_millis()) as u64;
        let percent = (used * 100).checked_div(u64::from(self.limit.limit.at(now))).unwrap_or(100);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}
