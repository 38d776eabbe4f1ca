//! What a run of Spillway is held to: the judge, a second count that checks it, and the exact
//! planner.
//!
//! They are the oracle for everything that paces calls, so they share no code with what they judge:
//! of Spillway they use ids and instants alone.

pub mod judge;
pub mod planner;
pub mod recount;

mod window;

pub use judge::{
    Action, Answered, Arrival, Breach, CallRecord, Counted, Fate, Judge, Limit, Limits, Report,
    Scope, Verdict, Violation,
};
pub use planner::optimum;
pub use recount::recount;
