//! Draws a scenario: what goes wrong, how much, when, and with which quotas.

use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};

use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
use spillway_core::quota::{Scope, Tier};
use spillway_service::ingest::MessageLane;

use super::limits::{Base, Counted, Limits, Other, Pace, Row, Shape};
use super::people::{self, Pattern};
use super::{
    AccountPlan, Headers, Outage, Post, Processes, Rates, Scenario, Spell, Struck, Theme, Trouble,
    Unknowns,
};
use super::{HOLD_MAX, jobs, messages, upkeep};
use crate::dice::Dice;
use crate::meta::Refusal;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// 2026-09-21T14:13:20Z, and shortly before clocks are put forward and back, in Europe and in
/// America: 27 March, 23 October, 6 March and 30 October 2026.
const SOME_DAYS: [u64; 5] =
    [1_790_000_000_000, 1_774_569_600_000, 1_792_713_600_000, 1_772_755_200_000, 1_793_318_400_000];

/// What a run may take beyond what its quotas and holds ask for.
const SLACK: u64 = 12 * HOUR;

/// What upkeep may take beyond that: media that could not be read are tried again after a day at
/// most.
const UPKEEP_SLACK: u64 = 2 * DAY;

/// The calls that a window must hold for an account to be kept up: a visit makes some at once.
const READS_MIN: u32 = 10;

/// Comments on a page, as Meta has them at most.
const PAGE: usize = 50;

/// How long tokens are good for at least that upkeep has to renew: longer than any hold.
const UPKEEP_TOKEN_LEFT: u64 = 8 * DAY;

impl Scenario {
    /// Anything, from a seed.
    pub(crate) fn anything(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = dice.pick(&SOME_DAYS) + dice.between(0..=DAY);
        let trouble = dice.weighted(&[
            (Trouble::None, 10),
            (Trouble::Store, 15),
            (Trouble::Queues, 10),
            (Trouble::Kills, 15),
            (Trouble::Meta, 20),
            (Trouble::Clocks, 5),
            (Trouble::Brink, 10),
            (Trouble::All, 20),
        ]);
        // For longer than Meta repeats a delivery no clock may be wrong.
        let may_last = !matches!(trouble, Trouble::None | Trouble::Clocks | Trouble::All);
        let lasting = if may_last && dice.chance(0.1) { Lasting::Days } else { Lasting::Hours };
        let app = dice.chance(0.2).then(|| app_row(dice));
        let mut posts = Vec::new();
        let mut accounts = Vec::new();
        for (nth, id) in account_ids(dice).into_iter().enumerate() {
            let (account, entered) = account(dice, id, nth as u64, app, lasting, start);
            accounts.push(account);
            posts.extend(entered);
        }
        let rates = rates(dice, trouble);
        posts.extend(people::posts(dice, &accounts, rates.post_repeated));
        posts.sort_by_key(|post| post.at);
        let last = posts.last().map_or(start, |post| post.at);
        let rough = match trouble {
            Trouble::None => 0,
            _ => {
                let most = if lasting == Lasting::Days { 6 * DAY } else { 6 * HOUR };
                last - start + dice.between(5 * MINUTE..=most)
            }
        };
        let calm_at = start + rough;
        let headers = headers(dice, trouble, accounts.len());
        if matches!(trouble, Trouble::Store | Trouble::All) {
            for account in &mut accounts {
                account.unreadable =
                    dice.chance(0.1).then(|| span(dice, &(start..calm_at), 2 * HOUR));
            }
        }
        let drained = drained(&accounts, app, start);
        let held = if trouble == Trouble::None { 0 } else { HOLD_MAX };
        let mut end = calm_at.max(last) + held + drained + drained / 2 + SLACK;
        let jobs = jobs::jobs(dice, &accounts, start, last - start + HOUR);
        let mut processes = processes(dice);
        let outages = outages(dice, trouble, start..calm_at);
        let spells = spells(dice, trouble, &accounts, start..calm_at);
        // Some are kept up as well. What is found late must have time to be sent, and a comment
        // that was made before its campaign is wanted by chance.
        let may_be_kept = lasting == Lasting::Hours
            && drained < DAY
            && accounts.iter().all(|account| account.begins_at.is_none())
            && accounts.iter().all(|account| account.limits.reads() >= READS_MIN);
        if may_be_kept && dice.chance(0.1) {
            let lasts = (last - start).max(HOUR);
            for account in &mut accounts {
                let mut kept = upkeep::kept(dice, account, start, lasts, UPKEEP_TOKEN_LEFT);
                kept.listing.page = PAGE;
                account.kept = Some(kept);
            }
            processes.upkeep = 2;
            end += drained + UPKEEP_SLACK;
        }
        Self {
            theme: Theme::Anything,
            seed,
            unknowns: Unknowns::drawn(Theme::Anything, seed),
            trouble,
            start,
            app,
            posts,
            jobs,
            headers,
            processes,
            outages,
            spells,
            rates,
            calm_at,
            end,
            prompt: None,
            accounts,
        }
    }
}

/// What draining takes at most, were nothing to go wrong.
pub(super) fn drained(accounts: &[AccountPlan], app: Option<Row>, start: u64) -> u64 {
    let dms: u64 = accounts.iter().map(AccountPlan::dms).sum();
    let own = accounts.iter().map(|account| account.limits.drain(account.dms(), start)).max();
    let app = app.map(|row| {
        let [limit, ..] = row.limits.map(|limit| u64::from(limit.get()));
        // A slice that is not used up stays charged: half of what is leased, at the worst.
        2 * dms.div_ceil(limit * accounts.len() as u64) * (row.window + 2 * MINUTE)
    });
    own.unwrap_or_default() + app.unwrap_or_default()
}

pub(super) fn headers(dice: &mut Dice, trouble: Trouble, accounts: usize) -> Headers {
    match trouble {
        Trouble::Meta | Trouble::All if dice.chance(0.4) => {
            let mut span = || dice.between(10 * MINUTE..=12 * HOUR);
            Headers::Rising { app: span(), accounts: (0..accounts).map(|_| span()).collect() }
        }
        _ if dice.chance(0.3) => Headers::True(dice.pick(&[130, 200])),
        _ => Headers::Absent,
    }
}

fn account_ids(dice: &mut Dice) -> Vec<AccountId> {
    let count = dice.weighted(&[(1, 5), (2, 3), (3, 1), (4, 1)]);
    (1..=count).map(|n: u64| AccountId::new(format!("1784140000000000{n}"))).collect()
}

/// An account, and how its messages are entered.
fn account(
    dice: &mut Dice,
    id: AccountId,
    nth: u64,
    app: Option<Row>,
    lasting: Lasting,
    start: u64,
) -> (AccountPlan, Vec<Post>) {
    let pattern = dice.weighted(&[(Pattern::Viral, 5), (Pattern::Steady, 3), (Pattern::Live, 2)]);
    let most = dice.weighted(&[(5, 2), (40, 4), (150, 3), (400, 1)]);
    let count = dice.between(1..=most);
    let comments = people::comments(dice, &id, nth, pattern, count, start);
    let removed = dice.chance(0.03);
    let outbound = if dice.chance(0.25) { dice.between(1..=most) } else { 0 };
    let follow_ups = if dice.chance(0.25) { dice.between(1..=most / 2 + 1) } else { 0 };
    let answers = if dice.chance(0.25) { dice.between(1..=most / 2 + 1) } else { 0 };
    let mut account = AccountPlan {
        disclosure: None,
        limits: limits(dice, count + outbound + follow_ups + answers, app, lasting, start),
        campaigns: campaigns(dice),
        removed_at: removed.then(|| start + dice.between(MINUTE..=2 * HOUR)),
        begins_at: dice.chance(0.1).then(|| start + dice.between(0..=10 * MINUTE)),
        unreadable: None,
        kept: None,
        orders: Vec::new(),
        id,
        comments,
        messages: Vec::new(),
        events: Vec::new(),
    };
    let people = messages::people(dice, &account, nth);
    let mut posts = Vec::new();
    let lanes = [
        (MessageLane::Outbound, outbound),
        (MessageLane::FollowUp, follow_ups),
        (MessageLane::Answer, answers),
    ];
    for (lane, count) in lanes {
        let at = start + dice.between(0..=2 * HOUR);
        let mut messages = messages::messages(dice, nth, lane, &people, count, at);
        if lane != MessageLane::Answer {
            messages::put_off(dice, &mut messages, at);
        }
        posts.extend(messages::posts(dice, &account.id, &messages, at));
        account.messages.extend(messages);
    }
    (account, posts)
}

fn campaigns(dice: &mut Dice) -> Vec<Campaign> {
    vec![people::campaign(dice), messages::campaign()]
}

/// Limits under which `dms` are through within a few days.
fn limits(dice: &mut Dice, dms: u64, app: Option<Row>, lasting: Lasting, start: u64) -> Limits {
    let style = match app {
        Some(_) => Style::Small,
        None if lasting == Lasting::Days && dice.chance(0.5) => Style::Week,
        None => dice.weighted(&[
            (Style::Small, 9),
            (Style::Careful, 4),
            (Style::Meta, 2),
            (Style::Day, 2),
            (Style::Week, 1),
            (Style::Even, 3),
        ]),
    };
    let is_new = dice.chance(0.3) && matches!(style, Style::Careful | Style::Even);
    let base = match style {
        Style::Careful => Base::Careful,
        Style::Meta => Base::Meta,
        Style::Small => Base::Rows(small_rows(dice, dms).into_iter().chain(app).collect()),
        Style::Day => Base::Rows(day_rows(dice, dms / 2 + 5..=dms + 10)),
        // The last ones are nearly too late.
        Style::Week => Base::Rows(day_rows(dice, dms / 6 + 1..=dms / 5 + 1)),
        Style::Even => Base::Rows(even_rows(dice, dms)),
    };
    let spread = style == Style::Even || style == Style::Meta && dice.chance(0.5);
    let is_spread = spread || style == Style::Careful;
    let tier = dice.pick(&[Tier::One, Tier::Two, Tier::Three]);
    let other_tier = dice.chance(0.2).then(|| dice.pick(&[Tier::One, Tier::Two, Tier::Three]));
    let other_base = if dice.chance(0.2) { other_base(dice, &base, spread) } else { None };
    // Mostly soon: while there is still much to send.
    let soon = |dice: &mut Dice| {
        let within = dice.between(0..=12 * HOUR);
        within * within / (12 * HOUR)
    };
    let other = match (other_tier.filter(|&other| other != tier), other_base) {
        (None, None) => None,
        (other, base) => {
            Some(Other { from: start + soon(dice), tier: other.unwrap_or(tier), base })
        }
    };
    let shape = Shape {
        base,
        pace: if is_spread { Pace::Spread } else { Pace::Free },
        tier,
        other,
        new_since: is_new.then(|| start - dice.between(0..=40 * DAY)),
        zone: dice.pick(&ZONES),
        starts: dice.pick(&[0, 5, 8, 8, 8, 13, 22]),
    };
    Limits::new(shape, start)
}

/// Other rows for an account that has those of `base`: another profile, or a row that is new, has
/// another name, counts something else, or counts for longer or less long.
pub(super) fn other_base(dice: &mut Dice, base: &Base, spread: bool) -> Option<Base> {
    let mut rows = match base {
        Base::Careful => return Some(Base::Meta),
        Base::Meta => return spread.then_some(Base::Careful),
        Base::Rows(rows) => rows.clone(),
    };
    // The day's figure is what the spread divides, and live comments do not wait.
    let may_change = |row: &Row| {
        row.scope == Scope::Account && row.window < DAY && row.counts != Counted::LiveReplies
    };
    let of_those: Vec<usize> = (0..rows.len()).filter(|&nth| may_change(&rows[nth])).collect();
    let nth = *of_those.get(dice.index(of_those.len().max(1)))?;
    let windows = [60 * SECOND, 300 * SECOND, 1800 * SECOND, HOUR];
    match dice.between(0..=3) {
        0 => rows[nth].window = dice.pick(&windows),
        1 => rows[nth].id = "renamed",
        2 if rows[nth].counts != Counted::Recipients => {
            rows[nth].counts = dice.pick(&[Counted::Calls, Counted::Messages]);
        }
        _ => {
            let counts = dice.pick(&[Counted::Calls, Counted::Messages, Counted::PrivateReplies]);
            rows.push(Row { id: "new", window: dice.pick(&windows), counts, ..rows[nth] });
        }
    }
    Some(Base::Rows(rows))
}

/// Time zones: without clock changes, with one of an hour, with one of half an hour, far to the
/// east and to the west.
const ZONES: [&str; 7] = [
    "UTC",
    "Asia/Kolkata",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
];

/// How long trouble lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Hours,
    Days,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Windows of seconds and minutes: a run is short and full of denials.
    Small,
    /// The careful profile.
    Careful,
    /// Meta's own figures.
    Meta,
    /// A day's limit that binds.
    Day,
    /// A day's limit that binds for nearly a week.
    Week,
    /// A small day's limit that is spread.
    Even,
}

fn limit(number: u64) -> NonZeroU32 {
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

fn row(
    dice: &mut Dice,
    id: &'static str,
    counts: Counted,
    window: u64,
    limits: RangeInclusive<u64>,
) -> Row {
    Row::new(id, counts, window, limit(dice.between(limits)))
}

pub(super) fn small_rows(dice: &mut Dice, dms: u64) -> Vec<Row> {
    let least = dms / 100 + 1;
    let people = dms / 8 + 1;
    vec![
        row(dice, "calls", Counted::Calls, 60 * SECOND, least..=30.max(least)),
        row(dice, "replies", Counted::PrivateReplies, 300 * SECOND, least..=60.max(least)),
        row(dice, "live", Counted::LiveReplies, SECOND, 1..=50),
        row(dice, "recipients", Counted::Recipients, 1800 * SECOND, people..=200.max(people)),
    ]
}

fn day_rows(dice: &mut Dice, people: RangeInclusive<u64>) -> Vec<Row> {
    vec![
        row(dice, "calls", Counted::Calls, HOUR, 40..=200),
        row(dice, "replies", Counted::PrivateReplies, HOUR, 20..=750),
        row(dice, "live", Counted::LiveReplies, SECOND, 1..=100),
        row(dice, "recipients", Counted::Recipients, DAY, people),
    ]
}

fn even_rows(dice: &mut Dice, dms: u64) -> Vec<Row> {
    let mut messages = row(dice, "messages", Counted::Messages, DAY, dms / 2 + 10..=dms * 2 + 20);
    let [first, ..] = messages.limits.map(|first| u64::from(first.get()));
    messages.limits = [first, first * 3, first * 9].map(limit);
    vec![
        row(dice, "calls", Counted::Calls, 60 * SECOND, 5..=60),
        row(dice, "live", Counted::LiveReplies, SECOND, 1..=50),
        messages,
    ]
}

/// A quota of the app of which each account's share is less than it may call by itself.
fn app_row(dice: &mut Dice) -> Row {
    let window = dice.pick(&[60 * SECOND, 300 * SECOND]);
    let row = row(dice, "app", Counted::Calls, window, 4..=30);
    Row { scope: Scope::App, ..row }
}

fn processes(dice: &mut Dice) -> Processes {
    let mut some = |most| dice.between(1..=most) as usize;
    Processes { webhook: some(4), sender: some(6), release: some(3), tool: some(2), upkeep: 0 }
}

pub(super) fn rates(dice: &mut Dice, trouble: Trouble) -> Rates {
    let all = trouble == Trouble::All;
    if trouble == Trouble::Brink {
        return Rates { slow: 0.3, connect: 0.5, edge: 1.0, ..Rates::default() };
    }
    let mut rate = |of: Trouble, most: f64| {
        // Often little, seldom much.
        let share = dice.between(0..=1000) as f64 / 1000.0;
        if all || trouble == of { most * share * share } else { 0.0 }
    };
    Rates {
        slow: rate(Trouble::Store, 0.1),
        connect: 0.05,
        edge: 0.3,
        throttled: rate(Trouble::Store, 0.15),
        request_lost: rate(Trouble::Store, 0.05),
        answer_lost: rate(Trouble::Store, 0.05),
        message_refused: rate(Trouble::Queues, 0.1),
        message_repeated: rate(Trouble::Queues, 0.2),
        message_late: rate(Trouble::Queues, 0.2),
        delete_lost: rate(Trouble::Queues, 0.1),
        killed: rate(Trouble::Kills, 0.3),
        meta: rate(Trouble::Meta, 0.4),
        clock_wrong: rate(Trouble::Clocks, 0.6),
        clock_jumps: rate(Trouble::Clocks, 0.1),
        post_repeated: rate(Trouble::Queues, 0.5),
        killed_after_call: 0.0,
        page_refused: 0.0,
    }
}

pub(super) fn outages(
    dice: &mut Dice,
    trouble: Trouble,
    rough: Range<u64>,
) -> Vec<(Outage, Range<u64>)> {
    let kinds: &[Outage] = match trouble {
        Trouble::Store => &[Outage::Store, Outage::Batches],
        Trouble::Queues => &[Outage::Queues],
        Trouble::Meta => &[Outage::Meta],
        Trouble::All => &[Outage::Store, Outage::Batches, Outage::Queues, Outage::Meta],
        Trouble::None | Trouble::Kills | Trouble::Clocks | Trouble::Brink => &[],
    };
    let mut outages = Vec::new();
    for &kind in kinds {
        if dice.chance(0.3) {
            outages.push((kind, span(dice, &rough, HOUR)));
        }
    }
    outages
}

pub(super) fn spells(
    dice: &mut Dice,
    trouble: Trouble,
    accounts: &[AccountPlan],
    rough: Range<u64>,
) -> Vec<Spell> {
    if !matches!(trouble, Trouble::Meta | Trouble::All) {
        return Vec::new();
    }
    let count = dice.between(0..=2);
    (0..count)
        .map(|_| {
            let (refusal, longest) = dice.weighted(&[
                ((Refusal::Limit, 20 * MINUTE), 5),
                ((Refusal::AppLimit, 20 * MINUTE), 3),
                ((Refusal::TokenDead, 3 * HOUR), 2),
                ((Refusal::Permission, HOUR), 1),
                ((Refusal::Blocked, 2 * HOUR), 1),
                ((Refusal::PermissionUnclear, HOUR), 2),
                ((Refusal::SharedMedia, HOUR), 1),
                ((Refusal::Link, 3 * HOUR), 4),
                ((Refusal::AccountUnseen, 3 * HOUR), 4),
                ((Refusal::ObjectUnseen, 2 * HOUR), 1),
                ((Refusal::BadRequest, 2 * HOUR), 1),
                ((Refusal::ServerError, 3 * HOUR), 2),
            ]);
            let account = if dice.chance(0.2) {
                None
            } else {
                Some(accounts[dice.index(accounts.len())].id.clone())
            };
            Spell { account, span: span(dice, &rough, longest), refusal, strikes: Struck::All }
        })
        .collect()
}

/// A span inside `within`, of up to `longest`.
pub(super) fn span(dice: &mut Dice, within: &Range<u64>, longest: u64) -> Range<u64> {
    let from = dice.between(within.start..=within.end);
    let until = from + dice.between(SECOND..=longest);
    from..until.min(within.end)
}
