//! What became of the sends of campaigns, and how far people came in their conversations.
//!
//! Nothing counts while DMs go out: a counter would cost a write unit for each. The entries of sends,
//! the conversations and the leads are read and counted when somebody asks. An entry is kept for ten
//! days at least, so what happened within [`SPAN`] is counted whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::campaign::Campaign;
use spillway_core::conversation::{Progress, Step, Then};
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::message::Template;
use spillway_core::send::{CampaignStep, FailReason, Outcome};
use spillway_core::time::Timestamp;

use super::instant::instant;
use super::sends::{Ledger, State, Stored};
use crate::account::Account;
use crate::port::{Conversations, LeadPage, Leads, StoreError};

/// How far back is counted. Entries are kept for ten days at least.
pub const SPAN: Duration = Duration::from_secs(7 * 24 * 3600);

/// People whose conversations are read at a time.
const PEOPLE: usize = 1000;

/// Counts outcomes.
pub struct OutcomeAdmin {
    /// Sends.
    pub ledger: Arc<dyn Ledger>,
    /// Conversations.
    pub conversations: Arc<dyn Conversations>,
    /// E-mail addresses.
    pub leads: Arc<dyn Leads>,
}

/// What became of the sends of an account that were matched since an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomesView {
    /// The account.
    pub account: AccountId,
    /// The first instant that is counted.
    #[serde(serialize_with = "instant")]
    pub since: Timestamp,
    /// Entries that were looked at, of all accounts.
    pub looked_at: usize,
    /// Whether these are all entries. If not, the counts are of the part that was looked at.
    pub is_complete: bool,
    /// The campaigns: those that the account has, in their order, then others that have sends.
    pub campaigns: Vec<CampaignOutcomes>,
}

/// What became of the sends of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CampaignOutcomes {
    /// The campaign.
    pub campaign: CampaignId,
    /// The first messages that have ended.
    pub openings: Ends,
    /// The later messages of conversations that have ended.
    pub conversation: Ends,
    /// The public replies that have ended.
    pub public_replies: Ends,
    /// Why sends failed, by day and reason, in this order.
    pub refusals: Vec<Refused>,
    /// How far people came; `None` where nothing follows the opening, or not all was read.
    pub funnel: Option<FunnelView>,
}

/// Sends that have ended, by how they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Meta has accepted them.
    pub sent: u64,
    /// Meta has refused them for good.
    pub failed: u64,
    /// Nobody knows whether they arrived.
    pub unknown: u64,
    /// They were too late.
    pub expired: u64,
    /// They were cancelled.
    pub cancelled: u64,
}

impl Ends {
    fn count(&mut self, outcome: &Outcome) {
        *match outcome.name() {
            "sent" => &mut self.sent,
            "unknown" => &mut self.unknown,
            "expired" => &mut self.expired,
            "cancelled" => &mut self.cancelled,
            _ => &mut self.failed,
        } += 1;
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        let Self { sent, failed, unknown, expired, cancelled } = self;
        sent + failed + unknown + expired + cancelled
    }
}

/// Sends that failed for one reason on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The day, by the account's clocks, such as `2026-12-01`.
    pub day: String,
    /// The reason.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// How far people came in the conversations whose opening was sent since then. A person who has begun
/// two counts twice. No figure exceeds `opened`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunnelView {
    /// Conversations whose opening was sent.
    pub opened: u64,
    /// Of these, those that the person has answered as the campaign asks.
    pub answered: u64,
    /// Those past the follow gate: the person follows, or Meta did not tell; `None` without a gate.
    pub followed: Option<u64>,
    /// Those in which the person has given an e-mail address; `None` where nobody is asked for one.
    pub emailed: Option<u64>,
    /// Those whose delivery was sent, with its last message; `None` without one.
    pub delivered: Option<u64>,
    /// Those in which a follow-up was sent; `None` where there is none.
    pub followed_up: Option<u64>,
    /// Those with a tracked link that was opened by a person, however often; `None` where no message
    /// has one.
    pub clicked: Option<Clicks>,
}

/// One figure of a funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunnelStep {
    /// Its name.
    pub name: &'static str,
    /// What it counts, in words.
    pub counts: &'static str,
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl FunnelStep {
    /// Its share in whole percent; 0 of none.
    pub fn percent(&self) -> u64 {
        (self.count * 100).checked_div(self.of).unwrap_or(0)
    }
}

impl FunnelView {
    /// The figures that there are, in order.
    pub fn steps(&self) -> Vec<FunnelStep> {
        let Self { opened, answered, followed, emailed, delivered, followed_up, clicked } = *self;
        let of_opened = |name, counts, count: Option<u64>| {
            count.map(|count| FunnelStep { name, counts, count, of: opened })
        };
        let clicked = clicked.map(|Clicks { people, of }| FunnelStep {
            name: "clicked",
            counts: "the person opened a tracked link, however often; of those that got one",
            count: people,
            of,
        });
        let steps = [
            of_opened("opened", "the first message was sent", Some(opened)),
            of_opened("answered", "the person answered as the campaign asks", Some(answered)),
            of_opened("followed", "they follow the account, or Meta did not tell", followed),
            of_opened("emailed", "they gave an e-mail address", emailed),
            of_opened("delivered", "the delivery was sent, with its last message", delivered),
            of_opened("followed up", "a follow-up was sent", followed_up),
            clicked,
        ];
        steps.into_iter().flatten().collect()
    }
}

/// How many have opened a tracked link, of how many who got one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Clicks {
    /// Conversations in which the person has opened one.
    pub people: u64,
    /// Conversations in which they got one: those opened if the opening has it, else those delivered.
    pub of: u64,
}

/// A conversation: the person, and what began it.
type Talk = (String, String);

/// What is gathered of a campaign while entries are read.
#[derive(Default)]
struct Gathered {
    openings: Ends,
    conversation: Ends,
    public_replies: Ends,
    refusals: BTreeMap<(String, &'static str), u64>,
    /// Conversations that a message of the delivery has reached, by its number.
    delivered: BTreeSet<(Talk, u8)>,
    followed_up: BTreeSet<Talk>,
}

impl Gathered {
    fn take(&mut self, stored: &Stored, day: impl FnOnce(Timestamp) -> String) {
        let State::Ended { outcome, at } = &stored.state else { return };
        match stored.content.step {
            CampaignStep::Opening => &mut self.openings,
            CampaignStep::PublicReply | CampaignStep::PublicFallback => &mut self.public_replies,
            CampaignStep::Gate | CampaignStep::Then(_) => &mut self.conversation,
        }
        .count(outcome);
        // Of one that is unknown nothing shows that it was refused.
        if let Outcome::Failed { reason } = outcome
            && *reason != FailReason::Unknown
        {
            *self.refusals.entry((day(*at), reason.as_str())).or_default() += 1;
        }
        if !matches!(outcome, Outcome::Sent { .. }) {
            return;
        }
        let talk = stored.id.key.conversation();
        let talk = talk.map(|(person, origin)| (person.to_owned(), origin.to_owned()));
        match (stored.content.step, talk) {
            (CampaignStep::Then(Step::Deliver(nth)), Some(talk)) => {
                self.delivered.insert((talk, nth));
            }
            (CampaignStep::Then(Step::FollowUp(_)), Some(talk)) => {
                self.followed_up.insert(talk);
            }
            _ => {}
        }
    }

    fn shown(self, campaign: &CampaignId, funnel: Option<FunnelView>) -> CampaignOutcomes {
        let Self { openings, conversation, public_replies, refusals, .. } = self;
        let refused = |((day, reason), count)| Refused { day, reason, count };
        CampaignOutcomes {
            campaign: campaign.clone(),
            openings,
            conversation,
            public_replies,
            refusals: refusals.into_iter().map(refused).collect(),
            funnel,
        }
    }
}

impl OutcomeAdmin {
    /// Counts what became of an account's sends that were matched at `since` or later, from at most
    /// `parts_max` parts of the table of sends: there is no index by account, which would cost a write
    /// unit a DM. `progress` is told how many entries were looked at.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub fn view<'a>(
        &'a self,
        account: &'a Account,
        since: Timestamp,
        now: Timestamp,
        parts_max: usize,
        mut progress: impl FnMut(usize) + Send + 'a,
    ) -> BoxFuture<'a, Result<OutcomesView, StoreError>> {
        Box::pin(async move {
            let zone = &account.rules.terms().time_zone;
            let day = |at| zone.local(at).map(|local| local.date().to_string()).unwrap_or_default();
            let mut gathered: BTreeMap<CampaignId, Gathered> = BTreeMap::new();
            let (mut looked_at, mut after, mut is_complete) = (0, None, false);
            for _ in 0..parts_max {
                let part = self.ledger.ended(&account.id, after.as_deref()).await?;
                looked_at += part.looked_at;
                progress(part.looked_at);
                for stored in part.sends.iter().filter(|stored| stored.matched_at >= since) {
                    let of = gathered.entry(stored.content.campaign.clone()).or_default();
                    of.take(stored, day);
                }
                after = part.next;
                is_complete = after.is_none();
                if is_complete {
                    break;
                }
            }
            let mut funnels = if is_complete {
                self.funnels(account, since, now, &gathered).await?
            } else {
                BTreeMap::new()
            };
            let own = account.campaigns.iter().map(|campaign| campaign.id.clone());
            let own: Vec<CampaignId> = own.collect();
            let others = gathered.keys().filter(|id| !own.contains(id)).cloned();
            let all: Vec<CampaignId> = own.iter().cloned().chain(others).collect();
            let shown = |id: CampaignId| {
                let of = gathered.remove(&id).unwrap_or_default();
                of.shown(&id, funnels.remove(&id))
            };
            let campaigns = all.into_iter().map(shown).collect();
            Ok(OutcomesView {
                account: account.id.clone(),
                since,
                looked_at,
                is_complete,
                campaigns,
            })
        })
    }

    /// The funnels of the campaigns that have a conversation.
    async fn funnels(
        &self,
        account: &Account,
        since: Timestamp,
        now: Timestamp,
        gathered: &BTreeMap<CampaignId, Gathered>,
    ) -> Result<BTreeMap<CampaignId, FunnelView>, StoreError> {
        let with_then = |campaign: &'_ Campaign| Some((campaign.id.clone(), Funnel::of(campaign)?));
        let mut funnels: BTreeMap<CampaignId, Funnel> =
            account.campaigns.iter().filter_map(with_then).collect();
        if funnels.is_empty() {
            return Ok(BTreeMap::new());
        }
        let gave = self.gave_address(account, since, now).await?;
        let none = Gathered::default();
        let mut after: Option<RecipientId> = None;
        loop {
            let page = self.conversations.page(&account.id, after.as_ref(), PEOPLE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (person, kept) in &page {
                for progress in kept.progress().filter(|progress| progress.begun_at >= since) {
                    let Some(funnel) = funnels.get_mut(progress.campaign) else { continue };
                    let talk = (person.to_string(), progress.origin.to_string());
                    let has_given = gave.contains(&(progress.campaign.clone(), talk.clone()));
                    let sent = gathered.get(progress.campaign).unwrap_or(&none);
                    funnel.count(&progress, &talk, has_given, sent);
                }
            }
        }
        Ok(funnels.into_iter().map(|(id, funnel)| (id, funnel.counts)).collect())
    }

    /// The conversations in which somebody has given an address, with their campaigns. No address is
    /// opened.
    async fn gave_address(
        &self,
        account: &Account,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<BTreeSet<(CampaignId, Talk)>, StoreError> {
        let mut gave = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let LeadPage { leads, next } =
                self.leads.list(&account.id, since, now, after.as_deref()).await?;
            gave.extend(
                leads.into_iter().map(|lead| {
                    (lead.campaign, (lead.person.to_string(), lead.origin.to_string()))
                }),
            );
            after = next;
            if after.is_none() {
                return Ok(gave);
            }
        }
    }
}

/// A funnel while it is counted.
struct Funnel {
    counts: FunnelView,
    /// The number of the delivery's last message.
    last: Option<u8>,
    links: Links,
}

/// Where a campaign's tracked links are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// There are none.
    Nowhere,
    /// In the opening.
    InOpening,
    /// Only in what follows it.
    Later,
}

impl Funnel {
    fn of(campaign: &Campaign) -> Option<Self> {
        let then = campaign.then.as_ref()?;
        let Then { follow, email, deliver, follow_up, .. } = then;
        let part = |is_there: bool| is_there.then_some(0);
        let links = if campaign.messages.iter().any(Template::has_tracked_link) {
            Links::InOpening
        } else if then.has_tracked_link() {
            Links::Later
        } else {
            Links::Nowhere
        };
        let counts = FunnelView {
            opened: 0,
            answered: 0,
            followed: part(follow.is_some()),
            emailed: part(email.is_some()),
            delivered: part(!deliver.is_empty()),
            followed_up: part(!follow_up.is_empty()),
            clicked: (links != Links::Nowhere).then(Clicks::default),
        };
        let last = deliver.len().checked_sub(1).and_then(|last| u8::try_from(last).ok());
        Some(Self { counts, last, links })
    }

    fn count(&mut self, progress: &Progress<'_>, talk: &Talk, has_given: bool, sent: &Gathered) {
        let last = self.last.map(|last| (talk.clone(), last));
        let is_delivered = last.is_some_and(|last| sent.delivered.contains(&last));
        let add = |count: &mut Option<u64>, is_counted: bool| {
            if let Some(count) = count {
                *count += u64::from(is_counted);
            }
        };
        let counts = &mut self.counts;
        counts.opened += 1;
        counts.answered += u64::from(progress.has_answered);
        add(&mut counts.followed, progress.has_passed_gate);
        add(&mut counts.emailed, has_given);
        add(&mut counts.delivered, is_delivered);
        add(&mut counts.followed_up, sent.followed_up.contains(talk));
        if let Some(clicks) = &mut counts.clicked {
            clicks.people += u64::from(progress.has_clicked);
            clicks.of += u64::from(self.links == Links::InOpening || is_delivered);
        }
    }
}
