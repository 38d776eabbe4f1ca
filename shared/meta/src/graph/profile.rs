//! Reading what a person has let the account see of them.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use spillway_core::conversation::Follows;
use spillway_core::id::RecipientId;
use spillway_core::message::first_name;

use super::GraphClient;
use super::answer::{Answered, CallError};
use crate::json::Object;

/// The fields that are asked for (Meta, User Profile API, v26.0).
const FIELDS: &str = "name,username,is_user_follow_business";

/// The code of an error that says that the person has not consented. Meta takes a message, a tap or an
/// ice breaker as consent, and a comment not (Meta, User Profile API).
const NO_CONSENT: i64 = 230;

/// What Meta tells of a person. Its `Debug` shows no name.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whether they follow the account. Unknown if Meta does not say so.
    pub follows: Follows,
    /// Their user name.
    pub username: Option<String>,
    /// Their first name.
    pub first_name: Option<String>,
}

impl Profile {
    /// The profile of a person of whom Meta tells nothing.
    pub const UNKNOWN: Self = Self { follows: Follows::Unknown, username: None, first_name: None };
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("follows", &self.follows).finish_non_exhaustive()
    }
}

impl GraphClient {
    /// Reads the profile of `person`: `GET /{person}?fields=..`, with the token of the account whose
    /// id for them it is. It is [`Profile::UNKNOWN`] if the person has never written to the account
    /// or tapped a button of its messages: Meta takes that as their consent, and answers with code 230
    /// before. `timeout` as for [`private_reply`](Self::private_reply).
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It is a read: after [`CallError::Unknown`] it can be repeated. No error
    /// means that they do not follow.
    pub async fn profile(
        &self,
        token: &SecretString,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Profile>, CallError> {
        let mut url = self.url(person.as_str(), None)?;
        url.query_pairs_mut().append_pair("fields", FIELDS);
        match self.call(self.http.get(url), token, timeout).await {
            Ok(answer) => answer.into_answered(|answer| Some(profile(answer))),
            Err(CallError::Refused { error, usage, server_date })
                if error.code == Some(NO_CONSENT) =>
            {
                Ok(Answered { value: Profile::UNKNOWN, usage, server_date })
            }
            Err(error) => Err(error),
        }
    }
}

fn profile(told: &Object<'_>) -> Profile {
    let follows = match told.get("is_user_follow_business") {
        Some("true") => Follows::Yes,
        Some("false") => Follows::No,
        _ => Follows::Unknown,
    };
    let first_name = told.text("name").and_then(|name| first_name(&name).map(str::to_owned));
    let username = told.text("username").filter(|username| !username.trim().is_empty());
    Profile { follows, username, first_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(told: &str) -> Profile {
        profile(&Object::parse(told).expect("object"))
    }

    #[test]
    fn what_meta_tells_is_read() {
        let ana = read(
            r#"{"name":"🌸 Ana  Lima","username":"ana.lima","is_user_follow_business":true,"id":"5"}"#,
        );
        let follows = Follows::Yes;
        let (username, first_name) = (Some("ana.lima".into()), Some("Ana".into()));
        assert_eq!(ana, Profile { follows, username, first_name });
        assert_eq!(read(r#"{"is_user_follow_business":false}"#).follows, Follows::No);
        assert_eq!(format!("{ana:?}"), "Profile { follows: Yes, .. }");
    }

    #[test]
    fn what_is_missing_is_unknown_and_never_a_no() {
        for told in [
            "{}",
            r#"{"is_user_follow_business":null,"name":null,"username":null}"#,
            r#"{"is_user_follow_business":"no","name":"","username":" "}"#,
            r#"{"is_user_follow_business":0,"name":7}"#,
        ] {
            assert_eq!(read(told), Profile::UNKNOWN, "{told}");
        }
    }
}
