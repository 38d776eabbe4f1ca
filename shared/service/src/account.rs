//! Connected accounts.

use std::fmt;

use secrecy::SecretString;
use spillway_core::campaign::Campaigns;
use spillway_core::id::AccountId;
use spillway_core::rules::Rules;

/// An account whose comments Spillway answers.
pub struct Account {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// The limits it keeps.
    pub rules: Rules,
    /// What it answers to.
    pub campaigns: Campaigns,
    /// The token its calls are made with.
    pub token: SecretString,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("id", &self.id).finish_non_exhaustive()
    }
}
