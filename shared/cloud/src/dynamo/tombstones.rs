//! Tombstones lie in their account's partition, so that a reader of the account has them. They go
//! when the entries would have gone that they stand for.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use spillway_core::id::{AccountId, OnceKey, RecipientId};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::StoreError;
use spillway_service::tombstones::tombstone;

use super::item::{Reader, at, b, n};
use super::sends::DynamoSends;
use super::table::{Ask, Written, key};
use crate::schema::EXPIRES_AT;
use crate::secrets::random;

/// How long a person's tombstone stays: beyond the 7 days in which a comment can be answered and the
/// 36 hours in which a webhook may tell of it.
const PERSON_KEPT: Duration = Duration::from_secs(9 * 24 * 3600);

const TOMBSTONE: &str = "leave a tombstone";

impl DynamoSends {
    /// Leaves a tombstone of what may happen only once, until `expires_at`, in seconds since 1970.
    pub(super) async fn put_tombstone(
        &self,
        account: &AccountId,
        once: &OnceKey,
        expires_at: u64,
    ) -> Result<(), StoreError> {
        let hash_key = self.tombstone_key(account, expires_at).await?;
        let sort = keys::tombstone_sk(&tombstone(&hash_key, once));
        let mut item = key(keys::account(account), sort);
        item.insert(EXPIRES_AT.into(), n(expires_at));
        self.state.put(item).ask(TOMBSTONE).await.map(drop)
    }

    /// Leaves a tombstone of a person who is forgotten now.
    pub(super) async fn put_person_tombstone(
        &self,
        account: &AccountId,
        person: &RecipientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let expires_at = (now + PERSON_KEPT).as_secs();
        let hash_key = self.tombstone_key(account, expires_at).await?;
        let sort = keys::person_tombstone_sk(&tombstone(&hash_key, &OnceKey::person(person)));
        let mut item = key(keys::account(account), sort);
        item.extend([("at".into(), at(now)), (EXPIRES_AT.into(), n(expires_at))]);
        self.state.put(item).ask(TOMBSTONE).await.map(drop)
    }

    /// The account's key, which is made when it is first asked for and stays as long as any
    /// tombstone.
    async fn tombstone_key(
        &self,
        account: &AccountId,
        expires_at: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let fresh: [u8; 32] =
            random().map_err(|error| StoreError::unavailable(TOMBSTONE, error.to_string()))?;
        let answer = self
            .state
            .update(key(keys::account(account), keys::FORGOTTEN_SK))
            .update_expression(format!(
                "SET #key = if_not_exists(#key, :fresh), {EXPIRES_AT} = :at"
            ))
            .condition_expression(format!(
                "attribute_not_exists({EXPIRES_AT}) OR {EXPIRES_AT} < :at"
            ))
            .expression_attribute_names("#key", "key")
            .expression_attribute_values(":fresh", b(fresh))
            .expression_attribute_values(":at", n(expires_at))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .ask(TOMBSTONE)
            .await?;
        // Refused where it stays longer already.
        let (Written::Done(item) | Written::Refused(item)) = answer;
        Ok(Reader { item: &item, what: TOMBSTONE }.bytes("key")?.to_owned())
    }
}
