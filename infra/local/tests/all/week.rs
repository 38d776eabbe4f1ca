//! Weeks of outages, several at once: nobody is left out; and where something is switched off, the
//! drill says who was.

use std::collections::BTreeSet;
use std::time::Duration;

use spillway_local::drill::report::DrillReport;
use spillway_local::drill::trouble::Trouble;
use spillway_local::drill::{Drill, DrillOptions};
use spillway_local::setup::QuotaOptions;

async fn drill(days: u32, comments: u32, only: &[Trouble], seed: u64) -> Drill {
    let rate = |text: &str| text.parse().unwrap();
    let quotas = QuotaOptions {
        calls: rate("200/1h"),
        replies: rate("750/1h"),
        recipients: rate("1000/24h"),
    };
    let options = DrillOptions { days, comments, only: only.to_vec(), seed };
    Drill::new(&options, &quotas).await.unwrap()
}

/// Everybody must have their DM, once and within the limits. `just nightly` plays a hundred weeks.
#[tokio::test]
#[cfg_attr(debug_assertions, ignore = "takes minutes unless optimised")]
async fn in_a_week_of_outages_nobody_is_left_out() {
    let report = drill(7, 30, &[], 1).await.play(&mut |_| ()).await.unwrap();
    let DrillReport { wanted, sent, unknown, waiting, failed, expired, lost, .. } = report;
    // Where Meta's servers failed, nobody can know whether the call made its DM: it is not
    // repeated.
    assert_eq!((wanted, sent + unknown), (210, 210), "{report:#?}");
    assert!(unknown <= wanted / 20, "{report:#?}");
    // The quotas have room for everybody, so nobody may be too late either.
    assert_eq!((waiting, failed, expired, lost), (0, 0, 0, 0), "{report:#?}");
    let wrong = (report.twice, report.violations, report.disagreements);
    assert_eq!(wrong, (0, 0, 0), "{report:#?}");
    assert!(report.is_clean());

    let struck = report.troubles.iter().filter(|trouble| trouble.struck > 0);
    let kinds: BTreeSet<Trouble> = struck.map(|trouble| trouble.trouble).collect();
    assert!(kinds.len() >= 9, "little was tested: {kinds:?}");
    assert!(!report.unheard.is_empty(), "Meta never gave up: {report:#?}");
    assert!(report.unheard.iter().all(|gap| gap.end_s.is_some()), "{:#?}", report.unheard);
    for trouble in &report.troubles {
        let is_renewal = trouble.trouble == Trouble::Renewal;
        assert_eq!(trouble.renewed_s.is_some(), is_renewal, "{trouble:#?}");
    }
    assert_eq!(report.days.iter().map(|day| day.wanted).sum::<u64>(), wanted);
    assert!(report.days.iter().all(|day| day.wanted == 30));
}

/// No kills here: where a function dies among requests that race, what it had done may differ.
#[tokio::test]
async fn the_same_seed_plays_the_same_days() {
    let only = [Trouble::Patchy, Trouble::Queue, Trouble::Replay, Trouble::Throttle];
    let first = drill(2, 8, &only, 5).await.play(&mut |_| ()).await.unwrap();
    assert_eq!(first.sent, 16, "{first:#?}");
    let rendered = first.render();
    for said in
        ["day 1, Mon 7 Sep", "day 2, Tue 8 Sep", "comments  ", "waiting  ", "queue  ", "slowest"]
    {
        assert!(rendered.contains(said), "`{said}` is missing:\n{rendered}");
    }
    assert_eq!(first, drill(2, 8, &only, 5).await.play(&mut |_| ()).await.unwrap());
}

#[tokio::test]
async fn without_upkeep_whoever_comments_while_meta_is_silent_is_lost() {
    let mut drill = drill(2, 40, &[Trouble::Webhooks], 1).await;
    drill.driver.keeps_up_every = None;
    let report = drill.play(&mut |_| ()).await.unwrap();
    assert!(report.lost > 0 && report.sent > 0, "{report:#?}");
    assert_eq!(report.sent + report.lost, report.wanted, "{report:#?}");
    assert_eq!(report.days.iter().map(|day| day.lost).sum::<u64>(), report.lost);
    assert!(report.unheard.iter().any(|gap| gap.end_s.is_none()), "{:#?}", report.unheard);
    assert!(!report.is_clean());
}

#[tokio::test]
async fn without_a_schedule_whoever_lost_their_slot_waits() {
    let mut drill = drill(2, 40, &[Trouble::Queue], 1).await;
    drill.driver.unscheduled_until = drill.stack.clock.now() + Duration::from_secs(100 * 24 * 3600);
    let report = drill.play(&mut |_| ()).await.unwrap();
    assert!(report.waiting > 0 && report.sent > 0, "{report:#?}");
    assert_eq!(report.sent + report.waiting, report.wanted, "{report:#?}");
    assert!(!report.is_clean());
}
