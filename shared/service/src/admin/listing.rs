//! What waits of an account, as its outbox batches list it.

use std::sync::Arc;
use std::time::Duration;

use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CampaignId, OnceKey, SendId};
use spillway_core::send::{Class, PendingSend, Stage};
use spillway_core::time::Timestamp;

use crate::clock::Clock;
use crate::outbox_batch::{LINES_MAX, Slot};
use crate::outbox_key::OutboxKey;
use crate::port::{Read, Sends, StoreError};
use crate::ttl_cache::TtlCache;

/// Pending sends that are read at most: a look must not cost more than what is looked at.
const WAITING_MAX: usize = 20_000;

/// Batches read at a time.
const BATCHES: usize = 200;

/// A listing of more sends than these takes more than one read, and is remembered.
const LONG: usize = BATCHES * LINES_MAX;

/// How long it is remembered: an operator's page that looks again does not read it again.
const REMEMBERED: Duration = Duration::from_secs(30);

/// Bytes on the heap that a listed send takes, about.
const LISTED_BYTES: usize = size_of::<Listed>() + 48;

/// Reads what waits of accounts.
pub struct Listings {
    sends: Arc<dyn Sends>,
    long: TtlCache<AccountId, Arc<Listing>>,
}

/// Whether what was read before is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Nothing that was remembered.
    Now,
    /// A long listing may be half a minute old.
    Recent,
}

/// Whether all that waits was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// It was.
    #[default]
    All,
    /// There is more.
    First,
}

/// What waits of an account.
#[derive(Clone, Default)]
pub(super) struct Listing {
    /// The sends that were read.
    pub(super) sends: Vec<Listed>,
    /// Whether these are all.
    pub(super) extent: Extent,
}

/// A send that waits.
#[derive(Clone)]
pub(super) struct Listed {
    pub(super) key: OnceKey,
    pub(super) class: Class,
    pub(super) campaign: CampaignId,
    pub(super) order: Overflow,
    pub(super) not_before: Option<Timestamp>,
    pub(super) deadline: Timestamp,
    pub(super) stage: Stage,
}

impl Listed {
    pub(super) fn of(send: &PendingSend) -> Self {
        let &PendingSend { class, order, not_before, deadline, stage, .. } = send;
        let (campaign, key) = (send.content.campaign.clone(), send.id.key.clone());
        Self { key, class, campaign, order, not_before, deadline, stage }
    }
}

impl Listings {
    /// Reads them from `sends`.
    pub fn new(sends: Arc<dyn Sends>, clock: &Arc<dyn Clock>) -> Self {
        Self { sends, long: TtlCache::new(clock) }
    }

    /// What waits of an account at `now`.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub(super) async fn of(
        &self,
        id: &AccountId,
        now: Timestamp,
        freshness: Freshness,
    ) -> Result<Arc<Listing>, StoreError> {
        let remembered = self.long.get(id).filter(|_| freshness == Freshness::Recent);
        if let Some(remembered) = remembered {
            return Ok(remembered);
        }
        let listing = Arc::new(self.read(id, now).await?);
        if listing.sends.len() > LONG {
            let bytes = listing.sends.len() * LISTED_BYTES;
            self.long.put(id.clone(), listing.clone(), bytes, REMEMBERED);
        }
        Ok(listing)
    }

    /// Reads the batches. Of what was due by now the entries are read: most of it has ended.
    async fn read(&self, id: &AccountId, now: Timestamp) -> Result<Listing, StoreError> {
        let mut found = Vec::new();
        let mut after: Option<OutboxKey> = None;
        while found.len() < WAITING_MAX {
            let batches = self.sends.batches(id, after.as_ref(), BATCHES).await?;
            let mut due = Vec::new();
            for batch in &batches {
                let (class, order) = (batch.class, batch.order());
                let campaign = &batch.content.campaign;
                for line in &batch.lines {
                    let stage = match line.slot {
                        None => Stage::Parked,
                        Some(Slot { due, .. }) if now < due => Stage::Queued { due },
                        Some(_) => {
                            due.push((batch, line));
                            continue;
                        }
                    };
                    let (campaign, deadline) = (campaign.clone(), line.deadline);
                    let (not_before, key) = (line.not_before, line.key.clone());
                    found.push(Listed { key, class, campaign, order, not_before, deadline, stage });
                }
            }
            let ids: Vec<SendId> = due.iter().map(|(batch, line)| batch.id_of(line)).collect();
            let entries = self.sends.entries(&ids, Read::Eventual).await?;
            for ((batch, line), entry) in due.into_iter().zip(entries) {
                if let Some(send) = entry.waiting_at(&batch.key_of(line)) {
                    found.push(Listed::of(&line.stands(send)));
                }
            }
            if batches.len() < BATCHES {
                return Ok(Listing { sends: found, extent: Extent::All });
            }
            after = batches.last().map(|batch| batch.outbox_key.clone());
        }
        Ok(Listing { sends: found, extent: Extent::First })
    }
}
