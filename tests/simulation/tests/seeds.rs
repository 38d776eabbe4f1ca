//! The simulation from seeds: all must hold, the same seed must give the same run, and with a
//! promise switched off it must not hold.

use std::ops::Range;

use spillway_simulation::{Sabotage, Totals, seeds};

/// The seeds that are played: 2,000, or as many as `SPILLWAY_SEEDS` says.
fn chosen() -> Range<u64> {
    let count = std::env::var("SPILLWAY_SEEDS").ok().and_then(|count| count.parse().ok());
    1..1 + count.unwrap_or(2000)
}

#[test]
fn whatever_fails_all_holds() {
    let mut totals = Totals::default();
    let mut broken = Vec::new();
    seeds::play_all(chosen(), Sabotage::None, |run| {
        totals.add(&run);
        broken.extend(run.failure.is_some().then(|| run.to_string()));
    });
    assert!(broken.is_empty(), "{} seeds are broken:\n{}", broken.len(), broken.join("\n"));
    // What never happened was not tested.
    for what in [
        "answer lost",
        "clock wrong",
        "delete lost",
        "expired",
        "failed",
        "hold",
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
        "meta: blocked",
        "meta: call lost",
        "meta: limit",
        "meta: no connection",
        "meta: permission",
        "meta: recipient's limit",
        "meta: slow answer",
        "meta: token dead",
        "meta: transient",
        "redelivered",
        "request lost",
        "request throttled",
        "sent",
    ] {
        let count = totals.counts.get(what).copied().unwrap_or_default();
        assert!(count >= 10, "{what}: {count} times in {} seeds", totals.seeds);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..=50 {
        let play = || seeds::play(seed, Sabotage::None, None);
        let (first, second) = (play(), play());
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
    }
}

/// Everything that breaks in a few hundred seeds.
fn broken_by(sabotage: Sabotage) -> Vec<String> {
    let mut broken = Vec::new();
    seeds::play_all(1..301, sabotage, |run| {
        broken.extend(run.failure.map(|failure| failure.what));
    });
    broken
}

/// Whether the judge, who shares no code with the limiter, found a call over a limit.
fn over_a_limit(broken: &[String]) -> bool {
    broken.iter().any(|what| what.contains("breaks [Over"))
}

#[test]
fn without_claims_it_breaks() {
    let broken = broken_by(Sabotage::Claims);
    assert!(broken.iter().any(|what| what.contains("without a claim")), "{broken:?}");
}

#[test]
fn without_the_budgets_condition_it_breaks() {
    let broken = broken_by(Sabotage::BudgetCondition);
    assert!(over_a_limit(&broken), "{broken:?}");
}

#[test]
fn without_a_quota_it_breaks() {
    let broken = broken_by(Sabotage::Quota);
    assert!(over_a_limit(&broken), "{broken:?}");
}
