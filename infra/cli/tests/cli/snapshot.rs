//! Snapshots: files beside this one, compared; written where `UPDATE_SNAPSHOTS` is set.

use std::path::Path;

use serde_json::Value;

/// Compares with the file `name`.
pub(crate) fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{name} is no longer what is printed (UPDATE_SNAPSHOTS=1 writes it anew):\n{text}"
    );
}

/// Compares JSON, with what differs from run to run named instead.
pub(crate) fn assert_json(name: &str, value: &Value) {
    let mut value = value.clone();
    rename(&mut value);
    assert_snapshot(name, &(serde_json::to_string_pretty(&value).unwrap() + "\n"));
}

fn rename(value: &mut Value) {
    match value {
        Value::String(text) => {
            let is_time = text.len() > 19 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
            let is_uuid = text.len() == 36 && text.matches('-').count() == 4;
            if is_time {
                *text = "<time>".into();
            } else if is_uuid {
                *text = "<id>".into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        Value::Object(fields) => fields.values_mut().for_each(rename),
        _ => {}
    }
}
