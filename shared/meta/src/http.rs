//! How HTTP clients of this workspace begin: with a TLS provider.

use reqwest::ClientBuilder;

/// Returns a builder whose client can do TLS, with `ring`.
///
/// `reqwest` takes its provider from the process: the first call sets it.
pub fn client() -> ClientBuilder {
    // An error says that a provider is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
