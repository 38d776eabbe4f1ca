//! Others' emulators of DynamoDB and SQS. Their addresses come from the environment, and nothing is
//! left out for want of them.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../adapters.rs"]
mod adapters;
mod dynamodb_local;
mod ministack;

/// AWS's own DynamoDB Local.
const DYNAMODB_URL: &str = "SPILLWAY_TEST_DYNAMODB_URL";
/// MiniStack.
const MINISTACK_URL: &str = "SPILLWAY_TEST_MINISTACK_URL";

fn url(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("set {variable} to an emulator's URL, as .ci/emulators does"))
}
