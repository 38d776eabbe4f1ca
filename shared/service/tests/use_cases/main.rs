//! Use cases over the tables in memory, and a Meta that does as it is told.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod admin;
mod limiter;
mod misses;
mod owner;
mod upkeep;
mod world;
