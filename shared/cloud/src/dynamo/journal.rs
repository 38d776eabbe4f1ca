//! Journals: a line is an item, sorted by time, and gone after ninety days.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::id::AccountId;
use spillway_core::journal::JournalEntry;
use spillway_core::seed::seed;
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Journal, StoreError};

use super::item::{Reader, json, json_text, n, s};
use super::table::{Ask, Table, key};
use crate::failure::unavailable;
use crate::schema::EXPIRES_AT;

/// How long a line is kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

const APPEND: &str = "write into the journal";
const LIST: &str = "read the journal";

/// Journals in the `state` table.
pub struct DynamoJournal {
    /// The `state` table.
    pub table: Table,
}

#[async_trait]
impl Journal for DynamoJournal {
    async fn append(&self, entry: &JournalEntry) -> Result<(), StoreError> {
        // Named by what it says: a repeated request writes the same item.
        let name = seed(&[&json_text(&entry.what)]);
        let mut item = key(keys::journal(&entry.account), keys::journal_sk(entry.at, Some(name)));
        item.insert("entry".into(), json(entry));
        item.insert(EXPIRES_AT.into(), n((entry.at + KEPT).as_secs()));
        self.table.put(item).ask(APPEND).await.map(drop)
    }

    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let mut pages = self
            .table
            .partition(keys::journal(account))
            .key_condition_expression("pk = :pk AND sk >= :since")
            .expression_attribute_values(":since", s(keys::journal_sk(since, None)))
            .scan_index_forward(false)
            .limit(i32::try_from(limit.clamp(1, 1000)).unwrap_or(1000))
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some(item) = pages.next().await
        {
            let item = item.map_err(|error| unavailable(LIST, error))?;
            entries.push(Reader { item: &item, what: LIST }.json("entry")?);
        }
        Ok(entries)
    }
}
