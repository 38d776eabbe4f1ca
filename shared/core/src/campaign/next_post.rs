//! `media = "next"`: a campaign for the first post that is published after it began.
//!
//! Which post that is, is stored beside the campaign, not in it: the same file applied again leaves
//! it as it is. The campaign itself has the word in its list of media. A version that does not know
//! it takes that for a media without comments.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Campaign, Phase, StoredCampaign};
use crate::id::MediaId;
use crate::time::Timestamp;

/// What a list of media says for the next post.
pub const NEXT_POST: &str = "next";

/// The post that a campaign with `media = "next"` is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextPost {
    /// None yet: the first that is published from this instant on.
    AwaitedSince(Timestamp),
    /// This one.
    Is(MediaId),
}

impl Campaign {
    /// Whether it is for the next post.
    pub fn is_for_next_post(&self) -> bool {
        self.media.iter().any(|media| media.as_str() == NEXT_POST)
    }
}

/// The media that a stored campaign is for. Where the post is awaited that is the word itself, which
/// is no media's id: nothing matches.
pub(super) fn media_of(stored: &StoredCampaign) -> Vec<MediaId> {
    match &stored.next_post {
        Some(NextPost::Is(media)) if stored.campaign.is_for_next_post() => vec![media.clone()],
        _ => stored.campaign.media.clone(),
    }
}

/// A campaign that waits for its post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaiting<'a> {
    /// The campaign.
    pub campaign: &'a Campaign,
    /// Its post is the first that is published from this instant on; `None` if that was not noted.
    pub since: Option<Timestamp>,
}

impl super::Campaigns {
    /// The campaigns that wait for their post at `now`, but for those that are over.
    pub fn waiting_for_post(&self, now: Timestamp) -> impl Iterator<Item = Awaiting<'_>> {
        self.0.iter().filter_map(move |ready| {
            let since = match &ready.next_post {
                _ if !ready.campaign.is_for_next_post() => return None,
                Some(NextPost::Is(_)) => return None,
                Some(NextPost::AwaitedSince(since)) => Some(*since),
                None => None,
            };
            let begins_at = ready.campaign.starts.as_ref().map(|_| ready.period.begins_at);
            let is_over = ready.period.phase(now) == Phase::Over;
            (!is_over).then_some(Awaiting {
                campaign: &ready.campaign,
                since: since.map(|since| begins_at.map_or(since, |begins| begins.max(since))),
            })
        })
    }

    /// The post of a campaign with `media = "next"`, as far as one is noted.
    pub fn next_post(&self, id: &crate::id::CampaignId) -> Option<&NextPost> {
        let ready = self.0.iter().find(|ready| ready.campaign.id == *id)?;
        ready.next_post.as_ref().filter(|_| ready.campaign.is_for_next_post())
    }

    /// All media that campaigns are for, as far as they are known.
    pub fn media(&self) -> impl Iterator<Item = &MediaId> {
        let all = self.0.iter().flat_map(|ready| &ready.media);
        all.filter(|media| media.as_str() != NEXT_POST)
    }
}

/// Reads a list of media, or the word alone.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MediaId>, D::Error> {
    struct Media;

    impl<'de> serde::de::Visitor<'de> for Media {
        type Value = Vec<MediaId>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of media")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            if text == NEXT_POST {
                Ok(vec![MediaId::new(text)])
            } else {
                Err(E::invalid_type(serde::de::Unexpected::Str(text), &self))
            }
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(serde::de::value::SeqAccessDeserializer::new(seq))
        }
    }

    from.deserialize_any(Media)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Campaigns, Candidate, Running, Trigger};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn stored(next_post: Option<NextPost>, more: serde_json::Value) -> StoredCampaign {
        let mut text = json!({ "id": "launch", "messages": ["Hi"], "media": "next" });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let campaign: Campaign = serde_json::from_value(text).unwrap();
        StoredCampaign { campaign, running: Running::Active, place: None, next_post }
    }

    fn one(stored: StoredCampaign) -> Campaigns {
        Campaigns::stored(vec![stored], &crate::active_hours::Zone::UTC)
    }

    fn takes(campaigns: &Campaigns, media: &str) -> bool {
        let media = MediaId::new(media);
        let media = [&media];
        let (trigger, media) = (Trigger::Comment, Some(&media[..]));
        let candidate = Candidate { trigger, text: "x", media, is_reply: false, at: NOW };
        campaigns.matching(&candidate).is_some()
    }

    #[test]
    fn nothing_matches_before_the_post_is_known_and_its_comments_afterwards() {
        let awaited = one(stored(Some(NextPost::AwaitedSince(NOW)), json!({})));
        assert!(!takes(&awaited, "1"));
        assert_eq!(awaited.media().count(), 0);
        let since: Vec<_> = awaited.waiting_for_post(NOW).map(|awaiting| awaiting.since).collect();
        assert_eq!(since, [Some(NOW)]);
        let known = one(stored(Some(NextPost::Is("7".into())), json!({})));
        assert!(takes(&known, "7") && !takes(&known, "1"));
        assert_eq!(known.media().collect::<Vec<_>>(), [&MediaId::new("7")]);
        assert_eq!(known.waiting_for_post(NOW).count(), 0);
        let elsewhere = one(stored(Some(NextPost::Is("7".into())), json!({ "media": ["8"] })));
        assert!(takes(&elsewhere, "8") && !takes(&elsewhere, "7"), "the post of before is no more");
    }

    #[test]
    fn a_campaign_waits_from_its_start_until_its_end() {
        let more = json!({ "starts": "2026-09-22", "ends": "2026-09-23" });
        let campaigns = one(stored(Some(NextPost::AwaitedSince(NOW)), more));
        let begins_at = campaigns.period(&"launch".into()).unwrap().begins_at;
        assert!(begins_at > NOW);
        let since = |at| campaigns.waiting_for_post(at).map(|one| one.since).collect::<Vec<_>>();
        assert_eq!(since(NOW), [Some(begins_at)]);
        assert_eq!(since(NOW + std::time::Duration::from_secs(3 * 86_400)), []);
    }

    #[test]
    fn the_word_is_read_alone_and_in_a_list_and_written_as_a_list() {
        let word = stored(None, json!({})).campaign;
        assert_eq!(word, stored(None, json!({ "media": ["next"] })).campaign);
        assert_eq!(serde_json::to_value(&word).unwrap()["media"], json!(["next"]));
        let wrong = json!({ "id": "a", "messages": ["Hi"], "media": "newest" });
        assert!(serde_json::from_value::<Campaign>(wrong).is_err());
        let post = serde_json::to_string(&NextPost::Is("7".into())).unwrap();
        assert_eq!(post, r#"{"is":"7"}"#);
        let awaited = serde_json::to_string(&NextPost::AwaitedSince(NOW)).unwrap();
        assert_eq!(awaited, r#"{"awaited_since":1790000000000}"#);
    }
}
