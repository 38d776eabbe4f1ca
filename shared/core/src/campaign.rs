//! Campaigns: which comments get a DM, and with which texts.

use serde::{Deserialize, Serialize};

use crate::id::{CampaignId, MediaId};
use crate::keyword::{Folded, Matching};
use crate::message::Template;
use crate::time::Timestamp;

/// What a creator has set up: comments that match get one of the messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
pub struct Campaign {
    /// Unique within the account.
    pub id: CampaignId,
    /// The comment has to hold one of these. Empty: every comment matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// How a keyword, or an exception, has to stand in the comment.
    #[serde(default)]
    pub matching: Matching,
    /// A comment that holds one of these does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Only comments on these posts, Reels or broadcasts. Empty: on all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediaId>,
    /// Which sends go first when not all can go in time.
    #[serde(default)]
    pub overflow: Overflow,
    /// The texts, one for each send in turn; 1 to 255 of them.
    pub messages: Vec<Template>,
}

/// Whether a campaign is at work. It is no part of its text: what is applied again stays paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// It matches comments, and its sends go out.
    #[default]
    Active,
    /// It matches nothing, and what waits for it stays until it goes on or its time is over.
    PausedSince(Timestamp),
}

/// Which of a campaign's sends go when not all can go in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Whoever came first.
    #[default]
    OldestFirst,
    /// Whoever came last: an answer within minutes is worth more than one after days.
    NewestFirst,
    /// Whoever came first; who would be too late gets a public reply instead.
    PublicReply,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    id: CampaignId,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    matching: Matching,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    media: Vec<MediaId>,
    #[serde(default)]
    overflow: Overflow,
    messages: Vec<Template>,
}

/// What is wrong with a campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CampaignError {
    /// No name.
    #[error("the campaign's `id` is empty: give it a name")]
    NoId,
    /// Nothing to send, or more than can be counted.
    #[error("campaign `{0}` needs 1 to 255 `messages`")]
    Messages(CampaignId),
    /// A keyword that no comment can hold.
    #[error("campaign `{0}` has an empty keyword: remove it, or leave `keywords` out to match all")]
    EmptyKeyword(CampaignId),
    /// A policy that nothing can carry out yet.
    #[error(
        "campaign `{0}`: `overflow = \"public_reply\"` is not possible yet: \
         write \"oldest_first\" or \"newest_first\""
    )]
    PublicReply(CampaignId),
    /// The same text twice, which would be sent twice running.
    #[error("campaign `{0}` has the message «{1}» twice: change one of them")]
    SameMessage(CampaignId, String),
}

impl TryFrom<Unchecked> for Campaign {
    type Error = CampaignError;

    fn try_from(given: Unchecked) -> Result<Self, CampaignError> {
        let Unchecked { id, keywords, matching, except, media, overflow, messages } = given;
        let campaign = Self { id, keywords, matching, except, media, overflow, messages };
        campaign.check().map(|()| campaign)
    }
}

impl Campaign {
    /// Checks what its fields cannot say by their types.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), CampaignError> {
        let Self { id, keywords, except, messages, .. } = self;
        if id.as_str().trim().is_empty() {
            return Err(CampaignError::NoId);
        }
        if messages.is_empty() || messages.len() > 255 {
            return Err(CampaignError::Messages(id.clone()));
        }
        if keywords.iter().chain(except).any(|word| Folded::new(word).is_empty()) {
            return Err(CampaignError::EmptyKeyword(id.clone()));
        }
        if self.overflow == Overflow::PublicReply {
            return Err(CampaignError::PublicReply(id.clone()));
        }
        for (at, message) in messages.iter().enumerate() {
            if messages[..at].contains(message) {
                return Err(CampaignError::SameMessage(id.clone(), message.to_string()));
            }
        }
        Ok(())
    }

    /// A keyword of `self` that is always `other`'s as well, so that one of the two never gets its
    /// comments: the same one on the same media. `""` where both take every comment.
    pub fn clash<'a>(&'a self, other: &Self) -> Option<&'a str> {
        let same_media = match (self.media.is_empty(), other.media.is_empty()) {
            (true, true) => true,
            (false, false) => self.media.iter().any(|media| other.media.contains(media)),
            // Those for certain media go first: the other has the rest.
            _ => false,
        };
        if !same_media {
            return None;
        }
        if self.keywords.is_empty() && other.keywords.is_empty() {
            return Some("");
        }
        let theirs: Vec<Folded> = other.keywords.iter().map(|word| Folded::new(word)).collect();
        let is_theirs = |word: &&String| theirs.contains(&Folded::new(word));
        self.keywords.iter().find(is_theirs).map(String::as_str)
    }
}

/// An account's campaigns, ready to match: keywords are folded once.
#[derive(Clone, Debug, Default)]
pub struct Campaigns(Vec<Ready>);

#[derive(Clone, Debug)]
struct Ready {
    campaign: Campaign,
    running: Running,
    keywords: Vec<Folded>,
    except: Vec<Folded>,
}

/// A comment that a campaign wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The campaign.
    pub campaign: &'a Campaign,
    /// The keyword it holds; `None` for a campaign that takes every comment.
    pub keyword: Option<&'a str>,
}

impl Campaigns {
    /// Prepares `campaigns`, all of them active. Those for certain media come first, and of these as of
    /// the others those that take every comment last; then in the order given.
    pub fn new(campaigns: impl IntoIterator<Item = Campaign>) -> Self {
        Self::as_they_run(campaigns.into_iter().map(|campaign| (campaign, Running::Active)))
    }

    /// The same, of which some may be paused.
    pub fn as_they_run(campaigns: impl IntoIterator<Item = (Campaign, Running)>) -> Self {
        let fold = |words: &[String]| words.iter().map(|word| Folded::new(word)).collect();
        let mut ready: Vec<Ready> = campaigns
            .into_iter()
            .map(|(campaign, running)| Ready {
                keywords: fold(&campaign.keywords),
                except: fold(&campaign.except),
                campaign,
                running,
            })
            .collect();
        let all = |words: &[Folded]| words.is_empty();
        ready.sort_by_key(|ready| (ready.campaign.media.is_empty(), all(&ready.keywords)));
        Self(ready)
    }

    /// A campaign by its id.
    pub fn get(&self, id: &CampaignId) -> Option<&Campaign> {
        self.0.iter().map(|ready| &ready.campaign).find(|campaign| campaign.id == *id)
    }

    /// How a campaign runs; a campaign that is gone holds nothing back.
    pub fn running(&self, id: &CampaignId) -> Running {
        let found = self.0.iter().find(|ready| ready.campaign.id == *id);
        found.map_or(Running::Active, |ready| ready.running)
    }

    /// Whether what waits for a campaign is held back.
    pub fn is_paused(&self, id: &CampaignId) -> bool {
        matches!(self.running(id), Running::PausedSince(_))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Campaign> {
        self.0.iter().map(|ready| &ready.campaign)
    }

    /// The first campaign that wants a comment with this text on any of `media` (an ad's comment
    /// counts for the post it promotes as well).
    pub fn matching(&self, text: &str, media: &[&MediaId]) -> Option<Match<'_>> {
        let comment = Folded::new(text);
        let mut active = self.0.iter().filter(|ready| ready.running == Running::Active);
        active.find_map(|ready| ready.wants(&comment, media))
    }
}

impl Ready {
    fn wants(&self, comment: &Folded, media: &[&MediaId]) -> Option<Match<'_>> {
        let Campaign { matching, media: only, keywords, .. } = &self.campaign;
        if !only.is_empty() && !media.iter().any(|media| only.contains(media)) {
            return None;
        }
        if self.except.iter().any(|word| comment.has(word, *matching)) {
            return None;
        }
        let campaign = &self.campaign;
        if keywords.is_empty() {
            return Some(Match { campaign, keyword: None });
        }
        let hit = self.keywords.iter().position(|word| comment.has(word, *matching))?;
        Some(Match { campaign, keyword: Some(&keywords[hit]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(id: &str, keywords: &[&str], media: &[&str]) -> Campaign {
        Campaign {
            id: id.into(),
            keywords: keywords.iter().map(|&word| word.into()).collect(),
            matching: Matching::Word,
            except: Vec::new(),
            media: media.iter().map(|&id| id.into()).collect(),
            overflow: Overflow::OldestFirst,
            messages: vec![Template::parse("hi").unwrap()],
        }
    }

    fn matched(campaigns: &Campaigns, text: &str, media: &str) -> Option<String> {
        let found = campaigns.matching(text, &[&media.into()])?;
        Some(format!("{} {}", found.campaign.id, found.keyword.unwrap_or("-")))
    }

    #[test]
    fn the_campaign_for_this_post_goes_before_the_one_for_all() {
        let campaigns =
            Campaigns::new([campaign("all", &["link"], &[]), campaign("reel", &["link"], &["m1"])]);
        assert_eq!(matched(&campaigns, "LINK", "m1").as_deref(), Some("reel link"));
        assert_eq!(matched(&campaigns, "LINK", "m2").as_deref(), Some("all link"));
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
    fn two_that_want_the_same_comments_clash() {
        let clash = |one: &Campaign, other: &Campaign| one.clash(other).map(str::to_owned);
        let guide = campaign("guide", &["link", "Guía"], &[]);
        let same = campaign("same", &["GUIA"], &[]);
        assert_eq!(clash(&guide, &same).as_deref(), Some("Guía"));
        assert_eq!(clash(&same, &guide).as_deref(), Some("GUIA"));
        assert_eq!(clash(&campaign("a", &[], &[]), &campaign("b", &[], &[])).as_deref(), Some(""));
        let none = [
            (guide.clone(), campaign("other", &["guides"], &[])),
            (guide.clone(), campaign("any", &[], &[])),
            (guide, campaign("reel", &["link"], &["m1"])),
            (campaign("a", &["link"], &["m1"]), campaign("b", &["link"], &["m2"])),
        ];
        assert!(none.iter().all(|(one, other)| clash(one, other).is_none()));
        let (a, b) = (campaign("a", &["x"], &["m1", "m2"]), campaign("b", &["x"], &["m2"]));
        assert_eq!(clash(&a, &b).as_deref(), Some("x"));
    }

    #[test]
    fn a_comment_on_an_ad_counts_for_the_post_it_promotes() {
        let campaigns = Campaigns::new([campaign("reel", &["link"], &["m1"])]);
        let media = ["ad".into(), "m1".into()];
        assert!(campaigns.matching("link", &[&media[0], &media[1]]).is_some());
    }

    #[test]
    fn mistakes_are_refused() {
        let unchecked = |keywords: &[&str], messages: &[&str]| Unchecked {
            id: "c".into(),
            keywords: keywords.iter().map(|&word| word.into()).collect(),
            matching: Matching::Word,
            except: Vec::new(),
            media: Vec::new(),
            overflow: Overflow::OldestFirst,
            messages: messages.iter().map(|text| Template::parse(text).unwrap()).collect(),
        };
        let error = |keywords: &[&str], messages: &[&str]| {
            Campaign::try_from(unchecked(keywords, messages)).unwrap_err()
        };
        assert_eq!(error(&["link"], &[]), CampaignError::Messages("c".into()));
        assert_eq!(error(&[" "], &["hi"]), CampaignError::EmptyKeyword("c".into()));
        assert_eq!(
            error(&["link"], &["hi", "hi"]),
            CampaignError::SameMessage("c".into(), "hi".into())
        );
        assert!(Campaign::try_from(unchecked(&[], &["hi"])).is_ok());
        let public = Unchecked { overflow: Overflow::PublicReply, ..unchecked(&[], &["hi"]) };
        let error = Campaign::try_from(public).unwrap_err();
        assert!(error.to_string().contains("not possible yet"), "{error}");
    }
}
