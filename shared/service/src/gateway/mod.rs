//! The gateway: the only code that calls Meta in an account's name.
//!
//! Each call runs the same way for every caller. A unit is taken from the account's budget. Right
//! before the call its grant must still be alive, and no hold may have become known. After the
//! call Meta's date is compared with this process's clock, and the answer is taken in: it
//! lengthens or ends a hold, teaches how full the limits are, or gives the unit back.
//!
//! | module | |
//! |---|---|
//! | this one | calls of a reservation: sends |
//! | [`read`] | calls that are no sends, each with a unit of its own |
//! | `consequence` | the table: what follows from each of Meta's verdicts |

pub(crate) mod consequence;
pub mod read;

use std::sync::Arc;
use std::time::Duration;

use spillway_core::budget::{Denial, Role};
use spillway_core::hold::HoldCause;
use spillway_core::id::RecipientId;
use spillway_core::refusal::{Doubt, Evidence, Finding, Party};
use spillway_core::send::{FailReason, PendingSend};
use spillway_core::time::Timestamp;
use spillway_meta::error::Verdict;
use spillway_meta::graph::{Answered, CallError};
use spillway_meta::usage::Usage;
use tracing::error;

use self::consequence::{Consequence, Own, SPACED};
use crate::account::Account;
use crate::clock::{Clock, ClockCheck, Server};
use crate::limiter::{Limiter, Reservation};
use crate::metrics::{Meter, Metric};
use crate::port::Backlogs;
use crate::send_task::SendTask;

/// Makes calls to Meta within the budgets of accounts.
pub struct Gateway {
    /// Takes units from budgets, and writes holds into them.
    pub limiter: Limiter,
    /// Woken when a hold ends: release then gives slots again.
    pub backlogs: Arc<dyn Backlogs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Compares `clock` with the dates in Meta's answers.
    pub check: Arc<ClockCheck>,
    /// Records calls, their latency and their failures.
    pub meter: Arc<Meter>,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It was not made: a hold has become known since the grant.
    Held(Denial),
    /// It was not made: its grant has ended.
    TooLate,
    /// It was made, or tried, and failed.
    Failed(CallError),
}

/// What a failed call means for its send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// No request was written: the unit is unused.
    Untried,
    /// The app, the account or the campaign is on hold: the send waits, at no attempt.
    Held,
    /// Nothing goes to its person for this long: the send waits, at no attempt.
    PersonHeld(Duration),
    /// It was refused alone, for the first or second time: it waits this long.
    Spaced(Duration),
    /// Only the send is concerned.
    Own(Own),
}

/// A [`Ruling`], with the end of the hold that it has led to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruled {
    pub(crate) ruling: Ruling,
    /// No slot before this instant is of use.
    pub(crate) held_until: Option<Timestamp>,
}

/// The wait for a person's hold whose end could not be recorded.
const PERSON_WAIT: Duration = Duration::from_secs(900);

impl Gateway {
    /// Makes one call of a reservation. `task` is the send that it is for.
    pub(crate) async fn call<T>(
        &self,
        account: &Account,
        reservation: &Reservation,
        task: Option<&SendTask>,
        call: impl AsyncFnOnce() -> Result<Answered<T>, CallError>,
    ) -> Result<Answered<T>, NoAnswer> {
        // Another call of this process may have met a limit since this one was granted.
        if let Some(denial) = self.limiter.known_hold(&account.id, reservation, task) {
            return Err(NoAnswer::Held(denial));
        }
        let (before, began) = (self.clock.now(), self.clock.monotonic());
        if began > reservation.usable_until {
            return Err(NoAnswer::TooLate);
        }
        let result = call().await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.meter.see_span(Metric::GraphLatency, took);
        self.limiter.count_call(&account.id, result.as_ref().err());
        let date = match &result {
            Ok(answered) => answered.server_date,
            Err(failed) => {
                self.meter.call_failed(failed);
                failed.server_date()
            }
        };
        if let Some(date) = date {
            self.check.compare_with(Server::Meta, before, date, &*self.clock);
        }
        result.map_err(NoAnswer::Failed)
    }

    /// Takes in that Meta has accepted a send, and returns the end of a hold that its answer has
    /// led to. A public reply that is accepted says nothing of DMs.
    pub(crate) async fn sent(
        &self,
        account: &Account,
        reservation: &Reservation,
        send: &PendingSend,
        usage: &Usage,
    ) -> Option<Timestamp> {
        if send.class.is_public() {
            return self.limiter.learn(account, usage).await;
        }
        let person = send.to.recipient();
        self.limiter.note_written(account, &reservation.grant, person).await;
        self.went_through(account, reservation, Some(send), usage).await
    }

    /// Takes in that the call of a send has failed.
    pub(crate) async fn not_sent(
        &self,
        account: &Account,
        reservation: &Reservation,
        send: &PendingSend,
        failed: &CallError,
    ) -> Ruled {
        let usage = failed.usage();
        let open = |ruling| Ruled { ruling, held_until: None };
        if *failed == CallError::NotWritten {
            return open(Ruling::Untried);
        }
        let consequence = Consequence::of(failed, &account.id, Some(&send.to));
        if send.class.is_public() {
            return self.not_replied(account, send, failed, consequence.of_public_reply()).await;
        }
        match consequence {
            Consequence::HoldApp(cause) => {
                let held_until = self.limiter.hold_app(cause, failed.into()).await;
                Ruled { ruling: Ruling::Held, held_until }
            }
            Consequence::HoldRecipient => {
                let wait = self.hold_person(account, send.to.recipient()).await;
                let held_until = self.went_through(account, reservation, Some(send), &usage).await;
                Ruled { ruling: Ruling::PersonHeld(wait), held_until }
            }
            Consequence::Refused(evidence, own) => {
                self.refused(account, reservation, send, failed, (evidence, own)).await
            }
            Consequence::Own(own) => {
                let mut held_until = None;
                if let Own::End(_) = own {
                    held_until = self.went_through(account, reservation, Some(send), &usage).await;
                }
                Ruled { ruling: self.alone(account, send, own).await, held_until }
            }
        }
    }

    /// Takes in that the call of a public reply has failed. Only what stops all of the account's
    /// calls holds its DMs.
    async fn not_replied(
        &self,
        account: &Account,
        send: &PendingSend,
        failed: &CallError,
        consequence: Consequence,
    ) -> Ruled {
        match consequence {
            Consequence::HoldApp(cause) => {
                let held_until = self.limiter.hold_app(cause, failed.into()).await;
                Ruled { ruling: Ruling::Held, held_until }
            }
            Consequence::Refused(evidence, _) => {
                let party = Party::of(send);
                let (_, held_until) =
                    self.limiter.refused(account, party, evidence, failed.into()).await;
                Ruled { ruling: Ruling::Held, held_until }
            }
            Consequence::HoldRecipient => {
                let own = Own::End(FailReason::Recipient);
                Ruled { ruling: Ruling::Own(own), held_until: None }
            }
            Consequence::Own(own) => {
                let held_until = self.limiter.learn(account, &failed.usage()).await;
                Ruled { ruling: Ruling::Own(own), held_until }
            }
        }
    }

    /// Takes in a refusal that may be about the account or the campaign.
    async fn refused(
        &self,
        account: &Account,
        reservation: &Reservation,
        send: &PendingSend,
        failed: &CallError,
        (evidence, own): (Evidence, Own),
    ) -> Ruled {
        let (party, usage) = (Party::of(send), failed.usage());
        let (finding, until) = self.limiter.refused(account, party, evidence, failed.into()).await;
        // That the token does not see the account is said in other words than that it is dead.
        let is_told = failed.verdict() == Verdict::TokenDead;
        if finding == Finding::Account(HoldCause::TokenDead) && !is_told {
            self.meter.count(Metric::DeadTokens, 1);
        }
        // Meta has answered, with no limit of the account's.
        let is_answer = match finding {
            Finding::Account(_) => false,
            Finding::Campaign => own != Own::Unknown,
            Finding::Send | Finding::Open => evidence != Evidence::Doubt(Doubt::Server),
        };
        let mut held_until = until;
        if is_answer {
            held_until =
                held_until.max(self.went_through(account, reservation, None, &usage).await);
        }
        let ruling = match (finding, own) {
            (
                Finding::Account(_) | Finding::Campaign,
                Own::Retry(..) | Own::End(_) | Own::Space,
            ) => Ruling::Held,
            _ => self.alone(account, send, own).await,
        };
        Ruled { ruling, held_until }
    }

    /// Rules on a send that is refused alone. Its person is left alone for a while where that may
    /// be the reason.
    async fn alone(&self, account: &Account, send: &PendingSend, own: Own) -> Ruling {
        match own {
            Own::Space if send.failures + 1 < SPACED => {
                Ruling::Spaced(self.hold_person(account, send.to.recipient()).await)
            }
            _ => Ruling::Own(own),
        }
    }

    /// Sends nothing to this person for a while, and returns for how long.
    async fn hold_person(&self, account: &Account, person: Option<&RecipientId>) -> Duration {
        let until = match person {
            Some(person) => self.limiter.hold_recipient(account, person).await,
            None => None,
        };
        until.map_or(PERSON_WAIT, |until| until.since(self.clock.now())).min(PERSON_WAIT)
    }

    /// Takes in an answer that is no limit: a hold that the call was the probe of is over, and the
    /// answer may tell how near the next one is. `answered` is the send, where the answer shows
    /// that nothing is wrong with its account or campaign. Returns the end of a new hold.
    async fn went_through(
        &self,
        account: &Account,
        reservation: &Reservation,
        answered: Option<&PendingSend>,
        usage: &Usage,
    ) -> Option<Timestamp> {
        let Reservation { grant, app_role, .. } = reservation;
        match answered {
            Some(send) => {
                self.limiter.passed(account, &Party::of(send), grant.role, *app_role).await;
            }
            None => self.limiter.lift(account, grant.role, *app_role).await,
        }
        if grant.role == Role::Probe || *app_role == Role::Probe {
            self.wake(account).await;
        }
        self.limiter.learn(account, usage).await
    }

    /// Asks release for the parked sends.
    async fn wake(&self, account: &Account) {
        if let Err(error) = self.backlogs.wake(&account.id, self.clock.now()).await {
            error!(account = %account.id, %error, "could not mark the backlog");
        }
    }
}
