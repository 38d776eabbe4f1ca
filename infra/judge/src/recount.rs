//! The judgment once more, from nothing but the raw log: it shares no code with the judge, so that
//! the two check each other.

use std::collections::{BTreeMap, HashMap};

use crate::action::{Action, Unit};
use crate::active::Active;
use crate::figure::Figure;
use crate::log::{Broken, CallRecord, HoldRecord, Over, Scope, Violation};
use crate::rules::{Limit, Limits, Rules};

/// How long a call may come after its grant, in milliseconds.
const LATE_MS: u64 = 7000;

/// Every call that the log shows to break a rule, in the order of the log.
///
/// A log in order of time gives exactly the judge's violations. Where a clock stepped back it may
/// blame another call of the same overfull window, and it finds none exactly when the judge found
/// none.
pub fn recount(log: &[CallRecord], holds: &[HoldRecord], limits: &Limits) -> Vec<Violation> {
    let mut by_time: Vec<usize> = (0..log.len()).collect();
    by_time.sort_by_key(|&call| log[call].at_ms);
    let mut over: BTreeMap<usize, Vec<Over>> = BTreeMap::new();
    for calls in by_account(log, &by_time).values() {
        let account = calls.first().map(|&call| &log[call].account);
        let rules = account.and_then(|account| limits.own.get(account)).unwrap_or(&limits.each);
        for limit in &rules.rows {
            overfull(log, calls, limit, &mut over);
        }
    }
    if let Some(limit) = &limits.app {
        overfull(log, &by_time, limit, &mut over);
    }
    let found = log.iter().enumerate().map(|(call, record)| {
        let rules = limits.own.get(&record.account).unwrap_or(&limits.each);
        let limits = over.remove(&call).unwrap_or_default();
        violation(call, record, limits, broken(record, holds, rules))
    });
    found.filter(|found| !found.limits.is_empty() || !found.broken.is_empty()).collect()
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
        calls.iter().copied().filter(|&call| is_counted(limit, &log[call])).collect();
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
        let count = match limit.counts.unit {
            Unit::Recipients => people.len(),
            Unit::Calls => place + 1 - first,
        };
        let allowed = in_force(&limit.limit, &log[call]);
        if count > allowed as usize {
            let over = Over { limit: limit.name.clone(), count: count as u64, allowed };
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

fn is_counted(limit: &Limit, call: &CallRecord) -> bool {
    limit.counts.actions.contains(call.action)
        && (limit.counts.unit == Unit::Calls || call.recipient_id.is_some())
}

/// When the call's grant may have been.
fn grant_ms(call: &CallRecord) -> std::ops::RangeInclusive<u64> {
    match call.granted_at_ms {
        Some(granted) => granted..=granted,
        None => call.at_ms.saturating_sub(LATE_MS)..=call.at_ms,
    }
}

/// The greatest value of the figure while the call may have been granted.
fn in_force(figure: &Figure, call: &CallRecord) -> u32 {
    let grant = grant_ms(call);
    let mut value = figure.first;
    for &(from, next) in &figure.steps {
        let from = from.as_millis();
        if from <= *grant.start() {
            value = next;
        } else if grant.contains(&from) {
            value = value.max(next);
        }
    }
    value
}

/// The rules but for limits that the call broke.
fn broken(call: &CallRecord, holds: &[HoldRecord], rules: &Rules) -> Vec<Broken> {
    let grant = grant_ms(call);
    let mut broken = Vec::new();
    let bound = [Action::PrivateReply, Action::Message].contains(&call.action);
    if let Active::In(spans) = &rules.active
        && bound
        && !spans.iter().any(|span| {
            let (start, end) = (span.start.as_millis(), span.end.as_millis());
            start <= *grant.end() && *grant.start() < end
        })
    {
        broken.push(Broken::ActiveHours);
    }
    let mut held: Vec<&Scope> = holds
        .iter()
        .filter(|hold| is_within(&hold.scope, call))
        .filter(|hold| hold.acknowledged_ms < *grant.start() && *grant.end() < hold.end_ms)
        .map(|hold| &hold.scope)
        .collect();
    held.sort_unstable();
    held.dedup();
    broken.extend(held.into_iter().cloned().map(Broken::Hold));
    broken
}

fn is_within(scope: &Scope, call: &CallRecord) -> bool {
    match scope {
        Scope::App => true,
        Scope::Account(account) => *account == call.account,
        Scope::Recipient(account, person) => {
            *account == call.account && call.recipient_id.as_ref() == Some(person)
        }
    }
}

fn violation(
    call: usize,
    record: &CallRecord,
    limits: Vec<Over>,
    broken: Vec<Broken>,
) -> Violation {
    Violation {
        call,
        at_ms: record.at_ms,
        account: record.account.clone(),
        comment_id: record.comment_id.clone(),
        limits,
        broken,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};
    use spillway_core::time::Timestamp;

    use super::*;
    use crate::action::Counted;
    use crate::active::Span;
    use crate::judge::Judge;
    use crate::log::Arrival;

    /// The definition itself: for every instant at which a window that holds the call could end,
    /// count what had arrived by then, one call after the other; for every instant at which the
    /// call may have been granted, look which rules it kept.
    fn naive(log: &[CallRecord], holds: &[HoldRecord], limits: &Limits) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (call, record) in log.iter().enumerate() {
            let arrived = &log[..=call];
            let rules = limits.of(&record.account);
            let mine: Vec<&CallRecord> =
                arrived.iter().filter(|other| other.account == record.account).collect();
            let all: Vec<&CallRecord> = arrived.iter().collect();
            let mut over: Vec<Over> =
                rules.rows.iter().filter_map(|limit| naive_over(&mine, limit)).collect();
            over.extend(limits.app.iter().filter_map(|limit| naive_over(&all, limit)));
            let mut broken = Vec::new();
            if naive_asleep(record, rules) {
                broken.push(Broken::ActiveHours);
            }
            broken.extend(naive_held(record, holds));
            if !over.is_empty() || !broken.is_empty() {
                violations.push(violation(call, record, over, broken));
            }
        }
        violations
    }

    fn grants(call: &CallRecord) -> Vec<u64> {
        match call.granted_at_ms {
            Some(at) => vec![at],
            None => (0..=call.at_ms).filter(|&at| call.at_ms - at <= 7000).collect(),
        }
    }

    fn naive_asleep(call: &CallRecord, rules: &Rules) -> bool {
        let Active::In(spans) = &rules.active else { return false };
        let awake = |&at: &u64| {
            spans.iter().any(|span| span.start.as_millis() <= at && at < span.end.as_millis())
        };
        matches!(call.action, Action::PrivateReply | Action::Message)
            && !grants(call).iter().any(awake)
    }

    fn naive_held(call: &CallRecord, holds: &[HoldRecord]) -> Vec<Broken> {
        let account = call.account.clone();
        let mut scopes = vec![Scope::App, Scope::Account(account.clone())];
        scopes.extend(call.recipient_id.clone().map(|person| Scope::Recipient(account, person)));
        let covers = |hold: &HoldRecord| {
            grants(call).iter().all(|&at| hold.acknowledged_ms < at && at < hold.end_ms)
        };
        scopes.retain(|scope| holds.iter().any(|hold| hold.scope == *scope && covers(hold)));
        scopes.into_iter().map(Broken::Hold).collect()
    }

    fn naive_over(arrived: &[&CallRecord], limit: &Limit) -> Option<Over> {
        let call = arrived.last()?;
        let window = u64::try_from(limit.window.as_millis()).unwrap();
        if !is_counted(limit, call) {
            return None;
        }
        let fullest = (call.at_ms..call.at_ms + window).map(|end| {
            let held: Vec<&&CallRecord> = arrived
                .iter()
                .filter(|other| is_counted(limit, other))
                .filter(|other| other.at_ms <= end && other.at_ms + window > end)
                .collect();
            match limit.counts.unit {
                Unit::Recipients => {
                    held.iter().map(|other| &other.recipient_id).collect::<HashSet<_>>().len()
                }
                Unit::Calls => held.len(),
            }
        });
        let count = fullest.max()? as u64;
        let value = |at: &u64| {
            let past = limit.limit.steps.iter().rev().find(|(from, _)| from.as_millis() <= *at);
            past.map_or(limit.limit.first, |&(_, value)| value)
        };
        let allowed = grants(call).iter().map(value).max()?;
        (count > u64::from(allowed)).then(|| Over { limit: limit.name.clone(), count, allowed })
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Sets of none, one and more actions, of calls and of people.
    fn counted() -> impl Strategy<Value = Counted> {
        let set = vec(prop::sample::select(Action::ALL.to_vec()), 0..6);
        prop_oneof![
            Just(Counted::EVERY_CALL),
            Just(Counted::PRIVATE_REPLIES),
            Just(Counted::DM_RECIPIENTS),
            set.clone().prop_map(|actions| Counted::calls(&actions)),
            set.prop_map(|actions| Counted::recipients(&actions)),
        ]
    }

    /// Instants in steps of 1 to 40 ms.
    fn ascending(most: usize) -> impl Strategy<Value = Vec<u64>> {
        vec(1..40_u64, 0..most).prop_map(|gaps| {
            gaps.into_iter()
                .scan(0, |now, gap| {
                    *now += gap;
                    Some(*now)
                })
                .collect()
        })
    }

    fn figure() -> impl Strategy<Value = Figure> {
        (0..6_u32, ascending(4), vec(0..6_u32, 4)).prop_map(|(first, instants, values)| {
            let steps = instants.into_iter().map(at).zip(values).collect();
            Figure { first, steps }
        })
    }

    fn limit() -> impl Strategy<Value = Limit> {
        (counted(), 1..40_u64, figure()).prop_map(|(counts, window, limit)| {
            let name = format!("{counts:?} {limit:?} / {window} ms");
            Limit::new(&name, counts, Duration::from_millis(window), limit)
        })
    }

    fn active() -> impl Strategy<Value = Active> {
        let spans = ascending(8).prop_map(|instants| {
            let (pairs, _) = instants.as_chunks::<2>();
            pairs.iter().map(|&[start, end]| Span { start: at(start), end: at(end) }).collect()
        });
        prop_oneof![Just(Active::Always), spans.prop_map(Active::In)]
    }

    fn rules() -> impl Strategy<Value = Rules> {
        (vec(limit(), 0..4), active()).prop_map(|(rows, active)| Rules {
            rows,
            active,
            spread_over: None,
        })
    }

    /// Limits that stay the same: the fullest window that holds a late call may end after it, when
    /// another figure is in force.
    fn fixed_limits() -> impl Strategy<Value = Limits> {
        limits().prop_map(|mut limits| {
            let rules = limits.own.values_mut().chain([&mut limits.each]);
            let rows = rules.flat_map(|rules| &mut rules.rows).chain(&mut limits.app);
            rows.for_each(|row| row.limit.steps.clear());
            limits
        })
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let own = proptest::option::of(rules());
        (rules(), own, proptest::option::of(limit())).prop_map(|(each, own, app)| Limits {
            each,
            own: own.into_iter().map(|rules| ("0".into(), rules)).collect(),
            app,
        })
    }

    /// Calls at given instants; `None` for a recipient is a call to nobody in particular.
    fn arrivals(step: std::ops::Range<u64>) -> impl Strategy<Value = Vec<Arrival>> {
        let action = prop::sample::select(Action::ALL.to_vec());
        let grant = proptest::option::weighted(0.8, 0..8_u64);
        let call = (step, grant, 0..2_u8, action, proptest::option::of(0..5_u8));
        vec(call, 0..60).prop_map(|calls| {
            calls
                .into_iter()
                .map(|(millis, before, account, action, person)| Arrival {
                    at: at(millis),
                    granted_at: before.map(|before| at(millis.saturating_sub(before))),
                    account: account.to_string().as_str().into(),
                    action,
                    comment: None,
                    recipient: person.map(|person| person.to_string().as_str().into()),
                })
                .collect()
        })
    }

    /// The same calls, each so much later than the one before.
    fn in_order(steps: Vec<Arrival>) -> Vec<Arrival> {
        let mut now = Timestamp::EPOCH;
        let mut next = |step: Arrival| {
            let before = step.granted_at.map(|granted| step.at.since(granted));
            now = now + step.at.since(Timestamp::EPOCH);
            Arrival { at: now, granted_at: before.map(|before| now - before), ..step }
        };
        steps.into_iter().map(&mut next).collect()
    }

    fn hold() -> impl Strategy<Value = HoldRecord> {
        let scope = prop_oneof![
            Just(Scope::App),
            Just(Scope::Account("0".into())),
            Just(Scope::Recipient("1".into(), "2".into())),
        ];
        (scope, 0..200_u64, 0..60_u64).prop_map(|(scope, acknowledged_ms, length)| HoldRecord {
            scope,
            acknowledged_ms,
            end_ms: acknowledged_ms + length,
        })
    }

    fn judged(arrivals: Vec<Arrival>, holds: &[HoldRecord], limits: &Limits) -> Judge {
        let mut judge = Judge::new(limits.clone());
        for hold in holds {
            judge.hold(hold.scope.clone(), at(hold.acknowledged_ms), at(hold.end_ms));
        }
        for arrival in arrivals {
            judge.call(arrival);
        }
        judge
    }

    /// A second count of the judge's own log.
    fn again(judge: &Judge) -> Vec<Violation> {
        recount(judge.calls(), judge.holds(), judge.limits())
    }

    proptest! {
        #[test]
        fn three_ways_of_counting_agree(
            steps in arrivals(0..12),
            holds in vec(hold(), 0..4),
            limits in limits(),
        ) {
            let judge = judged(in_order(steps), &holds, &limits);
            let expected = naive(judge.calls(), &holds, &limits);
            prop_assert_eq!(&judge.report().violations, &expected);
            prop_assert_eq!(&again(&judge), &expected);
        }

        #[test]
        fn nothing_hides_behind_a_clock_that_steps_back(
            steps in arrivals(0..90),
            limits in fixed_limits(),
        ) {
            let judge = judged(steps, &[], &limits);
            let violations = judge.report().violations;
            prop_assert_eq!(&violations, &naive(judge.calls(), &[], &limits));
            prop_assert_eq!(violations.is_empty(), again(&judge).is_empty());
        }

        #[test]
        fn what_is_promised_to_fit_fits_then_and_not_before(
            steps in arrivals(0..6),
            counts in prop_oneof![Just(Counted::EVERY_CALL), Just(Counted::DM_RECIPIENTS)],
            allowed in 1..5_u32,
            early in any::<bool>(),
        ) {
            let window = Duration::from_millis(20);
            let row = Limit::new("row", counts, window, allowed);
            let mut judge = Judge::new(Rules::from(vec![row]).into());
            for step in in_order(steps) {
                let person = step.recipient.clone().unwrap_or_else(|| "someone".into());
                let arrival = Arrival {
                    account: "a".into(),
                    action: Action::Message,
                    recipient: Some(person),
                    ..step
                };
                let breaches = judge.call(arrival).breaches;
                let Some(breach) = breaches.first() else { continue };
                let fits_at = breach.fits_at.unwrap();
                let then = if early { fits_at - Duration::from_millis(1) } else { fits_at };
                let next = Arrival {
                    at: then,
                    granted_at: None,
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
