//! Upkeep over the wire, in virtual time: a token's whole life, a subscription that is lost,
//! webhooks that stop, and comments that are found.

use std::collections::{BTreeSet, HashMap};
use std::convert::identity;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use secrecy::SecretString;
use serde_json::Value;
use spillway_cloud::meta::login::{Login, Payer, Subscribed};
use spillway_cloud::wiring::Wiring;
use spillway_core::campaign::NextPost;
use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, RemovedBy};
use spillway_core::once::ONCE_FOR_MAX;
use spillway_core::profile::Profile;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{ALL_FIELDS, BACKFILL_MAX, TokenLife, WEBHOOK_FIELDS};
use spillway_graph::{Fault, FaultKind, app_scoped};
use spillway_local::lambda::WEBHOOK_PATH;
use spillway_local::setup::load_accounts;
use spillway_meta::signed_request;
use spillway_service::accounts_file;
use spillway_service::admin::connect::NewSettings;
use spillway_service::admin::plan::Unnamed;
use spillway_service::port::{
    Aliases, CampaignChanges, KeptToken, MaintenanceSchedule, UpkeepRequest, UpkeepRequests,
};
use spillway_webhook::{DEAUTHORIZE_PATH, DELETION_PATH};

use crate::harness::{CREATOR, START, Said, World, all_said, careful, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often the schedule starts upkeep.
const QUARTER: Duration = Duration::from_secs(900);

impl World {
    /// A world in which upkeep runs.
    async fn kept_up() -> Self {
        Self::kept_up_wrapped(identity).await
    }

    async fn kept_up_wrapped(wrap: fn(Wiring) -> Wiring) -> Self {
        let mut world = Self::wrapped(careful(), wrap).await;
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

    /// What the creator's journal says of all but connections and holds.
    async fn told_of(&self) -> Vec<Event> {
        let lines = self.journal(CREATOR).await.into_iter().map(|line| line.what);
        lines
            .filter(|what| {
                !matches!(
                    what,
                    Event::Connected { .. }
                        | Event::HoldSet { .. }
                        | Event::HoldEnded
                        | Event::LimitMet { .. }
                )
            })
            .collect()
    }

    /// The creator logs in, and is connected and subscribed.
    async fn log_in_again(&self) {
        let (app, code) = self.stack.graph.log_in(&AccountId::new(CREATOR)).unwrap();
        let secrets = self.stack.secrets.app_secrets.clone();
        let login = Login::new(&self.stack.config.graph, secrets).unwrap();
        let logged_in =
            login.redeem(&app, &code.into(), "https://example.com/", Payer::Unknown).await.unwrap();
        let settings = NewSettings::from(&load_accounts(None, &careful()).unwrap()[0]);
        let connected = login.connect(&self.outside, &logged_in, &settings).await;
        assert!(matches!(connected, Ok(Subscribed::Yes)), "{connected:?}");
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

/// Whatever the function dies of, the account has a token that works, and gets its new one.
#[tokio::test]
async fn a_renewal_that_is_killed_anywhere_is_gone_on_with() {
    use spillway_local::fault_injector::KillPoint;
    for (requests, point) in
        (1..40).step_by(5).zip([KillPoint::Before, KillPoint::After].into_iter().cycle())
    {
        let mut world = World::kept_up().await;
        world.token_lives(START - 45 * DAY, START + 15 * DAY).await;
        let first = world.kept_token().await;
        world.stack.faults.kill_at(requests, point);
        world.pass(2 * HOUR).await;
        assert!(!world.stack.faults.is_armed(), "{requests}: nobody was killed");
        let kept = world.kept_token().await;
        assert_ne!(kept.token, first.token, "{requests}, {point:?}");
        assert_eq!(kept.next, None);
        let asked = [said(1)];
        world.plan(world.now() + MINUTE, &asked);
        world.pass(HOUR).await;
        world.each_got_one_dm(&asked).await;
    }
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
    end_of_a_token(identity).await;
}

pub(crate) async fn end_of_a_token(wrap: fn(Wiring) -> Wiring) {
    let mut world = World::kept_up_wrapped(wrap).await;
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

#[tokio::test]
async fn an_hour_of_refused_webhooks_loses_nobody_their_dm() {
    hour_of_refused_webhooks(identity).await;
}

/// The week that the watchdog is for.
pub(crate) async fn hour_of_refused_webhooks(wrap: fn(Wiring) -> Wiring) {
    let mut world = World::kept_up_wrapped(wrap).await;
    let mut all = hourly(&mut world, START + MINUTE, 1..24);
    world.pass(23 * HOUR).await;
    assert_eq!(world.fields(), ALL_FIELDS.len());
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
    assert_eq!(world.fields(), ALL_FIELDS.len(), "subscribed again");
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

/// An owner who removes the app and logs in again: it is subscribed before upkeep has looked.
#[tokio::test]
async fn what_an_account_missed_before_it_was_connected_again_is_read() {
    let mut world = World::kept_up().await;
    let id = AccountId::new(CREATOR);
    let told = hourly(&mut world, START + MINUTE, 1..4);
    world.pass(3 * HOUR).await;
    world.stack.graph.end_tokens(&id);
    world.stack.graph.subscribe(&id, &[]);
    let untold = all_said(100..110);
    world.observe_at(world.now() + MINUTE, &untold);
    world.pass(10 * MINUTE).await;

    world.log_in_again().await;
    let again = [said(200)];
    world.plan(world.now() + MINUTE, &again);
    world.pass(2 * HOUR).await;
    let all: Vec<Said> = told.into_iter().chain(untold).chain(again).collect();
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn a_new_login_ends_the_hold_of_a_dead_token_at_once() {
    let mut world = World::kept_up().await;
    let id = AccountId::new(CREATOR);
    world.stack.graph.end_tokens(&id);
    let asked = all_said(1..4);
    world.plan(START + MINUTE, &asked);
    world.pass(20 * MINUTE).await;
    let held = world.outside.budgets.load(&id).await.unwrap().holds.current.unwrap();
    assert_eq!(held.cause, HoldCause::TokenDead);
    assert!(held.until.since(world.now()) > 30 * MINUTE, "{held:?}");
    world.each_got_one_dm(&[]).await;

    world.log_in_again().await;
    world.pass(5 * MINUTE).await;
    world.each_got_one_dm(&asked).await;
    let ended =
        world.journal(CREATOR).await.into_iter().filter(|line| line.what == Event::HoldEnded);
    assert_eq!(ended.count(), 1);
}

#[tokio::test]
async fn webhooks_that_stop_while_people_comment_are_noticed_and_replaced_by_reading() {
    webhooks_that_stop(identity).await;
}

pub(crate) async fn webhooks_that_stop(wrap: fn(Wiring) -> Wiring) {
    let mut world = World::kept_up_wrapped(wrap).await;
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
    assert_eq!(world.fields(), ALL_FIELDS.len());
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
    world.outside.maintenance.ask(&account, &UpkeepRequest::Backfill, START).await.unwrap();
    world.pass(QUARTER + MINUTE).await;
    let waiting = world.waiting(CREATOR).await;
    let (_, send) = waiting.iter().find(|(_, send)| send.id == last_day.send()).unwrap();
    assert_eq!(send.deadline, made_at + BACKFILL_MAX);
    world.pass(12 * HOUR).await;
    let all: Vec<Said> = many.into_iter().chain([last_day]).collect();
    world.each_got_one_dm(&all).await;
    let events = world.told_of().await;
    let [Event::Backfilled { read: 121, found: 121, unfinished: 0, .. }] = events[..] else {
        panic!("{events:?}")
    };
}

#[tokio::test]
async fn a_run_that_is_killed_in_a_backfill_is_gone_on_with() {
    use spillway_local::fault_injector::KillPoint;
    let mut world = World::kept_up().await;
    let many = all_said(100..350);
    world.observe_at(START - DAY, &many);
    let account = AccountId::new(CREATOR);
    world.outside.maintenance.ask(&account, &UpkeepRequest::Backfill, START).await.unwrap();
    for requests in [60, 25, 90] {
        world.stack.faults.kill_at(requests, KillPoint::After);
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
    assert_eq!(world.fields(), ALL_FIELDS.len());
    assert!(world.stack.graph.fields(&other).is_empty());
}

impl World {
    async fn spoil_token(&self, pk: &str) {
        use aws_sdk_dynamodb::primitives::Blob;
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

impl World {
    /// Meta's form with a signed request, to a path of the function URL: status and body.
    pub(crate) async fn ask_as_meta(&self, path: &str, request: &str) -> (u16, String) {
        let url = self.driver.webhook_url.replace(WEBHOOK_PATH, path);
        let form = format!("signed_request={request}");
        let sent = self.driver.http.post(url).body(form).send().await.unwrap();
        (sent.status().as_u16(), sent.text().await.unwrap())
    }

    async fn deletion_status(&self, code: &str) -> (u16, String) {
        let url = self.driver.webhook_url.replace(WEBHOOK_PATH, DELETION_PATH);
        let sent = self.driver.http.get(format!("{url}?code={code}")).send().await.unwrap();
        (sent.status().as_u16(), sent.text().await.unwrap())
    }

    fn signed(&self, user: &str) -> String {
        signed_request::sign(&self.stack.secrets.app_secrets[0], user, self.now())
    }
}

#[tokio::test]
async fn an_owner_who_wants_it_has_everything_deleted_and_can_ask_how_that_goes() {
    let mut world = World::kept_up().await;
    world.pass(QUARTER + MINUTE).await;
    // More than an hour has room for.
    world.plan(world.now() + MINUTE, &all_said(1..400));
    world.pass(2 * MINUTE).await;
    let request = world.signed(&app_scoped(CREATOR));
    let (status, answer) = world.ask_as_meta(DELETION_PATH, &request).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let code = answer["confirmation_code"].as_str().unwrap();
    let url = answer["url"].as_str().unwrap();
    assert!(url.ends_with(&format!("{DELETION_PATH}?code={code}")), "{url}");
    // Sent again it is the same deletion.
    let (_, again) = world.ask_as_meta(DELETION_PATH, &request).await;
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), answer);
    let (status, text) = world.deletion_status(code).await;
    assert!(status == 200 && text.contains("under way"), "{text}");

    // The next visit takes the account out, and release cancels what waits.
    world.pass(QUARTER + MINUTE).await;
    assert!(world.outside.accounts.load(&AccountId::new(CREATOR)).await.unwrap().is_none());
    let (status, text) = world.deletion_status(code).await;
    assert!(status == 200 && text.contains("under way"), "{text}");
    world.pass(HOUR).await;
    let (status, text) = world.deletion_status(code).await;
    assert!(status == 200 && text.contains("is done"), "{text}");
    assert_eq!(
        world.all_with(CREATOR).await.iter().find(|item| !item.contains_key("expires_at")),
        None
    );
    assert!(world.outside.accounts.load(&AccountId::new(CREATOR)).await.unwrap().is_none());
    let report = world.over(399).await;
    assert!(report.cancelled > 300, "{report:?}");
    for (left, says) in [
        (format!("{CREATOR}/"), "as a rule for "),
        (format!("pace#{CREATOR}"), "counters of its limits for "),
        (format!("journal#{CREATOR}"), "journal of its operation for "),
        (format!("deletion#{code}"), "was asked for, for "),
    ] {
        let days = days_after(&text, says);
        let lives = world.lives_of(&left).await;
        let longest = lives.iter().max().unwrap_or_else(|| panic!("nothing of {left} is left"));
        let said = days * DAY;
        assert!(*longest <= said && *longest + 3 * HOUR > said, "{left}: {longest:?} of {said:?}");
    }
    assert_eq!(days_after(&text, "at most for ") * DAY, ONCE_FOR_MAX);
    // That is all that names the account in either table.
    let sends = world.all_of(&world.stack.config.sends_table).await;
    assert!(sends.iter().all(|item| item["id"].as_s().unwrap().starts_with(CREATOR)), "{sends:?}");
    let removed = Event::Removed { by: RemovedBy::Owner };
    assert_eq!(world.told_of().await, [removed]);
    assert_eq!(
        world.items_naming(CREATOR).await,
        [format!("journal#{CREATOR}"), format!("pace#{CREATOR}")]
    );
    // The request once more does nothing, also after the account was connected again.
    let (status, _) = world.ask_as_meta(DELETION_PATH, &request).await;
    assert_eq!(status, 200);
    assert_eq!(world.items_naming(CREATOR).await.len(), 2);
    // Comments that still come are nobody's.
    assert_eq!(world.say(&[said(500)]).await, 200);
    assert!(world.told(&said(500)).await.is_none());
}

/// Meta's requests name the account by an id of the app's own, which is written down when it
/// connects.
#[tokio::test]
async fn whoever_is_deleted_before_upkeep_has_ever_called_leaves_no_name_behind() {
    let mut world = World::kept_up().await;
    let (id, maintenance) = (AccountId::new(CREATOR), world.outside.maintenance.clone());
    for app_scoped in ["99001", "99002"] {
        maintenance.alias(&id, app_scoped).await.unwrap();
    }
    let (status, answer) = world.ask_as_meta(DELETION_PATH, &world.signed("99001")).await;
    assert_eq!(status, 200, "{answer}");
    world.pass(HOUR).await;
    assert_eq!(world.told_of().await, [Event::Removed { by: RemovedBy::Owner }]);
    assert_eq!(
        world.items_naming(CREATOR).await,
        [format!("journal#{CREATOR}"), format!("pace#{CREATOR}")]
    );
    for app_scoped in ["99001", "99002"] {
        assert_eq!(maintenance.named(app_scoped).await.unwrap(), None);
    }
    // Nor does what was about to name it.
    maintenance.alias(&id, "99001").await.unwrap();
    assert_eq!(maintenance.named("99001").await.unwrap(), None);
}

#[tokio::test]
async fn an_owner_who_removes_the_app_puts_the_account_on_hold() {
    let mut world = World::kept_up().await;
    world.pass(QUARTER + MINUTE).await;
    world.stack.graph.disconnect_account(&AccountId::new(CREATOR));
    let request = world.signed(&app_scoped(CREATOR));
    assert_eq!(world.ask_as_meta(DEAUTHORIZE_PATH, &request).await.0, 200);
    world.pass(QUARTER + MINUTE).await;
    assert_eq!(world.told_of().await, [Event::Deauthorized]);
    let calls = world.calls().len();
    world.plan(world.now() + MINUTE, &all_said(1..5));
    world.pass(30 * MINUTE).await;
    assert_eq!(world.calls().len(), calls, "nothing is called");
}

#[tokio::test]
async fn what_meta_has_not_signed_is_refused_and_what_nobody_knows_is_kept() {
    let world = World::start(careful()).await;
    let forged = signed_request::sign(&"another secret".into(), CREATOR, world.now());
    for path in [DELETION_PATH, DEAUTHORIZE_PATH] {
        assert_eq!(world.ask_as_meta(path, &forged).await.0, 401);
        assert_eq!(world.ask_as_meta(path, "nonsense").await.0, 400);
        assert_eq!(world.ask_as_meta(path, "").await.0, 400);
    }
    assert!(world.outside.accounts.load(&AccountId::new(CREATOR)).await.unwrap().is_some());
    let (status, answer) = world.ask_as_meta(DELETION_PATH, &world.signed("404")).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let (_, text) = world.deletion_status(answer["confirmation_code"].as_str().unwrap()).await;
    assert!(text.contains("is kept: no account is known") && text.contains("2026-"), "{text}");
    assert_eq!(world.deletion_status("0123456789abcdef01234567").await.0, 404);
    assert_eq!(world.deletion_status("no code").await.0, 400);
}

/// Meta sends again for a day and a half what was not taken, and owners come back.
#[tokio::test]
async fn an_old_request_does_not_delete_a_newer_connection() {
    let mut world = World::kept_up().await;
    world.pass(QUARTER + MINUTE).await;
    let secret = world.stack.secrets.app_secrets[0].clone();
    let account = AccountId::new(CREATOR);
    let life = world.outside.tokens.load(&account).await.unwrap().unwrap().life;
    let obtained_at = life.obtained_at.unwrap();
    let old = signed_request::sign(&secret, &app_scoped(CREATOR), obtained_at - HOUR);
    assert_eq!(world.ask_as_meta(DELETION_PATH, &old).await.0, 200);
    world.pass(HOUR).await;
    assert!(world.outside.accounts.load(&account).await.unwrap().is_some());
    let new = signed_request::sign(&secret, &app_scoped(CREATOR), obtained_at);
    assert_eq!(world.ask_as_meta(DELETION_PATH, &new).await.0, 200);
    world.pass(HOUR).await;
    assert!(world.outside.accounts.load(&account).await.unwrap().is_none());
}

#[tokio::test]
async fn a_login_connects_an_account_with_a_token_that_renews_itself() {
    let mut world = World::kept_up().await;
    let secrets = world.stack.secrets.app_secrets.clone();
    let new = "17841400000000003";
    let (app, code) = world.stack.graph.log_in(&AccountId::new(new)).unwrap();
    let code = SecretString::from(code);
    let mut account = load_accounts(None, &careful()).unwrap().remove(1);
    account.id = new.into();

    // The app's own secret is the second one that is stored.
    let turned = vec![secrets[1].clone(), secrets[0].clone()];
    let login = Login::new(&world.stack.config.graph, turned).unwrap();
    let redirect = "https://example.com/";
    let wrong =
        login.redeem(&app, &"AQB0".into(), redirect, Payer::Unknown).await.unwrap_err().to_string();
    assert!(wrong.contains("Log in again"), "{wrong}");
    let logged_in = login.redeem(&app, &code, redirect, Payer::Unknown).await.unwrap();
    assert_eq!(logged_in.me.account.as_str(), new);
    // Its owner has asked for a deletion before, which upkeep has not come to.
    let request = UpkeepRequest::Delete { code: "c0de".into() };
    world.outside.maintenance.ask(&new.into(), &request, world.now()).await.unwrap();
    let subscribed =
        login.connect(&world.outside, &logged_in, &NewSettings::from(&account)).await.unwrap();
    assert!(matches!(subscribed, Subscribed::Yes), "{subscribed:?}");
    assert_eq!(world.stack.graph.fields(&new.into()).len(), WEBHOOK_FIELDS.len());
    let kept = world.outside.tokens.load(&new.into()).await.unwrap().unwrap();
    assert_eq!(kept.life.ends_at.unwrap().since(world.now()), 60 * DAY);
    assert!(
        login.redeem(&app, &code, redirect, Payer::Unknown).await.is_err(),
        "a code is good once"
    );

    let asked = [said(7).on("17841400000000003")];
    world.plan(world.now() + MINUTE, &asked);
    world.pass(HOUR).await;
    world.each_got_one_dm(&asked).await;
}

/// Meta may answer 200 and not do it.
#[tokio::test]
async fn a_login_whose_subscription_is_refused_says_so_and_upkeep_asks_again() {
    const PERMISSIONS: [&str; 3] = [
        "instagram_business_basic",
        "instagram_business_manage_comments",
        "instagram_business_manage_messages",
    ];
    let mut world = World::kept_up().await;
    let new = AccountId::new("17841400000000003");
    let (app, code) = world.stack.graph.log_in(&new).unwrap();
    let mut account = load_accounts(None, &careful()).unwrap().remove(1);
    account.id = new.clone();
    let secrets = world.stack.secrets.app_secrets.clone();
    let login = Login::new(&world.stack.config.graph, secrets).unwrap();
    let redeemed = login.redeem(&app, &code.into(), "https://example.com/", Payer::Unknown).await;
    world.stack.graph.permit(&new, &PERMISSIONS[..1]);
    let settings = NewSettings::from(&account);
    let subscribed = login.connect(&world.outside, &redeemed.unwrap(), &settings).await.unwrap();
    let Subscribed::Refused(reason) = subscribed else { panic!("{subscribed:?}") };
    assert!(reason.contains("a permission may be missing"), "{reason}");
    world.pass(2 * HOUR).await;
    assert!(world.stack.graph.fields(&new).is_empty());
    world.stack.graph.permit(&new, &PERMISSIONS);
    world.pass(2 * HOUR).await;
    assert!(world.stack.graph.fields(&new).len() >= WEBHOOK_FIELDS.len());
}

/// The number of days that a text names after these words.
fn days_after(text: &str, words: &str) -> u32 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no {words}in {text}"));
    rest.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{rest}"))
}

impl World {
    /// All items of a table.
    async fn all_of(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.stack.dynamo.scan().table_name(table);
        let pages = scan.into_paginator().items().send();
        pages.collect::<Result<Vec<_>, _>>().await.unwrap()
    }

    /// How long the items of both tables will stay whose keys begin with this.
    async fn lives_of(&self, key: &str) -> Vec<Duration> {
        let config = &self.stack.config;
        let mut all = self.all_of(&config.sends_table).await;
        all.extend(self.all_of(&config.state_table).await);
        let named = all.iter().filter(|item| {
            let id = item.get("id").or_else(|| item.get("pk")).unwrap().as_s().unwrap();
            id.starts_with(key)
        });
        let expires_at = named.map(|item| item["expires_at"].as_n().unwrap().parse().unwrap());
        expires_at.map(|at| Timestamp::from_secs(at).since(self.now())).collect()
    }

    /// The items of the state table that name an account.
    async fn all_with(&self, account: &str) -> Vec<HashMap<String, AttributeValue>> {
        let items = self.all_of(&self.stack.config.state_table).await.into_iter();
        items.filter(|item| format!("{item:?}").contains(account)).collect()
    }

    /// The partitions of the state table that an account is named in.
    async fn items_naming(&self, account: &str) -> Vec<String> {
        let items = self.all_with(account).await;
        let named = items.iter().map(|item| item["pk"].as_s().unwrap().clone());
        named.collect::<BTreeSet<String>>().into_iter().collect()
    }
}

/// Nothing of a comment under a picture of an album is lost, whether it comes before the pictures
/// are known or after.
#[tokio::test]
async fn a_comment_under_a_picture_of_an_album_counts_for_the_album() {
    const ALBUM: &str = "17900000000000030";
    let mut world = World::kept_up().await;
    let pictures = ["17900000000000001", "17900000000000002"];
    world.stack.graph.add_album(CREATOR, ALBUM, &pictures);
    let campaign = serde_json::json!({
        "id": "guide", "keywords": ["guide"], "media": [ALBUM], "messages": ["Hi"],
    });
    let put = [serde_json::from_value(campaign).unwrap()];
    let changes = CampaignChanges { put: &put, ..CampaignChanges::default() };
    let id = AccountId::new(CREATOR);
    assert!(world.outside.changes.change_campaigns(&id, &changes).await.unwrap());
    let early = [said(1)];
    world.plan(world.now() + 2 * MINUTE, &early);
    world.pass(3 * MINUTE).await;
    assert!(world.told(&early[0]).await.is_none(), "it is on no media of the campaign's");
    world.pass(3 * HOUR).await;
    world.each_got_one_dm(&early).await;
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(account.albums.album_of(&pictures[1].into()), Some(&ALBUM.into()));

    let late = [said(2)];
    world.plan(world.now() + MINUTE, &late);
    world.pass(2 * MINUTE).await;
    assert!(world.told(&late[0]).await.is_some(), "the webhook knows the album");
    world.pass(HOUR).await;
    world.each_got_one_dm(&[said(1), said(2)]).await;
}

/// Nothing of a comment under the next post is lost, whether it comes before the post is known or
/// after; older posts get no DM.
#[tokio::test]
async fn a_campaign_for_the_next_post_answers_its_comments_alone() {
    let mut world = World::kept_up().await;
    let file = "[[account]]\nid = \"17841400000000001\"\n[[account.campaign]]\nid = \"guide\"\n\
                keywords = [\"guide\"]\nmedia = \"next\"\nmessages = [\"Hi\"]\n";
    let wanted = accounts_file::parse(file, &Profile::careful()).unwrap();
    let admin = &world.stack.admin.accounts;
    let (plans, mistakes) = admin.plans(&wanted, Unnamed::Stay).await.unwrap();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    admin.apply(&plans[0]).await.unwrap();
    let early = [said(1)];
    world.plan(world.now() + 2 * MINUTE, &early);
    world.pass(3 * MINUTE).await;
    assert!(world.told(&early[0]).await.is_none(), "nobody knows the post yet");
    world.pass(HOUR).await;
    world.each_got_one_dm(&early).await;
    let account = world.outside.accounts.load(&CREATOR.into()).await.unwrap().unwrap();
    let post = account.campaigns.next_post(&"guide".into()).cloned();
    assert!(matches!(post, Some(NextPost::Is(_))), "{post:?}");
    let late = [said(3)];
    world.plan(world.now() + MINUTE, &late);
    world.pass(2 * MINUTE).await;
    assert!(world.told(&late[0]).await.is_some(), "the webhook knows the post");
}
