//! Accounts files: accounts, their campaigns and the limits they keep as people write them, in TOML.

use serde::Deserialize;
use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
use spillway_core::profile::{Profile, ProfileError, SlowDown, Spread, WarmUp};
use spillway_core::quota::Quota;
use spillway_core::rules::{Rules, Terms};

/// An account to connect.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// The limits it keeps.
    pub rules: Rules,
    /// Its campaigns.
    pub campaigns: Vec<Campaign>,
}

/// Why a file is refused. Nothing of it is used then.
#[derive(Debug, thiserror::Error)]
pub enum AccountsFileError {
    /// It is no TOML, or has something that is not expected, or a campaign that cannot be sent. The
    /// message names the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// It names no account.
    #[error("there is no [[account]]: add one with its `id`")]
    Empty,
    /// An account stands twice.
    #[error("account {0} stands twice: put its campaigns under one [[account]]")]
    SameAccount(AccountId),
    /// A campaign's name stands twice.
    #[error("account {0} has campaign `{1}` twice: give each a name of its own")]
    SameCampaign(AccountId, String),
    /// A profile's name stands twice, or is one of Spillway's own.
    #[error("there are two profiles `{0}`: `careful` and `meta` are there already")]
    SameProfile(String),
    /// There is no such profile.
    #[error(
        "account {0}: there is no profile `{1}`: write \"careful\", \"meta\" or the name of a [[profile]]"
    )]
    NoProfile(AccountId, String),
    /// A profile that is based on none.
    #[error(
        "profile `{0}`: there is no profile `{1}` to be based on: write \"careful\" or \"meta\""
    )]
    NoBase(String, String),
    /// A profile that cannot be counted or would never send.
    #[error("profile `{0}`: {1}")]
    Profile(String, ProfileError),
    /// An account's own limits cannot be kept.
    #[error("account {0}: {1}")]
    Rules(AccountId, ProfileError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profile: Vec<CustomProfile>,
    #[serde(default)]
    account: Vec<Entry>,
}

/// A profile of the file: another one with some of it replaced.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomProfile {
    name: String,
    /// What it starts from; without it, from nothing.
    base: Option<String>,
    /// Rows to add, or to replace those of the same name.
    #[serde(default)]
    quota: Vec<Quota>,
    spread: Option<Spread>,
    warm_up: Option<WarmUp>,
    slow_down: Option<SlowDown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: AccountId,
    profile: Option<String>,
    #[serde(default)]
    terms: Terms,
    #[serde(default)]
    campaign: Vec<Campaign>,
}

/// Reads a file. An account that names no profile gets `profile`.
///
/// # Errors
/// Says what is wrong, and in which line where that is known.
pub fn parse(text: &str, profile: &Profile) -> Result<Vec<NewAccount>, AccountsFileError> {
    let file: File = toml::from_str(text)?;
    let profiles = profiles(file.profile)?;
    let mut accounts: Vec<NewAccount> = Vec::new();
    for Entry { id, profile: name, terms, campaign: campaigns } in file.account {
        if accounts.iter().any(|known| known.id == id) {
            return Err(AccountsFileError::SameAccount(id));
        }
        for (at, campaign) in campaigns.iter().enumerate() {
            if campaigns[..at].iter().any(|earlier| earlier.id == campaign.id) {
                return Err(AccountsFileError::SameCampaign(id, campaign.id.to_string()));
            }
        }
        let profile = match name {
            None => profile.clone(),
            Some(name) => match profiles.iter().find(|profile| profile.name == name) {
                Some(known) => known.clone(),
                None => return Err(AccountsFileError::NoProfile(id, name)),
            },
        };
        match Rules::new(profile, terms) {
            Ok(rules) => accounts.push(NewAccount { id, rules, campaigns }),
            Err(error) => return Err(AccountsFileError::Rules(id, error)),
        }
    }
    if accounts.is_empty() { Err(AccountsFileError::Empty) } else { Ok(accounts) }
}

/// Reads a file of profiles alone, such as the forecast's, or the profiles of an accounts file, and
/// gives them with those that come with Spillway.
///
/// # Errors
/// As [`parse`].
pub fn parse_profiles(text: &str) -> Result<Vec<Profile>, AccountsFileError> {
    profiles(toml::from_str::<File>(text)?.profile)
}

/// The profiles there are: those that come with Spillway, and the file's.
fn profiles(custom: Vec<CustomProfile>) -> Result<Vec<Profile>, AccountsFileError> {
    let mut known = vec![Profile::careful(), Profile::meta()];
    for CustomProfile { name, base, quota, spread, warm_up, slow_down } in custom {
        if known.iter().any(|profile| profile.name == name) {
            return Err(AccountsFileError::SameProfile(name));
        }
        let mut profile = match base {
            None => Profile {
                name: name.clone(),
                quotas: Vec::new(),
                spread: None,
                warm_up: None,
                slow_down: SlowDown::default(),
            },
            Some(base) => match known.iter().find(|profile| profile.name == base) {
                Some(base) => Profile { name: name.clone(), ..base.clone() },
                None => return Err(AccountsFileError::NoBase(name, base)),
            },
        };
        for quota in quota {
            match profile.quotas.iter_mut().find(|known| known.id == quota.id) {
                Some(known) => *known = quota,
                None => profile.quotas.push(quota),
            }
        }
        profile.spread = spread.or(profile.spread);
        profile.warm_up = warm_up.or(profile.warm_up);
        profile.slow_down = slow_down.unwrap_or(profile.slow_down);
        if let Err(error) = profile.validate() {
            return Err(AccountsFileError::Profile(name, error));
        }
        known.push(profile);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use spillway_core::quota::Tier;

    use super::*;

    const GOOD: &str = r#"[[profile]]
name = "agency"
base = "careful"

[[profile.quota]]
id = "calls_hour"
actions = ["private_reply", "live_reply", "read"]
unit = "calls"
window = "1h"
limit = 150

[[account]]
id = "17841400000000001"
profile = "agency"
terms = { tier = 2, time_zone = "Europe/Berlin", day_starts = "09:30" }

[[account.campaign]]
id = "guide"
keywords = ["guide"]
messages = ["Hi {username|there}!", "Hello {username|there}!"]
"#;

    fn error(text: &str) -> String {
        parse(text, &Profile::careful()).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_of_the_file_replaces_rows_of_its_base() {
        let accounts = parse(GOOD, &Profile::careful()).unwrap();
        let profile = accounts[0].rules.profile();
        assert_eq!(profile.quotas.len(), Profile::careful().quotas.len());
        assert_eq!(profile.quotas[0].limit.of(Tier::One).get(), 150);
        assert_eq!(profile.spread, Profile::careful().spread);
        assert_eq!(accounts[0].rules.terms().tier, Tier::Two);
        let without = GOOD.replace("profile = \"agency\"\n", "");
        let accounts = parse(&without, &Profile::meta()).unwrap();
        assert_eq!(accounts[0].rules.profile(), &Profile::meta());
    }

    #[test]
    fn a_broken_file_is_refused_with_line_and_reason() {
        let line = |from: &str, to: &str, line: u32, reason: &str| {
            let message = error(&GOOD.replace(from, to));
            assert!(
                message.contains(&format!("line {line}")) && message.contains(reason),
                "{message}"
            );
        };
        line("{username|there}!\",", "{user}!\",", 20, "`{user}` is not known");
        line("\"17841400000000001\"", "17841400000000001", 13, "");
        line("keywords", "keyword", 19, "keyword");
        line("limit = 150", "limit = 0", 10, "a number above 0");
        line("\"1h\"", "\"soon\"", 9, "is not a length of time");
        line("Europe/Berlin", "Berlin", 15, "is not a time zone");
        line("tier = 2", "tier = 4", 15, "1, 2 or 3");
        assert!(error("").contains("no [[account]]"));
        let (profiles, account) = GOOD.split_once("[[account]]").unwrap();
        let twice = format!("{GOOD}\n[[account]]{account}");
        assert!(error(&twice).contains("stands twice"));
        assert!(error(&format!("{profiles}{GOOD}")).contains("two profiles `agency`"));
        let message = error(&GOOD.replace("calls_hour", &"x".repeat(40)));
        assert!(message.contains("profile `agency`") && message.contains("32 bytes"), "{message}");
        let message = error(&GOOD.replace("profile = \"agency\"", "profile = \"mine\""));
        assert!(message.contains("no profile `mine`"), "{message}");
        let message = error(&GOOD.replace("base = \"careful\"", "base = \"bold\""));
        assert!(message.contains("no profile `bold`"), "{message}");
    }
}
