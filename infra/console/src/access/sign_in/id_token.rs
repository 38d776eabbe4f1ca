//! ID tokens: whether one is the issuer's, for this console, for this sign-in and still good. The rules
//! are those of [OpenID Connect Core 1.0, section 3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation).

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};
use spillway_core::time::Timestamp;
use subtle::ConstantTimeEq;

use super::allowed::is_email;
use super::signature;

/// By how much the issuer's clock may be wrong.
const LEEWAY: Duration = Duration::from_secs(60);

/// The most characters of a subject that stands for somebody without an address.
const SUBJECT_MAX: usize = 255;

/// What a token has to say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// The name of the claim with somebody's groups.
    pub(super) groups_claim: &'a str,
    pub(super) now: Timestamp,
}

/// Somebody whom the issuer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// What the issuer calls them, for ever.
    pub(super) subject: String,
    /// Their address, if the issuer has verified it.
    pub(super) email: Option<String>,
    /// Whether there is an address that it has not.
    pub(super) is_unverified: bool,
    pub(super) groups: Vec<String>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is no signed token.
    #[error("it is no signed ID token")]
    Malformed,
    /// It is signed by an algorithm that is not taken: none, or one with a shared secret, among others.
    #[error("its signature is of a kind that is not taken")]
    Algorithm,
    /// It names a key that is not the issuer's.
    #[error("it is signed with a key that the issuer does not show")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is of another issuer.
    #[error("it is another issuer's")]
    Issuer,
    /// It is for another client.
    #[error("it is for another client")]
    Audience,
    /// It is too old.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("its time is in the future: a clock is wrong")]
    Future,
    /// It is of another sign-in.
    #[error("it is for another sign-in (`nonce`)")]
    Nonce,
}

/// The algorithms that are taken: those that the issuer alone can sign by.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<Truth>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `true`; some issuers write it as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Truth {
    Value(bool),
    Text(String),
}

impl Truth {
    fn holds(&self) -> bool {
        match self {
            Self::Value(value) => *value,
            Self::Text(text) => text == "true",
        }
    }
}

/// Verifies a token with the issuer's keys.
pub(super) fn verify(
    token: &str,
    keys: &JwkSet,
    expected: &Expected<'_>,
) -> Result<Identity, TokenFault> {
    let header = jsonwebtoken::decode_header(token).map_err(fault)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenFault::Algorithm);
    }
    let mut candidates = keys.keys.iter().filter(|key| may_sign(key, &header)).peekable();
    candidates.peek().ok_or(TokenFault::UnknownKey)?;
    let claims = candidates.find_map(|key| signed(token, key, header.alg).transpose());
    let claims = claims.unwrap_or(Err(TokenFault::Signature))?;
    check(&claims, expected)?;
    Ok(identity(claims, expected.groups_claim))
}

/// Whether a key can be the one that has signed.
fn may_sign(key: &Jwk, header: &Header) -> bool {
    let is_named = header.kid.is_none() || key.common.key_id == header.kid;
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let own = key.common.key_algorithm.map(Algorithm::try_from);
    let is_for_it = own.is_none_or(|own| own.is_ok_and(|own| own == header.alg));
    let family = header.alg.family();
    let fits = match &key.algorithm {
        AlgorithmParameters::RSA(_) => family == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(of) => {
            (&of.curve, header.alg) == (&EllipticCurve::P256, Algorithm::ES256)
                || (&of.curve, header.alg) == (&EllipticCurve::P384, Algorithm::ES384)
        }
        _ => false,
    };
    is_named && signs && is_for_it && fits
}

/// What a token claims, if this key has signed it; `None` if another one has.
fn signed(token: &str, key: &Jwk, algorithm: Algorithm) -> Result<Option<Claims>, TokenFault> {
    signature::install();
    // Claims are checked below, by the console's own clock and with a reason for each.
    let mut by_signature = Validation::new(algorithm);
    by_signature.required_spec_claims.clear();
    by_signature.validate_exp = false;
    by_signature.validate_aud = false;
    let key = DecodingKey::from_jwk(key).map_err(|_| TokenFault::UnknownKey)?;
    match jsonwebtoken::decode::<Claims>(token, &key, &by_signature) {
        Ok(token) => Ok(Some(token.claims)),
        Err(error) => match fault(error) {
            TokenFault::Signature => Ok(None),
            fault => Err(fault),
        },
    }
}

fn fault(error: jsonwebtoken::errors::Error) -> TokenFault {
    match error.into_kind() {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenFault::Algorithm,
        ErrorKind::InvalidAlgorithmName => TokenFault::Algorithm,
        _ => TokenFault::Malformed,
    }
}

fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), TokenFault> {
    if claims.iss != expected.issuer {
        return Err(TokenFault::Issuer);
    }
    let client = expected.client_id;
    let (is_for_us, is_for_others) = match &claims.aud {
        OneOrMany::One(one) => (one == client, false),
        OneOrMany::Many(many) => (many.iter().any(|one| one == client), many.len() > 1),
    };
    let is_ours = claims.azp.as_ref().map_or(!is_for_others, |party| party == client);
    if !is_for_us || !is_ours {
        return Err(TokenFault::Audience);
    }
    let given = claims.nonce.as_deref().unwrap_or_default();
    if !bool::from(given.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(TokenFault::Nonce);
    }
    let (earliest, latest) = (seconds(expected.now - LEEWAY), seconds(expected.now + LEEWAY));
    if claims.exp <= earliest {
        return Err(TokenFault::Expired);
    }
    if claims.iat > latest || claims.nbf.is_some_and(|begins| begins > latest) {
        return Err(TokenFault::Future);
    }
    Ok(())
}

fn seconds(at: Timestamp) -> f64 {
    Duration::from_millis(at.as_millis()).as_secs_f64()
}

fn identity(claims: Claims, groups_claim: &str) -> Identity {
    let is_verified = claims.email_verified.as_ref().is_some_and(Truth::holds);
    let email = claims.email.filter(|email| is_email(email));
    let is_unverified = email.is_some() && !is_verified;
    let groups = match claims.others.get(groups_claim) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => {
            many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let visible = claims.sub.chars().filter(|c| !c.is_control());
    let subject = visible.take(SUBJECT_MAX).collect();
    Identity { subject, email: email.filter(|_| is_verified), is_unverified, groups }
}
