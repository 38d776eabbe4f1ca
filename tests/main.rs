//! Tests across crates.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod adapters;
mod architecture;
mod budget;
mod clock;
mod conformance;
mod deliver;
mod harness;
mod ingest;
mod kills;
mod privileges;
mod release;
mod sabotage;
mod serve;
mod story;
mod template;
