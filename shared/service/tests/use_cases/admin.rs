//! What is done to accounts, in memory, and that a repeat finishes what has died.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use spillway_core::budget::GrantId;
use spillway_core::history::StepNote;
use spillway_core::hold::{HoldCause, NewToken};
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::journal::{Event, RemovedBy};
use spillway_core::once::Answers;
use spillway_core::profile::Profile;
use spillway_core::quota::Tier;
use spillway_core::rules::Rules;
use spillway_core::send::{
    Address, Class, Content, Outcome, PendingSend, REPLY_WINDOW, StandIn, Step,
};
use spillway_core::time::Timestamp;
use spillway_memory::{Ports, Sealer};

use crate::world::{DAY, HOUR, START, World, id, token};
use spillway_service::accounts_file::{NewAccount, parse};
use spillway_service::admin::accounts::AccountAdmin;
use spillway_service::admin::connect::{Connection, NewSettings};
use spillway_service::admin::leads::LeadAdmin;
use spillway_service::admin::listing::Listings;
use spillway_service::admin::misses::MissAdmin;
use spillway_service::admin::outbound::OutboundAdmin;
use spillway_service::admin::outcomes::OutcomeAdmin;
use spillway_service::admin::overview::Overviews;
use spillway_service::admin::reception::{NoCounts, Receptions};
use spillway_service::admin::sends::{Ledger, Part, RetryError, SendAdmin, Stored};
use spillway_service::admin::{Admin, AdminError};
use spillway_service::clock::Clock;
use spillway_service::grant::GrantIds;
use spillway_service::new_limits::{LimitsError, NewLimits, NewTerms, WarmUpSince};
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Closed, EndGuard, Entry, Lookup, NewSend, Read, Recorded, Sends, StoreError,
};
use spillway_service::send_task::SendTask;

/// Nothing has ended, and what waits is listed by batches.
#[derive(Default)]
struct NoSends {
    batches: Vec<OutboxBatch>,
    /// Reads of batches so far.
    reads: AtomicUsize,
}

#[async_trait]
impl Sends for NoSends {
    async fn look_up(
        &self,
        _: &AccountId,
        _: &[OnceKey],
        _: &[RecipientId],
        _: Read,
    ) -> Result<Lookup, StoreError> {
        Ok(Lookup::default())
    }

    async fn replace_answered(
        &self,
        _: &AccountId,
        _: &RecipientId,
        _: Option<&Answers>,
        _: &Answers,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn put_stand_in(&self, _: &SendId, _: &StandIn, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn put_batches(&self, _: &[OutboxBatch]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn record(&self, _: &[NewSend]) -> Vec<Result<Recorded, StoreError>> {
        Vec::new()
    }

    async fn step(
        &self,
        _: &SendTask,
        _: Step,
        _: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        Ok(None)
    }

    async fn finish(&self, _: &SendTask, _: &Outcome, _: StepNote<'_>) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn finish_followed(
        &self,
        _: &SendTask,
        _: &Outcome,
        _: StepNote<'_>,
        _: EndGuard,
        _: &NewSend,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn close(&self, _: &SendId, _: &Outcome, _: Timestamp) -> Result<Closed, StoreError> {
        Ok(Closed::Known)
    }

    async fn unsent(&self, _: &[SendId]) -> Result<Vec<SendId>, StoreError> {
        Ok(Vec::new())
    }

    async fn finish_unclaimed(
        &self,
        _: &SendTask,
        _: &Outcome,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn sent_as(&self, _: &[SendId], _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn entries(&self, _: &[SendId], _: Read) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn batches(
        &self,
        _: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let behind = |batch: &&OutboxBatch| after.is_none_or(|after| batch.outbox_key > *after);
        Ok(self.batches.iter().filter(behind).take(limit).cloned().collect())
    }

    async fn rewrite(&self, _: &OutboxBatch) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[async_trait]
impl Ledger for NoSends {
    async fn find(&self, _: &SendId) -> Result<Option<Stored>, StoreError> {
        Ok(None)
    }

    async fn ended(&self, _: &AccountId, _: Option<&str>) -> Result<Part, StoreError> {
        Ok(Part::default())
    }

    async fn reopen(
        &self,
        _: &Stored,
        _: &OutboxKey,
        _: &PendingSend,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn write_tombstone(&self, _: &Stored, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn write_person_tombstone(
        &self,
        _: &AccountId,
        _: &RecipientId,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget_unit(&self, _: &AccountId, _: &RecipientId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The tool, started anew.
fn admin(world: &Arc<World>) -> Admin {
    admin_with(world, Arc::default())
}

/// The tool over these sends.
fn admin_with(world: &Arc<World>, waiting: Arc<NoSends>) -> Admin {
    let clock: Arc<dyn Clock> = world.clone();
    let (_, limiter) = world.limiter(Arc::default(), Arc::default());
    let ports = Arc::new(Ports(world.clone()));
    let sends = Arc::new(SendAdmin {
        sends: Arc::new(NoSends::default()),
        ledger: Arc::new(NoSends::default()),
        misses: ports.clone(),
        leads: ports.clone(),
        conversations: ports.clone(),
        backlogs: ports.clone(),
        ids: Arc::new(GrantIds::new(1)),
        clock: world.clone(),
        check: Arc::default(),
    });
    Admin {
        accounts: AccountAdmin {
            accounts: world.clone(),
            changes: world.clone(),
            removal: ports.clone(),
            deletions: ports.clone(),
            sends: sends.clone(),
            tokens: ports.clone(),
            budgets: ports.clone(),
            app: ports.clone(),
            limiter: Arc::new(limiter),
            backlogs: ports.clone(),
            maintenance: ports.clone(),
            journal: ports.clone(),
            clock: world.clone(),
        },
        sends,
        outbound: OutboundAdmin {
            conversations: ports.clone(),
            sends: Arc::new(NoSends::default()),
            backlogs: ports.clone(),
            journal: ports.clone(),
            ids: Arc::new(GrantIds::new(1)),
            clock: world.clone(),
            check: Arc::default(),
        },
        overviews: Overviews {
            accounts: world.clone(),
            budgets: ports.clone(),
            app: ports.clone(),
            cursors: ports.clone(),
            listings: Listings::new(waiting, &clock),
            maintenance: ports.clone(),
            tokens: ports.clone(),
            journal: ports.clone(),
        },
        receptions: Receptions::new(Arc::new(NoCounts), &clock),
        misses: MissAdmin { store: ports.clone(), opener: Arc::new(Sealer) },
        leads: LeadAdmin { store: ports.clone(), opener: Arc::new(Sealer) },
        outcomes: OutcomeAdmin {
            ledger: Arc::new(NoSends::default()),
            conversations: ports.clone(),
            leads: ports,
        },
    }
}

/// What an operation comes to; `None` where it dies.
fn done<T>(operation: impl Future<Output = T>) -> Option<T> {
    operation.now_or_never()
}

fn new_account() -> NewAccount {
    let file = format!(
        "[[account]]\nid = \"{}\"\n[[account.campaign]]\nid = \"a\"\nmessages = [\"Hi\"]",
        id()
    );
    parse(&file, &Profile::careful()).unwrap().swap_remove(0)
}

/// Connects the account with token 2.
fn connect(world: &Arc<World>) -> Option<()> {
    let (settings, token) = (NewSettings::from(&new_account()), token(2));
    let connection = Connection {
        settings: &settings,
        token: &token,
        lasts: Some(60 * DAY),
        proof: NewToken::Works,
        app_scoped: Some("99001"),
    };
    done(admin(world).accounts.connect(&connection)).map(Result::unwrap)
}

/// Lets `count` comments wait, without slots.
fn waiting(count: u64) -> Arc<NoSends> {
    let of = |nth: u64| {
        let comment = CommentId::new(format!("1799{nth:013}"));
        let send = SendId { account: id(), key: OnceKey::comment(&comment) };
        let to = Address::Comment { id: comment, author: None };
        let content = Content::opening("a");
        PendingSend::new(send, Class::PRIVATE_REPLY, content, to, START, START + REPLY_WINDOW)
    };
    let mut nonce = 0;
    let batches = OutboxBatch::of((0..count).map(of).collect(), START, || {
        nonce += 1;
        nonce
    });
    let mut batches: Vec<OutboxBatch> = batches.into_iter().map(|(batch, _)| batch).collect();
    batches.sort_by(|a, b| a.outbox_key.cmp(&b.outbox_key));
    Arc::new(NoSends { batches, reads: AtomicUsize::default() })
}

#[test]
fn what_waits_by_the_thousand_is_read_once_in_half_a_minute() {
    let world = World::new();
    connect(&world).unwrap();
    for (count, seen, first, again) in [(10, 10, 1, 1), (9000, 9000, 3, 0), (100_000, 21_600, 6, 0)]
    {
        let sends = waiting(count);
        let admin = admin_with(&world, sends.clone());
        let look = || {
            let before = sends.reads.load(Ordering::Relaxed);
            let overview = done(admin.overviews.of(&id(), world.now())).unwrap().unwrap().unwrap();
            (overview.backlog.total(), sends.reads.load(Ordering::Relaxed) - before)
        };
        assert_eq!([look(), look()], [(seen, first), (seen, again)], "{count} wait");
        world.pass(Duration::from_secs(30));
        assert_eq!(look(), (seen, first), "{count} wait, half a minute later");
    }
}

fn stop(world: &Arc<World>, reason: &str) {
    let accounts = admin(world).accounts;
    done(accounts.hold(&id(), Timestamp::NEVER, Some(reason))).unwrap().unwrap();
}

#[test]
fn a_connection_that_dies_anywhere_is_finished_by_a_repeat() {
    for asks in 0..60 {
        let world = World::new();
        {
            let mut state = world.state();
            let (rules, grant) = (Rules::careful(), GrantId::new(7, 7));
            let budget = state.budget().hold(&rules, HoldCause::TokenDead, START, None, grant);
            state.set_budget(budget);
            state.record_mut().delete.insert("c0de".into());
        }
        stop(&world, "being removed");
        world.state().asks_left = Some(asks);
        let has_lived = connect(&world).is_some();
        world.state().asks_left = None;
        world.pass(HOUR);
        if !has_lived {
            connect(&world).unwrap();
        }
        let state = world.state();
        assert!(state.revision.is_some() && state.due().is_some(), "{asks}");
        assert_eq!(state.kept().token, token(2));
        assert!(state.kept().life.ends_at >= Some(START + 60 * DAY), "{asks}");
        assert_eq!((state.record().delete.len(), state.deleted.is_empty()), (0, false), "{asks}");
        assert_eq!((&state.budget().holds.current, &state.budget().holds.by_hand), (&None, &None));
        assert!(matches!(state.told.last(), Some(Event::Connected { .. })), "{asks}");
        if has_lived {
            return;
        }
    }
    panic!("it never lived to the end");
}

#[test]
fn a_stop_by_hand_outlasts_a_new_connection() {
    let world = World::new();
    stop(&world, "checking a text");
    connect(&world).unwrap();
    assert!(world.state().budget().holds.by_hand.is_some());
}

fn remove(world: &Arc<World>) -> Option<Result<(), AdminError>> {
    let admin = admin(world);
    let removable = match done(admin.removable(&id()))? {
        Ok(removable) => removable,
        Err(error) => return Some(Err(error)),
    };
    done(admin.remove(&removable, |_| ())).map(|removed| removed.map(drop))
}

#[test]
fn a_removal_that_dies_anywhere_is_finished_by_a_repeat_upkeep_or_a_connection() {
    for asks in 0..60 {
        let world = World::new();
        world.state().asks_left = Some(asks);
        let has_lived = remove(&world).is_some_and(|removed| removed.is_ok());
        world.state().asks_left = None;
        if !has_lived {
            let again = remove(&world).unwrap();
            assert!(matches!(again, Ok(()) | Err(AdminError::NotConnected(_))), "{again:?}");
        }
        for _ in 0..2 {
            world.release();
            world.run().unwrap();
        }
        {
            let state = world.state();
            assert_eq!((state.revision, state.due()), (None, None), "{asks}");
            assert!(state.counters_end, "{asks}");
        }
        connect(&world).unwrap();
        assert_eq!(world.state().budget().holds.by_hand, None, "{asks}");
        if has_lived {
            let removed = Event::Removed { by: RemovedBy::Operator };
            assert!(world.state().told.contains(&removed));
            return;
        }
    }
    panic!("it never lived to the end");
}

#[test]
fn an_account_that_was_changed_since_it_was_looked_at_is_not_removed() {
    for is_late in [false, true] {
        let world = World::new();
        let admin = admin(&world);
        let removable = done(admin.removable(&id())).unwrap().unwrap();
        if is_late {
            world.state().meanwhile = Some(("remove the account", World::connect_again));
        } else {
            world.connect_again();
        }
        let removed = done(admin.remove(&removable, |_| ())).unwrap();
        assert!(matches!(removed, Err(AdminError::Changed(_))), "{removed:?}");
        let state = world.state();
        assert!(state.revision.is_some() && state.due().is_some(), "it stays connected");
        assert_eq!(state.budget().holds.by_hand, None, "it goes on");
    }
}

#[test]
fn a_hold_is_shown_until_it_is_resumed() {
    let world = World::new();
    let accounts = admin(&world).accounts;
    let until = START + HOUR;
    let long = "x".repeat(121);
    let refused = done(accounts.hold(&id(), until, Some(&long))).unwrap();
    assert!(matches!(refused, Err(AdminError::LongReason)), "{refused:?}");
    done(accounts.hold(&id(), until, Some("a test"))).unwrap().unwrap();
    let holds = done(accounts.holds(&id())).unwrap().unwrap();
    let shown = serde_json::to_string(&holds).unwrap();
    let expected = r#"[{"cause":"operator","since":"2026-09-21T14:13:20Z","until":"2026-09-21T15:13:20Z","reason":"a test"}]"#;
    assert_eq!(shown, expected);
    assert_eq!(done(accounts.app_hold()).unwrap().unwrap(), None);
    done(accounts.resume(&id())).unwrap().unwrap();
    assert_eq!(done(accounts.holds(&id())).unwrap().unwrap(), []);
}

#[test]
fn limits_are_changed_where_they_are_given_and_a_new_tier_is_told() {
    let world = World::new();
    let accounts = admin(&world).accounts;
    let account = done(accounts.connected(&id())).unwrap().unwrap();
    let terms = NewTerms { tier: Some(Tier::Two), ..NewTerms::default() };
    let new = NewLimits { profile: None, terms };
    let rules = new.applied_to(&account.rules, START).unwrap();
    assert_eq!(rules.profile(), account.rules.profile());
    done(accounts.set(&account, &rules)).unwrap().unwrap();
    assert_eq!(world.state().rules, rules);
    assert_eq!(world.state().told, [Event::TierChanged { from: Tier::One, to: Tier::Two }]);
    world.state().revision = None;
    let removed = done(accounts.set(&account, &rules)).unwrap();
    assert!(matches!(removed, Err(AdminError::Removed(_))), "{removed:?}");
}

#[test]
fn a_warm_up_begins_in_the_past_and_needs_a_profile_that_has_one() {
    let since = |at, profile| NewLimits {
        terms: NewTerms { warm_up_since: Some(WarmUpSince::At(at)), ..NewTerms::default() },
        profile: Some(profile),
    };
    let rules = Rules::careful();
    let without = Profile { warm_up: None, ..Profile::careful() };
    let refused = since(START, without).applied_to(&rules, START).unwrap_err();
    assert!(matches!(refused, LimitsError::NoWarmUp(_)), "{refused:?}");
    let later = START + Duration::from_secs(1);
    let refused = since(later, Profile::careful()).applied_to(&rules, START).unwrap_err();
    assert!(matches!(refused, LimitsError::Future), "{refused:?}");
}

#[test]
fn sends_are_left_alone_while_the_clock_is_off() {
    let world = World::new();
    let sends = admin(&world).sends;
    sends.check.compare(START, START + HOUR, &*world);
    let send = SendId { account: id(), key: "178".into() };
    let retried = done(sends.retry(&send)).unwrap();
    assert!(matches!(retried, Err(RetryError::Unknown)), "it was never recorded: {retried:?}");
    let forgotten = done(sends.forget(&id(), &"526".into(), |_| ())).unwrap();
    assert!(forgotten.unwrap_err().to_string().contains("forget a person"));
}
