//! Upkeep's list of accounts, their tokens and their journals.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_core::journal::JournalEntry;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_service::account::SealedToken;
use spillway_service::port::{
    Aliases, Deletion, Deletions, Journal, KeptToken, LastSeen, MaintenanceRecord,
    MaintenanceRecords, MaintenanceSchedule, NextToken, Removal, StoreError, Tokens,
    UnmatchedRequest, UpkeepRequest, UpkeepRequests,
};

use super::{Did, Ports, Requests, World};
use crate::tables::Listed;

const ENROLL: &str = "put the account on upkeep's list";
const SETTLE: &str = "end the visit";
const TOKEN: &str = "change the account's token";
const NOTE: &str = "note a request for deletion";
const ANNOUNCE: &str = "announce the change";

#[async_trait]
impl<A: Requests> LastSeen for Ports<A> {
    async fn record_seen(&self, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request("note that webhooks come", |world| {
                world.saw(by, Did::Hears(account, at));
                let listed = world.tables().kept.listed.entry(account.clone());
                let listed = listed.or_insert_with(|| Listed { due: at, ..Listed::default() });
                listed.record.last_seen = Some(at).max(listed.record.last_seen);
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> MaintenanceSchedule for Ports<A> {
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.0
            .request(ENROLL, |world| {
                world.tables().kept.listed.entry(account.clone()).or_default().due = now;
            })
            .await
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.0
            .request("list the accounts due for upkeep", |world| {
                let listed = world.tables().kept.listed.iter();
                let due = listed.filter(|(_, listed)| listed.due <= now);
                let mut due: Vec<_> = due.map(|(id, listed)| (id.clone(), listed.due)).collect();
                due.sort_by_key(|&(_, due)| due);
                due
            })
            .await
    }

    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MaintenanceRecord>, StoreError> {
        let by = self.0.caller();
        let request = self.0.request_id();
        self.0
            .request("visit the account", |world| {
                let record = world.tables().kept.visit(account, due, until, request);
                world.saw(by, Did::Visits(account, record.as_ref()));
                record
            })
            .await
    }

    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request(SETTLE, |world| {
                world.saw(by, Did::Notes(account, upkeep));
                world.tables().kept.note(account, upkeep);
            })
            .await
    }

    async fn settle(
        &self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let by = self.0.caller();
        let is_settled = self
            .0
            .request(SETTLE, |world| {
                let is_settled = world.tables().kept.settle(account, until, upkeep, due);
                world.saw(by, Did::EndsVisit { account, upkeep, due, is_settled });
                is_settled
            })
            .await?;
        // Else somebody has asked for something: it stays due.
        if is_settled { Ok(()) } else { self.note(account, upkeep).await }
    }

    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError> {
        let by = self.0.caller();
        // The name on the account's own entry, then the entry of the name: two requests.
        let is_listed = self
            .0
            .request(ENROLL, |world| {
                let listed = world.tables().kept.listed.get_mut(account);
                listed.map(|listed| listed.aliases.insert(app_scoped.to_owned())).is_some()
            })
            .await?;
        if !is_listed {
            return Ok(());
        }
        self.0
            .request(ENROLL, |world| {
                world.saw(by, Did::Names(account, app_scoped));
                world.tables().kept.aliases.insert(app_scoped.to_owned(), account.clone());
            })
            .await
    }

    async fn forget_deletions(
        &self,
        account: &AccountId,
        codes: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        self.0
            .request("forget void deletions", |world| {
                if let Some(listed) = world.tables().kept.listed.get_mut(account) {
                    listed.record.delete.retain(|code| !codes.contains(code));
                }
            })
            .await
    }

    async fn strike_off(&self, account: &AccountId, due: Timestamp) -> Result<bool, StoreError> {
        let by = self.0.caller();
        self.0
            .request("take the account off upkeep's list", |world| {
                let listed = world.tables().kept.listed.get(account);
                if listed.is_some_and(|listed| listed.due != due) {
                    return false;
                }
                world.saw(by, Did::StrikesOff(account));
                world.tables().kept.strike_off(account);
                true
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> UpkeepRequests for Ports<A> {
    async fn ask(
        &self,
        account: &AccountId,
        request: &UpkeepRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request("ask upkeep", |world| {
                world.saw(by, Did::Asks(account, request));
                world.tables().kept.ask(account, request, now);
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> Aliases for Ports<A> {
    async fn named(&self, app_scoped: &str) -> Result<Option<AccountId>, StoreError> {
        self.0
            .request("look up an app-scoped id", |world| {
                world.tables().kept.aliases.get(app_scoped).cloned()
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> MaintenanceRecords for Ports<A> {
    async fn record(&self, account: &AccountId) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.0
            .request("look at the account on upkeep's list", |world| {
                world.tables().kept.listed.get(account).map(Listed::record)
            })
            .await
    }

    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        let ids = |world: &mut A::World| world.tables().kept.listed.keys().cloned().collect();
        self.0.request("list the accounts", ids).await
    }
}

#[async_trait]
impl<A: Requests> Tokens for Ports<A> {
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError> {
        self.0
            .request("load the account's token", |world| {
                let is_connected = world.revision(account).is_some();
                world.tables().kept.tokens.get(account).filter(|_| is_connected).cloned()
            })
            .await
    }

    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError> {
        self.0
            .request(TOKEN, |world| {
                let kept = world.tables().kept.tokens.get_mut(account);
                if let Some(kept) = kept.filter(|kept| kept.token == *token) {
                    kept.life = life;
                }
            })
            .await
    }

    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError> {
        let by = self.0.caller();
        self.0
            .request(TOKEN, |world| {
                let is_kept = world.revision(account).is_some()
                    && world.tables().kept.keep_next(account, token, next);
                world.saw(by, Did::KeepsNext(account, is_kept));
                is_kept
            })
            .await
    }

    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError> {
        let by = self.0.caller();
        let is_there = self
            .0
            .request(TOKEN, |world| {
                let now = world.now();
                let is_there = world.revision(account).is_some()
                    && world.tables().kept.swap(account, next, now);
                world.saw(by, Did::Swaps(account, is_there));
                is_there
            })
            .await?;
        if is_there {
            self.0.request(ANNOUNCE, |world| world.announce(account)).await?;
        }
        Ok(is_there)
    }

    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError> {
        self.0.request(TOKEN, |world| world.tables().kept.drop_next(account, next)).await
    }
}

#[async_trait]
impl<A: Requests> Removal for Ports<A> {
    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.0.request("look up the account's revision", |world| world.revision(account)).await
    }

    async fn remove(
        &self,
        account: &AccountId,
        seen: Option<Revision>,
    ) -> Result<bool, StoreError> {
        let by = self.0.caller();
        let is_removed = self
            .0
            .request("remove the account", |world| {
                let stored = world.revision(account);
                if stored.is_some() && stored != seen {
                    return false;
                }
                world.saw(by, Did::Removes(account));
                if stored.is_some() {
                    let now = world.now();
                    world.tables().kept.remove(account, now);
                }
                true
            })
            .await?;
        if is_removed {
            self.0.request(ANNOUNCE, |world| world.announce(account)).await?;
        }
        Ok(is_removed)
    }

    async fn expire_counters(&self, account: &AccountId, _: Timestamp) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request("give the counters an end", |world| {
                if world.revision(account).is_none() {
                    world.saw(by, Did::Expires(account));
                }
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> Deletions for Ports<A> {
    async fn status(&self, code: &str) -> Result<Option<Deletion>, StoreError> {
        self.0
            .request("look up a deletion", |world| world.tables().kept.deletions.get(code).copied())
            .await
    }

    async fn asked(
        &self,
        code: &str,
        issued_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.0
            .request(NOTE, |world| {
                let deletion = world.tables().kept.deletion(code);
                deletion.asked_at = deletion.asked_at.or(Some(now));
                deletion.issued_at = issued_at.or(deletion.issued_at);
                deletion.kept_until = None;
            })
            .await
    }

    async fn deleted(&self, code: &str, now: Timestamp) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request(NOTE, |world| {
                world.saw(by, Did::Deletes(code));
                let deletion = world.tables().kept.deletion(code);
                deletion.done_at = deletion.done_at.or(Some(now));
            })
            .await
    }

    async fn voided(&self, code: &str, now: Timestamp) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request(NOTE, |world| {
                world.saw(by, Did::Deletes(code));
                let deletion = world.tables().kept.deletion(code);
                deletion.void_at = deletion.void_at.or(Some(now));
                deletion.done_at = deletion.done_at.or(Some(now));
                deletion.kept_until = None;
            })
            .await
    }

    async fn set_aside(
        &self,
        app_scoped: &str,
        request: &UnmatchedRequest,
    ) -> Result<(), StoreError> {
        let UnmatchedRequest { code, kept_until, .. } = request;
        self.0
            .request(NOTE, |world| {
                world.tables().kept.deletion(code).kept_until = Some(*kept_until);
            })
            .await?;
        self.0
            .request(NOTE, |world| {
                let requests = &mut world.tables().kept.unmatched;
                let requests = requests.entry(app_scoped.to_owned()).or_default();
                requests.insert(code.clone(), request.clone());
            })
            .await
    }

    async fn unmatched(&self, app_scoped: &str) -> Result<Vec<UnmatchedRequest>, StoreError> {
        self.0
            .request("look up the requests for deletion under an id", |world| {
                let requests = world.tables().kept.unmatched.get(app_scoped);
                requests.into_iter().flat_map(BTreeMap::values).cloned().collect()
            })
            .await
    }

    async fn matched(&self, app_scoped: &str, code: &str) -> Result<(), StoreError> {
        self.0
            .request(NOTE, |world| {
                if let Some(requests) = world.tables().kept.unmatched.get_mut(app_scoped) {
                    requests.remove(code);
                }
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> Journal for Ports<A> {
    async fn append(&self, entry: &JournalEntry) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0.request("write into the journal", |world| world.saw(by, Did::Tells(entry))).await
    }

    async fn list(
        &self,
        _: &AccountId,
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        // Only people read it.
        Ok(Vec::new())
    }
}
