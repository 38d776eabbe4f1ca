//! Where a deployment is: a file with the names that the functions have in their environment, on
//! AWS or of a local stack; and `spillway deployment`, which writes one.
//!
//! The file is the environment of the functions, readable as TOML and by a shell. The names for
//! the AWS tools are the usual ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use clap::Args;
use reqwest::Url;
use serde_json::Value;
use spillway_cloud::cloudwatch::CloudWatch;
use spillway_cloud::config::Config;
use spillway_cloud::dead_letters::DeadLetters;
use spillway_cloud::http;
use spillway_cloud::secrets::{SecretsManager, process_number};
use spillway_cloud::server_date::ServerDate;
use spillway_cloud::token::Kms;
use spillway_cloud::wiring::Wiring;
use spillway_core::active_hours::Zone;
use spillway_core::id::AccountId;
use spillway_meta::graph::is_private;
use spillway_service::admin::Admin;
use spillway_service::clock::{Clock, ClockCheck, SystemClock};
use spillway_service::port::StoreError;

use crate::exit::WrongUsage;
use crate::output::{Output, Times};

/// Which deployment a command is for.
#[derive(Args, Clone, Debug)]
pub(crate) struct Where {
    /// File that says where the deployment is; without it the environment is read, as the functions
    /// do
    #[arg(long, short, env = "SPILLWAY_DEPLOYMENT", value_name = "FILE", global = true)]
    deployment: Option<PathBuf>,
}

/// What a deployment file may name beside what [`Config`] reads: where AWS is, and who asks. All of
/// it is what the AWS tools call it, so that a shell can read the file for them too.
const OF_AWS: [&str; 9] = [
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_CLOUDWATCH",
    "AWS_PROFILE",
];

/// The stack's output that each name stands for.
const OUTPUTS: [(&str, &str); 11] = [
    ("SPILLWAY_SENDS_TABLE", "SendsTable"),
    ("SPILLWAY_STATE_TABLE", "StateTable"),
    ("SPILLWAY_SEND_QUEUE_URL", "SendQueueUrl"),
    ("SPILLWAY_DEAD_LETTER_QUEUE_URL", "DeadLetterQueueUrl"),
    ("SPILLWAY_RELEASE_QUEUE_URL", "ReleaseQueueUrl"),
    ("SPILLWAY_SECRET_ID", "SecretArn"),
    ("SPILLWAY_KMS_KEY", "KeyArn"),
    ("SPILLWAY_STACK", "StackName"),
    ("SPILLWAY_WEBHOOK_URL", "WebhookUrl"),
    ("SPILLWAY_LINK_URL", "LinkUrl"),
    (SCHEDULE_DEAD_LETTERS, "ScheduleDeadLetterQueueUrl"),
];

/// Where the schedules' dead letters are. Local stacks and deployments of before do not say.
const SCHEDULE_DEAD_LETTERS: &str = "SPILLWAY_SCHEDULE_DEAD_LETTER_QUEUE_URL";

/// The names and values of a deployment file, or of the environment.
#[derive(Clone)]
struct Names {
    values: BTreeMap<String, String>,
    from: String,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value may be a secret key.
        write!(f, "Names({}: {:?})", self.from, self.values.keys())
    }
}

impl Names {
    fn of_environment() -> Result<Self> {
        let all = std::env::vars_os();
        Self::of_variables(all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// Takes our own names. Where the AWS clients find AWS, they read by themselves.
    fn of_variables(all: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (name, value) in all {
            ensure!(
                !is_address(&name) || is_safe(&value),
                "`{name}` of the environment must be an https:// address, or an http:// one of this \
                 machine"
            );
            if name.starts_with("SPILLWAY_") {
                values.insert(name, value);
            }
        }
        Ok(Self { values, from: "the environment".into() })
    }

    fn of_file(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| {
            format!("cannot read the deployment file {shown}; `spillway deployment` writes one")
        })?;
        let values = parse(&text).with_context(|| format!("{shown} is no deployment file"))?;
        Ok(Self { values, from: shown.to_string() })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// Whether a variable says where something is that gets or gives secrets.
fn is_address(name: &str) -> bool {
    name.starts_with("AWS_ENDPOINT_URL")
        || ["SPILLWAY_GRAPH_URL", "SPILLWAY_LINK_URL", "SPILLWAY_WEBHOOK_URL"].contains(&name)
}

/// Whether secrets may go to this address.
fn is_safe(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| is_private(&url))
}

/// Reads `NAME="value"` lines, which are TOML as well as shell. Errors name lines and known names
/// only: anything else may be a secret at the wrong place.
fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    let line = |at: usize| 1 + text[..at].matches('\n').count();
    let values: BTreeMap<String, toml::Spanned<String>> =
        toml::from_str(text).map_err(|error| {
            let line = line(error.span().map_or(0, |span| span.start.min(text.len())));
            anyhow!("line {line} cannot be read: write NAME=\"value\", and each name once")
        })?;
    let mut known: Vec<&str> = OUTPUTS.iter().map(|&(name, _)| name).collect();
    known.extend(["SPILLWAY_GRAPH_URL", "SPILLWAY_GRAPH_VERSION"]);
    known.extend(OF_AWS);
    for (name, value) in &values {
        let line = line(value.span().start);
        ensure!(
            known.contains(&name.as_str()),
            "line {line}: this name is not known. These are: {}",
            known.join(", ")
        );
        ensure!(
            !is_address(name) || is_safe(value.as_ref()),
            "line {line}: `{name}` must be an https:// address, or an http:// one of this machine"
        );
    }
    Ok(values.into_iter().map(|(name, value)| (name, value.into_inner())).collect())
}

/// A deployment, ready to be worked with.
pub(crate) struct Deployment {
    /// The use cases' parts.
    pub(crate) wiring: Wiring,
    /// What operators do.
    pub(crate) admin: Admin,
    /// DynamoDB.
    pub(crate) dynamo: aws_sdk_dynamodb::Client,
    /// The dead-letter queue.
    pub(crate) dead_letters: DeadLetters,
    /// The schedules' dead-letter queue, if that was said.
    pub(crate) schedule_dead_letters: Option<DeadLetters>,
    /// Where its parts are.
    pub(crate) config: Config,
    /// Where Meta delivers to, if that was said.
    pub(crate) webhook_url: Option<String>,
    /// Whose services its parts are.
    pub(crate) services: Services,
    /// Where the app's secrets are.
    pub(crate) secrets: SecretsManager,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Whose services a deployment uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Services {
    /// AWS's.
    Aws,
    /// Those of a local stack, which has what Spillway calls and no more.
    Local,
}

impl Where {
    /// Opens the deployment: makes clients, asks nothing yet.
    pub(crate) async fn open(&self) -> Result<Deployment> {
        let names = match &self.deployment {
            Some(path) => Names::of_file(path)?,
            None => Names::of_environment()?,
        };
        let config = names.config()?;
        let aws = names.aws().await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let check = Arc::<ClockCheck>::default();
        let date = ServerDate { clock: clock.clone(), check: check.clone() };
        let dynamo = aws_sdk_dynamodb::config::Builder::from(&aws).interceptor(date);
        let sqs = aws_sdk_sqs::config::Builder::from(&aws);
        let kms = aws_sdk_kms::config::Builder::from(&aws);
        let secrets = aws_sdk_secretsmanager::config::Builder::from(&aws);
        let endpoint = |service: &str| names.get(&format!("AWS_ENDPOINT_URL_{service}"));
        let dynamo = endpoint("DYNAMODB").map_or(dynamo.clone(), |url| dynamo.endpoint_url(url));
        let sqs = endpoint("SQS").map_or(sqs.clone(), |url| sqs.endpoint_url(url));
        let kms = endpoint("KMS").map_or(kms.clone(), |url| kms.endpoint_url(url));
        let secrets =
            endpoint("SECRETS_MANAGER").map_or(secrets.clone(), |url| secrets.endpoint_url(url));
        let dynamo = aws_sdk_dynamodb::Client::from_conf(dynamo.build());
        let sqs = aws_sdk_sqs::Client::from_conf(sqs.build());
        let secrets = aws_sdk_secretsmanager::Client::from_conf(secrets.build());
        let client = aws_sdk_kms::Client::from_conf(kms.build());
        let kms = Arc::new(Kms { client, key: config.kms_key.clone() });
        let counts = match (endpoint("DYNAMODB"), endpoint("CLOUDWATCH")) {
            // A local stack of before has none, and AWS knows nothing of it.
            (Some(_), None) => None,
            (_, url) => CloudWatch::new(&aws, url, &config.stack, clock.clone()),
        };
        let wiring = Wiring::new(&config, kms, &dynamo, &sqs, clock, process_number()?)?;
        let counts = counts.map_or_else(|| wiring.counts.clone(), |counts| Arc::new(counts));
        let wiring = Wiring { check, counts, ..wiring };
        Ok(Deployment::new(&names, config, wiring, dynamo, sqs, secrets))
    }
}

impl Names {
    fn config(&self) -> Result<Config> {
        Config::read(|name| self.get(name).map(str::to_owned)).map_err(|error| {
            let missing: Vec<_> = error.missing.iter().map(|&(name, _)| name).collect();
            anyhow!(
                "{} does not say where the deployment is: {} missing. Write a deployment file with \
                 `spillway deployment --help` and name it with --deployment FILE or \
                 SPILLWAY_DEPLOYMENT",
                self.from,
                missing.join(", ")
            )
        })
    }

    /// Region and credentials: what is not named comes from where the AWS tools have it.
    async fn aws(&self) -> Result<SdkConfig> {
        let mut aws = aws_config::defaults(BehaviorVersion::latest()).http_client(http::client());
        if let Some(region) = self.get("AWS_REGION") {
            aws = aws.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = self.get("AWS_PROFILE") {
            aws = aws.profile_name(profile);
        }
        if let (Some(id), Some(secret)) =
            (self.get("AWS_ACCESS_KEY_ID"), self.get("AWS_SECRET_ACCESS_KEY"))
        {
            aws = aws.credentials_provider(Credentials::new(id, secret, None, None, "file"));
        }
        let aws = aws.load().await;
        ensure!(
            aws.region().is_some(),
            "no AWS region is set: write AWS_REGION into the deployment file or the environment"
        );
        Ok(aws)
    }
}

impl Deployment {
    fn new(
        names: &Names,
        config: Config,
        wiring: Wiring,
        dynamo: aws_sdk_dynamodb::Client,
        sqs: aws_sdk_sqs::Client,
        secrets: aws_sdk_secretsmanager::Client,
    ) -> Self {
        let admin = wiring.admin();
        let letters_of = |url: &str| DeadLetters {
            client: sqs.clone(),
            url: url.to_owned(),
            send_url: config.send_queue_url.clone(),
        };
        let dead_letters = letters_of(&config.dead_letter_queue_url);
        let schedule_dead_letters = names.get(SCHEDULE_DEAD_LETTERS).map(letters_of);
        let secrets = SecretsManager { client: secrets, id: config.secret_id.clone() };
        let webhook_url = names.get("SPILLWAY_WEBHOOK_URL").map(str::to_owned);
        let services = match names.get("AWS_ENDPOINT_URL_DYNAMODB") {
            Some(_) => Services::Local,
            None => Services::Aws,
        };
        let clock = wiring.clock.clone();
        Self {
            wiring,
            admin,
            dynamo,
            dead_letters,
            schedule_dead_letters,
            config,
            webhook_url,
            services,
            secrets,
            clock,
        }
    }
}

impl Deployment {
    /// Tells times by the zone that all these accounts have; in UTC if they have several.
    pub(crate) async fn times_of_all<'a>(
        &self,
        accounts: impl Iterator<Item = &'a AccountId>,
    ) -> Result<Times> {
        let mut zone = None;
        for account in accounts.collect::<BTreeSet<_>>() {
            let Some(of_account) = self.zone_of(account).await? else { continue };
            if zone.get_or_insert_with(|| of_account.clone()) != &of_account {
                return Ok(Times::utc(self.clock.now()));
            }
        }
        Ok(Times { now: self.clock.now(), zone: zone.unwrap_or_default() })
    }

    /// Tells times by the account's zone; in UTC if the account is not connected or cannot be read.
    pub(crate) async fn times_of(&self, account: &AccountId) -> Result<Times> {
        let zone = self.zone_of(account).await?.unwrap_or_default();
        Ok(Times { now: self.clock.now(), zone })
    }

    async fn zone_of(&self, account: &AccountId) -> Result<Option<Zone>, StoreError> {
        match self.wiring.accounts.load(account).await {
            Ok(account) => Ok(account.map(|account| account.rules.terms().time_zone.clone())),
            Err(StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What is printed.
#[derive(Args)]
#[command(after_help = "\
Examples:

  From the outputs of a stack on AWS:
    sam list stack-outputs --stack-name spillway --output json | spillway deployment > prod.env
    aws cloudformation describe-stacks --stack-name spillway | spillway deployment > prod.env

  Then, for every command:
    spillway --deployment prod.env account list
    export SPILLWAY_DEPLOYMENT=prod.env

  A local stack writes its own file:
    spillway-local serve --write-deployment local.env

The file holds lines NAME=\"value\": the SPILLWAY_ names that the functions use, and optionally
AWS_REGION, AWS_PROFILE or AWS_ENDPOINT_URL_ names. Without a file the environment is read. The file
holds no credentials: they come from where the `aws` command finds them.")]
pub(crate) struct Options {
    /// The stack's name, if the outputs do not contain it
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// The stack's region, if the outputs do not contain it
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// Writes a deployment file from a stack's outputs on standard input.
pub(crate) fn run(options: &Options, output: Output) -> Result<()> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        let wrong = "pipe the stack's outputs in: see `spillway deployment --help`";
        return Err(WrongUsage(wrong.into()).into());
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).context("read the outputs from standard input")?;
    let names = from_outputs(&text, options)?;
    output.print(&names, || names.iter().map(|(name, value)| line(name, value)).collect())
}

fn line(name: &str, value: &str) -> String {
    format!("{name}=\"{value}\"\n")
}

fn from_outputs(text: &str, options: &Options) -> Result<BTreeMap<String, String>> {
    let json: Value = serde_json::from_str(text).context("standard input holds no JSON")?;
    let stack = &json["Stacks"][0];
    let outputs = match (&json, &stack["Outputs"]) {
        (_, Value::Array(outputs)) | (Value::Array(outputs), _) => outputs,
        _ => bail!(
            "standard input holds neither the answer of `aws cloudformation describe-stacks` nor \
             that of `sam list stack-outputs --output json`"
        ),
    };
    let named: BTreeMap<&str, &str> = outputs
        .iter()
        .filter_map(|output| Some((output["OutputKey"].as_str()?, output["OutputValue"].as_str()?)))
        .collect();
    let stack_name = options.stack.as_deref().or(stack["StackName"].as_str());
    let mut names = BTreeMap::new();
    let mut missing = Vec::new();
    for (name, output) in OUTPUTS {
        let value = match output {
            "StackName" => stack_name.or(named.get(output).copied()),
            _ => named.get(output).copied(),
        };
        match value {
            Some(value) => {
                ensure!(
                    !value.contains(['"', '\\', '\n', '$', '`']),
                    "output {output} holds a character that a deployment file cannot"
                );
                names.insert(name.to_owned(), value.to_owned());
            }
            // With an address of one's own in front of the webhook there is none; the template of
            // before has none for the schedules' dead letters; links are off unless they are turned on.
            None if ["WebhookUrl", "LinkUrl", "ScheduleDeadLetterQueueUrl"].contains(&output) => {}
            None => missing.push(output),
        }
    }
    ensure!(
        missing.is_empty(),
        "the outputs lack {}: deploy the current template first, or is this another stack?",
        missing.join(", ")
    );
    // Every ARN names the region.
    let of_arn = || names["SPILLWAY_KMS_KEY"].split(':').nth(3).map(str::to_owned);
    if let Some(region) = options.region.clone().or_else(of_arn) {
        names.insert("AWS_REGION".into(), region);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Options = Options { stack: None, region: None };

    fn outputs() -> Vec<Value> {
        OUTPUTS
            .iter()
            .map(|(_, output)| {
                let value = match *output {
                    "KeyArn" => "arn:aws:kms:eu-central-1:111122223333:key/1",
                    "WebhookUrl" | "LinkUrl" => "https://a.example/",
                    other => other,
                };
                serde_json::json!({ "OutputKey": output, "OutputValue": value })
            })
            .collect()
    }

    #[test]
    fn outputs_of_either_tool_become_names_that_are_read_back() {
        let sam = serde_json::to_string(&outputs()).unwrap();
        let aws = serde_json::json!({ "Stacks": [{ "StackName": "mine", "Outputs": outputs() }] });
        let (sam, aws) =
            (from_outputs(&sam, &NONE).unwrap(), from_outputs(&aws.to_string(), &NONE).unwrap());
        assert_eq!((&*sam["SPILLWAY_STACK"], &*aws["SPILLWAY_STACK"]), ("StackName", "mine"));
        assert_eq!(aws["AWS_REGION"], "eu-central-1");
        let file: String = aws.iter().map(|(name, value)| line(name, value)).collect();
        assert_eq!(parse(&file).unwrap(), aws);
        assert!(Config::read(|name| aws.get(name).cloned()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| format!("{:#}", from_outputs(text, &NONE).unwrap_err());
        assert!(error("hello").contains("no JSON"));
        assert!(error("{}").contains("describe-stacks"));
        assert!(error("[]").contains("lack SendsTable, "), "{}", error("[]"));
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(error("A=\"1\"\n").contains("line 1: this name is not known"));
        assert!(error("AWS_REGION=\"x\"\nSPILLWAY_TABLE=\"y\"\n").contains("line 2"));
        assert!(error("AWS_REGION=x").contains("line 1"));
    }

    #[test]
    fn no_error_repeats_a_secret_that_stands_at_a_wrong_place() {
        const SECRET: &str = "wJalrXUtnFEMI-bPxRfiCY";
        let first = "AWS_REGION=\"eu-central-1\"\n";
        for line in [
            "{}",
            "{}=\"x\"",
            "\"{}\"=\"x\"",
            "AWS_SECRET_ACCESS_KEY={}",
            "AWS_SECRET_ACCESS_KEY=\"{}",
            "AWS_SECRET_ACCESS_KEY=\"{}\\q\"",
            "AWS_SECRET_ACCESS_KEY=[\"{}\"]",
            "AWS_SECRET_ACCESS_KEY=\"{}\" trailing",
            "export AWS_SECRET_ACCESS_KEY=\"{}\"",
            "AWS_SECRET_ACCESS_KEY.\"{}\"=\"x\"",
            "[{}]",
            "AWS_ENDPOINT_URL_SQS=\"{}\"",
            "AWS_ENDPOINT_URL_SQS=\"http://user:{}@10.0.0.1/\"",
            "SPILLWAY_GRAPH_URL=\"http://{}/\"",
        ] {
            let text = format!("{first}{}\n", line.replace("{}", SECRET));
            let error = parse(&text).unwrap_err();
            let shown = format!("{error:#} {error:?}");
            assert!(shown.contains("line 2") && !shown.contains(SECRET), "{line}: {shown}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let takes = |name: &str, url: &str| {
            let of_file = parse(&format!("{name}=\"{url}\"\n")).is_ok();
            let of_environment = Names::of_variables([(name.into(), url.into())].into_iter());
            assert_eq!(of_file, of_environment.is_ok(), "{name} {url}");
            of_file
        };
        let endpoints = OF_AWS.into_iter().filter(|name| name.contains("ENDPOINT"));
        for name in
            endpoints.chain(["SPILLWAY_GRAPH_URL", "SPILLWAY_LINK_URL", "SPILLWAY_WEBHOOK_URL"])
        {
            for host in ["127.0.0.1:8000", "[::1]:1", "localhost:1"] {
                assert!(takes(name, &format!("http://{host}/")), "{name} {host}");
            }
            for host in ["a.example", "192.0.2.2", "localhost.a.example", "127.0.0.1.a.example"] {
                assert!(takes(name, &format!("https://{host}/")), "{name} {host}");
                assert!(!takes(name, &format!("http://{host}/")), "{name} {host}");
            }
            for url in ["ftp://localhost", "localhost", ""] {
                assert!(!takes(name, url), "{name} {url}");
            }
        }
    }
}
