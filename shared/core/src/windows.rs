//! The windows of all quotas together: what fits into them, and when one more will.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use crate::feedback::Feedback;
use crate::quota::{Action, DAY, Limit, Quota, QuotaId, Unit};
use crate::rules::{InForce, Rules};
use crate::send::Lane;
use crate::time::{Timestamp, millis};
use crate::window::{Window, get_varint, put_varint};

/// What a call leaves of each quota.
#[derive(Clone, Copy)]
pub(crate) struct Spare {
    reserve: Reserve,
    /// Whether a unit is left for its own read.
    reads: bool,
}

/// What is left of each quota for others.
#[derive(Clone, Copy)]
enum Reserve {
    /// All of it may be used.
    Nothing,
    /// A fiftieth, at least two units: a person who asks for a DM now does not wait for a campaign
    /// that nobody asked for just now.
    ForInbound,
    /// The same of the quotas that count DMs too: a public reply takes only what is left of them.
    ForDirectMessages,
    /// The same of the quotas that count answers too: a person who has answered an opening goes before
    /// the next opening.
    ForAnswers,
}

impl Reserve {
    fn of(rules: &Rules, lane: Option<Lane>, action: Action) -> Self {
        match (lane, action) {
            (Some(Lane::Outbound), _) => Self::ForInbound,
            (Some(Lane::Public), _) => Self::ForDirectMessages,
            (Some(_), Action::PrivateReply) if rules.keeps_for_answers() => Self::ForAnswers,
            _ => Self::Nothing,
        }
    }

    /// Units of `row` that are kept from the asker.
    fn units(self, row: InForce<'_>) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::ForDirectMessages if !row.quota.counts_direct_messages() => 0,
            Self::ForAnswers
                if row.quota.unit != Unit::Calls || !row.quota.counts(Action::Message) =>
            {
                0
            }
            Self::ForInbound | Self::ForDirectMessages | Self::ForAnswers => {
                (row.limit.get() / 50).max(2)
            }
        }
    }
}

impl Spare {
    /// Units of `row` that are left; at most all but one.
    fn units(self, row: InForce<'_>) -> u32 {
        let of_read = u32::from(self.reads && row.quota.counts(Action::Read));
        (self.reserve.units(row) + of_read).min(row.limit.get() - 1)
    }

    pub(crate) fn kept(self, row: InForce<'_>, room: u32) -> u32 {
        room.saturating_sub(self.units(row))
    }
}

/// One call, as far as windows are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) action: Action,
    pub(crate) lane: Option<Lane>,
    /// Whether it needs a read first: see [`BudgetRequest::reads`](crate::budget::BudgetRequest::reads).
    pub(crate) reads: bool,
    pub(crate) counted_at: Option<Timestamp>,
}

impl Need {
    /// What it leaves of each quota.
    pub(crate) fn spare(&self, rules: &Rules) -> Spare {
        Spare { reserve: Reserve::of(rules, self.lane, self.action), reads: self.reads }
    }
}

/// DMs that wait while a public reply gets a slot. The quotas that count both keep a unit for each
/// of them, as far as the pace can use these units while the reply counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WaitingDms(pub(crate) u32);

impl WaitingDms {
    /// Units of `row` that these DMs can use at `at` before a reply made then has left the window.
    fn units(self, row: InForce<'_>, rules: &Rules, at: Timestamp, feedback: Feedback) -> u32 {
        if self.0 == 0 || !row.quota.counts_direct_messages() {
            return 0;
        }
        let gap = rules.gap(Action::PrivateReply, at, feedback).as_millis().max(1);
        let at_full_pace = row.quota.counted_span().as_millis().div_ceil(gap);
        self.0.min(u32::try_from(at_full_pace).unwrap_or(u32::MAX))
    }
}

/// The windows of all quotas, each with what it counts: a row that is new or was changed starts
/// from what the others know of its actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    rows: BTreeMap<QuotaId, Row>,
    /// When each action was granted last, in the order of [`Action::ALL`]; zero for one that never
    /// was. `None` in a budget that was written before rows told what they count: its rows are then
    /// those of the rules in force.
    called: Option<[Timestamp; Action::ALL.len()]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    window: Window,
    counts: Option<Counts>,
}

/// What a row counts, and how far back it knows every unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// A bit for each of [`Action::ALL`], and [`Self::PEOPLE`].
    what: u8,
    /// How long a unit is counted.
    span: Duration,
    /// Units of earlier instants may be missing; zero where none are.
    since: Timestamp,
}

impl Counts {
    /// The bit of a row that counts recipients instead of calls.
    const PEOPLE: u8 = {
        assert!(Action::ALL.len() < 8, "the stored byte has a bit for each action and this one");
        1 << 7
    };

    fn of(quota: &Quota) -> Self {
        let people = if quota.unit == Unit::Recipients { Self::PEOPLE } else { 0 };
        let actions = (0..).zip(Action::ALL).filter(|&(_, action)| quota.counts(action));
        let what = actions.fold(people, |what, (nth, _)| what | 1u8 << nth);
        Self { what, span: quota.counted_span(), since: Timestamp::EPOCH }
    }

    fn is_like(self, other: Self) -> bool {
        (self.what, self.span) == (other.what, other.span)
    }

    /// The first instant at which no unknown unit counts any more.
    fn complete_at(self) -> Timestamp {
        if self.since == Timestamp::EPOCH { Timestamp::EPOCH } else { self.since + self.span }
    }
}

impl Row {
    fn is_of(&self, quota: &Quota) -> bool {
        self.counts.is_some_and(|counts| counts.is_like(Counts::of(quota)))
    }

    fn complete_at(&self) -> Timestamp {
        self.counts.map_or(Timestamp::EPOCH, Counts::complete_at)
    }

    /// How far back it has every unit, and the actions and people that it counts.
    fn knows(&self) -> Option<(Timestamp, u8)> {
        let counts = self.counts?;
        Some((self.window.kept_since(counts.span).max(counts.since), counts.what))
    }
}

/// The DMs of a day. They are counted under any rules, so that a profile that limits them finds
/// what was sent under one that did not. No quota of a profile has an empty name.
static DMS: LazyLock<Quota> = LazyLock::new(|| {
    let limit = Limit::Fixed(NonZeroU32::MAX);
    Quota::new("", &Action::DIRECT_MESSAGES, Unit::Calls, DAY, limit)
});

impl Default for Windows {
    /// Those of an account for which nothing was ever called.
    fn default() -> Self {
        Self { rows: BTreeMap::new(), called: Some(Default::default()) }
    }
}

impl Windows {
    /// The windows of the rows that `rules` have: those of others are dropped, new and changed ones
    /// begin with what is known.
    pub fn under(&self, rules: &Rules) -> Cow<'_, Self> {
        let Some(called) = self.called else {
            return Cow::Owned(self.told_by(rules).under(rules).into_owned());
        };
        let quotas = || rules.account_quotas().chain([&*DMS]);
        let is_in_force = |id: &QuotaId| quotas().any(|quota| quota.id == *id);
        let is_right = |quota: &Quota| match self.rows.get(&quota.id) {
            Some(row) => row.is_of(quota),
            None => Counts::of(quota).what & bits_of(&called) == 0,
        };
        if quotas().all(is_right) && self.rows.keys().all(is_in_force) {
            return Cow::Borrowed(self);
        }
        let rows = quotas().filter_map(|quota| {
            let row = match self.rows.get(&quota.id) {
                Some(row) if row.is_of(quota) => row.clone(),
                _ if Counts::of(quota).what & bits_of(&called) == 0 => return None,
                _ => self.derived(quota, &called),
            };
            Some((quota.id.clone(), row))
        });
        Cow::Owned(Self { rows: rows.collect(), called: self.called })
    }

    /// A row for `quota` from what the others know: at least the units that there were. Where none
    /// knows of an action, the row counts as full for as long as its last call may count.
    fn derived(&self, quota: &Quota, called: &[Timestamp; Action::ALL.len()]) -> Row {
        let mut counts = Counts::of(quota);
        let mut window = Window::new(quota.bucket());
        let latest = called.iter().max().copied().unwrap_or_default();
        let needed = latest - counts.span;
        let mut missing = counts.what & bits_of(called);
        while missing != 0 {
            let nth = missing.trailing_zeros();
            let sources = self.rows.values().filter_map(|row| {
                let (since, what) = row.knows()?;
                // Calls are at least as many as the people that they reach, but not the other way.
                let is_fit = what & Counts::PEOPLE & !counts.what == 0 && what & 1 << nth != 0;
                is_fit.then_some((row, since, what))
            });
            // It goes back far enough, then it counts most of the actions, in the smallest buckets,
            // with the fewest units.
            let best = sources.min_by_key(|&(row, since, what)| {
                let covers = (what & missing).count_ones();
                (since.max(needed), Reverse(covers), row.window.width(), row.window.total())
            });
            let since = match best {
                Some((row, since, what)) => {
                    window.take_over(&row.window, latest, counts.span);
                    missing &= !what;
                    since
                }
                None => {
                    missing &= !(1 << nth);
                    called[nth as usize]
                }
            };
            // Also where that is before this row's own span: a longer row may start from this one.
            counts.since = counts.since.max(since);
        }
        Row { window, counts: Some(counts) }
    }

    /// The same windows, told by `rules` what they count: those of a budget that does not tell.
    fn told_by(&self, rules: &Rules) -> Self {
        let rows = rules.account_quotas().filter_map(|quota| {
            let window = self.rows.get(&quota.id)?.window.clone();
            let mut counts = Counts::of(quota);
            if !window.has_buckets(quota.bucket()) {
                counts.span = window.least_span();
            }
            Some((quota.id.clone(), Row { window, counts: Some(counts) }))
        });
        let rows: BTreeMap<_, _> = rows.collect();
        let latest = rows.values().map(|row| row.window.ends_at()).max().unwrap_or_default();
        // Each call takes a unit of every row that counts it.
        let called = Action::ALL.map(|action| {
            let mut counting = rules.account_quotas().filter(|quota| quota.counts(action));
            if counting.all(|quota| rows.contains_key(&quota.id)) {
                latest
            } else {
                Timestamp::EPOCH
            }
        });
        Self { rows, called: Some(called) }
    }

    /// These windows, with the row of `quota` as the quota counts now. Until `decided_at` the row
    /// may have counted for a shorter time, or fewer actions.
    pub(crate) fn with_row_of(&self, quota: &Quota, decided_at: Timestamp) -> Cow<'_, Self> {
        let Some(row) = self.rows.get(&quota.id).filter(|row| !row.is_of(quota)) else {
            return Cow::Borrowed(self);
        };
        let mut counts = Counts::of(quota);
        let kept = match row.knows() {
            Some((since, what)) if what & counts.what == counts.what => since,
            Some(_) => decided_at,
            None if row.window.has_buckets(quota.bucket()) => Timestamp::EPOCH,
            None => row.window.kept_since(row.window.least_span()),
        };
        counts.since = kept;
        let mut window = Window::new(quota.bucket());
        window.take_over(&row.window, Timestamp::NEVER, counts.span);
        let mut rows = self.rows.clone();
        rows.insert(quota.id.clone(), Row { window, counts: Some(counts) });
        Cow::Owned(Self { rows, called: self.called })
    }

    /// These windows, with what `account` has called charged to the row of `quota`, as far as its
    /// windows tell, which were counted under `rules`. Where they do not, the row is full for as
    /// long as its last call may count.
    pub(crate) fn with_calls_of(&self, quota: &Quota, account: &Self, rules: &Rules) -> Self {
        let told = match account.called {
            Some(_) => Cow::Borrowed(account),
            None => Cow::Owned(account.told_by(rules)),
        };
        let called = told.called.unwrap_or_default();
        let mut next = self.clone();
        if Counts::of(quota).what & bits_of(&called) == 0 {
            return next;
        }
        let own = told.derived(quota, &called);
        let counts = Counts::of(quota);
        let new = || Row { window: Window::new(quota.bucket()), counts: Some(counts) };
        let row = next.rows.entry(quota.id.clone()).or_insert_with(new);
        row.window.take_over(&own.window, Timestamp::NEVER, counts.span);
        if let (Some(of_row), Some(own)) = (&mut row.counts, own.counts) {
            of_row.since = of_row.since.max(own.since);
        }
        next
    }

    /// Units that still fit at `at`.
    pub fn room(&self, row: InForce<'_>, at: Timestamp) -> u32 {
        let InForce { quota, limit } = row;
        let Some(row) = self.rows.get(&quota.id) else { return limit.get() };
        if at < row.complete_at() {
            return 0;
        }
        let used = row.window.used(at, quota.counted_span());
        u32::try_from(u64::from(limit.get()).saturating_sub(used)).unwrap_or(0)
    }

    /// Whether the person whose unit was counted at `counted_at` still has it, so that a message
    /// takes none.
    pub(crate) fn is_repeat(
        &self,
        row: InForce<'_>,
        at: Timestamp,
        counted_at: Option<Timestamp>,
    ) -> bool {
        let InForce { quota, .. } = row;
        quota.unit == Unit::Recipients
            && counted_at.is_some_and(|counted_at| {
                let row = self.rows.get(&quota.id);
                row.is_some_and(|row| row.window.counts(counted_at, at, quota.counted_span()))
            })
    }

    /// The first instant, not before `from`, at which one more call is granted as far as hours and
    /// quotas go.
    pub(crate) fn earliest_fit(
        &self,
        rules: &Rules,
        feedback: Feedback,
        need: Need,
        from: Timestamp,
    ) -> Timestamp {
        let fit = self.earliest_beside(rules, feedback, need, WaitingDms::default(), from);
        fit.unwrap_or(Timestamp::NEVER)
    }

    /// The same while DMs wait that the call must not take a unit from. `None` where they need all
    /// units of a quota.
    pub(crate) fn earliest_beside(
        &self,
        rules: &Rules,
        feedback: Feedback,
        need: Need,
        waiting: WaitingDms,
        from: Timestamp,
    ) -> Option<Timestamp> {
        let spare = need.spare(rules);
        let mut at = from;
        loop {
            at = rules.active_from(need.action, at);
            let steady_until = rules.limits_change_after(at, feedback);
            let rows = rules.in_force(need.action, at, feedback);
            let rows = rows.filter(|&row| !self.is_repeat(row, at, need.counted_at));
            let mut fit = at;
            for row in rows {
                let kept = waiting.units(row, rules, at, feedback);
                if kept >= row.limit.get() {
                    return None;
                }
                fit = self.row_fits(row, fit, spare.units(row).max(kept));
            }
            if fit == at {
                return Some(at);
            }
            // Limits only ever rise by themselves: what fits under these fits then.
            at = fit.min(steady_until);
        }
    }

    /// The first instant, not before `at`, at which one more unit leaves `spare` others.
    pub(crate) fn row_fits(&self, row: InForce<'_>, at: Timestamp, spare: u32) -> Timestamp {
        let InForce { quota, limit } = row;
        let before = limit.get().saturating_sub(1 + spare);
        let Some(row) = self.rows.get(&quota.id) else { return at };
        row.window.earliest_with(at.max(row.complete_at()), quota.counted_span(), before)
    }

    /// Units of a quota in buckets that end after `since`, as far back as it counts.
    pub(crate) fn counted_since(&self, quota: &QuotaId, since: Timestamp) -> u64 {
        self.rows.get(quota).map_or(0, |row| row.window.used(since, Duration::ZERO))
    }

    /// Takes a unit of every quota that counts `action`, at `at`.
    pub(crate) fn take(&mut self, rules: &Rules, action: Action, at: Timestamp) {
        for row in rules.in_force(action, at, Feedback::default()) {
            self.add(row.quota, at, 1);
        }
    }

    /// Notes that `units` of `action` are granted at `at`, whatever rows count them.
    pub(crate) fn note(&mut self, action: Action, at: Timestamp, units: u32) {
        if let Some(called) = &mut self.called
            && let Some(nth) = Action::ALL.iter().position(|&known| known == action)
        {
            called[nth] = at.max(called[nth]);
        }
        if DMS.counts(action) {
            self.add(&DMS, at, units);
        }
    }

    /// Gives back `units` of `action` that were granted at `at`, beside those of the rows.
    pub(crate) fn take_back(&mut self, action: Action, at: Timestamp, units: u32) {
        if DMS.counts(action) {
            self.refund(&DMS, at, units);
        }
    }

    pub(crate) fn move_unit(&mut self, quota: &Quota, from: Timestamp, to: Timestamp) {
        if let Some(row) = self.rows.get_mut(&quota.id) {
            row.window.move_unit(from, to, quota.counted_span());
        }
    }

    pub(crate) fn add(&mut self, quota: &Quota, at: Timestamp, units: u32) {
        self.charge(quota, at, at, units);
    }

    /// Counts `units` of a decision made at `now` from `at` on.
    pub(crate) fn charge(&mut self, quota: &Quota, now: Timestamp, at: Timestamp, units: u32) {
        let new = || Row { window: Window::new(quota.bucket()), counts: Some(Counts::of(quota)) };
        let row = self.rows.entry(quota.id.clone()).or_insert_with(new);
        row.window.add(now, at, units, quota.counted_span());
    }

    pub(crate) fn refund(&mut self, quota: &Quota, at: Timestamp, units: u32) {
        if let Some(row) = self.rows.get_mut(&quota.id) {
            row.window.refund(at, units);
        }
    }

    /// All windows in one value for the store: small enough that a budget stays within one write
    /// unit.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::FORMAT];
        let windows = || self.rows.values().map(|row| &row.window);
        for (at, (id, Row { window, .. })) in self.rows.iter().enumerate() {
            put_varint(&mut out, id.as_str().len() as u64);
            out.extend_from_slice(id.as_str().as_bytes());
            // Quotas that count the same calls have the same windows.
            match windows().take(at).position(|earlier| earlier == window) {
                Some(same) => put_varint(&mut out, same as u64 + 1),
                None => {
                    put_varint(&mut out, 0);
                    window.encode(&mut out);
                }
            }
        }
        out
    }

    /// What the windows count, in another value: versions that do not know it drop it, and it is
    /// then taken from the rules. `None` where nothing is known of it.
    pub fn encode_counts(&self) -> Option<Vec<u8>> {
        let called = self.called.as_ref();
        if called.is_none() && self.rows.values().all(|row| row.counts.is_none()) {
            return None;
        }
        let mut out = vec![called.map_or(Self::UNCALLED, |_| Self::CALLED)];
        if let Some(called) = called {
            out.push(bits_of(called));
            let instants = called.iter().filter(|&&at| at > Timestamp::EPOCH);
            instants.for_each(|at| put_varint(&mut out, at.as_millis()));
        }
        for row in self.rows.values() {
            // No row counts nothing.
            let Some(Counts { what, span, since }) = row.counts else {
                out.push(0);
                continue;
            };
            out.push(what);
            put_varint(&mut out, millis(span));
            put_varint(&mut out, since.as_millis());
        }
        Some(out)
    }

    /// Reads [`Self::encode`] and, where the budget has it, [`Self::encode_counts`]; `None` when
    /// they are not that.
    pub fn decode(bytes: &[u8], counts: Option<&[u8]>) -> Option<Self> {
        let (&format, mut rest) = bytes.split_first()?;
        if format != Self::FORMAT {
            return None;
        }
        let mut rows = BTreeMap::new();
        let mut in_order: Vec<Window> = Vec::new();
        while !rest.is_empty() {
            let len = usize::try_from(get_varint(&mut rest)?).ok()?;
            let (id, after) = rest.split_at_checked(len)?;
            rest = after;
            let id = QuotaId::new(std::str::from_utf8(id).ok()?);
            let window = match usize::try_from(get_varint(&mut rest)?).ok()?.checked_sub(1) {
                Some(same) => in_order.get(same)?.clone(),
                None => Window::decode(&mut rest)?,
            };
            in_order.push(window.clone());
            rows.insert(id, Row { window, counts: None });
        }
        let windows = Self { rows, called: None };
        counts.map_or(Some(windows.clone()), |counts| windows.told(counts))
    }

    /// The same windows with what [`Self::encode_counts`] wrote of them.
    fn told(mut self, mut counts: &[u8]) -> Option<Self> {
        let from = &mut counts;
        match take_byte(from)? {
            Self::UNCALLED => {}
            Self::CALLED => {
                let bits = take_byte(from)?;
                let mut called = [Timestamp::EPOCH; Action::ALL.len()];
                for (nth, at) in called.iter_mut().enumerate() {
                    if bits & 1 << nth != 0 {
                        *at = Timestamp::from_millis(get_varint(from)?);
                    }
                }
                self.called = Some(called);
            }
            _ => return None,
        }
        for row in self.rows.values_mut() {
            let what = take_byte(from)?;
            if what != 0 {
                let span = Duration::from_millis(get_varint(from)?);
                let since = Timestamp::from_millis(get_varint(from)?);
                row.counts = Some(Counts { what, span, since });
            }
        }
        from.is_empty().then_some(self)
    }

    const FORMAT: u8 = 2;
    const UNCALLED: u8 = 1;
    const CALLED: u8 = 2;
}

fn take_byte(from: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = from.split_first()?;
    *from = rest;
    Some(byte)
}

/// A bit for each action that was ever granted.
fn bits_of(called: &[Timestamp; Action::ALL.len()]) -> u8 {
    let granted = (0..).zip(called).filter(|&(_, &at)| at > Timestamp::EPOCH);
    granted.fold(0, |bits, (nth, _)| bits | 1u8 << nth)
}
