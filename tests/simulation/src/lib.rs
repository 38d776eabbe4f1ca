//! The simulator: the use cases over in-memory ports in virtual time, everything drawn from a seed.
//!
//! Processes run at the same time, each request is a point at which another may go first, and
//! anything may die or fail there. What must hold is looked at after every step; what broke is
//! named with the seed that breaks it again.
//!
//! A hundred runs a second are possible. `simulate --seed N --trace` plays a seed again with
//! every event.

pub mod alone;
pub mod bill;
mod by_hand;
mod dice;
mod end;
mod host;
mod judge;
mod lambda;
mod meta;
pub mod optimum;
mod orders;
mod ports;
mod process;
mod queue;
mod record;
mod report;
mod sabotage;
pub mod scale;
mod scenario;
pub mod seeds;
mod settings;
mod sim;
mod stored;
mod tasks;
mod tool;
mod watch;
mod world;

pub use record::{Counts, Elapsed, Failure, Listener};
pub use report::Totals;
pub use sabotage::Sabotage;
pub use scenario::Theme;
pub use sim::Run;
pub use watch::Tally;
