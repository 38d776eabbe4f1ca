//! What is wrong with a file, and where: each mistake with its line.

use std::fmt;
use std::ops::Range;

use spillway_core::campaign::CampaignError;
use spillway_core::content::DisclosureError;
use spillway_core::conversation::ThenError;
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::message::{TemplateError, VALUE_BYTES_MAX};
use spillway_core::profile::ProfileError;
use spillway_core::quota::QuotaId;

use toml::de::Error;

use super::bounds::TooMuch;
use super::tree::Fault;
use super::wording;
use crate::new_limits::LimitsError;

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

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not TOML, or has an unexpected key or value.
    #[error("{0}")]
    Toml(String),
    /// It is UTF-16, as some editors save text.
    #[error("the file is UTF-16: save it as UTF-8")]
    Utf16,
    /// A character is in another encoding.
    #[error("a character is not UTF-8: save the file as UTF-8")]
    NotUtf8,
    /// It is in another format, as its first line tells.
    #[error("this looks like {0}, and accounts files are TOML")]
    OtherFormat(&'static str),
    /// More mistakes than are reported.
    #[error("there are more than {0} mistakes: mend these first")]
    More(usize),
    /// A character that is not seen.
    #[error("there is the control character U+{:04X}: remove it", u32::from(*.0))]
    Control(char),
    /// A character that nobody sees, in a name that people type.
    #[error("there is the invisible character U+{:04X}: remove it", u32::from(*.0))]
    Invisible(char),
    /// A placeholder that nothing takes the place of.
    #[error(
        "the campaign has no `keywords`, so nothing takes the place of `{{keyword}}`: write the text itself"
    )]
    NoKeyword,
    /// A link that nobody would redirect.
    #[error(
        "this deployment tracks no links: deploy it with the parameter `Links=on` and write its \
         deployment file again, or write the address without `{{link:}}`"
    )]
    LinksOff,
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
    /// A campaign's name that cannot be stored, shown or named on a command line.
    #[error(
        "a campaign's `id` has 1 to 64 characters, no space before or behind, and no `-` at its begin: `{0}`"
    )]
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
    /// What follows an opening cannot be done.
    #[error(transparent)]
    Then(#[from] ThenError),
    /// A keyword that no comment can hold.
    #[error("an empty keyword matches nothing: remove it, or leave `keywords` out to match all")]
    EmptyKeyword,
    /// A list of keywords without any.
    #[error(
        "`keywords = []` would answer everything: name keywords, or leave `keywords` out if that is \
         meant"
    )]
    NoKeywords,
    /// A keyword that is too long for `{keyword}`.
    #[error(
        "`{0}` has {1} bytes, and `{{keyword}}` sends {VALUE_BYTES_MAX} of them: shorten it, or leave `{{keyword}}` out"
    )]
    LongKeyword(String, usize),
    /// A keyword is listed twice in one list.
    #[error("`{0}` is listed twice: case, accents and emoji variants make no difference")]
    SameKeyword(String),
    /// More words than are looked for.
    #[error("there are {1} `{0}`, and 50 are looked for: remove some")]
    ManyWords(&'static str, usize),
    /// A word that no message can be.
    #[error("an empty word matches nothing: remove it")]
    EmptyWord,
    /// A word that nobody would write.
    #[error("`{0}` has more than 64 characters: shorten it")]
    LongWord(String),
    /// A word that would end and restart everything.
    #[error("`{0}` cannot both end and restart everything: choose another word")]
    BothCommands(String),
    /// A word for STOP that a campaign asks for.
    #[error("`{0}` is an `answer` of a campaign, which nobody could give: choose another word")]
    StopIsAnswer(String),
    /// A takeover that is too short or too long.
    #[error("`takeover` is from 1m to 30d")]
    Takeover,
    /// E-mail addresses would be kept for too short or too long.
    #[error("`leads_for` is from 1d to 1100d")]
    LeadsFor,
    /// A disclosure that cannot be sent, or a message of the file that is too long behind it.
    #[error(transparent)]
    Disclosure(#[from] DisclosureError),
    /// A campaign with a message that is too long behind the disclosure that is stored, or a stored
    /// campaign with one.
    #[error("campaign `{0}`, `{1}`: {2}")]
    LongBehind(CampaignId, String, DisclosureError),
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
    /// The word for the next post is beside other media.
    #[error(
        "`next` is the next post alone: write `media = \"next\"`, and another campaign for other media"
    )]
    NextPostAmongMedia,
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
    /// A campaign of the file wants the same comments as one that stays.
    #[error(
        "{clash} (`{deployed}` is deployed and not in this file: write it there too, or apply with --prune, which removes it)"
    )]
    ClashWithDeployed {
        /// The one that stays.
        deployed: CampaignId,
        /// What both want.
        clash: Box<Reason>,
    },
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

/// Collects mistakes, and knows the lines of the file.
pub(super) struct Mistakes<'a> {
    pub(super) text: &'a str,
    pub(super) found: Vec<(usize, Reason)>,
}

impl Mistakes<'_> {
    pub(super) fn add(&mut self, span: Range<usize>, reason: impl Into<Reason>) {
        self.found.push((span.start, reason.into()));
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Adds a value that cannot be read, unless another mistake has led to it.
    pub(super) fn add_fault(&mut self, fault: Fault) {
        if let Some(message) = fault.message {
            self.add(fault.span, Reason::Toml(message));
        }
    }

    /// Adds what is no TOML: one mistake for each line, since the first one leads to the others. A
    /// list or a table in braces that is not closed makes everything below it wrong.
    pub(super) fn add_syntax(&mut self, errors: &[Error]) {
        let is_open = errors.iter().any(|error| error.message().starts_with("unclosed array, "));
        let mut last_line = 0;
        let at = |error: &Error| error.span().map_or(0, |span| span.start);
        let mut errors: Vec<&Error> = errors.iter().collect();
        errors.sort_by_key(|error| at(error));
        for error in errors {
            let at = at(error);
            let before = self.text.get(..at).unwrap_or_default();
            let is_in_list = error.message().contains("array");
            if let Some(open) = before.rfind('[').filter(|_| is_open && is_in_list) {
                let message = "the list that begins here is not closed: add `]` at its end";
                self.add(open..open, Reason::Toml(message.into()));
                return;
            }
            // What follows the line of its brace is read as more of the table.
            let is_in_table = ["inline table", "key-value pairs"];
            let is_in_table = is_in_table.iter().any(|name| error.message().contains(name));
            if let Some(open) = before.rfind('{').filter(|_| is_in_table)
                && before[open..].contains('\n')
                && !before[open..].contains('}')
            {
                let message =
                    "the table that begins here in braces is not closed: add `}` at its end";
                self.add(open..open, Reason::Toml(message.into()));
                return;
            }
            let line = self.line(at);
            if line != last_line {
                let said = wording::syntax(error.message(), self.text, at);
                self.add(at..at, Reason::Toml(said));
            }
            last_line = line;
        }
    }

    pub(super) fn refused(mut self) -> AccountsFileError {
        self.found.sort_by_key(|&(offset, _)| offset);
        let found = std::mem::take(&mut self.found);
        let mistake = |(offset, reason)| Mistake { line: self.line(offset), reason };
        AccountsFileError { mistakes: found.into_iter().map(mistake).collect() }
    }

    pub(super) fn end(self) -> Result<(), AccountsFileError> {
        if self.found.is_empty() { Ok(()) } else { Err(self.refused()) }
    }
}
