//! The app's budget, with its holds out of sight or without an end, or written whoever has written
//! in between.

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::hold::Holds;
use spillway_core::time::Timestamp;
use spillway_service::port::{AppBudgets, Saved, StoreError};

use super::{Sabotage, Sabotaged};

/// A hold that is in force stays so.
fn endless(mut budget: AppBudget) -> AppBudget {
    if let Some(hold) = &mut budget.holds.current {
        hold.until = Timestamp::NEVER;
    }
    budget
}

#[async_trait]
impl AppBudgets for Sabotaged {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        let budget = AppBudgets::load(&self.ports()).await?;
        Ok(match self.by {
            Sabotage::AppHolds => AppBudget { holds: Holds::default(), ..budget },
            Sabotage::UpkeepProbe => endless(budget),
            _ => budget,
        })
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        let mut next = next.clone();
        loop {
            match AppBudgets::save(&self.ports(), &next).await? {
                Saved::Conflict(current) if self.by == Sabotage::AppCondition => {
                    next.version = current.version + 1;
                }
                saved => return Ok(saved),
            }
        }
    }
}
