//! Secrets of the Meta app: app secrets and verify tokens, in one secret of AWS Secrets Manager. And the
//! keys of tracked links, in another, so that whoever writes links reads no app secret.
//! A process believes for five minutes what it has read, and reads again when nothing matches.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use spillway_core::time::Timestamp;
use spillway_meta::signature::AppSecrets;
use spillway_service::clock::Clock;
use spillway_service::links::LinkKeys;
use spillway_service::metrics::{Meter, Metric};
use spillway_service::port::Failure;
use tokio::sync::Mutex;
use tracing::{error, info};

use crate::failure::failure;

/// What a deployment keeps secret.
#[derive(Clone)]
pub struct Secrets {
    /// Candidates for the signature of webhooks. Deliveries of Instagram Login are signed with the
    /// Instagram app secret, those of Facebook Login with the Meta app's. None in a new deployment.
    pub app_secrets: Vec<SecretString>,
    /// Tokens that the webhook handshake may name.
    pub verify_tokens: Vec<SecretString>,
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Secrets Manager did not give them.
    #[error("could not read the secret `{id}`: {source}")]
    Unavailable {
        /// Its name or ARN.
        id: String,
        /// Why.
        source: Failure,
    },
    /// They are not in the form expected.
    #[error(
        "the secret must be JSON like {{\"app_secrets\": [\"…\"], \"verify_tokens\": [\"…\"]}}: {0}; \
         correct it with `aws secretsmanager put-secret-value`"
    )]
    Malformed(String),
    /// The keys of links are not in the form expected.
    #[error(
        "the secret of links must be JSON like {{\"keys\": [\"…\"]}}: {0}; correct it with `aws \
         secretsmanager put-secret-value`"
    )]
    MalformedLinks(String),
    /// The secret of the console is not in the form expected.
    #[error(
        "the secret of the console must be JSON like {{\"session_keys\": [\"…\"], \"client_secret\": \
         \"…\"}}: {0}; correct it with `aws secretsmanager put-secret-value`"
    )]
    MalformedConsole(String),
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    NoRandomness(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    app_secrets: Several,
    verify_tokens: Several,
}

/// A list; or one alone, as CloudFormation generates the verify token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several {
    One(SecretString),
    List(Vec<SecretString>),
}

impl Several {
    fn into_list(self) -> Vec<SecretString> {
        match self {
            Self::One(secret) => vec![secret],
            Self::List(secrets) => secrets,
        }
    }
}

impl Secrets {
    /// Reads the secret's JSON.
    ///
    /// # Errors
    /// Says what is missing; never what the secret holds.
    pub fn parse(text: &SecretString) -> Result<Self, SecretsError> {
        // Serde's own message may quote a value, so only its place is told.
        let wire: Wire = serde_json::from_str(text.expose_secret()).map_err(|error| {
            SecretsError::Malformed(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let malformed = |what: &str| Err(SecretsError::Malformed(what.into()));
        let is_blank = |secret: &SecretString| secret.expose_secret().trim().is_empty();
        let (app_secrets, verify_tokens) =
            (wire.app_secrets.into_list(), wire.verify_tokens.into_list());
        if app_secrets.iter().any(is_blank) {
            return malformed("none of `app_secrets` may be empty");
        }
        if verify_tokens.is_empty() || verify_tokens.iter().any(is_blank) {
            return malformed("`verify_tokens` must name at least one, none of them empty");
        }
        Ok(Self { app_secrets, verify_tokens })
    }

    /// The candidates for signatures.
    pub fn signing(&self) -> AppSecrets {
        AppSecrets::new(self.app_secrets.clone())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinksWire {
    keys: Several,
}

/// Reads the JSON of the secret of links: `keys`, of which the first signs.
///
/// # Errors
/// Says what is wrong; never what the secret holds.
pub fn parse_link_keys(text: &SecretString) -> Result<LinkKeys, SecretsError> {
    let wire: LinksWire = serde_json::from_str(text.expose_secret()).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        SecretsError::MalformedLinks(place)
    })?;
    let keys = wire.keys.into_list();
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.expose_secret().as_bytes()).collect();
    LinkKeys::new(&keys).map_err(|error| SecretsError::MalformedLinks(error.to_string()))
}

/// What the console function keeps secret. Its `Debug` shows nothing of it.
#[derive(Debug)]
pub struct ConsoleSecrets {
    /// The secrets of the keys that seal sessions: the first one seals, each opens.
    pub session_keys: Vec<SecretString>,
    /// What the issuer of sign-ins knows the console by; none if it has no secret.
    pub client_secret: Option<SecretString>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsoleWire {
    session_keys: Several,
    client_secret: SecretString,
}

/// Reads the JSON of the console's secret. Without a client's secret `client_secret` is empty.
///
/// # Errors
/// Says where it is wrong; never what the secret holds.
pub fn parse_console_secrets(text: &SecretString) -> Result<ConsoleSecrets, SecretsError> {
    let wire: ConsoleWire = serde_json::from_str(text.expose_secret()).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        SecretsError::MalformedConsole(place)
    })?;
    let has_secret = !wire.client_secret.expose_secret().trim().is_empty();
    Ok(ConsoleSecrets {
        session_keys: wire.session_keys.into_list(),
        client_secret: has_secret.then_some(wire.client_secret),
    })
}

/// Where secrets are read.
#[async_trait]
pub trait SecretSource<T = Secrets>: Send + Sync {
    /// The secrets as they are now.
    async fn read(&self) -> Result<T, SecretsError>;
}

/// Reads the deployment's secret from Secrets Manager.
pub struct SecretsManager {
    /// The client.
    pub client: aws_sdk_secretsmanager::Client,
    /// The secret's name or ARN.
    pub id: String,
}

impl SecretsManager {
    /// The secrets, and the whole ARN of the secret. Secrets Manager finds it by a part as well.
    ///
    /// # Errors
    /// As [`SecretSource::read`].
    pub fn read_with_arn(&self) -> BoxFuture<'_, Result<(Secrets, Option<String>), SecretsError>> {
        Box::pin(async move {
            let (text, arn) = self.read_text().await?;
            Ok((Secrets::parse(&text)?, arn))
        })
    }

    fn read_text(&self) -> BoxFuture<'_, Result<(SecretString, Option<String>), SecretsError>> {
        Box::pin(async move {
            let unavailable = |source| SecretsError::Unavailable { id: self.id.clone(), source };
            let answer = self.client.get_secret_value().secret_id(&self.id).send().await;
            let answer = answer.map_err(|error| unavailable(failure(error)))?;
            let text = answer.secret_string;
            let text = text.ok_or_else(|| unavailable(Failure::other("it holds no text")))?;
            Ok((SecretString::from(text), answer.arn))
        })
    }
}

#[async_trait]
impl SecretSource for SecretsManager {
    async fn read(&self) -> Result<Secrets, SecretsError> {
        self.read_with_arn().await.map(|(secrets, _)| secrets)
    }
}

/// Reads the keys of tracked links from Secrets Manager.
pub struct LinkSecret(pub SecretsManager);

#[async_trait]
impl SecretSource<LinkKeys> for LinkSecret {
    async fn read(&self) -> Result<LinkKeys, SecretsError> {
        let (text, _) = self.0.read_text().await?;
        parse_link_keys(&text)
    }
}

/// Reads the secret of the console from Secrets Manager.
pub struct ConsoleSecret(pub SecretsManager);

#[async_trait]
impl SecretSource<ConsoleSecrets> for ConsoleSecret {
    async fn read(&self) -> Result<ConsoleSecrets, SecretsError> {
        let (text, _) = self.0.read_text().await?;
        parse_console_secrets(&text)
    }
}

/// How long a process goes on with the secrets it has read.
pub const BELIEVED: Duration = Duration::from_secs(5 * 60);

/// The shortest time between two reads while there are secrets to use: anybody can send forged
/// deliveries, and each must not cost a read.
pub const REREAD_AFTER: Duration = Duration::from_secs(60);

/// The secrets of a process.
pub struct SecretStore<T = Secrets> {
    source: Arc<dyn SecretSource<T>>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
    last: Mutex<Option<Reading<T>>>,
}

struct Reading<T> {
    secrets: Arc<T>,
    read_at: Timestamp,
    /// The last time they were asked for, with or without success.
    asked_at: Timestamp,
}

impl<T> SecretStore<T> {
    /// A store that has read nothing yet. `meter` records readings that fail.
    pub fn new(source: Arc<dyn SecretSource<T>>, clock: Arc<dyn Clock>, meter: Arc<Meter>) -> Self {
        Self { source, clock, meter, last: Mutex::default() }
    }

    /// Returns the secrets. If none can be read, the last ones that were read stay in use.
    ///
    /// # Errors
    /// Fails if none were read yet and none can be.
    pub async fn current(&self) -> Result<Arc<T>, SecretsError> {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        match &mut *last {
            Some(reading) => {
                if now.since(reading.read_at) >= BELIEVED {
                    self.reread(reading, now).await;
                }
                Ok(reading.secrets.clone())
            }
            None => {
                let secrets = Arc::new(self.read().await?);
                *last = Some(Reading { secrets: secrets.clone(), read_at: now, asked_at: now });
                Ok(secrets)
            }
        }
    }

    /// Something matched none of `tried`: newer secrets, if there are any. Asks once a minute.
    pub async fn newer_than(&self, tried: &Arc<T>) -> Option<Arc<T>> {
        let mut last = self.last.lock().await;
        let reading = last.as_mut()?;
        if Arc::ptr_eq(&reading.secrets, tried) {
            self.reread(reading, self.clock.now()).await;
        }
        (!Arc::ptr_eq(&reading.secrets, tried)).then(|| reading.secrets.clone())
    }

    async fn read(&self) -> Result<T, SecretsError> {
        let secrets = self.source.read().await;
        self.meter.count(Metric::SecretFailures, usize::from(secrets.is_err()));
        secrets
    }

    async fn reread(&self, reading: &mut Reading<T>, now: Timestamp) {
        if now.since(reading.asked_at) < REREAD_AFTER {
            return;
        }
        reading.asked_at = now;
        match self.read().await {
            Ok(secrets) => {
                info!("secrets read again");
                reading.secrets = Arc::new(secrets);
                reading.read_at = now;
            }
            Err(error) => error!(%error, "secrets not read again: going on with those read before"),
        }
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SecretsError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

/// A number that no other process draws.
///
/// # Errors
/// Fails if the system has no randomness to give.
pub fn process_number() -> Result<u64, SecretsError> {
    random().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_secret_is_refused_without_being_quoted() {
        let parse = |text: &str| Secrets::parse(&SecretString::from(text));
        let good = parse(r#"{"app_secrets":["s1","s2"],"verify_tokens":["v"]}"#).unwrap();
        assert_eq!((good.app_secrets.len(), good.verify_tokens.len()), (2, 1));
        for bad in [
            "hunter2",
            r#"{"app_secrets":["hunter2"]}"#,
            r#"{"app_secrets":["hunter2"],"verify_tokens":[]}"#,
            r#"{"app_secrets":["hunter2"," "],"verify_tokens":["v"]}"#,
            r#"{"app_secrets":["a"],"verify_tokens":["b"],"hunter2":"c"}"#,
            r#"{"app_secrets":{"hunter2":1},"verify_tokens":["v"]}"#,
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn keys_of_links_are_a_list_or_one_alone_and_are_never_quoted() {
        let parse = |text: &str| parse_link_keys(&SecretString::from(text));
        let key = "hunter2".repeat(5);
        assert!(parse(&format!(r#"{{"keys":"{key}"}}"#)).is_ok(), "as CloudFormation makes it");
        assert!(parse(&format!(r#"{{"keys":["{key}","{key}"]}}"#)).is_ok());
        for bad in [
            "hunter2".to_owned(),
            r#"{"keys":"hunter2"}"#.into(),
            r#"{"keys":[]}"#.into(),
            format!(r#"{{"keys":"{key}","hunter2":1}}"#),
        ] {
            let error = parse(&bad).unwrap_err().to_string();
            assert!(error.contains("put-secret-value") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_consoles_secret_may_have_no_clients_secret_and_is_never_quoted() {
        let parse = |text: &str| parse_console_secrets(&SecretString::from(text));
        let made = parse(r#"{"client_secret":"","session_keys":"generated"}"#).unwrap();
        assert_eq!((made.session_keys.len(), made.client_secret.is_none()), (1, true));
        let filled = parse(r#"{"client_secret":"hush","session_keys":["new","old"]}"#).unwrap();
        assert_eq!((filled.session_keys.len(), filled.client_secret.is_some()), (2, true));
        assert!(!format!("{filled:?}").contains("hush"));
        for bad in ["hunter2", r#"{"client_secret":"hunter2"}"#, r#"{"session_keys":["hunter2"]}"#]
        {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("put-secret-value") && !error.contains("hunter2"), "{error}");
        }
    }

    /// What `template.yaml` makes: no app secret yet, and a generated verify token.
    #[test]
    fn a_new_deployment_has_a_verify_token_and_no_app_secret() {
        let generated = SecretString::from(r#"{"app_secrets":[],"verify_tokens":"generated"}"#);
        let secrets = Secrets::parse(&generated).unwrap();
        assert!(secrets.app_secrets.is_empty());
        assert_eq!(secrets.verify_tokens[0].expose_secret(), "generated");
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }
}
