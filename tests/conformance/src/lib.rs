//! What the ports promise, as cases that every implementation of them is put through: the
//! simulator's in memory, and those of `shared/cloud` over whatever answers as DynamoDB and SQS.
//!
//! The same cases run against four things: the simulator's tables and queues in memory; and the
//! adapters over the embedded DynamoDB and SQS, over AWS's DynamoDB Local with MiniStack's SQS,
//! and over MiniStack alone. `.ci/run` starts the last two, and runs the functions as built
//! against them. All four behave alike, with these exceptions:
//!
//! - No emulator answers TransactionConflict. DynamoDB does, where two writes meet and one is a
//!   transaction. `tests/conflicts.rs` gives this answer: a budget's write treats it as a lost
//!   race.
//! - Eventual reads lag by up to two seconds in the simulator, and nowhere else.
//! - A dead-lettered message is counted by the simulator and kept by the others.
//! - MiniStack cannot redrive (StartMessageMoveTask). The test of the built functions moves the
//!   messages itself.
//! - Throttles and unprocessed items come from the simulator and from the embedded SQS's
//!   faults. DynamoDB Local and MiniStack never have any.
//!
//! The built functions also take their secrets and their data key from MiniStack. The local
//! stack has both in process, as far as the operator's tool needs them.

#![expect(clippy::unwrap_used, reason = "a case ends where something is not as it must be")]

pub mod accounts;
pub mod backlogs;
pub mod budgets;
pub mod conversations;
pub mod deletions;
pub mod leads;
pub mod ledger;
pub mod misses;
pub mod queues;
pub mod sends;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::budget::GrantId;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::admin::sends::Ledger;
use spillway_service::clock::Clock;
use spillway_service::port::{
    AccountChanges, Accounts, Aliases, AppBudgets, Backlogs, Budgets, Conversations, Cursors,
    Deletions, Leads, MaintenanceSchedule, Misses, ReleaseQueue, Removal, SendQueue, Sends,
};
use spillway_service::send_task::SendTask;

/// An implementation of the ports. Nothing was written to it before.
pub struct Ports {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// What changes them.
    pub changes: Arc<dyn AccountChanges>,
    /// Budgets.
    pub budgets: Arc<dyn Budgets>,
    /// The app's budget.
    pub app: Arc<dyn AppBudgets>,
    /// Pace cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Sends.
    pub sends: Arc<dyn Sends>,
    /// Sends as operators see them.
    pub ledger: Arc<dyn Ledger>,
    /// Marks.
    pub backlogs: Arc<dyn Backlogs>,
    /// The queue of sends.
    pub queue: Arc<dyn SendQueue>,
    /// The queue of accounts to release.
    pub runs: Arc<dyn ReleaseQueue>,
    /// What removes accounts.
    pub removal: Arc<dyn Removal>,
    /// Requests of owners to delete their accounts.
    pub deletions: Arc<dyn Deletions>,
    /// The app-scoped ids of accounts.
    pub aliases: Arc<dyn Aliases>,
    /// Comments that matched nothing.
    pub misses: Arc<dyn Misses>,
    /// What is kept of conversations.
    pub conversations: Arc<dyn Conversations>,
    /// E-mail addresses that people gave.
    pub leads: Arc<dyn Leads>,
    /// Upkeep's list.
    pub maintenance: Arc<dyn MaintenanceSchedule>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the cases need of the world around an implementation.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The ports.
    fn ports(&self) -> &Ports;
    /// An account that is connected.
    fn connected(&self) -> AccountId;
    /// Connects it again.
    async fn connect_again(&self);
    /// Takes what can be received now from the queue of sends.
    async fn take_sends(&self) -> Vec<SendTask>;
    /// Takes what can be received now from the queue of accounts to release.
    async fn take_runs(&self) -> Vec<AccountId>;
    /// Lets time pass.
    async fn pass(&self, span: Duration);
}

/// Makes a test of each case. `$play` is given a case and puts a new subject through it.
#[macro_export]
macro_rules! cases {
    ($play:path) => {
        $crate::cases! { $play,
            accounts: [
                accounts_are_found_when_connected,
                an_account_that_was_connected_since_it_was_read_is_not_removed,
                an_account_that_is_due_at_another_instant_stays_on_upkeeps_list,
                a_change_of_an_account_raises_its_revision,
                a_paused_campaign_stays_paused_when_it_changes,
                campaigns_keep_the_order_of_their_file,
                the_next_post_is_kept_beside_its_campaign,
                albums_are_known_until_the_account_is_connected_again,
                settings_of_conversations_stay_until_the_account_is_removed,
                nothing_of_an_account_that_is_not_connected_changes,
            ],
            conversations: [
                a_conversation_is_written_on_its_version_alone,
                what_follows_is_written_with_the_state,
                a_message_is_chosen_with_the_state,
                conversations_are_listed_and_deleted,
                of_turnovers_that_race_one_is_done,
            ],
            deletions: [
                an_app_scoped_id_names_its_account_until_that_leaves_the_list,
                every_request_for_deletion_is_known_until_it_is_done,
                a_request_under_an_unknown_id_is_kept_until_it_is_matched,
                counters_of_a_removed_account_stay_as_they_are_until_their_end,
            ],
            backlogs: [
                a_mark_is_listed_with_the_instant_it_is_due,
                a_lease_is_one_runs_until_it_ends,
                of_runs_that_race_for_a_lease_one_has_it,
                a_settled_account_is_due_again_or_unmarked,
                an_account_marked_during_its_run_stays_due_and_is_released,
                a_run_that_was_overtaken_ends_nobody_elses_lease,
            ],
            budgets: [
                a_budget_is_written_on_its_version_alone,
                a_cursor_is_written_on_its_version_alone,
                the_apps_budget_is_written_on_its_version_alone,
                a_budget_is_read_as_it_was_written,
                of_writes_that_race_one_is_done,
                a_persons_unit_is_moved_with_the_budget_or_not_at_all,
                of_moves_that_race_one_is_done,
                the_later_unit_of_a_person_is_kept,
                fifty_deciders_are_granted_exactly_what_there_is,
            ],
            leads: [
                a_lead_is_stored_once_for_its_person_campaign_and_origin,
                leads_are_listed_since_an_instant_while_they_are_kept,
                a_forgotten_person_has_no_leads,
                of_a_deleted_account_no_lead_is_left,
                a_lead_is_untold_until_it_is_told,
            ],
            ledger: [
                a_failed_send_waits_again_once,
                a_forgotten_person_is_named_by_no_entry,
            ],
            misses: [
                a_days_misses_are_written_on_their_version_alone,
                tallies_are_listed_from_a_day_on,
                a_slot_keeps_the_lowest_rank,
                old_samples_are_not_shown,
                a_forgotten_person_has_no_samples,
                of_a_deleted_account_no_miss_is_left,
            ],
            queues: [
                every_message_is_answered_for_and_arrives_once,
                a_message_is_hidden_for_its_delay,
                accounts_to_release_arrive,
            ],
            sends: [
                a_recorded_send_has_an_entry_that_holds_it,
                recording_again_is_right_and_another_place_is_a_duplicate,
                of_webhooks_that_race_one_records,
                a_persons_item_is_made_once,
                a_persons_item_may_hold_no_send,
                a_newer_comment_stands_in,
                many_are_recorded_and_looked_up_at_once,
                steps_are_taken_at_the_tickets_place_and_epoch_alone,
                of_claims_that_race_one_is_taken,
                a_claimed_send_ends_at_its_place_wherever_it_has_come_to,
                an_echo_ends_a_send_wherever_it_stands,
                an_unclaimed_send_ends_at_its_epoch_or_not_at_all,
                what_follows_from_an_end_is_recorded_with_it,
                of_an_end_and_a_claim_that_race_one_is_taken,
                batches_are_read_as_they_were_written,
                batches_are_read_some_at_a_time,
                an_answer_that_is_full_is_not_the_last,
                a_batch_is_rewritten_on_its_version_alone,
                of_rewrites_that_race_one_is_done,
            ],
        }
    };
    ($play:path, $($module:ident: [$($case:ident,)*],)*) => {
        $(mod $module {
            $(#[test]
            fn $case() {
                $play(|subject| ::std::boxed::Box::pin($crate::$module::$case(subject)));
            })*
        })*
    };
}

/// The id of a write.
pub(crate) fn grant(sequence: u64) -> GrantId {
    GrantId::new(7, sequence)
}

/// Waits until `ask` gives something, a minute at most.
pub(crate) async fn eventually<T>(
    subject: &dyn Subject,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    for _ in 0..240 {
        if let Some(found) = ask().await {
            return found;
        }
        subject.pass(Duration::from_millis(250)).await;
    }
    panic!("{what}: not within a minute");
}

/// The time, to the whole second.
pub(crate) fn now(subject: &dyn Subject) -> Timestamp {
    Timestamp::from_secs(subject.ports().clock.now().as_secs())
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
