//! What comments cost that match nothing, beside their deliveries.

use super::lambda::{gb_seconds, millis};
use super::others::store;
use super::usage::Usage;
use crate::process::Function;

/// Write units of a tally with a day's usual kinds of miss: at most 2 kB.
const TALLY: f64 = 2.0;

/// Write units of a sample, which is below 1 kB but for texts of many bytes.
const SAMPLE: f64 = 1.0;

/// A post that goes viral: comments an hour that match nothing, and the processes that are told of
/// them.
const VIRAL: f64 = 100_000.0;
const PROCESSES: f64 = 20.0;

/// Samples that are replaced by others of a lower rank until the hour is over: 20 of a keyword, and
/// `20 * ln(n / 20)` more.
const VIRAL_SAMPLES: f64 = 200.0;

/// Writes in an hour of a process.
const WRITES: f64 = 60.0;

/// A miss that is written by itself, as the only one of its minute: a tally is read, and written
/// with a sample, one after the other.
pub(super) fn alone() -> Usage {
    let waited = 3.0 * store() as f64;
    let lasts = millis(Function::Webhook, 0.0, waited, 3.0);
    Usage {
        write_units: TALLY + SAMPLE,
        read_units: 0.5,
        gb_seconds: gb_seconds(Function::Webhook, lasts),
        ..Usage::default()
    }
}

/// A miss on a post that goes viral: its part of what each process writes once a minute.
pub(super) fn viral() -> Usage {
    let writes = PROCESSES * WRITES / VIRAL;
    Usage { write_units: writes * TALLY + VIRAL_SAMPLES / VIRAL * SAMPLE, ..alone() * writes }
}

#[cfg(test)]
mod tests {
    use super::super::prices::{LIST, Prices};
    use super::super::usage::Bill;
    use super::*;

    #[test]
    fn a_million_misses_cost_two_dollars_at_most_and_cents_on_a_viral_post() {
        let prices = Prices::read(LIST).unwrap();
        let usd = |usage: Usage| Bill::of(&(usage * 1e6), &prices).total;
        let (alone, viral) = (usd(alone()), usd(viral()));
        assert!((1.5..2.5).contains(&alone) && viral < 0.05, "{alone} and {viral}");
    }
}
