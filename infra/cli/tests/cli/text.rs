//! What people see: tables that fit, colours, heads, times by the account's clocks, and logs.

use serde_json::json;

use crate::stand::{CREATOR, OTHER, Stand, send_id};

/// A text without its line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_fits_a_hundred_columns_and_tells_times_by_the_accounts_clocks() {
    let stand = Stand::start().await;
    stand.run(&["account", "set", CREATOR, "--time-zone", "Asia/Kolkata"]).await.ok();
    stand.fault(json!({ "kind": "recipient_unavailable", "action": "private_reply" })).await;
    stand.comment(OTHER, "hello", 0..1).await;
    let id = send_id(OTHER, 0);
    let show = ["send", "show", &id];
    let ended = stand.until(&show, |send| send["state"] == "failed").await;
    assert_eq!(ended["last_refusal"]["code"], 551);
    stand.run(&["account", "pause", CREATOR, "--for", "2h", "--reason", "a look"]).await.ok();
    stand.comment(CREATOR, "guide", 0..3).await;
    let waiting = send_id(CREATOR, 0);
    let failed = ["send", "list", OTHER, "--state", "failed"];
    for arguments in [
        &["status"][..],
        &["status", CREATOR],
        &["events"],
        &["events", CREATOR],
        &["account", "list"],
        &["account", "show", CREATOR],
        &["campaign", "list"],
        &["send", "list", CREATOR],
        &failed,
        &["send", "show", &waiting],
    ] {
        let text = stand.run(arguments).await.ok().stdout;
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{arguments:?}: {line}");
        }
        assert!(!text.contains('\u{1b}'), "no colours in a pipe: {text}");
    }
    let list = stand.run(&["send", "list", CREATOR]).await.ok().stdout;
    assert!(list.starts_with("SEND "), "{list}");
    let bare = stand.run(&["send", "list", CREATOR, "--no-headers"]).await.ok().stdout;
    assert_eq!(bare.lines().count() + 1, list.lines().count(), "{bare}");
    let failed = stand.run(&failed).await.ok().stdout;
    assert!(failed.contains("failed") && failed.contains("recipient"), "{failed}");
    let shown = stand.run(&["account", "show", CREATOR]).await.ok().stdout;
    assert!(flat(&shown).contains(" +05:30, in ") && shown.contains(": a look"), "{shown}");
    let refused = stand.run(&show).await.ok().stdout;
    assert!(flat(&refused).contains("status 400, code 551/1545041, fbtrace "), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_and_logs_come_when_they_are_asked_for() {
    let stand = Stand::start().await;
    let list = ["account", "list"];
    let painted = stand.run(&[&list[..], &["--color", "always"]].concat()).await.ok();
    assert!(painted.stdout.contains("\u{1b}[32mhealthy\u{1b}[0m"), "{}", painted.stdout);
    assert_eq!(painted.stderr, "", "no log unless it is asked for");
    for color in ["auto", "never"] {
        let plain = stand.run(&[&list[..], &["--color", color]].concat()).await.ok().stdout;
        assert!(plain.contains("healthy") && !plain.contains('\u{1b}'), "{plain}");
    }
    let json = stand.run(&["--json", "account", "list", "--color", "always"]).await.ok();
    assert!(!json.stdout.contains('\u{1b}'), "{}", json.stdout);
    let logged = stand.run(&["-vvv", "account", "list"]).await.ok();
    assert!(logged.stderr.contains("DEBUG"), "{}", logged.stderr);
    assert!(logged.stdout.starts_with("ACCOUNT"), "logs are on standard error");
}

/// A list is read in one zone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_accounts_with_different_clocks_are_told_in_utc() {
    let stand = Stand::start().await;
    stand.run(&["account", "set", CREATOR, "--time-zone", "Asia/Kolkata"]).await.ok();
    let all = stand.run(&["events", "--no-headers"]).await.ok().stdout;
    assert!(all.lines().all(|line| line.contains(" UTC ")), "{all}");
    let one = stand.run(&["events", CREATOR, "--no-headers"]).await.ok().stdout;
    assert!(one.lines().all(|line| line.contains(" +05:30 ")), "{one}");
    stand.run(&["account", "set", OTHER, "--time-zone", "Asia/Kolkata"]).await.ok();
    let alike = stand.run(&["events", "--no-headers"]).await.ok().stdout;
    assert!(alike.lines().all(|line| line.contains(" +05:30 ")), "{alike}");
    let app = stand.run(&["events", "app"]).await.ok().stdout;
    assert!(app.starts_with("nothing happened"), "{app}");
}
