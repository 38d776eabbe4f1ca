//! The sender function's entry point.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use spillway_cloud::start::Start;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::{Environment, StartError};
use spillway_sender::Sender;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let start = Start::begin(sender);
    run(service_fn(move |event: LambdaEvent<SqsEvent>| {
        let start = start.clone();
        async move { Ok::<_, Error>(start.ready().await?.handle(event).await) }
    }))
    .await
}

async fn sender() -> Result<Sender, StartError> {
    let environment = Environment::load().await?;
    let wiring = environment.with_links(environment.wiring()?);
    wiring.warm_with_key().await;
    Ok(Sender::new(&wiring))
}
