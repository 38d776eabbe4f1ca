//! The stack: embedded DynamoDB and SQS and the simulated Graph API on loopback, tables and queues
//! made, accounts connected, and the five functions as one process would have them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use dynoxide::Database;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use spillway_cloud::config::{Config, GRAPH_VERSION};
use spillway_cloud::dead_letters::DeadLetters;
use spillway_cloud::dynamo::Table;
use spillway_cloud::emf::WriteLine;
use spillway_cloud::links::StoredLinks;
use spillway_cloud::schema;
use spillway_cloud::secrets::{SecretSource, SecretStore, Secrets, SecretsError, process_number};
use spillway_cloud::wiring::Wiring;
use spillway_console::{CommentReads, Shown};
use spillway_core::hold::NewToken;
use spillway_core::seed::seed;
use spillway_core::unknown::RetryUnknown;
use spillway_graph::GraphSim;
use spillway_link::{CLICK_PATIENCE, Redirect};
use spillway_meta::graph::GraphConfig;
use spillway_release::Releaser;
use spillway_sender::Sender;
use spillway_service::accounts_file::NewAccount;
use spillway_service::admin::Admin;
use spillway_service::admin::connect::{Connection, NewSettings};
use spillway_service::admin::derived::Deriver;
use spillway_service::clock::Clock;
use spillway_service::ingest::EntryKeys;
use spillway_service::links::LinkKeys;
use spillway_service::misses::MissSamples;
use spillway_service::port::LeadBus;
use spillway_sqs::{LongPoll, Sqs, redrive_policy};
use spillway_upkeep::Upkeep;
use spillway_webhook::Webhook;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::busy::Busy;
use crate::cloudwatch::{DeliveryMetrics, LambdaMetrics};
use crate::event_bus::{EventBus, LEAD_BUS};
use crate::fault_injector::FaultInjector;
use crate::keys::LocalKeys;
use crate::kms;
use crate::lineage::LoopDetection;
use crate::secrets_manager;

/// Names of the queues.
pub mod queues {
    /// Sends that have a slot.
    pub const SEND: &str = "spillway-send";
    /// What cannot be worked on.
    pub const DEAD_LETTERS: &str = "spillway-dead-letters";
    /// Accounts to release.
    pub const RELEASE: &str = "spillway-release";
}

/// The id of the app that people log in to; its secret is the stack's.
pub const APP: &str = "990";

/// How long a click is waited for in real time where the clock is stepped: it decides nothing.
const STEPPED_PATIENCE: Duration = Duration::from_secs(60);

/// What the console says of a story's times.
const VIRTUAL: &str = "This is a played story, and its clock is virtual: it races while the story plays, then goes on \
                       as yours does.";

const SENDS_TABLE: &str = "spillway-sends";
const STATE_TABLE: &str = "spillway-state";

/// How long a received message of the send queue stays hidden. These figures are those of
/// template.yaml; a test compares them.
const SEND_VISIBILITY_SECS: u32 = 180;
/// How long a received message of the release queue stays hidden.
const RELEASE_VISIBILITY_SECS: u32 = 360;
/// Receives after which a message of the send queue is a dead letter.
const RECEIVES_MAX: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// How long the send queue and the dead-letter queue keep a message.
const RETENTION_SECS: u32 = 14 * 24 * 3600;
/// How long the release queue does: the schedule names an account again while it is due.
const RELEASE_RETENTION_SECS: u32 = 900;

/// Whether time is real or stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Seconds are seconds.
    Real,
    /// The clock stands still unless it is stepped, nothing waits on a real timer, and the SDK does
    /// not retry.
    Stepped,
}

/// Ports to listen on; 0 lets the system choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The Graph API.
    pub graph: u16,
    /// DynamoDB.
    pub dynamodb: u16,
    /// SQS.
    pub sqs: u16,
    /// Tracked links.
    pub links: u16,
}

/// What a stack is made of.
#[derive(Clone)]
pub struct Blueprint {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// How it passes.
    pub pace: Pace,
    /// The accounts to connect.
    pub accounts: Vec<NewAccount>,
    /// Meta.
    pub graph: spillway_graph::GraphConfig,
    /// Ports.
    pub ports: Ports,
    /// What ids and tokens are drawn from; the process's randomness when `None`.
    pub seed: Option<u64>,
    /// Put between the use cases and their ports in each process, for tests that break something;
    /// [`std::convert::identity`] elsewhere.
    pub wrap: fn(Wiring) -> Wiring,
}

/// A running stack. The servers stop when it is dropped.
pub struct Stack {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// SQS, in process.
    pub sqs: Sqs,
    /// Meta, in process.
    pub graph: GraphSim,
    /// Between the functions and AWS.
    pub faults: FaultInjector,
    /// Between Lambda's pollers and SQS.
    pub poller_faults: FaultInjector,
    /// What Lambda counts of the functions.
    pub lambda_metrics: LambdaMetrics,
    /// What the functions have counted of deliveries.
    pub delivery_metrics: Arc<DeliveryMetrics>,
    /// Whether Secrets Manager gives nothing from now on.
    pub secret_gone: Arc<AtomicBool>,
    /// Where leads are told of.
    pub event_bus: Arc<EventBus>,
    /// What becomes of functions that enqueue for themselves.
    pub loops: LoopDetection,
    /// How time passes.
    pub pace: Pace,
    /// For how long invocations have kept a core busy.
    pub busy: Busy,
    /// Where things are.
    pub config: Config,
    /// What is secret: generated for this stack.
    pub secrets: Secrets,
    /// What makes and decrypts data keys.
    pub keys: Arc<LocalKeys>,
    /// DynamoDB's address.
    pub dynamodb_url: String,
    /// SQS's address.
    pub sqs_url: String,
    /// Administration, as the operator's tool does it: not counted.
    pub admin: Arc<Admin>,
    /// What derives why comments got nothing: not counted, but its reads are at Meta.
    pub deriver: Arc<Deriver>,
    /// The dead-letter queue for operators: not counted.
    pub dead_letters: Arc<DeadLetters>,
    /// DynamoDB for looks from outside: not counted.
    pub dynamo: aws_sdk_dynamodb::Client,
    /// SQS as Lambda's event source mapping uses it: counted, since AWS bills its requests too.
    pub poller: aws_sdk_sqs::Client,
    /// Where tracked links lead, until [`Stack::serve_links`] listens there.
    pub(crate) links: Mutex<Option<TcpListener>>,
    functions: Mutex<Arc<Functions>>,
    wire: Wire,
    comments_posted: AtomicU64,
    stop: watch::Sender<()>,
}

/// The functions of one process.
pub struct Functions {
    /// `functions/webhook`.
    pub webhook: Webhook,
    /// `functions/sender`.
    pub sender: Sender,
    /// `functions/release`.
    pub release: Releaser,
    /// `functions/upkeep`.
    pub upkeep: Upkeep,
    /// `functions/link`.
    pub link: Redirect,
}

/// What a process's functions are made of.
struct Wire {
    dynamo: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    processes: Mutex<u64>,
    secret_gone: Arc<AtomicBool>,
    event_bus: Arc<EventBus>,
    delivery_metrics: Arc<DeliveryMetrics>,
    link_url: String,
    link_keys: LinkKeys,
    click_patience: Duration,
    wrap: fn(Wiring) -> Wiring,
}

impl Stack {
    /// Starts everything.
    ///
    /// # Errors
    /// When a port is taken or a part does not start.
    pub fn start(blueprint: Blueprint) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            let Blueprint { clock, pace, accounts, graph, ports, seed: given, wrap } = blueprint;
            let root = match given {
                Some(given) => given,
                None => process_number()?,
            };
            let (stop, _) = watch::channel(());

            let (dynamodb_url, listener) = listen(ports.dynamodb).await?;
            let database = Database::memory().map_err(|error| anyhow!("DynamoDB: {error}"))?;
            let until = stopped(&stop);
            tokio::spawn(async move {
                if let Err(error) =
                    dynoxide::server::serve_with_shutdown(listener, database, until).await
                {
                    tracing::error!(%error, "DynamoDB stopped");
                }
            });

            let (sqs_url, listener) = listen(ports.sqs).await?;
            let long_poll = match pace {
                Pace::Real => LongPoll::Real,
                Pace::Stepped => LongPoll::Never,
            };
            let sqs = Sqs::new(clock.clone(), root, long_poll);
            tokio::spawn(spillway_sqs::serve(sqs.clone(), listener, stopped(&stop)));
            create_queues(&sqs)?;

            let (graph_url, listener) = listen(ports.graph).await?;
            let sim = GraphSim::new(graph, clock.clone());
            tokio::spawn(spillway_graph::serve(sim.clone(), listener, stopped(&stop)));

            let (link_url, links) = listen(ports.links).await?;
            let link_url = format!("{link_url}/");

            let queue_url = |name: &str| format!("{sqs_url}/{}/{name}", spillway_sqs::ACCOUNT);
            let config = Config {
                entry_keys: EntryKeys::default(),
                sends_table: SENDS_TABLE.into(),
                state_table: STATE_TABLE.into(),
                send_queue_url: queue_url(queues::SEND),
                dead_letter_queue_url: queue_url(queues::DEAD_LETTERS),
                release_queue_url: queue_url(queues::RELEASE),
                secret_id: secrets_manager::SECRET.into(),
                kms_key: kms::KEY.into(),
                stack: "local".into(),
                retry_unknown: RetryUnknown::default(),
                miss_samples: MissSamples::default(),
                link_url: Some(link_url.clone()),
                link_secret_id: Some(secrets_manager::LINK_SECRET.into()),
                lead_bus: Some(LEAD_BUS.into()),
                graph: GraphConfig { base_url: graph_url, version: GRAPH_VERSION.into() },
            };
            let draw = |what: &str| format!("{:016x}", seed(&[what, &root.to_string()]));
            let secrets = Secrets {
                app_secrets: vec![SecretString::from(draw("app secret") + &draw("app secret, 2"))],
                verify_tokens: vec![SecretString::from(draw("verify token"))],
            };

            let link_key = draw("link key") + &draw("link key, 2");
            let link_keys = LinkKeys::new(&[link_key.as_bytes()])?;

            if let Some(secret) = secrets.app_secrets.first() {
                sim.set_app(APP, secret.expose_secret());
            }

            let (faults, poller_faults) = (FaultInjector::default(), FaultInjector::default());
            let counted = Clients::new(&dynamodb_url, &sqs_url, pace, &faults);
            let poller = Clients::new(&dynamodb_url, &sqs_url, pace, &poller_faults);
            let outside = Clients::new(&dynamodb_url, &sqs_url, pace, &FaultInjector::default());
            schema::create_tables(&outside.dynamo, SENDS_TABLE, STATE_TABLE).await?;
            let keys = Arc::new(LocalKeys::default());
            let wiring = Wiring::new(
                &config,
                keys.clone(),
                &outside.dynamo,
                &outside.sqs,
                clock.clone(),
                process_number()?,
            )?;
            let delivery_metrics = Arc::<DeliveryMetrics>::default();
            let wiring = Wiring { counts: delivery_metrics.clone(), ..wiring };
            wiring.sample_keys.ensure().await?;
            let admin = Arc::new(wiring.admin());
            let deriver = Arc::new(wiring.deriver());
            let dead_letters = Arc::new(DeadLetters {
                client: outside.sqs.clone(),
                url: config.dead_letter_queue_url.clone(),
                send_url: config.send_queue_url.clone(),
            });
            for account in &accounts {
                let token = SecretString::from(format!("IGA{}", draw(account.id.as_str())));
                sim.add_account(account.id.clone(), token.expose_secret());
                let token = wiring.keys.seal(&account.id, &token).await?;
                let connection = Connection {
                    settings: &NewSettings::from(account),
                    token: &token,
                    lasts: None,
                    proof: NewToken::Untried,
                    app_scoped: None,
                };
                admin.accounts.connect(&connection).await?;
            }

            let secret_gone = Arc::<AtomicBool>::default();
            let event_bus = Arc::<EventBus>::default();
            let wire = Wire {
                dynamo: counted.dynamo,
                sqs: counted.sqs,
                processes: Mutex::new(root),
                secret_gone: secret_gone.clone(),
                event_bus: event_bus.clone(),
                delivery_metrics: delivery_metrics.clone(),
                link_url,
                link_keys,
                click_patience: match pace {
                    Pace::Real => CLICK_PATIENCE,
                    Pace::Stepped => STEPPED_PATIENCE,
                },
                wrap,
            };
            let functions = wire.process(&config, &secrets, keys.clone(), clock.clone())?;
            let functions = Mutex::new(Arc::new(functions));
            Ok(Self {
                clock,
                sqs,
                graph: sim,
                faults,
                poller_faults,
                lambda_metrics: LambdaMetrics::default(),
                delivery_metrics,
                secret_gone,
                event_bus,
                loops: LoopDetection::default(),
                pace,
                busy: Busy::new(),
                config,
                secrets,
                keys,
                dynamodb_url,
                sqs_url,
                admin,
                deriver,
                dead_letters,
                dynamo: outside.dynamo,
                poller: poller.sqs,
                links: Mutex::new(Some(links)),
                functions,
                wire,
                comments_posted: AtomicU64::new(0),
                stop,
            })
        })
    }

    /// Serves the console at this port until the stack is dropped, and returns the address to open.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn serve_console(&self, port: u16) -> BoxFuture<'_, Result<String>> {
        let shown = Shown {
            admin: self.admin.clone(),
            deriver: self.deriver.clone(),
            comment_reads: CommentReads::Here,
            dead_letters: self.dead_letters.clone(),
            deployment: "local stack".into(),
            notice: match self.pace {
                Pace::Real => None,
                Pace::Stepped => Some(VIRTUAL),
            },
        };
        let until = Box::pin(self.stopped());
        Box::pin(async move {
            let served = spillway_console::serve(shown, "somebody".into(), port, until).await;
            served.with_context(|| format!("cannot serve the console at port {port}"))
        })
    }

    /// The `sends` table, for use outside the functions.
    pub fn sends_table(&self) -> Table {
        Table::new(&self.dynamo, &self.config.sends_table)
    }

    /// The `state` table, for use outside the functions.
    pub fn state_table(&self) -> Table {
        Table::new(&self.dynamo, &self.config.state_table)
    }

    /// The functions of the process that is warm now.
    pub fn functions(&self) -> Arc<Functions> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process is gone, and with it all that it remembered: the next invocation meets a new
    /// one.
    ///
    /// # Errors
    /// When the functions cannot be built.
    pub fn replace_process(&self) -> Result<()> {
        let Self { config, secrets, keys, clock, .. } = self;
        let functions = self.wire.process(config, secrets, keys.clone(), clock.clone())?;
        *self.functions.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(functions);
        Ok(())
    }

    /// The wiring of a new process for operators, over clients that are counted.
    pub(crate) fn operators_wiring(&self) -> Result<Wiring> {
        let wiring = self.wire.wiring(&self.config, self.keys.clone(), self.clock.clone())?;
        Ok(Wiring { counts: self.delivery_metrics.clone(), ..wiring })
    }

    /// SQS as the functions use it.
    pub(crate) fn counted_sqs(&self) -> &aws_sdk_sqs::Client {
        &self.wire.sqs
    }

    /// The number of the next comment that somebody posts, from 1.
    pub(crate) fn next_comment(&self) -> u64 {
        self.comments_posted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Resolves when the stack is dropped.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        stopped(&self.stop)
    }
}

impl Wire {
    /// The wiring of a new process.
    fn wiring(
        &self,
        config: &Config,
        keys: Arc<LocalKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Wiring> {
        let process = {
            let mut next = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
            *next = next.wrapping_add(1);
            seed(&["process", &next.to_string()])
        };
        Ok(Wiring::new(config, keys, &self.dynamo, &self.sqs, clock, process)?)
    }

    fn process(
        &self,
        config: &Config,
        secrets: &Secrets,
        keys: Arc<LocalKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Functions> {
        let wiring = self.wiring(config, keys, clock.clone())?;
        let secret = LocalSecret { secrets: secrets.clone(), gone: self.secret_gone.clone() };
        let link_keys = || {
            let source = Arc::new(LocalLinkSecret(self.link_keys.clone()));
            SecretStore::new(source, clock.clone(), wiring.meter.clone())
        };
        let (links, redirected) =
            (StoredLinks::new(self.link_url.clone(), link_keys()), link_keys());
        let secrets = SecretStore::new(Arc::new(secret), clock, wiring.meter.clone());
        let lead_bus: Arc<dyn LeadBus> = self.event_bus.clone();
        let metrics = self.delivery_metrics.clone();
        let write_metrics: WriteLine = Arc::new(move |line| metrics.take(line));
        let wiring =
            Wiring { links: Arc::new(links), lead_bus: Some(lead_bus), write_metrics, ..wiring };
        let wiring = (self.wrap)(wiring);
        Ok(Functions {
            webhook: Webhook::new(&wiring, secrets),
            sender: Sender::new(&wiring),
            release: Releaser::new(&wiring),
            upkeep: Upkeep::new(&wiring),
            link: Redirect::new(redirected, wiring.clicks(), wiring.metrics(), self.click_patience),
        })
    }
}

/// In the place of Secrets Manager.
struct LocalSecret {
    secrets: Secrets,
    gone: Arc<AtomicBool>,
}

#[async_trait]
impl SecretSource for LocalSecret {
    async fn read(&self) -> Result<Secrets, SecretsError> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(SecretsError::Malformed("it is gone".into()));
        }
        Ok(self.secrets.clone())
    }
}

/// In the place of Secrets Manager.
struct LocalLinkSecret(LinkKeys);

#[async_trait]
impl SecretSource<LinkKeys> for LocalLinkSecret {
    async fn read(&self) -> Result<LinkKeys, SecretsError> {
        Ok(self.0.clone())
    }
}

/// A listener on loopback and its URL.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn listen(port: u16) -> Result<(String, TcpListener)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another port"))?;
    Ok((format!("http://{}", listener.local_addr()?), listener))
}

fn stopped(stop: &watch::Sender<()>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        // Nothing is ever sent: it resolves when the stack, which holds the sender, is dropped.
        let _ = stop.changed().await;
    }
}

fn create_queues(sqs: &Sqs) -> Result<()> {
    let create = |name: &str, attributes: &[(&str, String)]| {
        let attributes: BTreeMap<String, String> =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        sqs.create(name, &attributes).with_context(|| format!("cannot create the queue {name}"))
    };
    let kept = |secs: u32| ("MessageRetentionPeriod", secs.to_string());
    let hidden = |secs: u32| ("VisibilityTimeout", secs.to_string());
    create(queues::DEAD_LETTERS, &[kept(RETENTION_SECS)])?;
    let redrive = ("RedrivePolicy", redrive_policy(queues::DEAD_LETTERS, RECEIVES_MAX));
    create(queues::SEND, &[kept(RETENTION_SECS), hidden(SEND_VISIBILITY_SECS), redrive])?;
    create(queues::RELEASE, &[kept(RELEASE_RETENTION_SECS), hidden(RELEASE_VISIBILITY_SECS)])?;
    Ok(())
}

struct Clients {
    dynamo: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Clients {
    fn new(dynamodb_url: &str, sqs_url: &str, pace: Pace, faults: &FaultInjector) -> Self {
        // The embedded services check no signature; the SDK insists on making one.
        macro_rules! client {
            ($sdk:ident, $url:expr) => {{
                let retries = match pace {
                    Pace::Real => $sdk::config::retry::RetryConfig::standard(),
                    Pace::Stepped => $sdk::config::retry::RetryConfig::disabled(),
                };
                let config = $sdk::Config::builder()
                    .behavior_version($sdk::config::BehaviorVersion::latest())
                    .region($sdk::config::Region::new(spillway_sqs::REGION))
                    .credentials_provider($sdk::config::Credentials::new(
                        "local", "local", None, None, "local",
                    ))
                    .endpoint_url($url)
                    .retry_config(retries)
                    .http_client(faults.client())
                    .build();
                $sdk::Client::from_conf(config)
            }};
        }
        Self { dynamo: client!(aws_sdk_dynamodb, dynamodb_url), sqs: client!(aws_sdk_sqs, sqs_url) }
    }
}
