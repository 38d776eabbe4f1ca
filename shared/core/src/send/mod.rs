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

mod class;
mod content;
mod outcome;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::campaign::{Overflow, Trigger};
use crate::conversation;
use crate::id::{CommentId, MediaId, OnceKey, RecipientId, SendId};
use crate::seed::seed;
use crate::time::Timestamp;
use crate::unknown::UnknownAttempt;

pub use self::class::{Class, Lane};
pub use self::content::{CampaignStep, Content, Turn};
pub use self::outcome::{CancelReason, FailReason, NoRetry, Outcome};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Action;

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
