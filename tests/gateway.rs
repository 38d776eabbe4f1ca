//! Nothing calls Meta past the life of its grant: here the write that grants takes longer than
//! that, for each caller of the gateway.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spillway_cloud::meta::login::{Login, Payer, Subscribed};
use spillway_cloud::wiring::Wiring;
use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::quota::GRANT_LIFE;
use spillway_core::time::Timestamp;
use spillway_local::clock::SteppedClock;
use spillway_local::setup::load_accounts;
use spillway_service::admin::connect::NewSettings;
use spillway_service::port::{Budgets, Moved, Read, Saved, StoreError};

use crate::harness::{CREATOR, World, all_said, careful};

const HOUR: Duration = Duration::from_secs(3600);

thread_local! {
    /// The clock that each write of a budget moves on: each test has a thread of its own.
    static CLOCK: RefCell<Option<Arc<SteppedClock>>> = const { RefCell::new(None) };
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

/// Budgets whose writes take longer than a grant lives.
struct Slow(Arc<dyn Budgets>);

impl Slow {
    fn take_long() {
        if IS_SLOW.get() {
            let life = GRANT_LIFE + Duration::from_millis(1);
            CLOCK.with_borrow(|clock| clock.iter().for_each(|clock| clock.step(life)));
        }
    }
}

#[async_trait]
impl Budgets for Slow {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        self.0.read(account, how).await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        let saved = self.0.save(account, next).await;
        Self::take_long();
        saved
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        let saved = self.0.save_moved(account, next, moved).await;
        Self::take_long();
        saved
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.0.counted_at(account, person).await
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.note_counted(account, person, at).await
    }
}

fn slow(wiring: Wiring) -> Wiring {
    Wiring { budgets: Arc::new(Slow(wiring.budgets.clone())), ..wiring }
}

async fn slow_world() -> World {
    let world = World::wrapped(careful(), slow).await;
    CLOCK.set(Some(world.clock.clone()));
    IS_SLOW.set(true);
    world
}

#[tokio::test]
async fn deliver_sends_nothing_and_loses_nothing() {
    let mut world = slow_world().await;
    let all = all_said(1..=3);
    assert_eq!(world.say(&all).await, 200);
    world.pass(HOUR).await;
    assert!(world.calls().is_empty(), "{:?}", world.calls());
    IS_SLOW.set(false);
    world.settle().await;
    world.each_got_one_dm(&all).await;
    world.over(3).await;
}

#[tokio::test]
async fn upkeep_asks_nothing() {
    let mut world = slow_world().await;
    world.driver.keeps_up_every = Some(Duration::from_secs(900));
    world.pass(HOUR).await;
    assert!(world.calls().is_empty(), "{:?}", world.calls());
    IS_SLOW.set(false);
    world.pass(2 * HOUR).await;
    assert!(!world.calls().is_empty(), "upkeep has work to do");
}

#[tokio::test]
async fn the_doctor_asks_nothing() {
    let world = slow_world().await;
    let id = AccountId::new(CREATOR);
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    let upkeep = slow(world.outside.clone()).upkeep();
    let examined = upkeep.examine(&account).await.unwrap();
    assert!(examined.me.is_err() && examined.comments.is_err(), "{examined:?}");
    assert!(world.calls().is_empty(), "{:?}", world.calls());
    IS_SLOW.set(false);
    assert!(upkeep.examine(&account).await.unwrap().me.is_ok());
    assert!(!world.calls().is_empty());
}

#[tokio::test]
async fn a_login_subscribes_nothing() {
    let world = slow_world().await;
    let (app, code) = world.stack.graph.log_in(&AccountId::new(CREATOR)).unwrap();
    let secrets = world.stack.secrets.app_secrets.clone();
    let login = Login::new(&world.stack.config.graph, secrets).unwrap();
    let logged_in =
        login.redeem(&app, &code.into(), "https://example.com/", Payer::Unknown).await.unwrap();
    let settings = NewSettings::from(&load_accounts(None, &careful()).unwrap()[0]);
    let before = world.calls().len();
    let wiring = slow(world.outside.clone());
    let connected = login.connect(&wiring, &logged_in, &settings).await;
    assert!(matches!(connected, Ok(Subscribed::Later(_))), "{connected:?}");
    assert_eq!(world.calls().len(), before);
    IS_SLOW.set(false);
    let connected = login.connect(&wiring, &logged_in, &settings).await;
    assert!(matches!(connected, Ok(Subscribed::Yes)), "{connected:?}");
}
