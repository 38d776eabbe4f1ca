//! Spillway on AWS.
//!
//! | module | contents |
//! |---|---|
//! | [`config`], [`start`], [`wiring`] | environment, start of a function, the use cases wired to AWS |
//! | [`schema`], [`dynamo`] | what is stored where, and the stores |
//! | [`sqs`], [`dead_letters`] | the queues, and what operators do with dead letters |
//! | [`secrets`], [`token`] | the app's secrets, and account tokens at rest |
//! | [`graph`], [`http`], [`login`] | calls to Meta with an account's token, HTTP clients, logins |
//! | [`telemetry`], [`emf`], [`server_date`] | logs, metrics, the check of this process's clock |

pub mod config;
pub mod dead_letters;
pub mod dynamo;
pub mod emf;
pub mod graph;
pub mod http;
pub mod login;
pub mod schema;
pub mod secrets;
pub mod server_date;
pub mod sqs;
pub mod start;
pub mod telemetry;
pub mod token;
pub mod wiring;
