//! What the echo of a DM costs, beside the DM.

use super::others::{invocation, store};
use super::usage::Usage;
use crate::process::Function;

/// The echo of a DM whose answer was heard, told in a delivery of its own: one eventual read of the
/// entry, and at most one of the account's watch, which a process remembers for half a minute. It
/// writes nothing.
pub(super) fn usage() -> Usage {
    Usage { read_units: 0.5 + 0.5, ..invocation(Function::Webhook, 1.0, [store(), store()]) }
}
