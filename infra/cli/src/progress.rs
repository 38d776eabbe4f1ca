//! Progress of what takes long: a bar on a terminal, elsewhere nothing.

use indicatif::{ProgressBar, ProgressStyle};

/// How far it is.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of `total` things that are being `done`.
    pub(crate) fn new(done: &'static str, total: usize) -> Self {
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(done);
        Self(bar)
    }

    /// Of an unknown number of things.
    pub(crate) fn unbounded(done: &'static str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(done);
        Self(bar)
    }

    /// So many more.
    pub(crate) fn advance(&self, by: usize) {
        self.0.inc(u64::try_from(by).unwrap_or(u64::MAX));
    }

    /// It is over.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
