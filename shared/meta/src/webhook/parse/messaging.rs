//! An item of the `messaging` form, or the `value` of a change of the same fields.

use spillway_core::id::{AccountId, MediaId, RecipientId};
use spillway_core::time::Timestamp;

use super::timestamp;
use crate::json::{self, Object};
use crate::webhook::conversation::{
    Attachment, ConversationEvent, Edit, Handover, HandoverKind, Message, MessageState, Postback,
    QuickReply, Reaction, Referral, ReplyTo, TEXT_BYTES_MAX, TOLD_BYTES_MAX, Thread, What,
};
use crate::webhook::event::{Echo, Event};

/// The webhook fields whose changes hold what an item of the `messaging` form holds, as test
/// deliveries of the dashboard have them. The last three are the Messenger Platform's spelling.
const FIELDS: [&str; 13] = [
    "messages",
    "message_echoes",
    "message_edit",
    "message_reactions",
    "messaging_postbacks",
    "messaging_referral",
    "messaging_seen",
    "messaging_handover",
    "messaging_optins",
    "standby",
    "messaging_referrals",
    "messaging_handovers",
    "message_reads",
];

/// The longest name of a field that is kept, in bytes.
const FIELD_BYTES_MAX: usize = 64;

/// Whether changes of this webhook field are events of a conversation.
pub(super) fn is_field(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// Reads an item. `field` names what it is if it has none of the members that are known.
pub(super) fn event(
    (account, time): (&AccountId, Option<Timestamp>),
    item: &Object<'_>,
    field: &str,
) -> Event {
    let at = item.number("timestamp").and_then(timestamp).or(time);
    let person = |member| item.object(member).and_then(|person| person.id("id"));
    let (sender, recipient) = (person("sender"), person("recipient"));
    if let Some(message) = item.object("message").filter(|message| message.is_true("is_echo")) {
        return Event::Echo(Echo {
            account: account.clone(),
            message: told(&message, "mid"),
            metadata: told(&message, "metadata"),
            recipient: recipient.map(RecipientId::new),
            sent_at: at,
        });
    }
    let Some(what) = what(item) else {
        let field = if item.has("optin") { "messaging_optins" } else { field };
        return other(account, field);
    };
    // Meta's examples of taps and referrals name the person where others name the account.
    let account = match (&what, sender.as_deref(), recipient) {
        (What::Postback(_) | What::Referral(_), Some(sender), Some(recipient))
            if sender == account.as_str() =>
        {
            AccountId::new(recipient)
        }
        _ => account.clone(),
    };
    let is_self = item.is_true("is_self")
        || ["message", "postback"]
            .into_iter()
            .filter_map(|member| item.object(member))
            .any(|object| object.is_true("is_self"));
    let thread = if field == "standby" { Thread::Standby } else { Thread::Ours };
    let sender = sender.map(RecipientId::new);
    Event::Conversation(ConversationEvent { account, sender, at, thread, is_self, what })
}

/// An event that is only counted.
pub(super) fn other(account: &AccountId, field: &str) -> Event {
    let field = beginning(field, FIELD_BYTES_MAX).to_owned();
    Event::Other { account: account.clone(), field }
}

/// What an item holds; of several things the first of these.
fn what(item: &Object<'_>) -> Option<What> {
    if let Some(object) = item.object("message") {
        return Some(What::Message(message(&object)));
    }
    if let Some(edit) = item.object("message_edit") {
        let count = edit.number("num_edit");
        return Some(What::Edit(Edit { message: told(&edit, "mid"), count }));
    }
    if let Some(reaction) = item.object("reaction") {
        let is_taken_back = reaction.text("action").is_some_and(|action| action == "unreact");
        return Some(What::Reaction(Reaction { message: told(&reaction, "mid"), is_taken_back }));
    }
    if let Some(postback) = item.object("postback") {
        return Some(What::Postback(Postback {
            id: told(&postback, "mid"),
            title: text(&postback, "title"),
            payload: payload(&postback),
            referral: postback.object("referral").map(|from| referral(&from)),
        }));
    }
    if let Some(from) = item.object("referral") {
        return Some(What::Referral(referral(&from)));
    }
    if let Some(read) = item.object("read") {
        return Some(What::Seen { message: told(&read, "mid") });
    }
    let kinds = [
        ("pass_thread_control", HandoverKind::Passed),
        ("take_thread_control", HandoverKind::Taken),
        ("request_thread_control", HandoverKind::Requested),
        ("app_roles", HandoverKind::Roles),
    ];
    let (kind, control) =
        kinds.into_iter().find_map(|(member, kind)| Some((kind, item.object(member)?)))?;
    let app = control.id("new_owner_app_id").or_else(|| control.id("requested_owner_app_id"));
    Some(What::Handover(Handover { kind, app }))
}

fn message(message: &Object<'_>) -> Message {
    let state = if message.is_true("is_deleted") {
        MessageState::Deleted
    } else if message.is_true("is_unsupported") {
        MessageState::Unsupported
    } else {
        MessageState::Readable
    };
    Message {
        id: told(message, "mid"),
        text: text(message, "text"),
        quick_reply: message.object("quick_reply").map(|tap| QuickReply { payload: payload(&tap) }),
        reply_to: message.object("reply_to").and_then(|to| reply_to(&to)),
        attachments: attachments(message),
        referral: message.object("referral").map(|from| referral(&from)),
        state,
    }
}

/// A reply to a story names a message too, in some deliveries.
fn reply_to(to: &Object<'_>) -> Option<ReplyTo> {
    if let Some(story) = to.object("story") {
        return Some(ReplyTo::Story(story.id("id").map(MediaId::new)));
    }
    to.has("mid").then(|| ReplyTo::Message(told(to, "mid")))
}

fn attachments(message: &Object<'_>) -> Vec<Attachment> {
    let mut kinds = Vec::new();
    for item in message.array("attachments").into_iter().flatten() {
        let kind = Object::parse(item).and_then(|item| item.text("type"));
        let kind = kind.map_or(Attachment::Other, |kind| Attachment::named(&kind));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn referral(from: &Object<'_>) -> Referral {
    Referral {
        reference: text(from, "ref").filter(|reference| reference.len() <= TOLD_BYTES_MAX),
        source: from.text("source").map(|source| beginning(&source, FIELD_BYTES_MAX).to_owned()),
        ad: from.id("ad_id"),
    }
}

/// A payload, which is there whatever it holds: one that cannot be read is not ours.
fn payload(object: &Object<'_>) -> Option<String> {
    let raw = object.get("payload")?;
    let text = json::text(raw).unwrap_or_else(|| "?".to_owned());
    let text = beginning(&text, TOLD_BYTES_MAX);
    (!text.is_empty()).then(|| text.to_owned())
}

fn told(object: &Object<'_>, member: &str) -> Option<String> {
    object.text(member).filter(|text| (1..=TOLD_BYTES_MAX).contains(&text.len()))
}

fn text(object: &Object<'_>, member: &str) -> Option<String> {
    object.text(member).map(|text| beginning(&text, TEXT_BYTES_MAX).to_owned())
}

/// As much of `text` as fits `bytes_max`.
fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests;
