//! The whole of Spillway on one machine.
pub mod graph;
pub mod sqs;
