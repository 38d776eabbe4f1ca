//! What a run is about: accounts and their quotas, comments and how Meta tells of them, processes,
//! and what goes wrong. All of it is drawn from the seed before anything happens.

mod draw;
mod people;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use secrecy::SecretString;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::quota::{Action, Profile, Quota, QuotaId, Unit};
use spillway_meta::webhook::CommentEvent;
use spillway_service::account::Account;

use crate::meta::Refusal;
use crate::record::Elapsed;

/// A run before it begins.
#[derive(Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// What kind of trouble it has.
    pub trouble: Trouble,
    /// When it begins, in milliseconds since 1970, as all instants here.
    pub start: u64,
    /// The accounts.
    pub accounts: Vec<AccountPlan>,
    /// What Meta tells of, ascending.
    pub posts: Vec<Post>,
    /// The most processes of each kind at a time.
    pub processes: Processes,
    /// How likely what goes wrong.
    pub rates: Rates,
    /// When what does not answer at all.
    pub outages: Vec<(Outage, Range<u64>)>,
    /// When Meta refuses whatever is asked.
    pub spells: Vec<Spell>,
    /// From when on nothing goes wrong any more.
    pub calm_at: u64,
    /// When all must have ended.
    pub end: u64,
}

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The store.
    Store,
    /// The queues.
    Queues,
    /// Processes die.
    Kills,
    /// Meta.
    Meta,
    /// Clocks.
    Clocks,
    /// All of it.
    All,
}

/// One account.
#[derive(Clone, Debug)]
pub struct AccountPlan {
    /// Its id.
    pub id: AccountId,
    /// Its quotas.
    pub rows: Vec<Row>,
    /// What it answers to.
    pub campaign: Campaign,
    /// Its comments.
    pub comments: Vec<CommentPlan>,
    /// When it is no longer connected, where it ever is not.
    pub removed_at: Option<u64>,
}

/// One quota, in the terms of everybody who counts it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub id: &'static str,
    /// What it counts.
    pub counts: Counted,
    /// The window's length in milliseconds.
    pub window: u64,
    /// The most that a window may hold.
    pub limit: NonZeroU32,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Calls of every kind.
    Calls,
    /// Private replies to posts and Reels.
    PrivateReplies,
    /// Private replies to live comments.
    LiveReplies,
    /// People written to.
    Recipients,
}

/// One comment.
#[derive(Clone, Debug)]
pub struct CommentPlan {
    /// Its id.
    pub id: CommentId,
    /// When it is made.
    pub made_at: u64,
    /// Its author.
    pub author: RecipientId,
    /// What it is on.
    pub surface: Surface,
    /// What becomes of a private reply to it.
    pub nature: Nature,
    /// Whether it is to be answered.
    pub asks: Asks,
}

/// What a comment is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A post or a Reel.
    Post,
    /// A broadcast, until it ends.
    Live {
        /// When it does.
        ends_at: u64,
    },
}

/// What becomes of a private reply to a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It arrives.
    Answerable,
    /// It is refused for good, as of this instant.
    Refused(Refusal, u64),
}

/// Whether a comment is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A campaign wants it.
    Wanted,
    /// No campaign does.
    Unwanted,
    /// The account wrote it itself.
    Own,
}

/// One webhook POST.
#[derive(Clone, Debug)]
pub struct Post {
    /// When it is made first.
    pub at: u64,
    /// What it tells of.
    pub comments: Vec<CommentEvent>,
}

/// The most processes of each kind at a time.
#[derive(Clone, Copy, Debug)]
pub struct Processes {
    /// That take webhooks.
    pub webhook: usize,
    /// That send.
    pub sender: usize,
    /// That release.
    pub release: usize,
}

/// How likely what goes wrong: of each request, message, invocation or process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// A request to the store or a queue takes long.
    pub slow: f64,
    /// A request to the store is throttled.
    pub throttled: f64,
    /// A request does not arrive.
    pub request_lost: f64,
    /// A request takes effect, and its answer does not arrive.
    pub answer_lost: f64,
    /// A message is refused by its queue.
    pub message_refused: f64,
    /// A message comes again while it is worked on.
    pub message_repeated: f64,
    /// A message comes late.
    pub message_late: f64,
    /// A message that was done with is not deleted.
    pub delete_lost: f64,
    /// An invocation dies.
    pub killed: f64,
    /// A call to Meta goes wrong.
    pub meta: f64,
    /// A process begins with a clock beyond the bound.
    pub clock_wrong: f64,
    /// A process's clock jumps beyond the bound.
    pub clock_jumps: f64,
    /// A delivery comes again though it was answered.
    pub post_repeated: f64,
}

/// What does not answer at all for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// DynamoDB.
    Store,
    /// SQS.
    Queues,
    /// Meta, which cannot be reached.
    Meta,
}

/// A time in which Meta refuses whatever is asked.
#[derive(Clone, Debug)]
pub struct Spell {
    /// Whose calls; all accounts' when there is none.
    pub account: Option<AccountId>,
    /// When.
    pub span: Range<u64>,
    /// How.
    pub refusal: Refusal,
}

impl AccountPlan {
    /// The account as the use cases know it.
    pub fn account(&self) -> Account {
        let quotas = self.rows.iter().map(Row::quota).collect();
        Account {
            id: self.id.clone(),
            profile: Profile { name: "drawn".into(), quotas },
            campaigns: Campaigns::new([self.campaign.clone()]),
            token: SecretString::from("token".to_owned()),
        }
    }
}

impl Row {
    fn quota(&self) -> Quota {
        let (actions, unit) = match self.counts {
            Counted::Calls => (Action::ALL.to_vec(), Unit::Calls),
            Counted::PrivateReplies => (vec![Action::PrivateReply], Unit::Calls),
            Counted::LiveReplies => (vec![Action::LiveReply], Unit::Calls),
            Counted::Recipients => (Action::DIRECT_MESSAGES.to_vec(), Unit::Recipients),
        };
        let window = Duration::from_millis(self.window);
        Quota { id: QuotaId::new(self.id), actions, unit, window, limit: self.limit }
    }
}

impl Scenario {
    /// The account's plan.
    pub fn account(&self, id: &AccountId) -> Option<&AccountPlan> {
        self.accounts.iter().find(|account| account.id == *id)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.window {
            ms if ms % 3_600_000 == 0 => (ms / 3_600_000, "h"),
            ms => (ms / 1000, "s"),
        };
        write!(f, "{} {}/{number}{unit}", self.id, self.limit)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Processes { webhook, sender, release } = self.processes;
        write!(f, "trouble {:?} until {}", self.trouble, Elapsed(self.calm_at - self.start))?;
        write!(f, "; processes {webhook} webhook, {sender} sender, {release} release")?;
        write!(f, "; {} deliveries", self.posts.len())?;
        for account in &self.accounts {
            let rows: Vec<String> = account.rows.iter().map(Row::to_string).collect();
            write!(f, "; {} comments at {}", account.comments.len(), rows.join(", "))?;
        }
        Ok(())
    }
}
