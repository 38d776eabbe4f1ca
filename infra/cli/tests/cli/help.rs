//! Help texts, completions and wrong command lines.

use insta::assert_snapshot;

use crate::stand::{Ran, program};

pub(crate) const COMMANDS: [&str; 48] = [
    "",
    "deployment",
    "connect",
    "connect login-url",
    "new-key",
    "account",
    "account list",
    "account show",
    "account set",
    "account pause",
    "account resume",
    "account remove",
    "campaign",
    "campaign apply",
    "campaign list",
    "campaign match",
    "campaign send",
    "campaign outcomes",
    "campaign show",
    "campaign pause",
    "campaign resume",
    "campaign remove",
    "campaign export",
    "campaign schema",
    "send",
    "send list",
    "send show",
    "send cancel",
    "send retry",
    "dlq",
    "dlq list",
    "dlq show",
    "dlq redrive",
    "dlq drop",
    "backfill",
    "charge",
    "contact",
    "contact forget",
    "doctor",
    "events",
    "lead",
    "lead list",
    "lead export",
    "misses",
    "status",
    "console",
    "forecast",
    "completions",
];

fn run(arguments: &[&str]) -> Ran {
    program().args(arguments).output().unwrap().into()
}

#[test]
fn every_help_text_is_as_kept_and_has_an_example() {
    let mut all = String::new();
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let help = run(&arguments).ok().stdout;
        let is_group = help.contains("Commands:");
        assert!(
            is_group || help.contains("\n  spillway ") || help.contains("\n    spillway "),
            "`{command}` has no example:\n{help}"
        );
        all += &format!("$ spillway {}\n{help}\n", arguments.join(" "));
    }
    assert_snapshot!("help", all);
}

/// What is read in part ends without a complaint.
#[test]
fn a_pipe_that_is_closed_early_ends_quietly() {
    for arguments in [&["completions", "bash"][..], &["--help"], &["campaign", "schema"]] {
        let mut program = program();
        program.args(arguments).stdout(std::process::Stdio::piped());
        let mut child = program.stderr(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn exit_codes_are_documented() {
    let help = run(&["--help"]).ok().stdout;
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}:\n{help}");
    }
}

#[test]
fn wrong_command_lines_end_with_2_and_say_what_is_expected() {
    let id = "17841400000000001";
    for (arguments, said) in [
        (vec!["acount"], "account"),
        (vec!["account", "set", id, "--tier", "4"], "1, 2 or 3"),
        (vec!["account", "set", id, "--time-zone", "Berlin"], "Europe/Berlin"),
        (vec!["events", "--limit", "0"], "for '--limit <N>': write a number from 1 to 1000000"),
        (vec!["dlq", "list", "--limit", "-1"], "write a number from 1 to 1000000"),
        (vec!["events", "--since", "-1h"], "write a time such as 90s"),
        (vec!["account", "pause", id, "--for", "-1h"], "write a time such as 90s"),
        (vec!["forecast", "--comments", "-5", "--span", "1h"], "for '--comments <COMMENTS>'"),
        (vec!["forecast", "--comments", "5", "--span", "-5m"], "for '--span <SPAN>'"),
        (vec!["charge", id, "read", "--units", "0"], "write a number from 1 to"),
        (vec!["charge", id, "read", "--units", "-1"], "write a number from 1 to"),
        (vec!["send", "list", id, "--limit", "1e9"], "from 1 to 1000000"),
        (vec!["account", "set", id, "--day-starts", "9"], "08:00"),
        (vec!["account", "set", id, "--profiles", "x.toml"], "--profile"),
        (vec!["account", "pause", id, "--for", "soon"], "30m, 48h or 7d"),
        (vec!["charge", id, "post"], "private_reply, live_reply"),
        (vec!["charge", id, "read", "--units", "0"], "0"),
        (vec!["send", "show", "179"], "account/comment"),
        (vec!["send", "cancel"], "<SEND|ACCOUNT>"),
        (vec!["send", "cancel", id, "1/2"], "name one account alone"),
        (vec!["send", "cancel", "1/2", "--campaign", "guide"], "name the account"),
        (vec!["send", "cancel", "1/2/3"], "account/comment"),
        (vec!["events", "--color", "sometimes"], "always"),
        (vec!["send", "list", id, "--state", "lost"], "parked"),
        (vec!["dlq", "drop"], "<MESSAGES>"),
        (vec!["dlq", "redrive", "--all", "1"], "--all"),
        (vec!["completions", "csh"], "bash"),
        (vec!["account", "show", "@creator"], "an account's id is the number that webhooks carry"),
        (vec!["account", "pause", id, "--reason", LONG], "'--reason <TEXT>': it has 121 bytes"),
        (vec!["account", "pause", id, "--reason", "a\nb"], "control character"),
        (vec!["account", "set", id, "--profile", "nope"], "--profile `nope`: there is no such"),
        (
            vec!["forecast", "--comments", "5", "--span", "1m", "--profile", "nope"],
            "--profile `nope`",
        ),
        (
            vec!["forecast", "--comments", "5", "--span", "1m", "--at", "tomorrow"],
            "2026-11-27T18:00",
        ),
        (
            vec!["forecast", "--comments", "5", "--span", "1m", "--at", "2026-11-27T18:00+05:30"],
            "--at",
        ),
        (
            vec![
                "forecast",
                "--comments",
                "5",
                "--span",
                "1m",
                "--profile",
                "meta",
                "--warm-up-day",
                "3",
            ],
            "--warm-up-day: profile `meta` has no warm-up",
        ),
        (
            vec!["forecast", "--comments", "5", "--span", "1m", "--warm-up-day", "-3"],
            "from 1 to 1000",
        ),
        (vec!["campaign", "match", "x", "--media", "abc"], "a media id is the number"),
        (vec!["campaign", "pause", id, " "], "a campaign's id is not empty"),
        (vec!["contact", "forget", id, "ana"], "a person's id is the number"),
        (vec!["send", "list", "me"], "an account's id is the number"),
        (vec!["send", "show", "me/1"], "account/comment"),
        (vec!["connect", "-"], "standard input is for the token"),
        (
            vec!["connect", "login-url", "--app-id", "x", "--redirect-uri", "https://a.example/"],
            "app's id",
        ),
        (vec!["connect", "login-url", "--app-id", "1", "--redirect-uri", "a.example"], "https://"),
        (vec!["status", "--watch"], "--watch draws on a terminal"),
    ] {
        let ran = run(&arguments).failed(2, said);
        assert!(ran.stdout.is_empty(), "{arguments:?}");
    }
}

/// A note of one byte too many.
const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok().stdout;
        assert!(script.contains("spillway") && script.contains("resume"), "{shell}");
    }
}
