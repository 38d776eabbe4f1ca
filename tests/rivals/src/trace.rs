//! What happens: comments at instants, and the account that they are for.

use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_judge::profile::TIERS;

/// For so long after a comment its author may be written to.
pub const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Monday, 7 September 2026, 17:40 UTC: nobody's Reel waits for the full hour.
const START: Timestamp = Timestamp::from_secs(1_788_802_800);

/// Comments, each by another person and each wanting its DM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// How tables call it.
    pub name: String,
    /// When each comment is written, ascending.
    pub arrivals: Vec<Timestamp>,
    /// How many people the account may write to in 24 hours.
    pub recipients_per_day: u32,
}

impl Trace {
    /// `comments` at even distances over `span`.
    pub fn even(comments: u32, span: Duration, recipients_per_day: u32) -> Self {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let at = |n: u32| Duration::from_millis(span_ms * u64::from(n) / u64::from(comments));
        Self {
            name: format!("{comments} comments in {}", spoken(span)),
            arrivals: (0..comments).map(|n| START + at(n)).collect(),
            recipients_per_day,
        }
    }

    /// The comparison's scenarios: a viral Reel of a large account and one of a small one, and a
    /// day on which nothing is ever over a limit.
    pub fn scenarios() -> Vec<Self> {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let [small, large, _] = TIERS;
        vec![
            Self::even(10_000, minutes(5), large),
            Self::even(3000, minutes(10), small),
            Self::even(900, minutes(24 * 60), small),
        ]
    }

    /// When the first comment is written.
    pub fn start(&self) -> Timestamp {
        self.arrivals.first().copied().unwrap_or(START)
    }
}

fn spoken(span: Duration) -> String {
    match span.as_secs() {
        secs if secs >= 3600 && secs % 3600 == 0 => format!("{} h", secs / 3600),
        secs => format!("{} min", secs / 60),
    }
}
