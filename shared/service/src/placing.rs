//! Placing: a new send gets a slot, if there is one soon, and a line in a batch, which release finds
//! whatever happens next.
//!
//! A process marks an account once in five minutes, and the marker stays for ten. A marker for each
//! send could cost a write for each comment. A mark leaves an earlier due time alone, since
//! new sends wait behind others. What ends a hold, or parks a send again, wakes the account.

use std::sync::Arc;
use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_core::pace::{self, Cursor, HORIZON};
use spillway_core::send::{Class, PendingSend, Stage};
use spillway_core::time::Timestamp;
use tracing::{error, info, warn};

use crate::account::Account;
use crate::clock::Clock;
use crate::grant::GrantIds;
use crate::metrics::Meter;
use crate::outbox_batch::OutboxBatch;
use crate::outbox_key::OutboxKey;
use crate::port::{Backlogs, Cursors, MARK_KEPT, Queued, SendQueue, Sends, StoreError};
use crate::release::SWEEP;
use crate::send_task::SendTask;
use crate::ttl_cache::TtlCache;
use crate::versioned::{CursorOf, Measured, measure_and_replace};

/// How long a process relies on having marked an account. Well below [`MARK_KEPT`], for which a
/// mark stays.
const MARK_REMEMBERED: Duration = Duration::from_secs(300);

/// How long a process goes on with the cursor it has seen. An outdated one is noticed when it is
/// written; only "parked sends are waiting" can be believed for too long.
pub(crate) const CURSOR_REMEMBERED: Duration = Duration::from_secs(10);

/// About the heap that a cursor takes.
const CURSOR_BYTES: usize = 256;

/// Lost races for the cursor after which an arrival parks and asks for a release run, which has
/// slots for it. Of those that race one wins each round, so as many as come at once may be served.
const CURSOR_TRIES: usize = 24;

/// Places new sends.
pub struct Placing {
    sends: Arc<dyn Sends>,
    cursors: Arc<dyn Cursors>,
    backlogs: Arc<dyn Backlogs>,
    queue: Arc<dyn SendQueue>,
    ids: Arc<GrantIds>,
    meter: Arc<Meter>,
    marked: TtlCache<AccountId, ()>,
    seen: TtlCache<AccountId, Cursor>,
}

/// Sends that have their places, and no entries yet.
pub(crate) struct Placed {
    /// Each with the outbox key under which a batch lists it.
    pub(crate) sends: Vec<(OutboxKey, PendingSend)>,
    /// Whether release is to be asked for slots.
    pub(crate) are_left: bool,
    /// When the last send that waits will go, as the last release run saw it.
    pub(crate) last: Option<Timestamp>,
}

/// Whether release looks at the account before `send` may go, though nobody asks it to.
fn is_seen_in_time(send: &PendingSend, now: Timestamp) -> bool {
    send.not_before.is_some_and(|at| now + SWEEP + HORIZON < at)
}

/// What an arrival got.
enum Slots {
    /// These; all that there are inside the horizon where they are fewer than asked for.
    Taken(Vec<Timestamp>),
    /// None, because others always were first. There may be some.
    Lost,
}

impl Placing {
    /// Lists sends in `sends`, gives slots by `cursors`, marks accounts in `backlogs`, and puts on
    /// `queue` what has a slot.
    pub fn new(
        sends: Arc<dyn Sends>,
        cursors: Arc<dyn Cursors>,
        backlogs: Arc<dyn Backlogs>,
        queue: Arc<dyn SendQueue>,
        ids: Arc<GrantIds>,
        clock: &Arc<dyn Clock>,
        meter: Arc<Meter>,
    ) -> Self {
        let (marked, seen) = (TtlCache::new(clock), TtlCache::new(clock));
        Self { sends, cursors, backlogs, queue, ids, meter, marked, seen }
    }

    /// Marks the account before anything is written for it: a waiting send without a marker would
    /// never be looked at.
    pub(crate) async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        const { assert!(MARK_REMEMBERED.as_secs() + 120 < MARK_KEPT.as_secs()) };
        if self.marked.get(account).is_none() {
            self.backlogs.mark(account, now).await?;
            self.marked.put(account.clone(), (), 0, MARK_REMEMBERED);
        }
        Ok(())
    }

    /// Gives sends of one class their slots, as far as there are some before the horizon, and lists
    /// all of them in batches. The account is marked before.
    pub(crate) async fn place(
        &self,
        account: &Account,
        class: Class,
        sends: Vec<PendingSend>,
        now: Timestamp,
    ) -> Result<Placed, StoreError> {
        let may_go = |send: &PendingSend| send.not_before.is_none_or(|at| at <= now);
        let (mut sends, later): (Vec<_>, Vec<_>) = sends.into_iter().partition(may_go);
        // As their keys will sort.
        sends.sort_by_cached_key(|send| OutboxKey::new(send, 0));
        let slots = match self.take_slots(account, class, &sends, now).await {
            // Sends that are parked are not lost with the cursor.
            Err(error) if !error.is_retryable() => {
                self.meter.store_failed(&error);
                error!(account = %account.id, %error, "no slots: sends are parked");
                Slots::Taken(Vec::new())
            }
            slots => slots?,
        };
        let (slots, are_left) = match slots {
            Slots::Taken(slots) => {
                let are_soon = later.iter().any(|send| !is_seen_in_time(send, now));
                (slots, are_soon)
            }
            Slots::Lost => (Vec::new(), true),
        };
        for (send, &slot) in sends.iter_mut().zip(&slots) {
            send.stage =
                Stage::Queued { due: pace::due(&account.rules, &send.id, class.action, slot, now) };
        }
        if !later.is_empty() {
            sends.extend(later);
            sends.sort_by_cached_key(|send| OutboxKey::new(send, 0));
        }
        let (batches, placed): (Vec<OutboxBatch>, Vec<_>) =
            OutboxBatch::of(sends, now, || self.ids.next_nonce()).into_iter().unzip();
        self.sends.put_batches(&batches).await?;
        let outlook = self.seen.get(&account.id).and_then(|cursor| cursor.outlook);
        Ok(Placed {
            sends: placed.into_iter().flatten().collect(),
            are_left,
            last: outlook.map(|outlook| outlook.last),
        })
    }

    /// Puts sends that have a slot on the queue, once they are recorded.
    pub(crate) async fn enqueue<'a>(
        &self,
        sends: impl Iterator<Item = (&'a OutboxKey, &'a PendingSend)>,
        now: Timestamp,
    ) {
        let messages: Vec<Queued> = sends
            .filter_map(|(outbox_key, send)| {
                let Stage::Queued { due } = send.stage else { return None };
                let task = SendTask::new(send, outbox_key.clone());
                Some(Queued { task, delay: due.since(now) })
            })
            .collect();
        for (message, result) in messages.iter().zip(self.queue.enqueue(&messages).await) {
            // The send is durable, and the release function brings back what is overdue.
            if let Err(error) = result {
                warn!(send = %message.task.send, %error, "could not enqueue; release will");
            }
        }
    }

    /// Asks release for slots for what is left without one. It comes after the entries, so that the
    /// run finds them.
    pub(crate) async fn ask_release(&self, account: &AccountId, now: Timestamp) {
        info!(%account, "parked without the cursor: release is asked for");
        if let Err(error) = self.backlogs.wake(account, now).await {
            warn!(%account, %error, "could not ask for release");
        }
    }

    /// Takes slots for the first of `sends` in one write; none when the horizon is full. With those
    /// of a broadcast it notes that this lasts.
    async fn take_slots(
        &self,
        account: &Account,
        class: Class,
        sends: &[PendingSend],
        now: Timestamp,
    ) -> Result<Slots, StoreError> {
        let cursor = match self.seen.get(&account.id) {
            Some(cursor) => cursor,
            None => self.cursors.load(&account.id).await?,
        };
        let deadlines: Vec<Timestamp> = sends.iter().map(|send| send.deadline).collect();
        let take = |cursor: &Cursor| {
            let taken = cursor.take(&account.rules, class, now, &deadlines, self.ids.next());
            (taken.slots, taken.cursor)
        };
        let stored = CursorOf(&*self.cursors, &account.id);
        Ok(match measure_and_replace(&stored, cursor, CURSOR_TRIES, take).await? {
            Some(Measured { before, after, result: slots }) => {
                let cursor = after.unwrap_or(before);
                self.seen.put(account.id.clone(), cursor, CURSOR_BYTES, CURSOR_REMEMBERED);
                Slots::Taken(slots)
            }
            None => {
                self.seen.forget(&account.id);
                Slots::Lost
            }
        })
    }
}
