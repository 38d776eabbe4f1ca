//! The schedules: what is due must not stay undone.

use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::port::{MaintenanceSchedule, StoreError};

use super::finding::Finding;
use crate::deployment::Deployment;
use crate::output::span;

const RELEASE: &str = "release function";
const UPKEEP: &str = "upkeep function";

/// How long something may be overdue.
struct Patience {
    /// Longer than that, the function is behind.
    behind: Duration,
    /// Longer than that, it does not run.
    stopped: Duration,
}

/// It runs every minute and takes a minute at most; the alarm of the template waits four.
const OF_RELEASE: Patience =
    Patience { behind: Duration::from_secs(4 * 60), stopped: Duration::from_secs(15 * 60) };

/// It runs every quarter of an hour, and leaves to the next run what it has no time for.
const OF_UPKEEP: Patience =
    Patience { behind: Duration::from_secs(45 * 60), stopped: Duration::from_secs(2 * 3600) };

/// Looks at what both have left undone.
pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let now = deployment.clock.now();
    let wiring = &deployment.wiring;
    let (marked, due) = futures::join!(wiring.backlogs.marked(), wiring.maintenance.due(now));
    vec![judged(RELEASE, &OF_RELEASE, marked, now), judged(UPKEEP, &OF_UPKEEP, due, now)]
}

fn judged(
    check: &'static str,
    patience: &Patience,
    due: Result<Vec<(AccountId, Timestamp)>, StoreError>,
    now: Timestamp,
) -> Finding {
    let due = match due {
        Ok(due) => due,
        Err(error) => return Finding::unread(check, &error),
    };
    let oldest = due.iter().min_by_key(|(_, due)| *due);
    let good = Finding::good(check, "nothing is long overdue");
    let Some((account, since)) = oldest.filter(|(_, due)| *due <= now) else { return good };
    let late = now.since(*since);
    let said = format!("account {account} is due since {}", span(late));
    let look = format!("look at the log of the {check}, its errors and throttles");
    match late {
        late if late > patience.stopped => Finding::wrong(
            check,
            format!("{said}: it does not run, or fails"),
            format!("{look}, and at its schedule in EventBridge Scheduler"),
        ),
        late if late > patience.behind => {
            Finding::warning(check, format!("{said}: it is behind"), look)
        }
        _ => good,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{Good, Warning, Wrong};
    use super::*;

    #[test]
    fn what_is_long_overdue_tells_that_nothing_runs() {
        let now = Timestamp::from_secs(1_790_000_000);
        let verdict = |due: &[Timestamp]| {
            let due = due.iter().map(|&due| (AccountId::new("1"), due)).collect();
            judged(RELEASE, &OF_RELEASE, Ok(due), now).verdict
        };
        let ago = |secs| now - Duration::from_secs(secs);
        assert_eq!(verdict(&[]), Good);
        assert_eq!(verdict(&[now + Duration::from_secs(9000)]), Good);
        assert_eq!(verdict(&[ago(240)]), Good);
        assert_eq!(verdict(&[ago(241), ago(1)]), Warning);
        assert_eq!(verdict(&[ago(1), ago(901), now]), Wrong);
    }

    #[test]
    fn upkeep_may_be_a_few_runs_late() {
        let now = Timestamp::from_secs(1_790_000_000);
        let verdict = |minutes: u64| {
            let due = now - Duration::from_secs(60 * minutes);
            judged(UPKEEP, &OF_UPKEEP, Ok(vec![(AccountId::new("1"), due)]), now).verdict
        };
        assert_eq!((verdict(45), verdict(46), verdict(121)), (Good, Warning, Wrong));
    }
}
