//! The workloads, and what is counted while the use cases go through each.

use std::panic::resume_unwind;
use std::thread;

use serde::Serialize;
use spillway_service::clock::Clock;

use super::lambda::{gb_seconds, millis};
use super::usage::Usage;
use crate::process::Function;
use crate::scale::{
    Clockwork, Counts, Gather, HOUR, Invocations, MINUTE, Plan, Reply, Shared, Wave,
};

/// Who is commented on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// A thousand accounts, whose messages share batches.
    Fleet,
    /// The same, with a batch for each message.
    FleetOfSingles,
    /// One account, whose messages come one at a time.
    Viral,
}

/// How long the last comment waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Each has its slot at once.
    Straight,
    /// Eight hours.
    EightHours,
    /// Three days.
    ThreeDays,
}

/// Accounts of a fleet.
pub(super) const FLEET: u32 = 1000;

/// What is played for a workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play {
    /// Accounts that are played.
    accounts: u32,
    /// Accounts that they stand for.
    stand_for: u32,
    wave: Wave,
    gather: Gather,
}

/// What came of it.
pub(super) struct Played {
    pub(super) counts: Counts,
    /// DMs that were written.
    pub(super) dms: u64,
    /// Hours until the last of them.
    pub(super) hours: f64,
    /// Bytes that are kept of conversations.
    pub(super) conversation_bytes: usize,
}

/// What was counted.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// Who.
    pub crowd: Crowd,
    /// How long.
    pub wait: Wait,
    /// Accounts that were played.
    pub accounts: u32,
    /// DMs that were written.
    pub dms: u64,
    /// Hours until the last of them.
    pub hours: f64,
    /// Counts in the mean.
    pub per_dm: PerOne,
    /// Sends in a batch in the mean.
    pub batch: f64,
    /// What a DM uses, without what is there whatever is sent.
    #[serde(skip)]
    pub(super) own: Usage,
    /// A fleet's share of that, for a DM; a single account has none.
    #[serde(skip)]
    pub(super) share: Usage,
    /// What all accounts share in an hour.
    #[serde(skip)]
    pub(super) standing: Usage,
}

/// Counts for each DM, or each conversation, the schedule's own left out.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PerOne {
    /// DynamoDB write units.
    pub write_units: f64,
    /// DynamoDB read units.
    pub read_units: f64,
    /// Requests to DynamoDB.
    pub store_requests: f64,
    /// Requests that send messages.
    pub queue_sends: f64,
    /// Requests that receive some.
    pub queue_receives: f64,
    /// Requests that delete some.
    pub queue_deletes: f64,
    /// Invocations of the webhook function.
    pub webhook_invocations: f64,
    /// Invocations of the sender function.
    pub sender_invocations: f64,
    /// Invocations of the release function.
    pub release_invocations: f64,
    /// Milliseconds that all of these take.
    pub millis: f64,
    /// GB-seconds of these.
    pub gb_seconds: f64,
}

impl Crowd {
    /// For a column.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::FleetOfSingles => "batch of 1",
            Self::Viral => "viral",
        }
    }
}

impl Wait {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Straight, Self::EightHours, Self::ThreeDays];

    /// For a column.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Straight => "straight",
            Self::EightHours => "8 h",
            Self::ThreeDays => "3 days",
        }
    }

    /// How long a comment waits in the mean, in hours.
    pub(super) const fn mean_hours(self) -> f64 {
        match self {
            Self::Straight => 0.0,
            Self::EightHours => 4.0,
            Self::ThreeDays => 36.0,
        }
    }
}

/// Plays all workloads, at a time.
pub fn count_all(workloads: &[(Crowd, Wait)]) -> Vec<Counted> {
    at_a_time(workloads, |(crowd, wait)| play(crowd, wait).count(crowd, wait))
}

/// Plays each of these, all at a time.
pub(super) fn at_a_time<T: Copy + Send, R: Send>(all: &[T], play: fn(T) -> R) -> Vec<R> {
    thread::scope(|scope| {
        let plays: Vec<_> = all.iter().map(|&one| scope.spawn(move || play(one))).collect();
        let finished = plays.into_iter().map(|play| match play.join() {
            Ok(counted) => counted,
            Err(panic) => resume_unwind(panic),
        });
        finished.collect()
    })
}

/// The careful profile allows a middle-tier account 196 DMs an hour in 16 hours of a day: 1,570
/// comments take eight hours, and 9,400 three days.
fn play(crowd: Crowd, wait: Wait) -> Play {
    let burst = |comments: u32, delivery: u32| Wave {
        comments,
        delivery,
        every: 10 * MINUTE * u64::from(delivery) / u64::from(comments),
    };
    let (accounts, stand_for, delivery) = match (crowd, wait) {
        (Crowd::Viral, _) => (1, 1, 25),
        (_, Wait::Straight) => (50, FLEET, 5),
        (_, Wait::EightHours) => (20, FLEET, 5),
        (_, Wait::ThreeDays) => (10, FLEET, 5),
    };
    let wave = match wait {
        // As many in ten minutes as have their slots in these.
        Wait::Straight if crowd == Crowd::Viral => {
            Wave { comments: 1440, delivery: 30, every: 10 * MINUTE }
        }
        Wait::Straight => Wave { comments: 380, delivery, every: 95_000 },
        Wait::EightHours => burst(1570, delivery),
        Wait::ThreeDays => burst(9400, delivery),
    };
    let mut play = Play::new(accounts, stand_for, wave);
    if crowd == Crowd::FleetOfSingles {
        play.gather.batch = 1;
    }
    play
}

/// Nothing takes longer.
const AT_MOST: u64 = 5 * 24 * HOUR;

impl Play {
    /// So many accounts that stand for as many, with the batches of template.yaml.
    pub(super) fn new(accounts: u32, stand_for: u32, wave: Wave) -> Self {
        let stretch = u64::from(stand_for / accounts);
        Self { accounts, stand_for, wave, gather: Gather { stretch, ..Gather::DEFAULT } }
    }

    /// Plays it to the end.
    pub(super) fn run(self, plan: impl Fn(u32, Wave) -> Plan) -> Played {
        let plan = plan(self.accounts, self.wave);
        let start = plan.start;
        let shared = Shared::new(plan, Box::new(|_, _| Reply::Accepted), 0, 0);
        Clockwork::new(shared.clone(), AT_MOST, self.gather, 0).play(|_| ());
        Played {
            counts: shared.counts(),
            dms: shared.written(),
            hours: (shared.now().as_millis() - start) as f64 / HOUR as f64,
            conversation_bytes: shared.conversation_bytes(),
        }
    }

    /// What all accounts share in an hour, and what of it one of `count` takes.
    pub(super) fn shared(self, crowd: Crowd, played: &Played, count: u64) -> (Usage, Usage) {
        let standing = standing(&played.counts) + upkeep(self.stand_for);
        // The accounts that are played use the part of a deployment that they are of the fleet.
        let part = f64::from(self.accounts) / f64::from(self.stand_for);
        let share = match crowd {
            Crowd::Fleet | Crowd::FleetOfSingles => {
                standing * (played.hours * part / count.max(1) as f64)
            }
            Crowd::Viral => Usage::default(),
        };
        (standing, share)
    }

    fn count(self, crowd: Crowd, wait: Wait) -> Counted {
        let played = self.run(Plan::of_waves);
        let (standing, share) = self.shared(crowd, &played, played.dms);
        let Played { counts, dms, hours, .. } = played;
        let per_dm = PerOne::of(&counts, dms);
        Counted {
            crowd,
            wait,
            accounts: self.accounts,
            dms,
            hours,
            per_dm,
            batch: counts.tasks as f64 / function(&counts, Function::Sender).count.max(1) as f64,
            own: per_dm.usage() + BESIDE,
            share,
            standing,
        }
    }
}

fn function(counts: &Counts, function: Function) -> Invocations {
    counts.invocations.get(&function).copied().unwrap_or_default()
}

/// Milliseconds that invocations took together.
fn lasted(function: Function, of: Invocations) -> f64 {
    millis(function, of.count as f64, of.waited as f64, of.requests as f64)
}

impl PerOne {
    /// What was counted for so many.
    pub(super) fn of(counts: &Counts, number: u64) -> Self {
        let number = number.max(1) as f64;
        let per_one = |count: u64| count as f64 / number;
        let functions = [Function::Webhook, Function::Sender, Function::Release];
        let [webhook, sender, release] = functions.map(|name| function(counts, name));
        let lasted = functions.map(|name| (name, lasted(name, function(counts, name))));
        Self {
            write_units: per_one(counts.writes),
            read_units: per_one(counts.half_reads) / 2.0,
            store_requests: per_one(counts.store_requests),
            queue_sends: per_one(counts.queue_sends),
            queue_receives: per_one(counts.queue_receives),
            queue_deletes: per_one(counts.queue_deletes),
            webhook_invocations: per_one(webhook.count),
            sender_invocations: per_one(sender.count),
            release_invocations: per_one(release.count),
            millis: lasted.iter().map(|(_, millis)| millis).sum::<f64>() / number,
            gb_seconds: lasted.iter().map(|&(name, millis)| gb_seconds(name, millis)).sum::<f64>()
                / number,
        }
    }

    /// What is billed for it.
    pub(super) fn usage(&self) -> Usage {
        let requests = self.queue_sends + self.queue_receives + self.queue_deletes;
        Usage {
            write_units: self.write_units,
            read_units: self.read_units,
            queue_requests: requests,
            // Every message names its account.
            fair_requests: requests,
            invocations: self.webhook_invocations
                + self.sender_invocations
                + self.release_invocations,
            gb_seconds: self.gb_seconds,
            ..Usage::default()
        }
    }
}

/// Bytes to a GB.
pub(super) const GB: f64 = (1u64 << 30) as f64;

/// Days of a month.
pub(super) const MONTH: f64 = 365.0 / 12.0;

/// Hours of a month.
pub(super) const MONTH_HOURS: f64 = 24.0 * MONTH;

/// Alarms, as template.yaml has them without tracked links.
const ALARMS: f64 = 27.0;

/// Metrics of our own: each is billed for the hours in which it has values, and once more for each
/// further label.
const METRICS: f64 = 40.0;

/// Bytes of an entry.
pub(super) const ENTRY: f64 = 400.0;

/// Days for which a person is remembered, by default.
pub(super) const REMEMBERED: f64 = 90.0;

/// What is taken and not counted, for each DM: at most 1 KB of logs; 1.5 KB to Meta, with what TLS
/// adds; an entry, as long as a person is remembered.
pub(super) const BESIDE: Usage = Usage {
    write_units: 0.0,
    read_units: 0.0,
    stored_gb_months: ENTRY / GB * REMEMBERED / MONTH,
    queue_requests: 0.0,
    fair_requests: 0.0,
    invocations: 0.0,
    gb_seconds: 0.0,
    schedules: 0.0,
    transitions: 0.0,
    log_gb: 1024.0 / GB,
    out_gb: 1536.0 / GB,
    kms_requests: 0.0,
    key_months: 0.0,
    secret_months: 0.0,
    metric_months: 0.0,
    dashboard_months: 0.0,
    alarm_months: 0.0,
};

/// What all accounts share in an hour, whether anything is sent or not: for each of the two queues
/// five long polls of 20 seconds at a time, the schedule with its invocations, a key, which a new
/// process of each of sender and upkeep asks every five minutes at most to decrypt a data key, a
/// secret, the metrics under one label each, a dashboard and the alarms. The tables have AWS's own
/// keys, which cost nothing, unless `TablesKeyArn` names others.
fn standing(counts: &Counts) -> Usage {
    const POLLS: f64 = 2.0 * 5.0 * 180.0;
    const TICKS: f64 = 60.0;
    let ticks = counts.ticks.count.max(1) as f64;
    let per_tick = |count: u64| count as f64 / ticks;
    let lasts = lasted(Function::Release, counts.ticks) / ticks;
    Usage {
        queue_requests: POLLS,
        schedules: TICKS,
        invocations: TICKS,
        gb_seconds: TICKS * gb_seconds(Function::Release, lasts),
        read_units: TICKS * per_tick(counts.tick_half_reads) / 2.0,
        kms_requests: 2.0 * 12.0,
        secret_months: 1.0 / MONTH_HOURS,
        key_months: 1.0 / MONTH_HOURS,
        metric_months: METRICS / MONTH_HOURS,
        dashboard_months: 1.0 / MONTH_HOURS,
        alarm_months: ALARMS / MONTH_HOURS,
        ..Usage::default()
    }
}

/// What upkeep takes in an hour, whether anything is sent or not: four runs; and for each account a
/// visit, which moves its due time on, reads account, token and budget, charges one call and makes
/// it, and writes down what it has found. Eight visits share an invocation's time.
fn upkeep(accounts: u32) -> Usage {
    const RUNS: f64 = 4.0;
    const VISIT_MILLIS: f64 = 400.0 / 8.0;
    let visits = f64::from(accounts);
    Usage {
        schedules: RUNS,
        invocations: RUNS,
        gb_seconds: gb_seconds(Function::Upkeep, RUNS * 100.0 + visits * VISIT_MILLIS),
        write_units: visits * 3.0,
        // Each run also reads the list: a kilobyte an account, eventually consistent.
        read_units: visits * (4.0 + RUNS / 8.0),
        out_gb: visits * 1536.0 / GB,
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use spillway_service::metrics::Metric;

    use crate::bill::lambda::memory_mb;
    use crate::process::Function;

    #[test]
    fn memory_batches_and_what_is_there_by_the_month_are_those_of_the_template() {
        let template = include_str!("../../../../template.yaml");
        // All functions', and the sender's own.
        let memory = |function| format!("MemorySize: {}\n", memory_mb(function));
        assert_eq!(template.matches("MemorySize:").count(), 2);
        assert!(template.contains(&format!("\n    {}", memory(Function::Webhook))));
        let (_, sender) = template.split_once("\n  SenderFunction:\n").unwrap();
        assert!(sender.split("\n\n").next().unwrap().contains(&memory(Function::Sender)));
        let batch = super::Gather::DEFAULT.batch;
        assert!(
            template.contains(&format!(
                "Queue: !GetAtt SendQueue.Arn\n            BatchSize: {batch}\n"
            ))
        );
        assert!(!template.contains("MaximumBatchingWindowInSeconds"));
        // Those of tracked links and of the console are there where these are turned on.
        let resources = |kind: &str| {
            let all = template.matches(&format!("Type: AWS::{kind}\n")).count();
            let of = |condition| {
                let optional = format!("Type: AWS::{kind}\n    Condition: {condition}\n");
                template.matches(&optional).count()
            };
            all - of("HasLinks") - of("HasConsole")
        };
        assert_eq!(resources("CloudWatch::Alarm") as f64, super::ALARMS);
        let single = ["KMS::Key", "SecretsManager::Secret", "CloudWatch::Dashboard"];
        assert_eq!(single.map(resources), [1, 1, 1]);
        // Those of public replies, conversations and links are written where a campaign has some.
        assert_eq!((Metric::ALL.len() - 3) as f64, super::METRICS);
    }
}
