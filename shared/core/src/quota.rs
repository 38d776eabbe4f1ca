//! One quota as data: what is counted, over which rolling window, and up to what limit.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::CLOCK_BOUND;

/// The life of a grant. A request that has not been written this long after its decision is given
/// back, not sent.
pub const GRANT_LIFE: Duration = Duration::from_secs(5);

/// Windows up to this length set the pace; longer ones are met by waiting.
pub const PACED_WINDOW_MAX: Duration = Duration::from_secs(3600);

/// The greatest drift between the slot of a send and its decision: the queue's delays are whole
/// seconds, and batches are polled at any time.
pub(crate) const PACE_SLACK: Duration = Duration::from_secs(2);

/// A kind of call to Meta that a quota may count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The one DM that answers a comment on a post or Reel.
    PrivateReply,
    /// The one DM that answers a comment on a live broadcast.
    LiveReply,
    /// A DM in an open conversation.
    Message,
    /// A public reply to a comment.
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
    /// The actions that send a DM.
    pub const DIRECT_MESSAGES: [Self; 3] = [Self::PrivateReply, Self::LiveReply, Self::Message];
    /// The DMs that can wait, and so keep the active hours, the even spread and the velocity
    /// ceiling.
    pub const PACED: [Self; 2] = [Self::PrivateReply, Self::Message];

    /// Whether the action answers a comment by a DM. Meta allows one for each comment.
    pub fn is_private_reply(self) -> bool {
        matches!(self, Self::PrivateReply | Self::LiveReply)
    }

    /// Whether the action keeps the active hours, the even spread and the velocity ceiling. A live
    /// reply does not: it would be worthless later.
    pub fn is_paced(self) -> bool {
        Self::PACED.contains(&self)
    }
}

impl fmt::Display for Action {
    /// Writes it as files and the command line name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateReply => "private_reply",
            Self::LiveReply => "live_reply",
            Self::Message => "message",
            Self::PublicReply => "public_reply",
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Follow => "follow",
        })
    }
}

/// What one action takes from a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One unit for each call.
    Calls,
    /// One unit for each recipient. A person who was written to within the window takes none, if
    /// the profile allows more messages than recipients. An unknown person counts as new.
    Recipients,
}

/// An account's messaging tier: Meta lets it write to 1,000, 10,000 or 100,000 people a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Tier {
    /// 1,000 people a day, the tier of a new account.
    #[default]
    One,
    /// 10,000 people a day.
    Two,
    /// 100,000 people a day.
    Three,
}

impl Tier {
    /// All of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];
}

/// The error of a number that is no tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a tier: it is 1, 2 or 3")]
pub struct NotATier(u8);

impl TryFrom<u8> for Tier {
    type Error = NotATier;

    fn try_from(number: u8) -> Result<Self, NotATier> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            3 => Ok(Self::Three),
            other => Err(NotATier(other)),
        }
    }
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> Self {
        tier as Self + 1
    }
}

/// The units that a window may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a number above 0, or `{ tier_1 = .., tier_2 = .., tier_3 = .. }`"
)]
pub enum Limit {
    /// The same for every tier.
    Fixed(NonZeroU32),
    /// Depends on the account's tier.
    ByTier {
        /// In tier 1.
        tier_1: NonZeroU32,
        /// In tier 2.
        tier_2: NonZeroU32,
        /// In tier 3.
        tier_3: NonZeroU32,
    },
}

impl Limit {
    /// 1,000, 10,000 or 100,000.
    pub const TIERS: Self =
        Self::ByTier { tier_1: nonzero(1000), tier_2: nonzero(10_000), tier_3: nonzero(100_000) };

    /// Returns the limit of an account of `tier`.
    pub const fn of(self, tier: Tier) -> NonZeroU32 {
        match (self, tier) {
            (Self::Fixed(limit), _) => limit,
            (Self::ByTier { tier_1, .. }, Tier::One) => tier_1,
            (Self::ByTier { tier_2, .. }, Tier::Two) => tier_2,
            (Self::ByTier { tier_3, .. }, Tier::Three) => tier_3,
        }
    }
}

/// Whose calls a quota counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The calls of one account.
    #[default]
    Account,
    /// The calls of all accounts of the app. The limit is multiplied by the number of connected
    /// accounts.
    App,
}

/// The name of a quota. Stored counts are found by it, so it stays the same when a profile changes.
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

/// Allows at most `limit` units of `actions` in any window of this length, wherever it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Its name.
    #[cfg_attr(feature = "schema", schemars(with = "String", length(min = 1, max = 32)))]
    pub id: QuotaId,
    /// The actions it counts.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub actions: Vec<Action>,
    /// What one action takes.
    pub unit: Unit,
    /// Whose calls it counts together.
    #[serde(default)]
    pub scope: Scope,
    /// The rolling window's length, written as `1h` or `24h`.
    #[serde(with = "crate::span")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub window: Duration,
    /// Units in any one window.
    pub limit: Limit,
}

impl Quota {
    /// Makes an account-scoped quota.
    pub fn new(id: &str, actions: &[Action], unit: Unit, window: Duration, limit: Limit) -> Self {
        let actions = actions.to_vec();
        Self { id: QuotaId::new(id), actions, unit, scope: Scope::Account, window, limit }
    }

    /// Whether `action` takes a unit.
    pub fn counts(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// Whether a DM takes a unit.
    pub(crate) fn counts_direct_messages(&self) -> bool {
        Action::DIRECT_MESSAGES.iter().any(|&action| self.counts(action))
    }

    /// Whether this is a limit of DMs a day, which the warm-up scales and the spread divides.
    pub fn is_day_figure(&self) -> bool {
        self.window == DAY && Action::PACED.iter().any(|&action| self.counts(action))
    }

    /// Returns how long a decision is counted: the window, plus the life of a grant (by which a
    /// call may be later than its decision), plus twice the bound of clock errors.
    pub fn counted_span(&self) -> Duration {
        self.window + GRANT_LIFE + 2 * CLOCK_BOUND
    }

    /// Returns the width of the buckets in which decisions are counted: 1% of the window up to an
    /// hour, under ten minutes for a day.
    pub fn bucket(&self) -> Duration {
        let buckets = if self.window <= PACED_WINDOW_MAX { 100 } else { 150 };
        Duration::from_millis(crate::time::millis(self.counted_span()).div_ceil(buckets).max(1))
    }

    /// What a unit is counted for beyond the window: a bucket counts in full until its last instant
    /// has left, and slots and decisions drift.
    pub(crate) fn margin(&self) -> Duration {
        self.counted_span() - self.window + self.bucket() + PACE_SLACK
    }
}

/// The window of a day's figures.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) const fn nonzero(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => panic!("a limit of 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(window: Duration) -> Quota {
        Quota::new("q", &Action::ALL, Unit::Calls, window, Limit::Fixed(nonzero(200)))
    }

    #[test]
    fn buckets_cost_at_most_one_percent_of_the_window() {
        assert_eq!(over(Duration::from_secs(3600)).bucket(), Duration::from_millis(36_070));
        assert_eq!(over(DAY).bucket(), Duration::from_millis(576_047));
        assert_eq!(over(Duration::from_secs(1)).bucket(), Duration::from_millis(80));
    }

    #[test]
    fn an_action_is_shown_as_it_is_read() {
        for action in Action::ALL {
            let read = serde_json::from_value(serde_json::Value::String(action.to_string()));
            assert_eq!(read.ok(), Some(action));
        }
    }

    #[test]
    fn a_limit_is_a_figure_or_one_for_each_tier() {
        let read = |text: &str| serde_json::from_str::<Limit>(text);
        assert_eq!(read("200").unwrap(), Limit::Fixed(nonzero(200)));
        let tiers = read(r#"{"tier_1":1000,"tier_2":10000,"tier_3":100000}"#).unwrap();
        assert_eq!(tiers, Limit::TIERS);
        assert_eq!(tiers.of(Tier::Two).get(), 10_000);
        for text in ["0", r#""many""#, r#"{"tier_1":1}"#, "-3"] {
            assert!(read(text).unwrap_err().to_string().contains("a number above 0"), "{text}");
        }
        assert!(serde_json::from_str::<Tier>("4").unwrap_err().to_string().contains("1, 2 or 3"));
    }
}
