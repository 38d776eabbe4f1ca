//! Spillway's decisions, pure: every function here is a plain function of its arguments.
//!
//! No I/O, no async, no ambient clock and no ambient randomness: time and seed are arguments. The
//! workspace's architecture test holds the crate's dependencies to that.

pub mod budget;
pub mod campaign;
pub mod hold;
pub mod id;
pub mod keyword;
pub mod message;
pub mod pace;
pub mod quota;
pub mod rotation;
pub mod seed;
pub mod send;
pub mod time;
pub mod window;
