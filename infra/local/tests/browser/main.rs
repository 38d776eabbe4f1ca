//! The console in a real browser, beside a story that was played half: its pages are walked through,
//! with script and without, looked at in light, dark and narrow, and checked for what keeps people
//! out.
//!
//! `cargo test` leaves it out. By name it runs as in `.ci/run`: with Chromium, node, and the npm
//! packages playwright-core and axe-core.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use spillway_graph::{Fault, FaultKind};
use spillway_local::setup::{ProfileArgs, ProfileName};
use spillway_local::story::{START, Story, StoryOptions};

/// Where Chromium is.
const BROWSER: &str = "SPILLWAY_TEST_BROWSER";
/// The folder of `node_modules` that holds the npm packages.
const PACKAGES: &str = "SPILLWAY_TEST_NODE_MODULES";

const ACCOUNT: &str = "17841400000000001";

fn given(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("set {variable}, as .ci/run does"))
}

/// Plays the story until this much virtual time has passed since its start.
async fn play(story: &mut Story, until: Duration) {
    while story.step_until(START + until).await.unwrap() {}
}

/// Lets the browser look at the console while the story goes on.
async fn look(story: &mut Story, scene: &str, walks: bool) {
    let link = story.stack.serve_console(0).await.unwrap();
    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&pictures).unwrap();
    let told = json!({
        "browser": given(BROWSER),
        "packages": given(PACKAGES),
        "link": link,
        "account": ACCOUNT,
        "pictures": pictures,
        "scene": scene,
        "walks": walks,
    });
    let looked = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/pages.mjs");
        Command::new("node").arg(script).arg(told.to_string()).status()
    });
    tokio::select! {
        looked = looked => assert!(looked.unwrap().unwrap().success(), "node has printed why"),
        stopped = story.go_on() => stopped.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_find_their_way() {
    let options = StoryOptions { comments: 1200, span: Duration::from_secs(600), seed: 1 };
    let limits = ProfileArgs { profile: ProfileName::Careful, tier: None, warm_up: false };
    let limits = limits.limits(START, 2).unwrap();
    let mut story = Story::conversing(&options, limits).await.unwrap();
    let refusal = Fault { count: Some(2), ..Fault::new(FaultKind::RecipientUnavailable) };
    story.stack.graph.order_fault(refusal);
    play(&mut story, Duration::from_secs(2 * 3600 + 1500)).await;
    look(&mut story, "story", true).await;

    story.stack.graph.order_fault(Fault::new(FaultKind::TokenDead { subcode: 463 }));
    let on = story.progress().elapsed + Duration::from_secs(600);
    play(&mut story, on).await;
    look(&mut story, "token-dead", false).await;
}
