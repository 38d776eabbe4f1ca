//! Counts requests and units by key and by whole second of virtual time.

use std::collections::{BTreeMap, HashMap};

use spillway_core::id::AccountId;

use crate::process::Function;

/// Something counted by the second: what it came to in all, and in its fullest second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    second: u64,
    now: u64,
    peak: u64,
    total: u64,
}

impl Rate {
    fn add(&mut self, second: u64, count: u64) {
        if second != self.second {
            (self.second, self.now) = (second, 0);
        }
        self.now += count;
        self.total += count;
        self.peak = self.peak.max(self.now);
    }

    /// The most in one second.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// All.
    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

/// What one key or table has to take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Items asked for or written; a query is one.
    pub(super) requests: Rate,
    /// Halves of read units.
    pub(super) half_reads: Rate,
    /// Write units.
    pub(super) writes: Rate,
}

impl Load {
    fn add(&mut self, second: u64, cost: Cost) {
        self.requests.add(second, 1);
        match cost {
            Cost::HalfReads(halves) => self.half_reads.add(second, halves),
            Cost::Writes(units) => self.writes.add(second, units),
        }
    }
}

/// What a request costs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cost {
    /// Halves of read units: an eventual read costs one.
    HalfReads(u64),
    /// Write units.
    Writes(u64),
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Entries.
    Sends,
    /// All else.
    State,
}

/// A table with its keys.
#[derive(Default)]
pub(super) struct TableLoad {
    /// All of it.
    pub(super) all: Load,
    /// By partition key.
    pub(super) keys: HashMap<String, Load>,
}

impl TableLoad {
    /// A request to a key.
    pub(super) fn add(&mut self, key: &str, second: u64, cost: Cost) {
        self.all.add(second, cost);
        match self.keys.get_mut(key) {
            Some(load) => load.add(second, cost),
            None => self.keys.entry(key.to_owned()).or_default().add(second, cost),
        }
    }
}

/// Messages of a queue or of one of its groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages {
    /// Put on it.
    pub(super) sent: Rate,
    /// Received from it.
    pub(super) received: Rate,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Onto the queue.
    Sent,
    /// Off it.
    Received,
}

impl Messages {
    fn add(&mut self, way: Way, second: u64) {
        match way {
            Way::Sent => self.sent.add(second, 1),
            Way::Received => self.received.add(second, 1),
        }
    }
}

/// A queue with its message groups.
#[derive(Default)]
pub(super) struct QueueLoad {
    /// All of it.
    pub(super) all: Messages,
    /// By group: the account.
    pub(super) groups: HashMap<AccountId, Messages>,
    /// The most messages in it at the end of a step, delayed and received ones included.
    pub(super) longest: usize,
}

impl QueueLoad {
    /// A message goes its way.
    pub(super) fn add(&mut self, group: &AccountId, way: Way, second: u64) {
        self.all.add(way, second);
        self.groups.entry(group.clone()).or_default().add(way, second);
    }

    /// That many messages are in it.
    pub(super) fn holds(&mut self, messages: usize) {
        self.longest = self.longest.max(messages);
    }
}

/// Invocations of a function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Invocations {
    /// How many.
    pub(crate) count: u64,
    /// Milliseconds for which they waited together.
    pub(crate) waited: u64,
    /// Requests that they made.
    pub(crate) requests: u64,
}

/// What is billed. What the schedule's own invocations read and take stands apart: it is there
/// whatever is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Whether the schedule's invocation runs.
    pub(super) is_tick: bool,
    /// Write units.
    pub(crate) writes: u64,
    /// Halves of read units.
    pub(crate) half_reads: u64,
    /// Requests to DynamoDB: a batch is one.
    pub(crate) store_requests: u64,
    /// Requests that put messages on a queue, ten at most each.
    pub(crate) queue_sends: u64,
    /// Requests that took messages off a queue.
    pub(crate) queue_receives: u64,
    /// Requests that deleted messages.
    pub(crate) queue_deletes: u64,
    /// Messages of the send queue received.
    pub(crate) tasks: u64,
    /// Invocations for deliveries, messages and accounts.
    pub(crate) invocations: BTreeMap<Function, Invocations>,
    /// Those of the schedule.
    pub(crate) ticks: Invocations,
    /// What these read, in halves of read units.
    pub(crate) tick_half_reads: u64,
}

impl Counts {
    fn add(&mut self, cost: Cost) {
        match cost {
            Cost::Writes(units) => self.writes += units,
            Cost::HalfReads(halves) if self.is_tick => self.tick_half_reads += halves,
            Cost::HalfReads(halves) => self.half_reads += halves,
        }
    }

    /// A batch was received, with so many sends, and is deleted with one request.
    pub(super) fn took(&mut self, tasks: u64) {
        self.queue_receives += 1;
        self.queue_deletes += 1;
        self.tasks += tasks;
    }

    /// An invocation ended that has waited for so many milliseconds and made so many requests.
    pub(super) fn invoked(&mut self, function: Function, waited: u64, requests: u64) {
        let all = if self.is_tick {
            &mut self.ticks
        } else {
            self.invocations.entry(function).or_default()
        };
        all.count += 1;
        all.waited += waited;
        all.requests += requests;
    }
}

/// All that is counted.
#[derive(Default)]
pub(super) struct Meter {
    /// The table of entries.
    pub(super) sends: TableLoad,
    /// The other table.
    pub(super) state: TableLoad,
    /// The send queue.
    pub(super) send_queue: QueueLoad,
    /// The release queue.
    pub(super) release_queue: QueueLoad,
    /// Write units by the function that asked.
    pub(super) writes_by: BTreeMap<Function, u64>,
    /// What is billed.
    pub(super) counts: Counts,
}

impl Meter {
    /// A request is made by `function`.
    pub(super) fn add(
        &mut self,
        function: Function,
        table: Table,
        key: &str,
        second: u64,
        cost: Cost,
    ) {
        self.counts.add(cost);
        if let Cost::Writes(units) = cost {
            *self.writes_by.entry(function).or_default() += units;
        }
        match table {
            Table::Sends => self.sends.add(key, second, cost),
            Table::State => self.state.add(key, second, cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn a_peak_is_over_a_whole_second() {
        let mut rate = Rate::default();
        for (second, count) in [(1, 2), (1, 3), (2, 4), (3, 1)] {
            rate.add(second, count);
        }
        assert_eq!((rate.peak(), rate.total()), (5, 10));
    }
}
