//! Instants as programs read them.

use serde::{Serialize, Serializer};
use spillway_core::time::Timestamp;

/// An instant for programs: RFC 3339 in UTC. `None` for one that never comes.
pub fn rfc3339(at: Timestamp) -> Option<String> {
    let millis = i64::try_from(at.as_millis()).ok()?;
    let at = jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(at.to_string())
}

/// Serialises an instant by [`rfc3339`].
pub(crate) fn instant<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    rfc3339(*at).serialize(to)
}

/// Serialises an instant that may be missing, which is `null` then.
pub(super) fn optional<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.and_then(rfc3339).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_and_one_that_never_comes_is_nothing() {
        let at = Timestamp::from_secs(1_790_000_000);
        assert_eq!(rfc3339(at).as_deref(), Some("2026-09-21T14:13:20Z"));
        assert_eq!(rfc3339(Timestamp::NEVER), None);
    }
}
