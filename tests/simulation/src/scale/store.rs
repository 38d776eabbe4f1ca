//! What all processes share: the clock, the tables, the queues, and the meter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spillway_core::app::AppBudget;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use spillway_service::send_task::SendTask;

use super::meter::{Cost, Counts, Meter, Table, Way};
use super::one::Answers;
use super::plan::Plan;
use super::stopwatch::{Server, Stopwatch};
use super::talks::Talks;
use super::units::conversation_bytes;
use crate::dice::Dice;
use crate::process::Function;
use crate::queue::{Queue, Received, Settings};
use spillway_memory::tables::Tables;

/// The queues as template.yaml sets them up.
const SENDS: Settings =
    Settings { visibility: 180_000, retention: 1_209_600_000, receives_max: 10 };
const RELEASES: Settings =
    Settings { visibility: 360_000, retention: 900_000, receives_max: u32::MAX };

/// The store, and the time.
pub(crate) struct Shared {
    now: AtomicU64,
    store: Mutex<Store>,
    /// How long the invocation at work has taken.
    pub(super) stopwatch: Stopwatch,
    /// What was drawn before.
    pub(super) plan: Plan,
}

/// Everything that changes.
pub(crate) struct Store {
    /// The instant, in milliseconds since 1970.
    pub(super) now: u64,
    /// What is yet to be drawn.
    pub(super) dice: Dice,
    /// What DynamoDB holds.
    pub(super) tables: Tables,
    /// What was asked of it.
    pub(super) meter: Meter,
    /// What Meta says.
    pub(super) meta: Box<dyn Answers>,
    /// What people do after what they are told.
    pub(super) talks: Talks,
    /// DMs that Meta has taken.
    pub(super) written: u64,
    sends: Queue<SendTask>,
    releases: Queue<AccountId>,
}

impl Shared {
    /// The world before anything happens in it; so many accounts lease from the app's quotas.
    pub(crate) fn new(plan: Plan, meta: Box<dyn Answers>, leasing: u32, seed: u64) -> Arc<Self> {
        let start = plan.start;
        let app = AppBudget { leasing, ..AppBudget::default() };
        let store = Store {
            now: start,
            dice: Dice::new(seed ^ 0x0005_ca1e),
            tables: Tables { app: Some(app), ..Tables::default() },
            meter: Meter::default(),
            meta,
            talks: Talks::default(),
            written: 0,
            sends: Queue::new(SENDS),
            releases: Queue::new(RELEASES),
        };
        Arc::new(Self {
            now: AtomicU64::new(start),
            store: Mutex::new(store),
            stopwatch: Stopwatch::default(),
            plan,
        })
    }

    /// The store. Whoever holds it must not await.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes so many requests at a time, and waits for their answers.
    pub(super) async fn request(&self, server: Server, requests: usize) {
        let requests = requests as u64;
        if requests == 0 {
            return;
        }
        {
            let counts = &mut self.store().meter.counts;
            match server {
                Server::Store => counts.store_requests += requests,
                Server::Queue => counts.queue_sends += requests,
                Server::Graph => {}
            }
        }
        self.stopwatch.wait(requests, server.latency()).await;
    }

    /// What has been billed.
    pub(crate) fn counts(&self) -> Counts {
        self.store().meter.counts.clone()
    }

    /// DMs that were written.
    pub(crate) fn written(&self) -> u64 {
        self.store().written
    }

    /// Bytes that are kept of all conversations.
    pub(crate) fn conversation_bytes(&self) -> usize {
        let store = self.store();
        let people = store.tables.conversations.keys();
        let bytes = people.map(|(account, person)| {
            let kept = store.tables.conversation(account, person, u64::MAX);
            conversation_bytes(account, person, &kept)
        });
        bytes.sum()
    }

    /// Lets time pass until `now`.
    pub(super) fn pass_to(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
        self.store().now = now;
    }
}

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::Relaxed))
    }
}

impl Store {
    /// Counts a request.
    pub(super) fn ask(&mut self, by: Function, table: Table, key: &str, cost: Cost) {
        self.meter.add(by, table, key, self.now / 1000, cost);
    }

    /// Puts a task on the send queue.
    pub(super) fn send_task(&mut self, task: &SendTask, delay: u64) {
        let second = self.now / 1000;
        self.meter.send_queue.add(&task.send.account, Way::Sent, second);
        self.sends.send(task.clone(), self.now, self.now + delay, &mut self.dice);
    }

    /// Puts an account on the release queue.
    pub(super) fn send_account(&mut self, account: &AccountId) {
        self.meter.release_queue.add(account, Way::Sent, self.now / 1000);
        self.releases.send(account.clone(), self.now, self.now, &mut self.dice);
    }

    /// Whether there is a message for the sender.
    pub(super) fn has_tasks(&self) -> bool {
        self.sends.next_visible().is_some_and(|at| at <= self.now)
    }

    /// Whether there is one for the release function.
    pub(super) fn has_accounts(&self) -> bool {
        self.releases.next_visible().is_some_and(|at| at <= self.now)
    }

    /// A batch for the sender.
    pub(super) fn receive_tasks(&mut self, most: usize) -> Vec<Received<SendTask>> {
        let batch = self.sends.receive(self.now, most, &mut self.dice);
        self.meter.counts.took(batch.len() as u64);
        for message in &batch {
            let group = &message.body.send.account;
            self.meter.send_queue.add(group, Way::Received, self.now / 1000);
        }
        batch
    }

    /// A message for the release function.
    pub(super) fn receive_account(&mut self) -> Option<Received<AccountId>> {
        let message = self.releases.receive(self.now, 1, &mut self.dice).pop()?;
        self.meter.counts.took(0);
        self.meter.release_queue.add(&message.body, Way::Received, self.now / 1000);
        Some(message)
    }

    /// Deletes what the sender is done with.
    pub(super) fn delete_task(&mut self, message: &Received<SendTask>) {
        self.sends.delete(message.receipt);
    }

    /// Deletes what the release function is done with.
    pub(super) fn delete_account(&mut self, message: &Received<AccountId>) {
        self.releases.delete(message.receipt);
    }

    /// When there is a message for anybody, or may be.
    pub(super) fn next_visible(&self) -> Option<u64> {
        self.sends.next_visible().into_iter().chain(self.releases.next_visible()).min()
    }

    /// Sends that wait.
    pub(super) fn waiting(&self) -> usize {
        self.tables.waiting
    }

    /// Notes how long the queues are.
    pub(super) fn measure_queues(&mut self) {
        self.meter.send_queue.holds(self.sends.len());
        self.meter.release_queue.holds(self.releases.len());
    }
}
