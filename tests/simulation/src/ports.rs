//! The ports of a process, over what all processes share.

mod accounts;
mod conversations;
mod graph;
mod ledger;
mod queues;
mod sends;
mod tables;
mod upkeep;
