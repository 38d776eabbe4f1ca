//! Sends as operators see them, with what happened to each. Nobody's name and comment is shown.

use serde::Serialize;
use spillway_core::campaign::{Campaign, Trigger};
use spillway_core::id::{CampaignId, CommentId, RecipientId};
use spillway_core::message::Values;
use spillway_core::quota::Action;
use spillway_core::send::{
    CampaignStep, Class, Earlier, FailReason, Lane, Outcome, PendingSend, Stage,
};
use spillway_core::time::Timestamp;

use super::instant::{instant, optional};
use super::refusal::RefusalView;
use super::sends::{State, Stored};
use super::talk::TalkView;
use super::wait::Wait;

/// A send. What is not known of it, or not any more, is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct SendView {
    /// Its id: account/key. The key of a send that counts by comment is the comment's id. One that
    /// names a person who was forgotten is shown as a hash.
    pub send: String,
    /// The comment that it answers, if it answers one.
    pub comment: Option<CommentId>,
    /// parked, queued, sending or unknown while it waits, else how it ended, perhaps as unknown.
    pub state: &'static str,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its lane.
    pub lane: Lane,
    /// The call that it makes.
    pub action: Action,
    /// What it answers: `comment`, `live_comment`, `story_reply` or `message`, which is also a mention,
    /// a tap or a referral. `None` if nobody has just asked for it.
    pub answers: Option<&'static str>,
    /// The instant when its comment was matched.
    #[serde(serialize_with = "instant")]
    pub matched_at: Timestamp,
    /// The first instant at which it may be sent, if it may not go at once.
    #[serde(serialize_with = "optional")]
    pub not_before: Option<Timestamp>,
    /// The last instant at which it may be sent.
    #[serde(serialize_with = "optional")]
    pub deadline: Option<Timestamp>,
    /// The slot of a queued send.
    #[serde(serialize_with = "optional")]
    pub slot: Option<Timestamp>,
    /// Until when a claimed one may be under way.
    #[serde(serialize_with = "optional")]
    pub lease_until: Option<Timestamp>,
    /// Steps so far.
    pub epoch: u32,
    /// Claims so far.
    pub attempts: u32,
    /// Attempts that failed without a clear answer.
    pub failures: u32,
    /// Whether an earlier attempt may have arrived.
    pub maybe_sent: Option<bool>,
    /// The instant when it ended.
    #[serde(serialize_with = "optional")]
    pub ended_at: Option<Timestamp>,
    /// Why it failed or was cancelled.
    pub cause: Option<&'static str>,
    /// The person whom it is for, or whom it has reached.
    pub recipient: Option<RecipientId>,
    /// Meta's id of the message.
    pub message_id: Option<String>,
    /// Which of the campaign's texts it has, counted from 1.
    pub variant: Option<u32>,
}

/// A send with all that happened to it.
#[derive(Clone, Debug, Serialize)]
pub struct SendHistory {
    /// The send.
    #[serde(flatten)]
    pub send: SendView,
    /// Its text as the campaign says it now, with the names of its placeholders in their places:
    /// no text is stored. `None` if the variant is not known, or the campaign has it no more.
    pub text: Option<String>,
    /// What it waits for, and when it will probably go, while it waits.
    pub waits: Option<Wait>,
    /// The conversation that it belongs to, where one is kept.
    pub conversation: Option<TalkView>,
    /// Meta's last refusal of it, which a later attempt may have overcome.
    pub last_refusal: Option<RefusalView>,
    /// What happened, in order. Of many steps the last ones are kept.
    pub history: Vec<Happened>,
}

/// Something that happened to a send.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// When.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
}

impl From<&PendingSend> for SendView {
    fn from(send: &PendingSend) -> Self {
        let (state, slot, lease_until) = match send.stage {
            Stage::Parked => ("parked", None, None),
            Stage::Queued { due } => ("queued", Some(due), None),
            Stage::Sending { lease_until } => ("sending", None, Some(lease_until)),
            Stage::Unknown(_) => ("unknown", None, None),
        };
        Self {
            send: send.id.to_string(),
            comment: send.to.comment().cloned(),
            state,
            campaign: send.content.campaign.clone(),
            lane: send.class.lane,
            action: send.class.action,
            answers: answers(send.class, send.trigger()),
            matched_at: send.matched_at,
            not_before: send.not_before,
            deadline: Some(send.deadline),
            slot,
            lease_until,
            epoch: send.epoch,
            attempts: send.attempt,
            failures: send.failures,
            maybe_sent: Some(send.earlier == Earlier::Unknown),
            ended_at: None,
            cause: None,
            recipient: send.to.recipient().cloned(),
            message_id: None,
            variant: None,
        }
    }
}

impl From<&Stored> for SendView {
    fn from(stored: &Stored) -> Self {
        let (outcome, ended_at) = match &stored.state {
            State::Waiting(send) => {
                let answers = answers(stored.class, stored.trigger);
                return Self { answers, ..Self::from(&**send) };
            }
            State::Ended { outcome, at } => (outcome, *at),
        };
        let (message_id, variant) = match outcome {
            Outcome::Sent { message, variant, .. } => {
                (message.clone(), variant.map(|variant| u32::from(variant) + 1))
            }
            _ => (None, None),
        };
        Self {
            send: stored.shown_id().to_string(),
            comment: stored.comment.clone(),
            state: outcome.name(),
            campaign: stored.content.campaign.clone(),
            lane: stored.class.lane,
            action: stored.class.action,
            answers: answers(stored.class, stored.trigger),
            matched_at: stored.matched_at,
            not_before: None,
            deadline: stored.outbox_key.parts().map(|(_, _, deadline)| deadline),
            slot: None,
            lease_until: None,
            epoch: stored.epoch,
            attempts: stored.attempts,
            failures: stored.failures,
            maybe_sent: None,
            ended_at: Some(ended_at),
            cause: cause(outcome),
            recipient: stored.recipient(),
            message_id,
            variant,
        }
    }
}

impl From<&Stored> for SendHistory {
    fn from(stored: &Stored) -> Self {
        let happened = |at, what| Happened { at, what };
        let mut history = vec![happened(stored.matched_at, "matched".to_owned())];
        let first = stored.steps.first().map_or(1, |step| step.epoch);
        if first > 1 {
            let lost = match first - 1 {
                1 => "a step that is not kept".to_owned(),
                steps => format!("{steps} steps that are not kept"),
            };
            history.push(happened(stored.matched_at, lost));
        }
        for step in &stored.steps {
            history.extend(step.slot.map(|slot| happened(slot, "its slot".to_owned())));
            history.push(happened(step.at, step.what.to_string()));
        }
        if let State::Ended { outcome, at } = &stored.state {
            let cause = cause(outcome).map(|cause| format!(": {cause}")).unwrap_or_default();
            history.push(happened(*at, format!("{}{cause}", outcome.name())));
        }
        let last_refusal = stored.last_refusal.as_ref().map(RefusalView::from);
        Self {
            send: SendView::from(stored),
            text: None,
            waits: None,
            conversation: None,
            last_refusal,
            history,
        }
    }
}

impl SendHistory {
    /// Adds the text that its campaign has for it now.
    #[must_use]
    pub fn with_text(self, campaign: Option<&Campaign>, step: CampaignStep) -> Self {
        let drafts = campaign.map(|campaign| campaign.drafts(step)).unwrap_or_default();
        let nth = match (self.send.variant, &drafts[..]) {
            (Some(variant), _) => usize::try_from(variant).ok().and_then(|nth| nth.checked_sub(1)),
            // It can have no other.
            (None, [_]) => Some(0),
            (None, _) => None,
        };
        let draft = nth.and_then(|nth| drafts.get(nth));
        // No webhook of a message tells a name: what goes out has the fallback.
        let is_named = self.send.action != Action::Message;
        let values = Values { username: NAMES.username.filter(|_| is_named), ..NAMES };
        let text = draft.map(|draft| draft.fill(values, "").text().to_owned());
        Self { text, ..self }
    }
}

/// The placeholders in their own places: what was sent there is not kept.
const NAMES: Values<'_> = Values {
    username: Some("{username}"),
    keyword: Some("{keyword}"),
    first_name: None,
    tracking: None,
};

/// What a send answers, in a word.
fn answers(class: Class, trigger: Trigger) -> Option<&'static str> {
    let is_asked_for = !matches!(class.lane, Lane::FollowUp | Lane::Outbound);
    is_asked_for.then(|| trigger.as_str())
}

/// Why it failed or was cancelled, as the stores have it.
fn cause(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Failed { reason: FailReason::Unknown } => None,
        Outcome::Failed { reason } => Some(reason.as_str()),
        Outcome::Cancelled { reason } => Some(reason.as_str()),
        Outcome::Sent { .. } | Outcome::Expired => None,
    }
}
