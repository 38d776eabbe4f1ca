//! Accounts, budgets, cursors and marks.

use async_trait::async_trait;
use spillway_core::budget::Budget;
use spillway_core::id::AccountId;
use spillway_core::pace::Cursor;
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::port::{Accounts, Backlogs, Budgets, Cursors, Mark, Saved, StoreError};

use crate::host::Host;
use crate::tables::{self, Settled};

#[async_trait]
impl Accounts for Host {
    async fn load(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        self.store("load the account", |world| {
            let plan = world.scenario.account(account)?;
            let is_connected = plan.removed_at.is_none_or(|removed| world.now < removed);
            is_connected.then(|| plan.account())
        })
        .await
    }
}

#[async_trait]
impl Budgets for Host {
    async fn load(&self, account: &AccountId) -> Result<Budget, StoreError> {
        self.store("load the budget", |world| {
            world.tables.budgets.get(account).cloned().unwrap_or_default()
        })
        .await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let caller = self.caller();
        self.store("save the budget", |world| {
            let before = world.tables.budgets.get(account).cloned().unwrap_or_default();
            let saved = tables::save(&mut world.tables.budgets, account, next);
            if saved == Saved::Done && before.version < next.version {
                let by = caller.invocation;
                let version = next.version;
                world.event(format_args!("{by} budget of {account} {version}: {:?}", next.holds));
                world.saw_budget(caller, account, &before, next);
            }
            saved
        })
        .await
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
    ) -> Result<Option<Mark>, StoreError> {
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
        mark: &Mark,
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
                world.tables.end_lease(account);
                world.saw_settled(caller, account, None);
            })
            .await?;
        }
        Ok(())
    }
}
