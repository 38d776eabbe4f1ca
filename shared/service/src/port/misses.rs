//! Comments that match no campaign: their counts, and samples of their texts, sealed.

use super::{Read, Saved, StoreError};
use async_trait::async_trait;
use spillway_core::id::{AccountId, MediaId, RecipientId};
use spillway_core::misses::{Day, MissDay, MissKind, Rank, SampleText};
use spillway_core::time::Timestamp;

/// The misses of accounts, by day. Counts end [`COUNTS_KEPT`](spillway_core::misses::COUNTS_KEPT)
/// after their day, samples [`SAMPLES_KEPT`](spillway_core::misses::SAMPLES_KEPT) after they came.
#[async_trait]
pub trait Misses: Send + Sync {
    /// Returns the tally of a day; one that was never written is empty.
    async fn load(&self, account: &AccountId, day: Day, read: Read) -> Result<MissDay, StoreError>;

    /// Writes a tally if the stored version is the one before it.
    async fn save(
        &self,
        account: &AccountId,
        day: Day,
        next: &MissDay,
    ) -> Result<Saved<MissDay>, StoreError>;

    /// Writes a sample under its slot's number, unless one of a lower or the same rank has it.
    async fn put_sample(
        &self,
        account: &AccountId,
        day: Day,
        slot: usize,
        sample: &StoredSample,
    ) -> Result<(), StoreError>;

    /// Returns the tallies from a day on, in order (consistently read).
    async fn days(
        &self,
        account: &AccountId,
        since: Day,
    ) -> Result<Vec<(Day, MissDay)>, StoreError>;

    /// Returns the samples that came at `since` or later, in the order of their days (consistently
    /// read). Those that are older than they are kept may be stored still, and are not returned.
    async fn samples(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<StoredSample>, StoreError>;

    /// Deletes a person's samples. Returns how many there were.
    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError>;

    /// Deletes all that is stored of an account's misses.
    async fn delete(&self, account: &AccountId) -> Result<(), StoreError>;
}

/// A sample as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSample {
    /// The kind of miss that it is of.
    pub kind: MissKind,
    /// Its rank.
    pub rank: Rank,
    /// Who wrote it.
    pub person: Option<RecipientId>,
    /// What it is on.
    pub media: Option<MediaId>,
    /// When it was told of.
    pub at: Timestamp,
    /// Its text.
    pub text: SealedText,
}

/// A text that is sealed to a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedText {
    /// The number of the key pair that opens it.
    pub key: u32,
    /// The encapsulated key, the ciphertext and its tag.
    pub sealed: Vec<u8>,
}

/// Seals texts to the newest public key of the deployment.
#[async_trait]
pub trait SampleSealer: Send + Sync {
    /// Seals texts for `account`, each by itself. Returns `None` if there is no key yet.
    async fn seal(
        &self,
        account: &AccountId,
        texts: &[&SampleText],
    ) -> Result<Option<Vec<SealedText>>, StoreError>;
}

/// Opens what was sealed: the operator's tool, and nothing else.
#[async_trait]
pub trait SampleOpener: Send + Sync {
    /// Opens a text that was sealed for `account`.
    async fn open(&self, account: &AccountId, text: &SealedText) -> Result<String, StoreError>;
}
