//! Account tokens at rest: AES-256-GCM under a data key of the deployment, which lies in the state
//! table encrypted under a KMS key.
//!
//! Data keys are numbered. The highest number seals; every one still opens what it has sealed. Only
//! those that seal or open need KMS: the operator's tool and the sender.
//!
//! There is one data key for the deployment, so KMS is not asked for each account. It is stored
//! on the condition that there is none yet, and each sender decrypts it once. A token is worth
//! nothing without both the table and the right to use the key in its encryption context. The
//! tables themselves use DynamoDB's key: under ours, every function would need KMS to record a
//! comment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use secrecy::{ExposeSecret, SecretString};
use spillway_core::id::AccountId;
use spillway_service::account::SealedToken;
use spillway_service::keys;
use spillway_service::port::{Failure, StoreError};

use crate::dynamo::item::{Item, Reader, b};
use crate::dynamo::table::{Ask, Table, Written, key};
use crate::failure::{failure, unavailable};
use crate::secrets::random;

/// The encryption context of the data keys that seal tokens; `template.yaml` grants KMS to functions
/// for nothing else.
pub const KMS_CONTEXT: (&str, &str) = (KMS_PURPOSE, "account-tokens");

const KMS_PURPOSE: &str = "purpose";

/// What a data key seals. KMS decrypts it for nobody who may not use the key for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Account tokens.
    Tokens,
    /// The private keys that open samples of comments.
    Samples,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 2] = [Self::Tokens, Self::Samples];

    /// Its encryption context.
    pub const fn context(self) -> (&'static str, &'static str) {
        match self {
            Self::Tokens => KMS_CONTEXT,
            Self::Samples => (KMS_PURPOSE, "miss-samples"),
        }
    }
}

const OPEN: &str = "open the account's token";
const SEAL: &str = "seal the account's token";

/// A data key.
#[derive(Clone)]
pub struct DataKey(Aes256Gcm);

const NONCE: usize = 12;

impl DataKey {
    /// Of 32 random bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*bytes)))
    }

    fn seal(&self, account: &AccountId, token: &SecretString) -> Result<Vec<u8>, StoreError> {
        self.seal_bytes(account.as_str(), token.expose_secret().as_bytes())
    }

    fn open(&self, account: &AccountId, sealed: &[u8]) -> Option<SecretString> {
        let token = self.open_bytes(account.as_str(), sealed)?;
        String::from_utf8(token).map(SecretString::from).ok()
    }

    /// Seals a secret, which opens under the same name alone.
    pub(crate) fn seal_bytes(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        let failed = |detail| StoreError::unavailable(SEAL, detail);
        let nonce: [u8; NONCE] = random().map_err(|error| failed(error.to_string()))?;
        let payload = Payload { msg: secret, aad: name.as_bytes() };
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| failed("the secret is too long".into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal_bytes`] has sealed under this name.
    pub(crate) fn open_bytes(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: text, aad: name.as_bytes() };
        self.0.decrypt(&Nonce::from(*nonce), payload).ok()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// A new data key, and the form in which it may be stored.
pub struct NewDataKey {
    /// The key.
    pub key: DataKey,
    /// The same, encrypted.
    pub encrypted: Vec<u8>,
}

/// What makes data keys and decrypts them: KMS, or the local stack's stand-in.
#[async_trait]
pub trait KeyService: Send + Sync {
    /// Makes a data key.
    async fn generate(&self, purpose: Purpose) -> Result<NewDataKey, StoreError>;

    /// Decrypts one that was made for this purpose.
    async fn decrypt(&self, purpose: Purpose, encrypted: &[u8]) -> Result<DataKey, StoreError>;
}

/// KMS.
pub struct Kms {
    /// The client.
    pub client: aws_sdk_kms::Client,
    /// The ARN of the key that data keys are encrypted under.
    pub key: String,
}

#[async_trait]
impl KeyService for Kms {
    async fn generate(&self, purpose: Purpose) -> Result<NewDataKey, StoreError> {
        let (name, value) = purpose.context();
        let answer = self
            .client
            .generate_data_key()
            .key_id(&self.key)
            .key_spec(DataKeySpec::Aes256)
            .encryption_context(name, value)
            .send()
            .await
            .map_err(|error| kms_failed(SEAL, failure(error)))?;
        let encrypted = answer.ciphertext_blob.map(Blob::into_inner);
        let encrypted = encrypted
            .ok_or_else(|| StoreError::unavailable(SEAL, "KMS answered without a ciphertext"))?;
        Ok(NewDataKey { key: data_key(SEAL, answer.plaintext)?, encrypted })
    }

    async fn decrypt(&self, purpose: Purpose, encrypted: &[u8]) -> Result<DataKey, StoreError> {
        let (name, value) = purpose.context();
        let answer = self
            .client
            .decrypt()
            .key_id(&self.key)
            .ciphertext_blob(Blob::new(encrypted))
            .encryption_context(name, value)
            .send()
            .await
            .map_err(|error| kms_failed(OPEN, failure(error)))?;
        data_key(OPEN, answer.plaintext)
    }
}

fn data_key(what: &'static str, plaintext: Option<Blob>) -> Result<DataKey, StoreError> {
    let bytes = plaintext.as_ref().and_then(|plain| plain.as_ref().try_into().ok());
    bytes
        .map(DataKey::new)
        .ok_or_else(|| StoreError::unavailable(what, "KMS answered without a key of 32 bytes"))
}

fn kms_failed(what: &'static str, failure: Failure) -> StoreError {
    let said = format!(
        "KMS: {} (is the key enabled, and may this role use it with its context?)",
        failure.said
    );
    StoreError::Unavailable { what, source: Failure { said, ..failure } }
}

/// The data keys of a deployment; a process decrypts each once.
pub struct TokenKeys {
    table: Table,
    service: Arc<dyn KeyService>,
    decrypted: Mutex<BTreeMap<u32, DataKey>>,
}

impl TokenKeys {
    /// Those of the `state` table.
    pub fn new(table: Table, service: Arc<dyn KeyService>) -> Self {
        Self { table, service, decrypted: Mutex::default() }
    }

    /// Makes sure that the token can be opened, with as many requests as that takes.
    ///
    /// # Errors
    /// Fails if a service does not answer, or the token was sealed otherwise.
    pub async fn prepare(
        &self,
        account: &AccountId,
        token: &SealedToken,
    ) -> Result<(), StoreError> {
        if self.known(token.key).is_none() {
            let get = self.table.get(key_of(token.key)).consistent_read(true);
            let missing = || corrupt(format!("there is no data key {}", token.key));
            self.decrypt(&get.ask(OPEN).await?.ok_or_else(missing)?).await?;
        }
        self.open(account, token).map(|_| ())
    }

    /// Opens a token that was prepared, without a request.
    ///
    /// # Errors
    /// Fails if its data key is not at hand, or it was sealed with another key or for another account.
    pub fn open(
        &self,
        account: &AccountId,
        token: &SealedToken,
    ) -> Result<SecretString, StoreError> {
        let key = self.known(token.key).ok_or_else(|| {
            StoreError::unavailable(OPEN, format!("data key {} is not at hand", token.key))
        })?;
        let otherwise = || corrupt("it was sealed with another key, or for another account".into());
        key.open(account, &token.sealed).ok_or_else(otherwise)
    }

    /// Decrypts the newest data key, if there is one, ahead of its use.
    ///
    /// # Errors
    /// Fails if a service does not answer.
    pub async fn warm(&self) -> Result<(), StoreError> {
        self.newest().await.map(|_| ())
    }

    /// Seals a token for `account` with the newest data key; the first one is made here.
    ///
    /// # Errors
    /// Fails if a service does not answer.
    pub async fn seal(
        &self,
        account: &AccountId,
        token: &SecretString,
    ) -> Result<SealedToken, StoreError> {
        let (number, key) = match self.newest().await? {
            Some(newest) => newest,
            None => self.add(1).await?,
        };
        Ok(SealedToken { key: number, sealed: key.seal(account, token)? })
    }

    /// Makes a data key that seals from now on, and gives its number.
    ///
    /// # Errors
    /// Fails if a service does not answer.
    pub async fn replace(&self) -> Result<u32, StoreError> {
        let newest = self.newest().await?.map_or(0, |(number, _)| number);
        self.add(newest + 1).await.map(|(number, _)| number)
    }

    fn known(&self, number: u32) -> Option<DataKey> {
        self.decrypted.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn remember(&self, number: u32, key: &DataKey) {
        let mut decrypted = self.decrypted.lock().unwrap_or_else(PoisonError::into_inner);
        decrypted.insert(number, key.clone());
    }

    async fn newest(&self) -> Result<Option<(u32, DataKey)>, StoreError> {
        let answer = self
            .table
            .partition(keys::DATA_KEYS)
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable(SEAL, error))?;
        match answer.items().first() {
            Some(item) => self.decrypt(item).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stores a new data key as `number`; when another process was first, that one's counts: what
    /// was sealed with a key that is not stored could never be opened.
    async fn add(&self, number: u32) -> Result<(u32, DataKey), StoreError> {
        let NewDataKey { key, encrypted } = self.service.generate(Purpose::Tokens).await?;
        let mut item = key_of(number);
        item.insert("encrypted".into(), b(encrypted));
        let put = self
            .table
            .put(item)
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.ask(SEAL).await? {
            Written::Done(_) => {
                self.remember(number, &key);
                Ok((number, key))
            }
            Written::Refused(stored) => self.decrypt(&stored).await,
        }
    }

    async fn decrypt(&self, item: &Item) -> Result<(u32, DataKey), StoreError> {
        let reader = Reader { item, what: OPEN };
        let number = reader.text("sk")?.parse().map_err(|error| reader.corrupt(error))?;
        if let Some(key) = self.known(number) {
            return Ok((number, key));
        }
        let key = self.service.decrypt(Purpose::Tokens, reader.bytes("encrypted")?).await?;
        self.remember(number, &key);
        Ok((number, key))
    }
}

fn corrupt(detail: String) -> StoreError {
    let detail = format!("{detail}; connect the account again (`spillway connect`)");
    StoreError::Corrupt { what: OPEN, detail }
}

/// Returns the key of the item that holds data key `number`.
fn key_of(number: u32) -> Item {
    key(keys::DATA_KEYS, keys::data_key_sk(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_account_and_key_only() {
        let (key, other) = (DataKey::new(&[1; 32]), DataKey::new(&[2; 32]));
        let token = SecretString::from("IGA-token");
        let account = AccountId::new("17841400000000001");
        let sealed = key.seal(&account, &token).unwrap();
        assert!(!sealed.windows(9).any(|bytes| bytes == b"IGA-token"));
        assert_eq!(key.open(&account, &sealed).unwrap().expose_secret(), "IGA-token");
        assert!(key.open(&AccountId::new("17841400000000002"), &sealed).is_none());
        assert!(other.open(&account, &sealed).is_none());
        assert!(key.open(&account, &sealed[..8]).is_none());
        assert_ne!(key.seal(&account, &token).unwrap(), sealed, "a nonce was used twice");
    }

    /// Nonce, ciphertext, tag: sealed by another implementation, so that what lies in a table
    /// opens.
    #[test]
    fn the_form_of_a_sealed_token_is_kept() {
        let hex = "000102030405060708090a0b51c6a85d6966b22c19bb38eb8e9ef5b0b302b92730168e2ad0";
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let sealed: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let token = DataKey::new(&[7; 32]).open(&AccountId::new("178"), &sealed).unwrap();
        assert_eq!(token.expose_secret(), "IGA-token");
    }
}
