//! Taking an account out of the deployment: at its owner's request, by upkeep or by a new
//! connection that comes first, and by hand.
//!
//! A removal decides on what it has read. Somebody may connect the account while it runs, so the
//! store deletes only what was there when the account was read ([`Removal::remove`]), and the
//! account leaves upkeep's list only if nothing has made it due since
//! ([`MaintenanceSchedule::strike_off`]).

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry, RemovedBy};
use spillway_core::time::Timestamp;
use tracing::{info, warn};

use super::{Admin, AdminError};
use crate::clock::Clock;
use crate::port::{Backlogs, Journal, MaintenanceSchedule, Removal, StoreError};

/// The note of the stop that keeps an account from calling while it is removed by hand.
pub(super) const BEING_REMOVED: &str = "being removed";

/// Removes accounts.
#[derive(Clone)]
pub struct Remover {
    /// What deletes them.
    pub removal: Arc<dyn Removal>,
    /// Upkeep's list of them.
    pub maintenance: Arc<dyn MaintenanceSchedule>,
    /// Marks of accounts with waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Their journals.
    pub journal: Arc<dyn Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Remover {
    /// Does the deletion that the account's owner has asked for, if it is not done yet.
    ///
    /// The request goes last: whatever dies before has it done again by the next visit of upkeep.
    ///
    /// # Errors
    /// When the store does not answer. Repeating it is safe.
    pub fn finish_deletion<'a>(
        &'a self,
        account: &'a AccountId,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let code = loop {
                let seen = self.removal.revision(account).await?;
                // Read after the account. A connection finishes the deletion before it writes
                // anything, so while the request is there, what was read is what is to go.
                let record = self.maintenance.record(account).await?;
                let Some(code) = record.and_then(|record| record.delete) else { return Ok(()) };
                if self.take_out(account, seen, RemovedBy::Owner).await? {
                    break code;
                }
            };
            self.removal.deleted(&code, self.clock.now()).await?;
            self.strike_off(account).await?;
            info!(%account, "deleted, as its owner has asked");
            Ok(())
        })
    }

    /// Deletes the account that was read at the revision `seen`. Returns `false`, with nothing
    /// done, if it was changed or connected since.
    ///
    /// Without settings nothing is matched or sent any more. A process that remembers the account
    /// does so for a minute at most. Release then cancels what waits, and is woken for it.
    async fn take_out(
        &self,
        account: &AccountId,
        seen: Option<Revision>,
        by: RemovedBy,
    ) -> Result<bool, StoreError> {
        if !self.removal.remove(account, seen).await? {
            return Ok(false);
        }
        let now = self.clock.now();
        self.backlogs.wake(account, now).await?;
        let what = Event::Removed { by };
        let entry = JournalEntry { at: now, account: account.clone(), what };
        // Nothing is decided on journals.
        if let Err(error) = self.journal.append(&entry).await {
            warn!(%account, %error, "not written into the journal");
        }
        Ok(true)
    }

    /// Takes an account that is not connected off upkeep's list.
    pub(crate) async fn strike_off(&self, account: &AccountId) -> Result<(), StoreError> {
        while let Some(record) = self.maintenance.record(account).await? {
            // Read after the record: a connection writes the account before it makes it due.
            let is_connected = self.removal.revision(account).await?.is_some();
            if is_connected || self.maintenance.strike_off(account, record.due).await? {
                break;
            }
        }
        Ok(())
    }
}

/// A connected account and what its removal would end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removable {
    /// The account.
    pub account: AccountId,
    /// How many campaigns it has.
    pub campaigns: usize,
    /// How many sends wait.
    pub waiting: usize,
    /// The revision at which it was read.
    seen: Revision,
}

/// What a removal has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemovedView {
    /// The account.
    pub account: AccountId,
    /// Waiting sends that were cancelled.
    pub cancelled: usize,
    /// Sends that had a call under way. They end by themselves.
    pub under_way: usize,
}

impl Admin {
    /// Reads what removing an account would end, so that somebody can be asked.
    ///
    /// # Errors
    /// When it is not connected, or the store does not answer.
    pub fn removable<'a>(
        &'a self,
        id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Removable, AdminError>> {
        Box::pin(async move {
            let account = self.accounts.connected(id).await?;
            let waiting = self.sends.waiting(id, |_| true, usize::MAX).await?.len();
            Ok(Removable {
                account: id.clone(),
                campaigns: account.campaigns.iter().count(),
                waiting,
                seen: account.revision,
            })
        })
    }

    /// Removes an account, and cancels what waits. `progress` is told how many sends were
    /// cancelled since it was told last.
    ///
    /// The account is stopped first, so that nothing is sent while its sends are cancelled, and
    /// its settings go when that is done, because without them release cancels sends for another
    /// reason. Whatever dies before has it done by a repeat. After that upkeep takes the account
    /// off its list and release cancels what is left; the stop ends when the account is connected
    /// again.
    ///
    /// # Errors
    /// When the account was changed or connected since it was read, which leaves it connected, or
    /// when the store does not answer.
    pub fn remove<'a>(
        &'a self,
        removable: &'a Removable,
        mut progress: impl FnMut(usize) + Send + 'a,
    ) -> BoxFuture<'a, Result<RemovedView, AdminError>> {
        Box::pin(async move {
            let (id, seen) = (&removable.account, removable.seen);
            let (accounts, remover) = (&self.accounts, self.accounts.remover());
            if accounts.connected(id).await?.revision != seen {
                return Err(AdminError::Changed(id.clone()));
            }
            let is_stopped_by_others = accounts.is_stopped_by_others(id).await?;
            if !is_stopped_by_others {
                let limiter = &accounts.limiter;
                limiter.stop(id, Timestamp::NEVER, Some(BEING_REMOVED)).await?;
            }
            let first = self.sends.cancel_waiting(id, |_| true, &mut progress).await?;
            let is_out = remover.take_out(id, Some(seen), RemovedBy::Operator).await?;
            let mut more = Default::default();
            if is_out {
                remover.strike_off(id).await?;
                // What came meanwhile; the release function cancels what comes to light later.
                more = self.sends.cancel_waiting(id, |_| true, |_| ()).await?;
            }
            accounts.backlogs.wake(id, accounts.clock.now()).await?;
            if !is_stopped_by_others {
                accounts.limiter.resume_stop(id).await?;
            }
            if !is_out {
                return Err(AdminError::Changed(id.clone()));
            }
            let cancelled = first.done + more.done;
            Ok(RemovedView { account: id.clone(), cancelled, under_way: more.left })
        })
    }
}
