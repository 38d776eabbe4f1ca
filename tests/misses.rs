//! Comments that match nothing: what an operator is shown of them, what it costs, and that nobody
//! else can read what people wrote.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use spillway_cloud::wiring::Wiring;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::misses::{Excluded, SAMPLES_KEPT};
use spillway_local::fault_injector::Function;
use spillway_service::admin::misses::{MissesView, Samples};
use spillway_service::misses::{MissSamples, WRITE_EVERY};
use spillway_service::port::SampleOpener;

use crate::harness::{CREATOR, OTHER, Said, World, all_said, careful, said};

const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn creator() -> AccountId {
    AccountId::new(CREATOR)
}

impl World {
    async fn misses(&self) -> MissesView {
        let accounts = self.outside.accounts.load(&creator()).await.unwrap();
        let accounts: Vec<_> = accounts.into_iter().collect();
        let admin = self.outside.admin().misses;
        admin.view(&accounts, WEEK, Samples::Shown, self.now()).await.unwrap()
    }

    /// How often each kind of miss was counted, the most frequent first.
    async fn counts(&self) -> Vec<(Excluded, Option<String>, u64)> {
        let misses = self.misses().await.misses;
        misses.into_iter().map(|miss| (miss.excluded, miss.keyword, miss.count)).collect()
    }

    /// The texts of the samples, in order.
    async fn texts(&self) -> Vec<String> {
        let samples = self.misses().await.samples.unwrap();
        let mut texts: Vec<String> = samples.into_iter().filter_map(|sample| sample.text).collect();
        texts.sort();
        texts
    }

    /// Requests for items of the partitions of misses and of the keys.
    fn requests(&self) -> usize {
        let calls = self.stack.faults.calls().into_iter();
        calls
            .filter(|call| call.function == Function::Webhook)
            .filter(|call| ["misses#*", "sample-keys"].contains(&call.partition.as_str()))
            .count()
    }
}

/// The `n`th comment that matches nothing.
fn miss(n: u32, text: &str) -> Said {
    said(n).saying(text)
}

#[tokio::test]
async fn what_matched_nothing_is_counted_and_shown_to_the_operator() {
    let world = World::start(careful()).await;
    let all = [
        miss(1, "So NICE, what a day! 🔥"),
        miss(2, "giude please"),
        miss(3, "the giude"),
        said(4),
        miss(5, ""),
        // Every comment matches there.
        miss(6, "anything").on(OTHER),
    ];
    world.observe(&all);
    assert_eq!(world.say(&all).await, 200);
    let almost = (Excluded::Almost, Some("guide".to_owned()), 2);
    assert_eq!(world.counts().await, [(Excluded::NoKeyword, None, 2), almost]);
    assert_eq!(world.texts().await, ["giude please", "so nice what a day 🔥", "the giude"]);
    let samples = world.misses().await.samples.unwrap();
    assert!(samples.iter().all(|sample| sample.media.is_some() && sample.at.is_some()));
    assert!(!format!("{samples:?}").contains("nice"));
}

#[tokio::test]
async fn a_process_writes_once_a_minute_and_matches_cost_nothing() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&all_said(100..105)).await, 200);
    assert_eq!(world.requests(), 0, "all match");
    assert_eq!(world.say(&[miss(1, "so nice")]).await, 200);
    let first = world.requests();
    assert!(first <= 4, "{first} requests: a tally read and written, a key, and a sample");
    for n in 2..100 {
        assert_eq!(world.say(&[miss(n, "wow")]).await, 200);
    }
    assert_eq!(world.requests(), first, "the rest of the minute");
    world.pass(WRITE_EVERY).await;
    // Any delivery will do.
    assert_eq!(world.say(&[said(105)]).await, 200);
    let second = world.requests() - first;
    assert!(second <= 20, "{second} requests: a tally, and samples of one keyword");
    assert_eq!(world.counts().await, [(Excluded::NoKeyword, None, 99)]);
    assert_eq!(world.texts().await.len(), 20);
}

#[tokio::test]
async fn a_sample_is_found_in_no_item_and_opened_by_no_function() {
    let world = World::start(careful()).await;
    assert_eq!(world.say(&[miss(1, "my secret wish")]).await, 200);
    assert_eq!(world.texts().await, ["my secret wish"]);
    let scan = world.stack.dynamo.scan().table_name(&world.stack.config.state_table);
    let items = scan.send().await.unwrap().items.unwrap_or_default();
    let holds = |value: &AttributeValue| match value {
        AttributeValue::B(bytes) => {
            bytes.as_ref().windows(6).any(|part| part.eq_ignore_ascii_case(b"secret"))
        }
        other => format!("{other:?}").to_lowercase().contains("secret"),
    };
    assert!(items.len() > 3);
    assert!(!items.iter().flat_map(|item| item.values()).any(holds));
    // The key service refuses the data key of the private key for any other purpose.
    let stored = world.outside.misses.samples(&creator(), world.now() - WEEK, world.now()).await;
    let [sample] = &stored.unwrap()[..] else { panic!("one sample") };
    let keys = &world.outside.sample_keys;
    assert_eq!(keys.open(&creator(), &sample.text).await.unwrap(), "my secret wish");
    assert!(keys.open(&AccountId::new(OTHER), &sample.text).await.is_err());
    // After a new key, old samples open still.
    keys.replace().await.unwrap();
    assert_eq!(keys.open(&creator(), &sample.text).await.unwrap(), "my secret wish");
}

#[tokio::test]
async fn samples_are_off_where_they_are_turned_off() {
    let off = |wiring| Wiring { miss_samples: MissSamples::Off, ..wiring };
    let world = World::wrapped(careful(), off).await;
    assert_eq!(world.say(&[miss(1, "so nice")]).await, 200);
    assert_eq!(world.counts().await, [(Excluded::NoKeyword, None, 1)]);
    assert_eq!(world.texts().await, [""; 0]);
}

#[tokio::test]
async fn a_person_who_is_forgotten_is_in_no_sample() {
    let mut world = World::start(careful()).await;
    let (one, other) = (miss(1, "so nice"), miss(2, "wow"));
    assert_eq!(world.say(&[one.clone(), other]).await, 200);
    // This one is still in the process when they are forgotten.
    assert_eq!(world.say(&[miss(3, "again me").by(&one.author)]).await, 200);
    let person = RecipientId::new(one.author.as_str());
    let admin = world.outside.admin();
    let forgotten = admin.sends.forget(&creator(), &person, |_| ()).await.unwrap();
    assert_eq!(forgotten.samples, 1);
    assert_eq!(world.texts().await, ["wow"]);
    world.pass(2 * WRITE_EVERY).await;
    assert_eq!(world.say(&[miss(4, "me too").by(&one.author)]).await, 200);
    assert_eq!(world.counts().await, [(Excluded::NoKeyword, None, 4)]);
    assert_eq!(world.texts().await, ["wow"]);
    let stored = world.outside.misses.samples(&creator(), world.now() - WEEK, world.now()).await;
    assert!(stored.unwrap().iter().all(|sample| sample.person.as_ref() != Some(&person)));
}

#[tokio::test]
async fn a_removed_account_leaves_no_misses_and_old_samples_are_not_shown() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[miss(1, "so nice")]).await, 200);
    world.pass(SAMPLES_KEPT).await;
    assert_eq!(world.texts().await, [""; 0]);
    assert_eq!(world.say(&[miss(2, "wow")]).await, 200);
    assert_eq!(world.texts().await, ["wow"]);
    let admin = world.outside.admin();
    let removable = admin.removable(&creator()).await.unwrap();
    admin.remove(&removable, |_| ()).await.unwrap();
    let misses = &world.outside.misses;
    let since = spillway_core::misses::Day::default();
    assert_eq!(misses.days(&creator(), since).await.unwrap(), []);
    assert_eq!(misses.samples(&creator(), world.now() - WEEK, world.now()).await.unwrap(), []);
}
