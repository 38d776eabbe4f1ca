//! `spillway` as a program, against a local stack in this process: what it prints and changes, and
//! how it ends.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod account;
mod campaign;
mod charge;
mod console;
mod deployment;
mod dlq;
mod doctor;
mod forms;
mod help;
mod lead;
mod misses;
mod outbound;
mod readme;
mod send;
mod snapshot;
mod stand;
mod terminal;
mod text;
mod watch;
