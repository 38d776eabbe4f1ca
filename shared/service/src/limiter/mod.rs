//! The limiter: an account's stored budget, as one process decides on it.
//!
//! Each decision is one write on the budget's version. A warm process starts from the budget it has
//! seen last, and reads first only where another process has decided meanwhile: a write that fails
//! costs five times what a read does. It remembers denials, so that denied traffic writes nothing.
//!
//! After a lost race the process reads first, until it finds that nobody else has written. In a
//! fleet this is nearly always so.
//!
//! A unit of a recipients quota is moved to the latest message only where a profile lets an
//! account send more messages than it may write to people. There a message costs one more read
//! and write, a second message to the same person is one transaction, and the messages of a
//! batch are decided one by one.

mod holds;
mod reserve;

use std::sync::Arc;
use std::time::Duration;

use spillway_core::answers::Tally;
use spillway_core::budget::{Budget, Denial, DenialReason, GrantId};
use spillway_core::feedback::Usage as Reported;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::quota::Action;
use spillway_core::send::{Class, Lane};
use spillway_core::time::Timestamp;
use tracing::warn;

pub use self::holds::AnswerDetails;
pub use self::reserve::{Charged, ChooseText, NoGrant, Reservation, Reserved};
use crate::account_cache::AccountCache;
use crate::app::App;
use crate::clock::{Clock, ClockCheck};
use crate::grant::GrantIds;
use crate::metrics::Meter;
use crate::port::{Budgets, Journal, Read, StoreError};
use crate::send_task::SendTask;
use crate::ttl_cache::TtlCache;
use crate::versioned::{BudgetOf, Measured, measure_and_replace};

/// A budget seen this long ago still decides; a denial from an older one is checked against the
/// stored budget first, since a hold may have been lifted.
const BUDGET_FRESH: Duration = Duration::from_secs(30);

/// About the heap that a budget takes: ten windows of up to 150 buckets.
const BUDGET_BYTES: usize = 4 << 10;

/// Races for the budget that one decision may lose before it waits.
const BUDGET_TRIES: usize = 6;

/// Races that a write which must not be lost, a hold or its end, may lose.
const HOLD_TRIES: usize = 50;

/// The wait after losing every race for the budget.
pub(crate) const CONTENDED_WAIT: Duration = Duration::from_secs(2);

/// The wait of a message that a process with a wrong clock met.
const CLOCK_WAIT: Duration = Duration::from_secs(30);

/// Decides on budgets.
pub struct Limiter {
    account_cache: Arc<AccountCache>,
    budgets: Arc<dyn Budgets>,
    app: App,
    ids: Arc<GrantIds>,
    clock: Arc<dyn Clock>,
    check: Arc<ClockCheck>,
    meter: Arc<Meter>,
    /// Records holds for people to read.
    journal: Option<Arc<dyn Journal>>,
    /// The budget last seen, and when.
    seen: TtlCache<AccountId, (Budget, Timestamp)>,
    /// Accounts whose budget others were found to write between two decisions of this process.
    shared: TtlCache<AccountId, ()>,
    denials: TtlCache<(AccountId, Option<Lane>, Action), Denial>,
    /// Usage that Meta reported and that is not in the budget yet: it goes with the next decision.
    reported: TtlCache<AccountId, Reported>,
    /// Calls that are not counted in the budget yet: they go with its next change.
    answers: TtlCache<AccountId, Tally>,
}

impl Limiter {
    /// A limiter over `budgets` and `app` that has seen nothing yet.
    pub fn new(
        account_cache: Arc<AccountCache>,
        budgets: Arc<dyn Budgets>,
        app: App,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        check: Arc<ClockCheck>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            account_cache,
            budgets,
            app,
            ids,
            journal: None,
            seen: TtlCache::new(&clock),
            shared: TtlCache::new(&clock),
            denials: TtlCache::new(&clock),
            reported: TtlCache::new(&clock),
            answers: TtlCache::new(&clock),
            clock,
            check,
            meter,
        }
    }

    /// Writes the beginnings and ends of holds into `journal` too.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.app.set_journal(journal.clone());
        Self { journal: Some(journal), ..self }
    }

    /// Writes into the account's journal. Nothing is decided on it, so a failure is only logged.
    async fn note(&self, account: &AccountId, what: Event) {
        let Some(journal) = &self.journal else { return };
        let entry = JournalEntry { at: self.clock.now(), account: account.clone(), what };
        if let Err(error) = journal.append(&entry).await {
            warn!(%account, %error, "not written into the journal");
        }
    }

    /// Changes the stored budget, again until it holds; `None` from `change` leaves it. Gives it as
    /// it was and as it is.
    async fn change(
        &self,
        account: &AccountId,
        change: impl Fn(&Budget, GrantId) -> Option<Budget> + Send + Sync,
    ) -> Result<(Budget, Budget), StoreError> {
        let (budget, id) = (self.budgets.load(account).await?, self.ids.next());
        let counted = self.answers.take(account).unwrap_or_default();
        let change = |budget: &Budget| {
            let Some(mut next) = change(budget, id) else { return (None, None) };
            next.answers = next.answers.and(counted, self.clock.now().max(next.decided_at));
            let news = next.answers.tell();
            (news, Some(next))
        };
        let stored = BudgetOf(&*self.budgets, account);
        let changed = measure_and_replace(&stored, budget, HOLD_TRIES, change).await;
        if !matches!(changed, Ok(Some(Measured { after: Some(_), .. }))) {
            self.add_answers(account, counted);
        }
        let Some(Measured { before, after, result: news }) = changed? else {
            let detail = format!("lost {HOLD_TRIES} races");
            return Err(StoreError::unavailable("change the budget", detail));
        };
        let Some(after) = after else { return Ok((before.clone(), before)) };
        self.remember(account, after.clone(), self.clock.now());
        if let Some(Tally { calls, server_errors }) = news {
            warn!(%account, calls, server_errors, "many calls end in a 5xx");
            self.note(account, Event::ServerErrors { calls, server_errors }).await;
        }
        Ok((before, after))
    }

    /// The budget to begin with, and when it stood so: the one seen last, or the stored one where
    /// others write it too. One that lags grants nothing, since its version is an old one; what it
    /// denies is checked, since it may have stood so at any time.
    async fn budget(
        &self,
        account: &AccountId,
        how: Read,
    ) -> Result<(Budget, Timestamp), StoreError> {
        let now = self.clock.now();
        let seen = self.seen.get(account);
        match seen {
            Some(known) if self.shared.get(account).is_none() => Ok(known),
            _ => {
                let stored = self.budgets.read(account, how).await?;
                if seen.is_some_and(|(seen, _)| seen.version == stored.version) {
                    self.shared.forget(account);
                }
                let stood_at = match how {
                    Read::Consistent => now,
                    Read::Eventual => Timestamp::EPOCH,
                };
                Ok((stored, stood_at))
            }
        }
    }

    fn remember(&self, account: &AccountId, budget: Budget, seen_at: Timestamp) {
        self.seen.put(account.clone(), (budget, seen_at), BUDGET_BYTES, Duration::MAX);
    }

    /// Denied traffic costs nothing until the denial ends; for at most a while, because a hold may
    /// be lifted by others.
    fn remember_denial(
        &self,
        key: (AccountId, Option<Lane>, Action),
        denial: &Denial,
        now: Timestamp,
    ) {
        // Of one person's or campaign's hold the others know nothing, and the app's is remembered
        // by itself.
        let is_own =
            matches!(denial.reason, DenialReason::RecipientHold | DenialReason::CampaignHold);
        if !is_own && !matches!(denial.reason, DenialReason::AppHold(_)) {
            let life = denial.retry_at.since(now).min(BUDGET_FRESH);
            self.denials.put(key, denial.clone(), 0, life);
        }
    }
}

/// Everything that an account may be denied under.
fn keys(account: &AccountId) -> impl Iterator<Item = (AccountId, Option<Lane>, Action)> {
    let lanes = Class::ALL.into_iter().map(|Class { lane, action }| (Some(lane), action));
    let others = Action::ALL.into_iter().map(|action| (None, action));
    lanes.chain(others).map(|(lane, action)| (account.clone(), lane, action))
}

/// The hold of a task's own person or campaign.
fn own_hold(budget: &Budget, task: &SendTask, now: Timestamp) -> Option<Denial> {
    let held = |person| budget.holds.recipient_held_until(person, now);
    let of_person = task.recipient.as_ref().and_then(held);
    let denial = |reason| move |retry_at| Denial { reason, retry_at };
    of_person.map(denial(DenialReason::RecipientHold)).or_else(|| {
        let held = budget.holds.refusals.campaign_held_until(&task.content.campaign, now);
        held.map(denial(DenialReason::CampaignHold))
    })
}
