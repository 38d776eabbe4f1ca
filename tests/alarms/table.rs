//! Every alarm that ARCHITECTURE.md names for a failure, and every other one, is played here or has a
//! reason not to be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::alarms;

/// Alarms that no test plays, and why.
const NOT_PLAYED: [(&str, &str); 5] = [
    ("FunctionThrottle", "Lambda counts it, and the stand-in for Lambda refuses nothing"),
    ("Recursion", "Lambda counts it; tests/recursion.rs shows what it would end"),
    ("ReleaseStopped", "Lambda counts it, and a schedule that is off is nothing that functions do"),
    ("UpkeepStopped", "as ReleaseStopped"),
    ("ForecastLate", "it tells of no failure; tests/observe.rs shows that its metric is written"),
];

/// The sources of the plays.
const PLAYS: [&str; 2] = [include_str!("mod.rs"), include_str!("parts.rs")];

/// What the last column of the table "When a part fails" says, by row.
fn told_by() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## When a part fails\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let last = rows.map(|row| row.trim_end_matches(" |").rsplit(" | ").next().unwrap().to_owned());
    last.collect()
}

#[test]
fn each_alarm_is_played_or_has_a_reason_not_to_be() {
    let alarms = alarms();
    let known: BTreeSet<&str> = alarms.keys().map(String::as_str).collect();
    let is_played = |name: &str| PLAYS.iter().any(|text| text.contains(&format!("\"{name}\"")));
    let not_played = NOT_PLAYED.map(|(name, _)| name);
    for name in &known {
        assert_ne!(
            is_played(name),
            not_played.contains(name),
            "{name}: played, or a reason not to"
        );
    }
    assert!(not_played.iter().all(|name| known.contains(name)));

    let told_by = told_by();
    assert!(told_by.len() > 30, "{} rows", told_by.len());
    let mut named = BTreeSet::new();
    for told in &told_by {
        let words = told.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| {
            word.chars().filter(char::is_ascii_uppercase).count() > 0 && !told.contains('`')
        });
        for word in words {
            let name = known.get(word);
            named.insert(*name.unwrap_or_else(|| panic!("no alarm is called {word}: {told}")));
        }
        let says_other = ["none", "`", "its exit code"].iter().any(|other| told.contains(other));
        assert!(says_other || known.iter().any(|name| told.contains(name)), "{told} is nothing");
    }
    // What a row names is played: a failure that nobody is told of is not handled.
    let missing: Vec<_> = named.iter().filter(|name| !is_played(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
