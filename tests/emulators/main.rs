//! Others' emulators of DynamoDB and SQS, and the functions as they are built for Lambda. Where
//! they are comes from the environment, and nothing is left out for want of it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../adapters.rs"]
mod adapters;
mod built;
mod dynamodb_local;
mod event_bus;
#[allow(dead_code, reason = "only the other target refuses what it asks for")]
#[path = "../gate.rs"]
mod gate;
mod lambda;
mod ministack;

/// AWS's own DynamoDB Local.
const DYNAMODB_URL: &str = "SPILLWAY_TEST_DYNAMODB_URL";
/// MiniStack.
const MINISTACK_URL: &str = "SPILLWAY_TEST_MINISTACK_URL";
/// The folder that `sam build` has filled: in it lies a `bootstrap` for each function.
const BUILT: &str = "SPILLWAY_TEST_BUILT";

fn given(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("set {variable}, as .ci/run does"))
}
