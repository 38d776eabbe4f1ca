//! What happens in a conversation, and what follows from it.

use std::fmt;
use std::time::Duration;

use super::email::Email;
use super::payload::{Origin, Payload, StepKey};
use super::stop_words::StopWords;
use crate::campaign::Campaigns;
use crate::id::CampaignId;
use crate::send::Class;
use crate::time::Timestamp;

/// How long a human's message keeps the automation out of a thread, where the account does not say.
pub const TAKEOVER: Duration = Duration::from_secs(12 * 3600);

/// What an account sets for all its conversations. These are the account's and not a campaign's: a
/// STOP ends all campaigns for a person, and a human who takes over a thread takes it from all of
/// them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The words that end and restart everything.
    pub stop_words: StopWords,
    /// How long a human's message keeps the automation out of a thread.
    pub takeover: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { stop_words: StopWords::default(), takeover: TAKEOVER }
    }
}

/// What a step is decided on, beside the state and the event.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The account's campaigns as they are now.
    pub campaigns: &'a Campaigns,
    /// What the account sets.
    pub settings: &'a Settings,
    /// The time.
    pub now: Timestamp,
    /// Draws the jitter of follow-ups.
    pub seed: u64,
}

/// What began a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BegunBy {
    /// A comment, or a run of the account's, which opens no window.
    Comment,
    /// A message, story reply, mention or referral of the person's, made at this instant. It opens
    /// the window.
    Message(Timestamp),
}

/// Something that happened. Events may be told late, out of order, more than once, or not at all.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// An opening has reached the person.
    OpeningSent {
        /// Its campaign.
        campaign: CampaignId,
        /// What it answers.
        origin: Origin,
        /// Whether that has opened the window.
        begun_by: BegunBy,
        /// The keyword that matched.
        keyword: Option<String>,
        /// When its call began. What the person wrote before is no answer to it.
        at: Timestamp,
    },
    /// Meta has refused an opening for good.
    OpeningRefused {
        /// Its campaign.
        campaign: CampaignId,
        /// What it answers.
        origin: Origin,
    },
    /// The person has written.
    Message {
        /// Meta's id (`mid`).
        id: String,
        /// The text; empty for a picture and the like.
        text: String,
        /// When, by Meta's clock.
        at: Timestamp,
    },
    /// The person has tapped a button or quick reply, whosever it is.
    Tap {
        /// What the button carried.
        payload: String,
        /// When, by Meta's clock.
        at: Timestamp,
    },
    /// The person's profile was read, as [`Effect::ReadFollow`] asked.
    FollowRead {
        /// The campaign.
        campaign: CampaignId,
        /// The conversation.
        origin: Origin,
        /// Which read.
        nth: u8,
        /// What it has shown.
        follows: Follows,
    },
    /// A message of a conversation has reached the person. Only told where
    /// [`StepSend::report`] asks for it.
    Sent {
        /// The campaign.
        campaign: CampaignId,
        /// The message.
        key: StepKey,
        /// When.
        at: Timestamp,
        /// The earliest instant at which they may have seen it: before `at` if it was repeated,
        /// because nobody knew whether it had arrived.
        seen_from: Timestamp,
    },
    /// A message of a conversation has ended without having reached the person: it was cancelled,
    /// refused or too late. It must be certain: what may have arrived is not told.
    NotSent {
        /// The campaign.
        campaign: CampaignId,
        /// The message.
        key: StepKey,
    },
    /// A message to the person is about to be sent, by an account that has a disclosure. Whether it
    /// begins with that is told as [`Outcome::Disclosing`], or else as [`Outcome::Known`].
    Calling {
        /// A hash of the key of its send.
        send: u64,
    },
    /// The call that [`Event::Calling`] told of was not made, or is known to have failed: the person
    /// has not read its disclosure.
    NotArrived {
        /// A hash of the key of its send.
        send: u64,
    },
    /// Somebody has written in the account's name without Spillway: an echo of nobody's send.
    HumanWrote {
        /// When, by Meta's clock.
        at: Timestamp,
    },
    /// The person has opened a link of a conversation.
    Clicked {
        /// The campaign.
        campaign: CampaignId,
        /// The conversation.
        origin: Origin,
    },
    /// A campaign was removed.
    CampaignRemoved {
        /// The campaign.
        campaign: CampaignId,
    },
    /// Time has passed.
    Timer,
}

impl Event {
    /// A word for it, for logs and counts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OpeningSent { .. } => "opening_sent",
            Self::OpeningRefused { .. } => "opening_refused",
            Self::Message { .. } => "message",
            Self::Tap { .. } => "tap",
            Self::FollowRead { .. } => "follow_read",
            Self::Sent { .. } => "sent",
            Self::NotSent { .. } => "not_sent",
            Self::Calling { .. } => "calling",
            Self::NotArrived { .. } => "not_arrived",
            Self::HumanWrote { .. } => "human_wrote",
            Self::Clicked { .. } => "clicked",
            Self::CampaignRemoved { .. } => "campaign_removed",
            Self::Timer => "timer",
        }
    }
}

/// Shows no word of the person's.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a person follows the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Follows {
    /// They do.
    Yes,
    /// They do not.
    No,
    /// Meta did not tell: code 230, an error, or no such field. It is never a no.
    Unknown,
}

/// Something to be done. The state that comes with it is stored first: an effect that is lost costs
/// its step until the person acts again, and one that is done twice has the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sends a message.
    Send(StepSend),
    /// Reads whether the person follows, and tells it as [`Event::FollowRead`]. Never from a memory:
    /// the person may have followed a second ago.
    ReadFollow {
        /// The campaign.
        campaign: CampaignId,
        /// The conversation.
        origin: Origin,
        /// Which read, to be told with its answer.
        nth: u8,
    },
    /// Keeps the person's e-mail address, sealed. It is nowhere else.
    StoreEmail {
        /// The campaign.
        campaign: CampaignId,
        /// The conversation.
        origin: Origin,
        /// The address.
        email: Email,
    },
    /// Cancels a message that was not sent yet. If it is cancelled, that is told as
    /// [`Event::NotSent`].
    Cancel {
        /// The campaign.
        campaign: CampaignId,
        /// The message.
        key: StepKey,
    },
    /// Cancels everything of all campaigns that waits for this person; told as [`Event::NotSent`],
    /// each.
    CancelAll,
}

/// A message of a conversation, to be sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSend {
    /// The campaign, whose [`Then::messages`](super::Then::messages) has the texts.
    pub campaign: CampaignId,
    /// What may happen only once.
    pub key: StepKey,
    /// What its buttons carry.
    pub payload: Payload,
    /// The keyword that began the conversation, if the campaign still has it.
    pub keyword: Option<String>,
    /// Its lane and action.
    pub class: Class,
    /// Not before this instant; `None` where it may go at once.
    pub not_before: Option<Timestamp>,
    /// Not after this instant: a while before the window closes.
    pub deadline: Timestamp,
    /// What of its end is to be told.
    pub report: Report,
}

/// What of a send's end is to be told to the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// That it was not sent. Nothing waits for anything else, so it costs no write that it was.
    Failure,
    /// Also that it was sent: something follows.
    End,
}

/// What has become of an event, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The conversation went on.
    Moved,
    /// It was noted.
    Noted,
    /// The message begins with the account's disclosure.
    Disclosing,
    /// It was known, or its step was done before: nothing follows.
    Known,
    /// No conversation waits for it.
    NobodyWaits,
    /// A conversation waits, and this is not one of its answers.
    NotAnAnswer,
    /// The person does not follow, and was asked often enough.
    NotFollowing,
    /// Meta did not tell whether the person follows, and the campaign then sends nothing.
    FollowUnknown,
    /// The window has closed.
    WindowClosed,
    /// The person has asked to be left alone.
    Stopped,
    /// The person has asked to be written to again.
    Restarted,
    /// A human has taken over.
    TakenOver,
    /// The campaign is paused.
    CampaignPaused,
    /// The campaign has ended, and the person was not in the middle of it.
    CampaignOver,
    /// There is no such campaign, or nothing follows its opening.
    CampaignGone,
    /// The conversation is too old to be known.
    TooOld,
    /// Too many messages or reads for one conversation.
    TooMany,
    /// Another tool's button was tapped.
    NotOurs,
    /// A button was tapped that a newer version has made.
    UnknownVersion,
}

impl Outcome {
    /// The word for it, in counts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Noted => "noted",
            Self::Disclosing => "disclosing",
            Self::Known => "known",
            Self::NobodyWaits => "nobody_waits",
            Self::NotAnAnswer => "not_an_answer",
            Self::NotFollowing => "not_following",
            Self::FollowUnknown => "follow_unknown",
            Self::WindowClosed => "window_closed",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::TakenOver => "taken_over",
            Self::CampaignPaused => "campaign_paused",
            Self::CampaignOver => "campaign_over",
            Self::CampaignGone => "campaign_gone",
            Self::TooOld => "too_old",
            Self::TooMany => "too_many",
            Self::NotOurs => "not_ours",
            Self::UnknownVersion => "unknown_version",
        }
    }

    /// Whether a message may start a campaign. One that a conversation has used does not, and neither
    /// does one of a person who is left alone. A tap never starts anything.
    pub const fn leaves_message_to_triggers(self) -> bool {
        matches!(
            self,
            Self::NobodyWaits
                | Self::NotAnAnswer
                | Self::CampaignPaused
                | Self::CampaignOver
                | Self::CampaignGone
        )
    }
}
