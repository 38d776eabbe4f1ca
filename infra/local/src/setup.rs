//! What the local stack is set up with: accounts, campaigns and quotas, from options or a file.

use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use spillway_core::profile::{Profile, SlowDown};
use spillway_core::quota::{self, Action, Quota, Tier, Unit};
use spillway_core::rules::{Rules as KeptRules, Terms};
use spillway_core::time::Timestamp;
use spillway_judge::{Active, Counted, Limit, Limits, Rules, WarmUp, profile};
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

/// Quotas of one's own, from options.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Quotas")]
pub struct QuotaArgs {
    /// API calls of every kind, by default 200/1h
    ///
    /// This option and the next two replace the profile: these quotas alone hold, around the clock.
    #[arg(long, value_name = "LIMIT/WINDOW", global = true)]
    pub calls: Option<Rate>,
    /// Private replies to posts and Reels, by default 750/1h
    #[arg(long, value_name = "LIMIT/WINDOW", global = true)]
    pub replies: Option<Rate>,
    /// Distinct recipients of DMs, by default 1000/24h
    #[arg(long, value_name = "LIMIT/WINDOW", global = true)]
    pub recipients: Option<Rate>,
}

impl QuotaArgs {
    /// Returns the quotas that are given, with the others at their defaults; `None` if none is.
    pub fn given(&self) -> Option<QuotaOptions> {
        let Self { calls, replies, recipients } = *self;
        calls.or(replies).or(recipients)?;
        let default = QuotaOptions::default();
        Some(QuotaOptions {
            calls: calls.unwrap_or(default.calls),
            replies: replies.unwrap_or(default.replies),
            recipients: recipients.unwrap_or(default.recipients),
        })
    }
}

/// Quotas that an account keeps instead of a profile's: these alone, around the clock, so that each
/// can be seen to bind. The simulated Meta enforces the same figures by an exact log of its own.
#[derive(Clone, Copy, Debug)]
pub struct QuotaOptions {
    /// API calls of every kind.
    pub calls: Rate,
    /// Private replies to posts and Reels.
    pub replies: Rate,
    /// Distinct recipients of DMs.
    pub recipients: Rate,
}

impl Default for QuotaOptions {
    fn default() -> Self {
        let rate = |limit, hours: u64| Rate {
            limit: NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN),
            window: Duration::from_secs(hours * 3600),
        };
        Self { calls: rate(200, 1), replies: rate(750, 1), recipients: rate(1000, 24) }
    }
}

impl QuotaOptions {
    /// As a profile.
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

/// A profile by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// The default of every account: within Meta's limits, spread over 16 hours of the day
    #[default]
    Careful,
    /// Meta's own figures, around the clock
    Meta,
}

/// The profile that an account keeps, from options.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct ProfileArgs {
    /// The limits that the account keeps
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// Meta lets it write to 1,000 people in 24 hours (1), to 10,000 (2) or to 100,000 (3)
    /// [default: 1; 2 with --conversation, which takes several DMs for each person]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub tier: Option<u8>,
    /// Play an account's first days: it begins with a fifth of its limit
    #[arg(long)]
    pub warm_up: bool,
}

/// What an account keeps, twice: as the limiter has it and, in words that share no code with it, as
/// the simulated Meta does.
#[derive(Clone, Debug)]
pub struct AccountLimits {
    /// For the limiter.
    pub rules: KeptRules,
    /// For the simulated Meta.
    pub judged: Limits,
}

/// Active hours are known for so many days.
const DAYS_AHEAD: u32 = 60;

impl ProfileArgs {
    /// The limits of an account whose story begins at `start`, and whose tier is `usual` if none is
    /// given.
    ///
    /// # Errors
    /// When the profile and the tier contradict each other.
    pub fn limits(&self, start: Timestamp, usual: u8) -> Result<AccountLimits> {
        let number = self.tier.unwrap_or(usual);
        let tier = Tier::try_from(number)?;
        let terms =
            Terms { tier, warm_up_since: self.warm_up.then_some(start), ..Terms::default() };
        let day = profile::TIERS[usize::from(number) - 1];
        let (own, judged) = match self.profile {
            ProfileName::Careful => {
                let eight = jiff::civil::time(8, 0, 0, 0);
                let ramp_days = const { NonZeroU32::new(14).unwrap() };
                let standing = profile::Standing {
                    day: day.into(),
                    warm_up: self.warm_up.then_some(WarmUp { since: start, ramp_days }),
                    active: Active::daily(&jiff::tz::TimeZone::UTC, eight, start, DAYS_AHEAD),
                };
                (Profile::careful(), profile::careful(&standing))
            }
            ProfileName::Meta if self.warm_up => {
                bail!("the profile `meta` has no warm-up: leave --warm-up out, or play `careful`")
            }
            ProfileName::Meta => (Profile::meta(), profile::meta(day.into())),
        };
        let rules = KeptRules::new(own, terms)?;
        Ok(AccountLimits { rules, judged: judged.into() })
    }
}

impl From<&QuotaOptions> for AccountLimits {
    fn from(quotas: &QuotaOptions) -> Self {
        let rules = KeptRules::new(quotas.profile(), Terms::default());
        Self { rules: rules.expect("quotas alone are sound"), judged: quotas.limits() }
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
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let text = accounts_file::decode(bytes).with_context(|| format!("{shown} is refused"))?;
    accounts_file::parse(&text, &quotas.profile()).with_context(|| format!("{shown} is refused"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let accounts = load_accounts(None, &QuotaOptions::default()).unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[0].campaigns[0].messages.len(), 3);
    }

    #[test]
    fn quotas_are_kept_where_one_is_given() {
        let none = QuotaArgs { calls: None, replies: None, recipients: None };
        assert!(none.given().is_none());
        let given = QuotaArgs { calls: "20/10s".parse().ok(), ..none }.given().unwrap();
        assert_eq!(given.calls, "20/10s".parse().unwrap());
        assert_eq!(given.replies, "750/1h".parse().unwrap());
    }

    #[test]
    fn the_judge_is_told_what_the_limiter_keeps() {
        let at = Timestamp::from_secs(1_788_800_400);
        let of = |profile, tier, warm_up| ProfileArgs { profile, tier, warm_up }.limits(at, 1);
        let careful = of(ProfileName::Careful, Some(2), false).unwrap();
        assert_eq!(careful.rules.terms().tier, Tier::Two);
        let day = |limits: &AccountLimits| limits.judged.each.day_figure().unwrap().at(at);
        assert_eq!(day(&careful), 10_000);
        assert_eq!(day(&of(ProfileName::Careful, None, true).unwrap()), 200);
        assert_eq!(day(&of(ProfileName::Meta, Some(3), false).unwrap()), 100_000);
        assert!(of(ProfileName::Meta, Some(1), true).is_err());
    }
}
