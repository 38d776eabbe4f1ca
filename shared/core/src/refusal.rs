//! Refusals: whether an answer of Meta's is about the account, a campaign, or one send alone.
//!
//! Meta words a refusal of one comment like one of the whole account. So some answers stop the
//! account only once several people's sends have met them in a row, and a send that was refused
//! gives way to others until one of them has gone through.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hold_cause::HoldCause;
use crate::id::{CampaignId, MediaId, OnceKey, RecipientId};
use crate::seed::seed;
use crate::send::PendingSend;
use crate::time::Timestamp;

/// Sends whose refusal is remembered; a forgotten one may put its account on hold once more. The
/// account's item has room for few.
const SENDS_MAX: usize = 6;

/// Campaigns on hold that are remembered.
const CAMPAIGNS_MAX: usize = 4;

/// People of a streak that are told apart: as many as the longest streak needs.
const PEOPLE_MAX: usize = 10;

/// For how long it is: as long as a send may wait. It comes again after a hold of a day, and a night.
const SEND_REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// For how long the hold of a campaign is remembered once it is over.
const CAMPAIGN_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The first hold of a campaign and the longest; Meta names no time.
const CAMPAIGN_HOLD: (Duration, Duration) =
    (Duration::from_secs(3600), Duration::from_secs(24 * 3600));

/// Whom a call was for, as hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    #[serde(rename = "s")]
    send: u32,
    #[serde(rename = "p")]
    person: u32,
    #[serde(rename = "c")]
    campaign: u32,
    #[serde(rename = "m", default)]
    media: u32,
}

impl Party {
    /// The party of a send. A send to an unknown person counts as one to another person.
    pub fn new(
        once: &OnceKey,
        person: Option<&RecipientId>,
        campaign: &CampaignId,
        media: Option<&MediaId>,
    ) -> Self {
        Self {
            send: hash(once.as_str()),
            person: hash(person.map_or(once.as_str(), RecipientId::as_str)),
            campaign: hash(campaign.as_str()),
            media: hash(media.map_or("", MediaId::as_str)),
        }
    }

    /// The party of a send.
    pub fn of(send: &PendingSend) -> Self {
        Self::new(&send.id.key, send.to.recipient(), &send.content.campaign, send.media.as_ref())
    }
}

fn hash(text: &str) -> u32 {
    seed(&[text]) as u32
}

/// What Meta's answer to a send says of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The account is stopped, for this cause.
    Clear(HoldCause),
    /// The account is stopped, or this send alone is refused.
    Doubt(Doubt),
    /// The campaign's link or text is refused.
    Campaign,
}

/// Why an answer may be about the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// It names a permission, with a subcode that is not known or none.
    Permission,
    /// The same, and it is also the answer for a post that belongs to another account too.
    Media,
    /// Meta does not see the object, and does not say which one: the comment or the account.
    Object,
    /// Meta does not take the request.
    Request,
    /// Meta's servers failed.
    Server,
}

impl Doubt {
    /// People who must meet it in a row before it is about the account.
    const fn people(self) -> usize {
        match self {
            Self::Permission | Self::Server => 2,
            Self::Object => 3,
            Self::Media | Self::Request => PEOPLE_MAX,
        }
    }

    /// The cause of the account's hold.
    pub const fn cause(self) -> HoldCause {
        match self {
            Self::Permission | Self::Media => HoldCause::Permission,
            Self::Object => HoldCause::TokenDead,
            Self::Request => HoldCause::Refusing,
            Self::Server => HoldCause::Failing,
        }
    }
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The account, which is on hold for this cause.
    Account(HoldCause),
    /// The campaign, which is on hold.
    Campaign,
    /// This send: it was refused before, and others have gone through since.
    Send,
    /// Not known yet: more people would have to meet it.
    Open,
}

/// How little a send is fit to find out whether a hold is over, the fittest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// Nothing like it was refused.
    Nothing,
    /// Another send of its campaign was refused.
    Campaign,
    /// It was refused, or another send to the same person.
    Person,
    /// A hold of its own person or campaign keeps it from being sent.
    Held,
}

/// The refusals of an account that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusals {
    /// Sends that have put the account on hold, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sends: Vec<Refused>,
    /// Doubtful answers in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    streak: Option<Streak>,
    /// Campaigns on hold, or lately so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    campaigns: Vec<HeldCampaign>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    #[serde(flatten)]
    party: Party,
    cause: HoldCause,
    at: Timestamp,
    /// Whether another send has gone through since.
    #[serde(default)]
    passed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Streak {
    doubt: Doubt,
    people: Vec<u32>,
    media: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldCampaign {
    campaign: u32,
    strikes: u32,
    until: Timestamp,
}

impl Streak {
    fn and(streak: Option<&Self>, doubt: Doubt, party: &Party) -> Self {
        let known = streak.filter(|streak| streak.doubt == doubt).cloned();
        let mut next = known.unwrap_or(Self { doubt, people: Vec::new(), media: BTreeSet::new() });
        if next.people.len() < PEOPLE_MAX && !next.people.contains(&party.person) {
            next.people.push(party.person);
        }
        if next.media.len() < 2 {
            next.media.insert(party.media);
        }
        next
    }

    fn is_of_account(&self) -> bool {
        let apart = self.doubt == Doubt::Media && self.people.len() > 1 && self.media.len() > 1;
        apart || self.people.len() >= self.doubt.people()
    }
}

impl Refusals {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.streak.is_none() && self.campaigns.is_empty()
    }

    /// What a refusal is about. With a time that Meta named for a limit it is about the account.
    pub fn finding(
        &self,
        evidence: Evidence,
        party: &Party,
        regain: Option<Duration>,
        now: Timestamp,
    ) -> Finding {
        let is_remembered = |refused: &&Refused| now.since(refused.at) < SEND_REMEMBERED;
        let own = self.sends.iter().filter(is_remembered).find(|of| of.party.send == party.send);
        let is_own = own.is_some_and(|own| own.passed);
        let of_campaign = self
            .campaigns
            .iter()
            .any(|held| held.campaign == party.campaign && now < held.until + CAMPAIGN_REMEMBERED);
        match evidence {
            Evidence::Campaign => Finding::Campaign,
            Evidence::Clear(HoldCause::Throttled) if regain.is_some() => {
                Finding::Account(HoldCause::Throttled)
            }
            Evidence::Clear(_) if is_own => Finding::Send,
            Evidence::Clear(HoldCause::Blocked | HoldCause::Permission)
            | Evidence::Doubt(Doubt::Permission | Doubt::Media)
                if of_campaign =>
            {
                Finding::Campaign
            }
            Evidence::Clear(cause) => Finding::Account(cause),
            Evidence::Doubt(doubt) => {
                if !Streak::and(self.streak.as_ref(), doubt, party).is_of_account() {
                    Finding::Open
                } else if is_own {
                    Finding::Send
                } else {
                    Finding::Account(doubt.cause())
                }
            }
        }
    }

    /// Remembers a refusal that was found to be about this.
    pub(crate) fn note(
        &mut self,
        evidence: Evidence,
        finding: Finding,
        party: Party,
        now: Timestamp,
    ) {
        self.forget(now);
        if let Evidence::Doubt(doubt) = evidence {
            self.streak = Some(Streak::and(self.streak.as_ref(), doubt, &party));
        }
        match finding {
            Finding::Account(cause) => {
                self.sends.retain(|refused| refused.party.send != party.send);
                if self.sends.len() == SENDS_MAX {
                    let passed = self.sends.iter().position(|refused| refused.passed);
                    self.sends.remove(passed.unwrap_or_default());
                }
                self.sends.push(Refused { party, cause, at: now, passed: false });
            }
            Finding::Campaign => self.hold_campaign(party.campaign, now),
            Finding::Send | Finding::Open => {}
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.sends.retain(|refused| now.since(refused.at) < SEND_REMEMBERED);
        self.campaigns.retain(|held| now < held.until + CAMPAIGN_REMEMBERED);
    }

    fn hold_campaign(&mut self, campaign: u32, now: Timestamp) {
        let at = self.campaigns.iter().position(|held| held.campaign == campaign);
        let known = at.map(|at| self.campaigns.remove(at));
        if let Some(held) = known.filter(|held| now < held.until) {
            // An answer to another call that was in flight.
            self.campaigns.push(held);
            return;
        }
        if self.campaigns.len() == CAMPAIGNS_MAX {
            self.campaigns.remove(0);
        }
        let strikes = known.map_or(1, |held| held.strikes.saturating_add(1));
        let (first, longest) = CAMPAIGN_HOLD;
        let wait = first.saturating_mul(1 << (strikes - 1).min(16)).min(longest);
        self.campaigns.push(HeldCampaign { campaign, strikes, until: now + wait });
    }

    /// Ends the hold of a campaign, and forgets what was refused of it: it has other messages now, or
    /// an operator says that it may go on.
    pub(crate) fn resume_campaign(&mut self, campaign: &CampaignId) {
        let campaign = hash(campaign.as_str());
        self.campaigns.retain(|held| held.campaign != campaign);
        self.sends.retain(|refused| refused.party.campaign != campaign);
    }

    /// Whether taking in that a send of `party` went through would change anything.
    pub fn is_news(&self, party: &Party) -> bool {
        self.streak.is_some()
            || self.sends.iter().any(|refused| !refused.passed || refused.party.send == party.send)
            || self.campaigns.iter().any(|held| held.campaign == party.campaign)
    }

    /// A send went through: what was refused before it was not the account's fault. A campaign of
    /// which several people's sends were refused, while another's goes through, is put on hold.
    pub(crate) fn pass(&mut self, party: &Party, now: Timestamp) {
        self.forget(now);
        self.streak = None;
        self.sends.retain(|refused| refused.party.send != party.send);
        self.campaigns.retain(|held| held.campaign != party.campaign);
        let about_sends = |refused: &&Refused| {
            let is_about = matches!(refused.cause, HoldCause::Blocked | HoldCause::Permission);
            !refused.passed && refused.party.campaign != party.campaign && is_about
        };
        let refused: Vec<Party> =
            self.sends.iter().filter(about_sends).map(|refused| refused.party).collect();
        for one in &refused {
            let is_other = |of: &&Party| of.campaign == one.campaign && of.person != one.person;
            if refused.iter().any(|of| is_other(&of)) {
                self.hold_campaign(one.campaign, now);
            }
        }
        self.sends.iter_mut().for_each(|refused| refused.passed = true);
    }

    /// Ranks a send as a candidate for the probe: the lowest goes first.
    pub fn suspicion(&self, party: &Party) -> Suspicion {
        let people = self.streak.iter().flat_map(|streak| &streak.people);
        let mut refused = self.sends.iter().map(|refused| refused.party);
        let is_own = |of: Party| of.send == party.send || of.person == party.person;
        if people.into_iter().any(|&person| person == party.person) || refused.any(is_own) {
            return Suspicion::Person;
        }
        if self.sends.iter().any(|refused| refused.party.campaign == party.campaign) {
            Suspicion::Campaign
        } else {
            Suspicion::Nothing
        }
    }

    /// Whether a send has put the account on hold: it goes after the others.
    pub fn goes_last(&self, party: &Party) -> bool {
        self.sends.iter().any(|refused| refused.party.send == party.send)
    }

    /// The instant when the first of the campaigns on hold may go again.
    pub fn campaign_opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.campaigns.iter().map(|held| held.until).filter(|&until| now < until).min()
    }

    /// Until when nothing of `campaign` is sent.
    pub fn campaign_held_until(&self, campaign: &CampaignId, now: Timestamp) -> Option<Timestamp> {
        let campaign = hash(campaign.as_str());
        let held = self.campaigns.iter().find(|held| held.campaign == campaign)?;
        (now < held.until).then_some(held.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn party(n: u32, person: &str, campaign: &str, media: &str) -> Party {
        let once = OnceKey::new(n.to_string());
        Party::new(&once, Some(&person.into()), &campaign.into(), Some(&media.into()))
    }

    fn refuse(refusals: &mut Refusals, evidence: Evidence, party: &Party) -> Finding {
        let finding = refusals.finding(evidence, party, None, NOW);
        refusals.note(evidence, finding, *party, NOW);
        finding
    }

    #[test]
    fn a_doubtful_permission_is_the_accounts_when_a_second_person_meets_it() {
        let doubt = Evidence::Doubt(Doubt::Permission);
        let mut refusals = Refusals::default();
        assert_eq!(refuse(&mut refusals, doubt, &party(1, "a", "x", "m")), Finding::Open);
        assert_eq!(refuse(&mut refusals, doubt, &party(2, "a", "x", "m")), Finding::Open);
        let held = Finding::Account(HoldCause::Permission);
        assert_eq!(refuse(&mut refusals.clone(), doubt, &party(3, "b", "x", "m")), held);
        refusals.pass(&party(4, "c", "x", "m"), NOW);
        assert_eq!(refuse(&mut refusals, doubt, &party(3, "b", "x", "m")), Finding::Open);
    }

    #[test]
    fn a_post_of_two_accounts_holds_neither() {
        let doubt = Evidence::Doubt(Doubt::Media);
        let mut refusals = Refusals::default();
        for n in 1..10 {
            let party = party(n, &n.to_string(), "x", "collab");
            assert_eq!(refuse(&mut refusals, doubt, &party), Finding::Open, "{n}");
        }
        let held = Finding::Account(HoldCause::Permission);
        let other = party(10, "10", "x", "mine");
        assert_eq!(refuse(&mut refusals.clone(), doubt, &other), held, "another post");
        let tenth = party(10, "10", "x", "collab");
        assert_eq!(refuse(&mut refusals, doubt, &tenth), held, "ten in a row");
    }

    #[test]
    fn a_refusal_that_concerns_everybody_holds_after_ten_people() {
        let doubt = Evidence::Doubt(Doubt::Request);
        let mut refusals = Refusals::default();
        for n in 1..10 {
            let party = party(n, &n.to_string(), "x", "m");
            assert_eq!(refuse(&mut refusals, doubt, &party), Finding::Open, "{n}");
            assert_eq!(refuse(&mut refusals, doubt, &party), Finding::Open, "{n} again");
        }
        let held = Finding::Account(HoldCause::Refusing);
        assert_eq!(refuse(&mut refusals, doubt, &party(10, "10", "x", "m")), held);
    }

    #[test]
    fn a_send_that_is_refused_again_after_others_went_through_is_alone_with_it() {
        let blocked = Evidence::Clear(HoldCause::Blocked);
        let held = Finding::Account(HoldCause::Blocked);
        let mut refusals = Refusals::default();
        let (one, other) = (party(1, "a", "x", "m"), party(2, "b", "x", "m"));
        assert_eq!(refuse(&mut refusals, blocked, &one), held);
        assert_eq!(refuse(&mut refusals, blocked, &one), held, "nobody else went through");
        assert!(refusals.goes_last(&one) && !refusals.goes_last(&other));
        refusals.pass(&other, NOW);
        assert_eq!(refuse(&mut refusals, blocked, &one), Finding::Send);
        assert_eq!(refuse(&mut refusals, blocked, &other), held);
        let limit = Evidence::Clear(HoldCause::Throttled);
        let regain = Some(Duration::from_secs(60));
        let named = refusals.finding(limit, &one, regain, NOW);
        assert_eq!(named, Finding::Account(HoldCause::Throttled));
        let later = |days: u64| NOW + Duration::from_secs(days * 24 * 3600);
        assert_eq!(refusals.finding(blocked, &one, None, later(2)), Finding::Send);
        assert_eq!(
            refusals.finding(blocked, &one, None, later(7)),
            held,
            "no send waits for longer"
        );
    }

    #[test]
    fn a_probe_is_another_persons_and_another_campaigns() {
        let mut refusals = Refusals::default();
        refuse(&mut refusals, Evidence::Clear(HoldCause::Blocked), &party(1, "a", "x", "m"));
        assert_eq!(refusals.suspicion(&party(1, "a", "x", "m")), Suspicion::Person);
        assert_eq!(refusals.suspicion(&party(2, "a", "y", "m")), Suspicion::Person);
        assert_eq!(refusals.suspicion(&party(3, "b", "x", "m")), Suspicion::Campaign);
        assert_eq!(refusals.suspicion(&party(3, "b", "y", "m")), Suspicion::Nothing);
    }

    #[test]
    fn a_refused_link_stops_its_campaign_for_longer_each_time() {
        let mut refusals = Refusals::default();
        let one = party(1, "a", "x", "m");
        assert_eq!(refuse(&mut refusals, Evidence::Campaign, &one), Finding::Campaign);
        refuse(&mut refusals, Evidence::Campaign, &party(2, "b", "x", "m"));
        let hour = Duration::from_secs(3600);
        let until = refusals.campaign_held_until(&"x".into(), NOW);
        assert_eq!(until, Some(NOW + hour), "one hold for calls in flight");
        assert_eq!(refusals.campaign_held_until(&"y".into(), NOW), None);
        let later = NOW + hour;
        assert_eq!(refusals.campaign_held_until(&"x".into(), later), None);
        refusals.note(Evidence::Campaign, Finding::Campaign, one, later);
        let until = refusals.campaign_held_until(&"x".into(), later);
        assert_eq!(until, Some(later + 2 * hour));
        refusals.pass(&one, later);
        assert_eq!(refusals, Refusals::default());
    }

    #[test]
    fn a_campaign_that_is_resumed_is_as_if_nothing_had_been_refused_of_it() {
        let permission = Evidence::Doubt(Doubt::Permission);
        let mut refusals = Refusals::default();
        for (n, person) in [(1, "a"), (2, "b")] {
            refuse(&mut refusals, permission, &party(n, person, "x", "m"));
        }
        refuse(&mut refusals, Evidence::Campaign, &party(3, "c", "x", "m"));
        refuse(&mut refusals, Evidence::Campaign, &party(4, "c", "y", "m"));
        refusals.resume_campaign(&"x".into());
        assert_eq!(refusals.campaign_held_until(&"x".into(), NOW), None);
        assert!(refusals.campaign_held_until(&"y".into(), NOW).is_some());
        refusals.pass(&party(5, "d", "z", "m"), NOW);
        assert_eq!(refusals.campaign_held_until(&"x".into(), NOW), None, "no refusal is left");
    }

    #[test]
    fn a_campaign_that_is_refused_while_another_goes_through_is_put_on_hold() {
        let permission = Evidence::Doubt(Doubt::Permission);
        let mut refusals = Refusals::default();
        for (n, person) in [(1, "a"), (2, "b"), (3, "c")] {
            refuse(&mut refusals, permission, &party(n, person, "x", "m"));
        }
        refusals.pass(&party(4, "d", "y", "m"), NOW);
        assert!(refusals.campaign_held_until(&"x".into(), NOW).is_some());
        let next = party(5, "e", "x", "m");
        assert_eq!(refuse(&mut refusals, permission, &next), Finding::Campaign);
    }

    #[test]
    fn what_is_remembered_has_a_form_that_is_kept_and_a_bound() {
        let mut refusals = Refusals::default();
        for n in 0..30 {
            let party = party(n, &n.to_string(), &n.to_string(), "m");
            refuse(&mut refusals, Evidence::Clear(HoldCause::Throttled), &party);
            refuse(&mut refusals, Evidence::Campaign, &party);
            refuse(&mut refusals, Evidence::Doubt(Doubt::Request), &party);
        }
        let text = serde_json::to_string(&refusals).unwrap();
        assert!(text.len() < 1200, "{} bytes: {text}", text.len());
        assert_eq!(serde_json::from_str::<Refusals>(&text).unwrap(), refusals);
        let none: Refusals = serde_json::from_str("{}").unwrap();
        assert!(none.is_empty());
    }
}
