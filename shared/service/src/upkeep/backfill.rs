//! Backfill: the comments of the recent past are read and go the way of every other comment. The
//! event of a comment is its id, however it became known, so it still has its one DM.
//!
//! Six hours without a webhook may be a night. So the comments since then are read, four times
//! a day, and only of media whose count of comments has changed: one call if nobody wrote.
//! Webhooks have stopped if there is a comment that they should have reported 75 minutes ago.
//!
//! A comment that is read has its exact time, so its deadline is exact. Reading waits while
//! sends are parked, and keeps half of each quota free until its comments have two days left.

use std::collections::BTreeSet;

use async_trait::async_trait;
use spillway_core::id::{AccountId, MediaId, RecipientId};
use spillway_core::journal::Event;
use spillway_core::quota::Action;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{
    AfterFailure, Backfill, HEARD_SLACK, MediaCursor, Reason, Traffic, Upkeep,
};
use spillway_meta::graph::{CommentItem, MediaItem, Page};
use spillway_meta::webhook::{CommentEvent, CommentKind};
use tracing::{info, warn};

use super::caller::Caller;
use super::{Next, Upkeeper};
use crate::account::Account;
use crate::gateway::read::{IfDead, NoAnswer};
use crate::ingest::{Ingest, Ingested};
use crate::metrics::Metric;
use crate::port::{MaintenanceRecord, StoreError};

/// Reads of one visit at most, so that no account keeps the others waiting.
const READS_A_VISIT: usize = 20;

/// Takes comments that were read the way of those that were told.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Records a send for every comment of the account that a campaign wants. On an error, taking
    /// in the same comments again is right.
    async fn take_in(
        &self,
        account: &AccountId,
        comments: Vec<CommentEvent>,
    ) -> Result<Ingested, StoreError>;
}

#[async_trait]
impl Intake for Ingest {
    async fn take_in(
        &self,
        account: &AccountId,
        comments: Vec<CommentEvent>,
    ) -> Result<Ingested, StoreError> {
        self.ingest_read(account, comments).await
    }
}

/// What a page came to.
#[derive(Default)]
struct Told {
    /// Comments on it that are looked for.
    read: u32,
    /// Of these, those that were not known.
    found: u32,
    /// Whether one of them should have been told by a webhook long since.
    missed: bool,
    /// Whether the next page can hold nothing but older ones.
    older_follow: bool,
}

impl Upkeeper {
    /// Goes on with the backfill under way, as long as there is room for it.
    pub(super) async fn read_comments(
        &self,
        caller: &Caller<'_>,
        record: &MaintenanceRecord,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        for _ in 0..READS_A_VISIT {
            let Some(backfill) = &upkeep.backfill else { return Ok(Next::Check) };
            if !caller.has_time() || !self.may_read(caller.account, backfill).await? {
                return Ok(Next::Soon);
            }
            let went_on = match &backfill.media {
                None => self.list_media(caller, upkeep).await?,
                Some(media) => match media.first().cloned() {
                    Some(cursor) => self.read_page(caller, cursor, record, upkeep).await?,
                    None => true,
                },
            };
            if !went_on {
                return Ok(Next::Soon);
            }
            let is_over = |backfill: &Backfill| backfill.media.as_ref().is_some_and(Vec::is_empty);
            if let Some(over) = upkeep.backfill.take_if(|backfill| is_over(backfill)) {
                self.finish(caller.account, over, upkeep).await;
            }
            // A run that is killed now is gone on with here.
            self.maintenance.note(&caller.account.id, upkeep).await?;
        }
        Ok(if upkeep.backfill.is_some() { Next::Soon } else { Next::Check })
    }

    pub(super) async fn may_read(
        &self,
        account: &Account,
        backfill: &Backfill,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let (budget, cursor) =
            futures::try_join!(self.budgets.load(&account.id), self.cursors.load(&account.id))?;
        let headroom =
            budget.tightest(&account.rules, Action::Read, now).map_or(100, |(_, left)| left);
        let traffic = if cursor.parked.is_some() { Traffic::Busy } else { Traffic::Idle };
        Ok(backfill.may_read(headroom, traffic, now))
    }

    /// Finds out which media there are to read: the newest that have comments beyond those known,
    /// and those that campaigns name. Says whether it could.
    async fn list_media(
        &self,
        caller: &Caller<'_>,
        upkeep: &mut Upkeep,
    ) -> Result<bool, StoreError> {
        let (id, token) = (&caller.account.id, &caller.token);
        let listed = caller
            .call(IfDead::Hold, async |timeout| self.graph.media(id, token, timeout).await)
            .await;
        let items = match listed {
            Ok(Page { items, .. }) => items,
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(_) => return Ok(false),
        };
        let known: BTreeSet<MediaId> = items.iter().map(|media| media.id.clone()).collect();
        upkeep.counts.retain(|media, _| known.contains(media));
        let is_unread = |media: &MediaItem| {
            media.comments.is_none_or(|n| n > 0 && upkeep.counts.get(&media.id) != Some(&n))
        };
        let since = |media: &MediaId| upkeep.unfinished.get(media).map(|left| left.since);
        let listed = items.into_iter().filter(is_unread).map(|media| {
            let since = since(&media.id);
            MediaCursor::new(media.id, media.comments, since)
        });
        let named = caller.account.campaigns.media();
        let unfinished = upkeep.due_unfinished(self.clock.now()).map(|(media, _)| media);
        let others: BTreeSet<MediaId> =
            named.chain(unfinished).filter(|media| !known.contains(*media)).cloned().collect();
        let others = others.into_iter().map(|media| {
            let since = since(&media);
            MediaCursor::new(media, None, since)
        });
        let media = listed.chain(others).collect();
        if let Some(backfill) = &mut upkeep.backfill {
            backfill.media = Some(media);
        }
        Ok(true)
    }

    /// Reads a page of a media's comments. Says whether it could.
    async fn read_page(
        &self,
        caller: &Caller<'_>,
        cursor: MediaCursor,
        record: &MaintenanceRecord,
        upkeep: &mut Upkeep,
    ) -> Result<bool, StoreError> {
        let (id, token) = (&caller.account.id, &caller.token);
        let read = caller
            .call(IfDead::Hold, async |timeout| {
                let after = cursor.after.as_deref();
                self.graph.comments(id, token, &cursor.id, after, timeout).await
            })
            .await;
        let (told, next) = match read {
            Ok(Page { items, next }) => {
                (self.take_in(caller.account, &cursor, items, record, upkeep).await?, next)
            }
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(failed) => return Ok(self.not_read(caller, &failed, upkeep)),
        };
        let next = next.filter(|_| !told.older_follow);
        if next.is_none() {
            upkeep.unfinished.remove(&cursor.id);
            if let Some(comments) = cursor.comments {
                upkeep.counts.insert(cursor.id.clone(), comments);
            }
        }
        if let Some(backfill) = &mut upkeep.backfill {
            backfill.read = backfill.read.saturating_add(told.read);
            backfill.found = backfill.found.saturating_add(told.found);
            let media = backfill.media.get_or_insert_default();
            match (next, media.first_mut()) {
                (Some(next), Some(first)) => (first.after, first.failures) = (Some(next), 0),
                (None, Some(_)) => drop(media.remove(0)),
                (_, None) => {}
            }
        }
        let is_quiet = upkeep
            .backfill
            .as_ref()
            .is_some_and(|backfill| backfill.reason == Reason::Quiet && !backfill.only_unfinished);
        if told.missed && is_quiet && upkeep.silent_since.is_none() {
            self.went_silent(caller.account, record, upkeep).await;
        }
        Ok(true)
    }

    /// The next page of the first media could not be read. Says whether the backfill goes on now.
    fn not_read(&self, caller: &Caller<'_>, failed: &NoAnswer, upkeep: &mut Upkeep) -> bool {
        if !failed.is_of_the_call() {
            return false;
        }
        let Some(mut backfill) = upkeep.backfill.take() else { return false };
        let after = match backfill.media.as_mut().and_then(|media| media.first_mut()) {
            Some(media) => media.fail(failed.is_refusal()),
            None => AfterFailure::TryAgain,
        };
        if after == AfterFailure::Leave
            && let Some(media) = &mut backfill.media
        {
            let left = media.remove(0);
            warn!(account = %caller.account.id, media = %left.id, reason = failed.reason(), "comments not read to the end; they are tried again");
            upkeep.leave_unfinished(&left, &backfill, self.clock.now());
            backfill.unfinished += 1;
        }
        upkeep.backfill = Some(backfill);
        after != AfterFailure::TryAgain
    }

    /// Gives a page's comments to ingest.
    async fn take_in(
        &self,
        account: &Account,
        cursor: &MediaCursor,
        items: Vec<CommentItem>,
        record: &MaintenanceRecord,
        upkeep: &Upkeep,
    ) -> Result<Told, StoreError> {
        let Some(backfill) = &upkeep.backfill else { return Ok(Told::default()) };
        let now = self.clock.now();
        let since = backfill.since_of(cursor);
        let made_at = |item: &CommentItem| item.created_at.unwrap_or(since);
        let (first, last) = (items.first().map(made_at), items.last().map(made_at));
        // Meta lists the newest first, and promises nothing: only a page that shows it ends a
        // media. One whose comments are of the same instant, or that has a single one, tells
        // nothing of the order.
        let older_follow = first > last && last.is_some_and(|last| last < since);
        let own = upkeep.username.as_deref().filter(|name| !name.is_empty());
        let is_own = |item: &CommentItem| {
            let by_id = |id: &RecipientId| id.as_str() == account.id.as_str();
            item.from.as_ref().and_then(|from| from.id.as_ref()).is_some_and(by_id)
                || own.is_some_and(|own| item.username.as_deref() == Some(own))
        };
        let wanted: Vec<CommentItem> = items
            .into_iter()
            .filter(|item| backfill.wants(cursor, made_at(item), now) && !is_own(item))
            .collect();
        let should_be_known = |at: Timestamp| now.since(at) >= HEARD_SLACK;
        let heard_until = record.last_seen.unwrap_or_default() + HEARD_SLACK;
        // Told or not: one that a campaign wants only now was told, and nobody asked for a DM then.
        let never_heard =
            wanted.iter().map(made_at).any(|at| should_be_known(at) && at > heard_until);
        let read = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let comments = wanted
            .into_iter()
            .map(|item| CommentEvent {
                account: account.id.clone(),
                notified_at: Some(made_at(&item)),
                kind: CommentKind::Comment,
                id: item.id,
                from: item.from,
                text: item.text,
                media: Some(cursor.id.clone()),
                original_media: None,
                ad: None,
                parent: None,
            })
            .collect();
        let counts = self.intake.take_in(&account.id, comments).await?;
        let found = u32::try_from(counts.queued + counts.parked).unwrap_or(u32::MAX);
        self.meter.count(Metric::Backfilled, counts.queued + counts.parked);
        Ok(Told { read, found, missed: never_heard, older_follow })
    }

    async fn finish(&self, account: &Account, over: Backfill, upkeep: &mut Upkeep) {
        if !over.only_unfinished {
            // What was written while it read is for the next one.
            upkeep.read_at = Some(over.begun_at);
        }
        let Backfill { since, reason, read, found, unfinished, only_unfinished, .. } = over;
        info!(account = %account.id, ?reason, read, found, unfinished, "comments read");
        // A look at a quiet account that found nothing is no news; what is unfinished is, and its
        // end.
        let is_asked_for = matches!(reason, Reason::Resubscribed | Reason::Asked);
        if found > 0 || is_asked_for || only_unfinished == (unfinished == 0) {
            self.tell(&account.id, Event::Backfilled { since, read, found, unfinished }).await;
        }
    }
}
