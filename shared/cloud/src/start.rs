//! Starting a function: begun while Lambda initialises the process, awaited by the first event. A
//! start that failed is tried again by the next event; the process lives on.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tracing::error;

use crate::wiring::StartError;

type Making<T> = Pin<Box<dyn Future<Output = Result<T, StartError>> + Send>>;

/// What a function is made of, once it is.
pub struct Start<T> {
    make: Box<dyn Fn() -> Making<T> + Send + Sync>,
    state: Mutex<State<T>>,
}

enum State<T> {
    Begun(JoinHandle<Result<T, StartError>>),
    Ready(Arc<T>),
    Failed,
}

impl<T: Send + Sync + 'static> Start<T> {
    /// Begins. Must be called inside a runtime.
    pub fn begin<F>(make: impl Fn() -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<T, StartError>> + Send + 'static,
    {
        let make: Box<dyn Fn() -> Making<T> + Send + Sync> = Box::new(move || Box::pin(make()));
        let begun = tokio::spawn(make());
        Arc::new(Self { make, state: Mutex::new(State::Begun(begun)) })
    }

    /// What was made; waits for it.
    ///
    /// # Errors
    /// Fails if it cannot be made. The log says so, and the next call tries again.
    pub async fn ready(&self) -> Result<Arc<T>, StartError> {
        let mut state = self.state.lock().await;
        if matches!(*state, State::Failed) {
            *state = State::Begun(tokio::spawn((self.make)()));
        }
        let made = match &mut *state {
            State::Ready(made) => return Ok(made.clone()),
            State::Begun(begun) => begun.await.unwrap_or(Err(StartError::Panicked)),
            State::Failed => Err(StartError::Panicked),
        };
        match made {
            Ok(made) => {
                let made = Arc::new(made);
                *state = State::Ready(made.clone());
                Ok(made)
            }
            Err(error) => {
                *state = State::Failed;
                error!(%error, "cannot start; the next event tries again");
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::config::ConfigError;

    fn failed() -> StartError {
        StartError::Config(ConfigError { missing: vec![("NAME", "meaning")] })
    }

    #[tokio::test]
    async fn it_begins_before_anybody_asks_and_once() {
        let made = Arc::new(AtomicU32::new(0));
        let count = made.clone();
        let start = Start::begin(move || {
            let count = count.clone();
            async move { Ok(count.fetch_add(1, Ordering::SeqCst)) }
        });
        tokio::task::yield_now().await;
        assert_eq!(made.load(Ordering::SeqCst), 1, "nobody has asked yet");
        for _ in 0..3 {
            assert_eq!(*start.ready().await.unwrap(), 0);
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_by_the_next_event() {
        let tries = Arc::new(AtomicU32::new(0));
        let count = tries.clone();
        let start = Start::begin(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                match number {
                    0 => Err(failed()),
                    1 => panic!("a bug"),
                    _ => Ok(number),
                }
            }
        });
        let said = start.ready().await.unwrap_err().to_string();
        assert!(said.contains("NAME: meaning"), "{said}");
        assert!(matches!(start.ready().await, Err(StartError::Panicked)));
        assert_eq!(*start.ready().await.unwrap(), 2);
    }

    /// The waiting invocation may be dropped: one that ran out of time.
    #[tokio::test]
    async fn a_start_outlives_an_event_that_gave_up_on_it() {
        let (release, released) = tokio::sync::watch::channel(false);
        let start = Start::begin(move || {
            let mut released = released.clone();
            async move {
                let _ = released.wait_for(|released| *released).await;
                Ok(7)
            }
        });
        let first = start.ready();
        tokio::select! {
            biased;
            _ = first => panic!("it is not ready"),
            () = tokio::task::yield_now() => {}
        }
        release.send(true).unwrap();
        assert_eq!(*start.ready().await.unwrap(), 7);
    }
}
