//! The alarms that move an alias back, each with the least that a failing version makes it see.

use std::collections::BTreeSet;
use std::fs;
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
        Failing {
            function: "Link",
            counted_by: ["Errors", "Url5xxCount"],
            every: several_a_minute,
            enough: 3,
        },
        Failing {
            function: "Console",
            counted_by: ["Errors", "Url5xxCount"],
            every: several_a_minute,
            enough: 3,
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

/// The time between two steps of production's deployments, as `samconfig.toml` has it. Each step gives
/// the new version a tenth more of the events.
fn step_of_production() -> Duration {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../samconfig.toml");
    let config: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let set = config["prod"]["deploy"]["parameters"]["parameter_overrides"].as_str().unwrap();
    let (_, step) = set.split_once("DeploymentType=Linear10PercentEvery").expect("a linear one");
    let minutes: String = step.chars().take_while(char::is_ascii_digit).collect();
    MINUTE * minutes.parse::<u32>().unwrap()
}

/// Numbers below 100, the same ones in each run.
struct Draws(u64);

impl Draws {
    fn percent(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % 100
    }
}

/// A stack in which nothing happens has the schedules' events alone, and a version that is new gets
/// few of them at first.
#[test]
fn production_moves_back_a_version_that_always_fails_although_nothing_happens() {
    const DEPLOYMENTS: u32 = 400;
    let step = step_of_production();
    let lasts = step * 9;
    let mut draws = Draws(1);
    for (function, every) in [("Release", MINUTE), ("Upkeep", QUARTER)] {
        let alarm = Alarm::read(&resource(&template(), &format!("{function}RollbackAlarm")));
        let errors = alarm.watched().find(|series| series.name == "Errors").unwrap().clone();
        let moved_back = (0..DEPLOYMENTS).filter(|deployment| {
            let mut recorded = Recorded::default();
            let mut event = every * *deployment / DEPLOYMENTS;
            while event < lasts {
                let steps = 1 + event.as_secs() / step.as_secs();
                if draws.percent() < 10 * steps {
                    recorded.add(errors.clone(), START + event, 1.0, 1.0);
                }
                event += every;
            }
            alarm.first_on(&recorded, START, START + lasts).is_some()
        });
        let moved_back = moved_back.count();
        // OPERATIONS.md names the share.
        assert!(moved_back * 100 >= DEPLOYMENTS as usize * 98, "{function}: {moved_back}");
    }
}
