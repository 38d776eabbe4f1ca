//! Accounts files with one mistake each: the line and the reason that are said.

use spillway_core::active_hours::Zone;
use spillway_core::campaign::Moment;
use spillway_core::profile::Profile;
use spillway_service::accounts_file::{campaign_notes, parse};

pub(crate) const GOOD: &str = r#"[[profile]]
name = "agency"
base = "careful"

[[profile.quota]]
id = "calls_hour"
actions = ["private_reply", "live_reply", "read"]
unit = "calls"
window = "1h"
limit = 150

[[account]]
id = "17841400000000001"
profile = "agency"
terms = { tier = 2, time_zone = "Europe/Berlin", day_starts = "09:30" }

[[account.campaign]]
id = "guide"
keywords = ["guide", "guía"]
except = ["spam"]
media = ["17900000000000001"]
messages = [
  "Hi {username|there}!",
  "Hello {username|there}!",
]

[[account.campaign]]
id = "rest"
messages = ["Thanks!"]
"#;

/// What is replaced in the good file, by what, and what is then said.
pub(crate) const MISTAKES: &[(&str, &str, &str)] = &[
    ("[[profile]]", "[[profile]", "line 1: a heading is not closed: write it as in [[account]]"),
    (
        "name = \"agency\"",
        "name = agency",
        "line 2: the value is not in quotes: write texts as in \"guide\"",
    ),
    ("name = \"agency\"\n", "", "line 1: `name` is missing: add it"),
    (
        "name = \"agency\"",
        "name = \" \"",
        "line 2: a profile's `name` must not be empty\nline 14: there is no profile `agency`: write \"careful\", \"meta\" or the name of a [[profile]] of this file",
    ),
    (
        "name = \"agency\"",
        "name = \"meta\"",
        "line 2: there are two profiles `meta`: `careful` and `meta` are there already\nline 14: there is no profile `agency`: write \"careful\", \"meta\" or the name of a [[profile]] of this file",
    ),
    (
        "base = \"careful\"",
        "base = \"bold\"",
        "line 3: there is no profile `bold` to be based on: write \"careful\", \"meta\" or one that is defined before it",
    ),
    (
        "base = \"careful\"",
        "bases = \"careful\"",
        "line 3: `bases` is not known here. Is it `base`? There are `name`, `base`, `quota`, `spread`, `warm_up` and `slow_down`",
    ),
    (
        "base = \"careful\"",
        "warm_up = { from_percent = 50, to_percent = 20, days = 3, ramp_days = 1 }\nbase = \"careful\"",
        "line 3: profile `agency`: the warm-up must rise: 1 <= from_percent <= to_percent <= 100",
    ),
    (
        "base = \"careful\"",
        "base = \"meta\"",
        "line 1: profile `agency`: no row counts `public_reply`, so these calls would have no limit: add a [[profile.quota]] with id = \"public_reply_hour\", actions = [\"public_reply\"], unit = \"calls\", window = \"1h\" and limit = 200, or add `public_reply` to the actions of another row",
    ),
    (
        "base = \"careful\"\n",
        "",
        "line 1: profile `agency`: no row counts `message`, so these calls would have no limit: add a [[profile.quota]] with id = \"message_hour\", actions = [\"message\"], unit = \"calls\", window = \"1h\" and limit = 200, or add `message` to the actions of another row\nline 1: profile `agency`: no row counts `public_reply`, so these calls would have no limit: add a [[profile.quota]] with id = \"public_reply_hour\", actions = [\"public_reply\"], unit = \"calls\", window = \"1h\" and limit = 200, or add `public_reply` to the actions of another row",
    ),
    (
        "id = \"calls_hour\"",
        "id = \"velocity\"",
        "line 5: profile `agency`: `velocity` is the name of the spread's own quota: choose another",
    ),
    (
        "\"read\"",
        "\"reed\"",
        "line 7: `actions` has \"reed\" in it: write \"private_reply\", \"live_reply\", \"message\", \"public_reply\", \"read\", \"publish\" or \"follow\"",
    ),
    (
        "unit = \"calls\"",
        "unit = \"recipients\"",
        "line 5: profile `agency`: quota `calls_hour` counts recipients: name private_reply, live_reply and message all three",
    ),
    ("\"1h\"", "\"soon\"", "line 9: `soon` is not a length of time: write `10m`, `24h` or `1d`"),
    (
        "\"1h\"",
        "\"0s\"",
        "line 5: profile `agency`: quota `calls_hour` has a window of 0: give its length, such as `1h`",
    ),
    (
        "\"1h\"",
        "\"800h\"",
        "line 5: profile `agency`: quota `calls_hour` has a window of more than 31 days: shorten it",
    ),
    (
        "limit = 150",
        "limit = -150",
        "line 10: `limit` cannot be read: write a whole number from 1 to 4294967295, or one for each tier as in { tier_1 = 100, tier_2 = 150, tier_3 = 200 }",
    ),
    (
        "limit = 150",
        "limit = 0",
        "line 10: `limit` cannot be read: write a whole number from 1 to 4294967295, or one for each tier as in { tier_1 = 100, tier_2 = 150, tier_3 = 200 }",
    ),
    (
        "limit = 150\n",
        "limit = 150\n[[profile.quota]]\nid = \"calls_hour\"\nactions = [\"read\"]\nunit = \"calls\"\nwindow = \"1h\"\nlimit = 1\n",
        "line 11: quota `calls_hour` is listed twice in this profile: remove one",
    ),
    (
        "\"17841400000000001\"",
        "17841400000000001",
        "line 13: `id` is 17841400000000001: write a text in quotes",
    ),
    (
        "\"17841400000000001\"",
        "\"@creator\"",
        "line 13: `@creator` is no account's id: write the number that webhooks carry (`user_id`, not `id`, and no name)",
    ),
    (
        "\"17841400000000001\"",
        "\"\"",
        "line 13: `` is no account's id: write the number that webhooks carry (`user_id`, not `id`, and no name)",
    ),
    (
        "profile = \"agency\"",
        "profile = \"mine\"",
        "line 14: there is no profile `mine`: write \"careful\", \"meta\" or the name of a [[profile]] of this file",
    ),
    (
        "[[account]]",
        "[[accounts]]",
        "line 12: `accounts` is not known here. Is it `account`? There are `profile` and `account`\nline 17: write [[account]] before its [[account.campaign]], and all of these names in double brackets",
    ),
    ("tier = 2", "tier = 4", "line 15: 4 is not a tier: it is 1, 2 or 3"),
    (
        "Europe/Berlin",
        "Berlin",
        "line 15: `Berlin` is not a time zone: name one of the IANA database, such as `Europe/Berlin`",
    ),
    (
        "09:30",
        "9 Uhr",
        "line 15: `9 Uhr` is not a time of day: write hours and minutes, such as `08:00`",
    ),
    (
        "tier = 2",
        "tier = 2, warm_up_since = -1",
        "line 15: `warm_up_since` is -1: write a date such as 2026-11-01, or \"none\"",
    ),
    (
        "tier = 2",
        "tier = 2, tiers = 2",
        "line 15: `tiers` is not known here. Is it `tier`? There are `tier`, `time_zone`, `day_starts` and `warm_up_since`",
    ),
    (
        "id = \"guide\"",
        "id = \"\"",
        "line 18: a campaign's `id` has 1 to 64 characters, no space before or behind, and no `-` at its begin: ``",
    ),
    (
        "id = \"guide\"",
        "id = \"guide \"",
        "line 18: a campaign's `id` has 1 to 64 characters, no space before or behind, and no `-` at its begin: `guide `",
    ),
    (
        "id = \"guide\"",
        "id = \"rest\"",
        "line 28: account 17841400000000001 has campaign `rest` twice: give each a name of its own",
    ),
    ("id = \"guide\"\n", "", "line 17: `id` is missing: add it"),
    (
        "keywords",
        "keyword",
        "line 19: `keyword` is not known here. Is it `keywords`? There are `id`, `on`, `keywords`, `matching`, `tolerate`, `except`, `media`, `replies`, `once_per`, `once_for`, `starts`, `ends`, `overflow`, `messages`, `public_replies`, `public_share`, `public_fallback` and `then`",
    ),
    (
        "terms = { tier = 2",
        "stop_words = \"basta\"\nterms = { tier = 2",
        "line 15: `stop_words` is \"basta\": write a list in brackets, such as [\"basta\"]",
    ),
    (
        "terms = { tier = 2",
        "start_words = [\"go on\", 7]\nterms = { tier = 2",
        "line 15: `start_words` has 7 in it: write each of them in quotes",
    ),
    (
        "terms = { tier = 2",
        "stop_words = [\"basta\", \"Basta!\"]\nterms = { tier = 2",
        "line 15: `Basta!` is listed twice: case, accents and emoji variants make no difference",
    ),
    (
        "terms = { tier = 2",
        "stop_words = [\" \"]\nterms = { tier = 2",
        "line 15: an empty word matches nothing: remove it",
    ),
    (
        "terms = { tier = 2",
        "stop_words = [\"basta\"]\nstart_words = [\"basta\"]\nterms = { tier = 2",
        "line 16: `basta` cannot both end and restart everything: choose another word",
    ),
    (
        "terms = { tier = 2",
        "stop_words = [\"start\"]\nterms = { tier = 2",
        "line 15: `start` cannot both end and restart everything: choose another word",
    ),
    (
        "terms = { tier = 2",
        "start_words = [\"Stop!\"]\nterms = { tier = 2",
        "line 15: `Stop!` cannot both end and restart everything: choose another word",
    ),
    (
        "terms = { tier = 2",
        "takeover = \"10s\"\nterms = { tier = 2",
        "line 15: `takeover` is from 1m to 30d",
    ),
    (
        "terms = { tier = 2",
        "leads_for = \"2000d\"\nterms = { tier = 2",
        "line 15: `leads_for` is from 1d to 1100d",
    ),
    (
        "terms = { tier = 2",
        "disclosure = \" \"\nterms = { tier = 2",
        "line 15: the disclosure is blank: write a text, or \"\" for none",
    ),
    (
        "terms = { tier = 2",
        "disclosure = \"Bot\\u0007\"\nterms = { tier = 2",
        "line 15: the disclosure has a control character: write it as people shall read it",
    ),
    (
        "terms = { tier = 2",
        "disclosure = 7\nterms = { tier = 2",
        "line 15: `disclosure` is 7: write a text in quotes, such as \"Automated message\"",
    ),
    (
        "terms = { tier = 2",
        "takeover = \"soon\"\nterms = { tier = 2",
        "line 15: `soon` is not a length of time: write `10m`, `24h` or `1d`",
    ),
    (
        "terms = { tier = 2",
        "takeover = 12\nterms = { tier = 2",
        "line 15: `takeover` is 12: write a text in quotes, such as \"12h\"",
    ),
    (
        "keywords = [\"guide\", \"guía\"]",
        "keywords = \"guide\"",
        "line 19: `keywords` is \"guide\": write a list in brackets, such as [\"guide\", \"link\"]",
    ),
    (
        "\"guía\"",
        "\"  \"",
        "line 19: an empty keyword matches nothing: remove it, or leave `keywords` out to match all",
    ),
    (
        "\"guía\"",
        "\"GUIDE\"",
        "line 19: `GUIDE` is listed twice: case, accents and emoji variants make no difference",
    ),
    (
        "keywords = [\"guide\", \"guía\"]",
        "keywords = []",
        "line 19: `keywords = []` would answer everything: name keywords, or leave `keywords` out if that is meant",
    ),
    (
        "media = [\"17900000000000001\"]",
        "media = \"next\"\non = [\"message\"]",
        "line 21: campaign `guide`: `media` cannot choose a message, which is on no post or story: remove `media`, or give `message` a campaign of its own",
    ),
    (
        "media = [\"17900000000000001\"]",
        "on = [\"message\"]\noverflow = \"public_reply\"",
        "line 22: campaign `guide`: `overflow = \"public_reply\"` is for comments: add \"comment\" to `on`, or remove it",
    ),
    (
        "\"Hi {username|there}!\"",
        "\"Hi {first_name}!\"",
        "line 23: character 4 of the text: `{first_name}` is known only once the person has written: write `{username|there}` here, or use it in `then`",
    ),
    (
        "day_starts = \"09:30\" }",
        "day_starts = \"09:30\"",
        "line 15: the table that begins here in braces is not closed: add `}` at its end",
    ),
    (
        "\"Europe/Berlin\",",
        "\"Europe/Berlin\"",
        "line 15: a comma is missing between the fields in braces",
    ),
    (
        "except = [\"spam\"]",
        "on = [{ a = 1 }, 3]",
        "line 20: `on` has a table, a date or a time in it: write \"comment\", \"live_comment\", \"story_reply\", \"story_mention\", \"message\" or \"referral\"\nline 20: `on` has something in it that is no text: write \"comment\", \"live_comment\", \"story_reply\", \"story_mention\", \"message\" or \"referral\"",
    ),
    ("\"guía\"", "7", "line 19: `keywords` has 7 in it: write each of them in quotes"),
    (
        "\"guía\"",
        "\"spam link\"",
        "line 19: `spam link` contains the exception `spam`: no comment could match by it",
    ),
    (
        "\"spam\"",
        "\"Guía\"",
        "line 20: `Guía` is in `keywords` and in `except`: no comment could match by it",
    ),
    (
        "except = [\"spam\"]",
        "deadline = \"9d\"",
        "line 20: `deadline` is not known here. There are `id`, `on`, `keywords`, `matching`, `tolerate`, `except`, `media`, `replies`, `once_per`, `once_for`, `starts`, `ends`, `overflow`, `messages`, `public_replies`, `public_share`, `public_fallback` and `then`",
    ),
    (
        "except = [\"spam\"]",
        "on = [\"messages\"]",
        "line 20: `on` has \"messages\" in it: write \"comment\", \"live_comment\", \"story_reply\", \"story_mention\", \"message\" or \"referral\"",
    ),
    (
        "except = [\"spam\"]",
        "on = \"message\"",
        "line 20: `on` is \"message\": write a list in brackets of \"comment\", \"live_comment\", \"story_reply\", \"story_mention\", \"message\" or \"referral\"",
    ),
    (
        "except = [\"spam\"]",
        "on = []",
        "line 20: campaign `guide` has `keywords` and answers nothing: name a trigger in `on`, or leave `on` out; without `keywords`, `on = []` means that only `spillway campaign send` begins it",
    ),
    (
        "except = [\"spam\"]",
        "on = [\"comment\", \"comment\"]",
        "line 20: campaign `guide` has `comment` twice in `on`: remove one",
    ),
    (
        "except = [\"spam\"]",
        "on = [\"comment\", \"message\"]",
        "line 21: campaign `guide`: `media` cannot choose a message, which is on no post or story: remove `media`, or give `message` a campaign of its own",
    ),
    (
        "media = [\"17900000000000001\"]",
        "on = [\"story_mention\"]\nonce_per = \"post\"",
        "line 22: campaign `guide`: `once_per = \"post\"` needs a post, and a story mention has none: write \"comment\" for each event or \"campaign\", or leave `once_per` out",
    ),
    (
        "media = [\"17900000000000001\"]",
        "on = [\"message\"]\nreplies = \"all\"",
        "line 22: campaign `guide`: `replies` is for comments: add \"comment\" to `on`, or remove it",
    ),
    (
        "media = [\"17900000000000001\"]\nmessages = [\n  \"Hi {username|there}!\"",
        "on = [\"story_reply\"]\nmessages = [\n  \"Hi {username}!\"",
        "line 23: campaign `guide`: Meta does not say who wrote a story reply: write `{username}` with a fallback, as in `{username|there}`",
    ),
    (
        "except = [\"spam\"]",
        "once_for = \"500d\"",
        "line 20: campaign `guide`: `once_for` is from 1d to 400d",
    ),
    (
        "except = [\"spam\"]",
        "once_for = 5",
        "line 20: `once_for` is 5: write a text in quotes, such as \"90d\"",
    ),
    (
        "except = [\"spam\"]",
        "once_per = \"person\"",
        "line 20: `once_per` is \"person\": write \"post\", \"comment\" or \"campaign\"",
    ),
    (
        "except = [\"spam\"]",
        "starts = \"soon\"",
        "line 20: `soon` is not a date or a time: write `2026-12-01`, or `2026-12-01T09:00`",
    ),
    (
        "except = [\"spam\"]",
        "ends = 7",
        "line 20: `ends` is 7: write a date such as 2026-12-01, or a time such as 2026-12-01T09:00",
    ),
    (
        "except = [\"spam\"]",
        "starts = \"2026-12-24\"\nends = \"2026-12-01\"",
        "line 21: campaign `guide` ends before it starts: move `starts` or `ends`",
    ),
    (
        "except = [\"spam\"]",
        "matching = \"fuzzy\"",
        "line 20: `matching` is \"fuzzy\": write \"word\", \"contains\" or \"exact\"",
    ),
    (
        "except = [\"spam\"]",
        "overflow = \"public_reply\"",
        "line 20: campaign `guide`: `overflow = \"public_reply\"` needs `public_fallback`: add the texts of these replies",
    ),
    (
        "except = [\"spam\"]",
        "overflow = \"random\"",
        "line 20: `overflow` is \"random\": write \"oldest_first\", \"newest_first\" or \"public_reply\"",
    ),
    (
        "except = [\"spam\"]",
        "public_share = 1.5",
        "line 20: `public_share` is 1.5: write a number from 0 to 1, such as 0.3",
    ),
    (
        "except = [\"spam\"]",
        "public_replies = [\"SENT!\"]",
        "line 20: the public reply is all capitals, which Meta refuses in a comment: write it in small letters",
    ),
    (
        "except = [\"spam\"]",
        "public_replies = [\"#a #b #c #d #e sent\"]",
        "line 20: the public reply has 5 hashtags and a comment has 4: remove some",
    ),
    (
        "except = [\"spam\"]",
        "public_fallback = [\"https://example.com/a or https://example.com/b\"]",
        "line 20: the public reply has 2 links and a comment has 1: remove some",
    ),
    (
        "except = [\"spam\"]",
        "public_fallback = [\"{user}, write me\"]",
        "line 20: character 1 of the text: `{user}` is not known; there are `{username}`, `{keyword}`, `{link:https://…}` and, in `then`, `{first_name}`",
    ),
    (
        "except = [\"spam\"]",
        "public_replies = \"Sent!\"",
        "line 20: `public_replies` is \"Sent!\": write a list in brackets, such as [\"Sent, {username|you}!\"]",
    ),
    (
        "\"17900000000000001\"",
        "\"https://www.instagram.com/reel/C1/\"",
        "line 21: `https://www.instagram.com/reel/C1/` is no media id: write the number that the API gives, not a link or a short code",
    ),
    (
        "\"17900000000000001\"",
        "\"17900000000000001\", \"17900000000000001\"",
        "line 21: media 17900000000000001 is listed twice: remove one",
    ),
    (
        "media = [\"17900000000000001\"]",
        "media = [\"next\", \"17900000000000001\"]",
        "line 21: `next` is the next post alone: write `media = \"next\"`, and another campaign for other media",
    ),
    (
        "media = [\"17900000000000001\"]",
        "media = \"newest\"",
        "line 21: `media` is \"newest\": write \"next\", or a list in brackets, such as [\"17900000000000001\"]",
    ),
    (
        "\"Hi {username|there}!\"",
        "\"Hi {user}!\"",
        "line 23: character 4 of the text: `{user}` is not known; there are `{username}`, `{keyword}`, `{link:https://…}` and, in `then`, `{first_name}`",
    ),
    (
        "\"Hi {username|there}!\"",
        "\"Hi {username!\"",
        "line 23: character 4 of the text: a single brace; write `{{` or `}}` for the character itself",
    ),
    ("\"Hi {username|there}!\"", "\"\"", "line 23: the message is empty: write what to send"),
    (
        "\"Hi {username|there}!\"",
        "\"Hello {username|there}!\"",
        "line 24: campaign `guide` has the message «Hello {username|there}!» twice: change one of them",
    ),
    (
        "\"Hi {username|there}!\"",
        "\"{username}\"",
        "line 23: the message would be empty where Meta does not tell the name: write a text beside `{username}` and `{keyword}`, or a fallback as in `{username|friend}`",
    ),
    (
        "\"Hi {username|there}!\"",
        "\"Hi {username|you who have asked for the guide to autumn in the Alps, all of you}!\"",
        "line 23: character 4 of the text: the fallback has 66 bytes and 64 are sent: shorten it",
    ),
    ("[\"Thanks!\"]", "[]", "line 29: campaign `rest` needs 1 to 255 `messages`"),
    (
        "[\"Thanks!\"]",
        "\"Thanks!\"",
        "line 29: `messages` is \"Thanks!\": write a list in brackets, such as [\"Hi {username|there}!\"]",
    ),
    ("messages = [\"Thanks!\"]", "", "line 27: `messages` is missing: add it"),
    (
        "messages = [\"Thanks!\"]",
        "messages = [\"Thanks!\"]\nmessages = [\"Thank you!\"]",
        "line 30: this name is there already: remove one of the two. A table that repeats is in double brackets, as [[account.campaign]]",
    ),
    (
        "messages = [\"Thanks!\"]",
        "media = [\"17900000000000001\"]\nkeywords = [\"GUIA\"]\nmessages = [\"Thanks!\"]",
        "line 30: campaigns `guide` and `rest` have the keyword `GUIA` on the same media, and only one of them could answer: remove it from one, or give one other media",
    ),
    (
        "messages = [\"Thanks!\"]",
        "messages = [\"Thanks!\"]\n[[account.campaign]]\nid = \"all\"\nmessages = [\"Hi\"]",
        "line 30: campaigns `rest` and `all` both take every comment on the same media: give one of them keywords or other media",
    ),
];

/// A text that could become too long, in a file of its own: it would be long here.
#[test]
fn a_message_that_can_become_too_long_for_meta_is_refused() {
    let long = "é".repeat(500);
    let text = GOOD.replace("Thanks!", &format!("{long} {{username}}"));
    assert_eq!(
        said(&text),
        "line 29: the message can become 1065 bytes long and Meta takes 1000: shorten it (accented \
         letters and emoji take 2 to 4 bytes each)"
    );
}

#[test]
fn a_message_that_can_become_too_long_behind_the_disclosure_is_refused() {
    let text = GOOD
        .replace("Thanks!", &"x".repeat(990))
        .replace("terms = { tier = 2", "disclosure = \"I am a bot.\"\nterms = { tier = 2");
    assert_eq!(
        said(&text),
        "line 30: behind the account's `disclosure` the text can end 1003 bytes long, and Meta takes \
         1000: shorten one of them"
    );
    assert_eq!(said(&text.replace("I am a bot.", "")), "accepted");
}

#[test]
fn more_than_an_account_can_have_is_refused() {
    let campaign = |n: usize, media: &str, text: &str| {
        let keyword = format!("word{n}");
        format!(
            "[[account.campaign]]\nid = \"c{n}\"\nkeywords = [\"{keyword}\"]\nmedia = [{media}]\n\
             messages = [\"{text}\"]\n"
        )
    };
    let file = |campaigns: Vec<String>| {
        format!("[[account]]\nid = \"17841400000000001\"\n{}", campaigns.concat())
    };
    let many = |count| file((0..count).map(|n| campaign(n, "", "Hi")).collect());
    assert_eq!(said(&many(200)), "accepted");
    assert!(said(&many(201)).starts_with("line 2: account 17841400000000001: 201 campaigns"));
    let media = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!("\"179{n:06}\"")).collect();
        file(vec![campaign(0, &ids.join(","), "Hi"), campaign(1, &ids[0], "Hi")])
    };
    assert_eq!(said(&media(1000)), "accepted");
    assert!(said(&media(1001)).contains("name 1001 media, and may name 1000"));
    let long = |count| file((0..count).map(|n| campaign(n, "", &"x".repeat(1000))).collect());
    assert_eq!(said(&long(199)), "accepted");
    let words: Vec<String> = (0..400).map(|n| format!("\"{}{n}\"", "x".repeat(1000))).collect();
    let wordy = long(1).replace("\"word0\"", &words.join(","));
    assert!(said(&wordy).contains("bytes of messages, keywords and media"), "{}", said(&wordy));
}

/// What is wrong with a text says nothing about the others, nor about the fields beside it.
#[test]
fn a_text_that_is_none_hides_no_mistake() {
    let text = GOOD
        .replace("media = [\"17900000000000001\"]", "on = [\"story_reply\"]\nreplies = \"all\"")
        .replace("\"Hi {username|there}!\"", "\"Hi {first_name|there}!\"")
        .replace("\"Hello {username|there}!\",", "\"Hello {username}!\",")
        .replace("[\"Thanks!\"]", "[\"Hi {!\"]\npublic_replies = [\"Sent {to}\", \"SENT!\"]");
    let said = said(&text);
    assert_eq!(
        lines(&said),
        ["line 22", "line 24", "line 25", "line 30", "line 31", "line 31"],
        "{said}"
    );
    let fallback = GOOD.replace(
        "[\"Thanks!\"]",
        "[\"Thanks!\"]\noverflow = \"public_reply\"\npublic_fallback = [\"Write {me}\"]",
    );
    assert_eq!(lines(&self::said(&fallback)), ["line 31"], "the texts are there");
}

#[test]
fn what_has_no_effect_is_noted() {
    let notes = |text: &str| {
        let accounts = parse(text, &Profile::careful()).unwrap();
        campaign_notes(&accounts, "2026-12-01T00:00Z".parse::<Moment>().unwrap().begin(&Zone::UTC))
    };
    assert_eq!(notes(GOOD), [""; 0]);
    let over = GOOD.replace("except = [\"spam\"]", "ends = \"2026-11-29\"");
    assert_eq!(
        notes(&over),
        ["campaign `guide` is over since its `ends`, 2026-11-29: it answers nothing"]
    );
    let today = GOOD.replace("except = [\"spam\"]", "ends = \"2026-12-01\"");
    assert_eq!(notes(&today), [""; 0]);
    let each = |more: &str| {
        GOOD.replace(
            "media = [\"17900000000000001\"]",
            &format!("on = [\"message\"]\nonce_for = \"30d\"{more}"),
        )
    };
    assert!(notes(&each(""))[0].starts_with("campaign `guide`: `once_for` has no effect"));
    assert_eq!(notes(&each("\nonce_per = \"campaign\"")), [""; 0]);
}

#[test]
fn a_keyword_that_ends_everything_is_noted() {
    let notes = |on: &str, keyword: &str, more: &str| {
        let text = format!(
            "[[account]]\nid = \"178\"\n{more}\n[[account.campaign]]\nid = \"a\"\non = [{on}]\n\
             keywords = [\"guide\", \"{keyword}\"]\nmessages = [\"Hi\"]"
        );
        campaign_notes(
            &parse(&text, &Profile::careful()).unwrap(),
            spillway_core::time::Timestamp::EPOCH,
        )
    };
    let stop = "campaign `a`: a message «Stop!» ends everything for the person, until they write START, and \
                the campaign never answers it: choose another keyword";
    assert_eq!(notes("\"comment\", \"message\"", "Stop!", ""), [stop]);
    assert!(notes("\"story_reply\"", "abmelden", "")[0].contains("a story reply «abmelden» ends"));
    assert!(notes("\"message\"", "start", "")[0].contains("restarts everything"));
    assert!(notes("\"message\"", "basta", "stop_words = [\"basta\"]")[0].contains("«basta» ends"));
    // A comment is no command, and neither is a word within a message.
    assert_eq!(notes("\"comment\"", "stop", ""), [""; 0]);
    assert_eq!(notes("\"message\"", "stop motion", ""), [""; 0]);
    assert_eq!(notes("\"message\"", "basta", ""), [""; 0]);
}

#[test]
fn a_keyword_that_a_message_would_tell_in_part_is_refused() {
    let long = "guide".repeat(13);
    let text = GOOD.replace("\"guide\",", &format!("\"{long}\","));
    assert_eq!(said(&text), "accepted");
    let text = text.replace("Hi {username|there}!", "Hi, your {keyword}");
    assert!(said(&text).contains("has 65 bytes, and `{keyword}` sends 64"), "{}", said(&text));
}

#[test]
fn all_mistakes_are_said_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("\"Hi {username|there}!\"", "\"Hi {user}!\"")
        .replace("Hello {username|there}!", "Hello {!")
        .replace("tier = 2", "tier = 2, day_starts = \"10:00\"")
        .replace(", day_starts = \"09:30\"", "")
        .replace("\"guía\"", "\"\", \"GUIDE\"")
        .replace("[\"Thanks!\"]", "[]");
    let said = said(&text);
    let lines: Vec<&str> = said.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["line 19", "line 19", "line 23", "line 24", "line 29"], "{said}");
}

#[test]
fn every_key_type_and_term_that_cannot_be_read_is_said() {
    let text = GOOD
        .replace("base = \"careful\"", "bases = \"careful\"")
        .replace("limit = 150", "limit = 0")
        .replace("tier = 2", "tier = 4, tiers = 2")
        .replace("Europe/Berlin", "Berlin")
        .replace("\"guía\"", "7, 8")
        .replace("except", "excepts")
        .replace("Hi {username|there}", "Hi {user}")
        .replace("[\"Thanks!\"]", "\"Thanks!\"");
    let said = said(&text);
    let lines: Vec<&str> = said.lines().map(|line| line.split(':').next().unwrap()).collect();
    let expected = [3, 10, 15, 15, 15, 19, 19, 20, 23, 29].map(|line| format!("line {line}"));
    assert_eq!(lines, expected, "{said}");
}

fn lines(said: &str) -> Vec<&str> {
    said.lines().map(|line| line.split(':').next().unwrap_or_default()).collect()
}

/// What is wrong with an id or a name says nothing about what comes below it.
#[test]
fn a_bad_id_hides_no_mistake_below_it() {
    let below = GOOD
        .replace("profile = \"agency\"", "profile = \"mine\"")
        .replace("\"guía\"", "\"\"")
        .replace("Thanks!", "Thanks {user}!");
    assert_eq!(lines(&said(&below)), ["line 14", "line 19", "line 29"]);
    let id = "\"17841400000000001\"";
    for (from, to, line) in [
        (id, "\"@creator\"", "line 13"),
        (id, "7", "line 13"),
        ("id = \"17841400000000001\"\n", "\n", "line 12"),
        ("id = \"guide\"\n", "\n", "line 17"),
        ("id = \"guide\"", "id = [\"guide\"]", "line 18"),
        ("id = \"guide\"", "id = \"guide \"", "line 18"),
    ] {
        let said = said(&below.replacen(from, to, 1));
        let mut expected = vec!["line 14", "line 19", "line 29", line];
        expected.sort();
        assert_eq!(lines(&said), expected, "{to}: {said}");
    }
    let twice = format!("{below}\n[[account]]{}", below.split_once("[[account]]").unwrap().1);
    assert_eq!(said(&twice).matches("{user}").count(), 2, "{}", said(&twice));
    let same = below.replace("\"rest\"", "\"guide\"");
    assert_eq!(lines(&said(&same)), ["line 14", "line 19", "line 28", "line 29"]);
    // A text that cannot be sent says nothing about the keywords.
    let text = GOOD.replace("Hi {username|there}!", "Hi {user}!").replace(
        "id = \"rest\"",
        "id = \"rest\"\nkeywords = [\"guide\"]\nmedia = [\"17900000000000001\"]",
    );
    assert_eq!(lines(&said(&text)), ["line 23", "line 29"], "{}", said(&text));
}

#[test]
fn all_that_is_wrong_with_a_profile_is_said() {
    let profile = r#"[[profile]]
name = " "
warm_up = { from_percent = 50, to_percent = 20, days = 3, ramp_days = 1 }
slow_down = { from_percent = 99, stop_percent = 20 }
[[profile.quota]]
id = "velocity"
actions = ["read"]
unit = "calls"
window = "800h"
limit = 1
[[profile.quota]]
id = "all"
actions = []
unit = "calls"
window = "0s"
limit = 1
"#;
    let said = said(&format!("{profile}[[account]]\nid = \"178\"\n"));
    for (line, reason) in [
        (2, "must not be empty"),
        (3, "must rise"),
        (4, "from_percent < stop_percent"),
        (5, "`velocity` is the name"),
        (11, "counts no action"),
        (11, "has a window of 0"),
    ] {
        let is_said = said
            .lines()
            .any(|one| one.starts_with(&format!("line {line}: ")) && one.contains(reason));
        assert!(is_said, "line {line}: {reason}:\n{said}");
    }
}

#[test]
fn a_list_does_not_pass_for_a_table() {
    for (from, to, expected) in [
        (
            "terms = { tier = 2, time_zone = \"Europe/Berlin\", day_starts = \"09:30\" }",
            "terms = [2, \"Europe/Berlin\", \"09:30\", \"none\"]",
            "line 15: `terms` is a list: write a table, such as { tier = 2, time_zone = \"Europe/Berlin\" }",
        ),
        ("limit = 150", "limit = [1, 2, 3]", "line 10: `limit` is a list: write a whole number"),
        (
            "base = \"careful\"",
            "base = \"careful\"\nspread = [\"12h\", 5]",
            "line 4: `spread` is a list: write a table, such as { active = \"16h\", burst = 5 }",
        ),
        (
            "[[account.campaign]]\nid = \"rest\"\nmessages = [\"Thanks!\"]",
            "[[account]]\nid = \"178\"\ncampaign = [[\"rest\", [], \"word\", [], [], [], \"all\", \"oldest_first\", [\"Hi\"]]]",
            "line 29: write [[account]] before its [[account.campaign]]",
        ),
        (
            "limit = 150",
            "limit = { tier_1 = 1, tier_2 = 2, tier_3 = 3, tier_4 = 4 }",
            "line 10: `limit` cannot be read: write a whole number",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let said = said(&GOOD.replacen(from, to, 1));
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{to}: {said}");
    }
}

#[test]
fn a_campaigns_id_can_be_seen_and_typed() {
    for (id, expected) in [
        ("--json", "no `-` at its begin: `--json`"),
        ("-", "no `-` at its begin: `-`"),
        ("gui\\u202Ede", "the invisible character U+202E: remove it"),
        ("gui\\u200Dde", "the invisible character U+200D: remove it"),
        ("gui\\u00A0de", "the invisible character U+00A0: remove it"),
        ("\\uFE0F", "the invisible character U+FE0F: remove it"),
    ] {
        let said = said(&GOOD.replace("id = \"guide\"", &format!("id = \"{id}\"")));
        assert!(said.starts_with("line 18: ") && said.contains(expected), "{id}: {said}");
    }
    for id in ["guide-2", "❤\u{fe0f} guide", "👩\u{200d}🍳", "ガイド\u{3000}1", "کتاب\u{200c}ها"]
    {
        let text = GOOD.replace("id = \"guide\"", &format!("id = \"{id}\""));
        assert_eq!(said(&text), "accepted", "{id}");
    }
}

/// The line of the mistake alone, and in words.
#[test]
fn what_is_no_toml_is_said_in_words() {
    let id = "id = \"guide\"";
    let keywords = "keywords = [\"guide\", \"guía\"]";
    for (from, to, expected) in [
        (
            id,
            "id = “guide”",
            "18: these quotes are typographic: write straight ones, as in \"guide\"",
        ),
        (id, "id = null", "18: TOML has no empty value: leave the field out"),
        (id, "id = None", "18: TOML has no empty value: leave the field out"),
        (id, "id =", "18: the value is missing: write one after `=`"),
        (id, "id = guide", "18: the value is not in quotes: write texts as in \"guide\""),
        (id, "id: \"guide\"", "18: a name has only letters from a to z, digits, `_` and `-`"),
        (id, "id \"guide\"", "18: write name = value"),
        (id, "id = 'guide", "18: the text is not closed: add a quote at its end"),
        (id, "id\u{a0}= \"guide\"", "18: there is the invisible character U+00A0: remove it"),
        (id, "\u{feff}id = \"guide\"", "18: there is the invisible character U+FEFF: remove it"),
        (
            id,
            "id = \"guide\";",
            "18: there is something behind the value: write one value in a line",
        ),
        (
            id,
            "id = \"gui\\de\"",
            "18: a backslash in a text begins a special character: write \\\\ for the backslash itself",
        ),
        (keywords, "keywords = [\"guide\" \"guía\"]", "19: a comma is missing in the list"),
        (
            keywords,
            "keywords = [\"guide\", \"guía\"",
            "19: the list that begins here is not closed: add `]` at its end",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(said(&GOOD.replacen(from, to, 1)), format!("line {expected}"), "{to}");
    }
}

#[test]
fn what_follows_from_a_mistake_is_not_said_too() {
    // A profile, a campaign and an account that cannot be read are not missed elsewhere.
    for (from, to, expected) in [
        (
            "name = \"agency\"",
            "name = 7",
            "line 2: `name` is 7: write a text in quotes, such as \"careful\"",
        ),
        ("id = \"guide\"", "id = 7", "line 18: `id` is 7: write a text in quotes"),
        (
            "keywords = [\"guide\", \"guía\"]\nexcept = [\"spam\"]\nmedia = [\"17900000000000001\"]",
            "keywords = 7",
            "line 19: `keywords` is 7: write a list in brackets, such as [\"guide\", \"link\"]",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(said(&GOOD.replacen(from, to, 1)), expected);
    }
}

#[test]
fn what_a_message_cannot_say_is_refused() {
    for (from, to, expected) in [
        (
            "Hi {username|there}!",
            "Hi {{username}}!",
            "line 23: character 4 of the text: `{{username}}` would be sent with its braces; write `{username}` for the value",
        ),
        (
            "Thanks!",
            "Thanks for {keyword}!",
            "line 29: the campaign has no `keywords`, so nothing takes the place of `{keyword}`: write the text itself",
        ),
        ("Thanks!", "Thanks\\u0007", "line 29: there is the control character U+0007: remove it"),
        ("guía", "gu\\u0085a", "line 19: there is the control character U+0085: remove it"),
        (
            "id = \"guide\"",
            "id = \"gui\\nde\"",
            "line 18: there is the control character U+000A: remove it",
        ),
    ] {
        assert_eq!(said(&GOOD.replacen(from, to, 1)), expected);
    }
    assert_eq!(said(&GOOD.replace("Thanks!", "Thanks!\\r\\n\\tYours")), "accepted");
}

#[test]
fn other_formats_are_named() {
    let yaml = "account:\n  - id: \"17841400000000001\"\n";
    for (text, format) in [
        ("{\"account\": []}", "JSON"),
        ("[\n  {\"id\": 1}\n]", "JSON"),
        (yaml, "YAML"),
        ("# accounts\n---\naccount: x\n", "YAML"),
    ] {
        let expected = format!("line 1: this looks like {format}, and accounts files are TOML");
        assert!(said(text).starts_with(&expected), "{text}: {}", said(text));
    }
    assert!(said("account = [").contains("line 1: "));
    assert!(!said("account = [").contains("looks like"));
}

#[test]
fn as_many_mistakes_are_said_as_somebody_reads_and_ten_thousand_campaigns_are_refused_at_once() {
    let account = "[[account]]\nid = \"17841400000000001\"\n";
    let campaigns = |count: usize, line: &str| -> String {
        let one = |n| format!("[[account.campaign]]\nid = \"c{n}\"\n{line}\nmessages = [\"Hi\"]\n");
        (0..count).map(one).collect()
    };
    let many = said(&format!("{account}{}", campaigns(150, "keyword = [\"a\"]")));
    assert_eq!(many.lines().count(), 101);
    assert!(many.ends_with("there are more than 100 mistakes: mend these first"), "{many}");
    let huge = said(&format!("{account}{}", campaigns(10_000, "keywords = [\"a\"]")));
    assert!(huge.starts_with("line 2: account 17841400000000001: 10000 campaigns"), "{huge}");
    assert_eq!(huge.lines().count(), 1);
}

#[test]
fn an_empty_file_is_refused() {
    assert_eq!(said(""), "line 1: there is no [[account]]: add one with its `id`");
}

fn said(text: &str) -> String {
    match parse(text, &Profile::careful()) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_mistake_is_said_with_its_line_and_reason() {
    assert_eq!(said(GOOD), "accepted");
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        let said = said(&GOOD.replacen(from, to, 1));
        if said != *expected {
            wrong.push(format!("{from:?} -> {to:?}\n    {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(MISTAKES.len() >= 30);
}
