//! Ids as newtypes. Meta's ids are JSON strings of 17 and more digits, beyond 2^53, so none of
//! them is ever a number here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The ids that Meta gives, as a regular expression.
#[cfg(feature = "schema")]
pub const DIGITS: &str = "^[0-9]{1,32}$";

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the id as it came.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

string_id! {
    /// An Instagram professional account, as `entry[].id` names it (`user_id`, never the
    /// app-scoped `id`).
    AccountId
}
string_id! {
    /// A comment.
    CommentId
}
string_id! {
    /// A post, Reel or live broadcast.
    MediaId
}
string_id! {
    /// A person as one account sees them: the Instagram-scoped id (IGSID).
    RecipientId
}
string_id! {
    /// A campaign, unique within its account.
    CampaignId
}
string_id! {
    /// The event that asks for a send, unique within its account: a comment's id.
    EventId
}

impl From<&CommentId> for EventId {
    fn from(comment: &CommentId) -> Self {
        Self(comment.0.clone())
    }
}

/// A send: one DM to be made. There is at most one for an account and event, however often the
/// event is delivered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SendId {
    /// The account that sends.
    pub account: AccountId,
    /// What asked for it.
    pub event: EventId,
}

impl fmt::Display for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.event)
    }
}

impl fmt::Debug for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
