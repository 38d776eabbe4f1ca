//! Draws what operators do while comments come: they apply files, pause and resume a campaign,
//! forget people, and remove accounts and connect them again.

use std::ops::Range;

use spillway_core::campaign::Campaign;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::quota::Tier;
use spillway_service::admin::plan::Unnamed;

use super::limits::{BY_HAND, Base, Limits, Other, Pace, Shape};
use super::one_account::EIGHT;
use super::{AccountPlan, Headers, Processes, Rates, Scenario, Theme, Trouble, Unknowns};
use super::{HOLD_MAX, draw, people, upkeep};
use crate::dice::Dice;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long tokens are good for at least: longer than any hold.
const TOKEN_LEFT: u64 = 8 * DAY;

/// How long it goes on after everything is sent: upkeep calls for each account once a day.
const AFTERWARDS: u64 = 2 * DAY;

/// What an operator does with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Applies a file.
    Apply(File),
    /// Pauses the campaign.
    Pause,
    /// Resumes it.
    Resume,
    /// Forgets a person.
    Forget(RecipientId),
    /// Lets what failed wait again, if no second DM can come of it.
    Retry,
    /// Sends the account's last campaign to all who comment, in the run of this name.
    Send(String),
    /// Removes the account.
    Remove,
    /// Connects the account, with the token of its owner's login.
    Connect,
}

/// What a file says of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Whether it names the limits that the account changes to.
    pub(crate) has_limits: bool,
    /// Its campaigns.
    pub(crate) campaigns: Vec<Campaign>,
    /// What becomes of the campaigns that it does not name.
    pub(crate) unnamed: Unnamed,
}

impl Order {
    /// Whether comments may find no campaign from when it is begun until the next of
    /// [`Self::is_wanting_again`] is done.
    pub(crate) fn is_unwanting(&self) -> bool {
        match self {
            Self::Pause | Self::Remove => true,
            Self::Apply(file) => file.unnamed == Unnamed::Go,
            Self::Resume | Self::Forget(_) | Self::Retry | Self::Send(_) | Self::Connect => false,
        }
    }

    /// Whether comments find the campaign again when it is done.
    pub(crate) fn is_wanting_again(&self) -> bool {
        match self {
            Self::Resume | Self::Connect => true,
            Self::Apply(file) => file.unnamed == Unnamed::Stay && !file.campaigns.is_empty(),
            Self::Pause | Self::Forget(_) | Self::Retry | Self::Send(_) | Self::Remove => false,
        }
    }
}

impl Scenario {
    /// The administration of a seed.
    pub(crate) fn administration(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=6 * HOUR);
        let trouble = dice.weighted(&[
            (Trouble::None, 10),
            (Trouble::Store, 25),
            (Trouble::Queues, 10),
            (Trouble::Kills, 30),
            (Trouble::Meta, 10),
            (Trouble::Clocks, 5),
            (Trouble::Brink, 10),
            (Trouble::All, 15),
        ]);
        let count = dice.between(1..=2);
        let accounts: Vec<AccountPlan> = (0..count).map(|nth| account(dice, nth, start)).collect();
        let rates = draw::rates(dice, trouble);
        let mut posts = people::posts(dice, &accounts, rates.post_repeated);
        posts.sort_by_key(|post| post.at);
        let last = posts.last().map_or(start, |post| post.at);
        let orders = accounts.iter().flat_map(|account| &account.orders);
        let last = orders.map(|&(at, _)| at).max().unwrap_or(start).max(last);
        let calm_at = match trouble {
            Trouble::None => start,
            _ => last + dice.between(5 * MINUTE..=2 * HOUR),
        };
        let drained = draw::drained(&accounts, None, start);
        Self {
            theme: Theme::Administration,
            seed,
            unknowns: Unknowns::drawn(Theme::Administration, seed),
            trouble,
            start,
            app: None,
            posts,
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 3, sender: 4, release: 2, tool: 1, upkeep: 1 },
            outages: draw::outages(dice, trouble, start..calm_at),
            spells: Vec::new(),
            rates: Rates { connect: 0.05, ..rates },
            calm_at,
            end: calm_at.max(last) + HOLD_MAX + 2 * drained + AFTERWARDS,
            prompt: None,
            accounts,
        }
    }
}

fn account(dice: &mut Dice, nth: u64, start: u64) -> AccountPlan {
    let id = AccountId::new(format!("1784140000000000{}", nth + 1));
    let pattern = dice.weighted(&[(people::Pattern::Viral, 3), (people::Pattern::Steady, 2)]);
    let most = dice.pick(&[5, 40, 150]);
    let count = dice.between(1..=most);
    let mut account = AccountPlan {
        disclosure: None,
        limits: limits(dice, count, start),
        campaigns: vec![people::campaign(dice)],
        comments: people::comments(dice, &id, nth, pattern, count, start),
        messages: Vec::new(),
        events: Vec::new(),
        begins_at: None,
        removed_at: None,
        unreadable: None,
        kept: None,
        orders: Vec::new(),
        id,
    };
    let mut kept = upkeep::kept(dice, &account, start, HOUR, TOKEN_LEFT);
    (kept.losses, kept.silent_from, kept.patience) = (Vec::new(), None, None);
    kept.requests.clear();
    account.kept = Some(kept);
    let last = account.comments.last().map_or(start, |comment| comment.made_at);
    account.orders = orders(dice, &account, start..last + HOUR);
    account
}

/// Limits that an operator may change.
fn limits(dice: &mut Dice, dms: u64, start: u64) -> Limits {
    let base = match dice.between(0..=2) {
        0 => Base::Careful,
        1 => Base::Meta,
        _ => Base::Rows(draw::small_rows(dice, dms)),
    };
    let is_spread = matches!(base, Base::Careful);
    let tier = dice.pick(&[Tier::One, Tier::Two, Tier::Three]);
    let other = Other {
        from: BY_HAND,
        tier: dice.pick(&[Tier::One, Tier::Two, Tier::Three]),
        base: draw::other_base(dice, &base, is_spread),
    };
    let shape = Shape {
        base,
        pace: if is_spread { Pace::Spread } else { Pace::Free },
        tier,
        other: Some(other),
        new_since: None,
        zone: "UTC",
        starts: 8,
    };
    Limits::new(shape, start)
}

/// Orders, ascending. What stops a campaign is followed by what lets it go on.
fn orders(dice: &mut Dice, account: &AccountPlan, within: Range<u64>) -> Vec<(u64, Order)> {
    #[derive(Clone, Copy)]
    enum Act {
        Limits,
        Texts,
        Pause,
        Drop,
        Forget,
        Retry,
        Remove,
    }
    let mut orders = Vec::new();
    let mut at = within.start;
    for _ in 0..dice.between(1..=6) {
        at += dice.between(0..=(within.end - within.start) / 2);
        let act = dice.weighted(&[
            (Act::Limits, 3),
            (Act::Texts, 2),
            (Act::Pause, 4),
            (Act::Drop, 2),
            (Act::Forget, 4),
            (Act::Retry, 3),
            (Act::Remove, 2),
        ]);
        let file = |has_limits, campaigns: &[Campaign], unnamed| {
            Order::Apply(File { has_limits, campaigns: campaigns.to_vec(), unnamed })
        };
        let (order, then) = match act {
            Act::Limits => (file(true, &[], Unnamed::Stay), None),
            Act::Texts => {
                let other = people::campaign_of("oldest_first", &["Here you are."]);
                (file(false, &[other], Unnamed::Stay), None)
            }
            Act::Pause => (Order::Pause, Some(Order::Resume)),
            Act::Drop => {
                let again = file(false, &account.campaigns, Unnamed::Stay);
                (file(false, &[], Unnamed::Go), Some(again))
            }
            Act::Forget => {
                let comments = account.comments.len();
                let person = account.comments[dice.index(comments)].author.clone();
                (Order::Forget(person), None)
            }
            Act::Retry => (Order::Retry, None),
            Act::Remove => (Order::Remove, Some(Order::Connect)),
        };
        orders.push((at, order));
        if let Some(then) = then {
            let longest = dice.pick(&[MINUTE, 20 * MINUTE, 3 * HOUR]);
            at += dice.between(1..=longest);
            orders.push((at, then));
        }
    }
    // Some accounts stay removed.
    if matches!(orders.last(), Some((_, Order::Connect))) && dice.chance(0.3) {
        orders.pop();
    }
    orders
}
