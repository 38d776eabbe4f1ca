//! Accounts files: accounts, their campaigns and the limits they keep as people write them, in
//! TOML. Everything that is wrong with one is said at once, each mistake with its line.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use spillway_core::campaign::{Campaign, CampaignError, Overflow};
#[cfg(feature = "schema")]
use spillway_core::id::DIGITS;
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::keyword::{Comment, Keyword};
use spillway_core::message::{Template, TemplateError, VALUE_BYTES_MAX};
use spillway_core::profile::{Profile, ProfileError, SlowDown, Spread, WarmUp};
use spillway_core::quota::{Action, Quota, QuotaId};
use spillway_core::rules::{Rules, Terms};
use toml::Spanned;

use self::tree::{Place, Tree};
use crate::new_limits::{LimitsError, NewLimits, NewTerms};

mod tree;

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
    /// Its campaigns.
    pub campaigns: Vec<Campaign>,
}

/// Why a file is refused. Nothing of a refused file is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountsFileError {
    /// At least one mistake, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

/// One mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: usize,
    /// The fault.
    pub reason: Reason,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl fmt::Display for AccountsFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            write!(f, "{}{mistake}", if at > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for AccountsFileError {}

/// The most campaigns of one account. Each process reads and remembers all of them.
pub const CAMPAIGNS_MAX: usize = 200;

/// The most media that the campaigns of one account name. A backfill reads the comments of each.
pub const MEDIA_MAX: usize = 1000;

/// The most bytes that the campaigns of one account take together in the store. A single one fits
/// into an item of DynamoDB (400 KB).
pub const CAMPAIGN_BYTES_MAX: usize = 350_000;

/// Why an account cannot have these campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// There are too many.
    #[error(
        "{0} campaigns, and an account may have {CAMPAIGNS_MAX}: remove some, or join those with the same texts"
    )]
    Campaigns(usize),
    /// They name too many media.
    #[error(
        "its campaigns name {0} media, and may name {MEDIA_MAX}: take out those that get no comments any more"
    )]
    Media(usize),
    /// Their texts are too long.
    #[error(
        "its campaigns have {0} bytes of messages, keywords and media, and may have {CAMPAIGN_BYTES_MAX}: shorten them"
    )]
    Bytes(usize),
}

/// Checks that one account can have all these campaigns.
///
/// # Errors
/// Returns the first bound that is exceeded.
pub fn check_together<'a>(campaigns: impl Iterator<Item = &'a Campaign>) -> Result<(), TooMuch> {
    let (mut count, mut bytes, mut media) = (0, 0, HashSet::new());
    for campaign in campaigns {
        count += 1;
        bytes += serde_json::to_string(campaign).map_or(0, |text| text.len());
        media.extend(&campaign.media);
    }
    if count > CAMPAIGNS_MAX {
        return Err(TooMuch::Campaigns(count));
    }
    if media.len() > MEDIA_MAX {
        return Err(TooMuch::Media(media.len()));
    }
    if bytes > CAMPAIGN_BYTES_MAX {
        return Err(TooMuch::Bytes(bytes));
    }
    Ok(())
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not TOML, or has an unexpected key or value.
    #[error("{0}")]
    Toml(String),
    /// It is in another format, as its first line tells.
    #[error("this looks like {0}, and accounts files are TOML")]
    OtherFormat(&'static str),
    /// More mistakes than are reported.
    #[error("there are more than {0} mistakes: mend these first")]
    More(usize),
    /// A character that is not seen.
    #[error("there is the control character U+{:04X}: remove it", u32::from(*.0))]
    Control(char),
    /// A placeholder that nothing takes the place of.
    #[error(
        "the campaign has no `keywords`, so nothing takes the place of `{{keyword}}`: write the text itself"
    )]
    NoKeyword,
    /// It names no account.
    #[error("there is no [[account]]: add one with its `id`")]
    Empty,
    /// An id that no webhook carries.
    #[error(
        "`{0}` is no account's id: write the number that webhooks carry (`user_id`, not `id`, and no name)"
    )]
    AccountId(AccountId),
    /// Something that is to be changed does not exist.
    #[error("account {0} is not connected: connect it first")]
    NotConnected(AccountId),
    /// An account is listed twice.
    #[error("account {0} is listed twice: put its campaigns under one [[account]]")]
    SameAccount(AccountId),
    /// A campaign's name is listed twice.
    #[error("account {0} has campaign `{1}` twice: give each a name of its own")]
    SameCampaign(AccountId, CampaignId),
    /// A campaign's name that cannot be stored or shown.
    #[error("a campaign's `id` has 1 to 64 characters and no space before or behind: `{0}`")]
    CampaignId(CampaignId),
    /// More campaigns than an account can have.
    #[error("account {0}: {1}")]
    TooMuch(AccountId, TooMuch),
    /// A campaign that cannot be sent.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// A text that cannot be sent.
    #[error(transparent)]
    Message(#[from] TemplateError),
    /// A keyword that no comment can hold.
    #[error("an empty keyword matches nothing: remove it, or leave `keywords` out to match all")]
    EmptyKeyword,
    /// A keyword that is too long for `{keyword}`.
    #[error(
        "`{0}` has {1} bytes, and `{{keyword}}` sends {VALUE_BYTES_MAX} of them: shorten it, or leave `{{keyword}}` out"
    )]
    LongKeyword(String, usize),
    /// A keyword is listed twice in one list.
    #[error("`{0}` is listed twice: case, accents and emoji variants make no difference")]
    SameKeyword(String),
    /// A keyword that contains an exception.
    #[error("`{0}` contains the exception `{1}`: no comment could match by it")]
    ContainsException(String, String),
    /// A keyword that is also an exception.
    #[error("`{0}` is in `keywords` and in `except`: no comment could match by it")]
    Excepted(String),
    /// A text that is no media id.
    #[error(
        "`{0}` is no media id: write the number that the API gives, not a link or a short code"
    )]
    Media(MediaId),
    /// A media id is listed twice.
    #[error("media {0} is listed twice: remove one")]
    SameMedia(MediaId),
    /// Two campaigns want the same comments.
    #[error(
        "campaigns `{0}` and `{1}` both take every comment on the same media: give one of them keywords or other media"
    )]
    BothTakeAll(CampaignId, CampaignId),
    /// Two campaigns want the same comments.
    #[error(
        "campaigns `{0}` and `{1}` have the keyword `{2}` on the same media, and only one of them could answer: remove it from one, or give one other media"
    )]
    Clash(CampaignId, CampaignId, String),
    /// A profile's name is listed twice, or is one of Spillway's own.
    #[error("there are two profiles `{0}`: `careful` and `meta` are there already")]
    SameProfile(String),
    /// A profile without a name.
    #[error("a profile's `name` must not be empty")]
    NoName,
    /// There is no such profile.
    #[error(
        "there is no profile `{0}`: write \"careful\", \"meta\" or the name of a [[profile]] of this file"
    )]
    NoProfile(String),
    /// A profile without the base that it names.
    #[error(
        "there is no profile `{0}` to be based on: write \"careful\", \"meta\" or one that is defined before it"
    )]
    NoBase(String),
    /// A quota's name is listed twice in one profile.
    #[error("quota `{0}` is listed twice in this profile: remove one")]
    SameQuota(QuotaId),
    /// A profile that cannot be counted or would never send.
    #[error("profile `{0}`: {1}")]
    Profile(String, ProfileError),
    /// No row of a profile counts this action.
    #[error(
        "profile `{0}`: no row counts `{1}`, so these calls would have no limit: add a \
         [[profile.quota]] with id = \"{1}_hour\", actions = [\"{1}\"], unit = \"calls\", \
         window = \"1h\" and limit = 200, or add `{1}` to the actions of another row"
    )]
    Unlimited(String, &'static str),
    /// An account's own limits cannot be kept.
    #[error("account {0}: {1}")]
    Limits(AccountId, LimitsError),
}

/// Accounts, their campaigns and the limits they keep.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(title = "Spillway accounts file", extend("required" = ["account"]))
)]
#[serde(deny_unknown_fields)]
struct File {
    /// Profiles beside those that come with Spillway.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<CustomProfile>"))]
    profile: Vec<Spanned<CustomProfile>>,
    /// The accounts.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Entry>", length(min = 1)))]
    account: Vec<Spanned<Entry>>,
}

/// A profile of the file: a base with some parts replaced.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Profile"))]
#[serde(deny_unknown_fields)]
struct CustomProfile {
    /// Its name.
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = r"\S")))]
    name: Spanned<String>,
    /// The base. Without one, the profile starts empty.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    base: Option<Spanned<String>>,
    /// Rows to add, or to replace those of the same name.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Quota>", length(max = 12)))]
    quota: Vec<Spanned<Quota>>,
    /// How the day's DMs are spread.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Spread>"))]
    spread: Option<Spanned<Spread>>,
    /// How a new account begins.
    #[cfg_attr(feature = "schema", schemars(with = "Option<WarmUp>"))]
    warm_up: Option<Spanned<WarmUp>>,
    /// At which reported usage the account slows down and stops.
    #[cfg_attr(feature = "schema", schemars(with = "Option<SlowDown>"))]
    slow_down: Option<Spanned<SlowDown>>,
}

/// An account, its limits and its campaigns.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Account"))]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The account's id as webhooks name it (`user_id`).
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = DIGITS)))]
    id: Spanned<AccountId>,
    /// `careful`, `meta` or the name of a `[[profile]]`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    profile: Option<Spanned<String>>,
    /// What applies to this account, whatever its profile.
    #[serde(default)]
    terms: NewTerms,
    /// Its campaigns.
    #[serde(default)]
    campaign: Vec<Campaign>,
}

/// Returns the JSON schema of an accounts file. It follows from the types that the file is read
/// into, and refuses what it can of what [`parse`] refuses.
#[cfg(feature = "schema")]
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<File>()
        .to_value()
}

/// Collects mistakes, and knows the lines of the file.
struct Mistakes<'a> {
    text: &'a str,
    found: Vec<(usize, Reason)>,
}

impl Mistakes<'_> {
    fn add(&mut self, span: Range<usize>, reason: impl Into<Reason>) {
        self.found.push((span.start, reason.into()));
    }

    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Adds what the TOML reader has said.
    fn add_toml(&mut self, span: Option<Range<usize>>, mut message: String) {
        if message == "invalid type: map, expected a sequence" {
            message =
                "write [[account]] before its [[account.campaign]], and all of these names in \
                       double brackets"
                    .into();
        }
        self.add(span.unwrap_or(0..0), Reason::Toml(message));
    }

    fn refused(mut self) -> AccountsFileError {
        self.found.sort_by_key(|&(offset, _)| offset);
        let found = std::mem::take(&mut self.found);
        let mistake = |(offset, reason)| Mistake { line: self.line(offset), reason };
        AccountsFileError { mistakes: found.into_iter().map(mistake).collect() }
    }

    fn end(self) -> Result<(), AccountsFileError> {
        if self.found.is_empty() { Ok(()) } else { Err(self.refused()) }
    }
}

/// The most mistakes that are reported: each costs another look at the file.
const MISTAKES_MAX: usize = 100;

/// Returns what a file says, and where it says it. What cannot be read of it is a mistake, and
/// missing; so are messages that are no templates, which get their mistakes later.
fn read(text: &str) -> Result<(File, Tree<'_>, Mistakes<'_>), AccountsFileError> {
    let mut mistakes = Mistakes { text, found: Vec::new() };
    let mut tree = match Tree::parse(text) {
        Ok(tree) => tree,
        Err(errors) => {
            match other_format(text) {
                Some(format) => mistakes.add(0..0, Reason::OtherFormat(format)),
                None => {
                    for error in errors {
                        mistakes.add_toml(error.span(), error.message().replace('\n', ", "));
                    }
                }
            }
            return Err(mistakes.refused());
        }
    };
    loop {
        let mut sound = tree.clone();
        sound.retain_messages(|text| Template::parse(text).is_ok());
        let error = match sound.read() {
            Ok(file) => return Ok((file, tree, mistakes)),
            Err(error) => error,
        };
        match tree.take_out(&error) {
            Some(fault) if mistakes.found.len() < MISTAKES_MAX => {
                if let Some(message) = fault.message {
                    mistakes.add_toml(Some(fault.span), message);
                }
            }
            Some(_) => {
                mistakes.add(text.len()..text.len(), Reason::More(MISTAKES_MAX));
                return Err(mistakes.refused());
            }
            None => {
                mistakes.add_toml(error.span(), error.message().replace('\n', ", "));
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
    let profiles = profiles(file.profile, &tree, &mut mistakes);
    let mut accounts: Vec<NewAccount> = Vec::new();
    if file.account.is_empty() && mistakes.found.is_empty() {
        mistakes.add(0..0, Reason::Empty);
    }
    for (nth, entry) in file.account.into_iter().enumerate() {
        let span = entry.span();
        let Entry { id, profile: name, terms, campaign } = entry.into_inner();
        let id_span = id.span();
        let id = id.into_inner();
        if !is_number(id.as_str()) {
            mistakes.add(id_span, Reason::AccountId(id));
            continue;
        }
        if accounts.iter().any(|known| known.id == id) {
            mistakes.add(id_span, Reason::SameAccount(id));
            continue;
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
        if campaign.len() > CAMPAIGNS_MAX {
            let much = TooMuch::Campaigns(campaign.len());
            mistakes.add(id_span, Reason::TooMuch(id, much));
            continue;
        }
        let places = (0..).map(|at| tree.campaign(nth, at));
        let campaigns = campaigns(&id, campaign.into_iter().zip(places), &tree, &mut mistakes);
        if let Err(much) = check_together(campaigns.iter()) {
            mistakes.add(id_span, Reason::TooMuch(id.clone(), much));
        }
        let rules = Rules::new(profile.clone(), Terms::default());
        match rules.and_then(|rules| given.over(&rules)) {
            Ok(rules) => {
                let line = mistakes.line(span.start);
                accounts.push(NewAccount { id, line, rules, given, campaigns });
            }
            // Where something of the limits was not read, that is their mistake.
            Err(_) if tree.is_wounded(&span) || tree.is_touched("profile") => {}
            Err(error) => mistakes.add(span, Reason::Limits(id, error.into())),
        }
    }
    mistakes.end().map(|()| accounts)
}

/// Meta's ids are numbers, too long for a number type.
fn is_number(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn campaigns<'t>(
    account: &AccountId,
    entries: impl Iterator<Item = (Campaign, Place<'t>)>,
    tree: &Tree<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Campaign> {
    let mut campaigns: Vec<Campaign> = Vec::new();
    for (campaign, place) in entries {
        let id = campaign.id.clone();
        let name = id.as_str();
        if let Some(control) = name.chars().find(|c| c.is_control()) {
            mistakes.add(place.field("id").span(), Reason::Control(control));
        } else if name.trim() != name || !(1..=64).contains(&name.chars().count()) {
            mistakes.add(place.field("id").span(), Reason::CampaignId(id.clone()));
        } else if campaigns.iter().any(|known| known.id == id) {
            let same = Reason::SameCampaign(account.clone(), id.clone());
            mistakes.add(place.field("id").span(), same);
            continue;
        }
        let before = mistakes.found.len();
        check_words(&campaign, place, mistakes);
        check_media(&campaign.media, place.field("media"), mistakes);
        check_messages(&campaign, place, tree, mistakes);
        // What it takes is not known of one that could not be read as a whole.
        if mistakes.found.len() > before || tree.is_wounded(&place.span()) {
            continue;
        }
        match campaign.check() {
            Ok(()) => {}
            // This was reported at the line of its id.
            Err(CampaignError::NoId) => continue,
            Err(error) => {
                mistakes.add(place.span(), error);
                continue;
            }
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
        campaigns.push(campaign);
    }
    campaigns
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
        if !is_number(one.as_str()) {
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
    let mut templates: Vec<Template> = Vec::new();
    for (text, span) in messages.texts() {
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
                let same = CampaignError::SameMessage(id.clone(), template.to_string());
                mistakes.add(span, same);
            }
            Ok(template) => templates.push(template),
            Err(error) => mistakes.add(span, error),
        }
    }
    if templates.iter().any(Template::tells_keyword) {
        for (at, keyword) in campaign.keywords.iter().enumerate() {
            if keyword.len() > VALUE_BYTES_MAX {
                let reason = Reason::LongKeyword(keyword.clone(), keyword.len());
                mistakes.add(place.field("keywords").item(at).span(), reason);
            }
        }
    }
    if campaign.overflow == Overflow::PublicReply {
        mistakes.add(place.field("overflow").span(), CampaignError::PublicReply(id.clone()));
    }
}

/// Parses the profiles of a file, with or without accounts, and returns them together with the
/// built-in ones.
///
/// # Errors
/// As [`parse`].
pub fn parse_profiles(text: &str) -> Result<Vec<Profile>, AccountsFileError> {
    let (file, tree, mut mistakes) = read(text)?;
    let profiles = profiles(file.profile, &tree, &mut mistakes);
    mistakes.end().map(|()| profiles)
}

/// The profiles there are: those that come with Spillway, and the file's.
fn profiles(
    custom: Vec<Spanned<CustomProfile>>,
    tree: &Tree<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Profile> {
    let mut known = vec![Profile::careful(), Profile::meta()];
    for profile in custom {
        let span = profile.span();
        let is_wounded = tree.is_wounded(&span);
        let CustomProfile { name, base, quota, spread, warm_up, slow_down } = profile.into_inner();
        let (name_span, name) = (name.span(), name.into_inner());
        if name.trim().is_empty() {
            mistakes.add(name_span, Reason::NoName);
            continue;
        }
        if known.iter().any(|profile| profile.name == name) {
            mistakes.add(name_span, Reason::SameProfile(name));
            continue;
        }
        let none = Profile {
            name: name.clone(),
            quotas: Vec::new(),
            spread: None,
            warm_up: None,
            slow_down: SlowDown::default(),
        };
        let mut profile = match base {
            None => none,
            Some(base) => match known.iter().find(|profile| profile.name == *base.get_ref()) {
                Some(base) => Profile { name: name.clone(), ..base.clone() },
                None => {
                    if !tree.is_touched("profile") {
                        mistakes.add(base.span(), Reason::NoBase(base.into_inner()));
                    }
                    // Accounts that name it are not to blame.
                    known.push(Profile { name, ..Profile::careful() });
                    continue;
                }
            },
        };
        for (at, row) in quota.iter().enumerate() {
            let row_of = |row: &Spanned<Quota>| row.get_ref().id.clone();
            if quota[..at].iter().any(|other| row_of(other) == row_of(row)) {
                mistakes.add(row.span(), Reason::SameQuota(row_of(row)));
                continue;
            }
            match profile.quotas.iter_mut().find(|known| known.id == row_of(row)) {
                Some(known) => *known = row.get_ref().clone(),
                None => profile.quotas.push(row.get_ref().clone()),
            }
        }
        let (spreads, warms_up) =
            (spread.as_ref().map(Spanned::span), warm_up.as_ref().map(Spanned::span));
        let slows_down = slow_down.as_ref().map(Spanned::span);
        profile.spread = spread.map(Spanned::into_inner).or(profile.spread);
        profile.warm_up = warm_up.map(Spanned::into_inner).or(profile.warm_up);
        profile.slow_down = slow_down.map_or(profile.slow_down, Spanned::into_inner);
        if is_wounded {
            known.push(profile);
            continue;
        }
        if let Err(error) = profile.validate() {
            let of_row = |id: &str| {
                let row = quota.iter().find(|row| row.get_ref().id.as_str() == id);
                row.map(Spanned::span)
            };
            let at = match &error {
                ProfileError::Reserved => of_row("velocity"),
                ProfileError::Active | ProfileError::NothingToSpread => spreads,
                ProfileError::WarmUp => warms_up,
                ProfileError::SlowDown => slows_down,
                other => other.quota().and_then(|id| of_row(id.as_str())),
            };
            mistakes.add(at.unwrap_or(span), Reason::Profile(name.clone(), error));
            known.push(Profile { name, ..Profile::careful() });
            continue;
        }
        // Rules that are stored may lack these rows: so this is no fault of a profile as such.
        for (action, named) in [(Action::Message, "message"), (Action::PublicReply, "public_reply")]
        {
            if !profile.quotas.iter().any(|quota| quota.counts(action)) {
                mistakes.add(span.clone(), Reason::Unlimited(name.clone(), named));
            }
        }
        known.push(profile);
    }
    known
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
