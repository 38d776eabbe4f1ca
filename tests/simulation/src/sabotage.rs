//! Builds with a promise switched off: the simulation must catch each of them, or its silence about
//! the whole build means nothing.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use spillway_core::budget::Budget;
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CommentId, EventId, RecipientId, SendId};
use spillway_core::rules::Rules;
use spillway_core::send::{Address, Earlier, Outcome, Stage, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::port::{Accounts, Budgets, Entry, Moved, Recorded, Saved, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket};

use crate::host::Host;

/// What is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// Claims: every step succeeds, whatever the send's epoch.
    Claims,
    /// The condition of the budget's version: every write of it succeeds.
    BudgetCondition,
    /// The quota of private replies: the limiter does not know it.
    Quota,
}

impl Sabotage {
    pub(crate) fn accounts(self, host: Arc<Host>) -> Arc<dyn Accounts> {
        match self {
            Self::Quota => Arc::new(WithoutQuota(host)),
            _ => host,
        }
    }

    pub(crate) fn budgets(self, host: Arc<Host>) -> Arc<dyn Budgets> {
        match self {
            Self::BudgetCondition => Arc::new(Unconditional(host)),
            _ => host,
        }
    }

    pub(crate) fn sends(self, host: Arc<Host>) -> Arc<dyn Sends> {
        match self {
            Self::Claims => Arc::new(Unclaimed(host)),
            _ => host,
        }
    }
}

/// Accounts whose profiles lack the quota of private replies.
struct WithoutQuota(Arc<Host>);

#[async_trait]
impl Accounts for WithoutQuota {
    async fn load(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        let mut account = Accounts::load(&*self.0, account).await?;
        if let Some(account) = &mut account {
            let mut profile = account.rules.profile().clone();
            profile.quotas.retain(|quota| quota.id.as_str() != "replies");
            let rules = Rules::new(profile, account.rules.terms().clone());
            account.rules = rules.expect("a row for all calls is left");
        }
        Ok(account)
    }
}

/// Budgets that are written whoever has written in between.
struct Unconditional(Arc<Host>);

#[async_trait]
impl Budgets for Unconditional {
    async fn load(&self, account: &AccountId) -> Result<Budget, StoreError> {
        Budgets::load(&*self.0, account).await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let mut next = next.clone();
        loop {
            match Budgets::save(&*self.0, account, &next).await? {
                Saved::Done => return Ok(Saved::Done),
                Saved::Conflict(current) => next.version = current.version + 1,
            }
        }
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        self.0.save_moved(account, next, moved).await
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.0.counted_at(account, person).await
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.note_counted(account, person, at).await
    }
}

/// Sends without claims: whoever has a message acts on it, whatever it says of the epoch.
struct Unclaimed(Arc<Host>);

#[async_trait]
impl Sends for Unclaimed {
    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        let Step::Claim { lease_until } = step else { return self.0.step(ticket, step).await };
        if let Some(claimed) = self.0.step(ticket, step).await? {
            return Ok(Some(claimed));
        }
        Ok(Some(Waiting {
            id: ticket.send.clone(),
            lane: ticket.lane,
            campaign: ticket.campaign.clone(),
            to: Address::Comment {
                id: CommentId::new(ticket.send.event.as_str()),
                author: ticket.recipient.clone(),
            },
            order: Overflow::OldestFirst,
            media: None,
            username: None,
            keyword: None,
            matched_at: Timestamp::EPOCH,
            deadline: ticket.deadline,
            stage: Stage::Sending { lease_until },
            epoch: ticket.epoch + 1,
            attempt: 1,
            failures: 0,
            earlier: Earlier::NotSent,
        }))
    }

    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        self.0.known(account, events).await
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
        self.0.record(sends).await
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.finish(ticket, outcome, at).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.finish_unclaimed(ticket, outcome, at).await
    }

    async fn entries(&self, sends: &[SendId]) -> Result<Vec<Entry>, StoreError> {
        self.0.entries(sends).await
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        self.0.adopt(place, send).await
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.0.discard(place, send).await
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        self.0.waiting(account, shard, after, limit).await
    }
}
