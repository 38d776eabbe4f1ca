//! The bill: what a million DMs cost, from counted requests and units and a price list.

mod conversations;
mod echoes;
mod lambda;
mod misses;
mod others;
mod prices;
mod report;
mod usage;
mod workload;

pub use conversations::{Conversations, Gate, count_conversations};
pub use others::Other;
pub use prices::{LIST, Price, Prices, PricesError};
pub use report::{Column, OtherColumn, Report, Target};
pub use usage::{Bill, Usage};
pub use workload::{Counted, Crowd, PerOne, Wait, count_all};

/// What the bill is about, in the order of its columns.
pub const WORKLOADS: [(Crowd, Wait); 7] = [
    (Crowd::Fleet, Wait::Straight),
    (Crowd::Fleet, Wait::EightHours),
    (Crowd::Fleet, Wait::ThreeDays),
    (Crowd::Viral, Wait::Straight),
    (Crowd::Viral, Wait::EightHours),
    (Crowd::Viral, Wait::ThreeDays),
    (Crowd::FleetOfSingles, Wait::Straight),
];
