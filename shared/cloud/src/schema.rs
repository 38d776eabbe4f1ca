//! The tables, and what their attributes are called. [`spillway_service::keys`] says which items
//! lie where. `template.yaml` declares the same keys; a test compares them.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use futures::future::BoxFuture;
use spillway_service::port::StoreError;

use crate::failure::{incomplete, unavailable};

/// Key of the `sends` table.
pub const SENDS_KEY: &str = "id";
/// Partition key of the `state` table.
pub const STATE_PARTITION: &str = "pk";
/// Sort key of the `state` table.
pub const STATE_SORT: &str = "sk";
/// The attribute of both tables by which DynamoDB deletes items, in seconds since 1970.
pub const EXPIRES_AT: &str = "expires_at";

/// Creates both tables. On AWS the template does; this is for a local stack and for tests.
///
/// # Errors
/// Fails if DynamoDB refuses, for instance because a table exists.
pub fn create_tables<'a>(
    client: &'a aws_sdk_dynamodb::Client,
    sends: &'a str,
    state: &'a str,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        let tables: [(&str, &[(&str, KeyType)]); 2] = [
            (sends, &[(SENDS_KEY, KeyType::Hash)]),
            (state, &[(STATE_PARTITION, KeyType::Hash), (STATE_SORT, KeyType::Range)]),
        ];
        for (table, keys) in tables {
            let mut create =
                client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
            for (name, key_type) in keys {
                let invalid = |error| incomplete("create table", error);
                create = create
                    .attribute_definitions(
                        AttributeDefinition::builder()
                            .attribute_name(*name)
                            .attribute_type(ScalarAttributeType::S)
                            .build()
                            .map_err(invalid)?,
                    )
                    .key_schema(
                        KeySchemaElement::builder()
                            .attribute_name(*name)
                            .key_type(key_type.clone())
                            .build()
                            .map_err(invalid)?,
                    );
            }
            create.send().await.map_err(|error| unavailable("create table", error))?;
        }
        Ok(())
    })
}
