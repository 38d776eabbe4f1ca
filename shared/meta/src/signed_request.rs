//! Meta's signed requests: what it sends when somebody removes the app or asks for their data to be
//! deleted (Meta, data deletion callback).
//!
//! `signed_request` is two parts with a dot between them, each in base64 for URLs: an HMAC-SHA256
//! under the app's secret, and the JSON that it was made of as it stands there, still encoded.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use spillway_core::time::Timestamp;

use crate::json::Object;
use crate::signature::AppSecrets;

/// Bytes of the signature that make the code: enough that nobody guesses one.
const CODE_BYTES: usize = 12;

/// A request that the app's secret has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// Whose it is, by the id scoped to the app.
    pub user: String,
    /// The instant when Meta made it.
    pub issued_at: Option<Timestamp>,
    /// The index of the secret that signed it.
    pub secret: usize,
    /// What nobody can guess who has not seen the request, and what is the same when Meta sends it
    /// again: the beginning of its signature, in hex.
    pub code: String,
}

/// Why a request is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedRequestError {
    /// It is not two parts in base64, or the second is not JSON that names a user.
    #[error("it is not a signed request")]
    Malformed,
    /// It names another algorithm than HMAC-SHA256.
    #[error("it is signed by another algorithm than HMAC-SHA256")]
    Algorithm,
    /// None of the secrets made this signature.
    #[error("no app secret matches the signature")]
    Mismatch,
}

/// Reads a request and checks its signature, in constant time.
///
/// # Errors
/// Fails if it must not be trusted.
pub fn read(secrets: &AppSecrets, request: &str) -> Result<SignedRequest, SignedRequestError> {
    use SignedRequestError::{Algorithm, Malformed, Mismatch};
    let decode = |text: &str| {
        BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Malformed)
    };
    let (tag, payload) = request.split_once('.').ok_or(Malformed)?;
    let tag: [u8; 32] = decode(tag)?.try_into().map_err(|_| Malformed)?;
    // What is not signed is not looked into.
    let secret = secrets.signer(&tag, payload.as_bytes()).ok_or(Mismatch)?;
    let payload = String::from_utf8(decode(payload)?).map_err(|_| Malformed)?;
    let payload = Object::parse(&payload).ok_or(Malformed)?;
    let algorithm = payload.text("algorithm");
    if !algorithm.is_some_and(|name| name.eq_ignore_ascii_case("HMAC-SHA256")) {
        return Err(Algorithm);
    }
    Ok(SignedRequest {
        user: payload.id("user_id").ok_or(Malformed)?,
        issued_at: payload.number("issued_at").map(Timestamp::from_secs),
        secret,
        code: hex::encode(&tag[..CODE_BYTES]),
    })
}

/// Whether this can be the code of a request.
pub fn is_code(code: &str) -> bool {
    code.len() == 2 * CODE_BYTES && code.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The request that Meta would send for `user`: for stand-ins of Meta and for tests.
pub fn sign(secret: &SecretString, user: &str, issued_at: Timestamp) -> String {
    let payload = serde_json::json!({
        "algorithm": "HMAC-SHA256",
        "issued_at": issued_at.as_secs(),
        "user_id": user,
    });
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload.to_string());
    let tag = crate::signature::tag(secret, payload.as_bytes());
    format!("{}.{payload}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn secrets(candidates: &[&str]) -> AppSecrets {
        AppSecrets::new(candidates.iter().map(|&secret| secret.into()).collect())
    }

    /// Made by another implementation: Python's hmac and base64.
    #[test]
    fn a_request_made_elsewhere_is_read() {
        let request = "ckFn-PbqFvuQk1BRnqWfiwoFEMV8qNILeJ1v_DoqtSQ.eyJ1c2VyX2lkIjoiOTAxMjM0NSIsImFsZ29yaXRobSI6IkhNQUMtU0hBMjU2IiwiaXNzdWVkX2F0IjoxNzkwMDAwMDAwfQ";
        let read = read(&secrets(&["old", "test_app_secret"]), request).unwrap();
        let code = "724167f8f6ea16fb90935051".into();
        let expected =
            SignedRequest { user: "9012345".into(), issued_at: Some(AT), secret: 1, code };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_another_secret_signed_or_what_was_changed_is_refused() {
        let request = sign(&"a".into(), "17", AT);
        assert_eq!(read(&secrets(&["a"]), &request).unwrap().user, "17");
        assert_eq!(read(&secrets(&["b", ""]), &request), Err(SignedRequestError::Mismatch));
        let (tag, _) = request.split_once('.').unwrap();
        let (_, other) = sign(&"a".into(), "18", AT)
            .split_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let forged = format!("{tag}.{other}");
        assert_eq!(read(&secrets(&["a"]), &forged), Err(SignedRequestError::Mismatch));
        for bad in ["", ".", "a.b", tag, "!.!"] {
            assert_eq!(read(&secrets(&["a"]), bad), Err(SignedRequestError::Malformed), "{bad}");
        }
    }

    #[test]
    fn another_algorithm_is_refused_though_its_signature_is_right() {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(r#"{"algorithm":"none","user_id":"17"}"#);
        let tag = crate::signature::tag(&"a".into(), payload.as_bytes());
        let request = format!("{}.{payload}", BASE64_URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(read(&secrets(&["a"]), &request), Err(SignedRequestError::Algorithm));
    }

    proptest! {
        #[test]
        fn never_panics(request: String) {
            let _ = read(&secrets(&["a"]), &request);
        }
    }
}
