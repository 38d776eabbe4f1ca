//! Accounts files: accounts, their campaigns and the limits they keep as people write them, in
//! TOML. Everything that is wrong with one is said at once, each mistake with its line.
//!
//! | module | what it is about |
//! |---|---|
//! | `encoding` | the bytes as text |
//! | `form` | the types that a file is read into |
//! | `tree` | the file as a tree, so that one unreadable value hides no other |
//! | `profiles`, `campaigns`, `conversations` | the rules beyond the types |
//! | `wording` | what is wrong with a value or with the TOML, in words |
//! | `bounds` | how much one account may have |
//! | `mistake` | what is wrong, and in which line |

mod bounds;
mod campaigns;
mod conversations;
mod encoding;
mod form;
mod mistake;
mod profiles;
mod tree;
mod wording;

use spillway_core::campaign::{Campaign, Period, Phase, Trigger};
use spillway_core::conversation::{Command, StopWords, Then, Unless};
use spillway_core::id::AccountId;
use spillway_core::message::Template;
use spillway_core::once::{ONCE_FOR, OncePer};
use spillway_core::profile::Profile;
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;

pub use self::bounds::{CAMPAIGN_BYTES_MAX, CAMPAIGNS_MAX, MEDIA_MAX, TooMuch, check_together};
pub use self::encoding::decode;
#[cfg(feature = "schema")]
pub use self::form::schema;
use self::form::{Entry, File, Span};
use self::mistake::Mistakes;
pub use self::mistake::{AccountsFileError, Mistake, Reason};
use self::tree::Tree;
pub use self::wording::is_invisible;
use crate::conversation_settings::{ConversationSettings, NewConversationSettings};
use crate::new_limits::NewLimits;

/// An account to connect.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its id, as webhooks name it.
    pub id: AccountId,
    /// The line of the file that defines it.
    pub line: usize,
    /// The limits it keeps.
    pub rules: Rules,
    /// Those of the limits that the file names.
    pub given: NewLimits,
    /// What the file says of its conversations.
    pub conversations: NewConversationSettings,
    /// Its campaigns.
    pub campaigns: Vec<Campaign>,
    /// The line of the file with the first tracked link of each campaign that has one.
    pub tracked_links: Vec<usize>,
}

/// Returns a mistake for each campaign that has links to be tracked, where the deployment tracks none.
pub fn links_without_deployment<'a>(
    accounts: impl IntoIterator<Item = &'a NewAccount>,
) -> Vec<Mistake> {
    let lines = accounts.into_iter().flat_map(|account| &account.tracked_links);
    lines.map(|&line| Mistake { line, reason: Reason::LinksOff }).collect()
}

/// Returns what may surprise the writers of these limits: figures above Meta's, and rows that never
/// bind. It is the same wherever a file is read, and said once for each profile and tier.
pub fn limit_notes<'a>(rules: impl IntoIterator<Item = &'a Rules>) -> Vec<String> {
    let mut notes = Vec::new();
    for rules in rules {
        let (profile, tier) = (rules.profile(), rules.terms().tier);
        for warning in profile.warnings(tier) {
            let note = format!("profile `{}`, tier {}: {warning}", profile.name, u8::from(tier));
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// Returns what may surprise the writers of these campaigns as of `now`: those that are over, figures
/// that have no effect, and keywords that no campaign sees.
pub fn campaign_notes<'a>(
    accounts: impl IntoIterator<Item = &'a NewAccount>,
    now: Timestamp,
) -> Vec<String> {
    let mut notes = Vec::new();
    for account in accounts {
        let zone = &account.rules.terms().time_zone;
        let conversations = account.conversations.over(&ConversationSettings::default());
        let words = &conversations.ready().stop_words;
        for campaign in &account.campaigns {
            let id = &campaign.id;
            let period = Period::new(campaign.starts.as_ref(), campaign.ends.as_ref(), zone);
            if let Some(ends) = campaign.ends.as_ref().filter(|_| period.phase(now) == Phase::Over)
            {
                notes.push(format!(
                    "campaign `{id}` is over since its `ends`, {ends}: it answers nothing"
                ));
            }
            if let Some(note) = ends_everything(campaign, words) {
                notes.push(note);
            }
            let counts = |trigger: &Trigger| campaign.once(*trigger).per != OncePer::Comment;
            let waits_for_click = |then: &Then| {
                let mut follow_ups = then.follow_up.iter();
                follow_ups.any(|follow_up| follow_up.unless == Unless::Clicked)
            };
            if campaign.then.as_ref().is_some_and(waits_for_click) && !campaign.has_tracked_link() {
                notes.push(format!(
                    "campaign `{id}`: `unless = \"clicked\"` has no effect without a link such as \
                     `{{link:https://example.com/guide}}` in its messages"
                ));
            }
            let is_once = campaign.once_per == Some(OncePer::Campaign);
            if campaign.once_for != ONCE_FOR && !is_once && !campaign.on.iter().any(counts) {
                notes.push(format!(
                    "campaign `{id}`: `once_for` has no effect, since each event is answered: write \
                     `once_per = \"campaign\"` for one DM in that time, or remove it"
                ));
            }
        }
    }
    notes
}

/// Says which keyword a campaign never sees in a message, because it is a word by which people end
/// or restart everything.
fn ends_everything(campaign: &Campaign, words: &StopWords) -> Option<String> {
    let is_told = |trigger: &&Trigger| matches!(trigger, Trigger::Message | Trigger::StoryReply);
    let trigger = campaign.on.iter().find(is_told)?;
    let mut keywords = campaign.keywords.iter();
    let (keyword, command) =
        keywords.find_map(|keyword| Some((keyword, words.command(keyword)?)))?;
    let effect = match command {
        Command::Stop => "ends everything for the person, until they write START",
        Command::Start => "restarts everything for a person who wrote STOP",
    };
    Some(format!(
        "campaign `{}`: a {} «{keyword}» {effect}, and the campaign never answers it: choose another \
         keyword",
        campaign.id,
        trigger.noun()
    ))
}

impl NewAccount {
    /// Returns its limits if the file says any figure of them: a profile or a tier.
    pub fn named_limits(&self) -> Option<&Rules> {
        let is_named = self.given.profile.is_some() || self.given.terms.tier.is_some();
        is_named.then_some(&self.rules)
    }
}

/// The most mistakes that are reported: each costs another look at the file.
const MISTAKES_MAX: usize = 100;

/// Returns what a file says, and where it says it. What cannot be read of it is a mistake, and
/// missing; so are texts that are no templates, which get their mistakes later.
fn read(text: &str) -> Result<(File, Tree<'_>, Mistakes<'_>), AccountsFileError> {
    let mut mistakes = Mistakes { text, found: Vec::new() };
    let mut tree = match Tree::parse(text) {
        Ok(tree) => tree,
        Err(errors) => {
            match other_format(text) {
                Some(format) => mistakes.add(0..0, Reason::OtherFormat(format)),
                None => mistakes.add_syntax(&errors),
            }
            return Err(mistakes.refused());
        }
    };
    while let Some(fault) = tree.take_out_odd() {
        mistakes.add_fault(fault);
    }
    loop {
        let mut sound = tree.clone();
        sound.retain_texts(|text| Template::parse(text).is_ok());
        let error = match sound.read() {
            Ok(file) => return Ok((file, tree, mistakes)),
            Err(error) => error,
        };
        match tree.take_out(&error) {
            Some(fault) if mistakes.found.len() < MISTAKES_MAX => mistakes.add_fault(fault),
            Some(_) => {
                mistakes.add(text.len()..text.len(), Reason::More(MISTAKES_MAX));
                return Err(mistakes.refused());
            }
            None => {
                let message = error.message().replace('\n', ", ");
                mistakes.add(error.span().unwrap_or(0..0), Reason::Toml(message));
                return Err(mistakes.refused());
            }
        }
    }
}

/// Returns the format that a file is in, as far as its first line tells, where that is not TOML.
fn other_format(text: &str) -> Option<&'static str> {
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let first = text.lines().map(str::trim).find(is_said)?;
    let key = first.split_once(':').map(|(key, _)| key.trim_start_matches("- "));
    let is_word = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if first.starts_with('{') || first == "[" || first.starts_with("[{") {
        Some("JSON")
    } else if first == "---" || first.starts_with("- ") || key.is_some_and(is_word) {
        Some("YAML")
    } else {
        None
    }
}

/// Parses a file. An account that names no profile gets `profile`.
///
/// # Errors
/// Returns every mistake with its line.
pub fn parse(text: &str, profile: &Profile) -> Result<Vec<NewAccount>, AccountsFileError> {
    let (file, tree, mut mistakes) = read(text)?;
    let profiles = profiles::read(file.profile, &tree, &mut mistakes);
    let mut accounts: Vec<NewAccount> = Vec::new();
    if file.account.is_empty() && mistakes.found.is_empty() {
        mistakes.add(0..0, Reason::Empty);
    }
    for (nth, entry) in file.account.into_iter().enumerate() {
        let span = entry.span();
        let entry = entry.into_inner();
        let [takeover, leads_for] =
            [&entry.takeover, &entry.leads_for].map(|span| span.as_ref().map(|Span(span)| *span));
        let Entry {
            id, profile: name, terms, campaign, stop_words, start_words, disclosure, ..
        } = entry;
        let id_span = id.span();
        let id = id.into_inner();
        // One that is missing has no place in the file, and was said to be missing.
        if !id_span.is_empty() {
            if !is_number(id.as_str()) {
                mistakes.add(id_span.clone(), Reason::AccountId(id.clone()));
            } else if accounts.iter().any(|known| known.id == id) {
                mistakes.add(id_span.clone(), Reason::SameAccount(id.clone()));
            }
        }
        let given = NewLimits {
            profile: name.and_then(|name| {
                let found = profiles.iter().find(|profile| profile.name == *name.get_ref());
                // One that cannot be read is not to be missed too.
                if found.is_none() && !tree.is_touched("profile") {
                    mistakes.add(name.span(), Reason::NoProfile(name.into_inner()));
                }
                found.cloned()
            }),
            terms,
        };
        let count = campaign.len();
        let campaigns = if campaign.len() > CAMPAIGNS_MAX {
            let much = TooMuch::Campaigns(campaign.len());
            mistakes.add(id_span, Reason::TooMuch(id.clone(), much));
            Vec::new()
        } else {
            let places = (0..).map(|at| tree.campaign(nth, at));
            let campaigns =
                campaigns::read(&id, campaign.into_iter().zip(places), &tree, &mut mistakes);
            if let Err(much) = check_together(campaigns.iter()) {
                mistakes.add(id_span, Reason::TooMuch(id.clone(), much));
            }
            campaigns
        };
        let place = tree.account(nth);
        // Those that were refused have no place by their number.
        let is_sound = campaigns.len() == count && mistakes.found.is_empty();
        let places = (0..count).map(|at| tree.campaign(nth, at));
        let placed: Vec<_> =
            if is_sound { campaigns.iter().zip(places).collect() } else { Vec::new() };
        let disclosure =
            conversations::disclosure(disclosure.as_deref(), &placed, place, &mut mistakes);
        let conversations =
            NewConversationSettings { stop_words, start_words, takeover, leads_for, disclosure };
        conversations::check(&conversations, &campaigns, place, &mut mistakes);
        let rules = Rules::new(profile.clone(), Terms::default());
        match rules.and_then(|rules| given.over(&rules)) {
            Ok(rules) => {
                let line = mistakes.line(span.start);
                let places = (0..count).map(|at| tree.campaign(nth, at));
                let links = places.filter_map(campaigns::tracked_link);
                let tracked_links = links.map(|at| mistakes.line(at.start)).collect();
                accounts.push(NewAccount {
                    id,
                    line,
                    rules,
                    given,
                    conversations,
                    campaigns,
                    tracked_links,
                });
            }
            // Where something of the limits was not read, that is their mistake.
            Err(_) if tree.is_wounded(&span) || tree.is_touched("profile") => {}
            Err(error) => mistakes.add(span, Reason::Limits(id, error.into())),
        }
    }
    mistakes.end().map(|()| accounts)
}

/// Whether it can be an id of Meta's: up to 32 digits, too many for a number type.
pub fn is_number(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses the profiles of a file, with or without accounts, and returns them together with the
/// built-in ones.
///
/// # Errors
/// As [`parse`].
pub fn parse_profiles(text: &str) -> Result<Vec<Profile>, AccountsFileError> {
    let (file, tree, mut mistakes) = read(text)?;
    let profiles = profiles::read(file.profile, &tree, &mut mistakes);
    mistakes.end().map(|()| profiles)
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
    fn links_are_refused_with_their_lines_where_the_deployment_tracks_none() {
        let told = |text: &str| {
            let accounts = parse(text, &Profile::careful()).unwrap();
            let mistakes = links_without_deployment(&accounts);
            mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>()
        };
        assert_eq!(told(GOOD), [0; 0]);
        let text = GOOD.replace("Hello {username|there}!", "{link:https://example.com/}");
        assert_eq!(told(&text), [20]);
        let then = |part: &str| format!("{GOOD}\n[account.campaign.then]\ndeliver = [{part}]\n");
        let url = "{link:https://example.com/}";
        let button =
            format!("{{ text = \"Here\", buttons = [{{ title = \"Go\", url = \"{url}\" }}] }}");
        assert_eq!(told(&then(&button)), [23]);
        assert_eq!(told(&then(&format!("{{ text = \"Here: {url}\" }}"))), [23]);
        assert_eq!(told(&then("{ text = \"Here: https://example.com/\" }")), [0; 0]);
        let mistakes = vec![Mistake { line: 23, reason: Reason::LinksOff }];
        let said = AccountsFileError { mistakes }.to_string();
        assert!(said.contains("line 23") && said.contains("`Links=on`"), "{said}");
    }

    #[test]
    fn a_link_that_cannot_be_tracked_is_refused_with_line_and_reason() {
        let line = |from: &str, to: &str, line: u32, reason: &str| {
            let message = error(&GOOD.replace(from, to));
            let is_told = message.contains(&format!("line {line}")) && message.contains(reason);
            assert!(is_told, "{message}");
        };
        line("Hi {username|there}!", "{link:http://a.example}", 20, "does not begin with https://");
        line("Hi {username|there}!", "{link:https://localhost/}", 20, "nobody else can open");
        let then = |part: &str| format!("messages = [\"a\"]\n[account.campaign.then]\n{part}\n#");
        let public = "public_replies = [\"See {link:https://a.example/}\"]\nmessages";
        line("messages", public, 20, "everybody reads a public reply");
        let card = r#"deliver = [{ card = { title = "{link:https://a.example/}", image = "https://a.example/i.png" } }]"#;
        line("messages", &then(card), 22, "nobody can tap a link in the text of a card");
        let url = r#"deliver = [{ text = "a", buttons = [{ title = "Go", url = "{link:x}" }] }]"#;
        line("messages", &then(url), 22, "`x` is no URL");
        let image =
            r#"deliver = [{ card = { title = "a", image = "{link:https://a.example/i.png}" } }]"#;
        line("messages", &then(image), 22, "a URL has no placeholders");
        let long = format!("{{link:https://a.example/{}}}", "x".repeat(500));
        line("Hi {username|there}!", &long, 20, "500 can be tracked");
    }

    #[test]
    fn a_wait_for_a_click_without_a_link_is_noted() {
        let then = "[account.campaign.then]\ndeliver = [{ text = \"Here\" }]\nfollow_up = [{ after = \"1h\", \
                    messages = [\"a\"], unless = \"clicked\" }]\n";
        let text = format!("{GOOD}{then}");
        let notes = |text: &str| {
            campaign_notes(&parse(text, &Profile::careful()).unwrap(), Timestamp::EPOCH)
        };
        assert!(notes(&text)[0].contains("has no effect without a link"), "{:?}", notes(&text));
        assert!(notes(&text.replace("Here", "Here: {link:https://a.example/}")).is_empty());
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
        line("limit = 150", "limit = 0", 10, "a whole number from 1");
        line("\"1h\"", "\"soon\"", 9, "is not a length of time");
        line("Europe/Berlin", "Berlin", 15, "is not a time zone");
        line("tier = 2", "tier = 4", 15, "1, 2 or 3");
        assert!(error("").contains("no [[account]]"));
        let (profiles, account) = GOOD.split_once("[[account]]").unwrap();
        let twice = format!("{GOOD}\n[[account]]{account}");
        assert!(error(&twice).contains("is listed twice"));
        assert!(error(&format!("{profiles}{GOOD}")).contains("two profiles `agency`"));
        let message = error(&GOOD.replace("calls_hour", &"x".repeat(40)));
        assert!(message.contains("profile `agency`") && message.contains("32 bytes"), "{message}");
        let message = error(&GOOD.replace("profile = \"agency\"", "profile = \"mine\""));
        assert!(message.contains("no profile `mine`"), "{message}");
        let message = error(&GOOD.replace("base = \"careful\"", "base = \"bold\""));
        assert!(message.contains("no profile `bold`"), "{message}");
    }
}
