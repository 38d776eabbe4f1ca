//! Quotas as data: what is counted, over which rolling window, and up to what limit.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::CLOCK_BOUND;

/// How long a grant may be used: a request not yet written this long after its decision is given
/// back, not sent.
pub const GRANT_LIFE: Duration = Duration::from_secs(5);

/// Windows up to this length set the pace; longer ones are met by waiting.
pub const PACED_WINDOW_MAX: Duration = Duration::from_secs(3600);

/// How far apart the slot of a send and its decision may drift: the queue's delays are whole
/// seconds, and a batch is polled when it is polled.
const PACE_SLACK: Duration = Duration::from_secs(2);

/// Something an account's software does at Meta, and that some quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The one DM that answers a comment on a post or Reel.
    PrivateReply,
    /// The one DM that answers a comment on a live broadcast.
    LiveReply,
    /// A DM in an open conversation.
    Message,
    /// A public answer under a comment.
    PublicReply,
    /// Any read of the API.
    Read,
    /// Publishing a post.
    Publish,
    /// Following an account.
    Follow,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::PrivateReply,
        Self::LiveReply,
        Self::Message,
        Self::PublicReply,
        Self::Read,
        Self::Publish,
        Self::Follow,
    ];
    /// The actions that put a DM into somebody's inbox.
    pub const DIRECT_MESSAGES: [Self; 3] = [Self::PrivateReply, Self::LiveReply, Self::Message];
}

/// What one action takes from a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One call each.
    Calls,
    /// One recipient each. Every DM counts as a new one: nobody is counted twice too little, and
    /// it costs nothing where one person gets one DM.
    Recipients,
}

/// A quota's name, stable over profile changes: stored counts are found by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuotaId(String);

impl QuotaId {
    /// Names a quota.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QuotaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QuotaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Never more than `limit` units of `actions` in any window of this length, wherever it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Its name.
    pub id: QuotaId,
    /// The actions it counts.
    pub actions: Vec<Action>,
    /// What one action takes.
    pub unit: Unit,
    /// The rolling window's length, in milliseconds on the wire.
    #[serde(with = "window_ms", rename = "window_ms")]
    pub window: Duration,
    /// Units in any one window.
    pub limit: NonZeroU32,
}

mod window_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(crate::time::millis(*span))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

impl Quota {
    /// Whether one `action` takes a unit.
    pub fn counts(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// How long a decision is counted: the window, the life of a grant (the call may be that much
    /// later than its decision), and both ends' clock error.
    pub fn counted_span(&self) -> Duration {
        self.window + GRANT_LIFE + 2 * CLOCK_BOUND
    }

    /// The width of the buckets that decisions are counted in: 1% of an hour and less, under ten
    /// minutes for a day.
    pub fn bucket(&self) -> Duration {
        let buckets = if self.window <= PACED_WINDOW_MAX { 100 } else { 150 };
        Duration::from_millis(crate::time::millis(self.counted_span()).div_ceil(buckets).max(1))
    }

    /// The distance between sends that this quota sustains for ever without one denial. A bucket
    /// counts in full until its last instant has left the window, hence the bucket on top.
    pub fn sustained_gap(&self) -> Duration {
        (self.counted_span() + self.bucket() + PACE_SLACK) / self.limit.get()
    }
}

/// A named set of quotas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// All of them hold together.
    pub quotas: Vec<Quota>,
}

/// What is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Two quotas share a name, and so would share their counts.
    #[error("quota `{0}` stands twice: give each quota a name of its own")]
    Repeated(QuotaId),
    /// A window of no length.
    #[error("quota `{0}` has a window of 0: give its length in milliseconds")]
    NoWindow(QuotaId),
    /// A quota that counts nothing.
    #[error("quota `{0}` counts no action: name at least one")]
    NoAction(QuotaId),
    /// A name that does not fit the account's item.
    #[error("quota name `{0}` is longer than 32 bytes: shorten it")]
    LongName(QuotaId),
}

impl Profile {
    /// The careful practice of the field, stricter than what Meta documents: 200 calls an hour and
    /// token, 750 private replies an hour (Meta's own figure, 23 March 2026), 1,000 recipients a
    /// day.
    pub fn careful() -> Self {
        Self {
            name: "careful".into(),
            quotas: vec![
                Quota::calls_per_hour(nonzero(200)),
                Quota::private_replies_per_hour(nonzero(750)),
                Quota::live_replies_per_second(nonzero(100)),
                Quota::recipients_per_day(nonzero(1000)),
            ],
        }
    }

    /// Refuses what cannot be counted.
    ///
    /// # Errors
    /// The first quota that is repeated, empty, or has a name or window that does not serve.
    pub fn validate(&self) -> Result<(), ProfileError> {
        for (at, quota) in self.quotas.iter().enumerate() {
            let id = || quota.id.clone();
            if self.quotas[..at].iter().any(|earlier| earlier.id == quota.id) {
                return Err(ProfileError::Repeated(id()));
            }
            if quota.window.is_zero() {
                return Err(ProfileError::NoWindow(id()));
            }
            if quota.actions.is_empty() {
                return Err(ProfileError::NoAction(id()));
            }
            if quota.id.as_str().len() > 32 {
                return Err(ProfileError::LongName(id()));
            }
        }
        Ok(())
    }

    /// The quotas that one `action` takes from.
    pub fn counting(&self, action: Action) -> impl Iterator<Item = &Quota> {
        self.quotas.iter().filter(move |quota| quota.counts(action))
    }
}

impl Quota {
    /// Calls of every kind per account token and hour.
    pub fn calls_per_hour(limit: NonZeroU32) -> Self {
        Self {
            id: QuotaId::new("calls_hour"),
            actions: Action::ALL.to_vec(),
            unit: Unit::Calls,
            window: Duration::from_secs(3600),
            limit,
        }
    }

    /// Private replies to posts and Reels per hour. Meta documents 750 (23 March 2026).
    pub fn private_replies_per_hour(limit: NonZeroU32) -> Self {
        Self {
            id: QuotaId::new("private_replies_hour"),
            actions: vec![Action::PrivateReply],
            unit: Unit::Calls,
            window: Duration::from_secs(3600),
            limit,
        }
    }

    /// Private replies to live comments per second. Meta documents 100 (23 March 2026).
    pub fn live_replies_per_second(limit: NonZeroU32) -> Self {
        Self {
            id: QuotaId::new("live_replies_second"),
            actions: vec![Action::LiveReply],
            unit: Unit::Calls,
            window: Duration::from_secs(1),
            limit,
        }
    }

    /// Distinct recipients in any 24 hours.
    pub fn recipients_per_day(limit: NonZeroU32) -> Self {
        Self {
            id: QuotaId::new("recipients_day"),
            actions: Action::DIRECT_MESSAGES.to_vec(),
            unit: Unit::Recipients,
            window: Duration::from_secs(24 * 3600),
            limit,
        }
    }
}

const fn nonzero(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => panic!("a limit of 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cost_at_most_one_percent_of_the_window() {
        let hour = Quota::calls_per_hour(nonzero(200));
        assert!(hour.bucket() <= Duration::from_millis(36_100));
        let day = Quota::recipients_per_day(nonzero(1000));
        assert!(day.bucket() < Duration::from_secs(600));
    }

    #[test]
    fn the_sustained_gap_uses_98_percent_of_an_hourly_limit() {
        for limit in [60, 200, 750] {
            let quota = Quota::calls_per_hour(nonzero(limit));
            let per_hour = 3600.0 / quota.sustained_gap().as_secs_f64();
            assert!(per_hour > 0.98 * f64::from(limit), "{per_hour} of {limit}");
        }
    }

    #[test]
    fn a_profile_that_cannot_be_counted_is_refused() {
        let careful = Profile::careful();
        assert_eq!(careful.validate(), Ok(()));
        let with = |change: fn(&mut Profile)| {
            let mut profile = Profile::careful();
            change(&mut profile);
            profile.validate()
        };
        let id = QuotaId::new("calls_hour");
        assert_eq!(
            with(|p| p.quotas.push(p.quotas[0].clone())),
            Err(ProfileError::Repeated(id.clone()))
        );
        assert_eq!(
            with(|p| p.quotas[0].window = Duration::ZERO),
            Err(ProfileError::NoWindow(id.clone()))
        );
        assert_eq!(with(|p| p.quotas[0].actions.clear()), Err(ProfileError::NoAction(id)));
        let long = QuotaId::new("x".repeat(33));
        assert!(matches!(
            with(|p| p.quotas[0].id = QuotaId::new("x".repeat(33))),
            Err(ProfileError::LongName(name)) if name == long
        ));
    }
}
