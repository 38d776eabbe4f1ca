//! What happens in a conversation between an account and a person: messages, taps, referrals, and
//! what is told beside them.
//!
//! Fields: `messages`, `messaging_postbacks`, `messaging_referral`, `message_reactions`,
//! `message_edit`, `messaging_seen`, `messaging_handover` and `standby` (Meta, webhook examples,
//! 2026). Meta's own examples and deliveries leave out nearly every member somewhere, so each is
//! optional. No text is longer than [`TEXT_BYTES_MAX`], no id or payload than [`TOLD_BYTES_MAX`].

use std::fmt;

use spillway_core::campaign::Trigger;
use spillway_core::id::{AccountId, MediaId, OnceKey, RecipientId};
use spillway_core::time::Timestamp;

/// The longest message id, payload, metadata or `ref` that is kept, in bytes; a longer one counts
/// as missing. Meta allows 1,000 characters of metadata or payload, and 2,083 of a `ref`.
pub const TOLD_BYTES_MAX: usize = 2083;

/// The longest text of a person that is kept, in bytes; of a longer one the beginning is. Instagram
/// allows 1,000 characters in a message.
pub const TEXT_BYTES_MAX: usize = 4096;

/// An event of a conversation. Its `Debug` shows no text, title, payload or `ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationEvent {
    /// The account that takes part.
    pub account: AccountId,
    /// Who did it: the person, or the account itself.
    pub sender: Option<RecipientId>,
    /// When it happened, or else when Meta told of it. The webhook may come up to 36 h later.
    pub at: Option<Timestamp>,
    /// Which app holds the conversation.
    pub thread: Thread,
    /// Whether the account did this to itself (Meta, Self Messaging).
    pub is_self: bool,
    /// What happened.
    pub what: What,
}

/// Which app holds a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thread {
    /// This one, or none.
    Ours,
    /// Another one: Meta tells of it in `standby` and refuses messages to it (100/2534037).
    Standby,
}

/// What happened in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message was written. Taps on quick replies are messages too.
    Message(Message),
    /// A button or an ice breaker was tapped.
    Postback(Postback),
    /// The conversation was entered by a link or an ad, without a message.
    Referral(Referral),
    /// A message got a reaction, or lost it.
    Reaction(Reaction),
    /// A message was edited. Meta may tell of its first version too, as edit 0 and without people.
    Edit(Edit),
    /// A message was read.
    Seen {
        /// Its id.
        message: Option<String>,
    },
    /// The conversation changes hands between apps.
    Handover(Handover),
}

/// A message of a person. Its `Debug` shows no text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Meta's id of it (`mid`), the same in each delivery.
    pub id: Option<String>,
    /// The text; for a quick reply its title.
    pub text: Option<String>,
    /// The quick reply that was tapped.
    pub quick_reply: Option<QuickReply>,
    /// What it replies to.
    pub reply_to: Option<ReplyTo>,
    /// The kinds of its attachments, each once. Their URLs may be missing or dead, and are not read.
    pub attachments: Vec<Attachment>,
    /// The link or ad by which the person came.
    pub referral: Option<Referral>,
    /// Whether it can be read.
    pub state: MessageState,
}

/// Whether a message can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// It can.
    #[default]
    Readable,
    /// Its author has taken it back.
    Deleted,
    /// Meta does not tell what it is.
    Unsupported,
}

/// A quick reply that was tapped. Its `Debug` does not show the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct QuickReply {
    /// What the message that offered it gave as payload.
    pub payload: Option<String>,
}

/// What a message replies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// A story of the account.
    Story(Option<MediaId>),
    /// Another message.
    Message(Option<String>),
}

/// The kind of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// A picture, also a sticker or GIF.
    Image,
    /// A video.
    Video,
    /// A voice message.
    Audio,
    /// A file.
    File,
    /// A shared post (`ig_post`, until 27 April 2026 `share`).
    Post,
    /// A shared Reel.
    Reel,
    /// A shared story.
    Story,
    /// A story that mentions the account.
    StoryMention,
    /// Anything else.
    Other,
}

impl Attachment {
    /// The kind that Meta names so.
    pub fn named(kind: &str) -> Self {
        match kind {
            "image" | "sticker" | "media" => Self::Image,
            "video" => Self::Video,
            "audio" => Self::Audio,
            "file" => Self::File,
            "share" | "ig_post" => Self::Post,
            "reel" | "ig_reel" => Self::Reel,
            "story" | "ig_story" => Self::Story,
            "story_mention" => Self::StoryMention,
            _ => Self::Other,
        }
    }
}

/// A tap on a button or an ice breaker. Its `Debug` shows neither title nor payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Postback {
    /// Meta's id of the tap: each tap has its own.
    pub id: Option<String>,
    /// What the button says.
    pub title: Option<String>,
    /// What the message that offered the button gave as payload.
    pub payload: Option<String>,
    /// The link or ad by which the person came.
    pub referral: Option<Referral>,
}

/// A link or ad by which a person came. Its `Debug` does not show the `ref`.
#[derive(Clone, PartialEq, Eq)]
pub struct Referral {
    /// The `ref` of an `ig.me` link, or of an ad.
    pub reference: Option<String>,
    /// Where it was, such as `ADS`.
    pub source: Option<String>,
    /// The ad.
    pub ad: Option<String>,
}

/// A reaction to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// The message.
    pub message: Option<String>,
    /// Whether the reaction was taken back.
    pub is_taken_back: bool,
}

/// An edit of a message. Its text is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The message.
    pub message: Option<String>,
    /// How often it has been edited; 0 for its first version.
    pub count: Option<u64>,
}

/// A change of the app that holds a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// What happens.
    pub kind: HandoverKind,
    /// The app that holds it from now on, or that asks for it.
    pub app: Option<String>,
}

/// How a conversation changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandoverKind {
    /// It is passed on.
    Passed,
    /// It is taken.
    Taken,
    /// It is asked for.
    Requested,
    /// The roles of apps are changed.
    Roles,
}

/// What a campaign may answer in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Its kind.
    pub trigger: Trigger,
    /// What keywords are looked for in.
    pub text: &'a str,
    /// The story that was replied to.
    pub story: Option<&'a MediaId>,
}

impl ConversationEvent {
    /// What it asks for, in the order in which campaigns are asked; nothing for what never starts
    /// anything.
    ///
    /// - A tap that carries a payload is for whoever offered it: its title is not matched, even if
    ///   the payload is not ours. A postback without one has nothing but its title, like an ice
    ///   breaker that repeats a question, and counts as a message that says so.
    /// - A `ref` is matched like a text of its own, since it names what the link was made for. The
    ///   message that comes with it is matched after it.
    /// - What has neither text nor an attachment of a known kind asks for nothing.
    pub fn asks(&self) -> impl Iterator<Item = Ask<'_>> {
        let asks = if self.is_theirs() { self.what.asks() } else { [None, None] };
        asks.into_iter().flatten()
    }

    /// Whether the person did it, in a conversation that this app may answer in.
    pub fn is_theirs(&self) -> bool {
        let is_own = |sender: &RecipientId| sender.as_str() == self.account.as_str();
        let is_theirs = self.sender.as_ref().is_some_and(|sender| !is_own(sender));
        is_theirs && !self.is_self && self.thread == Thread::Ours
    }

    /// Returns what is the same whenever this event is told: a fixed-length hash of its id. A
    /// referral has none, and is known by person, time and `ref`. `None` if it has no name: it could
    /// not be known again.
    pub fn key(&self) -> Option<OnceKey> {
        let told = match &self.what {
            What::Message(message) => message.id.as_deref(),
            What::Postback(postback) => postback.id.as_deref(),
            What::Referral(referral) => {
                let (sender, at) = (self.sender.as_ref()?, self.at?.as_millis().to_string());
                let reference = referral.reference.as_deref().unwrap_or_default();
                return Some(OnceKey::event(&["referral", sender.as_str(), &at, reference]));
            }
            What::Reaction(_) | What::Edit(_) | What::Seen { .. } | What::Handover(_) => None,
        };
        told.map(|id| OnceKey::event(&["message", id]))
    }

    /// Returns when it happened, as far as that is known. A time after `now` is none.
    pub fn happened_at(&self, now: Timestamp) -> Timestamp {
        self.at.unwrap_or(now).min(now)
    }

    /// The webhook field that tells of such events.
    pub fn field(&self) -> &'static str {
        match (self.thread, &self.what) {
            (Thread::Standby, _) => "standby",
            (Thread::Ours, What::Message(_)) => "messages",
            (Thread::Ours, What::Postback(_)) => "messaging_postbacks",
            (Thread::Ours, What::Referral(_)) => "messaging_referral",
            (Thread::Ours, What::Reaction(_)) => "message_reactions",
            (Thread::Ours, What::Edit(_)) => "message_edit",
            (Thread::Ours, What::Seen { .. }) => "messaging_seen",
            (Thread::Ours, What::Handover(_)) => "messaging_handover",
        }
    }
}

impl What {
    fn asks(&self) -> [Option<Ask<'_>>; 2] {
        match self {
            Self::Message(message) => [message.referral.as_ref().map(Referral::ask), message.ask()],
            Self::Postback(Postback { payload: Some(_), .. })
            | Self::Reaction(_)
            | Self::Edit(_)
            | Self::Seen { .. }
            | Self::Handover(_) => [None, None],
            Self::Postback(Postback { title, referral, .. }) => {
                let title = title.as_deref().filter(|title| !title.trim().is_empty());
                let ask = |text| Ask { trigger: Trigger::Message, text, story: None };
                [referral.as_ref().map(Referral::ask), title.map(ask)]
            }
            Self::Referral(referral) => [Some(referral.ask()), None],
        }
    }
}

impl Message {
    fn ask(&self) -> Option<Ask<'_>> {
        let is_tap = self.quick_reply.as_ref().is_some_and(|tap| tap.payload.is_some());
        if self.state != MessageState::Readable || is_tap {
            return None;
        }
        let text = self.text.as_deref().unwrap_or_default();
        let says_something = !text.trim().is_empty()
            || self.attachments.iter().any(|kind| *kind != Attachment::Other);
        let (trigger, story) = match &self.reply_to {
            Some(ReplyTo::Story(story)) => (Trigger::StoryReply, story.as_ref()),
            _ if self.attachments.contains(&Attachment::StoryMention) => {
                (Trigger::StoryMention, None)
            }
            _ if says_something => (Trigger::Message, None),
            _ => return None,
        };
        Some(Ask { trigger, text, story })
    }
}

impl Referral {
    fn ask(&self) -> Ask<'_> {
        let text = self.reference.as_deref().unwrap_or_default();
        Ask { trigger: Trigger::Referral, text, story: None }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("text_bytes", &self.text.as_ref().map(String::len))
            .field("quick_reply", &self.quick_reply)
            .field("reply_to", &self.reply_to)
            .field("attachments", &self.attachments)
            .field("referral", &self.referral)
            .field("state", &self.state)
            .finish()
    }
}

impl fmt::Debug for QuickReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.payload.as_ref().map(String::len);
        f.debug_struct("QuickReply").field("payload_bytes", &bytes).finish()
    }
}

impl fmt::Debug for Postback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postback")
            .field("id", &self.id)
            .field("title_bytes", &self.title.as_ref().map(String::len))
            .field("payload_bytes", &self.payload.as_ref().map(String::len))
            .field("referral", &self.referral)
            .finish()
    }
}

impl fmt::Debug for Referral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Referral")
            .field("reference_bytes", &self.reference.as_ref().map(String::len))
            .field("source", &self.source)
            .field("ad", &self.ad)
            .finish()
    }
}
