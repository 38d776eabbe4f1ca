//! The judgment once more, from nothing but the raw log: it shares no code with the judge, so that
//! the two check each other.

use std::collections::{BTreeMap, HashMap};

use crate::judge::{Action, CallRecord, Counted, Limit, Limits, Over, Violation};

/// Every call that the log shows over a limit, in the order of the log.
///
/// A log in order of time gives exactly the judge's violations. Where a clock stepped back it may
/// blame another call of the same overfull window, and it finds none exactly when the judge found
/// none.
pub fn recount(log: &[CallRecord], limits: &Limits) -> Vec<Violation> {
    let mut by_time: Vec<usize> = (0..log.len()).collect();
    by_time.sort_by_key(|&call| log[call].at_ms);
    let mut found: BTreeMap<usize, Vec<Over>> = BTreeMap::new();
    for limit in &limits.rows {
        for calls in by_account(log, &by_time).values() {
            overfull(log, calls, limit, &mut found);
        }
    }
    if let Some(limit) = &limits.app {
        overfull(log, &by_time, limit, &mut found);
    }
    found.into_iter().map(|(call, limits)| violation(log, call, limits)).collect()
}

fn by_account<'log>(log: &'log [CallRecord], by_time: &[usize]) -> HashMap<&'log str, Vec<usize>> {
    let mut accounts: HashMap<&str, Vec<usize>> = HashMap::new();
    for &call in by_time {
        accounts.entry(log[call].account.as_str()).or_default().push(call);
    }
    accounts
}

/// Two pointers over the calls that `limit` counts: `first` is where the window that ends at the
/// current call starts.
fn overfull(
    log: &[CallRecord],
    calls: &[usize],
    limit: &Limit,
    found: &mut BTreeMap<usize, Vec<Over>>,
) {
    let counted: Vec<usize> =
        calls.iter().copied().filter(|&call| is_counted(limit.counts, &log[call])).collect();
    let mut first = 0;
    let mut people: HashMap<&str, usize> = HashMap::new();
    for (place, &call) in counted.iter().enumerate() {
        if let Some(person) = &log[call].recipient_id {
            *people.entry(person.as_str()).or_insert(0) += 1;
        }
        while u128::from(log[call].at_ms - log[counted[first]].at_ms) >= limit.window.as_millis() {
            if let Some(person) = &log[counted[first]].recipient_id {
                leave(&mut people, person.as_str());
            }
            first += 1;
            if first > place {
                break;
            }
        }
        let count = match limit.counts {
            Counted::DistinctRecipients => people.len(),
            _ => place + 1 - first,
        };
        if count > limit.limit as usize {
            let over =
                Over { limit: limit.name.clone(), count: count as u64, allowed: limit.limit };
            found.entry(call).or_default().push(over);
        }
    }
}

fn leave(people: &mut HashMap<&str, usize>, person: &str) {
    match people.get_mut(person) {
        Some(calls) if *calls > 1 => *calls -= 1,
        _ => {
            people.remove(person);
        }
    }
}

fn is_counted(counts: Counted, call: &CallRecord) -> bool {
    match counts {
        Counted::EveryCall => true,
        Counted::PrivateReplies => call.action == Action::PrivateReply,
        Counted::LivePrivateReplies => call.action == Action::LivePrivateReply,
        Counted::DistinctRecipients => call.recipient_id.is_some(),
    }
}

fn violation(log: &[CallRecord], call: usize, limits: Vec<Over>) -> Violation {
    let record = &log[call];
    Violation {
        call,
        at_ms: record.at_ms,
        account: record.account.clone(),
        comment_id: record.comment_id.clone(),
        limits,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use proptest::prelude::{Just, Strategy, any, prop_oneof};
    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};
    use spillway_core::time::Timestamp;

    use super::*;
    use crate::judge::{Arrival, Judge};

    /// The definition itself: for every instant at which a window that holds the call could end,
    /// count what had arrived by then, one call after the other.
    fn naive(log: &[CallRecord], limits: &Limits) -> Vec<Violation> {
        let mut violations = Vec::new();
        for call in 0..log.len() {
            let arrived = &log[..=call];
            let mine: Vec<&CallRecord> =
                arrived.iter().filter(|other| other.account == log[call].account).collect();
            let all: Vec<&CallRecord> = arrived.iter().collect();
            let mut over: Vec<Over> =
                limits.rows.iter().filter_map(|limit| naive_over(&mine, limit)).collect();
            over.extend(limits.app.iter().filter_map(|limit| naive_over(&all, limit)));
            if !over.is_empty() {
                violations.push(violation(log, call, over));
            }
        }
        violations
    }

    fn naive_over(arrived: &[&CallRecord], limit: &Limit) -> Option<Over> {
        let call = arrived.last()?;
        let window = u64::try_from(limit.window.as_millis()).unwrap();
        if !is_counted(limit.counts, call) {
            return None;
        }
        let fullest = (call.at_ms..call.at_ms + window).map(|end| {
            let held: Vec<&&CallRecord> = arrived
                .iter()
                .filter(|other| is_counted(limit.counts, other))
                .filter(|other| other.at_ms <= end && other.at_ms + window > end)
                .collect();
            match limit.counts {
                Counted::DistinctRecipients => {
                    held.iter().map(|other| &other.recipient_id).collect::<HashSet<_>>().len()
                }
                _ => held.len(),
            }
        });
        let count = fullest.max()? as u64;
        (count > u64::from(limit.limit)).then(|| Over {
            limit: limit.name.clone(),
            count,
            allowed: limit.limit,
        })
    }

    fn counted() -> impl Strategy<Value = Counted> {
        prop_oneof![
            Just(Counted::EveryCall),
            Just(Counted::PrivateReplies),
            Just(Counted::LivePrivateReplies),
            Just(Counted::DistinctRecipients),
        ]
    }

    fn limit() -> impl Strategy<Value = Limit> {
        (counted(), 1..40_u64, 0..6_u32).prop_map(|(counts, window, limit)| {
            let name = format!("{counts:?} {limit} / {window} ms");
            Limit::new(&name, counts, Duration::from_millis(window), limit)
        })
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (vec(limit(), 0..4), proptest::option::of(limit()))
            .prop_map(|(rows, app)| Limits { rows, app })
    }

    /// Calls at given instants; `None` for a recipient is a call to nobody in particular.
    fn arrivals(step: std::ops::Range<u64>) -> impl Strategy<Value = Vec<Arrival>> {
        let action = prop_oneof![
            Just(Action::PrivateReply),
            Just(Action::LivePrivateReply),
            Just(Action::Message),
            Just(Action::Other),
        ];
        let call = (step, 0..2_u8, action, proptest::option::of(0..5_u8));
        vec(call, 0..60).prop_map(|calls| {
            calls
                .into_iter()
                .map(|(millis, account, action, person)| Arrival {
                    at: Timestamp::from_millis(millis),
                    account: account.to_string().as_str().into(),
                    action,
                    comment: None,
                    recipient: person.map(|person| person.to_string().as_str().into()),
                })
                .collect()
        })
    }

    fn judged(arrivals: Vec<Arrival>, limits: &Limits) -> Judge {
        let mut judge = Judge::new(limits.clone());
        for arrival in arrivals {
            judge.call(arrival);
        }
        judge
    }

    proptest! {
        #[test]
        fn three_ways_of_counting_agree(steps in arrivals(0..12), limits in limits()) {
            let mut now = Timestamp::EPOCH;
            let in_order = steps.into_iter().map(|step| {
                now = now + step.at.since(Timestamp::EPOCH);
                Arrival { at: now, ..step }
            });
            let judge = judged(in_order.collect(), &limits);
            let expected = naive(judge.calls(), &limits);
            prop_assert_eq!(&judge.report().violations, &expected);
            prop_assert_eq!(&recount(judge.calls(), &limits), &expected);
        }

        #[test]
        fn nothing_hides_behind_a_clock_that_steps_back(
            steps in arrivals(0..90),
            limits in limits(),
        ) {
            let judge = judged(steps, &limits);
            let violations = judge.report().violations;
            prop_assert_eq!(&violations, &naive(judge.calls(), &limits));
            prop_assert_eq!(violations.is_empty(), recount(judge.calls(), &limits).is_empty());
        }

        #[test]
        fn what_is_promised_to_fit_fits_then_and_not_before(
            steps in arrivals(0..6),
            counts in prop_oneof![Just(Counted::EveryCall), Just(Counted::DistinctRecipients)],
            allowed in 1..5_u32,
            early in any::<bool>(),
        ) {
            let window = Duration::from_millis(20);
            let row = Limit::new("row", counts, window, allowed);
            let limits = Limits { rows: vec![row], app: None };
            let mut judge = Judge::new(limits);
            let mut now = Timestamp::EPOCH;
            for step in steps {
                now = now + step.at.since(Timestamp::EPOCH);
                let person = step.recipient.unwrap_or_else(|| "someone".into());
                let account = "a".into();
                let breaches =
                    judge.call(Arrival { at: now, account, recipient: Some(person), ..step }).breaches;
                let Some(breach) = breaches.first() else { continue };
                let fits_at = breach.fits_at.unwrap();
                let then = if early { fits_at - Duration::from_millis(1) } else { fits_at };
                let next = Arrival {
                    at: then,
                    account: "a".into(),
                    action: Action::Message,
                    comment: None,
                    recipient: Some("a new one".into()),
                };
                prop_assert_eq!(judge.call(next).breaches.is_empty(), !early);
                return Ok(());
            }
            prop_assert!(judge.report().violations.is_empty());
        }
    }
}
