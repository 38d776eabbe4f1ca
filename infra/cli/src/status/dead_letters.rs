//! The dead letters of the deployment, below its accounts: how many, since when, and what to do. A
//! queue that cannot be read is said to be unknown.

use serde::Serialize;
use spillway_core::time::Timestamp;
use spillway_service::admin::dead_letters::{self, DeadLetterCount, DeadLetterQueue};

use crate::output::span;

/// What is known of them.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum DeadLettersView {
    /// How many there are.
    Known(DeadLetterCount),
    /// The queue cannot be read.
    Unknown {
        /// Why.
        unknown: String,
    },
}

impl DeadLettersView {
    /// Looks at the queue.
    pub(crate) async fn look(queue: &dyn DeadLetterQueue) -> Self {
        match dead_letters::count(queue).await {
            Ok(count) => Self::Known(count),
            Err(error) => Self::Unknown { unknown: error.to_string() },
        }
    }

    /// What is said of them in a line; `None` where there are none.
    pub(super) fn line(&self, now: Timestamp) -> Option<String> {
        match self {
            Self::Known(count) if count.messages == 0 => None,
            Self::Known(count) => {
                Some(format!("dead letters: {} (`spillway dlq list`)", said(count, now)))
            }
            Self::Unknown { unknown } => Some(format!("dead letters: unknown ({unknown})")),
        }
    }

    /// What is said of them; nothing where there are none.
    pub(crate) fn text(&self, now: Timestamp) -> String {
        match self {
            Self::Known(count) if count.messages == 0 => String::new(),
            Self::Known(count) => {
                format!("\ndead letters: {}. {DO_THIS}\n", said(count, now))
            }
            Self::Unknown { unknown } => format!("\ndead letters: unknown ({unknown})\n"),
        }
    }
}

/// What is said of the schedules' dead letters; nothing where there are none.
pub(super) fn text_of_schedules(found: &DeadLettersView, now: Timestamp) -> String {
    match found {
        DeadLettersView::Known(count) if count.messages == 0 => String::new(),
        DeadLettersView::Known(count) => format!(
            "\ndead letters of the schedules: {}. {DO_THIS_FOR_SCHEDULES}\n",
            said(count, now)
        ),
        DeadLettersView::Unknown { unknown } => {
            format!("\ndead letters of the schedules: unknown ({unknown})\n")
        }
    }
}

/// What to do with those of the schedules, which name no send.
pub(crate) const DO_THIS_FOR_SCHEDULES: &str =
    "each names its error in its attributes: mend that, then purge the queue";

/// What to do with dead letters.
pub(crate) const DO_THIS: &str =
    "`spillway dlq list` shows them; mend what made them fail, then `spillway dlq redrive`";

/// How many there are, and since when.
pub(crate) fn said(count: &DeadLetterCount, now: Timestamp) -> String {
    let oldest = count.oldest_at.map(|at| format!(", the oldest of {} ago", span(now.since(at))));
    format!("about {}{}", count.messages, oldest.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;
    use spillway_service::admin::dead_letters::{DeadLetter, Judge};
    use spillway_service::port::StoreError;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    /// A queue that holds letters of these ages, in seconds, or does not answer.
    struct Queue(Option<&'static [u64]>);

    #[async_trait]
    impl DeadLetterQueue for Queue {
        async fn each(&self, limit: usize, judge: &mut Judge<'_>) -> Result<(), StoreError> {
            for &age in self.0.unwrap_or_default().iter().take(limit) {
                let sent_at = NOW - std::time::Duration::from_secs(age);
                let id = age.to_string();
                judge(&DeadLetter { id, body: String::new(), sent_at, task: None });
            }
            Ok(())
        }

        async fn messages(&self) -> Result<u64, StoreError> {
            let unreachable = || StoreError::unavailable("count the dead letters", "no right to");
            self.0.map(|letters| letters.len() as u64).ok_or_else(unreachable)
        }
    }

    #[tokio::test]
    async fn how_many_there_are_and_since_when_is_said_or_that_nobody_knows() {
        let look = async |letters| DeadLettersView::look(&Queue(letters)).await;
        let none = look(Some(&[])).await;
        assert_eq!(none.text(NOW), "");
        let shown = serde_json::to_value(&none).unwrap();
        assert_eq!(shown, json!({ "messages": 0, "oldest_at": null }));
        let some = look(Some(&[60, 7200, 3600])).await.text(NOW);
        assert!(
            some.contains("about 3, the oldest of 2 h 0 min ago. `spillway dlq list`"),
            "{some}"
        );
        let unknown = look(None).await;
        let line = unknown.line(NOW).unwrap();
        assert!(line.starts_with("dead letters: unknown ("), "{line}");
        assert_eq!(none.line(NOW), None);
        assert!(unknown.text(NOW).contains("dead letters: unknown ("), "{}", unknown.text(NOW));
        let shown = serde_json::to_value(&unknown).unwrap();
        assert!(shown["unknown"].as_str().unwrap().contains("no right to"), "{shown}");
    }
}
