//! `POST /_comments`: posts a comment as anybody, signed and delivered as Meta would.

use std::sync::{Arc, Weak};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_core::campaign::{Candidate, Trigger};
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_meta::signature::sign;
use spillway_service::admin::matching::MatchView;
use spillway_service::admin::send_view::SendView;
use spillway_service::port::Accounts;

use crate::form::{self, Form};
use crate::lambda::WEBHOOK_PATH;
use crate::serve::observe;
use crate::stack::Stack;

/// The path that takes comments.
pub const COMMENTS_PATH: &str = "/_comments";

/// The media of a comment that names none.
const MEDIA: &str = "17900000000000001";

/// The most characters of a comment on Instagram.
const TEXT_CHARS_MAX: usize = 2200;

/// What a body may say.
const FIELDS: [&str; 5] = ["account", "text", "person", "username", "media"];

/// A comment to post.
#[derive(Clone, Debug)]
struct NewComment {
    /// The account under whose media it is written.
    account: String,
    /// What it says.
    text: String,
    /// The id of its author. Without one, a username has an id of its own, and everybody else is
    /// somebody new.
    person: Option<String>,
    /// The name of its author.
    username: Option<String>,
    /// The post or Reel.
    media: String,
}

impl NewComment {
    /// Reads a body.
    ///
    /// # Errors
    /// Says which field is wrong, and what it takes.
    fn parse(body: &[u8]) -> Result<Self, String> {
        let example = r#"write for instance {"account": "17841400000000001", "text": "guide"}"#;
        let form = Form::parse(body, &FIELDS, example)?;
        let comment = Self {
            account: form.needed_id("account")?,
            text: form.needed("text")?,
            person: form.id("person")?,
            username: form.username()?,
            media: form.id("media")?.unwrap_or_else(|| MEDIA.to_owned()),
        };
        let chars = comment.text.chars().count();
        if comment.text.trim().is_empty() || chars > TEXT_CHARS_MAX {
            return Err(format!("`text` takes 1 to {TEXT_CHARS_MAX} characters"));
        }
        Ok(comment)
    }

    /// The id of the author of comment `number`.
    fn author(&self, number: u64) -> String {
        form::person(self.person.as_deref(), self.username.as_deref(), number)
    }

    /// Meta's delivery of this comment.
    fn delivery(&self, comment: &str, author: &str, now_secs: u64) -> String {
        let mut from = json!({ "id": author });
        if let Some(username) = &self.username {
            from["username"] = username.as_str().into();
        }
        let value = json!({
            "id": comment,
            "from": from,
            "media": { "id": self.media },
            "text": self.text,
        });
        let changes = json!([{ "field": "comments", "value": value }]);
        let entry = json!([{ "id": self.account, "time": now_secs, "changes": changes }]);
        json!({ "object": "instagram", "entry": entry }).to_string()
    }
}

/// What became of a posted comment.
#[derive(Debug, Serialize)]
struct PostedComment {
    /// Its id.
    comment: String,
    /// Its author's id.
    person: String,
    /// The send that answers it, as `spillway send show` shows it; `null` if none does.
    send: Option<SendView>,
    /// Why no send answers it.
    reason: Option<String>,
}

/// Posts the comment of the body, and answers with what became of it.
pub(crate) async fn post(State(stack): State<Weak<Stack>>, body: Bytes) -> Response {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match deliver(&stack, &body).await {
        Ok(posted) => Json(posted).into_response(),
        Err((status, error)) => (status, Json(json!({ "error": error }))).into_response(),
    }
}

type Refusal = (StatusCode, String);

async fn deliver(stack: &Arc<Stack>, body: &[u8]) -> Result<PostedComment, Refusal> {
    let new = NewComment::parse(body).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    let failed = |error: &dyn std::fmt::Display| (StatusCode::BAD_GATEWAY, error.to_string());
    let account = AccountId::new(new.account.as_str());
    let accounts = DynamoAccounts { table: stack.state_table() };
    let Some(connected) = accounts.load(&account).await.map_err(|error| failed(&error))? else {
        let error = format!("account {account} is not connected");
        return Err((StatusCode::NOT_FOUND, error));
    };
    // A comment that was posted by hand may have the next number.
    let (number, comment) = loop {
        let number = stack.next_comment();
        let comment = CommentId::new(format!("1789{number:013}"));
        if !stack.graph.knows(&comment) {
            break (number, comment);
        }
    };
    let person = new.author(number);
    let delivery = new.delivery(comment.as_str(), &person, stack.clock.now().as_secs());
    observe(stack, delivery.as_bytes());
    let answer = stack
        .invoke_webhook(
            &Method::POST,
            &Uri::from_static(WEBHOOK_PATH),
            &signed(stack, delivery.as_bytes()),
            delivery.as_bytes(),
        )
        .await;
    if !answer.status().is_success() {
        return Err(failed(&format_args!("the webhook answered {}", answer.status())));
    }
    let sends = &stack.admin.sends;
    let answering = sends.answering(&account, &comment, |_| ()).await;
    let stored = match answering.map_err(|error| failed(&error))? {
        Some(send) => sends.find(&send).await.map_err(|error| failed(&error))?,
        None => None,
    };
    let view = || {
        let media = MediaId::new(new.media.as_str());
        let album = connected.albums.album_of(&media);
        let media: Vec<&MediaId> = std::iter::once(&media).chain(album).collect();
        let at = stack.clock.now();
        let candidate = Candidate {
            trigger: Trigger::Comment,
            text: &new.text,
            media: Some(&media),
            is_reply: false,
            at,
        };
        MatchView::of(&connected.campaigns, &candidate)
    };
    let reason = match &stored {
        Some(_) => None,
        None if person == new.account => {
            Some("an account's own comments are not answered".to_owned())
        }
        None => Some(match view() {
            MatchView { campaign: Some(campaign), .. } => {
                let author = RecipientId::new(person.as_str());
                let no_more = sends.no_more_for(&account, &author, &campaign);
                no_more.await.map_err(|error| failed(&error))?.to_string()
            }
            MatchView { why, .. } => why,
        }),
    };
    let comment = comment.to_string();
    Ok(PostedComment { comment, person, send: stored.as_ref().map(SendView::from), reason })
}

/// The headers that Meta sends with a delivery.
pub(crate) fn signed(stack: &Stack, delivery: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let signature = stack.secrets.app_secrets.first().map(|secret| sign(secret, delivery));
    if let Some(signature) = signature.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert("x-hub-signature-256", signature);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_one_person_and_nobody_named_is_somebody_new() {
        let of = |json: &str| NewComment::parse(json.as_bytes()).unwrap();
        let ana = of(r#"{"account":"178","text":"guide","username":"ana"}"#);
        assert_eq!(ana.author(1), ana.author(2));
        let nobody = of(r#"{"account":"178","text":"guide"}"#);
        assert_ne!(nobody.author(1), nobody.author(2));
        assert_eq!(nobody.media, MEDIA);
        let person = of(r#"{"account":"178","text":"guide","person":"77","username":"ana"}"#);
        assert_eq!(person.author(1), "77");
    }

    #[test]
    fn a_wrong_body_is_refused_with_the_field() {
        for (body, said) in [
            ("guide", "the body is no JSON ("),
            ("[]", "no JSON object: write for instance"),
            (r#"["178","guide",null,null,"179"]"#, "no JSON object"),
            ("null", "no JSON object"),
            ("{}", "`account` is missing: write for instance"),
            (r#"{"account":"178"}"#, "`text` is missing"),
            (r#"{"account":178,"text":"x"}"#, "`account` takes a text in quotes"),
            (
                r#"{"account":"178","text":"x","name":"ana"}"#,
                "`name` is not known: there are account",
            ),
            (r#"{"account":"me","text":"x"}"#, "`account` takes an id"),
            (r#"{"account":"178","text":"x","person":""}"#, "`person` takes an id"),
            (r#"{"account":"178","text":" "}"#, "`text` takes 1 to 2200"),
            (r#"{"account":"178","text":"x","username":"Ana B"}"#, "`username` takes"),
        ] {
            let error = NewComment::parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
    }
}
