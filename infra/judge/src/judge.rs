//! The judge: an exact log of calls, exact windows over it, and what was wrong with each call.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;

use crate::window::SlidingWindow;

/// Every limit that the judge holds callers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Each applies to every account by itself.
    pub rows: Vec<Limit>,
    /// One limit over the calls of all accounts together.
    pub app: Option<Limit>,
}

impl Limits {
    /// What Meta's documentation states for private replies.
    pub fn documented() -> Self {
        let hour = Duration::from_secs(3600);
        let second = Duration::from_secs(1);
        let replies = Limit::new("private replies / hour", Counted::PrivateReplies, hour, 750);
        let live = Limit::new("live replies / second", Counted::LivePrivateReplies, second, 100);
        Self { rows: vec![replies, live], app: None }
    }
}

/// At most so many in any window of that length, wherever the window starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How reports call it.
    pub name: String,
    /// Which calls it counts, and whether it counts them or the people they reach.
    pub counts: Counted,
    /// The window's length. Windows are open at their start and closed at their end.
    pub window: Duration,
    /// The most that a window may hold.
    pub limit: u32,
}

impl Limit {
    /// A limit of `limit` in any `window`.
    pub fn new(name: &str, counts: Counted, window: Duration, limit: u32) -> Self {
        Self { name: name.to_owned(), counts, window, limit }
    }
}

/// What a limit counts. Refused calls count like accepted ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Calls of every kind, malformed ones included.
    EveryCall,
    /// Private replies to comments on posts and Reels.
    PrivateReplies,
    /// Private replies to comments on a live broadcast.
    LivePrivateReplies,
    /// People whom a call was for, each once however many calls.
    DistinctRecipients,
}

impl Counted {
    fn includes(self, action: Action, recipient: Option<&RecipientId>) -> bool {
        match self {
            Self::EveryCall => true,
            Self::PrivateReplies => action == Action::PrivateReply,
            Self::LivePrivateReplies => action == Action::LivePrivateReply,
            Self::DistinctRecipients => recipient.is_some(),
        }
    }
}

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A DM that answers a comment on a post or Reel.
    PrivateReply,
    /// A DM that answers a comment on a live broadcast.
    LivePrivateReply,
    /// A DM to a person.
    Message,
    /// A look at a comment.
    Read,
    /// Anything else, unreadable calls included.
    Other,
}

/// A call as it arrives, before anything is decided about it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the whole call had been read.
    pub at: Timestamp,
    /// Whose budget it is charged to.
    pub account: AccountId,
    /// What it asked for.
    pub action: Action,
    /// The comment it answers.
    pub comment: Option<CommentId>,
    /// Whom it is for, as far as that is known.
    pub recipient: Option<RecipientId>,
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
    /// It was a read, which has no effect, and was answered.
    Read,
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

/// A call made over a limit. It is one violation however many limits it broke.
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

/// The judgment so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Calls of every kind.
    pub calls: u64,
    /// Calls that took effect, told or not.
    pub accepted: u64,
    /// Accepted calls whose answer was withheld on purpose.
    pub lost_answers: u64,
    /// Calls made over a limit.
    pub violations: Vec<Violation>,
    /// How many calls there were for a comment that had its reply already.
    pub duplicates: u64,
    /// Those calls.
    pub duplicate_calls: Vec<DuplicateCall>,
    /// Calls made after an answer that named a time to wait for, and before that time. Not a
    /// violation: some may have been under way when the answer came.
    pub calls_in_hold: u64,
}

/// What the judge says of a call when it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The call's place in the log, which [`Judge::answered`] takes.
    pub call: usize,
    /// The limits that it goes over, the accounts' own first, each with what a refusal needs.
    pub breaches: Vec<Breach>,
}

/// A limit that a call goes over, with what a refusal needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which limit and by how much.
    pub over: Over,
    /// What that limit counts.
    pub counts: Counted,
    /// Whose limit it is.
    pub scope: Scope,
    /// From when on one more would fit; `None` where the limit is zero.
    pub fits_at: Option<Timestamp>,
}

/// Whom a limit or a throttle applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One account.
    Account(AccountId),
    /// All accounts together.
    App,
}

/// The judge. It keeps everything, so that nothing that was counted can be lost.
pub struct Judge {
    limits: Limits,
    accounts: HashMap<AccountId, Vec<Row>>,
    app: Option<Row>,
    log: Vec<CallRecord>,
    comments: HashMap<CommentId, Reply>,
    /// Calls that used up a comment's allowance for a retry.
    retries: HashMap<usize, CommentId>,
    holds: HashMap<Scope, Hold>,
    report: Report,
}

/// A comment that has its reply.
#[derive(Default)]
struct Reply {
    /// Calls that may still follow because an answer was withheld.
    retries_left: u32,
}

/// An answer told the caller to wait.
#[derive(Clone, Copy)]
struct Hold {
    answered: Timestamp,
    until: Timestamp,
}

impl Judge {
    /// A judge with an empty log.
    pub fn new(limits: Limits) -> Self {
        let app = limits.app.clone().map(Row::new);
        Self {
            limits,
            accounts: HashMap::new(),
            app,
            log: Vec::new(),
            comments: HashMap::new(),
            retries: HashMap::new(),
            holds: HashMap::new(),
            report: Report::default(),
        }
    }

    /// Writes a call into the log and judges it, whatever will be answered.
    pub fn call(&mut self, arrival: Arrival) -> Verdict {
        let call = self.log.len();
        self.report.calls += 1;
        self.judge_hold(&arrival);
        self.judge_comment(call, &arrival);
        let breaches = self.judge_limits(call, &arrival);
        if !breaches.is_empty() {
            self.report.violations.push(Violation {
                call,
                at_ms: arrival.at.as_millis(),
                account: arrival.account.clone(),
                comment_id: arrival.comment.clone(),
                limits: breaches.iter().map(|breach| breach.over.clone()).collect(),
            });
        }
        self.log.push(CallRecord {
            at_ms: arrival.at.as_millis(),
            account: arrival.account,
            action: arrival.action,
            comment_id: arrival.comment,
            recipient_id: arrival.recipient,
            status: 0,
            code: None,
        });
        Verdict { call, breaches }
    }

    /// Writes down how a call ended. Each call ends once.
    pub fn answered(&mut self, call: usize, answered: Answered) {
        let record = &mut self.log[call];
        record.status = answered.status;
        record.code = answered.code;
        let reply = record.comment_id.clone();
        let retried = self.retries.remove(&call);
        match answered.fate {
            Fate::Accepted => self.accept(reply),
            Fate::AcceptedUntold => {
                self.report.lost_answers += 1;
                if let Some(comment) = &reply {
                    self.comments.entry(comment.clone()).or_default().retries_left += 1;
                }
                self.accept(reply);
            }
            Fate::Refused | Fate::Read => {}
            // The retry told the caller nothing about the comment, so the answer is still lost.
            Fate::Untold => {
                if let Some(reply) = retried.and_then(|comment| self.comments.get_mut(&comment)) {
                    reply.retries_left += 1;
                }
            }
        }
    }

    /// An answer that was taken for lost ([`Fate::AcceptedUntold`]) arrived after all.
    pub fn told_late(&mut self, call: usize) {
        self.report.lost_answers -= 1;
        let comment = self.log[call].comment_id.as_ref();
        if let Some(reply) = comment.and_then(|comment| self.comments.get_mut(comment)) {
            // A retry made in the meantime was in order, and has used its allowance up.
            reply.retries_left = reply.retries_left.saturating_sub(1);
        }
    }

    /// An answer at `answered` told callers of `scope` to wait until `until`.
    pub fn throttled(&mut self, scope: Scope, answered: Timestamp, until: Timestamp) {
        let hold = self.holds.entry(scope).or_insert(Hold { answered, until });
        if answered >= hold.until {
            *hold = Hold { answered, until };
        }
        hold.until = hold.until.max(until);
    }

    /// The judgment so far.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// The log, in order of arrival.
    pub fn calls(&self) -> &[CallRecord] {
        &self.log
    }

    /// The limits it holds callers to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Percent of an account's limit on calls that is used, of the fullest such limit.
    pub fn account_usage(&self, account: &AccountId, now: Timestamp) -> Option<u32> {
        let rows = self.accounts.get(account)?;
        let calls = rows.iter().filter(|row| row.limit.counts == Counted::EveryCall);
        calls.map(|row| row.percent(now)).max()
    }

    /// Percent of the app-wide limit that is used.
    pub fn app_usage(&self, now: Timestamp) -> Option<u32> {
        self.app.as_ref().map(|row| row.percent(now))
    }

    fn judge_hold(&mut self, arrival: &Arrival) {
        let scopes = [Scope::Account(arrival.account.clone()), Scope::App];
        let mut holds = scopes.iter().filter_map(|scope| self.holds.get(scope));
        if holds.any(|hold| hold.answered < arrival.at && arrival.at < hold.until) {
            self.report.calls_in_hold += 1;
        }
    }

    fn judge_comment(&mut self, call: usize, arrival: &Arrival) {
        let Some(comment) = &arrival.comment else { return };
        let Some(reply) = self.comments.get_mut(comment) else { return };
        if reply.retries_left > 0 {
            reply.retries_left -= 1;
            self.retries.insert(call, comment.clone());
            return;
        }
        self.report.duplicates += 1;
        self.report.duplicate_calls.push(DuplicateCall {
            call,
            at_ms: arrival.at.as_millis(),
            account: arrival.account.clone(),
            comment_id: comment.clone(),
        });
    }

    fn judge_limits(&mut self, call: usize, arrival: &Arrival) -> Vec<Breach> {
        let own = self
            .accounts
            .entry(arrival.account.clone())
            .or_insert_with(|| self.limits.rows.iter().cloned().map(Row::new).collect());
        let scope = Scope::Account(arrival.account.clone());
        let mut breaches: Vec<Breach> =
            own.iter_mut().filter_map(|row| row.count(call, arrival, &scope)).collect();
        breaches.extend(self.app.as_mut().and_then(|row| row.count(call, arrival, &Scope::App)));
        breaches
    }

    fn accept(&mut self, reply: Option<CommentId>) {
        self.report.accepted += 1;
        if let Some(comment) = reply {
            self.comments.entry(comment).or_default();
        }
    }
}

/// One limit and its window.
struct Row {
    limit: Limit,
    window: SlidingWindow,
    /// Numbers for the people counted, where people are counted.
    people: HashMap<RecipientId, u64>,
}

impl Row {
    fn new(limit: Limit) -> Self {
        let length_ms = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX);
        Self { limit, window: SlidingWindow::new(length_ms), people: HashMap::new() }
    }

    /// Counts the call where it counts here, and says whether that goes over the limit.
    fn count(&mut self, call: usize, arrival: &Arrival, scope: &Scope) -> Option<Breach> {
        if !self.limit.counts.includes(arrival.action, arrival.recipient.as_ref()) {
            return None;
        }
        let key = self.key(call, arrival);
        let at = arrival.at.as_millis();
        let count = self.window.add(at, key) as u64;
        if count <= u64::from(self.limit.limit) {
            return None;
        }
        let fits_at = self.window.fits_at(at, self.limit.limit as usize);
        Some(Breach {
            over: Over { limit: self.limit.name.clone(), count, allowed: self.limit.limit },
            counts: self.limit.counts,
            scope: scope.clone(),
            fits_at: fits_at.map(Timestamp::from_millis),
        })
    }

    fn key(&mut self, call: usize, arrival: &Arrival) -> u64 {
        match (self.limit.counts, &arrival.recipient) {
            (Counted::DistinctRecipients, Some(person)) => {
                let next = self.people.len() as u64;
                *self.people.entry(person.clone()).or_insert(next)
            }
            _ => call as u64,
        }
    }

    fn percent(&self, now: Timestamp) -> u32 {
        let used = self.window.inside_at(now.as_millis()) as u64;
        let percent = (used * 100).checked_div(u64::from(self.limit.limit)).unwrap_or(100);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn arrival(millis: u64, action: Action, comment: &str, person: &str) -> Arrival {
        Arrival {
            at: at(millis),
            account: "a".into(),
            action,
            comment: Some(comment.into()),
            recipient: Some(person.into()),
        }
    }

    fn reply(millis: u64, comment: &str) -> Arrival {
        arrival(millis, Action::PrivateReply, comment, comment)
    }

    fn judge(counts: Counted, window_ms: u64, limit: u32) -> Judge {
        let window = Duration::from_millis(window_ms);
        Judge::new(Limits { rows: vec![Limit::new("row", counts, window, limit)], app: None })
    }

    fn end(judge: &mut Judge, verdict: &Verdict, fate: Fate) {
        judge.answered(verdict.call, Answered { status: 200, code: None, fate });
    }

    #[test]
    fn a_window_is_open_at_its_start() {
        let mut judge = judge(Counted::PrivateReplies, 100, 2);
        assert!(judge.call(reply(0, "1")).breaches.is_empty());
        assert!(judge.call(reply(10, "2")).breaches.is_empty());
        let over = judge.call(reply(99, "3"));
        assert_eq!(over.breaches[0].over, Over { limit: "row".into(), count: 3, allowed: 2 });
        assert_eq!(over.breaches[0].fits_at, Some(at(110)), "the refused call counts too");
        // (10, 110] holds the refused call of 99 and this one.
        assert!(judge.call(reply(110, "4")).breaches.is_empty());
        assert_eq!(judge.report().violations.len(), 1);
    }

    #[test]
    fn live_and_post_replies_have_rows_of_their_own() {
        let mut judge = judge(Counted::LivePrivateReplies, 100, 1);
        assert!(judge.call(reply(0, "1")).breaches.is_empty());
        assert!(judge.call(reply(0, "2")).breaches.is_empty());
        let live = |comment| arrival(0, Action::LivePrivateReply, comment, comment);
        assert!(judge.call(live("3")).breaches.is_empty());
        assert_eq!(judge.call(live("4")).breaches.len(), 1);
    }

    #[test]
    fn people_count_once_in_a_window() {
        let mut judge = judge(Counted::DistinctRecipients, 100, 2);
        let to = |millis, person| arrival(millis, Action::Message, "c", person);
        for (millis, person) in [(0, "x"), (1, "y"), (2, "x"), (3, "y")] {
            assert!(judge.call(to(millis, person)).breaches.is_empty());
        }
        assert_eq!(judge.call(to(4, "z")).breaches[0].fits_at, Some(at(103)));
    }

    #[test]
    fn the_app_row_sums_over_accounts() {
        let app = Limit::new("app", Counted::EveryCall, Duration::from_millis(100), 1);
        let mut judge = Judge::new(Limits { rows: Vec::new(), app: Some(app) });
        judge.call(reply(0, "1"));
        let other = Arrival { account: "b".into(), ..reply(1, "2") };
        let verdict = judge.call(other);
        assert_eq!(verdict.breaches[0].scope, Scope::App);
        assert_eq!(judge.app_usage(at(1)), Some(200));
    }

    #[test]
    fn one_call_over_two_limits_is_one_violation() {
        let window = Duration::from_millis(100);
        let rows = vec![
            Limit::new("calls", Counted::EveryCall, window, 1),
            Limit::new("replies", Counted::PrivateReplies, window, 1),
        ];
        let mut judge = Judge::new(Limits { rows, app: None });
        judge.call(reply(0, "1"));
        judge.call(reply(0, "2"));
        let report = judge.report();
        assert_eq!(report.violations.len(), 1);
        assert_eq!(report.violations[0].limits.len(), 2);
    }

    #[test]
    fn a_clock_that_steps_back_hides_nothing() {
        let mut judge = judge(Counted::EveryCall, 100, 2);
        judge.call(reply(1000, "1"));
        judge.call(reply(1050, "2"));
        // (950, 1050] holds three now.
        assert_eq!(judge.call(reply(990, "3")).breaches[0].over.count, 3);
        assert!(judge.call(reply(500, "4")).breaches.is_empty());
        assert!(judge.call(reply(1095, "5")).breaches[0].over.count == 3);
    }

    #[test]
    fn every_call_after_the_first_accepted_one_is_a_duplicate() {
        let mut judge = judge(Counted::EveryCall, 1, 100);
        let first = judge.call(reply(0, "1"));
        end(&mut judge, &first, Fate::Untold);
        let second = judge.call(reply(1, "1"));
        end(&mut judge, &second, Fate::Accepted);
        assert_eq!(judge.report().duplicates, 0);
        for millis in 2..4 {
            let again = judge.call(reply(millis, "1"));
            end(&mut judge, &again, Fate::Untold);
        }
        assert_eq!(judge.report().duplicates, 2);
        assert_eq!(judge.report().duplicate_calls[0].at_ms, 2);
    }

    #[test]
    fn a_lost_answer_allows_one_retry() {
        let mut judge = judge(Counted::EveryCall, 1, 100);
        let first = judge.call(reply(0, "1"));
        end(&mut judge, &first, Fate::AcceptedUntold);
        let retry = judge.call(reply(1, "1"));
        end(&mut judge, &retry, Fate::Refused);
        assert_eq!(judge.report().duplicates, 0);
        let second_retry = judge.call(reply(2, "1"));
        end(&mut judge, &second_retry, Fate::Refused);
        assert_eq!(judge.report().duplicates, 1);
        assert_eq!(judge.report().lost_answers, 1);
    }

    #[test]
    fn a_retry_that_learned_nothing_may_be_made_again() {
        let mut judge = judge(Counted::EveryCall, 1, 100);
        let first = judge.call(reply(0, "1"));
        end(&mut judge, &first, Fate::AcceptedUntold);
        let throttled = judge.call(reply(1, "1"));
        end(&mut judge, &throttled, Fate::Untold);
        let retry = judge.call(reply(2, "1"));
        end(&mut judge, &retry, Fate::Refused);
        assert_eq!(judge.report().duplicates, 0);
        judge.call(reply(3, "1"));
        assert_eq!(judge.report().duplicates, 1);
    }

    #[test]
    fn a_late_answer_allows_a_retry_until_it_arrives() {
        let mut judge = judge(Counted::EveryCall, 1, 100);
        let first = judge.call(reply(0, "1"));
        end(&mut judge, &first, Fate::AcceptedUntold);
        judge.told_late(first.call);
        judge.call(reply(1, "1"));
        assert_eq!((judge.report().duplicates, judge.report().lost_answers), (1, 0));
        let other = judge.call(reply(2, "2"));
        end(&mut judge, &other, Fate::AcceptedUntold);
        let retry = judge.call(reply(3, "2"));
        end(&mut judge, &retry, Fate::Refused);
        judge.told_late(other.call);
        assert_eq!(judge.report().duplicates, 1);
    }

    #[test]
    fn calls_between_a_throttle_and_its_end_are_counted_apart() {
        let mut judge = judge(Counted::EveryCall, 1, 100);
        judge.throttled(Scope::Account("a".into()), at(10), at(20));
        judge.throttled(Scope::Account("a".into()), at(15), at(30));
        for millis in [10, 11, 29, 30] {
            judge.call(reply(millis, "1"));
        }
        assert_eq!(judge.report().calls_in_hold, 2);
        judge.call(Arrival { account: "b".into(), ..reply(12, "1") });
        assert_eq!(judge.report().calls_in_hold, 2);
        judge.throttled(Scope::App, at(40), at(50));
        judge.call(Arrival { account: "b".into(), ..reply(45, "1") });
        assert_eq!(judge.report().calls_in_hold, 3);
        assert!(judge.report().violations.is_empty());
    }
}
