//! A served stack with its deployment file, and the program run against it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use spillway_judge::Action;
use spillway_local::serve::{self, ServeOptions, Served};
use spillway_local::setup::QuotaOptions;
use spillway_meta::signature::sign;

use crate::forms::assert_documented;
use crate::terminal::{Size, Terminal};

/// The account with the campaign `guide`.
pub(crate) const CREATOR: &str = "17841400000000001";
/// The account whose campaign `everything` takes every comment.
pub(crate) const OTHER: &str = "17841400000000002";

pub(crate) struct Stand {
    pub(crate) served: Served,
    file: PathBuf,
    pub(crate) http: reqwest::Client,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line of JSON: {}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The same, of a run that did what it should.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The same, of a run that ended with `code` and said `reason`.
    pub(crate) fn failed(self, code: i32, reason: &str) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(reason), "must say `{reason}`:\n{}", self.stderr);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program in an environment that names no deployment and no AWS account.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_spillway"));
    program.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
    program
}

/// A file of one test's own.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}-{name}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

impl Stand {
    /// With quotas that let a few hundred DMs go within a minute.
    pub(crate) async fn start() -> Self {
        Self::with_calls("200/1m").await
    }

    pub(crate) async fn with_calls(calls: &str) -> Self {
        let rate = |text: &str| text.parse().unwrap();
        let quotas = QuotaOptions {
            calls: rate(calls),
            // Out of the way: they set the pace too.
            replies: rate("100000/1h"),
            recipients: rate("100000/24h"),
        };
        let file = file("local.env", "");
        let options = ServeOptions {
            accounts: None,
            webhook_port: 0,
            graph_port: 0,
            dynamodb_port: 0,
            sqs_port: 0,
            link_port: 0,
            console_port: 0,
            write_deployment: Some(file.clone()),
        };
        let served = serve::start(&options, &quotas).await.unwrap();
        let http = spillway_meta::http::client().no_proxy().build().unwrap();
        Self { served, file, http }
    }

    /// Runs the program for this stack.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    /// Runs the program for this stack on a terminal of its own.
    pub(crate) fn run_on(&self, size: Size, arguments: &[&str]) -> Terminal {
        let file = self.file.to_str().unwrap();
        Terminal::run(size, &[&["--deployment", file], arguments].concat())
    }

    /// The same, with something on its standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        self.run_by(&self.file, arguments, stdin).await
    }

    /// Runs it for this stack with other values for these names, for parts that are elsewhere.
    pub(crate) async fn run_moved(&self, moved: &[(&str, &str)], arguments: &[&str]) -> Ran {
        static MOVES: AtomicU32 = AtomicU32::new(0);
        let text = self.served.deployment();
        let line = |line: &str| {
            let is_of = |name: &&(&str, &str)| line.starts_with(&format!("{}=", name.0));
            match moved.iter().find(is_of) {
                Some((name, value)) => format!("{name}=\"{value}\"\n"),
                None => format!("{line}\n"),
            }
        };
        let name = format!("moved-{}.env", MOVES.fetch_add(1, Ordering::Relaxed));
        let mut moved_to = text.lines().map(line).collect::<String>();
        // A name that a local stack does not write.
        for (name, value) in moved.iter().filter(|(name, _)| !text.contains(&format!("{name}="))) {
            moved_to += &format!("{name}=\"{value}\"\n");
        }
        let file = file(&name, &moved_to);
        self.run_by(&file, arguments, "").await
    }

    /// The program for this stack, which is not run yet.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut program = program();
        program.arg("--deployment").arg(&self.file).args(arguments);
        program
    }

    async fn run_by(&self, deployment: &Path, arguments: &[&str], stdin: &str) -> Ran {
        let mut program = program();
        program.arg("--deployment").arg(deployment).args(arguments);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let stdin = stdin.to_owned();
        let run = move || {
            let mut child = program.spawn().unwrap();
            child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
            Ran::from(child.wait_with_output().unwrap())
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// Runs the program for this stack, and returns its JSON, which has the documented form.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let mut with_json = vec!["--json"];
        with_json.extend(arguments);
        let printed = self.run(&with_json).await.ok().json();
        assert_documented(arguments, &printed);
        printed
    }

    /// Comments by different people on one Reel, as Meta would tell of them.
    pub(crate) async fn comment(&self, account: &str, text: &str, numbers: std::ops::Range<u32>) {
        let changes: Vec<Value> = numbers
            .map(|n| {
                json!({ "field": "comments", "value": {
                    "id": comment_id(n),
                    "from": { "id": format!("52600000{n:07}"), "username": format!("viewer.{n}") },
                    "media": { "id": "17900000000000001" },
                    "text": text,
                }})
            })
            .collect();
        let time = self.served.stack.clock.now().as_secs();
        let entry = json!([{ "id": account, "time": time, "changes": changes }]);
        let body = json!({ "object": "instagram", "entry": entry }).to_string();
        let secret = self.served.stack.secrets.app_secrets.first().unwrap();
        let answer = self
            .http
            .post(&self.served.addresses.webhook_url)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sign(secret, body.as_bytes()))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Lets an account's owner log in: the app's id and the code that comes back.
    pub(crate) async fn log_in(&self, account: &str) -> Value {
        let url = format!("{}/_logins", self.served.addresses.graph_url);
        let answer = self.http.post(url).body(account.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// Orders a fault of the simulated Meta.
    pub(crate) async fn fault(&self, fault: Value) {
        let url = format!("{}/_faults", self.served.addresses.graph_url);
        let answer = self.http.post(url).body(fault.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Waits until `arguments` print what `is_there` wants, and gives it.
    pub(crate) async fn until(
        &self,
        arguments: &[&str],
        is_there: impl Fn(&Value) -> bool,
    ) -> Value {
        for _ in 0..120 {
            let printed = self.json(arguments).await;
            if is_there(&printed) {
                return printed;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("never there: {arguments:?}: {}", self.json(arguments).await);
    }

    /// How many private replies Meta was asked for. Upkeep makes other calls beside them.
    pub(crate) fn calls(&self) -> usize {
        let calls = self.served.stack.graph.calls();
        calls.iter().filter(|call| call.action == Action::PrivateReply).count()
    }
}

pub(crate) fn comment_id(n: u32) -> String {
    format!("1789{n:013}")
}

pub(crate) fn send_id(account: &str, n: u32) -> String {
    format!("{account}/{}", comment_id(n))
}
