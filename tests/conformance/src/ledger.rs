//! Sends as operators see and change them.

use spillway_core::id::SendId;
use spillway_core::send::{FailReason, Outcome, PendingSend, Stage};
use spillway_service::admin::sends::{State, Stored};
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::port::{Entry, NewSend, Read, Recorded};
use spillway_service::send_task::SendTask;

use crate::sends::{outbox_key, send};
use crate::{SECOND, Subject, now};

/// A send that is recorded and ends like this.
async fn ended(subject: &dyn Subject, n: u32, outcome: &Outcome) -> Stored {
    let sends = &subject.ports().sends;
    let (send, at) = (send(subject, n), now(subject));
    let key = outbox_key(&send, 1);
    sends.put_batches(&[OutboxBatch::new(&send, key.clone(), at)]).await.unwrap();
    let new = NewSend { outbox_key: key.clone(), send: send.clone(), answered: None };
    let recorded = sends.record(&[new]).await;
    assert!(matches!(recorded[..], [Ok(Recorded::New)]));
    sends.finish(&SendTask::new(&send, key), outcome, (at + SECOND).into()).await.unwrap();
    found(subject, &send.id).await
}

async fn found(subject: &dyn Subject, id: &SendId) -> Stored {
    subject.ports().ledger.find(id).await.unwrap().unwrap()
}

async fn entry(subject: &dyn Subject, id: &SendId) -> Entry {
    let ids = std::slice::from_ref(id);
    subject.ports().sends.entries(ids, Read::Consistent).await.unwrap().remove(0)
}

/// A failed send is brought back as it was found, by one of those who found it so.
pub async fn a_failed_send_waits_again_once(subject: &dyn Subject) {
    let outcome = Outcome::Failed { reason: FailReason::CommentGone };
    let old = ended(subject, 1, &outcome).await;
    assert!(matches!(&old.state, State::Ended { outcome: found, .. } if *found == outcome));
    let again = PendingSend { epoch: old.epoch + 2, ..send(subject, 1) };
    let (key, other) = (outbox_key(&again, 2), outbox_key(&again, 3));
    let ledger = &subject.ports().ledger;
    assert!(ledger.reopen(&old, &key, &again, now(subject)).await.unwrap());
    assert!(!ledger.reopen(&old, &other, &again, now(subject)).await.unwrap());
    let Entry::Waiting(waits_at, waits) = entry(subject, &again.id).await else {
        panic!("it does not wait")
    };
    assert_eq!((waits_at, waits.epoch, waits.stage), (key.clone(), again.epoch, Stage::Parked));

    // What it was before is void.
    let task = SendTask::new(&send(subject, 1), old.outbox_key.clone());
    let lease = spillway_core::send::Step::Claim { lease_until: now(subject) + 60 * SECOND };
    assert_eq!(subject.ports().sends.step(&task, lease, now(subject).into()).await.unwrap(), None);
    let task = SendTask::new(&again, key);
    subject
        .ports()
        .sends
        .finish(&task, &outcome, (now(subject) + 2 * SECOND).into())
        .await
        .unwrap();
    assert!(!ledger.reopen(&old, &other, &again, now(subject)).await.unwrap(), "another end");
}

/// After a person is forgotten the entries of their ended sends stay, without their ids.
pub async fn a_forgotten_person_is_named_by_no_entry(subject: &dyn Subject) {
    let sent = Outcome::Sent {
        recipient: Some("526".into()),
        message: Some("mid".into()),
        variant: Some(2),
    };
    let old = ended(subject, 2, &sent).await;
    let waits = ended(subject, 3, &Outcome::Expired).await;
    let ledger = &subject.ports().ledger;
    for nth in ["first", "once more"] {
        assert!(ledger.write_tombstone(&old, now(subject)).await.unwrap(), "{nth}");
        let stored = found(subject, &old.id).await;
        assert!(stored.is_forgotten && !old.is_forgotten);
        let State::Ended { outcome, .. } = stored.state else { panic!("it has ended") };
        let nobody = Outcome::Sent { recipient: None, message: None, variant: Some(2) };
        assert_eq!(outcome, nobody);
    }
    ledger.forget_unit(&old.id.account, &"526".into()).await.unwrap();

    // Both entries are still found, one by one and in the list.
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let part = ledger.ended(&old.id.account, after.as_deref()).await.unwrap();
        all.extend(part.sends.into_iter().map(|stored| stored.id));
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    all.sort();
    assert_eq!(all, [old.id.clone(), waits.id]);
    assert!(matches!(entry(subject, &old.id).await, Entry::Ended(key) if key == old.outbox_key));
}
