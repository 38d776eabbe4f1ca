//! Cursors of which every lane's slots stand behind those of all others.

use async_trait::async_trait;
use spillway_core::id::AccountId;
use spillway_core::pace::Cursor;
use spillway_service::port::{Cursors, Saved, StoreError};

use super::Sabotaged;

fn without_lanes(mut cursor: Cursor) -> Cursor {
    let last = cursor.next.0.iter().copied().max().unwrap_or_default();
    cursor.next.0.fill(last);
    cursor
}

#[async_trait]
impl Cursors for Sabotaged {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        Ok(without_lanes(Cursors::load(&self.ports(), account).await?))
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        let next = without_lanes(next.clone());
        Ok(match Cursors::save(&self.ports(), account, &next).await? {
            Saved::Done => Saved::Done,
            Saved::Conflict(current) => Saved::Conflict(without_lanes(current)),
        })
    }
}
