//! Accounts: connected, removed, and on upkeep's list.

use std::time::Duration;

use spillway_core::albums::Albums;
use spillway_core::budget::Revision;
use spillway_core::campaign::{Campaign, NextPost, Running};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::rules::Rules;
use spillway_service::account::Account;
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::port::CampaignChanges;

use crate::{SECOND, Subject, now};

/// Who is connected is found, time and again, and nobody else.
pub async fn accounts_are_found_when_connected(subject: &dyn Subject) {
    let accounts = &subject.ports().accounts;
    let id = subject.connected();
    let account = accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(account.id, id);
    assert!(account.campaigns.iter().count() > 0);
    let again = accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(again.rules, account.rules);
    assert!(again.campaigns.iter().eq(account.campaigns.iter()));
    assert!(accounts.load(&AccountId::new("nobody")).await.unwrap().is_none());
}

/// A removal takes what it has read: nothing of an account that was connected since, neither
/// settings nor campaigns.
pub async fn an_account_that_was_connected_since_it_was_read_is_not_removed(subject: &dyn Subject) {
    let (accounts, removal) = (&subject.ports().accounts, &subject.ports().removal);
    let id = subject.connected();
    let before = accounts.load(&id).await.unwrap().unwrap();
    let first = removal.revision(&id).await.unwrap();
    assert_eq!(first, Some(before.revision));

    subject.connect_again().await;
    assert!(!removal.remove(&id, first).await.unwrap());
    assert!(!removal.remove(&id, None).await.unwrap());
    let second = removal.revision(&id).await.unwrap();
    assert!(second > first, "{second:?} after {first:?}");
    assert!(removal.remove(&id, second).await.unwrap());
    assert!(accounts.load(&id).await.unwrap().is_none());
    assert_eq!(removal.revision(&id).await.unwrap(), None);
    assert!(removal.remove(&id, second).await.unwrap(), "once more changes nothing");
    assert!(removal.remove(&id, None).await.unwrap());

    subject.connect_again().await;
    for seen in [None, first, second] {
        assert!(!removal.remove(&id, seen).await.unwrap(), "{seen:?}");
    }
    let again = accounts.load(&id).await.unwrap().unwrap();
    assert!(again.revision > before.revision);
    assert!(again.campaigns.iter().eq(before.campaigns.iter()));
}

/// An account leaves upkeep's list only as it was read there.
pub async fn an_account_that_is_due_at_another_instant_stays_on_upkeeps_list(
    subject: &dyn Subject,
) {
    let maintenance = &subject.ports().maintenance;
    let (id, now) = (subject.connected(), now(subject));
    maintenance.enroll(&id, now).await.unwrap();
    maintenance.alias(&id, "9178").await.unwrap();
    let read = maintenance.record(&id).await.unwrap().unwrap();
    assert_eq!(read.due, now);
    let until = now + 60 * SECOND;
    let visited = maintenance.visit(&id, now, until).await.unwrap().unwrap();
    assert_eq!(visited.due, until);
    assert!(!maintenance.strike_off(&id, now).await.unwrap(), "it was visited since");
    assert!(maintenance.accounts().await.unwrap().contains(&id));
    assert!(maintenance.strike_off(&id, until).await.unwrap());
    assert_eq!(maintenance.record(&id).await.unwrap(), None);
    assert!(!maintenance.accounts().await.unwrap().contains(&id));
    assert!(maintenance.strike_off(&id, until).await.unwrap(), "once more changes nothing");
}

fn campaign(id: &str, keyword: &str) -> Campaign {
    let campaign = serde_json::json!({ "id": id, "keywords": [keyword], "messages": ["Hi"] });
    serde_json::from_value(campaign).unwrap()
}

fn put(campaigns: &[Campaign]) -> CampaignChanges<'_> {
    CampaignChanges { put: campaigns, ..CampaignChanges::default() }
}

/// The connected account, whose revision everybody who decides knows.
async fn announced(subject: &dyn Subject) -> Account {
    let (ports, id) = (subject.ports(), subject.connected());
    let account = ports.accounts.load(&id).await.unwrap().unwrap();
    assert_eq!(ports.budgets.load(&id).await.unwrap().revision, account.revision);
    account
}

/// Whatever changes an account raises its revision with it, and makes that known.
pub async fn a_change_of_an_account_raises_its_revision(subject: &dyn Subject) {
    let (changes, id) = (&subject.ports().changes, subject.connected());
    let first = subject.ports().accounts.load(&id).await.unwrap().unwrap();
    let mut seen = first.revision;
    let mut rises = |account: &Account| {
        assert_eq!(account.revision, Revision(seen.0 + 1));
        seen = account.revision;
    };

    let two = [campaign("link", "link"), campaign("bio", "bio")];
    assert!(changes.change_campaigns(&id, &put(&two)).await.unwrap());
    let account = announced(subject).await;
    rises(&account);
    assert_eq!(account.campaigns.iter().count(), first.campaigns.iter().count() + 2);

    let other = [campaign("bio", "about")];
    let change =
        CampaignChanges { put: &other, removed: &["link".into()], ..CampaignChanges::default() };
    assert!(changes.change_campaigns(&id, &change).await.unwrap());
    let account = announced(subject).await;
    rises(&account);
    assert_eq!(account.campaigns.get(&"link".into()), None);
    assert_eq!(account.campaigns.get(&"bio".into()), Some(&other[0]));

    assert!(changes.set_rules(&id, &Rules::careful()).await.unwrap());
    let account = announced(subject).await;
    rises(&account);
    assert_eq!(account.rules, Rules::careful());

    changes.announce(&id).await.unwrap();
    assert_eq!(announced(subject).await.revision, account.revision, "nothing has changed");
}

/// A campaign is paused until it is resumed, whatever else becomes of it.
pub async fn a_paused_campaign_stays_paused_when_it_changes(subject: &dyn Subject) {
    let (changes, id) = (&subject.ports().changes, subject.connected());
    let bio = CampaignId::new("bio");
    assert!(changes.change_campaigns(&id, &put(&[campaign("bio", "bio")])).await.unwrap());
    let paused = Running::PausedSince(now(subject));
    assert!(changes.set_running(&id, &bio, paused).await.unwrap());
    let before = announced(subject).await;
    assert_eq!(before.campaigns.running(&bio), paused);

    assert!(changes.change_campaigns(&id, &put(&[campaign("bio", "about")])).await.unwrap());
    let account = announced(subject).await;
    assert_eq!(account.campaigns.running(&bio), paused);
    assert!(account.revision > before.revision);

    assert!(!changes.set_running(&id, &"nobody's".into(), Running::Active).await.unwrap());
    assert_eq!(announced(subject).await.revision, account.revision, "nothing has changed");
    assert!(changes.set_running(&id, &bio, Running::Active).await.unwrap());
    assert_eq!(announced(subject).await.campaigns.running(&bio), Running::Active);
}

/// The post of a campaign for the next one stays until the campaign is for other media; that it is
/// awaited is noted once.
pub async fn the_next_post_is_kept_beside_its_campaign(subject: &dyn Subject) {
    let (changes, id) = (&subject.ports().changes, subject.connected());
    let next = |text: &str| Campaign { media: vec!["next".into()], ..campaign("launch", text) };
    let launch = CampaignId::new("launch");
    let post = async || announced(subject).await.campaigns.next_post(&launch).cloned();
    let noted = async |post: NextPost| changes.set_next_post(&id, &launch, &post).await.unwrap();
    assert!(changes.change_campaigns(&id, &put(&[next("one")])).await.unwrap());
    assert_eq!(post().await, None);
    let since = NextPost::AwaitedSince(now(subject));
    assert!(noted(since.clone()).await);
    assert!(noted(NextPost::AwaitedSince(now(subject) + Duration::from_secs(60))).await);
    assert_eq!(post().await, Some(since), "the first instant counts");
    let known = NextPost::Is("1799".into());
    assert!(noted(known.clone()).await);
    assert!(noted(NextPost::AwaitedSince(now(subject))).await);
    assert_eq!(post().await, Some(known.clone()));
    assert!(changes.change_campaigns(&id, &put(&[next("two")])).await.unwrap());
    assert_eq!(post().await, Some(known), "another text is for the same post");
    let media = announced(subject).await;
    assert!(media.campaigns.media().any(|media| media.as_str() == "1799"));

    assert!(changes.change_campaigns(&id, &put(&[campaign("launch", "all")])).await.unwrap());
    assert!(changes.change_campaigns(&id, &put(&[next("three")])).await.unwrap());
    assert_eq!(post().await, None, "another one is waited for");
    let post = NextPost::Is("1".into());
    assert!(!changes.set_next_post(&id, &"nobody's".into(), &post).await.unwrap());
}

/// Campaigns of the same rank are asked in the order that was written last; those of no place come
/// after the others.
pub async fn campaigns_keep_the_order_of_their_file(subject: &dyn Subject) {
    let (changes, id) = (&subject.ports().changes, subject.connected());
    let first = announced(subject).await.campaigns.iter().map(|one| one.id.clone()).collect();
    let names = ["whale", "bear", "ant"];
    let three = names.map(|name| campaign(name, name));
    let order = async |of: &[CampaignId]| {
        let account = announced(subject).await;
        let all = account.campaigns.iter().map(|one| one.id.clone());
        all.filter(|id| of.contains(id)).collect::<Vec<_>>()
    };
    let in_file = names.map(CampaignId::new);
    let written = CampaignChanges { put: &three, removed: &[], order: &in_file };
    assert!(changes.change_campaigns(&id, &written).await.unwrap());
    assert_eq!(order(&in_file).await, in_file);

    let other = ["ant", "whale", "bear"].map(CampaignId::new);
    let moved = CampaignChanges { order: &other, ..CampaignChanges::default() };
    assert!(changes.change_campaigns(&id, &moved).await.unwrap());
    assert_eq!(order(&other).await, other);

    // Replaced without an order it keeps its place.
    assert!(changes.change_campaigns(&id, &put(&[campaign("whale", "orca")])).await.unwrap());
    assert_eq!(order(&other).await, other);

    let all = [Vec::from(["bear".into(), "whale".into()]), first].concat();
    let bear = [campaign("bear", "bears")];
    let mixed = CampaignChanges { put: &bear, removed: &["ant".into()], order: &all };
    assert!(changes.change_campaigns(&id, &mixed).await.unwrap());
    assert_eq!(order(&in_file).await, ["bear".into(), "whale".into()]);
}

/// What is known of an account's albums comes with the account, and goes with its settings.
pub async fn albums_are_known_until_the_account_is_connected_again(subject: &dyn Subject) {
    let (ports, id) = (subject.ports(), subject.connected());
    let before = announced(subject).await;
    assert_eq!(before.albums, Albums::default());
    let mut albums = Albums::default();
    albums.put(&"1790".into(), ["1791".into(), "1792".into()]);
    assert!(ports.changes.set_albums(&id, &albums).await.unwrap());
    let account = announced(subject).await;
    assert_eq!(account.albums, albums);
    assert!(account.revision > before.revision);
    assert!(account.campaigns.iter().eq(before.campaigns.iter()));
    assert!(ports.changes.set_rules(&id, &Rules::careful()).await.unwrap());
    assert_eq!(announced(subject).await.albums, albums);
    subject.connect_again().await;
    assert_eq!(announced(subject).await.albums, Albums::default());
    let seen = ports.removal.revision(&id).await.unwrap();
    assert!(ports.removal.remove(&id, seen).await.unwrap());
    assert!(!ports.changes.set_albums(&id, &albums).await.unwrap());
}

/// What an account sets for its conversations stays when it is connected again, and goes with it.
pub async fn settings_of_conversations_stay_until_the_account_is_removed(subject: &dyn Subject) {
    let (ports, id) = (subject.ports(), subject.connected());
    let before = announced(subject).await;
    assert_eq!(before.conversations, ConversationSettings::default());
    let hour = Duration::from_secs(3600);
    let settings = ConversationSettings::new(vec!["basta".into()], vec!["go on".into()], hour);
    assert!(ports.changes.set_conversations(&id, &settings).await.unwrap());
    let account = announced(subject).await;
    assert_eq!(account.conversations, settings);
    assert!(account.revision > before.revision);
    assert!(ports.changes.set_rules(&id, &Rules::careful()).await.unwrap());
    subject.connect_again().await;
    assert_eq!(announced(subject).await.conversations, settings);
    let none = ConversationSettings::default();
    assert!(ports.changes.set_conversations(&id, &none).await.unwrap());
    assert_eq!(announced(subject).await.conversations, none);
    let seen = ports.removal.revision(&id).await.unwrap();
    assert!(ports.removal.remove(&id, seen).await.unwrap());
    assert!(!ports.changes.set_conversations(&id, &settings).await.unwrap());
}

/// Of an account that is not connected nothing is written that a later connection would find.
pub async fn nothing_of_an_account_that_is_not_connected_changes(subject: &dyn Subject) {
    let (ports, id) = (subject.ports(), subject.connected());
    let before = ports.accounts.load(&id).await.unwrap().unwrap();
    let seen = ports.removal.revision(&id).await.unwrap();
    assert!(ports.removal.remove(&id, seen).await.unwrap());
    let changes = &ports.changes;
    assert!(!changes.change_campaigns(&id, &put(&[campaign("bio", "bio")])).await.unwrap());
    assert!(!changes.set_rules(&id, &Rules::careful()).await.unwrap());
    let first = before.campaigns.iter().next().unwrap().id.clone();
    assert!(!changes.set_running(&id, &first, Running::PausedSince(now(subject))).await.unwrap());
    changes.announce(&id).await.unwrap();
    assert!(ports.accounts.load(&id).await.unwrap().is_none());

    subject.connect_again().await;
    let again = ports.accounts.load(&id).await.unwrap().unwrap();
    assert!(again.campaigns.iter().eq(before.campaigns.iter()));
    assert_eq!(again.campaigns.running(&first), Running::Active);
}
