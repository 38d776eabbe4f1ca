//! What each day of a drill came to.

use serde::Serialize;
use spillway_core::time::Timestamp;

use super::report::Fate;
use super::{DAY, START};

/// Parts of a day that are counted by themselves: half hours.
pub(super) const PARTS: usize = 48;

/// A day. What the calls after the last day did wrong is put down to that one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DayReport {
    /// Which, from 1.
    pub day: u32,
    /// Comments made on it that must each get one DM.
    pub wanted: u64,
    /// DMs that people got on it, whenever they had commented.
    pub sent: u64,
    /// Comments without their DM at its end.
    pub waiting: u64,
    /// The longest time that a comment of the day waited for its DM, in seconds.
    pub slowest_s: f64,
    /// Of the comments made on it, those that were too late within the limits.
    pub expired: u64,
    /// Of these, those given up.
    pub failed: u64,
    /// Of these, those that nobody knows of and that got none. Must be 0.
    pub lost: u64,
    /// Calls for a DM that was there, as the report's `twice` counts them. Must be 0.
    pub twice: u64,
    /// Calls made over a limit. Must be 0.
    pub violations: u64,
    /// Its half hours.
    pub half_hours: Vec<HalfHour>,
}

/// Half an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HalfHour {
    /// Wanted comments made.
    pub comments: u64,
    /// DMs that people got.
    pub sent: u64,
    /// Comments without their DM at its end.
    pub waiting: u64,
}

/// When calls were made that should not have been.
pub(super) struct Wrong {
    /// For a DM that was there.
    pub(super) repeated: Vec<Timestamp>,
    /// Over a limit.
    pub(super) over: Vec<Timestamp>,
}

impl DayReport {
    /// All days, from what became of each comment by when it was made.
    pub(super) fn all(days: u32, fates: &[(Timestamp, Fate)], wrong: &Wrong) -> Vec<Self> {
        let half_hours = half_hours(days, fates);
        let on = |day: u32, wrong: &[Timestamp]| {
            wrong.iter().filter(|at| day_of(**at).min(days) == day).count() as u64
        };
        (1..=days)
            .zip(half_hours.chunks(PARTS))
            .map(|(day, half_hours)| Self {
                twice: on(day, &wrong.repeated),
                violations: on(day, &wrong.over),
                ..Self::of(day, half_hours, fates)
            })
            .collect()
    }

    fn of(day: u32, half_hours: &[HalfHour], fates: &[(Timestamp, Fate)]) -> Self {
        let made: Vec<&(Timestamp, Fate)> =
            fates.iter().filter(|(made, _)| day_of(*made) == day).collect();
        let count = |is: Fate| made.iter().filter(|(_, fate)| *fate == is).count() as u64;
        let waits = made.iter().filter_map(|(made, fate)| match fate {
            Fate::Sent(at) => Some(at.since(*made)),
            _ => None,
        });
        Self {
            day,
            wanted: made.len() as u64,
            sent: half_hours.iter().map(|part| part.sent).sum(),
            waiting: half_hours.last().map_or(0, |part| part.waiting),
            slowest_s: waits.max().unwrap_or_default().as_secs_f64(),
            expired: count(Fate::Expired),
            failed: count(Fate::Failed),
            lost: count(Fate::Lost),
            twice: 0,
            violations: 0,
            half_hours: half_hours.to_vec(),
        }
    }
}

/// The day that an instant is on, from 1.
fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.since(START).as_secs() / DAY.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

fn half_hours(days: u32, fates: &[(Timestamp, Fate)]) -> Vec<HalfHour> {
    let length = DAY / PARTS as u32;
    let mut parts = vec![HalfHour::default(); PARTS * days as usize];
    let part_of = |at: Timestamp| (at.since(START).as_millis() / length.as_millis()) as usize;
    for (made, fate) in fates {
        if let Some(part) = parts.get_mut(part_of(*made)) {
            part.comments += 1;
        }
        if let Fate::Sent(at) = fate
            && let Some(part) = parts.get_mut(part_of(*at))
        {
            part.sent += 1;
        }
    }
    let mut waiting = 0;
    for part in &mut parts {
        waiting = (waiting + part.comments).saturating_sub(part.sent);
        part.waiting = waiting;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(hours: u64) -> Timestamp {
        START + Duration::from_secs(3600 * hours)
    }

    #[test]
    fn a_day_counts_what_was_asked_and_what_was_sent_on_it() {
        let fates = [
            (at(1), Fate::Sent(at(2))),
            (at(3), Fate::Sent(at(30))),
            (at(4), Fate::Expired),
            (at(25), Fate::Sent(at(50))),
            (at(26), Fate::Lost),
        ];
        let wrong = Wrong { repeated: vec![at(5), at(60)], over: vec![at(47)] };
        let [first, second] = &DayReport::all(2, &fates, &wrong)[..] else { panic!("two days") };
        assert_eq!((first.wanted, first.sent, first.waiting, first.expired), (3, 1, 2, 1));
        assert_eq!((first.lost, first.twice, first.violations), (0, 1, 0));
        assert_eq!(first.slowest_s, 27.0 * 3600.0, "it was made on the first day");
        assert_eq!((second.wanted, second.sent, second.waiting, second.lost), (2, 1, 3, 1));
        assert_eq!((second.twice, second.violations), (1, 1), "the end counts to the last day");
        let part = first.half_hours[6];
        assert_eq!(part, HalfHour { comments: 1, sent: 0, waiting: 1 });
    }
}
