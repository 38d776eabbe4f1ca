//! The messages that can be received now: a lane per message group, and the lanes take turns.

use std::collections::{BTreeMap, BTreeSet};

use spillway_core::time::Timestamp;

/// Where a message stands within its lane: by when it became visible, then by its sequence.
pub(crate) type Place = (Timestamp, u64);

/// Visible messages by group. Messages without a group share a lane of their own.
///
/// A group that fills the queue delays the others by one message per turn and no more. The order
/// follows from the order of the calls alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<Option<String>, Lane>,
    /// The lanes that hold messages, by the ticket each took when it last went to the back.
    turns: BTreeMap<u64, Option<String>>,
    tickets: u64,
    len: usize,
}

#[derive(Clone, Debug)]
struct Lane {
    ticket: u64,
    ready: BTreeSet<Place>,
}

impl Lanes {
    /// How many messages can be received.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a message. A lane that was empty waits for its turn behind the others.
    pub(crate) fn push(&mut self, group: &Option<String>, place: Place) {
        self.len += 1;
        if let Some(lane) = self.lanes.get_mut(group) {
            lane.ready.insert(place);
            return;
        }
        let ticket = self.next_ticket();
        self.turns.insert(ticket, group.clone());
        self.lanes.insert(group.clone(), Lane { ticket, ready: BTreeSet::from([place]) });
    }

    /// Takes the first message of the lane whose turn it is; the lane goes to the back.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let (_, group) = self.turns.pop_first()?;
        let ticket = self.next_ticket();
        let lane = self.lanes.get_mut(&group)?;
        let (_, sequence) = lane.ready.pop_first()?;
        self.len -= 1;
        if lane.ready.is_empty() {
            self.lanes.remove(&group);
        } else {
            lane.ticket = ticket;
            self.turns.insert(ticket, group);
        }
        Some(sequence)
    }

    /// Takes one message out of the middle.
    pub(crate) fn remove(&mut self, group: &Option<String>, place: Place) {
        let Some(lane) = self.lanes.get_mut(group) else { return };
        if !lane.ready.remove(&place) {
            return;
        }
        self.len -= 1;
        if lane.ready.is_empty() {
            self.turns.remove(&lane.ticket);
            self.lanes.remove(group);
        }
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn at(millis: u64, sequence: u64) -> Place {
        (Timestamp::from_millis(millis), sequence)
    }

    #[test]
    fn groups_take_turns_and_a_group_that_returns_goes_to_the_back() {
        let mut lanes = Lanes::default();
        for sequence in 0..4 {
            lanes.push(&group("noisy"), at(0, sequence));
        }
        lanes.push(&group("quiet"), at(1, 4));
        lanes.push(&None, at(2, 5));
        assert_eq!(lanes.len(), 6);

        assert_eq!([lanes.pop(), lanes.pop(), lanes.pop()], [Some(0), Some(4), Some(5)]);
        lanes.push(&group("quiet"), at(3, 6));
        assert_eq!([lanes.pop(), lanes.pop(), lanes.pop()], [Some(1), Some(6), Some(2)]);
        assert_eq!([lanes.pop(), lanes.pop()], [Some(3), None]);
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn removing_the_last_message_of_a_group_gives_its_turn_away() {
        let mut lanes = Lanes::default();
        lanes.push(&group("a"), at(0, 0));
        lanes.push(&group("b"), at(0, 1));
        lanes.remove(&group("a"), at(0, 0));
        lanes.remove(&group("a"), at(0, 0));
        assert_eq!(lanes.len(), 1);
        lanes.push(&group("a"), at(0, 2));
        assert_eq!([lanes.pop(), lanes.pop(), lanes.pop()], [Some(1), Some(2), None]);
    }
}
