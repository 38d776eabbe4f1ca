//! The judge: an exact log of calls, exact windows over it, and what was wrong with each call.

use std::collections::HashMap;

use spillway_core::id::{AccountId, CommentId};
use spillway_core::time::Timestamp;

use crate::action::Counted;
use crate::hold::{Holds, Throttles};
use crate::log::{
    Answered, Arrival, Broken, CallRecord, DuplicateCall, Fate, HoldRecord, Over, Report, Scope,
    Violation,
};
use crate::row::{Breach, Row};
use crate::rules::{Limits, Rules};

/// What the judge says of a call when it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The call's place in the log, which [`Judge::answered`] takes.
    pub call: usize,
    /// The limits that it goes over, the accounts' own first, each with what a refusal needs.
    pub breaches: Vec<Breach>,
}

/// The judge. It keeps everything, so that nothing that was counted can be lost.
pub struct Judge {
    limits: Limits,
    accounts: HashMap<AccountId, Vec<Row>>,
    app: Option<Row>,
    log: Vec<CallRecord>,
    /// By account too: one comment may be told to two accounts, and is then a comment of each.
    comments: HashMap<(AccountId, CommentId), Reply>,
    /// Calls that used up a comment's allowance for a retry.
    retries: HashMap<usize, (AccountId, CommentId)>,
    holds: Holds,
    throttles: Throttles,
    report: Report,
}

/// A comment that has its reply.
#[derive(Default)]
struct Reply {
    /// Calls that may still follow because an answer was withheld.
    retries_left: u32,
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
            holds: Holds::default(),
            throttles: Throttles::default(),
            report: Report::default(),
        }
    }

    /// Holds an account to other figures of the same rows from now on. Figures of the past must
    /// stay as they are: what was judged by them is not judged again.
    pub fn set_figures(&mut self, account: &AccountId, rules: Rules) {
        for (row, limit) in self.accounts.get_mut(account).into_iter().flatten().zip(&rules.rows) {
            row.limit = limit.clone();
        }
        self.limits.own.insert(account.clone(), rules);
    }

    /// Writes a call into the log and judges it, whatever will be answered.
    pub fn call(&mut self, arrival: Arrival) -> Verdict {
        let call = self.log.len();
        self.report.calls += 1;
        self.report.calls_in_hold += u64::from(self.throttles.covers(&arrival));
        self.judge_comment(call, &arrival);
        let breaches = self.judge_limits(call, &arrival);
        self.judge_rules(call, &arrival, &breaches);
        self.log.push(CallRecord {
            at_ms: arrival.at.as_millis(),
            granted_at_ms: arrival.granted_at.map(Timestamp::as_millis),
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
        let reply = answered_comment(record);
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
        let comment = answered_comment(&self.log[call]);
        if let Some(reply) = comment.and_then(|comment| self.comments.get_mut(&comment)) {
            // A retry made in the meantime was in order, and has used its allowance up.
            reply.retries_left = reply.retries_left.saturating_sub(1);
        }
    }

    /// An answer at `answered` told callers of `scope` to wait until `until`. Calls before that are
    /// counted apart, since the caller may rightly be slow to learn of it; a [`Self::hold`] is what
    /// it has promised.
    pub fn throttled(&mut self, scope: Scope, answered: Timestamp, until: Timestamp) {
        self.throttles.answered(scope, answered, until);
    }

    /// Callers of `scope` have held since the write of `acknowledged_at`, and will until `until`. A
    /// call that is granted in between breaks it. A later hold of the same scope adds to it.
    pub fn hold(&mut self, scope: Scope, acknowledged_at: Timestamp, until: Timestamp) {
        self.holds.begin(scope, acknowledged_at, until);
    }

    /// The holds of `scope` ended at `at`, if not before.
    pub fn hold_ended(&mut self, scope: &Scope, at: Timestamp) {
        self.holds.end(scope, at);
    }

    /// The judgment so far.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// Of every window that ended with a call the one that was fullest for its limit, over it or
    /// not; `None` before the first call that is counted.
    pub fn fullest(&self) -> Option<Over> {
        let rows = self.accounts.values().flatten().chain(&self.app);
        rows.filter_map(Row::fullest).reduce(Over::fuller).cloned()
    }

    /// The log, in order of arrival.
    pub fn calls(&self) -> &[CallRecord] {
        &self.log
    }

    /// The holds it was told of, in the order of being told.
    pub fn holds(&self) -> &[HoldRecord] {
        self.holds.log()
    }

    /// The limits it holds callers to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Percent of an account's limit on calls that is used, of the fullest such limit.
    pub fn account_usage(&self, account: &AccountId, now: Timestamp) -> Option<u32> {
        let rows = self.accounts.get(account)?;
        let calls = rows.iter().filter(|row| row.limit.counts == Counted::EVERY_CALL);
        calls.map(|row| row.percent(now)).max()
    }

    /// Percent of the app-wide limit that is used.
    pub fn app_usage(&self, now: Timestamp) -> Option<u32> {
        self.app.as_ref().map(|row| row.percent(now))
    }

    fn judge_rules(&mut self, call: usize, arrival: &Arrival, breaches: &[Breach]) {
        let active = &self.limits.of(&arrival.account).active;
        let (earliest, latest) = arrival.granted();
        let asleep = arrival.action.keeps_active_hours() && !active.touches(earliest, latest);
        let mut broken: Vec<Broken> = asleep.then_some(Broken::ActiveHours).into_iter().collect();
        broken.extend(self.holds.broken_by(arrival));
        if breaches.is_empty() && broken.is_empty() {
            return;
        }
        self.report.violations.push(Violation {
            call,
            at_ms: arrival.at.as_millis(),
            account: arrival.account.clone(),
            comment_id: arrival.comment.clone(),
            limits: breaches.iter().map(|breach| breach.over.clone()).collect(),
            broken,
        });
    }

    fn judge_comment(&mut self, call: usize, arrival: &Arrival) {
        let Some(comment) = &arrival.comment else { return };
        let key = (arrival.account.clone(), comment.clone());
        let Some(reply) = self.comments.get_mut(&key) else { return };
        if reply.retries_left > 0 {
            reply.retries_left -= 1;
            self.retries.insert(call, key);
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
        let own = self.accounts.entry(arrival.account.clone()).or_insert_with(|| {
            self.limits.of(&arrival.account).rows.iter().cloned().map(Row::new).collect()
        });
        let scope = Scope::Account(arrival.account.clone());
        let mut breaches: Vec<Breach> =
            own.iter_mut().filter_map(|row| row.count(call, arrival, &scope)).collect();
        breaches.extend(self.app.as_mut().and_then(|row| row.count(call, arrival, &Scope::App)));
        breaches
    }

    fn accept(&mut self, reply: Option<(AccountId, CommentId)>) {
        self.report.accepted += 1;
        if let Some(comment) = reply {
            self.comments.entry(comment).or_default();
        }
    }
}

/// The comment that a call answers, and whose it is.
fn answered_comment(record: &CallRecord) -> Option<(AccountId, CommentId)> {
    record.comment_id.clone().map(|comment| (record.account.clone(), comment))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::action::Action;
    use crate::active::{Active, Span};
    use crate::figure::Figure;
    use crate::rules::{Limit, Rules};

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn arrival(millis: u64, action: Action, comment: &str, person: &str) -> Arrival {
        Arrival {
            at: at(millis),
            granted_at: None,
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
        judged_by(vec![Limit::new("row", counts, window, limit)])
    }

    fn judged_by(rows: Vec<Limit>) -> Judge {
        Judge::new(Rules::from(rows).into())
    }

    fn end(judge: &mut Judge, verdict: &Verdict, fate: Fate) {
        judge.answered(verdict.call, Answered { status: 200, code: None, fate });
    }

    #[test]
    fn a_window_is_open_at_its_start() {
        let mut judge = judge(Counted::PRIVATE_REPLIES, 100, 2);
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
        let mut judge = judge(Counted::LIVE_REPLIES, 100, 1);
        assert!(judge.call(reply(0, "1")).breaches.is_empty());
        assert!(judge.call(reply(0, "2")).breaches.is_empty());
        let live = |comment| arrival(0, Action::LivePrivateReply, comment, comment);
        assert!(judge.call(live("3")).breaches.is_empty());
        assert_eq!(judge.call(live("4")).breaches.len(), 1);
    }

    #[test]
    fn people_count_once_in_a_window() {
        let mut judge = judge(Counted::DM_RECIPIENTS, 100, 2);
        let to = |millis, person| arrival(millis, Action::Message, "c", person);
        for (millis, person) in [(0, "x"), (1, "y"), (2, "x"), (3, "y")] {
            assert!(judge.call(to(millis, person)).breaches.is_empty());
        }
        assert_eq!(judge.call(to(4, "z")).breaches[0].fits_at, Some(at(103)));
    }

    #[test]
    fn the_app_row_sums_over_accounts() {
        let app = Limit::new("app", Counted::EVERY_CALL, Duration::from_millis(100), 1);
        let mut judge = Judge::new(Limits { app: Some(app), ..Rules::from(Vec::new()).into() });
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
            Limit::new("calls", Counted::EVERY_CALL, window, 1),
            Limit::new("replies", Counted::PRIVATE_REPLIES, window, 1),
        ];
        let mut judge = judged_by(rows);
        judge.call(reply(0, "1"));
        judge.call(reply(0, "2"));
        let report = judge.report();
        assert_eq!(report.violations.len(), 1);
        assert_eq!(report.violations[0].limits.len(), 2);
    }

    #[test]
    fn the_fullest_window_is_known_below_the_limit_too() {
        let window = Duration::from_millis(100);
        let mut judge = judged_by(vec![
            Limit::new("calls", Counted::EVERY_CALL, window, 10),
            Limit::new("replies", Counted::PRIVATE_REPLIES, window, 4),
        ]);
        assert_eq!(judge.fullest(), None);
        for millis in [0, 50, 120] {
            judge.call(reply(millis, "1"));
        }
        let fullest = Over { limit: "replies".into(), count: 2, allowed: 4 };
        assert_eq!(judge.fullest(), Some(fullest));
    }

    #[test]
    fn a_clock_that_steps_back_hides_nothing() {
        let mut judge = judge(Counted::EVERY_CALL, 100, 2);
        judge.call(reply(1000, "1"));
        judge.call(reply(1050, "2"));
        // (950, 1050] holds three now.
        assert_eq!(judge.call(reply(990, "3")).breaches[0].over.count, 3);
        assert!(judge.call(reply(500, "4")).breaches.is_empty());
        assert!(judge.call(reply(1095, "5")).breaches[0].over.count == 3);
    }

    #[test]
    fn every_call_after_the_first_accepted_one_is_a_duplicate() {
        let mut judge = judge(Counted::EVERY_CALL, 1, 100);
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
        let mut judge = judge(Counted::EVERY_CALL, 1, 100);
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
        let mut judge = judge(Counted::EVERY_CALL, 1, 100);
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
        let mut judge = judge(Counted::EVERY_CALL, 1, 100);
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
        let mut judge = judge(Counted::EVERY_CALL, 1, 100);
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

    /// As [`reply`], with the instant of its grant.
    fn granted(millis: u64, granted: u64, comment: &str) -> Arrival {
        Arrival { granted_at: Some(at(granted)), ..reply(millis, comment) }
    }

    fn is_clean(judge: &mut Judge, arrival: Arrival) -> bool {
        let before = judge.report().violations.len();
        judge.call(arrival);
        judge.report().violations.len() == before
    }

    #[test]
    fn a_call_is_judged_by_the_limit_in_force_at_its_grant() {
        let figure = Figure::from(2).then(at(100_000), 0);
        let row =
            || Limit::new("row", Counted::EVERY_CALL, Duration::from_millis(10), figure.clone());
        let mut judge = judged_by(vec![row()]);
        assert!(is_clean(&mut judge, granted(101_000, 99_999, "1")));
        assert!(!is_clean(&mut judge, granted(101_100, 100_000, "2")));
        // Nobody knows when these were granted: up to 7 s ago.
        assert!(is_clean(&mut judge, reply(106_999, "3")));
        assert!(!is_clean(&mut judge, reply(107_000, "4")));
    }

    #[test]
    fn an_account_may_have_rules_of_its_own() {
        let row = |limit| Limit::new("row", Counted::EVERY_CALL, Duration::from_millis(10), limit);
        let mut limits = Limits::from(Rules::from(vec![row(0_u32)]));
        limits.own.insert("a".into(), vec![row(1)].into());
        let mut judge = Judge::new(limits);
        assert!(is_clean(&mut judge, reply(1, "1")));
        assert!(!is_clean(&mut judge, Arrival { account: "b".into(), ..reply(1, "1") }));
    }

    #[test]
    fn a_sleeping_account_sends_nothing_but_live_replies() {
        let spans = vec![Span { start: at(10_000), end: at(20_000) }];
        let rules = Rules { active: Active::In(spans), ..Vec::new().into() };
        let mut judge = Judge::new(rules.into());
        assert!(!is_clean(&mut judge, reply(9999, "1")));
        assert!(is_clean(&mut judge, reply(10_000, "2")));
        assert!(is_clean(&mut judge, reply(26_999, "3")), "granted before the end, perhaps");
        assert!(!is_clean(&mut judge, reply(27_000, "4")));
        assert!(is_clean(&mut judge, granted(20_500, 19_999, "5")));
        assert!(!is_clean(&mut judge, granted(20_500, 20_000, "6")));
        assert_eq!(judge.report().violations[0].broken, [Broken::ActiveHours]);
        for (action, clean) in [(Action::Message, false), (Action::LivePrivateReply, true)] {
            assert_eq!(is_clean(&mut judge, arrival(40_000, action, "7", "p")), clean);
        }
        assert!(is_clean(&mut judge, arrival(40_000, Action::Read, "8", "p")));
    }

    #[test]
    fn what_is_granted_in_a_hold_is_a_violation() {
        let mut judge = judged_by(Vec::new());
        let scope = Scope::Account("a".into());
        judge.hold(scope.clone(), at(100_000), at(200_000));
        assert!(is_clean(&mut judge, granted(104_000, 100_000, "1")), "granted before");
        assert!(!is_clean(&mut judge, granted(104_000, 100_001, "2")));
        assert!(is_clean(&mut judge, reply(107_000, "3")), "perhaps granted before");
        assert!(!is_clean(&mut judge, reply(107_001, "4")));
        assert!(is_clean(&mut judge, Arrival { account: "b".into(), ..reply(150_000, "5") }));
        judge.hold(scope.clone(), at(150_000), at(300_000));
        assert!(!is_clean(&mut judge, granted(200_000, 200_000, "6")), "it was lengthened");
        judge.hold_ended(&scope, at(250_000));
        assert!(!is_clean(&mut judge, granted(250_500, 249_999, "7")));
        assert!(is_clean(&mut judge, granted(250_500, 250_000, "8")), "the probe");
        assert_eq!(judge.report().violations[0].broken, [Broken::Hold(scope)]);
    }

    #[test]
    fn holds_stop_whom_they_are_for() {
        let mut judge = judged_by(Vec::new());
        judge.hold(Scope::Recipient("a".into(), "x".into()), at(0), at(100));
        let to = |person, account: &str| Arrival {
            account: account.into(),
            granted_at: Some(at(50)),
            ..arrival(50, Action::Message, "c", person)
        };
        assert!(!is_clean(&mut judge, to("x", "a")));
        assert!(is_clean(&mut judge, to("y", "a")));
        assert!(is_clean(&mut judge, to("x", "b")), "another account sees another person");
        judge.hold(Scope::App, at(0), at(100));
        assert!(!is_clean(&mut judge, to("y", "b")));
    }
}
