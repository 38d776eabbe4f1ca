//! Sends without claims: whoever has a message acts on it, whatever it says of the epoch. Or sends of
//! which nobody knows that they were under way.

use std::collections::HashSet;

use async_trait::async_trait;
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CommentId, EventId, SendId};
use spillway_core::send::{Address, Earlier, Outcome, Stage, Step, Waiting};
use spillway_core::time::Timestamp;
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
    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        let (Step::Claim { lease_until }, Sabotage::Claims) = (step, self.by) else {
            return self.host.step(ticket, step).await;
        };
        if let Some(claimed) = self.host.step(ticket, step).await? {
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
        }))
    }

    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        self.host.known(account, events).await
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
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
        self.host.entries(sends, read).await
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        self.host.adopt(place, send).await
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.host.discard(place, send).await
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        let page = self.host.waiting(account, shard, after, limit).await?;
        if self.by != Sabotage::Unknown {
            return Ok(page);
        }
        let now = Timestamp::from_millis(self.host.shared.now());
        Ok(page.into_iter().map(|(place, send)| (place, unclaimed(send, now))).collect())
    }
}
