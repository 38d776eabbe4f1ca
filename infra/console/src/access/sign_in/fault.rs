//! Why somebody is not signed in, as a page says it. Nothing of a code, a token or a secret is in it.

use axum::http::StatusCode;
use tracing::warn;

use super::id_token::TokenFault;
use super::issuer::IssuerFault;

/// Why somebody is not signed in.
#[derive(Clone, Debug)]
pub enum SignInFault {
    /// They have not signed in, or too long ago.
    NotSignedIn,
    /// This browser has begun no sign-in, or too long ago, or another one meanwhile.
    NotBegun,
    /// The answer is not the configured issuer's.
    OtherIssuer,
    /// The issuer refuses them, with this code.
    Refused(&'static str),
    /// The token that it gives is not taken.
    Token(TokenFault),
    /// It does not vouch for their address.
    Unverified,
    /// The deployment does not let them in.
    NotAllowed,
    /// The issuer is of no help.
    Issuer(IssuerFault),
    /// The console's secrets cannot be read.
    NoSecrets,
}

impl SignInFault {
    /// Logs it, if it is about the issuer. Anybody can have the other ones happen.
    pub(super) fn log(&self) {
        match self {
            Self::Token(why) => warn!(%why, "the issuer's token is not taken"),
            Self::Issuer(why) => warn!(%why, "the issuer is of no help"),
            _ => {}
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::NotBegun
            | Self::OtherIssuer
            | Self::Token(_)
            | Self::Issuer(IssuerFault::Code) => StatusCode::BAD_REQUEST,
            Self::Refused(_) | Self::Unverified | Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::Issuer(_) | Self::NoSecrets => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it is, what happened, and what to do.
    pub(crate) fn said(&self) -> (&'static str, String, String) {
        let (title, what, next): (_, String, &str) = match self {
            Self::NotSignedIn => (
                "Sign in",
                "Nothing was done: you are not signed in, or your session is over.".into(),
                "Sign in, and do it again.",
            ),
            Self::NotBegun => (
                "Not signed in",
                "This browser has begun no sign-in in the last ten minutes, has ended it already, or has begun \
                 another one since."
                    .into(),
                "Sign in again.",
            ),
            Self::OtherIssuer => (
                "Not signed in",
                "The answer is another issuer's than the one that was asked.".into(),
                "Sign in again. If that goes on, tell who runs this deployment.",
            ),
            Self::Refused(code) => (
                "Not signed in",
                format!("The issuer has not signed you in ({code})."),
                "Sign in again, with an account that it lets use this console.",
            ),
            Self::Token(fault) => (
                "Not signed in",
                format!("What the issuer says of you is not taken: {fault}."),
                "Sign in again. If that goes on, tell who runs this deployment.",
            ),
            Self::Unverified => (
                "Not let in",
                "The issuer does not vouch for your e-mail address (`email_verified`), so it does not count."
                    .into(),
                "Have it verified there, or ask who runs this deployment to allow a group of yours.",
            ),
            Self::NotAllowed => (
                "Not let in",
                "The issuer knows you, and this deployment does not let you in (`ConsoleAllowed`).".into(),
                "Ask who runs it, or sign out at the issuer and sign in as somebody else.",
            ),
            Self::Issuer(fault @ IssuerFault::Code) => {
                ("Not signed in", format!("The issuer has not signed you in: {fault}."), "Sign in again.")
            }
            Self::Issuer(IssuerFault::Client) => (
                "Nobody can sign in",
                "The issuer does not accept this console's client id or secret.".into(),
                "Tell who runs this deployment to compare `ConsoleClientId` and the `client_secret` in the secret \
                 `ConsoleSecret` with the issuer's. `spillway console` works without it.",
            ),
            Self::Issuer(fault) => (
                "Nobody can sign in right now",
                format!("This is about the issuer of sign-ins: {fault}."),
                "Try again in a minute. If that goes on, tell who runs this deployment to compare `ConsoleIssuer` with \
                 the issuer's address. `spillway console` works without it. DMs are sent by other functions.",
            ),
            Self::NoSecrets => (
                "Nobody can be let in right now",
                "This console cannot read its secret.".into(),
                "Try again in a minute. If that goes on, tell who runs this deployment: the function's log says why.",
            ),
        };
        (title, what, next.into())
    }
}

impl From<IssuerFault> for SignInFault {
    fn from(fault: IssuerFault) -> Self {
        Self::Issuer(fault)
    }
}

impl From<TokenFault> for SignInFault {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}
