//! A small hour of many comments: no key becomes too hot, and each request is counted as the schema
//! has it.

use spillway_simulation::scale::{self, READS_MAX, Report, Size, WRITES_MAX};

const SIZE: Size = Size { accounts: 200, comments: 20_000, seed: 5 };

fn played() -> Report {
    scale::play(SIZE, |_| ())
}

#[test]
fn no_key_becomes_too_hot_and_the_counts_follow_from_the_schema() {
    let report = played();
    assert!(report.holds(), "{report}");
    for family in &report.keys {
        assert!(family.writes.peak <= WRITES_MAX as f64, "{family:?}");
        assert!(family.reads.peak <= READS_MAX, "{family:?}");
    }
    assert_eq!(report.size.comments_of_a_viral(), 6000);
    assert_eq!(report.queued + report.parked, 20_000);
    // Each comment is written to, or waits.
    assert_eq!(report.written + report.waiting as u64, 20_000, "{report}");

    let family = |key| report.family(key).unwrap_or_else(|| panic!("no {key}: {report}"));
    let entries = family("id");
    // Each comment's entry lies under its author, and is looked for under its own id too.
    assert_eq!(entries.keys, 40_000);
    // One put a comment, a claim and an outcome a DM; beside these one for each further comment of
    // a person, and what was put off.
    let least = 20_000 + 2 * report.written;
    assert!((least..least + 4000).contains(&entries.total.writes), "{least}: {report}");
    // Deliveries are small here: two comments in the mean. A batch is written once for each, again
    // for slots and for ends, and still less often than if each send had a batch of its own.
    let batches = family("waiting#A");
    assert_eq!(batches.keys, 200);
    let alone = 20_000 + report.released as u64 + report.written;
    assert!((report.deliveries as u64..alone * 3 / 4).contains(&batches.total.writes), "{report}");
    // Each DM was granted by a write of its account's budget, alone or with others of its batch.
    assert_eq!(family("pace#A").keys, 200);
    assert!(family("backlog#S").keys <= 8);
    assert_eq!(family("account#A").total.writes, 0);

    let [sends, releases] = report.queues.as_slice() else { panic!("two queues: {report}") };
    // Every send with a slot has its message.
    assert!(sends.sent >= (report.queued + report.released) as u64, "{report}");
    assert_eq!(releases.group_sent.peak, 1.0, "once a minute at most");
    assert!(report.released > 1000, "the release function had its part: {report}");
}

#[test]
fn the_same_seed_gives_the_same_report() {
    assert_eq!(played().to_string(), played().to_string());
}

#[test]
fn the_program_prints_figures_alone_to_a_pipe() {
    let run = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_scale");
        std::process::Command::new(program).args(args).output().expect("it runs")
    };
    let output = run(&["--accounts", "20", "--comments", "500", "--json"]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["too_hot"], serde_json::json!([]));
    assert_eq!(report["size"]["comments"], 500);
    let help = run(&["--help"]);
    assert!(String::from_utf8(help.stdout).unwrap().contains("scale --accounts 200"));
}
