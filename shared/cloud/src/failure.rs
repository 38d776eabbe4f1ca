//! What kind of failure an error of the AWS SDK is.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use spillway_service::port::{Failure, FailureKind, StoreError};

/// The error of a request that AWS did not carry out. `what` is the operation.
pub(crate) fn unavailable<E, R>(what: &'static str, error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    StoreError::Unavailable { what, source: failure(error) }
}

/// The error of a request that lacks a part, and so was not sent.
pub(crate) fn incomplete(what: &'static str, error: impl Error) -> StoreError {
    StoreError::unavailable(what, error.to_string())
}

/// Returns the kind of an error of the SDK, and its message without the inside of its types.
pub fn failure<E, R>(error: SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    let kind = match &error {
        _ if links(&error).any(|link| link.is::<CredentialsError>()) => FailureKind::Credentials,
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => FailureKind::Unreachable,
        SdkError::ServiceError(refusal) => {
            refusal.err().code().map_or(FailureKind::Other, kind_of_code)
        }
        _ => FailureKind::Other,
    };
    let said = said(&error);
    // What has a response may hold a body with a secret in it, and say so in its `Debug`.
    let source = match error {
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => None,
        _ => Some(error.into()),
    };
    Failure { kind, said, source }
}

/// The codes as the services write them (AWS, common errors of DynamoDB, SQS, KMS and Secrets
/// Manager).
fn kind_of_code(code: &str) -> FailureKind {
    match code.rsplit(['#', '.']).next().unwrap_or(code) {
        "AccessDenied" | "AccessDeniedException" => FailureKind::Forbidden,
        "ResourceNotFoundException"
        | "QueueDoesNotExist"
        | "NonExistentQueue"
        | "NotFoundException" => FailureKind::Missing,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException" => FailureKind::Credentials,
        _ => FailureKind::Other,
    }
}

/// The error and those that caused it.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What is told of an error. Of an answer these are code, message and request id, never its body.
fn said<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    if let Some(missing) = links(error).find_map(|link| link.downcast_ref::<CredentialsError>()) {
        return no_credentials(missing);
    }
    match error {
        SdkError::ServiceError(refusal) => {
            let meta = refusal.err().meta();
            let code = meta.code().unwrap_or("an error without a code");
            let message = meta.message().map(|message| format!(": {message}"));
            let request = meta.extra(REQUEST_ID).map(|id| format!(" (request {id})"));
            format!("{code}{}{}", message.unwrap_or_default(), request.unwrap_or_default())
        }
        SdkError::ResponseError(_) => "the answer cannot be read: it was cut off, or is no AWS \
                                       answer"
            .to_owned(),
        _ => chain(error),
    }
}

/// Why there are no credentials, in a line: the SDK tells of each place where it has looked.
fn no_credentials(error: &CredentialsError) -> String {
    let cause = links(error).last().map(ToString::to_string).unwrap_or_default();
    let cause = cause.lines().next().unwrap_or_default().trim_end_matches(['.', ':']);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "there are no AWS credentials".to_owned(),
        CredentialsError::ProviderTimedOut(_) => "no AWS credentials came in time".to_owned(),
        _ => format!("the AWS credentials cannot be loaded ({cause})"),
    }
}

/// Where the SDK puts the id of a request, to be named to AWS.
const REQUEST_ID: &str = "aws_request_id";

/// What each link says, once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for link in links(error) {
        let link = link.to_string();
        if !said.contains(&link) {
            said = if said.is_empty() { link } else { format!("{said}: {link}") };
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::http::HttpResponse;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn refused(code: &str) -> Failure {
        let status = StatusCode::try_from(400).unwrap();
        let meta = ErrorMetadata::builder().code(code).message("no").build();
        let response = HttpResponse::new(status, SdkBody::empty());
        failure(SdkError::service_error(GetItemError::generic(meta), response))
    }

    #[test]
    fn each_kind_has_its_hint() {
        for (code, kind) in [
            ("AccessDeniedException", FailureKind::Forbidden),
            ("com.amazonaws.dynamodb.v20120810#AccessDeniedException", FailureKind::Forbidden),
            ("ResourceNotFoundException", FailureKind::Missing),
            ("AWS.SimpleQueueService.NonExistentQueue", FailureKind::Missing),
            ("UnrecognizedClientException", FailureKind::Credentials),
            ("ThrottlingException", FailureKind::Other),
        ] {
            assert_eq!(refused(code).kind, kind, "{code}");
        }
        let missing: SdkError<GetItemError, HttpResponse> = SdkError::dispatch_failure(
            ConnectorError::other(CredentialsError::not_loaded_no_source().into(), None),
        );
        let missing = failure(missing);
        assert_eq!(missing.kind, FailureKind::Credentials);
        assert_eq!(missing.to_string(), "there are no AWS credentials");
        let cause = std::io::Error::other("the session is over\nAttempted:\n  SSO");
        let over: SdkError<GetItemError, HttpResponse> = SdkError::dispatch_failure(
            ConnectorError::other(CredentialsError::provider_error(cause).into(), None),
        );
        let said = "the AWS credentials cannot be loaded (the session is over)";
        assert_eq!(failure(over).to_string(), said);
        let io = std::io::Error::other("connection refused");
        let gone: SdkError<GetItemError, HttpResponse> =
            SdkError::dispatch_failure(ConnectorError::io(io.into()));
        let gone = failure(gone);
        assert_eq!(gone.kind, FailureKind::Unreachable);
        assert_eq!(gone.to_string(), "dispatch failure: io error: connection refused");
        assert!(gone.source().is_some());
    }

    #[test]
    fn of_an_answer_only_code_message_and_request_id_are_told() {
        let body = || SdkBody::from(r#"{"SecretString":"hunter2"#);
        let response =
            |status: u16| HttpResponse::new(StatusCode::try_from(status).unwrap(), body());
        let meta = ErrorMetadata::builder().code("Throttling").message("slow down");
        let meta = meta.custom(REQUEST_ID, "R1").build();
        let refused = SdkError::service_error(GetItemError::generic(meta), response(400));
        let refused = failure(refused);
        assert_eq!(refused.to_string(), "Throttling: slow down (request R1)");
        let cut_off: SdkError<GetItemError, HttpResponse> =
            SdkError::response_error("unexpected end", response(200));
        for failure in [refused, failure(cut_off)] {
            assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure:?}");
        }
    }
}
