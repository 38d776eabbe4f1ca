//! The keys under which the stores keep things: which items lie where. The adapters of
//! `shared/cloud` and the model of the load at scale use the same ones.
//!
//! `sends`, keyed by `id`, holds an entry for each send. An entry holds its send while that waits,
//! and outlives it, so a repeated delivery is known. The entry of the first send to a person is the
//! person's own item, which tells what they were answered.
//!
//! `state`, keyed by `pk` and `sk`:
//!
//! | pk | sk | item |
//! |---|---|---|
//! | `account#A` | `settings` | profile, sealed token, revision |
//! | `account#A` | `campaign#C` | a campaign, and since when it is paused |
//! | `account#A` | `forgotten` | the key of its tombstones |
//! | `account#A` | `forgotten#H` | a tombstone: the comment with the keyed hash H is somebody's who was forgotten |
//! | `account#A` | `forgotten#p.H` | the tombstone of the person with the keyed hash H, and when they were forgotten |
//! | `token-keys` | N | data key N, encrypted under the KMS key |
//! | `app` | `budget` | the app's budget |
//! | `app#leasing` | A | an account that leases from the app's quotas |
//! | `pace#A` | `budget` | the budget |
//! | `pace#A` | `cursor` | the pace cursor |
//! | `pace#A` | `echoes` | the watch for echoes, while an attempt is unknown |
//! | `person#A#P` | `unit` | when the person with the hash P was last counted |
//! | `talk#A` | P | what is kept of the conversations with the person P |
//! | `waiting#A` | an outbox key | an outbox batch: sends that may wait |
//! | `backlog#S` | A | the marker of an account with waiting sends |
//! | `misses#A` | `day#D` | how many comments of the day D matched nothing, and why |
//! | `misses#A` | `sample#D#N` | one of them, its text sealed |
//! | `sample-keys` | N | key pair N, which such texts and leads are sealed to; its private key is sealed under KMS |
//! | `leads#A` | `P#C` | an e-mail address, sealed, that the person with the hash P gave in the conversation with the hash C |
//! | `untold#S` | `A#P#C` | a lead of the account A that no event has told of yet, where there is an event bus |
//! | `journal#A` | an instant | a line of the account's journal |
//! | `upkeep#S` | A | when upkeep visits the account, what it knows of it, and its aliases |
//! | `alias#I` | `account` | the account that the app alone, and so Meta's requests, name I |
//! | `deletion#C` | `status` | how the deletion goes whose owner was told the code C |
//! | `unmatched#I` | C | a request for deletion under the app-scoped id I, which no account is known by |
//!
//! Functions and constants for sort keys end in `sk`; the others are for partitions.

use spillway_core::conversation::Origin;
use spillway_core::id::{AccountId, CampaignId, RecipientId, SendId};
use spillway_core::misses::Day;
use spillway_core::seed::seed;
use spillway_core::time::Timestamp;

/// The number of parts that the markers, the accounts for upkeep, and leads that no event has told of
/// are spread over.
pub const SHARDS: u8 = 8;

/// The app's own items.
pub const APP: &str = "app";

/// The accounts that lease from the app's quotas.
pub const LEASING: &str = "app#leasing";

/// The data keys that account tokens are sealed with.
pub const DATA_KEYS: &str = "token-keys";

/// The key pairs that samples of comments and leads are sealed to.
pub const SAMPLE_KEYS: &str = "sample-keys";

/// An account's settings.
pub const SETTINGS_SK: &str = "settings";

/// What the sort keys of campaigns begin with.
pub const CAMPAIGN_SK_PREFIX: &str = "campaign#";

/// The key of an account's tombstones.
pub const FORGOTTEN_SK: &str = "forgotten";

/// What the sort keys of tombstones begin with.
pub const TOMBSTONE_SK_PREFIX: &str = "forgotten#";

/// A budget, of an account or of the app.
pub const BUDGET_SK: &str = "budget";

/// An account's cursor.
pub const CURSOR_SK: &str = "cursor";

/// An account's watch for echoes.
pub const ECHOES_SK: &str = "echoes";

/// A person's unit.
pub const UNIT_SK: &str = "unit";

/// An alias's only item.
pub const ALIAS_SK: &str = "account";

/// A deletion's only item.
pub const DELETION_SK: &str = "status";

/// The id of an entry in the `sends` table.
pub fn entry(send: &SendId) -> String {
    send.to_string()
}

/// An account's settings, campaigns and tombstones.
pub fn account(account: &AccountId) -> String {
    format!("account#{account}")
}

/// A campaign of an account.
pub fn campaign_sk(campaign: &CampaignId) -> String {
    format!("{CAMPAIGN_SK_PREFIX}{campaign}")
}

/// A tombstone of an account.
pub fn tombstone_sk(tombstone: &str) -> String {
    format!("{TOMBSTONE_SK_PREFIX}{tombstone}")
}

/// What the sort keys of people's tombstones have after the prefix of all tombstones.
pub const PERSON_TOMBSTONE: &str = "p.";

/// The tombstone of a person of an account.
pub fn person_tombstone_sk(tombstone: &str) -> String {
    format!("{TOMBSTONE_SK_PREFIX}{PERSON_TOMBSTONE}{tombstone}")
}

/// A data key. Ten digits: data keys sort by their numbers.
pub fn data_key_sk(number: u32) -> String {
    format!("{number:010}")
}

/// An account's budget and cursor.
pub fn pace(account: &AccountId) -> String {
    format!("pace#{account}")
}

/// A person of an account, by a hash of their id.
pub fn person(account: &AccountId, person: &RecipientId) -> String {
    format!("person#{account}#{:016x}", seed(&[person.as_str()]))
}

/// An account's conversations; the sort keys are people's ids.
pub fn talk(account: &AccountId) -> String {
    format!("talk#{account}")
}

/// An account's pages.
pub fn waiting(account: &AccountId) -> String {
    format!("waiting#{account}")
}

/// The part of the marks that holds the account's.
pub fn backlog(account: &AccountId) -> String {
    backlog_shard(shard_of(account))
}

/// A part of the marks.
pub fn backlog_shard(shard: u8) -> String {
    format!("backlog#{shard}")
}

/// The part of the accounts for upkeep that holds this one.
pub fn upkeep(account: &AccountId) -> String {
    upkeep_shard(shard_of(account))
}

/// A part of the accounts for upkeep.
pub fn upkeep_shard(shard: u8) -> String {
    format!("upkeep#{shard}")
}

/// The part that holds an account's mark and its item for upkeep.
pub fn shard_of(account: &AccountId) -> u8 {
    (seed(&[account.as_str()]) % u64::from(SHARDS)) as u8
}

/// An account's misses.
pub fn misses(account: &AccountId) -> String {
    format!("misses#{account}")
}

/// What the sort keys of tallies of misses begin with.
pub const MISS_DAY_SK_PREFIX: &str = "day#";

/// What the sort keys of samples of misses begin with.
pub const MISS_SAMPLE_SK_PREFIX: &str = "sample#";

/// The tally of a day.
pub fn miss_day_sk(day: Day) -> String {
    format!("{MISS_DAY_SK_PREFIX}{day}")
}

/// The day of a tally's sort key.
pub fn day_of_miss_sk(sk: &str) -> Option<Day> {
    Day::parse(sk.strip_prefix(MISS_DAY_SK_PREFIX)?)
}

/// The first sort key that a sample of a day may have.
pub fn miss_samples_of_day_sk(day: Day) -> String {
    format!("{MISS_SAMPLE_SK_PREFIX}{day}#")
}

/// A sample of a day, by its number.
pub fn miss_sample_sk(day: Day, slot: usize) -> String {
    format!("{}{slot:02}", miss_samples_of_day_sk(day))
}

/// An account's leads.
pub fn leads(account: &AccountId) -> String {
    format!("leads#{account}")
}

/// What the sort keys of a person's leads begin with.
pub fn leads_of_person_sk(person: &RecipientId) -> String {
    format!("{:016x}#", seed(&[person.as_str()]))
}

/// The lead of a person in a conversation of a campaign.
pub fn lead_sk(person: &RecipientId, campaign: &CampaignId, origin: Origin) -> String {
    let conversation = seed(&["lead", campaign.as_str(), &origin.to_string()]);
    format!("{}{conversation:016x}", leads_of_person_sk(person))
}

/// The part of the leads that no event has told of which holds those of an account.
pub fn untold(account: &AccountId) -> String {
    untold_shard(shard_of(account))
}

/// A part of these leads.
pub fn untold_shard(shard: u8) -> String {
    format!("untold#{shard}")
}

/// One of them, by the sort key under which its account has it; or what those of an account, or of a
/// person, begin with.
pub fn untold_sk(account: &AccountId, lead_sk: &str) -> String {
    format!("{account}#{lead_sk}")
}

/// An account's journal.
pub fn journal(account: &AccountId) -> String {
    format!("journal#{account}")
}

/// A line of a journal. Thirteen digits: lines sort by their instants. `name` tells those of one
/// instant apart.
pub fn journal_sk(at: Timestamp, name: Option<u64>) -> String {
    let name = name.map(|name| format!("#{name:016x}")).unwrap_or_default();
    format!("{:013}{name}", at.as_millis())
}

/// The account that only the app names so.
pub fn alias(app_scoped: &str) -> String {
    format!("alias#{app_scoped}")
}

/// A deletion, by the code that its owner was told.
pub fn deletion(code: &str) -> String {
    format!("deletion#{code}")
}

/// The requests for deletion under an app-scoped id that no account is known by.
pub fn unmatched(app_scoped: &str) -> String {
    format!("unmatched#{app_scoped}")
}
