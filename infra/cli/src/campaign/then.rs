//! What follows a campaign's opening, in words: a line for each text, in the order of the steps.

use std::fmt::Write as _;

use spillway_core::content::{Button, Draft};
use spillway_core::conversation::{Then, Unknown, Unless};
use spillway_core::message::Template;
use spillway_core::span;

use crate::output::counted;

/// Counts the parts that there are, such as `3 parts`; `-` if there is none.
pub(crate) fn parts(then: Option<&Then>) -> String {
    let Some(Then { answer, follow, email, deliver, follow_up }) = then else {
        return "-".into();
    };
    let parts = [
        !answer.is_empty(),
        follow.is_some(),
        email.is_some(),
        !deliver.is_empty(),
        !follow_up.is_empty(),
    ];
    counted(parts.into_iter().filter(|is_there| *is_there).count(), "part")
}

/// Writes each step with its texts.
pub(crate) fn lines(then: &Then) -> Vec<String> {
    let Then { answer, follow, email, deliver, follow_up } = then;
    let mut lines = Vec::new();
    let mut add = |step: &str, text: &str| lines.push(format!("{step}: {text}"));
    let answers = if answer.is_empty() { "(any)".to_owned() } else { answer.join(", ") };
    add("answer", &answers);
    if let Some(gate) = follow {
        for ask in &gate.ask {
            add("follow", &format!("{} [{}]", shown(ask), gate.button));
        }
        let unknown = match gate.unknown {
            Unknown::Deliver => "goes on",
            Unknown::Ask => "asks",
            Unknown::Skip => "sends nothing",
        };
        let tries = gate.tries;
        add(
            "follow",
            &format!("(asks {tries} times; {unknown} if Meta does not tell who follows)"),
        );
    }
    if let Some(question) = email {
        question.ask.iter().for_each(|ask| add("email", &shown(ask)));
        question.again.iter().for_each(|again| add("email again", &shown(again)));
        add("email", &format!("(asks again {} times)", question.tries));
    }
    deliver.iter().for_each(|draft| add("deliver", &draft_line(draft)));
    for later in follow_up {
        let unless = match later.unless {
            Unless::Answered => ", unless answered",
            Unless::Clicked => ", unless clicked",
            Unless::Never => "",
        };
        let step = format!("after {}{unless}", span::format(later.after));
        later.messages.iter().for_each(|text| add(&step, &shown(text)));
    }
    lines
}

/// A message in one line: its text, what is below it, and the picture of a card.
fn draft_line(draft: &Draft) -> String {
    let Draft { text, buttons, quick_replies, card } = draft;
    let mut line = text.as_ref().map(shown).unwrap_or_default();
    if let Some(card) = card {
        line.push_str(&shown(&card.title));
        if let Some(subtitle) = &card.subtitle {
            let _ = write!(line, " / {}", shown(subtitle));
        }
        let _ = write!(line, " ({})", card.image.as_str());
    }
    let of_card = card.iter().flat_map(|card| &card.buttons);
    for Button { title, url } in buttons.iter().chain(of_card) {
        let _ = match url {
            Some(url) => write!(line, " [{title}: {}]", url.as_str()),
            None => write!(line, " [{title}]"),
        };
    }
    for title in quick_replies {
        let _ = write!(line, " [{title}]");
    }
    line
}

fn shown(text: &Template) -> String {
    text.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_step_is_shown_with_its_texts() {
        let then: Then = serde_json::from_value(json!({
            "answer": ["yes", "please"],
            "follow": { "ask": ["Follow\nme"], "button": "I follow", "unknown": "skip" },
            "email": { "ask": ["Which e-mail?"], "again": ["That is none"] },
            "deliver": [
                { "text": "Here", "buttons": [{ "title": "Open", "url": "https://a.example/" }] },
                { "text": "Next?", "quick_replies": ["Spring", "Autumn"] },
                { "card": { "title": "The guide", "subtitle": "40 pages",
                    "image": "https://a.example/i.png", "buttons": [{ "title": "Get it" }] } },
            ],
            "follow_up": [{ "after": "20h", "messages": ["Read it?"] }],
        }))
        .unwrap();
        assert_eq!(
            lines(&then),
            [
                "answer: yes, please",
                "follow: Follow me [I follow]",
                "follow: (asks 2 times; sends nothing if Meta does not tell who follows)",
                "email: Which e-mail?",
                "email again: That is none",
                "email: (asks again 2 times)",
                "deliver: Here [Open: https://a.example/]",
                "deliver: Next? [Spring] [Autumn]",
                "deliver: The guide / 40 pages (https://a.example/i.png) [Get it]",
                "after 20h, unless answered: Read it?",
            ]
        );
        assert_eq!(parts(Some(&then)), "5 parts");
        assert_eq!(parts(None), "-");
    }

    #[test]
    fn what_is_left_out_is_not_shown() {
        let then: Then =
            serde_json::from_value(json!({ "deliver": [{ "text": "Here" }] })).unwrap();
        assert_eq!(lines(&then), ["answer: (any)", "deliver: Here"]);
        assert_eq!(parts(Some(&then)), "1 part");
    }
}
