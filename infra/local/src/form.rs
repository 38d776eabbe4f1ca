//! Bodies of requests that let somebody do something: one JSON object of texts.

use serde_json::{Map, Value};
use spillway_core::seed::seed;

/// The most characters of a username on Instagram.
const USERNAME_CHARS_MAX: usize = 30;

/// A body that was read.
pub(crate) struct Form<'e> {
    fields: Map<String, Value>,
    /// What to write for instance.
    example: &'e str,
}

impl<'e> Form<'e> {
    /// Reads a body that may have the fields `known`.
    ///
    /// # Errors
    /// Says what is wrong with it; so do the other functions.
    pub(crate) fn parse(body: &[u8], known: &[&str], example: &'e str) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no JSON ({error}): {example}"))?;
        let Value::Object(fields) = body else {
            return Err(format!("the body is no JSON object: {example}"));
        };
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("`{name}` is not known: there are {}", known.join(", ")));
        }
        Ok(Self { fields, example })
    }

    /// Returns the first of these fields that is there.
    pub(crate) fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.fields.contains_key(*name))
    }

    /// Returns a text, if it is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, String> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{name}` takes a text in quotes: {}", self.example)),
        }
    }

    /// Returns a text that must be there.
    pub(crate) fn needed(&self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("`{name}` is missing: {}", self.example))
    }

    /// Returns an id, if it is there.
    pub(crate) fn id(&self, name: &str) -> Result<Option<String>, String> {
        self.text(name)?.map(|id| checked_id(name, id)).transpose()
    }

    /// Returns an id that must be there.
    pub(crate) fn needed_id(&self, name: &str) -> Result<String, String> {
        checked_id(name, self.needed(name)?)
    }

    /// Returns the `username`, if it is there.
    pub(crate) fn username(&self) -> Result<Option<String>, String> {
        let is_name = |name: &String| {
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
            (1..=USERNAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_of_name)
        };
        let username = self.text("username")?;
        if username.as_ref().is_none_or(is_name) {
            return Ok(username);
        }
        Err(format!("`username` takes up to {USERNAME_CHARS_MAX} letters, digits, `.` and `_`"))
    }
}

fn checked_id(name: &str, id: String) -> Result<String, String> {
    if id.is_empty() || id.len() > 30 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{name}` takes an id: up to 30 digits"));
    }
    Ok(id)
}

/// The id of the person who does something. A username always gives the same id. Without either, the
/// `number`th request comes from somebody new.
pub(crate) fn person(id: Option<&str>, username: Option<&str>, number: u64) -> String {
    let named = || Some(format!("5261{:011}", seed(&[username?]) % 100_000_000_000));
    id.map(str::to_owned).or_else(named).unwrap_or_else(|| format!("5260{number:011}"))
}
