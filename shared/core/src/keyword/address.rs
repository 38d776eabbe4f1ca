//! URLs, e-mail addresses and mentions within a comment. A keyword never matches a part of one: who
//! mentions `@guide` does not ask for a guide.

use std::ops::Range;

use linkify::{LinkFinder, LinkKind};

/// The top-level domains of the root zone in October 2026 that are ASCII, sorted.
const TOP_LEVEL_DOMAINS: &str = include_str!("top_level_domains.txt");

/// Finds the addresses in a text, first to last. A mention comes with its `@`.
pub(super) fn addresses(text: &str) -> Vec<Range<usize>> {
    let has_link = text.contains('.') || text.contains(':');
    let has_name = text.contains('@');
    if !has_link && !has_name {
        return Vec::new();
    }
    let mut finder = LinkFinder::new();
    finder.url_must_have_scheme(false);
    let links = finder.links(text).filter(|link| match link.kind() {
        LinkKind::Url => is_url(link.as_str()),
        _ => true,
    });
    let mut found: Vec<_> = links.map(|link| link.start()..link.end()).collect();
    if has_name {
        let free = |at| !found.iter().any(|link: &Range<usize>| link.contains(&at));
        let names: Vec<_> = user_names(text).filter(|name| free(name.start)).collect();
        found.extend(names);
        found.sort_unstable_by_key(|address| address.start);
    }
    found
}

/// Returns how many URLs a text has.
pub(crate) fn urls(text: &str) -> usize {
    let mut finder = LinkFinder::new();
    finder.url_must_have_scheme(false).kinds(&[LinkKind::Url]);
    finder.links(text).filter(|link| is_url(link.as_str())).count()
}

/// Whether what looks like a URL is one. `link.please` is two words: a URL has a scheme, begins
/// with `www.`, or has a path or query after a top-level domain.
fn is_url(text: &str) -> bool {
    if text.contains("://") || text.get(..4).is_some_and(|www| www.eq_ignore_ascii_case("www.")) {
        return true;
    }
    let Some((host, _)) = text.split_once(['/', '?']) else { return false };
    let Some((_, domain)) = host.rsplit_once('.') else { return false };
    TOP_LEVEL_DOMAINS.lines().any(|known| known.eq_ignore_ascii_case(domain))
}

/// Finds the user names that are mentioned with `@`, which is in the range.
fn user_names(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.match_indices('@').filter_map(|(at, _)| {
        if text[..at].ends_with(char::is_alphanumeric) {
            return None;
        }
        let after = &text[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        let name = &after[..after.find(|c| !is_name(c)).unwrap_or(after.len())];
        let name = name.trim_end_matches(['.', '_']);
        (!name.is_empty()).then(|| at..at + 1 + name.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        addresses(text).into_iter().map(|at| &text[at]).collect()
    }

    #[test]
    fn a_url_has_a_scheme_or_www_or_a_path() {
        for (text, url) in [
            ("see https://example.com/link.", "https://example.com/link"),
            ("www.example.com", "www.example.com"),
            ("(Example.COM/Link)", "Example.COM/Link"),
            ("bit.ly/guide now", "bit.ly/guide"),
            ("example.com?ref=guide", "example.com?ref=guide"),
        ] {
            assert_eq!(found(text), [url]);
        }
    }

    #[test]
    fn words_joined_by_a_stop_are_no_url() {
        for text in ["link.please", "link.please/now", "yes/no", "3.5", "wait...what", "link.bio"] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn mail_and_names() {
        assert_eq!(found("link@example.com or @free.guide_."), ["link@example.com", "@free.guide"]);
        assert!(found("@ me").is_empty());
    }

    #[test]
    fn the_list_of_domains_is_sorted() {
        assert!(TOP_LEVEL_DOMAINS.lines().is_sorted());
        assert!(TOP_LEVEL_DOMAINS.lines().any(|domain| domain == "com"));
    }
}
