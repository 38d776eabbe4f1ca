//! Why a store, a queue or a key service did not do what it was asked.

use std::error::Error;
use std::fmt;

/// A store, a queue or a key service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or not in time, or refused: trying again later helps.
    #[error("{what}: {source}")]
    Unavailable {
        /// The operation.
        what: &'static str,
        /// Why.
        source: Failure,
    },
    /// What is stored cannot be read: trying again does not help.
    #[error("{what}: the stored value cannot be read: {detail}")]
    Corrupt {
        /// The operation.
        what: &'static str,
        /// The fault.
        detail: String,
    },
}

impl StoreError {
    /// Makes an error of what happened here rather than at a service. `said` tells what it is.
    pub fn unavailable(what: &'static str, said: impl Into<String>) -> Self {
        Self::Unavailable { what, source: Failure::other(said) }
    }

    /// Returns whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A service's refusal or silence, and the error that it came with.
#[derive(Debug)]
pub struct Failure {
    /// What kind it is, which says what to do about it.
    pub kind: FailureKind,
    /// What happened, in a few words.
    pub said: String,
    /// The error of the library that asked the service.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of no particular kind.
    pub fn other(said: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, said: said.into(), source: None }
    }
}

/// The kinds of failures that call for different actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection, or no answer in time.
    Unreachable,
    /// There are no credentials, or they are not valid.
    Credentials,
    /// The caller has no right to do this.
    Forbidden,
    /// There is no such table, queue, key or secret.
    Missing,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// Returns what an operator can do about it.
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable => {
                "it cannot be reached: check the network, the region, and the URLs in the deployment \
                 file; is a local stack still running?"
            }
            Self::Credentials => {
                "log in to AWS, name a profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
            }
            Self::Forbidden => "have this permission added to the caller's IAM policy",
            Self::Missing => {
                "check the AWS account, the region and the names in the deployment file"
            }
            Self::Other => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}
