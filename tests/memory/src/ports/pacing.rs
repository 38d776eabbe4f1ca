//! Budgets, cursors and marks.

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::pace::Cursor;
use spillway_core::time::Timestamp;
use spillway_core::unknown::EchoWatch;
use spillway_service::port::{
    AppBudgets, BacklogMarker, Backlogs, Budgets, Cursors, EchoWatches, Moved, Read, Saved,
    StoreError,
};

use super::{Did, Ports, Requests, World};
use crate::tables::{self, Settled, Tables};

#[async_trait]
impl<A: Requests> Budgets for Ports<A> {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        self.0
            .request("load the budget", |world| {
                let as_of = world.read_as_of(how);
                world.tables().budget(account, as_of)
            })
            .await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let by = self.0.caller();
        self.0
            .request("save the budget", |world| {
                save_budget(world, by, account, next, |tables| {
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
        let by = self.0.caller();
        self.0
            .request("save the budget and a person's unit", |world| {
                save_budget(world, by, account, next, |tables| {
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
        self.0
            .request("look up a person's unit", |world| world.tables().counted.get(&key).copied())
            .await
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0
            .request("note a person's unit", |world| {
                world.tables().note_counted(account, person, at);
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> EchoWatches for Ports<A> {
    async fn load(&self, account: &AccountId, _: Read) -> Result<EchoWatch, StoreError> {
        self.0
            .request("load the watch for echoes", |world| {
                world.tables().watches.get(account).cloned().unwrap_or_default()
            })
            .await
    }

    async fn save(
        &self,
        account: &AccountId,
        next: &EchoWatch,
    ) -> Result<Saved<EchoWatch>, StoreError> {
        self.0
            .request("save the watch for echoes", |world| {
                tables::save(&mut world.tables().watches, account, next)
            })
            .await
    }
}

/// Writes a budget, and tells of it if it was not written before.
fn save_budget<W: World>(
    world: &mut W,
    by: W::Caller,
    account: &AccountId,
    next: &Budget,
    save: impl FnOnce(&mut Tables) -> Saved<Budget>,
) -> Saved<Budget> {
    let before = world.tables().budgets.get(account).cloned().unwrap_or_default();
    let saved = save(world.tables());
    if saved == Saved::Done && before.version < next.version {
        let now = world.now();
        world.tables().see_budget(account, now);
        world.saw(by, Did::Budget { account, before: &before, next });
    }
    saved
}

#[async_trait]
impl<A: Requests> AppBudgets for Ports<A> {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        self.0
            .request("load the app's budget", |world| {
                world.tables().app.clone().unwrap_or_default()
            })
            .await
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        let by = self.0.caller();
        self.0
            .request("save the app's budget", |world| {
                let before = world.tables().app.clone().unwrap_or_default();
                let saved = world.tables().save_app(next);
                if saved == Saved::Done && before.version < next.version {
                    world.saw(by, Did::App { before: &before, next });
                }
                saved
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> Cursors for Ports<A> {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        self.0
            .request("load the cursor", |world| {
                world.tables().cursors.get(account).cloned().unwrap_or_default()
            })
            .await
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        let by = self.0.caller();
        self.0
            .request("save the cursor", |world| {
                let cursors = &mut world.tables().cursors;
                let before = cursors.get(account).cloned().unwrap_or_default();
                let saved = tables::save(cursors, account, next);
                if saved == Saved::Done {
                    world.saw(by, Did::Cursor { account, before: &before, next });
                }
                saved
            })
            .await
    }
}

#[async_trait]
impl<A: Requests> Backlogs for Ports<A> {
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request("mark the backlog", |world| {
                world.saw(by, Did::Marks(account));
                world.tables().mark(account, now);
            })
            .await
    }

    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let by = self.0.caller();
        self.0
            .request("wake the backlog", |world| {
                world.saw(by, Did::Wakes(account));
                world.tables().wake(account, now);
            })
            .await
    }

    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.0
            .request("list the backlogs", |world| {
                let marks = world.tables().marks.iter();
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
        let by = self.0.caller();
        self.0
            .request("lease the backlog", |world| {
                let mark = world.tables().lease(account, now, until);
                world.saw(by, Did::Leases(account, mark.as_ref()));
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
        const SETTLE: &str = "settle the backlog";
        let by = self.0.caller();
        let settled = self
            .0
            .request(SETTLE, |world| {
                let settled = world.tables().settle(account, mark, due);
                world.saw(by, Did::Settles(account, due, settled));
                settled
            })
            .await?;
        if settled == Settled::Refused {
            self.0
                .request(SETTLE, |world| {
                    world.tables().end_lease(account, mark.lease_until);
                    world.saw(by, Did::EndsLease(account));
                })
                .await?;
        }
        Ok(())
    }
}
