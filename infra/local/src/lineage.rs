//! Recursive-loop detection, as the Lambda service does it. Lambda counts, in the trace header of an
//! invocation, how often the chain of events behind it has invoked each function. The SDK passes the
//! header on to SQS, and SQS to the next invocation. After 16 invocations of a function Lambda
//! refuses the next one, unless the function's `RecursiveLoop` is `Allow`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};

use crate::fault_injector::Function;

/// Invocations of one function that a chain of events may come to.
pub const INVOCATIONS_MAX: u32 = 16;

const FIELD: &str = "Lineage=";

/// Whether a function that enqueues for itself may go on for ever: `RecursiveLoop` in template.yaml.
#[derive(Debug, Default)]
pub struct LoopDetection {
    terminates: AtomicBool,
    dropped: AtomicU64,
}

impl LoopDetection {
    /// From now on loops are ended, as they are by default on AWS.
    pub fn terminate(&self) {
        self.terminates.store(true, Ordering::Relaxed);
    }

    /// Invocations refused so far: the metric `RecursiveInvocationsDropped`.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether Lambda refuses to invoke `function` once more for this chain; each refusal is counted.
    pub(crate) fn refuses(&self, function: Function, lineage: &Lineage) -> bool {
        let refuses = self.terminates.load(Ordering::Relaxed)
            && lineage.invocations(function) >= INVOCATIONS_MAX;
        self.dropped.fetch_add(u64::from(refuses), Ordering::Relaxed);
        refuses
    }
}

/// How often a chain of events has invoked each function. On AWS the names are hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage(BTreeMap<String, u32>);

impl Lineage {
    /// The lineage of a batch of messages: each function's highest count among them.
    pub(crate) fn of(messages: &[Message]) -> Self {
        let mut lineage = Self::default();
        let traces = messages.iter().filter_map(|message| {
            message.attributes()?.get(&MessageSystemAttributeName::AwsTraceHeader)
        });
        for (name, count) in traces.flat_map(|trace| Self::parse(trace).0) {
            let highest = lineage.0.entry(name).or_default();
            *highest = count.max(*highest);
        }
        lineage
    }

    /// Reads the lineage in a trace header; nothing has been invoked where there is none.
    fn parse(trace: &str) -> Self {
        let field = trace.split(';').find_map(|field| field.strip_prefix(FIELD));
        let counts = field.unwrap_or_default().split('|').filter_map(|count| {
            let (name, count) = count.split_once(':')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Self(counts.collect())
    }

    /// Adds an invocation of `function`.
    pub(crate) fn and(mut self, function: Function) -> Self {
        *self.0.entry(name(function)).or_default() += 1;
        self
    }

    /// The trace header of an invocation.
    pub(crate) fn header(&self) -> String {
        let counts: Vec<String> =
            self.0.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        format!("Root=1-00000000-000000000000000000000000;Sampled=0;{FIELD}{}", counts.join("|"))
    }

    fn invocations(&self, function: Function) -> u32 {
        self.0.get(&name(function)).copied().unwrap_or_default()
    }
}

fn name(function: Function) -> String {
    format!("{function:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(lineage: &Lineage) -> Message {
        let trace = MessageSystemAttributeName::AwsTraceHeader;
        Message::builder().attributes(trace, lineage.header()).build()
    }

    #[test]
    fn a_batch_has_the_highest_count_of_each_function() {
        let sent = Lineage::default().and(Function::Sender).and(Function::Sender);
        let released = Lineage::default().and(Function::Release).and(Function::Sender);
        let untraced = Message::builder().build();
        let batch = Lineage::of(&[message(&sent), message(&released), untraced]);
        assert_eq!(batch, sent.and(Function::Release));
    }

    #[test]
    fn the_seventeenth_invocation_is_refused_where_loops_are_ended() {
        let detection = LoopDetection::default();
        let mut lineage = Lineage::default();
        for _ in 0..INVOCATIONS_MAX {
            assert!(!detection.refuses(Function::Sender, &lineage));
            lineage = lineage.and(Function::Sender);
        }
        assert!(!detection.refuses(Function::Sender, &lineage));
        detection.terminate();
        assert!(detection.refuses(Function::Sender, &lineage));
        assert!(!detection.refuses(Function::Release, &lineage));
        assert_eq!(detection.dropped(), 1);
    }
}
