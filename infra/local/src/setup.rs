//! What the local stack is set up with: accounts, campaigns and quotas, from options or a file.

use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use spillway_core::profile::{Profile, SlowDown};
use spillway_core::quota::{self, Action, Quota, Unit};
use spillway_judge::{Counted, Limit, Limits, Rules};
use spillway_service::accounts_file::{self, NewAccount};

/// `LIMIT/WINDOW`, as in `200/1h` or `20/10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units in the window.
    pub limit: NonZeroU32,
    /// The window.
    pub window: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write LIMIT/WINDOW, for instance 200/1h or 20/10s";
        let (limit, window) = text.split_once('/').ok_or(form)?;
        let limit = limit.trim().parse().map_err(|_| format!("`{limit}` is no limit: {form}"))?;
        Ok(Self { limit, window: parse_span(window)? })
    }
}

/// A span such as `90s`, `10m`, `1h` or `500ms`.
///
/// # Errors
/// Says what was expected.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{text}` is no span: write for instance 90s, 10m or 24h")),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` does not start with a number"))?;
    match number.checked_mul(millis) {
        Some(millis) if (1..=30 * 86_400_000).contains(&millis) => {
            Ok(Duration::from_millis(millis))
        }
        _ => Err(format!("`{text}` must lie between 1ms and 30d")),
    }
}

/// The account's quotas. The simulated Meta enforces the same figures by an exact log of its own.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Quotas")]
pub struct QuotaOptions {
    /// API calls of every kind
    #[arg(long, value_name = "LIMIT/WINDOW", default_value = "200/1h", global = true)]
    pub calls: Rate,
    /// Private replies to posts and Reels
    #[arg(long, value_name = "LIMIT/WINDOW", default_value = "750/1h", global = true)]
    pub replies: Rate,
    /// Distinct recipients of DMs
    #[arg(long, value_name = "LIMIT/WINDOW", default_value = "1000/24h", global = true)]
    pub recipients: Rate,
}

impl QuotaOptions {
    /// As a profile: these quotas alone, around the clock, so that each can be seen to bind.
    pub fn profile(&self) -> Profile {
        let row = |id, actions: &[Action], unit, rate: Rate| {
            Quota::new(id, actions, unit, rate.window, quota::Limit::Fixed(rate.limit))
        };
        let live =
            Rate { limit: const { NonZeroU32::new(100).unwrap() }, window: Duration::from_secs(1) };
        Profile {
            name: "local".into(),
            quotas: vec![
                row("calls", &Action::ALL, Unit::Calls, self.calls),
                row("private_replies", &[Action::PrivateReply], Unit::Calls, self.replies),
                row("live_replies", &[Action::LiveReply], Unit::Calls, live),
                row("recipients", &Action::DIRECT_MESSAGES, Unit::Recipients, self.recipients),
                // No more messages than people, as in the careful profile.
                row("messages", &Action::DIRECT_MESSAGES, Unit::Calls, self.recipients),
            ],
            spread: None,
            warm_up: None,
            slow_down: SlowDown::default(),
        }
    }

    /// As the judge's limits.
    pub fn limits(&self) -> Limits {
        let row = |name: &str, counts, rate: Rate| {
            Limit::new(name, counts, rate.window, rate.limit.get())
        };
        let second = Duration::from_secs(1);
        Limits::from(Rules::from(vec![
            row("calls", Counted::EVERY_CALL, self.calls),
            row("private replies", Counted::PRIVATE_REPLIES, self.replies),
            Limit::new("live replies", Counted::LIVE_REPLIES, second, 100),
            row("recipients", Counted::DM_RECIPIENTS, self.recipients),
        ]))
    }
}

/// An example of an accounts file, and the one used when none is given.
pub const EXAMPLE: &str = r#"[[account]]
id = "17841400000000001"

[[account.campaign]]
id = "guide"
keywords = ["guide", "guía", "link"]
messages = [
  "Hi {username|there}! Here is the guide you asked for: https://example.com/guide",
  "Hey {username|there}, your guide is ready: https://example.com/guide",
  "{username|Hello}, thanks for your comment! The guide: https://example.com/guide",
]

[[account]]
id = "17841400000000002"

[[account.campaign]]
id = "everything"
messages = ["Thanks {username|for your comment}! https://example.com"]
"#;

/// Reads the accounts file at `path`, or the example when there is none.
///
/// # Errors
/// Names the file and says what is wrong with it. Nothing is connected then.
pub fn load_accounts(path: Option<&Path>, quotas: &QuotaOptions) -> Result<Vec<NewAccount>> {
    let Some(path) = path else {
        return Ok(accounts_file::parse(EXAMPLE, &quotas.profile())?);
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    accounts_file::parse(&text, &quotas.profile()).with_context(|| format!("{shown} is refused"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas() -> QuotaOptions {
        let rate = |text: &str| text.parse().unwrap();
        QuotaOptions {
            calls: rate("200/1h"),
            replies: rate("750/1h"),
            recipients: rate("1000/24h"),
        }
    }

    #[test]
    fn rates_and_spans_are_read_or_refused() {
        let rate: Rate = "20/10s".parse().unwrap();
        assert_eq!((rate.limit.get(), rate.window), (20, Duration::from_secs(10)));
        for bad in ["", "20", "0/1h", "20/h", "20/10", "20/0s", "x/1h", "20/31d"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_example_is_a_good_file() {
        let accounts = load_accounts(None, &quotas()).unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[0].campaigns[0].messages.len(), 3);
    }
}
