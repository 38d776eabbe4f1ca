//! The payload of a button or quick reply: which message of which conversation was tapped.
//!
//! Buttons stay in a thread for ever, so a payload outlives versions, campaigns and the state of its
//! conversation. It names no person.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::PAYLOAD_BYTES_MAX;
use crate::id::{CampaignId, OnceKey, RecipientId};
use crate::seed::seed;
use crate::time::Timestamp;

/// What every payload begins with, before the number of its version.
const PREFIX: &str = "spillway";

/// The version that is written.
const VERSION: u32 = 1;

/// Divides the parts. Only the campaign, which is last, may have one.
const DIVIDER: char = ':';

/// The longest campaign id, in bytes, that has conversations. A file has ids of 64 characters at
/// most, which are 256 bytes.
pub const CAMPAIGN_BYTES_MAX: usize = 256;

/// What began a conversation: a comment, a message of the person's, or an outbound run. Conversations
/// of one person are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origin(u64);

impl Origin {
    /// The origin for the id of a comment, or of a message (`mid`).
    pub fn new(id: &str) -> Self {
        Self(seed(&["origin", id]))
    }

    /// The origin for an outbound run of a campaign.
    pub fn of_run(campaign: &CampaignId, run: &str) -> Self {
        Self(seed(&["run", campaign.as_str(), run]))
    }

    /// Wraps the number that [`Self::as_u64`] has returned.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The origin as a number, for stores.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A message of a conversation, by its place in the campaign's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The first message.
    Opening,
    /// It asks the person to follow the account.
    FollowAsk,
    /// It asks for an e-mail address.
    EmailAsk,
    /// It asks again, because the answer had no address.
    EmailAgain,
    /// A message of the delivery, counted from 0.
    Deliver(u8),
    /// A follow-up, counted from 0.
    FollowUp(u8),
}

impl Step {
    /// Reads what [`Display`](fmt::Display) has written.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, nth) = match text.split_once('-') {
            Some((name, nth)) => (name, Some(digits(nth)?)),
            None => (text, None),
        };
        match (name, nth) {
            ("opening", None) => Some(Self::Opening),
            ("follow", None) => Some(Self::FollowAsk),
            ("email", None) => Some(Self::EmailAsk),
            ("again", None) => Some(Self::EmailAgain),
            ("deliver", Some(nth)) => Some(Self::Deliver(nth)),
            ("later", Some(nth)) => Some(Self::FollowUp(nth)),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("opening"),
            Self::FollowAsk => f.write_str("follow"),
            Self::EmailAsk => f.write_str("email"),
            Self::EmailAgain => f.write_str("again"),
            Self::Deliver(nth) => write!(f, "deliver-{nth}"),
            Self::FollowUp(nth) => write!(f, "later-{nth}"),
        }
    }
}

/// A number in its one spelling: no sign, no leading zero.
fn digits(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number: &u8| number.to_string() == text)
}

/// What may be sent only once to a person: a message of a conversation, and which try at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    /// The conversation.
    pub origin: Origin,
    /// The message.
    pub step: Step,
    /// Which of the conversation's sends it is, counted from 1; 0 for the opening.
    pub attempt: u8,
}

impl StepKey {
    /// The key of its send to `person`.
    pub fn once_key(&self, person: &RecipientId) -> OnceKey {
        let Self { origin, step, attempt } = self;
        OnceKey::step(person, origin, &format!("{step}.{attempt}"))
    }
}

/// The key of a send whose message is chosen when the person's profile was read for the `nth` time.
pub fn gate_key(person: &RecipientId, origin: Origin, nth: u8) -> OnceKey {
    OnceKey::step(person, origin, &format!("gate.{nth}"))
}

/// A payload of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    campaign: CampaignId,
    key: StepKey,
    begun_min: u32,
}

/// Why a payload cannot be used. The tap is counted, and Meta gets its 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PayloadError {
    /// Another tool made it, or it is damaged.
    #[error("the payload is not one of Spillway's")]
    NotOurs,
    /// A version of Spillway made it that this one does not know.
    #[error("the payload is of version {0}, which this version of Spillway cannot read")]
    UnknownVersion(u32),
}

impl Payload {
    /// Names a message. `None` if the campaign's id is longer than [`CAMPAIGN_BYTES_MAX`].
    pub fn new(campaign: &CampaignId, key: StepKey, begun_at: Timestamp) -> Option<Self> {
        let is_short = campaign.as_str().len() <= CAMPAIGN_BYTES_MAX;
        let begun_min = u32::try_from(begun_at.as_secs() / 60).unwrap_or(u32::MAX);
        is_short.then(|| Self { campaign: campaign.clone(), key, begun_min })
    }

    /// The campaign.
    pub fn campaign(&self) -> &CampaignId {
        &self.campaign
    }

    /// The message that was tapped.
    pub const fn key(&self) -> StepKey {
        self.key
    }

    /// When the conversation began, to the minute, rounded down. So a tap is known to be too old for
    /// anything even when nothing else is known of its conversation any more.
    pub fn begun_at(&self) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(u64::from(self.begun_min) * 60)
    }

    /// Writes it: at most [`PAYLOAD_BYTES_MAX`] bytes, in fact fewer than 340.
    pub fn encode(&self) -> String {
        let Self { campaign, key: StepKey { origin, step, attempt }, begun_min } = self;
        format!("{PREFIX}{VERSION}:{step}:{attempt}:{origin}:{begun_min:x}:{campaign}")
    }

    /// Reads what [`Self::encode`] has written, in this version or another.
    ///
    /// # Errors
    /// Says whose it is if it cannot be used: see [`PayloadError`].
    pub fn decode(text: &str) -> Result<Self, PayloadError> {
        if text.len() > PAYLOAD_BYTES_MAX {
            return Err(PayloadError::NotOurs);
        }
        let rest = text.strip_prefix(PREFIX).ok_or(PayloadError::NotOurs)?;
        let (version, rest) = rest.split_once(DIVIDER).ok_or(PayloadError::NotOurs)?;
        let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
        match version.parse() {
            Ok(VERSION) if is_number => Self::read(rest).ok_or(PayloadError::NotOurs),
            Ok(other) if is_number => Err(PayloadError::UnknownVersion(other)),
            _ => Err(PayloadError::NotOurs),
        }
    }

    fn read(rest: &str) -> Option<Self> {
        let mut parts = rest.splitn(5, DIVIDER);
        let step = Step::parse(parts.next()?)?;
        let attempt = digits(parts.next()?)?;
        let origin = Origin(hexadecimal(parts.next()?)?);
        let begun_min = u32::try_from(hexadecimal(parts.next()?)?).ok()?;
        let campaign = CampaignId::new(parts.next()?);
        let key = StepKey { origin, step, attempt };
        let is_named = (1..=CAMPAIGN_BYTES_MAX).contains(&campaign.as_str().len());
        is_named.then_some(Self { campaign, key, begun_min })
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    let is_hexadecimal =
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hexadecimal { u64::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(campaign: &str) -> Payload {
        let origin = Origin::new("17890000000000001");
        let key = StepKey { origin, step: Step::FollowAsk, attempt: 2 };
        Payload::new(&campaign.into(), key, Timestamp::from_secs(1_795_000_059)).unwrap()
    }

    #[test]
    fn a_payload_names_campaign_step_and_origin_and_no_person() {
        let payload = payload("guide");
        let text = payload.encode();
        let origin = payload.key().origin.to_string();
        assert_eq!(text, format!("spillway1:follow:2:{origin}:1c87dfb:guide"));
        assert!(!text.contains("17890000000000001"));
        assert_eq!(payload.begun_at(), Timestamp::from_secs(1_795_000_020), "to the minute");
        assert_eq!(Payload::decode(&text), Ok(payload));
    }

    #[test]
    fn what_others_have_written_is_not_ours() {
        let good = payload("guide").encode();
        let damaged = [
            String::new(),
            "c=guide&s=open".into(),
            "%%%not-ours%%%".into(),
            "spillway".into(),
            "spillway1".into(),
            "spillway1:".into(),
            "spillway:17890000000000001#0".into(),
            "spillwayx:opening:0:00:00:a".into(),
            "spillway+1:opening:0:00:00:a".into(),
            good.replace("follow", "follows"),
            good.replace(":2:", ":256:"),
            good.replace(":2:", ":02:"),
            good.replace("1c87dfb", "1c87dfb00"),
            good.replace("1c87dfb", ""),
            good.trim_end_matches("guide").into(),
            good.trim_end_matches(":guide").into(),
            format!(" {good}"),
            format!("{good}{}", "x".repeat(300)),
            format!("spillway2:{}", "x".repeat(1000)),
        ];
        for text in damaged {
            assert_eq!(Payload::decode(&text), Err(PayloadError::NotOurs), "{text}");
        }
        let newer = good.replace("spillway1", "spillway2");
        assert_eq!(Payload::decode(&newer), Err(PayloadError::UnknownVersion(2)));
        let newest = "spillway17:whatever it has";
        assert_eq!(Payload::decode(newest), Err(PayloadError::UnknownVersion(17)));
    }

    #[test]
    fn the_longest_id_of_a_file_fits_and_a_longer_one_is_refused() {
        let payload = payload(&"\u{1f600}".repeat(64));
        assert!(payload.encode().len() < 340, "{}", payload.encode().len());
        let long = CampaignId::new("x".repeat(257));
        assert_eq!(Payload::new(&long, payload.key(), Timestamp::EPOCH), None);
    }

    #[test]
    fn keys_of_different_sends_are_different() {
        let (one, other) = (Origin::new("1"), Origin::new("2"));
        let key = |origin, step, attempt| StepKey { origin, step, attempt }.once_key(&"526".into());
        let keys = [
            key(one, Step::Deliver(0), 1),
            key(one, Step::Deliver(1), 1),
            key(one, Step::Deliver(0), 2),
            key(other, Step::Deliver(0), 1),
            key(one, Step::FollowUp(0), 1),
            StepKey { origin: one, step: Step::Deliver(0), attempt: 1 }.once_key(&"527".into()),
        ];
        let distinct: std::collections::BTreeSet<&OnceKey> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(keys[0].as_str(), format!("s.deliver-0.1.526.{one}"));
        assert_eq!(gate_key(&"526".into(), one, 3).as_str(), format!("s.gate.3.526.{one}"));
    }

    pub(super) fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Opening),
            Just(Step::FollowAsk),
            Just(Step::EmailAsk),
            Just(Step::EmailAgain),
            any::<u8>().prop_map(Step::Deliver),
            any::<u8>().prop_map(Step::FollowUp),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            campaign in "\\PC{1,64}", step in steps(), attempt: u8, origin: u64, begun: u32,
        ) {
            let key = StepKey { origin: Origin(origin), step, attempt };
            let begun_at = Timestamp::from_secs(u64::from(begun) * 60);
            let payload = Payload::new(&campaign.as_str().into(), key, begun_at).unwrap();
            let text = payload.encode();
            prop_assert!(text.len() <= PAYLOAD_BYTES_MAX);
            prop_assert_eq!(Payload::decode(&text), Ok(payload));
        }

        #[test]
        fn no_text_breaks_it_and_each_payload_has_one_spelling(
            text in "(spillway1:(follow|deliver-[0-9]{1,4}):[0-9]{1,3}:[0-9a-f]{0,17}:[0-9a-f]{0,9}:)?\\PC{0,40}",
        ) {
            if let Ok(payload) = Payload::decode(&text) {
                prop_assert_eq!(Payload::decode(&payload.encode()), Ok(payload));
            }
        }
    }
}
