//! The webhook function's entry point.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Error, Request, run, service_fn};
use spillway_cloud::telemetry;
use spillway_cloud::wiring::Wiring;
use spillway_webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let (wiring, secrets) =
        Wiring::from_env().await.inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let webhook = Arc::new(Webhook::new(&wiring, &secrets));
    run(service_fn(move |request: Request| {
        let webhook = webhook.clone();
        async move { Ok::<_, Infallible>(webhook.handle(request).await) }
    }))
    .await
}
