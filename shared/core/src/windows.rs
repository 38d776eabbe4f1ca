//! The windows of all quotas together: what fits into them, and when one more will.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::learned::Learned;
use crate::quota::{Action, Quota, QuotaId, Unit};
use crate::rules::{InForce, Rules};
use crate::send::Lane;
use crate::time::Timestamp;
use crate::window::{Window, get_varint, put_varint};

/// What is left of each quota for others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spare {
    /// Nothing.
    Nothing,
    /// A fiftieth, at least two units: whoever asks for a DM now is not to wait for a campaign that
    /// nobody asked for just now.
    ForInbound,
}

impl Spare {
    pub(crate) fn of(lane: Option<Lane>) -> Self {
        if lane == Some(Lane::Outbound) { Self::ForInbound } else { Self::Nothing }
    }

    /// Units of `row` that are kept from the asker. A quota of one or two has none to keep.
    fn units(self, row: InForce<'_>) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::ForInbound => (row.limit.get() / 50).max(2).min(row.limit.get() - 1),
        }
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
    pub(crate) counted_at: Option<Timestamp>,
}

/// The windows of all quotas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(BTreeMap<QuotaId, Window>);

impl Windows {
    /// Units that still fit at `at`.
    pub fn room(&self, row: InForce<'_>, at: Timestamp) -> u32 {
        let InForce { quota, limit } = row;
        let used = self.0.get(&quota.id).map_or(0, |w| w.used(at, quota.counted_span()));
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
                let window = self.0.get(&quota.id);
                window.is_some_and(|window| window.counts(counted_at, at, quota.counted_span()))
            })
    }

    /// The first instant, not before `from`, at which one more call is granted as far as hours and
    /// quotas go.
    pub(crate) fn earliest_fit(
        &self,
        rules: &Rules,
        learned: Learned,
        need: Need,
        from: Timestamp,
    ) -> Timestamp {
        let spare = Spare::of(need.lane);
        let mut at = from;
        loop {
            at = rules.active_from(need.action, at);
            let steady_until = rules.limits_change_after(at, learned);
            let rows = rules.in_force(need.action, at, learned);
            let rows = rows.filter(|&row| !self.is_repeat(row, at, need.counted_at));
            let fit = rows.fold(at, |fit, row| self.row_fits(row, fit, spare.units(row)));
            if fit == at {
                return at;
            }
            // Limits only ever rise by themselves: what fits under these fits then.
            at = fit.min(steady_until);
        }
    }

    /// The first instant, not before `at`, at which one more unit leaves `spare` others.
    pub(crate) fn row_fits(&self, row: InForce<'_>, at: Timestamp, spare: u32) -> Timestamp {
        let InForce { quota, limit } = row;
        let before = limit.get().saturating_sub(1 + spare);
        let window = self.0.get(&quota.id);
        window.map_or(at, |window| window.earliest_with(at, quota.counted_span(), before))
    }

    /// Units of a quota in buckets that end after `since`, as far back as it counts.
    pub(crate) fn counted_since(&self, quota: &QuotaId, since: Timestamp) -> u64 {
        self.0.get(quota).map_or(0, |window| window.used(since, Duration::ZERO))
    }

    /// Takes a unit of every quota that counts `action`, at `at`.
    pub(crate) fn take(&mut self, rules: &Rules, action: Action, at: Timestamp) {
        for row in rules.in_force(action, at, Learned::default()) {
            self.add(row.quota, at, 1);
        }
    }

    pub(crate) fn move_unit(&mut self, quota: &Quota, from: Timestamp, to: Timestamp) {
        if let Some(window) = self.0.get_mut(&quota.id) {
            window.rebucket(quota.bucket());
            window.move_unit(from, to, quota.counted_span());
        }
    }

    pub(crate) fn add(&mut self, quota: &Quota, at: Timestamp, units: u32) {
        self.charge(quota, at, at, units);
    }

    /// Counts `units` of a decision made at `now` from `at` on.
    pub(crate) fn charge(&mut self, quota: &Quota, now: Timestamp, at: Timestamp, units: u32) {
        let window = self.0.entry(quota.id.clone()).or_insert_with(|| Window::new(quota.bucket()));
        // A quota whose window was changed keeps what it has counted.
        window.rebucket(quota.bucket());
        window.add(now, at, units, quota.counted_span());
    }

    pub(crate) fn refund(&mut self, quota: &Quota, at: Timestamp, units: u32) {
        if let Some(window) = self.0.get_mut(&quota.id) {
            window.refund(at, units);
        }
    }

    /// All windows in one value for the store: small enough that a budget stays within one write
    /// unit.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::FORMAT];
        for (at, (id, window)) in self.0.iter().enumerate() {
            put_varint(&mut out, id.as_str().len() as u64);
            out.extend_from_slice(id.as_str().as_bytes());
            // Quotas that count the same calls have the same windows.
            match self.0.values().take(at).position(|earlier| earlier == window) {
                Some(same) => put_varint(&mut out, same as u64 + 1),
                None => {
                    put_varint(&mut out, 0);
                    window.encode(&mut out);
                }
            }
        }
        out
    }

    /// Reads [`Self::encode`]; `None` when `bytes` is not that.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&format, mut rest) = bytes.split_first()?;
        if format != Self::FORMAT {
            return None;
        }
        let mut windows = BTreeMap::new();
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
            windows.insert(id, window);
        }
        Some(Self(windows))
    }

    const FORMAT: u8 = 2;
}
