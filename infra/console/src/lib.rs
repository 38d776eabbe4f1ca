//! The console: how close each account is to its limits, when everybody has their DM, and why
//! somebody has none. Pages over [`Admin`], for the operator's tool
//! and the local stack.
//!
//! Pages are made here and work without script. What a page shows, it also gives as JSON where that
//! is asked for (`Accept: application/json`), in the forms of the operator's tool.
//!
//! | module | what it does |
//! |---|---|
//! | `access` | lets in the browser of this machine that was given the link, and nobody else |
//! | `answer` | pages, JSON, and honest errors |
//! | `layout`, `when`, `chart` | the frame of a page, times, the chart of the hours |
//! | `overview`, `account`, `campaigns`, `outcomes`, `sends`, `why`, `plan`, `compare` | the pages |
//! | `actions` | what can be done: asked about first, audited, and shown afterwards |

mod access;
mod account;
mod actions;
mod answer;
mod campaigns;
mod chart;
mod compare;
mod layout;
mod outcomes;
mod overview;
mod plan;
mod router;
mod sends;
mod when;
mod why;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::admin::Admin;
use spillway_service::admin::dead_letters::DeadLetterQueue;
use spillway_service::admin::derived::Deriver;
use spillway_service::port::StoreError;
use tokio::net::TcpListener;

use self::access::Gate;

/// What a console shows, and works on.
pub struct Shown {
    /// What operators see and do.
    pub admin: Arc<Admin>,
    /// What derives why a comment got nothing.
    pub deriver: Arc<Deriver>,
    /// The dead-letter queue.
    pub dead_letters: Arc<dyn DeadLetterQueue>,
    /// The name of the deployment, shown on each page.
    pub deployment: String,
    /// Who does what is done here: written into the journals of accounts.
    pub operator: String,
    /// Something that is shown on each page, such as that its times are a story's.
    pub notice: Option<&'static str>,
}

/// From so many accounts on, their list is remembered.
const MANY_ACCOUNTS: usize = 1000;

/// For how long it is.
const LIST_KEPT: Duration = Duration::from_secs(30);

/// A console that serves one browser.
struct Console {
    shown: Shown,
    gate: Gate,
    /// The ids of many accounts, and when they were read.
    listed: Mutex<Option<(Timestamp, Arc<[AccountId]>)>>,
}

impl Console {
    fn admin(&self) -> &Admin {
        &self.shown.admin
    }

    fn now(&self) -> Timestamp {
        self.admin().accounts.clock.now()
    }

    /// The ids of all accounts, in order. A list of many may be half a minute old.
    async fn accounts(&self) -> Result<Arc<[AccountId]>, StoreError> {
        let now = self.now();
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, accounts)) = listed.filter(|(at, _)| now < *at + LIST_KEPT) {
            return Ok(accounts);
        }
        let accounts: Arc<[AccountId]> = self.admin().accounts.maintenance.accounts().await?.into();
        if accounts.len() >= MANY_ACCOUNTS {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            *listed = Some((now, accounts.clone()));
        }
        Ok(accounts)
    }
}

/// Serves a console on loopback until `until`, and returns the address to open: it lets one browser
/// in, once. Port 0 lets the system choose.
///
/// It listens at 127.0.0.1, and at ::1 if this machine has it: a browser may take `localhost` for
/// either.
///
/// # Errors
/// Fails if the port is taken, or the system has no randomness.
pub fn serve(
    shown: Shown,
    port: u16,
    until: BoxFuture<'static, ()>,
) -> BoxFuture<'static, io::Result<String>> {
    Box::pin(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        let other = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.ok();
        let (gate, address) = Gate::new(port)?;
        let listed = Mutex::default();
        let router = router::of(Arc::new(Console { shown, gate, listed }));
        let until: Shared<BoxFuture<'static, ()>> = until.shared();
        for listener in [Some(listener), other].into_iter().flatten() {
            let served = axum::serve(listener, router.clone());
            let served = served.with_graceful_shutdown(until.clone());
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "the console stopped");
                }
            });
        }
        Ok(address)
    })
}
