//! What Meta says of an account to whoever looks into it: reads like upkeep's own, charged like them.

use spillway_core::time::Timestamp;
use spillway_meta::graph::{Me, Subscription};

use super::Upkeeper;
use super::call::{Caller, IfDead, NoAnswer};
use crate::account::Account;
use crate::port::StoreError;

/// What Meta said of an account.
#[derive(Debug)]
pub struct Examined {
    /// Whom its token is for.
    pub me: Result<Me, NoAnswer>,
    /// Which webhooks it is subscribed to.
    pub subscription: Result<Subscription, NoAnswer>,
}

impl Upkeeper {
    /// Asks Meta who the account is and what it is subscribed to, with the token in use. Both calls are
    /// charged to the account's budget, and left out where there is no room; what their answers tell of
    /// limits holds for everybody, and a token that is refused stops the account, as on a visit.
    ///
    /// # Errors
    /// When the store does not answer, or the token cannot be opened.
    pub async fn examine(&self, account: &Account) -> Result<Examined, StoreError> {
        let (id, token) = (&account.id, &account.token);
        self.graph.prepare(id, token).await?;
        // Whoever looks has no invocation that ends.
        let caller =
            Caller { upkeeper: self, account, token: token.clone(), deadline: Timestamp::NEVER };
        let me = caller
            .call(IfDead::Hold, async |timeout| self.graph.me(id, token, timeout).await)
            .await?;
        let subscription = caller
            .call(IfDead::Hold, async |timeout| self.graph.subscription(id, token, timeout).await)
            .await?;
        Ok(Examined { me, subscription })
    }
}
