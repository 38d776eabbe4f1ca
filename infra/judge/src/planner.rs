//! The exact planner: the best that anybody could do who knew all arrivals in advance.
//!
//! Sends are alike: private replies to distinct people. So the k-th send goes at the earliest
//! instant that its arrival, the send before it and the sends a full window before it allow:
//! putting any of them earlier breaks a rule, and since a rule allows the more the earlier what
//! came before was, putting one later helps none. It keeps exact instants and shares no code with
//! the limiter.

use std::time::Duration;

use spillway_core::time::Timestamp;

use crate::action::Action;
use crate::active::Active;
use crate::figure::Figure;
use crate::rules::{Limit, Rules};

/// The pace is even under windows up to this length.
const EVEN_UP_TO: Duration = Duration::from_secs(3600);

/// The instants of the optimal plan for private replies to distinct people that arrive at
/// `arrivals`, ascending; [`Timestamp::NEVER`] for those that never may go.
pub fn optimum(arrivals: &[Timestamp], rules: &Rules) -> Vec<Timestamp> {
    let mut plan = Plan::new(rules, arrivals.len());
    for &arrival in arrivals {
        plan.push(plan.next(arrival));
    }
    plan.sent
}

/// A send that is of no use after some instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perishable {
    /// When it arrives.
    pub arrival: Timestamp,
    /// The last instant at which it may go.
    pub deadline: Timestamp,
}

/// The plan that delivers the most, for sends of which neither arrivals nor deadlines descend: when
/// each goes, and `None` for those that are dropped. What is earliest due goes first and what would
/// be late does not go; leaving out any other never makes room for more.
pub fn most_in_time(sends: &[Perishable], rules: &Rules) -> Vec<Option<Timestamp>> {
    let mut plan = Plan::new(rules, sends.len());
    sends
        .iter()
        .map(|send| {
            let at = plan.next(send.arrival);
            let in_time = at <= send.deadline;
            if in_time {
                plan.push(at);
            }
            in_time.then_some(at)
        })
        .collect()
}

/// What has been planned so far, and the rules for the next send.
struct Plan<'rules> {
    active: &'rules Active,
    rows: Vec<&'rules Limit>,
    /// Distances between any two sends in a row.
    gaps: Vec<Gap>,
    sent: Vec<Timestamp>,
}

/// A distance that must lie between two sends: an even share of some length of time, in each
/// stretch of its figure.
struct Gap {
    /// The length that is shared.
    length: Duration,
    /// Among how many sends.
    among: Figure,
    /// The time that is counted.
    time: Active,
}

impl<'rules> Plan<'rules> {
    fn new(rules: &'rules Rules, sends: usize) -> Self {
        let rows: Vec<&Limit> = rules
            .rows
            .iter()
            .filter(|row| row.counts.actions.contains(Action::PrivateReply))
            .collect();
        let paced = rows.iter().filter(|row| row.window <= EVEN_UP_TO);
        let mut gaps: Vec<Gap> = paced
            .map(|row| Gap { length: row.window, among: row.limit.clone(), time: Active::Always })
            .collect();
        gaps.extend(rules.spread_over.zip(rules.day_figure()).map(|(length, among)| Gap {
            length,
            among,
            time: rules.active.clone(),
        }));
        Self { active: &rules.active, rows, gaps, sent: Vec::with_capacity(sends) }
    }

    fn push(&mut self, at: Timestamp) {
        self.sent.push(at);
    }

    /// The earliest instant from `ready` on that every rule allows. Each rule by itself says how
    /// long to wait; the first instant at which none has anything to say is the earliest.
    fn next(&self, ready: Timestamp) -> Timestamp {
        let mut at = ready;
        loop {
            let before = at;
            at = self.active.next(at);
            for gap in &self.gaps {
                at = self.sent.last().map_or(at, |&last| gap.allows(last, at));
            }
            for row in &self.rows {
                at = self.row_allows(row, at);
            }
            if at == before {
                return at;
            }
        }
    }

    /// The earliest instant from `from` on at which one more send is within `row`.
    fn row_allows(&self, row: &Limit, from: Timestamp) -> Timestamp {
        earliest(&row.limit, from, |limit| {
            let full = match limit as usize {
                0 => return None,
                limit => self.sent.len().checked_sub(limit),
            };
            Some(full.map_or(Timestamp::EPOCH, |full| self.sent[full] + row.window))
        })
    }
}

impl Gap {
    /// The earliest instant from `from` on that is far enough from `last`.
    fn allows(&self, last: Timestamp, from: Timestamp) -> Timestamp {
        earliest(&self.among, from, |among| Some(self.time.after(last, even(self.length, among)?)))
    }
}

/// `length` shared among `sends`, in whole milliseconds: instants are that far apart exactly when
/// they are as far apart as the true share. `None` when it is shared among none.
fn even(length: Duration, sends: u32) -> Option<Duration> {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let sends = u64::from(sends);
    (sends > 0).then(|| Duration::from_millis(length.div_ceil(sends)))
}

/// The earliest instant from `from` on that is not before `allowed` of the value then in force.
fn earliest(
    figure: &Figure,
    from: Timestamp,
    allowed: impl Fn(u32) -> Option<Timestamp>,
) -> Timestamp {
    figure
        .stretches(from)
        .find_map(|stretch| {
            let at = allowed(stretch.value)?.max(from).max(stretch.from);
            (at < stretch.until).then_some(at)
        })
        .unwrap_or(Timestamp::NEVER)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::action::Counted;
    use crate::active::Span;
    use crate::figure::WarmUp;
    use crate::log::CallRecord;
    use crate::profile::{Standing, TIERS, careful};
    use crate::recount::recount;
    use crate::rules::Limits;

    const START: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rows(rows: &[(u64, u32)]) -> Rules {
        let row =
            |&(secs, limit)| Limit::new("r", Counted::EVERY_CALL, Duration::from_secs(secs), limit);
        rows.iter().map(row).collect::<Vec<_>>().into()
    }

    #[test]
    fn three_thousand_at_200_an_hour_and_1000_a_day_take_53_hours() {
        let plan = optimum(&vec![START; 3000], &rows(&[(3600, 200), (86_400, 1000)]));
        assert_eq!(plan[2999].since(START), Duration::from_secs(2 * 86_400 + 999 * 18));
    }

    #[test]
    fn a_thousand_a_day_are_spread_over_16_hours_and_sleep_in_between() {
        let hour = |hours: u64| START + Duration::from_secs(hours * 3600);
        let day = |day: u64| Span { start: hour(24 * day), end: hour(24 * day + 16) };
        let rules = Rules {
            active: Active::In((0..4).map(day).collect()),
            spread_over: Some(Duration::from_secs(16 * 3600)),
            ..rows(&[(3600, 200), (86_400, 1000)])
        };
        let plan = optimum(&vec![START; 2500], &rules);
        assert_eq!(plan[1].since(START), Duration::from_millis(57_600));
        assert_eq!(plan[999], START + ms(57_600) * 999);
        assert_eq!(plan[1000], hour(24));
        assert_eq!(plan[2499], hour(48) + ms(57_600) * 499);
        assert_eq!(rules.active.active_time(START, plan[2499]), ms(57_600) * 2499);
    }

    #[test]
    fn what_cannot_go_before_its_deadline_is_left_out() {
        let sends: Vec<Perishable> = (0..10)
            .map(|n| Perishable { arrival: START, deadline: START + ms(n / 5 * 25_000) })
            .collect();
        let plan = most_in_time(&sends, &rows(&[(10, 1)]));
        let after: Vec<_> = plan.iter().map(|at| at.map(|at| at.since(START).as_secs())).collect();
        let none = [None; 4];
        assert_eq!(after[..1], [Some(0)]);
        assert_eq!(after[1..5], none);
        assert_eq!(after[5..], [Some(10), Some(20), None, None, None]);
    }

    #[test]
    fn what_may_never_go_never_goes() {
        let none = rows(&[(10, 0)]);
        assert_eq!(optimum(&[START], &none), [Timestamp::NEVER]);
        let asleep = Rules { active: Active::In(Vec::new()), ..rows(&[(10, 1)]) };
        assert_eq!(optimum(&[START, START], &asleep), [Timestamp::NEVER; 2]);
    }

    fn figure() -> impl Strategy<Value = Figure> {
        (1..9_u32, vec((1..3000_u64, 0..9_u32), 0..4)).prop_map(|(first, mut steps)| {
            steps.sort_unstable();
            steps.dedup_by_key(|step| step.0);
            // A row that stays closed would hide all else.
            steps.push((3000, first));
            let steps = steps.into_iter().map(|(at, value)| (START + ms(at), value)).collect();
            Figure { first, steps }
        })
    }

    fn row() -> impl Strategy<Value = Limit> {
        let counts = prop_oneof![
            Just(Counted::EVERY_CALL),
            Just(Counted::PRIVATE_REPLIES),
            Just(Counted::LIVE_REPLIES),
            Just(Counted::DM_RECIPIENTS),
        ];
        // Of two lengths, the longer beyond any even pace.
        let window = prop_oneof![1..900_u64, Just(24 * 3_600_000), Just(3_600_001)];
        (counts, window, figure())
            .prop_map(|(counts, window, limit)| Limit::new("r", counts, ms(window), limit))
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let spans = vec((0..400_u64, 1..400_u64), 1..12).prop_map(|gaps| {
            let mut end = START;
            let spans = gaps.into_iter().map(|(asleep, awake)| {
                let start = end + ms(asleep + 1);
                end = start + ms(awake);
                Span { start, end }
            });
            Active::In(spans.collect())
        });
        let active = prop_oneof![Just(Active::Always), spans];
        let spread_over = proptest::option::of((1..500_u64).prop_map(ms));
        (vec(row(), 0..4), active, spread_over).prop_map(|(rows, active, spread_over)| Rules {
            rows,
            active,
            spread_over,
        })
    }

    /// The definition of what a plan may be, looked at millisecond by millisecond.
    fn is_allowed(plan: &[Timestamp], rules: &Rules) -> bool {
        let log: Vec<CallRecord> = plan.iter().enumerate().map(|(n, &at)| call(n, at)).collect();
        let within = recount(&log, &[], &Limits::from(rules.clone())).is_empty();
        let [.., last, at] = plan else { return within };
        let counts_replies = |row: &&Limit| row.counts.actions.contains(Action::PrivateReply);
        let value = |row: &Limit| u64::from(row.limit.at(*at));
        let paced =
            rules.rows.iter().filter(counts_replies).filter(|row| row.window <= EVEN_UP_TO).all(
                |row| {
                    at.since(*last).as_millis() as u64 * value(row) >= row.window.as_millis() as u64
                },
            );
        let day =
            rules.rows.iter().filter(counts_replies).filter(|row| row.window == ms(86_400_000));
        let spread = match (rules.spread_over, day.map(value).min()) {
            (Some(length), Some(sends)) => {
                let awake = (last.as_millis()..at.as_millis())
                    .filter(|&instant| is_active(&rules.active, instant))
                    .count();
                awake as u64 * sends >= length.as_millis() as u64
            }
            _ => true,
        };
        within && paced && spread
    }

    fn is_active(active: &Active, instant: u64) -> bool {
        let Active::In(spans) = active else { return true };
        spans.iter().any(|span| (span.start.as_millis()..span.end.as_millis()).contains(&instant))
    }

    fn call(n: usize, at: Timestamp) -> CallRecord {
        CallRecord {
            at_ms: at.as_millis(),
            granted_at_ms: Some(at.as_millis()),
            account: "a".into(),
            action: Action::PrivateReply,
            comment_id: None,
            recipient_id: Some(n.to_string().as_str().into()),
            status: 200,
            code: None,
        }
    }

    proptest! {
        #[test]
        fn the_plan_keeps_every_rule_and_no_send_can_go_earlier(
            gaps in vec(0..60_u64, 1..30),
            rules in rules(),
        ) {
            let mut now = START;
            let arrivals: Vec<Timestamp> = gaps
                .into_iter()
                .map(|gap| {
                    now = now + ms(gap);
                    now
                })
                .collect();
            let plan = optimum(&arrivals, &rules);
            for (k, &arrival) in arrivals.iter().enumerate() {
                // A day later nothing of interest is left, and the naive count takes its time.
                let last = plan[k].min(START + ms(8000));
                prop_assert!(last < plan[k] || is_allowed(&plan[..=k], &rules), "send {k}");
                let mut earlier = plan[..=k].to_vec();
                for before in [1, 2, 7, 50, 333, 2000] {
                    earlier[k] = last - ms(before);
                    if earlier[k] >= arrival && (k == 0 || earlier[k] >= plan[k - 1]) {
                        prop_assert!(!is_allowed(&earlier, &rules), "send {k} {before} earlier");
                    }
                }
                if last < plan[k] {
                    break;
                }
            }
        }

        #[test]
        fn no_choice_of_sends_delivers_more(
            sends in vec((0..40_u64, 0..40_u64), 1..9),
            rules in rules(),
        ) {
            let (mut arrival, mut deadline) = (START, START);
            let sends: Vec<Perishable> = sends
                .into_iter()
                .map(|(later, due)| {
                    arrival = arrival + ms(later);
                    deadline = deadline.max(arrival) + ms(due);
                    Perishable { arrival, deadline }
                })
                .collect();
            let delivered = most_in_time(&sends, &rules).into_iter().flatten().count();
            let most = (0..1_u32 << sends.len())
                .filter(|choice| {
                    let chosen: Vec<&Perishable> =
                        (0..sends.len()).filter(|n| choice >> n & 1 == 1).map(|n| &sends[n]).collect();
                    let arrivals: Vec<Timestamp> = chosen.iter().map(|send| send.arrival).collect();
                    let plan = optimum(&arrivals, &rules);
                    plan.iter().zip(&chosen).all(|(at, send)| *at <= send.deadline)
                })
                .map(u32::count_ones)
                .max();
            prop_assert_eq!(Some(delivered as u32), most);
        }

        #[test]
        fn active_time_and_its_inverse_agree(
            rules in rules(),
            from in 0..3000_u64,
            length in 1..2000_u64,
            close in any::<bool>(),
        ) {
            let from = START + ms(from);
            let active = &rules.active;
            let then = active.after(from, ms(length));
            if then < Timestamp::NEVER {
                prop_assert_eq!(active.active_time(from, then), ms(length));
                prop_assert_eq!(active.active_time(from, then - ms(1)), ms(length - 1));
            } else {
                let end = if close { START + ms(20_000) } else { Timestamp::NEVER };
                prop_assert!(active.active_time(from, end) < ms(length));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_sends_of_a_young_account_keep_every_rule() {
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let standing = Standing {
            day: TIERS[1].into(),
            warm_up: Some(WarmUp {
                since: START,
                ramp_days: std::num::NonZeroU32::new(14).unwrap(),
            }),
            active: Active::daily(&zone, jiff::civil::time(8, 0, 0, 0), START, 60),
        };
        let rules = careful(&standing);
        let plan = optimum(&vec![START; 100_000], &rules);
        let log: Vec<CallRecord> = plan.iter().enumerate().map(|(n, &at)| call(n, at)).collect();
        assert!(recount(&log, &[], &Limits::from(rules)).is_empty());
        // An awake day has room for 3,200 calls, and the first fortnight for fewer.
        let days = plan[99_999].since(START).as_secs() / 86_400;
        assert!((32..36).contains(&days), "{days} days");
    }
}
