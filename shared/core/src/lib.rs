//! Spillway's decisions as pure functions of state, time and seed.
//!
//! There is no I/O, no async, no ambient clock and no ambient randomness. The workspace's
//! architecture test holds the crate's dependencies to that.
//!
//! | modules | contents |
//! |---|---|
//! | [`quota`], [`window`], [`windows`] | what is counted, over which rolling window |
//! | [`profile`], [`rules`], [`active_hours`] | the limits of an account at an instant, and its active hours |
//! | [`budget`], [`app`] | decisions on an account's calls, and on those of the whole app |
//! | [`hold`], [`refusal`], [`meta_error`], [`feedback`], [`answers`] | what happens after Meta refuses a call |
//! | [`pace`], [`forecast`], [`load`] | slots, and when waiting sends will go out |
//! | [`send`], [`unknown`], [`stamp`], [`history`], [`journal`] | the life of a send, and what people are told |
//! | [`once`] | how often a person and a comment are answered |
//! | [`campaign`], [`keyword`], [`message`], [`content`], [`rotation`] | which comments match, and what is sent |
//! | [`conversation`] | what follows an opening, step by step, with one person |
//! | [`outbound`] | who of a list may be written to unasked |
//! | [`misses`] | counts and samples of comments that match nothing |
//! | [`upkeep`], [`status`] | when an account is due for a visit, and what it is doing |
//! | [`id`], [`seed`], [`time`], [`span`] | ids, seeds, instants and spans |
//!
//! The modules lie side by side, and a module with parts has a folder. Folders for the rows of this
//! table would say less: holds, sends and time belong to several of them.
//!
//! # A budget decision
//!
//! A decision checks every quota and takes from all of them, or takes nothing:
//!
//! ```
//! use std::num::NonZeroU32;
//!
//! use spillway_core::budget::{Budget, Decision, GrantId, BudgetRequest};
//! use spillway_core::quota::Action;
//! use spillway_core::rules::Rules;
//! use spillway_core::send::Lane;
//! use spillway_core::time::Timestamp;
//!
//! // Noon, UTC: within the active hours.
//! let now = Timestamp::from_secs(1_790_596_800);
//! let want = BudgetRequest {
//!     action: Action::PrivateReply,
//!     lane: Some(Lane::Inbound),
//!     units: NonZeroU32::MIN,
//!     least: NonZeroU32::MIN,
//!     first: None,
//!     beside: None,
//!     reads: false,
//!     lease_until: now,
//!     counted_at: None,
//!     usage: None,
//! };
//! let mut budget = Budget::default();
//! let mut granted = 0;
//! let denial = loop {
//!     match budget.decide(&Rules::careful(), &want, now, GrantId::new(1, granted)) {
//!         Decision::Granted(grant, next, _) => {
//!             granted += u64::from(grant.units);
//!             budget = *next;
//!         }
//!         Decision::Denied(denial) => break denial,
//!     }
//! };
//! assert!((1..200).contains(&granted), "less than an hour's 200 calls fit at one instant");
//! assert!(denial.retry_at > now);
//! ```
//!
//! # A pace
//!
//! ```
//! use std::time::Duration;
//!
//! use spillway_core::budget::GrantId;
//! use spillway_core::pace::Cursor;
//! use spillway_core::rules::Rules;
//! use spillway_core::send::{Class, Lane};
//! use spillway_core::time::Timestamp;
//!
//! let now = Timestamp::from_secs(1_790_596_800);
//! let deadlines = vec![now + Duration::from_secs(7 * 86_400); 100];
//! let (rules, id) = (Rules::careful(), GrantId::new(1, 1));
//! let taken = Cursor::default().take(&rules, Class::PRIVATE_REPLY, now, &deadlines, id);
//! // The day's 1,000 DMs over 16 hours: one every 58 s, and ten minutes are planned ahead.
//! assert_eq!(taken.slots.len(), 11);
//! assert_eq!(taken.cursor.unwrap().parked, Some(Lane::Inbound));
//! ```
//!
//! # A forecast
//!
//! ```
//! use std::time::Duration;
//!
//! use spillway_core::budget::Budget;
//! use spillway_core::campaign::Overflow;
//! use spillway_core::forecast::{Expected, Forecast, forecast};
//! use spillway_core::pace::Cursor;
//! use spillway_core::rules::Rules;
//! use spillway_core::send::{Class, REPLY_WINDOW};
//! use spillway_core::time::Timestamp;
//!
//! let now = Timestamp::from_secs(1_790_596_800);
//! let comment = Expected {
//!     class: Class::PRIVATE_REPLY,
//!     arrives: now,
//!     deadline: now + REPLY_WINDOW,
//!     order: Overflow::OldestFirst,
//! };
//! let (budget, cursor) = (Budget::default(), Cursor::default());
//! let planned = forecast(&Rules::careful(), &budget, &cursor, now, &[], &vec![comment; 1500]);
//! let Some(Forecast::Sent(last)) = planned.last() else { panic!("all can be sent") };
//! // The day's thousand, a night, and the rest.
//! assert!(last.since(now) > Duration::from_secs(24 * 3600));
//! ```

pub mod active_hours;
pub mod albums;
pub mod answers;
pub mod app;
pub mod budget;
pub mod campaign;
pub mod content;
pub mod conversation;
pub mod feedback;
pub mod forecast;
pub mod history;
pub mod hold;
mod hold_cause;
pub mod id;
pub mod journal;
pub mod keyword;
pub mod load;
pub mod message;
pub mod meta_error;
pub mod misses;
pub mod once;
pub mod outbound;
mod outlook;
pub mod pace;
pub mod profile;
pub mod quota;
pub mod refusal;
pub mod rotation;
pub mod rules;
pub mod seed;
pub mod send;
pub mod span;
pub mod stamp;
pub mod status;
pub mod time;
pub mod unknown;
pub mod upkeep;
pub mod window;
pub mod windows;
