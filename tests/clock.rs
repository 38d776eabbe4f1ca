//! A process whose clock is off beyond the bound grants nothing.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use spillway_cloud::server_date::ServerDate;
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_local::setup::QuotaOptions;
use spillway_local::stack::{Blueprint, Pace, Ports, Stack};
use spillway_local::story::{Story, StoryOptions};
use spillway_service::clock::{Clock, ClockCheck, SystemClock};

/// A clock that is off by a fixed span.
struct Skewed {
    clock: Arc<dyn Clock>,
    ahead: Duration,
    behind: Duration,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.clock.now() + self.ahead - self.behind
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// Whether a clock off by that much is trusted after one answer of DynamoDB.
async fn is_trusted(ahead: Duration, behind: Duration) -> bool {
    let stack = Stack::start(Blueprint {
        clock: Arc::new(SystemClock::new()),
        pace: Pace::Real,
        accounts: Vec::new(),
        graph: spillway_graph::GraphConfig::default(),
        ports: Ports::default(),
        seed: None,
        wrap: std::convert::identity,
    })
    .await
    .unwrap();
    let clock: Arc<dyn Clock> =
        Arc::new(Skewed { clock: Arc::new(SystemClock::new()), ahead, behind });
    let check = Arc::new(ClockCheck::default());
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(spillway_cloud::http::client())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .endpoint_url(&stack.dynamodb_url)
        .interceptor(ServerDate { clock: clock.clone(), check: check.clone() })
        .build();
    aws_sdk_dynamodb::Client::from_conf(config).list_tables().send().await.unwrap();
    check.is_trusted()
}

#[tokio::test]
async fn the_date_in_dynamodbs_answer_tells_a_wrong_clock() {
    let none = Duration::ZERO;
    assert!(is_trusted(none, none).await);
    assert!(!is_trusted(Duration::from_secs(5), none).await, "ahead");
    assert!(!is_trusted(none, Duration::from_secs(5)).await, "behind");
}

fn five_seconds_ahead(wiring: Wiring) -> Wiring {
    let (ahead, behind) = (Duration::from_secs(5), Duration::ZERO);
    Wiring { clock: Arc::new(Skewed { clock: wiring.clock, ahead, behind }), ..wiring }
}

/// Meta's date is the second line: where DynamoDB's was not looked at, as here, one call tells.
#[tokio::test]
async fn the_date_in_metas_answer_stops_a_process_with_a_wrong_clock() {
    let rate = |text: &str| text.parse().unwrap();
    let quotas = QuotaOptions {
        calls: rate("200/1h"),
        replies: rate("750/1h"),
        recipients: rate("1000/24h"),
    };
    let options = StoryOptions { comments: 30, span: Duration::from_secs(60), seed: 1 };
    let mut story = Story::wrapped(&options, &quotas, five_seconds_ahead).await.unwrap();
    while story.progress().elapsed < Duration::from_secs(540) {
        assert!(story.step().await.unwrap());
    }
    assert_eq!(story.stack.graph.report().calls, 1);
}
