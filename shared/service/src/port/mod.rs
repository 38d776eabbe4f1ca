//! The ports: what the use cases need from the world, each trait the size of its callers.
//!
//! A read may lag where a condition decides, because an eventual read costs half. A decision
//! may begin with an old budget: the write on its version then fails, and a denial is checked
//! by a consistent read. That a send has ended at its outbox key never changes. A send that seems
//! parked gets a slot; if it has moved on, its message names an old epoch. All other reads are
//! consistent.

mod accounts;
mod budgets;
mod conversations;
mod echoes;
mod graph;
mod leads;
mod links;
mod misses;
mod removal;
mod sends;
mod upkeep;

pub use self::accounts::{AccountChanges, Accounts, CampaignChanges, KeptToken, NextToken, Tokens};
pub use self::budgets::{AppBudgets, Budgets, Cursors, Moved};
pub use self::conversations::{
    Cause, Conversations, NEW_SENDS_MAX, StoredConversation, TurnedOver, Turnover,
};
pub use self::echoes::EchoWatches;
pub use self::graph::{AccountGraph, CommentReader, Graph};
pub use self::leads::{Lead, LeadBus, LeadEvent, LeadOpener, LeadPage, LeadSealer, Leads};
pub use self::links::{Clicked, Clicks, Links, NoLinks};
pub use self::misses::{Misses, SampleOpener, SampleSealer, SealedText, StoredSample};
pub use self::removal::{Deletion, Deletions, Removal, UnmatchedRequest};
pub use self::sends::{
    BacklogMarker, Backlogs, Closed, DUE_AHEAD, EndGuard, Entry, Lookup, MARK_KEPT, NewSend,
    Person, Queued, Recorded, ReleaseQueue, SendQueue, Sends,
};
pub use self::upkeep::{
    Aliases, Journal, LastSeen, MaintenanceRecord, MaintenanceRecords, MaintenanceSchedule,
    UpkeepRequest, UpkeepRequests,
};
pub use crate::store_error::{Failure, FailureKind, StoreError};

/// The outcome of a write on a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved<T> {
    /// Written; or found to have been written already, by its grant id.
    Done,
    /// Somebody else wrote in between: this is what is stored now.
    Conflict(T),
}

/// How a read sees what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Consistent,
    /// As it is stored now, or was a moment ago: an eventually consistent read, at half the read
    /// units.
    Eventual,
}
