//! The browser on this machine that was given the link. Any page of the web can have a browser send
//! requests to loopback, and any program of another user can connect to it.
//!
//! The link's token is good once. It is exchanged for the cookie.

use std::io;
use std::sync::{Mutex, PoisonError};

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::{ASSETS, Admitted, Token, Visitor, Way, check, cookies, is_safe, query};
use crate::answer::Fault;

/// The path that the link leads to.
const ENTRANCE: &str = "/enter";

/// What lets requests in.
pub(crate) struct LinkGate {
    /// The hosts by which this machine's browsers reach it.
    hosts: [String; 3],
    /// The link's token, until it is used.
    entrance: Mutex<Option<Token>>,
    /// The cookie's name. Browsers do not tell the ports of a host apart.
    cookie: String,
    session: Token,
    visitor: Visitor,
}

impl LinkGate {
    /// Makes the gate of a console at this port, and the address that opens it once. What is done there
    /// is done by `operator`.
    ///
    /// # Errors
    /// Fails if the system has no randomness.
    pub(crate) fn new(port: u16, operator: String) -> io::Result<(Self, String)> {
        let entrance = Token::draw()?;
        let address = format!("http://127.0.0.1:{port}{ENTRANCE}?token={}", entrance.0);
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        let cookie = format!("spillway_console_{port}");
        let entrance = Mutex::new(Some(entrance));
        let visitor = Visitor { operator, way: Way::Link, form: Token::draw()? };
        Ok((Self { hosts, entrance, cookie, session: Token::draw()?, visitor }, address))
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
        cookies(headers, &self.cookie).any(|value| self.session.is(value))
    }

    /// Checks where a request goes to and comes from.
    fn check(&self, request: &Request) -> Result<(), Fault> {
        let origin_of = |host: &str| {
            let is_own = self.hosts.iter().any(|known| known == host);
            is_own.then(|| format!("http://{host}"))
        };
        check(request, origin_of, "this console answers to loopback alone")
    }

    /// Lets a request in, and takes its form apart.
    pub(crate) async fn admit(&self, request: Request) -> Result<Admitted, Fault> {
        self.check(&request)?;
        if request.uri().path().starts_with(ASSETS) {
            return Ok(Admitted::ToFile(request));
        }
        if request.uri().path() == ENTRANCE && is_safe(&request) {
            return self.enter(&request).map(Admitted::Answered);
        }
        if !self.knows(request.headers()) {
            return Err(Fault::Stranger);
        }
        let visitor = self.visitor.clone();
        let request = visitor.open(request).await?;
        Ok(Admitted::ToPage(visitor, request))
    }

    /// Exchanges the link's token for the cookie.
    fn enter(&self, request: &Request) -> Result<Response, Fault> {
        if self.knows(request.headers()) {
            return Ok(Redirect::to("/").into_response());
        }
        if !query(request.uri()).get("token").is_some_and(|given| self.take(given)) {
            return Err(Fault::Stranger);
        }
        let cookie =
            format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie, self.session.0);
        Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (LinkGate, String) {
        let (gate, address) =
            LinkGate::new(4000, "ana".into()).unwrap_or_else(|error| panic!("{error}"));
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
        assert!(!with(&format!("{}={}", gate.cookie, gate.visitor.form.0)));
    }
}
