//! Meta: comments that take one private reply each, refusals, and everything that can go wrong with
//! a call.

mod account;
mod delivered;
mod events;
mod public_replies;
mod refusal;
mod talks;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::quota;
use spillway_core::stamp::Stamp;
use spillway_core::time::Timestamp;
use spillway_judge::{Action, Arrival, Broken, Judge, Scope, Violation};
use spillway_meta::error::GraphError;
use spillway_meta::graph::{Answered, CallError, Sent};
use spillway_meta::usage::{Percent, Usage};
use spillway_service::account::SealedToken;

use self::account::KnownAccount;
pub(crate) use self::account::{Keep, Told, first_token, issued_at};
use self::delivered::Delivered;
use self::events::Events;
use self::public_replies::PublicReplies;
pub(crate) use self::refusal::Refusal;
use self::talks::Talks;
use crate::dice::Dice;
use crate::judge;
use crate::scenario::{
    Asks, CommentPlan, Headers, Nature, Outage, Post, Scenario, Struck, Surface, Theme,
};
use crate::world::World;

/// What Meta knows.
pub(crate) struct Meta {
    comments: BTreeMap<CommentId, Comment>,
    messages: BTreeMap<SendId, Message>,
    /// The accounts that are kept up.
    accounts: BTreeMap<AccountId, KnownAccount>,
    /// The messages that have reached people.
    delivered: Delivered,
    /// What was answered of what people did in conversations.
    events: Events,
    /// What people do after what they are told.
    talks: Talks,
    /// What was said in public.
    pub(crate) public: PublicReplies,
    /// The account's own comments that are yet to be told.
    own_comments: Vec<Post>,
    /// What holds callers to their limits and holds.
    pub(crate) judge: Judge,
    /// How many violations it has found.
    violations: usize,
}

/// A comment, and what was called for it.
struct Comment {
    plan: CommentPlan,
    /// Calls that took effect.
    accepted: u32,
    /// Whether Meta has answered such a call with an error, and takes another one.
    forgotten: bool,
}

/// What a call is for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// The private reply to a comment.
    Reply(CommentId),
    /// A message to somebody.
    Message {
        /// What asked for it.
        event: OnceKey,
        /// Whom.
        person: RecipientId,
    },
    /// When a comment was made.
    Age(CommentId),
    /// Who wrote a comment.
    Author(CommentId),
    /// The conversation with somebody.
    Conversation(RecipientId),
    /// Somebody's profile.
    Profile(RecipientId),
    /// A public reply to a comment.
    PublicReply(CommentId),
    /// The replies to a comment.
    Replies(CommentId),
    /// What another tool does.
    Tool(quota::Action),
    /// What upkeep asks for.
    Keep(Keep),
}

/// A message to somebody, and how often it came.
struct Message {
    nature: Nature,
    /// Before when it may not go.
    not_before: Option<Timestamp>,
    accepted: u32,
}

/// What will happen to a call, drawn when it is made.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    /// Milliseconds until there is a connection; `None` when there will be none.
    pub(crate) connect: Option<u64>,
    /// Milliseconds until the call has arrived.
    pub(crate) there: u64,
    /// Milliseconds until its answer has.
    pub(crate) back: u64,
    /// What goes wrong.
    pub(crate) fault: Option<Fault>,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no connection.
    NoConnection,
    /// The connection breaks before the call has arrived.
    CallLost,
    /// The call is worked on, and its answer does not arrive.
    AnswerLost,
    /// HTTP 5xx with a page, though the call was worked on.
    ErrorAfterEffect,
    /// It may or may not have been sent, says the answer; it was.
    AmbiguousAfterEffect,
    /// Refused for no reason of its own.
    Refused(Refusal),
    /// The answer takes long.
    Slow,
}

/// What became of a call at Meta.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What the answer says; `None` when there is none.
    pub(crate) says: Option<Result<Answered<Sent>, CallError>>,
    /// Whether it was done.
    pub(crate) effect: Effect,
    /// What it tells beside.
    pub(crate) told: Told,
}

/// Whether a call did what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It did.
    Done,
    /// It did nothing.
    Nothing,
}

/// The longest a connection takes, in milliseconds: what the client allows.
const CONNECT_MAX: u64 = 2000;

/// The longest way of a call to Meta, in milliseconds.
pub(crate) const THERE_MAX: u64 = 60;

impl Meta {
    /// Meta as a scenario has it.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let comments = scenario.accounts.iter().flat_map(|account| &account.comments);
        let comments = comments
            .map(|plan| {
                (plan.id.clone(), Comment { plan: plan.clone(), accepted: 0, forgotten: false })
            })
            .collect();
        let messages = scenario.accounts.iter().flat_map(|account| {
            account.messages.iter().map(|plan| {
                let event = plan.new.key.clone();
                let send = SendId { account: account.id.clone(), key: event };
                let not_before = plan.new.not_before;
                (send, Message { nature: plan.nature, not_before, accepted: 0 })
            })
        });
        Self {
            comments,
            messages: messages.collect(),
            accounts: KnownAccount::all(scenario),
            delivered: Delivered::default(),
            events: Events::default(),
            talks: Talks::default(),
            public: PublicReplies::default(),
            own_comments: Vec::new(),
            violations: 0,
            judge: Judge::new(judge::limits(scenario)),
        }
    }

    /// Whether a comment is to be answered.
    pub(crate) fn is_wanted(&self, comment: &CommentId) -> bool {
        self.comments.get(comment).is_some_and(|comment| comment.plan.asks == Asks::Wanted)
    }

    /// Before when a message may not go.
    pub(crate) fn not_before(&self, send: &SendId) -> Option<Timestamp> {
        self.messages.get(send).and_then(|message| message.not_before)
    }

    /// How many calls for a message took effect.
    pub(crate) fn messages_accepted(&self, send: &SendId) -> u32 {
        self.messages.get(send).map_or(0, |message| message.accepted)
    }

    /// When a comment was made, in milliseconds since 1970.
    pub(crate) fn made_at(&self, comment: &CommentId) -> Option<u64> {
        self.comments.get(comment).map(|comment| comment.plan.made_at)
    }

    /// Who wrote a comment, if Meta says so of it alone. It leaves that away of half of those of
    /// which it does in lists.
    pub(crate) fn named_author(&self, comment: &CommentId) -> Option<RecipientId> {
        let author = self.author(comment)?;
        account::names(comment, 2 * account::UNNAMED).then(|| author.clone())
    }

    /// Who wrote a comment.
    pub(crate) fn author(&self, comment: &CommentId) -> Option<&RecipientId> {
        self.comments.get(comment).map(|comment| &comment.plan.author)
    }

    /// How many calls for a comment took effect.
    pub(crate) fn accepted(&self, comment: &CommentId) -> u32 {
        self.comments.get(comment).map_or(0, |comment| comment.accepted)
    }
}

impl World {
    /// Draws what will happen to a call.
    pub(crate) fn passage(&mut self) -> Passage {
        let fault = if self.is_out(Outage::Meta) {
            Some(Fault::NoConnection)
        } else {
            let rate = self.scenario.rates.meta;
            self.strikes(rate).then(|| self.draw_fault())
        };
        // A connection is kept most of the time.
        let rate = self.scenario.rates.connect;
        let connect = if self.dice.chance(rate) { self.dice.between(0..=CONNECT_MAX) } else { 0 };
        let back = match fault {
            Some(Fault::Slow) => self.dice.between(1000..=40_000),
            Some(Fault::NoConnection) => self.dice.between(0..=CONNECT_MAX),
            _ => self.dice.between(60..=900),
        };
        if let Some(fault) = fault {
            self.record.count(fault.name());
        }
        Passage {
            connect: (fault != Some(Fault::NoConnection)).then_some(connect),
            there: self.dice.between(5..=THERE_MAX),
            back,
            fault,
        }
    }

    fn draw_fault(&mut self) -> Fault {
        let refused = Fault::Refused;
        self.dice.weighted(&[
            (Fault::NoConnection, 8),
            (Fault::CallLost, 8),
            (Fault::AnswerLost, 10),
            (Fault::ErrorAfterEffect, 6),
            (Fault::AmbiguousAfterEffect, 6),
            (Fault::Slow, 15),
            (refused(Refusal::ServerError), 6),
            (refused(Refusal::Transient), 8),
            (refused(Refusal::Ambiguous), 4),
            (refused(Refusal::Limit), 12),
            (refused(Refusal::AppLimit), 2),
            (refused(Refusal::RecipientLimit), 3),
            (refused(Refusal::Blocked), 1),
            (refused(Refusal::TokenDead), 1),
            (refused(Refusal::Permission), 1),
            (refused(Refusal::PermissionUnclear), 3),
            (refused(Refusal::FetchFailed), 1),
        ])
    }

    /// A call arrives that was granted at that instant.
    pub(crate) fn answer(
        &mut self,
        account: &AccountId,
        token: &SealedToken,
        ask: &Ask,
        granted_at: Option<Timestamp>,
        fault: Option<Fault>,
    ) -> Answer {
        self.judge(account, ask, granted_at);
        let stopped = match fault {
            Some(Fault::Refused(refusal)) => Some(refusal),
            _ => self.spell(account, ask).or_else(|| self.refuses_token(account, token)),
        };
        let done = stopped.map_or_else(|| self.act(account, token, ask), Err);
        let date = Timestamp::from_secs(self.now / 1000);
        let (recipient, told, says) = match done {
            Err(refusal) => {
                self.saw_refused(account, ask, refusal);
                let comment = match ask {
                    Ask::Reply(comment) | Ask::PublicReply(comment) => Some(comment),
                    _ => None,
                };
                let (error, regain) = refusal.drawn(&mut self.dice, account, comment);
                let usage = Usage { regain, ..self.usage(account) };
                let says = CallError::Refused { error, usage, server_date: Some(date) };
                let says = (fault != Some(Fault::AnswerLost)).then_some(Err(says));
                return Answer { says, effect: Effect::Nothing, told: Told::Nothing };
            }
            Ok((recipient, told)) => {
                self.deliver(account, ask);
                let hidden = fault.and_then(|fault| fault.hides(&mut self.dice));
                if let (Some(_), Ask::Reply(comment)) = (&hidden, ask)
                    && let Some(known) = self.meta.comments.get_mut(comment)
                {
                    known.forgotten = true;
                }
                (recipient, told, hidden)
            }
        };
        let usage = self.usage(account);
        let says = match (fault, says) {
            (Some(Fault::AnswerLost), _) => None,
            (_, Some(error)) => {
                Some(Err(CallError::Refused { error, usage, server_date: Some(date) }))
            }
            (_, None) => {
                let message_id = recipient.as_ref().map(|person| format!("m{person}"));
                let value = Sent { recipient, message_id };
                Some(Ok(Answered { value, usage, server_date: Some(date) }))
            }
        };
        Answer { says, effect: Effect::Done, told }
    }

    /// Writes the call into the log, whatever will be answered.
    fn judge(&mut self, account: &AccountId, ask: &Ask, granted_at: Option<Timestamp>) {
        let (action, comment, recipient) = match ask {
            Ask::Reply(comment) => {
                let Some(known) = self.meta.comments.get(comment) else { return };
                let action = match known.plan.surface {
                    Surface::Post => Action::PrivateReply,
                    Surface::Live { .. } => Action::LivePrivateReply,
                };
                (action, Some(comment.clone()), Some(known.plan.author.clone()))
            }
            Ask::Message { person, .. } => (Action::Message, None, Some(person.clone())),
            Ask::PublicReply(_) => (Action::PublicReply, None, None),
            Ask::Age(_)
            | Ask::Author(_)
            | Ask::Conversation(_)
            | Ask::Profile(_)
            | Ask::Replies(_)
            | Ask::Keep(_) => (Action::Read, None, None),
            Ask::Tool(action) => (judge::action(*action), None, None),
        };
        let before = self.meta.violations;
        self.meta.judge.call(Arrival {
            at: Timestamp::from_millis(self.now),
            granted_at,
            account: account.clone(),
            action,
            comment,
            recipient,
        });
        let report = self.meta.judge.report();
        self.meta.violations = report.violations.len();
        for Violation { limits, broken, .. } in &report.violations[before..] {
            let is_of_person =
                |broken: &Broken| matches!(broken, Broken::Hold(Scope::Recipient(..)));
            if limits.is_empty()
                && broken.iter().all(is_of_person)
                && self.is_to_nobody(account, ask)
            {
                self.record.count("hold of somebody whom nobody knew");
                continue;
            }
            self.broken(format!("the call for {ask} breaks {limits:?} {broken:?}"));
        }
    }

    /// Whether a call answers a comment that Meta has listed without its author: whose it is, its
    /// answer tells.
    fn is_to_nobody(&self, account: &AccountId, ask: &Ask) -> bool {
        let Ask::Reply(comment) = ask else { return false };
        let entry = self.tables.entries.get(&self.send_of(account, comment));
        let waiting = entry.and_then(|entry| entry.waiting());
        waiting.is_some_and(|send| send.to.recipient().is_none())
    }

    /// What the headers of an answer say.
    fn usage(&mut self, account: &AccountId) -> Usage {
        let now = Timestamp::from_millis(self.now);
        let percent = |percent: u64| Percent::new(u16::try_from(percent).unwrap_or(u16::MAX));
        let since = self.now - self.scenario.start;
        let (app, of_account) = match &self.scenario.headers {
            Headers::Absent => (None, None),
            Headers::True(room) => {
                let share = |kept: u32| percent(u64::from(kept) * 100 / room);
                let judge = &self.meta.judge;
                (judge.app_usage(now).map(share), judge.account_usage(account, now).map(share))
            }
            Headers::Rising { app, accounts } if self.is_rough() => {
                // Up to a little over the limit, and from the beginning again.
                let risen = |span: u64| percent(110 * (since % span) / span);
                let nth = self.scenario.accounts.iter().position(|plan| plan.id == *account);
                let span = nth.and_then(|nth| accounts.get(nth)).copied();
                (Some(risen(*app)), span.map(risen))
            }
            Headers::Rising { .. } => (None, None),
        };
        // They do not come with every answer.
        if self.dice.chance(0.9) {
            Usage { app, account: of_account, regain: None }
        } else {
            Usage::default()
        }
    }

    /// How Meta refuses whatever the account asks now, where it does.
    fn spell(&self, account: &AccountId, ask: &Ask) -> Option<Refusal> {
        let mut spells = self.scenario.spells.iter();
        spells
            .find(|spell| {
                spell.span.contains(&self.now)
                    && spell.refusal.concerns(ask)
                    && (spell.strikes == Struck::All || ask.event().is_some())
                    && spell.account.as_ref().is_none_or(|only| only == account)
            })
            .map(|spell| spell.refusal)
    }

    /// Does what is asked; whom it reached, and what there is to tell.
    fn act(
        &mut self,
        account: &AccountId,
        token: &SealedToken,
        ask: &Ask,
    ) -> Result<(Option<RecipientId>, Told), Refusal> {
        match ask {
            Ask::Reply(comment) => {
                let person = self.answer_comment(account, comment)?;
                Ok((Some(person), Told::Nothing))
            }
            Ask::Message { event, person } => {
                self.accept_message(account, event)?;
                if self.scenario.theme == Theme::Triggers {
                    self.check_answer_to_event(account, event, person);
                }
                Ok((Some(person.clone()), Told::Nothing))
            }
            Ask::Conversation(person) => {
                Ok((None, Told::Conversation(self.conversation(account, person))))
            }
            Ask::Profile(_) => Ok((None, Told::Nothing)),
            Ask::PublicReply(comment) => {
                self.reply_in_public(account, comment)?;
                Ok((None, Told::Nothing))
            }
            Ask::Replies(comment) => Ok((None, Told::Comments(self.replies_to(account, comment)))),
            Ask::Age(_) | Ask::Author(_) | Ask::Tool(_) => Ok((None, Told::Nothing)),
            Ask::Keep(keep) => Ok((None, self.keep(account, token, keep)?)),
        }
    }

    fn accept_message(&mut self, account: &AccountId, event: &OnceKey) -> Result<(), Refusal> {
        let send = SendId { account: account.clone(), key: event.clone() };
        let now = self.now;
        let Some(known) = self.meta.messages.get_mut(&send) else {
            self.broken(format!("nobody entered the message {send}"));
            return Ok(());
        };
        if let Nature::Refused(refusal, from) = known.nature
            && from <= now
        {
            return Err(refusal);
        }
        known.accepted += 1;
        Ok(())
    }

    fn answer_comment(
        &mut self,
        account: &AccountId,
        comment: &CommentId,
    ) -> Result<RecipientId, Refusal> {
        let now = self.now;
        let of_account = self.scenario.account(account).is_some();
        let known = self.meta.comments.get_mut(comment).filter(|_| of_account);
        let Some(known) = known else { return Err(Refusal::CommentGone) };
        if let Nature::Refused(refusal, from) = known.plan.nature
            && from <= now
        {
            return Err(refusal);
        }
        let in_time = match known.plan.surface {
            Surface::Post => now <= known.plan.made_at + 7 * 24 * 3_600_000,
            Surface::Live { ends_at } => now < ends_at,
        };
        if known.accepted > 0 && !known.forgotten || !in_time {
            return Err(Refusal::NotAnswerable);
        }
        known.accepted += 1;
        Ok(known.plan.author.clone())
    }
}

impl Ask {
    /// A message, by its text: it ends with the name of its event.
    pub(crate) fn message(person: &RecipientId, text: &str) -> Self {
        let event = text.split_whitespace().last().unwrap_or_default();
        Self::Message { event: event.into(), person: person.clone() }
    }

    /// A message by its stamp, which names its send: its text names what it answers.
    pub(crate) fn stamped(person: &RecipientId, stamp: &str) -> Option<Self> {
        let event = Stamp::decode(stamp)?.key;
        Some(Self::Message { event, person: person.clone() })
    }

    /// The event that it is for, where it sends something.
    pub(crate) fn event(&self) -> Option<OnceKey> {
        match self {
            Self::Reply(comment) => Some(OnceKey::comment(comment)),
            Self::Message { event, .. } => Some(event.clone()),
            Self::PublicReply(comment) => Some(OnceKey::public_reply(comment)),
            Self::Age(_)
            | Self::Author(_)
            | Self::Conversation(_)
            | Self::Profile(_)
            | Self::Replies(_)
            | Self::Tool(_)
            | Self::Keep(_) => None,
        }
    }

    /// What it takes from the budget.
    pub(crate) fn action(&self, meta: &Meta) -> quota::Action {
        match self {
            Self::Reply(comment) => {
                match meta.comments.get(comment).map(|known| known.plan.surface) {
                    Some(Surface::Live { .. }) => quota::Action::LiveReply,
                    Some(Surface::Post) | None => quota::Action::PrivateReply,
                }
            }
            Self::Message { .. } => quota::Action::Message,
            Self::PublicReply(_) => quota::Action::PublicReply,
            Self::Age(_)
            | Self::Author(_)
            | Self::Conversation(_)
            | Self::Profile(_)
            | Self::Replies(_)
            | Self::Keep(_) => quota::Action::Read,
            Self::Tool(action) => *action,
        }
    }

    /// As counts call it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Reply(_) | Self::Message { .. } => "calls",
            Self::Age(_) => "calls for an age",
            Self::Author(_) => "calls for an author",
            Self::Conversation(_) => "calls for a conversation",
            Self::Profile(_) => "calls for a profile",
            Self::PublicReply(_) => "calls for a public reply",
            Self::Replies(_) => "calls for replies",
            Self::Tool(_) => "calls of tools",
            Self::Keep(_) => "calls of upkeep",
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(comment) => write!(f, "{comment}"),
            Self::Message { event, person } => write!(f, "{event} to {person}"),
            Self::Age(comment) => write!(f, "the age of {comment}"),
            Self::Author(comment) => write!(f, "the author of {comment}"),
            Self::Conversation(person) => write!(f, "the conversation with {person}"),
            Self::Profile(person) => write!(f, "the profile of {person}"),
            Self::PublicReply(comment) => write!(f, "a public reply to {comment}"),
            Self::Replies(comment) => write!(f, "the replies to {comment}"),
            Self::Tool(action) => write!(f, "{action:?}"),
            Self::Keep(keep) => write!(f, "{keep:?}"),
        }
    }
}

impl Fault {
    /// What the answer says of a call that went through, where that is wrong.
    fn hides(self, dice: &mut Dice) -> Option<GraphError> {
        match self {
            Self::ErrorAfterEffect => Some(refusal::server_error(dice)),
            Self::AmbiguousAfterEffect => Some(refusal::ambiguous()),
            _ => None,
        }
    }

    /// As counts call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoConnection => "meta: no connection",
            Self::CallLost => "meta: call lost",
            Self::AnswerLost => "meta: answer lost",
            Self::ErrorAfterEffect => "meta: 5xx after effect",
            Self::AmbiguousAfterEffect => "meta: ambiguous after effect",
            Self::Slow => "meta: slow answer",
            Self::Refused(refusal) => refusal.name(),
        }
    }
}

/// A span in milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
