//! The ports of a process: each request is answered at once, and counted as the adapters of
//! `shared/cloud` would make it.
//!
//! The tables are those of `spillway-memory`. The ports are not: a request is counted under its key
//! and with the bytes that DynamoDB would bill, which differ with what it reads and writes.

mod conversations;
mod journal;
mod leads;
mod misses;
mod pacing;
mod queues;
mod sends;

use std::sync::Arc;

use super::meter::{Cost, Table};
use super::stopwatch::Server;
use super::store::{Shared, Store};
use crate::process::Function;

/// The world as processes of one function reach it.
pub(super) struct Ports {
    /// The world.
    pub(super) shared: Arc<Shared>,
    /// Whose requests these are.
    pub(super) function: Function,
}

impl Ports {
    /// A request to the `state` table.
    async fn state<R>(&self, key: &str, cost: Cost, effect: impl FnOnce(&mut Store) -> R) -> R {
        let answer = self.item(Table::State, key, cost, effect);
        self.ask_store(1).await;
        answer
    }

    /// A request to the `sends` table.
    async fn sends<R>(&self, key: &str, cost: Cost, effect: impl FnOnce(&mut Store) -> R) -> R {
        let answer = self.item(Table::Sends, key, cost, effect);
        self.ask_store(1).await;
        answer
    }

    /// So many requests to DynamoDB at a time.
    async fn ask_store(&self, requests: usize) {
        self.shared.request(Server::Store, requests).await;
    }

    /// An item of a request.
    fn item<R>(
        &self,
        table: Table,
        key: &str,
        cost: Cost,
        effect: impl FnOnce(&mut Store) -> R,
    ) -> R {
        let mut store = self.shared.store();
        store.ask(self.function, table, key, cost);
        effect(&mut store)
    }
}
