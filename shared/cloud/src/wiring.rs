//! The use cases wired to AWS: what each function builds once, and the local stack too.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;
use spillway_meta::graph::{GraphClient, GraphConfigError};
use spillway_service::app::App;
use spillway_service::clock::{Clock, ClockCheck, SystemClock};
use spillway_service::deliver::Deliver;
use spillway_service::directory::Directory;
use spillway_service::grant::GrantIds;
use spillway_service::ingest::{self, Ingest};
use spillway_service::limiter::Limiter;
use spillway_service::metrics::Meter;
use spillway_service::port::{
    Accounts, AppBudgets, Backlogs, Budgets, Cursors, Graph, ReleaseQueue, SendQueue, Sends,
};
use spillway_service::release::Release;

use crate::config::{Config, ConfigError};
use crate::dynamo::{
    DynamoAccounts, DynamoAppBudgets, DynamoBacklogs, DynamoBudgets, DynamoCursors, DynamoSends,
};
use crate::emf::{self, Metrics};
use crate::secrets::{Secrets, SecretsError, process_number};
use crate::server_date::ServerDate;
use crate::sqs::{SqsReleaseQueue, SqsSendQueue};

/// How long one try of an AWS call may take, and all its tries together: a small part of the
/// shortest function's 15 s, so that a hanging connection does not use up an invocation.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything the use cases stand on. Cheap to clone.
#[derive(Clone)]
pub struct Wiring {
    /// Connected accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Their budgets.
    pub budgets: Arc<dyn Budgets>,
    /// The app's budget.
    pub app: Arc<dyn AppBudgets>,
    /// Their pace cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Marks of accounts with waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// The queue of sends.
    pub queue: Arc<dyn SendQueue>,
    /// The queue of accounts to release.
    pub runs: Arc<dyn ReleaseQueue>,
    /// Meta.
    pub graph: Arc<dyn Graph>,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// What happens is recorded here.
    pub meter: Arc<Meter>,
    /// The deployment's name.
    pub stack: String,
    /// Takes the lines of metrics.
    pub write_metrics: fn(&str),
}

/// Why a function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The Graph client.
    #[error(transparent)]
    Graph(#[from] GraphConfigError),
}

impl Wiring {
    /// Wires everything to the given clients. Lines of metrics go nowhere.
    ///
    /// # Errors
    /// When the Graph client cannot be made of the configuration.
    pub fn new(
        config: &Config,
        secrets: &Secrets,
        dynamo: &aws_sdk_dynamodb::Client,
        sqs: &aws_sdk_sqs::Client,
        clock: Arc<dyn Clock>,
        process: u64,
    ) -> Result<Self, GraphConfigError> {
        let table = config.state_table.clone();
        let client = dynamo.clone();
        let meter = Arc::<Meter>::default();
        Ok(Self {
            accounts: Arc::new(DynamoAccounts {
                client: client.clone(),
                table: table.clone(),
                key: secrets.token_key.clone(),
            }),
            budgets: Arc::new(DynamoBudgets { client: client.clone(), table: table.clone() }),
            app: Arc::new(DynamoAppBudgets { client: client.clone(), table: table.clone() }),
            cursors: Arc::new(DynamoCursors { client: client.clone(), table: table.clone() }),
            sends: Arc::new(DynamoSends {
                client: client.clone(),
                sends: config.sends_table.clone(),
                state: table.clone(),
                meter: meter.clone(),
            }),
            backlogs: Arc::new(DynamoBacklogs { client, table }),
            queue: Arc::new(SqsSendQueue {
                client: sqs.clone(),
                url: config.send_queue_url.clone(),
                dead_letter_url: config.dead_letter_queue_url.clone(),
            }),
            runs: Arc::new(SqsReleaseQueue {
                client: sqs.clone(),
                url: config.release_queue_url.clone(),
            }),
            graph: Arc::new(GraphClient::new(config.graph.clone())?),
            ids: Arc::new(GrantIds::new(process)),
            clock,
            check: Arc::default(),
            meter,
            stack: config.stack.clone(),
            write_metrics: |_| (),
        })
    }

    /// Wires everything from the environment, as in Lambda, and loads the secrets.
    ///
    /// # Errors
    /// Names all that is missing.
    pub async fn from_env() -> Result<(Self, Secrets), StartError> {
        let config = Config::from_env()?;
        let aws = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(OPERATION_TIMEOUT)
                    .build(),
            )
            .load()
            .await;
        let secrets_manager = aws_sdk_secretsmanager::Client::new(&aws);
        let secrets = Secrets::load(&secrets_manager, &config.secret_id).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let check = Arc::<ClockCheck>::default();
        let server_date = ServerDate { clock: clock.clone(), check: check.clone() };
        let dynamo = aws_sdk_dynamodb::config::Builder::from(&aws).interceptor(server_date).build();
        let wiring = Self::new(
            &config,
            &secrets,
            &aws_sdk_dynamodb::Client::from_conf(dynamo),
            &aws_sdk_sqs::Client::new(&aws),
            clock,
            process_number()?,
        )?;
        let wiring = Self { check, write_metrics: emf::to_stdout, ..wiring };
        Ok((wiring, secrets))
    }

    /// The webhook function's use case.
    pub fn ingest(&self) -> Ingest {
        Ingest {
            directory: self.directory(),
            sends: self.sends.clone(),
            cursors: self.cursors.clone(),
            backlogs: self.backlogs.clone(),
            queue: self.queue.clone(),
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
            warm: ingest::Warm::default(),
        }
    }

    /// The sender function's use case.
    pub fn deliver(&self) -> Deliver {
        Deliver {
            directory: self.directory(),
            limiter: self.limiter(),
            cursors: self.cursors.clone(),
            sends: self.sends.clone(),
            backlogs: self.backlogs.clone(),
            queue: self.queue.clone(),
            graph: self.graph.clone(),
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
        }
    }

    /// What decides on budgets; also for other tools that share an account's token.
    pub fn limiter(&self) -> Limiter {
        let Self { ids, clock, check, meter, .. } = self.clone();
        let app = App::new(self.app.clone(), ids.clone(), clock.clone(), meter.clone());
        Limiter::new(self.budgets.clone(), app, ids, clock, check, meter)
    }

    /// The release function's use case.
    pub fn release(&self) -> Release {
        Release {
            directory: self.directory(),
            budgets: self.budgets.clone(),
            cursors: self.cursors.clone(),
            sends: self.sends.clone(),
            backlogs: self.backlogs.clone(),
            queue: self.queue.clone(),
            runs: self.runs.clone(),
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
        }
    }

    /// What writes down what a function's use case records.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            meter: self.meter.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            stack: self.stack.clone(),
            write: self.write_metrics,
        }
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::new(Directory::new(self.accounts.clone(), self.clock.clone()))
    }
}
