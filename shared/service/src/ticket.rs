//! The queue's message: enough to find a send and to know whether it may still be acted on. It
//! carries no text and no name.

use std::fmt;

use serde::{Deserialize, Serialize};
use spillway_core::campaign::Overflow;
use spillway_core::id::{CampaignId, EventId, RecipientId, SendId};
use spillway_core::send::{Lane, Waiting};
use spillway_core::time::Timestamp;

/// The position of a send among the waiting sends of its account. Places sort by lane, then
/// deadline. Sends of campaigns that serve the newest first come after the others of their lane,
/// latest deadline first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(String);

impl Place {
    /// Makes a place for `send`. `nonce` differs between recordings of one event, so two deliveries
    /// of one comment cannot overwrite each other's send.
    pub fn new(send: &Waiting, nonce: u64) -> Self {
        let Waiting { lane, deadline, order, id, .. } = send;
        let key = Self::key(*order, *deadline);
        Self(format!("{}#{key:014}#{}#{nonce:016x}", lane.rank(), id.event))
    }

    fn key(order: Overflow, deadline: Timestamp) -> u64 {
        let deadline = deadline.as_millis().min(Self::LAST / 2);
        match order {
            Overflow::OldestFirst | Overflow::PublicReply => deadline,
            Overflow::NewestFirst => Self::LAST - deadline,
        }
    }

    /// Returns the place of another send that was recorded together with this one.
    pub fn beside(&self, event: &EventId, deadline: Timestamp) -> Self {
        let (rank, rest) = self.0.split_once('#').unwrap_or_default();
        let nonce = rest.rsplit('#').next().unwrap_or_default();
        let order = self.parts().map_or(Overflow::OldestFirst, |(_, order, _)| order);
        Self(format!("{rank}#{:014}#{event}#{nonce}", Self::key(order, deadline)))
    }

    /// Fourteen digits: until the year 5138.
    const LAST: u64 = 99_999_999_999_999;

    /// Returns the lane, order and deadline that the place contains. `None` if it is not a place.
    pub fn parts(&self) -> Option<(Lane, Overflow, Timestamp)> {
        let mut parts = self.0.splitn(3, '#');
        let rank: u8 = parts.next()?.parse().ok()?;
        let lane = Lane::ALL.into_iter().find(|lane| lane.rank() == rank)?;
        let key: u64 = parts.next()?.parse().ok()?;
        let (order, deadline) = match key > Self::LAST / 2 {
            true => (Overflow::NewestFirst, Self::LAST.checked_sub(key)?),
            false => (Overflow::OldestFirst, key),
        };
        Some((lane, order, Timestamp::from_millis(deadline)))
    }

    /// Wraps what [`Self::as_str`] returned.
    pub fn from_stored(place: String) -> Self {
        Self(place)
    }

    /// Returns the place as text, which sorts as places do.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The permission to act on a send at one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which send.
    pub send: SendId,
    /// Its place.
    pub place: Place,
    /// The epoch at which it may be acted on. Once the send has moved on, the ticket is void.
    pub epoch: u32,
    /// Its lane.
    pub lane: Lane,
    /// The campaign whose text it gets.
    pub campaign: CampaignId,
    /// No attempt after this instant.
    pub deadline: Timestamp,
    /// The person that it goes to, if known: a person on hold is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<RecipientId>,
    /// The slot, which is stored with the claim for people to read. Messages of earlier versions
    /// lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
}

impl Ticket {
    /// Makes a ticket for `send` at its present epoch.
    pub fn new(send: &Waiting, place: Place) -> Self {
        Self {
            send: send.id.clone(),
            place,
            epoch: send.epoch,
            lane: send.lane,
            campaign: send.campaign.clone(),
            deadline: send.deadline,
            recipient: send.to.recipient().cloned(),
            slot: send.stage.slot(),
        }
    }

    /// Returns the ticket for the send after a step.
    pub fn renewed(&self, send: &Waiting) -> Self {
        Self { epoch: send.epoch, slot: send.stage.slot(), ..self.clone() }
    }

    /// Encodes the ticket as the body of a message.
    pub fn encode(&self) -> String {
        let wire = Wire { v: Version::V1, ticket: self };
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Decodes the body of a message.
    ///
    /// # Errors
    /// Fails if the body is not one of ours. It belongs in the dead-letter queue.
    pub fn decode(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Wire<Self>>(body).map(|wire| wire.ticket)
    }
}

/// The format's number. A new format is a new variant, and old messages in flight still decode.
#[derive(Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    V1,
}

#[derive(Serialize, Deserialize)]
struct Wire<T> {
    v: Version,
    #[serde(flatten)]
    ticket: T,
}

#[cfg(test)]
mod tests {
    use spillway_core::send::{Address, Earlier, Stage};

    use super::*;

    #[test]
    fn a_message_is_read_back_and_its_format_is_kept() {
        let ticket = Ticket {
            send: SendId { account: "178".into(), event: "179".into() },
            place: Place("1#00001790000000#179#ab".into()),
            epoch: 3,
            lane: Lane::Inbound,
            campaign: "guide".into(),
            deadline: Timestamp::from_millis(1_790_000_000_000),
            recipient: None,
            slot: None,
        };
        let body = ticket.encode();
        assert_eq!(
            body,
            r#"{"v":"1","send":{"account":"178","event":"179"},"place":"1#00001790000000#179#ab","epoch":3,"lane":"inbound","campaign":"guide","deadline":1790000000000}"#
        );
        assert_eq!(Ticket::decode(&body).unwrap(), ticket);
        let slot = Some(Timestamp::from_millis(1_790_000_000_001));
        let again = Ticket { recipient: Some("52".into()), slot, ..ticket };
        assert_eq!(Ticket::decode(&again.encode()).unwrap(), again);
    }

    #[test]
    fn places_sort_by_lane_and_deadline_and_the_newest_first_where_a_campaign_wants_it() {
        let place = |lane, order, deadline| {
            let send = Waiting {
                id: SendId { account: "178".into(), event: "179".into() },
                lane,
                campaign: "guide".into(),
                to: Address::Comment { id: "179".into(), author: None },
                order,
                media: None,
                username: None,
                keyword: None,
                matched_at: Timestamp::EPOCH,
                deadline: Timestamp::from_secs(deadline),
                stage: Stage::Parked,
                epoch: 0,
                attempt: 0,
                failures: 0,
                earlier: Earlier::NotSent,
                made_at: None,
            };
            Place::new(&send, 1)
        };
        let (oldest, newest) = (Overflow::OldestFirst, Overflow::NewestFirst);
        let sorted = [
            place(Lane::Live, oldest, 1_790_000_600),
            place(Lane::Inbound, oldest, 1_790_000_000),
            place(Lane::Inbound, oldest, 1_790_000_001),
            place(Lane::Inbound, newest, 1_790_000_001),
            place(Lane::Inbound, newest, 1_790_000_000),
            place(Lane::Outbound, oldest, 1_790_000_000),
        ];
        assert!(sorted.is_sorted(), "{sorted:?}");
        let parts = sorted[3].parts().unwrap();
        assert_eq!(parts, (Lane::Inbound, newest, Timestamp::from_secs(1_790_000_001)));
        let parts = sorted[5].parts().unwrap();
        assert_eq!(parts, (Lane::Outbound, oldest, Timestamp::from_secs(1_790_000_000)));
        for other in ["", "x", "9#00000000000001#a#b", "1#x#a#b"] {
            assert_eq!(Place::from_stored(other.into()).parts(), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for body in ["", "{}", "hello", r#"{"v":"2"}"#, r#"{"v":"1","send":{}}"#] {
            assert!(Ticket::decode(body).is_err(), "{body}");
        }
    }
}
