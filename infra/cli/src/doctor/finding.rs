//! What a check has found.

use spillway_core::id::AccountId;
use spillway_service::port::{Failure, FailureKind, StoreError};

use serde::Serialize;

/// What is to be thought of it, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// Nobody could look.
    Skipped,
    /// DMs go out; somebody should know all the same.
    Warning,
    /// DMs do not go out, get lost, or will.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    /// Whose, where it is an account's.
    pub(super) account: Option<String>,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) said: String,
    /// What to do about it.
    pub(super) do_this: Option<String>,
    /// Other checks that could not be made for the same cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hides: Vec<&'static str>,
    /// Why AWS could not be asked, where it could not.
    #[serde(skip)]
    pub(super) failed: Option<FailureKind>,
}

impl Finding {
    pub(super) fn good(check: &'static str, said: impl Into<String>) -> Self {
        Self {
            check,
            account: None,
            verdict: Verdict::Good,
            said: said.into(),
            do_this: None,
            hides: Vec::new(),
            failed: None,
        }
    }

    pub(super) fn skipped(check: &'static str, said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::good(check, said) }
    }

    pub(super) fn warning(
        check: &'static str,
        said: impl Into<String>,
        do_this: impl Into<String>,
    ) -> Self {
        let finding = Self { verdict: Verdict::Warning, ..Self::good(check, said) };
        finding.advising(do_this)
    }

    pub(super) fn wrong(
        check: &'static str,
        said: impl Into<String>,
        do_this: impl Into<String>,
    ) -> Self {
        let finding = Self { verdict: Verdict::Wrong, ..Self::good(check, said) };
        finding.advising(do_this)
    }

    /// The check could not be made, for the reason that AWS gives. Where the caller may not see it,
    /// it may be in order.
    pub(super) fn unseen(check: &'static str, failure: &Failure) -> Self {
        Self::not_made(check, failure.to_string(), failure.kind)
    }

    /// The same of an error of a store.
    pub(super) fn unread(check: &'static str, error: &StoreError) -> Self {
        let kind = match error {
            StoreError::Unavailable { source, .. } => source.kind,
            StoreError::Corrupt { .. } => FailureKind::Other,
        };
        Self::not_made(check, error.to_string(), kind)
    }

    fn not_made(check: &'static str, said: String, kind: FailureKind) -> Self {
        let hint = kind.hint();
        let hint =
            hint.unwrap_or("try again; if it stays, look at this service in the AWS console");
        let finding = match kind {
            FailureKind::Forbidden => Self::skipped(check, said).advising(hint),
            _ => Self::wrong(check, said, hint),
        };
        Self { failed: Some(kind), ..finding }
    }

    /// Tells a cause once that keeps several checks from being made: the first finding names the
    /// others. Without credentials that is every check; without a connection, where nothing of the
    /// store can be read either.
    pub(super) fn told_once(findings: Vec<Self>) -> Vec<Self> {
        let is_of_all = |kind| match kind {
            FailureKind::Credentials | FailureKind::Unreachable => true,
            FailureKind::Forbidden | FailureKind::Missing | FailureKind::Other => false,
        };
        let mut told: Vec<Self> = Vec::new();
        for finding in findings {
            let cause = finding.failed.filter(|&kind| is_of_all(kind));
            let first = told.iter_mut().find(|known| cause.is_some() && known.failed == cause);
            match first {
                Some(first)
                    if first.check == finding.check || first.hides.contains(&finding.check) => {}
                Some(first) => first.hides.push(finding.check),
                None => told.push(finding),
            }
        }
        told
    }

    /// With what to do.
    pub(super) fn advising(self, do_this: impl Into<String>) -> Self {
        Self { do_this: Some(do_this.into()), ..self }
    }

    /// The same of an account.
    pub(super) fn of(self, account: &AccountId) -> Self {
        Self { account: Some(account.to_string()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_told_once_with_what_it_hides() {
        let unread = |check, kind| {
            let source = Failure { kind, ..Failure::other("no") };
            Finding::unread(check, &StoreError::Unavailable { what: "open", source })
        };
        let missing = FailureKind::Credentials;
        let findings = vec![
            unread("store", missing),
            unread("table", missing),
            unread("table", missing),
            unread("kms", FailureKind::Forbidden),
            unread("queue", FailureKind::Forbidden),
            Finding::good("clock", "right"),
        ];
        let told = Finding::told_once(findings);
        let checks: Vec<&str> = told.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, ["store", "kms", "queue", "clock"]);
        assert_eq!(told[0].hides, ["table"]);
    }

    #[test]
    fn what_somebody_may_not_see_is_no_fault() {
        let unseen = |kind| {
            let source = Failure { kind, ..Failure::other("no") };
            Finding::unread("kms", &StoreError::Unavailable { what: "open", source })
        };
        assert_eq!(unseen(FailureKind::Forbidden).verdict, Verdict::Skipped);
        let gone = unseen(FailureKind::Unreachable);
        assert_eq!((gone.verdict, &*gone.said), (Verdict::Wrong, "open: no"));
        assert!(gone.do_this.is_some() && unseen(FailureKind::Other).do_this.is_some());
    }
}
