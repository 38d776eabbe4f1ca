//! Events of conversations in both forms, and what a campaign may answer in them.

use serde_json::json;
use spillway_core::campaign::Trigger;
use spillway_core::id::OnceKey;
use spillway_core::time::Timestamp;

use super::*;
use crate::webhook::parse::parse;

const ITEMS: &[u8] = include_bytes!("../../../../fixtures/conversations.json");
const CHANGES: &[u8] = include_bytes!("../../../../fixtures/conversations_changes.json");

const ACCOUNT: &str = "17841400000000001";
const PERSON: &str = "5260000000000011";
const TIME: u64 = 1_795_000_000_000;

fn events(raw: &[u8]) -> Vec<Event> {
    let delivery = parse(raw).expect("a delivery");
    assert_eq!(delivery.skipped, []);
    delivery.events
}

fn conversations(raw: &[u8]) -> Vec<ConversationEvent> {
    let event = |event| match event {
        Event::Conversation(event) => Some(event),
        _ => None,
    };
    events(raw).into_iter().filter_map(event).collect()
}

/// The only event of an item.
#[track_caller]
fn only(item: &serde_json::Value) -> ConversationEvent {
    let entry = json!({ "id": ACCOUNT, "time": TIME, "messaging": [item] });
    let raw = json!({ "object": "instagram", "entry": [entry] }).to_string();
    <[_; 1]>::try_from(conversations(raw.as_bytes())).map(|[event]| event).expect("one event")
}

/// A message of a person.
fn message(message: &serde_json::Value) -> ConversationEvent {
    let item = json!({ "sender": { "id": PERSON }, "recipient": { "id": ACCOUNT },
        "timestamp": TIME + 1, "message": message });
    only(&item)
}

fn asks(event: &ConversationEvent) -> Vec<(Trigger, &str)> {
    event.asks().map(|ask| (ask.trigger, ask.text)).collect()
}

#[test]
fn both_forms_are_read_alike() {
    let items = events(ITEMS);
    assert_eq!(items, events(CHANGES));
    assert_eq!(items.len(), 26);
    let counted: Vec<&str> = items
        .iter()
        .filter_map(|event| match event {
            Event::Other { field, .. } => Some(field.as_str()),
            _ => None,
        })
        .collect();
    // What is only counted is named by its member, or by the field that tells of it.
    assert_eq!(counted, ["messaging_optins"]);
    assert_eq!(items.iter().filter(|event| matches!(event, Event::Echo(_))).count(), 1);
    let conversation = conversations(ITEMS);
    let fields: Vec<&str> = conversation.iter().map(ConversationEvent::field).collect();
    let tail = [
        "messaging_postbacks",
        "messaging_postbacks",
        "messaging_postbacks",
        "messaging_referral",
        "message_reactions",
        "message_reactions",
        "message_edit",
        "message_edit",
        "messaging_seen",
        "messaging_handover",
        "messages",
        "standby",
    ];
    assert_eq!(fields[..12], ["messages"; 12]);
    assert_eq!(fields[12..], tail);
}

#[test]
fn each_kind_is_read() {
    let [events, standby] = <[_; 2]>::try_from({
        let mut events = conversations(ITEMS);
        let standby = events.pop().unwrap();
        vec![events, vec![standby]]
    })
    .unwrap();
    assert_eq!(standby[0].thread, Thread::Standby);
    let first = &events[0];
    assert_eq!(first.account.as_str(), ACCOUNT);
    assert_eq!(first.sender, Some(PERSON.into()));
    assert_eq!(first.at, Some(Timestamp::from_millis(TIME + 1)));
    let What::Message(written) = &first.what else { panic!("{first:?}") };
    assert_eq!(
        *written,
        Message {
            id: Some("aWdfZAG1_in_01".into()),
            text: Some("guide".into()),
            ..Message::default()
        }
    );
    let messages: Vec<&Message> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Message(message) => Some(message),
            _ => None,
        })
        .collect();
    let payload = messages[1].quick_reply.as_ref().and_then(|tap| tap.payload.as_deref());
    assert_eq!(payload, Some("c=guide&s=open"));
    assert_eq!(messages[2].reply_to, Some(ReplyTo::Story(Some("17900000000000777".into()))));
    assert_eq!(messages[3].reply_to, Some(ReplyTo::Message(Some("aWdfZAG1_out_01".into()))));
    assert_eq!(messages[4].attachments, [Attachment::StoryMention]);
    assert_eq!(messages[5].attachments, [Attachment::StoryMention], "without a payload");
    assert_eq!(messages[6].attachments, [Attachment::Post], "told under two names");
    assert_eq!(messages[7].attachments, [Attachment::Other]);
    assert_eq!(messages[8].state, MessageState::Unsupported);
    assert_eq!(messages[9].state, MessageState::Deleted);
    let referral = messages[10].referral.as_ref().unwrap();
    assert_eq!(referral.reference.as_deref(), Some("spring-guide"));
    assert_eq!(referral.source.as_deref(), Some("ADS"));
    assert_eq!(referral.ad.as_deref(), Some("23850000000000041"));
    assert!(events[11].is_self && events[14].is_self && !first.is_self);
    assert_eq!(messages[12].attachments, [Attachment::Image, Attachment::Other]);
    let What::Postback(tap) = &events[12].what else { panic!("{:?}", events[12]) };
    assert_eq!(tap.title.as_deref(), Some("Send it"));
    assert_eq!(tap.payload.as_deref(), Some("%%%not ours%%%"));
    let told = |n: &str| Some(format!("aWdfZAG1_{n}"));
    let reaction = |is_taken_back| Reaction { message: told("in_01"), is_taken_back };
    assert_eq!(events[16].what, What::Reaction(reaction(false)));
    assert_eq!(events[17].what, What::Reaction(reaction(true)));
    assert_eq!(events[18].what, What::Edit(Edit { message: told("in_01"), count: Some(0) }));
    assert_eq!(events[18].sender, None);
    assert_eq!(events[19].what, What::Edit(Edit { message: told("in_01"), count: Some(2) }));
    assert_eq!(events[20].what, What::Seen { message: told("out_01") });
    let handover = Handover { kind: HandoverKind::Passed, app: Some("123456789".into()) };
    assert_eq!(events[21].what, What::Handover(handover));
}

/// A tap that carries a payload, an edit, a reaction, a receipt, what the account did itself, what
/// was taken back and what nobody can read start nothing.
#[test]
fn what_a_campaign_may_answer() {
    let events = conversations(ITEMS);
    let found: Vec<Vec<(Trigger, &str)>> = events.iter().map(asks).collect();
    let (message, mention) = (Trigger::Message, (Trigger::StoryMention, ""));
    let nothing: Vec<(Trigger, &str)> = Vec::new();
    let expected = [
        vec![(message, "guide")],
        nothing.clone(),
        vec![(Trigger::StoryReply, "LINK")],
        vec![(message, "this one")],
        vec![mention],
        vec![mention],
        vec![(message, "")],
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        vec![(Trigger::Referral, "spring-guide"), (message, "hello")],
        nothing.clone(),
        nothing.clone(),
        vec![(message, "Can I get the guide?")],
        nothing.clone(),
        vec![(Trigger::Referral, "guide")],
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        nothing.clone(),
        vec![(message, "guide")],
        nothing,
    ];
    assert_eq!(found, expected);
    let story = events[2].asks().next().unwrap();
    assert_eq!(story.story, Some(&"17900000000000777".into()));
}

#[test]
fn a_payload_of_whatever_kind_makes_a_tap() {
    for payload in [json!("x"), json!(5), json!({}), json!("x".repeat(5000))] {
        let tap =
            message(&json!({ "mid": "m", "text": "GUIDE", "quick_reply": { "payload": payload } }));
        assert_eq!(asks(&tap), []);
    }
    for tap in [json!({}), json!({ "payload": null }), json!({ "payload": "" })] {
        let tap = message(&json!({ "mid": "m", "text": "GUIDE", "quick_reply": tap }));
        assert_eq!(asks(&tap), [(Trigger::Message, "GUIDE")]);
    }
    let bare = message(&json!({ "mid": "m" }));
    assert_eq!(asks(&bare), []);
    let reaction = message(&json!({ "mid": "m", "reply_to": { "story": {} } }));
    assert_eq!(asks(&reaction), [(Trigger::StoryReply, "")], "which story is not told");
}

#[test]
fn the_account_itself_asks_for_nothing() {
    let by = |sender: Option<&str>| {
        let mut item = json!({ "message": { "mid": "m", "text": "guide" } });
        if let Some(sender) = sender {
            item["sender"] = json!({ "id": sender });
        }
        asks(&only(&item)).len()
    };
    assert_eq!([Some(PERSON), Some(ACCOUNT), None].map(by), [1, 0, 0]);
}

/// As Meta's examples of taps have it: the entry names the person.
#[test]
fn a_tap_belongs_to_the_account_that_it_was_made_to() {
    let raw = json!({ "entry": [{ "id": PERSON, "messaging": [
        { "sender": { "id": PERSON }, "recipient": { "id": ACCOUNT },
          "postback": { "mid": "m", "title": "guide" } },
        { "sender": { "id": PERSON }, "recipient": { "id": ACCOUNT },
          "message": { "mid": "m", "text": "guide" } },
    ] }] });
    let events = conversations(raw.to_string().as_bytes());
    let accounts: Vec<&str> = events.iter().map(|event| event.account.as_str()).collect();
    assert_eq!(accounts, [ACCOUNT, PERSON], "a message without `is_echo` may be the account's own");
    assert_eq!(asks(&events[0]).len(), 1);
    assert_eq!(asks(&events[1]).len(), 0);
}

#[test]
fn an_event_has_one_key_whatever_its_id() {
    let of = |id: &str| message(&json!({ "mid": id, "text": "x" })).key();
    assert_eq!(of("aWdf"), Some(OnceKey::event(&["message", "aWdf"])));
    assert_ne!(of("aWdf"), of("aWdg"));
    assert_eq!(of(&"x".repeat(900)).unwrap().as_str().len(), 34);
    assert_eq!(of(&"x".repeat(TOLD_BYTES_MAX + 1)), None, "not kept in part");
    assert_eq!(of(""), None);
    let referral = |at: u64, reference: &str| {
        only(&json!({ "sender": { "id": PERSON }, "timestamp": at,
            "referral": { "ref": reference } }))
        .key()
    };
    assert_eq!(referral(TIME, "a"), referral(TIME, "a"));
    assert_ne!(referral(TIME, "a"), referral(TIME, "b"));
    assert_ne!(referral(TIME, "a"), referral(TIME + 1, "a"));
    let edit = only(&json!({ "message_edit": { "mid": "aWdf", "num_edit": 1 } }));
    assert_eq!(edit.key(), None);
}

#[test]
fn what_is_kept_is_bounded_and_debug_tells_nothing() {
    let long = "ä".repeat(10_000);
    let event = message(&json!({
        "mid": "m", "text": long, "quick_reply": { "payload": long },
        "referral": { "ref": long, "source": long },
        "attachments": (0..1000).map(|n| json!({ "type": format!("{n}") })).collect::<Vec<_>>(),
    }));
    let What::Message(written) = &event.what else { panic!("{event:?}") };
    assert_eq!(written.text.as_ref().map(String::len), Some(TEXT_BYTES_MAX));
    let payload = written.quick_reply.as_ref().and_then(|tap| tap.payload.as_ref());
    assert_eq!(payload.map(String::len), Some(TOLD_BYTES_MAX - 1));
    assert_eq!(written.referral.as_ref().unwrap().reference, None);
    assert_eq!(written.attachments, [Attachment::Other]);
    let secret = "secret words";
    let item = json!({ "sender": { "id": PERSON }, "postback":
        { "mid": "m", "title": secret, "payload": secret, "referral": { "ref": secret } } });
    let shown = [
        format!("{:?}", only(&item)),
        format!(
            "{:?}",
            message(&json!({ "mid": "m", "text": secret,
            "quick_reply": { "payload": secret }, "referral": { "ref": secret } }))
        ),
    ];
    assert!(shown.iter().all(|shown| !shown.contains("secret")), "{shown:?}");
}
