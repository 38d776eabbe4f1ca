//! Faults of one part: an item, a message, a process's clock, an account.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::StatusCode;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_local::fault_injector::KillPoint;
use spillway_service::keys;

use super::{CHECK, HOUR, LINES, MINUTE, Play, TOLD_WITHIN, observed};
use crate::harness::{CREATOR, OTHER, START, all_said, said};
use crate::upkeep::{end_of_a_token, webhooks_that_stop};
use crate::{links, sign_in};

/// Overdue looks at twenty minutes.
const OVERDUE_WITHIN: Duration = Duration::from_secs(30 * 60);

/// Webhooks that stop are found by what else comes, within eight hours.
const SILENCE_WITHIN: Duration = Duration::from_secs(8 * 3600);

#[tokio::test]
async fn an_account_that_cannot_be_read_is_told() {
    let mut play = Play::start().await;
    let config = &play.world.stack.config;
    let update = play.world.stack.dynamo.update_item().table_name(&config.state_table);
    update
        .key("pk", AttributeValue::S(keys::account(&AccountId::new(CREATOR))))
        .key("sk", AttributeValue::S(keys::SETTINGS_SK.into()))
        .update_expression("SET #rules = :rules")
        .expression_attribute_names("#rules", "rules")
        .expression_attribute_values(":rules", AttributeValue::S("{".into()))
        .send()
        .await
        .unwrap();
    // The other account's comment is recorded.
    assert_eq!(play.world.say(&[said(1), said(2).on(OTHER)]).await, 200);
    play.pass(MINUTE, MINUTE).await;
    play.assert_tells("CorruptItem", START, TOLD_WITHIN);
    assert!(play.world.told(&said(2).on(OTHER)).await.is_some());
}

#[tokio::test]
async fn a_message_that_nobody_can_parse_is_told() {
    let mut play = Play::start().await;
    let stack = &play.world.stack;
    let send = stack.poller.send_message().queue_url(&stack.config.send_queue_url);
    send.message_body("x").send().await.unwrap();
    play.pass(5 * MINUTE, MINUTE).await;
    play.assert_told(START, &["DeadLetter"], &[]);
}

#[tokio::test]
async fn a_link_function_that_dies_is_told() {
    let mut play = Play::start().await;
    play.world.put_campaign(links::guide()).await;
    let [link, _] = play.world.delivered(1).await;
    let died_at = play.world.now();
    play.world.stack.faults.kill_at(1, KillPoint::Before);
    assert_eq!(play.world.tap_link(&link).await.0, 502);
    play.pass(MINUTE, MINUTE).await;
    play.assert_told(died_at, &["LinkError"], &[]);
}

#[tokio::test]
async fn a_console_that_cannot_read_its_secret_is_told() {
    let mut play = Play::start().await;
    let began_at = play.world.now();
    let page = sign_in::page_without_secret(&play.world).await;
    assert_eq!(page, StatusCode::SERVICE_UNAVAILABLE);
    play.pass(MINUTE, MINUTE).await;
    play.assert_told(began_at, &["ConsoleError"], &[]);
}

#[tokio::test]
async fn messages_that_sqs_goes_on_losing_are_told() {
    let mut play = Play::start().await;
    play.world.say(&all_said(1..=20)).await;
    for _ in 0..40 {
        let stack = &play.world.stack;
        let purge = stack.poller.purge_queue().queue_url(&stack.config.send_queue_url);
        purge.send().await.unwrap();
        play.pass(MINUTE, MINUTE).await;
    }
    play.assert_tells("Overdue", START, OVERDUE_WITHIN);
}

#[tokio::test]
async fn a_wrong_clock_is_told() {
    let mut play = Play::start().await;
    for n in 0..12 {
        let now = play.world.now();
        let check = CHECK.with_borrow(|check| check.clone().unwrap());
        check.compare(now, now + HOUR, &*play.world.clock);
        assert_eq!(play.world.say(&[said(n)]).await, 500, "nothing is recorded by it");
        play.pass(MINUTE, MINUTE).await;
    }
    play.assert_tells("Clock", START, TOLD_WITHIN);
}

#[tokio::test]
async fn a_token_that_ends_is_told() {
    end_of_a_token(observed).await;
    let on_at = first_on("EndingToken", 5 * HOUR);
    assert!(on_at.since(START) <= TOLD_WITHIN, "{:?}", on_at.since(START));
}

#[tokio::test]
async fn webhooks_that_stop_are_told() {
    webhooks_that_stop(observed).await;
    let stopped_at = START + 6 * HOUR;
    let on_at = first_on("SilentAccount", 24 * HOUR);
    assert!(on_at > stopped_at && on_at.since(stopped_at) <= SILENCE_WITHIN, "{on_at:?}");
}

/// The first minute of the first `span` in which the alarm is on, by what has been written.
fn first_on(alarm: &str, span: Duration) -> Timestamp {
    let mut recorded = super::Recorded::default();
    for line in LINES.take() {
        recorded.read(&line);
    }
    let on_at = super::alarms()[alarm].first_on(&recorded, START, START + span);
    on_at.unwrap_or_else(|| panic!("{alarm} never goes on"))
}
