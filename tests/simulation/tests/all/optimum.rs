//! Full size and nothing going wrong: how near the plan that nobody can beat.

use spillway_simulation::optimum::{BURSTS, Begin};

/// Each burst on one of the days, at an hour of its own; `simulate --optimum` plays all of them.
#[test]
fn bursts_come_within_two_percent_of_the_best_plan() {
    let begins: Vec<Begin> = Begin::all().collect();
    let days: Vec<&[Begin]> = begins.chunks(6).collect();
    let mut missed = Vec::new();
    for (nth, burst) in BURSTS.iter().enumerate() {
        let hours = days[nth % days.len()];
        let measured = burst.measure(hours[3 * nth % hours.len()]);
        missed.extend((!measured.is_good()).then(|| measured.to_string()));
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
