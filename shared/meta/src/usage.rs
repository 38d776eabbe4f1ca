//! How full Meta says the limits are, and how long it asks to be left alone: the headers of an
//! answer.
//!
//! Meta documents `X-App-Usage` and `X-Business-Use-Case-Usage` (Graph API rate limits, 2026),
//! sends them only "once enough calls have been made", and does not say whether graph.instagram.com
//! sends them with messages at all: a pause must never depend on them, and one that is absent says
//! nothing. `Retry-After` is not documented and is honoured if it is there.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::json::{self, Object};

/// The longest pause that is believed.
pub const REGAIN_ACCESS_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const APP_USAGE: &str = "x-app-usage";
const BUSINESS_USAGE: &str = "x-business-use-case-usage";

/// The longest value of a header that is read, in bytes. Meta puts up to 32 objects into one, which
/// is a tenth of this.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The figures of an object of either header, each in percent of its limit. Whichever is the
/// highest throttles first.
const FIGURES: [&str; 3] = ["call_count", "total_time", "total_cputime"];

/// The business use cases whose limits our calls count towards. Meta tells those of advertising and
/// others in the same header, where one token may do both; they neither slow nor stop a message.
const OUR_USE_CASES: [&str; 3] = ["instagram", "messenger", "pages"];

/// What the headers of one answer say. What they do not say is `None`, which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How full the app's limit is, over all its accounts: the highest figure of `X-App-Usage`.
    pub app: Option<Percent>,
    /// How full the account's limits are: the highest figure of `X-Business-Use-Case-Usage` over
    /// the use cases `instagram`, `messenger` and `pages`, and where none is named.
    pub account: Option<Percent>,
    /// The longest pause asked for: `estimated_time_to_regain_access` of the same use cases, or
    /// `Retry-After` in seconds (one that is a date is ignored). Above zero, at most
    /// [`REGAIN_ACCESS_MAX`].
    pub regain: Option<Duration>,
}

impl Usage {
    /// Reads the headers of an answer. Every value is taken: what cannot be read is left out.
    pub fn read(headers: &HeaderMap) -> Self {
        let app =
            texts(headers, APP_USAGE).filter_map(Object::parse).filter_map(|app| highest(&app));
        let limits: Vec<Object<'_>> =
            texts(headers, BUSINESS_USAGE).flat_map(limits).filter(is_ours).collect();
        let retry_after =
            texts(headers, RETRY_AFTER.as_str()).filter_map(json::number::<u64>).map(|s| s as f64);
        Self {
            app: app.max(),
            account: limits.iter().filter_map(highest).max(),
            regain: limits
                .iter()
                .filter_map(regain_secs)
                .chain(retry_after)
                .filter_map(pause)
                .max(),
        }
    }
}

/// A share of a limit in whole percent, rounded up, from 0 to [`Percent::MAX`]: at 100 Meta
/// throttles, and a caller that does not stop is told more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u16);

impl Percent {
    /// The highest that is told apart.
    pub const MAX: Self = Self(1000);

    /// A share, at most [`MAX`](Self::MAX).
    pub const fn new(percent: u16) -> Self {
        if percent < Self::MAX.0 { Self(percent) } else { Self::MAX }
    }

    /// The percent.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Meta writes whole numbers; others were seen.
    fn from_figure(figure: f64) -> Option<Self> {
        // The cast saturates.
        (figure >= 0.0).then(|| Self::new(figure.ceil() as u16))
    }
}

/// The values of a header that may come more than once.
fn texts<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> + use<'h> {
    headers.get_all(name).iter().filter_map(text)
}

fn text(value: &HeaderValue) -> Option<&str> {
    let bytes = value.as_bytes();
    let text = (bytes.len() <= HEADER_BYTES_MAX).then(|| std::str::from_utf8(bytes).ok());
    text.flatten().map(str::trim)
}

/// The header is an object of lists of objects. One business may come twice, as in Meta's example.
fn limits(usage: &str) -> Vec<Object<'_>> {
    let Some(businesses) = Object::parse(usage) else { return Vec::new() };
    businesses.values().filter_map(json::array).flatten().filter_map(Object::parse).collect()
}

fn is_ours(limit: &Object<'_>) -> bool {
    limit.text("type").is_none_or(|kind| OUR_USE_CASES.contains(&kind.as_str()))
}

fn highest(limit: &Object<'_>) -> Option<Percent> {
    FIGURES.iter().filter_map(|figure| limit.number(figure).and_then(Percent::from_figure)).max()
}

fn regain_secs(limit: &Object<'_>) -> Option<f64> {
    limit.number::<f64>("estimated_time_to_regain_access").map(|minutes| minutes * 60.0)
}

fn pause(secs: f64) -> Option<Duration> {
    let believed = secs.min(REGAIN_ACCESS_MAX.as_secs_f64());
    (secs > 0.0).then(|| Duration::from_secs_f64(believed)).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests;
