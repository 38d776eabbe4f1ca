//! The program and the drills. One binary: it links the SDK once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod cli;
mod console;
mod drill;
mod events;
mod serve;
mod stand;
mod week;
