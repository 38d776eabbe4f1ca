//! The simulated Graph API, which judges.
//!
//! It answers as Meta's platform does, keeps an exact log of every call it is sent, and counts each
//! call that breaks a limit or a comment's one reply. It is the oracle for everything that paces
//! calls, so it shares no code with what it judges: of Spillway it uses ids and instants alone.

pub mod answer;
pub mod faults;
pub mod judge;
pub mod recount;
pub mod request;
pub mod server;
pub mod sim;
pub mod world;

mod hash;
mod window;

pub use faults::{Fault, FaultKind};
pub use judge::{CallRecord, Counted, Limit, Limits, Report};
pub use server::serve;
pub use sim::{GraphConfig, GraphSim};
pub use world::{Comment, Surface, UnknownComments};
