//! An OpenID Connect issuer of our own: it signs with code of its own, checks what a client sends, and lies
//! where a test wants it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as URL};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::loopback::{self, Answer, Headers};

/// What it knows the console by.
pub(crate) const CLIENT: &str = "console";

/// By its secret, which is encoded where it is sent.
pub(crate) const CLIENT_SECRET: &str = "hush: a secret+of 1";

/// An RSA key, which `ring` cannot make: PKCS #1, for nothing but these tests.
const RSA_KEY: &[u8] = include_bytes!("issuer.key.der");

/// How a token is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signs {
    /// `ES256`.
    Ecdsa,
    /// `RS256`.
    Rsa,
    /// `PS256`.
    RsaPss,
    /// `none`.
    Not,
    /// `HS256`, with the public key as the secret, which a careless verifier would take.
    ByThePublicKey,
    /// `ES256`, with a key that the issuer never had, under the name of its own.
    ByAnother,
}

/// Changes what a token says: its header and its claims.
pub(crate) type Lie = fn(&mut Value, &mut Value);

struct Granted {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

struct State {
    /// The key, and what it is called.
    key: (String, Vec<u8>),
    /// What the issuer signs with, and says.
    signs: Signs,
    claims: Value,
    lie: Lie,
    granted: BTreeMap<String, Granted>,
    /// How often each path was asked for.
    asked: BTreeMap<String, u32>,
    /// Whether it answers.
    is_out: bool,
    /// What its tokens expire by, in seconds since 1970.
    now: u64,
}

/// The issuer. Its clock is set by hand.
#[derive(Clone)]
pub(crate) struct Issuer {
    /// Its address.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

fn ecdsa_key() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ES256, &SystemRandom::new()).unwrap().as_ref().to_vec()
}

fn ecdsa(key: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ES256, key, &SystemRandom::new()).unwrap()
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_der(RSA_KEY).unwrap()
}

fn fields(encoded: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
}

impl Issuer {
    /// Starts it. It knows Ana, whose address is verified, and who is in the group `ops`.
    pub(crate) fn start(now: u64) -> Self {
        let claims = json!({
            "sub": "u-1",
            "email": "ana@example.com",
            "email_verified": true,
            "cognito:groups": ["ops", "others"],
        });
        let state = Arc::new(Mutex::new(State {
            key: ("first".into(), ecdsa_key()),
            signs: Signs::Ecdsa,
            claims,
            lie: |_, _| (),
            granted: BTreeMap::new(),
            asked: BTreeMap::new(),
            is_out: false,
            now,
        }));
        let url = Arc::new(Mutex::new(String::new()));
        let (own, known) = (state.clone(), url.clone());
        let address = loopback::serve(move |path, headers, body| {
            let issuer = Self { url: known.lock().unwrap().clone(), state: own.clone() };
            issuer.answer(path, headers, body)
        });
        let address = format!("http://{address}");
        url.lock().unwrap().clone_from(&address);
        Self { url: address, state }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it signs so, and lies so.
    pub(crate) fn lies(&self, signs: Signs, lie: Lie) {
        let mut state = self.state();
        (state.signs, state.lie) = (signs, lie);
    }

    /// It has a new key, and shows no other.
    pub(crate) fn rotates(&self, name: &str) {
        self.state().key = (name.into(), ecdsa_key());
    }

    /// It does not answer, or does again.
    pub(crate) fn is_out(&self, is_out: bool) {
        self.state().is_out = is_out;
    }

    pub(crate) fn set_clock(&self, now: u64) {
        self.state().now = now;
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> u32 {
        self.state().asked.get(path).copied().unwrap_or_default()
    }

    /// What somebody does who was sent here and agrees: the path and query to which their browser goes
    /// back.
    pub(crate) fn agrees(&self, address: &str) -> String {
        let (endpoint, query) = address.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", self.url));
        let asked = fields(query);
        let is = |name: &str, value: &str| assert_eq!(asked[name], value, "{name}");
        is("response_type", "code");
        is("client_id", CLIENT);
        is("scope", "openid email");
        is("code_challenge_method", "S256");
        let granted = Granted {
            nonce: asked["nonce"].clone(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
        };
        let mut state = self.state();
        let code = format!("code-{}", state.granted.len() + 1);
        let back = format!("{}?code={code}&state={}", granted.redirect_uri, asked["state"]);
        state.granted.insert(code, granted);
        back.strip_prefix("https://local.lambda-url").unwrap().to_owned()
    }

    fn answer(&self, path: &str, headers: &Headers, body: &str) -> Answer {
        *self.state().asked.entry(path.to_owned()).or_default() += 1;
        let json = |status, value: &Value| {
            (status, vec![("content-type", "application/json".to_owned())], value.to_string())
        };
        if self.state().is_out {
            return json(500, &json!({}));
        }
        match path {
            "/.well-known/openid-configuration" => json(
                200,
                &json!({
                    "issuer": self.url,
                    "authorization_endpoint": format!("{}/authorize", self.url),
                    "token_endpoint": format!("{}/token", self.url),
                    "jwks_uri": format!("{}/keys", self.url),
                }),
            ),
            "/keys" => json(200, &json!({ "keys": self.keys() })),
            "/token" => match self.exchange(headers, body) {
                Ok(token) => json(
                    200,
                    &json!({
                        "id_token": token,
                        "access_token": "the-access-token",
                        "refresh_token": "the-refresh-token",
                        "token_type": "Bearer",
                    }),
                ),
                Err(error) => {
                    json(400, &json!({ "error": error, "error_description": "secret words" }))
                }
            },
            _ => json(404, &json!({})),
        }
    }

    fn keys(&self) -> Vec<Value> {
        let state = self.state();
        let (name, key) = &state.key;
        let point = ecdsa(key).public_key().as_ref().to_vec();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (URL.encode(x), URL.encode(y));
        let rsa = rsa();
        let public: ring::rsa::PublicKeyComponents<Vec<u8>> = rsa.public().into();
        let (n, e) = (URL.encode(&public.n), URL.encode(&public.e));
        vec![
            json!({ "kty": "EC", "crv": "P-256", "kid": name, "use": "sig", "x": x, "y": y }),
            json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": e }),
            json!({ "kty": "oct", "kid": "oct", "k": URL.encode("what anybody can read") }),
            json!({ "kty": "from the future", "kid": "odd" }),
        ]
    }

    /// Gives a token for a code, once, to the client that has asked for it.
    fn exchange(&self, headers: &Headers, body: &str) -> Result<String, &'static str> {
        let given = fields(body);
        let encoded =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pair = format!("{}:{}", encoded(CLIENT), encoded(CLIENT_SECRET));
        if headers.get("authorization") != Some(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
        {
            return Err("invalid_client");
        }
        assert_eq!(given["grant_type"], "authorization_code");
        let granted = self.state().granted.remove(&given["code"]).ok_or("invalid_grant")?;
        let hash = digest::digest(&digest::SHA256, given["code_verifier"].as_bytes());
        let is_its =
            URL.encode(hash) == granted.challenge && given["redirect_uri"] == granted.redirect_uri;
        is_its.then(|| self.token(&granted.nonce)).ok_or("invalid_grant")
    }

    fn token(&self, nonce: &str) -> String {
        let state = self.state();
        let (name, key) = &state.key;
        let (alg, kid) = match state.signs {
            Signs::Ecdsa | Signs::ByAnother => ("ES256", name.as_str()),
            Signs::Rsa => ("RS256", "rsa"),
            Signs::RsaPss => ("PS256", "rsa"),
            Signs::Not => ("none", name.as_str()),
            Signs::ByThePublicKey => ("HS256", "oct"),
        };
        let mut header = json!({ "alg": alg, "kid": kid, "typ": "JWT" });
        let mut claims = state.claims.clone();
        claims["iss"] = json!(self.url);
        claims["aud"] = json!(CLIENT);
        claims["nonce"] = json!(nonce);
        claims["iat"] = json!(state.now);
        claims["exp"] = json!(state.now + 300);
        (state.lie)(&mut header, &mut claims);
        let [header, claims] = [header, claims].map(|part| URL.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let by_rsa = |padding| {
            let key = rsa();
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
            signature
        };
        let by_ecdsa = |key: &[u8]| {
            let signed = ecdsa(key).sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            signed.as_ref().to_vec()
        };
        let signature = match state.signs {
            Signs::Ecdsa => by_ecdsa(key),
            Signs::ByAnother => by_ecdsa(&ecdsa_key()),
            Signs::Rsa => by_rsa(&RSA_PKCS1_SHA256),
            Signs::RsaPss => by_rsa(&RSA_PSS_SHA256),
            Signs::Not => Vec::new(),
            Signs::ByThePublicKey => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, b"what anybody can read");
                hmac::sign(&secret, message.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{message}.{}", URL.encode(signature))
    }
}
