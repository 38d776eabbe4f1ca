//! What must hold after every step, looked at where it could break.

mod app;
mod budgets;
mod calls;
mod marks;
mod orders;
mod refusals;
mod sends;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use spillway_core::id::{AccountId, CommentId, SendId};
use spillway_core::time::Timestamp;

use self::app::AppHold;
use self::calls::{Accepted, Granted};
use self::orders::Orders;
use self::refusals::Refused;
use self::sends::Claim;
use self::upkeep::Kept;
use crate::scenario::Trouble;
use crate::world::World;

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The invocation that the process works on.
    pub(crate) invocation: u64,
    /// The process's clock.
    pub(crate) clock: ClockState,
}

/// A process's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockState {
    /// It is within the bound.
    Right,
    /// It is beyond the bound, and no answer has told so yet.
    Wrong,
    /// It is beyond the bound, and an answer has told so.
    Told,
}

/// What is remembered of earlier steps.
#[derive(Default)]
pub(crate) struct Watch {
    /// Invocations that have not ended.
    running: BTreeSet<u64>,
    /// Which sends were made for a comment: one under its author's id, and one under its own where
    /// somebody told of it without its author.
    answers: BTreeMap<(AccountId, CommentId), Vec<SendId>>,
    /// The last claim of each send.
    claims: BTreeMap<SendId, Claim>,
    /// What each running invocation was granted.
    grants: BTreeMap<(u64, AccountId), Vec<Granted>>,
    /// The call for each send that took effect.
    accepted: BTreeMap<SendId, Accepted>,
    /// The invocation whose probe goes first after each account's hold.
    probes: BTreeMap<AccountId, u64>,
    /// The hold of the app.
    app_hold: Option<AppHold>,
    /// The invocation whose probe goes first after it.
    app_probe: Option<u64>,
    /// Claims of running invocations that were neither called for nor followed by another step.
    open_claims: BTreeMap<SendId, u64>,
    /// Comments whose age Meta was asked for.
    aged: BTreeSet<SendId>,
    /// Sends of whose last call nobody knows whether it arrived.
    unknown: BTreeSet<SendId>,
    /// Sends that an echo has ended.
    closed: BTreeSet<SendId>,
    /// The invocation that has each account's lease.
    leases: BTreeMap<AccountId, u64>,
    /// Until when Meta asked each running invocation not to call for an account, or at all.
    asked: BTreeMap<(u64, Option<AccountId>), Timestamp>,
    /// What Meta has refused of each account.
    refused: BTreeMap<AccountId, Refused>,
    /// Upkeep.
    kept: Kept,
    /// What operators do.
    orders: Orders,
    /// When everybody knew of each account that is not connected any more that it is not.
    removed: BTreeMap<AccountId, u64>,
    /// Comments that no campaign wanted when they were told of.
    pub(crate) early: BTreeSet<SendId>,
    /// When the last DM reached somebody, in milliseconds since 1970.
    pub(crate) last_dm: u64,
    /// DMs by state.
    pub(crate) tally: Tally,
    /// Public replies by state.
    pub(crate) public: Tally,
}

/// How many sends there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All.
    pub matched: u64,
    /// Those that have not ended.
    pub waiting: u64,
    /// Sent.
    pub sent: u64,
    /// Failed.
    pub failed: u64,
    /// Expired.
    pub expired: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Over,
    /// It died, or took too long.
    Dead,
}

impl Tally {
    /// Whether every send is in one state.
    fn balances(self) -> bool {
        let Self { matched, waiting, sent, failed, expired, cancelled } = self;
        waiting + sent + failed + expired + cancelled == matched
    }
}

impl World {
    /// An invocation begins.
    pub(crate) fn invocation_begins(&mut self, invocation: u64) {
        self.watch.running.insert(invocation);
    }

    /// An invocation has ended.
    pub(crate) fn invocation_ends(&mut self, invocation: u64, end: End) {
        match end {
            End::Over => {
                self.check_asked(invocation);
                self.check_claims(invocation);
            }
            End::Dead => self.saw_death(invocation),
        }
        self.watch.running.remove(&invocation);
        self.watch.open_claims.retain(|_, of| *of != invocation);
        self.watch.grants.retain(|(of, _), _| *of != invocation);
        self.watch.asked.retain(|(of, _), _| *of != invocation);
    }

    /// Whoever has claimed a send calls for it, or takes it on.
    fn check_claims(&mut self, invocation: u64) {
        let mut left = self.watch.open_claims.iter().filter(|(_, of)| **of == invocation);
        if let Some((send, _)) = left.next() {
            let what = format!("{invocation} has claimed {send} and does nothing with it");
            self.broken(what);
        }
    }

    /// Whether a wrong clock may have moved a cursor, or a budget's last instant, ahead.
    pub(crate) fn had_wrong_clocks(&self) -> bool {
        matches!(self.scenario.trouble, Trouble::Clocks | Trouble::All)
    }

    /// Whether `invocation` is another one than the caller's and runs.
    fn is_running_beside(&self, caller: Caller, invocation: u64) -> bool {
        invocation != caller.invocation && self.watch.running.contains(&invocation)
    }

    /// A process that knows its clock to be wrong does nothing that depends on it.
    fn check_clock(&mut self, caller: Caller, what: std::fmt::Arguments<'_>) {
        if caller.clock == ClockState::Told {
            self.broken(format!("{what} by a process that knows its clock to be wrong"));
        }
    }
}
