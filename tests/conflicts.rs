//! Writes that meet another's transaction under way. No emulator has two of them at once, so the
//! answer is DynamoDB's as its documentation has it.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_cloud::wiring::Wiring;
use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::send::{Outcome, Step};
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_service::account::SealedToken;
use spillway_service::port::{MaintenanceSchedule, Moved, NextToken, Saved};
use spillway_service::send_task::SendTask;

use crate::adapters::Clients;
use crate::gate::{Gate, Then};
use crate::harness::{CREATOR, START, World, careful, said};

const NAMESPACE: &str = "com.amazonaws.dynamodb.v20120810";

/// The answer to a single write.
fn refused() -> Then {
    Then::Refuse(json!({
        "__type": format!("{NAMESPACE}#TransactionConflictException"),
        "message": "Transaction is ongoing for the item",
    }))
}

/// The answer to a transaction whose second part met another.
fn cancelled() -> Then {
    Then::Refuse(json!({
        "__type": format!("{NAMESPACE}#TransactionCanceledException"),
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons \
                    [None, TransactionConflict]",
        "CancellationReasons": [
            { "Code": "None" },
            { "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" },
        ],
    }))
}

fn is_put(operation: &str, _: &Value) -> bool {
    operation == "PutItem"
}

fn is_transaction(operation: &str, _: &Value) -> bool {
    operation == "TransactWriteItems"
}

/// The ports of a process that reaches DynamoDB through a gate.
async fn gated(world: &World) -> (Gate, Wiring) {
    let gate = Gate::open(&world.stack.dynamodb_url).await;
    let clients = Clients::new(&gate.url, &world.stack.sqs_url);
    let (config, keys) = (&world.stack.config, world.stack.keys.clone());
    let clock = world.clock.clone();
    let wiring = Wiring::new(config, keys, &clients.dynamo, &clients.sqs, clock, 9).unwrap();
    (gate, wiring)
}

#[tokio::test]
async fn a_budget_that_a_transaction_is_writing_is_a_race_lost() {
    let world = World::start(careful()).await;
    let (gate, wiring) = gated(&world).await;
    let (budgets, account) = (&wiring.budgets, AccountId::new("never written"));
    let next = |budget: &Budget| budget.lift(world.now(), wiring.ids.next());
    let one = next(&Budget::default());
    gate.wait_for(is_put, refused());
    let saved = budgets.save(&account, &one).await.unwrap();
    assert_eq!(saved, Saved::Conflict(Budget::default()), "the other has not ended");
    assert_eq!(budgets.save(&account, &one).await.unwrap(), Saved::Done);
    gate.wait_for(is_put, refused());
    let saved = budgets.save(&account, &next(&Budget::default())).await.unwrap();
    assert_eq!(saved, Saved::Conflict(one.clone()));

    let person = RecipientId::new("526");
    budgets.note_counted(&account, &person, world.now()).await.unwrap();
    let moved = Moved { person: &person, from: world.now(), to: world.now() };
    let two = next(&one);
    gate.wait_for(is_transaction, cancelled());
    let saved = budgets.save_moved(&account, &two, &moved).await.unwrap();
    assert_eq!(saved, Saved::Conflict(one));
    assert_eq!(budgets.save_moved(&account, &two, &moved).await.unwrap(), Saved::Done);
}

fn is_update(operation: &str, _: &Value) -> bool {
    operation == "UpdateItem"
}

fn is_delete(operation: &str, _: &Value) -> bool {
    operation == "DeleteItem"
}

/// Every write on a condition that it makes false itself knows its own earlier success.
#[tokio::test]
async fn a_write_whose_answer_is_lost_and_that_is_sent_again_has_succeeded() {
    let world = World::start(careful()).await;
    world.observe_at(START, &[said(1)]);
    assert_eq!(world.say(&[said(1)]).await, 200);
    let account = AccountId::new(CREATOR);
    let (gate, wiring) = gated(&world).await;
    let (sends, backlogs, maintenance) = (&wiring.sends, &wiring.backlogs, &wiring.maintenance);
    let now = world.now();
    let until = now + Duration::from_secs(60);

    // A claim, and another one that comes later.
    let (outbox_key, send) = world.waiting(CREATOR).await.remove(0);
    let task = SendTask::new(&send, outbox_key);
    let claim = Step::Claim { lease_until: until };
    gate.wait_for(is_update, Then::Repeat);
    let claimed = sends.step(&task, claim, now.into()).await.unwrap();
    assert_eq!(claimed, Some(send.after(claim)));
    assert_eq!(
        sends.step(&task, claim, now.into()).await.unwrap(),
        None,
        "another's, in all equal"
    );

    // An end.
    let task = task.renewed(&claimed.unwrap());
    gate.wait_for(is_update, Then::Repeat);
    assert!(sends.finish_unclaimed(&task, &Outcome::Expired, now).await.unwrap());
    assert!(!sends.finish_unclaimed(&task, &Outcome::Expired, now).await.unwrap());

    // A batch, rewritten and gone.
    let mut batch = world.batches(CREATOR).await.remove(0);
    batch.version += 1;
    gate.wait_for(is_put, Then::Repeat);
    assert!(sends.rewrite(&batch).await.unwrap());
    batch.lines.clear();
    assert!(!sends.rewrite(&batch).await.unwrap(), "another has written this version");
    batch.version += 1;
    gate.wait_for(is_delete, Then::Repeat);
    assert!(!sends.rewrite(&batch).await.unwrap(), "who removed it cannot be known");
    assert!(world.batches(CREATOR).await.is_empty());

    // A release run's lease.
    backlogs.mark(&account, now).await.unwrap();
    gate.wait_for(is_update, Then::Repeat);
    let mark = backlogs.lease(&account, now, until).await.unwrap().unwrap();
    assert_eq!(backlogs.lease(&account, now, until).await.unwrap(), None);
    gate.wait_for(is_update, Then::Repeat);
    backlogs.settle(&account, &mark, Some(until)).await.unwrap();

    // A visit, and its end.
    maintenance.enroll(&account, now).await.unwrap();
    gate.wait_for(is_update, Then::Repeat);
    assert!(maintenance.visit(&account, now, until).await.unwrap().is_some());
    assert!(maintenance.visit(&account, now, until).await.unwrap().is_none());
    let upkeep = Upkeep { checked_at: Some(now), ..Upkeep::default() };
    let due = until + Duration::from_secs(1);
    gate.wait_for(is_update, Then::Repeat);
    maintenance.settle(&account, until, &upkeep, due).await.unwrap();
    let standing = maintenance.visit(&account, due, until).await.unwrap().unwrap();
    assert_eq!(standing.upkeep, upkeep);

    // A token's change.
    let tokens = &wiring.tokens;
    let in_use = tokens.load(&account).await.unwrap().unwrap().token;
    let token = SealedToken { key: 1, sealed: vec![7; 40] };
    let next = NextToken { token, life: TokenLife::default() };
    assert!(tokens.keep_next(&account, &in_use, &next).await.unwrap());
    gate.wait_for(is_update, Then::Repeat);
    assert!(tokens.swap(&account, &next).await.unwrap());
    let budget = wiring.budgets.load(&account).await.unwrap();
    let changed = wiring.accounts.load(&account).await.unwrap().unwrap();
    assert_eq!(budget.revision, changed.revision, "announced");
}
