//! An account's status: what keeps it from its full pace, since when, why, and what will happen
//! next by itself.

use std::fmt;

use serde::Serialize;

use crate::campaign::{Campaigns, Running};
use crate::feedback::{Feedback, Usage};
use crate::hold::{ByHand, Hold, HoldCause, Holds};
use crate::id::CampaignId;
use crate::rules::Rules;
use crate::time::Timestamp;
use crate::upkeep::{CHECK_EVERY, TOKEN_ENDING, TokenLife, Upkeep};

/// What an account is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its token has ended or was withdrawn: nothing can be sent.
    TokenDead,
    /// Meta restricts it: nothing may be sent.
    Blocked,
    /// It is not subscribed to webhooks: no webhook reports its comments.
    Unsubscribed,
    /// There are comments that no webhook has told of.
    Silent,
    /// Nothing is sent for a while.
    Held,
    /// Nothing of one of its campaigns is sent for a while.
    CampaignHeld,
    /// Nothing of one of its campaigns is sent until somebody resumes it.
    CampaignPaused,
    /// Its token ends soon, and should have been renewed.
    TokenExpiring,
    /// It sends slower than it could.
    Slowed,
    /// It is new, and sends a part of its day's figure.
    WarmingUp,
    /// Nothing is wrong.
    Healthy,
}

impl State {
    /// Every state, the gravest first.
    pub const ALL: [Self; 11] = [
        Self::TokenDead,
        Self::Blocked,
        Self::Unsubscribed,
        Self::Silent,
        Self::Held,
        Self::CampaignHeld,
        Self::CampaignPaused,
        Self::TokenExpiring,
        Self::Slowed,
        Self::WarmingUp,
        Self::Healthy,
    ];

    /// Whether people get no DMs until somebody or something outside changes.
    pub const fn is_grave(self) -> bool {
        matches!(self, Self::TokenDead | Self::Blocked | Self::Unsubscribed | Self::Silent)
    }

    /// The word for it, the same in JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenDead => "token_dead",
            Self::Blocked => "blocked",
            Self::Unsubscribed => "unsubscribed",
            Self::Silent => "silent",
            Self::Held => "held",
            Self::CampaignHeld => "campaign_held",
            Self::CampaignPaused => "campaign_paused",
            Self::TokenExpiring => "token_expiring",
            Self::Slowed => "slowed",
            Self::WarmingUp => "warming_up",
            Self::Healthy => "healthy",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that an account is. It may be several at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What.
    pub state: State,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// Why.
    pub why: Why,
    /// What happens next by itself.
    pub next: Next,
}

impl Condition {
    /// Whether nothing gets better before somebody does something.
    pub fn needs_somebody(&self) -> bool {
        let is_idle =
            matches!(self.next, Next::Stopped | Next::Paused | Next::Campaign | Next::Login(_));
        is_idle || self.state.is_grave()
    }
}

/// Why an account is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is nothing to say.
    Nothing,
    /// No campaign is there to match a comment.
    NoCampaign,
    /// Meta's answer.
    Answer(HoldCause),
    /// Meta's answer to another account of the same app.
    AnswerToApp(HoldCause),
    /// Meta refuses what this campaign sends.
    CampaignRefused(CampaignId),
    /// Somebody has paused this campaign.
    CampaignPaused(CampaignId),
    /// Somebody stopped it, for this reason.
    ByHand(Option<String>),
    /// The token ended, or Meta refuses it.
    TokenOver,
    /// Renewing the token has failed.
    RenewalFailed,
    /// The token was given without its end, or is not renewed yet.
    NotRenewed,
    /// A look at the subscription found fields missing.
    FieldsMissing,
    /// Reading found comments that no webhook told of; the last webhook came then.
    NoWebhook(Option<Timestamp>),
    /// A limit was met below the configured one: so many percent of it are in force.
    LimitMet(u8),
    /// Meta says that so many percent of a limit are used.
    Usage(u8),
    /// A hold has ended; so many percent of the pace are back.
    AfterHold(u8),
    /// So many thousandths of the day's figures are in force.
    WarmUp(u64),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = |cause: &HoldCause| match cause {
            HoldCause::Throttled => "Meta answered that a limit is reached",
            HoldCause::Blocked => "Meta restricts the account for what it sent",
            HoldCause::TokenDead => "Meta refuses the token",
            HoldCause::Permission => "Meta says that a permission or a setting is missing",
            HoldCause::Refusing => "Meta refuses the requests of one person after the other",
            HoldCause::Failing => "Meta's servers fail for one person after the other",
            HoldCause::NearLimit => "Meta reports a usage just below its limit",
            HoldCause::Operator => "stopped by hand",
        };
        match self {
            Self::Nothing => f.write_str("all is well"),
            Self::NoCampaign => f.write_str("it has no campaign: no comment gets a DM"),
            Self::Answer(cause) => f.write_str(answer(cause)),
            Self::AnswerToApp(cause) => write!(f, "{}, for the whole app", answer(cause)),
            Self::CampaignRefused(campaign) => {
                write!(f, "Meta refuses the link or the text of campaign `{campaign}`")
            }
            Self::CampaignPaused(campaign) => {
                write!(f, "campaign `{campaign}` is paused: it matches nothing, and its sends wait")
            }
            Self::ByHand(None) => f.write_str("stopped by hand"),
            Self::ByHand(Some(reason)) => write!(f, "stopped by hand: {reason}"),
            Self::TokenOver => f.write_str("the token has ended or was withdrawn"),
            Self::RenewalFailed => f.write_str("the token ends soon, and renewing it has failed"),
            Self::NotRenewed => f.write_str("the token ends soon, and is not renewed yet"),
            Self::FieldsMissing => f.write_str("webhook fields are missing from its subscription"),
            Self::NoWebhook(_) => f.write_str("comments were found that no webhook told of"),
            Self::LimitMet(percent) => {
                write!(f, "a limit was met early: {percent}% of the limits of an hour are in force")
            }
            Self::Usage(percent) => write!(f, "Meta says that {percent}% of a limit are used"),
            Self::AfterHold(percent) => {
                write!(f, "a hold has ended: {percent}% of the pace are back")
            }
            Self::WarmUp(permille) => {
                let (percent, tenth) = (permille / 10, permille % 10);
                write!(
                    f,
                    "the account is new: {percent}.{tenth}% of the day's figures are in force"
                )
            }
        }
    }
}

/// What happens next by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Sending goes on as it does.
    GoesOn,
    /// One call tries at this instant; if it goes through, the others follow step by step.
    Probe(Timestamp),
    /// Sending resumes at this instant.
    Resumes(Timestamp),
    /// Nothing: somebody must resume it.
    Stopped,
    /// Nothing: somebody must resume the campaign.
    Paused,
    /// Nothing: somebody must add a campaign.
    Campaign,
    /// Somebody must log in again. At this instant, if there is one, a call finds out whether the
    /// token works again.
    Login(Option<Timestamp>),
    /// The token is renewed within the hour, if Meta does it.
    Renewal,
    /// The subscription is made again at this instant at the latest.
    Subscription(Timestamp),
    /// Comments are read instead, and the next look is at this instant at the latest.
    Reading(Timestamp),
    /// More is allowed at this instant.
    Rises(Timestamp),
}

impl Next {
    /// The instant at which it happens, where there is one.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::Probe(at)
            | Self::Resumes(at)
            | Self::Subscription(at)
            | Self::Reading(at)
            | Self::Rises(at) => Some(at),
            Self::Login(at) => at,
            Self::GoesOn | Self::Stopped | Self::Paused | Self::Campaign | Self::Renewal => None,
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GoesOn => "sending goes on",
            Self::Probe(_) => "one call tries; if it goes through, the others follow step by step",
            Self::Resumes(_) => "sending resumes",
            Self::Stopped => "nothing by itself: somebody must resume the account",
            Self::Paused => "nothing by itself: somebody must resume the campaign",
            Self::Campaign => "nothing by itself: `spillway campaign apply` adds one",
            Self::Login(None) => "nothing by itself: the owner must log in again",
            Self::Login(Some(_)) => {
                "the owner must log in again; one call tries whether the token works again"
            }
            Self::Renewal => "it is renewed within the hour, if Meta does it; else log in again",
            Self::Subscription(_) => "it is subscribed again, and what was missed is read",
            Self::Reading(_) => "comments are read instead of heard; check the webhook's URL",
            Self::Rises(_) => "more is allowed",
        })
    }
}

/// What a status is found out from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The account's rules.
    pub rules: &'a Rules,
    /// Its campaigns.
    pub campaigns: &'a Campaigns,
    /// Its holds.
    pub holds: &'a Holds,
    /// Those of the whole app.
    pub app: &'a Holds,
    /// What its answers have taught.
    pub feedback: Feedback,
    /// Its token.
    pub token: TokenLife,
    /// What upkeep knows.
    pub upkeep: &'a Upkeep,
    /// The instant when a webhook last told of it.
    pub last_seen: Option<Timestamp>,
}

impl Facts<'_> {
    /// The gravest that the account is at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        self.conditions(now).first().map_or(State::Healthy, |condition| condition.state)
    }

    /// All that the account is at `now`, the gravest first; never empty.
    pub fn conditions(&self, now: Timestamp) -> Vec<Condition> {
        let mut found: Vec<Condition> = [
            self.token(now),
            self.hold(self.own_hold(), Why::Answer, now),
            self.hold(self.app.current.as_ref(), Why::AnswerToApp, now),
            self.by_hand(now),
            self.subscription(now),
            self.silence(now),
            self.limit(now),
            self.pace(now),
            self.warm_up(now),
        ]
        .into_iter()
        .flatten()
        .chain(self.held_campaigns(now))
        .chain(self.paused_campaigns())
        .chain(self.no_campaign())
        .collect();
        if found.is_empty() {
            let (state, next) = (State::Healthy, Next::GoesOn);
            found.push(Condition { state, since: None, why: Why::Nothing, next });
        }
        found.sort_by_key(|condition| condition.state);
        found
    }

    fn token(&self, now: Timestamp) -> Option<Condition> {
        let refused = self.refused_token();
        let over = self.token_over(now);
        if let Some(since) = over.or(refused.map(|hold| hold.since)) {
            let why = match over {
                Some(_) => Why::TokenOver,
                None => Why::Answer(HoldCause::TokenDead),
            };
            let next = Next::Login(refused.map(|hold| hold.until.max(now)));
            return Some(Condition { state: State::TokenDead, since: Some(since), why, next });
        }
        let ends_at = self.token.ends_at.filter(|_| self.token.is_ending(now))?;
        let why = match self.upkeep.renewal_failed_at {
            Some(_) => Why::RenewalFailed,
            None => Why::NotRenewed,
        };
        let since = Some(ends_at - TOKEN_ENDING);
        Some(Condition { state: State::TokenExpiring, since, why, next: Next::Renewal })
    }

    /// Since when the token is over, as upkeep or its own end tells.
    fn token_over(&self, now: Timestamp) -> Option<Timestamp> {
        let ended = self.token.ends_at.filter(|&ends| ends <= now);
        self.upkeep.dead_since.or(ended)
    }

    /// The hold that follows from a refused token.
    fn refused_token(&self) -> Option<&Hold> {
        self.holds.current.as_ref().filter(|hold| hold.cause == HoldCause::TokenDead)
    }

    /// The account's hold, but for one that its dead token tells of already.
    fn own_hold(&self) -> Option<&Hold> {
        self.holds.current.as_ref().filter(|hold| hold.cause != HoldCause::TokenDead)
    }

    /// Returns what keeps the account from sending for the longest time, if anything does.
    pub fn holding(&self, now: Timestamp) -> Option<Why> {
        if let Some(dead) = self.token(now).filter(|found| found.state == State::TokenDead) {
            return Some(dead.why);
        }
        let of_account = self.own_hold().map(|hold| (hold.until, Why::Answer(hold.cause)));
        let of_app = self.app.current.as_ref();
        let of_app = of_app.map(|hold| (hold.until, Why::AnswerToApp(hold.cause)));
        let by_hand = self.holds.by_hand.as_ref();
        let by_hand = by_hand.map(|stop| (stop.until, Why::ByHand(stop.reason.clone())));
        let all = [of_account, of_app, by_hand].into_iter().flatten();
        let in_force = all.filter(|&(until, _)| until > now);
        in_force.max_by_key(|&(until, _)| until).map(|(_, why)| why)
    }

    /// Returns the first instant, not before `now`, at which the account may send, as far as holds
    /// tell; [`Timestamp::NEVER`] where somebody must do something first.
    pub fn opens_at(&self, now: Timestamp) -> Timestamp {
        if self.token_over(now).is_some() || self.refused_token().is_some() {
            return Timestamp::NEVER;
        }
        let of_answers = [self.own_hold(), self.app.current.as_ref()];
        let ends = of_answers.into_iter().flatten().map(|hold| hold.until);
        ends.chain(self.holds.stopped_until(now)).fold(now, Timestamp::max)
    }

    fn hold(
        &self,
        hold: Option<&Hold>,
        why: impl FnOnce(HoldCause) -> Why,
        now: Timestamp,
    ) -> Option<Condition> {
        let Hold { cause, since, until, .. } = *hold?;
        let state = match cause {
            HoldCause::TokenDead => State::TokenDead,
            HoldCause::Blocked => State::Blocked,
            HoldCause::Throttled
            | HoldCause::Permission
            | HoldCause::NearLimit
            | HoldCause::Refusing
            | HoldCause::Failing
            | HoldCause::Operator => State::Held,
        };
        let next = Next::Probe(until.max(now));
        Some(Condition { state, since: Some(since), why: why(cause), next })
    }

    fn by_hand(&self, now: Timestamp) -> Option<Condition> {
        let stop = self.holds.by_hand.as_ref().filter(|stop| now < stop.until)?;
        let ByHand { since, until, reason } = stop.clone();
        let next = match until {
            Timestamp::NEVER => Next::Stopped,
            until => Next::Resumes(until),
        };
        Some(Condition { state: State::Held, since: Some(since), why: Why::ByHand(reason), next })
    }

    fn held_campaigns(&self, now: Timestamp) -> impl Iterator<Item = Condition> {
        self.campaigns.iter().filter_map(move |campaign| {
            let until = self.holds.refusals.campaign_held_until(&campaign.id, now)?;
            let (state, why) = (State::CampaignHeld, Why::CampaignRefused(campaign.id.clone()));
            Some(Condition { state, since: None, why, next: Next::Resumes(until) })
        })
    }

    fn paused_campaigns(&self) -> impl Iterator<Item = Condition> {
        self.campaigns.iter().filter_map(|campaign| {
            let Running::PausedSince(since) = self.campaigns.running(&campaign.id) else {
                return None;
            };
            let (state, why) = (State::CampaignPaused, Why::CampaignPaused(campaign.id.clone()));
            Some(Condition { state, since: Some(since), why, next: Next::Paused })
        })
    }

    fn no_campaign(&self) -> Option<Condition> {
        let (state, why, next) = (State::Healthy, Why::NoCampaign, Next::Campaign);
        let is_empty = self.campaigns.iter().next().is_none();
        is_empty.then_some(Condition { state, since: None, why, next })
    }

    fn subscription(&self, now: Timestamp) -> Option<Condition> {
        let since = self.upkeep.lost_at?;
        let next = Next::Subscription(self.checked_again(now));
        let why = Why::FieldsMissing;
        Some(Condition { state: State::Unsubscribed, since: Some(since), why, next })
    }

    fn silence(&self, now: Timestamp) -> Option<Condition> {
        let since = self.upkeep.silent_since?;
        let next = Next::Reading(self.checked_again(now));
        let why = Why::NoWebhook(self.last_seen);
        Some(Condition { state: State::Silent, since: Some(since), why, next })
    }

    /// The instant when upkeep looks at the account again.
    fn checked_again(&self, now: Timestamp) -> Timestamp {
        self.upkeep.checked_at.map_or(now, |checked| (checked + CHECK_EVERY).max(now))
    }

    fn limit(&self, now: Timestamp) -> Option<Condition> {
        let percent = self.feedback.limit_percent(now);
        let lowered = self.feedback.lowered.filter(|_| percent < 100)?;
        let next = Next::Rises(self.feedback.limits_change_after(now).unwrap_or(now));
        let since = Some(lowered.at);
        Some(Condition { state: State::Slowed, since, why: Why::LimitMet(percent), next })
    }

    fn pace(&self, now: Timestamp) -> Option<Condition> {
        let percent = self.rules.pace_percent(now, self.feedback);
        if percent == 100 {
            return None;
        }
        let next = Next::Rises(self.feedback.pace_changes_after(now).unwrap_or(now));
        let by_usage = Feedback { returned_at: None, ..self.feedback };
        let (since, why) = match self.feedback.usage {
            Some(Usage { percent: used, at })
                if self.rules.pace_percent(now, by_usage) == percent =>
            {
                (Some(at), Why::Usage(used))
            }
            _ => (self.feedback.returned_at, Why::AfterHold(percent)),
        };
        Some(Condition { state: State::Slowed, since, why, next })
    }

    fn warm_up(&self, now: Timestamp) -> Option<Condition> {
        let since = self.rules.terms().warm_up_since?;
        let permille = self.rules.warm_up_permille(now);
        if permille >= 1000 {
            return None;
        }
        let next = Next::Rises(self.rules.limits_change_after(now, Feedback::default()));
        let why = Why::WarmUp(permille);
        Some(Condition { state: State::WarmingUp, since: Some(since), why, next })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::campaign::Campaign;
    use crate::feedback::Lowered;
    use crate::profile::Profile;
    use crate::refusal::{Evidence, Party};
    use crate::rules::Terms;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_state_has_one_word() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!(State::ALL.is_sorted());
    }

    /// What there is to know of an account.
    struct Known {
        rules: Rules,
        holds: Holds,
        app: Holds,
        feedback: Feedback,
        token: TokenLife,
        upkeep: Upkeep,
    }

    /// What an account is of which all is well but for what `change` does.
    fn conditions(change: impl FnOnce(&mut Known)) -> Vec<Condition> {
        found(&campaigns(), change).0
    }

    /// The same of an account with these campaigns, and when it may send.
    fn found(
        campaigns: &Campaigns,
        change: impl FnOnce(&mut Known),
    ) -> (Vec<Condition>, Timestamp) {
        let mut known = Known {
            rules: Rules::careful(),
            holds: Holds::default(),
            app: Holds::default(),
            feedback: Feedback::default(),
            token: TokenLife { obtained_at: Some(NOW - DAY), ends_at: Some(NOW + 50 * DAY) },
            upkeep: Upkeep::default(),
        };
        change(&mut known);
        let Known { rules, holds, app, feedback, token, upkeep } = &known;
        let (feedback, token, last_seen) = (*feedback, *token, Some(NOW));
        let facts = Facts { rules, campaigns, holds, app, feedback, token, upkeep, last_seen };
        (facts.conditions(NOW), facts.opens_at(NOW))
    }

    fn campaigns() -> Campaigns {
        let campaign = |id: &str| {
            let fields = serde_json::json!({ "id": id, "messages": ["Hi"] });
            serde_json::from_value::<Campaign>(fields).unwrap()
        };
        Campaigns::new([campaign("guide"), campaign("menu")])
    }

    #[test]
    fn a_campaign_on_hold_is_named() {
        let mut holds = Holds::default();
        let party = Party::new(&"1".into(), None, &"menu".into(), None);
        let finding = holds.refusals.finding(Evidence::Campaign, &party, None, NOW);
        holds.refusals.note(Evidence::Campaign, finding, party, NOW);
        let condition = one(conditions(|known| known.holds = holds));
        let why = Why::CampaignRefused("menu".into());
        assert_eq!((condition.state, condition.why), (State::CampaignHeld, why));
        assert_eq!(condition.next, Next::Resumes(NOW + HOUR));
    }

    #[test]
    fn a_paused_campaign_is_named() {
        let since = Running::PausedSince(NOW - HOUR);
        let paused = campaigns()
            .iter()
            .cloned()
            .map(|campaign| (campaign, since))
            .take(1)
            .collect::<Vec<_>>();
        let condition = one(found(&Campaigns::as_they_run(paused), |_| {}).0);
        assert_eq!(condition.state, State::CampaignPaused);
        assert_eq!((condition.since, condition.next), (Some(NOW - HOUR), Next::Paused));
    }

    #[test]
    fn a_dead_token_is_told_once_and_lets_nothing_go() {
        let mut holds = Holds::default();
        holds.strike(HoldCause::TokenDead, NOW - HOUR, None, 0);
        let until = holds.current.clone().unwrap().until;
        let (conditions, opens_at) = found(&campaigns(), |known| {
            known.holds = holds;
            known.upkeep = Upkeep { dead_since: Some(NOW - HOUR / 2), ..Upkeep::default() };
        });
        let condition = one(conditions);
        assert_eq!((condition.since, condition.why), (Some(NOW - HOUR / 2), Why::TokenOver));
        assert_eq!(condition.next, Next::Login(Some(until.max(NOW))));
        assert_eq!(opens_at, Timestamp::NEVER);
    }

    #[test]
    fn an_account_may_send_when_its_last_hold_has_ended() {
        let opens_at = |change: fn(&mut Known)| found(&campaigns(), change).1;
        assert_eq!(opens_at(|_| {}), NOW);
        assert_eq!(
            opens_at(|known| known.holds.stop(NOW, Timestamp::NEVER, None)),
            Timestamp::NEVER
        );
        let until = opens_at(|known| {
            known.app.strike(HoldCause::Throttled, NOW, None, 0);
            known.holds.stop(NOW, NOW + HOUR, None);
        });
        assert_eq!(until, NOW + HOUR);
        let throttled = opens_at(|known| known.app.strike(HoldCause::Throttled, NOW, None, 0));
        assert!(throttled > NOW && throttled < NOW + HOUR);
    }

    fn one(conditions: Vec<Condition>) -> Condition {
        let [condition] = conditions.try_into().unwrap();
        condition
    }

    #[test]
    fn an_account_of_which_all_is_well_is_healthy() {
        let condition = one(conditions(|_| {}));
        assert_eq!((condition.state, condition.next), (State::Healthy, Next::GoesOn));
    }

    #[test]
    fn a_hold_names_its_cause_and_the_instant_of_its_probe() {
        for (cause, state) in [
            (HoldCause::Throttled, State::Held),
            (HoldCause::NearLimit, State::Held),
            (HoldCause::Permission, State::Held),
            (HoldCause::Refusing, State::Held),
            (HoldCause::Failing, State::Held),
            (HoldCause::Blocked, State::Blocked),
            (HoldCause::TokenDead, State::TokenDead),
        ] {
            let mut holds = Holds::default();
            holds.strike(cause, NOW - HOUR / 60, None, 0);
            let until = holds.current.clone().unwrap().until;
            let condition = one(conditions(|known| known.holds = holds.clone()));
            assert_eq!((condition.state, condition.why), (state, Why::Answer(cause)));
            assert_eq!(condition.since, Some(NOW - HOUR / 60));
            let next = match cause {
                HoldCause::TokenDead => Next::Login(Some(until.max(NOW))),
                _ => Next::Probe(until.max(NOW)),
            };
            assert_eq!(condition.next, next);
            let condition = one(conditions(|known| known.app = holds));
            assert_eq!(condition.why, Why::AnswerToApp(cause));
        }
    }

    #[test]
    fn a_stop_by_hand_says_why_and_whether_it_ends() {
        let stop = |until| {
            let mut holds = Holds::default();
            holds.stop(NOW, until, Some("checking a text"));
            one(conditions(|known| known.holds = holds))
        };
        assert_eq!(stop(Timestamp::NEVER).next, Next::Stopped);
        let ends = stop(NOW + HOUR);
        assert_eq!((ends.state, ends.next), (State::Held, Next::Resumes(NOW + HOUR)));
        assert_eq!(ends.why.to_string(), "stopped by hand: checking a text");
    }

    #[test]
    fn a_token_is_expiring_in_its_last_week_and_dead_after_it() {
        let at = |left: Duration| one(conditions(|known| known.token.ends_at = Some(NOW + left)));
        assert_eq!(at(TOKEN_ENDING).state, State::Healthy);
        let ending = at(TOKEN_ENDING - HOUR);
        assert_eq!((ending.state, ending.since), (State::TokenExpiring, Some(NOW - HOUR)));
        assert_eq!((ending.why, ending.next), (Why::NotRenewed, Next::Renewal));
        let dead = at(Duration::ZERO);
        assert_eq!((dead.state, dead.next), (State::TokenDead, Next::Login(None)));
        let failed = Upkeep { renewal_failed_at: Some(NOW), ..Upkeep::default() };
        let ending = one(conditions(|known| {
            known.token.ends_at = Some(NOW + HOUR);
            known.upkeep = failed;
        }));
        assert_eq!(ending.why, Why::RenewalFailed);
    }

    #[test]
    fn webhooks_that_are_lost_or_stopped_come_before_what_slows_down() {
        let upkeep = Upkeep {
            lost_at: Some(NOW - HOUR),
            silent_since: Some(NOW - 2 * HOUR),
            checked_at: Some(NOW - HOUR / 2),
            ..Upkeep::default()
        };
        let lowered = Some(Lowered { percent: 50, at: NOW - HOUR / 10 });
        let found = conditions(|known| {
            known.upkeep = upkeep;
            known.feedback.lowered = lowered;
        });
        let states: Vec<State> = found.iter().map(|condition| condition.state).collect();
        assert_eq!(states, [State::Unsubscribed, State::Silent, State::Slowed]);
        assert_eq!(found[0].next, Next::Subscription(NOW + HOUR / 2));
        assert_eq!(found[1].next, Next::Reading(NOW + HOUR / 2));
        assert_eq!(found[2].why, Why::LimitMet(50));
        assert_eq!(found[2].next, Next::Rises(NOW - HOUR / 10 + HOUR / 6));
    }

    #[test]
    fn what_slows_down_most_is_named() {
        let usage = Some(Usage { percent: 90, at: NOW - HOUR / 60 });
        let slowed = one(conditions(|known| known.feedback.usage = usage));
        assert_eq!((slowed.state, slowed.why), (State::Slowed, Why::Usage(90)));
        assert_eq!(slowed.next, Next::Rises(NOW - HOUR / 60 + Feedback::USAGE_BELIEVED));
        let returned = one(conditions(|known| {
            known.feedback.usage = usage;
            known.feedback.returned_at = Some(NOW);
        }));
        assert_eq!((returned.why, returned.since), (Why::AfterHold(25), Some(NOW)));
    }

    #[test]
    fn a_new_account_is_warming_up_until_its_ramp_is_over() {
        let day = |day: u32| {
            let terms = Terms { warm_up_since: Some(NOW - DAY * day), ..Terms::default() };
            let rules = Rules::new(Profile::careful(), terms).unwrap();
            one(conditions(|known| known.rules = rules))
        };
        let third = day(2);
        assert_eq!((third.state, third.since), (State::WarmingUp, Some(NOW - 2 * DAY)));
        assert_eq!(third.next, Next::Rises(NOW + DAY));
        assert!(matches!(third.why, Why::WarmUp(201..=299)), "{:?}", third.why);
        assert_eq!(day(100).state, State::Healthy);
    }
}
