//! The Graph API: a call, its way to Meta and back.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::id::{AccountId, CommentId};
use spillway_meta::graph::{CONNECT_TIMEOUT, CallError, Sent};
use spillway_service::account::Account;
use spillway_service::port::Graph;

use crate::host::{Host, OnItsWay};
use crate::meta::{Answer, Fault, Passage, millis};

#[async_trait]
impl Graph for Host {
    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        _: &str,
        timeout: Duration,
    ) -> Result<Sent, CallError> {
        let caller = self.caller();
        let Passage { connect, there, back, fault } = self.shared.world().passage();
        let gives_up_at = self.shared.now() + millis(timeout);
        let left = |now: u64| gives_up_at.saturating_sub(now);
        let mut call = OnItsWay::new(&self.shared, |world| {
            let granted_at = world.sees_call(caller, &account.id, comment);
            let answer = world.private_reply(&account.id, comment, granted_at, fault);
            if answer.accepted {
                world.saw_accepted(caller, comment);
            }
            world.record.count("calls");
            let by = caller.invocation;
            world.event(format_args!("{by} calls for {comment}: {answer:?}"));
            answer
        });
        self.breathe().await;
        let Some(connect) = connect else {
            let wait = back.min(left(self.shared.now()));
            self.sleep(wait).await;
            return Err(match timeout > CONNECT_TIMEOUT {
                true => CallError::NotWritten,
                false => CallError::Unknown,
            });
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
        let Answer { says, accepted } = call.arrives();
        let wait = back.min(left(self.shared.now()));
        self.sleep(wait).await;
        let says = says.filter(|_| back == wait).unwrap_or(Err(CallError::Unknown));
        self.hear(&account.id, comment, accepted, &says);
        says
    }
}

impl Host {
    /// The caller hears what became of its call.
    fn hear(
        &self,
        account: &AccountId,
        comment: &CommentId,
        accepted: bool,
        says: &Result<Sent, CallError>,
    ) {
        let caller = self.caller();
        let mut world = self.shared.world();
        if accepted && says.is_err() {
            world.saw_unknown(comment);
        }
        if let Err(CallError::Refused { regain: Some(wait), .. }) = says {
            world.saw_asked(caller, account, *wait);
        }
    }
}
