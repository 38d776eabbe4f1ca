//! What a file sets for an account's conversations: every rule that its words break.

use spillway_core::campaign::Campaign;
use spillway_core::content::{Disclosure, Fault};
use spillway_core::conversation::Command;
use spillway_core::keyword::Keyword;

use super::mistake::{Mistakes, Reason};
use super::tree::Place;
use crate::conversation_settings::{
    LEADS_FORS, NewConversationSettings, TAKEOVERS, WORD_CHARS_MAX, WORDS_MAX, built_in,
};

/// Checks the settings of an account, and the answers of its campaigns against them.
pub(super) fn check(
    settings: &NewConversationSettings,
    campaigns: &[Campaign],
    place: Place<'_>,
    mistakes: &mut Mistakes<'_>,
) {
    let mut seen: Vec<(Keyword, Command)> = Vec::new();
    for (field, words, command) in [
        ("stop_words", &settings.stop_words, Command::Stop),
        ("start_words", &settings.start_words, Command::Start),
    ] {
        let Some(words) = words else { continue };
        let place = place.field(field);
        if words.len() > WORDS_MAX {
            mistakes.add(place.span(), Reason::ManyWords(field, words.len()));
        }
        for (word, span) in place.texts() {
            let folded = Keyword::new(word);
            let known = seen.iter().find(|(known, _)| *known == folded).map(|(_, of)| *of);
            if folded.is_empty() {
                mistakes.add(span, Reason::EmptyWord);
            } else if word.chars().count() > WORD_CHARS_MAX {
                mistakes.add(span, Reason::LongWord(word.to_owned()));
            } else if known == Some(command) {
                mistakes.add(span, Reason::SameKeyword(word.to_owned()));
            } else if known.or(built_in(word)).is_some_and(|other| other != command) {
                mistakes.add(span, Reason::BothCommands(word.to_owned()));
            } else if command == Command::Stop && is_answer(word, campaigns) {
                mistakes.add(span, Reason::StopIsAnswer(word.to_owned()));
            }
            seen.push((folded, command));
        }
    }
    if settings.takeover.is_some_and(|takeover| !TAKEOVERS.contains(&takeover)) {
        mistakes.add(place.field("takeover").span(), Reason::Takeover);
    }
    if settings.leads_for.is_some_and(|span| !LEADS_FORS.contains(&span)) {
        mistakes.add(place.field("leads_for").span(), Reason::LeadsFor);
    }
}

/// Reads the disclosure of an account, and checks the messages of its campaigns behind it. `None` if
/// the file names none.
pub(super) fn disclosure(
    text: Option<&str>,
    campaigns: &[(&Campaign, Place<'_>)],
    place: Place<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Option<Disclosure>> {
    let text = text?;
    if text.is_empty() {
        return Some(None);
    }
    let disclosure = match Disclosure::parse(text) {
        Ok(disclosure) => disclosure,
        Err(error) => {
            mistakes.add(place.field("disclosure").span(), error);
            return None;
        }
    };
    for (campaign, place) in campaigns {
        for Fault { path, error } in campaign.faults_behind(&disclosure) {
            let (value, table) = place.along(&path);
            let spans = [value, table, *place].map(Place::span);
            let span = spans.into_iter().find(|span| !span.is_empty());
            mistakes.add(span.unwrap_or_default(), error);
        }
    }
    Some(Some(disclosure))
}

/// Whether a campaign asks for the word as an answer.
fn is_answer(word: &str, campaigns: &[Campaign]) -> bool {
    let word = Keyword::new(word);
    let then = campaigns.iter().filter_map(|campaign| campaign.then.as_ref());
    then.flat_map(|then| &then.answer).any(|answer| Keyword::new(answer) == word)
}
