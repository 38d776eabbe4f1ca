//! Values as the command line names them: ids, notes, times and numbers. What is refused here is a
//! mistake of the command line (exit code 2), and is told with the option's name.

use std::time::Duration;

use jiff::civil::DateTime;
use reqwest::Url;
use spillway_core::hold::REASON_BYTES_MAX;
use spillway_core::id::{AccountId, CampaignId, MediaId, RecipientId};
use spillway_service::accounts_file::is_number;

/// Reads an account's id.
pub(crate) fn account(text: &str) -> Result<AccountId, String> {
    let known_as = "the number that webhooks carry (`user_id`, not `id`, and no name)";
    number(text).map(AccountId::new).ok_or_else(|| format!("an account's id is {known_as}"))
}

/// Reads the id of a post, Reel or broadcast.
pub(crate) fn media(text: &str) -> Result<MediaId, String> {
    let known_as = "the number that the API gives, not a link or a short code";
    number(text).map(MediaId::new).ok_or_else(|| format!("a media id is {known_as}"))
}

/// Reads a person's id.
pub(crate) fn person(text: &str) -> Result<RecipientId, String> {
    let known_as = "the number that webhooks carry (`from.id`), and no name";
    number(text).map(RecipientId::new).ok_or_else(|| format!("a person's id is {known_as}"))
}

fn number(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| is_number(text))
}

/// Reads the id of an Instagram app.
pub(crate) fn app_id(text: &str) -> Result<String, String> {
    let known_as = "its number (App Dashboard, Instagram, API setup with Instagram login)";
    number(text).map(str::to_owned).ok_or_else(|| format!("an app's id is {known_as}"))
}

/// Reads a redirect URI of an app, letter for letter.
pub(crate) fn redirect_uri(text: &str) -> Result<String, String> {
    let is_https = Url::parse(text).is_ok_and(|url| url.scheme() == "https");
    is_https.then(|| text.to_owned()).ok_or_else(|| "write an https:// address".into())
}

/// Reads a campaign's id. One that is stored may be of an earlier version, with looser rules.
pub(crate) fn campaign(text: &str) -> Result<CampaignId, String> {
    let is_said = !text.trim().is_empty();
    is_said.then(|| CampaignId::new(text)).ok_or_else(|| "a campaign's id is not empty".into())
}

/// Reads the note of a hold.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    if text.len() > REASON_BYTES_MAX {
        return Err(format!("it has {} bytes, and at most {REASON_BYTES_MAX} fit", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character: write one line of text".into());
    }
    Ok(text.to_owned())
}

/// Reads a length of time such as `90s`, `30m`, `2h` or `1d`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    spillway_core::span::parse(text)
        .filter(|span| !span.is_zero() && *span <= Duration::from_secs(365 * 86_400))
        .ok_or_else(|| {
            "write a time such as 90s, 30m, 48h or 7d, above 0 and at most 365d".to_owned()
        })
}

/// Reads how many things are listed at most.
pub(crate) fn limit(text: &str) -> Result<usize, String> {
    let limit = number_to(1_000_000, text)?;
    usize::try_from(limit).map_err(|error| error.to_string())
}

/// Reads a number from 1 to `most`.
pub(crate) fn number_to(most: u32, text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {most}"))
}

/// Reads a date and time by a clock that is named elsewhere.
pub(crate) fn local_time(text: &str) -> Result<DateTime, String> {
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"];
    let read = forms.iter().find_map(|form| DateTime::strptime(form, text.trim()).ok());
    read.filter(|at| (2000..=2100).contains(&at.year())).ok_or_else(|| {
        "write a date and time such as 2026-11-27T18:00, without a zone, from 2000 to 2100".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers() {
        assert_eq!(account(" 178 ").unwrap().as_str(), "178");
        for text in ["", "@creator", "17841400000000001.", "-1", "178 9", &"1".repeat(33)] {
            assert!(account(text).unwrap_err().contains("`user_id`"), "{text}");
            assert!(media(text).is_err() && person(text).is_err(), "{text}");
        }
        assert!(campaign(" ").is_err());
        assert_eq!(campaign("--json").unwrap().as_str(), "--json");
    }

    #[test]
    fn a_note_fits_and_is_one_line() {
        assert_eq!(reason(&"x".repeat(120)).unwrap().len(), 120);
        assert_eq!(reason(&"x".repeat(121)).unwrap_err(), "it has 121 bytes, and at most 120 fit");
        assert!(reason("a\nb").is_err());
    }

    #[test]
    fn times_and_numbers_have_a_range() {
        assert_eq!(span("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(span("1d"), Ok(Duration::from_secs(86_400)));
        assert!(["0", "-1", "1000001", "many"].iter().all(|text| limit(text).is_err()));
        assert_eq!((limit("1"), limit("1000000")), (Ok(1), Ok(1_000_000)));
        assert!(["", "2", "-2h", "0s", "9999h"].iter().all(|text| span(text).is_err()));
    }

    #[test]
    fn a_time_of_the_clock_has_no_zone() {
        for text in ["2026-11-27T18:00", "2026-11-27 18:00", "2026-11-27T18:00:00"] {
            assert_eq!(local_time(text).unwrap(), jiff::civil::date(2026, 11, 27).at(18, 0, 0, 0));
        }
        for text in [
            "tomorrow",
            "2026-11-27",
            "18:00",
            "2026-11-27T18:00Z",
            "2026-11-27T18:00+05:30",
            "2026-11-27T18:00[Asia/Tokyo]",
            "2026-13-01T00:00",
            "2026-11-27T25:00",
            "1969-12-31T23:59",
            "9999-12-31T23:59",
            "",
        ] {
            assert!(local_time(text).is_err(), "{text}");
        }
    }
}
