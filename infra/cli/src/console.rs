//! `spillway console`: the console on loopback, with the operator's own credentials.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use spillway_console::{CommentReads, Shown};

use crate::deployment::Where;
use crate::output::{Output, note};

/// Where it is served, and who does what is done there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway console                     prints the address to open; Ctrl-C ends it
  spillway console --port 8080 --operator ana

It listens on loopback alone, and works with your AWS credentials: anyone who opens the address can do what you can.
The address lets one browser in, once. What is done there is written into the journals of accounts, with the
operator's name (`spillway events`). With `Accept: application/json` its pages are JSON in the forms of this tool.")]
pub(crate) struct Options {
    /// The port; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Your name in the journals
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME", hide_env = true)]
    operator: String,
}

/// Serves it until somebody ends it.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let shown = Shown {
        admin: Arc::new(deployment.admin),
        deriver: Arc::new(deployment.wiring.deriver()),
        comment_reads: CommentReads::Here,
        dead_letters: Arc::new(deployment.dead_letters),
        deployment: deployment.config.stack,
        notice: None,
    };
    let never = Box::pin(std::future::pending());
    let served = spillway_console::serve(shown, options.operator, options.port, never);
    let url = served.await.context("cannot serve the console: choose another --port")?;
    output.print(&json!({ "url": url }), || format!("{url}\n"))?;
    note("the address lets one browser in, once; Ctrl-C ends the console");
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")
}
