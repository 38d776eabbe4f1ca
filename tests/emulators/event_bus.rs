//! Leads on MiniStack's EventBridge: what a rule sends to a queue is what a consumer gets.

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use spillway_cloud::lead_bus::EventBridge;
use spillway_cloud::secrets::process_number;
use spillway_core::time::Timestamp;
use spillway_service::port::{LeadBus, LeadEvent};

use crate::adapters::{Clients, create_queue};
use crate::{MINISTACK_URL, given};

/// More than one request takes.
const EVENTS: usize = 11;

#[tokio::test]
async fn each_lead_reaches_the_target_of_a_rule() {
    let Clients { events: client, sqs, .. } =
        Clients::new(&given(MINISTACK_URL), &given(MINISTACK_URL));
    let name = format!("spillway-{:016x}", process_number().unwrap());
    let bus = client.create_event_bus().name(&name).send().await.unwrap();
    let bus = bus.event_bus_arn.unwrap();
    let queue = create_queue(&sqs, &name, &[]).await;
    let attributes = sqs.get_queue_attributes().queue_url(&queue);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    let arn = &attributes.attributes.unwrap()[&QueueAttributeName::QueueArn];
    let pattern = r#"{ "source": ["spillway"], "detail-type": ["Lead given"] }"#;
    let rule = client.put_rule().name("leads").event_bus_name(&name).event_pattern(pattern);
    rule.send().await.unwrap();
    let target = Target::builder().id("queue").arn(arn).build().unwrap();
    let targets = client.put_targets().rule("leads").event_bus_name(&name).targets(target);
    targets.send().await.unwrap();

    let lead = |nth: usize| LeadEvent {
        id: format!("lead-{nth}"),
        account: "17841400000000001".into(),
        campaign: "guide".into(),
        person: "5260000000000001".into(),
        at: Timestamp::from_secs(1_795_000_000),
        email: format!("ana+{nth}@mail.example"),
    };
    let leads: Vec<LeadEvent> = (0..EVENTS).map(lead).collect();
    let put = EventBridge { client, bus }.put(&leads).await;
    assert_eq!(put.len(), EVENTS);
    assert!(put.iter().all(Result::is_ok), "{put:?}");

    let mut got: Vec<(String, String)> = Vec::new();
    while got.len() < EVENTS {
        let receive = sqs.receive_message().queue_url(&queue).max_number_of_messages(10);
        let messages = receive.wait_time_seconds(5).send().await.unwrap().messages.unwrap();
        assert!(!messages.is_empty(), "only {got:?}");
        for message in messages {
            let event: Value = serde_json::from_str(&message.body.unwrap()).unwrap();
            let of = |field: &str| event["detail"][field].as_str().unwrap().to_owned();
            assert_eq!(of("at"), "2026-11-18T11:06:40Z");
            got.push((of("id"), of("email")));
        }
    }
    got.sort();
    let mut sent: Vec<_> = leads.into_iter().map(|lead| (lead.id, lead.email)).collect();
    sent.sort();
    assert_eq!(got, sent);
}
