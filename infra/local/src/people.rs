//! `POST /_people`: changes what the simulated Meta knows of a person: whether they follow an account,
//! and their name.

use std::sync::Weak;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::form::{self, Form};
use crate::stack::Stack;

/// The path that changes people.
pub const PEOPLE_PATH: &str = "/_people";

/// What a body may say.
const FIELDS: [&str; 5] = ["account", "person", "username", "follows", "name"];

/// A change of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// The account that they follow or not.
    account: String,
    /// Their id.
    person: String,
    username: Option<String>,
    /// Whether they follow it; the inner `None` lets Meta not tell.
    follows: Option<Option<bool>>,
    name: Option<String>,
}

/// A person as they are then.
#[derive(Debug, Default, Serialize)]
struct Changed {
    /// Their id.
    person: String,
    username: Option<String>,
    name: Option<String>,
    /// `yes`, `no` or `unknown`.
    follows: &'static str,
}

impl Change {
    /// Reads a body.
    ///
    /// # Errors
    /// Says which field is wrong, and what it takes.
    fn parse(body: &[u8]) -> Result<Self, String> {
        let example = r#"write for instance {"account": "17841400000000001", "username": "ana", "follows": "yes"}"#;
        let form = Form::parse(body, &FIELDS, example)?;
        let (id, username) = (form.id("person")?, form.username()?);
        if id.is_none() && username.is_none() {
            return Err(format!("`person` or `username` is missing: {example}"));
        }
        let follows = match form.text("follows")?.as_deref() {
            None => None,
            Some("yes") => Some(Some(true)),
            Some("no") => Some(Some(false)),
            Some("unknown") => Some(None),
            Some(_) => return Err("`follows` takes yes, no or unknown".to_owned()),
        };
        Ok(Self {
            account: form.needed_id("account")?,
            person: form::person(id.as_deref(), username.as_deref(), 0),
            username,
            follows,
            name: form.text("name")?,
        })
    }

    fn make(self, stack: &Stack) -> Changed {
        let Self { account, person, username, follows, name } = self;
        let mut changed = Changed { person: person.clone(), ..Changed::default() };
        stack.graph.change_person(account.as_str(), person.as_str(), |known| {
            known.username = username.or(known.username.take());
            known.name = name.or(known.name.take());
            known.follows = follows.unwrap_or(known.follows);
            changed.username.clone_from(&known.username);
            changed.name.clone_from(&known.name);
            changed.follows = match known.follows {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            };
        });
        changed
    }
}

/// Makes the change of the body, and answers with the person as they are then.
pub(crate) async fn post(State(stack): State<Weak<Stack>>, body: Bytes) -> Response {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match Change::parse(&body) {
        Ok(change) => Json(change.make(&stack)).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_body_is_refused_with_the_field() {
        for (body, said) in [
            (r#"{"username":"ana"}"#, "`account` is missing"),
            (r#"{"account":"178"}"#, "`person` or `username` is missing"),
            (
                r#"{"account":"178","username":"ana","follows":"maybe"}"#,
                "`follows` takes yes, no or unknown",
            ),
            (r#"{"account":"178","username":"ana","follow":"yes"}"#, "`follow` is not known"),
        ] {
            let error = Change::parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
    }

    #[test]
    fn a_username_names_the_same_person_as_in_the_inbox() {
        let body = br#"{"account":"178","username":"ana","follows":"unknown","name":"Ana Lima"}"#;
        let change = Change::parse(body).unwrap();
        assert_eq!(change.person, form::person(None, Some("ana"), 7));
        assert_eq!((change.follows, change.name.as_deref()), (Some(None), Some("Ana Lima")));
    }
}
