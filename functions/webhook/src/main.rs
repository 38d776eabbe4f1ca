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
    let (wiring, secrets) = (environment.wiring()?, environment.secrets());
    // Without secrets it can do nothing.
    let ((), read) = tokio::join!(wiring.warm(), secrets.current());
    read?;
    Ok(Webhook::new(&wiring, secrets))
}
