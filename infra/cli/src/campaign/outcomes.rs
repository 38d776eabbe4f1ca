//! `spillway campaign outcomes`: what became of the sends of campaigns, and how far people came.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use spillway_core::id::AccountId;
use spillway_service::admin::outcomes::{CampaignOutcomes, Ends, OutcomesView, SPAN};

use crate::arguments;
use crate::deployment::Where;
use crate::output::{Output, Times};
use crate::progress::Progress;

/// Whose.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway campaign outcomes 17841400000000001
  spillway campaign outcomes 17841400000000001 --json | jq '.campaigns[].funnel'

Counts what was matched in the last seven days. Nothing is counted while DMs go out, so this reads the whole table of
sends, which takes its time and read units; the conversations and e-mail addresses of the account are read too, and
no address is opened. `spillway status` shows what waits.

  opened       conversations whose first message was sent
  answered     those that the person has answered as the campaign asks
  followed     those past the follow gate: the person follows, or Meta did not tell
  emailed      those in which the person gave an address
  delivered    those whose delivery was sent, with its last message
  followed up  those in which a follow-up was sent
  clicked      those in which the person opened a tracked link, however often; of those that got one. Robots that
               look at a link are not counted, and whoever passes a link on passes their click on")]
pub(crate) struct OutcomesOptions {
    /// The account
    #[arg(value_parser = arguments::account)]
    account: AccountId,
}

/// Counts and shows them.
pub(super) async fn run(options: &OutcomesOptions, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let account = deployment.admin.accounts.connected(&options.account).await?;
    let now = deployment.clock.now();
    let looked_at = Progress::unbounded("sends looked at");
    let outcomes = &deployment.admin.outcomes;
    let counted = outcomes
        .view(&account, now - SPAN, now, usize::MAX, |entries| looked_at.advance(entries))
        .await;
    looked_at.finish();
    let view = counted?;
    let times = Times { now, zone: account.rules.terms().time_zone.clone() };
    output.print(&view, || text(&view, &times))
}

fn text(view: &OutcomesView, times: &Times) -> String {
    let mut out = format!("since {}\n", times.at(view.since));
    for campaign in &view.campaigns {
        let _ = write!(out, "\n{}", of_campaign(campaign));
    }
    if view.campaigns.is_empty() {
        out.push_str("the account has no campaigns, and no sends\n");
    }
    out
}

fn of_campaign(of: &CampaignOutcomes) -> String {
    let mut out = format!("{}\n", of.campaign);
    for (name, ends) in [
        ("openings", &of.openings),
        ("conversation", &of.conversation),
        ("public replies", &of.public_replies),
    ] {
        if ends.sum() > 0 || name == "openings" {
            let Ends { sent, failed, unknown, expired, cancelled } = ends;
            let _ = writeln!(
                out,
                "  {name:<14} {sent} sent, {failed} failed, {unknown} unknown, {expired} too late, \
                 {cancelled} cancelled"
            );
        }
    }
    for step in of.funnel.iter().flat_map(|funnel| funnel.steps()) {
        let _ = writeln!(
            out,
            "  {:<14} {:>7}  {:>3}% of {}",
            step.name,
            step.count,
            step.percent(),
            step.of
        );
    }
    for refused in &of.refusals {
        let _ = writeln!(out, "  failed {}  {:>5}  {}", refused.day, refused.count, refused.reason);
    }
    out
}
