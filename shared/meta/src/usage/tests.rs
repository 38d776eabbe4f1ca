use proptest::prelude::*;

use super::*;

/// After Meta's example, on one line: two businesses, the second of them twice.
const METAS_EXAMPLE: &str = r#"{"10153848260347724":[{"type":"messenger","call_count":100,"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":19}],"10153848260347725":[{"type":"pages","call_count":97,"total_cputime":23,"total_time":23,"estimated_time_to_regain_access":0}],"10153848260347725":[{"type":"instagram","call_count":3,"total_cputime":2,"total_time":98,"estimated_time_to_regain_access":0}]}"#;

fn usage(pairs: &[(&'static str, &str)]) -> Usage {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).expect("header value"));
    }
    Usage::read(&headers)
}

#[track_caller]
fn assert_app(value: &str, expected: Option<u16>) {
    let expected = Usage { app: expected.map(Percent), ..Usage::default() };
    assert_eq!(usage(&[(APP_USAGE, value)]), expected, "{value}");
}

#[track_caller]
fn assert_account(value: &str, percent: Option<u16>, regain_secs: Option<u64>) {
    let expected = Usage {
        app: None,
        account: percent.map(Percent),
        regain: regain_secs.map(Duration::from_secs),
    };
    assert_eq!(usage(&[(BUSINESS_USAGE, value)]), expected, "{value}");
}

#[test]
fn without_headers_nothing_is_known() {
    assert_eq!(usage(&[]), Usage { app: None, account: None, regain: None });
    assert_eq!(usage(&[("x-ad-account-usage", r#"{"acc_id_util_pct":99}"#)]), Usage::default());
}

#[test]
fn the_apps_highest_figure_counts() {
    assert_app(r#"{"call_count":28,"total_time":25,"total_cputime":25}"#, Some(28));
    assert_app(r#"{"call_count":28,"total_time":31,"total_cputime":25}"#, Some(31));
    assert_app(r#"{"call_count":28,"total_time":31,"total_cputime":99}"#, Some(99));
    assert_app(r#"{"total_cputime":0}"#, Some(0));
}

#[test]
fn the_highest_figure_of_all_objects_of_all_businesses_counts() {
    assert_account(METAS_EXAMPLE, Some(100), Some(19 * 60));
    assert_account(&METAS_EXAMPLE.replace("100", "10"), Some(98), Some(19 * 60));
    let two = r#"{"11":[{"type":"messenger","call_count":1},{"type":"pages","total_time":44}]}"#;
    assert_account(two, Some(44), None);
}

#[test]
fn a_repeated_business_hides_nothing() {
    let limit = |figure: u16| {
        format!(r#"[{{"call_count":{figure},"estimated_time_to_regain_access":{figure}}}]"#)
    };
    assert_account(&format!(r#"{{"11":{},"11":{}}}"#, limit(7), limit(2)), Some(7), Some(420));
    assert_account(&format!(r#"{{"11":{},"11":{}}}"#, limit(2), limit(7)), Some(7), Some(420));
}

#[test]
fn the_limits_of_others_neither_slow_nor_hold() {
    for kind in ["ads_insights", "ads_management", "custom_audience", "leadgen", "whatsapp", ""] {
        let other =
            format!(r#"{{"type":"{kind}","call_count":100,"estimated_time_to_regain_access":60}}"#);
        assert_account(&format!(r#"{{"11":[{other}]}}"#), None, None);
        let ours = r#"{"type":"instagram","call_count":40,"estimated_time_to_regain_access":2}"#;
        assert_account(&format!(r#"{{"11":[{other},{ours}]}}"#), Some(40), Some(120));
    }
}

#[test]
fn a_limit_of_no_type_is_ours() {
    for kind in ["", r#""type":null,"#, r#""type":5,"#] {
        let value = format!(r#"{{"11":[{{{kind}"call_count":40}}]}}"#);
        assert_account(&value, Some(40), None);
    }
}

#[test]
fn a_repeated_header_hides_nothing() {
    let app = |figure: u16| format!(r#"{{"call_count":{figure}}}"#);
    let account = |figure: u16| format!(r#"{{"11":[{{"call_count":{figure}}}]}}"#);
    for (first, second) in [(5, 9), (9, 5)] {
        let read = usage(&[
            (APP_USAGE, &app(first)),
            (APP_USAGE, "{"),
            (APP_USAGE, &app(second)),
            (BUSINESS_USAGE, &account(second + 1)),
            (BUSINESS_USAGE, &account(first + 1)),
        ]);
        assert_eq!((read.app, read.account), (Some(Percent(9)), Some(Percent(10))));
    }
}

#[test]
fn numbers_may_be_floats_or_strings_and_are_rounded_up() {
    for (figure, expected) in [
        ("96.0", 96),
        ("96.01", 97),
        ("99.5", 100),
        ("0.1", 1),
        ("-0.0", 0),
        (r#""41""#, 41),
        (r#"" 41.2 ""#, 42),
        ("1e2", 100),
        ("1000", 1000),
        ("1001", 1000),
        ("18446744073709551616", 1000),
        ("1e300", 1000),
        (r#""inf""#, 1000),
    ] {
        assert_app(&format!(r#"{{"call_count":{figure}}}"#), Some(expected));
        let account = format!(r#"{{"11":[{{"type":"instagram","total_time":{figure}}}]}}"#);
        assert_account(&account, Some(expected), None);
    }
}

#[test]
fn what_is_no_figure_is_left_out() {
    for figure in ["-1", "-0.5", r#""NaN""#, r#""-inf""#, r#""""#, r#""many""#, "null", "[]", "{}"]
    {
        assert_app(&format!(r#"{{"call_count":{figure}}}"#), None);
        assert_app(&format!(r#"{{"call_count":{figure},"total_time":3}}"#), Some(3));
        assert_account(&format!(r#"{{"11":[{{"call_count":{figure}}}]}}"#), None, None);
    }
}

#[test]
fn what_is_no_usage_is_left_out() {
    for value in ["", "{", "[]", "7", "null", r#""x""#, "{}", r#"{"11":7}"#, "28%"] {
        assert_app(value, None);
        assert_account(value, None, None);
    }
    for value in [r#"{"11":{"call_count":7}}"#, r#"{"11":[]}"#, r#"{"11":[1,{},null]}"#] {
        assert_account(value, None, None);
    }
    assert_account(r#"{"10":7,"11":[1,{},null,{"call_count":7}]}"#, Some(7), None);
}

#[test]
fn many_objects_are_all_read() {
    let limit = |figure: usize| format!(r#"{{"type":"instagram","call_count":{figure}}}"#);
    let limits: Vec<String> = (0..100).map(limit).collect();
    assert_account(&format!(r#"{{"11":[{}]}}"#, limits.join(",")), Some(99), None);
    let businesses: Vec<String> =
        limits.iter().enumerate().map(|(id, limit)| format!(r#""{id}":[{limit}]"#)).collect();
    assert_account(&format!("{{{}}}", businesses.join(",")), Some(99), None);
}

#[test]
fn a_value_longer_than_any_of_metas_is_not_read() {
    let value = r#"{"11":[{"call_count":7}]}"#;
    let padded = |bytes: usize| value.to_owned() + &" ".repeat(bytes - value.len());
    assert_account(&padded(HEADER_BYTES_MAX), Some(7), None);
    assert_account(&padded(HEADER_BYTES_MAX + 1), None, None);
    assert_account(&"[".repeat(HEADER_BYTES_MAX), None, None);
    assert_account(&r#"{"":["#.repeat(HEADER_BYTES_MAX / 5), None, None);
}

#[test]
fn takes_the_longest_pause_of_all() {
    let minutes =
        |minutes: &str| format!(r#"{{"11":[{{"estimated_time_to_regain_access":{minutes}}}]}}"#);
    for (value, secs) in [("19", 1140), ("1.5", 90), (r#""2""#, 120)] {
        assert_account(&minutes(value), None, Some(secs));
    }
    for value in ["0", "-5", r#""NaN""#, "null", r#""soon""#] {
        assert_account(&minutes(value), None, None);
    }
    let secs = |pairs: &[(&'static str, &str)]| usage(pairs).regain.map(|pause| pause.as_secs());
    assert_eq!(secs(&[("retry-after", "30")]), Some(30));
    assert_eq!(secs(&[("retry-after", " 30 "), ("retry-after", "40")]), Some(40));
    assert_eq!(secs(&[("retry-after", "90"), (BUSINESS_USAGE, &minutes("1"))]), Some(90));
    assert_eq!(secs(&[("retry-after", "30"), (BUSINESS_USAGE, &minutes("1"))]), Some(60));
    assert_eq!(secs(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), None);
}

#[test]
fn believes_no_pause_longer_than_a_day() {
    let day = Some(REGAIN_ACCESS_MAX);
    assert_eq!(usage(&[("retry-after", "18446744073709551615")]).regain, day);
    for minutes in ["1441", "1e300", r#""inf""#] {
        let value = format!(r#"{{"11":[{{"estimated_time_to_regain_access":{minutes}}}]}}"#);
        assert_eq!(usage(&[(BUSINESS_USAGE, &value)]).regain, day, "{minutes}");
    }
}

/// Bytes that a header may have, many of them such as JSON is made of.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"11\":[{",
            "\"call_count\":",
            "\"type\":",
            "null",
            "\"instagram\"",
            "\"ads_insights\"",
            "\"estimated_time_to_regain_access\":",
            "1e999",
            "-",
            "0.5",
            "\"\\ud83d\"",
            "\\",
            "\u{e4}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn never_panics_and_keeps_its_bounds(
        app in header_bytes(),
        business in prop::collection::vec(header_bytes(), 0..3),
        retry_after in header_bytes(),
    ) {
        let mut headers = HeaderMap::new();
        let named = business.into_iter().map(|value| (BUSINESS_USAGE, value));
        for (name, value) in named.chain([(APP_USAGE, app), ("retry-after", retry_after)]) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        let usage = Usage::read(&headers);
        prop_assert!(usage.app.max(usage.account) <= Some(Percent::MAX));
        prop_assert!(usage.regain <= Some(REGAIN_ACCESS_MAX));
        prop_assert_ne!(usage.regain, Some(Duration::ZERO));
    }

    #[test]
    fn every_figure_is_read_as_it_is(
        figures in prop::collection::vec((0..2000_u16, 0..3_usize, any::<bool>()), 0..50),
    ) {
        let limits: Vec<String> = figures
            .iter()
            .map(|(figure, name, is_ours)| {
                let kind = if *is_ours { "instagram" } else { "ads_management" };
                format!(r#""11":[{{"type":"{kind}","{}":{figure}}}]"#, FIGURES[*name])
            })
            .collect();
        let read = usage(&[(BUSINESS_USAGE, &format!("{{{}}}", limits.join(",")))]);
        let ours = figures.iter().filter(|(.., is_ours)| *is_ours);
        prop_assert_eq!(read.account, ours.map(|(figure, ..)| Percent::new(*figure)).max());
    }
}
