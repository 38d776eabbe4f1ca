//! Connected accounts.

use std::fmt;

use spillway_core::albums::Albums;
use spillway_core::budget::Revision;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::id::AccountId;
use spillway_core::rules::Rules;

use crate::conversation_settings::ConversationSettings;
use crate::tombstones::Tombstones;

/// An account whose comments Spillway answers.
pub struct Account {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// How many times it has been changed.
    pub revision: Revision,
    /// The limits it keeps.
    pub rules: Rules,
    /// Its campaigns.
    pub campaigns: Campaigns,
    /// What it sets for its conversations.
    pub conversations: ConversationSettings,
    /// The pictures of its albums that campaigns name.
    pub albums: Albums,
    /// The token of its calls, sealed.
    pub token: SealedToken,
    /// Tombstones of people who were forgotten: their comments are not answered.
    pub forgotten: Tombstones,
}

impl Account {
    /// Returns roughly the heap bytes that it takes: a campaign was measured to take six times its
    /// text.
    pub(crate) fn heap_bytes(&self) -> usize {
        const RULES: usize = 6 << 10;
        let text =
            |campaign: &Campaign| serde_json::to_string(campaign).map_or(0, |text| text.len());
        let conversations = self.conversations.heap_bytes();
        RULES
            + conversations
            + 6 * self.albums.bytes()
            + 6 * self.campaigns.iter().map(text).sum::<usize>()
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
    /// The number of the deployment's data key.
    pub key: u32,
    /// Nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
}
