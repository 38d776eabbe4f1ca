//! The campaigns of an account in a file: every rule that one of them, or two together, break.

use std::collections::HashSet;
use std::ops::Range;

use spillway_core::campaign::{
    Campaign, CampaignError, CommentTextError, NEXT_POST, Overflow, TriggerFault,
    check_comment_text,
};
use spillway_core::content::Fault;
use spillway_core::conversation::Then;
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::keyword::{Comment, Keyword};
use spillway_core::message::{Template, VALUE_BYTES_MAX};
use spillway_core::once::OncePer;

use super::is_number;
use super::mistake::{Mistakes, Reason};
use super::tree::{Place, Tree};
use super::wording::is_invisible;

/// The most characters of a campaign's name.
const CAMPAIGN_ID_CHARS_MAX: usize = 64;

/// Checks the campaigns of an account. Returns those that are sound.
pub(super) fn read<'t>(
    account: &AccountId,
    entries: impl Iterator<Item = (Campaign, Place<'t>)>,
    tree: &Tree<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Campaign> {
    let mut campaigns: Vec<Campaign> = Vec::new();
    let mut ids = HashSet::new();
    for (campaign, place) in entries {
        let id = campaign.id.clone();
        let id_span = place.field("id").span();
        // One that is missing has no place in the file, and was said to be missing.
        let mut is_repeated = false;
        if !id_span.is_empty() {
            if let Some(reason) = odd_id(&id) {
                mistakes.add(id_span, reason);
            } else if !ids.insert(id.clone()) {
                is_repeated = true;
                mistakes.add(id_span, Reason::SameCampaign(account.clone(), id.clone()));
            }
        }
        let before = mistakes.found.len();
        if place.field("keywords").is_empty_list() {
            mistakes.add(place.field("keywords").span(), Reason::NoKeywords);
        }
        check_words(&campaign, place, mistakes);
        if let Err(error) = campaign.check_period() {
            mistakes.add(place.field("ends").span(), error);
        }
        if let Err(error) = campaign.check_once_for() {
            mistakes.add(place.field("once_for").span(), error);
        }
        check_media(&campaign.media, place.field("media"), mistakes);
        let is_wounded = tree.is_wounded(&place.span());
        let faults = if is_wounded { Vec::new() } else { campaign.trigger_faults() };
        for TriggerFault { field, item, error } in faults {
            let place = place.field(field);
            let span = match item {
                // Those that are no templates are not among the campaign's.
                Some(at) if field == "messages" => {
                    let mut sound = place.texts().filter(|(text, _)| Template::parse(text).is_ok());
                    sound.nth(at).map_or(place.span(), |(_, span)| span)
                }
                Some(at) => place.item(at).span(),
                None => place.span(),
            };
            mistakes.add(span, error);
        }
        let takes = mistakes.found.len() == before && !is_wounded;
        check_messages(&campaign, place, tree, mistakes);
        check_then(&campaign, place.field("then"), tree, mistakes);
        // What it takes is not known of one that could not be read as a whole.
        if is_repeated || !takes {
            continue;
        }
        for other in &campaigns {
            let Some(word) = campaign.clash(other) else { continue };
            let (first, second) = (other.id.clone(), campaign.id.clone());
            match campaign.keywords.iter().position(|known| known == word) {
                Some(at) => {
                    let clash = Reason::Clash(first, second, word.to_owned());
                    mistakes.add(place.field("keywords").item(at).span(), clash);
                }
                None => mistakes.add(place.span(), Reason::BothTakeAll(first, second)),
            }
        }
        // What is the default where it may be said is stored as before it could be said.
        let once_per = campaign.once_per.filter(|per| *per != OncePer::Post);
        campaigns.push(Campaign { once_per, ..campaign });
    }
    campaigns
}

/// Returns the place of the first link of a campaign that is to be tracked, if it has any.
pub(super) fn tracked_link(campaign: Place<'_>) -> Option<Range<usize>> {
    let is_link = |text: &str| {
        let template = Template::parse_later(text);
        template.is_ok_and(|template| template.has_tracked_link())
    };
    let fields = ["messages", "then"].into_iter();
    fields.filter_map(|field| campaign.field(field).find_text(&is_link)).min_by_key(|at| at.start)
}

/// What is wrong with a campaign's name, if anything is.
fn odd_id(id: &CampaignId) -> Option<Reason> {
    let name = id.as_str();
    if let Some(control) = name.chars().find(|c| c.is_control()) {
        return Some(Reason::Control(control));
    }
    // Emoji and some scripts are written with joiners, variation selectors and a wide space.
    let joins = |before: Option<char>, c| {
        matches!(c, '\u{200c}' | '\u{200d}' | '\u{3000}' | '\u{fe0f}')
            && before.is_some_and(|c| !c.is_ascii())
    };
    let before = std::iter::once(None).chain(name.chars().map(Some));
    let odd = before.zip(name.chars()).find(|&(before, c)| is_invisible(c) && !joins(before, c));
    if let Some((_, invisible)) = odd {
        return Some(Reason::Invisible(invisible));
    }
    let is_odd = name.trim() != name
        || name.starts_with('-')
        || !(1..=CAMPAIGN_ID_CHARS_MAX).contains(&name.chars().count());
    is_odd.then(|| Reason::CampaignId(id.clone()))
}

fn check_words(campaign: &Campaign, place: Place<'_>, mistakes: &mut Mistakes<'_>) {
    let mut seen: Vec<(Keyword, &str)> = Vec::new();
    for (field, words) in [("keywords", &campaign.keywords), ("except", &campaign.except)] {
        for (at, word) in words.iter().enumerate() {
            let span = place.field(field).item(at).span();
            if let Some(control) = word.chars().find(|c| c.is_control()) {
                mistakes.add(span, Reason::Control(control));
                continue;
            }
            let folded = Keyword::new(word);
            if folded.is_empty() {
                mistakes.add(span, Reason::EmptyKeyword);
                continue;
            }
            match seen.iter().find(|(known, _)| *known == folded) {
                Some((_, known)) if *known == field => {
                    mistakes.add(span, Reason::SameKeyword(word.clone()));
                }
                Some(_) => mistakes.add(span, Reason::Excepted(word.clone())),
                None => seen.push((folded, field)),
            }
        }
    }
    let excepted = |keyword: &str| {
        let comment = Comment::new(keyword);
        campaign.except.iter().find(|word| comment.has(&Keyword::new(word), campaign.matching))
    };
    for (at, keyword) in campaign.keywords.iter().enumerate() {
        if let Some(word) = excepted(keyword)
            && Keyword::new(word) != Keyword::new(keyword)
        {
            let span = place.field("keywords").item(at).span();
            mistakes.add(span, Reason::ContainsException(keyword.clone(), word.clone()));
        }
    }
}

fn check_media(media: &[MediaId], place: Place<'_>, mistakes: &mut Mistakes<'_>) {
    for (at, one) in media.iter().enumerate() {
        if one.as_str() == NEXT_POST {
            if media.len() > 1 {
                mistakes.add(place.item(at).span(), Reason::NextPostAmongMedia);
            }
        } else if !is_number(one.as_str()) {
            mistakes.add(place.item(at).span(), Reason::Media(one.clone()));
        } else if media[..at].contains(one) {
            mistakes.add(place.item(at).span(), Reason::SameMedia(one.clone()));
        }
    }
}

fn check_messages(
    campaign: &Campaign,
    place: Place<'_>,
    tree: &Tree<'_>,
    mistakes: &mut Mistakes<'_>,
) {
    let (id, messages) = (&campaign.id, place.field("messages"));
    let is_wounded = tree.is_wounded(&place.span());
    let count = messages.texts().count();
    if (count == 0 && !is_wounded) || count > 255 {
        mistakes.add(messages.span(), CampaignError::Messages(id.clone()));
    }
    let mut templates = check_texts(campaign, messages, is_wounded, mistakes, |_| Ok(()));
    for (field, texts) in campaign.public_texts() {
        let place = place.field(field);
        if texts.len() > 255 {
            mistakes.add(place.span(), CampaignError::PublicTexts(id.clone(), field));
        }
        let public = check_texts(campaign, place, is_wounded, mistakes, check_comment_text);
        templates.extend(public);
    }
    let later = campaign.then.iter().flat_map(Then::templates);
    if templates.iter().chain(later).any(Template::tells_keyword) {
        for (at, keyword) in campaign.keywords.iter().enumerate() {
            if keyword.len() > VALUE_BYTES_MAX {
                let reason = Reason::LongKeyword(keyword.clone(), keyword.len());
                mistakes.add(place.field("keywords").item(at).span(), reason);
            }
        }
    }
    let has_fallback = place.field("public_fallback").texts().next().is_some();
    // One that is on no comments cannot have it.
    let is_on_comments = campaign.on.iter().any(|trigger| trigger.is_comment());
    let lacks_fallback = !has_fallback && is_on_comments && !is_wounded;
    if campaign.overflow == Overflow::PublicReply && lacks_fallback {
        mistakes.add(place.field("overflow").span(), CampaignError::PublicReply(id.clone()));
    }
}

/// Checks what follows the opening.
fn check_then(campaign: &Campaign, place: Place<'_>, tree: &Tree<'_>, mistakes: &mut Mistakes<'_>) {
    let Some(then) = &campaign.then else { return };
    for Fault { path, error } in then.faults() {
        let (value, table) = place.along(&path);
        // What is missing may be there, and was said to be unreadable.
        if error.is_lack() && tree.is_wounded(&table.span()) {
            continue;
        }
        let span = [value, table, place].map(Place::span).into_iter().find(|span| !span.is_empty());
        mistakes.add(span.unwrap_or_default(), error);
    }
    let tells = then.templates().find(|text| text.tells_keyword());
    if let Some(text) = tells.filter(|_| campaign.keywords.is_empty()) {
        let text = text.to_string();
        let span = place.find_text(&|found| found == text);
        mistakes.add(span.unwrap_or(place.span()), Reason::NoKeyword);
    }
}

/// Checks the texts of one field. Returns those that are sound.
fn check_texts(
    campaign: &Campaign,
    place: Place<'_>,
    is_wounded: bool,
    mistakes: &mut Mistakes<'_>,
    limits: fn(&Template) -> Result<(), CommentTextError>,
) -> Vec<Template> {
    let mut templates: Vec<Template> = Vec::new();
    for (text, span) in place.texts() {
        // Lines may end in either way.
        let is_odd = |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if let Some(control) = text.chars().find(is_odd) {
            mistakes.add(span.clone(), Reason::Control(control));
        }
        match Template::parse(text) {
            Ok(template)
                if template.tells_keyword() && campaign.keywords.is_empty() && !is_wounded =>
            {
                mistakes.add(span, Reason::NoKeyword);
            }
            Ok(template) if templates.contains(&template) => {
                let same = CampaignError::SameMessage(campaign.id.clone(), template.to_string());
                mistakes.add(span, same);
            }
            Ok(template) => {
                if let Err(error) = limits(&template) {
                    mistakes.add(span, CampaignError::from(error));
                }
                templates.push(template);
            }
            Err(_) => {
                let faults = Template::faults(text);
                faults.into_iter().for_each(|fault| mistakes.add(span.clone(), fault));
            }
        }
    }
    templates
}
