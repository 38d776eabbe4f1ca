//! The forecast: when each waiting send goes out, and which will be too late. It gives out slots as
//! the release function does, only without a horizon.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap};

use serde::Serialize;

use crate::budget::Budget;
use crate::campaign::Overflow;
pub use crate::outlook::Outlook;
use crate::pace::{Cursor, Slots};
use crate::quota::Action;
use crate::rules::Rules;
use crate::send::{Class, PUBLIC_FALLBACK_WINDOW};
use crate::time::Timestamp;
use crate::windows::Windows;

/// A send to forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its place in the order, and the call that it makes.
    pub class: Class,
    /// When it is there: now or earlier for what waits, later for what is yet to come or may not go
    /// before.
    pub arrives: Timestamp,
    /// No attempt after this instant.
    pub deadline: Timestamp,
    /// Which of its campaign's sends go first.
    pub order: Overflow,
}

impl Outlook {
    /// Sums up.
    pub fn of(forecasts: &[Forecast], now: Timestamp) -> Self {
        let mut outlook = Self { seen_at: now, waiting: 0, late: 0, last: now };
        for forecast in forecasts {
            outlook.waiting = outlook.waiting.saturating_add(1);
            match *forecast {
                Forecast::Sent(at) => outlook.last = outlook.last.max(at),
                Forecast::AnsweredInPublic(_) | Forecast::Expired(_) => {
                    outlook.late = outlook.late.saturating_add(1);
                }
            }
        }
        outlook
    }
}

/// What becomes of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forecast {
    /// The DM goes out.
    Sent(Timestamp),
    /// The DM will be too late: its comment gets a public reply instead, after the DM's deadline.
    AnsweredInPublic(Timestamp),
    /// Its deadline passes first.
    Expired(Timestamp),
}

/// A send that is there, as its lane orders it: the greatest goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    urgency: Urgency,
    index: Reverse<usize>,
}

/// Sends are in the order of their keys: earliest deadline first, and behind them those of
/// campaigns that want the newest first, latest deadline first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Newest(Timestamp),
    Oldest(Reverse<Timestamp>),
}

impl Expected {
    fn urgency(&self) -> Urgency {
        match self.order {
            Overflow::OldestFirst | Overflow::PublicReply => {
                Urgency::Oldest(Reverse(self.deadline))
            }
            Overflow::NewestFirst => Urgency::Newest(self.deadline),
        }
    }
}

/// What becomes of each of `sends` (in any order), if all is as it is known now: the rules, the
/// budget, the slots that `outstanding` sends have, and nothing else arriving. Answers in the order
/// given.
pub fn forecast(
    rules: &Rules,
    budget: &Budget,
    cursor: &Cursor,
    now: Timestamp,
    outstanding: &[(Class, Timestamp)],
    sends: &[Expected],
) -> Vec<Forecast> {
    let mut coming: Vec<usize> = (0..sends.len()).collect();
    coming.sort_by_key(|&index| sends[index].arrives);
    let mut coming = coming.into_iter().peekable();
    let mut slots = Slots::new(rules, budget, cursor, now, outstanding);
    // The next slot of each class, until one is taken.
    let mut peeked: BTreeMap<Class, Timestamp> = BTreeMap::new();
    let mut ready: BTreeMap<Class, BinaryHeap<Ready>> = BTreeMap::new();
    let mut result: Vec<Forecast> =
        sends.iter().map(|send| Forecast::Expired(send.deadline)).collect();
    let mut late = Vec::new();
    let mut at = now;
    loop {
        while let Some(index) = coming.next_if(|&index| sends[index].arrives <= at) {
            let queue = ready.entry(sends[index].class).or_default();
            queue.push(Ready { urgency: sends[index].urgency(), index: Reverse(index) });
        }
        // Of the first lane the class that has room first.
        let first = ready.keys().next().map(|class| class.lane);
        let of_lane = ready.iter().filter(|(class, _)| Some(class.lane) == first);
        let soonest = of_lane
            .map(|(&class, queue)| {
                let slot = peeked.entry(class).or_insert_with(|| slots.peek(class, at));
                if *slot < at {
                    *slot = slots.peek(class, at);
                }
                (*slot, Reverse(queue.peek()), class)
            })
            .min();
        let Some((slot, _, class)) = soonest else {
            match coming.peek() {
                Some(&index) => at = sends[index].arrives,
                None => break,
            }
            continue;
        };
        // A comment that arrives before that slot may go first.
        if let Some(&index) = coming.peek()
            && sends[index].arrives <= slot
        {
            at = sends[index].arrives;
            continue;
        }
        let Entry::Occupied(mut queue) = ready.entry(class) else { continue };
        let Some(Ready { index, .. }) = queue.get_mut().pop() else { continue };
        if queue.get().is_empty() {
            queue.remove();
        }
        if slot < sends[index.0].deadline {
            slots.take(class, slot);
            peeked.clear();
            result[index.0] = Forecast::Sent(slot);
        } else if sends[index.0].order == Overflow::PublicReply {
            late.push(index.0);
        }
    }
    late.sort_by_key(|&index| sends[index].deadline);
    let mut public =
        PublicReplies { rules, budget, windows: budget.windows.under(rules).into_owned(), at: now };
    for index in late {
        let deadline = sends[index].deadline;
        let ends_at = deadline + PUBLIC_FALLBACK_WINDOW;
        if let Some(at) = public.next(deadline).filter(|&at| at < ends_at) {
            result[index] = Forecast::AnsweredInPublic(at);
        }
    }
    result
}

/// Public replies to people whose DM has become too late. They take what DMs leave: of each quota
/// that counts both, DMs at full pace keep what they need.
struct PublicReplies<'r> {
    rules: &'r Rules,
    budget: &'r Budget,
    windows: Windows,
    /// The last one.
    at: Timestamp,
}

impl PublicReplies<'_> {
    /// The next instant, not before `from`, at which one may go; `None` where DMs need it all.
    fn next(&mut self, from: Timestamp) -> Option<Timestamp> {
        let (rules, feedback) = (self.rules, self.budget.feedback);
        let mut at = self.at.max(from);
        loop {
            let gap = rules.gap(Action::PrivateReply, at, feedback).as_millis().max(1);
            let mut fit = at;
            for row in rules.in_force(Action::PublicReply, at, feedback) {
                let dms = if row.quota.counts(Action::PrivateReply) {
                    row.quota.counted_span().as_millis().div_ceil(gap)
                } else {
                    0
                };
                let dms = u32::try_from(dms).ok().filter(|&dms| dms < row.limit.get())?;
                fit = self.windows.row_fits(row, fit, dms);
            }
            if fit == at {
                self.windows.take(rules, Action::PublicReply, at);
                self.at = at;
                return Some(at);
            }
            at = fit;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::profile::Profile;
    use crate::quota::{Limit, Quota, Tier, Unit};
    use crate::rules::Terms;
    use crate::send::REPLY_WINDOW;

    /// 12:00 UTC.
    const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn comments(n: u64, span: Duration, order: Overflow) -> Vec<Expected> {
        let arrives = |k: u64| NOW + span * u32::try_from(k).unwrap() / u32::try_from(n).unwrap();
        (0..n)
            .map(|k| Expected {
                class: Class::PRIVATE_REPLY,
                arrives: arrives(k),
                deadline: arrives(k) + REPLY_WINDOW,
                order,
            })
            .collect()
    }

    fn of(rules: &Rules, sends: &[Expected]) -> Vec<Forecast> {
        forecast(rules, &Budget::default(), &Cursor::default(), NOW, &[], sends)
    }

    fn sent(forecasts: &[Forecast]) -> Vec<Timestamp> {
        let at = |forecast: &Forecast| match forecast {
            Forecast::Sent(at) => Some(*at),
            Forecast::AnsweredInPublic(_) | Forecast::Expired(_) => None,
        };
        forecasts.iter().filter_map(at).collect()
    }

    #[test]
    fn sends_go_at_the_pace_of_the_rules_and_in_order() {
        let rules = Rules::careful();
        let at = sent(&of(&rules, &comments(100, secs(60), Overflow::OldestFirst)));
        assert_eq!(at.len(), 100);
        assert_eq!(at[0], NOW);
        assert!(at.windows(2).all(|pair| pair[1].since(pair[0]) >= secs(57)));
        assert!(at[99].since(NOW) < secs(100 * 59));
    }

    #[test]
    fn what_misses_its_deadline_is_said_and_which_it_is_depends_on_the_policy() {
        let rules = Rules::careful();
        let oldest = of(&rules, &comments(60_000, secs(300), Overflow::OldestFirst));
        let count = sent(&oldest).len();
        // Seven days of 1,000, less the night of the last one.
        assert!((6500..7100).contains(&count), "{count}");
        assert!(matches!(oldest[0], Forecast::Sent(_)));
        assert!(matches!(oldest[59_999], Forecast::Expired(_)));
        let newest = of(&rules, &comments(60_000, secs(300), Overflow::NewestFirst));
        assert!(sent(&newest).len().abs_diff(count) < 10);
        assert!(matches!(newest[59_999], Forecast::Sent(_)));
        assert!(matches!(newest[30_000], Forecast::Expired(_)));
    }

    #[test]
    fn whoever_would_be_too_late_is_answered_in_public_with_what_dms_leave() {
        let rules = Rules::careful();
        let late = of(&rules, &comments(60_000, secs(300), Overflow::OldestFirst));
        let forecasts = of(&rules, &comments(60_000, secs(300), Overflow::PublicReply));
        assert_eq!(sent(&forecasts), sent(&late), "no DM gives way");
        let in_public = |forecasts: &[Forecast]| -> Vec<Timestamp> {
            let at = |forecast: &Forecast| match forecast {
                Forecast::AnsweredInPublic(at) => Some(*at),
                Forecast::Sent(_) | Forecast::Expired(_) => None,
            };
            forecasts.iter().filter_map(at).collect()
        };
        let public = in_public(&forecasts);
        // 200 calls an hour, less one DM in 58 s, on the day after the DMs' deadline.
        assert!((3_000..3_500).contains(&public.len()), "{}", public.len());
        let calls = |from: Timestamp| {
            let inside = |at: &&Timestamp| **at >= from && at.since(from) < secs(3600);
            public.iter().filter(inside).count() + sent(&forecasts).iter().filter(inside).count()
        };
        assert!(public.iter().step_by(500).all(|&from| calls(from) <= 200));
        let two = Terms { tier: Tier::Two, ..Terms::default() };
        let busy = Rules::new(Profile::careful(), two).unwrap();
        let forecasts = of(&busy, &comments(60_000, secs(300), Overflow::PublicReply));
        assert!(in_public(&forecasts).len() < 400, "DMs take nearly all calls");
        let limit = Limit::Fixed(NonZeroU32::new(10).unwrap());
        let quota = Quota::new("q", &Action::ALL, Unit::Calls, secs(3600), limit);
        let few = Profile { quotas: vec![quota], spread: None, warm_up: None, ..Profile::meta() };
        let few = Rules::new(few, Terms::default()).unwrap();
        let forecasts = of(&few, &comments(5000, secs(300), Overflow::PublicReply));
        assert_eq!(in_public(&forecasts), [], "DMs take all of ten calls an hour");
        let mut over = comments(1, secs(1), Overflow::PublicReply);
        over[0].deadline = NOW;
        assert_eq!(of(&rules, &over), [Forecast::AnsweredInPublic(NOW)]);
    }

    #[test]
    fn whoever_arrives_as_a_slot_comes_goes_before_lanes_behind() {
        let rules =
            Rules::new(Profile::careful(), Terms { tier: Tier::Two, ..Terms::default() }).unwrap();
        let expected = |class, arrives| Expected {
            class,
            arrives,
            deadline: Timestamp::NEVER,
            order: Overflow::OldestFirst,
        };
        let campaign = [NOW; 3].map(|at| expected(Class::OUTBOUND, at)).to_vec();
        let slots = sent(&of(&rules, &campaign));
        let mut with_one_more = campaign;
        with_one_more.push(expected(Class::PRIVATE_REPLY, slots[1]));
        let forecasts = of(&rules, &with_one_more);
        assert_eq!(forecasts[3], Forecast::Sent(slots[1]));
        assert_eq!(forecasts[1], Forecast::Sent(slots[2]));
    }

    #[test]
    fn a_send_whose_slot_is_its_deadline_is_too_late_and_the_outlook_sums_up() {
        let rules = Rules::careful();
        let mut sends = comments(3, secs(1), Overflow::OldestFirst);
        let slots = sent(&of(&rules, &sends));
        sends.iter_mut().for_each(|send| send.deadline = slots[2]);
        let forecasts = of(&rules, &sends);
        assert_eq!(forecasts[2], Forecast::Expired(slots[2]));
        let outlook = Outlook { seen_at: NOW, waiting: 3, late: 1, last: slots[1] };
        assert_eq!(Outlook::of(&forecasts, NOW), outlook);
    }

    /// The same without what makes it fast: one send after the other, each time from all of them.
    fn plainly(rules: &Rules, sends: &[Expected]) -> Vec<Forecast> {
        let mut slots = Slots::new(rules, &Budget::default(), &Cursor::default(), NOW, &[]);
        let mut result: Vec<Forecast> =
            sends.iter().map(|send| Forecast::Expired(send.deadline)).collect();
        let mut left: Vec<usize> = (0..sends.len()).collect();
        let mut at = NOW;
        while let Some(first) = left.iter().map(|&index| sends[index].arrives).min() {
            at = at.max(first);
            let there = || left.iter().copied().filter(|&index| sends[index].arrives <= at);
            let lane = there().map(|index| sends[index].class.lane).min();
            let of_lane = there().filter(|&index| Some(sends[index].class.lane) == lane);
            let next = of_lane.min_by_key(|&index| {
                let send = &sends[index];
                let ready = Ready { urgency: send.urgency(), index: Reverse(index) };
                (slots.peek(send.class, at), Reverse(ready), send.class)
            });
            let Some(next) = next else { break };
            let slot = slots.peek(sends[next].class, at);
            let later = left.iter().map(|&index| sends[index].arrives).filter(|&to| to > at).min();
            if let Some(later) = later.filter(|&later| later <= slot) {
                at = later;
                continue;
            }
            left.retain(|&index| index != next);
            if slot < sends[next].deadline {
                slots.take(sends[next].class, slot);
                result[next] = Forecast::Sent(slot);
            }
        }
        result
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_forecast_says_the_same_as_one_that_remembers_nothing(
            drawn in prop::collection::vec((0usize..4, 0u64..20_000, 0u64..30_000, any::<bool>()), 1..60),
            limit in 2u32..40,
            is_careful in any::<bool>(),
        ) {
            const CLASSES: [Class; 4] =
                [Class::PRIVATE_REPLY, Class::ANSWER, Class::LIVE_REPLY, Class::OUTBOUND];
            let limit = Limit::Fixed(NonZeroU32::new(limit).unwrap());
            let replies = [Action::PrivateReply, Action::LiveReply];
            let quotas = vec![
                Quota::new("all", &Action::ALL, Unit::Calls, secs(3600), limit),
                Quota::new("replies", &replies, Unit::Calls, secs(600), limit),
            ];
            let own = Profile { quotas, spread: None, warm_up: None, ..Profile::careful() };
            let profile = if is_careful { Profile::careful() } else { own };
            let rules = Rules::new(profile, Terms::default()).unwrap();
            let sends: Vec<Expected> = drawn
                .into_iter()
                .map(|(class, arrives, lasts, newest)| {
                    let arrives = NOW + secs(arrives);
                    let order =
                        if newest { Overflow::NewestFirst } else { Overflow::OldestFirst };
                    Expected { class: CLASSES[class], arrives, deadline: arrives + secs(lasts), order }
                })
                .collect();
            prop_assert_eq!(of(&rules, &sends), plainly(&rules, &sends));
        }
    }

    #[test]
    fn an_inbound_comment_goes_before_a_campaign_of_thousands() {
        let rules =
            Rules::new(Profile::careful(), Terms { tier: Tier::Two, ..Terms::default() }).unwrap();
        let mut sends: Vec<Expected> = (0..5000)
            .map(|_| Expected {
                class: Class::OUTBOUND,
                arrives: NOW,
                deadline: Timestamp::NEVER,
                order: Overflow::OldestFirst,
            })
            .collect();
        let arrives = NOW + secs(1800);
        let deadline = arrives + REPLY_WINDOW;
        sends.push(Expected {
            class: Class::PRIVATE_REPLY,
            arrives,
            deadline,
            order: Overflow::OldestFirst,
        });
        let Some(Forecast::Sent(at)) = of(&rules, &sends).pop() else { panic!("expired") };
        assert!(at.since(arrives) <= secs(37), "{:?}", at.since(arrives));
    }

    #[test]
    fn what_may_not_go_yet_keeps_nobody_waiting_and_a_call_with_room_goes_first() {
        let limit = |n| Limit::Fixed(NonZeroU32::new(n).unwrap());
        let replies = [Action::PrivateReply, Action::LiveReply];
        let quotas = vec![
            Quota::new("replies", &replies, Unit::Calls, secs(86_400), limit(1)),
            Quota::new("messages", &[Action::Message], Unit::Calls, secs(3600), limit(9)),
        ];
        let profile = Profile { quotas, spread: None, warm_up: None, ..Profile::careful() };
        let rules = Rules::new(profile, Terms::default()).unwrap();
        let expected = |class, arrives| Expected {
            class,
            arrives,
            deadline: NOW + secs(7200),
            order: Overflow::OldestFirst,
        };
        let later = NOW + secs(3000);
        let forecasts = of(
            &rules,
            &[
                expected(Class::PRIVATE_REPLY, NOW),
                expected(Class::ANSWER, later),
                expected(Class::PRIVATE_REPLY, NOW),
                expected(Class::ANSWER, NOW),
            ],
        );
        assert_eq!(forecasts[0], Forecast::Sent(NOW));
        assert!(matches!(forecasts[1], Forecast::Sent(at) if at >= later), "{forecasts:?}");
        assert!(matches!(forecasts[2], Forecast::Expired(_)), "{forecasts:?}");
        assert!(matches!(forecasts[3], Forecast::Sent(at) if at < later), "{forecasts:?}");
    }
}
