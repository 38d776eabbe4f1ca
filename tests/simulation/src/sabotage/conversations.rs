//! Conversations of which something is forgotten between two reads.

use async_trait::async_trait;
use serde_json::Value;
use spillway_core::conversation::{State, StoredState};
use spillway_core::id::{AccountId, RecipientId};
use spillway_service::port::{
    Conversations, Read, StoreError, StoredConversation, TurnedOver, Turnover,
};

use super::{Sabotage, Sabotaged};

/// Longer than any window lasts, in milliseconds.
const THREE_DAYS: u64 = 3 * 24 * 3_600_000;

impl Sabotage {
    /// What is read instead of `state`.
    fn forgets(self, state: &State) -> Option<State> {
        let mut stored = serde_json::to_value(StoredState::from(state)).ok()?;
        match self {
            Self::Stops => drop(stored.as_object_mut()?.remove("stop")),
            Self::Takeovers => drop(stored.as_object_mut()?.remove("human")),
            Self::Disclosures => drop(stored.as_object_mut()?.remove("disclosed")),
            Self::OpenWindows => {
                let inbound = stored.get_mut("inbound")?;
                *inbound = Value::from(inbound.as_u64()? + THREE_DAYS);
            }
            // Whatever was sent, the conversation waits for the first answer.
            _ => {
                for run in stored.get_mut("runs")?.as_array_mut()? {
                    run["place"] = "answer".into();
                    run["since"] = run["begun"].clone();
                }
            }
        }
        State::try_from(serde_json::from_value::<StoredState>(stored).ok()?).ok()
    }
}

#[async_trait]
impl Conversations for Sabotaged {
    async fn load(
        &self,
        account: &AccountId,
        person: &RecipientId,
        read: Read,
    ) -> Result<StoredConversation, StoreError> {
        let kept = Conversations::load(&*self.host, account, person, read).await?;
        let state = self.by.forgets(&kept.state).unwrap_or_else(|| kept.state.clone());
        Ok(StoredConversation { state, ..kept })
    }

    async fn turn_over(&self, turnover: Turnover<'_>) -> Result<TurnedOver, StoreError> {
        self.host.turn_over(turnover).await
    }

    async fn people(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError> {
        self.host.people(account, limit).await
    }

    async fn page(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<(RecipientId, State)>, StoreError> {
        self.host.page(account, after, limit).await
    }

    async fn delete(&self, account: &AccountId, person: &RecipientId) -> Result<(), StoreError> {
        Conversations::delete(&*self.host, account, person).await
    }
}
