//! A queue as SQS keeps one: delays and visibility timeouts, at least once, in no order.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// A standard queue of `B`s.
pub(crate) struct Queue<B> {
    settings: Settings,
    /// By the instant from which a message can be received, and chance.
    visible: BTreeMap<(u64, u64), Message<B>>,
    /// Received and not deleted: where they lie in `visible`.
    received: BTreeMap<Receipt, (u64, u64)>,
    next: u64,
    /// Messages that were received too often.
    dead: u64,
}

/// How a queue is set up, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long a received message stays hidden.
    pub(crate) visibility: u64,
    /// How long a message is kept at most.
    pub(crate) retention: u64,
    /// Receives after which a message goes to the dead-letter queue instead.
    pub(crate) receives_max: u32,
}

/// Names one receiving of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Receipt(u64);

struct Message<B> {
    body: B,
    sent_at: u64,
    receives: u32,
    receipt: Option<Receipt>,
}

/// A message that was received.
pub(crate) struct Received<B> {
    /// What it is deleted by.
    pub(crate) receipt: Receipt,
    /// What it says.
    pub(crate) body: B,
}

impl<B: Clone> Queue<B> {
    /// An empty queue.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, visible: BTreeMap::new(), received: BTreeMap::new(), next: 0, dead: 0 }
    }

    /// Puts a message on the queue that can be received from `at` on.
    pub(crate) fn send(&mut self, body: B, now: u64, at: u64, dice: &mut Dice) {
        let message = Message { body, sent_at: now, receives: 0, receipt: None };
        self.visible.insert((at, dice.any()), message);
    }

    /// When there is something to receive, or may be.
    pub(crate) fn next_visible(&self) -> Option<u64> {
        self.visible.keys().next().map(|&(at, _)| at)
    }

    /// Receives up to `most` of the visible messages, whichever.
    pub(crate) fn receive(&mut self, now: u64, most: usize, dice: &mut Dice) -> Vec<Received<B>> {
        let mut batch = Vec::new();
        while batch.len() < most {
            let visible: Vec<(u64, u64)> =
                self.visible.range(..=(now, u64::MAX)).map(|(&key, _)| key).take(64).collect();
            if visible.is_empty() {
                break;
            }
            let key = visible[dice.index(visible.len())];
            let Some(message) = self.visible.remove(&key) else { break };
            batch.extend(self.hand_out(message, now, dice));
        }
        batch
    }

    fn hand_out(&mut self, message: Message<B>, now: u64, dice: &mut Dice) -> Option<Received<B>> {
        let mut message = message;
        if let Some(old) = message.receipt.take() {
            self.received.remove(&old);
        }
        if now.saturating_sub(message.sent_at) > self.settings.retention {
            return None;
        }
        if message.receives >= self.settings.receives_max {
            self.dead += 1;
            return None;
        }
        self.next += 1;
        let receipt = Receipt(self.next);
        message.receives += 1;
        message.receipt = Some(receipt);
        let body = message.body.clone();
        let key = (now + self.settings.visibility, dice.any());
        self.visible.insert(key, message);
        self.received.insert(receipt, key);
        Some(Received { receipt, body })
    }

    /// Deletes a message, unless it has been received again since.
    pub(crate) fn delete(&mut self, receipt: Receipt) {
        if let Some(key) = self.received.remove(&receipt) {
            self.visible.remove(&key);
        }
    }

    /// Lets a received message be received again from `at` on, as happens to a standard queue.
    pub(crate) fn repeat(&mut self, receipt: Receipt, at: u64, dice: &mut Dice) {
        let Some(key) = self.received.get_mut(&receipt) else { return };
        if let Some(message) = self.visible.remove(key) {
            *key = (at, dice.any());
            self.visible.insert(*key, message);
        }
    }

    /// Messages in it, received ones included.
    pub(crate) fn len(&self) -> usize {
        self.visible.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.visible.is_empty()
    }

    /// Messages that went to the dead-letter queue.
    pub(crate) fn dead(&self) -> u64 {
        self.dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { visibility: 100, retention: 1000, receives_max: 2 };

    fn queue() -> (Queue<u8>, Dice) {
        let (mut queue, mut dice) = (Queue::new(SETTINGS), Dice::new(1));
        queue.send(7, 0, 50, &mut dice);
        (queue, dice)
    }

    #[test]
    fn a_message_is_hidden_by_its_delay_and_then_by_its_receiver() {
        let (mut queue, mut dice) = queue();
        assert!(queue.receive(49, 10, &mut dice).is_empty());
        assert_eq!(queue.receive(50, 10, &mut dice)[0].body, 7);
        assert!(queue.receive(149, 10, &mut dice).is_empty());
        assert_eq!(queue.receive(150, 10, &mut dice).len(), 1);
    }

    #[test]
    fn a_deleted_message_is_gone_but_not_by_an_old_receipt() {
        let (mut queue, mut dice) = queue();
        let first = queue.receive(50, 1, &mut dice)[0].receipt;
        let second = queue.receive(150, 1, &mut dice)[0].receipt;
        queue.delete(first);
        assert_eq!(queue.len(), 1);
        queue.delete(second);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_message_received_too_often_or_kept_too_long_is_not_received_again() {
        let (mut queue, mut dice) = queue();
        for at in [50, 150] {
            assert_eq!(queue.receive(at, 1, &mut dice).len(), 1);
        }
        assert!(queue.receive(250, 1, &mut dice).is_empty());
        assert_eq!(queue.dead(), 1);
        let (mut old, mut dice) = self::queue();
        assert!(old.receive(1001, 1, &mut dice).is_empty());
        assert_eq!((old.dead(), old.len()), (0, 0));
    }

    #[test]
    fn a_repeated_message_comes_again_while_it_is_worked_on() {
        let (mut queue, mut dice) = queue();
        let receipt = queue.receive(50, 1, &mut dice)[0].receipt;
        queue.repeat(receipt, 60, &mut dice);
        assert_eq!(queue.receive(60, 1, &mut dice).len(), 1);
    }
}
