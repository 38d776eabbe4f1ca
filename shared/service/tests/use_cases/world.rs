//! One account, what is stored of it, and a Meta that does as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use spillway_core::albums::Albums;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::campaign::{Campaign, Campaigns, NextPost, Running, StoredCampaign};
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::journal::Event;
use spillway_core::pace::Cursor;
use spillway_core::rules::Rules;
use spillway_core::send::Lane;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{ALL_FIELDS, TokenLife, Upkeep};
use spillway_memory::tables::{Listed, Tables};
use spillway_memory::{self as memory, Did, Ports, Requests};
use spillway_meta::error::GraphError;
use spillway_meta::graph::{Answered, CallError, CommentItem, Me, MediaItem, Page, Subscription};
use spillway_meta::usage::Usage;
use spillway_meta::webhook::CommentEvent;
use spillway_service::account::{Account, SealedToken};
use spillway_service::account_cache::AccountCache;
use spillway_service::admin::removal::Remover;
use spillway_service::app::App;
use spillway_service::clock::{Clock, ClockCheck};
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::gateway::Gateway;
use spillway_service::grant::GrantIds;
use spillway_service::ingest::Ingested;
use spillway_service::limiter::Limiter;
use spillway_service::metrics::Meter;
use spillway_service::owner::Owners;
use spillway_service::port::{
    AccountChanges, AccountGraph, Accounts, CampaignChanges, KeptToken, MaintenanceRecord, Read,
    StoreError,
};
use spillway_service::upkeep::{Intake, Kept, Upkeeper, VISIT};

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
    pub(crate) tables: Tables,
    now: Timestamp,
    /// How many times the account was changed; nothing once it is removed.
    pub(crate) revision: Option<Revision>,
    /// How many times it was changed before it was removed.
    last_revision: Revision,
    /// What somebody else does right before the store does this.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// The codes of the deletions that are done.
    pub(crate) deleted: Vec<String>,
    /// Whether the account's counters were given an end.
    pub(crate) counters_end: bool,
    pub(crate) rules: Rules,
    pub(crate) told: Vec<Event>,
    /// A request that the store does not answer.
    pub(crate) unanswered: Option<&'static str>,
    /// What Meta was asked, and with which token.
    pub(crate) calls: Vec<(&'static str, u8)>,
    pub(crate) moods: BTreeMap<u8, Mood>,
    /// When each comment was made, the newest first.
    pub(crate) comments: Vec<Timestamp>,
    /// Sends are parked once a page has been read.
    pub(crate) parks_after_a_page: bool,
    /// The account is not subscribed.
    pub(crate) is_unsubscribed: bool,
    /// Meta refuses the whole request that names optional fields.
    pub(crate) refused_field: Option<&'static str>,
    /// The webhook fields that the account is subscribed to, unless it is to none.
    pub(crate) fields: BTreeSet<String>,
    /// How many more pages behind a cursor fail, and how.
    pub(crate) failing_pages: (u32, CallError),
    /// The comments that were given to ingest.
    pub(crate) taken: BTreeSet<String>,
    /// How long a call takes.
    pub(crate) call_takes: Duration,
    /// How many more things a process may ask for before it dies; nothing where it lives.
    pub(crate) asks_left: Option<u32>,
    /// The account's campaigns.
    pub(crate) campaigns: Vec<Campaign>,
    /// The pictures of its albums, as Meta tells them.
    pub(crate) pictures: BTreeMap<MediaId, Vec<MediaId>>,
    /// The same as they are stored.
    pub(crate) albums: Albums,
    /// The posts of campaigns for the next one.
    pub(crate) next_posts: BTreeMap<CampaignId, NextPost>,
    /// When its only post was published.
    pub(crate) published_at: Option<Timestamp>,
}

impl State {
    /// Raises the account's revision, which connects it.
    fn revise(&mut self) {
        self.last_revision = self.last_revision.next();
        self.revision = Some(self.last_revision);
    }

    fn listed(&self) -> &Listed {
        &self.tables.kept.listed[&id()]
    }

    /// When upkeep is due; nothing once the account is off the list.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.tables.kept.listed.get(&id()).map(|listed| listed.due)
    }

    /// What upkeep knows of the account.
    pub(crate) fn record(&self) -> &MaintenanceRecord {
        &self.listed().record
    }

    pub(crate) fn record_mut(&mut self) -> &mut MaintenanceRecord {
        &mut self.tables.kept.listed.get_mut(&id()).unwrap().record
    }

    /// The account's token, and the next one.
    pub(crate) fn kept(&self) -> &KeptToken {
        &self.tables.kept.tokens[&id()]
    }

    pub(crate) fn life_mut(&mut self) -> &mut TokenLife {
        &mut self.tables.kept.tokens.get_mut(&id()).unwrap().life
    }

    /// The account's budget.
    pub(crate) fn budget(&self) -> Budget {
        self.tables.budgets.get(&id()).cloned().unwrap_or_default()
    }

    /// Changes the account's budget.
    pub(crate) fn set_budget(&mut self, budget: Budget) {
        self.tables.budgets.insert(id(), budget);
        self.tables.see_budget(&id(), self.now.as_millis());
    }

    /// The app's budget.
    pub(crate) fn app(&self) -> AppBudget {
        self.tables.app.clone().unwrap_or_default()
    }

    pub(crate) fn app_mut(&mut self) -> &mut AppBudget {
        self.tables.app.get_or_insert_default()
    }

    pub(crate) fn cursor_mut(&mut self) -> &mut Cursor {
        self.tables.cursors.entry(id()).or_default()
    }
}

impl memory::World for State {
    type Caller = ();

    fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    fn now(&self) -> u64 {
        self.now.as_millis()
    }

    fn read_as_of(&mut self, _: Read) -> u64 {
        self.now.as_millis()
    }

    fn revision(&self, _: &AccountId) -> Option<Revision> {
        self.revision
    }

    fn announce(&mut self, _: &AccountId) {}

    fn saw(&mut self, (): (), did: Did<'_>) {
        match did {
            Did::Tells(entry) => self.told.push(entry.what.clone()),
            Did::Removes(_) => self.revision = None,
            Did::Expires(_) => self.counters_end = true,
            Did::Deletes(code) => self.deleted.push(code.to_owned()),
            _ => {}
        }
    }
}

/// The world, in which the processes of a test run one after another.
pub(crate) struct World {
    requests: AtomicU64,
    state: Mutex<State>,
}

impl Requests for World {
    type World = State;

    fn caller(&self) {}

    fn request_id(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    async fn request<R: Send>(
        &self,
        what: &'static str,
        mut effect: impl FnMut(&mut State) -> R + Send,
    ) -> Result<R, StoreError> {
        self.meanwhile(what);
        self.survive().await;
        let mut state = self.state();
        if state.unanswered == Some(what) {
            return Err(StoreError::unavailable(what, "no answer"));
        }
        Ok(effect(&mut state))
    }
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
        let record =
            MaintenanceRecord { upkeep, last_seen: Some(START), ..MaintenanceRecord::default() };
        let mut tables = Tables::default();
        tables.kept.listed.insert(id(), Listed { due: START, record, ..Listed::default() });
        tables.kept.tokens.insert(id(), KeptToken { token: token(1), life, next: None });
        let state = State {
            tables,
            now: START,
            revision: Some(Revision::default()),
            last_revision: Revision::default(),
            meanwhile: None,
            deleted: Vec::new(),
            counters_end: false,
            rules: Rules::careful(),
            told: Vec::new(),
            unanswered: None,
            calls: Vec::new(),
            moods: BTreeMap::new(),
            comments: Vec::new(),
            parks_after_a_page: false,
            is_unsubscribed: false,
            refused_field: None,
            fields: ALL_FIELDS.map(str::to_owned).into(),
            failing_pages: (0, CallError::Unknown),
            taken: BTreeSet::new(),
            call_takes: Duration::ZERO,
            asks_left: None,
            campaigns: Vec::new(),
            pictures: BTreeMap::new(),
            albums: Albums::default(),
            next_posts: BTreeMap::new(),
            published_at: None,
        };
        Arc::new(Self { requests: AtomicU64::new(0), state: Mutex::new(state) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn pass(&self, span: Duration) {
        let mut state = self.state();
        state.now = state.now + span;
    }

    /// A run of a new process; `None` when it dies in a call that Meta never answers.
    pub(crate) fn run(self: &Arc<Self>) -> Option<Kept> {
        self.run_for(Duration::from_secs(600))
    }

    /// One that ends after this time.
    pub(crate) fn run_for(self: &Arc<Self>, span: Duration) -> Option<Kept> {
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
        let ports = Arc::new(Ports(self.clone()));
        let account_cache = Arc::new(AccountCache::new(self.clone(), &clock));
        let ids = Arc::new(GrantIds::new(self.now().as_millis()));
        let app = App::new(ports.clone(), ids.clone(), self.clone(), Arc::clone(&meter));
        let limiter = Limiter::new(
            account_cache.clone(),
            ports.clone(),
            app,
            ids,
            self.clone(),
            check,
            meter,
        );
        (account_cache, limiter.with_journal(ports))
    }

    /// What takes the requests of the account's owner, in a new process.
    pub(crate) fn owners(self: &Arc<Self>) -> Owners {
        let ports = Arc::new(Ports(self.clone()));
        Owners {
            accounts: self.clone(),
            aliases: ports.clone(),
            tokens: ports.clone(),
            deletions: ports.clone(),
            upkeep: ports,
            clock: self.clone(),
        }
    }

    /// A visit's time passes, and release finds that nothing waits.
    pub(crate) fn release(&self) {
        self.pass(VISIT + HOUR / 4);
        self.state().tables.marks.clear();
    }

    pub(crate) fn remover(self: &Arc<Self>) -> Remover {
        let ports = Arc::new(Ports(self.clone()));
        Remover {
            removal: ports.clone(),
            deletions: ports.clone(),
            tokens: ports.clone(),
            maintenance: ports.clone(),
            backlogs: ports.clone(),
            misses: ports.clone(),
            leads: ports.clone(),
            conversations: ports.clone(),
            journal: ports,
            clock: self.clone(),
        }
    }

    fn upkeeper(self: &Arc<Self>) -> Upkeeper {
        let (check, meter) = (Arc::default(), Arc::default());
        let ports = Arc::new(Ports(self.clone()));
        let (account_cache, limiter) = self.limiter(Arc::clone(&check), Arc::clone(&meter));
        Upkeeper {
            account_cache,
            gateway: Gateway {
                limiter,
                backlogs: ports.clone(),
                clock: self.clone(),
                check: Arc::clone(&check),
                meter: Arc::clone(&meter),
            },
            budgets: ports.clone(),
            cursors: ports.clone(),
            backlogs: ports.clone(),
            maintenance: ports.clone(),
            changes: self.clone(),
            tokens: ports.clone(),
            remover: self.remover(),
            journal: ports.clone(),
            graph: self.clone(),
            intake: self.clone(),
            clock: self.clone(),
            check,
            meter,
        }
    }

    /// The account is connected again: a deletion is done first, and it is due a minute later.
    pub(crate) fn connect_again(&self) {
        let mut state = self.state();
        state.revise();
        let due = state.now + Duration::from_secs(60);
        let listed = state.tables.kept.listed.entry(id()).or_default();
        let before = std::mem::replace(listed, Listed { due, ..Listed::default() });
        state.deleted.extend(before.record.delete);
    }

    /// Somebody else is first, once.
    fn meanwhile(&self, what: &str) {
        let meanwhile = self.state().meanwhile.take_if(|(before, _)| *before == what);
        if let Some((_, act)) = meanwhile {
            act(self);
        }
    }

    /// Where a process dies, before it is answered what it asks for now.
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
        self.state().now
    }

    fn monotonic(&self) -> Duration {
        self.state().now.since(START)
    }
}

#[async_trait]
impl Accounts for World {
    async fn read(&self, account: &AccountId, _: Read) -> Result<Option<Account>, StoreError> {
        self.survive().await;
        let state = self.state();
        let Some(revision) = state.revision.filter(|_| *account == id()) else { return Ok(None) };
        let stored = |campaign: &Campaign| {
            let next_post = state.next_posts.get(&campaign.id).cloned();
            StoredCampaign { next_post, ..(campaign.clone(), Running::Active).into() }
        };
        Ok(Some(Account {
            id: account.clone(),
            revision,
            rules: state.rules.clone(),
            campaigns: Campaigns::as_they_run(state.campaigns.iter().map(stored)),
            token: state.kept().token.clone(),
            forgotten: Default::default(),
            albums: state.albums.clone(),
            conversations: Default::default(),
        }))
    }

    async fn revision(&self, _: &AccountId) -> Result<Option<Revision>, StoreError> {
        Ok(self.state().revision)
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
        self.request("connect the account", |state| {
            state.revise();
            state.rules = rules.clone();
            let kept = KeptToken { token: token.clone(), life: TokenLife::default(), next: None };
            state.tables.kept.tokens.insert(id(), kept);
        })
        .await
    }

    async fn set_rules(&self, _: &AccountId, rules: &Rules) -> Result<bool, StoreError> {
        self.request("change the limits", |state| {
            let is_connected = state.revision.is_some();
            if is_connected {
                state.revise();
                state.rules = rules.clone();
            }
            is_connected
        })
        .await
    }

    async fn change_campaigns(
        &self,
        _: &AccountId,
        _: &CampaignChanges<'_>,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn set_running(
        &self,
        _: &AccountId,
        _: &CampaignId,
        _: Running,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn set_next_post(
        &self,
        _: &AccountId,
        campaign: &CampaignId,
        post: &NextPost,
    ) -> Result<bool, StoreError> {
        self.request("note the next post", |state| {
            state.revise();
            state.next_posts.insert(campaign.clone(), post.clone());
            true
        })
        .await
    }

    async fn set_conversations(
        &self,
        _: &AccountId,
        _: &ConversationSettings,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn set_albums(&self, _: &AccountId, albums: &Albums) -> Result<bool, StoreError> {
        self.request("set the albums", |state| {
            state.revise();
            state.albums = albums.clone();
            true
        })
        .await
    }

    async fn announce(&self, _: &AccountId) -> Result<(), StoreError> {
        Ok(())
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
            self.state().fields.clone()
        };
        self.answer("subscription", token, Subscription::Fields(fields)).await
    }

    async fn subscribe(
        &self,
        _: &AccountId,
        token: &SealedToken,
        fields: &[&str],
        _: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.survive().await;
        if self.state().refused_field.is_some_and(|refused| fields.contains(&refused)) {
            self.state().calls.push(("subscribe, refused", 0));
            let error =
                GraphError { status: 400, code: Some(100), is_metas: true, ..Default::default() };
            let usage = Usage::default();
            return Err(CallError::Refused { error, usage, server_date: None });
        }
        let answer = self.answer("subscribe", token, ()).await;
        if answer.is_ok() {
            let mut state = self.state();
            state.is_unsubscribed = false;
            state.fields = fields.iter().map(|&field| field.to_owned()).collect();
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
        let (comments, created_at) = {
            let state = self.state();
            (Some(state.comments.len() as u64), state.published_at)
        };
        let media = MediaItem { id: MediaId::new("179"), created_at, comments };
        self.answer("media", token, Page { items: vec![media], next: None }).await
    }

    async fn pictures(
        &self,
        _: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        _: Duration,
    ) -> Result<Answered<Vec<MediaId>>, CallError> {
        self.survive().await;
        let pictures = self.state().pictures.get(media).cloned().unwrap_or_default();
        self.answer("pictures", token, pictures).await
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
                state.cursor_mut().parked = Some(Lane::Inbound);
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
