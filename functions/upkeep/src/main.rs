//! The upkeep function's entry point.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use spillway_cloud::start::Start;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::{Environment, StartError};
use spillway_upkeep::Upkeep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let start = Start::begin(upkeep);
    run(service_fn(move |event: LambdaEvent<Value>| {
        let start = start.clone();
        async move { start.ready().await?.handle(event).await.map_err(Error::from) }
    }))
    .await
}

async fn upkeep() -> Result<Upkeep, StartError> {
    let environment = Environment::load().await?;
    let wiring = environment.with_lead_bus(environment.wiring()?);
    wiring.warm_with_key().await;
    Ok(Upkeep::new(&wiring))
}
