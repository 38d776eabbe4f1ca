//! Configuration from environment variables, read once; everything that is wrong is reported at
//! once.

use std::fmt;

use spillway_core::content::LINK_BASE_BYTES_MAX;
use spillway_core::unknown::RetryUnknown;
use spillway_meta::graph::GraphConfig;
use spillway_service::ingest::EntryKeys;
use spillway_service::misses::MissSamples;

/// Where a deployment's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `SPILLWAY_SENDS_TABLE`.
    pub sends_table: String,
    /// `SPILLWAY_STATE_TABLE`.
    pub state_table: String,
    /// `SPILLWAY_SEND_QUEUE_URL`.
    pub send_queue_url: String,
    /// `SPILLWAY_DEAD_LETTER_QUEUE_URL`.
    pub dead_letter_queue_url: String,
    /// `SPILLWAY_RELEASE_QUEUE_URL`.
    pub release_queue_url: String,
    /// `SPILLWAY_SECRET_ID`: the name or ARN of the secret in Secrets Manager.
    pub secret_id: String,
    /// `SPILLWAY_KMS_KEY`: the ARN of the KMS key that data keys are encrypted under.
    pub kms_key: String,
    /// `SPILLWAY_STACK`: the deployment's name, which metrics are counted under.
    pub stack: String,
    /// `SPILLWAY_ENTRY_KEYS`: `comment` by default, then `both`, then `person`.
    pub entry_keys: EntryKeys,
    /// `SPILLWAY_RETRY_UNKNOWN`, 0 or 1: how often a DM is repeated that was shown not to have
    /// arrived; once by default. It is one for all accounts, since it is about what Meta does.
    pub retry_unknown: RetryUnknown,
    /// `SPILLWAY_MISS_SAMPLES`: whether samples of comments that match nothing are kept; `on` by
    /// default, else `off`. It is one for all accounts, so that it needs no stored form and holds
    /// at once: whether people's words are kept is up to who runs the deployment.
    pub miss_samples: MissSamples,
    /// `SPILLWAY_LINK_URL`: what tracked links begin with; none where the deployment has none. It ends
    /// in a slash, which is added where it is missing.
    pub link_url: Option<String>,
    /// `SPILLWAY_LINK_SECRET_ID`: the name or ARN of the secret with the keys of tracked links.
    pub link_secret_id: Option<String>,
    /// `SPILLWAY_LEAD_BUS`: the ARN of the event bus that leads are told on; none where the deployment
    /// has none.
    pub lead_bus: Option<String>,
    /// `SPILLWAY_GRAPH_URL` and `SPILLWAY_GRAPH_VERSION`; Meta's own by default.
    pub graph: GraphConfig,
}

/// Variables that are missing, empty or mistaken, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Name and meaning of each.
    pub missing: Vec<(&'static str, &'static str)>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set these environment variables (template.yaml does):")?;
        for (name, meaning) in &self.missing {
            write!(f, "\n  {name}: {meaning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The version of the Graph API that calls name. Current since 29 July 2026.
pub const GRAPH_VERSION: &str = "v26.0";

/// Meta's host for accounts connected by Instagram Login.
pub const GRAPH_URL: &str = "https://graph.instagram.com";

impl Config {
    /// Reads the configuration through `get`, which gives a variable's value.
    ///
    /// # Errors
    /// Names every variable that is missing or empty.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut missing = Vec::new();
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let entry_keys = get("SPILLWAY_ENTRY_KEYS");
        let known = EntryKeys::ALL.into_iter().find(|keys| {
            entry_keys.as_deref().unwrap_or(EntryKeys::default().as_str()) == keys.as_str()
        });
        if known.is_none() {
            missing.push(("SPILLWAY_ENTRY_KEYS", "`comment`, `both` or `person`"));
        }
        let link_url =
            get("SPILLWAY_LINK_URL").map(|url| format!("{}/", url.trim_end_matches('/')));
        if link_url.as_ref().is_some_and(|url| url.len() > LINK_BASE_BYTES_MAX) {
            missing.push(("SPILLWAY_LINK_URL", "an address of at most 80 bytes"));
        }
        let mut required = |name, meaning| {
            get(name).unwrap_or_else(|| {
                missing.push((name, meaning));
                String::new()
            })
        };
        let config = Self {
            entry_keys: known.unwrap_or_default(),
            sends_table: required("SPILLWAY_SENDS_TABLE", "name of the table of sends"),
            state_table: required("SPILLWAY_STATE_TABLE", "name of the table of accounts' state"),
            send_queue_url: required("SPILLWAY_SEND_QUEUE_URL", "URL of the queue of sends"),
            dead_letter_queue_url: required(
                "SPILLWAY_DEAD_LETTER_QUEUE_URL",
                "URL of that queue's dead-letter queue",
            ),
            release_queue_url: required(
                "SPILLWAY_RELEASE_QUEUE_URL",
                "URL of the queue of accounts to release",
            ),
            secret_id: required("SPILLWAY_SECRET_ID", "name or ARN of the secret"),
            kms_key: required("SPILLWAY_KMS_KEY", "ARN of the KMS key of the deployment"),
            stack: required("SPILLWAY_STACK", "name that metrics are counted under"),
            retry_unknown: match get("SPILLWAY_RETRY_UNKNOWN") {
                None => RetryUnknown::default(),
                // What is not understood must not make a surplus DM.
                Some(text) => RetryUnknown::parse(&text).unwrap_or(RetryUnknown::Never),
            },
            miss_samples: match get("SPILLWAY_MISS_SAMPLES").as_deref() {
                None | Some("on") => MissSamples::Kept,
                // What is not understood must not keep anybody's words.
                Some(_) => MissSamples::Off,
            },
            link_url,
            link_secret_id: get("SPILLWAY_LINK_SECRET_ID"),
            lead_bus: get("SPILLWAY_LEAD_BUS"),
            graph: GraphConfig {
                base_url: get("SPILLWAY_GRAPH_URL").unwrap_or_else(|| GRAPH_URL.into()),
                version: get("SPILLWAY_GRAPH_VERSION").unwrap_or_else(|| GRAPH_VERSION.into()),
            },
        };
        if missing.is_empty() { Ok(config) } else { Err(ConfigError { missing }) }
    }

    /// Reads the process's environment.
    ///
    /// # Errors
    /// Names every variable that is missing or empty.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let error =
            Config::read(|name| (name == "SPILLWAY_SENDS_TABLE").then(|| "sends".to_owned()))
                .unwrap_err();
        let names: Vec<_> = error.missing.iter().map(|&(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "SPILLWAY_STATE_TABLE",
                "SPILLWAY_SEND_QUEUE_URL",
                "SPILLWAY_DEAD_LETTER_QUEUE_URL",
                "SPILLWAY_RELEASE_QUEUE_URL",
                "SPILLWAY_SECRET_ID",
                "SPILLWAY_KMS_KEY",
                "SPILLWAY_STACK",
            ]
        );
        assert!(error.to_string().contains("\n  SPILLWAY_SECRET_ID: name or ARN of the secret"));
    }

    #[test]
    fn a_repeat_is_allowed_unless_it_is_turned_off_or_not_understood() {
        let of = |value: Option<&'static str>| {
            let get = |name: &str| match name {
                "SPILLWAY_RETRY_UNKNOWN" => value.map(str::to_owned),
                "SPILLWAY_ENTRY_KEYS" => None,
                name => Some(name.to_lowercase()),
            };
            Config::read(get).unwrap().retry_unknown
        };
        assert_eq!([of(None), of(Some("1"))], [RetryUnknown::Once; 2]);
        assert_eq!([of(Some("0")), of(Some("2")), of(Some("yes"))], [RetryUnknown::Never; 3]);
    }

    #[test]
    fn samples_are_kept_unless_they_are_turned_off_or_not_understood() {
        let of = |value: Option<&'static str>| {
            let get = |name: &str| match name {
                "SPILLWAY_MISS_SAMPLES" => value.map(str::to_owned),
                "SPILLWAY_ENTRY_KEYS" => None,
                name => Some(name.to_lowercase()),
            };
            Config::read(get).unwrap().miss_samples
        };
        assert_eq!([of(None), of(Some("on"))], [MissSamples::Kept; 2]);
        assert_eq!([of(Some("off")), of(Some("no"))], [MissSamples::Off; 2]);
    }

    #[test]
    fn keys_of_entries_are_one_of_three() {
        let of = |value: &'static str| {
            Config::read(|name| match name {
                "SPILLWAY_ENTRY_KEYS" => Some(value.to_owned()),
                name => Some(name.to_lowercase()),
            })
        };
        for keys in EntryKeys::ALL {
            assert_eq!(of(keys.as_str()).unwrap().entry_keys, keys);
        }
        let error = of("people").unwrap_err();
        assert_eq!(error.missing, [("SPILLWAY_ENTRY_KEYS", "`comment`, `both` or `person`")]);
    }

    #[test]
    fn links_are_off_unless_they_are_named() {
        let of = |value: Option<String>| {
            Config::read(|name| match name {
                "SPILLWAY_LINK_URL" | "SPILLWAY_LINK_SECRET_ID" => value.clone(),
                "SPILLWAY_ENTRY_KEYS" => None,
                name => Some(name.to_lowercase()),
            })
        };
        let off = of(Some(" ".into())).unwrap();
        assert_eq!((off.link_url, off.link_secret_id), (None, None));
        for url in ["https://go.example", "https://go.example/"] {
            let on = of(Some(url.into())).unwrap().link_url;
            assert_eq!(on.as_deref(), Some("https://go.example/"));
        }
        let long = format!("https://{}.example/", "x".repeat(64));
        let error = of(Some(long)).unwrap_err();
        assert_eq!(error.missing, [("SPILLWAY_LINK_URL", "an address of at most 80 bytes")]);
    }

    #[test]
    fn meta_is_the_default() {
        let has_default =
            |name: &str| name.starts_with("SPILLWAY_GRAPH") || name == "SPILLWAY_ENTRY_KEYS";
        let config =
            Config::read(|name| (!has_default(name)).then(|| name.to_lowercase())).unwrap();
        assert_eq!(config.entry_keys, EntryKeys::Person);
        assert_eq!(config.graph.base_url, GRAPH_URL);
        assert_eq!(config.secret_id, "spillway_secret_id");
    }
}
