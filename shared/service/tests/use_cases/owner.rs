//! What Meta asks in an owner's name: once, again, late, for others and for ids that nobody knows.

use std::sync::Arc;

use futures::FutureExt;
use spillway_core::time::Timestamp;
use spillway_service::owner::{OwnerRequest, UNMATCHED_KEPT};
use spillway_service::port::Deletion;

use crate::world::{DAY, HOUR, START, World, id};

/// The id that the app has for the account.
const APP_SCOPED: &str = "99001";

/// Meta asks for a deletion; `None` where the process that takes it dies.
fn asks(world: &Arc<World>, user: &str, issued_at: Timestamp, code: &str) -> Option<()> {
    let request = OwnerRequest { user, issued_at: Some(issued_at), code };
    let owners = world.owners();
    owners.delete(&request).now_or_never().map(Result::unwrap)
}

/// Upkeep or a login learns the account's app-scoped id; `None` where it dies.
fn names(world: &Arc<World>) -> Option<()> {
    let life = world.state().kept().life;
    let remover = world.remover();
    remover.name(&id(), APP_SCOPED, life).now_or_never().map(Result::unwrap)
}

fn status(world: &Arc<World>, code: &str) -> Option<Deletion> {
    world.state().tables.kept.deletions.get(code).copied()
}

/// Upkeep visits the account, and release works between, until all is done.
fn settle(world: &Arc<World>) {
    for _ in 0..4 {
        world.run().unwrap();
        world.release();
    }
}

#[test]
fn each_of_several_requests_is_done_and_none_is_done_twice() {
    let world = World::new();
    names(&world).unwrap();
    for code in ["a", "b", "b", "a"] {
        asks(&world, APP_SCOPED, START, code).unwrap();
        world.pass(HOUR / 60);
    }
    assert_eq!(status(&world, "a").unwrap().asked_at, Some(START), "the first time counts");
    world.run().unwrap();
    asks(&world, APP_SCOPED, START, "c").unwrap();
    settle(&world);
    for code in ["a", "b", "c"] {
        assert!(status(&world, code).unwrap().done_at.is_some(), "{code}");
    }
    assert_eq!(world.state().revision, None);
    // Once more, after it was connected again.
    world.connect_again();
    asks(&world, id().as_str(), START, "a").unwrap();
    assert!(world.state().record().delete.is_empty());
}

#[test]
fn a_request_is_taken_wherever_the_process_is_killed() {
    for asked in 0..20 {
        for user in [APP_SCOPED, id().as_str()] {
            let world = World::new();
            names(&world).unwrap();
            world.state().asks_left = Some(asked);
            let has_lived = asks(&world, user, START, "a").is_some();
            world.state().asks_left = None;
            if !has_lived {
                asks(&world, user, START, "a").unwrap();
            }
            settle(&world);
            assert!(status(&world, "a").unwrap().done_at.is_some(), "{asked}");
            assert_eq!(world.state().revision, None, "{asked}");
            assert!(has_lived || asked < 19, "it never lived to the end");
        }
    }
}

#[test]
fn an_old_request_leaves_a_newer_connection_alone() {
    let world = World::new();
    let obtained_at = world.state().kept().life.obtained_at.unwrap();
    asks(&world, id().as_str(), obtained_at - HOUR, "old").unwrap();
    assert!(status(&world, "old").unwrap().void_at.is_some());
    assert!(world.state().record().delete.is_empty());
    asks(&world, id().as_str(), obtained_at, "new").unwrap();
    assert!(world.state().record().delete.contains("new"));
}

#[test]
fn a_request_under_an_unknown_id_is_kept_and_finds_its_account() {
    for asked in 0..20 {
        let world = World::new();
        for code in ["a", "b"] {
            asks(&world, APP_SCOPED, START, code).unwrap();
            let kept_until = Some(START + UNMATCHED_KEPT);
            let kept = Deletion { kept_until, ..Deletion::default() };
            assert_eq!(status(&world, code), Some(kept));
        }
        asks(&world, "99002", START, "another's").unwrap();
        assert!(world.state().record().delete.is_empty(), "nobody's");
        world.state().asks_left = Some(asked);
        let has_lived = names(&world).is_some();
        world.state().asks_left = None;
        if !has_lived {
            names(&world).unwrap();
        }
        assert_eq!(status(&world, "a").unwrap().kept_until, None);
        settle(&world);
        for code in ["a", "b"] {
            assert!(status(&world, code).unwrap().done_at.is_some(), "{asked}");
        }
        assert_eq!(status(&world, "another's").unwrap().done_at, None);
        let state = world.state();
        assert_eq!((state.revision, state.due()), (None, None), "{asked}");
        let kept = &state.tables.kept;
        assert!(kept.unmatched[APP_SCOPED].is_empty() && kept.aliases.is_empty());
        assert!(has_lived || asked < 19, "it never lived to the end");
    }
}

/// What came before the login, or is kept no longer, is about nothing that is stored.
#[test]
fn a_request_that_was_kept_does_not_delete_a_newer_connection() {
    let world = World::new();
    let obtained_at = world.state().kept().life.obtained_at.unwrap();
    asks(&world, APP_SCOPED, obtained_at - DAY, "old").unwrap();
    names(&world).unwrap();
    assert!(status(&world, "old").unwrap().void_at.is_some());
    assert!(world.state().record().delete.is_empty());

    let world = World::new();
    asks(&world, APP_SCOPED, START, "late").unwrap();
    world.pass(UNMATCHED_KEPT);
    names(&world).unwrap();
    let late = status(&world, "late").unwrap();
    assert!(late.done_at.is_none() && late.kept_until.is_some(), "nothing was deleted: {late:?}");
    assert!(world.state().record().delete.is_empty());
}

/// Somebody connects the account while the request is taken, or before upkeep comes to it.
#[test]
fn a_request_is_checked_again_when_upkeep_acts_on_it() {
    let world = World::new();
    asks(&world, id().as_str(), START, "old").unwrap();
    assert!(world.state().record().delete.contains("old"));
    // The new connection did not see the request: it is still there.
    let connected_at = START + HOUR;
    world.state().life_mut().obtained_at = Some(connected_at);
    settle(&world);
    assert!(world.state().revision.is_some(), "the new connection stays");
    assert!(world.state().record().delete.is_empty());
    assert!(status(&world, "old").unwrap().void_at.is_some());

    // One that came after the connection is acted on, whatever came before.
    asks(&world, id().as_str(), START, "older").unwrap();
    asks(&world, id().as_str(), connected_at + HOUR, "new").unwrap();
    settle(&world);
    assert_eq!(world.state().revision, None);
    let new = status(&world, "new").unwrap();
    assert!(new.done_at.is_some() && new.void_at.is_none(), "{new:?}");
}

/// The id is learned while the request is taken: one of the two finds the other.
#[test]
fn a_request_that_races_with_its_id_is_done() {
    for step in ["look up an app-scoped id", "note a request for deletion"] {
        let world = World::new();
        world.state().meanwhile = Some((step, |world| {
            let kept = &mut world.state().tables.kept;
            kept.aliases.insert(APP_SCOPED.into(), id());
        }));
        asks(&world, APP_SCOPED, START, "a").unwrap();
        assert!(world.state().record().delete.contains("a"), "{step}");
        assert_eq!(status(&world, "a").unwrap().kept_until, None, "{step}");
    }
}

#[test]
fn an_old_notice_of_a_removed_app_says_nothing() {
    for (age, is_taken) in [(DAY, true), (2 * DAY, false)] {
        let world = World::new();
        let (account, issued_at) = (id(), Some(START - age));
        let request = OwnerRequest { user: account.as_str(), issued_at, code: "a" };
        let owners = world.owners();
        owners.deauthorize(&request).now_or_never().unwrap().unwrap();
        let unknown = OwnerRequest { user: "99002", ..request };
        owners.deauthorize(&unknown).now_or_never().unwrap().unwrap();
        assert_eq!(world.state().record().deauthorized_at.is_some(), is_taken);
        assert_eq!(world.state().tables.kept.listed.len(), 1);
    }
}
