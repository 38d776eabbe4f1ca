//! E-mail addresses over the wire: each that is given is told of on the event bus, once where nothing
//! goes wrong.

use std::time::Duration;

use serde_json::Value;
use spillway_service::port::LeadEvent;

use crate::conversations::without;
use crate::harness::{CREATOR, World};
use crate::triggers::person;

const MINUTE: Duration = Duration::from_secs(60);
const QUARTER: Duration = Duration::from_secs(900);

/// A campaign that asks for an address, and nothing else.
fn asking() -> Value {
    without(&["answer", "follow", "follow_up"])
}

impl World {
    /// Somebody comments, answers, and gives this address.
    async fn give(&mut self, n: u32, email: &str) {
        self.comment(n).await;
        self.write(n, &format!("a{n}"), "ok").await;
        self.write(n, &format!("b{n}"), &format!("it is {email}")).await;
        self.pass(MINUTE).await;
    }

    fn leads_told(&self) -> Vec<LeadEvent> {
        self.stack.event_bus.events()
    }
}

#[tokio::test]
async fn an_address_is_told_of_once() {
    let mut world = World::talking(asking()).await;
    world.driver.keeps_up_every = Some(QUARTER);
    world.give(1, "ana@mail.example").await;
    world.give(2, "ben@mail.example").await;
    world.pass(4 * QUARTER).await;
    let mut told = world.leads_told();
    told.sort_by_key(|event| event.person.clone());
    let [ana, ben] = &told[..] else { panic!("{told:?}") };
    assert_eq!((ana.email.as_str(), ana.person.as_str()), ("ana@mail.example", &*person(1)));
    assert_eq!((ben.email.as_str(), ben.account.as_str()), ("ben@mail.example", CREATOR));
    assert_eq!(ana.campaign.as_str(), "guide");
    assert_ne!(ana.id, ben.id);
    assert!(!format!("{told:?}").contains("mail.example"), "Debug shows no address");
}

/// While the bus refuses, addresses wait for it; those of people who are forgotten meanwhile do not.
#[tokio::test]
async fn a_bus_that_is_gone_loses_nothing() {
    let mut world = World::talking(asking()).await;
    world.driver.keeps_up_every = Some(QUARTER);
    world.stack.event_bus.set_gone(true);
    for (n, email) in [(1, "ana@mail.example"), (2, "ben@mail.example")] {
        world.give(n, email).await;
    }
    world.pass(2 * QUARTER).await;
    assert!(world.leads_told().is_empty());
    let sends = &world.outside.admin().sends;
    sends.forget(&CREATOR.into(), &person(2).as_str().into(), |_| ()).await.unwrap();
    world.stack.event_bus.set_gone(false);
    world.pass(2 * QUARTER).await;
    let told = world.leads_told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].email, "ana@mail.example");
}
