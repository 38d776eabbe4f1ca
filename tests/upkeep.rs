//! Upkeep over the wire, in virtual time: a token's whole life, a subscription that is lost, webhooks
//! that stop, and comments that are found.

use std::time::Duration;

use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::journal::Event;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{BACKFILL_MAX, TokenLife, WEBHOOK_FIELDS};
use spillway_local::graph::{Fault, FaultKind};
use spillway_service::port::{KeptToken, Roster, Wish};

use crate::harness::{CREATOR, START, Said, World, all_said, careful, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often the schedule starts upkeep.
const QUARTER: Duration = Duration::from_secs(900);

impl World {
    /// A world in which upkeep runs.
    async fn kept_up() -> Self {
        let mut world = Self::start(careful()).await;
        world.driver.keeps_up_every = Some(QUARTER);
        world.token_lives(START, START + 60 * DAY).await;
        world
    }

    /// The creator's token has this life, at Meta and here.
    async fn token_lives(&self, obtained_at: Timestamp, ends_at: Timestamp) {
        let id = AccountId::new(CREATOR);
        self.stack.graph.set_token_life(&id, obtained_at, ends_at);
        let kept = self.kept_token().await;
        let life = TokenLife { obtained_at: Some(obtained_at), ends_at: Some(ends_at) };
        self.outside.tokens.note_life(&id, &kept.token, life).await.unwrap();
    }

    async fn kept_token(&self) -> KeptToken {
        self.outside.tokens.load(&AccountId::new(CREATOR)).await.unwrap().unwrap()
    }

    /// What the creator's journal says of all but holds.
    async fn told_of(&self) -> Vec<Event> {
        let lines = self.journal(CREATOR).await.into_iter().map(|line| line.what);
        lines
            .filter(|what| {
                !matches!(what, Event::HoldSet { .. } | Event::HoldEnded | Event::LimitMet { .. })
            })
            .collect()
    }

    fn fields(&self) -> usize {
        self.stack.graph.fields(&AccountId::new(CREATOR)).len()
    }
}

/// Comments of the creator's, an hour apart, the first at `from`.
fn hourly(world: &mut World, from: Timestamp, numbers: std::ops::Range<u32>) -> Vec<Said> {
    let first = numbers.start;
    for n in numbers.clone() {
        world.plan(from + HOUR * (n - first), &[said(n)]);
    }
    all_said(numbers)
}

#[tokio::test]
async fn a_token_is_renewed_in_its_last_third_and_goes_on_for_ever() {
    let mut world = World::kept_up().await;
    world.driver.keeps_up_every = Some(DAY);
    world.token_lives(START - 10 * DAY, START + 50 * DAY).await;
    let first = world.kept_token().await;
    world.pass(29 * DAY).await;
    assert_eq!(world.kept_token().await.token, first.token, "not before its time");
    world.pass(2 * DAY).await;
    let second = world.kept_token().await;
    assert_ne!(second.token, first.token);
    assert_eq!(second.next, None);
    let ends_at = second.life.ends_at.unwrap();
    assert!(ends_at.since(START) > 89 * DAY, "60 days from then");
    assert_eq!(world.told_of().await, [Event::TokenRefreshed { token_ends: ends_at }]);
    // Calls are made with it, long after the first one has ended.
    world.pass(42 * DAY).await;
    let third = world.kept_token().await;
    assert_ne!(third.token, second.token);
    let asked = [said(1)];
    world.plan(world.now() + MINUTE, &asked);
    world.pass(HOUR).await;
    world.each_got_one_dm(&asked).await;
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_old_token_and_is_tried_again() {
    let mut world = World::kept_up().await;
    world.token_lives(START - 45 * DAY, START + 15 * DAY).await;
    let first = world.kept_token().await;
    // Upkeep's first call of the account asks for its name.
    world.stack.graph.order_fault(Fault::new(FaultKind::Permission).times(1));
    world.pass(QUARTER + MINUTE).await;
    world.stack.graph.clear_faults();
    world.pass(2 * HOUR).await;
    let events = world.told_of().await;
    assert!(matches!(events.last(), Some(Event::TokenRefreshed { .. })), "{events:?}");
    assert_ne!(world.kept_token().await.token, first.token);
}

#[tokio::test]
async fn a_token_that_has_ended_holds_the_account_and_says_so_once() {
    let mut world = World::kept_up().await;
    world.token_lives(START - 60 * DAY, START + HOUR).await;
    // Nobody renews it: Meta refuses.
    let refused = FaultKind::Transient;
    world.stack.graph.order_fault(Fault::new(refused).lasting(2 * HOUR));
    world.plan(START + 90 * MINUTE, &[said(1)]);
    world.pass(5 * HOUR).await;
    let events = world.told_of().await;
    let dead = events.iter().filter(|event| **event == Event::TokenDead).count();
    assert_eq!(dead, 1, "{events:?}");
    let lines = world.journal(CREATOR).await;
    let is_held =
        |event: &Event| matches!(event, Event::HoldSet { cause: HoldCause::TokenDead, .. });
    assert!(lines.iter().any(|line| is_held(&line.what)), "{lines:?}");
    assert_eq!(world.state_of(&said(1)).await, "waiting", "it waits for a new token");
}

/// The week that the watchdog is for.
#[tokio::test]
async fn an_hour_of_refused_webhooks_loses_nobody_their_dm() {
    let mut world = World::kept_up().await;
    let mut all = hourly(&mut world, START + MINUTE, 1..24);
    world.pass(23 * HOUR).await;
    assert_eq!(world.fields(), WEBHOOK_FIELDS.len());
    // Nothing reaches the webhook for two hours, and Meta gives up on the account.
    let outage = world.now();
    world.driver.unreachable_until = outage + 2 * HOUR;
    for n in 100..160 {
        world.plan(outage + MINUTE * (n - 99), &[said(n)]);
    }
    all.extend(all_said(100..160));
    world.pass(65 * MINUTE).await;
    assert_eq!(world.fields(), 0, "Meta has unsubscribed it");
    world.pass(2 * HOUR).await;
    assert_eq!(world.fields(), WEBHOOK_FIELDS.len(), "subscribed again");
    all.extend(hourly(&mut world, outage + 4 * HOUR, 200..210));
    world.pass(2 * DAY).await;
    world.each_got_one_dm(&all).await;
    let events = world.told_of().await;
    let [Event::SubscriptionLost { fields }, Event::Resubscribed, Event::Backfilled { found, .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(fields.len(), WEBHOOK_FIELDS.len());
    assert!((1..=60).contains(found), "{events:?}");
}

#[tokio::test]
async fn webhooks_that_stop_while_people_comment_are_noticed_and_replaced_by_reading() {
    let mut world = World::kept_up().await;
    let told = hourly(&mut world, START + MINUTE, 1..6);
    world.pass(6 * HOUR).await;
    // Meta says that the account is subscribed, and tells nothing.
    let silence = world.now();
    let mut untold = Vec::new();
    for hour in 0..12_u32 {
        let said = [said(100 + hour)];
        world.observe_at(world.now(), &said);
        untold.extend(said);
        world.pass(HOUR).await;
    }
    let lines = world.journal(CREATOR).await;
    let silent = lines.iter().find(|line| matches!(line.what, Event::Silent { .. }));
    let silent = silent.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(silent.at.since(silence) < 8 * HOUR, "{silent:?}");
    world.pass(3 * HOUR).await;
    let all: Vec<Said> = told.into_iter().chain(untold).collect();
    world.each_got_one_dm(&all).await;
    // They come again.
    let again = [said(200)];
    world.plan(world.now() + MINUTE, &again);
    world.pass(2 * HOUR).await;
    let events = world.told_of().await;
    assert!(events.contains(&Event::HeardAgain), "{events:?}");
    let all: Vec<Said> = all.into_iter().chain(again).collect();
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn a_quiet_night_is_no_alarm() {
    let mut world = World::kept_up().await;
    let told = hourly(&mut world, START + MINUTE, 1..4);
    world.pass(2 * DAY).await;
    assert_eq!(world.told_of().await, []);
    world.each_got_one_dm(&told).await;
}

#[tokio::test]
async fn a_backfill_that_is_asked_for_reads_page_after_page_and_gives_exact_deadlines() {
    let mut world = World::kept_up().await;
    // Too old, on the last day, and new ones.
    world.observe_at(START - BACKFILL_MAX - HOUR, &[said(1)]);
    let last_day = said(2);
    let made_at = START - 6 * DAY;
    world.observe_at(made_at, std::slice::from_ref(&last_day));
    let many = all_said(100..220);
    world.observe_at(START - DAY, &many);
    let own = said(3).by(CREATOR);
    world.observe_at(START - HOUR, &[own]);
    let account = AccountId::new(CREATOR);
    world.outside.roster.ask(&account, &Wish::Backfill, START).await.unwrap();
    world.pass(QUARTER + MINUTE).await;
    let waiting = world.waiting(CREATOR).await;
    let (_, send) = waiting.iter().find(|(_, send)| send.id.event.as_str() == last_day.id).unwrap();
    assert_eq!(send.deadline, made_at + BACKFILL_MAX);
    world.pass(12 * HOUR).await;
    let all: Vec<Said> = many.into_iter().chain([last_day]).collect();
    world.each_got_one_dm(&all).await;
    let events = world.told_of().await;
    let [Event::Backfilled { read: 121, found: 121, .. }] = events[..] else {
        panic!("{events:?}")
    };
}

#[tokio::test]
async fn a_run_that_is_killed_in_a_backfill_is_gone_on_with() {
    use spillway_local::tap::KillPoint;
    let mut world = World::kept_up().await;
    let many = all_said(100..350);
    world.observe_at(START - DAY, &many);
    let account = AccountId::new(CREATOR);
    world.outside.roster.ask(&account, &Wish::Backfill, START).await.unwrap();
    for requests in [60, 25, 90] {
        world.stack.tap.kill_at(requests, KillPoint::After);
        world.pass(QUARTER).await;
    }
    world.pass(2 * DAY).await;
    world.each_got_one_dm(&many).await;
}

#[tokio::test]
async fn an_account_that_fails_stops_no_other() {
    let mut world = World::kept_up().await;
    // Its token was sealed for another account.
    let other = AccountId::new(crate::harness::OTHER);
    let pk = format!("account#{}", crate::harness::OTHER);
    world.spoil_token(&pk).await;
    world.stack.graph.subscribe(&other, &[]);
    world.stack.graph.subscribe(&AccountId::new(CREATOR), &[]);
    world.pass(HOUR).await;
    assert_eq!(world.fields(), WEBHOOK_FIELDS.len());
    assert!(world.stack.graph.fields(&other).is_empty());
}

impl World {
    async fn spoil_token(&self, pk: &str) {
        use aws_sdk_dynamodb::primitives::Blob;
        use aws_sdk_dynamodb::types::AttributeValue;
        let update = self.stack.dynamo.update_item().table_name(&self.stack.config.state_table);
        update
            .key("pk", AttributeValue::S(pk.into()))
            .key("sk", AttributeValue::S("settings".into()))
            .update_expression("SET #token = :token")
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":token", AttributeValue::B(Blob::new(vec![1; 40])))
            .send()
            .await
            .unwrap();
    }
}
