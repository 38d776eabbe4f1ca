//! An SQS in process: standard queues on loopback, driven by an injected clock.
//!
//! The layers, each of which knows only those before it: `Queue` is one queue as a pure state
//! machine that takes the time as an argument; [`Sqs`] holds all queues by name under one
//! clock, with redrive between them; [`serve`] speaks the protocol of the official clients.
//!
//! Deliberately absent: FIFO queues, tags, permissions, encryption and signatures. Where SQS leaves
//! room this one decides: only the handle of the latest receive deletes, a receive finds every
//! message that is there, nothing is delivered twice within its visibility timeout, the counts are
//! exact, and a message move is over when its call returns.
//!
//! It is our own because the permissive ones refuse message groups on standard queues, validate
//! almost nothing, or take no clock.

mod api;
mod attributes;
mod error;
mod faults;
mod ids;
mod message;
mod queue;
mod server;
mod service;
mod wire;

pub use self::attributes::{ACCOUNT, REGION, queue_arn};
pub use self::error::SqsError;
pub use self::faults::Fault;
pub use self::message::NewMessage;
pub use self::queue::Counts;
pub use self::server::serve;
pub use self::service::{LongPoll, Sqs, redrive_policy};
pub use self::wire::Operation;
