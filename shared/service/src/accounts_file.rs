//! Accounts files: accounts and their campaigns as people write them, in TOML.

use serde::Deserialize;
use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
use spillway_core::quota::{Profile, ProfileError, Quota};

/// An account to connect.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// Its quotas.
    pub profile: Profile,
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
    /// The quotas cannot be counted.
    #[error("account {0}: {1}")]
    Quotas(AccountId, ProfileError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: AccountId,
    #[serde(default)]
    campaign: Vec<Campaign>,
    #[serde(default)]
    quota: Vec<Quota>,
}

/// Reads a file. An account without `[[account.quota]]` gets `profile`.
///
/// # Errors
/// Says what is wrong, and in which line where that is known.
pub fn parse(text: &str, profile: &Profile) -> Result<Vec<NewAccount>, AccountsFileError> {
    let file: File = toml::from_str(text)?;
    let mut accounts: Vec<NewAccount> = Vec::new();
    for Entry { id, campaign: campaigns, quota: quotas } in file.account {
        if accounts.iter().any(|known| known.id == id) {
            return Err(AccountsFileError::SameAccount(id));
        }
        for (at, campaign) in campaigns.iter().enumerate() {
            if campaigns[..at].iter().any(|earlier| earlier.id == campaign.id) {
                return Err(AccountsFileError::SameCampaign(id, campaign.id.to_string()));
            }
        }
        let profile = match quotas.is_empty() {
            true => profile.clone(),
            false => Profile { name: "custom".into(), quotas },
        };
        if let Err(error) = profile.validate() {
            return Err(AccountsFileError::Quotas(id, error));
        }
        accounts.push(NewAccount { id, profile, campaigns });
    }
    if accounts.is_empty() { Err(AccountsFileError::Empty) } else { Ok(accounts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[[account]]
id = "17841400000000001"

[[account.campaign]]
id = "guide"
keywords = ["guide"]
messages = ["Hi {username|there}!", "Hello {username|there}!"]

[[account.quota]]
id = "calls_hour"
actions = ["private_reply", "read"]
unit = "calls"
window_ms = 3600000
limit = 150
"#;

    fn error(text: &str) -> String {
        parse(text, &Profile::careful()).unwrap_err().to_string()
    }

    #[test]
    fn quotas_of_the_file_replace_the_default_ones() {
        let accounts = parse(GOOD, &Profile::careful()).unwrap();
        assert_eq!(accounts[0].profile.quotas[0].limit.get(), 150);
        let (without, _) = GOOD.split_once("[[account.quota]]").unwrap();
        assert_eq!(parse(without, &Profile::careful()).unwrap()[0].profile, Profile::careful());
    }

    #[test]
    fn a_broken_file_is_refused_with_line_and_reason() {
        let message = error(&GOOD.replace("{username|there}!\",", "{user}!\","));
        assert!(
            message.contains("line 7") && message.contains("`{user}` is not known"),
            "{message}"
        );
        let message = error(&GOOD.replace("\"17841400000000001\"", "17841400000000001"));
        assert!(message.contains("line 2"), "{message}");
        let message = error(&GOOD.replace("keywords", "keyword"));
        assert!(message.contains("line 6") && message.contains("keyword"), "{message}");
        let message = error(&GOOD.replace("limit = 150", "limit = 0"));
        assert!(message.contains("line 14"), "{message}");
        assert!(error("").contains("no [[account]]"));
        assert!(error(&format!("{GOOD}\n{GOOD}")).contains("stands twice"));
        let message = error(&GOOD.replace("calls_hour", &"x".repeat(40)));
        assert!(message.contains("longer than 32 bytes"), "{message}");
    }
}
