//! What an account's cursor remembers of its last forecast.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What is to be expected of all that waits for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// The instant when it was found out.
    pub seen_at: Timestamp,
    /// Sends that wait without a slot.
    pub waiting: u32,
    /// The number of them that will probably be too late.
    pub late: u32,
    /// The instant when the last of the others goes out.
    pub last: Timestamp,
}
