//! The accounts that upkeep visits, spread over a few partitions: an item each, with when it is
//! due, when webhooks last told of it, and what the last visit has left.
//!
//! That webhooks come for an account is written once an hour by each process. No item that is
//! written anyway could tell it: marks come and go, the cursor does not move while sends are
//! parked, and the budget only tells of calls. The write costs a hundredth of a write unit a DM
//! where comments come in crowds, and seven units where each of 10,000 accounts has few.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use futures::future::try_join_all;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::Upkeep;
use spillway_service::keys;
use spillway_service::port::{
    Aliases, LastSeen, MaintenanceRecord, MaintenanceRecords, MaintenanceSchedule, StoreError,
    UpkeepRequest, UpkeepRequests,
};

use super::item::{Item, Reader, WRITTEN_BY, at, b, is_by, json, json_text, s, writer};
use super::table::{Ask, Table, Written, key};

/// The list in the `state` table.
pub struct DynamoMaintenance {
    /// The `state` table.
    pub table: Table,
}

const HEARD: &str = "note that webhooks come";
const ENROLL: &str = "put the account on upkeep's list";
const LIST: &str = "list the accounts due for upkeep";
const NAME: &str = "list the accounts";
const VISIT: &str = "visit the account";
const SETTLE: &str = "end the visit";
const ASK: &str = "ask upkeep";
const STRIKE: &str = "take the account off upkeep's list";

/// The set of ids by which apps name the account.
const ALIASES: &str = "aliases";

/// The code of the last deletion that was asked for.
const DELETE: &str = "delete_code";

/// The set of the codes of all deletions that were asked for.
const DELETES: &str = "delete_codes";

#[async_trait]
impl LastSeen for DynamoMaintenance {
    async fn record_seen(&self, account: &AccountId, told_at: Timestamp) -> Result<(), StoreError> {
        self.update(account)
            .update_expression("SET heard_at = :told, due = if_not_exists(due, :told)")
            .condition_expression("attribute_not_exists(heard_at) OR heard_at < :told")
            .expression_attribute_values(":told", at(told_at))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .ask(HEARD)
            .await
            // Refused where a later one is known.
            .map(drop)
    }
}

#[async_trait]
impl MaintenanceSchedule for DynamoMaintenance {
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let enroll = self.update(account).update_expression("SET due = :now");
        enroll.expression_attribute_values(":now", at(now)).ask(ENROLL).await.map(drop)
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let parts = try_join_all((0..keys::SHARDS).map(|shard| self.due_in(shard, now))).await?;
        let mut due: Vec<_> = parts.into_iter().flatten().collect();
        due.sort_by_key(|&(_, due)| due);
        Ok(due)
    }

    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MaintenanceRecord>, StoreError> {
        let writer = writer(VISIT)?;
        let answer = self
            .update(account)
            .update_expression(format!("SET due = :until, {WRITTEN_BY} = :writer"))
            .condition_expression("due = :due")
            .expression_attribute_values(":until", at(until))
            .expression_attribute_values(":due", at(due))
            .expression_attribute_values(":writer", b(writer.as_slice()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .ask(VISIT)
            .await?;
        match answer {
            Written::Done(item) => record(&item).map(Some),
            Written::Refused(item) if is_by(&item, &writer) => record(&item).map(Some),
            Written::Refused(_) => Ok(None),
        }
    }

    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError> {
        // Refused where it was taken off the list meanwhile.
        self.update(account)
            .update_expression("SET upkeep = :upkeep")
            .condition_expression("attribute_exists(sk)")
            .expression_attribute_values(":upkeep", json(upkeep))
            .ask(SETTLE)
            .await
            .map(drop)
    }

    async fn settle(
        &self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let answer = self
            .update(account)
            .update_expression("SET upkeep = :upkeep, due = :due")
            .condition_expression("due = :until")
            .expression_attribute_values(":upkeep", json(upkeep))
            .expression_attribute_values(":due", at(due))
            .expression_attribute_values(":until", at(until))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .ask(SETTLE)
            .await?;
        let Written::Refused(item) = answer else { return Ok(()) };
        let reader = Reader { item: &item, what: SETTLE };
        // Our own write, whose answer was lost and which the SDK tried again.
        let is_ours = reader.opt_text("upkeep") == Some(json_text(upkeep).as_str())
            && reader.opt_at("due")? == Some(due);
        // Else somebody has asked for something: it stays due.
        if is_ours { Ok(()) } else { self.note(account, upkeep).await }
    }

    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError> {
        // First where it is found when the account is struck off.
        let answer = self
            .update(account)
            .update_expression(format!("ADD {ALIASES} :alias"))
            .condition_expression("attribute_exists(sk)")
            .expression_attribute_values(":alias", AttributeValue::Ss(vec![app_scoped.to_owned()]))
            .ask(ENROLL)
            .await?;
        if !answer.is_done() {
            // Taken off the list meanwhile.
            return Ok(());
        }
        self.put_alias(account, app_scoped).await
    }

    async fn forget_deletions(
        &self,
        account: &AccountId,
        codes: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        if codes.is_empty() {
            return Ok(());
        }
        let all = AttributeValue::Ss(codes.iter().cloned().collect());
        self.update(account)
            .update_expression(format!("DELETE {DELETES} :codes"))
            .condition_expression("attribute_exists(sk)")
            .expression_attribute_values(":codes", all)
            .ask(ASK)
            .await?;
        for code in codes {
            // Refused where another one was the last.
            self.update(account)
                .update_expression(format!("REMOVE {DELETE}"))
                .condition_expression(format!("{DELETE} = :code"))
                .expression_attribute_values(":code", s(code))
                .ask(ASK)
                .await?;
        }
        Ok(())
    }

    async fn strike_off(&self, account: &AccountId, due: Timestamp) -> Result<bool, StoreError> {
        let Some(entry) = self.entry(account, STRIKE).await? else { return Ok(true) };
        if (Reader { item: &entry, what: STRIKE }).at("due")? != due {
            return Ok(false);
        }
        for id in aliases(&entry)? {
            self.table.delete(alias_key(&id)).ask(STRIKE).await?;
        }
        // Last what names them: a try that dies can be gone on with.
        let strike = self
            .table
            .delete(upkeep_key(account))
            .condition_expression("attribute_not_exists(sk) OR due = :due")
            .expression_attribute_values(":due", at(due))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Written::Refused(entry) = strike.ask(STRIKE).await? else { return Ok(true) };
        // Connected meanwhile, or asked for something: it is named as it was.
        for id in aliases(&entry)? {
            self.put_alias(account, &id).await?;
        }
        Ok(false)
    }
}

#[async_trait]
impl UpkeepRequests for DynamoMaintenance {
    async fn ask(
        &self,
        account: &AccountId,
        request: &UpkeepRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self.update(account).expression_attribute_values(":now", at(now));
        let update = match request {
            UpkeepRequest::Backfill => {
                update.update_expression("SET backfill_asked_at = :now, due = :now")
            }
            UpkeepRequest::Deauthorize => {
                update.update_expression("SET deauthorized_at = :now, due = :now")
            }
            // The version before knows the last one only.
            UpkeepRequest::Delete { code } => update
                .update_expression(format!("SET {DELETE} = :code, due = :now ADD {DELETES} :codes"))
                .expression_attribute_values(":code", s(code))
                .expression_attribute_values(":codes", AttributeValue::Ss(vec![code.clone()])),
        };
        update.ask(ASK).await.map(drop)
    }
}

#[async_trait]
impl Aliases for DynamoMaintenance {
    async fn named(&self, app_scoped: &str) -> Result<Option<AccountId>, StoreError> {
        let get = self.table.get(alias_key(app_scoped)).consistent_read(true);
        let Some(item) = get.ask(ASK).await? else { return Ok(None) };
        Reader { item: &item, what: ASK }.text("account").map(|id| Some(AccountId::new(id)))
    }
}

#[async_trait]
impl MaintenanceRecords for DynamoMaintenance {
    async fn record(&self, account: &AccountId) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.entry(account, VISIT).await?.as_ref().map(record).transpose()
    }

    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        let parts = try_join_all((0..keys::SHARDS).map(|shard| self.accounts_in(shard))).await?;
        let mut accounts = parts.concat();
        accounts.sort();
        Ok(accounts)
    }
}

impl DynamoMaintenance {
    async fn put_alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError> {
        let mut item = alias_key(app_scoped);
        item.insert("account".into(), s(account.as_str()));
        self.table.put(item).ask(ENROLL).await.map(drop)
    }

    async fn entry(
        &self,
        account: &AccountId,
        what: &'static str,
    ) -> Result<Option<Item>, StoreError> {
        self.table.get(upkeep_key(account)).consistent_read(true).ask(what).await
    }

    fn update(&self, account: &AccountId) -> UpdateItemFluentBuilder {
        self.table.update(upkeep_key(account))
    }

    async fn due_in(
        &self,
        shard: u8,
        now: Timestamp,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let items = self
            .table
            .partition(keys::upkeep_shard(shard))
            .filter_expression("due <= :now")
            .projection_expression("sk, due")
            .expression_attribute_values(":now", at(now))
            .ask(LIST)
            .await?;
        let due = |item| {
            let reader = Reader { item, what: LIST };
            Ok((AccountId::new(reader.text("sk")?), reader.at("due")?))
        };
        items.iter().map(due).collect()
    }

    async fn accounts_in(&self, shard: u8) -> Result<Vec<AccountId>, StoreError> {
        // A person who has just connected an account looks for it.
        let items = self
            .table
            .partition(keys::upkeep_shard(shard))
            .projection_expression("sk")
            .consistent_read(true)
            .ask(NAME)
            .await?;
        let account = |item| Reader { item, what: NAME }.text("sk").map(AccountId::new);
        items.iter().map(account).collect()
    }
}

fn upkeep_key(account: &AccountId) -> Item {
    key(keys::upkeep(account), account.as_str())
}

fn alias_key(app_scoped: &str) -> Item {
    key(keys::alias(app_scoped), keys::ALIAS_SK)
}

fn record(item: &Item) -> Result<MaintenanceRecord, StoreError> {
    let reader = Reader { item, what: VISIT };
    Ok(MaintenanceRecord {
        due: reader.at("due")?,
        upkeep: match reader.opt_text("upkeep") {
            Some(_) => reader.json("upkeep")?,
            None => Upkeep::default(),
        },
        last_seen: reader.opt_at("heard_at")?,
        backfill_asked_at: reader.opt_at("backfill_asked_at")?,
        deauthorized_at: reader.opt_at("deauthorized_at")?,
        delete: {
            let codes = reader.members(DELETES)?.iter().map(String::as_str);
            codes.chain(reader.opt_text(DELETE)).map(str::to_owned).collect()
        },
    })
}

/// Returns the app-scoped ids of the account. An earlier version kept the only one with what upkeep
/// knows.
fn aliases(item: &Item) -> Result<BTreeSet<String>, StoreError> {
    let known = record(item)?.upkeep.app_scoped;
    let reader = Reader { item, what: STRIKE };
    let noted = reader.members(ALIASES)?;
    Ok(noted.iter().cloned().chain(known).collect())
}
