//! Sends without claims: whoever has a message acts on it, whatever it says of the epoch. Or sends
//! of which nobody knows that they were under way. Or pages that lose a line.

use std::collections::HashSet;

use async_trait::async_trait;
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CommentId, EventId, SendId};
use spillway_core::send::{Address, Earlier, Outcome, Stage, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::page::Page;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket};

use super::{Sabotage, Sabotaged};

/// A send that was claimed and left is shown as one whose message was lost.
fn unclaimed(send: Waiting, now: Timestamp) -> Waiting {
    match (send.stage, &send.to) {
        (Stage::Sending { lease_until }, Address::Person(_)) if lease_until < now => {
            Waiting { stage: Stage::Queued { due: Timestamp::EPOCH }, ..send }
        }
        _ => send,
    }
}

#[async_trait]
impl Sends for Sabotaged {
    async fn step(
        &self,
        ticket: &Ticket,
        step: Step,
        at: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        let (Step::Claim { lease_until }, Sabotage::Claims) = (step, self.by) else {
            return self.host.step(ticket, step, at).await;
        };
        if let Some(claimed) = self.host.step(ticket, step, at).await? {
            return Ok(Some(claimed));
        }
        Ok(Some(Waiting {
            id: ticket.send.clone(),
            lane: ticket.lane,
            campaign: ticket.campaign.clone(),
            to: Address::Comment {
                id: CommentId::new(ticket.send.event.as_str()),
                author: ticket.recipient.clone(),
            },
            order: Overflow::OldestFirst,
            media: None,
            username: None,
            keyword: None,
            matched_at: Timestamp::EPOCH,
            deadline: ticket.deadline,
            stage: Stage::Sending { lease_until },
            epoch: ticket.epoch + 1,
            attempt: 1,
            failures: 0,
            earlier: Earlier::NotSent,
            made_at: None,
        }))
    }

    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        self.host.known(account, events).await
    }

    async fn put_pages(&self, pages: &[Page]) -> Result<(), StoreError> {
        self.host.put_pages(pages).await
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Vec<Result<Recorded, StoreError>> {
        self.host.record(sends).await
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.host.finish(ticket, outcome, at).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.host.finish_unclaimed(ticket, outcome, at).await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let entries = self.host.entries(sends, read).await?;
        if self.by != Sabotage::Unknown {
            return Ok(entries);
        }
        let now = Timestamp::from_millis(self.host.shared.now());
        let shown = entries.into_iter().map(|entry| match entry {
            Entry::Waiting(place, send) => Entry::Waiting(place, Box::new(unclaimed(*send, now))),
            Entry::Missing | Entry::Ended(_) | Entry::Unreadable => entry,
        });
        Ok(shown.collect())
    }

    async fn pages(
        &self,
        account: &AccountId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Page>, StoreError> {
        self.host.pages(account, after, limit).await
    }

    async fn rewrite(&self, next: &Page) -> Result<bool, StoreError> {
        let mut next = next.clone();
        if self.by == Sabotage::Lines {
            next.lines.pop();
        }
        self.host.rewrite(&next).await
    }
}
