//! Tests across crates.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod adapters;
mod alarms;
mod architecture;
mod budget;
mod clock;
mod conflicts;
mod conformance;
mod conversations;
mod deliver;
mod disclosure;
mod formats;
mod funnel;
#[allow(dead_code, reason = "only the other target stops what it asks for")]
mod gate;
mod gateway;
mod harness;
mod ingest;
mod issuer;
mod journal;
mod kills;
mod leads;
mod links;
mod loopback;
mod misses;
mod observe;
mod once;
mod operate;
mod outbound;
mod pitfalls;
mod privileges;
mod public_replies;
mod recursion;
mod release;
mod secrets;
mod serve;
mod sign_in;
mod story;
mod template;
mod triggers;
mod unknown;
mod upkeep;
