//! Taking an account out of the deployment: at its owner's request, by upkeep or by a new
//! connection that comes first, and by hand.
//!
//! A removal decides on what it has read. Somebody may connect the account while it runs, so the
//! store deletes only what was there when the account was read ([`Removal::remove`]), and the
//! account leaves upkeep's list only if nothing has made it due since
//! ([`MaintenanceSchedule::strike_off`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use spillway_core::budget::Revision;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::journal::{Event, JournalEntry, RemovedBy};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::TokenLife;
use tracing::{info, warn};

use super::{Admin, AdminError};
use crate::clock::Clock;
use crate::owner::{is_new_login, match_requests};
use crate::port::{
    Backlogs, Conversations, Deletions, Journal, Leads, MaintenanceSchedule, Misses, Removal,
    StoreError, Tokens,
};
use crate::versioned::Races;

const DELETE: &str = "delete the account";

/// Of how many people one visit deletes conversations: upkeep has other accounts to visit.
const PEOPLE_AT_ONCE: usize = 2_000;
const PEOPLE_OF_PAGE: usize = 500;
const DELETES_AT_ONCE: usize = 16;

/// The note of the stop that keeps an account from calling while it is removed by hand.
pub(super) const BEING_REMOVED: &str = "being removed";

/// Removes accounts.
#[derive(Clone)]
pub struct Remover {
    /// Deletes them.
    pub removal: Arc<dyn Removal>,
    /// Their owners' requests.
    pub deletions: Arc<dyn Deletions>,
    /// Their tokens: read, to see since when an account is connected.
    pub tokens: Arc<dyn Tokens>,
    /// Upkeep's list of them.
    pub maintenance: Arc<dyn MaintenanceSchedule>,
    /// Marks of accounts with waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Their comments that matched nothing.
    pub misses: Arc<dyn Misses>,
    /// E-mail addresses that people gave them.
    pub leads: Arc<dyn Leads>,
    /// What is kept of their conversations.
    pub conversations: Arc<dyn Conversations>,
    /// Their journals.
    pub journal: Arc<dyn Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Remover {
    /// Goes on with the removal of an account that its owner wants deleted, or that is not
    /// connected any more: takes it out, and once nothing of it waits, notes that the deletion is
    /// done, gives its counters an end, and takes it off upkeep's list.
    ///
    /// Upkeep calls this at each visit until the account is off the list. Release removes the
    /// marker of an account ten minutes after it was last set if nothing waits and no call is under
    /// way. So the first visit sets it, and a later one finds it gone.
    ///
    /// # Errors
    /// Fails if the store does not answer. Repeating it is safe.
    pub fn go_on<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let is_asked_for = self.begin_deletion(account).await?;
            if !is_asked_for && self.removal.revision(account).await?.is_some() {
                return Ok(());
            }
            let marked = self.backlogs.marked().await?;
            if marked.iter().any(|(marked, _)| marked == account) {
                return self.backlogs.wake(account, self.clock.now()).await;
            }
            // What a process has written that still remembered the account.
            if self.removal.revision(account).await?.is_none()
                && !self.delete_heard(account).await?
            {
                return Ok(());
            }
            self.removal.expire_counters(account, self.clock.now()).await?;
            self.close(account).await
        })
    }

    /// Takes out the account if its owner has asked for its deletion. Returns whether that was so.
    pub(super) async fn begin_deletion(&self, account: &AccountId) -> Result<bool, StoreError> {
        let mut races = Races::new(DELETE);
        loop {
            races.enter()?;
            let seen = self.removal.revision(account).await?;
            // Read after the account. A connection finishes the deletion before it writes
            // anything, so while the request is there, what was read is what is to go.
            let record = self.maintenance.record(account).await?;
            let asked = record.map(|record| record.delete).unwrap_or_default();
            if asked.is_empty() || self.forget_void(account, &asked).await? {
                return Ok(false);
            }
            if self.take_out(account, seen).await? {
                return Ok(true);
            }
        }
    }

    /// Forgets the requests for deletion if the account was connected after all of them: it may have
    /// been connected while they were taken. Returns whether that was so.
    async fn forget_void(
        &self,
        account: &AccountId,
        asked: &BTreeSet<String>,
    ) -> Result<bool, StoreError> {
        let Some(kept) = self.tokens.load(account).await? else { return Ok(false) };
        for code in asked {
            let issued_at = self.deletions.status(code).await?.and_then(|asked| asked.issued_at);
            if !is_new_login(kept.life, issued_at) {
                return Ok(false);
            }
        }
        warn!(%account, "an old request for deletion: the account was connected after it");
        for code in asked {
            self.deletions.voided(code, self.clock.now()).await?;
        }
        self.maintenance.forget_deletions(account, asked).await?;
        Ok(true)
    }

    /// Deletes the account that was read at the revision `seen`. Returns `false`, with nothing
    /// done, if it was changed or connected since.
    ///
    /// Without settings nothing is matched or sent any more. A process that remembers the account
    /// does so for a minute at most. Release then cancels what waits. The marker is set first: it
    /// stays for ten minutes, so until then nobody takes the removal for over.
    async fn take_out(
        &self,
        account: &AccountId,
        seen: Option<Revision>,
    ) -> Result<bool, StoreError> {
        if seen.is_some() {
            self.backlogs.wake(account, self.clock.now()).await?;
        }
        let is_out = self.removal.remove(account, seen).await?;
        if is_out {
            self.delete_heard(account).await?;
        }
        Ok(is_out)
    }

    /// Deletes what people have given the account: comments that matched nothing, e-mail addresses,
    /// and what is kept of conversations, of some thousand people at a time. Returns whether all is
    /// gone.
    async fn delete_heard(&self, account: &AccountId) -> Result<bool, StoreError> {
        self.misses.delete(account).await?;
        self.leads.delete(account).await?;
        let mut deleted = 0;
        while deleted < PEOPLE_AT_ONCE {
            let people = self.conversations.people(account, PEOPLE_OF_PAGE).await?;
            if people.is_empty() {
                return Ok(true);
            }
            deleted += people.len();
            let delete = |person: RecipientId| async move {
                self.conversations.delete(account, &person).await
            };
            let deletes = stream::iter(people).map(delete).buffer_unordered(DELETES_AT_ONCE);
            deletes.try_collect::<()>().await?;
        }
        Ok(false)
    }

    /// Notes that the deletions that were asked for are done, and takes the account off upkeep's
    /// list if it is not connected.
    ///
    /// The list goes last: whatever dies before has it done again by the next visit.
    pub(super) async fn close(&self, account: &AccountId) -> Result<(), StoreError> {
        let mut races = Races::new(DELETE);
        while let Some(record) = self.maintenance.record(account).await? {
            races.enter()?;
            // Read after the record: a connection writes the account before it makes it due.
            if self.removal.revision(account).await?.is_some() {
                break;
            }
            if !record.delete.is_empty() {
                self.tell(account, RemovedBy::Owner).await;
                info!(%account, "deleted, as its owner has asked");
            }
            for code in &record.delete {
                self.deletions.deleted(code, self.clock.now()).await?;
            }
            if self.maintenance.strike_off(account, record.due).await? {
                break;
            }
        }
        Ok(())
    }

    /// Writes into the journal who removed the account. Nothing is decided on journals, so a
    /// failure is only logged.
    async fn tell(&self, account: &AccountId, by: RemovedBy) {
        let what = Event::Removed { by };
        let entry = JournalEntry { at: self.clock.now(), account: account.clone(), what };
        if let Err(error) = self.journal.append(&entry).await {
            warn!(%account, %error, "not written into the journal");
        }
    }

    /// Stores the app-scoped id of a connected account whose token has this life, and acts on the
    /// requests for deletion that came before the id was known.
    ///
    /// # Errors
    /// Fails if the store does not answer. Repeating it is safe.
    pub fn name<'a>(
        &'a self,
        account: &'a AccountId,
        app_scoped: &'a str,
        life: TokenLife,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.maintenance.alias(account, app_scoped).await?;
            let (deletions, upkeep) = (&*self.deletions, &*self.maintenance);
            let now = self.clock.now();
            match_requests(deletions, upkeep, account, app_scoped, life, now).await
        })
    }
}

/// A connected account and what its removal would end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removable {
    /// The account.
    pub account: AccountId,
    /// The number of its campaigns; `None` where they cannot be read.
    pub campaigns: Option<usize>,
    /// The number of sends that wait.
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
    /// Reads what removing an account would end, so that somebody can be asked. An account of which
    /// something cannot be read can be removed, too: connecting it again mends it.
    ///
    /// # Errors
    /// Fails if it is not connected, or the store does not answer.
    pub fn removable<'a>(
        &'a self,
        id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Removable, AdminError>> {
        Box::pin(async move {
            // The revision comes first: what is removed is at most what was read.
            let Some(seen) = self.accounts.removal.revision(id).await? else {
                return Err(AdminError::NotConnected(id.clone()));
            };
            let campaigns = match self.accounts.connected(id).await {
                Ok(account) => Some(account.campaigns.iter().count()),
                Err(AdminError::Account(_, StoreError::Corrupt { .. })) => None,
                Err(error) => return Err(error),
            };
            let waiting = self.sends.waiting(id, |_| true, usize::MAX).await?.len();
            Ok(Removable { account: id.clone(), campaigns, waiting, seen })
        })
    }

    /// Removes an account, and cancels what waits. `progress` is told how many sends were
    /// cancelled since it was told last.
    ///
    /// The account is stopped first, so that nothing is sent while its sends are cancelled, and
    /// its settings go when that is done, because without them release cancels sends for another
    /// reason. Whatever dies before has it done by a repeat. After that release cancels what is
    /// left. Upkeep gives the counters their end and takes the account off its list when that is
    /// done ([`Remover::go_on`]); the stop ends when the account is connected again.
    ///
    /// # Errors
    /// Fails if the account was changed or connected since it was read, which leaves it connected, or
    /// when the store does not answer.
    pub fn remove<'a>(
        &'a self,
        removable: &'a Removable,
        mut progress: impl FnMut(usize) + Send + 'a,
    ) -> BoxFuture<'a, Result<RemovedView, AdminError>> {
        Box::pin(async move {
            let (id, seen) = (&removable.account, removable.seen);
            let (accounts, remover) = (&self.accounts, self.accounts.remover());
            match remover.removal.revision(id).await? {
                Some(revision) if revision == seen => {}
                Some(_) => return Err(AdminError::Changed(id.clone())),
                None => return Err(AdminError::NotConnected(id.clone())),
            }
            let is_stopped_by_others = accounts.is_stopped_by_others(id).await?;
            if !is_stopped_by_others {
                let limiter = &accounts.limiter;
                limiter.stop(id, Timestamp::NEVER, Some(BEING_REMOVED)).await?;
            }
            let first = self.sends.cancel_waiting(id, |_| true, &mut progress).await?;
            let is_out = remover.take_out(id, Some(seen)).await?;
            let mut more = Default::default();
            if is_out {
                remover.tell(id, RemovedBy::Operator).await;
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
