//! Profiles and tiers as the command line names them.

use std::path::Path;

use anyhow::{Context, Result};
use spillway_core::profile::Profile;
use spillway_core::quota::Tier;
use spillway_service::accounts_file;

use crate::text_file;

/// Reads a tier.
pub(crate) fn tier(text: &str) -> Result<Tier, String> {
    let number: u8 = text.parse().map_err(|_| "a tier is 1, 2 or 3".to_owned())?;
    Tier::try_from(number).map_err(|error| error.to_string())
}

/// The profile `name`: one that comes with Spillway, or one of the file.
pub(crate) fn profile(name: &str, file: Option<&Path>) -> Result<Profile> {
    let profiles = match file {
        None => vec![Profile::careful(), Profile::meta()],
        Some(path) => {
            let (text, shown) = text_file::read(path)?;
            accounts_file::parse_profiles(&text).with_context(|| format!("{shown} is refused"))?
        }
    };
    let names: Vec<_> = profiles.iter().map(|profile| profile.name.clone()).collect();
    let found = profiles.into_iter().find(|profile| profile.name == name);
    found.with_context(|| format!("there is no profile `{name}`: there are {}", names.join(", ")))
}
