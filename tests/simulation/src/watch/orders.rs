//! What operators do: from when it is known to everybody nothing contradicts it.

use std::collections::BTreeMap;

use spillway_core::budget::Revision;
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::send::CancelReason;
use spillway_core::time::Timestamp;
use spillway_service::admin::plan::Unnamed;

use super::sends::CAMPAIGN_UNKNOWN;
use crate::meta::Ask;
use crate::scenario::{CAMPAIGN, Order};
use crate::world::World;

/// A process remembers an account for a minute, and may be at work on its sends for as long.
const REMEMBERED: u64 = 120_000;

/// What is remembered of orders. Instants are in milliseconds since 1970.
#[derive(Default)]
pub(super) struct Orders {
    /// What operators have done with each account, in order. One that fails is given again before
    /// the next.
    given: BTreeMap<AccountId, Vec<Given>>,
    /// Since when everybody who is granted a call of an account knows that its campaign is paused
    /// or gone.
    stopped_at: BTreeMap<AccountId, u64>,
}

struct Given {
    order: Order,
    /// When it was given first.
    began: u64,
    /// When it was given last.
    again: u64,
    /// When it was done.
    done_at: Option<u64>,
}

impl Orders {
    fn of(&self, account: &AccountId) -> impl Iterator<Item = &Given> {
        self.given.get(account).into_iter().flatten()
    }

    /// The spans in which comments may have found no campaign because of orders of this kind.
    fn unwanted(
        &self,
        account: &AccountId,
        is_of_kind: impl Fn(&Order) -> bool,
    ) -> impl Iterator<Item = (u64, u64)> {
        let given: Vec<&Given> = self.of(account).collect();
        let until = |nth: usize| {
            let mut later = given[nth..].iter().filter(|given| given.order.is_wanting_again());
            later.find_map(|given| given.done_at).unwrap_or(u64::MAX)
        };
        let nths = (0..given.len()).filter(|&nth| is_of_kind(&given[nth].order));
        nths.map(|nth| (given[nth].began, until(nth))).collect::<Vec<_>>().into_iter()
    }
}

impl World {
    /// An operator begins with an order, or does it again.
    pub(crate) fn saw_order(&mut self, account: &AccountId, order: &Order) {
        self.event(format_args!("an operator does with {account}: {order:?}"));
        let (began, again) = (self.now, self.now);
        let given = self.watch.orders.given.entry(account.clone()).or_default();
        match given.last_mut() {
            Some(last) if last.done_at.is_none() => last.again = again,
            _ => given.push(Given { order: order.clone(), began, again, done_at: None }),
        }
    }

    /// An order is done.
    pub(crate) fn saw_order_done(&mut self, account: &AccountId, order: &Order) {
        self.event(format_args!("an operator has done with {account}: {order:?}"));
        self.record.count(match order {
            Order::Apply(file) if file.has_limits => "done: limits changed",
            Order::Apply(_) => "done: file applied",
            Order::Pause => "done: paused",
            Order::Resume => "done: resumed",
            Order::Forget(_) => "done: forgotten",
            Order::Retry => "done: retried",
            Order::Send(_) => "done: campaign sent",
            Order::Remove => "done: removed",
            Order::Connect => "done: connected",
        });
        let given = self.watch.orders.given.get_mut(account);
        let Some(last) = given.and_then(|given| given.last_mut()) else { return };
        last.done_at = Some(self.now);
        let began = last.again;
        if let Order::Forget(person) = order {
            self.check_forgotten(account, person, began);
        }
    }

    /// No entry that was there when an operator began to forget a person names them any more.
    fn check_forgotten(&mut self, account: &AccountId, person: &RecipientId, began: u64) {
        let scenario = self.scenario.clone();
        let comments = scenario.account(account).into_iter().flat_map(|plan| &plan.comments);
        for comment in comments.filter(|comment| comment.author == *person) {
            let send = self.send_of(account, &comment.id);
            let Some(entry) = self.tables.entries.get(&send) else { continue };
            // Of a comment that upkeep has found the author may not be known before its answer.
            let names = match (entry.ended(), entry.waiting()) {
                (Some((outcome, _)), _) => outcome.without_person().is_some(),
                (None, waiting) => waiting.is_some_and(|send| send.to.recipient() == Some(person)),
            };
            if names && entry.recorded_at < began {
                self.broken(format!("{person} is forgotten, and {send} names them"));
            }
        }
    }

    /// What is stored of an account's settings was written.
    pub(crate) fn saw_settings(&mut self, account: &AccountId) {
        if self.is_campaign_active(account) {
            self.watch.orders.stopped_at.remove(account);
        }
    }

    fn is_campaign_active(&self, account: &AccountId) -> bool {
        let settings = self.settings.at(account, self.now);
        settings.is_none_or(|settings| settings.is_active(&CampaignId::new(CAMPAIGN)))
    }

    /// A revision of an account was written into its budget: nothing is granted by what was before
    /// it.
    pub(crate) fn saw_revision(&mut self, account: &AccountId, revision: Revision) {
        let scenario = self.scenario.clone();
        let Some(plan) = scenario.account(account) else { return };
        if plan.orders.is_empty() {
            return;
        }
        if self.revision_now(account) == Some(revision) && !self.is_campaign_active(account) {
            self.watch.orders.stopped_at.entry(account.clone()).or_insert(self.now);
        }
        let is_changed =
            plan.limits.then().is_some() && self.rules_of(account, revision) == plan.limits.then();
        if is_changed && self.by_hand.changed_limits.insert(account.clone()) {
            self.meta.judge.set_figures(account, plan.limits.judged_from(self.now));
        }
    }

    /// A private reply is called for under a grant of then.
    pub(super) fn check_running(&mut self, account: &AccountId, ask: &Ask, granted: Timestamp) {
        let Ask::Reply(comment) = ask else { return };
        let stopped = self.watch.orders.stopped_at.get(account);
        if let Some(stopped) = stopped.filter(|&&stopped| stopped < granted.as_millis()) {
            let ago = granted.as_millis() - stopped;
            self.broken(format!("{comment} is granted a call {ago} ms after its campaign stopped"));
        }
    }

    /// Whether comments that were told of between these instants may have found no campaign.
    pub(crate) fn was_unwanted(&self, account: &AccountId, from: u64, to: u64) -> bool {
        let mut spans = self.watch.orders.unwanted(account, Order::is_unwanting);
        spans.any(|(began, until)| began <= to && from < until.saturating_add(CAMPAIGN_UNKNOWN))
    }

    /// Whether an operator may have had somebody's send cancelled at `at`.
    pub(crate) fn was_cancelled_by_hand(
        &self,
        account: &AccountId,
        person: &RecipientId,
        reason: CancelReason,
        at: u64,
    ) -> bool {
        let orders = &self.watch.orders;
        match reason {
            CancelReason::AccountRemoved
            | CancelReason::Repeat
            | CancelReason::Stopped
            | CancelReason::TakenOver
            | CancelReason::Overtaken
            | CancelReason::NotFollowing => false,
            CancelReason::Operator => {
                let mut before = orders.of(account).filter(|given| given.began <= at);
                before.any(|given| match &given.order {
                    Order::Forget(forgotten) => forgotten == person,
                    order => *order == Order::Remove,
                })
            }
            CancelReason::CampaignRemoved => {
                let drops = |order: &Order| matches!(order, Order::Apply(file) if file.unnamed == Unnamed::Go);
                let mut spans = orders.unwanted(account, drops);
                spans.any(|(began, until)| began <= at && at < until.saturating_add(REMEMBERED))
            }
        }
    }
}
