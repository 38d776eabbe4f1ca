//! What a visit decides, call by call. That it survives being killed anywhere, and what Meta makes
//! of it, is tested over the wire.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId};
use spillway_core::campaign::NextPost;
use spillway_core::hold::HoldCause;
use spillway_core::journal::{Event, RemovedBy};
use spillway_core::profile::Profile;
use spillway_core::quota::{Action, Limit, Quota, Unit};
use spillway_core::rules::Rules;
use spillway_core::send::Lane;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{ALL_FIELDS, Backfill, Reason, TokenLife, WEBHOOK_FIELDS};
use spillway_meta::error::GraphError;
use spillway_meta::graph::CallError;
use spillway_meta::usage::Usage;

use spillway_service::clock::Clock;
use spillway_service::upkeep::{Kept, VISIT};

use crate::world::{DAY, HOUR, Mood, START, World, id, token};

const VISITED: Option<Kept> = Some(Kept { visited: 1, failed: 0, left: 0 });

/// An answer that Meta would give again.
fn token_dead() -> Mood {
    let error = GraphError { status: 400, code: Some(190), ..GraphError::default() };
    Mood::Fails(CallError::Refused { error, usage: Usage::default(), server_date: None })
}

/// An account whose token is in its last third.
fn with_an_old_token() -> Arc<World> {
    let world = World::new();
    let life = TokenLife { obtained_at: Some(START - 45 * DAY), ends_at: Some(START + 15 * DAY) };
    *world.state().life_mut() = life;
    world
}

#[test]
fn the_old_token_stays_in_use_until_a_call_with_the_new_one_has_worked() {
    let world = with_an_old_token();
    world.state().moods.insert(2, Mood::Fails(CallError::Unknown));
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("refresh", 1), ("me", 2)]);
    {
        let state = world.state();
        assert_eq!(state.kept().token, token(1));
        assert_eq!(state.kept().next.as_ref().map(|next| &next.token), Some(&token(2)));
        assert_eq!((&state.told[..], state.due()), (&[][..], Some(START)), "the next run goes on");
    }
    // What else there is to do is done with the old one; no third token is asked for.
    world.state().record_mut().upkeep.checked_at = None;
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("me", 2), ("subscription", 1)]);

    world.state().moods.clear();
    world.state().record_mut().upkeep.checked_at = None;
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("me", 2), ("subscription", 2)]);
    let state = world.state();
    assert_eq!((&state.kept().token, &state.kept().next), (&token(2), &None));
    assert_eq!(state.told, [Event::TokenRefreshed { token_ends: START + 60 * DAY }]);
}

/// A hold of the whole app that is over, and that nobody has looked into.
fn app_hold_over() -> AppBudget {
    let held = START - DAY;
    AppBudget::default().hold(HoldCause::Throttled, held, None, GrantId::new(1, 1))
}

#[test]
fn a_call_of_upkeep_ends_a_hold_of_the_whole_app_without_any_send() {
    let world = with_an_old_token();
    *world.state().app_mut() = app_hold_over();
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls()[0], ("refresh", 1));
    let state = world.state();
    let app = state.app();
    assert_eq!((app.holds.current, app.returned_at), (None, Some(START)));
    assert!(state.told.contains(&Event::HoldEnded));
}

#[test]
fn an_account_that_is_on_hold_itself_is_not_the_probe_of_the_app() {
    let world = with_an_old_token();
    *world.state().app_mut() = app_hold_over();
    let rules = spillway_core::rules::Rules::careful();
    let id = GrantId::new(1, 1);
    let held = Budget::default().hold(&rules, HoldCause::Blocked, START, None, id);
    world.state().set_budget(held);
    world.run();
    assert_eq!(world.calls(), []);
    assert!(!world.state().app().holds.is_probed());
}

#[test]
fn a_new_token_that_does_not_work_is_dropped_and_holds_nothing_up() {
    for mood in [token_dead(), Mood::Mistakes] {
        let world = with_an_old_token();
        world.state().moods.insert(2, mood);
        assert_eq!(world.run(), VISITED);
        assert_eq!(world.calls(), [("refresh", 1), ("me", 2)]);
        {
            let state = world.state();
            assert_eq!((&state.kept().token, &state.kept().next), (&token(1), &None));
            assert_eq!((&state.budget().holds.current, state.due()), (&None, Some(START + HOUR)));
            assert!(matches!(&state.told[..], [Event::TokenRefreshFailed { .. }]));
        }
        // Another is asked for an hour later, and the failure told once a day.
        world.pass(HOUR);
        assert_eq!(world.run(), VISITED);
        assert_eq!(world.calls(), [("refresh", 1), ("me", 2), ("subscription", 1)]);
        assert_eq!(world.state().told.len(), 1);
    }
}

#[test]
fn a_token_that_is_found_dead_is_called_with_no_more_and_holds_the_account() {
    let world = with_an_old_token();
    world.state().moods.insert(1, token_dead());
    world.state().record_mut().upkeep.checked_at = None;
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("refresh", 1)], "not even the subscription is asked for");
    let state = world.state();
    assert!(state.budget().holds.current.is_some());
    assert_eq!(state.told.iter().filter(|event| **event == Event::TokenDead).count(), 1);
    assert_eq!(state.record().upkeep.dead_since, Some(START));
}

#[test]
fn a_visit_that_dies_or_fails_is_due_again_when_its_time_is_over_and_not_before() {
    let hangs: fn(&World) = |world| drop(world.state().moods.insert(1, Mood::Hangs));
    let is_gone: fn(&World) = |world| world.state().unanswered = Some("load the account's token");
    let failed = Some(Kept { visited: 1, failed: 1, left: 0 });
    for (trouble, ran) in [(hangs, None), (is_gone, failed)] {
        let world = with_an_old_token();
        trouble(&world);
        assert_eq!(world.run(), ran);
        {
            let mut state = world.state();
            assert_eq!(state.due(), Some(START + VISIT));
            state.moods.clear();
            state.unanswered = None;
            state.calls.clear();
        }
        world.pass(VISIT / 2);
        assert_eq!(world.run(), Some(Kept::default()), "it may still be under way");
        world.pass(VISIT / 2);
        assert_eq!(world.run(), VISITED);
        assert_eq!(world.calls(), [("refresh", 1), ("me", 2)]);
        assert_eq!(world.state().kept().token, token(2));
    }
}

#[test]
fn a_backfill_stops_while_sends_are_parked_and_goes_on_behind_the_last_page() {
    let world = World::new();
    {
        let mut state = world.state();
        let backfill = Backfill::new(Reason::Resubscribed, START - DAY, START);
        state.record_mut().upkeep.backfill = Some(backfill);
        state.comments = (1..=3).map(|hours| START - HOUR * hours).collect();
        state.cursor_mut().parked = Some(Lane::Inbound);
    }
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [], "what is live goes first");
    {
        let mut state = world.state();
        assert_eq!(state.due(), Some(START), "the next run looks again");
        state.cursor_mut().parked = None;
        state.parks_after_a_page = true;
    }
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("media", 1), ("comments", 1)]);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), []);
    {
        let mut state = world.state();
        state.cursor_mut().parked = None;
        state.parks_after_a_page = false;
    }
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("more comments", 1)]);
    let state = world.state();
    assert_eq!((&state.record().upkeep.backfill, state.due()), (&None, Some(START + HOUR)));
    assert!(matches!(state.told[..], [Event::Backfilled { read: 3, found: 3, .. }]));
}

#[test]
fn a_page_that_tells_nothing_of_the_order_does_not_end_its_media() {
    let world = World::new();
    {
        let mut state = world.state();
        let backfill = Backfill::new(Reason::Resubscribed, START - DAY, START);
        state.record_mut().upkeep.backfill = Some(backfill);
        state.comments = vec![START - 2 * DAY, START - 2 * DAY, START - HOUR];
    }
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("media", 1), ("comments", 1), ("more comments", 1)]);
    assert!(matches!(world.state().told[..], [Event::Backfilled { read: 1, found: 1, .. }]));
}

/// An account that Meta has unsubscribed, with comments that no webhook told of.
fn unsubscribed() -> Arc<World> {
    let world = World::new();
    {
        let mut state = world.state();
        state.is_unsubscribed = true;
        state.record_mut().last_seen = Some(START - 3 * HOUR);
        state.record_mut().upkeep.checked_at = Some(START - HOUR);
        state.comments = (1..=5).map(|half| START - HOUR * half / 2).collect();
    }
    world
}

#[test]
fn what_was_missed_is_read_wherever_upkeep_is_killed() {
    let mut asked = 0;
    loop {
        let world = unsubscribed();
        world.state().asks_left = Some(asked);
        let ran = world.run();
        world.state().asks_left = None;
        for _ in 0..3 {
            world.pass(VISIT);
            assert_eq!(world.run().map(|kept| kept.failed), Some(0));
        }
        let state = world.state();
        assert!(!state.is_unsubscribed, "killed after {asked} answers");
        assert_eq!(state.taken.len(), 5, "killed after {asked} answers");
        let told = |is: fn(&Event) -> bool| state.told.iter().any(is);
        assert!(told(|event| matches!(event, Event::SubscriptionLost { .. })), "after {asked}");
        assert!(told(|event| matches!(event, Event::Resubscribed)), "after {asked}");
        assert!(told(|event| matches!(event, Event::Backfilled { .. })), "after {asked}");
        let upkeep = &state.record().upkeep;
        assert_eq!((&upkeep.backfill, upkeep.unread_since, upkeep.lost_at), (&None, None, None));
        if ran.is_some() {
            assert!(asked > 20, "{asked}");
            return;
        }
        asked += 1;
    }
}

/// One call a minute, and nothing else.
fn one_call_a_minute() -> Rules {
    let minute = Duration::from_secs(60);
    let one = Limit::Fixed(NonZeroU32::MIN);
    let careful = Rules::careful();
    let profile = Profile {
        quotas: vec![Quota::new("calls", &Action::ALL, Unit::Calls, minute, one)],
        spread: None,
        warm_up: None,
        ..careful.profile().clone()
    };
    Rules::new(profile, careful.terms().clone()).unwrap()
}

#[test]
fn an_account_that_may_make_one_call_a_minute_is_subscribed_again() {
    let is_lost: fn(&World) = |world| world.state().is_unsubscribed = true;
    let is_silent: fn(&World) = |world| {
        world.state().record_mut().upkeep.silent_since = Some(START - HOUR);
    };
    for trouble in [is_lost, is_silent] {
        let world = World::new();
        world.state().rules = one_call_a_minute();
        world.state().record_mut().upkeep.checked_at = Some(START - HOUR);
        trouble(&world);
        let mut calls = Vec::new();
        for _ in 0..2 {
            assert_eq!(world.run(), VISITED);
            calls.extend(world.calls());
            world.pass(VISIT);
        }
        assert!(calls.contains(&("subscribe", 1)), "{calls:?}");
        assert!(!world.state().is_unsubscribed);
    }
}

#[test]
fn a_token_is_renewed_wherever_upkeep_is_killed() {
    let mut asked = 0;
    loop {
        let world = with_an_old_token();
        world.state().asks_left = Some(asked);
        let ran = world.run();
        world.state().asks_left = None;
        world.pass(VISIT);
        world.run();
        let state = world.state();
        assert!(state.kept().token != token(1) && state.kept().next.is_none(), "after {asked}");
        if ran.is_some() {
            return;
        }
        asked += 1;
    }
}

#[test]
fn no_call_begins_without_time_for_its_answer() {
    let world = with_an_old_token();
    {
        let mut state = world.state();
        state.is_unsubscribed = true;
        state.record_mut().upkeep.checked_at = None;
        state.call_takes = Duration::from_secs(20);
    }
    assert_eq!(world.run_for(Duration::from_secs(70)), VISITED);
    assert_eq!(world.calls(), [("refresh", 1), ("me", 2), ("subscription", 2)]);
    assert_eq!(world.state().due(), Some(START + Duration::from_secs(60)), "the next run goes on");
    world.state().call_takes = Duration::ZERO;
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls()[0], ("subscribe", 2));
}

/// Sends of a restricted account wait, and probe each of its holds.
#[test]
fn a_token_is_renewed_between_the_holds_of_a_restricted_account() {
    let world = with_an_old_token();
    let until = {
        let mut state = world.state();
        let (rules, id) = (Rules::careful(), GrantId::new(7, 7));
        let held = state.budget().hold(&rules, HoldCause::Blocked, START, None, id);
        state.set_budget(held);
        state.cursor_mut().parked = Some(Lane::Inbound);
        state.budget().holds.current.as_ref().unwrap().until
    };
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [], "nothing is called during a hold");
    assert_eq!(world.state().due(), Some(START), "the next run looks again");
    world.pass(until.since(START) + Duration::from_secs(60));
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("refresh", 1)]);
    assert!(world.state().budget().holds.current.is_some(), "it tells nothing of sends");
    world.pass(HOUR / 4);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("me", 2)]);
    let state = world.state();
    assert_eq!(state.kept().token, token(2));
    assert!(state.budget().holds.current.is_some());
}

/// An answer that says nothing of the token does not make it wait like one of a kind that is never
/// renewed.
#[test]
fn a_token_that_nobody_knows_to_end_is_asked_for_again_in_an_hour_if_meta_did_not_answer() {
    let world = World::new();
    *world.state().life_mut() = TokenLife { obtained_at: Some(START - DAY), ends_at: None };
    world.state().moods.insert(1, Mood::Fails(CallError::Unknown));
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("refresh", 1)]);
    assert!(matches!(world.state().told[..], [Event::TokenRefreshFailed { .. }]));
    world.state().moods.clear();
    world.pass(HOUR);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls()[..2], [("refresh", 1), ("me", 2)]);
    assert_eq!(world.state().kept().token, token(2));
}

/// Nothing that is due for the token is put off for ever.
#[test]
fn the_token_of_a_restricted_account_that_ends_is_told_of() {
    let world = with_an_old_token();
    {
        let mut state = world.state();
        let (rules, id) = (Rules::careful(), GrantId::new(7, 7));
        let held = state.budget().hold(&rules, HoldCause::Blocked, START, None, id);
        state.set_budget(held);
        state.cursor_mut().parked = Some(Lane::Inbound);
        state.life_mut().ends_at = Some(START);
    }
    assert_eq!(world.run(), VISITED);
    let state = world.state();
    assert_eq!(state.told, [Event::TokenDead]);
    assert_eq!(state.record().upkeep.dead_since, Some(START));
}

/// The race of a visit that has read the request with a new connection, which does it first.
#[test]
fn an_account_that_is_connected_while_a_visit_deletes_it_stays() {
    let steps =
        ["remove the account", "give the counters an end", "take the account off upkeep's list"];
    for step in steps {
        let world = World::new();
        world.state().record_mut().delete.insert("c0de".into());
        if step != "remove the account" {
            assert_eq!(world.run(), VISITED);
            world.release();
        }
        world.state().meanwhile = Some((step, World::connect_again));
        let now = world.now();
        assert_eq!(world.run(), VISITED);
        let state = world.state();
        assert!(state.revision.is_some(), "{step}: the new account was removed");
        assert_eq!(state.due(), Some(now + Duration::from_secs(60)), "{step}: it is off the list");
        assert!(state.deleted.iter().all(|code| code == "c0de") && !state.deleted.is_empty());
        let counters_end = step == "take the account off upkeep's list";
        assert_eq!(state.counters_end, counters_end, "{step}");
    }
}

#[test]
fn a_deletion_is_finished_wherever_upkeep_is_killed() {
    for asks in 0..44 {
        let world = World::new();
        world.state().record_mut().delete.insert("c0de".into());
        let mut has_lived = true;
        // The first visit, and the second one.
        for is_killed in [asks < 22, asks >= 22] {
            world.state().asks_left = is_killed.then_some(asks % 22);
            has_lived &= world.run().is_some();
            world.state().asks_left = None;
            world.release();
        }
        for _ in 0..2 {
            assert!(world.run().is_some());
            world.release();
        }
        let state = world.state();
        assert_eq!((state.revision, state.due()), (None, None), "{asks}");
        assert_eq!(state.deleted.first().map(String::as_str), Some("c0de"), "{asks}");
        assert!(state.told.contains(&Event::Removed { by: RemovedBy::Owner }), "{asks}");
        assert!(state.counters_end, "{asks}");
        assert!(has_lived || asks % 22 < 21, "it never lived to the end");
    }
}

#[test]
fn a_deletion_is_done_when_nothing_waits_any_more() {
    let world = World::new();
    world.state().record_mut().delete.insert("c0de".into());
    for _ in 0..4 {
        assert_eq!(world.run(), VISITED);
        let state = world.state();
        assert_eq!((state.revision, &state.deleted[..]), (None, &[][..]), "release is not done");
        assert!(state.due().is_some() && state.tables.marks.contains_key(&id()));
        drop(state);
        world.pass(VISIT);
    }
    world.release();
    assert_eq!(world.run(), VISITED);
    let state = world.state();
    assert_eq!((&state.deleted[..], state.due()), (&["c0de".to_owned()][..], None));
}

fn refused() -> CallError {
    let error = GraphError { status: 400, code: Some(100), ..GraphError::default() };
    CallError::Refused { error, usage: Usage::default(), server_date: None }
}

/// A backfill of five comments on three pages. The first `failing` reads of a later page fail.
fn with_failing_pages(failing: u32, failure: CallError) -> Arc<World> {
    let world = World::new();
    {
        let mut state = world.state();
        let backfill = Backfill::new(Reason::Resubscribed, START - DAY, START);
        state.record_mut().upkeep.backfill = Some(backfill);
        state.comments = (1..=5).map(|hours| START - HOUR * hours).collect();
        state.failing_pages = (failing, failure);
    }
    world
}

#[test]
fn a_refused_cursor_starts_its_media_again_from_the_newest_comment() {
    let world = with_failing_pages(1, refused());
    assert_eq!(world.run(), VISITED);
    let pages = [("comments", 1), ("more comments", 1)];
    let again = [("comments", 1), ("more comments", 1), ("more comments", 1)];
    assert_eq!(world.calls(), [&[("media", 1)], &pages[..], &again[..]].concat());
    let state = world.state();
    assert_eq!(state.taken.len(), 5);
    assert!(matches!(state.told[..], [Event::Backfilled { found: 5, unfinished: 0, .. }]));
}

#[test]
fn media_that_meta_refuses_to_page_are_kept_shown_and_gone_on_with() {
    let world = with_failing_pages(2, refused());
    assert_eq!(world.run(), VISITED);
    {
        let state = world.state();
        assert_eq!(state.taken.len(), 2);
        assert!(matches!(state.told[..], [Event::Backfilled { found: 2, unfinished: 1, .. }]));
        let upkeep = &state.record().upkeep;
        assert!(upkeep.counts.is_empty(), "they do not count as read");
        assert_eq!((upkeep.unfinished.len(), &upkeep.backfill), (1, &None));
        assert_eq!(state.due(), Some(START + HOUR));
    }
    world.calls();
    world.pass(HOUR);
    assert_eq!(world.run(), VISITED);
    let pages = [("subscription", 1), ("comments", 1), ("more comments", 1), ("more comments", 1)];
    assert_eq!(world.calls(), pages, "the media are known");
    let state = world.state();
    assert_eq!((state.taken.len(), state.record().upkeep.unfinished.len()), (5, 0));
    assert!(matches!(state.told[1..], [Event::Backfilled { found: 3, unfinished: 0, .. }]));
}

#[test]
fn a_page_that_never_answers_does_not_hold_the_backfill_up_for_ever() {
    let world = with_failing_pages(100, CallError::Unknown);
    for _ in 0..7 {
        assert_eq!(world.run(), VISITED);
    }
    let state = world.state();
    assert_eq!((&state.record().upkeep.backfill, state.due()), (&None, Some(START + HOUR)));
    assert!(matches!(state.told[..], [Event::Backfilled { found: 2, unfinished: 1, .. }]));
}

/// An account that webhooks have not told of for seven hours, with a comment of then.
fn quiet(comment_made: Timestamp) -> Arc<World> {
    let world = World::new();
    {
        let mut state = world.state();
        state.record_mut().last_seen = Some(START - 7 * HOUR);
        state.comments = vec![comment_made];
    }
    world
}

/// A refused optional field never costs the others, required or optional, and is asked for again a
/// day later.
#[test]
fn optional_fields_are_asked_for_apart_once_a_day() {
    let world = World::new();
    let refused = "messaging_postbacks";
    {
        let mut state = world.state();
        state.refused_field = Some(refused);
        state.fields = WEBHOOK_FIELDS.map(str::to_owned).into();
    }
    let mut asked = 0;
    for hour in 0..50 {
        world.state().record_mut().last_seen = Some(START + hour * HOUR);
        world.run();
        asked += world.calls().iter().filter(|(call, _)| *call == "subscribe, refused").count();
        world.pass(HOUR);
    }
    // The first time with the others and alone, then alone.
    assert!((3..=4).contains(&asked), "{asked}");
    let state = world.state();
    let has: Vec<&str> = ALL_FIELDS.into_iter().filter(|&field| field != refused).collect();
    assert_eq!(state.fields, has.into_iter().map(str::to_owned).collect());
    assert!(!state.is_unsubscribed);
    assert!(!state.told.iter().any(|event| matches!(event, Event::SubscriptionLost { .. })));
}

#[test]
fn an_account_is_silent_when_a_comment_should_have_been_told_and_until_one_is() {
    let world = quiet(START - 3 * HOUR);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("media", 1), ("comments", 1)]);
    {
        let state = world.state();
        assert_eq!(state.record().upkeep.silent_since, Some(START));
        assert!(matches!(state.told[..], [Event::Silent { .. }, Event::Backfilled { .. }]));
    }
    // It is subscribed again, first to what it needs and then to echoes, whatever Meta says of it,
    // and comments are read.
    world.pass(HOUR);
    assert_eq!(world.run(), VISITED);
    let again = [("subscribe", 1), ("subscribe", 1), ("media", 1)];
    assert_eq!(world.calls(), again, "it has no comment beyond those known");

    world.pass(HOUR);
    world.state().record_mut().last_seen = Some(START + 2 * HOUR);
    world.state().comments.insert(0, START + HOUR * 3 / 2);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.state().record().upkeep.silent_since, None);
    assert!(world.state().told.contains(&Event::HeardAgain));
    assert_eq!(world.state().taken.len(), 2, "what was written before the first webhook is read");
    world.calls();
    world.pass(HOUR);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("subscription", 1)], "believed again");
}

#[test]
fn an_account_that_was_connected_since_its_owner_removed_the_app_is_not_held() {
    for (removed_at, is_held) in [(START - 2 * DAY, false), (START - HOUR, true)] {
        let world = World::new();
        world.state().record_mut().deauthorized_at = Some(removed_at);
        assert_eq!(world.run(), VISITED);
        let state = world.state();
        assert_eq!(state.budget().holds.current.is_some(), is_held);
        assert_eq!(state.told.contains(&Event::Deauthorized), is_held);
    }
}

#[test]
fn comments_are_read_of_an_account_that_no_webhook_has_ever_told_of() {
    let world = quiet(START - 3 * HOUR);
    world.state().record_mut().last_seen = None;
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("media", 1), ("comments", 1)]);
    assert_eq!(world.state().record().upkeep.silent_since, Some(START));
    assert_eq!(world.state().taken.len(), 1);
}

#[test]
fn neither_a_quiet_night_nor_a_webhook_on_its_way_is_silence() {
    // Told before the night; or so young that its webhook may still come.
    for made in [START - 7 * HOUR, START - HOUR] {
        let world = quiet(made);
        assert_eq!(world.run(), VISITED);
        assert_eq!(world.calls(), [("media", 1), ("comments", 1)]);
        let state = world.state();
        assert_eq!(state.record().upkeep.silent_since, None);
        assert!(!state.told.iter().any(|event| matches!(event, Event::Silent { .. })));
    }
}

#[test]
fn each_media_of_a_campaign_is_asked_once_whether_it_is_an_album() {
    let world = World::new();
    let campaign = serde_json::json!({ "id": "c", "media": ["30", "40"], "messages": ["Hi"] });
    world.state().campaigns = vec![serde_json::from_value(campaign).unwrap()];
    world.state().pictures.insert("30".into(), vec!["31".into(), "32".into()]);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("pictures", 1), ("pictures", 1)]);
    {
        let state = world.state();
        assert_eq!(state.albums.album_of(&"32".into()), Some(&"30".into()));
        assert!(!state.albums.knows(&"40".into()));
        assert_eq!(state.due(), Some(START), "its comments are to be read");
    }
    // A minute later every process knows the album: what came before is read.
    world.pass(HOUR / 60);
    world.state().comments = vec![START - HOUR / 2, START - HOUR / 4];
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("comments", 1)]);
    assert_eq!(world.state().taken.len(), 2);

    // A week later the album is asked again, and the other one never.
    world.state().record_mut().upkeep.checked_at = Some(START + 8 * DAY);
    world.state().record_mut().last_seen = Some(START + 8 * DAY);
    world.pass(8 * DAY);
    world.state().pictures.insert("30".into(), vec!["32".into()]);
    world.run();
    let calls = world.calls();
    assert_eq!(calls.iter().filter(|(call, _)| *call == "pictures").count(), 1, "{calls:?}");
    assert_eq!(world.state().albums.album_of(&"31".into()), None);
}

#[test]
fn the_next_post_is_looked_for_on_each_run_until_it_is_there() {
    let world = World::new();
    let campaign = serde_json::json!({ "id": "c", "media": "next", "messages": ["Hi"] });
    world.state().campaigns = vec![serde_json::from_value(campaign).unwrap()];
    let post = |world: &World| world.state().next_posts.get(&"c".into()).cloned();
    world.state().published_at = Some(START - HOUR);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("media", 1)], "the post is of before, and no album is asked for");
    assert_eq!(post(&world), Some(NextPost::AwaitedSince(START)), "nobody else had noted it");
    assert_eq!(world.state().due(), Some(START), "the next run looks again");

    world.pass(HOUR / 4);
    world.state().published_at = Some(START + HOUR / 8);
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.calls(), [("media", 1)]);
    assert_eq!(post(&world), Some(NextPost::Is("179".into())));
    {
        let state = world.state();
        let found = Event::NextPostFound { campaign: "c".into(), media: "179".into() };
        assert!(state.told.contains(&found), "{:?}", state.told);
        let left = state.record().upkeep.unfinished[&"179".into()];
        assert_eq!(left.since, START + HOUR / 8, "its comments are read from its first instant on");
    }

    // A visit that comes too early leaves them for the next one.
    world.pass(HOUR / 120);
    assert_eq!(world.run(), VISITED);
    {
        let state = world.state();
        let left = state.record().upkeep.unfinished[&"179".into()];
        assert_eq!(state.due(), Some(left.again_at), "and not an hour later");
    }

    // A minute later every process knows the post: what came before is read. Then there is rest.
    world.pass(HOUR / 120);
    world.state().comments = vec![START + HOUR / 7, START + HOUR / 6];
    assert_eq!(world.run(), VISITED);
    assert_eq!(world.state().taken.len(), 2);
    let due = world.state().due().unwrap();
    assert!(due > world.now(), "nothing is looked for any more");
}
