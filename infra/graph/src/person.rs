//! A person as Meta knows them, and what it tells an account of them.

use serde_json::{Map, Value};
use spillway_core::id::RecipientId;

use super::answer::GraphError;
use super::request::PROFILE_FIELDS;

/// What Meta knows of a person, as far as an account may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their user name.
    pub username: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// Whether they follow the account; `None` lets Meta not tell. Nobody does at first.
    pub follows: Option<bool>,
    /// Whether they have blocked the account: no message reaches them, and nothing is told of them.
    pub has_blocked: bool,
}

impl Default for Person {
    fn default() -> Self {
        Self { username: None, name: None, follows: Some(false), has_blocked: false }
    }
}

impl Person {
    /// These fields of their profile, and their id.
    pub(super) fn told(&self, id: &RecipientId, fields: &[String]) -> Result<Value, GraphError> {
        let mut told = Map::new();
        for field in fields {
            let value = match field.as_str() {
                "username" => self.username.clone().map(Value::from),
                "name" => Some(Value::from(self.name.clone())),
                "is_user_follow_business" => self.follows.map(Value::from),
                "id" => None,
                other if PROFILE_FIELDS.contains(&other) => Some(Value::Null),
                other => return Err(GraphError::no_such_field(other)),
            };
            told.extend(value.map(|value| (field.clone(), value)));
        }
        told.insert("id".to_owned(), id.as_str().into());
        Ok(Value::Object(told))
    }
}
