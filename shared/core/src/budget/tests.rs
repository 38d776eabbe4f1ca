use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::campaign::{Campaign, Campaigns};
use crate::feedback::Usage;
use crate::id::SendId;
use crate::profile::{Profile, SlowDown};
use crate::quota::{GRANT_LIFE, Limit, Quota, Tier};
use crate::rules::Terms;
use crate::send::Lane;
use crate::time::{CLOCK_BOUND, millis};

/// 12:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn send() -> SendId {
    SendId { account: "a".into(), key: "c".into() }
}

fn want(send: &SendId, units: u32) -> BudgetRequest<'_> {
    BudgetRequest {
        action: Action::PrivateReply,
        lane: Some(Lane::Inbound),
        units: NonZeroU32::new(units).unwrap(),
        least: NonZeroU32::MIN,
        first: Some(send),
        beside: None,
        reads: false,
        lease_until: NOW + secs(30),
        counted_at: None,
        usage: None,
    }
}

fn quota(id: &str, window_ms: u64, limit: u32) -> Quota {
    let limit = Limit::Fixed(NonZeroU32::new(limit).unwrap());
    Quota::new(id, &Action::ALL, Unit::Calls, Duration::from_millis(window_ms), limit)
}

fn rules(quotas: Vec<Quota>) -> Rules {
    let (name, slow_down) = ("t".into(), SlowDown::default());
    let profile = Profile { name, quotas, spread: None, warm_up: None, slow_down };
    Rules::new(profile, Terms::default()).unwrap()
}

fn two_quotas() -> Rules {
    rules(vec![quota("ten", 10_000, 3), quota("min", 60_000, 5)])
}

fn id(n: u64) -> GrantId {
    GrantId::new(1, n)
}

fn granted(decision: Decision) -> (Grant, Budget) {
    match decision {
        Decision::Granted(grant, budget, _) => (grant, *budget),
        Decision::Denied(denial) => panic!("denied: {denial:?}"),
    }
}

fn denied(decision: Decision) -> Denial {
    match decision {
        Decision::Denied(denial) => denial,
        Decision::Granted(grant, ..) => panic!("granted: {grant:?}"),
    }
}

#[test]
fn the_smallest_room_is_granted_and_the_quota_that_bound_is_named() {
    let rules = two_quotas();
    let send = send();
    let Decision::Granted(grant, next, Some(denial)) =
        Budget::default().decide(&rules, &want(&send, 4), NOW, id(1))
    else {
        panic!("expected a partial grant")
    };
    assert_eq!(grant.units, 3);
    assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("ten")));
    let again = denied(next.decide(&rules, &want(&send, 1), NOW, id(2)));
    assert_eq!(again, denial);
    let ten = quota("ten", 10_000, 3);
    let least = NOW + ten.counted_span();
    assert!(denial.retry_at > least && denial.retry_at <= least + ten.bucket());
    let just_before = denial.retry_at - Duration::from_millis(1);
    denied(next.decide(&rules, &want(&send, 1), just_before, id(3)));
    let (grant, _) = granted(next.decide(&rules, &want(&send, 4), denial.retry_at, id(4)));
    assert_eq!(grant.units, 2, "the minute's quota binds now");
    let alike = self::rules(vec![quota("one", 10_000, 3), quota("two", 60_000, 3)]);
    let Decision::Granted(_, _, Some(denial)) =
        Budget::default().decide(&alike, &want(&send, 4), NOW, id(1))
    else {
        panic!("expected a partial grant")
    };
    assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("one")), "the first of two alike");
}

#[test]
fn writes_have_names_and_seeds_of_their_own() {
    assert_eq!(GrantId::from_bytes(id(7).to_bytes()), id(7));
    assert_ne!(id(7).to_bytes(), id(8).to_bytes());
    // Process and sequence both count.
    assert_eq!(GrantId::new(0b0110, 0b0011).seed(), 0b0101);
}

#[test]
fn a_bound_says_what_it_is() {
    let shown = [
        DenialReason::Quota(QuotaId::new("hour")),
        DenialReason::Hold(HoldCause::Blocked),
        DenialReason::Hours,
    ]
    .map(|bound| bound.to_string());
    assert_eq!(shown, ["quota hour", "hold (blocked)", "active hours"]);
}

#[test]
fn the_tightest_quota_is_the_one_with_the_least_left() {
    let rules = two_quotas();
    let tightest = |budget: &Budget, at| {
        let (quota, percent) = budget.tightest(&rules, Action::PrivateReply, at).unwrap();
        (quota.to_string(), percent)
    };
    let empty = Budget::default();
    assert_eq!(tightest(&empty, NOW), ("ten".into(), 100), "the first of two alike");
    let send = send();
    let (_, one) = granted(empty.decide(&rules, &want(&send, 1), NOW, id(1)));
    assert_eq!(tightest(&one, NOW), ("ten".into(), 66));
    let (_, full) = granted(one.decide(&rules, &want(&send, 2), NOW, id(2)));
    assert_eq!(tightest(&full, NOW), ("ten".into(), 0));
    // By then only the minute still counts them.
    assert_eq!(tightest(&full, NOW + secs(30)), ("min".into(), 40));
}

#[test]
fn a_refund_is_granted_again() {
    let rules = two_quotas();
    let send = send();
    let (grant, next) = granted(Budget::default().decide(&rules, &want(&send, 3), NOW, id(1)));
    let next = next.refund(&rules, &grant, 2, id(2));
    let (grant, _) = granted(next.decide(&rules, &want(&send, 3), NOW, id(3)));
    assert_eq!(grant.units, 2);
}

#[test]
fn after_a_hold_one_probe_goes_and_nothing_else_until_it_is_over() {
    let rules = two_quotas();
    let send = send();
    let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
    let denial = denied(held.decide(&rules, &want(&send, 3), NOW, id(2)));
    assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Blocked));
    let at = denial.retry_at;
    let mut first = want(&send, 3);
    first.lease_until = at + secs(30);
    let (grant, probing) = granted(held.decide(&rules, &first, at, id(3)));
    assert_eq!((grant.units, grant.role), (1, Role::Probe));
    denied(probing.decide(&rules, &first, at, id(4)));
    // The probe is waited for as long as its grant lives at the least.
    first.lease_until = at;
    let Decision::Granted(_, probed, Some(denial)) = held.decide(&rules, &first, at, id(3)) else {
        panic!("expected the probe and a denial of the rest")
    };
    let rest = Denial {
        reason: DenialReason::Hold(HoldCause::Blocked),
        retry_at: at + GRANT_LIFE + CLOCK_BOUND,
    };
    assert_eq!(denial, rest);
    assert_eq!(denied(probed.decide(&rules, &first, at, id(4))), rest);
    let lifted = probing.lift(at, id(5));
    let denial = denied(lifted.decide(&rules, &first, at, id(6)));
    assert_eq!(denial.reason, DenialReason::Pace, "a gradual return, not a burst");
    let (grant, _) = granted(lifted.decide(&rules, &first, denial.retry_at, id(6)));
    assert_eq!((grant.units, grant.role), (1, Role::Normal));
}

#[test]
fn a_probe_that_is_given_back_is_free_at_once() {
    let rules = two_quotas();
    let send = send();
    let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
    let at = denied(held.decide(&rules, &want(&send, 1), NOW, id(2))).retry_at;
    let (grant, probing) = granted(held.decide(&rules, &want(&send, 2), at, id(3)));
    let free = probing.refund(&rules, &grant, 1, id(4));
    let (again, probing) = granted(free.decide(&rules, &want(&send, 1), at, id(5)));
    assert_eq!(again.role, Role::Probe);
    let late = probing.refund(&rules, &grant, 1, id(6));
    denied(late.decide(&rules, &want(&send, 1), at, id(7)));
}

#[test]
fn a_call_that_the_probe_needs_goes_beside_it() {
    let rules = two_quotas();
    let (send, other) = (send(), SendId { account: "a".into(), key: "other".into() });
    let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
    let at = denied(held.decide(&rules, &want(&send, 1), NOW, id(2))).retry_at;
    let read = |beside| BudgetRequest {
        action: Action::Read,
        lane: None,
        first: None,
        beside,
        ..want(&send, 1)
    };
    denied(held.decide(&rules, &read(Some(&send)), at - secs(1), id(3)));
    let (probe, probing) = granted(held.decide(&rules, &want(&send, 1), at, id(3)));
    denied(probing.decide(&rules, &read(None), at, id(4)));
    denied(probing.decide(&rules, &read(Some(&other)), at, id(4)));
    let (grant, beside) = granted(probing.decide(&rules, &read(Some(&send)), at, id(4)));
    assert_eq!(grant.role, Role::Beside);
    assert_ne!(beside.windows, probing.windows, "it is charged");
    // Given back, it leaves the probe under way.
    let back = beside.refund(&rules, &grant, 1, id(5));
    assert_eq!(back.holds, probing.holds);
    denied(back.decide(&rules, &want(&other, 1), at, id(6)));
    // A stop by hand, or a new hold, stops it.
    let stopped = probing.stop(Timestamp::NEVER, None, at, id(5));
    denied(stopped.decide(&rules, &read(Some(&send)), at, id(6)));
    let again = probing.hold(&rules, HoldCause::Blocked, at, None, id(5));
    denied(again.decide(&rules, &read(Some(&send)), at, id(6)));
    assert_eq!(probe.role, Role::Probe);
}

/// Rules of an account where something follows an opening, with 100 calls an hour.
fn rules_of_conversations() -> Rules {
    let campaign = r#"{ "id": "guide", "keywords": ["guide"], "messages": ["Hi"],
        "then": { "deliver": [{ "text": "Here it is" }] } }"#;
    let campaign: Campaign = serde_json::from_str(campaign).unwrap();
    rules(vec![quota("calls", 3_600_000, 100)]).for_campaigns(&Campaigns::new([campaign]))
}

#[test]
fn openings_leave_calls_to_those_who_have_answered() {
    let rules = rules_of_conversations();
    let send = send();
    let opening = want(&send, 100);
    let (grant, next) = granted(Budget::default().decide(&rules, &opening, NOW, id(1)));
    assert_eq!(grant.units, 98);
    let denial = denied(next.decide(&rules, &want(&send, 1), NOW, id(2)));
    let answer = BudgetRequest { action: Action::Message, ..want(&send, 1) };
    let (_, next) = granted(next.decide(&rules, &answer, NOW, id(2)));
    let (_, next) = granted(next.decide(&rules, &answer, NOW, id(3)));
    denied(next.decide(&rules, &answer, NOW, id(4)));
    // It is said when an opening fits.
    granted(next.decide(&rules, &want(&send, 1), denial.retry_at, id(4)));
}

#[test]
fn a_message_that_needs_a_read_leaves_a_call_for_it() {
    let rules = rules_of_conversations();
    let send = send();
    let answers = |units| BudgetRequest { action: Action::Message, ..want(&send, units) };
    let gate = BudgetRequest { reads: true, ..answers(1) };
    let (_, next) = granted(Budget::default().decide(&rules, &answers(99), NOW, id(1)));
    let denial = denied(next.decide(&rules, &gate, NOW, id(2)));
    let (_, filled) = granted(next.decide(&rules, &answers(1), NOW, id(2)));
    assert!(denied(filled.decide(&rules, &answers(1), NOW, id(3))).retry_at <= denial.retry_at);
    let (_, next) = granted(next.decide(&rules, &gate, denial.retry_at, id(2)));
    let read = BudgetRequest { action: Action::Read, lane: None, first: None, ..want(&send, 1) };
    granted(next.decide(&rules, &read, denial.retry_at, id(3)));
}

#[test]
fn sends_leave_the_probe_to_upkeep_where_it_has_asked_for_it() {
    let rules = two_quotas();
    let send = send();
    let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
    let asked = held.with_turn_of_upkeep(id(2)).unwrap();
    assert_eq!(asked.with_turn_of_upkeep(id(3)), None, "once a hold");
    let until = held.holds.current.as_ref().unwrap().until;
    let call = BudgetRequest { action: Action::Read, lane: None, first: None, ..want(&send, 1) };
    denied(asked.decide(&rules, &call, until - secs(1), id(3)));
    let denial = denied(asked.decide(&rules, &want(&send, 1), until, id(3)));
    assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Blocked));
    assert!(denial.retry_at > until);
    assert_eq!(granted(asked.decide(&rules, &call, until, id(3))).0.role, Role::Probe);
    let (grant, _) = granted(asked.decide(&rules, &want(&send, 1), denial.retry_at, id(3)));
    assert_eq!(grant.role, Role::Probe);
    assert_eq!(Budget::default().with_turn_of_upkeep(id(1)), None, "there is no hold");
}

#[test]
fn a_throttle_lowers_the_limit_below_what_was_used_until_it_recovers() {
    let rules = rules(vec![quota("hour", 3_600_000, 200)]);
    let send = send();
    let (_, used) = granted(Budget::default().decide(&rules, &want(&send, 120), NOW, id(1)));
    let held = used.hold(&rules, HoldCause::Throttled, NOW, None, id(2));
    let after = NOW + secs(80);
    let (_, probed) = granted(Budget::default().decide(&rules, &want(&send, 1), after, id(3)));
    assert_eq!(probed.feedback.lowered, None);
    // 120 of 200 were too many: 108 are in force, and the 120 fill them until they rise.
    let denial = denied(held.decide(&rules, &want(&send, 1), after, id(4)));
    assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("hour")));
    assert_eq!(denial.retry_at, NOW + secs(1200), "64 percent are 128");
    granted(held.decide(&rules, &want(&send, 1), denial.retry_at, id(5)));
}

#[test]
fn only_the_first_throttle_of_a_hold_lowers_a_limit() {
    let rules = two_quotas();
    let blocked = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
    assert_eq!(blocked.feedback.lowered, None, "a block says nothing of limits");
    let later = blocked.hold(&rules, HoldCause::Throttled, NOW, None, id(2));
    assert_eq!(later.feedback.lowered, None, "an answer to a call that was in flight");
    let throttled = Budget::default().hold(&rules, HoldCause::Throttled, NOW, None, id(1));
    let lowered = throttled.feedback.lowered;
    assert!(lowered.is_some());
    let again = throttled.hold(&rules, HoldCause::Throttled, NOW + secs(1), None, id(2));
    assert_eq!(again.feedback.lowered, lowered);
}

#[test]
fn a_person_who_had_too_many_messages_is_held_in_the_budget() {
    let person = RecipientId::new("1");
    let held = Budget::default().hold_recipient(&person, NOW, id(1));
    assert!(held.holds.recipient_held_until(&person, NOW).is_some());
    assert_eq!((held.version, held.grant), (1, id(1)));
}

#[test]
fn usage_that_meta_reports_spaces_the_calls() {
    let rules = rules(vec![quota("hour", 3_600_000, 100)]);
    let send = send();
    let mut full = want(&send, 5);
    full.usage = Some(Usage { percent: 85, at: NOW });
    let (grant, next) = granted(Budget::default().decide(&rules, &full, NOW, id(1)));
    assert_eq!(grant.units, 1);
    let denial = denied(next.decide(&rules, &want(&send, 5), NOW + secs(1), id(2)));
    assert_eq!(denial.reason, DenialReason::Pace);
    assert!(denial.retry_at > NOW + secs(36) && denial.retry_at < NOW + secs(70));
    granted(next.decide(&rules, &want(&send, 5), denial.retry_at, id(3)));
}

#[test]
fn a_pace_that_rises_before_the_next_call_is_due_makes_it_due_earlier() {
    let rules = rules(vec![quota("hour", 3_600_000, 10)]);
    let send = send();
    let (_, budget) = granted(Budget::default().decide(&rules, &want(&send, 1), NOW, id(1)));
    let mut slowed = budget.clone();
    slowed.feedback.returned(NOW);
    let denial = denied(slowed.decide(&rules, &want(&send, 1), NOW + secs(1), id(2)));
    // A quarter of ten an hour is a call in 25 min, but after ten the pace is three quarters.
    assert_eq!(denial, Denial { reason: DenialReason::Pace, retry_at: NOW + secs(600) });
    let mut used = want(&send, 1);
    used.usage = Some(Usage { percent: 100, at: NOW });
    let denial = denied(budget.decide(&rules, &used, NOW + secs(1), id(2)));
    assert_eq!(
        denial,
        Denial { reason: DenialReason::Pace, retry_at: NOW + Feedback::USAGE_BELIEVED }
    );
}

#[test]
fn slower_than_any_number_at_once_is_any_number_at_once() {
    let rules = rules(vec![quota("day", 86_400_000, 10)]);
    let send = send();
    let mut full = want(&send, 5);
    full.usage = Some(Usage { percent: 85, at: NOW });
    let (grant, _) = granted(Budget::default().decide(&rules, &full, NOW, id(1)));
    assert_eq!(grant.units, 5);
}

#[test]
fn lanes_behind_inbound_keep_half_a_gap_between_them() {
    let rules = rules(vec![quota("hour", 3_600_000, 100)]);
    let gap = rules.gap(Action::Message, NOW, Feedback::default());
    let send = send();
    for lane in [Lane::FollowUp, Lane::Outbound] {
        let mut behind = want(&send, 2);
        (behind.action, behind.lane) = (Action::Message, Some(lane));
        let (grant, next) = granted(Budget::default().decide(&rules, &behind, NOW, id(1)));
        assert_eq!(grant.units, 1);
        let denial = denied(next.decide(&rules, &behind, NOW + secs(1), id(2)));
        let half = Duration::from_millis(millis(gap).div_ceil(2));
        assert_eq!(denial, Denial { reason: DenialReason::Pace, retry_at: NOW + half });
        let (grant, _) = granted(next.decide(&rules, &want(&send, 2), NOW + secs(1), id(2)));
        assert_eq!(grant.units, 2, "slots alone pace what somebody waits for");
    }
}

#[test]
fn outbound_leaves_room_and_gives_way_and_inbound_takes_it() {
    let rules = rules(vec![quota("hour", 3_600_000, 100)]);
    let send = send();
    let mut outbound = want(&send, 1);
    (outbound.action, outbound.lane) = (Action::Message, Some(Lane::Outbound));
    let mut budget = Budget::default();
    let mut at = NOW;
    let mut sent = 0;
    while at < NOW + secs(1800) {
        if let Decision::Granted(_, next, _) =
            budget.decide(&rules, &outbound, at, id(at.as_millis()))
        {
            budget = *next;
            sent += 1;
        }
        at = at + secs(1);
    }
    assert!((90..=98).contains(&sent), "{sent}");
    let (grant, budget) = granted(budget.decide(&rules, &want(&send, 1), at, id(1)));
    assert_eq!(grant.units, 1);
    let denial = denied(budget.decide(&rules, &outbound, at, id(2)));
    assert!(denial.retry_at > at + secs(15), "{denial:?}");
}

#[test]
fn outbound_leaves_a_fiftieth_at_least_two_and_never_all() {
    let send = send();
    let mut outbound = want(&send, 1);
    (outbound.action, outbound.lane) = (Action::Message, Some(Lane::Outbound));
    for (limit, most) in [(500, 490), (100, 98), (3, 1), (2, 1), (1, 1)] {
        let rules = rules(vec![quota("hour", 3_600_000, limit)]);
        let mut budget = Budget::default();
        if most > 1 {
            let inbound = want(&send, most - 1);
            budget = granted(budget.decide(&rules, &inbound, NOW, id(1))).1;
        }
        let apart = rules.gap(Action::Message, NOW, Feedback::default());
        let (_, full) = granted(budget.decide(&rules, &outbound, NOW + apart, id(2)));
        let then = NOW + apart * 3 / 2 + Duration::from_millis(1);
        let denial = denied(full.decide(&rules, &outbound, then, id(3)));
        assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("hour")), "{limit}");
        let row = rules.in_force(Action::Message, NOW, Feedback::default()).next().unwrap();
        assert_eq!(full.windows.room(row, NOW + apart), limit - most);
    }
}

#[test]
fn at_night_a_private_reply_waits_for_the_morning_and_a_live_one_goes() {
    let rules = Rules::careful();
    let send = send();
    let night = NOW + secs(13 * 3600);
    let denial = denied(Budget::default().decide(&rules, &want(&send, 1), night, id(1)));
    assert_eq!(denial.reason, DenialReason::Hours);
    assert_eq!(denial.retry_at, NOW + secs(20 * 3600) + CLOCK_BOUND);
    let mut live = want(&send, 40);
    (live.action, live.lane) = (Action::LiveReply, Some(Lane::Live));
    let (grant, _) = granted(Budget::default().decide(&rules, &live, night, id(2)));
    assert_eq!(grant.units, 40);
}

#[test]
fn a_tier_change_takes_effect_at_the_next_decision() {
    let tier = |tier| {
        let mut profile = Profile::careful();
        profile.quotas.retain(|quota| quota.window == crate::quota::DAY);
        profile.spread = None;
        Rules::new(profile, Terms { tier, ..Terms::default() }).unwrap()
    };
    let send = send();
    let (grant, full) =
        granted(Budget::default().decide(&tier(Tier::One), &want(&send, 2000), NOW, id(1)));
    assert_eq!(grant.units, 1000);
    denied(full.decide(&tier(Tier::One), &want(&send, 1), NOW, id(2)));
    let (grant, _) = granted(full.decide(&tier(Tier::Two), &want(&send, 20_000), NOW, id(3)));
    assert_eq!(grant.units, 9000);
}

/// A budget after `calls` of `action` in one hour, half a minute after the last of them.
fn after(rules: &Rules, action: Action, calls: u32) -> (Budget, Timestamp) {
    let send = send();
    let (mut budget, mut now) = (Budget::default(), NOW);
    for _ in 0..calls {
        let mut one = want(&send, 1);
        one.action = action;
        budget = granted(budget.decide(rules, &one, now, id(budget.version))).1;
        now = now + secs(3570) / calls;
    }
    (budget, NOW + secs(3600))
}

#[test]
fn a_stricter_profile_counts_what_was_sent_under_the_one_before() {
    let meta = Rules::new(Profile::meta(), Terms::default()).unwrap();
    let (budget, now) = after(&meta, Action::PrivateReply, 740);
    let send = send();
    let denial = denied(budget.decide(&Rules::careful(), &want(&send, 1), now, id(1)));
    assert!(denial.retry_at > now + secs(2600), "200 of 740 are left after 44 minutes");
    // The rows that the new profile does not have are dropped.
    let (_, next) = granted(budget.decide(&meta, &want(&send, 1), now, id(1)));
    let next = granted(next.decide(&Rules::careful(), &want(&send, 1), denial.retry_at, id(2))).1;
    let unknown = QuotaId::new("messages_second");
    assert_eq!(next.windows.under(&meta).counted_since(&unknown, NOW), 0);
    assert!(!String::from_utf8_lossy(&next.windows.encode()).contains("messages_second"));
}

#[test]
fn what_is_of_use_only_together_is_granted_whole_or_not_at_all() {
    let rules = rules(vec![quota("calls", 3_600_000, 10)]);
    let (send, five) = (send(), NonZeroU32::new(5).unwrap());
    let together = BudgetRequest { least: five, lane: None, first: None, ..want(&send, 5) };
    let (_, budget) = granted(Budget::default().decide(&rules, &want(&send, 6), NOW, id(1)));
    let denial = denied(budget.decide(&rules, &together, NOW, id(2)));
    assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("calls")));
    assert_eq!(granted(budget.decide(&rules, &want(&send, 5), NOW, id(2))).0.units, 4);

    // After a hold one call goes first: the others wait, and do not keep it from going.
    let held = Budget::default().hold(&rules, HoldCause::Throttled, NOW, None, id(1));
    let over = held.holds.current.as_ref().unwrap().until;
    let denial = denied(held.decide(&rules, &together, over, id(2)));
    assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Throttled));
    assert!(denial.retry_at > over, "{denial:?}");
    assert_eq!(granted(held.decide(&rules, &want(&send, 5), over, id(2))).0.role, Role::Probe);
}

#[test]
fn a_row_whose_window_is_made_longer_waits_for_what_it_has_forgotten() {
    let short = rules(vec![quota("calls", 3_600_000, 2000)]);
    let long = rules(vec![quota("calls", 86_400_000, 2000)]);
    let (budget, now) = after(&short, Action::Read, 1982);
    let send = send();
    let (_, budget) = granted(budget.decide(&short, &want(&send, 1), now + secs(7200), id(1)));
    // Of the reads of three hours ago nothing is left.
    let denial = denied(budget.decide(&long, &want(&send, 1), now + secs(7200), id(2)));
    assert!(denial.retry_at > now + secs(79_200), "{denial:?}");
    assert!(denial.retry_at < now + secs(91_000), "{denial:?}");
    granted(budget.decide(&long, &want(&send, 100), denial.retry_at, id(3)));
}

#[test]
fn a_new_row_of_direct_messages_knows_those_of_a_day() {
    let hour = rules(vec![quota("calls", 3_600_000, 2000)]);
    let (budget, now) = after(&hour, Action::PrivateReply, 1000);
    let send = send();
    let later = now + secs(7200);
    let mut day = quota("day", 86_400_000, 1100);
    day.actions = Action::DIRECT_MESSAGES.to_vec();
    let both = rules(vec![quota("calls", 3_600_000, 2000), day.clone()]);
    let (grant, budget) = granted(budget.decide(&both, &want(&send, 500), later, id(1)));
    assert_eq!(grant.units, 100);
    // A row of an action that was never called begins as empty.
    day = quota("posts", 86_400_000, 10);
    day.actions = vec![Action::Publish];
    let posts = rules(vec![quota("calls", 3_600_000, 2000), day]);
    let mut post = want(&send, 20);
    post.action = Action::Publish;
    assert_eq!(granted(budget.decide(&posts, &post, later, id(2))).0.units, 10);
}

#[test]
fn a_new_row_of_calls_that_nothing_counted_begins_as_full() {
    let mut replies = quota("replies", 3_600_000, 50);
    replies.actions = vec![Action::PrivateReply, Action::LiveReply];
    let some = rules(vec![replies.clone()]);
    let (budget, now) = after(&some, Action::Read, 10);
    let all = rules(vec![replies, quota("calls", 3_600_000, 2000)]);
    let send = send();
    let denial = denied(budget.decide(&all, &want(&send, 1), now, id(1)));
    let span = quota("calls", 3_600_000, 1).counted_span();
    assert_eq!(denial.retry_at, NOW + secs(3570) / 10 * 9 + span);
    let (grant, _) = granted(budget.decide(&all, &want(&send, 90), denial.retry_at, id(2)));
    assert_eq!(grant.units, 50);
}

#[test]
fn a_budget_of_before_that_does_not_tell_what_it_counts_goes_on() {
    let meta = Rules::new(Profile::meta(), Terms::default()).unwrap();
    let (mut budget, now) = after(&meta, Action::PrivateReply, 740);
    budget.windows = Windows::decode(&budget.windows.encode(), None).unwrap();
    let send = send();
    let (grant, next) = granted(budget.decide(&meta, &want(&send, 20), now, id(1)));
    assert!((10..20).contains(&grant.units), "{grant:?}");
    denied(next.decide(&Rules::careful(), &want(&send, 1), now, id(2)));
    let (short, long) = (quota("calls", 3_600_000, 9), quota("calls", 86_400_000, 9));
    let (mut budget, now) = after(&rules(vec![short]), Action::PrivateReply, 5);
    budget.windows = Windows::decode(&budget.windows.encode(), None).unwrap();
    denied(budget.decide(&rules(vec![long]), &want(&send, 1), now, id(1)));
}

#[test]
fn a_day_of_warm_up_opens_what_the_day_before_was_too_small_for() {
    let mut profile = Profile::careful();
    profile.spread = None;
    profile.quotas.retain(|quota| quota.window == crate::quota::DAY);
    let warm_up_since = Some(NOW - secs(20 * 3600));
    let rules = Rules::new(profile, Terms { warm_up_since, ..Terms::default() }).unwrap();
    let send = send();
    let (grant, full) = granted(Budget::default().decide(&rules, &want(&send, 999), NOW, id(1)));
    assert_eq!(grant.units, 200);
    let denial = denied(full.decide(&rules, &want(&send, 1), NOW, id(2)));
    // On the second day 207 are in force.
    assert_eq!(denial.retry_at, NOW + secs(4 * 3600));
    let (grant, _) = granted(full.decide(&rules, &want(&send, 999), denial.retry_at, id(3)));
    assert_eq!(grant.units, 7);
}

#[test]
fn a_second_message_to_a_person_moves_the_unit_and_needs_no_room() {
    let limit = Limit::Fixed(NonZeroU32::new(2).unwrap());
    let people = Quota::new("people", &Action::ALL, Unit::Recipients, secs(3600), limit);
    let rules = rules(vec![people, quota("calls", 3_600_000, 100)]);
    let send = send();
    let (first, budget) = granted(Budget::default().decide(&rules, &want(&send, 1), NOW, id(1)));
    let (_, budget) = granted(budget.decide(&rules, &want(&send, 1), NOW + secs(60), id(2)));
    denied(budget.decide(&rules, &want(&send, 1), NOW + secs(120), id(3)));
    let mut repeat = want(&send, 1);
    repeat.counted_at = Some(first.at);
    let (moved, budget) = granted(budget.decide(&rules, &repeat, NOW + secs(120), id(4)));
    assert_eq!(moved.recipients, Recipients::Moved);
    // The first unit counts from the second message on; the other person's ends first.
    let denial = denied(budget.decide(&rules, &want(&send, 1), NOW + secs(3605), id(5)));
    assert!(denial.retry_at > NOW + secs(3660) && denial.retry_at < NOW + secs(3710));
    // Where the unit has left the window, the person is a new one.
    repeat.counted_at = Some(first.at);
    let (anew, _) = granted(budget.decide(&rules, &repeat, NOW + secs(3720), id(6)));
    assert_eq!(anew.recipients, Recipients::Counted);
}

#[test]
fn a_refund_gives_back_calls_and_only_units_of_people_that_it_took() {
    let limit = Limit::Fixed(NonZeroU32::new(1).unwrap());
    let people = Quota::new("people", &Action::ALL, Unit::Recipients, secs(3600), limit);
    let rules = rules(vec![people, quota("calls", 3_600_000, 2)]);
    let send = send();
    let (first, new) = granted(Budget::default().decide(&rules, &want(&send, 1), NOW, id(1)));
    let refunded = new.refund(&rules, &first, 1, id(2));
    granted(refunded.decide(&rules, &want(&send, 1), NOW, id(3)));

    let mut repeat = want(&send, 1);
    repeat.counted_at = Some(first.at);
    let (second, moved) = granted(new.decide(&rules, &repeat, NOW + secs(60), id(2)));
    repeat.counted_at = Some(second.at);
    let full = denied(moved.decide(&rules, &repeat, NOW + secs(60), id(3)));
    assert_eq!(full.reason, DenialReason::Quota(QuotaId::new("calls")));
    let refunded = moved.refund(&rules, &second, 1, id(3));
    let full = denied(refunded.decide(&rules, &want(&send, 1), NOW + secs(60), id(4)));
    assert_eq!(full.reason, DenialReason::Quota(QuotaId::new("people")));
    granted(refunded.decide(&rules, &repeat, NOW + secs(60), id(4)));
}

#[test]
fn a_full_default_budget_fits_one_write_unit() {
    let mut profile = Profile::careful();
    // Around the clock, so that every window is as full as it can be.
    profile.spread = Some(crate::profile::Spread { active: secs(86_400), burst: 5 });
    let rules = Rules::new(profile, Terms { tier: Tier::Two, ..Terms::default() }).unwrap();
    let send = send();
    let mut budget = Budget::default();
    let mut now = NOW;
    let mut granted = 0;
    for step in 0..6000 {
        now = now + Duration::from_millis(18_320);
        if let Decision::Granted(_, next, _) = budget.decide(&rules, &want(&send, 1), now, id(step))
        {
            budget = *next;
            granted += 1;
        }
    }
    assert_eq!(granted, 6000);
    let (bytes, counts) = (budget.windows.encode(), budget.windows.encode_counts().unwrap());
    let len = bytes.len() + counts.len();
    assert!(len < 750, "{len} bytes of windows leave too little of 1 KiB");
    // Some of them are alike, and written once.
    assert_eq!(Windows::decode(&bytes, Some(&counts)), Some(budget.windows));
}

proptest! {
    /// Decisions by processes with skewed clocks, calls at any time of a grant's life: judged
    /// by exact logs of true call times, no quota is ever crossed.
    #[test]
    fn no_window_of_true_call_times_is_ever_over_a_limit(
        limits in (1u32..6, 1u32..12),
        steps in prop::collection::vec(
            (0u64..4000, 1u32..4, -1000i64..=1000, 0u64..=5000),
            1..150,
        ),
    ) {
        let rules =
            rules(vec![quota("ten", 10_000, limits.0), quota("min", 60_000, limits.1)]);
        let send = send();
        let mut budget = Budget::default();
        let mut truth = NOW.as_millis();
        let mut calls: Vec<u64> = Vec::new();
        for (sequence, (wait, units, skew, delay)) in steps.into_iter().enumerate() {
            truth += wait;
            prop_assert!(skew.unsigned_abs() <= CLOCK_BOUND.as_millis() as u64);
            prop_assert!(delay <= GRANT_LIFE.as_millis() as u64);
            let seen = Timestamp::from_millis(truth.saturating_add_signed(skew));
            let id = GrantId::new(1, sequence as u64);
            match budget.decide(&rules, &want(&send, units), seen, id) {
                Decision::Granted(grant, next, _) => {
                    calls.extend(std::iter::repeat_n(truth + delay, grant.units as usize));
                    budget = *next;
                }
                Decision::Denied(denial) => prop_assert!(denial.retry_at > seen),
            }
        }
        for quota in &rules.profile().quotas {
            let window = quota.window.as_millis() as u64;
            for &start in &calls {
                let inside = calls.iter().filter(|&&t| t >= start && t < start + window).count();
                prop_assert!(inside as u32 <= quota.limit.of(Tier::One).get());
            }
        }
    }

    /// However the rows are changed, no call is over a limit in force when it was granted,
    /// counted over all calls since the beginning.
    #[test]
    fn no_limit_in_force_is_crossed_over_the_whole_log(
        shapes in prop::collection::vec(
            prop::collection::vec((0usize..3, 0usize..5, 0usize..3, 1u32..8), 1..4),
            2..4,
        ),
        steps in prop::collection::vec((0u64..6000, 1u32..4, 0usize..4, 0usize..12), 1..120),
    ) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        const KINDS: [&[Action]; 5] = [
            &Action::ALL,
            &Action::DIRECT_MESSAGES,
            &[Action::PrivateReply],
            &[Action::Message, Action::LiveReply],
            &[Action::Read, Action::Message],
        ];
        const WINDOWS: [u64; 3] = [1000, 10_000, 60_000];
        const CALLED: [Action; 4] =
            [Action::PrivateReply, Action::LiveReply, Action::Message, Action::Read];
        let all: Vec<Rules> = shapes
            .iter()
            .map(|rows| {
                // Somewhere everything that sends is counted, as every profile must.
                let mut quotas = vec![quota("z", 1000, 50)];
                quotas[0].actions = Action::DIRECT_MESSAGES.to_vec();
                for &(name, kind, window, limit) in rows {
                    let mut row = quota(NAMES[name], WINDOWS[window], limit);
                    row.actions = KINDS[kind].to_vec();
                    quotas.retain(|known| known.id != row.id);
                    quotas.push(row);
                }
                rules(quotas)
            })
            .collect();
        let send = send();
        let (mut budget, mut now, mut current) = (Budget::default(), NOW, 0);
        let mut calls: Vec<(Timestamp, Action)> = Vec::new();
        for (sequence, (wait, units, action, switch)) in steps.into_iter().enumerate() {
            now = now + Duration::from_millis(wait);
            current = if switch < all.len() { switch } else { current };
            let rules = &all[current];
            let mut want = want(&send, units);
            want.action = CALLED[action];
            want.lane = None;
            let id = GrantId::new(1, sequence as u64);
            let counts = budget.windows.encode_counts().unwrap();
            let read = Windows::decode(&budget.windows.encode(), Some(&counts));
            prop_assert_eq!(read.as_ref(), Some(&budget.windows));
            let Decision::Granted(grant, next, _) = budget.decide(rules, &want, now, id) else {
                continue;
            };
            calls.extend(std::iter::repeat_n((grant.at, want.action), grant.units as usize));
            budget = *next;
            for row in rules.profile().quotas.iter().filter(|row| row.counts(want.action)) {
                let inside = calls.iter().filter(|&&(at, action)| {
                    row.counts(action) && grant.at.since(at) < row.window
                });
                prop_assert!(inside.count() as u32 <= row.limit.of(Tier::One).get());
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(
        steps in prop::collection::vec((0u64..100_000, 1u32..4), 0..80),
    ) {
        let rules = two_quotas();
        let send = send();
        let mut budget = Budget::default();
        let mut now = NOW;
        for (wait, units) in steps {
            now = now + Duration::from_millis(wait);
            if let Decision::Granted(_, next, _) =
                budget.decide(&rules, &want(&send, units), now, GrantId::default())
            {
                budget = *next;
            }
        }
        let counts = budget.windows.encode_counts().unwrap();
        let read = Windows::decode(&budget.windows.encode(), Some(&counts));
        prop_assert_eq!(read, Some(budget.windows));
    }
}
