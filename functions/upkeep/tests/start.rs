//! The function as a process, before Lambda's Runtime API.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../../webhook/tests/runtime/mod.rs"]
mod runtime;

use runtime::Running;

#[test]
fn an_event_is_told_every_missing_variable_and_so_is_the_next() {
    let given = [("SPILLWAY_SENDS_TABLE", "sends"), ("SPILLWAY_STATE_TABLE", "  ")];
    let function = Running::start(env!("CARGO_BIN_EXE_upkeep"), &given);
    function.names_what_is_missing("{\"dispatch\":true}");
}
