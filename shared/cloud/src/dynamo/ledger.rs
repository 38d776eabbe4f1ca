//! Entries with all that they hold, for operators.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use spillway_core::campaign::Trigger;
use spillway_core::history::{Past, PastStep, STEPS_KEPT};
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::send::{Outcome, PendingSend};
use spillway_core::time::Timestamp;
use spillway_service::admin::sends::{Ledger, Part, State, Stored};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::StoreError;

use super::entry::{self, expires_at};
use super::item::{Item, Reader, at, json, n, s};
use super::pacing::person_key;
use super::sends::DynamoSends;
use super::table::{Ask, Written, entry_key};
use crate::failure::unavailable;
use crate::schema::EXPIRES_AT;

/// How long an entry stays beside its tombstone: longer than a process goes on with an account that
/// it has read without it.
const BURIED_KEPT: Duration = Duration::from_secs(3600);

/// There where the entry's person was forgotten.
const FORGOTTEN: &str = "forgotten";

const FIND: &str = "look up the send";
const LIST: &str = "list sends";
const FORGET: &str = "forget a person";
const REOPEN: &str = "let the send wait again";

#[async_trait]
impl Ledger for DynamoSends {
    async fn find(&self, send: &SendId) -> Result<Option<Stored>, StoreError> {
        let item = self.sends.get(entry_key(send)).consistent_read(true).ask(FIND).await?;
        // In a person's item there may be no send.
        let item = item.filter(|item| item.contains_key("state"));
        item.map(|item| stored(&item, send.clone(), FIND)).transpose()
    }

    async fn ended(&self, account: &AccountId, after: Option<&str>) -> Result<Part, StoreError> {
        let page = self
            .sends
            .client
            .scan()
            .table_name(&self.sends.name)
            .consistent_read(true)
            .filter_expression(
                "begins_with(id, :account) AND attribute_exists(#state) AND #state <> :waiting",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":account", s(format!("{account}/")))
            .expression_attribute_values(":waiting", s("waiting"))
            .set_exclusive_start_key(after.map(|id| Item::from([("id".into(), s(id))])))
            .send()
            .await
            .map_err(|error| unavailable(LIST, error))?;
        let next = page.last_evaluated_key.as_ref();
        let next = next.map(|item| Reader { item, what: LIST }.text("id").map(str::to_owned));
        let sends = page.items().iter().map(|item| {
            let reader = Reader { item, what: LIST };
            let id = reader.text("id")?;
            let key = id.split_once('/').map(|(_, key)| OnceKey::new(key));
            let key = key.ok_or_else(|| reader.corrupt(format!("`{id}` names no send")))?;
            stored(item, SendId { account: account.clone(), key }, LIST)
        });
        Ok(Part {
            sends: sends.collect::<Result<_, _>>()?,
            looked_at: usize::try_from(page.scanned_count).unwrap_or(0),
            next: next.transpose()?,
        })
    }

    async fn reopen(
        &self,
        old: &Stored,
        outbox_key: &OutboxKey,
        send: &PendingSend,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let State::Ended { at: ended_at, outcome: Outcome::Failed { reason } } = &old.state else {
            return Ok(false);
        };
        let past = |epoch, at, what| PastStep { epoch, at, what, slot: None };
        let ended = past(send.epoch - 1, *ended_at, Past::Ended(*reason));
        let retried = past(send.epoch, now, Past::Retried);
        let nth = |past: PastStep| (past.epoch % STEPS_KEPT).to_string();
        let standing = entry::standing(outbox_key, send);
        let sets: Vec<String> =
            standing.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let mut update = self
            .sends
            .update(entry_key(&old.id))
            .update_expression(format!(
                "SET {}, steps.#ended = :ended, steps.#retried = :retried REMOVE outcome, ended_at",
                sets.join(", ")
            ))
            .condition_expression("#state = :old_state AND #place = :old_place AND ended_at = :at")
            .expression_attribute_names("#ended", nth(ended))
            .expression_attribute_names("#retried", nth(retried))
            .expression_attribute_values(":ended", s(ended.encode()))
            .expression_attribute_values(":retried", s(retried.encode()))
            .expression_attribute_values(":old_state", s(old.state.name()))
            .expression_attribute_values(":old_place", s(old.outbox_key.as_str()))
            .expression_attribute_values(":at", at(*ended_at))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, value) in standing {
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        let Written::Refused(item) = update.ask(REOPEN).await? else { return Ok(true) };
        let reader = Reader { item: &item, what: REOPEN };
        // Our own write, whose answer was lost and which the SDK tried again: the outbox key is
        // new.
        Ok(reader.opt_text("place") == Some(outbox_key.as_str()))
    }

    async fn write_tombstone(&self, old: &Stored, now: Timestamp) -> Result<bool, StoreError> {
        let State::Ended { at: ended_at, outcome } = &old.state else { return Ok(false) };
        let outcome = outcome.without_person().unwrap_or_else(|| outcome.clone());
        let deadline = old.outbox_key.parts().map_or(Timestamp::EPOCH, |(_, _, deadline)| deadline);
        if let Some(comment) = &old.comment {
            let once = OnceKey::comment(comment);
            let expires_at = expires_at(old.matched_at, deadline);
            self.put_tombstone(&old.id.account, &once, expires_at).await?;
        }
        let update = self
            .sends
            .update(entry_key(&old.id))
            .update_expression(format!(
                "SET outcome = :outcome, {FORGOTTEN} = :yes, {EXPIRES_AT} = :soon"
            ))
            .condition_expression("#state = :state AND ended_at = :at")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":outcome", json(&outcome))
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":soon", n((now + BURIED_KEPT).as_secs()))
            .expression_attribute_values(":state", s(old.state.name()))
            .expression_attribute_values(":at", at(*ended_at));
        Ok(update.ask(FORGET).await?.is_done())
    }

    async fn write_person_tombstone(
        &self,
        account: &AccountId,
        person: &RecipientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.put_person_tombstone(account, person, now).await
    }

    async fn forget_unit(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<(), StoreError> {
        self.state.delete(person_key(account, person)).ask(FORGET).await.map(drop)
    }
}

fn stored(item: &Item, id: SendId, what: &'static str) -> Result<Stored, StoreError> {
    let reader = Reader { item, what };
    let state = match reader.text("state")? {
        "waiting" => State::Waiting(Box::new(entry::read_waiting(&reader, &id)?)),
        _ => State::Ended { outcome: reader.json("outcome")?, at: reader.at("ended_at")? },
    };
    let outbox_key = OutboxKey::from_stored(reader.text("place")?.to_owned());
    let class = entry::read_class(&reader, &outbox_key)?;
    let trigger = match &state {
        State::Waiting(send) if send.trigger() == Trigger::StoryReply => Trigger::StoryReply,
        _ => entry::trigger(item, class),
    };
    Ok(Stored {
        comment: entry::comment(&reader, &id)?,
        id,
        class,
        trigger,
        content: entry::read_content(&reader)?,
        matched_at: reader.at("matched_at")?,
        outbox_key,
        epoch: reader.number("epoch")?,
        attempts: reader.number("attempt")?,
        failures: reader.number("failures")?,
        steps: entry::steps(item),
        last_refusal: entry::last_refusal(item),
        is_forgotten: item.contains_key(FORGOTTEN),
        state,
    })
}
