//! The use cases wired to AWS: what each function builds once, and the local stack too.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;
use futures::future::BoxFuture;
use spillway_core::unknown::RetryUnknown;
use spillway_meta::graph::{GraphClient, GraphConfigError};
use spillway_service::account_cache::AccountCache;
use spillway_service::admin::Admin;
use spillway_service::admin::accounts::AccountAdmin;
use spillway_service::admin::derived::Deriver;
use spillway_service::admin::leads::LeadAdmin;
use spillway_service::admin::listing::Listings;
use spillway_service::admin::misses::MissAdmin;
use spillway_service::admin::outbound::OutboundAdmin;
use spillway_service::admin::outcomes::OutcomeAdmin;
use spillway_service::admin::overview::Overviews;
use spillway_service::admin::reception::{Counts, NoCounts, Receptions};
use spillway_service::admin::removal::Remover;
use spillway_service::admin::sends::{Ledger, SendAdmin};
use spillway_service::app::App;
use spillway_service::clicks::ClickTaker;
use spillway_service::clock::{Clock, ClockCheck, SystemClock};
use spillway_service::converse::Converse;
use spillway_service::deliver::Deliver;
use spillway_service::echo::Echoes;
use spillway_service::endings::Endings;
use spillway_service::gateway::Gateway;
use spillway_service::grant::GrantIds;
use spillway_service::ingest::{self, EntryKeys, Ingest};
use spillway_service::leads::{LeadCollector, LeadTeller};
use spillway_service::limiter::Limiter;
use spillway_service::links::LinkKeys;
use spillway_service::metrics::Meter;
use spillway_service::misses::{MissCounter, MissSamples};
use spillway_service::owner::Owners;
use spillway_service::placing::Placing;
use spillway_service::port::{
    AccountChanges, AccountGraph, Accounts, AppBudgets, Backlogs, Budgets, Clicks, CommentReader,
    Conversations, Cursors, Deletions, EchoWatches, Graph, Journal, LeadBus, Leads, Links, Misses,
    NoLinks, Read, ReleaseQueue, Removal, SendQueue, Sends, Tokens,
};
use spillway_service::release::Release;
use spillway_service::upkeep::Upkeeper;
use tracing::warn;

use crate::cloudwatch::CloudWatch;
use crate::config::{Config, ConfigError};
use crate::dead_letters::DeadLetters;
use crate::dynamo::{
    DynamoAccounts, DynamoAppBudgets, DynamoBacklogs, DynamoBudgets, DynamoConversations,
    DynamoCursors, DynamoDeletions, DynamoEchoWatches, DynamoJournal, DynamoLeads,
    DynamoMaintenance, DynamoMisses, DynamoRemoval, DynamoSends, DynamoTokens, Table,
};
use crate::emf::{self, Metrics, WriteLine};
use crate::http;
use crate::lead_bus::EventBridge;
use crate::links::StoredLinks;
use crate::meta::graph::MetaGraph;
use crate::sample_keys::SampleKeys;
use crate::secrets::{
    ConsoleSecret, ConsoleSecrets, LinkSecret, SecretStore, SecretsError, SecretsManager,
    process_number,
};
use crate::server_date::ServerDate;
use crate::sqs::{SqsReleaseQueue, SqsSendQueue};
use crate::token::{KeyService, Kms, TokenKeys};

/// How long one try of an AWS call may take, and all its tries together: a small part of the
/// shortest function's 15 s, so that a hanging connection does not use up an invocation.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything the use cases need. Cheap to clone.
#[derive(Clone)]
pub struct Wiring {
    /// Connected accounts.
    pub accounts: Arc<dyn Accounts>,
    /// The accounts' budgets.
    pub budgets: Arc<dyn Budgets>,
    /// The app's budget.
    pub app: Arc<dyn AppBudgets>,
    /// Their pace cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Marks of accounts with waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Watches for echoes.
    pub watches: Arc<dyn EchoWatches>,
    /// What is kept of conversations.
    pub conversations: Arc<dyn Conversations>,
    /// How often a DM is repeated that was shown not to have arrived.
    pub retry_unknown: RetryUnknown,
    /// Their comments that match nothing.
    pub misses: Arc<dyn Misses>,
    /// Whether samples of these are kept.
    pub miss_samples: MissSamples,
    /// E-mail addresses that people gave them.
    pub leads: Arc<dyn Leads>,
    /// Where upkeep tells of these; `None` where there is no event bus.
    pub lead_bus: Option<Arc<dyn LeadBus>>,
    /// What writes tracked links.
    pub links: Arc<dyn Links>,
    /// Their journals.
    pub journal: Arc<dyn Journal>,
    /// Their tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Which accounts upkeep visits.
    pub maintenance: Arc<DynamoMaintenance>,
    /// What changes them by hand.
    pub changes: Arc<dyn AccountChanges>,
    /// What removes them.
    pub removal: Arc<dyn Removal>,
    /// Their owners' requests for deletion.
    pub deletions: Arc<dyn Deletions>,
    /// Their sends with all that is kept of those that have ended.
    pub ledger: Arc<dyn Ledger>,
    /// The queue of sends.
    pub queue: Arc<dyn SendQueue>,
    /// The queue of accounts to release.
    pub runs: Arc<dyn ReleaseQueue>,
    /// Meta.
    pub graph: Arc<dyn Graph>,
    /// Meta, for upkeep.
    pub account_graph: Arc<dyn AccountGraph>,
    /// Reads of comments, for operators.
    pub comment_reader: Arc<dyn CommentReader>,
    /// The data keys of account tokens.
    pub keys: Arc<TokenKeys>,
    /// The key pairs that samples and leads are sealed to.
    pub sample_keys: Arc<SampleKeys>,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// Records what happens.
    pub meter: Arc<Meter>,
    /// Under which keys entries are made.
    pub entry_keys: EntryKeys,
    /// The deployment's name.
    pub stack: String,
    /// Takes the lines of metrics.
    pub write_metrics: WriteLine,
    /// What the metrics have counted, for operators.
    pub counts: Arc<dyn Counts>,
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
    /// A bug.
    #[error("starting panicked: this is a bug; standard error says where")]
    Panicked,
}

/// The environment of a function on AWS.
pub struct Environment {
    config: Config,
    aws: aws_config::SdkConfig,
    clock: Arc<dyn Clock>,
}

impl Environment {
    /// Reads it.
    ///
    /// # Errors
    /// Names every variable that is missing or empty.
    pub fn load() -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(async move {
            let config = Config::from_env()?;
            let aws = aws_config::defaults(aws_config::BehaviorVersion::latest())
                .http_client(http::client())
                .timeout_config(
                    TimeoutConfig::builder()
                        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                        .operation_timeout(OPERATION_TIMEOUT)
                        .build(),
                )
                .load()
                .await;
            Ok(Self { config, aws, clock: Arc::new(SystemClock::new()) })
        })
    }

    /// Wires the use cases to it.
    ///
    /// # Errors
    /// Fails if the Graph client cannot be made, or there is no randomness.
    pub fn wiring(&self) -> Result<Wiring, StartError> {
        let check = Arc::<ClockCheck>::default();
        let server_date = ServerDate { clock: self.clock.clone(), check: check.clone() };
        let dynamo =
            aws_sdk_dynamodb::config::Builder::from(&self.aws).interceptor(server_date).build();
        let kms =
            Kms { client: aws_sdk_kms::Client::new(&self.aws), key: self.config.kms_key.clone() };
        let wiring = Wiring::new(
            &self.config,
            Arc::new(kms),
            &aws_sdk_dynamodb::Client::from_conf(dynamo),
            &aws_sdk_sqs::Client::new(&self.aws),
            self.clock.clone(),
            process_number()?,
        )?;
        let counts = CloudWatch::new(&self.aws, None, &self.config.stack, self.clock.clone());
        let counts: Arc<dyn Counts> = match counts {
            Some(counts) => Arc::new(counts),
            None => Arc::new(NoCounts),
        };
        Ok(Wiring { check, write_metrics: Arc::new(emf::to_stdout), counts, ..wiring })
    }

    /// The Meta app's secrets. Readings that fail are recorded with what `wiring` records.
    pub fn secrets(&self, wiring: &Wiring) -> SecretStore {
        let client = aws_sdk_secretsmanager::Client::new(&self.aws);
        let source = SecretsManager { client, id: self.config.secret_id.clone() };
        SecretStore::new(Arc::new(source), self.clock.clone(), wiring.meter.clone())
    }

    /// The same with what writes tracked links, where the deployment has them: for the sender.
    pub fn with_links(&self, wiring: Wiring) -> Wiring {
        let (Some(base), Some(keys)) = (self.config.link_url.clone(), self.link_keys(&wiring))
        else {
            return wiring;
        };
        Wiring { links: Arc::new(StoredLinks::new(base, keys)), ..wiring }
    }

    /// The same with the event bus for leads, where the deployment has one: for upkeep.
    pub fn with_lead_bus(&self, wiring: Wiring) -> Wiring {
        let Some(bus) = self.config.lead_bus.clone() else { return wiring };
        let client = aws_sdk_eventbridge::Client::new(&self.aws);
        Wiring { lead_bus: Some(Arc::new(EventBridge { client, bus })), ..wiring }
    }

    /// The keys of tracked links, for what redirects them.
    ///
    /// # Errors
    /// Fails if the environment does not name their secret.
    pub fn required_link_keys(&self, wiring: &Wiring) -> Result<SecretStore<LinkKeys>, StartError> {
        let missing = vec![("SPILLWAY_LINK_SECRET_ID", "name or ARN of the secret of links")];
        Ok(self.link_keys(wiring).ok_or(ConfigError { missing })?)
    }

    /// The secrets of the console, in the secret of this name or ARN.
    pub fn console_secrets(&self, wiring: &Wiring, id: String) -> SecretStore<ConsoleSecrets> {
        let client = aws_sdk_secretsmanager::Client::new(&self.aws);
        let source = ConsoleSecret(SecretsManager { client, id });
        SecretStore::new(Arc::new(source), self.clock.clone(), wiring.meter.clone())
    }

    /// The dead-letter queue, for operators.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters {
            client: aws_sdk_sqs::Client::new(&self.aws),
            url: self.config.dead_letter_queue_url.clone(),
            send_url: self.config.send_queue_url.clone(),
        }
    }

    fn link_keys(&self, wiring: &Wiring) -> Option<SecretStore<LinkKeys>> {
        let client = aws_sdk_secretsmanager::Client::new(&self.aws);
        let id = self.config.link_secret_id.clone()?;
        let source = LinkSecret(SecretsManager { client, id });
        Some(SecretStore::new(Arc::new(source), self.clock.clone(), wiring.meter.clone()))
    }
}

impl Wiring {
    /// Wires everything to the given clients. Lines of metrics go nowhere.
    ///
    /// # Errors
    /// Fails if the Graph client cannot be made of the configuration.
    pub fn new(
        config: &Config,
        service: Arc<dyn KeyService>,
        dynamo: &aws_sdk_dynamodb::Client,
        sqs: &aws_sdk_sqs::Client,
        clock: Arc<dyn Clock>,
        process: u64,
    ) -> Result<Self, GraphConfigError> {
        let table = Table::new(dynamo, &config.state_table);
        let sends = Table::new(dynamo, &config.sends_table);
        let sample_keys = SampleKeys::new(table.clone(), service.clone(), clock.clone());
        let keys = Arc::new(TokenKeys::new(table.clone(), service));
        let meter = Arc::<Meter>::default();
        let graph = GraphClient::new(config.graph.clone())?;
        let graph = Arc::new(MetaGraph { client: graph, keys: keys.clone() });
        let accounts = Arc::new(DynamoAccounts { table: table.clone() });
        let conversations = DynamoConversations { state: table.clone(), sends: sends.clone() };
        let sends = Arc::new(DynamoSends { sends, state: table.clone(), meter: meter.clone() });
        Ok(Self {
            accounts: accounts.clone(),
            changes: accounts,
            budgets: Arc::new(DynamoBudgets { table: table.clone() }),
            app: Arc::new(DynamoAppBudgets { table: table.clone() }),
            cursors: Arc::new(DynamoCursors { table: table.clone() }),
            sends: sends.clone(),
            ledger: sends,
            misses: Arc::new(DynamoMisses { table: table.clone() }),
            leads: Arc::new(DynamoLeads {
                table: table.clone(),
                are_told: config.lead_bus.is_some(),
            }),
            lead_bus: None,
            miss_samples: config.miss_samples,
            links: Arc::new(NoLinks),
            journal: Arc::new(DynamoJournal { table: table.clone() }),
            tokens: Arc::new(DynamoTokens { table: table.clone() }),
            maintenance: Arc::new(DynamoMaintenance { table: table.clone() }),
            removal: Arc::new(DynamoRemoval { table: table.clone() }),
            deletions: Arc::new(DynamoDeletions { table: table.clone() }),
            watches: Arc::new(DynamoEchoWatches { table: table.clone() }),
            conversations: Arc::new(conversations),
            retry_unknown: config.retry_unknown,
            backlogs: Arc::new(DynamoBacklogs { table }),
            queue: Arc::new(SqsSendQueue {
                client: sqs.clone(),
                url: config.send_queue_url.clone(),
                dead_letter_url: config.dead_letter_queue_url.clone(),
            }),
            runs: Arc::new(SqsReleaseQueue {
                client: sqs.clone(),
                url: config.release_queue_url.clone(),
            }),
            graph: graph.clone(),
            account_graph: graph.clone(),
            comment_reader: graph,
            keys,
            sample_keys: Arc::new(sample_keys),
            ids: Arc::new(GrantIds::new(process)),
            clock,
            check: Arc::default(),
            meter,
            entry_keys: config.entry_keys,
            stack: config.stack.clone(),
            write_metrics: Arc::new(|_| ()),
            counts: Arc::new(NoCounts),
        })
    }

    /// Opens the connection to DynamoDB, whose answer also tells whether the clock is right. An
    /// error is the first event's to meet.
    pub fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.app.load().await {
                warn!(%error, "DynamoDB not reached while starting");
            }
        })
    }

    /// Also has the newest data key decrypted, and what writes links read: for the sender.
    pub fn warm_with_key(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let ((), key, linker) =
                futures::join!(self.warm(), self.keys.warm(), self.links.linker());
            if let Err(error) = key.and(linker.map(drop)) {
                warn!(%error, "not every key was read while starting");
            }
        })
    }

    /// Opens the connection to DynamoDB by a read that [`Self::clicks`] makes too, since it may make
    /// no other.
    pub fn warm_for_clicks(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let nobody = ("0".into(), "0".into());
            let read = self.conversations.load(&nobody.0, &nobody.1, Read::Eventual);
            if let Err(error) = read.await {
                warn!(%error, "DynamoDB not reached while starting");
            }
        })
    }

    /// The webhook function's use case.
    pub fn ingest(&self) -> Ingest {
        let account_cache = self.account_cache();
        let placing = self.placing();
        let converse = self.converse(placing.clone());
        let endings = self.endings(converse.clone());
        Ingest {
            sends: self.sends.clone(),
            placing,
            converse,
            last_seen: self.maintenance.clone(),
            misses: MissCounter::new(
                self.misses.clone(),
                self.sample_keys.clone(),
                self.miss_samples,
                self.ids.clone(),
                self.clock.clone(),
            ),
            echoes: Echoes::new(
                endings,
                account_cache.clone(),
                self.watches.clone(),
                self.journal.clone(),
            ),
            account_cache,
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
            entry_keys: self.entry_keys,
            warm: ingest::Warm::new(&self.clock),
        }
    }

    /// The link function's use case.
    pub fn clicks(&self) -> Arc<dyn Clicks> {
        let account_cache = self.account_cache();
        Arc::new(ClickTaker { account_cache, converse: self.converse(self.placing()) })
    }

    /// What stores the e-mail addresses that people give.
    pub fn leads(&self) -> LeadCollector {
        LeadCollector { store: self.leads.clone(), sealer: self.sample_keys.clone() }
    }

    /// What tells of these, where there is an event bus.
    pub fn lead_teller(&self) -> Option<LeadTeller> {
        Some(LeadTeller {
            store: self.leads.clone(),
            opener: self.sample_keys.clone(),
            bus: self.lead_bus.clone()?,
            account_cache: self.account_cache(),
            clock: self.clock.clone(),
        })
    }

    /// The sender function's use case.
    pub fn deliver(&self) -> Deliver {
        let account_cache = self.account_cache();
        Deliver {
            gateway: self.gateway_over(account_cache.clone()),
            account_cache,
            cursors: self.cursors.clone(),
            sends: self.sends.clone(),
            backlogs: self.backlogs.clone(),
            queue: self.queue.clone(),
            graph: self.graph.clone(),
            watches: self.watches.clone(),
            retry_unknown: self.retry_unknown,
            links: self.links.clone(),
            endings: self.endings(self.converse(self.placing())),
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
            entry_keys: self.entry_keys,
        }
    }

    fn placing(&self) -> Arc<Placing> {
        let Self { sends, cursors, backlogs, queue, ids, meter, .. } = self.clone();
        Arc::new(Placing::new(sends, cursors, backlogs, queue, ids, &self.clock, meter))
    }

    fn converse(&self, placing: Arc<Placing>) -> Arc<Converse> {
        let Self { conversations, sends, clock, check, meter, .. } = self.clone();
        let leads = self.leads();
        Arc::new(Converse { conversations, sends, placing, leads, clock, check, meter })
    }

    fn endings(&self, converse: Arc<Converse>) -> Endings {
        let Self { sends, backlogs, ids, clock, check, meter, .. } = self.clone();
        Endings::new(sends, backlogs, converse, ids, clock, check, meter)
    }

    /// What decides on budgets; also for other tools that share an account's token.
    pub fn limiter(&self) -> Limiter {
        self.limiter_over(self.account_cache())
    }

    fn limiter_over(&self, account_cache: Arc<AccountCache>) -> Limiter {
        let Self { ids, clock, check, meter, .. } = self.clone();
        let app = App::new(self.app.clone(), ids.clone(), clock.clone(), meter.clone());
        Limiter::new(account_cache, self.budgets.clone(), app, ids, clock, check, meter)
            .with_journal(self.journal.clone())
    }

    /// What calls Meta in an account's name.
    pub fn gateway(&self) -> Gateway {
        self.gateway_over(self.account_cache())
    }

    fn gateway_over(&self, account_cache: Arc<AccountCache>) -> Gateway {
        Gateway {
            limiter: self.limiter_over(account_cache),
            backlogs: self.backlogs.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
        }
    }

    /// The release function's use case.
    pub fn release(&self) -> Release {
        Release {
            account_cache: self.account_cache(),
            budgets: self.budgets.clone(),
            app: self.app.clone(),
            cursors: self.cursors.clone(),
            sends: self.sends.clone(),
            backlogs: self.backlogs.clone(),
            watches: self.watches.clone(),
            retry_unknown: self.retry_unknown,
            queue: self.queue.clone(),
            runs: self.runs.clone(),
            endings: self.endings(self.converse(self.placing())),
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
        }
    }

    /// The upkeep function's use case.
    pub fn upkeep(&self) -> Upkeeper {
        let account_cache = self.account_cache();
        Upkeeper {
            gateway: self.gateway_over(account_cache.clone()),
            account_cache,
            budgets: self.budgets.clone(),
            cursors: self.cursors.clone(),
            backlogs: self.backlogs.clone(),
            maintenance: self.maintenance.clone(),
            changes: self.changes.clone(),
            tokens: self.tokens.clone(),
            remover: Remover {
                removal: self.removal.clone(),
                deletions: self.deletions.clone(),
                tokens: self.tokens.clone(),
                maintenance: self.maintenance.clone(),
                backlogs: self.backlogs.clone(),
                misses: self.misses.clone(),
                leads: self.leads.clone(),
                conversations: self.conversations.clone(),
                journal: self.journal.clone(),
                clock: self.clock.clone(),
            },
            journal: self.journal.clone(),
            graph: self.account_graph.clone(),
            intake: Arc::new(self.ingest()),
            clock: self.clock.clone(),
            check: self.check.clone(),
            meter: self.meter.clone(),
        }
    }

    /// What writes down the requests of accounts' owners.
    pub fn owners(&self) -> Owners {
        Owners {
            accounts: self.accounts.clone(),
            aliases: self.maintenance.clone(),
            tokens: self.tokens.clone(),
            deletions: self.deletions.clone(),
            upkeep: self.maintenance.clone(),
            clock: self.clock.clone(),
        }
    }

    /// What operators do.
    pub fn admin(&self) -> Admin {
        let sends = Arc::new(SendAdmin {
            sends: self.sends.clone(),
            ledger: self.ledger.clone(),
            misses: self.misses.clone(),
            leads: self.leads.clone(),
            conversations: self.conversations.clone(),
            backlogs: self.backlogs.clone(),
            ids: self.ids.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
        });
        Admin {
            accounts: AccountAdmin {
                accounts: self.accounts.clone(),
                changes: self.changes.clone(),
                removal: self.removal.clone(),
                deletions: self.deletions.clone(),
                sends: sends.clone(),
                tokens: self.tokens.clone(),
                budgets: self.budgets.clone(),
                app: self.app.clone(),
                limiter: Arc::new(self.limiter()),
                backlogs: self.backlogs.clone(),
                maintenance: self.maintenance.clone(),
                journal: self.journal.clone(),
                clock: self.clock.clone(),
            },
            sends,
            outbound: OutboundAdmin {
                conversations: self.conversations.clone(),
                sends: self.sends.clone(),
                backlogs: self.backlogs.clone(),
                journal: self.journal.clone(),
                ids: self.ids.clone(),
                clock: self.clock.clone(),
                check: self.check.clone(),
            },
            overviews: Overviews {
                accounts: self.accounts.clone(),
                budgets: self.budgets.clone(),
                app: self.app.clone(),
                cursors: self.cursors.clone(),
                listings: Listings::new(self.sends.clone(), &self.clock),
                maintenance: self.maintenance.clone(),
                tokens: self.tokens.clone(),
                journal: self.journal.clone(),
            },
            receptions: Receptions::new(self.counts.clone(), &self.clock),
            misses: MissAdmin { store: self.misses.clone(), opener: self.sample_keys.clone() },
            leads: LeadAdmin { store: self.leads.clone(), opener: self.sample_keys.clone() },
            outcomes: OutcomeAdmin {
                ledger: self.ledger.clone(),
                conversations: self.conversations.clone(),
                leads: self.leads.clone(),
            },
        }
    }

    /// What derives why comments got nothing.
    pub fn deriver(&self) -> Deriver {
        Deriver {
            gateway: self.gateway(),
            reader: self.comment_reader.clone(),
            sends: self.sends.clone(),
            clock: self.clock.clone(),
        }
    }

    /// What writes down what a function's use case records.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            meter: self.meter.clone(),
            clock: self.clock.clone(),
            check: self.check.clone(),
            stack: self.stack.clone(),
            write: self.write_metrics.clone(),
        }
    }

    fn account_cache(&self) -> Arc<AccountCache> {
        Arc::new(AccountCache::new(self.accounts.clone(), &self.clock))
    }
}
