//! Profiles and tiers as the command line names them.

use std::path::Path;

use anyhow::Result;
use spillway_core::profile::Profile;
use spillway_core::quota::Tier;
use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;
use spillway_service::accounts_file::{self, NewAccount};

use crate::campaign::refuse;
use crate::exit::WrongUsage;
use crate::output::note;
use crate::text_file;

/// Reads a tier.
pub(crate) fn tier(text: &str) -> Result<Tier, String> {
    let number: u8 = text.parse().map_err(|_| "a tier is 1, 2 or 3".to_owned())?;
    Tier::try_from(number).map_err(|error| error.to_string())
}

/// Says on standard error what may surprise the writers of these limits.
pub(crate) fn say_notes<'a>(rules: impl IntoIterator<Item = &'a Rules>) {
    accounts_file::limit_notes(rules).iter().for_each(note);
}

/// Says on standard error what may surprise the writers of these campaigns.
pub(crate) fn say_campaign_notes<'a>(
    accounts: impl IntoIterator<Item = &'a NewAccount>,
    now: Timestamp,
) {
    accounts_file::campaign_notes(accounts, now).iter().for_each(note);
}

/// The profile `name`: one that comes with Spillway, or one of the file.
pub(crate) fn profile(name: &str, file: Option<&Path>) -> Result<Profile> {
    let profiles = match file {
        None => vec![Profile::careful(), Profile::meta()],
        Some(path) => {
            let (text, shown) = text_file::read(path)?;
            accounts_file::parse_profiles(&text).map_err(|error| refuse(&shown, &text, &error))?
        }
    };
    let names: Vec<_> = profiles.iter().map(|profile| profile.name.clone()).collect();
    let found = profiles.into_iter().find(|profile| profile.name == name);
    let wrong =
        || format!("--profile `{name}`: there is no such profile: there are {}", names.join(", "));
    Ok(found.ok_or_else(|| WrongUsage(wrong()))?)
}
