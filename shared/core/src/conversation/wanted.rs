//! Whether a message that waits is still to be sent. Its sender asks right before the call, so that
//! what the person, or a human, has done since it was made counts, whether or not it was cancelled.

use super::machine::{keyword_hash, place_of};
use super::payload::{Origin, Step, StepKey};
use super::state::{Due, Place, Run, State};
use crate::campaign::Campaign;
use crate::id::CampaignId;
use crate::time::Timestamp;

/// Why a message that waits is not to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// The person has asked to be left alone.
    Stopped,
    /// A human has taken the thread over, until this instant.
    TakenOver(Timestamp),
    /// The conversation has moved on without it.
    Overtaken,
    /// Nothing shows that the person's window is open.
    WindowClosed,
}

impl State {
    /// Whether a message may begin a conversation now.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_begin(&self, now: Timestamp) -> Result<(), Unwanted> {
        if self.is_stopped() {
            return Err(Unwanted::Stopped);
        }
        self.taken_over_until(now).map_or(Ok(()), |until| Err(Unwanted::TakenOver(until)))
    }

    /// Whether a message that nobody has asked for may be sent now, and until when.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_reach_out(&self, now: Timestamp) -> Result<Timestamp, Unwanted> {
        self.may_begin(now)?;
        self.closes_at().filter(|&closes_at| now < closes_at).ok_or(Unwanted::WindowClosed)
    }

    /// Whether a message of a conversation is still to be sent. A message of the delivery always
    /// is: what the person has asked for is owed to them. Of several follow-ups that are late, only the
    /// last one is, since nobody wants two reminders at once.
    ///
    /// # Errors
    /// Says why not.
    pub fn wants(
        &self,
        campaign: &CampaignId,
        key: StepKey,
        now: Timestamp,
    ) -> Result<(), Unwanted> {
        self.may_begin(now)?;
        let wants = |run: &Run| match key.step {
            Step::FollowUp(nth) => {
                let is_it = |due: &Due| due.nth == nth && due.attempt == Some(key.attempt);
                let is_next = |due: &Due| due.nth > nth && due.attempt.is_some() && due.at <= now;
                run.follow_ups.iter().any(is_it) && !run.follow_ups.iter().any(is_next)
            }
            Step::Deliver(_) => run.place >= place_of(key.step) && run.place != Place::Ended,
            step => run.place == place_of(step) && run.attempts == key.attempt,
        };
        let run = self.position(campaign, key.origin).map(|index| &self.runs[index]);
        if run.is_some_and(wants) { Ok(()) } else { Err(Unwanted::Overtaken) }
    }

    /// The number of the read of the profile that a conversation waits for, if it does.
    pub fn reading(&self, campaign: &CampaignId, origin: Origin) -> Option<u8> {
        let run = &self.runs[self.position(campaign, origin)?];
        (run.place == Place::Follow && run.reading_since.is_some()).then_some(run.reads)
    }

    /// When a conversation began, to the minute.
    pub fn begun_at(&self, campaign: &CampaignId, origin: Origin) -> Option<Timestamp> {
        Some(self.runs[self.position(campaign, origin)?].begun_at)
    }

    /// The keyword that began a conversation, if its campaign still has it.
    pub fn keyword<'a>(&self, campaign: &'a Campaign, origin: Origin) -> Option<&'a str> {
        let run = &self.runs[self.position(&campaign.id, origin)?];
        let is_it = |word: &&String| Some(keyword_hash(word)) == run.keyword;
        campaign.keywords.iter().find(is_it).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::{WINDOW, WINDOW_RESERVE};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn at(place: Place) -> (State, impl Fn(Step, u8) -> StepKey) {
        let origin = Origin::new("17890000000000001");
        let mut run = Run::new("guide".into(), origin, NOW);
        (run.place, run.attempts) = (place, 2);
        run.follow_ups = vec![Due { nth: 1, at: NOW, attempt: Some(2) }];
        let state = State { runs: vec![run], ..State::default() };
        (state, move |step, attempt| StepKey { origin, step, attempt })
    }

    #[test]
    fn a_question_is_wanted_while_it_is_the_newest_one() {
        let (state, key) = at(Place::Email);
        let wants = |step, attempt| state.wants(&"guide".into(), key(step, attempt), NOW);
        assert_eq!(wants(Step::EmailAsk, 2), Ok(()));
        assert_eq!(wants(Step::EmailAsk, 1), Err(Unwanted::Overtaken));
        assert_eq!(wants(Step::FollowAsk, 2), Err(Unwanted::Overtaken));
        let of_another = state.wants(&"other".into(), key(Step::EmailAsk, 2), NOW);
        assert_eq!(of_another, Err(Unwanted::Overtaken));
    }

    #[test]
    fn a_delivery_is_owed_and_a_follow_up_may_be_dropped() {
        let (mut state, key) = at(Place::Delivered);
        let wants = |state: &State, step| state.wants(&"guide".into(), key(step, 2), NOW);
        assert_eq!(wants(&state, Step::Deliver(0)), Ok(()));
        assert_eq!(wants(&state, Step::FollowUp(1)), Ok(()));
        state.runs[0].follow_ups.clear();
        assert_eq!(wants(&state, Step::FollowUp(1)), Err(Unwanted::Overtaken));
        state.runs[0].place = Place::Ended;
        assert_eq!(wants(&state, Step::Deliver(0)), Err(Unwanted::Overtaken));
    }

    #[test]
    fn of_two_late_follow_ups_the_last_one_goes() {
        let (mut state, key) = at(Place::Delivered);
        let hour = std::time::Duration::from_secs(3600);
        state.runs[0].follow_ups.push(Due { nth: 2, at: NOW + hour, attempt: Some(2) });
        let wants = |state: &State, nth, now| {
            state.wants(&"guide".into(), key(Step::FollowUp(nth), 2), now).is_ok()
        };
        let just_before = NOW + hour - std::time::Duration::from_millis(1);
        assert!(wants(&state, 1, just_before));
        assert!(!wants(&state, 1, NOW + hour) && wants(&state, 2, NOW + hour));
        state.runs[0].follow_ups[1].attempt = None;
        assert!(wants(&state, 1, NOW + hour), "the window closes before the other one");
    }

    #[test]
    fn nothing_is_wanted_after_a_stop_or_while_a_human_writes() {
        let (state, key) = at(Place::Delivered);
        let until = NOW + super::super::TAKEOVER;
        let taken_over = State { human_until: Some(until), ..state.clone() };
        let stopped = State { stopped_at: Some(NOW), ..state };
        let wants = |state: &State| state.wants(&"guide".into(), key(Step::Deliver(0), 1), NOW);
        assert_eq!(wants(&stopped), Err(Unwanted::Stopped));
        assert_eq!(stopped.may_begin(NOW), Err(Unwanted::Stopped));
        assert_eq!(wants(&taken_over), Err(Unwanted::TakenOver(until)));
        assert_eq!(taken_over.may_begin(until), Ok(()));
    }

    #[test]
    fn nobody_is_written_to_unasked_outside_a_window_that_is_known() {
        let mut state = State::default();
        assert_eq!(state.may_reach_out(NOW), Err(Unwanted::WindowClosed));
        state.hear(NOW);
        let closes_at = NOW + WINDOW - WINDOW_RESERVE;
        assert_eq!(state.may_reach_out(NOW), Ok(closes_at));
        assert_eq!(state.may_reach_out(closes_at), Err(Unwanted::WindowClosed));
        let until = NOW + super::super::TAKEOVER;
        let taken_over = State { human_until: Some(until), ..state.clone() };
        assert_eq!(taken_over.may_reach_out(NOW), Err(Unwanted::TakenOver(until)));
        let stopped = State { stopped_at: Some(NOW), ..state };
        assert_eq!(stopped.may_reach_out(NOW), Err(Unwanted::Stopped));
    }

    #[test]
    fn a_read_is_known_while_it_is_awaited() {
        let (mut state, key) = at(Place::Follow);
        let origin = key(Step::FollowAsk, 1).origin;
        assert_eq!(state.reading(&"guide".into(), origin), None);
        (state.runs[0].reads, state.runs[0].reading_since) = (3, Some(NOW));
        assert_eq!(state.reading(&"guide".into(), origin), Some(3));
        let begun_at = state.begun_at(&"guide".into(), origin).unwrap();
        assert_eq!(begun_at.as_secs() % 60, 0);
    }
}
