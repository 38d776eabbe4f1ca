//! Spillway's decisions, pure: every function here is a plain function of its arguments.
//!
//! No I/O, no async, no ambient clock and no ambient randomness: time and seed are arguments. The
//! workspace's architecture test holds the crate's dependencies to that.

pub mod answers;
pub mod app;
pub mod budget;
pub mod campaign;
pub mod day;
pub mod forecast;
pub mod history;
pub mod hold;
pub mod id;
pub mod journal;
pub mod keyword;
pub mod learned;
pub mod load;
pub mod message;
pub mod pace;
pub mod profile;
pub mod quota;
pub mod refusal;
pub mod rotation;
pub mod rules;
pub mod seed;
pub mod send;
mod span;
pub mod status;
pub mod time;
pub mod upkeep;
pub mod window;
pub mod windows;
