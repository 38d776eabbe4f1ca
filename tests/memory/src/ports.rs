//! The ports of a process over the tables.

mod conversations;
mod leads;
mod misses;
mod pacing;
mod upkeep;

use std::future::Future;
use std::sync::Arc;

use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::id::AccountId;
use spillway_core::journal::JournalEntry;
use spillway_core::pace::Cursor;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::Upkeep;
use spillway_service::port::{BacklogMarker, MaintenanceRecord, Read, StoreError, UpkeepRequest};

use crate::tables::{Settled, Tables};

/// How a process reaches the tables.
pub trait Requests: Send + Sync + 'static {
    /// What its requests act on.
    type World: World;

    /// Returns who makes requests here now.
    fn caller(&self) -> <Self::World as World>::Caller;

    /// Returns a number that names one request. No other request gets it.
    fn request_id(&self) -> u64;

    /// Makes a request with this effect. It may be made again, or fail though it had its effect.
    fn request<R: Send>(
        &self,
        what: &'static str,
        effect: impl FnMut(&mut Self::World) -> R + Send,
    ) -> impl Future<Output = Result<R, StoreError>> + Send;
}

/// The tables, and what a user keeps beside them.
pub trait World: Send + 'static {
    /// Who made a request.
    type Caller: Copy + Send + Sync;

    /// Returns the tables.
    fn tables(&mut self) -> &mut Tables;

    /// Returns the instant, in milliseconds since 1970.
    fn now(&self) -> u64;

    /// Returns the instant whose state a read sees, in milliseconds since 1970.
    fn read_as_of(&mut self, how: Read) -> u64;

    /// Returns an account's revision as it is now, or `None` if the account is not connected.
    fn revision(&self, account: &AccountId) -> Option<Revision>;

    /// Writes the revision of an account that was changed into its budget.
    fn announce(&mut self, account: &AccountId);

    /// Takes note of what a request did or, where a thing is removed, is about to do.
    fn saw(&mut self, by: Self::Caller, did: Did<'_>);
}

/// What a request does.
#[derive(Clone, Copy, Debug)]
pub enum Did<'a> {
    /// It writes an account's budget.
    Budget {
        /// The account.
        account: &'a AccountId,
        /// The budget before.
        before: &'a Budget,
        /// The budget after.
        next: &'a Budget,
    },
    /// It writes the app's budget.
    App {
        /// The budget before.
        before: &'a AppBudget,
        /// The budget after.
        next: &'a AppBudget,
    },
    /// It writes a cursor.
    Cursor {
        /// The account.
        account: &'a AccountId,
        /// The cursor before.
        before: &'a Cursor,
        /// The cursor after.
        next: &'a Cursor,
    },
    /// It marks an account.
    Marks(&'a AccountId),
    /// It marks an account that is to be looked at now.
    Wakes(&'a AccountId),
    /// It leases a marked account, or does not get it.
    Leases(&'a AccountId, Option<&'a BacklogMarker>),
    /// It settles a leased account, which is due again then.
    Settles(&'a AccountId, Option<Timestamp>, Settled),
    /// It ends the lease of an account that was marked meanwhile.
    EndsLease(&'a AccountId),
    /// It notes that a webhook told of an account.
    Hears(&'a AccountId, Timestamp),
    /// It takes an account for a visit of upkeep, or does not get it.
    Visits(&'a AccountId, Option<&'a MaintenanceRecord>),
    /// It writes what upkeep knows of an account.
    Notes(&'a AccountId, &'a Upkeep),
    /// It ends a visit, or finds that the account became due meanwhile.
    EndsVisit {
        /// The account.
        account: &'a AccountId,
        /// What upkeep knows of it.
        upkeep: &'a Upkeep,
        /// When it is due again.
        due: Timestamp,
        /// Whether the visit has ended.
        is_settled: bool,
    },
    /// It asks something of upkeep.
    Asks(&'a AccountId, &'a UpkeepRequest),
    /// It writes an account's other name.
    Names(&'a AccountId, &'a str),
    /// It takes an account off upkeep's list.
    StrikesOff(&'a AccountId),
    /// It stores the next token, if the account's token is still the one that it renews.
    KeepsNext(&'a AccountId, bool),
    /// It puts the next token in the place of the one in use, or finds another one there.
    Swaps(&'a AccountId, bool),
    /// It removes an account.
    Removes(&'a AccountId),
    /// It gives the budget and the cursor of an account an end.
    Expires(&'a AccountId),
    /// It notes that the deletion of this code is done.
    Deletes(&'a str),
    /// It writes into the journal.
    Tells(&'a JournalEntry),
}

/// A process's ports: what it asks of accounts' budgets, cursors and marks, and of upkeep's list,
/// tokens and journals.
pub struct Ports<A>(pub Arc<A>);

impl<A> Clone for Ports<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
