//! Whom a deployment lets in, of those whom its issuer knows.

use serde::{Deserialize, Serialize};

/// The most rules that there may be.
const RULES_MAX: usize = 200;

/// The most bytes of a group's name.
const GROUP_BYTES_MAX: usize = 256;

/// A list of e-mail addresses, domains and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// Who has this address.
    Email(String),
    /// Who has an address of exactly this domain.
    Domain(String),
    /// Who is in this group.
    Group(String),
}

/// What is remembered of somebody to know whether they are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Membership {
    /// Their address, if the issuer has verified it.
    pub(super) email: Option<String>,
    /// The first of their groups that was allowed when they signed in. A cookie has no room for all.
    pub(super) group: Option<String>,
}

impl Allowed {
    /// Reads rules with commas between them: `ana@example.com`, `@example.com`, `group:NAME`. Capitals
    /// of addresses do not matter, those of groups do.
    ///
    /// # Errors
    /// Names what is no rule. None at all is an error too: it would let nobody in.
    pub fn parse(text: &str) -> Result<Self, String> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let rules: Vec<Rule> = texts.map(Rule::parse).collect::<Result<_, _>>()?;
        match rules.len() {
            0 => Err("it allows nobody".into()),
            1..=RULES_MAX => Ok(Self(rules)),
            many => Err(format!("it has {many} rules, and {RULES_MAX} are taken")),
        }
    }

    /// Whether somebody may look.
    pub(super) fn has(&self, somebody: &Membership) -> bool {
        self.0.iter().any(|rule| match (rule, &somebody.email) {
            (Rule::Email(allowed), Some(email)) => email.eq_ignore_ascii_case(allowed),
            (Rule::Domain(allowed), Some(email)) => {
                email.rsplit_once('@').is_some_and(|(_, own)| own.eq_ignore_ascii_case(allowed))
            }
            (Rule::Group(allowed), _) => somebody.group.as_ref() == Some(allowed),
            (Rule::Email(_) | Rule::Domain(_), None) => false,
        })
    }

    /// Returns the first group that a rule names.
    pub(super) fn first_of(&self, groups: Vec<String>) -> Option<String> {
        let is_named = |group: &String| self.0.contains(&Rule::Group(group.clone()));
        groups.into_iter().find(is_named)
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no e-mail address, no `@domain` and no `group:NAME`");
        if let Some(group) = text.strip_prefix("group:") {
            let group = group.trim();
            let is_name = (1..=GROUP_BYTES_MAX).contains(&group.len());
            return if is_name { Ok(Self::Group(group.into())) } else { Err(wrong()) };
        }
        let (name, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
        let is_domain = !domain.is_empty()
            && domain.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-');
        match name {
            _ if !is_domain => Err(wrong()),
            "" => Ok(Self::Domain(domain.into())),
            _ if is_email(text) => Ok(Self::Email(text.into())),
            _ => Err(wrong()),
        }
    }
}

/// Whether a text can be an address that stands for its owner in rules and journals: short, visible, and
/// with one `@`.
pub(super) fn is_email(text: &str) -> bool {
    let one_at = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    one_at && text.len() <= 254 && text.bytes().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(email: &str) -> Membership {
        Membership { email: Some(email.into()), group: None }
    }

    #[test]
    fn addresses_domains_and_groups_let_in() {
        let allowed = Allowed::parse("Ana@example.com, @team.example,group:Ops ").unwrap();
        for email in ["ana@example.com", "ANA@Example.com", "bo@team.example"] {
            assert!(allowed.has(&of(email)), "{email}");
        }
        for email in [
            "bo@example.com",
            "ana@example.com.evil.example",
            "bo@sub.team.example",
            "bo@evilteam.example",
            "Ops",
        ] {
            assert!(!allowed.has(&of(email)), "{email}");
        }
        let first = allowed.first_of(vec!["ops".into(), "Ops".into(), "other".into()]);
        assert_eq!(first.as_deref(), Some("Ops"));
        assert!(allowed.has(&Membership { email: None, group: first }));
        assert!(!allowed.has(&Membership { email: None, group: Some("ops".into()) }));
        assert!(!allowed.has(&Membership { email: None, group: None }));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for (text, named) in [
            ("", "nobody"),
            (" , ", "nobody"),
            ("ana@example.com,ana", "`ana`"),
            ("@", "`@`"),
            ("group:", "`group:`"),
            ("*@example.com@x y", "`*@example.com@x y`"),
            ("a@b@example.com", "`a@b@example.com`"),
        ] {
            let error = Allowed::parse(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
