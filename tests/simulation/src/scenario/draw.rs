//! Draws a scenario: what goes wrong, how much, when, and with which quotas.

use std::num::NonZeroU32;
use std::ops::Range;

use spillway_core::id::AccountId;

use super::people::{self, Pattern};
use super::{AccountPlan, Counted, Outage, Processes, Rates, Row, Scenario, Spell, Trouble};
use crate::dice::Dice;
use crate::meta::Refusal;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// 2026-09-21T14:13:20Z.
const SOME_DAY: u64 = 1_790_000_000_000;

/// The longest hold that may begin just before the trouble ends: two days, a fifth more, and the
/// run of the release function that finds it over.
const HOLD_MAX: u64 = 60 * HOUR;

/// What a run may take beyond what its quotas and holds ask for.
const SLACK: u64 = 12 * HOUR;

impl Scenario {
    /// The scenario of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = SOME_DAY + dice.between(0..=DAY);
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
        let accounts: Vec<AccountPlan> = account_ids(dice)
            .into_iter()
            .enumerate()
            .map(|(nth, id)| account(dice, id, nth as u64, start))
            .collect();
        let rates = rates(dice, trouble);
        let last = accounts.iter().flat_map(|account| &account.comments);
        let last = last.map(|comment| comment.made_at).max().unwrap_or(start);
        let rough = match trouble {
            Trouble::None => 0,
            _ => last - start + dice.between(5 * MINUTE..=6 * HOUR),
        };
        let calm_at = start + rough;
        let drained = accounts.iter().map(drain).max().unwrap_or_default();
        let held = if trouble == Trouble::None { 0 } else { HOLD_MAX };
        Self {
            seed,
            trouble,
            start,
            posts: people::posts(dice, &accounts, rates.post_repeated),
            processes: processes(dice),
            outages: outages(dice, trouble, start..calm_at),
            spells: spells(dice, trouble, &accounts, start..calm_at),
            rates,
            calm_at,
            end: calm_at.max(last) + held + drained + drained / 2 + SLACK,
            accounts,
        }
    }
}

fn account_ids(dice: &mut Dice) -> Vec<AccountId> {
    let count = dice.weighted(&[(1, 5), (2, 3), (3, 1), (4, 1)]);
    (1..=count).map(|n: u64| AccountId::new(format!("1784140000000000{n}"))).collect()
}

fn account(dice: &mut Dice, id: AccountId, nth: u64, start: u64) -> AccountPlan {
    let pattern = dice.weighted(&[(Pattern::Viral, 5), (Pattern::Steady, 3), (Pattern::Live, 2)]);
    let most = dice.weighted(&[(5, 2), (40, 4), (150, 3), (400, 1)]);
    let count = dice.between(1..=most);
    let comments = people::comments(dice, &id, nth, pattern, count, start);
    let removed = dice.chance(0.03);
    let rows = rows(dice, count);
    AccountPlan {
        rules: super::rules(&rows),
        rows,
        campaign: people::campaign(dice),
        removed_at: removed.then(|| start + dice.between(MINUTE..=2 * HOUR)),
        id,
        comments,
    }
}

/// Quotas under which `count` comments are through within two days.
fn rows(dice: &mut Dice, count: u64) -> Vec<Row> {
    let style = dice.weighted(&[(Style::Small, 6), (Style::Real, 2), (Style::Day, 2)]);
    let mut row = |id, counts, window: u64, least: u64, most: u64| {
        let limit = dice.between(least..=most.max(least));
        let limit = NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX));
        Row { id, counts, window, limit: limit.unwrap_or(NonZeroU32::MIN) }
    };
    match style {
        Style::Small => {
            let least = count / 100 + 1;
            vec![
                row("calls", Counted::Calls, 60 * SECOND, least, 30),
                row("replies", Counted::PrivateReplies, 300 * SECOND, least, 60),
                row("live", Counted::LiveReplies, SECOND, 1, 50),
                row("recipients", Counted::Recipients, 1800 * SECOND, count / 8 + 1, 200),
            ]
        }
        Style::Real => vec![
            row("calls", Counted::Calls, HOUR, 200, 200),
            row("replies", Counted::PrivateReplies, HOUR, 750, 750),
            row("live", Counted::LiveReplies, SECOND, 100, 100),
            row("recipients", Counted::Recipients, DAY, 1000, 1000),
        ],
        Style::Day => vec![
            row("calls", Counted::Calls, HOUR, 40, 200),
            row("replies", Counted::PrivateReplies, HOUR, 20, 750),
            row("live", Counted::LiveReplies, SECOND, 1, 100),
            row("recipients", Counted::Recipients, DAY, count / 2 + 1, count + 10),
        ],
    }
}

#[derive(Clone, Copy)]
enum Style {
    /// Windows of seconds and minutes: a run is short and full of denials.
    Small,
    /// The default profile's.
    Real,
    /// A day's limit that binds.
    Day,
}

/// What an account's comments take at most, were nothing to go wrong: each window filled by units
/// of the worst mix, one after the other.
fn drain(account: &AccountPlan) -> u64 {
    let count = account.comments.len() as u64;
    let rows = account.rows.iter();
    rows.map(|row| {
        let windows = count.div_ceil(u64::from(row.limit.get()));
        windows * (row.window + row.window / 50 + 10 * SECOND)
    })
    .max()
    .unwrap_or_default()
}

fn processes(dice: &mut Dice) -> Processes {
    let mut some = |most| dice.between(1..=most) as usize;
    Processes { webhook: some(4), sender: some(6), release: some(3) }
}

fn rates(dice: &mut Dice, trouble: Trouble) -> Rates {
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
    }
}

fn outages(dice: &mut Dice, trouble: Trouble, rough: Range<u64>) -> Vec<(Outage, Range<u64>)> {
    let kinds: &[Outage] = match trouble {
        Trouble::Store => &[Outage::Store],
        Trouble::Queues => &[Outage::Queues],
        Trouble::Meta => &[Outage::Meta],
        Trouble::All => &[Outage::Store, Outage::Queues, Outage::Meta],
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

fn spells(
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
                ((Refusal::Limit, 20 * MINUTE), 6),
                ((Refusal::TokenDead, 3 * HOUR), 2),
                ((Refusal::Permission, HOUR), 1),
                ((Refusal::Blocked, 2 * HOUR), 1),
            ]);
            let account = match dice.chance(0.2) {
                true => None,
                false => Some(accounts[dice.index(accounts.len())].id.clone()),
            };
            Spell { account, span: span(dice, &rough, longest), refusal }
        })
        .collect()
}

/// A span inside `within`, of up to `longest`.
fn span(dice: &mut Dice, within: &Range<u64>, longest: u64) -> Range<u64> {
    let from = dice.between(within.start..=within.end);
    let until = from + dice.between(SECOND..=longest);
    from..until.min(within.end)
}
