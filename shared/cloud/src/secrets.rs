//! Secrets: app secrets and verify tokens of the Meta app, and the key that account tokens are
//! sealed with. One secret in AWS Secrets Manager holds them all.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use spillway_core::id::AccountId;
use spillway_meta::signature::AppSecrets;

/// What a deployment keeps secret.
#[derive(Clone)]
pub struct Secrets {
    /// Candidates for the signature of webhooks, the current one first. Deliveries of Instagram
    /// Login are signed with the Instagram app secret, those of Facebook Login with the Meta app's.
    pub app_secrets: Vec<SecretString>,
    /// Tokens that the webhook handshake may name.
    pub verify_tokens: Vec<SecretString>,
    /// What account tokens are sealed with.
    pub token_key: TokenKey,
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Secrets Manager did not give them.
    #[error("could not read the secret `{id}`: {detail}")]
    Unavailable {
        /// Its name or ARN.
        id: String,
        /// What Secrets Manager said.
        detail: String,
    },
    /// They are not in the form expected.
    #[error(
        "the secret must be JSON like {{\"app_secrets\": [\"…\"], \"verify_tokens\": [\"…\"], \
         \"token_key\": \"…\"}}: {0}"
    )]
    Malformed(String),
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    NoRandomness(String),
    /// A sealed token is not one of this key and account.
    #[error("the token was sealed with another key, or for another account: connect it again")]
    Sealed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    app_secrets: Vec<SecretString>,
    verify_tokens: Vec<SecretString>,
    token_key: SecretString,
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
        if wire.app_secrets.is_empty() || wire.app_secrets.iter().any(is_blank) {
            return malformed("`app_secrets` must name at least one, none of them empty");
        }
        if wire.verify_tokens.is_empty() || wire.verify_tokens.iter().any(is_blank) {
            return malformed("`verify_tokens` must name at least one, none of them empty");
        }
        let Some(token_key) = TokenKey::parse(&wire.token_key) else {
            return malformed("`token_key` must be 32 bytes in base64");
        };
        Ok(Self { app_secrets: wire.app_secrets, verify_tokens: wire.verify_tokens, token_key })
    }

    /// Loads the secret `id` from Secrets Manager.
    ///
    /// # Errors
    /// When it cannot be read or is malformed.
    pub async fn load(
        client: &aws_sdk_secretsmanager::Client,
        id: &str,
    ) -> Result<Self, SecretsError> {
        let unavailable = |detail: String| SecretsError::Unavailable { id: id.to_owned(), detail };
        let answer = client.get_secret_value().secret_id(id).send().await.map_err(|error| {
            unavailable(aws_smithy_types::error::display::DisplayErrorContext(error).to_string())
        })?;
        let text = answer.secret_string.ok_or_else(|| unavailable("it holds no text".into()))?;
        Self::parse(&SecretString::from(text))
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

/// Seals account tokens for the store: AES-256-GCM, bound to the account.
#[derive(Clone)]
pub struct TokenKey(Aes256Gcm);

const NONCE: usize = 12;

impl TokenKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, SecretsError> {
        random().map(|bytes: [u8; 32]| Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*bytes)))
    }

    fn parse(text: &SecretString) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.expose_secret().trim()).ok()?;
        Some(Self::from_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// Seals a token for `account`.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, account: &AccountId, token: &SecretString) -> Result<Vec<u8>, SecretsError> {
        let nonce: [u8; NONCE] = random()?;
        let payload =
            Payload { msg: token.expose_secret().as_bytes(), aad: account.as_str().as_bytes() };
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|error| SecretsError::NoRandomness(error.to_string()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made for the same account.
    ///
    /// # Errors
    /// [`SecretsError::Sealed`] when it was sealed otherwise.
    pub fn open(&self, account: &AccountId, sealed: &[u8]) -> Result<SecretString, SecretsError> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>().ok_or(SecretsError::Sealed)?;
        let payload = Payload { msg: text, aad: account.as_str().as_bytes() };
        let token =
            self.0.decrypt(&Nonce::from(*nonce), payload).map_err(|_| SecretsError::Sealed)?;
        String::from_utf8(token).map(SecretString::from).map_err(|_| SecretsError::Sealed)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SecretsError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

/// A number that no other process draws.
///
/// # Errors
/// When the system has no randomness to give.
pub fn process_number() -> Result<u64, SecretsError> {
    random().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_account_and_key_only() {
        let (key, other) = (TokenKey::generate().unwrap(), TokenKey::generate().unwrap());
        let token = SecretString::from("IGA-token");
        let account = AccountId::new("17841400000000001");
        let sealed = key.seal(&account, &token).unwrap();
        assert!(!sealed.windows(9).any(|bytes| bytes == b"IGA-token"));
        assert_eq!(key.open(&account, &sealed).unwrap().expose_secret(), "IGA-token");
        assert!(key.open(&AccountId::new("17841400000000002"), &sealed).is_err());
        assert!(other.open(&account, &sealed).is_err());
        assert!(key.open(&account, &sealed[..8]).is_err());
    }

    #[test]
    fn a_malformed_secret_is_refused_without_being_quoted() {
        let key = BASE64_STANDARD.encode([7; 32]);
        let parse = |text: String| Secrets::parse(&SecretString::from(text));
        let good =
            format!(r#"{{"app_secrets":["s1","s2"],"verify_tokens":["v"],"token_key":"{key}"}}"#);
        assert_eq!(parse(good).unwrap().app_secrets.len(), 2);
        for bad in [
            "hunter2".to_owned(),
            r#"{"app_secrets":["hunter2"]}"#.to_owned(),
            format!(r#"{{"app_secrets":[],"verify_tokens":["hunter2"],"token_key":"{key}"}}"#),
            r#"{"app_secrets":["a"],"verify_tokens":["b"],"token_key":"hunter2"}"#.to_owned(),
            format!(r#"{{"app_secrets":"hunter2","verify_tokens":["v"],"token_key":"{key}"}}"#),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
