//! What a delivery says, in our types.

use std::fmt;

use spillway_core::campaign::{Candidate, Trigger};
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;

use super::conversation::ConversationEvent;
use crate::json::is_name;

/// One webhook POST, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// What the delivery is about, `instagram` or `page`; the first one named if there are several.
    pub object: Option<String>,
    /// The events, in the order of the payload, which is not the order in which things happened.
    pub events: Vec<Event>,
    /// What could not be read. Sending it again would not help: count it and answer 200.
    pub skipped: Vec<Skipped>,
}

impl Delivery {
    /// The earliest instant that one of its events names: of a comment when Meta sent the notification,
    /// of what happens in conversations when it happened.
    pub fn earliest(&self) -> Option<Timestamp> {
        self.events.iter().filter_map(Event::at).min()
    }
}

/// One event of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody commented on a post, Reel or live broadcast.
    Comment(CommentEvent),
    /// A message that the account sent, by whatever means.
    Echo(Echo),
    /// Something else in a conversation of the account.
    Conversation(ConversationEvent),
    /// Anything else: count it and answer 200. An account that is subscribed to one field gets all
    /// fields of its app (Meta, Instagram Platform webhooks, 3 Mar 2026).
    Other {
        /// Whose event it is.
        account: AccountId,
        /// The webhook field, such as `mentions`, at most 64 bytes of it. Events of the `messaging`
        /// form do not name theirs: it is `messaging` if what they carry is not known.
        field: String,
    },
}

impl Event {
    fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Comment(comment) => comment.notified_at,
            Self::Echo(echo) => echo.sent_at,
            Self::Conversation(event) => event.at,
            Self::Other { .. } => None,
        }
    }
}

/// A comment, told by the field `comments` or `live_comments`.
///
/// Every part but the account and the id may be missing. Its `Debug` shows neither the text nor the
/// commenter's name.
#[derive(Clone, PartialEq, Eq)]
pub struct CommentEvent {
    /// The account whose media was commented on.
    pub account: AccountId,
    /// When Meta sent this notification. The payload has no time of the comment itself: after
    /// retries the comment is up to 36 h older than this.
    pub notified_at: Option<Timestamp>,
    /// On what it was made.
    pub kind: CommentKind,
    /// The comment. A comment on a boosted post may be told twice, under two ids (Meta, private
    /// replies of Instagram Messaging, 24 Jun 2026).
    pub id: CommentId,
    /// Who commented.
    pub from: Option<Commenter>,
    /// Its text. Absent for a GIF or sticker.
    pub text: Option<String>,
    /// The media commented on; for an ad, the ad's copy.
    pub media: Option<MediaId>,
    /// The media that an ad was made from.
    pub original_media: Option<MediaId>,
    /// The ad commented on.
    pub ad: Option<String>,
    /// The comment that this one replies to.
    pub parent: Option<CommentId>,
}

impl CommentEvent {
    /// Whether the account commented itself, for instance by a public reply. Answering such a
    /// comment would never end.
    ///
    /// `self_ig_scoped_id` is no sign of it: it is seen on comments of others as well.
    pub fn is_own(&self) -> bool {
        let by = self.from.as_ref().and_then(|from| from.id.as_ref());
        by.is_some_and(|id| id.as_str() == self.account.as_str())
    }

    /// The media that this comment is on: its own, and the post that an ad promotes.
    pub fn all_media(&self) -> Vec<&MediaId> {
        self.media.iter().chain(&self.original_media).collect()
    }

    /// Returns when it was made, as far as that is known: no later than when Meta told of it. A time
    /// after `now` is none.
    pub fn written_at(&self, now: Timestamp) -> Timestamp {
        self.notified_at.unwrap_or(now).min(now)
    }

    /// What campaigns look at, with the comment's [media](Self::all_media).
    pub fn candidate<'a>(&'a self, media: &'a [&'a MediaId], now: Timestamp) -> Candidate<'a> {
        Candidate {
            at: self.written_at(now),
            trigger: self.kind.trigger(),
            text: self.text.as_deref().unwrap_or_default(),
            media: Some(media),
            is_reply: self.parent.is_some(),
        }
    }
}

impl fmt::Debug for CommentEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommentEvent")
            .field("account", &self.account)
            .field("notified_at", &self.notified_at)
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("from", &self.from)
            .field("text_bytes", &self.text.as_ref().map(String::len))
            .field("media", &self.media)
            .field("original_media", &self.original_media)
            .field("ad", &self.ad)
            .field("parent", &self.parent)
            .finish()
    }
}

/// A message that the account sent (`message.is_echo`, field `messages`). Its text is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The account that sent it.
    pub account: AccountId,
    /// Meta's id of the message, which the answer to its call names too.
    pub message: Option<String>,
    /// What the call gave as `message.metadata`; `None` for a message that a person or another app
    /// wrote.
    pub metadata: Option<String>,
    /// Whom it went to.
    pub recipient: Option<RecipientId>,
    /// When it was sent. It may be told before the answer to its call, late, twice or never.
    pub sent_at: Option<Timestamp>,
}

/// What a comment was made on, which decides until when it can be answered (Meta, private replies,
/// 30 Jun 2026).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommentKind {
    /// A post or Reel: it can be answered for 7 days.
    Comment,
    /// A live broadcast: it can be answered only until the broadcast ends.
    Live,
}

impl CommentKind {
    /// What such a comment is to a campaign.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Comment => Trigger::Comment,
            Self::Live => Trigger::LiveComment,
        }
    }
}

/// Who commented: an id, a name or both. Its `Debug` does not show the name.
#[derive(Clone, PartialEq, Eq)]
pub struct Commenter {
    /// The person as the account sees them.
    pub id: Option<RecipientId>,
    /// The person's name on Instagram, without `@`.
    pub username: Option<String>,
}

impl Commenter {
    /// Who is named by what is there; `None` where nothing is. What cannot be a name is none.
    pub(crate) fn named(id: Option<RecipientId>, username: Option<String>) -> Option<Self> {
        let username = username.filter(|name| is_name(name));
        (id.is_some() || username.is_some()).then_some(Self { id, username })
    }
}

impl fmt::Debug for Commenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commenter").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Something in a delivery that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Whose it was, where that could be read.
    pub account: Option<AccountId>,
    /// The webhook field, where that could be read.
    pub field: Option<String>,
    /// Why it could not be read.
    pub reason: SkipReason,
}

/// Why something could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// One of several envelopes has no `entry` list.
    NoEntries,
    /// An entry, change or message is not an object.
    NotAnObject,
    /// The entry does not say whose it is.
    NoAccount,
    /// The entry has none of the members that carry events, or they are not lists.
    NoEvents,
    /// The change does not name its field.
    NoField,
    /// The comment is not there: `value` is missing or not an object.
    NoValue,
    /// The comment has no usable id.
    NoCommentId,
}

impl SkipReason {
    /// A stable name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEntries => "no_entries",
            Self::NotAnObject => "not_an_object",
            Self::NoAccount => "no_account",
            Self::NoEvents => "no_events",
            Self::NoField => "no_field",
            Self::NoValue => "no_value",
            Self::NoCommentId => "no_comment_id",
        }
    }
}

/// Why a body is no delivery at all. Answer 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The body is not JSON, which is in UTF-8.
    #[error("the body is not JSON")]
    NotJson,
    /// The body is JSON, but nothing in it is an object with an `entry` list.
    #[error("the body has no entry list")]
    NoEnvelope,
}
