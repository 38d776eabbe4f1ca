//! Where a send waits: the sort key of its line among all that its account's batches list.

use std::fmt;

use serde::{Deserialize, Serialize};
use spillway_core::campaign::Overflow;
use spillway_core::id::OnceKey;
use spillway_core::send::{Lane, PendingSend};
use spillway_core::time::Timestamp;

/// The position of a send among the waiting sends of its account. Keys sort by lane, then
/// deadline. Sends of campaigns that serve the newest first come after the others of their lane,
/// latest deadline first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutboxKey(String);

impl OutboxKey {
    /// Makes an outbox key for `send`. `nonce` differs between recordings of one send, so two
    /// deliveries of one comment cannot overwrite each other's send.
    pub fn new(send: &PendingSend, nonce: u64) -> Self {
        let PendingSend { class, deadline, order, id, .. } = send;
        let key = Self::key(*order, *deadline);
        Self(format!("{}#{key:014}#{}#{nonce:016x}", class.lane.rank(), id.key))
    }

    fn key(order: Overflow, deadline: Timestamp) -> u64 {
        let deadline = deadline.as_millis().min(Self::LAST / 2);
        match order {
            Overflow::OldestFirst | Overflow::PublicReply => deadline,
            Overflow::NewestFirst => Self::LAST - deadline,
        }
    }

    /// Returns the outbox key of another send that was recorded together with this one.
    pub fn beside(&self, once: &OnceKey, deadline: Timestamp) -> Self {
        let (rank, rest) = self.0.split_once('#').unwrap_or_default();
        let nonce = rest.rsplit('#').next().unwrap_or_default();
        let order = self.parts().map_or(Overflow::OldestFirst, |(_, order, _)| order);
        Self(format!("{rank}#{:014}#{once}#{nonce}", Self::key(order, deadline)))
    }

    /// Fourteen digits: until the year 5138.
    const LAST: u64 = 99_999_999_999_999;

    /// Returns the lane, order and deadline that the outbox key contains. `None` if it is not an
    /// outbox key.
    pub fn parts(&self) -> Option<(Lane, Overflow, Timestamp)> {
        let mut parts = self.0.splitn(3, '#');
        let rank: u8 = parts.next()?.parse().ok()?;
        let lane = Lane::ALL.into_iter().find(|lane| lane.rank() == rank)?;
        let key: u64 = parts.next()?.parse().ok()?;
        let (order, deadline) = if key > Self::LAST / 2 {
            (Overflow::NewestFirst, Self::LAST.checked_sub(key)?)
        } else {
            (Overflow::OldestFirst, key)
        };
        Some((lane, order, Timestamp::from_millis(deadline)))
    }

    /// Returns a key that sorts behind all of the lanes before `lane`, and before all of `lane`.
    pub fn before_lane(lane: Lane) -> Self {
        Self(format!("{}#", lane.rank()))
    }

    /// Wraps what [`Self::as_str`] returned.
    pub fn from_stored(outbox_key: String) -> Self {
        Self(outbox_key)
    }

    /// Returns the outbox key as text, which sorts as keys do.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OutboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use spillway_core::id::SendId;
    use spillway_core::send::{Address, Class, Content, Earlier, Stage};

    use super::*;

    #[test]
    fn keys_sort_by_lane_and_deadline_and_the_newest_first_where_a_campaign_wants_it() {
        let outbox_key = |class: Class, order, deadline| {
            let send = PendingSend {
                id: SendId { account: "178".into(), key: "179".into() },
                class,
                content: Content::opening("guide"),
                to: Address::Comment { id: "179".into(), author: None },
                order,
                media: None,
                username: None,
                keyword: None,
                turn: None,
                matched_at: Timestamp::EPOCH,
                not_before: None,
                deadline: Timestamp::from_secs(deadline),
                stage: Stage::Parked,
                epoch: 0,
                attempt: 0,
                failures: 0,
                earlier: Earlier::NotSent,
                repeats: 0,
                made_at: None,
                stand_in: None,
                is_cleared: false,
            };
            OutboxKey::new(&send, 1)
        };
        let (oldest, newest) = (Overflow::OldestFirst, Overflow::NewestFirst);
        let sorted = [
            outbox_key(Class::LIVE_REPLY, oldest, 1_790_000_600),
            outbox_key(Class::PRIVATE_REPLY, oldest, 1_790_000_000),
            outbox_key(Class::PRIVATE_REPLY, oldest, 1_790_000_001),
            outbox_key(Class::PRIVATE_REPLY, newest, 1_790_000_001),
            outbox_key(Class::PRIVATE_REPLY, newest, 1_790_000_000),
            outbox_key(Class::OUTBOUND, oldest, 1_790_000_000),
        ];
        assert!(sorted.is_sorted(), "{sorted:?}");
        let parts = sorted[3].parts().unwrap();
        assert_eq!(parts, (Lane::Inbound, newest, Timestamp::from_secs(1_790_000_001)));
        let parts = sorted[5].parts().unwrap();
        assert_eq!(parts, (Lane::Outbound, oldest, Timestamp::from_secs(1_790_000_000)));
        for other in ["", "x", "9#00000000000001#a#b", "1#x#a#b"] {
            assert_eq!(OutboxKey::from_stored(other.into()).parts(), None, "{other}");
        }
    }
}
