//! Ids as newtypes. Meta's ids are JSON strings of 17 and more digits, beyond 2^53, so none of
//! them is ever a number here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::seed::seed;

/// The ids that Meta gives, as a regular expression.
#[cfg(feature = "schema")]
pub const DIGITS: &str = "^[0-9]{1,32}$";

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the id as it came.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

string_id! {
    /// An Instagram professional account, as `entry[].id` names it (`user_id`, never the
    /// app-scoped `id`).
    AccountId
}
string_id! {
    /// A comment.
    CommentId
}
string_id! {
    /// A post, Reel or live broadcast.
    MediaId
}
string_id! {
    /// A person as one account sees them: the Instagram-scoped id (IGSID).
    RecipientId
}
string_id! {
    /// A campaign, unique within its account.
    CampaignId
}

/// What may happen only once in an account: the key of a send. A repeat of what asked for it has the
/// same key, and is known by it.
///
/// The key of a comment is its id. Every other key begins with a letter and a dot, which no id of
/// Meta's does, so no two kinds of key are the same. No key has a `#` or a `/`, which stored keys
/// are divided by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OnceKey(String);

impl OnceKey {
    /// Wraps a key as it is stored.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The answer to a comment.
    pub fn comment(comment: &CommentId) -> Self {
        Self(comment.0.clone())
    }

    /// The answer to an event that is no comment, by what names it. Its length is fixed whatever the
    /// name's is, and it tells nothing of it.
    pub fn event(name: &[&str]) -> Self {
        let parts = |first| [&[first], name].concat();
        Self(format!("m.{:016x}{:016x}", seed(&parts("event")), seed(&parts("again"))))
    }

    /// The first send to a person, which lies in the item that tells what they were answered.
    pub fn person(person: &RecipientId) -> Self {
        Self(format!("p.{person}"))
    }

    /// A later send to a person, by its number.
    pub fn person_again(person: &RecipientId, nth: u32) -> Self {
        Self(format!("p.{person}.{nth}"))
    }

    /// Returns the person to whom a send goes that is kept under their id.
    pub fn of_person(&self) -> Option<RecipientId> {
        let person = self.0.strip_prefix("p.")?;
        Some(RecipientId::new(person.split('.').next().unwrap_or(person)))
    }

    /// Whether it has the id of the person to whom the send goes.
    pub fn names_person(&self) -> bool {
        self.0.starts_with("p.") || self.is_step()
    }

    /// Whether it is a step of a conversation.
    pub fn is_step(&self) -> bool {
        self.0.starts_with("s.")
    }

    /// Whether it is a step of a conversation with `person`.
    pub fn is_step_to(&self, person: &RecipientId) -> bool {
        self.is_step() && self.0.rsplit('.').nth(1) == Some(person.as_str())
    }

    /// Returns the person and the origin of the conversation that it is a step of.
    pub fn conversation(&self) -> Option<(&str, &str)> {
        let mut from_end = self.0.strip_prefix("s.")?.rsplitn(3, '.');
        let (origin, person) = (from_end.next()?, from_end.next()?);
        from_end.next().map(|_| (person, origin))
    }

    /// What people see in the place of a key that [names](Self::names_person) somebody who was
    /// forgotten: a hash. Without `salt`, which is shown nowhere, nobody can try ids on it.
    #[must_use]
    pub fn nameless(&self, salt: &str) -> Self {
        Self(format!("{FORGOTTEN}{:016x}", seed(&["forgotten", &self.0, salt])))
    }

    /// Whether it is what [`Self::nameless`] returns.
    pub fn is_nameless(&self) -> bool {
        self.0.starts_with(FORGOTTEN)
    }

    /// A step of a conversation with `person`. Neither `step` nor `origin`, which has begun the
    /// conversation, has a `#` or a `/`, and `origin` has no dot.
    pub fn step(person: &RecipientId, origin: impl fmt::Display, step: &str) -> Self {
        Self(format!("s.{step}.{person}.{origin}"))
    }

    /// The public reply to a comment.
    pub fn public_reply(comment: &CommentId) -> Self {
        Self(format!("r.{comment}"))
    }

    /// Whether it is the key of a public reply.
    pub fn is_public_reply(&self) -> bool {
        self.0.starts_with("r.")
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OnceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OnceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for OnceKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

/// What the keys begin with that are shown for people who were forgotten.
const FORGOTTEN: &str = "f.";

/// A send: one message to be made. There is at most one for an account and key, however often what
/// asks for it is told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SendId {
    /// The account that sends.
    pub account: AccountId,
    /// What may happen only once.
    #[serde(rename = "event")]
    pub key: OnceKey,
}

impl fmt::Display for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.key)
    }
}

impl fmt::Debug for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_kinds_are_different() {
        let comment = CommentId::new("17890000000000001");
        let person = RecipientId::new("526");
        let origin = OnceKey::person(&person);
        let keys = [
            OnceKey::comment(&comment),
            OnceKey::public_reply(&comment),
            OnceKey::step(&person, "0178", "deliver.1.0"),
            OnceKey::event(&["message", "aWdfZAG1"]),
            OnceKey::person_again(&person, 2),
            origin,
        ];
        let people = keys.each_ref().map(OnceKey::of_person);
        assert_eq!(people, [None, None, None, None, Some(person.clone()), Some(person.clone())]);
        let names = keys.each_ref().map(OnceKey::names_person);
        assert_eq!(names, [false, false, true, false, true, true]);
        let are_steps = keys.each_ref().map(|key| key.is_step_to(&person));
        assert_eq!(are_steps, [false, false, true, false, false, false]);
        let conversations = keys.each_ref().map(OnceKey::conversation);
        assert_eq!(conversations, [None, None, Some(("526", "0178")), None, None, None]);
        let nameless = keys[5].nameless("1#0178#p.526#0e4c");
        assert!(nameless.is_nameless() && !nameless.names_person());
        assert_eq!(nameless.as_str().len(), 18);
        assert_ne!(nameless, keys[5].nameless("1#0178#p.526#0e4d"));
        let texts = keys.each_ref().map(OnceKey::as_str);
        assert_eq!(
            texts,
            [
                "17890000000000001",
                "r.17890000000000001",
                "s.deliver.1.0.526.0178",
                "m.eb42dafe96522cf92650efe5107090b5",
                "p.526.2",
                "p.526",
            ]
        );
        let distinct: std::collections::BTreeSet<&OnceKey> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
