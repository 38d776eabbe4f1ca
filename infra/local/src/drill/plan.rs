//! When which trouble strikes: in a day that is always the same, or in days that are drawn from a
//! seed.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::trouble::{Scope, Trouble, minutes};

/// A day in minutes.
const DAY: u64 = 24 * 60;

/// So far apart are two troubles about the same thing at least.
const GAP: Duration = Duration::from_secs(3600);

/// How often a place is looked for before a trouble is left out: the days may be full of its kind.
const TRIES: usize = 30;

/// A trouble that is to come. Times are counted from the first day's start, in whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) trouble: Trouble,
    /// Whose it is, by the account's place; everybody's without one.
    pub(super) account: Option<usize>,
    pub(super) begin: Duration,
    pub(super) end: Duration,
}

impl Planned {
    const fn new(trouble: Trouble, begin: u64, length: u64) -> Self {
        Self { trouble, account: None, begin: minutes(begin), end: minutes(begin + length) }
    }

    const fn of(self, account: usize) -> Self {
        Self { account: Some(account), ..self }
    }

    /// Whether both can come to pass.
    fn goes_with(&self, other: &Self) -> bool {
        let of_others = matches!((self.account, other.account), (Some(a), Some(b)) if a != b);
        !self.trouble.excludes(other.trouble)
            || of_others
            || self.end + GAP <= other.begin
            || other.end + GAP <= self.begin
    }
}

/// The day of the drill: one after another, each when the one before is long over.
pub(super) const ONE_DAY: [Planned; 6] = [
    Planned::new(Trouble::Store, 2 * 60, 10),
    Planned::new(Trouble::Queue, 5 * 60, 15),
    Planned::new(Trouble::Graph, 8 * 60, 20),
    Planned::new(Trouble::Webhooks, 11 * 60, 90),
    Planned::new(Trouble::Token, 15 * 60, 120),
    Planned::new(Trouble::Kills, 20 * 60, 60),
];

/// Troubles that belong together. Each day has one of these, in an order that is drawn.
#[derive(Clone, Copy)]
enum Piece {
    /// Webhooks fail until Meta gives up and beyond, and functions die while upkeep mends that.
    Silence,
    /// The Graph API is out when a token ends.
    Expiry,
    /// A token ends while webhooks fail, so that nobody can subscribe the account again.
    Orphan,
    /// DynamoDB, SQS and the schedule are out at once, for more than an hour.
    Region,
}

impl Piece {
    const ALL: [Self; 4] = [Self::Silence, Self::Expiry, Self::Orphan, Self::Region];

    fn draw(self, rng: &mut ChaCha8Rng, day: u64, accounts: usize) -> Vec<Planned> {
        let begin = day * DAY + rng.random_range(0..DAY);
        let account = rng.random_range(0..accounts);
        let planned = Planned::new;
        match self {
            Self::Silence => {
                let length = rng.random_range(100..480);
                vec![
                    planned(Trouble::Webhooks, begin, length),
                    planned(Trouble::Kills, begin + length - 20, rng.random_range(40..90)),
                ]
            }
            Self::Expiry => {
                let length = rng.random_range(30..120);
                vec![
                    planned(Trouble::Graph, begin, length),
                    planned(Trouble::Token, begin + 10, rng.random_range(20..600)).of(account),
                ]
            }
            Self::Orphan => {
                let length = rng.random_range(80..240);
                let ends = begin + rng.random_range(20..60);
                vec![
                    planned(Trouble::Webhooks, begin, length),
                    planned(Trouble::Token, ends, length + rng.random_range(0..300)).of(account),
                ]
            }
            Self::Region => {
                let length = rng.random_range(65..180);
                vec![
                    planned(Trouble::Store, begin, length),
                    planned(Trouble::Queue, begin + rng.random_range(0..10), length),
                    planned(Trouble::Schedule, begin, length + rng.random_range(0..30)),
                ]
            }
        }
    }
}

/// Draws the troubles of some days, of these kinds alone, by when they begin: each day four to six,
/// some together by plan and others by chance.
pub(super) fn draw(days: u32, accounts: usize, kinds: &[Trouble], seed: u64) -> Vec<Planned> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut planned: Vec<Planned> = Vec::new();
    let mut pieces = Piece::ALL;
    pieces.shuffle(&mut rng);
    for (day, piece) in (0..u64::from(days)).zip(pieces.into_iter().cycle()) {
        add(&mut planned, || {
            let mut drawn = piece.draw(&mut rng, day, accounts);
            drawn.retain(|one| kinds.contains(&one.trouble));
            drawn
        });
    }
    let mut bag = Vec::new();
    for day in 0..u64::from(days) {
        for _ in 0..rng.random_range(2..=3) {
            // Each kind comes before any comes again.
            if bag.is_empty() {
                bag = kinds.to_vec();
                bag.shuffle(&mut rng);
            }
            let Some(trouble) = bag.pop() else { break };
            add(&mut planned, || vec![draw_one(trouble, &mut rng, day, accounts)]);
        }
    }
    planned.sort_by_key(|one| (one.begin, one.trouble, one.account));
    planned
}

/// Adds what goes with all the others, if that can be drawn.
fn add(planned: &mut Vec<Planned>, mut drawn: impl FnMut() -> Vec<Planned>) {
    let fits = |drawn: &Vec<Planned>| {
        drawn.iter().all(|one| planned.iter().all(|other| one.goes_with(other)))
    };
    if let Some(drawn) = (0..TRIES).map(|_| drawn()).find(fits) {
        planned.extend(drawn);
    }
}

fn draw_one(trouble: Trouble, rng: &mut ChaCha8Rng, day: u64, accounts: usize) -> Planned {
    let (least, most) = trouble.lengths();
    // Short ones are as likely as long ones.
    let length = least.mul_f64(most.div_duration_f64(least).powf(rng.random()));
    let begin = day * DAY + rng.random_range(0..DAY);
    let one = Planned::new(trouble, begin, length.as_secs() / 60);
    let is_of_one = match trouble.scope() {
        Scope::All => false,
        Scope::Account => true,
        Scope::Either => rng.random_bool(0.6),
    };
    if is_of_one { one.of(rng.random_range(0..accounts)) } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_day_one_comes_after_another() {
        for pair in ONE_DAY.windows(2) {
            assert!(pair[1].begin > pair[0].end + GAP, "{pair:?}");
        }
    }

    #[test]
    fn each_day_has_several_and_a_week_has_every_kind_and_some_at_once() {
        for seed in 0..50 {
            let week = draw(7, 3, &Trouble::ALL, seed);
            for day in 0..7 {
                let of_day = |one: &&Planned| one.begin.as_secs() / (60 * DAY) == day;
                let count = week.iter().filter(of_day).count();
                assert!(count >= 2, "seed {seed}, day {day}: {week:#?}");
            }
            for trouble in Trouble::ALL {
                assert!(week.iter().any(|one| one.trouble == trouble), "seed {seed}: {trouble:?}");
            }
            let at_once = |a: &Planned, b: &Planned| a.begin < b.end && b.begin < a.end;
            let overlaps = week
                .iter()
                .enumerate()
                .flat_map(|(nth, a)| week[..nth].iter().map(move |b| (a, b)));
            assert!(overlaps.filter(|(a, b)| at_once(a, b)).count() >= 5, "seed {seed}: {week:#?}");
            let gives_up = |one: &Planned| {
                one.trouble == Trouble::Webhooks && one.end - one.begin >= minutes(80)
            };
            assert!(week.iter().any(gives_up), "seed {seed}: {week:#?}");
        }
    }

    #[test]
    fn nothing_has_two_troubles_of_a_kind_at_once() {
        for seed in 0..50 {
            let days = draw(14, 3, &Trouble::ALL, seed);
            for (nth, one) in days.iter().enumerate() {
                let mut others = days.iter().enumerate().filter(|(other, _)| *other != nth);
                assert!(others.all(|(_, other)| one.goes_with(other)), "seed {seed}");
            }
        }
    }

    #[test]
    fn only_what_is_wanted_is_drawn_and_the_same_from_the_same_seed() {
        let kinds = [Trouble::Store, Trouble::Token];
        let drawn = draw(5, 3, &kinds, 9);
        assert!(drawn.len() > 5 && drawn.iter().all(|one| kinds.contains(&one.trouble)));
        assert_eq!(drawn, draw(5, 3, &kinds, 9));
        assert_ne!(drawn, draw(5, 3, &kinds, 10));
    }
}
