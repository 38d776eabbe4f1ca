//! Draws a campaign of hundreds of messages, and a few comments that come while it runs: nothing
//! goes wrong, and nobody who comments waits for those who did not.

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::quota::Tier;
use spillway_service::ingest::MessageLane;

use super::limits::{Base, Limits, Pace, Shape};
use super::{
    AccountPlan, Asks, CommentPlan, Headers, Nature, Processes, Rates, Scenario, Surface, Theme,
    Trouble, Unknowns,
};
use super::{messages, people};
use crate::dice::Dice;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// 2026-09-21T08:00:00Z, when the day of an account that follows UTC begins.
const EIGHT: u64 = 1_789_977_600_000;

/// Comments are at least that far apart: beyond the even pace only few are made room for.
const APART: u64 = 30 * MINUTE;

impl Scenario {
    /// The campaign of a seed.
    pub(crate) fn campaign(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=6 * HOUR);
        let base = if dice.chance(0.7) { Base::Careful } else { Base::Meta };
        let shape = Shape {
            base,
            pace: Pace::Spread,
            tier: dice.pick(&[Tier::One, Tier::Two, Tier::Three]),
            other: None,
            new_since: None,
            zone: "UTC",
            starts: 8,
        };
        let limits = Limits::new(shape, start);
        let slot = limits.slot();
        let id = AccountId::new("17841400000000001");
        let count = dice.between(300..=900);
        let lasts = (count * slot).min(8 * HOUR);
        let mut account = AccountPlan {
            disclosure: None,
            id: id.clone(),
            limits,
            campaigns: vec![people::campaign(dice), messages::campaign()],
            comments: comments(dice, start + MINUTE, lasts),
            messages: Vec::new(),
            events: Vec::new(),
            begins_at: None,
            removed_at: None,
            unreadable: None,
            kept: None,
            orders: Vec::new(),
        };
        let crowd: Vec<RecipientId> =
            (0..count).map(|n| RecipientId::new(format!("6{n:09}"))).collect();
        account.messages = messages::messages(dice, 0, MessageLane::Outbound, &crowd, count, start);
        let mut posts = messages::posts(dice, &id, &account.messages, start);
        let accounts = vec![account];
        posts.extend(people::posts(dice, &accounts, 0.0));
        posts.sort_by_key(|post| post.at);
        let drained = accounts[0].limits.drain(count, start);
        Self {
            theme: Theme::Campaign,
            seed,
            unknowns: Unknowns::drawn(Theme::Campaign, seed),
            trouble: Trouble::None,
            start,
            app: None,
            posts,
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 2, sender: 4, release: 1, tool: 1, upkeep: 0 },
            outages: Vec::new(),
            spells: Vec::new(),
            rates: Rates::default(),
            calm_at: start,
            end: start + 2 * drained,
            prompt: Some(2 * slot),
            accounts,
        }
    }
}

/// A comment now and then for as long as the campaign lasts.
fn comments(dice: &mut Dice, from: u64, lasts: u64) -> Vec<CommentPlan> {
    let mut at = from + dice.between(0..=APART.min(lasts / 2));
    let mut comments = Vec::new();
    while at < from + lasts * 9 / 10 {
        let n = comments.len();
        comments.push(CommentPlan {
            id: CommentId::new(format!("178{n:09}")),
            made_at: at,
            author: RecipientId::new(format!("5{n:09}")),
            surface: Surface::Post,
            nature: Nature::Answerable,
            asks: Asks::Wanted,
        });
        at += APART + dice.between(0..=HOUR);
    }
    comments
}
