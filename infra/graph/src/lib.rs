//! The simulated Graph API, which judges.
//!
//! It answers as Meta's platform does and lets the judge see every call first. Like the judge it
//! shares no code with what is judged: of Spillway it uses ids and instants alone.
//!
//! | module | contents |
//! |---|---|
//! | `server` | the API over HTTP, and paths that order faults and read the log |
//! | `sim` | the order in which a call is judged, struck by faults, checked and answered |
//! | `request`, `answer` | what a call asks for, and what it is told |
//! | `content` | what a message shows, and whether Meta takes it |
//! | `world`, `account`, `person` | accounts, tokens, comments, windows and profiles |
//! | `messages` | what has reached people, its echoes, and conversations |
//! | `faults`, `hash` | troubles on purpose, and the draws that ids and faults depend on |

mod account;
mod answer;
mod content;
mod faults;
mod hash;
mod messages;
mod person;
mod request;
mod server;
mod sim;
mod world;

pub use account::{app_scoped, username};
pub use content::{Button, Card, Content, QuickReply};
pub use faults::{Fault, FaultKind};
pub use messages::{EchoDelivery, HandWritten, SentMessage};
pub use person::Person;
pub use server::serve;
pub use sim::{GraphConfig, GraphSim};
pub use spillway_judge::{Action, CallRecord, Counted, Heard, Limit, Limits, Report, Rules};
pub use world::{Comment, PublicReply, Surface, UnknownComments, Words};
