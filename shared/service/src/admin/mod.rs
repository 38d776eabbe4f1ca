//! What operators do to accounts, campaigns and sends, and what they see: the one place for it. The
//! operator's tool parses, asks and prints; what it asks about, does and shows is here.
//!
//! An operation of several writes says why they come in their order. Each is safe to be the last
//! one: a repeat, upkeep or release finishes what is left.
//!
//! | module | what it does |
//! |---|---|
//! | [`connect`], [`removal`] | brings an account into the deployment, and out of it |
//! | [`accounts`] | shows, holds and resumes accounts, changes their limits, asks for a backfill |
//! | [`plan`], [`campaigns`] | applies accounts files, shows, pauses and resumes campaigns |
//! | [`matching`] | tells which campaign would answer a comment, and why |
//! | [`derived`] | tells why a comment got nothing for which no send is recorded |
//! | [`sends`], [`send_view`], [`wait`] | finds, cancels, retries and forgets sends, shows them and why they wait |
//! | [`talk`] | shows what is kept of the conversation of a send |
//! | [`dead_letters`] | moves dead letters back, or drops them |
//! | [`outbound`] | sends a campaign to a list of people |
//! | [`leads`] | opens the e-mail addresses that people gave |
//! | [`misses`] | shows which comments matched nothing, and why |
//! | [`outcomes`] | counts what became of the sends of campaigns, and how far people came |
//! | [`overview`], [`listing`], [`status`], [`events`] | shows what accounts are doing, and what happened |
//! | [`reception`] | tells whether Instagram reaches the deployment |
//! | [`forecast`] | plans a viral day |
//! | [`told`] | tells times and numbers to people |

pub mod accounts;
pub mod campaigns;
pub mod connect;
pub mod dead_letters;
pub mod derived;
pub mod events;
pub mod forecast;
pub(crate) mod instant;
pub mod leads;
pub mod listing;
pub mod matching;
pub mod misses;
pub mod outbound;
pub mod outcomes;
pub mod overview;
pub mod plan;
pub mod reception;
mod refusal;
pub mod removal;
pub mod send_view;
pub mod sends;
mod several;
pub mod status;
pub mod talk;
pub mod told;
pub mod wait;

use std::sync::Arc;

use spillway_core::hold::REASON_BYTES_MAX;
use spillway_core::id::AccountId;

use self::accounts::AccountAdmin;
pub use self::instant::rfc3339;
use self::leads::LeadAdmin;
use self::misses::MissAdmin;
use self::outbound::OutboundAdmin;
use self::outcomes::OutcomeAdmin;
use self::overview::Overviews;
use self::reception::Receptions;
pub use self::refusal::RefusalView;
use self::sends::SendAdmin;
pub use self::several::{Several, UNREADABLE, Unreadable};
use crate::port::StoreError;

/// Everything that operators do.
pub struct Admin {
    /// Operations on accounts and campaigns.
    pub accounts: AccountAdmin,
    /// Operations on sends.
    pub sends: Arc<SendAdmin>,
    /// Campaigns that are sent to lists of people.
    pub outbound: OutboundAdmin,
    /// What accounts are doing.
    pub overviews: Overviews,
    /// Whether Instagram reaches the deployment.
    pub receptions: Receptions,
    /// Comments that matched nothing.
    pub misses: MissAdmin,
    /// E-mail addresses that people gave.
    pub leads: LeadAdmin,
    /// What became of sends, and how far people came.
    pub outcomes: OutcomeAdmin,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no such account.
    #[error("account {0} is not connected")]
    NotConnected(AccountId),
    /// It was removed after it was read.
    #[error("account {0} was removed meanwhile")]
    Removed(AccountId),
    /// It was changed, or connected again, after it was read.
    #[error("account {0} was changed meanwhile, and is still connected: look at it and try again")]
    Changed(AccountId),
    /// Its owner has asked for its deletion, and calls for it are under way.
    #[error(
        "account {0} is being deleted, as its owner has asked, and calls for it are under way: \
         connect it again in three minutes"
    )]
    BeingDeleted(AccountId),
    /// The note of a hold is too long.
    #[error("the reason has more than {REASON_BYTES_MAX} bytes: shorten it")]
    LongReason,
    /// The store, about this account.
    #[error("account {0}")]
    Account(AccountId, #[source] StoreError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
