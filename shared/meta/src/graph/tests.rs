//! The client against a server on this machine that answers as told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use spillway_core::conversation::Follows;
use spillway_core::time::Timestamp;

use super::*;
use crate::error::{GraphError, ThrottleScope, Verdict};
use crate::usage::{Percent, Usage};

const SENT: &str = r#"{"recipient_id":"526000000000001","message_id":"aWdfZAG1faXRlbToxOk"}"#;

/// What the server does after it has read one request.
enum Answer {
    /// Sends an answer.
    Http(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// Promises a longer body than it sends.
    CutOff(u16, &'static str),
    /// Closes the connection.
    Close,
    /// Answers nothing until the client has gone.
    Wait,
}

struct Request {
    head: String,
    body: String,
}

/// A client of a server that takes one connection, and what the server will have read from it.
fn serve(answer: Answer) -> (GraphClient, JoinHandle<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = client_of(&listener);
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accept");
        let request = read_request(&stream);
        reply(stream, answer);
        request
    });
    (client, server)
}

fn client_of(listener: &TcpListener) -> GraphClient {
    let base_url = format!("http://{}", listener.local_addr().expect("address"));
    GraphClient::new(GraphConfig { base_url, version: "v26.0".to_owned() }).expect("client")
}

fn read_request(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).expect("request line"), 0, "request broke off");
    }
    head.make_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("request body");
    Request { head, body: String::from_utf8(body).expect("UTF-8") }
}

fn reply(mut stream: TcpStream, answer: Answer) {
    let (status, headers, body, missing) = match answer {
        Answer::Http(status, headers, body) => (status, headers, body, 0),
        Answer::CutOff(status, body) => (status, vec![], body, 10),
        Answer::Close => return,
        Answer::Wait => {
            let _ = stream.read(&mut [0]);
            return;
        }
    };
    let mut head = format!("HTTP/1.1 {status} Any\r\ncontent-length: {}\r\n", body.len() + missing);
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    write!(stream, "{head}\r\n{body}").expect("write");
}

async fn call(client: &GraphClient) -> Result<Answered<Sent>, CallError> {
    call_with(client, "17841400000000001", "IGAAtoken", Duration::from_secs(10)).await
}

async fn call_with(
    client: &GraphClient,
    account: &str,
    token: &str,
    timeout: Duration,
) -> Result<Answered<Sent>, CallError> {
    let text = "Here it is: https://example.com/ä 😀 \"now\"".to_owned();
    let message = content::Message::Text(text);
    let comment = "17890000000000001".into();
    let metadata = "spillway:17890000000000001#0";
    client
        .private_reply(&account.into(), &token.into(), &comment, &message, metadata, timeout)
        .await
}

const NOON: &str = r#"{"timestamp":"2026-11-24T12:00:00+0000","id":"17890000000000001"}"#;

async fn write_to(
    client: &GraphClient,
    account: &str,
    person: &str,
) -> Result<Answered<Sent>, CallError> {
    let timeout = Duration::from_secs(10);
    client
        .message(
            &account.into(),
            &"IGAAtoken".into(),
            &person.into(),
            &content::Message::Text("Hi \"there\"".to_owned()),
            "spillway:s.1",
            timeout,
        )
        .await
}

async fn ask_time(
    client: &GraphClient,
    comment: &str,
) -> Result<Answered<Option<Timestamp>>, CallError> {
    client.comment_timestamp(&"IGAAtoken".into(), &comment.into(), Duration::from_secs(10)).await
}

async fn refusal(answer: Answer) -> (CallError, Verdict) {
    let (client, server) = serve(answer);
    let error = call(&client).await.expect_err("refusal");
    server.join().expect("server");
    let verdict = error.verdict();
    (error, verdict)
}

#[tokio::test]
async fn sends_metas_request_and_reads_its_answer() {
    let date = vec![("Date", "Tue, 29 Sep 2026 12:00:01 GMT")];
    let (client, server) = serve(Answer::Http(200, date, SENT));
    assert_eq!(
        call(&client).await,
        Ok(Answered {
            value: Sent {
                recipient: Some("526000000000001".into()),
                message_id: Some("aWdfZAG1faXRlbToxOk".to_owned()),
            },
            usage: Usage::default(),
            server_date: Some(Timestamp::from_secs(1_790_683_201)),
        })
    );

    let request = server.join().expect("server");
    let mut lines = request.head.lines();
    assert_eq!(lines.next(), Some("post /v26.0/17841400000000001/messages http/1.1"));
    let lines: Vec<_> = lines.collect();
    assert!(lines.contains(&"authorization: bearer igaatoken"), "{lines:?}");
    assert!(lines.contains(&"content-type: application/json"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("user-agent: spillway/")), "{lines:?}");
    assert_eq!(
        request.body,
        r#"{"recipient":{"comment_id":"17890000000000001"},"message":{"text":"Here it is: https://example.com/ä 😀 \"now\"","metadata":"spillway:17890000000000001#0"}}"#
    );
}

#[tokio::test]
async fn writes_to_a_person() {
    let date = vec![("Date", "Tue, 29 Sep 2026 12:00:01 GMT")];
    let (client, server) = serve(Answer::Http(200, date, SENT));
    let sent = write_to(&client, "17841400000000001", "526000000000001").await.expect("sent");
    assert_eq!(sent.value.recipient, Some("526000000000001".into()));
    assert_eq!(sent.value.message_id.as_deref(), Some("aWdfZAG1faXRlbToxOk"));
    assert_eq!(sent.server_date, Some(Timestamp::from_secs(1_790_683_201)));

    let request = server.join().expect("server");
    assert!(request.head.starts_with("post /v26.0/17841400000000001/messages http/1.1\r\n"));
    assert!(request.head.contains("\r\nauthorization: bearer igaatoken\r\n"), "{}", request.head);
    assert_eq!(
        request.body,
        r#"{"recipient":{"id":"526000000000001"},"message":{"text":"Hi \"there\"","metadata":"spillway:s.1"}}"#
    );
}

#[tokio::test]
async fn asks_when_a_comment_was_made() {
    let headers = vec![
        ("Date", "Tue, 24 Nov 2026 13:00:00 GMT"),
        ("X-App-Usage", r#"{"call_count":28,"total_time":25,"total_cputime":25}"#),
    ];
    let (client, server) = serve(Answer::Http(200, headers, NOON));
    let noon = Timestamp::from_secs(1_795_521_600);
    assert_eq!(
        ask_time(&client, "17890000000000001").await,
        Ok(Answered {
            value: Some(noon),
            usage: Usage { app: Some(Percent::new(28)), ..Usage::default() },
            server_date: Some(noon + Duration::from_secs(3600)),
        })
    );

    let request = server.join().expect("server");
    assert!(
        request.head.starts_with("get /v26.0/17890000000000001?fields=timestamp http/1.1\r\n"),
        "{}",
        request.head
    );
    assert!(request.head.contains("\r\nauthorization: bearer igaatoken\r\n"), "{}", request.head);
    assert_eq!(request.body, "");
}

#[tokio::test]
async fn reads_the_conversation_with_a_person() {
    let told = r#"{"data":[{"id":"aWc","messages":{"data":[{"id":"m1",
        "created_time":"2026-11-24T12:00:00+0000","from":{"id":"178"},"message":"hi"}]}}]}"#;
    let (client, server) = serve(Answer::Http(200, vec![], told));
    let (account, token) = ("17841400000000001".into(), "IGAAtoken".into());
    let timeout = Duration::from_secs(10);
    let read = client.conversation(&account, &token, &"52".into(), timeout).await.expect("read");
    assert_eq!(read.value.expect("a conversation").messages.len(), 1);
    let request = server.join().expect("server");
    assert!(
        request.head.starts_with(
            "get /v26.0/17841400000000001/conversations?platform=instagram&user_id=52&fields=messages"
        ),
        "{}",
        request.head
    );
    let (client, _) = serve(Answer::Http(200, vec![], r#"{"data":[]}"#));
    let none = client.conversation(&account, &token, &"52".into(), timeout).await.expect("read");
    assert_eq!(none.value, None);
}

#[tokio::test]
async fn reads_a_profile_and_takes_no_consent_as_unknown() {
    let read = async |answer| {
        let (client, server) = serve(answer);
        let (token, person) = ("IGAAtoken".into(), "526000000000001".into());
        let read = client.profile(&token, &person, Duration::from_secs(10)).await;
        (read, server.join().expect("server").head)
    };
    let told = r#"{"username":"ana","is_user_follow_business":true,"id":"526000000000001"}"#;
    let (known, head) = read(Answer::Http(200, vec![], told)).await;
    assert_eq!(known.expect("profile").value.follows, Follows::Yes);
    let asks = "get /v26.0/526000000000001?fields=name%2cusername%2cis_user_follow_business http";
    assert!(head.starts_with(asks), "{head}");

    let no_consent = r#"{"error":{"code":230,"message":"User consent is required"}}"#;
    let usage = vec![("X-App-Usage", r#"{"call_count":61}"#)];
    let (unknown, _) = read(Answer::Http(403, usage, no_consent)).await;
    let unknown = unknown.expect("an answer");
    assert_eq!((unknown.value, unknown.usage.app), (Profile::UNKNOWN, Some(Percent::new(61))));

    let throttled = r#"{"error":{"code":4}}"#;
    let (refused, _) = read(Answer::Http(400, vec![], throttled)).await;
    let scope = ThrottleScope::App;
    assert_eq!(refused.expect_err("refusal").verdict(), Verdict::Throttled { scope });
    let (broken, _) = read(Answer::Http(200, vec![], "<html>")).await;
    assert_eq!(broken, Err(CallError::Unknown));
}

#[tokio::test]
async fn a_comment_whose_time_cannot_be_read_has_none() {
    for answer in [
        Answer::Http(200, vec![], ""),
        Answer::Http(200, vec![], r#"{"id":"17890000000000001"}"#),
        Answer::Http(200, vec![], r#"{"timestamp":"yesterday"}"#),
        Answer::Http(200, vec![], r#"{"timestamp":1795521600}"#),
        Answer::CutOff(200, r#"{"timestamp":"2026-11-24T12:00:00+0000""#),
    ] {
        let (client, server) = serve(answer);
        assert_eq!(ask_time(&client, "17890000000000001").await, Ok(Answered::default()));
        server.join().expect("server");
    }
}

#[tokio::test]
async fn every_call_is_refused_alike() {
    let body = r#"{"error":{"code":100,"error_subcode":33}}"#;
    let headers = || vec![("X-App-Usage", r#"{"call_count":61}"#)];
    let (client, server) = serve(Answer::Http(400, headers(), body));
    let read = ask_time(&client, "17890000000000001").await.expect_err("refusal");
    server.join().expect("server");
    let (client, server) = serve(Answer::Http(400, headers(), body));
    let message = write_to(&client, "17841400000000001", "1").await.expect_err("refusal");
    server.join().expect("server");
    let (reply, verdict) = refusal(Answer::Http(400, headers(), body)).await;
    assert_eq!((&read, &message), (&reply, &reply));
    assert_eq!(verdict, Verdict::CommentGone);
    let CallError::Refused { usage, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(usage.app, Some(Percent::new(61)));

    let (client, server) = serve(Answer::Close);
    assert_eq!(ask_time(&client, "17890000000000001").await, Err(CallError::Unknown));
    server.join().expect("server");
    let (client, server) = serve(Answer::Close);
    assert_eq!(write_to(&client, "17841400000000001", "1").await, Err(CallError::Unknown));
    server.join().expect("server");
}

#[tokio::test]
async fn what_was_sent_says_how_full_the_limits_are() {
    let headers = vec![
        ("X-App-Usage", r#"{"call_count":28,"total_time":25,"total_cputime":30}"#),
        (
            "X-Business-Use-Case-Usage",
            r#"{"17841400000000001":[{"type":"instagram","call_count":96,"estimated_time_to_regain_access":0}]}"#,
        ),
        (
            "X-Business-Use-Case-Usage",
            r#"{"17841400000000001":[{"type":"ads_management","call_count":100,"estimated_time_to_regain_access":9}]}"#,
        ),
    ];
    let (client, server) = serve(Answer::Http(200, headers, SENT));
    let sent = call(&client).await.expect("sent");
    server.join().expect("server");
    let [app, account] = [30, 96].map(|percent| Some(Percent::new(percent)));
    assert_eq!(sent.usage, Usage { app, account, regain: None });
}

#[tokio::test]
async fn success_is_success_whatever_the_body() {
    for answer in [
        Answer::Http(200, vec![], ""),
        Answer::Http(200, vec![], "{}"),
        Answer::Http(200, vec![], "<html>"),
        Answer::CutOff(200, SENT),
    ] {
        let (client, server) = serve(answer);
        let sent = call(&client).await.expect("sent");
        server.join().expect("server");
        assert_eq!(sent.server_date, None);
    }
}

#[tokio::test]
async fn an_error_of_metas_is_refused_with_its_verdict() {
    let body = include_str!("../../fixtures/error.json");
    let date = vec![("Date", "Thu, 01 Jan 1970 00:00:07 GMT")];
    let (error, verdict) = refusal(Answer::Http(400, date, body)).await;
    assert_eq!(verdict, Verdict::PrivateReplyRefused);
    let CallError::Refused { error, usage, server_date } = error else { panic!("{error:?}") };
    assert_eq!((error.code, error.subcode), (Some(100), Some(2534025)));
    assert_eq!(usage, Usage::default());
    assert_eq!(server_date, Some(Timestamp::from_secs(7)));

    let (error, verdict) =
        refusal(Answer::Http(401, vec![], r#"{"error":{"code":190,"error_subcode":463}}"#)).await;
    assert_eq!(verdict, Verdict::TokenDead);
    assert_eq!(error.to_string(), "refused: status 401, code 190/463");
}

#[tokio::test]
async fn a_throttle_says_for_how_long() {
    let (error, verdict) = refusal(Answer::Http(429, vec![("Retry-After", "90")], "")).await;
    assert_eq!(verdict, Verdict::Throttled { scope: ThrottleScope::Account });
    let CallError::Refused { usage, .. } = error else { panic!("{error:?}") };
    let regain = Some(Duration::from_secs(90));
    assert_eq!(usage, Usage { regain, ..Usage::default() });

    let usage = r#"{"17841400000000001":[{"type":"instagram","call_count":100,"estimated_time_to_regain_access":19}]}"#;
    let body = r#"{"error":{"code":4,"is_transient":true}}"#;
    let (error, verdict) =
        refusal(Answer::Http(400, vec![("X-Business-Use-Case-Usage", usage)], body)).await;
    assert_eq!(verdict, Verdict::Throttled { scope: ThrottleScope::App });
    let CallError::Refused { usage, .. } = error else { panic!("{error:?}") };
    let (account, regain) = (Some(Percent::new(100)), Some(Duration::from_secs(19 * 60)));
    assert_eq!(usage, Usage { app: None, account, regain });
}

#[tokio::test]
async fn a_gateway_that_answers_leaves_it_ambiguous() {
    let html = "<html><h1>502 Bad Gateway</h1></html>";
    assert_eq!(refusal(Answer::Http(502, vec![], html)).await.1, Verdict::Ambiguous);
    assert_eq!(refusal(Answer::CutOff(500, r#"{"error":{"#)).await.1, Verdict::Ambiguous);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let location = vec![("Location", "/elsewhere")];
    let (error, verdict) = refusal(Answer::Http(307, location, "")).await;
    assert!(matches!(error, CallError::Refused { error: GraphError { status: 307, .. }, .. }));
    assert_eq!(verdict, Verdict::Ambiguous);
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_it_unknown() {
    assert_eq!(refusal(Answer::Close).await, (CallError::Unknown, Verdict::Ambiguous));
}

// Not on this thread, which waits for the server, which waits for the connection to be closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_answer_in_time_leaves_it_unknown() {
    let (client, server) = serve(Answer::Wait);
    let error =
        call_with(&client, "17841400000000001", "IGAAtoken", Duration::from_millis(200)).await;
    assert_eq!(error, Err(CallError::Unknown));
    server.join().expect("server");
}

#[tokio::test]
async fn without_a_connection_nothing_was_written() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = client_of(&listener);
    drop(listener);
    let error = call(&client).await.expect_err("no server");
    assert_eq!((error.clone(), error.verdict()), (CallError::NotWritten, Verdict::Transient));
}

#[tokio::test]
async fn what_cannot_be_a_request_is_not_made() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = client_of(&listener);
    let timeout = Duration::from_secs(1);
    for account in ["", ".", "..", "1/2", "1?x", "1%2f", "me me"] {
        let refusal = call_with(&client, account, "IGAAtoken", timeout).await;
        assert_eq!(refusal, Err(CallError::InvalidId), "{account}");
        assert_eq!(write_to(&client, account, "1").await, Err(CallError::InvalidId), "{account}");
        assert_eq!(ask_time(&client, account).await, Err(CallError::InvalidId), "{account}");
    }
    let refusal = call_with(&client, "17841400000000001", "IGAA\r\nx: y", timeout).await;
    assert_eq!(refusal, Err(CallError::InvalidToken));
}

#[test]
fn a_wrong_configuration_is_refused() {
    let new = |base_url: &str, version: &str| {
        GraphClient::new(GraphConfig { base_url: base_url.to_owned(), version: version.to_owned() })
    };
    for base_url in
        ["", "graph.instagram.com", "ftp://graph.instagram.com", "http://", "https://a?b"]
            .into_iter()
            .chain(["http://graph.instagram.com", "http://10.0.0.1", "http://localhost.a.example"])
    {
        assert!(matches!(new(base_url, "v26.0"), Err(GraphConfigError::BaseUrl)), "{base_url}");
    }
    for version in ["", "26.0", "v26", "v26.", "v.0", "v26.0/me", "v26.0.1"] {
        let client = new("https://graph.instagram.com", version);
        assert!(matches!(client, Err(GraphConfigError::Version)), "{version}");
    }
}

#[test]
fn a_path_in_the_base_url_is_kept() {
    for (base_url, expected) in [
        ("https://graph.instagram.com", "https://graph.instagram.com/v26.0/1/messages"),
        ("https://graph.instagram.com/", "https://graph.instagram.com/v26.0/1/messages"),
        ("http://127.0.0.1:1/meta/", "http://127.0.0.1:1/meta/v26.0/1/messages"),
    ] {
        let config = GraphConfig { base_url: base_url.to_owned(), version: "v26.0".to_owned() };
        let client = GraphClient::new(config).expect("client");
        assert_eq!(client.url("1", Some("messages")).expect("url").as_str(), expected);
    }
}

/// Each call as it is on the wire, and that neither token nor secret is in any error.
#[tokio::test]
async fn calls_of_upkeep_go_where_meta_documents_them() {
    let timeout = Duration::from_secs(10);
    let token = SecretString::from("IGAAtoken");
    let json = |body| Answer::Http(200, vec![], body);

    let (client, server) = serve(json(r#"{"access_token":"IGAAnew","expires_in":5183944}"#));
    let new = client.refresh_token(&token, timeout).await.expect("refreshed").value;
    assert_eq!(new.lasts, Some(Duration::from_secs(5_183_944)));
    let head = server.join().expect("server").head;
    let path = "get /refresh_access_token?grant_type=ig_refresh_token&access_token=igaatoken ";
    assert!(head.starts_with(path) && !head.contains("authorization"), "{head}");

    let (client, server) = serve(json(r#"{"access_token":"IGAAlong","expires_in":5184000}"#));
    let app = App { id: "990".into(), secret: "s3cret".into() };
    client.long_lived_token(&app, &token, timeout).await.expect("exchanged");
    let head = server.join().expect("server").head;
    let path = "get /access_token?grant_type=ig_exchange_token&client_secret=s3cret&access_token=igaatoken ";
    assert!(head.starts_with(path), "{head}");

    let (client, server) = serve(json(r#"{"success":true}"#));
    let fields = ["comments", "messages"];
    client.subscribe(&"178".into(), &token, &fields, timeout).await.expect("subscribed");
    let head = server.join().expect("server").head;
    let path = "post /v26.0/178/subscribed_apps?subscribed_fields=comments%2cmessages ";
    assert!(head.starts_with(path) && head.contains("authorization: bearer igaatoken"), "{head}");

    for (body, is_known) in [(r#"{"success":false}"#, true), (r#"{"success":"maybe"}"#, false)] {
        let (client, server) = serve(json(body));
        let error = client.subscribe(&"178".into(), &token, &fields, timeout).await.unwrap_err();
        server.join().expect("server");
        assert_eq!(matches!(error, CallError::NotDone { .. }), is_known, "{error}");
    }

    let (client, server) = serve(json(r#"{"data":[{"subscribed_fields":["comments"]}]}"#));
    let found = client.subscription(&"178".into(), &token, timeout).await.expect("told").value;
    assert_eq!(found.lacks(&fields), ["messages"]);
    assert!(server.join().expect("server").head.starts_with("get /v26.0/178/subscribed_apps "));

    let (client, server) = serve(json(r#"{"user_id":"178","id":"99","username":"ann"}"#));
    let me = client.me(&token, timeout).await.expect("told").value;
    assert_eq!((me.account.as_str(), me.app_scoped.as_deref()), ("178", Some("99")));
    assert!(server.join().expect("server").head.starts_with("get /v26.0/me?fields=id%2cuser_id"));

    let (client, server) = serve(json(r#"{"data":[{"id":"aWdf"}]}"#));
    client.conversations(&"178".into(), &token, timeout).await.expect("told");
    let head = server.join().expect("server").head;
    assert!(head.starts_with("get /v26.0/178/conversations?platform=instagram&"), "{head}");

    let (client, server) = serve(json(r#"{"data":[{"id":"179","comments_count":3}]}"#));
    let media = client.media(&"178".into(), &token, None, timeout).await.expect("told").value;
    assert_eq!((media.items[0].comments, media.next), (Some(3), None));
    assert!(server.join().expect("server").head.starts_with("get /v26.0/178/media?fields=id"));

    let (client, server) = serve(json(r#"{"data":[]}"#));
    client.comments(&"179".into(), &token, Some("A=="), timeout).await.expect("told");
    let head = server.join().expect("server").head;
    assert!(
        head.starts_with("get /v26.0/179/comments?fields=id") && head.contains("after=a%3d%3d")
    );
}

#[tokio::test]
async fn a_login_code_is_exchanged_by_a_form() {
    let body = r#"{"data":[{"access_token":"IGAAshort","user_id":"1","permissions":"a,b"}]}"#;
    let (client, server) = serve(Answer::Http(200, vec![], body));
    let host = client.root.origin().ascii_serialization();
    let app = App { id: "990".into(), secret: "s3cret".into() };
    let (code, timeout) = (SecretString::from("AQB#_"), Duration::from_secs(10));
    let granted = client.exchange_code(&host, &app, &code, "https://example.com/", timeout).await;
    assert_eq!(granted.expect("granted").value.permissions, ["a", "b"]);
    let request = server.join().expect("server");
    assert!(request.head.starts_with("post /oauth/access_token "), "{}", request.head);
    let form = "client_id=990&client_secret=s3cret&grant_type=authorization_code\
                &redirect_uri=https%3A%2F%2Fexample.com%2F&code=AQB%23_";
    assert_eq!(request.body, form);
}

/// Meta's own text may quote a token, and the URL of a refresh holds one.
#[tokio::test]
async fn no_error_of_a_token_call_shows_the_token() {
    let token = SecretString::from("IGAAtoken");
    let body = r#"{"error":{"message":"Malformed access token IGAAtoken","code":190}}"#;
    for answer in
        [Answer::Http(400, vec![], body), Answer::Close, Answer::Http(200, vec![], "IGAAtoken")]
    {
        let (client, server) = serve(answer);
        let error = client.refresh_token(&token, Duration::from_secs(10)).await.expect_err("fails");
        assert!(!format!("{error} {error:?}").contains("IGAA"), "{error:?}");
        server.join().expect("server");
    }
    let gone = client_of(&TcpListener::bind("127.0.0.1:0").expect("bind"));
    let error = gone.refresh_token(&token, Duration::from_millis(300)).await.expect_err("fails");
    assert!(!format!("{error} {error:?}").contains("IGAA"), "{error:?}");
}
