//! The use cases wired to the ports, as a warm process keeps them.

use std::sync::Arc;

use spillway_core::unknown::RetryUnknown;
use spillway_memory::Sealer;
use spillway_service::account_cache::AccountCache;
use spillway_service::app::App;
use spillway_service::clock::{Clock, ClockCheck};
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
use spillway_service::port::NoLinks;
use spillway_service::release::Release;

use super::ports::Ports;
use super::store::Shared;
use crate::process::Function;

/// What every process has.
struct Parts {
    ports: Arc<Ports>,
    account_cache: Arc<AccountCache>,
    ids: Arc<GrantIds>,
    check: Arc<ClockCheck>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
}

impl Parts {
    fn new(shared: &Arc<Shared>, function: Function, process: u64) -> Self {
        let ports = Arc::new(Ports { shared: shared.clone(), function });
        let clock: Arc<dyn Clock> = shared.clone();
        Self {
            account_cache: Arc::new(AccountCache::new(ports.clone(), &clock)),
            ports,
            ids: Arc::new(GrantIds::new(process)),
            check: Arc::default(),
            meter: Arc::default(),
            clock,
        }
    }
}

impl Parts {
    fn converse(&self) -> (Arc<Placing>, Arc<Converse>) {
        let Self { ports, ids, check, meter, clock, .. } = self;
        let placing = Arc::new(Placing::new(
            ports.clone(),
            ports.clone(),
            ports.clone(),
            ports.clone(),
            ids.clone(),
            clock,
            meter.clone(),
        ));
        let converse = Arc::new(Converse {
            conversations: ports.clone(),
            sends: ports.clone(),
            placing: placing.clone(),
            leads: LeadCollector { store: ports.clone(), sealer: Arc::new(Sealer) },
            clock: clock.clone(),
            check: check.clone(),
            meter: meter.clone(),
        });
        (placing, converse)
    }

    fn endings(&self, converse: Arc<Converse>) -> Endings {
        let Self { ports, ids, check, meter, clock, .. } = self;
        let (ids, clock) = (ids.clone(), clock.clone());
        Endings::new(
            ports.clone(),
            ports.clone(),
            converse,
            ids,
            clock,
            check.clone(),
            meter.clone(),
        )
    }
}

/// A process of the webhook function.
pub(super) fn webhook(shared: &Arc<Shared>, process: u64) -> Ingest {
    let parts = Parts::new(shared, Function::Webhook, process);
    let (placing, converse) = parts.converse();
    let endings = parts.endings(converse.clone());
    let Parts { ports, account_cache, ids, check, meter, clock } = parts;
    Ingest {
        echoes: Echoes::new(endings, account_cache.clone(), ports.clone(), ports.clone()),
        account_cache,
        sends: ports.clone(),
        placing,
        converse,
        misses: MissCounter::new(
            ports.clone(),
            Arc::new(Sealer),
            MissSamples::Kept,
            ids.clone(),
            clock.clone(),
        ),
        last_seen: ports,
        ids,
        entry_keys: EntryKeys::default(),
        warm: Warm::new(&clock),
        clock,
        check,
        meter,
    }
}

/// A process of the sender function.
pub(super) fn sender(shared: &Arc<Shared>, process: u64) -> Deliver {
    let parts = Parts::new(shared, Function::Sender, process);
    let endings = parts.endings(parts.converse().1);
    let Parts { ports, account_cache, ids, check, meter, clock } = parts;
    let app = App::new(ports.clone(), ids.clone(), clock.clone(), meter.clone());
    let (budgets, accounts) = (ports.clone(), account_cache.clone());
    let limiter = Limiter::new(
        accounts,
        budgets,
        app,
        ids.clone(),
        clock.clone(),
        check.clone(),
        meter.clone(),
    );
    let gateway = Gateway {
        limiter,
        backlogs: ports.clone(),
        clock: clock.clone(),
        check: check.clone(),
        meter: meter.clone(),
    };
    Deliver {
        endings,
        account_cache,
        gateway,
        cursors: ports.clone(),
        sends: ports.clone(),
        backlogs: ports.clone(),
        queue: ports.clone(),
        graph: ports.clone(),
        watches: ports,
        retry_unknown: RetryUnknown::default(),
        links: Arc::new(NoLinks),
        ids,
        clock,
        check,
        meter,
        entry_keys: EntryKeys::default(),
    }
}

/// A process of the release function.
pub(super) fn release(shared: &Arc<Shared>, process: u64) -> Release {
    let parts = Parts::new(shared, Function::Release, process);
    let endings = parts.endings(parts.converse().1);
    let Parts { ports, account_cache, ids, check, meter, clock } = parts;
    Release {
        endings,
        account_cache,
        budgets: ports.clone(),
        app: ports.clone(),
        cursors: ports.clone(),
        sends: ports.clone(),
        backlogs: ports.clone(),
        watches: ports.clone(),
        retry_unknown: RetryUnknown::default(),
        queue: ports.clone(),
        runs: ports,
        ids,
        clock,
        check,
        meter,
    }
}
