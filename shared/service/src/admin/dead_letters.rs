//! The dead-letter queue: its messages are shown, moved back to the queue of sends, or dropped.
//!
//! No send is lost with a message: it still waits, and release enqueues it again. A message that
//! is moved back acts once, whatever happens here, because it names its send's epoch.

use async_trait::async_trait;
use serde::Serialize;
use spillway_core::id::CampaignId;
use spillway_core::time::Timestamp;

use super::instant::{instant, optional};
use crate::port::StoreError;
use crate::send_task::SendTask;

/// A message of the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue's id for it.
    pub id: String,
    /// Its body.
    pub body: String,
    /// The instant when it was first sent.
    pub sent_at: Timestamp,
    /// What it says, where it can be read.
    pub task: Option<SendTask>,
}

/// What to do with a message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, to be seen again at once.
    Stays,
    /// It goes back to the queue of sends.
    Redriven,
    /// It is deleted.
    Dropped,
}

/// Decides the fate of a message.
pub type Judge<'a> = dyn FnMut(&DeadLetter) -> Fate + Send + 'a;

/// The dead-letter queue, and the queue of sends that it belongs to.
#[async_trait]
pub trait DeadLetterQueue: Send + Sync {
    /// Looks at up to `limit` messages, and asks `judge` for the fate of each. What stays is
    /// visible again when this returns, with or without an error. What was done before an error
    /// remains.
    async fn each(&self, limit: usize, judge: &mut Judge<'_>) -> Result<(), StoreError>;

    /// Returns roughly how many messages there are, those that somebody looks at included.
    async fn messages(&self) -> Result<u64, StoreError>;
}

/// A dead letter as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterView {
    /// The queue's id for it.
    pub message: String,
    /// The instant when it was first sent.
    #[serde(serialize_with = "instant")]
    pub sent_at: Timestamp,
    /// The send that it names: account/comment.
    pub send: Option<String>,
    /// The campaign of the send.
    pub campaign: Option<CampaignId>,
    /// The epoch at which it may act.
    pub epoch: Option<u32>,
    /// Its body.
    pub body: String,
}

impl From<&DeadLetter> for DeadLetterView {
    fn from(letter: &DeadLetter) -> Self {
        let task = letter.task.as_ref();
        Self {
            message: letter.id.clone(),
            sent_at: letter.sent_at,
            send: task.map(|task| task.send.to_string()),
            campaign: task.map(|task| task.content.campaign.clone()),
            epoch: task.map(|task| task.epoch),
            body: letter.body.clone(),
        }
    }
}

/// What lies in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterCount {
    /// How many messages, roughly: the queue's own figure.
    pub messages: u64,
    /// The instant when the oldest of those that were looked at was first sent.
    #[serde(serialize_with = "optional")]
    pub oldest_at: Option<Timestamp>,
}

/// Counts the messages, and looks at up to a hundred of them for the oldest.
///
/// # Errors
/// Fails if the queue does not answer.
pub async fn count(queue: &dyn DeadLetterQueue) -> Result<DeadLetterCount, StoreError> {
    const LOOKED_AT_MAX: usize = 100;
    let messages = queue.messages().await?;
    let mut oldest_at: Option<Timestamp> = None;
    if messages > 0 {
        let mut judge = |letter: &DeadLetter| {
            oldest_at = Some(oldest_at.map_or(letter.sent_at, |oldest| oldest.min(letter.sent_at)));
            Fate::Stays
        };
        queue.each(LOOKED_AT_MAX, &mut judge).await?;
    }
    Ok(DeadLetterCount { messages, oldest_at })
}

/// What moving messages back has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// Messages that are back on the queue of sends.
    pub redriven: usize,
    /// Messages that cannot be read, and stay.
    pub unreadable: usize,
}

/// Shows up to `limit` messages.
///
/// # Errors
/// Fails if the queue does not answer.
pub async fn list(
    queue: &dyn DeadLetterQueue,
    limit: usize,
) -> Result<Vec<DeadLetterView>, StoreError> {
    let mut views = Vec::new();
    let mut judge = |letter: &DeadLetter| {
        views.push(letter.into());
        Fate::Stays
    };
    queue.each(limit, &mut judge).await?;
    Ok(views)
}

/// Shows the message with this id. `None` if there is none, or somebody else has it just now.
///
/// # Errors
/// Fails if the queue does not answer.
pub async fn find(
    queue: &dyn DeadLetterQueue,
    id: &str,
) -> Result<Option<DeadLetterView>, StoreError> {
    let mut found = None;
    let mut judge = |letter: &DeadLetter| {
        if letter.id == id {
            found = Some(letter.into());
        }
        Fate::Stays
    };
    queue.each(usize::MAX, &mut judge).await?;
    Ok(found)
}

/// Moves messages that are `wanted` and name a send back to the queue of sends. `progress` is told
/// of each message that was looked at.
///
/// # Errors
/// Fails if a queue does not answer.
pub async fn redrive(
    queue: &dyn DeadLetterQueue,
    wanted: impl Fn(&DeadLetter) -> bool + Send + Sync,
    mut progress: impl FnMut(usize) + Send,
) -> Result<Redriven, StoreError> {
    let mut all = Redriven::default();
    let mut judge = |letter: &DeadLetter| {
        progress(1);
        match (wanted(letter), &letter.task) {
            (false, _) => Fate::Stays,
            (true, Some(_)) => {
                all.redriven += 1;
                Fate::Redriven
            }
            (true, None) => {
                all.unreadable += 1;
                Fate::Stays
            }
        }
    };
    queue.each(usize::MAX, &mut judge).await?;
    Ok(all)
}

/// Deletes messages that are `wanted`, and returns how many. `progress` is told of each message
/// that was looked at.
///
/// # Errors
/// Fails if the queue does not answer.
pub async fn drop_wanted(
    queue: &dyn DeadLetterQueue,
    wanted: impl Fn(&DeadLetter) -> bool + Send + Sync,
    mut progress: impl FnMut(usize) + Send,
) -> Result<usize, StoreError> {
    let mut dropped = 0;
    let mut judge = |letter: &DeadLetter| {
        progress(1);
        if wanted(letter) {
            dropped += 1;
            Fate::Dropped
        } else {
            Fate::Stays
        }
    };
    queue.each(usize::MAX, &mut judge).await?;
    Ok(dropped)
}
