//! Campaigns with `media = "next"`: the account's posts are listed on each run until the one that a
//! campaign waits for is there.
//!
//! No webhook tells of a post. Comments under it match nothing before its campaign knows it. They
//! are read from the post's first instant on, on a later visit, when every process knows it too.

use spillway_core::campaign::NextPost;
use spillway_core::id::CampaignId;
use spillway_core::journal::Event;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{Backfill, Reason, Unfinished, Upkeep};
use spillway_meta::graph::{MediaItem, Page};
use tracing::info;

use super::caller::Caller;
use super::{Next, Upkeeper};
use crate::account_cache::REMEMBERED;
use crate::gateway::read::{IfDead, NoAnswer};
use crate::port::StoreError;

impl Upkeeper {
    /// Looks for the posts that campaigns wait for. It waits while sends wait, and leaves half of
    /// each quota free.
    pub(super) async fn find_next_posts(
        &self,
        caller: &Caller<'_>,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        let (account, now) = (caller.account, self.clock.now());
        let mut awaited: Vec<(&CampaignId, Timestamp)> = Vec::new();
        for waits in account.campaigns.waiting_for_post(now) {
            let id = &waits.campaign.id;
            if waits.since.is_none() {
                // Whoever applied it died before it was noted.
                self.changes.set_next_post(&account.id, id, &NextPost::AwaitedSince(now)).await?;
            }
            awaited.push((id, waits.since.unwrap_or(now)));
        }
        if awaited.iter().all(|&(_, since)| now < since) {
            return Ok(Next::Check);
        }
        let read = Backfill::new(Reason::Quiet, now, now);
        if !caller.has_time() || !self.may_read(account, &read).await? {
            return Ok(Next::Soon);
        }
        let (id, token) = (&account.id, &caller.token);
        let listed = caller
            .call(IfDead::Hold, async |timeout| self.graph.media(id, token, timeout).await)
            .await;
        let posts = match listed {
            Ok(Page { items, .. }) => items,
            Err(NoAnswer::Store(error)) => return Err(error),
            Err(_) => return Ok(Next::Soon),
        };
        let mut next = Next::Check;
        for (campaign, since) in awaited {
            let Some((published_at, post)) = first_since(&posts, since) else {
                next = Next::Soon;
                continue;
            };
            let is = NextPost::Is(post.id.clone());
            if !self.changes.set_next_post(&account.id, campaign, &is).await? {
                continue;
            }
            info!(account = %account.id, %campaign, media = %post.id, "its post is published");
            let (campaign, media) = (campaign.clone(), post.id.clone());
            self.tell(&account.id, Event::NextPostFound { campaign, media: media.clone() }).await;
            let again_at = now + REMEMBERED;
            let left = Unfinished { since: published_at, until: now, tries: 0, again_at };
            upkeep.unfinished.entry(media).or_insert(left);
            next = Next::Soon;
        }
        Ok(next)
    }
}

/// The first post that was published at `since` or later, and when.
fn first_since(posts: &[MediaItem], since: Timestamp) -> Option<(Timestamp, &MediaItem)> {
    let published = posts.iter().filter_map(|post| Some((post.created_at?, post)));
    published.filter(|&(at, _)| at >= since).min_by_key(|&(at, _)| at)
}
