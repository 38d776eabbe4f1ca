//! The usual form of a delivery, read in one pass: a thousand comments are parsed several times as
//! fast as level by level.
//!
//! What is read here is what [`lenient`](super::lenient) would read, or nothing: whatever is
//! repeated, missing or of another type than usual leaves the whole delivery to that one. So this
//! knows no exceptions, and skips nothing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};

use super::{MESSAGING_FIELDS, timestamp};
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
    messaging: Option<Vec<Message>>,
    standby: Option<Vec<IgnoredAny>>,
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
    #[serde(rename = "message")]
    _message: Option<NoEcho>,
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
        let lists = [
            self.changes.is_some(),
            self.messaging.is_some(),
            self.standby.is_some(),
            self.changed_fields.is_some(),
        ];
        if field.is_none() && lists == [false; 4] {
            return None;
        }

        let flat = field.map(|field| Named(Change { field: field.into(), value }));
        for Named(change) in flat.into_iter().chain(self.changes.into_iter().flatten()) {
            events.push(change.event(&account, time)?);
        }
        let fields = self.messaging.into_iter().flatten().map(|Message(field)| field.to_owned());
        let standby = self.standby.into_iter().flatten().map(|_| "standby".to_owned());
        let changed = self.changed_fields.into_iter().flatten();
        events.extend(
            fields
                .chain(standby)
                .chain(changed)
                .map(|field| Event::Other { account: account.clone(), field }),
        );
        Some(())
    }
}

impl Change<'_> {
    fn event(self, account: &AccountId, time: Option<u64>) -> Option<Event> {
        let account = account.clone();
        let kind = match &*self.field {
            "comments" => CommentKind::Comment,
            "live_comments" => CommentKind::Live,
            _ => return Some(Event::Other { account, field: self.field.into_owned() }),
        };
        let Named(Value { id, comment_id, from, text, media, parent_id, .. }) = self.value?;
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

/// An item of the `messaging` form: the webhook field that it belongs to.
struct Message(&'static str);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        let mut first = None;
        while let Some(Key(key)) = map.next_key()? {
            let nth = MESSAGING_FIELDS.iter().position(|(member, _)| *member == key);
            let has_value = match &*key {
                "message" => map.next_value::<Option<NoEcho>>()?.is_some(),
                _ => map.next_value::<Option<IgnoredAny>>()?.is_some(),
            };
            if let Some(nth) = nth.filter(|_| has_value) {
                first = Some(first.map_or(nth, |first: usize| first.min(nth)));
            }
        }
        Ok(Message(first.map_or("messaging", |nth| MESSAGING_FIELDS[nth].1)))
    }
}

/// A message that does not say whether it is an echo, and so is none; or anything else in its place.
struct NoEcho;

impl<'de> Deserialize<'de> for NoEcho {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoEchoVisitor)
    }
}

struct NoEchoVisitor;

impl<'de> Visitor<'de> for NoEchoVisitor {
    type Value = NoEcho;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message that is no echo")
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoEcho, E> {
        Ok(NoEcho)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoEcho, E> {
        Ok(NoEcho)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoEcho, E> {
        Ok(NoEcho)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoEcho, E> {
        Ok(NoEcho)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoEcho, E> {
        Ok(NoEcho)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<NoEcho, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(NoEcho)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoEcho, A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        while let Some((Key(key), IgnoredAny)) = map.next_entry()? {
            if key == "is_echo" {
                return Err(serde::de::Error::custom("it may be an echo"));
            }
        }
        Ok(NoEcho)
    }
}

#[cfg(test)]
mod tests;
