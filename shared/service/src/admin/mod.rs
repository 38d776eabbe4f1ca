//! What operators do to accounts, campaigns and sends, and what they see.

pub mod overview;
pub mod plan;
pub mod sends;
