//! The chaos drill: every trouble strikes and nobody is left out; and where something is broken on
//! purpose, it says so.

use spillway_local::drill::report::DrillReport;
use spillway_local::drill::trouble::Trouble;
use spillway_local::drill::{Drill, DrillOptions};
use spillway_local::setup::QuotaOptions;

fn quotas() -> QuotaOptions {
    let rate = |text: &str| text.parse().unwrap();
    QuotaOptions { calls: rate("200/1h"), replies: rate("750/1h"), recipients: rate("1000/24h") }
}

async fn drill(comments: u32, only: &[Trouble]) -> Drill {
    let options = DrillOptions { days: 1, comments, only: only.to_vec(), seed: 3 };
    Drill::new(&options, &quotas()).await.unwrap()
}

#[tokio::test]
async fn every_trouble_strikes_and_nobody_is_left_out() {
    let report = drill(240, &[]).await.play(&mut |_| ()).await.unwrap();
    let DrillReport { wanted, sent, unknown, waiting, failed, expired, lost, .. } = report;
    // Where Meta's servers failed, nobody can know whether the call made its DM: it is not
    // repeated.
    assert_eq!((wanted, sent + unknown), (240, 240), "{report:#?}");
    assert!(unknown <= wanted / 20, "{report:#?}");
    assert_eq!((waiting, failed, expired, lost), (0, 0, 0, 0), "{report:#?}");
    let wrong = (report.twice, report.violations, report.disagreements);
    assert_eq!(wrong, (0, 0, 0), "{report:#?}");
    assert!(report.is_clean());
    let struck: Vec<Trouble> = report.troubles.iter().map(|trouble| trouble.trouble).collect();
    assert_eq!(struck, Trouble::ALL[..6], "those that a day has");
    for trouble in &report.troubles {
        assert!(trouble.struck > 0 && trouble.comments > 0, "nothing was tested: {trouble:?}");
        let caught_up = trouble.caught_up_s.unwrap();
        assert!(caught_up < trouble.end_s + 4.0 * 3600.0, "{trouble:?}");
        // These let nothing through; of the others some passes.
        if matches!(trouble.trouble, Trouble::Store | Trouble::Queue | Trouble::Token) {
            assert_eq!(trouble.sent, 0, "{trouble:?}");
            assert!(trouble.waiting >= trouble.comments, "{trouble:?}");
        }
        let gave_up = trouble.trouble == Trouble::Webhooks;
        assert_eq!(trouble.unsubscribed_s.is_some(), gave_up, "{trouble:?}");
        assert_eq!(trouble.resubscribed_s.is_some(), gave_up, "{trouble:?}");
    }
}

#[tokio::test]
async fn without_upkeep_comments_are_lost_and_the_drill_says_so() {
    let mut drill = drill(120, &[Trouble::Webhooks]).await;
    drill.driver.keeps_up_every = None;
    let report = drill.play(&mut |_| ()).await.unwrap();
    assert!(report.lost > 0 && report.sent > 0, "{report:#?}");
    assert_eq!(report.sent + report.lost, report.wanted, "{report:#?}");
    let [webhooks] = &report.troubles[..] else { panic!("{report:#?}") };
    assert_eq!((webhooks.lost, webhooks.resubscribed_s), (report.lost, None), "{report:#?}");
    assert!(!report.is_clean());
    let rendered = report.render();
    assert!(rendered.contains("never subscribed again"), "{rendered}");
}
