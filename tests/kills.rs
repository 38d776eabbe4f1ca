//! A function killed at a request that it makes to AWS, before the request's effect and after it:
//! whatever is left, every comment gets its one DM, or nobody knows whether it has it. Some of the requests are tried each time, all
//! of them at night.

use std::time::Duration;

use spillway_graph::{Fault, FaultKind};
use spillway_local::fault_injector::KillPoint;
use spillway_local::setup::QuotaOptions;

use crate::harness::{START, World, all_said, careful, quotas};

/// What is played each time.
struct Scenario {
    comments: u32,
    quotas: fn() -> QuotaOptions,
    fault: Option<FaultKind>,
}

impl Scenario {
    /// Plays to the end, with a kill at the `n`th request. Gives the requests that were made.
    async fn play(&self, kill: Option<(u64, KillPoint)>) -> u64 {
        let mut world = World::start((self.quotas)()).await;
        let all = all_said(1..=self.comments);
        let (first, more) = all.split_at(all.len().div_ceil(2));
        // Some comments, some more, and those of the first again.
        for (after, said) in [(1, first), (2, more), (20, &first[1..])] {
            world.plan(START + Duration::from_secs(after), said);
        }
        if let Some(fault) = self.fault.clone() {
            world.stack.graph.order_fault(Fault::new(fault));
        }
        if let Some((n, point)) = kill {
            world.stack.faults.kill_at(n, point);
        }
        world.settle().await;
        assert!(!world.stack.faults.is_armed(), "{kill:?} never struck");
        let matched = u64::from(self.comments);
        let report = world.over(matched).await;
        assert_eq!(report.sent + report.failed, matched, "{kill:?}: {report:?}");
        // Whoever died between a claim and its record leaves a send of which nobody knows whether
        // it arrived. A call whose answer was lost leaves one too.
        let may_be_unknown = kill.is_some() || self.fault == Some(FaultKind::NoAnswer);
        assert!(report.failed == 0 || may_be_unknown, "{report:?}");
        for said in &all {
            let told = world.told(said).await.unwrap();
            if told.state == "failed" {
                assert_eq!(told.reason(), "unknown", "{kill:?}");
            }
        }
        world.stack.faults.counts().requests
    }

    /// Plays it with a kill before and after every request; where `share` is above one, with each
    /// `share`th of these kills.
    async fn survives_kills(&self, share: usize) {
        let requests = self.play(None).await;
        assert!(requests > 30, "{requests} requests");
        let points = [KillPoint::Before, KillPoint::After];
        let kills = (1..=requests).flat_map(|n| points.map(|point| (n, point)));
        for kill in kills.step_by(share) {
            self.play(Some(kill)).await;
        }
    }
}

/// Odd, so that it falls on both points in turn.
const SHARE: usize = 9;

fn quiet_day() -> Scenario {
    Scenario { comments: 6, quotas: careful, fault: None }
}

fn around_a_hold() -> Scenario {
    let fault = FaultKind::Throttled { code: 613, regain_minutes: Some(2) };
    Scenario { comments: 4, quotas: careful, fault: Some(fault) }
}

fn around_a_lost_answer() -> Scenario {
    Scenario { comments: 3, quotas: careful, fault: Some(FaultKind::NoAnswer) }
}

fn with_parked_sends() -> Scenario {
    Scenario { comments: 6, quotas: || quotas("3/10m", "1000/24h"), fault: None }
}

#[tokio::test]
async fn killed_on_a_quiet_day() {
    quiet_day().survives_kills(SHARE).await;
}

#[tokio::test]
async fn killed_around_a_hold() {
    around_a_hold().survives_kills(SHARE).await;
}

#[tokio::test]
async fn killed_around_a_lost_answer() {
    around_a_lost_answer().survives_kills(SHARE).await;
}

#[tokio::test]
async fn killed_with_parked_sends() {
    with_parked_sends().survives_kills(SHARE).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just nightly` plays it"]
async fn killed_at_every_request() {
    for scenario in [quiet_day(), around_a_hold(), around_a_lost_answer(), with_parked_sends()] {
        scenario.survives_kills(1).await;
    }
}
