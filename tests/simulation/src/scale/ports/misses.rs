//! Misses. Every comment of the plan matches, so they cost nothing.

use async_trait::async_trait;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::misses::{Day, MissDay};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Misses, Read, Saved, StoreError, StoredSample};

use super::Ports;
use crate::scale::units::{WRITE, read};
use spillway_memory::tables;

#[async_trait]
impl Misses for Ports {
    async fn load(&self, account: &AccountId, day: Day, how: Read) -> Result<MissDay, StoreError> {
        let key = (account.clone(), day);
        Ok(self
            .state(&keys::misses(account), read(how, 0), |store| {
                store.tables.miss_days.get(&key).cloned().unwrap_or_default()
            })
            .await)
    }

    async fn save(
        &self,
        account: &AccountId,
        day: Day,
        next: &MissDay,
    ) -> Result<Saved<MissDay>, StoreError> {
        let key = (account.clone(), day);
        Ok(self
            .state(&keys::misses(account), WRITE, |store| {
                tables::save(&mut store.tables.miss_days, &key, next)
            })
            .await)
    }

    async fn put_sample(
        &self,
        account: &AccountId,
        day: Day,
        slot: usize,
        sample: &StoredSample,
    ) -> Result<(), StoreError> {
        let key = (account.clone(), day, slot);
        self.state(&keys::misses(account), WRITE, |store| {
            store.tables.miss_samples.insert(key, sample.clone());
        })
        .await;
        Ok(())
    }

    async fn days(&self, _: &AccountId, _: Day) -> Result<Vec<(Day, MissDay)>, StoreError> {
        unreachable!("no function lists misses")
    }

    async fn samples(
        &self,
        _: &AccountId,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<StoredSample>, StoreError> {
        unreachable!("no function lists samples")
    }

    async fn forget(&self, _: &AccountId, _: &RecipientId) -> Result<usize, StoreError> {
        unreachable!("nobody is forgotten here")
    }

    async fn delete(&self, _: &AccountId) -> Result<(), StoreError> {
        unreachable!("no account is removed here")
    }
}
