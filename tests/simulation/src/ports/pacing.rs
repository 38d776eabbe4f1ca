//! Accounts, budgets, cursors and marks.

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId, Revision};
use spillway_core::hold::NewToken;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::pace::Cursor;
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::port::{
    Accounts, AppBudgets, BacklogMarker, Backlogs, Budgets, Cursors, Moved, Read, Saved, StoreError,
};

use crate::host::Host;
use crate::scenario::AccountPlan;
use crate::tables::{self, LAG_MAX, Settled, Tables};
use crate::watch::Caller;
use crate::world::World;

#[async_trait]
impl Accounts for Host {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        const LOAD: &str = "load the account";
        self.store(LOAD, |world| {
            let as_of = world.read_as_of(how);
            let scenario = world.scenario.clone();
            let Some(plan) = scenario.account(account) else { return Ok(None) };
            if plan.is_unreadable(world.now) {
                world.record.count("account unreadable");
                let detail = "damaged".to_owned();
                return Err(StoreError::Corrupt { what: LOAD, detail });
            }
            Ok(world.was_connected(account, as_of).then(|| world.stored(plan, as_of)))
        })
        .await?
    }

    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.store("look up the account's revision", |world| {
            let as_of = world.read_as_of(Read::Eventual);
            let plan = world.scenario.account(account)?;
            world.was_connected(account, as_of).then(|| world.revision(plan, as_of))
        })
        .await
    }
}

#[async_trait]
impl Budgets for Host {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        self.store("load the budget", |world| {
            let as_of = world.read_as_of(how);
            world.tables.budget(account, as_of)
        })
        .await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let caller = self.caller();
        self.store("save the budget", |world| {
            world.save_budget(caller, account, next, |tables| {
                tables::save(&mut tables.budgets, account, next)
            })
        })
        .await
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        let caller = self.caller();
        self.store("save the budget and a person's unit", |world| {
            world.save_budget(caller, account, next, |tables| {
                tables.save_moved(account, next, moved)
            })
        })
        .await
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let key = (account.clone(), person.clone());
        self.store("look up a person's unit", |world| world.tables.counted.get(&key).copied()).await
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store("note a person's unit", |world| world.tables.note_counted(account, person, at))
            .await
    }
}

#[async_trait]
impl AppBudgets for Host {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        self.store("load the app's budget", |world| world.tables.app.clone().unwrap_or_default())
            .await
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        let caller = self.caller();
        self.store("save the app's budget", |world| {
            let before = world.tables.app.clone().unwrap_or_default();
            let saved = world.tables.save_app(next);
            if saved == Saved::Done && before.version < next.version {
                let (by, version) = (caller.invocation, next.version);
                world.event(format_args!("{by} budget of the app {version}: {:?}", next.holds));
                world.saw_app_budget(caller, &before, next);
            }
            saved
        })
        .await
    }
}

impl World {
    /// The instant as of which a read sees what is stored, in milliseconds since 1970.
    pub(crate) fn read_as_of(&mut self, how: Read) -> u64 {
        match how {
            Read::Consistent => self.now,
            Read::Eventual => self.now.saturating_sub(self.dice.between(0..=LAG_MAX)),
        }
    }

    /// An account as it was stored at `as_of`.
    fn stored(&self, plan: &AccountPlan, as_of: u64) -> Account {
        let mut account = plan.account(as_of);
        if let Some(token) = self.tables.kept.token_at(&plan.id, as_of) {
            account.token = token;
        }
        Account { revision: self.revision(plan, as_of), ..account }
    }

    /// An account as it would be stored if it were connected.
    pub(crate) fn of_before(&self, account: &AccountId) -> Option<Account> {
        let plan = self.scenario.account(account)?;
        Some(self.stored(plan, self.now))
    }

    /// How many times an account had been changed by `as_of`; upkeep and its owner change it too.
    fn revision(&self, plan: &AccountPlan, as_of: u64) -> Revision {
        let others = self.tables.kept.changed_at(&plan.id);
        let others = others.into_iter().filter(|&at| at <= as_of).count() as u64;
        Revision(plan.revision(as_of).0 + others)
    }

    /// The revision of an account as it is now, if it is connected.
    pub(crate) fn revision_now(&self, account: &AccountId) -> Option<Revision> {
        let plan = self.scenario.account(account)?;
        self.is_connected(account).then(|| self.revision(plan, self.now))
    }

    /// Whether an account was connected as of then.
    pub(crate) fn was_connected(&self, account: &AccountId, as_of: u64) -> bool {
        let plan = self.scenario.account(account);
        plan.is_some_and(|plan| plan.removed_at.is_none_or(|removed| as_of < removed))
            && self.tables.kept.is_connected(account, as_of)
    }

    /// Whether an account is connected.
    pub(crate) fn is_connected(&self, account: &AccountId) -> bool {
        self.was_connected(account, self.now)
    }

    /// The operator, who has just changed the account, writes its revision into its budget.
    pub(crate) fn announce(&mut self, account: &AccountId) {
        let now = self.now;
        let plan = self.scenario.account(account);
        let Some(revision) = plan.map(|plan| self.revision(plan, now)) else { return };
        self.event(format_args!("{account} is changed: {revision:?}"));
        let budget = self.tables.budgets.entry(account.clone()).or_default();
        if let Some(next) = budget.with_revision(revision, GrantId::new(u64::MAX, revision.0)) {
            *budget = next;
            self.tables.see_budget(account, now);
        }
        self.saw_change_announced(account);
    }

    /// The operator, who has just connected the account, ends the hold of its dead token, or has
    /// one call find out at once whether another hold is over.
    pub(crate) fn renew_token(&mut self, account: &AccountId) {
        let now = self.now;
        let id = GrantId::new(u64::MAX - 1, now);
        let Some(budget) = self.tables.budgets.get_mut(account) else { return };
        let Some(next) = budget.with_token(NewToken::Works, id) else { return };
        *budget = next;
        self.tables.see_budget(account, now);
        self.judge_lift(account);
    }

    /// A budget is written, and looked at if it was.
    fn save_budget(
        &mut self,
        caller: Caller,
        account: &AccountId,
        next: &Budget,
        save: impl FnOnce(&mut Tables) -> Saved<Budget>,
    ) -> Saved<Budget> {
        let before = self.tables.budgets.get(account).cloned().unwrap_or_default();
        let saved = save(&mut self.tables);
        if saved == Saved::Done && before.version < next.version {
            self.tables.see_budget(account, self.now);
            let (by, version) = (caller.invocation, next.version);
            self.event(format_args!("{by} budget of {account} {version}: {:?}", next.holds));
            self.saw_budget(caller, account, &before, next);
        }
        saved
    }
}

#[async_trait]
impl Cursors for Host {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        self.store("load the cursor", |world| {
            world.tables.cursors.get(account).cloned().unwrap_or_default()
        })
        .await
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        let by = self.caller().invocation;
        self.store("save the cursor", |world| {
            let before = world.tables.cursors.get(account).cloned().unwrap_or_default();
            let saved = tables::save(&mut world.tables.cursors, account, next);
            if saved == Saved::Done {
                world.saw_cursor(account, &before, next);
                world.event(format_args!("{by} cursor of {account}: {next:?}"));
            }
            saved
        })
        .await
    }
}

#[async_trait]
impl Backlogs for Host {
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let by = self.caller().invocation;
        self.store("mark the backlog", |world| {
            world.event(format_args!("{by} marks {account}"));
            world.tables.mark(account, now);
        })
        .await
    }

    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let by = self.caller().invocation;
        self.store("wake the backlog", |world| {
            world.event(format_args!("{by} wakes {account}"));
            world.tables.wake(account, now);
        })
        .await
    }

    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.store("list the backlogs", |world| {
            let marks = world.tables.marks.iter();
            marks.map(|(account, marked)| (account.clone(), marked.due)).collect()
        })
        .await
    }

    async fn lease(
        &self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BacklogMarker>, StoreError> {
        let caller = self.caller();
        self.store("lease the backlog", |world| {
            let mark = world.tables.lease(account, now, until);
            world.event(format_args!("{} leases {account}: {mark:?}", caller.invocation));
            if mark.is_some() {
                world.saw_lease(caller, account);
            }
            mark
        })
        .await
    }

    async fn settle(
        &self,
        account: &AccountId,
        mark: &BacklogMarker,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let caller = self.caller();
        let settled = self
            .store("settle the backlog", |world| {
                let settled = world.tables.settle(account, mark, due);
                let by = caller.invocation;
                world.event(format_args!("{by} settles {account} until {due:?}: {settled:?}"));
                match settled {
                    Settled::Due => world.saw_settled(caller, account, due),
                    Settled::Unmarked => world.saw_unmarked(account),
                    Settled::Refused => {}
                }
                settled
            })
            .await?;
        if settled == Settled::Refused {
            self.store("settle the backlog", |world| {
                world.tables.end_lease(account, mark.lease_until);
                world.saw_settled(caller, account, None);
            })
            .await?;
        }
        Ok(())
    }
}
