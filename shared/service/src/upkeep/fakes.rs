//! All that upkeep asks of the world, in memory: one account, what is stored of it, and a Meta that
//! does as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::campaign::{Campaign, Campaigns, Running};
use spillway_core::id::{AccountId, CampaignId, MediaId, RecipientId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::pace::Cursor;
use spillway_core::rules::Rules;
use spillway_core::send::Lane;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep, WEBHOOK_FIELDS};
use spillway_meta::graph::{Answered, CallError, CommentItem, Me, MediaItem, Page, Subscription};
use spillway_meta::usage::Usage;
use spillway_meta::webhook::CommentEvent;

use super::{Intake, Kept, Upkeeper};
use crate::account::{Account, SealedToken};
use crate::account_cache::AccountCache;
use crate::admin::removal::Remover;
use crate::app::App;
use crate::clock::{Clock, ClockCheck};
use crate::gateway::Gateway;
use crate::grant::GrantIds;
use crate::ingest::Ingested;
use crate::limiter::Limiter;
use crate::metrics::Meter;
use crate::port::{
    AccountChanges, AccountGraph, Accounts, AppBudgets, BacklogMarker, Backlogs, Budgets, Cursors,
    Journal, KeptToken, LastSeen, MaintenanceRecord, MaintenanceRecords, MaintenanceSchedule,
    Moved, NextToken, Read, Removal, Saved, StoreError, Tokens, UpkeepRequest,
};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_790_000_000);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Comments on a page.
const PAGE: usize = 2;

pub(crate) fn id() -> AccountId {
    AccountId::new("17841400000000001")
}

/// The token of this number.
pub(crate) fn token(number: u8) -> SealedToken {
    SealedToken { key: 1, sealed: vec![number] }
}

/// What Meta does when it is called with a token.
#[derive(Clone)]
pub(crate) enum Mood {
    Answers,
    /// As if the token were another account's.
    Mistakes,
    Fails(CallError),
    /// Until the caller has died.
    Hangs,
}

/// A request to the store, and what somebody else does right before it.
pub(crate) type Meanwhile = (&'static str, fn(&World));

/// Everything there is.
pub(crate) struct State {
    /// How many times the account was changed; nothing once it is removed.
    pub(crate) revision: Option<Revision>,
    /// How many times it was changed before it was removed.
    pub(crate) last_revision: Revision,
    /// What somebody else does right before the store does this.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// The codes of the deletions that are done.
    pub(crate) deleted: Vec<String>,
    /// When upkeep is due; nothing once it is off the list.
    pub(crate) due: Option<Timestamp>,
    pub(crate) record: MaintenanceRecord,
    pub(crate) kept: KeptToken,
    pub(crate) rules: Rules,
    pub(crate) budget: Budget,
    pub(crate) app: AppBudget,
    pub(crate) cursor: Cursor,
    pub(crate) told: Vec<Event>,
    /// Tokens cannot be read.
    pub(crate) is_gone: bool,
    /// What Meta was asked, and with which token.
    pub(crate) calls: Vec<(&'static str, u8)>,
    pub(crate) moods: BTreeMap<u8, Mood>,
    /// When each comment was made, the newest first.
    pub(crate) comments: Vec<Timestamp>,
    /// Sends are parked once a page has been read.
    pub(crate) parks_after_a_page: bool,
    /// The account is not subscribed.
    pub(crate) is_unsubscribed: bool,
    /// How many more pages behind a cursor fail, and how.
    pub(crate) failing_pages: (u32, CallError),
    /// The comments that were given to ingest.
    pub(crate) taken: BTreeSet<String>,
    /// How long a call takes.
    pub(crate) call_takes: Duration,
    /// How many more things upkeep may ask for before it dies; nothing where it lives.
    pub(crate) asks_left: Option<u32>,
}

pub(crate) struct World {
    seconds: AtomicU64,
    state: Mutex<State>,
}

impl World {
    /// An account with token 1, which was visited a moment ago and is due again.
    pub(crate) fn new() -> Arc<Self> {
        let life = TokenLife { obtained_at: Some(START - DAY), ends_at: Some(START + 59 * DAY) };
        let upkeep = Upkeep {
            username: Some("creator".into()),
            checked_at: Some(START),
            whole_at: Some(START),
            ..Upkeep::default()
        };
        let state = State {
            revision: Some(Revision::default()),
            last_revision: Revision::default(),
            meanwhile: None,
            deleted: Vec::new(),
            due: Some(START),
            record: MaintenanceRecord {
                upkeep,
                last_seen: Some(START),
                ..MaintenanceRecord::default()
            },
            kept: KeptToken { token: token(1), life, next: None },
            rules: Rules::careful(),
            budget: Budget::default(),
            app: AppBudget::default(),
            cursor: Cursor::default(),
            told: Vec::new(),
            is_gone: false,
            calls: Vec::new(),
            moods: BTreeMap::new(),
            comments: Vec::new(),
            parks_after_a_page: false,
            is_unsubscribed: false,
            failing_pages: (0, CallError::Unknown),
            taken: BTreeSet::new(),
            call_takes: Duration::ZERO,
            asks_left: None,
        };
        Arc::new(Self { seconds: AtomicU64::new(0), state: Mutex::new(state) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn pass(&self, span: Duration) {
        self.seconds.fetch_add(span.as_secs(), Ordering::Relaxed);
    }

    /// A run of a new process; `None` when it dies in a call that Meta never answers.
    pub(crate) fn run(self: &Arc<Self>) -> Option<Kept> {
        self.run_for(Duration::from_secs(600))
    }

    /// One that ends after this time.
    pub(crate) fn run_for(self: &Arc<Self>, span: Duration) -> Option<Kept> {
        use futures::FutureExt;
        let upkeeper = self.upkeeper();
        let run = upkeeper.run(self.now() + span);
        run.now_or_never().map(Result::unwrap)
    }

    /// What Meta was asked since the last time this was looked at.
    pub(crate) fn calls(&self) -> Vec<(&'static str, u8)> {
        std::mem::take(&mut self.state().calls)
    }

    /// The limiter of a new process.
    pub(crate) fn limiter(
        self: &Arc<Self>,
        check: Arc<ClockCheck>,
        meter: Arc<Meter>,
    ) -> (Arc<AccountCache>, Limiter) {
        let clock: Arc<dyn Clock> = self.clone();
        let account_cache = Arc::new(AccountCache::new(self.clone(), &clock));
        let ids = Arc::new(GrantIds::new(self.now().as_millis()));
        let app = App::new(self.clone(), ids.clone(), self.clone(), Arc::clone(&meter));
        let limiter =
            Limiter::new(account_cache.clone(), self.clone(), app, ids, self.clone(), check, meter);
        (account_cache, limiter.with_journal(self.clone()))
    }

    pub(crate) fn remover(self: &Arc<Self>) -> Remover {
        Remover {
            removal: self.clone(),
            maintenance: self.clone(),
            backlogs: self.clone(),
            journal: self.clone(),
            clock: self.clone(),
        }
    }

    fn upkeeper(self: &Arc<Self>) -> Upkeeper {
        let (check, meter) = (Arc::default(), Arc::default());
        let (account_cache, limiter) = self.limiter(Arc::clone(&check), Arc::clone(&meter));
        Upkeeper {
            account_cache,
            gateway: Gateway {
                limiter,
                backlogs: self.clone(),
                clock: self.clone(),
                check: Arc::clone(&check),
                meter: Arc::clone(&meter),
            },
            budgets: self.clone(),
            cursors: self.clone(),
            backlogs: self.clone(),
            maintenance: self.clone(),
            tokens: self.clone(),
            remover: self.remover(),
            journal: self.clone(),
            graph: self.clone(),
            intake: self.clone(),
            clock: self.clone(),
            check,
            meter,
        }
    }

    /// Where upkeep dies, before it is answered what it asks for now.
    async fn survive(&self) {
        let is_over = {
            let left = &mut self.state().asks_left;
            let is_over = *left == Some(0);
            *left = left.map(|left| left.saturating_sub(1));
            is_over
        };
        if is_over {
            futures::future::pending::<()>().await;
        }
    }

    /// Takes note of a call, and does as told.
    async fn answer<T>(
        &self,
        what: &'static str,
        token: &SealedToken,
        value: T,
    ) -> Result<Answered<T>, CallError> {
        let (mood, takes) = {
            let mut state = self.state();
            let number = token.sealed[0];
            state.calls.push((what, number));
            (state.moods.get(&number).cloned().unwrap_or(Mood::Answers), state.call_takes)
        };
        self.pass(takes);
        match mood {
            Mood::Answers | Mood::Mistakes => {
                Ok(Answered { value, usage: Usage::default(), server_date: None })
            }
            Mood::Fails(error) => Err(error),
            Mood::Hangs => futures::future::pending().await,
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        START + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Accounts for World {
    async fn read(&self, account: &AccountId, _: Read) -> Result<Option<Account>, StoreError> {
        self.survive().await;
        let state = self.state();
        let Some(revision) = state.revision else { return Ok(None) };
        Ok(Some(Account {
            id: account.clone(),
            revision,
            rules: state.rules.clone(),
            campaigns: Campaigns::default(),
            token: state.kept.token.clone(),
            forgotten: Default::default(),
        }))
    }

    async fn revision(&self, _: &AccountId) -> Result<Option<Revision>, StoreError> {
        Ok(self.state().revision)
    }
}

impl World {
    /// Raises the account's revision, which connects it.
    fn revise(&self) {
        let mut state = self.state();
        state.last_revision = state.last_revision.next();
        state.revision = Some(state.last_revision);
    }

    /// The account is connected again: a deletion is done first, and it is due a minute later.
    pub(crate) fn connect_again(&self) {
        self.revise();
        let now = self.now();
        let mut state = self.state();
        let deletion = state.record.delete.take();
        state.deleted.extend(deletion);
        state.record = MaintenanceRecord::default();
        state.due = Some(now + Duration::from_secs(60));
    }

    /// Somebody else is first, once.
    fn meanwhile(&self, what: &str) {
        let meanwhile = self.state().meanwhile.take_if(|(before, _)| *before == what);
        if let Some((_, act)) = meanwhile {
            act(self);
        }
    }
}

/// Its campaigns are not kept.
#[async_trait]
impl AccountChanges for World {
    async fn connect(
        &self,
        _: &AccountId,
        rules: &Rules,
        token: &SealedToken,
        _: &[Campaign],
    ) -> Result<(), StoreError> {
        self.survive().await;
        self.revise();
        let mut state = self.state();
        state.rules = rules.clone();
        let life = TokenLife::default();
        state.kept = KeptToken { token: token.clone(), life, next: None };
        Ok(())
    }

    async fn set_rules(&self, _: &AccountId, rules: &Rules) -> Result<bool, StoreError> {
        self.survive().await;
        if self.state().revision.is_none() {
            return Ok(false);
        }
        self.revise();
        self.state().rules = rules.clone();
        Ok(true)
    }

    async fn change_campaigns(
        &self,
        _: &AccountId,
        _: &[Campaign],
        _: &[CampaignId],
    ) -> Result<bool, StoreError> {
        self.survive().await;
        Ok(false)
    }

    async fn set_running(
        &self,
        _: &AccountId,
        _: &CampaignId,
        _: Running,
    ) -> Result<bool, StoreError> {
        self.survive().await;
        Ok(false)
    }
}

#[async_trait]
impl Budgets for World {
    async fn read(&self, _: &AccountId, _: Read) -> Result<Budget, StoreError> {
        self.survive().await;
        Ok(self.state().budget.clone())
    }

    async fn save(&self, _: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        self.survive().await;
        let mut state = self.state();
        if next.version != state.budget.version + 1 {
            return Ok(Saved::Conflict(state.budget.clone()));
        }
        state.budget = next.clone();
        Ok(Saved::Done)
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        _: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        self.survive().await;
        Budgets::save(self, account, next).await
    }

    async fn counted_at(
        &self,
        _: &AccountId,
        _: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.survive().await;
        Ok(None)
    }

    async fn note_counted(
        &self,
        _: &AccountId,
        _: &RecipientId,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        self.survive().await;
        Ok(())
    }
}

#[async_trait]
impl AppBudgets for World {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        self.survive().await;
        Ok(self.state().app.clone())
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        self.survive().await;
        self.state().app = next.clone();
        Ok(Saved::Done)
    }
}

#[async_trait]
impl Cursors for World {
    async fn load(&self, _: &AccountId) -> Result<Cursor, StoreError> {
        self.survive().await;
        Ok(self.state().cursor.clone())
    }

    async fn save(&self, _: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        self.survive().await;
        self.state().cursor = next.clone();
        Ok(Saved::Done)
    }
}

#[async_trait]
impl Backlogs for World {
    async fn mark(&self, _: &AccountId, _: Timestamp) -> Result<(), StoreError> {
        self.survive().await;
        Ok(())
    }

    async fn wake(&self, _: &AccountId, _: Timestamp) -> Result<(), StoreError> {
        self.survive().await;
        Ok(())
    }

    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.survive().await;
        Ok(Vec::new())
    }

    async fn lease(
        &self,
        _: &AccountId,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Option<BacklogMarker>, StoreError> {
        self.survive().await;
        Ok(None)
    }

    async fn settle(
        &self,
        _: &AccountId,
        _: &BacklogMarker,
        _: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.survive().await;
        Ok(())
    }
}

#[async_trait]
impl LastSeen for World {
    async fn record_seen(&self, _: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        self.survive().await;
        let last_seen = &mut self.state().record.last_seen;
        *last_seen = Some(at).max(*last_seen);
        Ok(())
    }
}

#[async_trait]
impl MaintenanceSchedule for World {
    async fn enroll(&self, _: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.survive().await;
        self.state().due = Some(now);
        Ok(())
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.survive().await;
        let due = self.state().due.filter(|due| *due <= now);
        Ok(due.map(|due| (id(), due)).into_iter().collect())
    }

    async fn visit(
        &self,
        _: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.survive().await;
        let mut state = self.state();
        if state.due != Some(due) {
            return Ok(None);
        }
        state.due = Some(until);
        Ok(Some(MaintenanceRecord { due: until, ..state.record.clone() }))
    }

    async fn note(&self, _: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError> {
        self.survive().await;
        self.state().record.upkeep = upkeep.clone();
        Ok(())
    }

    async fn settle(
        &self,
        _: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        self.survive().await;
        let mut state = self.state();
        state.record.upkeep = upkeep.clone();
        if state.due == Some(until) {
            state.due = Some(due);
        }
        Ok(())
    }

    async fn ask(
        &self,
        _: &AccountId,
        request: &UpkeepRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.survive().await;
        let mut state = self.state();
        state.due = Some(now);
        match request {
            UpkeepRequest::Backfill => state.record.backfill_asked_at = Some(now),
            UpkeepRequest::Deauthorize => state.record.deauthorized_at = Some(now),
            UpkeepRequest::Delete { code } => state.record.delete = Some(code.clone()),
        }
        Ok(())
    }

    async fn alias(&self, _: &AccountId, _: &str) -> Result<(), StoreError> {
        self.survive().await;
        Ok(())
    }

    async fn strike_off(&self, _: &AccountId, due: Timestamp) -> Result<bool, StoreError> {
        self.meanwhile("strike off");
        self.survive().await;
        let mut state = self.state();
        if state.due.is_some_and(|at| at != due) {
            return Ok(false);
        }
        (state.due, state.record) = (None, MaintenanceRecord::default());
        Ok(true)
    }
}

#[async_trait]
impl MaintenanceRecords for World {
    async fn record(&self, _: &AccountId) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.survive().await;
        let state = self.state();
        Ok(state.due.map(|due| MaintenanceRecord { due, ..state.record.clone() }))
    }

    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        self.survive().await;
        Ok(self.state().due.map(|_| id()).into_iter().collect())
    }
}

#[async_trait]
impl Tokens for World {
    async fn load(&self, _: &AccountId) -> Result<Option<KeptToken>, StoreError> {
        self.survive().await;
        let state = self.state();
        if state.is_gone {
            Err(StoreError::unavailable("load the token", "gone"))
        } else {
            Ok(Some(state.kept.clone()))
        }
    }

    async fn note_life(
        &self,
        _: &AccountId,
        _: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError> {
        self.survive().await;
        self.state().kept.life = life;
        Ok(())
    }

    async fn keep_next(
        &self,
        _: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError> {
        self.survive().await;
        let mut state = self.state();
        let is_in_use = state.kept.token == *token;
        if is_in_use {
            state.kept.next = Some(next.clone());
        }
        Ok(is_in_use)
    }

    async fn swap(&self, _: &AccountId, next: &NextToken) -> Result<bool, StoreError> {
        self.survive().await;
        let mut state = self.state();
        let is_next = state.kept.next.as_ref() == Some(next);
        if is_next {
            let NextToken { token, life } = next.clone();
            state.kept = KeptToken { token, life, next: None };
        }
        Ok(is_next)
    }

    async fn drop_next(&self, _: &AccountId, _: &NextToken) -> Result<(), StoreError> {
        self.survive().await;
        self.state().kept.next = None;
        Ok(())
    }
}

#[async_trait]
impl Removal for World {
    async fn revision(&self, _: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.survive().await;
        Ok(self.state().revision)
    }

    async fn remove(&self, _: &AccountId, seen: Option<Revision>) -> Result<bool, StoreError> {
        self.meanwhile("remove");
        self.survive().await;
        let mut state = self.state();
        let is_seen = state.revision.is_none() || state.revision == seen;
        if is_seen {
            state.revision = None;
        }
        Ok(is_seen)
    }

    async fn deleted(&self, code: &str, _: Timestamp) -> Result<(), StoreError> {
        self.survive().await;
        self.state().deleted.push(code.to_owned());
        Ok(())
    }
}

#[async_trait]
impl Journal for World {
    async fn append(&self, entry: &JournalEntry) -> Result<(), StoreError> {
        self.survive().await;
        self.state().told.push(entry.what.clone());
        Ok(())
    }

    async fn list(
        &self,
        _: &AccountId,
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.survive().await;
        Ok(Vec::new())
    }
}

#[async_trait]
impl Intake for World {
    async fn take_in(
        &self,
        _: &AccountId,
        comments: Vec<CommentEvent>,
    ) -> Result<Ingested, StoreError> {
        self.survive().await;
        let mut state = self.state();
        let new = comments.into_iter().filter(|one| state.taken.insert(one.id.to_string())).count();
        Ok(Ingested { queued: new, ..Ingested::default() })
    }
}

#[async_trait]
impl AccountGraph for World {
    async fn prepare(&self, _: &AccountId, _: &SealedToken) -> Result<(), StoreError> {
        self.survive().await;
        Ok(())
    }

    /// The next token is the one of the next number.
    async fn refresh(
        &self,
        _: &AccountId,
        old: &SealedToken,
        _: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError> {
        self.survive().await;
        let next = (token(old.sealed[0] + 1), Some(60 * DAY));
        self.answer("refresh", old, next).await
    }

    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        _: Duration,
    ) -> Result<Answered<Me>, CallError> {
        self.survive().await;
        let account = match self.state().moods.get(&token.sealed[0]) {
            Some(Mood::Mistakes) => AccountId::new("another's"),
            _ => account.clone(),
        };
        let me = Me { account, app_scoped: None, username: Some("creator".into()), kind: None };
        self.answer("me", token, me).await
    }

    async fn conversations(
        &self,
        _: &AccountId,
        token: &SealedToken,
        _: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.survive().await;
        self.answer("conversations", token, ()).await
    }

    async fn subscription(
        &self,
        _: &AccountId,
        token: &SealedToken,
        _: Duration,
    ) -> Result<Answered<Subscription>, CallError> {
        self.survive().await;
        let fields = if self.state().is_unsubscribed {
            BTreeSet::new()
        } else {
            WEBHOOK_FIELDS.map(str::to_owned).into()
        };
        self.answer("subscription", token, Subscription::Fields(fields)).await
    }

    async fn subscribe(
        &self,
        _: &AccountId,
        token: &SealedToken,
        _: &[&str],
        _: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.survive().await;
        let answer = self.answer("subscribe", token, ()).await;
        if answer.is_ok() {
            self.state().is_unsubscribed = false;
        }
        answer
    }

    async fn media(
        &self,
        _: &AccountId,
        token: &SealedToken,
        _: Duration,
    ) -> Result<Answered<Page<MediaItem>>, CallError> {
        self.survive().await;
        let comments = Some(self.state().comments.len() as u64);
        let media = MediaItem { id: MediaId::new("179"), created_at: None, comments };
        self.answer("media", token, Page { items: vec![media], next: None }).await
    }

    async fn comments(
        &self,
        _: &AccountId,
        token: &SealedToken,
        _: &MediaId,
        after: Option<&str>,
        _: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        self.survive().await;
        let from: usize = after.map_or(0, |after| after.parse().unwrap());
        let (items, next) = {
            let mut state = self.state();
            if state.parks_after_a_page {
                state.cursor.parked = Some(Lane::Inbound);
            }
            let page = state.comments.iter().skip(from).take(PAGE);
            let item = |at: &Timestamp| CommentItem {
                id: format!("c{}", at.as_millis()).as_str().into(),
                created_at: Some(*at),
                text: None,
                from: None,
                username: None,
            };
            let next = from + PAGE;
            let items: Vec<CommentItem> = page.map(item).collect();
            (items, (next < state.comments.len()).then(|| next.to_string()))
        };
        let what = if from == 0 { "comments" } else { "more comments" };
        let failure = {
            let (left, failure) = &mut self.state().failing_pages;
            let fails = from > 0 && *left > 0;
            *left -= u32::from(fails);
            fails.then(|| failure.clone())
        };
        if let Some(failure) = failure {
            return self.answer(what, token, ()).await.and(Err(failure));
        }
        self.answer(what, token, Page { items, next }).await
    }
}
