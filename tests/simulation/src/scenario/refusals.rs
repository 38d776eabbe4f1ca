//! Draws an account for which Meta refuses a few sends, or one campaign, in words that seem to mean
//! the whole account. Nothing else goes wrong, and the other sends do not wait.

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::quota::Tier;
use spillway_service::ingest::MessageLane;

use super::limits::{Base, Limits, Pace, Shape};
use super::one_account::EIGHT;
use super::{
    AccountPlan, Asks, CommentPlan, Headers, Nature, Processes, Rates, Scenario, Spell, Struck,
    Surface, Theme, Trouble, Unknowns,
};
use super::{messages, people};
use crate::dice::Dice;
use crate::meta::Refusal;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Scenario {
    /// The refusals of a seed.
    pub(crate) fn refusals(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=6 * HOUR);
        let shape = Shape {
            base: Base::Careful,
            pace: Pace::Free,
            tier: Tier::Two,
            other: None,
            new_since: None,
            zone: "UTC",
            starts: 8,
        };
        let limits = Limits::new(shape, start);
        let slot = limits.slot();
        let id = AccountId::new("17841400000000001");
        let whole_campaign = dice.chance(0.2);
        let comments = comments(dice, start, !whole_campaign);
        let mut account = AccountPlan {
            disclosure: None,
            id: id.clone(),
            limits,
            campaigns: vec![people::campaign_of("oldest_first", &["Hi!"]), messages::campaign()],
            comments,
            messages: Vec::new(),
            events: Vec::new(),
            begins_at: None,
            removed_at: None,
            unreadable: None,
            kept: None,
            orders: Vec::new(),
        };
        let crowd: Vec<RecipientId> =
            (0..20).map(|n| RecipientId::new(format!("6{n:09}"))).collect();
        let lane = MessageLane::Outbound;
        let at = start + dice.between(0..=3 * HOUR);
        account.messages = messages::messages(dice, 0, lane, &crowd, 5, at);
        account.messages.iter_mut().for_each(|plan| plan.nature = Nature::Answerable);
        let mut posts = messages::posts(dice, &id, &account.messages, at);
        let accounts = vec![account];
        posts.extend(people::deliveries(&accounts));
        posts.sort_by_key(|post| post.at);
        let span = start..start + dice.between(HOUR..=2 * DAY);
        let link = Spell { account: None, span, refusal: Refusal::Link, strikes: Struck::All };
        Self {
            theme: Theme::Refusals,
            seed,
            unknowns: Unknowns::drawn(Theme::Refusals, seed),
            trouble: Trouble::Meta,
            start,
            app: None,
            posts,
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 2, sender: 4, release: 1, tool: 1, upkeep: 0 },
            outages: Vec::new(),
            spells: if whole_campaign { vec![link] } else { Vec::new() },
            rates: Rates::default(),
            calm_at: start,
            end: start + 8 * DAY,
            // The pace comes back step by step after each hold.
            prompt: Some(2 * HOUR + 50 * slot),
            accounts,
        }
    }
}

/// Comments over some hours. Those of one or two people are refused for good.
fn comments(dice: &mut Dice, start: u64, some_refused: bool) -> Vec<CommentPlan> {
    let refused = dice.between(1..=2);
    let refusals = [
        Refusal::Blocked,
        Refusal::TokenDead,
        Refusal::Permission,
        Refusal::PermissionUnclear,
        Refusal::SharedMedia,
        Refusal::BlockedBy,
    ];
    // The same for both: a second person's may mean the account.
    let refusal = dice.pick(&refusals);
    let mut comments: Vec<CommentPlan> = (0..dice.between(5..=40))
        .map(|n| {
            let is_refused = some_refused && n < refused;
            CommentPlan {
                id: CommentId::new(format!("178{n:09}")),
                made_at: start + dice.between(0..=6 * HOUR),
                author: RecipientId::new(format!("5{n:09}")),
                surface: Surface::Post,
                nature: if is_refused {
                    Nature::Refused(refusal, start)
                } else {
                    Nature::Answerable
                },
                asks: Asks::Wanted,
            }
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}
