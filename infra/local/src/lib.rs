//! The whole of Spillway on one machine: embedded DynamoDB and SQS (`infra/sqs`), a simulated Graph
//! API that judges (`infra/graph`), and the Lambda service played by hand.
//!
//! The functions that run here are the ones that run in Lambda; they reach DynamoDB, SQS and Meta
//! over loopback by the same clients.
//!
//! | module | contents |
//! |---|---|
//! | [`stack`], [`driver`], [`lambda`], [`lineage`], `deployed_console` | the stack, its virtual time, and the Lambda service |
//! | [`kms`], [`secrets_manager`] | the services that it replaces |
//! | [`story`], [`drill`], [`serve`] | what it plays |
//! | [`comments`], [`inbox`], [`people`], [`messages`] | what people do, and what reaches them |
//! | [`fault_injector`], [`clock`], [`cloudwatch`], [`report`] | faults and counts between SDK and services, time, results |

pub mod aws_json;
pub mod busy;
pub mod clock;
pub mod cloudwatch;
pub mod comments;
mod deployed_console;
pub mod drill;
pub mod driver;
pub mod event_bus;
pub mod fault_injector;
mod form;
pub mod inbox;
pub mod keys;
pub mod kms;
pub mod lambda;
pub mod lineage;
pub mod messages;
pub mod people;
pub mod report;
pub mod secrets_manager;
pub mod serve;
pub mod setup;
pub mod stack;
pub mod story;
