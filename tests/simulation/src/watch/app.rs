//! The app's budget: its holds stop every account, and end at their probe's word.

use std::time::Duration;

use spillway_core::app::AppBudget;
use spillway_core::id::AccountId;
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_service::app::APP_REMEMBERED;

use super::{Caller, ClockState};
use crate::meta::millis;
use crate::world::World;

/// A hold of the app.
#[derive(Clone, Copy)]
pub(super) struct AppHold {
    /// When its write took effect.
    since: Timestamp,
    /// By the clock of whoever wrote it.
    until: Timestamp,
}

/// How long a grant may take from its decision to the effect of its write: the store's client gives
/// up after that.
const WRITE_MAX: Duration = Duration::from_secs(5);

impl World {
    /// The app's budget was written in place of another.
    pub(crate) fn saw_app_budget(&mut self, caller: Caller, before: &AppBudget, after: &AppBudget) {
        if after.decided_at < before.decided_at {
            self.broken("time in the budget of the app goes back".into());
        }
        let probe = |budget: &AppBudget| budget.holds.current.clone().and_then(|hold| hold.probe);
        if probe(after).is_some() && probe(after) != probe(before) {
            self.check_app_probe(caller, before);
        }
        match (&before.holds.current, &after.holds.current) {
            (None, None) => {}
            (Some(_), None) => {
                self.judge_app_lift();
                self.watch.app_hold = None;
                if self.watch.app_probe != Some(caller.invocation) {
                    let by = caller.invocation;
                    self.broken(format!("{by} ends a hold of the app and is not its probe"));
                }
            }
            (Some(was), Some(is)) if was.until == is.until => {}
            (_, Some(is)) => {
                self.record.count("hold of the app");
                let since = self.time();
                self.judge_app_hold(since + APP_REMEMBERED + CLOCK_BOUND + WRITE_MAX, is.until);
                let hold = AppHold { since, until: is.until };
                self.watch.app_hold = Some(match self.watch.app_hold {
                    Some(earlier) if since < earlier.until => {
                        AppHold { since: earlier.since, until: is.until.max(earlier.until) }
                    }
                    _ => hold,
                });
            }
        }
    }

    /// A probe begins once the hold is over and no other is under way.
    fn check_app_probe(&mut self, caller: Caller, before: &AppBudget) {
        let Some(hold) = &before.holds.current else { return };
        let left = millis(hold.until.since(self.time() + CLOCK_BOUND));
        if left > 0 && caller.clock == ClockState::Right {
            self.broken(format!("the app is probed {left} ms before its hold ends"));
        }
        let other = self.watch.app_probe.replace(caller.invocation);
        if hold.probe.is_some() && other.is_some_and(|other| self.is_running_beside(caller, other))
        {
            self.broken("two probes of the app are under way".into());
        }
    }

    /// No account is granted anything that was decided on during a hold of the app, but for the
    /// time within which every process reads of it.
    pub(super) fn check_app_hold(
        &mut self,
        caller: Caller,
        account: &AccountId,
        decided: Timestamp,
    ) {
        let Some(AppHold { since, until }) = self.watch.app_hold else { return };
        let known = since + APP_REMEMBERED + CLOCK_BOUND;
        let is_probe = self.watch.app_probe == Some(caller.invocation);
        if known < decided
            && decided + CLOCK_BOUND < until - CLOCK_BOUND
            && !is_probe
            && caller.clock == ClockState::Right
            // A wrong clock may have decided before, and time in a budget does not go back.
            && decided <= self.time() + CLOCK_BOUND
        {
            let late = millis(decided.since(since));
            self.broken(format!("{account} is granted a call {late} ms into a hold of the app"));
        }
    }
}
