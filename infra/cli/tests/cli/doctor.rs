//! `spillway doctor`.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use insta::assert_snapshot;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use spillway_judge::Action;

use crate::snapshot::steady;
use crate::stand::{CREATOR, OTHER, Ran, Stand};

impl Stand {
    /// A stack whose accounts upkeep has visited: it leaves them alone for an hour.
    async fn visited() -> Self {
        let stand = Self::start().await;
        let reads = || {
            let calls = stand.served.stack.graph.calls();
            let of = |id: &str| {
                let is_read = |call: &&_| {
                    let call: &spillway_judge::CallRecord = call;
                    call.action == Action::Read && call.account.as_str() == id
                };
                calls.iter().filter(is_read).count()
            };
            (of(CREATOR), of(OTHER))
        };
        for _ in 0..60 {
            let before = reads();
            tokio::time::sleep(Duration::from_secs(1)).await;
            if before.0 > 0 && before.1 > 0 && before == reads() {
                return stand;
            }
        }
        panic!("upkeep never came");
    }

    /// The doctor, with `more` arguments.
    async fn doctor(&self, more: &[&str]) -> Ran {
        self.run(&[&["doctor", "--json"], more].concat()).await
    }
}

/// All that is not good, as `check: verdict` of whom.
fn complaints(ran: &Ran) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let report = ran.json();
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        let is_bad = finding["verdict"] == "wrong" || finding["verdict"] == "warning";
        assert!(!is_bad || finding["do_this"].is_string(), "says not what to do: {finding}");
    }
    let bad = findings.iter().filter(|finding| finding["verdict"] == "wrong");
    bad.map(|finding| (text(&finding["check"]), text(&finding["account"]), text(&finding["said"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_sound_stack_nothing_is_wrong() {
    let stand = Stand::visited().await;
    let ran = stand.doctor(&[]).await.ok();
    assert_snapshot!("doctor", steady(&ran.json()));
    for secret in
        [&stand.served.stack.secrets.app_secrets, &stand.served.stack.secrets.verify_tokens]
    {
        assert!(!ran.stdout.contains(secret[0].expose_secret()));
    }
    let text = stand.run(&["doctor", OTHER]).await.ok().stdout;
    assert!(text.contains(&format!("good     {OTHER} subscription: whole")), "{text}");
    assert!(!text.contains(CREATOR) && text.contains(", 0 wrong\n"), "{text}");
    // Both looks at the other account were charged: four reads each, as it has posted nothing.
    let reads = |calls: usize| {
        let charged = stand.served.stack.graph.calls();
        let of = charged.iter().filter(|call| call.account.as_str() == OTHER).count();
        assert!(of >= calls, "{of}");
    };
    reads(8);
    let judged = stand.served.stack.graph.report();
    assert!(judged.violations.is_empty(), "{judged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_setting_and_dead_letters_are_found() {
    let stand = Stand::visited().await;
    let stack = &stand.served.stack;
    let set = stack.poller.set_queue_attributes().queue_url(&stack.config.send_queue_url);
    set.attributes(QueueAttributeName::VisibilityTimeout, "30").send().await.unwrap();
    let bury = stack.poller.send_message().queue_url(&stack.config.dead_letter_queue_url);
    bury.message_body("x").send().await.unwrap();
    let ran = stand.doctor(&[]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let [(check, _, said)] = &complaints(&ran)[..] else { panic!("{}", ran.stdout) };
    assert_eq!(check, "queue of sends");
    assert!(said.contains("hidden for 30 s only, and 3 min 0 s are needed"), "{said}");
    let told = ran.json()["findings"].to_string();
    assert!(told.contains("it holds about 1, the oldest of") && told.contains("spillway dlq list"));
    assert_eq!(stand.json(&["status"]).await["dead_letters"]["messages"], 1);
    let status = stand.run(&["status"]).await.ok().stdout;
    assert!(status.contains("dead letters: about 1, the oldest of"), "{status}");
}

/// The queue of what EventBridge Scheduler could not hand over, which holds no sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_the_schedules_are_found() {
    let stand = Stand::visited().await;
    let sqs = &stand.served.stack.poller;
    let made = sqs.create_queue().queue_name("schedules-dead").send().await.unwrap();
    let url = made.queue_url.unwrap();
    let moved = [("SPILLWAY_SCHEDULE_DEAD_LETTER_QUEUE_URL", url.as_str())];
    let none = stand.run_moved(&moved, &["status"]).await.ok().stdout;
    assert!(!none.contains("dead letters"), "{none}");
    sqs.send_message().queue_url(&url).message_body(r#"{"upkeep":true}"#).send().await.unwrap();
    let told = stand.run_moved(&moved, &["doctor", "--json"]).await.json()["findings"].to_string();
    assert!(
        told.contains("dead-letter queue of the schedules") && told.contains("about 1"),
        "{told}"
    );
    let status = stand.run_moved(&moved, &["status", "--json"]).await.json();
    assert_eq!(status["schedule_dead_letters"]["messages"], 1);
    let status = stand.run_moved(&moved, &["status"]).await.ok().stdout;
    assert!(status.contains("dead letters of the schedules: about 1, the oldest of"), "{status}");
}

/// The functions' role is granted the secret by the ARN that the parameter names, to the letter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arn_of_the_secret_that_is_not_whole_is_found() {
    let stand = Stand::start().await;
    let (partial, _) = stand.served.stack.config.secret_id.rsplit_once('-').unwrap();
    let ran = stand.run_moved(&[("SPILLWAY_SECRET_ID", partial)], &["doctor", "--json"]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let [(check, _, said)] = &complaints(&ran)[..] else { panic!("{}", ran.stdout) };
    assert_eq!(check, "secret");
    assert!(said.contains("not the secret's whole ARN"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_not_the_deployments_is_found() {
    let (stand, another) = (Stand::start().await, Stand::start().await);
    let anothers = another.served.addresses.secrets_manager_url.as_str();
    let ran = stand
        .run_moved(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", anothers)], &["doctor", "--json"])
        .await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let checks: Vec<String> = complaints(&ran).into_iter().map(|(check, ..)| check).collect();
    assert_eq!(checks, ["handshake", "signed delivery"]);

    let ran = stand.run_moved(&[("SPILLWAY_SECRET_ID", "no-such")], &["doctor", "--json"]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let [(check, _, said)] = &complaints(&ran)[..] else { panic!("{}", ran.stdout) };
    assert_eq!(check, "secret");
    assert!(said.contains("no-such") && said.contains("ResourceNotFound"), "{said}");
    let skipped = ran.json()["findings"].to_string();
    assert!(skipped.contains("no verify token is known") && skipped.contains("no app secret is"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meta_says_of_an_account_is_told() {
    let stand = Stand::visited().await;
    stand.served.stack.graph.subscribe(&CREATOR.into(), &["comments"]);
    stand.fault(json!({ "kind": "token_dead", "action": "read", "account": OTHER })).await;
    let ran = stand.doctor(&[]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let [lacking, dead] = &complaints(&ran)[..] else { panic!("{}", ran.stdout) };
    assert_eq!((&*lacking.0, &*lacking.1), ("subscription", CREATOR));
    assert!(lacking.2.contains("live_comments, messages"), "{}", lacking.2);
    assert_eq!((&*dead.0, &*dead.1), ("identity at Meta", OTHER));
    assert!(dead.2.contains("code 190") && dead.2.contains("the token is dead"), "{}", dead.2);

    // The refusal stopped the account: no call is made with a dead token.
    let calls = stand.served.stack.graph.calls().len();
    let again = stand.doctor(&[OTHER]).await;
    assert_eq!(stand.served.stack.graph.calls().len(), calls, "{}", again.stdout);
    let [(check, _, said)] = &complaints(&again)[..] else { panic!("{}", again.stdout) };
    assert!(check == "state" && said.contains("Meta refuses the token"), "{said}");
    assert!(again.stdout.contains("there is no room for the call: hold"), "{}", again.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_is_told_by_name() {
    let stand = Stand::visited().await;
    stand.comment(CREATOR, "nobody wants this", 0..1).await;
    let graph = &stand.served.stack.graph;
    let findings = |ran: &Ran| {
        let found = ran.json()["findings"].as_array().unwrap().clone();
        let of = |check: &str| {
            let found = found.iter().find(|found| found["check"] == check).unwrap();
            (found["verdict"].clone(), found["said"].as_str().unwrap().to_owned())
        };
        (of("permission to send messages"), of("permission to read comments"))
    };
    let (messages, comments) = findings(&stand.doctor(&[CREATOR]).await.ok());
    assert_eq!((&messages.0, &comments.0), (&json!("good"), &json!("good")), "{comments:?}");

    graph.permit(&CREATOR.into(), &["instagram_business_basic"]);
    let ran = stand.doctor(&[CREATOR]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let (messages, comments) = findings(&ran);
    assert_eq!((&messages.0, &comments.0), (&json!("wrong"), &json!("wrong")));
    assert!(messages.1.contains("instagram_business_manage_messages"), "{messages:?}");
    assert!(comments.1.contains("instagram_business_manage_comments"), "{comments:?}");
    // It says nothing of sends that were under way: the account is not stopped for it.
    let account = stand.json(&["account", "show", CREATOR]).await;
    assert_eq!(account["holds"], json!([]));
    assert!(graph.report().violations.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_at_stops_nothing_else() {
    let stand = Stand::start().await;
    let nowhere = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_KMS"];
    let nowhere = nowhere.map(|name| (name, "http://127.0.0.1:9"));
    let ran = stand.run_moved(&nowhere, &["doctor", "--json"]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    let found = ran.json()["findings"].clone();
    let of = |check: &str| {
        let found = found.as_array().unwrap().iter().find(|found| found["check"] == check);
        found.unwrap_or_else(|| panic!("{check}: {found:?}")).clone()
    };
    assert_eq!(of("store")["verdict"], "wrong");
    assert!(of("store")["do_this"].as_str().unwrap().contains("cannot be reached"));
    let hidden = of("store")["hides"].clone();
    for check in ["table", "schedules", "token key", "accounts"] {
        assert!(hidden.as_array().unwrap().contains(&json!(check)), "{check}: {hidden}");
    }
    let wrong = found.as_array().unwrap().iter().filter(|found| found["verdict"] == "wrong");
    assert_eq!(wrong.count(), 1, "one cause is told once: {found}");
    assert_eq!(of("queue of sends")["verdict"], "good");
    assert_eq!(of("forged delivery")["verdict"], "good");

    let ran = stand.doctor(&["1"]).await;
    assert_eq!(ran.code, 6, "{}", ran.stdout);
    assert!(complaints(&ran)[0].2.contains("not connected"), "{}", ran.stdout);
}
