//! The queues: their settings, and whether dead letters lie about.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde::Deserialize;
use spillway_cloud::failure::failure;
use spillway_core::time::Timestamp;
use spillway_service::admin::dead_letters::{self, DeadLetterCount};
use spillway_service::port::{Failure, StoreError};

use super::finding::Finding;
use crate::deployment::Deployment;
use crate::output::span;
use crate::status::dead_letters::{DO_THIS, DO_THIS_FOR_SCHEDULES, said};

const SEND: &str = "queue of sends";
const DEAD: &str = "dead-letter queue";
const RELEASE: &str = "queue of releases";
const SCHEDULES: &str = "dead-letter queue of the schedules";

/// How long an invocation of each function may take (template.yaml).
const SENDER_TIMEOUT: Duration = Duration::from_secs(30);
const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);

/// A message must stay hidden for so many invocations: AWS advises it for a queue that invokes a
/// function.
const HIDDEN_FOR: u32 = 6;

/// A message is received this often at least before it is a dead letter.
const RECEIVES_MIN: u32 = 10;

/// The longest that SQS keeps a message.
const RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

type Attributes = HashMap<Name, String>;

/// Looks at all of them.
pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let config = &deployment.config;
    let (send, dead, letters_found, release) = futures::join!(
        attributes(deployment, &config.send_queue_url),
        attributes(deployment, &config.dead_letter_queue_url),
        dead_letters::count(&deployment.dead_letters),
        attributes(deployment, &config.release_queue_url),
    );
    let now = deployment.clock.now();
    let judge =
        |check, found: Result<Attributes, Failure>, judge: &dyn Fn(&Attributes) -> Vec<_>| {
            found.map_or_else(|error| vec![Finding::unseen(check, &error)], |found| judge(&found))
        };
    [
        judge(SEND, send, &|found| {
            let of = queue_name(&config.dead_letter_queue_url);
            vec![hidden(SEND, found, SENDER_TIMEOUT), redrive(found, of), kept(SEND, found)]
        }),
        judge(DEAD, dead, &|found| {
            vec![kept(DEAD, found), letters(DEAD, &letters_found, now, DO_THIS)]
        }),
        judge(RELEASE, release, &|found| vec![hidden(RELEASE, found, RELEASE_TIMEOUT)]),
        of_schedules(deployment, now).await,
    ]
    .concat()
}

/// What the schedules could not hand over; nothing where nobody says where it is.
async fn of_schedules(deployment: &Deployment, now: Timestamp) -> Vec<Finding> {
    let Some(queue) = &deployment.schedule_dead_letters else { return Vec::new() };
    let found = dead_letters::count(queue).await;
    vec![letters(SCHEDULES, &found, now, DO_THIS_FOR_SCHEDULES)]
}

async fn attributes(deployment: &Deployment, url: &str) -> Result<Attributes, Failure> {
    let client = &deployment.dead_letters.client;
    let asked = client.get_queue_attributes().queue_url(url).attribute_names(Name::All);
    match asked.send().await {
        Ok(answer) => Ok(answer.attributes.unwrap_or_default()),
        Err(error) => Err(failure(error)),
    }
}

fn queue_name(url_or_arn: &str) -> &str {
    url_or_arn.rsplit(['/', ':']).next().unwrap_or_default()
}

fn number<T: std::str::FromStr>(found: &Attributes, name: &Name) -> Option<T> {
    found.get(name)?.parse().ok()
}

fn seconds(found: &Attributes, name: &Name) -> Duration {
    Duration::from_secs(number(found, name).unwrap_or_default())
}

const DEPLOY: &str = "deploy the template again, which sets it";

fn hidden(check: &'static str, found: &Attributes, timeout: Duration) -> Finding {
    let (is, wanted) = (seconds(found, &Name::VisibilityTimeout), timeout * HIDDEN_FOR);
    if is >= wanted {
        Finding::good(check, format!("a message that is worked on is hidden for {}", span(is)))
    } else {
        Finding::wrong(
            check,
            format!(
                "a message that is worked on is hidden for {} only, and {} are needed: it may come \
                 again meanwhile",
                span(is),
                span(wanted)
            ),
            format!("{DEPLOY}: VisibilityTimeout {}", wanted.as_secs()),
        )
    }
}

fn kept(check: &'static str, found: &Attributes) -> Finding {
    let is = seconds(found, &Name::MessageRetentionPeriod);
    if is >= RETENTION {
        Finding::good(check, format!("messages are kept for {}", span(is)))
    } else {
        Finding::warning(
            check,
            format!("messages are kept for {} only", span(is)),
            format!("{DEPLOY}: MessageRetentionPeriod {}", RETENTION.as_secs()),
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    /// A number, or one in quotes.
    max_receive_count: serde_json::Value,
}

fn redrive(found: &Attributes, dead_letters: &str) -> Finding {
    let policy = found.get(&Name::RedrivePolicy);
    let policy = policy.and_then(|text| serde_json::from_str::<RedrivePolicy>(text).ok());
    let wrong = |said: String| Finding::wrong(SEND, said, format!("{DEPLOY}: RedrivePolicy"));
    let Some(policy) = policy else {
        return wrong("a message that cannot be worked on comes again for ever".into());
    };
    let target = queue_name(&policy.dead_letter_target_arn);
    if target != dead_letters {
        return wrong(format!("dead letters go to {target}, and {dead_letters} is looked at"));
    }
    let receives = policy.max_receive_count.to_string();
    match receives.trim_matches('"').parse::<u32>() {
        Ok(receives) if receives >= RECEIVES_MIN => {
            Finding::good(SEND, format!("a message is a dead letter after {receives} receives"))
        }
        _ => wrong(format!(
            "a message is a dead letter after {receives} receives, too early: {RECEIVES_MIN} are needed"
        )),
    }
}

fn letters(
    check: &'static str,
    found: &Result<DeadLetterCount, StoreError>,
    now: Timestamp,
    do_this: &str,
) -> Finding {
    match found {
        Ok(count) if count.messages == 0 => Finding::good(check, "it is empty"),
        Ok(count) => Finding::warning(check, format!("it holds {}", said(count, now)), do_this),
        Err(error) => Finding::unread(check, error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{Good, Warning, Wrong};
    use super::*;

    fn with(name: Name, value: &str) -> Attributes {
        Attributes::from([(name, value.to_owned())])
    }

    #[test]
    fn the_timeouts_are_the_functions_own() {
        assert_eq!(SENDER_TIMEOUT, spillway_local::lambda::SENDER_TIMEOUT);
        assert_eq!(RELEASE_TIMEOUT, spillway_local::lambda::RELEASE_TIMEOUT);
    }

    #[test]
    fn a_message_stays_hidden_while_it_is_worked_on() {
        let verdict =
            |secs: &str| hidden(SEND, &with(Name::VisibilityTimeout, secs), SENDER_TIMEOUT).verdict;
        assert_eq!((verdict("180"), verdict("179")), (Good, Wrong));
        assert_eq!(hidden(SEND, &Attributes::new(), SENDER_TIMEOUT).verdict, Wrong);
    }

    #[test]
    fn messages_are_kept_as_long_as_can_be() {
        let verdict = |secs: &str| kept(SEND, &with(Name::MessageRetentionPeriod, secs)).verdict;
        assert_eq!((verdict("1209600"), verdict("345600")), (Good, Warning));
    }

    #[test]
    fn dead_letters_go_where_they_are_looked_for_and_not_too_early() {
        let verdict = |policy: &str| redrive(&with(Name::RedrivePolicy, policy), "dead").verdict;
        let policy = |target: &str, receives: &str| {
            format!(r#"{{"deadLetterTargetArn":"{target}","maxReceiveCount":{receives}}}"#)
        };
        let arn = "arn:aws:sqs:eu-central-1:111122223333:dead";
        assert_eq!(verdict(&policy(arn, "10")), Good);
        assert_eq!(verdict(&policy(arn, "\"12\"")), Good);
        assert_eq!(verdict(&policy(arn, "9")), Wrong);
        assert_eq!(verdict(&policy("arn:aws:sqs:eu-central-1:111122223333:other", "10")), Wrong);
        assert_eq!(verdict("{}"), Wrong);
        assert_eq!(redrive(&Attributes::new(), "dead").verdict, Wrong);
    }

    #[test]
    fn dead_letters_are_told_of() {
        let now = Timestamp::from_secs(1_790_000_000);
        let count = |messages, oldest_at| Ok(DeadLetterCount { messages, oldest_at });
        assert_eq!(letters(DEAD, &count(0, None), now, DO_THIS).verdict, Good);
        let some = letters(DEAD, &count(3, Some(now - Duration::from_secs(7200))), now, DO_THIS);
        assert_eq!(
            (some.verdict, &*some.said),
            (Warning, "it holds about 3, the oldest of 2 h 0 min ago")
        );
        let unknown = StoreError::unavailable("count the dead letters", "no answer");
        assert_eq!(letters(DEAD, &Err(unknown), now, DO_THIS).verdict, Wrong);
    }
}
