//! Spillway on AWS.
//!
//! | module | contents |
//! |---|---|
//! | [`config`], [`start`], [`wiring`] | environment, start of a function, the use cases wired to AWS |
//! | [`schema`], [`dynamo`] | what is stored where, and the stores |
//! | [`sqs`], [`dead_letters`] | the queues, and what operators do with dead letters |
//! | [`secrets`], [`links`] | the app's secrets, the keys of tracked links and what writes these |
//! | [`token`], [`sample_keys`] | account tokens at rest, what seals people's words |
//! | [`meta`] | calls to Meta with an account's token, logins |
//! | [`http`], [`server_date`], [`failure`] | how clients of AWS reach it, the check of this process's clock, what failed |
//! | [`telemetry`], [`emf`], [`cloudwatch`] | logs, metrics, what metrics have counted |

pub mod cloudwatch;
pub mod config;
pub mod dead_letters;
pub mod dynamo;
pub mod emf;
pub mod failure;
pub mod http;
pub mod lead_bus;
pub mod links;
pub mod meta;
mod repeats;
pub mod sample_keys;
pub mod schema;
pub mod secrets;
pub mod server_date;
pub mod sqs;
pub mod start;
pub mod telemetry;
pub mod token;
pub mod wiring;
