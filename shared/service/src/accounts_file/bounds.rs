//! How much one account may have.

use std::collections::HashSet;

use spillway_core::campaign::Campaign;

/// The most campaigns of one account. Each process reads and remembers all of them.
pub const CAMPAIGNS_MAX: usize = 200;

/// The most media that the campaigns of one account name. A backfill reads the comments of each.
pub const MEDIA_MAX: usize = 1000;

/// The most bytes that the campaigns of one account take together in the store. A single one fits
/// into an item of DynamoDB (400 KB).
pub const CAMPAIGN_BYTES_MAX: usize = 350_000;

/// Why an account cannot have these campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// There are too many.
    #[error(
        "{0} campaigns, and an account may have {CAMPAIGNS_MAX}: remove some, or join those with the same texts"
    )]
    Campaigns(usize),
    /// They name too many media.
    #[error(
        "its campaigns name {0} media, and may name {MEDIA_MAX}: take out those that get no comments any more"
    )]
    Media(usize),
    /// Their texts are too long.
    #[error(
        "its campaigns have {0} bytes of messages, keywords and media, and may have {CAMPAIGN_BYTES_MAX}: shorten them"
    )]
    Bytes(usize),
}

/// Checks that one account can have all these campaigns.
///
/// # Errors
/// Returns the first bound that is exceeded.
pub fn check_together<'a>(campaigns: impl Iterator<Item = &'a Campaign>) -> Result<(), TooMuch> {
    let (mut count, mut bytes, mut media) = (0, 0, HashSet::new());
    for campaign in campaigns {
        count += 1;
        bytes += serde_json::to_string(campaign).map_or(0, |text| text.len());
        media.extend(&campaign.media);
    }
    if count > CAMPAIGNS_MAX {
        return Err(TooMuch::Campaigns(count));
    }
    if media.len() > MEDIA_MAX {
        return Err(TooMuch::Media(media.len()));
    }
    if bytes > CAMPAIGN_BYTES_MAX {
        return Err(TooMuch::Bytes(bytes));
    }
    Ok(())
}
