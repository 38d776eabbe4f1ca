//! The Graph API: a call, its way to Meta and back.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::content::Message;
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{
    Answered, CONNECT_TIMEOUT, CallError, CommentItem, Conversation, Page, Profile, Sent,
};
use spillway_service::account::{Account, SealedToken};
use spillway_service::port::{Graph, StoreError};

use crate::host::{Host, OnItsWay};
use crate::meta::{Answer, Ask, Effect, Fault, Passage, Told, millis};
use crate::scenario::Theme;

#[async_trait]
impl Graph for Host {
    async fn prepare(&self, _: &Account) -> Result<(), StoreError> {
        Ok(())
    }

    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let send = SendId { account: account.id.clone(), key: OnceKey::comment(comment) };
        self.shared.world().says(send, message, metadata);
        self.call(&account.id, &account.token, Ask::Reply(comment.clone()), timeout).await
    }

    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let text = message.text();
        let theme = self.shared.world().scenario.theme;
        let is_triggered = matches!(theme, Theme::Triggers | Theme::Talks);
        let stamped = is_triggered.then(|| Ask::stamped(recipient, metadata)).flatten();
        let ask = stamped.unwrap_or_else(|| Ask::message(recipient, text));
        if let Some(key) = ask.event() {
            let send = SendId { account: account.id.clone(), key };
            self.shared.world().says(send, message, metadata);
        }
        self.call(&account.id, &account.token, ask, timeout).await
    }

    async fn public_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        self.shared.world().says_in_public(comment, text);
        let ask = Ask::PublicReply(comment.clone());
        self.call(&account.id, &account.token, ask, timeout).await
    }

    async fn replies(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        let ask = Ask::Replies(comment.clone());
        let (Answered { usage, server_date, .. }, told) =
            self.ask(&account.id, &account.token, ask, timeout).await?;
        match told {
            Told::Comments(value) => Ok(Answered { value, usage, server_date }),
            _ => Err(CallError::Unknown),
        }
    }

    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError> {
        let Answered { usage, server_date, .. } =
            self.call(&account.id, &account.token, Ask::Age(comment.clone()), timeout).await?;
        let made_at = self.shared.world().meta.made_at(comment);
        let value = made_at.map(|made_at| Timestamp::from_secs(made_at / 1000));
        Ok(Answered { value, usage, server_date })
    }

    async fn comment_author(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<RecipientId>>, CallError> {
        let ask = Ask::Author(comment.clone());
        let Answered { usage, server_date, .. } =
            self.call(&account.id, &account.token, ask, timeout).await?;
        let value = self.shared.world().meta.named_author(comment);
        Ok(Answered { value, usage, server_date })
    }

    async fn conversation(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Option<Conversation>>, CallError> {
        let ask = Ask::Conversation(person.clone());
        let (Answered { usage, server_date, .. }, told) =
            self.ask(&account.id, &account.token, ask, timeout).await?;
        let value = match told {
            Told::Conversation(conversation) => conversation,
            _ => None,
        };
        Ok(Answered { value, usage, server_date })
    }

    async fn profile(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Profile>, CallError> {
        let ask = Ask::Profile(person.clone());
        let Answered { usage, server_date, .. } =
            self.call(&account.id, &account.token, ask, timeout).await?;
        let value = self.shared.world().profile(person);
        Ok(Answered { value, usage, server_date })
    }
}

impl Host {
    /// A call, as Meta's client makes it.
    pub(crate) async fn call(
        &self,
        account: &AccountId,
        token: &SealedToken,
        ask: Ask,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        self.ask(account, token, ask, timeout).await.map(|(sent, _)| sent)
    }

    /// The same, with what its answer tells beside.
    pub(crate) async fn ask(
        &self,
        account: &AccountId,
        token: &SealedToken,
        ask: Ask,
        timeout: Duration,
    ) -> Result<(Answered<Sent>, Told), CallError> {
        let caller = self.caller();
        let Passage { connect, there, back, fault } = self.shared.world().passage();
        let gives_up_at = self.shared.now() + millis(timeout);
        let left = |now: u64| gives_up_at.saturating_sub(now);
        let mut call = OnItsWay::new(&self.shared, |world| {
            let granted_at = world.sees_call(caller, account, &ask);
            let answer = world.answer(account, token, &ask, granted_at, fault);
            if answer.effect == Effect::Done {
                world.saw_accepted(caller, account, &ask);
            }
            world.record.count(ask.name());
            let by = caller.invocation;
            world.event(format_args!("{by} calls for {ask}: {answer:?}"));
            answer
        });
        self.breathe().await;
        self.shared.world().sees_attempt(caller, account, &ask, millis(timeout));
        let Some(connect) = connect else {
            let wait = back.min(left(self.shared.now()));
            self.sleep(wait).await;
            if timeout <= CONNECT_TIMEOUT {
                return Err(CallError::Unknown);
            }
            let says = Err(CallError::NotWritten);
            self.shared.world().heard(caller, account, &ask, Effect::Nothing, &says);
            return Err(CallError::NotWritten);
        };
        if connect + there >= left(self.shared.now()) {
            self.sleep(left(self.shared.now())).await;
            return Err(CallError::Unknown);
        }
        self.sleep(connect).await;
        if fault == Some(Fault::CallLost) {
            self.sleep(there).await;
            return Err(CallError::Unknown);
        }
        call.leaves();
        self.sleep(there).await;
        let Answer { says, effect, told } = call.arrives();
        drop(call);
        if let (Ask::Keep(_), Effect::Done) = (&ask, effect) {
            let mut world = self.shared.world();
            let rate = world.scenario.rates.killed_after_call;
            if world.strikes(rate) {
                self.doom();
            }
        }
        let wait = back.min(left(self.shared.now()));
        self.sleep(wait).await;
        let says = says.filter(|_| back == wait).unwrap_or(Err(CallError::Unknown));
        self.shared.world().heard(caller, account, &ask, effect, &says);
        says.map(|sent| (sent, told))
    }
}
