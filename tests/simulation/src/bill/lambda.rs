//! How long invocations take and what that comes to, by the memory of their function.

use crate::process::Function;

/// Milliseconds of a whole core that an invocation takes, and each request that it makes.
/// `throughput` (`tests/speed`) finds less, without TLS: this is rounded up.
const CORE_INVOCATION: f64 = 0.3;
const CORE_REQUEST: f64 = 0.15;

/// Megabytes of memory with which a function has a whole core.
const CORE_MB: f64 = 1769.0;

/// Megabytes of a function's memory, as template.yaml has it.
pub(super) const fn memory_mb(function: Function) -> u32 {
    match function {
        // It waits for Meta for most of its time.
        Function::Sender => 256,
        Function::Webhook | Function::Release | Function::Upkeep => 512,
        // They are no functions of Lambda's.
        Function::Tool | Function::Operator => 512,
    }
}

/// Milliseconds that so many invocations of a function take that wait for so many and make so many
/// requests: with half of the memory, half of a core does what it did in twice the time.
pub(super) fn millis(function: Function, invocations: f64, waited: f64, requests: f64) -> f64 {
    let core = CORE_INVOCATION * invocations + CORE_REQUEST * requests;
    waited + core * CORE_MB / f64::from(memory_mb(function))
}

/// GB-seconds of so many milliseconds.
pub(super) fn gb_seconds(function: Function, millis: f64) -> f64 {
    f64::from(memory_mb(function)) / 1024.0 * millis / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_memory_is_cheaper_to_wait_with_and_no_cheaper_to_work_with() {
        let cost = |function, waited| gb_seconds(function, millis(function, 1.0, waited, 5.0));
        let waiting = |function| cost(function, 300.0) - cost(function, 0.0);
        assert!((waiting(Function::Webhook) - 2.0 * waiting(Function::Sender)).abs() < 1e-9);
        assert!((cost(Function::Webhook, 0.0) - cost(Function::Sender, 0.0)).abs() < 1e-9);
    }
}
