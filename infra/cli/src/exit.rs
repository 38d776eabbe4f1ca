//! How commands end: the one place that names the exit codes.

use std::process::ExitCode;

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

/// Says on standard error why a command failed, and gives the exit code.
pub(crate) fn code(result: anyhow::Result<Ended>) -> ExitCode {
    let error = match result {
        Ok(Ended::Done) => return ExitCode::SUCCESS,
        Ok(Ended::Denied) => return ExitCode::from(3),
        Ok(Ended::Unwell) => return ExitCode::from(6),
        Err(error) => error,
    };
    eprintln!("error: {}", readable(&format!("{error:#}")));
    if error.is::<Refused>() {
        ExitCode::from(4)
    } else if error.is::<NotConfirmed>() {
        ExitCode::from(5)
    } else {
        ExitCode::FAILURE
    }
}

fn readable(error: &str) -> String {
    match explained(error) {
        (said, None) => said.to_owned(),
        (said, Some(hint)) => format!("{said}: {hint}"),
    }
}

/// Without the inside of the SDK's errors, which says the same again at length; and what to do
/// about the commonest of them.
pub(crate) fn explained(error: &str) -> (&str, Option<&'static str>) {
    const INSIDES: [&str; 5] = [
        " (DispatchFailure(",
        " (ServiceError(",
        " (TimeoutError(",
        " (ResponseError(",
        " (ConstructionFailure(",
    ];
    let end = INSIDES.iter().filter_map(|inside| error.find(inside)).min();
    let said = &error[..end.unwrap_or(error.len())];
    let hint = match said {
        _ if said.contains("dispatch failure") => {
            "cannot be reached; is the deployment file's region or URL right, and does a local stack \
             still run?"
        }
        _ if said.contains("credentials") || said.contains("security token") => {
            "log in to AWS first, or set AWS_PROFILE"
        }
        _ if said.contains("ResourceNotFound") => {
            "there is no such table or queue; is this the right account, region and deployment file?"
        }
        _ if said.contains("AccessDenied") => "the caller needs that permission in IAM",
        _ => return (said, None),
    };
    (said, Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inside_of_an_sdk_error_is_left_out_and_a_hint_given() {
        let error =
            "load: dispatch failure: connection refused (DispatchFailure(DispatchFailure { .. }))";
        let said = readable(error);
        assert!(said.starts_with("load: dispatch failure: connection refused: cannot be reached"));
        assert!(!said.contains("(DispatchFailure("), "{said}");
        assert_eq!(readable("no such (thing)"), "no such (thing)");
    }
}
