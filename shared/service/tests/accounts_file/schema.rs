//! The derived schema against the parser: it accepts what the parser accepts, and refuses what a
//! schema can refuse.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Map, Value, json};
use spillway_core::profile::Profile;
use spillway_service::accounts_file::{parse, schema};

use crate::mistakes::{GOOD, MISTAKES};
use crate::then;

/// A file with every field that there is.
const FULL: &str = r#"[[profile]]
name = "mine"
base = "meta"
spread = { active = "12h", burst = 3 }
warm_up = { from_percent = 10, to_percent = 50, days = 7, ramp_days = 0 }
slow_down = { from_percent = 60, stop_percent = 90 }
quota = [
  { id = "messages_day", actions = ["message", "private_reply"], unit = "calls", window = "24h", limit = { tier_1 = 500, tier_2 = 5000, tier_3 = 50000 } },
  { id = "public", actions = ["public_reply"], unit = "calls", scope = "app", window = "10m", limit = 5 },
]

[[account]]
id = "17841400000000001"
profile = "mine"
terms = { tier = 3, time_zone = "Asia/Tokyo", day_starts = "07:05", warm_up_since = "2026-11-01" }

[[account.campaign]]
id = "guide"
keywords = ["guide"]
matching = "exact"
except = ["spam"]
media = ["17900000000000001"]
starts = "2026-12-01"
ends = "2026-12-24T18:00"
overflow = "newest_first"
messages = ["Hi {username|there}!"]
public_replies = ["Sent, {username|you}!", "Look at your messages"]
public_share = 0.3
public_fallback = ["{username|Hi}, write me"]

[[account.campaign]]
id = "launch"
media = "next"
messages = ["Hi {username|there}!"]

[[account]]
id = "17841400000000002"
"#;

/// Words from the reasons that a schema cannot know: they concern two values together, or what a
/// text says.
const BEYOND: [&str; 60] = [
    "is the next post alone",
    "cannot choose a",
    "needs a post, and a",
    "is for comments: add",
    "Meta does not say who wrote",
    "is from 1d to 400d",
    "ends before it starts",
    "contains the exception",
    "there are two profiles",
    "there is no profile",
    "the warm-up must rise",
    "the spread's own quota",
    "counts recipients",
    "no row counts",
    "has a window of",
    "is not a length of time",
    "quota `calls_hour` is listed twice",
    "is not a time zone",
    "no space before or behind: `guide `",
    "has campaign `rest` twice",
    "`GUIDE` is listed twice",
    "and in `except`",
    "`{user}` is not known",
    "`{first_name}` is known only once",
    "a single brace",
    "would be empty where",
    "the fallback has",
    "only one of them could answer",
    "both take every comment",
    "all capitals",
    "hashtags and a comment",
    "links and a comment",
    "needs `public_fallback`",
    "`Yes!` is listed twice",
    "`Basta!` is listed twice",
    "cannot both end and restart",
    "is an `answer` of a campaign",
    "`takeover` is from 1m to 30d",
    "`leads_for` is from 1d to 1100d",
    "the disclosure is blank",
    "before its subtitle",
    "the disclosure has a control character",
    "ends everything for the person",
    "`{name}` is not known",
    "`{word}` is not known",
    "is known only once the person has written",
    "needs a fallback",
    "is there twice",
    "the title is empty",
    "does not begin with https://",
    "a space or a brace",
    "is no URL",
    "the message is empty: give it",
    "beside a `text` alone",
    "the text of a card can become",
    "`after` is from 1m to 23h",
    "takes the place of `{keyword}`",
    "and answers nothing",
    "`then` is empty",
    "counts from the delivery",
];

#[test]
fn schema_and_parser_agree() {
    let schema = schema();
    for text in [GOOD, FULL, then::GOOD] {
        assert!(parse(text, &Profile::careful()).is_ok(), "{text}");
        assert_eq!(fault(&schema, text), Some(None), "{text}");
    }
    let mut refused = 0;
    let of_then = then::MISTAKES.iter().map(|mistake| (then::GOOD, mistake));
    for (good, (from, to, reason)) in MISTAKES.iter().map(|one| (GOOD, one)).chain(of_then) {
        let text = good.replacen(from, to, 1);
        // What is not TOML never meets the schema.
        let Some(fault) = fault(&schema, &text) else { continue };
        let first = reason.lines().next().unwrap();
        let is_beyond = BEYOND.iter().any(|words| first.contains(words));
        assert_eq!(fault.is_none(), is_beyond, "{to}: {reason}\n{fault:?}");
        refused += usize::from(fault.is_some());
    }
    assert!(refused >= 25, "{refused}");
    assert!(fault(&schema, "").unwrap().is_some(), "an account is required");
}

#[test]
fn every_field_of_a_campaign_is_described() {
    let schema = schema();
    let campaign = schema["$defs"]["Campaign"]["properties"].as_object().unwrap();
    for (name, field) in campaign {
        assert!(field["description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
    }
}

/// Returns the first fault that the schema finds in a file, or `None` if the file is not TOML.
fn fault(schema: &Value, text: &str) -> Option<Option<String>> {
    let file: toml::Value = toml::from_str(text).ok()?;
    let file = serde_json::to_value(file).unwrap();
    Some(check(schema, schema, &file).err())
}

/// Checks a value against a schema, as far as this schema goes: what is not known here is an error,
/// so that nothing is silently left out.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let is = |holds: bool, rule: &str| {
        holds.then_some(()).ok_or_else(|| format!("{value} breaks {rule}"))
    };
    let none = Map::new();
    let object = value.as_object().unwrap_or(&none);
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    for (keyword, rule) in schema.as_object().unwrap() {
        let rules = || rule.as_array().unwrap().iter();
        let bound = || rule.as_u64().unwrap();
        let count = value.as_str().map_or(items.len(), |text| text.chars().count()) as u64;
        let is_kept = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let target = rule.as_str().unwrap().trim_start_matches('#');
                check(root, root.pointer(target).unwrap(), value)?;
                true
            }
            "anyOf" => rules().any(|one| check(root, one, value).is_ok()),
            "oneOf" => rules().filter(|one| check(root, one, value).is_ok()).count() == 1,
            "const" => value == rule,
            "type" if rule.is_array() => rules().any(|name| is_a(value, name.as_str().unwrap())),
            "type" => is_a(value, rule.as_str().unwrap()),
            "required" => rules().all(|name| object.contains_key(name.as_str().unwrap())),
            "properties" => {
                for (name, field) in object {
                    rule.get(name).map_or(Ok(()), |rule| check(root, rule, field))?;
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(*rule, json!(false));
                object.keys().all(|name| schema["properties"].get(name).is_some())
            }
            "items" => {
                items.iter().try_for_each(|item| check(root, rule, item))?;
                true
            }
            "minItems" | "minLength" => count >= bound(),
            "maxItems" | "maxLength" => count <= bound(),
            "uniqueItems" => (1..items.len()).all(|at| !items[..at].contains(&items[at])),
            "minimum" => value.as_f64().is_none_or(|number| number >= bound() as f64),
            "maximum" => value.as_f64().is_none_or(|number| number <= bound() as f64),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            other => panic!("`{other}` is not known here"),
        };
        is(is_kept, keyword)?;
    }
    Ok(())
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("type `{other}` is not known here"),
    }
}

const MOMENT_OR_NONE: &str = "^(none|[0-9]{4}-[0-9]{2}-[0-9]{2}.*)$";

fn matches(pattern: &str, text: &str) -> bool {
    let digits = |text: &str, counts: std::ops::RangeInclusive<usize>| {
        counts.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match pattern {
        r"\S" => !text.trim().is_empty(),
        r"^[^\s-](.*\S)?$" => {
            !text.is_empty()
                && text.trim() == text
                && !text.starts_with('-')
                && !text.contains('\n')
        }
        "^[0-9]{1,32}$" => digits(text, 1..=32),
        "^(next|[0-9]{1,32})$" => text == "next" || digits(text, 1..=32),
        "^[0-9]{2}:[0-9]{2}$" => text
            .split_once(':')
            .is_some_and(|(hour, minute)| digits(hour, 2..=2) && digits(minute, 2..=2)),
        MOMENT_OR_NONE => {
            let day = text.get(..10).unwrap_or_default();
            let is_number = |(part, long): (&str, usize)| digits(part, long..=long);
            text == "none" || day.split('-').zip([4, 2, 2]).all(is_number)
        }
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}.*$" => text != "none" && matches(MOMENT_OR_NONE, text),
        other => panic!("pattern `{other}` is not known here"),
    }
}
