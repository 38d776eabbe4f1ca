//! Tracked links: what writes them, and who is told that one was opened.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::links::{LinkOwner, Linker};

/// Where the sender gets what writes the deployment's tracked links.
#[async_trait]
pub trait Links: Send + Sync {
    /// Returns what writes them; `None` where the deployment has no such links.
    async fn linker(&self) -> Result<Option<Arc<Linker>>, StoreError>;
}

/// The links of a deployment that has none: each message has the addresses themselves.
pub struct NoLinks;

#[async_trait]
impl Links for NoLinks {
    async fn linker(&self) -> Result<Option<Arc<Linker>>, StoreError> {
        Ok(None)
    }
}

/// What became of a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clicked {
    /// It is the first one of its person in its conversation.
    Counted,
    /// The person had opened a link of this conversation before.
    Known,
    /// The conversation is not kept, or not any more.
    NoConversation,
}

/// Who is told that people open links.
#[async_trait]
pub trait Clicks: Send + Sync {
    /// Tells that somebody has opened a link of theirs. Telling it again is right.
    async fn clicked(&self, owner: &LinkOwner) -> Result<Clicked, StoreError>;
}
