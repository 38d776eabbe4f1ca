//! What the local stack is set up with: accounts, campaigns and quotas, from options or a file.

use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;
use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
use spillway_core::quota::{Profile, Quota};

use crate::graph::{Counted, Limit, Limits};

/// An account to connect.
#[derive(Clone, Debug)]
pub struct LocalAccount {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// Its quotas.
    pub profile: Profile,
    /// Its campaigns.
    pub campaigns: Vec<Campaign>,
}

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
    /// As a profile.
    pub fn profile(&self) -> Profile {
        let with = |quota: Quota, rate: Rate| Quota { window: rate.window, ..quota };
        Profile {
            name: "local".into(),
            quotas: vec![
                with(Quota::calls_per_hour(self.calls.limit), self.calls),
                with(Quota::private_replies_per_hour(self.replies.limit), self.replies),
                Quota::live_replies_per_second(const { NonZeroU32::new(100).unwrap() }),
                with(Quota::recipients_per_day(self.recipients.limit), self.recipients),
            ],
        }
    }

    /// As the judge's limits.
    pub fn limits(&self) -> Limits {
        let row = |name: &str, counts, rate: Rate| {
            Limit::new(name, counts, rate.window, rate.limit.get())
        };
        Limits {
            rows: vec![
                row("calls", Counted::EveryCall, self.calls),
                row("private replies", Counted::PrivateReplies, self.replies),
                Limit::new(
                    "live replies",
                    Counted::LivePrivateReplies,
                    Duration::from_secs(1),
                    100,
                ),
                row("recipients", Counted::DistinctRecipients, self.recipients),
            ],
            app: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    account: Vec<FileAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAccount {
    id: AccountId,
    #[serde(default)]
    campaign: Vec<Campaign>,
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

/// Reads an accounts file.
///
/// # Errors
/// Says in which line what is wrong. Nothing is connected then.
pub fn read_accounts(text: &str, quotas: &QuotaOptions) -> Result<Vec<LocalAccount>> {
    let file: File = toml::from_str(text)?;
    ensure!(!file.account.is_empty(), "the file has no [[account]]");
    let mut accounts: Vec<LocalAccount> = Vec::new();
    for FileAccount { id, campaign } in file.account {
        ensure!(
            !accounts.iter().any(|known| known.id == id),
            "account {id} stands twice: put its campaigns under one [[account]]"
        );
        for (at, this) in campaign.iter().enumerate() {
            ensure!(
                !campaign[..at].iter().any(|earlier| earlier.id == this.id),
                "account {id} has campaign `{}` twice: give each a name of its own",
                this.id
            );
        }
        accounts.push(LocalAccount { id, profile: quotas.profile(), campaigns: campaign });
    }
    Ok(accounts)
}

/// Reads the file at `path`, or the example when there is none.
///
/// # Errors
/// Names the file and says what is wrong with it.
pub fn load_accounts(path: Option<&Path>, quotas: &QuotaOptions) -> Result<Vec<LocalAccount>> {
    match path {
        None => read_accounts(EXAMPLE, quotas),
        Some(path) => {
            let shown = path.display();
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
            read_accounts(&text, quotas).with_context(|| format!("{shown} is refused"))
        }
    }
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
        let accounts = read_accounts(EXAMPLE, &quotas()).unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[0].campaigns[0].messages.len(), 3);
        quotas().profile().validate().unwrap();
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line_and_reason() {
        let error = |text: &str| format!("{:#}", read_accounts(text, &quotas()).unwrap_err());
        let unknown = EXAMPLE.replace("{username|Hello}", "{user}");
        let message = error(&unknown);
        assert!(
            message.contains("line 4") && message.contains("`{user}` is not known"),
            "{message}"
        );
        assert!(error("[[account]]\nid = 3").contains("line 2"));
        assert!(error("account = []").contains("no [[account]]"));
        let twice = EXAMPLE.replace("17841400000000002", "17841400000000001");
        assert!(error(&twice).contains("stands twice"));
    }
}
