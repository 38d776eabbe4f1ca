//! Draws a campaign with what follows its opening, and the comments that begin conversations. What
//! people do then depends on what they are told: see `meta/talks.rs`.

use serde_json::{Value, json};
use spillway_core::campaign::Campaign;
use spillway_core::content::Disclosure;
use spillway_core::id::{CommentId, RecipientId};

use super::limits::{Limits, Shape};
use super::one_account::{EIGHT, Times};
use super::people::{self, CAMPAIGN};
use super::{
    AccountPlan, Asks, CommentPlan, Nature, Order, Rates, Scenario, Surface, Theme, Trouble, draw,
};
use crate::dice::Dice;
use crate::meta::Refusal;

/// What begins messages, in half of the seeds.
pub(crate) const DISCLOSURE: &str = "no human";

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Scenario {
    /// The conversations of a seed.
    pub(crate) fn talks(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=HOUR);
        let trouble = dice.pick(&[
            Trouble::None,
            Trouble::Store,
            Trouble::Queues,
            Trouble::Kills,
            Trouble::Meta,
            Trouble::Clocks,
            Trouble::All,
        ]);
        let span = dice.pick(&[MINUTE, HOUR, 6 * HOUR]);
        let limits = Limits::new(Shape::free(), start);
        let campaigns = vec![campaign(dice), news()];
        let account = AccountPlan {
            comments: comments(dice, start, span),
            orders: runs(dice, start),
            disclosure: dice.chance(0.5).then(|| Disclosure::parse(DISCLOSURE).ok()).flatten(),
            ..AccountPlan::new(limits, campaigns)
        };
        let rates = match trouble {
            Trouble::None => Rates::default(),
            trouble => draw::rates(dice, trouble),
        };
        let calm_at = if trouble == Trouble::None { start } else { start + span + 8 * HOUR };
        let posts = people::deliveries(std::slice::from_ref(&account));
        let times = Times { start, calm_at };
        Self::of_one((Theme::Talks, seed), (trouble, rates), times, account, posts)
    }
}

/// A campaign of which any part may follow the opening. Each text begins with the name of its step.
fn campaign(dice: &mut Dice) -> Campaign {
    let mut then = serde_json::Map::new();
    if dice.chance(0.5) {
        then.insert("answer".into(), json!(["yes"]));
    }
    if dice.chance(0.6) {
        let unknown = dice.pick(&["deliver", "ask", "skip"]);
        let tries = dice.between(1..=3);
        then.insert(
            "follow".into(),
            json!({ "ask": ["follow us first"], "button": "I do", "tries": tries, "unknown": unknown }),
        );
    }
    if dice.chance(0.5) {
        let tries = dice.between(0..=2);
        then.insert(
            "email".into(),
            json!({ "ask": ["email, please"], "again": ["email? that is none"], "tries": tries }),
        );
    }
    let deliver: Vec<Value> = (0..dice.between(1..=3))
        .map(|nth| match dice.between(0..=2) {
            0 => json!({ "text": format!("deliver-{nth}") }),
            1 => json!({ "text": format!("deliver-{nth}"), "quick_replies": ["More", "Less"] }),
            _ => json!({ "text": format!("deliver-{nth}"), "buttons": [{ "title": "More" }] }),
        })
        .collect();
    then.insert("deliver".into(), json!(deliver));
    let follow_ups: Vec<Value> = (0..dice.pick(&[0, 1, 1, 2]))
        .map(|nth| {
            let after = dice.pick(&["5m", "3h", "20h", "23h"]);
            let mut follow_up = json!({ "after": after, "messages": [format!("later-{nth}")] });
            if dice.chance(0.5) {
                follow_up["unless"] = "never".into();
            }
            follow_up
        })
        .collect();
    if !follow_ups.is_empty() {
        then.insert("follow_up".into(), json!(follow_ups));
    }
    let campaign = json!({
        "id": CAMPAIGN, "keywords": ["guide"], "messages": ["opening: write yes"],
        "once_per": "comment", "then": then,
    });
    serde_json::from_value(campaign).expect("a campaign")
}

/// A campaign that nobody asks for.
fn news() -> Campaign {
    let campaign = json!({ "id": "news", "keywords": ["nobody says this"], "messages": ["news"] });
    serde_json::from_value(campaign).expect("a campaign")
}

/// Runs of the news in half of the seeds, some of them repeated.
fn runs(dice: &mut Dice, start: u64) -> Vec<(u64, Order)> {
    if dice.chance(0.5) {
        return Vec::new();
    }
    let mut runs: Vec<(u64, Order)> = (0..dice.between(1..=6))
        .map(|_| {
            let name = dice.pick(&["first", "second"]).to_owned();
            (start + dice.between(MINUTE..=40 * HOUR), Order::Send(name))
        })
        .collect();
    runs.sort_by_key(|&(at, _)| at);
    runs
}

/// A comment of each person, and a second one of some.
fn comments(dice: &mut Dice, start: u64, span: u64) -> Vec<CommentPlan> {
    let people = dice.between(1..=10);
    let authors = (0..people).chain((0..people).filter(|_| dice.chance(0.15)));
    let authors: Vec<u64> = authors.collect();
    let mut comments: Vec<CommentPlan> = authors
        .into_iter()
        .enumerate()
        .map(|(n, author)| CommentPlan {
            id: CommentId::new(format!("178{n:09}")),
            made_at: start + MINUTE + dice.between(0..=span),
            author: RecipientId::new(format!("5{author:09}")),
            surface: Surface::Post,
            nature: if dice.chance(0.05) {
                Nature::Refused(Refusal::BlockedBy, start)
            } else {
                Nature::Answerable
            },
            asks: Asks::Wanted,
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}
