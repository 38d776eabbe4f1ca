//! Outbound runs: who of a list of people a campaign is sent to, and the sends of a run.
//!
//! A run's sends are recorded without slots, and release gives them what the other lanes leave. The
//! key of a send names the person and the run, so a run that was interrupted is repeated as it is:
//! whoever has a send gets no second one. What has happened since the list was looked through is
//! asked about again right before each call.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use spillway_core::id::{OnceKey, RecipientId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::outbound::{KnownPerson, LeftOut, Run};
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;

use super::AdminError;
use super::instant::optional;
use super::overview::{Overviews, Reach};
use crate::account::Account;
use crate::clock::{Clock, ClockCheck};
use crate::grant::GrantIds;
use crate::outbox_batch::OutboxBatch;
use crate::port::{
    Backlogs, Conversations, Journal, NewSend, Read, Recorded, Sends, StoreError,
    StoredConversation,
};

/// People who are looked up, and sends that are recorded, at a time.
const AT_ONCE: usize = 90;

/// Conversations read at a time.
const READS: usize = 16;

const RECORD: &str = "record a run";

/// Makes outbound runs.
pub struct OutboundAdmin {
    /// What is known of people's windows.
    pub conversations: Arc<dyn Conversations>,
    /// Where runs are recorded.
    pub sends: Arc<dyn Sends>,
    /// Marks accounts that have waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Tells of runs.
    pub journal: Arc<dyn Journal>,
    /// Ids for keys.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it can be trusted.
    pub check: Arc<ClockCheck>,
}

/// What a run does for one person of its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are written to.
    Reached {
        /// The send, without a slot.
        send: Box<PendingSend>,
        /// When it will probably go.
        expected_at: Timestamp,
    },
    /// They are not.
    LeftOut(LeftOut),
}

/// What a run does for one person, as programs read it.
#[derive(Clone, Debug, Serialize)]
pub struct FateView {
    /// The person.
    pub person: RecipientId,
    /// Why they are left out; `null` for those who are written to.
    pub left_out: Option<&'static str>,
    /// The end of the takeover or of the window; `null` where that is not why.
    #[serde(serialize_with = "optional")]
    pub until: Option<Timestamp>,
    /// The instant when their message will probably go.
    #[serde(serialize_with = "optional")]
    pub expected_at: Option<Timestamp>,
}

impl FateView {
    /// Shows what is done for a person.
    pub fn of(person: &RecipientId, fate: &Fate) -> Self {
        let person = person.clone();
        match *fate {
            Fate::Reached { expected_at, .. } => {
                Self { person, left_out: None, until: None, expected_at: Some(expected_at) }
            }
            Fate::LeftOut(why) => {
                Self { person, left_out: Some(why.as_str()), until: why.until(), expected_at: None }
            }
        }
    }
}

impl OutboundAdmin {
    /// Says what a run does for each of `people`, in their order. It writes nothing. `progress` is
    /// told of people who were looked at.
    ///
    /// # Errors
    /// Fails if the account cannot send before somebody does something, was removed since it was
    /// read, or the store does not answer.
    pub fn look<'a>(
        &'a self,
        overviews: &'a Overviews,
        account: &'a Account,
        run: &'a Run<'a>,
        people: &'a [RecipientId],
        progress: &'a (dyn Fn(usize) + Sync),
    ) -> BoxFuture<'a, Result<Vec<Fate>, OutboundError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let mut found = Vec::with_capacity(people.len());
            for chunk in people.chunks(AT_ONCE) {
                found.extend(self.look_at(account, run, chunk, now).await?);
                progress(chunk.len());
            }
            let sends = || found.iter().filter_map(|found| found.as_ref().ok());
            let reach = overviews.reach(&account.id, sends(), now).await?;
            let mut expected = match reach {
                Some(Reach::Expected(expected)) => expected.into_iter(),
                Some(Reach::Held(why)) => return Err(OutboundError::Held(why)),
                None => return Err(AdminError::NotConnected(account.id.clone()).into()),
            };
            let fate = |found: Result<PendingSend, LeftOut>| match found {
                Ok(send) => match expected.next().flatten() {
                    Some(expected_at) => Fate::Reached { send: Box::new(send), expected_at },
                    None => Fate::LeftOut(LeftOut::TooLate(send.deadline)),
                },
                Err(why) => Fate::LeftOut(why),
            };
            Ok(found.into_iter().map(fate).collect())
        })
    }

    async fn look_at(
        &self,
        account: &Account,
        run: &Run<'_>,
        people: &[RecipientId],
        now: Timestamp,
    ) -> Result<Vec<Result<PendingSend, LeftOut>>, StoreError> {
        let keys: Vec<OnceKey> = people.iter().map(|person| run.key(person)).collect();
        let lookup = self.sends.look_up(&account.id, &keys, people, Read::Consistent).await?;
        let mut reads = Vec::with_capacity(people.len());
        for person in people {
            reads.push(self.conversations.load(&account.id, person, Read::Consistent));
        }
        let kept: Vec<StoredConversation> =
            stream::iter(reads).buffered(READS).try_collect().await?;
        let decide = |((person, key), kept): ((&RecipientId, &OnceKey), &StoredConversation)| {
            let known = KnownPerson {
                state: &kept.state,
                answered: lookup.people.get(person).map(|known| &known.answered),
                is_in_run: lookup.keys.contains(key),
                forgotten_at: account.forgotten.person(person),
            };
            run.send_to(person, known, now)
        };
        Ok(people.iter().zip(&keys).zip(&kept).map(decide).collect())
    }

    /// Records the sends of a run, after the journal tells of it. Returns how many are new: others
    /// had been recorded by an earlier try. `progress` is told of those that are recorded.
    ///
    /// Each step is safe to be the last one: the account is marked first, and a batch lists sends
    /// before they are recorded.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off. Recording the run again is
    /// right.
    pub fn record<'a>(
        &'a self,
        run: &'a Run<'a>,
        name: &'a str,
        sends: Vec<PendingSend>,
        operator: &'a str,
        progress: &'a (dyn Fn(usize) + Sync),
    ) -> BoxFuture<'a, Result<usize, StoreError>> {
        Box::pin(async move {
            if sends.is_empty() {
                return Ok(0);
            }
            self.check.require(RECORD)?;
            let account = run.account();
            let what = Event::CampaignSent {
                campaign: run.campaign().id.clone(),
                run: name.to_owned(),
                people: u32::try_from(sends.len()).unwrap_or(u32::MAX),
                operator: operator.to_owned(),
            };
            let at = self.clock.now();
            self.journal.append(&JournalEntry { at, account: account.clone(), what }).await?;
            let mut new = 0;
            for chunk in sends.chunks(AT_ONCE) {
                self.check.require(RECORD)?;
                let now = self.clock.now();
                self.backlogs.mark(account, now).await?;
                let nonce = || self.ids.next_nonce();
                let batches = OutboxBatch::of(chunk.to_vec(), now, nonce);
                let (batches, placed): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
                self.sends.put_batches(&batches).await?;
                let placed = placed.into_iter().flatten();
                let placed: Vec<NewSend> = placed
                    .map(|(outbox_key, send)| NewSend { outbox_key, send, answered: None })
                    .collect();
                for recorded in self.sends.record(&placed).await {
                    new += usize::from(recorded? == Recorded::New);
                }
                progress(chunk.len());
            }
            self.backlogs.wake(account, self.clock.now()).await?;
            Ok(new)
        })
    }
}

/// Why nothing is known of a run.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The account sends nothing before somebody does something.
    #[error("the account sends nothing until somebody acts: {0}")]
    Held(String),
    /// The account, or the store.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl From<StoreError> for OutboundError {
    fn from(error: StoreError) -> Self {
        Self::Admin(error.into())
    }
}
