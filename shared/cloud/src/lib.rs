//! Spillway on AWS: DynamoDB stores, SQS queues, secrets, configuration, logs, metrics, and the
//! wiring of the use cases to them.

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
