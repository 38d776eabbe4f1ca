//! Partition keys as the DynamoDB adapters spell them: see `schema.rs` of `shared/cloud`.

use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::seed::seed;
use spillway_service::outbox_key::OutboxKey;

/// Parts the marks are spread over.
pub(super) const BACKLOG_SHARDS: u8 = 8;

/// The app's own items.
pub(super) const APP: &str = "app";

pub(super) fn entry(send: &SendId) -> String {
    send.to_string()
}

pub(super) fn account(account: &AccountId) -> String {
    format!("account#{account}")
}

pub(super) fn pace(account: &AccountId) -> String {
    format!("pace#{account}")
}

pub(super) fn person(account: &AccountId, person: &RecipientId) -> String {
    format!("person#{account}#{:016x}", seed(&[person.as_str()]))
}

/// The partition of an account's batches.
pub(super) fn waiting(account: &AccountId) -> String {
    format!("waiting#{account}")
}

pub(super) fn backlog(account: &AccountId) -> String {
    backlog_shard(shard_of(account))
}

/// The partition in which upkeep's item of the account lies.
pub(super) fn upkeep(account: &AccountId) -> String {
    format!("upkeep#{}", shard_of(account))
}

pub(super) fn backlog_shard(shard: u8) -> String {
    format!("backlog#{shard}")
}

/// The part that an account's mark lies in.
pub(super) fn shard_of(account: &AccountId) -> u8 {
    (seed(&[account.as_str()]) % u64::from(BACKLOG_SHARDS)) as u8
}

/// What keys of the `state` table have in common with this one.
pub(super) fn family(key: &str) -> &'static str {
    match key.split('#').next() {
        Some("account") => "account#A",
        Some("pace") => "pace#A",
        Some("person") => "person#A#P",
        Some("waiting") => "waiting#A",
        Some("backlog") => "backlog#S",
        Some("upkeep") => "upkeep#S",
        _ => APP,
    }
}

/// How long an outbox key is as a sort key.
pub(super) fn place_bytes(outbox_key: &OutboxKey) -> usize {
    outbox_key.as_str().len()
}
