//! Every model on every trace.

use serde::Serialize;

use crate::Model;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::trace::Trace;

/// One trace under all models.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The trace's name.
    pub scenario: String,
    /// How many comments it has.
    pub comments: usize,
    /// How many people the account may write to in 24 hours.
    pub recipients_per_day: u32,
    /// One for each model.
    pub models: Vec<Row>,
}

/// One model's outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The model's name.
    pub model: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What became of the comments.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Requests to queues and stores for each DM.
    pub requests_per_dm: Option<f64>,
}

/// Plays each of `traces` under each of `models`, every time against a Meta of its own.
pub fn compare(traces: &[Trace], models: &[Box<dyn Model>]) -> Vec<Compared> {
    let rows = |trace: &Trace| models.iter().map(|model| row(model.as_ref(), trace)).collect();
    traces
        .iter()
        .map(|trace| Compared {
            scenario: trace.name.clone(),
            comments: trace.arrivals.len(),
            recipients_per_day: trace.recipients_per_day,
            models: rows(trace),
        })
        .collect()
}

fn row(model: &dyn Model, trace: &Trace) -> Row {
    let outcome = model.play(trace, &mut Meta::new(trace));
    let requests_per_dm = outcome.requests_per_dm().map(|per_dm| (per_dm * 10.0).round() / 10.0);
    Row { model: model.name(), about: model.about(), outcome, requests_per_dm }
}
