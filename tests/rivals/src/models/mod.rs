//! The models, and Spillway beside them.

mod exact;
mod fixed_window;
mod hops;
mod per_minute;
mod spillway;
mod token_bucket;

pub use exact::Exact;
pub use fixed_window::FixedWindow;
pub use hops::Hops;
pub use per_minute::PerMinute;
pub use spillway::Spillway;
pub use token_bucket::TokenBucket;

use crate::Model;

/// All of them, Spillway and the exact planner last.
pub fn all() -> Vec<Box<dyn Model>> {
    vec![
        Box::new(FixedWindow),
        Box::new(PerMinute),
        Box::new(Hops),
        Box::new(TokenBucket),
        Box::new(Spillway),
        Box::new(Exact),
    ]
}
