//! The story of people who answer: a funnel that adds up, each end, nobody outside their window, no
//! step twice, and the same from the same seed.

use std::time::Duration;

use spillway_local::report::Report;
use spillway_local::setup::QuotaOptions;
use spillway_local::story::funnel::{Ended, Funnel};
use spillway_local::story::{START, Story, StoryOptions};

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

/// What is stored comes to what the people and Meta's log tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_the_funnel_of_what_is_stored() {
    let options = StoryOptions { comments: PEOPLE, span: Duration::from_secs(600), seed: 2 };
    let mut story = Story::conversing(&options, &QuotaOptions::default()).await.unwrap();
    let told = story.play(&mut |_| ()).await.unwrap().conversed.unwrap().funnel;
    let (admin, now) = (&story.stack.admin, story.stack.clock.now());
    let account = admin.accounts.connected(&"17841400000000001".into()).await.unwrap();
    let mut looked_at = 0;
    let view = admin.outcomes.view(&account, START, now, usize::MAX, |n| looked_at += n).await;
    let view = view.unwrap();
    assert!(view.is_complete && view.looked_at == looked_at, "{view:?}");
    let [guide] = &view.campaigns[..] else { panic!("{view:?}") };
    let seen = guide.funnel.unwrap();
    assert_eq!(seen.opened, told.opened);
    // A STOP is no answer that a campaign asks for.
    let answered = told.answered - told.ended.stopped..=told.answered;
    assert!(answered.contains(&seen.answered), "{seen:?} {told:?}");
    assert_eq!(seen.emailed, Some(told.emailed));
    assert_eq!(seen.delivered, Some(told.delivered));
    assert_eq!(seen.followed_up, Some(told.followed_up));
    // Of whom Meta tells nothing is let through.
    let followed = told.emailed..=told.followed + told.ended.unknown;
    assert!(followed.contains(&seen.followed.unwrap()), "{seen:?} {told:?}");
    assert_eq!(seen.clicked, None, "it has no tracked link");
    assert_eq!(guide.openings.sent, told.opened);
    let failed = guide.openings.failed + guide.conversation.failed;
    assert_eq!(guide.refusals.iter().map(|refused| refused.count).sum::<u64>(), failed);
    assert!(guide.refusals.iter().all(|refused| refused.day.starts_with("2026-09-")));

    let view = admin.outcomes.view(&account, now, now, usize::MAX, |_| ()).await.unwrap();
    let [guide] = &view.campaigns[..] else { panic!("{view:?}") };
    assert_eq!(guide.openings.sum() + guide.funnel.unwrap().opened, 0);
    let none = admin.outcomes.view(&account, START, now, 0, |_| ()).await.unwrap();
    assert!(!none.is_complete && none.campaigns[0].funnel.is_none());
}
