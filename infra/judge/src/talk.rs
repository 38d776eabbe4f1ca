//! What was wrong with conversations, from logs alone: calls to people whose window was closed, and
//! steps that reached somebody twice. Times are instants of Meta's: it keeps both logs.

use std::collections::HashMap;
use std::time::Duration;

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;

use crate::action::Action;
use crate::log::CallRecord;

/// How long after a person's message or tap an account may write to them.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// A message or tap of a person's, which opens their window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When they wrote or tapped.
    pub at: Timestamp,
    /// The account that they wrote to.
    pub account: AccountId,
    /// Who they are.
    pub person: RecipientId,
}

/// A message of a conversation that has reached a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// When it did.
    pub at: Timestamp,
    /// The account that sent it.
    pub account: AccountId,
    /// Whom it reached.
    pub person: RecipientId,
    /// The comment that began the conversation.
    pub origin: CommentId,
    /// Which step of the conversation it is.
    pub step: &'static str,
    /// How often the campaign may ask or say it.
    pub times_max: usize,
}

/// When each person wrote or tapped, in order of time.
struct Inbound<'log>(HashMap<(&'log AccountId, &'log RecipientId), Vec<Timestamp>>);

impl<'log> Inbound<'log> {
    fn new(heard: &'log [Heard]) -> Self {
        let mut by_person: HashMap<_, Vec<Timestamp>> = HashMap::new();
        for Heard { at, account, person } in heard {
            by_person.entry((account, person)).or_default().push(*at);
        }
        by_person.values_mut().for_each(|times| times.sort_unstable());
        Self(by_person)
    }

    /// The latest one of a person's up to `at`.
    fn before(&self, of: (&AccountId, &RecipientId), at: Timestamp) -> Option<Timestamp> {
        let times = self.0.get(&of)?;
        times[..times.partition_point(|&time| time <= at)].last().copied()
    }
}

/// The places in the log of the calls to people who had not written or tapped in the 24 hours
/// before. Refused calls count: nobody may count on the refusal. A private reply needs no window.
pub fn outside_window(calls: &[CallRecord], heard: &[Heard]) -> Vec<usize> {
    let inbound = Inbound::new(heard);
    let is_outside = |call: &CallRecord| {
        let Some(person) = call.recipient_id.as_ref().filter(|_| call.action == Action::Message)
        else {
            return false;
        };
        let at = Timestamp::from_millis(call.at_ms);
        let last = inbound.before((&call.account, person), at);
        last.is_none_or(|last| at.since(last) > WINDOW)
    };
    let outside = calls.iter().enumerate().filter(|(_, call)| is_outside(call));
    outside.map(|(place, _)| place).collect()
}

/// The places of the messages whose step had reached the same person of the same conversation before:
/// more often than its campaign says it, or with nothing from the person in between. `reached` is
/// in order of time.
pub fn steps_twice(reached: &[Reached], heard: &[Heard]) -> Vec<usize> {
    let inbound = Inbound::new(heard);
    let mut known: HashMap<_, (usize, Timestamp)> = HashMap::new();
    let mut twice = Vec::new();
    for (place, message) in reached.iter().enumerate() {
        let Reached { at, account, person, origin, step, times_max } = message;
        let (times, last) = known.entry((account, person, origin, step)).or_insert((0, *at));
        let is_asked_for =
            inbound.before((account, person), *at).is_some_and(|heard| heard >= *last);
        if *times >= *times_max || *times > 0 && !is_asked_for {
            twice.push(place);
        }
        (*times, *last) = (*times + 1, *at);
    }
    twice
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_790_000_000 + secs)
    }

    fn call(secs: u64, action: Action, person: &str, status: u16) -> CallRecord {
        CallRecord {
            at_ms: at(secs).as_millis(),
            granted_at_ms: None,
            account: "a".into(),
            action,
            comment_id: None,
            recipient_id: Some(person.into()),
            status,
            code: None,
        }
    }

    fn heard(secs: u64, person: &str) -> Heard {
        Heard { at: at(secs), account: "a".into(), person: person.into() }
    }

    fn reached(secs: u64, person: &str, origin: &str, step: &'static str) -> Reached {
        Reached {
            at: at(secs),
            account: "a".into(),
            person: person.into(),
            origin: origin.into(),
            step,
            times_max: if step == "follow" { 2 } else { 1 },
        }
    }

    #[test]
    fn a_call_outside_the_window_is_found_refused_or_not() {
        let day = 24 * HOUR;
        let log = [
            call(5, Action::PrivateReply, "x", 200),
            call(100, Action::Message, "x", 200),
            call(10 + day, Action::Message, "x", 200),
            call(11 + day, Action::Message, "x", 403),
            call(20, Action::Message, "y", 200),
            call(12 + day, Action::Read, "x", 200),
        ];
        // What is told late happened when it did; what comes after the call opens nothing for it.
        let inbound = [heard(10, "x"), heard(9, "x"), heard(21, "y"), heard(13 + day, "x")];
        assert_eq!(outside_window(&log, &inbound), [3, 4]);
        assert_eq!(outside_window(&log[..3], &inbound), [0; 0]);
        let other = Heard { account: "b".into(), ..heard(19, "y") };
        assert_eq!(outside_window(&log[4..], &[other]), [0], "each account has its own window");
    }

    #[test]
    fn a_step_that_comes_twice_is_found() {
        let log = [
            reached(0, "x", "1", "opening"),
            reached(20, "x", "1", "deliver"),
            reached(21, "x", "1", "deliver"),
            reached(22, "y", "2", "deliver"),
            reached(23, "x", "3", "deliver"),
        ];
        let inbound = [heard(10, "x"), heard(21, "x")];
        assert_eq!(steps_twice(&log, &inbound), [2], "of one conversation alone");
    }

    #[test]
    fn an_ask_may_be_repeated_for_each_answer_as_often_as_its_campaign_says() {
        let asks = |secs: &[u64]| -> Vec<Reached> {
            secs.iter().map(|&secs| reached(secs, "x", "1", "follow")).collect()
        };
        let inbound = [heard(0, "x"), heard(30, "x"), heard(60, "x")];
        assert_eq!(steps_twice(&asks(&[10, 40]), &inbound), [0; 0]);
        assert_eq!(steps_twice(&asks(&[10, 11]), &inbound), [1], "for one tap");
        assert_eq!(steps_twice(&asks(&[10, 40, 70]), &inbound), [2], "once too often");
    }
}
