//! Connected accounts.

use std::fmt;

use spillway_core::budget::Revision;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::id::AccountId;
use spillway_core::rules::Rules;

use crate::tombstones::Tombstones;

/// An account whose comments Spillway answers.
pub struct Account {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// How many times it has been changed.
    pub revision: Revision,
    /// The limits it keeps.
    pub rules: Rules,
    /// What it answers to.
    pub campaigns: Campaigns,
    /// The token its calls are made with. Only the sender can open it.
    pub token: SealedToken,
    /// Of whom nothing is answered any more.
    pub forgotten: Tombstones,
}

impl Account {
    /// About the heap that it takes in a process: as measured, a campaign takes six times its text.
    pub(crate) fn heap_bytes(&self) -> usize {
        const RULES: usize = 6 << 10;
        let text =
            |campaign: &Campaign| serde_json::to_string(campaign).map_or(0, |text| text.len());
        RULES + 6 * self.campaigns.iter().map(text).sum::<usize>()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An account's token as it is stored: encrypted, with the number of the data key that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedToken {
    /// Which data key of the deployment.
    pub key: u32,
    /// Nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
}
