//! Whether a comment can still be answered, where only Meta knows when it was made.

use std::time::Duration;

use spillway_core::send::{Address, Earlier, Lane, Outcome, REPLY_WINDOW, Step};
use spillway_core::time::Timestamp;
use tracing::{error, warn};

use super::attempt::Claimed;
use super::resolution::Resolution;
use super::{ANSWER_TIME, Deliver, RECORDING_TIME, lease_until};
use crate::account::Account;
use crate::gateway::read;
use crate::limiter::Reservation;

/// A webhook may tell of a comment that much later than it was written (Meta, webhooks, 3 March
/// 2026).
const NOTIFIED_LATE_MAX: Duration = Duration::from_secs(36 * 3600);

impl Deliver {
    /// Checks that a comment can still be answered. A webhook may come up to 36 hours after it, so
    /// near the deadline the comment may be too old. Meta's refusal says so at the price of one
    /// call; only where it could also mean that an earlier attempt arrived is the comment's own
    /// time read first, and charged. It is read once and noted: a read that outlasts the grant
    /// would else be repeated for as long as the send waits.
    pub(super) async fn check_age(
        &self,
        account: &Account,
        reservation: &Reservation,
        claimed: &mut Claimed,
        deadline: Timestamp,
    ) -> Result<(), Resolution> {
        let now = self.clock.now();
        let Claimed { task, send, .. } = claimed;
        let Address::Comment { id, .. } = &send.to else { return Ok(()) };
        let may_be_too_old =
            send.class.lane == Lane::Inbound && send.deadline.since(now) < NOTIFIED_LATE_MAX;
        if !may_be_too_old || send.earlier == Earlier::NotSent {
            return Ok(());
        }
        if let Some(made_at) = send.made_at {
            return in_time(made_at, now);
        }
        let before_call = (deadline - ANSWER_TIME - RECORDING_TIME).since(now);
        let of_grant = reservation.usable_until.saturating_sub(self.clock.monotonic());
        let timeout = before_call.min(of_grant);
        if timeout.is_zero() {
            return Ok(());
        }
        let read = async |timeout| self.graph.comment_timestamp(account, id, timeout).await;
        let read = self.gateway.read_for(account, &send.id, timeout, read).await;
        let (made_at, is_stopped) = match read {
            Ok(made_at) => (made_at.unwrap_or(send.matched_at), false),
            Err(failed @ read::NoAnswer::Failed(_)) => {
                warn!(send = %send.id, reason = failed.reason(), "the comment's time not read");
                (send.matched_at, !failed.is_of_the_call())
            }
            // If it is too old, Meta will say so.
            Err(_) => return Ok(()),
        };
        let dated = Step::Dated { made_at, lease_until: lease_until(deadline) };
        match self.sends.step(task, dated, self.clock.now().into()).await {
            Ok(Some(next)) => (*task, *send) = (task.renewed(&next), next),
            Ok(None) => {
                warn!(send = %send.id, "moved on while it was claimed");
                return Err(Resolution::Leave);
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not note the comment's time; the lease will end");
                return Err(Resolution::Leave);
            }
        }
        if is_stopped { Err(Resolution::Park) } else { in_time(made_at, now) }
    }
}

/// Whether a comment that was made then can still be answered.
fn in_time(made_at: Timestamp, now: Timestamp) -> Result<(), Resolution> {
    if made_at + REPLY_WINDOW <= now { Err(Resolution::Finish(Outcome::Expired)) } else { Ok(()) }
}
