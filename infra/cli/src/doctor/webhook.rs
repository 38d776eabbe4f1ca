//! The webhook: the app's secrets, and whether what is deployed takes what they sign and nothing
//! else.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use spillway_cloud::secrets::{Secrets, SecretsError, process_number};
use spillway_meta::http;
use spillway_meta::signature::sign;
use spillway_meta::webhook::PROBE;
use spillway_service::port::Failure;

use super::finding::Finding;
use crate::deployment::Deployment;
use crate::output::counted;

const SECRET: &str = "secret";
const SIGNED: &str = "signed delivery";
const FORGED: &str = "forged delivery";
const HANDSHAKE: &str = "handshake";

/// How long the function may take to answer: it may have to start first.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the secret must hold, for people.
const STORE_IT: &str = "put the Instagram app's secret (App Dashboard, Instagram, API setup with \
                        Instagram login) into `app_secrets` of the deployment's secret \
                        (infra/OPERATIONS.md, \"The app's secret\")";

/// Looks at both.
pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let (finding, secrets) = secrets(deployment).await;
    let mut findings = vec![finding];
    let Some(url) = &deployment.webhook_url else {
        let skipped = |check| {
            let said = "the deployment file does not say where the webhook is";
            Finding::skipped(check, said).advising("write SPILLWAY_WEBHOOK_URL into it")
        };
        findings.extend([HANDSHAKE, SIGNED, FORGED].map(skipped));
        return findings;
    };
    match Webhook::new(url) {
        Ok(webhook) => {
            findings.push(webhook.handshake(&secrets.verify_tokens).await);
            findings.push(webhook.signed(&secrets.app_secrets).await);
            findings.push(webhook.forged().await);
        }
        Err(error) => findings.push(Finding::wrong(
            HANDSHAKE,
            format!("{error:#}"),
            "write the URL that the stack's output WebhookUrl names into the deployment file",
        )),
    }
    findings
}

/// The secrets to try the webhook with; none where nobody may see them.
async fn secrets(deployment: &Deployment) -> (Finding, Secrets) {
    let (read, arn) = match deployment.secrets.read_with_arn().await {
        Ok((secrets, arn)) => (Ok(secrets), arn),
        Err(error) => (Err(error), None),
    };
    let finding = match misnamed(&deployment.config.secret_id, arn.as_deref()) {
        Some(finding) => finding,
        None => stored(&read),
    };
    let nothing = Secrets { app_secrets: Vec::new(), verify_tokens: Vec::new() };
    (finding, read.unwrap_or(nothing))
}

/// Whether the deployment names the secret by a part of its ARN. The functions' role is granted what
/// the deployment names, to the letter, and may then not read it.
fn misnamed(named: &str, arn: Option<&str>) -> Option<Finding> {
    let arn = arn.filter(|arn| named.starts_with("arn:") && *arn != named)?;
    Some(Finding::wrong(
        SECRET,
        format!("{named} is not the secret's whole ARN, so that no function may read it"),
        format!("deploy with SecretArn={arn}, and write the deployment file anew"),
    ))
}

fn stored(read: &Result<Secrets, SecretsError>) -> Finding {
    match read {
        Ok(secrets) if secrets.app_secrets.is_empty() => Finding::wrong(
            SECRET,
            "no app secret is stored, so that no delivery can be checked and none is taken",
            STORE_IT,
        ),
        Ok(secrets) => {
            let (app, verify) = (secrets.app_secrets.len(), secrets.verify_tokens.len());
            let (app, verify) = (counted(app, "app secret"), counted(verify, "verify token"));
            Finding::good(SECRET, format!("it holds {app} and {verify}"))
        }
        Err(error @ SecretsError::Unavailable { source, .. }) => {
            let failure = Failure { kind: source.kind, ..Failure::other(error.to_string()) };
            Finding::unseen(SECRET, &failure)
        }
        Err(error @ SecretsError::NoRandomness(_)) => {
            Finding::unseen(SECRET, &Failure::other(error.to_string()))
        }
        Err(
            error @ (SecretsError::Malformed(_)
            | SecretsError::MalformedLinks(_)
            | SecretsError::MalformedConsole(_)),
        ) => Finding::wrong(
            SECRET,
            error.to_string(),
            "until then no delivery is taken (infra/OPERATIONS.md, \"The app's secret\", says what it holds)",
        ),
    }
}

/// The function as Meta meets it.
struct Webhook {
    http: Client,
    url: Url,
}

/// What it answered.
struct Answer {
    status: StatusCode,
    body: String,
}

impl Webhook {
    fn new(url: &str) -> Result<Self> {
        let url = Url::parse(url).with_context(|| format!("`{url}` is no URL"))?;
        let http = http::client()
            .user_agent(concat!("spillway-doctor/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .context("cannot set up TLS")?;
        Ok(Self { http, url })
    }

    async fn handshake(&self, verify_tokens: &[SecretString]) -> Finding {
        let Some(token) = verify_tokens.first() else {
            return Finding::skipped(HANDSHAKE, "no verify token is known");
        };
        let challenge = match process_number() {
            Ok(number) => number.to_string(),
            Err(error) => return Finding::skipped(HANDSHAKE, error.to_string()),
        };
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("hub.mode", "subscribe")
            .append_pair("hub.verify_token", token.expose_secret())
            .append_pair("hub.challenge", &challenge);
        judge_handshake(&self.answer(self.http.get(url)).await, &challenge)
    }

    async fn signed(&self, app_secrets: &[SecretString]) -> Finding {
        if app_secrets.is_empty() {
            return Finding::skipped(SIGNED, "no app secret is known");
        }
        let mut finding = Finding::good(SIGNED, "taken, whichever secret signs it");
        for secret in app_secrets {
            finding = judge_signed(&self.post(secret).await);
            if finding.do_this.is_some() {
                break;
            }
        }
        finding
    }

    async fn forged(&self) -> Finding {
        let made_up = match process_number() {
            Ok(number) => SecretString::from(format!("{number:016x}")),
            Err(error) => return Finding::skipped(FORGED, error.to_string()),
        };
        judge_forged(&self.post(&made_up).await)
    }

    async fn post(&self, secret: &SecretString) -> Result<Answer, String> {
        let post = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sign(secret, PROBE.as_bytes()))
            .body(PROBE);
        self.answer(post).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        // Its errors name the URL, which holds the verify token.
        let said = |error: reqwest::Error| {
            let error = error.without_url();
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        };
        let answer = request.send().await.map_err(said)?;
        let status = answer.status();
        Ok(Answer { status, body: answer.text().await.map_err(said)? })
    }
}

fn unanswered(check: &'static str, error: &str) -> Finding {
    Finding::wrong(
        check,
        format!("the webhook cannot be reached: {error}"),
        "is SPILLWAY_WEBHOOK_URL the stack's output WebhookUrl, and is the function there?",
    )
}

/// An answer that none of the checks expects.
fn unexpected(check: &'static str, status: StatusCode) -> Finding {
    let (said, do_this) = match status {
        StatusCode::SERVICE_UNAVAILABLE => ("it has no app secret to check with", STORE_IT),
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => (
            "something before the function refuses it",
            "the function's URL must be open to all (AuthType NONE), and SPILLWAY_WEBHOOK_URL its own",
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            "Lambda throttles it",
            "raise the account's concurrency, or WebhookReservedConcurrency",
        ),
        _ => ("it fails", "look at the log of the webhook function"),
    };
    Finding::wrong(check, format!("{said} (status {})", status.as_u16()), do_this)
}

fn judge_handshake(answer: &Result<Answer, String>, challenge: &str) -> Finding {
    match answer {
        Err(error) => unanswered(HANDSHAKE, error),
        Ok(Answer { status: StatusCode::OK, body }) if body == challenge => {
            Finding::good(HANDSHAKE, "the verify token is taken and the challenge echoed")
        }
        Ok(Answer { status: StatusCode::OK, .. }) => Finding::wrong(
            HANDSHAKE,
            "something else answers than the webhook: the challenge does not come back",
            "is SPILLWAY_WEBHOOK_URL the stack's output WebhookUrl?",
        ),
        Ok(Answer { status: StatusCode::FORBIDDEN, .. }) => Finding::wrong(
            HANDSHAKE,
            "the verify token is refused",
            "the function must read the secret that the deployment file names; one that was changed \
             within the last minute is read a minute later",
        ),
        Ok(Answer { status, .. }) => unexpected(HANDSHAKE, *status),
    }
}

fn judge_signed(answer: &Result<Answer, String>) -> Finding {
    match answer {
        Err(error) => unanswered(SIGNED, error),
        Ok(Answer { status: StatusCode::OK, .. }) => {
            Finding::good(SIGNED, "taken, whichever secret signs it")
        }
        Ok(Answer { status: StatusCode::UNAUTHORIZED, .. }) => Finding::wrong(
            SIGNED,
            "the webhook refuses what this app secret signs",
            "the function must read the secret that the deployment file names; one that was changed \
             within the last minute is read a minute later",
        ),
        Ok(Answer { status, .. }) => unexpected(SIGNED, *status),
    }
}

fn judge_forged(answer: &Result<Answer, String>) -> Finding {
    match answer {
        Err(error) => unanswered(FORGED, error),
        Ok(Answer { status: StatusCode::UNAUTHORIZED, .. }) => {
            Finding::good(FORGED, "refused, since no app secret has signed it")
        }
        Ok(Answer { status: StatusCode::OK, .. }) => Finding::wrong(
            FORGED,
            "what anybody sends is taken",
            "this is not Spillway's webhook, or a broken one: stop it (reserved concurrency 0) and \
             deploy again",
        ),
        Ok(Answer { status, .. }) => unexpected(FORGED, *status),
    }
}

#[cfg(test)]
mod tests {
    use spillway_service::port::FailureKind;

    use super::super::finding::Verdict::{self, Good, Skipped, Wrong};
    use super::*;

    fn verdict(judge: fn(&Result<Answer, String>) -> Finding, status: u16) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        judge(&Ok(Answer { status, body: String::new() })).verdict
    }

    #[test]
    fn only_what_is_signed_may_be_taken() {
        let signed = [200, 401, 403, 500, 503].map(|status| verdict(judge_signed, status));
        assert_eq!(signed, [Good, Wrong, Wrong, Wrong, Wrong]);
        let forged = [401, 200, 403, 500, 503].map(|status| verdict(judge_forged, status));
        assert_eq!(forged, [Good, Wrong, Wrong, Wrong, Wrong]);
        assert_eq!(judge_forged(&Err("refused".into())).verdict, Wrong);
    }

    #[test]
    fn the_challenge_must_come_back_as_it_is() {
        let verdict = |status: StatusCode, body: &str| {
            judge_handshake(&Ok(Answer { status, body: body.into() }), "17").verdict
        };
        assert_eq!(verdict(StatusCode::OK, "17"), Good);
        assert_eq!(verdict(StatusCode::OK, "<p>17</p>"), Wrong);
        assert_eq!(verdict(StatusCode::FORBIDDEN, "17"), Wrong);
        assert_eq!(verdict(StatusCode::NOT_FOUND, ""), Wrong);
    }

    #[test]
    fn a_stored_secret_is_judged_by_what_it_lacks() {
        let parsed = |text: &str| stored(&Secrets::parse(&SecretString::from(text))).verdict;
        assert_eq!(parsed(r#"{"app_secrets":["a"],"verify_tokens":["v"]}"#), Good);
        assert_eq!(parsed(r#"{"app_secrets":[],"verify_tokens":["v"]}"#), Wrong);
        assert_eq!(parsed("{}"), Wrong);
        let unseen = |kind| {
            let source = Failure { kind, ..Failure::other("no") };
            stored(&Err(SecretsError::Unavailable { id: "s".into(), source })).verdict
        };
        assert_eq!(unseen(FailureKind::Forbidden), Skipped);
        assert_eq!(unseen(FailureKind::Missing), Wrong);
    }
}
