//! The function as a process, before Lambda's Runtime API.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../../webhook/tests/runtime/mod.rs"]
mod runtime;

use runtime::{Running, Told, loopback};

/// An event of the function's URL. Lambda gives cookies apart from the other headers.
fn event(path: &str, query: &str) -> String {
    format!(
        r#"{{
            "version": "2.0", "routeKey": "$default", "rawPath": "{path}", "rawQueryString": "{query}",
            "headers": {{ "host": "abc.lambda-url.us-east-1.on.aws" }}, "cookies": ["a=b"],
            "isBase64Encoded": false,
            "requestContext": {{
                "accountId": "a", "apiId": "a", "domainName": "abc.lambda-url.us-east-1.on.aws",
                "domainPrefix": "abc", "requestId": "a", "routeKey": "$default", "stage": "$default",
                "timeEpoch": 0,
                "http": {{ "method": "GET", "path": "{path}", "protocol": "HTTP/1.1",
                           "sourceIp": "127.0.0.1", "userAgent": "a" }}
            }}
        }}"#
    )
}

#[test]
fn an_event_is_told_every_missing_variable_and_so_is_the_next() {
    let given = [("SPILLWAY_SENDS_TABLE", "sends"), ("SPILLWAY_STATE_TABLE", "  ")];
    let function = Running::start(env!("CARGO_BIN_EXE_console"), &given);
    function.names_what_is_missing(&event("/", ""));
}

/// A process that starts while the store is out sends people to sign in all the same.
#[test]
fn a_new_process_sends_people_to_the_issuer() {
    let aws = loopback::serve(move |_, headers, _| {
        let json = vec![("content-type", "application/x-amz-json-1.1".to_owned())];
        if headers["x-amz-target"] != "secretsmanager.GetSecretValue" {
            return (500, json, r#"{"__type":"InternalServerError"}"#.into());
        }
        let secret =
            r#"{"session_keys":"a key of forty characters, as generated.","client_secret":""}"#;
        (200, json, format!("{{\"SecretString\":{secret:?}}}"))
    });
    let issuer = loopback::serve(|path, headers, _| {
        let url = format!("http://{}", headers["host"]);
        let text = match path {
            "/keys" => r#"{"keys":[]}"#.to_owned(),
            _ => format!(
                r#"{{"issuer":"{url}","authorization_endpoint":"{url}/authorize",
                     "token_endpoint":"{url}/token","jwks_uri":"{url}/keys"}}"#
            ),
        };
        (200, vec![("content-type", "application/json".to_owned())], text)
    });
    let (endpoint, issuer) = (format!("http://{aws}"), format!("http://{issuer}"));
    let function = Running::start(
        env!("CARGO_BIN_EXE_console"),
        &[
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "a"),
            ("SPILLWAY_SENDS_TABLE", "sends"),
            ("SPILLWAY_STATE_TABLE", "state"),
            ("SPILLWAY_SEND_QUEUE_URL", "http://127.0.0.1/1/send"),
            ("SPILLWAY_DEAD_LETTER_QUEUE_URL", "http://127.0.0.1/1/dead"),
            ("SPILLWAY_RELEASE_QUEUE_URL", "http://127.0.0.1/1/release"),
            ("SPILLWAY_SECRET_ID", "the-secret"),
            ("SPILLWAY_KMS_KEY", "arn"),
            ("SPILLWAY_STACK", "stack"),
            ("SPILLWAY_CONSOLE_SECRET_ID", "the-console-secret"),
            ("SPILLWAY_CONSOLE_ISSUER", issuer.as_str()),
            ("SPILLWAY_CONSOLE_CLIENT_ID", "client"),
            ("SPILLWAY_CONSOLE_ALLOWED", "@example.com"),
        ],
    );
    for (path, query, told) in [
        ("/plan", "comments=9", "/sign-in?to=%2Fplan%3Fcomments%3D9".to_owned()),
        ("/sign-in", "", format!("{issuer}/authorize?response_type=code&client_id=client")),
    ] {
        assert_eq!(function.tells(), Told::Next);
        function.event(&event(path, query));
        let Told::Answer(said) = function.tells() else { panic!("it does not answer") };
        assert!(said.contains("\"statusCode\":303") && said.contains(&told), "{path}: {said}");
        let begins = said.contains("\"cookies\":[\"__Host-spillway-login=");
        assert_eq!(begins, path == "/sign-in", "{said}");
    }
}
