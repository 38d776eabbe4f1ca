//! What identifies an error answer of Meta's: numbers and a trace id, never its words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The numbers of an error answer, and the id by which Meta's support finds the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaError {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`. `None` when the answer is not Meta's JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// `error.error_subcode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subcode: Option<i64>,
    /// `error.fbtrace_id`: letters, digits and `_.-`, at most 128 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// The numbers as Meta's documentation writes them: `status 400, code 190/463, fbtrace AbC`.
impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        if let Some(subcode) = self.subcode {
            write!(f, "/{subcode}")?;
        }
        if let Some(trace_id) = &self.trace_id {
            write!(f, ", fbtrace {trace_id}")?;
        }
        Ok(())
    }
}

/// The last call that Meta refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// The instant when its answer was recorded.
    pub at: Timestamp,
    /// The answer.
    #[serde(flatten)]
    pub error: MetaError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meta_does_not_say_is_left_out() {
        let full = MetaError {
            status: 400,
            code: Some(190),
            subcode: Some(463),
            trace_id: Some("AbC-1".into()),
        };
        assert_eq!(full.to_string(), "status 400, code 190/463, fbtrace AbC-1");
        let bare = MetaError { status: 502, ..MetaError::default() };
        assert_eq!(bare.to_string(), "status 502");
        let at = Timestamp::from_secs(1);
        for (error, stored) in [
            (full, r#"{"at":1000,"status":400,"code":190,"subcode":463,"trace_id":"AbC-1"}"#),
            (bare, r#"{"at":1000,"status":502}"#),
        ] {
            let refusal = LastRefusal { at, error };
            assert_eq!(serde_json::to_string(&refusal).unwrap(), stored);
            assert_eq!(serde_json::from_str::<LastRefusal>(stored).unwrap(), refusal);
        }
    }
}
