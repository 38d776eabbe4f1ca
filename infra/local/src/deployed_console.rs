//! The console function over this stack, for those who play its issuer. The stack itself serves the
//! console on loopback.

use std::sync::Arc;

use anyhow::Result;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use spillway_cloud::dead_letters::DeadLetters;
use spillway_cloud::secrets::{ConsoleSecrets, SecretSource, SecretStore};
use spillway_console::sign_in::SignInOptions;
use spillway_console_function::{ConsoleFunction, HttpWeb, shown};

use crate::fault_injector::Function;
use crate::stack::Stack;

impl Stack {
    /// Makes the console function, whose calls are counted as the other functions' are.
    ///
    /// # Errors
    /// When its Graph client cannot be built.
    pub fn deployed_console(
        &self,
        options: SignInOptions,
        secrets: Arc<dyn SecretSource<ConsoleSecrets>>,
    ) -> Result<ConsoleFunction> {
        let wiring = self.operators_wiring()?;
        let dead_letters = DeadLetters {
            client: self.counted_sqs().clone(),
            url: self.config.dead_letter_queue_url.clone(),
            send_url: self.config.send_queue_url.clone(),
        };
        let secrets = SecretStore::new(secrets, self.clock.clone(), wiring.meter.clone());
        let shown = shown(&wiring, Arc::new(dead_letters));
        let metrics = wiring.metrics();
        Ok(ConsoleFunction::new(shown, options, HttpWeb::new(), secrets, metrics))
    }

    /// Invokes it with a request, as a function URL does.
    pub async fn invoke_console(
        &self,
        console: &ConsoleFunction,
        (method, uri, headers, body): (&Method, &Uri, &HeaderMap, &[u8]),
    ) -> Response {
        let handle = |request| console.handle(request);
        self.invoke_by_url(Function::Console, (method, uri, headers, body), handle).await
    }
}
