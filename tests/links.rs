//! Tracked links over the wire: a message has a link of the deployment, which redirects whatever the
//! store does, and whose first click cancels what waits for the lack of one.

use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use spillway_core::content::Link;
use spillway_core::conversation::Origin;
use spillway_local::fault_injector::{Outage, Service};
use spillway_service::links::{LinkKeys, LinkOwner, Linker};

use crate::harness::{CREATOR, World, said};
use crate::triggers::person;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Instagram 400.0.0.1";
const META: &str = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)";
const TARGET: &str = "https://example.com/guide?ref=dm";

/// A campaign that delivers a link in a text and another one behind a button, and asks whoever opens
/// neither.
pub(crate) fn guide() -> Value {
    json!({
        "id": "guide",
        "keywords": ["guide"],
        "messages": ["Answer YES and I'll send it"],
        "then": {
            "answer": ["yes"],
            "deliver": [
                { "text": format!("Here: {{link:{TARGET}}}") },
                { "text": "Or", "buttons": [{ "title": "Go", "url": "{link:https://a.example/}" }] },
            ],
            "follow_up": [
                { "after": "2h", "messages": ["Did it open?"], "unless": "clicked" },
                { "after": "20h", "messages": ["Bye"], "unless": "never" },
            ],
        },
    })
}

impl World {
    /// Somebody's browser, or another program, asks for a link.
    async fn open(&self, method: Method, link: &str, agent: &str) -> (StatusCode, Option<String>) {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", agent.parse().unwrap());
        let uri: Uri = link.parse().unwrap();
        let answer = self.stack.invoke_link(&method, &uri, &headers).await;
        let location = answer.headers().get("location");
        let location = location.map(|location| location.to_str().unwrap().to_owned());
        (answer.status(), location)
    }

    pub(crate) async fn tap_link(&self, link: &str) -> (StatusCode, Option<String>) {
        self.open(Method::GET, link, PHONE).await
    }

    /// Somebody gets the delivery, and the links of it: in the text, and behind the button.
    pub(crate) async fn delivered(&mut self, n: u32) -> [String; 2] {
        self.comment(n).await;
        self.write(n, &format!("m{n}"), "yes").await;
        self.pass(MINUTE).await;
        let [_, text, button] = &self.thread(n)[..] else { panic!("{:?}", self.got(n)) };
        let in_text = text.content.text.as_deref().unwrap().strip_prefix("Here: ").unwrap();
        [in_text.to_owned(), button.content.buttons[0].url.clone().unwrap()]
    }
}

fn to(target: &str) -> (StatusCode, Option<String>) {
    (StatusCode::FOUND, Some(target.to_owned()))
}

#[tokio::test]
async fn the_first_click_cancels_what_waits_for_the_lack_of_it() {
    let mut world = World::talking(guide()).await;
    let [opens, previewed] = [world.delivered(1).await, world.delivered(2).await];
    let base = world.stack.config.link_url.clone().unwrap();
    for link in opens.iter().chain(&previewed) {
        assert!(link.starts_with(&base) && !link.contains("example"), "{link}");
        for id in [CREATOR, &person(1), &person(2)] {
            assert!(!link.contains(id), "{link}");
        }
    }
    assert_ne!(opens, previewed, "each person has links of their own");
    // Meta opens each link as it delivers it.
    for link in opens.iter().chain(&previewed) {
        assert_eq!(world.open(Method::GET, link, META).await.0, StatusCode::FOUND);
        assert_eq!(world.open(Method::HEAD, link, PHONE).await.0, StatusCode::FOUND);
    }
    assert_eq!(world.waiting(CREATOR).await.len(), 4, "two follow-ups for each of them");
    world.pass(HOUR).await;
    assert_eq!(world.tap_link(&opens[0]).await, to(TARGET));
    assert_eq!(world.waiting(CREATOR).await.len(), 3, "it is cancelled at once");
    let writes = world.stack.faults.counts().write_units;
    assert_eq!(world.tap_link(&opens[0]).await, to(TARGET));
    assert_eq!(world.tap_link(&opens[1]).await, to("https://a.example/"));
    assert_eq!(world.stack.faults.counts().write_units, writes, "one click costs a write");
    world.settle().await;
    assert_eq!(world.got(1)[3..], ["Bye"]);
    assert_eq!(world.got(2)[3..], ["Did it open?", "Bye"]);
    assert_eq!(world.refused(), []);
    world.nothing_is_left().await;
}

/// A click that comes before it is told that the delivery has arrived.
#[tokio::test]
async fn a_click_before_the_end_of_the_delivery_counts() {
    let mut campaign = guide();
    campaign["messages"] = json!([format!("Answer YES, or look: {{link:{TARGET}}}")]);
    let mut world = World::talking(campaign).await;
    world.comment(1).await;
    let opening = world.got(1).remove(0);
    let link = opening.strip_prefix("Answer YES, or look: ").unwrap();
    assert_eq!(world.tap_link(link).await, to(TARGET));
    world.write(1, "m1", "yes").await;
    world.settle().await;
    assert_eq!(world.got(1)[3..], ["Bye"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_this_deployment_has_not_signed_is_not_found() {
    let mut world = World::talking(guide()).await;
    let [link, _] = world.delivered(1).await;
    let base = world.stack.config.link_url.clone().unwrap();
    let keys = LinkKeys::new(&[b"the key of another deployment of Spillway"]).unwrap();
    let linker = Linker::new(base.clone(), keys);
    let owner = LinkOwner {
        account: CREATOR.into(),
        person: person(1).as_str().into(),
        origin: Origin::new(&said(1).id),
    };
    let foreign = linker.link(&owner, &Link::new(TARGET));
    let middle = link.len() - 20;
    let changed = if link.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let tampered = format!("{}{changed}{}", &link[..middle], &link[middle + 1..]);
    let cut = link[..link.len() - 4].to_owned();
    for odd in [foreign, tampered, cut, base.clone(), format!("{base}https://evil.example/")] {
        assert_eq!(world.tap_link(&odd).await, (StatusCode::NOT_FOUND, None), "{odd}");
    }
    let (status, location) = world.open(Method::POST, &link, PHONE).await;
    assert_eq!((status, location), (StatusCode::METHOD_NOT_ALLOWED, None));
    assert_eq!(world.waiting(CREATOR).await.len(), 2);
    world.settle().await;
    assert_eq!(world.got(1)[3..], ["Did it open?", "Bye"]);
}

#[tokio::test]
async fn an_outage_of_the_store_redirects_and_a_later_click_counts() {
    let mut world = World::talking(guide()).await;
    let [link, _] = world.delivered(1).await;
    world.stack.faults.take_out(Service::DynamoDb, Outage::Whole);
    assert_eq!(world.tap_link(&link).await, to(TARGET));
    // So does a process that has read nothing yet.
    world.stack.replace_process().unwrap();
    assert_eq!(world.tap_link(&link).await, to(TARGET));
    world.stack.faults.bring_back(Service::DynamoDb);
    assert_eq!(world.waiting(CREATOR).await.len(), 2, "nothing was noted");
    assert_eq!(world.tap_link(&link).await, to(TARGET));
    world.settle().await;
    assert_eq!(world.got(1)[3..], ["Bye"]);
    world.nothing_is_left().await;
}

/// An account or conversation that is gone is no reason not to redirect.
#[tokio::test]
async fn a_link_outlives_its_conversation() {
    let mut world = World::talking(guide()).await;
    let [link, _] = world.delivered(1).await;
    world.settle().await;
    let conversations = &world.outside.conversations;
    conversations.delete(&CREATOR.into(), &person(1).as_str().into()).await.unwrap();
    assert_eq!(world.tap_link(&link).await, to(TARGET));
}
