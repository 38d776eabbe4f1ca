//! The ports of a process: each request is answered at once, and counted as the adapters of
//! `shared/cloud` would make it.

mod pacing;
mod queues;
mod sends;

use std::sync::Arc;

use super::meter::{Cost, Table};
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
    fn state<R>(&self, key: &str, cost: Cost, effect: impl FnOnce(&mut Store) -> R) -> R {
        self.request(Table::State, key, cost, effect)
    }

    /// A request to the `sends` table.
    fn sends<R>(&self, key: &str, cost: Cost, effect: impl FnOnce(&mut Store) -> R) -> R {
        self.request(Table::Sends, key, cost, effect)
    }

    fn request<R>(
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
