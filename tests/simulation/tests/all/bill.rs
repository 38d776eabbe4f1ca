//! What a DM uses, and what that costs: counts that get worse fail here.

use std::process::{Command, Output};

use serde_json::Value;

fn bill(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bill")).args(args).output().expect("it runs")
}

/// Counts for each DM, in the order of `BOUNDS`.
const COUNTS: [&str; 9] = [
    "write_units",
    "read_units",
    "store_requests",
    "queue_sends",
    "queue_receives",
    "queue_deletes",
    "webhook_invocations",
    "sender_invocations",
    "release_invocations",
];

/// What is counted now. Whoever lowers a count lowers its bound.
const BOUNDS: [(&str, &str, [f64; 9]); 7] = [
    ("fleet", "straight", [4.89, 3.36, 8.44, 0.21, 0.22, 0.22, 0.20, 0.19, 0.03]),
    ("fleet", "eight_hours", [4.96, 4.14, 8.85, 0.12, 0.22, 0.22, 0.20, 0.19, 0.04]),
    ("fleet", "three_days", [4.91, 4.18, 9.00, 0.12, 0.22, 0.22, 0.20, 0.18, 0.04]),
    ("viral", "straight", [4.29, 3.51, 9.55, 0.14, 1.04, 1.04, 0.03, 1.00, 0.04]),
    ("viral", "eight_hours", [4.39, 3.96, 9.37, 0.15, 1.04, 1.04, 0.04, 1.00, 0.04]),
    ("viral", "three_days", [4.39, 4.00, 10.60, 0.15, 1.04, 1.04, 0.04, 1.00, 0.04]),
    ("fleet_of_singles", "straight", [4.87, 4.31, 9.51, 0.21, 1.03, 1.03, 0.20, 1.00, 0.03]),
];

/// The same for conversations.
const CONVERSATION_BOUNDS: [(&str, &str, [f64; 9]); 4] = [
    ("fleet", "passed", [37.04, 19.05, 43.73, 1.56, 1.45, 1.45, 1.70, 1.08, 0.37]),
    ("viral", "passed", [34.64, 18.60, 59.57, 1.85, 2.89, 2.89, 1.70, 2.52, 0.37]),
    ("fleet", "asked", [53.52, 24.49, 60.96, 2.60, 1.56, 1.56, 2.70, 1.19, 0.37]),
    ("viral", "asked", [49.84, 24.11, 74.81, 2.92, 3.95, 3.95, 2.70, 3.58, 0.37]),
];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// The counts above their bounds.
fn worse(name: &str, counts: &Value, bounds: [f64; 9]) -> Vec<String> {
    let of = |(count, bound): (&str, f64)| {
        let measured = (number(&counts[count]) * 100.0).round() / 100.0;
        (measured > bound).then(|| format!("{name}: {measured} {count}, not {bound}"))
    };
    COUNTS.into_iter().zip(bounds).filter_map(of).collect()
}

#[test]
fn no_count_is_above_its_bound_and_the_bill_follows_from_the_counts() {
    let output = bill(&["--json"]);
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut above = Vec::new();
    let columns = report["workloads"].as_array().unwrap();
    assert_eq!(columns.len(), BOUNDS.len());
    for (column, (crowd, wait, bounds)) in columns.iter().zip(BOUNDS) {
        assert_eq!([&column["crowd"], &column["wait"]], [crowd, wait]);
        above.extend(worse(&format!("{crowd}, {wait}"), &column["per_dm"], bounds));
        let (writes, bill) = (number(&column["per_dm"]["write_units"]), &column["bill"]);
        // An entry, a claim, an outcome; a part of a page and of a reserve.
        assert!(writes >= 3.0, "{crowd}, {wait}: is every write counted?");
        let beside = number(&bill["dynamodb_writes"]) - writes * 0.625;
        // Upkeep's are a fleet's.
        let upkeep = if crowd == "viral" { 0.0..1e-6 } else { 1e-6..0.5 };
        assert!(upkeep.contains(&beside.max(0.0)), "{crowd}, {wait}: {beside} USD of writes");
        let lines = bill.as_object().unwrap().iter().filter(|(line, _)| *line != "total");
        let sum: f64 = lines.map(|(_, usd)| number(usd)).sum();
        assert!((number(&bill["total"]) - sum).abs() < 1e-6);
    }
    let conversations = report["conversations"].as_array().unwrap();
    assert_eq!(conversations.len(), CONVERSATION_BOUNDS.len());
    for (column, (crowd, gate, bounds)) in conversations.iter().zip(CONVERSATION_BOUNDS) {
        assert_eq!([&column["crowd"], &column["gate"]], [crowd, gate]);
        above.extend(worse(&format!("{crowd}, {gate}"), &column["per_conversation"], bounds));
        // The DM and the delivery, where it is asked the gate, and for every other person a follow-up.
        assert_eq!(number(&column["dms"]), if gate == "asked" { 3.5 } else { 2.5 });
    }
    let beside = number(&conversations[0]["beside_three_dms"]);
    assert!((1.0..=2.5).contains(&beside), "{beside} times three DMs");
    assert!(above.is_empty(), "{}", above.join("\n"));
    // README.md states what conversations of a fleet cost.
    for (nth, stated) in [(0, "35.94"), (2, "49.79")] {
        let usd = number(&conversations[nth]["bill"]["total"]);
        assert!((usd - stated.parse::<f64>().unwrap()).abs() < 0.05, "{usd} USD, not {stated}");
        assert!(include_str!("../../../../README.md").contains(stated), "README.md: {stated}");
    }
    let echoes = number(&report["echoes"]["total"]);
    assert!((0.2..=0.6).contains(&echoes), "{echoes} USD for the echoes of a million DMs");
    assert_eq!(number(&report["echoes"]["dynamodb_writes"]), 0.0);
    let [alone, viral] = ["misses", "viral_misses"].map(|of| number(&report[of]["total"]));
    assert!(viral < 0.1 && (1.0..2.5).contains(&alone), "{alone} and {viral} USD for misses");
    // What all accounts share is said in two places.
    let standing = &report["standing_a_month"];
    let all = format!("{:.2} USD a month", number(&standing["total"]));
    let watching = format!("{:.2}, and upkeep", number(&standing["watching"]));
    assert!(include_str!("../../../../README.md").contains(&all), "README.md: {all}");
    for figure in [all, watching] {
        let told = include_str!("../../../../infra/OPERATIONS.md").replace('\n', " ");
        assert!(told.contains(&figure), "OPERATIONS.md: {figure}");
    }
    // A single account does not pay for what all share.
    assert_eq!(number(&columns[3]["bill"]["scheduler"]), 0.0);
    assert!(number(&columns[0]["bill"]["scheduler"]) > 0.0);
}

#[test]
fn the_program_prints_its_prices_and_says_what_is_wrong_with_others() {
    let printed = bill(&["--print-prices"]);
    assert!(printed.status.success());
    let list = String::from_utf8(printed.stdout).unwrap();
    assert!(list.contains("Amazon DynamoDB pricing") && list.contains("us-east-1"), "{list}");

    let path = std::env::temp_dir().join(format!("spillway-prices-{}.toml", std::process::id()));
    std::fs::write(&path, list.replace("usd = 0.40\nper = 1_000_000", "usd = 0\nper = 1_000_000"))
        .unwrap();
    let refused = bill(&["--prices", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert!(!refused.status.success());
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("`sqs_request` needs `usd` above zero"), "{error}");

    let help = String::from_utf8(bill(&["--help"]).stdout).unwrap();
    assert!(help.contains("bill --json") && help.contains("300 ms for Meta"), "{help}");
}
