//! `spillway-local`: plays the viral Reel, drills troubles, or serves the stack.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use spillway_cloud::telemetry;
use spillway_local::drill::{Drill, DrillOptions};
use spillway_local::driver::Progress;
use spillway_local::report::Report;
use spillway_local::serve::{self, ServeOptions};
use spillway_local::setup::{AccountLimits, ProfileArgs, QuotaArgs};
use spillway_local::story::{START, Story, StoryOptions};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Spillway on one machine: Instagram comments become DMs, paced within every limit.
///
/// Without a command it plays the viral Reel in virtual time and prints a report. The exit code is
/// 1 if anything was lost, doubled or sent over a limit, or, in a conversation, outside the person's
/// 24 hours.
#[derive(Parser)]
#[command(
    name = "spillway-local",
    version,
    after_help = "\
Examples:
  spillway-local                                        the viral Reel, 3,000 comments
  spillway-local --comments 500 --seed 7 --json         a smaller one, as JSON
  spillway-local --tier 2                               an account that may write to 10,000 a day
  spillway-local --comments 300 --warm-up               an account in its first days
  spillway-local --conversation                         people who answer, and what becomes of them
  spillway-local --conversation --comments 300 --json   fewer of them, as JSON
  spillway-local --console                              the Reel, to be looked at in a browser
  spillway-local drill                                  a day with outages, tokens that end, kills
  spillway-local drill --days 7                         a week of them, several at once
  spillway-local serve --calls 20/10s --replies 20/10s  in real time, with a small quota
  spillway-local serve --accounts accounts.toml         for accounts of your own"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON: a report, or with `serve` the addresses
    #[arg(long, global = true)]
    json: bool,
    /// Let people answer: they follow, give an e-mail address and get what they were promised, or
    /// write STOP, block the account, or leave
    #[arg(long)]
    conversation: bool,
    /// Show the story in the console while it plays, and keep it open until Ctrl-C: the story's clock
    /// races to its end, then goes on in real time
    #[arg(long)]
    console: bool,
    #[command(flatten)]
    story: StoryOptions,
    #[command(flatten)]
    limits: ProfileArgs,
    #[command(flatten)]
    quotas: QuotaArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Play days of comments with one trouble after another, and count what was lost
    ///
    /// Time is virtual. The exit code is 1 if anything was lost, given up, doubled or sent over a
    /// limit.
    #[command(after_help = "\
Examples:
  spillway-local drill                                  all troubles, 600 comments
  spillway-local drill --days 7 --seed 3                a week: outages drawn from the seed, several at
                                                        once, bursts, three accounts
  spillway-local drill --only store,queue --seed 7      two of them, another day
  spillway-local drill --comments 2000 --json           a busier day, as JSON")]
    Drill(DrillOptions),
    /// Serve the stack in real time, for curl and the `aws` CLI
    #[command(after_help = "\
Accounts are read from a TOML file like this:

  [[account]]
  id = \"17841400000000001\"

  [[account.campaign]]
  id = \"guide\"
  on = [\"comment\", \"message\"]   # or \"live_comment\", \"story_reply\", \"story_mention\", \"referral\";
                                  # comments alone if left out
  keywords = [\"guide\"]            # leave out to answer everything
  messages = [\"Hi {username|there}! https://example.com/guide\"]

Everything is kept in memory, and is gone when the program ends.

To post a comment as anybody, signed and delivered as Meta would (the program prints its own URLs):

  curl -sS WEBHOOK/_comments -d '{\"account\": \"17841400000000001\", \"text\": \"guide\", \"username\": \"ana\"}'

`person` (an id) and `media` can be given too. The answer names the comment, and the send that answers it.
To do as anybody what a campaign may be `on` (`message`, `story_reply`, `story_mention`, `referral`):

  curl -sS WEBHOOK/_inbox -d '{\"account\": \"17841400000000001\", \"text\": \"guide\", \"on\": \"story_reply\"}'

To tap a button or quick reply of a DM that the person got (`GET WEBHOOK/_messages` shows them), by its title or
payload; and to follow the account (`yes`, `no`, or `unknown`: Meta does not tell) or have a `name`:

  curl -sS WEBHOOK/_inbox -d '{\"account\": \"17841400000000001\", \"username\": \"ana\", \"tap\": \"I follow\"}'
  curl -sS WEBHOOK/_people -d '{\"account\": \"17841400000000001\", \"username\": \"ana\", \"follows\": \"yes\"}'

The two example accounts answer comments alone.

`GET WEBHOOK/_report` counts what became of all sends, and what the simulated Meta found wrong. What makes no send,
such as a repeat, is not counted.
`GET WEBHOOK/_messages` shows each DM as it went out, the newest first: a page in a browser, else JSON.
`?account=17841400000000001` and `?limit=10` choose among them.

To let the simulated Meta fail, POST an order, or an array of them, to GRAPH/_faults:

  curl -sS GRAPH/_faults -d '{\"kind\": \"throttled\", \"code\": 4, \"regain_minutes\": 1}'
  curl -sS GRAPH/_faults -d '{\"kind\": \"server_error\", \"count\": 3, \"action\": \"private_reply\"}'

  throttled (code, regain_minutes), blocked, token_dead (subcode), permission, account_unseen,
  link_refused, recipient_unavailable, transient, ambiguous (effect), server_error,
  server_error_after_effect, server_error_repeatable, no_answer, no_answer_before_effect, slow (delay_ms),
  usage (percent, app_percent), refused (code, subcode, status, message, effect: whether it was done all the same)

Each strikes the next call that it fits, or as said by `count`, `for_ms`, `probability` (with `seed`).
`account`, `comment_id`, `person` and `action` limit it. GET lists what still stands, DELETE clears it.
`GET GRAPH/_calls` lists the calls, `GET GRAPH/_judge` what was wrong with them.
`curl -sS GRAPH/_logins -d 17841400000000001` logs the account's owner in, and gives the app id and the code that
`spillway connect` asks for.")]
    Serve(ServeOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // The story has its report; a served stack says what happens to each comment. What its
    // dependencies warn of is nobody's concern here.
    let levels = match cli.command {
        None => Targets::new().with_default(LevelFilter::ERROR),
        // Errors are what it is about.
        Some(Command::Drill(_)) => Targets::new().with_default(LevelFilter::OFF),
        Some(Command::Serve(_)) => {
            Targets::new().with_default(LevelFilter::ERROR).with_target("spillway", Level::INFO)
        }
    };
    let to_stderr =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(to_stderr).with(telemetry::levels(levels)).init();
    let result = match &cli.command {
        None => play(&cli).await,
        Some(Command::Drill(options)) => drill(&cli, options).await,
        Some(Command::Serve(options)) => serve(&cli, options).await,
    };
    result.unwrap_or_else(|error| {
        complain(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn play(cli: &Cli) -> Result<ExitCode> {
    let limits = match cli.quotas.given() {
        Some(quotas) => AccountLimits::from(&quotas),
        None => cli.limits.limits(START, if cli.conversation { 2 } else { 1 })?,
    };
    let mut story = if cli.conversation {
        Story::conversing(&cli.story, limits.clone()).await?
    } else {
        Story::new(&cli.story, limits.clone()).await?
    };
    let console = if cli.console { Some(story.stack.serve_console(0).await?) } else { None };
    if let Some(url) = &console {
        complain(format_args!("console (the link is good once): {url}"));
    }
    let mut shown = Shown::new(story.expected);
    let report: Report = story.play(&mut |progress| shown.update(progress)).await?;
    shown.finish();
    if cli.json {
        print(&(serde_json::to_string(&report)? + "\n"))?;
    } else {
        print(&report.render(&limits.judged))?;
    }
    let clean = report.is_clean(story.expected);
    if !clean {
        let conversation = if cli.conversation { "--conversation " } else { "" };
        complain(format_args!(
            "NOT CLEAN: something was lost, doubled, or over a limit or a window. Again: \
             spillway-local {conversation}--comments {} --span {}s --seed {}",
            cli.story.comments,
            cli.story.span.as_secs(),
            cli.story.seed
        ));
    }
    if let Some(url) = console {
        complain(format_args!("the console stays open until Ctrl-C: {url}"));
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended?,
            stopped = story.go_on() => stopped?,
        }
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn drill(cli: &Cli, options: &DrillOptions) -> Result<ExitCode> {
    let mut drill = Drill::new(options, &cli.quotas.given().unwrap_or_default()).await?;
    let mut shown = Shown::new(u64::from(options.comments * options.days));
    let report = drill.play(&mut |progress| shown.update(progress)).await?;
    shown.finish();
    if cli.json {
        print(&(serde_json::to_string(&report)? + "\n"))?;
    } else {
        print(&report.render())?;
    }
    let clean = report.is_clean();
    if !clean {
        complain(format_args!(
            "NOT CLEAN: something was lost, given up, doubled or over a limit. Again: \
             spillway-local drill --days {} --comments {} --seed {}",
            options.days, options.comments, options.seed
        ));
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(cli: &Cli, options: &ServeOptions) -> Result<ExitCode> {
    let served = serve::start(options, &cli.quotas.given().unwrap_or_default()).await?;
    for note in &served.notes {
        complain(format_args!("note: {note}"));
    }
    if cli.json {
        print(&(serde_json::to_string(&served.addresses)? + "\n"))?;
    } else {
        print(&served.welcome())?;
    }
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output, until its reader has seen enough.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// Writes a line on standard error. Nobody may read it any more.
fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Progress: a bar on a terminal, elsewhere a line for every tenth.
struct Shown {
    bar: ProgressBar,
    expected: u64,
    tenths: u64,
}

impl Shown {
    fn new(expected: u64) -> Self {
        let bar = ProgressBar::new(expected);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} sent  {msg}") {
            bar.set_style(style);
        }
        Self { bar, expected, tenths: 0 }
    }

    fn update(&mut self, progress: Progress) {
        let Progress { elapsed, deliveries, sent, queued } = progress;
        let clock = clock(elapsed);
        let tenths = sent * 10 / self.expected.max(1);
        if self.bar.is_hidden() {
            if tenths > self.tenths {
                complain(format_args!("{clock}  {sent}/{} sent, {queued} queued", self.expected));
            }
        } else {
            self.bar.set_position(sent);
            self.bar.set_message(match deliveries {
                0 => format!("{queued} queued  {clock}"),
                _ => format!("{queued} queued  {deliveries} deliveries to come  {clock}"),
            });
        }
        self.tenths = tenths;
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Virtual time as days and hours.
fn clock(elapsed: Duration) -> String {
    let minutes = elapsed.as_secs() / 60;
    format!("day {} {:02}:{:02}", 1 + minutes / 1440, minutes / 60 % 24, minutes % 60)
}
