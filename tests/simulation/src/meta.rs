//! Meta: comments that take one private reply each, refusals, and everything that can go wrong with
//! a call.

mod refusal;

use std::collections::BTreeMap;
use std::time::Duration;

use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_judge::{Action, Arrival, Judge};
use spillway_meta::error::GraphError;
use spillway_meta::graph::{CallError, Sent};

pub(crate) use self::refusal::Refusal;
use crate::judge;
use crate::scenario::{CommentPlan, Nature, Outage, Scenario, Surface};
use crate::world::World;

/// What Meta knows.
pub(crate) struct Meta {
    comments: BTreeMap<CommentId, Comment>,
    /// What holds callers to their limits and holds.
    pub(crate) judge: Judge,
}

/// A comment, and what was called for it.
struct Comment {
    plan: CommentPlan,
    /// Calls that took effect.
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
    pub(crate) says: Option<Result<Sent, CallError>>,
    /// Whether the message was sent.
    pub(crate) accepted: bool,
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
            .map(|plan| (plan.id.clone(), Comment { plan: plan.clone(), accepted: 0 }))
            .collect();
        Self { comments, judge: Judge::new(judge::limits(scenario)) }
    }

    /// How many calls for a comment took effect.
    pub(crate) fn accepted(&self, comment: &CommentId) -> u32 {
        self.comments.get(comment).map_or(0, |comment| comment.accepted)
    }
}

impl World {
    /// Draws what will happen to a call.
    pub(crate) fn passage(&mut self) -> Passage {
        let fault = match self.is_out(Outage::Meta) {
            true => Some(Fault::NoConnection),
            false => {
                let rate = self.scenario.rates.meta;
                self.strikes(rate).then(|| self.draw_fault())
            }
        };
        // A connection is kept most of the time.
        let rate = self.scenario.rates.connect;
        let connect = match self.dice.chance(rate) {
            true => self.dice.between(0..=CONNECT_MAX),
            false => 0,
        };
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
            (refused(Refusal::Limit), 14),
            (refused(Refusal::RecipientLimit), 3),
            (refused(Refusal::Blocked), 1),
            (refused(Refusal::TokenDead), 1),
            (refused(Refusal::Permission), 1),
        ])
    }

    /// A private reply arrives that was granted at that instant.
    pub(crate) fn private_reply(
        &mut self,
        account: &AccountId,
        comment: &CommentId,
        granted_at: Option<Timestamp>,
        fault: Option<Fault>,
    ) -> Answer {
        self.judge(account, comment, granted_at);
        let stopped = match fault {
            Some(Fault::Refused(refusal)) => Some(refusal),
            _ => self.spell(account),
        };
        let stopped = stopped.or_else(|| self.answer_comment(account, comment).err());
        let date = Timestamp::from_secs(self.now / 1000);
        if let Some(refusal) = stopped {
            let (error, regain) = refusal.drawn(&mut self.dice);
            let says = CallError::Refused { error, regain, server_date: Some(date) };
            let says = (fault != Some(Fault::AnswerLost)).then_some(Err(says));
            return Answer { says, accepted: false };
        }
        let refused = |error: GraphError| {
            Some(Err(CallError::Refused { error, regain: None, server_date: Some(date) }))
        };
        let says = match fault {
            Some(Fault::AnswerLost) => None,
            Some(Fault::ErrorAfterEffect) => {
                refused(GraphError { status: 502, ..GraphError::default() })
            }
            Some(Fault::AmbiguousAfterEffect) => refused(refusal::ambiguous()),
            _ => Some(Ok(Sent {
                recipient: Some(RecipientId::new(format!("5{comment}"))),
                message_id: Some(format!("m{comment}")),
                server_date: Some(date),
            })),
        };
        Answer { says, accepted: true }
    }

    /// Writes the call into the log, whatever will be answered.
    fn judge(&mut self, account: &AccountId, comment: &CommentId, granted_at: Option<Timestamp>) {
        let Some(known) = self.meta.comments.get(comment) else { return };
        let action = match known.plan.surface {
            Surface::Post => Action::PrivateReply,
            Surface::Live { .. } => Action::LivePrivateReply,
        };
        self.meta.judge.call(Arrival {
            at: Timestamp::from_millis(self.now),
            granted_at,
            account: account.clone(),
            action,
            comment: Some(comment.clone()),
            recipient: Some(known.plan.author.clone()),
        });
        if let Some(violation) = self.meta.judge.report().violations.first() {
            let limits = &violation.limits;
            let broken = &violation.broken;
            self.broken(format!("the call for {comment} breaks {limits:?} {broken:?}"));
        }
    }

    /// How Meta refuses whatever the account asks now, where it does.
    fn spell(&self, account: &AccountId) -> Option<Refusal> {
        let mut spells = self.scenario.spells.iter();
        spells
            .find(|spell| {
                spell.span.contains(&self.now)
                    && spell.account.as_ref().is_none_or(|only| only == account)
            })
            .map(|spell| spell.refusal)
    }

    fn answer_comment(&mut self, account: &AccountId, comment: &CommentId) -> Result<(), Refusal> {
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
        if known.accepted > 0 || !in_time {
            return Err(Refusal::NotAnswerable);
        }
        known.accepted += 1;
        Ok(())
    }
}

impl Fault {
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
