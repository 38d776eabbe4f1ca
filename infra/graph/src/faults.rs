//! Faults on demand: what goes wrong with which of the next calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_judge::Action;
use thiserror::Error;

use super::hash;

/// The codes that a throttle may carry.
const THROTTLE_CODES: [u32; 6] = [4, 17, 32, 613, 80002, 80006];

/// Every kind by its name in JSON, with the fields of its own.
const KINDS: [(&str, &[&str]); 17] = [
    ("server_error", &[]),
    ("server_error_after_effect", &[]),
    ("server_error_repeatable", &[]),
    ("no_answer", &[]),
    ("no_answer_before_effect", &[]),
    ("transient", &[]),
    ("throttled", &["code", "regain_minutes"]),
    ("blocked", &[]),
    ("account_unseen", &[]),
    ("link_refused", &[]),
    ("token_dead", &["subcode"]),
    ("permission", &[]),
    ("recipient_unavailable", &[]),
    ("refused", &["code", "subcode", "status", "message", "effect"]),
    ("slow", &["delay_ms"]),
    ("ambiguous", &["effect"]),
    ("usage", &["percent", "app_percent"]),
];

/// The fields that every kind takes.
const COMMON_FIELDS: [&str; 9] =
    ["kind", "account", "comment_id", "person", "action", "count", "for_ms", "probability", "seed"];

/// The names of all kinds of fault.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// An order for something to go wrong. As JSON: `{"kind": "throttled", "code": 4, "count": 3}`.
///
/// The first order that fits a call strikes it; `slow` and `usage` come on top of whatever else
/// strikes. An order without `count`, `for_ms` and `probability` strikes once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Only in calls of this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Only in calls for this comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment_id: Option<CommentId>,
    /// Only in calls that write to this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<RecipientId>,
    /// Only in calls that ask for this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// How many calls it strikes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// For how long after the order it strikes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// How likely it strikes a call that fits. The draw is made of the seed, whom the call is for
    /// and the how-manieth call for them it is, so that calls that race draw the same in any order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The seed of those draws.
    pub seed: u64,
}

impl Fault {
    /// Strikes the next call, any account's.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            account: None,
            comment_id: None,
            person: None,
            action: None,
            count: None,
            for_ms: None,
            probability: None,
            seed: 0,
        }
    }

    /// Strikes `count` calls.
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Strikes for so long after the order.
    pub fn lasting(mut self, span: Duration) -> Self {
        self.for_ms = Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Strikes only this account's calls.
    pub fn for_account(mut self, account: impl Into<AccountId>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Strikes only calls for this comment.
    pub fn for_comment(mut self, comment: impl Into<CommentId>) -> Self {
        self.comment_id = Some(comment.into());
        self
    }

    /// Strikes only calls that write to this person.
    pub fn for_person(mut self, person: impl Into<RecipientId>) -> Self {
        self.person = Some(person.into());
        self
    }

    /// Strikes only calls that ask for this.
    pub fn for_action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Strikes a call that fits with this probability.
    pub fn with_probability(mut self, probability: f64, seed: u64) -> Self {
        self.probability = Some(probability);
        self.seed = seed;
        self
    }

    fn check(&self) -> Result<(), FaultError> {
        let invalid = |why: &str| Err(FaultError::Invalid(why.to_owned()));
        if self.count == Some(0) {
            return invalid("count must be at least 1");
        }
        if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return invalid("probability must lie between 0 and 1");
        }
        match self.kind {
            FaultKind::Throttled { code, .. } if !THROTTLE_CODES.contains(&code) => {
                Err(FaultError::Invalid(format!("code must be one of {THROTTLE_CODES:?}")))
            }
            FaultKind::Usage { percent: None, app_percent: None } => {
                invalid("usage takes percent, app_percent or both")
            }
            FaultKind::Refused { status, .. } if !(400..=599).contains(&status) => {
                invalid("status must lie between 400 and 599")
            }
            _ => Ok(()),
        }
    }
}

impl TryFrom<Value> for Fault {
    type Error = FaultError;

    fn try_from(json: Value) -> Result<Self, FaultError> {
        let fields = json.as_object().ok_or(FaultError::NotAnObject)?;
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
        let (_, own) = KINDS
            .iter()
            .find(|(name, _)| *name == kind)
            .ok_or_else(|| FaultError::UnknownKind(kind.to_owned()))?;
        // A misspelt field would otherwise order something else than was meant.
        let known = |field: &str| COMMON_FIELDS.contains(&field) || own.contains(&field);
        if let Some(field) = fields.keys().find(|field| !known(field)) {
            return Err(FaultError::UnknownField { kind: kind.to_owned(), field: field.clone() });
        }
        let is_needed = |field: &str| match field {
            "delay_ms" | "effect" => true,
            "code" => kind == "refused",
            _ => false,
        };
        let needed = own.iter().filter(|own| is_needed(own));
        if let Some(field) = needed.into_iter().find(|own| !fields.contains_key(**own)) {
            return Err(FaultError::Invalid(format!("{kind} needs {field}")));
        }
        if let Some((field, _)) = fields.iter().find(|(field, value)| !is_taken(field, value)) {
            return Err(FaultError::Invalid(format!("{field} must be {}", wanted(field))));
        }
        let written: Written =
            serde_json::from_value(json).map_err(|error| FaultError::Invalid(error.to_string()))?;
        let fault = Self {
            kind: written.kind,
            account: written.account,
            comment_id: written.comment_id,
            person: written.person,
            action: written.action,
            count: written.count,
            for_ms: written.for_ms,
            probability: written.probability,
            seed: written.seed,
        };
        fault.check()?;
        Ok(fault)
    }
}

/// What the value of a field must be, in words.
fn wanted(field: &str) -> &'static str {
    match field {
        "kind" | "account" | "comment_id" | "person" | "message" => "a string",
        "action" => "the name of an action, such as \"private_reply\" or \"read\"",
        "effect" => "true or false",
        "probability" => "a number between 0 and 1",
        "code" | "subcode" | "percent" | "app_percent" => "a whole number below 4294967296",
        "status" => "the status of an error, such as 400",
        _ => "a whole number, not negative",
    }
}

/// Whether a field can take this value. Null means that the field is absent.
fn is_taken(field: &str, value: &Value) -> bool {
    match field {
        _ if value.is_null() => field != "delay_ms" && field != "effect",
        "kind" | "account" | "comment_id" | "person" | "message" => value.is_string(),
        "action" => serde_json::from_value::<Action>(value.clone()).is_ok(),
        "effect" => value.is_boolean(),
        "probability" => value.is_number(),
        "code" | "subcode" | "percent" | "app_percent" => {
            value.as_u64().is_some_and(|number| u32::try_from(number).is_ok())
        }
        "status" => value.as_u64().is_some_and(|status| u16::try_from(status).is_ok()),
        _ => value.is_u64(),
    }
}

/// A fault as JSON spells it, before it is checked.
#[derive(Deserialize)]
struct Written {
    #[serde(flatten)]
    kind: FaultKind,
    account: Option<AccountId>,
    comment_id: Option<CommentId>,
    person: Option<RecipientId>,
    action: Option<Action>,
    count: Option<u64>,
    for_ms: Option<u64>,
    probability: Option<f64>,
    #[serde(default)]
    seed: u64,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// HTTP 500 with a page instead of the envelope; nothing was sent.
    ServerError,
    /// HTTP 500 with a page; the message was sent. Strikes accepted calls only.
    ServerErrorAfterEffect,
    /// The same, and a repeat for the same comment would be sent, too (seen on 23 August 2026).
    ServerErrorRepeatable,
    /// The connection closes without a byte; the message was sent. Strikes accepted calls only.
    NoAnswer,
    /// The connection closes without a byte; nothing was sent.
    NoAnswerBeforeEffect,
    /// Code 2; nothing was sent.
    Transient,
    /// A limit response.
    Throttled {
        /// 4, 17, 32, 613 (with subcode 2534040), 80002 or 80006.
        #[serde(default = "default_throttle")]
        code: u32,
        /// The time to wait that the usage header names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        regain_minutes: Option<u64>,
    },
    /// 10/1893063: the account may not send for now.
    Blocked,
    /// 190: the token is dead.
    TokenDead {
        /// Why.
        #[serde(default = "default_token_subcode")]
        subcode: u32,
    },
    /// 200: the app lacks a permission.
    Permission,
    /// 100/33 that names the account: its token does not see it.
    AccountUnseen,
    /// 508/2534122: the link in the message is not taken.
    LinkRefused,
    /// 551/1545041: this person cannot be reached now.
    RecipientUnavailable,
    /// Any other error.
    Refused {
        /// Its code.
        code: u32,
        /// Its subcode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subcode: Option<u32>,
        /// The HTTP status.
        #[serde(default = "default_status")]
        status: u16,
        /// What it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Whether what was asked for was done all the same. If so, the fault strikes accepted calls
        /// only.
        effect: bool,
    },
    /// The answer comes late, by a real timer; for use in real time.
    Slow {
        /// How late.
        delay_ms: u64,
    },
    /// 1/1357046: the message may or may not have been sent.
    Ambiguous {
        /// Whether it was. If so, the fault strikes accepted calls only.
        effect: bool,
    },
    /// A normal answer with these percentages in its usage headers.
    Usage {
        /// In `x-business-use-case-usage`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<u32>,
        /// In `x-app-usage`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        app_percent: Option<u32>,
    },
}

fn default_throttle() -> u32 {
    613
}

fn default_token_subcode() -> u32 {
    463
}

fn default_status() -> u16 {
    400
}

/// When in a call's life a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In place of everything.
    BeforeEffect,
    /// In place of the answer to an accepted call.
    AfterEffect,
    /// In the headers of a normal answer.
    Headers,
    /// Before the answer is sent, whatever it is.
    Sending,
}

impl FaultKind {
    fn phase(&self) -> Phase {
        match self {
            Self::ServerErrorAfterEffect
            | Self::ServerErrorRepeatable
            | Self::NoAnswer
            | Self::Refused { effect: true, .. }
            | Self::Ambiguous { effect: true } => Phase::AfterEffect,
            Self::Usage { .. } => Phase::Headers,
            Self::Slow { .. } => Phase::Sending,
            Self::ServerError
            | Self::NoAnswerBeforeEffect
            | Self::Transient
            | Self::Throttled { .. }
            | Self::Blocked
            | Self::TokenDead { .. }
            | Self::Permission
            | Self::AccountUnseen
            | Self::LinkRefused
            | Self::RecipientUnavailable
            | Self::Refused { effect: false, .. }
            | Self::Ambiguous { effect: false } => Phase::BeforeEffect,
        }
    }
}

/// Why an order for a fault is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FaultError {
    /// It is not a JSON object.
    #[error("a fault is a JSON object")]
    NotAnObject,
    /// Its kind does not exist.
    #[error("unknown kind {0:?}")]
    UnknownKind(String),
    /// Its kind does not take this field.
    #[error("{kind} takes no field {field:?}")]
    UnknownField {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
    },
    /// A value is out of range or of the wrong type.
    #[error("{0}")]
    Invalid(String),
}

/// A fault that was ordered and may still strike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The order.
    #[serde(flatten)]
    pub fault: Fault,
    /// When it was ordered, in milliseconds since 1970.
    pub ordered_at_ms: u64,
    /// How many calls it has struck.
    pub struck: u64,
}

impl Standing {
    fn is_over(&self, now: Timestamp) -> bool {
        let once = self.fault.for_ms.is_none() && self.fault.probability.is_none();
        let count = self.fault.count.or(once.then_some(1));
        let spent = count.is_some_and(|count| self.struck >= count);
        let end = self.fault.for_ms.map(|span| self.ordered_at_ms.saturating_add(span));
        spent || end.is_some_and(|end| now.as_millis() >= end)
    }

    fn fits(&self, call: &Struck<'_>) -> bool {
        let fault = &self.fault;
        fault.account.as_ref().is_none_or(|account| account == call.account)
            && fault.comment_id.as_ref().is_none_or(|comment| Some(comment) == call.comment)
            && fault.person.as_ref().is_none_or(|person| Some(person) == call.person)
            && fault.action.is_none_or(|action| action == call.action)
    }

    fn draws(&self, call: &Struck<'_>) -> bool {
        let Some(probability) = self.fault.probability else { return true };
        let kind = format!("{:?}", self.fault.kind);
        let nth = call.nth.to_string();
        let parts = [kind.as_str(), call.account.as_str(), call.subject, &nth];
        hash::fraction(self.fault.seed, &parts) < probability
    }
}

/// A call that a fault may strike.
pub(super) struct Struck<'call> {
    pub(super) now: Timestamp,
    pub(super) account: &'call AccountId,
    pub(super) comment: Option<&'call CommentId>,
    /// Whom it writes to, as far as that is known.
    pub(super) person: Option<&'call RecipientId>,
    pub(super) action: Action,
    /// Whom or what the call is for.
    pub(super) subject: &'call str,
    /// The how-manieth call of the account for that subject.
    pub(super) nth: u64,
}

/// All standing orders, oldest first.
#[derive(Default)]
pub(super) struct Faults {
    standing: Vec<Standing>,
}

impl Faults {
    pub(super) fn order(&mut self, fault: Fault, now: Timestamp) {
        let ordered_at_ms = now.as_millis();
        self.standing.push(Standing { fault, ordered_at_ms, struck: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.standing.clear();
    }

    pub(super) fn standing(&self, now: Timestamp) -> Vec<Standing> {
        self.standing.iter().filter(|standing| !standing.is_over(now)).cloned().collect()
    }

    /// The fault that strikes this call in this phase, if any does.
    pub(super) fn strike(&mut self, phase: Phase, call: &Struck<'_>) -> Option<FaultKind> {
        self.standing.retain(|standing| !standing.is_over(call.now));
        let standing = self.standing.iter_mut().find(|standing| {
            standing.fault.kind.phase() == phase && standing.fits(call) && standing.draws(call)
        })?;
        standing.struck += 1;
        Some(standing.fault.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: Value) -> Result<Fault, FaultError> {
        Fault::try_from(json)
    }

    fn strike(faults: &mut Faults, phase: Phase, millis: u64, subject: &str) -> bool {
        let account = AccountId::new("a");
        let comment = CommentId::new(subject);
        let call = Struck {
            now: Timestamp::from_millis(millis),
            account: &account,
            comment: Some(&comment),
            person: None,
            action: Action::PrivateReply,
            subject,
            nth: 0,
        };
        faults.strike(phase, &call).is_some()
    }

    fn ordered(fault: Fault) -> Faults {
        let mut faults = Faults::default();
        faults.order(fault, Timestamp::EPOCH);
        faults
    }

    #[test]
    fn every_kind_parses_and_round_trips() {
        for kind in kinds() {
            let mut json = json!({ "kind": kind, "count": 2 });
            match kind {
                "slow" => json["delay_ms"] = json!(5),
                "ambiguous" => json["effect"] = json!(true),
                "refused" => {
                    json["code"] = json!(20);
                    json["effect"] = json!(true);
                }
                "usage" => json["percent"] = json!(80),
                _ => {}
            }
            let fault = parse(json).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let again = serde_json::to_value(&fault).unwrap();
            assert_eq!(again["kind"], kind);
            assert_eq!(serde_json::from_value::<Fault>(again).unwrap(), fault);
        }
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        let refused = |json| parse(json).unwrap_err();
        assert_eq!(refused(json!({ "kind": "x" })), FaultError::UnknownKind("x".into()));
        assert_eq!(refused(json!([])), FaultError::NotAnObject);
        let field = refused(json!({ "kind": "blocked", "delay_ms": 1 }));
        assert!(matches!(field, FaultError::UnknownField { .. }), "{field:?}");
        for json in [
            json!({ "kind": "blocked", "count": 0 }),
            json!({ "kind": "blocked", "count": "3" }),
            json!({ "kind": "blocked", "probability": 1.5 }),
            json!({ "kind": "throttled", "code": 5 }),
            json!({ "kind": "slow" }),
            json!({ "kind": "usage" }),
        ] {
            assert!(matches!(refused(json.clone()), FaultError::Invalid(_)), "{json}");
        }
    }

    #[test]
    fn an_order_for_a_person_strikes_what_is_written_to_them() {
        let mut faults = ordered(Fault::new(FaultKind::Blocked).for_person("x"));
        let (account, other, person) = (AccountId::new("a"), "y".into(), "x".into());
        let mut strikes = |person: Option<&RecipientId>| {
            let call = Struck {
                now: Timestamp::EPOCH,
                account: &account,
                comment: None,
                person,
                action: Action::Message,
                subject: "person",
                nth: 0,
            };
            faults.strike(Phase::BeforeEffect, &call).is_some()
        };
        assert!(!strikes(None) && !strikes(Some(&other)) && strikes(Some(&person)));
        assert!(parse(json!({ "kind": "blocked", "person": 5 })).is_err());
    }

    #[test]
    fn an_order_strikes_once_or_as_often_as_told() {
        let mut once = ordered(Fault::new(FaultKind::Blocked));
        assert!(strike(&mut once, Phase::BeforeEffect, 0, "1"));
        assert!(!strike(&mut once, Phase::BeforeEffect, 0, "1"));
        let mut twice = ordered(Fault::new(FaultKind::Blocked).times(2));
        let strikes = (0..4).filter(|_| strike(&mut twice, Phase::BeforeEffect, 0, "1")).count();
        assert_eq!(strikes, 2);
    }

    #[test]
    fn an_order_for_a_time_ends_at_its_end() {
        let mut faults =
            ordered(Fault::new(FaultKind::NoAnswer).lasting(Duration::from_millis(10)));
        assert!(!strike(&mut faults, Phase::BeforeEffect, 0, "1"));
        assert!(strike(&mut faults, Phase::AfterEffect, 0, "1"));
        assert!(strike(&mut faults, Phase::AfterEffect, 9, "1"));
        assert!(!strike(&mut faults, Phase::AfterEffect, 10, "1"));
        assert!(faults.standing(Timestamp::from_millis(10)).is_empty());
    }

    #[test]
    fn an_order_keeps_to_its_account_and_comment() {
        let elsewhere = Fault::new(FaultKind::Blocked).for_account("b");
        assert!(!strike(&mut ordered(elsewhere), Phase::BeforeEffect, 0, "1"));
        let mut one = ordered(Fault::new(FaultKind::Blocked).for_comment("1"));
        assert!(!strike(&mut one, Phase::BeforeEffect, 0, "2"));
        assert!(strike(&mut one, Phase::BeforeEffect, 0, "1"));
    }

    #[test]
    fn an_order_keeps_to_its_action() {
        let order = |action| ordered(Fault::new(FaultKind::Blocked).for_action(action));
        assert!(!strike(&mut order(Action::Read), Phase::BeforeEffect, 0, "1"));
        assert!(strike(&mut order(Action::PrivateReply), Phase::BeforeEffect, 0, "1"));
        let read = parse(json!({ "kind": "transient", "action": "read" })).unwrap();
        assert_eq!(read.action, Some(Action::Read));
        let misspelt = parse(json!({ "kind": "transient", "action": "reed" }));
        assert!(matches!(misspelt, Err(FaultError::Invalid(_))), "{misspelt:?}");
    }

    #[test]
    fn a_wrong_value_is_told_by_its_field_and_what_it_must_be() {
        let refused = |json: Value| parse(json).unwrap_err().to_string();
        let cases = [
            (json!({ "kind": "slow", "delay_ms": "1s" }), "delay_ms must be a whole number"),
            (json!({ "kind": "ambiguous", "effect": 1 }), "effect must be true or false"),
            (json!({ "kind": "blocked", "count": -1 }), "count must be a whole number"),
            (json!({ "kind": "blocked", "count": 1.5 }), "count must be a whole number"),
            (json!({ "kind": "blocked", "account": 7 }), "account must be a string"),
            (
                json!({ "kind": "blocked", "action": "reed" }),
                "action must be the name of an action",
            ),
            (json!({ "kind": "usage", "percent": 5_000_000_000_u64 }), "percent must be a whole"),
            (json!({ "kind": "transient", "probability": "0.5" }), "probability must be a number"),
            (json!({ "kind": "throttled", "code": 5 }), "code must be one of"),
            (json!({ "kind": "slow" }), "slow needs delay_ms"),
            (json!({ "kind": "refused", "effect": false }), "refused needs code"),
            (json!({ "kind": "refused", "code": 2 }), "refused needs effect"),
            (
                json!({ "kind": "refused", "code": 2, "effect": false, "status": 200 }),
                "status must lie between 400 and 599",
            ),
        ];
        for (json, words) in cases {
            let told = refused(json.clone());
            assert!(told.starts_with(words), "{json}: {told}");
        }
    }

    #[test]
    fn draws_repeat_whatever_the_order_of_calls() {
        let chaos = || ordered(Fault::new(FaultKind::Transient).with_probability(0.5, 7));
        let subjects: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let struck = |subjects: &mut dyn Iterator<Item = &String>| {
            let mut faults = chaos();
            let mut struck: Vec<String> = subjects
                .filter(|subject| strike(&mut faults, Phase::BeforeEffect, 0, subject))
                .cloned()
                .collect();
            struck.sort();
            struck
        };
        let forth = struck(&mut subjects.iter());
        assert_eq!(forth, struck(&mut subjects.iter().rev()));
        assert!((60..140).contains(&forth.len()), "{}", forth.len());
    }
}
