//! The function as a process, before Lambda's Runtime API.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../../webhook/tests/runtime/mod.rs"]
mod runtime;

use runtime::{Running, Told, loopback};
use spillway_core::content::Link;
use spillway_core::conversation::Origin;
use spillway_service::links::{LinkKeys, LinkOwner, Linker};

const KEY: &str = "a key of forty characters, as generated.";

fn event(path: &str) -> String {
    format!(
        r#"{{
            "version": "2.0", "routeKey": "$default", "rawPath": "{path}", "rawQueryString": "fbclid=1",
            "headers": {{ "user-agent": "Mozilla/5.0 (iPhone) Instagram 400.0" }}, "isBase64Encoded": false,
            "requestContext": {{
                "accountId": "a", "apiId": "a", "domainName": "a", "domainPrefix": "a", "requestId": "a",
                "routeKey": "$default", "stage": "$default", "timeEpoch": 0,
                "http": {{ "method": "GET", "path": "{path}", "protocol": "HTTP/1.1",
                           "sourceIp": "127.0.0.1", "userAgent": "a" }}
            }}
        }}"#
    )
}

#[test]
fn an_event_is_told_every_missing_variable_and_so_is_the_next() {
    let given = [("SPILLWAY_SENDS_TABLE", "sends"), ("SPILLWAY_STATE_TABLE", "  ")];
    let function = Running::start(env!("CARGO_BIN_EXE_link"), &given);
    function.names_what_is_missing(&event("/"));
}

/// A process that starts while the store is out redirects all the same.
#[test]
fn a_new_process_redirects_without_the_store() {
    let aws = loopback::serve(move |_, headers, _| {
        let json = vec![("content-type", "application/x-amz-json-1.1".to_owned())];
        if headers["x-amz-target"] != "secretsmanager.GetSecretValue" {
            return (500, json, r#"{"__type":"InternalServerError"}"#.into());
        }
        let secret = format!(r#"{{"keys":"{KEY}"}}"#);
        (200, json, format!("{{\"SecretString\":{secret:?}}}"))
    });
    let endpoint = format!("http://{aws}");
    let function = Running::start(
        env!("CARGO_BIN_EXE_link"),
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
            ("SPILLWAY_LINK_SECRET_ID", "the-link-secret"),
            ("SPILLWAY_KMS_KEY", "arn"),
            ("SPILLWAY_STACK", "stack"),
        ],
    );
    let owner = LinkOwner {
        account: "17841400000000001".into(),
        person: "526000000000001".into(),
        origin: Origin::new("17890000000000001"),
    };
    let linker = Linker::new("/l/", LinkKeys::new(&[KEY.as_bytes()]).unwrap());
    let target = Link::new("https://münchen.example/guide");
    for (path, told) in [
        (linker.link(&owner, &target), "https://xn--mnchen-3ya.example/guide"),
        ("/l/forged".into(), "\"statusCode\":404"),
    ] {
        assert_eq!(function.tells(), Told::Next);
        function.event(&event(&path));
        let Told::Answer(said) = function.tells() else { panic!("it does not redirect") };
        assert!(said.contains(told), "{said}");
    }
}
