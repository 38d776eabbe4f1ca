//! What starts campaigns beside comments, over the wire: messages, story replies and mentions, taps
//! and referrals. Each event starts at most one DM, inside its person's window, however it is told.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::campaign::Campaign;
use spillway_core::id::{OnceKey, RecipientId, SendId};
use spillway_core::send::NoRetry;
use spillway_core::time::Timestamp;
use spillway_graph::{Action, CallRecord, Fault, FaultKind};
use spillway_local::fault_injector::KillPoint;
use spillway_service::admin::send_view::SendView;
use spillway_service::admin::sends::RetryError;
use spillway_service::port::CampaignChanges;

use crate::harness::{CREATOR, World, careful, quotas, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const STORY: &str = "17900000000000777";

/// The `n`th person.
pub(crate) fn person(n: u32) -> String {
    format!("52700000{n:08}")
}

/// An item that tells what a person did at `at`.
pub(crate) fn item(n: u32, at: Timestamp, member: &str, value: Value) -> Value {
    json!({
        "sender": { "id": person(n) },
        "recipient": { "id": CREATOR },
        "timestamp": at.as_millis(),
        member: value,
    })
}

/// A message with this id.
pub(crate) fn message(n: u32, at: Timestamp, mid: &str, text: &str) -> Value {
    item(n, at, "message", json!({ "mid": mid, "text": text }))
}

fn story_reply(n: u32, at: Timestamp, mid: &str, story: &str) -> Value {
    let reply_to = json!({ "story": { "id": story } });
    item(n, at, "message", json!({ "mid": mid, "text": "Guide!", "reply_to": reply_to }))
}

pub(crate) fn delivery(at: Timestamp, items: &[Value]) -> Vec<u8> {
    let entry = json!({ "id": CREATOR, "time": at.as_millis(), "messaging": items });
    json!({ "object": "instagram", "entry": [entry] }).to_string().into_bytes()
}

impl World {
    /// A world whose creator has a campaign on conversations, beside the one on comments, with these
    /// fields.
    async fn conversing(fields: Value) -> Self {
        let world = Self::start(careful()).await;
        world.converse(fields).await;
        world
    }

    async fn converse(&self, fields: Value) {
        let mut campaign = json!({
            "id": "dm",
            "on": ["story_reply", "message", "referral"],
            "keywords": ["guide"],
            "messages": ["Hi {username|there}, here is your guide"],
        });
        campaign.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let thanks = json!({ "id": "thanks", "on": ["story_mention"], "messages": ["Thank you"] });
        let put = [campaign, thanks].map(|campaign| {
            let campaign: Campaign = serde_json::from_value(campaign).unwrap();
            campaign.check().unwrap();
            campaign
        });
        let changes = &self.outside.changes;
        let put = CampaignChanges { put: &put, ..CampaignChanges::default() };
        assert!(changes.change_campaigns(&CREATOR.into(), &put).await.unwrap());
        changes.announce(&CREATOR.into()).await.unwrap();
    }

    /// People do this, which opens their windows, and Meta tells of it in one POST. Its status.
    pub(crate) async fn tell(&self, items: &[Value]) -> u16 {
        for item in items {
            let at = Timestamp::from_millis(item["timestamp"].as_u64().unwrap());
            let opens = ["message", "postback", "referral"].iter().any(|&it| !item[it].is_null());
            if opens && item["sender"]["id"] != CREATOR {
                self.stack.graph.wrote(CREATOR, item["sender"]["id"].as_str().unwrap(), at);
            }
        }
        self.post(&delivery(self.now(), items)).await
    }

    /// What a person has been sent.
    pub(crate) fn got(&self, n: u32) -> Vec<String> {
        let person = RecipientId::new(person(n));
        let messages = self.stack.graph.messages().into_iter();
        messages.filter(|sent| sent.person == person).filter_map(|sent| sent.content.text).collect()
    }

    /// Calls that Meta refused.
    pub(crate) fn refused(&self) -> Vec<CallRecord> {
        self.calls().into_iter().filter(|call| call.status != 200).collect()
    }
}

const GUIDE: &str = "Hi there, here is your guide";

#[tokio::test]
async fn each_kind_starts_one_dm_however_often_it_is_told() {
    let mut world = World::conversing(json!({})).await;
    let at = world.now();
    let mention = json!({ "mid": "m4", "attachments": [{ "type": "story_mention" }] });
    let referral = json!({ "ref": "guide", "source": "IGME-SOURCE-LINK", "type": "OPEN_THREAD" });
    let items = [
        message(1, at, "m1", "the GUIDE please"),
        story_reply(2, at, "m2", STORY),
        item(3, at, "referral", referral),
        item(4, at, "message", mention),
        item(5, at, "postback", json!({ "mid": "m5", "title": "Can I have the guide?" })),
        message(6, at, "m6", "how are you?"),
    ];
    assert_eq!(world.say(&[said(1)]).await, 200);
    assert_eq!(world.tell(&items).await, 200);
    assert_eq!(world.tell(&items).await, 200, "told again");
    world.pass(MINUTE * 10).await;
    assert_eq!(world.tell(&items).await, 200, "told again later");
    world.pass(HOUR).await;
    for n in [1, 2, 3, 5] {
        assert_eq!(world.got(n), [GUIDE], "{n}");
    }
    assert_eq!(world.got(4), ["Thank you"]);
    assert_eq!(world.got(6), [""; 0]);
    // Meta tells of what was sent, the keyword in it.
    for sent in world.stack.graph.messages() {
        let echo = json!({
            "sender": { "id": CREATOR }, "recipient": { "id": sent.person },
            "timestamp": sent.at.as_millis(), "message": { "mid": sent.id, "is_echo": true,
                "text": sent.content.text, "metadata": sent.metadata },
        });
        assert_eq!(world.tell(&[echo]).await, 200);
    }
    world.settle().await;
    let report = world.over(6).await;
    assert_eq!(report.sent, 6, "{report:?}");
    assert_eq!(world.stack.graph.messages().len(), 6);
    assert_eq!(world.refused(), []);
}

#[tokio::test]
async fn what_asks_for_nothing_starts_nothing() {
    let mut world =
        World::conversing(json!({ "on": ["message", "story_reply"], "keywords": [] })).await;
    let at = world.now();
    let payload = json!({ "payload": "c=guide&s=open" });
    let by_creator = |mut item: Value| {
        item["sender"]["id"] = CREATOR.into();
        item
    };
    let items = [
        item(1, at, "message", json!({ "mid": "m1", "text": "GUIDE", "quick_reply": payload })),
        item(1, at, "postback", json!({ "mid": "m2", "title": "guide", "payload": "%%%" })),
        item(1, at, "reaction", json!({ "mid": "m0", "action": "react", "emoji": "x" })),
        item(1, at, "message_edit", json!({ "mid": "m0", "text": "guide", "num_edit": 1 })),
        json!({ "timestamp": at.as_millis(), "message_edit": { "mid": "m0", "num_edit": 0 } }),
        item(1, at, "read", json!({ "mid": "m0" })),
        item(1, at, "message", json!({ "mid": "m3", "is_deleted": true, "text": "guide" })),
        item(1, at, "message", json!({ "mid": "m4", "is_unsupported": true })),
        item(1, at, "message", json!({ "mid": "m5", "text": "guide", "is_echo": true })),
        item(1, at, "message", json!({ "mid": "m6", "text": "guide", "is_self": true })),
        item(1, at, "message", json!({ "text": "guide without an id" })),
        item(1, at, "message", json!({ "mid": "m7", "attachments": [{ "type": "ephemeral" }] })),
        by_creator(message(1, at, "m8", "guide")),
    ];
    assert_eq!(world.tell(&items).await, 200);
    let standby = json!({ "object": "instagram", "entry": [{ "id": CREATOR,
        "time": at.as_millis(), "standby": [message(1, at, "m9", "guide")] }] });
    assert_eq!(world.post(standby.to_string().as_bytes()).await, 200);
    let stranger = json!({ "object": "instagram", "entry": [{ "id": "0",
        "time": at.as_millis(), "messaging": [message(1, at, "m9", "guide")] }] });
    assert_eq!(world.post(stranger.to_string().as_bytes()).await, 200, "an unknown account");
    world.settle().await;
    world.over(0).await;
    // The neighbour of all these.
    let at = world.now();
    assert_eq!(world.tell(&[items[4].clone(), message(1, at, "m10", "guide")]).await, 200);
    world.settle().await;
    world.over(1).await;
    assert_eq!(world.got(1), [GUIDE]);
}

/// Each message is answered, each story once, and a campaign once if it says so.
#[tokio::test]
async fn a_person_is_answered_as_often_as_the_campaign_says() {
    for (fields, dms) in [(json!({}), 4), (json!({ "once_per": "campaign" }), 1)] {
        let mut world = World::conversing(fields).await;
        for (nth, item) in
            [message(1, world.now(), "m1", "guide"), message(1, world.now(), "m2", "guide")]
                .into_iter()
                .chain(
                    [("m3", STORY), ("m4", STORY), ("m5", "17900000000000778")]
                        .map(|(mid, story)| story_reply(1, world.now(), mid, story)),
                )
                .enumerate()
        {
            assert_eq!(world.tell(&[item]).await, 200, "{nth}");
            world.pass(MINUTE).await;
        }
        world.settle().await;
        world.over(dms).await;
        assert_eq!(world.got(1).len() as u64, dms);
    }
}

/// A message told late is answered in what is left of its window, or not at all.
#[tokio::test]
async fn nothing_is_sent_outside_the_window() {
    let mut world = World::conversing(json!({})).await;
    let now = world.now();
    let items = [
        message(1, now - 25 * HOUR, "m1", "guide"),
        message(2, now - 24 * HOUR + MINUTE, "m2", "guide"),
        message(3, now - 23 * HOUR, "m3", "guide"),
        message(4, now + HOUR, "m4", "guide"),
    ];
    assert_eq!(world.tell(&items).await, 200);
    world.settle().await;
    let report = world.over(4).await;
    assert_eq!((report.sent, report.expired), (2, 2), "{report:?}");
    assert_eq!([1, 2, 3, 4].map(|n| world.got(n).len()), [0, 0, 1, 1]);
    assert_eq!(world.refused(), []);

    // Of a hundred answers, most wait until it is too late.
    let mut world = World::start(quotas("200/1h", "10/24h")).await;
    world.converse(json!({})).await;
    let items: Vec<Value> =
        (0..100).map(|n| message(n, world.now(), &format!("m{n}"), "guide")).collect();
    assert_eq!(world.tell(&items).await, 200);
    world.settle().await;
    let report = world.over(100).await;
    assert!((10..=20).contains(&report.sent), "{report:?}");
    assert_eq!(world.refused(), []);
}

/// What cannot be told from nothing costs nothing, what no campaign wants the look at the account,
/// and a hundred messages few requests beside their entries.
#[tokio::test]
async fn messages_cost_few_requests() {
    let world = World::conversing(json!({})).await;
    let requests = async |items: &[Value]| {
        let before = world.stack.faults.counts().requests;
        assert_eq!(world.tell(items).await, 200);
        world.stack.faults.counts().requests - before
    };
    let at = world.now();
    let seen = item(1, at, "read", json!({ "mid": "m0" }));
    assert_eq!(requests(&vec![seen; 100]).await, 0);
    let unwanted: Vec<Value> =
        (0..100).map(|n| message(n, at, &format!("u{n}"), "hello")).collect();
    // The account, its campaigns, and whether they are new; and what is kept of each person.
    let first = requests(&unwanted).await;
    assert!(first <= 100 + 3, "{first}");
    assert_eq!(requests(&unwanted).await, 100);
    let wanted: Vec<Value> = (0..100).map(|n| message(n, at, &format!("m{n}"), "guide")).collect();
    let first = requests(&wanted).await;
    assert!(first <= 200 + 30, "{first}");
    let again = requests(&wanted).await;
    assert!(again <= 100 + 4, "{again}");
}

/// An answer is lost after Meta has delivered it: its echo shows that, and nothing is sent twice.
#[tokio::test]
async fn an_answer_that_was_lost_is_not_repeated() {
    let mut world = World::conversing(json!({})).await;
    world.stack.graph.order_fault(Fault::new(FaultKind::ServerErrorAfterEffect));
    assert_eq!(world.tell(&[message(1, world.now(), "m1", "guide")]).await, 200);
    world.settle().await;
    world.over(1).await;
    assert_eq!(world.got(1), [GUIDE]);
}

#[tokio::test]
async fn a_death_at_any_request_answers_once() {
    for request in (1..40).step_by(5) {
        let mut world = World::conversing(json!({})).await;
        let items =
            [message(1, world.now(), "m1", "guide"), story_reply(2, world.now(), "m2", STORY)];
        world.stack.faults.kill_at(request, KillPoint::After);
        if world.tell(&items).await != 200 {
            assert_eq!(world.tell(&items).await, 200, "Meta delivers it again");
        }
        world.settle().await;
        world.over(2).await;
        assert!([1, 2].map(|n| world.got(n).len()).into_iter().all(|dms| dms == 1), "{request}");
    }
}

/// Who is forgotten is not answered for what they wrote before, and is for what they write after.
#[tokio::test]
async fn who_is_forgotten_begins_anew() {
    let mut world = World::conversing(json!({})).await;
    let first = message(1, world.now(), "m1", "guide");
    assert_eq!(world.tell(std::slice::from_ref(&first)).await, 200);
    world.pass(HOUR).await;
    assert_eq!(world.got(1).len(), 1);
    let id = RecipientId::new(person(1));
    let admin = world.outside.admin();
    admin.sends.forget(&CREATOR.into(), &id, |_| ()).await.unwrap();
    world.pass(2 * HOUR).await;
    let older = message(1, world.now() - 3 * HOUR, "m2", "guide");
    assert_eq!(world.tell(&[first, older]).await, 200);
    world.pass(HOUR).await;
    assert_eq!(world.got(1).len(), 1);
    assert_eq!(world.tell(&[message(1, world.now(), "m3", "guide")]).await, 200);
    world.pass(HOUR).await;
    assert_eq!(world.got(1).len(), 2);
}

/// An answer that Meta has refused is brought back while its person may be written to, and reaches
/// them once.
#[tokio::test]
async fn a_refused_answer_is_brought_back_within_its_window() {
    let mut world = World::conversing(json!({})).await;
    let admin = world.outside.admin();
    let send = |n: u32| {
        let key = OnceKey::person(&RecipientId::new(person(n)));
        SendId { account: CREATOR.into(), key }
    };
    for n in [1, 2] {
        let fault = Fault::new(FaultKind::RecipientUnavailable).for_action(Action::Message);
        world.stack.graph.order_fault(fault);
        let item = if n == 1 {
            message(n, world.now(), "m1", "guide")
        } else {
            story_reply(n, world.now(), "m2", STORY)
        };
        assert_eq!(world.tell(&[item]).await, 200);
        world.pass(MINUTE).await;
        assert_eq!(world.got(n), [""; 0]);
    }
    admin.sends.retry(&send(1)).await.unwrap();
    world.pass(HOUR).await;
    assert_eq!(world.got(1), [GUIDE]);
    assert!(matches!(admin.sends.retry(&send(1)).await, Err(RetryError::Never(NoRetry::Sent))));
    let story = admin.sends.find(&send(2)).await.unwrap().unwrap();
    assert_eq!(SendView::from(&story).answers, Some("story_reply"), "after its end, too");
    world.pass(24 * HOUR).await;
    assert!(matches!(admin.sends.retry(&send(2)).await, Err(RetryError::Never(NoRetry::Closed))));
}

/// A campaign on comments and messages gives a post one DM, and each message one.
#[tokio::test]
async fn one_campaign_answers_comments_and_messages() {
    let fields = json!({ "on": ["comment", "message"], "keywords": ["recipe"] });
    let mut world = World::conversing(fields).await;
    let author = person(1);
    let comments = [1, 2].map(|n| said(n).by(&author).saying("recipe"));
    assert_eq!(world.say(&comments).await, 200);
    world.pass(HOUR).await;
    let messages = [("m1", "recipe"), ("m2", "the recipe")];
    for (mid, text) in messages {
        assert_eq!(world.tell(&[message(1, world.now(), mid, text)]).await, 200);
    }
    world.settle().await;
    world.over(3).await;
    let got = world.got(1);
    assert!(got[0].starts_with("Hi viewer."), "{got:?}");
    assert_eq!(got[1..], [GUIDE, GUIDE]);
}

/// What people write is nowhere: neither in tables nor in queues.
#[tokio::test]
async fn what_people_write_is_not_stored() {
    let world = World::conversing(json!({})).await;
    let at = world.now();
    let words = "guide, said the quick brown fox";
    assert_eq!(world.tell(&[message(1, at, "a-secret-mid", words)]).await, 200);
    for table in [&world.stack.config.sends_table, &world.stack.config.state_table] {
        let items = world.stack.dynamo.scan().table_name(table).send().await.unwrap();
        let shown = format!("{:?}", items.items());
        assert!(!shown.contains("brown fox") && !shown.contains("a-secret-mid"), "{shown}");
    }
    assert!(world.peek().iter().all(|body| !body.contains("fox") && !body.contains("secret")));
}
