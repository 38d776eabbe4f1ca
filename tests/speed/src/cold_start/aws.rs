//! AWS, so many milliseconds away and with nothing stored.

use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, serve as serve_router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::function::{APP_SECRET, LINK_KEY, SESSION_KEY};

/// The name of the secret of links.
pub(crate) const LINK_SECRET: &str = "link-secret";

/// The name of the secret of the console.
pub(crate) const CONSOLE_SECRET: &str = "console-secret";

/// Serves until the process ends, and gives the URL.
pub(crate) async fn serve(distance: Duration) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = Router::new().fallback(answer).with_state(distance);
    tokio::spawn(async move { serve_router(listener, app).await });
    Ok(url)
}

async fn answer(State(distance): State<Duration>, headers: HeaderMap, asked: String) -> Response {
    tokio::time::sleep(distance).await;
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let body = match target.unwrap_or_default() {
        "secretsmanager.GetSecretValue" if asked.contains(LINK_SECRET) => {
            json!({ "SecretString": json!({ "keys": LINK_KEY }).to_string() })
        }
        "secretsmanager.GetSecretValue" if asked.contains(CONSOLE_SECRET) => {
            let secret = json!({ "session_keys": SESSION_KEY, "client_secret": "" });
            json!({ "SecretString": secret.to_string() })
        }
        "secretsmanager.GetSecretValue" => {
            let secret =
                json!({ "app_secrets": [APP_SECRET], "verify_tokens": ["a verify token"] });
            json!({ "SecretString": secret.to_string() })
        }
        "DynamoDB_20120810.Query" => json!({ "Items": [], "Count": 0, "ScannedCount": 0 }),
        _ => Value::Object(serde_json::Map::new()),
    };
    ([(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body.to_string()).into_response()
}
