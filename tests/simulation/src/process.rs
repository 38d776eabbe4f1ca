//! Processes: the use cases wired to a host, as a warm Lambda environment keeps them.

use std::sync::Arc;

use spillway_memory::{Ports, Sealer};
use spillway_service::account_cache::AccountCache;
use spillway_service::admin::Admin;
use spillway_service::admin::accounts::AccountAdmin;
use spillway_service::admin::leads::LeadAdmin;
use spillway_service::admin::listing::Listings;
use spillway_service::admin::misses::MissAdmin;
use spillway_service::admin::outbound::OutboundAdmin;
use spillway_service::admin::outcomes::OutcomeAdmin;
use spillway_service::admin::overview::Overviews;
use spillway_service::admin::reception::{NoCounts, Receptions};
use spillway_service::admin::removal::Remover;
use spillway_service::admin::sends::SendAdmin;
use spillway_service::app::App;
use spillway_service::clock::Clock;
use spillway_service::converse::Converse;
use spillway_service::deliver::Deliver;
use spillway_service::echo::Echoes;
use spillway_service::endings::Endings;
use spillway_service::gateway::Gateway;
use spillway_service::grant::GrantIds;
use spillway_service::ingest::{EntryKeys, Ingest, Warm};
use spillway_service::leads::LeadCollector;
use spillway_service::limiter::Limiter;
use spillway_service::metrics::Meter;
use spillway_service::misses::{MissCounter, MissSamples};
use spillway_service::placing::Placing;
use spillway_service::port::{Accounts, Budgets, Cursors, NoLinks, Sends};
use spillway_service::release::Release;
use spillway_service::upkeep::Upkeeper;

use crate::host::Host;
use crate::sabotage::Sabotage;
use crate::tool::Tool;
use crate::watch::ClockState;
use crate::world::{Shared, World};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Function {
    /// Takes webhooks.
    Webhook,
    /// Sends.
    Sender,
    /// Releases.
    Release,
    /// Another tool of the account's.
    Tool,
    /// Keeps accounts up.
    Upkeep,
    /// The operator's tool.
    Operator,
}

/// A process of one of the functions.
pub(crate) struct Process {
    /// What it runs on.
    pub(crate) host: Arc<Host>,
    /// What it runs.
    pub(crate) work: Work,
    /// When Lambda ends it, in milliseconds since 1970.
    ends_at: u64,
}

/// What a process runs.
pub(crate) enum Work {
    /// Ingest.
    Webhook(Ingest),
    /// Deliver.
    Sender(Deliver),
    /// Release.
    Release(Release),
    /// Another tool.
    Tool(Tool),
    /// Upkeep.
    Upkeep(Upkeeper),
    /// What the operator's tool does.
    Operator(Box<Admin>),
}

/// How far a clock beyond the bound is off, in milliseconds: what a server's date can tell even
/// after a slow answer, up to an hour.
const WRONG_BY: (u64, u64) = (6000, 3_600_000);

/// How long a process lasts, in milliseconds: Lambda ends each after some hours.
const LASTS: u64 = 2 * 3_600_000;

impl Process {
    /// A process that has done nothing yet.
    pub(crate) fn start(shared: &Arc<Shared>, function: Function, sabotage: Sabotage) -> Self {
        let (process, skew) = {
            let mut world = shared.world();
            let rate = world.scenario.rates.clock_wrong;
            let skew = if world.strikes(rate) { world.wrong_skew() } else { world.right_skew() };
            (world.dice.any(), skew)
        };
        shared.world().event(format_args!("{function:?} {process:016x} starts, off by {skew} ms"));
        let host = Host::new(shared, skew);
        let work = wire(&host, function, sabotage, process);
        Self { host, work, ends_at: shared.now() + LASTS }
    }

    /// Time has passed since the last invocation: the clock may have jumped. Whether the process
    /// is still good: it has not lasted too long, and once all is calm, none with a wrong clock is.
    pub(crate) fn thaw(&self) -> bool {
        let mut world = self.host.shared.world();
        let rate = world.scenario.rates.clock_jumps;
        if world.strikes(rate) {
            let skew = world.wrong_skew();
            self.host.clock.jump(skew);
        }
        let is_old = self.ends_at <= world.now;
        !is_old && (world.is_rough() || self.host.clock.state() == ClockState::Right)
    }
}

impl World {
    fn right_skew(&mut self) -> i64 {
        let rate = self.scenario.rates.edge;
        if self.dice.chance(rate) {
            self.dice.pick(&[-1000, 1000])
        } else {
            i64::try_from(self.dice.between(0..=2000)).unwrap_or_default() - 1000
        }
    }

    fn wrong_skew(&mut self) -> i64 {
        self.record.count("clock wrong");
        let (least, most) = WRONG_BY;
        let most = self.dice.pick(&[10_000, 600_000, most]);
        let off = i64::try_from(self.dice.between(least..=most)).unwrap_or_default();
        if self.dice.chance(0.5) { off } else { -off }
    }
}

fn wire(host: &Arc<Host>, function: Function, sabotage: Sabotage, process: u64) -> Work {
    let accounts: Arc<dyn Accounts> = sabotage.accounts(host.clone());
    let budgets: Arc<dyn Budgets> = sabotage.budgets(host.clone());
    let sends: Arc<dyn Sends> = sabotage.sends(host.clone());
    let cursors: Arc<dyn Cursors> = sabotage.cursors(host.clone());
    let ports = Arc::new(Ports(host.clone()));
    let clock: Arc<dyn Clock> = host.clock.clone();
    let ids = Arc::new(GrantIds::new(process));
    let entry_keys = match sabotage {
        Sabotage::EntryKeys => EntryKeys::Comment,
        _ => host.shared.world().scenario.entry_keys(process),
    };
    let account_cache = Arc::new(AccountCache::new(accounts, &clock));
    let limiter = || {
        let meter = Arc::<Meter>::default();
        let app = App::new(
            sabotage.app(function, host.clone()),
            ids.clone(),
            clock.clone(),
            meter.clone(),
        );
        let (account_cache, check) = (account_cache.clone(), host.check.clone());
        Limiter::new(account_cache, budgets.clone(), app, ids.clone(), clock.clone(), check, meter)
    };
    let gateway = |limiter: Limiter| Gateway {
        limiter,
        backlogs: ports.clone(),
        clock: clock.clone(),
        check: host.check.clone(),
        meter: Arc::default(),
    };
    let placing = Arc::new(Placing::new(
        sends.clone(),
        cursors.clone(),
        ports.clone(),
        host.clone(),
        ids.clone(),
        &clock,
        Arc::default(),
    ));
    let converse = Arc::new(Converse {
        conversations: sabotage.conversations(function, host.clone()),
        sends: sends.clone(),
        placing: placing.clone(),
        leads: LeadCollector { store: ports.clone(), sealer: Arc::new(Sealer) },
        clock: clock.clone(),
        check: host.check.clone(),
        meter: Arc::default(),
    });
    let endings = || {
        let (converse, meter) = (converse.clone(), Arc::default());
        let (ids, clock, check) = (ids.clone(), clock.clone(), host.check.clone());
        Endings::new(sends.clone(), ports.clone(), converse, ids, clock, check, meter)
    };
    let ingest = || Ingest {
        account_cache: account_cache.clone(),
        sends: sends.clone(),
        placing: placing.clone(),
        converse: converse.clone(),
        last_seen: ports.clone(),
        misses: MissCounter::new(
            ports.clone(),
            Arc::new(Sealer),
            MissSamples::Kept,
            ids.clone(),
            clock.clone(),
        ),
        echoes: Echoes::new(endings(), account_cache.clone(), ports.clone(), ports.clone()),
        ids: ids.clone(),
        entry_keys,
        warm: Warm::new(&clock),
        clock: clock.clone(),
        check: host.check.clone(),
        meter: Arc::default(),
    };
    match function {
        Function::Tool => Work::Tool(Tool { limiter: limiter(), account_cache, sabotage }),
        Function::Webhook => Work::Webhook(ingest()),
        Function::Operator => {
            let send_admin = Arc::new(SendAdmin {
                sends: sends.clone(),
                ledger: sabotage.ledger(host.clone()),
                misses: ports.clone(),
                leads: ports.clone(),
                conversations: host.clone(),
                backlogs: ports.clone(),
                ids: ids.clone(),
                clock: clock.clone(),
                check: host.check.clone(),
            });
            Work::Operator(Box::new(Admin {
                accounts: AccountAdmin {
                    accounts: host.clone(),
                    changes: host.clone(),
                    removal: ports.clone(),
                    deletions: ports.clone(),
                    sends: send_admin.clone(),
                    tokens: ports.clone(),
                    budgets: budgets.clone(),
                    app: ports.clone(),
                    limiter: Arc::new(limiter().with_journal(ports.clone())),
                    backlogs: ports.clone(),
                    maintenance: ports.clone(),
                    journal: ports.clone(),
                    clock: clock.clone(),
                },
                sends: send_admin,
                outbound: OutboundAdmin {
                    conversations: host.clone(),
                    sends: sends.clone(),
                    backlogs: ports.clone(),
                    journal: ports.clone(),
                    ids,
                    clock: clock.clone(),
                    check: host.check.clone(),
                },
                overviews: Overviews {
                    accounts: host.clone(),
                    budgets,
                    app: ports.clone(),
                    cursors,
                    listings: Listings::new(sends, &clock),
                    maintenance: ports.clone(),
                    tokens: ports.clone(),
                    journal: ports.clone(),
                },
                receptions: Receptions::new(Arc::new(NoCounts), &clock),
                misses: MissAdmin { store: ports.clone(), opener: Arc::new(Sealer) },
                leads: LeadAdmin { store: ports.clone(), opener: Arc::new(Sealer) },
                outcomes: OutcomeAdmin {
                    ledger: host.clone(),
                    conversations: host.clone(),
                    leads: ports.clone(),
                },
            }))
        }
        Function::Upkeep => Work::Upkeep(Upkeeper {
            gateway: gateway(limiter().with_journal(ports.clone())),
            intake: Arc::new(ingest()),
            account_cache,
            budgets,
            cursors,
            backlogs: ports.clone(),
            maintenance: sabotage.maintenance(host.clone()),
            changes: host.clone(),
            tokens: sabotage.tokens(host.clone()),
            remover: Remover {
                removal: ports.clone(),
                deletions: ports.clone(),
                tokens: ports.clone(),
                maintenance: sabotage.maintenance(host.clone()),
                backlogs: ports.clone(),
                misses: ports.clone(),
                leads: ports.clone(),
                conversations: host.clone(),
                journal: ports.clone(),
                clock: clock.clone(),
            },
            journal: ports.clone(),
            graph: sabotage.graph(host.clone()),
            clock,
            check: host.check.clone(),
            meter: Arc::default(),
        }),
        Function::Sender => Work::Sender(Deliver {
            gateway: gateway(limiter()),
            endings: endings(),
            account_cache,
            cursors: cursors.clone(),
            sends,
            backlogs: ports.clone(),
            queue: host.clone(),
            graph: host.clone(),
            watches: ports.clone(),
            retry_unknown: host.shared.world().scenario.unknowns.retry,
            links: Arc::new(NoLinks),
            ids,
            clock,
            check: host.check.clone(),
            meter: Arc::default(),
            entry_keys,
        }),
        Function::Release => Work::Release(Release {
            endings: endings(),
            account_cache,
            budgets,
            app: sabotage.app(function, host.clone()),
            cursors: cursors.clone(),
            sends,
            backlogs: ports.clone(),
            watches: ports.clone(),
            retry_unknown: host.shared.world().scenario.unknowns.retry,
            queue: host.clone(),
            runs: host.clone(),
            ids,
            clock,
            check: host.check.clone(),
            meter: Arc::default(),
        }),
    }
}
