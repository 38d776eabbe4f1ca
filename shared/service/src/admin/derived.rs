//! Why a comment got no DM, where no send is recorded for it: derived now, from today's campaigns and
//! from what its person was answered.
//!
//! What the comment says is read from Meta with one charged call, or is given. Nobody sees it again:
//! only the verdict is shown.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::campaign::{Candidate, Trigger};
use spillway_core::id::{CommentId, MediaId, RecipientId};
use spillway_core::once::{Known, Told};
use spillway_core::send::REPLY_WINDOW;
use spillway_core::time::Timestamp;

use super::AdminError;
use super::instant::optional;
use super::matching::MatchView;
use crate::account::Account;
use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::gateway::read::{Ends, IfDead, NoAnswer};
use crate::port::{CommentReader, Read, Sends, StoreError};

/// How long Meta may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Derives why comments got nothing.
pub struct Deriver {
    /// Makes the read, within the account's budget.
    pub gateway: Gateway,
    /// Reads a comment.
    pub reader: Arc<dyn CommentReader>,
    /// Tells what people were answered.
    pub sends: Arc<dyn Sends>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A comment, as Meta tells it or somebody gives it. Its `Debug` does not show the text.
#[derive(Clone, Default)]
pub struct Remark {
    /// Its text.
    pub text: String,
    /// What it is on; any media if that is not known.
    pub media: Option<MediaId>,
    /// Who wrote it, as far as that is known.
    pub person: Option<RecipientId>,
    /// Whether it is below another comment.
    pub is_reply: bool,
    /// When it was made, as far as that is known.
    pub made_at: Option<Timestamp>,
}

impl fmt::Debug for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remark").field("media", &self.media).finish_non_exhaustive()
    }
}

/// What was derived. It has no word of the comment's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DerivedView {
    /// Why it got nothing, or what would answer it now.
    pub verdict: Verdict,
    /// Which campaign would answer its text today, and why.
    #[serde(rename = "match")]
    pub matched: MatchView,
    /// What it is on, as far as that is known.
    pub media: Option<MediaId>,
    /// Who wrote it, as far as that is known.
    pub person: Option<RecipientId>,
    /// When it was made, as far as that is known.
    #[serde(serialize_with = "optional")]
    pub made_at: Option<Timestamp>,
}

/// Why a comment got nothing, in the order in which the reasons exclude it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The account itself wrote it.
    OwnComment,
    /// No campaign of today answers it.
    NoCampaign,
    /// A campaign answers it, and its person has, or waits for, all that it gives them.
    Repeat,
    /// The person has as many DMs of the account as are remembered.
    TooMany,
    /// A campaign answers it, but Meta lets nobody answer a comment of that age.
    TooOld,
    /// A campaign would answer it: no webhook has told of it, or the campaign was another one then.
    WouldBeAnswered,
}

impl Verdict {
    /// Says it, for people.
    pub fn said(&self) -> &'static str {
        match self {
            Self::OwnComment => "The account wrote it itself: what it says is never answered",
            Self::NoCampaign => "No campaign of today answers it",
            Self::Repeat => {
                "Its person has, or waits for, all that the campaign gives them (once_per, once_for)"
            }
            Self::TooMany => "Its person has had as many DMs of this account as are remembered",
            Self::TooOld => {
                "A campaign of today wants it, but Meta takes no answer to a comment of that age"
            }
            Self::WouldBeAnswered => {
                "A campaign of today wants it: either no webhook has told of it, or the campaigns were others \
                 when it came. A backfill finds what no webhook told of"
            }
        }
    }
}

/// Why nothing was derived.
#[derive(Debug)]
pub enum NotDerived {
    /// Meta was not asked, or has not told it.
    Unread(NoAnswer),
    /// The store.
    Store(AdminError),
}

impl From<StoreError> for NotDerived {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl Deriver {
    /// Reads the comment, which takes a unit of the account's budget, and derives from it.
    ///
    /// # Errors
    /// Fails if the budget has no room, Meta does not tell it, or the store does not answer.
    pub fn of_comment<'a>(
        &'a self,
        account: &'a Account,
        comment: &'a CommentId,
    ) -> BoxFuture<'a, Result<DerivedView, NotDerived>> {
        Box::pin(async move {
            self.reader.prepare(account).await?;
            let read = async |timeout| self.reader.comment(account, comment, timeout).await;
            let read = self
                .gateway
                .read(account, ANSWER_TIME, IfDead::Hold, Ends::AppHold, read)
                .await
                .map_err(NotDerived::Unread)?;
            let remark = Remark {
                text: read.item.text.unwrap_or_default(),
                media: read.media,
                person: read.item.from.and_then(|from| from.id),
                is_reply: read.parent.is_some(),
                made_at: read.item.created_at,
            };
            self.of_remark(account, &remark, Some(comment)).await
        })
    }

    /// Derives from what a comment is said to be.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub fn of_remark<'a>(
        &'a self,
        account: &'a Account,
        remark: &'a Remark,
        comment: Option<&'a CommentId>,
    ) -> BoxFuture<'a, Result<DerivedView, NotDerived>> {
        Box::pin(async move {
            let now = self.clock.now();
            let album = remark.media.as_ref().and_then(|media| account.albums.album_of(media));
            let media: Option<Vec<&MediaId>> =
                remark.media.as_ref().map(|media| std::iter::once(media).chain(album).collect());
            let candidate = Candidate {
                trigger: Trigger::Comment,
                text: &remark.text,
                media: media.as_deref(),
                is_reply: remark.is_reply,
                at: remark.made_at.unwrap_or(now),
            };
            let matched = MatchView::of(&account.campaigns, &candidate);
            let verdict = self.verdict(account, remark, comment, &matched, now).await?;
            let Remark { media, person, made_at, .. } = remark.clone();
            Ok(DerivedView { verdict, matched, media, person, made_at })
        })
    }

    async fn verdict(
        &self,
        account: &Account,
        remark: &Remark,
        comment: Option<&CommentId>,
        matched: &MatchView,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let person = remark.person.as_ref();
        if person.is_some_and(|person| person.as_str() == account.id.as_str()) {
            return Ok(Verdict::OwnComment);
        }
        let campaign = matched.campaign.as_ref().and_then(|id| account.campaigns.get(id));
        let Some(campaign) = campaign else { return Ok(Verdict::NoCampaign) };
        if let Some(person) = person {
            let people = std::slice::from_ref(person);
            let lookup = self.sends.look_up(&account.id, &[], people, Read::Consistent).await?;
            let told = Told {
                campaign: &campaign.id,
                media: remark.media.as_ref(),
                event: comment.map_or("", CommentId::as_str),
            };
            let per = campaign.once(Trigger::Comment).per;
            let known = lookup.people.get(person);
            match known.map(|known| known.answered.known(&told, per, now)) {
                Some(Known::Comment(_) | Known::Person(_)) => return Ok(Verdict::Repeat),
                Some(Known::Full) => return Ok(Verdict::TooMany),
                Some(Known::Nothing(_)) | None => {}
            }
        }
        let is_old = remark.made_at.is_some_and(|made_at| made_at + REPLY_WINDOW <= now);
        Ok(if is_old { Verdict::TooOld } else { Verdict::WouldBeAnswered })
    }
}
