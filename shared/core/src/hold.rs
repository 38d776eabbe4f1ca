//! Holds: after a limit response, a policy block or a dead token nothing of the account is called
//! until the hold ends; then one probe goes first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::hold_cause::HoldCause;
use crate::id::{RecipientId, SendId};
use crate::refusal::{Party, Refusals, Suspicion};
use crate::seed::seed;
use crate::send::PendingSend;
use crate::time::{CLOCK_BOUND, Timestamp};

impl HoldCause {
    /// Returns the first and the longest wait, for when Meta names none.
    const fn waits(self) -> (Duration, Duration) {
        const HOUR: u64 = 3600;
        let (first, longest) = match self {
            Self::Throttled => (60, HOUR),
            Self::Blocked => (6 * HOUR, 48 * HOUR),
            Self::TokenDead | Self::Permission => (HOUR, 24 * HOUR),
            Self::NearLimit => (300, 300),
            Self::Refusing => (600, 6 * HOUR),
            Self::Failing => (300, HOUR),
            // The operator who stops it names the end.
            Self::Operator => (0, 0),
        };
        (Duration::from_secs(first), Duration::from_secs(longest))
    }
}

/// A hold that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub cause: HoldCause,
    /// Since when.
    pub since: Timestamp,
    /// No call before this instant.
    pub until: Timestamp,
    /// The one send that may go first once the hold has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Until this instant no send becomes the probe: the account's token is due to be renewed, and
    /// waiting sends would otherwise take every probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep_until: Option<Timestamp>,
}

/// A stop by hand. It is kept beside a hold that follows from Meta's answers, since either may
/// outlast the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// Since when.
    pub since: Timestamp,
    /// No call before this instant. [`Timestamp::NEVER`] if it lasts until somebody ends it.
    pub until: Timestamp,
    /// The operator's note, at most [`REASON_BYTES_MAX`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The most bytes of a note. The account's item has little room.
pub const REASON_BYTES_MAX: usize = 120;

/// The one call that shows whether a hold is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The send that is called for. `None` for a call of another tool that shares the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SendId>,
    /// Until this instant nothing else is called. After it another probe may go.
    pub lease_until: Timestamp,
}

/// The holds of an account, and how often it was put on hold lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The number of holds within a day of each other. Each makes the next one longer.
    pub strikes: u32,
    /// The instant when the last of them began.
    pub last_strike: Timestamp,
    /// The hold in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Hold>,
    /// The stop by hand, in force or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
    /// People who have had too many messages: nothing is sent to them for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<HeldRecipient>,
    /// Meta's latest refusals, and whom they concern.
    #[serde(default, skip_serializing_if = "Refusals::is_empty")]
    pub refusals: Refusals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldRecipient {
    /// A hash of the person's id.
    person: u64,
    until: Timestamp,
}

/// People on hold that are remembered; one forgotten costs one more refused call. The account's
/// item has room for few.
const RECIPIENTS_MAX: usize = 4;

/// How long nothing is sent to somebody who has had too many messages. Meta names no time.
const RECIPIENT_HOLD: Duration = Duration::from_secs(3600);

/// What is known of a token that takes the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewToken {
    /// A call with it went through.
    Works,
    /// Nothing was called with it yet.
    Untried,
}

/// Whether the holds allow calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// No hold.
    Open,
    /// The hold has ended and nobody probes yet: exactly one call may go.
    Probe,
    /// Nothing may go before this instant.
    Closed(HoldCause, Timestamp),
}

/// How long after a hold's end upkeep may be the first to call, where it has asked for that: two of
/// its runs, with some time for each.
const UPKEEP_TURN: Duration = Duration::from_secs(35 * 60);

const A_DAY: Duration = Duration::from_secs(24 * 3600);

impl Holds {
    /// Returns what may be called at `now`.
    pub fn gate(&self, now: Timestamp) -> Gate {
        let gate = self.gate_of_answers(now);
        match (self.stopped_until(now), &gate) {
            (Some(stopped), Gate::Closed(_, closed)) if *closed >= stopped => gate,
            (Some(stopped), _) => Gate::Closed(HoldCause::Operator, stopped),
            (None, _) => gate,
        }
    }

    /// What may go at `now` of sends, which give way to upkeep where it has asked for the probe.
    pub(crate) fn gate_of_sends(&self, now: Timestamp) -> Gate {
        let turn = self.current.as_ref().and_then(|hold| Some((hold.cause, hold.upkeep_until?)));
        match (self.gate(now), turn) {
            (Gate::Probe, Some((cause, until))) if now < until => Gate::Closed(cause, until),
            (gate, _) => gate,
        }
    }

    /// Lets no send probe the hold in force before upkeep had its turn; whether that is new.
    pub(crate) fn give_turn(&mut self) -> bool {
        let Some(hold) = self.current.as_mut().filter(|hold| hold.upkeep_until.is_none()) else {
            return false;
        };
        hold.upkeep_until = Some(hold.until + UPKEEP_TURN);
        true
    }

    /// The probe was given back, or has told nothing.
    pub(crate) fn drop_probe(&mut self) {
        if let Some(hold) = &mut self.current {
            hold.probe = None;
        }
    }

    /// Returns the end of the stop by hand that is in force at `now`.
    pub fn stopped_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.by_hand.as_ref().map(|stop| stop.until).filter(|&until| now < until)
    }

    /// Stops everything by hand until `until`. A longer note is cut.
    pub(crate) fn stop(&mut self, now: Timestamp, until: Timestamp, reason: Option<&str>) {
        let since = self.by_hand.as_ref().filter(|stop| now < stop.until).map(|stop| stop.since);
        let cut = |reason: &str| {
            let end = reason.floor_char_boundary(REASON_BYTES_MAX);
            reason[..end].to_owned()
        };
        let reason = reason.map(cut);
        self.by_hand = Some(ByHand { since: since.unwrap_or(now), until, reason });
    }

    /// Ends the stop by hand, and lets one call find out at once whether another hold is over.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        self.by_hand = None;
        if let Some(hold) = &mut self.current {
            hold.until = hold.until.min(now);
        }
    }

    /// The account has a new token. A dead one's hold is over once the new one has worked; that,
    /// and a hold for want of a permission, which a login may have given, is else looked into at
    /// once. Says whether there was one.
    pub(crate) fn renew_token(&mut self, token: NewToken) -> bool {
        let Some(hold) = &mut self.current else { return false };
        match (hold.cause, token) {
            (HoldCause::TokenDead, NewToken::Works) => self.current = None,
            (HoldCause::TokenDead | HoldCause::Permission, _) => hold.until = hold.since,
            _ => return false,
        }
        true
    }

    /// Forgets a stop by hand that is over.
    pub(crate) fn forget_stop(&mut self, now: Timestamp) {
        self.by_hand.take_if(|stop| stop.until <= now);
    }

    /// What the hold that follows from Meta's answers leaves.
    fn gate_of_answers(&self, now: Timestamp) -> Gate {
        let Some(hold) = &self.current else { return Gate::Open };
        let closed_until = match &hold.probe {
            // By the clock of the process that gave the lease, which may be as far off as this one.
            Some(probe) => hold.until.max(probe.lease_until + CLOCK_BOUND),
            None => hold.until,
        };
        if now < closed_until { Gate::Closed(hold.cause, closed_until) } else { Gate::Probe }
    }

    /// Whether a probe is under way. A hold that began after the probe has none.
    pub fn is_probed(&self) -> bool {
        self.current.as_ref().is_some_and(|hold| hold.probe.is_some())
    }

    /// Whether `send` is the probe of a hold that has ended, and nothing else stops it.
    pub fn is_probe(&self, send: &SendId, now: Timestamp) -> bool {
        let hold = self.current.as_ref().filter(|hold| hold.until <= now);
        let probe = hold.and_then(|hold| hold.probe.as_ref());
        probe.is_some_and(|probe| probe.send.as_ref() == Some(send))
            && self.stopped_until(now).is_none()
    }

    /// Whether no hold is in force at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.current.as_ref().is_none_or(|hold| now >= hold.until)
    }

    /// Returns the end of the hold of `recipient`.
    pub fn recipient_held_until(
        &self,
        recipient: &RecipientId,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let person = seed(&[recipient.as_str()]);
        let held = self.recipients.iter().find(|held| held.person == person)?;
        (now < held.until).then_some(held.until)
    }

    /// Returns how unsuitable a send is as probe.
    pub fn suspicion(&self, send: &PendingSend, now: Timestamp) -> Suspicion {
        let person = send.to.recipient();
        let of_person = person.and_then(|person| self.recipient_held_until(person, now));
        let of_campaign = self.refusals.campaign_held_until(&send.content.campaign, now);
        match of_person.or(of_campaign) {
            Some(_) => Suspicion::Held,
            None => self.refusals.suspicion(&Party::of(send)),
        }
    }

    /// Sends nothing to `recipient` for a while.
    pub(crate) fn hold_recipient(&mut self, recipient: &RecipientId, now: Timestamp) {
        let person = seed(&[recipient.as_str()]);
        self.recipients.retain(|held| now < held.until && held.person != person);
        if self.recipients.len() == RECIPIENTS_MAX {
            self.recipients.remove(0);
        }
        self.recipients.push(HeldRecipient { person, until: now + RECIPIENT_HOLD });
    }

    /// Names the probe.
    pub(crate) fn start_probe(&mut self, send: Option<SendId>, lease_until: Timestamp) {
        if let Some(hold) = &mut self.current {
            hold.probe = Some(Probe { send, lease_until });
        }
    }

    /// Puts the account on hold from `now`: until `regain` has passed where Meta named it, else
    /// for an exponential wait; a fifth of it is spread by `seed`, so that accounts do not wake
    /// together. Answers to several calls in flight are one hold, not several strikes.
    pub(crate) fn strike(
        &mut self,
        cause: HoldCause,
        now: Timestamp,
        regain: Option<Duration>,
        seed: u64,
    ) {
        let in_force = self.current.take().filter(|hold| now < hold.until);
        if in_force.is_none() && cause != HoldCause::NearLimit {
            let lately = now.since(self.last_strike) < A_DAY;
            self.strikes = if lately { self.strikes.saturating_add(1) } else { 1 };
            self.last_strike = now;
        }
        let (first, longest) = cause.waits();
        let doublings = self.strikes.saturating_sub(1).min(16);
        let doubled = first.saturating_mul(1 << doublings);
        let wait = doubled.min(longest).max(regain.unwrap_or_default().min(A_DAY));
        let spread = wait.mul_f64((seed % 1000) as f64 / 5000.0);
        // Other processes' clocks may be that much ahead.
        let until = now + wait + spread + 2 * CLOCK_BOUND;
        self.current = Some(match in_force {
            Some(longer) if longer.until >= until => longer,
            Some(shorter) => {
                Hold { cause, since: shorter.since, until, probe: None, upkeep_until: None }
            }
            None => Hold { cause, since: now, until, probe: None, upkeep_until: None },
        });
    }

    /// Takes back a probe that was named and not made; another one stays.
    pub(crate) fn give_up_probe(&mut self, probe: &Probe) -> bool {
        let hold = self.current.as_mut();
        hold.is_some_and(|hold| hold.probe.take_if(|known| known == probe).is_some())
    }

    /// Ends the hold whose probe went through, and says whether there was one: a hold that was met
    /// after that probe had gone stays. Strikes stay too, so that a repeated hit holds longer.
    pub(crate) fn lift(&mut self) -> Option<Hold> {
        self.current.take_if(|hold| hold.probe.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn struck(times: u32, cause: HoldCause, regain: Option<Duration>) -> Holds {
        let mut holds = Holds::default();
        for _ in 0..times {
            holds.current = None;
            holds.strike(cause, NOW, regain, 0);
        }
        holds
    }

    fn wait(holds: &Holds) -> Duration {
        holds.current.as_ref().map_or(Duration::ZERO, |hold| hold.until.since(NOW))
    }

    const MARGIN: Duration = Duration::from_secs(2);

    #[test]
    fn the_time_that_meta_names_is_kept() {
        let regain = Duration::from_secs(19 * 60);
        assert_eq!(wait(&struck(1, HoldCause::Throttled, Some(regain))), regain + MARGIN);
    }

    #[test]
    fn waits_double_up_to_their_longest() {
        let minutes = |n: u64| Duration::from_secs(n * 60) + MARGIN;
        assert_eq!(wait(&struck(1, HoldCause::Throttled, None)), minutes(1));
        assert_eq!(wait(&struck(2, HoldCause::Throttled, None)), minutes(2));
        assert_eq!(wait(&struck(9, HoldCause::Throttled, None)), minutes(60));
        assert_eq!(wait(&struck(40, HoldCause::TokenDead, None)), minutes(24 * 60));
        assert_eq!(wait(&struck(2, HoldCause::Blocked, None)), minutes(12 * 60));
    }

    #[test]
    fn answers_to_calls_in_flight_are_one_strike() {
        let mut holds = struck(1, HoldCause::Throttled, None);
        holds.strike(HoldCause::Throttled, NOW + Duration::from_secs(1), None, 0);
        assert_eq!(holds.strikes, 1);
    }

    #[test]
    fn a_probe_that_meets_the_limit_again_is_another_strike() {
        let mut holds = struck(1, HoldCause::Throttled, None);
        let probed = NOW + wait(&holds);
        assert!(!holds.is_probed());
        holds.start_probe(None, probed + Duration::from_secs(30));
        assert!(holds.is_probed());
        holds.strike(HoldCause::Throttled, probed, None, 0);
        assert_eq!((holds.strikes, holds.last_strike), (2, probed));
        assert!(!holds.is_probed(), "the new hold has none yet");
        let until = probed + Duration::from_secs(120) + MARGIN;
        let hold = Hold {
            cause: HoldCause::Throttled,
            since: probed,
            until,
            probe: None,
            upkeep_until: None,
        };
        assert_eq!(holds.current, Some(hold));
    }

    #[test]
    fn up_to_a_fifth_of_the_wait_is_spread() {
        let spread = |seed| {
            let mut holds = Holds::default();
            holds.strike(HoldCause::Throttled, NOW, None, seed);
            wait(&holds) - MARGIN - Duration::from_secs(60)
        };
        assert_eq!([0, 1500, 1999].map(spread), [0, 6000, 11_988].map(Duration::from_millis));
    }

    #[test]
    fn a_strike_a_day_later_is_a_first_one() {
        let mut holds = struck(5, HoldCause::Throttled, None);
        holds.strike(HoldCause::Throttled, NOW + A_DAY, None, 0);
        assert_eq!(holds.strikes, 1);
    }

    #[test]
    fn a_weaker_answer_never_shortens_a_hold() {
        let mut holds = struck(1, HoldCause::Blocked, None);
        let until = wait(&holds);
        holds.strike(HoldCause::Throttled, NOW, None, 0);
        assert_eq!(wait(&holds), until);
    }

    #[test]
    fn a_stronger_answer_lengthens_a_hold() {
        let mut holds = struck(1, HoldCause::Throttled, None);
        let later = NOW + Duration::from_secs(1);
        holds.strike(HoldCause::Blocked, later, None, 0);
        let until = later + Duration::from_secs(6 * 3600) + MARGIN;
        let hold =
            Hold { cause: HoldCause::Blocked, since: NOW, until, probe: None, upkeep_until: None };
        assert_eq!(holds.current, Some(hold));
    }

    #[test]
    fn stopping_just_below_a_limit_is_no_strike() {
        let mut holds = struck(3, HoldCause::NearLimit, None);
        assert_eq!((holds.strikes, wait(&holds)), (0, Duration::from_secs(300) + MARGIN));
        holds.current = None;
        holds.strike(HoldCause::Throttled, NOW, None, 0);
        assert_eq!(wait(&holds), Duration::from_secs(60) + MARGIN);
    }

    #[test]
    fn a_person_who_had_too_many_messages_is_left_alone_and_others_are_not() {
        let person = |n: u32| RecipientId::new(n.to_string());
        let mut holds = Holds::default();
        (0..9).for_each(|n| holds.hold_recipient(&person(n), NOW));
        assert_eq!(holds.recipient_held_until(&person(8), NOW), Some(NOW + RECIPIENT_HOLD));
        assert_eq!(holds.recipient_held_until(&person(9), NOW), None);
        assert_eq!(holds.recipient_held_until(&person(8), NOW + RECIPIENT_HOLD), None);
        assert_eq!(holds.recipients.len(), RECIPIENTS_MAX);
        assert_eq!(holds.gate(NOW), Gate::Open);
        // Once more is no second entry that pushes another out, and those that have ended go.
        (0..9).for_each(|_| holds.hold_recipient(&person(8), NOW));
        assert_eq!(holds.recipient_held_until(&person(5), NOW), Some(NOW + RECIPIENT_HOLD));
        holds.hold_recipient(&person(9), NOW + RECIPIENT_HOLD);
        assert_eq!(holds.recipients.len(), 1);
    }

    #[test]
    fn exactly_one_probe_goes_first() {
        let mut holds = struck(1, HoldCause::Throttled, None);
        let until = NOW + wait(&holds);
        let just_before = until - Duration::from_millis(1);
        assert_eq!(holds.gate(just_before), Gate::Closed(HoldCause::Throttled, until));
        assert_eq!(holds.gate(until), Gate::Probe);
        let lease = until + Duration::from_secs(30);
        holds.start_probe(Some(SendId { account: "a".into(), key: "c".into() }), lease);
        let over = lease + CLOCK_BOUND;
        assert_eq!(holds.gate(until), Gate::Closed(HoldCause::Throttled, over));
        assert_eq!(holds.gate(over), Gate::Probe);
        holds.lift();
        assert_eq!(holds.gate(until), Gate::Open);
    }

    #[test]
    fn a_stop_by_hand_ends_as_told_or_by_hand_and_needs_no_probe() {
        let hour = Duration::from_secs(3600);
        let mut holds = Holds::default();
        holds.stop(NOW, NOW + hour, Some("checking a text"));
        let stopped = |until| Gate::Closed(HoldCause::Operator, until);
        assert_eq!(holds.gate(NOW), stopped(NOW + hour));
        assert_eq!(holds.gate(NOW + hour - Duration::from_millis(1)), stopped(NOW + hour));
        assert_eq!(holds.gate(NOW + hour), Gate::Open);
        holds.stop(NOW + hour / 2, Timestamp::NEVER, None);
        let stop = holds.by_hand.clone().unwrap();
        assert_eq!((stop.since, stop.reason), (NOW, None), "it goes on");
        assert_eq!(holds.gate(NOW + 1000 * hour), stopped(Timestamp::NEVER));
        holds.forget_stop(NOW + 1000 * hour);
        assert!(holds.by_hand.is_some(), "only a stop that is over is forgotten");
        holds.resume(NOW + 1000 * hour);
        assert_eq!((holds.gate(NOW), holds.strikes), (Gate::Open, 0));
        holds.stop(NOW, NOW + hour, Some(&"é".repeat(200)));
        assert_eq!(holds.by_hand.as_ref().unwrap().reason.as_ref().unwrap().len(), 120);
        holds.stop(NOW + hour, Timestamp::NEVER, None);
        assert_eq!(holds.by_hand.as_ref().unwrap().since, NOW + hour, "the first one was over");
        holds.stop(NOW + hour, NOW + 2 * hour, None);
        holds.forget_stop(NOW + 2 * hour);
        assert_eq!(holds.by_hand, None);
    }

    #[test]
    fn a_stop_by_hand_and_a_hold_do_not_end_one_another() {
        let second = Duration::from_secs(1);
        let mut holds = struck(1, HoldCause::Throttled, None);
        let until = NOW + wait(&holds);
        holds.stop(NOW, until - second, None);
        assert_eq!(holds.gate(NOW), Gate::Closed(HoldCause::Throttled, until));
        holds.stop(NOW, until + second, None);
        assert_eq!(holds.gate(NOW), Gate::Closed(HoldCause::Operator, until + second));
        assert_eq!(holds.gate(until + second), Gate::Probe, "the limit is still to be looked at");
        // A limit response to a call in flight counts.
        holds.current = None;
        holds.strike(HoldCause::Throttled, NOW, None, 0);
        assert_eq!(holds.strikes, 2);
    }

    #[test]
    fn resuming_by_hand_lets_one_call_look_at_once() {
        let mut holds = struck(1, HoldCause::TokenDead, None);
        holds.stop(NOW, Timestamp::NEVER, None);
        let later = NOW + Duration::from_secs(9);
        holds.resume(later);
        assert_eq!(holds.gate(later), Gate::Probe);
        holds.start_probe(None, later + Duration::from_secs(30));
        let over = later + Duration::from_secs(30) + CLOCK_BOUND;
        holds.resume(later);
        assert_eq!(holds.gate(later), Gate::Closed(HoldCause::TokenDead, over), "one at a time");
    }

    #[test]
    fn a_new_token_ends_a_dead_ones_hold_or_has_one_call_look_at_once() {
        use HoldCause::{Blocked, Permission, Throttled, TokenDead};
        let closed = |cause| Gate::Closed(cause, NOW + wait(&struck(1, cause, None)));
        for (cause, token, gate) in [
            (TokenDead, NewToken::Works, Gate::Open),
            (TokenDead, NewToken::Untried, Gate::Probe),
            (Permission, NewToken::Works, Gate::Probe),
            (Permission, NewToken::Untried, Gate::Probe),
            (Blocked, NewToken::Works, closed(Blocked)),
            (Throttled, NewToken::Works, closed(Throttled)),
        ] {
            let mut holds = struck(1, cause, None);
            assert_eq!(holds.renew_token(token), gate != closed(cause), "{cause:?} {token:?}");
            assert_eq!(holds.gate(NOW), gate, "{cause:?} {token:?}");
        }
        assert!(!Holds::default().renew_token(NewToken::Works));
    }

    #[test]
    fn holds_of_before_stops_by_hand_are_read() {
        let old = r#"{"strikes":2,"last_strike":1790000000000}"#;
        let holds: Holds = serde_json::from_str(old).unwrap();
        assert_eq!((holds.strikes, &holds.by_hand), (2, &None));
        assert_eq!(serde_json::to_string(&holds).unwrap(), old);
    }

    #[test]
    fn a_probe_that_went_through_does_not_end_a_hold_that_came_after_it() {
        let mut holds = struck(1, HoldCause::Throttled, None);
        let probed = NOW + wait(&holds);
        holds.start_probe(None, probed + Duration::from_secs(30));
        holds.strike(HoldCause::Blocked, probed, None, 0);
        let later = holds.clone();
        assert_eq!(holds.lift(), None);
        assert_eq!(holds, later);
    }
}
