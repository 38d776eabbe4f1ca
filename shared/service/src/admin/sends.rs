//! What operators do to sends that wait or have ended: look at them, cancel them, bring them back.
//!
//! A retried send gets a new outbox key, and is listed before its entry is written on the condition
//! of how it ended. So every old message is void. A message to a person is retried only if it was
//! not sent for sure: Meta refuses a second answer to a comment, and no second message.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use spillway_core::campaign::Trigger;
use spillway_core::history::PastStep;
use spillway_core::id::{AccountId, CampaignId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::meta_error::LastRefusal;
use spillway_core::once::{ANSWER_KEPT, ANSWERS_MAX, Nth};
use spillway_core::send::{
    Address, CancelReason, Class, Content, Earlier, NoRetry, Outcome, PendingSend, Stage,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp};

use crate::clock::{Clock, ClockCheck};
use crate::grant::GrantIds;
use crate::outbox_batch::OutboxBatch;
use crate::outbox_key::OutboxKey;
use crate::port::{
    Backlogs, Conversations, Entry, Leads, Misses, Read, Sends, StoreError, TurnedOver, Turnover,
};
use crate::send_task::SendTask;
use crate::versioned::Races;

/// A stored send: its entry, and the send itself while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The send.
    pub id: SendId,
    /// The comment that it answers, if it answers one.
    pub comment: Option<CommentId>,
    /// Its lane, and the call that it makes.
    pub class: Class,
    /// What it says.
    pub content: Content,
    /// What it answers, as far as that is stored.
    pub trigger: Trigger,
    /// The instant when it was matched.
    pub matched_at: Timestamp,
    /// Its outbox key, while it waits or when it ended.
    pub outbox_key: OutboxKey,
    /// Steps so far.
    pub epoch: u32,
    /// Claims so far.
    pub attempts: u32,
    /// Attempts that failed without a clear answer.
    pub failures: u32,
    /// The last of its steps, in order.
    pub steps: Vec<PastStep>,
    /// Meta's last refusal of it.
    pub last_refusal: Option<LastRefusal>,
    /// Whether its person was forgotten.
    pub is_forgotten: bool,
    /// Its state.
    pub state: State,
}

impl Stored {
    /// The id that people see: its own, unless that has the id of a person who was forgotten.
    pub fn shown_id(&self) -> SendId {
        let SendId { account, key } = self.id.clone();
        if self.is_forgotten && key.names_person() {
            SendId { account, key: key.nameless(self.outbox_key.as_str()) }
        } else {
            SendId { account, key }
        }
    }

    /// The person whom it is for or has reached, as far as that is known.
    pub fn recipient(&self) -> Option<RecipientId> {
        if self.is_forgotten {
            return None;
        }
        let known = match &self.state {
            State::Waiting(send) => send.to.recipient().cloned(),
            State::Ended { outcome: Outcome::Sent { recipient, .. }, .. } => recipient.clone(),
            State::Ended { .. } => None,
        };
        known.or_else(|| self.id.key.of_person())
    }
}

/// The state of a stored send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Waiting(Box<PendingSend>),
    /// It has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

impl State {
    /// The state's name, as the stores have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Ended { outcome, .. } => outcome.state(),
        }
    }
}

impl State {
    /// The state's name, as people are shown it.
    pub fn shown(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Ended { outcome, .. } => outcome.name(),
        }
    }
}

/// A part of the stored sends.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Those of the account among the entries looked at.
    pub sends: Vec<Stored>,
    /// How many entries were looked at.
    pub looked_at: usize,
    /// Where to go on, if there is more.
    pub next: Option<String>,
}

/// Stored sends as operators see them.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// One send, consistently read; `None` where it was never recorded.
    async fn find(&self, send: &SendId) -> Result<Option<Stored>, StoreError>;

    /// Entries of an account's sends that have ended, consistently read, so that a DM of a moment
    /// ago is among them. There is no index by account, which would cost a write unit a DM: each
    /// part is one of the whole table.
    async fn ended(&self, account: &AccountId, after: Option<&str>) -> Result<Part, StoreError>;

    /// Lets a send wait again at `outbox_key`, where a batch lists it, that ended as `old` says;
    /// `false` where it did not any more.
    async fn reopen(
        &self,
        old: &Stored,
        outbox_key: &OutboxKey,
        send: &PendingSend,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Leaves a tombstone of an ended send, by which a repeated delivery is known and nobody is,
    /// takes the person out of the entry, and lets that go within the hour. `false` where it did
    /// not end like this any more.
    async fn write_tombstone(&self, old: &Stored, now: Timestamp) -> Result<bool, StoreError>;

    /// Leaves a tombstone of a person for eight days, by which what they wrote before is known and
    /// nobody is.
    async fn write_person_tombstone(
        &self,
        account: &AccountId,
        person: &RecipientId,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Forgets where the unit of a person is counted: they count as new the next time.
    async fn forget_unit(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<(), StoreError>;
}

/// What became of an order to cancel a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent.
    Done,
    /// Its call may be under way until this instant.
    Claimed(Timestamp),
    /// It moved on or ended meanwhile.
    MovedOn,
}

/// What was forgotten of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// What waited for them.
    pub waiting: CancelledAll,
    /// Entries of DMs to them that name them no more.
    pub entries: usize,
    /// Samples of comments that matched nothing, which are deleted.
    pub samples: usize,
    /// E-mail addresses that were deleted.
    pub leads: usize,
    /// What conversations with them had come to, which is deleted.
    pub conversations: usize,
}

/// How many were cancelled, and how many were not because a call of theirs may be under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CancelledAll {
    /// Cancelled.
    #[serde(rename = "cancelled")]
    pub done: usize,
    /// Left alone, because a call is under way or the send changed in between.
    pub left: usize,
}

/// Why a person gets no DM for what a campaign would answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMore {
    /// They have, or wait for, all that the campaign gives them.
    Repeat(CampaignId),
    /// They have as many DMs of the account as are remembered.
    TooMany,
}

impl fmt::Display for NoMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeat(campaign) => write!(
                f,
                "the person has, or waits for, all that campaign {campaign} gives them (`once_per`, \
                 `once_for`)"
            ),
            Self::TooMany => {
                let days = ANSWER_KEPT.as_secs() / (24 * 3600);
                write!(
                    f,
                    "the person has had {ANSWERS_MAX} DMs of this account within {days} days, and gets \
                     no more until then"
                )
            }
        }
    }
}

/// Why a send is not brought back.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// It never can be.
    #[error(transparent)]
    Never(#[from] NoRetry),
    /// It was never recorded.
    #[error("no such send is stored")]
    Unknown,
    /// Somebody was first.
    #[error("it was changed meanwhile: look again")]
    MovedOn,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of an order to retry a send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetriedView {
    /// The send: account/key.
    pub send: String,
    /// Whether it waits again.
    pub retried: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Works on sends for operators.
pub struct SendAdmin {
    /// Sends that wait.
    pub sends: Arc<dyn Sends>,
    /// All sends that are still known, ended ones too.
    pub ledger: Arc<dyn Ledger>,
    /// Comments that matched nothing.
    pub misses: Arc<dyn Misses>,
    /// E-mail addresses that people gave.
    pub leads: Arc<dyn Leads>,
    /// What is kept of conversations.
    pub conversations: Arc<dyn Conversations>,
    /// Marks accounts that have waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Ids for keys.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it can be trusted: nothing is changed by a clock that is off.
    pub check: Arc<ClockCheck>,
}

/// Batches read at a time.
const BATCHES: usize = 50;

/// How often those that moved on are looked at again.
const ROUNDS: usize = 3;

const FORGET: &str = "forget a person";

/// How often a person's item is read again that others have written meanwhile.
const FORGET_TRIES: usize = 8;

/// Sends cancelled at a time.
const AT_ONCE: usize = 16;

impl SendAdmin {
    /// All waiting sends of an account, first to last, up to `limit`.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn waiting(
        &self,
        account: &AccountId,
        wanted: impl Fn(&PendingSend) -> bool,
        limit: usize,
    ) -> Result<Vec<(OutboxKey, PendingSend)>, StoreError> {
        let mut found = Vec::new();
        let mut after: Option<OutboxKey> = None;
        while found.len() < limit {
            let batches = self.sends.batches(account, after.as_ref(), BATCHES).await?;
            found.extend(self.listed(&batches, &wanted).await?);
            if batches.len() < BATCHES {
                break;
            }
            after = batches.last().map(|batch| batch.outbox_key.clone());
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.truncate(limit);
        Ok(found)
    }

    /// Ended sends of an account that are `wanted`, up to `limit`. `progress` is told how many
    /// entries were looked at.
    ///
    /// The whole table of sends is looked through: an index of those that have ended would cost a
    /// write unit more for each DM, and nobody but an operator asks.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn ended(
        &self,
        account: &AccountId,
        wanted: impl Fn(&Stored) -> bool,
        limit: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        while found.len() < limit {
            let part = self.ledger.ended(account, after.as_deref()).await?;
            progress(part.looked_at);
            found.extend(part.sends.into_iter().filter(&wanted));
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The send of somebody who was forgotten that is shown with this id. `progress` is told how many
    /// entries of ended sends were looked at.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn nameless(
        &self,
        shown: &SendId,
        progress: impl FnMut(usize),
    ) -> Result<Option<Stored>, StoreError> {
        let is_shown = |stored: &Stored| stored.shown_id() == *shown;
        Ok(self.ended(&shown.account, is_shown, 1, progress).await?.pop())
    }

    /// One send, as it is now; `None` where it was never recorded.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn find(&self, id: &SendId) -> Result<Option<Stored>, StoreError> {
        let mut found = self.ledger.find(id).await?;
        if let Some(Stored { outbox_key, state: State::Waiting(send), .. }) = &mut found
            && send.stage == Stage::Parked
        {
            // It may have a slot, which only its batch knows.
            let mut after: Option<OutboxKey> = None;
            'batches: loop {
                let batches = self.sends.batches(&id.account, after.as_ref(), BATCHES).await?;
                for batch in &batches {
                    let line = batch.lines.iter().find(|line| batch.key_of(line) == *outbox_key);
                    if let Some(line) = line {
                        **send = line.stands((**send).clone());
                        break 'batches;
                    }
                }
                match batches.last() {
                    Some(last) if batches.len() == BATCHES && last.outbox_key <= *outbox_key => {
                        after = Some(last.outbox_key.clone());
                    }
                    _ => break,
                }
            }
        }
        Ok(found)
    }

    /// The send that answers a comment, of those that are kept under their person's id. `progress`
    /// is told how many entries of ended sends were looked at.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn answering(
        &self,
        account: &AccountId,
        comment: &CommentId,
        progress: impl FnMut(usize),
    ) -> Result<Option<SendId>, StoreError> {
        let answers =
            |send: &PendingSend| matches!(&send.to, Address::Comment { id, .. } if id == comment);
        if let Some((_, send)) = self.waiting(account, answers, 1).await?.pop() {
            return Ok(Some(send.id));
        }
        let answered = |stored: &Stored| stored.comment.as_ref() == Some(comment);
        let ended = self.ended(account, answered, 1, progress).await?;
        Ok(ended.into_iter().next().map(|stored| stored.id))
    }

    /// The send that answers what a person did in a conversation, by the key of that event.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn answering_event(
        &self,
        account: &AccountId,
        person: &RecipientId,
        event: &OnceKey,
    ) -> Result<Option<SendId>, StoreError> {
        let people = std::slice::from_ref(person);
        let lookup = self.sends.look_up(account, &[], people, Read::Consistent).await?;
        let known = lookup.people.get(person);
        let nth = known.and_then(|known| known.answered.answering(event));
        Ok(nth.map(|nth| SendId { account: account.clone(), key: nth.key(person, event) }))
    }

    /// Says why a person gets no DM for an event that `campaign` would answer.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn no_more_for(
        &self,
        account: &AccountId,
        person: &RecipientId,
        campaign: &CampaignId,
    ) -> Result<NoMore, StoreError> {
        let people = std::slice::from_ref(person);
        let lookup = self.sends.look_up(account, &[], people, Read::Consistent).await?;
        let known = lookup.people.get(person);
        let is_full = known.is_some_and(|known| known.answered.is_full(self.clock.now()));
        Ok(if is_full { NoMore::TooMany } else { NoMore::Repeat(campaign.clone()) })
    }

    /// Those `wanted` of the sends on these batches that wait.
    async fn listed(
        &self,
        batches: &[OutboxBatch],
        wanted: impl Fn(&PendingSend) -> bool,
    ) -> Result<Vec<(OutboxKey, PendingSend)>, StoreError> {
        let lines =
            || batches.iter().flat_map(|batch| batch.lines.iter().map(move |line| (batch, line)));
        let ids: Vec<SendId> = lines().map(|(batch, line)| batch.id_of(line)).collect();
        let entries = self.sends.entries(&ids, Read::Consistent).await?;
        let waiting = lines().zip(entries).filter_map(|((batch, line), entry)| {
            let outbox_key = batch.key_of(line);
            let send = line.stands(entry.waiting_at(&outbox_key)?);
            wanted(&send).then_some((outbox_key, send))
        });
        Ok(waiting.collect())
    }

    /// Cancels a waiting send, unless a call of it may be under way. Of this and a sender that
    /// would claim it, one comes first: both name its epoch.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off.
    pub async fn cancel(
        &self,
        outbox_key: &OutboxKey,
        send: &PendingSend,
    ) -> Result<Cancelled, StoreError> {
        self.cancel_for(CancelReason::Operator, outbox_key, send).await
    }

    async fn cancel_for(
        &self,
        reason: CancelReason,
        outbox_key: &OutboxKey,
        send: &PendingSend,
    ) -> Result<Cancelled, StoreError> {
        self.check.require("cancel sends")?;
        let now = self.clock.now();
        if let Stage::Sending { lease_until } = send.stage
            && now < lease_until + CLOCK_BOUND
        {
            return Ok(Cancelled::Claimed(lease_until));
        }
        let task = SendTask::new(send, outbox_key.clone());
        let outcome = Outcome::Cancelled { reason };
        if self.sends.finish_unclaimed(&task, &outcome, now).await? {
            Ok(Cancelled::Done)
        } else {
            Ok(Cancelled::MovedOn)
        }
    }

    /// Cancels all `wanted` sends of an account, and tells how many were done so far. Those that
    /// moved on meanwhile are looked at again.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off. What was cancelled stays so.
    pub async fn cancel_waiting(
        &self,
        account: &AccountId,
        wanted: impl Fn(&PendingSend) -> bool,
        progress: impl FnMut(usize),
    ) -> Result<CancelledAll, StoreError> {
        self.cancel_waiting_for(CancelReason::Operator, account, wanted, progress).await
    }

    /// Cancels all that waits of an account that was removed.
    pub(super) async fn cancel_removed(
        &self,
        account: &AccountId,
    ) -> Result<CancelledAll, StoreError> {
        self.cancel_waiting_for(CancelReason::AccountRemoved, account, |_| true, |_| ()).await
    }

    async fn cancel_waiting_for(
        &self,
        reason: CancelReason,
        account: &AccountId,
        wanted: impl Fn(&PendingSend) -> bool,
        mut progress: impl FnMut(usize),
    ) -> Result<CancelledAll, StoreError> {
        let mut all = CancelledAll::default();
        for _ in 0..ROUNDS {
            all.left = 0;
            let mut after: Option<OutboxKey> = None;
            loop {
                let batches = self.sends.batches(account, after.as_ref(), BATCHES).await?;
                let waiting = self.listed(&batches, &wanted).await?;
                let (done, left) = self.cancel_all(reason, waiting, &mut progress).await?;
                all.done += done.len();
                all.left += left;
                self.strike_out(&batches, &done).await?;
                if batches.len() < BATCHES {
                    break;
                }
                after = batches.last().map(|batch| batch.outbox_key.clone());
            }
            if all.left == 0 {
                break;
            }
        }
        Ok(all)
    }

    /// Takes lines off their batches whose sends have ended. Where the release function writes a
    /// batch first, it is left to it: it looks at a send before it gives it a slot.
    async fn strike_out(
        &self,
        batches: &[OutboxBatch],
        ended: &HashSet<OutboxKey>,
    ) -> Result<(), StoreError> {
        for batch in batches {
            let mut next = OutboxBatch { version: batch.version + 1, ..batch.clone() };
            next.lines.retain(|line| !ended.contains(&batch.key_of(line)));
            if next.lines.len() < batch.lines.len() {
                self.sends.rewrite(&next).await?;
            }
        }
        Ok(())
    }

    /// Cancels sends; gives the keys of those that it has ended, and how many it has not.
    async fn cancel_all(
        &self,
        reason: CancelReason,
        sends: Vec<(OutboxKey, PendingSend)>,
        mut progress: impl FnMut(usize),
    ) -> Result<(HashSet<OutboxKey>, usize), StoreError> {
        let mut ended = HashSet::new();
        for chunk in sends.chunks(AT_ONCE) {
            let orders: Vec<_> =
                chunk.iter().map(|(key, send)| self.cancel_for(reason, key, send)).collect();
            let done: Vec<Cancelled> = stream::iter(orders).buffered(AT_ONCE).try_collect().await?;
            let cancelled = chunk.iter().zip(done).filter(|(_, done)| *done == Cancelled::Done);
            let before = ended.len();
            ended.extend(cancelled.map(|((outbox_key, _), _)| outbox_key.clone()));
            progress(ended.len() - before);
        }
        let left = sends.len() - ended.len();
        Ok((ended, left))
    }

    /// Forgets a person: cancels the sends that wait for them, then removes their ids from the
    /// entries of sends that have ended. These entries, and the person's own item, expire within the
    /// hour. Samples of their comments, their e-mail addresses and what is kept of conversations
    /// with them are deleted, but that they have asked to be left alone. Tombstones take their
    /// place, so that no repeated delivery and no backfill matches what the person wrote before. `progress` is told of entries that were looked at.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off. Doing it again is right.
    pub async fn forget(
        &self,
        account: &AccountId,
        person: &RecipientId,
        mut progress: impl FnMut(usize),
    ) -> Result<Forgotten, StoreError> {
        self.check.require(FORGET)?;
        let began = self.clock.now();
        self.ledger.write_person_tombstone(account, person, began).await?;
        let samples = self.misses.forget(account, person).await?;
        let leads = self.leads.forget(account, person).await?;
        let waited = Mutex::new(BTreeSet::new());
        let is_theirs = |send: &PendingSend| {
            let is_theirs = send.to.recipient() == Some(person);
            if is_theirs {
                let mut waited = waited.lock().unwrap_or_else(PoisonError::into_inner);
                waited.insert(send.id.clone());
            }
            is_theirs
        };
        let waiting = self.cancel_waiting(account, is_theirs, |_| ()).await?;
        self.check.require(FORGET)?;
        let conversations = usize::from(self.forget_conversations(account, person).await?);
        let now = self.clock.now();
        let mut theirs = waited.into_inner().unwrap_or_else(PoisonError::into_inner);
        let named = self.forget_answers(account, person, began).await?;
        let mut entries = 0;
        theirs.extend(named);
        for id in theirs {
            if let Some(stored) = self.ledger.find(&id).await? {
                let is_sent = matches!(
                    &stored.state,
                    State::Ended { outcome: Outcome::Sent { recipient: Some(_), .. }, .. }
                );
                let is_forgotten = self.ledger.write_tombstone(&stored, now).await?;
                entries += usize::from(is_forgotten && is_sent);
            }
        }
        let mut after: Option<String> = None;
        loop {
            let batch = self.ledger.ended(account, after.as_deref()).await?;
            progress(batch.looked_at);
            for stored in &batch.sends {
                let State::Ended { outcome, .. } = &stored.state else { continue };
                let is_to_them = matches!(
                    outcome,
                    Outcome::Sent { recipient: Some(recipient), .. } if recipient == person
                );
                if is_to_them || stored.id.key.is_step_to(person) && !stored.is_forgotten {
                    entries += usize::from(self.ledger.write_tombstone(stored, now).await?);
                }
            }
            after = batch.next;
            if after.is_none() {
                break;
            }
        }
        self.ledger.forget_unit(account, person).await?;
        Ok(Forgotten { waiting, entries, samples, leads, conversations })
    }

    /// Deletes what is kept of conversations with a person, but that they have asked to be left
    /// alone. Returns whether there was anything.
    async fn forget_conversations(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<bool, StoreError> {
        let mut races = Races::new(FORGET);
        loop {
            races.enter()?;
            let kept = self.conversations.load(account, person, Read::Consistent).await?;
            if kept.version == 0 {
                return Ok(false);
            }
            let Some(left) = kept.state.forgotten() else {
                self.conversations.delete(account, person).await?;
                return Ok(true);
            };
            if left == kept.state {
                return Ok(false);
            }
            let turnover = Turnover {
                account,
                person,
                version: kept.version,
                next: &left,
                new: &[],
                cause: None,
            };
            if self.conversations.turn_over(turnover).await? == TurnedOver::Done {
                return Ok(true);
            }
        }
    }

    /// Empties a person's item of what they were answered, and gives the sends that it named. The item
    /// stays for an hour: a process that does not know yet that the person was forgotten finds it.
    async fn forget_answers(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<Vec<SendId>, StoreError> {
        let people = std::slice::from_ref(person);
        for _ in 0..FORGET_TRIES {
            let lookup = self.sends.look_up(account, &[], people, Read::Consistent).await?;
            let Some(known) = lookup.people.get(person) else { return Ok(Vec::new()) };
            if matches!(known.first, Entry::Waiting(..)) {
                // A call of it may be under way.
                return Ok(Vec::new());
            }
            let before = &known.answered;
            let after = before.forgotten(at);
            if self.sends.replace_answered(account, person, Some(before), &after).await? {
                let keys = before.sends().filter_map(|nth| match nth {
                    Nth::First => Some(OnceKey::person(person)),
                    Nth::Later(nth) => Some(OnceKey::person_again(person, nth)),
                    Nth::Comment => None,
                });
                return Ok(keys.map(|key| SendId { account: account.clone(), key }).collect());
            }
        }
        Err(StoreError::unavailable(FORGET, "others always were first"))
    }

    /// Returns how many of these sends would be retried and may have arrived although they failed:
    /// repeated, they would arrive twice.
    pub fn may_arrive_twice(&self, sends: &[Stored]) -> usize {
        let now = self.clock.now();
        let again = sends.iter().filter_map(|stored| again(stored, now).ok());
        again.filter(|send| send.repeats > 0).count()
    }

    /// Retries each of these sends, and says what became of it.
    pub async fn retry_all(&self, sends: &[Stored]) -> Vec<RetriedView> {
        let mut all = Vec::new();
        for stored in sends {
            let result = self.retry(&stored.id).await;
            let reason = result.as_ref().err().map(ToString::to_string);
            let send = stored.shown_id().to_string();
            all.push(RetriedView { send, retried: result.is_ok(), reason });
        }
        all
    }

    /// Lets a failed send wait again, parked, where no second DM can come of it.
    ///
    /// # Errors
    /// Says why it is not brought back: see [`RetryError`].
    pub async fn retry(&self, id: &SendId) -> Result<PendingSend, RetryError> {
        let stored = self.ledger.find(id).await?.ok_or(RetryError::Unknown)?;
        self.check.require("retry sends")?;
        let now = self.clock.now();
        let send = again(&stored, now)?;
        // Marked first: a waiting send without a marker would never be looked at.
        self.backlogs.wake(&id.account, now).await?;
        let outbox_key = OutboxKey::new(&send, self.ids.next_nonce());
        // And listed first.
        self.sends.put_batches(&[OutboxBatch::new(&send, outbox_key.clone(), now)]).await?;
        if self.ledger.reopen(&stored, &outbox_key, &send, now).await? {
            Ok(send)
        } else {
            Err(RetryError::MovedOn)
        }
    }
}

/// The send that a failed one becomes. Of what the comment's webhook told only ids are kept after a
/// send's end: its text takes the fallbacks of its placeholders.
fn again(stored: &Stored, now: Timestamp) -> Result<PendingSend, NoRetry> {
    let State::Ended { outcome, .. } = &stored.state else { return Err(NoRetry::Waiting) };
    if stored.is_forgotten {
        return Err(NoRetry::Forgotten);
    }
    let (_, order, deadline) = stored.outbox_key.parts().ok_or(NoRetry::OutboxKey)?;
    let earlier = outcome.retry(stored.class.action, deadline, now)?;
    let person = stored.id.key.of_person();
    let to = match stored.comment.clone() {
        Some(id) => Address::Comment { id, author: person },
        None => Address::Person(person.ok_or(NoRetry::Nobody)?),
    };
    Ok(PendingSend {
        id: stored.id.clone(),
        class: stored.class,
        content: stored.content.clone(),
        to,
        order,
        media: None,
        username: None,
        keyword: None,
        turn: None,
        matched_at: stored.matched_at,
        not_before: None,
        deadline,
        stage: Stage::Parked,
        // Its end and its return are steps, too.
        epoch: stored.epoch + 2,
        attempt: 0,
        failures: 0,
        earlier,
        // Somebody has decided that it is worth the risk.
        repeats: u32::from(earlier == Earlier::Unknown),
        made_at: None,
        stand_in: None,
        is_cleared: false,
    })
}
