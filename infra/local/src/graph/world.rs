//! What Meta knows: accounts and their tokens, comments, broadcasts and open conversations.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;

use super::hash;

/// How long after its creation a comment may be answered in private.
const PRIVATE_REPLY_SPAN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a person's own message lets the account write.
const CONVERSATION_SPAN: Duration = Duration::from_secs(24 * 3600);

/// A comment as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: CommentId,
    /// Whose media it is on.
    pub account: AccountId,
    /// The post, Reel or broadcast.
    pub media: MediaId,
    /// Its author, by the id scoped to the account.
    pub author: RecipientId,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it is on.
    pub surface: Surface,
}

/// What a comment is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A post or a Reel.
    Post,
    /// A live broadcast: answerable while it lasts.
    Live,
}

/// What to do with a private reply to a comment that nobody made known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownComments {
    /// Refuse it: there is no such object.
    #[default]
    Refuse,
    /// Let the comment have been made on a post this instant, by somebody whose id follows from
    /// the comment's. For comments typed by hand.
    Accept,
}

/// Why a send is refused, as far as the world decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such comment, or not on this account.
    NoSuchObject,
    /// The comment cannot be answered in private: answered already, too old, broadcast over.
    NotAnswerable,
    /// The account has never met this person.
    NoSuchPerson,
    /// The person has not written within the last day.
    ConversationClosed,
}

/// An account as Meta knows it.
struct Account {
    token: String,
    connection: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Connected,
    Removed,
}

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A connected account.
    Connected(AccountId),
    /// An account that has removed the app.
    Removed(AccountId),
    /// Nobody.
    Nobody,
}

impl Holder {
    pub(super) fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Connected(account) | Self::Removed(account) => Some(account),
            Self::Nobody => None,
        }
    }
}

struct Known {
    comment: Comment,
    is_answered: bool,
    is_deleted: bool,
}

/// Everything that Meta knows.
#[derive(Default)]
pub(super) struct World {
    accounts: HashMap<AccountId, Account>,
    tokens: HashMap<String, AccountId>,
    comments: HashMap<CommentId, Known>,
    ended: HashSet<MediaId>,
    /// Whom an account has met: those who commented or wrote.
    people: HashSet<(AccountId, RecipientId)>,
    /// When each person last wrote to an account.
    wrote: HashMap<(AccountId, RecipientId), Timestamp>,
}

impl World {
    /// Connects an account. A second time gives it a new token and kills the old one.
    pub(super) fn add_account(&mut self, id: AccountId, token: &str) {
        let account = Account { token: token.to_owned(), connection: Connection::Connected };
        if let Some(old) = self.accounts.insert(id.clone(), account) {
            self.tokens.remove(&old.token);
        }
        self.tokens.insert(token.to_owned(), id);
    }

    pub(super) fn disconnect(&mut self, id: &AccountId) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.connection = Connection::Removed;
        }
    }

    pub(super) fn has_account(&self, id: &AccountId) -> bool {
        self.accounts.contains_key(id)
    }

    pub(super) fn holder(&self, token: Option<&str>) -> Holder {
        let Some(id) = token.and_then(|token| self.tokens.get(token)) else {
            return Holder::Nobody;
        };
        match self.accounts.get(id).map(|account| account.connection) {
            Some(Connection::Connected) => Holder::Connected(id.clone()),
            _ => Holder::Removed(id.clone()),
        }
    }

    /// Makes a comment known. What is known of it already stays: its delivery may be a repeat.
    pub(super) fn observe(&mut self, comment: Comment) {
        self.people.insert((comment.account.clone(), comment.author.clone()));
        self.comments.entry(comment.id.clone()).or_insert(Known {
            comment,
            is_answered: false,
            is_deleted: false,
        });
    }

    /// Lets a comment have been made this instant.
    pub(super) fn invent(
        &mut self,
        id: &CommentId,
        account: &AccountId,
        now: Timestamp,
        seed: u64,
    ) {
        let author = hash::digits(seed, &["author", id.as_str()]);
        self.observe(Comment {
            id: id.clone(),
            account: account.clone(),
            media: MediaId::new("unknown"),
            author: RecipientId::new(author),
            created_at: now,
            surface: Surface::Post,
        });
    }

    pub(super) fn knows(&self, comment: &CommentId) -> bool {
        self.comments.contains_key(comment)
    }

    /// The comment, where it is on this account.
    pub(super) fn comment(&self, id: &CommentId, account: &AccountId) -> Option<&Comment> {
        let comment = self.comments.get(id).map(|known| &known.comment);
        comment.filter(|comment| &comment.account == account)
    }

    pub(super) fn delete_comment(&mut self, id: &CommentId) {
        if let Some(known) = self.comments.get_mut(id) {
            known.is_deleted = true;
        }
    }

    pub(super) fn end_broadcast(&mut self, media: MediaId) {
        self.ended.insert(media);
    }

    /// When a comment on this account was made.
    pub(super) fn made_at(
        &self,
        id: &CommentId,
        account: &AccountId,
    ) -> Result<Timestamp, Refusal> {
        let known = self.comments.get(id).filter(|known| !known.is_deleted);
        known
            .filter(|known| &known.comment.account == account)
            .map(|known| known.comment.created_at)
            .ok_or(Refusal::NoSuchObject)
    }

    pub(super) fn open_window(&mut self, account: AccountId, person: RecipientId, now: Timestamp) {
        self.wrote.insert((account, person), now);
    }

    /// Answers a comment in private, once, and says whom that reached.
    pub(super) fn answer_comment(
        &mut self,
        id: &CommentId,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<RecipientId, Refusal> {
        let known = self.comments.get_mut(id).ok_or(Refusal::NoSuchObject)?;
        if &known.comment.account != account || known.is_deleted {
            return Err(Refusal::NoSuchObject);
        }
        let in_time = match known.comment.surface {
            Surface::Post => now.since(known.comment.created_at) <= PRIVATE_REPLY_SPAN,
            Surface::Live => !self.ended.contains(&known.comment.media),
        };
        if known.is_answered || !in_time {
            return Err(Refusal::NotAnswerable);
        }
        known.is_answered = true;
        Ok(known.comment.author.clone())
    }

    /// Whether the account may write to a person.
    pub(super) fn may_write(
        &self,
        person: &RecipientId,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let pair = (account.clone(), person.clone());
        match self.wrote.get(&pair) {
            Some(&wrote) if now.since(wrote) <= CONVERSATION_SPAN => Ok(()),
            None if !self.people.contains(&pair) => Err(Refusal::NoSuchPerson),
            _ => Err(Refusal::ConversationClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn world(surface: Surface) -> World {
        let mut world = World::default();
        world.add_account("a".into(), "token");
        world.observe(Comment {
            id: "c".into(),
            account: "a".into(),
            media: "m".into(),
            author: "p".into(),
            created_at: at(0),
            surface,
        });
        world
    }

    fn answer(world: &mut World, millis: u64) -> Result<RecipientId, Refusal> {
        world.answer_comment(&"c".into(), &"a".into(), at(millis))
    }

    #[test]
    fn a_comment_is_answered_once_within_seven_days() {
        assert_eq!(answer(&mut world(Surface::Post), 7 * DAY_MS), Ok("p".into()));
        let late = answer(&mut world(Surface::Post), 7 * DAY_MS + 1);
        assert_eq!(late, Err(Refusal::NotAnswerable));
        let mut world = world(Surface::Post);
        assert_eq!(answer(&mut world, 0), Ok("p".into()));
        assert_eq!(answer(&mut world, 0), Err(Refusal::NotAnswerable));
    }

    #[test]
    fn a_repeated_delivery_does_not_make_a_comment_answerable_again() {
        let mut world = world(Surface::Post);
        answer(&mut world, 0).unwrap();
        let again = world.comment(&"c".into(), &"a".into()).unwrap().clone();
        world.observe(again);
        assert_eq!(answer(&mut world, 1), Err(Refusal::NotAnswerable));
    }

    #[test]
    fn a_live_comment_is_answerable_while_the_broadcast_lasts() {
        let mut live = world(Surface::Live);
        live.end_broadcast("other".into());
        assert!(answer(&mut live, 1).is_ok());
        let mut over = world(Surface::Live);
        over.end_broadcast("m".into());
        assert_eq!(answer(&mut over, 1), Err(Refusal::NotAnswerable));
    }

    #[test]
    fn what_is_gone_or_elsewhere_does_not_exist() {
        let mut world = world(Surface::Post);
        let elsewhere = world.answer_comment(&"c".into(), &"b".into(), at(0));
        assert_eq!(elsewhere, Err(Refusal::NoSuchObject));
        world.delete_comment(&"c".into());
        assert_eq!(answer(&mut world, 1), Err(Refusal::NoSuchObject));
    }

    #[test]
    fn a_person_who_wrote_may_be_written_to_for_a_day() {
        let mut world = world(Surface::Post);
        let may = |world: &World, person: &str, millis| {
            world.may_write(&person.into(), &"a".into(), at(millis))
        };
        assert_eq!(may(&world, "nobody", 0), Err(Refusal::NoSuchPerson));
        assert_eq!(may(&world, "p", 0), Err(Refusal::ConversationClosed));
        world.open_window("a".into(), "p".into(), at(5));
        assert_eq!(may(&world, "p", 5 + DAY_MS), Ok(()));
        assert_eq!(may(&world, "p", 6 + DAY_MS), Err(Refusal::ConversationClosed));
        let elsewhere = world.may_write(&"p".into(), &"b".into(), at(5));
        assert_eq!(elsewhere, Err(Refusal::NoSuchPerson), "ids of people are scoped");
    }

    #[test]
    fn an_answer_of_the_accounts_own_opens_no_conversation() {
        let mut world = world(Surface::Post);
        answer(&mut world, 0).unwrap();
        let may = world.may_write(&"p".into(), &"a".into(), at(1));
        assert_eq!(may, Err(Refusal::ConversationClosed));
    }

    #[test]
    fn a_comment_tells_its_account_when_it_was_made() {
        let mut world = world(Surface::Post);
        let made_at =
            |world: &World, id: &str, account: &str| world.made_at(&id.into(), &account.into());
        assert_eq!(made_at(&world, "c", "a"), Ok(at(0)));
        assert_eq!(made_at(&world, "c", "b"), Err(Refusal::NoSuchObject));
        assert_eq!(made_at(&world, "d", "a"), Err(Refusal::NoSuchObject));
        answer(&mut world, 1).unwrap();
        assert_eq!(made_at(&world, "c", "a"), Ok(at(0)));
        world.delete_comment(&"c".into());
        assert_eq!(made_at(&world, "c", "a"), Err(Refusal::NoSuchObject));
    }

    #[test]
    fn tokens_name_their_account() {
        let mut world = world(Surface::Post);
        assert_eq!(world.holder(Some("token")), Holder::Connected("a".into()));
        world.add_account("a".into(), "fresh");
        assert_eq!(world.holder(Some("token")), Holder::Nobody);
        world.disconnect(&"a".into());
        assert_eq!(world.holder(Some("fresh")), Holder::Removed("a".into()));
        assert_eq!(world.holder(None), Holder::Nobody);
    }
}
