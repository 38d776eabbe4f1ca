//! The frame of every page, and the parts that pages share.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest, Sha256};
use spillway_core::id::AccountId;
use spillway_core::load::Headroom;
use spillway_core::quota::QuotaId;
use spillway_core::status::{Condition, State, Why};
use spillway_service::admin::overview::Overview;

use crate::Console;
use crate::access::sign_in::SIGN_OUT;
use crate::access::{ASSETS, FORM_TOKEN, Visitor, Way};
use crate::answer::Fault;

/// The style sheet.
const STYLES: &str = include_str!("../assets/console.css");

/// Its name, by its content: a browser keeps it for as long as it likes.
static STYLES_NAME: LazyLock<String> = LazyLock::new(|| {
    let hash = hex::encode(Sha256::digest(STYLES));
    format!("console-{}.css", &hash[..12])
});

/// Gives the style sheet.
pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response, Fault> {
    if name != *STYLES_NAME {
        return Err(Fault::NotFound("There is no such file.".into()));
    }
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, STYLES).into_response())
}

/// What a page is framed by.
#[derive(Default)]
pub(crate) struct Frame<'a> {
    /// What it is about, as its heading.
    pub(crate) title: &'a str,
    /// The account that it is about, and which of its pages it is.
    pub(crate) account: Option<(&'a AccountId, &'a str)>,
    /// Seconds after which the browser looks again.
    pub(crate) refresh: Option<u64>,
    /// What was just done.
    pub(crate) done: Option<&'static str>,
}

/// An account's pages: what follows its address, and what they are called.
const OF_ACCOUNT: [(&str, &str); 6] = [
    ("", "Status"),
    ("/campaigns", "Campaigns"),
    ("/outcomes", "Outcomes"),
    ("/sends", "Sends"),
    ("/misses", "No match"),
    ("/events", "Events"),
];

/// Frames a page.
pub(crate) fn page(console: &Console, frame: &Frame<'_>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = frame.refresh { meta http-equiv="refresh" content=(seconds); }
                title { (frame.title) " · Spillway" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href={ (ASSETS) (*STYLES_NAME) };
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    @if let Some(visitor) = &console.visitor {
                        p.brand { a href="/" { "Spillway" } " " span.dim { (console.shown.deployment) } }
                        nav aria-label="Console" {
                            a href="/" { "Accounts" }
                            a href="/plan" { "Plan a viral day" }
                            a href="/compare" { "Compare a file" }
                        }
                        @if visitor.way == Way::SignIn { (signed_in(console, visitor)) }
                    } @else {
                        p.brand { "Spillway" }
                    }
                }
                @if let Some(notice) = console.shown.notice { p.notice { (notice) } }
                @if let Some((account, here)) = frame.account {
                    nav.tabs aria-label={ "Account " (account) } {
                        span.dim { "Account " (account) }
                        @for (path, name) in OF_ACCOUNT {
                            a href={ (address(account)) (path) } aria-current=[(name == here).then_some("page")] {
                                (name)
                            }
                        }
                    }
                }
                main id="main" tabindex="-1" {
                    @if let Some(done) = frame.done { p.done role="status" { (done) } }
                    h1 { (frame.title) }
                    (body)
                }
            }
        }
    }
}

/// Who is signed in, and their way out.
fn signed_in(console: &Console, visitor: &Visitor) -> Markup {
    let out = html! { span.dim { "Signed in as " (visitor.operator) } " " };
    html! { div.visitor { (button(console, SIGN_OUT, "Sign out", &out)) } }
}

/// The address of an account's page.
pub(crate) fn address(account: &AccountId) -> String {
    format!("/accounts/{}", segment(account.as_str()))
}

/// A text as one segment of an address.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// A form that does something: a button, with the token that shows that it is this console's.
pub(crate) fn button(console: &Console, action: &str, label: &str, inside: &Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            (token(console))
            (inside)
            button type="submit" { (label) }
        }
    }
}

/// The field that shows that a form is this console's.
pub(crate) fn token(console: &Console) -> Markup {
    html! { input type="hidden" name=(FORM_TOKEN) value=[console.visitor.as_ref().map(Visitor::form_token)]; }
}

/// An account's state as a badge: by its word first, and by its colour, which is red only where
/// somebody has to do something.
pub(crate) fn badge(overview: &Overview) -> Markup {
    let tone = match overview.state() {
        _ if overview.needs_somebody() => "bad",
        State::Healthy => "good",
        _ => "warn",
    };
    let name = overview.worst().map_or_else(|| state_name(State::Healthy), condition_name);
    html! { span class={ "badge " (tone) } { (name) } }
}

/// A condition in the words of a page.
pub(crate) fn condition_name(condition: &Condition) -> &'static str {
    match condition.why {
        Why::NoCampaign => "No campaign",
        _ => state_name(condition.state),
    }
}

/// A state in the words of a page.
fn state_name(state: State) -> &'static str {
    match state {
        State::TokenDead => "Token dead",
        State::Blocked => "Blocked by Meta",
        State::Unsubscribed => "Unsubscribed",
        State::Silent => "No webhooks",
        State::Held => "On hold",
        State::CampaignHeld => "Campaign on hold",
        State::CampaignPaused => "Campaign paused",
        State::TokenExpiring => "Token ends soon",
        State::Slowed => "Slowed",
        State::WarmingUp => "Warming up",
        State::Healthy => "Healthy",
    }
}

/// A quota in the words of a page. Those of a profile of one's own are called as it calls them.
pub(crate) fn quota_name(quota: &QuotaId) -> String {
    let known = match quota.as_str() {
        "calls_hour" => "Calls in an hour",
        "messages_day" => "DMs in a day",
        "messages_second" => "Messages in a second",
        "private_replies_hour" => "Answers to comments in an hour",
        "live_replies_second" => "Answers to a broadcast in a second",
        "recipients_day" => "People in a day",
        "posts_day" => "Posts in a day",
        "follows_hour" => "Follows in an hour",
        "follows_day" => "Follows in a day",
        "velocity" => "DMs in 10 minutes",
        own => own,
    };
    known.to_owned()
}

/// How full a quota is, as a bar. The caller shows the figures beside it. It has one colour: an
/// account that keeps to a limit comes near it, and nobody has to do anything about that.
pub(crate) fn bar(headroom: &Headroom) -> Markup {
    let (used, limit) = (u64::from(headroom.used), u64::from(headroom.limit.get()));
    let percent = (used * 100).div_ceil(limit).min(100);
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="6" {}
            rect.full width=(percent) height="6" {}
        }
    }
}

/// A table that scrolls by itself where it is too wide, also by the keyboard.
pub(crate) fn scrolling(name: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(name) tabindex="0" { (table) } }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use spillway_core::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_in_an_address_cannot_leave_its_segment() {
        assert_eq!(segment("guide-1.~"), "guide-1.~");
        assert_eq!(segment("a/b?c#d e%"), "a%2Fb%3Fc%23d%20e%25");
        assert_eq!(segment("guía"), "gu%C3%ADa");
    }

    #[test]
    fn a_limit_that_is_kept_to_alarms_nobody() {
        let of = |used| Headroom {
            quota: QuotaId::new("calls_hour"),
            limit: NonZeroU32::MIN.saturating_add(199),
            used,
            fits_at: Timestamp::EPOCH,
        };
        for (used, width) in [(0, 0), (10, 5), (198, 99), (200, 100), (230, 100)] {
            let bar = bar(&of(used)).into_string();
            let full = format!("<rect class=\"full\" width=\"{width}\" height=\"6\">");
            assert!(bar.contains(&full) && !bar.contains("bad"), "{used}: {bar}");
        }
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!([0_u32, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_style_sheet_loads_nothing_and_hides_no_focus() {
        assert!(
            !STYLES.contains("url(")
                && !STYLES.contains("@import")
                && !STYLES.contains("outline: none")
        );
        assert!(
            STYLES.contains("prefers-color-scheme: dark")
                && STYLES.contains("prefers-reduced-motion")
        );
    }
}
