//! How long Meta asks to be left alone, from the headers of an answer.
//!
//! Meta documents `X-Business-Use-Case-Usage` (Graph API rate limits, 2026), not whether
//! graph.instagram.com sends it with messages: a pause must never depend on it. `Retry-After` is not
//! documented and is honoured if it is there.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::json::{self, Object};

/// The longest pause that is believed.
pub const REGAIN_ACCESS_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const USAGE: &str = "x-business-use-case-usage";

/// The longest pause that the headers ask for: minutes in `estimated_time_to_regain_access`, over
/// all objects of the header, or seconds in `Retry-After` (one that is a date is ignored). `None`
/// when they ask for none; at most [`REGAIN_ACCESS_MAX`].
pub fn regain_access(headers: &HeaderMap) -> Option<Duration> {
    let usage = headers.get_all(USAGE).iter().filter_map(header_text).flat_map(regain_minutes);
    let retry_after = headers.get_all(RETRY_AFTER).iter().filter_map(header_text);
    usage
        .map(|minutes| minutes * 60.0)
        .chain(retry_after.filter_map(json::number::<u64>).map(|secs| secs as f64))
        .filter(|secs| *secs > 0.0)
        .map(|secs| Duration::from_secs_f64(secs.min(REGAIN_ACCESS_MAX.as_secs_f64())))
        .max()
}

fn header_text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim)
}

/// The header is an object of lists of objects. One business may come twice, as in Meta's example.
fn regain_minutes(usage: &str) -> Vec<f64> {
    let Some(businesses) = Object::parse(usage) else { return Vec::new() };
    businesses
        .values()
        .filter_map(json::array)
        .flatten()
        .filter_map(Object::parse)
        .filter_map(|limit| limit.number("estimated_time_to_regain_access"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("header value"));
        }
        headers
    }

    #[track_caller]
    fn assert_secs(pairs: &[(&'static str, &str)], expected: Option<u64>) {
        assert_eq!(regain_access(&headers(pairs)), expected.map(Duration::from_secs), "{pairs:?}");
    }

    #[test]
    fn takes_the_longest_pause_of_all_objects() {
        let usage = r#"{"11":[{"type":"messenger","call_count":100,"estimated_time_to_regain_access":19},{"type":"pages","estimated_time_to_regain_access":3}],"22":[{"estimated_time_to_regain_access":0}]}"#;
        assert_secs(&[(USAGE, usage)], Some(19 * 60));
    }

    #[test]
    fn a_repeated_business_hides_nothing() {
        let usage = r#"{"11":[{"estimated_time_to_regain_access":7}],"11":[{"estimated_time_to_regain_access":2}]}"#;
        assert_secs(&[(USAGE, usage)], Some(7 * 60));
    }

    #[test]
    fn numbers_may_be_floats_or_strings() {
        assert_secs(&[(USAGE, r#"{"11":[{"estimated_time_to_regain_access":1.5}]}"#)], Some(90));
        assert_secs(&[(USAGE, r#"{"11":[{"estimated_time_to_regain_access":"2"}]}"#)], Some(120));
    }

    #[test]
    fn retry_after_counts_in_seconds() {
        assert_secs(&[("retry-after", "30")], Some(30));
        assert_secs(&[("retry-after", " 30 "), ("retry-after", "40")], Some(40));
        assert_secs(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None);
        let usage = r#"{"11":[{"estimated_time_to_regain_access":1}]}"#;
        assert_secs(&[("retry-after", "90"), (USAGE, usage)], Some(90));
    }

    #[test]
    fn believes_no_more_than_a_day() {
        let day = Some(24 * 60 * 60);
        assert_secs(&[("retry-after", "18446744073709551615")], day);
        assert_secs(&[(USAGE, r#"{"11":[{"estimated_time_to_regain_access":1e300}]}"#)], day);
        assert_secs(&[(USAGE, r#"{"11":[{"estimated_time_to_regain_access":"inf"}]}"#)], day);
    }

    #[test]
    fn anything_else_asks_for_no_pause() {
        assert_secs(&[], None);
        assert_secs(&[("x-app-usage", r#"{"call_count":100}"#)], None);
        for usage in [
            "",
            "{",
            "[]",
            r#"{"11":{}}"#,
            r#"{"11":[1,{}]}"#,
            r#"{"11":[{"estimated_time_to_regain_access":0}]}"#,
            r#"{"11":[{"estimated_time_to_regain_access":-5}]}"#,
            r#"{"11":[{"estimated_time_to_regain_access":"NaN"}]}"#,
        ] {
            assert_secs(&[(USAGE, usage)], None);
        }
    }
}
