//! Tests across crates.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod architecture;
mod budget;
mod clock;
mod deliver;
mod harness;
mod ingest;
mod kills;
mod observe;
mod release;
mod sabotage;
mod serve;
mod story;
mod template;
