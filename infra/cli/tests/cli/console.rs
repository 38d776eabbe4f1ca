//! `spillway console`: its address, and its pages as JSON, which have the tool's own forms.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use reqwest::header::{ACCEPT, COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::account::spoil;
use crate::forms::assert_documented;
use crate::stand::{CREATOR, OTHER, Stand};

/// The program, which serves until it is ended, and the browser that it has let in.
struct Serving {
    program: Child,
    http: Client,
    origin: String,
    cookie: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Serving {
    async fn start(stand: &Stand) -> Self {
        let mut program = stand.program(&["console", "--json"]);
        let mut program = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let printed: Value = serde_json::from_str(&line).unwrap();
        assert_documented(&["console"], &printed);
        let url = printed["url"].as_str().unwrap();
        let origin = url.split_once("/enter").unwrap().0.to_owned();
        let http = spillway_meta::http::client().no_proxy().redirect(Policy::none());
        let http = http.build().unwrap();
        let entered = http.get(url).send().await.unwrap();
        let cookie = entered.headers()[SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split_once(';').unwrap().0.to_owned();
        Self { program, http, origin, cookie }
    }

    async fn asks(&self, path: &str, accept: &str) -> reqwest::Response {
        let asked = self.http.get(format!("{}{path}", self.origin));
        asked.header(COOKIE, &self.cookie).header(ACCEPT, accept).send().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_pages_are_json_in_the_forms_of_the_tool() {
    let stand = Stand::start().await;
    stand.comment(CREATOR, "guide", 1..4).await;
    stand.comment(CREATOR, "nothing", 4..5).await;
    let list = ["send", "list", CREATOR, "--state", "sent"];
    let sent = stand.until(&list, |sent| sent["sends"][2].is_object()).await;
    let send = sent["sends"][0]["send"].as_str().unwrap();
    let key = send.split_once('/').unwrap().1;
    let console = Serving::start(&stand).await;
    let account = format!("/accounts/{CREATOR}");
    for (path, command) in [
        ("/".to_owned(), &["status"][..]),
        (format!("{account}/campaigns"), &["campaign", "list"]),
        (format!("{account}/sends"), &["send", "list"]),
        (format!("{account}/sends?state=sent"), &["send", "list"]),
        (format!("{account}/sends/{key}"), &["send", "show"]),
        (format!("{account}/events"), &["events"]),
        (format!("{account}/misses"), &["misses"]),
        (format!("{account}/outcomes"), &["campaign", "outcomes"]),
        ("/plan?comments=500&span=5m".to_owned(), &["forecast"]),
    ] {
        let answer = console.asks(&path, "application/json").await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_documented(command, &answer.json().await.unwrap());
    }
    // Metrics come by the local stack's CloudWatch, asked as AWS's is.
    let status = stand.json(&["status"]).await;
    assert!(status["reception"]["deliveries"].as_u64() >= Some(1), "{status}");
    let shown = console.asks(&format!("{account}/sends/{key}"), "application/json").await;
    let shown: Value = shown.json().await.unwrap();
    assert_eq!(shown, stand.json(&["send", "show", send]).await, "both say the same");
    let counted = stand.json(&["campaign", "outcomes", CREATOR]).await;
    assert_eq!(counted["campaigns"][0]["openings"]["sent"], 3, "{counted}");

    // An account that cannot be read hides no other.
    spoil(&stand, OTHER).await;
    let page = console.asks("/", "text/html").await.text().await.unwrap();
    assert!(page.contains(&format!("Account {CREATOR}")), "{page}");
    assert!(page.contains("Cannot be read") && page.contains("1 account cannot be read"), "{page}");
    let page = console.asks(&format!("/accounts/{OTHER}"), "text/html").await;
    assert_eq!(page.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let page = page.text().await.unwrap();
    assert!(page.contains("deploy that one again; else remove the account"), "{page}");
}
