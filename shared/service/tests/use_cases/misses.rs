//! Comments that match nothing, as processes count them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::json;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::misses::{Day, MissDay};
use spillway_memory::{Ports, Sealer};
use spillway_meta::webhook::{CommentEvent, CommentKind};
use spillway_service::account::Account;
use spillway_service::account_cache::AccountCache;
use spillway_service::clock::Clock;
use spillway_service::grant::GrantIds;
use spillway_service::misses::{MissCounter, MissSamples, WRITE_EVERY};
use spillway_service::port::{Accounts, Read};

use crate::world::{START, World, id};

/// A process of the webhook function.
struct Process {
    counter: MissCounter,
    accounts: AccountCache,
    clock: Arc<dyn Clock>,
}

impl Process {
    fn new(world: &Arc<World>, number: u64) -> Self {
        let clock: Arc<dyn Clock> = world.clone();
        let (store, ids) = (Arc::new(Ports(world.clone())), Arc::new(GrantIds::new(number)));
        let sealer = Arc::new(Sealer);
        Self {
            counter: MissCounter::new(store, sealer, MissSamples::Kept, ids, clock.clone()),
            accounts: AccountCache::new(world.clone(), &clock),
            clock,
        }
    }

    /// Delivers comments with these numbers. None matches.
    fn deliver(&self, account: &Account, numbers: std::ops::Range<u32>) {
        let comment = |n: u32| CommentEvent {
            account: id(),
            notified_at: Some(self.clock.now()),
            kind: CommentKind::Comment,
            id: format!("1789{n:013}").as_str().into(),
            from: None,
            text: Some(format!("so nice {n}")),
            media: Some("17900000000000001".into()),
            original_media: None,
            ad: None,
            parent: None,
        };
        let comments: Vec<CommentEvent> = numbers.map(comment).collect();
        self.counter.count(account, &comments, self.clock.now());
        self.counter.write_due(&self.accounts).now_or_never().unwrap();
    }
}

fn account(world: &Arc<World>, campaigns: serde_json::Value) -> Account {
    let campaigns: Vec<Campaign> = serde_json::from_value(campaigns).unwrap();
    let read = world.read(&id(), Read::Consistent).now_or_never().unwrap();
    Account { campaigns: Campaigns::new(campaigns), ..read.unwrap().unwrap() }
}

fn with_a_campaign(world: &Arc<World>) -> Account {
    account(world, json!([{ "id": "guide", "keywords": ["guide"], "messages": ["hi"] }]))
}

impl World {
    fn miss_days(&self) -> Vec<(Day, MissDay)> {
        let state = self.state();
        state.tables.miss_days.iter().map(|((_, day), tally)| (*day, tally.clone())).collect()
    }

    fn missed(&self) -> u64 {
        self.miss_days().iter().map(|(_, day)| day.tally.total()).sum()
    }
}

#[test]
fn what_cannot_be_written_is_written_the_next_time() {
    let world = World::new();
    let (process, account) = (Process::new(&world, 1), with_a_campaign(&world));
    world.state().unanswered = Some("save the day's misses");
    process.deliver(&account, 0..3);
    assert_eq!(world.missed(), 0);
    world.state().unanswered = None;
    process.deliver(&account, 3..5);
    assert_eq!(world.missed(), 0, "not before a minute has passed");
    world.pass(WRITE_EVERY);
    process.deliver(&account, 5..5);
    assert_eq!(world.missed(), 5);
    assert_eq!(world.state().tables.miss_samples.len(), 5);
    // Samples that are lost are not counted again.
    world.state().unanswered = Some("store a sample of the misses");
    world.pass(WRITE_EVERY);
    process.deliver(&account, 5..6);
    world.state().unanswered = None;
    world.pass(WRITE_EVERY);
    process.deliver(&account, 6..7);
    assert_eq!(world.missed(), 7);
    assert_eq!(world.state().tables.miss_samples.len(), 6);
}

#[test]
fn processes_add_to_one_tally_and_a_day_has_its_own() {
    let world = World::new();
    let account = with_a_campaign(&world);
    let processes = [1, 2, 3].map(|number| Process::new(&world, number));
    for round in 0..5 {
        for (n, process) in (0..).zip(&processes) {
            let first = 1000 * n + 40 * round;
            process.deliver(&account, first..first + 40);
        }
        world.pass(WRITE_EVERY);
    }
    assert_eq!(world.missed(), 600);
    assert_eq!(world.state().tables.miss_samples.len(), 20);
    // Midnight passes between two writes.
    let midnight = Day::of(START).end();
    world.pass(midnight.since(world.now()) - Duration::from_secs(10));
    processes[0].deliver(&account, 5000..5001);
    processes[0].deliver(&account, 5001..5002);
    world.pass(Duration::from_secs(20));
    processes[0].deliver(&account, 5002..5003);
    world.pass(WRITE_EVERY);
    processes[0].deliver(&account, 0..0);
    let totals: Vec<u64> = world.miss_days().iter().map(|(_, day)| day.tally.total()).collect();
    assert_eq!(totals, [602, 1]);
}

#[test]
fn an_account_without_campaigns_or_connection_costs_nothing() {
    let world = World::new();
    let process = Process::new(&world, 1);
    process.deliver(&account(&world, json!([])), 0..100);
    assert_eq!(world.missed(), 0);
    // It is removed between two deliveries.
    let account = with_a_campaign(&world);
    process.deliver(&account, 0..1);
    process.deliver(&account, 1..2);
    world.state().revision = None;
    world.state().tables.miss_days.clear();
    world.pass(2 * WRITE_EVERY);
    process.deliver(&account, 2..3);
    assert_eq!(world.missed(), 0);
}

#[test]
fn all_comments_of_a_large_delivery_are_counted() {
    let world = World::new();
    Process::new(&world, 1).deliver(&with_a_campaign(&world), 0..250);
    let [(_, day)] = &world.miss_days()[..] else { panic!("one day") };
    let counts: Vec<u64> = day.tally.counts().iter().map(|counted| counted.count).collect();
    assert_eq!((counts, day.tally.total()), (vec![150, 100], 250));
}
