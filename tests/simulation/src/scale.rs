//! Scale: very many accounts and comments within an hour of virtual time go through the use cases,
//! and every request is counted by the partition key that it goes to.
//!
//! Nothing fails here, and a request is answered at once: the question is how hot each key becomes.

mod clockwork;
mod meter;
mod one;
mod plan;
mod pool;
mod ports;
mod process;
mod report;
mod stopwatch;
mod store;
mod talks;
mod units;

pub use clockwork::Progress;
pub use one::{Answers, One, Reply};
pub use plan::Size;
pub use report::{
    Family, Hottest, QueueReport, READS_MAX, Report, TableReport, Units, UnitsReport, WRITES_MAX,
};

pub(crate) use clockwork::{Clockwork, Gather};
pub(crate) use meter::{Counts, Invocations};
pub(crate) use plan::{HOUR, MINUTE, Plan, Wave};
pub(crate) use stopwatch::Server;
pub(crate) use store::Shared;
pub(crate) use talks::Followers;

/// The hour in which comments come, and half an hour more.
const ALL: u64 = HOUR + HOUR / 2;

/// Plays it, against a Meta that takes every call; tells `each` minute how far it is.
pub fn play(size: Size, each: impl FnMut(Progress)) -> Report {
    let meta = Box::new(|_, _| Reply::Accepted);
    let shared = Shared::new(Plan::new(size), meta, size.viral(), size.seed);
    let tally = Clockwork::new(shared.clone(), ALL, Gather::DEFAULT, size.seed).play(each);
    let store = shared.store();
    Report::of(size, ALL / 1000, tally, &store)
}
