//! Draws people and what they write, and the deliveries in which Meta tells of it.

use spillway_core::campaign::Campaign;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_meta::webhook::{CommentEvent, CommentKind, Commenter};

use super::{AccountPlan, Asks, CommentPlan, Nature, Post, Surface, Told};
use crate::dice::Dice;
use crate::meta::Refusal;

/// How comments come.
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    /// Most at once.
    Viral,
    /// Over hours.
    Steady,
    /// During a broadcast, beside some on a post.
    Live,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

pub(super) fn campaign(dice: &mut Dice) -> Campaign {
    let texts = ["Hi {username|there}!", "Hello {username|you}!", "Here it is."];
    let messages = &texts[..=dice.index(texts.len())];
    let overflow = dice.weighted(&[("oldest_first", 4), ("newest_first", 1)]);
    campaign_of(overflow, messages)
}

/// The campaign that comments ask for.
pub(crate) const CAMPAIGN: &str = "guide";

/// A campaign that answers with these texts.
pub(super) fn campaign_of(overflow: &str, messages: &[&str]) -> Campaign {
    let campaign = serde_json::json!({
        "id": CAMPAIGN, "keywords": ["guide"], "overflow": overflow, "messages": messages,
        "once_per": "comment",
    });
    serde_json::from_value(campaign).expect("a campaign")
}

pub(super) fn comments(
    dice: &mut Dice,
    account: &AccountId,
    nth: u64,
    pattern: Pattern,
    count: u64,
    start: u64,
) -> Vec<CommentPlan> {
    let span = match pattern {
        Pattern::Viral => dice.between(1..=10 * MINUTE),
        Pattern::Steady => dice.between(30 * MINUTE..=12 * HOUR),
        Pattern::Live => dice.between(5 * MINUTE..=HOUR),
    };
    let ends_at = start + span + dice.between(0..=10 * MINUTE);
    let people = dice.between(1 + count / 2..=2 * count);
    let mut comments: Vec<CommentPlan> = (0..count)
        .map(|n| {
            let made_at = start + dice.between(0..=span);
            let is_live = matches!(pattern, Pattern::Live) && dice.chance(0.7);
            let asks = dice.weighted(&[(Asks::Wanted, 20), (Asks::Unwanted, 1), (Asks::Own, 1)]);
            let author = match asks {
                Asks::Own => RecipientId::new(account.as_str()),
                _ => RecipientId::new(format!("5{nth}{:09}", dice.between(0..=people))),
            };
            CommentPlan {
                id: CommentId::new(format!("178{nth}{n:09}")),
                made_at,
                author,
                surface: if is_live { Surface::Live { ends_at } } else { Surface::Post },
                nature: nature(dice, made_at),
                asks,
            }
        })
        .collect();
    comments.sort_by_key(|comment| comment.made_at);
    comments
}

fn nature(dice: &mut Dice, made_at: u64) -> Nature {
    if !dice.chance(0.04) {
        return Nature::Answerable;
    }
    let refusal = dice.pick(&[
        Refusal::CommentGone,
        Refusal::Recipient,
        Refusal::WindowClosed,
        Refusal::ThreadOwner,
        Refusal::BlockedBy,
    ]);
    Nature::Refused(refusal, made_at + dice.between(0..=HOUR))
}

/// The deliveries: comments of about the same time together, some of several accounts at once, some
/// late, some again, and now and then some of an account that is not connected.
pub(super) fn posts(dice: &mut Dice, accounts: &[AccountPlan], repeated: f64) -> Vec<Post> {
    let mut told: Vec<(u64, CommentEvent)> = Vec::new();
    for account in accounts {
        let late = dice.pick(&[0, 2000, 30_000]);
        for comment in &account.comments {
            let at = comment.made_at + 200 + dice.between(0..=late);
            told.push((at, event(account, comment)));
        }
    }
    let stranger = AccountId::new("17841499999999999");
    for nth in 0..dice.pick(&[0, 0, 0, 3]) {
        let (at, like) = told[dice.index(told.len())].clone();
        let id = CommentId::new(format!("1799{nth:09}"));
        told.push((at, CommentEvent { account: stranger.clone(), id, ..like }));
    }
    told.sort_by_key(|(at, _)| *at);
    let most = dice.pick(&[1, 5, 50]);
    let mut posts = together(told, most);
    let again: Vec<(u64, Vec<CommentEvent>)> =
        posts.iter().filter_map(|(at, comments)| repeat(dice, *at, comments, repeated)).collect();
    posts.extend(again);
    posts
        .into_iter()
        .map(|(at, comments)| {
            // What came last may go first.
            let late = if dice.chance(0.05) { dice.between(0..=10 * MINUTE) } else { 0 };
            Post { at: at + 2000 + late, what: Told::Comments(comments) }
        })
        .collect()
}

/// Comments of about the same time together, up to so many.
pub(super) fn together(
    told: Vec<(u64, CommentEvent)>,
    most: usize,
) -> Vec<(u64, Vec<CommentEvent>)> {
    let mut posts: Vec<(u64, Vec<CommentEvent>)> = Vec::new();
    for (at, comment) in told {
        match posts.last_mut() {
            Some((first, comments)) if at < *first + 2000 && comments.len() < most => {
                comments.push(comment);
            }
            _ => posts.push((at, vec![comment])),
        }
    }
    posts
}

/// The deliveries of accounts of which nothing is late and nothing comes again.
pub(super) fn deliveries(accounts: &[AccountPlan]) -> Vec<Post> {
    let told = accounts.iter().flat_map(|account| {
        let comments = account.comments.iter();
        comments.map(|comment| (comment.made_at, event(account, comment)))
    });
    let posts = together(told.collect(), 50).into_iter();
    posts.map(|(at, comments)| Post { at: at + 2000, what: Told::Comments(comments) }).collect()
}

/// Each comment in a delivery of its own at the instant it is made, together with the like of the
/// other accounts.
pub(super) fn at_once(accounts: &[AccountPlan]) -> Vec<Post> {
    let most = accounts.iter().map(|account| account.comments.len()).max().unwrap_or_default();
    (0..most)
        .map(|nth| {
            let told = accounts.iter().filter_map(|account| {
                let comment = account.comments.get(nth)?;
                Some((comment.made_at, event(account, comment)))
            });
            let (at, comments): (Vec<u64>, Vec<CommentEvent>) = told.unzip();
            Post { at: at[0], what: Told::Comments(comments) }
        })
        .collect()
}

fn repeat(
    dice: &mut Dice,
    at: u64,
    comments: &[CommentEvent],
    rate: f64,
) -> Option<(u64, Vec<CommentEvent>)> {
    let wait = dice.pick(&[5, 1000, MINUTE, HOUR]);
    dice.chance(rate)
        .then(|| (at + dice.between(0..=wait), comments.iter().rev().cloned().collect()))
}

pub(super) fn event(account: &AccountPlan, comment: &CommentPlan) -> CommentEvent {
    CommentEvent {
        account: account.id.clone(),
        notified_at: None,
        kind: match comment.surface {
            Surface::Post => CommentKind::Comment,
            Surface::Live { .. } => CommentKind::Live,
        },
        id: comment.id.clone(),
        from: Some(Commenter {
            id: Some(comment.author.clone()),
            username: Some("someone".into()),
        }),
        text: Some(comment.text().into()),
        media: Some(account.media_of(&comment.id)),
        original_media: None,
        ad: None,
        parent: None,
    }
}
