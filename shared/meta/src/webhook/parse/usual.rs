//! The usual form of a delivery of comments, read in one pass: a thousand of them are parsed several
//! times as fast as level by level.
//!
//! What is read here is what [`lenient`](super::lenient) would read, or nothing: whatever is
//! repeated, missing or of another type than usual, and each event of a conversation, leaves the
//! whole delivery to that one. So this knows no exceptions, and skips nothing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};

use super::{messaging, timestamp};
use crate::json::is_id;
use crate::webhook::event::{CommentEvent, CommentKind, Commenter, Delivery, Event};

/// Reads a delivery in which everything is as usual.
pub(super) fn read(raw: &[u8]) -> Option<Delivery> {
    let body = std::str::from_utf8(raw).ok()?;
    let Named(envelope) = serde_json::from_str::<Named<Envelope<'_>>>(body).ok()?;
    let mut events = Vec::new();
    for Named(entry) in envelope.entry {
        entry.take(&mut events)?;
    }
    Some(Delivery { object: envelope.object, events, skipped: Vec::new() })
}

#[derive(Deserialize)]
struct Envelope<'a> {
    object: Option<String>,
    #[serde(borrow)]
    entry: Vec<Named<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    id: Id,
    time: Option<u64>,
    field: Option<String>,
    value: Option<Named<Value>>,
    #[serde(borrow)]
    changes: Option<Vec<Named<Change<'a>>>>,
    messaging: Option<IgnoredAny>,
    standby: Option<IgnoredAny>,
    changed_fields: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
    value: Option<Named<Value>>,
}

/// A comment, or anything else in which these members, if they are there, are like a comment's.
#[derive(Deserialize)]
struct Value {
    id: Option<Id>,
    comment_id: Option<Id>,
    from: Option<Named<From>>,
    text: Option<String>,
    media: Option<Named<Media>>,
    parent_id: Option<Id>,
}

#[derive(Deserialize)]
struct From {
    id: Option<Id>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Media {
    id: Option<Id>,
    original_media_id: Option<Id>,
    ad_id: Option<Id>,
}

impl Entry<'_> {
    /// Puts its events behind `events`; `None` where one is not as usual.
    fn take(self, events: &mut Vec<Event>) -> Option<()> {
        let Self { id: Id(account), time, field, value, .. } = self;
        let account = AccountId::new(account);
        if self.messaging.or(self.standby).is_some() {
            return None;
        }
        if field.is_none() && self.changes.is_none() && self.changed_fields.is_none() {
            return None;
        }

        let flat = field.map(|field| Named(Change { field: field.into(), value }));
        for Named(change) in flat.into_iter().chain(self.changes.into_iter().flatten()) {
            events.push(change.event(&account, time)?);
        }
        let changed = self.changed_fields.into_iter().flatten();
        events.extend(changed.map(|field| messaging::other(&account, &field)));
        Some(())
    }
}

impl Change<'_> {
    fn event(self, account: &AccountId, time: Option<u64>) -> Option<Event> {
        let account = account.clone();
        let kind = match &*self.field {
            "comments" => CommentKind::Comment,
            "live_comments" => CommentKind::Live,
            field if messaging::is_field(field) => return None,
            field => return Some(messaging::other(&account, field)),
        };
        let Named(Value { id, comment_id, from, text, media, parent_id }) = self.value?;
        let Id(id) = id.or(comment_id)?;
        let (media, original_media, ad) = match media {
            Some(Named(Media { id, original_media_id, ad_id })) => (id, original_media_id, ad_id),
            None => (None, None, None),
        };
        let commenter = |Named(From { id, username })| {
            Commenter::named(id.map(|Id(id)| RecipientId::new(id)), username)
        };
        Some(Event::Comment(CommentEvent {
            account,
            notified_at: time.and_then(timestamp),
            kind,
            id: CommentId::new(id),
            from: from.and_then(commenter),
            text,
            media: media.map(|Id(id)| MediaId::new(id)),
            original_media: original_media.map(|Id(id)| MediaId::new(id)),
            ad: ad.map(|Id(id)| id),
            parent: parent_id.map(|Id(id)| CommentId::new(id)),
        }))
    }
}

/// A string that [`is_id`].
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Id(String);

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        if is_id(&id) { Ok(Self(id)) } else { Err("no id") }
    }
}

/// Read from an object only: what is derived reads an array of the members' values as well.
struct Named<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData)).map(Self)
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests;
