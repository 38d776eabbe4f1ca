//! What a waiting send waits for, and when it will probably go out.

use std::fmt;

use serde::{Serialize, Serializer};
use spillway_core::hold::HoldCause;
use spillway_core::send::{PendingSend, Stage};
use spillway_core::status::{Facts, Why};
use spillway_core::time::Timestamp;

use super::instant::optional;

/// Why a send waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// What keeps it.
    pub why: Waits,
    /// The instant when that ends; `null` where somebody must do something first, or it is its turn.
    #[serde(serialize_with = "optional")]
    pub until: Option<Timestamp>,
    /// The instant when the send will probably go; `null` where it will be too late, or that is not known.
    #[serde(serialize_with = "optional")]
    pub expected_at: Option<Timestamp>,
}

/// What keeps a send from going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// What the account is: on hold, or with a dead token.
    Account(Why),
    /// Its campaign is paused.
    CampaignPaused,
    /// Meta refuses what its campaign sends.
    CampaignHeld,
    /// Meta has refused a message to its person alone.
    RecipientHeld,
    /// It may not go before an instant.
    NotBefore,
    /// Its slot has not come.
    Slot,
    /// Its call may be under way.
    Call,
    /// It may have arrived: its echo, or a read of the conversation, may still show it.
    Evidence,
    /// Waiting DMs may need all calls: it is a public reply.
    Room,
    /// So many sends go before it.
    Turn(usize),
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(Why::Answer(HoldCause::TokenDead) | Why::TokenOver) => {
                f.write_str("the account's token is dead: the owner must log in again")
            }
            Self::Account(why) => write!(f, "the account is on hold: {why}"),
            Self::CampaignPaused => f.write_str("its campaign is paused"),
            Self::CampaignHeld => f.write_str("Meta refuses the link or the text of its campaign"),
            Self::RecipientHeld => f.write_str(
                "Meta has refused a message to its person: none goes to them until then",
            ),
            Self::NotBefore => f.write_str("it may not go before then"),
            Self::Slot => f.write_str("its slot has not come"),
            Self::Call => f.write_str("its call may be under way"),
            Self::Evidence => f.write_str("it may have arrived: nothing has shown it yet"),
            Self::Room => f.write_str("a call that no waiting DM could use"),
            Self::Turn(0) => f.write_str("the limits: it is the next to go"),
            Self::Turn(before) => write!(f, "the limits: {before} go before it"),
        }
    }
}

impl Serialize for Waits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Wait {
    /// Says why `send` waits at `now`: what lasts longest comes first. `before` others go before
    /// it.
    pub(super) fn of(
        send: &PendingSend,
        facts: &Facts<'_>,
        opens_at: Timestamp,
        before: usize,
        expected_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let ends = |at: Timestamp| Some(at).filter(|&at| at != Timestamp::NEVER);
        let wait = |why, until| Self { why, until, expected_at };
        match send.stage {
            Stage::Sending { lease_until } => return wait(Waits::Call, Some(lease_until)),
            Stage::Unknown(_) => return wait(Waits::Evidence, Some(send.deadline)),
            Stage::Parked | Stage::Queued { .. } => {}
        }
        let campaign = &send.content.campaign;
        if facts.campaigns.is_paused(campaign) {
            return wait(Waits::CampaignPaused, None);
        }
        if opens_at > now
            && let Some(why) = facts.holding(now)
        {
            return wait(Waits::Account(why), ends(opens_at));
        }
        let person = send.to.recipient();
        let of_person = person.and_then(|person| facts.holds.recipient_held_until(person, now));
        let reasons = [
            (Waits::CampaignHeld, facts.holds.refusals.campaign_held_until(campaign, now)),
            (Waits::RecipientHeld, of_person),
            (Waits::NotBefore, send.not_before.filter(|&at| at > now)),
        ];
        let longest = reasons.into_iter().filter(|(_, until)| until.is_some());
        match (longest.max_by_key(|&(_, until)| until), send.stage) {
            (Some((why, until)), _) => {
                // At a slot before that it is put off.
                let expected_at = expected_at.max(until).filter(|&at| at <= send.deadline);
                Self { why, until, expected_at }
            }
            (None, Stage::Queued { due }) => wait(Waits::Slot, Some(due)),
            (None, _) if send.class.is_public() => wait(Waits::Room, None),
            (None, _) => wait(Waits::Turn(before), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spillway_core::campaign::Campaigns;
    use spillway_core::feedback::Feedback;
    use spillway_core::hold::Holds;
    use spillway_core::id::SendId;
    use spillway_core::rules::Rules;
    use spillway_core::send::{Address, Class, Content};
    use spillway_core::upkeep::{TokenLife, Upkeep};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    #[test]
    fn a_send_that_may_not_go_at_its_slot_is_expected_when_it_may() {
        let minutes = |n: u64| NOW + Duration::from_secs(60 * n);
        let (rules, holds, upkeep) = (Rules::careful(), Holds::default(), Upkeep::default());
        let facts = Facts {
            rules: &rules,
            campaigns: &Campaigns::default(),
            holds: &holds,
            app: &Default::default(),
            feedback: Feedback::default(),
            token: TokenLife::default(),
            upkeep: &upkeep,
            last_seen: None,
        };
        let id = SendId { account: "178".into(), key: "179".into() };
        let to = Address::Comment { id: "179".into(), author: None };
        let content = Content::opening("guide");
        let send = PendingSend {
            not_before: Some(minutes(60)),
            stage: Stage::Queued { due: minutes(15) },
            ..PendingSend::new(id, Class::PRIVATE_REPLY, content, to, NOW, minutes(120))
        };
        let slot = Some(minutes(15));
        let wait = Wait::of(&send, &facts, NOW, 0, slot, NOW);
        assert_eq!((wait.why, wait.until), (Waits::NotBefore, Some(minutes(60))));
        assert_eq!(wait.expected_at, Some(minutes(60)));
        let late = PendingSend { deadline: minutes(30), ..send };
        assert_eq!(Wait::of(&late, &facts, NOW, 0, slot, NOW).expected_at, None);
    }
}
