//! Misses: comments that match no campaign. They are counted by the nearest keyword and by what
//! excluded them, and a few are kept as samples.
//!
//! A tally holds both, for one account and UTC day. A process adds up a tally of its own, and
//! merges it into the stored one every now and then. A tally is bounded whatever comes: it has at
//! most [`KINDS_MAX`] kinds of miss and [`SAMPLES_MAX`] samples.
//!
//! Which comments become samples is drawn from their ids: each has a rank, and the lowest are kept.
//! So every comment of a day is as likely as any other, tallies can be merged in any order, and a
//! comment that is told twice is one sample.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::GrantId;
use crate::campaign::{But, Campaigns, Candidate, Near, NearMiss};
use crate::id::{AccountId, CampaignId, CommentId, MediaId, RecipientId};
use crate::keyword::Comment;
use crate::seed::seed;
use crate::time::Timestamp;

/// Kinds of miss that an account's tally tells apart in a day. Further ones count as
/// [`Excluded::Other`].
pub const KINDS_MAX: usize = 50;

/// Samples of an account and day.
pub const SAMPLES_MAX: usize = 100;

/// Samples of a nearest keyword, of an account and day.
pub const KEYWORD_SAMPLES_MAX: usize = 20;

/// The length of a sample's text, in characters. The rest is cut off.
pub const SAMPLE_CHARS_MAX: usize = 200;

/// How long counts are kept after the end of their day.
pub const COUNTS_KEPT: Duration = Duration::from_secs(30 * DAY);

/// How long samples are kept.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(7 * DAY);

const DAY: u64 = 24 * 3600;

/// A day in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u64);

impl Day {
    /// The day of an instant.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.as_secs() / DAY)
    }

    /// Returns the instant when it ends.
    pub const fn end(self) -> Timestamp {
        Timestamp::from_secs(self.0.saturating_add(1).saturating_mul(DAY))
    }

    /// Reads a date such as `2026-11-30`.
    pub fn parse(text: &str) -> Option<Self> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let begin = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        Some(Self(u64::try_from(begin).ok()? / DAY))
    }
}

/// As in `2026-11-30`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = i64::try_from(self.0.saturating_mul(DAY)).ok();
        let begin = begin.and_then(|begin| jiff::Timestamp::from_second(begin).ok());
        let date = begin.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        fmt::Display::fmt(&date, f)
    }
}

/// What excluded a comment from the campaign that came nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excluded {
    /// No campaign came near.
    NoKeyword,
    /// The comment almost contains the keyword.
    Almost,
    /// The campaign is for messages or stories.
    OtherTrigger,
    /// The campaign is paused.
    Paused,
    /// The campaign has not begun.
    NotBegun,
    /// The campaign is over.
    Over,
    /// The campaign is for other media.
    OtherMedia,
    /// The comment is below another one.
    Reply,
    /// The comment contains an exception.
    Exception,
    /// It was counted alone: the delivery had too many, or the day too many kinds. Or a later version
    /// has counted it.
    #[serde(other)]
    Other,
}

/// A kind of miss.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissKind {
    /// The campaign that came nearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
    /// Its keyword that the comment contains, or almost does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<String>,
    /// What excluded the comment.
    pub excluded: Excluded,
    /// The exception that it contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

impl MissKind {
    /// The kind of a comment that is counted alone.
    pub const OTHER: Self = Self::bare(Excluded::Other);

    /// What tells nothing but that a comment matched nothing.
    const fn bare(excluded: Excluded) -> Self {
        Self { campaign: None, keyword: None, excluded, exception: None }
    }

    /// The kind of a comment that no campaign wants.
    pub fn of(campaigns: &Campaigns, candidate: &Candidate<'_>, comment: &Comment) -> Self {
        let Some(NearMiss { campaign, keyword, near }) = campaigns.nearest_in(candidate, comment)
        else {
            return Self::bare(Excluded::NoKeyword);
        };
        let (excluded, exception) = match near {
            Near::Almost(..) => (Excluded::Almost, None),
            Near::But(But::OtherTrigger) => (Excluded::OtherTrigger, None),
            Near::But(But::Paused) => (Excluded::Paused, None),
            Near::But(But::NotBegun(_)) => (Excluded::NotBegun, None),
            Near::But(But::Over(_)) => (Excluded::Over, None),
            Near::But(But::OtherMedia | But::NoPostYet) => (Excluded::OtherMedia, None),
            Near::But(But::Reply) => (Excluded::Reply, None),
            Near::But(But::Exception(word)) => (Excluded::Exception, Some(word.to_owned())),
        };
        let keyword = keyword.map(str::to_owned);
        Self { campaign: Some(campaign.id.clone()), keyword, excluded, exception }
    }
}

/// How often a kind of miss occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissCount {
    /// The kind.
    #[serde(flatten)]
    pub kind: MissKind,
    /// How often.
    pub count: u64,
}

/// What draws samples: the lower, the likelier a comment is kept.
pub type Rank = u32;

/// Returns the rank of a comment, which is the same whenever it is told.
pub fn rank(account: &AccountId, comment: &CommentId) -> Rank {
    (seed(&["miss", account.as_str(), comment.as_str()]) >> 32) as Rank
}

/// A sample's place in a tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<S> {
    /// The index of the sample's kind in [`Tally::counts`].
    pub kind: usize,
    /// Its rank.
    pub rank: Rank,
    /// The sample.
    pub sample: S,
}

/// The misses of an account and day: counts, and samples of the type `S`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<S> {
    counts: Vec<MissCount>,
    slots: Vec<Slot<S>>,
}

impl<S> Default for Tally<S> {
    fn default() -> Self {
        Self { counts: Vec::new(), slots: Vec::new() }
    }
}

impl<S> Tally<S> {
    /// A tally as it was stored. Leaves out what cannot have been.
    pub fn stored(counts: Vec<MissCount>, mut slots: Vec<Slot<S>>) -> Self {
        slots.retain(|slot| slot.kind < counts.len());
        Self { counts, slots }
    }

    /// The counts, in the order in which their kinds first occurred.
    pub fn counts(&self) -> &[MissCount] {
        &self.counts
    }

    /// The samples, each at its own number.
    pub fn slots(&self) -> &[Slot<S>] {
        &self.slots
    }

    /// The misses that were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |total, counted| total.saturating_add(counted.count))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts misses of a kind. Returns the index of the kind that they are counted under.
    pub fn count(&mut self, kind: MissKind, n: u64) -> usize {
        let known = |kind: &MissKind| self.counts.iter().position(|known| known.kind == *kind);
        let is_full = self.counts.len() + 1 >= KINDS_MAX;
        let (at, kind) = match known(&kind) {
            Some(at) => (Some(at), kind),
            None if is_full => (known(&MissKind::OTHER), MissKind::OTHER),
            None => (None, kind),
        };
        let at = at.unwrap_or_else(|| {
            self.counts.push(MissCount { kind, count: 0 });
            self.counts.len() - 1
        });
        self.counts[at].count = self.counts[at].count.saturating_add(n);
        at
    }

    /// Keeps a sample of the kind with this index if its rank is low enough. `make` makes it, and is
    /// not called if it is not kept. Returns the number of the slot that it takes.
    pub fn offer(&mut self, kind: usize, rank: Rank, make: impl FnOnce() -> S) -> Option<usize> {
        let keyword = |kind: usize| self.counts.get(kind).map(|known| &known.kind.keyword);
        let offered = keyword(kind);
        let mut of_keyword = 0;
        // The highest ranks with their slots: of the keyword, and of all.
        let (mut of_keyword_max, mut max) = (None, None);
        for (at, slot) in self.slots.iter().enumerate() {
            let ranked = Some((slot.rank, at));
            if keyword(slot.kind) == offered {
                // It was offered before.
                if slot.rank == rank {
                    return None;
                }
                of_keyword += 1;
                of_keyword_max = of_keyword_max.max(ranked);
            }
            max = max.max(ranked);
        }
        let taken = if of_keyword >= KEYWORD_SAMPLES_MAX {
            of_keyword_max
        } else if self.slots.len() >= SAMPLES_MAX {
            max
        } else {
            None
        };
        let at = match taken {
            Some((highest, _)) if highest <= rank => return None,
            Some((_, at)) => at,
            None => self.slots.len(),
        };
        let slot = Slot { kind, rank, sample: make() };
        match self.slots.get_mut(at) {
            Some(old) => *old = slot,
            None => self.slots.push(slot),
        }
        Some(at)
    }

    /// Adds another tally, with what `make` makes of its samples. Returns the numbers of the slots
    /// that have changed.
    pub fn merge<T>(&mut self, other: &Tally<T>, make: impl Fn(&T) -> S) -> Vec<usize> {
        let add = |counted: &MissCount| self.count(counted.kind.clone(), counted.count);
        let kinds: Vec<usize> = other.counts.iter().map(add).collect();
        let mut changed = Vec::new();
        for Slot { kind, rank, sample } in &other.slots {
            let Some(&kind) = kinds.get(*kind) else { continue };
            changed.extend(self.offer(kind, *rank, || make(sample)));
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Drops the samples that are not `wanted`. The misses stay counted.
    pub fn retain(&mut self, wanted: impl Fn(&S) -> bool) {
        self.slots.retain(|slot| wanted(&slot.sample));
    }
}

/// The stored tally of an account and day. Its samples lie elsewhere, each under its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissDay {
    /// 0 before the first write; each raises it by one.
    pub version: u64,
    /// The last write.
    pub grant: GrantId,
    /// The tally.
    pub tally: Tally<()>,
}

impl MissDay {
    /// The tally after what a process has counted.
    #[must_use]
    pub fn with<T>(&self, counted: &Tally<T>, grant: GrantId) -> Self {
        let mut tally = self.tally.clone();
        tally.merge(counted, |_| ());
        Self { version: self.version + 1, grant, tally }
    }

    /// Returns the samples of `counted` that have a slot here, each with the slot's number.
    pub fn kept<'a, T>(&self, counted: &'a Tally<T>) -> Vec<(usize, &'a Slot<T>)> {
        let of = |kind: usize| counted.counts.get(kind).map(|known| known.kind.keyword.as_deref());
        let at = |sample: &Slot<T>| {
            let of_keyword = of(sample.kind);
            // In a full tally it may have been counted as another kind.
            let is_it = |slot: &Slot<()>| {
                slot.rank == sample.rank
                    && self.tally.counts.get(slot.kind).is_some_and(|stored| {
                        stored.kind.excluded == Excluded::Other
                            || Some(stored.kind.keyword.as_deref()) == of_keyword
                    })
            };
            self.tally.slots.iter().position(is_it)
        };
        counted.slots.iter().filter_map(|sample| Some((at(sample)?, sample))).collect()
    }
}

/// A comment that matched nothing, as a process remembers it until it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Who wrote it.
    pub person: Option<RecipientId>,
    /// What it is on.
    pub media: Option<MediaId>,
    /// When it was told of.
    pub at: Timestamp,
    /// Its text.
    pub text: SampleText,
}

/// The folded text of a comment, at most [`SAMPLE_CHARS_MAX`] characters of it. Its `Debug` does not
/// show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SampleText(String);

impl SampleText {
    /// The text of a comment.
    pub fn of(comment: &Comment) -> Self {
        Self(comment.folded().chars().take(SAMPLE_CHARS_MAX).collect())
    }

    /// Returns the text, which somebody wrote: it is neither logged nor stored in clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SampleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SampleText(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::campaign::Campaign;
    use crate::campaign::Trigger;

    fn kind(keyword: u8, excluded: Excluded) -> MissKind {
        let keyword = (keyword > 0).then(|| format!("k{keyword}"));
        MissKind { keyword, ..MissKind::bare(excluded) }
    }

    fn campaigns(of: serde_json::Value) -> Campaigns {
        Campaigns::new(serde_json::from_value::<Vec<Campaign>>(of).unwrap())
    }

    #[test]
    fn a_miss_is_told_by_the_nearest_keyword_and_what_excluded_it() {
        let campaigns = campaigns(json!([
            { "id": "reel", "keywords": ["guide"], "media": ["1"], "messages": ["hi"] },
            { "id": "link", "keywords": ["link"], "except": ["spam"], "messages": ["hi"] },
        ]));
        let elsewhere = [&MediaId::from("2")];
        let of = |text: &str, is_reply| {
            let candidate = Candidate {
                trigger: Trigger::Comment,
                text,
                media: Some(&elsewhere),
                is_reply,
                at: Timestamp::EPOCH,
            };
            let kind = MissKind::of(&campaigns, &candidate, &Comment::new(text));
            let MissKind { campaign, keyword, excluded, exception } = kind;
            let campaign = campaign.map_or("-".to_owned(), |id| id.to_string());
            let [keyword, exception] =
                [keyword, exception].map(|word| word.unwrap_or_else(|| "-".into()));
            format!("{campaign} {keyword} {excluded:?} {exception}")
        };
        assert_eq!(of("GUIDE", false), "reel guide OtherMedia -");
        assert_eq!(of("link, no spam", false), "link link Exception spam");
        assert_eq!(of("link", true), "link link Reply -");
        assert_eq!(of("lnik", false), "link link Almost -");
        assert_eq!(of("so nice", false), "- - NoKeyword -");
    }

    #[test]
    fn days_are_dates() {
        let day = Day::of(Timestamp::from_secs(1_790_596_800));
        assert_eq!(day.to_string(), "2026-09-28");
        assert_eq!(Day::parse("2026-09-28"), Some(day));
        assert_eq!(Day::of(day.end()).to_string(), "2026-09-29");
        assert_eq!(Day::parse("yesterday"), None);
        assert!(!Day(u64::MAX).to_string().is_empty());
    }

    #[test]
    fn a_text_is_folded_cut_and_not_shown() {
        let text = SampleText::of(&Comment::new("My  SÉCRET, please! 🔥"));
        assert_eq!(text.expose(), "my secret please 🔥");
        let sample = Sample { person: None, media: None, at: Timestamp::EPOCH, text: text.clone() };
        assert!(!format!("{sample:?} {text:?}").to_lowercase().contains("secret"));
        let long = SampleText::of(&Comment::new(&"é".repeat(1000)));
        assert_eq!(long.expose().chars().count(), SAMPLE_CHARS_MAX);
    }

    #[test]
    fn what_later_versions_count_can_be_read() {
        let counted: MissCount =
            serde_json::from_value(json!({ "excluded": "too_early", "count": 3 })).unwrap();
        assert_eq!(counted.kind, MissKind::bare(Excluded::Other));
    }

    #[test]
    fn a_keyword_has_its_samples_whatever_excluded_them() {
        let mut tally = Tally::default();
        for rank in 0..100 {
            let excluded = if rank % 2 == 0 { Excluded::Reply } else { Excluded::Almost };
            let at = tally.count(kind(1, excluded), 1);
            tally.offer(at, rank, || ());
        }
        assert_eq!((tally.counts().len(), tally.total()), (2, 100));
        assert_eq!(tally.slots().len(), KEYWORD_SAMPLES_MAX);
        assert!(tally.slots().iter().all(|slot| slot.rank < 20));
    }

    /// The samples that a tally should have: of each keyword the lowest ranks, and of these the
    /// lowest.
    fn lowest(misses: &[(u8, Rank)]) -> Vec<(u8, Rank)> {
        let mut misses = misses.to_vec();
        misses.sort_by_key(|&(keyword, rank)| (rank, keyword));
        misses.dedup();
        let mut of_keyword = std::collections::BTreeMap::<u8, usize>::new();
        misses.retain(|(keyword, _)| {
            let n = of_keyword.entry(*keyword).or_default();
            *n += 1;
            *n <= KEYWORD_SAMPLES_MAX
        });
        misses.truncate(SAMPLES_MAX);
        misses.sort_unstable();
        misses
    }

    proptest! {
        #[test]
        fn a_tally_is_bounded_and_sums_up(
            misses in proptest::collection::vec((0..90_u8, 0..6_usize, any::<Rank>()), 0..300),
        ) {
            const WHY: [Excluded; 6] = [
                Excluded::NoKeyword, Excluded::Almost, Excluded::Paused, Excluded::OtherMedia,
                Excluded::Reply, Excluded::Exception,
            ];
            let mut day = MissDay::default();
            for part in misses.chunks(37) {
                let mut tally = Tally::default();
                for &(keyword, why, rank) in part {
                    let at = tally.count(kind(keyword, WHY[why]), 1);
                    tally.offer(at, rank, || ());
                }
                day = day.with(&tally, GrantId::default());
                prop_assert!(day.tally.counts().len() <= KINDS_MAX);
                prop_assert!(day.tally.slots().len() <= SAMPLES_MAX);
                prop_assert!(day.tally.slots().iter().all(|slot| slot.kind < KINDS_MAX));
            }
            prop_assert_eq!(day.tally.total(), misses.len() as u64);
        }

        #[test]
        fn the_lowest_ranks_are_kept_in_whatever_parts_and_order_they_come(
            mut misses in proptest::collection::vec((0..8_u8, 0..9999 as Rank), 0..300),
            part in 5..100_usize,
        ) {
            // All ranks are different, as those of different comments almost always are.
            misses.sort_by_key(|&(_, rank)| rank);
            misses.dedup_by_key(|&mut (_, rank)| rank);
            misses.sort_by_key(|&(keyword, rank)| seed(&[&format!("{keyword} {rank}")]));
            let mut day = MissDay::default();
            let mut stored = std::collections::BTreeMap::new();
            // Each part is told twice.
            for part in misses.chunks(part).flat_map(|part| [part, part]) {
                let mut tally = Tally::default();
                for &(keyword, rank) in part {
                    let at = tally.count(kind(keyword, Excluded::Almost), 1);
                    tally.offer(at, rank, || (keyword, rank));
                }
                day = day.with(&tally, GrantId::default());
                stored.extend(day.kept(&tally).into_iter().map(|(at, slot)| (at, slot.sample)));
            }
            let mut kept: Vec<(u8, Rank)> = stored.into_values().collect();
            kept.sort_unstable();
            prop_assert_eq!(kept, lowest(&misses));
        }
    }
}
