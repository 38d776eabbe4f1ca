//! A campaign as it is stored: what a file says, and what has become of it since.

use super::{Campaign, NextPost, Running};

/// A stored campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCampaign {
    /// What a file says.
    pub campaign: Campaign,
    /// Whether it is active.
    pub running: Running,
    /// Its place among the account's campaigns, counted from 0. `None` if it was stored before
    /// campaigns had places: those come last, by id.
    pub place: Option<u32>,
    /// The post that it is for, if it is for the next one.
    pub next_post: Option<NextPost>,
}

impl From<(Campaign, Running)> for StoredCampaign {
    fn from((campaign, running): (Campaign, Running)) -> Self {
        Self { campaign, running, place: None, next_post: None }
    }
}

/// Puts stored campaigns into the order in which they are asked, as far as their places tell it.
pub(super) fn sort(campaigns: &mut [StoredCampaign]) {
    campaigns.sort_by(|one, other| {
        let place = |stored: &StoredCampaign| stored.place.unwrap_or(u32::MAX);
        place(one).cmp(&place(other)).then_with(|| one.campaign.id.cmp(&other.campaign.id))
    });
}
