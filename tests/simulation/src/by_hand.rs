//! What is done by hand: the owner of an account logs in, and the operator's tool connects the
//! account.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_service::account::SealedToken;
use spillway_service::accounts_file::NewAccount;

use crate::scenario::Asked;
use crate::world::World;

/// What is remembered of it.
#[derive(Default)]
pub(crate) struct ByHand {
    /// The invocations of the operator's tool.
    invocations: BTreeSet<u64>,
    /// The tokens of logins whose accounts may not be connected yet.
    logins: BTreeMap<AccountId, SealedToken>,
    /// When each account was last known to be connected, in milliseconds since 1970.
    connected_at: BTreeMap<AccountId, u64>,
    /// Accounts whose changed limits are announced in their budgets.
    pub(crate) changed_limits: BTreeSet<AccountId>,
}

/// What an account's owner has done with it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// Nothing yet.
    Untouched,
    /// The owner wants it connected again, and the operator's tool is yet to do it.
    Connecting,
    /// This. Upkeep may be yet to act on it.
    Asked(Asked),
}

impl World {
    /// An invocation of the operator's tool begins.
    pub(crate) fn works_by_hand(&mut self, invocation: u64) {
        self.by_hand.invocations.insert(invocation);
    }

    /// Whether an invocation is one of the operator's tool.
    pub(crate) fn is_by_hand(&self, invocation: u64) -> bool {
        self.by_hand.invocations.contains(&invocation)
    }

    /// What the operator's tool connects: the account, and the token of its owner's login with the
    /// time that it lasts from now on. A repeat has the same token.
    pub(crate) fn log_in(
        &mut self,
        account: &AccountId,
    ) -> Option<(NewAccount, SealedToken, Option<Duration>)> {
        let stored = self.of_before(account)?;
        let token = match self.by_hand.logins.get(account) {
            Some(token) => token.clone(),
            None => {
                let token = self.meta.log_in(account, self.now);
                self.event(format_args!("the owner of {account} logs in"));
                self.by_hand.logins.insert(account.clone(), token.clone());
                token
            }
        };
        let ends = self.meta.token_ends(account, &token);
        let lasts = ends.map(|ends| Duration::from_millis(ends.saturating_sub(self.now)));
        let new = NewAccount {
            id: account.clone(),
            line: 1,
            rules: stored.rules,
            given: Default::default(),
            conversations: Default::default(),
            campaigns: stored.campaigns.iter().cloned().collect(),
            tracked_links: Vec::new(),
        };
        Some((new, token, lasts))
    }

    /// The operator's tool has connected the account, and subscribes it, if Meta answers.
    pub(crate) fn is_connected_by_hand(&mut self, account: &AccountId) {
        let is_subscribed = self.dice.chance(0.8);
        self.event(format_args!("{account} is connected by hand, subscribed {is_subscribed}"));
        if is_subscribed {
            self.meta.subscribe(account, self.now);
        }
        self.by_hand.logins.remove(account);
        self.by_hand.connected_at.insert(account.clone(), self.now);
    }

    /// What the account's owner has done with it last.
    pub(crate) fn owner_state(&self, account: &AccountId) -> OwnerState {
        let plan = self.scenario.account(account);
        match plan.and_then(|plan| plan.left(self.now)) {
            None => OwnerState::Untouched,
            Some((at, Asked::Connect)) if self.by_hand.connected_at.get(account) < Some(&at) => {
                OwnerState::Connecting
            }
            Some((_, asked)) => OwnerState::Asked(asked),
        }
    }
}
