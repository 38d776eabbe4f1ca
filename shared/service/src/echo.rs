//! Echoes: Meta tells of each message that the account has sent. One that carries the stamp of a
//! send ends this send, before the call's own answer, after it, or where there was none. One without
//! a stamp, whose message id is none of ours, shows that a human has taken the thread over.
//!
//! Nearly every echo is of a DM whose answer was heard. It costs a share of an eventual read, and no
//! write. While an attempt of the account is unknown, it is also noted for which minutes echoes have
//! come: where those of others have come, and one has not, its message did not arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spillway_core::campaign::Campaign;
use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::send::Outcome;
use spillway_core::stamp::Stamp;
use spillway_core::time::Timestamp;
use spillway_core::unknown::EchoWatch;
use spillway_meta::webhook::Echo;
use tracing::{info, warn};

use crate::account_cache::AccountCache;
use crate::converse::End;
use crate::endings::Endings;
use crate::grant::GrantIds;
use crate::metrics::Metric;
use crate::port::{Closed, EchoWatches, EndGuard, Entry, Journal, Read, StoreError};
use crate::send_task::SendTask;
use crate::ttl_cache::TtlCache;
use crate::versioned::{EchoWatchOf, measure_and_replace};

/// How long a process goes on with a watch that it has read. It notices one that was opened since
/// so much later.
const WATCH_REMEMBERED: Duration = Duration::from_secs(30);

/// About the heap that a watch takes.
const WATCH_BYTES: usize = 256;

/// Lost races for a watch after which an echo is not noted: those that came first were.
const WATCH_TRIES: usize = 4;

/// After which time a journal tells again that a human writes.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);

/// Takes in echoes.
pub struct Echoes {
    endings: Endings,
    account_cache: Arc<AccountCache>,
    watches: Arc<dyn EchoWatches>,
    journal: Arc<dyn Journal>,
    /// The watches that this process has read.
    watched: TtlCache<AccountId, EchoWatch>,
    /// Accounts whose journals tell that a human writes.
    told: TtlCache<AccountId, ()>,
}

/// Echoes of a delivery, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echoed {
    /// Those of a send: it is stamped on them, or they have its message's id.
    pub ours: usize,
    /// Those of nobody's send: a person or another app wrote.
    pub others: usize,
    /// Sends that they have ended.
    pub closed: usize,
}

impl Echoes {
    /// Ends sends by `endings`, notes in `watches` that echoes come, and tells `journal` of humans who
    /// write. `account_cache` has the campaigns that something follows.
    pub fn new(
        endings: Endings,
        account_cache: Arc<AccountCache>,
        watches: Arc<dyn EchoWatches>,
        journal: Arc<dyn Journal>,
    ) -> Self {
        let watched = TtlCache::new(&endings.clock);
        let told = TtlCache::new(&endings.clock);
        Self { endings, account_cache, watches, journal, watched, told }
    }

    /// Ends the sends that these echoes of one account belong to. An echo never asks for a DM.
    ///
    /// # Errors
    /// Fails if the store does not answer. Taking them in again is right.
    pub(crate) async fn take_in(
        &self,
        account: &AccountId,
        echoes: &[Echo],
    ) -> Result<Echoed, StoreError> {
        let mut ours: BTreeMap<SendId, (Stamp, &Echo)> = BTreeMap::new();
        for echo in echoes {
            if let Some(stamp) = echo.metadata.as_deref().and_then(Stamp::decode) {
                let send = SendId { account: account.clone(), key: stamp.key.clone() };
                ours.insert(send, (stamp, echo));
            }
        }
        let unstamped: Vec<&Echo> = echoes.iter().filter(|echo| !is_stamped(echo)).collect();
        let others = self.note_humans(account, &unstamped).await?;
        let own = ours.len() + unstamped.len() - others;
        let mut echoed = Echoed { ours: own, others, closed: 0 };
        if ours.is_empty() {
            return Ok(echoed);
        }
        let sends: Vec<SendId> = ours.keys().cloned().collect();
        for send in self.endings.sends.unsent(&sends).await? {
            let Some((stamp, echo)) = ours.get(&send) else { continue };
            echoed.closed += usize::from(self.close(&send, stamp, echo).await?);
        }
        let made_at: Vec<Timestamp> = ours.values().filter_map(|(_, echo)| echo.sent_at).collect();
        if let Err(error) = self.note(account, &made_at).await {
            warn!(%account, %error, "not noted that echoes come");
        }
        Ok(echoed)
    }

    /// Somebody writes in the account's name to these people: a human, or another app, unless Meta
    /// has lost the stamp of a send. Returns how many they did write.
    async fn note_humans(
        &self,
        account: &AccountId,
        echoes: &[&Echo],
    ) -> Result<usize, StoreError> {
        if echoes.is_empty() {
            return Ok(0);
        }
        let Some(account) = self.account_cache.find(account).await? else {
            return Ok(echoes.len());
        };
        let converse = &self.endings.converse;
        let mut others = echoes.len();
        let mut latest: BTreeMap<&RecipientId, Timestamp> = BTreeMap::new();
        let now = self.endings.clock.now();
        for echo in echoes {
            let Some(person) = &echo.recipient else { continue };
            if let Some(message) = &echo.message
                && converse.has_sent(&account, person, message).await?
            {
                others -= 1;
                continue;
            }
            let at = echo.sent_at.unwrap_or(now).min(now);
            let newest = latest.entry(person).or_insert(at);
            *newest = at.max(*newest);
        }
        let mut until: Option<Timestamp> = None;
        for (person, at) in latest {
            until = until.max(converse.human_wrote(&account, person, at).await?);
        }
        if let Some(until) = until {
            self.tell(&account.id, until, now).await;
        }
        Ok(others)
    }

    /// Tells the account's journal that a human writes.
    async fn tell(&self, account: &AccountId, until: Timestamp, now: Timestamp) {
        if self.told.get(account).is_some() {
            return;
        }
        let what = Event::HumanWrote { until };
        let entry = JournalEntry { at: now, account: account.clone(), what };
        match self.journal.append(&entry).await {
            Ok(()) => self.told.put(account.clone(), (), 0, TOLD_AGAIN),
            Err(error) => warn!(%account, %error, "the journal does not tell that a human writes"),
        }
    }

    async fn close(&self, send: &SendId, stamp: &Stamp, echo: &Echo) -> Result<bool, StoreError> {
        let outcome = Outcome::Sent {
            recipient: echo.recipient.clone(),
            message: echo.message.clone(),
            variant: stamp.variant,
        };
        let now = self.endings.clock.now();
        if self.end_followed(send, &outcome, echo.sent_at, now).await? {
            info!(%send, "sent: its echo has come");
            return Ok(true);
        }
        match self.endings.sends.close(send, &outcome, now).await? {
            Closed::Ended => {
                info!(%send, "sent: its echo has come");
                self.endings.meter.count(Metric::Sent, 1);
                Ok(true)
            }
            // It was counted when it ended.
            Closed::Corrected => {
                info!(%send, "sent after all: its echo has come");
                Ok(true)
            }
            Closed::Known => Ok(false),
        }
    }

    /// Ends a waiting send that something follows. Only its entry tells what, and whom that is for.
    async fn end_followed(
        &self,
        send: &SendId,
        outcome: &Outcome,
        sent_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(account) = self.account_cache.find(&send.account).await? else {
            return Ok(false);
        };
        let is_followed =
            |campaign: &Campaign| campaign.replies_in_public() || campaign.then.is_some();
        if !account.campaigns.iter().any(is_followed) {
            return Ok(false);
        }
        let sends = &self.endings.sends;
        let found = sends.entries(std::slice::from_ref(send), Read::Consistent).await?;
        let Some(Entry::Waiting(outbox_key, waiting)) = found.into_iter().next() else {
            return Ok(false);
        };
        let end = End {
            outcome,
            note: now.into(),
            guard: EndGuard::AnyEpoch,
            called_at: sent_at.unwrap_or(now).min(now),
        };
        let campaign = account.campaigns.get(&waiting.content.campaign);
        if !campaign.is_some_and(is_followed) {
            return Ok(false);
        }
        let reply = self.endings.reply(Some(&account), &waiting, &end).await?;
        let task = SendTask::new(&waiting, outbox_key);
        let followed =
            self.endings.end_followed(Some(&account), (&task, &waiting), end, reply.as_ref());
        Ok(followed.await?.unwrap_or(false))
    }

    /// Notes that echoes of messages of these instants have come, if an attempt of the account is
    /// unknown.
    async fn note(&self, account: &AccountId, made_at: &[Timestamp]) -> Result<(), StoreError> {
        let watch = match self.watched.get(account) {
            Some(watch) => watch,
            None => self.watches.load(account, Read::Eventual).await?,
        };
        let Endings { ids, clock, .. } = &self.endings;
        let now = clock.now();
        let note = |watch: &EchoWatch| ((), watch.noted(made_at, now, ids.next()));
        let stored = EchoWatchOf(&*self.watches, account);
        let noted = measure_and_replace(&stored, watch, WATCH_TRIES, note).await?;
        if let Some(noted) = noted {
            let watch = noted.after.unwrap_or(noted.before);
            self.watched.put(account.clone(), watch, WATCH_BYTES, WATCH_REMEMBERED);
        }
        Ok(())
    }
}

fn is_stamped(echo: &Echo) -> bool {
    echo.metadata.as_deref().and_then(Stamp::decode).is_some()
}

/// Lets it be noted which echoes come, after an attempt of the account whose outcome is unknown.
pub(crate) async fn open_watch(
    watches: &dyn EchoWatches,
    account: &AccountId,
    ids: &GrantIds,
    now: Timestamp,
) {
    let opened = async {
        let watch = watches.load(account, Read::Eventual).await?;
        let open = |watch: &EchoWatch| ((), watch.opened(now, ids.next()));
        let stored = EchoWatchOf(watches, account);
        measure_and_replace(&stored, watch, WATCH_TRIES, open).await.map(|_| ())
    };
    if let Err(error) = opened.await {
        warn!(%account, %error, "echoes are not noted: the conversation will be read instead");
    }
}
