//! Who may look. On loopback it is the browser that was given the link; in a deployment it is those
//! whom its issuer knows and its parameters allow. What both have to check is here.
//!
//! - The `Host` must be the console's own, so that no other name can be made to point here.
//! - A request that changes something must come from a page of this origin, and bring a token that
//!   only such a page has.
//! - A cookie that no script and no other site can use shows who somebody is.

pub(crate) mod link;
pub mod sign_in;

use std::io;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use subtle::ConstantTimeEq;

use crate::answer::{Asked, Fault, Fields, Format};

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
pub(crate) struct Token(String);

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

/// Somebody who was let in.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// Who does what they do here, as the journals of accounts name them.
    pub(crate) operator: String,
    /// How they came in.
    pub(crate) way: Way,
    /// The token for the forms of their pages.
    form: Token,
}

/// How somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the link, on loopback.
    Link,
    /// By signing in, so they can sign out.
    SignIn,
}

impl Visitor {
    /// The token for the forms of their pages.
    pub(crate) fn form_token(&self) -> &str {
        &self.form.0
    }

    /// Takes the form of a request apart, if it is one of this visitor's pages.
    async fn open(&self, request: Request) -> Result<Request, Fault> {
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
        let format = Format::wanted(&parts.headers);
        parts.extensions.insert(Asked { query: query(&parts.uri), form, format });
        Ok(Request::from_parts(parts, Body::empty()))
    }
}

/// What becomes of a request.
pub(crate) enum Admitted {
    /// It gets a file that anybody may read.
    ToFile(Request),
    /// It gets its page.
    ToPage(Visitor, Request),
    /// It is answered already.
    Answered(Response),
}

/// The fields of an address.
fn query(uri: &axum::http::Uri) -> Fields {
    Fields::read(uri.query().unwrap_or_default().as_bytes())
}

/// Whether a request only looks.
fn is_safe(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Checks where a request goes to and comes from. `origin_of` knows the console's hosts, and the origin
/// of the pages at each.
fn check(
    request: &Request,
    origin_of: impl Fn(&str) -> Option<String>,
    not_here: &'static str,
) -> Result<(), Fault> {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let origin = text(header::HOST).and_then(origin_of);
    let origin = origin.ok_or(Fault::Forbidden(not_here))?;
    match text(header::ORIGIN).map(|given| given == origin) {
        Some(true) => Ok(()),
        None if is_safe(request) => Ok(()),
        _ => Err(Fault::Forbidden("the request comes from another site")),
    }
}

/// The values of the cookies of this name.
fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.split(';')).filter_map(move |pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

/// Says on an answer what a browser may do with it.
pub(crate) fn guard(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
