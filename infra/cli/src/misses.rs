//! `spillway misses`: which comments matched nothing, and why.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use spillway_core::id::AccountId;
use spillway_service::admin::Several;
use spillway_service::admin::misses::{MissView, MissesView, SampleView, Samples};

use crate::arguments;
use crate::deployment::Where;
use crate::exit::Unread;
use crate::output::{Columns, Output, Times};

/// Whose comments, and how far back.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway misses                                          all accounts, the last week
  spillway misses 17841400000000001 --since 1d --samples   one account, with some of the comments
  spillway misses --json | jq '.misses[] | select(.excluded == \"almost\")'

Counts comments that matched no campaign, by the keyword that came nearest and by what excluded them. `spillway
campaign match` says the same of one text. Counts are kept by days in UTC for 30 days, and are not exact: a
process writes at most once a minute, what it has not written is lost with it, and a delivery that Meta repeats
counts again. Comments that a backfill has read are not counted. Of a delivery with more than a hundred that matched
nothing, the rest is counted alone, without what came nearest; so are those beyond 50 kinds a day.

Samples are up to 100 comments an account and day, and up to 20 of them for each keyword. They are kept for a
week. Their texts are folded as keywords are, have at most 200 characters, and are stored sealed: opening them
takes the right to use the deployment's KMS key. The stack's parameter `MissSamples` turns them off. `spillway
contact forget` deletes a person's.")]
pub(crate) struct Options {
    /// Only this account
    #[arg(value_parser = arguments::account)]
    account: Option<AccountId>,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = arguments::span, allow_hyphen_values = true)]
    since: Duration,
    /// Show some of the comments
    #[arg(long)]
    samples: bool,
}

/// Shows them.
pub(crate) async fn run(options: &Options, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let admin = &deployment.admin;
    let accounts = admin.accounts.all_connected(options.account.as_ref()).await?;
    let samples = if options.samples { Samples::Shown } else { Samples::Left };
    let Several { read, unreadable } = accounts;
    let view = admin.misses.view(&read, options.since, samples, deployment.clock.now()).await?;
    let shown = view.samples.iter().flatten().map(|sample| &sample.account);
    let times = deployment.times_of_all(shown).await?;
    output.print(&view, || text(&view, &times, output))?;
    Ok(Unread::check(unreadable)?)
}

const COUNTS: Columns<5> = Columns {
    heads: ["COUNT", "ACCOUNT", "CAMPAIGN", "NEAREST KEYWORD", "EXCLUDED BY"],
    least_first: &[2],
};

const SAMPLES: Columns<6> = Columns {
    heads: ["WHEN", "ACCOUNT", "NEAREST KEYWORD", "EXCLUDED BY", "MEDIA", "TEXT"],
    least_first: &[3, 4],
};

fn text(view: &MissesView, times: &Times, output: Output) -> String {
    let row = |miss: &MissView| {
        let MissView { account, campaign, keyword, count, .. } = miss;
        [
            count.to_string(),
            account.to_string(),
            campaign.as_ref().map_or_else(|| "-".into(), ToString::to_string),
            keyword.clone().unwrap_or_else(|| "-".into()),
            miss.reason(),
        ]
    };
    let rows: Vec<[String; 5]> = view.misses.iter().map(row).collect();
    let empty = format!("no comment is known that matched nothing since {}", view.since);
    let mut text = output.table(&COUNTS, &rows, &empty);
    if let Some(samples) = &view.samples {
        let row = |sample: &SampleView| {
            [
                times.at(sample.told_at),
                sample.account.to_string(),
                sample.keyword.clone().unwrap_or_else(|| "-".into()),
                sample.reason(),
                sample.media.as_ref().map_or_else(|| "-".into(), ToString::to_string),
                sample.text.as_deref().map_or_else(|| "(cannot be opened)".into(), printable),
            ]
        };
        let rows: Vec<[String; 6]> = samples.iter().map(row).collect();
        let empty = "no samples: they are kept for a week, and only from the first `spillway \
                     connect` or `spillway new-key` of this version on";
        text += "\n";
        text += &output.table(&SAMPLES, &rows, empty);
    }
    text
}

/// What somebody wrote, without what a terminal obeys.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_gives_a_terminal_no_orders() {
        assert_eq!(printable("gui\u{1b}[2Jde"), "gui [2Jde");
    }
}
