//! An account with campaigns, and the conversation with one person, told event by event. The judge
//! looks at each step.

use std::time::Duration;

use serde_json::json;
use spillway_core::campaign::{Campaign, Campaigns, Running};
use spillway_core::conversation::{
    BegunBy, Context, Effect, Event, Origin, Outcome, Settings, State, StepSend, StoredState, Then,
    Transition, step,
};
use spillway_core::id::CampaignId;
use spillway_core::time::Timestamp;

use crate::judge::Judge;

pub(crate) const START: Timestamp = Timestamp::from_secs(1_795_000_000);

/// The campaigns that the tests play.
pub(crate) fn scripts() -> Vec<(&'static str, serde_json::Value)> {
    let ask = json!(["Follow me first"]);
    vec![
        (
            "full",
            json!({
                "answer": ["yes"],
                "follow": { "ask": ask, "button": "I follow", "tries": 2 },
                "email": { "ask": ["Which e-mail?"], "again": ["That is none"], "tries": 1 },
                "deliver": [{ "text": "Here" }],
                "follow_up": [
                    { "after": "1h", "messages": ["Read it?"] },
                    { "after": "2h", "messages": ["Opened it?"], "unless": "clicked" },
                    { "after": "20h", "messages": ["Bye"], "unless": "never" },
                ],
            }),
        ),
        ("any", json!({ "deliver": [{ "text": "One" }, { "text": "Two" }, { "text": "Three" }] })),
        (
            "ask",
            json!({
                "follow": { "ask": ask, "button": "I follow", "tries": 1, "unknown": "ask" },
                "deliver": [{ "text": "Here", "buttons": [{ "title": "Thanks" }] }],
                "follow_up": [{ "after": "3h", "messages": ["Read it?"] }],
            }),
        ),
        (
            "skip",
            json!({
                "answer": ["go"],
                "follow": { "ask": ask, "button": "I follow", "unknown": "skip" },
                "email": { "ask": ["Which e-mail?"], "tries": 0 },
            }),
        ),
    ]
}

pub(crate) fn then(fields: serde_json::Value) -> Then {
    let then: Then = serde_json::from_value(fields).unwrap();
    assert_eq!(then.faults(), []);
    then
}

pub(crate) fn campaign(id: &str, then: Then) -> Campaign {
    let fields = json!({ "id": id, "keywords": [id], "messages": ["Hi"] });
    let campaign: Campaign = serde_json::from_value(fields).unwrap();
    Campaign { then: Some(then), ..campaign }
}

/// The conversation with one person.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) state: State,
    pub(crate) all: Vec<(Campaign, Running)>,
    pub(crate) settings: Settings,
    pub(crate) judge: Judge,
    /// Messages that were to be sent, in the order of their effects.
    pub(crate) sends: Vec<StepSend>,
    mids: u32,
}

impl World {
    pub(crate) fn new(scripts: Vec<(&str, serde_json::Value)>) -> Self {
        let all = scripts
            .into_iter()
            .map(|(id, fields)| (campaign(id, then(fields)), Running::Active))
            .collect();
        let (state, settings) = (State::default(), Settings::default());
        let judge = Judge::default();
        Self { now: START, state, all, settings, judge, sends: Vec::new(), mids: 0 }
    }

    /// A campaign `guide` of its own.
    pub(crate) fn guide(fields: serde_json::Value) -> Self {
        Self::new(vec![("guide", fields)])
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Tells an event, and returns what follows.
    pub(crate) fn tell(&mut self, event: &Event) -> (Vec<Effect>, Outcome) {
        let campaigns = Campaigns::as_they_run(self.all.iter().cloned());
        let (settings, now) = (&self.settings, self.now);
        let context = Context { campaigns: &campaigns, settings, now, seed: 7 };
        let Transition { state, effects, outcome } = step(&self.state, event, &context);
        let stored = serde_json::to_string(&StoredState::from(&state)).unwrap();
        let read: StoredState = serde_json::from_str(&stored).unwrap();
        assert_eq!(State::try_from(read).as_ref(), Ok(&state), "what is stored is read");
        self.judge.look(now, event, &effects, &self.all, &stored);
        assert!(state.closes_at() >= self.state.closes_at(), "the window only rises");
        self.state = state;
        self.sends.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Send(send) => Some(send.clone()),
            _ => None,
        }));
        (effects, outcome)
    }

    pub(crate) fn opening(&mut self, campaign: &str, origin: &str) -> (Vec<Effect>, Outcome) {
        let at = self.now;
        self.tell(&opening(campaign, origin, BegunBy::Comment, at))
    }

    pub(crate) fn says(&mut self, text: &str) -> (Vec<Effect>, Outcome) {
        let event = self.message(text, self.now);
        self.tell(&event)
    }

    /// A new message of the person's.
    pub(crate) fn message(&mut self, text: &str, at: Timestamp) -> Event {
        self.mids += 1;
        Event::Message { id: format!("mid{}", self.mids), text: text.into(), at }
    }

    /// The person taps the button of a message.
    pub(crate) fn taps(&mut self, send: &StepSend) -> (Vec<Effect>, Outcome) {
        let at = self.now;
        self.tell(&Event::Tap { payload: send.payload.encode(), at })
    }

    pub(crate) fn last_send(&self) -> StepSend {
        self.sends.last().unwrap().clone()
    }
}

pub(crate) fn opening(campaign: &str, origin: &str, begun_by: BegunBy, at: Timestamp) -> Event {
    let (campaign, keyword) = (CampaignId::new(campaign), Some(campaign.to_owned()));
    Event::OpeningSent { campaign, origin: Origin::new(origin), begun_by, keyword, at }
}

/// The answer to the read that was asked for.
pub(crate) fn read_of(effect: &Effect, follows: spillway_core::conversation::Follows) -> Event {
    let Effect::ReadFollow { campaign, origin, nth } = effect else {
        panic!("{effect:?} is no read")
    };
    Event::FollowRead { campaign: campaign.clone(), origin: *origin, nth: *nth, follows }
}
