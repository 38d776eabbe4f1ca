//! What requests to DynamoDB cost, by the size of their items.

use serde::Serialize;
use spillway_core::app::AppBudget;
use spillway_core::budget::Budget;
use spillway_core::conversation::{State, StoredState};
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::send::{Address, PendingSend};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::outbox_batch::{OutboxBatch, OutboxLine, Slot};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{Read, StoredConversation};

use super::meter::Cost;

/// A consistent read of a small item, or of none.
pub(super) const CONSISTENT: Cost = Cost::HalfReads(2);

/// A write of a small item, also one whose condition fails.
pub(super) const WRITE: Cost = Cost::Writes(1);

/// The part of a transaction that writes a small item.
pub(super) const TRANSACTED: Cost = Cost::Writes(2);

/// Numbers and instants take about that much, by DynamoDB's own rules.
const NUMBER: usize = 8;

/// A write of an item of `bytes`.
pub(super) fn write(bytes: usize) -> Cost {
    Cost::Writes(kilobytes(bytes))
}

/// The part of a transaction that writes an item of `bytes`.
pub(super) fn transacted(bytes: usize) -> Cost {
    Cost::Writes(2 * kilobytes(bytes))
}

/// A consistent read of `bytes`: of an item, or of all that a query reads.
pub(super) fn consistent(bytes: usize) -> Cost {
    Cost::HalfReads(2 * bytes.div_ceil(4096).max(1) as u64)
}

/// A read of an item of `bytes`.
pub(super) fn read(read: Read, bytes: usize) -> Cost {
    match (read, consistent(bytes)) {
        (Read::Eventual, Cost::HalfReads(halves)) => Cost::HalfReads(halves / 2),
        (_, cost) => cost,
    }
}

/// The size of what is kept of a person's conversations.
pub(super) fn conversation_bytes(
    account: &AccountId,
    person: &RecipientId,
    kept: &StoredConversation,
) -> usize {
    if kept.version == 0 && kept.state == State::default() {
        return 0;
    }
    let key = "pk".len() + keys::talk(account).len() + "sk".len() + person.as_str().len();
    let state = json_bytes(&StoredState::from(&kept.state));
    key + "version".len() + "state".len() + "expires_at".len() + 2 * NUMBER + state
}

fn kilobytes(bytes: usize) -> u64 {
    bytes.div_ceil(1024).max(1) as u64
}

/// Keys, version and grant of an item that is written on its version.
fn versioned(key: &str) -> usize {
    "pk".len()
        + key.len()
        + "sk".len()
        + "budget".len()
        + "version".len()
        + NUMBER
        + "grant".len()
        + 16
}

/// The size of a budget's item.
pub(super) fn budget_bytes(key: &str, budget: &Budget) -> usize {
    versioned(key)
        + "decided_at".len()
        + "paced_at".len()
        + 2 * NUMBER
        + "windows".len()
        + budget.windows.encode().len()
        + "counts".len()
        + budget.windows.encode_counts().unwrap_or_default().len()
        + "holds".len()
        + json_bytes(&budget.holds)
        + "learned".len()
        + json_bytes(&budget.feedback)
        + "rotation".len()
        + budget.rotation.encode().len()
        + if budget.answers.is_empty() { 0 } else { "answers".len() + json_bytes(&budget.answers) }
}

/// The size of the app's item.
pub(super) fn app_bytes(key: &str, budget: &AppBudget) -> usize {
    versioned(key)
        + "decided_at".len()
        + NUMBER
        + "windows".len()
        + budget.windows.encode().len()
        + "counts".len()
        + budget.windows.encode_counts().unwrap_or_default().len()
        + "holds".len()
        + json_bytes(&budget.holds)
        + "leasing".len()
        + NUMBER
}

/// The size of an entry's item, of a send that waits.
pub(super) fn entry_bytes(outbox_key: &OutboxKey, send: &PendingSend) -> usize {
    /// Names of attributes and of fields in the body, numbers, the first steps, and what else does
    /// not vary.
    const FRAME: usize = 350;
    let (comment, person) = match &send.to {
        Address::Comment { id, author } => (id.as_str().len(), author.as_ref().map_or(0, text)),
        Address::Person(person) => (0, text(person)),
    };
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    FRAME
        + keys::entry(&send.id).len()
        + place_bytes(outbox_key)
        + campaign(&send.content.campaign)
        + comment
        + person
        + send.media.as_ref().map_or(0, |media| media.as_str().len())
        + optional(&send.username)
        + optional(&send.keyword)
}

/// The size of a batch's item.
pub(super) fn batch_bytes(batch: &OutboxBatch) -> usize {
    const FRAME: usize =
        "pkskversioncampaignmatched_atwritten_atlinesexpires_at".len() + 4 * NUMBER;
    // Instants count from when the batch was written.
    let from = |at: Timestamp| at.as_millis().wrapping_sub(batch.written_at.as_millis()) as i64;
    let line = |OutboxLine { key, deadline, slot, .. }: &OutboxLine| match slot {
        None => json_bytes(&(key, from(*deadline))),
        Some(Slot { due, epoch }) => json_bytes(&(key, from(*deadline), from(*due), epoch)),
    };
    // And a comma or a bracket.
    let lines = batch.lines.iter().map(|of| 1 + line(of)).sum::<usize>() + 1;
    FRAME
        + keys::waiting(&batch.account).len()
        + place_bytes(&batch.outbox_key)
        + campaign(&batch.content.campaign)
        + lines
}

/// How long a place is as a sort key.
fn place_bytes(outbox_key: &OutboxKey) -> usize {
    outbox_key.as_str().len()
}

/// The size of a mark's item.
pub(super) fn mark_bytes(account: &AccountId) -> usize {
    "pkbacklog#0skduemarked_atversionlease_until".len() + account.as_str().len() + 4 * NUMBER
}

/// The size of a value as JSON.
pub(super) fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

fn text(person: &RecipientId) -> usize {
    person.as_str().len()
}

fn campaign(campaign: &CampaignId) -> usize {
    campaign.as_str().len()
}

#[cfg(test)]
mod tests {
    use super::{Cost, consistent, write};

    #[test]
    fn units_are_whole_and_at_least_one() {
        let units = |cost| match cost {
            Cost::HalfReads(halves) => halves,
            Cost::Writes(units) => units,
        };
        assert_eq!([0, 1024, 1025].map(|bytes| units(write(bytes))), [1, 1, 2]);
        assert_eq!([0, 4096, 4097].map(|bytes| units(consistent(bytes))), [2, 2, 4]);
    }
}
