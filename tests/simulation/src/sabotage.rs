//! Builds with a promise switched off: the simulation must catch each of them, or its silence about
//! the whole build means nothing.

mod accounts;
mod app;
mod budgets;
mod conversations;
mod cursors;
mod ledger;
mod sends;
mod upkeep;

use std::sync::Arc;

use spillway_memory::Ports;
use spillway_service::admin::sends::Ledger;
use spillway_service::port::{
    AccountGraph, Accounts, AppBudgets, Budgets, Conversations, Cursors, MaintenanceSchedule,
    Sends, Tokens,
};

use crate::host::Host;
use crate::process::Function;
use crate::scenario::{Order, Post, Told};

/// What is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// Claims: every step succeeds, whatever the send's epoch.
    Claims,
    /// The condition of the budget's version: every write of it succeeds.
    BudgetCondition,
    /// The quota of private replies: the limiter does not know it.
    Quota,
    /// The even spread, and with it active hours and velocity: the limiter does not know it.
    Spread,
    /// The warm-up: the limiter takes every account for an old one.
    WarmUp,
    /// A lower tier: the limiter goes on with the first.
    LowerTier,
    /// Holds of accounts: the limiter does not see them.
    Holds,
    /// Refusals: nobody remembers whose sends were refused.
    Refusals,
    /// Holds of people: the limiter does not see them.
    PeopleHolds,
    /// Holds of the app: the limiter does not see them.
    AppHolds,
    /// The condition of the app's version: every write of it succeeds.
    AppCondition,
    /// Who was written to before: everybody is taken for the last one.
    People,
    /// Lanes: all have the same slots.
    Lanes,
    /// That the outcome of a message is unknown: it is taken for one that was never made.
    Unknown,
    /// Public replies without a clear answer: they are taken for ones that were never made.
    Replies,
    /// Outcomes of DMs that a public reply follows: the reply is recorded, and the outcome is not.
    Outcomes,
    /// Lines of pages: each time that a page is written again, it loses its last one.
    Lines,
    /// Charges of other tools: they call as they like.
    Charges,
    /// What the rows of a budget count: they are taken for those of the rules in force.
    Rows,
    /// The app's probe: to upkeep a hold of the app never ends.
    UpkeepProbe,
    /// What an account has missed: nobody writes it down before the account is subscribed again.
    Unread,
    /// Refused pages: the one before counts as the last of its media.
    RefusedPages,
    /// Tokens of accounts on hold whose sends wait: nothing is due for them.
    HeldTokens,
    /// That accounts are removed: they are read as if they were connected.
    Removal,
    /// That campaigns are paused: they are read as if all were active.
    Pauses,
    /// That people are forgotten: the entries of their DMs stay as they are.
    Forgetting,
    /// Entries are made under the comments' ids alone, where the people's count.
    EntryKeys,
    /// When people did something in a conversation: it is taken for what they do when it is told.
    Windows,
    /// That people have asked to be left alone.
    Stops,
    /// That a human has taken over.
    Takeovers,
    /// When windows close: conversations take them for open.
    OpenWindows,
    /// Runs: each try of one counts as another.
    Runs,
    /// Disclosures: no conversation remembers one.
    Disclosures,
    /// What was sent in a conversation: whatever it was, ingest takes it for one that has just begun.
    Steps,
}

impl Sabotage {
    pub(crate) fn accounts(self, host: Arc<Host>) -> Arc<dyn Accounts> {
        match self {
            Self::Quota
            | Self::Spread
            | Self::WarmUp
            | Self::LowerTier
            | Self::Removal
            | Self::Pauses => Arc::new(Sabotaged { host, by: self }),
            _ => host,
        }
    }

    /// What ingest is told instead of `post`.
    pub(crate) fn post(self, mut post: Post) -> Post {
        if let (Self::Windows, Told::Conversations(events)) = (self, &mut post.what) {
            events.iter_mut().for_each(|event| event.at = None);
        }
        post
    }

    /// What an operator does instead of `order`, at `now`.
    pub(crate) fn order(self, order: Order, now: u64) -> Order {
        match (self, order) {
            (Self::Runs, Order::Send(run)) => Order::Send(format!("{run}, {now}")),
            (_, order) => order,
        }
    }

    pub(crate) fn conversations(
        self,
        function: Function,
        host: Arc<Host>,
    ) -> Arc<dyn Conversations> {
        match (self, function) {
            (Self::Stops | Self::Takeovers | Self::OpenWindows | Self::Disclosures, _)
            | (Self::Steps, Function::Webhook) => Arc::new(Sabotaged { host, by: self }),
            _ => host,
        }
    }

    pub(crate) fn budgets(self, host: Arc<Host>) -> Arc<dyn Budgets> {
        match self {
            Self::BudgetCondition
            | Self::Holds
            | Self::Refusals
            | Self::PeopleHolds
            | Self::People
            | Self::Rows => Arc::new(Sabotaged { host, by: self }),
            _ => Arc::new(Ports(host)),
        }
    }

    pub(crate) fn app(self, function: Function, host: Arc<Host>) -> Arc<dyn AppBudgets> {
        match (self, function) {
            (Self::AppHolds | Self::AppCondition, _) | (Self::UpkeepProbe, Function::Upkeep) => {
                Arc::new(Sabotaged { host, by: self })
            }
            _ => Arc::new(Ports(host)),
        }
    }

    pub(crate) fn maintenance(self, host: Arc<Host>) -> Arc<dyn MaintenanceSchedule> {
        match self {
            Self::Unread => Arc::new(Sabotaged { host, by: self }),
            _ => Arc::new(Ports(host)),
        }
    }

    pub(crate) fn ledger(self, host: Arc<Host>) -> Arc<dyn Ledger> {
        match self {
            Self::Forgetting => Arc::new(Sabotaged { host, by: self }),
            _ => host,
        }
    }

    pub(crate) fn tokens(self, host: Arc<Host>) -> Arc<dyn Tokens> {
        match self {
            Self::HeldTokens => Arc::new(Sabotaged { host, by: self }),
            _ => Arc::new(Ports(host)),
        }
    }

    pub(crate) fn graph(self, host: Arc<Host>) -> Arc<dyn AccountGraph> {
        match self {
            Self::RefusedPages => Arc::new(Sabotaged { host, by: self }),
            _ => host,
        }
    }

    pub(crate) fn cursors(self, host: Arc<Host>) -> Arc<dyn Cursors> {
        match self {
            Self::Lanes => Arc::new(Sabotaged { host, by: self }),
            _ => Arc::new(Ports(host)),
        }
    }

    pub(crate) fn sends(self, host: Arc<Host>) -> Arc<dyn Sends> {
        match self {
            Self::Claims | Self::Replies | Self::Outcomes | Self::Unknown | Self::Lines => {
                Arc::new(Sabotaged { host, by: self })
            }
            _ => host,
        }
    }
}

/// A port of the host's that does not do what it should.
struct Sabotaged {
    host: Arc<Host>,
    by: Sabotage,
}

impl Sabotaged {
    /// The ports over the tables.
    fn ports(&self) -> Ports<Host> {
        Ports(self.host.clone())
    }
}
