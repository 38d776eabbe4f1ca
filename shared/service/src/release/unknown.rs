//! Sends whose last attempt is unknown: what a dead sender left behind is noted, evidence is asked
//! for, and what did not arrive is repeated.

use std::time::Duration;

use spillway_core::hold::Holds;
use spillway_core::send::{Stage, Step};
use spillway_core::time::Timestamp;
use spillway_core::unknown::{
    ABSENT_FOR, EchoWatch, Evidence, Resolved, UnknownAttempt, WATCH_FOR, resolve,
};
use tracing::{info, warn};

use super::Release;
use super::backlog_scan::{BacklogScan, UnknownSend};
use crate::account::Account;
use crate::echo::open_watch;
use crate::port::{Queued, Read, StoreError};
use crate::send_task::SendTask;

/// Looks that one run asks for at most, one a second: Meta allows two reads of conversations a
/// second.
const LOOKS_MAX: usize = 16;

/// A look that was asked for has been made by then.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);

impl Release {
    /// Decides on the unknown sends that a scan has found. Those that are to be repeated become
    /// ready. Returns when there will be more to decide.
    pub(super) async fn resolve_unknown(
        &self,
        account: &Account,
        holds: &Holds,
        scan: &mut BacklogScan,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let unknown = std::mem::take(&mut scan.unknown);
        let watch = self.watch_for(account, &unknown, now).await?;
        let (mut asks_at, mut looks) = (Vec::new(), Vec::new());
        for found in unknown {
            let Some((found, attempt)) = self.noted(found, now).await? else { continue };
            // A public reply has no echo.
            let echoes_come = !found.send.class.is_public() && watch.shows_around(attempt.tried_at);
            let evidence = if echoes_come { Evidence::Echoes } else { Evidence::None };
            let left = self.retry_unknown.left(found.send.repeats);
            match resolve(&attempt, evidence, now, found.ends_at, left) {
                Resolved::RepeatOnce => {
                    scan.repeat(found, now);
                    continue;
                }
                // The next run ends it.
                Resolved::Unknown => asks_at.push(now),
                Resolved::Sent(_) | Resolved::AskAgainAt(_) => {}
            }
            let is_known = found.send.class.is_public() || found.send.to.recipient().is_some();
            let is_due = attempt.look_at <= now && is_known;
            if is_due && holds.is_open(now) && looks.len() < LOOKS_MAX {
                let task = SendTask::look(&found.send, found.outbox_key);
                let delay = Duration::from_secs(looks.len() as u64);
                looks.push(Queued { task, delay });
                asks_at.push(now + ABSENT_FOR + LOOKED_WITHIN);
            }
            asks_at.extend(attempt.next_after(now));
        }
        scan.sort_ready();
        for (look, result) in looks.iter().zip(self.queue.enqueue(&looks).await) {
            if let Err(error) = result {
                warn!(send = %look.task.send, %error, "could not ask for a look; a later run will");
            }
        }
        Ok(asks_at.into_iter().min())
    }

    /// The account's watch, if it can tell something of one of these attempts.
    async fn watch_for(
        &self,
        account: &Account,
        unknown: &[UnknownSend],
        now: Timestamp,
    ) -> Result<EchoWatch, StoreError> {
        let is_young = |found: &UnknownSend| match found.send.stage {
            _ if found.send.class.is_public() => false,
            Stage::Unknown(attempt) => now < attempt.tried_at + 4 * WATCH_FOR,
            Stage::Parked | Stage::Queued { .. } | Stage::Sending { .. } => false,
        };
        if unknown.iter().any(is_young) {
            self.watches.load(&account.id, Read::Consistent).await
        } else {
            Ok(EchoWatch::default())
        }
    }

    /// The send with its attempt. If its sender has died, this is written down first: its call may
    /// have been made until the lease ended.
    async fn noted(
        &self,
        found: UnknownSend,
        now: Timestamp,
    ) -> Result<Option<(UnknownSend, UnknownAttempt)>, StoreError> {
        let lease_until = match found.send.stage {
            Stage::Unknown(attempt) => return Ok(Some((found, attempt))),
            Stage::Sending { lease_until } => lease_until,
            Stage::Parked | Stage::Queued { .. } => return Ok(None),
        };
        let attempt = UnknownAttempt::new(lease_until);
        let task = SendTask::new(&found.send, found.outbox_key.clone());
        let Some(send) = self.sends.step(&task, Step::Unknown(attempt), now.into()).await? else {
            return Ok(None);
        };
        info!(send = %send.id, "its sender died: it may have arrived");
        if !send.class.is_public() {
            open_watch(&*self.watches, &send.id.account, &self.ids, now).await;
        }
        Ok(Some((UnknownSend { send, ..found }, attempt)))
    }
}
