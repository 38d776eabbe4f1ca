//! Meta's last refusal, as operators see it.

use serde::Serialize;
use spillway_core::meta_error::LastRefusal;
use spillway_core::time::Timestamp;

use super::instant::instant;

/// A call that Meta refused. `null` stands for what its answer does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalView {
    /// The instant when its answer was recorded.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// The HTTP status.
    pub status: u16,
    /// Meta's code.
    pub code: Option<i64>,
    /// Meta's subcode.
    pub subcode: Option<i64>,
    /// `fbtrace_id`, by which Meta's support finds the call.
    pub trace_id: Option<String>,
}

impl From<&LastRefusal> for RefusalView {
    fn from(LastRefusal { at, error }: &LastRefusal) -> Self {
        Self {
            at: *at,
            status: error.status,
            code: error.code,
            subcode: error.subcode,
            trace_id: error.trace_id.clone(),
        }
    }
}
