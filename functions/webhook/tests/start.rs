//! The function as a process, before Lambda's Runtime API.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod runtime;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use runtime::{Running, Told, loopback};

const HANDSHAKE: &str = r#"{
    "version": "2.0", "routeKey": "$default", "rawPath": "/", "headers": {}, "isBase64Encoded": false,
    "rawQueryString": "hub.mode=subscribe&hub.verify_token=sesame&hub.challenge=1158201444",
    "requestContext": {
        "accountId": "a", "apiId": "a", "domainName": "a", "domainPrefix": "a", "requestId": "a",
        "routeKey": "$default", "stage": "$default", "timeEpoch": 0,
        "http": { "method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "a" }
    }
}"#;

#[test]
fn an_event_is_told_every_missing_variable_and_so_is_the_next() {
    let given = [("SPILLWAY_SENDS_TABLE", "sends"), ("SPILLWAY_STATE_TABLE", "  ")];
    let function = Running::start(env!("CARGO_BIN_EXE_webhook"), &given);
    function.names_what_is_missing(HANDSHAKE);
}

/// The first poll does not wait for AWS; the first event does, and when AWS fails, fails; the
/// next one finds the same process well.
#[test]
fn a_process_outlives_a_start_that_failed() {
    let well = Arc::new(AtomicBool::new(false));
    let (asks, asked) = channel();
    let (free, held) = channel::<()>();
    let (asks, held) = (std::sync::Mutex::new(asks), std::sync::Mutex::new(held));
    let is_well = well.clone();
    let aws = loopback::serve(move |_, headers, _| {
        let json = vec![("content-type", "application/x-amz-json-1.1".to_owned())];
        if headers["x-amz-target"] != "secretsmanager.GetSecretValue" {
            return (200, json, "{}".into());
        }
        if is_well.load(Ordering::SeqCst) {
            let secret = r#"{"app_secrets":[],"verify_tokens":"sesame"}"#;
            let answer = format!("{{\"SecretString\":{secret:?}}}");
            return (200, json, answer);
        }
        asks.lock().unwrap().send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        (400, json, r#"{"__type":"AccessDeniedException","message":"no"}"#.into())
    });
    let endpoint = format!("http://{aws}");
    let function = Running::start(
        env!("CARGO_BIN_EXE_webhook"),
        &[
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "a"),
            ("SPILLWAY_SENDS_TABLE", "sends"),
            ("SPILLWAY_STATE_TABLE", "state"),
            ("SPILLWAY_SEND_QUEUE_URL", "http://127.0.0.1/1/send"),
            ("SPILLWAY_DEAD_LETTER_QUEUE_URL", "http://127.0.0.1/1/dead"),
            ("SPILLWAY_RELEASE_QUEUE_URL", "http://127.0.0.1/1/release"),
            ("SPILLWAY_SECRET_ID", "the-secret"),
            ("SPILLWAY_KMS_KEY", "arn"),
            ("SPILLWAY_STACK", "stack"),
        ],
    );
    // The secret is asked for before there is an event, and the event before there is a secret.
    asked.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert_eq!(function.tells(), Told::Next);
    function.event(HANDSHAKE);
    free.send(()).unwrap();
    let Told::Error(said) = function.tells() else { panic!("there is no secret") };
    assert!(said.contains("the-secret") && said.contains("AccessDenied"), "{said}");

    well.store(true, Ordering::SeqCst);
    assert_eq!(function.tells(), Told::Next);
    function.event(HANDSHAKE);
    let Told::Answer(said) = function.tells() else { panic!("it did not recover") };
    assert!(said.contains("\"statusCode\":200") && said.contains("1158201444"), "{said}");
}
