//! A deterministic executor: which of the tasks that can go on goes on next is drawn, and nothing
//! else decides it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that ends with a `T`.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Tasks, each of which ends with a `T`.
pub(crate) struct Tasks<T> {
    running: BTreeMap<u64, Task<T>>,
    next: u64,
    ready: Arc<Ready>,
}

struct Task<T> {
    work: Work<T>,
    bell: Arc<Bell>,
}

/// Tasks that have been woken and not polled since.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

/// Wakes one task.
struct Bell {
    task: u64,
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self { running: BTreeMap::new(), next: 0, ready: Arc::default() }
    }
}

impl<T> Tasks<T> {
    /// Adds a task; it is polled when its turn comes.
    pub(crate) fn spawn(&mut self, work: Work<T>) {
        let task = self.next;
        self.next += 1;
        let bell = Arc::new(Bell { task, rung: AtomicBool::new(false), ready: self.ready.clone() });
        bell.ring();
        self.running.insert(task, Task { work, bell });
    }

    /// How many could go on.
    pub(crate) fn ready(&self) -> usize {
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets the `nth` of those that could go on do so; what it ends with, if it ends.
    pub(crate) fn go_on(&mut self, nth: usize) -> Option<T> {
        let id = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).swap_remove(nth);
        let task = self.running.get_mut(&id)?;
        task.bell.rung.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.bell.clone());
        match task.work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(end) => {
                self.running.remove(&id);
                Some(end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_goes_on_when_it_is_woken_and_only_then() {
        let mut tasks: Tasks<u8> = Tasks::default();
        let mut polls = 0;
        tasks.spawn(Box::pin(std::future::poll_fn(move |context| {
            polls += 1;
            if polls < 2 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(7)
        })));
        assert_eq!(tasks.ready(), 1);
        assert_eq!(tasks.go_on(0), None);
        assert_eq!(tasks.ready(), 1);
        assert_eq!(tasks.go_on(0), Some(7));
        assert_eq!(tasks.ready(), 0);
    }
}
