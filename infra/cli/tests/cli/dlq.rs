//! `spillway dlq`.

use insta::assert_snapshot;
use serde_json::{Value, json};
use spillway_local::stack::queues;

use crate::snapshot::steady;
use crate::stand::{CREATOR, Stand, send_id};

impl Stand {
    async fn bury(&self, body: &str) {
        let stack = &self.served.stack;
        let send = stack.poller.send_message().queue_url(&stack.config.dead_letter_queue_url);
        send.message_body(body).send().await.unwrap();
    }

    fn buried(&self) -> (usize, usize) {
        let counts = self.served.stack.sqs.counts(queues::DEAD_LETTERS).unwrap();
        (counts.visible, counts.in_flight)
    }
}

/// A task for a send that nobody knows, so that the sender lets it go.
fn task(n: u32) -> String {
    let id = send_id(CREATOR, n);
    let (account, event) = id.split_once('/').unwrap();
    json!({
        "v": "1",
        "send": { "account": account, "event": event },
        "place": "1#00001790000000#x#1",
        "epoch": 1,
        "lane": "inbound",
        "campaign": "guide",
        "deadline": 4_000_000_000_000_u64,
    })
    .to_string()
}

fn ids(listed: &Value) -> Vec<String> {
    let messages = listed["messages"].as_array().unwrap();
    messages.iter().map(|message| message["message"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_seen_moved_back_and_dropped() {
    let stand = Stand::start().await;
    let empty = stand.run(&["dlq", "list"]).await.ok().stdout;
    assert!(empty.contains("the dead-letter queue is empty"), "{empty}");
    stand.bury("hello").await;
    for n in 0..24 {
        stand.bury(&task(n)).await;
    }
    let listed = stand.json(&["dlq", "list"]).await;
    assert_eq!(ids(&listed).len(), 25);
    assert_eq!(stand.buried(), (25, 0), "nothing stays hidden");
    assert_eq!(ids(&stand.json(&["dlq", "list", "--limit", "3"]).await).len(), 3);
    let unreadable = listed["messages"].as_array().unwrap().iter().find(|m| m["send"].is_null());
    let unreadable = unreadable.unwrap()["message"].as_str().unwrap().to_owned();
    assert_snapshot!("show", steady(&stand.json(&["dlq", "show", &unreadable]).await));
    assert_eq!(stand.buried(), (25, 0));

    let readable = ids(&listed).into_iter().find(|id| *id != unreadable).unwrap();
    let one = stand.json(&["dlq", "redrive", &readable]).await;
    assert_eq!(one, json!({ "redriven": 1, "unreadable": 0 }));
    let rest = stand.json(&["dlq", "redrive", "--all"]).await;
    assert_eq!(rest, json!({ "redriven": 23, "unreadable": 1 }));
    assert_eq!(stand.buried(), (1, 0));

    stand.run(&["dlq", "drop", "--all"]).await.failed(5, "this deletes");
    let nobody = "5fea7756-0ea4-451a-a703-a558b933e274";
    stand.run(&["dlq", "drop", nobody, "--yes"]).await.failed(1, "there is no message");
    assert_eq!(stand.json(&["dlq", "drop", "--all", "--yes"]).await, json!({ "dropped": 1 }));
    assert_eq!(stand.buried(), (0, 0));
    stand.run(&["dlq", "show", nobody]).await.failed(1, "there is no message");
    assert_eq!(stand.calls(), 0);
}
