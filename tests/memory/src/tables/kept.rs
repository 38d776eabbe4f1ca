//! What is stored for upkeep: its list of accounts, and their tokens.

use std::collections::{BTreeMap, BTreeSet};

use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_service::account::SealedToken;
use spillway_service::port::{
    Deletion, KeptToken, MaintenanceRecord, NextToken, UnmatchedRequest, UpkeepRequest,
};

/// The list, and the tokens.
#[derive(Default)]
pub struct Kept {
    /// The list.
    pub listed: BTreeMap<AccountId, Listed>,
    /// Which account each app-scoped id names.
    pub aliases: BTreeMap<String, AccountId>,
    /// Requests for deletion, by code.
    pub deletions: BTreeMap<String, Deletion>,
    /// Requests for deletion whose accounts are not known, by app-scoped id and code.
    pub unmatched: BTreeMap<String, BTreeMap<String, UnmatchedRequest>>,
    /// The tokens in use, each with its next one.
    pub tokens: BTreeMap<AccountId, KeptToken>,
    /// When each token in use took the place of another, in milliseconds since 1970, and which it
    /// was.
    renewed: BTreeMap<AccountId, Vec<(u64, SealedToken)>>,
    /// When each account was removed, and when it was connected again, in milliseconds since 1970.
    connections: BTreeMap<AccountId, Vec<(u64, Connection)>>,
}

/// What was done with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Removed,
    Connected,
}

/// An account on the list.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// When it is due.
    pub due: Timestamp,
    /// What is known of it.
    pub record: MaintenanceRecord,
    /// Its app-scoped ids.
    pub aliases: BTreeSet<String>,
    /// The request that took it for a visit last.
    pub visited_by: Option<u64>,
}

impl Listed {
    /// What a reader of the list is told.
    pub fn record(&self) -> MaintenanceRecord {
        MaintenanceRecord { due: self.due, ..self.record.clone() }
    }
}

impl Kept {
    /// The token that had last taken the place of another at `as_of`.
    pub fn renewed_token(&self, account: &AccountId, as_of: u64) -> Option<&SealedToken> {
        let renewed = self.renewed.get(account).into_iter().flatten();
        renewed.take_while(|(at, _)| *at <= as_of).last().map(|(_, token)| token)
    }

    /// When the account was changed: its token was renewed, or it was removed or connected.
    pub fn changed_at(&self, account: &AccountId) -> Vec<u64> {
        let renewed = self.renewed.get(account).into_iter().flatten().map(|&(at, _)| at);
        let connections = self.connections.get(account).into_iter().flatten();
        // To connect it changes the token too.
        let removed = connections.filter(|(_, is)| *is == Connection::Removed).map(|&(at, _)| at);
        renewed.chain(removed).collect()
    }

    /// Whether the account was not removed as of then, or has been connected again.
    pub fn is_connected(&self, account: &AccountId, as_of: u64) -> bool {
        let connections = self.connections.get(account).into_iter().flatten();
        let last = connections.take_while(|(at, _)| *at <= as_of).last();
        last.is_none_or(|(_, is)| *is == Connection::Connected)
    }

    /// Whether the account has ever been removed by `now`.
    pub fn was_removed(&self, account: &AccountId, now: u64) -> bool {
        let mut connections = self.connections.get(account).into_iter().flatten();
        connections.any(|&(at, is)| is == Connection::Removed && at <= now)
    }

    /// Whether the account was not connected at some instant since `since`, or up to `lag_max`
    /// before.
    pub fn was_away(&self, account: &AccountId, since: u64, lag_max: u64) -> bool {
        let mut connections = self.connections.get(account).into_iter().flatten();
        !self.is_connected(account, since)
            || connections.any(|&(at, _)| since.saturating_sub(lag_max) <= at)
    }

    /// Removes an account.
    pub fn remove(&mut self, account: &AccountId, now: u64) {
        self.connections.entry(account.clone()).or_default().push((now, Connection::Removed));
    }

    /// Connects an account, or connects it again, with that token.
    pub fn connect(&mut self, account: &AccountId, token: &SealedToken, now: u64) {
        self.connections.entry(account.clone()).or_default().push((now, Connection::Connected));
        self.renewed.entry(account.clone()).or_default().push((now, token.clone()));
        let (token, life) = (token.clone(), TokenLife::default());
        self.tokens.insert(account.clone(), KeptToken { token, life, next: None });
    }

    /// Takes an account that is due at `due` for the visit of that request; one that the request
    /// has taken already stays its own.
    pub fn visit(
        &mut self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
        request: u64,
    ) -> Option<MaintenanceRecord> {
        let listed = self.listed.get_mut(account)?;
        if listed.due == due {
            (listed.due, listed.visited_by) = (until, Some(request));
        }
        (listed.visited_by == Some(request)).then(|| listed.record())
    }

    /// Writes down what is known of an account on the list.
    pub fn note(&mut self, account: &AccountId, upkeep: &Upkeep) {
        if let Some(listed) = self.listed.get_mut(account) {
            listed.record.upkeep = upkeep.clone();
        }
    }

    /// Writes down what is asked of upkeep; the account is due at once.
    pub fn ask(&mut self, account: &AccountId, request: &UpkeepRequest, now: Timestamp) {
        let listed = self.listed.entry(account.clone()).or_default();
        listed.due = now;
        match request {
            UpkeepRequest::Backfill => listed.record.backfill_asked_at = Some(now),
            UpkeepRequest::Deauthorize => listed.record.deauthorized_at = Some(now),
            UpkeepRequest::Delete { code } => drop(listed.record.delete.insert(code.clone())),
        }
    }

    /// The request for deletion with this code.
    pub fn deletion(&mut self, code: &str) -> &mut Deletion {
        self.deletions.entry(code.to_owned()).or_default()
    }

    /// Takes an account and its app-scoped ids off the list.
    pub fn strike_off(&mut self, account: &AccountId) {
        self.listed.remove(account);
        self.aliases.retain(|_, named| named != account);
    }

    /// Ends the visit that was to last `until`. Says whether it did, or had already.
    pub fn settle(
        &mut self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> bool {
        let Some(listed) = self.listed.get_mut(account) else { return false };
        if listed.due == until {
            (listed.due, listed.record.upkeep) = (due, upkeep.clone());
        }
        listed.due == due && listed.record.upkeep == *upkeep
    }

    /// Stores the next token beside the one in use, where that is `token`.
    pub fn keep_next(
        &mut self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> bool {
        let kept = self.tokens.get_mut(account).filter(|kept| kept.token == *token);
        kept.map(|kept| kept.next = Some(next.clone())).is_some()
    }

    /// Puts the next token in the place of the one in use. Says whether it is there.
    pub fn swap(&mut self, account: &AccountId, next: &NextToken, now: u64) -> bool {
        let Some(kept) = self.tokens.get_mut(account) else { return false };
        if kept.token == next.token {
            return true;
        }
        if kept.next.as_ref().is_none_or(|kept| kept.token != next.token) {
            return false;
        }
        let NextToken { token, life } = next.clone();
        self.renewed.entry(account.clone()).or_default().push((now, token.clone()));
        *kept = KeptToken { token, life, next: None };
        true
    }

    /// Forgets the next token, where it is this one.
    pub fn drop_next(&mut self, account: &AccountId, next: &NextToken) {
        if let Some(kept) = self.tokens.get_mut(account) {
            kept.next.take_if(|kept| kept.token == next.token);
        }
    }
}
