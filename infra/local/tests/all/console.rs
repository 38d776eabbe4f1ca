//! The console of a served stack, as a browser and as others ask it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use reqwest::header::{ACCEPT, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use spillway_cloud::wiring::Wiring;
use spillway_console::{CommentReads, Shown};
use spillway_core::id::{CommentId, OnceKey, SendId};
use spillway_core::send::{Address, CampaignStep, Class, Content, PendingSend, REPLY_WINDOW};
use spillway_core::time::Timestamp;
use spillway_local::serve::{self, ServeOptions, Served};
use spillway_local::setup::QuotaOptions;
use spillway_local::stack::Stack;
use spillway_local::story::{Story, StoryOptions};
use spillway_service::admin::reception::Counts as _;
use spillway_service::outbox_batch::OutboxBatch;

use crate::cli::{Serving, program};
use crate::stand;

const CREATOR: &str = "17841400000000001";

/// The other example account.
const OTHER: &str = "17841400000000002";

/// An item of a table.
type Item = HashMap<String, AttributeValue>;

/// Bytes that a page may have.
const PAGE_BYTES_MAX: usize = 60_000;

/// A browser that was given the link.
struct Browser {
    /// The stack that goes on while it looks, if one does.
    served: Option<Served>,
    http: Client,
    origin: String,
    cookie: String,
}

/// An answer.
struct Answer {
    status: StatusCode,
    location: Option<String>,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Browser {
    async fn opens(served: Served) -> Self {
        let browser = Self::opens_link(&served.addresses.console_url).await;
        Self { served: Some(served), ..browser }
    }

    async fn opens_link(url: &str) -> Self {
        let http = spillway_meta::http::client().no_proxy().redirect(Policy::none());
        let http = http.build().unwrap();
        let origin = url.split_once("/enter").unwrap().0.to_owned();
        let entered = http.get(url).send().await.unwrap();
        assert_eq!(entered.status(), StatusCode::SEE_OTHER);
        let cookie = entered.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{cookie}");
        let cookie = cookie.split_once(';').unwrap().0.to_owned();
        Self { served: None, http, origin, cookie }
    }

    fn served(&self) -> &Served {
        self.served.as_ref().unwrap()
    }

    fn asks(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.origin)).header(COOKIE, &self.cookie)
    }

    async fn page(&self, path: &str) -> Answer {
        let shown = shown(self.asks(Method::GET, path)).await;
        let size = shown.text.len();
        assert!(size < PAGE_BYTES_MAX, "{path} has {size} bytes");
        assert!(
            shown.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert_eq!(shown.headers["x-content-type-options"], "nosniff");
        assert_eq!(shown.headers["cache-control"], "no-store");
        for inline in ["<script", " style=", " onclick="] {
            assert!(!shown.text.contains(inline), "{path} has {inline}");
        }
        shown
    }

    async fn json(&self, path: &str) -> Value {
        let asked = self.asks(Method::GET, path).header(ACCEPT, "application/json");
        let shown = shown(asked).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.text);
        serde_json::from_str(&shown.text).unwrap()
    }

    /// The median time that a page takes.
    async fn takes(&self, path: &str) -> Duration {
        let mut took = Vec::new();
        for _ in 0..5 {
            let began = tokio::time::Instant::now();
            assert_eq!(self.page(path).await.status, StatusCode::OK, "{path}");
            took.push(began.elapsed());
        }
        took.sort_unstable();
        took[2]
    }

    /// The token of the forms of a page.
    async fn token(&self) -> String {
        let page = self.page(&format!("/accounts/{CREATOR}")).await.text;
        let value = page.split_once("name=\"form_token\" value=\"").unwrap().1;
        value.split_once('"').unwrap().0.to_owned()
    }

    async fn sends(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let fields = [fields, &[("form_token", token.as_str())]].concat();
        shown(self.asks(Method::POST, path).header(ORIGIN, &self.origin).body(form(&fields))).await
    }

    /// Posts a comment as somebody, and returns the key of its send.
    async fn comment(&self, username: &str) -> String {
        let comment = json!({ "account": CREATOR, "text": "guide", "username": username });
        let url = &self.served().addresses.comments_url;
        let answer = self.http.post(url).body(comment.to_string()).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let send = answer["send"]["send"].as_str().unwrap_or_else(|| panic!("{answer}"));
        send.split_once('/').unwrap().1.to_owned()
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

async fn shown(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let headers = answer.headers().clone();
    let location = headers.get(LOCATION).map(|location| location.to_str().unwrap().to_owned());
    Answer { status: answer.status(), location, headers, text: answer.text().await.unwrap() }
}

/// With limits by which nearly everything waits.
async fn browser() -> Browser {
    let rate = |text: &str| text.parse().unwrap();
    let quotas =
        QuotaOptions { calls: rate("2/1h"), replies: rate("2/1h"), recipients: rate("1000/24h") };
    Browser::opens(stand::served(&quotas).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_but_the_browser_that_was_given_the_link() {
    let browser = browser().await;
    let link = &browser.served().addresses.console_url;
    let ask = |path: &str| browser.http.get(format!("{}{path}", browser.origin));
    let used = shown(browser.http.get(link)).await;
    assert_eq!(used.status, StatusCode::UNAUTHORIZED, "the link is good once");
    assert!(used.text.contains("Open the link"), "{}", used.text);
    let again = shown(browser.http.get(link).header(COOKIE, &browser.cookie)).await;
    assert_eq!(again.location.as_deref(), Some("/"), "whoever is in already stays in");
    assert_eq!(shown(ask("/enter?token=0")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(shown(ask("/")).await.status, StatusCode::UNAUTHORIZED);
    let page = browser.page("/").await;
    assert_eq!(page.status, StatusCode::OK);
    // A name of somebody else's that was made to point here.
    let rebound = ask("/").header(COOKIE, &browser.cookie).header(HOST, "evil.example");
    assert_eq!(shown(rebound).await.status, StatusCode::FORBIDDEN);
    let foreign = ask("/").header(COOKIE, &browser.cookie).header(ORIGIN, "http://evil.example");
    assert_eq!(shown(foreign).await.status, StatusCode::FORBIDDEN);
    // Its style sheet has a name by its content, and may be kept.
    let name = page.text.split_once("href=\"/assets/").unwrap().1.split_once('"').unwrap().0;
    let styles = shown(ask(&format!("/assets/{name}"))).await;
    assert_eq!(styles.status, StatusCode::OK);
    assert_eq!(styles.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(shown(ask("/assets/console.css")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_for_a_form_of_another_site() {
    let browser = browser().await;
    let pause = format!("/accounts/{CREATOR}/pause");
    let token = browser.token().await;
    let post = |fields: &[(&str, &str)]| browser.asks(Method::POST, &pause).body(form(fields));
    let right = [("form_token", token.as_str())];
    let own = browser.origin.as_str();
    for (request, why) in [
        (post(&right), "no origin"),
        (post(&right).header(ORIGIN, "null"), "an unknown origin"),
        (post(&right).header(ORIGIN, "http://evil.example"), "another origin"),
        (post(&[]).header(ORIGIN, own), "no token"),
        (post(&[("form_token", "0")]).header(ORIGIN, own), "another token"),
        (post(&[("form_token", &"0".repeat(64))]).header(ORIGIN, own), "a forged token"),
        (post(&[("x", &"y".repeat(300_000))]).header(ORIGIN, own), "a form that is too long"),
    ] {
        assert_eq!(shown(request).await.status, StatusCode::FORBIDDEN, "{why}");
    }
    for (method, path) in [(Method::GET, pause.as_str()), (Method::PUT, "/"), (Method::DELETE, "/")]
    {
        let asked = browser.asks(method.clone(), path).header(ORIGIN, own);
        assert_eq!(shown(asked).await.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
    }
    assert_eq!(browser.json("/").await["accounts"][0]["state"], "healthy", "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_shows_what_the_operators_tool_says_and_escapes_what_others_write() {
    let browser = browser().await;
    let mut keys = Vec::new();
    for n in 0..4 {
        keys.push(browser.comment(&format!("viewer.{n}")).await);
    }
    let account = format!("/accounts/{CREATOR}");
    let overview = browser.page("/").await.text;
    for said in
        ["people wait", "by forecast", "The same as a table", "<svg", "role=\"img\"", "datetime=\""]
    {
        assert!(overview.contains(said), "{said} is missing:\n{overview}");
    }
    let status = browser.json("/").await;
    assert_eq!(status["accounts"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(status["dead_letters"]["messages"], 0);
    let one = browser.json(&account).await;
    assert_eq!(one["accounts"][0]["account"], CREATOR);
    for path in [
        "",
        "/campaigns",
        "/sends",
        "/sends?state=sent",
        "/sends?state=unknown",
        "/misses",
        "/events",
        "/resume",
    ] {
        let page = browser.page(&format!("{account}{path}")).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.text.contains("viewer"), "{path} shows a name");
    }
    assert_eq!(browser.json(&format!("{account}/campaigns")).await["campaigns"][0]["id"], "guide");
    let sends = browser.json(&format!("{account}/sends")).await;
    let listed = sends["sends"].as_array().unwrap();
    assert!(listed.len() >= 2, "{sends}");
    let send = listed.last().unwrap()["send"].as_str().unwrap().split_once('/').unwrap().1;
    let page = browser.page(&format!("{account}/sends/{send}")).await.text;
    assert!(page.contains("It waits: ") && page.contains("What happened"), "{page}");
    assert_eq!(
        browser.json(&format!("{account}/sends/{send}")).await["history"][0]["what"],
        "matched"
    );

    // By the name, which is in no address; by the comment; and one that is not there.
    let named = browser.sends(&format!("{account}/sends"), &[("username", "@viewer.3")]).await;
    assert_eq!(named.text.matches("/sends/p.").count(), 1, "{}", named.text);
    let comment = listed.last().unwrap()["comment"].as_str().unwrap();
    let found = browser.page(&format!("{account}/why?comment={comment}")).await;
    assert_eq!(found.location, Some(format!("{account}/sends/{send}")));
    let none = browser.page(&format!("{account}/why?comment=1")).await;
    assert!(none.text.contains("No send is stored for comment 1"), "{}", none.text);

    let text = "<script>alert(1)</script> guide";
    let tried =
        browser.sends(&format!("{account}/try"), &[("text", text), ("on", "comment")]).await;
    assert!(
        tried.text.contains("Campaign guide") && tried.text.contains("&lt;script&gt;"),
        "{}",
        tried.text
    );
    assert!(!tried.text.contains("<script"), "{}", tried.text);
    let plan = browser.page("/plan?comments=2000&span=5m&tier=1").await.text;
    assert!(
        plan.contains("The last of 2,000 DMs goes out") && plan.contains("At tier 2"),
        "{plan}"
    );
    assert_eq!(browser.json("/plan?comments=2000&span=5m").await["comments"], 2000);
    for (path, status) in [
        ("/plan?comments=-1", StatusCode::BAD_REQUEST),
        ("/plan?comments=5&span=soon", StatusCode::BAD_REQUEST),
        ("/plan?comments=5&account=1", StatusCode::NOT_FOUND),
        ("/accounts/me", StatusCode::NOT_FOUND),
        ("/accounts/1", StatusCode::NOT_FOUND),
        ("/nowhere", StatusCode::NOT_FOUND),
        (&format!("{account}/sends?state=lost"), StatusCode::BAD_REQUEST),
        (&format!("{account}/sends/x"), StatusCode::NOT_FOUND),
        (&format!("{account}/campaigns/nope/pause"), StatusCode::NOT_FOUND),
        (&format!("{account}/campaigns/guide/burn"), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(browser.page(path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_is_asked_about_done_shown_and_written_down() {
    let browser = browser().await;
    for n in 0..4 {
        browser.comment(&format!("viewer.{n}")).await;
    }
    let account = format!("/accounts/{CREATOR}");
    let sends = browser.json(&format!("{account}/sends?state=parked")).await;
    let send = sends["sends"][0]["send"].as_str().unwrap().split_once('/').unwrap().1.to_owned();

    let paused = browser.sends(&format!("{account}/campaigns/guide/pause"), &[]).await;
    assert_eq!(paused.status, StatusCode::SEE_OTHER, "{}", paused.text);
    let page = browser.page(&paused.location.unwrap()).await.text;
    assert!(
        page.contains("The campaign is paused") && page.contains("Resume this campaign"),
        "{page}"
    );
    let overview = browser.page("/").await.text;
    assert!(overview.contains("1 account needs somebody"), "{overview}");
    let again = browser.sends(&format!("{account}/campaigns/guide/pause"), &[]).await;
    assert!(again.location.unwrap().ends_with("done=campaign_same"));
    let asked = browser.page(&format!("{account}/campaigns/guide/resume")).await.text;
    assert!(asked.contains("Resume the campaign?") && asked.contains("No, go back"), "{asked}");
    browser.sends(&format!("{account}/campaigns/guide/resume"), &[]).await;
    assert_eq!(
        browser.json(&format!("{account}/campaigns")).await["campaigns"][0]["state"],
        "active"
    );

    let asked = browser.page(&format!("{account}/sends/{send}/cancel")).await.text;
    assert!(asked.contains("cannot be brought back"), "{asked}");
    let cancelled = browser.sends(&format!("{account}/sends/{send}/cancel"), &[]).await;
    assert_eq!(cancelled.location, Some(format!("{account}/sends/{send}?done=cancelled")));
    assert_eq!(browser.json(&format!("{account}/sends/{send}")).await["state"], "cancelled");
    let twice = browser.sends(&format!("{account}/sends/{send}/cancel"), &[]).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    let retried = browser.sends(&format!("{account}/sends/{send}/retry"), &[]).await;
    assert_eq!(retried.status, StatusCode::CONFLICT, "what was cancelled stays so");
    assert!(retried.text.contains("It is not tried again"), "{}", retried.text);

    let wrong = browser.sends(&format!("{account}/pause"), &[("lasts", "soon")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let note = [("lasts", "1h"), ("reason", "<i>checking</i>")];
    let paused = browser.sends(&format!("{account}/pause"), &note).await;
    let page = browser.page(&paused.location.unwrap()).await.text;
    assert!(page.contains("The account is paused") && page.contains("&lt;i&gt;checking"), "{page}");
    let asked = browser.page(&format!("{account}/resume")).await.text;
    assert!(asked.contains("was paused by hand"), "{asked}");
    browser.sends(&format!("{account}/resume"), &[]).await;
    assert_eq!(browser.json("/").await["accounts"][0]["state"], "healthy");
    let again = browser.sends(&format!("{account}/resume"), &[]).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "it is not on hold");

    let events = browser.json(&format!("{account}/events")).await;
    let ordered: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "ordered" && event["operator"] == "somebody")
        .filter_map(|event| event["order"].as_str())
        .collect();
    for order in ["resume the account", "pause the account", "pause campaign `guide`"] {
        assert!(ordered.contains(&order), "{order} is missing: {events}");
    }
    assert!(ordered.contains(&format!("cancel send {CREATOR}/{send}").as_str()), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_accounts_come_page_by_page() {
    let accounts: String = (1..=60)
        .map(|n| {
            format!(
                "[[account]]\nid = \"178414{n:011}\"\n[[account.campaign]]\nid = \"all\"\nmessages = [\"Hi\"]\n"
            )
        })
        .collect();
    let file = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("many.toml");
    std::fs::write(&file, accounts).unwrap();
    let options = ServeOptions { accounts: Some(file), ..stand::options() };
    let served = serve::start(&options, &QuotaOptions::default()).await.unwrap();
    let browser = Browser::opens(served).await;
    let first = browser.page("/").await.text;
    assert!(first.contains("Page 1 of 6 (60 accounts by id)"), "{first}");
    for page in ["/?page=6", "/?page=99"] {
        let last = browser.json(page).await;
        assert_eq!(last["accounts"].as_array().unwrap().len(), 10, "{page}");
        assert_eq!(last["accounts"][9]["account"], "17841400000000060", "{page}");
    }
    let trouble = browser.page("/?show=trouble").await.text;
    assert!(trouble.contains("All 60 accounts are healthy."), "{trouble}");
    let found = browser.page("/find?account=17841400000000042").await;
    assert_eq!(found.location.as_deref(), Some("/accounts/17841400000000042"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_are_counted_and_files_compared() {
    let browser = Browser::opens(stand::served(&QuotaOptions::default()).await).await;
    browser.comment("viewer.1").await;
    let account = format!("/accounts/{CREATOR}");
    let outcomes = loop {
        let outcomes = browser.json(&format!("{account}/outcomes")).await;
        if outcomes["campaigns"][0]["openings"]["sent"] == 1 {
            break outcomes;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(
        (&outcomes["is_complete"], &outcomes["campaigns"][0]["campaign"]),
        (&true.into(), &"guide".into())
    );
    assert_eq!(outcomes["campaigns"][0]["funnel"], Value::Null, "nothing follows the opening");
    let page = browser.page(&format!("{account}/outcomes")).await.text;
    assert!(page.contains("First messages") && !page.contains("These are not all"), "{page}");

    let file = format!(
        "[[account]]\nid = \"{CREATOR}\"\n[[account.campaign]]\nid = \"guide\"\nkeywords = [\"gift\"]\nmessages = [\"Hi\"]\n\
         [[account.campaign]]\nid = \"extra\"\nkeywords = [\"more\"]\nmessages = [\"<b>\"]\n"
    );
    let compared = browser.sends("/compare", &[("file", &file)]).await.text;
    for said in [
        "Campaign guide changes",
        "<ins>gift</ins>",
        "Campaign extra is new",
        "Nothing is applied here",
    ] {
        assert!(compared.contains(said), "{said} is missing:\n{compared}");
    }
    let wrong =
        browser.sends("/compare", &[("file", "[[account]]\nid = \"1\"\nname = 2")]).await.text;
    assert!(wrong.contains("The file cannot be applied") && wrong.contains("line 3"), "{wrong}");
    let unknown = file.replace(CREATOR, "17841400000000999");
    let unknown = browser.sends("/compare", &[("file", &unknown)]).await.text;
    assert!(unknown.contains("line 1: account 17841400000000999 is not connected"), "{unknown}");
    let campaigns = browser.json(&format!("{account}/campaigns")).await;
    assert_ne!(campaigns["campaigns"][0]["keywords"][0], "gift", "nothing was applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_instagram_reached_us_is_told_to_the_minute() {
    let browser = browser().await;
    browser.comment("viewer.1").await;
    let forged = browser.http.post(&browser.served().addresses.webhook_url);
    let forged =
        forged.header("x-hub-signature-256", "sha256=00").body("forged").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    let counts = &browser.served().stack.delivery_metrics;
    let until = Timestamp::NEVER;
    while counts.by_minute(Timestamp::EPOCH, until).await.unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reception = browser.json("/").await["reception"].clone();
    assert_eq!((&reception["deliveries"], &reception["bad_signatures"]), (&1.into(), &1.into()));
    let minute = reception["last_at"].as_str().unwrap_or_else(|| panic!("{reception}"));
    assert!(minute.ends_with(":00Z") || minute.ends_with(":00.000Z"), "{minute}");
    assert!(reception["last_lag_s"].as_u64().is_some_and(|lag| lag < 60), "{reception}");
    assert_eq!(reception["last_lag_s"], reception["highest_lag_s"]);
    let page = browser.page("/").await.text;
    for said in
        ["Did Instagram reach us?", "1 delivery in 3 hours", "1 refused for their signature"]
    {
        assert!(page.contains(said), "{said} is missing:\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_comment_got_nothing_is_derived_from_one_charged_read() {
    let browser = Browser::opens(stand::served(&QuotaOptions::default()).await).await;
    let account = format!("/accounts/{CREATOR}");
    let why = format!("{account}/why");
    let comment = json!({ "account": CREATOR, "text": "so nice", "username": "viewer.1" });
    let posted =
        browser.http.post(&browser.served().addresses.comments_url).body(comment.to_string());
    let posted: Value = posted.send().await.unwrap().json().await.unwrap();
    let comment = posted["comment"].as_str().unwrap_or_else(|| panic!("{posted}"));
    let calls = async || {
        let status = browser.json(&account).await;
        status["accounts"][0]["quotas"][0]["used"].as_u64().unwrap_or_else(|| panic!("{status}"))
    };
    // Upkeep visits the account when the stack starts, and calls too.
    let mut before = calls().await;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = calls().await;
        if now == std::mem::replace(&mut before, now) {
            break;
        }
    }
    let asked = browser.page(&format!("{why}?comment={comment}")).await.text;
    assert!(asked.contains("Ask Meta, and derive why"), "{asked}");
    assert_eq!(calls().await, before, "a look asks Meta for nothing");
    let derived = browser.sends(&why, &[("comment", comment)]).await.text;
    for said in ["Derived now", "No campaign of today answers it", "no campaign has a keyword"] {
        assert!(derived.contains(said), "{said} is missing:\n{derived}");
    }
    assert!(!derived.contains("so nice"), "the comment's words are shown:\n{derived}");
    assert_eq!(calls().await, before + 1, "the read is charged");
    let events = browser.json(&format!("{account}/events")).await.to_string();
    assert!(events.contains(&format!("read comment {comment}")), "{events}");

    let pasted = browser.sends(&why, &[("text", "guide please")]).await.text;
    assert!(pasted.contains("A campaign of today wants it"), "{pasted}");
    let own = browser.sends(&why, &[("text", "guide"), ("person", CREATOR)]).await.text;
    assert!(own.contains("The account wrote it itself"), "{own}");
    let send = browser.comment("viewer.2").await;
    let person = send.strip_prefix("p.").unwrap();
    let repeat = browser
        .sends(&why, &[("text", "guide"), ("person", person), ("media", "17900000000000001")])
        .await;
    assert!(repeat.text.contains("Its person has, or waits for, all"), "{}", repeat.text);
    let wrong = browser.sends(&why, &[("text", "guide"), ("person", "ana")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);

    // Nothing is called without a unit.
    browser.sends(&format!("{account}/pause"), &[]).await;
    let denied = browser.sends(&why, &[("comment", comment)]).await;
    assert_eq!(denied.status, StatusCode::CONFLICT);
    assert!(denied.text.contains("The comment was not read"), "{}", denied.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_stays_open_after_its_report_and_goes_on() {
    let mut story = program();
    story.args(["--console", "--conversation", "--comments", "5"]);
    let story = story.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut story = Serving(story);
    let mut told = BufReader::new(story.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let link = |line: String| {
        let (_, link) = line.split_once("stays open until Ctrl-C: ")?;
        Some(link.to_owned())
    };
    let browser = Browser::opens_link(&told.find_map(link).unwrap()).await;
    let page = browser.page("/").await.text;
    assert!(page.contains("This is a played story, and its clock is virtual"), "{page}");
    assert!(page.contains("Nobody waits"), "{page}");
    let outcomes = browser.page(&format!("/accounts/{CREATOR}/outcomes")).await.text;
    assert!(outcomes.contains("How far people came"), "{outcomes}");
    let seen_at = async || browser.json("/").await["seen_at"].as_str().unwrap().to_owned();
    let before = seen_at().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(seen_at().await > before, "its clock stands still at {before}");
}

/// Copies what the state table has of an account for `accounts` others, with what waits for them.
async fn multiply(stack: &Stack, accounts: u64) {
    let (table, client) = (&stack.config.state_table, &stack.dynamo);
    let found = client.scan().table_name(table).send().await.unwrap();
    let is_theirs = |item: &Item| {
        item.values().any(|value| value.as_s().is_ok_and(|text| text.contains(OTHER)))
    };
    let items: Vec<&Item> = found.items().iter().filter(|item| is_theirs(item)).collect();
    let copies = (1..=accounts).flat_map(|nth| {
        let id = format!("178415{nth:011}");
        items.iter().map(move |item| {
            let copied = item.iter().map(|(name, value)| match value.as_s() {
                Ok(text) => (name.clone(), AttributeValue::S(text.replace(OTHER, &id))),
                Err(_) => (name.clone(), value.clone()),
            });
            copied.collect::<Item>()
        })
    });
    let copies: Vec<Item> = copies.collect();
    for chunk in copies.chunks(25) {
        let put = |item: &Item| {
            let put = PutRequest::builder().set_item(Some(item.clone())).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        };
        let puts = chunk.iter().map(put).collect();
        client.batch_write_item().request_items(table, puts).send().await.unwrap();
    }
}

/// Lets `sends` comments wait in an account, without slots.
async fn pile_up(stack: &Stack, account: &str, sends: u64) {
    let (dynamo, keys, clock) = (&stack.dynamo, stack.keys.clone(), stack.clock.clone());
    let wiring = Wiring::new(&stack.config, keys, dynamo, &stack.poller, clock, 1).unwrap();
    let now = stack.clock.now();
    let of = |nth: u64| {
        let comment = CommentId::new(format!("1799{nth:013}"));
        let id = SendId { account: account.into(), key: OnceKey::comment(&comment) };
        let content = Content { campaign: "guide".into(), step: CampaignStep::Opening };
        let to = Address::Comment { id: comment, author: None };
        PendingSend::new(id, Class::PRIVATE_REPLY, content, to, now, now + REPLY_WINDOW)
    };
    let mut nonce = 0;
    let batches = OutboxBatch::of((0..sends).map(of).collect(), now, || {
        nonce += 1;
        nonce
    });
    let batches: Vec<OutboxBatch> = batches.into_iter().map(|(batch, _)| batch).collect();
    for chunk in batches.chunks(500) {
        wiring.sends.put_batches(chunk).await.unwrap();
    }
}

/// 10,000 accounts with ten that wait for each, and 100,000 that wait for one. `--nocapture` tells
/// how long each page took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(debug_assertions, ignore = "takes minutes unless optimised")]
async fn ten_thousand_accounts_do_not_make_pages_larger_or_slower() {
    const ACCOUNTS: u64 = 10_000;
    // In a story nothing happens by itself.
    let options = StoryOptions { comments: 1, span: Duration::from_secs(1), seed: 1 };
    let story = Story::new(&options, &QuotaOptions::default()).await.unwrap();
    let stack = &story.stack;
    let browser = Browser::opens_link(&stack.serve_console(0).await.unwrap()).await;
    pile_up(stack, OTHER, 10).await;
    let before = browser.takes(&format!("/accounts/{OTHER}")).await;
    multiply(stack, ACCOUNTS - 2).await;
    pile_up(stack, CREATOR, ACCOUNTS * 10).await;

    let big = format!("/accounts/{CREATOR}");
    let first = browser.json("/").await;
    let accounts = first["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 10);
    let waiting = |id: &str| {
        let found = accounts.iter().find(|account| account["account"] == id).unwrap();
        let lanes = found["backlog"].as_array().unwrap();
        let count = |lane: &Value, stage: &str| lane[stage].as_u64().unwrap();
        lanes.iter().map(|lane| count(lane, "queued") + count(lane, "parked")).sum::<u64>()
    };
    assert_eq!(waiting("17841500000000001"), 10);
    assert!(waiting(CREATOR) >= 20_000, "{}", waiting(CREATOR));
    let page = browser.page("/").await.text;
    assert!(page.contains("Page 1 of 1,000 (10,000 accounts by id)"), "{page}");
    assert!(page.contains("More than 21,"), "not all is read, and it says so: {page}");
    let of_one = format!("/accounts/{OTHER}");
    for path in
        ["/", "/?page=200", &big, &format!("{big}/campaigns"), &format!("{big}/events"), &of_one]
    {
        eprintln!("{path}: {:?}", browser.takes(path).await);
    }
    let after = browser.takes(&of_one).await;
    assert!(after < 4 * before + Duration::from_millis(20), "{after:?}, and {before:?} before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_is_said_to_be_so() {
    let browser = browser().await;
    let stack = &browser.served().stack;
    let nowhere = aws_sdk_dynamodb::Config::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
        .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .endpoint_url("http://127.0.0.1:1")
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .http_client(spillway_cloud::http::client())
        .build();
    let nowhere = aws_sdk_dynamodb::Client::from_conf(nowhere);
    let clock = stack.clock.clone();
    let wiring = Wiring::new(&stack.config, stack.keys.clone(), &nowhere, &stack.poller, clock, 1);
    let wiring = wiring.unwrap();
    let cut_off = Shown {
        admin: Arc::new(wiring.admin()),
        deriver: Arc::new(wiring.deriver()),
        dead_letters: stack.dead_letters.clone(),
        comment_reads: CommentReads::Here,
        deployment: "cut off".into(),
        notice: None,
    };
    let never = Box::pin(std::future::pending());
    let url = spillway_console::serve(cut_off, "ana".into(), 0, never).await.unwrap();
    let origin = url.split_once("/enter").unwrap().0;
    let entered = browser.http.get(&url).send().await.unwrap();
    let cookie = entered.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    let cookie = cookie.split_once(';').unwrap().0;
    let page = shown(browser.http.get(format!("{origin}/")).header(COOKIE, cookie)).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("The store does not answer"), "{}", page.text);
    assert!(page.text.contains("check the network"), "{}", page.text);
}
