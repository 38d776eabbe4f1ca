//! Upkeep: tokens are renewed, subscriptions are kept whole, and comments that no webhook told of
//! are found.
//!
//! A schedule starts a run ([`Upkeeper::run`]), which visits the accounts that are due, a few at a
//! time, until its time is up; those that have waited longest come first, so that what one run does
//! not reach the next one does. An account that fails is due again after a while and stops no
//! other. There is no queue between: a visit is mostly one call an hour, and nobody waits for it.
//!
//! The accounts are listed in eight partitions, each with the instant at which it is due. A
//! visit begins by moving this instant on, on the condition of the old one. So one run has an
//! account, and an account whose visit died is due again in ten minutes.

mod albums;
mod backfill;
mod caller;
mod examine;
mod next_post;
mod subscription;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{BACKFILL_MAX, Backfill, Reason, TokenDuty, TokenLife, Upkeep};
use spillway_meta::graph::Me;
use tracing::{error, info, warn};

pub use self::backfill::Intake;
use self::caller::Caller;
pub use self::examine::{CommentsRead, Examined};
use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::admin::removal::Remover;
use crate::clock::{Clock, ClockCheck};
use crate::gateway::Gateway;
pub use crate::gateway::read::NoAnswer;
use crate::gateway::read::{Ends, IfDead};
use crate::limiter::AnswerDetails;
use crate::metrics::{Meter, Metric};
use crate::port::{
    AccountChanges, AccountGraph, Backlogs, Budgets, Cursors, Journal, KeptToken,
    MaintenanceRecord, MaintenanceSchedule, StoreError, Tokens,
};

/// Accounts visited at a time.
const ACCOUNTS_AT_ONCE: usize = 8;

/// How long a visit may take. An account whose visit did not end is due again then.
pub const VISIT: Duration = Duration::from_secs(600);

/// What a run keeps back for visits that are under way when it stops beginning new ones.
const LAST_VISITS: Duration = Duration::from_secs(60);

/// Keeps accounts up.
pub struct Upkeeper {
    /// Accounts.
    pub account_cache: Arc<AccountCache>,
    /// Makes each call, charged to its account.
    pub gateway: Gateway,
    /// Their budgets: read, to see what is left.
    pub budgets: Arc<dyn Budgets>,
    /// Their cursors: read, to see what waits.
    pub cursors: Arc<dyn Cursors>,
    /// Marks of accounts with waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Lists the accounts, and what is known of each.
    pub maintenance: Arc<dyn MaintenanceSchedule>,
    /// Changes what is known of their albums.
    pub changes: Arc<dyn AccountChanges>,
    /// Their tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Removes accounts at their owners' request.
    pub remover: Remover,
    /// Their journals.
    pub journal: Arc<dyn Journal>,
    /// Meta.
    pub graph: Arc<dyn AccountGraph>,
    /// Takes the comments that were found.
    pub intake: Arc<dyn Intake>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// Records what happens.
    pub meter: Arc<Meter>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Accounts visited.
    pub visited: usize,
    /// Of these, those whose visit failed.
    pub failed: usize,
    /// Accounts that were due and are left for the next run.
    pub left: usize,
}

/// How one visit ended.
enum Visit {
    Done,
    /// Another run has the account.
    Taken,
    Failed,
    /// The run's time was up.
    Left,
}

/// What there is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing before the next check.
    Check,
    /// Something is left: the next run goes on.
    Soon,
}

impl Next {
    fn and(self, other: Self) -> Self {
        if other == Self::Soon { other } else { self }
    }
}

impl Upkeeper {
    /// Visits the accounts that are due until `deadline` at most.
    ///
    /// # Errors
    /// Fails if it cannot be found out which are due. What fails for one account is logged.
    pub fn run(&self, deadline: Timestamp) -> BoxFuture<'_, Result<Kept, StoreError>> {
        Box::pin(async move {
            let due = self.maintenance.due(self.clock.now()).await?;
            let last_start = deadline - LAST_VISITS;
            let visits = stream::iter(due)
                .map(|(account, due)| async move {
                    if self.clock.now() >= last_start {
                        Visit::Left
                    } else {
                        self.visit(account, due, deadline).await
                    }
                })
                .buffer_unordered(ACCOUNTS_AT_ONCE);
            let kept = visits
                .fold(Kept::default(), |mut kept, visit| async move {
                    kept.visited += usize::from(matches!(visit, Visit::Done | Visit::Failed));
                    kept.failed += usize::from(matches!(visit, Visit::Failed));
                    kept.left += usize::from(matches!(visit, Visit::Left));
                    kept
                })
                .await;
            if kept.left > 0 {
                warn!(
                    left = kept.left,
                    visited = kept.visited,
                    "not all accounts visited in time; the next run begins with them"
                );
            }
            Ok(kept)
        })
    }

    async fn visit(&self, id: AccountId, due: Timestamp, deadline: Timestamp) -> Visit {
        let until = self.clock.now() + VISIT;
        let outcome = async {
            let Some(record) = self.maintenance.visit(&id, due, until).await? else {
                return Ok(Visit::Taken);
            };
            if !self.check.is_trusted() {
                // To a wrong clock tokens have ended. The next run has another one, or a right one.
                return Ok(Visit::Left);
            }
            self.keep(&id, record, until, deadline).await?;
            Ok(Visit::Done)
        };
        outcome.await.unwrap_or_else(|error: StoreError| {
            error!(account = %id, %error, "upkeep of the account failed; it is tried again");
            self.meter.store_failed(&error);
            self.meter.count(Metric::FailedVisits, 1);
            Visit::Failed
        })
    }

    async fn keep(
        &self,
        id: &AccountId,
        record: MaintenanceRecord,
        until: Timestamp,
        deadline: Timestamp,
    ) -> Result<(), StoreError> {
        if !record.delete.is_empty() {
            return self.remover.go_on(id).await;
        }
        let account = self.account_cache.refresh(id).await?;
        let kept = self.tokens.load(id).await?;
        let (Some(account), Some(kept)) = (account, kept) else {
            info!(account = %id, "not connected any more: upkeep of it ends when nothing waits");
            return self.remover.go_on(id).await;
        };
        let mut upkeep = record.upkeep.clone();
        let next = self.duties(&account, kept, &record, &mut upkeep, deadline).await;
        // What was found out before something failed stays found out.
        let due = match &next {
            Ok(Next::Check) => upkeep.due_after(self.clock.now()),
            Ok(Next::Soon) | Err(_) => self.clock.now(),
        };
        self.maintenance.settle(id, until, &upkeep, due).await?;
        next.map(|_| ())
    }

    async fn duties(
        &self,
        account: &Account,
        kept: KeptToken,
        record: &MaintenanceRecord,
        upkeep: &mut Upkeep,
        deadline: Timestamp,
    ) -> Result<Next, StoreError> {
        self.take_note(account, kept.life, record, upkeep).await;
        let is_for_sends = self.is_for_sends(account).await?;
        if is_for_sends && !self.owes_token(&kept, upkeep) {
            return Ok(Next::Soon);
        }
        self.graph.prepare(&account.id, &kept.token).await?;
        let token = kept.token.clone();
        let ends = if is_for_sends { Ends::AppHold } else { Ends::Hold };
        let mut caller = Caller { gateway: &self.gateway, account, token, deadline, ends };
        if is_for_sends {
            self.gateway.limiter.ask_for_turn(account).await?;
            self.keep_token(&mut caller, kept, upkeep).await?;
            return Ok(Next::Soon);
        }
        self.meet(&caller, upkeep).await?;
        let life = kept.life;
        let mut next = self.keep_token(&mut caller, kept, upkeep).await?;
        if upkeep.dead_since.is_some() {
            // Each further call would be refused, and none can be made for the account.
            return Ok(next);
        }
        next = next.and(self.keep_subscription(&caller, record, life, upkeep).await?);
        next = next.and(self.find_next_posts(&caller, upkeep).await?);
        next = next.and(self.read_albums(&caller, upkeep).await?);
        self.listen(account, record, life, upkeep).await;
        // A comment may be listed without its author's id. By its name the account knows its own,
        // which it must not answer.
        if upkeep.username.is_some() {
            next = next.and(self.read_comments(&caller, record, upkeep).await?);
        }
        Ok(next)
    }

    /// Whether the account's hold is for sends to end: those that wait tell whether sends go
    /// through again, which a read does not. A token is alive for either.
    ///
    /// Until then only the token is kept up, which ends however long the hold lasts. A look at the
    /// subscription would take the one call that may find out whether sends go through, up to two
    /// days apart, and gain nothing: what no webhook tells of meanwhile could not be answered, and
    /// is read once the hold is over, as far back as a comment can still be answered.
    async fn is_for_sends(&self, account: &Account) -> Result<bool, StoreError> {
        let held = self.budgets.load(&account.id).await?.holds.current;
        match held.map(|hold| hold.cause) {
            None | Some(HoldCause::TokenDead) => Ok(false),
            Some(_) => Ok(self.cursors.load(&account.id).await?.parked.is_some()),
        }
    }

    /// Whether something is due for the token, which ends however long the account is on hold.
    fn owes_token(&self, kept: &KeptToken, upkeep: &Upkeep) -> bool {
        let duty = kept.life.duty(upkeep.renewal_failed_at, self.clock.now());
        kept.next.is_some() || duty != TokenDuty::Rest
    }

    /// Asks once how an account is named: its own comments are told by its name, and Meta's
    /// requests about it by the id that the app alone has for it.
    async fn meet(&self, caller: &Caller<'_>, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        if upkeep.username.is_some() || upkeep.dead_since.is_some() {
            return Ok(());
        }
        let id = &caller.account.id;
        let me = caller
            .call(IfDead::Hold, async |timeout| self.graph.me(id, &caller.token, timeout).await)
            .await;
        match me {
            Ok(me) if me.account == *id => self.know(id, me, upkeep).await?,
            Ok(_) => error!(account = %id, "its token is another account's: connect it again"),
            Err(failed) if failed.is_token_dead() => self.died(caller, upkeep).await,
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    async fn know(&self, id: &AccountId, me: Me, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        if let Some(app_scoped) =
            me.app_scoped.filter(|new| upkeep.app_scoped.as_ref() != Some(new))
        {
            let life = self.tokens.load(id).await?.map(|kept| kept.life);
            self.remover.name(id, &app_scoped, life.unwrap_or_default()).await?;
            upkeep.app_scoped = Some(app_scoped);
        }
        upkeep.username = Some(me.username.unwrap_or_default());
        Ok(())
    }

    /// Takes note of what others have asked for. `life` is that of the token in use: one that was
    /// obtained after the owner had removed the app is alive.
    async fn take_note(
        &self,
        account: &Account,
        life: TokenLife,
        record: &MaintenanceRecord,
        upkeep: &mut Upkeep,
    ) {
        let now = self.clock.now();
        if record.deauthorized_at > upkeep.deauthorized_at {
            upkeep.deauthorized_at = record.deauthorized_at;
            if life.obtained_at <= record.deauthorized_at {
                upkeep.dead_since = upkeep.dead_since.or(Some(now));
                self.tell(&account.id, Event::Deauthorized).await;
                self.gateway
                    .limiter
                    .hold(account, HoldCause::TokenDead, AnswerDetails::default())
                    .await;
            }
        }
        if record.backfill_asked_at > upkeep.asked_at {
            upkeep.asked_at = record.backfill_asked_at;
            upkeep.counts.clear();
            upkeep.backfill = Some(Backfill::new(Reason::Asked, now - BACKFILL_MAX, now));
        }
    }

    /// Writes into the account's journal; a failure is only logged.
    async fn tell(&self, account: &AccountId, what: Event) {
        let entry = JournalEntry { at: self.clock.now(), account: account.clone(), what };
        if let Err(error) = self.journal.append(&entry).await {
            warn!(%account, %error, "not written into the journal");
        }
    }
}
