//! What conversations use: each is a comment, its DM, an answer, a read of whether the person follows,
//! the delivery, and for every other person a follow-up. Whoever does not follow is asked to, and taps.

use serde::Serialize;

use super::usage::Usage;
use super::workload::{Crowd, ENTRY, FLEET, GB, MONTH, PerOne, Play, REMEMBERED, at_a_time};
use crate::scale::{Followers, MINUTE, Plan, Wave};

/// What was counted for conversations that no limit holds up.
#[derive(Clone, Debug, Serialize)]
pub struct Conversations {
    /// Whose.
    pub crowd: Crowd,
    /// Whether people have to be asked to follow.
    pub gate: Gate,
    /// Conversations that were played.
    pub conversations: u64,
    /// DMs of each in the mean.
    pub dms: f64,
    /// Hours until the last of them.
    pub hours: f64,
    /// Counts in the mean.
    pub per_conversation: PerOne,
    /// What a conversation uses, and a fleet's share of what is there whatever is sent.
    #[serde(skip)]
    pub(super) usage: Usage,
}

/// What the follow gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// It lets people pass, as they follow.
    Passed,
    /// It asks them to follow, and they do.
    Asked,
}

/// What is played, in the order of the columns.
const ALL: [(Crowd, Gate); 4] = [
    (Crowd::Fleet, Gate::Passed),
    (Crowd::Viral, Gate::Passed),
    (Crowd::Fleet, Gate::Asked),
    (Crowd::Viral, Gate::Asked),
];

/// Days for which the entries of all DMs but the first are kept.
const ENTRY_DAYS: f64 = 10.0;

/// Every other person writes their thanks.
const THANKS: f64 = 0.5;

impl Gate {
    /// For a column.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Passed => "follows",
            Self::Asked => "is asked",
        }
    }

    /// How many times a person answers or taps, each of which has Meta asked who follows.
    const fn answers(self) -> f64 {
        match self {
            Self::Passed => 1.0,
            Self::Asked => 2.0,
        }
    }
}

/// Plays them, at a time.
pub fn count_conversations() -> Vec<Conversations> {
    at_a_time(&ALL, count)
}

/// The careful profile allows 200 calls an hour, and a conversation takes up to six: all of these get
/// each message at once.
fn count((crowd, gate): (Crowd, Gate)) -> Conversations {
    let (accounts, stand_for) = match crowd {
        Crowd::Fleet | Crowd::FleetOfSingles => (50, FLEET),
        Crowd::Viral => (1, 1),
    };
    let wave = Wave { comments: 200, delivery: 5, every: 10 * MINUTE };
    let followers = match gate {
        Gate::Passed => Followers::All,
        Gate::Asked => Followers::None,
    };
    let play = Play::new(accounts, stand_for, wave);
    let played = play.run(|accounts, wave| Plan::of_talks(accounts, wave, followers));
    let conversations = u64::from(accounts * wave.comments);
    let (_, share) = play.shared(crowd, &played, conversations);
    let per_conversation = PerOne::of(&played.counts, conversations);
    let dms = played.dms as f64 / conversations as f64;
    // What is kept of conversations is as long as a person is remembered.
    let kept = ENTRY * REMEMBERED
        + (dms - 1.0) * ENTRY * ENTRY_DAYS
        + played.conversation_bytes as f64 / conversations as f64 * REMEMBERED;
    let beside = Usage {
        stored_gb_months: kept / GB / MONTH,
        // What a person does has 1 KB of logs at most, as a DM has.
        log_gb: (dms + gate.answers() + THANKS) * 1024.0 / GB,
        out_gb: (dms + gate.answers()) * 1536.0 / GB,
        ..Usage::default()
    };
    Conversations {
        crowd,
        gate,
        conversations,
        dms,
        hours: played.hours,
        per_conversation,
        usage: per_conversation.usage() + beside + share,
    }
}
