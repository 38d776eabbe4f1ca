//! Draws comments whose campaign also replies in public. Some cannot have a DM, and some cannot
//! have a reply.

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::quota::Tier;

use super::draw;
use super::limits::{Base, Limits, Pace, Shape};
use super::one_account::EIGHT;
use super::people;
use super::{
    AccountPlan, Asks, CommentPlan, Headers, Nature, Processes, Scenario, Surface, Theme, Trouble,
    Unknowns,
};
use crate::dice::Dice;
use crate::meta::Refusal;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const ACCOUNT: &str = "17841400000000001";

/// What public replies say after a DM, and in its place.
pub(crate) const SENT: [&str; 2] = ["Sent, {username}!", "Look at your messages"];
const SORRY: [&str; 2] = ["Write me, {username|you}", "No message could be sent"];

impl Scenario {
    /// The public replies of a seed.
    pub(crate) fn public_replies(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=HOUR);
        let trouble = dice.pick(&[
            Trouble::None,
            Trouble::None,
            Trouble::Store,
            Trouble::Queues,
            Trouble::Kills,
            Trouble::Meta,
            Trouble::Brink,
            Trouble::All,
        ]);
        let count = dice.pick(&[3, 20, 80, 200]);
        let base = match dice.between(0..=2) {
            0 => Base::Careful,
            _ => Base::Rows(draw::small_rows(dice, count)),
        };
        let shape = Shape {
            pace: if matches!(base, Base::Careful) { Pace::Spread } else { Pace::Free },
            base,
            tier: dice.pick(&[Tier::One, Tier::Two]),
            other: None,
            new_since: None,
            zone: "UTC",
            starts: 8,
        };
        let texts = |texts: &[&str]| -> Vec<_> {
            let parse = |text: &&str| spillway_core::message::Template::parse(text);
            texts.iter().map(|text| parse(text).expect("a text")).collect()
        };
        let mut campaign = people::campaign_of("oldest_first", &["Hi {username|there}!", "Hello!"]);
        campaign.public_replies = texts(&SENT);
        if dice.chance(0.7) {
            campaign.public_fallback = texts(&SORRY);
        }
        let span = dice.pick(&[1, MINUTE, HOUR]);
        let account = AccountPlan {
            disclosure: None,
            id: AccountId::new(ACCOUNT),
            limits: Limits::new(shape, start),
            campaigns: vec![campaign],
            comments: comments(dice, count, start, span, trouble),
            messages: Vec::new(),
            events: Vec::new(),
            begins_at: None,
            removed_at: None,
            unreadable: None,
            kept: None,
            orders: Vec::new(),
        };
        let accounts = vec![account];
        let rates = draw::rates(dice, trouble);
        let posts = people::posts(dice, &accounts, rates.post_repeated);
        let calm_at = if trouble == Trouble::None { start } else { start + span + 3 * HOUR };
        let drained = draw::drained(&accounts, None, start);
        Self {
            theme: Theme::PublicReplies,
            seed,
            trouble,
            start,
            app: None,
            posts,
            jobs: Vec::new(),
            headers: Headers::Absent,
            processes: Processes { webhook: 2, sender: 4, release: 2, tool: 1, upkeep: 0 },
            outages: Vec::new(),
            spells: Vec::new(),
            rates,
            unknowns: Unknowns::drawn(Theme::PublicReplies, seed),
            calm_at,
            end: calm_at + super::HOLD_MAX + 2 * drained + 3 * DAY,
            prompt: None,
            accounts,
        }
    }

    /// The same without public replies.
    pub(crate) fn without_public_replies(mut self) -> Self {
        for campaign in self.accounts.iter_mut().flat_map(|account| &mut account.campaigns) {
            campaign.public_replies.clear();
            campaign.public_fallback.clear();
        }
        self
    }

    /// Whether Meta takes no public reply to a comment, because it is hidden.
    pub(crate) fn is_hidden(&self, comment: &CommentId) -> bool {
        let sum: u64 = comment.as_str().bytes().map(u64::from).sum();
        self.theme == Theme::PublicReplies && sum.is_multiple_of(13)
    }
}

fn comments(
    dice: &mut Dice,
    count: u64,
    start: u64,
    span: u64,
    trouble: Trouble,
) -> Vec<CommentPlan> {
    let refusals =
        [Refusal::CommentGone, Refusal::Recipient, Refusal::ThreadOwner, Refusal::BlockedBy];
    let ends_at = start + span + 5 * MINUTE;
    let mut comments: Vec<CommentPlan> = (0..count)
        .map(|n| {
            let made_at = start + dice.between(0..=span);
            // Without trouble both runs of a seed make the same DMs, and refusals are drawn apart.
            let is_rough = trouble != Trouble::None;
            let is_live = is_rough && dice.chance(0.1);
            let asks = if dice.chance(0.05) { Asks::Own } else { Asks::Wanted };
            let author = match asks {
                Asks::Own => RecipientId::new(ACCOUNT),
                _ => RecipientId::new(format!("5{n:09}")),
            };
            CommentPlan {
                id: CommentId::new(format!("178{n:09}")),
                made_at,
                author,
                surface: if is_live { Surface::Live { ends_at } } else { Surface::Post },
                nature: if is_rough && dice.chance(0.2) {
                    Nature::Refused(dice.pick(&refusals), start)
                } else {
                    Nature::Answerable
                },
                asks,
            }
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}
