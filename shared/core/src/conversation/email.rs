//! The e-mail address in what a person answers.
//!
//! Two parsers of others do the work: `linkify` finds what may be an address within a text, and
//! `email_address` holds it to the grammar and lengths of RFC 5321 and 5322.

use std::fmt;

use email_address::{EmailAddress, Options};
use linkify::{LinkFinder, LinkKind};
use unicode_normalization::UnicodeNormalization;

/// The longest address, in bytes (RFC 5321, 4.5.3.1.3).
const BYTES_MAX: usize = 254;

/// The longest answer that is looked through, in bytes. A message has 1,000.
const ANSWER_BYTES_MAX: usize = 4000;

/// An e-mail address of a person. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Finds the first address in an answer. Its host is in small letters. Full-width letters and
    /// signs, which keyboards of East Asia write, count as the usual ones.
    pub fn find(answer: &str) -> Option<Self> {
        let answer = answer.get(..ANSWER_BYTES_MAX).unwrap_or(answer);
        if answer.len() > ANSWER_BYTES_MAX {
            return None;
        }
        let answer: String = answer.nfkc().filter(|c| !is_hidden(*c)).collect();
        let mut finder = LinkFinder::new();
        finder.kinds(&[LinkKind::Email]);
        finder.links(&answer).find_map(|found| Self::parse(found.as_str()))
    }

    /// Whether an answer tries to give an address, right or wrong.
    pub fn is_tried(answer: &str) -> bool {
        // The sign, the full-width one, and the small one.
        answer.contains(['@', '\u{ff20}', '\u{fe6b}'])
    }

    fn parse(text: &str) -> Option<Self> {
        let options =
            Options::default().with_required_tld().without_display_text().without_domain_literal();
        if text.len() > BYTES_MAX {
            return None;
        }
        let address = EmailAddress::parse_with_options(text, options).ok()?;
        let (local, domain) = (address.local_part(), address.domain());
        let tld = domain.rsplit('.').next().unwrap_or_default();
        // No top-level domain is a number, and none has one letter.
        let is_tld = tld.chars().count() > 1 && tld.chars().any(char::is_alphabetic);
        is_tld.then(|| Self(format!("{local}@{}", domain.to_lowercase())))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// Marks of direction and joining, which come with pasted text.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(answer: &str) -> Option<String> {
        Email::find(answer).map(|email| email.as_str().to_owned())
    }

    #[test]
    fn a_mistyped_address_is_an_attempt() {
        for answer in ["ana@", "@ example.com", "ana＠example", "ana@@example.com"] {
            assert!(Email::is_tried(answer) && found(answer).is_none(), "{answer}");
        }
        assert!(!Email::is_tried("here it comes"));
    }

    #[test]
    fn an_address_is_found_in_what_people_write() {
        for (answer, address) in [
            ("ana@example.com", "ana@example.com"),
            ("it's Ana.Lima+guide@Mail.Example.COM, thanks!", "Ana.Lima+guide@mail.example.com"),
            ("Mail: <ana@example.com>.", "ana@example.com"),
            ("mailto:ana@example.com", "ana@example.com"),
            ("(ana_lima@example.co.uk)", "ana_lima@example.co.uk"),
            ("ana@@example.com or bo@example.org", "bo@example.org"),
            ("ａｎａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ana@example.com"),
            ("\u{200e}ana@example.com\u{200f}", "ana@example.com"),
            ("zoë@münchen.example", "zoë@münchen.example"),
            ("one@a.example two@b.example", "one@a.example"),
            ("ana@example.com\n\nsent from my phone", "ana@example.com"),
        ] {
            assert_eq!(found(answer).as_deref(), Some(address), "{answer}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_taken_for_one() {
        for answer in [
            "",
            "yes",
            "@ana.lima",
            "ana@example",
            "ana at example.com",
            "ana@example.c",
            "ana@192.168.0.1",
            "ana@[192.168.0.1]",
            "https://example.com/@ana",
            "@example.com",
            "ana@-example.com",
        ] {
            assert_eq!(found(answer), None, "{answer}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        assert_eq!(found(&long), None, "the part before the @ has 64 bytes at most");
        assert_eq!(found(&"é".repeat(3000)), None);
    }

    #[test]
    fn nothing_shows_it_by_accident() {
        assert_eq!(format!("{:?}", Email::find("ana@example.com")), "Some(Email(..))");
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(answer in "[\\PC@.]{0,300}") {
            if let Some(email) = found(&answer) {
                prop_assert!(email.len() <= BYTES_MAX + 64 && email.contains('@'));
            }
        }
    }
}
