//! Full size and nothing going wrong: how near the plan that nobody can beat.

use spillway_simulation::optimum::{BURSTS, Begin};

/// Each burst on each of the days, at an hour of its own; `simulate --optimum` plays all of them.
#[test]
fn bursts_come_within_two_percent_of_the_best_plan() {
    let begins: Vec<Begin> = Begin::all().collect();
    let mut missed = Vec::new();
    for (nth, burst) in BURSTS.iter().enumerate() {
        for (day, begins) in begins.chunks(6).enumerate() {
            let measured = burst.measure(begins[(nth + 2 * day) % begins.len()]);
            missed.extend((!measured.is_good()).then(|| measured.to_string()));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
