//! How commands end: the one place that names the exit codes.

use std::error::Error;
use std::process::ExitCode;

use spillway_cloud::secrets::SecretsError;
pub(crate) use spillway_service::admin::UNREADABLE;
use spillway_service::admin::{AdminError, Unreadable};
use spillway_service::port::{Failure, StoreError};

use crate::output::complain;

/// What `--help` says about them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done, or there was nothing to do
  1  not done; standard error says why, and what to do
  2  the command line is wrong
  3  not now; the charge was denied
  4  a file was refused; nothing was changed
  5  not confirmed; nothing was changed
  6  the doctor found something wrong";

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// The answer is «not now».
    Denied,
    /// Something is wrong with the deployment.
    Unwell,
}

/// A file is refused.
#[derive(Debug, thiserror::Error)]
#[error("{file} is refused; nothing was changed\n{reasons}")]
pub(crate) struct Refused {
    pub(crate) file: String,
    /// A line for each mistake.
    pub(crate) reasons: String,
}

/// Nobody wanted it, or nobody could be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}; nothing was changed")]
pub(crate) struct NotConfirmed(pub(crate) String);

/// The parts of the command line contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);

/// What is stored of some accounts cannot be read. What can be read was shown.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(told).collect::<Vec<_>>().join("\n"))]
pub(crate) struct Unread(Vec<Unreadable>);

impl Unread {
    /// Fails if something cannot be read of any account.
    pub(crate) fn check(unreadable: Vec<Unreadable>) -> Result<(), Self> {
        if unreadable.is_empty() { Ok(()) } else { Err(Self(unreadable)) }
    }
}

fn told(Unreadable { account, why }: &Unreadable) -> String {
    format!("account {account}: {why}: {UNREADABLE}")
}

/// Says on standard error why a command failed, and gives the exit code.
pub(crate) fn code(result: anyhow::Result<Ended>) -> ExitCode {
    let error = match result {
        Ok(Ended::Done) => return ExitCode::SUCCESS,
        Ok(Ended::Denied) => return ExitCode::from(3),
        Ok(Ended::Unwell) => return ExitCode::from(6),
        Err(error) => error,
    };
    complain(format_args!("error: {}", readable(&error)));
    if error.is::<Refused>() {
        ExitCode::from(4)
    } else if error.is::<NotConfirmed>() {
        ExitCode::from(5)
    } else if error.is::<WrongUsage>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// What each link of the chain says, down to what failed at a service, and what to do about that.
fn readable(error: &anyhow::Error) -> String {
    let mut said = Vec::new();
    for link in error.chain() {
        said.push(link.to_string());
        said.extend(next_step(link).map(str::to_owned));
        // Its message includes those below it.
        if let Some(failure) = failure(link) {
            said.extend(failure.kind.hint().map(str::to_owned));
            break;
        }
    }
    said.join(": ")
}

/// The command that helps with an error, if one does.
fn next_step(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match error.downcast_ref()? {
        AdminError::NotConnected(_) => Some("`spillway account list` names those that are"),
        AdminError::Account(_, StoreError::Corrupt { .. }) => Some(UNREADABLE),
        _ => None,
    }
}

/// The failure of a service that an error is about.
fn failure<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failure> {
    let of_store = error.downcast_ref().and_then(|error| match error {
        StoreError::Unavailable { source, .. } => Some(source),
        StoreError::Corrupt { .. } => None,
    });
    let of_secret = || match error.downcast_ref()? {
        SecretsError::Unavailable { source, .. } => Some(source),
        SecretsError::Malformed(_)
        | SecretsError::MalformedLinks(_)
        | SecretsError::MalformedConsole(_)
        | SecretsError::NoRandomness(_) => None,
    };
    let of_admin = || match error.downcast_ref()? {
        AdminError::Store(StoreError::Unavailable { source, .. }) => Some(source),
        _ => None,
    };
    of_store.or_else(of_secret).or_else(of_admin).or_else(|| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use spillway_service::port::FailureKind;

    use super::*;

    #[test]
    fn each_kind_of_failure_is_told_once_with_what_to_do() {
        let said = |kind| {
            let inside = std::io::Error::other("connection refused");
            let source = Some(inside.into());
            let source = Failure { kind, said: "dispatch failure".into(), source };
            let error = StoreError::Unavailable { what: "read the account", source };
            readable(&anyhow::Error::new(error).context("account 178"))
        };
        let kinds = [
            FailureKind::Unreachable,
            FailureKind::Credentials,
            FailureKind::Forbidden,
            FailureKind::Missing,
        ];
        for kind in kinds {
            let hint = kind.hint().unwrap();
            let expected = format!("account 178: read the account: dispatch failure: {hint}");
            assert_eq!(said(kind), expected);
        }
        assert_eq!(said(FailureKind::Other), "account 178: read the account: dispatch failure");
        assert_eq!(readable(&anyhow::anyhow!("inner").context("outer")), "outer: inner");
    }
}
