//! The model: what may be done, decided by going through everything that was ever told. It keeps no
//! state of a conversation, and shares no code with the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spillway_core::campaign::{Campaign, Running};
use spillway_core::conversation::{
    BegunBy, Effect, Event, Follows, Origin, Payload, STATE_BYTES_MAX, Step, StepKey, StepSend,
    Unknown, Unless,
};
use spillway_core::send::Lane;
use spillway_core::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);

/// Everything that was told and done.
#[derive(Default)]
pub(crate) struct Judge {
    told: Vec<(Timestamp, Event)>,
    done: Vec<(Timestamp, Effect)>,
}

impl Judge {
    /// Looks at one step.
    pub(crate) fn look(
        &mut self,
        now: Timestamp,
        event: &Event,
        effects: &[Effect],
        campaigns: &[(Campaign, Running)],
        stored: &str,
    ) {
        assert!(stored.len() <= STATE_BYTES_MAX, "{} bytes", stored.len());
        for words in ["yes", "@", "Follow me", "whatever"] {
            assert!(!stored.contains(words), "the state has what was written: {stored}");
        }
        let (was_stopped, was_taken) = (self.is_stopped(), self.is_taken_over(now));
        let open: Vec<StepSend> = self.open_follow_ups(now, campaigns);
        self.told.push((now, event.clone()));
        if self.is_stopped() && !was_stopped || self.is_taken_over(now) && !was_taken {
            assert!(effects.contains(&Effect::CancelAll), "what waits is cancelled at {event:?}");
        }
        for send in &open {
            if self.is_kept_back(send, campaigns) {
                let cancel = Effect::Cancel { campaign: send.campaign.clone(), key: send.key };
                let is_over = effects.contains(&cancel) || effects.contains(&Effect::CancelAll);
                assert!(is_over, "{:?} is cancelled", send.key);
            }
        }
        for effect in effects {
            self.allow(now, effect, campaigns);
            self.done.push((now, effect.clone()));
        }
        self.check_counts(campaigns);
    }

    fn allow(&self, now: Timestamp, effect: &Effect, campaigns: &[(Campaign, Running)]) {
        match effect {
            Effect::Send(send) => self.allow_send(now, send, campaigns),
            Effect::ReadFollow { campaign, origin, .. } => {
                assert!(!self.is_stopped() && !self.is_taken_over(now), "a read while left alone");
                assert!(self.last_act(now).is_some(), "a read before the person has written");
                assert!(self.is_begun(campaign.as_str(), *origin), "a read of nothing begun");
            }
            Effect::StoreEmail { campaign, origin, email } => {
                let was_asked = self.sends().any(|send| {
                    send.campaign == *campaign
                        && send.key.origin == *origin
                        && send.key.step == Step::EmailAsk
                });
                let has_said = self.told.iter().any(|(_, event)| {
                    matches!(event, Event::Message { text, .. }
                        if text.to_lowercase().contains(email.as_str()))
                });
                assert!(was_asked && has_said, "an address that was not asked for or told");
            }
            Effect::Cancel { key, .. } => {
                assert!(self.sends().any(|send| send.key == *key), "{key:?} was never made");
            }
            Effect::CancelAll => assert!(self.is_stopped() || self.is_taken_over(now)),
        }
    }

    fn allow_send(&self, now: Timestamp, send: &StepSend, campaigns: &[(Campaign, Running)]) {
        let StepSend { campaign, key, payload, not_before, deadline, .. } = send;
        assert!(!self.is_stopped(), "{key:?} after a STOP");
        assert!(!self.is_taken_over(now), "{key:?} while a human has taken over");
        let closes = self.last_act(now).expect("a send before the person has written") + DAY;
        let earliest = not_before.unwrap_or(now);
        assert!(now < *deadline && earliest <= *deadline, "{key:?} can never go");
        assert!(*deadline + Duration::from_secs(300) <= closes, "{key:?} outside the window");
        assert_eq!((payload.campaign(), payload.key()), (campaign, *key));
        assert_eq!(Payload::decode(&payload.encode()).as_ref(), Ok(payload));
        assert!(self.is_begun(campaign.as_str(), key.origin), "{key:?} of nothing that has begun");
        let is_follow_up = matches!(key.step, Step::FollowUp(_));
        assert_eq!(send.class.lane == Lane::FollowUp, is_follow_up);
        let found = campaigns.iter().find(|(known, _)| known.id == *campaign);
        let (found, running) = found.expect("a send of a campaign that is gone");
        assert!(is_follow_up || *running == Running::Active, "{key:?} of a paused campaign");
        let then = found.then.as_ref().unwrap();
        assert!(!then.messages(key.step).is_empty(), "{key:?} has no text");
        if self.sends().any(|known| known.key == *key && known.campaign == *campaign) {
            panic!("{key:?} is sent twice");
        }
        let (mine, origin) = (campaign.as_str(), key.origin);
        match key.step {
            Step::FollowAsk => {
                let has_said_no = self.reads(mine, origin).any(|follows| follows != Follows::Yes);
                assert!(has_said_no, "asked to follow without a read");
            }
            Step::Deliver(_) | Step::EmailAsk => {
                // A tap on a later button shows that the gate was passed before.
                let is_passed = then.follow.as_ref().is_none_or(|gate| {
                    self.reads(mine, origin).any(|follows| match follows {
                        Follows::Yes => true,
                        Follows::Unknown => gate.unknown != Unknown::Skip,
                        Follows::No => false,
                    })
                });
                assert!(is_passed || self.has_tapped_later(mine, origin), "{key:?} past the gate");
            }
            Step::EmailAgain => {
                assert!(self.sends().any(|known| {
                    known.campaign == *campaign
                        && known.key.origin == origin
                        && known.key.step == Step::EmailAsk
                }));
            }
            Step::FollowUp(nth) => {
                let follow_up = &then.follow_up[usize::from(nth)];
                let delivered = self.delivered(send, then.deliver.len());
                let delivered = delivered.expect("a follow-up before the delivery");
                assert!(earliest >= delivered + follow_up.after, "a follow-up before its time");
                assert!(!self.is_kept_back(send, campaigns), "{key:?} was not to be sent");
            }
            Step::Opening => panic!("the opening is not a step of the conversation"),
        }
    }

    /// Each step is sent as often as allowed, those that were shown not to be sent aside.
    fn check_counts(&self, campaigns: &[(Campaign, Running)]) {
        let mut counts: BTreeMap<(&str, Origin, Step), usize> = BTreeMap::new();
        for send in self.sends().filter(|send| !self.is_not_sent(send)) {
            *counts.entry((send.campaign.as_str(), send.key.origin, send.key.step)).or_default() +=
                1;
        }
        for ((campaign, _, step), count) in counts {
            let found = campaigns.iter().find(|(known, _)| known.id.as_str() == campaign);
            let Some(then) = found.and_then(|(known, _)| known.then.as_ref()) else { continue };
            let allowed = match step {
                // What the campaign has no longer was allowed then.
                Step::FollowAsk => then.follow.as_ref().map_or(5, |gate| gate.tries.into()),
                Step::EmailAgain => then.email.as_ref().map_or(5, |email| email.tries.into()),
                _ => 1,
            };
            assert!(count <= allowed, "{campaign} {step:?}: {count} of {allowed}");
        }
    }

    pub(crate) fn sends(&self) -> impl Iterator<Item = &StepSend> {
        self.done.iter().filter_map(|(_, effect)| match effect {
            Effect::Send(send) => Some(send),
            _ => None,
        })
    }

    fn is_not_sent(&self, send: &StepSend) -> bool {
        self.told.iter().any(|(_, event)| {
            matches!(event, Event::NotSent { campaign, key }
                if *campaign == send.campaign && *key == send.key)
        })
    }

    /// The latest act of the person that was told: the instant that opens the window.
    fn last_act(&self, now: Timestamp) -> Option<Timestamp> {
        let acts = self.told.iter().filter_map(|(told_at, event)| match event {
            Event::Message { at, .. } | Event::Tap { at, .. } => Some((*at).min(*told_at)),
            Event::OpeningSent { begun_by: BegunBy::Message(at), .. } => Some((*at).min(*told_at)),
            _ => None,
        });
        acts.filter(|at| *at <= now).max()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let latest = |wanted: &[&str]| {
            let at = self.told.iter().filter_map(|(told_at, event)| match event {
                Event::Message { text, at, .. } if wanted.contains(&text.as_str()) => {
                    Some((*at).min(*told_at))
                }
                _ => None,
            });
            at.max()
        };
        let (stop, start) = (latest(&["STOP", " Stop. ", "arrêt"]), latest(&["START"]));
        stop.is_some_and(|stop| start.is_none_or(|start| stop >= start))
    }

    fn is_taken_over(&self, now: Timestamp) -> bool {
        self.told.iter().any(|(told_at, event)| match event {
            Event::HumanWrote { at } => now < (*at).min(*told_at) + HALF_A_DAY,
            _ => false,
        })
    }

    fn is_begun(&self, campaign: &str, origin: Origin) -> bool {
        self.told.iter().any(|(_, event)| match event {
            Event::OpeningSent { campaign: known, origin: of, .. } => {
                known.as_str() == campaign && *of == origin
            }
            Event::Tap { payload, .. } => Payload::decode(payload).is_ok_and(|payload| {
                payload.campaign().as_str() == campaign && payload.key().origin == origin
            }),
            _ => false,
        })
    }

    fn has_tapped_later(&self, campaign: &str, origin: Origin) -> bool {
        self.told.iter().any(|(_, event)| {
            let Event::Tap { payload, .. } = event else { return false };
            Payload::decode(payload).is_ok_and(|payload| {
                payload.campaign().as_str() == campaign
                    && payload.key().origin == origin
                    && payload.key().step > Step::FollowAsk
            })
        })
    }

    fn reads<'a>(
        &'a self,
        campaign: &'a str,
        origin: Origin,
    ) -> impl Iterator<Item = Follows> + 'a {
        self.told.iter().filter_map(move |(_, event)| match event {
            Event::FollowRead { campaign: known, origin: of, follows, .. }
                if known.as_str() == campaign && *of == origin =>
            {
                Some(*follows)
            }
            _ => None,
        })
    }

    /// The earliest instant at which the last message of the delivery is known to have arrived.
    fn delivered(&self, send: &StepSend, messages: usize) -> Option<Timestamp> {
        let is_last = |key: &StepKey| is_end(key, send.key.origin, messages);
        let arrivals = self.told.iter().filter_map(|(told_at, event)| match event {
            Event::Sent { campaign, key, at, .. } if *campaign == send.campaign && is_last(key) => {
                Some((*at).min(*told_at))
            }
            Event::Tap { payload, at } => {
                let payload = Payload::decode(payload).ok()?;
                (*payload.campaign() == send.campaign && is_last(&payload.key()))
                    .then_some((*at).min(*told_at))
            }
            _ => None,
        });
        arrivals.min()
    }

    /// Whether the person has done what keeps a follow-up from being sent.
    fn is_kept_back(&self, send: &StepSend, campaigns: &[(Campaign, Running)]) -> bool {
        let Step::FollowUp(nth) = send.key.step else { return false };
        let found = campaigns.iter().find(|(known, _)| known.id == send.campaign);
        let Some(then) = found.and_then(|(known, _)| known.then.as_ref()) else { return true };
        // Any delivery time that was told will do here: one that comes second changes nothing.
        let Some(first) = self.first_seen(send, then.deliver.len()) else { return false };
        match then.follow_up[usize::from(nth)].unless {
            Unless::Never => false,
            Unless::Clicked => self.told.iter().any(|(_, event)| {
                matches!(event, Event::Clicked { campaign, origin }
                    if *campaign == send.campaign && *origin == send.key.origin)
            }),
            Unless::Answered => self.told.iter().any(|(told_at, event)| match event {
                Event::Message { at, .. } | Event::Tap { at, .. } => (*at).min(*told_at) > first,
                _ => false,
            }),
        }
    }

    /// From when on the delivery may have been seen, by the event that was told first.
    fn first_seen(&self, send: &StepSend, messages: usize) -> Option<Timestamp> {
        let is_last = |key: &StepKey| is_end(key, send.key.origin, messages);
        self.told.iter().find_map(|(told_at, event)| match event {
            Event::Sent { campaign, key, at, seen_from }
                if *campaign == send.campaign && is_last(key) =>
            {
                Some((*at).min(*told_at).min(*seen_from))
            }
            Event::Tap { payload, at } => {
                let payload = Payload::decode(payload).ok()?;
                (*payload.campaign() == send.campaign && is_last(&payload.key()))
                    .then_some((*at).min(*told_at))
            }
            _ => None,
        })
    }

    /// Follow-ups that were made, and neither cancelled nor reported, nor kept back before.
    fn open_follow_ups(&self, now: Timestamp, campaigns: &[(Campaign, Running)]) -> Vec<StepSend> {
        let mut open: Vec<StepSend> = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, effect) in &self.done {
            match effect {
                Effect::Send(send) if matches!(send.key.step, Step::FollowUp(_)) => {
                    assert!(seen.insert((send.campaign.as_str(), send.key)));
                    open.push(send.clone());
                }
                Effect::Cancel { campaign, key } => {
                    open.retain(|send| send.campaign != *campaign || send.key != *key);
                }
                Effect::CancelAll => open.clear(),
                _ => {}
            }
        }
        open.retain(|send| {
            let may_wait = now < send.deadline && !self.is_not_sent(send);
            may_wait && !self.is_kept_back(send, campaigns)
        });
        open
    }
}

/// Whether it is the last message of a delivery of so many, or one that the campaign had before.
fn is_end(key: &StepKey, origin: Origin, messages: usize) -> bool {
    let is_late = matches!(key.step, Step::Deliver(nth) if usize::from(nth) + 1 >= messages);
    key.origin == origin && is_late
}
