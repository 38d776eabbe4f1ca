//! What a send says: a message of a campaign, and its place in the campaign's order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::conversation;
use crate::id::CampaignId;
use crate::time::Timestamp;

/// A step of a campaign: which of its messages a send makes. A version that does not know a step
/// cannot read the send, and leaves it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CampaignStep {
    /// The first message.
    #[default]
    Opening,
    /// The public reply after a landed DM.
    PublicReply,
    /// The public reply after a DM that could not be made.
    PublicFallback,
    /// A message of the conversation that is not chosen yet: that follows from whether the person
    /// follows the account, which is read first.
    Gate,
    /// A message of the conversation.
    Then(conversation::Step),
}

const PUBLIC_REPLY: &str = "public_reply";
const PUBLIC_FALLBACK: &str = "public_fallback";
const GATE: &str = "gate";

impl CampaignStep {
    /// Whether stored forms leave it out.
    pub fn is_opening(&self) -> bool {
        matches!(self, Self::Opening)
    }

    /// Whether it is a message of a conversation that an opening has begun.
    pub fn is_later(self) -> bool {
        matches!(self, Self::Gate | Self::Then(_))
    }

    /// Reads what [`Display`](fmt::Display) has written.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            PUBLIC_REPLY => Some(Self::PublicReply),
            PUBLIC_FALLBACK => Some(Self::PublicFallback),
            GATE => Some(Self::Gate),
            _ => conversation::Step::parse(word).map(Self::of),
        }
    }

    /// The step of a conversation's message.
    pub const fn of(step: conversation::Step) -> Self {
        match step {
            conversation::Step::Opening => Self::Opening,
            later => Self::Then(later),
        }
    }
}

/// The word for it, the same in stores, JSON and text.
impl fmt::Display for CampaignStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => conversation::Step::Opening.fmt(f),
            Self::PublicReply => f.write_str(PUBLIC_REPLY),
            Self::PublicFallback => f.write_str(PUBLIC_FALLBACK),
            Self::Gate => f.write_str(GATE),
            Self::Then(step) => step.fmt(f),
        }
    }
}

impl Serialize for CampaignStep {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CampaignStep {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| serde::de::Error::custom("no step of a campaign"))
    }
}

/// Which message of which conversation a send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Turn {
    /// The conversation.
    pub origin: conversation::Origin,
    /// Which of the conversation's messages it is, counted from 1; of a gate, which read; 0 of an
    /// outbound run's opening.
    pub nth: u8,
    /// When the conversation began, to the minute.
    pub begun_at: Timestamp,
}

/// What a send says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Content {
    /// Whose message.
    pub campaign: CampaignId,
    /// Its place in the campaign's order.
    #[serde(default, skip_serializing_if = "CampaignStep::is_opening")]
    pub step: CampaignStep,
}

impl Content {
    /// The first message of a campaign.
    pub fn opening(campaign: impl Into<CampaignId>) -> Self {
        Self { campaign: campaign.into(), step: CampaignStep::Opening }
    }
}
