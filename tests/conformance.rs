//! The adapters over the embedded DynamoDB and SQS.

use std::sync::Arc;

use futures::future::LocalBoxFuture;
use spillway_conformance::{Subject, cases};
use spillway_graph::GraphConfig;
use spillway_local::stack::{Blueprint, Pace, Ports, Stack};
use spillway_service::clock::SystemClock;

use crate::adapters::{Clients, beside_the_ports, block_on, put_through};

async fn stack() -> Stack {
    Stack::start(Blueprint {
        clock: Arc::new(SystemClock::new()),
        pace: Pace::Real,
        accounts: Vec::new(),
        graph: GraphConfig::default(),
        ports: Ports::default(),
        seed: None,
        wrap: std::convert::identity,
    })
    .await
    .unwrap()
}

fn play(case: impl for<'a> Fn(&'a dyn Subject) -> LocalBoxFuture<'a, ()>) {
    block_on(async {
        let stack = stack().await;
        put_through(Clients::new(&stack.dynamodb_url, &stack.sqs_url), case).await;
    });
}

cases!(crate::conformance::play);

#[tokio::test]
async fn accounts_are_connected_and_letters_are_buried() {
    let stack = stack().await;
    beside_the_ports(Clients::new(&stack.dynamodb_url, &stack.sqs_url)).await;
}
