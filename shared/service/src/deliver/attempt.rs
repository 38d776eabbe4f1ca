//! One granted send: claimed, attempted, and what came of it recorded.

use spillway_core::budget::{Denial, DenialReason};
use spillway_core::campaign::Campaign;
use spillway_core::content::Draft;
use spillway_core::id::{CommentId, RecipientId};
use spillway_core::quota::Action;
use spillway_core::send::{Address, CancelReason, FailReason, Outcome, PendingSend, Step};
use spillway_core::stamp::Stamp;
use spillway_core::time::Timestamp;
use spillway_meta::graph::{Answered, CallError, Sent};
use tracing::{error, info, warn};

use super::resolution::Resolution;
use super::text::fill;
use super::{Deliver, Fate, QUEUE_DELAY_MAX, RECORDING_TIME, UNREACHABLE_WAIT, lease_until};
use crate::account::Account;
use crate::gateway::consequence::Retry;
use crate::gateway::{NoAnswer, Ruled, Ruling};
use crate::limiter::{CONTENDED_WAIT, Reservation};
use crate::links::{LinkOwner, MessageLinks};
use crate::port::StoreError;
use crate::send_task::SendTask;

/// A send that this invocation has claimed, and the task that its next step needs.
pub(super) struct Claimed {
    pub(super) task: SendTask,
    pub(super) send: PendingSend,
    /// Which of the campaign's texts it gets.
    pub(super) variant: usize,
    /// When its call began.
    pub(super) called_at: Timestamp,
    /// Whether its message begins with the account's disclosure.
    pub(super) discloses: bool,
}

/// Why a claimed send was not sent.
pub(super) enum NotSent {
    /// Something speaks against the call, so that it was not made.
    Uncalled(Resolution),
    /// The unit was used to ask who wrote the comment.
    Asked(Resolution),
    /// The call has failed.
    Failed(CallError),
}

impl From<Resolution> for NotSent {
    fn from(resolution: Resolution) -> Self {
        Self::Uncalled(resolution)
    }
}

/// What was recorded of one granted send.
pub(super) struct Recorded {
    pub(super) fate: Fate,
    /// 1 when its unit was not used.
    pub(super) unused: u32,
}

/// Whom a call names.
enum Addressee<'a> {
    /// The author of this comment, by a private reply.
    Author(&'a CommentId),
    /// A person, by a message.
    Person(&'a RecipientId),
    /// Everybody who reads this comment, by a public reply.
    Thread(&'a CommentId),
}

impl Deliver {
    /// Claims a send, attempts it, and records what becomes of it.
    pub(super) async fn send_one(
        &self,
        account: &Account,
        reservation: &Reservation,
        task: &SendTask,
        variant: usize,
        deadline: Timestamp,
    ) -> Recorded {
        let mut claimed = match self.claim(task, variant, deadline).await {
            Ok(claimed) => claimed,
            Err(fate) => return Recorded { fate, unused: 1 },
        };
        let called = self.attempt(account, reservation, &mut claimed, deadline).await;
        let Claimed { send, variant, .. } = &claimed;
        let unused = match called {
            Err(NotSent::Uncalled(resolution)) => {
                self.note_undisclosed(account, &claimed, &resolution).await;
                self.apply(account, &claimed, resolution, None).await;
                1
            }
            Err(NotSent::Asked(resolution)) => {
                self.apply(account, &claimed, resolution, None).await;
                0
            }
            // Recorded at once, so that a crash leaves no doubt about it.
            Ok(Answered { value, usage, .. }) => {
                info!(send = %send.id, attempt = send.attempt, "sent");
                self.apply(account, &claimed, Resolution::sent(value, *variant), None).await;
                let held_until = self.gateway.sent(account, reservation, send, &usage).await;
                self.close_cursor(&account.id, held_until).await;
                0
            }
            Err(NotSent::Failed(failed)) => {
                let verdict = failed.verdict();
                warn!(send = %send.id, attempt = send.attempt, error = %failed, %verdict, "not sent");
                let Ruled { ruling, held_until } =
                    self.gateway.not_sent(account, reservation, send, &failed).await;
                self.close_cursor(&account.id, held_until).await;
                let resolution = Resolution::failed(ruling, send);
                if let Resolution::Finish(Outcome::Sent { .. }) = resolution {
                    info!(send = %send.id, "sent: an earlier attempt had arrived");
                }
                self.note_undisclosed(account, &claimed, &resolution).await;
                let error = failed.meta_error();
                self.apply(account, &claimed, resolution, error.as_ref()).await;
                u32::from(ruling == Ruling::Untried)
            }
        };
        Recorded { fate: Fate::Done, unused }
    }

    /// Takes the send for this invocation.
    async fn claim(
        &self,
        task: &SendTask,
        variant: usize,
        deadline: Timestamp,
    ) -> Result<Claimed, Fate> {
        let claim = Step::Claim { lease_until: lease_until(deadline) };
        let called_at = self.clock.now();
        match self.sends.step(task, claim, called_at.into()).await {
            Ok(Some(send)) => {
                let task = task.renewed(&send);
                Ok(Claimed { task, send, variant, called_at, discloses: false })
            }
            Ok(None) => {
                info!(send = %task.send, epoch = task.epoch, "not ours to send: moved on");
                Err(Fate::Done)
            }
            Err(error) => {
                // The claim may have been written: its lease tells.
                error!(send = %task.send, %error, "could not claim");
                Err(Fate::Again)
            }
        }
    }

    /// Calls Meta for a claimed send, unless something speaks against it: then the error says what
    /// becomes of the send, and its unit is unused.
    async fn attempt(
        &self,
        account: &Account,
        reservation: &Reservation,
        claimed: &mut Claimed,
        deadline: Timestamp,
    ) -> Result<Answered<Sent>, NotSent> {
        let campaign = self.campaign(account, &claimed.send).await?;
        self.check_wanted(account, &claimed.send).await?;
        self.check_author(account, &campaign, reservation, &claimed.send, deadline).await?;
        self.check_age(account, reservation, claimed, deadline).await?;
        let profile = self.know_person(account, &campaign, reservation, claimed, deadline).await?;
        let links = self.links(account, &campaign, &claimed.send).await.map_err(|error| {
            error!(send = %claimed.send.id, %error, "its links cannot be written: put off");
            Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT)
        })?;
        let Claimed { send, variant, .. } = &*claimed;
        if !send.may_be_called() {
            // An earlier version would have repeated it blindly.
            return Err(Resolution::Unknown.into());
        }
        if !self.has_time(deadline) {
            return Err(Resolution::Requeue(Retry::Untried, CONTENDED_WAIT).into());
        }
        let message = fill(&campaign, *variant, send, profile.as_ref(), links.as_ref());
        let Some(message) = message else {
            let reason = CancelReason::CampaignRemoved;
            return Err(Resolution::Finish(Outcome::Cancelled { reason }).into());
        };
        let message = self.disclosed(account, claimed, message).await?;
        claimed.called_at = self.clock.now();
        let Claimed { task, send, variant, .. } = &*claimed;
        let (addressee, variant) = (addressee(send)?, *variant);
        let timeout = (deadline - RECORDING_TIME).since(self.clock.now());
        let stamp = Stamp { key: send.id.key.clone(), variant: u8::try_from(variant).ok() };
        let stamp = stamp.encode();
        let call = async || match addressee {
            Addressee::Author(comment) => {
                self.graph.private_reply(account, comment, &message, &stamp, timeout).await
            }
            Addressee::Person(person) => {
                self.graph.message(account, person, &message, &stamp, timeout).await
            }
            Addressee::Thread(comment) => {
                self.graph.public_reply(account, comment, message.text(), timeout).await
            }
        };
        let called = self.gateway.call(account, reservation, Some(task), call).await;
        called.map_err(|no_answer| match no_answer {
            NoAnswer::Failed(failed) => NotSent::Failed(failed),
            NoAnswer::TooLate => {
                warn!(send = %send.id, "the grant ended before the call");
                Resolution::Requeue(Retry::Untried, CONTENDED_WAIT).into()
            }
            // Release would give it a slot that it cannot use.
            NoAnswer::Held(Denial { reason: DenialReason::RecipientHold, retry_at }) => {
                let wait = retry_at.since(self.clock.now()).min(QUEUE_DELAY_MAX);
                Resolution::Requeue(Retry::Untried, wait).into()
            }
            NoAnswer::Held(_) => Resolution::Park.into(),
        })
    }

    /// Returns what writes the links of a send's message. `None` if it has none to be tracked, the
    /// deployment tracks none, or it is not known whom it reaches: it has the addresses themselves.
    pub(super) async fn links(
        &self,
        account: &Account,
        campaign: &Campaign,
        send: &PendingSend,
    ) -> Result<Option<MessageLinks>, StoreError> {
        let drafts = campaign.drafts(send.content.step);
        let Some(person) = send.to.recipient() else { return Ok(None) };
        if send.class.is_public() || !drafts.iter().any(Draft::has_tracked_link) {
            return Ok(None);
        }
        let Some(linker) = self.links.linker().await? else { return Ok(None) };
        let (account, person) = (account.id.clone(), person.clone());
        let origin = send.origin();
        Ok(Some(MessageLinks { linker, owner: LinkOwner { account, person, origin } }))
    }

    /// Returns the campaign of a send, unless it is paused or removed. One that this process does
    /// not know may be newer than what it remembers of the account.
    async fn campaign(
        &self,
        account: &Account,
        send: &PendingSend,
    ) -> Result<Campaign, Resolution> {
        let id = &send.content.campaign;
        let campaign = match account.campaigns.get(id) {
            Some(known) => Ok(Some(known.clone())),
            None => self
                .account_cache
                .refresh(&account.id)
                .await
                .map(|current| current.and_then(|account| account.campaigns.get(id).cloned())),
        };
        match campaign {
            // It may have been paused since the batch was looked through.
            Ok(Some(_)) if account.campaigns.is_paused(id) => Err(Resolution::Park),
            Ok(Some(campaign)) => Ok(campaign),
            Ok(None) => {
                let reason = CancelReason::CampaignRemoved;
                Err(Resolution::Finish(Outcome::Cancelled { reason }))
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not read the campaign");
                Err(Resolution::Requeue(Retry::Untried, CONTENDED_WAIT))
            }
        }
    }
}

/// Returns whom the call of a send names. A send that would make another call than the one that its
/// unit was taken for is not made.
fn addressee(send: &PendingSend) -> Result<Addressee<'_>, Resolution> {
    match (&send.to, send.class.action) {
        (Address::Comment { id, .. }, Action::PrivateReply | Action::LiveReply) => {
            Ok(Addressee::Author(id))
        }
        (Address::Comment { id, .. }, Action::PublicReply) => Ok(Addressee::Thread(id)),
        (Address::Person(person), Action::Message) => Ok(Addressee::Person(person)),
        (_, action) => {
            error!(send = %send.id, ?action, "its action does not fit whom it is for");
            Err(Resolution::Finish(Outcome::Failed { reason: FailReason::BadRequest }))
        }
    }
}
