//! What is left of the comments of people who were forgotten: keyed hashes, by which a delivery
//! that is repeated, or a backfill, is known and nobody is.

use std::collections::{HashMap, HashSet};
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use spillway_core::id::{OnceKey, RecipientId};
use spillway_core::once::is_forgotten;
use spillway_core::time::Timestamp;

/// The tombstones of an account.
#[derive(Clone, Default)]
pub struct Tombstones {
    key: Vec<u8>,
    tombstones: HashSet<String>,
    people: HashMap<String, Timestamp>,
}

impl Tombstones {
    /// Tombstones of comments that were made with this key.
    pub fn new(key: Vec<u8>, tombstones: HashSet<String>) -> Self {
        Self { key, tombstones, people: HashMap::new() }
    }

    /// Adds those of people, each with the instant when the person was forgotten.
    #[must_use]
    pub fn with_people(self, people: HashMap<String, Timestamp>) -> Self {
        Self { people, ..self }
    }

    /// When a person was forgotten, if that was within the last eight days.
    pub fn person(&self, person: &RecipientId) -> Option<Timestamp> {
        if self.people.is_empty() {
            return None;
        }
        self.people.get(&tombstone(&self.key, &OnceKey::person(person))).copied()
    }

    /// Whether a comment that a webhook told of at `at` is by a person who was forgotten since.
    pub fn was_written_by(&self, person: Option<&RecipientId>, at: Timestamp) -> bool {
        let forgotten_at = person.and_then(|person| self.person(person));
        forgotten_at.is_some_and(|forgotten_at| is_forgotten(forgotten_at, at, false))
    }

    /// Whether a send of somebody who was forgotten had this key.
    pub fn holds(&self, once: &OnceKey) -> bool {
        !self.tombstones.is_empty() && self.tombstones.contains(&tombstone(&self.key, once))
    }
}

/// Neither the key nor a hash.
impl fmt::Debug for Tombstones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tombstones").finish_non_exhaustive()
    }
}

/// The tombstone of a send's key under an account's own: half of an HMAC-SHA256, in hex.
pub fn tombstone(key: &[u8], once: &OnceKey) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(once.as_str().as_bytes());
    hex::encode(&mac.finalize().into_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_tombstone_under_the_same_key_alone() {
        let once = OnceKey::new("17900000000000001");
        let made = HashSet::from([tombstone(b"key", &once)]);
        assert!(Tombstones::new(b"key".to_vec(), made.clone()).holds(&once));
        assert!(!Tombstones::new(b"another".to_vec(), made.clone()).holds(&once));
        assert!(!Tombstones::new(b"key".to_vec(), made).holds(&OnceKey::new("17900000000000002")));
        assert!(!Tombstones::default().holds(&once));
        let (person, at) = (RecipientId::new("526"), Timestamp::from_secs(1_790_000_000));
        let people = HashMap::from([(tombstone(b"key", &OnceKey::person(&person)), at)]);
        let forgotten = Tombstones::new(b"key".to_vec(), HashSet::new()).with_people(people);
        assert_eq!(forgotten.person(&person), Some(at));
        assert_eq!(forgotten.person(&RecipientId::new("527")), None);
        // A hash that is stored is found again by later versions.
        assert_eq!(tombstone(b"key", &once), "9c9b625e3a126a1f7453b3db93ff16fc");
    }
}
