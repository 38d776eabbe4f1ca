//! The issuer: what it tells of itself, its keys, and the exchange of a code for an ID token.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::jwk::JwkSet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spillway_core::time::Timestamp;
use tokio::sync::Mutex;

/// For how long a process goes on with what the issuer has told of itself.
const BELIEVED: Duration = Duration::from_secs(3600);

/// The shortest time between two reads of the issuer's keys.
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// An answer of the issuer's.
pub struct WebAnswer {
    /// Its status.
    pub status: u16,
    /// Its body, of which more than 256 KiB is an error.
    pub body: Vec<u8>,
}

/// Why there is no answer. It names neither an address nor what was sent.
#[derive(Clone, Debug)]
pub struct NoAnswer(pub String);

/// What asks the issuer. It follows no redirects and gives up within seconds.
#[async_trait]
pub trait Web: Send + Sync {
    /// Reads what is at an address.
    async fn get(&self, url: &str) -> Result<WebAnswer, NoAnswer>;

    /// Sends a form, with the value of an `Authorization` header if there is one.
    async fn post(
        &self,
        url: &str,
        form: SecretString,
        authorization: Option<SecretString>,
    ) -> Result<WebAnswer, NoAnswer>;
}

/// What the issuer tells of itself.
#[derive(Clone, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What a process knows of it.
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) keys: JwkSet,
    read_at: Timestamp,
    keys_read_at: Timestamp,
}

/// Why the issuer is of no help.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IssuerFault {
    /// It does not answer.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// Its answer is not one of an issuer.
    #[error("its answer cannot be used: {0}")]
    Unusable(&'static str),
    /// It does not know this console, or its secret.
    #[error("it does not accept this console's client id or secret")]
    Client,
    /// It does not accept the code.
    #[error("it does not accept the code: it was used before, or is too old")]
    Code,
}

/// An issuer of identities.
pub(super) struct Issuer {
    /// As its tokens name it.
    pub(super) url: String,
    web: Arc<dyn Web>,
    known: Mutex<Option<Arc<Known>>>,
}

/// What a code is exchanged with.
pub(super) struct Exchange<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) client_id: &'a str,
    pub(super) client_secret: Option<&'a SecretString>,
}

impl Issuer {
    pub(super) fn new(url: String, web: Arc<dyn Web>) -> Self {
        Self { url, web, known: Mutex::default() }
    }

    /// What it tells of itself, which may be an hour old.
    pub(super) async fn known(&self, now: Timestamp) -> Result<Arc<Known>, IssuerFault> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| now < known.read_at + BELIEVED) {
            return Ok(known.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/'));
        let metadata: Metadata = self.read(&url).await?;
        if metadata.issuer != self.url {
            return Err(IssuerFault::Unusable("it calls itself by another address"));
        }
        let Metadata { authorization_endpoint, token_endpoint, jwks_uri, .. } = &metadata;
        if ![authorization_endpoint, token_endpoint, jwks_uri].into_iter().all(|url| is_safe(url)) {
            return Err(IssuerFault::Unusable("an address of it is not https"));
        }
        let keys = self.read(&metadata.jwks_uri).await?;
        let read = Arc::new(Known { metadata, keys, read_at: now, keys_read_at: now });
        *known = Some(read.clone());
        Ok(read)
    }

    /// A token names a key that is not among `tried`: newer keys, if there are any. Asks once a minute.
    pub(super) async fn newer(
        &self,
        tried: &Arc<Known>,
        now: Timestamp,
    ) -> Result<Option<Arc<Known>>, IssuerFault> {
        let mut known = self.known.lock().await;
        if let Some(newer) = known.as_ref().filter(|known| !Arc::ptr_eq(known, tried)) {
            return Ok(Some(newer.clone()));
        }
        if now < tried.keys_read_at + REREAD_AFTER {
            return Ok(None);
        }
        let keys = self.read(&tried.metadata.jwks_uri).await?;
        let metadata = tried.metadata.clone();
        let read = Arc::new(Known { metadata, keys, read_at: tried.read_at, keys_read_at: now });
        *known = Some(read.clone());
        Ok(Some(read))
    }

    /// Exchanges a code for an ID token.
    pub(super) async fn exchange(
        &self,
        metadata: &Metadata,
        of: &Exchange<'_>,
    ) -> Result<SecretString, IssuerFault> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: SecretString,
        }
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let (form, authorization) = of.written(metadata.takes_basic());
        let answer = self.web.post(&metadata.token_endpoint, form, authorization).await;
        let answer = answer.map_err(|no| IssuerFault::Unreachable(no.0))?;
        match answer.status {
            200 => {
                let tokens: Option<Tokens> = serde_json::from_slice(&answer.body).ok();
                let tokens = tokens.ok_or(IssuerFault::Unusable("it gives no ID token"))?;
                Ok(tokens.id_token)
            }
            400 | 401 => {
                let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
                Err(match refusal.as_ref().map(|refusal| refusal.error.as_str()) {
                    Some("invalid_grant") => IssuerFault::Code,
                    Some("invalid_client" | "unauthorized_client") => IssuerFault::Client,
                    _ => IssuerFault::Unusable("it refuses the exchange of the code"),
                })
            }
            status => Err(IssuerFault::Unreachable(format!("status {status}"))),
        }
    }

    async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, IssuerFault> {
        let answer = self.web.get(url).await.map_err(|no| IssuerFault::Unreachable(no.0))?;
        if answer.status != 200 {
            return Err(IssuerFault::Unreachable(format!("status {}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(|_| IssuerFault::Unusable("not as expected"))
    }
}

impl Exchange<'_> {
    /// The form, and the header of a client that is not public, if the issuer takes it there.
    fn written(&self, takes_basic: bool) -> (SecretString, Option<SecretString>) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", self.code)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("client_id", self.client_id)
            .append_pair("code_verifier", self.verifier);
        let secret = self.client_secret;
        if let Some(secret) = secret.filter(|_| !takes_basic) {
            form.append_pair("client_secret", secret.expose_secret());
        }
        let header = secret.filter(|_| takes_basic).map(|secret| basic(self.client_id, secret));
        (SecretString::from(form.finish()), header)
    }
}

impl Metadata {
    /// Whether it takes a client's secret in a header, as it does if it says nothing of it.
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
    }
}

/// The header of a client ([RFC 6749, section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)).
fn basic(client_id: &str, secret: &SecretString) -> SecretString {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
    SecretString::from(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// Whether nobody between can read what is sent to an address: it is https, or does not leave this
/// machine.
pub fn is_safe(url: &str) -> bool {
    let rest = url.strip_prefix("http://127.0.0.1:").map(|rest| rest.split('/').next());
    let is_local = rest.flatten().is_some_and(|port| port.parse::<u16>().is_ok());
    let host = url.strip_prefix("https://").unwrap_or_default();
    is_local || host.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_safe() {
        for url in ["https://a.example/x", "http://127.0.0.1:80/x", "http://127.0.0.1:80"] {
            assert!(is_safe(url), "{url}");
        }
        for url in [
            "http://a.example",
            "http://127.0.0.1:80@a.example/",
            "http://127.0.0.1.a.example/",
            "https://",
            "https:///x",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }

    #[test]
    fn a_clients_secret_goes_where_the_issuer_takes_it() {
        let secret = SecretString::from("hush");
        let of = |client_secret, takes_basic| {
            let (code, verifier) = ("c", "v");
            let redirect_uri = "https://a.example/";
            let of = Exchange { code, verifier, redirect_uri, client_id: "id", client_secret };
            let (form, header) = of.written(takes_basic);
            (form.expose_secret().contains("client_secret=hush"), header.is_some())
        };
        assert_eq!(of(Some(&secret), true), (false, true));
        assert_eq!(of(Some(&secret), false), (true, false));
        assert_eq!(of(None, true), (false, false));
    }

    #[test]
    fn what_a_client_is_known_by_is_encoded_first() {
        let header = basic("a:b", &SecretString::from("p w/+"));
        let pair = header.expose_secret().strip_prefix("Basic ").unwrap();
        assert_eq!(BASE64_STANDARD.decode(pair).unwrap(), b"a%3Ab:p+w%2F%2B");
    }
}
