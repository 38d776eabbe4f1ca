//! The calls of one visit.

use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_meta::graph::{Answered, CallError};

use crate::account::{Account, SealedToken};
use crate::gateway::Gateway;
use crate::gateway::read::{Ends, IfDead, NoAnswer};

/// How long Meta may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes calls for an account during one visit.
pub(super) struct Caller<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) account: &'a Account,
    pub(super) token: SealedToken,
    /// The end of the invocation.
    pub(super) deadline: Timestamp,
    pub(super) ends: Ends,
}

impl Caller<'_> {
    /// Whether there is time for another call, and for what follows from it, before the invocation
    /// ends.
    pub(super) fn has_time(&self) -> bool {
        self.gateway.has_time(CALL_TIMEOUT, self.deadline)
    }

    /// Charges a unit and makes the call.
    pub(super) async fn call<T>(
        &self,
        if_dead: IfDead,
        call: impl AsyncFnOnce(Duration) -> Result<Answered<T>, CallError>,
    ) -> Result<T, NoAnswer> {
        if !self.has_time() {
            return Err(NoAnswer::NoTime);
        }
        self.gateway.read(self.account, CALL_TIMEOUT, if_dead, self.ends, call).await
    }
}
