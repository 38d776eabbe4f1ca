//! The alarms that move an alias back, each with the least that a failing version makes it see.

use std::collections::BTreeSet;
use std::time::Duration;

use spillway_core::time::Timestamp;

use super::evaluator::{Alarm, Recorded};
use super::{MINUTE, QUARTER};
use crate::harness::START;
use crate::template::{resource, template};

/// How a version of a function fails.
struct Failing {
    function: &'static str,
    /// What counts its failures, each by itself.
    counted_by: [&'static str; 2],
    /// The time from one failure to the next.
    every: Duration,
    /// The failures that it takes.
    enough: u32,
}

#[test]
fn each_kind_of_failure_moves_the_alias_back() {
    let several_a_minute = MINUTE / 4;
    for failing in [
        Failing {
            function: "Webhook",
            counted_by: ["Errors", "Url5xxCount"],
            every: several_a_minute,
            enough: 3,
        },
        Failing {
            function: "Sender",
            counted_by: ["Errors", "FailedRecords"],
            every: several_a_minute,
            enough: 3,
        },
        // While nothing waits, its schedule alone invokes it.
        Failing {
            function: "Release",
            counted_by: ["Errors", "FailedRecords"],
            every: MINUTE,
            enough: 3,
        },
        Failing {
            function: "Upkeep",
            counted_by: ["Errors", "FailedVisits"],
            every: QUARTER,
            enough: 1,
        },
    ] {
        let Failing { function, counted_by, every, enough } = failing;
        let alarm = Alarm::read(&resource(&template(), &format!("{function}RollbackAlarm")));
        let watched: BTreeSet<&str> = alarm.watched().map(|series| series.name.as_str()).collect();
        assert_eq!(watched, BTreeSet::from(counted_by), "{function}");
        for series in alarm.watched() {
            let mut recorded = Recorded::default();
            // The first of them just after a period has begun.
            let at = |failure: u32| START + Duration::from_secs(1) + every * failure;
            let on_at = |recorded: &Recorded| -> Option<Timestamp> {
                alarm.first_on(recorded, START, START + 2 * QUARTER)
            };
            for failure in 0..enough {
                assert_eq!(on_at(&recorded), None, "{function}: {failure} {}", series.name);
                recorded.add(series.clone(), at(failure), 1.0, 1.0);
            }
            let on_at = on_at(&recorded);
            let on_at = on_at.unwrap_or_else(|| panic!("{function}: {} are not seen", series.name));
            assert!(on_at.since(at(enough - 1)) <= MINUTE, "{function}: {}", series.name);
        }
    }
}
