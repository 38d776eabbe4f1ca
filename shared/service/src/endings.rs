//! Ends: how a send ends, and the public reply that follows from it.
//!
//! The reply's batch is written first, as for every send. One transaction then ends the DM and
//! makes the reply's entry. So there is a reply exactly when its DM's outcome is recorded, wherever
//! a process dies: before the transaction the DM has not ended, and the line of the batch means
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use spillway_core::campaign::after_outcome;
use spillway_core::id::AccountId;
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use tracing::{info, warn};

use crate::account::Account;
use crate::clock::{Clock, ClockCheck};
use crate::converse::{Converse, End};
use crate::grant::GrantIds;
use crate::metrics::{Meter, Metric};
use crate::outbox_batch::OutboxBatch;
use crate::outbox_key::OutboxKey;
use crate::port::{Backlogs, EndGuard, NewSend, Sends, StoreError};
use crate::send_task::SendTask;
use crate::ttl_cache::TtlCache;

/// Minimum interval between two release runs that one process asks for, because an account has new
/// public replies. Below [`MARK_KEPT`](crate::port::MARK_KEPT), for which a mark stays.
const WOKEN_REMEMBERED: Duration = Duration::from_secs(60);

const LIST: &str = "list a public reply";

/// Ends sends.
pub struct Endings {
    pub(crate) sends: Arc<dyn Sends>,
    backlogs: Arc<dyn Backlogs>,
    pub(crate) converse: Arc<Converse>,
    pub(crate) ids: Arc<GrantIds>,
    pub(crate) clock: Arc<dyn Clock>,
    check: Arc<ClockCheck>,
    pub(crate) meter: Arc<Meter>,
    /// Accounts for which this process has asked for a release run.
    woken: TtlCache<AccountId, ()>,
}

impl Endings {
    /// Ends sends in `sends`, and marks their accounts in `backlogs` for the replies that follow.
    /// `converse` goes on with the conversations of those that have one. `meter` counts the sends that have ended.
    pub fn new(
        sends: Arc<dyn Sends>,
        backlogs: Arc<dyn Backlogs>,
        converse: Arc<Converse>,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        check: Arc<ClockCheck>,
        meter: Arc<Meter>,
    ) -> Self {
        let woken = TtlCache::new(&clock);
        Self { sends, backlogs, converse, ids, clock, check, meter, woken }
    }

    /// Ends a send of `account`, which is `None` where it is not connected any more, and records what
    /// follows: a public reply, and what its conversation goes on with. Returns whether it did. If
    /// the reply cannot be listed, none follows: the outcome of a DM does not wait for it.
    ///
    /// # Errors
    /// Fails if the store does not answer. The send may have ended all the same.
    pub(crate) async fn end(
        &self,
        account: Option<&Account>,
        (task, send): (&SendTask, &PendingSend),
        end: End<'_>,
    ) -> Result<bool, StoreError> {
        let reply = self.reply(account, send, &end).await.unwrap_or_else(|error| {
            self.meter.count_by(Metric::PublicReplies, "lost");
            warn!(send = %send.id, %error, "no public reply: it could not be listed");
            None
        });
        let mut followed = self.end_followed(account, (task, send), end, reply.as_ref()).await;
        if matches!(&followed, Err(error) if error.is_retryable()) {
            followed = self.end_followed(account, (task, send), end, reply.as_ref()).await;
        }
        match followed {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) => {}
            // What was said must not be said again because what follows cannot be written. The
            // conversation goes on when the person acts again.
            Err(error) if send.turn.is_some() && error.is_retryable() => {
                warn!(send = %send.id, %error, "its conversation is not told of its end");
            }
            Err(error) => return Err(error),
        }
        let End { outcome, note, guard, .. } = end;
        let ended = match guard {
            EndGuard::AnyEpoch => self.sends.finish(task, outcome, note).await?,
            EndGuard::SameEpoch => self.sends.finish_unclaimed(task, outcome, note.at).await?,
        };
        if ended {
            self.meter.ended(task.class, outcome);
        }
        Ok(ended)
    }

    /// Ends a send that something follows, and records that: `reply`, and what its conversation goes
    /// on with. Returns whether it did, or `None`, with nothing written, if nothing follows.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub(crate) async fn end_followed(
        &self,
        account: Option<&Account>,
        (task, send): (&SendTask, &PendingSend),
        end: End<'_>,
        reply: Option<&NewSend>,
    ) -> Result<Option<bool>, StoreError> {
        let End { outcome, note, guard, .. } = end;
        let told = match account {
            Some(account) => self.converse.end(account, (task, send), end, reply).await?,
            None => None,
        };
        let ended = match (told, reply) {
            (Some(ended), _) => ended,
            (None, Some(reply)) => {
                self.sends.finish_followed(task, outcome, note, guard, reply).await?
            }
            (None, None) => return Ok(None),
        };
        if ended {
            self.meter.ended(task.class, outcome);
            if let Some(reply) = reply {
                info!(send = %reply.send.id, "a public reply follows");
            }
        }
        Ok(Some(ended))
    }

    /// Returns the public reply that follows when a send ends, listed in a batch.
    ///
    /// # Errors
    /// Fails if it cannot be listed, or not be dated because this process's clock is off.
    pub(crate) async fn reply(
        &self,
        account: Option<&Account>,
        send: &PendingSend,
        End { outcome, note, .. }: &End<'_>,
    ) -> Result<Option<NewSend>, StoreError> {
        let now = note.at;
        let campaign = account.and_then(|account| account.campaigns.get(&send.content.campaign));
        let step = campaign.and_then(|campaign| after_outcome(campaign, send, outcome));
        let Some(reply) = step.and_then(|step| send.public_reply(step, now)) else {
            return Ok(None);
        };
        let outbox_key = OutboxKey::new(&reply, self.ids.next_nonce());
        let batch = OutboxBatch::new(&reply, outbox_key.clone(), now);
        self.list(&send.id.account, &batch, now).await?;
        Ok(Some(NewSend { outbox_key, send: reply, answered: None }))
    }

    /// Writes the batch of a reply, after the account is marked: a waiting send without a marker
    /// would never be looked at.
    async fn list(
        &self,
        account: &AccountId,
        batch: &OutboxBatch,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.check.is_trusted() {
            return Err(StoreError::unavailable(LIST, "this process's clock is off"));
        }
        if self.woken.get(account).is_none() {
            self.backlogs.wake(account, now).await?;
            self.woken.put(account.clone(), (), 0, WOKEN_REMEMBERED);
        }
        self.sends.put_batches(std::slice::from_ref(batch)).await
    }
}
