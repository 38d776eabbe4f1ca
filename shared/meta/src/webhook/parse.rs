//! A webhook body turned into events.
//!
//! A usual delivery of comments is read in one pass into types. Any other delivery, and what happens
//! in conversations, is read level by level, so that an oddity costs its own event alone. Only there is decided what becomes of fields
//! that are repeated, missing or of another type. A property test holds that both ways read the
//! same.

mod lenient;
mod messaging;
mod usual;

use spillway_core::time::Timestamp;

use super::event::{Delivery, PayloadError};

/// Reads a body whose signature was checked.
///
/// Every form of the envelope that is documented or seen is taken: one object or an array of them;
/// entries with `changes`, `messaging`, `standby`, a `field` and `value` of their own, or
/// `changed_fields`. Which one it is, is told by what is there, never by `object`.
///
/// The body holds events of many accounts, and an error makes Meta send all of it again. So one
/// event that cannot be read is put aside in [`Delivery::skipped`] and the others are taken. Ids
/// may be strings or numbers; an id that no key or path could hold counts as missing, as does any
/// other member that is not what it should be. Of a repeated key the last one counts.
///
/// # Errors
///
/// Only when nothing of it can be read; see [`PayloadError`].
pub fn parse(raw: &[u8]) -> Result<Delivery, PayloadError> {
    usual::read(raw).map_or_else(|| lenient::read(raw), Ok)
}

/// `entry.time`: seconds for comments, milliseconds for messages, told apart by size. Dashboard
/// tests send strings. Zero, and what lies beyond the year 5000, is no time.
fn timestamp(number: u64) -> Option<Timestamp> {
    const SECS_MAX: u64 = 100_000_000_000;
    match number {
        0 => None,
        secs @ 1..=SECS_MAX => Some(Timestamp::from_secs(secs)),
        millis if millis <= SECS_MAX * 1000 => Some(Timestamp::from_millis(millis)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
