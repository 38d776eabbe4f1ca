//! Conversations.

use async_trait::async_trait;
use spillway_core::conversation::State;
use spillway_core::id::{AccountId, RecipientId};
use spillway_service::port::{
    Cause, Conversations, EndGuard, Read, StoreError, StoredConversation, TurnedOver, Turnover,
};

use crate::host::Host;
use crate::watch::Caller;
use crate::world::World;
use spillway_memory::tables::Tables;

const LOAD: &str = "load a conversation";
const TURN_OVER: &str = "write a conversation";

#[async_trait]
impl Conversations for Host {
    async fn load(
        &self,
        account: &AccountId,
        person: &RecipientId,
        read: Read,
    ) -> Result<StoredConversation, StoreError> {
        let caller = self.caller();
        let loaded = self.store(LOAD, |world| {
            let as_of = world.read_as_of(read);
            world.tables.conversation(account, person, as_of)
        });
        let loaded = loaded.await;
        if loaded.is_err() {
            // An end that concerns the conversation may not be recorded.
            self.shared.world().saw_ends_lost(caller.invocation);
        }
        loaded
    }

    async fn turn_over(&self, turnover: Turnover<'_>) -> Result<TurnedOver, StoreError> {
        let caller = self.caller();
        // A transaction that is sent again is the same one.
        let mut written = None;
        let turned = self.store(TURN_OVER, |world| {
            let turned = written.unwrap_or_else(|| world.turn_over(caller, &turnover));
            if turned == TurnedOver::Done {
                written = Some(turned);
            }
            turned
        });
        let turned = turned.await;
        if let (Err(_), Some((task, cause, _))) = (&turned, turnover.cause) {
            let mut world = self.shared.world();
            if matches!(cause, Cause::End(..)) {
                world.saw_unknown(&task.send);
            }
            world.saw_step_lost(&task.send);
        }
        turned
    }

    async fn people(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError> {
        self.store(LOAD, |world| {
            world.tables.in_conversation(account).take(limit).cloned().collect()
        })
        .await
    }

    async fn page(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<(RecipientId, State)>, StoreError> {
        self.store(LOAD, |world| world.tables.conversations_after(account, after, limit)).await
    }

    async fn delete(&self, account: &AccountId, person: &RecipientId) -> Result<(), StoreError> {
        self.store(TURN_OVER, |world| {
            world.event(format_args!("{account}/{person} is forgotten"));
            world.tables.conversations.remove(&(account.clone(), person.clone()));
        })
        .await
    }
}

impl World {
    fn turn_over(&mut self, caller: Caller, turnover: &Turnover<'_>) -> TurnedOver {
        let turned = self.tables.may_turn_over(turnover);
        let Turnover { account, person, version, new, cause, .. } = *turnover;
        self.event(format_args!("{account}/{person} from version {version}: {turned:?}"));
        if turned != TurnedOver::Done {
            return turned;
        }
        match cause {
            Some((task, Cause::End(outcome, guard), _)) => {
                let (any_epoch, by) = (guard == EndGuard::AnyEpoch, caller.invocation);
                let end = if any_epoch { Tables::end } else { Tables::end_at_epoch };
                // An echo ends what somebody else has claimed.
                if any_epoch && self.watch.is_claimed_beside(by, &task.send) {
                    self.end_by_echo(caller, task, outcome, end);
                } else {
                    self.end(caller, task, outcome, end);
                }
            }
            Some((task, Cause::Step(step), _)) => {
                self.step(caller, task, step);
            }
            None => {}
        }
        self.tables.put_conversation(turnover, self.now);
        for new in new {
            self.put_entry(new);
        }
        turned
    }
}
