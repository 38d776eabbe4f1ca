//! The accounts that upkeep visits, spread over a few partitions: an item each, with when it is
//! due, when webhooks last told of it, and what the last visit has left.
//!
//! That webhooks come for an account is written once an hour by each process. No item that is
//! written anyway could tell it: marks come and go, the cursor does not move while sends are
//! parked, and the budget only tells of calls. The write costs a hundredth of a write unit a DM
//! where comments come in crowds, and seven units where each of 10,000 accounts has few.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use futures::future::try_join_all;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::Upkeep;
use spillway_service::port::{Hearing, Roster, Standing, Standings, StoreError, Wish};

use super::item::{Item, Reader, WRITTEN_BY, at, b, is_by, json, json_text, s, writer};
use super::unavailable;
use crate::schema::{BACKLOG_SHARDS, alias_pk, upkeep_pk, upkeep_shard_pk};

/// The list in the `state` table.
pub struct DynamoRoster {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
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

/// Sort key of an alias's only item.
const ALIAS_SK: &str = "account";

#[async_trait]
impl Hearing for DynamoRoster {
    async fn heard(&self, account: &AccountId, told_at: Timestamp) -> Result<(), StoreError> {
        let answer = self
            .update(account)
            .update_expression("SET heard_at = :told, due = if_not_exists(due, :told)")
            .condition_expression("attribute_not_exists(heard_at) OR heard_at < :told")
            .expression_attribute_values(":told", at(told_at))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // A later one is known.
            Err(error) if is_refused(error.as_service_error()) => Ok(()),
            Err(error) => Err(unavailable(HEARD, error)),
        }
    }
}

#[async_trait]
impl Roster for DynamoRoster {
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let enroll = self.update(account).update_expression("SET due = :now");
        let sent = enroll.expression_attribute_values(":now", at(now)).send().await;
        sent.map_err(|error| unavailable(ENROLL, error))?;
        Ok(())
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let parts = try_join_all((0..BACKLOG_SHARDS).map(|shard| self.due_in(shard, now))).await?;
        let mut due: Vec<_> = parts.into_iter().flatten().collect();
        due.sort_by_key(|&(_, due)| due);
        Ok(due)
    }

    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Standing>, StoreError> {
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
            .send()
            .await;
        match answer {
            Ok(answer) => standing(&answer.attributes.unwrap_or_default()).map(Some),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let ours = refused.item().filter(|item| is_by(item, &writer));
                    ours.map(standing).transpose()
                }
                _ => Err(unavailable(VISIT, error)),
            },
        }
    }

    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError> {
        let answer = self
            .update(account)
            .update_expression("SET upkeep = :upkeep")
            .condition_expression("attribute_exists(sk)")
            .expression_attribute_values(":upkeep", json(upkeep))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // Taken off the list meanwhile.
            Err(error) if is_refused(error.as_service_error()) => Ok(()),
            Err(error) => Err(unavailable(SETTLE, error)),
        }
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
            .send()
            .await;
        let Err(error) = answer else { return Ok(()) };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                let item = refused.item.clone().unwrap_or_default();
                let reader = Reader { item: &item, what: SETTLE };
                // Our own write, whose answer was lost and which the SDK tried again.
                let is_ours = reader.opt_text("upkeep") == Some(json_text(upkeep).as_str())
                    && reader.opt_at("due")? == Some(due);
                // Else somebody has asked for something: it stays due.
                if is_ours { Ok(()) } else { self.note(account, upkeep).await }
            }
            _ => Err(unavailable(SETTLE, error)),
        }
    }

    async fn ask(
        &self,
        account: &AccountId,
        wish: &Wish,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (name, value) = match wish {
            Wish::Backfill => ("backfill_asked_at", at(now)),
            Wish::Deauthorize => ("deauthorized_at", at(now)),
            Wish::Delete { code } => ("delete_code", s(code)),
        };
        self.update(account)
            .update_expression(format!("SET {name} = :wish, due = :now"))
            .expression_attribute_values(":wish", value)
            .expression_attribute_values(":now", at(now))
            .send()
            .await
            .map_err(|error| unavailable(ASK, error))?;
        Ok(())
    }

    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError> {
        // First where it is found when the account is struck off.
        let answer = self
            .update(account)
            .update_expression(format!("ADD {ALIASES} :alias"))
            .condition_expression("attribute_exists(sk)")
            .expression_attribute_values(":alias", AttributeValue::Ss(vec![app_scoped.to_owned()]))
            .send()
            .await;
        match answer {
            Ok(_) => {}
            // Taken off the list meanwhile.
            Err(error) if is_refused(error.as_service_error()) => return Ok(()),
            Err(error) => return Err(unavailable(ENROLL, error)),
        }
        let item = Item::from([
            ("pk".into(), s(alias_pk(app_scoped))),
            ("sk".into(), s(ALIAS_SK)),
            ("account".into(), s(account.as_str())),
        ]);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| unavailable(ENROLL, error))?;
        Ok(())
    }

    async fn strike_off(&self, account: &AccountId) -> Result<(), StoreError> {
        let entry = self.entry(account, STRIKE).await?.unwrap_or_default();
        let aliases = aliases(&entry)?.into_iter().map(|id| (alias_pk(&id), ALIAS_SK.to_owned()));
        // Last what names them: a try that dies can be gone on with.
        let entry = (upkeep_pk(account), account.as_str().to_owned());
        for (pk, sk) in aliases.chain([entry]) {
            let delete = self.client.delete_item().table_name(&self.table);
            let sent = delete.key("pk", s(pk)).key("sk", s(sk)).send().await;
            sent.map_err(|error| unavailable(STRIKE, error))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Standings for DynamoRoster {
    async fn standing(&self, account: &AccountId) -> Result<Option<Standing>, StoreError> {
        self.entry(account, VISIT).await?.as_ref().map(standing).transpose()
    }

    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        let parts = try_join_all((0..BACKLOG_SHARDS).map(|shard| self.accounts_in(shard))).await?;
        let mut accounts = parts.concat();
        accounts.sort();
        Ok(accounts)
    }
}

impl DynamoRoster {
    /// The account that the app alone names so; `None` when there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn named(&self, app_scoped: &str) -> Result<Option<AccountId>, StoreError> {
        let get = self.client.get_item().table_name(&self.table);
        let get = get.key("pk", s(alias_pk(app_scoped))).key("sk", s(ALIAS_SK));
        let answer = get.send().await.map_err(|error| unavailable(ASK, error))?;
        let Some(item) = answer.item else { return Ok(None) };
        Reader { item: &item, what: ASK }.text("account").map(|id| Some(AccountId::new(id)))
    }

    async fn entry(
        &self,
        account: &AccountId,
        what: &'static str,
    ) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let get = get.key("pk", s(upkeep_pk(account))).key("sk", s(account.as_str()));
        Ok(get.send().await.map_err(|error| unavailable(what, error))?.item)
    }

    fn update(&self, account: &AccountId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", s(upkeep_pk(account)))
            .key("sk", s(account.as_str()))
    }

    async fn due_in(
        &self,
        shard: u8,
        now: Timestamp,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let due = self
            .part(shard)
            .filter_expression("due <= :now")
            .projection_expression("sk, due")
            .expression_attribute_values(":now", at(now));
        let mut pages = due.into_paginator().items().send();
        let mut due = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| unavailable(LIST, error))?;
            let reader = Reader { item: &item, what: LIST };
            due.push((AccountId::new(reader.text("sk")?), reader.at("due")?));
        }
        Ok(due)
    }

    async fn accounts_in(&self, shard: u8) -> Result<Vec<AccountId>, StoreError> {
        // Whoever has just connected an account looks for it.
        let accounts = self.part(shard).projection_expression("sk").consistent_read(true);
        let mut pages = accounts.into_paginator().items().send();
        let mut accounts = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| unavailable(NAME, error))?;
            accounts.push(AccountId::new(Reader { item: &item, what: NAME }.text("sk")?));
        }
        Ok(accounts)
    }

    fn part(&self, shard: u8) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(upkeep_shard_pk(shard)))
    }
}

fn standing(item: &Item) -> Result<Standing, StoreError> {
    let reader = Reader { item, what: VISIT };
    Ok(Standing {
        upkeep: match reader.opt_text("upkeep") {
            Some(_) => reader.json("upkeep")?,
            None => Upkeep::default(),
        },
        last_heard: reader.opt_at("heard_at")?,
        backfill_asked_at: reader.opt_at("backfill_asked_at")?,
        deauthorized_at: reader.opt_at("deauthorized_at")?,
        delete: reader.opt_text("delete_code").map(str::to_owned),
    })
}

/// By which ids apps name the account. An item of before has its one among what upkeep knows.
fn aliases(item: &Item) -> Result<BTreeSet<String>, StoreError> {
    let known = standing(item)?.upkeep.app_scoped;
    let reader = Reader { item, what: STRIKE };
    let noted = reader.members(ALIASES)?;
    Ok(noted.iter().cloned().chain(known).collect())
}

fn is_refused(error: Option<&UpdateItemError>) -> bool {
    error.is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}
