//! The watchdog: an account is subscribed to its webhooks, and they come.

use spillway_core::journal::Event;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{
    ALL_FIELDS, Backfill, HEARD_SLACK, OPTIONAL_FIELDS, Reason, TokenLife, Upkeep, WEBHOOK_FIELDS,
    cost_of_lacking,
};
use tracing::{error, info, warn};

use super::caller::Caller;
use super::{Next, Upkeeper};
use crate::account::Account;
use crate::gateway::read::{IfDead, NoAnswer};
use crate::metrics::Metric;
use crate::port::{MaintenanceRecord, StoreError};

impl Upkeeper {
    /// Looks once an hour whether the account is subscribed to what is needed, and subscribes it
    /// again where it is not; then what was missed is to be read. So it is where somebody else has
    /// subscribed it since, with the token whose life this is.
    ///
    /// What an earlier visit has found is not looked at again: an account that may make one call a
    /// minute would have none left to subscribe with.
    pub(super) async fn keep_subscription(
        &self,
        caller: &Caller<'_>,
        record: &MaintenanceRecord,
        life: TokenLife,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        if !upkeep.must_check(self.clock.now()) {
            return Ok(Next::Check);
        }
        let (id, token) = (&caller.account.id, &caller.token);
        // Webhooks that do not come although Meta says they do are asked for again.
        if upkeep.lost_at.or(upkeep.silent_since).is_none() {
            let found = caller
                .call(IfDead::Hold, async |timeout| {
                    self.graph.subscription(id, token, timeout).await
                })
                .await;
            let (lacks, lacks_optional) = match found {
                Ok(found) => (found.lacks(&WEBHOOK_FIELDS), found.lacks(&OPTIONAL_FIELDS)),
                Err(NoAnswer::Store(error)) => return Err(error),
                Err(no_answer) => return Ok(self.not_looked(caller, &no_answer, upkeep).await),
            };
            let now = self.clock.now();
            if lacks.is_empty() {
                self.is_whole(caller, record, life, now, upkeep).await;
                if !lacks_optional.is_empty() && upkeep.may_ask_for_optional(now) {
                    upkeep.optional_asked_at = Some(now);
                    self.ask_for_optional(caller, &lacks_optional).await;
                }
                return Ok(Next::Check);
            }
            upkeep.lost_at = Some(now);
            warn!(account = %id, ?lacks, "not subscribed");
            self.tell(id, Event::SubscriptionLost { fields: lacks }).await;
            // Written down first: after it is subscribed a visit that is killed leaves no trace of
            // this. An account that was never subscribed misses all since it was connected.
            let missed = upkeep.missed_since(record.last_seen).or(life.obtained_at);
            let missed = [upkeep.unread_since, missed];
            upkeep.unread_since = missed.into_iter().flatten().min();
            self.maintenance.note(id, upkeep).await?;
        }
        let now = self.clock.now();
        match self.subscribe(caller, &WEBHOOK_FIELDS).await {
            Ok(()) => {}
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(no_answer) => {
                error!(account = %id, reason = no_answer.reason(), "not subscribed again; it is tried again");
                return Ok(self.not_looked(caller, &no_answer, upkeep).await);
            }
        }
        self.is_whole(caller, record, life, now, upkeep).await;
        // Meta may have put these fields in the place of all that there were.
        upkeep.optional_asked_at = Some(now);
        self.ask_for_optional(caller, &OPTIONAL_FIELDS.map(str::to_owned)).await;
        Ok(Next::Check)
    }

    /// Asks for the fields that help and that the account lacks, with those that it has. If Meta
    /// refuses them together, each is asked for alone: one that the app lacks must not cost the
    /// others. Whether it worked, the next look tells; a refusal leaves the subscription as it is.
    async fn ask_for_optional(&self, caller: &Caller<'_>, lacking: &[String]) {
        let id = &caller.account.id;
        let is_lacking = |field: &&str| lacking.iter().any(|lacking| lacking == field);
        let refused = match self.subscribe(caller, &ALL_FIELDS).await {
            Ok(()) => {
                return info!(account = %id, fields = ?lacking, "subscribed to optional fields");
            }
            Err(no_answer) => no_answer,
        };
        warn!(account = %id, fields = ?lacking, reason = refused.reason(), "optional fields are refused");
        if !refused.is_refusal() || lacking.len() < 2 {
            return;
        }
        let has = |field: &&str| !is_lacking(field);
        let mut fields: Vec<&str> = ALL_FIELDS.into_iter().filter(has).collect();
        for field in OPTIONAL_FIELDS.into_iter().filter(is_lacking) {
            fields.push(field);
            match self.subscribe(caller, &fields).await {
                Ok(()) => info!(account = %id, field, "subscribed to an optional field"),
                Err(no_answer) => {
                    fields.pop();
                    let cost = cost_of_lacking(field);
                    warn!(account = %id, field, cost, reason = no_answer.reason(), "an optional field is refused");
                    if !no_answer.is_refusal() {
                        return;
                    }
                }
            }
        }
    }

    async fn subscribe(&self, caller: &Caller<'_>, fields: &[&str]) -> Result<(), NoAnswer> {
        let (id, token) = (&caller.account.id, &caller.token);
        caller
            .call(IfDead::Hold, async |timeout| {
                self.graph.subscribe(id, token, fields, timeout).await
            })
            .await
    }

    /// The account is subscribed, by this visit or by another that could not say so: what was
    /// missed is to be read.
    async fn is_whole(
        &self,
        caller: &Caller<'_>,
        record: &MaintenanceRecord,
        life: TokenLife,
        now: Timestamp,
        upkeep: &mut Upkeep,
    ) {
        let id = &caller.account.id;
        if upkeep.lost_at.take().is_some() {
            info!(account = %id, "subscribed again");
            self.meter.count(Metric::Resubscribed, 1);
            self.tell(id, Event::Resubscribed).await;
        }
        let since_heard = upkeep.missed_before(life, record.last_seen);
        let missed = [upkeep.unread_since.take(), since_heard];
        if let Some(since) = missed.into_iter().flatten().min() {
            look_back(Reason::Resubscribed, since, now, upkeep);
        }
        (upkeep.checked_at, upkeep.whole_at) = (Some(now), Some(now));
    }

    async fn not_looked(
        &self,
        caller: &Caller<'_>,
        no_answer: &NoAnswer,
        upkeep: &mut Upkeep,
    ) -> Next {
        if no_answer.is_token_dead() && upkeep.dead_since.is_none() {
            upkeep.dead_since = Some(self.clock.now());
            self.tell(&caller.account.id, Event::TokenDead).await;
        }
        if no_answer.is_refusal() {
            // An answer all the same: the next one is not asked for before an hour has passed.
            upkeep.checked_at = Some(self.clock.now());
            return Next::Check;
        }
        Next::Soon
    }

    /// Notices that webhooks come again, or have not come for long enough that comments should be
    /// read. Where none has ever come, they are missed since the account was connected, as far as
    /// the life of its token tells.
    pub(super) async fn listen(
        &self,
        account: &Account,
        record: &MaintenanceRecord,
        life: TokenLife,
        upkeep: &mut Upkeep,
    ) {
        let id = &account.id;
        let now = self.clock.now();
        if let Some(silent) = upkeep.silent_since.take_if(|since| record.last_seen > Some(*since)) {
            // Nobody has told of what was written between the last look and the first webhook.
            look_back(Reason::Silent, upkeep.missed_in_silence(silent), now, upkeep);
            info!(account = %id, "webhooks come again");
            self.tell(id, Event::HeardAgain).await;
        }
        if upkeep.silent_since.or(upkeep.lost_at).is_some() {
            self.meter.count(Metric::SilentAccounts, 1);
        }
        upkeep.forget_unfinished(now);
        let heard = record.last_seen.or(life.obtained_at.map(|at| at + HEARD_SLACK));
        if let Some(backfill) = upkeep.look(heard, now) {
            upkeep.backfill = Some(backfill);
        }
    }

    /// Comments were read that no webhook has told of.
    pub(super) async fn went_silent(
        &self,
        account: &Account,
        record: &MaintenanceRecord,
        upkeep: &mut Upkeep,
    ) {
        let id = &account.id;
        upkeep.silent_since = Some(self.clock.now());
        // Subscribing again is what may mend it: at the next visit.
        upkeep.checked_at = None;
        self.meter.count(Metric::SilentAccounts, 1);
        error!(account = %id, "webhooks have stopped: comments are read instead; look at the app's webhooks in Meta's App Dashboard");
        self.tell(id, Event::Silent { last_seen: record.last_seen }).await;
    }
}

/// Comments made since then may have been missed: they are to be read, with what is being read
/// already.
fn look_back(reason: Reason, since: Timestamp, now: Timestamp, upkeep: &mut Upkeep) {
    let since = upkeep.backfill.take().map_or(since, |known| known.since.min(since));
    upkeep.backfill = Some(Backfill::new(reason, since, now));
}
