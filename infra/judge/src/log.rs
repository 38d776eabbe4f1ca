//! What is written down: calls, holds, and what was wrong with calls.

use serde::Serialize;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;

use crate::action::Action;
use crate::rules::GRANT_TO_CALL_MAX;

/// Whom a limit, a hold or a throttle applies to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All accounts together.
    App,
    /// One account.
    Account(AccountId),
    /// One person, as one account sees them.
    Recipient(AccountId, RecipientId),
}

/// A call as it arrives, before anything is decided about it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the whole call had been read.
    pub at: Timestamp,
    /// When its caller was granted it, in true time, where that is known.
    pub granted_at: Option<Timestamp>,
    /// Whose budget it is charged to.
    pub account: AccountId,
    /// What it asked for.
    pub action: Action,
    /// The comment it answers.
    pub comment: Option<CommentId>,
    /// Whom it is for, as far as that is known.
    pub recipient: Option<RecipientId>,
}

impl Arrival {
    /// The earliest and the latest instant at which it may have been granted.
    pub(crate) fn granted(&self) -> (Timestamp, Timestamp) {
        match self.granted_at {
            Some(at) => (at, at),
            None => (self.at - GRANT_TO_CALL_MAX, self.at),
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It took effect and the caller was told.
    Accepted,
    /// It took effect and the answer that would have said so was withheld on purpose.
    AcceptedUntold,
    /// It reached its comment or person and was refused.
    Refused,
    /// It ended before its comment or person was looked at: a throttle, a fault, a bad call.
    Untold,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status; 0 for a connection closed without an answer.
    pub status: u16,
    /// The error's code.
    pub code: Option<u32>,
    /// How the call ended.
    pub fate: Fate,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// When the whole call had been read, in milliseconds since 1970.
    pub at_ms: u64,
    /// When its caller was granted it, in milliseconds since 1970, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_at_ms: Option<u64>,
    /// Whose budget it was charged to.
    pub account: AccountId,
    /// What it asked for.
    pub action: Action,
    /// The comment it answered.
    pub comment_id: Option<CommentId>,
    /// Whom it was for, whether or not it reached them.
    pub recipient_id: Option<RecipientId>,
    /// The HTTP status of the answer; 0 for a connection closed without an answer.
    pub status: u16,
    /// The error's code.
    pub code: Option<u32>,
}

/// A limit that a call went over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Over {
    /// The limit's name.
    pub limit: String,
    /// What the fullest window that holds the call came to, this call included.
    pub count: u64,
    /// What it may come to.
    pub allowed: u32,
}

/// Another rule that a call broke.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// A DM while its account was not awake.
    ActiveHours,
    /// A call that was granted during a hold.
    Hold(Scope),
}

/// A call that broke rules. It is one violation however many rules it broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The call's place in the log, from 0.
    pub call: usize,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose budget it was charged to.
    pub account: AccountId,
    /// The comment it answered.
    pub comment_id: Option<CommentId>,
    /// Every limit it went over.
    pub limits: Vec<Over>,
    /// What else it broke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
}

/// A call for a comment that had its reply already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DuplicateCall {
    /// The call's place in the log, from 0.
    pub call: usize,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose budget it was charged to.
    pub account: AccountId,
    /// The comment it answered.
    pub comment_id: CommentId,
}

/// A hold: of the calls in its scope none may be granted after its write was acknowledged and
/// before it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldRecord {
    /// Whom it applies to.
    pub scope: Scope,
    /// When its write was acknowledged, in milliseconds since 1970.
    pub acknowledged_ms: u64,
    /// When it ended or will end, in milliseconds since 1970.
    pub end_ms: u64,
}

/// The judgment so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Calls of every kind.
    pub calls: u64,
    /// Calls that took effect, told or not.
    pub accepted: u64,
    /// Accepted calls whose answer was withheld on purpose.
    pub lost_answers: u64,
    /// Calls that broke rules.
    pub violations: Vec<Violation>,
    /// How many calls there were for a comment that had its reply already.
    pub duplicates: u64,
    /// Those calls.
    pub duplicate_calls: Vec<DuplicateCall>,
    /// Calls made after an answer that named a time to wait for, and before that time. Not a
    /// violation: some may have been under way when the answer came.
    pub calls_in_hold: u64,
}
