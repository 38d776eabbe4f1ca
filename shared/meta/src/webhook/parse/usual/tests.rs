//! What is read in one pass is what is read level by level, whatever the delivery; and the usual
//! ones are read in one pass.

mod deliveries;

use proptest::prelude::*;
use proptest::sample::Index;

use self::deliveries::{any_delivery, any_mixed_delivery, any_mutation};
use super::super::{lenient, parse};
use super::read;
use crate::webhook::Event;

/// What Meta delivers of comments, each in an envelope of its own.
const USUAL: [&str; 3] = [
    include_str!("../../../../fixtures/comments.json"),
    include_str!("../../../../fixtures/live_comments.json"),
    include_str!("../../../../fixtures/page_feed.json"),
];

/// The same, and what it delivers of conversations.
const DELIVERED: [&str; 6] = [
    USUAL[0],
    USUAL[1],
    USUAL[2],
    include_str!("../../../../fixtures/mixed.json"),
    include_str!("../../../../fixtures/conversations.json"),
    include_str!("../../../../fixtures/conversations_changes.json"),
];

/// A delivery of one change, or another member of its entry.
fn with_entry(members: &str) -> String {
    format!(r#"{{"object":"instagram","entry":[{{"id":"1","time":1790000000,{members}}}]}}"#)
}

fn with_comment(value: &str) -> String {
    with_entry(&format!(r#""changes":[{{"field":"comments","value":{value}}}]"#))
}

#[track_caller]
fn taken(raw: &str) -> Vec<Event> {
    let delivery = read(raw.as_bytes()).unwrap_or_else(|| panic!("not as usual: {raw}"));
    assert_eq!(lenient::read(raw.as_bytes()).as_ref(), Ok(&delivery), "{raw}");
    delivery.events
}

#[test]
fn deliveries_of_metas_are_usual() {
    for raw in USUAL {
        assert!(!taken(raw).is_empty(), "{raw}");
    }
}

#[test]
fn a_thousand_comments_are_usual_and_conversations_are_not() {
    let comment = |nth: u32| {
        let field = if nth.is_multiple_of(7) { "live_comments" } else { "comments" };
        format!(
            r#"{{"value":{{"from":{{"id":"52{nth}","username":"u{nth}","self_ig_scoped_id":"52{nth}"}},"media":{{"id":"17","media_product_type":"REELS"}},"id":"178{nth}","text":"\u00bfgu\u00eda? \ud83d\ude4f https:\/\/ex.am\/"}},"field":"{field}"}}"#
        )
    };
    let message = r#"{"sender":{"id":"52"},"recipient":{"id":"1"},"timestamp":1790000000001,"message":{"mid":"m","text":"hi"}}"#;
    let comments: Vec<_> = (0..1000).map(comment).collect();
    let comments = format!(r#""changes":[{}]"#, comments.join(","));
    assert_eq!(taken(&with_entry(&comments)).len(), 1000);
    let mixed = format!(r#"{comments},"messaging":[{message},{message}],"standby":[{message}]"#);
    let mixed = with_entry(&mixed);
    assert_eq!(read(mixed.as_bytes()), None);
    assert_eq!(parse(mixed.as_bytes()).unwrap().events.len(), 1003);
}

#[test]
fn what_may_be_missing_from_a_comment_is_usual() {
    for value in [
        r#"{"id":"2"}"#,
        r#"{"comment_id":"2"}"#,
        r#"{"id":"2","text":null,"from":null,"media":null,"parent_id":null}"#,
        r#"{"id":"2","from":{"username":"no id"},"media":{}}"#,
        r#"{"id":"2","new":[{"of":["any",{"shape":-1.5e3}]}]}"#,
    ] {
        assert_eq!(taken(&with_comment(value)).len(), 1);
    }
    assert_eq!(taken(&with_entry(r#""field":"comments","value":{"id":"2"}"#)).len(), 1);
    assert_eq!(taken(&with_entry(r#""changed_fields":["comments","mentions"]"#)).len(), 2);
    assert_eq!(taken(r#"{"entry":[]}"#), []);
}

#[test]
fn what_is_odd_is_left_to_the_lenient_reader() {
    for value in [
        r#"{"id":2}"#,
        r#"{"id":"2","id":"3"}"#,
        r#"{"id":"2","id":null}"#,
        r#"{"id":"not an id","comment_id":"2"}"#,
        r#"{"id":"2","text":5}"#,
        r#"{"id":"2","text":"half \ud83d of it"}"#,
        r#"{"id":"2","from":"3"}"#,
        r#"{"id":"2","from":["3","name"]}"#,
        r#"["2","2",{"id":"3"},"text"]"#,
        r#"{"text":"no id"}"#,
        r#"{"id":"2","\ud83d":1}"#,
        "null",
    ] {
        let raw = with_comment(value);
        assert_eq!(read(raw.as_bytes()), None, "{raw}");
        assert_eq!(parse(raw.as_bytes()), lenient::read(raw.as_bytes()));
    }
}

proptest! {
    #[test]
    fn usual_deliveries_are_read_as_level_by_level(delivery in any_delivery()) {
        let raw = delivery.to_string();
        let read = read(raw.as_bytes());
        prop_assert!(read.is_some(), "not as usual: {}", raw);
        prop_assert_eq!(read, lenient::read(raw.as_bytes()).ok(), "{}", raw);
    }

    #[test]
    fn odd_deliveries_are_read_as_level_by_level(
        mut delivery in any_mixed_delivery(),
        mutations in prop::collection::vec((any::<Index>(), any_mutation()), 1..5),
    ) {
        for (at, mutation) in mutations {
            delivery.mutate(at, &mutation);
        }
        let raw = delivery.to_string();
        prop_assert_eq!(parse(raw.as_bytes()), lenient::read(raw.as_bytes()), "{}", raw);
    }

    #[test]
    fn damaged_deliveries_are_read_as_level_by_level(
        delivery in any_mixed_delivery(),
        fixture in prop::option::of(prop::sample::select(&DELIVERED[..])),
        edits in prop::collection::vec((any::<Index>(), any_byte(), 0..4_u8), 1..4),
    ) {
        let mut raw = fixture.map_or_else(|| delivery.to_string(), str::to_owned).into_bytes();
        for (at, byte, edit) in edits {
            let at = at.index(raw.len());
            match edit {
                0 => raw[at] = byte,
                1 => raw.insert(at, byte),
                2 => drop(raw.remove(at)),
                _ => raw.truncate(at + 1),
            }
            if raw.is_empty() {
                break;
            }
        }
        prop_assert_eq!(parse(&raw), lenient::read(&raw), "{}", String::from_utf8_lossy(&raw));
    }
}

/// Those that mean something in JSON more often than others.
fn any_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\ \n0159-.eEu"[..])]
}
