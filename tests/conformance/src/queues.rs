//! Queues.

use std::collections::BTreeSet;
use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_service::port::Queued;
use spillway_service::send_task::SendTask;

use crate::sends::{outbox_key, send};
use crate::{Subject, eventually};

fn messages(subject: &dyn Subject, n: u32, delay: Duration) -> Vec<Queued> {
    let message = |nth| {
        let send = send(subject, nth);
        Queued { task: SendTask::new(&send, outbox_key(&send, 1)), delay }
    };
    (0..n).map(message).collect()
}

/// More than fit into a request.
pub async fn every_message_is_answered_for_and_arrives_once(subject: &dyn Subject) {
    let queue = &subject.ports().queue;
    assert!(queue.enqueue(&[]).await.is_empty());
    let messages = messages(subject, 25, Duration::ZERO);
    let answers = queue.enqueue(&messages).await;
    assert_eq!(answers.len(), 25);
    for answer in answers {
        answer.unwrap();
    }
    let mut arrived = Vec::new();
    eventually(subject, "the messages", async || {
        arrived.extend(subject.take_sends().await);
        (arrived.len() >= 25).then_some(())
    })
    .await;
    let key = |task: &SendTask| task.send.key.to_string();
    arrived.sort_by_key(key);
    let mut sent: Vec<SendTask> = messages.into_iter().map(|message| message.task).collect();
    sent.sort_by_key(key);
    assert_eq!(arrived, sent);
    assert_eq!(subject.take_sends().await, []);
}

/// A delay is rounded up to whole seconds; what is longer than the queue can wait is shortened.
pub async fn a_message_is_hidden_for_its_delay(subject: &dyn Subject) {
    let ports = subject.ports();
    for too_long in [Duration::from_secs(901), Duration::from_secs(3600)] {
        let answers = ports.queue.enqueue(&messages(subject, 1, too_long)).await;
        assert!(answers.into_iter().all(|answer| answer.is_ok()), "{too_long:?}");
    }
    assert_eq!(subject.take_sends().await, [], "hidden for fifteen minutes");
    let before = ports.clock.now();
    let messages = messages(subject, 1, Duration::from_millis(1001));
    ports.queue.enqueue(&messages).await.pop().unwrap().unwrap();
    let arrived = eventually(subject, "the message", async || subject.take_sends().await.pop());
    assert_eq!(arrived.await, messages[0].task);
    // A queue that counts in whole seconds may show it up to one earlier.
    let hidden = ports.clock.now().since(before);
    assert!(hidden > Duration::from_secs(1), "hidden for {hidden:?}");
}

/// One message each.
pub async fn accounts_to_release_arrive(subject: &dyn Subject) {
    let runs = &subject.ports().runs;
    runs.enqueue(&[]).await.unwrap();
    let accounts: Vec<AccountId> = (0..12).map(|n| AccountId::new(format!("178{n}"))).collect();
    runs.enqueue(&accounts).await.unwrap();
    let mut arrived = Vec::new();
    eventually(subject, "the accounts", async || {
        arrived.extend(subject.take_runs().await);
        (arrived.len() >= accounts.len()).then_some(())
    })
    .await;
    assert_eq!(arrived.len(), accounts.len());
    let arrived: BTreeSet<AccountId> = arrived.into_iter().collect();
    assert_eq!(arrived, accounts.into_iter().collect());
}
