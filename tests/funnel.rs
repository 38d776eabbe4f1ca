//! The story of people who answer: a funnel that adds up, each end, nobody outside their window, no
//! step twice, and the same from the same seed.

use std::time::Duration;

use spillway_local::report::Report;
use spillway_local::setup::QuotaOptions;
use spillway_local::story::funnel::{Ended, Funnel};
use spillway_local::story::{Story, StoryOptions};

/// Enough people for each kind of end.
const PEOPLE: u32 = 80;

async fn play(seed: u64) -> Report {
    let options = StoryOptions { comments: PEOPLE, span: Duration::from_secs(600), seed };
    let mut story = Story::conversing(&options, &QuotaOptions::default()).await.unwrap();
    let report = story.play(&mut |_| ()).await.unwrap();
    assert!(report.is_clean(story.expected), "{report:#?}");
    assert_eq!(story.stack.graph.recount(), [], "counted from the log alone");
    report
}

/// On several threads, as the program runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_funnel_adds_up_and_the_same_seed_plays_the_same_people() {
    let report = play(2).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["outside_window"], 0);
    assert_eq!(json["steps_twice"], 0);
    assert_eq!(json["violations"], 0);
    let told = report.conversed.clone().unwrap().funnel;
    assert_eq!(json["funnel"], serde_json::to_value(&told).unwrap());

    let Funnel { opened, answered, followed, emailed, delivered, followed_up, ended } = told;
    let figures = [u64::from(PEOPLE), opened, answered, followed, emailed, delivered, followed_up];
    assert!(figures.is_sorted_by(|more, fewer| more >= fewer), "{figures:?}");
    assert!(followed_up > 0 && followed_up < delivered && emailed < answered, "{figures:?}");
    assert_eq!((ended.sum(), ended.delivered), (opened, delivered));
    let Ended { delivered, stopped, taken_over, refused, unknown, unanswered } = ended;
    let ends = [delivered, stopped, taken_over, refused, unknown, unanswered];
    assert!(ends.iter().all(|&count| count > 0), "{ended:?}");
    assert_eq!(taken_over, 1, "one thread");

    assert_eq!(play(2).await, report);
}
