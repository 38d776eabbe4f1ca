//! Builds with a promise switched off: the judge must catch each of them, or its silence about the
//! whole build means nothing.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spillway_cloud::wiring::Wiring;
use spillway_core::budget::Revision;
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CommentId, EventId, SendId};
use spillway_core::quota::Limit;
use spillway_core::rules::Rules;
use spillway_core::send::{Address, Earlier, Outcome, PendingSend, Stage, Step};
use spillway_core::time::Timestamp;
use spillway_local::report::Report;
use spillway_local::setup::QuotaOptions;
use spillway_local::story::Story;
use spillway_service::account::Account;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Accounts, Entry, Queued, Read, Recorded, SendQueue, Sends, StoreError,
};
use spillway_service::send_task::SendTask;

use crate::story::{options, quotas};

/// Comments; an hour takes 200 of them.
const COMMENTS: u32 = 230;

async fn play(recipients: &str, wrap: fn(Wiring) -> Wiring) -> (Report, Story) {
    let quotas = QuotaOptions { recipients: recipients.parse().unwrap(), ..quotas() };
    let mut story = Story::wrapped(&options(COMMENTS, 21), &quotas, wrap).await.unwrap();
    let report = story.play(&mut |_| ()).await.unwrap();
    (report, story)
}

/// A queue that brings every message twice, as SQS may: the second time once the first is done.
struct Twice(Arc<dyn SendQueue>);

#[async_trait]
impl SendQueue for Twice {
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>> {
        let later = |message: &Queued| Queued {
            task: message.task.clone(),
            delay: message.delay + Duration::from_secs(20),
        };
        let again: Vec<Queued> = messages.iter().map(later).collect();
        self.0.enqueue(&again).await;
        self.0.enqueue(messages).await
    }

    async fn dead_letter(&self, body: &str) -> Result<(), StoreError> {
        self.0.dead_letter(body).await
    }
}

/// Sends without claims: whoever has a message acts on it, whatever it says of the epoch.
struct Unclaimed(Arc<dyn Sends>);

#[async_trait]
impl Sends for Unclaimed {
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        self.0.known(account, events).await
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        self.0.put_batches(batches).await
    }

    async fn record(
        &self,
        sends: &[(OutboxKey, PendingSend)],
    ) -> Vec<Result<Recorded, StoreError>> {
        self.0.record(sends).await
    }

    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        at: Timestamp,
    ) -> Result<Option<PendingSend>, StoreError> {
        let Step::Claim { lease_until } = step else { return self.0.step(task, step, at).await };
        if let Some(claimed) = self.0.step(task, step, at).await? {
            return Ok(Some(claimed));
        }
        Ok(Some(PendingSend {
            id: task.send.clone(),
            lane: task.lane,
            campaign: task.campaign.clone(),
            to: Address::Comment { id: CommentId::new(task.send.event.as_str()), author: None },
            order: Overflow::OldestFirst,
            media: None,
            username: None,
            keyword: None,
            matched_at: Timestamp::EPOCH,
            deadline: task.deadline,
            stage: Stage::Sending { lease_until },
            epoch: task.epoch + 1,
            attempt: 1,
            failures: 0,
            earlier: Earlier::NotSent,
            made_at: None,
        }))
    }

    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.finish(task, outcome, at).await
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.finish_unclaimed(task, outcome, at).await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        self.0.entries(sends, read).await
    }

    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        self.0.batches(account, after, limit).await
    }

    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        self.0.rewrite(next).await
    }
}

fn every_message_twice(wiring: Wiring) -> Wiring {
    Wiring { queue: Arc::new(Twice(wiring.queue.clone())), ..wiring }
}

fn no_claims(wiring: Wiring) -> Wiring {
    let wiring = every_message_twice(wiring);
    Wiring { sends: Arc::new(Unclaimed(wiring.sends.clone())), ..wiring }
}

#[tokio::test]
async fn messages_that_come_twice_change_nothing() {
    let (report, story) = play("1000/24h", every_message_twice).await;
    assert!(report.is_clean(story.expected), "{report:#?}");
    assert_eq!(report.sent, story.expected);
    assert_eq!(report.graph_calls, story.expected);
}

#[tokio::test]
async fn without_claims_the_judge_counts_duplicates() {
    let mut story = Story::wrapped(&options(COMMENTS, 21), &quotas(), no_claims).await.unwrap();
    let graph = story.stack.graph.clone();
    // To its end it would take long: every message that is put off comes back as two, for ever.
    while graph.report().duplicates == 0 && story.step().await.unwrap() {}
    let report = Report::of(&story.stack).await.unwrap();
    assert!(report.duplicates > 0, "{report:#?}");
    assert_eq!(graph.report().duplicate_calls.len() as u64, report.duplicates);
    // It alone makes a report unclean.
    let expected = report.matched;
    let ended = Report { waiting: 0, sent: expected, disagreements: 0, ..report };
    assert!(!ended.is_clean(expected));
    assert!(Report { duplicates: 0, ..ended }.is_clean(expected));
}

/// Accounts some of whose quotas are out of force.
struct Without(Arc<dyn Accounts>, &'static [&'static str]);

#[async_trait]
impl Accounts for Without {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        let mut account = self.0.read(account, how).await?;
        if let Some(account) = &mut account {
            let mut profile = account.rules.profile().clone();
            for quota in
                profile.quotas.iter_mut().filter(|quota| self.1.contains(&quota.id.as_str()))
            {
                quota.limit = Limit::Fixed(NonZeroU32::MAX);
            }
            account.rules = Rules::new(profile, account.rules.terms().clone()).unwrap();
        }
        Ok(account)
    }

    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.0.revision(account).await
    }
}

fn no_recipients_quota(wiring: Wiring) -> Wiring {
    Wiring {
        accounts: Arc::new(Without(wiring.accounts.clone(), &["recipients", "messages"])),
        ..wiring
    }
}

fn no_calls_quotas(wiring: Wiring) -> Wiring {
    Wiring {
        accounts: Arc::new(Without(wiring.accounts.clone(), &["calls", "private_replies"])),
        ..wiring
    }
}

/// The names of the limits that the judge found broken, and that the recount agrees.
fn broken_limits(story: &Story) -> HashSet<String> {
    let violations = story.stack.graph.report().violations;
    assert_eq!(violations, story.stack.graph.recount());
    violations.into_iter().flat_map(|v| v.limits).map(|over| over.limit).collect()
}

#[tokio::test]
async fn without_the_recipients_quota_the_judge_counts_violations() {
    let (report, story) = play("200/24h", no_recipients_quota).await;
    assert!(report.violations > 0, "{report:#?}");
    assert!(!report.is_clean(story.expected));
    assert_eq!(broken_limits(&story), HashSet::from(["recipients".to_owned()]));
}

#[tokio::test]
async fn without_the_calls_quotas_the_judge_counts_violations() {
    let (report, story) = play("1000/24h", no_calls_quotas).await;
    assert!(report.violations > 0, "{report:#?}");
    assert!(!report.is_clean(story.expected));
    assert_eq!(broken_limits(&story), HashSet::from(["calls".to_owned()]));
}
