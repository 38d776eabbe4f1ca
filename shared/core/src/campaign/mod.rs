//! Campaigns: which comments and messages get a DM, and with which texts.

mod next_post;
mod period;
mod public;
mod set;
mod stored;
mod trigger;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::next_post::{Awaiting, NEXT_POST, NextPost};
pub use self::period::{Moment, NotAMoment, Period, Phase};
pub use self::public::{
    COMMENT_CHARS_MAX, CommentTextError, Share, after_outcome, check_comment_text,
};
pub use self::set::{But, Campaigns, Candidate, Match, Miss, Near, NearMiss, Verdict};
pub use self::stored::StoredCampaign;
pub use self::trigger::{Trigger, TriggerFault};
use crate::content::{Disclosure, DisclosureError, Draft, Fault, Faults};
use crate::conversation::{Then, ThenError};
use crate::id::{CampaignId, MediaId};
use crate::keyword::{Keyword, Matching, Tolerance};
use crate::message::{Template, beginning};
use crate::once::{ONCE_FOR, ONCE_FOR_MAX, Once, OncePer};
use crate::send::CampaignStep;
use crate::time::Timestamp;

// This is the one declaration of a campaign's fields. What a file may say, the stored form, the
// JSON schema and what the operator's tool shows and compares all follow from it. Deserializing checks
// the types alone, `check` the rest.
/// A creator's campaign: what matches it gets one of its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Unique within the account.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "String", length(min = 1, max = 64), regex(pattern = r"^[^\s-](.*\S)?$"))
    )]
    pub id: CampaignId,
    /// What it answers. «Comment» below means any of these. With none, only `spillway campaign send`
    /// begins it, and it has no keywords.
    #[serde(default = "on", skip_serializing_if = "is_on")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<Trigger>", transform = different)
    )]
    pub on: Vec<Trigger>,
    /// The comment must contain one of these. If left out, every comment matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), transform = words))]
    pub keywords: Vec<String>,
    /// How a comment must contain a keyword or an exception.
    #[serde(default)]
    pub matching: Matching,
    /// What may be different in a comment's words from the keyword's. Exceptions are exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(transform = different))]
    pub tolerate: Vec<Tolerance>,
    /// A comment that contains one of these does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(transform = words))]
    pub except: Vec<String>,
    /// Posts, Reels or broadcasts whose comments match, or stories whose replies do. If empty, all
    /// do. Messages, mentions and referrals have none. `"next"` is the first post
    /// that is published after the campaign was applied, or after its start.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "next_post::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", transform = media))]
    pub media: Vec<MediaId>,
    /// Whether comments below other comments match.
    #[serde(default, skip_serializing_if = "Replies::is_default")]
    pub replies: Replies,
    /// For what a person gets one DM of this campaign: `comment` for each event. If left out, for a
    /// post or story, and for each message, mention or referral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_per: Option<OncePer>,
    /// For how long that counts, where `once_per` is a post or the campaign: from a day to 400 days,
    /// such as `30d`. The default is 90 days.
    #[serde(default = "once_for", skip_serializing_if = "is_once_for", with = "crate::span")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub once_for: Duration,
    /// Since when comments match, such as `2026-12-01` or `2026-12-01T09:00`, by the clocks of the
    /// account's time zone unless an offset is given. A comment counts by the time when it was made
    /// if Meta tells that, else by when Meta told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", transform = moment))]
    pub starts: Option<Moment>,
    /// Until when comments match. A date is the last day. What waits then is still sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", transform = moment))]
    pub ends: Option<Moment>,
    /// Which sends go first if not all can go in time. `public_reply` needs `public_fallback`.
    #[serde(default)]
    pub overflow: Overflow,
    /// The texts, one for each send in turn; 1 to 255 of them. Each has at most 1,000 bytes when it
    /// is filled in. Placeholders are `{username|fallback}` and `{keyword|fallback}`; `{{` and `}}`
    /// are braces.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<String>", length(min = 1, max = 255), transform = words)
    )]
    pub messages: Vec<Template>,
    /// Public replies to comments whose DM has landed, one for each in turn; at most 255 of them.
    /// Each has at most 300 characters, 4 hashtags and one link, and is not all capitals.
    /// Placeholders are those of messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<String>", length(max = 255), transform = words)
    )]
    pub public_replies: Vec<Template>,
    /// The share of landed DMs that a public reply follows, from 0 to 1.
    #[serde(default, skip_serializing_if = "Share::is_all")]
    #[cfg_attr(feature = "schema", schemars(with = "f64", range(min = 0, max = 1)))]
    pub public_share: Share,
    /// Public replies to comments whose DM Meta has refused for good, and with `overflow =
    /// "public_reply"` to those whose DM would be too late; as `public_replies`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<String>", length(max = 255), transform = words)
    )]
    pub public_fallback: Vec<Template>,
    /// What follows the opening once the person has answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
}

/// Whether a campaign is active. A file does not say this: a campaign that is applied again stays
/// paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// It matches comments, and its sends go out.
    #[default]
    Active,
    /// It matches nothing. Its sends wait until it is resumed or their deadline passes.
    PausedSince(Timestamp),
}

/// Which comments match, by their place in a thread.
///
/// People who answer each other below a post name its keyword too («just write GUIDE»), and do not
/// ask for anything. A delivery does not say whose comment a reply is below, and to ask Meta would
/// cost one of the account's calls for each reply. So a person's replies below their own comment
/// are replies like all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Replies {
    /// Those below no other comment.
    #[default]
    TopLevel,
    /// Replies to comments too.
    All,
}

impl Replies {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which of a campaign's sends go if not all can go in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest comments first.
    #[default]
    OldestFirst,
    /// The newest comments first: an answer within minutes is worth more than one after days.
    NewestFirst,
    /// The oldest comments first. Those that have become too late get a public reply instead.
    PublicReply,
}

fn on() -> Vec<Trigger> {
    Trigger::DEFAULT.into()
}

fn is_on(on: &[Trigger]) -> bool {
    *on == Trigger::DEFAULT
}

const fn once_for() -> Duration {
    ONCE_FOR
}

fn is_once_for(span: &Duration) -> bool {
    *span == ONCE_FOR
}

/// The shortest [`Campaign::once_for`].
const ONCE_FOR_MIN: Duration = Duration::from_secs(24 * 3600);

/// Describes a list of different texts that are not blank.
#[cfg(feature = "schema")]
fn words(list: &mut schemars::Schema) {
    list.insert("uniqueItems".into(), true.into());
    list.insert("items".into(), [("type", "string"), ("pattern", r"\S")].into_iter().collect());
}

/// Describes a date or a time.
#[cfg(feature = "schema")]
fn moment(text: &mut schemars::Schema) {
    text.insert("pattern".into(), "^[0-9]{4}-[0-9]{2}-[0-9]{2}.*$".into());
}

/// Describes a list of different values.
#[cfg(feature = "schema")]
fn different(list: &mut schemars::Schema) {
    list.insert("uniqueItems".into(), true.into());
}

/// Describes a list of different ids, or the word for the next post.
#[cfg(feature = "schema")]
fn media(list: &mut schemars::Schema) {
    list.insert("uniqueItems".into(), true.into());
    let id = [("type", "string"), ("pattern", "^(next|[0-9]{1,32})$")];
    list.insert("items".into(), id.into_iter().collect());
    let mut ids = std::mem::take(list);
    for name in ["description", "default"] {
        ids.remove(name).map(|value| list.insert(name.into(), value));
    }
    list.insert("anyOf".into(), vec![ids, schemars::json_schema!({ "const": NEXT_POST })].into());
}

/// A fault of a campaign.
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
    /// A span that is too short or too long.
    #[error("campaign `{0}`: `once_for` is from 1d to 400d")]
    OnceFor(CampaignId),
    /// Nothing that starts it.
    #[error(
        "campaign `{0}` has `{1}` and answers nothing: name a trigger in `on`, or leave `on` out; without \
         `{1}`, `on = []` means that only `spillway campaign send` begins it"
    )]
    NoTrigger(CampaignId, &'static str),
    /// A trigger that is listed twice.
    #[error("campaign `{0}` has `{1}` twice in `on`: remove one")]
    SameTrigger(CampaignId, Trigger),
    /// Media for a trigger that has none.
    #[error(
        "campaign `{0}`: `media` cannot choose a {noun}, which is on no post or story: remove `media`, \
         or give `{1}` a campaign of its own",
        noun = .1.noun()
    )]
    TriggerMedia(CampaignId, Trigger),
    /// One DM a post for a trigger that has none.
    #[error(
        "campaign `{0}`: `once_per = \"post\"` needs a post, and a {noun} has none: write \
         \"comment\" for each event or \"campaign\", or leave `once_per` out",
        noun = .1.noun()
    )]
    TriggerPost(CampaignId, Trigger),
    /// A field for comments without a trigger of comments.
    #[error("campaign `{0}`: `{1}` is for comments: add \"comment\" to `on`, or remove it")]
    NeedsComments(CampaignId, &'static str),
    /// A name without a fallback where none is told.
    #[error(
        "campaign `{0}`: Meta does not say who wrote a {noun}: write `{{username}}` with a fallback, as \
         in `{{username|there}}`",
        noun = .1.noun()
    )]
    Nameless(CampaignId, Trigger),
    /// An end that is not after the start.
    #[error("campaign `{0}` ends before it starts: move `starts` or `ends`")]
    Period(CampaignId),
    /// An overflow policy without the texts that it needs.
    #[error(
        "campaign `{0}`: `overflow = \"public_reply\"` needs `public_fallback`: \
         add the texts of these replies"
    )]
    PublicReply(CampaignId),
    /// More public texts than can be counted.
    #[error("campaign `{0}` has more than 255 `{1}`: remove some")]
    PublicTexts(CampaignId, &'static str),
    /// A public text that Meta does not take.
    #[error(transparent)]
    CommentText(#[from] CommentTextError),
    /// A fault of what follows the opening.
    #[error("campaign `{0}`: {1}")]
    Then(CampaignId, ThenError),
    /// A text that is listed twice, so that it could be sent twice in a row.
    #[error("campaign `{0}` has the message «{text}» twice: change one of them", text = beginning(.1))]
    SameMessage(CampaignId, String),
}

impl Campaign {
    /// Returns the messages of a step, of which one person gets one. Empty where the campaign has no
    /// such step, and for a gate.
    pub fn drafts(&self, step: CampaignStep) -> Vec<Draft> {
        let of = |texts: &[Template]| texts.iter().cloned().map(Draft::text).collect();
        match step {
            CampaignStep::Opening => of(&self.messages),
            CampaignStep::PublicReply => of(&self.public_replies),
            CampaignStep::PublicFallback => of(&self.public_fallback),
            CampaignStep::Gate => Vec::new(),
            CampaignStep::Then(step) => {
                self.then.as_ref().map(|then| then.messages(step)).unwrap_or_default()
            }
        }
    }

    /// Whether one of its messages has a link that tells that the person has opened it.
    pub fn has_tracked_link(&self) -> bool {
        self.messages.iter().any(Template::has_tracked_link)
            || self.then.as_ref().is_some_and(Then::has_tracked_link)
    }

    /// Returns what is wrong with its messages behind a disclosure, and where.
    pub fn faults_behind(&self, disclosure: &Disclosure) -> Vec<Fault<DisclosureError>> {
        let mut faults = Faults::default();
        disclosure.check_texts("messages", &self.messages, &mut faults);
        if let Some(then) = &self.then {
            faults.field("then", |faults| then.check_behind(disclosure, faults));
        }
        faults.found()
    }

    /// Checks what the types of the fields cannot express.
    ///
    /// # Errors
    /// Returns the first fault.
    pub fn check(&self) -> Result<(), CampaignError> {
        let Self { id, keywords, except, messages, .. } = self;
        if id.as_str().trim().is_empty() {
            return Err(CampaignError::NoId);
        }
        if messages.is_empty() || messages.len() > 255 {
            return Err(CampaignError::Messages(id.clone()));
        }
        if keywords.iter().chain(except).any(|word| Keyword::new(word).is_empty()) {
            return Err(CampaignError::EmptyKeyword(id.clone()));
        }
        self.check_once_for()?;
        self.check_period()?;
        if let Some(fault) = self.trigger_faults().into_iter().next() {
            return Err(fault.error);
        }
        if let Some(fault) = self.then.as_ref().and_then(|then| then.faults().into_iter().next()) {
            return Err(CampaignError::Then(id.clone(), fault.error));
        }
        if self.overflow == Overflow::PublicReply && self.public_fallback.is_empty() {
            return Err(CampaignError::PublicReply(id.clone()));
        }
        for (field, texts) in self.public_texts() {
            if texts.len() > 255 {
                return Err(CampaignError::PublicTexts(id.clone(), field));
            }
            texts.iter().try_for_each(check_comment_text)?;
        }
        for texts in [messages, &self.public_replies, &self.public_fallback] {
            for (at, text) in texts.iter().enumerate() {
                if texts[..at].contains(text) {
                    return Err(CampaignError::SameMessage(id.clone(), text.to_string()));
                }
            }
        }
        Ok(())
    }

    /// The texts of its public replies, by their field.
    pub fn public_texts(&self) -> [(&'static str, &[Template]); 2] {
        [("public_replies", &self.public_replies), ("public_fallback", &self.public_fallback)]
    }

    /// Whether it may make public replies.
    pub fn replies_in_public(&self) -> bool {
        self.public_texts().iter().any(|(_, texts)| !texts.is_empty())
    }

    /// Checks for how long an answer counts.
    ///
    /// # Errors
    /// Returns [`CampaignError::OnceFor`] if that is too short or too long.
    pub fn check_once_for(&self) -> Result<(), CampaignError> {
        if (ONCE_FOR_MIN..=ONCE_FOR_MAX).contains(&self.once_for) {
            Ok(())
        } else {
            Err(CampaignError::OnceFor(self.id.clone()))
        }
    }

    /// Checks that it ends after it starts.
    ///
    /// # Errors
    /// Returns [`CampaignError::Period`] if it does not.
    pub fn check_period(&self) -> Result<(), CampaignError> {
        match (&self.starts, &self.ends) {
            (Some(starts), Some(ends)) if ends.is_before(starts) => {
                Err(CampaignError::Period(self.id.clone()))
            }
            _ => Ok(()),
        }
    }

    /// How often a person is answered who does this.
    pub fn once(&self, trigger: Trigger) -> Once {
        Once { per: self.once_per.unwrap_or(trigger.once_per()), span: self.once_for }
    }

    /// Whether it answers this.
    pub fn is_on(&self, trigger: Trigger) -> bool {
        self.on.contains(&trigger)
    }

    /// Whether it answers nothing by itself: only `spillway campaign send` begins it.
    pub fn is_by_hand(&self) -> bool {
        self.on.is_empty()
    }

    /// Returns a keyword that both campaigns have for the same trigger, on the same media at the same
    /// time, so that one of them never gets its comments. Returns `""` if both match every comment.
    pub fn clash<'a>(&'a self, other: &Self) -> Option<&'a str> {
        let same_media = match (self.media.is_empty(), other.media.is_empty()) {
            (true, true) => true,
            (false, false) => self.media.iter().any(|media| other.media.contains(media)),
            // Those for certain media go first: the other has the rest.
            _ => false,
        };
        let is_over_before = |one: &Self, other: &Self| match (&one.ends, &other.starts) {
            (Some(ends), Some(starts)) => ends.is_before(starts),
            _ => false,
        };
        let same_trigger = self.on.iter().any(|trigger| other.is_on(*trigger));
        if !same_media
            || !same_trigger
            || is_over_before(self, other)
            || is_over_before(other, self)
        {
            return None;
        }
        if self.keywords.is_empty() && other.keywords.is_empty() {
            return Some("");
        }
        let theirs: Vec<Keyword> = other.keywords.iter().map(|word| Keyword::new(word)).collect();
        let is_theirs = |word: &&String| theirs.contains(&Keyword::new(word));
        self.keywords.iter().find(is_theirs).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn campaign(id: &str, keywords: &[&str], media: &[&str]) -> Campaign {
        let fields = json!({ "id": id, "keywords": keywords, "media": media, "messages": ["hi"] });
        serde_json::from_value(fields).unwrap()
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
        let on = |id, on: &[Trigger]| Campaign { on: on.into(), ..campaign(id, &["link"], &[]) };
        let (message, referral) = (Trigger::Message, Trigger::Referral);
        let messages = on("messages", &[message, Trigger::StoryReply]);
        assert_eq!(clash(&messages, &campaign("link", &["link"], &[])), None, "other triggers");
        assert_eq!(clash(&messages, &on("both", &[referral, message])).as_deref(), Some("link"));
        let may = Campaign { ends: "2026-05-31".parse().ok(), ..campaign("may", &["link"], &[]) };
        let june = |starts: &str| Campaign {
            starts: starts.parse().ok(),
            ..campaign("june", &["link"], &[])
        };
        assert_eq!(clash(&june("2026-06-01"), &may), None, "one is over before");
        assert_eq!(clash(&may, &june("2026-06-01")), None);
        assert_eq!(clash(&may, &june("2026-05-31")).as_deref(), Some("link"));
        let unknown = june("2026-06-02T00:00:00Z");
        assert_eq!(
            clash(&may, &unknown).as_deref(),
            Some("link"),
            "the account's zone is not known"
        );
        let (a, b) = (campaign("a", &["x"], &["m1", "m2"]), campaign("b", &["x"], &["m2"]));
        assert_eq!(clash(&a, &b).as_deref(), Some("x"));
    }

    #[test]
    fn mistakes_are_refused() {
        let with = |keywords: &[&str], messages: &[&str]| {
            let messages = messages.iter().map(|text| Template::parse(text).unwrap()).collect();
            Campaign { messages, ..campaign("c", keywords, &[]) }
        };
        let error =
            |keywords: &[&str], messages: &[&str]| with(keywords, messages).check().unwrap_err();
        assert_eq!(error(&["link"], &[]), CampaignError::Messages("c".into()));
        assert_eq!(error(&[" "], &["hi"]), CampaignError::EmptyKeyword("c".into()));
        assert_eq!(
            error(&["link"], &["hi", "hi"]),
            CampaignError::SameMessage("c".into(), "hi".into())
        );
        assert_eq!(with(&[], &["hi"]).check(), Ok(()));
        for days in [0, 401] {
            let once_for = Duration::from_secs(days * 24 * 3600);
            let campaign = Campaign { once_for, ..with(&[], &["hi"]) };
            assert_eq!(campaign.check(), Err(CampaignError::OnceFor("c".into())));
        }
        let period = |starts: &str, ends: &str| Campaign {
            starts: starts.parse().ok(),
            ends: ends.parse().ok(),
            ..with(&[], &["hi"])
        };
        assert_eq!(period("2026-12-01", "2026-12-01").check(), Ok(()), "one day");
        let error = period("2026-12-02", "2026-12-01").check();
        assert_eq!(error, Err(CampaignError::Period("c".into())));
        let public = Campaign { overflow: Overflow::PublicReply, ..with(&[], &["hi"]) };
        assert_eq!(public.check(), Err(CampaignError::PublicReply("c".into())));
        let texts = |texts: &[&str]| -> Vec<Template> {
            texts.iter().map(|text| Template::parse(text).unwrap()).collect()
        };
        let public = Campaign { public_fallback: texts(&["Write me"]), ..public };
        assert_eq!(public.check(), Ok(()));
        let same = Campaign { public_replies: texts(&["Sent", "Sent"]), ..public.clone() };
        assert_eq!(same.check(), Err(CampaignError::SameMessage("c".into(), "Sent".into())));
        let loud = Campaign { public_replies: texts(&["SENT"]), ..public };
        assert_eq!(loud.check(), Err(CommentTextError::Capitals.into()));
    }
}
