//! Asks the issuer over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use spillway_console::sign_in::{NoAnswer, Web, WebAnswer};

/// For how long an answer is awaited: somebody waits for their page.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// An HTTP client.
pub struct HttpWeb(Result<Client, NoAnswer>);

impl HttpWeb {
    /// Makes one, which follows no redirects.
    pub fn new() -> Self {
        let client = spillway_meta::http::client().redirect(Policy::none()).timeout(PATIENCE);
        Self(client.build().map_err(no_answer))
    }

    fn client(&self) -> Result<&Client, NoAnswer> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

impl Default for HttpWeb {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Web for HttpWeb {
    async fn get(&self, url: &str) -> Result<WebAnswer, NoAnswer> {
        answer(self.client()?.get(url)).await
    }

    async fn post(
        &self,
        url: &str,
        form: SecretString,
        authorization: Option<SecretString>,
    ) -> Result<WebAnswer, NoAnswer> {
        let mut request = self.client()?.post(url).body(form.expose_secret().to_owned());
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(secret) = authorization {
            let value = HeaderValue::try_from(secret.expose_secret());
            let mut value = value.map_err(|_| NoAnswer("the client secret is no text".into()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        answer(request).await
    }
}

async fn answer(request: RequestBuilder) -> Result<WebAnswer, NoAnswer> {
    let mut answer = request.header(ACCEPT, "application/json").send().await.map_err(no_answer)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(NoAnswer("its answer is too long".into()));
        }
    }
    Ok(WebAnswer { status: answer.status().as_u16(), body })
}

/// What happened, without the address.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    let what = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    NoAnswer(what.into())
}
