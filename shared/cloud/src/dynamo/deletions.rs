//! Requests of owners to delete their accounts, by the code that each owner was told, and those
//! whose account is not known yet, by the id that they name.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Deletion, Deletions, StoreError, UnmatchedRequest};

use super::item::{Item, Reader, at, n};
use super::table::{Ask, Table, key};
use crate::schema::EXPIRES_AT;

/// Requests in the `state` table.
pub struct DynamoDeletions {
    /// The `state` table.
    pub table: Table,
}

const STATUS: &str = "look up a deletion";
const NOTE: &str = "note a request for deletion";
const UNMATCHED: &str = "look up the requests for deletion under an id";

/// How long the owner of a deleted account can ask how that went.
const STATUS_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

#[async_trait]
impl Deletions for DynamoDeletions {
    async fn status(&self, code: &str) -> Result<Option<Deletion>, StoreError> {
        let Some(item) = self.table.get(deletion_key(code)).ask(STATUS).await? else {
            return Ok(None);
        };
        let reader = Reader { item: &item, what: STATUS };
        Ok(Some(Deletion {
            asked_at: reader.opt_at("asked_at")?,
            issued_at: reader.opt_at(ISSUED_AT)?,
            done_at: reader.opt_at("done_at")?,
            void_at: reader.opt_at("void_at")?,
            kept_until: reader.opt_at(KEPT_UNTIL)?,
        }))
    }

    async fn asked(
        &self,
        code: &str,
        issued_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let asked = format!("SET asked_at = if_not_exists(asked_at, :at), {EXPIRES_AT} = :expires");
        let Some(issued_at) = issued_at else {
            return self.note(code, format!("{asked} REMOVE {KEPT_UNTIL}"), now).await;
        };
        let update = format!("{asked}, {ISSUED_AT} = :issued REMOVE {KEPT_UNTIL}");
        let update = self.noted(code, update, now);
        update.expression_attribute_values(":issued", at(issued_at)).ask(NOTE).await.map(drop)
    }

    async fn deleted(&self, code: &str, now: Timestamp) -> Result<(), StoreError> {
        let done = format!("SET done_at = if_not_exists(done_at, :at), {EXPIRES_AT} = :expires");
        self.note(code, done, now).await
    }

    async fn voided(&self, code: &str, now: Timestamp) -> Result<(), StoreError> {
        // The version before takes it for done.
        let void = format!(
            "SET void_at = if_not_exists(void_at, :at), done_at = if_not_exists(done_at, :at), \
             {EXPIRES_AT} = :expires REMOVE {KEPT_UNTIL}"
        );
        self.note(code, void, now).await
    }

    async fn set_aside(
        &self,
        app_scoped: &str,
        request: &UnmatchedRequest,
    ) -> Result<(), StoreError> {
        let UnmatchedRequest { code, issued_at, kept_until } = request;
        let kept = format!("SET {KEPT_UNTIL} = :at, {EXPIRES_AT} = :expires");
        self.note(code, kept, *kept_until).await?;
        let mut item = unmatched_key(app_scoped, code);
        item.insert(KEPT_UNTIL.into(), at(*kept_until));
        item.insert(EXPIRES_AT.into(), n(kept_until.as_secs()));
        item.extend(issued_at.map(|issued_at| (ISSUED_AT.into(), at(issued_at))));
        self.table.put(item).ask(NOTE).await.map(drop)
    }

    async fn unmatched(&self, app_scoped: &str) -> Result<Vec<UnmatchedRequest>, StoreError> {
        let query = self.table.partition(keys::unmatched(app_scoped)).consistent_read(true);
        let items = query.ask(UNMATCHED).await?;
        let request = |item| {
            let reader = Reader { item, what: UNMATCHED };
            Ok(UnmatchedRequest {
                code: reader.text("sk")?.to_owned(),
                issued_at: reader.opt_at(ISSUED_AT)?,
                kept_until: reader.at(KEPT_UNTIL)?,
            })
        };
        items.iter().map(request).collect()
    }

    async fn matched(&self, app_scoped: &str, code: &str) -> Result<(), StoreError> {
        self.table.delete(unmatched_key(app_scoped, code)).ask(NOTE).await.map(drop)
    }
}

/// Until when a request is kept whose account is not known.
const KEPT_UNTIL: &str = "kept_until";

/// When Meta made a request.
const ISSUED_AT: &str = "issued_at";

impl DynamoDeletions {
    /// Updates the state of a request, which is then kept for a year from the noted instant on.
    async fn note(&self, code: &str, update: String, noted: Timestamp) -> Result<(), StoreError> {
        self.noted(code, update, noted).ask(NOTE).await.map(drop)
    }

    fn noted(&self, code: &str, update: String, noted: Timestamp) -> UpdateItemFluentBuilder {
        self.table
            .update(deletion_key(code))
            .update_expression(update)
            .expression_attribute_values(":at", at(noted))
            .expression_attribute_values(":expires", n((noted + STATUS_KEPT).as_secs()))
    }
}

fn deletion_key(code: &str) -> Item {
    key(keys::deletion(code), keys::DELETION_SK)
}

fn unmatched_key(app_scoped: &str, code: &str) -> Item {
    key(keys::unmatched(app_scoped), code)
}
