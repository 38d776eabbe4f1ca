//! Upkeep that forgets what it must remember, takes a refused page for the end of its media, or
//! does not look after accounts on hold.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::id::{AccountId, MediaId};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_meta::error::Verdict;
use spillway_meta::graph::{Answered, CallError, CommentItem, Me, MediaItem, Page, Subscription};
use spillway_meta::usage::Usage;
use spillway_service::account::SealedToken;
use spillway_service::port::{
    AccountGraph, KeptToken, LastSeen, MaintenanceRecord, MaintenanceRecords, MaintenanceSchedule,
    NextToken, StoreError, Tokens, UpkeepRequest, UpkeepRequests,
};

use super::Sabotaged;

#[async_trait]
impl LastSeen for Sabotaged {
    async fn record_seen(&self, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        self.ports().record_seen(account, at).await
    }
}

/// What was missed is not written down while a visit goes on.
#[async_trait]
impl MaintenanceSchedule for Sabotaged {
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.ports().enroll(account, now).await
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.ports().due(now).await
    }

    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.ports().visit(account, due, until).await
    }

    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError> {
        self.ports().note(account, &Upkeep { unread_since: None, ..upkeep.clone() }).await
    }

    async fn settle(
        &self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        MaintenanceSchedule::settle(&self.ports(), account, until, upkeep, due).await
    }

    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError> {
        self.ports().alias(account, app_scoped).await
    }

    async fn forget_deletions(
        &self,
        account: &AccountId,
        codes: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        self.ports().forget_deletions(account, codes).await
    }

    async fn strike_off(&self, account: &AccountId, due: Timestamp) -> Result<bool, StoreError> {
        self.ports().strike_off(account, due).await
    }
}

#[async_trait]
impl UpkeepRequests for Sabotaged {
    async fn ask(
        &self,
        account: &AccountId,
        request: &UpkeepRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.ports().ask(account, request, now).await
    }
}

#[async_trait]
impl MaintenanceRecords for Sabotaged {
    async fn record(&self, account: &AccountId) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.ports().record(account).await
    }

    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        MaintenanceRecords::accounts(&self.ports()).await
    }
}

/// The token of an account on hold whose sends wait is shown as new.
#[async_trait]
impl Tokens for Sabotaged {
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError> {
        let Some(kept) = Tokens::load(&self.ports(), account).await? else { return Ok(None) };
        let world = self.host.shared.world();
        let budget = world.tables.budgets.get(account);
        let is_held = budget.is_some_and(|budget| budget.holds.current.is_some());
        let waits = world.tables.waiting_of(account).next().is_some();
        Ok(Some(if is_held && waits {
            let life = TokenLife { obtained_at: Some(world.time()), ends_at: None };
            KeptToken { life, next: None, ..kept }
        } else {
            kept
        }))
    }

    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError> {
        self.ports().note_life(account, token, life).await
    }

    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError> {
        self.ports().keep_next(account, token, next).await
    }

    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError> {
        self.ports().swap(account, next).await
    }

    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError> {
        self.ports().drop_next(account, next).await
    }
}

/// A page that Meta refuses is empty, and the last one.
#[async_trait]
impl AccountGraph for Sabotaged {
    async fn prepare(&self, account: &AccountId, token: &SealedToken) -> Result<(), StoreError> {
        AccountGraph::prepare(&*self.host, account, token).await
    }

    async fn refresh(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError> {
        self.host.refresh(account, token, timeout).await
    }

    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError> {
        self.host.me(account, token, timeout).await
    }

    async fn conversations(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.host.conversations(account, token, timeout).await
    }

    async fn subscription(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError> {
        self.host.subscription(account, token, timeout).await
    }

    async fn subscribe(
        &self,
        account: &AccountId,
        token: &SealedToken,
        fields: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.host.subscribe(account, token, fields, timeout).await
    }

    async fn media(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Page<MediaItem>>, CallError> {
        self.host.media(account, token, timeout).await
    }

    async fn pictures(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        timeout: Duration,
    ) -> Result<Answered<Vec<MediaId>>, CallError> {
        self.host.pictures(account, token, media, timeout).await
    }

    async fn comments(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        match self.host.comments(account, token, media, after, timeout).await {
            Err(CallError::Refused { error, server_date, .. })
                if after.is_some() && error.classify() == Verdict::BadRequest =>
            {
                let value = Page { items: Vec::new(), next: None };
                Ok(Answered { value, usage: Usage::default(), server_date })
            }
            answer => answer,
        }
    }
}
