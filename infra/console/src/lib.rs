//! The console: how close each account is to its limits, when everybody has their DM, and why
//! somebody has none. Pages over [`Admin`], for the operator's tool, the local stack and the console
//! function of a deployment.
//!
//! Pages are made here and work without script. What a page shows, it also gives as JSON where that
//! is asked for (`Accept: application/json`), in the forms of the operator's tool.
//!
//! | module | what it does |
//! |---|---|
//! | `access` | lets in the browser of this machine that was given the link, or who signed in at the deployment's issuer, and nobody else |
//! | `site` | what all visitors share, and the way of each request through it |
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
mod site;
mod when;
mod why;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use spillway_service::admin::Admin;
use spillway_service::admin::dead_letters::DeadLetterQueue;
use spillway_service::admin::derived::Deriver;
use tokio::net::TcpListener;

use self::access::link::LinkGate;
pub use self::access::sign_in;
use self::access::sign_in::{SignIn, SignInSecrets};
use self::answer::Format;
use self::site::{Console, Site};

/// What a console shows, and works on.
pub struct Shown {
    /// What operators see and do.
    pub admin: Arc<Admin>,
    /// What derives why a comment got nothing.
    pub deriver: Arc<Deriver>,
    /// Whether comments are read at Meta for that.
    pub comment_reads: CommentReads,
    /// The dead-letter queue.
    pub dead_letters: Arc<dyn DeadLetterQueue>,
    /// The name of the deployment, shown on each page.
    pub deployment: String,
    /// Something that is shown on each page, such as that its times are a story's.
    pub notice: Option<&'static str>,
}

/// Whether a console reads comments at Meta, which takes an account's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentReads {
    /// It does: it works with the rights of an operator.
    Here,
    /// It does not, and says that the console of the operator's tool does.
    Elsewhere,
}

/// A console on loopback.
struct OnLoopback {
    site: Site,
    gate: LinkGate,
}

impl OnLoopback {
    async fn answer(State(console): State<Arc<Self>>, request: Request) -> Response {
        let format = Format::wanted(request.headers());
        console.site.answer(format, console.gate.admit(request).await).await
    }
}

/// Serves a console on loopback until `until`, and returns the address to open: it lets one browser
/// in, once. What is done there is done by `operator`, whom the journals of accounts name. Port 0 lets
/// the system choose.
///
/// It listens at 127.0.0.1, and at ::1 if this machine has it: a browser may take `localhost` for
/// either.
///
/// # Errors
/// Fails if the port is taken, or the system has no randomness.
pub fn serve(
    shown: Shown,
    operator: String,
    port: u16,
    until: BoxFuture<'static, ()>,
) -> BoxFuture<'static, io::Result<String>> {
    Box::pin(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        let other = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.ok();
        let (gate, address) = LinkGate::new(port, operator)?;
        let console = Arc::new(OnLoopback { site: Site::new(shown), gate });
        let router = Router::new().fallback(OnLoopback::answer).with_state(console);
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

/// A console on the web, for those who sign in.
pub struct Deployed {
    site: Site,
    gate: SignIn,
}

impl Deployed {
    /// Makes one that lets in whom `sign_in` does.
    pub fn new(shown: Shown, sign_in: SignIn) -> Self {
        Self { site: Site::new(shown), gate: sign_in }
    }

    /// Answers a request that came to `host`, by what lies in front of the console and not by the
    /// request itself. Without secrets nobody can sign in, or show that they have.
    pub fn answer<'a>(
        &'a self,
        host: &'a str,
        secrets: Option<&'a SignInSecrets>,
        request: Request,
    ) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let format = Format::wanted(request.headers());
            let admitted = self.gate.admit(&self.site, host, secrets, request).await;
            self.site.answer(format, admitted).await
        })
    }
}
