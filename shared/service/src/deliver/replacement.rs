//! A comment that is gone before its call, and the newer one of its author that takes its place.

use spillway_core::history::StepNote;
use spillway_core::id::RecipientId;
use spillway_core::once::Nth;
use spillway_core::send::{Earlier, FailReason, Outcome, PendingSend, Stage, StandIn, Step};
use tracing::{error, info, warn};

use super::{Deliver, UNREACHABLE_WAIT};
use crate::account::Account;
use crate::gateway::consequence::Retry;
use crate::limiter::CONTENDED_WAIT;
use crate::port::{Entry, Read, StoreError};
use crate::send_task::SendTask;

/// How often a person's item is read again that others have written meanwhile.
const TRIES: usize = 8;

impl Deliver {
    /// Lets a newer comment of the person take the place of a claimed send's comment, which is
    /// gone. Where there is none, the send ends, and the next comment of the person asks again.
    pub(super) async fn replace(
        &self,
        account: &Account,
        task: &SendTask,
        send: &PendingSend,
        note: StepNote<'_>,
    ) {
        match self.take_stand_in(send).await {
            Ok(true) => {}
            Ok(false) => {
                let outcome = Outcome::Failed { reason: FailReason::CommentGone };
                return self.finish(account, (task, send), (&outcome, note.at), note).await;
            }
            Err(error) => {
                error!(send = %task.send, %error, "a newer comment could not be looked for");
                let retry = (Retry::Failed, UNREACHABLE_WAIT);
                return self.requeue(task, send, retry, note).await;
            }
        }
        let due = note.at + CONTENDED_WAIT;
        match self.sends.step(task, Step::Replaced(Stage::Queued { due }), note).await {
            Ok(Some(next)) => {
                info!(send = %task.send, "a newer comment takes the place of one that is gone");
                self.enqueue(task.renewed(&next), CONTENDED_WAIT).await;
            }
            Ok(None) => warn!(send = %task.send, "moved on while it was claimed"),
            Err(error) => {
                error!(send = %task.send, %error, "could not replace; the lease will end");
            }
        }
    }

    /// Stops counting a send that STOP has cancelled, so that the person's next comment after START is
    /// answered. If that cannot be written, the comment counts as a repeat. The send must have ended:
    /// while it waits, both could go.
    pub(super) async fn let_ask_again(&self, send: &PendingSend) {
        let nth = send.to.recipient().map(|person| (person, Nth::of(&send.id.key, person)));
        let Some((person, Some(nth))) = nth.filter(|_| send.earlier == Earlier::NotSent) else {
            return;
        };
        if let Err(error) = self.name(send, person, nth, None).await {
            warn!(send = %send.id, %error, "its person's next comment will count as a repeat");
        }
    }

    /// Names the newest comment of the person as the one that this send answers. Returns whether
    /// there is one which no other send answers.
    async fn take_stand_in(&self, send: &PendingSend) -> Result<bool, StoreError> {
        let Some(person) = send.to.recipient() else { return Ok(false) };
        let Some(nth) = Nth::of(&send.id.key, person) else { return Ok(false) };
        // It may have come after the claim.
        let found = self.sends.entries(std::slice::from_ref(&send.id), Read::Consistent).await?;
        let Some(Entry::Waiting(_, stands)) = found.into_iter().next() else { return Ok(false) };
        self.name(send, person, nth, stands.stand_in.as_ref()).await
    }

    async fn name(
        &self,
        send: &PendingSend,
        person: &RecipientId,
        nth: Nth,
        stand_in: Option<&StandIn>,
    ) -> Result<bool, StoreError> {
        let account = &send.id.account;
        for _ in 0..TRIES {
            let people = std::slice::from_ref(person);
            let lookup = self.sends.look_up(account, &[], people, Read::Consistent).await?;
            let Some(known) = lookup.people.get(person) else { return Ok(false) };
            let now = self.clock.now();
            let moved = stand_in.and_then(|new| known.answered.moved(nth, &new.comment, now));
            let is_named = |new: &StandIn| known.answered.is_of(nth, &new.comment);
            let (after, takes_over) = match moved {
                Some(moved) => (Some(moved), true),
                None if stand_in.is_some_and(is_named) => return Ok(true),
                None => (known.answered.released(nth), false),
            };
            let Some(after) = after else { return Ok(takes_over) };
            let before = Some(&known.answered);
            if self.sends.replace_answered(account, person, before, &after).await? {
                return Ok(takes_over);
            }
        }
        Err(StoreError::unavailable("name a newer comment", "others always were first"))
    }
}
