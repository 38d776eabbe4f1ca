//! Comments that become DMs on the local stack: all of it on one core.

use anyhow::{Result, ensure};
use serde::Serialize;
use spillway_local::setup::QuotaOptions;
use spillway_local::story::{Story, StoryOptions};

use crate::now;
use crate::ports::{BEHIND, measured};

/// What a DM takes of one core, in milliseconds, from the webhook on.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) dms: u64,
    pub(super) dms_a_second: f64,
    /// Everything: the functions, and the stand-ins of Meta, DynamoDB, SQS and Lambda.
    pub(super) all_ms: f64,
    /// While the functions' invocations are polled: ours, the SDK's and the HTTP clients'.
    pub(super) functions_ms: f64,
    /// Of these, what is not behind a port: the events and the use cases, with what they log.
    pub(super) ours_ms: f64,
}

/// Plays the local story.
pub(super) async fn measure(story: &StoryOptions, quotas: &QuotaOptions) -> Result<Report> {
    let mut story = Story::wrapped(story, quotas, measured).await?;
    let began = now();
    while story.step().await? {}
    let all = began.elapsed();
    let dms = story.progress().sent;
    ensure!(dms == story.expected, "{dms} of {} DMs were made", story.expected);
    let functions = story.stack.busy.time();
    let per_dm = |time: std::time::Duration| time.as_secs_f64() * 1000.0 / dms as f64;
    Ok(Report {
        dms,
        dms_a_second: dms as f64 / all.as_secs_f64(),
        all_ms: per_dm(all),
        functions_ms: per_dm(functions),
        ours_ms: per_dm(functions.saturating_sub(BEHIND.time())),
    })
}
