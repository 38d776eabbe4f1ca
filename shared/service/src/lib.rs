//! Spillway's use cases over small ports. The functions, the local stack and the simulator all run
//! them.
//!
//! | module | use case |
//! |---|---|
//! | [`ingest`] | a webhook delivery becomes recorded sends, each with a slot or parked |
//! | [`deliver`] | queued sends become Graph calls, within the account's budget |
//! | [`release`] | parked sends get slots, crashes are repaired, late sends expire |
//! | [`upkeep`] | tokens are renewed, subscriptions repaired, missed comments found |
//! | [`operate`], [`apply`], [`overview`] | what operators do to sends and campaigns, and what they see |
//!
//! | module | what the use cases share |
//! |---|---|
//! | [`port`] | what they need from the world |
//! | [`limiter`], [`app`], [`grant`] | decisions on stored budgets |
//! | [`directory`], [`account`], [`accounts_file`] | accounts, and the files that describe them |
//! | [`page`], [`ticket`], [`tombstones`] | how sends are listed, queued and forgotten |
//! | [`keys`] | the keys under which stores keep things |
//! | [`clock`], [`backoff`], [`metrics`] | clocks and their check, waits, measurements |

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
pub mod keys;
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
