//! The types that a file is read into, and the JSON schema that follows from them.

use std::time::Duration;

use serde::Deserialize;
use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
#[cfg(feature = "schema")]
use spillway_core::id::DIGITS;
use spillway_core::profile::{SlowDown, Spread, WarmUp};
use spillway_core::quota::Quota;
use spillway_core::span;
use toml::Spanned;

use crate::new_limits::NewTerms;

/// Accounts, their campaigns and the limits they keep.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(title = "Spillway accounts file", extend("required" = ["account"]))
)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Profiles beside those that come with Spillway.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<CustomProfile>"))]
    pub(super) profile: Vec<Spanned<CustomProfile>>,
    /// The accounts.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Entry>", length(min = 1)))]
    pub(super) account: Vec<Spanned<Entry>>,
}

/// A profile of the file: a base with some parts replaced.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Profile"))]
#[serde(deny_unknown_fields)]
pub(super) struct CustomProfile {
    /// Its name.
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = r"\S")))]
    pub(super) name: Spanned<String>,
    /// The base. Without one, the profile starts empty.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(super) base: Option<Spanned<String>>,
    /// Rows to add, or to replace those of the same name.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Quota>", length(max = 12)))]
    pub(super) quota: Vec<Spanned<Quota>>,
    /// How the day's DMs are spread.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Spread>"))]
    pub(super) spread: Option<Spanned<Spread>>,
    /// How a new account begins.
    #[cfg_attr(feature = "schema", schemars(with = "Option<WarmUp>"))]
    pub(super) warm_up: Option<Spanned<WarmUp>>,
    /// At which reported usage the account slows down and stops.
    #[cfg_attr(feature = "schema", schemars(with = "Option<SlowDown>"))]
    pub(super) slow_down: Option<Spanned<SlowDown>>,
}

/// An account, its limits and its campaigns.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Account"))]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The account's id as webhooks name it (`user_id`).
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = DIGITS)))]
    pub(super) id: Spanned<AccountId>,
    /// `careful`, `meta` or the name of a `[[profile]]`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(super) profile: Option<Spanned<String>>,
    /// What applies to this account, whatever its profile.
    #[serde(default)]
    pub(super) terms: NewTerms,
    /// Words by which a person ends everything for them, beside the built-in ones of twenty languages;
    /// at most 50.
    #[cfg_attr(feature = "schema", schemars(length(max = 50), transform = words))]
    pub(super) stop_words: Option<Vec<String>>,
    /// Words by which a person restarts everything for them, beside the built-in ones; at most 50.
    #[cfg_attr(feature = "schema", schemars(length(max = 50), transform = words))]
    pub(super) start_words: Option<Vec<String>>,
    /// For how long a human's message keeps Spillway out of a thread, from a minute to 30 days, such
    /// as `12h`, which is the default.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(super) takeover: Option<Span>,
    /// For how long e-mail addresses are kept that people gave, from a day to 1100 days, such as `400d`,
    /// which is the default.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(super) leads_for: Option<Span>,
    /// What is put before the first message to a person, the first in seven days, and the first after a
    /// human had the thread: at most 300 bytes, such as `Automated message`. `""` is none, which is the
    /// default.
    #[cfg_attr(feature = "schema", schemars(length(max = 300)))]
    pub(super) disclosure: Option<String>,
    /// Its campaigns.
    #[serde(default)]
    pub(super) campaign: Vec<Campaign>,
}

/// A span, as text.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Span(#[serde(deserialize_with = "span::deserialize")] pub(super) Duration);

/// Describes a list of different words.
#[cfg(feature = "schema")]
fn words(list: &mut schemars::Schema) {
    list.insert("uniqueItems".into(), true.into());
    let word = schemars::json_schema!({ "type": "string", "pattern": r"\S", "maxLength": 64 });
    list.insert("items".into(), word.into());
}

/// Returns the JSON schema of an accounts file. It follows from the types that the file is read
/// into, and refuses what it can of what [`parse`](super::parse) refuses.
#[cfg(feature = "schema")]
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<File>()
        .to_value()
}
