//! What an account sets for its conversations: its own words for STOP and START beside those of
//! twenty languages, for how long a human's message keeps the automation out of a thread, for how
//! long e-mail addresses are kept, and its disclosure.

use std::ops::RangeInclusive;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spillway_core::content::Disclosure;
use spillway_core::conversation::{Command, Settings, StopWords, TAKEOVER};
use spillway_core::span;

/// The most words of one list.
pub const WORDS_MAX: usize = 50;

/// The longest word, in characters.
pub const WORD_CHARS_MAX: usize = 64;

/// The shortest and the longest takeover.
pub const TAKEOVERS: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600);

/// The settings of an account, as they are stored. One that has set nothing has none stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConversationSettings {
    /// Words that end everything for the person who writes them, beside the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_words: Vec<String>,
    /// Words that restart everything, beside the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start_words: Vec<String>,
    /// For how long a human's message keeps the automation out of a thread.
    #[serde(default = "takeover", skip_serializing_if = "is_takeover", with = "span")]
    pub takeover: Duration,
    /// For how long e-mail addresses are kept that people gave.
    #[serde(default = "leads_for", skip_serializing_if = "is_leads_for", with = "span")]
    pub leads_for: Duration,
    /// What is put before the first message to a person, after a lapse and after a takeover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<Disclosure>,
    /// The same, ready to be used.
    #[serde(skip)]
    ready: OnceLock<Settings>,
}

/// For how long e-mail addresses are kept, where the account does not say.
pub const LEADS_FOR: Duration = Duration::from_secs(400 * 24 * 3600);

/// The shortest and the longest time for which e-mail addresses are kept.
pub const LEADS_FORS: RangeInclusive<Duration> =
    Duration::from_secs(24 * 3600)..=Duration::from_secs(1100 * 24 * 3600);

const fn leads_for() -> Duration {
    LEADS_FOR
}

fn is_leads_for(span: &Duration) -> bool {
    *span == LEADS_FOR
}

const fn takeover() -> Duration {
    TAKEOVER
}

fn is_takeover(span: &Duration) -> bool {
    *span == TAKEOVER
}

impl ConversationSettings {
    /// Makes the settings of these words and this takeover. Addresses are kept for [`LEADS_FOR`], and
    /// there is no disclosure.
    pub fn new(stop_words: Vec<String>, start_words: Vec<String>, takeover: Duration) -> Self {
        let (leads_for, disclosure, ready) = (LEADS_FOR, None, OnceLock::new());
        Self { stop_words, start_words, takeover, leads_for, disclosure, ready }
    }

    /// Returns the settings with this disclosure, or none.
    #[must_use]
    pub fn with_disclosure(self, disclosure: Option<Disclosure>) -> Self {
        Self { disclosure, ..self }
    }

    /// Returns the settings as conversations are decided by them.
    pub fn ready(&self) -> &Settings {
        static BUILT_IN: LazyLock<Settings> = LazyLock::new(Settings::default);
        if *self == Self::default() {
            return &BUILT_IN;
        }
        self.ready.get_or_init(|| Settings {
            stop_words: StopWords::with(&self.stop_words, &self.start_words),
            takeover: self.takeover,
        })
    }

    /// Returns roughly the heap bytes that it takes: the built-in words are in each list.
    pub(crate) fn heap_bytes(&self) -> usize {
        const READY: usize = 16 << 10;
        if *self == Self::default() { 0 } else { READY }
    }
}

impl Default for ConversationSettings {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new(), TAKEOVER)
    }
}

impl PartialEq for ConversationSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self { stop_words, start_words, takeover, leads_for, disclosure, ready: _ } = self;
        *stop_words == other.stop_words
            && *start_words == other.start_words
            && *takeover == other.takeover
            && *leads_for == other.leads_for
            && *disclosure == other.disclosure
    }
}

impl Eq for ConversationSettings {}

/// New settings, as a file says them: what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewConversationSettings {
    /// The words that end everything.
    pub stop_words: Option<Vec<String>>,
    /// The words that restart everything.
    pub start_words: Option<Vec<String>>,
    /// The takeover.
    pub takeover: Option<Duration>,
    /// For how long e-mail addresses are kept.
    pub leads_for: Option<Duration>,
    /// The disclosure; `Some(None)` for none.
    pub disclosure: Option<Option<Disclosure>>,
}

impl NewConversationSettings {
    /// Returns the settings that follow from `stored`.
    pub fn over(&self, stored: &ConversationSettings) -> ConversationSettings {
        let Self { stop_words, start_words, takeover, leads_for, disclosure } = self;
        ConversationSettings {
            leads_for: leads_for.unwrap_or(stored.leads_for),
            disclosure: disclosure.as_ref().unwrap_or(&stored.disclosure).clone(),
            ..ConversationSettings::new(
                stop_words.as_ref().unwrap_or(&stored.stop_words).clone(),
                start_words.as_ref().unwrap_or(&stored.start_words).clone(),
                takeover.unwrap_or(stored.takeover),
            )
        }
    }
}

/// Returns what a word does whatever an account sets, if it does anything.
pub fn built_in(word: &str) -> Option<Command> {
    ConversationSettings::default().ready().stop_words.command(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_words_are_added_to_the_built_in_ones() {
        let own = ConversationSettings::new(vec!["basta".into()], Vec::new(), TAKEOVER);
        let command = |word: &str| own.ready().stop_words.command(word);
        assert_eq!(
            (command("Basta!"), command("stop")),
            (Some(Command::Stop), Some(Command::Stop))
        );
        assert_eq!(built_in("basta"), None);
        assert_eq!(built_in("START"), Some(Command::Start));
    }

    #[test]
    fn what_is_the_default_is_not_stored() {
        let none = ConversationSettings::default();
        assert_eq!(serde_json::to_value(&none).unwrap(), json!({}));
        let takeover = Duration::from_secs(3600);
        let some = ConversationSettings::new(vec!["basta".into()], Vec::new(), takeover);
        let stored = json!({ "stop_words": ["basta"], "takeover": "1h" });
        assert_eq!(serde_json::to_value(&some).unwrap(), stored);
        assert_eq!(serde_json::from_value::<ConversationSettings>(stored).unwrap(), some);
        let disclosure = Disclosure::parse("I am a bot.").ok();
        let some = ConversationSettings { disclosure, ..none };
        let stored = json!({ "disclosure": "I am a bot." });
        assert_eq!(serde_json::to_value(&some).unwrap(), stored);
        assert_eq!(serde_json::from_value::<ConversationSettings>(stored).unwrap(), some);
    }

    #[test]
    fn what_a_file_does_not_name_stays() {
        let stored = ConversationSettings::new(vec!["basta".into()], Vec::new(), TAKEOVER);
        let takeover = Some(Duration::from_secs(60));
        let new = NewConversationSettings { takeover, ..Default::default() };
        assert_eq!(new.over(&stored).stop_words, ["basta"]);
        let none = NewConversationSettings { stop_words: Some(Vec::new()), ..Default::default() };
        assert_eq!(none.over(&stored), ConversationSettings::default());
        let disclosure = Disclosure::parse("I am a bot.").ok();
        let stored = ConversationSettings { disclosure: disclosure.clone(), ..stored };
        assert_eq!(new.over(&stored).disclosure, disclosure);
        let none = NewConversationSettings { disclosure: Some(None), ..Default::default() };
        assert_eq!(none.over(&stored).disclosure, None);
    }
}
