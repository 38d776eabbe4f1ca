//! What is kept of an account's conversations with one person.
//!
//! There is one item for each account and person. It is bounded whatever comes, and expires. It has no
//! text of the person's, and no e-mail address.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::payload::{CAMPAIGN_BYTES_MAX, Origin, Step, StepKey, gate_key};
use super::then::Then;
use crate::id::{CampaignId, OnceKey, RecipientId};
use crate::seed::seed;
use crate::time::Timestamp;

/// How long an account may write after a person's last message or tap (Meta, Instagram Login, send
/// messages, 2026).
pub const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What is kept back of the window, so that a message that waits for its slot, or a last retry, is not
/// refused.
pub const WINDOW_RESERVE: Duration = Duration::from_secs(600);

/// How long a disclosure holds. After it the next message begins with one again. Meta asks for it after
/// a «significant lapse of time» and names no length. This one is counted from the disclosure and not
/// from the last message, so that messages without one cost no write.
pub const DISCLOSURE_LAPSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a conversation is known after its opening. Until then each of its messages is sent at
/// most once; a tap on a button of an older one is too old for anything. It is as long as an answer to
/// a comment counts where a campaign does not say, so whoever is not remembered may comment again.
pub const CONVERSATION_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// The most conversations with one person that are kept. The oldest that has nothing left to do makes
/// room for a new one.
pub const RUNS_MAX: usize = 12;

/// How many conversations [`State::latest_keys`] covers.
const LATEST_RUNS: usize = 3;

/// How many sends of each it covers: a delivery has five messages, which may all be out before Meta
/// tells of the first.
const LATEST_SENDS: u8 = 6;

/// The most messages of a person that are known to be used, so that a repeated delivery of one is not
/// taken for another.
const USED_MAX: usize = 16;

/// The most follow-ups of a campaign.
pub const FOLLOW_UPS_MAX: usize = 5;

/// The most bytes of a stored state as JSON: what a store may rely on.
pub const STATE_BYTES_MAX: usize = 16_000;

/// What is kept of an account's conversations with one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The person's latest message or tap. It only ever rises.
    pub(super) last_inbound: Option<Timestamp>,
    /// The latest message that no conversation has used.
    pub(super) unheard_at: Option<Timestamp>,
    /// The latest STOP.
    pub(super) stopped_at: Option<Timestamp>,
    /// The latest START.
    pub(super) started_at: Option<Timestamp>,
    /// Until when a human has taken over.
    pub(super) human_until: Option<Timestamp>,
    /// The latest disclosure, unless it is known not to have arrived.
    pub(super) disclosed: Option<Disclosed>,
    /// Conversations that began up to this instant may have been dropped.
    pub(super) dropped_until: Option<Timestamp>,
    /// Hashes of the ids of messages that a conversation has used, the oldest first.
    pub(super) used: Vec<u64>,
    /// The conversations, in the order in which they became known.
    pub(super) runs: Vec<Run>,
}

/// A message that began with the account's disclosure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disclosed {
    /// A hash of the key of its send.
    pub(super) by: u64,
    /// When its first call was about to be made.
    pub(super) at: Timestamp,
}

/// One conversation: a campaign and what began it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) campaign: CampaignId,
    pub(super) origin: Origin,
    /// When its opening was sent, to the minute.
    pub(super) begun_at: Timestamp,
    /// A hash of the keyword that began it.
    pub(super) keyword: Option<u64>,
    /// Where it is.
    pub(super) place: Place,
    /// Whether what is to be done there was done. If not, it is done when the person acts again.
    pub(super) is_done: bool,
    /// Since when it waits there. What the person did before is no answer to it.
    pub(super) since: Timestamp,
    /// Sends so far, which number them.
    pub(super) attempts: u8,
    /// Asks at this place so far.
    pub(super) asks: u8,
    /// Reads of the profile so far, which number them.
    pub(super) reads: u8,
    /// Since when a read of the profile is under way.
    pub(super) reading_since: Option<Timestamp>,
    /// Whether the person has opened one of its links.
    pub(super) has_clicked: bool,
    /// Follow-ups that are still to come.
    pub(super) follow_ups: Vec<Due>,
}

/// Where a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// It waits for an answer to the opening.
    Answer,
    /// At the follow gate.
    Follow,
    /// It waits for an e-mail address.
    Email,
    /// At this message of the delivery, counted from 0.
    Deliver(u8),
    /// Everything was delivered.
    Delivered,
    /// Meta has refused the opening, or the campaign was removed.
    Ended,
}

impl Place {
    /// The word for it, for operators.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Follow => "follow",
            Self::Email => "email",
            Self::Deliver(_) => "deliver",
            Self::Delivered => "delivered",
            Self::Ended => "ended",
        }
    }
}

/// What is left to do of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Nothing,
    Little,
    Something,
}

/// How far a conversation has come, for those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Its campaign.
    pub campaign: &'a CampaignId,
    /// What began it.
    pub origin: Origin,
    /// When its opening was sent, to the minute.
    pub begun_at: Timestamp,
    /// Whether the person has answered the opening.
    pub has_answered: bool,
    /// Whether nothing asks them to follow the account any more: they do, or Meta did not tell.
    pub has_passed_gate: bool,
    /// Whether they have opened one of its tracked links.
    pub has_clicked: bool,
    /// Where it is, in a word.
    pub place: &'static str,
    /// Since when it is there.
    pub since: Timestamp,
}

/// A follow-up that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due {
    /// Which one, counted from 0.
    pub(super) nth: u8,
    /// Not before this instant.
    pub(super) at: Timestamp,
    /// The number of its send; `None` where it was not made yet, since the window closes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u8>,
}

impl Due {
    /// The key of its send, if it was made.
    pub(super) fn key(self, origin: Origin) -> Option<StepKey> {
        let step = Step::FollowUp(self.nth);
        self.attempt.map(|attempt| StepKey { origin, step, attempt })
    }
}

impl Run {
    /// A conversation that waits for an answer to the opening that was sent at `sent_at`.
    pub(super) fn new(campaign: CampaignId, origin: Origin, sent_at: Timestamp) -> Self {
        Self {
            campaign,
            origin,
            begun_at: whole_minute(sent_at),
            keyword: None,
            place: Place::Answer,
            is_done: true,
            since: sent_at,
            attempts: 0,
            asks: 0,
            reads: 0,
            reading_since: None,
            has_clicked: false,
            follow_ups: Vec::new(),
        }
    }

    /// Whether it is this conversation.
    pub(super) fn is(&self, campaign: &CampaignId, origin: Origin) -> bool {
        self.origin == origin && self.campaign == *campaign
    }

    /// Whether nothing of it is left to do.
    fn is_over(&self) -> bool {
        self.left() == Left::Nothing
    }

    /// What is left to do. A delivery of one message is over once that was made: its sender does not
    /// tell of it unless something follows.
    fn left(&self) -> Left {
        match self.place {
            _ if !self.follow_ups.is_empty() => Left::Something,
            Place::Delivered | Place::Ended => Left::Nothing,
            Place::Deliver(_) if self.is_done => Left::Little,
            _ => Left::Something,
        }
    }
}

impl State {
    /// The person's latest message or tap.
    pub fn heard_at(&self) -> Option<Timestamp> {
        self.last_inbound
    }

    /// The instant from which nothing may be sent, unless the person writes again; `None` where they
    /// have never written.
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.last_inbound.map(|at| at + WINDOW - WINDOW_RESERVE)
    }

    /// Whether the person has asked to be left alone: no campaign writes to them, whatever they
    /// comment.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some_and(|stop| self.started_at.is_none_or(|start| start <= stop))
    }

    /// Until when a human has taken the thread over, if that is after `now`: no campaign writes to the
    /// person.
    pub fn taken_over_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.human_until.filter(|&until| now < until)
    }

    /// Whether the next message has to begin with the account's disclosure: it is the first one, the
    /// first in [`DISCLOSURE_LAPSE`], or the first after a human has had the thread.
    pub(super) fn needs_disclosure(&self, now: Timestamp) -> bool {
        let is_since_human = |at: Timestamp| self.human_until.is_none_or(|until| until <= at);
        let holds = |Disclosed { at, .. }| now < at + DISCLOSURE_LAPSE && is_since_human(at);
        !self.disclosed.is_some_and(holds)
    }

    /// The instant from which the item is not needed any more; `None` where it is kept for ever,
    /// because the person has asked to be left alone.
    pub fn expires_at(&self) -> Option<Timestamp> {
        if self.is_stopped() {
            return None;
        }
        let runs = self.runs.iter().map(|run| run.begun_at + CONVERSATION_KEPT);
        let dropped = self.dropped_until.map(|at| at + CONVERSATION_KEPT);
        let window = self.last_inbound.map(|at| at + WINDOW);
        // A webhook may tell of a STOP late, which a START has undone.
        let started = self.started_at.map(|at| at + CONVERSATION_KEPT);
        let disclosed = self.disclosed.map(|disclosed| disclosed.at + DISCLOSURE_LAPSE);
        let others = [dropped, window, self.human_until, started, disclosed];
        runs.chain(others.into_iter().flatten()).max().or(Some(Timestamp::EPOCH))
    }

    /// What is left once the person is forgotten: whoever has asked to be left alone still is.
    pub fn forgotten(&self) -> Option<Self> {
        self.is_stopped().then(|| Self { stopped_at: self.stopped_at, ..Self::default() })
    }

    /// The follow-ups that were made and are still to come.
    pub fn follow_ups(&self) -> Vec<(CampaignId, StepKey)> {
        let of_run = |run: &Run| {
            let keys = run.follow_ups.iter().filter_map(|due| due.key(run.origin));
            keys.map(|key| (run.campaign.clone(), key)).collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_run).collect()
    }

    /// The keys under which the latest messages of the latest conversations may have been made. Most
    /// of them were not.
    pub fn latest_keys<'t>(
        &self,
        person: &RecipientId,
        then: impl Fn(&CampaignId) -> Option<&'t Then>,
    ) -> Vec<OnceKey> {
        let keys_of = |run: &Run| {
            let Run { origin, attempts, reads, .. } = *run;
            let steps = then(&run.campaign).map(Then::steps).unwrap_or_default();
            let key = |step, attempt| StepKey { origin, step, attempt }.once_key(person);
            let latest = |count: u8| count.saturating_sub(LATEST_SENDS) + 1..=count;
            let mut keys = vec![key(Step::Opening, 0)];
            for attempt in latest(attempts) {
                keys.extend(steps.iter().map(|&step| key(step, attempt)));
            }
            keys.extend(latest(reads).map(|nth| gate_key(person, origin, nth)));
            keys
        };
        let latest = self.runs.iter().rev().take(LATEST_RUNS);
        latest.flat_map(keys_of).collect()
    }

    /// How far the conversations have come whose opening was sent, but for those of a campaign that
    /// was removed.
    pub fn progress(&self) -> impl Iterator<Item = Progress<'_>> {
        let begun = self.runs.iter().filter(|run| run.place != Place::Ended);
        begun.map(|run| Progress {
            campaign: &run.campaign,
            origin: run.origin,
            begun_at: run.begun_at,
            has_answered: run.place > Place::Answer,
            has_passed_gate: run.place > Place::Follow,
            has_clicked: run.has_clicked,
            place: run.place.as_str(),
            since: run.since,
        })
    }

    /// Returns the campaign of a conversation.
    pub fn campaign_of(&self, origin: Origin) -> Option<&CampaignId> {
        self.runs.iter().find(|run| run.origin == origin).map(|run| &run.campaign)
    }

    /// Whether any of its conversations may still wait for the person.
    pub fn is_waiting(&self) -> bool {
        self.runs.iter().any(|run| !run.is_over())
    }

    /// Raises the end of the window.
    pub(super) fn hear(&mut self, at: Timestamp) {
        self.last_inbound = self.last_inbound.max(Some(at));
    }

    /// Whether a conversation has used this message.
    pub fn has_used(&self, id: &str) -> bool {
        self.used.contains(&seed(&[id]))
    }

    /// Notes that a conversation has used this message.
    pub(super) fn use_up(&mut self, id: &str) {
        self.used.push(seed(&[id]));
        let surplus = self.used.len().saturating_sub(USED_MAX);
        self.used.drain(..surplus);
    }

    /// Where this conversation is among all.
    pub(super) fn position(&self, campaign: &CampaignId, origin: Origin) -> Option<usize> {
        self.runs.iter().position(|run| run.is(campaign, origin))
    }

    /// Whether a conversation that began then may have been known before, and dropped.
    pub(super) fn may_have_dropped(&self, begun_at: Timestamp, now: Timestamp) -> bool {
        let begun_at = whole_minute(begun_at);
        let is_dropped = self.dropped_until.is_some_and(|until| begun_at <= until);
        is_dropped || begun_at + CONVERSATION_KEPT <= now
    }

    /// Adds a conversation, and returns those that it takes the place of.
    pub(super) fn add(&mut self, run: Run) -> Vec<Run> {
        let mut dropped = Vec::new();
        while self.runs.len() >= RUNS_MAX {
            let rank = |(_, run): &(usize, &Run)| (run.left(), run.begun_at);
            let Some((at, _)) = self.runs.iter().enumerate().min_by_key(rank) else { break };
            dropped.push(self.drop_run(at));
        }
        self.runs.push(run);
        dropped
    }

    /// Drops conversations that are too old for anything.
    pub(super) fn drop_old(&mut self, now: Timestamp) {
        self.runs.retain(|run| now < run.begun_at + CONVERSATION_KEPT);
    }

    fn drop_run(&mut self, at: usize) -> Run {
        let run = self.runs.remove(at);
        self.dropped_until = self.dropped_until.max(Some(run.begun_at));
        run
    }
}

fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_secs(at.as_secs() / 60 * 60)
}

/// The stored form of a [`State`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredState(Stored);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "v")]
enum Stored {
    #[serde(rename = "1")]
    V1(StateV1),
    /// A form that this version does not know.
    #[serde(other)]
    Newer,
}

/// Why a stored state cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A newer version of Spillway has written it. It is left as it is, and nothing is sent.
    #[error("a newer version of Spillway has written this conversation")]
    Newer,
    /// It has a campaign's id, or a number of conversations, that no version writes.
    #[error("the conversation is larger than any that is written")]
    TooLarge,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct StateV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inbound: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unheard: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    human: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disclosed: Option<Disclosed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<RunV1>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RunV1 {
    campaign: CampaignId,
    origin: u64,
    begun: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyword: Option<u64>,
    place: Place,
    #[serde(default, skip_serializing_if = "is_false")]
    undone: bool,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "is_zero")]
    attempts: u8,
    #[serde(default, skip_serializing_if = "is_zero")]
    asks: u8,
    #[serde(default, skip_serializing_if = "is_zero")]
    reads: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reading: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_false")]
    clicked: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    due: Vec<Due>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u8) -> bool {
    *value == 0
}

impl From<&State> for StoredState {
    fn from(state: &State) -> Self {
        let run = |run: &Run| RunV1 {
            campaign: run.campaign.clone(),
            origin: run.origin.as_u64(),
            begun: run.begun_at,
            keyword: run.keyword,
            place: run.place,
            undone: !run.is_done,
            since: run.since,
            attempts: run.attempts,
            asks: run.asks,
            reads: run.reads,
            reading: run.reading_since,
            clicked: run.has_clicked,
            due: run.follow_ups.clone(),
        };
        Self(Stored::V1(StateV1 {
            inbound: state.last_inbound,
            unheard: state.unheard_at,
            stop: state.stopped_at,
            start: state.started_at,
            human: state.human_until,
            disclosed: state.disclosed,
            dropped: state.dropped_until,
            used: state.used.clone(),
            runs: state.runs.iter().map(run).collect(),
        }))
    }
}

impl TryFrom<StoredState> for State {
    type Error = StateError;

    fn try_from(stored: StoredState) -> Result<Self, StateError> {
        let Stored::V1(stored) = stored.0 else { return Err(StateError::Newer) };
        let run = |run: RunV1| Run {
            campaign: run.campaign,
            origin: Origin::from_u64(run.origin),
            begun_at: run.begun,
            keyword: run.keyword,
            place: run.place,
            is_done: !run.undone,
            since: run.since,
            attempts: run.attempts,
            asks: run.asks,
            reads: run.reads,
            reading_since: run.reading,
            has_clicked: run.clicked,
            follow_ups: run.due,
        };
        let is_large = |run: &RunV1| {
            run.campaign.as_str().len() > CAMPAIGN_BYTES_MAX || run.due.len() > FOLLOW_UPS_MAX
        };
        if stored.runs.len() > RUNS_MAX
            || stored.used.len() > USED_MAX
            || stored.runs.iter().any(is_large)
        {
            return Err(StateError::TooLarge);
        }
        Ok(Self {
            last_inbound: stored.inbound,
            unheard_at: stored.unheard,
            stopped_at: stored.stop,
            started_at: stored.start,
            human_until: stored.human,
            disclosed: stored.disclosed,
            dropped_until: stored.dropped,
            used: stored.used,
            runs: stored.runs.into_iter().map(run).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_020);
    const MINUTE: Duration = Duration::from_secs(60);

    fn run(nth: u64) -> Run {
        Run::new("guide".into(), Origin::from_u64(nth), NOW + MINUTE * nth as u32)
    }

    /// The largest state that can be.
    fn largest() -> State {
        let at = Some(Timestamp::NEVER);
        let run = |nth: usize| Run {
            keyword: Some(u64::MAX),
            place: Place::Deliver(255),
            is_done: false,
            since: Timestamp::NEVER,
            attempts: 255,
            asks: 255,
            reads: 255,
            reading_since: at,
            has_clicked: true,
            follow_ups: (0..FOLLOW_UPS_MAX)
                .map(|_| Due { nth: 255, at: Timestamp::NEVER, attempt: Some(255) })
                .collect(),
            // Each quotation mark takes two bytes of JSON.
            ..Run::new(
                "\"".repeat(CAMPAIGN_BYTES_MAX).as_str().into(),
                Origin::from_u64(u64::MAX - nth as u64),
                Timestamp::NEVER,
            )
        };
        State {
            last_inbound: at,
            unheard_at: at,
            stopped_at: at,
            started_at: at,
            human_until: at,
            disclosed: Some(Disclosed { by: u64::MAX, at: Timestamp::NEVER }),
            dropped_until: at,
            used: vec![u64::MAX; USED_MAX],
            runs: (0..RUNS_MAX).map(run).collect(),
        }
    }

    #[test]
    fn a_state_is_stored_and_read_and_is_bounded() {
        for state in [State::default(), largest()] {
            let text = serde_json::to_string(&StoredState::from(&state)).unwrap();
            assert!(text.len() <= STATE_BYTES_MAX, "{}", text.len());
            let stored: StoredState = serde_json::from_str(&text).unwrap();
            assert_eq!(State::try_from(stored), Ok(state));
        }
        let mut state = State::default();
        state.add(run(1));
        state.hear(NOW);
        let stored = serde_json::to_value(StoredState::from(&state)).unwrap();
        assert_eq!(
            stored,
            json!({
                "v": "1",
                "inbound": 1_795_000_020_000_u64,
                "runs": [{
                    "campaign": "guide", "origin": 1, "begun": 1_795_000_080_000_u64,
                    "place": "answer", "since": 1_795_000_080_000_u64,
                }],
            })
        );
    }

    #[test]
    fn the_first_form_is_read_for_ever() {
        let stored = json!({
            "v": "1", "inbound": 1, "unheard": 2, "stop": 3, "start": 4, "human": 5, "dropped": 6,
            "used": [7],
            "runs": [
                { "campaign": "a", "origin": 8, "begun": 9, "keyword": 10,
                  "place": { "deliver": 11 }, "undone": true, "since": 12, "attempts": 13,
                  "asks": 14, "reads": 15, "reading": 16, "clicked": true,
                  "due": [{ "nth": 17, "at": 18, "attempt": 19 }, { "nth": 20, "at": 21 }] },
                { "campaign": "b", "origin": 1, "begun": 1, "place": "answer", "since": 1 },
                { "campaign": "c", "origin": 1, "begun": 1, "place": "follow", "since": 1 },
                { "campaign": "d", "origin": 1, "begun": 1, "place": "email", "since": 1 },
                { "campaign": "e", "origin": 1, "begun": 1, "place": "delivered", "since": 1 },
                { "campaign": "f", "origin": 1, "begun": 1, "place": "ended", "since": 1 },
            ],
        });
        // Since there are disclosures, it tells of the latest one.
        let mut disclosed = stored.clone();
        disclosed["disclosed"] = json!({ "by": 22, "at": 23 });
        for stored in [stored, disclosed] {
            let read: StoredState = serde_json::from_value(stored.clone()).unwrap();
            let state = State::try_from(read).unwrap();
            assert_eq!(serde_json::to_value(StoredState::from(&state)).unwrap(), stored);
        }
    }

    #[test]
    fn a_newer_form_is_refused_by_name_and_a_damaged_one_is_an_error() {
        let read = |value| serde_json::from_value::<StoredState>(value).map(State::try_from);
        let newer = json!({ "v": "2", "runs": "in another form" });
        assert_eq!(read(newer).unwrap(), Err(StateError::Newer));
        assert!(read(json!({ "runs": [] })).is_err(), "no version");
        assert!(read(json!({ "v": "1", "runs": 7 })).is_err());
        let many = json!({ "v": "1", "used": vec![1; USED_MAX + 1] });
        assert_eq!(read(many).unwrap(), Err(StateError::TooLarge));
    }

    #[test]
    fn the_window_only_ever_rises() {
        let mut state = State::default();
        assert_eq!(state.closes_at(), None);
        state.hear(NOW);
        state.hear(NOW - MINUTE);
        assert_eq!(state.closes_at(), Some(NOW + WINDOW - WINDOW_RESERVE));
    }

    #[test]
    fn the_latest_of_stop_and_start_counts_in_whatever_order_they_come() {
        let state = |stop: Option<u32>, start: Option<u32>| State {
            stopped_at: stop.map(|at| NOW + MINUTE * at),
            started_at: start.map(|at| NOW + MINUTE * at),
            ..State::default()
        };
        assert!(!state(None, None).is_stopped() && !state(None, Some(1)).is_stopped());
        assert!(state(Some(1), None).is_stopped() && state(Some(2), Some(1)).is_stopped());
        assert!(!state(Some(1), Some(2)).is_stopped());
        assert!(state(Some(1), Some(1)).is_stopped(), "in doubt, they are left alone");
        assert_eq!(state(Some(1), None).expires_at(), None, "a STOP is kept");
        assert!(state(Some(1), Some(2)).expires_at().is_some());
    }

    #[test]
    fn a_disclosure_holds_for_a_week_or_until_a_human_has_written() {
        let mut state = State::default();
        assert!(state.needs_disclosure(NOW));
        state.disclosed = Some(Disclosed { by: 1, at: NOW });
        let ends_at = NOW + DISCLOSURE_LAPSE;
        assert!(!state.needs_disclosure(ends_at - MINUTE) && state.needs_disclosure(ends_at));
        assert_eq!(state.expires_at(), Some(ends_at), "it is known for as long as it holds");
        state.human_until = Some(NOW);
        assert!(!state.needs_disclosure(NOW + MINUTE), "the human was before it");
        state.human_until = Some(NOW + MINUTE);
        assert!(state.needs_disclosure(NOW + MINUTE));
    }

    #[test]
    fn the_oldest_that_is_over_makes_room_and_is_not_taken_up_again() {
        let mut state = State::default();
        for nth in 0..RUNS_MAX as u64 {
            assert!(state.add(run(nth)).is_empty());
        }
        for nth in [5, 3] {
            state.runs[nth].place = Place::Delivered;
        }
        let dropped = state.add(run(50));
        assert_eq!(dropped.len(), 1);
        assert_eq!(dropped[0].origin, Origin::from_u64(3));
        assert!(state.may_have_dropped(NOW + 3 * MINUTE, NOW));
        assert!(!state.may_have_dropped(NOW + 4 * MINUTE, NOW));
        assert_eq!(state.add(run(51))[0].origin, Origin::from_u64(5));
        assert_eq!(state.add(run(52))[0].origin, Origin::from_u64(0), "none is over");
        assert_eq!(state.runs.len(), RUNS_MAX);
        assert!(state.may_have_dropped(NOW + 99 * MINUTE, NOW + CONVERSATION_KEPT + 99 * MINUTE));
    }
}
