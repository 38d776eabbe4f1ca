//! The errors of SQS, with the names under which its clients know them.

use std::ops::RangeInclusive;

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqsError {
    /// No queue of that name.
    #[error("There is no queue named {0:?}.")]
    QueueDoesNotExist(String),
    /// A queue of that name exists and its attributes differ.
    #[error("The queue {0:?} exists with a different value of an attribute.")]
    QueueNameExists(String),
    /// A deleted queue's name is free again only after a minute.
    #[error("The queue {0:?} was deleted less than 60 seconds ago.")]
    QueueDeletedRecently(String),
    /// A queue can be purged once a minute.
    #[error("The queue {0:?} was purged less than 60 seconds ago.")]
    PurgeQueueInProgress(String),
    /// No such attribute, or none that can be set.
    #[error("The attribute {0:?} is unknown here.")]
    InvalidAttributeName(String),
    /// A queue attribute outside its range.
    #[error("The value {value:?} of the attribute {name} is invalid: {why}.")]
    InvalidAttributeValue {
        /// The attribute.
        name: String,
        /// What was given.
        value: String,
        /// What would have been taken.
        why: String,
    },
    /// A parameter outside its range or form.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// A parameter that the call needs.
    #[error("The request lacks the parameter {0}.")]
    MissingParameter(&'static str),
    /// A body with a character that SQS does not carry.
    #[error("The message holds {0:?}, which is outside the allowed set of characters.")]
    InvalidMessageContents(char),
    /// No receipt handle of this queue.
    #[error("The receipt handle {0:?} is not one of this queue's.")]
    ReceiptHandleIsInvalid(String),
    /// Its visibility timeout ended, or it is gone.
    #[error("The message of this receipt handle is not in flight.")]
    MessageNotInflight,
    /// The limit on messages in flight is reached.
    #[error("The queue has as many messages in flight as SQS allows.")]
    OverLimit,
    /// A batch of nothing.
    #[error("The batch has no entries.")]
    EmptyBatchRequest,
    /// A batch of more than ten.
    #[error("A batch takes 10 entries; this one has {0}.")]
    TooManyEntriesInBatchRequest(usize),
    /// Two entries of one id.
    #[error("The id {0:?} occurs more than once in the batch.")]
    BatchEntryIdsNotDistinct(String),
    /// An id outside its form.
    #[error("The batch entry id {0:?} is not 1 to 80 letters, digits, hyphens and underscores.")]
    InvalidBatchEntryId(String),
    /// A batch larger in total than one message may be.
    #[error("The batch is {0} bytes in total, more than 1048576.")]
    BatchRequestTooLong(usize),
    /// No such resource for a message move.
    #[error("{0}")]
    ResourceNotFound(String),
    /// Outside what this SQS does.
    #[error("{0}")]
    UnsupportedOperation(String),
    /// The target header names no operation.
    #[error("The operation {0:?} is unknown.")]
    UnknownOperation(String),
    /// The request is not the JSON of its operation.
    #[error("The request cannot be read: {0}")]
    Serialization(String),
    /// Injected: the service is briefly away.
    #[error("The service is unavailable.")]
    ServiceUnavailable,
    /// Injected: the service failed.
    #[error("The service failed.")]
    InternalFailure,
}

/// How an error looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireError {
    /// The name of the JSON protocol, without its namespace.
    pub(crate) shape: &'static str,
    /// The code of the older query protocol, by which clients still tell errors apart.
    pub(crate) code: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
}

impl WireError {
    const fn sender(shape: &'static str, code: &'static str) -> Self {
        Self { shape, code, status: 400 }
    }

    /// Whose fault it is, in the words of the protocol.
    pub(crate) const fn fault(self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }
}

impl SqsError {
    /// A parameter that is not as it must be.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::InvalidParameterValue(why.into())
    }

    /// A parameter outside its range.
    pub(crate) fn out_of_range(
        parameter: &str,
        value: impl std::fmt::Display,
        range: RangeInclusive<i64>,
    ) -> Self {
        Self::invalid(format!(
            "The value {value} of {parameter} is invalid: it goes from {} to {}.",
            range.start(),
            range.end()
        ))
    }

    /// The code by which clients know the error, such as `AWS.SimpleQueueService.NonExistentQueue`.
    pub(crate) fn code(&self) -> &'static str {
        self.wire().code
    }

    pub(crate) fn wire(&self) -> WireError {
        let sender = WireError::sender;
        match self {
            Self::QueueDoesNotExist(_) => {
                sender("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
            }
            Self::QueueNameExists(_) => sender("QueueNameExists", "QueueAlreadyExists"),
            Self::QueueDeletedRecently(_) => {
                sender("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently")
            }
            Self::PurgeQueueInProgress(_) => {
                sender("PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress")
            }
            Self::InvalidAttributeName(_) => sender("InvalidAttributeName", "InvalidAttributeName"),
            Self::InvalidAttributeValue { .. } => {
                sender("InvalidAttributeValue", "InvalidAttributeValue")
            }
            Self::InvalidParameterValue(_) => {
                sender("InvalidParameterValueException", "InvalidParameterValue")
            }
            Self::MissingParameter(_) => {
                sender("MissingRequiredParameterException", "MissingParameter")
            }
            Self::InvalidMessageContents(_) => {
                sender("InvalidMessageContents", "InvalidMessageContents")
            }
            Self::ReceiptHandleIsInvalid(_) => {
                sender("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid")
            }
            Self::MessageNotInflight => {
                sender("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight")
            }
            Self::OverLimit => sender("OverLimit", "OverLimit"),
            Self::EmptyBatchRequest => {
                sender("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest")
            }
            Self::TooManyEntriesInBatchRequest(_) => sender(
                "TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            ),
            Self::BatchEntryIdsNotDistinct(_) => sender(
                "BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            ),
            Self::InvalidBatchEntryId(_) => {
                sender("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId")
            }
            Self::BatchRequestTooLong(_) => {
                sender("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong")
            }
            Self::ResourceNotFound(_) => {
                sender("ResourceNotFoundException", "ResourceNotFoundException")
            }
            Self::UnsupportedOperation(_) => {
                sender("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation")
            }
            Self::UnknownOperation(_) => sender("UnknownOperationException", "InvalidAction"),
            Self::Serialization(_) => sender("SerializationException", "MalformedInput"),
            Self::ServiceUnavailable => {
                WireError { shape: "ServiceUnavailable", code: "ServiceUnavailable", status: 503 }
            }
            Self::InternalFailure => {
                WireError { shape: "InternalFailure", code: "InternalFailure", status: 500 }
            }
        }
    }
}
