//! What an operator sees of an account: what it is, what is left of its quotas, what waits, when
//! the next DM goes out and when the last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use spillway_core::active_hours::Zone;
use spillway_core::answers::Tally;
use spillway_core::app::AppBudget;
use spillway_core::budget::Budget;
use spillway_core::campaign::{Campaigns, Period, Phase};
use spillway_core::forecast::{Expected, Forecast, Outlook, forecast};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::load::{ByHour, Headroom, planned_by_hour};
use spillway_core::meta_error::LastRefusal;
use spillway_core::pace::Cursor;
use spillway_core::quota::Tier;
use spillway_core::rules::Rules;
use spillway_core::send::{Lane, PendingSend, Stage};
use spillway_core::status::{Condition, Facts, State};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep};

pub use super::listing::Extent;
use super::listing::{Freshness, Listed, Listing, Listings};
use super::wait::Wait;
use super::{AdminError, Several};
use crate::account::Account;
use crate::port::{
    Accounts, AppBudgets, Budgets, Cursors, Journal, KeptToken, MaintenanceRecord,
    MaintenanceRecords, StoreError, Tokens,
};

/// How old a refusal may be that is shown.
const REFUSAL_SHOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Lines of a journal that are looked through.
const JOURNAL_LINES: usize = 100;

/// Accounts that are looked at at a time.
const AT_ONCE: usize = 8;

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
    /// What waits of them.
    pub listings: Listings,
    /// What upkeep knows of them.
    pub maintenance: Arc<dyn MaintenanceRecords>,
    /// Their tokens' lives.
    pub tokens: Arc<dyn Tokens>,
    /// What happened to them.
    pub journal: Arc<dyn Journal>,
}

/// What is to be seen of an account. Where thousands wait, what waits may be half a minute old.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Which account.
    pub account: AccountId,
    /// The instant when it was looked at.
    pub seen_at: Timestamp,
    /// Its tier.
    pub tier: Tier,
    /// The time zone of its day.
    pub time_zone: Zone,
    /// The name of its profile.
    pub profile: String,
    /// Every condition that applies, the worst first; never empty.
    pub conditions: Vec<Condition>,
    /// What is left of each of its quotas.
    pub headroom: Vec<Headroom>,
    /// What waits.
    pub backlog: Backlog,
    /// The waiting DMs of each campaign that has some, the most first.
    pub by_campaign: Vec<OfCampaign>,
    /// Of all that was read, the DMs that wait until somebody does something.
    pub stuck: u32,
    /// The instant when the next DM goes out, where one waits.
    pub next_at: Option<Timestamp>,
    /// The instant when the last DM goes out that will not be too late: a forecast.
    pub last_at: Option<Timestamp>,
    /// What is to be expected of those that wait, where some do.
    pub outlook: Option<Outlook>,
    /// When its token ends, as far as that is known.
    pub token: TokenLife,
    /// The instant when a webhook last told of it; up to an hour late.
    pub last_seen: Option<Timestamp>,
    /// Calls of this hour and the one before it, and those that ended in a 5xx. Calls that a
    /// process has not written down yet are missing.
    pub calls: Tally,
    /// The instant when the counted span of two hours began.
    pub calls_since: Timestamp,
    /// Campaigns that have not begun yet, or are over.
    pub outside: Vec<(CampaignId, Period, Phase)>,
    /// The last refusal by Meta that held the account or a campaign, of the last seven days.
    pub last_refusal: Option<LastRefusal>,
    /// Until when a human has the last thread that one has taken over.
    pub human_until: Option<Timestamp>,
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

/// When new sends will go.
pub(super) enum Reach {
    /// In the order given; `None` for one that would be too late.
    Expected(Vec<Option<Timestamp>>),
    /// Never, before somebody does something: why.
    Held(String),
}

/// The DMs of a campaign that wait.
pub type OfCampaign = (CampaignId, u32);

/// Sends of a lane that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneBacklog {
    /// Sends that have a slot or are being sent.
    pub queued: u32,
    /// Sends that wait for a slot.
    pub parked: u32,
}

impl Backlog {
    /// All DMs that were read. Public replies are counted apart.
    pub fn total(&self) -> u32 {
        let lanes = Lane::ALL.into_iter().zip(self.lanes);
        let dms = lanes.filter(|(lane, _)| *lane != Lane::Public);
        dms.map(|(_, lane)| lane.queued + lane.parked).sum()
    }
}

/// Returns the campaigns that match nothing at `now` because of their start or end.
fn outside(campaigns: &Campaigns, now: Timestamp) -> Vec<(CampaignId, Period, Phase)> {
    let of_each = campaigns.iter().filter_map(|campaign| {
        let period = campaigns.period(&campaign.id)?;
        Some((campaign.id.clone(), period, period.phase(now)))
    });
    of_each.filter(|(_, _, phase)| *phase != Phase::Open).collect()
}

impl Overview {
    /// The gravest condition.
    pub fn worst(&self) -> Option<&Condition> {
        self.conditions.first()
    }

    /// Whether nothing gets better before somebody does something.
    pub fn needs_somebody(&self) -> bool {
        self.conditions.iter().any(Condition::needs_somebody)
    }

    /// The state that the gravest condition puts it in.
    pub fn state(&self) -> State {
        self.worst().map_or(State::Healthy, |condition| condition.state)
    }
}

impl Overviews {
    /// Looks at these accounts, and leaves out those that are not connected. The gravest come
    /// first; within a state the order stays. `progress` is told of each that was looked at.
    ///
    /// # Errors
    /// Fails if the store does not answer; names the account.
    pub fn of_all<'a>(
        &'a self,
        accounts: &'a [AccountId],
        now: Timestamp,
        progress: &'a (dyn Fn(usize) + Sync),
    ) -> BoxFuture<'a, Result<Several<Overview>, AdminError>> {
        Box::pin(async move {
            let mut looks = Vec::new();
            for account in accounts {
                looks.push(self.told(account, now, progress));
            }
            let looked_at: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
            let mut overviews = Several::of(looked_at)?;
            overviews.read.sort_by_key(Overview::state);
            Ok(overviews)
        })
    }

    /// Looks at an account, and tells that it was looked at.
    async fn told(
        &self,
        account: &AccountId,
        now: Timestamp,
        progress: &(dyn Fn(usize) + Sync),
    ) -> (AccountId, Result<Option<Overview>, StoreError>) {
        let overview = self.of(account, now).await;
        progress(1);
        (account.clone(), overview)
    }

    /// Looks at an account; `None` where it is not connected.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn of(&self, id: &AccountId, now: Timestamp) -> Result<Option<Overview>, StoreError> {
        let Some(seen) = self.look(id, now, Freshness::Recent).await? else { return Ok(None) };
        let Seen { account, budget, token, last_seen, waiting, .. } = &seen;
        let (rules, facts) = (&account.rules, seen.facts());
        let (calls_since, calls) = budget.answers.lately(now);
        let mut overview = Overview {
            account: id.clone(),
            seen_at: now,
            tier: rules.terms().tier,
            time_zone: rules.terms().time_zone.clone(),
            profile: rules.profile().name.clone(),
            conditions: facts.conditions(now),
            headroom: budget.headroom(rules, now),
            backlog: Backlog::default(),
            by_campaign: Vec::new(),
            stuck: 0,
            next_at: None,
            last_at: None,
            outlook: None,
            token: *token,
            last_seen: *last_seen,
            calls,
            calls_since,
            outside: outside(facts.campaigns, now),
            last_refusal: seen.told.last_refusal.clone(),
            human_until: seen.told.human_until.filter(|&until| now < until),
            sent_by_hour: budget.sent_by_hour(rules, now),
            planned_by_hour: ByHour::default(),
        };
        overview.plan(&seen.plan(now), waiting);
        Ok(Some(overview))
    }

    /// Says what a waiting send waits for, and when it will probably go; `None` where its account
    /// is not connected.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn wait_of(
        &self,
        send: &PendingSend,
        now: Timestamp,
    ) -> Result<Option<Wait>, StoreError> {
        let account = &send.id.account;
        let is_it = |listed: &Listed| listed.key == send.id.key;
        let seen = self.look(account, now, Freshness::Recent).await?;
        let Some(mut seen) = seen else { return Ok(None) };
        // It may have come since.
        if seen.waiting.extent == Extent::All && !seen.waiting.sends.iter().any(is_it) {
            seen.waiting = self.listings.of(account, now, Freshness::Now).await?;
        }
        let plan = seen.plan(now);
        let planned = plan.of(&seen.waiting.sends).at;
        let index = seen.waiting.sends.iter().position(is_it);
        let expected_at = index.and_then(|index| planned[index]);
        let before = expected_at
            .map_or(0, |own| planned.iter().flatten().filter(|&&other| other < own).count());
        Ok(Some(Wait::of(send, &seen.facts(), plan.opens_at, before, expected_at, now)))
    }

    /// Says when each of `sends` will probably go that were parked at `now`, in their order, behind all
    /// that waits already; `None` where the account is not connected.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub(super) async fn reach<'a>(
        &self,
        id: &AccountId,
        sends: impl Iterator<Item = &'a PendingSend>,
        now: Timestamp,
    ) -> Result<Option<Reach>, StoreError> {
        let Some(seen) = self.look(id, now, Freshness::Now).await? else { return Ok(None) };
        let before = seen.waiting.sends.len();
        let mut waiting = seen.waiting.sends.clone();
        waiting.extend(sends.map(Listed::of));
        let plan = seen.plan(now);
        if plan.opens_at == Timestamp::NEVER {
            let why = seen.facts().holding(now).map(|why| why.to_string());
            return Ok(Some(Reach::Held(why.unwrap_or_default())));
        }
        let mut expected = plan.of(&waiting).at;
        Ok(Some(Reach::Expected(expected.split_off(before))))
    }

    async fn look(
        &self,
        id: &AccountId,
        now: Timestamp,
        freshness: Freshness,
    ) -> Result<Option<Seen>, StoreError> {
        let Some(account) = self.accounts.load(id).await? else { return Ok(None) };
        let (budget, app, cursor, record, token, waiting, told) = futures::try_join!(
            self.budgets.load(id),
            self.app.load(),
            self.cursors.load(id),
            self.maintenance.record(id),
            self.tokens.load(id),
            self.listings.of(id, now, freshness),
            self.journalled(id, now),
        )?;
        let MaintenanceRecord { upkeep, last_seen, .. } = record.unwrap_or_default();
        let token = token.map_or_else(TokenLife::default, |KeptToken { life, .. }| life);
        Ok(Some(Seen { account, budget, app, cursor, upkeep, last_seen, token, waiting, told }))
    }

    /// What the account's journal tells: the last event that an answer of Meta's led to, and whether
    /// a human writes.
    async fn journalled(&self, id: &AccountId, now: Timestamp) -> Result<Told, StoreError> {
        let lines = self.journal.list(id, now - REFUSAL_SHOWN, JOURNAL_LINES).await?;
        let human_until = lines.iter().filter_map(|line| match line.what {
            Event::HumanWrote { until } => Some(until),
            _ => None,
        });
        let human_until = human_until.max();
        let last_refusal = lines.into_iter().find_map(|JournalEntry { at, what, .. }| {
            Some(LastRefusal { at, error: what.error()?.clone() })
        });
        Ok(Told { last_refusal, human_until })
    }
}

/// All that was read of an account.
struct Seen {
    account: Account,
    budget: Budget,
    app: AppBudget,
    cursor: Cursor,
    upkeep: Upkeep,
    last_seen: Option<Timestamp>,
    token: TokenLife,
    waiting: Arc<Listing>,
    told: Told,
}

/// What an account's journal tells.
struct Told {
    last_refusal: Option<LastRefusal>,
    human_until: Option<Timestamp>,
}

impl Seen {
    fn facts(&self) -> Facts<'_> {
        Facts {
            rules: &self.account.rules,
            campaigns: &self.account.campaigns,
            holds: &self.budget.holds,
            app: &self.app.holds,
            feedback: self.budget.feedback,
            token: self.token,
            upkeep: &self.upkeep,
            last_seen: self.last_seen,
        }
    }

    fn plan(&self, now: Timestamp) -> Plan<'_> {
        Plan {
            rules: &self.account.rules,
            campaigns: &self.account.campaigns,
            budget: &self.budget,
            cursor: &self.cursor,
            opens_at: self.facts().opens_at(now),
            now,
        }
    }
}

/// What the plan of an account's pending sends follows from.
struct Plan<'a> {
    rules: &'a Rules,
    campaigns: &'a Campaigns,
    budget: &'a Budget,
    cursor: &'a Cursor,
    /// The first instant at which no hold keeps the account from sending.
    opens_at: Timestamp,
    now: Timestamp,
}

/// When pending sends will go out, as far as that is known.
struct PlannedSends {
    /// In the order given; `None` for one that will be too late, or waits until somebody does
    /// something.
    at: Vec<Option<Timestamp>>,
    /// What becomes of those without a slot.
    forecasts: Vec<Forecast>,
}

impl Plan<'_> {
    /// Plans these sends as the release function does.
    fn of(&self, waiting: &[Listed]) -> PlannedSends {
        let mut at = vec![None; waiting.len()];
        let (mut outstanding, mut expected, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
        for (index, listed) in waiting.iter().enumerate() {
            let &Listed { class, order, deadline, .. } = listed;
            // What is planned is DMs.
            if class.is_public() {
                continue;
            }
            let Some(free_at) = self.free_at(listed) else { continue };
            match listed.stage {
                Stage::Sending { .. } | Stage::Unknown(_) => {}
                Stage::Queued { due } if due >= free_at || free_at <= self.now => {
                    outstanding.push((class, due));
                    at[index] = Some(due.max(self.now));
                }
                // One whose slot comes during a hold is parked, and gets another one.
                Stage::Queued { .. } | Stage::Parked => {
                    expected.push(Expected { class, arrives: free_at, deadline, order });
                    indexes.push(index);
                }
            }
        }
        let forecasts =
            forecast(self.rules, self.budget, self.cursor, self.now, &outstanding, &expected);
        for (&index, forecast) in indexes.iter().zip(&forecasts) {
            if let Forecast::Sent(sent_at) = forecast {
                at[index] = Some(*sent_at);
            }
        }
        PlannedSends { at, forecasts }
    }

    /// The first instant at which nothing but its turn keeps a send from going; `None` where
    /// somebody must do something first.
    fn free_at(&self, listed: &Listed) -> Option<Timestamp> {
        if self.opens_at == Timestamp::NEVER || self.campaigns.is_paused(&listed.campaign) {
            return None;
        }
        let refusals = &self.budget.holds.refusals;
        let of_campaign = refusals.campaign_held_until(&listed.campaign, self.now);
        let waits = of_campaign.into_iter().chain(listed.not_before);
        Some(waits.fold(self.opens_at, Timestamp::max))
    }
}

impl Overview {
    /// Takes in what waits: counts it, and when it will go.
    fn plan(&mut self, plan: &Plan<'_>, waiting: &Listing) {
        let &Listing { sends: ref waiting, extent } = waiting;
        self.backlog.extent = extent;
        let mut by_campaign: HashMap<&CampaignId, u32> = HashMap::new();
        for listed in waiting {
            if !listed.class.is_public() {
                *by_campaign.entry(&listed.campaign).or_default() += 1;
                self.stuck += u32::from(plan.free_at(listed).is_none());
            }
            let of_lane = &mut self.backlog.lanes[usize::from(listed.class.lane.rank())];
            match listed.stage {
                Stage::Queued { .. } | Stage::Sending { .. } | Stage::Unknown(_) => {
                    of_lane.queued += 1;
                }
                Stage::Parked => of_lane.parked += 1,
            }
        }
        self.by_campaign =
            by_campaign.into_iter().map(|(campaign, count)| (campaign.clone(), count)).collect();
        self.by_campaign.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        let PlannedSends { at, forecasts } = plan.of(waiting);
        let all: Vec<Timestamp> = at.into_iter().flatten().collect();
        self.next_at = all.iter().min().copied();
        self.last_at = all.iter().max().copied();
        self.outlook = match self.backlog.extent {
            // Release has read them all.
            Extent::First if plan.opens_at != Timestamp::NEVER => plan.cursor.outlook,
            Extent::All if !(all.is_empty() && forecasts.is_empty()) => {
                Some(Outlook::of(&forecasts, plan.now))
            }
            Extent::First | Extent::All => None,
        };
        if extent == Extent::First {
            let in_time = self.outlook.filter(|outlook| outlook.late < outlook.waiting);
            self.last_at = in_time.map(|outlook| outlook.last).max(self.last_at);
        }
        self.planned_by_hour = planned_by_hour(all, plan.now);
    }
}
