//! Albums: each media that a campaign names is asked once which pictures it has, and an album
//! again each week, since pictures may be taken out.
//!
//! Until the pictures of an album are known, a comment under one of them counts as one on a media
//! of its own. So when they become known, the album's comments are read from when all media that
//! campaigns named were last known, and none is lost. They are read on a later visit, when every
//! process knows the album.

use std::collections::BTreeSet;

use spillway_core::id::MediaId;
use spillway_core::upkeep::{Backfill, CHECK_EVERY, Reason, SeenMedia, Unfinished, Upkeep};
use tracing::info;

use super::caller::Caller;
use super::{Next, Upkeeper};
use crate::account_cache::REMEMBERED;
use crate::gateway::read::{IfDead, NoAnswer};
use crate::port::StoreError;

/// Media asked on one visit at most, so that no account keeps the others waiting.
const MEDIA_A_VISIT: usize = 20;

impl Upkeeper {
    /// Asks for the pictures of the media that campaigns name, as far as they are not known. It
    /// waits while sends wait, and leaves half of each quota free.
    pub(super) async fn read_albums(
        &self,
        caller: &Caller<'_>,
        upkeep: &mut Upkeep,
    ) -> Result<Next, StoreError> {
        let (account, now) = (caller.account, self.clock.now());
        let named: BTreeSet<&MediaId> = account.campaigns.media().collect();
        upkeep.seen_media.retain(|media, _| named.contains(media));
        let mut albums = account.albums.clone();
        albums.keep_only(&named);
        let is_known = |media: &MediaId| {
            let seen = upkeep.seen_media.get(media);
            seen.is_some_and(|seen| seen.is_fresh(now, account.albums.knows(media)))
        };
        let unknown: Vec<MediaId> =
            named.into_iter().filter(|media| !is_known(media)).cloned().collect();
        let mut next = Next::Check;
        let mut new = Vec::new();
        for (nth, media) in unknown.into_iter().enumerate() {
            let read = Backfill::new(Reason::Quiet, now, now);
            if nth == MEDIA_A_VISIT || !caller.has_time() || !self.may_read(account, &read).await? {
                next = Next::Soon;
                break;
            }
            let (id, token) = (&account.id, &caller.token);
            let asked = caller
                .call(IfDead::Hold, async |timeout| {
                    self.graph.pictures(id, token, &media, timeout).await
                })
                .await;
            let seen = match asked {
                Ok(pictures) if pictures.is_empty() => SeenMedia::Single,
                Ok(pictures) => {
                    albums.put(&media, pictures);
                    SeenMedia::Album(now)
                }
                Err(NoAnswer::Store(error)) => return Err(error),
                // It was deleted, or is another account's.
                Err(failed) if failed.is_of_the_call() && failed.is_refusal() => {
                    SeenMedia::Refused(now)
                }
                Err(_) => {
                    next = Next::Soon;
                    break;
                }
            };
            if matches!(seen, SeenMedia::Album(_)) && !account.albums.knows(&media) {
                new.push(media.clone());
            }
            upkeep.seen_media.insert(media, seen);
        }
        if albums != account.albums && self.changes.set_albums(&account.id, &albums).await? {
            let since = upkeep.media_known_at.unwrap_or(now - CHECK_EVERY);
            for media in new {
                info!(account = %account.id, %media, "an album: its comments are read soon");
                let again_at = now + REMEMBERED;
                let left = Unfinished { since, until: now, tries: 0, again_at };
                upkeep.unfinished.entry(media).or_insert(left);
                next = Next::Soon;
            }
        }
        if next == Next::Check {
            upkeep.media_known_at = Some(now);
        }
        Ok(next)
    }
}
