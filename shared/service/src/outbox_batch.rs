//! Outbox batches: which sends of an account may still wait, a batch for those that were recorded
//! together. A send itself lies in its entry alone; a batch is how the release function finds it.
//!
//! An entry keeps its event from being recorded twice. It holds the send while that waits, and its outcome
//! afterwards. What waits must also be found in order and by account. An index
//! would cost one write when a send arrives and one when it ends. A batch costs this once for up
//! to 18 sends that were recorded together. So a DM costs a share of a batch, an entry, a
//! reserve, a claim and an outcome: a little over four write units, however long it waits.
//!
//! A slot is written on the batch, not into the send. The message names the epoch of the send.
//! If a run gives a slot twice, because it died or believed that a message was lost, two
//! messages name one epoch, and one of them is claimed.

use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, OnceKey, SendId};
use spillway_core::send::{Class, Content, PendingSend, Stage};
use spillway_core::time::Timestamp;

use crate::outbox_key::OutboxKey;

/// Lines of a batch at most: about as many as one write unit pays for.
pub const LINES_MAX: usize = 18;

/// Sends of one account, class, order and content, in the order of their keys. It is written
/// before the sends that it lists, and a line goes only when its send was seen to have ended: so
/// everything that waits is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxBatch {
    /// Whose sends.
    pub account: AccountId,
    /// The key of the batch: that of what was its first line.
    pub outbox_key: OutboxKey,
    /// Raised by every write: 1 when it is new.
    pub version: u32,
    /// Their place in the order, and the call that they make.
    pub class: Class,
    /// What they say.
    pub content: Content,
    /// The instant when they were matched.
    pub matched_at: Timestamp,
    /// When the batch was first written. Shortly after that entries of its sends may still be
    /// missing.
    pub written_at: Timestamp,
    /// Its sends.
    pub lines: Vec<OutboxLine>,
}

/// A send that a batch lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxLine {
    /// What may happen only once.
    pub key: OnceKey,
    /// No attempt before this instant; `None` where it may go at once.
    pub not_before: Option<Timestamp>,
    /// No attempt after this instant.
    pub deadline: Timestamp,
    /// The slot that it was given last.
    pub slot: Option<Slot>,
}

/// A slot, and the task for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The instant at which the send may go.
    pub due: Timestamp,
    /// The epoch that the task names. Once the send has moved on, its entry tells where it
    /// stands.
    pub epoch: u32,
}

impl OutboxBatch {
    /// Batches for new sends of one account and class, which are given in order; each batch with its
    /// sends, and each send with its outbox key. Every batch takes a `nonce` of its own, so that no
    /// other recording of the same send has the same outbox key.
    pub fn of(
        sends: Vec<PendingSend>,
        now: Timestamp,
        mut nonce: impl FnMut() -> u64,
    ) -> Vec<(Self, Vec<(OutboxKey, PendingSend)>)> {
        let mut batches: Vec<(Self, Vec<(OutboxKey, PendingSend)>)> = Vec::new();
        for send in sends {
            let open = batches.iter_mut().rev().find(|(batch, sends)| {
                let is_alike = sends.first().is_some_and(|(_, first)| first.order == send.order);
                is_alike && batch.content == send.content && batch.lines.len() < LINES_MAX
            });
            match open {
                Some((batch, sends)) => {
                    batch.lines.push(OutboxLine::new(&send));
                    sends.push((batch.outbox_key.beside(&send.id.key, send.deadline), send));
                }
                None => {
                    let outbox_key = OutboxKey::new(&send, nonce());
                    batches.push((
                        Self::new(&send, outbox_key.clone(), now),
                        vec![(outbox_key, send)],
                    ));
                }
            }
        }
        batches
    }

    /// A batch with one send, at its outbox key.
    pub fn new(send: &PendingSend, outbox_key: OutboxKey, now: Timestamp) -> Self {
        Self {
            account: send.id.account.clone(),
            outbox_key,
            version: 1,
            class: send.class,
            content: send.content.clone(),
            matched_at: send.matched_at,
            written_at: now,
            lines: vec![OutboxLine::new(send)],
        }
    }

    /// The order of its sends. What its outbox key does not tell, an earlier or later version has
    /// written: it is taken as it is for most.
    pub fn order(&self) -> Overflow {
        self.outbox_key.parts().map_or(Overflow::OldestFirst, |(_, order, _)| order)
    }

    /// The outbox key of one of its sends.
    pub fn key_of(&self, line: &OutboxLine) -> OutboxKey {
        self.outbox_key.beside(&line.key, line.deadline)
    }

    /// The id of one of its sends.
    pub fn id_of(&self, line: &OutboxLine) -> SendId {
        SendId { account: self.account.clone(), key: line.key.clone() }
    }
}

impl Slot {
    /// None yet: the send's entry was missing when it was to get one, and is looked for first the
    /// next time. It keeps nobody waiting until then.
    pub const UNKNOWN: Self = Self { due: Timestamp::EPOCH, epoch: u32::MAX };
}

impl OutboxLine {
    /// A line for a new send.
    fn new(send: &PendingSend) -> Self {
        let slot = send.stage.slot().map(|due| Slot { due, epoch: send.epoch });
        let PendingSend { id, not_before, deadline, .. } = send;
        Self { key: id.key.clone(), not_before: *not_before, deadline: *deadline, slot }
    }

    /// The send as it stands, given what its entry holds: who gives it a slot writes no more than
    /// the batch.
    pub fn stands(&self, send: PendingSend) -> PendingSend {
        match (send.stage, self.slot) {
            (Stage::Parked | Stage::Queued { .. }, Some(Slot { due, epoch }))
                if epoch == send.epoch =>
            {
                PendingSend { stage: Stage::Queued { due }, ..send }
            }
            _ => send,
        }
    }
}

#[cfg(test)]
mod tests {
    use spillway_core::send::{Address, Earlier};

    use super::*;

    fn send(n: u64, campaign: &str, order: Overflow) -> PendingSend {
        PendingSend {
            id: SendId { account: "178".into(), key: OnceKey::new(format!("179{n:03}")) },
            class: Class::PRIVATE_REPLY,
            content: Content::opening(campaign),
            to: Address::Comment { id: "179".into(), author: None },
            order,
            media: None,
            username: None,
            keyword: None,
            turn: None,
            matched_at: Timestamp::EPOCH,
            not_before: None,
            deadline: Timestamp::from_secs(1_790_000_000 + n),
            stage: Stage::Parked,
            epoch: 0,
            attempt: 0,
            failures: 0,
            earlier: Earlier::NotSent,
            repeats: 0,
            made_at: None,
            stand_in: None,
            is_cleared: false,
        }
    }

    #[test]
    fn sends_that_are_alike_share_pages_and_each_knows_its_place() {
        let mut sends: Vec<PendingSend> =
            (0..25).map(|n| send(n, "guide", Overflow::OldestFirst)).collect();
        sends.insert(3, send(99, "menu", Overflow::OldestFirst));
        sends.push(send(26, "guide", Overflow::NewestFirst));
        let mut nonce = 0;
        let batches = OutboxBatch::of(sends, Timestamp::EPOCH, || {
            nonce += 1;
            nonce
        });
        let sizes: Vec<usize> = batches.iter().map(|(batch, _)| batch.lines.len()).collect();
        assert_eq!(sizes, [18, 1, 7, 1]);
        for (batch, sends) in &batches {
            assert_eq!(batch.outbox_key, sends[0].0);
            for (line, (outbox_key, send)) in batch.lines.iter().zip(sends) {
                assert_eq!((&batch.key_of(line), batch.id_of(line)), (outbox_key, send.id.clone()));
                assert_eq!((batch.class, batch.order()), (send.class, send.order));
                assert_eq!(line.deadline, send.deadline);
            }
            assert!(sends.is_sorted_by(|(a, _), (b, _)| a < b));
        }
    }

    #[test]
    fn a_slot_stands_until_the_send_moves_on() {
        let parked = send(1, "guide", Overflow::OldestFirst);
        let due = Timestamp::from_secs(5);
        let line = OutboxLine { slot: Some(Slot { due, epoch: 0 }), ..OutboxLine::new(&parked) };
        assert_eq!(line.stands(parked.clone()).stage, Stage::Queued { due });
        let moved = PendingSend { epoch: 1, ..parked.clone() };
        assert_eq!(line.stands(moved).stage, Stage::Parked);
        assert_eq!(OutboxLine::new(&parked).slot, None);
        let queued = PendingSend { stage: Stage::Queued { due }, epoch: 3, ..parked };
        assert_eq!(OutboxLine::new(&queued).slot, Some(Slot { due, epoch: 3 }));
    }
}
