//! What people wrote, samples of comments and e-mail addresses, at rest: sealed by HPKE (RFC 9180, with X25519, HKDF-SHA256 and AES-256-GCM) to
//! a public key that lies in the state table. So the webhook seals without a right to use KMS, and
//! cannot open what it has sealed.
//!
//! Key pairs are numbered. The highest number seals; every one still opens what was sealed to it. A
//! private key is sealed under a data key of its own purpose, which KMS decrypts for the operator, and
//! for upkeep where there is an event bus for leads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use spillway_core::conversation::Email;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::misses::SampleText;
use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use spillway_service::keys;
use spillway_service::port::{
    LeadOpener, LeadSealer, Read, SampleOpener, SampleSealer, SealedText, StoreError,
};

use crate::dynamo::item::{Item, Reader, b};
use crate::dynamo::table::{Ask, Table, Written, key};
use crate::failure::unavailable;
use crate::secrets::random;
use crate::token::{KeyService, NewDataKey, Purpose};

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// What tells the use of HPKE for samples from others.
const SAMPLE: &[u8] = b"spillway miss sample 1";

/// What tells its use for leads.
const LEAD: &[u8] = b"spillway lead 1";

/// The bytes of an encapsulated key.
const ENCAPPED: usize = 32;

/// How long a process seals to the key that it has read. A new key is used within this time.
const REMEMBERED: Duration = Duration::from_secs(600);

const SEAL: &str = "seal a sample";
const OPEN: &str = "open a sample";
const MAKE: &str = "make a key for samples";

/// The key pairs of a deployment.
pub struct SampleKeys {
    table: Table,
    service: Arc<dyn KeyService>,
    clock: Arc<dyn Clock>,
    newest: Mutex<Option<(Timestamp, u32, PublicKey)>>,
    opened: Mutex<BTreeMap<u32, PrivateKey>>,
}

impl SampleKeys {
    /// Those of the `state` table.
    pub fn new(table: Table, service: Arc<dyn KeyService>, clock: Arc<dyn Clock>) -> Self {
        Self { table, service, clock, newest: Mutex::default(), opened: Mutex::default() }
    }

    /// Makes a key pair if there is none.
    ///
    /// # Errors
    /// Fails if a service does not answer.
    pub async fn ensure(&self) -> Result<(), StoreError> {
        match self.stored(Read::Consistent).await? {
            Some(_) => Ok(()),
            None => self.add(1).await,
        }
    }

    /// Makes a key pair that is sealed to from now on.
    ///
    /// # Errors
    /// Fails if a service does not answer.
    pub async fn replace(&self) -> Result<(), StoreError> {
        let newest = self.stored(Read::Consistent).await?.map_or(0, |(number, _)| number);
        self.add(newest + 1).await
    }

    /// Stores a new key pair as `number`. When another process was first, that one's counts.
    async fn add(&self, number: u32) -> Result<(), StoreError> {
        require_randomness(MAKE)?;
        let (private, public) = X25519HkdfSha256::gen_keypair();
        let NewDataKey { key: data_key, encrypted } =
            self.service.generate(Purpose::Samples).await?;
        let mut item = key(keys::SAMPLE_KEYS, keys::data_key_sk(number));
        item.insert("public".into(), b(public.to_bytes().to_vec()));
        let sealed = data_key.seal_bytes(&keys::data_key_sk(number), &private.to_bytes())?;
        item.insert("private".into(), b(sealed));
        item.insert("encrypted".into(), b(encrypted));
        let put = self
            .table
            .put(item)
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.ask(MAKE).await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }

    /// The newest public key, with its number.
    async fn stored(&self, how: Read) -> Result<Option<(u32, PublicKey)>, StoreError> {
        let answer = self
            .table
            .partition(keys::SAMPLE_KEYS)
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(how == Read::Consistent)
            .send()
            .await
            .map_err(|error| unavailable(SEAL, error))?;
        answer.items().first().map(|item| public_key(item, SEAL)).transpose()
    }

    /// The same as this process knows it.
    async fn newest(&self) -> Result<Option<(u32, PublicKey)>, StoreError> {
        let now = self.clock.now();
        let lock = || self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, number, public)) = &*lock()
            && *read_at <= now
            && now < *read_at + REMEMBERED
        {
            return Ok(Some((*number, public.clone())));
        }
        let newest = self.stored(Read::Eventual).await?;
        *lock() = newest.clone().map(|(number, public)| (now, number, public));
        Ok(newest)
    }

    /// The private key with this number. A process has it decrypted once.
    async fn private(&self, number: u32) -> Result<PrivateKey, StoreError> {
        let lock = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(private) = lock().get(&number) {
            return Ok(private.clone());
        }
        let sk = keys::data_key_sk(number);
        let get = self.table.get(key(keys::SAMPLE_KEYS, &sk)).consistent_read(true);
        let missing = || corrupt(format!("there is no key {number}"));
        let item = get.ask(OPEN).await?.ok_or_else(missing)?;
        let reader = Reader { item: &item, what: OPEN };
        let encrypted = reader.bytes("encrypted")?;
        let data_key = self.service.decrypt(Purpose::Samples, encrypted).await?;
        let private = data_key.open_bytes(&sk, reader.bytes("private")?);
        let otherwise = || corrupt(format!("key {number} was sealed with another data key"));
        let private = PrivateKey::from_bytes(&private.ok_or_else(otherwise)?)
            .map_err(|error| corrupt(error.to_string()))?;
        lock().insert(number, private.clone());
        Ok(private)
    }
}

#[async_trait]
impl SampleSealer for SampleKeys {
    async fn seal(
        &self,
        account: &AccountId,
        texts: &[&SampleText],
    ) -> Result<Option<Vec<SealedText>>, StoreError> {
        let Some((key, public)) = self.newest().await? else { return Ok(None) };
        require_randomness(SEAL)?;
        let seal = |text: &&SampleText| {
            let sealed = seal(&public, SAMPLE, account.as_str(), text.expose().as_bytes())?;
            Ok(SealedText { key, sealed })
        };
        texts.iter().map(seal).collect::<Result<_, _>>().map(Some)
    }
}

#[async_trait]
impl SampleOpener for SampleKeys {
    async fn open(&self, account: &AccountId, text: &SealedText) -> Result<String, StoreError> {
        let private = self.private(text.key).await?;
        let otherwise = || corrupt("it was sealed to another key, or for another account".into());
        open(&private, SAMPLE, account.as_str(), &text.sealed).ok_or_else(otherwise)
    }
}

/// Who gave an address, and to whom: it opens for nobody else's.
fn of_lead(account: &AccountId, person: &RecipientId) -> String {
    format!("{account}/{person}")
}

#[async_trait]
impl LeadSealer for SampleKeys {
    async fn seal_lead(
        &self,
        account: &AccountId,
        person: &RecipientId,
        email: &Email,
    ) -> Result<SealedText, StoreError> {
        let missing = || StoreError::unavailable(SEAL, "there is no key: run `spillway new-key`");
        let (key, public) = self.newest().await?.ok_or_else(missing)?;
        require_randomness(SEAL)?;
        let email = email.as_str().as_bytes();
        Ok(SealedText { key, sealed: seal(&public, LEAD, &of_lead(account, person), email)? })
    }
}

#[async_trait]
impl LeadOpener for SampleKeys {
    async fn open_lead(
        &self,
        account: &AccountId,
        person: &RecipientId,
        email: &SealedText,
    ) -> Result<String, StoreError> {
        let private = self.private(email.key).await?;
        let otherwise = || corrupt("it was sealed to another key, or for another person".into());
        open(&private, LEAD, &of_lead(account, person), &email.sealed).ok_or_else(otherwise)
    }
}

/// The encapsulated key, then the ciphertext with its tag. `info` names the use, and `of` whose it is.
fn seal(public: &PublicKey, info: &[u8], of: &str, text: &[u8]) -> Result<Vec<u8>, StoreError> {
    let sealed = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        public,
        info,
        text,
        of.as_bytes(),
    );
    let (encapped, sealed) =
        sealed.map_err(|error| StoreError::unavailable(SEAL, error.to_string()))?;
    Ok([encapped.to_bytes().as_slice(), &sealed].concat())
}

fn open(private: &PrivateKey, info: &[u8], of: &str, sealed: &[u8]) -> Option<String> {
    let (encapped, sealed) = sealed.split_first_chunk::<ENCAPPED>()?;
    let text = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        private,
        &EncappedKey::from_bytes(encapped).ok()?,
        info,
        sealed,
        of.as_bytes(),
    );
    String::from_utf8(text.ok()?).ok()
}

fn public_key(item: &Item, what: &'static str) -> Result<(u32, PublicKey), StoreError> {
    let reader = Reader { item, what };
    let number = reader.text("sk")?.parse().map_err(|error| reader.corrupt(error))?;
    let public = PublicKey::from_bytes(reader.bytes("public")?);
    Ok((number, public.map_err(|error| reader.corrupt(error))?))
}

/// HPKE panics where the system has no randomness.
fn require_randomness(what: &'static str) -> Result<(), StoreError> {
    random::<1>().map(drop).map_err(|error| StoreError::unavailable(what, error.to_string()))
}

fn corrupt(detail: String) -> StoreError {
    StoreError::Corrupt { what: OPEN, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "17841400000000001";

    #[test]
    fn a_sample_opens_with_its_key_and_for_its_account_alone() {
        let (private, public) = X25519HkdfSha256::gen_keypair();
        let (other, _) = X25519HkdfSha256::gen_keypair();
        let sealed = seal(&public, SAMPLE, ACCOUNT, b"my words").unwrap();
        assert!(!sealed.windows(8).any(|bytes| bytes == b"my words"));
        assert_eq!(open(&private, SAMPLE, ACCOUNT, &sealed).as_deref(), Some("my words"));
        assert_eq!(open(&other, SAMPLE, ACCOUNT, &sealed), None);
        assert_eq!(open(&private, SAMPLE, "178", &sealed), None);
        assert_eq!(open(&private, LEAD, ACCOUNT, &sealed), None, "it is no address");
        assert_eq!(open(&private, SAMPLE, ACCOUNT, &sealed[..40]), None);
        assert_ne!(seal(&public, SAMPLE, ACCOUNT, b"my words").unwrap(), sealed);
    }
}
