//! The sender function's entry point.

use std::convert::Infallible;
use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use spillway_cloud::telemetry;
use spillway_cloud::wiring::Wiring;
use spillway_sender::Sender;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let (wiring, _) =
        Wiring::from_env().await.inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let sender = Arc::new(Sender::new(&wiring));
    run(service_fn(move |event: LambdaEvent<SqsEvent>| {
        let sender = sender.clone();
        async move { Ok::<_, Infallible>(sender.handle(event).await) }
    }))
    .await
}
