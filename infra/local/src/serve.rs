//! The stack in real time, for curl, the `aws` CLI and people who want to see pacing live.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::{Method, Uri};
use clap::Args;
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use spillway_core::campaign::{Campaign, Trigger};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::time::Timestamp;
use spillway_graph::{Comment, EchoDelivery, GraphConfig, Surface, UnknownComments, Words};
use spillway_meta::webhook::{Event, What};
use spillway_service::accounts_file::{NewAccount, campaign_notes, limit_notes};
use spillway_service::clock::{Clock as _, SystemClock};
use spillway_sqs::REGION;
use tracing::warn;

use crate::aws_json;
use crate::cloudwatch::CloudWatch;
use crate::comments::{COMMENTS_PATH, signed};
use crate::inbox::INBOX_PATH;
use crate::kms::Kms;
use crate::lambda::{Polled, REPORT_PATH, Source, WEBHOOK_PATH};
use crate::messages::MESSAGES_PATH;
use crate::people::PEOPLE_PATH;
use crate::secrets_manager::SecretsManager;
use crate::setup::{QuotaOptions, load_accounts};
use crate::stack::{Blueprint, Pace, Ports, Stack, listen};

/// Where to listen, and for whom.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// TOML file of accounts and campaigns; two example accounts when left out
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
    /// Port of the webhook; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    pub webhook_port: u16,
    /// Port of the simulated Graph API
    #[arg(long, default_value_t = 0)]
    pub graph_port: u16,
    /// Port of DynamoDB
    #[arg(long, default_value_t = 0)]
    pub dynamodb_port: u16,
    /// Port of SQS
    #[arg(long, default_value_t = 0)]
    pub sqs_port: u16,
    /// Port of tracked links
    #[arg(long, default_value_t = 0)]
    pub link_port: u16,
    /// Port of the console
    #[arg(long, default_value_t = 0)]
    pub console_port: u16,
    /// File to write that tells `spillway --deployment FILE` where this stack is
    #[arg(long, value_name = "FILE")]
    pub write_deployment: Option<PathBuf>,
}

/// Where everything is: the first line of `serve --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// For Meta's GET and POST.
    pub webhook_url: String,
    /// Takes comments as anybody writes them.
    pub comments_url: String,
    /// Takes what anybody writes to an account, or does beside: messages, story replies, taps.
    pub inbox_url: String,
    /// Lets a person follow an account, or not.
    pub people_url: String,
    /// Counts what became of all comments.
    pub report_url: String,
    /// Shows each DM as it went out: a page for a browser, else JSON.
    pub messages_url: String,
    /// What tracked links begin with.
    pub link_url: String,
    /// The console. It lets one browser in, once.
    pub console_url: String,
    /// The simulated Graph API.
    pub graph_url: String,
    /// DynamoDB.
    pub dynamodb_url: String,
    /// SQS.
    pub sqs_url: String,
    /// KMS, as far as Spillway needs it.
    pub kms_url: String,
    /// Secrets Manager, as far as Spillway needs it.
    pub secrets_manager_url: String,
    /// CloudWatch, as far as Spillway needs it.
    pub cloudwatch_url: String,
    /// For the handshake.
    pub verify_token: String,
    /// For signatures.
    pub app_secret: String,
    /// Who is connected.
    pub accounts: Vec<ServedAccount>,
}

/// An account that the stack begins with.
#[derive(Clone, Debug, Serialize)]
pub struct ServedAccount {
    /// Its id.
    pub account: AccountId,
    /// Its campaigns.
    pub campaigns: Vec<ServedCampaign>,
}

/// A campaign that the stack begins with.
#[derive(Clone, Debug, Serialize)]
pub struct ServedCampaign {
    /// Its id.
    pub campaign: CampaignId,
    /// What it answers.
    pub on: Vec<Trigger>,
    /// It must contain one of these; if empty, the campaign answers all.
    pub keywords: Vec<String>,
    /// What answers its opening, if something follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl From<&NewAccount> for ServedAccount {
    fn from(account: &NewAccount) -> Self {
        let campaign = |campaign: &Campaign| ServedCampaign {
            campaign: campaign.id.clone(),
            on: campaign.on.clone(),
            keywords: campaign.keywords.clone(),
            answer: campaign
                .then
                .as_ref()
                .map(|then| then.answer.first().map_or_else(|| "yes".to_owned(), String::clone)),
        };
        let campaigns = account.campaigns.iter().map(campaign).collect();
        Self { account: account.id.clone(), campaigns }
    }
}

/// How often the simulated Meta is asked for echoes.
const ECHOES: Duration = Duration::from_millis(100);

/// The schedule's period. In AWS it is a minute; here nobody wants to wait.
const TICK: Duration = Duration::from_secs(5);

/// The period of upkeep's schedule. In AWS it is a quarter of an hour.
const UPKEEP: Duration = Duration::from_secs(60);

/// Invocations of the sender at a time.
const SENDERS: usize = 4;

/// How long a poll of an empty queue waits at most before it looks again.
const IDLE: Duration = Duration::from_secs(1);

/// A served stack.
pub struct Served {
    /// The stack.
    pub stack: Arc<Stack>,
    /// Where it is.
    pub addresses: Addresses,
    /// What may surprise the writer of the accounts file about its limits.
    pub notes: Vec<String>,
}

/// Starts the stack and all that drives it.
///
/// # Errors
/// When a port is taken or the accounts file is refused.
pub fn start<'a>(
    options: &'a ServeOptions,
    quotas: &'a QuotaOptions,
) -> BoxFuture<'a, Result<Served>> {
    Box::pin(async move {
        let accounts = load_accounts(options.accounts.as_deref(), quotas)?;
        let mut notes = limit_notes(accounts.iter().filter_map(NewAccount::named_limits));
        notes.extend(campaign_notes(&accounts, SystemClock::new().now()));
        let served_accounts = accounts.iter().map(ServedAccount::from).collect();
        let stack = Stack::start(Blueprint {
            clock: Arc::new(SystemClock::new()),
            pace: Pace::Real,
            accounts,
            graph: GraphConfig {
                limits: quotas.limits(),
                unknown_comments: UnknownComments::Accept,
                ..GraphConfig::default()
            },
            ports: Ports {
                graph: options.graph_port,
                dynamodb: options.dynamodb_port,
                sqs: options.sqs_port,
                links: options.link_port,
            },
            seed: None,
            wrap: std::convert::identity,
        })
        .await?;
        let stack = Arc::new(stack);
        let (origin, listener) = listen(options.webhook_port).await?;
        tokio::spawn(stack.clone().serve_function_url(listener, observe));
        tokio::spawn(stack.clone().serve_links());
        for _ in 0..SENDERS {
            tokio::spawn(drive(stack.clone(), Source::Sends));
        }
        tokio::spawn(drive(stack.clone(), Source::Releases));
        let ticking = stack.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                ticking.tick().await;
            }
        });
        tokio::spawn(deliver_echoes(stack.clone()));
        let (kms_url, listener) = listen(0).await?;
        tokio::spawn(aws_json::serve(Kms(stack.keys.clone()), listener, stack.stopped()));
        let (secrets_manager_url, listener) = listen(0).await?;
        let secrets = SecretsManager(stack.secrets.clone());
        tokio::spawn(aws_json::serve(secrets, listener, stack.stopped()));
        let (cloudwatch_url, listener) = listen(0).await?;
        let metrics = CloudWatch(stack.delivery_metrics.clone());
        tokio::spawn(aws_json::serve(metrics, listener, stack.stopped()));
        let keeping = stack.clone();
        tokio::spawn(async move {
            let mut visits = tokio::time::interval(UPKEEP);
            loop {
                visits.tick().await;
                keeping.keep_up().await;
            }
        });
        let first = |secrets: &[secrecy::SecretString]| {
            secrets.first().map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
        };
        let console_url = stack.serve_console(options.console_port).await?;
        let addresses = Addresses {
            webhook_url: format!("{origin}{WEBHOOK_PATH}"),
            comments_url: format!("{origin}{COMMENTS_PATH}"),
            inbox_url: format!("{origin}{INBOX_PATH}"),
            people_url: format!("{origin}{PEOPLE_PATH}"),
            report_url: format!("{origin}{REPORT_PATH}"),
            messages_url: format!("{origin}{MESSAGES_PATH}"),
            link_url: stack.config.link_url.clone().unwrap_or_default(),
            console_url,
            graph_url: stack.config.graph.base_url.clone(),
            dynamodb_url: stack.dynamodb_url.clone(),
            sqs_url: stack.sqs_url.clone(),
            kms_url,
            secrets_manager_url,
            cloudwatch_url,
            verify_token: first(&stack.secrets.verify_tokens),
            app_secret: first(&stack.secrets.app_secrets),
            accounts: served_accounts,
        };
        let served = Served { stack, addresses, notes };
        if let Some(path) = &options.write_deployment {
            std::fs::write(path, served.deployment())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(served)
    })
}

/// Polls a queue for its function, as an event source mapping does.
async fn drive(stack: Arc<Stack>, source: Source) {
    loop {
        let arrival = stack.sqs.arrivals().notified();
        tokio::pin!(arrival);
        arrival.as_mut().enable();
        let now = stack.clock.now();
        let wait = match stack.sqs.next_visible(source.queue()) {
            Some(at) if at <= now => Duration::ZERO,
            Some(at) => at.since(now).min(IDLE),
            None => IDLE,
        };
        if !wait.is_zero() {
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep(wait) => {}
            }
            continue;
        }
        match stack.poll(source).await {
            Ok(Polled::Ran | Polled::Refused) => {}
            // Another poller took it.
            Ok(Polled::Empty) => tokio::task::yield_now().await,
            Ok(Polled::Unanswered) => tokio::time::sleep(IDLE).await,
            Err(error) => {
                warn!(error = format!("{error:#}"), "poll failed");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

/// Delivers the echoes of messages to the webhook, each once.
async fn deliver_echoes(stack: Arc<Stack>) {
    let mut looks = tokio::time::interval(ECHOES);
    let mut waiting: Vec<EchoDelivery> = Vec::new();
    loop {
        looks.tick().await;
        waiting.extend(stack.graph.take_echoes());
        let now = stack.clock.now();
        for EchoDelivery { body, .. } in waiting.extract_if(.., |echo| echo.at <= now) {
            let headers = signed(&stack, &body);
            let path = Uri::from_static(WEBHOOK_PATH);
            let answer = stack.invoke_webhook(&Method::POST, &path, &headers, &body).await;
            if !answer.status().is_success() {
                warn!(status = %answer.status(), "an echo was not taken");
            }
        }
    }
}

/// Tells the simulated Meta of what people do in a body, signed or not: who wrote comments and when,
/// and who wrote or tapped, which opens their window. Comments it has not seen are made up when they
/// are answered.
pub(crate) fn observe(stack: &Stack, body: &[u8]) {
    observe_comments(stack, body);
    let Ok(delivery) = spillway_meta::webhook::parse(body) else { return };
    let now = stack.clock.now();
    for event in delivery.events {
        let Event::Conversation(event) = event else { continue };
        let opens = matches!(event.what, What::Message(_) | What::Postback(_) | What::Referral(_));
        let at = event.happened_at(now);
        if let Some(person) =
            event.sender.filter(|person| person.as_str() != event.account.as_str())
            && opens
        {
            stack.graph.wrote(event.account, person, at);
        }
    }
}

fn observe_comments(stack: &Stack, body: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let Some(entries) = body["entry"].as_array() else { return };
    for entry in entries {
        let Some(account) = entry["id"].as_str() else { continue };
        let changes = entry["changes"].as_array().cloned().unwrap_or_default();
        for change in &changes {
            let surface = match change["field"].as_str() {
                Some("comments") => Surface::Post,
                Some("live_comments") => Surface::Live,
                _ => continue,
            };
            let value = &change["value"];
            let id = value["id"].as_str().or(value["comment_id"].as_str());
            let (Some(id), Some(author)) = (id, value["from"]["id"].as_str()) else { continue };
            let username = value["from"]["username"].as_str().unwrap_or(author).to_owned();
            let text = value["text"].as_str().unwrap_or_default().to_owned();
            stack.graph.say(account, id, Words { text, username: Some(username) });
            let now = stack.clock.now();
            let seconds = entry["time"].as_u64().filter(|&time| time < 100_000_000_000);
            stack.graph.observe_comment(Comment {
                id: id.into(),
                account: account.into(),
                media: value["media"]["id"].as_str().unwrap_or("unknown").into(),
                author: author.into(),
                created_at: seconds.map_or(now, Timestamp::from_secs).min(now),
                surface,
            });
        }
    }
}

impl Served {
    /// The stack's deployment file. Its credentials open nothing: the embedded services check none.
    pub fn deployment(&self) -> String {
        let config = &self.stack.config;
        let Addresses {
            webhook_url,
            link_url,
            dynamodb_url,
            sqs_url,
            kms_url,
            secrets_manager_url,
            cloudwatch_url,
            ..
        } = &self.addresses;
        [
            ("SPILLWAY_SENDS_TABLE", config.sends_table.as_str()),
            ("SPILLWAY_STATE_TABLE", &config.state_table),
            ("SPILLWAY_SEND_QUEUE_URL", &config.send_queue_url),
            ("SPILLWAY_DEAD_LETTER_QUEUE_URL", &config.dead_letter_queue_url),
            ("SPILLWAY_RELEASE_QUEUE_URL", &config.release_queue_url),
            ("SPILLWAY_SECRET_ID", &config.secret_id),
            ("SPILLWAY_KMS_KEY", &config.kms_key),
            ("SPILLWAY_STACK", &config.stack),
            ("SPILLWAY_GRAPH_URL", &config.graph.base_url),
            ("SPILLWAY_GRAPH_VERSION", &config.graph.version),
            ("SPILLWAY_WEBHOOK_URL", webhook_url),
            ("SPILLWAY_LINK_URL", link_url),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url),
            ("AWS_ENDPOINT_URL_SQS", sqs_url),
            ("AWS_ENDPOINT_URL_KMS", kms_url),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_manager_url),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch_url),
        ]
        .map(|(name, value)| format!("{name}=\"{value}\"\n"))
        .concat()
    }

    /// What to do now, for people.
    pub fn welcome(&self) -> String {
        let Addresses {
            webhook_url,
            comments_url,
            inbox_url,
            people_url,
            report_url,
            messages_url,
            console_url,
            graph_url,
            dynamodb_url,
            sqs_url,
            verify_token,
            app_secret,
            accounts,
            ..
        } = &self.addresses;
        let connected: String = accounts.iter().map(ServedAccount::line).collect();
        let comment = example(accounts, comments_url, |trigger| trigger == Trigger::Comment);
        let comment = comment.unwrap_or_else(|| "No campaign answers comments.".to_owned());
        let message = example(accounts, inbox_url, |trigger| !trigger.is_comment());
        let message = message.unwrap_or_else(|| {
            "No campaign answers messages: `on` in a file for --accounts says so (`serve --help`).".to_owned()
        });
        let talk = talk(accounts, inbox_url, people_url);
        let table = &self.stack.config.sends_table;
        format!(
            "console       {console_url}   (the link is good once)\n\
             webhook       {webhook_url}\n\
             Graph API     {graph_url}   (calls: /_calls, faults: /_faults, judge: /_judge, logins: /_logins)\n\
             DynamoDB      {dynamodb_url}\n\
             SQS           {sqs_url}\n\
             verify token  {verify_token}\n\
             app secret    {app_secret}\n\
             \n\
             Connected:\n\
             {connected}\
             \n\
             Post a comment:\n\
             \n\
             {comment}\n\
             \n\
             Write a message; `\"on\"` makes it a story_reply, story_mention or referral:\n\
             \n\
             {message}\n\
             \n\
             {talk}\
             See what became of all comments:\n\
             \n\
             curl -sS {report_url}\n\
             \n\
             See each DM as it went out, in a browser or with curl (`?account=`, `?limit=`):\n\
             \n\
             {messages_url}\n\
             \n\
             Let Meta refuse the next call (`serve --help` lists what else can go wrong):\n\
             \n\
             curl -sS {graph_url}/_faults -d '{{\"kind\": \"throttled\", \"regain_minutes\": 1}}'\n\
             \n\
             Look inside:\n\
             \n\
             AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws --region {REGION} \\\n  \
             --endpoint-url {dynamodb_url} dynamodb scan --table-name {table}\n\
             \n\
             Everything is kept in memory, and is gone when this program ends. Stop with Ctrl-C.\n",
        )
    }
}

/// Says how to go on with a conversation, if a campaign has one.
fn talk(accounts: &[ServedAccount], inbox_url: &str, people_url: &str) -> String {
    let mut found = accounts.iter().filter_map(|account| {
        let answers = account.campaigns.iter().filter_map(|campaign| campaign.answer.as_ref());
        answers.map(move |answer| (account, answer)).next()
    });
    let Some((ServedAccount { account, .. }, answer)) = found.next() else { return String::new() };
    let command = |url: &str, mut body: Value| {
        body["account"] = json!(account);
        body["username"] = "ana".into();
        // For a shell's single quotes.
        format!("curl -sS {url} -d '{}'\n", body.to_string().replace('\'', "'\\''"))
    };
    let answer = command(inbox_url, json!({ "text": answer }));
    let tap = command(inbox_url, json!({ "tap": "I follow" }));
    let follow = command(people_url, json!({ "follows": "yes" }));
    format!(
        "Answer a DM, follow the account, and tap a button or quick reply, by its title or payload:\n\
         \n\
         {answer}{follow}{tap}\n"
    )
}

/// Returns the command that does what a campaign of the accounts answers, if `is_wanted`.
fn example(
    accounts: &[ServedAccount],
    url: &str,
    is_wanted: impl Fn(Trigger) -> bool,
) -> Option<String> {
    let campaigns = accounts
        .iter()
        .flat_map(|account| account.campaigns.iter().map(move |campaign| (account, campaign)));
    let mut answered = campaigns.filter_map(|(account, campaign)| {
        let trigger = campaign.on.iter().copied().find(|&trigger| is_wanted(trigger))?;
        Some((account, campaign, trigger))
    });
    let (account, campaign, trigger) = answered.next()?;
    let text = campaign.keywords.first().map_or("hello", String::as_str);
    let mut body = json!({ "account": account.account, "username": "ana", "text": text });
    if !trigger.is_comment() && trigger != Trigger::Message {
        body["on"] = trigger.as_str().into();
    }
    // For a shell's single quotes.
    let body = body.to_string().replace('\'', "'\\''");
    Some(format!("curl -sS {url} -d '{body}'"))
}

impl ServedAccount {
    /// What it answers, for people.
    fn line(&self) -> String {
        let campaign = |ServedCampaign { campaign, on, keywords, .. }: &ServedCampaign| {
            let wanted = match keywords.as_slice() {
                [] if **on == Trigger::DEFAULT => "every comment".to_owned(),
                [] => "all".to_owned(),
                keywords => keywords.join(", "),
            };
            let on: Vec<&str> = on.iter().map(|trigger| trigger.as_str()).collect();
            let on = if on == Trigger::DEFAULT.map(Trigger::as_str) {
                String::new()
            } else {
                format!(" (on {})", on.join(", "))
            };
            format!("  {}  campaign `{campaign}` answers: {wanted}{on}\n", self.account)
        };
        match self.campaigns.as_slice() {
            [] => format!("  {}  no campaign: nothing is answered\n", self.account),
            campaigns => campaigns.iter().map(campaign).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_example_is_of_a_campaign_that_answers_it() {
        let campaign = |on: &[Trigger], keywords: &[&str]| ServedCampaign {
            campaign: "c".into(),
            on: on.into(),
            keywords: keywords.iter().map(|&word| word.to_owned()).collect(),
            answer: None,
        };
        let account = |id: &str, campaigns| ServedAccount { account: id.into(), campaigns };
        let comments = |accounts: &[ServedAccount]| {
            example(accounts, "URL", |trigger| trigger == Trigger::Comment)
        };
        let messages =
            |accounts: &[ServedAccount]| example(accounts, "URL", |trigger| !trigger.is_comment());
        let dm = account("1", vec![campaign(&[Trigger::StoryReply], &["it's"])]);
        let guide = account("2", vec![campaign(&Trigger::DEFAULT, &[])]);
        let accounts = [dm, guide];
        let comment = r#"curl -sS URL -d '{"account":"2","text":"hello","username":"ana"}'"#;
        assert_eq!(comments(&accounts).as_deref(), Some(comment));
        let message = messages(&accounts).unwrap();
        assert!(message.contains(r#""account":"1""#) && message.contains(r"it'\''s"), "{message}");
        assert!(message.contains(r#""on":"story_reply""#), "{message}");
        assert_eq!(messages(&accounts[1..]), None);
        assert_eq!(talk(&accounts, "INBOX", "PEOPLE"), "");
        let asks = ServedCampaign { answer: Some("yes".into()), ..campaign(&[], &[]) };
        let talk = talk(&[account("3", vec![asks])], "INBOX", "PEOPLE");
        let answer = r#"curl -sS INBOX -d '{"account":"3","text":"yes","username":"ana"}'"#;
        assert!(talk.contains(answer), "{talk}");
    }
}
