//! Marks and leases.

use std::time::Duration;

use futures::future::join_all;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::port::{BacklogMarker, DUE_AHEAD};

use crate::{SECOND, Subject, now};

const MINUTE: Duration = Duration::from_secs(60);

struct Case<'a> {
    subject: &'a dyn Subject,
    account: AccountId,
    now: Timestamp,
}

impl<'a> Case<'a> {
    fn new(subject: &'a dyn Subject) -> Self {
        Self { subject, account: AccountId::new("17841400000000077"), now: now(subject) }
    }

    async fn mark(&self, at: Timestamp) {
        self.subject.ports().backlogs.mark(&self.account, at).await.unwrap();
    }

    async fn wake(&self, at: Timestamp) {
        self.subject.ports().backlogs.wake(&self.account, at).await.unwrap();
    }

    async fn lease(&self, at: Timestamp) -> Option<BacklogMarker> {
        self.subject.ports().backlogs.lease(&self.account, at, at + MINUTE).await.unwrap()
    }

    async fn settle(&self, mark: &BacklogMarker, due: Option<Timestamp>) {
        self.subject.ports().backlogs.settle(&self.account, mark, due).await.unwrap();
    }

    /// When the account is due, if it is marked.
    async fn due(&self) -> Option<Timestamp> {
        let marked = self.subject.ports().backlogs.marked().await.unwrap();
        marked.into_iter().find(|(account, _)| *account == self.account).map(|(_, due)| due)
    }
}

/// Every marked account is listed, due when it was first marked, or when it was woken last.
pub async fn a_mark_is_listed_with_the_instant_it_is_due(subject: &dyn Subject) {
    let case = Case::new(subject);
    let backlogs = &subject.ports().backlogs;
    assert_eq!(backlogs.marked().await.unwrap(), []);
    case.mark(case.now).await;
    case.mark(case.now + SECOND).await;
    assert_eq!(case.due().await, Some(case.now));
    case.wake(case.now + SECOND).await;
    assert_eq!(case.due().await, Some(case.now + SECOND));
    let woken = AccountId::new("17841400000000078");
    backlogs.wake(&woken, case.now).await.unwrap();
    let others: Vec<AccountId> = (0..40).map(|n| AccountId::new(format!("178{n}"))).collect();
    for other in &others {
        backlogs.mark(other, case.now).await.unwrap();
    }
    let mut marked = backlogs.marked().await.unwrap();
    marked.sort();
    let mut all: Vec<_> = others.into_iter().map(|other| (other, case.now)).collect();
    all.extend([(case.account.clone(), case.now + SECOND), (woken, case.now)]);
    all.sort();
    assert_eq!(marked, all);
}

/// A marked account is leased to one, up to and with the last instant; marking it ends no lease.
pub async fn a_lease_is_one_runs_until_it_ends(subject: &dyn Subject) {
    let case = Case::new(subject);
    assert_eq!(case.lease(case.now).await, None, "not marked");
    assert_eq!(case.due().await, None, "a lease marks nothing");
    case.mark(case.now).await;
    let first = case.lease(case.now + SECOND).await.unwrap();
    assert_eq!((first.marked_at, first.lease_until), (case.now, case.now + SECOND + MINUTE));
    assert_eq!(case.lease(case.now + SECOND).await, None);
    case.mark(case.now + 2 * SECOND).await;
    assert_eq!(case.lease(first.lease_until).await, None, "its last instant");
    let second = case.lease(first.lease_until + Duration::from_millis(1)).await.unwrap();
    assert_eq!(second.marked_at, case.now + 2 * SECOND);
    assert_ne!(second.version, first.version);
}

/// Thirty at once.
pub async fn of_runs_that_race_for_a_lease_one_has_it(subject: &dyn Subject) {
    let case = Case::new(subject);
    for round in 0..3 {
        let at = case.now + round * 2 * MINUTE;
        case.mark(at).await;
        let leases = join_all((0..30).map(|_| case.lease(at))).await;
        assert_eq!(leases.iter().flatten().count(), 1, "{leases:?}");
    }
}

/// Settling ends the lease: with the next due instant, or the mark.
pub async fn a_settled_account_is_due_again_or_unmarked(subject: &dyn Subject) {
    let case = Case::new(subject);
    case.mark(case.now).await;
    let mark = case.lease(case.now).await.unwrap();
    let due = case.now + 5 * MINUTE;
    case.settle(&mark, Some(due)).await;
    assert_eq!(case.due().await, Some(due));
    // Its answer was lost, and it is tried again.
    case.settle(&mark, Some(due)).await;
    assert_eq!(case.lease(case.now).await, None, "not due");
    assert_eq!(case.lease(due - DUE_AHEAD - SECOND).await, None, "not due");
    // The clock of whoever found it due may be ahead.
    let mark = case.lease(due - DUE_AHEAD).await.unwrap();
    case.settle(&mark, None).await;
    assert_eq!(case.due().await, None);
    case.settle(&mark, None).await;
    assert_eq!(case.due().await, None);
    assert_eq!(case.lease(case.now).await, None, "not marked");
}

/// Whoever marked it relies on it.
pub async fn an_account_marked_during_its_run_stays_due_and_is_released(subject: &dyn Subject) {
    let case = Case::new(subject);
    let later = case.now + SECOND;
    for due in [None, Some(case.now + 5 * MINUTE)] {
        case.mark(case.now).await;
        let mark = case.lease(case.now).await.unwrap();
        case.mark(later).await;
        case.settle(&mark, due).await;
        assert_eq!(case.due().await, Some(case.now), "{due:?}");
        let mark = case.lease(later).await.expect("the lease has ended");
        assert_eq!(mark.marked_at, later);
        case.wake(later).await;
        case.settle(&mark, due).await;
        assert_eq!(case.due().await, Some(later), "{due:?}");
        let mark = case.lease(later).await.expect("the lease has ended");
        case.settle(&mark, None).await;
    }
}

/// A run that took longer than its lease, and settles while another has the account.
pub async fn a_run_that_was_overtaken_ends_nobody_elses_lease(subject: &dyn Subject) {
    let case = Case::new(subject);
    for due in [None, Some(case.now)] {
        case.mark(case.now).await;
        let slow = case.lease(case.now).await.unwrap();
        let later = slow.lease_until + SECOND;
        let fast = case.lease(later).await.unwrap();
        case.settle(&slow, due).await;
        assert_eq!(case.lease(later).await, None, "{due:?}: the other's lease was ended");
        assert_eq!(case.due().await, Some(case.now), "{due:?}");
        case.settle(&fast, None).await;
        assert_eq!(case.due().await, None);
    }
}
