//! What a run is about: accounts and their quotas, comments and how Meta tells of them, processes,
//! and what goes wrong. All of it is drawn from the seed before anything happens.

mod administration;
mod burst;
mod campaign;
mod crowd;
mod draw;
mod jobs;
mod limits;
mod messages;
mod one_account;
mod people;
mod public_replies;
mod refusals;
mod repeats;
mod talks;
mod triggers;
mod upkeep;

use std::cmp::Reverse;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use clap::ValueEnum;
use serde::Serialize;
use spillway_core::budget::Revision;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::content::Disclosure;
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::quota::Action;
use spillway_core::unknown::RetryUnknown;
use spillway_meta::webhook::{CommentEvent, ConversationEvent, Echo};
use spillway_service::account::{Account, SealedToken};
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::ingest::{EntryKeys, NewMessage};

pub(crate) use self::administration::{File, Order};
pub(crate) use self::limits::{Base, Limits, Pace, Row, Shape, quotas_of};
pub(crate) use self::people::CAMPAIGN;
pub(crate) use self::public_replies::SENT;
pub(crate) use self::talks::DISCLOSURE;
pub(crate) use self::triggers::EventPlan;
use crate::dice::Dice;
use crate::meta::Refusal;
use crate::record::Elapsed;

/// A run before it begins.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What it is about.
    pub(crate) theme: Theme,
    /// What it was drawn from.
    pub(crate) seed: u64,
    /// What kind of trouble it has.
    pub(crate) trouble: Trouble,
    /// When it begins, in milliseconds since 1970, as all instants here.
    pub(crate) start: u64,
    /// The accounts.
    pub(crate) accounts: Vec<AccountPlan>,
    /// The app's quota, where some account may not keep to its share by itself.
    pub(crate) app: Option<Row>,
    /// What ingest is told, ascending.
    pub(crate) posts: Vec<Post>,
    /// What other tools do, ascending.
    pub(crate) jobs: Vec<Job>,
    /// How full Meta says the limits are.
    pub(crate) headers: Headers,
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
    /// Within how long a comment must have its answer, where that is certain.
    pub(crate) prompt: Option<u64>,
    /// What is known of attempts without a clear answer.
    pub(crate) unknowns: Unknowns,
}

/// What is known of attempts without a clear answer, and what follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknowns {
    /// How often one is repeated that was shown not to have arrived.
    pub(crate) retry: RetryUnknown,
    /// What becomes of echoes.
    pub(crate) echoes: EchoFate,
}

/// What becomes of echoes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoFate {
    /// Whether any come: the account may not be subscribed to them.
    pub(crate) come: bool,
    /// How likely one of them is lost.
    pub(crate) lost: f64,
}

/// What runs are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// Anything, with everything that can go wrong.
    #[default]
    Anything,
    /// Comments that come while a campaign of hundreds of messages runs.
    Campaign,
    /// A few people, or a campaign, whose sends Meta refuses in words that would mean the account.
    Refusals,
    /// Many deliveries at the same instant, and accounts that cannot be read among them.
    Crowd,
    /// Days of upkeep: subscriptions are lost, tokens end, and comments come that no webhook tells
    /// of.
    Upkeep,
    /// What operators do while comments come.
    Administration,
    /// People who comment again and again, and comments that are told again, changed.
    Repeats,
    /// Comments that are answered in public too.
    PublicReplies,
    /// Messages, story replies and mentions, taps and referrals that start campaigns.
    Triggers,
    /// What follows an opening: answers, the follow gate, addresses, deliveries and follow-ups.
    Talks,
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
    /// What it is held to.
    pub(crate) limits: Limits,
    /// What it answers to, and what messages take their texts from.
    pub(crate) campaigns: Vec<Campaign>,
    /// What begins its messages, where it has a disclosure.
    pub(crate) disclosure: Option<Disclosure>,
    /// When the first of them begins, where it is new.
    pub(crate) begins_at: Option<u64>,
    /// Its comments.
    pub(crate) comments: Vec<CommentPlan>,
    /// Its messages that no comment asks for.
    pub(crate) messages: Vec<MessagePlan>,
    /// What people do in conversations with it.
    pub(crate) events: Vec<EventPlan>,
    /// When it is no longer connected, where it ever is not.
    pub(crate) removed_at: Option<u64>,
    /// While what is stored of it cannot be read.
    pub(crate) unreadable: Option<Range<u64>>,
    /// What there is to keep up of it, where it is.
    pub(crate) kept: Option<KeptUp>,
    /// What an operator does with it and when, ascending.
    pub(crate) orders: Vec<(u64, Order)>,
}

/// What upkeep finds of an account at Meta. Instants are in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct KeptUp {
    /// When its token ends.
    pub(crate) token_ends: u64,
    /// Whether Spillway was told so when the account was connected.
    pub(crate) is_end_known: bool,
    /// How long Meta repeats a delivery that fails before it ends the subscription, where it ever
    /// does.
    pub(crate) patience: Option<u64>,
    /// When Meta ends its subscription.
    pub(crate) losses: Vec<u64>,
    /// When Meta stops to deliver its webhooks without saying so, until it is subscribed again.
    pub(crate) silent_from: Option<u64>,
    /// While Meta refuses to go on behind a page of comments.
    pub(crate) pages_refused: Range<u64>,
    /// Whether Meta dates a delivery anew that it makes again.
    pub(crate) is_dated_anew: bool,
    /// How Meta lists its comments.
    pub(crate) listing: Listing,
    /// What people do with it, and when.
    pub(crate) requests: Vec<(u64, Asked)>,
}

/// What people do with an account that is kept up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Somebody asks for the comments of the last days to be read.
    Backfill,
    /// Its owner removes the app.
    Deauthorize,
    /// Its owner removes the app and wants everything deleted.
    Delete,
    /// Its owner connects it again.
    Connect,
}

/// How Meta lists the comments of an account's media.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    /// On how many media they are.
    pub(crate) media: u64,
    /// How many are on a page.
    pub(crate) page: usize,
    /// Which of them come first.
    pub(crate) order: ListOrder,
    /// Whether it says how many comments a media has.
    pub(crate) tells_counts: bool,
}

/// Which comments Meta lists first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// The newest.
    NewestFirst,
    /// The oldest.
    OldestFirst,
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

/// A message that no comment asks for.
#[derive(Clone, Debug)]
pub(crate) struct MessagePlan {
    /// What it is entered as.
    pub(crate) new: NewMessage,
    /// What becomes of it.
    pub(crate) nature: Nature,
}

/// Something that is told to ingest, again until it succeeds.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// When first.
    pub(crate) at: u64,
    /// What.
    pub(crate) what: Told,
}

/// What ingest is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// Comments, in a webhook's POST.
    Comments(Vec<CommentEvent>),
    /// Messages of an account, entered by whoever wants them sent.
    Messages(AccountId, Vec<NewMessage>),
    /// A message that an account has sent.
    Echo(Echo),
    /// What people do in conversations, in a webhook's POST.
    Conversations(Vec<ConversationEvent>),
}

/// A job of another tool that shares an account's budget.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// When.
    pub(crate) at: u64,
    /// For whom.
    pub(crate) account: AccountId,
    /// What it does.
    pub(crate) action: Action,
    /// How often.
    pub(crate) units: NonZeroU32,
}

/// How full Meta says the limits are, in the headers of its answers.
#[derive(Clone, Debug)]
pub(crate) enum Headers {
    /// It says nothing.
    Absent,
    /// As full as they are, where Meta's own are so much in percent of those that are kept.
    True(u64),
    /// While there is trouble, ever fuller and over and over again: each account in a span of its
    /// own, in milliseconds, and the app in another. Later nothing.
    Rising {
        /// The accounts'.
        accounts: Vec<u64>,
        /// The app's.
        app: u64,
    },
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
    /// Of other tools.
    pub(crate) tool: usize,
    /// Of upkeep; there is none where accounts are not kept up.
    pub(crate) upkeep: usize,
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
    /// An invocation of upkeep dies when Meta has just done what it asked for.
    pub(crate) killed_after_call: f64,
    /// A call to Meta goes wrong.
    pub(crate) meta: f64,
    /// A process begins with a clock beyond the bound.
    pub(crate) clock_wrong: f64,
    /// A process's clock jumps beyond the bound.
    pub(crate) clock_jumps: f64,
    /// A delivery comes again though it was answered.
    pub(crate) post_repeated: f64,
    /// Meta refuses to go on behind a page of comments.
    pub(crate) page_refused: f64,
}

/// What does not answer at all for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// DynamoDB.
    Store,
    /// DynamoDB leaves all of a batch undone, as where a table is full.
    Batches,
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
    /// What it strikes.
    pub(crate) strikes: Struck,
}

/// The calls that a spell strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Struck {
    /// All that the refusal may concern.
    All,
    /// Sends: what is read goes through.
    Sends,
}

/// The longest hold that may begin just before the trouble ends: two days, a fifth more, and the
/// run of the release function that finds it over.
const HOLD_MAX: u64 = 60 * 3_600_000;

/// A comment can be answered for so long.
const REPLIES_UNTIL: u64 = 7 * 24 * 3_600_000 - 3_600_000;

impl AccountPlan {
    /// The account as the scenario plans it for `now`, before anybody changes it.
    pub(crate) fn account(&self, now: u64) -> Account {
        Account {
            id: self.id.clone(),
            revision: Revision::default(),
            rules: self.limits.rules(now).clone(),
            campaigns: Campaigns::new(
                self.campaigns.iter().skip(usize::from(self.begins_at > Some(now))).cloned(),
            ),
            token: SealedToken { key: 1, sealed: Vec::new() },
            forgotten: Default::default(),
            conversations: ConversationSettings::default().with_disclosure(self.disclosure.clone()),
            albums: Default::default(),
        }
    }

    /// Whether what is stored of it cannot be read at `now`.
    pub(crate) fn is_unreadable(&self, now: u64) -> bool {
        self.unreadable.as_ref().is_some_and(|span| span.contains(&now))
    }

    /// What its owner has done with it last by `now`, and when.
    pub(crate) fn left(&self, now: u64) -> Option<(u64, Asked)> {
        let requests = self.kept.iter().flat_map(|kept| &kept.requests);
        let requests = requests.filter(|&&(at, asked)| at <= now && asked != Asked::Backfill);
        requests.max_by_key(|&&(at, _)| at).copied()
    }

    /// Whether a comment of then may be unknown because everything of the account was deleted
    /// since, or it was not connected.
    pub(crate) fn may_be_forgotten(&self, made_at: u64) -> bool {
        let mut requests = self.kept.iter().flat_map(|kept| &kept.requests);
        requests.any(|&(at, asked)| made_at <= at && asked == Asked::Delete)
            || self.left(made_at).is_some_and(|(_, last)| last == Asked::Delete)
    }

    /// When it is changed, or removed.
    pub(crate) fn changed_at(&self) -> impl Iterator<Item = u64> {
        self.limits.changed_at().into_iter().chain(self.begins_at).chain(self.removed_at)
    }

    /// The media that a comment of it is on.
    pub(crate) fn media_of(&self, comment: &CommentId) -> MediaId {
        let count = self.kept.as_ref().map_or(1, |kept| kept.listing.media);
        self.media(comment.as_str().bytes().map(u64::from).sum::<u64>() % count)
    }

    /// One of its media.
    pub(crate) fn media(&self, nth: u64) -> MediaId {
        MediaId::new(format!("179000000000000{:02}", nth + 1))
    }

    /// The DMs that are to be made for it.
    pub(crate) fn dms(&self) -> u64 {
        (self.comments.len() + self.messages.len()) as u64
    }
}

impl CommentPlan {
    /// What it says.
    pub(crate) const fn text(&self) -> &'static str {
        match self.asks {
            Asks::Wanted | Asks::Own => "the GUIDE please",
            Asks::Unwanted => "so good!",
        }
    }
}

impl Unknowns {
    /// No echoes come, and what did not arrive is repeated.
    const WITHOUT_ECHOES: Self =
        Self { retry: RetryUnknown::Once, echoes: EchoFate { come: false, lost: 0.0 } };

    /// Those of a seed, drawn apart, so that what else is drawn stays.
    fn drawn(theme: Theme, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x000e_c40e_5000_0000);
        let retry = if dice.chance(0.25) { RetryUnknown::Never } else { RetryUnknown::Once };
        let may_come =
            !matches!(theme, Theme::Campaign | Theme::Crowd | Theme::Upkeep | Theme::Repeats);
        let come = dice.chance(0.6) && may_come;
        let lost = dice.pick(&[0.0, 0.05, 0.3]);
        Self { retry, echoes: EchoFate { come, lost } }
    }
}

impl Scenario {
    /// Whether people are answered as their campaigns' rules say: not before all processes keep
    /// their items.
    pub(crate) fn keeps_to_people(&self) -> bool {
        [0, 1].iter().all(|&process| self.entry_keys(process) != EntryKeys::Comment)
    }

    /// Whether a newer comment may take the place of one that is gone.
    pub(crate) fn has_stand_ins(&self) -> bool {
        [0, 1].iter().all(|&process| self.entry_keys(process) == EntryKeys::Person)
    }

    /// Whether a comment is told of under other media than its post.
    pub(crate) fn is_told_elsewhere(&self, comment: &CommentId) -> bool {
        self.posts.iter().any(|post| match &post.what {
            Told::Comments(comments) => comments.iter().any(|told| {
                told.id == *comment
                    && told.original_media.is_none()
                    && Some(self.accounts[0].media_of(comment)) != told.media
            }),
            Told::Messages(..) | Told::Echo(_) | Told::Conversations(_) => false,
        })
    }

    /// Under which keys a process makes entries. In some runs two deployments that differ by one
    /// step work side by side.
    pub(crate) fn entry_keys(&self, process: u64) -> EntryKeys {
        let sides = match self.seed % 8 {
            _ if self.theme == Theme::Talks => [EntryKeys::Person; 2],
            0 => [EntryKeys::Comment, EntryKeys::Both],
            1 => [EntryKeys::Both, EntryKeys::Person],
            2 => [EntryKeys::Comment; 2],
            _ => [EntryKeys::Person; 2],
        };
        if process.is_multiple_of(2) { sides[0] } else { sides[1] }
    }
}

impl Scenario {
    /// The scenario of a seed.
    pub(crate) fn new(theme: Theme, seed: u64) -> Self {
        match theme {
            Theme::Anything => Self::anything(seed),
            Theme::Campaign => Self::campaign(seed),
            Theme::Refusals => Self::refusals(seed),
            Theme::Crowd => Self::crowd(seed),
            Theme::Repeats => Self::repeats(seed),
            Theme::PublicReplies => Self::public_replies(seed),
            Theme::Triggers => Self::triggers(seed),
            Theme::Talks => Self::talks(seed),
            Theme::Upkeep => Self::upkeep(seed),
            Theme::Administration => Self::administration(seed),
        }
    }

    /// The account's plan.
    pub(crate) fn account(&self, id: &AccountId) -> Option<&AccountPlan> {
        self.accounts.iter().find(|account| account.id == *id)
    }

    /// When accounts are changed, the last change first.
    pub(crate) fn changes(&self) -> Vec<(u64, AccountId)> {
        let of = |account: &AccountPlan| -> Vec<(u64, AccountId)> {
            account.changed_at().map(|at| (at, account.id.clone())).collect()
        };
        let mut changes: Vec<_> = self.accounts.iter().flat_map(of).collect();
        changes.sort_by_key(|&(at, _)| Reverse(at));
        changes
    }

    /// What people do with accounts that are kept up, the last thing first.
    pub(crate) fn requests(&self) -> Vec<(u64, AccountId, Asked)> {
        let of = |account: &AccountPlan| -> Vec<(u64, AccountId, Asked)> {
            let requests = account.kept.iter().flat_map(|kept| &kept.requests);
            requests.map(|&(at, asked)| (at, account.id.clone(), asked)).collect()
        };
        let mut requests: Vec<_> = self.accounts.iter().flat_map(of).collect();
        requests.sort_by_key(|&(at, ..)| Reverse(at));
        requests
    }

    /// Whether a comment's answer waits for nothing but the account's limits and holds.
    pub(crate) fn is_prompt(&self, account: &AccountId, comment: &CommentId) -> bool {
        let has_link = self.spells.iter().any(|spell| spell.refusal == Refusal::Link);
        let comments = self.account(account).into_iter().flat_map(|plan| &plan.comments);
        let plan = comments.into_iter().find(|plan| plan.id == *comment);
        !has_link && plan.is_some_and(|plan| plan.nature == Nature::Answerable)
    }

    /// When comments that no webhook tells of are found, at the latest: a day after the last hold
    /// that the trouble may bring.
    pub(crate) fn found_by(&self) -> u64 {
        self.calm_at + HOLD_MAX + 24 * 3_600_000
    }

    /// Whether the account's limits and all that may stop it leave comments too late.
    pub(crate) fn may_expire(&self, account: &AccountPlan) -> bool {
        self.calm_at - self.start + account.limits.drain(account.dms(), self.start) + HOLD_MAX
            > REPLIES_UNTIL
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Processes { webhook, sender, release, tool, upkeep } = self.processes;
        write!(f, "trouble {:?} until {}", self.trouble, Elapsed(self.calm_at - self.start))?;
        write!(
            f,
            "; processes {webhook} webhook, {sender} sender, {release} release, {tool} tool, \
             {upkeep} upkeep"
        )?;
        write!(f, "; {} deliveries, {} jobs of tools", self.posts.len(), self.jobs.len())?;
        for account in &self.accounts {
            let AccountPlan { comments, messages, limits, .. } = account;
            write!(f, "; {} comments, {} messages, {limits}", comments.len(), messages.len())?;
        }
        Ok(())
    }
}
