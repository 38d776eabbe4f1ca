//! Between the use cases and their ports: how long the adapters, the SDK and the HTTP clients
//! behind them keep a core busy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spillway_cloud::wiring::Wiring;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::content::Message;
use spillway_core::conversation::State;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::once::Answers;
use spillway_core::pace::Cursor;
use spillway_core::send::{Outcome, PendingSend, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_local::busy::Busy;
use spillway_meta::graph::{Answered, CallError, CommentItem, Conversation, Page, Profile, Sent};
use spillway_service::account::Account;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Accounts, AppBudgets, BacklogMarker, Backlogs, Budgets, Closed, Conversations, Cursors,
    EndGuard, Entry, Graph, Lookup, Moved, NewSend, Queued, Read, Recorded, ReleaseQueue, Saved,
    SendQueue, Sends, StoreError, StoredConversation, TurnedOver, Turnover,
};
use spillway_service::send_task::SendTask;

/// Everything behind the ports, of all processes.
pub(super) static BEHIND: Busy = Busy::new();

/// The wiring with each port measured that a DM needs. What ingest notes of an account once in a
/// while counts as ours.
pub(super) fn measured(wiring: Wiring) -> Wiring {
    Wiring {
        accounts: Arc::new(Measured(wiring.accounts)),
        budgets: Arc::new(Measured(wiring.budgets)),
        app: Arc::new(Measured(wiring.app)),
        cursors: Arc::new(Measured(wiring.cursors)),
        sends: Arc::new(Measured(wiring.sends)),
        conversations: Arc::new(Measured(wiring.conversations)),
        backlogs: Arc::new(Measured(wiring.backlogs)),
        queue: Arc::new(Measured(wiring.queue)),
        runs: Arc::new(Measured(wiring.runs)),
        graph: Arc::new(Measured(wiring.graph)),
        ..wiring
    }
}

struct Measured<P: ?Sized>(Arc<P>);

/// Hands every method of a port on.
macro_rules! measured {
    ($port:ident: $(fn $name:ident($($given:ident: $of:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $port for Measured<dyn $port> {
            $(async fn $name(&self, $($given: $of),*) -> $answer {
                BEHIND.with(self.0.$name($($given),*)).await
            })*
        }
    };
}

type Stored<T> = Result<T, StoreError>;

measured! { Accounts:
    fn read(account: &AccountId, how: Read) -> Stored<Option<Account>>;
    fn revision(account: &AccountId) -> Stored<Option<Revision>>;
}

measured! { Budgets:
    fn read(account: &AccountId, how: Read) -> Stored<Budget>;
    fn save(account: &AccountId, next: &Budget) -> Stored<Saved<Budget>>;
    fn save_moved(account: &AccountId, next: &Budget, moved: &Moved<'_>) -> Stored<Saved<Budget>>;
    fn counted_at(account: &AccountId, person: &RecipientId) -> Stored<Option<Timestamp>>;
    fn note_counted(account: &AccountId, person: &RecipientId, at: Timestamp) -> Stored<()>;
}

measured! { AppBudgets:
    fn load() -> Stored<AppBudget>;
    fn save(next: &AppBudget) -> Stored<Saved<AppBudget>>;
}

measured! { Cursors:
    fn load(account: &AccountId) -> Stored<Cursor>;
    fn save(account: &AccountId, next: &Cursor) -> Stored<Saved<Cursor>>;
}

measured! { Sends:
    fn look_up(account: &AccountId, keys: &[OnceKey], people: &[RecipientId], read: Read) -> Stored<Lookup>;
    fn replace_answered(account: &AccountId, person: &RecipientId, before: Option<&Answers>, after: &Answers)
        -> Stored<bool>;
    fn put_stand_in(send: &SendId, stand_in: &StandIn, expires_at: Timestamp) -> Stored<()>;
    fn put_batches(batches: &[OutboxBatch]) -> Stored<()>;
    fn record(sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>>;
    fn step(task: &SendTask, step: Step, note: StepNote<'_>) -> Stored<Option<PendingSend>>;
    fn finish(task: &SendTask, outcome: &Outcome, note: StepNote<'_>) -> Stored<bool>;
    fn finish_followed(task: &SendTask, outcome: &Outcome, note: StepNote<'_>, guard: EndGuard, follower: &NewSend)
        -> Stored<bool>;
    fn close(send: &SendId, outcome: &Outcome, at: Timestamp) -> Stored<Closed>;
    fn unsent(sends: &[SendId]) -> Stored<Vec<SendId>>;
    fn sent_as(sends: &[SendId], message: &str) -> Stored<bool>;
    fn finish_unclaimed(task: &SendTask, outcome: &Outcome, at: Timestamp) -> Stored<bool>;
    fn entries(sends: &[SendId], read: Read) -> Stored<Vec<Entry>>;
    fn batches(account: &AccountId, after: Option<&OutboxKey>, limit: usize) -> Stored<Vec<OutboxBatch>>;
    fn rewrite(next: &OutboxBatch) -> Stored<bool>;
}

measured! { Conversations:
    fn load(account: &AccountId, person: &RecipientId, read: Read) -> Stored<StoredConversation>;
    fn turn_over(turnover: Turnover<'_>) -> Stored<TurnedOver>;
    fn page(account: &AccountId, after: Option<&RecipientId>, limit: usize)
        -> Stored<Vec<(RecipientId, State)>>;
    fn people(account: &AccountId, limit: usize) -> Stored<Vec<RecipientId>>;
    fn delete(account: &AccountId, person: &RecipientId) -> Stored<()>;
}

measured! { Backlogs:
    fn mark(account: &AccountId, now: Timestamp) -> Stored<()>;
    fn wake(account: &AccountId, now: Timestamp) -> Stored<()>;
    fn marked() -> Stored<Vec<(AccountId, Timestamp)>>;
    fn lease(account: &AccountId, now: Timestamp, until: Timestamp) -> Stored<Option<BacklogMarker>>;
    fn settle(account: &AccountId, mark: &BacklogMarker, due: Option<Timestamp>) -> Stored<()>;
}

measured! { SendQueue:
    fn enqueue(messages: &[Queued]) -> Vec<Stored<()>>;
    fn dead_letter(body: &str) -> Stored<()>;
}

measured! { ReleaseQueue:
    fn enqueue(accounts: &[AccountId]) -> Stored<()>;
}

measured! { Graph:
    fn prepare(account: &Account) -> Stored<()>;
    fn private_reply(account: &Account, comment: &CommentId, message: &Message, metadata: &str, timeout: Duration)
        -> Result<Answered<Sent>, CallError>;
    fn message(account: &Account, recipient: &RecipientId, message: &Message, metadata: &str, timeout: Duration)
        -> Result<Answered<Sent>, CallError>;
    fn conversation(account: &Account, person: &RecipientId, timeout: Duration)
        -> Result<Answered<Option<Conversation>>, CallError>;
    fn public_reply(account: &Account, comment: &CommentId, text: &str, timeout: Duration)
        -> Result<Answered<Sent>, CallError>;
    fn replies(account: &Account, comment: &CommentId, timeout: Duration)
        -> Result<Answered<Page<CommentItem>>, CallError>;
    fn comment_timestamp(account: &Account, comment: &CommentId, timeout: Duration)
        -> Result<Answered<Option<Timestamp>>, CallError>;
    fn comment_author(account: &Account, comment: &CommentId, timeout: Duration)
        -> Result<Answered<Option<RecipientId>>, CallError>;
    fn profile(account: &Account, person: &RecipientId, timeout: Duration) -> Result<Answered<Profile>, CallError>;
}
