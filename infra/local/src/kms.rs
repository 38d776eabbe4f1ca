//! KMS as far as Spillway asks for it, over HTTP for whoever comes from outside the process: data keys
//! out of [`LocalKeys`]. Signatures and key ids are unread; the encryption context must be ours.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use spillway_cloud::token::KMS_CONTEXT;
use tokio::net::TcpListener;

use crate::keys::LocalKeys;

/// What stands for the ARN of the deployment's key.
pub const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/local";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(default)]
    ciphertext_blob: String,
    #[serde(default)]
    encryption_context: HashMap<String, String>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    keys: Arc<LocalKeys>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new().route("/", post(answer)).with_state(keys);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn answer(State(keys): State<Arc<LocalKeys>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    match call(&keys, target.unwrap_or_default(), &body) {
        Ok(answer) => response(StatusCode::OK, &answer),
        Err((kind, message)) => {
            response(StatusCode::BAD_REQUEST, &json!({ "__type": kind, "message": message }))
        }
    }
}

fn response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string())
        .into_response()
}

fn call(keys: &LocalKeys, target: &str, body: &[u8]) -> Result<Value, (&'static str, String)> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| ("SerializationException", error.to_string()))?;
    let (purpose, tokens) = KMS_CONTEXT;
    let refused = |why: &str| ("InvalidCiphertextException", why.to_owned());
    if request.encryption_context.get(purpose).is_none_or(|given| given != tokens) {
        return Err(refused("another encryption context"));
    }
    let gone =
        |error: spillway_service::port::StoreError| ("KMSInternalException", error.to_string());
    match target {
        "TrentService.GenerateDataKey" => {
            let (plain, encrypted) = keys.make().map_err(gone)?;
            Ok(json!({
                "KeyId": KEY,
                "CiphertextBlob": STANDARD.encode(encrypted),
                "Plaintext": STANDARD.encode(plain),
            }))
        }
        "TrentService.Decrypt" => {
            let encrypted = STANDARD.decode(&request.ciphertext_blob);
            let encrypted = encrypted.map_err(|_| refused("no base64"))?;
            let plain = keys.plain(&encrypted).map_err(|error| refused(&error.to_string()))?;
            Ok(json!({ "KeyId": KEY, "Plaintext": STANDARD.encode(plain) }))
        }
        other => Err(("UnknownOperationException", format!("no `{other}` here"))),
    }
}
