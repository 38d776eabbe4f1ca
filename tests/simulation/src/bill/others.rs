//! What others do, as small models: the least that each design can use for a DM.

use serde::Serialize;

use super::lambda::{gb_seconds, millis};
use super::usage::Usage;
use super::workload::{BESIDE, Wait};
use crate::process::Function;
use crate::scale::Server;

/// A design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Other {
    /// A message goes back for 15 minutes, SQS's longest delay, until its turn comes.
    Hops,
    /// A one-time schedule of EventBridge for each send.
    Schedules,
    /// A Standard Workflow with a wait for each send.
    Workflows,
}

/// Hours that a message can be delayed.
const HOP: f64 = 0.25;

/// Messages in a batch.
const BATCH: f64 = 10.0;

/// Comments in a delivery.
const DELIVERY: f64 = 5.0;

impl Other {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hops, Self::Schedules, Self::Workflows];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hops => "15-minute re-queue hops",
            Self::Schedules => "one EventBridge schedule a send",
            Self::Workflows => "one Step Functions wait a send",
        }
    }

    /// What a DM uses. Each design records the comment, counts the call and notes the outcome, a
    /// write unit each; it has full batches where it has any, and nothing goes wrong.
    pub(super) fn usage(self, wait: Wait) -> Usage {
        let base = Usage { write_units: 3.0, ..BESIDE } + delivery();
        base + match self {
            Self::Hops => {
                let hops = wait.mean_hours() / HOP;
                // Looks at the budget, and sends what does not fit again.
                let hop = Usage {
                    read_units: 1.0 / BATCH,
                    ..invocation(Function::Sender, 1.0 / BATCH, [store(), queue()])
                } + messages(1.0);
                hop * hops + call(1.0 / BATCH) + messages(1.0)
            }
            Self::Schedules => Usage { schedules: 1.0, ..call(1.0) },
            // The start, the wait and the task.
            Self::Workflows => Usage { transitions: 3.0, ..call(1.0) },
        }
    }
}

pub(super) const fn store() -> u64 {
    Server::Store.latency()
}

const fn queue() -> u64 {
    Server::Queue.latency()
}

/// An invocation that makes requests one after the other, shared by several messages.
pub(super) fn invocation<const N: usize>(
    function: Function,
    part: f64,
    requests: [u64; N],
) -> Usage {
    let waited = requests.iter().sum::<u64>() as f64;
    let lasts = millis(function, 1.0, waited, N as f64);
    Usage { invocations: part, gb_seconds: part * gb_seconds(function, lasts), ..Usage::default() }
}

/// The webhook's: it records, then hands on. Schedules and executions are created one by one, but
/// at a time, and take as long as a message.
fn delivery() -> Usage {
    invocation(Function::Webhook, 1.0 / DELIVERY, [store(), queue()])
}

/// The call to Meta, between the count and the outcome.
fn call(part: f64) -> Usage {
    invocation(Function::Sender, part, [store(), Server::Graph.latency(), store()])
}

/// Sent, received and deleted in full batches.
fn messages(count: f64) -> Usage {
    Usage { queue_requests: 3.0 * count / BATCH, ..Usage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_grow_with_the_wait_and_the_others_do_not() {
        let hops = |wait| Other::Hops.usage(wait).queue_requests;
        assert!((hops(Wait::Straight) - 0.3).abs() < 1e-9);
        // 16 hops more in four hours.
        assert!((hops(Wait::EightHours) - 0.3 * 17.0).abs() < 1e-9);
        for other in [Other::Schedules, Other::Workflows] {
            assert_eq!(other.usage(Wait::Straight), other.usage(Wait::ThreeDays));
        }
    }
}
