//! Asks the budget for units, and gives back what was not used.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use spillway_core::budget::{
    Budget, BudgetRequest, Decision, Denial, DenialReason, Grant, GrantId, Recipients, Role,
};
use spillway_core::hold::{Gate, Probe};
use spillway_core::id::{RecipientId, SendId};
use spillway_core::quota::{Action, GRANT_LIFE};
use spillway_core::refusal::Party;
use spillway_core::rotation::Rotation;
use spillway_core::send::{CampaignStep, Class, Lane};
use spillway_core::time::Timestamp;
use spillway_meta::graph::CONNECT_TIMEOUT;
use tracing::warn;

use super::{BUDGET_FRESH, BUDGET_TRIES, CLOCK_WAIT, CONTENDED_WAIT, Limiter, own_hold};
use crate::account::Account;
use crate::app::{AppGate, Taken};
use crate::port::{Moved, Read, Saved, StoreError};
use crate::send_task::SendTask;

/// Returns which of its campaign's texts a send gets, and notes it in the rotation, which is
/// stored with the grant.
pub type ChooseText<'a> = &'a (dyn Fn(&Account, &SendTask, &mut Rotation) -> usize + Send + Sync);

/// What is asked of the budget.
struct Request<'a> {
    action: Action,
    lane: Option<Lane>,
    units: NonZeroU32,
    /// The fewest that are of use.
    least: NonZeroU32,
    tasks: &'a [&'a SendTask],
    lease_until: Timestamp,
    /// Chooses the text of each task that is granted.
    choose: ChooseText<'a>,
    /// Where the unit lies of the person whom the only task is for.
    counted_at: Option<Timestamp>,
    /// Whether its outcome is told, so that it may find out whether a hold of the app is over.
    is_told: bool,
    /// The send that a call is made for: see [`BudgetRequest::beside`].
    beside: Option<&'a SendId>,
}

impl Request<'_> {
    /// Calls that are no sends.
    fn call(action: Action, units: NonZeroU32, lease_until: Timestamp) -> Self {
        Self {
            action,
            lane: None,
            units,
            least: units,
            tasks: &[],
            lease_until,
            choose: &|_, _, _| 0,
            counted_at: None,
            is_told: true,
            beside: None,
        }
    }

    /// The call as the app's probe.
    fn probe(&self, first: Option<&usize>) -> Probe {
        let send = first.map(|&index| self.tasks[index].send.clone());
        Probe { send, lease_until: self.lease_until }
    }
}

/// After a hold a DM finds out whether it is over, and a public reply waits this long for it.
const PROBED_WITHIN: Duration = Duration::from_secs(60);

/// A decision that has been written, and what was not granted.
#[derive(Default)]
pub struct Reserved {
    /// The decision, if it granted anything.
    pub reservation: Option<Reservation>,
    /// For which of the tasks, by index, and why.
    pub denied: Vec<(usize, Denial)>,
    /// The account as it was decided by, where that is a later one than was asked with.
    pub(crate) changed: Option<Arc<Account>>,
}

/// Units taken for some of the tasks.
pub struct Reservation {
    /// The units that were taken.
    pub grant: Grant,
    /// The version of the budget that the grant is written in.
    pub(super) version: u64,
    /// The granted tasks, by index, each with the text it gets.
    pub granted: Vec<(usize, usize)>,
    /// Whether its outcome also ends or lengthens the hold of the whole app.
    pub app_role: Role,
    /// What was taken of the app's slices.
    pub(crate) of_app: Taken,
    /// On the monotonic clock: no call starts after this. A connection may take
    /// [`CONNECT_TIMEOUT`] more before the request is written.
    pub(crate) usable_until: Duration,
}

/// The answer to a charge for another tool that shares an account's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charged {
    /// All units may be used, until the grant's life ends.
    Granted(Grant),
    /// None may.
    Denied(Denial),
}

/// Why there is no grant.
#[derive(Debug)]
pub enum NoGrant {
    /// The budget has no room, for now.
    Denied(Denial),
    /// Whether it has is not known.
    Store(StoreError),
}

impl From<Denial> for NoGrant {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<StoreError> for NoGrant {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A grant with its denied rest, before anybody is told.
#[derive(Clone)]
struct Decided {
    grant: Grant,
    version: u64,
    /// See [`Reserved::changed`].
    changed: Option<Arc<Account>>,
    granted: Vec<(usize, usize)>,
    app_role: Role,
    of_app: Taken,
    usable_until: Duration,
    denial: Option<Denial>,
}
impl Limiter {
    /// Takes units for as many of the tasks, all of one class, as fit, in one write.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn reserve(
        &self,
        account: &Account,
        tasks: &[&SendTask],
        lease_until: Timestamp,
        choose: ChooseText<'_>,
    ) -> Result<Reserved, StoreError> {
        let (Some(first), Some(units)) =
            (tasks.first(), u32::try_from(tasks.len()).ok().and_then(NonZeroU32::new))
        else {
            return Ok(Reserved::default());
        };
        let Class { lane, action } = first.class;
        let counted_at = match (tasks, &first.recipient) {
            ([_], Some(person)) if account.rules.knows_people() && !first.class.is_public() => {
                self.budgets.counted_at(&account.id, person).await?
            }
            _ => None,
        };
        let lane = Some(lane);
        // That a public reply goes through says nothing of DMs.
        let (least, is_told) = (NonZeroU32::MIN, !first.class.is_public());
        let request = Request {
            action,
            lane,
            units,
            least,
            tasks,
            lease_until,
            choose,
            counted_at,
            is_told,
            beside: None,
        };
        let (decided, rest) = match self.decide(account, &request).await {
            Ok(decided) => (Some(decided.clone()), decided.denial),
            Err(NoGrant::Denied(denial)) => (None, Some(denial)),
            Err(NoGrant::Store(error)) => return Err(error),
        };
        let granted = decided.as_ref().map_or(&[][..], |decided| &decided.granted);
        let denied = self.denied(account, tasks, granted, rest);
        let changed = decided.as_ref().and_then(|decided| decided.changed.clone());
        let reservation = decided.map(|decided| Reservation {
            grant: decided.grant,
            version: decided.version,
            granted: decided.granted,
            app_role: decided.app_role,
            of_app: decided.of_app,
            usable_until: decided.usable_until,
        });
        Ok(Reserved { reservation, denied, changed })
    }

    /// Why those that are not among the `granted` have to wait: because of `rest`, or of their
    /// person's own hold.
    fn denied(
        &self,
        account: &Account,
        tasks: &[&SendTask],
        granted: &[(usize, usize)],
        rest: Option<Denial>,
    ) -> Vec<(usize, Denial)> {
        let now = self.clock.now();
        let budget = self.seen.get(&account.id).map(|(budget, _)| budget).unwrap_or_default();
        // Where nothing bound them, the next decision is for them.
        let retry_at = now + CONTENDED_WAIT;
        let rest = rest.unwrap_or(Denial { reason: DenialReason::Contention, retry_at });
        let held = |task: &SendTask| own_hold(&budget, task, now);
        (0..tasks.len())
            .filter(|index| granted.iter().all(|(granted, _)| granted != index))
            .map(|index| (index, held(tasks[index]).unwrap_or_else(|| rest.clone())))
            .collect()
    }

    /// Takes `units` of `action` for another tool that shares the account's token: all or none. The
    /// calls must be written within [`GRANT_LIFE`]. After a hold one call goes first, and several
    /// units are denied until it has gone through: they do not keep it from going.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub fn charge<'a>(
        &'a self,
        account: &'a Account,
        action: Action,
        units: NonZeroU32,
    ) -> BoxFuture<'a, Result<Charged, StoreError>> {
        Box::pin(async move {
            let lease_until = self.clock.now() + GRANT_LIFE;
            let request = Request { is_told: false, ..Request::call(action, units, lease_until) };
            match self.decide(account, &request).await {
                Ok(decided) => Ok(Charged::Granted(decided.grant)),
                Err(NoGrant::Denied(denial)) => Ok(Charged::Denied(denial)),
                Err(NoGrant::Store(error)) => Err(error),
            }
        })
    }

    /// Takes the unit of one call that is no send. `beside` is the send that it is made for, if that
    /// has taken its own: where it is the probe, the call goes with it.
    ///
    /// # Errors
    /// Fails if the budget has no room, or the store does not answer.
    pub async fn reserve_call(
        &self,
        account: &Account,
        action: Action,
        beside: Option<&SendId>,
        lease_until: Timestamp,
    ) -> Result<Reservation, NoGrant> {
        let request = Request { beside, ..Request::call(action, NonZeroU32::MIN, lease_until) };
        let decided = self.decide(account, &request).await?;
        Ok(Reservation {
            grant: decided.grant,
            version: decided.version,
            granted: Vec::new(),
            app_role: decided.app_role,
            of_app: decided.of_app,
            usable_until: decided.usable_until,
        })
    }

    async fn decide(&self, account: &Account, request: &Request<'_>) -> Result<Decided, NoGrant> {
        let now = self.clock.now();
        if !self.check.is_trusted() {
            // Only an answer can show that it is right again.
            self.budgets.load(&account.id).await?;
        }
        if !self.check.is_trusted() {
            return Err(Denial { reason: DenialReason::Clock, retry_at: now + CLOCK_WAIT }.into());
        }
        let key = (account.id.clone(), request.lane, request.action);
        // Another call's hold says nothing of one that goes with the probe.
        let is_others = |denial: &Denial| {
            request.beside.is_some() && matches!(denial.reason, DenialReason::Hold(_))
        };
        if let Some(denial) = self.denials.get(&key).filter(|denial| !is_others(denial)) {
            return Err(denial.into());
        }
        let most = match self.app_gate(request).await? {
            (Role::Normal, _) => request.units.get(),
            (Role::Probe | Role::Beside, _) => 1,
        };
        let (units, of_app, app_denial) = self.app.take(&account.rules, most).await?;
        let within_app = NonZeroU32::new(units).filter(|&units| units >= request.least);
        let Some(within_app) = within_app else {
            self.app.give_back(&of_app, 0);
            let retry_at = now + CONTENDED_WAIT;
            let denial =
                app_denial.unwrap_or(Denial { reason: DenialReason::Contention, retry_at });
            return Err(denial.into());
        };
        let mut probe = None;
        let decided = self.decide_account(account, request, within_app, &mut probe).await;
        if let (Some(probe), Err(_)) = (&probe, &decided) {
            // What holds this account says nothing of the app: another one finds out.
            self.app.give_up_probe(probe).await;
        }
        let granted = match &decided {
            Ok(decided) => decided.grant.units,
            Err(_) => 0,
        };
        self.app.give_back(&of_app, granted);
        // Fewer units than were asked for together may fit.
        if let Err(NoGrant::Denied(denial)) = &decided
            && request.least == NonZeroU32::MIN
        {
            self.remember_denial(key, denial, now);
        }
        let decided = decided?;
        let denial = decided.denial.clone().or(app_denial);
        Ok(Decided { denial, of_app, ..decided })
    }

    /// What the app's hold leaves of the request: everything, and since when the pace has been
    /// returning; its probe; or nothing.
    async fn app_gate(&self, request: &Request<'_>) -> Result<(Role, Option<Timestamp>), NoGrant> {
        match self.app.gate(request.beside).await? {
            AppGate::Open(returned_at) => Ok((Role::Normal, returned_at)),
            AppGate::Beside => Ok((Role::Beside, None)),
            AppGate::Probe if request.is_told => Ok((Role::Probe, None)),
            AppGate::Probe => Err(self.app.waits_for_probe().into()),
            AppGate::Closed(denial) => Err(denial.into()),
        }
    }

    async fn decide_account(
        &self,
        account: &Account,
        request: &Request<'_>,
        units: NonZeroU32,
        probe: &mut Option<Probe>,
    ) -> Result<Decided, NoGrant> {
        let (mut budget, mut seen_at) = self.budget(&account.id, Read::Eventual).await?;
        // Reading it may have shown that the clock is off.
        if !self.check.is_trusted() {
            let retry_at = self.clock.now() + CLOCK_WAIT;
            return Err(Denial { reason: DenialReason::Clock, retry_at }.into());
        }
        let id = self.ids.next();
        let began_at = self.clock.now();
        let mut changed: Option<Arc<Account>> = None;
        for _ in 0..BUDGET_TRIES {
            // Each lost race may have been lost to another change.
            let known = changed.as_deref().unwrap_or(account).revision;
            if budget.revision > known {
                changed = self.account_cache.refresh(&account.id).await?;
                if changed.is_none() {
                    let retry_at = self.clock.now() + CONTENDED_WAIT;
                    return Err(Denial { reason: DenialReason::Disconnected, retry_at }.into());
                }
            }
            let account = changed.as_deref().unwrap_or(account);
            // What has been read meanwhile took time, in which the whole app may have been held.
            let (app_role, returned_at) = match probe {
                Some(_) => (Role::Probe, None),
                None => self.app_gate(request).await?,
            };
            let units = if app_role == Role::Normal { units } else { NonZeroU32::MIN };
            budget = budget.after_app_hold(&account.rules, &account.id, returned_at);
            // Both clocks are read before the write: the grant's life includes it.
            let now = self.clock.now();
            let usable_until = self.clock.monotonic() + GRANT_LIFE - CONNECT_TIMEOUT;
            let free = free_tasks(&budget, request.tasks, now);
            let decision = self.decide_now(account, request, &budget, (&free, units), now, id);
            match decision {
                Decision::Denied(denial) => {
                    // A send on hold for its campaign is parked until the hold's end, of which
                    // nobody else tells release: somebody may have ended it by hand.
                    let is_held = denial.reason == DenialReason::CampaignHold && seen_at < began_at;
                    if is_held || now.since(seen_at) > BUDGET_FRESH {
                        (budget, seen_at) = (self.budgets.load(&account.id).await?, now);
                        continue;
                    }
                    self.meter.headroom(&budget, &account.rules, request.action, now);
                    self.remember(&account.id, budget, seen_at);
                    return Err(denial.into());
                }
                // The account lets it go: only now it becomes the app's probe.
                Decision::Granted(..) if app_role == Role::Probe && probe.is_none() => {
                    let named = request.probe(free.first());
                    *probe = self.app.start_probe(&named).await?.then_some(named);
                }
                Decision::Granted(grant, mut next, denial) => {
                    let granted = choose(account, request, &grant, free, &mut next);
                    let saved = self.write(account, request, &grant, &mut next).await;
                    match saved? {
                        // The clock may have jumped since the last answer: this one tells. What
                        // was taken stays taken, which errs on the safe side.
                        Saved::Done if !self.check.is_trusted() => {
                            let retry_at = now + CLOCK_WAIT;
                            return Err(Denial { reason: DenialReason::Clock, retry_at }.into());
                        }
                        Saved::Done => {
                            self.meter.headroom(&next, &account.rules, request.action, now);
                            let version = next.version;
                            self.remember(&account.id, *next, now);
                            return Ok(Decided {
                                grant,
                                version,
                                changed,
                                granted,
                                app_role,
                                of_app: Taken::new(),
                                usable_until,
                                denial,
                            });
                        }
                        Saved::Conflict(current) => {
                            self.shared.put(account.id.clone(), (), 0, Duration::MAX);
                            (budget, seen_at) = (current, now);
                        }
                    }
                }
            }
        }
        self.seen.forget(&account.id);
        let retry_at = self.clock.now() + CONTENDED_WAIT;
        Err(Denial { reason: DenialReason::Contention, retry_at }.into())
    }

    /// Decides on a budget, for those of the tasks that are free.
    fn decide_now(
        &self,
        account: &Account,
        request: &Request<'_>,
        budget: &Budget,
        (free, units): (&[usize], NonZeroU32),
        now: Timestamp,
        id: GrantId,
    ) -> Decision {
        let Ok(units) = units_for(request, free, units) else {
            return Decision::Denied(all_held(budget, request.tasks, now));
        };
        let is_public = request.lane == Some(Lane::Public);
        if is_public && budget.holds.gate(now.max(budget.decided_at)) == Gate::Probe {
            let retry_at = now + PROBED_WITHIN;
            return Decision::Denied(Denial { reason: DenialReason::Pace, retry_at });
        }
        let want = BudgetRequest {
            action: request.action,
            lane: request.lane,
            units,
            least: request.least,
            first: free.first().map(|&index| &request.tasks[index].send),
            lease_until: request.lease_until,
            beside: request.beside,
            reads: request.tasks.iter().any(|task| task.content.step == CampaignStep::Gate),
            counted_at: request.counted_at,
            usage: self.reported.get(&account.id),
        };
        budget.decide(&account.rules, &want, now, id)
    }

    /// Writes the budget of a grant, with the answers that this process has counted since its last
    /// write. They stay counted here if it fails.
    async fn write(
        &self,
        account: &Account,
        request: &Request<'_>,
        grant: &Grant,
        next: &mut Budget,
    ) -> Result<Saved<Budget>, StoreError> {
        next.revision = next.revision.max(account.revision);
        let counted = self.answers.take(&account.id).unwrap_or_default();
        next.answers = next.answers.and(counted, grant.at);
        let saved = self.save(account, request, grant, next).await;
        if !matches!(saved, Ok(Saved::Done)) {
            self.add_answers(&account.id, counted);
        }
        saved
    }

    /// Writes the budget of a grant. If the grant moves a person's unit, one transaction writes
    /// both.
    async fn save(
        &self,
        account: &Account,
        request: &Request<'_>,
        grant: &Grant,
        next: &Budget,
    ) -> Result<Saved<Budget>, StoreError> {
        let person = request.tasks.first().and_then(|task| task.recipient.as_ref());
        match (grant.recipients, person, request.counted_at) {
            (Recipients::Moved, Some(person), Some(from)) => {
                let moved = Moved { person, from, to: grant.at };
                self.budgets.save_moved(&account.id, next, &moved).await
            }
            _ => self.budgets.save(&account.id, next).await,
        }
    }

    /// Notes that a person was written to under `grant`, where it matters.
    pub(crate) async fn note_written(
        &self,
        account: &Account,
        grant: &Grant,
        person: Option<&RecipientId>,
    ) {
        let Some(person) = person.filter(|_| account.rules.knows_people()) else { return };
        if grant.recipients == Recipients::Moved {
            return;
        }
        if let Err(error) = self.budgets.note_counted(&account.id, person, grant.at).await {
            warn!(account = %account.id, %error, "a person counts as new the next time");
        }
    }

    /// Gives units back. Tried once: a lost refund errs on the safe side.
    pub(crate) async fn refund(
        &self,
        account: &Account,
        grant: &Grant,
        of_app: &Taken,
        units: u32,
    ) {
        self.app.give_back(of_app, grant.units.saturating_sub(units));
        let now = self.clock.now();
        let result = async {
            let (budget, _) = self.budget(&account.id, Read::Consistent).await?;
            let next = budget.refund(&account.rules, grant, units, self.ids.next());
            match self.budgets.save(&account.id, &next).await? {
                Saved::Done => self.remember(&account.id, next, now),
                Saved::Conflict(current) => self.remember(&account.id, current, now),
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = result.await {
            self.seen.forget(&account.id);
            warn!(account = %account.id, units, %error, "units not given back");
        }
    }
}

/// Chooses what each of the granted tasks is sent.
fn choose(
    account: &Account,
    request: &Request<'_>,
    grant: &Grant,
    free: Vec<usize>,
    next: &mut Budget,
) -> Vec<(usize, usize)> {
    let chosen = |index: usize| {
        let task = request.tasks[index];
        (index, (request.choose)(account, task, &mut next.rotation))
    };
    free.into_iter().take(grant.units as usize).map(chosen).collect()
}

/// The tasks that no hold of their own stops; as a probe, those first that are the fittest for
/// it.
fn free_tasks(budget: &Budget, tasks: &[&SendTask], now: Timestamp) -> Vec<usize> {
    let now = now.max(budget.decided_at);
    let mut free: Vec<usize> =
        (0..tasks.len()).filter(|&index| own_hold(budget, tasks[index], now).is_none()).collect();
    if budget.holds.gate(now) != Gate::Open {
        free.sort_by_key(|&index| budget.holds.refusals.suspicion(&party(tasks[index])));
    }
    free
}

fn party(task: &SendTask) -> Party {
    Party::new(&task.send.key, task.recipient.as_ref(), &task.content.campaign, None)
}

/// How many units to ask for; nothing where every person or campaign is on hold.
fn units_for(request: &Request<'_>, free: &[usize], units: NonZeroU32) -> Result<NonZeroU32, ()> {
    if request.tasks.is_empty() {
        return Ok(units);
    }
    let free = u32::try_from(free.len()).unwrap_or(u32::MAX);
    NonZeroU32::new(free).map(|free| free.min(units)).ok_or(())
}

/// The denial where every person or campaign is on hold.
fn all_held(budget: &Budget, tasks: &[&SendTask], now: Timestamp) -> Denial {
    let now = now.max(budget.decided_at);
    let held = tasks.iter().filter_map(|task| own_hold(budget, task, now));
    let soonest = held.min_by_key(|denial| denial.retry_at);
    let retry_at = now + CONTENDED_WAIT;
    soonest.unwrap_or(Denial { reason: DenialReason::RecipientHold, retry_at })
}
