//! What Meta knows: accounts and their tokens, comments, broadcasts and open conversations.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_judge::Heard;

use super::content::Content;
use super::hash;
use super::person::Person;

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

/// A public reply of an account to a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicReply {
    /// Its id.
    pub id: CommentId,
    /// The comment that it is below.
    pub comment: CommentId,
    /// What it says.
    pub text: String,
    /// When it was made.
    pub made_at: Timestamp,
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
    /// Nobody replies in public to this comment: it is hidden, or on live video.
    NotRepliable,
    /// It was more than a text, for somebody who does not follow the account.
    TextOnly,
    /// The person has not let the account read their profile.
    NoConsent,
    /// The person has blocked the account.
    Blocked,
}

/// An account as Meta knows it.
struct Account {
    token: String,
    connection: Connection,
    /// The webhook fields it is subscribed to.
    fields: BTreeSet<String>,
    /// What its owner has allowed.
    permissions: BTreeSet<String>,
    /// Since when no webhook about it is taken.
    failing_since: Option<Timestamp>,
}

/// What an account's owner is asked to allow.
pub(super) const PERMISSIONS: [&str; 3] = [
    "instagram_business_basic",
    "instagram_business_manage_comments",
    "instagram_business_manage_messages",
];

/// The webhook fields that the app is subscribed to.
const FIELDS: [&str; 6] = [
    "comments",
    "live_comments",
    "messages",
    "message_echoes",
    "messaging_postbacks",
    "messaging_referral",
];

fn all_permissions() -> BTreeSet<String> {
    PERMISSIONS.map(str::to_owned).into()
}

/// A token.
#[derive(Clone)]
struct Token {
    account: AccountId,
    obtained_at: Timestamp,
    ends_at: Option<Timestamp>,
}

/// What a comment says, and by whom, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The text.
    pub text: String,
    /// The author's name.
    pub username: Option<String>,
}

/// After so long without a delivery that is taken Meta unsubscribes an account (Messenger
/// webhooks).
const UNSUBSCRIBED_AFTER: Duration = Duration::from_secs(3600);

/// How long a long-lived token lasts.
pub(super) const TOKEN_LASTS: Duration = Duration::from_secs(60 * 24 * 3600);

/// How old it must be to be refreshed.
const TOKEN_AGE_MIN: Duration = Duration::from_secs(24 * 3600);

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
    /// An account whose token has ended.
    Ended(AccountId),
    /// Nobody.
    Nobody,
}

impl Holder {
    pub(super) fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Connected(account) | Self::Removed(account) | Self::Ended(account) => {
                Some(account)
            }
            Self::Nobody => None,
        }
    }
}

struct Known {
    comment: Comment,
    answered_at: Option<Timestamp>,
    /// Whether a refused private reply has used up the only one.
    is_used_up: bool,
    is_deleted: bool,
}

/// Everything that Meta knows.
#[derive(Default)]
pub(super) struct World {
    accounts: HashMap<AccountId, Account>,
    tokens: HashMap<String, Token>,
    /// The app's id and secret, where people log in to it.
    app: Option<(String, String)>,
    /// Codes that logins came back with.
    codes: HashMap<String, AccountId>,
    words: HashMap<(AccountId, CommentId), Words>,
    /// By account too: a comment on a post of two accounts is a comment of each.
    comments: HashMap<(AccountId, CommentId), Known>,
    /// The ids of the comments of all accounts.
    ids: HashSet<CommentId>,
    ended: HashSet<MediaId>,
    hidden: HashSet<CommentId>,
    replies: HashMap<(AccountId, CommentId), Vec<PublicReply>>,
    /// The pictures of albums, and the album of each.
    albums: BTreeMap<(AccountId, MediaId), MediaId>,
    /// Whom an account has met: those who commented, or were made known.
    people: HashMap<(AccountId, RecipientId), Person>,
    /// When each person last wrote to an account.
    wrote: HashMap<(AccountId, RecipientId), Timestamp>,
    /// All that people wrote and tapped, in the order of being told.
    heard: Vec<Heard>,
}

impl World {
    /// Connects an account, subscribed to everything. A second time gives it a new token and kills
    /// the old one.
    pub(super) fn add_account(&mut self, id: AccountId, token: &str) {
        let fields = FIELDS.map(str::to_owned).into();
        let account = Account {
            token: token.to_owned(),
            connection: Connection::Connected,
            fields,
            permissions: all_permissions(),
            failing_since: None,
        };
        if let Some(old) = self.accounts.insert(id.clone(), account) {
            self.tokens.remove(&old.token);
        }
        let life = Token { account: id, obtained_at: Timestamp::EPOCH, ends_at: None };
        self.tokens.insert(token.to_owned(), life);
    }

    pub(super) fn permit(&mut self, id: &AccountId, permissions: BTreeSet<String>) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.permissions = permissions;
        }
    }

    pub(super) fn is_permitted(&self, id: &AccountId, permission: &str) -> bool {
        self.accounts.get(id).is_some_and(|account| account.permissions.contains(permission))
    }

    /// When the account's token was obtained, and when it ends.
    pub(super) fn set_token_life(
        &mut self,
        id: &AccountId,
        obtained_at: Timestamp,
        ends_at: Timestamp,
    ) {
        let Some(account) = self.accounts.get(id) else { return };
        if let Some(token) = self.tokens.get_mut(&account.token) {
            (token.obtained_at, token.ends_at) = (obtained_at, Some(ends_at));
        }
    }

    /// Every token of the account ends, also those that it was given and does not use.
    pub(super) fn end_tokens(&mut self, id: &AccountId, now: Timestamp) {
        for token in self.tokens.values_mut().filter(|token| token.account == *id) {
            token.ends_at = Some(token.ends_at.map_or(now, |ends| ends.min(now)));
        }
    }

    pub(super) fn set_app(&mut self, id: &str, secret: &str) {
        self.app = Some((id.to_owned(), secret.to_owned()));
    }

    pub(super) fn app_id(&self) -> Option<&str> {
        self.app.as_ref().map(|(id, _)| id.as_str())
    }

    pub(super) fn is_app(&self, id: Option<&str>, secret: Option<&str>) -> bool {
        self.app.as_ref().is_some_and(|(app, of_app)| {
            id.is_none_or(|id| id == app) && secret == Some(of_app.as_str())
        })
    }

    pub(super) fn add_code(&mut self, code: &str, account: AccountId) {
        self.codes.insert(code.to_owned(), account);
    }

    /// The account that logged in with this code, once.
    pub(super) fn take_code(&mut self, code: &str) -> Option<AccountId> {
        self.codes.remove(code)
    }

    /// A further token of an account. Who has logged in is connected, and subscribed to nothing
    /// new.
    pub(super) fn give_token(&mut self, id: &AccountId, token: &str, now: Timestamp) {
        let life =
            Token { account: id.clone(), obtained_at: now, ends_at: Some(now + TOKEN_LASTS) };
        self.tokens.insert(token.to_owned(), life);
        let account = self.accounts.entry(id.clone()).or_insert_with(|| Account {
            token: String::new(),
            connection: Connection::Connected,
            fields: BTreeSet::new(),
            permissions: all_permissions(),
            failing_since: None,
        });
        token.clone_into(&mut account.token);
        account.connection = Connection::Connected;
    }

    /// Whether a token is old enough to be refreshed.
    pub(super) fn may_refresh(&self, token: &str, now: Timestamp) -> bool {
        let token = self.tokens.get(token);
        token.is_some_and(|token| now.since(token.obtained_at) >= TOKEN_AGE_MIN)
    }

    /// The webhook fields an account is subscribed to.
    pub(super) fn fields(&self, id: &AccountId) -> BTreeSet<String> {
        self.accounts.get(id).map(|account| account.fields.clone()).unwrap_or_default()
    }

    pub(super) fn subscribe(&mut self, id: &AccountId, fields: BTreeSet<String>) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.fields = fields;
            account.failing_since = None;
        }
    }

    pub(super) fn accounts(&self) -> Vec<AccountId> {
        self.accounts.keys().cloned().collect()
    }

    /// Whether Meta delivers to the account at all.
    pub(super) fn is_subscribed(&self, id: &AccountId) -> bool {
        self.accounts.get(id).is_none_or(|account| !account.fields.is_empty())
    }

    /// A delivery about the account was taken, or was not.
    pub(super) fn delivered(&mut self, id: &AccountId, is_taken: bool, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        if is_taken {
            account.failing_since = None;
        } else if now.since(*account.failing_since.get_or_insert(now)) >= UNSUBSCRIBED_AFTER {
            account.fields.clear();
        }
    }

    pub(super) fn say(&mut self, account: AccountId, comment: CommentId, words: Words) {
        self.words.insert((account, comment), words);
    }

    pub(super) fn words(&self, comment: &Comment) -> Words {
        let key = (comment.account.clone(), comment.id.clone());
        self.words.get(&key).cloned().unwrap_or_default()
    }

    /// The account's posts that were commented on, each with when and how often.
    pub(super) fn media(&self, account: &AccountId) -> BTreeMap<MediaId, (Timestamp, u64)> {
        let mut media: BTreeMap<MediaId, (Timestamp, u64)> = BTreeMap::new();
        for comment in self.visible(account) {
            let (first, count) =
                media.entry(comment.media.clone()).or_insert((comment.created_at, 0));
            *first = comment.created_at.min(*first);
            *count += 1;
        }
        media
    }

    /// An album of an account. Comments are on its pictures, and listed under the album too.
    pub(super) fn add_album(&mut self, account: AccountId, album: &str, pictures: &[&str]) {
        let picture = |picture: &&str| ((account.clone(), (*picture).into()), album.into());
        self.albums.extend(pictures.iter().map(picture));
    }

    /// A media as a read of `media_type` and `children` tells it.
    pub(super) fn album(&self, account: &AccountId, media: &MediaId) -> serde_json::Value {
        let pictures =
            self.albums.iter().filter(|((of, _), album)| of == account && *album == media);
        let pictures: Vec<_> =
            pictures.map(|((_, id), _)| serde_json::json!({ "id": id.as_str() })).collect();
        if pictures.is_empty() {
            return serde_json::json!({ "id": media.as_str(), "media_type": "VIDEO" });
        }
        serde_json::json!({
            "id": media.as_str(),
            "media_type": "CAROUSEL_ALBUM",
            "children": { "data": pictures },
        })
    }

    fn is_on(&self, comment: &Comment, media: &MediaId) -> bool {
        let picture = (comment.account.clone(), comment.media.clone());
        comment.media == *media || self.albums.get(&picture) == Some(media)
    }

    /// The comments of a post, the newest first.
    pub(super) fn comments(&self, account: &AccountId, media: &MediaId) -> Vec<&Comment> {
        let mut comments: Vec<&Comment> =
            self.visible(account).filter(|comment| self.is_on(comment, media)).collect();
        comments.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        comments
    }

    fn visible(&self, account: &AccountId) -> impl Iterator<Item = &Comment> {
        let known = self.comments.values().filter(|known| !known.is_deleted);
        known
            .map(|known| &known.comment)
            .filter(move |comment| comment.account == *account && comment.surface == Surface::Post)
    }

    pub(super) fn disconnect(&mut self, id: &AccountId) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.connection = Connection::Removed;
        }
    }

    pub(super) fn has_account(&self, id: &AccountId) -> bool {
        self.accounts.contains_key(id)
    }

    pub(super) fn holder(&self, token: Option<&str>, now: Timestamp) -> Holder {
        let Some(token) = token.and_then(|token| self.tokens.get(token)) else {
            return Holder::Nobody;
        };
        let id = &token.account;
        if token.ends_at.is_some_and(|ends| ends <= now) {
            return Holder::Ended(id.clone());
        }
        match self.accounts.get(id).map(|account| account.connection) {
            Some(Connection::Connected) => Holder::Connected(id.clone()),
            _ => Holder::Removed(id.clone()),
        }
    }

    /// Makes a comment known. What is known of it already stays: its delivery may be a repeat.
    pub(super) fn observe(&mut self, comment: Comment) {
        let username = self.words(&comment).username;
        let person = (comment.account.clone(), comment.author.clone());
        let person = self.people.entry(person).or_default();
        person.username = username.or(person.username.take());
        self.ids.insert(comment.id.clone());
        let key = (comment.account.clone(), comment.id.clone());
        self.comments.entry(key).or_insert(Known {
            comment,
            answered_at: None,
            is_used_up: false,
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

    /// Whether any account has this comment.
    pub(super) fn knows(&self, comment: &CommentId) -> bool {
        self.ids.contains(comment)
    }

    /// The comment, where it is on this account.
    pub(super) fn comment(&self, id: &CommentId, account: &AccountId) -> Option<&Comment> {
        self.comments.get(&(account.clone(), id.clone())).map(|known| &known.comment)
    }

    /// Deletes a comment, wherever it is seen: it has one author.
    pub(super) fn delete_comment(&mut self, id: &CommentId) {
        for (_, known) in self.comments.iter_mut().filter(|((_, comment), _)| comment == id) {
            known.is_deleted = true;
        }
    }

    pub(super) fn end_broadcast(&mut self, media: MediaId) {
        self.ended.insert(media);
    }

    /// When a comment on this account was answered in private.
    pub(super) fn answered_at(&self, id: &CommentId, account: &AccountId) -> Option<Timestamp> {
        self.comments.get(&(account.clone(), id.clone()))?.answered_at
    }

    /// When a comment on this account was made.
    pub(super) fn readable(
        &self,
        id: &CommentId,
        account: &AccountId,
    ) -> Result<&Comment, Refusal> {
        let known = self.comments.get(&(account.clone(), id.clone()));
        known
            .filter(|known| !known.is_deleted)
            .map(|known| &known.comment)
            .ok_or(Refusal::NoSuchObject)
    }

    /// A person wrote at `at`. What they wrote before may be told later.
    pub(super) fn open_window(&mut self, account: AccountId, person: RecipientId, at: Timestamp) {
        self.heard.push(Heard { at, account: account.clone(), person: person.clone() });
        let wrote = self.wrote.entry((account, person)).or_insert(at);
        *wrote = at.max(*wrote);
    }

    /// All that people wrote and tapped, in the order of being told.
    pub(super) fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// Answers a comment in private, once, and says whom that reached.
    pub(super) fn answer_comment(
        &mut self,
        id: &CommentId,
        account: &AccountId,
        content: &Content,
        now: Timestamp,
    ) -> Result<RecipientId, Refusal> {
        let known = self.comments.get_mut(&(account.clone(), id.clone()));
        let known = known.filter(|known| !known.is_deleted).ok_or(Refusal::NoSuchObject)?;
        let in_time = match known.comment.surface {
            Surface::Post => now.since(known.comment.created_at) <= PRIVATE_REPLY_SPAN,
            Surface::Live => !self.ended.contains(&known.comment.media),
        };
        if known.answered_at.is_some() || known.is_used_up || !in_time {
            return Err(Refusal::NotAnswerable);
        }
        let author = known.comment.author.clone();
        let person = self.people.get(&(account.clone(), author.clone()));
        if person.is_some_and(|person| person.has_blocked) {
            return Err(Refusal::Blocked);
        }
        if content.is_attachment() && person.is_none_or(|person| person.follows != Some(true)) {
            known.is_used_up = true;
            return Err(Refusal::TextOnly);
        }
        known.answered_at = Some(now);
        Ok(author)
    }

    /// Hides a comment: only its author sees it.
    pub(super) fn hide_comment(&mut self, id: CommentId) {
        self.hidden.insert(id);
    }

    /// Replies to a comment in public. Meta takes as many replies as are made.
    pub(super) fn reply_in_public(
        &mut self,
        account: &AccountId,
        reply: PublicReply,
    ) -> Result<(), Refusal> {
        let comment = self.readable(&reply.comment, account)?;
        if comment.surface == Surface::Live || self.hidden.contains(&reply.comment) {
            return Err(Refusal::NotRepliable);
        }
        let key = (account.clone(), reply.comment.clone());
        self.replies.entry(key).or_default().push(reply);
        Ok(())
    }

    /// The public replies to a comment of this account, in order.
    pub(super) fn replies(&self, id: &CommentId, account: &AccountId) -> &[PublicReply] {
        self.replies.get(&(account.clone(), id.clone())).map_or(&[], Vec::as_slice)
    }

    /// Lets a comment be answered once more: its answer was made, and Meta does not know it.
    pub(super) fn forget_answer(&mut self, id: &CommentId, account: &AccountId) {
        if let Some(known) = self.comments.get_mut(&(account.clone(), id.clone())) {
            known.answered_at = None;
        }
    }

    /// Changes what is known of a person.
    pub(super) fn change_person(
        &mut self,
        account: AccountId,
        person: RecipientId,
        change: impl FnOnce(&mut Person),
    ) {
        change(self.people.entry((account, person)).or_default());
    }

    /// A person as they are, whatever the account may read.
    pub(super) fn person(&self, account: AccountId, person: RecipientId) -> Option<Person> {
        self.people.get(&(account, person)).cloned()
    }

    /// A person as the account may read them.
    pub(super) fn profile(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Person, Refusal> {
        let pair = (account.clone(), person.clone());
        let known = self.people.get(&pair);
        match self.wrote.get(&pair) {
            Some(_) if known.is_some_and(|known| known.has_blocked) => Err(Refusal::NoConsent),
            Some(_) => Ok(known.cloned().unwrap_or_default()),
            None if known.is_some() => Err(Refusal::NoConsent),
            None => Err(Refusal::NoSuchObject),
        }
    }

    /// When a person last wrote to the account.
    pub(super) fn wrote(&self, account: &AccountId, person: &RecipientId) -> Option<Timestamp> {
        self.wrote.get(&(account.clone(), person.clone())).copied()
    }

    /// Whether the account may write to a person.
    pub(super) fn may_write(
        &self,
        person: &RecipientId,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let pair = (account.clone(), person.clone());
        if self.people.get(&pair).is_some_and(|known| known.has_blocked) {
            return Err(Refusal::Blocked);
        }
        match self.wrote.get(&pair) {
            Some(&wrote) if now.since(wrote) <= CONVERSATION_SPAN => Ok(()),
            None if !self.people.contains_key(&pair) => Err(Refusal::NoSuchPerson),
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

    fn text() -> Content {
        Content { text: Some("hi".into()), ..Content::default() }
    }

    fn answer(world: &mut World, millis: u64) -> Result<RecipientId, Refusal> {
        world.answer_comment(&"c".into(), &"a".into(), &text(), at(millis))
    }

    #[test]
    fn nothing_reaches_a_person_who_has_blocked_the_account() {
        let mut world = world(Surface::Post);
        world.open_window("a".into(), "p".into(), at(0));
        assert_eq!(world.may_write(&"p".into(), &"a".into(), at(1)), Ok(()));
        world.change_person("a".into(), "p".into(), |them| them.has_blocked = true);
        assert_eq!(world.may_write(&"p".into(), &"a".into(), at(1)), Err(Refusal::Blocked));
        assert_eq!(world.profile(&"a".into(), &"p".into()), Err(Refusal::NoConsent));
        assert_eq!(answer(&mut world, 1), Err(Refusal::Blocked));
        assert_eq!(world.heard().len(), 1);
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
    fn more_than_a_text_uses_the_only_reply_up_unless_its_author_follows() {
        let card = Content::default();
        let mut stranger = world(Surface::Post);
        let sent = stranger.answer_comment(&"c".into(), &"a".into(), &card, at(1));
        assert_eq!(sent, Err(Refusal::TextOnly));
        assert_eq!(answer(&mut stranger, 2), Err(Refusal::NotAnswerable));
        assert_eq!(stranger.answered_at(&"c".into(), &"a".into()), None);
        let mut follower = world(Surface::Post);
        follower.change_person("a".into(), "p".into(), |person| person.follows = Some(true));
        let sent = follower.answer_comment(&"c".into(), &"a".into(), &card, at(1));
        assert_eq!(sent, Ok("p".into()));
    }

    #[test]
    fn a_profile_takes_the_persons_own_message() {
        let mut world = world(Surface::Post);
        let profile = |world: &World, person: &str| world.profile(&"a".into(), &person.into());
        assert_eq!(profile(&world, "p"), Err(Refusal::NoConsent));
        assert_eq!(profile(&world, "nobody"), Err(Refusal::NoSuchObject));
        world.open_window("a".into(), "p".into(), at(1));
        assert_eq!(profile(&world, "p"), Ok(Person::default()));
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
        let elsewhere = world.answer_comment(&"c".into(), &"b".into(), &text(), at(0));
        assert_eq!(elsewhere, Err(Refusal::NoSuchObject));
        world.delete_comment(&"c".into());
        assert_eq!(answer(&mut world, 1), Err(Refusal::NoSuchObject));
    }

    /// A post of two accounts: each is told of the comment, and may answer it.
    #[test]
    fn the_same_id_under_two_accounts_is_two_comments() {
        let mut world = world(Surface::Post);
        let comment = world.comment(&"c".into(), &"a".into()).unwrap().clone();
        world.observe(Comment { account: "b".into(), author: "q".into(), ..comment });
        let of_b = world.answer_comment(&"c".into(), &"b".into(), &text(), at(1));
        assert_eq!(of_b, Ok("q".into()));
        assert_eq!(world.answered_at(&"c".into(), &"a".into()), None);
        assert_eq!(answer(&mut world, 2), Ok("p".into()));
        assert_eq!(answer(&mut world, 3), Err(Refusal::NotAnswerable));
        world.delete_comment(&"c".into());
        assert_eq!(world.readable(&"c".into(), &"b".into()), Err(Refusal::NoSuchObject));
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
        world.open_window("a".into(), "p".into(), at(1));
        assert_eq!(may(&world, "p", 5 + DAY_MS), Ok(()), "told late");
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
        let made_at = |world: &World, id: &str, account: &str| {
            world.readable(&id.into(), &account.into()).map(|comment| comment.created_at)
        };
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
        assert_eq!(world.holder(Some("token"), at(0)), Holder::Connected("a".into()));
        world.add_account("a".into(), "fresh");
        assert_eq!(world.holder(Some("token"), at(0)), Holder::Nobody);
        world.disconnect(&"a".into());
        assert_eq!(world.holder(Some("fresh"), at(0)), Holder::Removed("a".into()));
        assert_eq!(world.holder(None, at(0)), Holder::Nobody);
    }
}
