//! E-mail addresses that people gave.

use std::time::Duration;

use spillway_core::conversation::Origin;
use spillway_core::id::RecipientId;
use spillway_core::time::Timestamp;
use spillway_service::port::{Lead, LeadPage, SealedText};

use crate::{SECOND, Subject, now};

const DAY: Duration = Duration::from_secs(86_400);

fn lead(person: &str, origin: &str, at: Timestamp) -> Lead {
    Lead {
        campaign: "guide".into(),
        origin: Origin::new(origin),
        person: person.into(),
        at,
        kept_until: at + 400 * DAY,
        email: SealedText { key: 3, sealed: vec![0, 1, 255] },
    }
}

/// All leads, by person, campaign and time.
async fn all(subject: &dyn Subject, since: Timestamp, now: Timestamp) -> Vec<Lead> {
    let (leads, id) = (&subject.ports().leads, subject.connected());
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = leads.list(&id, since, now, after.as_deref()).await.unwrap();
        found.extend(page.leads);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort_by(|one, other| {
        (&one.person, &one.campaign, one.at).cmp(&(&other.person, &other.campaign, other.at))
    });
    found
}

/// An address is there once, however often it is stored.
pub async fn a_lead_is_stored_once_for_its_person_campaign_and_origin(subject: &dyn Subject) {
    let (leads, id, now) = (&subject.ports().leads, subject.connected(), now(subject));
    let first = lead("526", "c1", now);
    leads.store(&id, &first).await.unwrap();
    let again =
        Lead { at: now + SECOND, email: SealedText { key: 4, sealed: vec![7] }, ..first.clone() };
    leads.store(&id, &again).await.unwrap();
    assert_eq!(all(subject, now, now).await, std::slice::from_ref(&first));
    let others = [
        Lead { campaign: "other".into(), ..first.clone() },
        lead("526", "c2", now + SECOND),
        lead("527", "c1", now),
    ];
    for other in &others {
        leads.store(&id, other).await.unwrap();
    }
    let [other, second, third] = others;
    assert_eq!(all(subject, now, now).await, [first, second, other, third]);
    let nobodys = leads.list(&"17841400000000999".into(), now, now, None).await.unwrap();
    assert_eq!(nobodys, LeadPage::default());
}

/// DynamoDB deletes days late what is over.
pub async fn leads_are_listed_since_an_instant_while_they_are_kept(subject: &dyn Subject) {
    let (leads, id, now) = (&subject.ports().leads, subject.connected(), now(subject));
    for nth in 0..7 {
        leads.store(&id, &lead(&format!("52{nth}"), "c", now - nth * DAY)).await.unwrap();
    }
    assert_eq!(all(subject, now - 30 * DAY, now).await.len(), 7);
    assert_eq!(all(subject, now - 2 * DAY, now).await.len(), 3);
    let later = now + 397 * DAY;
    assert_eq!(all(subject, now - 30 * DAY, later).await.len(), 3, "the others are over");
}

/// Nobody else's lead goes with a person's.
pub async fn a_forgotten_person_has_no_leads(subject: &dyn Subject) {
    let (leads, id, now) = (&subject.ports().leads, subject.connected(), now(subject));
    for (person, origin) in [("526", "c1"), ("527", "c1"), ("526", "c2")] {
        leads.store(&id, &lead(person, origin, now)).await.unwrap();
    }
    let person = RecipientId::new("526");
    assert_eq!(leads.forget(&id, &person).await.unwrap(), 2);
    assert_eq!(leads.forget(&id, &person).await.unwrap(), 0);
    assert_eq!(all(subject, now, now).await, [lead("527", "c1", now)]);
}

/// A removed account leaves none.
pub async fn of_a_deleted_account_no_lead_is_left(subject: &dyn Subject) {
    let (leads, id, now) = (&subject.ports().leads, subject.connected(), now(subject));
    for nth in 0..5 {
        leads.store(&id, &lead(&format!("52{nth}"), "c", now)).await.unwrap();
    }
    leads.delete(&id).await.unwrap();
    assert_eq!(all(subject, now, now).await, []);
    leads.delete(&id).await.unwrap();
}

/// Leads of all accounts are untold, until they are told of or their people are forgotten. Others that
/// are played at a time may have some.
pub async fn a_lead_is_untold_until_it_is_told(subject: &dyn Subject) {
    let (leads, id, now) = (&subject.ports().leads, subject.connected(), now(subject));
    let untold = async || {
        let mut found = leads.untold(100).await.unwrap();
        found.retain(|(account, _)| *account == id);
        found.sort_by_key(|(_, lead)| lead.person.clone());
        found.into_iter().map(|(_, lead)| lead).collect::<Vec<_>>()
    };
    let [first, second, third] = ["521", "522", "523"].map(|person| lead(person, "c", now));
    for lead in [&first, &second, &third] {
        leads.store(&id, lead).await.unwrap();
    }
    assert_eq!(untold().await, [first.clone(), second.clone(), third.clone()]);
    assert_eq!(leads.untold(1).await.unwrap().len(), 1);
    for _ in 0..2 {
        leads.told(&id, &first).await.unwrap();
    }
    leads.forget(&id, &second.person).await.unwrap();
    assert_eq!(untold().await, std::slice::from_ref(&third));
    assert_eq!(all(subject, now, now).await, [first, third.clone()], "they are kept");
    leads.delete(&id).await.unwrap();
    assert_eq!(untold().await, []);
}
