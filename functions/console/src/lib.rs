//! The console function: the console's pages for those who sign in at an OpenID Connect issuer.
//!
//! It holds no account's token: what takes one is left to the console of the operator's tool.

pub mod config;
mod web;

use std::sync::Arc;

use axum::body::to_bytes;
use axum::response::Response as Page;
use futures::future::BoxFuture;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use spillway_cloud::dead_letters::DeadLetters;
use spillway_cloud::emf::Metrics;
use spillway_cloud::secrets::{ConsoleSecrets, SecretStore};
use spillway_cloud::wiring::Wiring;
use spillway_console::sign_in::{SignIn, SignInOptions, SignInSecrets, Web};
use spillway_console::{CommentReads, Deployed, Shown};
use tracing::error;

pub use self::web::HttpWeb;

/// Bytes of an answer: Lambda takes 6 MB, and a page has 60 KB.
const ANSWER_BYTES_MAX: usize = 5 * 1024 * 1024;

/// The function's state, built once a process.
pub struct ConsoleFunction {
    deployed: Deployed,
    secrets: SecretStore<ConsoleSecrets>,
    metrics: Metrics,
}

/// What a deployment's console shows.
pub fn shown(wiring: &Wiring, dead_letters: Arc<DeadLetters>) -> Shown {
    Shown {
        admin: Arc::new(wiring.admin()),
        deriver: Arc::new(wiring.deriver()),
        comment_reads: CommentReads::Elsewhere,
        dead_letters,
        deployment: wiring.stack.clone(),
        notice: None,
    }
}

impl ConsoleFunction {
    /// Builds it; `web` asks the issuer.
    pub fn new(
        shown: Shown,
        options: SignInOptions,
        web: impl Web + 'static,
        secrets: SecretStore<ConsoleSecrets>,
        metrics: Metrics,
    ) -> Self {
        let deployed = Deployed::new(shown, SignIn::new(options, Arc::new(web)));
        Self { deployed, secrets, metrics }
    }

    /// Answers one request.
    pub fn handle(&self, request: Request) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            // Lambda names the host that a request came to, whatever the request says.
            let host = match request.request_context_ref() {
                Some(RequestContext::ApiGatewayV2(context)) => context.domain_name.clone(),
                _ => None,
            };
            let secrets = self.secrets().await;
            let request = request.map(|body| axum::body::Body::from(body.to_vec()));
            let host = host.unwrap_or_default();
            let page = self.deployed.answer(&host, secrets.as_ref(), request).await;
            self.metrics.flush();
            translated(page).await
        })
    }

    async fn secrets(&self) -> Option<SignInSecrets> {
        let read = self.secrets.current().await;
        let read = read.inspect_err(|error| error!(%error, "no secrets: nobody is let in")).ok()?;
        let client_secret = read.client_secret.clone();
        let secrets = SignInSecrets::new(&read.session_keys, client_secret);
        secrets.inspect_err(|error| error!(error, "the secret of the console is of no use")).ok()
    }
}

/// A page as Lambda takes it: as text.
async fn translated(page: Page) -> Response<Body> {
    let (parts, body) = page.into_parts();
    let text = to_bytes(body, ANSWER_BYTES_MAX).await.ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes.into()).ok());
    match text {
        Some(text) => Response::from_parts(parts, Body::Text(text)),
        None => {
            error!("a page is too long, or no text");
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
