//! Secrets Manager, as far as a function that starts asks for it.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves one secret, whose ARN is `arn`, and gives the service's URL.
pub(crate) async fn serve(arn: &str, text: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let secret = (arn.to_owned(), text.to_owned());
    let app = Router::new().route("/", post(answer)).with_state(secret);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn answer(
    State((arn, text)): State<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    match target {
        Some("secretsmanager.GetSecretValue") if asked["SecretId"] == arn => {
            Json(json!({ "ARN": arn, "Name": "spillway", "SecretString": text })).into_response()
        }
        Some("secretsmanager.GetSecretValue") => {
            let error =
                json!({ "__type": "ResourceNotFoundException", "Message": "no such secret" });
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}
