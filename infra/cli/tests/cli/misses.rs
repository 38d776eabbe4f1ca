//! Comments that matched nothing.

use serde_json::json;

use crate::stand::{CREATOR, OTHER, Stand};

#[tokio::test]
async fn misses_are_counted_shown_and_forgotten() {
    let stand = Stand::start().await;
    let none = stand.json(&["misses", "--samples"]).await;
    assert_eq!((&none["misses"], &none["samples"]), (&json!([]), &json!([])));
    stand.run(&["misses", "1"]).await.failed(1, "is not connected");

    // A process writes once a minute: what it is told in one delivery.
    stand.comment(CREATOR, "giude PLEASE", 1..4).await;
    let shown = stand.json(&["misses", CREATOR, "--since", "1d"]).await;
    assert_eq!(shown["samples"], json!(null), "nobody asked");
    let miss = &shown["misses"][0];
    assert_eq!((&miss["keyword"], &miss["count"]), (&json!("guide"), &json!(3)));
    assert_eq!(miss["excluded"], "almost");
    let shown = stand.json(&["misses", "--samples"]).await;
    assert_eq!(shown["samples"].as_array().unwrap().len(), 3);
    assert_eq!(shown["samples"][0]["text"], "giude please");
    assert_eq!(stand.json(&["misses", OTHER]).await["misses"], json!([]));

    let text = stand.run(&["misses", "--samples"]).await.ok().stdout;
    for said in ["almost the keyword", "giude please", "17900000000000001"] {
        assert!(text.contains(said), "{text}");
    }
    let forget = ["contact", "forget", CREATOR, "526000000000002", "--yes"];
    assert_eq!(stand.json(&forget).await["samples"], 1);
    // After a new key the old samples still open.
    stand.run(&["new-key"]).await.ok();
    let shown = stand.json(&["misses", "--samples"]).await;
    assert_eq!(shown["samples"].as_array().unwrap().len(), 2);
}
