//! What the tables hold when a scenario begins.

use spillway_core::app::AppBudget;
use spillway_core::budget::GrantId;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_memory::tables::{Kept, Listed, Tables};
use spillway_service::port::{KeptToken, MaintenanceRecord};

use crate::meta::{first_token, issued_at};
use crate::scenario::{AccountPlan, KeptUp, Scenario};

/// How far an eventual read may lag in a scenario, in milliseconds.
pub(crate) const LAG_MAX: u64 = 2000;

/// The tables when all accounts of a scenario have been connected.
pub(crate) fn tables(scenario: &Scenario) -> Tables {
    let leasing = scenario.accounts.iter().filter(|account| account.limits.leases());
    let mut tiers = [0; 3];
    leasing.for_each(|account| tiers[account.limits.first_tier() as usize] += 1);
    let app = AppBudget::default().with_leasing(tiers, GrantId::default());
    Tables {
        app: (app.leasing > 0).then_some(app),
        kept: kept(scenario),
        lag_max: LAG_MAX,
        ..Tables::default()
    }
}

/// The accounts of a scenario that are kept up, some while after they were connected.
fn kept(scenario: &Scenario) -> Kept {
    let start = Timestamp::from_millis(scenario.start);
    let mut kept = Kept::default();
    for AccountPlan { id, kept: plan, .. } in &scenario.accounts {
        let Some(KeptUp { token_ends, is_end_known, .. }) = plan else { continue };
        let life = if *is_end_known {
            TokenLife {
                obtained_at: Some(Timestamp::from_millis(issued_at(*token_ends))),
                ends_at: Some(Timestamp::from_millis(*token_ends)),
            }
        } else {
            TokenLife::default()
        };
        kept.tokens.insert(id.clone(), KeptToken { token: first_token(), life, next: None });
        let upkeep = Upkeep { checked_at: Some(start), whole_at: Some(start), ..Upkeep::default() };
        let record =
            MaintenanceRecord { upkeep, last_seen: Some(start), ..MaintenanceRecord::default() };
        kept.listed.insert(id.clone(), Listed { due: start, record, ..Listed::default() });
    }
    kept
}
