//! The conversation as a pure function: the state, an event and what is set give the next state, what
//! is to be done, and what became of the event.
//!
//! Three rules make it safe under events that are late, out of order, repeated or lost:
//!
//! - A conversation knows since when it waits. What the person did before is no answer, so a message
//!   that is told twice, or a button that is tapped five times, counts once.
//! - A step is either done or not. What was not done, because the window was closed, the campaign
//!   paused or its send cancelled, is done when the person acts again.
//! - Each send has a number of its own, so it is known by its key however often it is asked for.

use std::time::Duration;

use super::email::Email;
use super::event::{BegunBy, Context, Effect, Event, Follows, Outcome, Report, StepSend};
use super::payload::{CAMPAIGN_BYTES_MAX, Origin, Payload, PayloadError, Step, StepKey};
use super::state::{Disclosed, Due, FOLLOW_UPS_MAX, Place, Run, State, WINDOW};
use super::stop_words::Command;
use super::then::{Then, Unknown, Unless};
use crate::campaign::Phase;
use crate::id::CampaignId;
use crate::seed::seed;
use crate::send::Class;
use crate::time::{Timestamp, millis};

/// Within this time after a message of ours, a tap on an older button, or a message that does not
/// answer it, belongs to what the person did before: five taps within three seconds are one.
const BURST: Duration = Duration::from_secs(3);

/// How long the answer of a read is awaited before the profile is read again.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// How long a message of the delivery is awaited before the next one follows without it.
const SEND_PATIENCE: Duration = Duration::from_secs(600);

/// How long a conversation of a campaign that has ended goes on after its last step. Openings may
/// wait for days: people who answer one are not turned away because it came after the end.
const END_GRACE: Duration = Duration::from_secs(24 * 3600);

/// A follow-up that could not be sent at its time, because the window was closed, is given up so much
/// later.
const FOLLOW_UP_LATE: Duration = Duration::from_secs(3600);

/// The most by which a follow-up is spread, so that not all of a campaign go out at one instant; and not
/// by more than a tenth of what it waits for.
const JITTER: Duration = Duration::from_secs(600);

/// The most reads of a profile for one conversation.
const READS_MAX: u8 = 40;

/// The most sends of one conversation.
const ATTEMPTS_MAX: u8 = 60;

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The next state.
    pub state: State,
    /// What is to be done once the state is stored.
    pub effects: Vec<Effect>,
    /// What has become of the event.
    pub outcome: Outcome,
}

/// Takes one event.
pub fn step(state: &State, event: &Event, context: &Context<'_>) -> Transition {
    let mut machine =
        Machine { state: state.clone(), effects: Vec::new(), now: context.now, context };
    machine.state.drop_old(context.now);
    let outcome = machine.take(event);
    Transition { state: machine.state, effects: machine.effects, outcome }
}

struct Machine<'a> {
    state: State,
    effects: Vec<Effect>,
    now: Timestamp,
    context: &'a Context<'a>,
}

/// How it is known that a message has reached the person.
#[derive(Clone, Copy)]
enum Arrived {
    /// Its sender has told so.
    Told { at: Timestamp, seen_from: Timestamp },
    /// The person has tapped a button of it at this instant, which is an answer to it.
    Tapped(Timestamp),
}

/// Whether a conversation takes a message.
enum Offer {
    /// It does.
    Used(Outcome),
    /// Another one may.
    Free(Outcome),
}

impl<'a> Machine<'a> {
    fn take(&mut self, event: &Event) -> Outcome {
        match event {
            Event::OpeningSent { campaign, origin, begun_by, keyword, at } => {
                let mut run = Run::new(campaign.clone(), *origin, (*at).min(self.now));
                run.keyword = keyword.as_deref().map(keyword_hash);
                self.opening_sent(run, *begun_by)
            }
            Event::OpeningRefused { campaign, origin } => self.opening_refused(campaign, *origin),
            Event::Message { id, text, at } => self.message(id, text, (*at).min(self.now)),
            Event::Tap { payload, at } => self.tap(payload, (*at).min(self.now)),
            Event::FollowRead { campaign, origin, nth, follows } => {
                self.follow_read(campaign, *origin, *nth, *follows)
            }
            Event::Sent { campaign, key, at, seen_from } => {
                self.sent(campaign, *key, ((*at).min(self.now), *seen_from))
            }
            Event::NotSent { campaign, key } => self.not_sent(campaign, *key),
            Event::Calling { send } => self.calling(*send),
            Event::NotArrived { send } => self.not_arrived(*send),
            Event::HumanWrote { at } => self.human_wrote((*at).min(self.now)),
            Event::Clicked { campaign, origin } => self.clicked(campaign, *origin),
            Event::CampaignRemoved { campaign } => self.campaign_removed(campaign),
            Event::Timer => self.timer(),
        }
    }

    fn opening_sent(&mut self, run: Run, begun_by: BegunBy) -> Outcome {
        let (campaign, at) = (&run.campaign, run.since);
        let Some(then) = self.then(campaign) else { return Outcome::CampaignGone };
        if campaign.as_str().len() > CAMPAIGN_BYTES_MAX {
            return Outcome::CampaignGone;
        }
        if let BegunBy::Message(made_at) = begun_by {
            self.state.hear(made_at.min(self.now));
        }
        let index = match self.state.position(campaign, run.origin) {
            Some(index) if self.state.runs[index].place == Place::Ended => {
                self.state.runs[index].place = Place::Answer;
                index
            }
            Some(_) => return Outcome::Known,
            None if self.state.may_have_dropped(at, self.now) => return Outcome::TooOld,
            None => self.add(run),
        };
        // A message may be told before the opening that it answers.
        let has_answered = self.state.unheard_at.is_some_and(|heard| heard > at);
        let has_begun = matches!(begun_by, BegunBy::Message(_));
        if then.answer.is_empty() && (has_answered || has_begun) {
            return self.go_on(index, then);
        }
        Outcome::Noted
    }

    fn opening_refused(&mut self, campaign: &CampaignId, origin: Origin) -> Outcome {
        match self.state.position(campaign, origin) {
            Some(index) if self.state.runs[index].place == Place::Answer => {
                self.state.runs[index].place = Place::Ended;
                Outcome::Noted
            }
            _ => Outcome::Known,
        }
    }

    fn message(&mut self, id: &str, text: &str, at: Timestamp) -> Outcome {
        self.state.hear(at);
        match self.context.settings.stop_words.command(text) {
            Some(Command::Stop) => return self.stop(at),
            Some(Command::Start) => {
                let was_stopped = self.state.is_stopped();
                self.state.started_at = self.state.started_at.max(Some(at));
                if was_stopped && !self.state.is_stopped() {
                    return Outcome::Restarted;
                }
            }
            None => {}
        }
        self.has_answered(at);
        if let Some(outcome) = self.left_alone() {
            return outcome;
        }
        self.send_follow_ups();
        if self.state.has_used(id) {
            return Outcome::Known;
        }
        let mut newest_first: Vec<usize> = (0..self.state.runs.len()).collect();
        newest_first.sort_by_key(|&index| std::cmp::Reverse((self.state.runs[index].since, index)));
        let mut told = Outcome::NobodyWaits;
        for index in newest_first {
            match self.offer(index, text, at) {
                Offer::Used(outcome) => {
                    self.state.use_up(id);
                    return outcome;
                }
                Offer::Free(outcome) if told == Outcome::NobodyWaits => told = outcome,
                Offer::Free(_) => {}
            }
        }
        self.state.unheard_at = self.state.unheard_at.max(Some(at));
        told
    }

    /// Offers a message to a conversation.
    fn offer(&mut self, index: usize, text: &str, at: Timestamp) -> Offer {
        let run = &self.state.runs[index];
        if matches!(run.place, Place::Delivered | Place::Ended) || at <= run.since {
            return Offer::Free(Outcome::NobodyWaits);
        }
        let then = match self.usable(&run.campaign, run.since) {
            Ok(then) => then,
            Err(outcome) => return Offer::Free(outcome),
        };
        let is_burst = at <= run.since + BURST;
        let email = if run.place == Place::Email { Email::find(text) } else { None };
        match run.place {
            Place::Answer if then.accepts(text) => Offer::Used(self.go_on(index, then)),
            Place::Answer => Offer::Free(Outcome::NotAnAnswer),
            Place::Email if run.asks > 0 && email.is_some() => {
                let (campaign, origin) = (run.campaign.clone(), run.origin);
                self.effects.extend(email.map(|email| Effect::StoreEmail {
                    campaign,
                    origin,
                    email,
                }));
                Offer::Used(self.go_on(index, then))
            }
            _ if !run.is_done => Offer::Used(self.enter(index, then)),
            Place::Follow if run.reading_since.is_some() => Offer::Used(self.reread(index)),
            Place::Follow if is_burst => Offer::Used(Outcome::Known),
            Place::Follow => Offer::Used(self.read(index)),
            // A mistyped address is an answer, however soon.
            Place::Email if is_burst && !Email::is_tried(text) => Offer::Used(Outcome::Known),
            Place::Email => Offer::Used(self.ask_again(index, then)),
            Place::Deliver(nth) => match self.pass_over(index, nth, then) {
                Some(outcome) => Offer::Used(outcome),
                None => Offer::Free(Outcome::NobodyWaits),
            },
            Place::Delivered | Place::Ended => Offer::Free(Outcome::NobodyWaits),
        }
    }

    fn tap(&mut self, payload: &str, at: Timestamp) -> Outcome {
        self.state.hear(at);
        self.has_answered(at);
        if let Some(outcome) = self.left_alone() {
            return outcome;
        }
        self.send_follow_ups();
        let payload = match Payload::decode(payload) {
            Ok(payload) => payload,
            Err(PayloadError::NotOurs) => return Outcome::NotOurs,
            Err(PayloadError::UnknownVersion(_)) => return Outcome::UnknownVersion,
        };
        let (campaign, key) = (payload.campaign(), payload.key());
        let known = self.state.position(campaign, key.origin);
        let since = known.map_or(payload.begun_at(), |index| self.state.runs[index].since);
        let then = match self.usable(campaign, since) {
            Ok(then) => then,
            Err(outcome) => return outcome,
        };
        let index = match known {
            Some(index) => index,
            None if self.state.may_have_dropped(payload.begun_at(), self.now) => {
                return Outcome::TooOld;
            }
            None => self.add(Run::new(campaign.clone(), key.origin, payload.begun_at())),
        };
        self.tapped(index, key, at, then)
    }

    /// The person has tapped a button of a conversation, and so has its message.
    fn tapped(&mut self, index: usize, key: StepKey, at: Timestamp, then: &'a Then) -> Outcome {
        let tapped = place_of(key.step);
        let run = &mut self.state.runs[index];
        // What came before it has happened, whether or not that was told.
        let is_news = run.place < tapped;
        if is_news {
            run.place = tapped;
            run.is_done = true;
            run.asks = 1;
            run.reading_since = None;
            run.attempts = run.attempts.max(key.attempt);
        }
        match (run.place, tapped) {
            (Place::Ended, _) => Outcome::Known,
            (Place::Answer, Place::Answer) => self.go_on(index, then),
            (Place::Deliver(nth), Place::Deliver(tapped)) if nth == tapped => {
                self.delivered(index, Arrived::Tapped(at), then)
            }
            (Place::Delivered, _) if is_news => {
                run.since = at;
                Outcome::Noted
            }
            _ if !run.is_done => self.enter(index, then),
            (Place::Follow, Place::Follow) if run.reading_since.is_some() => self.reread(index),
            (Place::Follow, Place::Follow) => {
                // A tap on the newest ask answers it, however soon.
                let is_newest = key.attempt == run.attempts;
                let is_answer = at > run.since && (is_newest || at > run.since + BURST);
                if is_news || is_answer { self.read(index) } else { Outcome::Known }
            }
            (Place::Deliver(nth), _) => self.pass_over(index, nth, then).unwrap_or(Outcome::Known),
            _ => Outcome::Known,
        }
    }

    fn follow_read(
        &mut self,
        campaign: &CampaignId,
        origin: Origin,
        nth: u8,
        follows: Follows,
    ) -> Outcome {
        let Some(index) = self.state.position(campaign, origin) else { return Outcome::Known };
        let run = &mut self.state.runs[index];
        let is_asked = run.place == Place::Follow && run.reading_since.is_some();
        if !is_asked || run.reads != nth {
            return Outcome::Known;
        }
        run.reading_since = None;
        let asks = run.asks;
        if let Some(outcome) = self.must_wait(index) {
            return self.undone(index, outcome);
        }
        let Some(then) = self.then(campaign) else { return Outcome::CampaignGone };
        let Some(gate) = &then.follow else { return self.go_on(index, then) };
        let may_ask = asks < gate.tries;
        match (follows, gate.unknown) {
            (Follows::Yes, _) | (Follows::Unknown, Unknown::Deliver) => self.go_on(index, then),
            (Follows::Unknown, Unknown::Skip) => {
                self.state.runs[index].since = self.now;
                self.undone(index, Outcome::FollowUnknown)
            }
            (Follows::Unknown, Unknown::Ask) if !may_ask => self.go_on(index, then),
            (Follows::No | Follows::Unknown, _) if may_ask => {
                self.state.runs[index].asks += 1;
                self.send(index, Step::FollowAsk, Report::Failure)
            }
            (Follows::No | Follows::Unknown, _) => {
                self.state.runs[index].since = self.now;
                Outcome::NotFollowing
            }
        }
    }

    fn sent(
        &mut self,
        campaign: &CampaignId,
        key: StepKey,
        (at, seen_from): (Timestamp, Timestamp),
    ) -> Outcome {
        let Some(index) = self.state.position(campaign, key.origin) else { return Outcome::Known };
        let run = &self.state.runs[index];
        if run.place != place_of(key.step) || !matches!(run.place, Place::Deliver(_)) {
            return Outcome::Known;
        }
        match self.then(campaign) {
            Some(then) => self.delivered(index, Arrived::Told { at, seen_from }, then),
            None => Outcome::CampaignGone,
        }
    }

    /// The message of the delivery at which the conversation is has reached the person.
    fn delivered(&mut self, index: usize, arrived: Arrived, then: &'a Then) -> Outcome {
        self.move_on(index, then);
        if self.state.runs[index].place != Place::Delivered {
            return self.enter(index, then);
        }
        let (at, since, is_answered) = match arrived {
            Arrived::Told { at, seen_from } => {
                let since = seen_from.min(at);
                (at, since, self.state.last_inbound.is_some_and(|heard| heard > since))
            }
            Arrived::Tapped(at) => (at, at, true),
        };
        let run = &mut self.state.runs[index];
        (run.since, run.is_done) = (since, true);
        let may_come = |unless: Unless| match unless {
            Unless::Answered => !is_answered,
            Unless::Clicked => !run.has_clicked,
            Unless::Never => true,
        };
        let follow_ups = (0..).zip(&then.follow_up).filter(|(_, later)| may_come(later.unless));
        run.follow_ups = follow_ups
            .map(|(nth, later)| Due { nth, at: at + later.after, attempt: None })
            .take(FOLLOW_UPS_MAX)
            .collect();
        if self.left_alone().is_some() {
            self.state.runs[index].follow_ups.clear();
        }
        self.send_follow_ups();
        Outcome::Moved
    }

    fn not_sent(&mut self, campaign: &CampaignId, key: StepKey) -> Outcome {
        let Some(index) = self.state.position(campaign, key.origin) else { return Outcome::Known };
        let run = &mut self.state.runs[index];
        if let Step::FollowUp(nth) = key.step {
            let is_it = |due: &Due| due.nth == nth && due.attempt == Some(key.attempt);
            run.follow_ups.retain(|due| !is_it(due));
            return Outcome::Noted;
        }
        let is_last = run.is_done && run.attempts == key.attempt;
        if !is_last || run.place != place_of(key.step) {
            return Outcome::Known;
        }
        run.asks = run.asks.saturating_sub(1);
        // A read that is under way asks anew.
        run.is_done = run.reading_since.is_some();
        Outcome::Noted
    }

    /// A message that began with the disclosure does so again when it is repeated.
    fn calling(&mut self, send: u64) -> Outcome {
        if self.state.needs_disclosure(self.now) {
            self.state.disclosed = Some(Disclosed { by: send, at: self.now });
        }
        let is_its_own = self.state.disclosed.is_some_and(|disclosed| disclosed.by == send);
        if is_its_own { Outcome::Disclosing } else { Outcome::Known }
    }

    fn not_arrived(&mut self, send: u64) -> Outcome {
        match self.state.disclosed.take_if(|disclosed| disclosed.by == send) {
            Some(_) => Outcome::Noted,
            None => Outcome::Known,
        }
    }

    fn human_wrote(&mut self, at: Timestamp) -> Outcome {
        let until = at + self.context.settings.takeover;
        if until <= self.now {
            return Outcome::Known;
        }
        let was_taken_over = self.state.taken_over_until(self.now).is_some();
        self.state.human_until = self.state.human_until.max(Some(until));
        if !was_taken_over {
            self.cancel_all();
        }
        Outcome::TakenOver
    }

    fn stop(&mut self, at: Timestamp) -> Outcome {
        let was_stopped = self.state.is_stopped();
        self.state.stopped_at = self.state.stopped_at.max(Some(at));
        if !self.state.is_stopped() {
            // A START came later.
            return Outcome::Known;
        }
        if !was_stopped {
            self.cancel_all();
        }
        Outcome::Stopped
    }

    fn clicked(&mut self, campaign: &CampaignId, origin: Origin) -> Outcome {
        let Some(index) = self.state.position(campaign, origin) else { return Outcome::Known };
        if std::mem::replace(&mut self.state.runs[index].has_clicked, true) {
            return Outcome::Known;
        }
        self.drop_follow_ups(index, |unless| unless == Some(Unless::Clicked));
        Outcome::Noted
    }

    fn campaign_removed(&mut self, campaign: &CampaignId) -> Outcome {
        for index in 0..self.state.runs.len() {
            if self.state.runs[index].campaign == *campaign {
                self.drop_follow_ups(index, |_| true);
                self.state.runs[index].place = Place::Ended;
            }
        }
        Outcome::Noted
    }

    fn timer(&mut self) -> Outcome {
        if let Some(outcome) = self.left_alone() {
            return outcome;
        }
        self.send_follow_ups();
        let mut outcome = Outcome::Noted;
        for index in 0..self.state.runs.len() {
            let run = &self.state.runs[index];
            let is_stale = run.reading_since.is_some_and(|since| since + READ_PATIENCE <= self.now);
            if is_stale && self.usable(&run.campaign, run.since).is_ok() {
                outcome = self.reread(index);
            }
        }
        outcome
    }

    /// Moves a conversation to its next place, and does what is to be done there.
    fn go_on(&mut self, index: usize, then: &'a Then) -> Outcome {
        self.move_on(index, then);
        self.enter(index, then)
    }

    fn move_on(&mut self, index: usize, then: &Then) {
        let run = &mut self.state.runs[index];
        run.place = next_place(run.place, then);
        run.is_done = false;
        run.asks = 0;
        run.reading_since = None;
    }

    /// Does what is to be done where a conversation is.
    fn enter(&mut self, index: usize, then: &'a Then) -> Outcome {
        // The campaign may have changed since the conversation came here.
        while !has_place(self.state.runs[index].place, then) {
            self.move_on(index, then);
        }
        let run = &mut self.state.runs[index];
        let place = run.place;
        match place {
            Place::Answer | Place::Delivered | Place::Ended => {
                (run.is_done, run.since) = (true, self.now);
                Outcome::Moved
            }
            Place::Follow => self.read(index),
            Place::Email => {
                let step = if run.asks == 0 { Step::EmailAsk } else { Step::EmailAgain };
                run.asks += 1;
                let outcome = self.send(index, step, Report::Failure);
                self.unask(index, outcome)
            }
            Place::Deliver(nth) => {
                let is_last = next_place(place, then) == Place::Delivered;
                let is_followed = !is_last || !then.follow_up.is_empty();
                let report = if is_followed { Report::End } else { Report::Failure };
                self.send(index, Step::Deliver(nth), report)
            }
        }
    }

    /// Asks again for an address, or goes on without one.
    fn ask_again(&mut self, index: usize, then: &'a Then) -> Outcome {
        let tries = then.email.as_ref().map_or(0, |question| question.tries);
        if self.state.runs[index].asks > tries {
            return self.go_on(index, then);
        }
        self.state.runs[index].asks += 1;
        let outcome = self.send(index, Step::EmailAgain, Report::Failure);
        self.unask(index, outcome)
    }

    /// Does not count an ask that was not sent.
    fn unask(&mut self, index: usize, outcome: Outcome) -> Outcome {
        if outcome != Outcome::Moved {
            let run = &mut self.state.runs[index];
            run.asks = run.asks.saturating_sub(1);
        }
        outcome
    }

    /// Reads the profile.
    fn read(&mut self, index: usize) -> Outcome {
        if let Some(outcome) = self.must_wait(index) {
            return self.undone(index, outcome);
        }
        let run = &mut self.state.runs[index];
        if run.reads >= READS_MAX {
            return Outcome::TooMany;
        }
        run.reads += 1;
        run.is_done = true;
        run.reading_since = Some(self.now);
        let (campaign, origin, nth) = (run.campaign.clone(), run.origin, run.reads);
        self.effects.push(Effect::ReadFollow { campaign, origin, nth });
        Outcome::Moved
    }

    /// Reads the profile again if the last read seems to be lost.
    fn reread(&mut self, index: usize) -> Outcome {
        let since = self.state.runs[index].reading_since;
        let is_lost = since.is_none_or(|since| since + READ_PATIENCE <= self.now);
        if is_lost { self.read(index) } else { Outcome::Known }
    }

    /// Goes on with the delivery if nobody has told for long what became of this message of it; `None`
    /// if that is still awaited, or it is the last one.
    fn pass_over(&mut self, index: usize, nth: u8, then: &'a Then) -> Option<Outcome> {
        let is_late = self.state.runs[index].since + SEND_PATIENCE <= self.now;
        let has_next = usize::from(nth) + 1 < then.deliver.len();
        (is_late && has_next).then(|| self.go_on(index, then))
    }

    /// Sends a message at once, within the window.
    fn send(&mut self, index: usize, step: Step, report: Report) -> Outcome {
        if let Some(outcome) = self.must_wait(index) {
            return self.undone(index, outcome);
        }
        let Some(deadline) = self.state.closes_at() else { return Outcome::WindowClosed };
        let Some(key) = self.number(index, step) else { return Outcome::TooMany };
        let run = &mut self.state.runs[index];
        run.is_done = true;
        run.since = self.now;
        self.push_send(index, key, Class::ANSWER, None, deadline, report);
        Outcome::Moved
    }

    fn number(&mut self, index: usize, step: Step) -> Option<StepKey> {
        let run = &mut self.state.runs[index];
        if run.attempts >= ATTEMPTS_MAX {
            return None;
        }
        run.attempts += 1;
        Some(StepKey { origin: run.origin, step, attempt: run.attempts })
    }

    fn push_send(
        &mut self,
        index: usize,
        key: StepKey,
        class: Class,
        not_before: Option<Timestamp>,
        deadline: Timestamp,
        report: Report,
    ) {
        let Run { campaign, origin, begun_at, .. } = &self.state.runs[index];
        // A conversation of a campaign with a longer id does not begin.
        let Some(payload) = Payload::new(campaign, key, *begun_at) else { return };
        let found = self.context.campaigns.get(campaign);
        let keyword = found.and_then(|found| self.state.keyword(found, *origin));
        let keyword = keyword.map(str::to_owned);
        let campaign = campaign.clone();
        let send =
            StepSend { campaign, key, payload, keyword, class, not_before, deadline, report };
        self.effects.push(Effect::Send(send));
    }

    /// Leaves the step to be done when the person acts again.
    fn undone(&mut self, index: usize, outcome: Outcome) -> Outcome {
        self.state.runs[index].is_done = false;
        outcome
    }

    /// Sends the follow-ups whose time is within the window, each not before its time.
    fn send_follow_ups(&mut self) {
        if self.must_not_write().is_some() {
            return;
        }
        let Some(closes_at) = self.state.closes_at() else { return };
        for index in 0..self.state.runs.len() {
            let now = self.now;
            let is_missed = |due: &Due| match due.attempt {
                None => due.at + FOLLOW_UP_LATE < now,
                // It was sent, or its deadline has passed.
                Some(_) => due.at + WINDOW < now,
            };
            self.state.runs[index].follow_ups.retain(|due| !is_missed(due));
            for at in 0..self.state.runs[index].follow_ups.len() {
                let due = self.state.runs[index].follow_ups[at];
                if due.attempt.is_some() || due.at > closes_at {
                    continue;
                }
                let step = Step::FollowUp(due.nth);
                let Some(key) = self.number(index, step) else { continue };
                self.state.runs[index].follow_ups[at].attempt = Some(key.attempt);
                let from = due.at.max(now);
                let waits = due.at.since(self.state.runs[index].since);
                let spread = closes_at.since(from).min(JITTER).min(waits / 10);
                let text = format!("{key:?}");
                let draw = seed(&[&self.context.seed.to_string(), &text]) % (millis(spread) + 1);
                let not_before = Some(from + Duration::from_millis(draw));
                let class = Class::FOLLOW_UP;
                self.push_send(index, key, class, not_before, closes_at, Report::Failure);
            }
        }
    }

    /// The person has written or tapped: what waits for the lack of it does not come.
    fn has_answered(&mut self, at: Timestamp) {
        for index in 0..self.state.runs.len() {
            let run = &self.state.runs[index];
            if run.place == Place::Delivered && at > run.since {
                self.drop_follow_ups(index, |unless| unless == Some(Unless::Answered));
            }
        }
    }

    /// Drops follow-ups by what keeps them from being sent, and cancels those that were made.
    fn drop_follow_ups(&mut self, index: usize, is_dropped: impl Fn(Option<Unless>) -> bool) {
        let campaign = self.state.runs[index].campaign.clone();
        let then = self.then(&campaign);
        let unless = |due: &Due| {
            let later = then.and_then(|then| then.follow_up.get(usize::from(due.nth)));
            later.map(|later| later.unless)
        };
        let run = &mut self.state.runs[index];
        let (dropped, kept) = std::mem::take(&mut run.follow_ups)
            .into_iter()
            .partition(|due| is_dropped(unless(due)));
        run.follow_ups = kept;
        let dropped: Vec<Due> = dropped;
        let keys = dropped.into_iter().filter_map(|due| due.key(run.origin));
        self.effects.extend(keys.map(|key| Effect::Cancel { campaign: campaign.clone(), key }));
    }

    fn cancel_all(&mut self) {
        for run in &mut self.state.runs {
            run.follow_ups.clear();
        }
        self.effects.push(Effect::CancelAll);
    }

    /// Adds a conversation, and cancels what those have left that make room for it.
    fn add(&mut self, run: Run) -> usize {
        for dropped in self.state.add(run) {
            let keys = dropped.follow_ups.iter().filter_map(|due| due.key(dropped.origin));
            let campaign = &dropped.campaign;
            self.effects.extend(keys.map(|key| Effect::Cancel { campaign: campaign.clone(), key }));
        }
        self.state.runs.len() - 1
    }

    /// Whether the person is left alone, and why.
    fn left_alone(&self) -> Option<Outcome> {
        if self.state.is_stopped() {
            return Some(Outcome::Stopped);
        }
        self.state.taken_over_until(self.now).map(|_| Outcome::TakenOver)
    }

    /// Whether nothing may be done for a conversation now, and why.
    fn must_wait(&self, index: usize) -> Option<Outcome> {
        let run = &self.state.runs[index];
        self.must_not_write().or_else(|| self.usable(&run.campaign, run.since).err())
    }

    /// Whether nothing may be sent to the person now, and why.
    fn must_not_write(&self) -> Option<Outcome> {
        let is_open = self.state.closes_at().is_some_and(|closes_at| self.now < closes_at);
        self.left_alone().or((!is_open).then_some(Outcome::WindowClosed))
    }

    fn then(&self, campaign: &CampaignId) -> Option<&'a Then> {
        self.context.campaigns.get(campaign).and_then(|campaign| campaign.then.as_ref())
    }

    /// Returns what follows in a campaign whose conversations go on. `since` is the instant of the
    /// conversation's last step.
    fn usable(&self, campaign: &CampaignId, since: Timestamp) -> Result<&'a Then, Outcome> {
        let campaigns = self.context.campaigns;
        let then = self.then(campaign).ok_or(Outcome::CampaignGone)?;
        if campaigns.is_paused(campaign) {
            return Err(Outcome::CampaignPaused);
        }
        let phase = campaigns.period(campaign).map(|period| period.phase(self.now));
        if phase == Some(Phase::Over) && since + END_GRACE < self.now {
            return Err(Outcome::CampaignOver);
        }
        Ok(then)
    }
}

pub(super) fn keyword_hash(keyword: &str) -> u64 {
    seed(&["keyword", keyword])
}

/// Where a conversation is after a message.
pub(super) fn place_of(step: Step) -> Place {
    match step {
        Step::Opening => Place::Answer,
        Step::FollowAsk => Place::Follow,
        Step::EmailAsk | Step::EmailAgain => Place::Email,
        Step::Deliver(nth) => Place::Deliver(nth),
        Step::FollowUp(_) => Place::Delivered,
    }
}

/// The place after this one.
fn next_place(place: Place, then: &Then) -> Place {
    let next = match place {
        Place::Answer => Place::Follow,
        Place::Follow => Place::Email,
        Place::Email => Place::Deliver(0),
        Place::Deliver(nth) => Place::Deliver(nth.saturating_add(1)),
        Place::Delivered => Place::Delivered,
        Place::Ended => Place::Ended,
    };
    match next {
        Place::Deliver(_) if !has_place(next, then) => Place::Delivered,
        _ if has_place(next, then) => next,
        _ => next_place(next, then),
    }
}

/// Whether a campaign has such a place.
fn has_place(place: Place, then: &Then) -> bool {
    match place {
        Place::Follow => then.follow.is_some(),
        Place::Email => then.email.is_some(),
        Place::Deliver(nth) => usize::from(nth) < then.deliver.len(),
        Place::Answer | Place::Delivered | Place::Ended => true,
    }
}
