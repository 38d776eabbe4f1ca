//! What accounts are doing, as programs read it. What the figures mean, [`Overview`] says.

use serde::Serialize;
use spillway_core::campaign::{Period, Phase};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::load::ByHour;
use spillway_core::send::Lane;
use spillway_core::status::{Condition, State};
use spillway_core::time::Timestamp;

use super::instant::{instant, optional};
use super::overview::{Extent, Overview};
use super::refusal::RefusalView;
use super::{Several, Unreadable};

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// When.
    #[serde(serialize_with = "instant")]
    pub seen_at: Timestamp,
    /// The accounts, the gravest first.
    pub accounts: Vec<AccountStatus>,
    /// Accounts of which something is stored that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// What an account is doing, why, and what happens next.
#[derive(Clone, Debug, Serialize)]
pub struct AccountStatus {
    /// Its id.
    pub account: AccountId,
    /// Its gravest state.
    pub state: State,
    /// Since when.
    #[serde(serialize_with = "optional")]
    pub since: Option<Timestamp>,
    /// Why, in words.
    pub why: String,
    /// What happens next by itself, in words.
    pub next: String,
    /// The instant when that happens.
    #[serde(serialize_with = "optional")]
    pub next_at: Option<Timestamp>,
    /// Every condition that applies, the worst first.
    pub conditions: Vec<ConditionView>,
    /// Campaigns that have not begun yet, or are over.
    pub outside: Vec<OutsideView>,
    /// Its tier.
    pub tier: u8,
    /// The time zone of its day.
    pub time_zone: String,
    /// The name of its profile.
    pub profile: String,
    /// What is left of each quota.
    pub quotas: Vec<QuotaView>,
    /// What waits, by lane.
    pub backlog: Vec<LaneView>,
    /// Whether the backlog has been read to its end.
    pub backlog_is_complete: bool,
    /// The instant when the next DM goes out.
    #[serde(serialize_with = "optional")]
    pub next_dm_at: Option<Timestamp>,
    /// The instant when the last one does: a forecast.
    #[serde(serialize_with = "optional")]
    pub last_dm_at: Option<Timestamp>,
    /// Of those that wait for a slot, how many will probably be too late.
    pub late: Option<u32>,
    /// The instant when its token ends.
    #[serde(serialize_with = "optional")]
    pub token_ends_at: Option<Timestamp>,
    /// The instant when a webhook last told of it.
    #[serde(serialize_with = "optional")]
    pub last_webhook_at: Option<Timestamp>,
    /// Its calls.
    pub calls: CallsView,
    /// The last refusal by Meta that held the account or a campaign, of the last seven days.
    pub last_refusal: Option<RefusalView>,
    /// Until when a human has the last thread that one has taken over: no campaign writes there.
    #[serde(serialize_with = "optional")]
    pub human_until: Option<Timestamp>,
    /// DMs in each of the last 24 hours, the latest last.
    pub sent_by_hour: Option<ByHour>,
    /// DMs planned for each of the next 24 hours.
    pub planned_by_hour: ByHour,
}

/// A condition of an account.
#[derive(Clone, Debug, Serialize)]
pub struct ConditionView {
    /// The state that it puts the account in.
    pub state: State,
    /// Since when.
    #[serde(serialize_with = "optional")]
    pub since: Option<Timestamp>,
    /// Why, in words.
    pub why: String,
    /// What happens next by itself, in words.
    pub next: String,
    /// The instant when that happens.
    #[serde(serialize_with = "optional")]
    pub next_at: Option<Timestamp>,
}

/// A campaign that matches nothing now because of its start or end.
#[derive(Clone, Debug, Serialize)]
pub struct OutsideView {
    /// The campaign.
    pub campaign: CampaignId,
    /// scheduled or ended.
    pub state: &'static str,
    /// The instant when it begins or has ended.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
}

/// A quota of an account.
#[derive(Clone, Debug, Serialize)]
pub struct QuotaView {
    /// Its name.
    pub quota: String,
    /// Units that are taken.
    pub used: u32,
    /// Units that there are.
    pub limit: u32,
    /// The instant when the next unit fits.
    #[serde(serialize_with = "instant")]
    pub fits_at: Timestamp,
}

/// Calls of this hour and the one before it. Each process writes down those that it made with its
/// next decision: the last ones may be missing.
#[derive(Clone, Debug, Serialize)]
pub struct CallsView {
    /// The instant when the counted span of two hours began.
    #[serde(serialize_with = "instant")]
    pub since: Timestamp,
    /// How many were made.
    pub made: u32,
    /// Of these, calls that ended in a 5xx.
    pub server_errors: u32,
}

/// Sends of a lane that wait.
#[derive(Clone, Debug, Serialize)]
pub struct LaneView {
    /// The lane.
    pub lane: Lane,
    /// Have a slot, or are being sent.
    pub queued: u32,
    /// Wait for a slot.
    pub parked: u32,
}

impl StatusView {
    /// Shows accounts that were looked at.
    pub fn of(overviews: &Several<Overview>, seen_at: Timestamp) -> Self {
        let Several { read, unreadable } = overviews;
        let accounts = read.iter().map(AccountStatus::from).collect();
        Self { seen_at, accounts, unreadable: unreadable.clone() }
    }
}

impl From<&Condition> for ConditionView {
    fn from(condition: &Condition) -> Self {
        Self {
            state: condition.state,
            since: condition.since,
            why: condition.why.to_string(),
            next: condition.next.to_string(),
            next_at: condition.next.at(),
        }
    }
}

impl From<&(CampaignId, Period, Phase)> for OutsideView {
    fn from((campaign, period, phase): &(CampaignId, Period, Phase)) -> Self {
        let (state, at) = match phase {
            Phase::Over => ("ended", period.ends_at),
            Phase::Before | Phase::Open => ("scheduled", period.begins_at),
        };
        Self { campaign: campaign.clone(), state, at }
    }
}

impl From<&Overview> for AccountStatus {
    fn from(overview: &Overview) -> Self {
        let first = overview.worst();
        let lanes = Lane::ALL.into_iter().zip(overview.backlog.lanes);
        let quotas = overview.headroom.iter().map(|headroom| QuotaView {
            quota: headroom.quota.to_string(),
            used: headroom.used,
            limit: headroom.limit.get(),
            fits_at: headroom.fits_at,
        });
        Self {
            account: overview.account.clone(),
            state: overview.state(),
            since: first.and_then(|first| first.since),
            why: first.map(|first| first.why.to_string()).unwrap_or_default(),
            next: first.map(|first| first.next.to_string()).unwrap_or_default(),
            next_at: first.and_then(|first| first.next.at()),
            conditions: overview.conditions.iter().map(ConditionView::from).collect(),
            outside: overview.outside.iter().map(OutsideView::from).collect(),
            tier: overview.tier.into(),
            time_zone: overview.time_zone.to_string(),
            profile: overview.profile.clone(),
            quotas: quotas.collect(),
            backlog: lanes
                .map(|(lane, of)| LaneView { lane, queued: of.queued, parked: of.parked })
                .collect(),
            backlog_is_complete: overview.backlog.extent == Extent::All,
            next_dm_at: overview.next_at,
            last_dm_at: overview.last_at,
            late: overview.outlook.map(|outlook| outlook.late),
            token_ends_at: overview.token.ends_at,
            last_webhook_at: overview.last_seen,
            calls: CallsView {
                since: overview.calls_since,
                made: overview.calls.calls,
                server_errors: overview.calls.server_errors,
            },
            last_refusal: overview.last_refusal.as_ref().map(RefusalView::from),
            human_until: overview.human_until,
            sent_by_hour: overview.sent_by_hour,
            planned_by_hour: overview.planned_by_hour,
        }
    }
}
