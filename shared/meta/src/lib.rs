//! Meta's wire, and nothing of ours: what arrives from Instagram and what is sent to it.
//!
//! * [`signature`]: is this webhook body really from Meta?
//! * [`signed_request`]: who has removed the app, or wants their data deleted?
//! * [`webhook`]: the verification handshake, and a body turned into events.
//! * [`graph`]: the calls to the Graph API.
//! * [`error`]: what a refused call means and what the caller must do about it.
//! * [`usage`]: how full Meta says the limits are, and how long it asks to be left alone.
//!
//! Nothing here decides, stores, retries or reads a clock. Meta's documents leave much open and its
//! deliveries differ from them, so reading is lenient (see [`webhook::parse`]) and what cannot be
//! known is said so (see [`graph::CallError::Unknown`]).

pub mod error;
pub mod graph;
pub mod http;
mod json;
pub mod signature;
pub mod signed_request;
mod time;
pub mod usage;
pub mod webhook;
