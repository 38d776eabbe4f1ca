//! Who comments, and when: evenly over one day, or over days with bursts, under several accounts.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use spillway_core::id::{AccountId, MediaId};

use super::{DAY, START};
use crate::story::trace::{Arrivals, REEL, Shape, Trace};

/// One day of one account, whose comments come evenly.
pub(super) fn one_day(account: &AccountId, comments: u32, seed: u64) -> Trace {
    Trace::draw(&Shape {
        account: account.clone(),
        comments,
        span: DAY,
        arrivals: Arrivals::Even,
        start: START,
        media: REEL.into(),
        first: 0,
        seed,
    })
}

/// Days of several accounts. Each day `comments` are wanted, of which each account has a share; on
/// most days some of these come in a burst under a new Reel, and the others evenly under the last
/// one.
pub(super) fn days(accounts: &[AccountId], days: u32, comments: u32, seed: u64) -> Trace {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Trace { comments: Vec::new(), deliveries: Vec::new(), expected: 0 };
    let mut first = 0;
    for day in 0..days {
        let shares = shares(comments, accounts.len(), &mut rng);
        for ((nth, account), share) in accounts.iter().enumerate().zip(shares) {
            for shape in day_of(account, share, &mut rng) {
                let shape = Shape {
                    start: shape.start + DAY * day,
                    media: reel(nth, day, shape.arrivals),
                    first,
                    ..shape
                };
                first += shape.total();
                let drawn = Trace::draw(&shape);
                all.comments.extend(drawn.comments);
                all.deliveries.extend(drawn.deliveries);
                all.expected += drawn.expected;
            }
        }
    }
    all.deliveries.sort_by_key(|delivery| delivery.at);
    all
}

/// What each account has of a day's comments: within a half of the average of what is left for it
/// and those behind it.
fn shares(comments: u32, accounts: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut left = comments;
    let mut share = |behind: usize| {
        let average = left / u32::try_from(behind + 1).unwrap_or(u32::MAX);
        let share = match behind {
            0 => left,
            _ => rng.random_range(average / 2..=average + average / 2),
        };
        left -= share;
        share
    };
    (0..accounts).rev().map(&mut share).collect()
}

/// The first day of an account: what comes evenly, and what comes at once.
fn day_of(account: &AccountId, comments: u32, rng: &mut ChaCha8Rng) -> [Shape; 2] {
    let in_burst = if rng.random_bool(0.7) { rng.random_range(comments / 4..=comments) } else { 0 };
    let even = Shape {
        account: account.clone(),
        comments: comments - in_burst,
        span: DAY,
        arrivals: Arrivals::Even,
        start: START,
        media: REEL.into(),
        first: 0,
        seed: rng.random(),
    };
    let span = Duration::from_secs(rng.random_range(600..5400));
    let burst = Shape {
        comments: in_burst,
        span,
        arrivals: Arrivals::Viral,
        start: START + (DAY - span).mul_f64(rng.random()),
        seed: rng.random(),
        ..even.clone()
    };
    [even, burst]
}

/// The Reel that comments of a day are written under: of yesterday, or today's with its burst.
fn reel(account: usize, day: u32, arrivals: Arrivals) -> MediaId {
    let number = match arrivals {
        Arrivals::Even => day,
        Arrivals::Viral => day + 1,
    };
    MediaId::new(format!("1790{account:03}{number:010}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn accounts() -> Vec<AccountId> {
        ["1", "2", "3"].map(AccountId::from).into()
    }

    #[test]
    fn each_day_has_its_comments_and_each_account_some_of_them() {
        let Trace { comments, deliveries, expected } = days(&accounts(), 7, 200, 5);
        assert_eq!(expected, 1400);
        let wanted = || comments.iter().filter(|said| said.is_wanted).map(|said| &said.comment);
        let ids: BTreeSet<_> = comments.iter().map(|said| &said.comment.id).collect();
        assert_eq!(ids.len(), comments.len(), "each has an id of its own");
        for day in 0..7 {
            let begin = START + DAY * day;
            let of_day = || {
                wanted().filter(|made| made.created_at >= begin && made.created_at < begin + DAY)
            };
            assert_eq!(of_day().count(), 200);
            for account in accounts() {
                let share = of_day().filter(|made| made.account == account).count();
                assert!((10..190).contains(&share), "day {day}, {account}: {share}");
            }
        }
        assert!(deliveries.is_sorted_by_key(|delivery| delivery.at));
    }

    #[test]
    fn some_comments_come_in_bursts() {
        let comments = days(&accounts(), 7, 200, 5).comments;
        let mut hours = [0_u32; 7 * 24];
        for said in &comments {
            hours[(said.comment.created_at.since(START).as_secs() / 3600) as usize] += 1;
        }
        let busy = hours.iter().filter(|&&count| count > 25).count();
        let calm = hours.iter().filter(|&&count| count < 10).count();
        assert!(busy >= 5 && calm > 60, "{hours:?}");
    }
}
