//! What a run of Spillway is held to: the judge, a second count that checks it, and the exact
//! planner.
//!
//! They are the oracle for everything that paces calls, so they share no code with what they judge:
//! of Spillway they use ids and instants alone.
//!
//! The judge keeps every call, counts refused ones too, and recounts its verdicts from the raw
//! log. A call is judged by the rules in force at its grant. If nobody knows its grant, it is
//! judged by the laxest rules of the 7 s before it. With claims or a quota switched off the
//! tests must fail, and they do.
//!
//! [`outside_window`] and [`steps_twice`] find what was wrong with conversations, from logs alone.

mod action;
mod active;
mod figure;
mod hold;
mod judge;
mod log;
mod planner;
mod recount;
mod row;
mod rules;
mod talk;
mod window;

pub mod profile;

pub use action::{Action, ActionSet, Counted, Unit};
pub use active::{AWAKE, Active, Span};
pub use figure::{Figure, Stretch, WarmUp};
pub use judge::{Judge, Verdict};
pub use log::{
    Answered, Arrival, Broken, CallRecord, DuplicateCall, Fate, HoldRecord, Over, Report, Scope,
    Violation,
};
pub use planner::{Perishable, most_in_time, optimum};
pub use recount::recount;
pub use row::Breach;
pub use rules::{GRANT_TO_CALL_MAX, Limit, Limits, Rules};
pub use talk::{Heard, Reached, outside_window, steps_twice};
