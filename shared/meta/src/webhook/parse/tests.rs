//! Payloads as Meta sends them, as its documents print them, and as neither should be.

use proptest::prelude::*;
use proptest::sample::Index;
use spillway_core::id::AccountId;

use super::*;
use crate::json;
use crate::webhook::{CommentEvent, CommentKind, Commenter, Echo, Event, SkipReason};

const COMMENTS: &[u8] = include_bytes!("../../../fixtures/comments.json");
const FLAT: &[u8] = include_bytes!("../../../fixtures/comments_flat.json");
const AD_REPLY: &[u8] = include_bytes!("../../../fixtures/comments_ad_reply.json");
const OWN: &[u8] = include_bytes!("../../../fixtures/comments_own.json");
const LIVE: &[u8] = include_bytes!("../../../fixtures/live_comments.json");
const MIXED: &[u8] = include_bytes!("../../../fixtures/mixed.json");
const PAGE_FEED: &[u8] = include_bytes!("../../../fixtures/page_feed.json");
const ODD: &[u8] = include_bytes!("../../../fixtures/odd.json");
const CONVERSATIONS: &[u8] = include_bytes!("../../../fixtures/conversations.json");

/// A comment of which nothing is known but the id.
fn bare(account: &str, id: &str) -> CommentEvent {
    CommentEvent {
        account: account.into(),
        notified_at: None,
        kind: CommentKind::Comment,
        id: id.into(),
        from: None,
        text: None,
        media: None,
        original_media: None,
        ad: None,
        parent: None,
    }
}

fn by(id: &str, username: &str) -> Option<Commenter> {
    Some(Commenter { id: Some(id.into()), username: Some(username.to_owned()) })
}

/// What is stored with a comment is bounded, whatever a body holds.
#[test]
fn a_name_that_cannot_be_one_is_left_out() {
    for (length, is_name) in [(256, true), (257, false), (500_000, false)] {
        let name = "n".repeat(length);
        let value = serde_json::json!({ "id": "178", "from": { "id": "5", "username": name } });
        for entry in [
            serde_json::json!({ "id": "1", "changes": [{ "field": "comments", "value": value }] }),
            serde_json::json!({ "id": 1, "field": "comments", "value": value }),
        ] {
            let body = serde_json::json!({ "object": "instagram", "entry": [entry] });
            let delivery = parse(body.to_string().as_bytes()).unwrap();
            let [Event::Comment(comment)] = &delivery.events[..] else { panic!("{delivery:?}") };
            let commenter = comment.from.as_ref().unwrap();
            assert_eq!(commenter.username.is_some(), is_name, "{length}");
            assert!(commenter.id.is_some());
        }
    }
}

fn other(account: &str, field: &str) -> Event {
    Event::Other { account: account.into(), field: field.to_owned() }
}

#[track_caller]
fn only_comment(raw: &[u8]) -> CommentEvent {
    let delivery = parse(raw).expect("delivery");
    assert_eq!(delivery.object.as_deref(), Some("instagram"));
    assert_eq!(delivery.skipped, []);
    match <[Event; 1]>::try_from(delivery.events) {
        Ok([Event::Comment(comment)]) => comment,
        events => panic!("not one comment: {events:?}"),
    }
}

#[test]
fn a_comment_as_instagram_login_delivers_it() {
    let comment = only_comment(COMMENTS);
    assert_eq!(comment.text.as_deref(), Some("¿Me mandas el enlace? 🙏"));
    assert_eq!(
        comment,
        CommentEvent {
            notified_at: Some(Timestamp::from_secs(1_790_000_000)),
            from: by("5260000000000011", "ana.example"),
            text: comment.text.clone(),
            media: Some("17900000000000021".into()),
            ..bare("17841400000000001", "17890000000000031")
        }
    );
    assert!(!comment.is_own());
}

#[test]
fn a_comment_on_the_entry_itself_in_a_list() {
    assert_eq!(
        only_comment(FLAT),
        CommentEvent {
            notified_at: Some(Timestamp::from_secs(1_790_000_000)),
            from: by("5260000000000012", "ben.example"),
            text: Some("link please".to_owned()),
            media: Some("17900000000000021".into()),
            ..bare("17841400000000001", "17890000000000032")
        }
    );
}

#[test]
fn a_reply_on_an_ad_as_facebook_login_delivers_it() {
    assert_eq!(
        only_comment(AD_REPLY),
        CommentEvent {
            notified_at: Some(Timestamp::from_secs(1_790_000_001)),
            from: by("5260000000000013", "cho.example"),
            text: Some("me too".to_owned()),
            media: Some("17900000000000022".into()),
            original_media: Some("17900000000000021".into()),
            ad: Some("23850000000000041".to_owned()),
            parent: Some("17890000000000031".into()),
            ..bare("17841400000000001", "17890000000000033")
        }
    );
}

#[test]
fn the_accounts_own_comment_is_known() {
    let comment = only_comment(OWN);
    assert!(comment.is_own());
    assert_eq!(comment.notified_at, Some(Timestamp::from_secs(1_790_000_002)));
}

#[test]
fn a_live_comment_is_not_own_for_its_self_ig_scoped_id() {
    let comment = only_comment(LIVE);
    assert_eq!(comment.kind, CommentKind::Live);
    assert_eq!(comment.id.as_str(), "17890000000000035");
    assert!(!comment.is_own());
}

#[test]
fn an_echo_is_read_in_both_forms_and_never_as_a_message_to_the_account() {
    let delivery = parse(include_bytes!("../../../fixtures/echoes.json")).expect("delivery");
    let account = "17841400000000001";
    let echo = |message: &str, metadata: Option<&str>, recipient: &str, millis| {
        Event::Echo(Echo {
            account: account.into(),
            message: Some(message.to_owned()),
            metadata: metadata.map(str::to_owned),
            recipient: Some(recipient.into()),
            sent_at: Some(Timestamp::from_millis(millis)),
        })
    };
    let (first, second) = ("aWdfZAG1faXRlbToxOm01", "aWdfZAG1faXRlbToxOm02");
    let odd = Event::Echo(Echo {
        account: account.into(),
        message: None,
        metadata: None,
        recipient: None,
        sent_at: Some(Timestamp::from_millis(1_790_000_000_999)),
    });
    let (conversations, echoes): (Vec<_>, Vec<_>) =
        delivery.events.iter().cloned().partition(|event| matches!(event, Event::Conversation(_)));
    assert_eq!(conversations.len(), 2, "one that is none, and one that does not clearly say so");
    assert_eq!(
        echoes,
        [
            echo("m4", Some("spillway:2"), "5260000000000012", 1_790_000_000_000),
            echo(
                first,
                Some("spillway:17890000000000001#2"),
                "5260000000000011",
                1_790_000_000_001
            ),
            echo(second, None, "5260000000000011", 1_790_000_000_002),
            odd,
        ]
    );
    assert_eq!(delivery.skipped, []);
    let shown = format!("{delivery:?}");
    assert!(!shown.contains("guide") && !shown.contains("Ana"), "{shown}");
}

#[test]
fn everything_else_is_counted_under_its_field() {
    let delivery = parse(MIXED).expect("delivery");
    let (first, second) = ("17841400000000001", "17841400000000002");
    let is_conversation = |event: &Event| matches!(event, Event::Conversation(_));
    assert_eq!(delivery.events.iter().filter(|event| is_conversation(event)).count(), 9);
    let others: Vec<Event> =
        delivery.events.into_iter().filter(|event| !is_conversation(event)).collect();
    assert_eq!(
        others,
        [
            other(first, "messaging"),
            other(first, "mentions"),
            other(second, "comments"),
            other(second, "mentions"),
        ]
    );
    assert_eq!(delivery.skipped, []);
}

#[test]
fn the_name_of_an_unknown_field_is_bounded() {
    let raw = format!(r#"{{"entry":[{{"id":"1","changed_fields":["{}"]}}]}}"#, "x".repeat(9999));
    assert_eq!(parse(raw.as_bytes()).expect("delivery").events, [other("1", &"x".repeat(64))]);
}

#[test]
fn a_comment_on_a_facebook_page_is_not_ours() {
    let delivery = parse(PAGE_FEED).expect("delivery");
    assert_eq!(delivery.object.as_deref(), Some("page"));
    assert_eq!(delivery.events, [other("448000000000051", "feed")]);
}

#[test]
fn an_oddity_costs_only_itself() {
    let delivery = parse(ODD).expect("delivery");
    let account = "17841436214263005";
    let from = Some(Commenter { id: Some("5260000000000015".into()), username: None });
    assert_eq!(delivery.object.as_deref(), Some("instagram"));
    assert_eq!(
        delivery.events,
        [
            Event::Comment(CommentEvent {
                from,
                text: Some("half \u{fffd} of it".to_owned()),
                ..bare(account, "17890000000000000000037")
            }),
            Event::Comment(bare(account, "17890000000000038")),
            Event::Comment(CommentEvent {
                from: Some(Commenter { id: None, username: Some("x".to_owned()) }),
                ..bare(account, "38b")
            }),
            Event::Comment(CommentEvent {
                text: Some("after all".to_owned()),
                ..bare(account, "17890000000000040")
            }),
            other("17841400000000001", "name"),
        ]
    );

    let skipped: Vec<_> = delivery
        .skipped
        .iter()
        .map(|s| (s.account.as_ref().map(AccountId::as_str), s.field.as_deref(), s.reason))
        .collect();
    let (account, second) = (Some(account), Some("17841400000000001"));
    assert_eq!(
        skipped,
        [
            (account, Some("comments"), SkipReason::NoCommentId),
            (account, Some("comments"), SkipReason::NoValue),
            (account, Some("live_comments"), SkipReason::NoValue),
            (account, None, SkipReason::NoField),
            (account, None, SkipReason::NoField),
            (account, None, SkipReason::NotAnObject),
            (None, None, SkipReason::NoAccount),
            (second, None, SkipReason::NoEvents),
            (None, None, SkipReason::NotAnObject),
            (second, Some("messaging"), SkipReason::NotAnObject),
            (second, None, SkipReason::NoField),
        ]
    );
}

#[test]
fn an_entry_may_carry_several_forms() {
    let raw = br#" {"entry":[{"id":"1","field":"comments","value":{"id":"2"},
        "changes":[{"field":"comments","value":{"id":"3"}}],"messaging":[{}]}]} "#;
    assert_eq!(
        parse(raw).expect("delivery").events,
        [Event::Comment(bare("1", "2")), Event::Comment(bare("1", "3")), other("1", "messaging")]
    );
}

#[test]
fn the_unit_of_a_time_is_told_by_its_size() {
    let day_2026 = Timestamp::from_millis(1_790_000_000_123);
    for (raw, expected) in [
        ("1790000000", Some(Timestamp::from_secs(1_790_000_000))),
        (r#""1790000000""#, Some(Timestamp::from_secs(1_790_000_000))),
        ("1790000000123", Some(day_2026)),
        (r#""1790000000123""#, Some(day_2026)),
        ("100000000000", Some(Timestamp::from_secs(100_000_000_000))),
        ("100000000001", Some(Timestamp::from_millis(100_000_000_001))),
        ("0", None),
        ("-1", None),
        ("1790000000.5", None),
        ("18446744073709551615", None),
        ("99999999999999999999", None),
        (r#""2026-09-22T18:20:04+0000""#, None),
        (r#""""#, None),
        ("{}", None),
    ] {
        assert_eq!(json::number(raw).and_then(timestamp), expected, "{raw}");
    }
}

#[test]
fn what_is_no_delivery_is_an_error() {
    for raw in ["{}", "[]", "5", "null", r#""x""#, "[{}]", r#"{"entry":{}}"#, "[[]]"] {
        assert_eq!(parse(raw.as_bytes()), Err(PayloadError::NoEnvelope), "{raw}");
    }
    for raw in ["", " ", "{", "[", "hello", r#"{"entry":[}"#, r#"{"entry":[]}x"#, "[{]"] {
        assert_eq!(parse(raw.as_bytes()), Err(PayloadError::NotJson), "{raw}");
    }
    let empty = parse(br#"{"entry":[]}"#).expect("delivery");
    assert_eq!(empty, Delivery::default());
}

#[test]
fn one_envelope_among_others_is_enough() {
    let delivery = parse(br#"[5,{"entry":[{"id":"1","changed_fields":["x"]}]}]"#).expect("one");
    assert_eq!(delivery.events, [other("1", "x")]);
    assert_eq!(delivery.skipped[0].reason, SkipReason::NoEntries);
}

#[test]
fn depth_is_no_danger() {
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    let comment = |deep: &str| {
        format!(r#"{{"entry":[{{"id":"1","field":"comments","value":{{"id":"2","x":{deep}}}}}]}}"#)
    };
    let delivery = parse(comment(&format!("{open}{close}")).as_bytes()).expect("delivery");
    assert_eq!(delivery.events, [Event::Comment(bare("1", "2"))]);
    assert!(parse(open.as_bytes()).is_err());
    assert!(parse(comment(&open).as_bytes()).is_err());
}

#[test]
fn a_body_that_is_not_utf8_is_no_json() {
    let raw = b"{\"entry\":[{\"id\":\"1\",\"field\":\"comments\",\"value\":{\"id\":\"2\",\"text\":\"a\xffb\"}}]}";
    assert_eq!(parse(raw), Err(PayloadError::NotJson));
}

#[test]
fn a_name_without_an_id_is_kept() {
    // The second one is read level by level.
    for more in ["", r#","parent_id":7"#] {
        let from = |from: &str| {
            let value = format!(r#"{{"id":"2","from":{from}{more}}}"#);
            let raw = format!(r#"{{"entry":[{{"id":"1","field":"comments","value":{value}}}]}}"#);
            let [Event::Comment(comment)] = &parse(raw.as_bytes()).expect("delivery").events[..]
            else {
                panic!("{raw}")
            };
            assert!(!comment.is_own());
            comment.from.clone()
        };
        let ana = Some(Commenter { id: None, username: Some("ana".into()) });
        assert_eq!(from(r#"{"username":"ana"}"#), ana);
        assert_eq!(from("{}"), None);
    }
}

#[test]
fn debug_shows_neither_text_nor_name() {
    let shown = format!("{:?}", parse(COMMENTS).expect("delivery"));
    assert!(shown.contains("17890000000000031"));
    assert!(!shown.contains("enlace") && !shown.contains("ana.example"), "{shown}");
}

/// One change, and whether it is taken.
fn any_change() -> impl Strategy<Value = (String, bool)> {
    prop_oneof![
        (1..u64::MAX, any::<bool>()).prop_map(|(id, quoted)| {
            let id = if quoted { format!("\"{id}\"") } else { id.to_string() };
            (format!(r#"{{"field":"comments","value":{{"id":{id}}}}}"#), true)
        }),
        "[a-z_]{1,12}".prop_map(|field| (format!(r#"{{"value":[],"field":"x{field}"}}"#), true)),
        Just((r#"{"field":"comments","value":{"id":[]}}"#.to_owned(), false)),
        Just((r#"{"field":"live_comments","value":null}"#.to_owned(), false)),
        Just(("null".to_owned(), false)),
    ]
}

proptest! {
    #[test]
    fn never_panics_on_bytes(raw: Vec<u8>) {
        let _ = parse(&raw);
    }

    #[test]
    fn never_panics_on_a_damaged_payload(
        payload in prop::sample::select(vec![COMMENTS, FLAT, AD_REPLY, LIVE, MIXED, ODD, CONVERSATIONS]),
        edits in prop::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut raw = payload.to_vec();
        for (at, byte, edit) in edits {
            let at = at.index(raw.len());
            match edit {
                0 => raw[at] = byte,
                1 => raw.insert(at, byte),
                _ => raw.truncate(at + 1),
            }
        }
        let _ = parse(&raw);
    }

    #[test]
    fn every_change_is_either_taken_or_skipped(
        changes in prop::collection::vec(any_change(), 0..20),
    ) {
        let texts: Vec<_> = changes.iter().map(|(text, _)| text.as_str()).collect();
        let raw = format!(r#"{{"entry":[{{"id":"1","changes":[{}]}}]}}"#, texts.join(","));
        let delivery = parse(raw.as_bytes()).expect("delivery");
        let taken = changes.iter().filter(|(_, taken)| *taken).count();
        prop_assert_eq!(delivery.events.len(), taken);
        prop_assert_eq!(delivery.skipped.len(), changes.len() - taken);
    }
}
