//! Accounts: connected, removed, and on upkeep's list.

use spillway_core::id::AccountId;

use crate::{SECOND, Subject, now};

/// Who is connected is found, time and again, and nobody else.
pub async fn accounts_are_found_when_connected(subject: &dyn Subject) {
    let accounts = &subject.ports().accounts;
    let id = subject.connected();
    let account = accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(account.id, id);
    assert!(account.campaigns.iter().count() > 0);
    let again = accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(again.rules, account.rules);
    assert!(again.campaigns.iter().eq(account.campaigns.iter()));
    assert!(accounts.load(&AccountId::new("nobody")).await.unwrap().is_none());
}

/// A removal takes what it has read: nothing of an account that was connected since, neither
/// settings nor campaigns.
pub async fn an_account_that_was_connected_since_it_was_read_is_not_removed(subject: &dyn Subject) {
    let (accounts, removal) = (&subject.ports().accounts, &subject.ports().removal);
    let id = subject.connected();
    let before = accounts.load(&id).await.unwrap().unwrap();
    let first = removal.revision(&id).await.unwrap();
    assert_eq!(first, Some(before.revision));

    subject.connect_again().await;
    assert!(!removal.remove(&id, first).await.unwrap());
    assert!(!removal.remove(&id, None).await.unwrap());
    let second = removal.revision(&id).await.unwrap();
    assert!(second > first, "{second:?} after {first:?}");
    assert!(removal.remove(&id, second).await.unwrap());
    assert!(accounts.load(&id).await.unwrap().is_none());
    assert_eq!(removal.revision(&id).await.unwrap(), None);
    assert!(removal.remove(&id, second).await.unwrap(), "once more changes nothing");
    assert!(removal.remove(&id, None).await.unwrap());

    subject.connect_again().await;
    for seen in [None, first, second] {
        assert!(!removal.remove(&id, seen).await.unwrap(), "{seen:?}");
    }
    let again = accounts.load(&id).await.unwrap().unwrap();
    assert!(again.revision > before.revision);
    assert!(again.campaigns.iter().eq(before.campaigns.iter()));
}

/// An account leaves upkeep's list only as it was read there.
pub async fn an_account_that_is_due_at_another_instant_stays_on_upkeeps_list(
    subject: &dyn Subject,
) {
    let maintenance = &subject.ports().maintenance;
    let (id, now) = (subject.connected(), now(subject));
    maintenance.enroll(&id, now).await.unwrap();
    maintenance.alias(&id, "9178").await.unwrap();
    let read = maintenance.record(&id).await.unwrap().unwrap();
    assert_eq!(read.due, now);
    let until = now + 60 * SECOND;
    let visited = maintenance.visit(&id, now, until).await.unwrap().unwrap();
    assert_eq!(visited.due, until);
    assert!(!maintenance.strike_off(&id, now).await.unwrap(), "it was visited since");
    assert!(maintenance.accounts().await.unwrap().contains(&id));
    assert!(maintenance.strike_off(&id, until).await.unwrap());
    assert_eq!(maintenance.record(&id).await.unwrap(), None);
    assert!(!maintenance.accounts().await.unwrap().contains(&id));
    assert!(maintenance.strike_off(&id, until).await.unwrap(), "once more changes nothing");
}
