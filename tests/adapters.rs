//! The adapters of `shared/cloud` as a subject of the conformance cases, over whatever answers as
//! DynamoDB and SQS: tables and queues of its own, as `template.yaml` has them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::LocalBoxFuture;
use secrecy::{ExposeSecret, SecretString};
use spillway_cloud::config::{Config, GRAPH_URL, GRAPH_VERSION};
use spillway_cloud::dynamo::{DynamoAccounts, Table};
use spillway_cloud::schema;
use spillway_cloud::secrets::process_number;
use spillway_cloud::sqs::ReleaseMessage;
use spillway_cloud::wiring::Wiring;
use spillway_conformance::{Ports, Subject};
use spillway_core::id::AccountId;
use spillway_core::profile::Profile;
use spillway_core::quota::Limit;
use spillway_core::rules::{Rules, Terms};
use spillway_local::keys::LocalKeys;
use spillway_local::setup::EXAMPLE;
use spillway_meta::graph::GraphConfig;
use spillway_service::accounts_file::{self, NewAccount};
use spillway_service::clock::{Clock, SystemClock};
use spillway_service::ingest::EntryKeys;
use spillway_service::port::AccountChanges;
use spillway_service::send_task::SendTask;

fn example() -> NewAccount {
    accounts_file::parse(EXAMPLE, &Profile::careful()).unwrap().remove(0)
}

/// Clients of services on this machine, which check no signature.
#[allow(dead_code, reason = "only the other target's services have all five")]
pub(crate) struct Clients {
    pub(crate) dynamo: aws_sdk_dynamodb::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) events: aws_sdk_eventbridge::Client,
}

impl Clients {
    pub(crate) fn new(dynamodb_url: &str, others_url: &str) -> Self {
        macro_rules! client {
            ($sdk:ident, $url:expr) => {{
                let config = $sdk::Config::builder()
                    .behavior_version($sdk::config::BehaviorVersion::latest())
                    .http_client(spillway_cloud::http::client())
                    .region($sdk::config::Region::new("us-east-1"))
                    .credentials_provider($sdk::config::Credentials::new(
                        "local", "local", None, None, "local",
                    ))
                    .endpoint_url($url)
                    .build();
                $sdk::Client::from_conf(config)
            }};
        }
        Self {
            dynamo: client!(aws_sdk_dynamodb, dynamodb_url),
            sqs: client!(aws_sdk_sqs, others_url),
            kms: client!(aws_sdk_kms, others_url),
            secrets: client!(aws_sdk_secretsmanager, others_url),
            events: client!(aws_sdk_eventbridge, others_url),
        }
    }
}

/// Makes a queue and gives its URL.
pub(crate) async fn create_queue(
    sqs: &aws_sdk_sqs::Client,
    name: &str,
    attributes: &[(QueueAttributeName, &str)],
) -> String {
    let mut create = sqs.create_queue().queue_name(name);
    for (attribute, value) in attributes {
        create = create.attributes(attribute.clone(), *value);
    }
    create.send().await.unwrap().queue_url.unwrap()
}

/// What can be received now; it is deleted.
pub(crate) async fn take(sqs: &aws_sdk_sqs::Client, url: &str) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        let receive = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let received = receive.send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            return taken;
        }
        for message in received {
            let handle = message.receipt_handle.unwrap();
            sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
            taken.push(message.body.unwrap());
        }
    }
}

/// The adapters, with tables and queues that nobody else uses.
pub(crate) struct Adapters {
    pub(crate) clients: Clients,
    pub(crate) config: Config,
    pub(crate) wiring: Wiring,
    accounts: DynamoAccounts,
    connected: AccountId,
    ports: Ports,
}

impl Adapters {
    pub(crate) async fn new(clients: Clients) -> Self {
        let process = process_number().unwrap();
        let name = |what: &str| format!("spillway-{process:016x}-{what}");
        let (sends, state) = (name("sends"), name("state"));
        schema::create_tables(&clients.dynamo, &sends, &state).await.unwrap();
        let url = async |what: &str| create_queue(&clients.sqs, &name(what), &[]).await;
        let config = Config {
            entry_keys: EntryKeys::default(),
            sends_table: sends,
            state_table: state.clone(),
            send_queue_url: url("send").await,
            dead_letter_queue_url: url("dead-letters").await,
            release_queue_url: url("release").await,
            secret_id: "none".into(),
            kms_key: "none".into(),
            stack: "none".into(),
            retry_unknown: Default::default(),
            miss_samples: Default::default(),
            link_url: None,
            link_secret_id: None,
            // So that leads are untold.
            lead_bus: Some("none".into()),
            graph: GraphConfig { base_url: GRAPH_URL.into(), version: GRAPH_VERSION.into() },
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let Clients { dynamo, sqs, .. } = &clients;
        let keys = Arc::<LocalKeys>::default();
        let wiring = Wiring::new(&config, keys, dynamo, sqs, clock, process).unwrap();
        let accounts = DynamoAccounts { table: Table::new(dynamo, state) };
        let account = example();
        let token = wiring.keys.seal(&account.id, &SecretString::from("token")).await.unwrap();
        accounts.connect(&account.id, &account.rules, &token, &account.campaigns).await.unwrap();
        let ports = Ports {
            accounts: wiring.accounts.clone(),
            changes: wiring.changes.clone(),
            budgets: wiring.budgets.clone(),
            app: wiring.app.clone(),
            cursors: wiring.cursors.clone(),
            sends: wiring.sends.clone(),
            ledger: wiring.ledger.clone(),
            backlogs: wiring.backlogs.clone(),
            queue: wiring.queue.clone(),
            runs: wiring.runs.clone(),
            removal: wiring.removal.clone(),
            deletions: wiring.deletions.clone(),
            aliases: wiring.maintenance.clone(),
            misses: wiring.misses.clone(),
            conversations: wiring.conversations.clone(),
            leads: wiring.leads.clone(),
            maintenance: wiring.maintenance.clone(),
            clock: wiring.clock.clone(),
        };
        Self { clients, config, wiring, accounts, connected: account.id, ports }
    }
}

#[async_trait]
impl Subject for Adapters {
    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn connected(&self) -> AccountId {
        self.connected.clone()
    }

    async fn connect_again(&self) {
        let NewAccount { id, rules, campaigns, .. } = example();
        let token = self.wiring.keys.seal(&id, &SecretString::from("token")).await.unwrap();
        self.accounts.connect(&id, &rules, &token, &campaigns).await.unwrap();
    }

    async fn take_sends(&self) -> Vec<SendTask> {
        let bodies = take(&self.clients.sqs, &self.config.send_queue_url).await;
        bodies.iter().map(|body| SendTask::decode(body).unwrap()).collect()
    }

    async fn take_runs(&self) -> Vec<AccountId> {
        let bodies = take(&self.clients.sqs, &self.config.release_queue_url).await;
        let account = |body: &String| {
            let ReleaseMessage::V1 { account } = serde_json::from_str(body).unwrap();
            account
        };
        bodies.iter().map(account).collect()
    }

    async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Runs `work` on a runtime of its own, where what it has spawned goes on beside it.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// Puts new adapters over these services through a case.
pub(crate) async fn put_through(
    clients: Clients,
    case: impl for<'a> Fn(&'a dyn Subject) -> LocalBoxFuture<'a, ()>,
) {
    case(&Adapters::new(clients).await).await;
}

/// What only the adapters can be asked: beside the ports, how accounts get there and where letters
/// lie that nobody can read.
pub(crate) async fn beside_the_ports(clients: Clients) {
    let adapters = Adapters::new(clients).await;
    let Wiring { accounts, app, queue, keys, .. } = &adapters.wiring;
    let id = AccountId::new("17841400000000099");
    assert!(accounts.load(&id).await.unwrap().is_none());
    let new = example();
    // With these it may exceed its share of the app's.
    let mut profile = Profile::careful();
    profile.quotas[0].limit = Limit::Fixed(NonZeroU32::new(400).unwrap());
    let leasing = Rules::new(profile, Terms::default()).unwrap();
    for (token, rules) in [("first", &new.rules), ("second", &leasing), ("third", &leasing)] {
        let sealed = keys.seal(&id, &SecretString::from(token)).await.unwrap();
        adapters.accounts.connect(&id, rules, &sealed, &new.campaigns).await.unwrap();
        let account = accounts.load(&id).await.unwrap().unwrap();
        keys.prepare(&id, &account.token).await.unwrap();
        assert_eq!(keys.open(&id, &account.token).unwrap().expose_secret(), token);
        assert_eq!(account.rules, *rules);
        assert_eq!(account.campaigns.iter().count(), new.campaigns.len());
        let leases = u32::from(*rules == leasing);
        assert_eq!(app.load().await.unwrap().leasing, leases);
    }

    let bodies = ["hello", "{\"v\":\"2\"}", "ñandú 🦤 \"\\", " ", "x\ty\nz"];
    for body in bodies {
        queue.dead_letter(body).await.unwrap();
    }
    let mut letters = take(&adapters.clients.sqs, &adapters.config.dead_letter_queue_url).await;
    letters.sort_unstable();
    let mut bodies = bodies.to_vec();
    bodies.sort_unstable();
    assert_eq!(letters, bodies);
}
