//! Those who sign in at an OpenID Connect issuer, by the code flow with PKCE, and whom the deployment
//! allows.
//!
//! A sign-in goes from `/sign-in` to the issuer, which sends the browser back to [`CALLBACK`] with a
//! code. The code is exchanged for an ID token, which says who somebody is; no other token is kept. Then
//! the browser has a session, in a sealed cookie, for eight hours.
//!
//! | module | what it does |
//! |---|---|
//! | `issuer` | reads what the issuer tells of itself, and exchanges codes |
//! | `id_token`, `signature` | verify what it says of somebody |
//! | `allowed` | knows whom the deployment lets in |
//! | `sealed` | seals what a browser carries |
//! | `fault` | says why somebody is not signed in |

mod allowed;
mod fault;
mod id_token;
mod issuer;
mod sealed;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use maud::html;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spillway_core::time::Timestamp;

pub use self::allowed::Allowed;
pub use self::fault::SignInFault;
pub use self::id_token::TokenFault;
pub use self::issuer::{IssuerFault, NoAnswer, Web, WebAnswer, is_safe};
pub use self::sealed::SignInSecrets;

use self::allowed::Membership;
use self::id_token::{Expected, Identity};
use self::issuer::{Exchange, Issuer, Known};
use super::{ASSETS, Admitted, Token, Visitor, Way, check, cookies, query};
use crate::answer::{Fault, Format};
use crate::site::Site;

/// Where a sign-in begins.
pub(crate) const SIGN_IN: &str = "/sign-in";

/// Where the issuer sends a browser back to.
pub const CALLBACK: &str = "/signed-in";

/// Where a visitor signs out.
pub(crate) const SIGN_OUT: &str = "/sign-out";

/// Where they are then.
const SIGNED_OUT: &str = "/signed-out";

/// For how long a sign-in may take.
const LOGIN_LASTS: Duration = Duration::from_secs(10 * 60);

/// For how long somebody is signed in, whatever they do.
const SESSION_LASTS: Duration = Duration::from_secs(8 * 3600);

/// The cookie of a sign-in. The prefix has browsers take it from this host alone, and over TLS alone.
const LOGIN_COOKIE: &str = "__Host-spillway-login";

/// The cookie of a session.
const SESSION_COOKIE: &str = "__Host-spillway-session";

/// The most bytes of the path that a sign-in leads back to.
const PATH_BYTES_MAX: usize = 512;

/// How those who sign in are let in.
pub struct SignIn {
    issuer: Issuer,
    client_id: String,
    allowed: Allowed,
    groups_claim: String,
    domain: Option<String>,
}

/// What a deployment says about signing in.
pub struct SignInOptions {
    /// The issuer's address, as its tokens name it: one that [`is_safe`].
    pub issuer: String,
    /// What it knows the console by.
    pub client_id: String,
    /// Whom it lets in.
    pub allowed: Allowed,
    /// The claim of ID tokens that names somebody's groups.
    pub groups_claim: String,
    /// The console's own host; the one that requests come to if there is none.
    pub domain: Option<String>,
}

/// A sign-in under way. It has no `Debug`: it holds what proves that it is this browser's.
#[derive(Serialize, Deserialize)]
struct Login {
    state: String,
    nonce: String,
    verifier: String,
    /// The path that it leads back to.
    to: String,
    until_ms: u64,
}

/// Somebody's session. It has no `Debug`: it holds the token of their forms.
#[derive(Serialize, Deserialize)]
struct Session {
    operator: String,
    member: Membership,
    form_token: String,
    until_ms: u64,
}

impl SignIn {
    /// Makes the gate; `web` asks the issuer.
    pub fn new(options: SignInOptions, web: Arc<dyn Web>) -> Self {
        let SignInOptions { issuer, client_id, allowed, groups_claim, domain } = options;
        let issuer = Issuer::new(issuer, web);
        Self { issuer, client_id, allowed, groups_claim, domain }
    }

    /// Lets a request in that came to `host`, and takes its form apart.
    pub(crate) async fn admit(
        &self,
        site: &Site,
        host: &str,
        secrets: Option<&SignInSecrets>,
        request: Request,
    ) -> Result<Admitted, Fault> {
        let domain = self.domain.as_deref();
        let origin = format!("https://{}", domain.unwrap_or(host));
        let origin_of =
            |given: &str| (given == host || Some(given) == domain).then(|| origin.clone());
        check(&request, origin_of, "this console has another address")?;
        let path = request.uri().path();
        if path.starts_with(ASSETS) {
            return Ok(Admitted::ToFile(request));
        }
        let now = site.now();
        let secrets = secrets.ok_or(Fault::SignIn(SignInFault::NoSecrets))?;
        let visit = Visit { gate: self, secrets, now, callback: format!("{origin}{CALLBACK}") };
        let answered = match (request.method(), path) {
            (&Method::GET, SIGN_IN) => Some(visit.begin(request.uri()).await),
            (&Method::GET, CALLBACK) => Some(visit.end(request.headers(), request.uri()).await),
            (&Method::GET, SIGNED_OUT) => Some(Ok(signed_out(site))),
            _ => None,
        };
        if let Some(answered) = answered {
            return answered
                .inspect_err(SignInFault::log)
                .map(Admitted::Answered)
                .map_err(Fault::SignIn);
        }
        let Some(session) = visit.session(request.headers()) else {
            let is_page = request.method() == Method::GET
                && Format::wanted(request.headers()) == Format::Page;
            return if is_page {
                Ok(Admitted::Answered(sign_in_for(request.uri())))
            } else {
                Err(Fault::SignIn(SignInFault::NotSignedIn))
            };
        };
        if !self.allowed.has(&session.member) {
            return Err(Fault::SignIn(SignInFault::NotAllowed));
        }
        let form = Token(session.form_token);
        let visitor = Visitor { operator: session.operator, way: Way::SignIn, form };
        let request = visitor.open(request).await?;
        if request.method() == Method::POST && request.uri().path() == SIGN_OUT {
            let gone = AppendHeaders([forget(SESSION_COOKIE)]);
            return Ok(Admitted::Answered((gone, Redirect::to(SIGNED_OUT)).into_response()));
        }
        Ok(Admitted::ToPage(visitor, request))
    }
}

/// One request's view of the gate.
struct Visit<'a> {
    gate: &'a SignIn,
    secrets: &'a SignInSecrets,
    now: Timestamp,
    /// Where the issuer sends browsers back to.
    callback: String,
}

impl Visit<'_> {
    /// The session that a request shows, if it has not ended.
    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let mut opened = cookies(headers, SESSION_COOKIE)
            .filter_map(|cookie| self.secrets.open::<Session>(SESSION_COOKIE, cookie));
        opened.find(|session| self.now < Timestamp::from_millis(session.until_ms))
    }

    /// Sends a browser to the issuer.
    async fn begin(&self, asked: &Uri) -> Result<Response, SignInFault> {
        let known = self.gate.issuer.known(self.now).await?;
        let asked = query(asked);
        let to = asked.get("to").filter(|to| is_own_path(to)).unwrap_or("/").to_owned();
        let draw = || Token::draw().map(|token| token.0).map_err(|_| SignInFault::NoSecrets);
        let until_ms = (self.now + LOGIN_LASTS).as_millis();
        let login = Login { state: draw()?, nonce: draw()?, verifier: draw()?, to, until_ms };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&login.verifier));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.gate.client_id)
            .append_pair("redirect_uri", &self.callback)
            .append_pair("scope", "openid email")
            .append_pair("state", &login.state)
            .append_pair("nonce", &login.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let endpoint = &known.metadata.authorization_endpoint;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{endpoint}{joint}{}", query.finish());
        let cookie = self.keep(LOGIN_COOKIE, &login, LOGIN_LASTS)?;
        let location = HeaderValue::try_from(url);
        let location = location.map_err(|_| IssuerFault::Unusable("its address is none"))?;
        let headers = AppendHeaders([(header::LOCATION, location), cookie]);
        Ok((axum::http::StatusCode::SEE_OTHER, headers).into_response())
    }

    /// Takes a browser back from the issuer.
    async fn end(&self, headers: &HeaderMap, asked: &Uri) -> Result<Response, SignInFault> {
        let asked = query(asked);
        let state = Token(asked.get("state").unwrap_or_default().to_owned());
        let mut logins = cookies(headers, LOGIN_COOKIE)
            .filter_map(|cookie| self.secrets.open::<Login>(LOGIN_COOKIE, cookie));
        let login = logins.find(|login| {
            self.now < Timestamp::from_millis(login.until_ms) && state.is(&login.state)
        });
        let login = login.ok_or(SignInFault::NotBegun)?;
        // RFC 9207: an issuer may name itself in its answer.
        if asked.get("iss").is_some_and(|issuer| issuer != self.gate.issuer.url) {
            return Err(SignInFault::OtherIssuer);
        }
        if let Some(error) = asked.get("error") {
            return Err(SignInFault::Refused(code_of(error)));
        }
        let code = asked.get("code").ok_or(SignInFault::Refused("no code"))?;
        let identity = self.identify(code, &login).await?;
        let session = self.admit(identity)?;
        let headers = AppendHeaders([
            self.keep(SESSION_COOKIE, &session, SESSION_LASTS)?,
            forget(LOGIN_COOKIE),
        ]);
        Ok((headers, Redirect::to(&login.to)).into_response())
    }

    /// Who has signed in.
    async fn identify(&self, code: &str, login: &Login) -> Result<Identity, SignInFault> {
        let SignIn { issuer, client_id, groups_claim, .. } = self.gate;
        let known = issuer.known(self.now).await?;
        let exchange = Exchange {
            code,
            verifier: &login.verifier,
            redirect_uri: &self.callback,
            client_id,
            client_secret: self.secrets.client_secret.as_ref(),
        };
        let token = issuer.exchange(&known.metadata, &exchange).await?;
        let expected = Expected {
            issuer: &issuer.url,
            client_id,
            nonce: &login.nonce,
            groups_claim,
            now: self.now,
        };
        let verify =
            |known: &Known| id_token::verify(token.expose_secret(), &known.keys, &expected);
        match verify(&known) {
            // The issuer may have new keys.
            Err(TokenFault::UnknownKey) => match issuer.newer(&known, self.now).await? {
                Some(newer) => Ok(verify(&newer)?),
                None => Err(TokenFault::UnknownKey.into()),
            },
            verified => Ok(verified?),
        }
    }

    /// Begins the session of somebody who is allowed.
    fn admit(&self, identity: Identity) -> Result<Session, SignInFault> {
        let Identity { subject, email, is_unverified, groups } = identity;
        let member = Membership { email, group: self.gate.allowed.first_of(groups) };
        if !self.gate.allowed.has(&member) {
            let why = if is_unverified { SignInFault::Unverified } else { SignInFault::NotAllowed };
            return Err(why);
        }
        let operator = member.email.clone().unwrap_or_else(|| format!("subject {subject}"));
        let form_token = Token::draw().map_err(|_| SignInFault::NoSecrets)?.0;
        let until_ms = (self.now + SESSION_LASTS).as_millis();
        Ok(Session { operator, member, form_token, until_ms })
    }

    /// The header that has a browser keep something. `Lax` and not `Strict`: the browser comes back from
    /// the issuer, another site, and what follows from that is the other site's request to it. `Strict`
    /// cookies would be missing, of the sign-in and of the new session too.
    fn keep(
        &self,
        name: &str,
        value: &impl Serialize,
        lasts: Duration,
    ) -> Result<(header::HeaderName, HeaderValue), SignInFault> {
        let sealed = self.secrets.seal(name, value).ok_or(SignInFault::NoSecrets)?;
        let age = lasts.as_secs();
        let cookie =
            format!("{name}={sealed}; Max-Age={age}; Path=/; Secure; HttpOnly; SameSite=Lax");
        let cookie = HeaderValue::try_from(cookie).map_err(|_| SignInFault::NoSecrets)?;
        Ok((header::SET_COOKIE, cookie))
    }
}

/// The header that has a browser forget a cookie.
fn forget(name: &'static str) -> (header::HeaderName, HeaderValue) {
    let cookie = format!("{name}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax");
    let cookie = HeaderValue::try_from(cookie);
    (header::SET_COOKIE, cookie.unwrap_or_else(|_| HeaderValue::from_static("")))
}

/// Sends somebody to sign in, and back to what they asked for.
fn sign_in_for(asked: &Uri) -> Response {
    let to = asked.path_and_query().map(ToString::to_string);
    let to = to.filter(|to| is_own_path(to)).unwrap_or_else(|| "/".into());
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("to", &to).finish();
    Redirect::to(&format!("{SIGN_IN}?{query}")).into_response()
}

/// Whether a browser that is sent to this path stays on this console, whatever it makes of it.
fn is_own_path(path: &str) -> bool {
    path.len() <= PATH_BYTES_MAX
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
}

/// The known codes of refusals ([RFC 6749, section 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1),
/// and OpenID Connect Core). What else is in an address is anybody's words.
fn code_of(error: &str) -> &'static str {
    const CODES: [&str; 11] = [
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
    ];
    CODES.into_iter().find(|code| *code == error).unwrap_or("another error")
}

fn signed_out(site: &Site) -> Response {
    let body = html! {
        p { "You are signed out of this console. At the issuer you may still be signed in: then a click is all that it "
            "takes to come back." }
        p { a href=(SIGN_IN) { "Sign in" } }
    };
    site.outside("Signed out", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_a_path_of_this_console_alone() {
        for path in ["/", "/accounts/1?done=paused", "/sends/a%2Fb", "/a//b", "/@evil.example"] {
            assert!(is_own_path(path), "{path}");
        }
        for path in [
            "",
            "accounts",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a b",
            "/\r\nset-cookie: a=b",
            "/é",
            &format!("/{}", "a".repeat(600)),
        ] {
            assert!(!is_own_path(path), "{path}");
        }
    }

    #[test]
    fn nothing_of_an_address_is_quoted() {
        assert_eq!(code_of("access_denied"), "access_denied");
        assert_eq!(code_of("<b>hello</b>"), "another error");
    }
}
