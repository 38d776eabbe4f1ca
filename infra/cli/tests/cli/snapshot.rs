//! JSON as snapshots keep it.

use serde_json::Value;

/// JSON as text, with names for what differs from run to run.
pub(crate) fn steady(value: &Value) -> String {
    let mut value = value.clone();
    rename(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
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
        Value::Object(fields) => {
            fields.values_mut().for_each(rename);
            if let Some(trace @ Value::String(_)) = fields.get_mut("trace_id") {
                *trace = "<trace>".into();
            }
        }
        _ => {}
    }
}
