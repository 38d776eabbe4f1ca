//! The one writer: records what becomes of a claimed send.

use std::time::Duration;

use spillway_core::history::StepNote;
use spillway_core::meta_error::MetaError;
use spillway_core::send::{CancelReason, Outcome, PendingSend, Stage, Step};
use spillway_core::time::Timestamp;
use spillway_core::unknown::UnknownAttempt;
use tracing::{error, info, warn};

use super::Deliver;
use super::attempt::Claimed;
use super::resolution::Resolution;
use crate::account::Account;
use crate::converse::End;
use crate::echo::open_watch;
use crate::gateway::consequence::Retry;
use crate::metrics::Metric;
use crate::port::EndGuard;
use crate::send_task::SendTask;

impl Deliver {
    /// Records what becomes of a claimed send, with the answer by which Meta refused it.
    pub(super) async fn apply(
        &self,
        account: &Account,
        Claimed { task, send, called_at, .. }: &Claimed,
        resolution: Resolution,
        error: Option<&MetaError>,
    ) {
        let note = StepNote { at: self.clock.now(), error };
        match resolution {
            Resolution::Finish(outcome) => {
                self.finish(account, (task, send), (&outcome, *called_at), note).await;
            }
            Resolution::Requeue(retry, wait) => self.requeue(task, send, (retry, wait), note).await,
            Resolution::Park => self.park(task, note).await,
            Resolution::Replace => self.replace(account, task, send, note).await,
            Resolution::Unknown => self.wait_for_evidence(task, note).await,
            Resolution::Leave => {}
        }
    }

    pub(super) async fn finish(
        &self,
        account: &Account,
        (task, send): (&SendTask, &PendingSend),
        (outcome, called_at): (&Outcome, Timestamp),
        note: StepNote<'_>,
    ) {
        let end = End { outcome, note, guard: EndGuard::AnyEpoch, called_at };
        match self.endings.end(Some(account), (task, send), end).await {
            Ok(true) => {
                note_end(task, outcome);
                if matches!(outcome, Outcome::Cancelled { reason: CancelReason::Stopped }) {
                    self.let_ask_again(send).await;
                }
            }
            Ok(false) => info!(send = %task.send, "it has ended already: its echo was first"),
            // The lease ends, and release finds the send with an unknown outcome. The message is
            // void: its epoch has passed.
            Err(error) => {
                error!(send = %task.send, state = outcome.state(), %error, "could not record the outcome");
            }
        }
    }

    /// The attempt may have reached the person: the send waits for what shows whether it has.
    async fn wait_for_evidence(&self, task: &SendTask, note: StepNote<'_>) {
        let attempt = UnknownAttempt::new(note.at);
        match self.sends.step(task, Step::Unknown(attempt), note).await {
            Ok(Some(_)) => {
                info!(send = %task.send, "it may have arrived: waits for evidence");
                // A public reply has no echo.
                if !task.class.is_public() {
                    let account = &task.send.account;
                    open_watch(&*self.watches, account, &self.ids, note.at).await;
                }
            }
            Ok(None) => info!(send = %task.send, "it has ended already: its echo was first"),
            Err(error) => {
                error!(send = %task.send, %error, "could not note the attempt; the lease will end");
            }
        }
    }

    async fn park(&self, task: &SendTask, note: StepNote<'_>) {
        match self.sends.step(task, Step::To(Stage::Parked), note).await {
            Ok(Some(_)) => {
                info!(send = %task.send, "parked");
                self.meter.count(Metric::Parked, 1);
            }
            Ok(None) => warn!(send = %task.send, "moved on while it was claimed"),
            Err(error) => {
                error!(send = %task.send, %error, "could not park; the lease will end");
            }
        }
        self.wake(task).await;
    }

    /// Asks release for the account's parked sends.
    pub(super) async fn wake(&self, task: &SendTask) {
        if let Err(error) = self.backlogs.wake(&task.send.account, self.clock.now()).await {
            error!(send = %task.send, %error, "could not mark the backlog");
        }
    }

    /// Back on the queue after `wait`.
    pub(super) async fn requeue(
        &self,
        task: &SendTask,
        send: &PendingSend,
        (retry, wait): (Retry, Duration),
        note: StepNote<'_>,
    ) {
        let due = note.at + wait;
        match self.sends.step(task, retry.step(Stage::Queued { due }), note).await {
            Ok(Some(next)) => self.enqueue(task.renewed(&next), wait).await,
            Ok(None) => warn!(send = %send.id, "moved on while it was claimed"),
            Err(error) => error!(send = %send.id, %error, "could not requeue; the lease will end"),
        }
    }
}

pub(super) fn note_end(task: &SendTask, outcome: &Outcome) {
    // That it was sent is logged with Meta's answer.
    if !matches!(outcome, Outcome::Sent { .. }) {
        info!(send = %task.send, state = outcome.state(), "ended without being sent");
    }
}
