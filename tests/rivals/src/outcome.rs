//! What became of a trace under one model.

use serde::Serialize;

/// What one model made of one trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Comments that got their DM.
    pub delivered: u64,
    /// Comments that never did.
    pub lost: u64,
    /// Calls of Meta, refused ones included.
    pub calls: u64,
    /// Calls made while a limit response said to stop.
    pub calls_in_hold: u64,
    /// The window that was fullest for its limit, refused calls included; `None` without a call.
    pub fullest: Option<Fullest>,
    /// Requests to queues and stores, as modelled.
    pub requests: u64,
    /// Seconds from the first comment to the last DM.
    pub last_dm_s: Option<u64>,
}

/// A rolling window's count against its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fullest {
    /// The limit's name.
    pub limit: String,
    /// What it came to.
    pub count: u64,
    /// What it may come to.
    pub allowed: u32,
}

impl Outcome {
    /// Requests to queues and stores for each DM; `None` where nothing was asked or delivered.
    pub fn requests_per_dm(&self) -> Option<f64> {
        let counts = self.requests > 0 && self.delivered > 0;
        counts.then(|| self.requests as f64 / self.delivered as f64)
    }

    /// Percent of the comments that never got their DM.
    pub fn lost_percent(&self) -> f64 {
        let all = self.delivered + self.lost;
        if all == 0 { 0.0 } else { 100.0 * self.lost as f64 / all as f64 }
    }

    /// By how many calls the fullest window was over its limit.
    pub fn excess(&self) -> u64 {
        let over = |window: &Fullest| window.count.saturating_sub(u64::from(window.allowed));
        self.fullest.as_ref().map_or(0, over)
    }
}
