//! What is wrong with a value or with the TOML around it, in words for the people who write such
//! files. The reader's own messages name types of the program («expected u8»).

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use spillway_core::campaign::{Overflow, Replies, Trigger};
use spillway_core::conversation::{Unknown, Unless};
use spillway_core::keyword::{Matching, Tolerance};
use spillway_core::once::OncePer;
use spillway_core::quota::{Action, Scope, Unit};

/// A value that cannot be read, or the field that is missing.
pub(super) struct Refused<'a> {
    /// What the reader says.
    pub(super) message: &'a str,
    /// The name of the innermost field around it, which is its own unless it is an item of a list.
    pub(super) field: Option<&'a str>,
    /// Whether it is an item of that field's list.
    pub(super) is_item: bool,
}

impl Refused<'_> {
    /// Says what is wrong, and what to write.
    pub(super) fn said(&self) -> String {
        let message = self.message;
        if let Some(field) = quoted_after(message, "missing field ") {
            return format!("`{field}` is missing: add it");
        }
        if let Some(field) = quoted_after(message, "unknown field ") {
            let known = all_quoted(after_expected(message));
            let like = known.iter().find(|known| are_alike(known, field));
            let hint = like.map_or_else(String::new, |like| format!(" Is it `{like}`?"));
            return format!(
                "`{field}` is not known here.{hint} There are {}",
                listed(&known, "and")
            );
        }
        let field = self.field.unwrap_or_default();
        let wanted = || self.wanted(field);
        if let Some(value) = quoted_after(message, "unknown variant ") {
            return self.at(field, &format!("\"{value}\""), &wanted());
        }
        if message == "wanted string or table" && self.is_item {
            return format!("`{field}` has something in it that is no text: write {}", wanted());
        }
        if message == "wanted string or table" || message.starts_with("a number above 0") {
            return format!("`{field}` cannot be read: write {}", wanted());
        }
        if is_of_a_type(message) && ["account", "campaign", "profile", "quota"].contains(&field) {
            return if message.contains("expected a string") {
                self.at(field, found(message), &wanted())
            } else {
                "write [[account]] before its [[account.campaign]], and all of these names in \
                 double brackets"
                    .into()
            };
        }
        if is_of_a_type(message) {
            return self.at(field, found(message), &wanted());
        }
        message.replace('\n', ", ")
    }

    fn at(&self, field: &str, found: &str, wanted: &str) -> String {
        let holds = if self.is_item { "has" } else { "is" };
        let inside = if self.is_item { " in it" } else { "" };
        format!("`{field}` {holds} {found}{inside}: write {wanted}")
    }

    /// What to write for this field.
    fn wanted(&self, field: &str) -> String {
        let text = |example: &str| format!("a text in quotes, such as \"{example}\"");
        let one_of = |options: Vec<String>| listed(&options, "or");
        let list_of = |options: String| {
            if self.is_item { options } else { format!("a list in brackets of {options}") }
        };
        match field {
            "id" => "a text in quotes".to_owned(),
            "name" | "base" | "profile" => text("careful"),
            "time_zone" => text("Europe/Berlin"),
            "day_starts" => text("08:00"),
            "window" | "active" => text("24h"),
            "starts" | "ends" => {
                "a date such as 2026-12-01, or a time such as 2026-12-01T09:00".to_owned()
            }
            "warm_up_since" => "a date such as 2026-11-01, or \"none\"".to_owned(),
            "tier" => "1, 2 or 3".to_owned(),
            "burst" | "ramp_days" => format!("a whole number from 0 to {}", u32::MAX),
            "days" | "tier_1" | "tier_2" | "tier_3" => {
                format!("a whole number from 1 to {}", u32::MAX)
            }
            "from_percent" | "to_percent" | "stop_percent" => {
                "a whole number of percent, up to 100".to_owned()
            }
            "limit" => format!(
                "a whole number from 1 to {}, or one for each tier as in \
                 {{ tier_1 = 100, tier_2 = 150, tier_3 = 200 }}",
                u32::MAX
            ),
            "unit" => one_of(options::<Unit>()),
            "scope" => one_of(options::<Scope>()),
            "on" => list_of(one_of(options::<Trigger>())),
            "matching" => one_of(options::<Matching>()),
            "replies" => one_of(options::<Replies>()),
            "once_per" => one_of(options::<OncePer>()),
            "once_for" => text("90d"),
            "takeover" => text("12h"),
            "leads_for" => text("400d"),
            "disclosure" => text("Automated message"),
            "stop_words" | "start_words" if self.is_item => "each of them in quotes".to_owned(),
            "stop_words" => "a list in brackets, such as [\"basta\"]".to_owned(),
            "start_words" => "a list in brackets, such as [\"go on\"]".to_owned(),
            "overflow" => one_of(options::<Overflow>()),
            "public_share" => "a number from 0 to 1, such as 0.3".to_owned(),
            "tolerate" => list_of(one_of(options::<Tolerance>())),
            "actions" => list_of(one_of(options::<Action>())),
            "messages" if self.is_item => {
                "each of them in quotes (buttons, cards and pictures are for `deliver`)".to_owned()
            }
            "keywords" | "except" | "media" | "public_replies" | "public_fallback"
                if self.is_item =>
            {
                "each of them in quotes".to_owned()
            }
            "keywords" | "except" => "a list in brackets, such as [\"guide\", \"link\"]".to_owned(),
            "media" => {
                "\"next\", or a list in brackets, such as [\"17900000000000001\"]".to_owned()
            }
            "messages" => "a list in brackets, such as [\"Hi {username|there}!\"]".to_owned(),
            "public_replies" => {
                "a list in brackets, such as [\"Sent, {username|you}!\"]".to_owned()
            }
            "public_fallback" => {
                "a list in brackets, such as [\"{username|Hi}, please write me GUIDE\"]".to_owned()
            }
            "answer" | "quick_replies" | "ask" | "again" if self.is_item => {
                "each of them in quotes".to_owned()
            }
            "deliver" | "follow_up" | "buttons" if self.is_item => {
                "each of them as a table in braces".to_owned()
            }
            "answer" => "a list in brackets, such as [\"yes\", \"please\"]".to_owned(),
            "quick_replies" => "a list in brackets, such as [\"Yes\", \"No\"]".to_owned(),
            "ask" | "again" => {
                "a list in brackets, such as [\"Which e-mail shall I use?\"]".to_owned()
            }
            "deliver" => "a list in brackets, such as [{ text = \"Here it is!\" }]".to_owned(),
            "buttons" => "a list in brackets, such as \
                          [{ title = \"Open\", url = \"https://example.com/guide\" }]"
                .to_owned(),
            "follow_up" => "a list in brackets, such as \
                            [{ after = \"20h\", messages = [\"Did you get to read it?\"] }]"
                .to_owned(),
            "then" => "a table, such as { deliver = [{ text = \"Here it is!\" }] }".to_owned(),
            "follow" => "a table, such as \
                         { ask = [\"Follow me first\"], button = \"I follow\" }"
                .to_owned(),
            "email" => "a table, such as { ask = [\"Which e-mail shall I use?\"] }".to_owned(),
            "card" => "a table, such as \
                       { title = \"The guide\", image = \"https://example.com/guide.png\" }"
                .to_owned(),
            "text" | "title" | "subtitle" | "button" => text("Here it is!"),
            "url" | "image" => text("https://example.com/guide"),
            "after" => text("20h"),
            "tries" => "a whole number from 0 to 5".to_owned(),
            "unknown" => one_of(options::<Unknown>()),
            "unless" => one_of(options::<Unless>()),
            "terms" => "a table, such as { tier = 2, time_zone = \"Europe/Berlin\" }".to_owned(),
            "spread" => "a table, such as { active = \"16h\", burst = 5 }".to_owned(),
            "warm_up" => "a table, such as \
                          { from_percent = 20, to_percent = 30, days = 14, ramp_days = 14 }"
                .to_owned(),
            "slow_down" => "a table, such as { from_percent = 75, stop_percent = 95 }".to_owned(),
            _ => "another value".to_owned(),
        }
    }
}

/// Whether a reader's message is about the type or range of a value.
fn is_of_a_type(message: &str) -> bool {
    ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|begin| message.starts_with(begin))
}

/// What the reader found, without the type that it expected.
fn found(message: &str) -> &str {
    let found = message.rsplit_once(", expected ").map_or(message, |(found, _)| found);
    let found = found.split_once(": ").map_or(found, |(_, found)| found);
    let value = |begin: &str| Some(found.strip_prefix(begin)?.trim_matches('`'));
    match found {
        "sequence" => "a list",
        "map" => "a table, a date or a time",
        _ if found.starts_with("invalid length") => "a list",
        _ => value("integer ")
            .or_else(|| value("floating point "))
            .or_else(|| value("boolean "))
            .or_else(|| value("string "))
            .unwrap_or(found),
    }
}

/// Returns the options of a type that is read from one of several texts, each in double quotes.
fn options<'de, T: Deserialize<'de>>() -> Vec<String> {
    let none = IntoDeserializer::<ValueError>::into_deserializer("?");
    let refused = T::deserialize(none).err().map(|error| error.to_string());
    let options = refused.as_deref().map(after_expected).map(all_quoted).unwrap_or_default();
    options.into_iter().map(|option| format!("\"{option}\"")).collect()
}

fn after_expected(message: &str) -> &str {
    message.rsplit_once(", expected ").map_or("", |(_, expected)| expected)
}

/// Returns what is in backticks after `begin`, if the message begins so.
fn quoted_after<'a>(message: &'a str, begin: &str) -> Option<&'a str> {
    message.strip_prefix(begin)?.strip_prefix('`')?.split('`').next()
}

/// Returns everything that is in backticks.
fn all_quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Lists names, those that are bare in backticks.
fn listed(names: &[impl AsRef<str>], word: &str) -> String {
    let name = |name: &str| {
        if name.starts_with('"') { name.to_owned() } else { format!("`{name}`") }
    };
    let names: Vec<String> = names.iter().map(|one| name(one.as_ref())).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [before @ .., last] => format!("{} {word} {last}", before.join(", ")),
    }
}

/// Whether two names differ by a letter at most that is missing, added or another one.
fn are_alike(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let begin = short.bytes().zip(long.bytes()).take_while(|(a, b)| a == b).count();
    let same_end = short.bytes().rev().zip(long.bytes().rev()).take_while(|(a, b)| a == b).count();
    long.len() - short.len() <= 1 && begin + same_end + 1 >= long.len()
}

/// Says what is wrong with a text that is not TOML, where the reader stops at byte `at`.
pub(super) fn syntax(message: &str, text: &str, at: usize) -> String {
    let rest = text.get(at..).unwrap_or_default();
    let first = rest.chars().next();
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let is_value =
        message.starts_with("string values must be quoted") || message.starts_with("invalid float");
    if let Some(c) = first.filter(|c| is_invisible(*c)) {
        return format!("there is the invisible character U+{:04X}: remove it", u32::from(c));
    }
    if first.is_some_and(|c| "“”„«»‘’‹›".contains(c)) {
        return "these quotes are typographic: write straight ones, as in \"guide\"".into();
    }
    if is_value && ["null", "nil", "None", "undefined"].contains(&word.as_str()) {
        return "TOML has no empty value: leave the field out".into();
    }
    if is_value {
        return match first {
            None | Some('\n' | '\r' | '#') => "the value is missing: write one after `=`".into(),
            _ => "the value is not in quotes: write texts as in \"guide\"".into(),
        };
    }
    let said = [
        (
            "duplicate key",
            "this name is there already: remove one of the two. A table that repeats is in double brackets, as [[account.campaign]]",
        ),
        ("invalid literal string", "the text is not closed: add a quote at its end"),
        (
            "invalid basic string",
            "the text is not closed in its line: add a quote at its end, and write \\n for a new line",
        ),
        ("missing opening quote", "a quote is missing. Write \\\" for a quote in a text"),
        ("invalid unquoted key", "a name has only letters from a to z, digits, `_` and `-`"),
        ("key with no value", "write name = value"),
        ("missing comma between array elements", "a comma is missing in the list"),
        ("extra comma in array", "there is a comma too many in the list"),
        ("unclosed array table", "a heading is not closed: write it as in [[account]]"),
        (
            "missing comma between key-value pairs",
            "a comma is missing between the fields in braces",
        ),
        ("unclosed table", "a heading is not closed: write it as in [[account]]"),
        (
            "unexpected key or value",
            "there is something behind the value: write one value in a line",
        ),
        (
            "missing escaped value",
            "a backslash in a text begins a special character: write \\\\ for the backslash itself",
        ),
    ];
    let said = said.iter().find(|(begin, _)| message.starts_with(begin));
    said.map_or_else(|| message.replace('\n', ", "), |(_, said)| (*said).to_owned())
}

/// Whether nobody sees the character, or it changes what is seen around it: spaces other than the
/// usual one, and marks of direction and joining.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00a0}' | '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{1680}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_type() {
        assert_eq!(options::<Unit>(), ["\"calls\"", "\"recipients\""]);
        assert_eq!(options::<Action>().len(), Action::ALL.len());
    }

    #[test]
    fn names_with_one_letter_more_less_or_other_are_alike() {
        for (one, other) in [("keyword", "keywords"), ("excepts", "except"), ("mesage", "message")]
        {
            assert!(are_alike(one, other) && are_alike(other, one), "{one} {other}");
        }
        assert!(are_alike("media", "medio"));
        assert!(!are_alike("media", "messages") && !are_alike("id", "except"));
    }
}
