//! Misses: a process counts the comments that match no campaign, and now and then writes what it
//! has counted.
//!
//! A post that goes viral may bring 100,000 comments that match nothing. So no comment costs a
//! write. An account's first miss is written at once, and what comes after it with the first
//! delivery that begins at least [`WRITE_EVERY`] later: one write a minute, an account and a
//! process, beside those of new samples. A delivery whose comments all match costs nothing.
//!
//! Of a delivery and account, a hundred comments are looked at for what came nearest; further ones are
//! counted alone.
//!
//! Counts are not exact. Those of the last minute are lost with their process, and a delivery that
//! Meta repeats counts again. Comments that were read by a backfill are not counted, because they
//! are read again and again. There is no metric of them: it would cost 0.30 USD a month, and
//! `spillway misses` says more.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use spillway_core::id::{AccountId, MediaId};
use spillway_core::keyword::Comment;
use spillway_core::misses::{self, Day, MissDay, MissKind, Sample, SampleText, Slot, Tally};
use spillway_core::time::Timestamp;
use spillway_meta::webhook::CommentEvent;
use tracing::warn;

use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::Clock;
use crate::grant::GrantIds;
use crate::port::{Misses, Read, SampleSealer, Saved, StoreError, StoredSample};
use crate::versioned::{Versioned, measure_and_replace};

/// The least time between two writes of an account's misses by one process.
pub const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Comments of one delivery and account that are looked at for what came nearest. Each takes about
/// a microsecond for each keyword; what comes after them is counted alone.
const LOOKED_AT_MAX: usize = 100;

/// Accounts whose misses one delivery writes.
const ACCOUNTS_AT_ONCE: usize = 8;

/// Accounts whose misses a process counts at a time. Each takes at most 100 kB.
const ACCOUNTS_MAX: usize = 256;

/// Lost races for a tally after which what was counted waits for the next write.
const TRIES: usize = 6;

const WRITE: &str = "write down misses";

/// Whether samples of comments that match nothing are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissSamples {
    /// A few a day, sealed.
    #[default]
    Kept,
    /// None: comments are counted alone.
    Off,
}

/// Counts misses.
pub struct MissCounter {
    store: Arc<dyn Misses>,
    sealer: Arc<dyn SampleSealer>,
    samples: MissSamples,
    ids: Arc<GrantIds>,
    clock: Arc<dyn Clock>,
    counted: Mutex<HashMap<AccountId, Counted>>,
}

/// What a process has counted of an account.
#[derive(Default)]
struct Counted {
    /// When it began to write last.
    written_at: Option<Timestamp>,
    /// What is not written yet.
    days: BTreeMap<Day, Tally<Sample>>,
    /// The tally that it has written last.
    stored: Option<(Day, MissDay)>,
}

/// What is written of an account.
struct Due {
    account: AccountId,
    days: BTreeMap<Day, Tally<Sample>>,
    stored: Option<(Day, MissDay)>,
}

impl Counted {
    fn is_due(&self, now: Timestamp) -> bool {
        // A clock may be set back.
        let waits = |at: Timestamp| at <= now && now < at + WRITE_EVERY;
        !self.days.is_empty() && !self.written_at.is_some_and(waits)
    }
}

impl MissCounter {
    /// Writes to `store`, and samples as `sealer` seals them.
    pub fn new(
        store: Arc<dyn Misses>,
        sealer: Arc<dyn SampleSealer>,
        samples: MissSamples,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, sealer, samples, ids, clock, counted: Mutex::default() }
    }

    /// Counts comments that no campaign of the account wants. Of an account without campaigns,
    /// none is counted.
    pub fn count(&self, account: &Account, comments: &[CommentEvent], now: Timestamp) {
        if comments.is_empty() || account.campaigns.iter().next().is_none() {
            return;
        }
        let mut counted = self.counted();
        if counted.len() >= ACCOUNTS_MAX && !counted.contains_key(&account.id) {
            counted.retain(|_, counted| !counted.days.is_empty());
            if counted.len() >= ACCOUNTS_MAX {
                return;
            }
        }
        let counted = counted.entry(account.id.clone()).or_default();
        let tally = counted.days.entry(Day::of(now)).or_default();
        let (looked_at, rest) = comments.split_at(comments.len().min(LOOKED_AT_MAX));
        if !rest.is_empty() {
            tally.count(MissKind::OTHER, rest.len() as u64);
        }
        for event in looked_at {
            let of = event.original_media.as_ref().or(event.media.as_ref());
            let album = of.and_then(|media| account.albums.album_of(media));
            let media: Vec<&MediaId> = event.all_media().into_iter().chain(album).collect();
            let candidate = event.candidate(&media, now);
            let comment = Comment::new(candidate.text);
            let kind = tally.count(MissKind::of(&account.campaigns, &candidate, &comment), 1);
            if self.samples == MissSamples::Kept && !comment.folded().is_empty() {
                let rank = misses::rank(&account.id, &event.id);
                tally.offer(kind, rank, || sample(event, &comment, now));
            }
        }
    }

    /// Writes what is due. What cannot be written waits for the next time.
    pub async fn write_due(&self, accounts: &AccountCache) {
        let due = self.due(self.clock.now());
        let written = stream::iter(due).map(|due| self.write(accounts, due));
        written.buffer_unordered(ACCOUNTS_AT_ONCE).collect::<()>().await;
    }

    /// Takes what is due.
    fn due(&self, now: Timestamp) -> Vec<Due> {
        let mut counted = self.counted();
        let due = counted.iter_mut().filter(|(_, counted)| counted.is_due(now));
        let take = |(account, counted): (&AccountId, &mut Counted)| {
            counted.written_at = Some(now);
            let (days, stored) = (std::mem::take(&mut counted.days), counted.stored.take());
            Due { account: account.clone(), days, stored }
        };
        due.take(ACCOUNTS_AT_ONCE).map(take).collect()
    }

    async fn write(&self, accounts: &AccountCache, due: Due) {
        let Due { account: id, days, mut stored } = due;
        let account = match accounts.find(&id).await {
            Ok(Some(account)) => account,
            // It was removed, and nothing of it is kept.
            Ok(None) => {
                self.counted().remove(&id);
                return;
            }
            Err(error) => return self.put_back(&id, days, &error),
        };
        let mut left = BTreeMap::new();
        let mut failed = None;
        for (day, mut tally) in days {
            tally.retain(|sample| {
                !account.forgotten.was_written_by(sample.person.as_ref(), sample.at)
            });
            let known = stored.take().filter(|(of, _)| *of == day).map(|(_, known)| known);
            match self.write_day(&id, day, &tally, known).await {
                Ok(written) => stored = Some((day, written)),
                Err(error) => {
                    left.insert(day, tally);
                    failed = Some(error);
                }
            }
        }
        if let Some(counted) = self.counted().get_mut(&id) {
            counted.stored = stored;
        }
        if let Some(error) = failed {
            self.put_back(&id, left, &error);
        }
    }

    /// Adds a tally to the stored one, and stores the samples that it keeps. An error says that
    /// nothing was added. Returns the tally that is stored now.
    async fn write_day(
        &self,
        id: &AccountId,
        day: Day,
        tally: &Tally<Sample>,
        known: Option<MissDay>,
    ) -> Result<MissDay, StoreError> {
        let before = match known {
            Some(known) => known,
            None => self.store.load(id, day, Read::Eventual).await?,
        };
        let add = |before: &MissDay| ((), Some(before.with(tally, self.ids.next())));
        let at = MissDayOf { store: &*self.store, account: id, day };
        let written = measure_and_replace(&at, before, TRIES, add).await?;
        let written = written.and_then(|written| written.after);
        let others = || StoreError::unavailable(WRITE, "others wrote in between each time");
        let written = written.ok_or_else(others)?;
        if let Err(error) = self.keep(id, day, tally, &written).await {
            warn!(account = %id, %error, "samples of comments that match nothing were not stored");
        }
        Ok(written)
    }

    /// Seals and stores the samples that have a slot.
    async fn keep(
        &self,
        id: &AccountId,
        day: Day,
        tally: &Tally<Sample>,
        written: &MissDay,
    ) -> Result<(), StoreError> {
        let kept = written.kept(tally);
        if kept.is_empty() {
            return Ok(());
        }
        let texts: Vec<&SampleText> = kept.iter().map(|(_, slot)| &slot.sample.text).collect();
        let Some(sealed) = self.sealer.seal(id, &texts).await? else { return Ok(()) };
        let mut stored: Vec<(usize, StoredSample)> = Vec::new();
        for ((at, Slot { kind, rank, sample }), text) in kept.into_iter().zip(sealed) {
            let Some(counted) = tally.counts().get(*kind) else { continue };
            let (kind, rank) = (counted.kind.clone(), *rank);
            let (person, media) = (sample.person.clone(), sample.media.clone());
            stored.push((at, StoredSample { kind, rank, person, media, at: sample.at, text }));
        }
        let put = stream::iter(stored)
            .map(|(at, sample)| async move { self.store.put_sample(id, day, at, &sample).await });
        let put: Vec<_> = put.buffer_unordered(ACCOUNTS_AT_ONCE).collect().await;
        put.into_iter().collect()
    }

    /// Counts again what was not written.
    fn put_back(&self, id: &AccountId, days: BTreeMap<Day, Tally<Sample>>, error: &StoreError) {
        warn!(account = %id, %error, "comments that match nothing are not written down yet");
        let mut counted = self.counted();
        let counted = counted.entry(id.clone()).or_default();
        for (day, tally) in days {
            counted.days.entry(day).or_default().merge(&tally, Sample::clone);
        }
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<AccountId, Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sample(event: &CommentEvent, comment: &Comment, now: Timestamp) -> Sample {
    Sample {
        person: event.from.as_ref().and_then(|from| from.id.clone()),
        media: event.original_media.clone().or_else(|| event.media.clone()),
        at: event.notified_at.unwrap_or(now).min(now),
        text: SampleText::of(comment),
    }
}

/// The tally of one account and day.
struct MissDayOf<'a> {
    store: &'a dyn Misses,
    account: &'a AccountId,
    day: Day,
}

#[async_trait]
impl Versioned<MissDay> for MissDayOf<'_> {
    async fn save(&self, next: &MissDay) -> Result<Saved<MissDay>, StoreError> {
        self.store.save(self.account, self.day, next).await
    }
}
