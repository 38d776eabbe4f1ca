//! Conversations against an independent model, under events in any order, repeated and lost; and the
//! inputs on which systems of this kind have failed.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod cases;
mod disclosure;
mod judge;
mod people;
mod told;
mod world;
