//! The limiter: an account's stored budget, as one process decides on it.
//!
//! Each decision is one write on the budget's version. A warm process starts from the budget it has
//! seen last, so that it reads only after losing a race, and remembers denials, so that denied
//! traffic writes nothing.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use spillway_core::budget::{Bound, Budget, Decision, Denial, Grant, GrantId, Want};
use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::quota::{Action, GRANT_LIFE};
use spillway_core::time::Timestamp;
use spillway_meta::graph::CONNECT_TIMEOUT;
use tracing::{error, warn};

use crate::account::Account;
use crate::clock::{Clock, ClockCheck};
use crate::grant::GrantIds;
use crate::memory::Memory;
use crate::port::{Budgets, Saved, StoreError};
use crate::ticket::Ticket;

/// A budget seen this long ago still decides; a denial from an older one is checked against the
/// stored budget first, since a hold may have been lifted.
const BUDGET_FRESH: Duration = Duration::from_secs(30);

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
    budgets: Arc<dyn Budgets>,
    ids: Arc<GrantIds>,
    clock: Arc<dyn Clock>,
    check: Arc<ClockCheck>,
    /// The budget last seen, and when.
    seen: Memory<AccountId, (Budget, Timestamp)>,
    denials: Memory<(AccountId, Action), Denial>,
}

/// A decision that has been written, and what was not granted.
pub(crate) struct Reserved {
    pub(crate) reservation: Option<Reservation>,
    pub(crate) denial: Option<Denial>,
}

impl Reserved {
    fn denied(bound: Bound, retry_at: Timestamp) -> Self {
        Self { reservation: None, denial: Some(Denial { bound, retry_at }) }
    }
}

/// Units taken for the first of the tickets.
pub(crate) struct Reservation {
    pub(crate) grant: Grant,
    /// For each granted send, in order, the text it gets.
    pub(crate) variants: Vec<usize>,
    /// On the monotonic clock: no call starts after this. A connection may take
    /// [`CONNECT_TIMEOUT`] more before the request is written.
    pub(crate) usable_until: Duration,
}

impl Limiter {
    /// A limiter over `budgets` that has seen nothing yet.
    pub fn new(
        budgets: Arc<dyn Budgets>,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        check: Arc<ClockCheck>,
    ) -> Self {
        Self { budgets, ids, clock, check, seen: Memory::new(), denials: Memory::new() }
    }

    /// Takes units for as many of the tickets, all of one lane, as fit, in one write.
    pub(crate) async fn reserve(
        &self,
        account: &Account,
        tickets: &[&Ticket],
        lease_until: Timestamp,
    ) -> Result<Reserved, StoreError> {
        let (Some(first), Some(units)) =
            (tickets.first(), u32::try_from(tickets.len()).ok().and_then(NonZeroU32::new))
        else {
            return Ok(Reserved { reservation: None, denial: None });
        };
        let action = first.lane.action();
        let key = (account.id.clone(), action);
        let now = self.clock.now();
        if !self.check.is_trusted(self.clock.monotonic()) {
            return Ok(Reserved::denied(Bound::Clock, now + CLOCK_WAIT));
        }
        if let Some(denial) = self.denials.get(&key, now) {
            return Ok(Reserved { reservation: None, denial: Some(denial) });
        }
        let want = Want { action, units, first: &first.send, lease_until };
        let (mut budget, mut seen_at) = self.budget(&account.id, now).await?;
        // Reading it may have shown that the clock is off.
        if !self.check.is_trusted(self.clock.monotonic()) {
            return Ok(Reserved::denied(Bound::Clock, now + CLOCK_WAIT));
        }
        let id = self.ids.next();
        for _ in 0..BUDGET_TRIES {
            // Both clocks are read before the write: the grant's life includes it.
            let now = self.clock.now();
            let usable_until = self.clock.monotonic() + GRANT_LIFE - CONNECT_TIMEOUT;
            match budget.decide(&account.profile, &want, now, id) {
                Decision::Denied(denial) => {
                    if now.since(seen_at) > BUDGET_FRESH {
                        (budget, seen_at) = (self.budgets.load(&account.id).await?, now);
                        continue;
                    }
                    self.remember(&account.id, budget, seen_at);
                    self.remember_denial(key, &denial, now);
                    return Ok(Reserved { reservation: None, denial: Some(denial) });
                }
                Decision::Granted(grant, mut next, denial) => {
                    let variants = pick_variants(account, tickets, &grant, &mut next);
                    match self.budgets.save(&account.id, &next).await? {
                        // The clock may have jumped since the last answer: this one tells. What
                        // was taken stays taken, which errs on the safe side.
                        Saved::Done if !self.check.is_trusted(self.clock.monotonic()) => {
                            return Ok(Reserved::denied(Bound::Clock, now + CLOCK_WAIT));
                        }
                        Saved::Done => {
                            self.remember(&account.id, *next, now);
                            let reservation = Reservation { grant, variants, usable_until };
                            return Ok(Reserved { reservation: Some(reservation), denial });
                        }
                        Saved::Conflict(current) => (budget, seen_at) = (current, now),
                    }
                }
            }
        }
        self.seen.forget(&account.id);
        Ok(Reserved::denied(Bound::Contention, self.clock.now() + CONTENDED_WAIT))
    }

    /// Gives units back. Tried once: a lost refund errs on the safe side.
    pub(crate) async fn refund(&self, account: &Account, grant: &Grant, units: u32) {
        let now = self.clock.now();
        let result = async {
            let (budget, _) = self.budget(&account.id, now).await?;
            let next = budget.refund(&account.profile, grant, units, self.ids.next());
            match self.budgets.save(&account.id, &next).await? {
                Saved::Done => self.remember(&account.id, next, now),
                Saved::Conflict(current) => self.remember(&account.id, current, now),
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = result.await {
            self.seen.forget(&account.id);
            warn!(account = %account.id, units, %error, "units not given back");
        }
    }

    /// Puts the account on hold and says until when. This process stops at once, all others with
    /// the write.
    pub(crate) async fn hold(
        &self,
        account: &Account,
        cause: HoldCause,
        regain: Option<Duration>,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        let stop = Denial { bound: Bound::Hold(cause), retry_at: now + BUDGET_FRESH };
        for action in Action::ALL {
            self.remember_denial((account.id.clone(), action), &stop, now);
        }
        let held =
            self.change(&account.id, |budget, id| Some(budget.hold(cause, now, regain, id))).await;
        match held {
            Ok(budget) => {
                let until = budget.holds.current.map_or(now, |hold| hold.until);
                warn!(account = %account.id, ?cause, strikes = budget.holds.strikes, hold_s = until.since(now).as_secs(), "on hold");
                Some(until)
            }
            Err(error) => {
                error!(account = %account.id, %error, "could not record the hold");
                None
            }
        }
    }

    /// Ends the hold: its probe went through.
    pub(crate) async fn lift(&self, account: &Account) {
        for action in Action::ALL {
            self.denials.forget(&(account.id.clone(), action));
        }
        let lifted = self
            .change(&account.id, |budget, id| {
                budget.holds.current.is_some().then(|| budget.lift(id))
            })
            .await;
        match lifted {
            Ok(_) => warn!(account = %account.id, "hold ended: the probe went through"),
            Err(error) => error!(account = %account.id, %error, "could not end the hold"),
        }
    }

    /// Changes the stored budget, again until it holds; `None` from `change` leaves it.
    async fn change(
        &self,
        account: &AccountId,
        change: impl Fn(&Budget, GrantId) -> Option<Budget> + Send + Sync,
    ) -> Result<Budget, StoreError> {
        let mut budget = self.budgets.load(account).await?;
        let id = self.ids.next();
        for _ in 0..HOLD_TRIES {
            let Some(next) = change(&budget, id) else { return Ok(budget) };
            match self.budgets.save(account, &next).await? {
                Saved::Done => {
                    self.remember(account, next.clone(), self.clock.now());
                    return Ok(next);
                }
                Saved::Conflict(current) => budget = current,
            }
        }
        let detail = format!("lost {HOLD_TRIES} races");
        Err(StoreError::Unavailable { what: "change the budget", detail })
    }

    async fn budget(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(Budget, Timestamp), StoreError> {
        match self.seen.get(account, now) {
            Some(known) => Ok(known),
            None => Ok((self.budgets.load(account).await?, now)),
        }
    }

    fn remember(&self, account: &AccountId, budget: Budget, seen_at: Timestamp) {
        let now = self.clock.now();
        self.seen.put(account.clone(), (budget, seen_at), Timestamp::NEVER, now);
    }

    /// Denied traffic costs nothing until the denial ends; for at most a while, because a hold may
    /// be lifted by others.
    fn remember_denial(&self, key: (AccountId, Action), denial: &Denial, now: Timestamp) {
        let until = denial.retry_at.min(now + BUDGET_FRESH);
        self.denials.put(key, denial.clone(), until, now);
    }
}

fn pick_variants(
    account: &Account,
    tickets: &[&Ticket],
    grant: &Grant,
    next: &mut Budget,
) -> Vec<usize> {
    tickets
        .iter()
        .take(grant.units as usize)
        .map(|Ticket { send, campaign, .. }| {
            let variants = account.campaigns.get(campaign).map_or(1, |c| c.messages.len());
            next.rotation.pick(campaign, send, variants)
        })
        .collect()
}
