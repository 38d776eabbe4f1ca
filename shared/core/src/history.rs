//! What happened to a send on its way, for people to read: nothing is decided on it.

use std::fmt;

use crate::conversation;
use crate::meta_error::MetaError;
use crate::send::{FailReason, Stage, Step};
use crate::time::Timestamp;
use crate::unknown::UnknownAttempt;

/// A step that a send has taken, for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastStep {
    /// The epoch that it led to.
    pub epoch: u32,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub what: Past,
    /// The slot of a claim, if its message named one.
    pub slot: Option<Timestamp>,
}

/// What is recorded with a step or an end, for people to read.
#[derive(Clone, Copy, Debug)]
pub struct StepNote<'a> {
    /// The instant when it happened.
    pub at: Timestamp,
    /// What Meta answered, if it refused the attempt.
    pub error: Option<&'a MetaError>,
}

/// A step that follows from no refusal.
impl From<Timestamp> for StepNote<'_> {
    fn from(at: Timestamp) -> Self {
        Self { at, error: None }
    }
}

/// What happened to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It took a step.
    Step(Step),
    /// It failed, and was repeated later.
    Ended(FailReason),
    /// It was repeated by hand.
    Retried,
}

/// In words.
impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, stage) = match self {
            Self::Ended(reason) => return write!(f, "failed: {}", reason.as_str()),
            Self::Retried => return f.write_str("brought back by hand"),
            Self::Step(Step::Claim { .. }) => return f.write_str("claimed: its call begins"),
            Self::Step(Step::Dated { .. }) => {
                return f.write_str("asked when the comment was made");
            }
            Self::Step(Step::Unknown(_)) => {
                return f.write_str("no clear answer: it may have arrived");
            }
            Self::Step(Step::Looked { .. }) => return f.write_str("looked for"),
            Self::Step(Step::Chosen { .. }) => {
                return f.write_str("read whether the person follows");
            }
            Self::Step(Step::Repeated(stage)) => ("it did not arrive, ", stage),
            Self::Step(Step::To(stage)) => ("", stage),
            Self::Step(Step::Failed(stage)) => ("failed on the way, ", stage),
            Self::Step(Step::Lost(stage)) => ("no clear answer, ", stage),
            Self::Step(Step::Cleared(stage)) => ("asked who wrote the comment, ", stage),
            Self::Step(Step::Replaced(stage)) => {
                ("the comment is gone, a newer one takes its place, ", stage)
            }
        };
        f.write_str(what)?;
        f.write_str(match stage {
            Stage::Parked => "parked",
            Stage::Queued { .. } => "queued again",
            Stage::Sending { .. } => "claimed",
            Stage::Unknown(_) => "unknown",
        })
    }
}

/// Steps of a send that are kept: the last ones.
pub const STEPS_KEPT: u32 = 8;

impl PastStep {
    /// Encodes the step for a store as `epoch at what`, with instants in milliseconds since 1970.
    pub fn encode(&self) -> String {
        let Self { epoch, at, what, slot } = self;
        // No step leads to a claim but a claim.
        let staged = |word: &str, stage: &Stage| match stage {
            Stage::Queued { due } => format!("{word} {}", due.as_millis()),
            Stage::Parked | Stage::Sending { .. } | Stage::Unknown(_) => word.to_owned(),
        };
        let what = match what {
            Past::Ended(reason) => format!("ended {}", reason.as_str()),
            Past::Retried => "retried".into(),
            Past::Step(Step::Claim { lease_until }) => {
                let slot = slot.map(|slot| format!(" {}", slot.as_millis())).unwrap_or_default();
                format!("claim {}{slot}", lease_until.as_millis())
            }
            Past::Step(Step::Dated { made_at, lease_until }) => {
                format!("dated {} {}", made_at.as_millis(), lease_until.as_millis())
            }
            Past::Step(Step::To(stage)) => staged("to", stage),
            Past::Step(Step::Failed(stage)) => staged("failed", stage),
            Past::Step(Step::Lost(stage)) => staged("lost", stage),
            Past::Step(Step::Replaced(stage)) => staged("replaced", stage),
            Past::Step(Step::Cleared(stage)) => staged("cleared", stage),
            Past::Step(Step::Chosen { step, nth, lease_until }) => {
                format!("chosen {step} {nth} {}", lease_until.as_millis())
            }
            Past::Step(Step::Unknown(UnknownAttempt { tried_at, look_at, .. })) => {
                format!("unknown {} {}", tried_at.as_millis(), look_at.as_millis())
            }
            Past::Step(Step::Looked { look_at, absent_at }) => {
                let absent_at = absent_at.map(|at| format!(" {}", at.as_millis()));
                format!("looked {}{}", look_at.as_millis(), absent_at.unwrap_or_default())
            }
            Past::Step(Step::Repeated(stage)) => staged("repeated", stage),
        };
        format!("{epoch} {} {what}", at.as_millis())
    }

    /// Decodes what [`Self::encode`] returned. Returns `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let instant = |word: &str| Some(Timestamp::from_millis(word.parse().ok()?));
        let mut words = text.split(' ');
        let epoch = words.next()?.parse().ok()?;
        let at = instant(words.next()?)?;
        let word = words.next()?;
        let mut slot = None;
        let what = match word {
            "ended" => {
                let name = words.next()?;
                let reason = FailReason::ALL.into_iter().find(|reason| reason.as_str() == name)?;
                Past::Ended(reason)
            }
            "retried" => Past::Retried,
            "claim" => {
                let lease_until = instant(words.next()?)?;
                slot = match words.next() {
                    None => None,
                    Some(slot) => Some(instant(slot)?),
                };
                Past::Step(Step::Claim { lease_until })
            }
            "dated" => {
                let (made_at, lease_until) = (instant(words.next()?)?, instant(words.next()?)?);
                Past::Step(Step::Dated { made_at, lease_until })
            }
            "chosen" => {
                let step = conversation::Step::parse(words.next()?)?;
                let nth = words.next()?.parse().ok()?;
                Past::Step(Step::Chosen { step, nth, lease_until: instant(words.next()?)? })
            }
            "unknown" => {
                let (tried_at, look_at) = (instant(words.next()?)?, instant(words.next()?)?);
                Past::Step(Step::Unknown(UnknownAttempt { tried_at, look_at, absent_at: None }))
            }
            "looked" => {
                let look_at = instant(words.next()?)?;
                let absent_at = match words.next() {
                    None => None,
                    Some(at) => Some(instant(at)?),
                };
                Past::Step(Step::Looked { look_at, absent_at })
            }
            "to" | "failed" | "lost" | "repeated" | "replaced" | "cleared" => {
                let stage = match words.next() {
                    None => Stage::Parked,
                    Some(due) => Stage::Queued { due: instant(due)? },
                };
                Past::Step(match word {
                    "to" => Step::To(stage),
                    "failed" => Step::Failed(stage),
                    "replaced" => Step::Replaced(stage),
                    "cleared" => Step::Cleared(stage),
                    "repeated" => Step::Repeated(stage),
                    _ => Step::Lost(stage),
                })
            }
            _ => return None,
        };
        Some(Self { epoch, at, what, slot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_step_is_read_back() {
        let (at, due) = (Timestamp::from_millis(1_790_000_000_123), Timestamp::from_secs(7));
        let queued = Stage::Queued { due };
        let steps = [
            Step::Claim { lease_until: due },
            Step::Dated { made_at: at, lease_until: due },
            Step::To(queued),
            Step::To(Stage::Parked),
            Step::Failed(queued),
            Step::Lost(Stage::Parked),
            Step::Replaced(queued),
            Step::Cleared(Stage::Parked),
            Step::Unknown(UnknownAttempt::new(at)),
            Step::Looked { look_at: due, absent_at: None },
            Step::Looked { look_at: due, absent_at: Some(at) },
            Step::Repeated(Stage::Parked),
            Step::Repeated(queued),
            Step::Chosen { step: conversation::Step::Deliver(1), nth: 2, lease_until: due },
        ];
        let ended = [Past::Ended(FailReason::NoAnswer), Past::Retried];
        for what in steps.map(Past::Step).into_iter().chain(ended) {
            let past = PastStep { epoch: 12, at, what, slot: None };
            assert_eq!(PastStep::decode(&past.encode()), Some(past));
        }
        let claim = Past::Step(Step::Claim { lease_until: due });
        let mut past = PastStep { epoch: 12, at, what: claim, slot: None };
        assert_eq!(past.encode(), "12 1790000000123 claim 7000");
        past.slot = Some(Timestamp::from_millis(6500));
        assert_eq!(past.encode(), "12 1790000000123 claim 7000 6500");
        assert_eq!(PastStep::decode(&past.encode()), Some(past));
        for other in [
            "",
            "1",
            "1 2",
            "1 2 walk",
            "x 2 retried",
            "1 2 claim",
            "1 2 claim 7 x",
            "1 2 to x",
            "1 2 ended",
        ] {
            assert_eq!(PastStep::decode(other), None, "{other}");
        }
    }
}
