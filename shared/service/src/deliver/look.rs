//! Looks for attempts whose outcome is unknown: each is one read of the conversation with its
//! person, or of the replies to its comment, charged to the account's budget.

use std::time::Duration;

use spillway_core::once::OncePer;
use spillway_core::send::{Address, FailReason, Outcome, PendingSend, Stage, Step};
use spillway_core::time::Timestamp;
use spillway_core::unknown::{
    ABSENT_FOR, Evidence, ListedMessage, Reading, Resolved, UnknownAttempt, is_same_text, resolve,
};
use spillway_meta::graph::{CommentItem, Conversation};
use tracing::{error, info, warn};

use super::conversation::can_be_missed;
use super::text::fill_all;
use super::{ANSWER_TIME, Deliver, Job};
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
        let Stage::Unknown(attempt) = send.stage else { return };
        let reading = if send.class.is_public() {
            self.read_replies(account, &send).await
        } else {
            self.read_conversation(account, &send, &attempt).await
        };
        info!(send = %send.id, shows = reading.name(), "looked for");
        let left = self.retry_unknown.left(send.repeats);
        let now = self.clock.now();
        let resolved = resolve(&attempt, Evidence::Read(reading), now, send.deadline, left);
        let task = task.renewed(&send);
        self.record_look(account, (&task, &send), attempt.tried_at, resolved).await;
    }

    /// Reads the conversation with the person of a DM.
    async fn read_conversation(
        &self,
        account: &Account,
        send: &PendingSend,
        attempt: &UnknownAttempt,
    ) -> Reading {
        let Some(person) = send.to.recipient() else { return Reading::Nothing };
        let read = self
            .gateway
            .read(account, LOOK_TIME, IfDead::Hold, Ends::AppHold, async |timeout| {
                self.graph.conversation(account, person, timeout).await
            })
            .await;
        match read {
            Ok(Some(conversation)) => self.reading(account, send, attempt, &conversation).await,
            Ok(None) => Reading::Nothing,
            Err(no_answer) => {
                warn!(send = %send.id, reason = no_answer.reason(), "the conversation was not read");
                Reading::Nothing
            }
        }
    }

    /// Reads the replies to the comment of a public reply. One that the account itself has made is
    /// taken for it, whatever it says: there are never two of ours under one comment.
    async fn read_replies(&self, account: &Account, send: &PendingSend) -> Reading {
        let Address::Comment { id: comment, .. } = &send.to else { return Reading::Nothing };
        let read = self
            .gateway
            .read(account, LOOK_TIME, IfDead::Hold, Ends::AppHold, async |timeout| {
                self.graph.replies(account, comment, timeout).await
            })
            .await;
        match read {
            Ok(replies) => {
                let author = |reply: &CommentItem| reply.from.as_ref()?.id.clone();
                let texts = || {
                    let campaign = account.campaigns.get(&send.content.campaign);
                    campaign
                        .map(|campaign| fill_all(account, campaign, send, None))
                        .unwrap_or_default()
                };
                let is_own = |reply: &&CommentItem| match author(reply) {
                    Some(author) => author.as_str() == account.id.as_str(),
                    None => reply
                        .text
                        .as_ref()
                        .is_some_and(|said| texts().iter().any(|text| is_same_text(text, said))),
                };
                match replies.items.iter().find(is_own) {
                    Some(reply) => Reading::Found(reply.id.to_string()),
                    // It may be among those that are not listed.
                    None if replies.next.is_some() => Reading::Nothing,
                    None => Reading::Absent,
                }
            }
            Err(no_answer) => {
                warn!(send = %send.id, reason = no_answer.reason(), "the replies were not read");
                Reading::Nothing
            }
        }
    }

    /// What a conversation shows of an attempt, by the texts that its campaign may have sent.
    async fn reading(
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
        let links = match self.links(account, campaign, send).await {
            Ok(links) => links,
            Err(error) => {
                warn!(send = %send.id, %error, "not known which link it had");
                return Reading::Nothing;
            }
        };
        let texts = fill_all(account, campaign, send, links.as_ref());
        match Reading::of(attempt, &listed, conversation.is_whole, &texts) {
            // Their DM for another comment may have the same text.
            Reading::Found(_) if campaign.once(send.trigger()).per == OncePer::Comment => {
                Reading::Nothing
            }
            Reading::Absent if !can_be_missed(campaign, send) => Reading::Nothing,
            reading => reading,
        }
    }

    async fn record_look(
        &self,
        account: &Account,
        (task, send): (&SendTask, &PendingSend),
        tried_at: Timestamp,
        resolved: Resolved,
    ) {
        let now = self.clock.now();
        match resolved {
            Resolved::Sent(message) => {
                info!(send = %send.id, "sent: a read shows it");
                let recipient = send.to.recipient().filter(|_| !send.class.is_public()).cloned();
                let outcome = Outcome::Sent { recipient, message: Some(message), variant: None };
                self.finish(account, (task, send), (&outcome, tried_at), now.into()).await;
            }
            Resolved::Unknown => {
                let outcome = Outcome::Failed { reason: FailReason::Unknown };
                self.finish(account, (task, send), (&outcome, tried_at), now.into()).await;
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
