//! What an account's cursor remembers of its last forecast.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What is to be expected of all that waits for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// When it was found out.
    pub seen_at: Timestamp,
    /// Sends that wait without a slot.
    pub waiting: u32,
    /// How many of them will probably be too late.
    pub late: u32,
    /// When the last of the others goes out.
    pub last: Timestamp,
}
