//! The ports of a process, over what all processes share.

mod graph;
mod pacing;
mod queues;
mod sends;
mod upkeep;
