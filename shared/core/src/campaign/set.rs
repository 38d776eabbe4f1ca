//! The campaigns of an account: which of them answers a comment, and why the others do not.

use super::{
    Campaign, Moment, NEXT_POST, NextPost, Period, Phase, Replies, Running, StoredCampaign,
    Trigger, next_post, stored,
};
use crate::active_hours::Zone;
use crate::id::{CampaignId, MediaId};
use crate::keyword::{Comment, Keyword};
use crate::time::Timestamp;

/// An account's campaigns, with their keywords folded for matching.
#[derive(Clone, Debug, Default)]
pub struct Campaigns(pub(super) Vec<Ready>);

#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) campaign: Campaign,
    running: Running,
    pub(super) period: Period,
    /// The media that it is for; if empty, all.
    pub(super) media: Vec<MediaId>,
    pub(super) next_post: Option<NextPost>,
    keywords: Vec<Keyword>,
    except: Vec<Keyword>,
}

/// A comment, or another event, that a campaign may want.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What it is.
    pub trigger: Trigger,
    /// What it says.
    pub text: &'a str,
    /// The media that it is on: a comment on an ad is on the post that the ad promotes too, a story
    /// reply on the story. `None` if any media will do.
    pub media: Option<&'a [&'a MediaId]>,
    /// Whether it is below another comment.
    pub is_reply: bool,
    /// When it was made, as far as that is known, or told of.
    pub at: Timestamp,
}

/// A comment that a campaign wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The campaign.
    pub campaign: &'a Campaign,
    /// The keyword that the comment contains. `None` if the campaign matches every comment.
    pub keyword: Option<&'a str>,
    /// The other campaigns that want it, and do not get it.
    pub outranked: Vec<&'a CampaignId>,
}

impl Campaigns {
    /// Prepares active campaigns. Those for certain media come first. Within both groups, campaigns
    /// that match every comment come last. Otherwise the given order is kept.
    pub fn new(campaigns: impl IntoIterator<Item = Campaign>) -> Self {
        Self::as_they_run(campaigns.into_iter().map(|campaign| (campaign, Running::Active)))
    }

    /// Prepares campaigns as they stand, some of them paused: see [`Self::new`].
    pub fn as_they_run(campaigns: impl IntoIterator<Item: Into<StoredCampaign>>) -> Self {
        Self::prepared(campaigns.into_iter().map(Into::into))
    }

    /// Prepares stored campaigns of an account in this time zone: see [`Self::new`]. Their order is
    /// that of their places.
    pub fn stored(mut campaigns: Vec<StoredCampaign>, zone: &Zone) -> Self {
        stored::sort(&mut campaigns);
        Self::prepared(campaigns).in_zone(zone)
    }

    /// Whether something follows the opening of one of them.
    pub fn have_conversations(&self) -> bool {
        self.iter().any(|campaign| campaign.then.is_some())
    }

    /// Lets campaigns start and end by the clocks of this zone instead of UTC.
    #[must_use]
    pub fn in_zone(mut self, zone: &Zone) -> Self {
        for Ready { campaign, period, .. } in &mut self.0 {
            *period = Period::new(campaign.starts.as_ref(), campaign.ends.as_ref(), zone);
        }
        self
    }

    fn prepared(campaigns: impl IntoIterator<Item = StoredCampaign>) -> Self {
        let fold = |words: &[String]| words.iter().map(|word| Keyword::new(word)).collect();
        let mut ready: Vec<Ready> = campaigns
            .into_iter()
            .map(|stored| {
                let media = next_post::media_of(&stored);
                let StoredCampaign { campaign, running, next_post, .. } = stored;
                let (starts, ends) = (campaign.starts.as_ref(), campaign.ends.as_ref());
                Ready {
                    keywords: fold(&campaign.keywords),
                    except: fold(&campaign.except),
                    period: Period::new(starts, ends, &Zone::UTC),
                    media,
                    next_post,
                    campaign,
                    running,
                }
            })
            .collect();
        ready.sort_by_key(Ready::rank);
        Self(ready)
    }

    /// Returns the campaign with this id.
    pub fn get(&self, id: &CampaignId) -> Option<&Campaign> {
        self.0.iter().map(|ready| &ready.campaign).find(|campaign| campaign.id == *id)
    }

    /// Returns whether a campaign is active. A campaign that was removed counts as active, so that
    /// its sends are looked at and end.
    pub fn running(&self, id: &CampaignId) -> Running {
        let found = self.0.iter().find(|ready| ready.campaign.id == *id);
        found.map_or(Running::Active, |ready| ready.running)
    }

    /// Returns from when until when a campaign matches; `None` if there is none of that name.
    pub fn period(&self, id: &CampaignId) -> Option<Period> {
        self.0.iter().find(|ready| ready.campaign.id == *id).map(|ready| ready.period)
    }

    /// Whether a campaign's sends must wait.
    pub fn is_paused(&self, id: &CampaignId) -> bool {
        matches!(self.running(id), Running::PausedSince(_))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Campaign> {
        self.0.iter().map(|ready| &ready.campaign)
    }

    /// Returns the campaign that answers a comment. Of campaigns of the same rank, those come first
    /// whose keyword the comment contains as it is.
    pub fn matching(&self, candidate: &Candidate<'_>) -> Option<Match<'_>> {
        let comment = Comment::new(candidate.text);
        let mut found: Option<(&Ready, bool, Option<&str>)> = None;
        let mut outranked = Vec::new();
        for ready in &self.0 {
            let (tolerates, keyword) = match ready.verdict(candidate, &comment) {
                Verdict::Wants(keyword) => (false, keyword),
                Verdict::Tolerates(keyword) => (true, Some(keyword)),
                Verdict::Misses(_) => continue,
            };
            let is_first = found.is_none_or(|(first, first_tolerates, _)| {
                (ready.rank(), tolerates) < (first.rank(), first_tolerates)
            });
            let other = if is_first {
                found.replace((ready, tolerates, keyword)).map(|(first, ..)| first)
            } else {
                Some(ready)
            };
            outranked.extend(other.map(|other| &other.campaign.id));
        }
        let (Ready { campaign, .. }, _, keyword) = found?;
        Some(Match { campaign, keyword, outranked })
    }

    /// Tells of each campaign whether it wants a comment. The first that does answers it.
    pub fn verdicts(&self, candidate: &Candidate<'_>) -> Vec<(&Campaign, Verdict<'_>)> {
        let comment = Comment::new(candidate.text);
        let all = self.0.iter().map(|ready| (ready, ready.verdict(candidate, &comment)));
        let mut all: Vec<_> = all.collect();
        let tolerates = |verdict: &Verdict<'_>| matches!(verdict, Verdict::Tolerates(_));
        all.sort_by_key(|(ready, verdict)| (ready.rank(), tolerates(verdict)));
        all.into_iter().map(|(ready, verdict)| (&ready.campaign, verdict)).collect()
    }

    /// Returns the campaign that came nearest to wanting a comment, and what it missed; `None` if a
    /// campaign wants the comment or none came near. A campaign that the comment was for, but for
    /// its place, a pause or an exception, is nearer than a campaign with a keyword that almost is
    /// in the comment. Those that take every comment come last.
    pub fn nearest(&self, candidate: &Candidate<'_>) -> Option<(&Campaign, Near<'_>)> {
        self.nearest_in(candidate, &Comment::new(candidate.text))
            .map(|NearMiss { campaign, near, .. }| (campaign, near))
    }

    /// Returns the same for a comment that is folded already, with the keyword that came nearest.
    pub fn nearest_in(&self, candidate: &Candidate<'_>, comment: &Comment) -> Option<NearMiss<'_>> {
        let mut nearest: Option<(usize, NearMiss<'_>)> = None;
        for ready in &self.0 {
            let Verdict::Misses(miss) = ready.verdict(candidate, comment) else { return None };
            let (distance, near, keyword) = match miss {
                Miss::NoKeyword => match ready.near(comment) {
                    Some((distance, word)) => (distance + 1, Near::Almost(word, None), Some(word)),
                    None => continue,
                },
                // It takes everything, but nothing of this kind: that is not near.
                Miss::But(But::OtherTrigger) if ready.keywords.is_empty() => continue,
                Miss::But(but) if ready.keywords.is_empty() => (usize::MAX, Near::But(but), None),
                // One that is for such events, but paused, is nearer than one for others.
                Miss::But(but) => match ready.keyword_in(comment) {
                    Some(word) => {
                        (usize::from(but == But::OtherTrigger), Near::But(but), Some(word))
                    }
                    None => match ready.near(comment) {
                        Some((distance, word)) => {
                            (distance + 2, Near::Almost(word, Some(but)), Some(word))
                        }
                        None => continue,
                    },
                },
            };
            if nearest.as_ref().is_none_or(|(least, ..)| distance < *least) {
                nearest = Some((distance, NearMiss { campaign: &ready.campaign, keyword, near }));
            }
        }
        nearest.map(|(_, miss)| miss)
    }
}

/// The campaign that came nearest to wanting a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearMiss<'a> {
    /// The campaign.
    pub campaign: &'a Campaign,
    /// Its keyword that the comment contains, or almost does. `None` if it takes every comment.
    pub keyword: Option<&'a str>,
    /// What it missed.
    pub near: Near<'a>,
}

/// Whether a campaign wants a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It does, for this keyword; `None` if it takes every comment.
    Wants(Option<&'a str>),
    /// It does: the comment nearly contains this keyword, and the campaign tolerates the
    /// difference.
    Tolerates(&'a str),
    /// It does not.
    Misses(Miss<'a>),
}

/// Why a campaign does not want a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss<'a> {
    /// Something other than the keywords keeps it from the comment.
    But(But<'a>),
    /// The comment contains none of its keywords.
    NoKeyword,
}

/// How near a campaign came to wanting a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near<'a> {
    /// Its keywords would have it.
    But(But<'a>),
    /// The comment almost contains this keyword. Something else may keep the campaign from it, too.
    Almost(&'a str, Option<But<'a>>),
}

/// What keeps a campaign from a comment that its keywords may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum But<'a> {
    /// It is paused.
    Paused,
    /// It is for other events.
    OtherTrigger,
    /// It had not begun.
    NotBegun(&'a Moment),
    /// It had ended.
    Over(&'a Moment),
    /// It is for other media.
    OtherMedia,
    /// It is for the next post, which is not published yet.
    NoPostYet,
    /// The comment is below another one.
    Reply,
    /// The comment contains this exception.
    Exception(&'a str),
}

impl Ready {
    fn verdict(&self, candidate: &Candidate<'_>, comment: &Comment) -> Verdict<'_> {
        let Campaign { matching, tolerate, except, replies, .. } = &self.campaign;
        if !self.campaign.is_on(candidate.trigger) {
            return Verdict::Misses(Miss::But(But::OtherTrigger));
        }
        if self.running != Running::Active {
            return Verdict::Misses(Miss::But(But::Paused));
        }
        let Campaign { starts, ends, .. } = &self.campaign;
        let outside = match self.period.phase(candidate.at) {
            Phase::Before => starts.as_ref().map(But::NotBegun),
            Phase::Open => None,
            Phase::Over => ends.as_ref().map(But::Over),
        };
        if let Some(but) = outside {
            return Verdict::Misses(Miss::But(but));
        }
        let is_elsewhere =
            |media: &[&MediaId]| !media.iter().any(|media| self.media.contains(media));
        if !self.media.is_empty() && candidate.media.is_some_and(is_elsewhere) {
            let is_awaited = self.media.iter().any(|media| media.as_str() == NEXT_POST);
            let but = if is_awaited { But::NoPostYet } else { But::OtherMedia };
            return Verdict::Misses(Miss::But(but));
        }
        if candidate.is_reply && *replies == Replies::TopLevel {
            return Verdict::Misses(Miss::But(But::Reply));
        }
        if let Some(at) = self.except.iter().position(|word| comment.has(word, *matching)) {
            return Verdict::Misses(Miss::But(But::Exception(&except[at])));
        }
        if self.keywords.is_empty() {
            return Verdict::Wants(None);
        }
        if let Some(keyword) = self.exact_in(comment) {
            return Verdict::Wants(Some(keyword));
        }
        let Some(keyword) = self.near_in(comment) else {
            return Verdict::Misses(Miss::NoKeyword);
        };
        // What is tolerated in a keyword is tolerated in an exception.
        let is_near = |word: &Keyword| comment.has_nearly(word, *matching, tolerate);
        match self.except.iter().position(is_near) {
            Some(at) => Verdict::Misses(Miss::But(But::Exception(&except[at]))),
            None => Verdict::Tolerates(keyword),
        }
    }

    /// The campaigns of a lower rank are asked first: those for certain media, and of both kinds
    /// those with keywords.
    fn rank(&self) -> (bool, bool) {
        (self.media.is_empty(), self.keywords.is_empty())
    }

    /// Returns the first keyword that a comment contains.
    fn exact_in(&self, comment: &Comment) -> Option<&str> {
        let Campaign { matching, keywords, .. } = &self.campaign;
        let at = self.keywords.iter().position(|word| comment.has(word, *matching))?;
        Some(&keywords[at])
    }

    /// Returns the first keyword that a comment contains but for what the campaign tolerates.
    fn near_in(&self, comment: &Comment) -> Option<&str> {
        let Campaign { matching, tolerate, keywords, .. } = &self.campaign;
        let is_near = |word: &Keyword| comment.has_nearly(word, *matching, tolerate);
        let at = self.keywords.iter().position(is_near)?;
        Some(&keywords[at])
    }

    /// Returns the first keyword that a comment contains, as it is or nearly.
    fn keyword_in(&self, comment: &Comment) -> Option<&str> {
        self.exact_in(comment).or_else(|| self.near_in(comment))
    }

    /// Returns the keyword that a comment almost contains, and how many letters apart it is.
    fn near(&self, comment: &Comment) -> Option<(usize, &str)> {
        let words = self.keywords.iter().zip(&self.campaign.keywords);
        let near = words.filter_map(|(word, text)| Some((comment.distance(word)?, text.as_str())));
        near.min_by_key(|(distance, _)| *distance)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keyword::Tolerance;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn campaign(id: &str, keywords: &[&str], media: &[&str]) -> Campaign {
        let fields = json!({ "id": id, "keywords": keywords, "media": media, "messages": ["hi"] });
        serde_json::from_value(fields).unwrap()
    }

    fn matched(campaigns: &Campaigns, text: &str, media: &str) -> Option<String> {
        let found = campaigns.matching(&Candidate {
            trigger: Trigger::Comment,
            text,
            media: Some(&[&media.into()]),
            is_reply: false,
            at: NOW,
        })?;
        Some(format!("{} {}", found.campaign.id, found.keyword.unwrap_or("-")))
    }

    #[test]
    fn the_campaign_for_this_post_goes_before_the_one_for_all() {
        let campaigns =
            Campaigns::new([campaign("all", &["link"], &[]), campaign("reel", &["link"], &["m1"])]);
        assert_eq!(matched(&campaigns, "LINK", "m1").as_deref(), Some("reel link"));
        assert_eq!(matched(&campaigns, "LINK", "m2").as_deref(), Some("all link"));
        let media = MediaId::from("m1");
        let media = [&media];
        let candidate = Candidate {
            trigger: Trigger::Comment,
            text: "link",
            media: Some(&media),
            is_reply: false,
            at: NOW,
        };
        let found = campaigns.matching(&candidate).unwrap();
        assert_eq!((&found.campaign.id, found.outranked), (&"reel".into(), vec![&"all".into()]));
        assert_eq!(matched(&campaigns, "hello", "m1"), None);
    }

    #[test]
    fn no_keywords_take_every_comment_but_the_exceptions() {
        let mut any = campaign("any", &[], &[]);
        any.except = vec!["spam".into()];
        let campaigns = Campaigns::new([any]);
        assert_eq!(matched(&campaigns, "", "m").as_deref(), Some("any -"));
        assert_eq!(matched(&campaigns, "SPAM!", "m"), None);
    }

    #[test]
    fn who_takes_every_comment_goes_last() {
        let campaigns =
            Campaigns::new([campaign("any", &[], &[]), campaign("link", &["link"], &[])]);
        assert_eq!(matched(&campaigns, "link", "m").as_deref(), Some("link link"));
        assert_eq!(matched(&campaigns, "hello", "m").as_deref(), Some("any -"));
    }

    #[test]
    fn a_campaign_matches_between_its_start_and_its_end() {
        let sale = Campaign {
            starts: "2026-12-01".parse().ok(),
            ends: "2026-12-24".parse().ok(),
            ..campaign("sale", &["sale"], &[])
        };
        let tokyo: Zone = "Asia/Tokyo".parse().unwrap();
        let campaigns = Campaigns::new([sale]).in_zone(&tokyo);
        let at = |at: &str| {
            let at = at.parse::<Moment>().unwrap().begin(&tokyo);
            Candidate { trigger: Trigger::Comment, text: "sale", media: None, is_reply: false, at }
        };
        let matches = |time: &str| campaigns.matching(&at(time)).is_some();
        assert!(!matches("2026-11-30T23:59"));
        assert!(matches("2026-12-01T00:00") && matches("2026-12-24T23:59"));
        assert!(!matches("2026-12-25"));
        let near = |time: &str| format!("{:?}", campaigns.nearest(&at(time)).unwrap().1);
        assert_eq!(near("2026-11-30"), "But(NotBegun(Day(2026-12-01)))");
        assert_eq!(near("2026-12-25"), "But(Over(Day(2026-12-24)))");
        let begins_at = at("2026-12-01").at;
        assert_eq!(campaigns.period(&"sale".into()).unwrap().begins_at, begins_at);
    }

    #[test]
    fn stored_campaigns_are_asked_by_place_and_those_without_one_last_by_id() {
        let stored = |id: &str, place: Option<u32>| StoredCampaign {
            place,
            ..(campaign(id, &["link"], &[]), Running::Active).into()
        };
        let all = [("b", None), ("z", Some(0)), ("a", None), ("y", Some(10)), ("x", Some(2))];
        let mut campaigns: Vec<_> = all.map(|(id, place)| stored(id, place)).into();
        campaigns.push(StoredCampaign {
            place: Some(11),
            ..(campaign("reel", &[], &["m1"]), Running::Active).into()
        });
        let campaigns = Campaigns::stored(campaigns, &Zone::UTC);
        let order: Vec<&str> = campaigns.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(order, ["reel", "z", "x", "y", "a", "b"]);
    }

    #[test]
    fn a_paused_campaign_matches_nothing_and_is_still_known() {
        let paused = Running::PausedSince(Timestamp::from_secs(1_790_000_000));
        let campaigns = Campaigns::as_they_run([
            (campaign("link", &["link"], &["m"]), paused),
            (campaign("any", &[], &[]), Running::Active),
        ]);
        assert_eq!(matched(&campaigns, "link", "m").as_deref(), Some("any -"));
        assert!(campaigns.get(&"link".into()).is_some());
        let is_paused = |id: &str| campaigns.is_paused(&id.into());
        assert_eq!(["link", "any", "gone"].map(is_paused), [true, false, false]);
    }

    #[test]
    fn a_comment_on_an_ad_counts_for_the_post_it_promotes() {
        let campaigns = Campaigns::new([campaign("reel", &["link"], &["m1"])]);
        let media = ["ad".into(), "m1".into()];
        let media = [&media[0], &media[1]];
        let candidate = Candidate {
            trigger: Trigger::Comment,
            text: "link",
            media: Some(&media),
            is_reply: false,
            at: NOW,
        };
        assert!(campaigns.matching(&candidate).is_some());
    }

    #[test]
    fn a_reply_is_for_campaigns_that_take_replies() {
        let everywhere = Campaign { replies: Replies::All, ..campaign("all", &["link"], &[]) };
        let campaigns = Campaigns::new([campaign("top", &["link"], &[]), everywhere]);
        let answers = |is_reply| {
            let candidate = Candidate {
                trigger: Trigger::Comment,
                text: "link",
                media: None,
                is_reply,
                at: NOW,
            };
            campaigns.matching(&candidate).map(|found| found.campaign.id.to_string())
        };
        assert_eq!(answers(false).as_deref(), Some("top"));
        assert_eq!(answers(true).as_deref(), Some("all"));
    }

    #[test]
    fn a_paused_campaign_is_nearer_than_one_for_other_events() {
        let messages = Campaign { on: vec![Trigger::Message], ..campaign("dm", &["link"], &[]) };
        let campaigns = Campaigns::as_they_run([
            (campaign("comments", &["link"], &[]), Running::Active),
            (messages, Running::PausedSince(NOW)),
        ]);
        let trigger = Trigger::Message;
        let candidate = Candidate { trigger, text: "link", media: None, is_reply: false, at: NOW };
        let (nearest, near) = campaigns.nearest(&candidate).unwrap();
        assert_eq!((nearest.id.as_str(), near), ("dm", Near::But(But::Paused)));
    }

    #[test]
    fn a_campaign_takes_what_it_is_on() {
        let on = |id: &str, keywords: &[&str], on: &[Trigger]| Campaign {
            on: on.into(),
            ..campaign(id, keywords, &[])
        };
        let story =
            Campaign { media: vec!["s1".into()], ..on("story", &["link"], &[Trigger::StoryReply]) };
        let campaigns = Campaigns::new([
            on("messages", &["link"], &[Trigger::Message, Trigger::Referral]),
            on("any", &[], &[Trigger::StoryReply]),
            story,
            campaign("comments", &["link"], &[]),
        ]);
        let (one, other) = (MediaId::from("s1"), MediaId::from("s2"));
        let of = |trigger, media: Option<&MediaId>| {
            let media: Vec<&MediaId> = media.into_iter().collect();
            let candidate =
                Candidate { trigger, text: "link", media: Some(&media), is_reply: false, at: NOW };
            campaigns.matching(&candidate).map(|found| found.campaign.id.to_string())
        };
        assert_eq!(of(Trigger::Comment, None).as_deref(), Some("comments"));
        assert_eq!(of(Trigger::LiveComment, None).as_deref(), Some("comments"));
        assert_eq!(of(Trigger::Message, None).as_deref(), Some("messages"));
        assert_eq!(of(Trigger::Referral, None).as_deref(), Some("messages"));
        assert_eq!(of(Trigger::StoryReply, Some(&one)).as_deref(), Some("story"));
        assert_eq!(of(Trigger::StoryReply, Some(&other)).as_deref(), Some("any"));
        assert_eq!(of(Trigger::StoryReply, None).as_deref(), Some("any"), "which one is not told");
        assert_eq!(of(Trigger::StoryMention, None), None);
        let mention = Candidate {
            trigger: Trigger::StoryMention,
            text: "link",
            media: None,
            is_reply: false,
            at: NOW,
        };
        let (nearest, near) = campaigns.nearest(&mention).unwrap();
        assert_eq!((nearest.id.as_str(), near), ("story", Near::But(But::OtherTrigger)));
        let nothing = Candidate { text: "hello", ..mention };
        assert!(campaigns.nearest(&nothing).is_none(), "one that takes all is not near");
    }

    #[test]
    fn a_keyword_as_it_is_goes_before_one_that_is_tolerated() {
        let tolerant = |id: &str, keyword: &str, media: &[&str]| Campaign {
            tolerate: vec![Tolerance::Typos, Tolerance::RepeatedLetters],
            except: vec!["no guide".into()],
            ..campaign(id, &[keyword], media)
        };
        let campaigns = Campaigns::new([
            tolerant("meal", "meal", &[]),
            campaign("deal", &["deal"], &[]),
            tolerant("reel", "seal", &["m1"]),
            tolerant("guide", "guide", &[]),
        ]);
        assert_eq!(matched(&campaigns, "deal", "m2").as_deref(), Some("deal deal"));
        assert_eq!(matched(&campaigns, "meel", "m2").as_deref(), Some("meal meal"));
        assert_eq!(matched(&campaigns, "deal", "m1").as_deref(), Some("reel seal"), "media first");
        assert_eq!(matched(&campaigns, "guiide", "m2").as_deref(), Some("guide guide"));
        assert_eq!(matched(&campaigns, "no guiide", "m2"), None, "an exception is tolerant too");
        let candidate = Candidate {
            trigger: Trigger::Comment,
            text: "deal",
            media: None,
            is_reply: false,
            at: NOW,
        };
        let verdicts = campaigns.verdicts(&candidate);
        let wanting = verdicts.iter().filter(|(_, verdict)| !matches!(verdict, Verdict::Misses(_)));
        let order: Vec<&str> = wanting.map(|(campaign, _)| campaign.id.as_str()).collect();
        assert_eq!(order, ["reel", "deal", "meal"]);
    }

    #[test]
    fn what_came_nearest_and_why() {
        let paused = Running::PausedSince(Timestamp::from_secs(1_790_000_000));
        let mut spared = campaign("spared", &["price"], &[]);
        spared.except = vec!["spam".into()];
        let campaigns = Campaigns::as_they_run([
            (campaign("reel", &["recipe"], &["m1"]), Running::Active),
            (campaign("guide", &["guide", "08"], &[]), Running::Active),
            (campaign("paused", &["offer"], &[]), paused),
            (spared, Running::Active),
        ]);
        let other = MediaId::from("m2");
        let media = [&other];
        let nearest = |text: &str| {
            let candidate = Candidate {
                trigger: Trigger::Comment,
                text,
                media: Some(&media),
                is_reply: false,
                at: NOW,
            };
            let (campaign, near) = campaigns.nearest(&candidate)?;
            Some((campaign.id.to_string(), format!("{near:?}")))
        };
        let is = |campaign: &str, near: Near<'_>| Some((campaign.to_owned(), format!("{near:?}")));
        assert_eq!(nearest("recipe!"), is("reel", Near::But(But::OtherMedia)));
        assert_eq!(nearest("the offer"), is("paused", Near::But(But::Paused)));
        assert_eq!(nearest("price spam"), is("spared", Near::But(But::Exception("spam"))));
        assert_eq!(nearest("giude please"), is("guide", Near::Almost("guide", None)));
        assert_eq!(nearest("guidebook"), is("guide", Near::Almost("guide", None)));
        assert_eq!(nearest("O8"), is("guide", Near::Almost("08", None)));
        assert_eq!(nearest("so nice"), None);
        assert_eq!(nearest("spam"), None);
        assert_eq!(nearest("guide"), None, "it is answered");
        let anywhere = Candidate {
            trigger: Trigger::Comment,
            text: "recipe",
            media: None,
            is_reply: false,
            at: NOW,
        };
        assert!(campaigns.nearest(&anywhere).is_none(), "any media will do");
        let reply = Candidate { is_reply: true, ..anywhere };
        assert!(matches!(campaigns.nearest(&reply), Some((_, Near::But(But::Reply)))));
    }

    #[test]
    fn the_verdicts_name_who_comes_later() {
        let campaigns =
            Campaigns::new([campaign("all", &["link"], &[]), campaign("reel", &["link"], &["m"])]);
        let candidate = Candidate {
            trigger: Trigger::Comment,
            text: "link",
            media: None,
            is_reply: false,
            at: NOW,
        };
        let verdicts = campaigns.verdicts(&candidate);
        let verdicts: Vec<_> = verdicts.iter().map(|(one, how)| (one.id.as_str(), *how)).collect();
        let wants = Verdict::Wants(Some("link"));
        assert_eq!(verdicts, [("reel", wants), ("all", wants)]);
    }
}
