//! E-mail addresses that people gave.

use serde_json::json;
use spillway_cloud::wiring::Wiring;
use spillway_core::conversation::{Email, Origin};
use spillway_core::id::AccountId;
use spillway_service::leads::Given;

use crate::stand::{CREATOR, OTHER, Stand};

#[tokio::test]
async fn addresses_are_listed_exported_and_forgotten() {
    let stand = Stand::start().await;
    assert_eq!(stand.json(&["lead", "list", CREATOR]).await, json!({ "leads": [] }));
    stand.run(&["lead", "list", "1"]).await.failed(1, "is not connected");

    let stack = &stand.served.stack;
    let (keys, clock) = (stack.keys.clone(), stack.clock.clone());
    let wiring = Wiring::new(&stack.config, keys, &stack.dynamo, &stack.poller, clock, 99);
    let outside = wiring.unwrap();
    let id = AccountId::new(CREATOR);
    let account = outside.accounts.load(&id).await.unwrap().unwrap();
    for (person, address) in [("526", "ana@example.com"), ("527", "bo@example.org")] {
        let given = Given {
            campaign: "guide".into(),
            origin: Origin::new("c1"),
            person: person.into(),
            email: Email::find(address).unwrap(),
            at: stack.clock.now(),
        };
        outside.leads().collect(&account, &given).await.unwrap();
        outside.leads().collect(&account, &given).await.unwrap();
    }
    let listed = stand.json(&["lead", "list", CREATOR, "--since", "1d"]).await;
    let leads = listed["leads"].as_array().unwrap();
    let emails: Vec<_> = leads.iter().map(|lead| lead["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["bo@example.org", "ana@example.com"], "the newest first");
    assert_eq!(stand.json(&["lead", "list", OTHER]).await, json!({ "leads": [] }));

    let forget = ["contact", "forget", CREATOR, "527", "--yes"];
    assert_eq!(stand.json(&forget).await["leads"], 1);
    let csv = stand.run(&["lead", "export", CREATOR]).await.ok().stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines[0], lines.len()), ("email,campaign,person,at", 2), "{csv}");
    assert!(lines[1].starts_with("ana@example.com,guide,526,20"), "{csv}");
    // After a new key the old ones still open.
    stand.run(&["new-key"]).await.ok();
    let exported = stand.json(&["lead", "export", CREATOR]).await;
    assert_eq!(exported["leads"][0]["email"], "ana@example.com");
}
