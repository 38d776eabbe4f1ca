//! What starts a campaign.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Campaign, CampaignError, Overflow, Replies};
use crate::once::OncePer;

/// What somebody does that a campaign may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A comment on a post or Reel.
    Comment,
    /// A comment in a live broadcast.
    LiveComment,
    /// A reply to a story of the account.
    StoryReply,
    /// A story that mentions the account.
    StoryMention,
    /// A message, which is no reply to a story.
    Message,
    /// A person who comes by an `ig.me` link or an ad. Keywords are looked for in its `ref`.
    Referral,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Comment,
        Self::LiveComment,
        Self::StoryReply,
        Self::StoryMention,
        Self::Message,
        Self::Referral,
    ];

    /// Those of a campaign that names none.
    pub const DEFAULT: [Self; 2] = [Self::Comment, Self::LiveComment];

    /// The word for it, the same in files, stores and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::LiveComment => "live_comment",
            Self::StoryReply => "story_reply",
            Self::StoryMention => "story_mention",
            Self::Message => "message",
            Self::Referral => "referral",
        }
    }

    /// What it is called in a sentence.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Comment | Self::LiveComment => "comment",
            Self::StoryReply => "story reply",
            Self::StoryMention => "story mention",
            Self::Message => "message",
            Self::Referral => "referral",
        }
    }

    /// Whether it is a comment, which has an author with a name and may get public replies.
    pub const fn is_comment(self) -> bool {
        matches!(self, Self::Comment | Self::LiveComment)
    }

    /// Whether it happens at a post, broadcast or story.
    pub const fn has_media(self) -> bool {
        matches!(self, Self::Comment | Self::LiveComment | Self::StoryReply)
    }

    /// For what a person gets one DM of a campaign that does not say: for the post, broadcast or
    /// story, or for what has none.
    pub const fn once_per(self) -> OncePer {
        if self.has_media() { OncePer::Post } else { OncePer::Comment }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault of a campaign that follows from its triggers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerFault {
    /// The field that is at fault.
    pub field: &'static str,
    /// Which item of its list; `None` for the whole field.
    pub item: Option<usize>,
    /// The fault.
    pub error: CampaignError,
}

impl Campaign {
    /// Returns what contradicts the campaign's triggers, field by field.
    pub fn trigger_faults(&self) -> Vec<TriggerFault> {
        let id = || self.id.clone();
        let mut faults = Vec::new();
        let mut fault = |field, item, error| faults.push(TriggerFault { field, item, error });
        if self.is_by_hand() {
            let choosing = [
                ("keywords", self.keywords.is_empty()),
                ("except", self.except.is_empty()),
                ("media", self.media.is_empty() || self.is_for_next_post()),
            ];
            if let Some(&(field, _)) = choosing.iter().find(|(_, is_empty)| !is_empty) {
                fault("on", None, CampaignError::NoTrigger(id(), field));
            }
        }
        for (at, &trigger) in self.on.iter().enumerate() {
            if self.on[..at].contains(&trigger) {
                fault("on", Some(at), CampaignError::SameTrigger(id(), trigger));
            }
        }
        let without_media = self.on.iter().find(|trigger| !trigger.has_media());
        if let Some(&trigger) = without_media {
            if !self.media.is_empty() {
                fault("media", None, CampaignError::TriggerMedia(id(), trigger));
            }
            if self.once_per == Some(OncePer::Post) {
                fault("once_per", None, CampaignError::TriggerPost(id(), trigger));
            }
        }
        if !self.on.iter().any(|trigger| trigger.is_comment()) {
            let of_comments = [
                ("replies", self.replies != Replies::default()),
                ("overflow", self.overflow == Overflow::PublicReply),
                ("public_replies", !self.public_replies.is_empty()),
                ("public_fallback", !self.public_fallback.is_empty()),
            ];
            // That media cannot choose it at all was said.
            if self.is_for_next_post() && without_media.is_none() {
                fault("media", None, CampaignError::NeedsComments(id(), "media = \"next\""));
            }
            for (field, _) in of_comments.into_iter().filter(|(_, is_given)| *is_given) {
                let named = if field == "overflow" { "overflow = \"public_reply\"" } else { field };
                fault(field, None, CampaignError::NeedsComments(id(), named));
            }
        }
        // The webhook of a message names nobody, and a profile is read with their consent only.
        let nameless = self.on.iter().copied().find(|trigger| !trigger.is_comment());
        if let Some(trigger) = nameless.or(self.is_by_hand().then_some(Trigger::Message)) {
            let texts = self.messages.iter().enumerate();
            for (at, _) in texts.filter(|(_, text)| text.needs_name()) {
                fault("messages", Some(at), CampaignError::Nameless(id(), trigger));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_those_of_files() {
        for trigger in Trigger::ALL {
            assert_eq!(serde_json::to_value(trigger).unwrap(), trigger.as_str());
        }
    }

    #[test]
    fn what_contradicts_the_triggers_is_a_fault_of_its_field() {
        let faults = |fields: serde_json::Value| -> Vec<(&str, Option<usize>)> {
            let mut campaign = json!({ "id": "c", "messages": ["hi"] });
            campaign.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let campaign: Campaign = serde_json::from_value(campaign).unwrap();
            let faults = campaign.trigger_faults();
            assert_eq!(campaign.check().is_err(), !faults.is_empty());
            faults.into_iter().map(|fault| (fault.field, fault.item)).collect()
        };
        assert_eq!(faults(json!({})), []);
        assert_eq!(faults(json!({ "on": [] })), [], "only `campaign send` begins it");
        for choosing in ["keywords", "except", "media"] {
            assert_eq!(faults(json!({ "on": [], choosing: ["1"] })), [("on", None)], "{choosing}");
        }
        let public = json!({ "on": [], "media": "next", "public_replies": ["Sent"] });
        assert_eq!(faults(public), [("media", None), ("public_replies", None)]);
        assert_eq!(
            faults(json!({ "on": [], "messages": ["Hi {username}"] })),
            [("messages", Some(0))]
        );
        assert_eq!(faults(json!({ "on": ["message", "message"] })), [("on", Some(1))]);
        let all = Trigger::ALL.map(Trigger::as_str);
        assert_eq!(faults(json!({ "on": all })), []);
        let media = json!({ "on": ["comment", "message"], "media": ["1"], "once_per": "post" });
        assert_eq!(faults(media), [("media", None), ("once_per", None)]);
        let story = json!({ "on": ["story_reply"], "media": ["1"], "once_per": "post" });
        assert_eq!(faults(story), []);
        let public = json!({ "on": ["message"], "replies": "all", "public_replies": ["Sent"] });
        assert_eq!(faults(public), [("replies", None), ("public_replies", None)]);
        let public = json!({ "on": ["message"], "overflow": "public_reply" });
        assert_eq!(faults(public), [("overflow", None)]);
        let next = json!({ "on": ["message"], "media": "next" });
        assert_eq!(faults(next), [("media", None)]);
        let next = json!({ "on": ["story_reply"], "media": "next" });
        assert_eq!(faults(next), [("media", None)]);
        let named = ["Hi {username|you}", "Hi {username}", "Hi"];
        assert_eq!(
            faults(json!({ "on": ["story_reply"], "messages": named })),
            [("messages", Some(1))]
        );
        assert_eq!(faults(json!({ "messages": named })), []);
    }
}
