//! What is kept up of an account: its tokens, its subscription, and what it can read of its
//! comments.

use serde_json::{Value, json};
use spillway_core::id::{AccountId, MediaId, RecipientId};

use super::answer::{GraphError, Reply, written};
use super::request::Edge;
use super::sim::{Seen, State};
use super::world::{PERMISSIONS, TOKEN_LASTS};

/// Comments on a page at most, whatever is asked for.
const PAGE: usize = 50;

impl State {
    pub(super) fn keep_up(
        &mut self,
        edge: Edge,
        object: &str,
        seen: &Seen<'_>,
    ) -> Result<Reply, GraphError> {
        let call = &seen.call;
        let of_account = matches!(edge, Edge::Subscription | Edge::Conversations | Edge::Media);
        if of_account && object != seen.account.as_str() {
            return Err(GraphError::no_such_object(object));
        }
        let body = match edge {
            Edge::Me => json!({
                "user_id": seen.account.as_str(),
                "id": app_scoped(seen.account.as_str()),
                "username": username(&seen.account),
                "account_type": "BUSINESS",
            }),
            Edge::Subscription => self.subscription(seen)?,
            Edge::Conversations => match call.parameter("user_id").map(RecipientId::new) {
                Some(person) => {
                    let wrote = self.world.wrote(&seen.account, &person);
                    self.messages.conversation(&seen.account, &person, wrote, seen.now)
                }
                None => json!({ "data": [] }),
            },
            Edge::Media => {
                let media = self.world.media(&seen.account);
                let media: Vec<Value> = media
                    .iter()
                    .map(|(id, (first, count))| {
                        json!({
                            "id": id.as_str(),
                            "timestamp": written(*first),
                            "comments_count": count,
                        })
                    })
                    .collect();
                json!({ "data": media })
            }
            Edge::Comments => self.comments(&MediaId::new(object), seen),
            Edge::Refresh => {
                let token = seen.token.clone().unwrap_or_default();
                if call.parameter("grant_type").as_deref() != Some("ig_refresh_token") {
                    return Err(GraphError::invalid_parameter("grant_type"));
                }
                if !self.world.may_refresh(&token, seen.now) {
                    return Err(GraphError::too_young());
                }
                self.new_token(seen)
            }
            Edge::LongLived => {
                let secret = call.parameter("client_secret");
                if !self.world.is_app(None, secret.as_deref()) {
                    return Err(GraphError::invalid_parameter("client_secret"));
                }
                self.new_token(seen)
            }
            Edge::Code => return self.exchange(seen),
        };
        Ok(Reply::read(&body))
    }

    fn subscription(&mut self, seen: &Seen<'_>) -> Result<Value, GraphError> {
        match seen.call.method {
            "GET" => {
                let fields = self.world.fields(&seen.account);
                let apps = if fields.is_empty() {
                    json!([])
                } else {
                    json!([{ "id": "1", "subscribed_fields": fields }])
                };
                Ok(json!({ "data": apps }))
            }
            "POST" => {
                let fields = seen.call.parameter("subscribed_fields").unwrap_or_default();
                let fields = fields.split(',').filter(|field| !field.is_empty());
                // Meta says no more than that where a right is missing.
                let permission = |field: &str| match field {
                    "comments" | "live_comments" => "instagram_business_manage_comments",
                    _ => "instagram_business_manage_messages",
                };
                let world = &self.world;
                if !fields.clone().all(|field| world.is_permitted(&seen.account, permission(field)))
                {
                    return Ok(json!({ "success": false }));
                }
                self.world.subscribe(&seen.account, fields.map(str::to_owned).collect());
                Ok(json!({ "success": true }))
            }
            "DELETE" => {
                self.world.subscribe(&seen.account, Default::default());
                Ok(json!({ "success": true }))
            }
            other => Err(GraphError::wrong_method(other)),
        }
    }

    fn comments(&self, media: &MediaId, seen: &Seen<'_>) -> Value {
        let all = self.world.comments(&seen.account, media);
        let limit = seen.call.parameter("limit").and_then(|limit| limit.parse().ok());
        let limit: usize = limit.unwrap_or(PAGE).clamp(1, PAGE);
        let after = seen.call.parameter("after").and_then(|after| after.parse().ok());
        let from: usize = after.unwrap_or(0);
        let page: Vec<Value> = all
            .iter()
            .skip(from)
            .take(limit)
            .map(|comment| {
                let words = self.world.words(comment);
                let mut told = json!({
                    "id": comment.id.as_str(),
                    "timestamp": written(comment.created_at),
                    "text": words.text,
                });
                // Meta tells the author of some comments and leaves it away of others.
                if let Some(username) = &words.username {
                    told["username"] = username.as_str().into();
                    told["from"] = json!({ "id": comment.author.as_str(), "username": username });
                }
                told
            })
            .collect();
        let mut answer = json!({ "data": page });
        let next = from + page.len();
        if next < all.len() {
            answer["paging"] = json!({
                "cursors": { "after": next.to_string() },
                "next": format!("https://graph.instagram.com/next?after={next}"),
            });
        }
        answer
    }

    /// A token of 60 days for the account; the one it was asked with stays good.
    fn new_token(&mut self, seen: &Seen<'_>) -> Value {
        let token = format!("IGA{}", self.made("token", seen, 40));
        self.world.give_token(&seen.account, &token, seen.now);
        json!({ "access_token": token, "token_type": "bearer", "expires_in": TOKEN_LASTS.as_secs() })
    }

    fn exchange(&mut self, seen: &Seen<'_>) -> Result<Reply, GraphError> {
        let field = |name| seen.call.form_field(name);
        let (id, secret) = (field("client_id"), field("client_secret"));
        if !self.world.is_app(id.as_deref().or(Some("")), secret.as_deref()) {
            return Err(GraphError::invalid_parameter("client_id or client_secret"));
        }
        let code = field("code").unwrap_or_default();
        let account = self.world.take_code(&code).ok_or_else(GraphError::bad_code)?;
        let token = format!("IGA{}", self.made("short", seen, 40));
        self.world.give_token(&account, &token, seen.now);
        // The owner leaves every switch on.
        self.world.permit(&account, PERMISSIONS.map(str::to_owned).into());
        Ok(Reply::read(&json!({
            "data": [{
                "access_token": token,
                "user_id": app_scoped(account.as_str()),
                "permissions": PERMISSIONS.join(","),
            }]
        })))
    }
}

/// The name of an account.
pub fn username(account: &AccountId) -> String {
    format!("creator.{account}")
}

/// The id by which the app alone names an account.
pub fn app_scoped(account: &str) -> String {
    format!("9{account}")
}
