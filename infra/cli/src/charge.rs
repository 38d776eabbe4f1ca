//! `spillway charge`: units of an account's budget for another tool that shares its token.

use std::num::NonZeroU32;

use anyhow::Result;
use clap::Args;
use spillway_core::id::AccountId;
use spillway_core::quota::{Action, GRANT_LIFE};
use spillway_service::admin::rfc3339;
use spillway_service::limiter::Charged;

use crate::arguments;
use crate::deployment::Where;
use crate::exit::{Ended, WrongUsage};
use crate::output::Output;

/// What is to be done at Meta, and by whom.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway charge 17841400000000001 publish && ./publish-the-post
  spillway charge 17841400000000001 read --units 3 --json

Actions: private_reply, live_reply, message, public_reply, read, publish, follow. Either all units are
granted or none. Make the calls within 5 seconds of the printed instant. If the units are denied, the exit
code is 3, and the printed instant is the first at which one more unit fits, if nobody else takes it.")]
pub(crate) struct Options {
    /// The account that is charged
    #[arg(value_parser = arguments::account)]
    account: AccountId,
    /// What the calls do
    #[arg(value_parser = action)]
    action: Action,
    /// How many calls
    #[arg(long, default_value = "1", value_name = "N", value_parser = parse_units, allow_negative_numbers = true)]
    units: NonZeroU32,
}

fn action(text: &str) -> Result<Action, String> {
    let quoted = serde_json::Value::String(text.replace('-', "_"));
    let names = "private_reply, live_reply, message, public_reply, read, publish or follow";
    serde_json::from_value(quoted).map_err(|_| format!("an action is {names}"))
}

fn parse_units(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("write a number from 1 to {}", u32::MAX))
}

/// Charges.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<Ended> {
    let deployment = place.open().await?;
    let id = options.account.clone();
    let account = deployment.admin.accounts.connected(&id).await?;
    let limiter = deployment.wiring.limiter();
    let Options { action, units, .. } = options;
    if let Some(row) = account.rules.never_fits(action, units) {
        let allowed = format!("quota `{}` of account {id} allows {} in its window", row.0, row.1);
        return Err(WrongUsage(format!("--units {units} never fit at once: {allowed}")).into());
    }
    let charged = limiter.charge(&account, action, units).await?;
    let times = deployment.times_of(&id).await?;
    match charged {
        Charged::Granted(grant) => {
            let until = grant.at + GRANT_LIFE;
            let shown = serde_json::json!({
                "granted": true,
                "account": id.as_str(),
                "action": action,
                "units": units,
                "at": rfc3339(grant.at),
                "use_before": rfc3339(until),
            });
            output.print(&shown, || {
                format!("granted: {units} x {action}, to be used until {}\n", times.when(until))
            })?;
            Ok(Ended::Done)
        }
        Charged::Denied(denial) => {
            let shown = serde_json::json!({
                "granted": false,
                "account": id.as_str(),
                "action": action,
                "units": units,
                "bound": denial.reason.to_string(),
                "retry_at": rfc3339(denial.retry_at),
            });
            output.print(&shown, || {
                let fits = match rfc3339(denial.retry_at) {
                    Some(_) => format!("it fits at {}", times.when(denial.retry_at)),
                    None => format!("until `spillway account resume {id}`"),
                };
                format!("denied: {}; {fits}\n", denial.reason)
            })?;
            Ok(Ended::Denied)
        }
    }
}
