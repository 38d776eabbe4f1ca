//! The exact planner, which knows all comments in advance: what nobody can beat at an even pace.

use spillway_judge::{Perishable, most_in_time};

use crate::Model;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::trace::{DEADLINE, Trace};

/// As many as can be delivered in time, each as early as the rows allow. It has neither queue nor
/// store.
#[derive(Clone, Copy, Debug)]
pub struct Exact;

impl Model for Exact {
    fn name(&self) -> &'static str {
        "exact planner"
    }

    fn about(&self) -> &'static str {
        "knows all comments in advance; an even pace, as early as the limits allow"
    }

    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome {
        let sends: Vec<Perishable> = trace
            .arrivals
            .iter()
            .map(|&arrival| Perishable { arrival, deadline: arrival + DEADLINE })
            .collect();
        for (comment, at) in most_in_time(&sends, meta.rules()).into_iter().enumerate() {
            if let Some(at) = at {
                meta.call(at, comment);
            }
        }
        meta.outcome(0)
    }
}
