//! Connecting an account: the one way by which it comes into a deployment, with a token at hand,
//! by a login, or into the local stack.

use std::time::Duration;

use futures::future::BoxFuture;
use spillway_core::albums::Albums;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::hold::NewToken;
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::rules::{Rules, Terms};
use spillway_core::upkeep::TokenLife;

use super::AdminError;
use super::accounts::AccountAdmin;
use super::campaigns::Planned;
use super::plan::{Unnamed, plan};
use super::removal::BEING_REMOVED;
use crate::account::{Account, SealedToken};
use crate::accounts_file::{Mistake, NewAccount, Reason};
use crate::conversation_settings::ConversationSettings;
use crate::gateway::Gateway;
use crate::new_limits::WarmUpSince;
use crate::port::{CampaignChanges, StoreError};
use crate::tombstones::Tombstones;

/// Whether an account that is new to the deployment has sent through software before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It has not: its warm-up begins.
    None,
    /// It has: the full limits apply at once.
    Established,
}

/// What connecting writes of an account, beside its token.
#[derive(Clone, Debug)]
pub struct NewSettings {
    /// The account.
    pub account: AccountId,
    /// Its limits; `None` leaves those of a connected account as they are.
    pub rules: Option<Rules>,
    /// Its settings for conversations; `None` leaves them as they are.
    pub conversations: Option<ConversationSettings>,
    /// Campaigns to add or to replace.
    pub campaigns: Vec<Campaign>,
    /// All campaigns that the account then has, in the order in which they are asked.
    pub order: Vec<CampaignId>,
}

impl From<&NewAccount> for NewSettings {
    /// Everything that a file says, and the defaults for the rest.
    fn from(account: &NewAccount) -> Self {
        Self {
            account: account.id.clone(),
            rules: Some(account.rules.clone()),
            conversations: set_by(account),
            campaigns: account.campaigns.clone(),
            order: account.campaigns.iter().map(|campaign| campaign.id.clone()).collect(),
        }
    }
}

/// Returns what a file sets for the conversations of a new account, if it sets anything.
fn set_by(account: &NewAccount) -> Option<ConversationSettings> {
    let default = ConversationSettings::default();
    Some(account.conversations.over(&default)).filter(|settings| *settings != default)
}

/// What connecting an account of a file does.
pub struct ConnectPlan {
    /// What is written.
    pub settings: NewSettings,
    /// The connected account, and what changes in it; `None` for one that is new.
    pub changes: Option<Planned>,
}

impl ConnectPlan {
    /// Returns the limits that the account then has.
    pub fn rules(&self) -> Option<&Rules> {
        let stored = self.changes.as_ref().map(|planned| &planned.account.rules);
        self.settings.rules.as_ref().or(stored)
    }
}

/// Why an account of a file cannot be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file says what the account cannot have.
    #[error("{0}")]
    Refused(Mistake),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An account to connect, with a new token.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The account, its limits and its campaigns.
    pub settings: &'a NewSettings,
    /// Its token, sealed for it.
    pub token: &'a SealedToken,
    /// How long the token is valid from now on, if Meta has said so.
    pub lasts: Option<Duration>,
    /// Whether a call with the token went through.
    pub proof: NewToken,
    /// The id that the app alone has for the account, if it is known.
    pub app_scoped: Option<&'a str>,
}

impl AccountAdmin {
    /// Plans the connection of an account of a file. What the file does not name stays as it is in
    /// a connected account, and is the default in a new one, whose warm-up begins unless it has a
    /// history or the file says since when.
    ///
    /// # Errors
    /// Fails if the account cannot have what the file says, or the store does not answer.
    pub fn plan_connection<'a>(
        &'a self,
        wanted: &'a NewAccount,
        history: History,
    ) -> BoxFuture<'a, Result<ConnectPlan, ConnectError>> {
        Box::pin(async move {
            let (line, now) = (wanted.line, self.clock.now());
            let refused = |reason| ConnectError::Refused(Mistake { line, reason });
            let (account, campaigns) = (wanted.id.clone(), wanted.campaigns.clone());
            if let Some(stored) = self.accounts.load(&wanted.id).await? {
                let plan = plan(&stored, wanted, Unnamed::Stay, now).map_err(refused)?;
                let (rules, order) = (plan.rules.clone(), plan.order.clone());
                let conversations = plan.conversations.clone();
                let settings = NewSettings { account, rules, conversations, campaigns, order };
                let changes = Some(Planned { account: stored, line, plan });
                return Ok(ConnectPlan { settings, changes });
            }
            let mut limits = wanted.given.clone();
            let can_warm_up = wanted.rules.profile().warm_up.is_some();
            if history == History::None && can_warm_up && limits.terms.warm_up_since.is_none() {
                limits.terms.warm_up_since = Some(WarmUpSince::At(now));
            }
            let profile = wanted.rules.profile().clone();
            let rules = Rules::new(profile, Terms::default())
                .map_err(Into::into)
                .and_then(|defaults| limits.applied_to(&defaults, now))
                .map_err(|error| refused(Reason::Limits(account.clone(), error)))?;
            let order = campaigns.iter().map(|campaign| campaign.id.clone()).collect();
            let (rules, conversations) = (Some(rules), set_by(wanted));
            let settings = NewSettings { account, rules, conversations, campaigns, order };
            Ok(ConnectPlan { settings, changes: None })
        })
    }

    /// Returns the account as the calls with its new token are charged before it is stored.
    ///
    /// Where the account is on hold for its dead token or a missing permission, one of these calls
    /// may be made now, as the hold's probe. The stop that a removal has left is ended.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off.
    pub fn payer<'a>(
        &'a self,
        gateway: &'a Gateway,
        plan: &'a ConnectPlan,
    ) -> BoxFuture<'a, Result<Account, StoreError>> {
        Box::pin(async move {
            let id = &plan.settings.account;
            let stored = plan.changes.as_ref().map(|planned| &planned.account);
            let budget = self.budgets.load(id).await?;
            let stop = budget.holds.by_hand.and_then(|stop| stop.reason);
            if stored.is_none() && stop.as_deref() == Some(BEING_REMOVED) {
                gateway.limiter.resume_stop(id).await?;
            }
            gateway.limiter.renew_token(id, NewToken::Untried).await?;
            let rules = stored.map(|account| &account.rules).or(plan.settings.rules.as_ref());
            Ok(Account {
                id: id.clone(),
                revision: stored.map_or(budget.revision, |account| account.revision),
                rules: rules.cloned().unwrap_or_else(Rules::careful),
                campaigns: Campaigns::default(),
                conversations: ConversationSettings::default(),
                albums: Albums::default(),
                token: SealedToken { key: 0, sealed: Vec::new() },
                forgotten: Tombstones::default(),
            })
        })
    }

    /// Connects an account, or replaces a connected one's token and, where they are given, its
    /// limits; its campaigns are added or replaced.
    ///
    /// Every step is safe to be the last one; a repeat finishes the rest. The order is this:
    ///
    /// 1. A deletion that the owner has asked for is finished, and what waits is cancelled. Upkeep
    ///    would else delete what is connected now, and the new connection send what waited.
    /// 2. The account is written: it answers comments, and has its token. Campaigns that the file
    ///    does not name get their places behind those of the file. Settings for conversations follow.
    /// 3. The token's life. Without it upkeep counts the life from its first visit.
    /// 4. A hold of the old token ends, and so does the stop that a removal has left. Both come
    ///    after the token that calls are then made with.
    /// 5. Release is woken for what waits.
    /// 6. Upkeep enrolls the account. Before it was written, upkeep would take it off its list.
    /// 7. The app-scoped id, which is found through upkeep's list. Requests for deletion that came
    ///    before are about what was connected before.
    /// 8. The journal tells what is done.
    ///
    /// # Errors
    /// Fails if no limits are given and the account is not connected, a call for an account that is
    /// being deleted is under way, the store does not answer, or this machine's clock is off.
    pub fn connect<'a>(
        &'a self,
        connection: &'a Connection<'a>,
    ) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            let Connection { settings, token, lasts, proof, app_scoped } = *connection;
            let NewSettings { account: id, conversations, campaigns, order, .. } = settings;
            let now = self.clock.now();
            let rules = match &settings.rules {
                Some(rules) => rules.clone(),
                // Read again: they may have been changed since the connection was planned.
                None => self.connected(id).await?.rules,
            };
            self.finish_deletion(id).await?;
            self.changes.connect(id, &rules, token, campaigns).await?;
            self.await_next_posts(id, campaigns).await?;
            if let Some(settings) = conversations {
                self.write_conversations(id, settings).await?;
            }
            if order.len() > campaigns.len() {
                let order = CampaignChanges { order, ..CampaignChanges::default() };
                self.changes.change_campaigns(id, &order).await?;
            }
            let ends_at = lasts.map(|lasts| now + lasts);
            let life = TokenLife { obtained_at: Some(now), ends_at };
            self.tokens.note_life(id, token, life).await?;
            self.limiter.renew_token(id, proof).await?;
            let stop = self.budgets.load(id).await?.holds.by_hand;
            if stop.and_then(|stop| stop.reason).as_deref() == Some(BEING_REMOVED) {
                self.limiter.resume_stop(id).await?;
            }
            self.backlogs.wake(id, now).await?;
            self.maintenance.enroll(id, now).await?;
            if let Some(app_scoped) = app_scoped {
                self.remover().name(id, app_scoped, life).await?;
            }
            let what = Event::Connected { token_ends: ends_at };
            let entry = JournalEntry { at: now, account: id.clone(), what };
            Ok(self.journal.append(&entry).await?)
        })
    }

    /// Finishes the deletion that the account's owner has asked for, if there is one.
    async fn finish_deletion(&self, id: &AccountId) -> Result<(), AdminError> {
        let remover = self.remover();
        if !remover.begin_deletion(id).await? {
            return Ok(());
        }
        if self.sends.cancel_removed(id).await?.left > 0 {
            return Err(AdminError::BeingDeleted(id.clone()));
        }
        Ok(remover.close(id).await?)
    }
}
