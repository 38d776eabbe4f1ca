//! Conversations.

use async_trait::async_trait;
use spillway_core::conversation::State;
use spillway_core::id::{AccountId, RecipientId};
use spillway_service::port::{
    Conversations, Read, StoreError, StoredConversation, TurnedOver, Turnover,
};

use super::{Ports, Requests, World};

#[async_trait]
impl<A: Requests> Conversations for Ports<A> {
    async fn load(
        &self,
        account: &AccountId,
        person: &RecipientId,
        read: Read,
    ) -> Result<StoredConversation, StoreError> {
        let load = |world: &mut A::World| {
            let as_of = world.read_as_of(read);
            world.tables().conversation(account, person, as_of)
        };
        self.0.request("load a conversation", load).await
    }

    async fn turn_over(&self, turnover: Turnover<'_>) -> Result<TurnedOver, StoreError> {
        let turn_over = |world: &mut A::World| {
            let now = world.now();
            world.tables().turn_over(&turnover, now)
        };
        self.0.request("write a conversation", turn_over).await
    }

    async fn people(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError> {
        let people = |world: &mut A::World| {
            world.tables().in_conversation(account).take(limit).cloned().collect()
        };
        self.0.request("list conversations", people).await
    }

    async fn page(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<(RecipientId, State)>, StoreError> {
        let page = |world: &mut A::World| world.tables().conversations_after(account, after, limit);
        self.0.request("list conversations", page).await
    }

    async fn delete(&self, account: &AccountId, person: &RecipientId) -> Result<(), StoreError> {
        let key = (account.clone(), person.clone());
        let delete = |world: &mut A::World| {
            world.tables().conversations.remove(&key);
        };
        self.0.request("delete a conversation", delete).await
    }
}
