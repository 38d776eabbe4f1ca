//! A served stack with the example accounts, on ports that the system chooses.

use spillway_local::serve::{self, ServeOptions, Served};
use spillway_local::setup::QuotaOptions;

/// The example accounts, and ports that the system chooses.
pub(crate) fn options() -> ServeOptions {
    ServeOptions {
        accounts: None,
        webhook_port: 0,
        graph_port: 0,
        dynamodb_port: 0,
        sqs_port: 0,
        link_port: 0,
        console_port: 0,
        write_deployment: None,
    }
}

/// Serves it until it is dropped.
pub(crate) async fn served(quotas: &QuotaOptions) -> Served {
    serve::start(&options(), quotas).await.unwrap()
}
