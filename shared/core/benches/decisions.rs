//! What a match, a decision, a plan and a forecast cost: `cargo bench -p spillway-core`.
//!
//! Times are of this machine. What must hold anywhere: a decision on an account whose windows are
//! full takes microseconds, and a plan of 100,000 sends a fraction of a second.

use std::num::NonZeroU32;
use std::time::Duration;

use divan::{Bencher, black_box};
use serde_json::json;
use spillway_core::budget::{Budget, BudgetRequest, Decision, GrantId};
use spillway_core::campaign::{Campaign, Campaigns, Candidate, Overflow, Trigger};
use spillway_core::forecast::{Expected, forecast};
use spillway_core::id::{MediaId, SendId};
use spillway_core::pace::{Cursor, Probing, plan};
use spillway_core::profile::{Profile, Spread};
use spillway_core::quota::{Action, Tier};
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{Class, Lane, REPLY_WINDOW};
use spillway_core::time::Timestamp;

fn main() {
    divan::main();
}

/// 12:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);

/// The careful profile around the clock: every window as full as it can be.
fn rules() -> Rules {
    let spread = Some(Spread { active: Duration::from_secs(86_400), burst: 5 });
    let profile = Profile { spread, ..Profile::careful() };
    Rules::new(profile, Terms { tier: Tier::Two, ..Terms::default() }).expect("a sound profile")
}

fn send() -> SendId {
    SendId { account: "17841400000000001".into(), key: "17890000000000001".into() }
}

fn want(send: &SendId) -> BudgetRequest<'_> {
    BudgetRequest {
        action: Action::PrivateReply,
        lane: Some(Lane::Inbound),
        units: NonZeroU32::MIN,
        least: NonZeroU32::MIN,
        first: Some(send),
        beside: None,
        reads: false,
        lease_until: NOW,
        counted_at: None,
        usage: None,
    }
}

/// A day and more of sends at the full pace, and the instant of the next.
fn full(rules: &Rules) -> (Budget, Timestamp) {
    let send = send();
    let mut budget = Budget::default();
    let mut at = NOW;
    for n in 0..6000 {
        if let Decision::Granted(_, next, _) =
            budget.decide(rules, &want(&send), at, GrantId::new(1, n))
        {
            budget = *next;
        }
        at = at + Duration::from_millis(18_320);
    }
    (budget, at)
}

#[divan::bench]
fn a_grant_on_a_full_account(bencher: Bencher<'_, '_>) {
    let rules = rules();
    let (budget, at) = full(&rules);
    let send = send();
    bencher.bench(|| budget.decide(&rules, black_box(&want(&send)), at, GrantId::new(1, 1)));
}

#[divan::bench]
fn a_denial_on_a_full_account(bencher: Bencher<'_, '_>) {
    let rules = rules();
    let (mut budget, at) = full(&rules);
    let send = send();
    while let Decision::Granted(_, next, _) =
        budget.decide(&rules, &want(&send), at, GrantId::new(1, 1))
    {
        budget = *next;
    }
    bencher.bench(|| budget.decide(&rules, black_box(&want(&send)), at, GrantId::new(1, 1)));
}

#[divan::bench]
fn a_budget_is_written_and_read(bencher: Bencher<'_, '_>) {
    let (budget, _) = full(&rules());
    bencher.bench(|| spillway_core::windows::Windows::decode(&budget.windows.encode(), None));
}

#[divan::bench]
fn a_release_run_plans_its_horizon(bencher: Bencher<'_, '_>) {
    let rules = rules();
    let (budget, at) = full(&rules);
    let parked = vec![Class::PRIVATE_REPLY; 140];
    bencher.bench(|| {
        plan(&rules, &budget, &Cursor::default(), at, &[], black_box(&parked), Probing::Wanted)
    });
}

/// Day by day, in the active hours, until the deadline.
#[divan::bench]
fn a_forecast_of_more_than_the_default_can_send(bencher: Bencher<'_, '_>) {
    let rules = Rules::careful();
    let deadline = NOW + REPLY_WINDOW;
    let order = Overflow::OldestFirst;
    let sends =
        vec![Expected { class: Class::PRIVATE_REPLY, arrives: NOW, deadline, order }; 100_000];
    let (budget, cursor) = (Budget::default(), Cursor::default());
    bencher.bench(|| forecast(&rules, &budget, &cursor, NOW, &[], black_box(&sends)));
}

#[divan::bench(args = [1000, 100_000])]
fn a_forecast(bencher: Bencher<'_, '_>, sends: usize) {
    let rules = rules();
    let (budget, at) = full(&rules);
    let deadline = at + REPLY_WINDOW;
    let order = Overflow::OldestFirst;
    let sends = vec![Expected { class: Class::PRIVATE_REPLY, arrives: at, deadline, order }; sends];
    bencher.bench(|| forecast(&rules, &budget, &Cursor::default(), at, &[], black_box(&sends)));
}

/// 1,000 comments against 50 campaigns of two keywords each, one comment in ten a match.
#[divan::bench]
fn a_thousand_comments_for_fifty_campaigns(bencher: Bencher<'_, '_>) {
    let campaign = |n: u32| {
        let keywords = [format!("guide{n}"), format!("leitfaden {n}")];
        let fields = json!({ "id": n.to_string(), "keywords": keywords, "messages": ["hi"] });
        serde_json::from_value::<Campaign>(fields).expect("a campaign")
    };
    let campaigns = Campaigns::new((0..50).map(campaign));
    let comments: Vec<String> = (0..1000)
        .map(|n| match n % 10 {
            0 => format!("GUIDE{} please!", n % 50),
            1 => "Quiero la guía, ¡gracias! 🔥🔥".to_owned(),
            2 => "l'ebook svp 🙏".to_owned(),
            3 => "أريد الرابط من فضلك".to_owned(),
            _ => "this is so good, I have been looking for it everywhere".to_owned(),
        })
        .collect();
    let media = MediaId::from("17900000000000021");
    bencher.bench(|| {
        let is_wanted = |text: &&String| {
            let candidate = Candidate {
                trigger: Trigger::Comment,
                text,
                media: Some(&[&media]),
                is_reply: false,
                at: NOW,
            };
            campaigns.matching(&candidate).is_some()
        };
        comments.iter().filter(is_wanted).count()
    });
}
