//! `spillway account`, `connect` and `new-key`.

use aws_sdk_dynamodb::types::AttributeValue;
use insta::assert_snapshot;
use serde_json::{Value, json};
use spillway_cloud::dynamo::{DynamoBudgets, DynamoMaintenance};
use spillway_core::quota::Action;
use spillway_core::rules::Rules;
use spillway_graph::app_scoped;
use spillway_service::keys;
use spillway_service::port::{Aliases, Budgets};

use crate::snapshot::steady;
use crate::stand::{CREATOR, OTHER, Stand, file, send_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_listed_shown_and_changed() {
    let stand = Stand::start().await;
    assert_snapshot!("list", steady(&stand.json(&["account", "list"]).await));
    let text = stand.run(&["account", "show", CREATOR]).await.ok().stdout;
    assert!(
        text.contains("campaign       guide") && text.contains("state          healthy"),
        "{text}"
    );

    let set = ["account", "set", CREATOR, "--tier", "2", "--time-zone", "Europe/Berlin"];
    let dry = stand.json(&[&set[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry["changed"], false);
    assert_snapshot!("set", steady(&stand.json(&set).await));
    assert_eq!(stand.json(&set).await["changes"], json!([]), "the second time nothing changes");
    let since = "2026-09-01";
    let careful = ["--profile", "careful", "--warm-up-since", since, "--day-starts", "09:30"];
    let text = stand.run(&[&["account", "set", CREATOR], &careful[..]].concat()).await.ok().stdout;
    assert!(text.contains("profile        local -> careful"), "{text}");
    assert!(text.contains("not warming up -> 2026-09-01 00:00:00 +02:00"), "{text}");
    assert_snapshot!("show", steady(&stand.json(&["account", "show", CREATOR]).await));

    let set = |with: [&'static str; 2]| {
        [["account", "set"], [OTHER, with[0]]]
            .concat()
            .into_iter()
            .chain([with[1]])
            .collect::<Vec<_>>()
    };
    stand
        .run(&set(["--warm-up-since", "now"]))
        .await
        .failed(2, "--warm-up-since: profile `local` has no warm-up");
    stand
        .run(&set(["--profile", "bold"]))
        .await
        .failed(2, "--profile `bold`: there is no such profile: there are careful, meta");
    stand.run(&["account", "show", "1"]).await.failed(1, "`spillway account list`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_hold_nothing_is_called_until_it_is_resumed() {
    let stand = Stand::start().await;
    let held = ["account", "pause", CREATOR, "--reason", "checking a text"];
    assert_snapshot!("hold", steady(&stand.json(&held).await));
    stand.comment(CREATOR, "guide please", 0..5).await;
    // The first of them had a slot at once: its sender finds the hold.
    let list = ["send", "list", CREATOR];
    let parked =
        |sends: &Value| sends["sends"].as_array().unwrap().iter().any(|s| s["state"] == "parked");
    stand.until(&list, parked).await;
    assert_eq!(stand.calls(), 0);
    let shown = stand.json(&["account", "show", CREATOR]).await;
    assert_snapshot!("held", steady(&shown["holds"]));
    let charged = stand.run(&["charge", CREATOR, "read"]).await;
    assert_eq!(charged.code, 3);
    assert!(charged.stdout.contains("until `spillway account resume"), "{}", charged.stdout);

    stand.run(&["account", "resume", CREATOR]).await.ok();
    assert_eq!(stand.json(&["account", "show", CREATOR]).await["holds"], json!([]));
    stand.until(&["send", "show", &send_id(CREATOR, 0)], |send| send["state"] == "sent").await;
    let again = stand.run(&["account", "resume", CREATOR]).await.ok().stdout;
    assert!(again.contains("not on hold"), "{again}");

    let long = "x".repeat(121);
    stand.run(&["account", "pause", CREATOR, "--reason", &long]).await.failed(2, "at most 120 fit");
    let short = stand.json(&["account", "pause", CREATOR, "--for", "2h"]).await;
    assert!(short["until"].is_string());
}

/// Writes limits of an account that no release can read.
pub(crate) async fn spoil(stand: &Stand, account: &str) {
    let table = stand.served.stack.state_table();
    let text = |text: &str| AttributeValue::S(text.into());
    let update = table.client.update_item().table_name("spillway-state");
    let update = update
        .key("pk", text(&keys::account(&account.into())))
        .key("sk", text(keys::SETTINGS_SK))
        .update_expression("SET #rules = :rules")
        .expression_attribute_names("#rules", "rules")
        .expression_attribute_values(":rules", text(r#"{"tier":"gold"}"#));
    update.send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_read_hides_no_other_and_can_be_removed() {
    let stand = Stand::start().await;
    spoil(&stand, OTHER).await;
    let what_to_do =
        "deploy that one again; else remove the account with `spillway account remove`";
    for command in [&["status"][..], &["account", "list"], &["campaign", "list"], &["misses"]] {
        let ran = stand.run(command).await.failed(1, what_to_do);
        assert!(ran.stderr.contains(&format!("account {OTHER}: load the account")), "{command:?}");
        assert!(!ran.stderr.contains(CREATOR), "{}", ran.stderr);
        assert!(
            ran.stdout.contains(CREATOR) || command == ["misses"],
            "{command:?}: {}",
            ran.stdout
        );
    }
    for command in [&["status"][..], &["account", "list"]] {
        let seen = stand.run(&[&["--json"], command].concat()).await.failed(1, what_to_do).json();
        assert_eq!(seen["accounts"][0]["account"], CREATOR, "{seen}");
        assert_eq!(seen["unreadable"][0]["account"], OTHER, "{seen}");
    }
    for command in ["status", "doctor"] {
        let ran = stand.run(&[command, OTHER]).await;
        assert!(ran.code != 0 && (ran.stdout + &ran.stderr).contains(what_to_do), "{command}");
    }
    stand.run(&["status", CREATOR]).await.ok();
    let asked = "with campaigns of which something cannot be read, and cancels 0 waiting sends";
    stand.run(&["account", "remove", OTHER]).await.failed(5, asked);
    stand.run(&["account", "remove", OTHER, "--yes"]).await.ok();
    stand.run(&["status"]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_meta_caused_ends_by_hand_only_if_that_is_confirmed() {
    let stand = Stand::start().await;
    stand.fault(json!({ "kind": "token_dead", "action": "private_reply" })).await;
    stand.comment(OTHER, "hello", 0..2).await;
    let held = |shown: &Value| shown["holds"][0]["cause"] == "token_dead";
    stand.until(&["account", "show", OTHER], held).await;
    let asked = stand.run(&["account", "resume", OTHER]).await.failed(5, "token_dead");
    assert!(asked.stderr.contains("--yes") && asked.stdout.is_empty(), "{}", asked.stderr);
    let ended = stand.json(&["account", "resume", OTHER, "--yes"]).await;
    assert_eq!(ended["ended"], json!(["token_dead"]));
    // The probe goes through, and the rest follows.
    stand
        .until(&["send", "list", OTHER, "--state", "sent"], |sent| {
            sent["sends"].as_array().unwrap().len() == 2
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_of_the_app_alone_is_named_with_its_end() {
    let stand = Stand::start().await;
    let throttled = json!({ "kind": "throttled", "code": 4, "regain_minutes": 30 });
    stand.fault(throttled).await;
    stand.comment(OTHER, "hello", 0..2).await;
    let held = |status: &Value| status["accounts"][0]["state"] == "held";
    stand.until(&["status", CREATOR], held).await;
    stand.run(&["account", "resume", CREATOR]).await.failed(5, "the whole app is on hold");
    let resumed = stand.run(&["account", "resume", CREATOR, "--yes"]).await.ok().stdout;
    let said = "itself is not on hold, but the whole app is (throttled) until";
    assert!(resumed.contains(said) && resumed.contains("The next call"), "{resumed}");
    assert!(!resumed.contains("nothing to end"), "{resumed}");
    let sent = |sent: &Value| sent["sends"].as_array().unwrap().len() == 2;
    stand.until(&["send", "list", OTHER, "--state", "sent"], sent).await;
    // The end of the hold is written down after the calls that follow it.
    stand.until(&["status", CREATOR], |status| !held(status)).await;
    let resumed = stand.json(&["account", "resume", CREATOR]).await;
    assert_eq!(resumed, json!({ "account": CREATOR, "ended": [], "app": null }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_removed_with_all_that_waits() {
    let stand = Stand::start().await;
    stand.run(&["account", "pause", CREATOR]).await.ok();
    stand.comment(CREATOR, "guide", 0..30).await;
    let all = |parked: &Value| parked["sends"].as_array().unwrap().len() == 30;
    stand.until(&["send", "list", CREATOR, "--state", "parked"], all).await;
    stand.run(&["account", "remove", CREATOR]).await.failed(5, "30 waiting sends");
    let removed = stand.json(&["account", "remove", CREATOR, "--yes"]).await;
    assert_eq!(removed, json!({ "account": CREATOR, "cancelled": 30, "under_way": 0 }));
    stand.run(&["account", "show", CREATOR]).await.failed(1, "is not connected");
    let left = stand.json(&["account", "list"]).await;
    let left = left["accounts"].as_array().unwrap().iter().map(|account| &account["account"]);
    assert_eq!(left.collect::<Vec<_>>(), [OTHER]);
    let list = ["send", "list", CREATOR];
    stand.run(&list).await.failed(1, "is not connected");
    let cancelled = [&list[..], &["--state", "cancelled"]].concat();
    assert_eq!(stand.json(&cancelled).await["sends"].as_array().unwrap().len(), 30);
    let shown = stand.json(&["send", "show", &send_id(CREATOR, 3)]).await;
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("cancelled"), &json!("operator")));
    let last = shown["history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["what"], "cancelled: operator");
    assert_eq!(stand.calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_connected_by_a_login() {
    let stand = Stand::start().await;
    let new = "17841400000000003";
    let login = stand.log_in(new).await;
    let campaign = "[[account.campaign]]\nid = \"all\"\nmessages = [\"Hi\"]\n";
    let accounts =
        file("login.toml", &format!("[[account]]\nid = \"{new}\"\nprofile = \"meta\"\n{campaign}"));
    let accounts = accounts.to_str().unwrap();
    let app_id = login["app_id"].as_str().unwrap();
    let back = format!("https://example.com/?code={}#_", login["code"].as_str().unwrap());
    let of_login = ["--app-id", app_id, "--redirect-uri", "https://example.com/"];
    let connect = [&["--json", "connect", accounts], &of_login[..]].concat();

    let nowhere = [("SPILLWAY_SECRET_ID", "no-such")];
    stand
        .run_moved(&nowhere, &connect)
        .await
        .failed(1, "let this user read the deployment's secret");
    stand.run(&connect).await.failed(1, "standard input must hold the result of the login");
    assert_eq!(stand.run_with(&connect, &back).await.ok().json()["account"], new);
    // A code is good once.
    stand.run_with(&connect, &back).await.failed(1, "did not take the code");

    assert_eq!(stand.served.stack.graph.fields(&new.into()).len(), 3, "subscribed");
    stand.comment(new, "hello", 0..1).await;
    stand
        .until(&["send", "list", new, "--state", "sent"], |sent| {
            sent["sends"].as_array().unwrap().len() == 1
        })
        .await;

    // Meta's requests find it, also while upkeep ends a removal.
    let maintenance = DynamoMaintenance { table: stand.served.stack.state_table() };
    for command in [&["account", "show", new][..], &["account", "remove", new, "--yes"]] {
        stand.run(command).await.ok();
        assert_eq!(maintenance.named(&app_scoped(new)).await.unwrap(), Some(new.into()));
    }
}

const NEW: &str = "17841400000000003";
const CAMPAIGN: &str = "[[account.campaign]]\nid = \"all\"\nmessages = [\"Hi\"]\n";

/// A file of the new account with these lines about it.
fn accounts_file(name: &str, lines: &str) -> String {
    let text = format!("[[account]]\nid = \"{NEW}\"\n{lines}\n{CAMPAIGN}");
    file(name, &text).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_connected_and_its_token_sealed_by_the_stacks_own_keys() {
    let stand = Stand::start().await;
    assert_eq!(stand.json(&["new-key"]).await, json!({ "token_key": 2 }));
    stand.served.stack.graph.add_account(NEW, "IGA-token");
    let accounts = accounts_file("connect.toml", "");
    let connected = stand.run_with(&["--json", "connect", &accounts], "IGA-token\n").await.ok();
    assert_eq!(connected.json()["account"], NEW);
    let list = stand.run(&["account", "list"]).await.ok().stdout;
    assert!(list.contains("17841400000000003  careful"), "{list}");
    let broken = file("broken.toml", "[[account]]\nid = 3\n");
    let broken = broken.to_str().unwrap();
    stand.run_with(&["connect", broken], "IGA-token").await.failed(4, "broken.toml:2: ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_whose_it_is_before_anything_is_stored() {
    let stand = Stand::start().await;
    let accounts = accounts_file("whose.toml", "");
    let connect = ["connect", accounts.as_str()];
    stand.run_with(&connect, "tok").await.failed(1, "Meta does not take the token");
    stand.served.stack.graph.add_account("17841400000000004", "IGA-another");
    let said = "the token is account 17841400000000004's, not account 17841400000000003's";
    stand.run_with(&connect, "IGA-another").await.failed(1, said);
    stand.run(&["account", "show", NEW]).await.failed(1, "is not connected");
    let budgets = DynamoBudgets { table: stand.served.stack.state_table() };
    let budget = budgets.load(&NEW.into()).await.unwrap();
    let (rules, now) = (Rules::careful(), stand.served.stack.clock.now());
    let (_, left) = budget.tightest(&rules, Action::Read, now).unwrap();
    assert!(left < 100, "both calls were charged to the account");
    stand.served.stack.graph.add_account(NEW, "IGA-token");
    stand.run_with(&connect, "IGA-token").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_account_warms_up_unless_it_has_a_history() {
    let stand = Stand::start().await;
    stand.served.stack.graph.add_account(NEW, "IGA-token");
    let accounts = accounts_file("new.toml", "");
    let connected = stand.run_with(&["connect", &accounts], "IGA-token").await.ok().stdout;
    assert!(connected.contains("with 1 campaign: all\nit warms up: "), "{connected}");
    let since = stand.json(&["account", "show", NEW]).await["warm_up_since"].clone();
    assert!(since.is_string());
    // A second connection does not begin it anew, nor end it.
    let again = stand.run_with(&["connect", &accounts, "--established"], "IGA-token").await.ok();
    assert!(again.stderr.contains("--established changes nothing"), "{}", again.stderr);
    assert_eq!(stand.json(&["account", "show", NEW]).await["warm_up_since"], since);

    for (lines, options, since) in [
        ("", &["--established"][..], Value::Null),
        ("terms = { warm_up_since = \"none\" }", &[], Value::Null),
        (
            "terms = { warm_up_since = 2026-11-01, time_zone = \"Europe/Berlin\" }",
            &[],
            json!("2026-10-31T23:00:00Z"),
        ),
        ("profile = \"meta\"", &[], Value::Null),
    ] {
        stand.run(&["account", "remove", NEW, "--yes"]).await.ok();
        let accounts = accounts_file("history.toml", lines);
        let arguments = [&["--json", "connect", &accounts], options].concat();
        let connected = stand.run_with(&arguments, "IGA-token").await.ok().json();
        assert_eq!(connected["warm_up_since"], since, "{lines}");
        assert_eq!(stand.json(&["account", "show", NEW]).await["warm_up_since"], since, "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_changes_nothing_that_the_file_does_not_name() {
    let stand = Stand::start().await;
    stand.served.stack.graph.add_account(NEW, "IGA-token");
    let accounts = accounts_file("first.toml", "");
    stand.run_with(&["connect", &accounts], "IGA-token").await.ok();
    let limits = ["--tier", "3", "--time-zone", "Europe/Berlin", "--day-starts", "09:30"];
    stand.run(&[&["account", "set", NEW], &limits[..]].concat()).await.ok();
    let before = stand.json(&["account", "show", NEW]).await;
    let again = stand.run_with(&["connect", &accounts], "IGA-token").await.ok().stdout;
    assert!(again.contains("has a new token; nothing else changes"), "{again}");
    assert_eq!(stand.json(&["account", "show", NEW]).await, before);

    let changed = accounts_file("changed.toml", "terms = { tier = 2 }");
    let connect = ["connect", &changed];
    let asked = stand.run_with(&connect, "IGA-token").await.failed(5, "the file changes it");
    assert!(asked.stdout.contains("~ tier: 3 -> 2"), "{}", asked.stdout);
    assert_eq!(stand.json(&["account", "show", NEW]).await, before);
    let with_yes = [&["--json"], &connect[..], &["--yes"]].concat();
    let changed = stand.run_with(&with_yes, "IGA-token").await.ok().json();
    assert_eq!(
        changed["changes"]["settings"],
        json!([{ "name": "tier", "before": "3", "after": "2" }])
    );
    let after = stand.json(&["account", "show", NEW]).await;
    assert_eq!((&after["tier"], &after["time_zone"]), (&json!(2), &json!("Europe/Berlin")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_takes_the_place_of_a_dead_one() {
    let stand = Stand::start().await;
    stand.fault(json!({ "kind": "token_dead", "action": "private_reply" })).await;
    stand.comment(OTHER, "hello", 0..2).await;
    let held = |shown: &Value| shown["holds"][0]["cause"] == "token_dead";
    stand.until(&["account", "show", OTHER], held).await;
    let status = stand.json(&["status", OTHER]).await["accounts"][0].clone();
    assert_eq!((&status["state"], &status["next_dm_at"]), (&json!("token_dead"), &Value::Null));
    assert_eq!(status["conditions"].as_array().unwrap().len(), 1, "one cause, told once: {status}");
    let text = format!("[[account]]\nid = \"{OTHER}\"\n");
    let accounts = file("dead.toml", &text).to_str().unwrap().to_owned();
    stand.run_with(&["connect", &accounts], "tok").await.failed(1, "does not take the token");
    stand.served.stack.graph.add_account(OTHER, "IGA-new");
    let sent = |sent: &Value| sent["sends"].as_array().unwrap().len() == 2;
    stand.run_with(&["connect", &accounts], "IGA-new").await.ok();
    stand.until(&["send", "list", OTHER, "--state", "sent"], sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pause_replaces_and_what_becomes_of_a_hold_of_metas_is_said() {
    let stand = Stand::start().await;
    stand.run(&["account", "pause", CREATOR, "--reason", "audit"]).await.ok();
    let again = stand.run(&["account", "pause", CREATOR, "--for", "2h"]).await.ok().stdout;
    assert!(again.contains("without an end: audit; that is replaced"), "{again}");
    let resumed = stand.run(&["account", "resume", CREATOR]).await.ok().stdout;
    assert_eq!(resumed, format!("{CREATOR} goes on within a minute: the pause is ended\n"));
    let fault = json!({ "kind": "throttled", "code": 80002, "regain_minutes": 30 });
    stand.fault(fault).await;
    stand.comment(CREATOR, "guide", 0..1).await;
    let show = ["account", "show", CREATOR];
    stand.until(&show, |shown| shown["holds"][0]["cause"] == "throttled").await;
    let resumed = stand.run(&["account", "resume", CREATOR, "--yes"]).await.ok().stdout;
    let said = format!("one call of {CREATOR} finds out whether the hold that follows from Meta's");
    assert!(resumed.contains(&said) && !resumed.contains("ended"), "{resumed}");
    let listed = stand.run(&["campaign", "list"]).await.ok().stdout;
    assert!(listed.contains("comment, live_comment") && listed.contains(" ON "), "{listed}");
}
