//! The bill as a table, and whether it keeps its targets.

use std::fmt;

use serde::Serialize;

use super::conversations::{Conversations, Gate};
use super::echoes;
use super::misses;
use super::others::Other;
use super::prices::Prices;
use super::usage::{Bill, Usage};
use super::workload::{Counted, Crowd, MONTH_HOURS, PerOne, Wait};

/// USD for a million DMs, with what they are made of.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The prices.
    pub prices: Prices,
    /// The workloads.
    pub workloads: Vec<Column>,
    /// Conversations.
    pub conversations: Vec<ConversationColumn>,
    /// USD a month for what all accounts share, whether anything is sent or not. It is a part of
    /// the fleet's bill, and not of the single account's.
    pub standing_a_month: Bill,
    /// USD for the echoes of a million DMs, which come beside: each in a delivery of its own.
    pub echoes: Bill,
    /// USD that a million comments which match nothing cost beside their deliveries, if each is the
    /// only one of its minute.
    pub misses: Bill,
    /// The same, on a post that goes viral.
    pub viral_misses: Bill,
    /// What others do.
    pub others: Vec<OtherColumn>,
    /// What it should cost at most.
    pub targets: Vec<Target>,
}

/// A workload.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counted,
    /// USD for a million DMs.
    pub bill: Bill,
}

/// Conversations of a crowd.
#[derive(Clone, Debug, Serialize)]
pub struct ConversationColumn {
    /// What was counted.
    #[serde(flatten)]
    pub counted: Conversations,
    /// USD for a million conversations.
    pub bill: Bill,
    /// The same, in that of three million DMs of the same crowd that have their slots at once.
    pub beside_three_dms: f64,
}

/// What another design costs.
#[derive(Clone, Debug, Serialize)]
pub struct OtherColumn {
    /// Which.
    pub design: Other,
    /// How long comments wait.
    pub wait: Wait,
    /// USD for a million DMs.
    pub bill: Bill,
}

/// A ceiling.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What it is about.
    pub name: &'static str,
    /// What it must not pass.
    pub ceiling: f64,
    /// The dearest of what it is about.
    pub measured: f64,
    /// Whether it is kept.
    pub is_kept: bool,
}

const MILLION: f64 = 1e6;

/// USD for a million DMs at most. To remember their people for ninety days takes 0.30 of it, and to ask
/// before each call whether its person wants it, 0.07.
const FLEET_MAX: f64 = 5.6;
const VIRAL_MAX: f64 = 8.0;

/// USD that the echoes of a million DMs may cost.
const ECHOES_MAX: f64 = 0.6;

/// USD that a million comments which match nothing may cost.
const MISSES_MAX: f64 = 2.5;
const VIRAL_MISSES_MAX: f64 = 0.1;

/// What a conversation may cost beside three plain DMs, if its person follows.
const CONVERSATION_MAX: f64 = 2.5;

/// What three days of waiting may cost beside none.
const WAITING_MAX: f64 = 1.1;

impl Report {
    /// The bill for what was counted.
    pub fn new(prices: Prices, counted: Vec<Counted>, conversations: Vec<Conversations>) -> Self {
        let hour = counted.first().map_or_else(Usage::default, |counted| counted.standing);
        let standing_a_month = Bill::of(&(hour * MONTH_HOURS), &prices);
        let priced = |counted: Counted| {
            let bill = Bill::of(&((counted.own + counted.share) * MILLION), &prices);
            Column { counted, bill }
        };
        let workloads: Vec<Column> = counted.into_iter().map(priced).collect();
        let plain = |crowd| total(&workloads, crowd, Wait::Straight);
        let talked = |counted: Conversations| {
            let bill = Bill::of(&(counted.usage * MILLION), &prices);
            let beside_three_dms = bill.total / (3.0 * plain(counted.crowd));
            ConversationColumn { counted, bill, beside_three_dms }
        };
        let conversations: Vec<ConversationColumn> =
            conversations.into_iter().map(talked).collect();
        let of_other = |design: Other| {
            let prices = &prices;
            Wait::ALL.into_iter().map(move |wait| {
                let bill = Bill::of(&(design.usage(wait) * MILLION), prices);
                OtherColumn { design, wait, bill }
            })
        };
        let others = Other::ALL.into_iter().flat_map(of_other).collect();
        let echoes = Bill::of(&(echoes::usage() * MILLION), &prices);
        let misses = Bill::of(&(misses::alone() * MILLION), &prices);
        let viral_misses = Bill::of(&(misses::viral() * MILLION), &prices);
        let mut targets = targets(&workloads);
        targets.push(target("the echoes of a million DMs, USD", ECHOES_MAX, echoes.total));
        targets.push(target("a million misses, each alone, USD", MISSES_MAX, misses.total));
        targets.push(target("a million misses, viral, USD", VIRAL_MISSES_MAX, viral_misses.total));
        for column in conversations.iter().filter(|column| column.counted.gate == Gate::Passed) {
            let name = match column.counted.crowd {
                Crowd::Viral => "one account's conversation, beside three plain DMs",
                Crowd::Fleet | Crowd::FleetOfSingles => {
                    "a fleet's conversation, beside three plain DMs"
                }
            };
            targets.push(target(name, CONVERSATION_MAX, column.beside_three_dms));
        }
        Self {
            prices,
            workloads,
            conversations,
            standing_a_month,
            echoes,
            misses,
            viral_misses,
            others,
            targets,
        }
    }
}

fn target(name: &'static str, ceiling: f64, measured: f64) -> Target {
    Target { name, ceiling, measured, is_kept: measured <= ceiling }
}

fn total(workloads: &[Column], crowd: Crowd, wait: Wait) -> f64 {
    let is_it = |column: &&Column| column.counted.crowd == crowd && column.counted.wait == wait;
    workloads.iter().find(is_it).map_or(f64::NAN, |column| column.bill.total)
}

fn targets(workloads: &[Column]) -> Vec<Target> {
    let totals =
        |crowd: Crowd| workloads.iter().filter(move |column| column.counted.crowd == crowd);
    let most = |crowd| totals(crowd).map(|column| column.bill.total).fold(0.0, f64::max);
    let total = |crowd, wait| total(workloads, crowd, wait);
    let waiting = |crowd| total(crowd, Wait::ThreeDays) / total(crowd, Wait::Straight);
    vec![
        target("a fleet, straight, USD", FLEET_MAX, total(Crowd::Fleet, Wait::Straight)),
        target("a fleet, the dearest wait, USD", FLEET_MAX, most(Crowd::Fleet)),
        target("one viral account, straight, USD", VIRAL_MAX, total(Crowd::Viral, Wait::Straight)),
        target("one viral account, the dearest wait, USD", VIRAL_MAX, most(Crowd::Viral)),
        target("a fleet, three days beside straight", WAITING_MAX, waiting(Crowd::Fleet)),
        target("one viral account, three days beside straight", WAITING_MAX, waiting(Crowd::Viral)),
    ]
}

/// Width of a column.
const WIDE: usize = 11;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prices { date, region, architecture, .. } = &self.prices;
        writeln!(
            f,
            "USD for a million DMs: AWS list prices of {region} ({architecture}) as known on {date}, \
             no free tier\n"
        )?;
        let columns = &self.workloads;
        row(f, "", columns, |column| column.counted.crowd.name().into())?;
        row(f, "", columns, |column| column.counted.wait.name().into())?;
        bills(f, columns, |column| &column.bill)?;
        writeln!(
            f,
            "X-Ray is off. Metrics come out of the log lines, and are billed by the month."
        )?;

        writeln!(f, "\nCounted for each DM")?;
        for (name, of) in COUNTS {
            row(f, name, columns, |column| format!("{:.2}", of(&column.counted.per_dm)))?;
        }
        row(f, "sends in a batch", columns, |column| format!("{:.1}", column.counted.batch))?;
        row(f, "DMs played", columns, |column| column.counted.dms.to_string())?;
        row(f, "hours", columns, |column| format!("{:.1}", column.counted.hours))?;

        writeln!(
            f,
            "\nA month of what all accounts share, sent or not: {:.2} USD. A fleet's bill has its \
             share in it, one account's has none.",
            self.standing_a_month.total
        )?;
        for (name, usd) in self.standing_a_month.lines().into_iter().filter(|(_, usd)| *usd > 0.0) {
            writeln!(f, "  {name:<26} {usd:>8.3}")?;
        }
        writeln!(
            f,
            "\nA million comments that match nothing, beside their deliveries: {:.2} USD if each \
             is the only one of its minute, {:.2} on a viral post.",
            self.misses.total, self.viral_misses.total
        )?;
        self.write_conversations(f)?;
        self.write_others(f)?;
        writeln!(f, "\nTargets")?;
        for Target { name, ceiling, measured, is_kept } in &self.targets {
            let word = if *is_kept { "pass" } else { "FAIL" };
            writeln!(f, "  {word}  {name}: {measured:.2}, at most {ceiling:.2}")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_conversations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = &self.conversations;
        writeln!(
            f,
            "\nUSD for a million conversations: a comment, its DM, an answer, a follow gate, the \
             delivery, and for every other person a follow-up. Where it is asked, the gate has a DM \
             and a tap more.\n"
        )?;
        row(f, "", columns, |column| column.counted.crowd.name().into())?;
        row(f, "the person", columns, |column| column.counted.gate.name().into())?;
        bills(f, columns, |column| &column.bill)?;
        row(f, "beside three plain DMs", columns, |column| {
            format!("{:.2}", column.beside_three_dms)
        })?;

        writeln!(f, "\nCounted for each conversation")?;
        row(f, "DMs", columns, |column| format!("{:.2}", column.counted.dms))?;
        for (name, of) in COUNTS {
            row(f, name, columns, |column| format!("{:.2}", of(&column.counted.per_conversation)))?;
        }
        row(f, "conversations played", columns, |column| column.counted.conversations.to_string())?;
        row(f, "hours", columns, |column| format!("{:.1}", column.counted.hours))
    }

    fn write_others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nThe least that others can cost, as models of ours")?;
        write!(f, "  {:<34}", "")?;
        for wait in Wait::ALL {
            write!(f, "{:>WIDE$}", wait.name())?;
        }
        writeln!(f)?;
        for design in Other::ALL {
            write!(f, "  {:<34}", design.name())?;
            for other in self.others.iter().filter(|other| other.design == design) {
                write!(f, "{:>WIDE$.2}", other.bill.total)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A count with its name.
type Count = (&'static str, fn(&PerOne) -> f64);

const COUNTS: [Count; 10] = [
    ("write units", |per_dm| per_dm.write_units),
    ("read units", |per_dm| per_dm.read_units),
    ("DynamoDB requests", |per_dm| per_dm.store_requests),
    ("SQS send requests", |per_dm| per_dm.queue_sends),
    ("SQS receive requests", |per_dm| per_dm.queue_receives),
    ("SQS delete requests", |per_dm| per_dm.queue_deletes),
    ("webhook invocations", |per_dm| per_dm.webhook_invocations),
    ("sender invocations", |per_dm| per_dm.sender_invocations),
    ("release invocations", |per_dm| per_dm.release_invocations),
    ("ms of all invocations", |per_dm| per_dm.millis),
];

/// Every line of which one costs anything, and the total.
fn bills<C>(f: &mut fmt::Formatter<'_>, columns: &[C], bill: impl Fn(&C) -> &Bill) -> fmt::Result {
    let Some(first) = columns.first() else { return Ok(()) };
    for (nth, (name, _)) in bill(first).lines().into_iter().enumerate() {
        if columns.iter().any(|column| bill(column).lines()[nth].1 > 0.0) {
            row(f, name, columns, |column| format!("{:.3}", bill(column).lines()[nth].1))?;
        }
    }
    row(f, "total", columns, |column| format!("{:.2}", bill(column).total))
}

fn row<C>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    columns: &[C],
    cell: impl Fn(&C) -> String,
) -> fmt::Result {
    write!(f, "{name:<26}")?;
    for column in columns {
        write!(f, "{:>WIDE$}", cell(column))?;
    }
    writeln!(f)
}
