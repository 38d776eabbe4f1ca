//! Public replies: which comment gets one once its DM's outcome is known, and which texts it may
//! have.
//!
//! A public reply says what became of the DM. So there is none before the DM has ended, and none
//! while it is unknown whether the DM arrived.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Campaign, Overflow};
use crate::keyword::urls;
use crate::message::Template;
use crate::quota::Action;
use crate::seed::seed;
use crate::send::{Address, CampaignStep, Earlier, FailReason, Outcome, PendingSend};

/// Characters of a public reply. Meta no longer documents the limits of a comment's text; these are
/// the ones that it did document (Instagram Graph API, comments), and a longer reply is refused.
pub const COMMENT_CHARS_MAX: usize = 300;

/// Hashtags of a public reply: see [`COMMENT_CHARS_MAX`].
const HASHTAGS_MAX: usize = 4;

/// URLs of a public reply: see [`COMMENT_CHARS_MAX`].
const URLS_MAX: usize = 1;

/// The share of landed DMs that a public reply follows, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share(u16);

impl Share {
    /// Every DM.
    pub const ALL: Self = Self(1000);

    /// Returns the share for a number from 0 to 1, to the nearest thousandth; `None` for any other
    /// number.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self((share * 1000.0).round() as u16))
    }

    /// Whether it is [`Self::ALL`].
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// Whether a send with this draw is among them.
    fn takes(self, draw: u64) -> bool {
        draw % 1000 < u64::from(self.0)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&(f64::from(self.0) / 1000.0), f)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ShareVisitor)
    }
}

struct ShareVisitor;

impl Visitor<'_> for ShareVisitor {
    type Value = Share;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 1")
    }

    fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
        Share::new(share).ok_or_else(|| E::invalid_value(de::Unexpected::Float(share), &self))
    }

    fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
        let of_range = u8::try_from(share).ok().and_then(|share| Share::new(share.into()));
        of_range.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(share), &self))
    }

    fn visit_u64<E: de::Error>(self, share: u64) -> Result<Share, E> {
        let of_range = u8::try_from(share).ok().and_then(|share| Share::new(share.into()));
        of_range.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(share), &self))
    }
}

/// Returns the step of the public reply that follows a DM which has ended like this; `None` if none
/// does.
///
/// A comment on a broadcast gets none, because Meta takes none there, and neither does one that is
/// gone. A fallback says that no DM could be made. So it follows a refusal for good, but not one
/// after an attempt that may have arrived.
pub fn after_outcome(
    campaign: &Campaign,
    send: &PendingSend,
    outcome: &Outcome,
) -> Option<CampaignStep> {
    let Address::Comment { id: comment, .. } = &send.to else { return None };
    if send.class.action != Action::PrivateReply {
        return None;
    }
    let is_wanted = match outcome {
        Outcome::Sent { .. } => {
            let draw = seed(&[send.id.account.as_str(), comment.as_str(), "public reply"]);
            return (!campaign.public_replies.is_empty() && campaign.public_share.takes(draw))
                .then_some(CampaignStep::PublicReply);
        }
        Outcome::Expired => campaign.overflow == Overflow::PublicReply,
        Outcome::Failed { reason } => is_refused_for_good(*reason),
        Outcome::Cancelled { .. } => false,
    };
    (is_wanted && send.earlier == Earlier::NotSent && !campaign.public_fallback.is_empty())
        .then_some(CampaignStep::PublicFallback)
}

/// Whether Meta has refused the DM for good, and its comment is still there.
fn is_refused_for_good(reason: FailReason) -> bool {
    match reason {
        FailReason::ReplyRefused
        | FailReason::Recipient
        | FailReason::WindowClosed
        | FailReason::ThreadOwner
        | FailReason::BadRequest
        | FailReason::Refused => true,
        FailReason::CommentGone | FailReason::Unknown | FailReason::NoAnswer => false,
    }
}

/// What keeps a text from being a comment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommentTextError {
    /// It could become longer than a comment may be.
    #[error(
        "the public reply can become {0} characters long and a comment has {COMMENT_CHARS_MAX}: \
         shorten it"
    )]
    TooLong(usize),
    /// It has more hashtags than a comment may have.
    #[error("the public reply has {0} hashtags and a comment has {HASHTAGS_MAX}: remove some")]
    Hashtags(usize),
    /// It has more URLs than a comment may have.
    #[error("the public reply has {0} links and a comment has {URLS_MAX}: remove some")]
    Urls(usize),
    /// It has no small letter.
    #[error(
        "the public reply is all capitals, which Meta refuses in a comment: write it in small letters"
    )]
    Capitals,
    /// It has a link of one person's.
    #[error(
        "everybody reads a public reply, so nobody can be told to have opened its link: write the \
         address without `{{link:}}`"
    )]
    TrackedLink,
}

/// Checks that a text can be a comment.
///
/// # Errors
/// Returns the first limit of a comment that the text breaks.
pub fn check_comment_text(template: &Template) -> Result<(), CommentTextError> {
    if template.has_tracked_link() {
        return Err(CommentTextError::TrackedLink);
    }
    let chars = template.chars_max();
    if chars > COMMENT_CHARS_MAX {
        return Err(CommentTextError::TooLong(chars));
    }
    let text = template.fill(Default::default());
    let is_tag = |after: &str| after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let hashtags = text.match_indices('#').filter(|(at, _)| is_tag(&text[at + 1..])).count();
    if hashtags > HASHTAGS_MAX {
        return Err(CommentTextError::Hashtags(hashtags));
    }
    let urls = urls(&text);
    if urls > URLS_MAX {
        return Err(CommentTextError::Urls(urls));
    }
    if text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase) {
        return Err(CommentTextError::Capitals);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::SendId;
    use crate::send::{CancelReason, Class, Content};
    use crate::time::Timestamp;

    fn campaign(fields: serde_json::Value) -> Campaign {
        let mut all = json!({ "id": "guide", "messages": ["hi"] });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn send(comment: &str) -> PendingSend {
        PendingSend::new(
            SendId { account: "a".into(), key: "p.1".into() },
            Class::PRIVATE_REPLY,
            Content::opening("guide"),
            Address::Comment { id: comment.into(), author: None },
            Timestamp::EPOCH,
            Timestamp::NEVER,
        )
    }

    fn sent() -> Outcome {
        Outcome::Sent { recipient: None, message: None, variant: None }
    }

    #[test]
    fn a_public_reply_has_no_tracked_link() {
        let template = Template::parse("See {link:https://a.example/}").unwrap();
        assert_eq!(check_comment_text(&template), Err(CommentTextError::TrackedLink));
    }

    #[test]
    fn each_outcome_has_its_own_texts_or_none() {
        let both = campaign(json!({ "public_replies": ["sent"], "public_fallback": ["sorry"] }));
        let of =
            |campaign: &Campaign, outcome: Outcome| after_outcome(campaign, &send("1"), &outcome);
        let failed = |reason| Outcome::Failed { reason };
        assert_eq!(of(&both, sent()), Some(CampaignStep::PublicReply));
        for reason in FailReason::ALL {
            let none = [FailReason::CommentGone, FailReason::Unknown, FailReason::NoAnswer];
            let step = (!none.contains(&reason)).then_some(CampaignStep::PublicFallback);
            assert_eq!(of(&both, failed(reason)), step, "{reason:?}");
        }
        assert_eq!(of(&both, Outcome::Expired), None);
        let cancelled = Outcome::Cancelled { reason: CancelReason::Operator };
        assert_eq!(of(&both, cancelled), None);
        let overflow = campaign(json!({ "public_fallback": ["x"], "overflow": "public_reply" }));
        assert_eq!(of(&overflow, Outcome::Expired), Some(CampaignStep::PublicFallback));
        assert_eq!(of(&overflow, sent()), None);
        let none = campaign(json!({}));
        assert_eq!(of(&none, sent()), None);
        assert_eq!(of(&none, failed(FailReason::Recipient)), None);
    }

    #[test]
    fn nobody_is_told_that_there_is_no_dm_which_may_have_arrived() {
        let fallback = campaign(json!({ "public_fallback": ["sorry"] }));
        let unclear = PendingSend { earlier: Earlier::Unknown, ..send("1") };
        let failed = Outcome::Failed { reason: FailReason::Recipient };
        assert_eq!(after_outcome(&fallback, &unclear, &failed), None);
    }

    #[test]
    fn a_broadcast_and_a_conversation_have_no_public_replies() {
        let both = campaign(json!({ "public_replies": ["sent"], "public_fallback": ["sorry"] }));
        let live = PendingSend { class: Class::LIVE_REPLY, ..send("1") };
        let message = PendingSend { to: Address::Person("5".into()), ..send("1") };
        let failed = Outcome::Failed { reason: FailReason::Recipient };
        for outcome in [sent(), failed] {
            assert_eq!(after_outcome(&both, &live, &outcome), None);
            assert_eq!(after_outcome(&both, &message, &outcome), None);
        }
    }

    #[test]
    fn a_share_of_the_comments_is_answered_always_the_same_ones() {
        let of = |share: f64| {
            let campaign = campaign(json!({ "public_replies": ["sent"], "public_share": share }));
            let is_answered =
                |n: u32| after_outcome(&campaign, &send(&n.to_string()), &sent()).is_some();
            (0..10_000).filter(|&n| is_answered(n)).collect::<Vec<u32>>()
        };
        let (none, few, most, all) = (of(0.0), of(0.3), of(0.9), of(1.0));
        assert_eq!((none.len(), all.len()), (0, 10_000));
        assert!((2800..3200).contains(&few.len()), "{}", few.len());
        assert!(few.iter().all(|n| most.contains(n)));
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        let read = |text: &str| serde_json::from_str::<Share>(text).ok();
        assert_eq!(read("0.3"), Some(Share(300)));
        assert_eq!((read("1"), read("0")), (Some(Share::ALL), Some(Share(0))));
        for other in ["2", "-1", "1.5", "-0.1", "\"1\"", "null"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(serde_json::to_string(&Share(300)).unwrap(), "0.3");
        assert_eq!(Share(300).to_string(), "0.3");
    }

    #[test]
    fn what_meta_takes_for_no_comment_is_refused() {
        let check = |text: &str| check_comment_text(&Template::parse(text).unwrap());
        for text in ["Sent, {username}!", "#a #b #c #d", "see example.com/a", "50% 👋", "a # b"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        assert_eq!(check(&"é".repeat(300)), Ok(()));
        let long = format!("{} {{username}}", "é".repeat(236));
        assert_eq!(check(&long), Err(CommentTextError::TooLong(301)));
        assert_eq!(check("#a #b #c #d #e x"), Err(CommentTextError::Hashtags(5)));
        let two = "see example.com/a and https://example.com/b";
        assert_eq!(check(two), Err(CommentTextError::Urls(2)));
        assert_eq!(check("SENT, {username|YOU}!"), Err(CommentTextError::Capitals));
    }
}
