//! Whether Instagram reaches the deployment: its deliveries, as its metrics count them by the minute.
//!
//! The stores know of deliveries by the account and to the hour, since to write more would cost a write
//! unit each. What is counted here costs none, but tells of all accounts together.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use spillway_core::time::Timestamp;

use super::instant::{instant, optional};
use super::told::span;
use crate::clock::Clock;
use crate::metrics::Metric;
use crate::port::StoreError;
use crate::ttl_cache::TtlCache;

/// How far back deliveries are counted.
pub const COUNTED: Duration = Duration::from_secs(3 * 3600);

/// The metrics that are looked at.
pub const METRICS: [Metric; 4] =
    [Metric::Deliveries, Metric::DeliveryLag, Metric::SignatureFailures, Metric::Duplicates];

/// How long a count is remembered: metrics come by the minute, and each look at them is paid for.
const REMEMBERED: Duration = Duration::from_secs(30);

/// What a metric has counted in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedMinute {
    /// The metric, one of [`METRICS`].
    pub metric: Metric,
    /// The beginning of the minute.
    pub at: Timestamp,
    /// The sum of a counter, whatever the labels; the highest value of another metric.
    pub value: u64,
}

/// What the deployment's metrics have counted.
#[async_trait]
pub trait Counts: Send + Sync {
    /// Returns the minutes from `since` to `until` in which one of [`METRICS`] has a value, in any
    /// order.
    async fn by_minute(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<CountedMinute>, StoreError>;
}

/// Where metrics are not to be had.
pub struct NoCounts;

#[async_trait]
impl Counts for NoCounts {
    async fn by_minute(
        &self,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<CountedMinute>, StoreError> {
        Err(StoreError::unavailable("read the metrics", "this deployment names none"))
    }
}

/// Deliveries to all accounts in the last three hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reception {
    /// The first instant that is counted.
    #[serde(serialize_with = "instant")]
    pub since: Timestamp,
    /// The minute of the last delivery with a right signature, if there was one.
    #[serde(serialize_with = "optional")]
    pub last_at: Option<Timestamp>,
    /// The age of the earliest event that came in that minute, in whole seconds.
    pub last_lag_s: Option<u64>,
    /// The same, the highest of all minutes.
    pub highest_lag_s: Option<u64>,
    /// Deliveries with a right signature.
    pub deliveries: u64,
    /// Deliveries that were refused for their signature.
    pub bad_signatures: u64,
    /// Comments that were told again.
    pub duplicates: u64,
}

impl Reception {
    /// Sums up.
    fn of(minutes: &[CountedMinute], since: Timestamp) -> Self {
        let of = |metric| minutes.iter().filter(move |minute| minute.metric == metric);
        let sum = |metric| of(metric).map(|minute| minute.value).sum();
        let told = of(Metric::Deliveries).filter(|minute| minute.value > 0);
        let lags = || of(Metric::DeliveryLag);
        Self {
            since,
            last_at: told.map(|minute| minute.at).max(),
            last_lag_s: lags().max_by_key(|minute| minute.at).map(|minute| minute.value),
            highest_lag_s: lags().map(|minute| minute.value).max(),
            deliveries: sum(Metric::Deliveries),
            bad_signatures: sum(Metric::SignatureFailures),
            duplicates: sum(Metric::Duplicates),
        }
    }
}

/// What is known of the reception, as JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ReceptionView {
    /// What was counted.
    Known(Reception),
    /// It cannot be had.
    Unknown {
        /// Why.
        unknown: String,
    },
}

impl ReceptionView {
    /// Whether somebody should look into it.
    pub fn is_suspicious(&self) -> bool {
        matches!(self, Self::Known(reception) if reception.bad_signatures > 0)
    }

    /// What is known, in a sentence without its end.
    pub fn told(&self, now: Timestamp) -> String {
        let reception = match self {
            Self::Known(reception) => reception,
            Self::Unknown { unknown } => return format!("unknown ({unknown})"),
        };
        let Reception { last_at, deliveries, bad_signatures, duplicates, .. } = reception;
        let refused = match bad_signatures {
            0 => String::new(),
            n => format!("; {n} refused for their signature"),
        };
        let hours = COUNTED.as_secs() / 3600;
        match last_at {
            None => format!("none in the last {hours} hours{refused}"),
            Some(at) => {
                let ago = span(now.since(*at));
                let told = if *deliveries == 1 {
                    "1 delivery".into()
                } else {
                    format!("{deliveries} deliveries")
                };
                let seconds = |lag: Option<u64>| lag.map(Duration::from_secs).map(span);
                let lag = match seconds(reception.last_lag_s) {
                    Some(lag) => format!(" (lag {lag})"),
                    None => String::new(),
                };
                let highest = match seconds(reception.highest_lag_s) {
                    Some(lag) => format!(" (lag up to {lag})"),
                    None => String::new(),
                };
                format!(
                    "the last {ago} ago{lag}; {told} in {hours} hours{highest}; comments told again: \
                     {duplicates}{refused}"
                )
            }
        }
    }
}

/// Counts deliveries.
pub struct Receptions {
    counts: Arc<dyn Counts>,
    clock: Arc<dyn Clock>,
    recent: TtlCache<(), Reception>,
}

impl Receptions {
    /// Counts them by these metrics.
    pub fn new(counts: Arc<dyn Counts>, clock: &Arc<dyn Clock>) -> Self {
        Self { counts, clock: clock.clone(), recent: TtlCache::new(clock) }
    }

    /// Looks at the last three hours.
    pub async fn look(&self) -> ReceptionView {
        if let Some(known) = self.recent.get(&()) {
            return ReceptionView::Known(known);
        }
        let now = self.clock.now();
        let since = now - COUNTED;
        match self.counts.by_minute(since, now).await {
            Ok(minutes) => {
                let reception = Reception::of(&minutes, since);
                self.recent.put((), reception, 0, REMEMBERED);
                ReceptionView::Known(reception)
            }
            Err(error) => ReceptionView::Unknown { unknown: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_summed_up_and_the_last_is_known_to_the_minute() {
        let at = |minute: u64| Timestamp::from_secs(1_790_000_000 + 60 * minute);
        let counted = |metric, minute, value| CountedMinute { metric, at: at(minute), value };
        let since = at(0);
        let minutes = [
            counted(Metric::Deliveries, 7, 2),
            counted(Metric::SignatureFailures, 9, 4),
            counted(Metric::Deliveries, 3, 40),
            counted(Metric::Duplicates, 3, 5),
            counted(Metric::Deliveries, 8, 0),
            counted(Metric::DeliveryLag, 7, 2),
            counted(Metric::DeliveryLag, 3, 300),
        ];
        let reception = Reception::of(&minutes, since);
        assert_eq!(
            reception,
            Reception {
                since,
                last_at: Some(at(7)),
                last_lag_s: Some(2),
                highest_lag_s: Some(300),
                deliveries: 42,
                bad_signatures: 4,
                duplicates: 5
            }
        );
        assert_eq!(
            ReceptionView::Known(reception).told(at(10)),
            "the last 3 min 0 s ago (lag 2 s); 42 deliveries in 3 hours (lag up to 5 min 0 s); comments \
             told again: 5; 4 refused for their signature"
        );
        let refused = [counted(Metric::SignatureFailures, 1, 1)];
        assert_eq!(Reception::of(&refused, since).last_at, None, "Instagram has not reached us");
    }
}
