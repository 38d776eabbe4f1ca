//! The functions, and the first event that each is given: it leads to a request of AWS and is
//! answered whatever comes back.

use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use spillway_core::content::Link;
use spillway_core::conversation::Origin;
use spillway_local::lambda::function_url_event;
use spillway_meta::signature::sign;
use spillway_service::clock::{Clock, SystemClock};
use spillway_service::links::{LinkKeys, LinkOwner, Linker};

/// What deliveries are signed with.
pub(crate) const APP_SECRET: &str = "an app secret";

/// What links are signed with.
pub(crate) const LINK_KEY: &str = "the key of links, of so many characters";

/// What sessions are sealed with.
pub(crate) const SESSION_KEY: &str = "the key of sessions, of so many characters";

/// A link that the deployment has signed, as its path.
fn link() -> Uri {
    let owner = LinkOwner {
        account: "17841400000000001".into(),
        person: "526000000000001".into(),
        origin: Origin::new("17890000000000001"),
    };
    let keys = LinkKeys::new(&[LINK_KEY.as_bytes()]);
    let target = Link::new("https://example.com/guide");
    let path = keys.map(|keys| Linker::new("/", keys).link(&owner, &target));
    path.ok().and_then(|path| path.parse().ok()).unwrap_or_default()
}

/// A function of `template.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Function {
    Webhook,
    Sender,
    Release,
    Upkeep,
    Link,
    Console,
}

impl Function {
    pub(crate) const ALL: [Self; 6] =
        [Self::Webhook, Self::Sender, Self::Release, Self::Upkeep, Self::Link, Self::Console];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Sender => "sender",
            Self::Release => "release",
            Self::Upkeep => "upkeep",
            Self::Link => "link",
            Self::Console => "console",
        }
    }

    /// Its name in the template, and so its folder.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Webhook => "WebhookFunction",
            Self::Sender => "SenderFunction",
            Self::Release => "ReleaseFunction",
            Self::Upkeep => "UpkeepFunction",
            Self::Link => "LinkFunction",
            Self::Console => "ConsoleFunction",
        }
    }

    /// A comment on an account that nobody knows; a send that is gone; a minute of each schedule; a link
    /// of an account that is gone; a page that nobody has signed in for.
    pub(crate) fn first_event(self) -> Value {
        match self {
            Self::Webhook => {
                let now = SystemClock::new().now();
                let value = json!({
                    "id": "17890000000000001",
                    "from": { "id": "5260000000000001", "username": "viewer" },
                    "media": { "id": "17900000000000001" },
                    "text": "guide",
                });
                let body = json!({ "object": "instagram", "entry": [{
                    "id": "17841400000000001",
                    "time": now.as_secs(),
                    "changes": [{ "field": "comments", "value": value }],
                }]})
                .to_string();
                let signature = sign(&SecretString::from(APP_SECRET), body.as_bytes());
                let mut headers = HeaderMap::new();
                // It is hexadecimal.
                if let Ok(signature) = HeaderValue::try_from(signature) {
                    headers.insert("x-hub-signature-256", signature);
                }
                function_url_event(
                    &Method::POST,
                    &Uri::from_static("/"),
                    &headers,
                    body.as_bytes(),
                    now,
                )
            }
            Self::Sender => {
                let task = json!({
                    "v": "1",
                    "send": { "account": "17841400000000001", "event": "17890000000000001" },
                    "place": "1#01789401600000#17890000000000001#00",
                    "epoch": 1,
                    "lane": "inbound",
                    "campaign": "guide",
                    "deadline": 4_102_444_800_000_u64,
                });
                json!({ "Records": [{ "messageId": "1", "body": task.to_string() }] })
            }
            Self::Release => json!({ "dispatch": true }),
            Self::Upkeep => json!({ "upkeep": true }),
            Self::Link => {
                let mut headers = HeaderMap::new();
                headers.insert("user-agent", HeaderValue::from_static("Mozilla/5.0"));
                let (method, now) = (Method::GET, SystemClock::new().now());
                function_url_event(&method, &link(), &headers, b"", now)
            }
            Self::Console => {
                let now = SystemClock::new().now();
                let (page, headers) = (Uri::from_static("/"), HeaderMap::new());
                function_url_event(&Method::GET, &page, &headers, b"", now)
            }
        }
    }
}
