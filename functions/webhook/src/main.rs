//! The webhook function's entry point.

use lambda_http::{Error, Request, run, service_fn};
use spillway_cloud::start::Start;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::{Environment, StartError};
use spillway_webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let start = Start::begin(webhook);
    run(service_fn(move |request: Request| {
        let start = start.clone();
        async move { Ok::<_, Error>(start.ready().await?.handle(request).await) }
    }))
    .await
}

async fn webhook() -> Result<Webhook, StartError> {
    let environment = Environment::load().await?;
    let wiring = environment.wiring()?;
    let secrets = environment.secrets(&wiring);
    // Without secrets it can do nothing. Nothing else is asked of AWS before a signature is right: a
    // process may have been started by somebody who forges one.
    secrets.current().await?;
    Ok(Webhook::new(&wiring, secrets))
}
