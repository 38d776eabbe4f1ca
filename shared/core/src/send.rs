//! The life of a send: one DM to be made, from the comment that asked for it to its end.
//!
//! While it waits it is a [`PendingSend`]; every step raises its epoch, and a step is taken only on
//! the epoch it was decided on. So of two that would act on one send, one does.
//!
//! A send is born queued or parked. There is no state "pending": the stage is written with the
//! send, and a crash before its message is sent looks like a lost message, which has to be
//! repaired anyway.
//!
//! The epoch is also the version. One comparison covers the state, the lease and the duplicate
//! check. A send that is put off takes a step too: otherwise each copy of its message that SQS
//! makes would come back as two.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::campaign::{Overflow, Trigger};
use crate::conversation;
use crate::id::{CampaignId, CommentId, MediaId, OnceKey, RecipientId, SendId};
use crate::quota::Action;
use crate::seed::seed;
use crate::time::Timestamp;
use crate::unknown::UnknownAttempt;

/// The order of sends within an account, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Answers to comments on a running broadcast, which are worthless once it has ended.
    Live,
    /// Answers to comments, story replies and keywords in DMs: somebody is waiting for them.
    Inbound,
    /// Further messages in a conversation that the person has opened.
    FollowUp,
    /// Messages that nobody asked for just now.
    Outbound,
    /// Public replies to comments whose DM has ended. They take what the other lanes leave.
    Public,
}

impl Lane {
    /// Every lane, first to last.
    pub const ALL: [Self; 5] =
        [Self::Live, Self::Inbound, Self::FollowUp, Self::Outbound, Self::Public];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Inbound => "inbound",
            Self::FollowUp => "follow_up",
            Self::Outbound => "outbound",
            Self::Public => "public",
        }
    }

    /// Whether its sends are DMs that keep the pace: neither a broadcast's, which would be
    /// worthless later, nor public replies.
    pub fn is_paced(self) -> bool {
        !matches!(self, Self::Live | Self::Public)
    }

    /// Returns the rank, 0 for the first lane.
    pub const fn rank(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the pace sees of a send: its place in the order, and the call that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Its lane.
    pub lane: Lane,
    /// What its call is charged to.
    pub action: Action,
}

impl Class {
    /// Answers to comments on a running broadcast.
    pub const LIVE_REPLY: Self = Self { lane: Lane::Live, action: Action::LiveReply };
    /// Answers to comments on posts and Reels.
    pub const PRIVATE_REPLY: Self = Self { lane: Lane::Inbound, action: Action::PrivateReply };
    /// Answers to what a person has written in a conversation: a story reply, a keyword in a DM.
    pub const ANSWER: Self = Self { lane: Lane::Inbound, action: Action::Message };
    /// Further messages in a conversation.
    pub const FOLLOW_UP: Self = Self { lane: Lane::FollowUp, action: Action::Message };
    /// Messages that nobody asked for just now.
    pub const OUTBOUND: Self = Self { lane: Lane::Outbound, action: Action::Message };
    /// Public replies to comments.
    pub const PUBLIC_REPLY: Self = Self { lane: Lane::Public, action: Action::PublicReply };

    /// Every class, by lane.
    pub const ALL: [Self; 6] = [
        Self::LIVE_REPLY,
        Self::PRIVATE_REPLY,
        Self::ANSWER,
        Self::FOLLOW_UP,
        Self::OUTBOUND,
        Self::PUBLIC_REPLY,
    ];

    /// Whether it makes a public reply, and no DM.
    pub fn is_public(self) -> bool {
        self.action == Action::PublicReply
    }

    /// What its sends answer, as far as the call tells: one to a person answers a message.
    pub const fn trigger(self) -> Trigger {
        match self.action {
            Action::LiveReply => Trigger::LiveComment,
            Action::Message => Trigger::Message,
            _ => Trigger::Comment,
        }
    }

    /// Whether a send of this class that has to wait keeps one of `other` waiting. A public reply
    /// takes what no DM could use, so none waits for a DM.
    pub(crate) fn keeps_waiting(self, other: Self) -> bool {
        match (self.lane, other.lane) {
            (Lane::Live, Lane::Live) | (Lane::Public, Lane::Public) => true,
            (Lane::Live | Lane::Public, _) | (_, Lane::Live | Lane::Public) => false,
            (own, behind) => own < behind || own == behind && self.action == other.action,
        }
    }

    /// Returns the class of a send of `lane` whose stored form names no action. Until forms named
    /// it, each lane had one; forms still leave it out where it is that one.
    pub const fn unnamed(lane: Lane) -> Self {
        match lane {
            Lane::Live => Self::LIVE_REPLY,
            Lane::Inbound => Self::PRIVATE_REPLY,
            Lane::FollowUp => Self::FOLLOW_UP,
            Lane::Outbound => Self::OUTBOUND,
            Lane::Public => Self::PUBLIC_REPLY,
        }
    }

    /// Returns the action as stored forms name it: `None` where they leave it out.
    pub fn named_action(self) -> Option<Action> {
        (self != Self::unnamed(self.lane)).then_some(self.action)
    }

    /// Returns the class of a send whose stored form has this lane and perhaps an action.
    pub fn from_stored(lane: Lane, action: Option<Action>) -> Self {
        action.map_or(Self::unnamed(lane), |action| Self { lane, action })
    }
}

/// A step of a campaign: which of its messages a send makes. A version that does not know a step
/// cannot read the send, and leaves it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CampaignStep {
    /// The first message.
    #[default]
    Opening,
    /// The public reply after a landed DM.
    PublicReply,
    /// The public reply after a DM that could not be made.
    PublicFallback,
    /// A message of the conversation that is not chosen yet: that follows from whether the person
    /// follows the account, which is read first.
    Gate,
    /// A message of the conversation.
    Then(conversation::Step),
}

const PUBLIC_REPLY: &str = "public_reply";
const PUBLIC_FALLBACK: &str = "public_fallback";
const GATE: &str = "gate";

impl CampaignStep {
    /// Whether stored forms leave it out.
    pub fn is_opening(&self) -> bool {
        matches!(self, Self::Opening)
    }

    /// Whether it is a message of a conversation that an opening has begun.
    pub fn is_later(self) -> bool {
        matches!(self, Self::Gate | Self::Then(_))
    }

    /// Reads what [`Display`](fmt::Display) has written.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            PUBLIC_REPLY => Some(Self::PublicReply),
            PUBLIC_FALLBACK => Some(Self::PublicFallback),
            GATE => Some(Self::Gate),
            _ => conversation::Step::parse(word).map(Self::of),
        }
    }

    /// The step of a conversation's message.
    pub const fn of(step: conversation::Step) -> Self {
        match step {
            conversation::Step::Opening => Self::Opening,
            later => Self::Then(later),
        }
    }
}

/// The word for it, the same in stores, JSON and text.
impl fmt::Display for CampaignStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => conversation::Step::Opening.fmt(f),
            Self::PublicReply => f.write_str(PUBLIC_REPLY),
            Self::PublicFallback => f.write_str(PUBLIC_FALLBACK),
            Self::Gate => f.write_str(GATE),
            Self::Then(step) => step.fmt(f),
        }
    }
}

impl Serialize for CampaignStep {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CampaignStep {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| serde::de::Error::custom("no step of a campaign"))
    }
}

/// Which message of which conversation a send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Turn {
    /// The conversation.
    pub origin: conversation::Origin,
    /// Which of the conversation's messages it is, counted from 1; of a gate, which read; 0 of an
    /// outbound run's opening.
    pub nth: u8,
    /// When the conversation began, to the minute.
    pub begun_at: Timestamp,
}

/// What a send says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Content {
    /// Whose message.
    pub campaign: CampaignId,
    /// Its place in the campaign's order.
    #[serde(default, skip_serializing_if = "CampaignStep::is_opening")]
    pub step: CampaignStep,
}

impl Content {
    /// The first message of a campaign.
    pub fn opening(campaign: impl Into<CampaignId>) -> Self {
        Self { campaign: campaign.into(), step: CampaignStep::Opening }
    }
}

/// A comment can be answered within 7 days of its creation (Meta, private replies, 30 June 2026);
/// an hour is kept back for the last retries.
pub const REPLY_WINDOW: Duration = Duration::from_secs((7 * 24 - 1) * 3600);

/// A live comment can be answered only during the broadcast. Nothing announces its end, so it is
/// assumed to last ten minutes beyond its last comment.
pub const LIVE_REPLY_WINDOW: Duration = Duration::from_secs(600);

/// How long what a person has sent may be answered: Meta's standard messaging window of 24 hours,
/// less what the clocks of Meta and of this process may differ by, and a call may take.
pub const ANSWER_WINDOW: Duration = Duration::from_secs(24 * 3600 - 300);

/// How long a public reply after a landed DM may wait. Later it would answer nobody.
pub const PUBLIC_REPLY_WINDOW: Duration = Duration::from_secs(3600);

/// How long a public reply in the place of a DM may wait.
pub const PUBLIC_FALLBACK_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Failures after which a send is given up that Meta refused only for now. With [`PendingSend::backoff`] this is an outage of three and a half days at least. No other
/// send is given up before its deadline.
pub const FAILURES_MAX: u32 = 420;

/// The recipient of a DM, as the call names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// The author of this comment, by a private reply.
    Comment {
        /// The comment.
        id: CommentId,
        /// Its author, as the webhook named them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author: Option<RecipientId>,
    },
    /// A person, by a message in an open conversation.
    Person(RecipientId),
}

impl Address {
    /// Returns the person, if known.
    pub fn recipient(&self) -> Option<&RecipientId> {
        match self {
            Self::Comment { author, .. } => author.as_ref(),
            Self::Person(recipient) => Some(recipient),
        }
    }

    /// Returns the comment that is answered, if one is.
    pub fn comment(&self) -> Option<&CommentId> {
        match self {
            Self::Comment { id, .. } => Some(id),
            Self::Person(_) => None,
        }
    }
}

/// A send that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSend {
    /// The send.
    pub id: SendId,
    /// Its place in the order, and the call that it makes.
    pub class: Class,
    /// What it says.
    pub content: Content,
    /// Whom it goes to.
    pub to: Address,
    /// Which of the campaign's sends go first if not all can go in time.
    pub order: Overflow,
    /// The media under which the comment was written.
    pub media: Option<MediaId>,
    /// The person's name, to greet them by.
    pub username: Option<String>,
    /// The keyword that matched.
    pub keyword: Option<String>,
    /// Its place in a conversation; `None` for what begins one, but for an outbound run's opening,
    /// whose origin no comment or message names.
    pub turn: Option<Turn>,
    /// The instant when it was matched.
    pub matched_at: Timestamp,
    /// No attempt before this instant; `None` where it may go at once.
    pub not_before: Option<Timestamp>,
    /// No attempt after this instant.
    pub deadline: Timestamp,
    /// Its stage.
    pub stage: Stage,
    /// The version, raised by every step.
    pub epoch: u32,
    /// Claims so far: the number of the attempt under way.
    pub attempt: u32,
    /// Attempts that failed without effect, and were refused only for now. Throttling never counts.
    pub failures: u32,
    /// Whether an earlier attempt may have reached the person.
    pub earlier: Earlier,
    /// Repeats that were allowed after an attempt whose outcome is unknown: by evidence that it did
    /// not arrive, or by hand.
    pub repeats: u32,
    /// When the comment was made, once Meta has been asked. If Meta did not say, when it was
    /// matched: Meta is asked only once.
    pub made_at: Option<Timestamp>,
    /// The person's newest comment that asks for the same DM.
    pub stand_in: Option<StandIn>,
    /// Whether Meta was asked who wrote the comment, since nobody had said so, and they may have
    /// this DM.
    pub is_cleared: bool,
}

/// A later comment of a person whose send still waits. It takes the place of the first one if that
/// is gone before its call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandIn {
    /// The comment.
    pub comment: CommentId,
    /// Until when it can be answered.
    pub deadline: Timestamp,
}

/// The stage of a waiting send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Without a slot; the release function will give it one.
    Parked,
    /// On the queue, or about to be put there, for this instant.
    Queued {
        /// Its slot.
        due: Timestamp,
    },
    /// Claimed; its call may be under way.
    Sending {
        /// After this instant nobody works on it, and it is unknown whether it was sent.
        lease_until: Timestamp,
    },
    /// Perhaps sent. It waits for its echo, or for evidence that it did not arrive.
    Unknown(UnknownAttempt),
}

impl Stage {
    /// Returns the slot, if there is one.
    pub const fn slot(self) -> Option<Timestamp> {
        match self {
            Self::Queued { due } => Some(due),
            Self::Parked | Self::Sending { .. } | Self::Unknown(_) => None,
        }
    }
}

/// What is known about earlier attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Earlier {
    /// No attempt reached the person.
    #[default]
    NotSent,
    /// One may have reached the person. If Meta refuses another private reply to the comment, the
    /// first one arrived.
    Unknown,
}

/// A step of a waiting send. Each raises the epoch by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An attempt begins; nobody else may act before `lease_until`.
    Claim {
        /// The end of the claiming invocation.
        lease_until: Timestamp,
    },
    /// Meta was asked for the age of the comment; the attempt continues.
    Dated {
        /// See [`PendingSend::made_at`].
        made_at: Timestamp,
        /// The end of the claiming invocation, as before.
        lease_until: Timestamp,
    },
    /// Moves to the queue or is parked. The attempt, if there was one, had no effect.
    To(Stage),
    /// The attempt failed, and nothing was sent.
    Failed(Stage),
    /// It is unknown whether the attempt reached the person. Earlier versions repeated it; it is
    /// kept for what they have written.
    Lost(Stage),
    /// The comment is gone, and the [`StandIn`] takes its place.
    Replaced(Stage),
    /// The comment's author has been asked for, and may have this DM. Nothing was sent.
    Cleared(Stage),
    /// The person's profile was read, and the message is chosen; the attempt continues.
    Chosen {
        /// The message.
        step: conversation::Step,
        /// Its number in the conversation.
        nth: u8,
        /// The end of the claiming invocation, as before.
        lease_until: Timestamp,
    },
    /// It is unknown whether the attempt reached the person: it waits for evidence.
    Unknown(UnknownAttempt),
    /// It was looked for: the next time is `look_at`.
    Looked {
        /// See [`UnknownAttempt::look_at`].
        look_at: Timestamp,
        /// See [`UnknownAttempt::absent_at`]; `None` leaves it as it is.
        absent_at: Option<Timestamp>,
    },
    /// It did not reach the person, and is repeated.
    Repeated(Stage),
}

impl PendingSend {
    /// A send that was just matched: without a slot, and with nothing known but this. It goes in
    /// the order of its age, and may go at once.
    pub fn new(
        id: SendId,
        class: Class,
        content: Content,
        to: Address,
        matched_at: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            id,
            class,
            content,
            to,
            order: Overflow::OldestFirst,
            media: None,
            username: None,
            keyword: None,
            turn: None,
            matched_at,
            not_before: None,
            deadline,
            stage: Stage::Parked,
            epoch: 0,
            attempt: 0,
            failures: 0,
            earlier: Earlier::NotSent,
            repeats: 0,
            made_at: None,
            stand_in: None,
            is_cleared: false,
        }
    }

    /// Returns the public reply that follows the end of this send at `now`, without a slot; `None`
    /// if the send answers no comment.
    pub fn public_reply(&self, step: CampaignStep, now: Timestamp) -> Option<Self> {
        let Address::Comment { id: comment, .. } = &self.to else { return None };
        let window = match step {
            CampaignStep::PublicFallback => PUBLIC_FALLBACK_WINDOW,
            _ => PUBLIC_REPLY_WINDOW,
        };
        let key = OnceKey::public_reply(comment);
        let id = SendId { account: self.id.account.clone(), key };
        let content = Content { campaign: self.content.campaign.clone(), step };
        let to = self.to.clone();
        Some(Self {
            // Of more than there is room for, the oldest would be too late at their slots.
            order: Overflow::NewestFirst,
            media: self.media.clone(),
            username: self.username.clone(),
            keyword: self.keyword.clone(),
            ..Self::new(id, Class::PUBLIC_REPLY, content, to, now, now + window)
        })
    }

    /// What it answers, as far as that is stored: of what people do in conversations, a story reply is
    /// told from the rest by its story.
    pub fn trigger(&self) -> Trigger {
        match (&self.to, &self.media) {
            (Address::Person(_), Some(_)) => Trigger::StoryReply,
            _ => self.class.trigger(),
        }
    }

    /// Returns the send after `step`.
    #[must_use]
    pub fn after(&self, step: Step) -> Self {
        let mut next = self.clone();
        next.epoch += 1;
        match step {
            Step::Claim { lease_until } => {
                next.attempt += 1;
                next.stage = Stage::Sending { lease_until };
            }
            Step::Dated { made_at, lease_until } => {
                next.made_at = Some(made_at);
                next.stage = Stage::Sending { lease_until };
            }
            Step::To(stage) => next.stage = stage,
            Step::Failed(stage) => {
                next.failures += 1;
                next.stage = stage;
            }
            Step::Lost(stage) => {
                next.failures += 1;
                next.earlier = Earlier::Unknown;
                next.stage = stage;
            }
            Step::Replaced(stage) => {
                next.stage = stage;
                next.replace();
            }
            Step::Cleared(stage) => {
                next.stage = stage;
                next.is_cleared = true;
            }
            Step::Chosen { step, nth, lease_until } => {
                next.choose(step, nth);
                next.stage = Stage::Sending { lease_until };
            }
            Step::Unknown(attempt) => {
                next.earlier = Earlier::Unknown;
                next.stage = Stage::Unknown(attempt);
            }
            Step::Looked { look_at, absent_at } => {
                if let Stage::Unknown(attempt) = &mut next.stage {
                    attempt.look_at = look_at;
                    attempt.absent_at = absent_at.or(attempt.absent_at);
                }
            }
            Step::Repeated(stage) => {
                next.repeats += 1;
                next.stage = stage;
            }
        }
        next
    }

    /// Replaces the comment by the stand-in, if there is one.
    fn replace(&mut self) {
        let Some(StandIn { comment, deadline }) = self.stand_in.take() else { return };
        if let Address::Comment { id, .. } = &mut self.to {
            *id = comment;
        }
        self.deadline = self.deadline.max(deadline);
        self.made_at = None;
    }

    /// Takes a message of the conversation in the place of the gate.
    pub fn choose(&mut self, step: conversation::Step, nth: u8) {
        self.content.step = CampaignStep::of(step);
        if let Some(turn) = &mut self.turn {
            turn.nth = nth;
        }
    }

    /// The conversation that it belongs to, or begins once it is sent. A comment or message names one
    /// that it begins.
    pub fn origin(&self) -> conversation::Origin {
        match (&self.turn, &self.to) {
            (Some(turn), _) => turn.origin,
            (None, Address::Comment { id, .. }) => conversation::Origin::new(id.as_str()),
            (None, Address::Person(_)) => conversation::Origin::new(self.id.key.as_str()),
        }
    }

    /// Whether an outbound run sends it: only while the person's window is known to be open.
    pub fn is_of_run(&self) -> bool {
        self.content.step.is_opening() && self.turn.is_some()
    }

    /// Whether a call for it may be made: not again after an attempt whose outcome is unknown,
    /// unless a repeat was allowed.
    pub fn may_be_called(&self) -> bool {
        self.earlier == Earlier::NotSent || self.repeats > 0
    }

    /// Returns the wait after the latest failure: 30 s, doubling up to 12 minutes, of which the
    /// send's seed spreads a quarter. It never exceeds the queue's longest delay of 15 minutes.
    pub fn backoff(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(10);
        let wait = Duration::from_secs(30 << doublings).min(Duration::from_secs(720));
        let draw = seed(&[self.id.account.as_str(), self.id.key.as_str()]) % 1000;
        wait + wait.mul_f64(draw as f64 / 4000.0)
    }
}

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Delivered.
    Sent {
        /// The person's id, for follow-ups. Unknown where the answer was lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipient: Option<RecipientId>,
        /// Meta's message id, which comes back in the echo.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Which of the campaign's texts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<u8>,
    },
    /// Meta refused it for good, or it failed too often.
    Failed {
        /// Why.
        reason: FailReason,
    },
    /// Its time ran out.
    Expired,
    /// It is not wanted any more.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
}

impl Outcome {
    /// Returns the outcome without the ids of the person and of the message, or `None` if it has
    /// neither.
    pub fn without_person(&self) -> Option<Self> {
        match self {
            Self::Sent { recipient: None, message: None, .. }
            | Self::Failed { .. }
            | Self::Expired
            | Self::Cancelled { .. } => None,
            Self::Sent { variant, .. } => {
                Some(Self::Sent { recipient: None, message: None, variant: *variant })
            }
        }
    }

    /// The name of the state, as reports have it. A send whose outcome stayed unknown is stored as
    /// failed, so that the previous version reads it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Failed { reason: FailReason::Unknown } => "unknown",
            _ => self.state(),
        }
    }

    /// The state's name, as stores have it.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Failed { .. } => "failed",
            Self::Expired => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// Why a send that has ended, or waits, is not brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRetry {
    /// It waits anyway.
    #[error("it still waits: there is nothing to retry")]
    Waiting,
    /// The person has it.
    #[error("it was sent: a second DM would be one too many")]
    Sent,
    /// It did not fail.
    #[error("it was cancelled: only failed sends are retried")]
    Cancelled,
    /// Its time is over.
    #[error("its deadline has passed: Meta takes no answer to this comment any more")]
    Late,
    /// The window of the conversation is over.
    #[error("it answers a message, and Meta takes an answer for 24 hours alone")]
    Closed,
    /// Nothing keeps a second message to a person from arriving.
    #[error(
        "it may have arrived, and Meta refuses no second message to a person as it refuses a second \
         private reply to a comment"
    )]
    Message,
    /// Whom it is for is not stored any more.
    #[error("the person's id is not kept after its end")]
    Nobody,
    /// Its person is not to be written to.
    #[error("its person was forgotten")]
    Forgotten,
    /// Nothing keeps a second reply from being made.
    #[error("it is a public reply: Meta takes a second one below the comment")]
    PublicReply,
    /// Meta's answer is final.
    #[error("Meta refuses a private reply to this comment for good: it has one, or is too old")]
    Refused,
    /// What is stored does not tell when its time is over.
    #[error("its place cannot be read")]
    OutboxKey,
}

impl Outcome {
    /// Whether a send with this action that ended like this may be tried again at `now`, and what
    /// is then to be believed of earlier attempts. Meta refuses a second private reply to a comment,
    /// so whatever is known of the first, no second DM arrives. A message to a person may be tried
    /// again only if none was sent for sure.
    ///
    /// # Errors
    /// Says why not.
    pub fn retry(
        &self,
        action: Action,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Result<Earlier, NoRetry> {
        let reason = match self {
            Self::Failed { reason } => *reason,
            Self::Sent { .. } => return Err(NoRetry::Sent),
            Self::Expired => return Err(NoRetry::Late),
            Self::Cancelled { .. } => return Err(NoRetry::Cancelled),
        };
        if action == Action::PublicReply {
            return Err(NoRetry::PublicReply);
        }
        if !action.is_private_reply() {
            return match reason {
                _ if deadline <= now => Err(NoRetry::Closed),
                FailReason::WindowClosed => Err(NoRetry::Closed),
                FailReason::NoAnswer | FailReason::Unknown => Err(NoRetry::Message),
                FailReason::ReplyRefused
                | FailReason::CommentGone
                | FailReason::Recipient
                | FailReason::ThreadOwner
                | FailReason::BadRequest
                | FailReason::Refused => Ok(Earlier::NotSent),
            };
        }
        match reason {
            FailReason::ReplyRefused => Err(NoRetry::Refused),
            _ if deadline <= now => Err(NoRetry::Late),
            FailReason::WindowClosed => Err(NoRetry::Late),
            FailReason::NoAnswer | FailReason::Unknown => Ok(Earlier::Unknown),
            // Meta's words for it are also those for an account that the token does not see.
            FailReason::CommentGone
            | FailReason::Recipient
            | FailReason::ThreadOwner
            | FailReason::BadRequest
            | FailReason::Refused => Ok(Earlier::NotSent),
        }
    }
}

/// Why a send failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// Meta refuses a private reply to this comment (100/2534025).
    ReplyRefused,
    /// The comment is gone.
    CommentGone,
    /// The person cannot be reached.
    Recipient,
    /// The conversation's window is closed.
    WindowClosed,
    /// Another app owns the conversation.
    ThreadOwner,
    /// Meta does not accept the request.
    BadRequest,
    /// Meta refuses this send alone, in words that would mean its whole account.
    Refused,
    /// The DM may have been made, and nothing has shown until its deadline whether it was.
    Unknown,
    /// Meta refused it for now, [`FAILURES_MAX`] times. Earlier versions said so after answers that
    /// were lost, too.
    NoAnswer,
}

impl FailReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::ReplyRefused,
        Self::CommentGone,
        Self::Recipient,
        Self::WindowClosed,
        Self::ThreadOwner,
        Self::BadRequest,
        Self::Refused,
        Self::Unknown,
        Self::NoAnswer,
    ];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReplyRefused => "reply_refused",
            Self::CommentGone => "comment_gone",
            Self::Recipient => "recipient",
            Self::WindowClosed => "window_closed",
            Self::ThreadOwner => "thread_owner",
            Self::BadRequest => "bad_request",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// Why a send was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Its account is not connected any more.
    AccountRemoved,
    /// Its campaign is gone.
    CampaignRemoved,
    /// By hand.
    Operator,
    /// Its person has, or waits for, all that the campaign gives them.
    Repeat,
    /// Its person has asked to be left alone.
    Stopped,
    /// A human writes to its person.
    TakenOver,
    /// What its person has done meanwhile makes it pointless.
    Overtaken,
    /// Its person does not follow the account, or Meta does not tell.
    NotFollowing,
}

impl CancelReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::AccountRemoved,
        Self::CampaignRemoved,
        Self::Operator,
        Self::Repeat,
        Self::Stopped,
        Self::TakenOver,
        Self::Overtaken,
        Self::NotFollowing,
    ];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountRemoved => "account_removed",
            Self::CampaignRemoved => "campaign_removed",
            Self::Operator => "operator",
            Self::Repeat => "repeat",
            Self::Stopped => "stopped",
            Self::TakenOver => "taken_over",
            Self::Overtaken => "overtaken",
            Self::NotFollowing => "not_following",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> PendingSend {
        PendingSend::new(
            SendId { account: "a".into(), key: "c".into() },
            Class::PRIVATE_REPLY,
            Content::opening("guide"),
            Address::Comment { id: "c".into(), author: None },
            Timestamp::EPOCH,
            Timestamp::NEVER,
        )
    }

    #[test]
    fn every_step_raises_the_epoch_and_only_claims_are_attempts() {
        let due = Stage::Queued { due: Timestamp::EPOCH };
        let lease_until = Timestamp::from_secs(30);
        let send = waiting().after(Step::To(due)).after(Step::Claim { lease_until });
        assert_eq!((send.epoch, send.attempt, send.failures), (2, 1, 0));
        assert_eq!(send.stage, Stage::Sending { lease_until });
        let dated = send.after(Step::Dated { made_at: Timestamp::EPOCH, lease_until });
        assert_eq!((dated.epoch, dated.attempt, dated.stage), (3, 1, send.stage));
        let throttled = send.after(Step::To(Stage::Parked));
        assert_eq!((throttled.epoch, throttled.failures), (3, 0));
        let lost = send.after(Step::Lost(Stage::Parked)).after(Step::Failed(due));
        assert_eq!((lost.failures, lost.earlier), (2, Earlier::Unknown));
    }

    #[test]
    fn what_may_have_arrived_is_called_again_only_after_a_repeat_was_allowed() {
        let attempt = UnknownAttempt::new(Timestamp::from_secs(60));
        let lease_until = Timestamp::from_secs(30);
        let claimed = waiting().after(Step::Claim { lease_until });
        assert!(claimed.may_be_called());
        let unknown = claimed.after(Step::Unknown(attempt));
        assert_eq!((unknown.stage, unknown.failures), (Stage::Unknown(attempt), 0));
        assert!(!unknown.may_be_called());
        let (look_at, absent_at) = (Timestamp::from_secs(900), Some(Timestamp::from_secs(300)));
        let looked = unknown.after(Step::Looked { look_at, absent_at });
        let looked = looked.after(Step::Looked { look_at, absent_at: None });
        assert_eq!(looked.stage, Stage::Unknown(UnknownAttempt { look_at, absent_at, ..attempt }));
        let repeated = looked.after(Step::Repeated(Stage::Parked));
        assert_eq!((repeated.repeats, repeated.earlier), (1, Earlier::Unknown));
        assert!(repeated.may_be_called());
        assert!(!waiting().after(Step::Lost(Stage::Parked)).may_be_called(), "of earlier versions");
    }

    #[test]
    fn what_stayed_unknown_is_stored_as_failed() {
        let unknown = Outcome::Failed { reason: FailReason::Unknown };
        assert_eq!((unknown.name(), unknown.state()), ("unknown", "failed"));
        assert_eq!(Outcome::Expired.name(), "expired");
    }

    #[test]
    fn reasons_have_the_names_that_are_stored() {
        for reason in FailReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn waits_grow_and_fit_the_queues_longest_delay() {
        let mut send = waiting();
        send.failures = 1;
        assert!((30..=38).contains(&send.backoff().as_secs()));
        send.failures = 40;
        assert!((720..=900).contains(&send.backoff().as_secs()));
    }

    #[test]
    fn no_outage_of_sixty_hours_ends_a_send() {
        let mut send = waiting();
        let mut lasted = Duration::ZERO;
        for failures in 1..FAILURES_MAX {
            send.failures = failures;
            lasted += send.backoff();
        }
        assert!(lasted > Duration::from_secs(60 * 3600), "{lasted:?}");
        assert!(lasted < REPLY_WINDOW, "{lasted:?}");
    }

    #[test]
    fn a_failed_send_may_be_tried_again_where_no_second_dm_can_come_of_it() {
        let (now, late) =
            (Timestamp::from_secs(1_790_000_000), Timestamp::from_secs(1_790_000_001));
        let failed = |reason| Outcome::Failed { reason };
        let of = |outcome: Outcome| outcome.retry(Action::PrivateReply, late, now);
        let sent = Outcome::Sent { recipient: None, message: None, variant: None };
        let cancelled = Outcome::Cancelled { reason: CancelReason::Operator };
        assert_eq!(of(sent), Err(NoRetry::Sent));
        assert_eq!(of(Outcome::Expired), Err(NoRetry::Late));
        assert_eq!(of(cancelled), Err(NoRetry::Cancelled));
        assert_eq!(of(failed(FailReason::ReplyRefused)), Err(NoRetry::Refused));
        assert_eq!(of(failed(FailReason::WindowClosed)), Err(NoRetry::Late));
        assert_eq!(of(failed(FailReason::NoAnswer)), Ok(Earlier::Unknown));
        assert_eq!(of(failed(FailReason::Unknown)), Ok(Earlier::Unknown));
        let not_sent = [
            FailReason::CommentGone,
            FailReason::Recipient,
            FailReason::ThreadOwner,
            FailReason::BadRequest,
            FailReason::Refused,
        ];
        for reason in not_sent {
            assert_eq!(of(failed(reason)), Ok(Earlier::NotSent));
            let of = |action, deadline| failed(reason).retry(action, deadline, now);
            assert_eq!(of(Action::LiveReply, late), Ok(Earlier::NotSent));
            assert_eq!(of(Action::PrivateReply, now), Err(NoRetry::Late));
            assert_eq!(of(Action::Message, late), Ok(Earlier::NotSent));
            assert_eq!(of(Action::Message, now), Err(NoRetry::Closed));
            assert_eq!(of(Action::PublicReply, late), Err(NoRetry::PublicReply));
        }
        for (reason, expected) in [
            (FailReason::NoAnswer, NoRetry::Message),
            (FailReason::Unknown, NoRetry::Message),
            (FailReason::WindowClosed, NoRetry::Closed),
        ] {
            assert_eq!(failed(reason).retry(Action::Message, late, now), Err(expected));
        }
    }

    #[test]
    fn a_stored_class_names_its_action_only_where_its_lane_does_not_tell() {
        for class in Class::ALL {
            let action = class.named_action();
            assert_eq!(action.is_some(), class == Class::ANSWER);
            assert_eq!(Class::from_stored(class.lane, action), class);
        }
    }

    #[test]
    fn steps_are_stored_by_their_names() {
        let later = CampaignStep::Then(conversation::Step::Deliver(1));
        let steps = [CampaignStep::PublicReply, CampaignStep::PublicFallback, CampaignStep::Gate];
        for step in steps.into_iter().chain([later, CampaignStep::Opening]) {
            let stored = serde_json::to_value(step).unwrap();
            assert_eq!(stored.as_str(), Some(&*step.to_string()));
            assert_eq!(serde_json::from_value::<CampaignStep>(stored).unwrap(), step);
        }
        assert!(serde_json::from_str::<CampaignStep>("\"a_later_one\"").is_err());
    }

    #[test]
    fn lanes_stand_in_their_order() {
        for lane in Lane::ALL {
            assert_eq!(serde_json::to_value(lane).unwrap(), lane.as_str());
        }
        let reasons = [
            CancelReason::AccountRemoved,
            CancelReason::CampaignRemoved,
            CancelReason::Operator,
            CancelReason::Repeat,
            CancelReason::Stopped,
            CancelReason::TakenOver,
            CancelReason::Overtaken,
            CancelReason::NotFollowing,
        ];
        for reason in reasons {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert!(Lane::ALL.windows(2).all(|pair| pair[0].rank() < pair[1].rank()));
    }
}
