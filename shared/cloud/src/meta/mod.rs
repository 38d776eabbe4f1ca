//! Calls to Meta over HTTP that need what AWS keeps: the tokens of accounts, which KMS opens, and
//! the app's secret.

pub mod graph;
pub mod login;
