//! The judge over the calls of one account: an exact log, which shares no code with the limiter.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use spillway_core::id::RecipientId;

use crate::scenario::{Counted, Row};

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A DM that answers a comment on a post or Reel.
    PrivateReply,
    /// A DM that answers a comment on a live broadcast.
    LiveReply,
}

/// Judges one account's calls, which come in order of time.
pub struct Judge {
    rows: Vec<(Row, VecDeque<(u64, RecipientId)>)>,
}

/// A limit that a call went over.
pub struct Over {
    row: Row,
    count: usize,
}

impl Judge {
    /// A judge by these rows.
    pub fn new(rows: &[Row]) -> Self {
        Self { rows: rows.iter().map(|&row| (row, VecDeque::new())).collect() }
    }

    /// Writes a call into the log, and says which limit it goes over.
    pub fn call(&mut self, at: u64, kind: Kind, recipient: &RecipientId) -> Option<Over> {
        let mut over = None;
        for (row, log) in &mut self.rows {
            let counts = match row.counts {
                Counted::Calls | Counted::Recipients => true,
                Counted::PrivateReplies => kind == Kind::PrivateReply,
                Counted::LiveReplies => kind == Kind::LiveReply,
            };
            if !counts {
                continue;
            }
            log.push_back((at, recipient.clone()));
            while log.front().is_some_and(|(first, _)| first + row.window <= at) {
                log.pop_front();
            }
            let count = match row.counts {
                Counted::Recipients => {
                    log.iter().map(|(_, person)| (person, ())).collect::<HashMap<_, _>>().len()
                }
                _ => log.len(),
            };
            if count > row.limit.get() as usize {
                over = Some(Over { row: *row, count });
            }
        }
        over
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in the window of {}", self.count, self.row)
    }
}
