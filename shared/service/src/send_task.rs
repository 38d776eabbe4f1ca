//! The queue's message: enough to find a send and to know whether it may still be acted on. It
//! carries no text and no name.

use serde::{Deserialize, Serialize};
use spillway_core::id::{RecipientId, SendId};
use spillway_core::quota::Action;
use spillway_core::send::{Class, Content, Lane, PendingSend};
use spillway_core::time::Timestamp;

use crate::outbox_key::OutboxKey;

/// What a task is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To make the send.
    #[default]
    Send,
    /// To look whether an attempt whose outcome is unknown has reached its person.
    Look,
}

/// The permission to act on a send at one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct SendTask {
    /// The send.
    pub send: SendId,
    /// The key under which it waits.
    pub outbox_key: OutboxKey,
    /// The epoch at which it may be acted on. Once the send has moved on, the task is void.
    pub epoch: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// Its lane, and the call that it makes.
    pub class: Class,
    /// What it says.
    pub content: Content,
    /// No attempt after this instant.
    pub deadline: Timestamp,
    /// The person that it goes to, if known: a person on hold is left alone.
    pub recipient: Option<RecipientId>,
    /// The slot, which is stored with the claim for people to read. Messages of earlier versions
    /// lack it.
    pub slot: Option<Timestamp>,
}

impl SendTask {
    /// Makes a task for `send` at its present epoch.
    pub fn new(send: &PendingSend, outbox_key: OutboxKey) -> Self {
        Self {
            send: send.id.clone(),
            outbox_key,
            epoch: send.epoch,
            purpose: Purpose::Send,
            class: send.class,
            content: send.content.clone(),
            deadline: send.deadline,
            recipient: send.to.recipient().cloned(),
            slot: send.stage.slot(),
        }
    }

    /// Makes a task to look for `send`, whose attempt is unknown.
    pub fn look(send: &PendingSend, outbox_key: OutboxKey) -> Self {
        Self { purpose: Purpose::Look, ..Self::new(send, outbox_key) }
    }

    /// Returns the task for the send after a step.
    pub fn renewed(&self, send: &PendingSend) -> Self {
        let (content, deadline) = (send.content.clone(), send.deadline);
        Self { epoch: send.epoch, slot: send.stage.slot(), content, deadline, ..self.clone() }
    }

    /// Encodes the task as the body of a message.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Decodes the body of a message.
    ///
    /// # Errors
    /// Fails if the body is not one of ours. It belongs in the dead-letter queue.
    pub fn decode(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }
}

/// The format's number. A new format is a new variant, and old messages in flight still decode.
#[derive(Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    V1,
}

/// A task as the queue has it.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: Version,
    send: SendId,
    place: OutboxKey,
    epoch: u32,
    /// The epoch of a look. `epoch` is then 0, at which no claimed send is: to a version that knows
    /// of no looks the task is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    look: Option<u32>,
    lane: Lane,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(flatten)]
    content: Content,
    deadline: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<RecipientId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<Timestamp>,
}

impl From<SendTask> for Wire {
    fn from(task: SendTask) -> Self {
        let SendTask { send, outbox_key, epoch, purpose, class, .. } = task;
        let SendTask { content, deadline, recipient, slot, .. } = task;
        let (epoch, look) = match purpose {
            Purpose::Send => (epoch, None),
            Purpose::Look => (0, Some(epoch)),
        };
        Self {
            v: Version::V1,
            send,
            place: outbox_key,
            epoch,
            look,
            lane: class.lane,
            action: class.named_action(),
            content,
            deadline,
            recipient,
            slot,
        }
    }
}

impl From<Wire> for SendTask {
    fn from(wire: Wire) -> Self {
        let Wire { v: Version::V1, send, place: outbox_key, epoch, look, lane, action, .. } = wire;
        let Wire { content, deadline, recipient, slot, .. } = wire;
        let class = Class::from_stored(lane, action);
        let (epoch, purpose) = match look {
            None => (epoch, Purpose::Send),
            Some(epoch) => (epoch, Purpose::Look),
        };
        Self { send, outbox_key, epoch, purpose, class, content, deadline, recipient, slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_and_its_format_is_kept() {
        let task = SendTask {
            send: SendId { account: "178".into(), key: "179".into() },
            outbox_key: OutboxKey::from_stored("1#00001790000000#179#ab".into()),
            epoch: 3,
            purpose: Purpose::Send,
            class: Class::PRIVATE_REPLY,
            content: Content::opening("guide"),
            deadline: Timestamp::from_millis(1_790_000_000_000),
            recipient: None,
            slot: None,
        };
        let body = task.encode();
        assert_eq!(
            body,
            r#"{"v":"1","send":{"account":"178","event":"179"},"place":"1#00001790000000#179#ab","epoch":3,"lane":"inbound","campaign":"guide","deadline":1790000000000}"#
        );
        assert_eq!(SendTask::decode(&body).unwrap(), task);
        let slot = Some(Timestamp::from_millis(1_790_000_000_001));
        let look = SendTask { purpose: Purpose::Look, ..task.clone() };
        assert!(look.encode().contains(r#""epoch":0,"look":3"#), "void to earlier versions");
        assert_eq!(SendTask::decode(&look.encode()).unwrap(), look);
        let again = SendTask { recipient: Some("52".into()), slot, ..task };
        assert_eq!(SendTask::decode(&again.encode()).unwrap(), again);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for body in ["", "{}", "hello", r#"{"v":"2"}"#, r#"{"v":"1","send":{}}"#] {
            assert!(SendTask::decode(body).is_err(), "{body}");
        }
    }
}
