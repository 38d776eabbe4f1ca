//! Scale: very many accounts and comments within an hour of virtual time go through the use cases, and
//! every request is counted by the partition key that it goes to.
//!
//! Nothing fails here, and a request is answered at once: the question is how hot each key becomes.

mod hour;
mod keys;
mod meter;
mod plan;
mod pool;
mod ports;
mod process;
mod report;
mod store;
mod units;

pub use hour::Progress;
pub use plan::Size;
pub use report::{
    Family, Hottest, QueueReport, READS_MAX, Report, TableReport, Units, UnitsReport, WRITES_MAX,
};

/// Plays an hour of comments and half an hour more; tells `each` minute how far it is.
pub fn play(size: Size, each: impl FnMut(Progress)) -> Report {
    hour::Hour::new(size).play(each)
}
