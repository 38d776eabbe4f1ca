//! Conversations.

use async_trait::async_trait;
use spillway_core::conversation::State;
use spillway_core::id::{AccountId, RecipientId};
use spillway_service::keys;
use spillway_service::port::{
    Conversations, NewSend, Read, StoreError, StoredConversation, TurnedOver, Turnover,
};

use super::Ports;
use crate::scale::meter::Table;
use crate::scale::store::Store;
use crate::scale::units::{consistent, conversation_bytes, entry_bytes, read, transacted};

#[async_trait]
impl Conversations for Ports {
    async fn load(
        &self,
        account: &AccountId,
        person: &RecipientId,
        how: Read,
    ) -> Result<StoredConversation, StoreError> {
        let kept = self.shared.store().tables.conversation(account, person, u64::MAX);
        let cost = read(how, conversation_bytes(account, person, &kept));
        Ok(self.state(&keys::talk(account), cost, |_| kept).await)
    }

    async fn turn_over(&self, turnover: Turnover<'_>) -> Result<TurnedOver, StoreError> {
        let Turnover { account, person, version, next, new, cause } = turnover;
        let kept = StoredConversation { state: next.clone(), version };
        let cost = transacted(conversation_bytes(account, person, &kept));
        if let Some((task, ..)) = cause {
            let cost = transacted(1);
            self.item(Table::Sends, &keys::entry(&task.send), cost, |_| ());
        }
        for NewSend { outbox_key, send, .. } in new {
            let cost = transacted(entry_bytes(outbox_key, send));
            self.item(Table::Sends, &keys::entry(&send.id), cost, |_| ());
        }
        let written = |store: &mut Store| {
            let now = store.now;
            store.tables.turn_over(&turnover, now)
        };
        Ok(self.state(&keys::talk(account), cost, written).await)
    }

    async fn people(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError> {
        let list = |store: &mut Store| {
            store.tables.in_conversation(account).take(limit).cloned().collect()
        };
        Ok(self.state(&keys::talk(account), consistent(1), list).await)
    }

    async fn page(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<(RecipientId, State)>, StoreError> {
        let page = |store: &mut Store| store.tables.conversations_after(account, after, limit);
        Ok(self.state(&keys::talk(account), consistent(1), page).await)
    }

    async fn delete(&self, account: &AccountId, person: &RecipientId) -> Result<(), StoreError> {
        let delete = |store: &mut Store| {
            store.tables.conversations.remove(&(account.clone(), person.clone()));
        };
        self.state(&keys::talk(account), transacted(1), delete).await;
        Ok(())
    }
}
