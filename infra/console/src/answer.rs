//! What requests ask for, and what they get: a page, JSON, or an error that says what to do.

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};
use spillway_core::id::AccountId;
use spillway_service::admin::campaigns::RunningError;
use spillway_service::admin::{AdminError, UNREADABLE};
use spillway_service::port::StoreError;

use crate::Console;
use crate::access::sign_in::{SIGN_IN, SignInFault};
use crate::layout::{self, Frame};

/// A request that was let in.
#[derive(Clone)]
pub(crate) struct Asked {
    /// The fields of its address.
    pub(crate) query: Fields,
    /// Those of its form.
    pub(crate) form: Fields,
    /// What it wants.
    pub(crate) format: Format,
}

impl Asked {
    /// Answers with JSON where that is asked for, else with a page.
    pub(crate) fn answer(
        &self,
        json: impl FnOnce() -> Value,
        page: impl FnOnce() -> Markup,
    ) -> Response {
        match self.format {
            Format::Json => Json(json()).into_response(),
            Format::Page => Html(page().into_string()).into_response(),
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Page,
    /// For programs.
    Json,
}

impl Format {
    /// Returns what the headers ask for: JSON where they name it, and no page.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        match accept {
            Some(accept)
                if accept.contains("application/json") && !accept.contains("text/html") =>
            {
                Self::Json
            }
            _ => Self::Page,
        }
    }
}

/// Names and values of an address or a form.
#[derive(Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn read(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// Returns the value of a field that is not blank, without the space around it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }
}

/// Why a request does not get what it asked for.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It has not come in by the link.
    Stranger,
    /// Nobody is signed in, or may be.
    SignIn(SignInFault),
    /// It is not let in, for this reason.
    Forbidden(&'static str),
    /// There is no such thing.
    NotFound(String),
    /// This address takes no such request.
    Method,
    /// What it gives cannot be read.
    Wrong(String),
    /// It was not done, and says why.
    NotDone(String),
    /// What is stored cannot be read.
    Unreadable(String),
    /// The store does not answer.
    Unavailable {
        /// What was to be done, and what happened.
        what: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
}

impl Fault {
    fn status(&self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::UNAUTHORIZED,
            Self::SignIn(fault) => fault.status(),
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::NotDone(_) => StatusCode::CONFLICT,
            Self::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it is, what happened, and what to do.
    fn said(&self) -> (&'static str, String, String) {
        match self {
            Self::Stranger => (
                "Open the link",
                "This browser has not come in by the console's link, or the link was used before.".into(),
                "Each link is good once. Start the console again, and open the address that it prints."
                    .into(),
            ),
            Self::SignIn(fault) => fault.said(),
            Self::Forbidden(why) => ("Not allowed", format!("Nothing was done: {why}."), String::new()),
            Self::NotFound(what) => ("Not found", what.clone(), String::new()),
            Self::Method => (
                "Not here",
                "This address takes no request of this kind.".into(),
                String::new(),
            ),
            Self::Wrong(why) => ("That cannot be read", why.clone(), "Go back and change it.".into()),
            Self::NotDone(why) => ("Not done", why.clone(), "Nothing was changed.".into()),
            Self::Unreadable(what) => ("It cannot be read", what.clone(), format!("{UNREADABLE}.")),
            Self::Unavailable { what, hint } => (
                "The store does not answer",
                format!("This console cannot see anything right now ({what})."),
                match hint {
                    Some(hint) => format!("What to do: {hint}."),
                    None => "What to do: try again in a moment.".into(),
                } + " DMs are sent by the deployment, not by this console: this page does not say \
                     whether they go out.",
            ),
        }
    }

    /// Shows it.
    pub(crate) fn shown(self, console: &Console, format: Format) -> Response {
        let (title, what, next) = self.said();
        if format == Format::Json {
            let error = json!({ "error": what, "next": next });
            return (self.status(), Json(error)).into_response();
        }
        let body = html! {
            p { (what) }
            @if !next.is_empty() { p { (next) } }
            @match self {
                Self::Stranger => {}
                Self::SignIn(_) => { p { a href=(SIGN_IN) { "Sign in" } } }
                _ => { p { a href="/" { "All accounts" } } }
            }
        };
        let frame = Frame { title, ..Frame::default() };
        (self.status(), Html(layout::page(console, &frame, &body).into_string())).into_response()
    }
}

/// The guard shows it, in the form that is asked for.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { source, .. } => {
                Self::Unavailable { what: error.to_string(), hint: source.kind.hint() }
            }
            StoreError::Corrupt { .. } => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<AdminError> for Fault {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotConnected(_) => Self::NotFound(format!("{error}.")),
            AdminError::Account(account, error) => match Self::from(error) {
                Self::Unreadable(what) => Self::Unreadable(format!("account {account}: {what}")),
                fault => fault,
            },
            AdminError::Store(error) => error.into(),
            error => Self::NotDone(format!("{error}.")),
        }
    }
}

impl From<RunningError> for Fault {
    fn from(error: RunningError) -> Self {
        match error {
            RunningError::Account(error) => error.into(),
            RunningError::Unknown => Self::NotFound("There is no such campaign.".into()),
            RunningError::Removed => Self::NotDone("The campaign was removed meanwhile.".into()),
        }
    }
}

/// A number of digits, as ids are.
pub(crate) fn account_id(text: &str) -> Result<AccountId, Fault> {
    let is_number =
        !text.is_empty() && text.len() <= 32 && text.bytes().all(|c| c.is_ascii_digit());
    let known_as = "An account's id is the number that webhooks carry.";
    is_number.then(|| AccountId::new(text)).ok_or_else(|| Fault::NotFound(known_as.into()))
}
