//! `spillway status`: what every account is, what is left of its quotas, what waits and until when;
//! once, or as a live view.

mod screen;
mod text;
mod watch;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_core::load::ByHour;
use spillway_core::send::Lane;
use spillway_core::status::{Condition, State};
use spillway_core::time::Timestamp;
use spillway_service::admin::overview::{Extent, Overview};
use spillway_service::port::MaintenanceRecords;

use crate::deployment::{Deployment, Where};
use crate::output::{Output, instant, parse_span};
use crate::progress::Progress;

pub(crate) use self::text::sentence;

/// Whose status, and how often.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway status                                  all accounts, the worst first
  spillway status 17841400000000001                one, with every quota, lane and hour
  spillway status --watch                          a live view; q ends it
  spillway status --json | jq -r '.accounts[] | select(.state != \"healthy\") | .account'

Waiting sends are read from the state table, up to 20,000 for each account. LEFT is the quota with the
least left. A time marked ~ is a forecast. Calls that ended in a 5xx are counted for this
hour and the one before it; the calls that a process made since its last decision are missing.")]
pub(crate) struct Options {
    /// Only this account
    account: Option<String>,
    /// Refresh continuously, on the whole terminal
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_span, requires = "watch")]
    every: Duration,
}

/// Accounts that are looked at a time.
const AT_ONCE: usize = 8;

/// What is printed.
#[derive(Serialize)]
struct Report {
    seen_at: Option<String>,
    accounts: Vec<Row>,
}

/// An account as programs read it.
#[derive(Serialize)]
struct Row {
    account: String,
    state: State,
    since: Option<String>,
    why: String,
    /// What happens next by itself, and when.
    next: String,
    next_at: Option<String>,
    /// All that it is, the gravest first.
    conditions: Vec<ConditionRow>,
    tier: u8,
    profile: String,
    quotas: Vec<QuotaRow>,
    backlog: Vec<LaneRow>,
    /// Whether the backlog has been read to its end.
    backlog_is_complete: bool,
    next_dm_at: Option<String>,
    /// A forecast.
    last_dm_at: Option<String>,
    /// Of those that wait for a slot, how many will probably be too late.
    late: Option<u32>,
    token_ends_at: Option<String>,
    last_webhook_at: Option<String>,
    calls: CallsRow,
    /// DMs in each of the last 24 hours, the latest last.
    sent_by_hour: Option<ByHour>,
    /// DMs planned for each of the next 24 hours.
    planned_by_hour: ByHour,
}

#[derive(Serialize)]
struct ConditionRow {
    state: State,
    since: Option<String>,
    why: String,
    next: String,
    next_at: Option<String>,
}

#[derive(Serialize)]
struct QuotaRow {
    quota: String,
    used: u32,
    limit: u32,
    fits_at: Option<String>,
}

/// Calls of this hour and the one before it. Each process writes down those that it made with its
/// next decision: the last ones may be missing.
#[derive(Serialize)]
struct CallsRow {
    since: Option<String>,
    made: u32,
    /// Of these, calls that ended in a 5xx.
    server_errors: u32,
}

#[derive(Serialize)]
struct LaneRow {
    lane: Lane,
    queued: u32,
    parked: u32,
}

/// Looks, once or again and again.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let only = options.account.as_deref().map(AccountId::from);
    if options.watch {
        return watch::run(&deployment, only.as_ref(), options.every).await;
    }
    let overviews = look(&deployment, only.as_ref()).await?;
    let now = deployment.clock.now();
    output.print(&report(&overviews, now), || match (&only, overviews.as_slice()) {
        (Some(_), [overview]) => text::one(overview, now),
        _ => text::all(&overviews, now),
    })
}

/// Looks at all accounts, or at `only` that one; the gravest first.
async fn look(deployment: &Deployment, only: Option<&AccountId>) -> Result<Vec<Overview>> {
    let accounts = match only {
        Some(account) => vec![account.clone()],
        None => deployment.wiring.maintenance.accounts().await?,
    };
    let progress = Progress::new("accounts", accounts.len());
    let now = deployment.clock.now();
    let overviews = deployment.wiring.overviews();
    let looks = accounts.iter().map(|account| {
        let (overviews, progress) = (&overviews, &progress);
        async move {
            let overview = overviews.of(account, now).await;
            progress.advance(1);
            overview.with_context(|| format!("account {account}"))
        }
    });
    let found: Vec<Option<Overview>> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    progress.finish();
    let mut found: Vec<Overview> = found.into_iter().flatten().collect();
    if let (Some(account), []) = (only, found.as_slice()) {
        bail!("account {account} is not connected: `spillway account list` names those that are");
    }
    // Stable: within a state by id.
    found.sort_by_key(state);
    Ok(found)
}

fn worst(overview: &Overview) -> Option<&Condition> {
    overview.conditions.first()
}

fn state(overview: &Overview) -> State {
    worst(overview).map_or(State::Healthy, |condition| condition.state)
}

fn report(overviews: &[Overview], now: Timestamp) -> Report {
    Report { seen_at: instant(now), accounts: overviews.iter().map(row).collect() }
}

fn condition_row(condition: &Condition) -> ConditionRow {
    ConditionRow {
        state: condition.state,
        since: condition.since.and_then(instant),
        why: condition.why.to_string(),
        next: condition.next.to_string(),
        next_at: condition.next.at().and_then(instant),
    }
}

fn row(overview: &Overview) -> Row {
    let conditions: Vec<ConditionRow> = overview.conditions.iter().map(condition_row).collect();
    let first = worst(overview);
    let lanes = Lane::ALL.into_iter().zip(overview.backlog.lanes);
    Row {
        account: overview.account.to_string(),
        state: state(overview),
        since: first.and_then(|first| first.since).and_then(instant),
        why: first.map(|first| first.why.to_string()).unwrap_or_default(),
        next: first.map(|first| first.next.to_string()).unwrap_or_default(),
        next_at: first.and_then(|first| first.next.at()).and_then(instant),
        conditions,
        tier: u8::from(overview.tier),
        profile: overview.profile.clone(),
        quotas: overview
            .headroom
            .iter()
            .map(|headroom| QuotaRow {
                quota: headroom.quota.to_string(),
                used: headroom.used,
                limit: headroom.limit.get(),
                fits_at: instant(headroom.fits_at),
            })
            .collect(),
        backlog: lanes
            .map(|(lane, of)| LaneRow { lane, queued: of.queued, parked: of.parked })
            .collect(),
        backlog_is_complete: overview.backlog.extent == Extent::All,
        next_dm_at: overview.next_at.and_then(instant),
        last_dm_at: overview.outlook.and_then(|outlook| instant(outlook.last)),
        late: overview.outlook.map(|outlook| outlook.late),
        token_ends_at: overview.token.ends_at.and_then(instant),
        last_webhook_at: overview.last_seen.and_then(instant),
        calls: CallsRow {
            since: instant(overview.calls_since),
            made: overview.calls.calls,
            server_errors: overview.calls.server_errors,
        },
        sent_by_hour: overview.sent_by_hour,
        planned_by_hour: overview.planned_by_hour,
    }
}
