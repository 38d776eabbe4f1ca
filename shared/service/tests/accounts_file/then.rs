//! What follows an opening, in a file: what is read, and what is said of each mistake.

use spillway_core::conversation::{Unknown, Unless};
use spillway_core::profile::Profile;
use spillway_service::accounts_file::parse;

/// A campaign with every part of a conversation.
pub(crate) const GOOD: &str = r#"[[account]]
id = "17841400000000001"
stop_words = ["basta"]

[[account.campaign]]
id = "guide"
keywords = ["guide"]
messages = ["Hi {username|there}! Answer YES and I'll send it."]

[account.campaign.then]
answer = ["yes", "sí"]
follow = { ask = ["Follow me first, {first_name|you}"], button = "I follow", tries = 3, unknown = "ask" }
email = { ask = ["Which e-mail shall I send it to?"], again = ["That doesn't look right"] }
deliver = [
  { text = "Your {keyword}!", buttons = [{ title = "Open", url = "https://example.com/guide" }] },
  { text = "Which one next?", quick_replies = ["Spring", "Autumn"] },
  { card = { title = "The guide", subtitle = "40 pages", image = "https://example.com/guide.png" } },
]

[[account.campaign.then.follow_up]]
after = "20h"
messages = ["Did you get to read it?"]
unless = "clicked"

[[account.campaign]]
id = "rest"
messages = ["Thanks!"]
"#;

/// What is replaced in the good file, by what, and what is then said.
pub(crate) const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "stop_words = [\"basta\"]",
        "disclosure = \"I am a bot. I answer for Ana, who reads what you write here each morning.\"",
        "line 17: a card has the account's `disclosure` before its subtitle, which can end 82 characters long, and Meta takes 80: shorten one of them, or write a text with buttons",
    ),
    (
        "answer = [\"yes\", \"sí\"]",
        "answers = [\"yes\"]",
        "line 11: `answers` is not known here. Is it `answer`? There are `answer`, `follow`, `email`, `deliver` and `follow_up`",
    ),
    (
        "answer = [\"yes\", \"sí\"]",
        "answer = \"yes\"",
        "line 11: `answer` is \"yes\": write a list in brackets, such as [\"yes\", \"please\"]",
    ),
    (
        "answer = [\"yes\", \"sí\"]",
        "answer = [\"yes\", 7]",
        "line 11: `answer` has 7 in it: write each of them in quotes",
    ),
    (
        "[\"yes\", \"sí\"]",
        "[\"yes\", \"Yes!\"]",
        "line 11: `Yes!` is listed twice: case, accents and emoji variants make no difference",
    ),
    (
        "[\"yes\", \"sí\"]",
        "[\"stop\"]",
        "line 11: `stop` ends everything for the person who writes it: ask for another word",
    ),
    (
        "[\"yes\", \"sí\"]",
        "[\"Basta\"]",
        "line 3: `basta` is an `answer` of a campaign, which nobody could give: choose another word",
    ),
    ("ask = [\"Follow me first, {first_name|you}\"], ", "", "line 12: `ask` is missing: add it"),
    ("button = \"I follow\", ", "", "line 12: `button` is missing: add it"),
    (
        "button = \"I follow\"",
        "button = \"I am following you now\"",
        "line 12: the title has 22 characters and Meta takes 20: shorten it (an emoji counts as two or more)",
    ),
    (
        "button = \"I follow\"",
        "button = [\"I follow\"]",
        "line 12: `button` is a list: write a text in quotes, such as \"Here it is!\"",
    ),
    ("tries = 3", "tries = 9", "line 12: `tries` is 9: write a whole number from 1 to 5"),
    ("tries = 3", "tries = -1", "line 12: `tries` is -1: write a whole number from 0 to 5"),
    (
        "unknown = \"ask\"",
        "unknown = \"maybe\"",
        "line 12: `unknown` is \"maybe\": write \"deliver\", \"ask\" or \"skip\"",
    ),
    (
        "{first_name|you}",
        "{first_name}",
        "line 12: character 18 of the text: `{first_name}` needs a fallback, since many people have none in their profile: write `{first_name|there}`",
    ),
    (
        "{first_name|you}",
        "{name}",
        "line 12: character 18 of the text: `{name}` is not known; there are `{username}`, `{keyword}`, `{link:https://…}` and, in `then`, `{first_name}`",
    ),
    (
        "Hi {username|there}!",
        "Hi {first_name|there}!",
        "line 8: character 4 of the text: `{first_name}` is known only once the person has written: write `{username|there}` here, or use it in `then`",
    ),
    (
        "follow = { ask = [\"Follow me first, {first_name|you}\"], button = \"I follow\", tries = 3, unknown = \"ask\" }",
        "follow = [[\"Follow me first\"], \"I follow\"]",
        "line 12: `follow` is a list: write a table, such as { ask = [\"Follow me first\"], button = \"I follow\" }",
    ),
    (
        "[\"Which e-mail shall I send it to?\"]",
        "[]",
        "line 13: there are 0 texts, and 1 to 255 are taken: write at least one",
    ),
    (
        "\"That doesn't look right\"",
        "\"No\", \"No\"",
        "line 13: the text «No» is there twice: change one of them",
    ),
    (
        "title = \"Open\"",
        "title = \" \"",
        "line 15: the title is empty: write what is on the button",
    ),
    (
        "\"https://example.com/guide\" }]",
        "\"http://example.com/guide\" }]",
        "line 15: `http://example.com/guide` does not begin with https://, and Meta takes no other links here",
    ),
    (
        "\"https://example.com/guide\" }]",
        "\"https://example.com/{username}\" }]",
        "line 15: `https://example.com/{username}` has a space or a brace: a URL has no placeholders, and other characters are written as in %20",
    ),
    ("{ title = \"Open\", ", "{ ", "line 15: `title` is missing: add it"),
    (
        "buttons = [{ title = \"Open\", url = \"https://example.com/guide\" }]",
        "buttons = [{ title = \"1\" }, { title = \"2\" }, { title = \"3\" }, { title = \"4\" }]",
        "line 15: there are 4 buttons and Meta takes 3: remove some",
    ),
    (
        "text = \"Your {keyword}!\", ",
        "",
        "line 15: the message is empty: give it a `text` or a `card`",
    ),
    (
        "text = \"Your {keyword}!\"",
        "text = \"Your {word}!\"",
        "line 15: character 6 of the text: `{word}` is not known; there are `{username}`, `{keyword}`, `{link:https://…}` and, in `then`, `{first_name}`",
    ),
    (
        "[\"Spring\", \"Autumn\"]",
        "[\"Spring\", \"Spring\"]",
        "line 16: `Spring` is there twice: change one of them",
    ),
    (
        "quick_replies = [\"Spring\", \"Autumn\"]",
        "quick_replies = [\"Yes\"], buttons = [{ title = \"No\" }]",
        "line 16: a message has `quick_replies` beside a `text` alone: remove them or the rest",
    ),
    (
        "{ text = \"Which one next?\", quick_replies = [\"Spring\", \"Autumn\"] }",
        "\"Which one next?\"",
        "line 16: `deliver` has \"Which one next?\" in it: write each of them as a table in braces",
    ),
    (
        "image = \"https://example.com/guide.png\"",
        "image = \"guide.png\"",
        "line 17: `guide.png` is no URL: write all of it, such as \"https://example.com/guide\"",
    ),
    (", image = \"https://example.com/guide.png\"", "", "line 17: `image` is missing: add it"),
    (
        "subtitle = \"40 pages\"",
        "subtitle = \"40 pages for you alone, {username|you}\"",
        "line 17: the text of a card can become 88 characters long and Meta takes 80: shorten it (a placeholder counts as 64)",
    ),
    (
        "after = \"20h\"",
        "after = \"25h\"",
        "line 21: `after` is from 1m to 23h: Meta's window closes 24 hours after the person's last message",
    ),
    (
        "after = \"20h\"",
        "after = \"soon\"",
        "line 21: `soon` is not a length of time: write `10m`, `24h` or `1d`",
    ),
    ("after = \"20h\"\n", "", "line 20: `after` is missing: add it"),
    (
        "unless = \"clicked\"",
        "unless = \"opened\"",
        "line 23: `unless` is \"opened\": write \"answered\", \"clicked\" or \"never\"",
    ),
    (
        "messages = [\"Thanks!\"]",
        "messages = [\"Thanks!\"]\nthen = { deliver = [{ text = \"Your {keyword}\" }] }",
        "line 28: the campaign has no `keywords`, so nothing takes the place of `{keyword}`: write the text itself",
    ),
    (
        "messages = [\"Thanks!\"]",
        "messages = [\"Thanks!\"]\nthen = {}",
        "line 28: `then` is empty: say what follows the opening, such as `deliver`, or remove it",
    ),
    (
        "messages = [\"Thanks!\"]",
        "messages = [\"Thanks!\"]\nthen = \"Here\"",
        "line 28: `then` is \"Here\": write a table, such as { deliver = [{ text = \"Here it is!\" }] }",
    ),
    (
        "messages = [\"Thanks!\"]",
        "messages = [\"Thanks!\"]\nthen.follow_up = [{ after = \"1h\", messages = [\"Hi\"] }]",
        "line 28: a follow-up counts from the delivery: add `deliver`",
    ),
];

fn said(text: &str) -> String {
    match parse(text, &Profile::careful()) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_part_is_read() {
    let accounts = parse(GOOD, &Profile::careful()).unwrap();
    let [guide, rest] = &accounts[0].campaigns[..] else { panic!() };
    assert_eq!(rest.then, None);
    let then = guide.then.as_ref().unwrap();
    assert_eq!(then.answer, ["yes", "sí"]);
    let gate = then.follow.as_ref().unwrap();
    assert_eq!((gate.button.as_str(), gate.tries, gate.unknown), ("I follow", 3, Unknown::Ask));
    assert_eq!(then.email.as_ref().unwrap().tries, 2, "if it is left out");
    assert_eq!(then.deliver.len(), 3);
    assert_eq!(then.follow_up[0].after.as_secs(), 20 * 3600);
    assert_eq!(then.follow_up[0].unless, Unless::Clicked);
}

#[test]
fn each_mistake_is_said_with_its_line_and_reason() {
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        let said = said(&GOOD.replacen(from, to, 1));
        if said != *expected {
            wrong.push(format!("{from:?} -> {to:?}\n    {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_said_at_once_and_none_that_follows_from_another() {
    let text = GOOD
        .replace("[\"yes\", \"sí\"]", "[\"\", 7]")
        .replace("{first_name|you}", "{nobody}")
        .replace("tries = 3", "try = 3")
        .replace("[\"Which e-mail shall I send it to?\"]", "[\"{x}\"]")
        .replace("title = \"Open\"", "title = \"Open the guide to the Alps\"")
        .replace("\"Spring\", \"Autumn\"", "\"\"")
        .replace("title = \"The guide\", ", "")
        .replace("20h", "20 hours or so")
        .replace("\"Did you get to read it?\"", "\"Read it\", \"Read it\"");
    let said = said(&text);
    let lines: Vec<&str> = said.lines().map(|line| line.split(':').next().unwrap()).collect();
    let expected = [11, 11, 12, 12, 13, 15, 16, 17, 21, 22].map(|line| format!("line {line}"));
    assert_eq!(lines, expected, "{said}");
}
