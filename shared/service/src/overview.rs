//! What an operator sees of an account: what it is, what is left of its quotas, what waits, when the
//! next DM goes out and when the last.

use std::sync::Arc;

use futures::future::try_join_all;
use spillway_core::budget::Budget;
use spillway_core::forecast::{Expected, Forecast, Outlook, forecast};
use spillway_core::id::AccountId;
use spillway_core::load::{ByHour, Headroom, planned_by_hour};
use spillway_core::pace::Cursor;
use spillway_core::quota::Tier;
use spillway_core::rules::Rules;
use spillway_core::send::{Lane, Stage, Waiting};
use spillway_core::status::{Condition, Facts};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::TokenLife;

use crate::port::{
    Accounts, AppBudgets, Budgets, Cursors, KeptToken, Sends, Standing, Standings, StoreError,
    Tokens,
};
use crate::ticket::{Place, SHARDS};

/// Waiting sends that are read from each part of an account at most: a look must not cost more than
/// what is looked at.
const WAITING_MAX: usize = 5_000;

/// Of these, so many at a time.
const PAGE: usize = 500;

/// Looks at accounts. It writes nothing.
pub struct Overviews {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Their budgets.
    pub budgets: Arc<dyn Budgets>,
    /// The app's.
    pub app: Arc<dyn AppBudgets>,
    /// Their cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// What upkeep knows of them.
    pub standings: Arc<dyn Standings>,
    /// Their tokens' lives.
    pub tokens: Arc<dyn Tokens>,
}

/// What is to be seen of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Which account.
    pub account: AccountId,
    /// When it was looked at.
    pub seen_at: Timestamp,
    /// Its tier.
    pub tier: Tier,
    /// The name of its profile.
    pub profile: String,
    /// All that it is, the gravest first; never empty.
    pub conditions: Vec<Condition>,
    /// What is left of each of its quotas.
    pub headroom: Vec<Headroom>,
    /// What waits.
    pub backlog: Backlog,
    /// When the next DM goes out, where one waits.
    pub next_at: Option<Timestamp>,
    /// What is to be expected of those that wait, where some do.
    pub outlook: Option<Outlook>,
    /// When its token ends, as far as that is known.
    pub token: TokenLife,
    /// When a webhook last told of it; up to an hour late.
    pub last_heard: Option<Timestamp>,
    /// DMs of the last hours, the latest last, where a quota of a day counts them.
    pub sent_by_hour: Option<ByHour>,
    /// DMs that are planned for the hours to come, of those that wait.
    pub planned_by_hour: ByHour,
}

/// Sends that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// By lane.
    pub lanes: [LaneBacklog; Lane::ALL.len()],
    /// Whether these are all.
    pub extent: Extent,
}

/// Sends of a lane that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneBacklog {
    /// Have a slot, or are being sent.
    pub queued: u32,
    /// Wait for one.
    pub parked: u32,
}

/// Whether all that waits was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// It was.
    #[default]
    All,
    /// There is more.
    First,
}

impl Backlog {
    /// All that was read.
    pub fn total(&self) -> u32 {
        self.lanes.iter().map(|lane| lane.queued + lane.parked).sum()
    }
}

impl Overviews {
    /// Looks at an account; `None` where it is not connected.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of(&self, id: &AccountId, now: Timestamp) -> Result<Option<Overview>, StoreError> {
        let Some(account) = self.accounts.load(id).await? else { return Ok(None) };
        let rules = &account.rules;
        let (budget, app, cursor, standing, token, waiting) = futures::try_join!(
            self.budgets.load(id),
            self.app.load(),
            self.cursors.load(id),
            self.standings.standing(id),
            self.tokens.load(id),
            self.waiting(id),
        )?;
        let Standing { upkeep, last_heard, .. } = standing.unwrap_or_default();
        let token = token.map_or_else(TokenLife::default, |KeptToken { life, .. }| life);
        let facts = Facts {
            rules,
            holds: &budget.holds,
            app: &app.holds,
            learned: budget.learned,
            token,
            upkeep: &upkeep,
            last_heard,
        };
        let mut overview = Overview {
            account: id.clone(),
            seen_at: now,
            tier: rules.terms().tier,
            profile: rules.profile().name.clone(),
            conditions: facts.conditions(now),
            headroom: budget.headroom(rules, now),
            backlog: Backlog::default(),
            next_at: None,
            outlook: None,
            token,
            last_heard,
            sent_by_hour: budget.sent_by_hour(rules, now),
            planned_by_hour: ByHour::default(),
        };
        overview.plan(&account.rules, &budget, &cursor, &waiting);
        Ok(Some(overview))
    }

    async fn waiting(&self, id: &AccountId) -> Result<Vec<(Vec<Waiting>, Extent)>, StoreError> {
        try_join_all((0..SHARDS).map(|shard| self.waiting_part(id, shard))).await
    }

    async fn waiting_part(
        &self,
        id: &AccountId,
        shard: u8,
    ) -> Result<(Vec<Waiting>, Extent), StoreError> {
        let mut found = Vec::new();
        let mut after: Option<Place> = None;
        while found.len() < WAITING_MAX {
            let page = self.sends.waiting(id, shard, after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(place, _)| place.clone());
            found.extend(page.into_iter().map(|(_, send)| send));
            if is_last {
                return Ok((found, Extent::All));
            }
        }
        Ok((found, Extent::First))
    }
}

impl Overview {
    /// Takes in what waits: counts it, and plans it as the release function does.
    fn plan(
        &mut self,
        rules: &Rules,
        budget: &Budget,
        cursor: &Cursor,
        waiting: &[(Vec<Waiting>, Extent)],
    ) {
        let now = self.seen_at;
        let (mut outstanding, mut expected) = (Vec::new(), Vec::new());
        for (sends, extent) in waiting {
            if *extent == Extent::First {
                self.backlog.extent = Extent::First;
            }
            for send in sends {
                let lane = &mut self.backlog.lanes[usize::from(send.lane.rank())];
                match send.stage {
                    Stage::Queued { due } => {
                        lane.queued += 1;
                        outstanding.push((send.lane, due));
                    }
                    Stage::Sending { .. } => lane.queued += 1,
                    Stage::Parked => {
                        lane.parked += 1;
                        let Waiting { lane, deadline, order, .. } = *send;
                        expected.push(Expected { lane, arrives: now, deadline, order });
                    }
                }
            }
        }
        let forecasts = forecast(rules, budget, cursor, now, &outstanding, &expected);
        let planned = forecasts.iter().filter_map(|forecast| match forecast {
            Forecast::Sent(at) => Some(*at),
            Forecast::AnsweredInPublic(_) | Forecast::Expired(_) => None,
        });
        let all: Vec<Timestamp> =
            outstanding.iter().map(|&(_, due)| due.max(now)).chain(planned).collect();
        self.next_at = all.iter().min().copied();
        let last = all.iter().max().copied();
        self.planned_by_hour = planned_by_hour(all, now);
        self.outlook = match (self.backlog.extent, self.backlog.total()) {
            (_, 0) => None,
            // Release has read them all.
            (Extent::First, _) => cursor.outlook,
            (Extent::All, _) => {
                let seen = Outlook::of(&forecasts, now);
                Some(Outlook { last: last.map_or(seen.last, |last| last.max(seen.last)), ..seen })
            }
        };
    }
}
