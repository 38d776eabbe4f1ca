//! `spillway status --watch`, on a terminal.

use std::time::Duration;

use crate::stand::{CREATOR, OTHER, Stand};
use crate::terminal::{Size, Terminal};

/// The first view of a terminal of this size, as drawn at once.
async fn first_view(stand: &Stand, size: Size) -> Vec<String> {
    let terminal = stand.run_on(size, &["status", "--watch", "--every", "1h"]);
    drawn(&terminal).await;
    terminal.lines()
}

async fn drawn(terminal: &Terminal) {
    terminal.until("q quit").await;
    // The foot is drawn last, and may come in two pieces.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Waits until the terminal shows what one of this size shows at once. Upkeep's calls change the
/// figures now and then, so that a look at both may fall on either side of one.
async fn agrees(terminal: &mut Terminal, stand: &Stand, size: Size) {
    let (mut shown, mut first) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        terminal.types("r");
        tokio::time::sleep(Duration::from_secs(1)).await;
        (shown, first) = (terminal.lines(), first_view(stand, size).await);
        if shown == first {
            return;
        }
    }
    assert_eq!(shown, first, "{size:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refreshed_view_is_the_same_as_one_that_is_drawn_at_once() {
    let stand = Stand::start().await;
    for size in [(24, 80), (40, 120), (50, 200)] {
        let mut refreshed = stand.run_on(size, &["status", "--watch", "--every", "500ms"]);
        drawn(&refreshed).await;
        // Three looks, each with time to be made.
        tokio::time::sleep(Duration::from_secs(3)).await;
        agrees(&mut refreshed, &stand, size).await;
        let shown = refreshed.lines();
        for account in [CREATOR, OTHER] {
            assert!(shown.iter().any(|line| line.contains(account)), "{shown:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_follows_the_size_of_its_window_and_ends_with_q() {
    let stand = Stand::start().await;
    let mut terminal = stand.run_on((40, 120), &["status", "--watch", "--every", "1h"]);
    drawn(&terminal).await;
    for size in [(24, 80), (12, 40), (50, 200)] {
        terminal.resize(size);
        agrees(&mut terminal, &stand, size).await;
    }
    terminal.types("q");
    assert_eq!(terminal.ended(), 0);
}
