//! Lambda: an invocation runs until it ends, dies or takes too long.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_meta::webhook::{CommentKind, Delivery, Event};
use spillway_service::clock::Clock;
use spillway_service::deliver::Job;
use spillway_service::ingest::{Ingest, Ingested};
use spillway_service::port::StoreError;
use spillway_service::send_task::SendTask;

use crate::host::Host;
use crate::orders;
use crate::process::{Function, Process, Work};
use crate::queue::Received;
use crate::scenario::{Job as ToolJob, Order, Post, Told};
use crate::watch::End;

/// The functions' timeouts in milliseconds, as in template.yaml.
const WEBHOOK_TIMEOUT: u64 = 15_000;
const SENDER_TIMEOUT: u64 = 30_000;
const RELEASE_TIMEOUT: u64 = 60_000;
const UPKEEP_TIMEOUT: u64 = 600_000;

/// After so long, in milliseconds, somebody interrupts the operator's tool.
const OPERATOR_PATIENCE: u64 = 60_000;

/// An invocation that may die does so at one of its first so many requests.
const DIES_WITHIN: u64 = 60;

/// A run of upkeep makes more of them.
const UPKEEP_DIES_WITHIN: u64 = 200;

/// What a function is invoked with.
pub(crate) enum Call {
    /// What ingest is told, how often that failed, and when it was told first.
    Post(Post, Attempts),
    /// A batch of the send queue.
    Sends(Vec<Received<SendTask>>),
    /// A message of the release queue.
    Release(Received<AccountId>),
    /// The schedule.
    Tick,
    /// A job of another tool.
    Tool(ToolJob),
    /// The schedule of upkeep.
    Upkeep,
    /// An operator does something with an account.
    Order(AccountId, Order),
}

/// Attempts to make a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    /// Those that failed.
    pub(crate) failed: usize,
    /// The instant of the first.
    pub(crate) first: u64,
}

/// What an invocation leaves behind.
pub(crate) struct Ended {
    /// Of which function.
    pub(crate) function: Function,
    /// The process, where it is still good.
    pub(crate) process: Option<Process>,
    /// What was told and not taken.
    pub(crate) refused: Option<(Post, Attempts)>,
    /// What an operator has done with which account, and whether it is done.
    pub(crate) order: Option<(AccountId, Order, bool)>,
}

impl Call {
    /// The function it is for.
    pub(crate) const fn function(&self) -> Function {
        match self {
            Self::Post(..) => Function::Webhook,
            Self::Sends(_) => Function::Sender,
            Self::Release(_) | Self::Tick => Function::Release,
            Self::Tool(_) => Function::Tool,
            Self::Upkeep => Function::Upkeep,
            Self::Order(..) => Function::Operator,
        }
    }
}

/// Runs one invocation on a process.
pub(crate) async fn invoke(process: Process, call: Call) -> Ended {
    let function = call.function();
    let invocation = begin(&process, function);
    let host = process.host.clone();
    let (mut refused, mut given) = (None, None);
    let survived = match (&process.work, call) {
        (Work::Webhook(ingest), Call::Post(post, attempts)) => {
            let deadline = deadline(&host, WEBHOOK_TIMEOUT);
            let began = host.shared.now();
            let told = dated(&host, &post, attempts);
            let work = take_in(ingest, told, deadline);
            let answer = until_over(&host, WEBHOOK_TIMEOUT, work).await;
            let survived = answer.is_some();
            match answer {
                Some(Ok(_)) => host.shared.world().saw_answered(&post, began),
                Some(Err(_)) | None => refused = Some((post, attempts)),
            }
            survived
        }
        (Work::Sender(deliver), Call::Sends(batch)) => {
            let deadline = deadline(&host, SENDER_TIMEOUT);
            let work = deliver.deliver(jobs(&batch), deadline);
            let again = until_over(&host, SENDER_TIMEOUT, work).await;
            if let Some(again) = &again {
                delete(&host, &batch, again);
            }
            again.is_some()
        }
        (Work::Release(release), Call::Release(message)) => {
            let deadline = deadline(&host, RELEASE_TIMEOUT);
            let work = release.run(&message.body, deadline);
            let done = until_over(&host, RELEASE_TIMEOUT, work).await;
            if let Some(Ok(_)) = &done {
                host.shared.world().releases.delete(message.receipt);
            }
            done.is_some()
        }
        (Work::Tool(tool), Call::Tool(job)) => {
            until_over(&host, SENDER_TIMEOUT, tool.run(&host, &job)).await.is_some()
        }
        (Work::Upkeep(upkeep), Call::Upkeep) => {
            let work = upkeep.run(deadline(&host, UPKEEP_TIMEOUT));
            until_over(&host, UPKEEP_TIMEOUT, work).await.is_some()
        }
        (Work::Operator(admin), Call::Order(account, order)) => {
            host.shared.world().saw_order(&account, &order);
            let work = orders::carry_out(admin, &host, &account, &order);
            let is_done = until_over(&host, OPERATOR_PATIENCE, work).await;
            if is_done == Some(true) {
                host.shared.world().saw_order_done(&account, &order);
            }
            given = Some((account, order, is_done == Some(true)));
            is_done.is_some()
        }
        (Work::Release(release), Call::Tick) => {
            until_over(&host, RELEASE_TIMEOUT, release.dispatch()).await.is_some()
        }
        _ => false,
    };
    ended(&host, invocation, if survived { End::Over } else { End::Dead });
    Ended { function, process: survived.then_some(process), refused, order: given }
}

fn begin(process: &Process, function: Function) -> u64 {
    let mut world = process.host.shared.world();
    let invocation = world.next_invocation();
    world.invocation_begins(invocation);
    let rate = world.scenario.rates.killed;
    let dies_at = world.strikes(rate).then(|| {
        let most = if function == Function::Upkeep { UPKEEP_DIES_WITHIN } else { DIES_WITHIN };
        let within = world.dice.pick(&[10, most]);
        world.dice.between(0..=within)
    });
    world.event(format_args!("{invocation} begins: {function:?}"));
    if function == Function::Operator {
        world.works_by_hand(invocation);
    }
    process.host.begin(invocation, dies_at);
    invocation
}

fn ended(host: &Host, invocation: u64, end: End) {
    let mut world = host.shared.world();
    if end == End::Dead {
        world.record.count("killed");
    }
    world.event(format_args!("{invocation} ends: {end:?}"));
    world.invocation_ends(invocation, end);
}

/// What the process takes for the end of its invocation.
fn deadline(host: &Host, timeout: u64) -> Timestamp {
    host.clock.now() + std::time::Duration::from_millis(timeout)
}

/// What `work` comes to; `None` when the process dies first or time runs out.
async fn until_over<T>(host: &Host, timeout: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut timeout = pin!(host.sleep(timeout));
    poll_fn(|context| {
        if let Poll::Ready(end) = work.as_mut().poll(context) {
            return Poll::Ready(Some(end));
        }
        if host.is_dead() || timeout.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

async fn take_in(ingest: &Ingest, told: Told, deadline: Timestamp) -> Result<Ingested, StoreError> {
    match told {
        Told::Comments(comments) => {
            let events = comments.into_iter().map(Event::Comment).collect();
            let object = Some("instagram".into());
            ingest.ingest(Delivery { object, events, skipped: Vec::new() }, deadline).await
        }
        Told::Messages(account, messages) => ingest.enter(&account, messages).await,
        Told::Conversations(events) => {
            let events = events.into_iter().map(Event::Conversation).collect();
            let object = Some("instagram".into());
            ingest.ingest(Delivery { object, events, skipped: Vec::new() }, deadline).await
        }
        Told::Echo(echo) => {
            let (object, events) = (Some("instagram".into()), vec![Event::Echo(echo)]);
            ingest.ingest(Delivery { object, events, skipped: Vec::new() }, deadline).await
        }
    }
}

/// What ingest is told, with the time that each delivery carries: of now, or of when Meta made it
/// first. What comes late of a broadcast need not be recorded, so that is always dated anew.
fn dated(host: &Host, post: &Post, attempts: Attempts) -> Told {
    let mut told = post.what.clone();
    let Told::Comments(comments) = &mut told else { return told };
    let world = host.shared.world();
    for comment in comments {
        let kept = world.scenario.account(&comment.account).and_then(|plan| plan.kept.as_ref());
        let is_dated_anew = kept.is_none_or(|kept| kept.is_dated_anew);
        let at = if is_dated_anew || comment.kind == CommentKind::Live {
            world.now
        } else {
            attempts.first
        };
        comment.notified_at = Some(Timestamp::from_secs(at / 1000));
    }
    told
}

fn jobs(batch: &[Received<SendTask>]) -> Vec<Job> {
    batch
        .iter()
        .enumerate()
        .map(|(nth, message)| Job { message_id: nth.to_string(), task: message.body.clone() })
        .collect()
}

/// Deletes what is done with.
fn delete(host: &Host, batch: &[Received<SendTask>], again: &[String]) {
    let mut world = host.shared.world();
    for (nth, message) in batch.iter().enumerate() {
        let rate = world.scenario.rates.delete_lost;
        if again.contains(&nth.to_string()) {
            world.record.count("message failed");
        } else if world.strikes(rate) {
            world.record.count("delete lost");
        } else {
            world.sends.delete(message.receipt);
        }
    }
}
