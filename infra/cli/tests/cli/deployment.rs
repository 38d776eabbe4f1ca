//! Where a deployment is.

use std::io::Write;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::stand::{CREATOR, Ran, Stand, file, program};

fn from_outputs(outputs: &str, arguments: &[&str]) -> Ran {
    let mut child = program()
        .arg("deployment")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(outputs.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

const OUTPUTS: &str = r#"{"Stacks": [{"StackName": "spillway", "Outputs": [
  {"OutputKey": "SendsTable", "OutputValue": "sends"},
  {"OutputKey": "StateTable", "OutputValue": "state"},
  {"OutputKey": "SendQueueUrl", "OutputValue": "https://sqs.eu-central-1.amazonaws.com/1/send"},
  {"OutputKey": "DeadLetterQueueUrl", "OutputValue": "https://sqs.eu-central-1.amazonaws.com/1/dead"},
  {"OutputKey": "ReleaseQueueUrl", "OutputValue": "https://sqs.eu-central-1.amazonaws.com/1/release"},
  {"OutputKey": "SecretArn", "OutputValue": "arn:aws:secretsmanager:eu-central-1:1:secret:s"},
  {"OutputKey": "KeyArn", "OutputValue": "arn:aws:kms:eu-central-1:1:key/k"}
]}]}"#;

#[test]
fn a_stacks_outputs_become_a_deployment_file() {
    let written = from_outputs(OUTPUTS, &[]).ok().stdout;
    assert_snapshot!("deployment", written);
    from_outputs("{}", &[]).failed(1, "describe-stacks");
    from_outputs(&OUTPUTS.replace("StateTable", "Other"), &[]).failed(1, "lack StateTable");
}

#[test]
fn without_a_deployment_it_is_said_how_to_name_one() {
    let ran = |program: &mut std::process::Command| Ran::from(program.output().unwrap());
    ran(program().args(["account", "list"])).failed(1, "spillway deployment --help");
    let missing = ran(program().args(["-d", "no-such.env", "account", "list"]));
    missing.failed(1, "cannot read the deployment file no-such.env");
    let typo = file("typo.env", "SPILLWAY_TABLE=\"x\"\n");
    let typo = ran(program().arg("-d").arg(typo).args(["account", "list"]));
    typo.failed(1, "line 1: this name is not known");
}

#[test]
fn a_stack_that_is_not_there_is_said_so_in_one_line() {
    let gone = from_outputs(OUTPUTS, &[]).ok().stdout
        + "AWS_ENDPOINT_URL_DYNAMODB=\"http://127.0.0.1:1\"\n\
           AWS_ACCESS_KEY_ID=\"local\"\nAWS_SECRET_ACCESS_KEY=\"local\"\n";
    let gone = file("gone.env", &gone);
    let ran = program().arg("-d").arg(gone).args(["account", "list"]).output().unwrap();
    let ran = Ran::from(ran).failed(1, "cannot be reached");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_and_a_variable_name_a_deployment_as_well() {
    let stand = Stand::start().await;
    let values = stand.served.deployment();
    let named = file("named.env", &values);
    let mut by_variable = program();
    by_variable.env("SPILLWAY_DEPLOYMENT", named).args(["account", "list"]);
    let mut by_environment = program();
    by_environment.args(["account", "list"]);
    for line in values.lines() {
        let (name, value) = line.split_once('=').unwrap();
        by_environment.env(name, value.trim_matches('"'));
    }
    for mut program in [by_variable, by_environment] {
        let run = move || Ran::from(program.output().unwrap());
        let ran = tokio::task::spawn_blocking(run).await.unwrap().ok();
        assert!(ran.stdout.contains(CREATOR), "{}", ran.stdout);
    }
}
