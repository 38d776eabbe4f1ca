//! Requests of owners to delete their accounts, and what is left of a removed account.

use std::collections::BTreeSet;

use spillway_service::port::{Deletion, UnmatchedRequest, UpkeepRequest};

use crate::{SECOND, Subject, now};

/// Meta's requests find the account by any of its ids, while it is on the list.
pub async fn an_app_scoped_id_names_its_account_until_that_leaves_the_list(subject: &dyn Subject) {
    let (maintenance, aliases) = (&subject.ports().maintenance, &subject.ports().aliases);
    let (id, now) = (subject.connected(), now(subject));
    maintenance.enroll(&id, now).await.unwrap();
    for app_scoped in ["9178", "9179"] {
        assert_eq!(aliases.named(app_scoped).await.unwrap(), None);
        maintenance.alias(&id, app_scoped).await.unwrap();
        assert_eq!(aliases.named(app_scoped).await.unwrap(), Some(id.clone()));
    }
    assert!(maintenance.strike_off(&id, now).await.unwrap());
    maintenance.alias(&id, "9178").await.unwrap();
    for app_scoped in ["9178", "9179"] {
        assert_eq!(aliases.named(app_scoped).await.unwrap(), None, "nobody is left to name");
    }
}

/// Upkeep is told of all, and each has a state of its own.
pub async fn every_request_for_deletion_is_known_until_it_is_done(subject: &dyn Subject) {
    let (maintenance, deletions) = (&subject.ports().maintenance, &subject.ports().deletions);
    let (id, now) = (subject.connected(), now(subject));
    assert_eq!(deletions.status("a").await.unwrap(), None);
    for (nth, code) in [(0, "a"), (1, "b"), (2, "a")] {
        let at = now + nth * SECOND;
        deletions.asked(code, Some(now), at).await.unwrap();
        let delete = UpkeepRequest::Delete { code: code.into() };
        maintenance.ask(&id, &delete, at).await.unwrap();
    }
    let record = maintenance.record(&id).await.unwrap().unwrap();
    assert_eq!(record.delete, BTreeSet::from(["a".into(), "b".into()]));
    assert_eq!(record.due, now + 2 * SECOND);
    for done_at in [now + 3 * SECOND, now + 4 * SECOND] {
        deletions.deleted("a", done_at).await.unwrap();
    }
    let done_at = Some(now + 3 * SECOND);
    let asked = |asked_at| Deletion {
        asked_at: Some(asked_at),
        issued_at: Some(now),
        ..Deletion::default()
    };
    let done = Deletion { done_at, ..asked(now) };
    assert_eq!(deletions.status("a").await.unwrap(), Some(done));
    assert_eq!(deletions.status("b").await.unwrap(), Some(asked(now + SECOND)));
    for void_at in [now + 5 * SECOND, now + 6 * SECOND] {
        deletions.voided("b", void_at).await.unwrap();
    }
    let void_at = Some(now + 5 * SECOND);
    let void = Deletion { done_at: void_at, void_at, ..asked(now + SECOND) };
    assert_eq!(deletions.status("b").await.unwrap(), Some(void));
    let (one, other) = (BTreeSet::from(["b".to_owned()]), BTreeSet::from(["a".to_owned()]));
    for (void, left) in [(&one, other.clone()), (&one, other.clone()), (&other, BTreeSet::new())] {
        maintenance.forget_deletions(&id, void).await.unwrap();
        let record = maintenance.record(&id).await.unwrap().unwrap();
        assert_eq!((record.delete, record.due), (left, now + 2 * SECOND));
    }
}

/// Nobody's requests are found by the id that they name, and by no other.
pub async fn a_request_under_an_unknown_id_is_kept_until_it_is_matched(subject: &dyn Subject) {
    let (deletions, now) = (&subject.ports().deletions, now(subject));
    let request = |code: &str, issued_at| UnmatchedRequest {
        code: code.into(),
        issued_at,
        kept_until: now + 60 * SECOND,
    };
    let requests = [request("a", Some(now)), request("b", None)];
    for request in requests.iter().chain(&requests) {
        deletions.set_aside("9178", request).await.unwrap();
        let kept_until = Some(request.kept_until);
        let kept = Deletion { kept_until, ..Deletion::default() };
        assert_eq!(deletions.status(&request.code).await.unwrap(), Some(kept));
    }
    assert_eq!(deletions.unmatched("9178").await.unwrap(), requests);
    assert_eq!(deletions.unmatched("9179").await.unwrap(), []);
    deletions.asked("a", None, now).await.unwrap();
    deletions.matched("9178", "a").await.unwrap();
    deletions.matched("9178", "a").await.unwrap();
    assert_eq!(deletions.unmatched("9178").await.unwrap(), requests[1..]);
    let under_way = Deletion { asked_at: Some(now), ..Deletion::default() };
    assert_eq!(deletions.status("a").await.unwrap(), Some(under_way));
}

/// An end that is weeks away changes nothing now: a connection before it goes on with what has
/// been used.
pub async fn counters_of_a_removed_account_stay_as_they_are_until_their_end(subject: &dyn Subject) {
    let (budgets, removal) = (&subject.ports().budgets, &subject.ports().removal);
    let (id, now) = (subject.connected(), now(subject));
    removal.expire_counters(&id, now).await.unwrap();
    let seen = removal.revision(&id).await.unwrap();
    assert!(removal.remove(&id, seen).await.unwrap());
    let used = budgets.load(&id).await.unwrap();
    for _ in 0..2 {
        removal.expire_counters(&id, now).await.unwrap();
        assert_eq!(budgets.load(&id).await.unwrap(), used);
    }
    subject.connect_again().await;
    let again = budgets.load(&id).await.unwrap();
    assert!(again.revision > used.revision && again.version > used.version);
}
