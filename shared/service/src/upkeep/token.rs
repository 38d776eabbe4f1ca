//! A token's life: renewed in its last third; the new one is kept beside the old one until a call
//! with it has worked, and only then takes its place.

use std::time::Duration;

use spillway_core::hold::HoldCause;
use spillway_core::journal::Event;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenDuty, TokenLife, Upkeep};
use tracing::{error, info, warn};

use super::caller::Caller;
use super::{Next, Upkeeper};
use crate::gateway::read::{IfDead, NoAnswer};
use crate::limiter::AnswerDetails;
use crate::metrics::Metric;
use crate::port::{KeptToken, NextToken, StoreError};

/// A failure that lasts is told once a day.
const TOLD_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What Meta gives a token that it does not say otherwise of.
const TOKEN_LASTS: Duration = Duration::from_secs(60 * 24 * 3600);

impl Upkeeper {
    /// Does what is due for the account's token; the caller goes on with the one in use then.
    pub(super) async fn keep_token(
        &self,
        caller: &mut Caller<'_>,
        kept: KeptToken,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        let id = &caller.account.id;
        let now = self.clock.now();
        if kept.life.is_ending(now) {
            self.meter.count(Metric::EndingTokens, 1);
        }
        if upkeep.dead_since.is_some() {
            return self.look_again(caller, upkeep).await;
        }
        if let Some(next) = kept.next.clone() {
            return self.prove(caller, &kept, next, upkeep).await;
        }
        match kept.life.duty(upkeep.renewal_failed_at, now) {
            TokenDuty::Rest => Ok(Next::Check),
            TokenDuty::Note => {
                let life = TokenLife { obtained_at: Some(now), ..kept.life };
                self.tokens.note_life(id, &kept.token, life).await?;
                Ok(Next::Check)
            }
            TokenDuty::Ended => {
                self.died(caller, upkeep).await;
                self.gateway
                    .limiter
                    .hold(caller.account, HoldCause::TokenDead, AnswerDetails::default())
                    .await;
                Ok(Next::Check)
            }
            TokenDuty::Renew => self.renew(caller, &kept, upkeep).await,
        }
    }

    async fn renew(
        &self,
        caller: &mut Caller<'_>,
        kept: &KeptToken,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        let id = &caller.account.id;
        let answer = caller
            .call(IfDead::Hold, async |timeout| self.graph.refresh(id, &kept.token, timeout).await)
            .await;
        let now = self.clock.now();
        let (token, lasts) = match answer {
            Ok(renewed) => renewed,
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(NoAnswer::Denied(_) | NoAnswer::NoTime) => return Ok(Next::Soon),
            Err(failed) => {
                if failed.is_token_dead() {
                    self.died(caller, upkeep).await;
                } else {
                    self.renewal_failed(caller, kept, &failed.reason(), upkeep).await;
                }
                if !failed.is_refusal() {
                    // It says nothing of the token: one whose end nobody knows need not wait for a
                    // day.
                    upkeep.renewal_failed_at = None;
                }
                return Ok(Next::Check);
            }
        };
        let life =
            TokenLife { obtained_at: Some(now), ends_at: Some(now + lasts.unwrap_or(TOKEN_LASTS)) };
        let next = NextToken { token, life };
        if !self.tokens.keep_next(id, &kept.token, &next).await? {
            info!(account = %id, "connected again meanwhile: the renewed token is not needed");
            return Ok(Next::Soon);
        }
        self.prove(caller, kept, next, upkeep).await
    }

    /// Makes a call with the next token. Once it has worked, it is the one in use.
    async fn prove(
        &self,
        caller: &mut Caller<'_>,
        kept: &KeptToken,
        next: NextToken,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        let id = &caller.account.id;
        self.graph.prepare(id, &next.token).await?;
        let answer = caller
            .call(IfDead::Tell, async |timeout| self.graph.me(id, &next.token, timeout).await)
            .await;
        let reason = match answer {
            Err(NoAnswer::Store(error)) => return Err(error),
            Ok(me) if me.account == *id => {
                self.know(id, me, upkeep).await?;
                if self.tokens.swap(id, &next).await? {
                    info!(account = %id, "token renewed");
                    upkeep.renewal_failed_at = None;
                    upkeep.failure_told_at = None;
                    caller.token = next.token;
                    if let Some(token_ends) = next.life.ends_at {
                        self.tell(id, Event::TokenRefreshed { token_ends }).await;
                    }
                }
                return Ok(Next::Check);
            }
            Ok(_) => "the new token is another account's".to_owned(),
            // Nothing is known of it yet.
            Err(failed) if !failed.is_refusal() => return Ok(Next::Soon),
            Err(failed) => format!("the new token does not work: {}", failed.reason()),
        };
        self.tokens.drop_next(id, &next).await?;
        self.renewal_failed(caller, kept, &reason, upkeep).await;
        Ok(Next::Check)
    }

    /// The token was found dead. One that works was connected since, or Meta has changed its mind:
    /// a call tells, once the hold lets one through.
    async fn look_again(
        &self,
        caller: &Caller<'_>,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        let id = &caller.account.id;
        let answer = caller
            .call(IfDead::Hold, async |timeout| self.graph.me(id, &caller.token, timeout).await)
            .await;
        match answer {
            Ok(me) => {
                info!(account = %id, "the token works again");
                self.know(id, me, upkeep).await?;
                upkeep.dead_since = None;
            }
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(_) => {}
        }
        Ok(Next::Check)
    }

    pub(super) async fn died(&self, caller: &Caller<'_>, upkeep: &mut Upkeep) {
        let id = &caller.account.id;
        self.meter.count(Metric::EndingTokens, 1);
        if upkeep.dead_since.is_none() {
            upkeep.dead_since = Some(self.clock.now());
            error!(account = %id, "the token has ended or was withdrawn: connect the account again");
            self.tell(id, Event::TokenDead).await;
        }
    }

    async fn renewal_failed(
        &self,
        caller: &Caller<'_>,
        kept: &KeptToken,
        reason: &str,
        upkeep: &mut Upkeep,
    ) {
        let id = &caller.account.id;
        let now: Timestamp = self.clock.now();
        upkeep.renewal_failed_at = Some(now);
        warn!(account = %id, reason, "token not renewed; it is tried again");
        if upkeep.failure_told_at.is_none_or(|told| now.since(told) >= TOLD_EVERY) {
            upkeep.failure_told_at = Some(now);
            let reason = reason.to_owned();
            let what = Event::TokenRefreshFailed { reason, token_ends: kept.life.ends_at };
            self.tell(id, what).await;
        }
    }
}
