//! Connected accounts, their campaigns and tokens.

use super::{Read, StoreError};
use crate::account::{Account, SealedToken};
use crate::conversation_settings::ConversationSettings;
use async_trait::async_trait;
use spillway_core::albums::Albums;
use spillway_core::budget::Revision;
use spillway_core::campaign::{Campaign, NextPost, Running};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::rules::Rules;
use spillway_core::upkeep::TokenLife;

/// Connected accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The account, or `None` when it is not connected.
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError>;

    /// The same as it is stored now.
    async fn load(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        self.read(account, Read::Consistent).await
    }

    /// How many times the account has been changed, as it stood some moments ago; `None` when it
    /// was not connected.
    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError>;
}

/// Changes to connected accounts. Each raises the account's revision, so that no process decides by
/// what it remembers of an earlier one.
#[async_trait]
pub trait AccountChanges: Send + Sync {
    /// Connects an account, or replaces the limits and the token of a connected one. Its campaigns
    /// are added or replaced, and have their places in this order; one that is paused stays paused.
    /// They are written before the account, so that no comment finds an account without them.
    /// Repeating it is safe.
    async fn connect(
        &self,
        account: &AccountId,
        rules: &Rules,
        token: &SealedToken,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError>;

    /// Changes the limits of a connected account. Returns `false` if it is not connected.
    async fn set_rules(&self, account: &AccountId, rules: &Rules) -> Result<bool, StoreError>;

    /// Changes the campaigns of an account. Returns `false` if it is not connected. A campaign and
    /// the account's revision change together. After an error some may be changed; repeating it is
    /// safe.
    async fn change_campaigns(
        &self,
        account: &AccountId,
        changes: &CampaignChanges<'_>,
    ) -> Result<bool, StoreError>;

    /// Pauses or resumes a campaign. Returns `false` if the account has no such campaign.
    async fn set_running(
        &self,
        account: &AccountId,
        campaign: &CampaignId,
        running: Running,
    ) -> Result<bool, StoreError>;

    /// Notes the post that a campaign for the next post is for. That one is awaited is noted only
    /// where nothing is. A campaign that is no more for the next post forgets it when it is put.
    /// Returns `false` if the account has no such campaign.
    async fn set_next_post(
        &self,
        account: &AccountId,
        campaign: &CampaignId,
        post: &NextPost,
    ) -> Result<bool, StoreError>;

    /// Changes what a connected account sets for its conversations, which stays when it is connected
    /// again. Returns `false` if it is not connected.
    async fn set_conversations(
        &self,
        account: &AccountId,
        settings: &ConversationSettings,
    ) -> Result<bool, StoreError>;

    /// Replaces what is known of the account's albums. Returns `false` if it is not connected.
    /// Connecting it again forgets them.
    async fn set_albums(&self, account: &AccountId, albums: &Albums) -> Result<bool, StoreError>;

    /// Makes the stored settings of an account known to all that decide by them, which every
    /// change does at its end. Without it they are known within
    /// [`REMEMBERED`](crate::account_cache::REMEMBERED). Does nothing if the account is not
    /// connected.
    async fn announce(&self, account: &AccountId) -> Result<(), StoreError>;
}

/// Changes of an account's campaigns.
#[derive(Clone, Copy, Debug, Default)]
pub struct CampaignChanges<'a> {
    /// To be added, or to replace those of the same id.
    pub put: &'a [Campaign],
    /// To be deleted. Their waiting sends are cancelled when their slots come.
    pub removed: &'a [CampaignId],
    /// The campaigns that there are then, in the order in which they are asked. If it is empty,
    /// each keeps its place, and new ones come last.
    pub order: &'a [CampaignId],
}

/// The tokens of accounts, and when they end.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Returns the token in use and the next one, if there is one. `None` if the account is not
    /// connected.
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError>;

    /// Stores when the token in use was obtained and when it ends.
    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError>;

    /// Stores the next token beside the one in use. Returns `false` if that has been replaced.
    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError>;

    /// Replaces the token in use by the next one, which has worked. Returns `false` if there is
    /// another next one by now.
    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError>;

    /// Deletes the next token, which does not work.
    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError>;
}

/// A stored token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken {
    /// The one in use.
    pub token: SealedToken,
    /// Its life.
    pub life: TokenLife,
    /// The one that is to replace it.
    pub next: Option<NextToken>,
}

/// A token that has not been used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextToken {
    /// The token.
    pub token: SealedToken,
    /// Its life.
    pub life: TokenLife,
}
