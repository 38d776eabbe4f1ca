//! The addresses of buttons and pictures.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::tracked::TARGET_BYTES_MAX;

/// An address that Meta shows or fetches. One that is stored is taken as it is; [`Link::check`] tells
/// what is wrong with one that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Link(String);

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is no URL.
    #[error("`{0}` is no URL: write all of it, such as \"https://example.com/guide\"")]
    NoUrl(String),
    /// It has another scheme.
    #[error("`{0}` does not begin with https://, and Meta takes no other links here")]
    NotHttps(String),
    /// It has white space or braces, which would be sent as `%20` or `%7B`.
    #[error(
        "`{0}` has a space or a brace: a URL has no placeholders, and other characters are written \
         as in %20"
    )]
    OddCharacter(String),
    /// It has a password, which everybody could read.
    #[error("`{0}` has a user name or password before its host: remove it")]
    Password(String),
    /// Its host is one that Meta and people cannot reach.
    #[error("nobody else can open `{0}`: write a public address")]
    NotPublic(String),
    /// It is too long to be tracked.
    #[error("the address has {0} bytes and {TARGET_BYTES_MAX} can be tracked: shorten it")]
    TooLong(usize),
}

/// What a tracked link begins with, behind its brace.
pub(crate) const TRACKED: &str = "link:";

impl Link {
    /// Wraps an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns where it leads if it is written as `{link:https://…}`.
    pub fn tracked(&self) -> Option<Self> {
        let inside = self.0.strip_prefix('{')?.strip_suffix('}')?.trim();
        Some(Self::new(inside.strip_prefix(TRACKED)?.trim()))
    }

    /// Returns it as a header of HTTP has it: other characters than ASCII written in it. `None` if it
    /// is no URL.
    pub fn to_ascii(&self) -> Option<String> {
        Url::parse(&self.0).ok().map(String::from)
    }

    /// Checks that it is an address that may be behind a button: as [`Self::check`], or
    /// `{link:https://…}` with one that can be tracked.
    ///
    /// # Errors
    /// Says what is wrong: see [`LinkError`].
    pub fn check_button(&self) -> Result<(), LinkError> {
        self.tracked().map_or_else(|| self.check(), |target| target.check_target())
    }

    /// Checks that it is an address that can be tracked.
    ///
    /// # Errors
    /// Says what is wrong: see [`LinkError`].
    pub fn check_target(&self) -> Result<(), LinkError> {
        self.check()?;
        match self.0.len() {
            bytes if bytes > TARGET_BYTES_MAX => Err(LinkError::TooLong(bytes)),
            _ => Ok(()),
        }
    }

    /// Checks that it is an `https` address of a public host, without placeholders.
    ///
    /// # Errors
    /// Says what is wrong: see [`LinkError`].
    pub fn check(&self) -> Result<(), LinkError> {
        let text = || self.0.clone();
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}');
        if self.0.contains(is_odd) {
            return Err(LinkError::OddCharacter(text()));
        }
        let url = Url::parse(&self.0).map_err(|_| LinkError::NoUrl(text()))?;
        // The parser also takes `https:example.com`.
        if !self.0.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("https://")) {
            return Err(LinkError::NotHttps(text()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LinkError::Password(text()));
        }
        let is_public = match url.host() {
            Some(Host::Domain(host)) => host.trim_end_matches('.').contains('.'),
            Some(Host::Ipv4(address)) => !address.is_private() && !address.is_loopback(),
            Some(Host::Ipv6(address)) => !address.is_loopback() && !address.is_unique_local(),
            None => false,
        };
        if is_public { Ok(()) } else { Err(LinkError::NotPublic(text())) }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_public_https_address_is_taken() {
        let check = |url: &str| Link::new(url).check();
        for url in [
            "https://example.com/guide?ref=dm#top",
            "HTTPS://Example.com",
            "https://münchen.example/führer",
            "https://203.0.113.7/x",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        type Refusal = fn(String) -> LinkError;
        let refused: [(&str, Refusal); 12] = [
            ("example.com/guide", LinkError::NoUrl),
            ("https://", LinkError::NoUrl),
            ("", LinkError::NoUrl),
            ("http://example.com", LinkError::NotHttps),
            ("javascript:alert(1)", LinkError::NotHttps),
            ("https:example.com", LinkError::NotHttps),
            ("https://example.com/a b", LinkError::OddCharacter),
            ("https://example.com/{username}", LinkError::OddCharacter),
            ("https://ana:secret@example.com", LinkError::Password),
            ("https://localhost/x", LinkError::NotPublic),
            ("https://192.168.0.1/x", LinkError::NotPublic),
            ("https://[::1]/x", LinkError::NotPublic),
        ];
        for (url, error) in refused {
            assert_eq!(check(url), Err(error(url.to_owned())), "{url}");
        }
    }

    #[test]
    fn a_button_may_have_a_tracked_link() {
        let link = |url: &str| Link::new(url);
        assert_eq!(link("https://a.example/").tracked(), None);
        let target = link("https://a.example/");
        assert_eq!(link("{link:https://a.example/}").tracked(), Some(target.clone()));
        assert_eq!(link("{ link: https://a.example/ }").tracked(), Some(target));
        assert_eq!(link("{link:https://a.example/}").check_button(), Ok(()));
        let refused = link("{link:http://a.example/}").check_button();
        assert_eq!(refused, Err(LinkError::NotHttps("http://a.example/".into())));
        let long = format!("https://a.example/{}", "x".repeat(483));
        let refused = link(&format!("{{link:{long}}}")).check_button();
        assert_eq!(refused, Err(LinkError::TooLong(501)));
        assert_eq!(link(&long).check_button(), Ok(()), "it is not tracked");
        let inside = "https://a.example/{link:https://a.example/}";
        assert_eq!(link(inside).check_button(), Err(LinkError::OddCharacter(inside.into())));
        let ascii = link("https://münchen.example/führer x").to_ascii().unwrap();
        assert_eq!(ascii, "https://xn--mnchen-3ya.example/f%C3%BChrer%20x");
    }
}
