//! Which address is which page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};

use crate::access::ASSETS;
use crate::answer::Fault;
use crate::{
    Console, account, actions, campaigns, compare, layout, outcomes, overview, plan, sends, why,
};

/// The console that a handler answers for.
pub(crate) type Served = State<Arc<Console>>;

/// Routes requests that were let in to pages.
pub(crate) fn pages() -> Router<Arc<Console>> {
    const ACCOUNT: &str = "/accounts/{account}";
    let of_account = |rest: &str| format!("{ACCOUNT}{rest}");
    Router::new()
        .route("/", get(overview::get))
        .route(&format!("{ASSETS}{{name}}"), get(layout::asset))
        .route("/find", get(overview::find))
        .route("/plan", get(plan::get))
        .route("/compare", get(compare::ask).post(compare::compare))
        .route(ACCOUNT, get(account::get))
        .route(&of_account("/pause"), post(actions::pause))
        .route(&of_account("/resume"), get(actions::ask_resume).post(actions::resume))
        .route(&of_account("/events"), get(account::events))
        .route(&of_account("/misses"), get(account::misses))
        .route(&of_account("/campaigns"), get(campaigns::get))
        .route(&of_account("/outcomes"), get(outcomes::get))
        .route(&of_account("/why"), get(why::get).post(why::derive))
        .route(&of_account("/try"), post(campaigns::try_text))
        .route(
            &of_account("/campaigns/{campaign}/{what}"),
            get(actions::ask_campaign).post(actions::campaign),
        )
        .route(&of_account("/sends"), get(sends::list).post(sends::by_name))
        .route(&of_account("/sends/{key}"), get(sends::get))
        .route(&of_account("/sends/{key}/{what}"), get(actions::ask_send).post(actions::send))
        .fallback(async || Fault::NotFound("There is no such page.".into()))
        .method_not_allowed_fallback(async || Fault::Method)
}
