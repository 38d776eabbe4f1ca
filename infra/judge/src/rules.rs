//! The rules that callers are held to.

use std::collections::HashMap;
use std::time::Duration;

use spillway_core::id::AccountId;

use crate::action::{Action, Counted};
use crate::active::Active;
use crate::figure::Figure;

/// How long after its grant a call may come: a grant lives 5 s, and both ends' clocks may be off by
/// a second. Where a grant's instant is unknown, the laxest rule of that time holds.
pub const GRANT_TO_CALL_MAX: Duration = Duration::from_secs(7);

/// Rows of this length are day figures.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// At most so many in any window of that length, wherever the window starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How reports call it.
    pub name: String,
    /// Which calls it counts, and whether it counts them or the people they reach.
    pub counts: Counted,
    /// The window's length. Windows are open at their start and closed at their end.
    pub window: Duration,
    /// The most that a window may hold which ends with a call that was granted at that instant.
    pub limit: Figure,
}

impl Limit {
    /// A limit of `limit` in any `window`.
    pub fn new(name: &str, counts: Counted, window: Duration, limit: impl Into<Figure>) -> Self {
        Self { name: name.to_owned(), counts, window, limit: limit.into() }
    }
}

/// What one account is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// All of them hold together.
    pub rows: Vec<Limit>,
    /// When DMs may go, but for those of live broadcasts.
    pub active: Active,
    /// The active time of a day over which the planner spreads the day's DMs evenly. The judge does
    /// not count it: early or late within the day, a DM breaks no limit.
    pub spread_over: Option<Duration>,
}

impl Rules {
    /// The smallest figure in force that counts a day's private replies; `None` without any.
    pub fn day_figure(&self) -> Option<Figure> {
        let counts =
            |row: &&Limit| row.window == DAY && row.counts.actions.contains(Action::PrivateReply);
        let figures = self.rows.iter().filter(counts).map(|row| row.limit.clone());
        figures.reduce(|least, figure| least.join(&figure, u32::min))
    }
}

impl From<Vec<Limit>> for Rules {
    /// Rows alone: around the clock, as fast as they allow.
    fn from(rows: Vec<Limit>) -> Self {
        Self { rows, active: Active::Always, spread_over: None }
    }
}

/// Every rule that the judge holds callers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For every account by itself.
    pub each: Rules,
    /// For accounts that have rules of their own instead.
    pub own: HashMap<AccountId, Rules>,
    /// One limit over the calls of all accounts together.
    pub app: Option<Limit>,
}

impl From<Rules> for Limits {
    /// The same for every account, and none over all of them.
    fn from(each: Rules) -> Self {
        Self { each, own: HashMap::new(), app: None }
    }
}

impl Limits {
    /// What Meta's documentation states for private replies.
    pub fn documented() -> Self {
        let hour = Duration::from_secs(3600);
        let second = Duration::from_secs(1);
        let replies = Limit::new("private replies / hour", Counted::PRIVATE_REPLIES, hour, 750);
        let live = Limit::new("live replies / second", Counted::LIVE_REPLIES, second, 100);
        Rules::from(vec![replies, live]).into()
    }

    /// The rules of one account.
    pub fn of(&self, account: &AccountId) -> &Rules {
        self.own.get(account).unwrap_or(&self.each)
    }
}
