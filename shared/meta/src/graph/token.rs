//! Tokens: from a login's code to one of an hour, from that to one of 60 days, and from that to the
//! next one.
//!
//! For two of these Meta documents the secret in the query only (access_token, 9 Mar 2026;
//! refresh_access_token, 17 Jul 2025). So their URLs are made here, sent, and shown to nobody: a
//! [`CallError`] holds no URL.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::answer::Answered;
use super::{CallError, GraphClient};
use crate::json::{self, Object};

/// A token that Meta gave.
#[derive(Clone)]
pub struct NewToken {
    /// The token.
    pub token: SecretString,
    /// For how long it is good from now on. Meta has always said so.
    pub lasts: Option<Duration>,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

/// What a login granted: a token of an hour.
#[derive(Clone)]
pub struct Granted {
    /// The token.
    pub token: SecretString,
    /// The permissions; empty where Meta did not say.
    pub permissions: Vec<String>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("permissions", &self.permissions).finish_non_exhaustive()
    }
}

/// The Instagram app that people log in to.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id: Instagram App ID in the App Dashboard.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
}

impl GraphClient {
    /// The next token for one that is at least a day old and has not ended: `GET
    /// /refresh_access_token`, without a version. The old one stays good. `timeout` as for
    /// [`private_reply`](Self::private_reply), here and below.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It can be repeated.
    pub async fn refresh_token(
        &self,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<NewToken>, CallError> {
        let query = [("grant_type", "ig_refresh_token"), ("access_token", token.expose_secret())];
        let url = self.unversioned("refresh_access_token", &query)?;
        self.send_request(self.http.get(url), timeout).await?.into_answered(new_token)
    }

    /// A token of 60 days for one of an hour: `GET /access_token`, without a version.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It can be repeated.
    pub async fn long_lived_token(
        &self,
        app: &App,
        short_lived: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<NewToken>, CallError> {
        let query = [
            ("grant_type", "ig_exchange_token"),
            ("client_secret", app.secret.expose_secret()),
            ("access_token", short_lived.expose_secret()),
        ];
        let url = self.unversioned("access_token", &query)?;
        self.send_request(self.http.get(url), timeout).await?.into_answered(new_token)
    }

    /// A token of an hour for the code that a login came back with: `POST /oauth/access_token` on
    /// `login_url`, which at Meta is a host of its own. A code is good for an hour, and once.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. After [`CallError::Unknown`] the code may be used up: log in again.
    pub async fn exchange_code(
        &self,
        login_url: &str,
        app: &App,
        code: &SecretString,
        redirect_uri: &str,
        timeout: Duration,
    ) -> Result<Answered<Granted>, CallError> {
        let mut url = Url::parse(login_url).map_err(|_| CallError::InvalidId)?;
        url.path_segments_mut()
            .map_err(|()| CallError::InvalidId)?
            .pop_if_empty()
            .extend(["oauth", "access_token"]);
        let form = [
            ("client_id", app.id.as_str()),
            ("client_secret", app.secret.expose_secret()),
            ("grant_type", "authorization_code"),
            ("redirect_uri", redirect_uri),
            ("code", code.expose_secret()),
        ];
        // Encoded as a query is, and sent as the body.
        let mut body = Url::parse("http://form").map_err(|_| CallError::InvalidId)?;
        body.query_pairs_mut().extend_pairs(form);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.query().unwrap_or_default().to_owned());
        self.send_request(request, timeout).await?.into_answered(granted)
    }

    fn unversioned(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, CallError> {
        let mut url = self.root.clone();
        url.path_segments_mut().map_err(|()| CallError::InvalidId)?.pop().push(path);
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }
}

fn new_token(answer: &Object<'_>) -> Option<NewToken> {
    Some(NewToken {
        token: token(answer)?,
        lasts: answer.number("expires_in").map(Duration::from_secs),
    })
}

/// Meta documents a list of one; its servers answer with the object itself.
fn granted(answer: &Object<'_>) -> Option<Granted> {
    let read = |answer: &Object<'_>| {
        let permissions = answer.array("permissions").unwrap_or_default();
        let mut permissions: Vec<String> = permissions.into_iter().filter_map(json::text).collect();
        if let Some(list) = answer.text("permissions") {
            permissions = list.split(',').map(|one| one.trim().to_owned()).collect();
        }
        Some(Granted { token: token(answer)?, permissions })
    };
    let listed = answer.array("data");
    let first = listed.as_ref().and_then(|data| Object::parse(data.first()?));
    first.as_ref().and_then(read).or_else(|| read(answer))
}

fn token(answer: &Object<'_>) -> Option<SecretString> {
    let token = answer.text("access_token").filter(|token| !token.is_empty())?;
    Some(SecretString::from(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_granted_code_are_read() {
        for body in [
            r#"{"data":[{"access_token":"IGAx","user_id":"17","permissions":"a,b"}]}"#,
            r#"{"access_token":"IGAx","user_id":17,"permissions":["a","b"]}"#,
        ] {
            let granted = granted(&Object::parse(body).unwrap()).unwrap();
            assert_eq!(granted.token.expose_secret(), "IGAx");
            assert_eq!(granted.permissions, ["a", "b"]);
            assert!(!format!("{granted:?}").contains("IGAx"));
        }
        assert!(granted(&Object::parse(r#"{"data":[]}"#).unwrap()).is_none());
    }

    #[test]
    fn a_new_token_says_how_long_it_lasts() {
        let body = r#"{"access_token":"IGAx","token_type":"bearer","expires_in":5183944}"#;
        let new = new_token(&Object::parse(body).unwrap()).unwrap();
        assert_eq!(new.lasts, Some(Duration::from_secs(5_183_944)));
        assert!(!format!("{new:?}").contains("IGAx"));
        assert!(new_token(&Object::parse(r#"{"access_token":""}"#).unwrap()).is_none());
    }
}
