//! The program, the drills, and the embedded services over HTTP. One binary: it links the SDK once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod cli;
mod drill;
mod graph;
mod sqs;
mod week;
