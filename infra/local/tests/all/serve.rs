//! The served stack over HTTP: comments that anybody posts, and what became of them.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use spillway_core::once::ANSWERS_MAX;
use spillway_local::serve::Served;
use spillway_local::setup::QuotaOptions;

use crate::stand;

const CREATOR: &str = "17841400000000001";
const EVERYTHING: &str = "17841400000000002";

async fn served() -> (Served, Client) {
    let rate = |text: &str| text.parse().unwrap();
    let quotas = QuotaOptions {
        calls: rate("100/1s"),
        replies: rate("100000/1h"),
        recipients: rate("100000/24h"),
    };
    let served = stand::served(&quotas).await;
    (served, spillway_meta::http::client().no_proxy().build().unwrap())
}

async fn post(http: &Client, served: &Served, body: &str) -> (StatusCode, Value) {
    let url = &served.addresses.comments_url;
    let answer = http.post(url).body(body.to_owned()).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn until_sent(http: &Client, served: &Served, sent: u64) -> Value {
    for _ in 0..200 {
        let answer = http.get(&served.addresses.report_url).send().await.unwrap();
        let report: Value = answer.json().await.unwrap();
        if report["sent"] == sent {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{sent} were never sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybodys_comment_is_posted_and_answered() {
    let (served, http) = served().await;
    let guide = json!({ "account": CREATOR, "text": "guide please", "username": "ana" });
    let (status, first) = post(&http, &served, &guide.to_string()).await;
    assert_eq!((status, &first["reason"]), (StatusCode::OK, &Value::Null), "{first}");
    assert_eq!(first["comment"], "17890000000000001");
    let person = first["person"].as_str().unwrap();
    assert_eq!(first["send"]["send"], format!("{CREATOR}/p.{person}"));
    assert_eq!(first["send"]["campaign"], "guide");
    let (_, again) = post(&http, &served, &guide.to_string()).await;
    assert_eq!(again["comment"], "17890000000000002", "another comment");
    assert_eq!(again["person"], first["person"], "of the same person");
    assert_eq!(again["send"], Value::Null, "who gets one DM");
    assert_eq!(
        again["reason"],
        "the person has, or waits for, all that campaign guide gives them (`once_per`, `once_for`)"
    );

    // By an id of one's own, under another account and Reel.
    let other = json!({
        "account": EVERYTHING, "text": "hello", "person": "77", "media": "17900000000000009"
    });
    let (_, other) = post(&http, &served, &other.to_string()).await;
    assert_eq!(
        (&other["person"], &other["send"]["campaign"]),
        (&json!("77"), &json!("everything"))
    );
    let report = until_sent(&http, &served, 2).await;
    assert_eq!((&report["matched"], &report["violations"]), (&json!(2), &json!(0)), "{report}");
    let calls = served.stack.graph.calls();
    let to_77 = calls
        .iter()
        .filter(|call| call.recipient_id.as_ref().is_some_and(|to| to.as_str() == "77"));
    assert_eq!(to_77.count(), 1, "Meta knows who wrote the comment");

    // What no campaign wants, and the account's own.
    let unwanted = json!({ "account": CREATOR, "text": "nice" }).to_string();
    let (status, unwanted) = post(&http, &served, &unwanted).await;
    assert_eq!((status, &unwanted["send"]), (StatusCode::OK, &Value::Null));
    assert!(
        unwanted["reason"].as_str().unwrap().contains("no campaign has a keyword"),
        "{unwanted}"
    );
    let own = json!({ "account": CREATOR, "text": "guide", "person": CREATOR }).to_string();
    let (_, own) = post(&http, &served, &own).await;
    assert!(own["reason"].as_str().unwrap().contains("own comments"), "{own}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_as_many_dms_as_are_remembered_and_is_told_apart_from_a_repeat() {
    let (served, http) = served().await;
    for n in 0..ANSWERS_MAX + 1 {
        let media = format!("1790{n:013}");
        let comment =
            json!({ "account": EVERYTHING, "text": "hi", "person": "77", "media": media });
        let (_, posted) = post(&http, &served, &comment.to_string()).await;
        let reason =
            "the person has had 64 DMs of this account within 10 days, and gets no more until then";
        let expected = if n < ANSWERS_MAX { Value::Null } else { json!(reason) };
        assert_eq!(posted["reason"], expected, "{n}: {posted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_cannot_be_posted_says_why() {
    let (served, http) = served().await;
    let (status, refused) = post(&http, &served, r#"{"account":"17841400000000001"}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["error"].as_str().unwrap().contains("`text` is missing"), "{refused}");
    let (status, refused) = post(&http, &served, r#"{"account":"1","text":"x"}"#).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(refused["error"], "account 1 is not connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_help_lists_every_kind_of_fault() {
    let (served, http) = served().await;
    let faults = format!("{}/_faults", served.addresses.graph_url);
    let answer = http.post(faults).body(r#"{"kind":"?"}"#).send().await.unwrap();
    let refused: Value = answer.json().await.unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_spillway-local"));
    let help = program.args(["serve", "--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    for kind in refused["kinds"].as_array().unwrap() {
        assert!(help.contains(kind.as_str().unwrap()), "{kind} is missing:\n{help}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dm_is_shown_as_it_went_out() {
    let (served, http) = served().await;
    let guide = json!({ "account": CREATOR, "text": "guide please", "username": "ana.b" });
    let (_, posted) = post(&http, &served, &guide.to_string()).await;
    until_sent(&http, &served, 1).await;
    let url = &served.addresses.messages_url;
    let all: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    let shown = &all[0];
    assert_eq!((all.as_array().unwrap().len(), &shown["person"]), (1, &posted["person"]), "{all}");
    assert_eq!((&shown["send"], &shown["campaign"]), (&posted["send"]["send"], &json!("guide")));
    let text = shown["text"].as_str().unwrap();
    assert!(text.contains("ana.b") && text.contains("https://example.com/guide"), "{text}");
    for known in ["at", "slot", "variant", "message_id"] {
        assert!(!shown[known].is_null(), "{known}: {shown}");
    }
    let of_other = http.get(format!("{url}?account={EVERYTHING}")).send().await.unwrap();
    assert_eq!(of_other.json::<Value>().await.unwrap(), json!([]));
    let page = http.get(url).header("accept", "text/html,*/*").send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("ana.b"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_welcome_names_every_account_and_keyword_and_what_ends_with_it() {
    let (served, _) = served().await;
    let welcome = served.welcome();
    for said in [
        &format!("{CREATOR}  campaign `guide` answers: guide, guía, link"),
        &format!("{EVERYTHING}  campaign `everything` answers: every comment"),
        &format!("curl -sS {} -d '{{", served.addresses.comments_url),
        "/_faults -d '{\"kind\": \"throttled\"",
        "is gone when this program ends",
    ] {
        assert!(welcome.contains(said), "`{said}` is missing:\n{welcome}");
    }
}
