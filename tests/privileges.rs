//! Least privilege: each function's role in `template.yaml` allows the calls that it makes, and no
//! others.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::id::AccountId;
use spillway_graph::{Fault, FaultKind};
use spillway_local::fault_injector::Function;
use spillway_local::stack::{Stack, queues};
use spillway_sqs::NewMessage;

use spillway_service::port::{UpkeepRequest, UpkeepRequests};

use crate::harness::{CREATOR, START, Said, World, all_said, quotas, said};
use crate::sign_in::every_page_and_action;
use crate::template::{resource, template};

/// A permission of a function's role, or a call that needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    function: Function,
    action: String,
    /// The template's name of the table, queue, log group or parameter.
    resource: String,
    /// The partitions that it is limited to, as in `waiting#*`; empty without a limit.
    partition: String,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, action, resource, partition } = self;
        write!(f, "{function:?}: {action} on {resource} {partition}")
    }
}

const FUNCTIONS: [Function; 6] = [
    Function::Webhook,
    Function::Sender,
    Function::Release,
    Function::Upkeep,
    Function::Link,
    Function::Console,
];

/// What functions ask of services that the local stack has in process and so does not show: the
/// webhook for the app's secrets, sender and upkeep for the key that tokens are sealed with, sender and
/// link function for the keys of links, the console for what seals its sessions and for metrics, and upkeep
/// for the bus on which it tells of leads.
const IN_PROCESS: [(Function, &str, &str); 8] = [
    (Function::Console, "cloudwatch:GetMetricData", "*"),
    (Function::Console, "secretsmanager:GetSecretValue", "ConsoleSecret"),
    (Function::Sender, "secretsmanager:GetSecretValue", "LinkSecret"),
    (Function::Link, "secretsmanager:GetSecretValue", "LinkSecret"),
    (Function::Webhook, "secretsmanager:GetSecretValue", "Secret"),
    (Function::Sender, "kms:Decrypt", "TokenKey"),
    (Function::Upkeep, "kms:Decrypt", "TokenKey"),
    (Function::Upkeep, "events:PutEvents", "LeadBusArn"),
];

/// What functions ask of the state table while they start, before any event: whether the clock is
/// right, and the newest data key.
const AT_START: [(Function, &str, &str); 5] = [
    (Function::Sender, "dynamodb:GetItem", "app"),
    (Function::Sender, "dynamodb:Query", "token-keys"),
    (Function::Release, "dynamodb:GetItem", "app"),
    (Function::Upkeep, "dynamodb:GetItem", "app"),
    (Function::Upkeep, "dynamodb:Query", "token-keys"),
];

/// What functions ask of the state table in cases that [`everything`] does not play: requests of
/// owners, holds of the app, people with windows of their own, renewed tokens, entries of journals,
/// public replies, and conversations. Other tests do, and check that it is allowed.
const RARELY: [(Function, &str, &str); 27] = [
    (Function::Webhook, "dynamodb:GetItem", "account#*"),
    (Function::Webhook, "dynamodb:GetItem", "alias#*"),
    (Function::Webhook, "dynamodb:GetItem", "deletion#*"),
    (Function::Webhook, "dynamodb:UpdateItem", "deletion#*"),
    (Function::Webhook, "dynamodb:PutItem", "unmatched#*"),
    (Function::Webhook, "dynamodb:PutItem", "leads#*"),
    (Function::Webhook, "dynamodb:PutItem", "untold#*"),
    (Function::Webhook, "dynamodb:GetItem", "talk#*"),
    (Function::Webhook, "dynamodb:PutItem", "talk#*"),
    (Function::Webhook, "dynamodb:PutItem", "journal#*"),
    (Function::Release, "dynamodb:GetItem", "talk#*"),
    (Function::Release, "dynamodb:PutItem", "talk#*"),
    (Function::Sender, "dynamodb:PutItem", "talk#*"),
    (Function::Sender, "dynamodb:PutItem", "app"),
    (Function::Sender, "dynamodb:GetItem", "person#*"),
    (Function::Sender, "dynamodb:PutItem", "person#*"),
    (Function::Sender, "dynamodb:PutItem", "journal#*"),
    (Function::Sender, "dynamodb:PutItem", "waiting#*"),
    (Function::Upkeep, "dynamodb:UpdateItem", "account#*"),
    (Function::Upkeep, "dynamodb:GetItem", "token-keys"),
    (Function::Upkeep, "dynamodb:PutItem", "app"),
    (Function::Upkeep, "dynamodb:GetItem", "deletion#*"),
    (Function::Upkeep, "dynamodb:DeleteItem", "unmatched#*"),
    (Function::Upkeep, "dynamodb:DeleteItem", "leads#*"),
    (Function::Upkeep, "dynamodb:DeleteItem", "untold#*"),
    (Function::Upkeep, "dynamodb:GetItem", "sample-keys"),
    (Function::Upkeep, "dynamodb:DeleteItem", "talk#*"),
];

/// What functions ask of the table of sends where a campaign replies in public. `public_replies` plays
/// it, and checks that it is allowed.
const IN_PUBLIC: [(Function, &str); 2] =
    [(Function::Sender, "dynamodb:PutItem"), (Function::Release, "dynamodb:PutItem")];

/// What the link function asks for where somebody opens a link, of the state table by partition and of
/// the table of sends. `links` plays it, and checks that it is allowed.
const BY_CLICKS: [(&str, &str, &str); 5] = [
    ("dynamodb:Query", "StateTable", "account#*"),
    ("dynamodb:GetItem", "StateTable", "talk#*"),
    ("dynamodb:PutItem", "StateTable", "talk#*"),
    ("dynamodb:BatchGetItem", "SendsTable", ""),
    ("dynamodb:UpdateItem", "SendsTable", ""),
];

/// What Lambda asks for in the function's name to record a trace, where it is asked to. Traces have
/// no name of their own.
const TRACES: [&str; 2] = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"];

/// What the Lambda service asks for in the function's name, to log.
const LOGS: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// What it asks for to bring a queue's messages.
const MAPPING: [&str; 3] = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];

fn name(function: Function) -> String {
    format!("{function:?}Function")
}

/// One or several.
fn each(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// What stands where a condition holds, or without one.
fn held(value: &Value) -> &Value {
    value.get("Fn::If").map_or(value, |choice| &choice[1])
}

/// The name in `!Ref X` and in `!GetAtt X.Arn`, or the star.
fn referred(value: &Value) -> &str {
    let value = held(value);
    let of = value["Ref"].as_str().or_else(|| value.as_str().filter(|text| *text == "*"));
    of.or_else(|| value["Fn::GetAtt"].as_str()?.strip_suffix(".Arn"))
        .unwrap_or_else(|| panic!("{value} is neither !Ref X nor !GetAtt X.Arn nor a star"))
}

/// What the roles allow.
fn granted(template: &Value) -> BTreeSet<Permission> {
    let mut granted = BTreeSet::new();
    for function in FUNCTIONS {
        let properties = resource(template, &name(function));
        assert_eq!(properties["Policies"], Value::Null, "{function:?} has a role of its own");
        let role = resource(template, referred(&properties["Role"]));
        assert_eq!(role["ManagedPolicyArns"], Value::Null, "{function:?}: nobody counts these");
        for policy in each(&role["Policies"]) {
            for statement in each(&policy["PolicyDocument"]["Statement"]).into_iter().map(held) {
                assert_eq!(statement["Effect"], "Allow", "{statement}");
                for action in each(&statement["Action"]) {
                    let action = action.as_str().unwrap().to_owned();
                    assert!(!action.contains('*'), "{function:?} may {action}: name the actions");
                    let conditions = &statement["Condition"]["ForAllValues:StringLike"];
                    let partitions = match &conditions["dynamodb:LeadingKeys"] {
                        Value::Null => vec![""],
                        keys => each(keys).into_iter().map(|key| key.as_str().unwrap()).collect(),
                    };
                    for resource in each(&statement["Resource"]) {
                        granted.extend(partitions.iter().map(|partition| Permission {
                            function,
                            action: action.clone(),
                            resource: referred(resource).to_owned(),
                            partition: (*partition).to_owned(),
                        }));
                    }
                }
            }
        }
    }
    granted
}

/// What the functions asked of DynamoDB and SQS, and the permissions which that takes: a batch of
/// messages takes that of one message, other batches have their own.
fn used(stack: &Stack) -> BTreeSet<Permission> {
    let config = &stack.config;
    let calls = stack.faults.calls().into_iter();
    calls
        .map(|call| {
            let (service, operation) = call.target.split_once('.').unwrap();
            let action = match (service, operation) {
                ("DynamoDB_20120810", operation) => format!("dynamodb:{operation}"),
                ("AmazonSQS", operation) => format!("sqs:{}", operation.trim_end_matches("Batch")),
                (other, _) => panic!("say here which permissions {other} takes"),
            };
            let resource = match &call.resource {
                table if *table == config.sends_table => "SendsTable",
                table if *table == config.state_table => "StateTable",
                url if *url == config.send_queue_url => "SendQueue",
                url if *url == config.dead_letter_queue_url => "DeadLetterQueue",
                url if *url == config.release_queue_url => "ReleaseQueue",
                other => panic!("{call:?}: what is {other}?"),
            };
            let (resource, partition) = (resource.to_owned(), call.partition);
            Permission { function: call.function, action, resource, partition }
        })
        .collect()
}

/// What is used beside DynamoDB's and SQS's calls, by the function or in its name.
fn used_beside(template: &Value) -> BTreeSet<Permission> {
    let mut used = BTreeSet::new();
    for function in FUNCTIONS {
        let properties = resource(template, &name(function));
        let mut add_of = |action: &str, resource: &str, partition: &str| {
            let (action, resource) = (action.to_owned(), resource.to_owned());
            let partition = partition.to_owned();
            used.insert(Permission { function, action, resource, partition });
        };
        for (_, action, partition) in
            AT_START.into_iter().chain(RARELY).filter(|(of, ..)| *of == function)
        {
            add_of(action, "StateTable", partition);
        }
        for (action, resource, partition) in
            BY_CLICKS.into_iter().filter(|_| function == Function::Link)
        {
            add_of(action, resource, partition);
        }
        let mut add = |action: &str, resource: &str| add_of(action, resource, "");
        for (_, action) in IN_PUBLIC.into_iter().filter(|(of, ..)| *of == function) {
            add(action, "SendsTable");
        }
        for (_, action, resource) in IN_PROCESS.into_iter().filter(|(of, ..)| *of == function) {
            add(action, resource);
        }
        for action in TRACES {
            add(action, "*");
        }
        for action in LOGS {
            add(action, referred(&properties["LoggingConfig"]["LogGroup"]));
        }
        let events = properties["Events"].as_object().into_iter().flatten();
        for (_, event) in events.filter(|(_, event)| event["Type"] == "SQS") {
            for action in MAPPING {
                add(action, referred(&event["Properties"]["Queue"]));
            }
        }
    }
    used
}

/// A call that a role does not allow, or a permission that nothing uses, each in one line.
fn differences(granted: &BTreeSet<Permission>, used: &BTreeSet<Permission>) -> Vec<String> {
    let gaps = used.difference(granted).map(|gap| format!("{gap} is not allowed"));
    let surplus = granted.difference(used).map(|surplus| format!("{surplus} is never used"));
    gaps.chain(surplus).collect()
}

/// Every call that the functions made over this stack is one that their roles allow. Each test's
/// world ends with it.
pub(crate) fn assert_allowed(stack: &Stack) {
    static GRANTED: LazyLock<BTreeSet<Permission>> = LazyLock::new(|| granted(&template()));
    let used = used(stack);
    let gaps: Vec<String> = used.difference(&GRANTED).map(Permission::to_string).collect();
    assert!(gaps.is_empty(), "template.yaml does not allow {gaps:?}");
}

/// All that the functions ever ask for: comments told twice, slots and parked sends, a page left by
/// a crash, a call to be made again, a message that nobody can read, sends of an account that is
/// gone, and rest.
async fn everything() -> BTreeSet<Permission> {
    let orphan = said(100);
    let mut world =
        World::half_recorded(quotas("8/10m", "1000/24h"), std::slice::from_ref(&orphan)).await;
    world.plan(START + Duration::from_secs(3), std::slice::from_ref(&orphan));
    world.stack.sqs.send(queues::SEND, NewMessage::new("hello")).unwrap();
    world.stack.graph.order_fault(Fault::new(FaultKind::Transient));
    // An echo ends a send whose answer was lost.
    world.stack.graph.echo_after(vec![Duration::from_secs(1)]);
    world.stack.graph.order_fault(Fault::new(FaultKind::NoAnswer));
    let all = all_said(1..=9);
    world.plan(START + Duration::from_secs(1), &all);
    world.plan(START + Duration::from_secs(2), &all[..4]);
    // The last one's comment is gone before its turn, and a newer one of the same person is not.
    let newer = Said { author: said(9).author, ..said(80) };
    world.plan(START + Duration::from_secs(4), &[newer]);
    world.stack.graph.delete_comment(&said(9).id.as_str().into());
    // One that matches nothing.
    world.plan(START + Duration::from_secs(3), &[said(90).saying("so nice")]);
    world.pass(Duration::from_secs(1200)).await;
    assert_eq!(world.state_of(&orphan).await, "sent");
    assert_eq!(world.queue(queues::DEAD_LETTERS).total(), 1);
    // Upkeep finds a comment that nobody has told of, and then its owner wants the account deleted.
    let (missed, account) = (said(20), AccountId::new(CREATOR));
    world.observe(std::slice::from_ref(&missed));
    world.outside.maintenance.ask(&account, &UpkeepRequest::Backfill, world.now()).await.unwrap();
    world.driver.keeps_up_every = Some(Duration::from_secs(900));
    let mut quarters = 0;
    while world.told(&missed).await.is_none() {
        assert!(quarters < 8, "it is never found");
        world.pass(Duration::from_secs(900)).await;
        quarters += 1;
    }
    // More than are sent until then: release cancels those without a slot.
    world.plan(world.now() + Duration::from_secs(1), &all_said(30..60));
    world.pass(Duration::from_secs(60)).await;
    let delete = UpkeepRequest::Delete { code: "code".into() };
    world.outside.maintenance.ask(&account, &delete, world.now()).await.unwrap();
    world.pass(Duration::from_secs(2700)).await;
    world.driver.keeps_up_every = None;
    world.settle().await;
    let report = world.over(41).await;
    assert!(report.cancelled > 0, "{report:?}");
    used(&world.stack)
}

#[tokio::test]
async fn each_role_allows_what_its_function_does_and_no_more() {
    let template = template();
    let mut used = everything().await;
    used.extend(self::used(&every_page_and_action().await.stack));
    used.extend(used_beside(&template));
    let differences = differences(&granted(&template), &used);
    assert!(differences.is_empty(), "template.yaml:\n{}", differences.join("\n"));
}

/// Without the account of the source, others could have these services act in their names with it.
#[test]
fn roles_of_services_are_for_this_aws_account_alone() {
    let template = template();
    for role in ["ScheduleRole", "DeploymentRole"] {
        let trust = &resource(&template, role)["AssumeRolePolicyDocument"]["Statement"][0];
        let source = &trust["Condition"]["StringEquals"]["aws:SourceAccount"];
        assert_eq!(*source, json!({ "Ref": "AWS::AccountId" }), "{role}");
    }
    for function in FUNCTIONS.map(name) {
        let properties = resource(&template, &function);
        let role = &properties["DeploymentPreference"]["Role"];
        assert_eq!(*role, json!({ "Fn::GetAtt": "DeploymentRole.Arn" }), "{function}");
        for (name, event) in properties["Events"].as_object().into_iter().flatten() {
            if event["Type"] == "ScheduleV2" {
                let role = &event["Properties"]["RoleArn"];
                assert_eq!(*role, json!({ "Fn::GetAtt": "ScheduleRole.Arn" }), "{name}");
            }
        }
    }
}

#[test]
fn a_surplus_and_a_gap_are_named() {
    let permission = |action: &str| Permission {
        function: Function::Sender,
        action: action.to_owned(),
        resource: "StateTable".to_owned(),
        partition: "pace#*".to_owned(),
    };
    let granted = BTreeSet::from([permission("dynamodb:Query"), permission("dynamodb:Scan")]);
    let used = BTreeSet::from([permission("dynamodb:Query"), permission("dynamodb:PutItem")]);
    assert_eq!(
        differences(&granted, &used),
        [
            "Sender: dynamodb:PutItem on StateTable pace#* is not allowed",
            "Sender: dynamodb:Scan on StateTable pace#* is never used",
        ]
    );
}
