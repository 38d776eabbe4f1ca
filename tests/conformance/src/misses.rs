//! Comments that matched nothing: tallies of days, and samples.

use std::time::Duration;

use spillway_core::id::{MediaId, RecipientId};
use spillway_core::misses::{Day, Excluded, MissDay, MissKind, Rank, SAMPLES_KEPT, Tally};
use spillway_core::time::Timestamp;
use spillway_service::port::{Read, Saved, SealedText, StoredSample};

use crate::{SECOND, Subject, grant, now};

const DAY: Duration = Duration::from_secs(86_400);

fn kind(keyword: &str) -> MissKind {
    MissKind {
        campaign: Some("guide".into()),
        keyword: Some(keyword.into()),
        excluded: Excluded::Exception,
        exception: Some("no".into()),
    }
}

fn counted(keyword: &str, ranks: &[Rank]) -> Tally<()> {
    let mut tally = Tally::default();
    let at = tally.count(kind(keyword), ranks.len() as u64);
    for &rank in ranks {
        tally.offer(at, rank, || ());
    }
    tally
}

fn sample(rank: Rank, person: &str, at: Timestamp) -> StoredSample {
    StoredSample {
        kind: kind("guide"),
        rank,
        person: Some(RecipientId::new(person)),
        media: rank.is_multiple_of(2).then(|| MediaId::new("17900000000000001")),
        at,
        text: SealedText { key: 3, sealed: vec![0, 1, 255, u8::try_from(rank % 256).unwrap()] },
    }
}

/// A process adds to what others have counted, and never over it.
pub async fn a_days_misses_are_written_on_their_version_alone(subject: &dyn Subject) {
    let misses = &subject.ports().misses;
    let (id, day) = (subject.connected(), Day::of(now(subject)));
    let empty = misses.load(&id, day, Read::Consistent).await.unwrap();
    assert_eq!(empty, MissDay::default());
    let first = empty.with(&counted("guide", &[7, 9]), grant(1));
    assert_eq!(misses.save(&id, day, &first).await.unwrap(), Saved::Done);
    assert_eq!(misses.save(&id, day, &first).await.unwrap(), Saved::Done, "its own, repeated");
    let other = empty.with(&counted("link", &[8]), grant(2));
    assert_eq!(misses.save(&id, day, &other).await.unwrap(), Saved::Conflict(first.clone()));
    let second = first.with(&counted("link", &[8]), grant(3));
    assert_eq!(misses.save(&id, day, &second).await.unwrap(), Saved::Done);
    let stored = misses.load(&id, day, Read::Consistent).await.unwrap();
    assert_eq!(stored, second);
    assert_eq!(stored.tally.total(), 3);
}

/// A day's tally is found from that day on, and of this account alone.
pub async fn tallies_are_listed_from_a_day_on(subject: &dyn Subject) {
    let misses = &subject.ports().misses;
    let (id, now) = (subject.connected(), now(subject));
    let days = [2, 1, 0].map(|ago| Day::of(now - ago * DAY));
    for (n, day) in days.into_iter().enumerate() {
        let tally = counted(&format!("k{n}"), &[1]);
        let first = MissDay::default().with(&tally, grant(n as u64));
        assert_eq!(misses.save(&id, day, &first).await.unwrap(), Saved::Done);
    }
    misses.put_sample(&id, days[2], 0, &sample(1, "526", now)).await.unwrap();
    let listed = misses.days(&id, days[1]).await.unwrap();
    let found: Vec<Day> = listed.iter().map(|(day, _)| *day).collect();
    assert_eq!(found, days[1..]);
    assert_eq!(listed[1].1.tally.counts()[0].kind, kind("k2"));
    assert_eq!(misses.days(&"17841400000000999".into(), days[0]).await.unwrap(), []);
}

/// Of processes that write in another order than they have decided, the last to decide counts.
pub async fn a_slot_keeps_the_lowest_rank(subject: &dyn Subject) {
    let misses = &subject.ports().misses;
    let (id, now) = (subject.connected(), now(subject));
    let day = Day::of(now);
    for rank in [9, 4, 6, 4] {
        misses.put_sample(&id, day, 17, &sample(rank, "526", now)).await.unwrap();
    }
    misses.put_sample(&id, day, 18, &sample(8, "527", now)).await.unwrap();
    let samples = misses.samples(&id, now - SECOND, now).await.unwrap();
    assert_eq!(samples, [sample(4, "526", now), sample(8, "527", now)]);
}

/// DynamoDB deletes days late what is over.
pub async fn old_samples_are_not_shown(subject: &dyn Subject) {
    let misses = &subject.ports().misses;
    let (id, now) = (subject.connected(), now(subject));
    for (slot, at) in [(0, now - SAMPLES_KEPT), (1, now - DAY), (2, now)] {
        misses.put_sample(&id, Day::of(at), slot, &sample(slot as Rank, "526", at)).await.unwrap();
    }
    let ranks = async |since: Timestamp, now: Timestamp| {
        let samples = misses.samples(&id, since, now).await.unwrap();
        samples.iter().map(|sample| sample.rank).collect::<Vec<_>>()
    };
    assert_eq!(ranks(now - 30 * DAY, now).await, [1, 2]);
    assert_eq!(ranks(now - SECOND, now).await, [2]);
    assert_eq!(ranks(now - 30 * DAY, now + SAMPLES_KEPT - SECOND).await, [2]);
}

/// Nobody else's sample goes with a person's.
pub async fn a_forgotten_person_has_no_samples(subject: &dyn Subject) {
    let misses = &subject.ports().misses;
    let (id, now) = (subject.connected(), now(subject));
    for (slot, person) in [(0, "526"), (1, "527"), (2, "526")] {
        misses
            .put_sample(&id, Day::of(now), slot, &sample(slot as Rank, person, now))
            .await
            .unwrap();
    }
    let person = RecipientId::new("526");
    assert_eq!(misses.forget(&id, &person).await.unwrap(), 2);
    assert_eq!(misses.forget(&id, &person).await.unwrap(), 0);
    let left = misses.samples(&id, now - DAY, now).await.unwrap();
    assert_eq!(left, [sample(1, "527", now)]);
}

/// Counts and samples go with their account.
pub async fn of_a_deleted_account_no_miss_is_left(subject: &dyn Subject) {
    let misses = &subject.ports().misses;
    let (id, now) = (subject.connected(), now(subject));
    let (other, day) = ("17841400000000999".into(), Day::of(now));
    for id in [&id, &other] {
        let first = MissDay::default().with(&counted("guide", &[1]), grant(1));
        assert_eq!(misses.save(id, day, &first).await.unwrap(), Saved::Done);
        misses.put_sample(id, day, 0, &sample(1, "526", now)).await.unwrap();
    }
    for _ in 0..2 {
        misses.delete(&id).await.unwrap();
        assert_eq!(misses.days(&id, day).await.unwrap(), []);
        assert_eq!(misses.samples(&id, now - DAY, now).await.unwrap(), []);
    }
    assert_eq!(misses.days(&other, day).await.unwrap().len(), 1);
    assert_eq!(misses.samples(&other, now - DAY, now).await.unwrap().len(), 1);
}
