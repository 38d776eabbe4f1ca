//! Budgets that overwrite what others wrote in between, that hide holds or refusals, or that take
//! one person for another.

use async_trait::async_trait;
use spillway_core::budget::Budget;
use spillway_core::hold::Holds;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::refusal::Refusals;
use spillway_core::time::Timestamp;
use spillway_core::windows::Windows;
use spillway_service::port::{Budgets, Moved, Read, Saved, StoreError};

use super::{Sabotage, Sabotaged};

impl Sabotaged {
    fn shown(&self, mut budget: Budget) -> Budget {
        match self.by {
            Sabotage::Holds => budget.holds.current = None,
            Sabotage::Rows => {
                let windows = Windows::decode(&budget.windows.encode(), None);
                budget.windows = windows.expect("what was encoded is decoded");
            }
            Sabotage::Refusals => budget.holds.refusals = Refusals::default(),
            Sabotage::PeopleHolds => budget.holds = of_account(&budget.holds, Holds::default()),
            _ => {}
        }
        budget
    }

    /// What is written of a budget whose people on hold were out of sight: they stay.
    fn written(&self, account: &AccountId, mut next: Budget) -> Budget {
        if self.by == Sabotage::PeopleHolds
            && of_account(&next.holds, Holds::default()) == next.holds
            && let Some(stored) = self.host.shared.world().tables.budgets.get(account)
        {
            next.holds = of_account(&next.holds, stored.holds.clone());
        }
        next
    }
}

/// The hold of the account by the first, and of people by the second.
fn of_account(account: &Holds, people: Holds) -> Holds {
    let mut holds = people;
    holds.strikes = account.strikes;
    holds.last_strike = account.last_strike;
    holds.current.clone_from(&account.current);
    holds.refusals.clone_from(&account.refusals);
    holds
}

#[async_trait]
impl Budgets for Sabotaged {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        Ok(self.shown(Budgets::read(&self.ports(), account, how).await?))
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let mut next = self.written(account, next.clone());
        loop {
            match Budgets::save(&self.ports(), account, &next).await? {
                Saved::Done => return Ok(Saved::Done),
                Saved::Conflict(current) if self.by == Sabotage::BudgetCondition => {
                    next.version = current.version + 1;
                }
                Saved::Conflict(current) => return Ok(Saved::Conflict(self.shown(current))),
            }
        }
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        match self.by {
            Sabotage::People => self.save(account, next).await,
            _ => {
                let next = self.written(account, next.clone());
                self.ports().save_moved(account, &next, moved).await
            }
        }
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        if self.by != Sabotage::People {
            return self.ports().counted_at(account, person).await;
        }
        let world = self.host.shared.world();
        let of_account = world.tables.counted.iter().filter(|((of, _), _)| of == account);
        Ok(of_account.map(|(_, &at)| at).max())
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.ports().note_counted(account, person, at).await
    }
}
