//! Long outages, in which each send comes back to the sender again and again: Lambda must not take
//! them for a runaway loop.

use std::time::Duration;

use spillway_local::stack::queues;

use crate::harness::{World, all_said, careful};

const OUTAGE: Duration = Duration::from_secs(3600);

/// KMS does not answer for an hour: the sender puts every send off by a minute, each time anew.
async fn kms_is_gone(world: &mut World) {
    world.stack.keys.set_gone(true);
    world.stack.replace_process().unwrap();
    assert_eq!(world.say(&all_said(1..=3)).await, 200);
    world.pass(OUTAGE).await;
}

#[tokio::test]
async fn no_outage_ends_retries_where_loops_are_allowed() {
    let mut world = World::start(careful()).await;
    kms_is_gone(&mut world).await;
    assert_eq!(world.stack.loops.dropped(), 0);
    assert_eq!(world.queue(queues::DEAD_LETTERS).total(), 0);
    world.stack.keys.set_gone(false);
    world.pass_secs(120).await;
    assert_eq!(world.report().await.sent, 3);
    world.settle().await;
    world.over(3).await;
}

/// This is what the template's `RecursiveLoop: Allow` prevents.
#[tokio::test]
async fn an_outage_ends_retries_where_loops_are_not_allowed() {
    let mut world = World::start(careful()).await;
    world.stack.loops.terminate();
    kms_is_gone(&mut world).await;
    assert!(world.stack.loops.dropped() > 0);
    assert!(world.queue(queues::DEAD_LETTERS).total() > 0);
    world.stack.keys.set_gone(false);
    world.pass_secs(120).await;
    assert!(world.report().await.sent < 3, "nothing tries again within two minutes");
}
