//! Conversations: a partition an account, with an item for each person.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, TransactWriteItem};
use spillway_core::conversation::{State, StoredState};
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::seed::seed;
use spillway_service::backoff::Backoff;
use spillway_service::keys;
use spillway_service::port::{
    Cause, Conversations, Read, StoreError, StoredConversation, TurnedOver, Turnover,
};

use super::item::{Item, Reader, json, n};
use super::sends::{EntryWrite, put_new};
use super::table::{Ask, Cancelled, Table, cancelled, key};
use crate::failure::{incomplete, unavailable};
use crate::schema::EXPIRES_AT;

/// Conversations in the `state` table, and the sends that follow in the `sends` table.
pub struct DynamoConversations {
    /// The `state` table.
    pub state: Table,
    /// The `sends` table.
    pub sends: Table,
}

const LOAD: &str = "load a conversation";
const TURN_OVER: &str = "write a conversation";
const LIST: &str = "list conversations";
const DELETE: &str = "delete a conversation";

#[async_trait]
impl Conversations for DynamoConversations {
    async fn load(
        &self,
        account: &AccountId,
        person: &RecipientId,
        read: Read,
    ) -> Result<StoredConversation, StoreError> {
        let get = self.state.get(item_key(account, person));
        let item = get.consistent_read(read == Read::Consistent).ask(LOAD).await?;
        item.map_or_else(|| Ok(StoredConversation::default()), |item| stored(&item))
    }

    async fn turn_over(&self, turnover: Turnover<'_>) -> Result<TurnedOver, StoreError> {
        let Turnover { account, person, version, next, new, cause } = turnover;
        let mut writes = vec![self.put_state(account, person, version, next)?];
        if let Some((task, cause, note)) = cause {
            let write = match cause {
                Cause::End(outcome, guard) => EntryWrite::end(task, guard, outcome, note)?,
                Cause::Step(step) => EntryWrite::step(task, step, note)?,
            };
            writes.push(write.in_transaction(&self.sends, TURN_OVER)?);
        }
        let before_new = writes.len();
        for new in new {
            writes.push(put_new(&self.sends, new, TURN_OVER)?);
        }
        let mut backoff = Backoff::default();
        loop {
            let Some(reasons) = self.write(&writes).await? else { return Ok(TurnedOver::Done) };
            let is_refused = |at: usize| reasons.get(at) == Some(&Cancelled::Condition);
            if is_refused(0) {
                return Ok(TurnedOver::Conflict);
            }
            if before_new > 1 && is_refused(1) {
                return Ok(TurnedOver::MovedOn);
            }
            let before = writes.len();
            let mut at = 0;
            writes.retain(|_| {
                at += 1;
                at <= before_new || !is_refused(at - 1)
            });
            if writes.len() < before {
                continue;
            }
            // Somebody else is writing one of them.
            let Some(wait) = backoff.next(seed(&[account.as_str(), person.as_str()])) else {
                return Err(StoreError::unavailable(TURN_OVER, "others always were first"));
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn people(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError> {
        let query = self
            .state
            .partition(keys::talk(account))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .projection_expression("sk")
            .consistent_read(true);
        let page = query.send().await.map_err(|error| unavailable(LIST, error))?;
        let person = |item: &Item| Reader { item, what: LIST }.text("sk").map(RecipientId::new);
        page.items().iter().map(person).collect()
    }

    async fn page(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<(RecipientId, State)>, StoreError> {
        let query = self
            .state
            .partition(keys::talk(account))
            .set_exclusive_start_key(after.map(|person| item_key(account, person)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true);
        let page = query.send().await.map_err(|error| unavailable(LIST, error))?;
        let of_person = |item: &Item| {
            let person = RecipientId::new(Reader { item, what: LIST }.text("sk")?);
            Ok((person, stored(item)?.state))
        };
        page.items().iter().map(of_person).collect()
    }

    async fn delete(&self, account: &AccountId, person: &RecipientId) -> Result<(), StoreError> {
        self.state.delete(item_key(account, person)).ask(DELETE).await.map(drop)
    }
}

impl DynamoConversations {
    /// Writes all or none, and then says why. The SDK's token makes a repeat of it the same
    /// transaction.
    async fn write(
        &self,
        writes: &[TransactWriteItem],
    ) -> Result<Option<Vec<Cancelled>>, StoreError> {
        let answer = self
            .state
            .client
            .transact_write_items()
            .set_transact_items(Some(writes.to_vec()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let Err(error) = answer else { return Ok(None) };
        match cancelled(&error) {
            Some(reasons) => Ok(Some(reasons)),
            None => Err(unavailable(TURN_OVER, error)),
        }
    }

    fn put_state(
        &self,
        account: &AccountId,
        person: &RecipientId,
        version: u64,
        next: &State,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut item = item_key(account, person);
        item.extend([
            ("version".into(), n(version + 1)),
            ("state".into(), json(&StoredState::from(next))),
        ]);
        let expires_at = next.expires_at().map(|at| (EXPIRES_AT.into(), n(at.as_secs())));
        item.extend(expires_at);
        let put = Put::builder().table_name(&self.state.name).set_item(Some(item));
        let put = if version == 0 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :before")
                .expression_attribute_values(":before", n(version))
        };
        let put = put.build().map_err(|error| incomplete(TURN_OVER, error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

fn item_key(account: &AccountId, person: &RecipientId) -> Item {
    key(keys::talk(account), person.as_str())
}

fn stored(item: &Item) -> Result<StoredConversation, StoreError> {
    let reader = Reader { item, what: LOAD };
    let state: StoredState = reader.json("state")?;
    let state = State::try_from(state).map_err(|error| reader.corrupt(error))?;
    Ok(StoredConversation { state, version: reader.number("version")? })
}
