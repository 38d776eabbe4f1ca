//! `spillway campaign`.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::snapshot::steady;
use crate::stand::{CREATOR, OTHER, Ran, Stand, file, program, send_id};

const FILE: &str = r#"[[account]]
id = "17841400000000001"

[[account.campaign]]
id = "guide"
keywords = ["guide", "guía"]
messages = ["Hi {username|there}!", "Hello!"]

[[account.campaign]]
id = "course"
keywords = ["course"]
messages = ["Shall I send the course? Answer YES"]
[account.campaign.then]
answer = ["yes"]
follow = { ask = ["Follow me first"], button = "I follow" }
deliver = [{ text = "Here!", buttons = [{ title = "Open", url = "https://example.com/course" }] }]
follow_up = [{ after = "20h", messages = ["Did you start?"] }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_shown_applied_and_the_second_time_changes_nothing() {
    let stand = Stand::start().await;
    let path = file("apply.toml", FILE);
    let path = path.to_str().unwrap();
    let before = stand.json(&["campaign", "list"]).await;
    let dry = stand.run(&["campaign", "apply", path, "--dry-run"]).await.ok().stdout;
    assert!(dry.contains("~ campaign guide") && dry.contains("+ campaign course"), "{dry}");
    assert!(dry.contains("keywords: guide, guía, link -> guide, guía"), "{dry}");
    assert_eq!(stand.json(&["campaign", "list"]).await, before, "a dry run writes nothing");

    assert_snapshot!("apply", steady(&stand.json(&["campaign", "apply", path]).await));
    assert_snapshot!("list", steady(&stand.json(&["campaign", "list"]).await));
    let again = stand.json(&["campaign", "apply", path]).await;
    assert_eq!(again["changed"], false);
    let text = stand.run(&["campaign", "apply", path]).await.ok().stdout;
    assert!(text.ends_with("nothing changes\n"), "{text}");
    assert_snapshot!("show", steady(&stand.json(&["campaign", "show", CREATOR, "guide"]).await));

    let shown = stand.run(&["campaign", "show", CREATOR, "course"]).await.ok().stdout;
    assert!(shown.contains("then       follow: Follow me first [I follow]\n"), "{shown}");
    let listed = stand.run(&["campaign", "list"]).await.ok().stdout;
    assert!(listed.contains("4 parts"), "{listed}");

    // New keywords hold for new comments at once in a process that has not seen the account yet.
    stand.served.stack.replace_process().unwrap();
    stand.comment(CREATOR, "the course, please", 0..1).await;
    stand.until(&["send", "show", &send_id(CREATOR, 0)], |send| send["state"] == "sent").await;

    let one = FILE.split("\n[[account.campaign]]\nid = \"course\"").next().unwrap();
    let one = file("one.toml", one);
    let one = one.to_str().unwrap();
    let left = stand.json(&["campaign", "apply", one]).await;
    assert_eq!(
        (&left["changed"], &left["accounts"][0]["campaigns"][1]["change"]),
        (&json!(false), &json!("left"))
    );
    stand.run(&["campaign", "apply", one, "--prune"]).await.failed(5, "this removes 1 campaign, ");
    stand.run(&["campaign", "apply", one, "--prune", "--yes"]).await.ok();
    stand.run(&["campaign", "show", CREATOR, "course"]).await.failed(1, "no campaign `course`");
}

/// A deployment says where its links are, or has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracked_links_are_refused_where_the_deployment_has_none() {
    let stand = Stand::start().await;
    let text = FILE.replace("https://example.com/course", "{link:https://example.com/course}");
    let path = file("links.toml", &text);
    let values = stand.served.deployment();
    let others = values.lines().filter(|line| !line.starts_with("SPILLWAY_LINK_URL="));
    let without = file("no-links.env", &others.map(|line| format!("{line}\n")).collect::<String>());
    for wanted in [["campaign", "apply"].as_slice(), &["connect"]] {
        let mut refused = program();
        refused.arg("--deployment").arg(&without).args(wanted).arg(&path);
        let run = move || Ran::from(refused.output().unwrap());
        let refused = tokio::task::spawn_blocking(run).await.unwrap();
        let refused = refused.failed(4, "this deployment tracks no links");
        assert!(refused.stderr.contains("links.toml:16: "), "{}", refused.stderr);
        assert!(refused.stderr.contains("`Links=on`"), "{}", refused.stderr);
    }
    stand.run(&["campaign", "apply", path.to_str().unwrap()]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_is_applied_without_a_change() {
    let stand = Stand::start().await;
    let exported = stand.run(&["campaign", "export"]).await.ok().stdout;
    let applied =
        stand.run_with(&["--json", "campaign", "apply", "-"], &exported).await.ok().json();
    assert_eq!(applied["changed"], false, "{exported}\n{applied}");
    let set = ["account", "set", OTHER, "--tier", "2", "--profile", "meta"];
    stand.run(&set).await.ok();
    let back = stand.run_with(&["--json", "campaign", "apply", "-"], &exported).await.ok().json();
    let names: Vec<&str> = back["accounts"][1]["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["profile", "tier"], "limits that the file names are applied too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_mistake_is_refused_as_a_whole() {
    let stand = Stand::start().await;
    let before = stand.json(&["campaign", "export"]).await;
    for (text, line, reason) in [
        (FILE.replace("{username|there}", "{user}"), 7, "`{user}` is not known"),
        (FILE.replace("\"guía\"", "\"GUIDE\""), 6, "is listed twice"),
        (FILE.replace("[\"course\"]", "[\"Guia\"]"), 11, "campaigns `guide` and `course`"),
        (FILE.replace("keywords", "keyword"), 6, "`keyword` is not known here"),
        (FILE.replace("17841400000000001", "17841400000000009"), 1, "is not connected"),
        (
            FILE.replace("id = \"guide\"", "id = \"other\"").replace("\"course\"]", "\"x\"]"),
            1,
            "campaigns `guide` and `other` have the keyword `guide`",
        ),
        (String::new(), 1, "there is no [[account]]"),
    ] {
        let path = file("refused.toml", &text);
        let path = path.to_str().unwrap();
        let ran = stand.run(&["campaign", "apply", path]).await.failed(4, reason);
        assert!(ran.stderr.contains(&format!("{path}:{line}: ")), "line {line}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    }
    assert_eq!(stand.json(&["campaign", "export"]).await, before);
    stand.run(&["campaign", "apply", "no-such.toml"]).await.failed(1, "cannot read no-such.toml");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hold_of_a_refused_link_ends_with_another_link_or_by_hand() {
    let stand = Stand::start().await;
    let refused = json!({ "kind": "link_refused", "action": "private_reply" });
    let state = |status: &Value| status["accounts"][0]["state"].clone();
    for round in 0..2 {
        stand.fault(refused.clone()).await;
        stand.comment(CREATOR, "guide", round..round + 1).await;
        stand.until(&["status", CREATOR], |status| state(status) == "campaign_held").await;
        let said = stand.run(&["status", CREATOR]).await.ok().stdout;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains(&format!("`spillway campaign resume {CREATOR} guide` ends")),
            "{said}"
        );
        if round == 0 {
            let path = file("link.toml", FILE);
            stand.run(&["campaign", "apply", path.to_str().unwrap(), "--yes"]).await.ok();
        } else {
            let resumed = stand.json(&["campaign", "resume", CREATOR, "guide"]).await;
            assert_eq!(
                (&resumed["changed"], &resumed["hold_ended"]),
                (&json!(false), &json!(true))
            );
        }
        assert_eq!(state(&stand.json(&["status", CREATOR]).await), "healthy");
    }
    let told = stand.json(&["events", CREATOR]).await;
    let told = told["events"].as_array().unwrap().iter().rev();
    let told = told.map(|event| event["event"].as_str().unwrap());
    let mut told: Vec<&str> = told.filter(|event| event.contains("camp")).collect();
    // What a file changes may be told within one millisecond, which says nothing of an order.
    told[1..3].sort_unstable();
    let first = ["campaign_held", "campaign_added", "campaign_changed", "campaign_hold_ended"];
    assert_eq!(told[..4], first);
    assert_eq!(told[4..], ["campaign_held", "campaign_hold_ended"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_campaign_matches_nothing_and_what_waits_for_it_is_held_back() {
    let stand = Stand::start().await;
    // Two comments wait, the second with a slot some seconds ahead.
    stand.run(&["account", "pause", CREATOR]).await.ok();
    stand.comment(CREATOR, "guide", 0..2).await;
    let guide = [CREATOR, "guide"];
    assert_snapshot!(
        "pause",
        steady(&stand.json(&[&["campaign", "pause"], &guide[..]].concat()).await)
    );
    let again = stand.json(&[&["campaign", "pause"], &guide[..]].concat()).await;
    assert_eq!(again["changed"], false);
    stand.run(&["account", "resume", CREATOR]).await.ok();
    stand.served.stack.replace_process().unwrap();

    stand.comment(CREATOR, "guide", 2..3).await;
    stand.run(&["send", "show", &send_id(CREATOR, 2)]).await.failed(1, "is not stored");
    let list = ["send", "list", CREATOR];
    let all_parked = |sends: &Value| {
        sends["sends"].as_array().unwrap().iter().filter(|send| send["state"] == "parked").count()
            == 2
    };
    stand.until(&list, all_parked).await;
    // The schedule comes by and leaves them alone.
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    assert!(all_parked(&stand.json(&list).await));
    assert_eq!(stand.calls(), 0);

    // Nothing pretends that they go by themselves.
    let status = stand.json(&["status", CREATOR]).await["accounts"][0].clone();
    assert_eq!(status["state"], "campaign_paused", "{status}");
    assert_eq!(status["next"], "nothing by itself: somebody must resume the campaign");
    let told = stand.run(&["status", CREATOR]).await.ok().stdout;
    assert!(told.contains("`spillway campaign resume 17841400000000001 guide`"), "{told}");
    assert_eq!((&status["next_dm_at"], &status["last_dm_at"]), (&Value::Null, &Value::Null));
    let shown = stand.json(&["send", "show", &send_id(CREATOR, 0)]).await["waits"].clone();
    assert!(shown["why"].as_str().unwrap().starts_with("its campaign is paused"), "{shown}");
    assert_eq!(shown["expected_at"], Value::Null);

    // Applied again it stays paused.
    let path = file("paused.toml", FILE);
    stand.run(&["campaign", "apply", path.to_str().unwrap()]).await.ok();
    let shown = stand.json(&[&["campaign", "show"], &guide[..]].concat()).await;
    assert!(shown["paused_since"].is_string(), "{shown}");

    stand.run(&[&["campaign", "resume"], &guide[..]].concat()).await.ok();
    stand.until(&["send", "show", &send_id(CREATOR, 0)], |send| send["state"] == "sent").await;
    let events = stand.json(&["events", CREATOR]).await;
    let named = |event: &Value| event["campaign"] == "guide";
    let told = events["events"].as_array().unwrap().iter().filter(|event| named(event));
    let told: Vec<&str> = told.map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["campaign_resumed", "campaign_changed", "campaign_paused"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_json() {
    let schema = crate::stand::program().args(["campaign", "schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["title"], "Spillway accounts file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_campaign_matches_nothing_and_what_waits_for_it_is_cancelled() {
    let stand = Stand::start().await;
    stand.run(&["campaign", "pause", CREATOR, "guide"]).await.ok();
    stand.run(&["campaign", "resume", CREATOR, "guide"]).await.ok();
    stand.run(&["account", "pause", CREATOR]).await.ok();
    stand.comment(CREATOR, "guide", 0..2).await;
    let remove = ["campaign", "remove", CREATOR, "guide"];
    let asked =
        "this removes campaign guide of account 17841400000000001, and cancels 2 waiting sends";
    stand.run(&remove).await.failed(5, asked);
    let removed = stand.json(&[&remove[..], &["--yes"]].concat()).await;
    let expected = serde_json::json!({
        "account": CREATOR, "campaign": "guide", "changed": true, "state": "removed"
    });
    assert_eq!(removed, expected);
    stand.run(&[&remove[..], &["--yes"]].concat()).await.failed(1, "has no campaign `guide`");
    let events = stand.json(&["events", CREATOR]).await;
    let told = (&events["events"][0]["event"], &events["events"][0]["campaign"]);
    assert_eq!(told, (&json!("campaign_removed"), &json!("guide")), "{events}");
    let text = stand.run(&["events", CREATOR]).await.ok().stdout;
    assert!(text.contains("campaign `guide` was removed by hand"), "{text}");
    stand.run(&["account", "resume", CREATOR]).await.ok();
    let show = send_id(CREATOR, 0);
    let ended = stand.until(&["send", "show", &show], |send| send["state"] == "cancelled").await;
    assert_eq!(ended["cause"], "campaign_removed");
    assert_eq!(stand.calls(), 0);
}

#[test]
fn a_text_is_tried_on_a_file_without_a_deployment() {
    let path = file("match.toml", FILE);
    let run = |arguments: &[&str]| {
        let mut program = program();
        program.args(["campaign", "match", "--file"]).arg(&path).args(arguments);
        Ran::from(program.output().unwrap())
    };
    let why = "the comment has the keyword «guía»";
    assert_eq!(run(&["quiero la GUIA"]).ok().stdout, format!("guide: {why}\n"));
    assert_eq!(
        run(&["--json", "la guía?"]).ok().json(),
        json!({ "campaign": "guide", "why": why, "nearest": null, "also": [] })
    );
    let nearest = run(&["--json", "corse", "--on", "comment", "--media", "1"]).ok().json();
    assert_eq!((&nearest["campaign"], &nearest["nearest"]), (&Value::Null, &json!("course")));
    assert!(nearest["why"].as_str().unwrap().contains("almost has the keyword «course»"));
    let none = run(&["so nice"]).ok().stdout;
    assert!(none.starts_with("no campaign: no campaign has a keyword"), "{none}");

    let both = run(&["--json", "course guide"]).ok().json();
    let also = json!([{ "campaign": "course", "why": "guide is before it in the file" }]);
    assert_eq!((&both["campaign"], &both["also"]), (&json!("guide"), &also));

    let sale = FILE.replace("id = \"course\"", "id = \"course\"\nends = \"2026-12-24\"");
    let sale = file("ends.toml", &sale);
    let at = |at: &str| {
        let mut program = program();
        program.args(["--json", "campaign", "match", "course", "--at", at, "--file"]).arg(&sale);
        Ran::from(program.output().unwrap())
    };
    assert_eq!(at("2026-12-24T23:59").ok().json()["campaign"], "course");
    let over = at("2026-12-25").ok().json();
    assert_eq!((&over["campaign"], &over["nearest"]), (&Value::Null, &json!("course")));
    assert_eq!(over["why"], "course would take it, but was over after 2026-12-24");
    at("soon").failed(2, "is not a date or a time");

    run(&["guide", "--account", OTHER]).failed(1, "does not name account");
    let two = format!("{FILE}\n[[account]]\nid = \"{OTHER}\"\n");
    let two = file("two.toml", &two);
    let two = |arguments: &[&str]| {
        let mut program = program();
        program.args(["campaign", "match", "guide", "--file"]).arg(&two).args(arguments);
        Ran::from(program.output().unwrap())
    };
    two(&[]).failed(2, "has 2 accounts: name one");
    two(&["--account", CREATOR]).ok();
    let none = two(&["--account", OTHER, "--json"]).ok().json();
    assert_eq!(none["why"], "the account has no campaigns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_tried_on_the_deployment() {
    let stand = Stand::start().await;
    stand.run(&["campaign", "match", "link"]).await.failed(2, "accounts: name one");
    let tried = stand.json(&["campaign", "match", "the LINK", "--account", CREATOR]).await;
    assert_eq!(tried["campaign"], "guide", "{tried}");
    stand.run(&["campaign", "pause", CREATOR, "guide"]).await.ok();
    let tried = stand.json(&["campaign", "match", "the LINK", "--account", CREATOR]).await;
    assert_eq!((&tried["campaign"], &tried["nearest"]), (&Value::Null, &json!("guide")));
    assert_eq!(tried["why"], "guide would take it, but is paused");
}
