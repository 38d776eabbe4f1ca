//! Tracked links: `{link:https://example.com/guide}` in a campaign becomes a link of the deployment
//! that redirects there, and tells that its person has opened it. What writes such links holds keys, and
//! is not part of the core: it is a [`Tracking`] here, and so many bytes.

use std::fmt;

use super::link::Link;

/// The most bytes of an address that can be tracked. It is part of the link, which is longer by a third,
/// and by the rest of the link.
pub const TARGET_BYTES_MAX: usize = 500;

/// The most bytes of the address that tokens are appended to. That of a function URL has 74.
pub const LINK_BASE_BYTES_MAX: usize = 80;

/// The most bytes that a token has beside its target: a version, a signature, and whose link it is.
pub const TOKEN_BYTES_BESIDE: usize = 59;

/// What every target begins with, and no token contains.
const SCHEME: &str = "https://";

/// Returns the most characters of the token for a target of this many bytes, which is in base64.
pub const fn token_chars_max(target: usize) -> usize {
    ((TOKEN_BYTES_BESIDE + target.saturating_sub(SCHEME.len())) * 4).div_ceil(3)
}

/// Returns the most bytes of a link to a target of this many bytes, whoever gets it. All are ASCII.
pub const fn link_bytes_max(target: usize) -> usize {
    LINK_BASE_BYTES_MAX + token_chars_max(target)
}

/// What writes the links of one message.
pub trait Tracking: fmt::Debug {
    /// Returns the link to a target: of at most [`link_bytes_max`] bytes, and the same one each time.
    fn link(&self, target: &Link) -> String;
}
