//! Once per person: what a person of an account was answered, and whether a comment of theirs asks
//! for more.
//!
//! A comment is answered once, whatever changes between two tellings of it, and the person who
//! wrote it as often as the campaign's rule allows. One item for each person and account decides
//! both: an [`Answers`]. It is written together with the first send to the person, so a first
//! comment costs no further write. Each later send to the person is named in it first.
//!
//! Neither campaigns nor media are part of its key. So it does not matter to a comment that is told
//! again whether they have changed meanwhile, nor by which rule it was answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{CampaignId, CommentId, MediaId, OnceKey, RecipientId};
use crate::seed::seed;
use crate::time::Timestamp;

/// For what a person gets one DM of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OncePer {
    /// For a post or story, however often they write about it.
    #[default]
    Post,
    /// For each comment, message or other event.
    Comment,
    /// For the whole campaign, wherever they write.
    Campaign,
}

/// How long an answer counts, where a campaign does not say.
pub const ONCE_FOR: Duration = Duration::from_secs(90 * DAY);

/// How long an answer counts, at most.
pub const ONCE_FOR_MAX: Duration = Duration::from_secs(400 * DAY);

/// How long it is known at least that a comment was answered: beyond the 7 days in which it can be
/// answered and the 36 hours in which Meta sends a delivery again.
pub const ANSWER_KEPT: Duration = Duration::from_secs(10 * DAY);

/// How long a webhook may tell of a comment that was made before its author was forgotten (Meta,
/// webhooks, 3 March 2026: a delivery is repeated for 36 hours).
pub const TOLD_LATE: Duration = Duration::from_secs(36 * 3600);

/// How long the item of a person who was forgotten stays: longer than a process goes on with an
/// account that it has read without the person's tombstone.
const FORGOTTEN_KEPT: Duration = Duration::from_secs(3600);

/// Answers to a person that are remembered. One that no rule needs any more makes room for a new
/// one. A person who has so many in [`ANSWER_KEPT`] gets no more.
pub const ANSWERS_MAX: usize = 64;

const DAY: u64 = 24 * 3600;

/// The rule of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// For what a person gets one DM.
    pub per: OncePer,
    /// For how long.
    pub span: Duration,
}

/// Which of the sends to a person answers a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nth {
    /// The first, which lies in the person's own item.
    First,
    /// A later one.
    Later(u32),
    /// One that is kept under the comment's id.
    Comment,
}

impl Nth {
    /// The key of the send that answers an event.
    pub fn key(self, person: &RecipientId, event: &OnceKey) -> OnceKey {
        match self {
            Self::First => OnceKey::person(person),
            Self::Later(nth) => OnceKey::person_again(person, nth),
            Self::Comment => event.clone(),
        }
    }

    /// Which send to a person has this key; `None` if it is kept under the comment's id.
    pub fn of(key: &OnceKey, person: &RecipientId) -> Option<Self> {
        if *key == OnceKey::person(person) {
            return Some(Self::First);
        }
        let (of_person, nth) = key.as_str().rsplit_once('.')?;
        let is_theirs = of_person == OnceKey::person(person).as_str();
        is_theirs.then(|| nth.parse().ok().map(Self::Later)).flatten()
    }

    const fn code(self) -> u32 {
        match self {
            Self::First => 0,
            Self::Later(nth) => nth,
            Self::Comment => u32::MAX,
        }
    }

    const fn decode(code: u32) -> Self {
        match code {
            0 => Self::First,
            u32::MAX => Self::Comment,
            nth => Self::Later(nth),
        }
    }
}

/// A comment of a person, or another event, as it is told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The campaign that wants it.
    pub campaign: &'a CampaignId,
    /// The post or story that it is on; for an ad, the post that the ad was made from.
    pub media: Option<&'a MediaId>,
    /// The key of the comment or other event.
    pub event: &'a str,
}

/// What is known of a comment and its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// This send answers the comment.
    Comment(Nth),
    /// This send answers the person, and the rule allows no other.
    Person(Nth),
    /// The person has as many answers as can be remembered.
    Full,
    /// Nothing that speaks against a send. This one may answer it.
    Nothing(Nth),
}

/// What a person was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The least number of the next send; 0 where the first is still to come.
    next: u32,
    /// When the person was forgotten, if ever.
    forgotten_at: Option<Timestamp>,
    answers: Vec<Answer>,
}

/// One answer. Campaign, media and comment, or other event, are hashes: nothing of them is needed but to know them
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    nth: Nth,
    campaign: u64,
    media: u64,
    comment: u64,
    at: Timestamp,
    until: Timestamp,
}

impl Answer {
    /// Whether it may be needed to know its comment again, or to keep to a rule.
    fn is_needed(&self, now: Timestamp) -> bool {
        now < self.until.max(self.at + ANSWER_KEPT)
    }
}

impl Answers {
    /// Looks a comment up.
    pub fn known(&self, told: &Told<'_>, per: OncePer, now: Timestamp) -> Known {
        let (campaign, media, comment) = hashes(told);
        let mut newest_first = self.answers.iter().rev();
        if let Some(same) = newest_first.clone().find(|answer| answer.comment == comment) {
            return Known::Comment(same.nth);
        }
        let same = newest_first.find(|answer| {
            let is_covered = match per {
                OncePer::Comment => false,
                OncePer::Post => answer.campaign == campaign && answer.media == media,
                OncePer::Campaign => answer.campaign == campaign,
            };
            is_covered && now < answer.until
        });
        if let Some(same) = same {
            return Known::Person(same.nth);
        }
        if self.is_full(now) {
            return Known::Full;
        }
        if self.next == 0 {
            return Known::Nothing(Nth::First);
        }
        // The minute is part of it, so that no number returns when the record has been gone.
        let minute = u32::try_from(now.as_secs() / 60).unwrap_or(u32::MAX - 1);
        Known::Nothing(Nth::Later(self.next.max(minute)))
    }

    /// Whether the person gets no more for now: they have [`ANSWERS_MAX`] within [`ANSWER_KEPT`].
    pub fn is_full(&self, now: Timestamp) -> bool {
        let is_kept = |answer: &&Answer| now < answer.at + ANSWER_KEPT;
        self.answers.iter().filter(is_kept).count() >= ANSWERS_MAX
    }

    /// Returns the record after this send has been named as the answer to a comment.
    #[must_use]
    pub fn with(&self, nth: Nth, told: &Told<'_>, once: Once, now: Timestamp) -> Self {
        let (campaign, media, comment) = hashes(told);
        let until = if once.per == OncePer::Comment { now } else { now + once.span };
        let mut next = self.clone();
        next.answers.retain(|answer| answer.is_needed(now));
        while next.answers.len() >= ANSWERS_MAX {
            // One that is needed for a rule alone.
            let oldest = next.answers.iter().position(|answer| answer.at + ANSWER_KEPT <= now);
            next.answers.remove(oldest.unwrap_or(0));
        }
        next.answers.push(Answer { nth, campaign, media, comment, at: now, until });
        next.next = next.next.max(match nth {
            Nth::Later(nth) => nth + 1,
            Nth::First | Nth::Comment => 1,
        });
        next
    }

    /// Returns the record after another comment has taken the place of the one that a send answers;
    /// `None` where a send answers the other comment already, or where nothing is known of the send.
    #[must_use]
    pub fn moved(&self, nth: Nth, to: &CommentId, now: Timestamp) -> Option<Self> {
        let comment = seed(&[to.as_str()]);
        if self.answers.iter().any(|answer| answer.comment == comment) {
            return None;
        }
        let of_send = *self.answers.iter().rev().find(|answer| answer.nth == nth)?;
        let mut next = self.clone();
        next.answers.push(Answer { comment, at: now, ..of_send });
        Some(next)
    }

    /// When a send was named as the answer to a comment, if one was.
    pub fn named_at(&self, comment: &CommentId) -> Option<Timestamp> {
        let comment = seed(&[comment.as_str()]);
        let answer = self.answers.iter().rev().find(|answer| answer.comment == comment);
        answer.map(|answer| answer.at)
    }

    /// The send that was named as the answer to an event with this key, if one was.
    pub fn answering(&self, event: &OnceKey) -> Option<Nth> {
        let event = seed(&[event.as_str()]);
        self.answers.iter().rev().find(|answer| answer.comment == event).map(|answer| answer.nth)
    }

    /// Returns the record after another send has taken the place of the one that was named as the
    /// answer to a comment, and never recorded.
    #[must_use]
    pub fn given_to(&self, nth: Nth, comment: &CommentId) -> Self {
        let comment = seed(&[comment.as_str()]);
        let mut next = self.clone();
        for answer in next.answers.iter_mut().filter(|answer| answer.comment == comment) {
            answer.nth = nth;
        }
        next
    }

    /// Returns the record after a send has ended because its comment is gone, or its person wants to be
    /// left alone: the comments stay known, and a new one of the person may ask again. `None` where it
    /// says so already.
    #[must_use]
    pub fn released(&self, nth: Nth) -> Option<Self> {
        let mut next = self.clone();
        for answer in next.answers.iter_mut().filter(|answer| answer.nth == nth) {
            answer.until = answer.at;
        }
        (next != *self).then_some(next)
    }

    /// Whether this send answers a comment.
    pub fn is_of(&self, nth: Nth, comment: &CommentId) -> bool {
        let comment = seed(&[comment.as_str()]);
        self.answers.iter().any(|answer| answer.nth == nth && answer.comment == comment)
    }

    /// Returns what is kept of a person who was forgotten.
    #[must_use]
    pub fn forgotten(&self, at: Timestamp) -> Self {
        Self { next: self.next.max(1), forgotten_at: Some(at), answers: Vec::new() }
    }

    /// When the person was forgotten, if ever.
    pub const fn forgotten_at(&self) -> Option<Timestamp> {
        self.forgotten_at
    }

    /// Until when it is needed.
    pub fn until(&self) -> Timestamp {
        let ends = self.answers.iter().map(|answer| answer.until.max(answer.at + ANSWER_KEPT));
        ends.chain(self.forgotten_at.map(|at| at + FORGOTTEN_KEPT)).max().unwrap_or_default()
    }

    /// The sends that answer the person.
    pub fn sends(&self) -> impl Iterator<Item = Nth> {
        self.answers.iter().map(|answer| answer.nth)
    }

    /// Returns it in bytes: a first byte for their form, then numbers of fixed width, the most
    /// significant byte first.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend(self.next.to_be_bytes());
        bytes.extend(self.forgotten_at.map_or(0, Timestamp::as_millis).to_be_bytes());
        for answer in &self.answers {
            bytes.extend(answer.nth.code().to_be_bytes());
            for hash in [answer.campaign, answer.media, answer.comment] {
                bytes.extend(hash.to_be_bytes());
            }
            for at in [answer.at, answer.until] {
                bytes.extend(at.as_millis().to_be_bytes());
            }
        }
        bytes
    }

    /// Reads [`Self::encode`]. Returns `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Bytes(bytes);
        if reader.take::<1>()? != [FORM] {
            return None;
        }
        let next = u32::from_be_bytes(reader.take()?);
        let forgotten_at = match u64::from_be_bytes(reader.take()?) {
            0 => None,
            at => Some(Timestamp::from_millis(at)),
        };
        let mut answers = Vec::new();
        while !reader.0.is_empty() {
            answers.push(Answer {
                nth: Nth::decode(u32::from_be_bytes(reader.take()?)),
                campaign: u64::from_be_bytes(reader.take()?),
                media: u64::from_be_bytes(reader.take()?),
                comment: u64::from_be_bytes(reader.take()?),
                at: Timestamp::from_millis(u64::from_be_bytes(reader.take()?)),
                until: Timestamp::from_millis(u64::from_be_bytes(reader.take()?)),
            });
        }
        Some(Self { next, forgotten_at, answers })
    }
}

/// The form of the bytes.
const FORM: u8 = 1;

/// Bytes that are still to be read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}

fn hashes(told: &Told<'_>) -> (u64, u64, u64) {
    let hash = |id: &str| seed(&[id]);
    let media = told.media.map_or(0, |media| hash(media.as_str()));
    (hash(told.campaign.as_str()), media, hash(told.event))
}

/// Whether a comment may have been made before its author was forgotten, so that it brings nothing.
/// Of a comment that was read, `at` is when it was made; a webhook may tell of it
/// [later](TOLD_LATE).
pub fn is_forgotten(forgotten_at: Timestamp, at: Timestamp, is_read: bool) -> bool {
    let late = if is_read { Duration::ZERO } else { TOLD_LATE };
    at <= forgotten_at + late
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    /// The number of a later send that is named now.
    fn later(at: Timestamp) -> Known {
        Known::Nothing(Nth::Later(u32::try_from(at.as_secs() / 60).unwrap()))
    }

    fn ids(campaign: u8, media: u8, comment: u16) -> (CampaignId, MediaId, CommentId) {
        let (campaign, media) = (format!("campaign{campaign}"), format!("179{media}"));
        let comment = format!("178{comment}");
        (campaign.as_str().into(), media.as_str().into(), comment.as_str().into())
    }

    fn told(ids: &(CampaignId, MediaId, CommentId)) -> Told<'_> {
        Told { campaign: &ids.0, media: Some(&ids.1), event: ids.2.as_str() }
    }

    fn once(per: OncePer) -> Once {
        Once { per, span: ONCE_FOR }
    }

    #[test]
    fn one_dm_for_a_post_a_campaign_or_a_comment() {
        let first = ids(1, 1, 1);
        let none = Answers::default();
        assert_eq!(none.known(&told(&first), OncePer::Post, NOW), Known::Nothing(Nth::First));
        let answered = none.with(Nth::First, &told(&first), once(OncePer::Post), NOW);
        let at = NOW + Duration::from_secs(60);
        let known =
            |ids: &(CampaignId, MediaId, CommentId), per| answered.known(&told(ids), per, at);
        let later = later(at);
        for per in [OncePer::Post, OncePer::Comment, OncePer::Campaign] {
            assert_eq!(known(&first, per), Known::Comment(Nth::First), "told again");
            assert_eq!(known(&ids(2, 2, 1), per), Known::Comment(Nth::First), "whatever changed");
            assert_eq!(known(&ids(2, 1, 2), per), later, "another campaign");
        }
        let (same_post, other_post) = (ids(1, 1, 2), ids(1, 2, 2));
        assert_eq!(known(&same_post, OncePer::Post), Known::Person(Nth::First));
        assert_eq!(known(&same_post, OncePer::Campaign), Known::Person(Nth::First));
        assert_eq!(known(&same_post, OncePer::Comment), later);
        assert_eq!(known(&other_post, OncePer::Post), later);
        assert_eq!(known(&other_post, OncePer::Campaign), Known::Person(Nth::First));
    }

    #[test]
    fn an_answer_counts_for_as_long_as_its_campaign_says() {
        let (first, second) = (ids(1, 1, 1), ids(1, 1, 2));
        let week = Once { per: OncePer::Post, span: Duration::from_secs(7 * DAY) };
        let answered = Answers::default().with(Nth::First, &told(&first), week, NOW);
        let after = NOW + Duration::from_secs(7 * DAY);
        let just_before = after - Duration::from_millis(1);
        let known = |ids, at| answered.known(&told(ids), OncePer::Post, at);
        assert_eq!(known(&second, just_before), Known::Person(Nth::First));
        assert_eq!(known(&second, after), later(after));
        assert_eq!(known(&first, after), Known::Comment(Nth::First), "a comment is known longer");
        assert_eq!(answered.until(), NOW + ANSWER_KEPT);
    }

    #[test]
    fn who_has_many_answers_within_days_gets_no_more() {
        let mut answered = Answers::default();
        let mut at = NOW;
        for n in 0..ANSWERS_MAX as u16 {
            let ids = ids(1, n as u8, n);
            let Known::Nothing(nth) = answered.known(&told(&ids), OncePer::Post, at) else {
                panic!("{n}")
            };
            answered = answered.with(nth, &told(&ids), once(OncePer::Post), at);
            at = at + Duration::from_secs(60);
        }
        let more = ids(1, 200, 900);
        assert_eq!(answered.known(&told(&more), OncePer::Post, at), Known::Full);
        let later = NOW + ANSWER_KEPT;
        let Known::Nothing(nth) = answered.known(&told(&more), OncePer::Post, later) else {
            panic!("the oldest makes room")
        };
        let answered = answered.with(nth, &told(&more), once(OncePer::Post), later);
        let oldest = ids(1, 0, 901);
        let again = answered.known(&told(&oldest), OncePer::Post, later);
        assert!(matches!(again, Known::Nothing(_) | Known::Full), "it made room: {again:?}");
    }

    #[test]
    fn another_comment_takes_a_sends_place_once() {
        let (first, second) = (ids(1, 1, 1), ids(1, 1, 2));
        let answered = Answers::default().with(Nth::First, &told(&first), once(OncePer::Post), NOW);
        let moved = answered.moved(Nth::First, &second.2, NOW).unwrap();
        for ids in [&first, &second] {
            let known = moved.known(&told(ids), OncePer::Comment, NOW);
            assert_eq!(known, Known::Comment(Nth::First));
        }
        assert_eq!(moved.moved(Nth::First, &second.2, NOW), None, "it has");
        // When that is gone too, a new comment asks again.
        let released = moved.released(Nth::First).unwrap();
        let third = ids(1, 1, 3);
        let known = |ids| released.known(&told(ids), OncePer::Post, NOW);
        assert_eq!([known(&first), known(&second)], [Known::Comment(Nth::First); 2]);
        assert_eq!(known(&third), later(NOW));
        assert_eq!(released.released(Nth::First), None);
        assert_eq!(answered.moved(Nth::Later(1), &second.2, NOW), None, "no such send");
    }

    #[test]
    fn a_person_who_was_forgotten_is_new_but_no_send_of_theirs_is() {
        let first = ids(1, 1, 1);
        let answered = Answers::default().with(Nth::First, &told(&first), once(OncePer::Post), NOW);
        let forgotten = answered.forgotten(NOW);
        assert_eq!(forgotten.forgotten_at(), Some(NOW));
        let known = forgotten.known(&told(&first), OncePer::Post, NOW);
        assert_eq!(known, later(NOW));
        let hour = Duration::from_secs(3600);
        assert!(is_forgotten(NOW, NOW, true) && !is_forgotten(NOW, NOW + hour, true));
        assert!(is_forgotten(NOW, NOW + 36 * hour, false));
        assert!(!is_forgotten(NOW, NOW + 37 * hour, false));
    }

    #[test]
    fn keys_differ() {
        let (person, comment) = (RecipientId::new("526"), OnceKey::new("179"));
        let keys = [Nth::First, Nth::Later(1), Nth::Later(12), Nth::Comment];
        let keys = keys.map(|nth| nth.key(&person, &comment).to_string());
        assert_eq!(keys, ["p.526", "p.526.1", "p.526.12", "179"]);
        let nths = keys.map(|key| Nth::of(&OnceKey::new(key), &person));
        let [first, later] = [Nth::First, Nth::Later(1)].map(Some);
        assert_eq!(nths, [first, later, Some(Nth::Later(12)), None]);
        assert_eq!(Nth::of(&OnceKey::new("p.5261"), &person), None);
    }

    proptest! {
        /// Against a list of everything that was ever answered: no comment twice, no person more
        /// often than the rule says, no number of a send twice, and what is written is read.
        #[test]
        fn as_a_model_has_it(
            comments in prop::collection::vec((0u8..3, 0u8..3, 0u16..40, 0u8..3, 0u64..90), 1..120),
        ) {
            let mut answered = Answers::default();
            let mut model: Vec<(u8, u8, u16, Nth, Timestamp, Timestamp)> = Vec::new();
            let mut now = NOW;
            for (campaign, media, comment, per, hours) in comments {
                now = now + Duration::from_secs(hours * 3600);
                let ids = ids(campaign, media, comment);
                let per = [OncePer::Post, OncePer::Comment, OncePer::Campaign][usize::from(per)];
                let once = Once { per, span: Duration::from_secs(20 * DAY) };
                let known = answered.known(&told(&ids), per, now);
                let is_same = |one: &&(u8, u8, u16, Nth, Timestamp, Timestamp)| {
                    one.2 == comment && now < one.4 + ANSWER_KEPT
                };
                if let Some(same) = model.iter().rev().find(is_same) {
                    prop_assert_eq!(known, Known::Comment(same.3));
                }
                let covers = |one: &&(u8, u8, u16, Nth, Timestamp, Timestamp)| {
                    now < one.5 && one.0 == campaign && match per {
                        OncePer::Comment => false,
                        OncePer::Post => one.1 == media,
                        OncePer::Campaign => true,
                    }
                };
                let is_covered = model.iter().any(|one| covers(&one));
                match known {
                    Known::Nothing(nth) => {
                        prop_assert!(!is_covered);
                        prop_assert!(model.iter().all(|one| one.3 != nth));
                        let until = if per == OncePer::Comment { now } else { now + once.span };
                        model.push((campaign, media, comment, nth, now, until));
                        answered = answered.with(nth, &told(&ids), once, now);
                    }
                    Known::Person(_) => prop_assert!(is_covered),
                    Known::Comment(_) => prop_assert!(model.iter().any(|one| one.2 == comment)),
                    Known::Full => {
                        let kept = model.iter().filter(|one| now < one.4 + ANSWER_KEPT).count();
                        prop_assert!(kept >= ANSWERS_MAX);
                    }
                }
                prop_assert_eq!(Answers::decode(&answered.encode()), Some(answered.clone()));
            }
        }
    }
}
