//! A burst of comments at full size, with nothing going wrong.

use spillway_core::id::{AccountId, CommentId, RecipientId};

use super::limits::Limits;
use super::people;
use super::{
    AccountPlan, Asks, CommentPlan, Headers, Nature, Processes, Rates, Scenario, Surface, Theme,
    Trouble, Unknowns,
};
use crate::dice::Dice;

impl Scenario {
    /// `count` comments by as many people within `within` milliseconds from `start` on, for one
    /// account.
    pub(crate) fn burst(limits: Limits, count: u64, within: u64, start: u64) -> Self {
        let mut dice = Dice::new(start ^ count);
        let dice = &mut dice;
        let drained = limits.drain(count, start);
        let account = AccountPlan {
            disclosure: None,
            id: AccountId::new("17841400000000001"),
            limits,
            campaigns: vec![people::campaign_of(
                "oldest_first",
                &["Hi {username|there}!", "Hello!"],
            )],
            comments: comments(dice, count, within, start),
            messages: Vec::new(),
            events: Vec::new(),
            begins_at: None,
            removed_at: None,
            unreadable: None,
            kept: None,
            orders: Vec::new(),
        };
        let accounts = vec![account];
        Self {
            theme: Theme::Anything,
            seed: start,
            trouble: Trouble::None,
            start,
            app: None,
            posts: people::deliveries(&accounts),
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 8, sender: 8, release: 2, tool: 1, upkeep: 0 },
            outages: Vec::new(),
            spells: Vec::new(),
            rates: Rates::default(),
            calm_at: start,
            end: start + 2 * drained,
            prompt: None,
            unknowns: Unknowns::WITHOUT_ECHOES,
            accounts,
        }
    }
}

fn comments(dice: &mut Dice, count: u64, within: u64, start: u64) -> Vec<CommentPlan> {
    let mut comments: Vec<CommentPlan> = (0..count)
        .map(|n| CommentPlan {
            id: CommentId::new(format!("178{n:09}")),
            made_at: start + dice.between(0..=within),
            author: RecipientId::new(format!("5{n:09}")),
            surface: Surface::Post,
            nature: Nature::Answerable,
            asks: Asks::Wanted,
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}
