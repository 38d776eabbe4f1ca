//! What is kept of conversations, one item for each account and person.

use async_trait::async_trait;
use spillway_core::conversation::State;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::send::{Outcome, Step};

use super::{EndGuard, NewSend, Read, StoreError};
use crate::send_task::SendTask;

/// The most sends that one [`Turnover`] records. DynamoDB writes up to 100 items at once.
pub const NEW_SENDS_MAX: usize = 90;

/// A person's conversations as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredConversation {
    /// What is kept of them.
    pub state: State,
    /// Its version: 0 where nothing is stored.
    pub version: u64,
}

/// What follows from one event, written together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Turnover<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The person.
    pub person: &'a RecipientId,
    /// The version of the state that it was decided on.
    pub version: u64,
    /// The next state.
    pub next: &'a State,
    /// The sends that follow; at most [`NEW_SENDS_MAX`]. A batch lists each of them before. One
    /// that has an entry already is left out.
    pub new: &'a [NewSend],
    /// The send that has brought this about.
    pub cause: Option<(&'a SendTask, Cause<'a>, StepNote<'a>)>,
}

/// What becomes of the send that has brought a [`Turnover`] about.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// It ends.
    End(&'a Outcome, EndGuard),
    /// It takes a step at its task's epoch.
    Step(Step),
}

/// What became of a [`Turnover`]. Whatever is not written may be decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedOver {
    /// It is written.
    Done,
    /// Nothing is: the state is not the one that it was decided on.
    Conflict,
    /// Nothing is: its send has moved on, or ended.
    MovedOn,
}

/// The conversations of accounts.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// Returns what is kept of a person; the default where nothing is.
    async fn load(
        &self,
        account: &AccountId,
        person: &RecipientId,
        read: Read,
    ) -> Result<StoredConversation, StoreError>;

    /// Writes what follows from an event, if the stored version is the one that it was decided on.
    async fn turn_over(&self, turnover: Turnover<'_>) -> Result<TurnedOver, StoreError>;

    /// Returns up to `limit` people of an account of whom something is kept, in the order of their ids
    /// (consistently read). There is one if there is any.
    async fn people(
        &self,
        account: &AccountId,
        limit: usize,
    ) -> Result<Vec<RecipientId>, StoreError>;

    /// Returns what is kept of up to `limit` people of an account, in the order of their ids, after
    /// this one (consistently read). It is empty only at the end.
    async fn page(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<(RecipientId, State)>, StoreError>;

    /// Deletes what is kept of a person.
    async fn delete(&self, account: &AccountId, person: &RecipientId) -> Result<(), StoreError>;
}
