//! Many seeds, over as many threads as there are cores.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use crate::record::{Failure, Listener};
use crate::sabotage::Sabotage;
use crate::scenario::Theme;
use crate::sim::Run;

/// What a thread plays.
enum Play {
    /// Nothing.
    Nothing,
    /// A seed, and nothing has panicked in it.
    Quiet,
    /// A seed, and this was its first panic.
    Panicked(String),
}

thread_local! {
    static PLAY: RefCell<Play> = const { RefCell::new(Play::Nothing) };
}

static HOOK: Once = Once::new();

/// Plays one seed. A panic anywhere in it is a failure, also one that the use cases catch.
pub fn play(theme: Theme, seed: u64, sabotage: Sabotage, listener: Option<Listener>) -> Run {
    HOOK.call_once(note_panics);
    PLAY.set(Play::Quiet);
    let run = catch_unwind(AssertUnwindSafe(|| Run::of(theme, seed, sabotage, listener)));
    let panic = match PLAY.replace(Play::Nothing) {
        Play::Panicked(what) => Some(Failure { at_ms: 0, what }),
        Play::Quiet | Play::Nothing => None,
    };
    match run {
        Ok(mut run) => {
            run.failures.extend(panic);
            run
        }
        Err(_) => Run::broken(theme, seed, panic.into_iter().collect()),
    }
}

/// Notes the panics of threads that play; others are told of as before.
fn note_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PLAY.with_borrow_mut(|play| match play {
            Play::Nothing => before(info),
            Play::Quiet => *play = Play::Panicked(info.to_string()),
            Play::Panicked(_) => {}
        });
    }));
}

/// Plays seeds and gives each run to `each`, in the order in which they end.
pub fn play_all(theme: Theme, seeds: Range<u64>, sabotage: Sabotage, each: impl FnMut(Run) + Send) {
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
                    let run = play(theme, seed, sabotage, None);
                    each.lock().unwrap_or_else(PoisonError::into_inner)(run);
                }
            });
        }
    });
}
