//! How runs are told of: one of them, and many together.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::record::{Counts, Elapsed};
use crate::scenario::Theme;
use crate::sim::Run;

/// Many runs together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Runs.
    pub seeds: u64,
    /// Those in which something broke.
    pub broken: Vec<u64>,
    /// Sends that were recorded.
    pub matched: u64,
    /// Sends that arrived.
    pub sent: u64,
    /// Virtual time, in hours.
    pub virtual_hours: u64,
    /// How often what happened.
    pub counts: Counts,
    /// Real time, in seconds.
    pub seconds: f64,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.broken.extend((!run.failures.is_empty()).then_some(run.seed));
        self.matched += run.tally.matched;
        self.sent += run.tally.sent;
        self.virtual_hours += run.lasted_ms / 3_600_000;
        for (what, count) in &run.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// The runs took so long.
    #[must_use]
    pub fn took(self, time: Duration) -> Self {
        Self { seconds: time.as_secs_f64(), ..self }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, broken, matched, sent, virtual_hours, counts, seconds } = self;
        let rate = *seeds as f64 / seconds.max(0.001);
        writeln!(
            f,
            "{seeds} seeds in {seconds:.1} s ({rate:.1}/s), {virtual_hours} virtual hours"
        )?;
        writeln!(f, "{matched} sends, of which {sent} arrived; {} seeds broken", broken.len())?;
        write_counts(f, counts)
    }
}

impl Run {
    /// The command that plays it again.
    pub fn again(&self) -> String {
        let theme = match self.theme {
            Theme::Anything => "",
            Theme::Campaign => " --theme campaign",
            Theme::Refusals => " --theme refusals",
            Theme::Crowd => " --theme crowd",
            Theme::Upkeep => " --theme upkeep",
            Theme::Administration => " --theme administration",
            Theme::Repeats => " --theme repeats",
            Theme::PublicReplies => " --theme public-replies",
            Theme::Triggers => " --theme triggers",
            Theme::Talks => " --theme talks",
        };
        format!(
            "cargo run --release -p spillway-simulation --bin simulate --{theme} --seed {} --trace",
            self.seed
        )
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.scenario)?;
        let Some(failure) = self.failures.first() else {
            writeln!(f, "held for {}, {:?}", Elapsed(self.lasted_ms), self.tally)?;
            return write_counts(f, &self.counts);
        };
        writeln!(f, "BROKEN at {}: {}", Elapsed(failure.at_ms), failure.what)?;
        writeln!(f, "again: {}", self.again())
    }
}

fn write_counts(f: &mut fmt::Formatter<'_>, counts: &Counts) -> fmt::Result {
    for (what, count) in counts {
        writeln!(f, "  {count:>9} {what}")?;
    }
    Ok(())
}
