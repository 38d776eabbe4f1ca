//! `spillway send`.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::snapshot::steady;
use crate::stand::{CREATOR, OTHER, Stand, send_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_sends_are_listed_shown_and_cancelled() {
    let stand = Stand::start().await;
    stand.run(&["account", "pause", CREATOR]).await.ok();
    stand.comment(CREATOR, "guide", 0..40).await;
    let list = ["send", "list", CREATOR];
    // Those with a slot find the hold.
    let parked = |sends: &Value| {
        let sends = sends["sends"].as_array().unwrap();
        sends.iter().filter(|send| send["state"] == "parked").count() == 40
    };
    stand.until(&list, parked).await;
    let limited = stand.run(&[&list[..], &["--limit", "3"]].concat()).await.ok().stdout;
    assert!(limited.contains("(the first 3: --limit shows more)"), "{limited}");
    let other = [&list[..], &["--campaign", "other"]].concat();
    stand.run(&other).await.failed(1, "has no campaign `other`");
    stand.run(&["send", "list", "1"]).await.failed(1, "is not connected");
    stand.run(&["send", "cancel", "1"]).await.failed(1, "is not connected");
    stand.run(&["events", "1"]).await.failed(1, "is not connected");
    let forget = |person: &'static str, account: &'static str| {
        ["contact", "forget", account, person, "--yes"]
    };
    stand.run(&forget("77", "1")).await.failed(1, "is not connected");
    stand.run(&forget("77", CREATOR)).await.failed(1, "names person 77");
    let mut shown = stand.json(&["send", "show", &send_id(CREATOR, 39)]).await;
    // It may have been put off more than once.
    shown["epoch"] = Value::Null;
    shown["history"] = Value::Null;
    assert_snapshot!("waiting", steady(&shown));

    let why = &shown["waits"]["why"];
    assert_eq!(why, "the account is on hold: stopped by hand");
    let status = stand.json(&["status", CREATOR]).await["accounts"][0].clone();
    assert_eq!((&status["state"], &status["next_dm_at"]), (&json!("held"), &Value::Null));

    let one = send_id(CREATOR, 7);
    stand.run(&["send", "cancel", &one]).await.failed(5, "this cancels 1 waiting send for good");
    stand.run(&["send", "cancel", &one, "--yes"]).await.ok();
    let shown = stand.json(&["send", "show", &one]).await;
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("cancelled"), &json!("operator")));
    stand.run(&["send", "cancel", &one, "--yes"]).await.failed(1, "does not wait: it is cancelled");
    stand.run(&["send", "retry", &one]).await.failed(1, "none of 1 send was retried");
    let rest = ["send", "cancel", CREATOR, "--campaign", "guide", "--yes"];
    assert_eq!(stand.json(&rest).await, json!({ "cancelled": 39, "left": 0 }));
    assert_eq!(stand.json(&rest).await, json!({ "cancelled": 0, "left": 0 }));
    assert_eq!(stand.json(&list).await["sends"], json!([]));
    let cancelled = [&list[..], &["--state", "cancelled", "--limit", "100"]].concat();
    assert_eq!(stand.json(&cancelled).await["sends"].as_array().unwrap().len(), 40);
    assert_eq!(stand.calls(), 0);
    stand.run(&["send", "show", "1/2"]).await.failed(1, "is not stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_was_forgotten_is_shown_nowhere() {
    let stand = Stand::start().await;
    stand.comment(CREATOR, "guide", 0..1).await;
    let list = ["send", "list", CREATOR, "--state", "sent"];
    let listed = stand.until(&list, |sends| sends["sends"][0]["state"] == "sent").await;
    let person = listed["sends"][0]["recipient"].as_str().unwrap().to_owned();
    assert!(listed["sends"][0]["send"].as_str().unwrap().ends_with(&person));
    stand.run(&["contact", "forget", CREATOR, &person, "--yes"]).await.ok();
    let send = stand.json(&list).await["sends"][0]["send"].as_str().unwrap().to_owned();
    let by_key = format!("{CREATOR}/p.{person}");
    for shown in [&send, &by_key, &send_id(CREATOR, 0)] {
        for form in [&["--json"][..], &[]] {
            let show = [form, &["send", "show", shown]].concat();
            let said = stand.run(&show).await.ok().stdout;
            assert!(said.contains(&send) && !said.contains(&person), "{said}");
        }
        let retried = stand.run(&["send", "retry", shown]).await.failed(1, "none of 1 send");
        let said = format!("{send}: not retried: its person was forgotten\n");
        assert_eq!(retried.stdout, said);
    }
    let theirs = [&list[..], &["--person", &person]].concat();
    assert_eq!(stand.json(&theirs).await["sends"], json!([]));
    let unknown = format!("{CREATOR}/f.0123456789abcdef");
    stand.run(&["send", "show", &unknown]).await.failed(1, "is not stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_send_is_brought_back_and_sent_once() {
    let stand = Stand::start().await;
    stand.fault(json!({ "kind": "recipient_unavailable", "action": "private_reply" })).await;
    stand.comment(OTHER, "hello", 0..1).await;
    let id = send_id(OTHER, 0);
    let failed = stand.until(&["send", "show", &id], |send| send["state"] == "failed").await;
    assert_snapshot!("failed", steady(&failed));
    assert_snapshot!("retry", steady(&stand.json(&["send", "retry", &id]).await));
    let sent = stand.until(&["send", "show", &id], |send| send["state"] == "sent").await;
    assert_eq!(sent["text"], "Thanks {username}! https://example.com");
    assert_eq!(sent["variant"], 1);
    let reached = stand.served.stack.graph.messages();
    let last = reached.last().unwrap();
    assert_eq!((&sent["recipient"], &sent["message_id"]), (&json!(last.person), &json!(last.id)));
    let list = ["send", "list", OTHER, "--state", "sent", "--since", "1h", "--person"];
    let theirs = stand.json(&[&list[..], &[last.person.as_str()]].concat()).await;
    assert_eq!(theirs["sends"][0]["send"], sent["send"]);
    assert_eq!(stand.json(&[&list[..], &["7"]].concat()).await["sends"], json!([]));
    let named = ["send", "list", OTHER, "--state", "sent", "--username", "ana"];
    stand.run(&named).await.failed(2, "the name is deleted when a send ends");
    let history = sent["history"].as_array().unwrap().iter().map(|step| step["what"].as_str());
    let history: Vec<&str> = history.map(Option::unwrap).collect();
    let (slot, claimed, retried) = ("its slot", "claimed: its call begins", "brought back by hand");
    let whole = ["matched", slot, claimed, "failed: recipient", retried, slot, claimed, "sent"];
    assert_eq!(history, whole);
    let again = stand.run(&["--json", "send", "retry", &id]).await.failed(1, "none of 1 send");
    assert!(again.stdout.contains("it was sent"), "{}", again.stdout);
    assert_eq!(stand.served.stack.graph.recount(), []);
    assert_eq!(stand.calls(), 2);
    // Meta delivers it again: it is known.
    stand.comment(OTHER, "hello", 0..1).await;
    let waiting = stand.json(&["send", "list", OTHER]).await;
    assert_eq!(waiting["sends"], json!([]));
}
