//! The simulation from seeds: all must hold, the same seed must give the same run, and with a
//! promise switched off it must not hold.

use std::ops::Range;

use spillway_simulation::{Run, Sabotage, Theme, Totals, seeds};

/// Among these and the next 500 everything happens that is rare.
const FIRST: u64 = 701;

/// The seeds that are played: 500, or as many as `SPILLWAY_SEEDS` says.
fn chosen() -> Range<u64> {
    let count = std::env::var("SPILLWAY_SEEDS").ok().and_then(|count| count.parse().ok());
    FIRST..FIRST + count.unwrap_or(500)
}

#[test]
fn whatever_fails_all_holds() {
    let mut totals = Totals::default();
    let mut broken = Vec::new();
    seeds::play_all(Theme::Anything, chosen(), Sabotage::None, |run| {
        totals.add(&run);
        broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{} seeds are broken:\n{}", broken.len(), broken.join("\n"));
    // What never happened was not tested.
    for what in [
        "account unreadable",
        "answer lost",
        "calls of tools",
        "clock wrong",
        "delete lost",
        "expired",
        "failed",
        "hold",
        "hold of a person",
        "hold of the app",
        "job denied",
        "killed",
        "message failed",
        "message late",
        "message refused",
        "message repeated",
        "meta: 5xx after effect",
        "meta: 5xx before effect",
        "meta: ambiguous",
        "meta: ambiguous after effect",
        "meta: answer lost",
        "meta: app's limit",
        "meta: blocked",
        "meta: call lost",
        "meta: limit",
        "meta: no connection",
        "meta: account unseen",
        "meta: bad request",
        "meta: blocked by the person",
        "meta: fetch failed",
        "meta: link",
        "meta: object unseen",
        "meta: permission",
        "meta: permission unclear",
        "meta: shared media",
        "meta: recipient's limit",
        "meta: slow answer",
        "meta: token dead",
        "meta: transient",
        "redelivered",
        "request lost",
        "request throttled",
        "sent",
        "usage full",
        "usage of the app full",
    ] {
        let count = totals.counts.get(what).copied().unwrap_or_default();
        assert!(count >= 5, "{what}: {count} times in {} seeds", totals.seeds);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..=50 {
        let play = || seeds::play(Theme::Anything, seed, Sabotage::None, None);
        let (first, second) = (play(), play());
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
    }
}

/// Plays seeds, ten after the other, until something breaks that tells of all of `says`.
fn expect_broken(theme: Theme, sabotage: Sabotage, says: &[&str]) {
    let mut first = Vec::new();
    for seeds in (0..200).map(|ten| 1 + 10 * ten..11 + 10 * ten) {
        let mut told = false;
        seeds::play_all(theme, seeds, sabotage, |run| {
            for failure in run.failures {
                told |= says.iter().all(|part| failure.what.contains(part));
                first.push(failure.what);
            }
        });
        if told {
            return;
        }
    }
    first.truncate(20);
    panic!("{sabotage:?} is not told of by {says:?}: {first:#?}");
}

/// What the judge, who shares no code with the limiter, says of a call over a limit.
const OVER: &str = "breaks [Over";

#[test]
fn with_a_promise_switched_off_it_breaks() {
    for (sabotage, says) in [
        (Sabotage::Claims, &["without a claim"][..]),
        (Sabotage::BudgetCondition, &[OVER]),
        (Sabotage::Quota, &[OVER, "replies"]),
        (Sabotage::Spread, &["ActiveHours"]),
        (Sabotage::Spread, &[OVER, "DMs / 10 min"]),
        (Sabotage::WarmUp, &[OVER, "messages"]),
        (Sabotage::LowerTier, &[OVER]),
        (Sabotage::Holds, &["before its hold ends"]),
        (Sabotage::PeopleHolds, &["Hold(Recipient"]),
        (Sabotage::AppHolds, &["into a hold of the app"]),
        (Sabotage::AppCondition, &[OVER, "\"app\""]),
        (Sabotage::People, &[OVER, "recipients"]),
        (Sabotage::Unknown, &["is made again"]),
        (Sabotage::Lines, &["its line is dropped"]),
        (Sabotage::Charges, &["without a grant"]),
        (Sabotage::Rows, &[OVER]),
    ] {
        expect_broken(Theme::Anything, sabotage, says);
    }
}

#[test]
fn a_comment_does_not_wait_for_a_campaign() {
    let mut broken = Vec::new();
    seeds::play_all(Theme::Campaign, 1..101, Sabotage::None, |run| {
        broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    expect_broken(Theme::Campaign, Sabotage::Lanes, &["went out after"]);
}

#[test]
fn nobody_waits_for_longer_than_two_people_or_a_first_refusal_have_earned() {
    let mut broken = Vec::new();
    // In the last one the same send is refused again after a hold, a night and more than a day.
    for seeds in [1..201, 4114..4115] {
        seeds::play_all(Theme::Refusals, seeds, Sabotage::None, |run| {
            broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
        });
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    expect_broken(Theme::Refusals, Sabotage::Refusals, &["went out after"]);
}

#[test]
fn a_crowd_is_answered_as_soon_as_there_are_slots() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    seeds::play_all(Theme::Crowd, 1..101, Sabotage::None, |run| {
        totals.add(&run);
        broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for what in ["account unreadable", "batch undone"] {
        assert!(totals.counts.contains_key(what), "{what}");
    }
    assert_eq!(totals.counts.get("batch given up"), None, "though the tables were soon free again");
}

#[test]
fn accounts_are_kept_up_whatever_fails() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    seeds::play_all(Theme::Upkeep, 1..61, Sabotage::None, |run| {
        totals.add(&run);
        broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for what in [
        "account removed",
        "calls of upkeep",
        "cancelled",
        "connected again",
        "delivery given up",
        "found by a backfill",
        "heard of late",
        "hold",
        "hold of the app",
        "killed",
        "never delivered",
        "told: comments not read to the end",
        "told: deauthorised",
        "told: heard again",
        "told: silent",
        "told: subscribed again",
        "told: token not renewed",
        "told: token renewed",
    ] {
        assert!(totals.counts.contains_key(what), "{what}");
    }
}

#[test]
fn with_a_promise_of_upkeep_switched_off_it_breaks() {
    for (sabotage, says) in [
        (Sabotage::UpkeepProbe, "leaves"),
        (Sabotage::Unread, "it was never recorded"),
        (Sabotage::RefusedPages, "it was never recorded"),
        (Sabotage::HeldTokens, "has ended, and was not renewed"),
        (Sabotage::Removal, "after it was removed"),
    ] {
        expect_broken(Theme::Upkeep, sabotage, &[says]);
    }
}

/// What people do in conversations is answered once and inside its window, and nothing else is.
#[test]
fn what_people_do_in_conversations_is_answered_once_and_in_time() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    seeds::play_all(Theme::Triggers, 1..201, Sabotage::None, |run| {
        totals.add(&run);
        broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{} seeds are broken:\n{}", broken.len(), broken.join("\n"));
    for what in ["echo", "expired", "killed", "meta: answer lost", "redelivered", "sent"] {
        assert!(totals.counts.contains_key(what), "{what}");
    }
    expect_broken(Theme::Triggers, Sabotage::Windows, &["outside its window"]);
    expect_broken(Theme::Triggers, Sabotage::EntryKeys, &["one story is answered by"]);
    expect_broken(Theme::Triggers, Sabotage::Claims, &["without a claim"]);
}

/// Each message of a conversation goes out once, inside its window and not after STOP or a human,
/// and whoever does what is asked is delivered to.
#[test]
fn conversations_hold_whatever_people_do_and_whatever_fails() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    // In the last ones a gate is the probe after a hold, a delivery is answered between two attempts, a
    // repeat meets a STOP, and a follow-up is answered while it is sent.
    for seeds in [1..301, 814..815, 877..878, 939..940, 1381..1382, 1968..1969, 3997..3998] {
        seeds::play_all(Theme::Talks, seeds, Sabotage::None, |run| {
            totals.add(&run);
            broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
        });
    }
    assert!(broken.is_empty(), "{} seeds are broken:\n{}", broken.len(), broken.join("\n"));
    for what in [
        "cancelled",
        "clock wrong",
        "killed",
        "meta: answer lost",
        "redelivered",
        "talk: asked for an address",
        "talk: asked to follow",
        "talk: delivered",
        "talk: disclosed",
        "talk: followed up",
        "talk: lost",
        "talk: news",
        "talk: opened",
    ] {
        assert!(totals.counts.contains_key(what), "{what}");
    }
    expect_broken(Theme::Talks, Sabotage::OpenWindows, &["outside the window"]);
    expect_broken(Theme::Talks, Sabotage::Steps, &["times after 1 openings"]);
    expect_broken(Theme::Talks, Sabotage::Stops, &["after STOP"]);
    expect_broken(Theme::Talks, Sabotage::Takeovers, &["after a human wrote"]);
    expect_broken(Theme::Talks, Sabotage::Runs, &["news reaches", "times in 1 runs"]);
    expect_broken(Theme::Talks, Sabotage::Disclosures, &["is told twice"]);
}

#[test]
fn people_who_comment_again_have_one_dm() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    // In the last ones a comment was named whose webhook died, a newer comment was noted while a
    // claim was repeated, and a comment was gone that nobody had named the author of.
    for seeds in [1..201, 699..700, 921..922, 1157..1158, 2324..2325] {
        seeds::play_all(Theme::Repeats, seeds, Sabotage::None, |run| {
            totals.add(&run);
            broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
        });
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for what in ["calls for an author", "cancelled", "killed", "meta: comment gone", "replaced"] {
        assert!(totals.counts.contains_key(what), "{what}");
    }
    expect_broken(Theme::Repeats, Sabotage::EntryKeys, &["DMs"]);
}

#[test]
fn what_operators_do_holds_whatever_fails() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    // In the last one upkeep reads comments before it knows how the account is named.
    for seeds in [501..601, 3373..3374] {
        seeds::play_all(Theme::Administration, seeds, Sabotage::None, |run| {
            totals.add(&run);
            broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
        });
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for what in [
        "cancelled",
        "clock wrong",
        "done: connected",
        "done: file applied",
        "done: forgotten",
        "done: limits changed",
        "done: paused",
        "done: removed",
        "done: resumed",
        "done: retried",
        "killed",
        "told of while its campaign stopped",
    ] {
        assert!(totals.counts.contains_key(what), "{what}");
    }
    for (sabotage, says) in [
        (Sabotage::Pauses, &["after its campaign stopped"][..]),
        (Sabotage::Forgetting, &["is forgotten", "names them"]),
        (Sabotage::LowerTier, &[OVER]),
        (Sabotage::Removal, &["after it was removed"]),
    ] {
        expect_broken(Theme::Administration, sabotage, says);
    }
}

#[test]
fn comments_are_answered_in_public_at_most_once_and_after_their_dm() {
    let mut broken = Vec::new();
    let mut totals = Totals::default();
    let mut public = 0;
    seeds::play_all(Theme::PublicReplies, 1..101, Sabotage::None, |run| {
        totals.add(&run);
        public += run.public.sent;
        broken.extend((!run.failures.is_empty()).then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(public > 500, "{public}");
    for what in
        ["calls for replies", "killed", "meta: 5xx after effect", "meta: recipient", "repeated"]
    {
        assert!(totals.counts.contains_key(what), "{what}");
    }
    expect_broken(Theme::PublicReplies, Sabotage::Replies, &["public replies under"]);
    expect_broken(Theme::PublicReplies, Sabotage::Outcomes, &["its DM has not ended"]);
}

/// Both runs of a seed draw their latencies apart, so the instants differ by a few seconds.
#[test]
fn the_last_dm_goes_out_no_later_with_public_replies() {
    let mut compared = 0;
    for seed in (1..43).filter(|&seed| Run::is_calm(Theme::PublicReplies, seed)) {
        let without = Run::without_public_replies(seed);
        let with = seeds::play(Theme::PublicReplies, seed, Sabotage::None, None);
        assert!(with.public.sent > 0 || with.tally.sent < 5, "seed {seed}: {:?}", with.public);
        assert_eq!(with.tally.sent, without.tally.sent, "seed {seed}");
        let (with, without) = (with.last_dm_ms, without.last_dm_ms);
        assert!(with < without + 60_000 + without / 100, "{seed}: {with} and {without}");
        compared += 1;
    }
    assert!(compared > 3, "{compared}");
}
