//! How clients of AWS reach it.
//!
//! TLS is rustls with `ring`. It compiles in seconds, needs no CMake, and reads no seed from
//! the kernel at a start. The price is that there is no post-quantum key exchange.

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// Returns an HTTP client for the SDK, with TLS by `ring`; clones share its connections.
pub fn client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
