//! Draws people who comment again and again, and comments that are told again after something about
//! them has changed: their author is missing, they come under an ad of the post, or the ad does not
//! say of which post it is.

use spillway_core::id::{CommentId, MediaId, RecipientId};
use spillway_core::once::OncePer;
use spillway_meta::webhook::{CommentEvent, Commenter};

use super::draw;
use super::limits::{Limits, Shape};
use super::one_account::{EIGHT, Times};
use super::people;
use super::{
    AccountPlan, Asks, CommentPlan, Nature, Post, Rates, Scenario, Surface, Theme, Told, Trouble,
};
use crate::dice::Dice;
use crate::meta::Refusal;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

impl Scenario {
    /// The repeats of a seed.
    pub(crate) fn repeats(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=HOUR);
        let trouble = dice.pick(&[
            Trouble::None,
            Trouble::Store,
            Trouble::Queues,
            Trouble::Kills,
            Trouble::All,
        ]);
        let per = dice.pick(&[OncePer::Post, OncePer::Post, OncePer::Campaign, OncePer::Comment]);
        let mut campaign = people::campaign_of("oldest_first", &["Here it is."]);
        campaign.once_per = Some(per);
        let span = dice.pick(&[MINUTE, HOUR, 12 * HOUR]);
        let limits = Limits::new(Shape::free(), start);
        let account = AccountPlan {
            comments: comments(dice, start, span),
            ..AccountPlan::new(limits, vec![campaign])
        };
        let posts = posts(dice, &account, span);
        let rates = match trouble {
            Trouble::None => Rates::default(),
            // Meta's own faults are for other themes.
            trouble => Rates { meta: 0.0, ..draw::rates(dice, trouble) },
        };
        let calm_at = if trouble == Trouble::None { start } else { start + 2 * span + HOUR };
        let times = Times { start, calm_at };
        Self::of_one((Theme::Repeats, seed), (trouble, rates), times, account, posts)
    }
}

/// Comments of few people. Some are deleted at once.
fn comments(dice: &mut Dice, start: u64, span: u64) -> Vec<CommentPlan> {
    let people = dice.between(1..=6);
    let mut comments: Vec<CommentPlan> = (0..dice.between(2..=40))
        .map(|n| CommentPlan {
            id: CommentId::new(format!("178{n:09}")),
            made_at: start + MINUTE + dice.between(0..=span),
            author: RecipientId::new(format!("5{:09}", dice.between(0..=people))),
            surface: Surface::Post,
            nature: if dice.chance(0.15) {
                Nature::Refused(Refusal::CommentGone, start)
            } else {
                Nature::Answerable
            },
            asks: Asks::Wanted,
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}

/// Each comment up to four times, alone or with others.
fn posts(dice: &mut Dice, account: &AccountPlan, span: u64) -> Vec<Post> {
    let mut told: Vec<(u64, CommentEvent)> = Vec::new();
    for comment in &account.comments {
        let event = people::event(account, comment);
        // The first telling names the author, as Meta's do.
        let is_first_named = dice.chance(0.9);
        for nth in 0..dice.pick(&[1, 1, 2, 3, 4]) {
            let late = dice.pick(&[0, 10, SECOND, MINUTE, span]);
            let at = comment.made_at + SECOND + if nth == 0 { 0 } else { dice.between(0..=late) };
            let is_changed = nth > 0 || !is_first_named;
            let event = if is_changed { changed(dice, &event) } else { event.clone() };
            told.push((at, event));
        }
    }
    told.sort_by_key(|(at, _)| *at);
    let most = dice.pick(&[1, 3, 20]);
    let posts = people::together(told, most).into_iter();
    posts.map(|(at, comments)| Post { at, what: Told::Comments(comments) }).collect()
}

fn changed(dice: &mut Dice, event: &CommentEvent) -> CommentEvent {
    let mut event = event.clone();
    match dice.between(0..=4) {
        0 => event.from = None,
        1 => event.from = Some(Commenter { id: None, username: Some("someone".into()) }),
        2 => {
            event.original_media = event.media.replace(MediaId::new("17999999999999999"));
            event.ad = Some("120200000000000077".into());
        }
        3 => event.media = Some(MediaId::new("17999999999999999")),
        _ => {}
    }
    event
}
