//! Tracked links: what writes them and what reads them again.
//!
//! A tracked link is the deployment's address and a token. The token is the target and whose link it is,
//! signed and sealed, so the redirect needs no store, nobody can make a link of their own, and nothing
//! about a person can be read in it.
//!
//! | part of a token | bytes |
//! |---|---|
//! | the version, 1 | 1 |
//! | the signature | 16 |
//! | the account's id, the person's id | at most 17 each, sealed |
//! | the conversation's origin | 8, sealed |
//! | the target without `https://` | the rest, sealed |
//!
//! The signature is HMAC-SHA256 over the version and what is sealed, cut to 128 bits. It is the nonce
//! of the stream that seals, whose blocks are HMAC-SHA256 under a second key. (The construction is SIV:
//! Rogaway and Shrimpton, 2006.) So it takes no randomness, and one message has the same link however
//! often it is written: a read of the conversation finds it again.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use spillway_core::content::{
    Link, TARGET_BYTES_MAX, TOKEN_BYTES_BESIDE, Tracking, token_chars_max,
};
use spillway_core::conversation::Origin;
use spillway_core::id::{AccountId, RecipientId};

/// The most keys that a deployment has at a time.
const LINK_KEYS_MAX: usize = 4;

/// The fewest bytes of a key's secret.
const LINK_SECRET_BYTES_MIN: usize = 32;

/// The one version that is written.
const VERSION: u8 = 1;

const SIGNATURE_BYTES: usize = 16;

/// The most digits of an id of Meta's.
const DIGITS_MAX: usize = 32;

/// The most bytes of an id: how many digits it has, and two of them a byte.
const ID_BYTES_MAX: usize = 1 + DIGITS_MAX / 2;

const ORIGIN_BYTES: usize = 8;

/// What every target begins with, and no token contains.
const SCHEME: &str = "https://";

/// What a token has beside its target.
const BESIDE: usize = 1 + SIGNATURE_BYTES + 2 * ID_BYTES_MAX + ORIGIN_BYTES;
const _: () = assert!(BESIDE == TOKEN_BYTES_BESIDE, "the core counts with it");

/// Whose link it is. It shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkOwner {
    /// The account that has sent it.
    pub account: AccountId,
    /// The person that it was sent to.
    pub person: RecipientId,
    /// The conversation that it belongs to.
    pub origin: Origin,
}

impl fmt::Debug for LinkOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkOwner(…)")
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedLink {
    /// Whose link it is.
    pub owner: LinkOwner,
    /// Where it leads: an address that [`Link::check`] takes.
    pub target: Link,
}

/// The keys of a deployment's links. Its `Debug` shows none of them.
#[derive(Clone)]
pub struct LinkKeys {
    newest: LinkKey,
    older: Vec<LinkKey>,
}

/// A key, as the two that are derived from its secret.
#[derive(Clone)]
struct LinkKey {
    signs: Hmac<Sha256>,
    seals: Hmac<Sha256>,
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkKeysError {
    /// There are none, or too many.
    #[error("there are {0} keys, and 1 to {LINK_KEYS_MAX} are taken")]
    Count(usize),
    /// A secret that could be guessed.
    #[error("a key has {0} bytes, and needs {LINK_SECRET_BYTES_MIN}")]
    Short(usize),
}

impl LinkKeys {
    /// Derives the keys from their secrets. The first one signs, and links of each are known.
    ///
    /// # Errors
    /// Fails if there are none or more than 4, or one has fewer than 32 bytes.
    pub fn new(secrets: &[&[u8]]) -> Result<Self, LinkKeysError> {
        if let Some(short) = secrets.iter().find(|secret| secret.len() < LINK_SECRET_BYTES_MIN) {
            return Err(LinkKeysError::Short(short.len()));
        }
        match secrets {
            [newest, older @ ..] if older.len() < LINK_KEYS_MAX => Ok(Self {
                newest: LinkKey::new(newest),
                older: older.iter().map(|secret| LinkKey::new(secret)).collect(),
            }),
            _ => Err(LinkKeysError::Count(secrets.len())),
        }
    }

    /// Writes a token. `None` if an id is not one of Meta's, or the target is none that can be tracked.
    fn token(&self, owner: &LinkOwner, target: &Link) -> Option<String> {
        let target = target.as_str();
        let (scheme, rest) = target.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || target.len() > TARGET_BYTES_MAX {
            return None;
        }
        let mut clear = Vec::new();
        write_digits(&mut clear, owner.account.as_str())?;
        write_digits(&mut clear, owner.person.as_str())?;
        clear.extend(owner.origin.as_u64().to_be_bytes());
        clear.extend(rest.as_bytes());
        Some(BASE64_URL_SAFE_NO_PAD.encode(self.newest.seal(clear)))
    }

    /// Reads a token that one of the keys has signed. The comparison takes constant time.
    pub fn open(&self, token: &str) -> Option<OpenedLink> {
        if token.len() > token_chars_max(TARGET_BYTES_MAX) {
            return None;
        }
        let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let keys = std::iter::once(&self.newest).chain(&self.older);
        let clear = keys.filter_map(|key| key.open(&token)).next()?;
        let (account, rest) = read_digits(&clear)?;
        let (person, rest) = read_digits(rest)?;
        let (origin, target) = rest.split_first_chunk::<ORIGIN_BYTES>()?;
        let target = Link::new(format!("{SCHEME}{}", str::from_utf8(target).ok()?));
        target.check().ok()?;
        let origin = Origin::from_u64(u64::from_be_bytes(*origin));
        let owner = LinkOwner {
            account: AccountId::new(account),
            person: RecipientId::new(person),
            origin,
        };
        Some(OpenedLink { owner, target })
    }
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys(…)")
    }
}

impl LinkKey {
    fn new(secret: &[u8]) -> Self {
        let derived = |purpose: &[u8]| keyed(&digest(&keyed(secret), &[purpose]));
        Self { signs: derived(b"spillway link 1: sign"), seals: derived(b"spillway link 1: seal") }
    }

    fn seal(&self, mut clear: Vec<u8>) -> Vec<u8> {
        let whole = digest(&self.signs, &[&[VERSION], &clear]);
        let signature = &whole[..SIGNATURE_BYTES];
        self.apply_stream(signature, &mut clear);
        [&[VERSION], signature, &clear].concat()
    }

    fn open(&self, token: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = token.split_first()?;
        let (signature, sealed) = rest.split_at_checked(SIGNATURE_BYTES)?;
        if *version != VERSION {
            return None;
        }
        let mut clear = sealed.to_vec();
        self.apply_stream(signature, &mut clear);
        let signed = self.signs.clone().chain_update([VERSION]).chain_update(&clear);
        signed.verify_truncated_left(signature).ok()?;
        Some(clear)
    }

    /// Seals what is clear, and the other way round.
    fn apply_stream(&self, nonce: &[u8], bytes: &mut [u8]) {
        for (nth, block) in (0u32..).zip(bytes.chunks_mut(32)) {
            let stream = digest(&self.seals, &[nonce, &nth.to_be_bytes()]);
            block.iter_mut().zip(stream).for_each(|(byte, of_stream)| *byte ^= of_stream);
        }
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    Hmac::new_from_slice(key).expect("any key length")
}

fn digest(key: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.clone();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Writes an id: how many digits it has, then two of them a byte.
fn write_digits(out: &mut Vec<u8>, id: &str) -> Option<()> {
    let digits = id.as_bytes();
    let is_id = (1..=DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let count = u8::try_from(digits.len()).ok().filter(|_| is_id)?;
    out.push(count);
    let value = |digit: &u8| digit - b'0';
    out.extend(digits.chunks(2).map(|two| value(&two[0]) << 4 | two.get(1).map_or(0, value)));
    Some(())
}

/// Reads what [`write_digits`] has written, and returns the id with what follows it.
fn read_digits(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (count, rest) = bytes.split_first()?;
    let count = usize::from(*count);
    let (digits, rest) = rest.split_at_checked(count.div_ceil(2))?;
    let digits = digits.iter().flat_map(|two| [two >> 4, two & 15]);
    let id: String = digits.take(count).map(|digit| char::from(b'0' + digit)).collect();
    Some((id, rest))
}

/// What writes the links of a deployment.
#[derive(Clone, Debug)]
pub struct Linker {
    base: String,
    keys: LinkKeys,
}

impl Linker {
    /// One for links that begin with `base`, which ends in a slash and has at most
    /// [`LINK_BASE_BYTES_MAX`](spillway_core::content::LINK_BASE_BYTES_MAX) bytes.
    pub fn new(base: impl Into<String>, keys: LinkKeys) -> Self {
        Self { base: base.into(), keys }
    }

    /// Returns the link to a target; the target itself where no click on it could be told.
    pub fn link(&self, owner: &LinkOwner, target: &Link) -> String {
        match self.keys.token(owner, target) {
            Some(token) => format!("{}{token}", self.base),
            None => target.as_str().to_owned(),
        }
    }
}

/// The links of one message.
#[derive(Debug)]
pub(crate) struct MessageLinks {
    /// What writes them.
    pub(crate) linker: Arc<Linker>,
    /// Whose they are.
    pub(crate) owner: LinkOwner,
}

impl Tracking for MessageLinks {
    fn link(&self, target: &Link) -> String {
        self.linker.link(&self.owner, target)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spillway_core::content::{LINK_BASE_BYTES_MAX, link_bytes_max};

    use super::*;

    const BASE: &str = "https://go.example/";

    fn keys(secrets: &[u8]) -> LinkKeys {
        let secrets: Vec<[u8; 32]> = secrets.iter().map(|byte| [*byte; 32]).collect();
        let secrets: Vec<&[u8]> = secrets.iter().map(<[u8; 32]>::as_slice).collect();
        LinkKeys::new(&secrets).unwrap()
    }

    fn owner() -> LinkOwner {
        LinkOwner {
            account: "17841400000000001".into(),
            person: "526000000000001".into(),
            origin: Origin::new("17890000000000001"),
        }
    }

    fn token(keys: &LinkKeys) -> String {
        keys.token(&owner(), &Link::new("https://example.com/guide")).unwrap()
    }

    #[test]
    fn a_link_tells_target_and_owner_to_the_deployment_and_nothing_to_others() {
        let keys = keys(&[1]);
        let target = Link::new("https://example.com/guide?ref=dm#top");
        let links =
            MessageLinks { linker: Arc::new(Linker::new(BASE, keys.clone())), owner: owner() };
        let link = links.link(&target);
        assert_eq!(link, links.link(&target), "a read of the conversation finds it again");
        let token = link.strip_prefix(BASE).unwrap();
        let opened = OpenedLink { owner: owner(), target };
        assert_eq!(keys.open(token), Some(opened));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!has(b"example") && !has(&[0x17, 0x84, 0x14]) && !has(&[0x52, 0x60]));
        assert_eq!(
            format!("{links:?}"),
            "MessageLinks { linker: Linker { base: \"https://go.example/\", keys: LinkKeys(…) }, owner: LinkOwner(…) }"
        );
    }

    /// Links lie in people's threads for ever. Another implementation has opened this one.
    #[test]
    fn the_form_of_a_token_is_kept() {
        let token = token(&keys(&[7]));
        assert_eq!(
            token,
            "ARRt94WJMbt-REaNTzy0KQxfnl-ijTUeODLD8Dsdu5M6W_sjrmWzkSgSe6UcYTOX3Xw8XqhpYXlftimwjw"
        );
    }

    #[test]
    fn older_keys_open_and_the_newest_signs() {
        let old = token(&keys(&[1]));
        let rotated = keys(&[2, 1]);
        assert!(rotated.open(&old).is_some());
        assert_eq!(token(&rotated), token(&keys(&[2])));
        assert_eq!(keys(&[2]).open(&old), None, "that of another deployment");
        let error = |secrets: &[&[u8]]| LinkKeys::new(secrets).unwrap_err();
        assert_eq!(error(&[]), LinkKeysError::Count(0));
        assert_eq!(error(&[[1; 32].as_slice(); 5]), LinkKeysError::Count(5));
        assert_eq!(error(&[&[1; 32], &[1; 31]]), LinkKeysError::Short(31));
    }

    #[test]
    fn what_cannot_be_tracked_is_linked_to_itself() {
        let linker = Linker::new(BASE, keys(&[1]));
        let link = |owner: &LinkOwner, target: &str| linker.link(owner, &Link::new(target));
        let odd = |id: &str| LinkOwner { person: id.into(), ..owner() };
        let long = format!("https://example.com/{}", "x".repeat(481));
        for (owner, target) in [
            (odd(""), "https://example.com"),
            (odd("ana"), "https://example.com"),
            (odd(&"1".repeat(33)), "https://example.com"),
            (owner(), "http://example.com"),
            (owner(), "https"),
            (owner(), &long),
        ] {
            assert_eq!(link(&owner, target), target);
        }
        assert_ne!(link(&owner(), &long[..500]), long[..500]);
    }

    /// Whoever could have a target signed that is none would have an open redirect.
    #[test]
    fn a_target_that_would_not_be_taken_does_not_open() {
        let keys = keys(&[1]);
        for target in ["https://localhost/", "https://a.example/\r\nx: y", "https://ana@a.example"]
        {
            let token = keys.token(&owner(), &Link::new(target)).unwrap();
            assert_eq!(keys.open(&token), None, "{target}");
        }
    }

    #[test]
    fn every_change_of_a_token_is_noticed() {
        let keys = keys(&[1]);
        let token = token(&keys);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(keys.open(&BASE64_URL_SAFE_NO_PAD.encode(changed)), None, "{at}.{bit}");
            }
            assert_eq!(keys.open(&BASE64_URL_SAFE_NO_PAD.encode(&bytes[..at])), None, "{at}");
        }
        for odd in [format!("{token}="), format!("{token}A"), format!(" {token}"), String::new()] {
            assert_eq!(keys.open(&odd), None, "{odd}");
        }
        // Of the last character four bits count: the others must be zero.
        let (last, head) = token.chars().next_back().zip(token.get(..token.len() - 1)).unwrap();
        for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').filter(|other| *other != last) {
            assert_eq!(keys.open(&format!("{head}{other}")), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_opens_and_has_its_length(
            account in "[0-9]{1,32}", person in "[0-9]{1,32}", origin: u64,
            path in "[a-z0-9/?=&%~-]{0,480}", other in 2u8..,
        ) {
            let origin = Origin::from_u64(origin);
            let owner = LinkOwner {
                account: AccountId::new(account),
                person: RecipientId::new(person),
                origin,
            };
            let target = Link::new(format!("https://a.example/{path}"));
            let linker = Linker::new("b".repeat(LINK_BASE_BYTES_MAX), keys(&[1]));
            let link = linker.link(&owner, &target);
            prop_assert!(link.len() <= link_bytes_max(target.as_str().len()));
            let token = &link[LINK_BASE_BYTES_MAX..];
            prop_assert_eq!(keys(&[other]).open(token), None);
            prop_assert_eq!(keys(&[other, 1]).open(token), Some(OpenedLink { owner, target }));
        }

        #[test]
        fn no_text_breaks_it(token in "\\PC{0,120}", bytes: Vec<u8>) {
            prop_assert_eq!(keys(&[1]).open(&token), None);
            prop_assert_eq!(keys(&[1]).open(&BASE64_URL_SAFE_NO_PAD.encode(bytes)), None);
        }
    }
}
