//! What follows a campaign's opening, as its file has it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::payload::Step;
use super::state::FOLLOW_UPS_MAX;
use super::stop_words::{Command, StopWords};
use crate::content::{
    BUTTON_TEXT_UNITS_MAX, Button, Disclosure, DisclosureError, Draft, DraftError, Fault, Faults,
    check_text, check_title,
};
use crate::keyword::{Comment, Keyword, Matching};
use crate::message::{Template, beginning};

/// The most messages of a delivery.
pub const DELIVERIES_MAX: usize = 5;

/// The most variants of one text.
const VARIANTS_MAX: usize = 255;

/// The most answers that a campaign takes.
const ANSWERS_MAX: usize = 50;

/// The most tries of a follow gate, and of a question for an e-mail address.
const TRIES_MAX: u8 = 5;

/// The shortest and the longest time until a follow-up. Meta's window closes 24 hours after the
/// person's last message, and the delivery is later than that message.
const AFTER: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(23 * 3600);

/// What follows the opening, in this order: an answer, the follow gate, the question for an e-mail
/// address, the delivery, follow-ups. Each part is optional.
///
/// Nothing follows the opening of a comment before the person has written or tapped: only that opens
/// Meta's window. So there is always an answer, and `answer` says which ones count; any does without
/// it. If a message has begun the conversation, that message has opened the window. So it is asked
/// for an answer only where `answer` lists some: a second question that any reply settles would lose
/// people for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// Words that answer the opening; at most 50. The answer must contain one of them. If empty,
    /// every answer counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 50)))]
    pub answer: Vec<String>,
    /// Asks for a follow before anything is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<FollowGate>,
    /// Asks for an e-mail address before anything is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailQuestion>,
    /// What is delivered: at most 5 messages, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 5)))]
    pub deliver: Vec<Draft>,
    /// Messages some time after the delivery; at most 5. They need a delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 5)))]
    pub follow_up: Vec<FollowUp>,
}

/// The follow gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FollowGate {
    /// Texts that ask people to follow the account, one for each in turn; 1 to 255 of them. Each has
    /// at most 640 characters when it is filled in.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", length(min = 1, max = 255)))]
    pub ask: Vec<Template>,
    /// What is on the button that says that they follow: at most 20 characters.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 20)))]
    pub button: String,
    /// How many times one person is asked, from 1 to 5. Whoever follows later and taps the button is
    /// still let through.
    #[serde(default = "tries", skip_serializing_if = "is_default_tries")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 5)))]
    pub tries: u8,
    /// What happens if Meta does not tell whether a person follows.
    #[serde(default, skip_serializing_if = "Unknown::is_default")]
    pub unknown: Unknown,
}

/// What happens at the follow gate if Meta does not tell whether a person follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The person is let through.
    #[default]
    Deliver,
    /// The person is asked to follow. One who was asked as often as `tries` allows is let through.
    Ask,
    /// Nothing is sent. It is read again when the person writes or taps again.
    Skip,
}

impl Unknown {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The question for an e-mail address. It is plain text: Meta refuses the quick reply that offers the
/// person's own address since 5 October 2026.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EmailQuestion {
    /// Texts that ask for the address, one for each person in turn; 1 to 255 of them.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", length(min = 1, max = 255)))]
    pub ask: Vec<Template>,
    /// Texts that ask again after an answer without an address; at most 255. Without them, `ask` is
    /// used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", length(max = 255)))]
    pub again: Vec<Template>,
    /// How many times one person is asked again, from 0 to 5. After that the delivery follows without
    /// an address.
    #[serde(default = "tries", skip_serializing_if = "is_default_tries")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 5)))]
    pub tries: u8,
}

/// A message some time after the delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// How long after the delivery at the earliest, from a minute to 23 hours, such as `20h`.
    #[serde(with = "crate::span")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub after: Duration,
    /// The texts, one for each person in turn; 1 to 255 of them.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", length(min = 1, max = 255)))]
    pub messages: Vec<Template>,
    /// What the person may do meanwhile, so that they do not get it.
    #[serde(default, skip_serializing_if = "Unless::is_default")]
    pub unless: Unless,
}

/// What keeps a follow-up from being sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unless {
    /// The person has written or tapped since the delivery.
    #[default]
    Answered,
    /// The person has opened a link of the conversation.
    Clicked,
    /// Nothing.
    Never,
}

impl Unless {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

const fn tries() -> u8 {
    2
}

fn is_default_tries(value: &u8) -> bool {
    *value == tries()
}

/// What is wrong with what follows an opening.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThenError {
    /// Nothing follows.
    #[error("`then` is empty: say what follows the opening, such as `deliver`, or remove it")]
    Empty,
    /// More answers than are looked for.
    #[error("there are {0} answers, and {ANSWERS_MAX} are looked for: remove some")]
    Answers(usize),
    /// A word that no answer can hold.
    #[error("an empty answer matches nothing: remove it, or leave `answer` out to take any")]
    EmptyAnswer,
    /// A word is listed twice.
    #[error("`{0}` is listed twice: case, accents and emoji variants make no difference")]
    SameAnswer(String),
    /// A word by which people end everything.
    #[error("`{0}` ends everything for the person who writes it: ask for another word")]
    StopAnswer(String),
    /// Too few or too many texts.
    #[error("there are {0} texts, and 1 to {VARIANTS_MAX} are taken: write at least one")]
    Texts(usize),
    /// A text is listed twice.
    #[error("the text «{text}» is there twice: change one of them", text = beginning(.0))]
    SameText(String),
    /// Too few or too many tries.
    #[error("`tries` is {0}: write a whole number from {1} to {TRIES_MAX}")]
    Tries(u8, u8),
    /// More messages than a delivery has.
    #[error("the delivery has {0} messages, and may have {DELIVERIES_MAX}: join some")]
    Deliveries(usize),
    /// More follow-ups than a conversation has.
    #[error("there are {0} follow-ups, and there may be {FOLLOW_UPS_MAX}: remove some")]
    FollowUps(usize),
    /// A follow-up that follows nothing.
    #[error("a follow-up counts from the delivery: add `deliver`")]
    NoDelivery,
    /// A follow-up that could never be sent, or at once.
    #[error(
        "`after` is from 1m to 23h: Meta's window closes 24 hours after the person's last message"
    )]
    After,
    /// Follow-ups that are not in the order of their times.
    #[error("this follow-up is not later than the one before it: put them in order of `after`")]
    Order,
    /// A message that cannot be sent.
    #[error(transparent)]
    Message(#[from] DraftError),
}

impl ThenError {
    /// Whether it says that something is missing, which may be there and could not be read.
    pub const fn is_lack(&self) -> bool {
        matches!(
            self,
            Self::Empty | Self::Texts(0) | Self::NoDelivery | Self::Message(DraftError::Empty)
        )
    }
}

impl Then {
    /// Returns everything that is wrong with it, and where.
    pub fn faults(&self) -> Vec<Fault<ThenError>> {
        let mut faults = Faults::default();
        self.check(&mut faults);
        faults.found()
    }

    /// Whether one of its messages has a button that the person answers with.
    pub fn has_postback(&self) -> bool {
        let is_postback = |draft: &Draft| draft.buttons.iter().any(|button| button.url.is_none());
        let has_one = |step| self.messages(step).iter().any(is_postback);
        self.steps().into_iter().any(has_one)
    }

    /// The messages that it may have, but for the opening.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend(self.follow.as_ref().map(|_| Step::FollowAsk));
        steps.extend(self.email.iter().flat_map(|_| [Step::EmailAsk, Step::EmailAgain]));
        steps.extend((0..).zip(&self.deliver).map(|(nth, _)| Step::Deliver(nth)));
        steps.extend((0..).zip(&self.follow_up).map(|(nth, _)| Step::FollowUp(nth)));
        steps
    }

    fn check(&self, faults: &mut Faults<ThenError>) {
        let Self { answer, follow, email, deliver, follow_up } = self;
        if follow.is_none() && email.is_none() && deliver.is_empty() && follow_up.is_empty() {
            faults.add(ThenError::Empty);
        }
        self.check_answers(faults);
        if answer.len() > ANSWERS_MAX {
            faults.field("answer", |faults| faults.add(ThenError::Answers(answer.len())));
        }
        if let Some(gate) = follow {
            faults.field("follow", |faults| gate.check(faults));
        }
        if let Some(question) = email {
            faults.field("email", |faults| question.check(faults));
        }
        if deliver.len() > DELIVERIES_MAX {
            faults.field("deliver", |faults| faults.add(ThenError::Deliveries(deliver.len())));
        }
        faults.items("deliver", deliver, |faults, draft| draft.check(faults));
        faults.field("follow_up", |faults| {
            if follow_up.len() > FOLLOW_UPS_MAX {
                faults.add(ThenError::FollowUps(follow_up.len()));
            }
            if deliver.is_empty() && !follow_up.is_empty() {
                faults.add(ThenError::NoDelivery);
            }
        });
        let mut before = Duration::ZERO;
        faults.items("follow_up", follow_up, |faults, follow_up| {
            faults.field("after", |faults| {
                if !AFTER.contains(&follow_up.after) {
                    faults.add(ThenError::After);
                } else if follow_up.after <= before {
                    faults.add(ThenError::Order);
                }
            });
            before = before.max(follow_up.after);
            check_texts("messages", &follow_up.messages, faults);
        });
    }

    fn check_answers(&self, faults: &mut Faults<ThenError>) {
        let commands = StopWords::default();
        let mut seen: Vec<Keyword> = Vec::new();
        faults.items("answer", &self.answer, |faults, word| {
            let folded = Keyword::new(word);
            if folded.is_empty() {
                faults.add(ThenError::EmptyAnswer);
            } else if commands.command(word) == Some(Command::Stop) {
                faults.add(ThenError::StopAnswer(word.clone()));
            } else if seen.contains(&folded) {
                faults.add(ThenError::SameAnswer(word.clone()));
            }
            seen.push(folded);
        });
    }

    /// Whether a message answers the opening.
    pub fn accepts(&self, message: &str) -> bool {
        let message = Comment::new(message);
        let has = |word: &String| message.has(&Keyword::new(word), Matching::Word);
        self.answer.is_empty() || self.answer.iter().any(has)
    }

    /// Returns the messages of a step, of which one person gets one. Empty for the opening, whose
    /// texts are the campaign's own, and for a step that there is not.
    pub fn messages(&self, step: Step) -> Vec<Draft> {
        let texts = |texts: &[Template]| texts.iter().cloned().map(Draft::text).collect();
        match (step, &self.follow, &self.email) {
            (Step::FollowAsk, Some(gate), _) => {
                let button = Button { title: gate.button.clone(), url: None };
                let asks = gate.ask.iter().cloned();
                asks.map(|ask| Draft { buttons: vec![button.clone()], ..Draft::text(ask) })
                    .collect()
            }
            (Step::EmailAgain, _, Some(question)) if !question.again.is_empty() => {
                texts(&question.again)
            }
            (Step::EmailAsk | Step::EmailAgain, _, Some(question)) => texts(&question.ask),
            (Step::Deliver(nth), ..) => {
                self.deliver.get(usize::from(nth)).cloned().into_iter().collect()
            }
            (Step::FollowUp(nth), ..) => {
                let follow_up = self.follow_up.get(usize::from(nth));
                follow_up.map(|follow_up| texts(&follow_up.messages)).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Adds what is wrong with its messages behind a disclosure: any of them may be the first after
    /// a human has written.
    pub fn check_behind(&self, disclosure: &Disclosure, faults: &mut Faults<DisclosureError>) {
        let Self { answer: _, follow, email, deliver, follow_up } = self;
        if let Some(gate) = follow {
            faults.field("follow", |faults| {
                faults.items("ask", &gate.ask, |faults, text| {
                    faults.add_from(disclosure.check_button_text(text));
                });
            });
        }
        if let Some(question) = email {
            faults.field("email", |faults| {
                disclosure.check_texts("ask", &question.ask, faults);
                disclosure.check_texts("again", &question.again, faults);
            });
        }
        faults.items("deliver", deliver, |faults, draft| disclosure.check(draft, faults));
        faults.items("follow_up", follow_up, |faults, follow_up| {
            disclosure.check_texts("messages", &follow_up.messages, faults);
        });
    }

    /// Returns all texts that may have placeholders.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let asks = self.follow.iter().flat_map(|gate| &gate.ask);
        let questions = self.email.iter().flat_map(|email| email.ask.iter().chain(&email.again));
        let delivered = self.deliver.iter().flat_map(Draft::templates);
        let later = self.follow_up.iter().flat_map(|follow_up| &follow_up.messages);
        asks.chain(questions).chain(delivered).chain(later)
    }

    /// Whether one of its messages has a link that tells that the person has opened it.
    pub fn has_tracked_link(&self) -> bool {
        self.templates().any(Template::has_tracked_link)
            || self.deliver.iter().any(Draft::has_tracked_link)
    }
}

impl FollowGate {
    fn check(&self, faults: &mut Faults<ThenError>) {
        check_texts("ask", &self.ask, faults);
        faults.items("ask", &self.ask, |faults, text| {
            let units = text.units_max();
            if units > BUTTON_TEXT_UNITS_MAX {
                faults.add(DraftError::LongButtonText(units));
            }
        });
        faults.field("button", |faults| faults.add_from(check_title(&self.button)));
        check_tries(self.tries, 1, faults);
    }
}

impl EmailQuestion {
    fn check(&self, faults: &mut Faults<ThenError>) {
        check_texts("ask", &self.ask, faults);
        if !self.again.is_empty() {
            check_texts("again", &self.again, faults);
        }
        check_tries(self.tries, 0, faults);
    }
}

fn check_texts(field: &'static str, texts: &[Template], faults: &mut Faults<ThenError>) {
    if !(1..=VARIANTS_MAX).contains(&texts.len()) {
        faults.field(field, |faults| faults.add(ThenError::Texts(texts.len())));
    }
    let mut seen: Vec<&Template> = Vec::new();
    faults.items(field, texts, |faults, text| {
        faults.add_from(check_text(text));
        if seen.contains(&text) {
            faults.add(ThenError::SameText(text.to_string()));
        }
        seen.push(text);
    });
}

fn check_tries(tries: u8, least: u8, faults: &mut Faults<ThenError>) {
    if !(least..=TRIES_MAX).contains(&tries) {
        faults.field("tries", |faults| faults.add(ThenError::Tries(tries, least)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::content::{Message, Segment};
    use crate::message::Values;

    fn full() -> Value {
        json!({
            "answer": ["yes", "sí"],
            "follow": { "ask": ["Follow me first"], "button": "I follow" },
            "email": { "ask": ["Which e-mail?"], "again": ["That doesn't look right"], "tries": 1 },
            "deliver": [
                { "text": "Here!", "buttons": [{ "title": "Open", "url": "https://a.example/" }] },
            ],
            "follow_up": [{ "after": "20h", "messages": ["Did you get to read it?"] }],
        })
    }

    fn then(fields: Value) -> Then {
        serde_json::from_value(fields).unwrap()
    }

    /// The faults as `where: what`.
    fn told(fields: Value) -> Vec<String> {
        let way = |path: &[Segment]| {
            let text = path.iter().map(|segment| match segment {
                Segment::Field(name) => format!(".{name}"),
                Segment::Item(at) => format!("[{at}]"),
            });
            text.collect::<String>()
        };
        let faults = then(fields).faults();
        faults.iter().map(|fault| format!("{}: {}", way(&fault.path), fault.error)).collect()
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let read = then(full());
        assert_eq!(read.faults(), []);
        let (gate, question) = (read.follow.as_ref().unwrap(), read.email.as_ref().unwrap());
        assert_eq!((gate.tries, gate.unknown, question.tries), (2, Unknown::Deliver, 1));
        assert_eq!(read.follow_up[0].unless, Unless::Answered);
        assert_eq!(serde_json::to_value(&read).unwrap(), full());
        assert!(serde_json::from_value::<Then>(json!({ "delivery": [] })).is_err());
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_way() {
        let long = "x".repeat(641);
        let faulty = json!({
            "answer": ["yes", "YES", " ", "Stop"],
            "follow": { "ask": [long], "button": "I am following you now", "tries": 0 },
            "email": { "ask": [], "again": ["Again", "Again"], "tries": 6 },
            "deliver": [{}, { "text": "Hi {first_name}" }],
            "follow_up": [
                { "after": "20h", "messages": ["a"] },
                { "after": "2h", "messages": ["b"] },
                { "after": "1d", "messages": [] },
            ],
        });
        let begins = [
            ".answer[1]: `YES` is listed twice",
            ".answer[2]: an empty answer",
            ".answer[3]: `Stop` ends everything",
            ".follow.ask[0]: a text with buttons can become 641",
            ".follow.button: the title has 22 characters",
            ".follow.tries: `tries` is 0: write a whole number from 1 to 5",
            ".email.ask: there are 0 texts",
            ".email.again[1]: the text «Again» is there twice",
            ".email.tries: `tries` is 6: write a whole number from 0 to 5",
            ".deliver[0]: the message is empty",
            ".deliver[1].text: character 4 of the text: `{first_name}` needs a fallback",
            ".follow_up[1].after: this follow-up is not later",
            ".follow_up[2].after: `after` is from 1m to 23h",
            ".follow_up[2].messages: there are 0 texts",
        ];
        let told = told(faulty);
        assert_eq!(told.len(), begins.len(), "{told:#?}");
        assert!(told.iter().zip(begins).all(|(told, begin)| told.starts_with(begin)), "{told:#?}");
    }

    #[test]
    fn too_many_or_too_few_are_told() {
        let with = |name: &str, value: Value| {
            let mut fields = full();
            fields[name] = value;
            told(fields)
        };
        let answers: Vec<String> = (0..51).map(|nth| format!("word{nth}")).collect();
        assert!(with("answer", json!(answers))[0].starts_with(".answer: there are 51 answers"));
        let deliver: Vec<Value> = (0..6).map(|nth| json!({ "text": nth.to_string() })).collect();
        assert!(with("deliver", json!(deliver))[0].starts_with(".deliver: the delivery has 6"));
        assert!(with("deliver", json!([]))[0].starts_with(".follow_up: a follow-up counts from"));
        let later: Vec<Value> =
            (1..=6).map(|nth| json!({ "after": format!("{nth}h"), "messages": ["a"] })).collect();
        assert!(with("follow_up", json!(later))[0].starts_with(".follow_up: there are 6"));
        assert!(told(json!({ "answer": ["yes"] }))[0].starts_with(": `then` is empty"));
        let email = json!({ "email": { "ask": ["Which e-mail?"] } });
        assert_eq!(told(email), Vec::<String>::new(), "nothing need be delivered");
    }

    #[test]
    fn an_answer_contains_one_of_the_words() {
        let then = then(full());
        for answer in ["yes", "YES please!", "Si 🙏"] {
            assert!(then.accepts(answer), "{answer}");
        }
        for answer in ["yesterday", "no", ""] {
            assert!(!then.accepts(answer), "{answer}");
        }
        assert!(Then::default().accepts(""), "a picture is an answer where any will do");
    }

    #[test]
    fn each_step_has_its_messages() {
        let then = then(full());
        let texts = |step| {
            let messages = then.messages(step);
            let fill = |draft: &Draft| match draft.fill(Values::default(), "p") {
                Message::Text(text) => text,
                Message::Buttons { text, buttons } => format!("{text} {buttons:?}"),
                other => panic!("{other:?}"),
            };
            messages.iter().map(fill).collect::<Vec<_>>().join("|")
        };
        assert_eq!(texts(Step::Opening), "");
        let ask = texts(Step::FollowAsk);
        assert!(ask.contains("Follow me first") && ask.contains("Answer(\"p\")"), "{ask}");
        assert!(texts(Step::EmailAsk).contains("Which e-mail?"));
        assert!(texts(Step::EmailAgain).contains("doesn't look right"));
        assert!(texts(Step::Deliver(0)).contains("Open(\"https://a.example/\")"));
        assert_eq!((texts(Step::Deliver(1)), texts(Step::FollowUp(1))), Default::default());
        assert!(texts(Step::FollowUp(0)).contains("Did you get"));
        assert_eq!(then.templates().count(), 5);
    }
}
