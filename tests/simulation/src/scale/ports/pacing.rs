//! Accounts, budgets, cursors and marks.

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::pace::Cursor;
use spillway_core::time::Timestamp;
use spillway_core::unknown::EchoWatch;
use spillway_service::account::Account;
use spillway_service::keys;
use spillway_service::port::{
    Accounts, AppBudgets, BacklogMarker, Backlogs, Budgets, Cursors, EchoWatches, LastSeen, Moved,
    Read, Saved, StoreError,
};

use super::Ports;
use crate::scale::meter::Table;
use crate::scale::store::Store;
use crate::scale::units::{
    CONSISTENT, TRANSACTED, WRITE, app_bytes, budget_bytes, consistent, mark_bytes, read,
    transacted, write,
};
use spillway_memory::tables::{self, Settled};

#[async_trait]
impl Accounts for Ports {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        let found = self.shared.plan.account(account);
        let cost = read(how, found.as_ref().map_or(0, |(_, bytes)| *bytes));
        self.state(&keys::account(account), cost, |_| ()).await;
        Ok(found.map(|(account, _)| account))
    }

    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.state(&keys::account(account), read(Read::Eventual, 0), |_| ()).await;
        Ok(self.shared.plan.account(account).map(|(account, _)| account.revision))
    }
}

#[async_trait]
impl EchoWatches for Ports {
    async fn load(&self, account: &AccountId, how: Read) -> Result<EchoWatch, StoreError> {
        Ok(self
            .state(&keys::pace(account), read(how, 0), |store| {
                store.tables.watches.get(account).cloned().unwrap_or_default()
            })
            .await)
    }

    async fn save(
        &self,
        account: &AccountId,
        next: &EchoWatch,
    ) -> Result<Saved<EchoWatch>, StoreError> {
        Ok(self
            .state(&keys::pace(account), WRITE, |store| {
                tables::save(&mut store.tables.watches, account, next)
            })
            .await)
    }
}

#[async_trait]
impl Budgets for Ports {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        Ok(self
            .state(&keys::pace(account), read(how, 0), |store| {
                store.tables.budgets.get(account).cloned().unwrap_or_default()
            })
            .await)
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let key = keys::pace(account);
        Ok(self
            .state(&key, write(budget_bytes(&key, next)), |store| {
                tables::save(&mut store.tables.budgets, account, next)
            })
            .await)
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        // One request with the write of the budget.
        let person = keys::person(account, moved.person);
        self.item(Table::State, &person, TRANSACTED, |_| ());
        let key = keys::pace(account);
        let cost = transacted(budget_bytes(&key, next));
        let saved =
            self.state(&key, cost, |store| store.tables.save_moved(account, next, moved)).await;
        if matches!(saved, Saved::Conflict(_)) {
            // What a refused transaction found has to be read.
            self.state(&key, CONSISTENT, |_| ()).await;
        }
        Ok(saved)
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .state(&keys::person(account, person), CONSISTENT, |store| {
                store.tables.counted.get(&(account.clone(), person.clone())).copied()
            })
            .await)
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.state(&keys::person(account, person), WRITE, |store| {
            store.tables.note_counted(account, person, at);
        })
        .await;
        Ok(())
    }
}

#[async_trait]
impl AppBudgets for Ports {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        let app = |store: &mut Store| store.tables.app.clone().unwrap_or_default();
        Ok(self.state(keys::APP, CONSISTENT, app).await)
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        let cost = write(app_bytes(keys::APP, next));
        Ok(self.state(keys::APP, cost, |store| store.tables.save_app(next)).await)
    }
}

#[async_trait]
impl Cursors for Ports {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        Ok(self
            .state(&keys::pace(account), CONSISTENT, |store| {
                store.tables.cursors.get(account).cloned().unwrap_or_default()
            })
            .await)
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        Ok(self
            .state(&keys::pace(account), WRITE, |store| {
                tables::save(&mut store.tables.cursors, account, next)
            })
            .await)
    }
}

#[async_trait]
impl LastSeen for Ports {
    async fn record_seen(&self, account: &AccountId, _now: Timestamp) -> Result<(), StoreError> {
        self.state(&keys::upkeep(account), WRITE, |_| ()).await;
        Ok(())
    }
}

#[async_trait]
impl Backlogs for Ports {
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.state(&keys::backlog(account), WRITE, |store| store.tables.mark(account, now)).await;
        Ok(())
    }

    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.state(&keys::backlog(account), WRITE, |store| store.tables.wake(account, now)).await;
        Ok(())
    }

    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let marks = {
            let mut store = self.shared.store();
            for (shard, bytes) in (0..).zip(shard_bytes(&store)) {
                let key = keys::backlog_shard(shard);
                store.ask(self.function, Table::State, &key, consistent(bytes));
            }
            let marks = &store.tables.marks;
            marks.iter().map(|(account, marked)| (account.clone(), marked.due)).collect()
        };
        self.ask_store(keys::SHARDS.into()).await;
        Ok(marks)
    }

    async fn lease(
        &self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BacklogMarker>, StoreError> {
        Ok(self
            .state(&keys::backlog(account), WRITE, |store| store.tables.lease(account, now, until))
            .await)
    }

    async fn settle(
        &self,
        account: &AccountId,
        mark: &BacklogMarker,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let key = keys::backlog(account);
        let settled =
            self.state(&key, WRITE, |store| store.tables.settle(account, mark, due)).await;
        if settled == Settled::Refused {
            self.state(&key, WRITE, |store| store.tables.end_lease(account, mark.lease_until))
                .await;
        }
        Ok(())
    }
}

/// How large each part of the marks is.
fn shard_bytes(store: &Store) -> [usize; keys::SHARDS as usize] {
    let mut bytes = [0; keys::SHARDS as usize];
    for account in store.tables.marks.keys() {
        bytes[usize::from(keys::shard_of(account))] += mark_bytes(account);
    }
    bytes
}
