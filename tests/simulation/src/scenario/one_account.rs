//! What runs of one account have in common.

use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
use spillway_core::quota::Tier;

use super::limits::{Base, Limits, Pace, Shape};
use super::{AccountPlan, Headers, Post, Processes, Rates, Scenario, Theme, Trouble, Unknowns};

const DAY: u64 = 24 * 3_600_000;

/// 2026-09-21T08:00:00Z.
pub(super) const EIGHT: u64 = 1_789_977_600_000;

/// When a run begins, and when what goes wrong in it does no more.
pub(super) struct Times {
    pub(super) start: u64,
    pub(super) calm_at: u64,
}

impl Shape {
    /// Meta's own limits, without a pace.
    pub(super) const fn free() -> Self {
        Self {
            base: Base::Meta,
            pace: Pace::Free,
            tier: Tier::Two,
            other: None,
            new_since: None,
            zone: "UTC",
            starts: 8,
        }
    }
}

impl AccountPlan {
    /// An account of which nothing is told yet, and that nobody changes.
    pub(super) fn new(limits: Limits, campaigns: Vec<Campaign>) -> Self {
        Self {
            id: AccountId::new("17841400000000001"),
            limits,
            campaigns,
            comments: Vec::new(),
            messages: Vec::new(),
            events: Vec::new(),
            disclosure: None,
            begins_at: None,
            removed_at: None,
            unreadable: None,
            kept: None,
            orders: Vec::new(),
        }
    }
}

impl Scenario {
    /// A run of one account, disturbed by nothing but what these rates bring.
    pub(super) fn of_one(
        (theme, seed): (Theme, u64),
        (trouble, rates): (Trouble, Rates),
        Times { start, calm_at }: Times,
        account: AccountPlan,
        posts: Vec<Post>,
    ) -> Self {
        Self {
            theme,
            seed,
            trouble,
            start,
            app: None,
            posts,
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 4, sender: 4, release: 1, tool: 1, upkeep: 0 },
            outages: Vec::new(),
            spells: Vec::new(),
            rates,
            unknowns: Unknowns::drawn(theme, seed),
            calm_at,
            end: start + 9 * DAY,
            prompt: None,
            accounts: vec![account],
        }
    }
}
