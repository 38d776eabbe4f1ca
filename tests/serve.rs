//! The served stack in real time: what a person with curl sees, with small quotas.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use spillway_local::serve::{self, ServeOptions, Served};
use spillway_local::setup::QuotaOptions;
use spillway_meta::signature::sign;
use tokio::time::{sleep, timeout};

/// At most so many calls in any window of so many milliseconds.
const CALLS: usize = 20;
const WINDOW_MS: u64 = 2000;

async fn served() -> Served {
    let rate = |text: &str| text.parse().unwrap();
    let quotas = QuotaOptions {
        calls: rate(&format!("{CALLS}/{WINDOW_MS}ms")),
        // Out of the way: an even pace under 750 an hour is one in five seconds.
        replies: rate("100000/1h"),
        recipients: rate("1000/24h"),
    };
    let options = ServeOptions {
        accounts: None,
        webhook_port: 0,
        graph_port: 0,
        dynamodb_port: 0,
        sqs_port: 0,
        link_port: 0,
        console_port: 0,
        write_deployment: None,
    };
    serve::start(&options, &quotas).await.unwrap()
}

async fn json(http: &Client, url: &str) -> Value {
    let answer = http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Posts one delivery with comments numbered `from..to`, each by another person, signed.
async fn post_comments(http: &Client, served: &Served, from: u64, to: u64) {
    let changes: Vec<Value> = (from..to)
        .map(|number| {
            json!({ "field": "comments", "value": {
                "id": format!("1789{number:013}"),
                "from": { "id": format!("52600000{number:07}"), "username": format!("viewer.{number}") },
                "media": { "id": "17900000000000001" },
                "text": "guide please",
            }})
        })
        .collect();
    let body = json!({ "object": "instagram", "entry": [{
        "id": served.addresses.accounts[0].account,
        "time": served.stack.clock.now().as_secs(),
        "changes": changes,
    }]})
    .to_string();
    let secret = SecretString::from(served.addresses.app_secret.clone());
    let answer = http
        .post(&served.addresses.webhook_url)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", sign(&secret, body.as_bytes()))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

/// Waits until the report says that so many are sent.
async fn until_sent(http: &Client, report_url: &str, sent: u64, patience: Duration) -> Value {
    let poll = async {
        loop {
            let report = json(http, report_url).await;
            if report["sent"].as_u64().unwrap() >= sent {
                return report;
            }
            sleep(Duration::from_millis(250)).await;
        }
    };
    match timeout(patience, poll).await {
        Ok(report) => report,
        Err(_) => panic!("not sent in {patience:?}: {}", json(http, report_url).await),
    }
}

fn assert_adds_up(report: &Value, matched: u64) {
    let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(count("matched"), matched);
    let ended = count("sent") + count("failed") + count("expired") + count("cancelled");
    assert_eq!(ended + count("waiting"), matched, "{report}");
    assert_eq!((count("duplicates"), count("violations")), (0, 0), "{report}");
}

/// The fullest window by this test's own count.
fn fullest_window(at_ms: &[u64]) -> usize {
    let ends = at_ms
        .iter()
        .map(|&end| at_ms.iter().filter(|&&at| at <= end && end - at < WINDOW_MS).count());
    ends.max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_are_answered_in_pace_and_a_throttle_is_waited_out() {
    let served = served().await;
    let http = spillway_meta::http::client().no_proxy().build().unwrap();
    let addresses = &served.addresses;
    let report_url = addresses.report_url.clone();

    // Meta's handshake.
    let handshake = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
        http.get(format!("{}?{query}", addresses.webhook_url)).send()
    };
    let answer = handshake(&addresses.verify_token).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.text().await.unwrap(), "1158201444");
    assert_eq!(handshake("wrong").await.unwrap().status(), StatusCode::FORBIDDEN);

    // A body that is not Meta's.
    let unsigned = http.post(&addresses.webhook_url).body("{}").send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    assert_adds_up(&json(&http, &report_url).await, 0);

    // Twenty comments, more than a window takes at the pace that is safe.
    post_comments(&http, &served, 0, 20).await;
    let report = until_sent(&http, &report_url, 20, Duration::from_secs(40)).await;
    assert_adds_up(&report, 20);
    // Meta delivers again: nothing is sent twice.
    post_comments(&http, &served, 0, 20).await;
    assert_adds_up(&json(&http, &report_url).await, 20);

    // A limit response stops the account; one probe goes first; then all others.
    let fault = json!({ "kind": "throttled", "code": 80002, "regain_minutes": 1 });
    let faults = format!("{}/_faults", addresses.graph_url);
    let ordered = http.post(&faults).body(fault.to_string()).send().await.unwrap();
    assert_eq!(ordered.status(), StatusCode::OK);
    assert_eq!(json(&http, &faults).await.as_array().unwrap().len(), 1);
    post_comments(&http, &served, 20, 30).await;
    let report = until_sent(&http, &report_url, 30, Duration::from_secs(150)).await;
    assert_adds_up(&report, 30);
    assert!(json(&http, &faults).await.as_array().unwrap().is_empty(), "it has struck");

    let calls = json(&http, &format!("{}/_calls", addresses.graph_url)).await;
    // Upkeep calls too.
    let dms = calls.as_array().unwrap().iter().filter(|call| call["comment_id"].is_string());
    let calls: Vec<Value> = dms.cloned().collect();
    eprintln!(
        "{:?}",
        calls
            .iter()
            .map(|c| (
                c["at_ms"].as_u64().unwrap() - calls[0]["at_ms"].as_u64().unwrap(),
                c["status"].as_u64()
            ))
            .collect::<Vec<_>>()
    );
    let fields = ["at_ms", "account", "action", "comment_id", "recipient_id", "status", "code"];
    for call in &calls {
        let call = call.as_object().unwrap();
        assert!(fields.iter().all(|field| call.contains_key(*field)), "{call:?}");
    }
    let at_ms = |call: &Value| call["at_ms"].as_u64().unwrap();
    let all: Vec<u64> = calls.iter().map(at_ms).collect();
    assert!(fullest_window(&all) <= CALLS, "{all:?}");
    let accepted: Vec<&Value> = calls.iter().filter(|call| call["status"] == 200).collect();
    assert_eq!(accepted.len(), 30);

    // Calls granted before the answer may still have gone; none was granted in the minute after it.
    let throttled = calls.iter().find(|call| call["code"] == 80002).expect("a throttled call");
    let since = |call: &Value| at_ms(call).saturating_sub(at_ms(throttled));
    let later: Vec<u64> = calls.iter().map(since).filter(|&ms| ms > 5000).collect();
    assert!(later.iter().all(|&ms| ms >= 60_000), "called while on hold: {later:?}");
    let probed = later.iter().min().copied().expect("calls after the hold");
    assert!(probed <= 110_000, "the hold is over after {probed} ms");

    let judged = json(&http, &format!("{}/_judge", addresses.graph_url)).await;
    assert_eq!(judged["violations"], json!([]));
    assert_eq!(judged["duplicates"], 0);
    assert_eq!(served.stack.graph.recount(), []);
}

#[test]
fn the_fullest_window_is_found() {
    assert_eq!(fullest_window(&[]), 0);
    assert_eq!(fullest_window(&[0, 1999, 2000, 3999]), 2);
    assert_eq!(fullest_window(&[0, 1, 2, 2001]), 3);
}
