//! Progress of what takes long: a bar on a terminal, elsewhere a line now and then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where no bar can be drawn.
const EVERY: Duration = Duration::from_secs(10);

/// How far it is.
pub(crate) struct Progress {
    bar: ProgressBar,
    done: &'static str,
    /// When lines are due; `None` where the bar is drawn.
    lines: Option<Mutex<Lines>>,
}

/// Lines about how far it is, where no bar can be drawn.
struct Lines {
    /// How long it had taken when the last line was written.
    said_at: Duration,
    position: usize,
    total: Option<usize>,
}

impl Lines {
    /// Counts, and returns a line if the last one was long ago. It has `taken` so long by now.
    fn advance(&mut self, by: usize, done: &str, taken: Duration) -> Option<String> {
        self.position += by;
        if taken.saturating_sub(self.said_at) < EVERY {
            return None;
        }
        self.said_at = taken;
        let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
        Some(format!("{}{of} {done}", self.position))
    }
}

impl Progress {
    /// Of `total` things that are being `done`.
    pub(crate) fn new(done: &'static str, total: usize) -> Self {
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        Self::shown(bar, "{bar:32} {pos}/{len} {msg}", done, Some(total))
    }

    /// Of an unknown number of things.
    pub(crate) fn unbounded(done: &'static str) -> Self {
        Self::shown(ProgressBar::new_spinner(), "{spinner} {pos} {msg}", done, None)
    }

    fn shown(bar: ProgressBar, form: &str, done: &'static str, total: Option<usize>) -> Self {
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(done);
        let lines = Lines { said_at: Duration::ZERO, position: 0, total };
        let lines = bar.is_hidden().then(|| Mutex::new(lines));
        Self { bar, done, lines }
    }

    /// So many more.
    pub(crate) fn advance(&self, by: usize) {
        self.bar.inc(u64::try_from(by).unwrap_or(u64::MAX));
        let Some(lines) = &self.lines else { return };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.advance(by, self.done, self.bar.elapsed()) {
            eprintln!("{line}");
        }
    }

    /// It is over.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_line_comes_now_and_then() {
        let mut lines = Lines { said_at: Duration::ZERO, position: 0, total: Some(100_000) };
        let told: Vec<String> = (1..=50)
            .filter_map(|second| {
                lines.advance(2000, "people looked at", Duration::from_secs(second))
            })
            .collect();
        assert_eq!(told.len(), 5);
        assert_eq!(told[0], "20000 of 100000 people looked at");
        assert_eq!(told[4], "100000 of 100000 people looked at");
        let mut few = Lines { said_at: Duration::ZERO, position: 0, total: None };
        assert_eq!(few.advance(2, "read", Duration::from_secs(9)), None, "it is over soon");
        let said = few.advance(1, "read", Duration::from_secs(10));
        assert_eq!(said.as_deref(), Some("3 read"));
    }
}
