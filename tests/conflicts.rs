//! Writes that meet another's transaction under way. No emulator has two of them at once, so the
//! answer is DynamoDB's as its documentation has it.

use serde_json::{Value, json};
use spillway_cloud::wiring::Wiring;
use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, RecipientId};
use spillway_service::port::{Moved, Saved};

use crate::adapters::Clients;
use crate::gate::{Gate, Then};
use crate::harness::{World, careful};

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
