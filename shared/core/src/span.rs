//! Spans as people write them in files: `10m`, `1h`, `24h`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes a span.
pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    let span = SignedDuration::try_from(*span).unwrap_or(SignedDuration::MAX);
    to.collect_str(&format_args!("{span:#}"))
}

/// Reads a span.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let span: Option<SignedDuration> = text.parse().ok();
    span.and_then(|span| Duration::try_from(span).ok()).ok_or_else(|| {
        D::Error::custom(format!("`{text}` is not a length of time: write `10m` or `24h`"))
    })
}
