//! Instants as Meta writes them in objects of the Graph API: `2026-11-24T12:00:00+0000`.

use spillway_core::time::Timestamp;

/// Reads Meta's form, in which the offset has no colon, and RFC 3339. `None` for what is neither,
/// and for what lies before 1970.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(instant.as_millisecond()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp::from_secs(1_795_521_600);

    #[test]
    fn reads_metas_form_and_rfc_3339() {
        for text in [
            "2026-11-24T12:00:00+0000",
            "2026-11-24T12:00:00-0000",
            "2026-11-24T14:30:00+0230",
            "2026-11-24T04:00:00-0800",
            "2026-11-24T12:00:00Z",
            "2026-11-24T12:00:00+00:00",
            "2026-11-24t12:00:00z",
            "2026-11-25T00:00:00+12:00",
        ] {
            assert_eq!(parse(text), Some(NOON), "{text}");
        }
        let millis = Timestamp::from_millis(NOON.as_millis() + 250);
        assert_eq!(parse("2026-11-24T12:00:00.25+0000"), Some(millis));
    }

    #[test]
    fn without_an_offset_it_names_no_instant() {
        for text in ["", "2026-11-24", "2026-11-24T12:00:00", "1795521600", "12:00", "+0000"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_or_before_1970_is_none() {
        for text in [
            "2026-02-30T12:00:00+0000",
            "2026-11-24T25:00:00+0000",
            "1969-12-31T23:59:59+0000",
            "-000001-01-01T00:00:00Z",
            "2026-11-24T12:00:00+0000 and more",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00+0000"), Some(Timestamp::EPOCH));
    }

    proptest! {
        #[test]
        fn never_panics(text: String, digits in "[0-9TZ:+.-]{0,40}") {
            let _ = (parse(&text), parse(&digits));
        }
    }
}
