//! Who an account is, and what its webhooks tell.

use std::collections::BTreeSet;
use std::time::Duration;

use secrecy::SecretString;
use spillway_core::id::AccountId;

use super::answer::Answered;
use super::{CallError, GraphClient};
use crate::json::{self, Object};

/// The account that a token is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Me {
    /// `user_id`: the account as webhooks name it.
    pub account: AccountId,
    /// `id`: the account as this app alone names it, and as a signed request names it.
    pub app_scoped: Option<String>,
    /// The account's name on Instagram, without `@`.
    pub username: Option<String>,
    /// `Business` or `Media_Creator`; private accounts cannot use the API.
    pub kind: Option<String>,
}

impl std::fmt::Debug for Me {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Me").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Which webhooks an account is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// To none: the app is not subscribed to the account.
    None,
    /// To these fields.
    Fields(BTreeSet<String>),
    /// To some: Meta did not say which. An account gets all fields of its app (Meta, Instagram
    /// Platform webhooks, 3 Mar 2026).
    Some,
}

impl Subscription {
    /// Those of `wanted` that it lacks.
    pub fn lacks(&self, wanted: &[&str]) -> Vec<String> {
        let is_lacking = |field: &&&str| match self {
            Self::None => true,
            Self::Fields(fields) => !fields.contains(**field),
            Self::Some => false,
        };
        wanted.iter().filter(is_lacking).map(|&field| field.to_owned()).collect()
    }
}

impl GraphClient {
    /// The account that the token is for: `GET /me`. `timeout` as for
    /// [`private_reply`](Self::private_reply), here and below.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It is a read: after [`CallError::Unknown`] it can be repeated.
    pub async fn me(
        &self,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError> {
        let mut url = self.url("me", None)?;
        url.query_pairs_mut().append_pair("fields", "id,user_id,username,account_type");
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|me| {
            Some(Me {
                account: AccountId::new(me.id("user_id")?),
                app_scoped: me.id("id"),
                username: me.text("username").filter(|name| json::is_name(name)),
                kind: me.text("account_type"),
            })
        })
    }

    /// Looks into the account's conversations, of which nothing is kept: `GET
    /// /{account}/conversations`. It takes the permission by which messages are sent (Meta, Get
    /// Conversations, v24.0); a way to ask for the permissions themselves is documented nowhere.
    ///
    /// # Errors
    ///
    /// As for [`me`](Self::me).
    pub async fn conversations(
        &self,
        account: &AccountId,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        let mut url = self.url(account.as_str(), Some("conversations"))?;
        url.query_pairs_mut().extend_pairs([
            ("platform", "instagram"),
            ("fields", "id"),
            ("limit", "1"),
        ]);
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| answer.array("data").map(|_| ()))
    }

    /// Which webhooks the account is subscribed to: `GET /{account}/subscribed_apps`. The account
    /// is named, since `/me` is refused here by some versions.
    ///
    /// # Errors
    ///
    /// As for [`me`](Self::me).
    pub async fn subscription(
        &self,
        account: &AccountId,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError> {
        let url = self.url(account.as_str(), Some("subscribed_apps"))?;
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| answer.array("data").map(|apps| subscription(&apps)))
    }

    /// Subscribes the account to these fields: `POST /{account}/subscribed_apps`.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It can be repeated: a second time changes nothing.
    pub async fn subscribe(
        &self,
        account: &AccountId,
        token: &SecretString,
        fields: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        let mut url = self.url(account.as_str(), Some("subscribed_apps"))?;
        url.query_pairs_mut().append_pair("subscribed_fields", &fields.join(","));
        self.call(self.http.post(url), token, timeout).await?.into_done()
    }

    /// Ends the account's subscription to all fields: `DELETE /{account}/subscribed_apps`.
    ///
    /// # Errors
    ///
    /// As for [`subscribe`](Self::subscribe).
    pub async fn unsubscribe(
        &self,
        account: &AccountId,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        let url = self.url(account.as_str(), Some("subscribed_apps"))?;
        self.call(self.http.delete(url), token, timeout).await?.into_done()
    }
}

fn subscription(apps: &[&str]) -> Subscription {
    if apps.is_empty() {
        return Subscription::None;
    }
    let listed: Vec<_> = apps
        .iter()
        .filter_map(|app| Object::parse(app).and_then(|app| app.array("subscribed_fields")))
        .collect();
    if listed.is_empty() {
        return Subscription::Some;
    }
    // A name, or an object with one.
    let name = |field: &&str| {
        json::text(field).or_else(|| Object::parse(field).and_then(|field| field.text("name")))
    };
    Subscription::Fields(listed.iter().flatten().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_told_by_its_fields_or_by_being_there() {
        let of = |apps: &[&str]| subscription(apps);
        assert_eq!(of(&[]).lacks(&["comments"]), ["comments"]);
        assert!(of(&[r#"{"id":"1"}"#]).lacks(&["comments"]).is_empty());
        for listed in [
            r#"{"subscribed_fields":["comments","messages"]}"#,
            r#"{"subscribed_fields":[{"name":"comments"},{"name":"messages"}]}"#,
        ] {
            assert_eq!(of(&[listed]).lacks(&["comments", "live_comments"]), ["live_comments"]);
        }
        assert_eq!(of(&[r#"{"subscribed_fields":[]}"#]).lacks(&["messages"]), ["messages"]);
    }
}
