//! What a conversation asks of its sends: whether they are still wanted, whether the person follows
//! the account, and their name.

use std::time::Duration;

use spillway_core::campaign::Campaign;
use spillway_core::content::{Draft, Message};
use spillway_core::conversation::Unwanted;
use spillway_core::id::RecipientId;
use spillway_core::message::Template;
use spillway_core::seed::seed;
use spillway_core::send::{CampaignStep, CancelReason, Earlier, FailReason, Outcome, PendingSend};
use spillway_core::time::Timestamp;
use spillway_meta::graph::Profile;
use tracing::{error, info, warn};

use super::attempt::Claimed;
use super::resolution::Resolution;
use super::{ANSWER_TIME, Deliver, QUEUE_DELAY_MAX, RECORDING_TIME, UNREACHABLE_WAIT, lease_until};
use crate::account::Account;
use crate::converse::Chosen;
use crate::gateway::consequence::Retry;
use crate::gateway::read::NoAnswer;
use crate::limiter::{CONTENDED_WAIT, Reservation};

/// What Meta has at least for an answer that a gate decides by. With less, its silence would tell of
/// this process and not of the person.
const READ_TIME: Duration = Duration::from_secs(1);

impl Deliver {
    /// Checks that nothing speaks against the send that its person, or a human in the account's
    /// name, has done.
    pub(super) async fn check_wanted(
        &self,
        account: &Account,
        send: &PendingSend,
    ) -> Result<(), Resolution> {
        if send.class.is_public() {
            return Ok(());
        }
        let now = self.clock.now();
        let unwanted = match self.endings.converse.wants(&account.id, send, now).await {
            Ok(wanted) => wanted,
            Err(error) => {
                error!(send = %send.id, %error, "not known whether the person wants it");
                return Err(Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT));
            }
        };
        let Err(unwanted) = unwanted else { return Ok(()) };
        info!(send = %send.id, ?unwanted, "not wanted");
        let cancelled = |reason| Resolution::Finish(Outcome::Cancelled { reason });
        let resolution = match unwanted {
            Unwanted::Stopped => cancelled(CancelReason::Stopped),
            Unwanted::Overtaken => cancelled(CancelReason::Overtaken),
            Unwanted::WindowClosed => Resolution::Finish(Outcome::Expired),
            // What the conversation goes on with follows when the person acts again.
            Unwanted::TakenOver(_) if send.turn.is_some() => cancelled(CancelReason::TakenOver),
            Unwanted::TakenOver(until) => {
                Resolution::Requeue(Retry::Untried, until.since(now).min(QUEUE_DELAY_MAX))
            }
        };
        Err(match resolution {
            // An earlier attempt may have arrived after all: nobody knows that it was not sent.
            Resolution::Finish(_) if send.earlier == Earlier::Unknown => {
                Resolution::Finish(Outcome::Failed { reason: FailReason::Unknown })
            }
            resolution => resolution,
        })
    }

    /// Reads what is to be known of the person of a claimed send: at a gate whether they follow,
    /// which decides what is sent, and the names that its message has places for. The send's own unit is
    /// held meanwhile, so that the read and the message go together.
    pub(super) async fn know_person(
        &self,
        account: &Account,
        campaign: &Campaign,
        reservation: &Reservation,
        claimed: &mut Claimed,
        deadline: Timestamp,
    ) -> Result<Option<Profile>, Resolution> {
        let step = claimed.send.content.step;
        let Some(person) = claimed.send.to.recipient().filter(|_| step.is_later()).cloned() else {
            return Ok(None);
        };
        let time = self.time_to_read(reservation, deadline);
        if step != CampaignStep::Gate {
            if !tells_name(&campaign.drafts(step)) || time.is_zero() {
                return Ok(None);
            }
            // Without an answer the fallbacks do.
            return Ok(self.read_profile(account, &claimed.send, &person, time).await.ok());
        }
        if time < READ_TIME {
            return Err(Resolution::Requeue(Retry::Untried, CONTENDED_WAIT));
        }
        let profile = match self.read_profile(account, &claimed.send, &person, time).await {
            Ok(profile) => profile,
            // What goes wrong once does not tell of the person.
            Err(failed) if failed.is_of_the_call() && claimed.send.failures == 0 => {
                return Err(Resolution::Requeue(Retry::Failed, UNREACHABLE_WAIT));
            }
            Err(failed) if failed.is_of_the_call() => Profile::UNKNOWN,
            Err(NoAnswer::Failed(_)) => return Err(Resolution::Park),
            Err(NoAnswer::Denied(denial)) => {
                let wait = denial.retry_at.since(self.clock.now());
                let wait = wait.clamp(CONTENDED_WAIT, QUEUE_DELAY_MAX);
                return Err(Resolution::Requeue(Retry::Untried, wait));
            }
            Err(NoAnswer::NoTime | NoAnswer::Store(_)) => {
                return Err(Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT));
            }
        };
        self.choose(account, campaign, claimed, &profile, deadline).await?;
        Ok(Some(profile))
    }

    async fn choose(
        &self,
        account: &Account,
        campaign: &Campaign,
        claimed: &mut Claimed,
        profile: &Profile,
        deadline: Timestamp,
    ) -> Result<(), Resolution> {
        let Claimed { task, send, variant, .. } = claimed;
        let lease_until = lease_until(deadline);
        let chosen =
            self.endings.converse.choose(account, (task, send), profile.follows, lease_until);
        match chosen.await {
            Ok(Chosen::Message(next)) => {
                info!(send = %send.id, step = %next.content.step, "chosen");
                let parts = [send.id.key.as_str(), &next.content.step.to_string()];
                let drafts = campaign.drafts(next.content.step).len().max(1);
                *variant = (seed(&parts) % drafts as u64) as usize;
                (*task, *send) = (task.renewed(&next), *next);
                Ok(())
            }
            Ok(Chosen::Ended) => Err(Resolution::Leave),
            Ok(Chosen::Overtaken) => {
                let reason = CancelReason::Overtaken;
                Err(Resolution::Finish(Outcome::Cancelled { reason }))
            }
            Ok(Chosen::MovedOn) => {
                warn!(send = %send.id, "moved on while it was claimed");
                Err(Resolution::Leave)
            }
            // If it was noted all the same, this leaves the send as it is.
            Err(error) => {
                error!(send = %send.id, %error, "what follows is not noted");
                Err(Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT))
            }
        }
    }

    /// Puts the account's disclosure before a message that has to begin with it. It then counts as
    /// given, so it is asked about last, right before the call.
    pub(super) async fn disclosed(
        &self,
        account: &Account,
        claimed: &mut Claimed,
        message: Message,
    ) -> Result<Message, Resolution> {
        let discloses = self.endings.converse.discloses(account, &claimed.send).await;
        claimed.discloses = discloses.map_err(|error| {
            error!(send = %claimed.send.id, %error, "not known whether to disclose: put off");
            Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT)
        })?;
        let disclosure = account.conversations.disclosure.as_ref().filter(|_| claimed.discloses);
        Ok(match disclosure {
            Some(disclosure) => disclosure.before(message),
            None => message,
        })
    }

    /// Notes that the person has not read the disclosure of a message that did not reach them.
    pub(super) async fn note_undisclosed(
        &self,
        account: &Account,
        claimed: &Claimed,
        resolution: &Resolution,
    ) {
        if claimed.discloses && !resolution.may_have_arrived() {
            self.endings.converse.not_disclosed(account, &claimed.send).await;
        }
    }

    async fn read_profile(
        &self,
        account: &Account,
        send: &PendingSend,
        person: &RecipientId,
        time: Duration,
    ) -> Result<Profile, NoAnswer> {
        let read = async |timeout| self.graph.profile(account, person, timeout).await;
        self.gateway.read_for(account, &send.id, time, read).await.inspect_err(|no_answer| {
            warn!(account = %account.id, reason = no_answer.reason(), "a profile was not read");
        })
    }

    /// What a read before the call may take.
    pub(super) fn time_to_read(&self, reservation: &Reservation, deadline: Timestamp) -> Duration {
        let before_call = (deadline - ANSWER_TIME - RECORDING_TIME).since(self.clock.now());
        let of_grant = reservation.usable_until.saturating_sub(self.clock.monotonic());
        before_call.min(of_grant)
    }
}

/// Whether one of these messages has a place for a name.
fn tells_name(drafts: &[Draft]) -> bool {
    drafts.iter().flat_map(Draft::templates).any(Template::tells_name)
}

/// Whether a read of the conversation can show that none of the messages is there that a send may
/// have. It does not show what a card says. Nor is it known which name a text had in a conversation, or
/// by which key a link was signed.
pub(super) fn can_be_missed(campaign: &Campaign, send: &PendingSend) -> bool {
    let drafts = campaign.drafts(send.content.step);
    let is_plain = |draft: &Draft| draft.card.is_none() && draft.buttons.is_empty();
    let is_known = send.turn.is_none() || drafts.iter().all(is_plain) && !tells_name(&drafts);
    is_known && !drafts.iter().any(Draft::has_tracked_link)
}
