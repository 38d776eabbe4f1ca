//! Comments that matched nothing: how many, what came nearest, and samples.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::misses::{Day, Excluded, MissKind};
use spillway_core::time::Timestamp;

use super::AdminError;
use super::instant::rfc3339;
use crate::account::Account;
use crate::port::{Misses, SampleOpener, StoreError};

/// Shows misses.
pub struct MissAdmin {
    /// The store.
    pub store: Arc<dyn Misses>,
    /// Opens samples.
    pub opener: Arc<dyn SampleOpener>,
}

/// Whether samples are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// They are opened and shown.
    Shown,
    /// Only counts are.
    Left,
}

/// The misses of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissesView {
    /// The first day that is counted, in UTC.
    pub since: String,
    /// Counts, the most frequent first.
    pub misses: Vec<MissView>,
    /// Samples, the newest first; `None` if nobody asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Vec<SampleView>>,
}

/// How often something excluded comments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissView {
    /// The account.
    pub account: AccountId,
    /// The campaign that came nearest.
    pub campaign: Option<CampaignId>,
    /// Its keyword that the comments contain, or almost do.
    pub keyword: Option<String>,
    /// What excluded them.
    pub excluded: Excluded,
    /// The exception that they contain.
    pub exception: Option<String>,
    /// How many there were.
    pub count: u64,
}

/// A comment that matched nothing.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SampleView {
    /// The account.
    pub account: AccountId,
    /// When Meta told of it.
    pub at: Option<String>,
    /// The same instant.
    #[serde(skip)]
    pub told_at: Timestamp,
    /// The keyword that came nearest.
    pub keyword: Option<String>,
    /// What excluded it.
    pub excluded: Excluded,
    /// What it is on.
    pub media: Option<MediaId>,
    /// Its folded text; `None` if it cannot be opened.
    pub text: Option<String>,
}

/// Without the text.
impl std::fmt::Debug for SampleView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampleView").field("account", &self.account).finish_non_exhaustive()
    }
}

impl MissView {
    /// Says in words what excluded the comments.
    pub fn reason(&self) -> String {
        said(self.excluded, self.exception.as_deref())
    }
}

impl SampleView {
    /// Says in words what excluded the comment.
    pub fn reason(&self) -> String {
        said(self.excluded, None)
    }
}

/// What excluded comments, in words.
fn said(excluded: Excluded, exception: Option<&str>) -> String {
    match (excluded, exception) {
        (Excluded::NoKeyword, _) => "no keyword is near".into(),
        (Excluded::Almost, _) => "almost the keyword".into(),
        (Excluded::OtherTrigger, _) => "the campaign is not on comments".into(),
        (Excluded::Paused, _) => "the campaign is paused".into(),
        (Excluded::NotBegun, _) => "the campaign has not begun".into(),
        (Excluded::Over, _) => "the campaign is over".into(),
        (Excluded::OtherMedia, _) => "on other media".into(),
        (Excluded::Reply, _) => "below another comment".into(),
        (Excluded::Exception, Some(word)) => format!("the exception «{word}»"),
        (Excluded::Exception, None) => "an exception".into(),
        (Excluded::Other, _) => "(counted alone)".into(),
    }
}

impl MissAdmin {
    /// Returns the misses of connected accounts: counts from the day on in which `now - span` lies,
    /// samples from that instant on.
    ///
    /// # Errors
    /// Fails if the store does not answer, or a sample's key cannot be used.
    pub fn view<'a>(
        &'a self,
        accounts: &'a [Account],
        span: Duration,
        samples: Samples,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<MissesView, AdminError>> {
        Box::pin(async move {
            let since = Day::of(now - span);
            let mut misses = Vec::new();
            let mut shown = Vec::new();
            for account in accounts {
                misses.extend(self.counts(&account.id, since).await?);
                if samples == Samples::Shown {
                    shown.extend(self.samples(account, now - span, now).await?);
                }
            }
            misses.sort_by_key(|miss| std::cmp::Reverse(miss.count));
            shown.sort_by_key(|sample| std::cmp::Reverse(sample.told_at));
            let samples = (samples == Samples::Shown).then_some(shown);
            Ok(MissesView { since: since.to_string(), misses, samples })
        })
    }

    async fn counts(&self, account: &AccountId, since: Day) -> Result<Vec<MissView>, StoreError> {
        let mut counts: BTreeMap<MissKind, u64> = BTreeMap::new();
        for (_, day) in self.store.days(account, since).await? {
            for counted in day.tally.counts() {
                let count = counts.entry(counted.kind.clone()).or_default();
                *count = count.saturating_add(counted.count);
            }
        }
        let view = |(kind, count)| {
            let MissKind { campaign, keyword, excluded, exception } = kind;
            MissView { account: account.clone(), campaign, keyword, excluded, exception, count }
        };
        Ok(counts.into_iter().map(view).collect())
    }

    async fn samples(
        &self,
        account: &Account,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SampleView>, StoreError> {
        let mut shown = Vec::new();
        for stored in self.store.samples(&account.id, since, now).await? {
            // A process that did not know it yet may have written it since.
            if account.forgotten.was_written_by(stored.person.as_ref(), stored.at) {
                continue;
            }
            let text = match self.opener.open(&account.id, &stored.text).await {
                Ok(text) => Some(text),
                Err(StoreError::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            shown.push(SampleView {
                account: account.id.clone(),
                at: rfc3339(stored.at),
                told_at: stored.at,
                keyword: stored.kind.keyword,
                excluded: stored.kind.excluded,
                media: stored.media,
                text,
            });
        }
        Ok(shown)
    }
}
