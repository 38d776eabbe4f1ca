//! A function that is not configured says so, and names everything that is missing at once.

use std::process::Command;

#[test]
fn every_missing_variable_is_named_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_webhook"))
        .env_clear()
        .env("SPILLWAY_SENDS_TABLE", "sends")
        .env("SPILLWAY_STATE_TABLE", "  ")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{:?}", output.status);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    for name in [
        "SPILLWAY_STATE_TABLE",
        "SPILLWAY_SEND_QUEUE_URL",
        "SPILLWAY_DEAD_LETTER_QUEUE_URL",
        "SPILLWAY_RELEASE_QUEUE_URL",
        "SPILLWAY_SECRET_ID",
        "SPILLWAY_STACK",
    ] {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
    for given in ["SPILLWAY_SENDS_TABLE", "SPILLWAY_GRAPH_URL"] {
        assert!(!said.contains(given), "{given} is not missing: {said}");
    }
}
