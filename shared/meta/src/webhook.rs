//! What Meta sends us: the verification handshake, and deliveries of events.
//!
//! A delivery is one POST with up to 1,000 events, which may belong to several accounts. Meta sends
//! it again until it is answered with 200 within 5 s, so each event may come more than once, in any
//! order (Meta, Instagram Platform webhooks, 3 Mar 2026; Messenger Platform webhooks).

pub mod conversation;
mod event;
pub mod handshake;
mod parse;

pub use conversation::{Ask, ConversationEvent, MessageState, Postback, What};
pub use event::{
    CommentEvent, CommentKind, Commenter, Delivery, Echo, Event, PayloadError, SkipReason, Skipped,
};
pub use parse::parse;

/// A delivery without an event, which Meta never makes. `spillway doctor` asks with it whether the
/// webhook takes what is signed and refuses what is not: it leaves nothing behind and is not counted.
pub const PROBE: &str = r#"{"object":"instagram","entry":[]}"#;
