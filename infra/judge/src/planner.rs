//! The exact planner: the best that anybody could do who knew all arrivals in advance.
//!
//! Sends are alike, so the k-th send goes at the earliest instant that its arrival, the send before
//! it (an even pace) and the send a full window before it allow; putting any of them earlier breaks
//! a limit, putting one later helps none. It keeps exact instants and shares no code with the
//! limiter.

use std::time::Duration;

use spillway_core::time::Timestamp;

use crate::judge::{Counted, Limits};

/// The pace is even under windows up to this length.
const EVEN_UP_TO: Duration = Duration::from_secs(3600);

/// The instants of the optimal plan, for private replies to distinct people that arrive at
/// `arrivals`, ascending.
pub fn optimum(arrivals: &[Timestamp], limits: &Limits) -> Vec<Timestamp> {
    let rows: Vec<(usize, Duration)> = limits
        .rows
        .iter()
        .filter(|row| row.counts != Counted::LivePrivateReplies)
        .map(|row| (row.limit as usize, row.window))
        .collect();
    let even = rows
        .iter()
        .filter(|(_, window)| *window <= EVEN_UP_TO)
        .map(|&(limit, window)| window / u32::try_from(limit).unwrap_or(u32::MAX))
        .max()
        .unwrap_or_default();
    let mut plan: Vec<Timestamp> = Vec::with_capacity(arrivals.len());
    for (k, &arrival) in arrivals.iter().enumerate() {
        let mut at = arrival;
        if let Some(&before) = plan.last() {
            at = at.max(before + even);
        }
        for &(limit, window) in &rows {
            if let Some(full) = k.checked_sub(limit) {
                at = at.max(plan[full] + window);
            }
        }
        plan.push(at);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Limit;

    fn limits(rows: &[(u64, u32)]) -> Limits {
        let rows = rows
            .iter()
            .map(|&(secs, limit)| {
                Limit::new("r", Counted::EveryCall, Duration::from_secs(secs), limit)
            })
            .collect();
        Limits { rows, app: None }
    }

    #[test]
    fn three_thousand_at_200_an_hour_and_1000_a_day_take_53_hours() {
        let arrivals = vec![Timestamp::from_secs(1_790_000_000); 3000];
        let plan = optimum(&arrivals, &limits(&[(3600, 200), (86_400, 1000)]));
        let finish = plan[2999].since(arrivals[0]);
        assert_eq!(finish, Duration::from_secs(2 * 86_400 + 999 * 18));
    }

    #[test]
    fn the_plan_is_within_every_window_and_none_earlier_is() {
        let start = Timestamp::from_secs(1_790_000_000);
        let arrivals: Vec<_> = (0..60).map(|n| start + Duration::from_secs(n * n % 97)).collect();
        let mut arrivals = arrivals;
        arrivals.sort_unstable();
        let rows = [(100, 7), (5000, 20)];
        let plan = optimum(&arrivals, &limits(&rows));
        let allowed = |plan: &[Timestamp]| {
            rows.iter().all(|&(secs, limit)| {
                plan.iter().all(|&at| {
                    let inside = plan.iter().filter(|&&other| {
                        other <= at && at.since(other) < Duration::from_secs(secs)
                    });
                    inside.count() <= limit as usize
                })
            })
        };
        assert!(allowed(&plan));
        let gap = Duration::from_secs(100) / 7;
        for k in 0..plan.len() {
            let mut earlier = plan[..=k].to_vec();
            earlier[k] = earlier[k] - Duration::from_millis(1);
            let paced = k == 0 || earlier[k].since(earlier[k - 1]) >= gap;
            assert!(!allowed(&earlier) || earlier[k] < arrivals[k] || !paced, "send {k}");
        }
    }
}
