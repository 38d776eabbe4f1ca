//! Once per person, over the wire: however often somebody comments, and whatever changes between two
//! tellings of a comment.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use spillway_cloud::wiring::Wiring;
use spillway_core::id::CommentId;
use spillway_service::ingest::EntryKeys;

use crate::harness::{CREATOR, Said, World, all_said, careful, said};
use crate::triggers::{message, person};

const HOUR: Duration = Duration::from_secs(3600);

/// The `n`th comment, by the same person each time. Of comments that were told at once, theirs come
/// last.
fn again(n: u32) -> Said {
    Said { author: said(99).author, username: said(99).username, ..said(n) }
}

thread_local! {
    /// The setting of the next process: each test has a thread of its own.
    static KEYS: Cell<EntryKeys> = const { Cell::new(EntryKeys::Person) };
}

fn with_keys(wiring: Wiring) -> Wiring {
    Wiring { entry_keys: KEYS.get(), ..wiring }
}

/// The comments that got a DM, in the order of the calls.
fn answered(world: &World) -> Vec<CommentId> {
    world.dms().into_iter().map(|(comment, _)| comment).collect()
}

fn id(said: &Said) -> CommentId {
    said.id.as_str().into()
}

/// Tells of a comment as this value has it.
async fn tell(world: &World, value: Value) {
    let change = json!({ "field": "comments", "value": value });
    let entry = json!({ "id": CREATOR, "time": world.now().as_secs(), "changes": [change] });
    let delivery = json!({ "object": "instagram", "entry": [entry] }).to_string();
    assert_eq!(world.post(delivery.as_bytes()).await, 200);
}

#[tokio::test]
async fn five_comments_of_one_person_bring_one_dm() {
    let mut world = World::start(careful()).await;
    for n in 1..=3 {
        assert_eq!(world.say(&[again(n)]).await, 200);
        world.pass(HOUR).await;
    }
    assert_eq!(world.say(&[again(4), again(5)]).await, 200);
    world.settle().await;
    world.over(1).await;
    assert_eq!(answered(&world), [id(&said(1))]);
}

#[tokio::test]
async fn a_hundred_comments_of_one_person_delay_nobody() {
    let mut dms = Vec::new();
    for comments in [1, 100] {
        let mut world = World::start(careful()).await;
        let all: Vec<Said> = (100..100 + comments).map(again).collect();
        assert_eq!(world.say(&all).await, 200);
        world.pass_secs(1).await;
        assert_eq!(world.say(&[said(2)]).await, 200);
        world.settle().await;
        world.over(2).await;
        dms.push(world.dms().into_iter().find(|(comment, _)| *comment == id(&said(2))).unwrap());
    }
    assert_eq!(dms[0], dms[1]);
}

#[tokio::test]
async fn the_newest_comment_of_a_person_stands_in_for_one_that_they_deleted() {
    let mut world = World::start(careful()).await;
    // Others come first, so that the deletion comes before the call.
    let others = all_said(4..=40);
    assert_eq!(world.say(&[&*others, &[again(1)]].concat()).await, 200);
    for n in [2, 3] {
        world.pass_secs(5).await;
        assert_eq!(world.say(&[again(n)]).await, 200);
    }
    world.stack.graph.delete_comment(&id(&said(1)));
    world.settle().await;
    assert_eq!(answered(&world).into_iter().min(), Some(id(&said(3))));
    world.over(38).await;
}

#[tokio::test]
async fn a_comment_whose_author_nobody_names_counts_by_itself() {
    let mut world = World::start(careful()).await;
    for n in 1..=2 {
        let mut unnamed = again(n);
        world.observe(std::slice::from_ref(&unnamed));
        unnamed.username = None;
        let mut value = unnamed.value();
        value.as_object_mut().unwrap().remove("from");
        tell(&world, value.clone()).await;
        tell(&world, value).await;
    }
    world.settle().await;
    // Meta names the author when it is asked, so the second comment is a repeat.
    assert_eq!(answered(&world).len(), 1);
}

/// Meta is asked who has written it, and they want to be left alone.
#[tokio::test]
async fn a_comment_whose_author_nobody_names_starts_nothing_after_a_stop() {
    let mut world = World::start(careful()).await;
    let stop = message(1, world.now(), "m1", "STOP");
    assert_eq!(world.tell(&[stop]).await, 200);
    let unnamed = said(1).by(&person(1));
    world.observe(std::slice::from_ref(&unnamed));
    let mut value = unnamed.value();
    value.as_object_mut().unwrap().remove("from");
    tell(&world, value).await;
    world.settle().await;
    assert!(answered(&world).is_empty());
    world.nothing_is_left().await;
}

/// A deployment, and one that is rolled back: of two processes that differ by one step, each is told
/// of one comment, in another form.
#[tokio::test]
async fn two_versions_side_by_side_answer_a_comment_once() {
    let steps = [
        (EntryKeys::Comment, EntryKeys::Both),
        (EntryKeys::Both, EntryKeys::Comment),
        (EntryKeys::Both, EntryKeys::Person),
        (EntryKeys::Person, EntryKeys::Both),
    ];
    let told_again = |first: &Said| {
        let mut elsewhere = first.value();
        elsewhere["media"]["id"] = json!("17900000000000002");
        let mut unnamed = first.value();
        unnamed.as_object_mut().unwrap().remove("from");
        [first.value(), elsewhere, unnamed]
    };
    for (old, new) in steps {
        for value in told_again(&said(1)) {
            KEYS.set(old);
            let mut world = World::wrapped(careful(), with_keys).await;
            assert_eq!(world.say(&[said(1)]).await, 200);
            KEYS.set(new);
            world.stack.replace_process().unwrap();
            tell(&world, value.clone()).await;
            KEYS.set(old);
            world.stack.replace_process().unwrap();
            tell(&world, value.clone()).await;
            KEYS.set(new);
            world.stack.replace_process().unwrap();
            world.settle().await;
            assert_eq!(answered(&world), [id(&said(1))], "{old:?}, {new:?}: {value}");
            tell(&world, value.clone()).await;
            world.settle().await;
            assert_eq!(answered(&world), [id(&said(1))], "{old:?}, {new:?}: {value}");
            assert_eq!(world.report().await.waiting, 0, "{old:?}, {new:?}: {value}");
        }
    }
}
