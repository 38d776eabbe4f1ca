//! The sample events for `sam local invoke`: the functions' own readers read each of them, and the
//! functions work on them.

use std::path::Path;

use aws_lambda_events::sqs::SqsEvent;
use lambda_http::http::Method;
use lambda_runtime::{Context, LambdaEvent};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spillway_local::setup::QuotaOptions;
use spillway_meta::signature::sign;
use spillway_meta::webhook::{Event, parse};
use spillway_release::Answer;
use spillway_service::send_task::SendTask;

use crate::stand;

/// The app secret that the samples are signed with, as `infra/OPERATIONS.md` says.
const APP_SECRET: &str = "sample-app-secret";

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn event<T: DeserializeOwned>(name: &str) -> LambdaEvent<T> {
    LambdaEvent::new(serde_json::from_str(&text(name)).unwrap(), Context::default())
}

#[test]
fn the_webhooks_events_are_a_handshake_and_a_signed_comment() {
    let handshake = lambda_http::request::from_str(&text("webhook-handshake.json")).unwrap();
    assert_eq!(handshake.method(), Method::GET);
    assert!(handshake.uri().query().unwrap().contains("hub.challenge="));

    let comment = lambda_http::request::from_str(&text("webhook-comment.json")).unwrap();
    assert_eq!((comment.method(), comment.uri().path()), (&Method::POST, "/webhook"));
    let body: &[u8] = comment.body();
    let signature = sign(&SecretString::from(APP_SECRET), body);
    assert_eq!(comment.headers()["x-hub-signature-256"].to_str().unwrap(), signature);
    let delivery = parse(body).unwrap();
    assert!(matches!(delivery.events[..], [Event::Comment(_)]), "{delivery:?}");
    assert!(delivery.skipped.is_empty(), "{delivery:?}");
}

#[test]
fn the_senders_event_names_a_send() {
    let batch: LambdaEvent<SqsEvent> = event("sender-batch.json");
    let body = batch.payload.records[0].body.as_deref().unwrap();
    let task = SendTask::decode(body).unwrap();
    assert_eq!(task.send.to_string(), "17841400000000001/17890000000000001");
    assert!(task.outbox_key.parts().is_some(), "{task:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_functions_work_on_the_events_of_queues_and_schedules() {
    let served = stand::served(&QuotaOptions::default()).await;
    let functions = served.stack.functions();
    let sent = functions.sender.handle(event("sender-batch.json")).await;
    assert!(sent.batch_item_failures.is_empty(), "{sent:?}");
    match functions.release.handle(event("release-account.json")).await.unwrap() {
        Answer::Batch(done) => assert!(done.batch_item_failures.is_empty(), "{done:?}"),
        other => panic!("{other:?}"),
    }
    let dispatched = functions.release.handle(event("release-schedule.json")).await.unwrap();
    assert!(matches!(dispatched, Answer::Dispatched { .. }), "{dispatched:?}");
    let kept = functions.upkeep.handle(event("upkeep-schedule.json")).await.unwrap();
    assert_eq!(kept.failed, 0);
    // A link that leads somewhere is signed with the deployment's own key.
    let link = lambda_http::request::from_str(&text("link-unknown.json")).unwrap();
    assert_eq!(functions.link.handle(link).await.status(), 404);
}

#[test]
fn every_sample_is_read_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let read = include_str!("events.rs");
    for name in &names {
        assert!(read.contains(&format!("\"{name}\"")), "{name}");
        let _: Value = serde_json::from_str(&text(name)).unwrap();
    }
    assert_eq!(names.len(), 7);
}
