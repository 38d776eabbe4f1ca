//! Who may look: the browser on this machine that was given the link. Any page of the web can have a
//! browser send requests to loopback, and any program of another user can connect to it.
//!
//! - The `Host` must be loopback's, so that no other name can be made to point here.
//! - A request that changes something must come from a page of this origin, and bring a token that
//!   only such a page has.
//! - The link's token is good once. It is exchanged for a cookie that no script and no other site can
//!   use.

use std::io;
use std::sync::{Mutex, PoisonError};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use subtle::ConstantTimeEq;

use crate::answer::{Asked, Fault, Fields, Format};
use crate::router::Served;

/// The path that the link leads to.
pub(crate) const ENTRANCE: &str = "/enter";

/// Where files lie that anybody may read.
pub(crate) const ASSETS: &str = "/assets/";

/// The field of each form that holds its token.
pub(crate) const FORM_TOKEN: &str = "form_token";

/// Bytes of a form: an accounts file is the longest.
const FORM_BYTES_MAX: usize = 256 * 1024;

/// Nothing is loaded but this console's own style sheet, no page may frame it, and its forms lead
/// nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Says on every answer what a browser may do with it.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer` a browser would send its own forms with `Origin: null`.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// 256 random bits in hex, which nothing prints.
#[derive(Clone)]
struct Token(String);

impl Token {
    fn draw() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// Compares in a time that does not tell how much is right.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// What lets requests in.
pub(crate) struct Gate {
    /// The hosts by which this machine's browsers reach it.
    hosts: [String; 3],
    /// The link's token, until it is used.
    entrance: Mutex<Option<Token>>,
    /// The cookie's name. Browsers do not tell the ports of a host apart.
    cookie: String,
    session: Token,
    form: Token,
}

impl Gate {
    /// Makes the gate of a console at this port, and the address that opens it once.
    ///
    /// # Errors
    /// Fails if the system has no randomness.
    pub(crate) fn new(port: u16) -> io::Result<(Self, String)> {
        let entrance = Token::draw()?;
        let address = format!("http://127.0.0.1:{port}{ENTRANCE}?token={}", entrance.0);
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        let cookie = format!("spillway_console_{port}");
        let entrance = Mutex::new(Some(entrance));
        let (session, form) = (Token::draw()?, Token::draw()?);
        Ok((Self { hosts, entrance, cookie, session, form }, address))
    }

    /// The token for the forms of a page.
    pub(crate) fn form_token(&self) -> &str {
        &self.form.0
    }

    /// Uses up the link's token; `false` if it is another one, or was used before.
    fn take(&self, given: &str) -> bool {
        let mut entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = entrance.as_ref().is_some_and(|token| token.is(given));
        if is_right {
            *entrance = None;
        }
        is_right
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        });
        pairs.any(|value| self.session.is(value))
    }

    /// Checks where a request goes to and comes from.
    fn check(&self, request: &Request) -> Result<(), Fault> {
        let headers = request.headers();
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let host = text(header::HOST).unwrap_or_default();
        if !self.hosts.iter().any(|known| known == host) {
            return Err(Fault::Forbidden("this console answers to loopback alone"));
        }
        let is_own = text(header::ORIGIN).map(|origin| origin == format!("http://{host}"));
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        match is_own {
            Some(true) => Ok(()),
            None if is_safe => Ok(()),
            _ => Err(Fault::Forbidden("the request comes from another site")),
        }
    }

    /// Lets a request in, and takes its form apart.
    async fn admit(&self, request: Request) -> Result<Request, Fault> {
        self.check(&request)?;
        let path = request.uri().path();
        let is_open = path == ENTRANCE || path.starts_with(ASSETS);
        if !is_open && !self.knows(request.headers()) {
            return Err(Fault::Stranger);
        }
        let query = Fields::read(request.uri().query().unwrap_or_default().as_bytes());
        let format = Format::wanted(request.headers());
        let (mut parts, body) = request.into_parts();
        let form = if parts.method == Method::POST {
            let body = to_bytes(body, FORM_BYTES_MAX).await;
            let form = Fields::read(&body.map_err(|_| Fault::Forbidden("the form is too long"))?);
            if !form.get(FORM_TOKEN).is_some_and(|given| self.form.is(given)) {
                return Err(Fault::Forbidden(
                    "the form is not one of this console's pages: load it again",
                ));
            }
            form
        } else {
            Fields::default()
        };
        parts.extensions.insert(Asked { query, form, format });
        Ok(Request::from_parts(parts, axum::body::Body::empty()))
    }
}

/// Checks each request before its page is made, and says what a browser may do with the answer.
pub(crate) async fn guard(State(console): Served, request: Request, next: Next) -> Response {
    let format = Format::wanted(request.headers());
    let mut response = match console.gate.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = fault.shown(&console, format);
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Exchanges the link's token for the cookie.
pub(crate) async fn enter(
    State(console): Served,
    headers: HeaderMap,
    axum::Extension(asked): axum::Extension<Asked>,
) -> Result<Response, Fault> {
    let gate = &console.gate;
    if gate.knows(&headers) {
        return Ok(Redirect::to("/").into_response());
    }
    if !asked.query.get("token").is_some_and(|given| gate.take(given)) {
        return Err(Fault::Stranger);
    }
    let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", gate.cookie, gate.session.0);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (Gate, String) {
        let (gate, address) = Gate::new(4000).unwrap_or_else(|error| panic!("{error}"));
        let token = address.split_once("token=").map(|(_, token)| token.to_owned());
        (gate, token.unwrap_or_default())
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/");
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        request.body(axum::body::Body::empty()).unwrap_or_default()
    }

    #[test]
    fn the_links_token_is_good_once() {
        let (gate, token) = gate();
        assert_eq!(token.len(), 64);
        assert!(!gate.take(""));
        assert!(!gate.take(&token[..63]));
        assert!(gate.take(&token));
        assert!(!gate.take(&token));
    }

    #[test]
    fn only_loopbacks_names_with_the_port_are_hosts() {
        let (gate, _) = gate();
        for host in ["127.0.0.1:4000", "localhost:4000", "[::1]:4000"] {
            assert!(gate.check(&request("GET", &[("host", host)])).is_ok(), "{host}");
        }
        for host in ["", "127.0.0.1", "127.0.0.1:4001", "evil.example:4000", "localhost.evil:4000"]
        {
            assert!(gate.check(&request("GET", &[("host", host)])).is_err(), "{host}");
        }
        assert!(gate.check(&request("GET", &[])).is_err());
    }

    #[test]
    fn a_request_that_changes_something_names_its_own_origin() {
        let (gate, _) = gate();
        let host = ("host", "127.0.0.1:4000");
        assert!(gate.check(&request("POST", &[host, ("origin", "http://127.0.0.1:4000")])).is_ok());
        let foreign =
            ["null", "http://evil.example", "http://localhost:4000", "http://127.0.0.1:3000"];
        for origin in foreign {
            assert!(gate.check(&request("POST", &[host, ("origin", origin)])).is_err(), "{origin}");
            assert!(gate.check(&request("GET", &[host, ("origin", origin)])).is_err(), "{origin}");
        }
        assert!(gate.check(&request("POST", &[host])).is_err());
        assert!(gate.check(&request("DELETE", &[host])).is_err());
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let (gate, _) = gate();
        let with = |cookie: &str| {
            let request = request("GET", &[("cookie", cookie)]);
            gate.knows(request.headers())
        };
        let own = format!("{}={}", gate.cookie, gate.session.0);
        assert!(with(&own) && with(&format!("a=b; {own}; c=d")));
        assert!(!with("") && !with(&format!("other={}", gate.session.0)));
        assert!(!with(&format!("{}={}", gate.cookie, gate.form.0)));
    }
}
