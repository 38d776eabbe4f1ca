//! In the place of KMS: makes data keys, and knows those that it has made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rand::TryRng;
use rand::rngs::SysRng;
use spillway_cloud::token::{DataKey, KeyService, NewDataKey, Purpose};
use spillway_service::port::StoreError;

/// The keys made so far; what goes for the encrypted form of one is the number it has here.
#[derive(Default)]
pub struct LocalKeys {
    made: Mutex<Vec<Made>>,
    gone: AtomicBool,
}

/// A key, and what it was made for.
type Made = (Purpose, [u8; 32]);

const WHAT: &str = "the local data keys";

impl LocalKeys {
    /// Whether nothing answers from now on.
    pub fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::Relaxed);
    }

    fn made(&self) -> Result<MutexGuard<'_, Vec<Made>>, StoreError> {
        if self.gone.load(Ordering::Relaxed) {
            Err(StoreError::unavailable(WHAT, "gone"))
        } else {
            Ok(self.made.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// Makes a key for `purpose`: itself, and what goes for its encrypted form.
    pub(crate) fn make(&self, purpose: Purpose) -> Result<([u8; 32], Vec<u8>), StoreError> {
        let mut bytes = [0; 32];
        SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| StoreError::unavailable(WHAT, error.to_string()))?;
        let mut made = self.made()?;
        made.push((purpose, bytes));
        Ok((bytes, (made.len() - 1).to_be_bytes().to_vec()))
    }

    /// The key for `purpose` that was given out as `encrypted`.
    pub(crate) fn plain(&self, purpose: Purpose, encrypted: &[u8]) -> Result<[u8; 32], StoreError> {
        let made = self.made()?;
        let number = encrypted.try_into().map(usize::from_be_bytes).ok();
        let detail = "not one of this stack's".to_owned();
        number
            .and_then(|number| made.get(number).copied())
            .filter(|(of, _)| *of == purpose)
            .map(|(_, bytes)| bytes)
            .ok_or(StoreError::Corrupt { what: WHAT, detail })
    }
}

#[async_trait]
impl KeyService for LocalKeys {
    async fn generate(&self, purpose: Purpose) -> Result<NewDataKey, StoreError> {
        let (bytes, encrypted) = self.make(purpose)?;
        Ok(NewDataKey { key: DataKey::new(&bytes), encrypted })
    }

    async fn decrypt(&self, purpose: Purpose, encrypted: &[u8]) -> Result<DataKey, StoreError> {
        self.plain(purpose, encrypted).map(|bytes| DataKey::new(&bytes))
    }
}
