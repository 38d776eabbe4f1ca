//! Ingest: what asks for a DM becomes a recorded send, with a slot on the queue or parked. Comments,
//! and what people write or tap in conversations, come by webhook deliveries; messages that nobody
//! has just asked for come from callers of [`Ingest::enter`].
//!
//! Everything that matters is durable before [`Ingest::ingest`] returns; whatever fails before that
//! is an error, and Meta's re-send is wanted. Only what cannot be read is none: a re-send would
//! find it as it is, and take the comments of other accounts with it each time.
//!
//! The events of a delivery and the people who made them are looked up in one eventual batch read
//! before anything is taken for them. A repeated comment then costs a read instead of a slot and two
//! writes. The read may lag; the condition of the entry decides. How often a person is answered is
//! decided in `once`.

mod conversations;
mod once;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CampaignId, CommentId, MediaId, OnceKey, RecipientId, SendId};
use spillway_core::once::{Answers, is_forgotten};
use spillway_core::send::{
    Address, Class, Content, LIVE_REPLY_WINDOW, Lane, PendingSend, REPLY_WINDOW, Stage,
};
use spillway_core::time::Timestamp;
use spillway_meta::webhook::{CommentEvent, CommentKind, ConversationEvent, Delivery, Echo, Event};
use tracing::{debug, error, info, warn};

pub use self::once::EntryKeys;
use self::once::{Asked, Settled};
use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::{Clock, ClockCheck};
use crate::converse::Converse;
use crate::echo::{Echoed, Echoes};
use crate::grant::GrantIds;
use crate::metrics::{Meter, Metric};
use crate::misses::MissCounter;
use crate::placing::{Placed, Placing};
use crate::port::{LastSeen, NewSend, Read, Recorded, Sends, StoreError};
use crate::ttl_cache::TtlCache;

/// How long after one write a process does not note again that an account's webhooks come: one
/// write an hour, an account and a process. Upkeep allows for it
/// ([`HEARD_SLACK`](spillway_core::upkeep::HEARD_SLACK)).
const HEARD_REMEMBERED: Duration = Duration::from_secs(3600);

/// Accounts of one delivery that are worked on at a time.
const ACCOUNTS_AT_ONCE: usize = 8;

/// What the comments of one account may take. What is begun later could be cut off between the
/// entries and their messages.
const ACCOUNT_TIME: Duration = Duration::from_secs(5);

/// Rounds in which sends may find that another process has just answered their person.
const ONCE_ROUNDS: usize = 16;

const RECORD: &str = "record sends";

/// Turns deliveries into sends.
pub struct Ingest {
    /// Accounts and their campaigns.
    pub account_cache: Arc<AccountCache>,
    /// Records sends.
    pub sends: Arc<dyn Sends>,
    /// Gives slots.
    pub placing: Arc<Placing>,
    /// Goes on with conversations.
    pub converse: Arc<Converse>,
    /// Notes that webhooks come.
    pub last_seen: Arc<dyn LastSeen>,
    /// Counts comments that no campaign wants.
    pub misses: MissCounter,
    /// Ends sends whose messages come back.
    pub echoes: Echoes,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// Records what happens.
    pub meter: Arc<Meter>,
    /// Under which keys entries are made.
    pub entry_keys: EntryKeys,
    /// What this process remembers.
    pub warm: Warm,
}

/// What a warm process remembers between deliveries.
pub struct Warm {
    heard: TtlCache<AccountId, Timestamp>,
}

impl Warm {
    /// Nothing is remembered yet; `clock` tells for how long what will be.
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { heard: TtlCache::new(clock) }
    }
}

/// A message to be made to somebody, which no comment asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Names it: entered twice, it is sent once.
    pub key: OnceKey,
    /// When it goes, beside others.
    pub lane: MessageLane,
    /// Whom it is for.
    pub recipient: RecipientId,
    /// The person's name, to greet them by.
    pub username: Option<String>,
    /// The campaign whose texts it takes.
    pub campaign: CampaignId,
    /// No attempt before this instant; `None` where it may go at once.
    pub not_before: Option<Timestamp>,
    /// No attempt after this instant: for a follow-up a day after the person's last message.
    pub deadline: Timestamp,
}

/// The lanes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageLane {
    /// Answers what the person has just written: a story reply, a keyword in a DM.
    Answer,
    /// In a conversation that the person has opened.
    FollowUp,
    /// For a campaign.
    Outbound,
}

impl From<MessageLane> for Class {
    fn from(lane: MessageLane) -> Self {
        match lane {
            MessageLane::Answer => Self::ANSWER,
            MessageLane::FollowUp => Self::FOLLOW_UP,
            MessageLane::Outbound => Self::OUTBOUND,
        }
    }
}

/// How what asks for a DM became known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A webhook told of it, perhaps long after it was made.
    Webhook,
    /// With the time when it was made: a comment was read, or a webhook told of a message.
    Dated,
}

/// What became of a delivery: each event of it counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Comments and messages recorded with a slot.
    pub queued: usize,
    /// Those recorded without one.
    pub parked: usize,
    /// Of these, how many will probably be too late, as the last release run saw it.
    pub late: usize,
    /// Those recorded before, or twice in this delivery.
    pub duplicate: usize,
    /// Those of people who have, or wait for, all that the campaign gives them.
    pub repeat: usize,
    /// Those of people who have had as many DMs as one gets in ten days.
    pub too_many: usize,
    /// The account's own comments.
    pub own: usize,
    /// Comments that no campaign wants.
    pub unmatched: usize,
    /// Events for accounts that are not connected.
    pub unknown_account: usize,
    /// Echoes of messages that sends have made.
    pub echoes: usize,
    /// Sends that these have ended.
    pub closed: usize,
    /// Messages and taps that belong to a conversation.
    pub heard: usize,
    /// Valid events of other kinds, and messages that no campaign wants.
    pub other: usize,
    /// Events that lack what they need.
    pub skipped: usize,
    /// Comments and messages of accounts with a stored item that cannot be read.
    pub unreadable: usize,
}

impl Ingested {
    fn add(&mut self, other: Self) {
        self.queued += other.queued;
        self.parked += other.parked;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.repeat += other.repeat;
        self.too_many += other.too_many;
        self.own += other.own;
        self.unmatched += other.unmatched;
        self.unknown_account += other.unknown_account;
        self.echoes += other.echoes;
        self.closed += other.closed;
        self.heard += other.heard;
        self.other += other.other;
        self.skipped += other.skipped;
        self.unreadable += other.unreadable;
    }
}

impl Ingest {
    /// Records a send for every comment and message that a campaign wants, account by account: what
    /// fails for one keeps nothing of another from being recorded. None is begun for which too little time is
    /// left before `deadline`, the end of this invocation.
    ///
    /// # Errors
    /// Fails if something could not be persisted that may be the next time. Ingesting the same delivery
    /// again is right: what is recorded is known.
    pub fn ingest(
        &self,
        delivery: Delivery,
        deadline: Timestamp,
    ) -> BoxFuture<'_, Result<Ingested, StoreError>> {
        Box::pin(async move {
            let mut total = Ingested { skipped: delivery.skipped.len(), ..Ingested::default() };
            let mut by_account: BTreeMap<AccountId, Vec<CommentEvent>> = BTreeMap::new();
            let mut echoes: BTreeMap<AccountId, Vec<Echo>> = BTreeMap::new();
            let mut asking: BTreeMap<AccountId, Vec<ConversationEvent>> = BTreeMap::new();
            for event in delivery.events {
                match event {
                    Event::Comment(comment) => {
                        self.meter.count(Metric::Accepted, 1);
                        by_account.entry(comment.account.clone()).or_default().push(comment);
                    }
                    Event::Echo(echo) => {
                        echoes.entry(echo.account.clone()).or_default().push(echo);
                    }
                    Event::Conversation(event) if conversations::may_matter(&event) => {
                        asking.entry(event.account.clone()).or_default().push(event);
                    }
                    Event::Conversation(_) | Event::Other { .. } => total.other += 1,
                }
            }
            let last_begin = deadline - ACCOUNT_TIME;
            let mut results = stream::iter(by_account)
                .map(|(account, comments)| async move {
                    (account.clone(), self.ingest_in_time(account, comments, last_begin).await)
                })
                .buffer_unordered(ACCOUNTS_AT_ONCE);
            let (mut again, mut unknown) = (None, Vec::new());
            while let Some((account, result)) = results.next().await {
                match result {
                    Ok(counts) => {
                        unknown.extend((counts.unknown_account > 0).then_some(account));
                        total.add(counts);
                    }
                    Err(error) => again = again.or(Some(error)),
                }
            }
            let mut results = stream::iter(asking)
                .map(|(account, events)| async move {
                    let counts = self.take_in_conversations(&account, events, last_begin).await;
                    (account, counts)
                })
                .buffer_unordered(ACCOUNTS_AT_ONCE);
            while let Some((account, result)) = results.next().await {
                match result {
                    Ok(counts) => {
                        unknown.extend((counts.unknown_account > 0).then_some(account));
                        total.add(counts);
                    }
                    Err(error) => again = again.or(Some(error)),
                }
            }
            // One line, however many accounts a delivery names.
            if let Some(account) = unknown.first() {
                warn!(
                    %account,
                    accounts = unknown.len(),
                    events = total.unknown_account,
                    "comments or messages for accounts that are not connected"
                );
            }
            let mut results = stream::iter(echoes)
                .map(|(account, echoes)| self.take_in_echoes(account, echoes, last_begin))
                .buffer_unordered(ACCOUNTS_AT_ONCE);
            while let Some(result) = results.next().await {
                match result {
                    Ok(counts) => total.add(counts),
                    Err(error) => again = again.or(Some(error)),
                }
            }
            if self.clock.now() <= last_begin {
                self.misses.write_due(&self.account_cache).await;
            }
            // What is told of each send, and the metrics, say this at less cost.
            debug!(
                queued = total.queued,
                parked = total.parked,
                late = total.late,
                duplicate = total.duplicate,
                repeat = total.repeat,
                too_many = total.too_many,
                own = total.own,
                unmatched = total.unmatched,
                unknown_account = total.unknown_account,
                echoes = total.echoes,
                closed = total.closed,
                heard = total.heard,
                other = total.other,
                skipped = total.skipped,
                "ingested"
            );
            again.map_or(Ok(total), Err)
        })
    }

    /// Comments that a webhook has told of, if their turn comes by `last_begin`. An error is one
    /// that a repeat can mend.
    async fn ingest_in_time(
        &self,
        id: AccountId,
        comments: Vec<CommentEvent>,
        last_begin: Timestamp,
    ) -> Result<Ingested, StoreError> {
        self.check_time(last_begin)?;
        let count = comments.len();
        let ingested = self.ingest_told(id.clone(), comments).await;
        self.or_dropped(&id, ("comments", count), ingested)
    }

    fn check_time(&self, last_begin: Timestamp) -> Result<(), StoreError> {
        if self.clock.now() > last_begin {
            let detail = "this invocation has no time left";
            return Err(StoreError::unavailable(RECORD, detail));
        }
        Ok(())
    }

    /// Drops events whose failure no repeat could mend: it would take those of other accounts with
    /// it each time.
    fn or_dropped(
        &self,
        account: &AccountId,
        (what, count): (&str, usize),
        ingested: Result<Ingested, StoreError>,
    ) -> Result<Ingested, StoreError> {
        match ingested {
            Err(error) if error.is_retryable() => {
                warn!(%account, %error, "{what} not persisted: Meta will send them again");
                Err(error)
            }
            Err(error) => {
                self.meter.store_failed(&error);
                error!(%account, count, %error, "{what} dropped");
                Ok(Ingested { unreadable: count, ..Ingested::default() })
            }
            Ok(counts) => Ok(counts),
        }
    }

    /// Echoes of one account, if their turn comes by `last_begin`. An error is one that a repeat can
    /// mend.
    async fn take_in_echoes(
        &self,
        account: AccountId,
        echoes: Vec<Echo>,
        last_begin: Timestamp,
    ) -> Result<Ingested, StoreError> {
        self.check_time(last_begin)?;
        let taken = self.echoes.take_in(&account, &echoes).await;
        let taken = taken.map(|Echoed { ours, others, closed }| Ingested {
            echoes: ours,
            other: others,
            closed,
            ..Ingested::default()
        });
        self.or_dropped(&account, ("echoes", echoes.len()), taken)
    }

    /// Comments that a webhook has told of.
    async fn ingest_told(
        &self,
        id: AccountId,
        comments: Vec<CommentEvent>,
    ) -> Result<Ingested, StoreError> {
        let now = self.clock.now();
        let told_at = comments.iter().map(|comment| comment.notified_at.unwrap_or(now).min(now));
        let told_at = told_at.max();
        let counts = self.ingest_account(id.clone(), comments, Source::Webhook).await?;
        if let Some(told_at) = told_at
            && counts.unknown_account == 0
        {
            self.hear(id, told_at).await;
        }
        Ok(counts)
    }

    /// Writes down that a webhook of `told_at` has told of the account. One that Meta delivers
    /// again says nothing of whether webhooks come now, so what counts is the time that it carries.
    /// It comes after what must be durable, and a failure costs nothing but that upkeep looks for
    /// comments which are known.
    async fn hear(&self, account: AccountId, told_at: Timestamp) {
        let heard = self.warm.heard.get(&account);
        if heard.is_some_and(|heard| told_at < heard + HEARD_REMEMBERED) {
            return;
        }
        match self.last_seen.record_seen(&account, told_at).await {
            Ok(()) => self.warm.heard.put(account, told_at, 0, HEARD_REMEMBERED),
            Err(error) => warn!(%account, %error, "not written down that webhooks come"),
        }
    }

    /// Records a send for every comment of the account that a campaign wants, as [`Self::ingest`]
    /// does, of comments that were read and not told.
    ///
    /// # Errors
    /// Fails if something could not be persisted. Ingesting the same comments again is right.
    pub async fn ingest_read(
        &self,
        id: &AccountId,
        comments: Vec<CommentEvent>,
    ) -> Result<Ingested, StoreError> {
        self.ingest_account(id.clone(), comments, Source::Dated).await
    }

    async fn ingest_account(
        &self,
        id: AccountId,
        comments: Vec<CommentEvent>,
        source: Source,
    ) -> Result<Ingested, StoreError> {
        let mut counts = Ingested::default();
        let Some(account) = self.account_cache.find(&id).await? else {
            debug!(account = %id, comments = comments.len(), "this account is not connected");
            counts.unknown_account = comments.len();
            self.note(&counts);
            return Ok(counts);
        };
        let now = self.clock.now();
        let mut seen = HashSet::new();
        let (mut account, mut looked) = (account, Ok(None));
        let (mut wanted, mut unwanted) =
            self.match_comments(&account, comments, &mut seen, now, &mut counts);
        if !unwanted.is_empty() {
            // A campaign may be new, or go on again: just when it is announced most comments come.
            looked = self.account_cache.newer(&account).await;
        }
        if let Ok(Some(newer)) = &mut looked {
            account = newer.clone();
            let (more, rest) = self.match_comments(&account, unwanted, &mut seen, now, &mut counts);
            wanted.extend(more);
            unwanted = rest;
        }
        for comment in &unwanted {
            debug!(account = %account.id, comment = %comment.id, "no campaign wants it");
        }
        counts.unmatched += unwanted.len();
        let recorded = self.record_once(&account, wanted, source, now, &mut counts).await;
        // What was recorded before a failure is.
        self.note(&counts);
        recorded?;
        // Whether what no campaign wants is to be dropped is not known.
        looked?;
        if source == Source::Webhook {
            self.misses.count(&account, &unwanted, now);
        }
        Ok(counts)
    }

    fn note(&self, counts: &Ingested) {
        self.meter.count(Metric::Matched, counts.queued + counts.parked);
        self.meter.count(Metric::Parked, counts.parked);
        self.meter.count(Metric::Duplicates, counts.duplicate);
        self.meter.count(Metric::Repeats, counts.repeat);
        self.meter.count(Metric::TooManyAnswers, counts.too_many);
        self.meter.count(Metric::UnknownAccounts, counts.unknown_account);
    }

    /// Records messages of one account; of those entered before, and of an account that is not
    /// connected, none.
    ///
    /// # Errors
    /// Fails if something could not be persisted. Entering the same messages again is right.
    pub fn enter<'a>(
        &'a self,
        id: &'a AccountId,
        messages: Vec<NewMessage>,
    ) -> BoxFuture<'a, Result<Ingested, StoreError>> {
        Box::pin(async move {
            let mut counts = Ingested::default();
            let Some(account) = self.account_cache.find(id).await? else {
                counts.unknown_account = messages.len();
                self.note(&counts);
                return Ok(counts);
            };
            let now = self.clock.now();
            let mut seen = HashSet::new();
            let mut wanted = Vec::new();
            for message in messages {
                if !seen.insert(message.key.clone()) {
                    counts.duplicate += 1;
                    continue;
                }
                let campaign = account.campaigns.get(&message.campaign);
                let order = campaign.map_or(Overflow::OldestFirst, |campaign| campaign.overflow);
                let id = SendId { account: account.id.clone(), key: message.key };
                let content = Content::opening(message.campaign);
                let to = Address::Person(message.recipient);
                let (class, deadline) = (message.lane.into(), message.deadline);
                wanted.push(PendingSend {
                    order,
                    username: message.username,
                    not_before: message.not_before,
                    ..PendingSend::new(id, class, content, to, now, deadline)
                });
            }
            let recorded = self.record_new(&account, wanted, now, &mut counts).await;
            self.note(&counts);
            recorded?;
            Ok(counts)
        })
    }

    /// Records those that were not recorded before.
    async fn record_new(
        &self,
        account: &Account,
        mut wanted: Vec<PendingSend>,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> Result<(), StoreError> {
        let keys: Vec<OnceKey> = wanted.iter().map(|send| send.id.key.clone()).collect();
        let known = self.sends.look_up(&account.id, &keys, &[], Read::Eventual).await?;
        wanted.retain(|send| !known.keys.contains(&send.id.key));
        counts.duplicate += keys.len() - wanted.len();
        if wanted.is_empty() {
            return Ok(());
        }
        self.check_clock()?;
        let new = wanted.into_iter().map(|send| (send, None)).collect();
        self.record_all(account, new, now, counts).await.map(drop)
    }

    /// Records what comments or messages ask for, as often as their campaigns allow for each person,
    /// and each of them once.
    async fn record_once(
        &self,
        account: &Account,
        mut asked: Vec<Asked>,
        source: Source,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> Result<(), StoreError> {
        // Their entries may be gone; tombstones say that these were answered, or are not to be.
        let before = asked.len();
        asked.retain(|asked| {
            let of_person = asked.person().and_then(|person| account.forgotten.person(person));
            let is_before = |at| is_forgotten(at, asked.told_at, source == Source::Dated);
            !account.forgotten.holds(&asked.event) && !of_person.is_some_and(is_before)
        });
        counts.duplicate += before - asked.len();
        let mut read = Read::Eventual;
        for _ in 0..ONCE_ROUNDS {
            if asked.is_empty() {
                return Ok(());
            }
            let Settled { new, again } =
                self.settle(account, asked, (read, source), now, counts).await?;
            asked = again;
            read = Read::Consistent;
            if new.is_empty() {
                continue;
            }
            let sends = new.iter().map(|(asked, answered)| (asked.send.clone(), answered.clone()));
            let outrun = self.record_all(account, sends.collect(), now, counts).await?;
            let is_outrun = |asked: &Asked| outrun.contains(&asked.send.id);
            asked.extend(new.into_iter().map(|(asked, _)| asked).filter(is_outrun));
        }
        if asked.is_empty() {
            return Ok(());
        }
        Err(StoreError::unavailable(RECORD, "others always were first"))
    }

    /// Records sends, class by class. Returns those that would have been the first to their person,
    /// and of whom somebody else has written meanwhile what they are answered.
    async fn record_all(
        &self,
        account: &Account,
        sends: Vec<(PendingSend, Option<Answers>)>,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> Result<HashSet<SendId>, StoreError> {
        self.placing.mark(&account.id, now).await?;
        let mut by_class: BTreeMap<Class, (Vec<PendingSend>, HashMap<SendId, Answers>)> =
            BTreeMap::new();
        for (send, answered) in sends {
            let (of_class, first) = by_class.entry(send.class).or_default();
            first.extend(answered.map(|answered| (send.id.clone(), answered)));
            of_class.push(send);
        }
        let mut outrun = HashSet::new();
        for (class, (sends, first)) in by_class {
            outrun.extend(self.record(account, class, sends, &first, now, counts).await?);
        }
        Ok(outrun)
    }

    /// What the comments ask for, each comment once, and the comments that no campaign
    /// wants.
    fn match_comments(
        &self,
        account: &Account,
        comments: Vec<CommentEvent>,
        seen: &mut HashSet<CommentId>,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> (Vec<Asked>, Vec<CommentEvent>) {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for comment in comments {
            let say = |what: &str| debug!(account = %account.id, comment = %comment.id, "{what}");
            if comment.is_own() {
                say("the account's own comment");
                counts.own += 1;
                continue;
            }
            // A picture of an album counts as the album, an ad as the post that it was made from.
            let of = comment.original_media.as_ref().or(comment.media.as_ref());
            let album = of.and_then(|media| account.albums.album_of(media)).cloned();
            let media: Vec<&MediaId> = comment.all_media().into_iter().chain(&album).collect();
            let Some(found) = account.campaigns.matching(&comment.candidate(&media, now)) else {
                unwanted.push(comment);
                continue;
            };
            if !seen.insert(comment.id.clone()) {
                say("twice in one delivery");
                counts.duplicate += 1;
                continue;
            }
            if !found.outranked.is_empty() {
                self.meter.count(Metric::Outranked, found.outranked.len());
                let (campaign, comment) = (&found.campaign.id, &comment.id);
                for outranked in &found.outranked {
                    info!(account = %account.id, %comment, %campaign, %outranked, "another campaign answers it");
                }
            }
            let (class, window) = match comment.kind {
                CommentKind::Comment => (Class::PRIVATE_REPLY, REPLY_WINDOW),
                CommentKind::Live => (Class::LIVE_REPLY, LIVE_REPLY_WINDOW),
            };
            let written_at = comment.written_at(now);
            let (author, username) =
                comment.from.map_or((None, None), |from| (from.id, from.username));
            let event = OnceKey::comment(&comment.id);
            let id = SendId { account: account.id.clone(), key: event.clone() };
            let content = Content::opening(found.campaign.id.clone());
            let to = Address::Comment { id: comment.id, author };
            let send = PendingSend {
                order: found.campaign.overflow,
                keyword: found.keyword.map(str::to_owned),
                media: album.or(comment.original_media).or(comment.media),
                username,
                ..PendingSend::new(id, class, content, to, now, written_at + window)
            };
            let once = found.campaign.once(comment.kind.trigger());
            wanted.push(Asked { event, send, once, told_at: written_at });
        }
        (wanted, unwanted)
    }

    /// A mark set an hour ago by its own account is removed at once, and a slot an hour ahead holds
    /// up all that come after it: with a wrong clock nothing is recorded, and Meta delivers again.
    /// Looking up what is known has shown what the store's clock says.
    fn check_clock(&self) -> Result<(), StoreError> {
        if self.check.is_trusted() {
            return Ok(());
        }
        let detail = "this process's clock is off";
        Err(StoreError::unavailable(RECORD, detail))
    }

    /// Records sends of one class. `first` says what people are answered whose own item a send lies
    /// in. Returns those of them that somebody else was first with.
    async fn record(
        &self,
        account: &Account,
        class: Class,
        sends: Vec<PendingSend>,
        first: &HashMap<SendId, Answers>,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> Result<Vec<SendId>, StoreError> {
        let Placed { sends, are_left, last } =
            self.placing.place(account, class, sends, now).await?;
        let placed: Vec<NewSend> = sends
            .into_iter()
            .map(|(outbox_key, send)| NewSend {
                answered: first.get(&send.id).cloned(),
                outbox_key,
                send,
            })
            .collect();
        let recorded = self.sends.record(&placed).await;
        let mut made = Vec::new();
        let (mut outrun, mut failed) = (Vec::new(), None);
        for (NewSend { outbox_key, send, answered }, recorded) in placed.iter().zip(recorded) {
            // It may be recorded although the answer failed, and its message is of no effect if
            // not.
            if matches!(recorded, Ok(Recorded::New) | Err(_)) {
                made.push((outbox_key, send));
            }
            match (recorded, send.stage) {
                (Err(error), _) => failed = failed.or(Some(error)),
                (Ok(Recorded::Duplicate), _) if answered.is_some() => outrun.push(send.id.clone()),
                (Ok(Recorded::Duplicate), _) => {
                    debug!(send = %send.id, "recorded before");
                    counts.duplicate += 1;
                }
                (Ok(Recorded::New), Stage::Queued { due }) => {
                    info!(send = %send.id, in_ms = due.since(now).as_millis() as u64, "queued");
                    counts.queued += 1;
                }
                (Ok(Recorded::New), _) => {
                    // It goes behind what waits already.
                    let is_late =
                        last.is_some_and(|last| class.lane != Lane::Live && send.deadline < last);
                    info!(send = %send.id, is_late, "parked");
                    counts.parked += 1;
                    counts.late += usize::from(is_late);
                }
            }
        }
        self.placing.enqueue(made.into_iter(), now).await;
        if are_left {
            self.placing.ask_release(&account.id, now).await;
        }
        failed.map_or(Ok(outrun), Err)
    }
}
