//! Outbound runs: a campaign is sent by hand to a list of people. This decides which of them may be
//! written to.
//!
//! What is known of a person's window is the instant of their last message or tap, as a webhook has
//! told it. It is kept for people in conversations. Nobody's thread is read for a run, since a read
//! costs as much as a message. So a person who is not known to have written is left out.

use std::fmt;

use crate::campaign::{Campaign, Campaigns, Phase};
use crate::conversation::{Origin, State, Step, StepKey, Unwanted};
use crate::id::{AccountId, CampaignId, OnceKey, RecipientId, SendId};
use crate::message::Template;
use crate::once::{Answers, Known, OncePer, Told};
use crate::send::{Address, Class, Content, PendingSend, Turn};
use crate::time::Timestamp;

/// The longest name of a run, in characters.
pub const RUN_CHARS_MAX: usize = 64;

/// One run of a campaign. Each person gets it once, however often it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    account: &'a AccountId,
    campaign: &'a Campaign,
    name: &'a str,
}

/// Why a campaign is not sent by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// There is none of that name.
    #[error("there is no such campaign")]
    Unknown,
    /// It is paused.
    #[error("campaign `{0}` is paused: `spillway campaign resume` ends that")]
    Paused(CampaignId),
    /// Its `starts` is to come.
    #[error("campaign `{0}` has not begun: move its `starts`")]
    NotBegun(CampaignId),
    /// Its `ends` has passed.
    #[error("campaign `{0}` is over: move its `ends`")]
    Over(CampaignId),
    /// A message has a name without a fallback, and no webhook of a message tells the name.
    #[error(
        "campaign `{0}`: no comment tells the names of these people: write `{{username}}` with a \
         fallback, as in `{{username|there}}`"
    )]
    Nameless(CampaignId),
}

/// What is known of a person.
#[derive(Clone, Copy, Debug)]
pub struct KnownPerson<'a> {
    /// What is kept of conversations with them.
    pub state: &'a State,
    /// What they were answered, if anything.
    pub answered: Option<&'a Answers>,
    /// Whether an earlier try of this run has recorded a send to them.
    pub is_in_run: bool,
    /// When they were forgotten, as long as that is known.
    pub forgotten_at: Option<Timestamp>,
}

/// Why a person is left out of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// An earlier try of the run has recorded a send to them.
    InRun,
    /// The campaign gives each person one message (`once_per = "campaign"`), and they have it.
    HasCampaign,
    /// They have asked to be left alone.
    Stopped,
    /// A human has their thread until this instant.
    TakenOver(Timestamp),
    /// They were forgotten, and are not known to have written since.
    Forgotten,
    /// They are not known to have written within 24 hours.
    NoWindow,
    /// Their window closes at this instant, before it would be their turn.
    TooLate(Timestamp),
}

impl LeftOut {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InRun => "in_run",
            Self::HasCampaign => "has_campaign",
            Self::Stopped => "stopped",
            Self::TakenOver(_) => "taken_over",
            Self::Forgotten => "forgotten",
            Self::NoWindow => "no_window",
            Self::TooLate(_) => "too_late",
        }
    }

    /// The end of the takeover or of the window.
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::TakenOver(at) | Self::TooLate(at) => Some(at),
            _ => None,
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InRun => "this run has a send for them; another --run reaches them again",
            Self::HasCampaign => "they have the campaign, which has `once_per = \"campaign\"`",
            Self::Stopped => "they wrote STOP",
            Self::TakenOver(_) => "a human has their thread",
            Self::Forgotten => "they were forgotten, and have not written since",
            Self::NoWindow => "not known to have written within 24 hours",
            Self::TooLate(_) => "their window closes before it would be their turn",
        })
    }
}

impl<'a> Run<'a> {
    /// The run `name` of a campaign. A campaign that gives each person one message has one run,
    /// whatever it is called.
    ///
    /// # Errors
    /// Says why the campaign cannot be sent at `now`.
    pub fn new(
        account: &'a AccountId,
        campaigns: &'a Campaigns,
        campaign: &CampaignId,
        name: &'a str,
        now: Timestamp,
    ) -> Result<Self, RunError> {
        let campaign = campaigns.get(campaign).ok_or(RunError::Unknown)?;
        let id = || campaign.id.clone();
        if campaigns.is_paused(&campaign.id) {
            return Err(RunError::Paused(id()));
        }
        match campaigns.period(&campaign.id).map(|period| period.phase(now)) {
            Some(Phase::Before) => return Err(RunError::NotBegun(id())),
            Some(Phase::Over) => return Err(RunError::Over(id())),
            Some(Phase::Open) | None => {}
        }
        if campaign.messages.iter().any(Template::needs_name) {
            return Err(RunError::Nameless(id()));
        }
        let name = if campaign.once_per == Some(OncePer::Campaign) { "" } else { name };
        Ok(Self { account, campaign, name })
    }

    /// The account that sends it.
    pub const fn account(&self) -> &AccountId {
        self.account
    }

    /// Its campaign.
    pub const fn campaign(&self) -> &Campaign {
        self.campaign
    }

    /// The key of its send to a person.
    pub fn key(&self, person: &RecipientId) -> OnceKey {
        let origin = Origin::of_run(&self.campaign.id, self.name);
        StepKey { origin, step: Step::Opening, attempt: 0 }.once_key(person)
    }

    /// Returns the send to a person, which waits for a slot. Its deadline is a while before their
    /// window closes. Nobody has written a keyword: it tells the campaign's first one.
    ///
    /// # Errors
    /// Says why there is none. Whether it would come too late is for a forecast to say.
    pub fn send_to(
        &self,
        person: &RecipientId,
        known: KnownPerson<'_>,
        now: Timestamp,
    ) -> Result<PendingSend, LeftOut> {
        if known.is_in_run {
            return Err(LeftOut::InRun);
        }
        let deadline = known.state.may_reach_out(now).map_err(|unwanted| match unwanted {
            Unwanted::Stopped => LeftOut::Stopped,
            Unwanted::TakenOver(until) => LeftOut::TakenOver(until),
            _ if known.forgotten_at.is_some() => LeftOut::Forgotten,
            Unwanted::WindowClosed | Unwanted::Overtaken => LeftOut::NoWindow,
        })?;
        let key = self.key(person);
        let told = Told { campaign: &self.campaign.id, media: None, event: key.as_str() };
        let is_answered = |answered: &Answers| {
            matches!(answered.known(&told, OncePer::Campaign, now), Known::Person(_))
        };
        let once = self.campaign.once_per == Some(OncePer::Campaign);
        if once && known.answered.is_some_and(is_answered) {
            return Err(LeftOut::HasCampaign);
        }
        let origin = Origin::of_run(&self.campaign.id, self.name);
        let id = SendId { account: self.account.clone(), key };
        let content = Content::opening(self.campaign.id.clone());
        let to = Address::Person(person.clone());
        Ok(PendingSend {
            order: self.campaign.overflow,
            keyword: self.campaign.keywords.first().cloned(),
            turn: Some(Turn { origin, nth: 0, begun_at: now }),
            ..PendingSend::new(id, Class::OUTBOUND, content, to, now, deadline)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::active_hours::Zone;
    use crate::budget::Budget;
    use crate::campaign::{Overflow, Running};
    use crate::conversation::{Context, Event, Settings, WINDOW, WINDOW_RESERVE, step};
    use crate::forecast::{Expected, forecast};
    use crate::once::{Nth, Once};
    use crate::pace::Cursor;
    use crate::rules::Rules;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn campaigns(fields: serde_json::Value) -> Campaigns {
        let mut campaign = json!({ "id": "news", "keywords": ["news"], "messages": ["News!"] });
        let fields = fields.as_object().unwrap().clone();
        campaign.as_object_mut().unwrap().extend(fields);
        Campaigns::new([serde_json::from_value(campaign).unwrap()])
    }

    /// What is kept of somebody who has written this.
    fn state(text: &str, at: Timestamp) -> State {
        let (campaigns, settings) = (Campaigns::default(), Settings::default());
        let event = Event::Message { id: "m1".into(), text: text.into(), at };
        let context = Context { campaigns: &campaigns, settings: &settings, now: at, seed: 1 };
        step(&State::default(), &event, &context).state
    }

    fn known(state: &State) -> KnownPerson<'_> {
        KnownPerson { state, answered: None, is_in_run: false, forgotten_at: None }
    }

    fn run<'a>(account: &'a AccountId, campaigns: &'a Campaigns, name: &'a str) -> Run<'a> {
        Run::new(account, campaigns, &"news".into(), name, NOW).unwrap()
    }

    #[test]
    fn a_person_whose_window_is_open_gets_it_once_a_run() {
        let (account, person) = (AccountId::new("178"), RecipientId::new("526"));
        let campaigns = campaigns(json!({}));
        let first = run(&account, &campaigns, "first");
        let open = state("hello", NOW - HOUR);
        let send = first.send_to(&person, known(&open), NOW).unwrap();
        assert_eq!(send.deadline, NOW - HOUR + WINDOW - WINDOW_RESERVE);
        assert_eq!((send.class, send.id.key.clone()), (Class::OUTBOUND, first.key(&person)));
        assert!(send.is_of_run() && send.id.key.is_step_to(&person));
        assert_eq!(send.origin(), send.turn.unwrap().origin);
        assert_eq!(send.keyword.as_deref(), Some("news"));
        assert_ne!(run(&account, &campaigns, "second").key(&person), first.key(&person));
        let again = KnownPerson { is_in_run: true, ..known(&open) };
        assert_eq!(first.send_to(&person, again, NOW), Err(LeftOut::InRun));
    }

    #[test]
    fn who_is_left_out_is_told_why() {
        let (account, person) = (AccountId::new("178"), RecipientId::new("526"));
        let campaigns = campaigns(json!({}));
        let run = run(&account, &campaigns, "first");
        let why = |known: KnownPerson<'_>| run.send_to(&person, known, NOW).unwrap_err();
        let (nobody, late) = (State::default(), state("hello", NOW - 24 * HOUR));
        assert_eq!(why(known(&nobody)), LeftOut::NoWindow);
        assert_eq!(why(known(&late)), LeftOut::NoWindow);
        let forgotten_at = Some(NOW - HOUR);
        assert_eq!(why(KnownPerson { forgotten_at, ..known(&nobody) }), LeftOut::Forgotten);
        assert_eq!(why(known(&state("STOP", NOW - HOUR))), LeftOut::Stopped);
        let settings = Settings::default();
        let context = Context { campaigns: &campaigns, settings: &settings, now: NOW, seed: 1 };
        let open = state("hello", NOW - HOUR);
        let taken_over = step(&open, &Event::HumanWrote { at: NOW - HOUR }, &context).state;
        let until = NOW - HOUR + settings.takeover;
        assert_eq!(why(known(&taken_over)), LeftOut::TakenOver(until));
    }

    #[test]
    fn what_a_campaign_gives_once_is_given_by_no_run_again() {
        let (account, person) = (AccountId::new("178"), RecipientId::new("526"));
        let campaigns = campaigns(json!({ "once_per": "campaign" }));
        let first = run(&account, &campaigns, "first");
        assert_eq!(run(&account, &campaigns, "second").key(&person), first.key(&person));
        let news = CampaignId::new("news");
        let told = Told { campaign: &news, media: None, event: "179" };
        let once = Once { per: OncePer::Campaign, span: 24 * HOUR };
        let answered = Answers::default().with(Nth::First, &told, once, NOW - HOUR);
        let open = state("hello", NOW - HOUR);
        let known = KnownPerson { answered: Some(&answered), ..known(&open) };
        assert_eq!(first.send_to(&person, known, NOW), Err(LeftOut::HasCampaign));
        let usual = super::tests::campaigns(json!({}));
        assert!(run(&account, &usual, "first").send_to(&person, known, NOW).is_ok());
    }

    #[test]
    fn a_campaign_that_sends_nothing_now_is_refused() {
        let account = AccountId::new("178");
        let error = |campaigns: &Campaigns, id: &str| {
            Run::new(&account, campaigns, &id.into(), "first", NOW).unwrap_err()
        };
        assert_eq!(error(&campaigns(json!({})), "other"), RunError::Unknown);
        let named = campaigns(json!({ "messages": ["Hi {username}"] }));
        assert_eq!(error(&named, "news"), RunError::Nameless("news".into()));
        let of = |field: &str, moment: &str| {
            let campaigns = campaigns(json!({ field: moment }));
            campaigns.in_zone(&Zone::default())
        };
        assert_eq!(error(&of("ends", "2026-01-01"), "news"), RunError::Over("news".into()));
        assert_eq!(error(&of("starts", "2027-01-01"), "news"), RunError::NotBegun("news".into()));
        let campaign = campaigns(json!({})).get(&"news".into()).cloned().unwrap();
        let paused = Campaigns::as_they_run([(campaign, Running::PausedSince(NOW))]);
        assert_eq!(error(&paused, "news"), RunError::Paused("news".into()));
    }

    fn expected(class: Class) -> impl Strategy<Value = Expected> {
        (0_u64..24 * 3600, 3600_u64..7 * 24 * 3600).prop_map(move |(arrives, left)| {
            let arrives = NOW + Duration::from_secs(arrives);
            let deadline = arrives + Duration::from_secs(left);
            Expected { class, arrives, deadline, order: Overflow::OldestFirst }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Outbound takes what the other lanes leave: what waits in these goes at the same instants
        /// with a run as without it.
        #[test]
        fn no_other_lane_is_later_for_a_run(
            waiting in prop::collection::vec(prop_oneof![
                expected(Class::PRIVATE_REPLY), expected(Class::ANSWER), expected(Class::FOLLOW_UP),
            ], 1..300),
            people in prop::collection::vec(expected(Class::OUTBOUND), 1..300),
        ) {
            let at_once = |mut expected: Vec<Expected>| {
                expected.iter_mut().for_each(|expected| expected.arrives = NOW);
                expected
            };
            let (waiting, people) = (at_once(waiting), at_once(people));
            let (rules, budget, cursor) = (Rules::careful(), Budget::default(), Cursor::default());
            let of = |sends: &[Expected]| forecast(&rules, &budget, &cursor, NOW, &[], sends);
            let alone = of(&waiting);
            let both = of(&[waiting.clone(), people].concat());
            prop_assert_eq!(&both[..waiting.len()], &alone[..]);
        }
    }
}
