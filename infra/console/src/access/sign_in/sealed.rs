//! Sealed cookies: what a browser carries and nobody can read or make, by AES-256-GCM.
//!
//! A process remembers nothing of those who sign in, since the next request may meet another one. So what
//! is to be remembered goes with the browser. A cookie opens under its own name alone.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The fewest bytes of a key's secret.
const SECRET_BYTES_MIN: usize = 32;

/// The most bytes of a cookie that is looked at. Browsers keep 4,096.
const COOKIE_BYTES_MAX: usize = 4096;

/// What a deployment's console has to keep secret. Its `Debug` shows nothing of it.
pub struct SignInSecrets {
    /// The first one seals, each opens.
    keys: Vec<LessSafeKey>,
    /// What the issuer knows this console by; none where the client is a public one.
    pub(super) client_secret: Option<SecretString>,
}

impl fmt::Debug for SignInSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInSecrets(…)")
    }
}

impl SignInSecrets {
    /// Derives the keys of sessions from their secrets: the first one seals, and each opens.
    ///
    /// # Errors
    /// Fails if there is no secret, or one has fewer than 32 bytes; says so without quoting one.
    pub fn new(
        session_keys: &[SecretString],
        client_secret: Option<SecretString>,
    ) -> Result<Self, &'static str> {
        if session_keys.is_empty() {
            return Err("there is no key of sessions");
        }
        let derive = |secret: &SecretString| {
            let secret = secret.expose_secret().as_bytes();
            if secret.len() < SECRET_BYTES_MIN {
                return Err("a key of sessions has fewer than 32 bytes");
            }
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let bytes = hmac::sign(&secret, b"spillway console: cookies");
            let key = UnboundKey::new(&AES_256_GCM, bytes.as_ref());
            key.map(LessSafeKey::new).map_err(|_| "a key of sessions cannot be used")
        };
        let keys = session_keys.iter().map(derive).collect::<Result<_, _>>()?;
        Ok(Self { keys, client_secret })
    }

    /// Seals the value of a cookie. `None` if the system has no randomness.
    pub(super) fn seal(&self, name: &str, value: &impl Serialize) -> Option<String> {
        let mut sealed = serde_json::to_vec(value).ok()?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        let key = self.keys.first()?;
        key.seal_in_place_append_tag(unique, Aad::from(name), &mut sealed).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens the value of a cookie of this name. `None` if this console has not sealed it.
    pub(super) fn open<T: DeserializeOwned>(&self, name: &str, cookie: &str) -> Option<T> {
        if cookie.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        self.keys.iter().find_map(|key| {
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let value = key.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?;
            serde_json::from_slice(value).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(keys: &[&str]) -> SignInSecrets {
        let keys: Vec<_> = keys.iter().map(|key| SecretString::from(key.repeat(32))).collect();
        SignInSecrets::new(&keys, None).unwrap()
    }

    #[test]
    fn a_cookie_opens_under_its_name_and_with_its_key_alone() {
        let own = secrets(&["a"]);
        let sealed = own.seal("session", &"ana").unwrap();
        assert!(!sealed.contains("ana"));
        let open =
            |secrets: &SignInSecrets, name, cookie: &str| secrets.open::<String>(name, cookie);
        assert_eq!(open(&own, "session", &sealed).as_deref(), Some("ana"));
        assert_eq!(open(&own, "login", &sealed), None);
        assert_eq!(open(&secrets(&["b"]), "session", &sealed), None);
        assert!(open(&secrets(&["b", "a"]), "session", &sealed).is_some(), "a rotated key");
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            // The last character of base64 has bits that mean nothing, and must be zero.
            assert_eq!(open(&own, "session", &forged), None, "{at}");
        }
        for cookie in ["", "x", &sealed[..10], &"A".repeat(5000)] {
            assert_eq!(open(&own, "session", cookie), None);
        }
    }

    #[test]
    fn two_cookies_of_the_same_are_not_the_same() {
        let own = secrets(&["a"]);
        assert_ne!(own.seal("session", &"ana"), own.seal("session", &"ana"));
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused_and_not_quoted() {
        let of = |text: &str| SignInSecrets::new(&[SecretString::from(text)], None);
        assert!(SignInSecrets::new(&[], None).is_err());
        let error = of("hunter2").unwrap_err();
        assert!(error.contains("32 bytes") && !error.contains("hunter2"));
        assert_eq!(format!("{:?}", of(&"hunter2".repeat(5)).unwrap()), "SignInSecrets(…)");
    }
}
