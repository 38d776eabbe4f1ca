//! The funnel of a conversation: how far people came, and how it ended with each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use spillway_cloud::dynamo::DynamoConversations;
use spillway_core::id::{AccountId, OnceKey, RecipientId};
use spillway_graph::{Action, CallRecord, Heard};
use spillway_judge::{outside_window, steps_twice};
use spillway_service::port::{Conversations, Read};

use super::crowd::Crowd;
use super::people::Step;
use crate::report::Entry;
use crate::stack::Stack;

/// What became of conversations, by Meta's own log of calls, messages, and what people did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conversed {
    /// How far people came.
    pub funnel: Funnel,
    /// Calls to people who had not written or tapped for 24 hours, refused or not. Must be 0.
    pub outside_window: u64,
    /// Messages whose step of the same conversation had reached the same person before. Must be 0.
    pub steps_twice: u64,
    /// Of those counted as unanswered, those whose last message or tap got no answer. Must be 0.
    #[serde(skip)]
    pub unserved: u64,
}

/// How far people came. Each figure counts distinct people, and none can exceed the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    /// Whom the opening has reached.
    pub opened: u64,
    /// Those who have written or tapped after it.
    pub answered: u64,
    /// Of these, those who follow the account.
    pub followed: u64,
    /// Those who have given an e-mail address when they were asked.
    pub emailed: u64,
    /// Whom the delivery has reached.
    pub delivered: u64,
    /// Whom the follow-up has reached.
    pub followed_up: u64,
    /// How it ended.
    pub ended: Ended,
}

/// How it ended with each person whom the opening has reached. The sum is `opened`: the first end
/// that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// The delivery has reached them.
    pub delivered: u64,
    /// They have asked to be left alone, as the stored conversation says.
    pub stopped: u64,
    /// A human has written to them in the account's name.
    pub taken_over: u64,
    /// Meta has refused the last message to them: they have blocked the account.
    pub refused: u64,
    /// Nobody knows whether a message has reached them, as its entry says.
    pub unknown: u64,
    /// They have not answered, followed or given an address: the conversation waits for them.
    pub unanswered: u64,
}

impl Ended {
    /// All people.
    pub fn sum(&self) -> u64 {
        let Self { delivered, stopped, taken_over, refused, unknown, unanswered } = self;
        delivered + stopped + taken_over + refused + unknown + unanswered
    }
}

impl Conversed {
    /// Counts what became of the conversations of an account with these people.
    ///
    /// # Errors
    /// Fails if DynamoDB does not answer.
    pub(super) async fn of(stack: &Stack, account: &AccountId, crowd: &Crowd) -> Result<Self> {
        let (calls, heard) = (stack.graph.calls(), stack.graph.heard());
        let at_step = |step: Step| {
            let of_step = crowd.reached.iter().filter(move |message| message.step == step.told().0);
            of_step.map(|message| (&message.person, message.at))
        };
        let people = |step: Step| -> BTreeSet<_> { at_step(step).map(|(them, _)| them).collect() };
        let opened: BTreeMap<_, _> = at_step(Step::Opening).collect();
        let has_answered =
            |heard: &&Heard| opened.get(&heard.person).is_some_and(|&opened| heard.at > opened);
        let answered: BTreeSet<_> =
            heard.iter().filter(has_answered).map(|heard| &heard.person).collect();
        let follows = |person: &&&RecipientId| {
            let known = stack.graph.person(account.clone(), (**person).clone());
            known.is_some_and(|known| known.follows == Some(true))
        };
        let delivered = people(Step::Delivery);
        let mut ended = Ended { delivered: delivered.len() as u64, ..Ended::default() };
        let ends = Ends::of(stack, account, &calls).await?;
        let heard_last: BTreeMap<_, _> =
            heard.iter().map(|heard| (&heard.person, heard.at)).collect();
        let reached_last: BTreeMap<_, _> =
            crowd.reached.iter().map(|message| (&message.person, message.at)).collect();
        let mut unserved = 0;
        for person in opened.keys().filter(|person| !delivered.contains(*person)) {
            let unanswered = ended.unanswered;
            *ends.of_person(person, &mut ended).await? += 1;
            let waits = heard_last.get(person) > reached_last.get(person);
            unserved += u64::from(waits && ended.unanswered > unanswered);
        }
        let funnel = Funnel {
            opened: opened.len() as u64,
            answered: answered.len() as u64,
            followed: answered.iter().filter(follows).count() as u64,
            emailed: crowd.gave_address.len() as u64,
            delivered: ended.delivered,
            followed_up: people(Step::FollowUp).len() as u64,
            ended,
        };
        Ok(Self {
            funnel,
            outside_window: outside_window(&calls, &heard).len() as u64,
            steps_twice: steps_twice(&crowd.reached, &heard).len() as u64,
            unserved,
        })
    }

    /// Whether nobody was written to outside their window, got a step twice, or was left without an
    /// answer, and everybody's conversation is accounted for.
    pub fn is_clean(&self) -> bool {
        let Self { funnel, outside_window, steps_twice, unserved } = self;
        let wrong = outside_window + steps_twice + unserved;
        wrong == 0 && funnel.ended.sum() == funnel.opened
    }

    /// The funnel for people, of so many who have commented.
    pub(crate) fn render(&self, commented: u64) -> String {
        let Funnel { opened, answered, followed, emailed, delivered, followed_up, ended } =
            &self.funnel;
        let mut out = format!("commented   {commented:>8}\n");
        for (name, count) in [
            ("opened", opened),
            ("answered", answered),
            ("followed", followed),
            ("emailed", emailed),
            ("delivered", delivered),
            ("followed up", followed_up),
        ] {
            let of_all = *count as f64 / commented.max(1) as f64;
            let bar = "\u{2588}".repeat((of_all * BAR as f64).round() as usize);
            let _ = writeln!(out, "{name:<11} {count:>8}  {:>4.0}%  {bar}", of_all * 100.0);
        }
        let Ended { stopped, taken_over, refused, unknown, unanswered, .. } = ended;
        let _ = writeln!(out, "\nended       {:>8}   adds up to those opened", ended.sum());
        for (name, count, what) in [
            ("delivered", &ended.delivered, "they have got what they asked for"),
            ("stopped", stopped, "they wrote STOP"),
            ("taken over", taken_over, "a human writes to them"),
            ("refused", refused, "they have blocked the account"),
            ("unknown", unknown, "Meta did not say whether it delivered"),
            ("unanswered", unanswered, "it is their turn"),
        ] {
            let _ = writeln!(out, "  {name:<10}{count:>8}   {what}");
        }
        out.push('\n');
        for (name, count, what) in [
            ("outside", self.outside_window, "calls to people silent for 24 hours, by Meta's log"),
            ("steps twice", self.steps_twice, "messages whose step had reached the same person"),
            ("unserved", self.unserved, "people whose last message got no answer"),
        ] {
            let _ = writeln!(out, "{name:<11} {count:>8}   {what}");
        }
        out.push('\n');
        out
    }
}

/// Columns of a bar.
const BAR: usize = 40;

/// What tells how conversations ended without a delivery.
struct Ends<'a> {
    account: &'a AccountId,
    conversations: DynamoConversations,
    taken_over: BTreeSet<RecipientId>,
    /// Those to whom the last message was refused.
    refused: BTreeSet<RecipientId>,
    /// The keys of sends that ended without anybody knowing whether they arrived.
    unknown: Vec<OnceKey>,
}

impl<'a> Ends<'a> {
    async fn of(stack: &Stack, account: &'a AccountId, calls: &[CallRecord]) -> Result<Self> {
        let mut last: BTreeMap<&RecipientId, u16> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.action == Action::Message) {
            last.extend(call.recipient_id.as_ref().map(|person| (person, call.status)));
        }
        let refused = last.into_iter().filter(|(_, status)| (400..500).contains(status));
        let entries = Entry::all(stack).await?;
        let unknown = entries.into_iter().filter(|entry| entry.is_unknown);
        Ok(Self {
            account,
            conversations: DynamoConversations {
                state: stack.state_table(),
                sends: stack.sends_table(),
            },
            taken_over: stack.graph.by_hand().into_iter().map(|message| message.person).collect(),
            refused: refused.map(|(person, _)| person.clone()).collect(),
            unknown: unknown.map(|entry| entry.key).collect(),
        })
    }

    /// The count of those with whom it ended as it did with this person.
    async fn of_person<'e>(
        &self,
        person: &RecipientId,
        ended: &'e mut Ended,
    ) -> Result<&'e mut u64> {
        let kept = self.conversations.load(self.account, person, Read::Consistent).await?;
        Ok(if kept.state.is_stopped() {
            &mut ended.stopped
        } else if self.taken_over.contains(person) {
            &mut ended.taken_over
        } else if self.refused.contains(person) {
            &mut ended.refused
        } else if self.unknown.iter().any(|key| key.is_step_to(person)) {
            &mut ended.unknown
        } else {
            &mut ended.unanswered
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversed() -> Conversed {
        let ended =
            Ended { delivered: 5, stopped: 1, refused: 1, unanswered: 3, ..Ended::default() };
        let funnel = Funnel {
            opened: 10,
            answered: 8,
            followed: 7,
            emailed: 6,
            delivered: 5,
            followed_up: 4,
            ended,
        };
        Conversed { funnel, ..Conversed::default() }
    }

    #[test]
    fn what_is_outside_a_window_twice_or_lost_is_not_clean() {
        let clean = conversed();
        assert!(clean.is_clean());
        assert!(!Conversed { outside_window: 1, ..clean.clone() }.is_clean());
        assert!(!Conversed { steps_twice: 1, ..clean.clone() }.is_clean());
        assert!(!Conversed { unserved: 1, ..clean.clone() }.is_clean());
        let lost = Funnel { opened: 11, ..clean.funnel.clone() };
        assert!(!Conversed { funnel: lost, ..clean }.is_clean());
    }

    #[test]
    fn the_funnel_is_drawn() {
        let text = conversed().render(10);
        assert!(
            text.contains(&format!("answered           8    80%  {}\n", "\u{2588}".repeat(32)))
        );
        assert!(text.contains("ended             10   adds up to those opened"), "{text}");
    }
}
