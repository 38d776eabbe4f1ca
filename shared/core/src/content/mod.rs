//! What a message inside an open window may consist of: a text, a text with buttons or quick replies,
//! or a card with a picture.
//!
//! | module | contents |
//! |---|---|
//! | `draft` | a message as a campaign's file has it, and the limits of its kind |
//! | `link` | the addresses of buttons and pictures |
//! | `disclosure` | what is put before a message to say that no human writes |
//! | `tracked` | links that tell that their person has opened them |
//! | `fault` | what is wrong with a part of a campaign, and the way to it |
//!
//! A [`Draft`] is checked where it is written, for the longest values that its placeholders can take.
//! So a [`Message`], which is a draft filled in for one person, never exceeds a limit of Meta's, and
//! nothing is cut when it is sent.
//!
//! The first message after a comment is not one of these. It is plain text: since August 2026 Meta
//! refuses buttons and cards in a private reply to somebody who does not follow the account, and the
//! refused call uses the comment's only reply up.
//!
//! ```
//! use spillway_core::content::{Draft, Message};
//! use spillway_core::message::Values;
//!
//! let draft: Draft = serde_json::from_value(serde_json::json!({
//!     "text": "Here it is, {first_name|friend}!",
//!     "buttons": [{ "title": "Open", "url": "https://example.com/guide" }],
//! }))?;
//! assert!(draft.faults().is_empty());
//! let message = draft.fill(Values { first_name: Some("Ana"), ..Values::default() }, "payload");
//! let Message::Buttons { text, .. } = message else { panic!("it has a button") };
//! assert_eq!(text, "Here it is, Ana!");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod disclosure;
mod draft;
mod fault;
mod link;
mod tracked;

pub use self::disclosure::{DISCLOSURE_BYTES_MAX, Disclosure, DisclosureError};
pub use self::draft::{
    Action, Button, Card, Draft, DraftError, FilledButton, Message, check_text, check_title,
};
pub use self::fault::{Fault, Faults, Segment};
pub(crate) use self::link::TRACKED;
pub use self::link::{Link, LinkError};
pub use self::tracked::{
    LINK_BASE_BYTES_MAX, TARGET_BYTES_MAX, TOKEN_BYTES_BESIDE, Tracking, link_bytes_max,
    token_chars_max,
};

/// The most UTF-16 code units of the title of a button or quick reply. Meta documents 20 characters
/// (Instagram Platform, quick replies, 30 June 2026; button template, 30 June 2026).
///
/// Meta does not say what it counts as a character. UTF-16 code units are the largest of the usual
/// counts, so a text that keeps a limit by them keeps it by any other: an emoji counts as two or
/// more.
pub const TITLE_UNITS_MAX: usize = 20;

/// The most UTF-16 code units of a text with buttons: see [`TITLE_UNITS_MAX`] (Messenger Platform,
/// button template: 640 characters).
pub const BUTTON_TEXT_UNITS_MAX: usize = 640;

/// The most buttons of a message (Instagram Platform, button template, 30 June 2026).
pub const BUTTONS_MAX: usize = 3;

/// The most quick replies of a message (Instagram Platform, quick replies, 30 June 2026).
pub const QUICK_REPLIES_MAX: usize = 13;

/// The most UTF-16 code units of a card's title or subtitle: see [`TITLE_UNITS_MAX`] (Messenger
/// Platform, generic template, 22 April 2026: 80 characters).
pub const CARD_TEXT_UNITS_MAX: usize = 80;

/// The most bytes of the payload of a button or quick reply (Messenger Platform, button template:
/// 1,000 characters).
pub const PAYLOAD_BYTES_MAX: usize = 1000;
