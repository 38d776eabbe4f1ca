//! Any form of a delivery, one level of JSON at a time, so that an oddity costs its own event
//! alone.

use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;

use super::{messaging, timestamp};
use crate::json::{self, Object};
use crate::webhook::event::{
    CommentEvent, CommentKind, Commenter, Delivery, Event, PayloadError, SkipReason, Skipped,
};

/// Reads what can be read of `raw`.
///
/// # Errors
///
/// Those of [`parse`](super::parse).
pub(super) fn read(raw: &[u8]) -> Result<Delivery, PayloadError> {
    let body = std::str::from_utf8(raw).map_err(|_| PayloadError::NotJson)?.trim();
    let envelopes = match body.as_bytes().first() {
        Some(b'[') => json::array(body).ok_or(PayloadError::NotJson)?,
        _ => vec![body],
    };

    let mut reader = Reader::default();
    for envelope in envelopes {
        reader.envelope(envelope);
    }
    if reader.found_envelope {
        return Ok(reader.delivery);
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(body) {
        Ok(_) => Err(PayloadError::NoEnvelope),
        Err(_) => Err(PayloadError::NotJson),
    }
}

/// Collects what is found on the way down.
#[derive(Default)]
struct Reader {
    found_envelope: bool,
    delivery: Delivery,
}

/// What all events of an entry share.
struct Entry {
    account: AccountId,
    time: Option<Timestamp>,
}

impl Reader {
    fn envelope(&mut self, raw: &str) {
        let Some((envelope, entries)) = Object::parse(raw)
            .and_then(|envelope| envelope.array("entry").map(|entries| (envelope, entries)))
        else {
            return self.skip(None, None, SkipReason::NoEntries);
        };
        self.found_envelope = true;
        if self.delivery.object.is_none() {
            self.delivery.object = envelope.text("object");
        }
        for entry in entries {
            self.entry(entry);
        }
    }

    fn entry(&mut self, raw: &str) {
        let Some(members) = Object::parse(raw) else {
            return self.skip(None, None, SkipReason::NotAnObject);
        };
        let Some(account) = members.id("id").map(AccountId::new) else {
            return self.skip(None, None, SkipReason::NoAccount);
        };
        let entry = Entry { account, time: members.number("time").and_then(timestamp) };

        let changes = members.array("changes");
        let messaging = members.array("messaging");
        let standby = members.array("standby");
        let changed_fields = members.array("changed_fields");
        let lists = [&changes, &messaging, &standby, &changed_fields];
        let is_flat = members.has("field");
        if !is_flat && lists.into_iter().all(Option::is_none) {
            return self.skip(Some(&entry), None, SkipReason::NoEvents);
        }

        if is_flat {
            self.change(&entry, &members);
        }
        for change in changes.into_iter().flatten() {
            match Object::parse(change) {
                Some(change) => self.change(&entry, &change),
                None => self.skip(Some(&entry), None, SkipReason::NotAnObject),
            }
        }
        for item in messaging.into_iter().flatten() {
            match Object::parse(item) {
                Some(item) => self.conversation(&entry, &item, "messaging"),
                None => self.skip(Some(&entry), Some("messaging"), SkipReason::NotAnObject),
            }
        }
        for item in standby.into_iter().flatten() {
            match Object::parse(item) {
                Some(item) => self.conversation(&entry, &item, "standby"),
                None => self.skip(Some(&entry), Some("standby"), SkipReason::NotAnObject),
            }
        }
        for field in changed_fields.into_iter().flatten() {
            match json::text(field) {
                Some(field) => self.other(&entry, &field),
                None => self.skip(Some(&entry), None, SkipReason::NoField),
            }
        }
    }

    /// A `field` with its `value`.
    fn change(&mut self, entry: &Entry, change: &Object<'_>) {
        let Some(field) = change.text("field") else {
            return self.skip(Some(entry), None, SkipReason::NoField);
        };
        let kind = match field.as_str() {
            "comments" => CommentKind::Comment,
            "live_comments" => CommentKind::Live,
            field if messaging::is_field(field) => {
                return match change.object("value") {
                    Some(item) => self.conversation(entry, &item, field),
                    None => self.other(entry, field),
                };
            }
            _ => return self.other(entry, &field),
        };
        let value = change.object("value").ok_or(SkipReason::NoValue);
        match value.and_then(|value| comment(entry, kind, &value)) {
            Ok(comment) => self.delivery.events.push(Event::Comment(comment)),
            Err(reason) => self.skip(Some(entry), Some(&field), reason),
        }
    }

    /// What an item of a conversation holds.
    fn conversation(&mut self, entry: &Entry, item: &Object<'_>, field: &str) {
        let event = messaging::event((&entry.account, entry.time), item, field);
        self.delivery.events.push(event);
    }

    fn other(&mut self, entry: &Entry, field: &str) {
        self.delivery.events.push(messaging::other(&entry.account, field));
    }

    fn skip(&mut self, entry: Option<&Entry>, field: Option<&str>, reason: SkipReason) {
        self.delivery.skipped.push(Skipped {
            account: entry.map(|entry| entry.account.clone()),
            field: field.map(str::to_owned),
            reason,
        });
    }
}

/// A comment, in the form of Instagram Login (`id`) or of Facebook Login (`comment_id`).
fn comment(
    entry: &Entry,
    kind: CommentKind,
    value: &Object<'_>,
) -> Result<CommentEvent, SkipReason> {
    let id = value.id("id").or_else(|| value.id("comment_id")).ok_or(SkipReason::NoCommentId)?;
    let media = value.object("media");
    let of_media = |key| media.as_ref().and_then(|media| media.id(key));
    Ok(CommentEvent {
        account: entry.account.clone(),
        notified_at: entry.time,
        kind,
        id: CommentId::new(id),
        from: value.object("from").and_then(|from| commenter(&from)),
        text: value.text("text"),
        media: of_media("id").map(MediaId::new),
        original_media: of_media("original_media_id").map(MediaId::new),
        ad: of_media("ad_id"),
        parent: value.id("parent_id").map(CommentId::new),
    })
}

fn commenter(from: &Object<'_>) -> Option<Commenter> {
    Commenter::named(from.id("id").map(RecipientId::new), from.text("username"))
}
