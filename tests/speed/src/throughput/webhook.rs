//! What the webhook function does with a delivery before it asks for anything: verify, parse,
//! match.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use spillway_core::campaign::Campaigns;
use spillway_core::time::Timestamp;
use spillway_local::setup::{QuotaOptions, load_accounts};
use spillway_meta::signature::{AppSecrets, sign};
use spillway_meta::webhook::{Event, parse};

use crate::{median_ms, now};

/// Milliseconds in the median.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) comments: usize,
    pub(super) bytes: usize,
    /// Verified, parsed and matched.
    pub(super) all_ms: f64,
    /// Parsed alone.
    pub(super) parse_ms: f64,
    /// The signature alone.
    pub(super) hmac_ms: f64,
    /// The same bytes as JSON of any shape.
    pub(super) json_ms: f64,
}

/// What people write, and whether it asks for the DM.
const TEXTS: [(&str, bool); 6] = [
    ("guide please!", true),
    ("Guide 🔥🔥 I have been waiting for this one all week, thank you so much", true),
    ("quiero la GUÍA", true),
    ("so good!", false),
    ("ＬＩＮＫ", true),
    ("is this for beginners as well? asking for a friend 😂😂", false),
];

pub(super) fn measure(comments: usize, runs: usize, quotas: &QuotaOptions) -> Result<Report> {
    let account = load_accounts(None, quotas)?.swap_remove(0);
    let campaigns = Campaigns::new(account.campaigns);
    let secret = SecretString::from("an app secret");
    let body = delivery(account.id.as_str(), comments);
    let signature = sign(&secret, &body);
    // The one that signs is the second: both are tried.
    let secrets = AppSecrets::new(vec![SecretString::from("another"), secret.clone()]);

    let handle = || -> Option<usize> {
        secrets.verify(Some(&signature), black_box(&body)).ok()?;
        let delivery = parse(&body).ok()?;
        let matched = |event: &&Event| match event {
            Event::Comment(comment) => {
                let media = comment.all_media();
                campaigns.matching(&comment.candidate(&media, Timestamp::NEVER)).is_some()
            }
            Event::Conversation(_) | Event::Echo(_) | Event::Other { .. } => false,
        };
        Some(delivery.events.iter().filter(matched).count())
    };
    let matched = handle().context("the delivery is refused")?;
    let wanted = (0..comments).filter(|nth| TEXTS[nth % TEXTS.len()].1).count();
    ensure!(matched == wanted, "{matched} comments match, not {wanted}");
    Ok(Report {
        comments,
        bytes: body.len(),
        all_ms: time(runs, handle),
        parse_ms: time(runs, || parse(black_box(&body)).is_ok()),
        hmac_ms: time(runs, || sign(&secret, black_box(&body))),
        json_ms: time(runs, || serde_json::from_slice::<Value>(black_box(&body)).is_ok()),
    })
}

fn time<T>(runs: usize, work: impl Fn() -> T) -> f64 {
    let mut times: Vec<Duration> = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = now();
        black_box(work());
        times.push(began.elapsed());
    }
    median_ms(times)
}

/// A delivery of Meta's.
fn delivery(account: &str, comments: usize) -> Vec<u8> {
    let change = |nth: usize| {
        json!({ "field": "comments", "value": {
            "id": format!("1789{nth:013}"),
            "from": { "id": format!("52600000{nth:08}"), "username": format!("viewer_{nth}") },
            "media": { "id": "17900000000000001", "media_product_type": "REELS" },
            "text": TEXTS[nth % TEXTS.len()].0,
        }})
    };
    let changes: Vec<Value> = (0..comments).map(change).collect();
    let entry = json!([{ "id": account, "time": 1_788_800_400, "changes": changes }]);
    json!({ "object": "instagram", "entry": entry }).to_string().into_bytes()
}
