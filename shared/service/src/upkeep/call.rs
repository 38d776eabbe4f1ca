//! One call of upkeep: charged to the account's budget like every other, and its answer learned
//! from.

use std::time::Duration;

use spillway_core::budget::{Denial, Role};
use spillway_core::hold::HoldCause;
use spillway_core::quota::Action;
use spillway_core::quota::GRANT_LIFE;
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_meta::error::{ThrottleScope, Verdict};
use spillway_meta::graph::{Answered, CallError};
use spillway_meta::usage::Usage;
use tracing::{debug, error, warn};

use super::Upkeeper;
use crate::account::{Account, SealedToken};
use crate::clock::Server;
use crate::limiter::Reservation;
use crate::metrics::Metric;
use crate::port::StoreError;

/// How long Meta may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes calls for an account during one visit.
pub(super) struct Caller<'a> {
    pub(super) upkeeper: &'a Upkeeper,
    pub(super) account: &'a Account,
    pub(super) token: SealedToken,
    /// The end of the invocation.
    pub(super) deadline: Timestamp,
    /// Whether a call that goes through ends a hold: not one that only a send can tell to be over.
    pub(super) ends_hold: bool,
}

/// Why a call brought no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// There is no room for it now.
    Denied(Denial),
    /// The invocation ends before its answer may have come.
    NoTime,
    /// It failed.
    Failed(CallError),
}

/// What a dead token means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfDead {
    /// The account's token is dead: hold the account.
    Hold,
    /// It is a token that nobody uses yet.
    Tell,
}

impl Caller<'_> {
    /// Whether there is time for another call, and for what follows from it, before the invocation
    /// ends.
    pub(super) fn has_time(&self) -> bool {
        self.upkeeper.clock.now() + 2 * CALL_TIMEOUT < self.deadline
    }

    /// Charges a unit and makes the call.
    pub(super) async fn call<T>(
        &self,
        if_dead: IfDead,
        call: impl AsyncFnOnce(Duration) -> Result<Answered<T>, CallError>,
    ) -> Result<Result<T, NoAnswer>, StoreError> {
        let Upkeeper { limiter, clock, meter, .. } = self.upkeeper;
        if !self.has_time() {
            return Ok(Err(NoAnswer::NoTime));
        }
        // Should it be a probe, nothing else goes until then.
        let lease_until = clock.now() + GRANT_LIFE + CALL_TIMEOUT + CLOCK_BOUND;
        let reserved = limiter.reserve_call(self.account, Action::Read, lease_until).await?;
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(denial) => return Ok(Err(NoAnswer::Denied(denial))),
        };
        if clock.monotonic() > reservation.usable_until {
            limiter.refund(self.account, &reservation.grant, &reservation.of_app, 1).await;
            return Ok(Err(NoAnswer::Failed(CallError::NotWritten)));
        }
        // A visit to another account may have met a limit of the app since the decision.
        if let Some(denial) = limiter.known_hold(&self.account.id, &reservation, None) {
            limiter.refund(self.account, &reservation.grant, &reservation.of_app, 1).await;
            return Ok(Err(NoAnswer::Denied(denial)));
        }
        let (before, began) = (clock.now(), clock.monotonic());
        let result = call(CALL_TIMEOUT).await;
        meter.see_span(Metric::GraphLatency, clock.monotonic().saturating_sub(began));
        limiter.count_call(&self.account.id, result.as_ref().err());
        match result {
            Ok(Answered { value, usage, server_date }) => {
                self.compare(before, server_date);
                self.went_through(&reservation, &usage).await;
                Ok(Ok(value))
            }
            Err(error) => {
                meter.call_failed(&error);
                if let CallError::Refused { server_date, .. } = &error {
                    self.compare(before, *server_date);
                }
                self.failed(&reservation, &error, if_dead).await;
                Ok(Err(NoAnswer::Failed(error)))
            }
        }
    }

    fn compare(&self, before: Timestamp, server_date: Option<Timestamp>) {
        if let Some(date) = server_date {
            let Upkeeper { check, clock, .. } = self.upkeeper;
            check.compare_with(Server::Meta, before, date, &**clock);
        }
    }

    /// Meta answered with no limit: a hold that this was the probe of is over.
    async fn went_through(&self, reservation: &Reservation, usage: &Usage) {
        let Upkeeper { limiter, backlogs, clock, .. } = self.upkeeper;
        let role = if self.ends_hold { reservation.grant.role } else { Role::Normal };
        let app_role = reservation.app_role;
        if role == Role::Probe || app_role == Role::Probe {
            limiter.lift(self.account, role, app_role).await;
            if let Err(error) = backlogs.wake(&self.account.id, clock.now()).await {
                error!(account = %self.account.id, %error, "could not mark the backlog");
            }
        }
        limiter.learn(self.account, usage).await;
    }

    async fn failed(&self, reservation: &Reservation, error: &CallError, if_dead: IfDead) {
        let limiter = &self.upkeeper.limiter;
        let (usage, verdict) = (usage(error), error.verdict());
        debug!(account = %self.account.id, %error, ?verdict, "a call of upkeep failed");
        match verdict {
            _ if *error == CallError::NotWritten => {
                limiter.refund(self.account, &reservation.grant, &reservation.of_app, 1).await;
            }
            Verdict::Throttled { scope: ThrottleScope::App } => {
                limiter.hold_app(HoldCause::Throttled, usage.regain).await;
            }
            Verdict::Throttled { scope: ThrottleScope::Account } => {
                limiter.hold(self.account, HoldCause::Throttled, usage.regain).await;
            }
            Verdict::Blocked => {
                limiter.hold(self.account, HoldCause::Blocked, usage.regain).await;
            }
            Verdict::TokenDead if if_dead == IfDead::Hold => {
                limiter.hold(self.account, HoldCause::TokenDead, usage.regain).await;
            }
            // It says nothing of sends: another permission may be missing than theirs.
            Verdict::Permission | Verdict::PermissionUnclear | Verdict::MediaUnclear => {
                warn!(account = %self.account.id, %error, "a permission for upkeep is missing");
            }
            _ => {}
        }
    }
}

impl NoAnswer {
    /// Whether the token is dead.
    pub(super) fn is_token_dead(&self) -> bool {
        matches!(self, Self::Failed(error) if error.verdict() == Verdict::TokenDead)
    }

    /// Whether Meta has refused it, and would again.
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        !matches!(
            error.verdict(),
            Verdict::Throttled { .. } | Verdict::Blocked | Verdict::Transient | Verdict::Ambiguous
        )
    }

    /// Whether what failed is this call, rather than every call of the account or to Meta.
    pub(super) fn is_of_the_call(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        *error != CallError::NotWritten
            && !matches!(
                error.verdict(),
                Verdict::Throttled { .. } | Verdict::Blocked | Verdict::TokenDead
            )
    }

    /// In words.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Denied(denial) => format!("no room for the call: {:?}", denial.reason),
            Self::NoTime => "no time left for the call".into(),
            Self::Failed(error) => error.to_string(),
        }
    }
}

fn usage(error: &CallError) -> Usage {
    match error {
        CallError::Refused { usage, .. } => *usage,
        _ => Usage::default(),
    }
}
