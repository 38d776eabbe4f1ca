//! Sends without claims: whoever has a message acts on it, whatever it says of the epoch. Or sends
//! of which nobody knows that they were under way. Or batches that lose a line.

use async_trait::async_trait;
use spillway_core::campaign::Overflow;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::once::Answers;
use spillway_core::send::{Address, Earlier, Outcome, PendingSend, Stage, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Closed, EndGuard, Entry, Lookup, NewSend, Read, Recorded, Sends, StoreError,
};
use spillway_service::send_task::SendTask;

use super::{Sabotage, Sabotaged};

/// A send that was claimed and left is shown as one whose message was lost.
fn unclaimed(send: PendingSend, now: Timestamp) -> PendingSend {
    match (send.stage, &send.to) {
        (Stage::Sending { lease_until }, Address::Person(_)) if lease_until < now => {
            PendingSend { stage: Stage::Queued { due: Timestamp::EPOCH }, ..send }
        }
        _ => send,
    }
}

#[async_trait]
impl Sends for Sabotaged {
    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        if let (Step::Unknown(_), Sabotage::Replies) = (step, self.by)
            && task.class.is_public()
        {
            return self.host.step(task, Step::To(Stage::Parked), note).await;
        }
        let (Step::Claim { lease_until }, Sabotage::Claims) = (step, self.by) else {
            return self.host.step(task, step, note).await;
        };
        if let Some(claimed) = self.host.step(task, step, note).await? {
            return Ok(Some(claimed));
        }
        Ok(Some(PendingSend {
            id: task.send.clone(),
            class: task.class,
            content: task.content.clone(),
            to: Address::Comment {
                id: CommentId::new(task.send.key.as_str()),
                author: task.recipient.clone(),
            },
            order: Overflow::OldestFirst,
            media: None,
            username: None,
            keyword: None,
            turn: None,
            matched_at: Timestamp::EPOCH,
            not_before: None,
            deadline: task.deadline,
            stage: Stage::Sending { lease_until },
            epoch: task.epoch + 1,
            attempt: 1,
            failures: 0,
            earlier: Earlier::NotSent,
            repeats: 0,
            made_at: None,
            stand_in: None,
            is_cleared: false,
        }))
    }

    async fn look_up(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
        people: &[RecipientId],
        read: Read,
    ) -> Result<Lookup, StoreError> {
        self.host.look_up(account, keys, people, read).await
    }

    async fn replace_answered(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
    ) -> Result<bool, StoreError> {
        self.host.replace_answered(account, person, before, after).await
    }

    async fn put_stand_in(
        &self,
        send: &SendId,
        stand_in: &StandIn,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.host.put_stand_in(send, stand_in, expires_at).await
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        self.host.put_batches(batches).await
    }

    async fn record(&self, sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>> {
        self.host.record(sends).await
    }

    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<bool, StoreError> {
        self.host.finish(task, outcome, note).await
    }

    async fn finish_followed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
        guard: EndGuard,
        follower: &NewSend,
    ) -> Result<bool, StoreError> {
        if self.by == Sabotage::Outcomes {
            self.host.record(std::slice::from_ref(follower)).await;
            return Ok(true);
        }
        self.host.finish_followed(task, outcome, note, guard, follower).await
    }

    async fn close(
        &self,
        send: &SendId,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<Closed, StoreError> {
        self.host.close(send, outcome, at).await
    }

    async fn unsent(&self, sends: &[SendId]) -> Result<Vec<SendId>, StoreError> {
        self.host.unsent(sends).await
    }

    async fn sent_as(&self, sends: &[SendId], message: &str) -> Result<bool, StoreError> {
        self.host.sent_as(sends, message).await
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.host.finish_unclaimed(task, outcome, at).await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let entries = self.host.entries(sends, read).await?;
        if self.by != Sabotage::Unknown {
            return Ok(entries);
        }
        let now = Timestamp::from_millis(self.host.shared.now());
        let shown = entries.into_iter().map(|entry| match entry {
            Entry::Waiting(outbox_key, send) => {
                Entry::Waiting(outbox_key, Box::new(unclaimed(*send, now)))
            }
            Entry::Missing | Entry::Ended(_) | Entry::Unreadable => entry,
        });
        Ok(shown.collect())
    }

    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        self.host.batches(account, after, limit).await
    }

    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        let mut next = next.clone();
        if self.by == Sabotage::Lines {
            next.lines.pop();
        }
        self.host.rewrite(&next).await
    }
}
