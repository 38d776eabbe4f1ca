//! One turn of a person's conversation: the machine decides, and what follows is written with its next
//! state.

use spillway_core::conversation::{
    self, Context, Effect, Event, Outcome as Became, State, StepKey, StepSend, Transition, gate_key,
};
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::seed::seed;
use spillway_core::send::{
    Address, CampaignStep, CancelReason, Class, Content, Outcome, PendingSend, Stage, Step, Turn,
};
use spillway_core::time::Timestamp;
use tracing::warn;

use super::Converse;
use crate::account::Account;
use crate::leads::Given;
use crate::metrics::Metric;
use crate::outbox_key::OutboxKey;
use crate::placing::Placed;
use crate::port::{
    Cause, EndGuard, Entry, NEW_SENDS_MAX, NewSend, Read, StoreError, StoredConversation,
    TurnedOver, Turnover,
};
use crate::send_task::SendTask;
use crate::versioned::Races;

const TURN_OVER: &str = "write a conversation";

/// The send of which an event tells.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) task: &'a SendTask,
    pub(super) cause: Cause<'a>,
    pub(super) note: StepNote<'a>,
    /// A send that follows from its end, whatever the conversation.
    pub(super) follower: Option<&'a NewSend>,
}

/// What became of an event.
pub(super) enum Turned {
    /// What follows is written.
    Over(Transition),
    /// Nothing follows, and nothing is written.
    Idle(Transition),
    /// Nothing is: its send has moved on.
    MovedOn,
}

impl Converse {
    /// Takes one event, and writes what follows. Of a person of whom nothing is kept only what
    /// matters later is, unless `is_kept`.
    pub(super) async fn turn(
        &self,
        account: &Account,
        person: &RecipientId,
        mut kept: StoredConversation,
        event: &Event,
        is_kept: bool,
        told: Option<Told<'_>>,
    ) -> Result<Turned, StoreError> {
        let settings = account.conversations.ready();
        let mut races = Races::new(TURN_OVER);
        loop {
            races.enter()?;
            let now = self.clock.now();
            let seed = seed(&[account.id.as_str(), person.as_str()]);
            let context = Context { campaigns: &account.campaigns, settings, now, seed };
            let transition = conversation::step(&kept.state, event, &context);
            let is_idle = matches!(
                transition.outcome,
                Became::NobodyWaits
                    | Became::Known
                    | Became::NotOurs
                    | Became::UnknownVersion
                    | Became::CampaignGone
                    | Became::CampaignPaused
                    | Became::CampaignOver
                    | Became::TooOld
            );
            let is_nothing = transition.state == kept.state
                || kept.version == 0 && is_idle && transition.effects.is_empty() && !is_kept;
            if is_nothing {
                return Ok(Turned::Idle(transition));
            }
            let written =
                self.write(account, person, (&kept, &transition), told.as_ref(), now).await?;
            match written {
                TurnedOver::Done => {
                    self.cancel(account, person, &kept.state, &transition.effects, now).await;
                    return Ok(Turned::Over(transition));
                }
                TurnedOver::MovedOn => return Ok(Turned::MovedOn),
                TurnedOver::Conflict => {
                    kept = self.conversations.load(&account.id, person, Read::Consistent).await?;
                }
            }
        }
    }

    async fn write(
        &self,
        account: &Account,
        person: &RecipientId,
        (kept, transition): (&StoredConversation, &Transition),
        told: Option<&Told<'_>>,
        now: Timestamp,
    ) -> Result<TurnedOver, StoreError> {
        let is_gate = matches!(told, Some(Told { cause: Cause::Step(_), .. }));
        let chosen = is_gate.then(|| first_send(&transition.effects)).flatten();
        let not_following = cancelled(CancelReason::NotFollowing);
        let cause = told.map(|told| {
            let cause = match (told.cause, chosen) {
                (Cause::Step(Step::Chosen { lease_until, .. }), Some(StepSend { key, .. })) => {
                    Cause::Step(Step::Chosen { step: key.step, nth: key.attempt, lease_until })
                }
                (Cause::Step(_), _) => Cause::End(&not_following, EndGuard::AnyEpoch),
                (end, _) => end,
            };
            (told.task, cause, told.note)
        });
        let mut sends: Vec<PendingSend> = Vec::new();
        for effect in &transition.effects {
            match effect {
                Effect::Send(send) if chosen.is_some_and(|chosen| chosen.key == send.key) => {}
                Effect::Send(send) => sends.push(step_send(&account.id, person, send, now)),
                Effect::ReadFollow { .. } => {
                    sends.extend(gate(account, person, effect, &transition.state, now));
                }
                Effect::StoreEmail { .. } | Effect::Cancel { .. } | Effect::CancelAll => {}
            }
        }
        sends.truncate(NEW_SENDS_MAX);
        self.keep_emails(account, person, &transition.effects, now).await?;
        let (mut new, mut are_left) = (Vec::new(), false);
        if !sends.is_empty() {
            if !self.check.is_trusted() {
                let detail = "this process's clock is off";
                return Err(StoreError::unavailable(TURN_OVER, detail));
            }
            self.placing.mark(&account.id, now).await?;
            for class in [Class::ANSWER, Class::FOLLOW_UP] {
                let of_class: Vec<PendingSend> =
                    sends.iter().filter(|send| send.class == class).cloned().collect();
                if of_class.is_empty() {
                    continue;
                }
                let Placed { sends, are_left: of_class_are, .. } =
                    self.placing.place(account, class, of_class, now).await?;
                are_left |= of_class_are;
                let placed = |(outbox_key, send): (OutboxKey, PendingSend)| NewSend {
                    outbox_key,
                    send,
                    answered: None,
                };
                new.extend(sends.into_iter().map(placed));
            }
        }
        let follower = told.and_then(|told| told.follower);
        let all: Vec<NewSend> = new.iter().chain(follower).cloned().collect();
        let turnover = Turnover {
            account: &account.id,
            person,
            version: kept.version,
            next: &transition.state,
            new: &all,
            cause,
        };
        let turned = self.conversations.turn_over(turnover).await?;
        if turned == TurnedOver::Done {
            self.placing.enqueue(new.iter().map(|new| (&new.outbox_key, &new.send)), now).await;
            self.meter.count(Metric::Matched, new.len());
            if are_left {
                self.placing.ask_release(&account.id, now).await;
            }
        }
        Ok(turned)
    }

    /// Keeps the addresses that the person has given, before it is written down that they have.
    async fn keep_emails(
        &self,
        account: &Account,
        person: &RecipientId,
        effects: &[Effect],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for effect in effects {
            let Effect::StoreEmail { campaign, origin, email } = effect else { continue };
            let given = Given {
                campaign: campaign.clone(),
                origin: *origin,
                person: person.clone(),
                email: email.clone(),
                at: now,
            };
            self.leads.collect(account, &given).await?;
        }
        Ok(())
    }

    /// Cancels follow-ups that are not to come. One that is left would be asked about before its
    /// call.
    async fn cancel(
        &self,
        account: &Account,
        person: &RecipientId,
        before: &State,
        effects: &[Effect],
        now: Timestamp,
    ) {
        let mut keys: Vec<StepKey> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Cancel { key, .. } => keys.push(*key),
                Effect::CancelAll => {
                    keys.extend(before.follow_ups().into_iter().map(|(_, key)| key));
                }
                _ => {}
            }
        }
        let id = |key: &StepKey| SendId { account: account.id.clone(), key: key.once_key(person) };
        let ids: Vec<SendId> = keys.iter().map(id).collect();
        if ids.is_empty() {
            return;
        }
        let found = match self.sends.entries(&ids, Read::Consistent).await {
            Ok(found) => found,
            Err(error) => return warn!(account = %account.id, %error, "follow-ups not cancelled"),
        };
        let outcome = cancelled(CancelReason::Overtaken);
        for entry in found {
            let Entry::Waiting(outbox_key, send) = entry else { continue };
            // A message that may be on its way ends with what its sender, or its echo, tells.
            if matches!(send.stage, Stage::Sending { .. } | Stage::Unknown(_)) {
                continue;
            }
            let task = SendTask::new(&send, outbox_key);
            match self.sends.finish_unclaimed(&task, &outcome, now).await {
                Ok(true) => self.meter.ended(send.class, &outcome),
                Ok(false) => {}
                Err(error) => warn!(send = %send.id, %error, "not cancelled"),
            }
        }
    }
}

pub(super) fn cancelled(reason: CancelReason) -> Outcome {
    Outcome::Cancelled { reason }
}

/// The message that takes the place of a gate: the first one that answers.
pub(super) fn first_send(effects: &[Effect]) -> Option<&StepSend> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(send) if send.class == Class::ANSWER => Some(send),
        _ => None,
    })
}

fn step_send(
    account: &AccountId,
    person: &RecipientId,
    send: &StepSend,
    now: Timestamp,
) -> PendingSend {
    let StepSend { campaign, key, payload, keyword, class, not_before, deadline, .. } = send;
    let id = SendId { account: account.clone(), key: key.once_key(person) };
    let content = Content { campaign: campaign.clone(), step: CampaignStep::of(key.step) };
    let turn = Turn { origin: key.origin, nth: key.attempt, begun_at: payload.begun_at() };
    let to = Address::Person(person.clone());
    PendingSend {
        keyword: keyword.clone(),
        turn: Some(turn),
        not_before: *not_before,
        ..PendingSend::new(id, *class, content, to, now, *deadline)
    }
}

/// The send whose message is chosen when the person's profile was read.
fn gate(
    account: &Account,
    person: &RecipientId,
    effect: &Effect,
    state: &State,
    now: Timestamp,
) -> Option<PendingSend> {
    let Effect::ReadFollow { campaign, origin, nth } = effect else { return None };
    let begun_at = state.begun_at(campaign, *origin)?;
    let id = SendId { account: account.id.clone(), key: gate_key(person, *origin, *nth) };
    let content = Content { campaign: campaign.clone(), step: CampaignStep::Gate };
    let to = Address::Person(person.clone());
    let found = account.campaigns.get(campaign)?;
    Some(PendingSend {
        keyword: state.keyword(found, *origin).map(str::to_owned),
        turn: Some(Turn { origin: *origin, nth: *nth, begun_at }),
        ..PendingSend::new(id, Class::ANSWER, content, to, now, state.closes_at()?)
    })
}
