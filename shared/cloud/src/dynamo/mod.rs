//! The stores on DynamoDB. Conditions decide every race; a failed one returns the item that
//! prevented it, so that nobody reads before a retry.
//!
//! `table` makes the requests, and `item` reads and writes attributes. `entry`, `outbox_batches`,
//! `ledger` and `tombstones` are parts of the sends; each other module is the ports that it is
//! named after.

mod accounts;
mod backlogs;
mod conversations;
mod deletions;
mod entry;
pub(crate) mod item;
mod journal;
mod leads;
mod ledger;
mod maintenance;
mod misses;
mod outbox_batches;
mod pacing;
mod removal;
mod sends;
pub(crate) mod table;
mod tokens;
mod tombstones;

pub use accounts::DynamoAccounts;
pub use backlogs::DynamoBacklogs;
pub use conversations::DynamoConversations;
pub use deletions::DynamoDeletions;
pub use journal::DynamoJournal;
pub use leads::DynamoLeads;
pub use maintenance::DynamoMaintenance;
pub use misses::DynamoMisses;
pub use pacing::{DynamoAppBudgets, DynamoBudgets, DynamoCursors, DynamoEchoWatches};
pub use removal::DynamoRemoval;
pub use sends::DynamoSends;
pub use table::Table;
pub use tokens::DynamoTokens;
