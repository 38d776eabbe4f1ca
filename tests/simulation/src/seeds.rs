//! Many seeds, over as many threads as there are cores.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use crate::record::{Failure, Listener};
use crate::sabotage::Sabotage;
use crate::sim::Run;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Plays one seed. A panic anywhere in it is a failure, also one that the use cases catch.
pub fn play(seed: u64, sabotage: Sabotage, listener: Option<Listener>) -> Run {
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            PANIC.with_borrow_mut(|panic| _ = panic.get_or_insert_with(|| info.to_string()));
        }));
    });
    PANIC.take();
    let run = catch_unwind(AssertUnwindSafe(|| Run::of(seed, sabotage, listener)));
    let panic = PANIC.take().map(|what| Failure { at_ms: 0, what });
    match run {
        Ok(run) => Run { failure: run.failure.or(panic), ..run },
        Err(_) => Run::broken(seed, panic),
    }
}

/// Plays seeds and gives each run to `each`, in the order in which they end.
pub fn play_all(seeds: Range<u64>, sabotage: Sabotage, each: impl FnMut(Run) + Send) {
    let next = AtomicU64::new(seeds.start);
    let each = Mutex::new(each);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        break;
                    }
                    let run = play(seed, sabotage, None);
                    each.lock().unwrap_or_else(PoisonError::into_inner)(run);
                }
            });
        }
    });
}
