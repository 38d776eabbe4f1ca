//! Tombstones lie in their account's partition, so that whoever reads the account has them. They go
//! when the entries would have gone that they stand for.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use spillway_core::id::{AccountId, SendId};
use spillway_service::port::StoreError;
use spillway_service::tombstones::tombstone;

use super::item::{Item, Reader, b, n, s};
use super::sends::DynamoSends;
use super::unavailable;
use crate::schema::{EXPIRES_AT, FORGOTTEN_SK, account_pk, tombstone_sk};
use crate::secrets::random;

const TOMBSTONE: &str = "leave a tombstone";

impl DynamoSends {
    /// Leaves a tombstone of a send until `expires_at`, in seconds since 1970.
    pub(super) async fn put_tombstone(
        &self,
        send: &SendId,
        expires_at: u64,
    ) -> Result<(), StoreError> {
        let key = self.tombstone_key(&send.account, expires_at).await?;
        self.client
            .put_item()
            .table_name(&self.state)
            .item("pk", s(account_pk(&send.account)))
            .item("sk", s(tombstone_sk(&tombstone(&key, &send.event))))
            .item(EXPIRES_AT, n(expires_at))
            .send()
            .await
            .map_err(|error| unavailable(TOMBSTONE, error))?;
        Ok(())
    }

    /// The account's key, which is made when it is first asked for and stays as long as any
    /// tombstone.
    async fn tombstone_key(
        &self,
        account: &AccountId,
        expires_at: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let fresh: [u8; 32] = random().map_err(|error| StoreError::Unavailable {
            what: TOMBSTONE,
            detail: error.to_string(),
        })?;
        let answer = self
            .client
            .update_item()
            .table_name(&self.state)
            .key("pk", s(account_pk(account)))
            .key("sk", s(FORGOTTEN_SK))
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
            .send()
            .await;
        let item: Option<Item> = match answer {
            Ok(answer) => answer.attributes,
            Err(error) => match error.as_service_error() {
                // It stays longer already.
                Some(UpdateItemError::ConditionalCheckFailedException(kept)) => kept.item.clone(),
                _ => return Err(unavailable(TOMBSTONE, error)),
            },
        };
        let item = item.unwrap_or_default();
        Ok(Reader { item: &item, what: TOMBSTONE }.bytes("key")?.to_owned())
    }
}
