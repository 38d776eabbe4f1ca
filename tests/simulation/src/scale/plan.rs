//! Who gets how many comments when, and the deliveries in which Meta tells of them.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use spillway_core::budget::Revision;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::profile::Profile;
use spillway_core::quota::{Limit, Scope, Tier};
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;
use spillway_meta::webhook::{CommentEvent, CommentKind, Commenter, Delivery, Event};
use spillway_service::account::{Account, SealedToken};

use super::talks::Followers;
use super::units::json_bytes;
use crate::dice::Dice;
use crate::meta::millis;

/// How much is played.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// Connected accounts.
    pub accounts: u32,
    /// Comments within the hour, at least one an account.
    pub comments: u32,
    /// What everything is drawn from.
    pub seed: u64,
}

impl Size {
    /// Accounts that go viral: one in 2,000.
    pub fn viral(self) -> u32 {
        (self.accounts / 2000).max(1)
    }

    /// Comments of each of them: together three tenths of all.
    pub fn comments_of_a_viral(self) -> u32 {
        (u64::from(self.comments) * 3 / 10 / u64::from(self.viral())) as u32
    }
}

/// Noon: all accounts are in their active hours.
const START: u64 = 1_790_000_000_000 / DAY * DAY + DAY / 2;

const DAY: u64 = 24 * HOUR;
/// Comments come for so long, in milliseconds.
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// In milliseconds.
pub(crate) const MINUTE: u64 = 60_000;

/// A viral account's comments come within this time.
const VIRAL_SPAN: u64 = 5 * MINUTE;

/// Meta gathers comments of an account for so long at most, and so many.
const GATHERED: u64 = 10_000;
const DELIVERY_MAX: u64 = 1000;

/// One in so many of the other accounts goes by what Meta documents alone, so that it matters who
/// had a message before.
const DOCUMENTED: u32 = 5;

/// Comments of an account in deliveries of equal size and distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    /// Comments in all.
    pub(crate) comments: u32,
    /// Comments in a delivery.
    pub(crate) delivery: u32,
    /// From one delivery to the next, in milliseconds.
    pub(crate) every: u64,
}

/// Everything that is known before it begins.
pub(crate) struct Plan {
    /// The instant, in milliseconds since 1970.
    pub(crate) start: u64,
    /// Rules, and how large an account's items are with them.
    kinds: Vec<(Rules, usize)>,
    /// The kind of each account.
    by_id: HashMap<AccountId, usize>,
    campaign: Campaign,
    /// Who follows the accounts, where comments begin conversations.
    pub(super) talks: Option<Followers>,
    people: People,
    /// In the order of their instants.
    pub(super) deliveries: Vec<Arrival>,
}

/// Comments of one account, in one delivery.
pub(super) struct Arrival {
    /// In milliseconds after the start.
    pub(super) at: u64,
    account: u32,
    comments: Range<u32>,
}

impl Plan {
    pub(super) fn new(size: Size) -> Self {
        let mut dice = Dice::new(size.seed);
        let counts = counts(size);
        let mut deliveries = Vec::new();
        for (account, &count) in (0..size.accounts).zip(&counts) {
            let span = span(&mut dice, account < size.viral());
            gather(&mut dice, account, count, span, &mut deliveries);
        }
        deliveries.sort_by_key(|arrival| arrival.at);
        let by_id = (0..size.accounts).map(|nth| (account_id(nth), kind(nth, size))).collect();
        let rules = [raised(), careful(), documented()];
        Self { start: START, people: People::SomeAgain, ..Self::of(rules, by_id, deliveries) }
    }

    /// So many accounts with the careful profile in the middle tier, each with this wave; the nth
    /// account's comes a little after that of the one before.
    pub(crate) fn of_waves(accounts: u32, wave: Wave) -> Self {
        let mut deliveries = Vec::new();
        for account in 0..accounts {
            let first = u64::from(account) * wave.every / u64::from(accounts);
            let mut next = 0;
            for nth in 0.. {
                let until = (next + wave.delivery).min(wave.comments);
                if next == until {
                    break;
                }
                let at = first + nth * wave.every;
                deliveries.push(Arrival { at, account, comments: next..until });
                next = until;
            }
        }
        deliveries.sort_by_key(|arrival| arrival.at);
        let by_id = (0..accounts).map(|nth| (account_id(nth), 0)).collect();
        Self::of([rules(Profile::careful(), Tier::Two)], by_id, deliveries)
    }

    /// The same, where each comment begins a conversation.
    pub(crate) fn of_talks(accounts: u32, wave: Wave, followers: Followers) -> Self {
        let plan = Self::of_waves(accounts, wave);
        Self { campaign: talk(), talks: Some(followers), ..plan }
    }

    /// One account with a delivery for each comment, at these instants in ascending order.
    pub(super) fn of_one(rules: Rules, start: Timestamp, arrivals: &[Timestamp]) -> Self {
        let deliveries = (0..).zip(arrivals).map(|(nth, at)| Arrival {
            at: millis(at.since(start)),
            account: 0,
            comments: nth..nth + 1,
        });
        let plan = Self::of([rules], HashMap::from([(account_id(0), 0)]), deliveries.collect());
        Self { start: start.as_millis(), ..plan }
    }

    fn of(
        rules: impl IntoIterator<Item = Rules>,
        by_id: HashMap<AccountId, usize>,
        deliveries: Vec<Arrival>,
    ) -> Self {
        let campaign = campaign();
        let sized = |rules: Rules| {
            // Beside the rules and the campaign lie the sealed token, and the names of all of it.
            let bytes = json_bytes(&rules) + json_bytes(&campaign) + 400;
            (rules, bytes)
        };
        let kinds = rules.into_iter().map(sized).collect();
        Self {
            start: START,
            kinds,
            by_id,
            campaign,
            talks: None,
            people: People::Others,
            deliveries,
        }
    }

    /// An account as its items say, and how large they are.
    pub(super) fn account(&self, id: &AccountId) -> Option<(Account, usize)> {
        let (rules, bytes) = &self.kinds[*self.by_id.get(id)?];
        let campaigns = Campaigns::new([self.campaign.clone()]);
        let account = Account {
            id: id.clone(),
            revision: Revision::default(),
            rules: rules.clone().for_campaigns(&campaigns),
            campaigns,
            token: SealedToken { key: 1, sealed: Vec::new() },
            forgotten: Default::default(),
            conversations: Default::default(),
            albums: Default::default(),
        };
        Some((account, *bytes))
    }

    /// A delivery as the webhook parses it.
    pub(super) fn delivery(&self, arrival: &Arrival, now: u64) -> Delivery {
        let account = account_id(arrival.account);
        let notified_at = Some(Timestamp::from_secs(now / 1000));
        let events = arrival.comments.clone().map(|nth| {
            Event::Comment(CommentEvent {
                account: account.clone(),
                notified_at,
                kind: CommentKind::Comment,
                id: CommentId::new(format!("180{:06}{nth:08}", arrival.account)),
                from: Some(self.people.author(arrival.account, nth)),
                text: Some("the GUIDE please".into()),
                media: Some(MediaId::new("17900000000000001")),
                original_media: None,
                ad: None,
                parent: None,
            })
        });
        Delivery { object: Some("instagram".into()), events: events.collect(), skipped: Vec::new() }
    }
}

/// Who has written a comment, where each is by somebody else.
pub(super) fn author(comment: &CommentId) -> Option<RecipientId> {
    comment.as_str().strip_prefix("180").map(|rest| RecipientId::new(format!("5{rest}")))
}

/// Which of its account's comments this is.
pub(super) fn nth(comment: &CommentId) -> usize {
    comment.as_str().get(9..).and_then(|nth| nth.parse().ok()).unwrap_or_default()
}

/// Who comments.
#[derive(Clone, Copy, Debug)]
enum People {
    /// Somebody else each time.
    Others,
    /// One comment in ten is by somebody who has written one before.
    SomeAgain,
}

impl People {
    fn author(self, account: u32, nth: u32) -> Commenter {
        let person = match self {
            Self::SomeAgain if nth % 10 == 9 => nth - 9,
            Self::SomeAgain | Self::Others => nth,
        };
        let id = RecipientId::new(format!("5{account:06}{person:08}"));
        Commenter { id: Some(id), username: Some(format!("person_{person}")) }
    }
}

/// Which of the rules an account has.
fn kind(nth: u32, size: Size) -> usize {
    match nth {
        _ if nth < size.viral() => 0,
        _ if nth.is_multiple_of(DOCUMENTED) => 2,
        _ => 1,
    }
}

/// Comments an account. Behind the viral ones comes a long tail: the share of the nth falls with
/// its root.
fn counts(size: Size) -> Vec<u32> {
    let viral = size.viral();
    let tail = u64::from(size.comments - viral * size.comments_of_a_viral());
    let weight = |nth: u32| 1.0 / f64::from(nth + 1).sqrt();
    let others = size.accounts - viral;
    let all: f64 = (0..others).map(weight).sum();
    let mut given = 0;
    let mut sum = 0.0;
    let mut counts = vec![size.comments_of_a_viral(); viral as usize];
    for nth in 0..others {
        sum += weight(nth);
        // Rounded so that they add up.
        let until = (tail as f64 * sum / all).round() as u64;
        counts.push((until - given) as u32);
        given = until;
    }
    counts
}

fn span(dice: &mut Dice, is_viral: bool) -> Range<u64> {
    if is_viral {
        let from = dice.between(0..=HOUR - VIRAL_SPAN);
        return from..from + VIRAL_SPAN;
    }
    dice.between(0..=HOUR / 2)..HOUR
}

/// Draws when an account's comments come, most of them early, and gathers them as Meta does.
fn gather(dice: &mut Dice, account: u32, count: u32, span: Range<u64>, into: &mut Vec<Arrival>) {
    let length = (span.end - span.start) as f64;
    let mut instants: Vec<u64> = (0..count)
        .map(|_| {
            let draw = dice.between(0..=999_999) as f64 / 1e6;
            span.start + (length * (1.0 - draw.sqrt())) as u64
        })
        .collect();
    instants.sort_unstable();
    let mut first = 0;
    while first < instants.len() {
        let most = dice.pick(&[1, 10, 100, DELIVERY_MAX]);
        let most = dice.between(1..=most) as usize;
        let until = instants[first] + GATHERED;
        let taken = instants[first..].iter().take(most).take_while(|&&at| at < until).count();
        let last = first + taken - 1;
        let comments = first as u32..last as u32 + 1;
        into.push(Arrival { at: instants[last], account, comments });
        first = last + 1;
    }
}

fn account_id(nth: u32) -> AccountId {
    AccountId::new(format!("178414{nth:011}"))
}

fn careful() -> Rules {
    rules(Profile::careful(), Tier::One)
}

fn documented() -> Rules {
    rules(Profile::meta(), Tier::One)
}

/// The careful profile with more calls an hour than an account's share of the app's.
fn raised() -> Rules {
    let mut profile = Profile::careful();
    let calls = profile.quotas.iter_mut().filter(|quota| quota.scope == Scope::Account);
    for quota in calls.filter(|quota| quota.id.as_str() == "calls_hour") {
        quota.limit = Limit::Fixed(std::num::NonZeroU32::new(750).expect("not zero"));
    }
    rules(profile, Tier::Three)
}

fn rules(profile: Profile, tier: Tier) -> Rules {
    Rules::new(profile, Terms { tier, ..Terms::default() }).expect("a sound profile")
}

fn campaign() -> Campaign {
    let campaign = serde_json::json!({
        "id": "guide",
        "keywords": ["guide"],
        "once_per": "comment",
        "messages": ["Hi {username|there}! Here is the guide.", "Hello {username|you}, the guide:"],
    });
    serde_json::from_value(campaign).expect("a campaign")
}

/// A conversation with an answer, a follow gate, a delivery and a follow-up.
fn talk() -> Campaign {
    let campaign = serde_json::json!({
        "id": "guide",
        "keywords": ["guide"],
        "once_per": "comment",
        "messages": ["Hi {username|there}! Answer YES and I'll send it."],
        "then": {
            "answer": ["yes"],
            "follow": { "ask": ["Follow me first, then tap the button"], "button": "I follow" },
            "deliver": [{
                "text": "Here is the guide!",
                "buttons": [{ "title": "Open", "url": "https://example.com/guide" }],
            }],
            "follow_up": [{ "after": "2h", "messages": ["Did you get to read it?"] }],
        },
    });
    serde_json::from_value(campaign).expect("a campaign")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { accounts: 300, comments: 9_001, seed: 3 };

    #[test]
    fn every_comment_is_delivered_once_and_within_the_hour() {
        let plan = Plan::new(SIZE);
        let delivered: usize = plan.deliveries.iter().map(|arrival| arrival.comments.len()).sum();
        assert_eq!(delivered, 9_001);
        assert!(plan.deliveries.iter().all(|arrival| arrival.at <= HOUR));
        assert!(plan.deliveries.iter().all(|arrival| (1..=1000).contains(&arrival.comments.len())));
        assert!(plan.deliveries.is_sorted_by_key(|arrival| arrival.at));
    }

    #[test]
    fn one_account_is_viral_and_the_others_have_a_long_tail() {
        let counts = counts(SIZE);
        assert_eq!(counts[0], 2700);
        assert!(counts[1] < 500 && counts[1] > 5 * counts[299], "{counts:?}");
    }

    #[test]
    fn of_the_profiles_one_leases_from_the_app_and_one_counts_people() {
        assert_eq!([raised(), careful(), documented()].map(|r| r.leased().count()), [1, 0, 0]);
        assert!(documented().knows_people() && !raised().knows_people());
    }
}
