//! The viral Reel as webhook deliveries: signed bodies at instants, drawn from a seed.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use spillway_core::id::{AccountId, MediaId};
use spillway_core::time::Timestamp;
use spillway_graph::{Comment, Surface, Words, username};

use crate::driver::Delivery;

/// The Reel of the story.
pub const REEL: &str = "17900000000000001";

/// Texts that match the campaign of the example file, in several scripts and moods.
const WANTED: [&str; 10] = [
    "GUIDE",
    "guide please!",
    "Guide 🔥🔥",
    "the guide, thank you",
    "quiero la GUÍA",
    "guía por favor 🙏",
    "link?",
    "Link please 😍",
    "can I get the link",
    "ＬＩＮＫ",
];

/// Texts that do not.
const UNWANTED: [&str; 5] = ["so good!", "😂😂😂", "guidelines?", "first", "linked in bio"];

/// What the trace is drawn for.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The account.
    pub account: AccountId,
    /// Comments that the campaign wants, each by another person.
    pub comments: u32,
    /// The time in which they are written.
    pub span: Duration,
    /// How they lie in it.
    pub arrivals: Arrivals,
    /// When the first is.
    pub start: Timestamp,
    /// What they are written under.
    pub media: MediaId,
    /// The first comment's number, from which its id and its author's are made.
    pub first: u32,
    /// What everything is drawn from.
    pub seed: u64,
}

/// How comments lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Most early, as on a Reel that spreads.
    Viral,
    /// Evenly.
    Even,
}

/// A comment, with what it says.
#[derive(Clone, Debug)]
pub struct Said {
    /// The comment.
    pub comment: Comment,
    /// What it says.
    pub words: Words,
    /// Whether it must get a DM.
    pub is_wanted: bool,
}

/// What happens.
pub struct Trace {
    /// Every comment, for the simulated Meta to know.
    pub comments: Vec<Said>,
    /// Deliveries, ascending.
    pub deliveries: Vec<Delivery>,
    /// Comments that must each get one DM.
    pub expected: u64,
}

impl Shape {
    /// Comments of a kind that the campaign does not want: that match nothing, or are the account's
    /// own.
    const fn others(&self) -> u32 {
        self.comments / 12
    }

    /// All comments; as many numbers from the first one on are theirs.
    pub const fn total(&self) -> u32 {
        self.comments + 2 * self.others()
    }
}

struct Written {
    at: Timestamp,
    change: Value,
}

impl Trace {
    /// Draws the trace: comments at their instants; some of the account itself,
    /// some that match nothing; batches of all sizes; one in fifteen deliveries repeated, one in
    /// fifteen late and so out of order.
    pub fn draw(shape: &Shape) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(shape.seed);
        let mut comments = Vec::new();
        let mut written = Vec::new();
        for nth in 0..shape.total() {
            let number = shape.first + nth;
            let (author, text) = if nth < shape.comments {
                let text = WANTED[rng.random_range(0..WANTED.len())];
                (format!("52600000{number:08}"), text)
            } else if nth < shape.comments + shape.others() {
                let text = UNWANTED[rng.random_range(0..UNWANTED.len())];
                (format!("52600000{number:08}"), text)
            } else {
                // The account answers under its own Reel, with the very keyword.
                (shape.account.to_string(), "the guide is on its way, check your DMs")
            };
            let id = format!("1789{number:013}");
            let part: f64 = match shape.arrivals {
                Arrivals::Viral => rng.random::<f64>() * rng.random::<f64>(),
                Arrivals::Even => rng.random(),
            };
            let at = shape.start + shape.span.mul_f64(part);
            let name = if author == shape.account.as_str() {
                username(&shape.account)
            } else {
                format!("viewer.{number}")
            };
            comments.push(Said {
                comment: Comment {
                    id: id.as_str().into(),
                    account: shape.account.clone(),
                    media: shape.media.clone(),
                    author: author.as_str().into(),
                    created_at: at,
                    surface: Surface::Post,
                },
                words: Words { text: text.to_owned(), username: Some(name.clone()) },
                is_wanted: nth < shape.comments,
            });
            let change = json!({
                "from": { "id": author, "username": name },
                "media": { "id": shape.media.as_str(), "media_product_type": "REELS" },
                "id": id,
                "text": text,
            });
            written.push(Written { at, change });
        }
        written.sort_by_key(|comment| comment.at);
        let deliveries = Self::batch(shape, &mut rng, &written);
        Self { comments, deliveries, expected: u64::from(shape.comments) }
    }

    fn batch(shape: &Shape, rng: &mut ChaCha8Rng, written: &[Written]) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let mut rest = written;
        while let Some(first) = rest.first() {
            // Mostly a few, now and then as many as came in seconds; never held back for long.
            let most = if rng.random_bool(0.1) { 120 } else { 6 };
            let wanted = rng.random_range(1..=most);
            let together = rest
                .iter()
                .take(wanted)
                .take_while(|comment| comment.at.since(first.at) < Duration::from_secs(5))
                .count();
            let (batch, behind) = rest.split_at(together);
            rest = behind;
            let last = batch.last().map_or(first.at, |comment| comment.at);
            let delay = if rng.random_bool(1.0 / 15.0) {
                rng.random_range(20_000..90_000)
            } else {
                rng.random_range(200..2500)
            };
            let at = last + Duration::from_millis(delay);
            let body = Self::body(shape, rng, batch, at);
            if rng.random_bool(1.0 / 15.0) {
                let later = Duration::from_millis(rng.random_range(100..240_000));
                deliveries.push(Delivery { at: at + later, body: body.clone() });
            }
            deliveries.push(Delivery { at, body });
        }
        deliveries.sort_by_key(|delivery| delivery.at);
        deliveries
    }

    fn body(shape: &Shape, rng: &mut ChaCha8Rng, batch: &[Written], at: Timestamp) -> Vec<u8> {
        let changes: Vec<Value> = batch
            .iter()
            .map(|comment| json!({ "field": "comments", "value": comment.change }))
            .collect();
        let mut entries = vec![json!({
            "id": shape.account.as_str(),
            "time": at.as_secs(),
            "changes": changes,
        })];
        // Other fields come along, since subscriptions are all or nothing.
        if rng.random_bool(0.05) {
            entries.push(json!({
                "id": shape.account.as_str(),
                "time": at.as_millis(),
                "messaging": [{
                    "sender": { "id": "526000000000001" },
                    "recipient": { "id": shape.account.as_str() },
                    "timestamp": at.as_millis(),
                    "read": { "mid": "m" },
                }],
            }));
        }
        escaped(&json!({ "object": "instagram", "entry": entries }).to_string()).into_bytes()
    }
}

/// JSON as Meta writes it: ASCII only, slashes escaped.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '/' => out.push_str("\\/"),
            c if c.is_ascii() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_trace() {
        let shape = Shape {
            account: "17841400000000001".into(),
            comments: 300,
            span: Duration::from_secs(600),
            arrivals: Arrivals::Viral,
            start: Timestamp::from_secs(1_790_000_000),
            media: REEL.into(),
            first: 0,
            seed: 7,
        };
        let bodies = |shape: &Shape| -> Vec<Vec<u8>> {
            Trace::draw(shape).deliveries.into_iter().map(|delivery| delivery.body).collect()
        };
        assert_eq!(bodies(&shape), bodies(&shape));
        assert_ne!(bodies(&shape), bodies(&Shape { seed: 8, ..shape }));
    }

    #[test]
    fn bodies_are_written_as_meta_does() {
        assert_eq!(escaped(r#"{"t":"ä 😀 a/b"}"#), r#"{"t":"\u00e4 \ud83d\ude00 a\/b"}"#);
    }
}
