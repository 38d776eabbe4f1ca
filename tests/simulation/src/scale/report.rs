//! What was counted, and whether a key became too hot.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;
use spillway_service::keys;

use super::clockwork::Tally;
use super::meter::{Load, QueueLoad, Rate, TableLoad};
use super::plan::Size;
use super::store::Store;
use crate::process::Function;

/// Write units a second that DynamoDB gives one partition key at most.
pub const WRITES_MAX: u64 = 1000;

/// Read units a second that DynamoDB gives one partition key at most.
pub const READS_MAX: f64 = 3000.0;

/// What a run came to. A peak is over a whole second of virtual time.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was played.
    pub size: Size,
    /// Virtual time.
    pub seconds: u64,
    /// Deliveries that were answered with 200.
    pub deliveries: usize,
    /// Comments that got a slot at once.
    pub queued: usize,
    /// Comments that were parked.
    pub parked: usize,
    /// DMs that were written.
    pub written: u64,
    /// Sends that wait at the end.
    pub waiting: usize,
    /// Release runs.
    pub runs: usize,
    /// Parked sends that got their slot.
    pub released: usize,
    /// Deliveries, messages and runs that failed.
    pub failed: usize,
    /// Processes of the webhook, the sender and the release function.
    pub processes: [usize; 3],
    /// What a DM costs.
    pub units: UnitsReport,
    /// The tables.
    pub tables: Vec<TableReport>,
    /// The partition keys, those of one kind together.
    pub keys: Vec<Family>,
    /// The queues.
    pub queues: Vec<QueueReport>,
    /// Keys that passed what DynamoDB gives one key.
    pub too_hot: Vec<String>,
}

/// Write units in the mean.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UnitsReport {
    /// To record a comment.
    pub a_comment: f64,
    /// To send a DM and, where it was parked, to release it.
    pub a_send: f64,
    /// Both: a DM from the comment to the outcome.
    pub a_dm: f64,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Its name.
    pub name: &'static str,
    /// What it took in all.
    pub total: Units,
    /// The most in a second.
    pub peak: Units,
}

/// Partition keys of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Family {
    /// The table they are in.
    pub table: &'static str,
    /// How they are spelled.
    pub key: &'static str,
    /// How many were used.
    pub keys: usize,
    /// What they took together in all.
    pub total: Units,
    /// The one with the most requests in a second.
    pub requests: Hottest,
    /// The one with the most read units in a second.
    pub reads: Hottest,
    /// The one with the most write units in a second.
    pub writes: Hottest,
}

/// Requests and units.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Units {
    /// Items asked for or written; a query is one.
    pub requests: u64,
    /// Read units.
    pub reads: f64,
    /// Write units.
    pub writes: u64,
}

/// A key in its fullest second.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hottest {
    /// The key.
    pub key: String,
    /// How much.
    pub peak: f64,
}

/// A queue.
#[derive(Clone, Debug, Serialize)]
pub struct QueueReport {
    /// Its name.
    pub name: &'static str,
    /// Messages sent in all.
    pub sent: u64,
    /// Messages received in all.
    pub received: u64,
    /// The most sent in a second.
    pub peak_sent: u64,
    /// The most received in a second.
    pub peak_received: u64,
    /// Message groups: accounts.
    pub groups: usize,
    /// The most that one group had sent in a second.
    pub group_sent: Hottest,
    /// The most that one group had received in a second.
    pub group_received: Hottest,
    /// The most messages in it, delayed and received ones included.
    pub longest: usize,
}

impl Report {
    pub(super) fn of(size: Size, seconds: u64, tally: Tally, store: &Store) -> Self {
        let meter = &store.meter;
        let mut families = families("sends", &meter.sends, |_| "id");
        families.extend(families_of_state(&meter.state));
        let recorded = tally.queued + tally.parked;
        let writes = |function| meter.writes_by.get(&function).copied().unwrap_or_default();
        let mean = |units: u64, of: u64| units as f64 / of.max(1) as f64;
        let a_comment = mean(writes(Function::Webhook), recorded as u64);
        let later = writes(Function::Sender) + writes(Function::Release);
        let a_send = mean(later, store.written);
        Self {
            size,
            seconds,
            deliveries: tally.deliveries,
            queued: tally.queued,
            parked: tally.parked,
            written: store.written,
            waiting: store.waiting(),
            runs: tally.runs,
            released: tally.released,
            failed: tally.failed,
            processes: tally.processes,
            units: UnitsReport { a_comment, a_send, a_dm: a_comment + a_send },
            tables: vec![table("sends", &meter.sends), table("state", &meter.state)],
            too_hot: families.iter().flat_map(Family::too_hot).collect(),
            keys: families,
            queues: vec![
                queue("send queue", &meter.send_queue),
                queue("release queue", &meter.release_queue),
            ],
        }
    }

    /// Whether every key stayed within what DynamoDB gives it, and nothing failed.
    pub fn holds(&self) -> bool {
        self.too_hot.is_empty() && self.failed == 0
    }

    /// The keys of one kind.
    pub fn family(&self, key: &str) -> Option<&Family> {
        self.keys.iter().find(|family| family.key == key)
    }
}

impl Family {
    fn too_hot(&self) -> Vec<String> {
        let mut too_hot = Vec::new();
        if self.writes.peak > WRITES_MAX as f64 {
            too_hot.push(format!("{}: {} write units", self.writes.key, self.writes.peak));
        }
        if self.reads.peak > READS_MAX {
            too_hot.push(format!("{}: {} read units", self.reads.key, self.reads.peak));
        }
        too_hot
    }
}

fn units(load: &Load, of: impl Fn(&Rate) -> u64) -> Units {
    Units {
        requests: of(&load.requests),
        reads: of(&load.half_reads) as f64 / 2.0,
        writes: of(&load.writes),
    }
}

fn table(name: &'static str, load: &TableLoad) -> TableReport {
    TableReport { name, total: units(&load.all, Rate::total), peak: units(&load.all, Rate::peak) }
}

fn families_of_state(load: &TableLoad) -> Vec<Family> {
    families("state", load, family)
}

/// What keys of the `state` table have in common with this one.
fn family(key: &str) -> &'static str {
    match key.split('#').next() {
        Some("account") => "account#A",
        Some("pace") => "pace#A",
        Some("person") => "person#A#P",
        Some("waiting") => "waiting#A",
        Some("backlog") => "backlog#S",
        Some("upkeep") => "upkeep#S",
        _ => keys::APP,
    }
}

fn families(
    table: &'static str,
    load: &TableLoad,
    family: impl Fn(&str) -> &'static str,
) -> Vec<Family> {
    let mut by_family: BTreeMap<&'static str, Vec<(&str, &Load)>> = BTreeMap::new();
    for (key, load) in &load.keys {
        by_family.entry(family(key)).or_default().push((key, load));
    }
    let one = |(key, loads): (&'static str, Vec<(&str, &Load)>)| {
        let hottest =
            |rate: fn(&Load) -> f64| hottest(loads.iter().map(|&(key, load)| (key, rate(load))));
        Family {
            table,
            key,
            keys: loads.len(),
            total: sum(loads.iter().map(|(_, load)| units(load, Rate::total))),
            requests: hottest(|load| load.requests.peak() as f64),
            reads: hottest(|load| load.half_reads.peak() as f64 / 2.0),
            writes: hottest(|load| load.writes.peak() as f64),
        }
    };
    by_family.into_iter().map(one).collect()
}

fn sum(all: impl Iterator<Item = Units>) -> Units {
    all.fold(Units::default(), |sum, units| Units {
        requests: sum.requests + units.requests,
        reads: sum.reads + units.reads,
        writes: sum.writes + units.writes,
    })
}

/// Of several that are equal the first by name, so that the same seed gives the same report.
fn hottest<'k>(peaks: impl Iterator<Item = (&'k str, f64)>) -> Hottest {
    let hottest = peaks.max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
    hottest.map_or_else(Hottest::default, |(key, peak)| Hottest { key: key.to_owned(), peak })
}

fn queue(name: &'static str, load: &QueueLoad) -> QueueReport {
    let groups: HashMap<&str, _> =
        load.groups.iter().map(|(group, messages)| (group.as_str(), messages)).collect();
    let of_sent = groups.iter().map(|(&group, load)| (group, load.sent.peak() as f64));
    let of_received = groups.iter().map(|(&group, load)| (group, load.received.peak() as f64));
    QueueReport {
        name,
        sent: load.all.sent.total(),
        received: load.all.received.total(),
        peak_sent: load.all.sent.peak(),
        peak_received: load.all.received.peak(),
        groups: groups.len(),
        group_sent: hottest(of_sent),
        group_received: hottest(of_received),
        longest: load.longest,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { accounts, comments, seed } = self.size;
        writeln!(
            f,
            "{accounts} accounts, {comments} comments in an hour, {} s of virtual time, seed {seed}",
            self.seconds
        )?;
        writeln!(
            f,
            "{} accounts go viral with {} comments in five minutes",
            self.size.viral(),
            self.size.comments_of_a_viral()
        )?;
        let [webhooks, senders, releases] = self.processes;
        writeln!(
            f,
            "{} deliveries: {} comments queued, {} parked; {} release runs released {}",
            self.deliveries, self.queued, self.parked, self.runs, self.released
        )?;
        writeln!(f, "{} DMs written, {} wait, {} failed", self.written, self.waiting, self.failed)?;
        writeln!(f, "processes: {webhooks} webhook, {senders} sender, {releases} release")?;
        self.write_keys(f)?;
        self.write_queues(f)?;
        let UnitsReport { a_comment, a_send, a_dm } = self.units;
        writeln!(
            f,
            "\nwrite units: {a_comment:.2} a comment recorded, {a_send:.2} a DM sent, {a_dm:.2} together"
        )?;
        match self.too_hot.as_slice() {
            [] => {
                writeln!(f, "no key passed {WRITES_MAX} write or {READS_MAX} read units a second")
            }
            hot => writeln!(f, "TOO HOT:\n  {}", hot.join("\n  ")),
        }
    }
}

impl Report {
    fn write_keys(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<19} {:>8} {:>10} {:>10} {:>10}   the most that one key took in a second",
            "", "keys", "requests", "read u.", "write u."
        )?;
        for Family { table, key, keys, total, requests, reads, writes } in &self.keys {
            // Settings are never written.
            let hottest = if writes.peak > 0.0 { writes } else { reads };
            let Units { requests: all, reads: all_reads, writes: all_writes } = total;
            writeln!(
                f,
                "{:<19} {keys:>8} {all:>10} {all_reads:>10.0} {all_writes:>10}   {} requests, {} read, {} write units ({})",
                format!("{table} {key}"),
                requests.peak,
                reads.peak,
                writes.peak,
                hottest.key
            )?;
        }
        for TableReport { name, total, peak } in &self.tables {
            writeln!(
                f,
                "{:<19} {:>8} {:>10} {:>10.0} {:>10}   {} requests, {} read, {} write units",
                format!("{name}, all of it"),
                "",
                total.requests,
                total.reads,
                total.writes,
                peak.requests,
                peak.reads,
                peak.writes
            )?;
        }
        Ok(())
    }

    fn write_queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for queue in &self.queues {
            writeln!(
                f,
                "{:<14} {} messages sent, {} received; in a second {} sent, {} received; \
                 one group {} sent, {} received; {} in it at most",
                queue.name,
                queue.sent,
                queue.received,
                queue.peak_sent,
                queue.peak_received,
                queue.group_sent.peak,
                queue.group_received.peak,
                queue.longest
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::meter::Cost;

    fn too_hot(cost: Cost, times: u64) -> Vec<String> {
        let mut load = TableLoad::default();
        for second in [7, 8] {
            for _ in 0..times {
                load.add("backlog#3", second, cost);
            }
        }
        families_of_state(&load).iter().flat_map(Family::too_hot).collect()
    }

    #[test]
    fn a_key_is_too_hot_above_its_ceiling_in_one_second() {
        assert!(too_hot(Cost::Writes(1), 1000).is_empty());
        assert_eq!(too_hot(Cost::Writes(1), 1001), ["backlog#3: 1001 write units"]);
        assert!(too_hot(Cost::HalfReads(1), 6000).is_empty());
        assert_eq!(too_hot(Cost::HalfReads(1), 6001), ["backlog#3: 3000.5 read units"]);
    }
}
