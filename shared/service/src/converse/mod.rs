//! Converse: what follows an opening, with one person. What they write and tap, and what becomes of
//! the messages to them, is told to the machine of `core/conversation`. Its next state and the sends that
//! follow are written together, on the state's version: so a crash between any two steps repeats
//! nothing and loses nothing.
//!
//! A message is asked about right before its call, whether or not it was cancelled. So what has not
//! begun when a STOP is written is not sent.

mod turn;

use std::sync::Arc;

use futures::future::BoxFuture;
use spillway_core::conversation::{
    self, BegunBy, Event, Follows, Origin, Outcome as Became, Payload, StepKey, StepSend,
    Transition, Unwanted,
};
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, CampaignId, OnceKey, RecipientId, SendId};
use spillway_core::once::Nth;
use spillway_core::seed::seed;
use spillway_core::send::{
    ANSWER_WINDOW, CampaignStep, CancelReason, Class, Earlier, FailReason, Outcome, PendingSend,
    Step, Turn,
};
use spillway_core::time::Timestamp;
use tracing::{debug, info, warn};

use self::turn::{Told, Turned, cancelled, first_send};
use crate::account::Account;
use crate::clock::{Clock, ClockCheck};
use crate::leads::LeadCollector;
use crate::metrics::{Meter, Metric};
use crate::placing::Placing;
use crate::port::{
    Cause, Clicked, Conversations, EndGuard, Entry, NewSend, Person, Read, Sends, StoreError,
    StoredConversation,
};
use crate::send_task::SendTask;

/// Keeps conversations going.
pub struct Converse {
    /// What is kept of them.
    pub conversations: Arc<dyn Conversations>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Gives slots.
    pub placing: Arc<Placing>,
    /// Keeps the e-mail addresses that people give.
    pub leads: LeadCollector,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// Counts what becomes of events.
    pub meter: Arc<Meter>,
}

/// What a conversation makes of something that a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is a conversation's.
    Used,
    /// A campaign may begin with it.
    Free,
    /// It is for a campaign that is not known, which may be a new one; or else as [`Self::Free`].
    Unknown,
    /// Nothing may follow from it: the person has asked to be left alone, or a human writes to them.
    Muted,
}

/// How a send ends.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    /// Its outcome.
    pub(crate) outcome: &'a Outcome,
    /// What is recorded with it.
    pub(crate) note: StepNote<'a>,
    /// Where it must be.
    pub(crate) guard: EndGuard,
    /// When its call began, if there was one.
    pub(crate) called_at: Timestamp,
}

/// What is to be sent in the place of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The send, which says this message now.
    Message(Box<PendingSend>),
    /// None: the send has ended.
    Ended,
    /// None: the conversation has moved on without the send, which has not ended.
    Overtaken,
    /// The send has moved on.
    MovedOn,
}

impl Converse {
    /// Tells a conversation what a person has done. Without a conversation that waits it costs one
    /// eventual read; and a consistent one where one may have just begun.
    ///
    /// # Errors
    /// Fails if the store does not answer. Telling it again is right.
    pub(crate) fn hear<'a>(
        &'a self,
        account: &'a Account,
        person: &'a RecipientId,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<Heard, StoreError>> {
        Box::pin(async move {
            let mut kept = self.conversations.load(&account.id, person, Read::Eventual).await?;
            let mut may_wait = true;
            if kept.version == 0 {
                let is_ours = |payload: &str| Payload::decode(payload).is_ok();
                let is_tap = matches!(event, Event::Tap { payload, .. } if is_ours(payload));
                may_wait = is_tap || account.campaigns.have_conversations();
                if may_wait {
                    kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
                }
            }
            let is_under_way = kept.version == 0
                && may_wait
                && matches!(event, Event::Message { .. })
                && self.is_opening_under_way(&account.id, person).await?;
            let turned = self.turn(account, person, kept, event, is_under_way, None).await?;
            let (Turned::Over(transition) | Turned::Idle(transition)) = turned else {
                return Ok(Heard::Used);
            };
            let Transition { state, outcome, .. } = transition;
            debug!(account = %account.id, event = event.name(), outcome = outcome.name(), "heard");
            self.meter.count_by(Metric::Conversations, outcome.name());
            Ok(match (event, outcome) {
                (_, Became::Stopped | Became::Restarted | Became::TakenOver) => Heard::Muted,
                (_, Became::CampaignGone) => Heard::Unknown,
                (Event::Message { id, .. }, _) if !state.has_used(id) => Heard::Free,
                _ => Heard::Used,
            })
        })
    }

    /// Whether an opening to a person is being made, or may have arrived. Its answer may be told before
    /// its end is written.
    async fn is_opening_under_way(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<bool, StoreError> {
        let is_made = |entry: &Entry| matches!(entry, Entry::Waiting(_, send) if send.attempt > 0);
        let people = std::slice::from_ref(person);
        let found = self.sends.look_up(account, &[], people, Read::Consistent).await?;
        let Some(Person { answered, first }) = found.people.get(person) else { return Ok(false) };
        if is_made(first) {
            return Ok(true);
        }
        let later: Vec<SendId> = answered
            .sends()
            .filter_map(|nth| match nth {
                Nth::Later(nth) => Some(OnceKey::person_again(person, nth)),
                // What is kept under a comment's id is not found by its person.
                Nth::First | Nth::Comment => None,
            })
            .map(|key| SendId { account: account.clone(), key })
            .collect();
        let found = self.sends.entries(&later, Read::Consistent).await?;
        Ok(found.iter().any(is_made))
    }

    /// Whether a send may be made now, as far as its person is concerned. What begins a conversation
    /// is asked about by an eventual read.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub(crate) async fn wants(
        &self,
        account: &AccountId,
        send: &PendingSend,
        now: Timestamp,
    ) -> Result<Result<(), Unwanted>, StoreError> {
        let Some(person) = send.to.recipient() else { return Ok(Ok(())) };
        let campaign = &send.content.campaign;
        let read = if send.turn.is_some() { Read::Consistent } else { Read::Eventual };
        let StoredConversation { state, .. } =
            self.conversations.load(account, person, read).await?;
        Ok(match (send.content.step, send.turn) {
            (CampaignStep::Then(step), Some(turn)) => {
                state.wants(campaign, key_of(step, turn), now)
            }
            (CampaignStep::Gate, Some(turn)) => state.may_begin(now).and_then(|()| {
                state.reading(campaign, turn.origin).map(drop).ok_or(Unwanted::Overtaken)
            }),
            _ if send.is_of_run() => state.may_reach_out(now).map(drop),
            _ => state.may_begin(now),
        })
    }

    /// Chooses what is sent in the place of a claimed gate, now that it is known whether the person
    /// follows.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub(crate) async fn choose(
        &self,
        account: &Account,
        (task, send): (&SendTask, &PendingSend),
        follows: Follows,
        lease_until: Timestamp,
    ) -> Result<Chosen, StoreError> {
        let (Some(person), Some(turn)) = (send.to.recipient(), send.turn) else {
            return Ok(Chosen::Overtaken);
        };
        let campaign = &send.content.campaign;
        let kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
        let Some(nth) = kept.state.reading(campaign, turn.origin) else {
            return Ok(Chosen::Overtaken);
        };
        let (campaign, origin) = (campaign.clone(), turn.origin);
        let event = Event::FollowRead { campaign, origin, nth, follows };
        let note = StepNote::from(self.clock.now());
        // The cause is filled in once it is known what follows.
        let chosen =
            Cause::Step(Step::Chosen { step: conversation::Step::FollowAsk, nth: 0, lease_until });
        let told = Told { task, cause: chosen, note, follower: None };
        let turned = self.turn(account, person, kept, &event, false, Some(told)).await?;
        let Turned::Over(Transition { effects, outcome, .. }) = turned else {
            return Ok(Chosen::MovedOn);
        };
        self.meter.count_by(Metric::Conversations, outcome.name());
        Ok(match first_send(&effects) {
            Some(StepSend { key, .. }) => {
                let step = Step::Chosen { step: key.step, nth: key.attempt, lease_until };
                Chosen::Message(Box::new(send.after(step)))
            }
            None => {
                self.meter.ended(send.class, &cancelled(CancelReason::NotFollowing));
                Chosen::Ended
            }
        })
    }

    /// Ends a send, and does what follows in its conversation. Returns whether it did. `None` if its
    /// end concerns no conversation, and was not written.
    ///
    /// # Errors
    /// Fails if the store does not answer. The send may have ended all the same.
    pub(crate) async fn end(
        &self,
        account: &Account,
        (task, send): (&SendTask, &PendingSend),
        end: End<'_>,
        follower: Option<&NewSend>,
    ) -> Result<Option<bool>, StoreError> {
        let Some((person, event)) = told_of(account, send, &end) else { return Ok(None) };
        let kept = self.conversations.load(&account.id, &person, Read::Consistent).await?;
        let End { outcome, note, guard, .. } = end;
        let told = Told { task, cause: Cause::End(outcome, guard), note, follower };
        let turned = self.turn(account, &person, kept, &event, false, Some(told)).await?;
        Ok(match turned {
            Turned::Over(transition) => {
                self.meter.count_by(Metric::Conversations, transition.outcome.name());
                Some(true)
            }
            Turned::Idle(_) => None,
            Turned::MovedOn => Some(false),
        })
    }

    /// Whether a send that is about to be called begins with the account's disclosure, which then counts
    /// as given. It does if it is not known whom the call reaches.
    ///
    /// # Errors
    /// Fails if the store does not answer. Asking again is right.
    pub(crate) async fn discloses(
        &self,
        account: &Account,
        send: &PendingSend,
    ) -> Result<bool, StoreError> {
        if account.conversations.disclosure.is_none() || send.class.is_public() {
            return Ok(false);
        }
        let Some(person) = send.to.recipient() else { return Ok(true) };
        let kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
        let event = Event::Calling { send: send_hash(send) };
        Ok(match self.turn(account, person, kept, &event, false, None).await? {
            Turned::Over(transition) | Turned::Idle(transition) => {
                transition.outcome == Became::Disclosing
            }
            Turned::MovedOn => false,
        })
    }

    /// Notes that a call whose message began with the disclosure did not reach its person. If that is
    /// not written, the disclosure counts as given.
    pub(crate) async fn not_disclosed(&self, account: &Account, send: &PendingSend) {
        let Some(person) = send.to.recipient() else { return };
        let noted = async {
            let kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
            let event = Event::NotArrived { send: send_hash(send) };
            self.turn(account, person, kept, &event, false, None).await.map(drop)
        };
        if let Err(error) = noted.await {
            warn!(send = %send.id, %error, "a disclosure counts as given that was not");
        }
    }

    /// Whether a message to a person is one of the account's latest sends: Meta calls it `message`.
    /// Those of an operator's run are not among them.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub(crate) async fn has_sent(
        &self,
        account: &Account,
        person: &RecipientId,
        message: &str,
    ) -> Result<bool, StoreError> {
        let kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
        let then = |campaign: &CampaignId| account.campaigns.get(campaign)?.then.as_ref();
        let mut keys = kept.state.latest_keys(person, then);
        let people = std::slice::from_ref(person);
        let found = self.sends.look_up(&account.id, &[], people, Read::Consistent).await?;
        if let Some(Person { answered, .. }) = found.people.get(person) {
            keys.extend(answered.sends().filter_map(|nth| match nth {
                Nth::First => Some(OnceKey::person(person)),
                Nth::Later(nth) => Some(OnceKey::person_again(person, nth)),
                Nth::Comment => None,
            }));
        }
        if keys.is_empty() {
            return Ok(false);
        }
        let id = |key| SendId { account: account.id.clone(), key };
        let sends: Vec<SendId> = keys.into_iter().map(id).collect();
        self.sends.sent_as(&sends, message).await
    }

    /// Notes that a human has written in the account's name. Returns until when nothing else does, if
    /// they have taken the thread over just now.
    ///
    /// # Errors
    /// Fails if the store does not answer. Telling it again is right.
    pub(crate) async fn human_wrote(
        &self,
        account: &Account,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let kept = self.conversations.load(&account.id, person, Read::Eventual).await?;
        let was_taken_over = kept.state.taken_over_until(self.clock.now()).is_some();
        let event = Event::HumanWrote { at };
        let turned = self.turn(account, person, kept, &event, false, None).await?;
        let Turned::Over(Transition { outcome: Became::TakenOver, state, .. }) = turned else {
            return Ok(None);
        };
        if was_taken_over {
            return Ok(None);
        }
        info!(account = %account.id, "a human writes to a person: nothing else does");
        self.meter.count_by(Metric::Conversations, Became::TakenOver.name());
        Ok(state.taken_over_until(self.clock.now()))
    }

    /// Tells a conversation that its person has opened a link of it. Returns its campaign, and whether
    /// it was the first one; `None` if the conversation is not kept.
    ///
    /// # Errors
    /// Fails if the store does not answer. Telling it again is right.
    pub(crate) async fn clicked(
        &self,
        account: &Account,
        person: &RecipientId,
        origin: Origin,
    ) -> Result<Option<(CampaignId, Clicked)>, StoreError> {
        let kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
        let Some(campaign) = kept.state.campaign_of(origin).cloned() else { return Ok(None) };
        let event = Event::Clicked { campaign: campaign.clone(), origin };
        Ok(match self.turn(account, person, kept, &event, false, None).await? {
            Turned::Over(Transition { outcome: Became::Noted, .. }) => {
                self.meter.count_by(Metric::Conversations, Became::Noted.name());
                Some((campaign, Clicked::Counted))
            }
            Turned::Over(_) | Turned::Idle(_) | Turned::MovedOn => Some((campaign, Clicked::Known)),
        })
    }
}

fn send_hash(send: &PendingSend) -> u64 {
    seed(&["send", send.id.key.as_str()])
}

fn key_of(step: conversation::Step, turn: Turn) -> StepKey {
    StepKey { origin: turn.origin, step, attempt: turn.nth }
}

/// What the buttons of a send carry.
pub(crate) fn payload(send: &PendingSend) -> String {
    let (CampaignStep::Then(step), Some(turn)) = (send.content.step, send.turn) else {
        return String::new();
    };
    let payload = Payload::new(&send.content.campaign, key_of(step, turn), turn.begun_at);
    payload.map(|payload| payload.encode()).unwrap_or_default()
}

/// What the end of a send tells its conversation, and whose that is; `None` if nothing follows
/// from it.
fn told_of(account: &Account, send: &PendingSend, end: &End<'_>) -> Option<(RecipientId, Event)> {
    let campaign = send.content.campaign.clone();
    let then = account.campaigns.get(&campaign)?.then.as_ref()?;
    let End { outcome, called_at, .. } = *end;
    match (send.content.step, send.turn, outcome) {
        (CampaignStep::Opening, _, Outcome::Sent { recipient, .. }) => {
            let person = recipient.as_ref().or(send.to.recipient())?.clone();
            let begun_by = match send.class {
                Class::ANSWER => BegunBy::Message(send.deadline - ANSWER_WINDOW),
                _ => BegunBy::Comment,
            };
            let (origin, keyword) = (send.origin(), send.keyword.clone());
            let event = Event::OpeningSent { campaign, origin, begun_by, keyword, at: called_at };
            Some((person, event))
        }
        (CampaignStep::Then(step), Some(turn), outcome) => {
            let person = send.to.recipient()?.clone();
            let key = key_of(step, turn);
            let is_followed = match step {
                conversation::Step::Deliver(nth) => {
                    usize::from(nth) + 1 < then.deliver.len() || !then.follow_up.is_empty()
                }
                _ => false,
            };
            let event = match outcome {
                Outcome::Sent { .. } if is_followed => {
                    let is_repeated = send.earlier == Earlier::Unknown;
                    let seen_from = if is_repeated { send.matched_at } else { called_at };
                    Event::Sent { campaign, key, at: called_at, seen_from }
                }
                Outcome::Sent { .. } | Outcome::Failed { reason: FailReason::Unknown } => {
                    return None;
                }
                // An earlier attempt may have arrived.
                _ if send.earlier == Earlier::Unknown => return None,
                Outcome::Failed { .. } | Outcome::Expired | Outcome::Cancelled { .. } => {
                    Event::NotSent { campaign, key }
                }
            };
            Some((person, event))
        }
        _ => None,
    }
}
