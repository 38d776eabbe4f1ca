//! Spillway's use cases over small ports: what the functions, the local stack and the simulations
//! all run.
//!
//! - [`ingest`]: a webhook delivery becomes recorded sends, each with a slot or parked.
//! - [`deliver`]: queued sends become Graph calls, inside the account's budget.
//! - [`release`]: parked sends get slots; what a crash left behind is repaired; what is too late
//!   expires.
//! - [`upkeep`]: tokens are renewed, subscriptions kept whole, missed comments found.

pub mod account;
pub mod accounts_file;
pub mod app;
pub mod apply;
pub mod backoff;
pub mod clock;
pub mod deliver;
pub mod directory;
pub mod grant;
pub mod ingest;
pub mod limiter;
mod memory;
pub mod metrics;
pub mod operate;
pub mod overview;
pub mod page;
pub mod port;
pub mod release;
pub mod ticket;
pub mod tombstones;
pub mod upkeep;
