//! What Meta asks in the name of an account's owner: to delete everything, or to take note that the
//! app was removed.
//!
//! A request is only written down here, which takes no right that recording comments does not.
//! Upkeep, which may delete, acts on it.
//!
//! Meta names the account by an id that it has for this app alone. Upkeep learns that id by its
//! first call, or a login tells it. A request that comes before is kept for [`UNMATCHED_KEPT`], and
//! `match_requests` finds it once the id is known.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::TokenLife;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::port::{
    Accounts, Aliases, Deletions, StoreError, Tokens, UnmatchedRequest, UpkeepRequest,
    UpkeepRequests,
};

/// How long a request for deletion is kept whose account is not known.
pub const UNMATCHED_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The age from which a notice that the app was removed is ignored: the account may have been
/// connected again. Meta repeats what was not taken for a day and a half at most.
const NOTICE_KEPT: Duration = Duration::from_secs(36 * 3600);

/// A token that was obtained within this time after a request for deletion is still the one that
/// the request is about.
const NEW_LOGIN: Duration = Duration::from_secs(60);

/// A request about an account, made in its owner's name.
#[derive(Clone, Copy, Debug)]
pub struct OwnerRequest<'a> {
    /// The account's app-scoped id, or its own.
    pub user: &'a str,
    /// The instant when Meta made the request, if it says so.
    pub issued_at: Option<Timestamp>,
    /// The code by which the owner asks for the state of a deletion.
    pub code: &'a str,
}

/// Writes owners' requests down.
pub struct Owners {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// The app-scoped ids of accounts.
    pub aliases: Arc<dyn Aliases>,
    /// Their tokens: read, to see since when an account is connected.
    pub tokens: Arc<dyn Tokens>,
    /// Requests for deletion.
    pub deletions: Arc<dyn Deletions>,
    /// Takes requests to upkeep.
    pub upkeep: Arc<dyn UpkeepRequests>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Owners {
    /// Takes a request for deletion. Taking it again changes nothing.
    ///
    /// # Errors
    /// Fails if the store does not answer; Meta should ask again.
    pub fn delete<'a>(
        &'a self,
        request: &'a OwnerRequest<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (now, code) = (self.clock.now(), request.code);
            let known = self.deletions.status(code).await?;
            if known.is_some_and(|deletion| deletion.done_at.is_some()) {
                // Sent again. The account may have been connected anew since.
                return Ok(());
            }
            let mut account = self.account(request.user).await?;
            if account.is_none() {
                info!("a deletion is asked for under an id that no account is known by");
                let (code, kept_until) = (code.to_owned(), now + UNMATCHED_KEPT);
                let unmatched = UnmatchedRequest { code, issued_at: request.issued_at, kept_until };
                self.deletions.set_aside(request.user, &unmatched).await?;
                // Whoever learned of the id meanwhile has seen the request, or is seen here.
                account = self.aliases.named(request.user).await?;
            }
            let Some(account) = account else { return Ok(()) };
            if self.is_connected_since(&account, request.issued_at).await? {
                warn!(%account, "an old request for deletion: the account was connected after it");
                return self.deletions.voided(code, now).await;
            }
            warn!(%account, "its owner wants the account deleted");
            self.deletions.asked(code, request.issued_at, now).await?;
            let delete = UpkeepRequest::Delete { code: code.to_owned() };
            self.upkeep.ask(&account, &delete, now).await
        })
    }

    /// Takes note that the owner has removed the app.
    ///
    /// # Errors
    /// Fails if the store does not answer; Meta should tell again.
    pub fn deauthorize<'a>(
        &'a self,
        request: &'a OwnerRequest<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let now = self.clock.now();
            if request.issued_at.is_some_and(|issued| now.since(issued) > NOTICE_KEPT) {
                return Ok(());
            }
            let Some(account) = self.account(request.user).await? else { return Ok(()) };
            warn!(%account, "its owner has removed the app");
            self.upkeep.ask(&account, &UpkeepRequest::Deauthorize, now).await
        })
    }

    /// The account that a request is about.
    async fn account(&self, user: &str) -> Result<Option<AccountId>, StoreError> {
        let id = AccountId::new(user);
        if self.accounts.load(&id).await?.is_some() {
            return Ok(Some(id));
        }
        self.aliases.named(user).await
    }

    async fn is_connected_since(
        &self,
        account: &AccountId,
        issued_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let Some(kept) = self.tokens.load(account).await? else { return Ok(false) };
        Ok(is_new_login(kept.life, issued_at))
    }
}

/// Whether a token was obtained after a request for deletion was made: by a new login, since the
/// owner's removal of the app ends the old token. What there was before that is gone.
pub(crate) fn is_new_login(life: TokenLife, issued_at: Option<Timestamp>) -> bool {
    let (Some(issued_at), Some(obtained_at)) = (issued_at, life.obtained_at) else { return false };
    issued_at + NEW_LOGIN <= obtained_at
}

/// Acts on the requests for deletion that came before an account's app-scoped id was known. It is
/// called once the id is stored, with the life of the account's token. Calling it again is safe.
///
/// # Errors
/// Fails if the store does not answer.
pub(crate) async fn match_requests(
    deletions: &dyn Deletions,
    upkeep: &dyn UpkeepRequests,
    account: &AccountId,
    app_scoped: &str,
    life: TokenLife,
    now: Timestamp,
) -> Result<(), StoreError> {
    for UnmatchedRequest { code, issued_at, kept_until } in deletions.unmatched(app_scoped).await? {
        if is_new_login(life, issued_at) {
            deletions.voided(&code, now).await?;
        } else if now < kept_until {
            warn!(%account, "its owner has asked for deletion before the account's id was known");
            deletions.asked(&code, issued_at, now).await?;
            upkeep.ask(account, &UpkeepRequest::Delete { code: code.clone() }, now).await?;
        }
        deletions.matched(app_scoped, &code).await?;
    }
    Ok(())
}
