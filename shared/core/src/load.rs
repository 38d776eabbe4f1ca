//! How full an account's quotas are, and what it sends by the hour: the past ones as its budget has
//! counted them, those to come as they are planned.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::budget::Budget;
use crate::quota::{Action, DAY, Quota, QuotaId, Scope, Unit};
use crate::rules::{InForce, Rules};
use crate::time::Timestamp;

/// What is left of one quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Headroom {
    /// The quota.
    pub quota: QuotaId,
    /// Its limit in force.
    pub limit: NonZeroU32,
    /// Units that still count against it.
    pub used: u32,
    /// The instant when the next unit fits; now where there is room.
    pub fits_at: Timestamp,
}

impl Headroom {
    /// How much is left, in percent of the limit in force.
    pub fn percent(&self) -> u8 {
        let left = u64::from(self.limit.get().saturating_sub(self.used));
        u8::try_from(left * 100 / u64::from(self.limit.get())).unwrap_or(100)
    }
}

/// The hours on either side of now that are looked at.
pub const HOURS: usize = 24;

/// DMs in each of so many hours.
pub type ByHour = [u32; HOURS];

const HOUR: Duration = Duration::from_secs(3600);

impl Budget {
    /// What is left of each of the account's own quotas at `now`, in the order of the profile.
    pub fn headroom(&self, rules: &Rules, now: Timestamp) -> Vec<Headroom> {
        let at = now.max(self.decided_at);
        let windows = self.windows.under(rules);
        let mut found: Vec<Headroom> = Vec::new();
        for action in Action::ALL {
            for row in rules.in_force(action, at, self.feedback) {
                let InForce { quota, limit } = row;
                if quota.scope == Scope::App || found.iter().any(|known| known.quota == quota.id) {
                    continue;
                }
                let used = limit.get() - windows.room(row, at).min(limit.get());
                let fits_at = windows.row_fits(row, at, 0);
                found.push(Headroom { quota: quota.id.clone(), limit, used, fits_at });
            }
        }
        let rank = |headroom: &Headroom| {
            let mut rows = rules.profile().quotas.iter();
            rows.position(|quota| quota.id == headroom.quota).unwrap_or(usize::MAX)
        };
        found.sort_by_key(rank);
        found
    }

    /// DMs in each of the last hours, the latest one last. `None` where no quota of a day counts
    /// them.
    pub fn sent_by_hour(&self, rules: &Rules, now: Timestamp) -> Option<ByHour> {
        let counts = |quota: &&Quota| {
            quota.window >= DAY && Action::PACED.iter().all(|&action| quota.counts(action))
        };
        let quotas = || rules.profile().quotas.iter().filter(counts);
        // A person's second message is not among the recipients.
        let quota = quotas().find(|quota| quota.unit == Unit::Calls).or_else(|| quotas().next())?;
        let windows = self.windows.under(rules);
        let mut by_hour = [0; HOURS];
        let mut later = 0;
        for (hour, sent) in by_hour.iter_mut().rev().enumerate() {
            let since = now - HOUR * (hour as u32 + 1);
            let so_far = windows.counted_since(&quota.id, since);
            *sent = u32::try_from(so_far.saturating_sub(later)).unwrap_or(u32::MAX);
            later = so_far;
        }
        Some(by_hour)
    }
}

/// DMs in each of the hours to come, the next one first: of `planned`, the instants they go out at.
pub fn planned_by_hour(planned: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> ByHour {
    let mut by_hour: ByHour = [0; HOURS];
    for at in planned {
        let hour = usize::try_from(at.since(now).as_secs() / HOUR.as_secs()).unwrap_or(usize::MAX);
        if let Some(sent) = by_hour.get_mut(hour) {
            *sent += 1;
        }
    }
    by_hour
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{BudgetRequest, Decision, GrantId};
    use crate::send::Lane;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    /// A budget with so many units taken at these instants.
    fn taken(rules: &Rules, at: &[(Timestamp, u32)]) -> Budget {
        let mut budget = Budget::default();
        for (nth, &(at, units)) in at.iter().enumerate() {
            let want = BudgetRequest {
                action: Action::PrivateReply,
                lane: Some(Lane::Inbound),
                units: NonZeroU32::new(units).unwrap(),
                least: NonZeroU32::MIN,
                first: None,
                beside: None,
                reads: false,
                lease_until: at,
                counted_at: None,
                usage: None,
            };
            let decided = budget.decide(rules, &want, at, GrantId::new(1, nth as u64));
            let Decision::Granted(grant, next, _) = decided else { panic!("{decided:?}") };
            assert_eq!(grant.units, units);
            budget = *next;
        }
        budget
    }

    #[test]
    fn each_quota_of_the_account_says_what_is_left_and_when_the_next_fits() {
        let rules = Rules::careful();
        // Nine in the morning, UTC, and two DMs.
        let morning = NOW - Duration::from_secs(NOW.as_secs() % 86_400) + 9 * HOUR;
        let budget = taken(&rules, &[(morning, 2)]);
        let headroom = budget.headroom(&rules, morning + HOUR / 60);
        let of = |name: &str| {
            headroom.iter().find(|row| row.quota.as_str() == name).unwrap_or_else(|| {
                panic!("no {name} in {headroom:?}");
            })
        };
        assert_eq!(
            (of("calls_hour").used, of("calls_hour").limit.get(), of("calls_hour").percent()),
            (2, 200, 99)
        );
        assert_eq!(of("posts_day").used, 0);
        assert_eq!(of("calls_hour").fits_at, morning + HOUR / 60);
        assert!(headroom.iter().all(|row| row.quota.as_str() != "app"));
        let full = &Headroom { used: 200, ..of("calls_hour").clone() };
        assert_eq!(full.percent(), 0);
    }

    #[test]
    fn what_was_sent_is_told_by_the_hour() {
        let rules = Rules::careful();
        let noon = NOW - Duration::from_secs(NOW.as_secs() % 86_400) + 12 * HOUR;
        let budget = taken(&rules, &[(noon - 3 * HOUR, 1), (noon - HOUR, 2)]);
        // Buckets of some minutes: in the middle of an hour they are clear of its ends.
        let by_hour = budget.sent_by_hour(&rules, noon + HOUR / 2).unwrap();
        assert_eq!(by_hour.iter().sum::<u32>(), 3);
        assert_eq!((by_hour[HOURS - 2], by_hour[HOURS - 4]), (2, 1), "{by_hour:?}");
    }

    #[test]
    fn what_is_planned_is_told_by_the_hour() {
        let at = [NOW, NOW + HOUR / 2, NOW + HOUR, NOW + 30 * HOUR];
        let by_hour = planned_by_hour(at, NOW);
        assert_eq!((by_hour[0], by_hour[1], by_hour.iter().sum::<u32>()), (2, 1, 3));
    }
}
