//! Public replies over the wire: after the DM, at most one under a comment, and none that says what
//! is not known.

use std::time::Duration;

use serde_json::json;
use spillway_core::campaign::Campaign;
use spillway_graph::{Action, Fault, FaultKind};
use spillway_service::port::CampaignChanges;

use crate::harness::{CREATOR, Said, World, all_said, careful, quotas, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// A world whose campaign has these fields beside its usual ones.
    async fn replying(fields: serde_json::Value) -> Self {
        let world = Self::start(careful()).await;
        world.reply_in_public(fields).await;
        world
    }

    async fn reply_in_public(&self, fields: serde_json::Value) {
        let account = self.outside.accounts.load(&CREATOR.into()).await.unwrap().unwrap();
        let campaign = account.campaigns.iter().next().unwrap();
        let mut campaign = serde_json::to_value(campaign).unwrap();
        campaign.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let campaign: Campaign = serde_json::from_value(campaign).unwrap();
        campaign.check().unwrap();
        let changes = &self.outside.changes;
        let put = CampaignChanges { put: &[campaign], ..CampaignChanges::default() };
        assert!(changes.change_campaigns(&CREATOR.into(), &put).await.unwrap());
        changes.announce(&CREATOR.into()).await.unwrap();
    }

    /// What was said in public under a comment.
    fn said_under(&self, said: &Said) -> Vec<String> {
        let replies = self.stack.graph.public_replies(&said.id.as_str().into(), &CREATOR.into());
        replies.into_iter().map(|reply| reply.text).collect()
    }

    fn calls_of(&self, action: Action) -> usize {
        self.calls().iter().filter(|call| call.action == action).count()
    }
}

fn refused(code: u32, subcode: Option<u32>, effect: bool) -> FaultKind {
    FaultKind::Refused { code, subcode, status: 400, message: None, effect }
}

fn both() -> serde_json::Value {
    json!({
        "public_replies": ["Sent, {username}!"],
        "public_fallback": ["{username}, please write me"],
    })
}

#[tokio::test]
async fn a_landed_dm_is_followed_by_one_public_reply() {
    let mut world = World::replying(both()).await;
    let all = all_said(1..=3);
    assert_eq!(world.say(&all).await, 200);
    world.pass(HOUR).await;
    for (said, name) in all.iter().zip(["viewer.1", "viewer.2", "viewer.3"]) {
        assert_eq!(world.state_of(said).await, "sent");
        assert_eq!(world.said_under(said), [format!("Sent, {name}!")]);
    }
    // Each call for a reply comes after the call for its DM.
    let actions: Vec<Action> = world.calls().iter().map(|call| call.action).collect();
    let first_public = actions.iter().position(|action| *action == Action::PublicReply).unwrap();
    assert_eq!(actions[0], Action::PrivateReply);
    assert!(first_public > 0);
    assert_eq!(world.say(&all).await, 200, "told again");
    world.settle().await;
    assert_eq!(world.calls_of(Action::PublicReply), 3);
    world.over(3).await;
}

/// The reply comes back as a comment of the account's own, with a keyword: it starts nothing.
#[tokio::test]
async fn a_public_reply_that_comes_back_starts_nothing() {
    let mut world = World::replying(json!({ "public_replies": ["Here is the guide"] })).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.pass(HOUR).await;
    let replies = world.stack.graph.public_replies(&said(1).id.as_str().into(), &CREATOR.into());
    let own = Said { id: replies[0].id.to_string(), text: replies[0].text.clone(), ..said(2) };
    assert_eq!(world.post(&crate::harness::body(1, &[own.by(CREATOR)])).await, 200);
    world.settle().await;
    world.over(1).await;
}

#[tokio::test]
async fn who_cannot_have_a_dm_gets_the_fallback_and_who_may_have_it_nothing_yet() {
    let mut world = World::replying(both()).await;
    let (refused, unknown, gone) = (said(1), said(2), said(3));
    let strike = |kind: FaultKind, said: &Said| {
        world.stack.graph.order_fault(Fault::new(kind).for_comment(said.id.as_str()));
    };
    strike(FaultKind::RecipientUnavailable, &refused);
    strike(FaultKind::NoAnswer, &unknown);
    assert_eq!(world.say(&[refused.clone(), unknown.clone(), gone.clone()]).await, 200);
    world.stack.graph.delete_comment(&gone.id.as_str().into());
    while world.calls_of(Action::PrivateReply) < 3 {
        world.pass_secs(10).await;
        assert_eq!(world.state_of(&unknown).await, "waiting");
        assert_eq!(world.said_under(&unknown), [""; 0], "nobody knows whether it arrived");
    }
    world.pass(HOUR).await;
    assert_eq!(world.state_of(&refused).await, "failed");
    assert_eq!(world.said_under(&refused), ["viewer.1, please write me"]);
    assert_eq!(world.said_under(&gone), [""; 0]);
    // The conversation has shown it.
    assert_eq!(world.state_of(&unknown).await, "sent");
    assert_eq!(world.said_under(&unknown), ["Sent, viewer.2!"]);
    world.settle().await;
    world.over(3).await;
}

/// The reply was made and its answer was lost: the replies are read, and none is made again.
#[tokio::test]
async fn a_reply_whose_answer_was_lost_is_read_and_not_repeated() {
    for (kind, made) in [
        (FaultKind::ServerErrorAfterEffect, true),
        (FaultKind::NoAnswer, true),
        (FaultKind::NoAnswerBeforeEffect, false),
        // Meta has made the reply, and refuses to show it.
        (refused(20, Some(1_772_107), true), true),
    ] {
        let mut world = World::replying(both()).await;
        assert_eq!(world.say(&[said(1)]).await, 200);
        while world.state_of(&said(1)).await != "sent" {
            world.pass_secs(1).await;
        }
        let fault = Fault::new(kind.clone()).for_comment(said(1).id.as_str());
        world.stack.graph.order_fault(fault);
        world.pass(HOUR).await;
        assert_eq!(world.said_under(&said(1)).len(), 1, "{kind:?}");
        let calls = if made { 1 } else { 2 };
        assert_eq!(world.calls_of(Action::PublicReply), calls, "{kind:?}");
        assert!(world.calls_of(Action::Read) >= 1, "{kind:?}");
        world.settle().await;
        world.over(1).await;
    }
}

/// More than plain text for somebody who does not follow: the refused call has used the only reply up.
#[tokio::test]
async fn a_reply_that_a_refusal_has_used_up_is_not_tried_again() {
    let mut world = World::replying(both()).await;
    let fault = Fault::new(refused(2, Some(1_545_133), false)).for_comment(said(1).id.as_str());
    world.stack.graph.order_fault(fault);
    assert_eq!(world.say(&all_said(1..=2)).await, 200);
    world.pass(HOUR).await;
    let told = world.told(&said(1)).await.unwrap();
    assert_eq!((told.state.as_str(), told.reason()), ("failed", "recipient"));
    assert_eq!(world.said_under(&said(1)), ["viewer.1, please write me"]);
    assert_eq!(world.state_of(&said(2)).await, "sent", "nothing is on hold");
    assert_eq!(world.calls_of(Action::PrivateReply), 2);
    world.settle().await;
    world.over(2).await;
}

#[tokio::test]
async fn hidden_and_live_comments_have_no_public_reply() {
    let mut world = World::replying(both()).await;
    let (hidden, live) = (said(1), said(2).live());
    world.stack.graph.hide_comment(hidden.id.as_str());
    assert_eq!(world.say(std::slice::from_ref(&hidden)).await, 200);
    assert_eq!(world.say(std::slice::from_ref(&live)).await, 200);
    world.pass(HOUR).await;
    for said in [&hidden, &live] {
        assert_eq!(world.state_of(said).await, "sent", "its DM does not fail with the reply");
        assert_eq!(world.said_under(said), [""; 0]);
    }
    assert_eq!(world.calls_of(Action::PublicReply), 1);
    world.settle().await;
    world.over(2).await;
}

/// While DMs need all calls there is no reply, and after an hour it is too late for one.
#[tokio::test]
async fn replies_give_way_to_dms_and_expire_after_an_hour() {
    let mut world = World::start(quotas("6/10m", "1000/24h")).await;
    world.reply_in_public(both()).await;
    let all = all_said(1..=30);
    assert_eq!(world.say(&all).await, 200);
    world.pass(40 * MINUTE).await;
    let replies =
        |world: &World| all.iter().map(|said| world.said_under(said).len()).sum::<usize>();
    assert!(replies(&world) < 3, "{}", replies(&world));
    world.settle().await;
    assert!(replies(&world) > 0, "the last ones have room");
    assert!(all.iter().all(|said| world.said_under(said).len() <= 1));
    let report = world.over(30).await;
    assert_eq!(report.sent, 30, "{report:?}");
}

/// What becomes too late ends as expired, and then its comment gets the fallback.
#[tokio::test]
async fn who_is_too_late_gets_the_fallback_after_the_dm_has_expired() {
    let mut world = World::start(quotas("200/1h", "5/24h")).await;
    let mut fields = both();
    fields["overflow"] = "public_reply".into();
    world.reply_in_public(fields).await;
    let all = all_said(1..=20);
    // Two hours are left for them.
    let made_at = world.now() - 165 * HOUR;
    world.observe_at(made_at, &all);
    assert_eq!(world.post(&crate::harness::body(made_at.as_secs(), &all)).await, 200);
    world.settle().await;
    let (mut expired, mut late) = (0, 0);
    for (said, n) in all.iter().zip(1..) {
        let state = world.state_of(said).await;
        let replies = world.said_under(said);
        if state == "expired" {
            expired += 1;
            assert_eq!(replies, [format!("viewer.{n}, please write me")]);
        } else {
            assert_eq!(state, "sent");
            // Once the day's DMs are sent, release looks once an hour, when a reply is too late.
            late += usize::from(replies.is_empty());
            assert!(replies.is_empty() || replies == [format!("Sent, viewer.{n}!")], "{replies:?}");
        }
    }
    assert!(late <= 1, "{late}");
    assert!(expired > 5, "{expired}");
    world.over(20).await;
}

/// The sender dies at each of its requests: no comment has two replies.
#[tokio::test]
async fn a_death_at_any_request_makes_no_second_reply() {
    use spillway_local::fault_injector::KillPoint;
    for request in (1..50).step_by(7) {
        let mut world = World::replying(both()).await;
        assert_eq!(world.say(&[said(1)]).await, 200);
        world.stack.faults.kill_at(request, KillPoint::After);
        world.pass(2 * HOUR).await;
        assert!(world.said_under(&said(1)).len() <= 1, "{request}");
        world.pass(MINUTE).await;
        world.settle().await;
        assert!(world.said_under(&said(1)).len() <= 1, "{request}");
        world.over(1).await;
    }
}
