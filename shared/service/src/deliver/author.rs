//! The author of a comment that nobody has named. Such a comment is kept under its own id, and its
//! author may have had their DM: Meta is asked who it is, and the person's item decides. So does what they
//! have asked for, such as to be left alone.
//!
//! The name is not kept. So if such a comment is gone when its turn comes, its author stays answered
//! by it until the campaign's span is over.

use std::time::Duration;

use spillway_core::campaign::Campaign;
use spillway_core::id::{CommentId, OnceKey, RecipientId, SendId};
use spillway_core::once::{Known, Nth, Told};
use spillway_core::quota::Action;
use spillway_core::send::{Address, CancelReason, FailReason, Outcome, PendingSend};
use spillway_core::time::Timestamp;
use spillway_meta::error::Verdict;
use tracing::{error, info, warn};

use super::attempt::NotSent;
use super::resolution::Resolution;
use super::{ANSWER_TIME, Deliver, RECORDING_TIME, UNREACHABLE_WAIT};
use crate::account::Account;
use crate::gateway::NoAnswer;
use crate::gateway::consequence::Retry;
use crate::gateway::read::{self, Ends, IfDead};
use crate::ingest::EntryKeys;
use crate::limiter::{CONTENDED_WAIT, Reservation};
use crate::port::{Entry, Read, StoreError};

/// How long a webhook may take to record a send that it has named. After that it has died.
const RECORDING: Duration = Duration::from_secs(300);

/// How often a person's item is read again that others have written meanwhile.
const TRIES: usize = 8;

impl Deliver {
    /// Checks that the author of the comment may have this DM, where no webhook has named them. The
    /// question takes the unit of the send, so that it is asked under the narrowest limits too; the
    /// DM itself waits for the next one.
    pub(super) async fn check_author(
        &self,
        account: &Account,
        campaign: &Campaign,
        reservation: &Reservation,
        send: &PendingSend,
        deadline: Timestamp,
    ) -> Result<(), NotSent> {
        let Address::Comment { id: comment, author: None } = &send.to else { return Ok(()) };
        let is_by_comment = send.id.key == OnceKey::comment(comment);
        if !is_by_comment || send.is_cleared || self.entry_keys == EntryKeys::Comment {
            return Ok(());
        }
        let asked = self.ask_author(account, reservation, send, comment, deadline).await?;
        let resolution = match asked {
            Some(author) => {
                let to = Address::Comment { id: comment.clone(), author: Some(author.clone()) };
                let of_author = PendingSend { to, ..send.clone() };
                self.check_wanted(account, &of_author).await.map_err(NotSent::Asked)?;
                let named = self.name_author(account, campaign, send, comment, &author).await;
                named.unwrap_or_else(|error| {
                    error!(send = %send.id, %error, "not known what its author was answered");
                    Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT)
                })
            }
            // It counts by itself. If it was told of before with its author, and so has an answer
            // under their id, Meta refuses another one.
            None => {
                info!(send = %send.id, "Meta does not say who wrote the comment");
                Resolution::Requeue(Retry::Cleared, CONTENDED_WAIT)
            }
        };
        Err(NotSent::Asked(resolution))
    }

    async fn ask_author(
        &self,
        account: &Account,
        reservation: &Reservation,
        send: &PendingSend,
        comment: &CommentId,
        deadline: Timestamp,
    ) -> Result<Option<RecipientId>, NotSent> {
        let timeout = (deadline - RECORDING_TIME).since(self.clock.now());
        if !is_read_covered(account, send.class.action) {
            let ask = async |timeout| self.graph.comment_author(account, comment, timeout).await;
            let timeout = timeout.min(ANSWER_TIME);
            let read = self.gateway.read_for(account, &send.id, timeout, ask).await;
            return read.map_err(|no_answer| {
                warn!(%comment, reason = no_answer.reason(), "its author was not asked for");
                Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT).into()
            });
        }
        let ask = async || self.graph.comment_author(account, comment, timeout).await;
        let read = self.gateway.read_under(account, reservation, IfDead::Hold, Ends::AppHold, ask);
        read.await.map_err(|no_answer| match no_answer {
            NoAnswer::Failed(failed) if failed.verdict() == Verdict::CommentGone => {
                let reason = FailReason::CommentGone;
                NotSent::Asked(Resolution::Finish(Outcome::Failed { reason }))
            }
            NoAnswer::Failed(failed) => {
                let is_of_the_call = read::NoAnswer::Failed(failed).is_of_the_call();
                NotSent::Asked(if is_of_the_call {
                    Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT)
                } else {
                    Resolution::Park
                })
            }
            NoAnswer::TooLate => Resolution::Requeue(Retry::Untried, CONTENDED_WAIT).into(),
            NoAnswer::Held(_) => Resolution::Park.into(),
        })
    }

    /// Names this send in the item of the comment's author, and says what follows.
    async fn name_author(
        &self,
        account: &Account,
        campaign: &Campaign,
        send: &PendingSend,
        comment: &CommentId,
        author: &RecipientId,
    ) -> Result<Resolution, StoreError> {
        let told =
            Told { campaign: &campaign.id, media: send.media.as_ref(), event: comment.as_str() };
        let people = std::slice::from_ref(author);
        let cleared = Resolution::Requeue(Retry::Cleared, CONTENDED_WAIT);
        let repeat = Resolution::Finish(Outcome::Cancelled { reason: CancelReason::Repeat });
        let once = campaign.once(send.trigger());
        for _ in 0..TRIES {
            let lookup = self.sends.look_up(&account.id, &[], people, Read::Consistent).await?;
            let known = lookup.people.get(author).map(|person| &person.answered);
            let answers = known.cloned().unwrap_or_default();
            let now = self.clock.now();
            let after = match answers.known(&told, once.per, now) {
                // It was named before.
                Known::Comment(Nth::Comment) => return Ok(cleared),
                Known::Comment(nth) if self.is_recorded(account, nth, author, comment).await? => {
                    return Ok(repeat);
                }
                Known::Comment(_)
                    if answers.named_at(comment).is_some_and(|at| now < at + RECORDING) =>
                {
                    return Ok(Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT));
                }
                // Who named the other send has died before it was recorded.
                Known::Comment(_) => answers.given_to(Nth::Comment, comment),
                Known::Person(_) => {
                    info!(send = %send.id, "its author has been answered");
                    return Ok(repeat);
                }
                // The previous version reads no other reason.
                Known::Full => {
                    warn!(send = %send.id, "not sent: its author has had as many DMs as one gets in ten days");
                    return Ok(repeat);
                }
                Known::Nothing(_) => answers.with(Nth::Comment, &told, once, now),
            };
            if self.sends.replace_answered(&account.id, author, known, &after).await? {
                return Ok(cleared);
            }
        }
        Err(StoreError::unavailable("name an author's answer", "others always were first"))
    }

    async fn is_recorded(
        &self,
        account: &Account,
        nth: Nth,
        author: &RecipientId,
        comment: &CommentId,
    ) -> Result<bool, StoreError> {
        if nth == Nth::First {
            return Ok(true);
        }
        let id = SendId {
            account: account.id.clone(),
            key: nth.key(author, &OnceKey::comment(comment)),
        };
        let entries = self.sends.entries(&[id], Read::Consistent).await?;
        Ok(!matches!(entries.first(), Some(Entry::Missing) | None))
    }
}

/// Whether a unit that was taken for `action` counts wherever a read does.
fn is_read_covered(account: &Account, action: Action) -> bool {
    let mut rows = account.rules.profile().quotas.iter();
    rows.all(|quota| !quota.counts(Action::Read) || quota.counts(action))
}
