//! Is this webhook body from Meta? The check of `X-Hub-Signature-256`.
//!
//! The header is `sha256=` and, in hex, HMAC-SHA256 of the body under the app's secret (Meta,
//! Instagram Platform webhooks, 3 Mar 2026). Meta signs the form with escaped unicode, which is the
//! form on the wire: only the untouched bytes verify, never a body that was parsed and written
//! again. SHA-1 (`X-Hub-Signature`) is not accepted.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

const PREFIX: &str = "sha256=";

/// The app secrets that may have signed a delivery, in order of preference.
///
/// There are several because Meta does not say which secret signs what: deliveries of Instagram
/// Login are seen signed with the Instagram app's secret, those of Facebook Login with the Facebook
/// app's; and because a secret is rotated while deliveries signed with the old one are on their
/// way.
#[derive(Clone, Debug)]
pub struct AppSecrets(Vec<SecretString>);

impl AppSecrets {
    /// The candidates in the order in which [`verify`](Self::verify) numbers them. An empty secret
    /// keeps its number and verifies nothing.
    pub fn new(candidates: Vec<SecretString>) -> Self {
        Self(candidates)
    }

    /// Checks the value of `X-Hub-Signature-256` against the body as it was received, and returns
    /// the index of the candidate that signed it. The comparison takes constant time.
    ///
    /// # Errors
    ///
    /// When the body must not be trusted; see [`SignatureError`].
    pub fn verify(&self, header: Option<&str>, raw_body: &[u8]) -> Result<usize, SignatureError> {
        let hex_tag =
            header.ok_or(SignatureError::Missing)?.strip_prefix(PREFIX).unwrap_or_default();
        let mut tag = [0; 32];
        hex::decode_to_slice(hex_tag, &mut tag).map_err(|_| SignatureError::Malformed)?;

        self.signer(&tag, raw_body).ok_or(SignatureError::Mismatch)
    }

    /// The index of the candidate whose HMAC of `signed` this is.
    pub(crate) fn signer(&self, tag: &[u8; 32], signed: &[u8]) -> Option<usize> {
        self.0.iter().position(|secret| {
            !secret.expose_secret().is_empty() && mac(secret, signed).verify_slice(tag).is_ok()
        })
    }
}

/// The header value that Meta would send with `body`: for stand-ins of Meta and for tests.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(mac(secret, body).finalize().into_bytes()))
}

/// Why a body is not trusted. Answer 401 and drop it: Meta sends it again, so a wrong secret in the
/// configuration heals, but long failure ends the subscription. Alarm on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no `X-Hub-Signature-256`.
    #[error("no X-Hub-Signature-256 header")]
    Missing,
    /// The header is not `sha256=` and 64 hex digits.
    #[error("X-Hub-Signature-256 is not sha256= and 64 hex digits")]
    Malformed,
    /// None of the secrets made this signature for this body.
    #[error("no app secret matches the signature")]
    Mismatch,
}

/// The HMAC of `signed` itself.
pub(crate) fn tag(secret: &SecretString, signed: &[u8]) -> [u8; 32] {
    mac(secret, signed).finalize().into_bytes().into()
}

fn mac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let key = secret.expose_secret().as_bytes();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.chain_update(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body as on the wire, and its signature under `test_app_secret`.
    const ESCAPED: &[u8] = br#"{"object":"instagram","entry":[{"id":"17841400000000000","time":1790000000,"changes":[{"field":"comments","value":{"id":"17890000000000001","text":"\u00e4\u00f6\u00e5 \ud83d\ude00 https:\/\/ex.am\/p"}}]}]}"#;
    const ESCAPED_TAG: &str =
        "sha256=e63619f3b2b882de768a41d3b665bdca21b4179d392cc98374222b9c39575c52";
    /// The same JSON parsed and written again.
    const REWRITTEN: &str = r#"{"object":"instagram","entry":[{"id":"17841400000000000","time":1790000000,"changes":[{"field":"comments","value":{"id":"17890000000000001","text":"äöå 😀 https://ex.am/p"}}]}]}"#;
    const REWRITTEN_TAG: &str =
        "sha256=6c26a4057d76c2f5d3aefad7effa7a75e89700f92c9b7f2ed75c8be792a8d77a";

    fn secrets(candidates: &[&str]) -> AppSecrets {
        AppSecrets::new(candidates.iter().map(|&secret| secret.into()).collect())
    }

    #[test]
    fn the_bytes_on_the_wire_verify() {
        assert_eq!(ESCAPED.len(), 205);
        assert_eq!(secrets(&["test_app_secret"]).verify(Some(ESCAPED_TAG), ESCAPED), Ok(0));
        assert_eq!(sign(&"test_app_secret".into(), ESCAPED), ESCAPED_TAG);
    }

    #[test]
    fn the_same_json_written_again_does_not() {
        let secrets = secrets(&["test_app_secret"]);
        let rewritten = REWRITTEN.as_bytes();
        assert_eq!(rewritten.len(), 182);
        assert_eq!(secrets.verify(Some(ESCAPED_TAG), rewritten), Err(SignatureError::Mismatch));
        assert_eq!(secrets.verify(Some(REWRITTEN_TAG), rewritten), Ok(0));
    }

    #[test]
    fn says_which_secret_matched() {
        let secrets = secrets(&["old", "", "test_app_secret"]);
        assert_eq!(secrets.verify(Some(ESCAPED_TAG), ESCAPED), Ok(2));
    }

    #[test]
    fn an_empty_secret_verifies_nothing() {
        let header = sign(&"".into(), ESCAPED);
        assert_eq!(secrets(&[""]).verify(Some(&header), ESCAPED), Err(SignatureError::Mismatch));
        assert_eq!(secrets(&[]).verify(Some(&header), ESCAPED), Err(SignatureError::Mismatch));
    }

    #[test]
    fn refuses_what_is_not_such_a_header() {
        let secrets = secrets(&["test_app_secret"]);
        assert_eq!(secrets.verify(None, ESCAPED), Err(SignatureError::Missing));
        for header in [
            "".to_owned(),
            "sha256=".to_owned(),
            ESCAPED_TAG.replace("sha256=", "sha1="),
            ESCAPED_TAG.replace("sha256=", "SHA256="),
            ESCAPED_TAG.replace("sha256=", ""),
            ESCAPED_TAG.replace("e6", "g6"),
            format!("{ESCAPED_TAG}00"),
            ESCAPED_TAG[..ESCAPED_TAG.len() - 1].to_owned(),
            format!(" {ESCAPED_TAG}"),
        ] {
            let refusal = secrets.verify(Some(&header), ESCAPED);
            assert_eq!(refusal, Err(SignatureError::Malformed), "{header}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", secrets(&["test_app_secret"])).contains("test_app"));
    }

    proptest! {
        #[test]
        fn never_panics(header: Option<String>, body: Vec<u8>) {
            let _ = secrets(&["a", "b"]).verify(header.as_deref(), &body);
        }

        #[test]
        fn a_signed_body_verifies_until_a_byte_changes(
            body in prop::collection::vec(any::<u8>(), 1..200),
            at: prop::sample::Index,
            flip in 1..=u8::MAX,
        ) {
            let header = sign(&"b".into(), &body);
            let secrets = secrets(&["a", "b"]);
            prop_assert_eq!(secrets.verify(Some(&header), &body), Ok(1));
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= flip;
            prop_assert_eq!(secrets.verify(Some(&header), &changed), Err(SignatureError::Mismatch));
        }
    }
}
