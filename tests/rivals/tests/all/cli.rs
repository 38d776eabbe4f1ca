//! The program as people and pipes use it.

use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare")).args(args).output().expect("it runs")
}

#[test]
fn a_pipe_gets_tables_without_colour() {
    let output = run(&[]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    for word in ["10000 comments in 5 min", "8500 (85%)", "15-minute hops", "not their code"] {
        assert!(text.contains(word), "`{word}` is missing:\n{text}");
    }
}

#[test]
fn json_has_every_scenario_and_model() {
    let output = run(&["--json"]);
    let compared: Value = serde_json::from_slice(&output.stdout).unwrap();
    let scenarios = compared.as_array().unwrap();
    assert_eq!(scenarios.len(), 3);
    for scenario in scenarios {
        let models = scenario["models"].as_array().unwrap();
        assert_eq!(models.len(), 6);
        for model in models {
            let sum = model["delivered"].as_u64().unwrap() + model["lost"].as_u64().unwrap();
            assert_eq!(Some(sum), scenario["comments"].as_u64(), "{model}");
        }
    }
}

#[test]
fn the_help_has_an_example() {
    let output = run(&["--help"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("compare --json | jq"));
}
