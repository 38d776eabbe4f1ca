//! `spillway charge`.

use insta::assert_snapshot;

use crate::snapshot::steady;
use crate::stand::{CREATOR, Stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_are_granted_until_the_quota_is_full_and_then_denied_with_an_instant() {
    let stand = Stand::with_calls("200/1h").await;
    let charge = ["charge", CREATOR, "publish"];
    assert_snapshot!("granted", steady(&stand.json(&charge).await));
    // Upkeep takes some as well.
    stand.run(&[&charge[..], &["--units", "180"]].concat()).await.ok();
    let more = stand.run(&[&["--json"], &charge[..], &["--units", "20"]].concat()).await;
    assert_eq!(more.code, 3, "{}", more.stderr);
    assert_snapshot!("denied", steady(&more.json()));
    // All or none: what did not fit was given back.
    stand.run(&charge).await.ok();
    let mut full = stand.run(&charge).await;
    for _ in 0..18 {
        if full.code != 0 {
            break;
        }
        full = stand.run(&charge).await;
    }
    assert_eq!(full.code, 3, "{}", full.stderr);
    assert!(full.stdout.contains("denied: quota calls; it fits at "), "{}", full.stdout);
    let never = stand.run(&[&charge[..], &["--units", "201"]].concat()).await;
    never.failed(2, "--units 201 never fit at once: quota `calls`");
}
