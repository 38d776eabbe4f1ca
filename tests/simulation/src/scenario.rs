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
use spillway_core::profile::{Profile, SlowDown};
use spillway_core::quota::{Action, Limit, Quota, Unit};
use spillway_core::rules::{Rules, Terms};
use spillway_meta::webhook::CommentEvent;
use spillway_service::account::Account;

use crate::meta::Refusal;
use crate::record::Elapsed;

/// A run before it begins.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What it was drawn from.
    pub(crate) seed: u64,
    /// What kind of trouble it has.
    pub(crate) trouble: Trouble,
    /// When it begins, in milliseconds since 1970, as all instants here.
    pub(crate) start: u64,
    /// The accounts.
    pub(crate) accounts: Vec<AccountPlan>,
    /// What Meta tells of, ascending.
    pub(crate) posts: Vec<Post>,
    /// The most processes of each kind at a time.
    pub(crate) processes: Processes,
    /// How likely what goes wrong.
    pub(crate) rates: Rates,
    /// When what does not answer at all.
    pub(crate) outages: Vec<(Outage, Range<u64>)>,
    /// When Meta refuses whatever is asked.
    pub(crate) spells: Vec<Spell>,
    /// From when on nothing goes wrong any more.
    pub(crate) calm_at: u64,
    /// When all must have ended.
    pub(crate) end: u64,
}

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
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
    /// Everything is as late, and every clock as far off, as it may be and no more.
    Brink,
    /// All of it.
    All,
}

/// One account.
#[derive(Clone, Debug)]
pub(crate) struct AccountPlan {
    /// Its id.
    pub(crate) id: AccountId,
    /// Its quotas.
    pub(crate) rows: Vec<Row>,
    /// The same, as the limiter has them.
    pub(crate) rules: Rules,
    /// What it answers to.
    pub(crate) campaign: Campaign,
    /// Its comments.
    pub(crate) comments: Vec<CommentPlan>,
    /// When it is no longer connected, where it ever is not.
    pub(crate) removed_at: Option<u64>,
}

/// One quota, in the terms of everybody who counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) id: &'static str,
    /// What it counts.
    pub(crate) counts: Counted,
    /// The window's length in milliseconds.
    pub(crate) window: u64,
    /// The most that a window may hold.
    pub(crate) limit: NonZeroU32,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
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
pub(crate) struct CommentPlan {
    /// Its id.
    pub(crate) id: CommentId,
    /// When it is made.
    pub(crate) made_at: u64,
    /// Its author.
    pub(crate) author: RecipientId,
    /// What it is on.
    pub(crate) surface: Surface,
    /// What becomes of a private reply to it.
    pub(crate) nature: Nature,
    /// Whether it is to be answered.
    pub(crate) asks: Asks,
}

/// What a comment is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
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
pub(crate) enum Nature {
    /// It arrives.
    Answerable,
    /// It is refused for good, as of this instant.
    Refused(Refusal, u64),
}

/// Whether a comment is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// A campaign wants it.
    Wanted,
    /// No campaign does.
    Unwanted,
    /// The account wrote it itself.
    Own,
}

/// One webhook POST.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// When it is made first.
    pub(crate) at: u64,
    /// What it tells of.
    pub(crate) comments: Vec<CommentEvent>,
}

/// The most processes of each kind at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    /// That take webhooks.
    pub(crate) webhook: usize,
    /// That send.
    pub(crate) sender: usize,
    /// That release.
    pub(crate) release: usize,
}

/// How likely what goes wrong: of each request, message, invocation or process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// A request to the store or a queue takes long.
    pub(crate) slow: f64,
    /// A connection to Meta takes long.
    pub(crate) connect: f64,
    /// A clock is as far off as it may be.
    pub(crate) edge: f64,
    /// A request to the store is throttled.
    pub(crate) throttled: f64,
    /// A request does not arrive.
    pub(crate) request_lost: f64,
    /// A request takes effect, and its answer does not arrive.
    pub(crate) answer_lost: f64,
    /// A message is refused by its queue.
    pub(crate) message_refused: f64,
    /// A message comes again while it is worked on.
    pub(crate) message_repeated: f64,
    /// A message comes late.
    pub(crate) message_late: f64,
    /// A message that was done with is not deleted.
    pub(crate) delete_lost: f64,
    /// An invocation dies.
    pub(crate) killed: f64,
    /// A call to Meta goes wrong.
    pub(crate) meta: f64,
    /// A process begins with a clock beyond the bound.
    pub(crate) clock_wrong: f64,
    /// A process's clock jumps beyond the bound.
    pub(crate) clock_jumps: f64,
    /// A delivery comes again though it was answered.
    pub(crate) post_repeated: f64,
}

/// What does not answer at all for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// DynamoDB.
    Store,
    /// SQS.
    Queues,
    /// Meta, which cannot be reached.
    Meta,
}

/// A time in which Meta refuses whatever is asked.
#[derive(Clone, Debug)]
pub(crate) struct Spell {
    /// Whose calls; all accounts' when there is none.
    pub(crate) account: Option<AccountId>,
    /// When.
    pub(crate) span: Range<u64>,
    /// How.
    pub(crate) refusal: Refusal,
}

impl AccountPlan {
    /// The account as the use cases know it.
    pub(crate) fn account(&self) -> Account {
        Account {
            id: self.id.clone(),
            rules: self.rules.clone(),
            campaigns: Campaigns::new([self.campaign.clone()]),
            token: SecretString::from("token".to_owned()),
        }
    }

    /// Whether a comment is to be answered.
    pub(crate) fn wants(&self, comment: &CommentId) -> bool {
        let mut comments = self.comments.iter();
        comments.any(|plan| plan.id == *comment && plan.asks == Asks::Wanted)
    }
}

impl Row {
    /// As the limiter has it.
    fn quota(&self) -> Quota {
        let (actions, unit) = match self.counts {
            Counted::Calls => (Action::ALL.to_vec(), Unit::Calls),
            Counted::PrivateReplies => (vec![Action::PrivateReply], Unit::Calls),
            Counted::LiveReplies => (vec![Action::LiveReply], Unit::Calls),
            Counted::Recipients => (Action::DIRECT_MESSAGES.to_vec(), Unit::Recipients),
        };
        let window = Duration::from_millis(self.window);
        Quota::new(self.id, &actions, unit, window, Limit::Fixed(self.limit))
    }
}

/// The rules that these rows make.
fn rules(rows: &[Row]) -> Rules {
    let profile = Profile {
        name: "drawn".into(),
        quotas: rows.iter().map(Row::quota).collect(),
        spread: None,
        warm_up: None,
        slow_down: SlowDown::default(),
    };
    Rules::new(profile, Terms::default()).expect("every action has a row")
}

impl Scenario {
    /// The account's plan.
    pub(crate) fn account(&self, id: &AccountId) -> Option<&AccountPlan> {
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
