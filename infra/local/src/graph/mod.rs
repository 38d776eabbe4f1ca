//! The simulated Graph API, which judges.
//!
//! It answers as Meta's platform does and lets the judge see every call first. Like the judge it
//! shares no code with what is judged: of Spillway it uses ids and instants alone.

pub mod answer;
pub mod faults;
pub mod request;
pub mod server;
pub mod sim;
pub mod world;

mod account;
mod hash;

pub use account::app_scoped;
pub use faults::{Fault, FaultKind};
pub use server::serve;
pub use sim::{GraphConfig, GraphSim};
pub use spillway_judge::{CallRecord, Counted, Limit, Limits, Report, Rules};
pub use world::{Comment, Surface, UnknownComments, Words};
