//! The deployed console: who is let in, who is not and why, and what they can do there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::to_bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use spillway_cloud::secrets::{ConsoleSecrets, SecretSource, SecretsError};
use spillway_console::sign_in::{Allowed, SignInOptions};
use spillway_console_function::ConsoleFunction;
use spillway_graph::{Fault, FaultKind};

use crate::harness::{CREATOR, Said, World, careful, said};
use crate::issuer::{CLIENT, CLIENT_SECRET, Issuer, Lie, Signs};
use crate::links::guide;

/// The host that Lambda says requests have come to.
const HOST: &str = "local.lambda-url";

const ORIGIN: &str = "https://local.lambda-url";

const LOGIN: &str = "__Host-spillway-login";
const SESSION: &str = "__Host-spillway-session";

/// What no page and no address may show.
const SECRETS: [&str; 5] =
    ["code-", "the-access-token", "the-refresh-token", "secret words", "hush"];

struct Secret;

#[async_trait]
impl SecretSource<ConsoleSecrets> for Secret {
    async fn read(&self) -> Result<ConsoleSecrets, SecretsError> {
        Ok(ConsoleSecrets {
            session_keys: vec![SecretString::from("a key of forty characters, as generated.")],
            client_secret: Some(SecretString::from(CLIENT_SECRET)),
        })
    }
}

/// A console, and a browser in front of it.
struct Browser {
    world: World,
    issuer: Issuer,
    console: ConsoleFunction,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    text: String,
}

fn options(issuer: &Issuer, allowed: &str) -> SignInOptions {
    SignInOptions {
        issuer: issuer.url.clone(),
        client_id: CLIENT.into(),
        allowed: Allowed::parse(allowed).unwrap(),
        groups_claim: "cognito:groups".into(),
        domain: None,
    }
}

impl Browser {
    async fn start(allowed: &str) -> Self {
        let world = World::start(careful()).await;
        let issuer = Issuer::start(world.now().as_secs());
        let console = world.stack.deployed_console(options(&issuer, allowed), Arc::new(Secret));
        Self { console: console.unwrap(), world, issuer, cookies: BTreeMap::new() }
    }

    /// The deployment lets in others from now on.
    fn allows(&mut self, allowed: &str) {
        let options = options(&self.issuer, allowed);
        self.console = self.world.stack.deployed_console(options, Arc::new(Secret)).unwrap();
    }

    async fn pass(&mut self, span: Duration) {
        self.world.pass(span).await;
        self.issuer.set_clock(self.world.now().as_secs());
    }

    async fn asks(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: &str,
    ) -> Page {
        let mut sent = HeaderMap::new();
        sent.insert(header::HOST, HOST.parse().unwrap());
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            sent.insert(header::COOKIE, pairs.join("; ").parse().unwrap());
        }
        for (name, value) in headers {
            sent.insert(name.clone(), value.parse().unwrap());
        }
        let uri: Uri = path.parse().unwrap();
        let request = (&method, &uri, &sent, body.as_bytes());
        let answer = self.world.stack.invoke_console(&self.console, request).await;
        let (parts, body) = answer.into_parts();
        let policy = parts.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        assert_eq!(parts.headers["referrer-policy"], "same-origin", "no address leaves the site");
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
            let (name, value) = cookie.split_once(';').unwrap().0.split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{cookie}");
            if cookie.contains("; Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = parts.headers.get(header::LOCATION);
        let location = location.map(|location| location.to_str().unwrap().to_owned());
        let text = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(text.into()).unwrap();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{path} shows {secret}: {text}");
            assert!(!location.as_ref().is_some_and(|to| to.contains(secret)), "{location:?}");
        }
        assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
        Page { status: parts.status, location, text }
    }

    async fn gets(&mut self, path: &str) -> Page {
        self.asks(Method::GET, path, &[], "").await
    }

    /// The page of this path, which there is.
    async fn page(&mut self, path: &str) -> String {
        let page = self.gets(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {:?} {}", page.location, page.text);
        page.text
    }

    /// Sends a form of this console's pages.
    async fn sends(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.page("/compare").await;
        let token = page.split_once("name=\"form_token\" value=\"").unwrap().1;
        let token = token.split_once('"').unwrap().0.to_owned();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("form_token", &token);
        let form = form.finish();
        self.asks(Method::POST, path, &[(header::ORIGIN, ORIGIN)], &form).await
    }

    /// Goes to the issuer and agrees there: the path to which it leads back.
    async fn agrees(&mut self, path: &str) -> String {
        let sent = self.gets(path).await;
        let begins = sent.location.unwrap();
        let to_issuer = self.gets(&begins).await;
        assert_eq!(to_issuer.status, StatusCode::SEE_OTHER, "{}", to_issuer.text);
        self.issuer.agrees(&to_issuer.location.unwrap())
    }

    async fn signs_in(&mut self) {
        let back = self.agrees("/").await;
        let signed_in = self.gets(&back).await;
        assert_eq!(signed_in.location.as_deref(), Some("/"), "{}", signed_in.text);
    }

    /// Signs in, and is refused so, with these words.
    async fn is_refused(&mut self, status: StatusCode, why: &str) {
        let back = self.agrees("/").await;
        let refused = self.gets(&back).await;
        assert_eq!(refused.status, status, "{why}: {:?} {}", refused.location, refused.text);
        assert!(refused.text.contains(why), "{why}: {}", refused.text);
        assert!(!self.cookies.contains_key(SESSION), "{why}");
    }
}

#[tokio::test]
async fn somebody_signs_in_pauses_an_account_and_signs_out() {
    let mut browser = Browser::start("ana@example.com").await;
    let account = format!("/accounts/{CREATOR}");
    let back = browser.agrees(&format!("{account}?done=paused")).await;
    assert!(browser.cookies.contains_key(LOGIN) && !browser.cookies.contains_key(SESSION));
    let signed_in = browser.gets(&back).await;
    assert_eq!(signed_in.location, Some(format!("{account}?done=paused")), "where they wanted to");
    assert!(!browser.cookies.contains_key(LOGIN), "it is over");
    let overview = browser.page("/").await;
    assert!(overview.contains("Signed in as ana@example.com"), "{overview}");
    let paused = browser.sends(&format!("{account}/pause"), &[("reason", "a talk")]).await;
    assert_eq!(paused.location, Some(format!("{account}?done=paused")), "{}", paused.text);
    let json = [(header::ACCEPT, "application/json")];
    let events = browser.asks(Method::GET, &format!("{account}/events"), &json, "").await.text;
    assert!(events.contains("ana@example.com") && events.contains("pause the account"), "{events}");
    let out = browser.sends("/sign-out", &[]).await;
    assert_eq!(out.location.as_deref(), Some("/signed-out"));
    assert_eq!(browser.cookies, BTreeMap::new());
    assert!(browser.page("/signed-out").await.contains("You are signed out"));
    let again = browser.gets("/plan").await;
    assert_eq!(again.location.as_deref(), Some("/sign-in?to=%2Fplan"));
}

/// Every page and every action of the deployed console, of an account with a send that failed and sends
/// that wait, while the app is on hold and there is a dead letter.
pub(crate) async fn every_page_and_action() -> World {
    let mut browser = Browser::start("group:ops").await;
    let (failed, waits) = (said(1), said(3));
    // Its funnel reads what is kept of conversations.
    browser.world.put_campaign(guide()).await;
    let stack = &browser.world.stack;
    let dead_letter = stack.poller.send_message().queue_url(&stack.config.dead_letter_queue_url);
    dead_letter.message_body("x").send().await.unwrap();
    let graph = &stack.graph;
    let gone = Fault::new(FaultKind::RecipientUnavailable);
    graph.order_fault(gone.for_comment(failed.id.as_str()));
    let throttled = FaultKind::Throttled { code: 4, regain_minutes: Some(50) };
    graph.order_fault(Fault::new(throttled).for_comment(said(2).id.as_str()));
    let comments = [said(1), said(2), said(3), said(4).saying("so nice")];
    browser.world.say(&comments).await;
    browser.pass(Duration::from_secs(600)).await;
    assert_eq!(browser.world.state_of(&failed).await, "failed");
    browser.signs_in().await;
    let account = format!("/accounts/{CREATOR}");
    for path in ["/", "/?show=trouble", "/plan", "/plan?comments=2000&span=5m", "/compare"] {
        browser.page(path).await;
    }
    for path in ["", "/campaigns", "/outcomes", "/sends", "/misses", "/events", "/why"] {
        let page = browser.page(&format!("{account}{path}")).await;
        assert!(!page.contains("so nice") && !page.contains("guide please"), "{path}: {page}");
    }
    let unknown = browser.page(&format!("{account}/why?comment=1")).await;
    assert!(unknown.contains("holds no account") && !unknown.contains("Ask Meta"), "{unknown}");
    let read = browser.sends(&format!("{account}/why"), &[("comment", "1")]).await;
    assert_eq!(read.status, StatusCode::CONFLICT, "{}", read.text);
    let person = waits.author.as_str();
    let pasted = [("text", "guide"), ("media", "17900000000000001"), ("person", person)];
    let tried = [("text", "guide"), ("on", "comment")];
    let file = format!("[[account]]\nid = \"{CREATOR}\"\n");
    for (path, fields) in [
        (format!("{account}/why"), &pasted[..]),
        (format!("{account}/try"), &tried),
        (format!("{account}/sends"), &[("username", "viewer.1")]),
        ("/compare".into(), &[("file", &file)]),
    ] {
        let shown = browser.sends(&path, fields).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.text);
    }
    let found = browser.gets(&format!("{account}/why?comment={}", waits.id)).await;
    assert!(found.location.is_some_and(|to| to.contains("/sends/")), "its send is recorded");
    for state in ["waiting", "parked", "sent", "failed", "cancelled"] {
        browser.page(&format!("{account}/sends?state={state}")).await;
    }
    let send = |said: &Said| format!("{account}/sends/{}", said.send().key);
    for (path, asks) in [
        (format!("{account}/resume"), true),
        (format!("{account}/pause"), false),
        (format!("{account}/resume"), true),
        (format!("{account}/campaigns/guide/pause"), true),
        (format!("{account}/campaigns/guide/resume"), true),
        (format!("{}/cancel", send(&waits)), true),
        (format!("{}/retry", send(&failed)), true),
    ] {
        if asks {
            browser.page(&path).await;
        }
        let done = browser.sends(&path, &[]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{path}: {}", done.text);
        browser.page(&done.location.unwrap()).await;
    }
    browser.world
}

#[tokio::test]
async fn a_token_that_is_wrong_anywhere_lets_nobody_in() {
    let mut browser = Browser::start("ana@example.com").await;
    let bad = StatusCode::BAD_REQUEST;
    let lies: [(Signs, Lie, StatusCode, &str); 18] = [
        (
            Signs::Ecdsa,
            |_, claims| claims["iss"] = json!("https://evil.example"),
            bad,
            "another issuer",
        ),
        (Signs::Ecdsa, |_, claims| claims["aud"] = json!("others"), bad, "another client"),
        (
            Signs::Ecdsa,
            |_, claims| claims["aud"] = json!([CLIENT, "others"]),
            bad,
            "another client",
        ),
        (Signs::Ecdsa, |_, claims| claims["azp"] = json!("others"), bad, "another client"),
        (Signs::Ecdsa, |_, claims| claims["nonce"] = json!("0".repeat(64)), bad, "another sign-in"),
        (
            Signs::Ecdsa,
            |_, claims| {
                claims.as_object_mut().unwrap().remove("nonce");
            },
            bad,
            "another sign-in",
        ),
        (
            Signs::Ecdsa,
            |_, claims| claims["exp"] = json!(claims["iat"].as_u64().unwrap() - 61),
            bad,
            "has expired",
        ),
        (
            Signs::Ecdsa,
            |_, claims| claims["iat"] = json!(claims["iat"].as_u64().unwrap() + 120),
            bad,
            "a clock is wrong",
        ),
        (Signs::Ecdsa, |_, claims| claims["exp"] = json!("never"), bad, "no signed ID token"),
        (Signs::Not, |_, _| (), bad, "no signed ID token"),
        (Signs::ByThePublicKey, |_, _| (), bad, "a kind that is not taken"),
        (Signs::ByAnother, |_, _| (), bad, "its signature is wrong"),
        (Signs::Rsa, |header, _| header["alg"] = json!("RS512"), bad, "its signature is wrong"),
        (Signs::Rsa, |header, _| header["alg"] = json!("ES256"), bad, "does not show"),
        (Signs::Ecdsa, |header, _| header["kid"] = json!("gone"), bad, "does not show"),
        (
            Signs::Ecdsa,
            |_, claims| claims["email_verified"] = json!(false),
            StatusCode::FORBIDDEN,
            "does not vouch",
        ),
        (
            Signs::Ecdsa,
            |_, claims| {
                claims.as_object_mut().unwrap().remove("email_verified");
            },
            StatusCode::FORBIDDEN,
            "does not vouch",
        ),
        (
            Signs::Ecdsa,
            |_, claims| claims["email"] = json!("eve@example.com"),
            StatusCode::FORBIDDEN,
            "does not let you in",
        ),
    ];
    for (signs, lie, status, why) in lies {
        browser.issuer.lies(signs, lie);
        browser.is_refused(status, why).await;
    }
    for signs in [Signs::Ecdsa, Signs::Rsa, Signs::RsaPss] {
        browser.issuer.lies(signs, |_, _| ());
        browser.signs_in().await;
        browser.cookies.clear();
    }
}

#[tokio::test]
async fn a_member_of_a_group_needs_no_address() {
    let mut browser = Browser::start("group:ops").await;
    browser.issuer.lies(Signs::Ecdsa, |_, claims| claims["email_verified"] = json!(false));
    browser.signs_in().await;
    assert!(
        browser.page("/").await.contains("Signed in as subject u-1"),
        "not by what is unproven"
    );
    browser.cookies.clear();
    browser.issuer.lies(Signs::Ecdsa, |_, claims| claims["cognito:groups"] = json!(["others"]));
    browser.is_refused(StatusCode::FORBIDDEN, "does not let you in").await;
}

#[tokio::test]
async fn new_keys_are_read_once_and_not_for_everybody_who_asks() {
    let mut browser = Browser::start("@example.com").await;
    browser.signs_in().await;
    assert_eq!(browser.issuer.asked("/keys"), 1);
    browser.issuer.rotates("second");
    browser.cookies.clear();
    browser.is_refused(StatusCode::BAD_REQUEST, "does not show").await;
    assert_eq!(browser.issuer.asked("/keys"), 1, "they were read less than a minute ago");
    browser.pass(Duration::from_secs(61)).await;
    browser.signs_in().await;
    assert_eq!(browser.issuer.asked("/keys"), 2);
    // A key that is gone is gone.
    browser.cookies.clear();
    browser.issuer.lies(Signs::Ecdsa, |header, _| header["kid"] = json!("first"));
    browser.is_refused(StatusCode::BAD_REQUEST, "does not show").await;
    assert_eq!(browser.issuer.asked("/keys"), 2);
}

#[tokio::test]
async fn a_sign_in_counts_once_and_in_its_browser_alone() {
    let mut browser = Browser::start("ana@example.com").await;
    let bad = StatusCode::BAD_REQUEST;
    let back = browser.agrees("/").await;
    let login = browser.cookies[LOGIN].clone();
    // Somebody else's browser is sent here, to be signed in as Ana.
    let own = std::mem::take(&mut browser.cookies);
    let elsewhere = browser.gets(&back).await;
    assert_eq!((elsewhere.status, elsewhere.text.contains("begun no sign-in")), (bad, true));
    browser.cookies = own;
    let (path, _) = back.split_once("&state=").unwrap();
    for state in ["", "&state=", &format!("&state={}", "0".repeat(64))] {
        let forged = browser.gets(&format!("{path}{state}")).await;
        assert_eq!((forged.status, forged.text.contains("begun no sign-in")), (bad, true));
    }
    let other = browser.gets(&format!("{back}&iss=https%3A%2F%2Fevil.example")).await;
    assert_eq!((other.status, other.text.contains("another issuer")), (bad, true));
    assert!(browser.gets(&back).await.location.is_some());
    let session = browser.cookies.clone();
    let twice = browser.gets(&back).await;
    assert_eq!((twice.status, twice.text.contains("begun no sign-in")), (bad, true));
    // Who has kept the cookie meets the issuer.
    browser.cookies.insert(LOGIN.into(), login.clone());
    let replayed = browser.gets(&back).await;
    assert_eq!((replayed.status, replayed.text.contains("was used before")), (bad, true));
    // A cookie of one kind is none of the other.
    browser.cookies = BTreeMap::from([(SESSION.into(), login)]);
    assert!(browser.gets("/").await.location.is_some_and(|to| to.starts_with("/sign-in")));
    // A sign-in that takes too long.
    browser.cookies.clear();
    let back = browser.agrees("/").await;
    browser.pass(Duration::from_secs(601)).await;
    let late = browser.gets(&back).await;
    assert_eq!((late.status, late.text.contains("in the last ten minutes")), (bad, true));
    browser.cookies = session;
    browser.page("/").await;
}

#[tokio::test]
async fn what_the_issuer_refuses_is_said_and_nothing_of_it_is_quoted() {
    let mut browser = Browser::start("ana@example.com").await;
    for (error, shown) in [("access_denied", "access_denied"), ("secret+words", "another error")] {
        let back = browser.agrees("/").await;
        let state = back.split_once("&state=").unwrap().1;
        let told = format!("/signed-in?error={error}&error_description=secret+words&state={state}");
        let refused = browser.gets(&told).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.text.contains(shown), "{}", refused.text);
    }
    browser.issuer.is_out(true);
    let back = browser.agrees("/").await;
    let out = browser.gets(&back).await;
    assert_eq!(out.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        out.text.contains("does not answer") && out.text.contains("Try again in a minute"),
        "{}",
        out.text
    );
    browser.pass(Duration::from_secs(3601)).await;
    let out = browser.gets("/sign-in").await;
    assert_eq!(out.status, StatusCode::SERVICE_UNAVAILABLE);
    browser.issuer.is_out(false);
    browser.signs_in().await;
}

#[tokio::test]
async fn a_session_ends_and_cannot_be_made() {
    let mut browser = Browser::start("ana@example.com,group:ops").await;
    browser.signs_in().await;
    let session = browser.cookies[SESSION].clone();
    browser.page("/").await;
    let is_out = |page: &Page| page.location.as_ref().is_some_and(|to| to.starts_with("/sign-in"));
    for forged in ["", "x", &session[1..], &format!("{session}AAAA"), &"A".repeat(5000)] {
        browser.cookies.insert(SESSION.into(), forged.into());
        assert!(is_out(&browser.gets("/").await), "{forged}");
    }
    browser.cookies.insert(SESSION.into(), session.clone());
    // A program is told so, and is sent nowhere.
    browser.pass(Duration::from_secs(8 * 3600 - 5)).await;
    browser.page("/").await;
    browser.pass(Duration::from_secs(6)).await;
    assert!(is_out(&browser.gets("/").await), "eight hours are over, whatever was done");
    let json = [(header::ACCEPT, "application/json")];
    let told = browser.asks(Method::GET, "/", &json, "").await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    let told: Value = serde_json::from_str(&told.text).unwrap();
    assert!(told["error"].as_str().unwrap().contains("session is over"), "{told}");
    let pause = format!("/accounts/{CREATOR}/pause");
    let done = browser.asks(Method::POST, &pause, &[(header::ORIGIN, ORIGIN)], "form_token=").await;
    assert_eq!(done.status, StatusCode::UNAUTHORIZED);
    // Who is taken off the list is refused at once.
    browser.signs_in().await;
    browser.allows("group:ops");
    browser.page("/").await;
    browser.allows("bo@example.com");
    let refused = browser.gets("/").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("does not let you in"), "{}", refused.text);
}

#[tokio::test]
async fn nothing_is_done_for_another_site() {
    let mut browser = Browser::start("ana@example.com").await;
    browser.signs_in().await;
    let page = browser.page(&format!("/accounts/{CREATOR}")).await;
    let token = page.split_once("name=\"form_token\" value=\"").unwrap().1;
    let right = format!("form_token={}", token.split_once('"').unwrap().0);
    let pause = format!("/accounts/{CREATOR}/pause");
    let (own, evil) = ((header::ORIGIN, ORIGIN), (header::ORIGIN, "https://evil.example"));
    for (headers, form, why) in [
        (&[][..], right.as_str(), "no origin"),
        (std::slice::from_ref(&evil), &right, "another origin"),
        (&[(header::ORIGIN, "null")], &right, "an unknown origin"),
        (&[(header::ORIGIN, "http://local.lambda-url")], &right, "not by TLS"),
        (&[own.clone(), (header::HOST, "evil.example")], &right, "another host"),
        (std::slice::from_ref(&own), "", "no token"),
        (std::slice::from_ref(&own), "form_token=0", "another token"),
        (std::slice::from_ref(&own), "form_token=", "an empty token"),
    ] {
        for path in [pause.as_str(), "/sign-out"] {
            let refused = browser.asks(Method::POST, path, headers, form).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{why}: {}", refused.text);
        }
    }
    // The token of another session is none of this one.
    browser.cookies.clear();
    browser.signs_in().await;
    let refused = browser.asks(Method::POST, &pause, std::slice::from_ref(&own), &right).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "the token of an earlier session");
    let rebound = [(header::HOST, "evil.example")];
    assert_eq!(browser.asks(Method::GET, "/", &rebound, "").await.status, StatusCode::FORBIDDEN);
    // A link to sign out, or to do anything, does nothing.
    for path in ["/sign-out", &pause] {
        let looked = browser.gets(path).await;
        assert!(looked.status.is_client_error(), "{path}: {}", looked.status);
    }
    assert!(!browser.page(&format!("/accounts/{CREATOR}")).await.contains("Paused"));
}

#[tokio::test]
async fn a_sign_in_leads_to_no_other_site() {
    let mut browser = Browser::start("ana@example.com").await;
    for to in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2F%09%2Fevil.example",
        "javascript%3Aalert(1)",
    ] {
        browser.cookies.clear();
        let to_issuer = browser.gets(&format!("/sign-in?to={to}")).await;
        let back = browser.issuer.agrees(&to_issuer.location.unwrap());
        assert_eq!(browser.gets(&back).await.location.as_deref(), Some("/"), "{to}");
    }
}

/// A secret that cannot be read.
struct Gone;

#[async_trait]
impl SecretSource<ConsoleSecrets> for Gone {
    async fn read(&self) -> Result<ConsoleSecrets, SecretsError> {
        Err(SecretsError::MalformedConsole("it is gone".into()))
    }
}

/// Asks a console for a page that cannot read its secret.
pub(crate) async fn page_without_secret(world: &World) -> StatusCode {
    let issuer = Issuer::start(world.now().as_secs());
    let options = options(&issuer, "ana@example.com");
    let console = world.stack.deployed_console(options, Arc::new(Gone)).unwrap();
    let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(HOST))]);
    let request = (&Method::GET, &Uri::from_static("/"), &headers, &b""[..]);
    world.stack.invoke_console(&console, request).await.status()
}

#[tokio::test]
async fn without_its_secret_nobody_is_let_in_and_the_page_says_so() {
    let mut browser = Browser::start("ana@example.com").await;
    let options = options(&browser.issuer, "ana@example.com");
    browser.console = browser.world.stack.deployed_console(options, Arc::new(Gone)).unwrap();
    for path in ["/", "/sign-in", "/signed-in?code=1&state=2"] {
        let page = browser.gets(path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(page.text.contains("cannot read its secret"), "{}", page.text);
    }
}
