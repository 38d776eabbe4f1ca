//! `spillway-local` as a program: what it prints, and how it ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_spillway-local"));
    program.env_remove("RUST_LOG");
    program
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_story_prints_one_json_object_and_nothing_else() {
    let output = run(&["--json", "--comments", "50", "--seed", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let number =
        |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no {name}: {report}"));
    for (name, value) in [
        ("matched", 50.0),
        ("sent", 50.0),
        ("waiting", 0.0),
        ("failed", 0.0),
        ("expired", 0.0),
        ("cancelled", 0.0),
        ("duplicates", 0.0),
        ("violations", 0.0),
        ("graph_calls", 50.0),
        ("seed", 7.0),
    ] {
        assert_eq!(number(name), value, "{name}");
    }
    assert!(number("optimum_s") > 0.0 && number("finish_s") >= number("optimum_s"));
    assert!(number("aws_requests_per_dm") > 1.0 && number("write_units_per_dm") > 1.0);
}

#[test]
fn the_report_for_people_names_every_state_and_the_limits() {
    let output = run(&["--comments", "20"]);
    assert!(output.status.success());
    let stdout = text(&output.stdout);
    for word in
        ["matched", "sent", "waiting", "failed", "duplicates", "violations", "calls / hour 200/1 h"]
    {
        assert!(stdout.contains(word), "`{word}` is missing:\n{stdout}");
    }
}

#[test]
fn a_story_of_conversations_reports_a_funnel() {
    let some = ["--conversation", "--comments", "15", "--seed", "3"];
    let output = run(&[&some[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let funnel = &report["funnel"];
    assert_eq!(funnel["opened"], 15, "{report}");
    let ended = funnel["ended"].as_object().unwrap();
    assert_eq!(ended.values().filter_map(Value::as_u64).sum::<u64>(), 15, "{report}");
    assert_eq!(ended["delivered"], funnel["delivered"]);
    assert_eq!((&report["outside_window"], &report["steps_twice"]), (&0.into(), &0.into()));

    let stdout = text(&run(&some).stdout);
    for word in ["answered", "followed up", "taken over", "steps twice", "calls / hour 200/1 h"] {
        assert!(stdout.contains(word), "`{word}` is missing:\n{stdout}");
    }
}

/// What is read in part ends without a complaint.
#[test]
fn a_pipe_that_is_closed_early_ends_quietly() {
    for arguments in [&["--comments", "5"][..], &["--comments", "5", "--json"]] {
        let mut program = program();
        program.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.success() && !stderr.contains("panic"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_drill_prints_what_each_trouble_did() {
    let some = ["drill", "--comments", "60", "--only", "store,queue"];
    let output = run(&[&some[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["wanted"], &report["sent"]), (&60.into(), &60.into()), "{report}");
    for name in ["lost", "twice", "violations", "waiting"] {
        assert_eq!(report[name], 0, "{name}");
    }
    let troubles = report["troubles"].as_array().unwrap();
    let named: Vec<&Value> = troubles.iter().map(|trouble| &trouble["trouble"]).collect();
    assert_eq!(named, ["store", "queue"]);

    let stdout = text(&run(&some).stdout);
    for said in ["02:00 - 02:10", "05:00 - 05:15", "caught up", "lost", "DMs twice", "over a limit"]
    {
        assert!(stdout.contains(said), "`{said}` is missing:\n{stdout}");
    }
}

#[test]
fn a_day_has_not_every_trouble_and_says_what_has() {
    let output = run(&["drill", "--only", "throttle"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("none of these troubles: give --days"), "{stderr}");
}

#[test]
fn wrong_options_are_refused_with_help_and_code_2() {
    for (arguments, said) in [
        (vec!["--calls", "20"], "write LIMIT/WINDOW, for instance 200/1h"),
        (vec!["--calls", "0/1h"], "is no limit"),
        (vec!["--recipients", "20/2w"], "write for instance 90s, 10m or 24h"),
        (vec!["--comments", "0"], "1..=1000000"),
        (vec!["--comment", "5"], "--comments"),
        (vec!["--span", "10"], "is no span"),
        (vec!["server"], "serve"),
        (vec!["drill", "--only", "store,fire"], "fire"),
        (vec!["drill", "--days", "15"], "1..=14"),
        (vec!["serve", "--webhook-port", "70000"], "70000"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(said), "{arguments:?} must say `{said}`:\n{stderr}");
        assert!(stderr.contains("--help"), "{arguments:?}:\n{stderr}");
        assert!(output.stdout.is_empty());
    }
}

/// A program that goes on, ended with the test.
pub(crate) struct Serving(pub(crate) Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serve_prints_its_addresses_as_the_first_line() {
    let child = program()
        .args(["serve", "--json", "--calls", "20/10s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut serving = Serving(child);
    let mut line = String::new();
    BufReader::new(serving.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: Value = serde_json::from_str(&line).unwrap();
    for name in [
        "webhook_url",
        "comments_url",
        "inbox_url",
        "report_url",
        "messages_url",
        "console_url",
        "graph_url",
        "dynamodb_url",
        "sqs_url",
    ] {
        let url = addresses[name].as_str().unwrap_or_else(|| panic!("no {name}: {line}"));
        assert!(url.starts_with("http://127.0.0.1:"), "{name}: {url}");
    }
    for name in ["verify_token", "app_secret"] {
        assert!(addresses[name].as_str().is_some_and(|secret| secret.len() >= 16), "{name}");
    }
    assert_eq!(addresses["accounts"][0]["campaigns"][0]["keywords"][0], "guide");
    assert!(serving.0.try_wait().unwrap().is_none(), "it must go on serving");
}

/// A file of this test's own in the build's folder for such.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_broken_accounts_file_is_refused_with_its_line_and_reason() {
    let broken = [
        "[[account]]\nid = \"17841400000000001\"\n\n[[account.campaign]]\nid = \"guide\"\n\
         messages = [\"Hi {user}!\"]\n",
        "[[account]]\nid = 3\n",
        "[[account]]\nid = \"1\"\nname = \"mine\"\n",
        "[[account]\n",
    ];
    for (text_of_file, line, reason) in [
        (broken[0], "line 6", "`{user}` is not known"),
        (broken[1], "line 2", "write a text in quotes"),
        (broken[2], "line 3", "name"),
        (broken[3], "line 1", ""),
    ] {
        let path = file("accounts.toml", text_of_file);
        let path = path.to_str().unwrap();
        let output = run(&["serve", "--accounts", path]);
        assert_eq!(output.status.code(), Some(1), "{text_of_file}");
        let stderr = text(&output.stderr);
        for said in [path, line, reason] {
            assert!(stderr.contains(said), "must say `{said}`:\n{stderr}");
        }
        assert!(output.stdout.is_empty());
    }
    let utf_16: Vec<u8> = "[[account]]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let path = file("utf-16.toml", "");
    std::fs::write(&path, utf_16).unwrap();
    let refused = text(&run(&["serve", "--accounts", path.to_str().unwrap()]).stderr);
    assert!(refused.contains("the file is UTF-16: save it as UTF-8"), "{refused}");
    let missing = run(&["serve", "--accounts", "no-such-file.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("cannot read no-such-file.toml"));
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["serve", "--webhook-port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&port) && stderr.contains("choose another port"), "{stderr}");
}
