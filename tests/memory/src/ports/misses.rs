//! Misses.

use async_trait::async_trait;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::misses::{Day, MissDay, SAMPLES_KEPT};
use spillway_core::time::Timestamp;
use spillway_service::port::{Misses, Read, Saved, StoreError, StoredSample};

use super::{Ports, Requests, World};
use crate::tables;

const LIST: &str = "list misses";
const DELETE: &str = "delete misses";

#[async_trait]
impl<A: Requests> Misses for Ports<A> {
    async fn load(&self, account: &AccountId, day: Day, _: Read) -> Result<MissDay, StoreError> {
        let key = (account.clone(), day);
        self.0
            .request("load the day's misses", |world| {
                world.tables().miss_days.get(&key).cloned().unwrap_or_default()
            })
            .await
    }

    async fn save(
        &self,
        account: &AccountId,
        day: Day,
        next: &MissDay,
    ) -> Result<Saved<MissDay>, StoreError> {
        let key = (account.clone(), day);
        self.0
            .request("save the day's misses", |world| {
                tables::save(&mut world.tables().miss_days, &key, next)
            })
            .await
    }

    async fn put_sample(
        &self,
        account: &AccountId,
        day: Day,
        slot: usize,
        sample: &StoredSample,
    ) -> Result<(), StoreError> {
        let key = (account.clone(), day, slot);
        self.0
            .request("store a sample of the misses", |world| {
                let samples = &mut world.tables().miss_samples;
                if samples.get(&key).is_none_or(|stored| stored.rank > sample.rank) {
                    samples.insert(key.clone(), sample.clone());
                }
            })
            .await
    }

    async fn days(
        &self,
        account: &AccountId,
        since: Day,
    ) -> Result<Vec<(Day, MissDay)>, StoreError> {
        self.0
            .request(LIST, |world| {
                let days = world.tables().miss_days.range((account.clone(), since)..);
                let days = days.take_while(|((of, _), _)| of == account);
                days.map(|((_, day), tally)| (*day, tally.clone())).collect()
            })
            .await
    }

    async fn samples(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<StoredSample>, StoreError> {
        self.0
            .request(LIST, |world| {
                let first = (account.clone(), Day::default(), 0);
                let samples = world.tables().miss_samples.range(first..);
                let samples = samples.take_while(|((of, ..), _)| of == account);
                let is_shown =
                    |sample: &&StoredSample| sample.at >= since && now < sample.at + SAMPLES_KEPT;
                samples.map(|(_, sample)| sample).filter(is_shown).cloned().collect()
            })
            .await
    }

    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError> {
        self.0
            .request(DELETE, |world| {
                let samples = &mut world.tables().miss_samples;
                let before = samples.len();
                samples.retain(|(of, ..), sample| {
                    of != account || sample.person.as_ref() != Some(person)
                });
                before - samples.len()
            })
            .await
    }

    async fn delete(&self, account: &AccountId) -> Result<(), StoreError> {
        self.0
            .request(DELETE, |world| {
                let tables = world.tables();
                tables.miss_days.retain(|(of, _), _| of != account);
                tables.miss_samples.retain(|(of, ..), _| of != account);
            })
            .await
    }
}
