//! The handshake by which Meta checks that a callback URL is ours: one GET, answered with its
//! challenge.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The longest challenge that is echoed, in bytes.
const CHALLENGE_BYTES_MAX: usize = 128;

/// Checks the query of the GET, as decoded pairs, and returns the challenge: answer 200 with it as
/// `text/plain`, byte for byte.
///
/// There may be several verify tokens, one for each app or login type that uses this URL; an empty
/// one matches nothing. The challenge is echoed only if it is 1 to 128 letters and digits, so that
/// the answer cannot carry markup. (Meta, Instagram Platform webhooks, 3 Mar 2026: an `int`.)
///
/// # Errors
///
/// When this is not Meta's handshake for one of our tokens; see [`HandshakeError`].
pub fn answer<'q>(
    query: impl IntoIterator<Item = (&'q str, &'q str)>,
    verify_tokens: &[SecretString],
) -> Result<String, HandshakeError> {
    let (mut mode, mut token, mut challenge) = (None, None, None);
    for (key, value) in query {
        match key {
            "hub.mode" => mode = Some(value),
            "hub.verify_token" => token = Some(value),
            "hub.challenge" => challenge = Some(value),
            _ => {}
        }
    }

    if mode != Some("subscribe") {
        return Err(HandshakeError::Mode);
    }
    if !token.is_some_and(|token| is_one_of(token, verify_tokens)) {
        return Err(HandshakeError::Token);
    }
    challenge
        .filter(|challenge| (1..=CHALLENGE_BYTES_MAX).contains(&challenge.len()))
        .filter(|challenge| challenge.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .map(str::to_owned)
        .ok_or(HandshakeError::Challenge)
}

/// Why the GET is not answered with its challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// `hub.mode` is not `subscribe`: not a handshake. Answer 400.
    #[error("hub.mode is not subscribe")]
    Mode,
    /// `hub.verify_token` is missing or none of ours. Answer 403.
    #[error("hub.verify_token does not match")]
    Token,
    /// `hub.challenge` is missing or not 1 to 128 letters and digits. Answer 400.
    #[error("hub.challenge is not 1 to 128 letters and digits")]
    Challenge,
}

/// Compares digests, which are equally long whatever the tokens are, in constant time and with
/// every token.
fn is_one_of(given: &str, tokens: &[SecretString]) -> bool {
    let given = digest(given);
    tokens.iter().fold(false, |found, token| {
        let token = token.expose_secret();
        let same = digest(token).finalize() == given.clone().finalize();
        found | (same && !token.is_empty())
    })
}

fn digest(token: &str) -> Hmac<Sha256> {
    Hmac::<Sha256>::new(&Default::default()).chain_update(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: (&str, &str) = ("hub.mode", "subscribe");
    const TOKEN: (&str, &str) = ("hub.verify_token", "open sesame");
    const CHALLENGE: (&str, &str) = ("hub.challenge", "0001158201444");

    fn tokens() -> [SecretString; 3] {
        ["".into(), "another".into(), "open sesame".into()]
    }

    #[test]
    fn echoes_the_challenge_as_it_came() {
        let answer = answer([MODE, CHALLENGE, ("other", "x"), TOKEN], &tokens());
        assert_eq!(answer.as_deref(), Ok("0001158201444"));
    }

    #[test]
    fn refuses_everything_else() {
        use HandshakeError::{Challenge, Mode, Token};
        let long = "1".repeat(CHALLENGE_BYTES_MAX + 1);
        for (query, expected) in [
            (vec![], Mode),
            (vec![TOKEN, CHALLENGE], Mode),
            (vec![("hub.mode", "unsubscribe"), TOKEN, CHALLENGE], Mode),
            (vec![("hub_mode", "subscribe"), TOKEN, CHALLENGE], Mode),
            (vec![MODE, CHALLENGE], Token),
            (vec![MODE, ("hub.verify_token", ""), CHALLENGE], Token),
            (vec![MODE, ("hub.verify_token", "open"), CHALLENGE], Token),
            (vec![MODE, TOKEN], Challenge),
            (vec![MODE, TOKEN, ("hub.challenge", "")], Challenge),
            (vec![MODE, TOKEN, ("hub.challenge", "<b>1</b>")], Challenge),
            (vec![MODE, TOKEN, ("hub.challenge", &long)], Challenge),
        ] {
            assert_eq!(answer(query.iter().copied(), &tokens()), Err(expected), "{query:?}");
        }
        assert_eq!(answer([MODE, TOKEN, CHALLENGE], &[]), Err(Token));
    }
}
