//! The link function's entry point.

use lambda_http::{Error, Request, run, service_fn};
use spillway_cloud::start::Start;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::{Environment, StartError};
use spillway_link::{CLICK_PATIENCE, Redirect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let start = Start::begin(redirect);
    run(service_fn(move |request: Request| {
        let start = start.clone();
        async move { Ok::<_, Error>(start.ready().await?.handle(request).await) }
    }))
    .await
}

async fn redirect() -> Result<Redirect, StartError> {
    let environment = Environment::load().await?;
    let wiring = environment.wiring()?;
    let keys = environment.required_link_keys(&wiring)?;
    // Without a key it can do nothing. Without the store it can redirect.
    let (keys_read, ()) = tokio::join!(keys.current(), wiring.warm_for_clicks());
    keys_read?;
    Ok(Redirect::new(keys, wiring.clicks(), wiring.metrics(), CLICK_PATIENCE))
}
