//! Looks for attempts whose outcome is unknown: each is one read of the conversation with its
//! person, charged to the account's budget.

use std::time::Duration;

use spillway_core::send::{FailReason, Outcome, PendingSend, Stage, Step};
use spillway_core::time::Timestamp;
use spillway_core::unknown::{
    ABSENT_FOR, Evidence, ListedMessage, Reading, Resolved, UnknownAttempt, resolve,
};
use spillway_meta::graph::Conversation;
use tracing::{error, info, warn};

use super::{ANSWER_TIME, Deliver, Job, fill_all};
use crate::account::Account;
use crate::gateway::read::{Ends, IfDead};
use crate::send_task::SendTask;

/// What Meta's answer to a look may take.
const LOOK_TIME: Duration = ANSWER_TIME;

impl Deliver {
    /// Looks for sends of one account, one after the other. Gives the ids of messages that the queue
    /// must bring again.
    pub(super) async fn look_for_all(&self, jobs: Vec<Job>, deadline: Timestamp) -> Vec<String> {
        let Some(first) = jobs.first() else { return Vec::new() };
        let id = first.task.send.account.clone();
        let account = match self.account_cache.find(&id).await {
            Ok(Some(account)) => account,
            // Release ends its sends.
            Ok(None) => return Vec::new(),
            Err(error) => {
                self.meter.store_failed(&error);
                error!(account = %id, %error, "could not read the account");
                return jobs.into_iter().map(|job| job.message_id).collect();
            }
        };
        if let Err(error) = self.graph.prepare(&account).await {
            warn!(account = %id, %error, "the account's token cannot be opened: not looked");
            return Vec::new();
        }
        for job in &jobs {
            // A later release run asks again for those that there is no time for.
            if !self.check.is_trusted() || !self.gateway.has_time(LOOK_TIME, deadline) {
                break;
            }
            self.look_for(&account, &job.task).await;
        }
        Vec::new()
    }

    /// Looks for one send. The first step keeps others from looking at the same time; if this
    /// process dies then, release asks for another look.
    async fn look_for(&self, account: &Account, task: &SendTask) {
        let now = self.clock.now();
        let begun = Step::Looked { look_at: now + ABSENT_FOR, absent_at: None };
        let send = match self.sends.step(task, begun, now.into()).await {
            Ok(Some(send)) => send,
            Ok(None) => return info!(send = %task.send, "not looked for: it has moved on"),
            Err(error) => return warn!(send = %task.send, %error, "not looked for"),
        };
        let (Stage::Unknown(attempt), Some(person)) = (send.stage, send.to.recipient()) else {
            return;
        };
        let read = self
            .gateway
            .read(account, LOOK_TIME, IfDead::Hold, Ends::AppHold, async |timeout| {
                self.graph.conversation(account, person, timeout).await
            })
            .await;
        let reading = match read {
            Ok(Some(conversation)) => self.reading(account, &send, &attempt, &conversation),
            Ok(None) => Reading::Nothing,
            Err(no_answer) => {
                warn!(send = %send.id, reason = no_answer.reason(), "the conversation was not read");
                Reading::Nothing
            }
        };
        info!(send = %send.id, shows = reading.name(), "looked for");
        let left = self.retry_unknown.left(send.repeats);
        let now = self.clock.now();
        let resolved = resolve(&attempt, Evidence::Read(reading), now, send.deadline, left);
        self.record_look(&task.renewed(&send), &send, resolved).await;
    }

    /// What a conversation shows of an attempt, by the texts that its campaign may have sent.
    fn reading(
        &self,
        account: &Account,
        send: &PendingSend,
        attempt: &UnknownAttempt,
        conversation: &Conversation,
    ) -> Reading {
        let Some(campaign) = account.campaigns.get(&send.content.campaign) else {
            return Reading::Nothing;
        };
        let listed: Vec<ListedMessage<'_>> = conversation
            .messages
            .iter()
            .map(|message| ListedMessage {
                id: &message.id,
                made_at: message.made_at,
                is_own: message.from.as_deref() == Some(account.id.as_str()),
                text: message.text.as_deref(),
            })
            .collect();
        Reading::of(attempt, &listed, conversation.is_whole, &fill_all(campaign, send))
    }

    async fn record_look(&self, task: &SendTask, send: &PendingSend, resolved: Resolved) {
        let now = self.clock.now();
        match resolved {
            Resolved::Sent(message) => {
                info!(send = %send.id, "sent: the conversation has it");
                let recipient = send.to.recipient().cloned();
                let outcome = Outcome::Sent { recipient, message: Some(message), variant: None };
                self.finish(task, &outcome, now.into()).await;
            }
            Resolved::Unknown => {
                let outcome = Outcome::Failed { reason: FailReason::Unknown };
                self.finish(task, &outcome, now.into()).await;
            }
            Resolved::RepeatOnce => {
                info!(send = %send.id, "it did not arrive: repeated");
                match self.sends.step(task, Step::Repeated(Stage::Parked), now.into()).await {
                    Ok(_) => self.wake(task).await,
                    Err(error) => warn!(send = %send.id, %error, "not repeated yet"),
                }
            }
            Resolved::AskAgainAt(UnknownAttempt { look_at, absent_at, .. }) => {
                let looked = Step::Looked { look_at, absent_at };
                if let Err(error) = self.sends.step(task, looked, now.into()).await {
                    warn!(send = %send.id, %error, "not noted what a look has shown");
                }
            }
        }
    }
}
