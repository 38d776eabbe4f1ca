//! Spillway's use cases over small ports. The functions, the local stack and the simulator all run
//! them.
//!
//! | module | use case |
//! |---|---|
//! | [`ingest`] | a webhook delivery becomes recorded sends, each with a slot or parked |
//! | [`misses`] | comments that match nothing are counted |
//! | [`leads`] | e-mail addresses that people give are sealed and stored |
//! | [`echo`] | messages that come back end their sends |
//! | [`converse`] | what people write and tap after an opening gets its answer |
//! | [`clicks`] | a link that a person opens is told to its conversation |
//! | [`endings`] | sends end, and public replies follow |
//! | [`deliver`] | queued sends become Graph calls, within the account's budget |
//! | [`release`] | parked sends get slots, crashes are repaired, late sends expire |
//! | [`upkeep`] | tokens are renewed, subscriptions repaired, missed comments found |
//! | [`owner`] | what Meta asks in an owner's name is written down for upkeep |
//! | [`admin`] | what operators do to accounts, campaigns and sends, and what they see |
//!
//! | module | what the use cases share |
//! |---|---|
//! | [`port`] | what they need from the world |
//! | [`gateway`] | calls to Meta, within the budgets |
//! | [`limiter`], [`app`], [`grant`] | decisions on stored budgets |
//! | [`account_cache`], [`account`], [`accounts_file`], [`new_limits`], [`conversation_settings`], [`fields`] | accounts, the files that describe them, and their fields by name |
//! | [`outbox_batch`], [`outbox_key`], [`send_task`], [`tombstones`] | how sends are listed, queued and forgotten |
//! | [`keys`] | the keys under which stores keep things |
//! | [`placing`] | slots and batches for new sends |
//! | [`links`] | tracked links, and the keys that sign them |
//! | [`clock`], [`backoff`], [`metrics`] | clocks and their check, waits, measurements |
//! | [`versioned`] | compare-and-swap |

pub mod account;
pub mod account_cache;
pub mod accounts_file;
pub mod admin;
pub mod app;
pub mod backoff;
pub mod clicks;
pub mod clock;
pub mod conversation_settings;
pub mod converse;
pub mod deliver;
pub mod echo;
pub mod endings;
pub mod fields;
pub mod gateway;
pub mod grant;
pub mod ingest;
pub mod keys;
pub mod leads;
pub mod limiter;
pub mod links;
pub mod metrics;
pub mod misses;
pub mod new_limits;
pub mod outbox_batch;
pub mod outbox_key;
pub mod owner;
pub mod placing;
pub mod port;
pub mod release;
pub mod send_task;
mod store_error;
pub mod tombstones;
mod ttl_cache;
pub mod upkeep;
pub mod versioned;
