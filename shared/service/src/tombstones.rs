//! What is left of the comments of people who were forgotten: keyed hashes, by which a delivery
//! that is repeated, or a backfill, is known and nobody is.

use std::collections::HashSet;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use spillway_core::id::EventId;

/// The tombstones of an account.
#[derive(Clone, Default)]
pub struct Tombstones {
    key: Vec<u8>,
    tombstones: HashSet<String>,
}

impl Tombstones {
    /// Tombstones that were made with this key.
    pub fn new(key: Vec<u8>, tombstones: HashSet<String>) -> Self {
        Self { key, tombstones }
    }

    /// Whether the event is one of somebody who was forgotten.
    pub fn holds(&self, event: &EventId) -> bool {
        !self.tombstones.is_empty() && self.tombstones.contains(&tombstone(&self.key, event))
    }
}

/// Neither the key nor a hash.
impl fmt::Debug for Tombstones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tombstones").finish_non_exhaustive()
    }
}

/// The tombstone of an event under an account's key: half of an HMAC-SHA256, in hex.
pub fn tombstone(key: &[u8], event: &EventId) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(event.as_str().as_bytes());
    hex::encode(&mac.finalize().into_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_tombstone_under_the_same_key_alone() {
        let event = EventId::new("17900000000000001");
        let made = HashSet::from([tombstone(b"key", &event)]);
        assert!(Tombstones::new(b"key".to_vec(), made.clone()).holds(&event));
        assert!(!Tombstones::new(b"another".to_vec(), made.clone()).holds(&event));
        assert!(!Tombstones::new(b"key".to_vec(), made).holds(&EventId::new("17900000000000002")));
        assert!(!Tombstones::default().holds(&event));
        // A hash that is stored is found again by later versions.
        assert_eq!(tombstone(b"key", &event), "9c9b625e3a126a1f7453b3db93ff16fc");
    }
}
