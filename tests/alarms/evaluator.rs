//! CloudWatch: metrics as they were written, and the template's alarms over them. An alarm is
//! evaluated each minute over periods that end at that minute.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use spillway_cloud::emf::STACK;
use spillway_core::time::Timestamp;

use super::expression::{self, Values};

const MINUTE: Duration = Duration::from_secs(60);

/// A series: namespace, name, and the value of each dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) dimensions: BTreeMap<String, String>,
}

/// A value, and how often it was seen at that instant.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: Timestamp,
    value: f64,
    count: f64,
}

/// Everything that was recorded.
#[derive(Debug, Default)]
pub(super) struct Recorded(BTreeMap<Series, Vec<Point>>);

impl Recorded {
    pub(super) fn add(&mut self, series: Series, at: Timestamp, value: f64, count: f64) {
        let points = self.0.entry(series).or_default();
        let place = points.partition_point(|point| point.at <= at);
        points.insert(place, Point { at, value, count });
    }

    /// Takes the metrics out of a line in the embedded metric format.
    pub(super) fn read(&mut self, line: &Value) {
        let at = Timestamp::from_millis(line["_aws"]["Timestamp"].as_u64().unwrap());
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            let names = directive["Dimensions"][0].as_array().unwrap().iter();
            let names = names.map(|name| name.as_str().unwrap().to_owned());
            let dimensions: BTreeMap<String, String> = names
                .map(|name| (name.clone(), line[&name].as_str().unwrap().to_owned()))
                .collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                let series = Series {
                    namespace: directive["Namespace"].as_str().unwrap().to_owned(),
                    name: name.to_owned(),
                    dimensions: dimensions.clone(),
                };
                for (value, count) in counted(&line[name]) {
                    self.add(series.clone(), at, value, count);
                }
            }
        }
    }

    /// A statistic over the half-open span that ends with `end`; `None` without a value.
    fn statistic(
        &self,
        series: &Series,
        statistic: &str,
        end: Timestamp,
        span: Duration,
    ) -> Option<f64> {
        let points = self.0.get(series)?;
        let start = end - span;
        let from = points.partition_point(|point| point.at <= start);
        let to = points.partition_point(|point| point.at <= end);
        let points = points.get(from..to).filter(|points| !points.is_empty())?;
        let of = |value: fn(&Point) -> f64| points.iter().map(value);
        Some(match statistic {
            "Sum" => of(|point| point.value * point.count).sum(),
            "SampleCount" => of(|point| point.count).sum(),
            "Maximum" => of(|point| point.value).fold(f64::MIN, f64::max),
            "Minimum" => of(|point| point.value).fold(f64::MAX, f64::min),
            other => panic!("say here what {other} is"),
        })
    }
}

/// The values of a metric in a line, with how often each was seen.
fn counted(value: &Value) -> Vec<(f64, f64)> {
    let all = |of: &Value| -> Vec<f64> {
        of.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    match value {
        Value::Number(value) => vec![(value.as_f64().unwrap(), 1.0)],
        many => all(&many["Values"]).into_iter().zip(all(&many["Counts"])).collect(),
    }
}

/// What an alarm looks at.
enum Watched {
    One(Series, String),
    Math(String, Vec<(String, Series, String)>),
}

/// An alarm of the template.
pub(super) struct Alarm {
    watched: Watched,
    period: Duration,
    evaluation_periods: u32,
    datapoints_to_alarm: usize,
    threshold: f64,
    is_below: bool,
    missing_breaches: bool,
}

impl Alarm {
    /// Reads the properties of an alarm.
    pub(super) fn read(alarm: &Value) -> Self {
        let secs = |of: &Value| Duration::from_secs(of.as_u64().unwrap());
        let text = |of: &Value| of.as_str().unwrap().to_owned();
        let (watched, period) = match alarm["Metrics"].as_array() {
            None => {
                let watched = Watched::One(series(alarm), text(&alarm["Statistic"]));
                (watched, secs(&alarm["Period"]))
            }
            Some(rows) => {
                let (math, metrics): (Vec<&Value>, Vec<&Value>) =
                    rows.iter().partition(|row| row["Expression"].is_string());
                assert_eq!(math.len(), 1, "one expression is the result");
                let periods: Vec<Duration> =
                    metrics.iter().map(|row| secs(&row["MetricStat"]["Period"])).collect();
                assert!(periods.iter().all(|period| *period == periods[0]));
                let metric = |row: &&Value| {
                    let stat = &row["MetricStat"];
                    (text(&row["Id"]), series(&stat["Metric"]), text(&stat["Stat"]))
                };
                let metrics = metrics.iter().map(metric).collect();
                (Watched::Math(text(&math[0]["Expression"]), metrics), periods[0])
            }
        };
        let evaluation_periods = u32::try_from(alarm["EvaluationPeriods"].as_u64().unwrap());
        let evaluation_periods = evaluation_periods.unwrap();
        let datapoints = alarm["DatapointsToAlarm"].as_u64().map(|datapoints| datapoints as usize);
        let is_below = match alarm["ComparisonOperator"].as_str().unwrap() {
            "GreaterThanThreshold" => false,
            "LessThanThreshold" => true,
            other => panic!("say here what {other} is"),
        };
        let missing_breaches = match alarm["TreatMissingData"].as_str().unwrap() {
            "notBreaching" => false,
            "breaching" => true,
            other => panic!("say here what {other} is"),
        };
        Self {
            watched,
            period,
            evaluation_periods,
            datapoints_to_alarm: datapoints.unwrap_or(evaluation_periods as usize),
            threshold: alarm["Threshold"].as_f64().unwrap(),
            is_below,
            missing_breaches,
        }
    }

    /// The series that it looks at.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Series> {
        let (one, many) = match &self.watched {
            Watched::One(series, _) => (Some(series), None),
            Watched::Math(_, metrics) => (None, Some(metrics)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(_, series, _)| series))
    }

    /// For how long what was recorded tells.
    pub(super) fn range(&self) -> Duration {
        self.period * self.evaluation_periods
    }

    /// Whether the alarm is on at `at`.
    pub(super) fn is_on(&self, recorded: &Recorded, at: Timestamp) -> bool {
        let breaches = |period: &u32| {
            let end = at - self.period * *period;
            match self.value(recorded, end) {
                None => self.missing_breaches,
                Some(value) if self.is_below => value < self.threshold,
                Some(value) => value > self.threshold,
            }
        };
        (0..self.evaluation_periods).filter(breaches).count() >= self.datapoints_to_alarm
    }

    fn value(&self, recorded: &Recorded, end: Timestamp) -> Option<f64> {
        match &self.watched {
            Watched::One(series, statistic) => {
                recorded.statistic(series, statistic, end, self.period)
            }
            Watched::Math(expression, metrics) => {
                let values: Values = metrics
                    .iter()
                    .map(|(id, series, statistic)| {
                        (id.clone(), recorded.statistic(series, statistic, end, self.period))
                    })
                    .collect();
                expression::evaluate(expression, &values)
            }
        }
    }

    /// The first minute from `from` on, until `to`, in which the alarm is on.
    pub(super) fn first_on(
        &self,
        recorded: &Recorded,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<Timestamp> {
        let minutes = std::iter::successors(Some(from), |at| Some(*at + MINUTE));
        minutes.take_while(|at| *at <= to).find(|at| self.is_on(recorded, *at))
    }
}

/// What a choice of the template comes to by default.
fn by_default(value: &Value) -> &Value {
    match value["Fn::If"].as_array() {
        Some(choice) => {
            assert_eq!(choice[0], "IsFunctionUrl", "say here what {choice:?} is by default");
            &choice[1]
        }
        None => value,
    }
}

/// The series that a metric of the template means: resources go by their names there.
fn series(metric: &Value) -> Series {
    let named = |value: &Value| match by_default(value) {
        Value::String(text) => text.clone(),
        reference if reference["Fn::Sub"].is_string() => {
            reference["Fn::Sub"].as_str().unwrap().replace(['$', '{', '}'], "")
        }
        reference => {
            let name = reference["Ref"].as_str().or_else(|| {
                let attribute = reference["Fn::GetAtt"].as_str()?;
                attribute.split('.').next()
            });
            let name = name.unwrap_or_else(|| panic!("what is {reference}?"));
            if name == "AWS::StackName" { super::STACK_NAME.to_owned() } else { name.to_owned() }
        }
    };
    let dimensions = metric["Dimensions"].as_array().unwrap().iter();
    Series {
        namespace: named(&metric["Namespace"]),
        name: named(&metric["MetricName"]),
        dimensions: dimensions
            .map(|dimension| (named(&dimension["Name"]), named(&dimension["Value"])))
            .collect(),
    }
}

#[test]
fn an_alarm_goes_on_when_enough_periods_breach_and_off_when_they_are_past() {
    let alarm = Alarm::read(&serde_json::json!({
        "Namespace": "N",
        "MetricName": "M",
        "Dimensions": [{ "Name": STACK, "Value": { "Ref": "AWS::StackName" } }],
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }));
    let series = Series {
        namespace: "N".into(),
        name: "M".into(),
        dimensions: BTreeMap::from([(STACK.to_owned(), super::STACK_NAME.to_owned())]),
    };
    let at = |minute: u64| Timestamp::from_secs(1_000_000 + minute * 60);
    let mut recorded = Recorded::default();
    recorded.add(series.clone(), at(1), 2.0, 1.0);
    recorded.add(series.clone(), at(8), 1.0, 1.0);
    assert_eq!(alarm.first_on(&recorded, at(0), at(60)), None);
    recorded.add(series, at(9), 1.0, 2.0);
    assert_eq!(alarm.first_on(&recorded, at(0), at(60)), Some(at(9)));
    assert!(alarm.is_on(&recorded, at(15)) && !alarm.is_on(&recorded, at(16)));
}
