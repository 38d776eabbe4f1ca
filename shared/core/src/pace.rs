//! The pace: which instant each send may go at. Slots exist only inside the horizon; a send without
//! one is parked and its time is a forecast.
//!
//! The distance between slots follows from the quotas. It is what the bucketed windows of an
//! hour and less sustain without a denial: (window + margins + one bucket + 2 s for the queue's
//! whole seconds) / (limit - 1/2 for the jitter). For 200 an hour that is 98.5% of the limit.
//! The day's figure, spread over its active hours, sets the distance in the same way. Other
//! windows are met by waiting.
//!
//! A full quota or a hold closes the cursor until an instant that each release run computes
//! again. The slots themselves only move forward. So a raised limit takes effect within the
//! hour.
//!
//! Each lane has slots of its own, behind those of the lanes before it. An inbound comment
//! takes the next slot while a campaign of thousands runs. Follow-ups and campaigns keep half a
//! slot's distance from the last DM, and campaigns leave a fiftieth of each quota free.
//!
//! Public replies take what DMs leave. A quota that counts both keeps, while DMs wait, the units
//! that these can use. So DMs finish when they would without any.
//!
//! Nothing announces the end of a broadcast. Each live comment moves the deadline of all its
//! live sends to ten minutes after itself ([`Broadcast`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, GrantId};
use crate::feedback::Feedback;
use crate::hold::{Gate, HoldCause};
use crate::id::SendId;
use crate::outlook::Outlook;
use crate::quota::Action;
use crate::rules::{self, Rules};
use crate::seed::seed;
use crate::send::{Class, LIVE_REPLY_WINDOW, Lane};
use crate::time::Timestamp;
use crate::windows::{Need, WaitingDms, Windows};

/// How far ahead slots are given out. Short enough that a hold or a lane of higher rank finds few
/// sends committed, long enough that the release function seldom runs.
pub const HORIZON: Duration = Duration::from_secs(600);

/// The next free slots of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// 0 before the first write. Every change raises it by one.
    pub version: u64,
    /// The last write: see [`GrantId`].
    pub grant: GrantId,
    /// Where each lane's slots have come to.
    pub next: NextSlots,
    /// No paced slot before this instant: a quota is full, or the account is on hold. Release finds
    /// out anew with each of its runs.
    pub closed_until: Timestamp,
    /// The first of the paced lanes that has parked sends: new ones of that lane and those behind
    /// it park behind them.
    pub parked: Option<Lane>,
    /// What a release run has forecast for the parked ones.
    pub outlook: Option<Outlook>,
    /// The last broadcast that comments came from.
    pub broadcast: Option<Broadcast>,
}

/// A broadcast, as its comments tell of it: nobody announces its end, and each comment shows that
/// it lasts. An account has one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// The instant when the time of its first comment would end, were there no other.
    pub first: Timestamp,
    /// The instant when the time of its last comment ends, and with it that of all the others.
    pub last: Timestamp,
}

impl Broadcast {
    /// The broadcast after more comments, whose own time ends within `first` to `last`: this one,
    /// or the next where that many minutes were without a comment.
    fn and(self, more: Self) -> Self {
        if more.first > self.last + LIVE_REPLY_WINDOW {
            more
        } else if self.first > more.last + LIVE_REPLY_WINDOW {
            self
        } else {
            Self { first: self.first.min(more.first), last: self.last.max(more.last) }
        }
    }
}

/// The next slot of each lane, by rank. Each only ever moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Timestamp>", into = "Vec<Timestamp>")]
pub struct NextSlots(pub [Timestamp; Lane::ALL.len()]);

/// Lanes of the first stored form, which had none of public replies.
const LANES_STORED: usize = 4;

/// A list of other lanes than there are.
#[derive(Debug, thiserror::Error)]
#[error("the next slots are of {0} lanes")]
pub struct OddLanes(usize);

impl TryFrom<Vec<Timestamp>> for NextSlots {
    type Error = OddLanes;

    fn try_from(slots: Vec<Timestamp>) -> Result<Self, OddLanes> {
        let mut next = Self::default();
        if !(LANES_STORED..=next.0.len()).contains(&slots.len()) {
            return Err(OddLanes(slots.len()));
        }
        next.0[..slots.len()].copy_from_slice(&slots);
        Ok(next)
    }
}

/// Public replies are left out until there was one: the previous version reads four lanes.
impl From<NextSlots> for Vec<Timestamp> {
    fn from(NextSlots(slots): NextSlots) -> Self {
        let has_public = slots[LANES_STORED..].iter().any(|&slot| slot > Timestamp::EPOCH);
        slots[..if has_public { slots.len() } else { LANES_STORED }].to_vec()
    }
}

impl NextSlots {
    /// The earliest slot for `lane`. Live comments do not wait for the others; what is paced does
    /// not take the slots of lanes before it, and those do not wait for its own. Public replies
    /// have slots of their own.
    fn of(&self, lane: Lane) -> Timestamp {
        let ahead = match lane {
            Lane::Live => 0..=0,
            Lane::Public => Lane::Public.rank().into()..=Lane::Public.rank().into(),
            _ => Lane::Inbound.rank().into()..=lane.rank().into(),
        };
        self.0[ahead].iter().copied().max().unwrap_or_default()
    }

    fn move_to(&mut self, lane: Lane, slot: Timestamp) {
        let next = &mut self.0[usize::from(lane.rank())];
        *next = slot.max(*next);
    }
}

/// What an arrival of `n` sends gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Slots for the first of them, ascending; those beyond are parked.
    pub slots: Vec<Timestamp>,
    /// The cursor to write before the slots may be used; `None` when it need not change.
    pub cursor: Option<Cursor>,
}

impl Cursor {
    /// Notes comments on a broadcast, whose own time ends at these instants.
    fn note_live(&mut self, deadlines: &[Timestamp]) {
        for &deadline in deadlines {
            let more = Broadcast { first: deadline, last: deadline };
            self.broadcast = Some(self.broadcast.map_or(more, |known| known.and(more)));
        }
    }

    /// Until when a send of `lane` may go whose own time ends at `deadline`: one of a broadcast as
    /// long as that lasts.
    pub fn deadline(&self, lane: Lane, deadline: Timestamp) -> Timestamp {
        match self.broadcast {
            Some(Broadcast { first, last }) if lane == Lane::Live && first <= deadline => {
                deadline.max(last)
            }
            _ => deadline,
        }
    }

    /// Takes slots for newly arrived sends of `class`, which have these deadlines, before now +
    /// horizon.
    pub fn take(
        &self,
        rules: &Rules,
        Class { lane, action }: Class,
        now: Timestamp,
        deadlines: &[Timestamp],
        id: GrantId,
    ) -> Taken {
        let is_live = lane == Lane::Live;
        let n = deadlines.len();
        if n == 0 || !is_live && self.parked.is_some_and(|parked| parked <= lane) {
            return Taken { slots: Vec::new(), cursor: None };
        }
        let mut next = self.clone();
        if is_live {
            next.note_live(deadlines);
        }
        let closed_until = if is_live { Timestamp::EPOCH } else { self.closed_until };
        let mut slot = next.next.of(lane).max(closed_until).max(now);
        let mut slots = Vec::new();
        while slots.len() < n {
            slot = rules.active_from(action, slot);
            if slot >= now + HORIZON {
                break;
            }
            slots.push(slot);
            slot = slot + rules.gap(action, slot, Feedback::default());
            next.next.move_to(lane, slot);
        }
        if slots.len() < n && !is_live {
            next.parked = Some(self.parked.map_or(lane, |parked| parked.min(lane)));
        }
        let cursor = (next != *self).then(|| next.written(id));
        Taken { slots, cursor }
    }

    /// The cursor closed to what is paced until `until`; `None` when it is anyway.
    pub fn closed(&self, until: Timestamp, id: GrantId) -> Option<Self> {
        let open = self.next.of(Lane::Inbound) < until && self.closed_until < until;
        open.then(|| Self { closed_until: until, ..self.clone() }.written(id))
    }

    /// The cursor behind the slots of `plan`, with what the release run has found out: the first
    /// lane that is still parked, and what is to be expected. `None` when the cursor says so
    /// already.
    pub fn after(
        &self,
        plan: &Plan,
        parked: Option<Lane>,
        outlook: Option<Outlook>,
        id: GrantId,
    ) -> Option<Self> {
        let mut next = Self { parked, outlook, closed_until: Timestamp::EPOCH, ..self.clone() };
        for lane in Lane::ALL {
            next.next.move_to(lane, plan.next.0[usize::from(lane.rank())]);
        }
        if plan.opens_at > next.next.of(Lane::Inbound) {
            next.closed_until = plan.opens_at;
        }
        (next != *self).then(|| next.written(id))
    }

    fn written(mut self, id: GrantId) -> Self {
        self.version += 1;
        self.grant = id;
        self
    }
}

/// When a send with `slot` is due: moved inside it, so that nothing goes by the clock. One that may
/// go at once does: it comes by its person's clock.
pub fn due(
    rules: &Rules,
    send: &SendId,
    action: Action,
    slot: Timestamp,
    now: Timestamp,
) -> Timestamp {
    if !action.is_paced() || slot <= now {
        return slot;
    }
    let draw = seed(&[send.account.as_str(), send.key.as_str(), "jitter"]);
    let moved = slot + rules::jitter(rules.gap(action, slot, Feedback::default()), draw);
    // The last slot of a day stays inside it.
    if rules.active_from(action, moved) == moved { moved } else { slot }
}

/// The slots to come, as far as is known: each is where the budget will have room for it, given
/// those before it. Release plans with it, and so does the forecast.
pub struct Slots<'r> {
    rules: &'r Rules,
    feedback: Feedback,
    windows: Windows,
    next: NextSlots,
    /// No slot before this instant: now, or the end of a hold.
    from: Timestamp,
}

impl<'r> Slots<'r> {
    /// The slots behind those that `outstanding` sends have and were not granted yet.
    pub fn new(
        rules: &'r Rules,
        budget: &Budget,
        cursor: &Cursor,
        now: Timestamp,
        outstanding: &[(Class, Timestamp)],
    ) -> Self {
        let mut windows = budget.windows.under(rules).into_owned();
        for &(class, due) in outstanding {
            windows.take(rules, class.action, due.max(now));
        }
        let from = match budget.holds.gate(now) {
            Gate::Closed(_, until) => until.max(now),
            Gate::Open | Gate::Probe => now,
        };
        Self { rules, feedback: budget.feedback, windows, next: cursor.next, from }
    }

    /// The next slot of `class` that is not before `at`.
    pub fn peek(&self, Class { lane, action }: Class, at: Timestamp) -> Timestamp {
        let from = self.next.of(lane).max(self.from).max(at);
        let need = Need { action, lane: Some(lane), reads: false, counted_at: None };
        self.windows.earliest_fit(self.rules, self.feedback, need, from)
    }

    /// The next slot of a public reply while DMs wait; `None` where they need all there is.
    fn peek_public(&self, waiting: WaitingDms, at: Timestamp) -> Option<Timestamp> {
        let Class { lane, action } = Class::PUBLIC_REPLY;
        let from = self.next.of(lane).max(self.from).max(at);
        let need = Need { action, lane: Some(lane), reads: false, counted_at: None };
        self.windows.earliest_beside(self.rules, self.feedback, need, waiting, from)
    }

    /// Gives out the slot that [`Self::peek`] has shown.
    pub fn take(&mut self, Class { lane, action }: Class, slot: Timestamp) {
        self.windows.take(self.rules, action, slot);
        let gap = self.rules.gap(action, slot, self.feedback);
        self.next.move_to(lane, slot + gap);
    }
}

/// Slots for parked sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For each of them, in the order given: a slot inside the horizon, or none yet.
    pub slots: Vec<Option<Timestamp>>,
    /// The next free slot of each lane.
    pub next: NextSlots,
    /// The instant when there may be another one for what is paced.
    pub opens_at: Timestamp,
}

/// Whether somebody has to find out if a hold is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// The first of the parked sends.
    Wanted,
    /// None of them: one that is fit for it has a slot, or the fittest is yet to wait.
    NotNow,
}

/// Plans slots for parked sends, given by their classes in order, while `outstanding` ones already
/// have one. One that has to wait keeps those behind it waiting: in its lane those that make the
/// same call, since another may have room in its own quota, and all of the lanes behind. Live ones
/// are kept waiting by live ones alone. Public replies come last and take what DMs leave; they do
/// not find out whether a hold is over.
pub fn plan(
    rules: &Rules,
    budget: &Budget,
    cursor: &Cursor,
    now: Timestamp,
    outstanding: &[(Class, Timestamp)],
    parked: &[Class],
    probing: Probing,
) -> Plan {
    let mut slots = Slots::new(rules, budget, cursor, now, outstanding);
    let mut most = match budget.holds.gate(now) {
        Gate::Open => parked.len(),
        // Nobody needs to find out whether it is over.
        Gate::Closed(HoldCause::Operator, _) if budget.holds.current.is_none() => parked.len(),
        // After a hold one send goes first; the others follow when it went through.
        Gate::Probe | Gate::Closed(..) => usize::from(probing == Probing::Wanted),
    };
    let is_open = budget.holds.gate(now) == Gate::Open;
    let with_slot = outstanding.iter().map(|(class, _)| class);
    let dms = with_slot.chain(parked).filter(|class| !class.is_public()).count();
    // Without a slot, and of each class the first.
    let mut full: Vec<Class> = Vec::new();
    let given = parked.iter().map(|&class| {
        let is_stopped = if class.is_public() { !is_open } else { most == 0 };
        if is_stopped || full.iter().any(|full| full.keeps_waiting(class)) {
            return None;
        }
        let slot = if class.is_public() {
            // Those that a scan has not read wait behind one that has no slot.
            let are_more = full.iter().any(|full| !full.is_public());
            let dms = if are_more { u32::MAX } else { u32::try_from(dms).unwrap_or(u32::MAX) };
            slots.peek_public(WaitingDms(dms), now)
        } else {
            Some(slots.peek(class, now))
        };
        let slot = slot.filter(|&slot| slot < now + HORIZON);
        if slot.is_none() {
            full.push(class);
        }
        most -= usize::from(slot.is_some() && !class.is_public());
        slots.take(class, slot?);
        slot
    });
    let given: Vec<_> = given.collect();
    let opens_at = slots.peek(Class::PRIVATE_REPLY, now);
    Plan { slots: given, next: slots.next, opens_at }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::budget::{BudgetRequest, Decision};
    use crate::profile::Profile;
    use crate::quota::{Limit, Quota, Tier, Unit};
    use crate::rules::Terms;

    /// 12:00 UTC.
    const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);
    const WANTED: Probing = Probing::Wanted;
    const ID: GrantId = GrantId::new(1, 1);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// 200 calls an hour, active for 16 hours.
    fn hourly() -> Rules {
        Rules::new(Profile::careful(), Terms { tier: Tier::Two, ..Terms::default() }).unwrap()
    }

    fn gap() -> Duration {
        hourly().gap(Action::PrivateReply, NOW, Feedback::default())
    }

    fn one_quota(window: Duration, limit: u32) -> Rules {
        let limit = Limit::Fixed(NonZeroU32::new(limit).unwrap());
        let profile = Profile {
            quotas: vec![Quota::new("q", &Action::ALL, Unit::Calls, window, limit)],
            spread: None,
            warm_up: None,
            ..Profile::careful()
        };
        Rules::new(profile, Terms::default()).unwrap()
    }

    fn take(cursor: &Cursor, class: Class, n: usize) -> Taken {
        cursor.take(&hourly(), class, NOW, &vec![NOW + secs(600); n], ID)
    }

    fn next(lane: Lane, slot: Timestamp) -> NextSlots {
        let mut next = NextSlots::default();
        next.move_to(lane, slot);
        next
    }

    #[test]
    fn slots_are_a_gap_apart_and_end_with_the_horizon() {
        let taken = take(&Cursor::default(), Class::PRIVATE_REPLY, 1000);
        assert_eq!(taken.slots.len(), 33);
        assert!(taken.slots.windows(2).all(|pair| pair[1].since(pair[0]) == gap()));
        let cursor = taken.cursor.unwrap();
        assert_eq!(cursor.parked, Some(Lane::Inbound));
        assert!(cursor.next.of(Lane::Inbound) >= NOW + HORIZON);
    }

    #[test]
    fn a_second_arrival_takes_the_slots_behind_the_first() {
        for class in Class::ALL {
            let both = take(&Cursor::default(), class, 3).slots;
            let first = take(&Cursor::default(), class, 1);
            assert_eq!(first.slots, both[..1], "{class:?}");
            let second = take(&first.cursor.unwrap(), class, 2);
            assert_eq!(second.slots, both[1..], "{class:?}");
            assert_ne!(both[0], both[1], "{class:?}");
        }
    }

    #[test]
    fn public_replies_take_only_what_no_waiting_dm_could_use() {
        let (budget, cursor) = (Budget::default(), Cursor::default());
        let slots = |rules: &Rules, dms: usize, public: usize| {
            let mut parked = vec![Class::PRIVATE_REPLY; dms];
            parked.extend(vec![Class::PUBLIC_REPLY; public]);
            let plan = plan(rules, &budget, &cursor, NOW, &[], &parked, WANTED);
            let count = |slots: &[Option<Timestamp>]| slots.iter().flatten().count();
            (plan.slots[..dms].to_vec(), count(&plan.slots[dms..]), plan)
        };
        let tier_one = Rules::careful();
        for rules in [&tier_one, &hourly(), &one_quota(secs(3600), 60)] {
            for dms in [0, 1, 20, 1000] {
                let (alone, _, without) = slots(rules, dms, 0);
                let (beside, _, with) = slots(rules, dms, 500);
                assert_eq!(beside, alone, "{dms} DMs have the same slots");
                assert_eq!(with.next.of(Lane::Outbound), without.next.of(Lane::Outbound));
            }
        }
        // The day's figure leaves them most of the hour's 200 calls.
        assert!(slots(&tier_one, 1000, 500).1 > 30);
        // At 200 DMs an hour nothing is left, and without DMs all is.
        assert_eq!(slots(&hourly(), 1000, 500).1, 0);
        assert!(slots(&hourly(), 0, 500).1 > 30);
        // A few DMs leave the rest.
        assert!(slots(&hourly(), 5, 500).1 > 30);
    }

    #[test]
    fn dms_finish_at_the_same_time_with_public_replies() {
        for (rules, dms) in [(Rules::careful(), 60), (hourly(), 300), (one_quota(secs(60), 3), 40)]
        {
            let alone = finished(&rules, dms, 0);
            for public in [5, 500] {
                assert_eq!(finished(&rules, dms, public), alone, "{dms} DMs, {public} replies");
            }
        }
    }

    /// When the last of so many DMs is granted, as release plans them and the budget decides, while
    /// so many public replies wait.
    fn finished(rules: &Rules, mut dms: usize, mut public: usize) -> Timestamp {
        let (mut budget, mut cursor, mut now) = (Budget::default(), Cursor::default(), NOW);
        let mut last = now;
        let mut outstanding: Vec<(Class, Timestamp)> = Vec::new();
        while dms > 0 || outstanding.iter().any(|(class, _)| !class.is_public()) {
            outstanding.sort_by_key(|&(_, due)| due);
            if let Some(&(class, due)) = outstanding.first()
                && due <= now
            {
                outstanding.remove(0);
                let request = BudgetRequest {
                    action: class.action,
                    lane: Some(class.lane),
                    units: NonZeroU32::MIN,
                    least: NonZeroU32::MIN,
                    first: None,
                    beside: None,
                    reads: false,
                    lease_until: now,
                    counted_at: None,
                    usage: None,
                };
                match budget.decide(rules, &request, now, ID) {
                    Decision::Granted(_, next, _) => {
                        budget = *next;
                        last = if class.is_public() { last } else { now };
                    }
                    Decision::Denied(denial) => outstanding.push((class, denial.retry_at)),
                }
                continue;
            }
            let mut parked = vec![Class::PRIVATE_REPLY; dms];
            parked.extend(vec![Class::PUBLIC_REPLY; public]);
            let plan = plan(rules, &budget, &cursor, now, &outstanding, &parked, WANTED);
            cursor = cursor.after(&plan, None, None, ID).unwrap_or(cursor);
            for (class, slot) in parked.iter().zip(&plan.slots) {
                let Some(slot) = *slot else { continue };
                outstanding.push((*class, slot));
                if class.is_public() { public -= 1 } else { dms -= 1 }
            }
            let next = outstanding.iter().map(|&(_, due)| due).min();
            now = next.unwrap_or(now + secs(60)).min(now + secs(60)).max(now + secs(1));
        }
        last
    }

    #[test]
    fn nobody_finds_out_by_a_public_reply_whether_a_hold_is_over() {
        let budget = Budget::default().hold(&hourly(), HoldCause::Blocked, NOW, None, ID);
        let later = NOW + secs(7 * 24 * 3600);
        for at in [NOW, later] {
            let parked = [Class::PUBLIC_REPLY];
            let plan = plan(&hourly(), &budget, &Cursor::default(), at, &[], &parked, WANTED);
            assert_eq!(plan.slots, [None]);
        }
    }

    #[test]
    fn slots_of_four_lanes_are_read_and_written_until_there_are_public_replies() {
        let stored = "[1,2,3,4]";
        let mut next: NextSlots = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&next).unwrap(), stored);
        next.move_to(Lane::Public, Timestamp::from_millis(5));
        let five = serde_json::to_string(&next).unwrap();
        assert_eq!(five, "[1,2,3,4,5]");
        assert_eq!(serde_json::from_str::<NextSlots>(&five).unwrap(), next);
        for odd in ["[1,2,3]", "[1,2,3,4,5,6]"] {
            assert!(serde_json::from_str::<NextSlots>(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_broadcast_lasts_as_long_as_comments_come() {
        let at = |minute: u64| NOW + secs(60 * minute);
        let told = |cursor: &Cursor, minutes: &[u64]| {
            let deadlines: Vec<Timestamp> = minutes.iter().map(|&minute| at(minute)).collect();
            cursor.take(&hourly(), Class::LIVE_REPLY, NOW, &deadlines, ID).cursor.unwrap()
        };
        let cursor = told(&told(&Cursor::default(), &[10, 19]), &[28]);
        assert_eq!(cursor.deadline(Lane::Live, at(10)), at(28));
        assert_eq!(cursor.deadline(Lane::Live, at(28)), at(28));
        assert_eq!(cursor.deadline(Lane::Inbound, at(10)), at(10));
        // One of before is none of this broadcast's.
        assert_eq!(cursor.deadline(Lane::Live, at(9)), at(9));
        // Told late, it was there all the same.
        assert_eq!(told(&cursor, &[5]).deadline(Lane::Live, at(5)), at(28));
        // The next broadcast is no reason to go on with this one.
        let next = told(&cursor, &[60, 61]);
        assert_eq!(next.deadline(Lane::Live, at(28)), at(28));
        assert_eq!(next.deadline(Lane::Live, at(60)), at(61));
        assert_eq!(told(&next, &[10]).broadcast, next.broadcast);
    }

    #[test]
    fn a_full_broadcast_lasts_all_the_same() {
        let later = [NOW + secs(700)];
        let full = Cursor { next: next(Lane::Live, NOW + HORIZON), ..Cursor::default() };
        let taken = full.take(&hourly(), Class::LIVE_REPLY, NOW, &later, ID);
        assert_eq!(taken.slots, []);
        assert_eq!(taken.cursor.unwrap().deadline(Lane::Live, later[0]), later[0]);
    }

    #[test]
    fn slots_end_with_the_day() {
        let cursor = Cursor::default();
        let late = NOW + secs(12 * 3600 - 60);
        let taken =
            cursor.take(&hourly(), Class::PRIVATE_REPLY, late, &[late + secs(600); 1000], ID);
        assert_eq!(taken.slots.len(), 3);
        assert_eq!(taken.cursor.unwrap().parked, Some(Lane::Inbound));
    }

    #[test]
    fn what_is_parked_is_overtaken_only_by_lanes_before_it() {
        let cursor = Cursor { parked: Some(Lane::FollowUp), ..Cursor::default() };
        assert_eq!(take(&cursor, Class::OUTBOUND, 1).slots, []);
        assert_eq!(take(&cursor, Class::FOLLOW_UP, 1).slots, []);
        assert_eq!(take(&cursor, Class::PRIVATE_REPLY, 1).slots, [NOW]);
        assert_eq!(take(&cursor, Class::LIVE_REPLY, 1).slots, [NOW]);
    }

    #[test]
    fn inbound_does_not_wait_for_the_slots_of_outbound_and_outbound_does() {
        let next = next(Lane::Outbound, NOW + secs(300));
        let cursor = Cursor { next, ..Cursor::default() };
        let taken = take(&cursor, Class::PRIVATE_REPLY, 1);
        assert_eq!(taken.slots, [NOW]);
        assert_eq!(take(&taken.cursor.unwrap(), Class::OUTBOUND, 1).slots, [NOW + secs(300)]);
        let inbound = self::next(Lane::Inbound, NOW + secs(300));
        let cursor = Cursor { next: inbound, ..Cursor::default() };
        assert_eq!(take(&cursor, Class::OUTBOUND, 1).slots, [NOW + secs(300)]);
    }

    #[test]
    fn a_full_horizon_is_said_once_and_then_left_alone() {
        let next = next(Lane::Inbound, NOW + HORIZON);
        let taken = take(&Cursor { next, ..Cursor::default() }, Class::PRIVATE_REPLY, 1);
        assert!(taken.slots.is_empty());
        let said = taken.cursor.unwrap();
        assert_eq!(take(&said, Class::PRIVATE_REPLY, 1).cursor, None);
    }

    #[test]
    fn a_hold_gets_one_slot_at_its_end() {
        let rules = hourly();
        let budget = Budget::default().hold(&rules, HoldCause::NearLimit, NOW, None, ID);
        let until = budget.holds.current.as_ref().unwrap().until;
        let cursor = Cursor::default();
        let parked = [Class::PRIVATE_REPLY; 50];
        let planned = plan(&rules, &budget, &cursor, NOW, &[], &parked, WANTED);
        assert_eq!(planned.slots[..2], [Some(until), None]);
        let outstanding = [(Class::PRIVATE_REPLY, NOW)];
        let planned = plan(&rules, &budget, &cursor, NOW, &outstanding, &parked, Probing::NotNow);
        assert!(planned.slots.iter().all(Option::is_none));
    }

    #[test]
    fn a_stop_by_hand_that_ends_soon_gets_slots_from_its_end_on() {
        let rules = hourly();
        let until = NOW + secs(300);
        let budget = Budget::default().stop(until, None, NOW, ID);
        let parked = [Class::PRIVATE_REPLY; 5];
        let planned = plan(&rules, &budget, &Cursor::default(), NOW, &[], &parked, WANTED);
        assert_eq!(planned.slots[0], Some(until));
        assert!(planned.slots.iter().all(Option::is_some), "nobody has to go first");
        let budget = Budget::default().stop(Timestamp::NEVER, None, NOW, ID);
        let planned = plan(&rules, &budget, &Cursor::default(), NOW, &[], &parked, WANTED);
        assert!(planned.slots.iter().all(Option::is_none));
        assert_eq!(planned.opens_at, Timestamp::NEVER);
    }

    #[test]
    fn live_is_planned_beside_what_is_paced_and_nothing_overtakes_what_waits() {
        let rules = hourly();
        let next = next(Lane::Inbound, NOW + HORIZON);
        let cursor = Cursor { next, ..Cursor::default() };
        let parked = [Class::LIVE_REPLY, Class::PRIVATE_REPLY, Class::OUTBOUND];
        let planned = plan(&rules, &Budget::default(), &cursor, NOW, &[], &parked, WANTED);
        assert_eq!(planned.slots, [Some(NOW), None, None]);
        let parked = [Class::PRIVATE_REPLY, Class::LIVE_REPLY];
        let planned = plan(&rules, &Budget::default(), &cursor, NOW, &[], &parked, WANTED);
        assert_eq!(planned.slots, [None, Some(NOW)]);
    }

    #[test]
    fn what_is_full_for_one_call_leaves_room_for_another_of_its_lane() {
        let quota = |id: &str, actions: &[Action], limit| {
            let limit = Limit::Fixed(NonZeroU32::new(limit).unwrap());
            Quota::new(id, actions, Unit::Calls, crate::quota::DAY, limit)
        };
        let quotas = vec![
            quota("replies", &[Action::PrivateReply, Action::LiveReply], 1),
            quota("messages", &[Action::Message], 9),
        ];
        let profile = Profile { quotas, spread: None, warm_up: None, ..Profile::careful() };
        let rules = Rules::new(profile, Terms::default()).unwrap();
        let parked = [
            Class::PRIVATE_REPLY,
            Class::PRIVATE_REPLY,
            Class::ANSWER,
            Class::PRIVATE_REPLY,
            Class::FOLLOW_UP,
        ];
        let (budget, cursor) = (Budget::default(), Cursor::default());
        let planned = plan(&rules, &budget, &cursor, NOW, &[], &parked, WANTED);
        let has_slot = planned.slots.iter().map(Option::is_some);
        assert!(has_slot.eq([true, false, true, false, false]), "{:?}", planned.slots);
    }

    #[test]
    fn a_closed_cursor_gives_paced_slots_behind_the_closing_only() {
        let closed = Cursor::default().closed(NOW + secs(60), ID).unwrap();
        assert_eq!((closed.version, closed.grant), (1, ID));
        assert_eq!(closed.closed(NOW + secs(30), ID), None);
        assert_eq!(closed.closed(NOW + secs(60), ID), None);
        let behind = Cursor { next: next(Lane::Inbound, NOW + secs(60)), ..Cursor::default() };
        assert_eq!(behind.closed(NOW + secs(60), ID), None, "its slots lie there anyway");
        assert!(behind.closed(NOW + secs(61), ID).is_some());
        assert_eq!(take(&closed, Class::PRIVATE_REPLY, 1).slots, [NOW + secs(60)]);
        assert_eq!(take(&closed, Class::LIVE_REPLY, 1).slots, [NOW]);
    }

    #[test]
    fn a_full_day_gets_its_next_slot_when_the_day_has_room() {
        let day = one_quota(crate::quota::DAY, 2);
        let send = SendId { account: "a".into(), key: "c".into() };
        let want = BudgetRequest {
            action: Action::PrivateReply,
            lane: Some(Lane::Inbound),
            units: NonZeroU32::new(2).unwrap(),
            least: NonZeroU32::MIN,
            first: Some(&send),
            beside: None,
            reads: false,
            lease_until: NOW,
            counted_at: None,
            usage: None,
        };
        let Decision::Granted(_, budget, _) = Budget::default().decide(&day, &want, NOW, ID) else {
            panic!("denied")
        };
        let cursor = Cursor::default();
        let planned = plan(&day, &budget, &cursor, NOW, &[], &[Class::PRIVATE_REPLY], WANTED);
        assert_eq!(planned.slots, [None]);
        let opens = planned.opens_at;
        assert!(opens > NOW + secs(86_400) && opens < NOW + secs(87_100));

        let outlook = Some(Outlook { seen_at: NOW, waiting: 1, late: 0, last: opens });
        let closed = cursor.after(&planned, Some(Lane::Inbound), outlook, ID).unwrap();
        assert_eq!(closed.closed_until, opens);
        assert_eq!((closed.parked, closed.outlook), (Some(Lane::Inbound), outlook));
        assert_eq!(closed.after(&planned, Some(Lane::Inbound), outlook, ID), None);
        assert_eq!(take(&closed, Class::FOLLOW_UP, 1).slots, []);
        assert_eq!(take(&closed, Class::LIVE_REPLY, 1).slots, [NOW]);

        // A higher limit opens it with the next run.
        let higher = one_quota(crate::quota::DAY, 9);
        let planned = plan(&higher, &budget, &closed, NOW, &[], &[Class::PRIVATE_REPLY], WANTED);
        assert_eq!(planned.slots, [Some(NOW)]);
        assert_eq!(closed.after(&planned, None, None, ID).unwrap().closed_until, Timestamp::EPOCH);
    }

    #[test]
    fn a_plan_counts_what_is_outstanding_and_its_own_slots() {
        let day = one_quota(crate::quota::DAY, 2);
        let planned = |outstanding: &[(Class, Timestamp)]| {
            let (budget, cursor) = (Budget::default(), Cursor::default());
            plan(&day, &budget, &cursor, NOW, outstanding, &[Class::PRIVATE_REPLY; 3], WANTED).slots
        };
        assert_eq!(planned(&[]), [Some(NOW), Some(NOW), None]);
        assert_eq!(planned(&[(Class::PRIVATE_REPLY, NOW - secs(9))]), [Some(NOW), None, None]);
        let outstanding = [(Class::PRIVATE_REPLY, NOW), (Class::OUTBOUND, NOW + secs(9))];
        assert_eq!(planned(&outstanding), [None; 3]);
    }

    #[test]
    fn sends_are_moved_inside_their_slots() {
        const BEFORE: Timestamp = Timestamp::from_secs(1_790_596_700);
        let rules = hourly();
        let send = |n: u32| SendId { account: "a".into(), key: n.to_string().as_str().into() };
        let moved: Vec<_> = (0..200)
            .map(|n| {
                due(&rules, &send(n), Action::PrivateReply, NOW, BEFORE).since(NOW).as_millis()
            })
            .collect();
        assert!(moved.iter().all(|&moved| moved < gap().as_millis() / 2 + 1));
        let spread: std::collections::HashSet<_> =
            moved.iter().map(|&moved| moved / 1000).collect();
        assert!(spread.len() >= 9, "{spread:?}");
        assert_eq!(due(&rules, &send(1), Action::LiveReply, NOW, BEFORE), NOW);
        assert_eq!(due(&rules, &send(1), Action::PrivateReply, NOW, NOW), NOW);
        let last = NOW + secs(12 * 3600 - 8);
        assert!(
            (0..50).all(
                |n| due(&rules, &send(n), Action::PrivateReply, last, BEFORE) <= last + secs(2)
            )
        );
    }

    proptest! {
        /// In steady state no slot is denied: sends moved by their jitter and decided up to the
        /// pace's slack later are all granted.
        #[test]
        fn paced_sends_are_never_denied(
            limit in 1u32..60,
            late in prop::collection::vec(
                (
                    prop_oneof![Just(0u64), 0u64..2000, Just(1999)],
                    prop_oneof![Just(0u64), 0u64..1000, Just(999)],
                ),
                200,
            ),
        ) {
            let rules = one_quota(secs(3600), limit);
            let send = SendId { account: "a".into(), key: "c".into() };
            let gap = rules.gap(Action::PrivateReply, NOW, Feedback::default());
            let mut budget = Budget::default();
            let mut slot = NOW;
            for (late, draw) in late {
                let want = BudgetRequest {
                    action: Action::PrivateReply,
                    lane: Some(Lane::Inbound),
                    units: NonZeroU32::MIN,
                    least: NonZeroU32::MIN,
                    first: Some(&send),
                    beside: None,
                    reads: false,
                    lease_until: slot,
                    counted_at: None,
                    usage: None,
                };
                let at = slot + rules::jitter(gap, draw) + Duration::from_millis(late);
                match budget.decide(&rules, &want, at, ID) {
                    Decision::Granted(_, next, _) => budget = *next,
                    Decision::Denied(denial) => prop_assert!(false, "denied by {}", denial.reason),
                }
                slot = slot + gap;
            }
        }
    }
}
