//! Once per person: which comments and messages become sends, and under which keys.
//!
//! A person's item names each send to them before it is recorded; the first one lies in the item
//! itself. So of two processes that are told of comments of one person, one decides first and the
//! other sees it. A comment whose author is not known is answered under its own id.

use std::collections::HashMap;

use spillway_core::id::{OnceKey, RecipientId, SendId};
use spillway_core::once::{Answers, Known, Nth, Once, Told, is_forgotten};
use spillway_core::send::{Address, PendingSend, REPLY_WINDOW, StandIn};
use spillway_core::time::Timestamp;
use tracing::{debug, warn};

use super::{Ingest, Ingested, Source};
use crate::account::Account;
use crate::port::{Entry, Lookup, Person, Read, StoreError};

/// Under which keys entries are made. All of them are read, so two processes that differ by one
/// step never answer a comment twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryKeys {
    /// Under the comments' ids alone. A person is answered as often as they comment.
    Comment,
    /// Under the comments' ids, beside an item for each person, at one write more for each send.
    Both,
    /// Under the people's ids.
    #[default]
    Person,
}

impl EntryKeys {
    /// Every setting, in the order of a change from the first to the last.
    pub const ALL: [Self; 3] = [Self::Comment, Self::Both, Self::Person];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Both => "both",
            Self::Person => "person",
        }
    }
}

/// A send that a comment or message asks for. Its key is the event's until it is settled.
pub(super) struct Asked {
    /// The key of what asks.
    pub(super) event: OnceKey,
    pub(super) send: PendingSend,
    pub(super) once: Once,
    /// When that was made, or told of.
    pub(super) told_at: Timestamp,
}

impl Asked {
    /// Who asks, where an item can be kept under their id.
    pub(super) fn person(&self) -> Option<&RecipientId> {
        let is_key = |id: &&RecipientId| {
            let id = id.as_str();
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        self.send.to.recipient().filter(is_key)
    }

    fn told(&self) -> Told<'_> {
        Told {
            campaign: &self.send.content.campaign,
            media: self.send.media.as_ref(),
            event: self.event.as_str(),
        }
    }

    fn answered_by(mut self, nth: Nth) -> Self {
        if let Some(person) = self.person() {
            self.send.id.key = nth.key(person, &self.event);
        }
        self
    }
}

/// What became of those that asked.
#[derive(Default)]
pub(super) struct Settled {
    /// To be recorded now, each with what its person is answered where it lies in their own item.
    pub(super) new: Vec<(Asked, Option<Answers>)>,
    /// To be settled after those.
    pub(super) again: Vec<Asked>,
}

impl Ingest {
    /// Decides which of those that ask are recorded, and names these in the items of their people.
    pub(super) async fn settle(
        &self,
        account: &Account,
        asked: Vec<Asked>,
        (read, source): (Read, Source),
        now: Timestamp,
        counts: &mut Ingested,
    ) -> Result<Settled, StoreError> {
        let lookup = self.look_up(account, &asked, read).await?;
        let mut settled = Settled::default();
        let mut by_person: Vec<(RecipientId, Vec<Asked>)> = Vec::new();
        let mut numbers: HashMap<RecipientId, usize> = HashMap::new();
        for asked in asked {
            if lookup.keys.contains(&asked.event) {
                debug!(account = %account.id, event = %asked.event, "recorded before");
                counts.duplicate += 1;
                continue;
            }
            let Some(person) = asked.person().cloned() else {
                settled.new.push((asked, None));
                continue;
            };
            let number = *numbers.entry(person.clone()).or_insert(by_person.len());
            match by_person.get_mut(number) {
                Some((_, of_person)) => of_person.push(asked),
                None => by_person.push((person, vec![asked])),
            }
        }
        if !settled.new.is_empty() || !by_person.is_empty() {
            self.check_clock()?;
        }
        for (person, asked) in by_person {
            let known = lookup.people.get(&person);
            self.settle_person(account, &person, known, asked, source, now, counts, &mut settled)
                .await?;
        }
        Ok(settled)
    }

    async fn look_up(
        &self,
        account: &Account,
        asked: &[Asked],
        read: Read,
    ) -> Result<Lookup, StoreError> {
        let keys: Vec<OnceKey> = asked.iter().map(|asked| asked.event.clone()).collect();
        let mut people: Vec<RecipientId> = Vec::new();
        // A process that is one step ahead also makes an entry under the comment's id.
        let is_by_person = self.entry_keys != EntryKeys::Comment;
        for person in asked.iter().filter_map(Asked::person) {
            if is_by_person && !people.contains(person) {
                people.push(person.clone());
            }
        }
        self.sends.look_up(&account.id, &keys, &people, read).await
    }

    /// Settles what one person asks for, one after the other.
    #[expect(clippy::too_many_arguments, reason = "one step of `settle`")]
    async fn settle_person(
        &self,
        account: &Account,
        person: &RecipientId,
        known: Option<&Person>,
        asked: Vec<Asked>,
        source: Source,
        now: Timestamp,
        counts: &mut Ingested,
        settled: &mut Settled,
    ) -> Result<(), StoreError> {
        let mut answered = known.map(|known| known.answered.clone()).unwrap_or_default();
        // Of a person without an item the first send makes it. What else they ask for comes after.
        let mut is_first = known.is_none() && self.entry_keys == EntryKeys::Person;
        let mut stand_in: Option<(Nth, Asked)> = None;
        for asked in asked {
            let forgotten_at = answered.forgotten_at();
            let is_dated = source == Source::Dated;
            if forgotten_at.is_some_and(|at| is_forgotten(at, asked.told_at, is_dated)) {
                counts.duplicate += 1;
                continue;
            }
            match answered.known(&asked.told(), asked.once.per, now) {
                Known::Comment(Nth::First) => counts.duplicate += 1,
                // The process that named this send may have died before it recorded it.
                Known::Comment(nth) => {
                    let asked = asked.answered_by(nth);
                    if self.is_recorded(&asked.send.id).await? {
                        counts.duplicate += 1;
                    } else {
                        settled.new.push((asked, None));
                    }
                }
                Known::Person(_) | Known::Full if self.entry_keys == EntryKeys::Comment => {
                    settled.new.push((asked, None));
                }
                Known::Person(nth) => {
                    debug!(account = %account.id, event = %asked.event, "a repeat");
                    counts.repeat += 1;
                    // Only a comment may be gone before its call.
                    if !asked.send.trigger().is_comment() {
                        continue;
                    }
                    let is_newer =
                        |(_, other): &(Nth, Asked)| other.send.deadline < asked.send.deadline;
                    if stand_in.as_ref().is_none_or(is_newer) {
                        stand_in = Some((nth, asked));
                    }
                }
                Known::Full => {
                    warn!(account = %account.id, event = %asked.event, "not answered: the person has had as many DMs as one gets in ten days");
                    counts.too_many += 1;
                }
                Known::Nothing(_) if self.entry_keys == EntryKeys::Comment => {
                    settled.new.push((asked, None));
                }
                Known::Nothing(nth) if is_first => {
                    is_first = false;
                    answered = answered.with(nth, &asked.told(), asked.once, now);
                    settled.new.push((asked.answered_by(nth), Some(answered.clone())));
                }
                // Named after the person's first send has been recorded.
                Known::Nothing(_) if known.is_none() && self.entry_keys == EntryKeys::Person => {
                    settled.again.push(asked);
                }
                Known::Nothing(nth) => {
                    let nth = if self.entry_keys == EntryKeys::Both { Nth::Comment } else { nth };
                    let after = answered.with(nth, &asked.told(), asked.once, now);
                    let has_item = known.is_some() || answered != Answers::default();
                    let before = has_item.then_some(&answered);
                    let id = &account.id;
                    if self.sends.replace_answered(id, person, before, &after).await? {
                        answered = after;
                        settled.new.push((asked.answered_by(nth), None));
                    } else {
                        settled.again.push(asked);
                    }
                }
            }
        }
        if let Some((nth, asked)) = stand_in {
            let asked = asked.answered_by(nth);
            let mut new = settled.new.iter_mut().map(|(new, _)| &mut new.send);
            match new.find(|new| new.id == asked.send.id) {
                // Its first comment came with it.
                Some(first) => first.stand_in = stands_in(first, &asked.send),
                None => self.stand_in(known, &answered, nth, &asked, now).await?,
            }
        }
        Ok(())
    }

    async fn is_recorded(&self, send: &SendId) -> Result<bool, StoreError> {
        let entries = self.sends.entries(std::slice::from_ref(send), Read::Consistent).await?;
        Ok(!matches!(entries.first(), Some(Entry::Missing) | None))
    }

    /// Notes a person's newest comment for their send while that waits.
    async fn stand_in(
        &self,
        known: Option<&Person>,
        answered: &Answers,
        nth: Nth,
        newest: &Asked,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = &newest.send.id;
        let entry = match (nth, known) {
            (Nth::First, Some(person)) => person.first.clone(),
            (Nth::Later(_), Some(_)) => {
                let entries = self.sends.entries(std::slice::from_ref(id), Read::Eventual).await?;
                entries.into_iter().next().unwrap_or(Entry::Missing)
            }
            // It is kept under its comment's id, which its person's item does not tell.
            (Nth::Comment, _) | (_, None) => return Ok(()),
        };
        let Entry::Waiting(_, waiting) = entry else { return Ok(()) };
        if let Some(stand_in) = stands_in(&waiting, &newest.send) {
            // As long as its comment may be told of again.
            let expires_at = answered.until().max(now + 2 * REPLY_WINDOW);
            self.sends.put_stand_in(id, &stand_in, expires_at).await?;
        }
        Ok(())
    }
}

/// Returns the stand-in for a waiting send if the newer comment may become one.
fn stands_in(waiting: &PendingSend, newer: &PendingSend) -> Option<StandIn> {
    let (Address::Comment { id: first, .. }, Address::Comment { id, .. }) =
        (&waiting.to, &newer.to)
    else {
        return None;
    };
    let is_newer = match &waiting.stand_in {
        Some(known) => known.deadline < newer.deadline,
        None => first != id && waiting.deadline <= newer.deadline,
    };
    let stand_in = StandIn { comment: id.clone(), deadline: newer.deadline };
    (is_newer && waiting.class == newer.class).then_some(stand_in)
}
