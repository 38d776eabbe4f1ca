//! Metrics: what the use cases record of what happens, added up until the function takes it.
//! Each metric's name, unit and kind are defined here; how it is written down does not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spillway_core::budget::{Budget, DenialReason};
use spillway_core::hold::HoldCause;
use spillway_core::quota::Action;
use spillway_core::rules::Rules;
use spillway_core::send::{Class, Outcome};
use spillway_core::time::Timestamp;
use spillway_meta::error::Verdict;
use spillway_meta::graph::CallError;

use crate::port::StoreError;

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Deliveries with a right signature and at least one event.
    Deliveries,
    /// The age of the earliest event of a delivery with a right signature, by Meta's own time of it.
    DeliveryLag,
    /// Comments in deliveries with a right signature.
    Accepted,
    /// Sends recorded: comments that a campaign wants.
    Matched,
    /// Comments recorded before.
    Duplicates,
    /// Comments of people who have, or wait for, all that a campaign gives them. A delivery that
    /// comes again may count again.
    Repeats,
    /// Comments and messages of people who have had as many DMs as one gets in ten days. A delivery
    /// that comes again counts again.
    TooManyAnswers,
    /// Campaigns that wanted a comment which another one answers. A delivery that comes again
    /// counts again.
    Outranked,
    /// Comments for accounts that are not connected.
    UnknownAccounts,
    /// Deliveries whose signature was refused, by why.
    SignatureFailures,
    /// Sends that were left without a slot, or lost it.
    Parked,
    /// Sends put off, by what bound: the quota, or what else.
    Denied,
    /// Sends delivered.
    Sent,
    /// Sends that failed for good, by reason.
    Failed,
    /// Sends that failed for good, whatever the reason.
    FailedSends,
    /// Sends that were too late.
    Expired,
    /// Sends that are not wanted any more.
    Cancelled,
    /// Public replies that have ended, by how. They count in no other metric of sends.
    PublicReplies,
    /// What people and their sends have told conversations, by what became of it.
    Conversations,
    /// Requests for tracked links of this deployment, by what became of them.
    Clicks,
    /// Holds that began, by scope and cause.
    Held,
    /// Answers that an account's token is dead, or does not see the account.
    DeadTokens,
    /// Answers that Meta restricts an account.
    BlockedAccounts,
    /// Holds that began or were lengthened and that need somebody: a permission is missing, Meta
    /// refuses one person's DM after the other, or its servers failed again after a first hold.
    StoppedAccounts,
    /// What calls of the Graph API took.
    GraphLatency,
    /// Calls of the Graph API that did not succeed, by what the answer means.
    GraphErrors,
    /// Calls of the Graph API that were not answered, or only with a 5xx.
    MetaFailures,
    /// Times that an account's token could not be opened.
    KeyFailures,
    /// What is left of the quota that an account has least left of, by quota.
    Headroom,
    /// The age of an account's oldest waiting send.
    OldestWaiting,
    /// How long ago the slot was of the send that is overdue the longest.
    OldestDue,
    /// Pending sends of an account that will probably be too late.
    ForecastLate,
    /// How long the account that waits the longest for a run has been due.
    ReleaseBehind,
    /// Sends that a crash had left behind, brought back.
    Repaired,
    /// Comments that a campaign wants and no webhook had told of, found by reading.
    Backfilled,
    /// Looks at accounts whose webhooks have stopped.
    SilentAccounts,
    /// Accounts that were not subscribed to their webhooks, and are again.
    Resubscribed,
    /// Looks at accounts whose token ends within a week, or has ended.
    EndingTokens,
    /// Visits of upkeep to an account that failed.
    FailedVisits,
    /// Records that were handed back to their queue, by function.
    FailedRecords,
    /// Times that the secret of the Meta app could not be read.
    SecretFailures,
    /// Invocations that ended with a clock that cannot be trusted.
    ClockDistrusted,
    /// Stored items that could not be read.
    CorruptItems,
}

/// What a metric's values are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Whole seconds.
    Seconds,
    /// Whole milliseconds.
    Milliseconds,
    /// Whole percent.
    Percent,
}

/// How several values of a metric are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are added up.
    Sum,
    /// The lowest is kept.
    Lowest,
    /// The highest is kept.
    Highest,
    /// All are kept.
    Each,
}

/// What is known of a metric beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name in CloudWatch.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// How several values are put together.
    pub kind: Kind,
    /// The name of what its series are told apart by. It has few values: never an account's id.
    pub dimension: Option<&'static str>,
}

impl Definition {
    const fn new(name: &'static str, unit: Unit, kind: Kind) -> Self {
        Self { name, unit, kind, dimension: None }
    }

    const fn count(name: &'static str) -> Self {
        Self::new(name, Unit::Count, Kind::Sum)
    }

    const fn by(self, dimension: &'static str) -> Self {
        Self { dimension: Some(dimension), ..self }
    }
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 43] = [
        Self::Deliveries,
        Self::DeliveryLag,
        Self::Accepted,
        Self::Matched,
        Self::Duplicates,
        Self::Repeats,
        Self::TooManyAnswers,
        Self::Outranked,
        Self::UnknownAccounts,
        Self::SignatureFailures,
        Self::Parked,
        Self::Denied,
        Self::Sent,
        Self::Failed,
        Self::FailedSends,
        Self::Expired,
        Self::Cancelled,
        Self::PublicReplies,
        Self::Conversations,
        Self::Clicks,
        Self::Held,
        Self::DeadTokens,
        Self::BlockedAccounts,
        Self::StoppedAccounts,
        Self::GraphLatency,
        Self::GraphErrors,
        Self::MetaFailures,
        Self::KeyFailures,
        Self::Headroom,
        Self::OldestWaiting,
        Self::OldestDue,
        Self::ForecastLate,
        Self::ReleaseBehind,
        Self::Repaired,
        Self::Backfilled,
        Self::SilentAccounts,
        Self::Resubscribed,
        Self::EndingTokens,
        Self::FailedVisits,
        Self::FailedRecords,
        Self::SecretFailures,
        Self::ClockDistrusted,
        Self::CorruptItems,
    ];

    /// What is known of it beforehand.
    pub const fn definition(self) -> Definition {
        use Definition as D;
        match self {
            Self::Deliveries => D::count("Deliveries"),
            Self::DeliveryLag => D::new("DeliveryLag", Unit::Seconds, Kind::Highest),
            Self::Accepted => D::count("Accepted"),
            Self::Matched => D::count("Matched"),
            Self::Duplicates => D::count("Duplicates"),
            Self::Repeats => D::count("Repeats"),
            Self::TooManyAnswers => D::count("TooManyAnswers"),
            Self::Outranked => D::count("Outranked"),
            Self::UnknownAccounts => D::count("UnknownAccounts"),
            Self::SignatureFailures => D::count("SignatureFailures").by("Signature"),
            Self::Parked => D::count("Parked"),
            Self::Denied => D::count("Denied").by("Bound"),
            Self::Sent => D::count("Sent"),
            Self::Failed => D::count("Failed").by("Reason"),
            Self::FailedSends => D::count("FailedSends"),
            Self::Expired => D::count("Expired"),
            Self::Cancelled => D::count("Cancelled"),
            Self::PublicReplies => D::count("PublicReplies").by("Outcome"),
            Self::Conversations => D::count("Conversations").by("Outcome"),
            Self::Clicks => D::count("Clicks").by("Click"),
            Self::Held => D::count("Held").by("Hold"),
            Self::DeadTokens => D::count("DeadTokens"),
            Self::BlockedAccounts => D::count("BlockedAccounts"),
            Self::StoppedAccounts => D::count("StoppedAccounts"),
            Self::GraphLatency => D::new("GraphLatency", Unit::Milliseconds, Kind::Each),
            Self::GraphErrors => D::count("GraphErrors").by("Class"),
            Self::MetaFailures => D::count("MetaFailures"),
            Self::KeyFailures => D::count("KeyFailures"),
            Self::Headroom => D::new("Headroom", Unit::Percent, Kind::Lowest).by("Quota"),
            Self::OldestWaiting => D::new("OldestWaiting", Unit::Seconds, Kind::Highest),
            Self::OldestDue => D::new("OldestDue", Unit::Seconds, Kind::Highest),
            Self::ForecastLate => D::new("ForecastLate", Unit::Count, Kind::Highest),
            Self::ReleaseBehind => D::new("ReleaseBehind", Unit::Seconds, Kind::Highest),
            Self::Repaired => D::count("Repaired"),
            Self::Backfilled => D::count("Backfilled"),
            Self::SilentAccounts => D::count("SilentAccounts"),
            Self::Resubscribed => D::count("Resubscribed"),
            Self::EndingTokens => D::count("EndingTokens"),
            Self::FailedVisits => D::count("FailedVisits"),
            Self::FailedRecords => D::count("FailedRecords").by("Function"),
            Self::SecretFailures => D::count("SecretFailures"),
            Self::ClockDistrusted => D::count("ClockDistrusted"),
            Self::CorruptItems => D::count("CorruptItems"),
        }
    }
}

/// The value of a metric's dimension.
pub type Label = Cow<'static, str>;

/// What was recorded of one metric, of one label where it has labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The metric.
    pub metric: Metric,
    /// The value of its dimension.
    pub label: Option<Label>,
    /// Each value, and how often it was seen.
    pub values: BTreeMap<u64, u64>,
}

/// The values of each series.
type Recorded = BTreeMap<(Metric, Option<Label>), BTreeMap<u64, u64>>;

/// Takes down what happens in one process.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Recorded>);

impl Meter {
    /// Adds `n` to a counter. Nothing is written for 0.
    pub fn count(&self, metric: Metric, n: usize) {
        if n > 0 {
            self.record(metric, None, n as u64);
        }
    }

    /// Adds one to a counter under this label.
    pub fn count_by(&self, metric: Metric, label: impl Into<Label>) {
        self.record(metric, Some(label.into()), 1);
    }

    /// Adds `n` to a counter under this label. Nothing is written for 0.
    pub fn count_several_by(&self, metric: Metric, label: impl Into<Label>, n: usize) {
        if n > 0 {
            self.record(metric, Some(label.into()), n as u64);
        }
    }

    /// Records a value.
    pub fn see(&self, metric: Metric, value: u64) {
        self.record(metric, None, value);
    }

    /// Records a span, in the metric's unit.
    pub fn see_span(&self, metric: Metric, span: Duration) {
        let value = match metric.definition().unit {
            Unit::Milliseconds => u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            Unit::Count | Unit::Seconds | Unit::Percent => span.as_secs(),
        };
        self.record(metric, None, value);
    }

    /// Counts a send that has ended.
    pub fn ended(&self, class: Class, outcome: &Outcome) {
        if class.is_public() {
            return self.count_by(Metric::PublicReplies, outcome.name());
        }
        match outcome {
            Outcome::Sent { .. } => self.count(Metric::Sent, 1),
            Outcome::Failed { reason } => {
                self.count_by(Metric::Failed, name_of(reason));
                self.count(Metric::FailedSends, 1);
            }
            Outcome::Expired => self.count(Metric::Expired, 1),
            Outcome::Cancelled { .. } => self.count(Metric::Cancelled, 1),
        }
    }

    /// What kept a send from being made now.
    pub(crate) fn denied(&self, reason: &DenialReason) {
        let label = match reason {
            DenialReason::Quota(id) => id.to_string().into(),
            DenialReason::Hold(_) => "Hold".into(),
            DenialReason::AppHold(_) => "AppHold".into(),
            DenialReason::Hours
            | DenialReason::Pace
            | DenialReason::RecipientHold
            | DenialReason::CampaignHold
            | DenialReason::Clock
            | DenialReason::Contention
            | DenialReason::Disconnected => name_of(reason),
        };
        self.count_by(Metric::Denied, label);
    }

    /// A call that did not succeed.
    pub(crate) fn call_failed(&self, call: &CallError) {
        let verdict = call.verdict();
        let label = match (call, verdict) {
            (CallError::NotWritten, _) => "NotConnected".into(),
            (CallError::Unknown, _) => "NoAnswer".into(),
            (_, Verdict::Throttled { scope }) => format!("{scope:?}Throttled").into(),
            (_, verdict) => name_of(&verdict),
        };
        self.count_by(Metric::GraphErrors, label);
        let is_unanswered = match call {
            CallError::Refused { error, .. } => error.status >= 500,
            CallError::NotDone { .. } => false,
            _ => true,
        };
        self.count(Metric::MetaFailures, usize::from(is_unanswered));
        match verdict {
            Verdict::TokenDead => self.count(Metric::DeadTokens, 1),
            Verdict::Blocked => self.count(Metric::BlockedAccounts, 1),
            _ => {}
        }
    }

    /// A hold of an account that began or was lengthened, the `strikes`th within a day of others.
    pub(crate) fn held(&self, cause: HoldCause, strikes: u32) {
        let needs_somebody = match cause {
            HoldCause::Permission | HoldCause::Refusing => true,
            HoldCause::Failing => strikes > 1,
            HoldCause::Throttled
            | HoldCause::NearLimit
            | HoldCause::Operator
            // These have metrics of their own.
            | HoldCause::Blocked
            | HoldCause::TokenDead => false,
        };
        self.count(Metric::StoppedAccounts, usize::from(needs_somebody));
    }

    /// How near the nearest quota is.
    pub(crate) fn headroom(&self, budget: &Budget, rules: &Rules, action: Action, now: Timestamp) {
        if let Some((quota, percent)) = budget.tightest(rules, action, now) {
            let label = Some(quota.to_string().into());
            self.record(Metric::Headroom, label, percent.into());
        }
    }

    /// A store's error that lasts until somebody repairs the item.
    pub fn store_failed(&self, error: &StoreError) {
        if !error.is_retryable() {
            self.count(Metric::CorruptItems, 1);
        }
    }

    /// Whether something is recorded, and all of it is of this metric.
    pub fn has_only(&self, metric: Metric) -> bool {
        let recorded = self.recorded();
        !recorded.is_empty() && recorded.keys().all(|&(of, _)| of == metric)
    }

    /// What was recorded since it was last taken.
    pub fn take(&self) -> Vec<Series> {
        let recorded = std::mem::take(&mut *self.recorded());
        let series = |((metric, label), values)| Series { metric, label, values };
        recorded.into_iter().map(series).collect()
    }

    fn record(&self, metric: Metric, label: Option<Label>, value: u64) {
        let Definition { kind, dimension, .. } = metric.definition();
        debug_assert_eq!(label.is_some(), dimension.is_some(), "{metric:?} of {label:?}");
        let mut recorded = self.recorded();
        let values = recorded.entry((metric, label)).or_default();
        let known = values.keys().next().copied();
        let kept = match kind {
            Kind::Each => {
                *values.entry(value).or_default() += 1;
                return;
            }
            Kind::Sum => known.unwrap_or_default().saturating_add(value),
            Kind::Lowest => known.map_or(value, |known| known.min(value)),
            Kind::Highest => known.map_or(value, |known| known.max(value)),
        };
        *values = BTreeMap::from([(kept, 1)]);
    }

    fn recorded(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a variant, as code has it.
pub fn name_of(variant: &impl Debug) -> Label {
    format!("{variant:?}").into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use spillway_core::quota::QuotaId;
    use spillway_meta::error::GraphError;
    use spillway_meta::usage::Usage;

    use super::*;

    /// A series: its metric, its label, its values with how often each was seen.
    type Taken = (Metric, String, Vec<(u64, u64)>);

    fn taken(meter: &Meter) -> Vec<Taken> {
        let series = meter.take().into_iter();
        series
            .map(|Series { metric, label, values }| {
                (metric, label.unwrap_or_default().into_owned(), values.into_iter().collect())
            })
            .collect()
    }

    #[test]
    fn every_metric_is_listed_once_under_its_own_name() {
        let names: BTreeSet<_> = Metric::ALL.map(|metric| metric.definition().name).into();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert_eq!(metric.definition().name, name_of(&metric));
        }
        // The last variant is the last of the list, so none is missing from it.
        assert_eq!(Metric::CorruptItems as usize, Metric::ALL.len() - 1);
        assert!(Metric::ALL.is_sorted());
    }

    #[test]
    fn values_are_added_up_or_the_extreme_or_all_of_them_are_kept() {
        let meter = Meter::default();
        meter.count(Metric::Sent, 2);
        meter.count(Metric::Sent, 3);
        meter.count(Metric::Expired, 0);
        for age in [30, 20, 40, 10] {
            meter.see_span(Metric::OldestWaiting, Duration::from_secs(age));
            meter.record(Metric::Headroom, Some("calls_hour".into()), age);
        }
        meter.record(Metric::Headroom, Some("people_day".into()), 7);
        for ms in [250, 90, 250] {
            meter.see_span(Metric::GraphLatency, Duration::from_millis(ms));
        }
        assert_eq!(
            taken(&meter),
            [
                (Metric::Sent, String::new(), vec![(5, 1)]),
                (Metric::GraphLatency, String::new(), vec![(90, 1), (250, 2)]),
                (Metric::Headroom, "calls_hour".into(), vec![(10, 1)]),
                (Metric::Headroom, "people_day".into(), vec![(7, 1)]),
                (Metric::OldestWaiting, String::new(), vec![(40, 1)]),
            ]
        );
        assert_eq!(taken(&meter), [], "what was taken is gone");
    }

    #[test]
    fn a_quota_is_named_and_everything_else_has_one_name() {
        let meter = Meter::default();
        for bound in [
            DenialReason::Quota(QuotaId::new("calls_hour")),
            DenialReason::Hold(HoldCause::Blocked),
            DenialReason::Hold(HoldCause::Throttled),
            DenialReason::AppHold(HoldCause::Throttled),
            DenialReason::RecipientHold,
        ] {
            meter.denied(&bound);
        }
        let denied: Vec<_> =
            taken(&meter).into_iter().map(|(_, label, values)| (label, values[0].0)).collect();
        let expected = [("AppHold", 1), ("Hold", 2), ("RecipientHold", 1), ("calls_hour", 1)];
        assert_eq!(denied, expected.map(|(label, n)| (label.to_owned(), n)));
    }

    #[test]
    fn a_failed_call_is_told_by_what_it_means() {
        let refused = |code| CallError::Refused {
            error: GraphError { status: 400, code: Some(code), ..GraphError::default() },
            usage: Usage::default(),
            server_date: None,
        };
        let meter = Meter::default();
        for call in [
            CallError::NotWritten,
            CallError::Unknown,
            refused(4),
            refused(613),
            refused(190),
            refused(190),
            refused(368),
            refused(551),
        ] {
            meter.call_failed(&call);
        }
        let mut recorded = taken(&meter);
        recorded.retain(|(metric, ..)| *metric != Metric::GraphErrors);
        let met = |metric, n| (metric, String::new(), vec![(n, 1)]);
        let expected = [
            met(Metric::DeadTokens, 2),
            met(Metric::BlockedAccounts, 1),
            met(Metric::MetaFailures, 2),
        ];
        assert_eq!(recorded, expected);

        meter.call_failed(&CallError::Unknown);
        meter.call_failed(&refused(4));
        let errors = taken(&meter).into_iter().filter(|(of, ..)| *of == Metric::GraphErrors);
        let labels: Vec<_> = errors.map(|(_, label, _)| label).collect();
        assert_eq!(labels, ["AppThrottled", "NoAnswer"]);
    }
}
