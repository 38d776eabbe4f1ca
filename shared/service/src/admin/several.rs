//! What is read of several accounts, where one that cannot be read hides none of the others.

use serde::Serialize;
use spillway_core::id::AccountId;

use super::AdminError;
use crate::port::StoreError;

/// What was read of several accounts.
#[derive(Clone, Debug)]
pub struct Several<T> {
    /// Of those that can be read.
    pub read: Vec<T>,
    /// The others.
    pub unreadable: Vec<Unreadable>,
}

/// An account of which something is stored that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The account.
    pub account: AccountId,
    /// What cannot be read, and why.
    pub why: String,
}

/// What to do about an account whose stored items cannot be read.
pub const UNREADABLE: &str = "if a later release has written it, deploy that one again; else remove the \
                          account with `spillway account remove`, and connect it again";

impl<T> Several<T> {
    /// Takes what came of reading accounts. Those that are not connected are left out.
    ///
    /// # Errors
    /// Fails if the store did not answer for one; names the account.
    pub(super) fn of(
        results: impl IntoIterator<Item = (AccountId, Result<Option<T>, StoreError>)>,
    ) -> Result<Self, AdminError> {
        let (mut read, mut unreadable) = (Vec::new(), Vec::new());
        for (account, result) in results {
            match result {
                Ok(found) => read.extend(found),
                Err(error @ StoreError::Corrupt { .. }) => {
                    unreadable.push(Unreadable { account, why: error.to_string() });
                }
                Err(error) => return Err(AdminError::Account(account, error)),
            }
        }
        Ok(Self { read, unreadable })
    }
}
