//! The console function's entry point.

use std::sync::Arc;

use lambda_http::{Error, Request, run, service_fn};
use spillway_cloud::start::Start;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::{Environment, StartError};
use spillway_console_function::config::ConsoleConfig;
use spillway_console_function::{ConsoleFunction, HttpWeb, shown};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let start = Start::begin(console);
    run(service_fn(move |request: Request| {
        let start = start.clone();
        async move { Ok::<_, Error>(start.ready().await?.handle(request).await) }
    }))
    .await
}

async fn console() -> Result<ConsoleFunction, StartError> {
    let environment = Environment::load().await?;
    let config = ConsoleConfig::from_env()?;
    let wiring = environment.wiring()?;
    let secrets = environment.console_secrets(&wiring, config.secret_id);
    // Without a secret there is a page that says so: whoever asks for one tries again.
    let (_, ()) = tokio::join!(secrets.current(), wiring.warm());
    let shown = shown(&wiring, Arc::new(environment.dead_letters()));
    Ok(ConsoleFunction::new(shown, config.sign_in, HttpWeb::new(), secrets, wiring.metrics()))
}
