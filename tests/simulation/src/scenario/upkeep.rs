//! Draws days of upkeep: subscriptions that are lost, webhooks that stop, tokens near their end,
//! accounts that are restricted, and a Meta that refuses to go on behind a page of comments.

use std::num::NonZeroU32;
use std::ops::Range;

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::quota::Tier;

use super::limits::{Base, Counted, Limits, Pace, Row, Shape};
use super::one_account::EIGHT;
use super::{
    AccountPlan, Asked, Asks, CommentPlan, HOLD_MAX, Headers, KeptUp, ListOrder, Listing, Nature,
    Processes, Rates, Scenario, Spell, Struck, Surface, Theme, Trouble, Unknowns,
};
use super::{draw, people};
use crate::dice::Dice;
use crate::meta::Refusal;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long it goes on after the last hold that the trouble may bring: what could not be read to
/// the end is tried again after a day at most.
const AFTERWARDS: u64 = 2 * DAY;

/// An account with nothing but its trouble lasts for so long, and one that is restricted while its
/// token ends.
const LASTS: (u64, u64) = (DAY, 2 * DAY + 12 * HOUR);
const RESTRICTED: u64 = 10 * DAY;

/// How long a token must be good for that nothing keeps from being renewed, and one whose account
/// is on hold.
const TOKEN_LEFT: u64 = 30 * HOUR;
const TOKEN_LEFT_ON_HOLD: u64 = 8 * DAY;

impl Scenario {
    /// The upkeep of a seed.
    pub(crate) fn upkeep(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=DAY);
        let trouble = dice.weighted(&[
            (Trouble::None, 10),
            (Trouble::Store, 20),
            (Trouble::Queues, 5),
            (Trouble::Kills, 25),
            (Trouble::Meta, 25),
            (Trouble::Clocks, 5),
            (Trouble::All, 10),
        ]);
        let is_restricted = dice.chance(0.1);
        let lasts = if is_restricted { RESTRICTED } else { dice.between(LASTS.0..=LASTS.1) };
        let calm_at = start + lasts;
        let is_left = dice.chance(0.25);
        let may_hold = is_restricted || is_left || matches!(trouble, Trouble::Meta | Trouble::All);
        let token_left = if may_hold { TOKEN_LEFT_ON_HOLD } else { TOKEN_LEFT };
        let count = if is_restricted { 1 } else { dice.between(1..=3) };
        let accounts: Vec<AccountPlan> = (0..count)
            .map(|nth| {
                let mut account = account(dice, nth, start, lasts);
                if is_restricted {
                    let count = dice.between(25..=40);
                    account.comments = steady(dice, &account.id, nth, count, start, lasts);
                }
                account.kept = Some(kept(dice, &account, start, lasts, token_left));
                if let Some(kept) = &mut account.kept {
                    kept.pages_refused = pages_refused(dice, start, lasts);
                    if is_left {
                        kept.requests.extend(left(dice, &account.comments, start, lasts));
                        kept.requests.sort_by_key(|&(at, _)| at);
                    }
                }
                account
            })
            .collect();
        let rates = Rates {
            page_refused: if trouble == Trouble::Meta { 0.2 } else { 0.0 },
            killed_after_call: match trouble {
                Trouble::Kills => 0.1,
                Trouble::All => 0.03,
                _ => 0.0,
            },
            ..draw::rates(dice, trouble)
        };
        let mut posts = people::posts(dice, &accounts, rates.post_repeated);
        posts.sort_by_key(|post| post.at);
        let mut spells = draw::spells(dice, trouble, &accounts, start..calm_at);
        spells.extend(is_restricted.then_some(Spell {
            account: None,
            span: start..calm_at,
            refusal: Refusal::Blocked,
            strikes: Struck::Sends,
        }));
        // The app is held when nobody sends: only upkeep can find out whether that is over.
        spells.extend(dice.chance(0.3).then(|| Spell {
            account: None,
            span: draw::span(dice, &(start..calm_at), 2 * HOUR),
            refusal: Refusal::AppLimit,
            strikes: Struck::All,
        }));
        let drained = draw::drained(&accounts, None, start);
        let held = if may_hold || !spells.is_empty() { HOLD_MAX } else { DAY };
        Self {
            theme: Theme::Upkeep,
            seed,
            unknowns: Unknowns::drawn(Theme::Upkeep, seed),
            trouble,
            start,
            app: None,
            posts,
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 2, sender: 2, release: 1, tool: 1, upkeep: 2 },
            outages: draw::outages(dice, trouble, start..calm_at),
            spells,
            rates,
            calm_at,
            end: calm_at + held + drained + AFTERWARDS,
            prompt: None,
            accounts,
        }
    }
}

fn account(dice: &mut Dice, nth: u64, start: u64, lasts: u64) -> AccountPlan {
    let shape = Shape {
        base: match dice.between(0..=9) {
            0 => Base::Rows(vec![one_call_a_minute()]),
            1..=4 => Base::Careful,
            _ => Base::Meta,
        },
        pace: Pace::Free,
        tier: dice.pick(&[Tier::One, Tier::Two, Tier::Three]),
        other: None,
        new_since: None,
        zone: "UTC",
        starts: 8,
    };
    let id = AccountId::new(format!("1784140000000000{}", nth + 1));
    // Few, so that there are days without any.
    let most = dice.pick(&[2, 10, 40]);
    let count = dice.between(1..=most);
    let within = if dice.chance(0.5) { lasts } else { dice.between(HOUR..=lasts) };
    AccountPlan {
        disclosure: None,
        limits: Limits::new(shape, start),
        campaigns: vec![people::campaign(dice)],
        comments: steady(dice, &id, nth, count, start, within),
        messages: Vec::new(),
        events: Vec::new(),
        begins_at: None,
        removed_at: None,
        unreadable: None,
        kept: None,
        orders: Vec::new(),
        id,
    }
}

/// A quota under which no visit has a second call.
fn one_call_a_minute() -> Row {
    Row::new("calls", Counted::Calls, MINUTE, NonZeroU32::MIN)
}

/// Comments on posts, the first of them at once.
fn steady(
    dice: &mut Dice,
    account: &AccountId,
    nth: u64,
    count: u64,
    start: u64,
    within: u64,
) -> Vec<CommentPlan> {
    let mut comments: Vec<CommentPlan> = (0..count)
        .map(|n| {
            let asks = dice.weighted(&[(Asks::Wanted, 10), (Asks::Unwanted, 1), (Asks::Own, 1)]);
            let asks = if n == 0 { Asks::Wanted } else { asks };
            CommentPlan {
                id: CommentId::new(format!("178{nth}{n:09}")),
                made_at: if n == 0 { start } else { start + dice.between(0..=within) },
                author: match asks {
                    Asks::Own => RecipientId::new(account.as_str()),
                    Asks::Wanted | Asks::Unwanted => RecipientId::new(format!("5{nth}{n:09}")),
                },
                surface: Surface::Post,
                nature: Nature::Answerable,
                asks,
            }
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}

/// What there is to keep up of an account, over so many milliseconds. Its token is good for
/// `token_left` at least.
pub(super) fn kept(
    dice: &mut Dice,
    account: &AccountPlan,
    start: u64,
    lasts: u64,
    token_left: u64,
) -> KeptUp {
    let losses = (0..dice.pick(&[0, 1, 1, 3])).map(|_| loss(dice, account, start, lasts)).collect();
    KeptUp {
        token_ends: start + token_left + dice.between(0..=2 * DAY),
        is_end_known: dice.chance(0.8),
        patience: dice.chance(0.5).then_some(HOUR),
        losses,
        silent_from: dice.chance(0.35).then(|| loss(dice, account, start, lasts)),
        pages_refused: 0..0,
        listing: Listing {
            media: dice.between(1..=4),
            page: dice.pick(&[1, 3, 50]),
            order: dice.pick(&[
                ListOrder::NewestFirst,
                ListOrder::NewestFirst,
                ListOrder::OldestFirst,
            ]),
            tells_counts: dice.chance(0.8),
        },
        requests: if dice.chance(0.1) {
            vec![(start + dice.between(0..=lasts), Asked::Backfill)]
        } else {
            Vec::new()
        },
        is_dated_anew: dice.chance(0.5),
    }
}

/// When webhooks cease: at any time, or shortly before a comment.
fn loss(dice: &mut Dice, account: &AccountPlan, start: u64, lasts: u64) -> u64 {
    if dice.chance(0.3) {
        return start + dice.between(0..=lasts);
    }
    let comment = &account.comments[dice.index(account.comments.len())];
    (comment.made_at - dice.between(0..=HOUR / 2)).max(start)
}

/// The owner removes the app, and mostly connects the account again: sometimes before anybody has
/// taken note.
fn left(dice: &mut Dice, comments: &[CommentPlan], start: u64, lasts: u64) -> Vec<(u64, Asked)> {
    let at = if dice.chance(0.5) {
        start + dice.between(0..=lasts)
    } else {
        // While it waits for its answer.
        comments[dice.index(comments.len())].made_at + dice.between(0..=5 * MINUTE)
    };
    let within = dice.pick(&[5 * MINUTE, HOUR / 2, 3 * HOUR, DAY]);
    let again = at + dice.between(1..=within);
    match dice.between(0..=9) {
        0..=1 => vec![(at, Asked::Delete)],
        2..=5 => vec![(at, Asked::Delete), (again, Asked::Connect)],
        _ => vec![(at, Asked::Deauthorize), (again, Asked::Connect)],
    }
}

fn pages_refused(dice: &mut Dice, start: u64, lasts: u64) -> Range<u64> {
    let from = start + dice.between(0..=lasts);
    from..from + dice.pick(&[0, 0, HOUR, 12 * HOUR])
}
