//! Spans as people write them: `90s`, `10m`, `24h`, `1d`, `1d 12h`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Parses a span, with days of 24 hours. Returns `None` for anything else, and for one below zero.
pub fn parse(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(span).ok()
}

/// Writes a span as [`parse`] reads it, such as `1h 30m`.
pub fn format(span: Duration) -> String {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    format!("{span:#}")
}

/// Writes a span, for serde.
///
/// # Errors
/// Fails if the serializer does.
pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format(*span))
}

/// Reads a span, for serde.
///
/// # Errors
/// Fails if it is no text that [`parse`] reads.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format!("`{text}` is not a length of time: write `10m`, `24h` or `1d`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_hours_minutes_and_seconds_are_read() {
        let read = |text: &str| parse(text).map(|span| span.as_secs());
        let spans = ["90s", "30m", "2h", "1d", "1d 12h", "1h30m", "0s"].map(read);
        assert_eq!(spans, [90, 1800, 7200, 86_400, 129_600, 5400, 0].map(Some));
        for text in ["", "2", "soon", "-2h", "1 month", "1y"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
