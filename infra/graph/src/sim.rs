//! The simulated Graph API itself: in which order a call is judged, struck by faults, checked and
//! answered. Everything about a call happens under one lock, so the log's order is the order in
//! which things happened.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_judge::{
    Action, Answered, Arrival, Breach, CallRecord, Counted, Fate, Heard, Judge, Limits, Report,
    Scope, Unit, Violation, recount,
};
use spillway_service::clock::Clock;

use super::answer::{Answer, GraphError, Reply, app_usage, business_usage, written};
use super::faults::{Fault, FaultKind, Faults, Phase, Standing, Struck};
use super::hash;
use super::messages::{EchoDelivery, HandWritten, Messages, SentMessage};
use super::person::Person;
use super::request::{Body, Call, Edge, Target, To, reply_text};
use super::world::{Comment, Holder, PublicReply, Refusal, Surface, UnknownComments, Words, World};

/// What the simulated API is to be like.
#[derive(Clone, Debug)]
pub struct GraphConfig {
    /// The limits it enforces and judges by.
    pub limits: Limits,
    /// The seed of every id it makes.
    pub seed: u64,
    /// What it does with comments that nobody made known.
    pub unknown_comments: UnknownComments,
    /// From how many percent on normal answers carry usage headers: what the judge has counted of
    /// the limits on every call, the account's and the app's. (Meta tells nothing of the others.)
    /// `None` leaves them away: whether Meta sends them with messages is not documented, and an
    /// account that keeps just below the very limits it enforces would be slowed down by them.
    /// [`FaultKind::Usage`] puts other figures in their place.
    pub usage_from_percent: Option<u32>,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            limits: Limits::documented(),
            seed: 0,
            unknown_comments: UnknownComments::default(),
            usage_from_percent: None,
        }
    }
}

/// The simulated Graph API. Clones are handles to the same one.
#[derive(Clone)]
pub struct GraphSim {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for GraphSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphSim").finish_non_exhaustive()
    }
}

impl GraphSim {
    /// An API that knows no account yet.
    pub fn new(config: GraphConfig, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            judge: Judge::new(config.limits.clone()),
            config,
            world: World::default(),
            messages: Messages::default(),
            faults: Faults::default(),
            calls_for: HashMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    /// Connects an account. A second time gives it a new token and kills the old one.
    pub fn add_account(&self, id: impl Into<AccountId>, token: &str) {
        self.state().world.add_account(id.into(), token);
    }

    /// The accounts that were ever connected.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.state().world.accounts()
    }

    /// Lets the account's owner remove the app: its token is dead until it is added again.
    pub fn disconnect_account(&self, id: &AccountId) {
        self.state().world.disconnect(id);
    }

    /// Says when the account's token was obtained, and when it ends. Without this it never does.
    pub fn set_token_life(&self, id: &AccountId, obtained_at: Timestamp, ends_at: Timestamp) {
        self.state().world.set_token_life(id, obtained_at, ends_at);
    }

    /// Lets the account's owner have allowed these permissions and no others, until the next login.
    pub fn permit(&self, id: &AccountId, permissions: &[&str]) {
        let permissions = permissions.iter().map(|&permission| permission.to_owned()).collect();
        self.state().world.permit(id, permissions);
    }

    /// Lets every token of the account end now.
    pub fn end_tokens(&self, id: &AccountId) {
        let now = self.clock.now();
        self.state().world.end_tokens(id, now);
    }

    /// The app that people log in to.
    pub fn set_app(&self, id: &str, secret: &str) {
        self.state().world.set_app(id, secret);
    }

    /// Lets an account's owner log in: the app's id, where there is an app, and the code that they
    /// come back with, which can be exchanged for a token, once.
    pub fn log_in(&self, account: &AccountId) -> Option<(String, String)> {
        let mut state = self.state();
        let app = state.world.app_id()?.to_owned();
        let code = format!("AQB{account}");
        state.world.add_code(&code, account.clone());
        Some((app, code))
    }

    /// The webhook fields that an account is subscribed to.
    pub fn fields(&self, id: &AccountId) -> std::collections::BTreeSet<String> {
        self.state().world.fields(id)
    }

    /// Subscribes an account to these webhook fields, and no others.
    pub fn subscribe(&self, id: &AccountId, fields: &[&str]) {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        self.state().world.subscribe(id, fields);
    }

    /// Whether Meta delivers webhooks about the account. It does about those it does not know.
    pub fn is_subscribed(&self, id: &AccountId) -> bool {
        self.state().world.is_subscribed(id)
    }

    /// A delivery about the account was taken, or was not: after an hour of the latter it is
    /// unsubscribed.
    pub fn told(&self, id: &AccountId, is_taken: bool) {
        let now = self.clock.now();
        self.state().world.delivered(id, is_taken, now);
    }

    /// Sets the text of a comment on an account.
    pub fn say(&self, account: impl Into<AccountId>, comment: impl Into<CommentId>, words: Words) {
        self.state().world.say(account.into(), comment.into(), words);
    }

    /// Makes a comment known. A repeat changes nothing.
    pub fn observe_comment(&self, comment: Comment) {
        self.state().world.observe(comment);
    }

    /// Whether any account has this comment.
    pub fn knows(&self, id: &CommentId) -> bool {
        self.state().world.knows(id)
    }

    /// Lets its author delete a comment, wherever it is seen.
    pub fn delete_comment(&self, id: &CommentId) {
        let mut state = self.state();
        state.world.delete_comment(id);
    }

    /// When a comment had its DM of an account, whether or not anybody was told.
    pub fn answered_at(&self, id: &CommentId, account: &AccountId) -> Option<Timestamp> {
        self.state().world.answered_at(id, account)
    }

    /// Hides a comment: nobody can reply to it in public.
    pub fn hide_comment(&self, id: impl Into<CommentId>) {
        self.state().world.hide_comment(id.into());
    }

    /// The public replies of an account to a comment, in order, whether or not anybody was told.
    pub fn public_replies(&self, id: &CommentId, account: &AccountId) -> Vec<PublicReply> {
        self.state().world.replies(id, account).to_vec()
    }

    /// Ends a live broadcast: its comments can no longer be answered.
    pub fn add_album(&self, account: impl Into<AccountId>, album: &str, pictures: &[&str]) {
        self.state().world.add_album(account.into(), album, pictures);
    }

    /// Ends a broadcast.
    pub fn end_broadcast(&self, media: impl Into<MediaId>) {
        self.state().world.end_broadcast(media.into());
    }

    /// Lets a person write to the account, which may write to them for 24 hours from now.
    pub fn open_window(&self, account: impl Into<AccountId>, person: impl Into<RecipientId>) {
        let mut state = self.state();
        let now = self.clock.now();
        state.world.open_window(account.into(), person.into(), now);
    }

    /// Lets a person have written to the account at `at`, which may write to them for 24 hours from
    /// then, or from when they have written since.
    pub fn wrote(
        &self,
        account: impl Into<AccountId>,
        person: impl Into<RecipientId>,
        at: Timestamp,
    ) {
        self.state().world.open_window(account.into(), person.into(), at);
    }

    /// Changes what is known of a person: their names, and whether they follow the account. Somebody
    /// who is not known yet is made known.
    pub fn change_person(
        &self,
        account: impl Into<AccountId>,
        person: impl Into<RecipientId>,
        change: impl FnOnce(&mut Person),
    ) {
        self.state().world.change_person(account.into(), person.into(), change);
    }

    /// Orders a fault, behind those that stand already.
    pub fn order_fault(&self, fault: Fault) {
        let mut state = self.state();
        let now = self.clock.now();
        state.faults.order(fault, now);
    }

    /// Takes all orders back.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// The orders that may still strike.
    pub fn faults(&self) -> Vec<Standing> {
        self.state().faults.standing(self.clock.now())
    }

    /// Says how long after each message from now on its echoes come: none, one or several.
    pub fn echo_after(&self, after: Vec<Duration>) {
        self.state().messages.echo_after(after);
    }

    /// Says how long after a message its conversation lists it.
    pub fn list_after(&self, after: Duration) {
        self.state().messages.list_after(after);
    }

    /// Takes the echoes of the messages since the last call: each is returned once.
    pub fn take_echoes(&self) -> Vec<EchoDelivery> {
        self.state().messages.take_echoes()
    }

    /// Every message that has reached a person, in order.
    pub fn messages(&self) -> Vec<SentMessage> {
        self.state().messages.sent().to_vec()
    }

    /// The messages that have reached people behind the first `known` ones, in order.
    pub fn messages_since(&self, known: usize) -> Vec<SentMessage> {
        self.state().messages.sent().get(known..).unwrap_or_default().to_vec()
    }

    /// Lets a human write to a person in the account's name, now. It has an echo.
    pub fn write_by_hand(
        &self,
        account: impl Into<AccountId>,
        person: impl Into<RecipientId>,
        text: &str,
    ) {
        let mut state = self.state();
        let (account, person) = (account.into(), person.into());
        let message = HandWritten { account, person, text: text.to_owned(), at: self.clock.now() };
        state.messages.add_by_hand(message);
    }

    /// What humans have written in the name of accounts, in order.
    pub fn by_hand(&self) -> Vec<HandWritten> {
        self.state().messages.by_hand().to_vec()
    }

    /// All that people have written and tapped, in the order of being told.
    pub fn heard(&self) -> Vec<Heard> {
        self.state().world.heard().to_vec()
    }

    /// A person as Meta knows them.
    pub fn person(
        &self,
        account: impl Into<AccountId>,
        person: impl Into<RecipientId>,
    ) -> Option<Person> {
        self.state().world.person(account.into(), person.into())
    }

    /// The judgment so far.
    pub fn report(&self) -> Report {
        self.state().judge.report()
    }

    /// Every call so far, in order of arrival.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.state().judge.calls().to_vec()
    }

    /// The limits it judges by.
    pub fn limits(&self) -> Limits {
        self.state().judge.limits().clone()
    }

    /// The violations counted once more, from the raw log alone.
    pub fn recount(&self) -> Vec<Violation> {
        let state = self.state();
        recount(state.judge.calls(), state.judge.holds(), state.judge.limits())
    }

    /// Judges a call and answers it. The HTTP server does nothing else with what it is sent.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Answer {
        let mut state = self.state();
        // Read under the lock: calls that race get their instants in the order of the log.
        let now = self.clock.now();
        state.answer(call, now)
    }

    /// Says that a late answer found its caller still waiting, so that it was not lost after all.
    /// A caller of [`GraphSim::answer`] says so itself for an answer with a delay.
    pub(crate) fn delivered(&self, answer: &Answer) {
        if let Some(call) = answer.late {
            self.state().judge.told_late(call);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panicking test thread left is still the log of what happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct State {
    config: GraphConfig,
    pub(super) world: World,
    pub(super) messages: Messages,
    faults: Faults,
    judge: Judge,
    /// How many calls each account has made for each subject.
    calls_for: HashMap<(AccountId, String), u64>,
}

/// A call with everything that can be read from it.
pub(super) struct Seen<'wire> {
    pub(super) now: Timestamp,
    pub(super) call: Call<'wire>,
    target: Target<'wire>,
    pub(super) token: Option<String>,
    holder: Holder,
    /// Whose budget it is charged to.
    pub(super) account: AccountId,
    body: Body,
    /// The comment that the call answers or asks about.
    comment: Option<CommentId>,
    /// What a read asks for.
    fields: Vec<String>,
    /// What the judge takes it for.
    action: Action,
    /// Whom it is for, as far as that is known.
    recipient: Option<RecipientId>,
    /// Whom or what the call is for; ids and draws are made of it.
    subject: String,
    /// The how-manieth call of the account for that subject, from 0.
    nth: u64,
}

impl Seen<'_> {
    /// Whether the token speaks for the account that the call is charged to.
    fn is_authorised(&self) -> bool {
        !matches!(self.target, Target::WrongMethod(_) | Target::Unknown(_))
            && matches!(&self.holder, Holder::Connected(account) if *account == self.account)
    }

    fn arrival(&self) -> Arrival {
        // A look at a comment answers none, and a public reply does not answer it in private.
        let is_private = !matches!(self.action, Action::Read | Action::PublicReply);
        let answered = self.comment.clone().filter(|_| is_private);
        Arrival {
            at: self.now,
            granted_at: None,
            account: self.account.clone(),
            action: self.action,
            comment: answered,
            recipient: self.recipient.clone(),
        }
    }
}

/// What came of a call that nothing stopped.
enum Done {
    /// A message reached this person.
    Sent(RecipientId),
    /// A public reply was made.
    Replied(CommentId),
    /// The answer to a read.
    Read(Reply),
}

/// How a call ended, with all that is to be told and written down.
struct Ended {
    reply: Reply,
    code: Option<u32>,
    fate: Fate,
    hold: Option<(Scope, Duration)>,
}

/// An error with the headers and the hold that come with it.
struct Stopped {
    error: GraphError,
    fate: Fate,
    headers: Vec<(&'static str, String)>,
    hold: Option<(Scope, Duration)>,
}

impl From<GraphError> for Stopped {
    fn from(error: GraphError) -> Self {
        Self { error, fate: Fate::Untold, headers: Vec::new(), hold: None }
    }
}

impl From<GraphError> for Box<Stopped> {
    fn from(error: GraphError) -> Self {
        Self::new(error.into())
    }
}

impl State {
    fn answer(&mut self, call: &Call<'_>, now: Timestamp) -> Answer {
        let seen = self.see(call, now);
        // Judged before anything is decided, so that no answer can hide a call.
        let verdict = self.judge.call(seen.arrival());
        let mut ended = self.end(&seen, &verdict.breaches);
        if matches!(ended.fate, Fate::Accepted | Fate::Refused | Fate::Read) {
            ended.reply = self.with_usage(ended.reply, &seen);
        }
        let after = match self.faults.strike(Phase::Sending, &struck(&seen)) {
            Some(FaultKind::Slow { delay_ms }) => Duration::from_millis(delay_ms),
            _ => Duration::ZERO,
        };
        // The caller of a late answer may have gone by then, and rightly asks again.
        let late = !after.is_zero() && ended.fate == Fate::Accepted;
        let fate = if late { Fate::AcceptedUntold } else { ended.fate };
        let status = ended.reply.status();
        self.judge.answered(verdict.call, Answered { status, code: ended.code, fate });
        if let Some((scope, wait)) = ended.hold {
            self.judge.throttled(scope, now, now + wait);
        }
        Answer { reply: ended.reply, after, late: late.then_some(verdict.call) }
    }

    fn see<'wire>(&mut self, call: &Call<'wire>, now: Timestamp) -> Seen<'wire> {
        let target = call.target();
        let token = call.token();
        let holder = self.world.holder(token.as_deref(), now);
        let account = self.charged(target, &holder);
        let body = match target {
            Target::Messages(_) => Body::read(call.body),
            _ => Body::default(),
        };
        let (comment, subject) = match (&body.to, target) {
            (Some(To::Comment(id)), _) => (Some(id.clone()), format!("comment {id}")),
            (Some(To::Person(id)), _) => (None, format!("person {id}")),
            (None, Target::Object(id)) => (Some(CommentId::new(id)), format!("read {id}")),
            (None, Target::Person(id)) => (None, format!("profile {id}")),
            (None, Target::Reply(id)) => (Some(CommentId::new(id)), format!("reply {id}")),
            (None, Target::Replies(id)) => (Some(CommentId::new(id)), format!("replies {id}")),
            (None, Target::Account(edge, id)) => (None, format!("{edge:?} {id}")),
            (None, _) => (None, String::new()),
        };
        let fields = match target {
            Target::Object(_) | Target::Person(_) => call.fields(),
            _ => Vec::new(),
        };
        let calls = self.calls_for.entry((account.clone(), subject.clone())).or_default();
        let nth = *calls;
        *calls += 1;
        let mut seen = Seen {
            now,
            call: *call,
            target,
            token,
            holder,
            account,
            body,
            comment,
            fields,
            action: Action::Other,
            recipient: None,
            subject,
            nth,
        };
        if self.config.unknown_comments == UnknownComments::Accept && seen.is_authorised() {
            self.invent_comment(&seen);
        }
        (seen.action, seen.recipient) = self.wanted(&seen);
        seen
    }

    /// Whose budget a call is charged to: the account that the path names, and where it names
    /// none, the token's.
    fn charged(&self, target: Target<'_>, holder: &Holder) -> AccountId {
        let named = AccountId::new(target.object());
        if self.world.has_account(&named) {
            return named;
        }
        holder.account().cloned().unwrap_or(named)
    }

    fn invent_comment(&mut self, seen: &Seen<'_>) {
        if let Some(id) = &seen.comment
            && !self.world.knows(id)
        {
            self.world.invent(id, &seen.account, seen.now, self.config.seed);
        }
    }

    /// What a call asks for, and of whom, as far as that is known.
    fn wanted(&self, seen: &Seen<'_>) -> (Action, Option<RecipientId>) {
        match &seen.body.to {
            None if matches!(seen.target, Target::Reply(_)) => (Action::PublicReply, None),
            None if matches!(
                seen.target,
                Target::Object(_) | Target::Person(_) | Target::Replies(_) | Target::Account(..)
            ) =>
            {
                (Action::Read, None)
            }
            None => (Action::Other, None),
            Some(To::Person(id)) => (Action::Message, Some(id.clone())),
            Some(To::Comment(id)) => match self.world.comment(id, &seen.account) {
                None => (Action::PrivateReply, None),
                Some(comment) => {
                    let action = match comment.surface {
                        Surface::Post => Action::PrivateReply,
                        Surface::Live => Action::LivePrivateReply,
                    };
                    (action, Some(comment.author.clone()))
                }
            },
        }
    }

    /// Faults before the effect, then the API's own checks, then the effect, then the faults that
    /// lose its answer.
    fn end(&mut self, seen: &Seen<'_>, breaches: &[Breach]) -> Ended {
        if let Some(fault) = self.faults.strike(Phase::BeforeEffect, &struck(seen)) {
            return self.broken(&fault, seen, Fate::Untold);
        }
        match self.carry_out(seen, breaches) {
            Err(stopped) => self.stopped(*stopped, seen),
            Ok(Done::Read(reply)) => Ended { reply, code: None, fate: Fate::Read, hold: None },
            // The judge counts accepted DMs, and this is none.
            Ok(Done::Replied(reply)) => {
                match self.faults.strike(Phase::AfterEffect, &struck(seen)) {
                    Some(fault) => self.broken(&fault, seen, Fate::Untold),
                    None => {
                        let reply = Reply::replied(&reply);
                        Ended { reply, code: None, fate: Fate::Read, hold: None }
                    }
                }
            }
            Ok(Done::Sent(to)) => {
                let message = format!("aWdfZ{}", self.made("message", seen, 55));
                self.messages.add(SentMessage {
                    id: message.clone(),
                    account: seen.account.clone(),
                    person: to.clone(),
                    metadata: seen.body.metadata.clone(),
                    content: seen.body.content.clone(),
                    at: seen.now,
                });
                self.answer_sent(&to, &message, seen)
            }
        }
    }

    /// Answers a call whose message has reached its person.
    fn answer_sent(&mut self, to: &RecipientId, message: &str, seen: &Seen<'_>) -> Ended {
        match self.faults.strike(Phase::AfterEffect, &struck(seen)) {
            Some(fault) => {
                if let (FaultKind::ServerErrorRepeatable, Some(comment)) = (&fault, &seen.comment) {
                    self.world.forget_answer(comment, &seen.account);
                }
                self.broken(&fault, seen, Fate::AcceptedUntold)
            }
            None => {
                let reply = Reply::accepted(to.as_str(), message);
                Ended { reply, code: None, fate: Fate::Accepted, hold: None }
            }
        }
    }

    /// The API as it works when nothing is broken.
    fn carry_out(&mut self, seen: &Seen<'_>, breaches: &[Breach]) -> Result<Done, Box<Stopped>> {
        match &seen.holder {
            Holder::Connected(_) => {}
            // A login has no token yet, and an app's secret instead.
            Holder::Nobody if matches!(seen.target, Target::Account(Edge::Code, _)) => {}
            Holder::Ended(_) => return Err(GraphError::token_dead(463).into()),
            Holder::Removed(_) => return Err(GraphError::token_dead(458).into()),
            Holder::Nobody if seen.token.is_none() => {
                return Err(GraphError::token_missing().into());
            }
            Holder::Nobody => return Err(GraphError::token_dead(467).into()),
        }
        if let Some(breach) = breaches.iter().min_by_key(|breach| kind(breach)) {
            return Err(Box::new(self.over_limit(breach, seen)));
        }
        check_target(seen, &self.world)?;
        if !self.is_permitted(seen) {
            return Err(GraphError::permission().into());
        }
        if let Some(fault) = &seen.body.fault {
            return Err(fault.clone().into());
        }
        let refused = |refusal| {
            let error = GraphError::refusal(refusal, object(seen));
            Box::new(Stopped { fate: Fate::Refused, ..error.into() })
        };
        if let Target::Account(edge, object) = seen.target {
            return Ok(Done::Read(self.keep_up(edge, object, seen)?));
        }
        if let Target::Person(id) = seen.target {
            let person = RecipientId::new(id);
            let profile = self.world.profile(&seen.account, &person).map_err(refused)?;
            return Ok(Done::Read(Reply::read(&profile.told(&person, &seen.fields)?)));
        }
        match (seen.action, &seen.comment) {
            (Action::PublicReply, Some(comment)) => {
                let text = reply_text(&seen.call)?;
                let id = CommentId::new(self.made_digits("reply", seen));
                let (comment, made_at) = (comment.clone(), seen.now);
                let reply = PublicReply { id: id.clone(), comment, text, made_at };
                self.world.reply_in_public(&seen.account, reply).map_err(refused)?;
                Ok(Done::Replied(id))
            }
            (Action::Read, Some(comment)) if matches!(seen.target, Target::Replies(_)) => {
                self.world.readable(comment, &seen.account).map_err(refused)?;
                let told = |reply: &PublicReply| {
                    json!({
                        "id": reply.id.as_str(),
                        "text": reply.text,
                        "timestamp": written(reply.made_at),
                        "from": { "id": seen.account.as_str() },
                    })
                };
                let replies = self.world.replies(comment, &seen.account);
                let told: Vec<Value> = replies.iter().map(told).collect();
                Ok(Done::Read(Reply::read(&json!({ "data": told }))))
            }
            (Action::Read, Some(media))
                if seen.fields.iter().any(|field| field.starts_with("children")) =>
            {
                let media = MediaId::new(media.as_str());
                Ok(Done::Read(Reply::read(&self.world.album(&seen.account, &media))))
            }
            (Action::Read, Some(comment)) => {
                let comment = self.world.readable(comment, &seen.account).map_err(refused)?;
                let words = self.world.words(comment);
                Ok(Done::Read(Reply::comment(comment, &words, &seen.fields)?))
            }
            _ => self.send(seen).map(Done::Sent).map_err(refused),
        }
    }

    /// Whether the account's owner has allowed what the call takes.
    fn is_permitted(&self, seen: &Seen<'_>) -> bool {
        let permission = match seen.target {
            // Of the app, not of the account.
            Target::Account(Edge::Code, _) => return true,
            Target::Messages(_) | Target::Person(_) | Target::Account(Edge::Conversations, _) => {
                "instagram_business_manage_messages"
            }
            Target::Object(_)
            | Target::Reply(_)
            | Target::Replies(_)
            | Target::Account(Edge::Comments, _) => "instagram_business_manage_comments",
            _ => "instagram_business_basic",
        };
        self.world.is_permitted(&seen.account, permission)
    }

    fn send(&mut self, seen: &Seen<'_>) -> Result<RecipientId, Refusal> {
        match &seen.body.to {
            Some(To::Comment(id)) => {
                self.world.answer_comment(id, &seen.account, &seen.body.content, seen.now)
            }
            Some(To::Person(id)) => {
                self.world.may_write(id, &seen.account, seen.now).map(|()| id.clone())
            }
            None => Err(Refusal::NoSuchObject),
        }
    }

    /// How Meta says that a limit was reached: differently for each kind of limit.
    fn over_limit(&self, breach: &Breach, seen: &Seen<'_>) -> Stopped {
        match kind(breach) {
            Kind::App => {
                let percent = self.judge.app_usage(seen.now).unwrap_or(100);
                let headers = vec![app_usage(percent)];
                Stopped { headers, ..GraphError::throttled(4).into() }
            }
            Kind::Calls => {
                let minutes = minutes_until(breach.fits_at, seen.now);
                let percent = self.judge.account_usage(&seen.account, seen.now).unwrap_or(100);
                let header = business_usage(&seen.account, "instagram", percent, minutes);
                let wait = Duration::from_secs(minutes.saturating_mul(60));
                Stopped {
                    headers: vec![header],
                    hold: Some((Scope::Account(seen.account.clone()), wait)),
                    ..GraphError::throttled(80002).into()
                }
            }
            Kind::Actions => GraphError::messaging_throttled().into(),
            Kind::Recipients => GraphError::throttled(613).into(),
        }
    }

    fn stopped(&self, stopped: Stopped, seen: &Seen<'_>) -> Ended {
        let reply = Reply::error(&stopped.error, &self.trace(seen));
        let reply = stopped.headers.into_iter().fold(reply, Reply::with_header);
        let (code, fate) = (Some(stopped.error.code), stopped.fate);
        Ended { reply, code, fate, hold: stopped.hold }
    }

    /// What a fault makes of a call.
    fn broken(&self, fault: &FaultKind, seen: &Seen<'_>, fate: Fate) -> Ended {
        let without_envelope = |reply| Ended { reply, code: None, fate, hold: None };
        let error = match fault {
            FaultKind::ServerError
            | FaultKind::ServerErrorAfterEffect
            | FaultKind::ServerErrorRepeatable => {
                return without_envelope(Reply::broken());
            }
            FaultKind::NoAnswer | FaultKind::NoAnswerBeforeEffect => {
                return without_envelope(Reply::Silence);
            }
            FaultKind::Throttled { code, regain_minutes } => {
                return self.stopped(throttled(*code, *regain_minutes, &seen.account), seen);
            }
            FaultKind::Transient => GraphError::try_again(),
            FaultKind::Blocked => GraphError::blocked(),
            FaultKind::TokenDead { subcode } => GraphError::token_dead(*subcode),
            FaultKind::Permission => GraphError::permission(),
            FaultKind::LinkRefused => GraphError::link_refused(),
            FaultKind::AccountUnseen => GraphError::no_such_object(seen.account.as_str()),
            FaultKind::RecipientUnavailable => GraphError::recipient_unavailable(),
            FaultKind::Ambiguous { .. } => GraphError::ambiguous(),
            FaultKind::Refused { code, subcode, status, message, .. } => {
                GraphError::ordered(*status, *code, *subcode, message.as_deref())
            }
            // These two change an answer and never stand in for one: other phases ask for them.
            FaultKind::Slow { .. } | FaultKind::Usage { .. } => GraphError::try_again(),
        };
        self.stopped(Stopped { fate, ..error.into() }, seen)
    }

    /// The usage headers of a normal answer: those that were ordered, or else what is used once
    /// enough is.
    fn with_usage(&mut self, reply: Reply, seen: &Seen<'_>) -> Reply {
        let from = self.config.usage_from_percent;
        let enough = |percent: &u32| from.is_some_and(|from| *percent >= from);
        let mut account = self.judge.account_usage(&seen.account, seen.now).filter(enough);
        let mut app = self.judge.app_usage(seen.now).filter(enough);
        if let Some(FaultKind::Usage { percent, app_percent }) =
            self.faults.strike(Phase::Headers, &struck(seen))
        {
            (account, app) = (percent, app_percent);
        }
        let account = account.map(|used| business_usage(&seen.account, "instagram", used, 0));
        account.into_iter().chain(app.map(app_usage)).fold(reply, Reply::with_header)
    }

    fn trace(&self, seen: &Seen<'_>) -> String {
        format!("A{}", self.made("trace", seen, 22))
    }

    /// An id of this call's own, in digits as Meta's are.
    fn made_digits(&self, what: &str, seen: &Seen<'_>) -> String {
        let nth = seen.nth.to_string();
        hash::digits(self.config.seed, &[what, seen.account.as_str(), &seen.subject, &nth])
    }

    /// An id of this call's own.
    pub(super) fn made(&self, what: &str, seen: &Seen<'_>, length: usize) -> String {
        let nth = seen.nth.to_string();
        let parts = [what, seen.account.as_str(), seen.subject.as_str(), nth.as_str()];
        hash::text(self.config.seed, &parts, length)
    }
}

fn struck<'seen>(seen: &'seen Seen<'_>) -> Struck<'seen> {
    Struck {
        now: seen.now,
        account: &seen.account,
        comment: seen.comment.as_ref(),
        person: seen.recipient.as_ref(),
        action: seen.action,
        subject: &seen.subject,
        nth: seen.nth,
    }
}

fn check_target(seen: &Seen<'_>, world: &World) -> Result<(), GraphError> {
    match seen.target {
        Target::Unknown(_) => Err(GraphError::unknown_path()),
        Target::WrongMethod(_) => Err(GraphError::wrong_method(seen.call.method)),
        Target::Messages("me")
        | Target::Object(_)
        | Target::Person(_)
        | Target::Reply(_)
        | Target::Replies(_)
        | Target::Account(..) => Ok(()),
        Target::Messages(named) if !world.has_account(&named.into()) => {
            Err(GraphError::no_such_object(named))
        }
        Target::Messages(_) if !seen.is_authorised() => Err(GraphError::not_thread_owner()),
        Target::Messages(_) => Ok(()),
    }
}

/// What an error about the object names.
fn object<'seen>(seen: &'seen Seen<'_>) -> &'seen str {
    match &seen.body.to {
        Some(To::Comment(id)) => id.as_str(),
        Some(To::Person(id)) => id.as_str(),
        None => seen.target.object(),
    }
}

/// The kinds of limit that the platform words differently, the widest scope first: of several a
/// refusal names that one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    App,
    /// All of an account's calls.
    Calls,
    /// Its calls of some kind.
    Actions,
    Recipients,
}

fn kind(breach: &Breach) -> Kind {
    match (&breach.scope, breach.counts.unit) {
        (Scope::App, _) => Kind::App,
        _ if breach.counts == Counted::EVERY_CALL => Kind::Calls,
        (_, Unit::Calls) => Kind::Actions,
        (_, Unit::Recipients) => Kind::Recipients,
    }
}

/// Whole minutes, rounded up. A limit of zero never fits; it says an hour.
fn minutes_until(fits_at: Option<Timestamp>, now: Timestamp) -> u64 {
    fits_at.map_or(60, |at| (at.as_millis().saturating_sub(now.as_millis())).div_ceil(60_000))
}

/// An ordered throttle: its code decides whom it holds, the regain time for how long.
fn throttled(code: u32, regain_minutes: Option<u64>, account: &AccountId) -> Stopped {
    let error = match code {
        613 => GraphError::messaging_throttled(),
        code => GraphError::throttled(code),
    };
    let (kind, scope) = match code {
        4 => ("instagram", Scope::App),
        32 => ("pages", Scope::Account(account.clone())),
        80006 => ("messenger", Scope::Account(account.clone())),
        _ => ("instagram", Scope::Account(account.clone())),
    };
    let mut headers = Vec::new();
    if code == 4 {
        headers.push(app_usage(100));
    }
    headers.extend(regain_minutes.map(|minutes| business_usage(account, kind, 100, minutes)));
    let wait = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
    let hold = regain_minutes.map(|minutes| (scope, wait(minutes)));
    Stopped { headers, hold, ..error.into() }
}
