//! Reads and other calls that are no sends, each charged to the account's budget before it is made.

use std::time::Duration;

use spillway_core::budget::{Denial, Role};
use spillway_core::hold::HoldCause;
use spillway_core::id::SendId;
use spillway_core::quota::{Action, GRANT_LIFE};
use spillway_core::refusal::{Doubt, Evidence};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_meta::error::Verdict;
use spillway_meta::graph::{Answered, CallError};
use spillway_meta::usage::Usage;
use tracing::{debug, warn};

use super::consequence::Consequence;
use super::{Gateway, NoAnswer as Unread};
use crate::account::Account;
use crate::admin::rfc3339;
use crate::limiter::{NoGrant, Reservation};
use crate::port::StoreError;

/// Why a read brought nothing.
#[derive(Debug)]
pub enum NoAnswer {
    /// The budget has no room for it now.
    Denied(Denial),
    /// The invocation ends before its answer may have come.
    NoTime,
    /// It failed.
    Failed(CallError),
    /// The store did not answer, so that nothing was called.
    Store(StoreError),
}

impl From<NoGrant> for NoAnswer {
    fn from(no_grant: NoGrant) -> Self {
        match no_grant {
            NoGrant::Denied(denial) => Self::Denied(denial),
            NoGrant::Store(error) => Self::Store(error),
        }
    }
}

/// What a dead token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfDead {
    /// The account's token is dead: hold the account.
    Hold,
    /// It is a token that nobody uses yet.
    Tell,
}

/// Whether a read that goes through ends the hold that it was the probe of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It does.
    Hold,
    /// Only a send can tell that the account's hold is over. The app's hold it ends.
    AppHold,
}

impl Gateway {
    /// Takes a unit, makes the read, and takes in its answer. Meta may take `timeout` to answer.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub async fn read<T>(
        &self,
        account: &Account,
        timeout: Duration,
        if_dead: IfDead,
        ends: Ends,
        call: impl AsyncFnOnce(Duration) -> Result<Answered<T>, CallError>,
    ) -> Result<T, NoAnswer> {
        self.read_by(account, None, timeout, (if_dead, ends), call).await
    }

    /// Like [`Self::read`], for a send that has taken its own unit and is called next. Where it is the
    /// probe of a hold, the read goes with it.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub(crate) async fn read_for<T>(
        &self,
        account: &Account,
        send: &SendId,
        timeout: Duration,
        call: impl AsyncFnOnce(Duration) -> Result<Answered<T>, CallError>,
    ) -> Result<T, NoAnswer> {
        self.read_by(account, Some(send), timeout, (IfDead::Hold, Ends::AppHold), call).await
    }

    async fn read_by<T>(
        &self,
        account: &Account,
        send: Option<&SendId>,
        timeout: Duration,
        (if_dead, ends): (IfDead, Ends),
        call: impl AsyncFnOnce(Duration) -> Result<Answered<T>, CallError>,
    ) -> Result<T, NoAnswer> {
        // Should it be a probe, nothing else goes until then.
        let lease_until = self.clock.now() + GRANT_LIFE + timeout + CLOCK_BOUND;
        let reserved = self.limiter.reserve_call(account, Action::Read, send, lease_until);
        let reservation = reserved.await?;
        let ask = async || call(timeout).await;
        match self.read_under(account, &reservation, if_dead, ends, ask).await {
            Ok(value) => Ok(value),
            Err(Unread::Failed(failed)) => Err(NoAnswer::Failed(failed)),
            Err(Unread::TooLate) => {
                self.unused(account, &reservation).await;
                Err(NoAnswer::Failed(CallError::NotWritten))
            }
            Err(Unread::Held(denial)) => {
                self.unused(account, &reservation).await;
                Err(NoAnswer::Denied(denial))
            }
        }
    }

    /// Makes a read under a unit that was taken for something else, and takes in its answer.
    ///
    /// # Errors
    /// Only where the call has failed is the unit used.
    pub(crate) async fn read_under<T>(
        &self,
        account: &Account,
        reservation: &Reservation,
        if_dead: IfDead,
        ends: Ends,
        call: impl AsyncFnOnce() -> Result<Answered<T>, CallError>,
    ) -> Result<T, Unread> {
        match self.call(account, reservation, None, call).await {
            Ok(Answered { value, usage, .. }) => {
                self.read_went_through(account, reservation, ends, &usage).await;
                Ok(value)
            }
            Err(Unread::Failed(failed)) => {
                self.read_failed(account, reservation, &failed, if_dead).await;
                Err(Unread::Failed(failed))
            }
            Err(not_called) => Err(not_called),
        }
    }

    async fn unused(&self, account: &Account, reservation: &Reservation) {
        self.limiter.refund(account, &reservation.grant, &reservation.of_app, 1).await;
    }

    async fn read_went_through(
        &self,
        account: &Account,
        reservation: &Reservation,
        ends: Ends,
        usage: &Usage,
    ) {
        let role = match ends {
            Ends::Hold => reservation.grant.role,
            Ends::AppHold => Role::Normal,
        };
        let app_role = reservation.app_role;
        if role == Role::Probe || app_role == Role::Probe {
            self.limiter.lift(account, role, app_role).await;
            self.wake(account).await;
        }
        self.limiter.learn(account, usage).await;
    }

    async fn read_failed(
        &self,
        account: &Account,
        reservation: &Reservation,
        failed: &CallError,
        if_dead: IfDead,
    ) {
        let verdict = failed.verdict();
        debug!(account = %account.id, error = %failed, %verdict, "a read failed");
        if *failed == CallError::NotWritten {
            return self.unused(account, reservation).await;
        }
        match Consequence::of(failed, &account.id, None) {
            Consequence::HoldApp(cause) => {
                self.limiter.hold_app(cause, failed.into()).await;
            }
            // It says nothing of sends: another permission may be missing than theirs.
            Consequence::Refused(Evidence::Clear(HoldCause::Permission), _)
            | Consequence::Refused(Evidence::Doubt(Doubt::Permission | Doubt::Media), _) => {
                warn!(account = %account.id, error = %failed, "a permission for a read is missing");
            }
            Consequence::Refused(Evidence::Clear(HoldCause::TokenDead), _)
                if if_dead == IfDead::Tell =>
            {
                self.limiter.give_up_probe(account, reservation.grant.role).await;
            }
            Consequence::Refused(Evidence::Clear(cause), _) => {
                self.limiter.hold(account, cause, failed.into()).await;
            }
            Consequence::Refused(Evidence::Doubt(_) | Evidence::Campaign, _)
            | Consequence::HoldRecipient
            | Consequence::Own(_) => {}
        }
    }

    /// Whether there is time for a call of `timeout`, and for what follows from it, before
    /// `deadline`.
    pub(crate) fn has_time(&self, timeout: Duration, deadline: Timestamp) -> bool {
        self.clock.now() + 2 * timeout < deadline
    }
}

impl NoAnswer {
    /// Whether the token is dead.
    pub(crate) fn is_token_dead(&self) -> bool {
        matches!(self, Self::Failed(error) if error.verdict() == Verdict::TokenDead)
    }

    /// Whether Meta has refused it, and would again.
    pub(crate) fn is_refusal(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        !matches!(
            error.verdict(),
            Verdict::Throttled { .. } | Verdict::Blocked | Verdict::Transient | Verdict::Ambiguous
        )
    }

    /// Whether what failed is this call, rather than every call of the account or to Meta.
    pub(crate) fn is_of_the_call(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        *error != CallError::NotWritten
            && !matches!(
                error.verdict(),
                Verdict::Throttled { .. } | Verdict::Blocked | Verdict::TokenDead
            )
    }

    /// Says why, for people.
    pub fn reason(&self) -> String {
        match self {
            Self::Denied(Denial { reason, retry_at }) => match rfc3339(*retry_at) {
                Some(retry_at) => format!("{reason}, until {retry_at}"),
                None => format!("{reason}, until somebody ends it"),
            },
            Self::NoTime => "no time left for the call".into(),
            Self::Failed(error) => error.to_string(),
            Self::Store(error) => error.to_string(),
        }
    }
}
