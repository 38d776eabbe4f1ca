//! `spillway campaign match`: which campaign would answer a comment or message.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use spillway_core::active_hours::Zone;
use spillway_core::albums::Albums;
use spillway_core::campaign::{Campaigns, Candidate, Moment, Trigger};
use spillway_core::id::{AccountId, MediaId};
use spillway_core::profile::Profile;
use spillway_service::accounts_file::{self, NewAccount};
use spillway_service::admin::Several;
use spillway_service::admin::matching::MatchView;
use spillway_service::clock::{Clock as _, SystemClock};

use super::refuse;
use crate::arguments;
use crate::deployment::Where;
use crate::exit::{Unread, WrongUsage};
use crate::limits;
use crate::output::Output;
use crate::text_file;

/// What to look for.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway campaign match \"l'ebook svp\" --account 17841400000000001
  spillway campaign match GIUDE --file accounts.toml
  spillway campaign match 🔥 --file accounts.toml --media 17900000000000001 --json
  spillway campaign match guide --on message      what a DM that says «guide» starts

Says why, and if no campaign would answer, which one came nearest. With --file it needs no deployment and no
credentials. Nothing is sent and nothing is changed. What decides is `on`, `keywords`, `matching`, `tolerate`, `except`, `media`, `replies`,
`starts` and `ends` (in a file without `time_zone`, by UTC);
campaigns for certain media are asked first, and campaigns that take every comment last. Of several alike the
first in the file answers. The JSON's `also` tells of the others that would take it, and why they do not get it.
How often that happens is counted by the metric Outranked, once for each campaign that did not get a comment, and
told by the webhook's log: «another campaign answers it», with both campaigns. A delivery that Meta sends again
counts again.")]
pub(crate) struct MatchOptions {
    /// What somebody writes; for a referral the `ref` of its link
    text: String,
    /// The account; needed if there are several
    #[arg(long, value_name = "ID", value_parser = arguments::account)]
    account: Option<AccountId>,
    /// The post, Reel, broadcast or story that it is about; any if left out
    #[arg(long, value_name = "ID", value_parser = arguments::media)]
    media: Option<MediaId>,
    /// What the text is
    #[arg(long, value_enum, default_value_t)]
    on: Event,
    /// When it is written, by the account's clocks, such as `2026-12-01` or `2026-12-01T09:00`;
    /// now if left out
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// Look into this accounts file instead of the deployment; `-` for standard input
    #[arg(long)]
    file: Option<PathBuf>,
}

/// What somebody wrote or did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Event {
    /// A comment on a post or Reel
    #[default]
    Comment,
    /// A reply to a comment
    Reply,
    /// A comment in a broadcast
    LiveComment,
    /// A reply to a story
    StoryReply,
    /// A story that mentions the account
    StoryMention,
    /// A message, or an ice breaker
    Message,
    /// A visit by an ig.me link or an ad
    Referral,
}

impl From<Event> for Trigger {
    fn from(event: Event) -> Self {
        match event {
            Event::Comment | Event::Reply => Self::Comment,
            Event::LiveComment => Self::LiveComment,
            Event::StoryReply => Self::StoryReply,
            Event::StoryMention => Self::StoryMention,
            Event::Message => Self::Message,
            Event::Referral => Self::Referral,
        }
    }
}

/// Runs it.
pub(super) async fn run(options: &MatchOptions, place: &Where, output: Output) -> Result<()> {
    let account = options.account.as_ref();
    let (campaigns, albums, zone) = match &options.file {
        Some(file) => in_file(file, account)?,
        None => deployed(place, account).await?,
    };
    let media = options.media.as_ref().map(|media| {
        let album = albums.album_of(media);
        std::iter::once(media).chain(album).collect::<Vec<_>>()
    });
    let candidate = Candidate {
        trigger: options.on.into(),
        text: &options.text,
        media: media.as_ref().map(|media| &media[..]),
        is_reply: options.on == Event::Reply,
        at: options.at.map_or_else(|| SystemClock::new().now(), |at| at.begin(&zone)),
    };
    let view = MatchView::of(&campaigns, &candidate);
    output.print(&view, || match &view.campaign {
        Some(campaign) => format!("{campaign}: {}\n", view.why),
        None => format!("no campaign: {}\n", view.why),
    })
}

/// Reads the campaigns of an account from a file.
fn in_file(
    file: &std::path::Path,
    account: Option<&AccountId>,
) -> Result<(Campaigns, Albums, Zone)> {
    let (text, shown) = text_file::read(file)?;
    let accounts = accounts_file::parse(&text, &Profile::careful())
        .map_err(|error| refuse(&shown, &text, &error))?;
    limits::say_notes(accounts.iter().filter_map(NewAccount::named_limits));
    limits::say_campaign_notes(&accounts, SystemClock::new().now());
    let ids = accounts.iter().map(|account| account.id.clone());
    let account = the_one(ids, account, &shown)?;
    let found = accounts.into_iter().find(|known| known.id == account);
    let found = found.with_context(|| format!("{shown} does not name account {account}"))?;
    let zone = found.rules.terms().time_zone.clone();
    Ok((Campaigns::new(found.campaigns).in_zone(&zone), Albums::default(), zone))
}

/// Reads the campaigns of a connected account.
async fn deployed(place: &Where, account: Option<&AccountId>) -> Result<(Campaigns, Albums, Zone)> {
    let deployment = place.open().await?;
    let Several { read, unreadable } = deployment.admin.accounts.all_connected(account).await?;
    Unread::check(unreadable)?;
    let ids = read.iter().map(|account| account.id.clone());
    let account = the_one(ids, account, "the deployment")?;
    let found = read.into_iter().find(|known| known.id == account);
    let found = found.context("the account was removed meanwhile")?;
    let zone = found.rules.terms().time_zone.clone();
    Ok((found.campaigns, found.albums, zone))
}

/// Returns the account that is meant: the one that is named, or the only one there is.
fn the_one(
    accounts: impl Iterator<Item = AccountId>,
    named: Option<&AccountId>,
    place: &str,
) -> Result<AccountId> {
    if let Some(named) = named {
        return Ok(named.clone());
    }
    let accounts: Vec<AccountId> = accounts.collect();
    match &accounts[..] {
        [only] => Ok(only.clone()),
        [] => bail!("{place} has no accounts"),
        [first, ..] => Err(WrongUsage(format!(
            "{place} has {} accounts: name one, for instance with `--account {first}`",
            accounts.len()
        ))
        .into()),
    }
}
