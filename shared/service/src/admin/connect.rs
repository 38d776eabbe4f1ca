//! Connecting an account: the one way by which it comes into a deployment, with a token at hand,
//! by a login, or into the local stack.

use std::time::Duration;

use futures::future::BoxFuture;
use spillway_core::hold::NewToken;
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::upkeep::TokenLife;

use super::accounts::AccountAdmin;
use super::removal::BEING_REMOVED;
use crate::account::SealedToken;
use crate::accounts_file::NewAccount;
use crate::port::StoreError;

/// An account to connect, with a new token.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The account, its limits and its campaigns.
    pub account: &'a NewAccount,
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
    /// Connects an account, or replaces a connected one's token and limits, and adds or replaces
    /// its campaigns.
    ///
    /// Every step is safe to be the last one; a repeat finishes the rest. The order is this:
    ///
    /// 1. A deletion that the owner has asked for is finished. Upkeep would else delete what is
    ///    connected now.
    /// 2. The account is written: it answers comments, and has its token.
    /// 3. The token's life. Without it upkeep counts the life from its first visit.
    /// 4. A hold of the old token ends, and so does the stop that a removal has left. Both come
    ///    after the token that calls are then made with.
    /// 5. Release is woken for what waits.
    /// 6. Upkeep enrolls the account. Before it was written, upkeep would take it off its list.
    /// 7. The app-scoped id, which is found through upkeep's list.
    /// 8. The journal tells what is done.
    ///
    /// # Errors
    /// When the store does not answer, or this machine's clock is off.
    pub fn connect<'a>(
        &'a self,
        connection: &'a Connection<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Connection { account, token, lasts, proof, app_scoped } = *connection;
            let (id, now) = (&account.id, self.clock.now());
            self.remover().finish_deletion(id).await?;
            self.changes.connect(id, &account.rules, token, &account.campaigns).await?;
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
                self.maintenance.alias(id, app_scoped).await?;
            }
            let what = Event::Connected { token_ends: ends_at };
            self.journal.append(&JournalEntry { at: now, account: id.clone(), what }).await
        })
    }
}
