//! Draws a crowd: many deliveries at the same instant, some of broadcasts, some of accounts of
//! which nothing can be read. Nothing else goes wrong, and everybody is answered as soon as there
//! are slots.

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::quota::Tier;

use super::limits::{Base, Limits, Pace, Shape};
use super::one_account::EIGHT;
use super::people;
use super::{
    AccountPlan, Asks, CommentPlan, Headers, Nature, Outage, Processes, Rates, Scenario, Surface,
    Theme, Trouble, Unknowns,
};
use crate::dice::Dice;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Deliveries that come at once, at most: more would have to wait for Meta to repeat them.
const AT_ONCE: u64 = 24;

/// What the schedule, a run and the send itself take beyond the slots.
const SLACK: u64 = 100 * SECOND;

impl Scenario {
    /// The crowd of a seed.
    pub(crate) fn crowd(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=HOUR);
        let shape = Shape {
            base: Base::Meta,
            pace: Pace::Free,
            tier: Tier::Two,
            other: None,
            new_since: None,
            zone: "UTC",
            starts: 8,
        };
        let limits = Limits::new(shape, start);
        // In every third crowd all write below one broadcast.
        let healthy = if dice.chance(0.3) { 1 } else { dice.between(1..=3) };
        let most = dice.between(1..=AT_ONCE);
        let mut accounts: Vec<AccountPlan> = (0..healthy)
            .map(|nth| AccountPlan {
                disclosure: None,
                id: AccountId::new(format!("1784140000000000{}", nth + 1)),
                limits: limits.clone(),
                campaigns: vec![people::campaign_of("oldest_first", &["Here it is."])],
                comments: comments(dice, nth, most, start + MINUTE),
                messages: Vec::new(),
                events: Vec::new(),
                begins_at: None,
                removed_at: None,
                unreadable: None,
                kept: None,
                orders: Vec::new(),
            })
            .collect();
        if dice.chance(0.5) {
            let mut broken = accounts[0].clone();
            broken.id = AccountId::new("17841400000000009");
            broken.unreadable = Some(0..u64::MAX);
            for comment in &mut broken.comments {
                comment.id = CommentId::new(format!("9{}", comment.id));
            }
            accounts.push(broken);
        }
        // The tables are full for a moment.
        let full = dice.chance(0.5).then(|| {
            let from = start + MINUTE + dice.between(0..=50);
            (Outage::Batches, from..from + dice.between(100..=1000))
        });
        let slot = accounts[0].limits.slot();
        let drained = accounts[0].limits.drain(most, start);
        Self {
            theme: Theme::Crowd,
            seed,
            unknowns: Unknowns::drawn(Theme::Crowd, seed),
            trouble: Trouble::None,
            start,
            app: None,
            posts: people::at_once(&accounts),
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes {
                webhook: AT_ONCE as usize,
                sender: 8,
                release: 2,
                tool: 1,
                upkeep: 0,
            },
            outages: full.into_iter().collect(),
            spells: Vec::new(),
            rates: Rates::default(),
            calm_at: start,
            end: start + 2 * drained + HOUR,
            prompt: Some(most * slot + SLACK),
            accounts,
        }
    }
}

/// Up to so many comments of an account at the same instant, all of them below a post or a
/// broadcast.
fn comments(dice: &mut Dice, nth: u64, most: u64, at: u64) -> Vec<CommentPlan> {
    let ends_at = at + HOUR;
    let surface = dice.pick(&[Surface::Post, Surface::Live { ends_at }]);
    (0..most)
        .map(|n| CommentPlan {
            id: CommentId::new(format!("178{nth}{n:09}")),
            made_at: at,
            author: RecipientId::new(format!("5{nth}{n:09}")),
            surface,
            nature: Nature::Answerable,
            asks: Asks::Wanted,
        })
        .collect()
}
