//! Sends: their entries, their places, and the steps between.

use std::collections::BTreeSet;

use futures::future::join_all;
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, EventId, SendId};
use spillway_core::send::{Address, CancelReason, Earlier, Lane, Outcome, Stage, Step, Waiting};
use spillway_service::port::{Entry, Read, Recorded};
use spillway_service::ticket::{Place, SHARDS, Ticket, shard};

use crate::{SECOND, Subject, eventually, now};

fn account() -> AccountId {
    AccountId::new("17841400000000077")
}

/// The `n`th send.
pub(crate) fn send(subject: &dyn Subject, n: u32) -> Waiting {
    let event = format!("1789{n:06}");
    Waiting {
        id: SendId { account: account(), event: event.as_str().into() },
        lane: Lane::Inbound,
        campaign: "guide".into(),
        to: Address::Comment { id: event.as_str().into(), author: Some("526".into()) },
        order: Overflow::OldestFirst,
        media: Some("179".into()),
        username: Some("ñandú \"🦤\"\\".into()),
        keyword: None,
        matched_at: now(subject),
        deadline: now(subject) + (3600 + n % 50) * SECOND,
        stage: Stage::Parked,
        epoch: 0,
        attempt: 0,
        failures: 0,
        earlier: Earlier::NotSent,
    }
}

/// One of its places.
pub(crate) fn place(send: &Waiting, nonce: u64) -> Place {
    Place::new(send, nonce)
}

struct Case<'a> {
    subject: &'a dyn Subject,
}

impl Case<'_> {
    async fn record(&self, sends: &[(Place, Waiting)]) -> Vec<Recorded> {
        self.subject.ports().sends.record(sends).await.unwrap()
    }

    /// Records the `n`th send at its first place.
    async fn recorded(&self, n: u32) -> (Place, Waiting) {
        let send = send(self.subject, n);
        let recorded = (place(&send, 1), send);
        assert_eq!(self.record(std::slice::from_ref(&recorded)).await, [Recorded::New]);
        recorded
    }

    async fn entry(&self, send: &Waiting) -> Entry {
        let ids = std::slice::from_ref(&send.id);
        let [entry] = self
            .subject
            .ports()
            .sends
            .entries(ids, Read::Consistent)
            .await
            .unwrap()
            .try_into()
            .unwrap();
        entry
    }

    /// All that waits, by place.
    async fn waiting(&self) -> Vec<(Place, Waiting)> {
        let parts = (0..SHARDS).map(|part| async move {
            self.subject.ports().sends.waiting(&account(), part, None, 100_000).await.unwrap()
        });
        let mut all: Vec<_> = join_all(parts).await.into_iter().flatten().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    async fn step(&self, ticket: &Ticket, step: Step) -> Option<Waiting> {
        self.subject.ports().sends.step(ticket, step).await.unwrap()
    }

    async fn finish(&self, ticket: &Ticket) {
        let outcome = Outcome::Sent {
            recipient: Some("526".into()),
            message: Some("mid".into()),
            variant: Some(2),
        };
        self.subject.ports().sends.finish(ticket, &outcome, now(self.subject)).await.unwrap();
    }

    async fn finish_unclaimed(&self, ticket: &Ticket) -> bool {
        let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
        let sends = &self.subject.ports().sends;
        sends.finish_unclaimed(ticket, &outcome, now(self.subject)).await.unwrap()
    }

    fn claim(&self) -> Step {
        Step::Claim { lease_until: now(self.subject) + 30 * SECOND }
    }
}

/// Both say the same of it, and everything of it is read back.
pub async fn a_recorded_send_has_an_entry_and_a_place(subject: &dyn Subject) {
    let case = Case { subject };
    let sends = &subject.ports().sends;
    assert_eq!(case.record(&[]).await, []);
    let never = send(subject, 99);
    assert_eq!(case.entry(&never).await, Entry::Missing);
    let (lane, order) = (Lane::Live, Overflow::NewestFirst);
    let bare = Waiting {
        to: Address::Person("527".into()),
        media: None,
        username: None,
        keyword: Some("guía".into()),
        stage: Stage::Queued { due: now(subject) },
        lane,
        order,
        ..send(subject, 2)
    };
    let mut recorded: Vec<_> =
        [send(subject, 1), bare].into_iter().map(|send| (place(&send, 1), send)).collect();
    assert_eq!(case.record(&recorded).await, [Recorded::New, Recorded::New]);
    for (place, send) in &recorded {
        assert_eq!(case.entry(send).await, Entry::Waiting(place.clone()));
    }
    recorded.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(case.waiting().await, recorded);
    let events: Vec<EventId> = [1, 2, 99].map(|n| send(subject, n).id.event).to_vec();
    let known = eventually(subject, "the lookup", async || {
        let known = sends.known(&account(), &events).await.unwrap();
        (known.len() == 2).then_some(known)
    })
    .await;
    assert!(known.contains(&events[0]) && known.contains(&events[1]));
    let other = AccountId::new("17841400000000078");
    assert!(sends.known(&other, &events).await.unwrap().is_empty(), "of another account");
}

/// Only the place tells who recorded it.
pub async fn recording_again_is_right_and_another_place_is_a_duplicate(subject: &dyn Subject) {
    let case = Case { subject };
    let (first, send) = case.recorded(1).await;
    let again = [(first.clone(), send.clone())];
    assert_eq!(case.record(&again).await, [Recorded::New], "its own write, tried again");
    let other = [(place(&send, 2), send.clone())];
    assert_eq!(case.record(&other).await, [Recorded::Duplicate]);
    assert_eq!(case.entry(&send).await, Entry::Waiting(first.clone()));
    assert_eq!(case.waiting().await, again);
    case.finish(&Ticket::new(&send, first)).await;
    assert_eq!(case.record(&other).await, [Recorded::Duplicate], "it has ended");
    assert_eq!(case.waiting().await, []);
    assert_eq!(case.entry(&send).await, Entry::Ended);
}

/// Twenty deliveries of the same three comments.
pub async fn of_webhooks_that_race_one_records(subject: &dyn Subject) {
    let case = Case { subject };
    let delivery =
        |nonce| (1..=3).map(|n| send(subject, n)).map(|send| (place(&send, nonce), send)).collect();
    let deliveries: Vec<Vec<(Place, Waiting)>> = (0..20).map(delivery).collect();
    let answers = join_all(deliveries.iter().map(|delivery| case.record(delivery))).await;
    let mut recorded: Vec<_> = deliveries
        .into_iter()
        .flatten()
        .zip(answers.into_iter().flatten())
        .filter(|(_, answer)| *answer == Recorded::New)
        .map(|(send, _)| send)
        .collect();
    recorded.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(recorded.len(), 3);
    assert_eq!(case.waiting().await, recorded);
    for (place, send) in recorded {
        assert_eq!(case.entry(&send).await, Entry::Waiting(place));
    }
}

/// More than a batch takes, and each answer stands where it was asked for.
pub async fn many_are_recorded_and_looked_up_at_once(subject: &dyn Subject) {
    let case = Case { subject };
    let all: Vec<_> =
        (0..130).map(|n| send(subject, n)).map(|send| (place(&send, 1), send)).collect();
    // The same event twice in one recording: whichever lives, one does.
    let twin = (place(&all[7].1, 2), all[7].1.clone());
    let both: Vec<_> = all.iter().cloned().chain([twin]).collect();
    let answers = case.record(&both).await;
    assert_eq!(answers.len(), 131);
    assert_eq!(answers.iter().filter(|answer| **answer == Recorded::Duplicate).count(), 1);
    assert!(answers[7] != answers[130]);
    assert_eq!(case.waiting().await.len(), 130);
    let lives = if answers[7] == Recorded::New { &both[7] } else { &both[130] };

    let mut ids: Vec<SendId> = both.iter().map(|(_, send)| send.id.clone()).collect();
    ids.insert(50, send(subject, 999).id);
    let entries = subject.ports().sends.entries(&ids, Read::Consistent).await.unwrap();
    assert_eq!(entries.len(), 132);
    assert_eq!(entries[50], Entry::Missing);
    assert_eq!(entries[7], Entry::Waiting(lives.0.clone()));
    assert_eq!(entries[131], entries[7]);
    assert_eq!(entries[0], Entry::Waiting(both[0].0.clone()));
    assert_eq!(entries[130], Entry::Waiting(both[129].0.clone()));
}

/// What a step gives is what the core says it does, and so is what is read then.
pub async fn steps_are_taken_at_the_tickets_epoch_alone(subject: &dyn Subject) {
    let case = Case { subject };
    let (place, mut stands) = case.recorded(1).await;
    let due = now(subject) + 30 * SECOND;
    for step in [
        Step::To(Stage::Queued { due }),
        case.claim(),
        Step::Failed(Stage::Queued { due }),
        case.claim(),
        Step::Lost(Stage::Parked),
        Step::To(Stage::Queued { due: due + SECOND }),
        case.claim(),
    ] {
        let ticket = Ticket::new(&stands, place.clone());
        let after = stands.after(step);
        assert_eq!(case.step(&ticket, step).await, Some(after.clone()), "{step:?}");
        assert_eq!(case.waiting().await, [(place.clone(), after.clone())]);
        assert_eq!(case.step(&ticket, step).await, None, "{step:?} again");
        let ahead = Ticket { epoch: after.epoch + 1, ..ticket };
        assert_eq!(case.step(&ahead, step).await, None, "{step:?} from the future");
        stands = after;
    }
    let nobodys = send(subject, 2);
    let ticket = Ticket::new(&nobodys, self::place(&nobodys, 1));
    assert_eq!(case.step(&ticket, case.claim()).await, None, "it was never recorded");
    assert_eq!(case.waiting().await, [(place, stands)], "a step makes nothing");
}

/// Fifty at once.
pub async fn of_claims_that_race_one_is_taken(subject: &dyn Subject) {
    let case = Case { subject };
    let (place, mut stands) = case.recorded(1).await;
    for _ in 0..4 {
        let ticket = Ticket::new(&stands, place.clone());
        let claim = case.claim();
        let claims = join_all((0..50).map(|_| case.step(&ticket, claim))).await;
        let taken: Vec<_> = claims.into_iter().flatten().collect();
        assert_eq!(taken, [stands.after(claim)]);
        stands = taken[0].clone();
    }
}

/// First its entry, then its place; another's place is no reason to end it.
pub async fn a_send_ends_once_and_leaves_its_place(subject: &dyn Subject) {
    let case = Case { subject };
    let (first, send) = case.recorded(1).await;
    let ticket = Ticket::new(&send, first.clone());
    case.finish(&Ticket { place: place(&send, 2), ..ticket.clone() }).await;
    assert_eq!(case.entry(&send).await, Entry::Waiting(first.clone()));
    assert_eq!(case.waiting().await, [(first, send.clone())]);
    for _ in 0..2 {
        case.finish(&ticket).await;
        assert_eq!(case.entry(&send).await, Entry::Ended);
        assert_eq!(case.waiting().await, []);
    }
    assert_eq!(case.step(&ticket, case.claim()).await, None);
}

/// Entry and place at once.
pub async fn an_unclaimed_send_ends_at_its_epoch_or_not_at_all(subject: &dyn Subject) {
    let case = Case { subject };
    let (first, send) = case.recorded(1).await;
    let ticket = Ticket::new(&send, first.clone());
    assert!(!case.finish_unclaimed(&Ticket { epoch: 1, ..ticket.clone() }).await);
    let elsewhere = Ticket { place: place(&send, 2), ..ticket.clone() };
    assert!(!case.finish_unclaimed(&elsewhere).await);
    assert_eq!(case.entry(&send).await, Entry::Waiting(first.clone()));
    assert_eq!(case.waiting().await, [(first, send.clone())]);
    assert!(case.finish_unclaimed(&ticket).await);
    assert_eq!(case.entry(&send).await, Entry::Ended);
    assert_eq!(case.waiting().await, []);
    assert!(!case.finish_unclaimed(&ticket).await, "it has ended");
}

/// Ten times, with two who end it.
pub async fn of_an_end_and_a_claim_that_race_one_is_taken(subject: &dyn Subject) {
    let case = Case { subject };
    for n in 0..10 {
        let (place, send) = case.recorded(n).await;
        let ticket = Ticket::new(&send, place.clone());
        let (one, claimed, other) = futures::join!(
            case.finish_unclaimed(&ticket),
            case.step(&ticket, case.claim()),
            case.finish_unclaimed(&ticket),
        );
        match (one || other, claimed) {
            (true, None) => assert_eq!(case.entry(&send).await, Entry::Ended),
            (false, Some(_)) => assert_eq!(case.entry(&send).await, Entry::Waiting(place)),
            both => panic!("{both:?}"),
        }
        assert!(!(one && other), "ended twice");
    }
}

/// What a webhook left that died before the entry.
pub async fn a_send_without_an_entry_is_adopted_once(subject: &dyn Subject) {
    let case = Case { subject };
    let sends = &subject.ports().sends;
    let send = send(subject, 1);
    let (first, second) = (place(&send, 1), place(&send, 2));
    assert_eq!(sends.adopt(&first, &send).await.unwrap(), Recorded::New);
    assert_eq!(case.entry(&send).await, Entry::Waiting(first.clone()));
    assert_eq!(sends.adopt(&first, &send).await.unwrap(), Recorded::New, "tried again");
    assert_eq!(sends.adopt(&second, &send).await.unwrap(), Recorded::Duplicate);
    assert_eq!(case.entry(&send).await, Entry::Waiting(first));
    let (kept, other) = case.recorded(2).await;
    sends.discard(&place(&other, 2), &other.id).await.unwrap();
    assert_eq!(case.waiting().await, [(kept.clone(), other.clone())], "nothing lay there");
    case.finish(&Ticket::new(&other, kept.clone())).await;
    sends.discard(&kept, &other.id).await.unwrap();
    assert_eq!(case.waiting().await, []);
}

/// In the order of places, behind the last one seen, no more than asked for.
pub async fn waiting_sends_are_read_in_order_page_by_page(subject: &dyn Subject) {
    let case = Case { subject };
    let sends = &subject.ports().sends;
    let all: Vec<_> =
        (0..90).map(|n| send(subject, n)).map(|send| (place(&send, 1), send)).collect();
    case.record(&all).await;
    let mut read = Vec::new();
    for part in 0..SHARDS {
        let mut of_part: Vec<_> =
            all.iter().filter(|(_, send)| shard(&send.id.event) == part).cloned().collect();
        of_part.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut after = None;
        let mut pages = Vec::new();
        loop {
            let page = sends.waiting(&account(), part, after.as_ref(), 7).await.unwrap();
            assert!(page.len() <= 7);
            let last = page.len() < 7;
            after = page.last().map(|(place, _)| place.clone()).or(after);
            pages.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(pages, of_part);
        read.extend(pages);
    }
    let read: BTreeSet<Place> = read.into_iter().map(|(place, _)| place).collect();
    assert_eq!(read.len(), 90);
    let other = AccountId::new("1784140000000007");
    assert_eq!(sends.waiting(&other, 0, None, 7).await.unwrap(), [], "a prefix of its id");
}

/// A store may give less than was asked for in one answer: here 1.5 MB in one part.
pub async fn a_page_that_is_full_is_not_the_last(subject: &dyn Subject) {
    let case = Case { subject };
    let long = || Some("n".repeat(6000));
    let all: Vec<_> = (0..1200)
        .map(|n| Waiting { username: long(), ..send(subject, n) })
        .filter(|send| shard(&send.id.event) == 0)
        .take(250)
        .map(|send| (place(&send, 1), send))
        .collect();
    assert_eq!(all.len(), 250);
    case.record(&all).await;
    let page = subject.ports().sends.waiting(&account(), 0, None, 240).await.unwrap();
    assert_eq!(page.len(), 240);
    let page = subject.ports().sends.waiting(&account(), 0, None, 500).await.unwrap();
    assert_eq!(page.len(), 250);
}
