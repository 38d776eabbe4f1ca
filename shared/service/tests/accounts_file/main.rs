//! What is said about an accounts file, by the parser and by the schema.

mod mistakes;
#[cfg(feature = "schema")]
mod schema;
mod then;
