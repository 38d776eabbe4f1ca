//! Metrics as log lines in CloudWatch's embedded metric format (EMF): CloudWatch takes them out of
//! the log by itself, so a function makes no request for them and waits for nothing.
//!
//! These lines are our own: `metrique` brings 37 crates, a queue and a second `rand`, and
//! writes one line for each label.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use spillway_core::time::Timestamp;
use spillway_service::clock::{Clock, ClockCheck};
use spillway_service::metrics::{Definition, Label, Meter, Metric, Series};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Spillway";

/// The dimension that every metric has: the deployment, so that two in one account do not mix.
pub const STACK: &str = "Stack";

/// The most values of one metric that a line may hold.
const VALUES_MAX: usize = 100;

/// Takes lines of metrics.
pub type WriteLine = Arc<dyn Fn(&str) + Send + Sync>;

/// Writes what invocations record.
#[derive(Clone)]
pub struct Metrics {
    /// Where they record it.
    pub meter: Arc<Meter>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// The deployment's name.
    pub stack: String,
    /// Takes each line.
    pub write: WriteLine,
}

impl Metrics {
    /// Ends an invocation: writes what was recorded since the last one, and nothing where nothing
    /// was. What an invocation recorded that was killed comes with the next one, or never.
    pub fn flush(&self) {
        if !self.check.is_trusted() {
            self.meter.count(Metric::ClockDistrusted, 1);
        }
        let recorded = self.meter.take();
        if !recorded.is_empty() {
            lines(recorded, &self.stack, self.clock.now())
                .iter()
                .for_each(|line| (self.write)(line));
        }
    }
}

/// Writes a line to standard output.
pub fn to_stdout(line: &str) {
    // A log that cannot be written is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// What was recorded, in as few lines as can be: a line has one value for each dimension.
fn lines(recorded: Vec<Series>, stack: &str, at: Timestamp) -> Vec<String> {
    let mut lines: Vec<Line> = Vec::new();
    for Series { metric, label, values } in recorded {
        let values: Vec<(u64, u64)> = values.into_iter().collect();
        for values in values.chunks(VALUES_MAX) {
            let metric = metric.definition();
            match lines.iter_mut().find(|line| line.has_room(metric, label.as_ref())) {
                Some(line) => line.add(metric, label.as_ref(), values),
                None => {
                    let mut line = Line::default();
                    line.add(metric, label.as_ref(), values);
                    lines.push(line);
                }
            }
        }
    }
    lines.into_iter().map(|line| line.encode(stack, at)).collect()
}

/// A line in the making.
#[derive(Default)]
struct Line {
    /// The metrics, by the dimension that they have beside the stack.
    metrics: BTreeMap<Option<&'static str>, Vec<Value>>,
    /// The values of metrics and dimensions.
    members: Map<String, Value>,
}

impl Line {
    fn has_room(&self, metric: Definition, label: Option<&Label>) -> bool {
        let of_dimension = metric.dimension.and_then(|dimension| self.members.get(dimension));
        !self.members.contains_key(metric.name)
            && of_dimension.is_none_or(|value| value.as_str() == label.map(|label| &**label))
    }

    fn add(&mut self, metric: Definition, label: Option<&Label>, values: &[(u64, u64)]) {
        let Definition { name, unit, dimension, .. } = metric;
        let definition = json!({ "Name": name, "Unit": format!("{unit:?}") });
        self.metrics.entry(dimension).or_default().push(definition);
        if let (Some(dimension), Some(label)) = (dimension, label) {
            self.members.insert(dimension.into(), label.as_ref().into());
        }
        let value = match values {
            [(value, 1)] => json!(value),
            _ => {
                let (values, counts): (Vec<u64>, Vec<u64>) = values.iter().copied().unzip();
                json!({ "Values": values, "Counts": counts })
            }
        };
        self.members.insert(name.into(), value);
    }

    fn encode(mut self, stack: &str, at: Timestamp) -> String {
        let directive = |(dimension, metrics): (Option<&str>, Vec<Value>)| {
            let dimensions: Vec<&str> = [STACK].into_iter().chain(dimension).collect();
            json!({ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics })
        };
        let directives: Vec<Value> = self.metrics.into_iter().map(directive).collect();
        let meta = json!({ "Timestamp": at.as_millis(), "CloudWatchMetrics": directives });
        self.members.insert(STACK.into(), stack.into());
        self.members.insert("_aws".into(), meta);
        Value::Object(self.members).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spillway_core::send::{Class, FailReason, Outcome};

    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn written(meter: &Meter) -> Vec<Value> {
        let lines = lines(meter.take(), "prod", AT);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_invocation_that_sent_one_dm_writes_one_line() {
        let meter = Meter::default();
        meter.count(Metric::Sent, 1);
        meter.see_span(Metric::GraphLatency, Duration::from_millis(312));
        meter.ended(Class::PRIVATE_REPLY, &Outcome::Failed { reason: FailReason::CommentGone });
        let expected = json!({
            "_aws": {
                "Timestamp": 1_790_000_000_000_u64,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "Spillway",
                        "Dimensions": [["Stack"]],
                        "Metrics": [
                            { "Name": "Sent", "Unit": "Count" },
                            { "Name": "FailedSends", "Unit": "Count" },
                            { "Name": "GraphLatency", "Unit": "Milliseconds" },
                        ],
                    },
                    {
                        "Namespace": "Spillway",
                        "Dimensions": [["Stack", "Reason"]],
                        "Metrics": [{ "Name": "Failed", "Unit": "Count" }],
                    },
                ],
            },
            "Stack": "prod",
            "Sent": 1,
            "FailedSends": 1,
            "GraphLatency": 312,
            "Reason": "CommentGone",
            "Failed": 1,
        });
        assert_eq!(written(&meter), [expected]);
    }

    #[test]
    fn a_second_label_of_a_dimension_takes_a_second_line() {
        let meter = Meter::default();
        for label in ["Pace", "Hours", "Pace"] {
            meter.count_by(Metric::Denied, label);
        }
        meter.count_by(Metric::Held, "AccountThrottled");
        let lines = written(&meter);
        let members = |line: &Value| {
            ["Bound", "Denied", "Hold", "Held"]
                .map(|name| line.get(name).cloned().unwrap_or_default())
        };
        assert_eq!(
            lines.iter().map(members).collect::<Vec<_>>(),
            [
                [json!("Hours"), json!(1), json!("AccountThrottled"), json!(1)],
                [json!("Pace"), json!(2), Value::Null, Value::Null],
            ]
        );
        let declared = |line: &Value| line["_aws"]["CloudWatchMetrics"].as_array().unwrap().len();
        assert_eq!([declared(&lines[0]), declared(&lines[1])], [2, 1]);
    }

    #[test]
    fn a_value_seen_more_than_once_comes_with_how_often() {
        let meter = Meter::default();
        for ms in [250, 90, 250] {
            meter.see(Metric::GraphLatency, ms);
        }
        let expected = json!({ "Values": [90, 250], "Counts": [1, 2] });
        assert_eq!(written(&meter)[0]["GraphLatency"], expected);
    }

    #[test]
    fn a_line_holds_no_more_values_of_a_metric_than_cloudwatch_takes() {
        let meter = Meter::default();
        (0..250).for_each(|ms| meter.see(Metric::GraphLatency, ms));
        meter.count(Metric::Sent, 250);
        let lines = written(&meter);
        let values = |line: &Value| line["GraphLatency"]["Values"].as_array().unwrap().len();
        assert_eq!(lines.iter().map(values).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(lines[0]["Sent"], 250);
        assert_eq!(lines[1]["Sent"], Value::Null, "once is enough");
    }
}
