//! A Meta of two rows: private replies an hour and people a day, as its documentation has them.
//!
//! It refuses what is over a row of what it *accepted* and says when to come back. Refused calls do
//! not keep its rows full, which is to the good of those who go on calling. The judge counts every
//! call.

use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_judge::{
    Action, Answered, Arrival, Counted, Fate, Judge, Limit, Limits, Rules, Scope,
};

use crate::outcome::{Fullest, Outcome};
use crate::rolling::Rolling;
use crate::trace::{DEADLINE, Trace};

/// Private replies of one account an hour.
pub(crate) const REPLIES_PER_HOUR: u32 = 750;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// What Meta answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The DM is delivered.
    Accepted,
    /// A limit response: nobody should call for this account before that instant, a whole number of
    /// minutes away.
    Limited {
        /// When access is regained.
        regain_at: Timestamp,
    },
    /// The comment is too old to be answered.
    TooLate,
}

/// The simulated Meta, for one trace.
pub struct Meta {
    account: AccountId,
    arrivals: Vec<Timestamp>,
    rows: [Rolling; 2],
    judge: Judge,
    last_accepted: Option<Timestamp>,
}

impl Meta {
    /// A Meta to which nobody has called yet.
    pub fn new(trace: &Trace) -> Self {
        let per_day = trace.recipients_per_day;
        let judged: Limits = Rules::from(vec![
            Limit::new("private replies / hour", Counted::PRIVATE_REPLIES, HOUR, REPLIES_PER_HOUR),
            Limit::new("recipients / day", Counted::DM_RECIPIENTS, DAY, per_day),
        ])
        .into();
        Self {
            account: "17841400000000001".into(),
            arrivals: trace.arrivals.clone(),
            rows: [Rolling::new(REPLIES_PER_HOUR, HOUR), Rolling::new(per_day, DAY)],
            judge: Judge::new(judged),
            last_accepted: None,
        }
    }

    /// A call at `now`, which is no earlier than the last, to answer the trace's `comment`-th
    /// comment.
    pub fn call(&mut self, now: Timestamp, comment: usize) -> Answer {
        let call = self.judge.call(Arrival {
            at: now,
            granted_at: Some(now),
            account: self.account.clone(),
            action: Action::PrivateReply,
            comment: Some(comment.to_string().as_str().into()),
            recipient: Some(comment.to_string().as_str().into()),
        });
        let answer = self.answer(now, comment);
        let (status, fate) = match answer {
            Answer::Accepted => (200, Fate::Accepted),
            Answer::Limited { regain_at } => {
                self.judge.throttled(Scope::Account(self.account.clone()), now, regain_at);
                (400, Fate::Untold)
            }
            Answer::TooLate => (400, Fate::Refused),
        };
        self.judge.answered(call.call, Answered { status, code: None, fate });
        answer
    }

    fn answer(&mut self, now: Timestamp, comment: usize) -> Answer {
        if now > self.arrivals[comment] + DEADLINE {
            return Answer::TooLate;
        }
        let fits_at = self.rows.iter().map(|row| row.fits_at(now)).max().unwrap_or(now);
        if fits_at > now {
            let minutes = fits_at.since(now).as_millis().div_ceil(60_000);
            let minutes = u64::try_from(minutes).unwrap_or(u64::MAX);
            return Answer::Limited { regain_at: now + Duration::from_secs(minutes * 60) };
        }
        for row in &mut self.rows {
            row.add(now);
        }
        self.last_accepted = Some(now);
        Answer::Accepted
    }

    /// The rows, for a planner that knows them.
    pub fn rules(&self) -> &Rules {
        &self.judge.limits().each
    }

    /// What became of the trace, for a model that asked its queues and stores so many times.
    pub fn outcome(&self, requests: u64) -> Outcome {
        let report = self.judge.report();
        let start = self.arrivals.first().copied().unwrap_or_default();
        let fullest = self.judge.fullest();
        Outcome {
            delivered: report.accepted,
            lost: self.arrivals.len() as u64 - report.accepted,
            calls: report.calls,
            calls_in_hold: report.calls_in_hold,
            fullest: fullest.map(|over| Fullest {
                limit: over.limit,
                count: over.count,
                allowed: over.allowed,
            }),
            requests,
            last_dm_s: self.last_accepted.map(|at| at.since(start).as_secs()),
        }
    }
}
