//! Draws what other tools do that share an account's budget.

use std::num::NonZeroU32;

use spillway_core::quota::Action;

use super::{AccountPlan, Job};
use crate::dice::Dice;

/// Jobs of tools within `span` milliseconds from `start` on.
pub(super) fn jobs(dice: &mut Dice, accounts: &[AccountPlan], start: u64, span: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for account in accounts {
        if !dice.chance(0.3) {
            continue;
        }
        for _ in 0..dice.between(1..=30) {
            let units = u32::try_from(dice.between(1..=3)).unwrap_or(1);
            jobs.push(Job {
                at: start + dice.between(0..=span),
                account: account.id.clone(),
                action: dice.pick(&[
                    Action::Publish,
                    Action::Follow,
                    Action::Read,
                    Action::PublicReply,
                ]),
                units: NonZeroU32::new(units).unwrap_or(NonZeroU32::MIN),
            });
        }
    }
    jobs.sort_by_key(|job| job.at);
    jobs
}
