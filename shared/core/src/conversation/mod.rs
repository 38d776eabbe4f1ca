//! Conversations: what follows a campaign's opening, step by step, with one person.
//!
//! The order is fixed, and each part is optional: opening, answer, follow gate, e-mail address,
//! delivery, follow-ups. A graph of steps could say more, and nobody could prove what it does.
//!
//! [`step`] is the only door: a [`State`], an [`Event`] and a [`Context`] give the next state, the
//! [`Effect`]s, and what became of the event. It does nothing itself. Whoever calls it stores the
//! state first, on its version, and then does the effects.
//!
//! | module | contents |
//! |---|---|
//! | `then` | what a campaign's file says, and what is wrong with it |
//! | `event` | what happens, what is to be done, what is counted |
//! | `machine` | the steps |
//! | `state` | what is kept of one person, its stored form, its bounds, when it expires |
//! | `payload` | what a button carries, and the keys by which a message is sent once |
//! | `wanted` | whether a message that waits is still to be sent |
//! | `stop_words` | the words that end and restart everything |
//! | `email` | the address in an answer |
//!
//! What always holds, under events that come late, twice, in any order or not at all:
//!
//! - A message of a conversation is sent at most once, unless it is certain that it was not.
//! - Nothing is sent outside the 24 hours after the person's last message or tap, after a STOP until
//!   a START, or while a human has taken the thread over.
//! - A message begins with the account's disclosure if the person has had none for a while. One counts
//!   as given unless it is certain that it was not.
//! - A lost event costs its step until the person acts again.
//! - No text of the person's is kept, and no payload names them.
//!
//! There is no event for a campaign that is paused or changed: each step looks at the campaigns as
//! they are at that instant.
//!
//! # One conversation
//!
//! ```
//! use std::time::Duration;
//!
//! use spillway_core::campaign::{Campaign, Campaigns};
//! use spillway_core::conversation::{
//!     BegunBy, Context, Effect, Event, Follows, Origin, Settings, State, Step, Then, step,
//! };
//! use spillway_core::time::Timestamp;
//!
//! let mut campaign: Campaign = serde_json::from_value(serde_json::json!({
//!     "id": "guide", "keywords": ["guide"], "messages": ["Answer YES and I'll send it"],
//! }))?;
//! campaign.then = serde_json::from_value(serde_json::json!({
//!     "answer": ["yes"],
//!     "follow": { "ask": ["Follow me first, then tap the button"], "button": "I follow" },
//!     "deliver": [{ "text": "Here it is!" }],
//! }))?;
//! let (campaigns, settings) = (Campaigns::new([campaign]), Settings::default());
//! let mut state = State::default();
//! let mut now = Timestamp::from_secs(1_795_000_000);
//! let mut tell = |event: Event| {
//!     now = now + Duration::from_secs(10);
//!     let context = Context { campaigns: &campaigns, settings: &settings, now, seed: 1 };
//!     let next = step(&state, &event, &context);
//!     state = next.state;
//!     (now, next.effects)
//! };
//!
//! // A comment got the opening. It opens no window, so nothing follows yet.
//! let (guide, origin) = ("guide".into(), Origin::new("17890000000000001"));
//! let (begun_by, keyword) = (BegunBy::Comment, Some("guide".to_owned()));
//! let at = Timestamp::from_secs(1_795_000_000);
//! let (at, effects) = tell(Event::OpeningSent { campaign: guide, origin, begun_by, keyword, at });
//! assert!(effects.is_empty());
//!
//! // The person answers: now their profile may be read.
//! let at = at + Duration::from_secs(5);
//! let (_, effects) = tell(Event::Message { id: "mid1".into(), text: "Yes please!".into(), at });
//! let [Effect::ReadFollow { campaign, origin, nth }] = &effects[..] else { panic!() };
//! let (campaign, origin, nth) = (campaign.clone(), *origin, *nth);
//!
//! // They do not follow, and are asked to.
//! let read = Event::FollowRead { campaign: campaign.clone(), origin, nth, follows: Follows::No };
//! let (at, effects) = tell(read);
//! let [Effect::Send(ask)] = &effects[..] else { panic!() };
//! assert_eq!(ask.key.step, Step::FollowAsk);
//!
//! // They follow and tap five times, and their profile is read afresh, once.
//! let tap = Event::Tap { payload: ask.payload.encode(), at: at + Duration::from_secs(8) };
//! let (_, effects) = tell(tap.clone());
//! assert_eq!(effects, [Effect::ReadFollow { campaign: campaign.clone(), origin, nth: 2 }]);
//! for _ in 0..4 {
//!     assert!(tell(tap.clone()).1.is_empty());
//! }
//! let read = Event::FollowRead { campaign, origin, nth: 2, follows: Follows::Yes };
//! let (_, effects) = tell(read);
//! let [Effect::Send(delivery)] = &effects[..] else { panic!() };
//! assert_eq!(delivery.key.step, Step::Deliver(0));
//! assert_eq!(delivery.keyword.as_deref(), Some("guide"));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod email;
mod event;
mod machine;
mod payload;
mod state;
mod stop_words;
mod then;
mod wanted;

pub use self::email::Email;
pub use self::event::{
    BegunBy, Context, Effect, Event, Follows, Outcome, Report, Settings, StepSend, TAKEOVER,
};
pub use self::machine::{Transition, step};
pub use self::payload::{
    CAMPAIGN_BYTES_MAX, Origin, Payload, PayloadError, Step, StepKey, gate_key,
};
pub use self::state::{
    CONVERSATION_KEPT, DISCLOSURE_LAPSE, FOLLOW_UPS_MAX, Progress, RUNS_MAX, STATE_BYTES_MAX,
    State, StateError, StoredState, WINDOW, WINDOW_RESERVE,
};
pub use self::stop_words::{Command, StopWords};
pub use self::then::{
    DELIVERIES_MAX, EmailQuestion, FollowGate, FollowUp, Then, ThenError, Unknown, Unless,
};
pub use self::wanted::Unwanted;
