//! The queue in single steps.

use super::*;

const NO_REDRIVE: Option<NonZeroU32> = None;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + seconds)
}

fn queue() -> Queue {
    Queue::new(Timing::default(), 1)
}

fn ask(max: usize, give_up_after: Option<NonZeroU32>) -> Receive {
    Receive { max, visibility_timeout: None, give_up_after }
}

fn receive(queue: &mut Queue, now: Timestamp) -> Vec<Received> {
    queue.receive(now, ask(10, NO_REDRIVE)).unwrap().received
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|received| received.message.body.as_str()).collect()
}

fn counts(visible: usize, in_flight: usize, delayed: usize) -> Counts {
    Counts { visible, in_flight, delayed }
}

#[test]
fn the_delay_of_the_message_wins_over_that_of_the_queue() {
    for (of_queue, of_message, expected) in
        [(0, None, 0), (5, None, 5), (5, Some(0), 0), (5, Some(9), 9), (0, Some(900), 900)]
    {
        let mut queue = Queue::new(Timing { delay: secs(of_queue), ..Timing::default() }, 1);
        queue.send(at(0), NewMessage { delay: of_message.map(secs), ..NewMessage::new("m") });
        assert_eq!(queue.next_visible(at(0)), Some(at(expected)));
        if expected > 0 {
            let just_before = at(expected) - Duration::from_millis(1);
            assert_eq!(queue.counts(just_before), counts(0, 0, 1));
            assert!(receive(&mut queue, just_before).is_empty());
        }
        assert_eq!(queue.counts(at(expected)), counts(1, 0, 0));
        assert_eq!(bodies(&receive(&mut queue, at(expected))), ["m"]);
    }
}

#[test]
fn a_received_message_comes_back_after_its_visibility_timeout() {
    for (of_receive, expected) in [(None, 30), (Some(7), 7), (Some(43_200), 43_200)] {
        let mut queue = queue();
        queue.send(at(0), NewMessage::new("m"));
        let visibility_timeout = of_receive.map(secs);
        let ask = Receive { visibility_timeout, ..ask(1, NO_REDRIVE) };
        let first = queue.receive(at(1), ask).unwrap().received;
        assert_eq!(queue.counts(at(1)), counts(0, 1, 0));
        assert_eq!(queue.next_visible(at(1)), Some(at(1 + expected)));
        assert!(receive(&mut queue, at(expected)).is_empty());
        let second = receive(&mut queue, at(1 + expected));

        let (first, second) = (&first[0], &second[0]);
        assert_eq!(first.message.id, second.message.id);
        assert_ne!(first.receipt_handle, second.receipt_handle);
        assert_eq!((first.message.receives, second.message.receives), (1, 2));
        assert_eq!(second.message.sent_at, at(0));
        assert_eq!(second.message.first_received_at, Some(at(1)));
    }
}

#[test]
fn one_receive_hands_a_message_out_once_even_with_no_timeout() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("m"));
    let ask = Receive { visibility_timeout: Some(Duration::ZERO), ..ask(10, NO_REDRIVE) };
    assert_eq!(queue.receive(at(0), ask).unwrap().received.len(), 1);
    assert_eq!(queue.counts(at(0)), counts(1, 0, 0));
    assert_eq!(queue.next_visible(at(0)), Some(at(0)));
    assert_eq!(queue.receive(at(0), ask).unwrap().received[0].message.receives, 2);
}

#[test]
fn only_the_latest_handle_deletes_and_none_fails() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("m"));
    let first = receive(&mut queue, at(0)).remove(0).receipt_handle;
    let second = receive(&mut queue, at(30)).remove(0).receipt_handle;
    assert_eq!(queue.delete(at(31), &first), Ok(()));
    assert_eq!(queue.counts(at(31)).total(), 1);
    // The timeout of the second receive ended, and nobody received the message since.
    assert_eq!(queue.delete(at(60), &second), Ok(()));
    assert_eq!(queue.counts(at(60)).total(), 0);
    assert_eq!(queue.delete(at(61), &second), Ok(()));
}

#[test]
fn handles_of_elsewhere_are_refused() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("m"));
    let handle = receive(&mut queue, at(0)).remove(0).receipt_handle;
    let mut other = Queue::new(Timing::default(), 2);
    other.send(at(0), NewMessage::new("m"));
    for refused in ["", "x", "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ", &handle[1..], &handle.to_uppercase()]
    {
        if refused == handle {
            continue;
        }
        assert_eq!(queue.delete(at(0), refused), Err(QueueError::InvalidHandle), "{refused}");
    }
    assert_eq!(other.delete(at(0), &handle), Err(QueueError::InvalidHandle));
    let changed = other.change_visibility(at(0), &handle, secs(1));
    assert_eq!(changed, Err(QueueError::InvalidHandle));
}

#[test]
fn visibility_changes_only_in_flight() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("m"));
    let first = receive(&mut queue, at(0)).remove(0).receipt_handle;
    assert_eq!(queue.change_visibility(at(10), &first, secs(100)), Ok(()));
    assert_eq!(queue.next_visible(at(10)), Some(at(110)));
    assert_eq!(queue.change_visibility(at(20), &first, Duration::ZERO), Ok(()));
    assert_eq!(queue.next_visible(at(20)), Some(at(20)));
    let not_in_flight = Err(QueueError::NotInFlight);
    assert_eq!(queue.change_visibility(at(20), &first, secs(5)), not_in_flight, "visible again");

    let second = receive(&mut queue, at(20)).remove(0).receipt_handle;
    assert_eq!(queue.change_visibility(at(21), &first, secs(5)), not_in_flight, "received anew");
    assert_eq!(queue.delete(at(21), &second), Ok(()));
    assert_eq!(queue.change_visibility(at(21), &second, secs(5)), not_in_flight, "deleted");
}

#[test]
fn messages_vanish_at_the_end_of_retention_wherever_they_are() {
    let timing = Timing { retention: secs(60), ..Timing::default() };
    let mut queue = Queue::new(timing, 1);
    queue.send(at(0), NewMessage::new("in flight"));
    assert_eq!(receive(&mut queue, at(0)).len(), 1);
    queue.send(at(0), NewMessage::new("visible"));
    queue.send(at(0), NewMessage::new("never").delayed(secs(900)));
    queue.send(at(1), NewMessage::new("later").delayed(secs(59)));
    let just_before = at(60) - Duration::from_millis(1);
    assert_eq!(queue.counts(just_before).total(), 4);
    assert_eq!(queue.counts(at(60)), counts(1, 0, 0));
    assert_eq!(bodies(&receive(&mut queue, at(60))), ["later"]);
    // In flight until 90, but it vanishes at 61.
    assert_eq!(queue.next_visible(at(60)), None);
    assert_eq!(queue.counts(at(61)).total(), 0);
}

#[test]
fn a_new_retention_holds_for_old_messages() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("m"));
    queue.set_timing(Timing { retention: secs(60), ..Timing::default() });
    assert_eq!(queue.counts(at(59)).total(), 1);
    assert_eq!(queue.counts(at(60)).total(), 0);
}

#[test]
fn a_message_is_given_up_by_the_receive_that_would_be_one_too_many() {
    let mut queue = queue();
    let twice = NonZeroU32::new(2);
    let id = queue.send(at(0), NewMessage::new("poison"));
    for receives in 1..=2 {
        let batch = queue.receive(at(100 * u64::from(receives)), ask(10, twice)).unwrap();
        assert_eq!((batch.received[0].message.receives, batch.dead.len()), (receives, 0));
    }
    queue.send(at(250), NewMessage::new("good"));
    let batch = queue.receive(at(300), ask(1, twice)).unwrap();
    assert_eq!(bodies(&batch.received), ["good"], "the dead message takes no room");
    assert_eq!((batch.dead[0].id.as_str(), batch.dead[0].receives), (id.as_str(), 2));
    assert_eq!(queue.counts(at(300)), counts(0, 1, 0));

    let mut dead_letters = Queue::new(Timing::default(), 2);
    dead_letters.adopt(at(300), batch.dead[0].clone());
    let received = receive(&mut dead_letters, at(300)).remove(0).message;
    assert_eq!((received.id, received.sent_at, received.receives), (id, at(0), 3));
}

#[test]
fn a_moved_message_is_a_new_one() {
    let mut queue = queue();
    let id = queue.send(at(0), NewMessage::new("m").in_group("g"));
    receive(&mut queue, at(0));
    let moved = queue.take_visible(at(30), |message| message.body == "m");
    assert_eq!((moved.len(), queue.counts(at(30)).total()), (1, 0));
    queue.renew(at(40), moved[0].clone());
    let received = receive(&mut queue, at(40)).remove(0).message;
    assert_ne!(received.id, id);
    assert_eq!((received.sent_at, received.receives), (at(40), 1));
    assert_eq!(received.first_received_at, Some(at(40)));
    assert_eq!(received.group.as_deref(), Some("g"));
}

#[test]
fn order_is_that_of_becoming_visible_then_of_sending() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("last").delayed(secs(3)));
    queue.send(at(0), NewMessage::new("first").delayed(secs(1)));
    queue.send(at(0), NewMessage::new("second").delayed(secs(2)));
    queue.send(at(2), NewMessage::new("third"));
    assert_eq!(bodies(&receive(&mut queue, at(5))), ["first", "second", "third", "last"]);
}

#[test]
fn a_noisy_group_does_not_delay_the_others() {
    let mut queue = queue();
    for number in 0..100 {
        queue.send(at(0), NewMessage::new(format!("noisy {number}")).in_group("noisy"));
    }
    queue.send(at(1), NewMessage::new("quiet 0").in_group("quiet"));
    queue.send(at(1), NewMessage::new("quiet 1").in_group("quiet"));
    let batch = queue.receive(at(1), ask(5, NO_REDRIVE)).unwrap();
    assert_eq!(bodies(&batch.received), ["noisy 0", "quiet 0", "noisy 1", "quiet 1", "noisy 2"]);
}

#[test]
fn purge_leaves_nothing_and_old_handles_still_delete_nothing() {
    let mut queue = queue();
    queue.send(at(0), NewMessage::new("in flight"));
    let handle = receive(&mut queue, at(0)).remove(0).receipt_handle;
    queue.send(at(0), NewMessage::new("visible"));
    queue.send(at(0), NewMessage::new("delayed").delayed(secs(1)));
    queue.purge();
    assert_eq!(queue.counts(at(0)), Counts::default());
    assert_eq!(queue.next_visible(at(0)), None);
    queue.send(at(0), NewMessage::new("new"));
    assert_eq!(queue.delete(at(0), &handle), Ok(()));
    assert_eq!(queue.counts(at(0)), counts(1, 0, 0));
}

#[test]
fn one_message_too_many_in_flight_is_refused() {
    let mut queue = queue();
    for _ in 0..=IN_FLIGHT_MAX {
        queue.send(at(0), NewMessage::new("m"));
    }
    let received = queue.receive(at(0), ask(IN_FLIGHT_MAX + 1, NO_REDRIVE)).unwrap().received;
    assert_eq!(received.len(), IN_FLIGHT_MAX);
    let refused = queue.receive(at(0), ask(1, NO_REDRIVE));
    assert_eq!(refused, Err(QueueError::TooManyInFlight));
    queue.delete(at(0), &received[0].receipt_handle).unwrap();
    assert_eq!(receive(&mut queue, at(0)).len(), 1);
}

#[test]
fn a_hundred_thousand_messages_pass_through_in_turns() {
    let mut queue = queue();
    for number in 0..100_000_u64 {
        let delay = secs(number % 900);
        let group = format!("account {}", number % 7).replace(' ', "-");
        queue.send(at(0), NewMessage::new("m").in_group(group).delayed(delay));
    }
    let mut deleted = 0;
    while let Some(now) = queue.next_visible(at(0)) {
        for received in receive(&mut queue, now.max(at(899))) {
            queue.delete(at(899), &received.receipt_handle).unwrap();
            deleted += 1;
        }
    }
    assert_eq!(deleted, 100_000);
}

#[test]
fn the_same_seed_gives_the_same_ids_and_handles() {
    let run = |seed| {
        let mut queue = Queue::new(Timing::default(), seed);
        queue.send(at(0), NewMessage::new("m"));
        receive(&mut queue, at(0)).remove(0)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).message.id, run(2).message.id);
    assert_ne!(run(1).receipt_handle, run(2).receipt_handle);
}
