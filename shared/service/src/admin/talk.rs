//! The conversation that a send belongs to, as far as it is kept: where it is and since when, not each
//! message and tap.

use serde::Serialize;
use spillway_core::conversation::{Origin, Progress};
use spillway_core::time::Timestamp;

use super::instant::{instant, optional};
use super::sends::{SendAdmin, State, Stored};
use crate::port::{Read, StoreError};

/// What is kept of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TalkView {
    /// Where it is: `answer`, `follow` or `email` while it waits for one of these from the person, then
    /// `deliver`, and `delivered` where follow-ups may come. Where none may, `deliver` stays: nothing is
    /// written for the end of a delivery alone.
    pub place: &'static str,
    /// Since when it is there: what the person did to get there, they did then.
    #[serde(serialize_with = "instant")]
    pub since: Timestamp,
    /// Whether the person has opened one of its tracked links. When they did is not kept.
    pub clicked: bool,
    /// The person's last message or tap to the account, in this conversation or not. Earlier ones are not
    /// kept.
    #[serde(serialize_with = "optional")]
    pub heard_at: Option<Timestamp>,
}

impl SendAdmin {
    /// Looks for the conversation of a send; `None` where none is kept. It costs a read.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn talk_of(&self, stored: &Stored) -> Result<Option<TalkView>, StoreError> {
        let Some(person) = stored.recipient() else { return Ok(None) };
        let account = &stored.id.account;
        let kept = self.conversations.load(account, &person, Read::Eventual).await?;
        let origin = origin(stored);
        let is_its = |progress: &Progress<'_>| {
            *progress.campaign == stored.content.campaign && progress.origin.to_string() == origin
        };
        let view = |progress: Progress<'_>| TalkView {
            place: progress.place,
            since: progress.since,
            clicked: progress.has_clicked,
            heard_at: kept.state.heard_at(),
        };
        Ok(kept.state.progress().find(is_its).map(view))
    }
}

/// What has begun the conversation of a send.
fn origin(stored: &Stored) -> String {
    if let Some((_, origin)) = stored.id.key.conversation() {
        return origin.to_owned();
    }
    let origin = match (&stored.state, &stored.comment) {
        (State::Waiting(send), _) => send.origin(),
        (State::Ended { .. }, Some(comment)) => Origin::new(comment.as_str()),
        (State::Ended { .. }, None) => Origin::new(stored.id.key.as_str()),
    };
    origin.to_string()
}
