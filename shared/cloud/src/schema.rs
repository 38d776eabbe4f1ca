//! The tables: which items lie where. `template.yaml` declares the same keys; a test compares them.
//!
//! `sends`, keyed by `id`: one entry for each event that was ever matched. It holds its send while
//! that waits, and outlives it, so that a repeated delivery is known.
//!
//! `state`, keyed by `pk` and `sk`:
//!
//! | pk | sk | item |
//! |---|---|---|
//! | `account#A` | `settings` | profile, sealed token, revision |
//! | `account#A` | `campaign#C` | a campaign, and since when it is paused |
//! | `account#A` | `forgotten` | the key of its tombstones |
//! | `account#A` | `forgotten#H` | a tombstone: the comment with the keyed hash H is somebody's who was forgotten |
//! | `token-keys` | N | data key N, encrypted under the KMS key |
//! | `pace#A` | `budget` | the budget |
//! | `pace#A` | `cursor` | the pace cursor |
//! | `waiting#A` | an outbox key | an outbox batch: sends that may wait |
//! | `backlog#S` | A | the mark of an account with waiting sends |
//! | `journal#A` | an instant | a line of the account's journal |
//! | `upkeep#S` | A | when upkeep visits the account, what it knows of it, and its aliases |
//! | `alias#I` | `account` | the account that the app alone, and so Meta's requests, name I |
//! | `deletion#C` | `status` | how the deletion goes whose owner was told the code C |

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use futures::future::BoxFuture;
use spillway_core::id::{AccountId, CampaignId, RecipientId, SendId};
use spillway_core::seed::seed;
use spillway_core::time::Timestamp;
use spillway_service::port::StoreError;

/// Key of the `sends` table.
pub const SENDS_KEY: &str = "id";
/// Partition key of the `state` table.
pub const STATE_PARTITION: &str = "pk";
/// Sort key of the `state` table.
pub const STATE_SORT: &str = "sk";
/// The attribute of both tables by which DynamoDB deletes items, in seconds since 1970.
pub const EXPIRES_AT: &str = "expires_at";

/// Parts that the marks, and the accounts for upkeep, are spread over.
pub const BACKLOG_SHARDS: u8 = 8;

/// The partition of the app's own items.
pub(crate) const APP_PK: &str = "app";

/// The partition of the accounts that lease from the app's quotas.
pub(crate) const LEASING_PK: &str = "app#leasing";

/// The partition of the data keys that account tokens are sealed with.
pub(crate) const KEYS_PK: &str = "token-keys";

/// Ten digits: data keys sort by their numbers.
pub(crate) fn key_sk(number: u32) -> String {
    format!("{number:010}")
}

pub(crate) fn entry_id(send: &SendId) -> String {
    send.to_string()
}

pub(crate) fn account_pk(account: &AccountId) -> String {
    format!("account#{account}")
}

pub(crate) fn campaign_sk(campaign: &CampaignId) -> String {
    format!("campaign#{campaign}")
}

/// The key of an account's tombstones.
pub(crate) const FORGOTTEN_SK: &str = "forgotten";

/// What the sort keys of tombstones begin with.
pub(crate) const TOMBSTONE_PREFIX: &str = "forgotten#";

pub(crate) fn tombstone_sk(tombstone: &str) -> String {
    format!("{TOMBSTONE_PREFIX}{tombstone}")
}

pub(crate) fn pace_pk(account: &AccountId) -> String {
    format!("pace#{account}")
}

/// A person of an account, by a hash of their id.
pub(crate) fn person_pk(account: &AccountId, person: &RecipientId) -> String {
    format!("person#{account}#{:016x}", seed(&[person.as_str()]))
}

pub(crate) fn upkeep_pk(account: &AccountId) -> String {
    upkeep_shard_pk((seed(&[account.as_str()]) % u64::from(BACKLOG_SHARDS)) as u8)
}

pub(crate) fn upkeep_shard_pk(shard: u8) -> String {
    format!("upkeep#{shard}")
}

pub(crate) fn alias_pk(app_scoped: &str) -> String {
    format!("alias#{app_scoped}")
}

pub(crate) fn deletion_pk(code: &str) -> String {
    format!("deletion#{code}")
}

pub(crate) fn journal_pk(account: &AccountId) -> String {
    format!("journal#{account}")
}

/// Thirteen digits: lines sort by their instants. `name` tells those of one instant apart.
pub(crate) fn journal_sk(at: Timestamp, name: Option<u64>) -> String {
    let name = name.map(|name| format!("#{name:016x}")).unwrap_or_default();
    format!("{:013}{name}", at.as_millis())
}

pub(crate) fn waiting_pk(account: &AccountId) -> String {
    format!("waiting#{account}")
}

pub(crate) fn backlog_pk(account: &AccountId) -> String {
    backlog_shard_pk((seed(&[account.as_str()]) % u64::from(BACKLOG_SHARDS)) as u8)
}

pub(crate) fn backlog_shard_pk(shard: u8) -> String {
    format!("backlog#{shard}")
}

/// Creates both tables. On AWS the template does; this is for a local stack and for tests.
///
/// # Errors
/// When DynamoDB refuses, for instance because a table exists.
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
                let invalid = |error| crate::dynamo::unavailable("create table", error);
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
            create
                .send()
                .await
                .map_err(|error| crate::dynamo::unavailable("create table", error))?;
        }
        Ok(())
    })
}
