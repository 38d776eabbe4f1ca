//! What each model does where it matters, on traces made for it.

use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_rivals::models::{self, Exact, FixedWindow, Hops, PerMinute, Spillway, TokenBucket};
use spillway_rivals::{Answer, DEADLINE, Meta, Model, Outcome, Trace};

const MINUTE: Duration = Duration::from_secs(60);
/// Monday, 7 September 2026, 17:00 UTC.
const FIVE: Timestamp = Timestamp::from_secs(1_788_800_400);

fn play(model: &dyn Model, trace: &Trace) -> Outcome {
    model.play(trace, &mut Meta::new(trace))
}

/// The same comments, the first at `at`.
fn starting(at: Timestamp, trace: Trace) -> Trace {
    let since = trace.start();
    let arrivals = trace.arrivals.iter().map(|&arrival| at + arrival.since(since)).collect();
    Trace { arrivals, ..trace }
}

fn viral() -> Trace {
    Trace::even(10_000, 5 * MINUTE, 10_000)
}

/// Count and limit of the fullest window; of no window nothing.
fn fullest(outcome: &Outcome) -> (u64, u32) {
    outcome.fullest.as_ref().map_or((0, 0), |window| (window.count, window.allowed))
}

#[test]
fn a_fixed_window_lets_twice_its_limit_through_at_its_edge() {
    let edge = FIVE + 60 * MINUTE;
    let arrivals = (0..1500).map(|n| edge - Duration::from_millis(750) + Duration::from_millis(n));
    let arrivals = arrivals.collect();
    let trace = Trace { arrivals, ..viral() };
    let outcome = play(&FixedWindow, &trace);
    // Its counter lets all of them through and Meta takes half. The others meet a full hour with
    // their second attempt, and come through in the next.
    assert_eq!(outcome.calls, 1500 + 750);
    assert_eq!(fullest(&outcome), (1500, 750));
    // All but the first refused call came after somebody had been told to stop.
    assert_eq!(outcome.calls_in_hold, 749);
}

#[test]
fn a_fixed_window_loses_85_percent_whatever_the_minute() {
    for minute in [0, 14, 29, 30, 45, 55] {
        let outcome = play(&FixedWindow, &starting(FIVE + minute * MINUTE, viral()));
        let lost = outcome.lost_percent();
        assert!((84.0..=86.0).contains(&lost), "minute {minute}: {lost}% of {outcome:?}");
    }
}

#[test]
fn twelve_a_minute_runs_into_the_day_and_goes_on_calling() {
    let outcome = play(&PerMinute, &Trace::even(3000, 10 * MINUTE, 1000));
    assert_eq!(outcome.lost, 0);
    let (count, allowed) = fullest(&outcome);
    assert!(count > 2 * u64::from(allowed), "{outcome:?}");
    assert!(outcome.calls_in_hold > 10_000, "{outcome:?}");
    let below = play(&PerMinute, &viral());
    assert_eq!((below.calls, below.calls_in_hold), (10_000, 0), "12 a minute are 720 an hour");
}

#[test]
fn hops_break_nothing_and_cost_more_requests_than_all_else() {
    for trace in [viral(), Trace::even(3000, 10 * MINUTE, 1000)] {
        let outcome = play(&Hops, &trace);
        assert_eq!((outcome.lost, outcome.excess(), outcome.calls_in_hold), (0, 0, 0));
        assert!(outcome.requests_per_dm().unwrap() > 50.0, "{outcome:?}");
    }
}

#[test]
fn a_bucket_as_deep_as_its_limit_asks_for_twice_of_it_in_the_first_hour() {
    let outcome = play(&TokenBucket, &viral());
    let (count, allowed) = fullest(&outcome);
    assert!((1490..=1500).contains(&count) && allowed == 750, "{outcome:?}");
    assert!(outcome.calls_in_hold > 700, "{outcome:?}");
    assert_eq!(outcome.lost, 0);
}

#[test]
fn a_steady_day_is_no_trouble_to_anybody() {
    let trace = Trace::even(900, 24 * 60 * MINUTE, 1000);
    for model in models::all() {
        let outcome = play(model.as_ref(), &trace);
        let wrong = (outcome.lost, outcome.excess(), outcome.calls_in_hold);
        assert_eq!(wrong, (0, 0, 0), "{}: {outcome:?}", model.name());
        assert_eq!(outcome.calls, 900, "{}", model.name());
    }
}

#[test]
fn the_exact_planner_breaks_nothing_and_nobody_delivers_more() {
    for trace in Trace::scenarios() {
        let exact = play(&Exact, &trace);
        assert_eq!((exact.excess(), exact.calls_in_hold), (0, 0), "{exact:?}");
        for model in models::all() {
            let outcome = play(model.as_ref(), &trace);
            assert!(outcome.delivered <= exact.delivered, "{} of {}", model.name(), trace.name);
        }
    }
}

#[test]
fn spillway_breaks_nothing_and_loses_nobody_whom_the_limits_have_room_for() {
    for trace in Trace::scenarios() {
        let outcome = play(&Spillway, &trace);
        let wrong = (outcome.lost, outcome.excess(), outcome.calls_in_hold);
        assert_eq!(wrong, (0, 0, 0), "{}: {outcome:?}", trace.name);
        assert_eq!(outcome.calls, outcome.delivered, "no call is refused");
    }
}

#[test]
fn what_seven_days_have_no_room_for_is_lost_by_everybody() {
    let trace = Trace::even(200, 10 * MINUTE, 20);
    for model in models::all() {
        let outcome = play(model.as_ref(), &trace);
        assert_eq!(outcome.delivered + outcome.lost, 200);
        assert!(outcome.lost > 0, "{}: {outcome:?}", model.name());
    }
}

#[test]
fn meta_says_in_whole_minutes_when_to_come_back_and_keeps_to_it() {
    let trace = Trace { arrivals: vec![FIVE; 752], ..viral() };
    let mut meta = Meta::new(&trace);
    for comment in 0..750 {
        assert_eq!(meta.call(FIVE + Duration::from_millis(1), comment), Answer::Accepted);
    }
    let hour = FIVE + 60 * MINUTE;
    let limited = Answer::Limited { regain_at: hour + MINUTE };
    assert_eq!(meta.call(FIVE + MINUTE, 750), limited, "59 minutes and a millisecond from now");
    assert!(matches!(meta.call(hour, 750), Answer::Limited { .. }));
    assert_eq!(meta.call(hour + Duration::from_millis(1), 750), Answer::Accepted);
    assert_eq!(meta.call(FIVE + DEADLINE + MINUTE, 751), Answer::TooLate);
    let outcome = meta.outcome(0);
    assert_eq!((outcome.delivered, outcome.lost), (751, 1));
    assert_eq!(outcome.calls_in_hold, 2);
}
