//! Ends: how a send ends, and the public reply that follows from it.
//!
//! The reply's batch is written first, as for every send. One transaction then ends the DM and
//! makes the reply's entry. So there is a reply exactly when its DM's outcome is recorded, wherever
//! a process dies: before the transaction the DM has not ended, and the line of the batch means
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use spillway_core::campaign::{Campaign, after_outcome};
use spillway_core::history::StepNote;
use spillway_core::id::AccountId;
use spillway_core::send::{Outcome, PendingSend};
use spillway_core::time::Timestamp;
use tracing::{info, warn};

use crate::clock::{Clock, ClockCheck};
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
    pub(crate) ids: Arc<GrantIds>,
    pub(crate) clock: Arc<dyn Clock>,
    check: Arc<ClockCheck>,
    pub(crate) meter: Arc<Meter>,
    /// Accounts for which this process has asked for a release run.
    woken: TtlCache<AccountId, ()>,
}

impl Endings {
    /// Ends sends in `sends`, and marks their accounts in `backlogs` for the replies that follow.
    /// `meter` counts the sends that have ended.
    pub fn new(
        sends: Arc<dyn Sends>,
        backlogs: Arc<dyn Backlogs>,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        check: Arc<ClockCheck>,
        meter: Arc<Meter>,
    ) -> Self {
        let woken = TtlCache::new(&clock);
        Self { sends, backlogs, ids, clock, check, meter, woken }
    }

    /// Ends a send of `campaign` at `guard`, and records the public reply that follows. Returns
    /// whether it did. If the reply cannot be listed, none follows: the outcome of a DM does not
    /// wait for it.
    ///
    /// # Errors
    /// Fails if the store does not answer. The send may have ended all the same.
    pub(crate) async fn end(
        &self,
        campaign: Option<&Campaign>,
        send: &PendingSend,
        task: &SendTask,
        end: (&Outcome, StepNote<'_>),
        guard: EndGuard,
    ) -> Result<bool, StoreError> {
        let (outcome, note) = end;
        let reply = self.reply(campaign, send, outcome, note.at).await.unwrap_or_else(|error| {
            self.meter.count_by(Metric::PublicReplies, "lost");
            warn!(send = %send.id, %error, "no public reply: it could not be listed");
            None
        });
        match (reply, guard) {
            (Some(reply), _) => return self.end_followed(task, end, guard, &reply).await,
            (None, EndGuard::AnyEpoch) => self.sends.finish(task, outcome, note).await,
            (None, EndGuard::SameEpoch) => {
                self.sends.finish_unclaimed(task, outcome, note.at).await
            }
        }
        .inspect(|&ended| {
            if ended {
                self.meter.ended(task.class, outcome);
            }
        })
    }

    /// Ends a send, and records the reply that follows. Returns whether it did.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub(crate) async fn end_followed(
        &self,
        task: &SendTask,
        (outcome, note): (&Outcome, StepNote<'_>),
        guard: EndGuard,
        reply: &NewSend,
    ) -> Result<bool, StoreError> {
        let ended = self.sends.finish_followed(task, outcome, note, guard, reply).await?;
        if ended {
            self.meter.ended(task.class, outcome);
            info!(send = %reply.send.id, "a public reply follows");
        }
        Ok(ended)
    }

    /// Returns the public reply that follows when a send of `campaign` ends, listed in a batch.
    ///
    /// # Errors
    /// Fails if it cannot be listed, or not be dated because this process's clock is off.
    pub(crate) async fn reply(
        &self,
        campaign: Option<&Campaign>,
        send: &PendingSend,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<Option<NewSend>, StoreError> {
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
