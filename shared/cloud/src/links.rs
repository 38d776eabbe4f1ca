//! What writes the tracked links of a deployment: its address and the keys of its secret.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use spillway_service::links::{LinkKeys, Linker};
use spillway_service::port::{Failure, Links, StoreError};

use crate::secrets::SecretStore;

const WRITE: &str = "write a link";

/// The links of a deployment that tracks them.
pub struct StoredLinks {
    base: String,
    keys: SecretStore<LinkKeys>,
    /// The linker of the keys that were read last.
    made: Mutex<Option<(Arc<LinkKeys>, Arc<Linker>)>>,
}

impl StoredLinks {
    /// Those that begin with `base`, which ends in a slash.
    pub fn new(base: String, keys: SecretStore<LinkKeys>) -> Self {
        Self { base, keys, made: Mutex::default() }
    }
}

#[async_trait]
impl Links for StoredLinks {
    async fn linker(&self) -> Result<Option<Arc<Linker>>, StoreError> {
        let keys = self.keys.current().await.map_err(|error| {
            let source = Failure::other(error.to_string());
            StoreError::Unavailable { what: WRITE, source }
        })?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, linker)) = &*made
            && Arc::ptr_eq(of, &keys)
        {
            return Ok(Some(linker.clone()));
        }
        let linker = Arc::new(Linker::new(self.base.clone(), (*keys).clone()));
        *made = Some((keys, linker.clone()));
        Ok(Some(linker))
    }
}
