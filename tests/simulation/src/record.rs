//! What is written down of a run: a hash over every event, counts, the first thing that broke, and
//! the events themselves for whoever wants to read them.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

/// Takes the lines of a trace.
pub type Listener = Box<dyn FnMut(&str) + Send>;

/// The record of one run.
pub(crate) struct Record {
    start: u64,
    hash: Fnv,
    counts: Counts,
    failures: Vec<Failure>,
    listener: Option<Listener>,
}

/// How often what happened.
pub type Counts = BTreeMap<&'static str, u64>;

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When, in milliseconds from the start.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

impl Record {
    /// An empty record of a run that begins at `start`, in milliseconds since 1970.
    pub(crate) fn new(start: u64, listener: Option<Listener>) -> Self {
        Self { start, hash: Fnv::new(), counts: Counts::new(), failures: Vec::new(), listener }
    }

    /// Writes down an event at `now`.
    pub(crate) fn event(&mut self, now: u64, what: fmt::Arguments<'_>) {
        let at = now - self.start;
        // Writing into a hash cannot fail.
        let _ = writeln!(self.hash, "{at} {what}");
        if let Some(listener) = &mut self.listener {
            listener(&format!("{} {what}", Elapsed(at)));
        }
    }

    /// Counts one more of `what`.
    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Counts `more` of `what`.
    pub(crate) fn add(&mut self, what: &'static str, more: u64) {
        *self.counts.entry(what).or_default() += more;
    }

    /// Something broke.
    pub(crate) fn fail(&mut self, now: u64, what: String) {
        self.event(now, format_args!("BROKEN {what}"));
        self.failures.push(Failure { at_ms: now - self.start, what });
    }

    /// What broke. The first one counts: the others may follow from it.
    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// All counts.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The hash over every event so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }
}

/// Milliseconds, as days and time of day.
pub struct Elapsed(pub u64);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, hours) = (secs / 86_400, secs / 3600 % 24);
        let (minutes, secs) = (secs / 60 % 60, secs % 60);
        write!(f, "{days}d {hours:02}:{minutes:02}:{secs:02}.{millis:03}")
    }
}

/// FNV-1a over whatever is written.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_knows_what_happened_and_when() {
        let hash = |at, what: &str| {
            let mut record = Record::new(0, None);
            record.event(at, format_args!("{what}"));
            record.hash()
        };
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
        assert_ne!(hash(1, "a"), hash(1, "b"));
    }

    #[test]
    fn the_first_failure_comes_first() {
        let mut record = Record::new(1000, None);
        record.fail(1500, "first".into());
        record.fail(1600, "second".into());
        assert_eq!(record.failures()[0], Failure { at_ms: 500, what: "first".into() });
    }

    #[test]
    fn elapsed_time_reads_well() {
        assert_eq!(Elapsed(90_061_007).to_string(), "1d 01:01:01.007");
    }
}
