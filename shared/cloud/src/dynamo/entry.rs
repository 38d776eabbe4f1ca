//! Entries: how a send lies in one, while it waits and when it has ended.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use spillway_core::campaign::{Overflow, Trigger};
use spillway_core::history::PastStep;
use spillway_core::id::{CampaignId, CommentId, MediaId, OnceKey, SendId};
use spillway_core::meta_error::LastRefusal;
use spillway_core::once::Answers;
use spillway_core::send::{
    Address, CampaignStep, Class, Content, Earlier, Lane, PendingSend, Stage, StandIn, Turn,
};
use spillway_core::time::Timestamp;
use spillway_core::unknown::UnknownAttempt;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{Entry, NewSend, StoreError};

use super::item::{Item, Reader, at, b, json, n, s, word};
use super::table::entry_key;
use crate::schema::EXPIRES_AT;

/// How long an entry lives at least: past the 7 days in which a comment can be answered and the 36
/// hours in which Meta sends a delivery again.
const ENTRY_LIFE: Duration = Duration::from_secs(10 * 24 * 3600);

/// How long what lists or holds a send outlives its deadline at least.
const BEYOND_DEADLINE: Duration = Duration::from_secs(3 * 24 * 3600);

/// The instant when DynamoDB may delete what is kept of a send.
pub(super) fn expires_at(matched_at: Timestamp, deadline: Timestamp) -> u64 {
    (matched_at + ENTRY_LIFE)
        .max(deadline.min(Timestamp::NEVER - BEYOND_DEADLINE) + BEYOND_DEADLINE)
        .as_secs()
}

/// What of a waiting send never changes, but for what its entry tells beside it.
#[derive(Serialize, Deserialize)]
struct Body {
    lane: Lane,
    to: Address,
    #[serde(default)]
    order: Overflow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media: Option<MediaId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyword: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<Turn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    deadline: Timestamp,
}

/// What a send's item or its batch's says of it beside its lane and campaign. The usual is left
/// out.
pub(super) fn said(
    class: Class,
    step: CampaignStep,
) -> impl Iterator<Item = (String, AttributeValue)> {
    let action = class.named_action().map(|action| ("action".into(), word(&action)));
    let step = (!step.is_opening()).then(|| ("step".into(), word(&step)));
    action.into_iter().chain(step)
}

/// Reads the class of the sends that have this outbox key.
pub(super) fn read_class(reader: &Reader<'_>, outbox_key: &OutboxKey) -> Result<Class, StoreError> {
    // What its outbox key does not tell, an earlier or later version has written: it is taken as it
    // is for most.
    let lane = outbox_key.parts().map_or(Lane::Inbound, |(lane, ..)| lane);
    Ok(Class::from_stored(lane, reader.optional_word("action")?))
}

/// Reads what a send says.
pub(super) fn read_content(reader: &Reader<'_>) -> Result<Content, StoreError> {
    let campaign = CampaignId::new(reader.text("campaign")?);
    Ok(Content { campaign, step: reader.optional_word("step")?.unwrap_or_default() })
}

/// A stage's name, and its instant.
pub(super) fn stage_attributes(stage: Stage, deadline: Timestamp) -> (&'static str, Timestamp) {
    match stage {
        Stage::Parked => ("parked", Timestamp::EPOCH),
        Stage::Queued { due } => ("queued", due),
        Stage::Sending { lease_until } => ("sending", lease_until),
        // As a claim that lasts until the send's deadline: the previous version leaves it alone.
        Stage::Unknown(_) => ("sending", deadline),
    }
}

/// The attributes of an attempt whose outcome is unknown. An entry has them only while its stage is
/// that.
pub(super) const TRIED_AT: &str = "tried_at";
pub(super) const LOOK_AT: &str = "look_at";
pub(super) const ABSENT_AT: &str = "absent_at";

/// The attributes of a waiting send that change. When its comment was made, and that an attempt is
/// unknown, is noted by a step alone.
pub(super) fn standing(
    outbox_key: &OutboxKey,
    send: &PendingSend,
) -> Vec<(&'static str, AttributeValue)> {
    let body = Body {
        lane: send.class.lane,
        to: send.to.clone(),
        order: send.order,
        media: send.media.clone(),
        username: send.username.clone(),
        keyword: send.keyword.clone(),
        turn: send.turn,
        not_before: send.not_before,
        deadline: send.deadline,
    };
    let (stage, instant) = stage_attributes(send.stage, send.deadline);
    let earlier = match send.earlier {
        Earlier::NotSent => "not_sent",
        Earlier::Unknown => "unknown",
    };
    let mut standing = vec![
        ("state", s("waiting")),
        ("place", s(outbox_key.as_str())),
        ("epoch", n(send.epoch)),
        ("stage", s(stage)),
        ("due", at(instant)),
        ("attempt", n(send.attempt)),
        ("failures", n(send.failures)),
        ("earlier", s(earlier)),
        ("body", json(&body)),
    ];
    if send.repeats > 0 {
        standing.push(("repeats", n(send.repeats)));
    }
    standing
}

/// What a person was answered, in the item that is theirs.
pub(super) const ANSWERED: &str = "answered";

/// A newer comment for a send that waits, and until when it can be answered.
pub(super) const STAND_IN: &str = "stand_in";
pub(super) const STAND_IN_UNTIL: &str = "stand_in_until";

/// The newer comment that has taken the first one's place.
pub(super) const REPLACEMENT: &str = "replacement";

/// The number of a conversation's message that was chosen after the person's profile was read.
pub(super) const TURN_NTH: &str = "turn_nth";

/// There where the comment's author was asked for.
pub(super) const CLEARED: &str = "cleared";

/// The comment that a send answers which is kept under another key.
pub(super) const COMMENT: &str = "comment";

/// What a send answers, where its class does not tell and its story is deleted when it ends.
const TRIGGER: &str = "trigger";

/// The entry of a send that is new.
pub(super) fn item(NewSend { outbox_key, send, answered }: &NewSend) -> Item {
    let mut item = entry_key(&send.id);
    let expires_at = expires_at(send.matched_at, send.deadline)
        .max(answered.as_ref().map_or(0, |answered| answered.until().as_secs()));
    item.extend([
        ("campaign".into(), s(send.content.campaign.as_str())),
        ("matched_at".into(), at(send.matched_at)),
        ("steps".into(), AttributeValue::M(Item::new())),
        (EXPIRES_AT.into(), n(expires_at)),
    ]);
    item.extend(answered.as_ref().map(|answered| (ANSWERED.into(), b(answered.encode()))));
    if let Address::Comment { id, .. } = &send.to
        && OnceKey::comment(id) != send.id.key
    {
        item.insert(COMMENT.into(), s(id.as_str()));
    }
    if send.trigger() == Trigger::StoryReply {
        item.insert(TRIGGER.into(), word(&Trigger::StoryReply));
    }
    if send.is_cleared {
        item.insert(CLEARED.into(), AttributeValue::Bool(true));
    }
    if let Some(stand_in) = &send.stand_in {
        item.insert(STAND_IN.into(), json(stand_in));
        item.insert(STAND_IN_UNTIL.into(), at(stand_in.deadline));
    }
    item.extend(said(send.class, send.content.step));
    let standing = standing(outbox_key, send);
    item.extend(standing.into_iter().map(|(name, value)| (name.into(), value)));
    item
}

/// Reads the entry of a send.
pub(super) fn read(reader: &Reader<'_>, id: &SendId) -> Result<Entry, StoreError> {
    if !reader.item.contains_key("state") {
        // A person's item, in which no send lies.
        return Ok(Entry::Missing);
    }
    let outbox_key = OutboxKey::from_stored(reader.text("place")?.to_owned());
    Ok(match reader.text("state")? {
        "waiting" => Entry::Waiting(outbox_key, Box::new(read_waiting(reader, id)?)),
        _ => Entry::Ended(outbox_key),
    })
}

/// Reads the send from the entry of one that waits.
pub(super) fn read_waiting(reader: &Reader<'_>, id: &SendId) -> Result<PendingSend, StoreError> {
    let mut body: Body = reader.json("body")?;
    if let Some(StandIn { comment, deadline }) = reader.optional_json(REPLACEMENT)? {
        if let Address::Comment { id, .. } = &mut body.to {
            *id = comment;
        }
        body.deadline = body.deadline.max(deadline);
    }
    if let (Some(turn), Some(nth)) = (&mut body.turn, reader.optional_number(TURN_NTH)?) {
        turn.nth = nth;
    }
    let instant = reader.at("due")?;
    let stage = match reader.text("stage")? {
        "sending" if reader.item.contains_key(TRIED_AT) => Stage::Unknown(UnknownAttempt {
            tried_at: reader.at(TRIED_AT)?,
            look_at: reader.at(LOOK_AT)?,
            absent_at: reader.opt_at(ABSENT_AT)?,
        }),
        "parked" => Stage::Parked,
        "queued" => Stage::Queued { due: instant },
        "sending" => Stage::Sending { lease_until: instant },
        other => return Err(reader.corrupt(format!("stage is `{other}`"))),
    };
    let earlier = match reader.text("earlier")? {
        "not_sent" => Earlier::NotSent,
        "unknown" => Earlier::Unknown,
        other => return Err(reader.corrupt(format!("earlier is `{other}`"))),
    };
    Ok(PendingSend {
        id: id.clone(),
        class: Class::from_stored(body.lane, reader.optional_word("action")?),
        content: read_content(reader)?,
        to: body.to,
        order: body.order,
        media: body.media,
        username: body.username,
        keyword: body.keyword,
        turn: body.turn,
        matched_at: reader.at("matched_at")?,
        not_before: body.not_before,
        deadline: body.deadline,
        stage,
        epoch: reader.number("epoch")?,
        attempt: reader.number("attempt")?,
        failures: reader.number("failures")?,
        earlier,
        repeats: reader.optional_number("repeats")?.unwrap_or_default(),
        made_at: reader.opt_at("made_at")?,
        stand_in: reader.optional_json(STAND_IN)?,
        is_cleared: reader.item.contains_key(CLEARED),
    })
}

/// Reads what the person was answered whose item this is.
pub(super) fn read_answered(reader: &Reader<'_>) -> Result<Answers, StoreError> {
    let answered = Answers::decode(reader.bytes(ANSWERED)?);
    answered.ok_or_else(|| reader.corrupt("attribute `answered` cannot be decoded"))
}

/// The comment that the send of an entry answers; `None` if it answers none.
pub(super) fn comment(reader: &Reader<'_>, id: &SendId) -> Result<Option<CommentId>, StoreError> {
    let replacement: Option<StandIn> = reader.optional_json(REPLACEMENT)?;
    let named = reader.opt_text(COMMENT).map(CommentId::new);
    // The key of every other kind has a dot.
    let key = id.key.as_str();
    let by_key = || (!key.contains('.')).then(|| CommentId::new(key));
    Ok(replacement.map(|new| new.comment).or(named).or_else(by_key))
}

/// What a send answers, as far as its entry tells. Entries of story replies that earlier versions
/// have written do not tell it.
pub(super) fn trigger(item: &Item, class: Class) -> Trigger {
    let named = item.get(TRIGGER).and_then(|named| named.as_s().ok());
    let named = named.and_then(|named| Trigger::ALL.into_iter().find(|one| one.as_str() == named));
    named.unwrap_or(class.trigger())
}

/// Meta's last refusal of the send. What cannot be read is left out, as with [`steps`].
pub(super) fn last_refusal(item: &Item) -> Option<LastRefusal> {
    serde_json::from_str(item.get("refused")?.as_s().ok()?).ok()
}

/// The steps that an entry has kept, in order. What is none is left out: nothing is decided on
/// them.
pub(super) fn steps(item: &Item) -> Vec<PastStep> {
    let kept = item.get("steps").and_then(|steps| steps.as_m().ok());
    let texts =
        kept.into_iter().flat_map(|steps| steps.values()).filter_map(|step| step.as_s().ok());
    let mut steps: Vec<PastStep> = texts.filter_map(|text| PastStep::decode(text)).collect();
    steps.sort_by_key(|step| step.epoch);
    steps
}
