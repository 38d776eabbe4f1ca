//! The limiter: an account's stored budget, as one process decides on it.
//!
//! Each decision is one write on the budget's version. A warm process starts from the budget it has
//! seen last, and reads first only where another process has decided meanwhile: a write that fails
//! costs five times what a read does. It remembers denials, so that denied traffic writes nothing.
//!
//! After a lost race the process reads first, until it finds that nobody else has written. In a
//! fleet this is nearly always so.
//!
//! A unit of a recipients quota is moved to the latest message only where a profile lets an
//! account send more messages than it may write to people. There a message costs one more read
//! and write, a second message to the same person is one transaction, and the messages of a
//! batch are decided one by one.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use spillway_core::answers::Tally;
use spillway_core::budget::{
    Budget, BudgetRequest, Decision, Denial, DenialReason, Grant, GrantId, Recipients, Role,
};
use spillway_core::feedback::{Feedback, Usage as Reported};
use spillway_core::hold::{Gate, HoldCause, NewToken, Probe};
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::quota::{Action, GRANT_LIFE};
use spillway_core::refusal::{Evidence, Finding, Party};
use spillway_core::rotation::Rotation;
use spillway_core::send::{Class, Lane};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{CONNECT_TIMEOUT, CallError};
use spillway_meta::usage::Usage;
use tracing::{error, warn};

use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::app::{App, AppGate, Taken};
use crate::clock::{Clock, ClockCheck};
use crate::grant::GrantIds;
use crate::metrics::{Meter, Metric, name_of};
use crate::port::{Budgets, Journal, Moved, Read, Saved, StoreError};
use crate::send_task::SendTask;
use crate::ttl_cache::TtlCache;
use crate::versioned::{BudgetOf, Measured, measure_and_replace};

/// A budget seen this long ago still decides; a denial from an older one is checked against the
/// stored budget first, since a hold may have been lifted.
const BUDGET_FRESH: Duration = Duration::from_secs(30);

/// About the heap that a budget takes: ten windows of up to 150 buckets.
const BUDGET_BYTES: usize = 4 << 10;

/// Races for the budget that one decision may lose before it waits.
const BUDGET_TRIES: usize = 6;

/// Races that a write which must not be lost, a hold or its end, may lose.
const HOLD_TRIES: usize = 50;

/// The wait after losing every race for the budget.
pub(crate) const CONTENDED_WAIT: Duration = Duration::from_secs(2);

/// The wait of a message that a process with a wrong clock met.
const CLOCK_WAIT: Duration = Duration::from_secs(30);

/// Decides on budgets.
pub struct Limiter {
    account_cache: Arc<AccountCache>,
    budgets: Arc<dyn Budgets>,
    app: App,
    ids: Arc<GrantIds>,
    clock: Arc<dyn Clock>,
    check: Arc<ClockCheck>,
    meter: Arc<Meter>,
    /// Where holds are written down for people to read.
    journal: Option<Arc<dyn Journal>>,
    /// The budget last seen, and when.
    seen: TtlCache<AccountId, (Budget, Timestamp)>,
    /// Accounts whose budget others were found to write between two decisions of this process.
    shared: TtlCache<AccountId, ()>,
    denials: TtlCache<(AccountId, Option<Lane>, Action), Denial>,
    /// Usage that Meta reported and that is not in the budget yet: it goes with the next decision.
    reported: TtlCache<AccountId, Reported>,
    /// Calls that are not counted in the budget yet: they go with its next change.
    answers: TtlCache<AccountId, Tally>,
}

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
}

impl Request<'_> {
    /// Calls that are no sends.
    fn call(action: Action, units: NonZeroU32, lease_until: Timestamp) -> Self {
        let (lane, tasks, counted_at, least) = (None, &[], None, units);
        let choose = &|_: &Account, _: &SendTask, _: &mut Rotation| 0;
        Self { action, lane, units, least, tasks, lease_until, choose, counted_at, is_told: true }
    }

    /// The call as the app's probe.
    fn probe(&self, first: Option<&usize>) -> Probe {
        let send = first.map(|&index| self.tasks[index].send.clone());
        Probe { send, lease_until: self.lease_until }
    }
}

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
    version: u64,
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
    /// A limiter over `budgets` and `app` that has seen nothing yet.
    pub fn new(
        account_cache: Arc<AccountCache>,
        budgets: Arc<dyn Budgets>,
        app: App,
        ids: Arc<GrantIds>,
        clock: Arc<dyn Clock>,
        check: Arc<ClockCheck>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            account_cache,
            budgets,
            app,
            ids,
            journal: None,
            seen: TtlCache::new(&clock),
            shared: TtlCache::new(&clock),
            denials: TtlCache::new(&clock),
            reported: TtlCache::new(&clock),
            answers: TtlCache::new(&clock),
            clock,
            check,
            meter,
        }
    }

    /// Writes the beginnings and ends of holds into `journal` too.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.app.set_journal(journal.clone());
        Self { journal: Some(journal), ..self }
    }

    /// Takes units for as many of the tasks, all of one class, as fit, in one write.
    ///
    /// # Errors
    /// When the store does not answer.
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
            ([_], Some(person)) if account.rules.knows_people() => {
                self.budgets.counted_at(&account.id, person).await?
            }
            _ => None,
        };
        let lane = Some(lane);
        let (least, is_told) = (NonZeroU32::MIN, true);
        let request =
            Request { action, lane, units, least, tasks, lease_until, choose, counted_at, is_told };
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
    /// When the store does not answer.
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

    /// Takes the unit of one call that is no send.
    ///
    /// # Errors
    /// When the budget has no room, or the store does not answer.
    pub async fn reserve_call(
        &self,
        account: &Account,
        action: Action,
        lease_until: Timestamp,
    ) -> Result<Reservation, NoGrant> {
        let units = NonZeroU32::MIN;
        let request = Request::call(action, units, lease_until);
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
        if let Some(denial) = self.denials.get(&key) {
            return Err(denial.into());
        }
        let most = match self.app_gate(request).await? {
            (Role::Normal, _) => request.units.get(),
            (Role::Probe, _) => 1,
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
        match self.app.gate().await? {
            AppGate::Open(returned_at) => Ok((Role::Normal, returned_at)),
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
        let mut changed: Option<Arc<Account>> = None;
        for _ in 0..BUDGET_TRIES {
            if budget.revision > account.revision && changed.is_none() {
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
            let units = if app_role == Role::Probe { NonZeroU32::MIN } else { units };
            budget = budget.after_app_hold(&account.rules, &account.id, returned_at);
            // Both clocks are read before the write: the grant's life includes it.
            let now = self.clock.now();
            let usable_until = self.clock.monotonic() + GRANT_LIFE - CONNECT_TIMEOUT;
            let free = free_tasks(&budget, request.tasks, now);
            let decision = match units_for(request, &free, units) {
                Ok(units) => {
                    let want = BudgetRequest {
                        action: request.action,
                        lane: request.lane,
                        units,
                        least: request.least,
                        first: free.first().map(|&index| &request.tasks[index].send),
                        lease_until: request.lease_until,
                        counted_at: request.counted_at,
                        usage: self.reported.get(&account.id),
                    };
                    budget.decide(&account.rules, &want, now, id)
                }
                Err(()) => Decision::Denied(all_held(&budget, request.tasks, now)),
            };
            match decision {
                Decision::Denied(denial) => {
                    if now.since(seen_at) > BUDGET_FRESH {
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
                    let granted = free
                        .into_iter()
                        .take(grant.units as usize)
                        .map(|index| {
                            let task = request.tasks[index];
                            (index, (request.choose)(account, task, &mut next.rotation))
                        })
                        .collect();
                    next.revision = next.revision.max(account.revision);
                    let counted = self.answers.take(&account.id).unwrap_or_default();
                    next.answers = next.answers.and(counted, grant.at);
                    let saved = self.save(account, request, &grant, &next).await;
                    if !matches!(saved, Ok(Saved::Done)) {
                        self.add_answers(&account.id, counted);
                    }
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

    /// Writes the budget of a grant; of one to somebody whose unit moves, with where it lies.
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

    /// Puts the account on hold and says until when. This process stops at once, all others with
    /// the write.
    pub async fn hold(
        &self,
        account: &Account,
        cause: HoldCause,
        regain: Option<Duration>,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        let stop = Denial { reason: DenialReason::Hold(cause), retry_at: now + BUDGET_FRESH };
        for key in keys(&account.id) {
            self.remember_denial(key, &stop, now);
        }
        let held = self
            .change(&account.id, |budget, id| {
                Some(budget.hold(&account.rules, cause, now, regain, id))
            })
            .await;
        match held {
            Ok((before, budget)) => Some(self.held(account, cause, &before, &budget, now).await),
            Err(error) => {
                error!(account = %account.id, %error, "could not record the hold");
                None
            }
        }
    }

    /// Tells of a hold that was written, and gives its end.
    async fn held(
        &self,
        account: &Account,
        cause: HoldCause,
        before: &Budget,
        budget: &Budget,
        now: Timestamp,
    ) -> Timestamp {
        let Feedback { lowered, .. } = budget.feedback;
        let until = budget.holds.current.as_ref().map_or(now, |hold| hold.until);
        if before.holds.last_strike != budget.holds.last_strike {
            self.meter.held(cause, budget.holds.strikes);
        }
        // Calls in flight meet the limit too; it is one hold.
        if before.holds.is_open(now.max(before.decided_at)) {
            self.meter.count_by(Metric::Held, format!("Account{}", name_of(&cause)));
            self.note(&account.id, Event::HoldSet { cause, until }).await;
            if let Some(lowered) = lowered.filter(|_| lowered != before.feedback.lowered) {
                let met = Event::LimitMet { percent: lowered.percent };
                self.note(&account.id, met).await;
            }
        }
        warn!(account = %account.id, ?cause, strikes = budget.holds.strikes, hold_s = until.since(now).as_secs(), limit_percent = lowered.map(|lowered| lowered.percent), "on hold");
        until
    }

    /// Takes in that Meta has refused the send of `party`, and gives what that is about, with the
    /// end of the account's hold where it is on one now. Where it cannot be recorded, evidence that
    /// is clear counts.
    pub(crate) async fn refused(
        &self,
        account: &Account,
        party: Party,
        evidence: Evidence,
        regain: Option<Duration>,
    ) -> (Finding, Option<Timestamp>) {
        let now = self.clock.now();
        let stop = |cause| {
            let stop = Denial { reason: DenialReason::Hold(cause), retry_at: now + BUDGET_FRESH };
            for key in keys(&account.id) {
                self.remember_denial(key, &stop, now);
            }
        };
        // This process stops at once, all others with the write.
        if let Evidence::Clear(cause) = evidence {
            stop(cause);
        }
        let refused = self
            .change(&account.id, |budget, id| {
                Some(budget.refused(&account.rules, evidence, party, now, regain, id))
            })
            .await;
        let (before, after) = match refused {
            Ok(changed) => changed,
            Err(error) => {
                error!(account = %account.id, %error, "could not record the refusal");
                let finding = match evidence {
                    Evidence::Clear(cause) => Finding::Account(cause),
                    Evidence::Campaign => Finding::Campaign,
                    Evidence::Doubt(_) => Finding::Open,
                };
                return (finding, None);
            }
        };
        self.tell_of_campaigns(account, &before, &after, now).await;
        let at = now.max(before.decided_at);
        let finding = before.holds.refusals.finding(evidence, &party, regain, at);
        match finding {
            Finding::Account(cause) => {
                stop(cause);
                (finding, Some(self.held(account, cause, &before, &after, now).await))
            }
            Finding::Campaign | Finding::Send | Finding::Open => {
                if let Evidence::Clear(_) = evidence {
                    for key in keys(&account.id) {
                        self.denials.forget(&key);
                    }
                }
                warn!(account = %account.id, ?evidence, ?finding, "the account goes on");
                (finding, None)
            }
        }
    }

    /// Takes in that the send of `party` went through.
    pub(crate) async fn passed(
        &self,
        account: &Account,
        party: &Party,
        role: Role,
        app_role: Role,
    ) {
        if app_role == Role::Probe {
            self.app.lift().await;
        }
        let now = self.clock.now();
        // What the decision was made by: others' refusals since then are not refuted by it.
        let is_news = |(budget, _): (Budget, Timestamp)| budget.holds.refusals.is_news(party);
        if role != Role::Probe && !self.seen.get(&account.id).is_some_and(is_news) {
            return;
        }
        if role == Role::Probe {
            for key in keys(&account.id) {
                self.denials.forget(&key);
            }
        }
        let passed =
            self.change(&account.id, |budget, id| budget.passed(party, role, now, id)).await;
        match passed {
            Ok((before, after)) => {
                if before.holds.current.is_some() && after.holds.current.is_none() {
                    warn!(account = %account.id, "hold ended: the probe went through");
                    self.note(&account.id, Event::HoldEnded).await;
                }
                self.tell_of_campaigns(account, &before, &after, now).await;
            }
            Err(error) => error!(account = %account.id, %error, "could not end the hold"),
        }
    }

    /// Tells of holds of campaigns that began with a change of the budget.
    async fn tell_of_campaigns(
        &self,
        account: &Account,
        before: &Budget,
        after: &Budget,
        now: Timestamp,
    ) {
        for campaign in account.campaigns.iter() {
            let held_until = |budget: &Budget| {
                let at = now.max(budget.decided_at);
                budget.holds.refusals.campaign_held_until(&campaign.id, at)
            };
            let Some(until) = held_until(after).filter(|_| held_until(before).is_none()) else {
                continue;
            };
            warn!(account = %account.id, campaign = %campaign.id, hold_s = until.since(now).as_secs(), "the campaign is on hold");
            self.meter.count_by(Metric::Held, "Campaign");
            self.meter.count(Metric::StoppedAccounts, 1);
            let what = Event::CampaignHeld { campaign: campaign.id.clone(), until };
            self.note(&account.id, what).await;
        }
    }

    /// Stops the account by hand until `until`, and gives its budget before and after: once this
    /// returns nothing more is granted. A call that was granted within the [`GRANT_LIFE`] before
    /// may still be made.
    ///
    /// # Errors
    /// When the store does not answer, or this machine's clock is off.
    pub async fn stop(
        &self,
        account: &AccountId,
        until: Timestamp,
        reason: Option<&str>,
    ) -> Result<(Budget, Budget), StoreError> {
        let stopped =
            self.by_hand(account, |budget, now, id| budget.stop(until, reason, now, id)).await?;
        self.note(account, Event::HoldSet { cause: HoldCause::Operator, until }).await;
        Ok(stopped)
    }

    /// Ends a stop by hand and lets one call look into any other hold, and gives the budget before
    /// and after.
    ///
    /// # Errors
    /// When the store does not answer, or this machine's clock is off.
    pub async fn resume(&self, account: &AccountId) -> Result<(Budget, Budget), StoreError> {
        for key in keys(account) {
            self.denials.forget(&key);
        }
        let resumed = self.by_hand(account, |budget, now, id| budget.resume(now, id)).await?;
        self.note(account, Event::HoldEnded).await;
        Ok(resumed)
    }

    /// Has the next call find out whether a hold of the whole app is over; says whether there was
    /// one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resume_app(&self) -> Result<bool, StoreError> {
        let (before, after) = self.app.resume().await?;
        Ok(before != after)
    }

    /// Ends a stop by hand alone: another hold stays as it is.
    ///
    /// # Errors
    /// When the store does not answer, or this machine's clock is off.
    pub async fn resume_stop(&self, account: &AccountId) -> Result<(), StoreError> {
        self.by_hand(account, |budget, _, id| budget.without_stop(id)).await.map(|_| ())
    }

    /// The account has been given a new token: a hold of its dead one ends, or one call finds out
    /// at once whether it is over.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn renew_token(
        &self,
        account: &AccountId,
        token: NewToken,
    ) -> Result<(), StoreError> {
        for key in keys(account) {
            self.denials.forget(&key);
        }
        let (before, after) =
            self.change(account, |budget, id| budget.with_token(token, id)).await?;
        if before.holds.current.is_some() && after.holds.current.is_none() {
            self.note(account, Event::HoldEnded).await;
        }
        Ok(())
    }

    /// Keeps the probe of the account's hold for upkeep, which sends that wait would else always
    /// take.
    pub(crate) async fn ask_for_turn(&self, account: &Account) -> Result<(), StoreError> {
        self.change(&account.id, Budget::with_turn_of_upkeep).await.map(|_| ())
    }

    /// The hold that this process has learned of since it made the reservation, from another call
    /// or decision of its own: of the app, of the account, or of the person or campaign of the
    /// send. The call waits.
    pub fn known_hold(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        task: Option<&SendTask>,
    ) -> Option<Denial> {
        let Reservation { grant, version, app_role, .. } = reservation;
        let of_app = self.app.known_hold(*app_role);
        if of_app.is_some() {
            return of_app;
        }
        let key = (account.clone(), task.map(|task| task.class.lane), grant.action);
        let stop = self.denials.get(&key);
        if let Some(denial) = stop.filter(|denial| matches!(denial.reason, DenialReason::Hold(_)))
            && grant.role == Role::Normal
        {
            return Some(denial);
        }
        let (budget, _) = self.seen.get(account)?;
        if budget.version <= *version {
            return None;
        }
        let now = self.clock.now().max(budget.decided_at);
        let is_its_probe = grant.role == Role::Probe
            && budget.holds.stopped_until(now).is_none()
            && (budget.holds.is_probed() || budget.holds.current.is_none());
        match budget.holds.gate(now) {
            Gate::Closed(cause, retry_at) if !is_its_probe => {
                Some(Denial { reason: DenialReason::Hold(cause), retry_at })
            }
            _ => own_hold(&budget, task?, now),
        }
    }

    async fn by_hand(
        &self,
        account: &AccountId,
        change: impl Fn(&Budget, Timestamp, GrantId) -> Budget + Send + Sync,
    ) -> Result<(Budget, Budget), StoreError> {
        // The answer tells whether the clock is right: decisions never go back behind this one.
        self.budgets.load(account).await?;
        if !self.check.is_trusted() {
            let detail = "this machine's clock is off by more than a second: set it";
            return Err(StoreError::unavailable("change the budget", detail));
        }
        let now = self.clock.now();
        self.change(account, |budget, id| Some(change(budget, now, id))).await
    }

    /// Puts every account of the app on hold.
    pub async fn hold_app(&self, cause: HoldCause, regain: Option<Duration>) -> Option<Timestamp> {
        self.app.hold(cause, regain).await
    }

    /// Sends nothing to `recipient` for a while, and says until when.
    pub async fn hold_recipient(
        &self,
        account: &Account,
        recipient: &RecipientId,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        let change = |budget: &Budget, id| Some(budget.hold_recipient(recipient, now, id));
        match self.change(&account.id, change).await {
            Ok((_, budget)) => {
                self.meter.count_by(Metric::Held, "RecipientThrottled");
                budget.holds.recipient_held_until(recipient, now)
            }
            Err(error) => {
                warn!(account = %account.id, %error, "could not record the hold of a recipient");
                None
            }
        }
    }

    /// Ends the holds that a probe was for.
    pub(crate) async fn lift(&self, account: &Account, role: Role, app_role: Role) {
        if app_role == Role::Probe {
            self.app.lift().await;
        }
        if role != Role::Probe {
            return;
        }
        for key in keys(&account.id) {
            self.denials.forget(&key);
        }
        let now = self.clock.now();
        let lifted = self
            .change(&account.id, |budget, id| {
                budget.holds.is_probed().then(|| budget.lift(now, id))
            })
            .await;
        match lifted {
            Ok((before, after)) => {
                warn!(account = %account.id, "hold ended: the probe went through");
                if before.holds.current.is_some() && after.holds.current.is_none() {
                    self.note(&account.id, Event::HoldEnded).await;
                }
            }
            Err(error) => error!(account = %account.id, %error, "could not end the hold"),
        }
    }

    /// Counts a call of the account, and how it failed if it did.
    pub(crate) fn count_call(&self, account: &AccountId, failed: Option<&CallError>) {
        let is_server_error = match failed {
            Some(CallError::NotWritten | CallError::InvalidId | CallError::InvalidToken) => return,
            Some(CallError::Refused { error, .. }) => error.status >= 500,
            Some(CallError::Unknown) | None => false,
        };
        self.add_answers(account, Tally { calls: 1, server_errors: is_server_error.into() });
    }

    /// Keeps a tally for the next change of the budget. One that was perhaps written is kept too:
    /// people read it, and rather too many errors than too few.
    fn add_answers(&self, account: &AccountId, more: Tally) {
        if !more.is_empty() {
            let known = self.answers.take(account).unwrap_or_default();
            self.answers.put(account.clone(), known.and(more), 0, Duration::MAX);
        }
    }

    /// Takes in how full Meta says the limits are. Near the limit the account stops, and says until
    /// when; or the whole app does.
    pub(crate) async fn learn(&self, account: &Account, usage: &Usage) -> Option<Timestamp> {
        let now = self.clock.now();
        let stop = account.rules.profile().slow_down.stop_percent;
        let percent = |percent: u16| u8::try_from(percent).unwrap_or(u8::MAX);
        let of_app = usage.app.map(|share| percent(share.get()));
        let of_account = usage.account.map(|share| percent(share.get()));
        if let Some(percent) = of_app.into_iter().chain(of_account).max() {
            let reported = Reported { percent, at: now };
            self.reported.put(account.id.clone(), reported, 0, Feedback::USAGE_BELIEVED);
        }
        if of_app.is_some_and(|percent| percent >= stop) {
            return self.hold_app(HoldCause::NearLimit, usage.regain).await;
        }
        if of_account.is_some_and(|percent| percent >= stop) {
            return self.hold(account, HoldCause::NearLimit, usage.regain).await;
        }
        None
    }

    /// Writes into the account's journal. Nothing is decided on it, so a failure is only logged.
    async fn note(&self, account: &AccountId, what: Event) {
        let Some(journal) = &self.journal else { return };
        let entry = JournalEntry { at: self.clock.now(), account: account.clone(), what };
        if let Err(error) = journal.append(&entry).await {
            warn!(%account, %error, "not written into the journal");
        }
    }

    /// Changes the stored budget, again until it holds; `None` from `change` leaves it. Gives it as
    /// it was and as it is.
    async fn change(
        &self,
        account: &AccountId,
        change: impl Fn(&Budget, GrantId) -> Option<Budget> + Send + Sync,
    ) -> Result<(Budget, Budget), StoreError> {
        let (budget, id) = (self.budgets.load(account).await?, self.ids.next());
        let counted = self.answers.take(account).unwrap_or_default();
        let change = |budget: &Budget| {
            let Some(mut next) = change(budget, id) else { return (None, None) };
            next.answers = next.answers.and(counted, self.clock.now().max(next.decided_at));
            let news = next.answers.tell();
            (news, Some(next))
        };
        let stored = BudgetOf(&*self.budgets, account);
        let changed = measure_and_replace(&stored, budget, HOLD_TRIES, change).await;
        if !matches!(changed, Ok(Some(Measured { after: Some(_), .. }))) {
            self.add_answers(account, counted);
        }
        let Some(Measured { before, after, result: news }) = changed? else {
            let detail = format!("lost {HOLD_TRIES} races");
            return Err(StoreError::unavailable("change the budget", detail));
        };
        let Some(after) = after else { return Ok((before.clone(), before)) };
        self.remember(account, after.clone(), self.clock.now());
        if let Some(Tally { calls, server_errors }) = news {
            warn!(%account, calls, server_errors, "many calls end in a 5xx");
            self.note(account, Event::ServerErrors { calls, server_errors }).await;
        }
        Ok((before, after))
    }

    /// The budget to begin with, and when it stood so: the one seen last, or the stored one where
    /// others write it too. One that lags grants nothing, since its version is an old one; what it
    /// denies is checked, since it may have stood so at any time.
    async fn budget(
        &self,
        account: &AccountId,
        how: Read,
    ) -> Result<(Budget, Timestamp), StoreError> {
        let now = self.clock.now();
        let seen = self.seen.get(account);
        match seen {
            Some(known) if self.shared.get(account).is_none() => Ok(known),
            _ => {
                let stored = self.budgets.read(account, how).await?;
                if seen.is_some_and(|(seen, _)| seen.version == stored.version) {
                    self.shared.forget(account);
                }
                let stood_at = match how {
                    Read::Consistent => now,
                    Read::Eventual => Timestamp::EPOCH,
                };
                Ok((stored, stood_at))
            }
        }
    }

    fn remember(&self, account: &AccountId, budget: Budget, seen_at: Timestamp) {
        self.seen.put(account.clone(), (budget, seen_at), BUDGET_BYTES, Duration::MAX);
    }

    /// Denied traffic costs nothing until the denial ends; for at most a while, because a hold may
    /// be lifted by others.
    fn remember_denial(
        &self,
        key: (AccountId, Option<Lane>, Action),
        denial: &Denial,
        now: Timestamp,
    ) {
        // Of one person's or campaign's hold the others know nothing, and the app's is remembered
        // by itself.
        let is_own =
            matches!(denial.reason, DenialReason::RecipientHold | DenialReason::CampaignHold);
        if !is_own && !matches!(denial.reason, DenialReason::AppHold(_)) {
            let life = denial.retry_at.since(now).min(BUDGET_FRESH);
            self.denials.put(key, denial.clone(), 0, life);
        }
    }
}

/// Everything that an account may be denied under.
fn keys(account: &AccountId) -> impl Iterator<Item = (AccountId, Option<Lane>, Action)> {
    let lanes = Class::ALL.into_iter().map(|Class { lane, action }| (Some(lane), action));
    let others = Action::ALL.into_iter().map(|action| (None, action));
    lanes.chain(others).map(|(lane, action)| (account.clone(), lane, action))
}

/// The hold of a task's own person or campaign.
fn own_hold(budget: &Budget, task: &SendTask, now: Timestamp) -> Option<Denial> {
    let held = |person| budget.holds.recipient_held_until(person, now);
    let of_person = task.recipient.as_ref().and_then(held);
    let denial = |reason| move |retry_at| Denial { reason, retry_at };
    of_person.map(denial(DenialReason::RecipientHold)).or_else(|| {
        let held = budget.holds.refusals.campaign_held_until(&task.content.campaign, now);
        held.map(denial(DenialReason::CampaignHold))
    })
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
