//! What all visitors of a console share, and the way of each request through it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::admin::Admin;
use spillway_service::port::StoreError;
use tower::ServiceExt;

use crate::Shown;
use crate::access::{Admitted, Visitor, guard};
use crate::answer::{Fault, Format};
use crate::layout::{self, Frame};
use crate::router;

/// From so many accounts on, their list is remembered.
const MANY_ACCOUNTS: usize = 1000;

/// For how long it is.
const LIST_KEPT: Duration = Duration::from_secs(30);

/// The ids of many accounts, and when they were read.
type Listed = Mutex<Option<(Timestamp, Arc<[AccountId]>)>>;

/// The pages, and what they are made of.
pub(crate) struct Site {
    shown: Arc<Shown>,
    listed: Arc<Listed>,
    pages: Router<Arc<Console>>,
}

impl Site {
    pub(crate) fn new(shown: Shown) -> Self {
        Self { shown: Arc::new(shown), listed: Arc::default(), pages: router::pages() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shown.admin.accounts.clock.now()
    }

    fn console(&self, visitor: Option<Visitor>) -> Console {
        Console { shown: self.shown.clone(), listed: self.listed.clone(), visitor }
    }

    /// Makes a page for somebody who was not let in.
    pub(crate) fn outside(&self, title: &str, body: &Markup) -> Response {
        let frame = Frame { title, ..Frame::default() };
        Html(layout::page(&self.console(None), &frame, body).into_string()).into_response()
    }

    /// Gives a request its page, or says why it gets none.
    pub(crate) async fn answer(
        &self,
        format: Format,
        admitted: Result<Admitted, Fault>,
    ) -> Response {
        let (visitor, mut response) = match admitted {
            Ok(Admitted::ToFile(request)) => (None, self.page(None, request).await),
            Ok(Admitted::ToPage(visitor, request)) => {
                (Some(visitor.clone()), self.page(Some(visitor), request).await)
            }
            Ok(Admitted::Answered(response)) => (None, response),
            Err(fault) => (None, fault.into_response()),
        };
        if let Some(fault) = response.extensions_mut().remove::<Fault>() {
            response = fault.shown(&self.console(visitor), format);
        }
        guard(&mut response);
        response
    }

    async fn page(&self, visitor: Option<Visitor>, request: Request) -> Response {
        let pages = self.pages.clone().with_state(Arc::new(self.console(visitor)));
        match pages.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A console as one visitor has it.
pub(crate) struct Console {
    pub(crate) shown: Arc<Shown>,
    listed: Arc<Listed>,
    /// Nobody, where a file or an error is all that is shown.
    pub(crate) visitor: Option<Visitor>,
}

impl Console {
    pub(crate) fn admin(&self) -> &Admin {
        &self.shown.admin
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.admin().accounts.clock.now()
    }

    /// The ids of all accounts, in order. A list of many may be half a minute old.
    pub(crate) async fn accounts(&self) -> Result<Arc<[AccountId]>, StoreError> {
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
