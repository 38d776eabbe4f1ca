//! How long an invocation waits: for its requests one after the other, for those it makes at a time
//! together.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// DynamoDB.
    Store,
    /// SQS.
    Queue,
    /// Meta's Graph API.
    Graph,
}

impl Server {
    /// How long an answer takes, in milliseconds: assumed.
    pub(crate) const fn latency(self) -> u64 {
        match self {
            Self::Store => 5,
            Self::Queue => 10,
            Self::Graph => 300,
        }
    }
}

/// Runs while an invocation does.
#[derive(Default)]
pub(super) struct Stopwatch(Mutex<State>);

#[derive(Default)]
struct State {
    /// In milliseconds since the invocation began.
    elapsed: u64,
    /// Made since then.
    requests: u64,
    /// Who is to be woken when.
    sleepers: Vec<(u64, Waker)>,
}

impl Stopwatch {
    /// So many requests are made at a time, and answered after so many milliseconds.
    pub(super) fn wait(&self, requests: u64, millis: u64) -> Wait<'_> {
        let mut state = self.state();
        state.requests += requests;
        Wait { stopwatch: self, until: state.elapsed + millis }
    }

    /// An invocation begins.
    pub(super) fn reset(&self) {
        *self.state() = State::default();
    }

    /// Lets time pass until the next answer is there.
    pub(super) fn advance(&self) {
        let mut state = self.state();
        let Some(next) = state.sleepers.iter().map(|(until, _)| *until).min() else { return };
        state.elapsed = state.elapsed.max(next);
        for (_, waker) in state.sleepers.extract_if(.., |(until, _)| *until <= next) {
            waker.wake();
        }
    }

    /// Milliseconds since the invocation began.
    pub(super) fn elapsed(&self) -> u64 {
        self.state().elapsed
    }

    /// Requests since the invocation began.
    pub(super) fn requests(&self) -> u64 {
        self.state().requests
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is yet to come.
pub(super) struct Wait<'w> {
    stopwatch: &'w Stopwatch,
    until: u64,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.stopwatch.state();
        if state.elapsed >= self.until {
            return Poll::Ready(());
        }
        state.sleepers.push((self.until, context.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::future::join_all;

    use super::*;

    fn lasts(work: impl Future, stopwatch: &Stopwatch) -> u64 {
        let mut work = pin!(work);
        while work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            stopwatch.advance();
        }
        stopwatch.elapsed()
    }

    #[test]
    fn requests_one_after_the_other_add_up_and_those_at_a_time_take_as_long_as_the_longest() {
        let stopwatch = Stopwatch::default();
        let row = async {
            for millis in [5, 10, 300] {
                stopwatch.wait(1, millis).await;
            }
        };
        assert_eq!(lasts(row, &stopwatch), 315);
        let stopwatch = Stopwatch::default();
        // More than futures polls without being woken.
        let many = join_all((1..=100).map(|millis| stopwatch.wait(1, millis)));
        assert_eq!(lasts(many, &stopwatch), 100);
        assert_eq!(stopwatch.requests(), 100);
    }
}
