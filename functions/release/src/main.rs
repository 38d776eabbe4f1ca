//! The release function's entry point.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::Wiring;
use spillway_release::Releaser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let (wiring, _) =
        Wiring::from_env().await.inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let releaser = Arc::new(Releaser::new(&wiring));
    run(service_fn(move |event: LambdaEvent<Value>| {
        let releaser = releaser.clone();
        async move { releaser.handle(event).await.map_err(Error::from) }
    }))
    .await
}
