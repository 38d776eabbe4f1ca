//! What others do with more comments than the limits allow: small models in virtual time, side by
//! side on the same traces.
//!
//! The models are ours, made from what is publicly said of such tools: their figures, not their
//! code. Where nothing is said, a model has the choice that is best for it, and says so. All of
//! them meet the same [`Meta`], and the judge counts what each asked of it.

pub mod models;
pub mod table;

mod compare;
mod meta;
mod outcome;
mod rolling;
mod timers;
mod trace;

pub use compare::{Compared, Row, compare};
pub use meta::{Answer, Meta};
pub use outcome::{Fullest, Outcome};
pub use trace::{DEADLINE, Trace};

/// One way of turning a trace's comments into DMs.
pub trait Model {
    /// How tables call it.
    fn name(&self) -> &'static str;

    /// What it does, in a line.
    fn about(&self) -> &'static str;

    /// Plays the trace to its end.
    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome;
}
