//! The documented form of each command's JSON: `json.md`, against which the tests hold every value
//! that a command prints.

use serde_json::Value;

const DOCUMENT: &str = include_str!("../../json.md");

/// The forms by command.
fn forms() -> Vec<(&'static str, Value)> {
    let sections = DOCUMENT.split("\n## `").skip(1);
    let form = |section: &'static str| {
        let (command, rest) = section.split_once('`').unwrap();
        let (_, rest) = rest.split_once("```json\n").unwrap();
        let (form, _) = rest.split_once("```").unwrap();
        let form = serde_json::from_str(form);
        (command, form.unwrap_or_else(|error| panic!("the form of `{command}`: {error}")))
    };
    sections.map(form).collect()
}

/// Panics unless `printed` has the documented form of the command that `arguments` begin with.
pub(crate) fn assert_documented(arguments: &[&str], printed: &Value) {
    let of_command = |command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        arguments.starts_with(&words).then_some(words.len())
    };
    let forms = forms();
    let found = forms.iter().max_by_key(|(command, _)| of_command(command)).unwrap();
    assert!(of_command(found.0).is_some(), "json.md has no section for {arguments:?}");
    if let Err(error) = conforms(&found.1, printed, "") {
        panic!("{arguments:?} prints another form than json.md says: {error}\n{printed:#}");
    }
}

/// Compares a value with its form; the error names the place.
fn conforms(form: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |said: &str| Err(format!("at `{place}`: {said}, and it is {value}"));
    match form {
        Value::String(kind) => {
            let is_so = match kind.as_str() {
                "any" => true,
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "time" => {
                    value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
                }
                "date" => {
                    value.as_str().is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok())
                }
                words => {
                    value.as_str().is_some_and(|text| words.split('|').any(|word| word == text))
                }
            };
            if is_so { Ok(()) } else { wrong(kind) }
        }
        Value::Array(forms) => {
            let Some(values) = value.as_array() else { return wrong("an array") };
            let mut numbered = values.iter().enumerate();
            numbered
                .try_for_each(|(at, value)| conforms(&forms[0], value, &format!("{place}[{at}]")))
        }
        Value::Object(forms) => {
            let Some(values) = value.as_object() else { return wrong("an object") };
            for (key, form) in forms {
                let (name, is_optional) = match key.strip_suffix('?') {
                    Some(name) => (name, true),
                    None => (key.as_str(), false),
                };
                match values.get(name) {
                    None | Some(Value::Null) if is_optional => {}
                    None => return wrong(&format!("an object with `{name}`")),
                    Some(value) => conforms(form, value, &format!("{place}.{name}"))?,
                }
            }
            let is_known =
                |name: &str| forms.contains_key(name) || forms.contains_key(&format!("{name}?"));
            match values.keys().find(|name| !is_known(name)) {
                Some(name) => wrong(&format!("no key `{name}`")),
                None => Ok(()),
            }
        }
        other => panic!("{other} is no form"),
    }
}

#[test]
fn every_command_has_a_form() {
    let mut of_commands: Vec<&str> = crate::help::COMMANDS.to_vec();
    let groups = ["", "account", "campaign", "send", "contact", "dlq", "lead"];
    // Their output is text alone.
    of_commands.retain(|command| !groups.contains(command) && *command != "completions");
    let mut documented: Vec<&str> = forms().into_iter().map(|(command, _)| command).collect();
    of_commands.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, of_commands);
}

#[test]
fn what_is_of_another_form_is_found() {
    let form = serde_json::json!({ "at": "time", "state?": "on|off", "n": ["integer"] });
    let of = |text: &str| conforms(&form, &serde_json::from_str(text).unwrap(), "");
    assert_eq!(of(r#"{"at":"2026-11-27T17:00:00Z","state":null,"n":[1]}"#), Ok(()));
    for (text, said) in [
        (r#"{"at":1790000000000,"n":[]}"#, "at `.at`: time"),
        (r#"{"at":"2026-11-27T17:00:00Z","state":"up","n":[]}"#, "at `.state`: on|off"),
        (r#"{"at":"2026-11-27T17:00:00Z","n":[1,"2"]}"#, "at `.n[1]`: integer"),
        (r#"{"at":"2026-11-27T17:00:00Z"}"#, "an object with `n`"),
        (r#"{"at":"2026-11-27T17:00:00Z","n":[],"more":1}"#, "no key `more`"),
    ] {
        let error = of(text).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}
