//! The simulated Graph API over HTTP: what callers see of it, and what it says of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use spillway_core::content::{Draft, Message};
use spillway_core::conversation::Follows;
use spillway_core::message::Values;
use spillway_core::time::Timestamp;
use spillway_graph::{
    Comment, Counted, Fault, FaultKind, GraphConfig, GraphSim, Limit, Limits, Rules, Surface,
    UnknownComments, serve,
};
use spillway_meta::error::{ThrottleScope, Verdict};
use spillway_meta::graph::{CallError, GraphClient, Profile};
use spillway_meta::usage::{Percent, Usage};
use spillway_service::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// 2026-10-01T00:00:00Z, a Thursday.
const START_MS: u64 = 1_790_812_800_000;
const MINUTE_MS: u64 = 60_000;
const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A clock that stands still until it is stepped.
struct Stepped(AtomicU64);

impl Stepped {
    fn step(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Stepped {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START_MS + self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Graph {
    sim: GraphSim,
    clock: Arc<Stepped>,
    client: Client,
    address: std::net::SocketAddr,
}

/// These limits, and usage headers once half of one is used.
fn config(limits: Limits) -> GraphConfig {
    GraphConfig { limits, usage_from_percent: Some(50), ..GraphConfig::default() }
}

impl Graph {
    async fn start(config: GraphConfig) -> Self {
        let clock = Arc::new(Stepped(AtomicU64::new(0)));
        let sim = GraphSim::new(config, clock.clone());
        sim.add_account("17", "token-17");
        sim.add_account("18", "token-18");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(sim.clone(), listener, std::future::pending()));
        Self { sim, clock, client: spillway_meta::http::client().build().unwrap(), address }
    }

    async fn documented() -> Self {
        Self::start(GraphConfig::default()).await
    }

    async fn limited(rows: Vec<Limit>) -> Self {
        Self::start(config(Rules::from(rows).into())).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn comment(&self, id: &str) {
        self.comment_on(id, "media", Surface::Post);
    }

    fn comment_on(&self, id: &str, media: &str, surface: Surface) {
        self.sim.observe_comment(Comment {
            id: id.into(),
            account: "17".into(),
            media: media.into(),
            author: format!("person-{id}").as_str().into(),
            created_at: self.clock.now(),
            surface,
        });
    }

    async fn try_post(&self, path: &str, token: &str, body: String) -> reqwest::Result<Response> {
        self.client.post(self.url(path)).bearer_auth(token).body(body).send().await
    }

    async fn try_reply(&self, comment: &str) -> reqwest::Result<Response> {
        let body = json!({ "recipient": { "comment_id": comment }, "message": { "text": "hi" } });
        self.try_post("/v26.0/17/messages", "token-17", body.to_string()).await
    }

    async fn reply(&self, comment: &str) -> Answer {
        Answer::of(self.try_reply(comment).await.unwrap()).await
    }

    async fn message(&self, person: &str) -> Answer {
        let body = json!({ "recipient": { "id": person }, "message": { "text": "hi" } });
        let response = self.try_post("/v26.0/17/messages", "token-17", body.to_string()).await;
        Answer::of(response.unwrap()).await
    }

    /// `GET` of a comment, with this query.
    async fn look(&self, comment: &str, query: &str, token: &str) -> Answer {
        let url = self.url(&format!("/v26.0/{comment}{query}"));
        Answer::of(self.client.get(url).bearer_auth(token).send().await.unwrap()).await
    }

    async fn order(&self, faults: Value) -> Answer {
        let body = faults.to_string();
        Answer::of(self.client.post(self.url("/_faults")).body(body).send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.client.get(self.url(path)).send().await.unwrap().json().await.unwrap()
    }

    /// The client that Spillway calls Meta with.
    fn spillway(&self) -> GraphClient {
        let base_url = self.url("");
        let config = spillway_meta::graph::GraphConfig { base_url, version: "v26.0".to_owned() };
        GraphClient::new(config).unwrap()
    }

    /// What the headers of its answer say, whether it is sent or refused.
    async fn usage_of_a_reply(&self, comment: &str) -> Usage {
        let timeout = Duration::from_secs(10);
        let (account, token) = ("17".into(), "token-17".into());
        let replied = self
            .spillway()
            .private_reply(
                &account,
                &token,
                &comment.into(),
                &Message::Text("hi".into()),
                "",
                timeout,
            )
            .await;
        match replied {
            Ok(sent) => sent.usage,
            Err(CallError::Refused { usage, .. }) => usage,
            Err(other) => panic!("{other}"),
        }
    }
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> Value {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        serde_json::from_str(value.to_str().unwrap()).unwrap()
    }

    /// Status, code and subcode.
    #[track_caller]
    fn is(&self, status: u16, code: u64, subcode: Option<u64>) {
        let error = &self.json()["error"];
        let seen = (self.status, error["code"].as_u64(), error["error_subcode"].as_u64());
        assert_eq!(seen, (status, Some(code), subcode), "{}", self.body);
        let trace = error["fbtrace_id"].as_str().unwrap();
        assert!(trace.starts_with('A') && trace.len() == 23, "{trace}");
        assert!(error["message"].is_string() && error["type"].is_string());
    }
}

#[tokio::test]
async fn a_private_reply_reaches_the_author_once() {
    let graph = Graph::documented().await;
    graph.comment("1");
    let sent = graph.reply("1").await;
    assert_eq!(sent.status, 200);
    assert_eq!(sent.json()["recipient_id"], "person-1");
    assert!(sent.json()["message_id"].as_str().unwrap().starts_with("aWdfZ"));
    assert_eq!(sent.json().as_object().unwrap().len(), 2);
    graph.reply("1").await.is(400, 100, Some(2_534_025));
    let report = graph.sim.report();
    assert_eq!((report.calls, report.accepted, report.duplicates), (2, 1, 1));
}

#[tokio::test]
async fn tokens_are_checked() {
    let graph = Graph::documented().await;
    graph.comment("1");
    let body = json!({ "recipient": { "comment_id": "1" }, "message": { "text": "hi" } });
    let path = "/v26.0/17/messages";
    let bare = graph.client.post(graph.url(path)).body(body.to_string()).send().await.unwrap();
    Answer::of(bare).await.is(401, 190, None);
    let bad = graph.try_post(path, "nobody's", body.to_string()).await.unwrap();
    Answer::of(bad).await.is(401, 190, Some(467));
    let other = graph.try_post(path, "token-18", body.to_string()).await.unwrap();
    Answer::of(other).await.is(400, 100, Some(2_534_037));
    graph.sim.disconnect_account(&"17".into());
    graph.reply("1").await.is(401, 190, Some(458));
    graph.sim.add_account("17", "token-17");
    let query = graph.url("/v26.0/me/messages?access_token=token%2D17");
    let sent = graph.client.post(query).body(body.to_string()).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    // All five were charged to the account that the path or the token names.
    assert!(graph.sim.calls().iter().all(|call| call.account.as_str() == "17"));
    assert_eq!(graph.sim.report().calls, 5);
}

#[tokio::test]
async fn comments_that_cannot_be_answered() {
    let graph = Graph::documented().await;
    graph.reply("unknown").await.is(400, 100, Some(33));
    graph.comment("deleted");
    graph.sim.delete_comment(&"deleted".into());
    graph.reply("deleted").await.is(400, 100, Some(33));
    graph.comment("young");
    graph.comment("old");
    graph.clock.step(7 * DAY_MS);
    assert_eq!(graph.reply("young").await.status, 200);
    graph.clock.step(1);
    graph.reply("old").await.is(400, 100, Some(2_534_025));
    let body = json!({ "recipient": { "comment_id": "old" }, "message": { "text": "hi" } });
    let other = graph.try_post("/v26.0/18/messages", "token-18", body.to_string()).await.unwrap();
    Answer::of(other).await.is(400, 100, Some(33));
}

#[tokio::test]
async fn live_comments_are_answered_during_the_broadcast() {
    let graph = Graph::documented().await;
    graph.comment_on("1", "show", Surface::Live);
    graph.comment_on("2", "show", Surface::Live);
    assert_eq!(graph.reply("1").await.status, 200);
    graph.sim.end_broadcast("show");
    graph.reply("2").await.is(400, 100, Some(2_534_025));
    assert_eq!(graph.get("/_calls").await[0]["action"], "live_private_reply");
}

#[tokio::test]
async fn bad_calls_are_refused_and_charged() {
    let graph = Graph::documented().await;
    graph.comment("1");
    let path = "/v26.0/17/messages";
    let long = "\u{e4}".repeat(501);
    for body in [
        "{".to_owned(),
        json!({ "message": { "text": "hi" } }).to_string(),
        json!({ "recipient": { "comment_id": "1" }, "message": { "text": long } }).to_string(),
        json!({ "recipient": { "comment_id": "1" }, "message": { "text": "" } }).to_string(),
    ] {
        let answer = graph.try_post(path, "token-17", body).await.unwrap();
        Answer::of(answer).await.is(400, 100, None);
    }
    let human = json!({
        "recipient": { "comment_id": "1" }, "message": { "text": "hi" }, "tag": "HUMAN_AGENT"
    });
    let answer = graph.try_post(path, "token-17", human.to_string()).await.unwrap();
    Answer::of(answer).await.is(403, 10, None);
    let answer = graph.try_post("/v26.0/17/likes", "token-17", String::new()).await.unwrap();
    Answer::of(answer).await.is(400, 2500, None);
    let answer = graph.try_post("/v26.0/19/messages", "token-17", human.to_string()).await;
    Answer::of(answer.unwrap()).await.is(400, 100, Some(33));
    let got = graph.client.get(graph.url(path)).bearer_auth("token-17").send().await.unwrap();
    Answer::of(got).await.is(400, 100, None);
    let report = graph.sim.report();
    assert_eq!((report.calls, report.accepted), (8, 0));
    assert!(graph.sim.calls().iter().all(|call| call.account.as_str() == "17"));
}

#[tokio::test]
async fn ordinary_messages_take_a_person_who_wrote() {
    let graph = Graph::documented().await;
    graph.message("stranger").await.is(400, 100, Some(2_534_014));
    graph.comment("1");
    graph.message("person-1").await.is(403, 10, Some(2_534_022));
    graph.sim.open_window("17", "person-1");
    let sent = graph.message("person-1").await;
    assert_eq!((sent.status, &sent.json()["recipient_id"]), (200, &json!("person-1")));
    assert_ne!(sent.json(), graph.message("person-1").await.json(), "each message has its id");
    graph.clock.step(DAY_MS + 1);
    graph.message("person-1").await.is(403, 10, Some(2_534_022));
}

#[tokio::test]
async fn ordinary_messages_are_refused_like_any_other() {
    let graph = Graph::documented().await;
    graph.sim.open_window("17", "person-1");
    let path = "/v26.0/17/messages";
    let send = async |token: &str, body: Value| {
        Answer::of(graph.try_post(path, token, body.to_string()).await.unwrap()).await
    };
    let hi = json!({ "recipient": { "id": "person-1" }, "message": { "text": "hi" } });
    let long =
        json!({ "recipient": { "id": "person-1" }, "message": { "text": "a".repeat(1001) } });
    send("token-17", long).await.is(400, 100, None);
    send("nobody's", hi.clone()).await.is(401, 190, Some(467));
    send("token-18", hi.clone()).await.is(400, 100, Some(2_534_037));
    let other = graph.try_post("/v26.0/18/messages", "token-18", hi.to_string()).await.unwrap();
    Answer::of(other).await.is(400, 100, Some(2_534_014));
    graph.order(json!({ "kind": "recipient_unavailable", "action": "message" })).await;
    send("token-17", hi.clone()).await.is(400, 551, Some(1_545_041));
    graph.order(json!({ "kind": "throttled", "action": "message" })).await;
    send("token-17", hi.clone()).await.is(400, 613, Some(2_534_040));
    graph.order(json!({ "kind": "blocked", "action": "message" })).await;
    send("token-17", hi.clone()).await.is(403, 10, Some(1_893_063));
    assert_eq!(send("token-17", hi.clone()).await.status, 200);
    graph.sim.disconnect_account(&"17".into());
    send("token-17", hi).await.is(401, 190, Some(458));
    let calls = graph.get("/_calls").await;
    assert!(calls.as_array().unwrap().iter().all(|call| call["action"] == "message"));
    assert_eq!((graph.sim.report().calls, graph.sim.report().accepted), (9, 1));
}

#[tokio::test]
async fn an_answered_comment_does_not_let_the_account_write() {
    let graph = Graph::documented().await;
    graph.comment("1");
    assert_eq!(graph.reply("1").await.status, 200);
    graph.message("person-1").await.is(403, 10, Some(2_534_022));
    graph.sim.open_window("18", "person-1");
    graph.message("person-1").await.is(403, 10, Some(2_534_022));
    graph.sim.open_window("17", "person-1");
    assert_eq!(graph.message("person-1").await.status, 200);
}

#[tokio::test]
async fn a_comment_tells_when_it_was_made() {
    let graph = Graph::documented().await;
    graph.clock.step(1999);
    graph.comment("1");
    graph.clock.step(HOUR_MS);
    let told = json!({ "timestamp": "2026-10-01T00:00:01+0000", "id": "1" });
    for query in ["?fields=timestamp", "", "?fields=id,timestamp"] {
        let answer = graph.look("1", query, "token-17").await;
        assert_eq!((answer.status, answer.json()), (200, told.clone()), "{query}");
    }
    assert_eq!(graph.look("1", "?fields=id", "token-17").await.json(), json!({ "id": "1" }));
    graph.look("1", "?fields=timestamp,likes", "token-17").await.is(400, 100, None);
    graph.look("2", "?fields=timestamp", "token-17").await.is(400, 100, Some(33));
    graph.look("1", "?fields=timestamp", "token-18").await.is(400, 100, Some(33));
    graph.look("1", "?fields=timestamp", "nobody's").await.is(401, 190, Some(467));
    graph.sim.delete_comment(&"1".into());
    graph.look("1", "?fields=timestamp", "token-17").await.is(400, 100, Some(33));
}

#[tokio::test]
async fn a_look_is_a_call_that_sends_nothing() {
    let graph = Graph::limited(vec![Limit::new("calls", Counted::EVERY_CALL, HOUR, 4)]).await;
    graph.comment("1");
    let look = async || graph.look("1", "?fields=timestamp", "token-17").await;
    assert_eq!(look().await.status, 200);
    assert_eq!(graph.reply("1").await.status, 200);
    let third = look().await;
    assert_eq!(third.header("x-business-use-case-usage")["17"][0]["call_count"], 75);
    let report = graph.sim.report();
    assert_eq!((report.calls, report.accepted, report.duplicates), (3, 1, 0));
    assert_eq!(graph.reply("1").await.json()["error"]["error_subcode"], 2_534_025);
    look().await.is(400, 80002, None);
    let report = graph.sim.report();
    assert_eq!((report.accepted, report.duplicates, report.violations.len()), (1, 1, 1));
    assert_eq!(report.violations, graph.sim.recount());
    assert_eq!(
        graph.get("/_calls").await[0],
        json!({
            "at_ms": START_MS, "account": "17", "action": "read",
            "comment_id": null, "recipient_id": null, "status": 200, "code": null,
        })
    );
}

#[tokio::test]
async fn a_fault_may_keep_to_what_is_asked() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.order(json!({ "kind": "throttled", "code": 4, "action": "read" })).await;
    graph.order(json!({ "kind": "transient", "action": "private_reply" })).await;
    graph.reply("1").await.is(400, 1200, None);
    graph.look("1", "", "token-17").await.is(400, 4, None);
    graph.order(json!({ "kind": "no_answer" })).await;
    let told = graph.look("1", "", "token-17").await;
    assert_eq!(told.status, 200, "what loses the answer to a message waits for one");
    assert!(graph.try_reply("1").await.is_err());
}

#[tokio::test]
async fn a_look_at_an_unknown_comment_may_make_it_known() {
    let unknown_comments = UnknownComments::Accept;
    let graph = Graph::start(GraphConfig { unknown_comments, ..GraphConfig::default() }).await;
    let told = graph.look("by-hand", "", "token-17").await;
    assert_eq!(told.json()["timestamp"], "2026-10-01T00:00:00+0000");
    graph.clock.step(7 * DAY_MS + 1);
    graph.reply("by-hand").await.is(400, 100, Some(2_534_025));
}

#[tokio::test]
async fn unknown_comments_may_be_accepted() {
    let unknown_comments = UnknownComments::Accept;
    let graph = Graph::start(GraphConfig { unknown_comments, ..GraphConfig::default() }).await;
    let sent = graph.reply("by-hand").await;
    assert_eq!(sent.status, 200);
    assert!(sent.json()["recipient_id"].as_str().unwrap().starts_with("526"));
    graph.reply("by-hand").await.is(400, 100, Some(2_534_025));
}

#[tokio::test]
async fn private_replies_are_limited_exactly() {
    let row = Limit::new("replies", Counted::PRIVATE_REPLIES, HOUR, 3);
    let graph = Graph::limited(vec![row]).await;
    for id in ["1", "2", "3", "4", "5"] {
        graph.comment(id);
    }
    for id in ["1", "2", "3"] {
        assert_eq!(graph.reply(id).await.status, 200);
        graph.clock.step(1000);
    }
    graph.clock.step(HOUR_MS - 3001);
    // One millisecond before the first call leaves the window.
    let over = graph.reply("4").await;
    over.is(400, 613, Some(2_534_040));
    assert!(over.headers.get("x-business-use-case-usage").is_none());
    graph.clock.step(1);
    // The first call has left; the refused one is in its place.
    graph.reply("4").await.is(400, 613, Some(2_534_040));
    graph.clock.step(HOUR_MS);
    assert_eq!(graph.reply("4").await.status, 200);
    let report = graph.sim.report();
    assert_eq!(report.violations.len(), 2);
    assert_eq!(report.violations[0].at_ms, START_MS + HOUR_MS - 1);
    assert_eq!(report.violations[0].limits[0].limit, "replies");
    assert_eq!(report.violations[0].limits[0].count, 4);
    assert_eq!(report.violations, graph.sim.recount());
}

#[tokio::test]
async fn a_window_is_free_again_exactly_when_it_has_passed() {
    let graph = Graph::limited(vec![Limit::new("r", Counted::PRIVATE_REPLIES, HOUR, 2)]).await;
    for id in ["1", "2", "3", "4"] {
        graph.comment(id);
    }
    for id in ["1", "2"] {
        assert_eq!(graph.reply(id).await.status, 200);
    }
    graph.clock.step(HOUR_MS);
    for id in ["3", "4"] {
        assert_eq!(graph.reply(id).await.status, 200);
    }
    assert!(graph.sim.report().violations.is_empty());
}

#[tokio::test]
async fn the_call_limit_names_the_time_to_wait() {
    let graph = Graph::limited(vec![Limit::new("calls", Counted::EVERY_CALL, HOUR, 2)]).await;
    for id in ["1", "2", "3"] {
        graph.comment(id);
    }
    let half = graph.reply("1").await;
    let usage = &half.header("x-business-use-case-usage")["17"][0];
    assert_eq!((&usage["type"], &usage["call_count"]), (&json!("instagram"), &json!(50)));
    assert_eq!(usage["estimated_time_to_regain_access"], 0);
    graph.clock.step(MINUTE_MS);
    assert_eq!(graph.reply("2").await.status, 200);
    graph.clock.step(MINUTE_MS + 1);
    let over = graph.reply("3").await;
    over.is(400, 80002, None);
    let usage = &over.header("x-business-use-case-usage")["17"][0];
    // A call fits once the second one has left: in 58 minutes and 59.999 s.
    assert_eq!(usage["estimated_time_to_regain_access"], 59);
    assert_eq!(usage["call_count"], 150);
    graph.clock.step(59 * MINUTE_MS - 1);
    assert_eq!(graph.sim.report().calls_in_hold, 0);
    // Still in hold by the answer's rounded time, while the window would let it through.
    assert_eq!(graph.reply("3").await.status, 200);
    let report = graph.sim.report();
    assert_eq!((report.violations.len(), report.calls_in_hold), (1, 1));
}

#[tokio::test]
async fn the_app_limit_spans_accounts_and_tells_its_usage() {
    let app = Some(Limit::new("app", Counted::EVERY_CALL, HOUR, 4));
    let graph = Graph::start(config(Limits { app, ..Rules::from(Vec::new()).into() })).await;
    let body = json!({ "recipient": { "id": "x" }, "message": { "text": "hi" } }).to_string();
    let other = || graph.try_post("/v26.0/18/messages", "token-18", body.clone());
    assert!(Answer::of(other().await.unwrap()).await.headers.get("x-app-usage").is_none());
    graph.comment("1");
    assert_eq!(graph.reply("1").await.header("x-app-usage")["call_count"], 50);
    other().await.unwrap();
    other().await.unwrap();
    let over = Answer::of(other().await.unwrap()).await;
    over.is(400, 4, None);
    assert_eq!(over.json()["error"]["is_transient"], true);
    assert_eq!(over.header("x-app-usage")["call_count"], 125);
    assert_eq!(graph.sim.report().violations[0].limits[0].limit, "app");
}

#[tokio::test]
async fn people_are_limited_by_day() {
    let day = Duration::from_millis(DAY_MS);
    let graph = Graph::limited(vec![Limit::new("p", Counted::DM_RECIPIENTS, day, 1)]).await;
    graph.comment("1");
    graph.comment("2");
    assert_eq!(graph.reply("1").await.status, 200);
    graph.sim.open_window("17", "person-1");
    assert_eq!(graph.message("person-1").await.status, 200);
    graph.reply("2").await.is(400, 613, None);
    graph.clock.step(DAY_MS);
    assert_eq!(graph.reply("2").await.status, 200);
}

#[tokio::test]
async fn every_error_can_be_ordered() {
    let graph = Graph::documented().await;
    let cases = [
        (json!({ "kind": "transient" }), 400, 1200, None),
        (json!({ "kind": "ambiguous", "effect": false }), 500, 1, Some(1_357_046)),
        (json!({ "kind": "throttled" }), 400, 613, Some(2_534_040)),
        (json!({ "kind": "throttled", "code": 4 }), 400, 4, None),
        (json!({ "kind": "throttled", "code": 17 }), 400, 17, None),
        (json!({ "kind": "throttled", "code": 32 }), 400, 32, None),
        (json!({ "kind": "throttled", "code": 80002 }), 400, 80002, None),
        (json!({ "kind": "throttled", "code": 80006 }), 400, 80006, None),
        (json!({ "kind": "blocked" }), 403, 10, Some(1_893_063)),
        (json!({ "kind": "token_dead" }), 401, 190, Some(463)),
        (json!({ "kind": "token_dead", "subcode": 460 }), 401, 190, Some(460)),
        (json!({ "kind": "permission" }), 403, 200, None),
        (json!({ "kind": "account_unseen" }), 400, 100, Some(33)),
        (json!({ "kind": "link_refused" }), 400, 508, Some(2_534_122)),
        (json!({ "kind": "recipient_unavailable" }), 400, 551, Some(1_545_041)),
        (json!({ "kind": "refused", "code": 100, "effect": false }), 400, 100, None),
        (
            json!({ "kind": "refused", "code": 2, "subcode": 1_545_133, "status": 403, "effect": false }),
            403,
            2,
            Some(1_545_133),
        ),
    ];
    graph.comment("1");
    for (fault, status, code, subcode) in cases {
        assert_eq!(graph.order(fault).await.status, 200);
        graph.reply("1").await.is(status, code, subcode);
    }
    assert_eq!(graph.reply("1").await.status, 200, "none of them took effect, and all are over");
    assert_eq!(graph.sim.report().duplicates, 0);
}

#[tokio::test]
async fn a_server_error_is_a_page() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.sim.order_fault(Fault::new(FaultKind::ServerError).times(2));
    for _ in 0..2 {
        let answer = graph.reply("1").await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (500, &"text/html; charset=utf-8".parse::<reqwest::header::HeaderValue>().unwrap(),)
        );
        assert!(serde_json::from_str::<Value>(&answer.body).is_err());
    }
    assert_eq!(graph.reply("1").await.status, 200);
}

#[tokio::test]
async fn a_throttle_names_its_time_and_holds_its_scope() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.order(json!({ "kind": "throttled", "code": 80006, "regain_minutes": 19 })).await;
    let usage = graph.reply("1").await.header("x-business-use-case-usage");
    assert_eq!(usage["17"][0]["estimated_time_to_regain_access"], 19);
    assert_eq!(usage["17"][0]["type"], "messenger");
    graph.clock.step(19 * MINUTE_MS - 1);
    graph.reply("1").await;
    graph.clock.step(1);
    graph.reply("1").await;
    assert_eq!(graph.get("/_judge").await["calls_in_hold"], 1);
}

#[tokio::test]
async fn no_answer_means_no_byte() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.order(json!([{ "kind": "no_answer_before_effect" }, { "kind": "no_answer" }])).await;
    for _ in 0..2 {
        let error = graph.try_reply("1").await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    }
    graph.reply("1").await.is(400, 100, Some(2_534_025));
    let calls = graph.get("/_calls").await;
    assert_eq!(calls.as_array().unwrap().len(), 3, "the client does not repeat a call by itself");
    assert_eq!((&calls[1]["status"], &calls[1]["code"]), (&json!(0), &Value::Null));

    graph.comment("2");
    graph.sim.order_fault(Fault::new(FaultKind::NoAnswer));
    let body = r#"{"recipient":{"comment_id":"2"},"message":{"text":"hi"}}"#;
    let mut stream = TcpStream::connect(graph.address).await.unwrap();
    let request = format!(
        "POST /v26.0/17/messages?access_token=token-17 HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty());
    assert_eq!(graph.sim.report().accepted, 2);
}

#[tokio::test]
async fn a_lost_answer_allows_one_retry_that_is_no_duplicate() {
    for fault in [
        json!({ "kind": "no_answer" }),
        json!({ "kind": "server_error_after_effect" }),
        json!({ "kind": "ambiguous", "effect": true }),
        json!({ "kind": "refused", "code": 20, "subcode": 1_772_107, "status": 500, "effect": true }),
    ] {
        let graph = Graph::documented().await;
        graph.comment("1");
        graph.order(fault.clone()).await;
        let lost = graph.try_reply("1").await;
        assert!(lost.is_err() || lost.unwrap().status() == StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(graph.sim.report().accepted, 1);
        graph.reply("1").await.is(400, 100, Some(2_534_025));
        assert_eq!(graph.sim.report().duplicates, 0, "{fault}");
        graph.reply("1").await.is(400, 100, Some(2_534_025));
        let report = graph.sim.report();
        assert_eq!((report.duplicates, report.lost_answers), (1, 1), "{fault}");
        assert_eq!(report.duplicate_calls[0].call, 2);
    }
}

#[tokio::test]
async fn a_fault_after_the_effect_waits_for_an_accepted_call() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.order(json!({ "kind": "no_answer" })).await;
    graph.reply("unknown").await.is(400, 100, Some(33));
    assert!(graph.try_reply("1").await.is_err());
}

#[tokio::test]
async fn no_fault_hides_a_call_over_a_limit() {
    let graph = Graph::limited(vec![Limit::new("r", Counted::PRIVATE_REPLIES, HOUR, 1)]).await;
    graph.comment("1");
    graph.order(json!({ "kind": "no_answer_before_effect", "for_ms": 10 })).await;
    for _ in 0..3 {
        assert!(graph.try_reply("1").await.is_err());
    }
    assert_eq!(graph.sim.report().violations.len(), 2);
}

#[tokio::test]
async fn ordered_usage_comes_with_normal_answers() {
    let graph = Graph::documented().await;
    for id in ["1", "2", "3"] {
        graph.comment(id);
    }
    graph.order(json!({ "kind": "usage", "percent": 80, "account": "17" })).await;
    graph.order(json!({ "kind": "usage", "app_percent": 96 })).await;
    let first = graph.reply("1").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("x-business-use-case-usage")["17"][0]["call_count"], 80);
    assert!(first.headers.get("x-app-usage").is_none());
    assert_eq!(graph.reply("2").await.header("x-app-usage")["call_count"], 96);
    assert!(graph.reply("3").await.headers.get("x-app-usage").is_none());
}

#[tokio::test]
async fn the_client_reads_what_is_answered() {
    let graph = Graph::documented().await;
    let client = graph.spillway();
    let timeout = Duration::from_secs(10);
    let (account, token) = ("17".into(), "token-17".into());
    graph.clock.step(1500);
    graph.comment("1");
    graph.sim.open_window("17", "person-1");
    let now = Timestamp::from_millis(START_MS + 1000);

    let time = client.comment_timestamp(&token, &"1".into(), timeout).await.unwrap();
    assert_eq!((time.value, time.server_date), (Some(now), Some(now)));
    let hi = Message::Text("hi".into());
    let replied =
        client.private_reply(&account, &token, &"1".into(), &hi, "stamp", timeout).await.unwrap();
    assert_eq!(replied.value.recipient, Some("person-1".into()));
    let person = replied.value.recipient.unwrap();
    let written = client.message(&account, &token, &person, &hi, "stamp", timeout).await.unwrap();
    assert_eq!(written.value.recipient.as_ref(), Some(&person));
    assert_ne!(written.value.message_id, replied.value.message_id);
    assert_eq!((written.usage, written.server_date), (Usage::default(), Some(now)));

    let actions: Vec<_> =
        graph.sim.calls().into_iter().map(|call| (json!(call.action), call.status)).collect();
    let expected = ["read", "private_reply", "message"].map(|action| (json!(action), 200));
    assert_eq!(actions, expected);

    graph.clock.step(DAY_MS);
    graph.sim.delete_comment(&"1".into());
    let gone = client.comment_timestamp(&token, &"1".into(), timeout).await.unwrap_err();
    assert_eq!(gone.verdict(), Verdict::CommentGone);
    graph.clock.step(1);
    let closed =
        client.message(&account, &token, &person, &hi, "stamp", timeout).await.unwrap_err();
    assert_eq!(closed.verdict(), Verdict::WindowClosed);
}

#[tokio::test]
async fn the_client_sends_each_kind_of_message() {
    let graph = Graph::documented().await;
    let client = graph.spillway();
    let (account, token, person) = ("17".into(), "token-17".into(), "person-1".into());
    graph.sim.open_window("17", "person-1");
    let button = json!({ "title": "I follow" });
    let link = json!({ "title": "Open", "url": "https://example.com/guide" });
    for (draft, shown) in [
        (json!({ "text": "Hi" }), json!({ "text": "Hi" })),
        (
            json!({ "text": "Here", "buttons": [link, button] }),
            json!({ "text": "Here", "buttons": [link, { "title": "I follow", "payload": "p" }] }),
        ),
        (
            json!({ "text": "Which?", "quick_replies": ["A"] }),
            json!({ "text": "Which?", "quick_replies": [{ "title": "A", "payload": "p" }] }),
        ),
        (
            json!({ "card": { "title": "It", "image": "https://example.com/i.png" } }),
            json!({ "text": null, "cards": [
                { "title": "It", "image": "https://example.com/i.png" },
            ] }),
        ),
    ] {
        let draft: Draft = serde_json::from_value(draft).unwrap();
        let message = draft.fill(Values::default(), "p");
        let timeout = Duration::from_secs(10);
        client.message(&account, &token, &person, &message, "s", timeout).await.unwrap();
        let sent = graph.sim.messages().pop().unwrap();
        assert_eq!(serde_json::to_value(&sent.content).unwrap(), shown);
    }
}

#[tokio::test]
async fn a_private_reply_of_more_than_a_text_is_for_followers() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.comment("2");
    let button = json!({ "type": "postback", "title": "Yes", "payload": "p" });
    let template = json!({ "template_type": "button", "text": "Hi", "buttons": [button] });
    let reply = async |comment: &str| {
        let message = json!({ "attachment": { "type": "template", "payload": template } });
        let body = json!({ "recipient": { "comment_id": comment }, "message": message });
        let sent = graph.try_post("/v26.0/17/messages", "token-17", body.to_string()).await;
        Answer::of(sent.unwrap()).await
    };
    reply("1").await.is(400, 2, Some(1_545_133));
    graph.reply("1").await.is(400, 100, Some(2_534_025));
    graph.sim.change_person("17", "person-2", |person| person.follows = Some(true));
    assert_eq!(reply("2").await.status, 200);
}

#[tokio::test]
async fn a_profile_takes_consent_and_is_charged() {
    let graph = Graph::documented().await;
    graph.comment("1");
    let client = graph.spillway();
    let read = async |person: &str| {
        let timeout = Duration::from_secs(10);
        client.profile(&"token-17".into(), &person.into(), timeout).await
    };
    graph.sim.change_person("17", "person-1", |person| {
        person.name = Some("Ana Lima".into());
        person.username = Some("ana".into());
    });
    let query = "?fields=is_user_follow_business";
    graph.look("person-1", query, "token-17").await.is(403, 230, None);
    assert_eq!(read("person-1").await.unwrap().value, Profile::UNKNOWN);
    graph.sim.open_window("17", "person-1");
    let seen = read("person-1").await.unwrap().value;
    let (username, first_name) = (Some("ana".to_owned()), Some("Ana".to_owned()));
    assert_eq!(seen, Profile { follows: Follows::No, username, first_name });
    for (follows, expected) in [(Some(true), Follows::Yes), (None, Follows::Unknown)] {
        graph.sim.change_person("17", "person-1", |person| person.follows = follows);
        assert_eq!(read("person-1").await.unwrap().value.follows, expected);
    }
    graph.look("person-1", "?fields=name,shoe_size", "token-17").await.is(400, 100, None);
    graph.look("person-1", query, "token-18").await.is(400, 100, Some(33));
    graph.look("nobody", query, "token-17").await.is(400, 100, Some(33));
    graph.sim.permit(&"17".into(), &["instagram_business_basic"]);
    graph.look("person-1", query, "token-17").await.is(403, 200, None);
    let calls = graph.get("/_calls").await;
    assert!(calls.as_array().unwrap().iter().all(|call| call["action"] == "read"));
    assert_eq!((graph.sim.report().calls, graph.sim.report().accepted), (9, 0));
}

#[tokio::test]
async fn comments_are_replied_to_in_public() {
    let graph = Graph::documented().await;
    let client = graph.spillway();
    let timeout = Duration::from_secs(10);
    let token = "token-17".into();
    for id in ["1", "2", "3"] {
        graph.comment(id);
    }
    let reply = async |id: &str| client.public_reply(&token, &id.into(), "Sent!", timeout).await;
    let made = reply("1").await.unwrap().value.message_id.unwrap();
    let page = client.replies(&token, &"1".into(), timeout).await.unwrap().value;
    let [listed] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!((listed.id.as_str(), listed.text.as_deref()), (&*made, Some("Sent!")));
    let author = listed.from.as_ref().and_then(|from| from.id.as_ref());
    assert_eq!((author.unwrap().as_str(), page.next), ("17", None));

    // The reply was made, whatever the answer says.
    graph.order(json!({ "kind": "server_error_after_effect", "comment_id": "2" })).await;
    assert_eq!(reply("2").await.unwrap_err().verdict(), Verdict::Ambiguous);
    assert_eq!(graph.sim.public_replies(&"2".into(), &"17".into()).len(), 1);

    graph.sim.hide_comment("3");
    assert_eq!(reply("3").await.unwrap_err().verdict(), Verdict::BadRequest);
    assert_eq!(reply("404").await.unwrap_err().verdict(), Verdict::CommentGone);
    assert_eq!(graph.sim.public_replies(&"3".into(), &"17".into()), []);
    // A comment that has a public reply can have its DM.
    assert_eq!(graph.reply("1").await.status, 200);
    let actions: Vec<_> =
        graph.sim.calls().into_iter().map(|call| json!(call.action)).take(3).collect();
    assert_eq!(actions, ["public_reply", "read", "public_reply"].map(|action| json!(action)));
    assert_eq!(graph.sim.recount(), []);
}

#[tokio::test]
async fn the_client_sees_the_true_windows_fill() {
    let day = Duration::from_millis(DAY_MS);
    let limits = Limits {
        app: Some(Limit::new("app", Counted::EVERY_CALL, day, 8)),
        ..Rules::from(vec![Limit::new("calls", Counted::EVERY_CALL, HOUR, 4)]).into()
    };
    let config = GraphConfig { limits, usage_from_percent: Some(20), ..GraphConfig::default() };
    let graph = Graph::start(config).await;
    let percent = |percent: u16| Some(Percent::new(percent));
    for (id, account, app) in [
        ("1", percent(25), None),
        ("2", percent(50), percent(25)),
        ("3", percent(75), percent(37)),
        ("4", percent(100), percent(50)),
    ] {
        graph.comment(id);
        assert_eq!(graph.usage_of_a_reply(id).await, Usage { app, account, regain: None });
    }
    graph.comment("5");
    let regain = Some(HOUR);
    let over = Usage { app: None, account: percent(125), regain };
    assert_eq!(graph.usage_of_a_reply("5").await, over);
    graph.clock.step(HOUR_MS);
    let again = Usage { app: percent(75), account: percent(25), regain: None };
    assert_eq!(graph.usage_of_a_reply("5").await, again);
}

#[tokio::test]
async fn the_client_sees_what_usage_was_ordered() {
    let graph = Graph::documented().await;
    for id in ["1", "2", "3"] {
        graph.comment(id);
    }
    graph.order(json!({ "kind": "usage", "percent": 80, "app_percent": 7, "for_ms": 1000 })).await;
    let [app, account] = [7, 80].map(|percent| Some(Percent::new(percent)));
    let ordered = Usage { app, account, regain: None };
    assert_eq!(graph.usage_of_a_reply("1").await, ordered);
    let (token, timeout) = ("token-17".into(), Duration::from_secs(10));
    let time = graph.spillway().comment_timestamp(&token, &"1".into(), timeout).await.unwrap();
    assert_eq!(time.usage, ordered);
    graph.clock.step(1000);
    assert_eq!(graph.usage_of_a_reply("2").await, Usage::default());
    graph.order(json!({ "kind": "throttled", "code": 4, "regain_minutes": 9 })).await;
    let hundred = Some(Percent::new(100));
    let regain = Some(Duration::from_secs(540));
    let throttled = Usage { app: hundred, account: hundred, regain };
    assert_eq!(graph.usage_of_a_reply("3").await, throttled);
}

#[tokio::test]
async fn the_client_is_told_whom_a_throttle_holds() {
    let graph = Graph::documented().await;
    graph.comment("1");
    let (token, timeout) = ("token-17".into(), Duration::from_secs(10));
    for (code, scope) in [
        (4, ThrottleScope::App),
        (17, ThrottleScope::Account),
        (32, ThrottleScope::Account),
        (613, ThrottleScope::Account),
        (80002, ThrottleScope::Account),
        (80006, ThrottleScope::Account),
    ] {
        graph.order(json!({ "kind": "throttled", "code": code })).await;
        let looked = graph.spillway().comment_timestamp(&token, &"1".into(), timeout).await;
        assert_eq!(looked.unwrap_err().verdict(), Verdict::Throttled { scope }, "{code}");
    }
}

#[tokio::test]
async fn a_slow_answer_is_late_and_no_other_waits() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.comment("2");
    graph.order(json!({ "kind": "slow", "delay_ms": 60_000, "comment_id": "1" })).await;
    let slow = graph.try_reply("1");
    let cut = tokio::time::timeout(Duration::from_millis(300), slow).await;
    assert!(cut.is_err());
    assert_eq!(graph.reply("2").await.status, 200);
    assert_eq!(graph.sim.report().accepted, 2, "the effect does not wait for the answer");
    graph.reply("1").await.is(400, 100, Some(2_534_025));
    assert_eq!(graph.sim.report().duplicates, 0, "its answer was lost");
}

#[tokio::test]
async fn a_slow_answer_that_arrives_is_not_lost() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.order(json!({ "kind": "slow", "delay_ms": 20 })).await;
    assert_eq!(graph.reply("1").await.status, 200);
    graph.reply("1").await;
    let report = graph.sim.report();
    assert_eq!((report.duplicates, report.lost_answers), (1, 0));
}

#[tokio::test]
async fn faults_are_listed_cleared_and_checked() {
    let graph = Graph::documented().await;
    let unknown = graph.order(json!({ "kind": "meteor" })).await;
    assert_eq!(unknown.status, 400);
    let kinds = unknown.json()["kinds"].clone();
    assert!(kinds.as_array().unwrap().contains(&json!("no_answer_before_effect")));
    let half = graph.order(json!([{ "kind": "blocked" }, { "kind": "blocked", "cuont": 1 }])).await;
    assert_eq!(half.status, 400);
    assert_eq!(graph.get("/_faults").await, json!([]), "all or none");
    graph.order(json!({ "kind": "blocked", "account": "18", "count": 2 })).await;
    assert_eq!(
        graph.get("/_faults").await,
        json!([{
            "kind": "blocked", "account": "18", "count": 2, "seed": 0,
            "ordered_at_ms": START_MS, "struck": 0,
        }])
    );
    graph.comment("1");
    assert_eq!(graph.reply("1").await.status, 200, "it is another account's");
    let cleared = graph.client.delete(graph.url("/_faults")).send().await.unwrap();
    assert_eq!(cleared.json::<Value>().await.unwrap(), json!([]));
}

#[tokio::test]
async fn the_log_has_every_call_in_order() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.reply("1").await;
    graph.clock.step(5);
    graph.reply("gone").await;
    graph.message("person-1").await;
    let calls = graph.get("/_calls").await;
    assert_eq!(
        calls,
        json!([
            {
                "at_ms": START_MS, "account": "17", "action": "private_reply",
                "comment_id": "1", "recipient_id": "person-1", "status": 200, "code": null,
            },
            {
                "at_ms": START_MS + 5, "account": "17", "action": "private_reply",
                "comment_id": "gone", "recipient_id": null, "status": 400, "code": 100,
            },
            {
                "at_ms": START_MS + 5, "account": "17", "action": "message",
                "comment_id": null, "recipient_id": "person-1", "status": 403, "code": 10,
            },
        ])
    );
    let judged = graph.get("/_judge").await;
    assert_eq!(
        judged,
        json!({
            "calls": 3, "accepted": 1, "lost_answers": 0, "violations": [],
            "duplicates": 0, "duplicate_calls": [], "calls_in_hold": 0,
        })
    );
}

#[tokio::test]
async fn the_date_is_the_clocks() {
    let graph = Graph::documented().await;
    graph.comment("1");
    graph.clock.step(61_999);
    assert_eq!(graph.reply("1").await.headers["date"], "Thu, 01 Oct 2026 00:01:01 GMT");
}

#[tokio::test]
async fn equal_calls_give_equal_bytes() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let graph = Graph::start(GraphConfig { seed, ..GraphConfig::default() }).await;
        let chaos = Fault::new(FaultKind::Transient).with_probability(0.5, 3);
        graph.sim.order_fault(chaos);
        let mut bytes = Vec::new();
        for id in 0..20 {
            graph.comment(&id.to_string());
            let answer = graph.reply(&id.to_string()).await;
            bytes.push(format!("{:?} {}", answer.headers, answer.body));
        }
        runs.push(bytes);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn serving_ends_with_its_shutdown() {
    let clock = Arc::new(Stepped(AtomicU64::new(0)));
    let sim = GraphSim::new(GraphConfig::default(), clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(sim, listener, async move {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
