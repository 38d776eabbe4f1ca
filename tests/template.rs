//! `template.yaml` agrees with the code and with the local stack, which is what the other tests
//! run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;
use spillway_cloud::config::{Config, GRAPH_URL, GRAPH_VERSION};
use spillway_cloud::emf::{NAMESPACE, STACK};
use spillway_cloud::schema;
use spillway_cloud::secrets::{Secrets, parse_console_secrets, parse_link_keys};
use spillway_cloud::token::{KMS_CONTEXT, Purpose};
use spillway_console::sign_in::{CALLBACK, SignInSecrets};
use spillway_console_function::config::ConsoleConfig;
use spillway_core::content::LINK_BASE_BYTES_MAX;
use spillway_graph::GraphConfig;
use spillway_local::lambda::{
    CONSOLE_TIMEOUT, LINK_TIMEOUT, RELEASE_BATCH, RELEASE_TIMEOUT, SENDER_BATCH, SENDER_TIMEOUT,
    UPKEEP_TIMEOUT, WEBHOOK_TIMEOUT,
};
use spillway_local::stack::{Blueprint, Pace, Ports, Stack};
use spillway_meta::signature::SignatureError;
use spillway_service::clock::SystemClock;
use spillway_service::metrics::{Definition, Kind, Metric, name_of};
use spillway_service::release::OVERDUE;

/// The functions' names in the template.
pub(crate) const FUNCTIONS: [&str; 6] = [
    "WebhookFunction",
    "SenderFunction",
    "ReleaseFunction",
    "UpkeepFunction",
    "LinkFunction",
    "ConsoleFunction",
];

/// The template as JSON, with CloudFormation's short forms written out: `!Ref X` is `{"Ref": "X"}`
/// and `!GetAtt X.Y` is `{"Fn::GetAtt": "X.Y"}`.
pub(crate) fn template() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let text = fs::read_to_string(path).unwrap();
    written_out(serde_yaml_ng::from_str(&text).unwrap())
}

fn written_out(node: Yaml) -> Value {
    match node {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Number(value) => json!(value),
        Yaml::String(value) => json!(value),
        Yaml::Sequence(items) => items.into_iter().map(written_out).collect(),
        Yaml::Mapping(items) => {
            let key = |key: Yaml| key.as_str().unwrap().to_owned();
            let items: Map<String, Value> =
                items.into_iter().map(|(k, value)| (key(k), written_out(value))).collect();
            Value::Object(items)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                "Ref" => "Ref".to_owned(),
                function => format!("Fn::{function}"),
            };
            json!({ name: written_out(tagged.value) })
        }
    }
}

/// The properties of one of its resources.
pub(crate) fn resource(template: &Value, name: &str) -> Value {
    let resource = &template["Resources"][name];
    assert!(resource.is_object(), "template.yaml has no {name}");
    resource["Properties"].clone()
}

#[test]
fn the_functions_get_exactly_the_variables_that_the_configuration_reads() {
    let read = RefCell::new(BTreeSet::new());
    Config::read(|name| {
        read.borrow_mut().insert(name.to_owned());
        Some(if name == "SPILLWAY_ENTRY_KEYS" { "both" } else { "v1.0" }.into())
    })
    .unwrap();
    let template = template();
    let set = template["Globals"]["Function"]["Environment"]["Variables"].as_object().unwrap();
    let mut set: BTreeSet<String> = set.keys().cloned().collect();
    assert!(set.remove("RUST_LOG"), "logging reads it");
    let of = |function| {
        let own = resource(&template, function)["Environment"]["Variables"].clone();
        own.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<String>>()
    };
    for function in FUNCTIONS.into_iter().filter(|function| *function != "ConsoleFunction") {
        let own = of(function);
        // The address of the link function would depend on itself.
        let writes_links = function == "SenderFunction";
        assert_eq!(own, ["SPILLWAY_LINK_URL"][..usize::from(writes_links)], "{function}");
        set.extend(own);
    }
    assert_eq!(read.take(), set);
    let console = ConsoleConfig::read(|name| {
        read.borrow_mut().insert(name.to_owned());
        Some("https://a.example/@a.example".into())
    });
    assert!(console.is_ok());
    assert_eq!(read.into_inner(), of("ConsoleFunction").into_iter().collect());
}

#[test]
fn each_variable_names_what_it_is_called_after() {
    let template = template();
    let variables = &template["Globals"]["Function"]["Environment"]["Variables"];
    let secret = json!({ "Fn::If": ["MakesSecret", { "Ref": "Secret" }, { "Ref": "SecretArn" }] });
    assert_eq!(variables["SPILLWAY_SECRET_ID"], secret);
    let of_links = json!({ "Fn::If": ["HasLinks", { "Ref": "LinkSecret" }, ""] });
    assert_eq!(variables["SPILLWAY_LINK_SECRET_ID"], of_links);
    assert_eq!(variables["SPILLWAY_KMS_KEY"], json!({ "Fn::GetAtt": "TokenKey.Arn" }));
    for (variable, named) in [
        ("SPILLWAY_SENDS_TABLE", "SendsTable"),
        ("SPILLWAY_STATE_TABLE", "StateTable"),
        ("SPILLWAY_SEND_QUEUE_URL", "SendQueue"),
        ("SPILLWAY_DEAD_LETTER_QUEUE_URL", "DeadLetterQueue"),
        ("SPILLWAY_RELEASE_QUEUE_URL", "ReleaseQueue"),
        ("SPILLWAY_GRAPH_URL", "GraphUrl"),
        ("SPILLWAY_GRAPH_VERSION", "GraphVersion"),
        ("SPILLWAY_ENTRY_KEYS", "EntryKeys"),
        ("SPILLWAY_MISS_SAMPLES", "MissSamples"),
        ("SPILLWAY_RETRY_UNKNOWN", "RetryUnknown"),
        ("SPILLWAY_STACK", "AWS::StackName"),
    ] {
        assert_eq!(variables[variable], json!({ "Ref": named }), "{variable}");
    }
    let parameters = &template["Parameters"];
    assert_eq!(parameters["GraphUrl"]["Default"], GRAPH_URL);
    assert_eq!(parameters["GraphVersion"]["Default"], GRAPH_VERSION);
}

#[test]
fn timeouts_and_batches_are_those_of_the_local_stack() {
    let template = template();
    for (name, timeout) in [
        ("WebhookFunction", WEBHOOK_TIMEOUT),
        ("SenderFunction", SENDER_TIMEOUT),
        ("ReleaseFunction", RELEASE_TIMEOUT),
        ("UpkeepFunction", UPKEEP_TIMEOUT),
        ("LinkFunction", LINK_TIMEOUT),
        ("ConsoleFunction", CONSOLE_TIMEOUT),
    ] {
        assert_eq!(resource(&template, name)["Timeout"], timeout.as_secs(), "{name}");
    }
    for (name, event, queue, batch) in [
        ("SenderFunction", "Sends", "SendQueue", SENDER_BATCH),
        ("ReleaseFunction", "Accounts", "ReleaseQueue", RELEASE_BATCH),
    ] {
        let mapping = &resource(&template, name)["Events"][event];
        assert_eq!(mapping["Type"], "SQS");
        let mapping = &mapping["Properties"];
        assert_eq!(mapping["Queue"], json!({ "Fn::GetAtt": format!("{queue}.Arn") }));
        assert_eq!(mapping["BatchSize"], batch);
        // Without it what a function names as failed would be deleted all the same.
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{name}");
        // A message that a filter drops is deleted for good.
        assert_eq!(mapping["FilterCriteria"], Value::Null, "{name}");
        let visibility = resource(&template, queue)["VisibilityTimeout"].as_u64().unwrap();
        let timeout = resource(&template, name)["Timeout"].as_u64().unwrap();
        assert_eq!(visibility, 6 * timeout, "{queue} hides a message for six timeouts");
    }
}

/// Lambda ends loops between a function and a queue after 16 invocations by default, and with them
/// the retries of sends that are put off.
#[test]
fn exactly_the_functions_that_enqueue_for_themselves_may_do_so_for_ever() {
    let template = template();
    for function in FUNCTIONS {
        let properties = resource(&template, function);
        let role = properties["Role"]["Fn::GetAtt"].as_str().unwrap().replace(".Arn", "");
        let enqueues = granted(&template, &role, "sqs:SendMessage");
        let events = properties["Events"].as_object().into_iter().flatten();
        let feeds = events.map(|(_, event)| event["Properties"]["Queue"].to_string());
        let mut feeds = feeds.filter(|queue| queue.contains("Queue"));
        let is_loop = feeds.any(|queue| enqueues.iter().any(|e| e.to_string().contains(&queue)));
        let expected = if is_loop { json!("Allow") } else { Value::Null };
        assert_eq!(properties["RecursiveLoop"], expected, "{function}");
        if is_loop {
            let watched = resource(&template, "RecursionAlarm")["Metrics"].to_string();
            assert!(watched.contains(function), "{function}");
        }
    }
}

#[test]
fn the_schedule_sends_what_the_release_function_takes_for_it() {
    let template = template();
    let schedule = &resource(&template, "ReleaseFunction")["Events"]["EveryMinute"]["Properties"];
    assert_eq!(schedule["ScheduleExpression"], "rate(1 minute)");
    let input: Value = serde_json::from_str(schedule["Input"].as_str().unwrap()).unwrap();
    assert_eq!(input, json!({ "dispatch": true }));
    let dead_letters = json!({ "Arn": { "Fn::GetAtt": "ScheduleDeadLetterQueue.Arn" } });
    assert_eq!(schedule["DeadLetterConfig"], dead_letters);
}

/// What a role may do with services of this kind.
fn granted(template: &Value, role: &str, service: &str) -> Vec<Value> {
    let statements = &resource(template, role)["Policies"][0]["PolicyDocument"]["Statement"];
    let statements = statements.as_array().unwrap().iter();
    // Those that hang on a condition, where it holds.
    statements
        .map(|statement| statement.get("Fn::If").map_or(statement, |choice| &choice[1]))
        .filter(|statement| statement["Action"].to_string().contains(service))
        .cloned()
        .collect()
}

/// The webhook must take comments, and release give slots, while KMS does not answer.
#[test]
fn the_sender_alone_opens_tokens_and_the_webhook_alone_reads_the_secret() {
    let template = template();
    for role in ["WebhookRole", "ReleaseRole", "LinkRole", "ConsoleRole"] {
        assert_eq!(granted(&template, role, "kms:"), Vec::<Value>::new(), "{role}");
    }
    assert_eq!(granted(&template, "ReleaseRole", "secretsmanager:"), Vec::<Value>::new());
    let link_keys = json!({
        "Sid": "LinkSecret",
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": { "Ref": "LinkSecret" },
    });
    for role in ["SenderRole", "LinkRole"] {
        let reads = granted(&template, role, "secretsmanager:");
        assert_eq!(reads, std::slice::from_ref(&link_keys), "{role}: no app secret");
    }
    // The operator alone opens what people wrote; and upkeep, where there is a bus to tell of leads on.
    assert_ne!(Purpose::Samples.context(), KMS_CONTEXT);
    let decrypt = |sid: &str, (name, value): (&str, &str)| {
        json!({
            "Sid": sid,
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": { "Fn::GetAtt": "TokenKey.Arn" },
            "Condition": { "StringEquals": { format!("kms:EncryptionContext:{name}"): value } },
        })
    };
    let tokens = decrypt("TokenKey", KMS_CONTEXT);
    let samples = decrypt("SampleKey", Purpose::Samples.context());
    assert_eq!(granted(&template, "SenderRole", "kms:"), std::slice::from_ref(&tokens));
    assert_eq!(granted(&template, "UpkeepRole", "kms:"), [tokens, samples.clone()]);
    let statements = &resource(&template, "UpkeepRole")["Policies"][0]["PolicyDocument"];
    let conditional = json!({ "Fn::If": ["HasLeadBus", samples, { "Ref": "AWS::NoValue" }] });
    assert!(statements["Statement"].as_array().unwrap().contains(&conditional));
    let reads = granted(&template, "WebhookRole", "secretsmanager:");
    assert_eq!(reads.len(), 1);
    assert_eq!(reads[0]["Action"], "secretsmanager:GetSecretValue");
    // By default the tables are under DynamoDB's own key, which does not depend on KMS.
    for table in ["SendsTable", "StateTable"] {
        let key = &resource(&template, table)["SSESpecification"]["Fn::If"];
        assert_eq!((&key[0], &key[2]), (&json!("HasTablesKey"), &json!({ "Ref": "AWS::NoValue" })));
    }
    for kept in ["TokenKey", "SendsTable", "StateTable"] {
        assert_eq!(template["Resources"][kept]["DeletionPolicy"], "Retain", "{kept}");
        assert_eq!(template["Resources"][kept]["UpdateReplacePolicy"], "Retain", "{kept}");
    }
}

/// Every variable names a resource or a parameter, and no parameter is a secret.
#[test]
fn no_secret_lies_in_the_template() {
    let template = template();
    let variables =
        template["Globals"]["Function"]["Environment"]["Variables"].as_object().unwrap();
    for (name, value) in variables {
        assert!(value.is_object(), "{name} is written out: {value}");
    }
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        assert_eq!(parameter["NoEcho"], Value::Null, "{name} would be a secret");
    }
}

#[test]
fn the_generated_secret_answers_the_handshake() {
    let generate = &resource(&template(), "Secret")["GenerateSecretString"];
    let text = generate["SecretStringTemplate"].as_str().unwrap();
    let mut secret: Value = serde_json::from_str(text).unwrap();
    secret[generate["GenerateStringKey"].as_str().unwrap()] = json!("drawn");
    let secrets = Secrets::parse(&SecretString::from(secret.to_string())).unwrap();
    assert_eq!((secrets.app_secrets.len(), secrets.verify_tokens.len()), (0, 1));
}

#[test]
fn the_generated_secret_of_links_signs_them() {
    let generate = &resource(&template(), "LinkSecret")["GenerateSecretString"];
    let text = generate["SecretStringTemplate"].as_str().unwrap();
    let mut secret: Value = serde_json::from_str(text).unwrap();
    let drawn = "x".repeat(generate["PasswordLength"].as_u64().unwrap().try_into().unwrap());
    secret[generate["GenerateStringKey"].as_str().unwrap()] = drawn.into();
    assert!(parse_link_keys(&SecretString::from(secret.to_string())).is_ok());
    // Without it, links that were sent would lead nowhere.
    assert_eq!(template()["Resources"]["LinkSecret"]["DeletionPolicy"], "Retain");
}

#[test]
fn the_generated_secret_of_the_console_seals_sessions_and_has_no_clients_secret() {
    let generate = &resource(&template(), "ConsoleSecret")["GenerateSecretString"];
    let text = generate["SecretStringTemplate"].as_str().unwrap();
    let mut secret: Value = serde_json::from_str(text).unwrap();
    let drawn = "x".repeat(generate["PasswordLength"].as_u64().unwrap().try_into().unwrap());
    secret[generate["GenerateStringKey"].as_str().unwrap()] = drawn.into();
    let secret = parse_console_secrets(&SecretString::from(secret.to_string())).unwrap();
    assert!(secret.client_secret.is_none());
    assert!(SignInSecrets::new(&secret.session_keys, None).is_ok());
}

/// Nothing of the console is there unless it is turned on, and then somebody is let in.
#[test]
fn the_console_is_off_by_default_and_all_of_it_hangs_on_one_condition() {
    let template = template();
    assert_eq!(template["Parameters"]["Console"]["Default"], "off");
    let is_on = json!({ "Fn::Equals": [{ "Ref": "Console" }, "on"] });
    assert_eq!(template["Conditions"]["HasConsole"], is_on);
    for part in ["Resources", "Outputs"] {
        for (name, part) in template[part].as_object().unwrap() {
            let is_consoles = part["Condition"] == "HasConsole";
            assert_eq!(name.starts_with("Console"), is_consoles, "{name}");
        }
    }
    let rule = &template["Rules"]["ConsoleHasIssuer"];
    assert_eq!(rule["RuleCondition"], is_on);
    let needed = rule["Assertions"].to_string();
    for name in ["ConsoleIssuer", "ConsoleClientId", "ConsoleAllowed", "Front"] {
        assert!(needed.contains(&format!("{{\"Ref\":\"{name}\"}}")), "{name}");
    }
    let back = &template["Outputs"]["ConsoleRedirectUri"]["Value"]["Fn::If"];
    for uri in [&back[1], &back[2]] {
        assert!(uri["Fn::Sub"].as_str().unwrap().ends_with(&CALLBACK[1..]), "{uri}");
    }
}

/// Nothing of links is there unless they are turned on, and nothing else hangs on that.
#[test]
fn links_are_off_by_default_and_all_of_them_hangs_on_one_condition() {
    let template = template();
    assert_eq!(template["Parameters"]["Links"]["Default"], "off");
    let is_on = json!({ "Fn::Equals": [{ "Ref": "Links" }, "on"] });
    assert_eq!(template["Conditions"]["HasLinks"], is_on);
    let conditions = ["HasLinks", "HasLinksByUrl", "HasLinksByApi"];
    for condition in &conditions[1..] {
        let both = &template["Conditions"][condition]["Fn::And"];
        assert_eq!(both[0], json!({ "Fn::Condition": "HasLinks" }), "{condition}");
    }
    let parts = template["Resources"].as_object().unwrap().iter();
    for (name, part) in parts {
        let condition = part["Condition"].as_str().unwrap_or_default();
        assert_eq!(name.starts_with("Link"), conditions.contains(&condition), "{name}");
    }
    // The longest host, and the slashes around it.
    let pattern = template["Parameters"]["LinkDomain"]["AllowedPattern"].as_str().unwrap();
    assert!(pattern.ends_with("{4,64}$") && "https:///".len() + 64 <= LINK_BASE_BYTES_MAX);
}

/// A deployment moves the alias that everything calls, and goes back when the function fails, or
/// answers for itself that it has.
#[test]
fn each_function_is_deployed_by_an_alias_that_its_failures_roll_back() {
    let template = template();
    assert_eq!(template["Globals"]["Function"]["AutoPublishAlias"], "live");
    for (function, answered, period) in [
        ("WebhookFunction", "Url5xxCount", 60),
        ("SenderFunction", "FailedRecords", 60),
        ("ReleaseFunction", "FailedRecords", 300),
        ("UpkeepFunction", "FailedVisits", 900),
        ("LinkFunction", "Url5xxCount", 60),
        ("ConsoleFunction", "Url5xxCount", 60),
    ] {
        let properties = resource(&template, function);
        assert_eq!(properties["AutoPublishAliasAllProperties"], true, "{function}");
        let deployment = &properties["DeploymentPreference"];
        assert_eq!(deployment["Type"], json!({ "Ref": "DeploymentType" }));
        let alarm = deployment["Alarms"][0]["Ref"].as_str().unwrap();
        let metrics = &resource(&template, alarm)["Metrics"];
        let errors = &metrics[0]["MetricStat"];
        assert_eq!(errors["Metric"]["MetricName"], "Errors");
        assert_eq!(errors["Period"], period, "{function}: one that it runs in");
        let dimensions = json!([
            { "Name": "FunctionName", "Value": { "Ref": function } },
            { "Name": "Resource", "Value": { "Fn::Sub": format!("${{{function}}}:live") } },
        ]);
        assert_eq!(errors["Metric"]["Dimensions"], dimensions);
        let own = &metrics[1]["MetricStat"]["Metric"];
        assert!(own["MetricName"].to_string().contains(answered), "{function}: {own}");
        // Failures of another function do not move this one back.
        if answered == "FailedRecords" {
            let of = json!({ "Name": "Function", "Value": function.replace("Function", "") });
            assert_eq!(own["Dimensions"][1], of);
        }
    }
    // It runs every fifteen minutes: one failure in such a span is all there may be.
    assert_eq!(resource(&template, "UpkeepRollbackAlarm")["Threshold"], 0);
}

/// A budget that has nobody to write to is never told of.
#[test]
fn a_budget_without_an_address_is_refused() {
    let template = template();
    let rule = &template["Rules"]["BudgetHasAddress"];
    let is = |parameter: &str, value: &str| json!({ "Fn::Equals": [{ "Ref": parameter }, value] });
    let is_not = |parameter: &str, value: &str| json!({ "Fn::Not": [is(parameter, value)] });
    assert_eq!(rule["RuleCondition"], is_not("MonthlyBudgetUsd", "0"));
    assert_eq!(rule["Assertions"][0]["Assert"], is_not("AlarmEmail", ""));
    assert_eq!(template["Parameters"]["MonthlyBudgetUsd"]["Default"], 0);
}

/// Every text in a part of the template.
fn texts(node: &Value) -> Vec<&str> {
    match node {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(items) => items.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// China and others have ARNs and hosts of their own. The names of services are the same in all.
#[test]
fn arns_and_hosts_are_those_of_the_partition() {
    let template = template();
    let made = [&template["Globals"], &template["Resources"], &template["Outputs"]];
    let mut arns = 0;
    for text in made.into_iter().flat_map(texts) {
        for rest in text.split("arn:").skip(1) {
            assert!(rest.starts_with("${AWS::Partition}:"), "{text}");
            arns += 1;
        }
        let service = text.strip_suffix(".amazonaws.com");
        let is_service = service.is_some_and(|name| !name.contains(['.', '/', ':']));
        let is_host = text.contains("amazonaws.com") || text.contains("aws.amazon.com");
        assert!(is_service || !is_host, "{text}");
    }
    assert!(arns > 0, "none is looked at");
    let parameters = template["Parameters"].as_object().unwrap();
    for (name, parameter) in parameters.iter().filter(|(name, _)| name.ends_with("Arn")) {
        let pattern = parameter["AllowedPattern"].as_str().unwrap();
        assert!(pattern.starts_with("^$|^arn:aws[a-z-]*:"), "{name} takes those of one partition");
    }
    // Without the six characters at its end the role is granted a secret that is not there.
    let secret = parameters["SecretArn"]["AllowedPattern"].as_str().unwrap();
    assert!(secret.ends_with("-[A-Za-z0-9]{6}$"), "{secret}");
    let partitions: Vec<&String> =
        template["Mappings"]["Hosts"].as_object().unwrap().keys().collect();
    assert_eq!(partitions, ["aws", "aws-cn", "aws-us-gov"]);
    let console = &template["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"][1]["Console"];
    let found = json!({ "Fn::FindInMap": ["Hosts", { "Ref": "AWS::Partition" }, "Console"] });
    assert_eq!(*console, found);
}

#[test]
fn each_parameter_has_a_group_a_label_a_description_and_a_default() {
    let template = template();
    let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
    let grouped: Vec<&str> = interface["ParameterGroups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let parameters = template["Parameters"].as_object().unwrap();
    assert_eq!(grouped.len(), parameters.len(), "{grouped:?}");
    for (name, parameter) in parameters {
        assert!(grouped.contains(&name.as_str()), "{name} is in no group");
        assert!(interface["ParameterLabels"][name]["default"].is_string(), "{name}");
        assert!(parameter["Description"].is_string(), "{name}");
        // `sam deploy --guided` asks for nothing that has no answer.
        assert!(!parameter["Default"].is_null(), "{name}");
    }
}

async fn stack() -> Stack {
    Stack::start(Blueprint {
        clock: Arc::new(SystemClock::new()),
        pace: Pace::Real,
        accounts: Vec::new(),
        graph: GraphConfig::default(),
        ports: Ports::default(),
        seed: Some(1),
        wrap: std::convert::identity,
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn queues_are_those_of_the_local_stack() {
    let (template, stack) = (template(), stack().await);
    let urls = &stack.config;
    for (name, url) in [
        ("SendQueue", &urls.send_queue_url),
        ("DeadLetterQueue", &urls.dead_letter_queue_url),
        ("ReleaseQueue", &urls.release_queue_url),
    ] {
        let asked = stack.poller.get_queue_attributes().queue_url(url);
        let answer = asked.attribute_names(QueueAttributeName::All).send().await.unwrap();
        let local: BTreeMap<String, String> = answer
            .attributes
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name.as_str().to_owned(), value))
            .collect();
        let here = resource(&template, name);
        let local_of = |attribute: &str| local[attribute].parse::<u64>().unwrap();
        let retention = here["MessageRetentionPeriod"].as_u64().unwrap();
        assert_eq!(local_of("MessageRetentionPeriod"), retention, "{name}");
        // 30 s is the service's default.
        let visibility = here["VisibilityTimeout"].as_u64().unwrap_or(30);
        assert_eq!(local_of("VisibilityTimeout"), visibility, "{name}");
        assert_eq!(here["FifoQueue"], Value::Null, "a FIFO queue has no delays of a message's own");
        match local.get("RedrivePolicy") {
            None => assert_eq!(here["RedrivePolicy"], Value::Null, "{name}"),
            Some(policy) => {
                let policy: Value = serde_json::from_str(policy).unwrap();
                let receives = &here["RedrivePolicy"]["maxReceiveCount"];
                let local = &policy["maxReceiveCount"];
                let local = local.as_u64().or_else(|| local.as_str()?.parse().ok());
                assert_eq!(receives.as_u64(), local, "{name}");
                let target = &here["RedrivePolicy"]["deadLetterTargetArn"];
                assert_eq!(*target, json!({ "Fn::GetAtt": "DeadLetterQueue.Arn" }));
                let local = policy["deadLetterTargetArn"].as_str().unwrap();
                assert!(local.ends_with("dead-letters"), "{local}");
            }
        }
    }
}

#[tokio::test]
async fn tables_are_those_of_the_schema() {
    let (template, stack) = (template(), stack().await);
    for (name, table) in
        [("SendsTable", &stack.config.sends_table), ("StateTable", &stack.config.state_table)]
    {
        let described = stack.dynamo.describe_table().table_name(table).send().await.unwrap();
        let described = described.table.unwrap();
        let keys: Value = described
            .key_schema()
            .iter()
            .map(|key| {
                let kind = key.key_type().as_str();
                json!({ "AttributeName": key.attribute_name(), "KeyType": kind })
            })
            .collect();
        let types: Value = described
            .attribute_definitions()
            .iter()
            .map(|attribute| {
                let kind = attribute.attribute_type().as_str();
                json!({ "AttributeName": attribute.attribute_name(), "AttributeType": kind })
            })
            .collect();
        let here = resource(&template, name);
        assert_eq!(here["KeySchema"], keys, "{name}");
        assert_eq!(here["AttributeDefinitions"], types, "{name}");
        assert_eq!(here["BillingMode"], "PAY_PER_REQUEST");
        // Neither an index that may lag nor one that would be billed.
        assert_eq!(here["GlobalSecondaryIndexes"], Value::Null);
        assert_eq!(template["Resources"][name]["DeletionPolicy"], "Retain");
        assert_eq!(here["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
        assert_eq!(here["DeletionProtectionEnabled"], json!({ "Ref": "DeletionProtection" }));
    }
    let expiry = json!({ "AttributeName": schema::EXPIRES_AT, "Enabled": true });
    assert_eq!(resource(&template, "SendsTable")["TimeToLiveSpecification"], expiry);
    assert_eq!(resource(&template, "StateTable")["TimeToLiveSpecification"], expiry);
}

/// The mapping hands each function's package and binary to the build.
#[test]
fn each_function_is_built_from_a_package_that_has_its_binary() {
    let template = template();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let functions: Vec<&String> = template["Resources"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(functions.len(), FUNCTIONS.len(), "{functions:?}");
    for name in functions {
        let resource = &template["Resources"][name];
        let folder = resource["Properties"]["CodeUri"].as_str().unwrap();
        let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
        let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{binary}\"")), "{name}: {folder}, {binary}");
    }
    assert!(WEBHOOK_TIMEOUT < Duration::from_secs(20), "Meta waits no longer");
}

/// The metric that this name in the template means.
fn metric(name: &str) -> Definition {
    let found = Metric::ALL.into_iter().map(Metric::definition).find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("nothing writes the metric {name}"))
}

/// Whether a statistic says what is meant of a metric of this kind.
fn fits(kind: Kind, statistic: &str) -> bool {
    match kind {
        Kind::Sum => statistic == "Sum",
        Kind::Lowest => statistic == "Minimum",
        Kind::Highest => statistic == "Maximum",
        Kind::Each => statistic == "Maximum" || statistic.starts_with('p'),
    }
}

fn alarms(template: &Value) -> BTreeMap<&String, &Value> {
    let resources = template["Resources"].as_object().unwrap().iter();
    resources
        .filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm")
        .map(|(name, resource)| (name, &resource["Properties"]))
        .collect()
}

#[test]
fn every_alarm_is_about_a_metric_that_is_written() {
    let template = template();
    let mut ours = 0;
    for (name, alarm) in alarms(&template) {
        if alarm["Namespace"] != NAMESPACE {
            continue;
        }
        ours += 1;
        let metric = metric(alarm["MetricName"].as_str().unwrap());
        let mut dimensions = vec![STACK];
        dimensions.extend(metric.dimension);
        let named: Vec<&str> = alarm["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["Name"].as_str().unwrap())
            .collect();
        assert_eq!(named, dimensions, "{name}: a series that is never written stays silent");
        assert_eq!(alarm["Dimensions"][0]["Value"], json!({ "Ref": "AWS::StackName" }), "{name}");
        assert!(fits(metric.kind, alarm["Statistic"].as_str().unwrap()), "{name}");
    }
    assert!(ours >= 7, "{ours} alarms of our own metrics");
    let signed = &resource(&template, "SignatureAlarm")["Metrics"][0]["MetricStat"]["Metric"];
    let forged = &signed["Dimensions"][1]["Value"];
    assert_eq!(*forged, *name_of(&SignatureError::Mismatch));
    // Release brings back what is overdue for longer, and a sender that died is made good before.
    let overdue = resource(&template, "OverdueAlarm")["Threshold"].as_u64().unwrap();
    let hidden = resource(&template, "SendQueue")["VisibilityTimeout"].as_u64().unwrap();
    assert!(hidden < overdue && overdue < OVERDUE.as_secs(), "{overdue}");
}

#[test]
fn every_alarm_tells_somebody_says_what_to_do_and_is_on_the_dashboard_and_in_the_runbook() {
    let template = template();
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/OPERATIONS.md");
    let runbook = fs::read_to_string(runbook).unwrap();
    let (_, dashboard) = dashboard(&template, Front::FunctionUrl);
    let shown = dashboard.to_string();
    let topic = json!([{ "Fn::If": ["HasAlarmTopic", { "Ref": "AlarmTopicArn" }, { "Ref": "AlarmTopic" }] }]);
    // Those that move an alias back act on the deployment alone; errors tell somebody by another.
    let (rollbacks, alarms): (Vec<_>, Vec<_>) =
        alarms(&template).into_iter().partition(|(name, _)| name.ends_with("RollbackAlarm"));
    assert_eq!((rollbacks.len(), alarms.len()), (6, 25));
    for (name, alarm) in alarms {
        assert_eq!(alarm["AlarmActions"], topic, "{name}");
        let text = alarm["AlarmDescription"].as_str().unwrap();
        // CloudWatch takes 1,024.
        assert!((100..1024).contains(&text.len()), "{name}: {text}");
        assert!(shown.contains(&format!("${{{name}.Arn}}")), "{name} is not on the dashboard");
        let row = name.strip_suffix("Alarm").unwrap();
        assert!(runbook.contains(&format!("| {row} |")), "{name} is not in OPERATIONS.md");
    }
}

/// What takes Meta's requests, as the dashboard's condition has it.
#[derive(Clone, Copy)]
enum Front {
    FunctionUrl = 1,
    HttpApi = 2,
}

/// The text of the dashboard behind a front, with its placeholders, and as JSON.
fn dashboard(template: &Value, front: Front) -> (String, Value) {
    let body = &resource(template, "Dashboard")["DashboardBody"]["Fn::Sub"];
    let requests = &body[1]["Requests"]["Fn::If"];
    assert_eq!(requests[0], "IsFunctionUrl");
    let requests = requests[front as usize]["Fn::Sub"].as_str().unwrap();
    let optional = |name: &str, condition: &str| {
        let part = &body[1][name]["Fn::If"];
        assert_eq!((&part[0], &part[2]), (&json!(condition), &json!("")));
        part[1]["Fn::Sub"].as_str().unwrap().to_owned()
    };
    let text = body[0].as_str().unwrap().replace("${Requests}", requests);
    let text = text.replace("${LinkAlarm}", &optional("LinkAlarm", "HasLinks"));
    let text = text.replace("${ConsoleAlarm}", &optional("ConsoleAlarm", "HasConsole"));
    let body = text.replace("${Links}", &optional("Links", "HasLinks"));
    let json = serde_json::from_str(&body).unwrap();
    (body, json)
}

/// The rows of the dashboard that count Meta's requests: namespace, metric, and what is counted.
#[test]
fn the_dashboard_shows_the_requests_of_the_front_in_use() {
    let template = template();
    let rows = |front| -> Vec<[String; 4]> {
        let (_, dashboard) = dashboard(&template, front);
        let widgets = dashboard["widgets"].as_array().unwrap();
        let title = |widget: &&Value| widget["properties"]["title"] == "Webhook";
        let webhook = widgets.iter().find(title).unwrap()["properties"]["metrics"].clone();
        let rows = webhook.as_array().unwrap().iter();
        let of_front = rows.filter(|row| row[0].as_str().is_some_and(|name| name != NAMESPACE));
        let texts =
            |row: &Value| [0, 1, 2, 3].map(|at: usize| row[at].as_str().unwrap().to_owned());
        of_front.map(texts).collect()
    };
    let url = ["UrlRequestCount", "Url4xxCount", "Url5xxCount"]
        .map(|name| ["AWS/Lambda", name, "FunctionName", "${WebhookFunction}"].map(str::to_owned));
    assert_eq!(rows(Front::FunctionUrl), url);
    let api = ["Count", "4xx", "5xx"]
        .map(|name| ["AWS/ApiGateway", name, "ApiId", "${HttpApi}"].map(str::to_owned));
    assert_eq!(rows(Front::HttpApi), api);
}

/// What a part of a search for series says: `MetricName="Denied"` for instance.
fn part<'t>(expression: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = expression.split_once(before).unwrap_or_else(|| panic!("{expression}"));
    rest.split_once(after).unwrap_or_else(|| panic!("{expression}")).0
}

#[test]
fn the_dashboard_shows_every_metric_that_is_written_and_no_other() {
    let template = template();
    let (text, dashboard) = dashboard(&template, Front::HttpApi);
    let mut shown = BTreeSet::new();
    for widget in dashboard["widgets"].as_array().unwrap() {
        let widget = &widget["properties"];
        for row in widget["metrics"].as_array().into_iter().flatten() {
            let options = row.as_array().unwrap().last().unwrap();
            let (name, statistic, dimensions) = match options["expression"].as_str() {
                Some(expression) => {
                    let series = part(expression, "SEARCH('{", "}");
                    let (namespace, dimensions) = series.split_once(',').unwrap();
                    assert_eq!(namespace, NAMESPACE);
                    assert_eq!(part(expression, "Stack=\"", "\""), "${AWS::StackName}");
                    let statistic = part(expression, "', '", "'");
                    (part(expression, "MetricName=\"", "\""), statistic, dimensions.to_owned())
                }
                None if row[0] == NAMESPACE => {
                    assert_eq!(row[3], "${AWS::StackName}");
                    let statistic = options["stat"].as_str().or(widget["stat"].as_str()).unwrap();
                    (row[1].as_str().unwrap(), statistic, row[2].as_str().unwrap().to_owned())
                }
                None => continue,
            };
            let metric = metric(name);
            assert!(fits(metric.kind, statistic), "{statistic} of {name}");
            let mut expected = vec![STACK];
            expected.extend(metric.dimension);
            assert_eq!(dimensions, expected.join(","), "{name}");
            shown.insert(metric.name);
        }
    }
    let written: BTreeSet<&str> = Metric::ALL.map(|metric| metric.definition().name).into();
    assert_eq!(shown, written);
    // What it names exists.
    for name in text.split("${").skip(1).filter_map(|rest| rest.split(['}', '.']).next()) {
        let is_known = name.starts_with("AWS::") || name.starts_with("!PROP(");
        assert!(is_known || template["Resources"][name].is_object(), "{name}");
    }
}

/// To Lambda, lines without a time are all of the level INFO.
#[test]
fn lambda_drops_no_line_whatever_its_level() {
    let template = template();
    for function in FUNCTIONS {
        let logging = &resource(&template, function)["LoggingConfig"];
        assert_eq!(
            (&logging["LogFormat"], &logging["ApplicationLogLevel"]),
            (&json!("JSON"), &json!("INFO"))
        );
    }
}

#[test]
fn what_samconfig_sets_the_template_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samconfig.toml");
    let config: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let template = template();
    let mut seen = BTreeSet::new();
    for (environment, of) in config.iter().filter(|(name, _)| *name != "version") {
        let deploy = &of["deploy"]["parameters"];
        assert!(seen.insert(deploy["stack_name"].as_str().unwrap().to_owned()), "{environment}");
        for set in deploy["parameter_overrides"].as_str().unwrap().split(' ') {
            let (name, value) = set.split_once('=').unwrap();
            let parameter = &template["Parameters"][name];
            assert!(parameter.is_object(), "{environment}: there is no parameter {name}");
            let allowed = parameter["AllowedValues"].as_array();
            let is_allowed = |allowed: &Value| match allowed {
                Value::String(text) => text == value,
                other => value.parse().ok() == other.as_u64(),
            };
            assert!(
                allowed.is_none_or(|allowed| allowed.iter().any(is_allowed)),
                "{environment}: {name} may not be {value}"
            );
        }
    }
    assert_eq!(seen.len(), 2, "development and production");
}
