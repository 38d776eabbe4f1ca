//! A cache of accounts: keeps what it has read for a minute.
//!
//! Before a process drops a comment for an unknown account, or a send for an unknown campaign,
//! it reads the account again: it may just have been connected. Before it drops comments that
//! no campaign wants, it checks the account's revision, at most once in five seconds: most
//! comments come just after a campaign begins.

use std::sync::Arc;
use std::time::Duration;

use spillway_core::id::AccountId;

use crate::account::Account;
use crate::clock::Clock;
use crate::port::{Accounts, Read, StoreError};
use crate::ttl_cache::TtlCache;

/// How long a process remembers an account. A change takes effect everywhere within this time and
/// the lag of an eventual read. It takes effect at once for decisions on a budget, and for an
/// account that was not connected before.
pub const REMEMBERED: Duration = Duration::from_secs(60);

/// How long a process assumes that an account is unchanged before it drops comments that no
/// campaign wants: a campaign may be new.
const UNCHANGED: Duration = Duration::from_secs(5);

/// Looks up accounts, from memory if possible.
pub struct AccountCache {
    accounts: Arc<dyn Accounts>,
    seen: TtlCache<AccountId, Arc<Account>>,
    unchanged: TtlCache<AccountId, ()>,
}

impl AccountCache {
    /// Makes a cache over `accounts`.
    pub fn new(accounts: Arc<dyn Accounts>, clock: &Arc<dyn Clock>) -> Self {
        Self { accounts, seen: TtlCache::new(clock), unchanged: TtlCache::new(clock) }
    }

    /// Returns the account, or `None` if it is not connected.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn find(&self, id: &AccountId) -> Result<Option<Arc<Account>>, StoreError> {
        match self.seen.get(id) {
            Some(known) => Ok(Some(known)),
            None => match self.read(id, Read::Eventual).await? {
                Some(account) => Ok(Some(account)),
                // It may just have been connected.
                None => self.refresh(id).await,
            },
        }
    }

    /// Reads the account as it is stored now.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn refresh(&self, id: &AccountId) -> Result<Option<Arc<Account>>, StoreError> {
        self.read(id, Read::Consistent).await
    }

    /// Reads the account as it is stored now, if that is newer than `known`. It looks at most once
    /// in five seconds, by an eventual read of the revision.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn newer(&self, known: &Account) -> Result<Option<Arc<Account>>, StoreError> {
        if self.unchanged.get(&known.id).is_some() {
            return Ok(None);
        }
        let stored = self.accounts.revision(&known.id).await?;
        let newer = if stored.is_some_and(|stored| known.revision < stored) {
            self.refresh(&known.id).await?
        } else {
            None
        };
        let bytes = known.id.as_str().len();
        self.unchanged.put(known.id.clone(), (), bytes, UNCHANGED);
        Ok(newer)
    }

    async fn read(&self, id: &AccountId, how: Read) -> Result<Option<Arc<Account>>, StoreError> {
        // That an account is missing is not remembered: once it is connected, comments dropped and
        // sends cancelled in the next minute would be lost for good.
        let account = self.accounts.read(id, how).await?.map(Arc::new);
        match &account {
            Some(account) => {
                let bytes = account.heap_bytes();
                self.seen.put(id.clone(), account.clone(), bytes, REMEMBERED);
            }
            None => self.seen.forget(id),
        }
        Ok(account)
    }
}
