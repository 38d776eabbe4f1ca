//! Queue attributes: from the map of strings of the wire to typed settings, and back.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::error::SqsError;
use super::message::MESSAGE_BYTES_MAX;
use super::queue::Timing;

/// The account that owns all queues here.
pub const ACCOUNT: &str = "000000000000";
/// The region in the ARNs of all queues here.
pub const REGION: &str = "us-east-1";

const REDRIVES_MAX: u64 = 1000;

/// Names that a caller may set and this SQS keeps without acting on them.
const KEPT: [&str; 4] =
    ["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "Policy", "SqsManagedSseEnabled"];

/// Names that only a FIFO queue has.
const FIFO: [&str; 4] =
    ["ContentBasedDeduplication", "DeduplicationScope", "FifoQueue", "FifoThroughputLimit"];

/// The ARN of a queue.
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The name in a queue's ARN, of any region and account.
pub(crate) fn name_of_arn(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts[..] {
        ["arn", _, "sqs", _, _, name] if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// Where a message goes that was received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redrive {
    /// The name of the dead-letter queue.
    pub(crate) dead_letter_queue: String,
    /// How often a message is handed out before it is given up.
    pub(crate) max_receives: NonZeroU32,
}

/// Which queues may name this one as their dead-letter queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum RedriveAllow {
    #[default]
    All,
    None,
    /// By name.
    These(Vec<String>),
}

impl RedriveAllow {
    pub(crate) fn allows(&self, source: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::These(names) => names.iter().any(|name| name == source),
        }
    }
}

/// Everything about a queue that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) timing: Timing,
    pub(crate) message_bytes_max: usize,
    /// How long a receive waits that does not say.
    pub(crate) receive_wait: Duration,
    pub(crate) redrive: Option<Redrive>,
    pub(crate) redrive_allow: RedriveAllow,
    /// As they were given: policies in their own words, and what has no effect here.
    texts: BTreeMap<String, String>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            receive_wait: Duration::ZERO,
            redrive: None,
            redrive_allow: RedriveAllow::All,
            texts: BTreeMap::new(),
        }
    }
}

impl Attributes {
    /// These attributes with the given ones changed, or why not.
    pub(crate) fn with(&self, changes: &BTreeMap<String, String>) -> Result<Self, SqsError> {
        let mut changed = self.clone();
        for (name, value) in changes {
            changed.set(name, value)?;
        }
        Ok(changed)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), SqsError> {
        let seconds = |range| number(name, value, range).map(Duration::from_secs);
        match name {
            "DelaySeconds" => self.timing.delay = seconds(0..=900)?,
            "VisibilityTimeout" => self.timing.visibility_timeout = seconds(0..=43_200)?,
            "MessageRetentionPeriod" => self.timing.retention = seconds(60..=1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.receive_wait = seconds(0..=20)?,
            "MaximumMessageSize" => {
                let bytes = number(name, value, 1024..=MESSAGE_BYTES_MAX as u64)?;
                self.message_bytes_max = usize::try_from(bytes).unwrap_or(MESSAGE_BYTES_MAX);
            }
            "RedrivePolicy" => {
                self.redrive = if value.is_empty() { None } else { Some(redrive(value)?) };
                self.set_text(name, value);
            }
            "RedriveAllowPolicy" => {
                self.redrive_allow =
                    if value.is_empty() { RedriveAllow::All } else { redrive_allow(value)? };
                self.set_text(name, value);
            }
            _ if KEPT.contains(&name) => self.set_text(name, value),
            _ if FIFO.contains(&name) => {
                return Err(SqsError::UnsupportedOperation(format!(
                    "The attribute {name} belongs to FIFO queues, which this SQS does not have."
                )));
            }
            _ => return Err(SqsError::InvalidAttributeName(name.to_owned())),
        }
        Ok(())
    }

    /// An empty text takes the attribute away.
    fn set_text(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.texts.remove(name);
        } else {
            self.texts.insert(name.to_owned(), value.to_owned());
        }
    }

    /// All of them in the strings of the wire.
    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        let seconds = |span: Duration| span.as_secs().to_string();
        let mut map = self.texts.clone();
        map.extend([
            ("DelaySeconds".to_owned(), seconds(self.timing.delay)),
            ("MaximumMessageSize".to_owned(), self.message_bytes_max.to_string()),
            ("MessageRetentionPeriod".to_owned(), seconds(self.timing.retention)),
            ("ReceiveMessageWaitTimeSeconds".to_owned(), seconds(self.receive_wait)),
            ("VisibilityTimeout".to_owned(), seconds(self.timing.visibility_timeout)),
        ]);
        // Queues are encrypted unless their owner says otherwise.
        map.entry("SqsManagedSseEnabled".to_owned()).or_insert_with(|| "true".to_owned());
        map
    }
}

/// Whether `GetQueueAttributes` may ask for this name.
pub(crate) fn is_known(name: &str) -> bool {
    const MORE: [&str; 14] = [
        "All",
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "DelaySeconds",
        "LastModifiedTimestamp",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "QueueArn",
        "ReceiveMessageWaitTimeSeconds",
        "RedriveAllowPolicy",
        "RedrivePolicy",
        "VisibilityTimeout",
    ];
    MORE.contains(&name) || KEPT.contains(&name) || FIFO.contains(&name)
}

fn invalid(name: &str, value: &str, why: impl Into<String>) -> SqsError {
    let (name, value) = (name.to_owned(), value.to_owned());
    SqsError::InvalidAttributeValue { name, value, why: why.into() }
}

fn number(name: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64, SqsError> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let why = format!("it is a whole number from {} to {}", range.start(), range.end());
        invalid(name, value, why)
    })
}

fn redrive(value: &str) -> Result<Redrive, SqsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        max_receive_count: Count,
    }
    /// Tools write the count as a number and as a string.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(u64),
        Text(String),
    }

    // SQS answers a bad redrive policy with the code of a bad parameter.
    let refuse =
        |why: &str| SqsError::invalid(format!("The RedrivePolicy {value} is invalid: {why}."));
    let policy: Policy = serde_json::from_str(value)
        .map_err(|_| refuse("it holds deadLetterTargetArn and maxReceiveCount"))?;
    let name = name_of_arn(&policy.dead_letter_target_arn)
        .ok_or_else(|| refuse("deadLetterTargetArn is not the ARN of a queue"))?;
    let count = match policy.max_receive_count {
        Count::Number(count) => Some(count),
        Count::Text(text) => text.parse().ok(),
    };
    let max_receives = count
        .filter(|count| (1..=REDRIVES_MAX).contains(count))
        .and_then(|count| u32::try_from(count).ok())
        .and_then(NonZeroU32::new)
        .ok_or_else(|| refuse("maxReceiveCount goes from 1 to 1000"))?;
    Ok(Redrive { dead_letter_queue: name.to_owned(), max_receives })
}

fn redrive_allow(value: &str) -> Result<RedriveAllow, SqsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        redrive_permission: Permission,
        #[serde(default)]
        source_queue_arns: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Permission {
        AllowAll,
        DenyAll,
        ByQueue,
    }

    let refuse = || {
        SqsError::invalid(format!(
            "The RedriveAllowPolicy {value} is invalid: redrivePermission is allowAll, denyAll, or \
             byQueue with 1 to 10 sourceQueueArns."
        ))
    };
    let policy: Policy = serde_json::from_str(value).map_err(|_| refuse())?;
    let names = policy.source_queue_arns.iter().map(|arn| name_of_arn(arn).map(str::to_owned));
    let names: Vec<String> = names.collect::<Option<_>>().ok_or_else(refuse)?;
    match (policy.redrive_permission, names.len()) {
        (Permission::AllowAll, 0) => Ok(RedriveAllow::All),
        (Permission::DenyAll, 0) => Ok(RedriveAllow::None),
        (Permission::ByQueue, 1..=10) => Ok(RedriveAllow::These(names)),
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<Attributes, SqsError> {
        Attributes::default().with(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn ranges_hold_at_both_ends() {
        for (name, low, high) in [
            ("DelaySeconds", 0, 900),
            ("MaximumMessageSize", 1024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("VisibilityTimeout", 0, 43_200),
        ] {
            for value in [low, high] {
                let attributes = set(name, &value.to_string()).unwrap();
                assert_eq!(attributes.to_map()[name], value.to_string());
            }
            for value in [(low - 1).to_string(), (high + 1).to_string(), "x".into(), "".into()] {
                let refused = set(name, &value).unwrap_err();
                assert_eq!(refused.code(), "InvalidAttributeValue", "{name} = {value}");
            }
        }
    }

    #[test]
    fn names_are_settable_or_refused() {
        for name in ["QueueArn", "CreatedTimestamp", "ApproximateNumberOfMessages", "All", "Nope"] {
            assert_eq!(set(name, "1").unwrap_err().code(), "InvalidAttributeName", "{name}");
        }
        for name in FIFO {
            let refused = set(name, "true").unwrap_err();
            assert_eq!(refused.code(), "AWS.SimpleQueueService.UnsupportedOperation", "{name}");
        }
        assert_eq!(set("Policy", "{}").unwrap().to_map()["Policy"], "{}");
    }

    #[test]
    fn redrive_policies() {
        let arn = queue_arn("dlq");
        for count in ["3", "\"3\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
            let attributes = set("RedrivePolicy", &policy).unwrap();
            let redrive = attributes.redrive.clone().unwrap();
            assert_eq!(
                (redrive.dead_letter_queue.as_str(), redrive.max_receives.get()),
                ("dlq", 3)
            );
            assert_eq!(attributes.to_map()["RedrivePolicy"], policy);
            let without = BTreeMap::from([("RedrivePolicy".to_owned(), String::new())]);
            assert_eq!(attributes.with(&without).unwrap(), Attributes::default());
        }
        for refused in [
            "{}".to_owned(),
            "dlq".to_owned(),
            format!(r#"{{"deadLetterTargetArn":"{arn}"}}"#),
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":0}}"#),
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1001}}"#),
            r#"{"deadLetterTargetArn":"dlq","maxReceiveCount":1}"#.to_owned(),
            r#"{"deadLetterTargetArn":"arn:aws:sns:us-east-1:0:x","maxReceiveCount":1}"#.to_owned(),
        ] {
            assert_eq!(set("RedrivePolicy", &refused).unwrap_err().code(), "InvalidParameterValue");
        }
    }

    #[test]
    fn redrive_allow_policies() {
        let allow = |value: &str| set("RedriveAllowPolicy", value).map(|set| set.redrive_allow);
        assert_eq!(allow(r#"{"redrivePermission":"allowAll"}"#), Ok(RedriveAllow::All));
        assert!(!allow(r#"{"redrivePermission":"denyAll"}"#).unwrap().allows("a"));
        let arn = queue_arn("a");
        let by_queue = format!(r#"{{"redrivePermission":"byQueue","sourceQueueArns":["{arn}"]}}"#);
        let by_queue = allow(&by_queue).unwrap();
        assert!(by_queue.allows("a") && !by_queue.allows("b"));
        for refused in ["{}", r#"{"redrivePermission":"byQueue"}"#, r#"{"redrivePermission":"x"}"#]
        {
            assert!(allow(refused).is_err(), "{refused}");
        }
    }
}
